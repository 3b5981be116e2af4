//! The key that signs heads: Ed25519, made once, in a file that only its owner reads; its public half beside it.
//!
//! Invariant: a key file is never replaced, and never used when others could have read it: heads that were sent
//! elsewhere are worth what this key is worth.

use crate::Error;
use crate::pack::crypt;
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// What a key file starts with; 64 hexadecimal digits and a line end follow.
const PREFIX: &str = "mailkeep-evidence-key-1:";
/// A key file's exact length.
const FILE_BYTES: usize = PREFIX.len() + 64 + 1;
/// More than a public key's file has.
const MAX_PEM_BYTES: u64 = 4 << 10;
/// RFC 8410: what stands before an Ed25519 public key in a SubjectPublicKeyInfo.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The installation's key for heads; its seed is wiped from memory on drop, never shown.
#[derive(Clone)]
pub struct EvidenceKey {
    seed: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl std::fmt::Debug for EvidenceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EvidenceKey(public {})", hex::encode(self.public))
    }
}

impl EvidenceKey {
    /// A new random key.
    /// # Errors
    /// `Evidence` when the system has no randomness to give.
    pub fn generate() -> Result<EvidenceKey, Error> {
        let seed = crypt::random().map_err(|e| refused(Path::new("(new key)"), &e.to_string()))?;
        EvidenceKey::of(Zeroizing::new(seed)).ok_or_else(|| refused(Path::new("(new key)"), "can't be made"))
    }

    fn of(seed: Zeroizing<[u8; 32]>) -> Option<EvidenceKey> {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed[..]).ok()?;
        let public = pair.public_key().as_ref().try_into().ok()?;
        Some(EvidenceKey { seed, public })
    }

    /// The key in `path`; a new one, durable on return, if there is none. The public half stands in `public` as PEM, for
    /// people; that of an earlier key is kept beside it.
    /// # Errors
    /// `Evidence` when it is no key file or others have rights on it; `Io`.
    pub fn load_or_make(path: &Path, public: &Path) -> Result<EvidenceKey, Error> {
        let key = match EvidenceKey::load(path) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                // Without a master key in a file there may be no directory for keys yet.
                if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty() && !dir.exists()) {
                    DirBuilder::new().mode(0o700).create(dir).map_err(Error::io(dir))?;
                }
                let key = EvidenceKey::generate()?;
                key.save(path)?;
                key
            }
            other => other?,
        };
        key.keep_public(public)?;
        Ok(key)
    }

    /// Makes sure that the file has this key's public half. That of another key (the secret half was lost, or not in a
    /// backup) gets a name of its own: heads that others keep were signed with it.
    fn keep_public(&self, path: &Path) -> Result<(), Error> {
        let mut there = Vec::new();
        match File::open(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(Error::io(path)(e)),
            Ok(file) => {
                file.take(MAX_PEM_BYTES).read_to_end(&mut there).map_err(Error::io(path))?;
                let other = public_key(&String::from_utf8_lossy(&there));
                if other == Some(self.public) {
                    return Ok(());
                }
                let name = other.map_or_else(|| "unknown".to_owned(), |key| hex::encode(&key[..8]));
                let old = path.with_extension(format!("{name}.pub"));
                std::fs::rename(path, &old).map_err(Error::io(&old))?;
            }
        }
        write_new(path, 0o644, self.public_pem().as_bytes())
    }

    /// Writes the key to a new file, mode 0600, synced with its directory; refuses to replace one.
    /// # Errors
    /// `Evidence` when there is a file already; `Io`.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let mut text = Zeroizing::new([0u8; FILE_BYTES]);
        let (prefix, rest) = text.split_at_mut(PREFIX.len());
        prefix.copy_from_slice(PREFIX.as_bytes());
        if let Some((end, digits)) = rest.split_last_mut() {
            *end = b'\n';
            hex::encode_to_slice(&self.seed[..], digits).map_err(|e| refused(path, &e.to_string()))?;
        }
        write_new(path, 0o600, &text[..])
    }

    /// Reads the key file; refuses one that others can read or write.
    /// # Errors
    /// `Evidence` when it is no key file or others have rights on it; `Io`.
    pub fn load(path: &Path) -> Result<EvidenceKey, Error> {
        let file = File::open(path).map_err(Error::io(path))?;
        let meta = file.metadata().map_err(Error::io(path))?;
        if !meta.is_file() {
            return Err(refused(path, "is not a file"));
        }
        if meta.mode() & 0o077 != 0 {
            let mode = meta.mode() & 0o7777;
            return Err(refused(
                path,
                &format!("has mode {mode:04o}; others must have no rights: chmod 600"),
            ));
        }
        let mut text = Zeroizing::new(Vec::with_capacity(FILE_BYTES + 1));
        file.take(FILE_BYTES as u64 + 1).read_to_end(&mut text).map_err(Error::io(path))?;
        let wrong = || refused(path, "is not an evidence key file; put the key back from a backup");
        let digits = text
            .strip_prefix(PREFIX.as_bytes())
            .and_then(|rest| rest.strip_suffix(b"\n"))
            .ok_or_else(wrong)?;
        let mut seed = Zeroizing::new([0; 32]);
        hex::decode_to_slice(digits, &mut seed[..]).map_err(|_| wrong())?;
        EvidenceKey::of(seed).ok_or_else(wrong)
    }

    /// The public key's 32 bytes (RFC 8032).
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.public
    }

    /// The public key as PEM (RFC 8410): what openssl reads.
    #[must_use]
    pub fn public_pem(&self) -> String {
        let der = [&SPKI[..], &self.public].concat();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    /// Signs a text. What else than heads of stores is signed says so in its first line.
    /// # Errors
    /// `Evidence` when the key can't sign.
    pub fn sign(&self, text: &[u8]) -> Result<[u8; 64], Error> {
        let failed = || refused(Path::new("(signature)"), "can't be made");
        let pair = Ed25519KeyPair::from_seed_unchecked(&self.seed[..]).map_err(|_| failed())?;
        pair.sign(text).as_ref().try_into().map_err(|_| failed())
    }
}

