//! The read-only IMAP4 server: `proto` (bytes ⇄ commands), `session` (state machine), `net` (sockets).
//!
//! Invariant: nothing a client sends changes the archive; only `net` knows sockets; memory per connection does not
//! grow with the mailbox or the message.

use auth::Auth;
use std::net::SocketAddr;
use std::sync::Arc;
use storage::Storage;
use tokio_rustls::rustls::ServerConfig;

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
    /// Connections of one user.
    pub max_connections_per_user: usize,
    /// Connections from one address.
    pub max_connections_per_address: usize,
    /// Connections from one address that have not logged in.
    pub max_before_login_per_address: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            imap: Vec::new(),
            imaps: Vec::new(),
            plain_on_loopback: false,
            refuse_store: false,
            max_line_before_login: 8 << 10,
            max_line: 64 << 10,
            max_literal_before_login: 4 << 10,
            max_literal: 64 << 10,
            max_bad_before_login: 3,
            max_bad: 20,
            command_timeout_secs: 60,
            login_timeout_secs: 60,
            idle_timeout_secs: 30 * 60,
            max_connections_per_user: 250,
            max_connections_per_address: 2_000,
            max_before_login_per_address: 50,
        }
    }
}

/// Bound listeners, not yet serving.
#[derive(Debug)]
pub struct Server {
    _todo: (Settings, Option<(Auth, Storage)>, Option<Arc<ServerConfig>>),
}

impl Server {
    /// Binds all listeners (port 0: any free one).
    /// # Errors
    /// The first address that can't be bound.
    pub async fn bind(
        settings: Settings,
        tls: Arc<ServerConfig>,
        storage: Storage,
        auth: Auth,
    ) -> std::io::Result<Server> {
        Ok(Server { _todo: (settings, Some((auth, storage)), Some(tls)) })
    }
    /// The addresses that were bound: (plain, TLS), in the settings' order.
    #[must_use]
    pub fn addresses(&self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        todo!()
    }
    /// Serves until `stop` turns true; then every session gets `* BYE` and is closed, and this returns (at most 10 s later).
    pub async fn run(self, stop: tokio::sync::watch::Receiver<bool>) {
        let _ = stop;
        todo!()
    }
}
