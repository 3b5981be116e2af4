//! SCRAM-SHA-256, the server's side (RFC 5802, RFC 7677): messages and proofs. Text in, text out; base64 of the whole message and lines
//! are the protocol's, users and decisions are `scram_login`'s.
//!
//! Invariant: pure. A nonce is taken once, since the server's half is random for every exchange; a message that doesn't fit the grammar,
//! or whose channel binding isn't what the mechanism and the channel ask for, is refused.

use crate::credentials::{bytes, same};
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

/// Longest nonce of a client, bytes.
const MAX_NONCE_BYTES: usize = 256;
/// Longest message of a client, bytes.
pub const MAX_SCRAM_BYTES: usize = 4_096;
/// Bytes of a salt.
pub(crate) const SALT_BYTES: usize = 16;

/// What a server keeps of a password: neither lets anyone log in who finds it, short of trying passwords.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Keys {
    #[serde(with = "bytes")]
    pub(crate) stored: Vec<u8>,
    #[serde(with = "bytes")]
    pub(crate) server: Vec<u8>,
}

impl Keys {
    /// From a password; slow on purpose, by the iterations.
    pub(crate) fn derive(password: &str, salt: &[u8], iterations: u32) -> Keys {
        let mut salted = Zeroizing::new([0; digest::SHA256_OUTPUT_LEN]);
        let iterations = NonZeroU32::new(iterations).unwrap_or(NonZeroU32::MIN);
        let password = prepared(password);
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password.as_bytes(), salted.as_mut());
        let client = sign(salted.as_ref(), b"Client Key");
        let stored = digest::digest(&digest::SHA256, client.as_ref()).as_ref().to_vec();
        Keys { stored, server: sign(salted.as_ref(), b"Server Key").as_ref().to_vec() }
    }

    /// Whether whoever made this proof of this exchange knows the password; if so, the server's own proof.
    pub(crate) fn answer(&self, auth_message: &str, proof: &[u8]) -> Option<String> {
        let signature = sign(&self.stored, auth_message.as_bytes());
        if proof.len() != signature.as_ref().len() {
            return None;
        }
        let client: Zeroizing<Vec<u8>> =
            Zeroizing::new(proof.iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect());
        let stored = digest::digest(&digest::SHA256, &client);
        same(stored.as_ref(), &self.stored)
            .then(|| format!("v={}", BASE64.encode(sign(&self.server, auth_message.as_bytes()))))
    }
}

fn sign(key: &[u8], text: &[u8]) -> hmac::Tag {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
}

/// SASLprep (RFC 4013) as far as it changes text: what is commonly mapped to nothing goes, other blanks become blanks, then NFKC. What it
/// forbids, no password that can be set has, or it is left to both sides alike.
fn prepared(text: &str) -> Zeroizing<String> {
    if text.is_ascii() {
        return Zeroizing::new(text.to_owned());
    }
    let nothing = |c: &char| {
        !matches!(c, '\u{ad}' | '\u{34f}' | '\u{1806}' | '\u{180b}'..='\u{180d}' | '\u{200b}'..='\u{200d}'
            | '\u{2060}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}')
    };
    let blank = |c: char| if c.is_whitespace() && !c.is_control() { ' ' } else { c };
    Zeroizing::new(text.chars().filter(nothing).map(blank).nfkc().collect())
}

/// What a client says of channel binding (RFC 5802 §7, `gs2-cbind-flag`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Binding {
    /// `n`: it can't.
    Cannot,
    /// `y`: it can, and believes that the server can't.
    Unused,
    /// `p=`: it does, in this way.
    Used(String),
}

/// A client's first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct First {
    pub(crate) binding: Binding,
    pub(crate) name: String,
    pub(crate) nonce: String,
    /// As whom it wants to act.
    pub(crate) act_as: Option<String>,
    /// The part before `n=`.
    pub(crate) gs2: String,
    /// The part from `n=` on.
    pub(crate) bare: String,
}

