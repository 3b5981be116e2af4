//! What one session comes to, for the line in the log at its end; and why it ended.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts of one connection. Session and socket both write here.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// A number that no other connection of this server has.
    pub(crate) number: u64,
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) commands: AtomicU64,
    /// Messages of which something was told by FETCH.
    pub(crate) messages: AtomicU64,
    pub(crate) user: Mutex<Option<String>>,
    /// The folder that is selected, as administrators name it.
    pub(crate) mailbox: Mutex<Option<String>>,
    /// An administrator wants the session to end.
    pub(crate) killed: AtomicBool,
}

impl Tally {
    pub(crate) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
    pub(crate) fn is_killed(&self) -> bool {
        self.killed.load(Ordering::Relaxed)
    }
    pub(crate) fn read(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

/// Why a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// LOGOUT.
    Logout,
    /// The client closed the connection.
    Gone,
    /// The server said BYE, with these words.
    Bye(&'static str),
    /// No login, no end of a command, or no word in time.
    Late,
    /// The server stops.
    Stop,
    /// The client didn't read.
    Unread,
    /// The network, or the client in the midst of something.
    Broken,
    /// TLS didn't come about.
    Handshake,
    /// A proxy didn't say for whom it came.
    Proxy,
    /// Too many connections.
    Full,
    /// What was stored is damaged, or the client went in the midst of an answer.
    Dropped,
    /// A fault of ours.
    Fault,
}

impl Reason {
    /// All labels, in the order of [`Reason::index`].
    pub(crate) const LABELS: [&'static str; 12] = [
        "logout",
        "gone",
        "bye",
        "late",
        "stop",
        "unread",
        "broken",
        "handshake",
        "proxy",
        "full",
        "dropped",
        "fault",
    ];

    pub(crate) fn index(self) -> usize {
        match self {
            Reason::Logout => 0,
            Reason::Gone => 1,
            Reason::Bye(_) => 2,
            Reason::Late => 3,
            Reason::Stop => 4,
            Reason::Unread => 5,
            Reason::Broken => 6,
            Reason::Handshake => 7,
            Reason::Proxy => 8,
            Reason::Full => 9,
            Reason::Dropped => 10,
            Reason::Fault => 11,
        }
    }

    pub(crate) fn words(self) -> &'static str {
        match self {
            Reason::Logout => "logged out",
            Reason::Gone => "the client closed",
            Reason::Bye(words) => words,
            Reason::Late => "nothing was heard in time",
            Reason::Stop => "the server stops",
            Reason::Unread => "the client did not read",
            Reason::Broken => "the connection broke",
            Reason::Handshake => "no TLS",
            Reason::Proxy => "no PROXY header",
            Reason::Full => "too many connections",
            Reason::Dropped => "dropped in the midst of an answer",
            Reason::Fault => "a fault of the server",
        }
    }
}
