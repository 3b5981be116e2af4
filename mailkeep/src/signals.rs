//! SIGINT and SIGTERM, which both mean: come to a clean end; and SIGHUP, which means to a server: read the certificate again.

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGHUP, from the moment this is made; from then on it doesn't end the program.
pub(crate) fn hangups() -> Result<Signal> {
    signal(SignalKind::hangup()).context("SIGHUP")
}

/// The two signals, from the moment this is made.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to listen; from now on they don't end the program by themselves.
    pub(crate) fn new() -> Result<Signals> {
        let interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
        let terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
        Ok(Signals { interrupt, terminate })
    }

    /// Waits for the next of them.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
