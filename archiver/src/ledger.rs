//! The account of runs: tables `runs` and `ledger` of master.redb, JSON values.
//!
//! `runs` has a run's head by its number; `ledger` has, by run, kind and number, its folders and its failed and filtered
//! items. Invariant: written after the storage batch that it tells of has committed, never before, so it may lag behind
//! the archive after a crash (a rerun then finds the messages there) but never claims what is not archived.

use crate::{Error, FolderRun, Item, Run, State};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

const RUNS: TableDefinition<u64, &[u8]> = TableDefinition::new("runs");
const LEDGER: TableDefinition<(u64, u8, u64), &[u8]> = TableDefinition::new("ledger");

/// What an entry of the ledger is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder = 0,
    Failed = 1,
    Filtered = 2,
}

const DIED: &str = "the program ended in the middle of this run; archive the source again: what was archived stays and is not \
                    archived twice";

/// What a commit adds to a run's account.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// Folders (by their place in the run) that are new or have other sums.
    pub(crate) folders: Vec<usize>,
    /// Failed items.
    pub(crate) failed: Vec<Item>,
    /// Filtered items.
    pub(crate) filtered: Vec<Item>,
}

#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    db: Arc<Database>,
}

impl Ledger {
    /// Makes the tables; what a dead program left running has failed.
    pub(crate) fn open(db: Arc<Database>) -> Result<Ledger, Error> {
        let ledger = Ledger { db };
        let txn = ledger.write_txn()?;
        {
            txn.open_table(LEDGER).map_err(database)?;
            let mut runs = txn.open_table(RUNS).map_err(database)?;
            let mut died = Vec::new();
            for entry in runs.iter().map_err(database)? {
                let (_, value) = entry.map_err(database)?;
                let run: Run = decode(value.value())?;
                if run.state == State::Running {
                    died.push(run);
                }
            }
            for mut run in died {
                run.state = State::Failed;
                run.ended = Some(now());
                run.error = Some(DIED.into());
                runs.insert(run.id, encode(&run)?.as_slice()).map_err(database)?;
            }
        }
        txn.commit().map_err(database)?;
        Ok(ledger)
    }

    /// Begins a run: `run` with the next number.
    pub(crate) fn begin(&self, mut run: Run) -> Result<Run, Error> {
        let txn = self.write_txn()?;
        {
            let mut runs = txn.open_table(RUNS).map_err(database)?;
            run.id = runs.last().map_err(database)?.map_or(1, |(id, _)| id.value() + 1);
            runs.insert(run.id, encode(&run)?.as_slice()).map_err(database)?;
        }
        txn.commit().map_err(database)?;
        Ok(run)
    }

    /// Writes a run as it stands, with what has changed. `run.sums` counts the new items already.
    pub(crate) fn write(&self, run: &Run, changes: &Changes) -> Result<(), Error> {
        let txn = self.write_txn()?;
        {
            let head = head(run);
            txn.open_table(RUNS)
                .map_err(database)?
                .insert(run.id, encode(&head)?.as_slice())
                .map_err(database)?;
            let mut ledger = txn.open_table(LEDGER).map_err(database)?;
            for number in &changes.folders {
                if let Some(folder) = run.folders.get(*number) {
                    let key = (run.id, Kind::Folder as u8, *number as u64);
                    ledger.insert(key, encode(folder)?.as_slice()).map_err(database)?;
                }
            }
            let lists = [
                (Kind::Failed, &changes.failed, run.sums.failed),
                (Kind::Filtered, &changes.filtered, run.sums.filtered),
            ];
            for (kind, items, sum) in lists {
                for (item, number) in items.iter().rev().zip((0..sum).rev()) {
                    let key = (run.id, kind as u8, number);
                    ledger.insert(key, encode(item)?.as_slice()).map_err(database)?;
                }
            }
        }
        txn.commit().map_err(database)
    }

    /// All runs, oldest first.
    pub(crate) fn runs(&self) -> Result<Vec<Run>, Error> {
        let txn = self.db.begin_read().map_err(database)?;
        let runs = txn.open_table(RUNS).map_err(database)?;
        let mut list = Vec::new();
        for entry in runs.iter().map_err(database)? {
            let mut run: Run = decode(entry.map_err(database)?.1.value())?;
            run.folders = self.entries(run.id, Kind::Folder)?;
            list.push(run);
        }
        Ok(list)
    }

    /// One run.
    pub(crate) fn run(&self, id: u64) -> Result<Run, Error> {
        let txn = self.db.begin_read().map_err(database)?;
        let runs = txn.open_table(RUNS).map_err(database)?;
        let value = runs.get(id).map_err(database)?.ok_or(Error::Unknown(id))?;
        let mut run: Run = decode(value.value())?;
        run.folders = self.entries::<FolderRun>(id, Kind::Folder)?;
        Ok(run)
    }

    /// The entries of one kind of a run.
    pub(crate) fn entries<T: DeserializeOwned>(&self, id: u64, kind: Kind) -> Result<Vec<T>, Error> {
        let txn = self.db.begin_read().map_err(database)?;
        let ledger = txn.open_table(LEDGER).map_err(database)?;
        let range = (id, kind as u8, 0)..=(id, kind as u8, u64::MAX);
        ledger
            .range(range)
            .map_err(database)?
            .map(|entry| decode(entry.map_err(database)?.1.value()))
            .collect()
    }

    /// A write transaction after which the database opens fast, even after a crash.
    fn write_txn(&self) -> Result<WriteTransaction, Error> {
        let mut txn = self.db.begin_write().map_err(database)?;
        txn.set_quick_repair(true);
        Ok(txn)
    }
}

/// A run without its folders, which are entries of the ledger.
fn head(run: &Run) -> Run {
    Run {
        id: run.id,
        source: run.source.clone(),
        into: run.into.clone(),
        who: run.who.clone(),
        started: run.started,
        ended: run.ended,
        state: run.state,
        sums: run.sums,
        folders: Vec::new(),
        error: run.error.clone(),
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

fn database(error: impl Into<redb::Error>) -> Error {
    Error::Database(Box::new(error.into()))
}

fn encode(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(damaged)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(damaged)
}

fn damaged(error: serde_json::Error) -> Error {
    database(redb::Error::Corrupted(format!("ledger: {error}")))
}
