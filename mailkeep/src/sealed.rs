//! Who seals the directory's password: the key that profiles' passwords are sealed with, which the master key wraps.

use archiver::profile::Profiles;
use auth::directory::Vault;
use zeroize::Zeroizing;

/// Seals with the archiver's vault.
pub(crate) struct Sealed(pub(crate) Profiles);

impl Vault for Sealed {
    fn seal(&self, about: &str, secret: &[u8]) -> Result<Vec<u8>, String> {
        self.0.seal(&name(about), secret).map_err(|error| error.to_string())
    }
    fn open(&self, about: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
        self.0.unseal(&name(about), sealed).map_err(|error| error.to_string())
    }
}

/// What no profile can be called.
fn name(about: &str) -> String {
    format!("auth {about}")
}
