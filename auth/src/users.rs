//! The table `users` of master.redb: a user, the hash of the password and what else is secret (`credentials`) as JSON, by name.

use crate::credentials::Secrets;
use crate::rights::Right;
use crate::{Error, Network, Privilege, address};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

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

/// What the table holds. No `Debug`: the hash is nobody's business.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Stored {
    #[serde(flatten)]
    pub(crate) user: User,
    pub(crate) hash: String,
    #[serde(default)]
    pub(crate) secrets: Secrets,
}

fn decode(name: &str, bytes: &[u8]) -> Result<Stored, Error> {
    serde_json::from_slice(bytes).map_err(|e| Error::Entry { key: name.to_owned(), what: e.to_string() })
}

fn encode(stored: &Stored) -> Result<Vec<u8>, Error> {
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

/// Adds an entry; `Exists` if one of that name is there, in whatever case: names that differ in case alone would be
/// mistaken for each other by people.
pub(crate) fn insert(db: &Database, stored: &Stored) -> Result<(), Error> {
    let txn = crate::write(db)?;
    {
        let mut table = txn.open_table(USERS).map_err(Error::database)?;
        let lower = stored.user.name.to_lowercase();
        for row in table.iter().map_err(Error::database)? {
            let (name, _) = row.map_err(Error::database)?;
            if name.value().to_lowercase() == lower {
                return Err(Error::Exists(name.value().to_owned()));
            }
        }
        table.insert(stored.user.name.as_str(), encode(stored)?.as_slice()).map_err(Error::database)?;
    }
    txn.commit().map_err(Error::database)
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
        table.insert(name, encode(&stored)?.as_slice()).map_err(Error::database)?;
        stored.user
    };
    txn.commit().map_err(Error::database)?;
    Ok(user)
}

/// Gives an entry an address, unless another one has it, in one transaction.
pub(crate) fn add_address(db: &Database, name: &str, address: &str) -> Result<User, Error> {
    let txn = crate::write(db)?;
    let user = {
        let mut table = txn.open_table(USERS).map_err(Error::database)?;
        let mut mine = None;
        for row in table.iter().map_err(Error::database)? {
            let (key, bytes) = row.map_err(Error::database)?;
            let stored = decode(key.value(), bytes.value())?;
            if key.value() == name {
                mine = Some(stored);
            } else if stored.user.addresses.iter().any(|known| known == address) {
                return Err(Error::AddressTaken { address: address.to_owned(), user: stored.user.name });
            }
        }
        let Some(mut stored) = mine else { return Err(Error::Unknown(name.to_owned())) };
        if !stored.user.addresses.iter().any(|known| known == address) {
            if stored.user.addresses.len() >= address::MAX_ADDRESSES {
                return Err(Error::BadAddress {
                    address: address.to_owned(),
                    why: "the user has 1,000 addresses already",
                });
            }
            stored.user.addresses.push(address.to_owned());
            table.insert(name, encode(&stored)?.as_slice()).map_err(Error::database)?;
        }
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
    let Some(mut stored) = found.map(|bytes| decode(name, bytes.value())).transpose()? else { return Ok(false) };
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

/// Removes an entry, and the history of its logins.
pub(crate) fn remove(db: &Database, name: &str) -> Result<(), Error> {
    let txn = crate::write(db)?;
    crate::history::rename(&txn, name, None)?;
    {
        let mut table = txn.open_table(USERS).map_err(Error::database)?;
        if table.remove(name).map_err(Error::database)?.is_none() {
            return Err(Error::Unknown(name.to_owned()));
        }
    }
    txn.commit().map_err(Error::database)
}
