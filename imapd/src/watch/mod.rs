//! What the server tells of itself while it runs, and what can be changed in it meanwhile: figures, protocol traces, the
//! certificate, whether it answers.
//!
//! Invariant: watching costs a session a few relaxed atomics for a command, and nothing of a message's content, no password and
//! no literal comes out of here. Knows no sockets.

pub(crate) mod figures;
pub(crate) mod sessions;
pub(crate) mod tally;
pub mod trace;

pub use figures::{BUCKETS_MICROS, CommandFigures, Snapshot};
pub use sessions::SessionEntry;
pub use trace::{Said, Trace, TraceLine};

use figures::Figures;
use parking_lot::RwLock;
use std::sync::Arc;
use tokio_rustls::rustls::ServerConfig;
use trace::Traces;

/// What TLS works with.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Versions, certificate, key.
    pub config: Arc<ServerConfig>,
    /// The certificate's hash that SCRAM can be bound to (`tls-server-end-point`, RFC 5929 §4.1), where it is defined.
    pub end_point: Option<Arc<[u8]>>,
}

impl From<Arc<ServerConfig>> for Tls {
    fn from(config: Arc<ServerConfig>) -> Tls {
        Tls { config, end_point: None }
    }
}

/// What a running server shares with whoever watches it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Watch {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    figures: Figures,
    traces: Arc<Traces>,
    sessions: Arc<sessions::Sessions>,
    tls: RwLock<Tls>,
}

impl Watch {
    pub(crate) fn new(tls: Tls) -> Watch {
        let (figures, traces, sessions) = (Figures::new(), Arc::default(), Arc::default());
        let inner = Inner { figures, traces, sessions, tls: RwLock::new(tls) };
        Watch { inner: Arc::new(inner) }
    }

    /// Handshakes from now on use these settings; connections that are there stay as they are.
    pub fn set_tls(&self, tls: impl Into<Tls>) {
        *self.inner.tls.write() = tls.into();
    }

    pub(crate) fn tls(&self) -> Tls {
        self.inner.tls.read().clone()
    }

    /// All figures as they are now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.inner.figures.snapshot()
    }

    pub(crate) fn figures(&self) -> &Figures {
        &self.inner.figures
    }

    /// Begins to trace a user's sessions: what they send and get from their next command on, until the trace is dropped. `None`:
    /// [`trace::MAX_TRACES`] run already.
    #[must_use]
    pub fn trace(&self, user: &str) -> Option<Trace> {
        Traces::begin(&self.inner.traces, user)
    }

    /// The sessions that have logged in, the oldest first.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionEntry> {
        self.inner.sessions.all()
    }

    /// Has the sessions for which this is true end with their next step; gives those. Whoever asks must then wake them, by
    /// [`auth::Auth::look_again`].
    pub fn kill(&self, which: impl Fn(&SessionEntry) -> bool) -> Vec<SessionEntry> {
        self.inner.sessions.kill(which)
    }

    pub(crate) fn list(
        &self,
        user: &str,
        address: std::net::IpAddr,
        by: auth::Credential,
        tls: bool,
        tally: &Arc<tally::Tally>,
    ) -> sessions::Listed {
        sessions::Sessions::list(&self.inner.sessions, user, address, by, tls, tally)
    }

    pub(crate) fn traces(&self) -> &Traces {
        &self.inner.traces
    }
}
