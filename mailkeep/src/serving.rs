//! What commands can reach of a server that runs in this process: its IMAP side and its certificate.
//!
//! Invariant: set once all is bound, gone with the installation; in-process commands find nothing here.

use crate::tls::Tls;
use anyhow::Result;
use imapd::watch::Watch;
use time::OffsetDateTime;

/// A server that runs.
#[derive(Debug, Clone)]
pub(crate) struct Serving {
    /// The IMAP server.
    pub(crate) watch: Watch,
    /// Where its certificate comes from.
    pub(crate) tls: Tls,
}

impl Serving {
    /// Reads certificate and key again; connections that are there stay. When they can't be used the old ones stay in use. Gives
    /// the time at which the new certificate expires.
    pub(crate) fn reload_tls(&self) -> Result<i64> {
        match self.tls.load() {
            Ok(loaded) => {
                self.watch.set_tls(loaded.for_listeners());
                tracing::info!("certificate and key were read again");
                self.tls.say_expiry(&loaded, OffsetDateTime::now_utc().unix_timestamp());
                Ok(loaded.expires)
            }
            Err(error) => {
                tracing::error!("certificate and key can't be used, the old ones stay in use: {error:#}");
                Err(error.context("the old certificate stays in use"))
            }
        }
    }
}
