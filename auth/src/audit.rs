//! The audit log: table `audit` of master.redb, numbered without gaps; entries are only ever added.

use crate::Error;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};

pub(crate) const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");

/// Longest text of one field of an entry, bytes; more is cut, since parameters may come from anyone.
const MAX_FIELD_BYTES: usize = 4_096;

/// One audited act.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AuditEntry {
    /// Number, from 1, without gaps.
    pub number: u64,
    /// Seconds since 1970 (UTC).
    pub when: i64,
    /// Who: a user's name, or `local:NAME` for the system's user at the control socket.
    pub who: String,
    /// From where: an address, `socket`, or `in-process`.
    pub from: String,
    /// What: the command and its parameters, without secrets.
    pub what: String,
    /// `ok` or why not.
    pub result: String,
}

fn cut(text: &str) -> String {
    let end = (0..=MAX_FIELD_BYTES.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}

/// Appends an entry; on return it survives power loss.
pub(crate) fn append(db: &Database, who: &str, from: &str, what: &str, result: &str) -> Result<(), Error> {
    let txn = crate::write(db)?;
    {
        let mut table = txn.open_table(AUDIT).map_err(Error::database)?;
        let last = table.last().map_err(Error::database)?.map_or(0, |(number, _)| number.value());
        let number = last.saturating_add(1);
        let (who, from, what, result) = (cut(who), cut(from), cut(what), cut(result));
        let entry = AuditEntry { number, when: crate::now(), who, from, what, result };
        let bytes = serde_json::to_vec(&entry)
            .map_err(|e| Error::Entry { key: number.to_string(), what: e.to_string() })?;
        table.insert(number, bytes.as_slice()).map_err(Error::database)?;
    }
    txn.commit().map_err(Error::database)
}

/// The newest `most` entries, oldest first.
pub(crate) fn newest(db: &Database, most: usize) -> Result<Vec<AuditEntry>, Error> {
    let txn = db.begin_read().map_err(Error::database)?;
    let table = txn.open_table(AUDIT).map_err(Error::database)?;
    let mut entries = Vec::new();
    for row in table.iter().map_err(Error::database)?.rev().take(most) {
        let (number, bytes) = row.map_err(Error::database)?;
        entries.push(
            serde_json::from_slice(bytes.value())
                .map_err(|e| Error::Entry { key: number.value().to_string(), what: e.to_string() })?,
        );
    }
    entries.reverse();
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_cut_at_a_character() {
        assert_eq!(cut("plain"), "plain");
        assert_eq!(cut(&"x".repeat(MAX_FIELD_BYTES)).len(), MAX_FIELD_BYTES);
        assert_eq!(cut(&"x".repeat(MAX_FIELD_BYTES + 1)).len(), MAX_FIELD_BYTES);
        let wide = format!("x{}", "é".repeat(MAX_FIELD_BYTES));
        assert_eq!(cut(&wide).len(), MAX_FIELD_BYTES - 1);
    }
}
