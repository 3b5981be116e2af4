//! The master key, which wraps every store's key: made once, kept in a file that only its owner reads.
//!
//! Invariant: a key file is never replaced and never read when others could have read it. The keys that come from
//! the master key are `pack::crypt`'s.

use crate::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// What a key file starts with; 64 hexadecimal digits and a line end follow.
const PREFIX: &str = "mailkeep-master-key-1:";
/// A key file's exact length.
const FILE_BYTES: usize = PREFIX.len() + 64 + 1;

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
        let bytes = crate::pack::crypt::random()
            .map_err(|e| Error::Key { path: "(new)".into(), what: format!("no randomness: {e}") })?;
        Ok(MasterKey(bytes))
    }

    /// Writes the key to a new file, mode 0600, synced with its directory; refuses to replace one.
    /// # Errors
    /// `Key` when there is a file already; `Io`.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let mut file = match opened {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(refused(path, "is there already; it is never replaced, since stores need it"));
            }
            other => other.map_err(Error::io(path))?,
        };
        let mut text = Zeroizing::new([0u8; FILE_BYTES]);
        let (prefix, rest) = text.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX.as_bytes());
        if let Some((end, digits)) = rest.split_last_mut() {
            *end = b'\n';
            hex::encode_to_slice(self.0, digits).map_err(|e| refused(path, &e.to_string()))?;
        }
        file.write_all(&text[..]).and_then(|()| file.sync_all()).map_err(Error::io(path))?;
        let dir = match path.parent() {
            Some(dir) if !dir.as_os_str().is_empty() => dir,
            _ => Path::new("."),
        };
        File::open(dir).and_then(|d| d.sync_all()).map_err(Error::io(dir))
    }

    /// Reads the key file; refuses one that others can read or write.
    /// # Errors
    /// `Key` when it is no key file or others have rights on it; `Io`.
    pub fn load(path: &Path) -> Result<MasterKey, Error> {
        let file = File::open(path).map_err(Error::io(path))?;
        let meta = file.metadata().map_err(Error::io(path))?;
        if !meta.is_file() {
            return Err(refused(path, "is not a file"));
        }
        if meta.mode() & 0o077 != 0 {
            let what =
                format!("has mode {:04o}; others must have no rights: chmod 600", meta.mode() & 0o7777);
            return Err(refused(path, &what));
        }
        let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES + 1));
        file.take(FILE_BYTES as u64 + 1).read_to_end(&mut text).map_err(Error::io(path))?;
        let digits = text
            .strip_prefix(PREFIX.as_bytes())
            .and_then(|rest| rest.strip_suffix(b"\n"))
            .ok_or_else(|| refused(path, "is not a master key file"))?;
        let mut key = MasterKey([0; 32]);
        hex::decode_to_slice(digits, &mut key.0).map_err(|_| refused(path, "is not a master key file"))?;
        Ok(key)
    }

    /// The key itself, for deriving.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

fn refused(path: &Path, what: &str) -> Error {
    Error::Key { path: path.into(), what: what.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_saved_key_is_loaded_and_its_file_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let key = MasterKey::generate().unwrap();
        key.save(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(MasterKey::load(&path).unwrap().0, key.0);
        let before = fs::read(&path).unwrap();
        assert!(matches!(MasterKey::generate().unwrap().save(&path), Err(Error::Key { .. })));
        assert_eq!(fs::read(&path).unwrap(), before, "the key that was there stays");
        assert!(!format!("{key:?}").contains(&hex::encode(key.0)[..6]));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        MasterKey::generate().unwrap().save(&path).unwrap();
        for mode in [0o640, 0o620, 0o610, 0o604, 0o602, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert!(matches!(MasterKey::load(&path), Err(Error::Key { .. })), "{mode:o}");
        }
        for mode in [0o600, 0o400] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            MasterKey::load(&path).unwrap();
        }
    }

    #[test]
    fn a_file_of_other_bytes_is_no_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        MasterKey::generate().unwrap().save(&path).unwrap();
        let good = fs::read(&path).unwrap();
        let mut bad =
            vec![Vec::new(), good[..good.len() - 1].to_vec(), [good.clone(), b"\n".to_vec()].concat()];
        bad.push(good.iter().map(|&b| if b == b':' { b';' } else { b }).collect());
        bad.push([PREFIX.as_bytes(), &[b'g'; 64], b"\n"].concat());
        bad.push([PREFIX.as_bytes(), &[b'0'; 62], b"\n"].concat());
        for bytes in bad {
            fs::write(&path, &bytes).unwrap();
            assert!(matches!(MasterKey::load(&path), Err(Error::Key { .. })), "{bytes:?}");
        }
        assert!(matches!(MasterKey::load(&dir.path().join("none")), Err(Error::Io { .. })));
        assert!(matches!(MasterKey::load(dir.path()), Err(Error::Key { .. } | Error::Io { .. })));
    }
}
