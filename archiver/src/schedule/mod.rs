//! What runs by itself: profiles by their own schedules, and jobs of the installation (verify, compact, backup, index).
//!
//! Here stands when; doing it is the program's business, which has the commands. Invariant: the clock is a parameter everywhere.
//! Owns the tables `jobs` (JSON by name) and `due` (seconds since 1970 when a job began last, by name) of master.redb.

mod plan;
mod timing;

pub use plan::{Due, Entry, due};
pub use timing::Timing;

use crate::ledger::{database, decode, encode};
use crate::profile::{MAX_NAME_BYTES, Profile};
use crate::{Error, PROFILE_SOURCE};
use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction,
};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

const JOBS: TableDefinition<&str, &[u8]> = TableDefinition::new("jobs");
const DUE: TableDefinition<&str, i64> = TableDefinition::new("due");

/// Most jobs besides profiles.
pub const MAX_JOBS: u64 = 1_000;

/// What a job does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Task {
    /// Runs a profile.
    Profile {
        /// Its name.
        name: String,
    },
    /// Reads everything, or a slice of it, again.
    Verify {
        /// In so many slices, one after the other; none: all at once.
        slices: Option<u32>,
    },
    /// Erases what was deleted.
    Compact,
    /// Brings a backup up to date.
    Backup {
        /// Where it lies.
        dir: PathBuf,
    },
    /// Makes the search indexes anew.
    Index,
    /// Brings the users in line with the directory.
    Directory,
}

impl Task {
    /// For people.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Task::Profile { name } => format!("profile {name}"),
            Task::Verify { slices: None } => "verify".into(),
            Task::Verify { slices: Some(of) } => format!("verify a slice of {of}"),
            Task::Compact => "compact".into(),
            Task::Backup { dir } => format!("backup {}", dir.display()),
            Task::Index => "index".into(),
            Task::Directory => "directory".into(),
        }
    }
}

/// A job of the schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// What it is called; a profile's job is `profile NAME`.
    pub name: String,
    /// What it does.
    pub task: Task,
    /// When.
    pub timing: Timing,
}

/// The schedule. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Schedule {
    db: Arc<Database>,
}

impl Schedule {
    pub(crate) fn open(db: Arc<Database>) -> Result<Schedule, Error> {
        let schedule = Schedule { db };
        let txn = schedule.write()?;
        txn.open_table(JOBS).map_err(database)?;
        txn.open_table(DUE).map_err(database)?;
        txn.commit().map_err(database)?;
        Ok(schedule)
    }

    /// Keeps a job, in the place of one of the same name.
    /// # Errors
    /// `Profile` if it makes no sense: the name and what is wrong.
    pub fn set(&self, job: &Job) -> Result<(), Error> {
        let told =
            |what: String| Error::Profile { name: job.name.chars().take(MAX_NAME_BYTES).collect(), what };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if job.name.is_empty() || job.name.len() > MAX_NAME_BYTES || !job.name.chars().all(plain) {
            return Err(told(format!("a job's name has 1 to {MAX_NAME_BYTES} letters, digits and - _ .")));
        }
        if job.timing.continuous {
            return Err(told("only a profile runs all the time".into()));
        }
        if let Some(what) = job.timing.nonsense() {
            return Err(told(what));
        }
        match &job.task {
            Task::Profile { .. } => {
                return Err(told("a profile has its schedule of its own: mailkeep profile edit".into()));
            }
            Task::Backup { dir } if !dir.is_absolute() => {
                return Err(told("the backup's directory must be absolute".into()));
            }
            Task::Verify { slices: Some(of) } if !(1..=1_000).contains(of) => {
                return Err(told("everything is verified in 1 to 1000 slices".into()));
            }
            Task::Verify { .. } | Task::Compact | Task::Backup { .. } | Task::Index | Task::Directory => {}
        }
        let txn = self.write()?;
        {
            let mut jobs = txn.open_table(JOBS).map_err(database)?;
            jobs.insert(job.name.as_str(), encode(job)?.as_slice()).map_err(database)?;
            if jobs.len().map_err(database)? > MAX_JOBS {
                return Err(told(format!("there are {MAX_JOBS} jobs already")));
            }
            // Its time counts from now on.
            txn.open_table(DUE).map_err(database)?.remove(job.name.as_str()).map_err(database)?;
        }
        txn.commit().map_err(database)
    }

    /// Removes a job.
    /// # Errors
    /// `UnknownJob`.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let txn = self.write()?;
        {
            let mut jobs = txn.open_table(JOBS).map_err(database)?;
            if jobs.remove(name).map_err(database)?.is_none() {
                return Err(Error::UnknownJob(name.to_owned()));
            }
            txn.open_table(DUE).map_err(database)?.remove(name).map_err(database)?;
        }
        txn.commit().map_err(database)
    }

    /// All jobs: those of the installation, then those of `profiles` that have a schedule; each with when it began last.
    /// # Errors
    /// `Database`.
    pub fn jobs(&self, profiles: &[Profile]) -> Result<Vec<(Job, Option<i64>)>, Error> {
        let txn = self.db.begin_read().map_err(database)?;
        let table = txn.open_table(JOBS).map_err(database)?;
        let due = txn.open_table(DUE).map_err(database)?;
        let mut jobs = Vec::new();
        for row in table.iter().map_err(database)? {
            jobs.push(decode::<Job>(row.map_err(database)?.1.value())?);
        }
        jobs.extend(profiles.iter().filter_map(|profile| {
            let timing = profile.schedule.clone()?;
            let name = profile.name.clone();
            Some(Job { name: format!("{PROFILE_SOURCE}{name}"), task: Task::Profile { name }, timing })
        }));
        jobs.into_iter()
            .map(|job| {
                let last = due.get(job.name.as_str()).map_err(database)?.map(|last| last.value());
                Ok((job, last))
            })
            .collect()
    }

    /// Notes that a job began, or that its time counts from now on. Seconds since 1970.
    /// # Errors
    /// `Database`.
    pub fn began(&self, job: &str, now: i64) -> Result<(), Error> {
        let txn = self.write()?;
        txn.open_table(DUE).map_err(database)?.insert(job, now).map_err(database)?;
        txn.commit().map_err(database)
    }

    fn write(&self) -> Result<WriteTransaction, Error> {
        let mut txn = self.db.begin_write().map_err(database)?;
        txn.set_quick_repair(true);
        Ok(txn)
    }
}

#[cfg(test)]
mod tests;
