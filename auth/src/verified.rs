//! Passwords that were right a while ago, so that a client that opens ten connections is hashed for once.
//!
//! Invariant: what is kept is a keyed hash (HMAC-SHA-256, with a key that this process made and never shows) of user, network, password
//! and the stored hash; so another password, another user's, or one from elsewhere never matches, and a changed one leaves nothing that
//! could. Bounded in users, in networks of each, and in time. Says only yes: for a wrong password argon2id decides, at its price.

use crate::throttle::network_of;
use aws_lc_rs::hmac;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};
use zeroize::{Zeroize, Zeroizing};

/// Networks of one user; the one that is oldest goes first.
const MAX_NETWORKS: usize = 16;

/// Whose password, and from where: none is this machine.
pub(crate) type Of<'a> = (&'a str, Option<IpAddr>);

/// A password that was right from one network.
struct Entry {
    network: Option<IpAddr>,
    tag: [u8; 32],
    until: Instant,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.tag.zeroize();
    }
}

/// The passwords that were right lately, one for each user and network. No `Debug`.
pub(crate) struct Verified {
    key: hmac::Key,
    users: HashMap<String, Vec<Entry>>,
    keep: Duration,
    most: usize,
}

impl Verified {
    /// Keeps those of at most `most` users for `keep` each; a `keep` of zero keeps none.
    /// # Errors
    /// The system has no randomness to give.
    pub(crate) fn new(keep: Duration, most: usize) -> Result<Verified, crate::Error> {
        let mut secret = Zeroizing::new([0_u8; 32]);
        getrandom::fill(secret.as_mut()).map_err(|error| crate::Error::Hash(error.to_string()))?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_ref());
        Ok(Verified { key, users: HashMap::new(), keep, most })
    }

    /// Whether this password, in the form in which passwords are hashed, was right for this stored hash not long ago from there.
    pub(crate) fn knows(&mut self, of: Of<'_>, password: &[u8], stored: &str, now: Instant) -> bool {
        let (name, network) = (of.0, of.1.map(network_of));
        let Some(entries) = self.users.get_mut(name) else { return false };
        entries.retain(|entry| entry.until > now);
        if entries.is_empty() {
            self.users.remove(name);
            return false;
        }
        let Some(entry) = entries.iter().find(|entry| entry.network == network) else { return false };
        // Compared in constant time.
        hmac::verify(&self.key, &message(name, network, password, stored), &entry.tag).is_ok()
    }

    /// It was right.
    pub(crate) fn note(&mut self, of: Of<'_>, password: &[u8], stored: &str, now: Instant) {
        if self.keep.is_zero() || self.most == 0 {
            return;
        }
        let Some(until) = now.checked_add(self.keep) else { return };
        let (name, network) = (of.0, of.1.map(network_of));
        if !self.users.contains_key(name) && self.users.len() >= self.most {
            self.users.retain(|_, entries| entries.iter().any(|entry| entry.until > now));
            let newest = |entries: &[Entry]| entries.iter().map(|entry| entry.until).max();
            let oldest =
                self.users.iter().min_by_key(|(_, entries)| newest(entries)).map(|(name, _)| name.clone());
            if let Some(oldest) = oldest.filter(|_| self.users.len() >= self.most) {
                self.users.remove(&oldest);
            }
        }
        let made = hmac::sign(&self.key, &message(name, network, password, stored));
        let mut tag = [0_u8; 32];
        tag.copy_from_slice(made.as_ref());
        let entries = self.users.entry(name.to_owned()).or_default();
        entries.retain(|entry| entry.until > now && entry.network != network);
        if entries.len() >= MAX_NETWORKS {
            let oldest = entries.iter().enumerate().min_by_key(|(_, entry)| entry.until).map(|(at, _)| at);
            oldest.into_iter().for_each(|at| drop(entries.swap_remove(at)));
        }
        entries.push(Entry { network, tag, until });
    }

    /// Forgets a user whose password, privileges or existence have changed.
    pub(crate) fn forget(&mut self, name: &str) {
        self.users.remove(name);
    }
}

