//! Passwords: their rules, argon2id, and the gate that bounds how many are hashed at once.
//!
//! Invariant: every check of a password costs one argon2id of the same parameters, whether or not there is a hash to
//! compare with. Secrets are wiped and have no `Debug`.

use crate::Error;
use argon2::password_hash::phc::{Output, PasswordHash};
use argon2::{Algorithm, Argon2, Block, Params, PasswordHasher, Version};
use parking_lot::{Condvar, Mutex};
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// Fewest characters of a new password.
pub const MIN_PASSWORD_CHARS: usize = 8;
/// Longest password, bytes of UTF-8.
pub const MAX_PASSWORD_BYTES: usize = 1_024;

/// The form in which passwords are hashed (RFC 8265 §4.2.2, OpaqueString): NFC, every kind of blank an ASCII one.
fn opaque(password: &str) -> Zeroizing<String> {
    // Reserved at its greatest size, so that growing leaves no copies behind.
    let mut out = Zeroizing::new(String::with_capacity(password.len() * 3));
    out.extend(password.nfc().map(|c| if c.is_whitespace() && !c.is_control() { ' ' } else { c }));
    out
}

/// The form of a password that may be somebody's.
pub(crate) fn hashed_form(password: &str) -> Option<Zeroizing<String>> {
    (password.len() <= MAX_PASSWORD_BYTES).then(|| opaque(password))
}

/// Checks the rules for a new password.
/// # Errors
/// `BadPassword` with the rule.
pub fn check_password(password: &str) -> Result<(), Error> {
    if password.len() > MAX_PASSWORD_BYTES {
        return Err(Error::BadPassword("it is longer than 1,024 bytes"));
    }
    if password.chars().any(char::is_control) {
        return Err(Error::BadPassword("it has a control character (NUL, tab, line end …)"));
    }
    if password.chars().count() < MIN_PASSWORD_CHARS {
        return Err(Error::BadPassword("it is shorter than 8 characters"));
    }
    Ok(())
}

/// Hashes and compares passwords, a few at a time (each takes 19 MiB).
pub(crate) struct Hasher {
    argon2: Argon2<'static>,
    /// The hash of a random password that nobody knows: compared with where there is no user.
    nobody: String,
    gate: Gate,
    /// Work areas of 19 MiB, the last used on top. They are kept since an allocator would keep as much for every thread
    /// that ever hashed; there are no more of them than passwords were hashed at once.
    areas: Mutex<Vec<Vec<Block>>>,
}

impl std::fmt::Debug for Hasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hasher")
    }
}

impl Hasher {
    /// A hasher that works on at most `parallel` passwords at once.
    pub(crate) fn new(parallel: usize) -> Result<Hasher, Error> {
        let argon2 = Argon2::default();
        let mut random = [0u8; 32];
        getrandom::fill(&mut random).map_err(|e| Error::Hash(e.to_string()))?;
        let nobody = argon2.hash_password(&random).map_err(|e| Error::Hash(e.to_string()))?.to_string();
        Ok(Hasher { argon2, nobody, gate: Gate::new(parallel.max(1)), areas: Mutex::default() })
    }

    /// The PHC string of a new password that passed [`check_password`].
    pub(crate) fn hash(&self, password: &str) -> Result<String, Error> {
        let password = opaque(password);
        let _turn = self.gate.enter();
        let hash = self.argon2.hash_password(password.as_bytes()).map_err(|e| Error::Hash(e.to_string()))?;
        Ok(hash.to_string())
    }

    /// Whether `password` is the one of `hash`; without one (none, or an empty one) the answer is no, after the same work.
    pub(crate) fn matches(&self, password: &str, hash: Option<&str>) -> bool {
        let too_long = password.len() > MAX_PASSWORD_BYTES;
        let password = opaque(if too_long { "" } else { password });
        let nobody = || PasswordHash::new(&self.nobody).ok();
        let known = hash.filter(|hash| !too_long && !hash.is_empty()).and_then(|h| match PasswordHash::new(h) {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                tracing::error!(%error, "a stored password hash can't be read; set that user's password anew");
                None
            }
        });
        let is_known = known.is_some();
        let Some(against) = known.or_else(nobody) else { return false };
        let _turn = self.gate.enter();
        // `Output` compares in constant time.
        self.again(password.as_bytes(), &against).is_ok_and(|output| Some(output) == against.hash) && is_known
    }

    /// Hashes `password` as `like` was hashed.
    fn again(&self, password: &[u8], like: &PasswordHash) -> argon2::password_hash::Result<Output> {
        let algorithm = Algorithm::try_from(like.algorithm.as_str())?;
        let version = like.version.map(Version::try_from).transpose()?.unwrap_or_default();
        let params = Params::try_from(like)?;
        let blocks = params.block_count();
        let mut bytes = [0_u8; Output::MAX_LENGTH];
        let length = like.hash.as_ref().map_or(0, Output::len);
        let out = bytes.get_mut(..length).ok_or(argon2::password_hash::Error::OutputSize)?;
        let salt = like.salt.as_ref().ok_or(argon2::password_hash::Error::SaltInvalid)?;
        let mut area = self.areas.lock().pop().unwrap_or_default();
        if area.len() < blocks {
            area.resize(blocks, Block::default());
        }
        let done = Argon2::new(algorithm, version, params).hash_password_into_with_memory(
            password,
            salt,
            out,
            area.get_mut(..blocks).unwrap_or_default(),
        );
        self.areas.lock().push(area);
        done?;
        Output::new(out).map_err(Into::into)
    }
}

