//! What logins need of the rest of the program: a key for secrets that must be read again, somebody who has gathered notes written, and
//! the issuer's keys before the first token comes.

use crate::data::Installation;
use archiver::Archiver;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use zeroize::Zeroizing;

/// How long notes of logins stay in memory at most while nobody logs in.
const WRITE_EVERY: Duration = Duration::from_secs(60);

/// Seals users' secrets by the key that the master key wraps for profiles' passwords: a new master key wraps that anew, and so nothing
/// has to be sealed again.
pub(crate) struct Vault(pub(crate) Archiver);

impl auth::Sealer for Vault {
    fn seal(&self, about: &str, secret: &[u8]) -> Result<Vec<u8>, String> {
        self.0.profiles().seal_other(about, secret).map_err(|error| error.to_string())
    }
    fn open(&self, about: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
        self.0.profiles().open_other(about, sealed).map_err(|error| error.to_string())
    }
}

/// Has the issuer's keys fetched at the beginning, and notes of logins written now and then, until `stop` turns true. The last ones are
/// written when the installation is closed.
pub(crate) async fn keep(installation: Arc<Installation>, mut stop: watch::Receiver<bool>) {
    let auth = installation.auth.clone();
    // Nobody waits for it: without them, the first login by a token fetches them.
    tokio::task::spawn_blocking(move || {
        if let Err(error) = auth.fetch_keys() {
            tracing::warn!(%error, "logins by tokens have to wait until the issuer's keys can be fetched");
        }
    });
    loop {
        tokio::select! {
            () = tokio::time::sleep(WRITE_EVERY) => {}
            () = crate::upkeep::told(&mut stop) => return,
        }
        let auth = installation.auth.clone();
        match tokio::task::spawn_blocking(move || auth.flush_logins().and(auth.audit_flush())).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "notes of logins could not be written"),
            Err(error) => tracing::error!(%error, "writing notes of logins broke"),
        }
    }
}