/// Name, network, password and stored hash, so that no two of them give the same bytes.
fn message(name: &str, network: Option<IpAddr>, password: &[u8], stored: &str) -> Zeroizing<Vec<u8>> {
    let network = network.map(|network| network.to_string()).unwrap_or_default();
    let parts = [name.as_bytes(), network.as_bytes(), password, stored.as_bytes()];
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
        let of = ("alice", None);
        verified.note(of, b"correct horse", "hash", now);
        assert!(verified.knows(of, b"correct horse", "hash", now));
        for (name, password, stored) in [
            ("alice", "correct hors", "hash"),
            ("alice", "", "hash"),
            ("bob", "correct horse", "hash"),
            ("alice", "correct horse", "other hash"),
            ("alice", "correct horseh", "ash"),
        ] {
            assert!(
                !verified.knows((name, None), password.as_bytes(), stored, now),
                "{name} {password} {stored}"
            );
        }
        assert!(verified.knows(of, b"correct horse", "hash", now + MINUTE - Duration::from_nanos(1)));
        assert!(!verified.knows(of, b"correct horse", "hash", now + MINUTE));
        assert!(verified.users.is_empty(), "what is over is gone");
    }

    #[test]
    fn two_users_two_networks_and_two_passwords_are_never_confused() {
        let mut verified = Verified::new(MINUTE, 10).unwrap();
        let now = Instant::now();
        let at = |text: &str| Some(text.parse::<IpAddr>().unwrap());
        let all = [
            ("alice", at("192.0.2.1"), "one"),
            ("alice", at("192.0.2.2"), "two"),
            ("alice", at("2001:db8::1"), "three"),
            ("bob", at("192.0.2.1"), "four"),
            ("alic", at("192.0.2.3"), "e"),
            ("alice", None, "five"),
        ];
        for (name, from, password) in all {
            verified.note((name, from), password.as_bytes(), "hash", now);
        }
        for (name, from, _) in all {
            for (other, there, password) in all {
                let known = verified.knows((name, from), password.as_bytes(), "hash", now);
                assert_eq!(known, (name, from) == (other, there), "{name} {from:?} {password}");
            }
        }
        assert!(
            verified.knows(("alice", at("2001:db8::ffff")), b"three", "hash", now),
            "one /64 is one network"
        );
        assert!(!verified.knows(("alice", at("2001:db8:0:1::1")), b"three", "hash", now));
        assert!(verified.knows(("alice", at("::ffff:192.0.2.1")), b"one", "hash", now));
        verified.note(("alice", at("192.0.2.1")), b"new", "hash", now);
        assert!(!verified.knows(("alice", at("192.0.2.1")), b"one", "hash", now));
        verified.forget("alice");
        assert!(!verified.knows(("alice", None), b"five", "hash", now));
        assert!(verified.knows(("bob", at("192.0.2.1")), b"four", "hash", now));
    }

    #[test]
    fn networks_of_one_user_are_bounded() {
        let mut verified = Verified::new(MINUTE, 10).unwrap();
        let now = Instant::now();
        let from = |n: usize| ("alice", Some(IpAddr::from([10, 0, 0, n as u8])));
        for n in 0..=MAX_NETWORKS {
            verified.note(from(n), b"x", "hash", now + Duration::from_secs(n as u64));
        }
        assert!(!verified.knows(from(0), b"x", "hash", now) && verified.knows(from(1), b"x", "hash", now));
        assert!(verified.knows(from(MAX_NETWORKS), b"x", "hash", now));
    }

    #[test]
    fn what_is_forgotten_or_too_many_is_gone() {
        let mut verified = Verified::new(MINUTE, 2).unwrap();
        let now = Instant::now();
        for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
            verified.note((name, None), b"x", "hash", now + Duration::from_secs(n as u64));
        }
        assert_eq!(verified.users.len(), 2);
        let mut knows = |name| verified.knows((name, None), b"x", "hash", now);
        assert!(!knows("a") && knows("c"));
        verified.forget("c");
        let mut knows = |name| verified.knows((name, None), b"x", "hash", now);
        assert!(!knows("c") && knows("b"));
        let mut none = Verified::new(Duration::ZERO, 2).unwrap();
        none.note(("a", None), b"x", "hash", now);
        assert!(none.users.is_empty());
    }
}
