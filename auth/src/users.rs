//! The table `users` of master.redb: a user, the hash of the password and what else is secret (`credentials`) as JSON, by name.

use crate::credentials::Secrets;
use crate::rights::Right;
use crate::{Error, Network, Privilege, address};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

/// Longest name for people, bytes.
pub const MAX_FULL_NAME_BYTES: usize = 1_024;
/// Longest distinguished name, and name of a group, bytes.
pub const MAX_DN_BYTES: usize = 4_096;
/// Most aliases of one user.
pub const MAX_ALIASES: usize = 100;
/// Most groups of one user.
pub const MAX_GROUPS: usize = 1_000;
/// The end of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;

pub(crate) const USERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("users");

/// Who checks a user's password.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// The hash that is kept here.
    #[default]
    Integrated,
    /// The directory that the user comes from.
    Directory,
}

/// The directory's entry that a user was made from.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Origin {
    /// What stays of the entry when it is renamed.
    pub id: String,
    /// The user was disabled since the entry is, or is gone; else a person did it.
    #[serde(default)]
    pub disabled: bool,
}

/// A user, without secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct User {
    /// The login name, also the name of the own archive.
    pub name: String,
    /// The name for people; may be empty.
    pub full_name: String,
    /// Global privileges.
    pub privileges: Vec<Privilege>,
    /// The user's own rules on folders.
    #[serde(alias = "read")]
    pub rights: Vec<Right>,
    /// Groups of the directory whose rules the user has too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Seconds since 1970 (UTC) when the user was added.
    pub created: i64,
    /// E-mail addresses, in lower case, the primary one first: where mail for this user comes from, no login names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<String>,
    /// Other names at mail servers (POP3 and the like), as CSV files and catch-all mailboxes name the user.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The distinguished name in the directory, for those who come from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dn: Option<String>,
    /// The entry in the directory, for those who come from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// Who checks the password.
    pub mode: Mode,
    /// Nothing is allowed until it is enabled again.
    pub disabled: bool,
    /// From this second on (since 1970, UTC) nothing is allowed; none: never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<i64>,
    /// The password must be changed before it is good for anything else.
    pub must_change: bool,
    /// Networks from which logins are taken; none named: from all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allow_from: Vec<Network>,
}

impl User {
    /// Neither disabled nor expired.
    #[must_use]
    pub fn is_active(&self, now: i64) -> bool {
        !self.disabled && self.expires.is_none_or(|end| now < end)
    }
}

/// The rules of a single user. Names and addresses were checked where they came in.
/// # Errors
/// `BadField` with the bound or rule, `BadAddress` for too many, `AuditorWithoutEnd`.
pub(crate) fn check(user: &User) -> Result<(), Error> {
    text("full name", &user.full_name, MAX_FULL_NAME_BYTES)?;
    if let Some(dn) = &user.dn {
        text("DN", dn, MAX_DN_BYTES)?;
    }
    if let Some(over) = user.addresses.get(address::MAX_ADDRESSES) {
        let why = "the user has 1,000 addresses already";
        return Err(Error::BadAddress { address: over.clone(), why });
    }
    list("aliases", &user.aliases, MAX_ALIASES, crate::MAX_NAME_BYTES)?;
    list("groups", &user.groups, MAX_GROUPS, MAX_DN_BYTES)?;
    if user.expires.is_some_and(|at| !(1..=LAST_SECOND).contains(&at)) {
        return Err(Error::BadField {
            field: "expiry",
            why: "it lies outside the years 1970 to 9999".into(),
        });
    }
    if user.privileges.contains(&Privilege::Auditor) && user.expires.is_none() {
        return Err(Error::AuditorWithoutEnd(user.name.clone()));
    }
    Ok(())
}

fn text(field: &'static str, text: &str, most: usize) -> Result<(), Error> {
    let bad = |why| Err(Error::BadField { field, why });
    if text.len() > most {
        return bad(format!("it is longer than {most} bytes"));
    }
    if text.chars().any(char::is_control) {
        return bad("it has a control character (NUL, tab, line end …)".to_owned());
    }
    Ok(())
}