/// A public key from its PEM file or its 64 hexadecimal digits.
#[must_use]
pub fn public_key(text: &str) -> Option<[u8; 32]> {
    let text = text.trim();
    let mut key = [0; 32];
    if hex::decode_to_slice(text, &mut key).is_ok() {
        return Some(key);
    }
    let body = text.strip_prefix("-----BEGIN PUBLIC KEY-----")?.strip_suffix("-----END PUBLIC KEY-----")?;
    let body: String = body.split_ascii_whitespace().collect();
    let der = STANDARD.decode(body).ok()?;
    der.strip_prefix(&SPKI)?.try_into().ok()
}

/// Whether the signature over `text` is the key's.
#[must_use]
pub fn is_signed(public: &[u8; 32], text: &[u8], signature: &[u8; 64]) -> bool {
    signed(public, text, signature)
}

pub(super) fn signed(public: &[u8; 32], text: &[u8], signature: &[u8; 64]) -> bool {
    UnparsedPublicKey::new(&ED25519, public).verify(text, signature).is_ok()
}

fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<(), Error> {
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
            return Err(refused(
                path,
                "is there already; it is never replaced, since heads were signed with it",
            ));
        }
        other => other.map_err(Error::io(path))?,
    };
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(Error::io(path))?;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(dir).and_then(|d| d.sync_all()).map_err(Error::io(dir))
}

fn refused(path: &Path, what: &str) -> Error {
    Error::Evidence { path: path.into(), what: what.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_its_file_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        let (path, public) = (keys.join("evidence.key"), keys.join("evidence.pub"));
        let key = EvidenceKey::load_or_make(&path, &public).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        let again = EvidenceKey::load_or_make(&path, &public).unwrap();
        assert_eq!((again.public, again.seed), (key.public, key.seed.clone()));
        assert_eq!(public_key(&fs::read_to_string(&public).unwrap()), Some(key.public));
        assert_eq!(public_key(&hex::encode(key.public)), Some(key.public));
        assert_eq!(public_key("-----BEGIN PUBLIC KEY-----"), None);
        let before = fs::read(&path).unwrap();
        assert!(matches!(EvidenceKey::generate().unwrap().save(&path), Err(Error::Evidence { .. })));
        assert_eq!(fs::read(&path).unwrap(), before, "the key that was there stays");
        assert!(!format!("{key:?}").contains(&hex::encode(&key.seed[..])[..6]));
        // A lost public half is written again.
        fs::remove_file(&public).unwrap();
        EvidenceKey::load_or_make(&path, &public).unwrap();
        assert!(public.exists());
        // With a lost secret half there is another key; the old public half is kept.
        fs::remove_file(&path).unwrap();
        let other = EvidenceKey::load_or_make(&path, &public).unwrap();
        assert_ne!(other.public, key.public);
        assert_eq!(public_key(&fs::read_to_string(&public).unwrap()), Some(other.public));
        let old = keys.join(format!("evidence.{}.pub", hex::encode(&key.public[..8])));
        assert_eq!(public_key(&fs::read_to_string(old).unwrap()), Some(key.public));
        fs::write(&public, b"no key").unwrap();
        EvidenceKey::load_or_make(&path, &public).unwrap();
        assert_eq!(public_key(&fs::read_to_string(&public).unwrap()), Some(other.public));
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_and_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (path, public) = (dir.path().join("evidence.key"), dir.path().join("evidence.pub"));
        EvidenceKey::generate().unwrap().save(&path).unwrap();
        let before = fs::read(&path).unwrap();
        for mode in [0o640, 0o620, 0o610, 0o604, 0o602, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = EvidenceKey::load_or_make(&path, &public);
            assert!(matches!(refused, Err(Error::Evidence { .. })), "{mode:o}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for bad in
            [&before[..before.len() - 1], &[&before[..], b"\n"].concat(), b"", b"mailkeep-evidence-key-1:\n"]
        {
            fs::write(&path, bad).unwrap();
            assert!(matches!(EvidenceKey::load_or_make(&path, &public), Err(Error::Evidence { .. })));
            assert_eq!(fs::read(&path).unwrap(), bad);
        }
    }

    /// RFC 8032 §7.1, test 2.
    #[test]
    fn signatures_are_those_of_the_rfc() {
        let seed = hex::decode("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb").unwrap();
        let key = EvidenceKey::of(Zeroizing::new(seed.try_into().unwrap())).unwrap();
        let public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
        assert_eq!(hex::encode(key.public()), public);
        let signature = key.sign(&[0x72]).unwrap();
        assert_eq!(
            hex::encode(signature),
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        );
        assert!(signed(&key.public(), &[0x72], &signature));
        assert!(!signed(&key.public(), &[0x73], &signature));
        assert!(!signed(&[0; 32], &[0x72], &signature));
    }
}
