//! Runs over mailboxes: several at once, one committing thread, one account.
//!
//! Invariant: what goes wrong with one mailbox is a failed item of the run and hurts no other mailbox.

use super::checkpoint::Checkpoints;
use super::connect::{self, Traffic};
use super::fault::Fault;
use super::imap::client::Options;
use super::job::{MailboxJob, Protocol, Start};
use super::{mailbox, maildrop};
use crate::feed::{Line, Slot};
use crate::walk::{Skipped, Stop};
use crate::{Archiver, Error, Format, Progress, Run, run};
use crossbeam_channel::RecvTimeoutError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use storage::Cancel;

/// How often who waits for the committing thread looks whether it is still there.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Most mailboxes at once.
const MAX_PARALLEL: usize = 32;

/// How a run deals with servers that fail or ask for time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patience {
    /// First wait; the next ones are twice as long each.
    pub(crate) first: Duration,
    /// Longest wait, also where a server asks for more.
    pub(crate) cap: Duration,
    /// Failures in a row, without a message between, after which a mailbox is given up.
    pub(crate) tries: u32,
    /// How connections are used; none: what suits the server.
    pub(crate) options: Option<Options>,
    pub(crate) traffic: Arc<Traffic>,
}

impl Patience {
    pub(crate) fn usual() -> Patience {
        Patience {
            first: Duration::from_secs(1),
            cap: Duration::from_secs(300),
            tries: 8,
            ..Patience::default()
        }
    }
    /// How long to wait after so many failures.
    pub(crate) fn wait(&self, failures: u32, asked: Option<Duration>) -> Duration {
        let doubled =
            self.first.saturating_mul(1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        asked.unwrap_or(doubled).min(self.cap)
    }
}

/// What a mailbox is read with.
pub(crate) struct Desk<'a> {
    pub(crate) job: &'a MailboxJob<'a>,
    pub(crate) line: Line<'a>,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) net: connect::Limits,
    pub(crate) patience: &'a Patience,
}

impl Desk<'_> {
    /// Counts a message that was not archived.
    pub(crate) fn skip(
        &self,
        folder: usize,
        place: String,
        reason: String,
        failed: bool,
    ) -> Result<(), Fault> {
        Ok(self.line.send(Slot::Skip(Skipped { folder, place, reason, failed }))?)
    }
    /// Waits until all that was handed on is durable, with its account.
    pub(crate) fn barrier(&self) -> Result<(), Fault> {
        let (done, wait) = crossbeam_channel::bounded(1);
        self.line.send(Slot::Barrier(done))?;
        loop {
            match wait.recv_timeout(LOOK_EVERY) {
                Ok(()) => return Ok(()),
                // A queue keeps what nobody will take from it any more, as long as somebody could send.
                Err(RecvTimeoutError::Timeout) if !self.line.shared.is_closed() => {}
                Err(_) => return Err(Fault::Cancelled),
            }
        }
    }
}

impl From<Stop> for Fault {
    fn from(_: Stop) -> Fault {
        Fault::Cancelled
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        match error {
            Error::Storage(error) => Fault::Storage(error),
            error => Fault::Database(error.to_string()),
        }
    }
}

/// Archives mailboxes as one run, `start.parallel` at once; gives its account, also when some failed. Blocking.
/// # Errors
/// Only what keeps a run from being begun or accounted for.
pub(crate) fn archive_mailboxes(
    archiver: &Archiver,
    start: &Start,
    jobs: &[MailboxJob<'_>],
    progress: &(dyn Fn(&Progress) + Sync),
    cancel: &Cancel,
) -> Result<Run, Error> {
    archive_with(archiver, start, jobs, &Patience::usual(), progress, cancel)
}

/// As [`archive_mailboxes`], with other patience.
pub(crate) fn archive_with(
    archiver: &Archiver,
    start: &Start,
    jobs: &[MailboxJob<'_>],
    patience: &Patience,
    progress: &(dyn Fn(&Progress) + Sync),
    cancel: &Cancel,
) -> Result<Run, Error> {
    let (next, stopped) = (AtomicUsize::new(0), AtomicBool::new(false));
    let checkpoints = Checkpoints::new(&archiver.ledger);
    let parallel = start.parallel.clamp(1, MAX_PARALLEL).min(jobs.len().max(1));
    let traffic = Arc::clone(&patience.traffic);
    let net = connect::Limits { cancel: cancel.clone(), until: start.until, traffic };
    let read = |line: Line<'_>| {
        thread::scope(|scope| {
            for _ in 0..parallel {
                let line = line.clone();
                scope.spawn(|| {
                    let line = line;
                    while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let checkpoints = checkpoints.clone();
                        let desk = Desk { job, line: line.clone(), checkpoints, net: net.clone(), patience };
                        if one(&desk).is_err() {
                            stopped.store(true, Ordering::Relaxed);
                            return;
                        }
                    }
                });
            }
        });
        stopped.load(Ordering::Relaxed)
    };
    run::archive_from(archiver, start, &read, progress, cancel)
}

fn one(desk: &Desk<'_>) -> Result<(), Stop> {
    let (done, format) = match desk.job.protocol {
        Protocol::Imap => (mailbox::archive(desk), Format::Imap),
        Protocol::Pop3 => (maildrop::archive(desk), Format::Pop3),
    };
    match done {
        Ok(()) => Ok(()),
        Err(Fault::Cancelled) => Err(Stop),
        Err(fault) => {
            let folder = desk.line.target(&desk.job.key, None, format, true);
            let (place, reason) = (desk.job.key.clone(), fault.to_string());
            tracing::warn!(mailbox = %place, %reason, "a mailbox was not archived to its end");
            desk.line.send(Slot::Skip(Skipped { folder, place, reason, failed: true }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_cap() {
        let patience = Patience::usual();
        let secs =
            |failures, asked: Option<u64>| patience.wait(failures, asked.map(Duration::from_secs)).as_secs();
        assert_eq!([1, 2, 3, 9, 40].map(|failures| secs(failures, None)), [1, 2, 4, 256, 300]);
        assert_eq!((secs(1, Some(299)), secs(1, Some(300)), secs(1, Some(301))), (299, 300, 300));
    }
}