fn list(field: &'static str, all: &[String], most: usize, most_bytes: usize) -> Result<(), Error> {
    if all.len() > most {
        return Err(Error::BadField { field, why: format!("there are more than {most}") });
    }
    if all.iter().any(|one| one.trim().is_empty()) {
        return Err(Error::BadField { field, why: "one is empty".to_owned() });
    }
    all.iter().try_for_each(|one| text(field, one, most_bytes))
}

/// A group's name, as rules may be given to it.
/// # Errors
/// `BadField`.
pub(crate) fn check_group(name: &str) -> Result<(), Error> {
    list("group", std::slice::from_ref(&name.to_owned()), 1, MAX_DN_BYTES)
}

/// What the table holds. No `Debug`: the hash is nobody's business.
#[derive(Clone, Default, serde::Serialize, serde::Deserialize)]
pub(crate) struct Stored {
    #[serde(flatten)]
    pub(crate) user: User,
    pub(crate) hash: String,
    #[serde(default)]
    pub(crate) secrets: Secrets,
}

pub(crate) fn decode(name: &str, bytes: &[u8]) -> Result<Stored, Error> {
    serde_json::from_slice(bytes).map_err(|e| Error::Entry { key: name.to_owned(), what: e.to_string() })
}

pub(crate) fn encode(stored: &Stored) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(stored)
        .map_err(|e| Error::Entry { key: stored.user.name.clone(), what: e.to_string() })
}

/// The entry of a name.
pub(crate) fn find(db: &Database, name: &str) -> Result<Option<Stored>, Error> {
    let txn = db.begin_read().map_err(Error::database)?;
    let table = txn.open_table(USERS).map_err(Error::database)?;
    let found = table.get(name).map_err(Error::database)?;
    found.map(|bytes| decode(name, bytes.value())).transpose()
}

/// All users, by name.
pub(crate) fn all(db: &Database) -> Result<Vec<User>, Error> {
    let txn = db.begin_read().map_err(Error::database)?;
    let table = txn.open_table(USERS).map_err(Error::database)?;
    let mut users = Vec::new();
    for row in table.iter().map_err(Error::database)? {
        let (name, bytes) = row.map_err(Error::database)?;
        users.push(decode(name.value(), bytes.value())?.user);
    }
    Ok(users)
}

/// Changes an entry in one transaction.
pub(crate) fn change(
    db: &Database,
    name: &str,
    change: impl FnOnce(&mut Stored) -> Result<(), Error>,
) -> Result<User, Error> {
    let txn = crate::write(db)?;
    let user = {
        let mut table = txn.open_table(USERS).map_err(Error::database)?;
        let found = table.get(name).map_err(Error::database)?;
        let found = found.map(|bytes| decode(name, bytes.value())).transpose()?;
        let Some(mut stored) = found else { return Err(Error::Unknown(name.to_owned())) };
        change(&mut stored)?;
        check(&stored.user)?;
        table.insert(name, encode(&stored)?.as_slice()).map_err(Error::database)?;
        stored.user
    };
    txn.commit().map_err(Error::database)?;
    Ok(user)
}

/// Notes when passwords of an entry were last used: the account's (none), or the app password of an id. False: there is no such entry.
pub(crate) fn note_used(
    txn: &WriteTransaction,
    name: &str,
    used: impl Fn(Option<u64>) -> Option<i64>,
) -> Result<bool, Error> {
    let mut table = txn.open_table(USERS).map_err(Error::database)?;
    let found = table.get(name).map_err(Error::database)?;
    let Some(mut stored) = found.map(|bytes| decode(name, bytes.value())).transpose()? else {
        return Ok(false);
    };
    let mut any = false;
    let account = used(None);
    if account.is_some() {
        (stored.secrets.used, any) = (account, true);
    }
    for app in &mut stored.secrets.app_passwords {
        if let Some(when) = used(Some(app.id)) {
            (app.used, any) = (Some(when), true);
        }
    }
    if any {
        table.insert(name, encode(&stored)?.as_slice()).map_err(Error::database)?;
    }
    Ok(true)
}
