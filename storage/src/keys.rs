//! The master key, which wraps every store's key: made once, kept in a file that only its owner reads, or elsewhere as the
//! same text; and on paper.
//!
//! Invariant: a key file is never replaced and never read when others could have read it. The keys that come from
//! the master key are `pack::crypt`'s.

pub mod secret;
pub mod sheet;

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

/// The installation's master key, 256 bits; wiped from memory on drop, never shown. It may bring along the key before it,
/// which still opens stores while a rotation is under way.
#[derive(Clone, zeroize::ZeroizeOnDrop)]
pub struct MasterKey {
    bytes: [u8; 32],
    /// Wiped by its own drop.
    #[zeroize(skip)]
    older: Option<Box<MasterKey>>,
}

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
        Ok(MasterKey { bytes, older: None })
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
        file.write_all(self.text().as_bytes()).and_then(|()| file.sync_all()).map_err(Error::io(path))?;
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
        MasterKey::parse(&text)
            .filter(|_| text.len() == FILE_BYTES)
            .ok_or_else(|| refused(path, "is not a master key file"))
    }

    /// The key of a key file's text, whose line end may be missing; `None` when it is no such text.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<MasterKey> {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let digits = text.strip_prefix(PREFIX.as_bytes())?;
        let mut key = MasterKey { bytes: [0; 32], older: None };
        hex::decode_to_slice(digits, &mut key.bytes).ok()?;
        Some(key)
    }

    /// The text of its key file.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        // Reserved whole, so that growing leaves no copies behind.
        let mut text = Zeroizing::new(String::with_capacity(FILE_BYTES));
        text.push_str(PREFIX);
        for byte in &self.bytes {
            text.push(char::from(DIGITS[usize::from(byte >> 4)]));
            text.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        text.push('\n');
        text
    }

    /// Names the key without telling anything of it: 32 hexadecimal digits, which stand in every pack's header too.
    #[must_use]
    pub fn id(&self) -> String {
        // Deriving fails only for outputs longer than the hash allows.
        crate::pack::crypt::key_id(self).map(hex::encode).unwrap_or_default()
    }

    /// The key with the one before it, which opens what this one doesn't yet.
    #[must_use]
    pub fn with_older(self, older: MasterKey) -> MasterKey {
        MasterKey { older: Some(Box::new(older)), ..self.alone() }
    }

    /// The key without the one before it.
    #[must_use]
    pub fn alone(&self) -> MasterKey {
        MasterKey { bytes: self.bytes, older: None }
    }

    /// The key before it, if it came along.
    #[must_use]
    pub fn older(&self) -> Option<&MasterKey> {
        self.older.as_deref()
    }

    /// The key itself, for deriving.
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.bytes
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
        assert_eq!(MasterKey::load(&path).unwrap().bytes, key.bytes);
        let before = fs::read(&path).unwrap();
        assert!(matches!(MasterKey::generate().unwrap().save(&path), Err(Error::Key { .. })));
        assert_eq!(fs::read(&path).unwrap(), before, "the key that was there stays");
        assert!(!format!("{key:?}").contains(&hex::encode(key.bytes)[..6]));
    }

    #[test]
    fn the_text_of_a_key_file_is_a_key_with_and_without_its_line_end() {
        let key = MasterKey::generate().unwrap();
        let text = key.text();
        let text = text.as_bytes();
        assert_eq!(MasterKey::parse(text).unwrap().bytes, key.bytes);
        assert_eq!(MasterKey::parse(&text[..FILE_BYTES - 1]).unwrap().bytes, key.bytes);
        assert_eq!(key.id().len(), 32);
        assert_ne!(key.id(), MasterKey::generate().unwrap().id());
        for bad in [&text[1..], &text[..FILE_BYTES - 2], &[text, b"\n"].concat(), &[b" ", text].concat()] {
            assert!(MasterKey::parse(bad).is_none());
        }
        let both = key.alone().with_older(MasterKey::generate().unwrap());
        assert!(both.older().is_some() && both.alone().older().is_none());
        assert_eq!(both.id(), key.id());
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
