//! What a new password must be, beyond what [`crate::check_password`] asks of every one: long enough, not what everybody tries first, not
//! made of the user's own name.
//!
//! Invariant: pure; passwords that are there already are never looked at with it. The list of common passwords is short and our own:
//! what is tried online, within what the throttle lets through, are the first hundreds.

use crate::{Error, User};

/// The rules that a setting changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordRules {
    /// Fewest characters; at least [`crate::MIN_PASSWORD_CHARS`] count.
    pub min_chars: usize,
    /// Refuse what many people take, and the user's own names with little besides.
    pub refuse_common: bool,
}

impl Default for PasswordRules {
    fn default() -> Self {
        PasswordRules { min_chars: crate::MIN_PASSWORD_CHARS, refuse_common: true }
    }
}

/// Words that common passwords are made of, with digits and signs behind them or not.
const COMMON: &[&str] = &[
    "abc",
    "abcabc",
    "access",
    "account",
    "admin",
    "administrator",
    "archive",
    "archiv",
    "asdasd",
    "asdf",
    "asdfgh",
    "asdfghjk",
    "asdfghjkl",
    "baseball",
    "batman",
    "bonjour",
    "changeme",
    "changeit",
    "charlie",
    "chocolate",
    "computer",
    "daniel",
    "default",
    "demo",
    "donald",
    "dragon",
    "email",
    "fallout",
    "firma",
    "football",
    "freedom",
    "fussball",
    "geheim",
    "guest",
    "hallo",
    "hallohallo",
    "hello",
    "hellohello",
    "iloveyou",
    "internet",
    "jennifer",
    "jordan",
    "kennwort",
    "killer",
    "letmein",
    "liebe",
    "login",
    "lovely",
    "mailbox",
    "mailkeep",
    "manager",
    "master",
    "michael",
    "monkey",
    "mustang",
    "nothing",
    "office",
    "outlook",
    "pass",
    "passord",
    "passwd",
    "password",
    "passwordpassword",
    "passwort",
    "pokemon",
    "princess",
    "private",
    "qazwsx",
    "qwer",
    "qwert",
    "qwertz",
    "qwerty",
    "qwertyui",
    "qwertyuiop",
    "qwertzui",
    "qwertzuiop",
    "root",
    "salasana",
    "sample",
    "schatz",
    "secret",
    "security",
    "server",
    "service",
    "shadow",
    "sommer",
    "spring",
    "starwars",
    "start",
    "summer",
    "sunshine",
    "superman",
    "superuser",
    "support",
    "system",
    "temp",
    "test",
    "testing",
    "testtest",
    "thunderbird",
    "trustno",
    "user",
    "welcome",
    "whatever",
    "willkommen",
    "winter",
    "autumn",
    "herbst",
    "yxcvbnm",
    "zxcvbn",
    "zxcvbnm",
    "contrasena",
    "motdepasse",
    "senha",
    "azerty",
    "azertyui",
];
/// Signs that must stand beside a user's own names.
const BESIDE_NAMES: usize = 6;
/// A shorter name stands in many words by chance.
const MIN_NAME_CHARS: usize = 3;
/// Fewer different characters are a pattern.
const MIN_DIFFERENT: usize = 4;

impl PasswordRules {
    /// Checks a password that `user` is to have.
    /// # Errors
    /// `BadPassword` with the rule.
    pub fn check(&self, user: &User, password: &str) -> Result<(), Error> {
        crate::check_password(password)?;
        if password.chars().count() < self.min_chars {
            return Err(Error::BadPassword("it is shorter than `[auth] min_password_chars`"));
        }
        if !self.refuse_common {
            return Ok(());
        }
        let lower = password.to_lowercase();
        let mut different: Vec<char> = lower.chars().collect();
        different.sort_unstable();
        different.dedup();
        if different.len() < MIN_DIFFERENT {
            return Err(Error::BadPassword("it has fewer than four different characters"));
        }
        if is_common(&lower) {
            return Err(Error::BadPassword("it is one of those that are tried first"));
        }
        let mut left = lower;
        for name in names(user) {
            left = left.replace(&name, "");
        }
        if left.chars().count() < BESIDE_NAMES {
            return Err(Error::BadPassword("it is the user's own name or address with little besides"));
        }
        Ok(())
    }
}

/// What is left without digits and signs at both ends, and with the usual digits for letters, is a common word; or it is a row of
/// digits or keys.
fn is_common(lower: &str) -> bool {
    let letters = |text: &str| text.trim_matches(|c: char| !c.is_alphabetic()).to_owned();
    let swapped: String = lower
        .chars()
        .map(|c| match c {
            '0' => 'o',
            '1' | '!' => 'i',
            '3' => 'e',
            '4' | '@' => 'a',
            '5' | '$' => 's',
            '7' => 't',
            other => other,
        })
        .collect();
    let bare = letters(lower);
    COMMON.contains(&bare.as_str()) || COMMON.contains(&letters(&swapped).as_str()) || is_row(lower)
}

/// Each character follows the one before, up or down: 12345678, hgfedcba.
fn is_row(text: &str) -> bool {
    let codes: Vec<u32> = text.chars().map(u32::from).collect();
    let steps = |by: i64| {
        codes
            .windows(2)
            .all(|pair| matches!(pair, [a, b] if i64::from(*b) - i64::from(*a) == by || (*a, *b) == (57, 48)))
    };
    steps(1) || steps(-1)
}

/// The user's names and the parts of addresses, in lower case, the longest first.
fn names(user: &User) -> Vec<String> {
    let whole = [user.name.as_str(), user.full_name.as_str()];
    let all = whole.into_iter().chain(user.addresses.iter().chain(&user.aliases).map(String::as_str));
    let mut names: Vec<String> = all
        .flat_map(|name| {
            let parts = name.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
            parts.chain([name.to_lowercase()]).collect::<Vec<_>>()
        })
        .filter(|name| name.chars().count() >= MIN_NAME_CHARS)
        .collect();
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_refused_and_what_is_not() {
        let user = User {
            name: "alice".into(),
            full_name: "Alice Archer".into(),
            addresses: vec!["a.archer@example.org".into()],
            ..User::default()
        };
        let rules = PasswordRules::default();
        for bad in [
            "1234567",
            "12345678",
            "1234567890",
            "87654321",
            "abcdefgh",
            "aaaaaaaa",
            "abababab",
            "password",
            "Password1!",
            "p@ssw0rd",
            "Passwort2024",
            "123qwertz",
            "Changeme!",
            "Alice2024",
            "alicealice",
            "archer-alice",
            "example.org1",
            "2024Sommer!",
        ] {
            assert!(matches!(rules.check(&user, bad), Err(Error::BadPassword(_))), "{bad}");
        }
        for good in [
            "correct horse",
            "alice's password",
            "kV9-pW3.",
            "パスワード一二三",
            "winter is coming",
            "grün und blau",
        ] {
            assert!(rules.check(&user, good).is_ok(), "{good}");
        }
        let loose = PasswordRules { min_chars: 8, refuse_common: false };
        assert!(loose.check(&user, "password").is_ok() && loose.check(&user, "passwor").is_err());
        let long = PasswordRules { min_chars: 14, ..rules };
        assert!(long.check(&user, "correct horse").is_err() && long.check(&user, "correct horse!").is_ok());
        assert!(COMMON.iter().all(|word| *word == word.to_lowercase()));
    }
}