impl First {
    /// Reads it; none: it breaks the grammar or a bound.
    pub(crate) fn parse(message: &[u8]) -> Option<First> {
        let text = text(message)?;
        let (flag, rest) = text.split_once(',')?;
        let (act_as, bare) = rest.split_once(',')?;
        let binding = match flag {
            "n" => Binding::Cannot,
            "y" => Binding::Unused,
            _ => {
                let name = flag.strip_prefix("p=")?;
                let good = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
                if name.is_empty() || !name.chars().all(good) {
                    return None;
                }
                Binding::Used(name.to_owned())
            }
        };
        let act_as = match act_as {
            "" => None,
            named => Some(unescaped(named.strip_prefix("a=")?)?),
        };
        // `m=` would come first and must fail (RFC 5802 §5.1); what comes behind the nonce may be ignored.
        let mut fields = bare.split(',');
        let name = unescaped(fields.next()?.strip_prefix("n=")?)?;
        let nonce = fields.next()?.strip_prefix("r=")?;
        if name.is_empty() || !is_nonce(nonce) || !fields.all(is_extension) {
            return None;
        }
        let gs2 = text.get(..text.len() - bare.len())?.to_owned();
        Some(First { binding, name, nonce: nonce.to_owned(), act_as, gs2, bare: bare.to_owned() })
    }
}

/// A client's last message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Last {
    /// What `c=` holds: the first part of the first message, and the channel's data.
    pub(crate) channel: Vec<u8>,
    pub(crate) nonce: String,
    pub(crate) proof: Vec<u8>,
    /// All but the proof.
    pub(crate) without_proof: String,
}

impl Last {
    /// As [`First::parse`].
    pub(crate) fn parse(message: &[u8]) -> Option<Last> {
        let text = text(message)?;
        let (without_proof, proof) = text.rsplit_once(",p=")?;
        let mut fields = without_proof.split(',');
        let channel = BASE64.decode(fields.next()?.strip_prefix("c=")?).ok()?;
        let nonce = fields.next()?.strip_prefix("r=")?.to_owned();
        if !fields.all(is_extension) {
            return None;
        }
        let proof = BASE64.decode(proof).ok()?;
        Some(Last { channel, nonce, proof, without_proof: without_proof.to_owned() })
    }
}

fn text(message: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(message).ok()?;
    (message.len() <= MAX_SCRAM_BYTES && !text.contains('\0')).then_some(text)
}

fn is_nonce(nonce: &str) -> bool {
    !nonce.is_empty() && nonce.len() <= MAX_NONCE_BYTES && nonce.bytes().all(|b| b.is_ascii_graphic())
}

fn is_extension(field: &str) -> bool {
    let mut signs = field.chars();
    signs.next().is_some_and(|c| c.is_ascii_alphabetic() && c != 'm') && signs.next() == Some('=')
}

/// A `saslname`: `=2C` and `=3D` stand for what parts fields.
fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('=');
    let mut out = parts.next()?.to_owned();
    for part in parts {
        let (sign, rest) = match part.get(..2)? {
            "2C" => (',', part.get(2..)?),
            "3D" => ('=', part.get(2..)?),
            _ => return None,
        };
        out.push(sign);
        out.push_str(rest);
    }
    Some(out)
}

