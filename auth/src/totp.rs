//! The second factor: time-based codes (RFC 6238: SHA-1, six digits, 30 seconds) and recovery codes.
//!
//! Invariant: no code is taken twice, also not by two logins at once or after a restart: the step of the last one is compared and written
//! in one transaction. The secret is sealed by a key that whoever composes the program hands over ([`Sealer`]); recovery codes are kept
//! as hashes (80 random bits each).

use crate::credentials::{Hash, Totp, hash, random, random_word, same};
use crate::users::Stored;
use crate::{Auth, Error};
use aws_lc_rs::hmac;
use std::sync::Arc;
use zeroize::Zeroizing;

const STEP_SECS: i64 = 30;
/// Steps before and after the present one that count, for clocks that differ.
const SKEW: u64 = 1;
const SECRET_BYTES: usize = 20;
/// Recovery codes that are made at once.
pub const RECOVERY_CODES: usize = 10;
/// Base32 (RFC 4648) in lower case: none of its signs looks like another.
const SIGNS: &[u8] = b"abcdefghijklmnopqrstuvwxyz234567";
const RECOVERY_GROUPS: usize = 4;
const PURPOSE: &str = "recovery code";
const ISSUER: &str = "mailkeep";

/// Seals secrets that have to be read again, under the key of the installation.
pub trait Sealer: Send + Sync {
    /// Seals; `about` says whose it is and is authenticated with it.
    /// # Errors
    /// In words.
    fn seal(&self, about: &str, secret: &[u8]) -> Result<Vec<u8>, String>;
    /// Opens what was sealed for the same `about`.
    /// # Errors
    /// In words.
    fn open(&self, about: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, String>;
}

/// What an authenticator app is given; shown once.
pub struct Enrolment {
    /// `otpauth://totp/…`, for a QR code.
    pub uri: Zeroizing<String>,
    /// The secret for typing it, base32.
    pub secret: Zeroizing<String>,
}

/// The code of a step.
fn code(secret: &[u8], step: u64) -> u32 {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    // RFC 4226 §5.3.
    let at = usize::from(tag.last().copied().unwrap_or(0) & 0x0f);
    let four = tag.get(at..at + 4).and_then(|four| <[u8; 4]>::try_from(four).ok()).unwrap_or_default();
    (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000
}

/// The step of this code, if it is one that counts now and comes behind `last`.
fn step_of(secret: &[u8], given: &str, now: i64, last: u64) -> Option<u64> {
    let given: String = given.chars().filter(|c| *c != ' ').collect();
    if given.len() != 6 || !given.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let present = u64::try_from(now / STEP_SECS).ok()?;
    let steps = present.saturating_sub(SKEW)..=present.saturating_add(SKEW);
    let mut found = None;
    for step in steps {
        // All are computed, so that time doesn't tell which one it was.
        if same(format!("{:06}", code(secret, step)).as_bytes(), given.as_bytes()) && step > last {
            found = Some(step);
        }
    }
    found
}

fn base32(bytes: &[u8]) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(bytes.len().div_ceil(5) * 8));
    let (mut bits, mut held) = (0_u32, 0_u32);
    let put = |five: u32, out: &mut String| {
        out.extend(SIGNS.get((five & 31) as usize).map(|&sign| char::from(sign.to_ascii_uppercase())));
    };
    for &byte in bytes {
        held = (held << 8) | u32::from(byte);
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            put(held >> bits, &mut out);
        }
        held &= (1 << bits) - 1;
    }
    if bits > 0 {
        put(held << (5 - bits), &mut out);
    }
    out
}

/// For a URI (RFC 3986): all but unreserved characters as `%XX`.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn uri(user: &str, secret: &str) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "otpauth://totp/{ISSUER}:{}?secret={secret}&issuer={ISSUER}&algorithm=SHA1&digits=6&period={STEP_SECS}",
        escaped(user)
    ))
}

/// A recovery code in the form in which it is hashed.
fn normal_code(code: &str) -> Option<Zeroizing<String>> {
    let mut signs = Zeroizing::new(String::with_capacity(RECOVERY_GROUPS * 4));
    for c in code.chars().filter(|c| !matches!(c, '-' | ' ')) {
        if signs.len() == RECOVERY_GROUPS * 4 || !c.is_ascii_alphanumeric() {
            return None;
        }
        signs.push(c.to_ascii_lowercase());
    }
    (signs.len() == RECOVERY_GROUPS * 4).then_some(signs)
}

