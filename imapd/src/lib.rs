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

pub use net::Server;

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
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            imap: Vec::new(),
            imaps: Vec::new(),
            plain_on_loopback: false,
            refuse_store: false,
            all_mail: true,
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
            max_connections_per_user: 250,
            max_connections_per_address: 2_000,
            max_before_login_per_address: 50,
            max_notify_mailboxes: 5_000,
            max_searches: 4,
            progress_after_ms: 1_000,
            progress_every_ms: 5_000,
        }
    }
}
