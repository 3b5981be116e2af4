//! The server's counters: relaxed atomics that sessions add to and whoever watches reads.
//!
//! Invariant: the number of counters is fixed when the server starts; nothing that a client sends makes a new one.

use super::tally::Reason;
use crate::session::table;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of a latency's buckets, in microseconds; one more is for what takes longer.
pub const BUCKETS_MICROS: [u64; 14] = [
    50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 100_000, 500_000, 2_000_000, 10_000_000,
    60_000_000,
];

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    No,
    Bad,
    /// BYE, or nothing at all.
    Cut,
}

/// One command's counters.
#[derive(Debug, Default)]
struct Command {
    buckets: [AtomicU64; BUCKETS_MICROS.len() + 1],
    micros: AtomicU64,
    outcomes: [AtomicU64; 4],
}

/// All counters of a server.
#[derive(Debug)]
pub(crate) struct Figures {
    commands: Vec<Command>,
    ended: [AtomicU64; Reason::LABELS.len()],
    pub(crate) sessions_begun: AtomicU64,
    pub(crate) sessions: AtomicU64,
    pub(crate) logged_in: AtomicU64,
    pub(crate) tls_sessions: AtomicU64,
    pub(crate) compressed: AtomicU64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) messages: AtomicU64,
    pub(crate) scanned: AtomicU64,
    pub(crate) logins_ok: AtomicU64,
    pub(crate) logins_again: AtomicU64,
    pub(crate) logins_failed: AtomicU64,
    pub(crate) logins_delayed: AtomicU64,
    pub(crate) logins_refused: AtomicU64,
    pub(crate) accept_errors: AtomicU64,
    pub(crate) at_work: AtomicU64,
}

pub(crate) fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}
pub(crate) fn sub(counter: &AtomicU64, n: u64) {
    counter.fetch_sub(n, Ordering::Relaxed);
}
fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

impl Figures {
    pub(crate) fn new() -> Figures {
        let zero = || AtomicU64::new(0);
        Figures {
            commands: (0..=table::count()).map(|_| Command::default()).collect(),
            ended: std::array::from_fn(|_| zero()),
            sessions_begun: zero(),
            sessions: zero(),
            logged_in: zero(),
            tls_sessions: zero(),
            compressed: zero(),
            bytes_in: zero(),
            bytes_out: zero(),
            messages: zero(),
            scanned: zero(),
            logins_ok: zero(),
            logins_again: zero(),
            logins_failed: zero(),
            logins_delayed: zero(),
            logins_refused: zero(),
            accept_errors: zero(),
            at_work: zero(),
        }
    }

