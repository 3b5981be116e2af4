//! What the server tells of itself while it runs, and what can be changed in it meanwhile: figures, protocol traces, the
//! certificate, whether it answers.
//!
//! Invariant: watching costs a session a few relaxed atomics for a command, and nothing of a message's content, no password and
//! no literal comes out of here. Knows no sockets.

pub(crate) mod figures;
pub(crate) mod tally;
pub mod trace;

pub use figures::{BUCKETS_MICROS, CommandFigures, Snapshot};
pub use trace::{Said, Trace, TraceLine};

use figures::Figures;
use parking_lot::RwLock;
use std::sync::Arc;
use tokio_rustls::rustls::ServerConfig;
use trace::Traces;

/// What a running server shares with whoever watches it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Watch {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    figures: Figures,
    traces: Arc<Traces>,
    tls: RwLock<Arc<ServerConfig>>,
}

impl Watch {
    pub(crate) fn new(tls: Arc<ServerConfig>) -> Watch {
        let inner = Inner { figures: Figures::new(), traces: Arc::default(), tls: RwLock::new(tls) };
        Watch { inner: Arc::new(inner) }
    }

    /// Handshakes from now on use these settings; connections that are there stay as they are.
    pub fn set_tls(&self, tls: Arc<ServerConfig>) {
        *self.inner.tls.write() = tls;
    }

    pub(crate) fn tls(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.inner.tls.read())
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

    pub(crate) fn traces(&self) -> &Traces {
        &self.inner.traces
    }
}
