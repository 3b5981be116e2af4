//! A head: what a store's log was at one moment, signed.
//!
//! Invariant: the signature covers every field but the key that made it, as text that people can write down by hand.

use super::text::{self, Hex, VERSION};
use super::{EvidenceKey, Hash, Refusal, key};
use crate::store::facts::HeadFact;
use crate::{Error, StoreId};
use serde::{Deserialize, Serialize};

const FORMAT: &str = "mailkeep evidence head";
const WHAT: &str = "an evidence head";

/// A signed head of a store's log (RFC 9162 §4.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The store.
    pub store: StoreId,
    /// Leaves of the log.
    pub size: u64,
    /// The root over them.
    pub root: [u8; 32],
    /// When it was signed, by the archive's clock: milliseconds since 1970.
    pub time: u64,
    /// The signer's public key (Ed25519).
    pub key: [u8; 32],
    /// The signature over [`Head::text`].
    pub signature: [u8; 64],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Json {
    format: String,
    version: u64,
    store: Hex<[u8; 16]>,
    size: u64,
    root: Hex<[u8; 32]>,
    time: u64,
    key: Hex<[u8; 32]>,
    signature: Hex<[u8; 64]>,
}

impl Head {
    /// Signs a head.
    pub(crate) fn sign(
        store: StoreId,
        size: u64,
        root: Hash,
        time: u64,
        key: &EvidenceKey,
    ) -> Result<Head, Error> {
        let mut head = Head { store, size, root, time, key: key.public(), signature: [0; 64] };
        head.signature = key.sign(head.text().as_bytes())?;
        Ok(head)
    }

    /// The signed text.
    #[must_use]
    pub fn text(&self) -> String {
        let Head { store, size, time, .. } = self;
        let root = hex::encode(self.root);
        format!("mailkeep evidence head {VERSION}\nstore {store}\nsize {size}\ntime {time}\nroot {root}\n")
    }

    /// Checks the signature by the head's own key: that the key is the right one is for the verifier to know.
    /// # Errors
    /// `Signature`.
    pub fn check(&self) -> Result<(), Refusal> {
        if key::signed(&self.key, self.text().as_bytes(), &self.signature) {
            Ok(())
        } else {
            Err(Refusal::Signature { of: "of the head" })
        }
    }

    /// Reads a head from its JSON and checks its signature.
    /// # Errors
    /// `Unreadable`, `Limit`, `Signature`.
    pub fn read(json: &[u8]) -> Result<Head, Refusal> {
        let head: Head = text::read::<Json>(json, FORMAT, WHAT)?.into();
        head.check()?;
        Ok(head)
    }

    /// The head as JSON, in one line without a line end.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&Json::from(self)).unwrap_or_default()
    }
}

impl From<&Head> for Json {
    fn from(head: &Head) -> Json {
        Json {
            format: FORMAT.to_owned(),
            version: VERSION,
            store: Hex(head.store.0),
            size: head.size,
            root: Hex(head.root),
            time: head.time,
            key: Hex(head.key),
            signature: Hex(head.signature),
        }
    }
}

impl Json {
    /// Whether it says to be a head of the known version: for heads inside other JSON.
    pub(super) fn marked(&self) -> Result<(), Refusal> {
        if self.format == FORMAT && self.version == VERSION {
            return Ok(());
        }
        let why = format!("it says to be {:?}, version {}", self.format, self.version);
        Err(Refusal::Unreadable { what: WHAT, why })
    }
}

impl From<Json> for Head {
    fn from(json: Json) -> Head {
        Head {
            store: StoreId(json.store.0),
            size: json.size,
            root: json.root.0,
            time: json.time,
            key: json.key.0,
            signature: json.signature.0,
        }
    }
}

impl From<&Head> for HeadFact {
    fn from(head: &Head) -> HeadFact {
        let Head { store, size, root, time, key, signature } = *head;
        HeadFact { store, size, time, root, key, signature }
    }
}

impl From<&HeadFact> for Head {
    fn from(fact: &HeadFact) -> Head {
        let HeadFact { store, size, time, root, key, signature } = *fact;
        Head { store, size, root, time, key, signature }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head() -> (Head, EvidenceKey) {
        let key = EvidenceKey::generate().unwrap();
        (Head::sign(StoreId([7; 16]), 9, [1; 32], 1_700_000_000_000, &key).unwrap(), key)
    }

    #[test]
    fn the_signed_text_is_as_the_format_says() {
        let expected = "mailkeep evidence head 1\nstore 07070707070707070707070707070707\nsize 9\n\
            time 1700000000000\nroot 0101010101010101010101010101010101010101010101010101010101010101\n";
        assert_eq!(head().0.text(), expected);
    }

    #[test]
    fn a_head_comes_back_and_a_changed_one_is_refused() {
        let (head, _) = head();
        let json = head.to_json();
        assert_eq!(Head::read(json.as_bytes()), Ok(head.clone()));
        assert_eq!(Head::from(&HeadFact::from(&head)), head);
        let changed: [fn(&mut Head); 6] = [
            |h| h.store.0[3] ^= 1,
            |h| h.size += 1,
            |h| h.root[31] ^= 128,
            |h| h.time -= 1,
            |h| h.key[0] ^= 1,
            |h| h.signature[40] ^= 1,
        ];
        for change in changed {
            let mut other = head.clone();
            change(&mut other);
            assert!(Head::read(other.to_json().as_bytes()).is_err(), "{other:?}");
        }
    }

    #[test]
    fn other_json_is_told_apart() {
        let json = head().0.to_json();
        for (from, to) in [
            ("evidence head", "evidence proof"),
            ("\"version\":1", "\"version\":2"),
            ("\"size\":9", "\"size\":-9"),
            ("\"size\":9", "\"size\":9,\"more\":1"),
            ("\"size\":9,", ""),
            ("\"root\":\"01", "\"root\":\""),
            ("\"root\":\"01", "\"root\":\"0x"),
        ] {
            let text = json.replacen(from, to, 1);
            assert_ne!(text, json);
            assert!(matches!(Head::read(text.as_bytes()), Err(Refusal::Unreadable { .. })), "{text}");
        }
        let long = [json.as_bytes(), &vec![b' '; super::super::MAX_BYTES]].concat();
        let bound = &long[..super::super::MAX_BYTES];
        assert!(Head::read(bound).is_ok(), "at the bound");
        assert!(matches!(Head::read(&long[..bound.len() + 1]), Err(Refusal::Limit { .. })));
    }
}