    /// A connection begins; gives its number.
    pub(crate) fn begun(&self) -> u64 {
        self.sessions_begun.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// A command of the table, or (its length) none that is known, has ended.
    pub(crate) fn command(&self, index: usize, took: Duration, outcome: Outcome) {
        let Some(command) = self.commands.get(index) else { return };
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_MICROS.partition_point(|&bound| bound < micros);
        if let Some(bucket) = command.buckets.get(bucket) {
            add(bucket, 1);
        }
        add(&command.micros, micros);
        if let Some(counter) = command.outcomes.get(outcome as usize) {
            add(counter, 1);
        }
    }

    /// A connection has ended.
    pub(crate) fn ended(&self, reason: Reason) {
        if let Some(counter) = self.ended.get(reason.index()) {
            add(counter, 1);
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        let commands = self.commands.iter().enumerate().map(|(index, command)| {
            let [ok, no, bad, cut] = std::array::from_fn(|n| command.outcomes.get(n).map_or(0, read));
            CommandFigures {
                name: table::label(index),
                buckets: command.buckets.iter().map(read).collect(),
                micros: read(&command.micros),
                ok,
                no,
                bad,
                cut,
            }
        });
        Snapshot {
            commands: commands.collect(),
            ended: Reason::LABELS.into_iter().zip(self.ended.iter().map(read)).collect(),
            sessions_begun: read(&self.sessions_begun),
            sessions: read(&self.sessions),
            logged_in: read(&self.logged_in),
            tls_sessions: read(&self.tls_sessions),
            compressed: read(&self.compressed),
            bytes_in: read(&self.bytes_in),
            bytes_out: read(&self.bytes_out),
            messages: read(&self.messages),
            scanned: read(&self.scanned),
            logins_ok: read(&self.logins_ok),
            logins_again: read(&self.logins_again),
            logins_failed: read(&self.logins_failed),
            logins_delayed: read(&self.logins_delayed),
            logins_refused: read(&self.logins_refused),
            accept_errors: read(&self.accept_errors),
            at_work: read(&self.at_work),
        }
    }
}

/// Adds to a gauge for as long as it lives.
#[derive(Debug)]
pub(crate) struct Gauge {
    watch: super::Watch,
    which: fn(&Figures) -> &AtomicU64,
}

impl Gauge {
    pub(crate) fn new(watch: &super::Watch, which: fn(&Figures) -> &AtomicU64) -> Gauge {
        add(which(watch.figures()), 1);
        Gauge { watch: watch.clone(), which }
    }
    pub(crate) fn watch(&self) -> &super::Watch {
        &self.watch
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        sub((self.which)(self.watch.figures()), 1);
    }
}

/// A server's figures at one moment; all but the first group of gauges only grow.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Connections that are there now.
    pub sessions: u64,
    /// Those of them that have logged in.
    pub logged_in: u64,
    /// Those of them with TLS.
    pub tls_sessions: u64,
    /// Those of them that compress.
    pub compressed: u64,
    /// Sessions that work at this moment.
    pub at_work: u64,
    /// Connections that were accepted.
    pub sessions_begun: u64,
    /// Connections that have ended, by reason.
    pub ended: Vec<(&'static str, u64)>,
    /// Every command of the server; the last is `unknown`.
    pub commands: Vec<CommandFigures>,
    /// Bytes from clients, before TLS and after compression.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Messages of which FETCH told something.
    pub messages: u64,
    /// Messages that searches had to read.
    pub scanned: u64,
    /// Logins that succeeded.
    pub logins_ok: u64,
    /// Those of them for which no password had to be hashed.
    pub logins_again: u64,
    /// Wrong passwords.
    pub logins_failed: u64,
    /// Logins that had to wait because others had failed.
    pub logins_delayed: u64,
    /// Logins that were refused untried because too many had failed.
    pub logins_refused: u64,
    /// Connections that could not be accepted.
    pub accept_errors: u64,
}

/// One command's figures.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandFigures {
    /// Its name, with UID where that is a part of it.
    pub name: String,
    /// How many took no longer than each of [`BUCKETS_MICROS`], and more than the one before; the last: longer than all.
    pub buckets: Vec<u64>,
    /// All of them together took so long.
    pub micros: u64,
    /// Ended in OK.
    pub ok: u64,
    /// Ended in NO.
    pub no: u64,
    /// Ended in BAD.
    pub bad: u64,
    /// Ended in BYE, or with the connection.
    pub cut: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_at_a_bucket_s_bound_and_one_past() {
        let figures = Figures::new();
        for micros in [0, 50, 51, 60_000_000, 60_000_001] {
            figures.command(0, Duration::from_micros(micros), Outcome::Ok);
        }
        figures.command(table::count(), Duration::ZERO, Outcome::Bad);
        figures.command(table::count() + 1, Duration::ZERO, Outcome::Bad);
        let all = figures.snapshot().commands;
        let first = &all[0];
        assert_eq!((first.buckets[0], first.buckets[1], first.buckets[13], first.buckets[14]), (2, 1, 1, 1));
        assert_eq!((first.ok, first.micros), (5, 120_000_102));
        let last = all.last().unwrap();
        assert_eq!((last.name.as_str(), last.bad, last.buckets[0]), ("unknown", 1, 1));
    }
}
