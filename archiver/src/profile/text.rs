//! Profiles as TOML, for people and for other installations.
//!
//! Invariant: reading what was written gives the same profile; unknown keys are errors with their place. A password is in the text
//! only if the writer asked for it.

use super::{MAX_PROFILES, MAX_TEXT_BYTES, Profile};
use crate::Error;
use crate::remote::access::Secret;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// A profile with its password, if that is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// The profile.
    pub profile: Profile,
    /// Its password.
    pub secret: Option<Secret>,
}

/// As the file has it: the password beside the profile's own keys.
#[derive(Serialize, Deserialize)]
struct Document {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    password: Option<String>,
    #[serde(flatten)]
    profile: toml::Table,
}

#[derive(Serialize, Deserialize)]
struct Documents {
    profile: Vec<Document>,
}

impl Whole {
    /// Reads one profile. A name may be missing in the text where one is given here, which counts then.
    /// # Errors
    /// `Profile` with what is wrong and where.
    pub fn parse(text: &str, name: Option<&str>) -> Result<Whole, Error> {
        bounded(text)?;
        let mut document: Document = toml::from_str(text).map_err(|error| wrong(name, &error))?;
        if let Some(name) = name {
            document.profile.insert("name".into(), name.into());
        }
        whole(document, name)
    }

    /// Reads what [`export`] wrote: several profiles, or one alone.
    /// # Errors
    /// `Profile` with what is wrong and where.
    pub fn parse_all(text: &str) -> Result<Vec<Whole>, Error> {
        if text.len() > MAX_TEXT_BYTES * 32 {
            return Err(Error::Profile { name: String::new(), what: "the file is too long".into() });
        }
        let table: toml::Table = toml::from_str(text).map_err(|error| wrong(None, &error))?;
        if !matches!(table.get("profile"), Some(toml::Value::Array(_))) {
            return Ok(vec![Whole::parse(text, None)?]);
        }
        let documents: Documents = toml::from_str(text).map_err(|error| wrong(None, &error))?;
        if documents.profile.len() > MAX_PROFILES {
            return Err(Error::Profile {
                name: String::new(),
                what: format!("more than {MAX_PROFILES} profiles"),
            });
        }
        documents.profile.into_iter().map(|document| whole(document, None)).collect()
    }

    /// The profile alone as TOML.
    /// # Errors
    /// `Profile` when it can't be written, which a checked one can.
    pub fn text(&self) -> Result<Zeroizing<String>, Error> {
        toml::to_string(&document(self)?)
            .map(Zeroizing::new)
            .map_err(|error| wrong(Some(&self.profile.name), &error))
    }
}

/// Several profiles as TOML.
/// # Errors
/// As [`Whole::text`].
pub fn export(all: &[Whole]) -> Result<Zeroizing<String>, Error> {
    let profile = all.iter().map(document).collect::<Result<_, _>>()?;
    toml::to_string(&Documents { profile }).map(Zeroizing::new).map_err(|error| wrong(None, &error))
}

fn document(whole: &Whole) -> Result<Document, Error> {
    let profile =
        toml::Table::try_from(&whole.profile).map_err(|error| wrong(Some(&whole.profile.name), &error))?;
    let password = whole.secret.as_ref().map(|secret| secret.reveal().to_owned());
    Ok(Document { password, profile })
}

fn whole(document: Document, name: Option<&str>) -> Result<Whole, Error> {
    let profile: Profile = document.profile.try_into().map_err(|error| wrong(name, &error))?;
    profile.check()?;
    Ok(Whole { profile, secret: document.password.map(Secret::new) })
}

fn bounded(text: &str) -> Result<(), Error> {
    if text.len() > MAX_TEXT_BYTES {
        let what = format!("{} bytes of text, more than {MAX_TEXT_BYTES}", text.len());
        return Err(Error::Profile { name: String::new(), what });
    }
    Ok(())
}

/// An error without the text that it stands in: a password may be in that.
fn wrong(name: Option<&str>, error: &dyn Wrong) -> Error {
    Error::Profile { name: name.unwrap_or_default().to_owned(), what: error.words() }
}

/// What TOML's errors say without showing the text.
trait Wrong {
    fn words(&self) -> String;
}

impl Wrong for toml::de::Error {
    fn words(&self) -> String {
        self.message().to_owned()
    }
}

impl Wrong for toml::ser::Error {
    fn words(&self) -> String {
        self.to_string()
    }
}
