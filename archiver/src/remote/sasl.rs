//! Logging in: PLAIN (RFC 4616), LOGIN, CRAM-MD5 (RFC 2195), SCRAM-SHA-1 and -256 (RFC 5802, 7677), XOAUTH2. Bytes in, bytes out; base64
//! and lines are the protocol's.
//!
//! Invariant: with SCRAM a login counts only after the server has proven that it knows the password too. A server's challenge is
//! bounded: 8 KiB, and 1,000,000 iterations.

use super::access::{Login, Mechanism};
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use md5::{Digest as _, Md5};
use std::num::NonZeroU32;
use unicode_normalization::UnicodeNormalization;

/// Most bytes of a challenge.
pub(crate) const MAX_CHALLENGE: usize = 8 << 10;
/// Most iterations that a server may ask for; more is a way to keep us busy.
const MAX_ITERATIONS: u32 = 1_000_000;

/// One exchange.
pub(crate) struct Sasl<'a> {
    mechanism: Mechanism,
    login: &'a Login,
    nonce: String,
    step: u32,
    /// What the server must send in the end.
    expected: Option<Vec<u8>>,
    verified: bool,
}

/// The mechanism's registered name.
pub(crate) fn name(mechanism: Mechanism) -> &'static str {
    match mechanism {
        Mechanism::Auto | Mechanism::Plain => "PLAIN",
        Mechanism::Login => "LOGIN",
        Mechanism::CramMd5 => "CRAM-MD5",
        Mechanism::ScramSha256 => "SCRAM-SHA-256",
        Mechanism::ScramSha1 => "SCRAM-SHA-1",
        Mechanism::Xoauth2 => "XOAUTH2",
    }
}

/// What to do about a login that was refused.
pub(crate) fn advice(mechanism: Mechanism) -> &'static str {
    match mechanism {
        Mechanism::Xoauth2 => {
            "the access token may have expired, or be for another mailbox: give a new one (profile edit NAME --password-stdin)"
        }
        _ => "check the name and the password, and whether the server wants an app password",
    }
}

/// What `Auto` tries, the best first, of what the server offers (names in capitals). Without TLS nothing that tells the
/// password comes before what doesn't; with an authorization identity only what can carry one.
pub(crate) fn order(offered: &dyn Fn(&str) -> bool, authzid: bool) -> Vec<Mechanism> {
    let mut list = if authzid {
        vec![Mechanism::Plain, Mechanism::ScramSha256, Mechanism::ScramSha1]
    } else {
        vec![
            Mechanism::ScramSha256,
            Mechanism::ScramSha1,
            Mechanism::CramMd5,
            Mechanism::Plain,
            Mechanism::Login,
        ]
    };
    list.retain(|mechanism| offered(name(*mechanism)));
    list
}

impl<'a> Sasl<'a> {
    /// Begins with a random nonce.
    pub(crate) fn new(mechanism: Mechanism, login: &'a Login) -> Result<Sasl<'a>, String> {
        let mut bytes = [0; 18];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| "the system gives no random numbers")?;
        Ok(Sasl::with_nonce(mechanism, login, BASE64.encode(bytes)))
    }

