//! The table `auth_settings` of master.redb: what is decided by commands, not by the configuration file, so that each change is
//! audited: whether administrators may read others' archives.

use crate::{Auth, Error, write};
use redb::{Database, ReadableDatabase, TableDefinition};
use serde::{Deserialize, Serialize};

pub(crate) const SETTINGS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("auth_settings");

const ARCHIVE_ACCESS: &str = "archiveAccess";

/// Whether administrators may read archives that they have no rule for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveAccess {
    /// Until when, in seconds since 1970 (UTC); none: blocked.
    pub open_until: Option<i64>,
    /// Why it was opened, in the words of whoever did.
    #[serde(default)]
    pub reason: String,
}

impl ArchiveAccess {
    /// Whether it is open at this second.
    #[must_use]
    pub fn is_open(&self, now: i64) -> bool {
        self.open_until.is_some_and(|until| now < until)
    }
}

fn entry(key: &str, error: &serde_json::Error) -> Error {
    Error::Entry { key: key.to_owned(), what: error.to_string() }
}

fn load<T: for<'de> Deserialize<'de> + Default>(db: &Database, key: &str) -> Result<T, Error> {
    let txn = db.begin_read().map_err(Error::database)?;
    let table = txn.open_table(SETTINGS).map_err(Error::database)?;
    let found = table.get(key).map_err(Error::database)?;
    found.map_or_else(
        || Ok(T::default()),
        |bytes| serde_json::from_slice(bytes.value()).map_err(|e| entry(key, &e)),
    )
}

fn save<T: Serialize>(db: &Database, key: &str, value: &T) -> Result<(), Error> {
    let bytes = serde_json::to_vec(value).map_err(|e| entry(key, &e))?;
    let txn = write(db)?;
    txn.open_table(SETTINGS)
        .map_err(Error::database)?
        .insert(key, bytes.as_slice())
        .map_err(Error::database)?;
    txn.commit().map_err(Error::database)
}

impl Auth {
    /// Whether administrators may read others' archives, and until when.
    /// # Errors
    /// `Database`, `Entry`.
    pub fn archive_access(&self) -> Result<ArchiveAccess, Error> {
        if let Some(access) = self.known.access() {
            return Ok(access);
        }
        let generation = self.known.generation();
        let access = load(&self.db, ARCHIVE_ACCESS)?;
        self.known.keep_access(generation, &access);
        Ok(access)
    }

    /// Opens or blocks administrators' access to others' archives; counts at once, in open sessions too.
    /// # Errors
    /// `Database`.
    pub fn set_archive_access(&self, access: &ArchiveAccess) -> Result<(), Error> {
        self.written(save(&self.db, ARCHIVE_ACCESS, access))
    }
}
