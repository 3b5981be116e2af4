//! The master key, which wraps every store's key; and the store's and packs' keys that come from it.
use crate::Error;
use std::path::Path;

/// The installation's master key, 256 bits; wiped from memory on drop, never shown.
#[derive(Clone, zeroize::ZeroizeOnDrop)]
pub struct MasterKey([u8; 32]);

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

impl MasterKey {
    /// A new random key.
    /// # Errors
    /// `Key` when the system has no randomness to give.
    pub fn generate() -> Result<MasterKey, Error> {
        todo!()
    }
    /// Writes the key to a new file, mode 0600, synced; refuses to replace one.
    /// # Errors
    /// `Key`, `Io`.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let _ = (path, &self.0);
        todo!()
    }
    /// Reads the key file; refuses one that others can read.
    /// # Errors
    /// `Key`, `Io`.
    pub fn load(path: &Path) -> Result<MasterKey, Error> {
        let _ = path;
        todo!()
    }
}