    fn with_nonce(mechanism: Mechanism, login: &'a Login, nonce: String) -> Sasl<'a> {
        Sasl { mechanism, login, nonce, step: 0, expected: None, verified: false }
    }

    /// Whether the client speaks first.
    pub(crate) fn is_client_first(&self) -> bool {
        !matches!(self.mechanism, Mechanism::Login | Mechanism::CramMd5)
    }

    /// Whether the server may say that all is well now.
    pub(crate) fn may_end(&self) -> bool {
        !matches!(self.mechanism, Mechanism::ScramSha1 | Mechanism::ScramSha256) || self.verified
    }

    /// The next answer. `challenge`: empty where the client speaks first.
    pub(crate) fn answer(&mut self, challenge: &[u8]) -> Result<Vec<u8>, String> {
        if challenge.len() > MAX_CHALLENGE {
            return Err("the server's challenge is too long".into());
        }
        self.step += 1;
        let (user, secret) = (self.login.user.as_str(), self.login.secret.reveal());
        let authzid = self.login.authzid.as_deref().unwrap_or_default();
        match (self.mechanism, self.step) {
            (Mechanism::Auto | Mechanism::Plain, 1) => {
                if [authzid, user, secret].iter().any(|part| part.contains('\0')) {
                    return Err("a name or password with a NUL can't be sent".into());
                }
                Ok([authzid.as_bytes(), b"\0", user.as_bytes(), b"\0", secret.as_bytes()].concat())
            }
            (Mechanism::Login, 1) => Ok(user.as_bytes().to_vec()),
            (Mechanism::Login, 2) => Ok(secret.as_bytes().to_vec()),
            (Mechanism::CramMd5, 1) => {
                let digest = hex::encode(hmac_md5(secret.as_bytes(), challenge));
                Ok(format!("{user} {digest}").into_bytes())
            }
            (Mechanism::Xoauth2, 1) => {
                Ok(format!("user={user}\x01auth=Bearer {secret}\x01\x01").into_bytes())
            }
            // An error as JSON; the empty answer makes the server say NO with words.
            (Mechanism::Xoauth2, 2) => Ok(Vec::new()),
            (Mechanism::ScramSha1 | Mechanism::ScramSha256, 1) => Ok(self.scram_first().into_bytes()),
            (Mechanism::ScramSha1 | Mechanism::ScramSha256, 2) => self.scram_final(challenge),
            (Mechanism::ScramSha1 | Mechanism::ScramSha256, 3) => {
                let text = String::from_utf8_lossy(challenge);
                if let Some(error) = text.strip_prefix("e=") {
                    return Err(super::fault::shown(error.as_bytes()));
                }
                let signature = text.split(',').next().and_then(|field| field.strip_prefix("v="));
                let signature = signature.and_then(|text| BASE64.decode(text).ok());
                if signature.is_none() || signature != self.expected {
                    return Err(
                        "the server doesn't know the password itself: it is not the one it claims to be"
                            .into(),
                    );
                }
                self.verified = true;
                Ok(Vec::new())
            }
            _ => Err("the server asks for more than the mechanism has".into()),
        }
    }

    fn gs2(&self) -> String {
        match &self.login.authzid {
            Some(authzid) => format!("n,a={},", escaped(authzid)),
            None => "n,,".into(),
        }
    }

    fn client_first_bare(&self) -> String {
        format!("n={},r={}", escaped(&prepared(&self.login.user)), self.nonce)
    }

    fn scram_first(&self) -> String {
        format!("{}{}", self.gs2(), self.client_first_bare())
    }

    fn scram_final(&mut self, challenge: &[u8]) -> Result<Vec<u8>, String> {
        let server_first = std::str::from_utf8(challenge).map_err(|_| "the server's challenge is no text")?;
        let field = |key: &str| {
            let mut fields = server_first.split(',');
            fields.find_map(|field| field.strip_prefix(key)).ok_or("the server's challenge is not complete")
        };
        let nonce = field("r=")?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err("the server's nonce is not made from ours".into());
        }
        let salt = BASE64.decode(field("s=")?).map_err(|_| "the server's salt is no base64")?;
        let iterations: u32 =
            field("i=")?.parse().map_err(|_| "the server's number of iterations is none")?;
        let iterations = NonZeroU32::new(iterations)
            .filter(|count| count.get() <= MAX_ITERATIONS)
            .ok_or("the server asks for too many iterations, or none")?;
        let (derive, mac, hash): (_, hmac::Algorithm, &digest::Algorithm) = match self.mechanism {
            Mechanism::ScramSha1 => (
                pbkdf2::PBKDF2_HMAC_SHA1,
                hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
                &digest::SHA1_FOR_LEGACY_USE_ONLY,
            ),
            _ => (pbkdf2::PBKDF2_HMAC_SHA256, hmac::HMAC_SHA256, &digest::SHA256),
        };
        let mut salted = zeroize::Zeroizing::new(vec![0; hash.output_len()]);
        let password = zeroize::Zeroizing::new(prepared(self.login.secret.reveal()));
        pbkdf2::derive(derive, iterations, &salt, password.as_bytes(), &mut salted);
        let sign = |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(mac, key), text);
        let client_key = sign(&salted, b"Client Key");
        let stored_key = digest::digest(hash, client_key.as_ref());
        let without_proof = format!("c={},r={nonce}", BASE64.encode(self.gs2()));
        let auth = format!("{},{server_first},{without_proof}", self.client_first_bare());
        let signature = sign(stored_key.as_ref(), auth.as_bytes());
        let proof: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        let server_key = sign(&salted, b"Server Key");
        self.expected = Some(sign(server_key.as_ref(), auth.as_bytes()).as_ref().to_vec());
        Ok(format!("{without_proof},p={}", BASE64.encode(proof)).into_bytes())
    }
}

