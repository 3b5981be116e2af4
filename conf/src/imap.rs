//! The section `[imap]`: listeners, behaviour, and the bounds on what clients send.

use crate::Network;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};

/// The IMAP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Imap {
    /// Listeners without TLS at first (STARTTLS offered).
    pub listen: Vec<SocketAddr>,
    /// Listeners with TLS from the start.
    pub listen_tls: Vec<SocketAddr>,
    /// Passwords without TLS are taken from loopback addresses.
    pub plain_on_loopback: bool,
    /// STORE is answered with NO instead of being ignored.
    pub refuse_store: bool,
    /// Every user has the mailbox `All Mail` with all messages of the own archive.
    pub all_mail: bool,
    /// A folder of so many messages has a mailbox for each year; 0: none has.
    pub year_mailboxes_from: u64,
    /// What clients are told of the server; empty: nothing.
    pub metadata_comment: String,
    /// Whom to turn to, a URI such as `mailto:`; empty: nobody.
    pub metadata_admin: String,
    /// Command line before login, bytes.
    pub max_line_before_login_bytes: usize,
    /// Command line after login, bytes.
    pub max_line_bytes: usize,
    /// Literal before login, bytes.
    pub max_literal_before_login_bytes: usize,
    /// Literal after login, bytes.
    pub max_literal_bytes: usize,
    /// Bad commands before login.
    pub max_bad_before_login: u32,
    /// Bad commands after login.
    pub max_bad: u32,
    /// Time for one command to arrive.
    pub command_timeout_secs: u64,
    /// Time until login.
    pub login_timeout_secs: u64,
    /// Autologout, also in IDLE.
    pub idle_timeout_secs: u64,
    /// Pause between the signs of life that IDLE gives.
    pub idle_keepalive_secs: u64,
    /// Messages that one FETCH, STORE or SEARCH is about (MESSAGELIMIT); 0: all.
    pub message_limit: u64,
    /// UNAUTHENTICATE is offered.
    pub unauthenticate: bool,
    /// Connections of one user.
    pub max_connections_per_user: usize,
    /// Connections from one address.
    pub max_connections_per_address: usize,
    /// Connections from one address that have not logged in.
    pub max_before_login_per_address: usize,
    /// Mailboxes that one session watches by NOTIFY.
    pub max_notify_mailboxes: usize,
    /// Searches that read messages and run at once; one user has at most half of them.
    pub max_searches: usize,
    /// Connections in all.
    pub max_connections: usize,
    /// Sessions that work at once, each with a thread; the others wait their turn.
    pub max_at_work: usize,
    /// Time for TLS to begin.
    pub handshake_timeout_secs: u64,
    /// A client that doesn't take a piece of an answer in this time is dropped.
    pub write_timeout_secs: u64,
    /// COMPRESS=DEFLATE is offered.
    pub compress: bool,
    /// It is offered with TLS too.
    pub compress_with_tls: bool,
    /// zlib's level, 1 (fast) to 9.
    pub compress_level: u32,
    /// Proxies, which must say for whom they connect (PROXY protocol).
    pub proxy_from: Vec<Network>,
}

impl Default for Imap {
    fn default() -> Self {
        Imap {
            listen: vec![(Ipv4Addr::LOCALHOST, 1143).into()],
            listen_tls: vec![(Ipv4Addr::LOCALHOST, 1993).into()],
            plain_on_loopback: false,
            refuse_store: false,
            all_mail: true,
            year_mailboxes_from: 0,
            metadata_comment: String::new(),
            metadata_admin: String::new(),
            max_line_before_login_bytes: 8 << 10,
            max_line_bytes: 64 << 10,
            max_literal_before_login_bytes: 4 << 10,
            max_literal_bytes: 64 << 10,
            max_bad_before_login: 3,
            max_bad: 20,
            command_timeout_secs: 60,
            login_timeout_secs: 60,
            idle_timeout_secs: 30 * 60,
            idle_keepalive_secs: 120,
            message_limit: 0,
            unauthenticate: true,
            max_connections_per_user: 250,
            max_connections_per_address: 2_000,
            max_before_login_per_address: 50,
            max_notify_mailboxes: 5_000,
            max_searches: 4,
            max_connections: 20_000,
            max_at_work: 16,
            handshake_timeout_secs: 10,
            write_timeout_secs: 300,
            compress: true,
            compress_with_tls: true,
            compress_level: 1,
            proxy_from: Vec::new(),
        }
    }
}

/// RFC 9738 §3: a limit below this SHOULD NOT be announced.
const LEAST_MESSAGE_LIMIT: u64 = 1_000;

impl Imap {
    /// The key that makes no sense, and why.
    pub(crate) fn nonsense(&self) -> Option<(&'static str, String)> {
        (1..LEAST_MESSAGE_LIMIT)
            .contains(&self.message_limit)
            .then(|| ("imap.message_limit", format!("is 0 (no limit) or at least {LEAST_MESSAGE_LIMIT}")))
    }
}