/// A counting semaphore for plain threads.
#[derive(Debug)]
struct Gate {
    free: Mutex<usize>,
    freed: Condvar,
}

/// One place behind the gate, given back on drop.
struct Turn<'a>(&'a Gate);

impl Gate {
    fn new(places: usize) -> Gate {
        Gate { free: Mutex::new(places), freed: Condvar::new() }
    }

    fn enter(&self) -> Turn<'_> {
        let mut free = self.free.lock();
        while *free == 0 {
            self.freed.wait(&mut free);
        }
        *free -= 1;
        Turn(self)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn rules_of_passwords() {
        assert!(check_password("1234567").is_err());
        assert!(check_password("12345678").is_ok());
        assert!(check_password("パスワード一二三").is_ok(), "eight characters");
        assert!(check_password(&"x".repeat(MAX_PASSWORD_BYTES)).is_ok());
        assert!(check_password(&"x".repeat(MAX_PASSWORD_BYTES + 1)).is_err());
        assert!(check_password("12345678\0").is_err());
        assert!(check_password("1234\n5678").is_err());
        assert!(check_password("").is_err());
    }

    #[test]
    fn a_hash_matches_its_password_only_in_every_normal_form() {
        let hasher = Hasher::new(1).unwrap();
        let hash = hasher.hash("gr\u{fc}n und\u{a0}blau").unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(hasher.matches("gr\u{fc}n und blau", Some(&hash)));
        assert!(hasher.matches("gru\u{308}n und blau", Some(&hash)));
        assert!(!hasher.matches("grun und blau", Some(&hash)));
        assert!(!hasher.matches("", Some(&hash)));
        assert!(!hasher.matches("gr\u{fc}n und blau", None));
        assert!(!hasher.matches("gr\u{fc}n und blau", Some("$argon2id$broken")));
        assert_ne!(hash, hasher.hash("gr\u{fc}n und\u{a0}blau").unwrap(), "a salt of its own each");
    }

    #[test]
    fn work_areas_are_as_many_as_hashed_at_once() {
        let hasher = Hasher::new(2).unwrap();
        let hash = hasher.hash("one after the other").unwrap();
        for _ in 0..3 {
            assert!(hasher.matches("one after the other", Some(&hash)));
        }
        assert_eq!(hasher.areas.lock().len(), 1);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| assert!(!hasher.matches("all at once", Some(&hash))));
            }
        });
        assert!(hasher.areas.lock().len() <= 2);
        // An older hash with other parameters finds room in the same area.
        let small = Params::new(64, 1, 1, None).unwrap();
        let old =
            Argon2::new(Algorithm::Argon2id, Version::default(), small).hash_password(b"of old").unwrap();
        assert!(hasher.matches("of old", Some(&old.to_string())));
        assert!(!hasher.matches("of new", Some(&old.to_string())));
    }

    #[test]
    fn a_password_past_the_bound_never_matches() {
        let hasher = Hasher::new(1).unwrap();
        let longest = "y".repeat(MAX_PASSWORD_BYTES);
        let hash = hasher.hash(&longest).unwrap();
        assert!(hasher.matches(&longest, Some(&hash)));
        let longer = "y".repeat(MAX_PASSWORD_BYTES + 1);
        let hash = hasher.hash(&longer).unwrap();
        assert!(!hasher.matches(&longer, Some(&hash)));
    }

    #[test]
    fn the_gate_lets_in_no_more_than_its_places() {
        let (gate, inside, most) = (Gate::new(2), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let _turn = gate.enter();
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert!(most.load(Ordering::SeqCst) <= 2);
        assert_eq!(*gate.free.lock(), 2);
    }
}