fn recovery() -> Result<(Vec<Hash>, Vec<Zeroizing<String>>), Error> {
    let mut hashes = Vec::new();
    let mut codes = Vec::new();
    for _ in 0..RECOVERY_CODES {
        let code = random_word(SIGNS, RECOVERY_GROUPS)?;
        let normal =
            normal_code(&code).ok_or_else(|| Error::Hash("a random word has a wrong form".into()))?;
        hashes.push(Hash(hash(PURPOSE, &normal)));
        codes.push(code);
    }
    Ok((hashes, codes))
}

const OFF: Error = Error::Factor("it is not on; `mailkeep user totp enable` begins it");

impl Auth {
    /// Hands over who seals secrets; without one the second factor can't be turned on. The first one counts.
    pub fn seal_with(&self, sealer: Arc<dyn Sealer>) {
        if self.logins.sealer.set(sealer).is_err() {
            tracing::debug!("secrets have their key already");
        }
    }

    pub(crate) fn sealer(&self) -> Result<&Arc<dyn Sealer>, Error> {
        self.logins.sealer.get().ok_or(Error::Seal("the installation's key is not open".into()))
    }

    /// What a secret is sealed for: a name that doesn't change when the user's does.
    fn about(stored: &Stored) -> String {
        format!("second factor of a user made at {}", stored.user.created)
    }

    /// Begins the second factor: a new secret, which counts once [`Auth::confirm_totp`] has seen a code of it. What was begun before and
    /// not confirmed is forgotten.
    /// # Errors
    /// `Unknown`; `Factor`: it is on; `Seal`.
    pub fn enable_totp(&self, user: &str) -> Result<Enrolment, Error> {
        let secret = random::<SECRET_BYTES>()?;
        let stored = self.find(user)?.ok_or_else(|| Error::Unknown(user.to_owned()))?;
        let about = Auth::about(&stored);
        // Before the change begins: the first secret of an installation has its key made, which is a change of its own.
        let sealed = self.sealer()?.seal(&about, secret.as_ref()).map_err(Error::Seal)?;
        let user = self.change_secrets(user, |stored| {
            if Auth::about(stored) != about {
                return Err(Error::Unknown(stored.user.name.clone()));
            }
            if stored.secrets.has_factor() {
                return Err(Error::Factor("it is on already; `mailkeep user totp disable` first"));
            }
            stored.secrets.totp = Some(Totp { sealed, confirmed: false, last_step: 0, recovery: Vec::new() });
            Ok(())
        })?;
        let secret = base32(secret.as_ref());
        Ok(Enrolment { uri: uri(&user.name, &secret), secret })
    }

    /// Turns the second factor on, since the user's app shows the right code; gives the recovery codes, this once. Sessions that came by
    /// the account password end.
    /// # Errors
    /// `Unknown`; `Factor`: not begun, on already, or the code is wrong.
    pub fn confirm_totp(&self, user: &str, code: &str) -> Result<Vec<Zeroizing<String>>, Error> {
        let (hashes, codes) = recovery()?;
        let now = crate::now();
        let sealer = Arc::clone(self.sealer()?);
        self.change_secrets(user, |stored| {
            let about = Auth::about(stored);
            let totp = stored.secrets.totp.as_mut().ok_or(OFF)?;
            if totp.confirmed {
                return Err(Error::Factor("it is on already"));
            }
            let secret = sealer.open(&about, &totp.sealed).map_err(Error::Seal)?;
            let step = step_of(&secret, code, now, totp.last_step);
            totp.last_step =
                step.ok_or(Error::Factor("the code is wrong; compare the clocks of both devices"))?;
            (totp.confirmed, totp.recovery) = (true, hashes);
            Ok(())
        })?;
        self.verified.lock().forget(&crate::name::normal(user));
        Ok(codes)
    }

    /// Turns the second factor off.
    /// # Errors
    /// `Unknown`; `Factor`: it is not on.
    pub fn disable_totp(&self, user: &str) -> Result<(), Error> {
        self.change_secrets(user, |stored| stored.secrets.totp.take().map(|_| ()).ok_or(OFF))?;
        Ok(())
    }

    /// New recovery codes in place of all older ones.
    /// # Errors
    /// `Unknown`; `Factor`: it is not on.
    pub fn recovery_codes(&self, user: &str) -> Result<Vec<Zeroizing<String>>, Error> {
        let (hashes, codes) = recovery()?;
        self.change_secrets(user, |stored| {
            let totp = stored.secrets.totp.as_mut().filter(|totp| totp.confirmed).ok_or(OFF)?;
            totp.recovery = hashes;
            Ok(())
        })?;
        Ok(codes)
    }

