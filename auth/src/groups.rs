//! The table `group_rights` of master.redb: rules that everyone in a group has, by the group's name.
//!
//! Who is in a group the users' own entries say, since a directory says it when it is synchronised. Invariant: names compare
//! without case, as directories compare them.

use crate::rights::Right;
use crate::{Error, write};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

pub(crate) const GROUPS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("group_rights");

/// The form in which a group's name is kept and compared.
pub(crate) fn normal(name: &str) -> String {
    crate::name::normal(name).to_lowercase()
}

fn decode(name: &str, bytes: &[u8]) -> Result<Vec<Right>, Error> {
    serde_json::from_slice(bytes).map_err(|e| Error::Entry { key: name.to_owned(), what: e.to_string() })
}

/// The rules of all these groups.
pub(crate) fn rights(db: &Database, groups: &[String]) -> Result<Vec<Right>, Error> {
    if groups.is_empty() {
        return Ok(Vec::new());
    }
    let txn = db.begin_read().map_err(Error::database)?;
    let table = txn.open_table(GROUPS).map_err(Error::database)?;
    let mut all = Vec::new();
    for group in groups {
        let key = normal(group);
        if let Some(bytes) = table.get(key.as_str()).map_err(Error::database)? {
            all.extend(decode(&key, bytes.value())?);
        }
    }
    Ok(all)
}

/// All groups that have rules, by name.
pub(crate) fn all(db: &Database) -> Result<Vec<(String, Vec<Right>)>, Error> {
    let txn = db.begin_read().map_err(Error::database)?;
    let table = txn.open_table(GROUPS).map_err(Error::database)?;
    let mut groups = Vec::new();
    for row in table.iter().map_err(Error::database)? {
        let (name, bytes) = row.map_err(Error::database)?;
        groups.push((name.value().to_owned(), decode(name.value(), bytes.value())?));
    }
    Ok(groups)
}

/// Changes a group's rules in one transaction; a group without any is gone.
pub(crate) fn change(
    db: &Database,
    group: &str,
    change: impl FnOnce(&mut Vec<Right>) -> Result<(), Error>,
) -> Result<Vec<Right>, Error> {
    let key = normal(group);
    let txn = write(db)?;
    let rights = {
        let mut table = txn.open_table(GROUPS).map_err(Error::database)?;
        let found = table.get(key.as_str()).map_err(Error::database)?;
        let mut rights = found.map(|bytes| decode(&key, bytes.value())).transpose()?.unwrap_or_default();
        change(&mut rights)?;
        if rights.is_empty() {
            table.remove(key.as_str()).map_err(Error::database)?;
        } else {
            let bytes = serde_json::to_vec(&rights)
                .map_err(|e| Error::Entry { key: key.clone(), what: e.to_string() })?;
            table.insert(key.as_str(), bytes.as_slice()).map_err(Error::database)?;
        }
        rights
    };
    txn.commit().map_err(Error::database)?;
    Ok(rights)
}
