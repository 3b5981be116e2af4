//! What a user's entry keeps of secrets beside the password's hash: SCRAM verifiers, app passwords, the second factor.
//!
//! Invariant: no secret stands here in the clear: passwords as verifiers, app passwords and recovery codes as hashes, the second
//! factor's secret sealed. It is a part of the user's entry, so that a rename takes it along and a removal leaves nothing that a later
//! user of the name would have. No `Debug`. What is decided from it stands in `login`.

use crate::Error;
use crate::scram::Keys;
use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// The secrets of one user.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Secrets {
    /// Rises with every new password: sessions that came by an older one end.
    pub(crate) serial: u64,
    /// When the password was set, seconds since 1970 (UTC); 0: before this was kept.
    pub(crate) changed: i64,
    /// When the password was last right, to some minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) used: Option<i64>,
    /// What SCRAM tells whoever asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) scram: Option<Derivation>,
    /// The account password's verifier, made with that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) keys: Option<AccountKeys>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) app_passwords: Vec<AppPassword>,
    /// The highest id that an app password has had.
    pub(crate) last_id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) totp: Option<Totp>,
}

/// The account password's verifier.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AccountKeys {
    #[serde(flatten)]
    pub(crate) keys: Keys,
    /// The hash of the stored hash that it belongs to.
    #[serde(with = "bytes")]
    pub(crate) of: Vec<u8>,
}

/// How verifiers are made of a user's passwords: one for all, since SCRAM names them before it knows which password comes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Derivation {
    #[serde(with = "bytes")]
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: u32,
}

/// A password for one device. It is random (94 bits), so a plain hash is as good as a slow one: nobody can try them all.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AppPassword {
    /// Never given twice to one user.
    pub(crate) id: u64,
    /// What its user calls the device.
    pub(crate) label: String,
    pub(crate) created: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) used: Option<i64>,
    #[serde(with = "bytes")]
    pub(crate) hash: Vec<u8>,
    /// None where SCRAM was off when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keys: Option<Keys>,
}

/// The second factor.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Totp {
    #[serde(with = "bytes")]
    pub(crate) sealed: Vec<u8>,
    /// The user has shown a code; until then it asks for none.
    pub(crate) confirmed: bool,
    /// The step of the last code that was taken: none of it or before is taken again.
    pub(crate) last_step: u64,
    /// Hashes of the recovery codes that are left.
    #[serde(default)]
    pub(crate) recovery: Vec<Hash>,
}

/// The hash of a random secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Hash(#[serde(with = "bytes")] pub(crate) Vec<u8>);

/// SHA-256 of a random secret, under what it is for.
pub(crate) fn hash(purpose: &str, secret: &str) -> Vec<u8> {
    let text = Zeroizing::new(format!("mailkeep {purpose}\0{secret}"));
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().to_vec()
}

/// Compares without telling by time where the first difference is.
pub(crate) fn same(a: &[u8], b: &[u8]) -> bool {
    constant_time::verify_slices_are_equal(a, b).is_ok()
}

impl Secrets {
    /// Whether the second factor is on.
    pub(crate) fn has_factor(&self) -> bool {
        self.totp.as_ref().is_some_and(|totp| totp.confirmed)
    }
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, Error> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut()).map_err(|e| Error::Hash(e.to_string()))?;
    Ok(bytes)
}

/// A random word of groups of four signs of `signs` (at most 128 of them), with `-` between.
pub(crate) fn random_word(signs: &[u8], groups: usize) -> Result<Zeroizing<String>, Error> {
    let mut word = Zeroizing::new(String::with_capacity(groups * 5));
    // Bytes from the last incomplete round are left out, else the first signs would come more often.
    let fair = 256 / signs.len() * signs.len();
    let mut written = 0;
    while written < groups * 4 {
        for byte in random::<32>()?.iter().map(|&byte| usize::from(byte)).filter(|&byte| byte < fair) {
            if written == groups * 4 {
                break;
            }
            if written > 0 && written % 4 == 0 {
                word.push('-');
            }
            word.extend(signs.get(byte % signs.len()).map(|&sign| char::from(sign)));
            written += 1;
        }
    }
    Ok(word)
}

/// Bytes as base64 in JSON.
pub(crate) mod bytes {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64.encode(bytes))
    }
    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        BASE64.decode(String::deserialize(from)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_words_have_their_shape_and_differ() {
        let signs = b"abcdefghijklmnopqrstuvwxyz";
        let (a, b) = (random_word(signs, 5).unwrap(), random_word(signs, 5).unwrap());
        assert_ne!(*a, *b);
        assert_eq!(a.len(), 24);
        let groups: Vec<&str> = a.split('-').collect();
        assert_eq!(groups.len(), 5);
        assert!(groups.iter().all(|group| group.len() == 4 && group.bytes().all(|b| b.is_ascii_lowercase())));
    }

    #[test]
    fn every_sign_comes_about_as_often() {
        let mut counts = [0_u32; 26];
        for _ in 0..200 {
            for byte in random_word(b"abcdefghijklmnopqrstuvwxyz", 5).unwrap().bytes().filter(|&b| b != b'-')
            {
                counts[usize::from(byte - b'a')] += 1;
            }
        }
        // 154 of each are expected; chance alone is nowhere near these bounds.
        assert!(counts.iter().all(|count| (70..260).contains(count)), "{counts:?}");
    }

    #[test]
    fn purposes_part_hashes() {
        assert_ne!(hash("app password", "x"), hash("recovery code", "x"));
        assert!(same(&hash("a", "x"), &hash("a", "x")) && !same(&hash("a", "x"), &hash("a", "y")));
        assert!(!same(b"ab", b"a"));
    }
}
