//! The account of runs: tables `runs`, `ledger` and `last_runs` of master.redb, JSON values; `totals` beside it.
//!
//! `runs` has a run's head by its number; `ledger` has, by run, kind and number, its folders and its failed and filtered
//! items; `last_runs` has the newest run's number by source, made again from `runs` where it is missing. Invariant: written after the storage batch that it tells of has committed, never before, so it may lag behind
//! the archive after a crash (a rerun then finds the messages there) but never claims what is not archived.

use crate::remote::checkpoint::{self, Change, Checkpoints};
use crate::totals::{self, Totals};
use crate::{Error, FolderRun, Item, Run, State};
use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, Table, TableDefinition,
    WriteTransaction,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

const RUNS: TableDefinition<u64, &[u8]> = TableDefinition::new("runs");
const LEDGER: TableDefinition<(u64, u8, u64), &[u8]> = TableDefinition::new("ledger");
const LAST_RUNS: TableDefinition<&str, u64> = TableDefinition::new("last_runs");

/// What an entry of the ledger is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Folder = 0,
    Failed = 1,
    Filtered = 2,
    Deleted = 3,
    Log = 4,
}

/// Most runs that are kept; the oldest go.
pub(crate) const MAX_RUNS: u64 = 10_000;
/// Most lines of a run's log, of which the first are kept.
pub(crate) const MAX_LOG_LINES: u64 = 1_000;
/// Longest line of it, bytes.
const MAX_LOG_LINE_BYTES: usize = 2_000;

/// A line of a run's log.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LogLine {
    /// Seconds since 1970 (UTC).
    pub when: i64,
    /// What happened.
    pub text: String,
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
    /// What was deleted at the source, or would be, with the number of the first.
    pub(crate) deleted: (u64, Vec<Item>),
    /// What is known of the source from now on.
    pub(crate) checkpoints: Vec<Change>,
}

#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    pub(crate) db: Arc<Database>,
}