/// SASLprep (RFC 4013) as far as it matters: other blanks become blanks, then NFKC; ASCII stays.
fn prepared(text: &str) -> String {
    if text.is_ascii() {
        return text.to_owned();
    }
    let blank = |char: char| if char != ' ' && char.is_whitespace() { ' ' } else { char };
    text.chars().filter(|char| *char != '\u{ad}').map(blank).nfkc().collect()
}

fn escaped(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

/// RFC 2104.
fn hmac_md5(key: &[u8], text: &[u8]) -> [u8; 16] {
    let mut block = [0u8; 64];
    let short: Vec<u8> = if key.len() > 64 { Md5::digest(key).to_vec() } else { key.to_vec() };
    for (to, from) in block.iter_mut().zip(&short) {
        *to = *from;
    }
    let inner = Md5::new().chain_update(block.map(|byte| byte ^ 0x36)).chain_update(text).finalize();
    Md5::new().chain_update(block.map(|byte| byte ^ 0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::access::Secret;

    fn login(user: &str, secret: &str, authzid: Option<&str>) -> Login {
        Login { user: user.into(), authzid: authzid.map(Into::into), secret: Secret::new(secret.into()) }
    }

    #[test]
    fn rfc_2195() {
        let login = login("tim", "tanstaaftanstaaf", None);
        let mut sasl = Sasl::new(Mechanism::CramMd5, &login).unwrap();
        let answer = sasl.answer(b"<1896.697170952@postoffice.reston.mci.net>").unwrap();
        assert_eq!(answer, b"tim b913a602c7eda7a495b4e6e7334d3890");
    }

    #[test]
    fn rfc_2104_long_key() {
        let digest = hmac_md5(&[0xaa; 80], b"Test Using Larger Than Block-Size Key - Hash Key First");
        assert_eq!(hex::encode(digest), "6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd");
    }

    #[test]
    fn rfc_5802() {
        let login = login("user", "pencil", None);
        let mut sasl = Sasl::with_nonce(Mechanism::ScramSha1, &login, "fyko+d2lbbFgONRv9qkxdawL".into());
        assert_eq!(sasl.answer(b"").unwrap(), b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL");
        let last =
            sasl.answer(b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096").unwrap();
        assert_eq!(
            String::from_utf8(last).unwrap(),
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
        );
        assert!(!sasl.may_end());
        sasl.answer(b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=").unwrap();
        assert!(sasl.may_end());
    }

    #[test]
    fn rfc_7677() {
        let login = login("user", "pencil", None);
        let mut sasl = Sasl::with_nonce(Mechanism::ScramSha256, &login, "rOprNGfwEbeRWgbNEkqO".into());
        sasl.answer(b"").unwrap();
        let last = sasl
            .answer(b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
            .unwrap();
        assert!(
            String::from_utf8(last).unwrap().ends_with(",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
        );
        assert!(sasl.answer(b"v=AAAA").is_err(), "a server that doesn't know the password");
        assert!(!sasl.may_end());
    }

    #[test]
    fn scram_refuses() {
        let login = login("user", "pencil", None);
        for challenge in [
            "r=other,s=QSXCR+Q6sek8bf92,i=4096",
            "r=abc,s=QSXCR+Q6sek8bf92,i=4096",
            "r=abcd,s=QSXCR+Q6sek8bf92,i=1000001",
            "r=abcd,s=QSXCR+Q6sek8bf92,i=0",
            "r=abcd,s=!,i=1",
            "r=abcd,i=1",
            "",
        ] {
            let mut sasl = Sasl::with_nonce(Mechanism::ScramSha256, &login, "abc".into());
            sasl.answer(b"").unwrap();
            assert!(sasl.answer(challenge.as_bytes()).is_err(), "{challenge}");
        }
    }

    #[test]
    fn plain_with_another_mailbox() {
        let login = login("master", "pw", Some("alice"));
        let mut sasl = Sasl::new(Mechanism::Plain, &login).unwrap();
        assert_eq!(sasl.answer(b"").unwrap(), b"alice\0master\0pw");
        assert!(sasl.answer(b"").is_err());
        assert_eq!(sasl.gs2(), "n,a=alice,");
    }

    #[test]
    fn challenges_are_bounded() {
        let login = login("u", "p", None);
        let mut sasl = Sasl::new(Mechanism::CramMd5, &login).unwrap();
        assert!(sasl.answer(&vec![b'a'; MAX_CHALLENGE + 1]).is_err());
        assert!(sasl.answer(&vec![b'a'; MAX_CHALLENGE]).is_ok());
    }
}
