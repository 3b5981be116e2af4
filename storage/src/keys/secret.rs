//! Keys for secrets that other crates keep: a random key of 256 bits, wrapped by the master key, that seals passwords of
//! mail servers and the like.
//!
//! Invariant: the key leaves memory only wrapped. A new master key wraps it anew, so that what it sealed stays as it is.

use super::MasterKey;
use crate::Error;
use crate::pack::crypt::{NONCE_BYTES, SealKey, Unauthentic, master_seal_key, random};
use zeroize::Zeroizing;

/// What a wrapped key is authenticated with.
const WRAP_PURPOSE: &[u8] = b"mailkeep secrets";

/// A key that seals secrets; wiped on drop, never shown.
#[derive(zeroize::ZeroizeOnDrop)]
pub struct SecretKey([u8; 32]);

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

impl SecretKey {
    /// A new random key.
    /// # Errors
    /// `Key` when the system has no randomness to give.
    pub fn generate() -> Result<SecretKey, Error> {
        random().map(SecretKey).map_err(|error| failed(format!("no randomness: {error}")))
    }

    /// Seals a secret: nonce, content, tag. `about` is authenticated with it: what it belongs to.
    /// # Errors
    /// `Key` when the system has no randomness to give.
    pub fn seal(&self, about: &str, secret: &[u8]) -> Result<Vec<u8>, Error> {
        let key = SealKey::new(&self.0).map_err(|Unauthentic| failed("it can't be used".into()))?;
        seal(&key, about.as_bytes(), secret)
    }

    /// Opens what [`SecretKey::seal`] sealed for the same `about`.
    /// # Errors
    /// `Key`: other bytes, another key, or for something else.
    pub fn open(&self, about: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let key = SealKey::new(&self.0).map_err(|Unauthentic| failed("it can't be used".into()))?;
        open(&key, about.as_bytes(), sealed).ok_or_else(|| failed("it doesn't open this secret".into()))
    }

    /// The key wrapped by a master key.
    /// # Errors
    /// `Key` when the system has no randomness to give.
    pub fn wrap(&self, master: &MasterKey) -> Result<Vec<u8>, Error> {
        let key = master_seal_key(master).map_err(|Unauthentic| failed("it can't be used".into()))?;
        seal(&key, WRAP_PURPOSE, &self.0)
    }

    /// Opens what [`SecretKey::wrap`] gave; none: another master key wrapped it.
    #[must_use]
    pub fn unwrap(wrapped: &[u8], master: &MasterKey) -> Option<SecretKey> {
        let key = master_seal_key(master).ok()?;
        let bytes = open(&key, WRAP_PURPOSE, wrapped)?;
        Some(SecretKey(bytes.as_slice().try_into().ok()?))
    }
}

fn failed(what: String) -> Error {
    Error::Key { path: "(the key of secrets)".into(), what }
}

fn seal(key: &SealKey, about: &[u8], secret: &[u8]) -> Result<Vec<u8>, Error> {
    let nonce: [u8; NONCE_BYTES] = random().map_err(|error| failed(format!("no randomness: {error}")))?;
    let mut data = Zeroizing::new(secret.to_vec());
    let tag = key.seal(nonce, about, &mut data).map_err(|Unauthentic| failed("it can't be used".into()))?;
    Ok([nonce.as_slice(), &data, &tag].concat())
}

fn open(key: &SealKey, about: &[u8], sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
    let mut data = Zeroizing::new(sealed.to_vec());
    let content = key.open(*nonce, about, &mut data).ok()?;
    Some(Zeroizing::new(content.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_back_for_what_it_was_sealed_for_only() {
        let (key, other) = (SecretKey::generate().unwrap(), SecretKey::generate().unwrap());
        let sealed = key.seal("profile a", b"correct horse").unwrap();
        assert_eq!(key.open("profile a", &sealed).unwrap().as_slice(), b"correct horse");
        assert!(key.open("profile b", &sealed).is_err() && other.open("profile a", &sealed).is_err());
        for at in 0..sealed.len() {
            let mut bent = sealed.clone();
            bent[at] ^= 1;
            assert!(key.open("profile a", &bent).is_err(), "byte {at}");
            assert!(key.open("profile a", &sealed[..at]).is_err(), "cut at {at}");
        }
        assert_ne!(sealed, key.seal("profile a", b"correct horse").unwrap());
        assert!(!format!("{key:?}").contains('['));
    }

    #[test]
    fn a_new_master_key_wraps_the_same_key() {
        let (old, new) = (MasterKey::generate().unwrap(), MasterKey::generate().unwrap());
        let key = SecretKey::generate().unwrap();
        let (by_old, by_new) = (key.wrap(&old).unwrap(), key.wrap(&new).unwrap());
        assert_eq!(SecretKey::unwrap(&by_old, &old).unwrap().0, key.0);
        assert_eq!(SecretKey::unwrap(&by_new, &new).unwrap().0, key.0);
        assert!(
            SecretKey::unwrap(&by_old, &new).is_none() && SecretKey::unwrap(&by_new[1..], &new).is_none()
        );
    }
}
