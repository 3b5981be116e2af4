//! Passwords that were right a while ago, so that a client that opens ten connections is hashed for once.
//!
//! Invariant: what is kept is a keyed hash (HMAC-SHA-256, with a key that this process made and never shows) of user, password
//! and the stored hash; so another password never matches, and a changed one leaves nothing that could. Bounded in number and
//! in time. Says only yes: for a wrong password argon2id decides, at its price.

use aws_lc_rs::hmac;
use std::collections::HashMap;
use std::time::{Duration, Instant};
use zeroize::{Zeroize, Zeroizing};

/// One user's password that was right.
struct Entry {
    tag: [u8; 32],
    until: Instant,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.tag.zeroize();
    }
}

/// The passwords that were right lately, one a user. No `Debug`.
pub(crate) struct Verified {
    key: hmac::Key,
    users: HashMap<String, Entry>,
    keep: Duration,
    most: usize,
}

impl Verified {
    /// Keeps at most `most` for `keep` each; a `keep` of zero keeps none.
    /// # Errors
    /// The system has no randomness to give.
    pub(crate) fn new(keep: Duration, most: usize) -> Result<Verified, crate::Error> {
        let mut secret = Zeroizing::new([0_u8; 32]);
        getrandom::fill(secret.as_mut()).map_err(|error| crate::Error::Hash(error.to_string()))?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_ref());
        Ok(Verified { key, users: HashMap::new(), keep, most })
    }

    /// Whether this password, in the form in which passwords are hashed, was right for this stored hash not long ago.
    pub(crate) fn knows(&mut self, name: &str, password: &[u8], stored: &str, now: Instant) -> bool {
        let Some(entry) = self.users.get(name) else { return false };
        if entry.until <= now {
            self.users.remove(name);
            return false;
        }
        // Compared in constant time.
        hmac::verify(&self.key, &message(name, password, stored), &entry.tag).is_ok()
    }

    /// It was right.
    pub(crate) fn note(&mut self, name: &str, password: &[u8], stored: &str, now: Instant) {
        if self.keep.is_zero() || self.most == 0 {
            return;
        }
        let Some(until) = now.checked_add(self.keep) else { return };
        if !self.users.contains_key(name) && self.users.len() >= self.most {
            self.users.retain(|_, entry| entry.until > now);
            let oldest = self.users.iter().min_by_key(|(_, entry)| entry.until).map(|(name, _)| name.clone());
            if let Some(oldest) = oldest.filter(|_| self.users.len() >= self.most) {
                self.users.remove(&oldest);
            }
        }
        let made = hmac::sign(&self.key, &message(name, password, stored));
        let mut tag = [0_u8; 32];
        tag.copy_from_slice(made.as_ref());
        self.users.insert(name.to_owned(), Entry { tag, until });
    }

    /// Forgets a user whose password, privileges or existence have changed.
    pub(crate) fn forget(&mut self, name: &str) {
        self.users.remove(name);
    }
}

/// Name, password and stored hash, so that no two triples give the same bytes.
fn message(name: &str, password: &[u8], stored: &str) -> Zeroizing<Vec<u8>> {
    let parts = [name.as_bytes(), password, stored.as_bytes()];
    let mut out = Zeroizing::new(Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum()));
    for part in parts {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn only_the_same_password_of_the_same_hash_in_its_time() {
        let mut verified = Verified::new(MINUTE, 10).unwrap();
        let now = Instant::now();
        verified.note("alice", b"correct horse", "hash", now);
        assert!(verified.knows("alice", b"correct horse", "hash", now));
        for (name, password, stored) in [
            ("alice", "correct hors", "hash"),
            ("alice", "", "hash"),
            ("bob", "correct horse", "hash"),
            ("alice", "correct horse", "other hash"),
            ("alice", "correct horseh", "ash"),
        ] {
            assert!(!verified.knows(name, password.as_bytes(), stored, now), "{name} {password} {stored}");
        }
        assert!(verified.knows("alice", b"correct horse", "hash", now + MINUTE - Duration::from_nanos(1)));
        assert!(!verified.knows("alice", b"correct horse", "hash", now + MINUTE));
        assert!(verified.users.is_empty(), "what is over is gone");
    }

    #[test]
    fn what_is_forgotten_or_too_many_is_gone() {
        let mut verified = Verified::new(MINUTE, 2).unwrap();
        let now = Instant::now();
        for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
            verified.note(name, b"x", "hash", now + Duration::from_secs(n as u64));
        }
        assert_eq!(verified.users.len(), 2);
        assert!(!verified.knows("a", b"x", "hash", now) && verified.knows("c", b"x", "hash", now));
        verified.forget("c");
        assert!(!verified.knows("c", b"x", "hash", now) && verified.knows("b", b"x", "hash", now));
        let mut none = Verified::new(Duration::ZERO, 2).unwrap();
        none.note("a", b"x", "hash", now);
        assert!(none.users.is_empty());
    }
}