    /// Takes a code or a recovery code, once. `Denied` for a wrong or used one.
    pub(crate) fn take_code(&self, user: &str, code: &str) -> Result<(), Error> {
        let now = crate::now();
        let sealer = Arc::clone(self.sealer()?);
        let recovery = normal_code(code).map(|code| hash(PURPOSE, &code));
        self.change_secrets(user, |stored| {
            let about = Auth::about(stored);
            let totp = stored.secrets.totp.as_mut().filter(|totp| totp.confirmed).ok_or(Error::Denied)?;
            if let Some(hash) = &recovery {
                let at = totp.recovery.iter().position(|known| same(&known.0, hash)).ok_or(Error::Denied)?;
                totp.recovery.remove(at);
                return Ok(());
            }
            let secret = sealer.open(&about, &totp.sealed).map_err(Error::Seal)?;
            totp.last_step = step_of(&secret, code, now, totp.last_step).ok_or(Error::Denied)?;
            Ok(())
        })?;
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// RFC 6238, appendix B, the last six of the eight digits.
    #[test]
    fn rfc_6238() {
        let secret = b"12345678901234567890";
        for (at, eight) in [
            (59, 94_287_082),
            (1_111_111_109, 7_081_804),
            (1_111_111_111, 14_050_471),
            (1_234_567_890, 89_005_924),
            (2_000_000_000, 69_279_037),
            (20_000_000_000_u64, 65_353_130),
        ] {
            assert_eq!(code(secret, at / 30), eight % 1_000_000, "{at}");
        }
        // RFC 4226, appendix D.
        let first =
            [755_224, 287_082, 359_152, 969_429, 338_314, 254_676, 287_922, 162_583, 399_871, 520_489];
        for (step, expected) in first.into_iter().enumerate() {
            assert_eq!(code(secret, step as u64), expected);
        }
    }

    #[test]
    fn one_step_around_and_never_twice() {
        let secret = b"12345678901234567890";
        let at = |step: u64| format!("{:06}", code(secret, step));
        let now = 1_000 * STEP_SECS + 7;
        for (step, taken) in [(998, false), (999, true), (1_000, true), (1_001, true), (1_002, false)] {
            assert_eq!(step_of(secret, &at(step), now, 0), taken.then_some(step));
        }
        assert_eq!(step_of(secret, &at(1_000), now, 999), Some(1_000));
        assert_eq!(step_of(secret, &at(1_000), now, 1_000), None, "used");
        assert_eq!(step_of(secret, &at(999), now, 1_000), None, "older than what was used");
        let spaced = format!("{} {}", &at(1_000)[..3], &at(1_000)[3..]);
        assert_eq!(step_of(secret, &spaced, now, 0), Some(1_000));
        for bad in ["", "12345", "1234567", "abcdef", "-12345", "\u{660}\u{660}\u{660}", "000\u{0}000"] {
            assert_eq!(step_of(secret, bad, now, 0), None, "{bad:?}");
        }
    }

    #[test]
    fn rfc_4648_and_the_uri() {
        for (text, encoded) in
            [("", ""), ("f", "MY"), ("fo", "MZXQ"), ("foo", "MZXW6"), ("foobar", "MZXW6YTBOI")]
        {
            assert_eq!(base32(text.as_bytes()).as_str(), encoded);
        }
        assert_eq!(
            uri("m\u{fc} ller@x", "ABC").as_str(),
            "otpauth://totp/mailkeep:m%C3%BC%20ller%40x?secret=ABC&issuer=mailkeep&algorithm=SHA1&digits=6&period=30"
        );
    }

    /// The code that an app would show now.
    pub(crate) fn code_now(secret_base32: &str, steps_ahead: i64) -> String {
        let mut bits = Vec::new();
        for sign in secret_base32.bytes() {
            let value = SIGNS.iter().position(|known| known.to_ascii_uppercase() == sign).unwrap();
            bits.extend((0..5).rev().map(|n| (value >> n) & 1 == 1));
        }
        let bytes: Vec<u8> = bits
            .chunks_exact(8)
            .map(|eight| eight.iter().fold(0, |all, &bit| all << 1 | u8::from(bit)))
            .collect();
        format!("{:06}", code(&bytes, ((crate::now() / STEP_SECS) + steps_ahead) as u64))
    }
}
