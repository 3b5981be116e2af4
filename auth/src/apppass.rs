//! App passwords: one for each device, made by the program, shown once, revoked one by one.
//!
//! Invariant: a user never gets an id twice, so that a session that came by a revoked password can't be taken for one of another. The
//! hash is a plain one (`credentials`): 20 random letters are 94 bits. Where they count and where not stands in `login`.

use crate::credentials::{AppPassword, Secrets, hash, random_word, same};
use crate::scram::Keys;
use crate::{Auth, Error, name};
use zeroize::Zeroizing;

/// Most app passwords of one user.
pub const MAX_APP_PASSWORDS: usize = 50;
/// Longest name of one, bytes.
pub const MAX_LABEL_BYTES: usize = 100;
const SIGNS: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const GROUPS: usize = 5;
const PURPOSE: &str = "app password";

/// An app password, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AppPasswordEntry {
    /// Its number, for revoking.
    pub id: u64,
    /// What its user calls the device.
    pub label: String,
    /// Seconds since 1970 (UTC).
    pub created: i64,
    /// When it was used last, to some minutes.
    pub used: Option<i64>,
}

impl From<&AppPassword> for AppPasswordEntry {
    fn from(of: &AppPassword) -> Self {
        AppPasswordEntry { id: of.id, label: of.label.clone(), created: of.created, used: of.used }
    }
}

/// The form in which they are hashed: people may leave out the dashes, put blanks, and telephones begin with a capital.
fn normal(password: &str) -> Option<Zeroizing<String>> {
    let mut letters = Zeroizing::new(String::with_capacity(GROUPS * 4));
    for c in password.chars() {
        match c {
            '-' | ' ' => {}
            c if c.is_ascii_alphabetic() && letters.len() < GROUPS * 4 => {
                letters.push(c.to_ascii_lowercase())
            }
            _ => return None,
        }
    }
    (letters.len() == GROUPS * 4).then_some(letters)
}

impl Secrets {
    /// The app password that this is.
    pub(crate) fn app_password(&self, password: &str) -> Option<&AppPassword> {
        let hash = hash(PURPOSE, &normal(password)?);
        self.app_passwords.iter().find(|known| same(&known.hash, &hash))
    }
}

impl Auth {
    /// Makes an app password; it is shown this once.
    /// # Errors
    /// `Unknown`; `AppPassword`: the label breaks a rule or is taken, or the user has enough.
    pub fn create_app_password(
        &self,
        user: &str,
        label: &str,
    ) -> Result<(AppPasswordEntry, Zeroizing<String>), Error> {
        let label = label.trim();
        if label.is_empty() || label.len() > MAX_LABEL_BYTES || label.chars().any(char::is_control) {
            return Err(Error::AppPassword("its name has 1 to 100 bytes and no control characters"));
        }
        let word = random_word(SIGNS, GROUPS)?;
        let normal_form =
            normal(&word).ok_or_else(|| Error::Hash("a random word has a wrong form".into()))?;
        let stored = self.find(user)?.ok_or_else(|| Error::Unknown(user.to_owned()))?;
        let derivation = self.derivation(&stored);
        let keys = derivation.as_ref().map(|by| Keys::derive(&word, &by.salt, by.iterations));
        let mut entry = None;
        self.change_secrets(user, |stored| {
            let secrets = &mut stored.secrets;
            if secrets.app_passwords.len() >= MAX_APP_PASSWORDS {
                return Err(Error::AppPassword("the user has 50 already; revoke one first"));
            }
            if secrets.app_passwords.iter().any(|known| known.label == label) {
                return Err(Error::AppPassword(
                    "the user has one of that name; revoke it first, or take another name",
                ));
            }
            // Somebody else may have made the first verifier meanwhile: all of a user's are made alike.
            if secrets.scram.is_none() {
                secrets.scram.clone_from(&derivation);
            }
            let keys = keys.filter(|_| secrets.scram == derivation);
            secrets.last_id += 1;
            let (id, hash) = (secrets.last_id, hash(PURPOSE, &normal_form));
            let made =
                AppPassword { id, label: label.to_owned(), created: crate::now(), used: None, hash, keys };
            entry = Some(AppPasswordEntry::from(&made));
            secrets.app_passwords.push(made);
            Ok(())
        })?;
        entry.map(|entry| (entry, word)).ok_or_else(|| Error::Unknown(user.to_owned()))
    }

    /// A user's app passwords, the oldest first.
    /// # Errors
    /// `Unknown`.
    pub fn app_passwords(&self, user: &str) -> Result<Vec<AppPasswordEntry>, Error> {
        self.flush_logins()?;
        let stored = self.find(user)?.ok_or_else(|| Error::Unknown(user.to_owned()))?;
        Ok(stored.secrets.app_passwords.iter().map(Into::into).collect())
    }

    /// Revokes one, by its id or name; sessions that came by it end with their next command, idle ones at the next change.
    /// # Errors
    /// `Unknown`; `AppPassword`: there is none.
    pub fn revoke_app_password(&self, user: &str, which: &str) -> Result<AppPasswordEntry, Error> {
        let mut gone = None;
        self.change_secrets(user, |stored| {
            let all = &mut stored.secrets.app_passwords;
            let by_label = all.iter().position(|known| known.label == which.trim());
            let id = which.parse::<u64>().ok();
            let at = by_label.or_else(|| all.iter().position(|known| Some(known.id) == id));
            let Some(at) = at else {
                return Err(Error::AppPassword("the user has none of that name or number"));
            };
            gone = Some(AppPasswordEntry::from(&all.remove(at)));
            Ok(())
        })?;
        self.verified.lock().forget(&name::normal(user));
        gone.ok_or_else(|| Error::Unknown(user.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_in_which_people_type_them() {
        let word = "abcd-efgh-ijkl-mnop-qrst";
        for form in [
            "abcd-efgh-ijkl-mnop-qrst",
            "abcdefghijklmnopqrst",
            "Abcd efgh ijkl mnop qrst",
            " ABCDefgh-ijklmnopqrst ",
        ] {
            assert_eq!(normal(form), normal(word), "{form}");
        }
        for other in [
            "",
            "abcd",
            "abcd-efgh-ijkl-mnop-qrs",
            "abcd-efgh-ijkl-mnop-qrstu",
            "abcd-efgh-ijkl-mnop-qrs1",
            "äbcd-efgh-ijkl-mnop-qrst",
        ] {
            assert!(normal(other).is_none(), "{other}");
        }
        assert!(normal(&"a".repeat(5_000_000)).is_none());
    }
}
