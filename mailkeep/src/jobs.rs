//! What runs now: archiving and scheduled work, with who began it, how far it is, and the way to end it.
//!
//! Invariant: a job stands here as long as its value lives, however it ends.

use archiver::Progress;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use storage::Cancel;
use time::OffsetDateTime;

/// A job as it is shown.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shown {
    /// For `jobs cancel`; gone with the server.
    pub(crate) id: u64,
    pub(crate) name: String,
    pub(crate) who: String,
    /// Seconds since 1970.
    pub(crate) started: i64,
    pub(crate) seen: u64,
    pub(crate) archived: u64,
    pub(crate) failed: u64,
    /// Messages a second since it began.
    pub(crate) rate: u64,
    pub(crate) at: String,
}

#[derive(Debug)]
struct Running {
    name: String,
    who: String,
    started: i64,
    cancel: Cancel,
    progress: Option<Progress>,
}

#[derive(Debug, Default)]
struct Table {
    next: u64,
    running: BTreeMap<u64, Running>,
}

/// All jobs that run. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Jobs {
    table: Arc<Mutex<Table>>,
}

/// A job that runs; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Job {
    table: Arc<Mutex<Table>>,
    id: u64,
}

impl Jobs {
    /// Begins a job.
    pub(crate) fn begin(&self, name: String, who: String, cancel: Cancel) -> Job {
        let mut table = self.table.lock();
        table.next += 1;
        let id = table.next;
        let started = OffsetDateTime::now_utc().unix_timestamp();
        table.running.insert(id, Running { name, who, started, cancel, progress: None });
        Job { table: Arc::clone(&self.table), id }
    }

    /// The names of those that run.
    pub(crate) fn names(&self) -> BTreeSet<String> {
        self.table.lock().running.values().map(|job| job.name.clone()).collect()
    }

    /// All, oldest first.
    pub(crate) fn all(&self) -> Vec<Shown> {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let table = self.table.lock();
        let shown = table.running.iter().map(|(id, job)| {
            let sums = job.progress.as_ref().map(|progress| progress.sums).unwrap_or_default();
            let secs = u64::try_from(now - job.started).unwrap_or(0).max(1);
            Shown {
                id: *id,
                name: job.name.clone(),
                who: job.who.clone(),
                started: job.started,
                seen: sums.seen,
                archived: sums.archived,
                failed: sums.failed,
                rate: sums.seen / secs,
                at: job.progress.as_ref().map(|progress| progress.at.clone()).unwrap_or_default(),
            }
        });
        shown.collect()
    }

    /// Tells a job to end; whether there is one.
    pub(crate) fn cancel(&self, id: u64) -> bool {
        let table = self.table.lock();
        let found = table.running.get(&id);
        if let Some(job) = found {
            job.cancel.set();
        }
        found.is_some()
    }
}

impl Job {
    /// How far it is.
    pub(crate) fn at(&self, progress: &Progress) {
        if let Some(job) = self.table.lock().running.get_mut(&self.id) {
            job.progress = Some(progress.clone());
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.table.lock().running.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_stands_there_as_long_as_it_lives() {
        let jobs = Jobs::default();
        let cancel = Cancel::default();
        let job = jobs.begin("profile a".into(), "local:x".into(), cancel.clone());
        let other = jobs.begin("verify".into(), "schedule".into(), Cancel::default());
        let all = jobs.all();
        assert_eq!((all.len(), all[0].name.as_str(), all[0].seen), (2, "profile a", 0));
        assert!(jobs.names().contains("verify"));
        assert!(jobs.cancel(all[0].id) && cancel.is_set() && !jobs.cancel(99));
        drop((job, other));
        assert!(jobs.all().is_empty());
    }
}