/// The server's challenge.
pub(crate) fn challenge(client_nonce: &str, nonce: &str, salt: &[u8], iterations: u32) -> String {
    format!("r={client_nonce}{nonce},s={},i={iterations}", BASE64.encode(salt))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exchange of RFC 7677 §3, with the server's values.
    #[test]
    fn rfc_7677() {
        let first = First::parse(b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO").unwrap();
        assert_eq!(
            (first.name.as_str(), &first.binding, first.gs2.as_str()),
            ("user", &Binding::Cannot, "n,,")
        );
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let server_first = challenge(&first.nonce, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", &salt, 4_096);
        assert_eq!(
            server_first,
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let last = Last::parse(
            b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        )
        .unwrap();
        assert_eq!(last.channel, b"n,,");
        let message = format!("{},{server_first},{}", first.bare, last.without_proof);
        let keys = Keys::derive("pencil", &salt, 4_096);
        assert_eq!(
            keys.answer(&message, &last.proof).unwrap(),
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
        assert!(Keys::derive("Pencil", &salt, 4_096).answer(&message, &last.proof).is_none());
        assert!(keys.answer(&format!("{message}x"), &last.proof).is_none());
        for at in 0..last.proof.len() {
            let mut bent = last.proof.clone();
            bent[at] ^= 1;
            assert!(keys.answer(&message, &bent).is_none() && keys.answer(&message, &bent[..at]).is_none());
        }
    }

    #[test]
    fn first_messages() {
        for (text, binding, name, act_as) in [
            ("n,,n=user,r=abc", Binding::Cannot, "user", None),
            ("y,,n=user,r=abc", Binding::Unused, "user", None),
            ("p=tls-exporter,,n=user,r=abc", Binding::Used("tls-exporter".into()), "user", None),
            ("n,a=bo=2Cb=3D,n=a=3Db=2Cc,r=abc,x=ignored", Binding::Cannot, "a=b,c", Some("bo,b=")),
            ("n,,n=m\u{fc}ller,r=a", Binding::Cannot, "m\u{fc}ller", None),
        ] {
            let first = First::parse(text.as_bytes()).unwrap();
            assert_eq!(
                (first.binding, first.name.as_str(), first.act_as.as_deref()),
                (binding, name, act_as),
                "{text}"
            );
            assert_eq!(format!("{}{}", first.gs2, first.bare), text);
        }
        let longest = format!("n,,n=u,r={}", "x".repeat(MAX_NONCE_BYTES));
        assert!(First::parse(longest.as_bytes()).is_some());
        assert!(First::parse(format!("{longest}x").as_bytes()).is_none());
        for bad in [
            "",
            "n",
            "n,",
            "n,,",
            "n,,n=user",
            "n,,n=user,r=",
            "n,,n=,r=abc",
            "n,,r=abc,n=user",
            "x,,n=user,r=abc",
            "p,,n=user,r=abc",
            "p=,,n=user,r=abc",
            "p=a b,,n=user,r=abc",
            "n,b=x,n=user,r=abc",
            "n,,m=ext,n=user,r=abc",
            "n,,n=user,r=abc,m=ext",
            "n,,n=user,r=abc,",
            "n,,n=us=er,r=abc",
            "n,,n=us=2cer,r=abc",
            "n,,n=user=,r=abc",
            "n,,n=user,r=a b",
            "n,,n=us\0er,r=abc",
        ] {
            assert!(First::parse(bad.as_bytes()).is_none(), "{bad:?}");
        }
        assert!(First::parse(b"n,,n=\xff,r=abc").is_none());
    }

    #[test]
    fn last_messages() {
        for bad in [
            "",
            "c=biws",
            "c=biws,r=x",
            "c=!,r=x,p=AAAA",
            "c=biws,p=AAAA",
            "c=biws,r=x,p=!",
            "r=x,c=biws,p=AAAA",
        ] {
            assert!(Last::parse(bad.as_bytes()).is_none(), "{bad:?}");
        }
        let last = Last::parse(b"c=biws,r=x,y=z,p=AAAA").unwrap();
        assert_eq!(last.without_proof, "c=biws,r=x,y=z");
        let at_bound = format!("c=biws,r={},p=AAAA", "x".repeat(MAX_SCRAM_BYTES - 16));
        assert_eq!(at_bound.len(), MAX_SCRAM_BYTES);
        assert!(Last::parse(at_bound.as_bytes()).is_some());
        assert!(Last::parse(at_bound.replace("r=", "r=y").as_bytes()).is_none());
    }

    #[test]
    fn a_password_counts_in_every_form_that_looks_the_same() {
        let of = |password: &str| Keys::derive(password, b"salt", 1).stored;
        // RFC 4013 §3, the examples.
        assert!(of("I\u{ad}X") == of("IX") && of("\u{aa}") == of("a") && of("\u{2168}") == of("IX"));
        assert!(of("user") != of("USER") && of("a\u{a0}b") == of("a b"));
    }
}
