//! The read-only IMAP4 server: `proto` (bytes ⇄ commands), `session` (state machine), `net` (sockets).
//!
//! Invariant: nothing a client sends changes the archive; only `net` knows sockets; memory per connection does not
//! grow with the mailbox or the message.

mod cmd;
mod gate;
mod net;
mod proto;
mod queue;
mod reply;
mod session;
pub mod watch;

pub use auth::Network;
pub use net::{Inherited, Pulse, Server};

use std::net::SocketAddr;

/// Settings and bounds of the server; `Default` gives the documented values (DESIGN section 9).
#[derive(Debug, Clone)]
pub struct Settings {
    /// Listeners without TLS at first (STARTTLS offered).
    pub imap: Vec<SocketAddr>,
    /// Listeners with TLS from the start.
    pub imaps: Vec<SocketAddr>,
    /// Passwords without TLS are taken from loopback addresses.
    pub plain_on_loopback: bool,
    /// Refuse STORE with NO instead of ignoring it.
    pub refuse_store: bool,
    /// The mailbox `All Mail` is there.
    pub all_mail: bool,
    /// A folder of so many messages has a mailbox for each of its years; 0: none has.
    pub year_mailboxes_from: u64,
    /// What clients are told of the server (METADATA's /shared/comment, RFC 5464 §6.2.1); empty: nothing.
    pub metadata_comment: String,
    /// Whom to turn to, a URI (METADATA's /shared/admin); empty: nobody.
    pub metadata_admin: String,
    /// Command line before login, bytes.
    pub max_line_before_login: usize,
    /// Command line after login, bytes.
    pub max_line: usize,
    /// Literal before login, bytes.
    pub max_literal_before_login: usize,
    /// Literal after login, bytes.
    pub max_literal: usize,
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
    /// Pause between the `* OK Still here` of IDLE, so that no router forgets the connection.
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
    /// Searches that read messages and run at once; one user has at most half of them. Others wait their turn.
    pub max_searches: usize,
    /// A search that runs longer tells how far it is.
    pub progress_after_ms: u64,
    /// Pause between what it tells.
    pub progress_every_ms: u64,
    /// Connections in all.
    pub max_connections: usize,
    /// Sessions that work at once, each on a thread; the others wait their turn, without one.
    pub max_at_work: usize,
    /// Time for TLS to begin.
    pub handshake_timeout_secs: u64,
    /// Time for a client to take a piece of an answer.
    pub write_timeout_secs: u64,
    /// COMPRESS=DEFLATE is offered.
    pub compress: bool,
    /// It is offered with TLS too.
    pub compress_with_tls: bool,
    /// zlib's level, 1 (fast) to 9.
    pub compress_level: u32,
    /// Proxies: connections from there must begin with a PROXY header, and no others may.
    pub proxy_from: Vec<Network>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            imap: Vec::new(),
            imaps: Vec::new(),
            plain_on_loopback: false,
            refuse_store: false,
            all_mail: true,
            year_mailboxes_from: 0,
            metadata_comment: String::new(),
            metadata_admin: String::new(),
            max_line_before_login: 8 << 10,
            max_line: 64 << 10,
            max_literal_before_login: 4 << 10,
            max_literal: 64 << 10,
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
            progress_after_ms: 1_000,
            progress_every_ms: 5_000,
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