impl Ledger {
    /// Makes the tables; what a dead program left running has failed.
    pub(crate) fn open(db: Arc<Database>) -> Result<Ledger, Error> {
        let ledger = Ledger { db };
        let txn = ledger.write_txn()?;
        {
            txn.open_table(LEDGER).map_err(database)?;
            crate::unsolved::open(&txn)?;
            Checkpoints::create(&txn)?;
            let mut runs = txn.open_table(RUNS).map_err(database)?;
            let mut last = txn.open_table(LAST_RUNS).map_err(database)?;
            let fill = last.is_empty().map_err(database)?;
            let (mut died, mut totals) = (Vec::new(), totals::new(&txn)?);
            for entry in runs.iter().map_err(database)? {
                let (_, value) = entry.map_err(database)?;
                let run: Run = decode(value.value())?;
                if fill {
                    last.insert(run.source.as_str(), run.id).map_err(database)?;
                }
                if run.state == State::Running {
                    died.push(run.clone());
                }
                if let Some(totals) = &mut totals {
                    totals.count(None, Some(&run));
                }
            }
            if let Some(totals) = totals {
                totals::write(&txn, &totals)?;
            }
            for mut run in died {
                let running = run.clone();
                run.state = State::Failed;
                run.ended = Some(now());
                run.error = Some(DIED.into());
                totals::change(&txn, Some(&running), Some(&run))?;
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
            totals::change(&txn, None, Some(&run))?;
            let mut last = txn.open_table(LAST_RUNS).map_err(database)?;
            last.insert(run.source.as_str(), run.id).map_err(database)?;
            let mut ledger = txn.open_table(LEDGER).map_err(database)?;
            while runs.len().map_err(database)? > MAX_RUNS {
                let Some(gone) = pop(&mut runs)? else { break };
                totals::change(&txn, Some(&gone), None)?;
                let (oldest, source) = (gone.id, gone.source);
                let newest = last.get(source.as_str()).map_err(database)?.map(|id| id.value());
                if newest == Some(oldest) {
                    last.remove(source.as_str()).map_err(database)?;
                }
                ledger
                    .retain_in((oldest, 0, 0)..=(oldest, u8::MAX, u64::MAX), |_, _| false)
                    .map_err(database)?;
            }
        }
        txn.commit().map_err(database)?;
        Ok(run)
    }

    /// Adds a line to a run's log, as long as there is room.
    pub(crate) fn note(&self, id: u64, text: &str) -> Result<(), Error> {
        let text: String =
            text.char_indices().take_while(|(at, _)| *at < MAX_LOG_LINE_BYTES).map(|(_, c)| c).collect();
        let txn = self.write_txn()?;
        {
            let mut ledger = txn.open_table(LEDGER).map_err(database)?;
            let kind = Kind::Log as u8;
            let last = ledger.range((id, kind, 0)..=(id, kind, u64::MAX)).map_err(database)?.next_back();
            let next = last.transpose().map_err(database)?.map_or(0, |(key, _)| key.value().2 + 1);
            if next < MAX_LOG_LINES {
                let line = LogLine { when: now(), text };
                ledger.insert((id, kind, next), encode(&line)?.as_slice()).map_err(database)?;
            }
        }
        txn.commit().map_err(database)
    }

    /// The newest run.
    pub(crate) fn last(&self) -> Result<Run, Error> {
        let txn = self.db.begin_read().map_err(database)?;
        let runs = txn.open_table(RUNS).map_err(database)?;
        let id = runs.last().map_err(database)?.map(|(id, _)| id.value()).ok_or(Error::NoRun)?;
        self.run(id)
    }

    /// The newest run of a source, without its folders; none: there is none that is kept. Reads no other run.
    pub(crate) fn last_of(&self, source: &str) -> Result<Option<Run>, Error> {
        let txn = self.db.begin_read().map_err(database)?;
        let last = txn.open_table(LAST_RUNS).map_err(database)?;
        let Some(id) = last.get(source).map_err(database)?.map(|id| id.value()) else { return Ok(None) };
        let runs = txn.open_table(RUNS).map_err(database)?;
        runs.get(id).map_err(database)?.map(|run| decode(run.value())).transpose()
    }

    /// Writes a run as it stands, with what has changed. `run.sums` counts the new items already.
    pub(crate) fn write(&self, run: &Run, changes: &Changes) -> Result<(), Error> {
        let txn = self.write_txn()?;
        {
            let head = head(run);
            let mut runs = txn.open_table(RUNS).map_err(database)?;
            let before = runs.insert(run.id, encode(&head)?.as_slice()).map_err(database)?;
            let before: Option<Run> = before.map(|value| decode(value.value())).transpose()?;
            totals::change(&txn, before.as_ref(), Some(&head))?;
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
            let (first, deleted) = &changes.deleted;
            for (item, number) in deleted.iter().zip(*first..) {
                let key = (run.id, Kind::Deleted as u8, number);
                ledger.insert(key, encode(item)?.as_slice()).map_err(database)?;
            }
            checkpoint::apply(&txn, &changes.checkpoints)?;
        }
        txn.commit().map_err(database)
    }

    /// The database.
    pub(crate) fn db(&self) -> &Database {
        &self.db
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

    /// Sums over all runs; reads none of them.
    pub(crate) fn totals(&self) -> Result<Totals, Error> {
        totals::read(&self.db.begin_read().map_err(database)?)
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
    pub(crate) fn write_txn(&self) -> Result<WriteTransaction, Error> {
        let mut txn = self.db.begin_write().map_err(database)?;
        txn.set_quick_repair(true);
        Ok(txn)
    }
}

/// Takes the oldest run out.
fn pop(runs: &mut Table<'_, u64, &'static [u8]>) -> Result<Option<Run>, Error> {
    runs.pop_first().map_err(database)?.map(|(_, value)| decode(value.value())).transpose()
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

pub(crate) fn database(error: impl Into<redb::Error>) -> Error {
    Error::Database(Box::new(error.into()))
}

pub(crate) fn encode(value: &impl Serialize) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(value).map_err(damaged)
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(damaged)
}

fn damaged(error: serde_json::Error) -> Error {
    database(redb::Error::Corrupted(format!("ledger: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sums;
    use crate::testing::in_memory;

    fn run(source: &str) -> Run {
        Run {
            id: 0,
            source: source.into(),
            into: "a".into(),
            who: "test".into(),
            started: 0,
            ended: None,
            state: State::Running,
            sums: Sums::default(),
            folders: Vec::new(),
            error: None,
        }
    }

    fn last(ledger: &Ledger, source: &str) -> Option<u64> {
        ledger.last_of(source).unwrap().map(|run| run.id)
    }

    /// Has each run of these numbers say something that can't be read.
    fn damage(ledger: &Ledger, ids: impl Iterator<Item = u64>) {
        let txn = ledger.write_txn().unwrap();
        {
            let mut runs = txn.open_table(RUNS).unwrap();
            ids.for_each(|id| drop(runs.insert(id, &b"damaged"[..]).unwrap()));
        }
        txn.commit().unwrap();
    }

    #[test]
    fn the_last_run_of_a_source_reads_no_other() {
        let ledger = Ledger::open(Arc::new(in_memory())).unwrap();
        let txn = ledger.write_txn().unwrap();
        {
            let mut runs = txn.open_table(RUNS).unwrap();
            for id in 1..=5_000 {
                let run = Run { id, ..run(&format!("profile p{}", id % 3)) };
                runs.insert(id, encode(&run).unwrap().as_slice()).unwrap();
            }
        }
        txn.commit().unwrap();
        // As an older program left it: the table is made from the runs.
        let ledger = Ledger::open(ledger.db).unwrap();
        let new = ledger.begin(run("profile p0")).unwrap();
        damage(&ledger, (1..=4_998).chain([5_000]));
        assert_eq!((last(&ledger, "profile p0"), new.id), (Some(5_001), 5_001));
        assert_eq!(last(&ledger, "profile p1"), Some(4_999));
        assert!(ledger.last_of("profile p2").is_err(), "its own is the damaged one");
        assert_eq!(last(&ledger, "profile p3"), None);
        assert!(ledger.runs().is_err(), "all are read here");
    }

    #[test]
    fn totals_read_no_run_and_outlive_it() {
        let ledger = Ledger::open(Arc::new(in_memory())).unwrap();
        let states = |ledger: &Ledger| {
            let states = ledger.totals().unwrap().states;
            [State::Running, State::Succeeded, State::Failed]
                .map(|state| states.get(&state).copied().unwrap_or(0))
        };
        let mut first = ledger.begin(run("a")).unwrap();
        ledger.begin(run("b")).unwrap();
        for archived in [3, 10] {
            first.sums = Sums { seen: archived, archived, ..Sums::default() };
            ledger.write(&first, &Changes::default()).unwrap();
        }
        assert_eq!((states(&ledger), ledger.totals().unwrap().sums), ([2, 0, 0], first.sums));
        first.state = State::Succeeded;
        ledger.write(&first, &Changes::default()).unwrap();
        assert_eq!(states(&ledger), [1, 1, 0]);
        // The next start says that the other one died.
        let ledger = Ledger::open(ledger.db).unwrap();
        assert_eq!((states(&ledger), ledger.totals().unwrap().sums), ([0, 1, 1], first.sums));
        damage(&ledger, 2..MAX_RUNS);
        let same = ledger.totals().unwrap();
        assert_eq!(same.sums, first.sums);
        // As an older program left it: made again from the runs.
        let ledger = Ledger::open(Arc::new(in_memory())).unwrap();
        let txn = ledger.write_txn().unwrap();
        {
            let mut runs = txn.open_table(RUNS).unwrap();
            for id in 1..=MAX_RUNS {
                let sums = Sums { seen: 1, already: 1, ..Sums::default() };
                let run = Run { id, state: State::Succeeded, sums, ..run("c") };
                runs.insert(id, encode(&run).unwrap().as_slice()).unwrap();
            }
        }
        totals::forget(&txn);
        txn.commit().unwrap();
        let ledger = Ledger::open(ledger.db).unwrap();
        assert_eq!((states(&ledger), ledger.totals().unwrap().sums.seen), ([0, MAX_RUNS, 0], MAX_RUNS));
        ledger.begin(run("c")).unwrap();
        assert_eq!(states(&ledger), [1, MAX_RUNS - 1, 0], "the oldest went");
        assert_eq!(ledger.totals().unwrap().sums.seen, MAX_RUNS, "what it did stays counted");
    }

    #[test]
    fn a_source_whose_runs_are_no_longer_kept_has_none() {
        let ledger = Ledger::open(Arc::new(in_memory())).unwrap();
        ledger.begin(run("old")).unwrap();
        ledger.begin(run("both")).unwrap();
        let txn = ledger.write_txn().unwrap();
        {
            let mut runs = txn.open_table(RUNS).unwrap();
            for id in 3..=MAX_RUNS {
                runs.insert(id, encode(&Run { id, ..run("other") }).unwrap().as_slice()).unwrap();
            }
        }
        txn.commit().unwrap();
        assert_eq!((last(&ledger, "old"), last(&ledger, "both")), (Some(1), Some(2)));
        let new = ledger.begin(run("both")).unwrap();
        assert_eq!(new.id, MAX_RUNS + 1);
        assert_eq!((last(&ledger, "old"), last(&ledger, "both")), (None, Some(new.id)));
        ledger.begin(run("more")).unwrap();
        assert_eq!(last(&ledger, "both"), Some(new.id), "an older run of it went");
        assert!(matches!(ledger.run(2), Err(Error::Unknown(2))));
    }
}
