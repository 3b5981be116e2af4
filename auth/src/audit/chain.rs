//! The tables: an entry's bytes by its number, and its hash; what makes the log one chain.
//!
//! `audit_chain` has at 0 the log's identity, 32 random bytes, and at each number the SHA-256 over the hash before it, the number
//! (8 bytes, big-endian) and the entry's bytes as they stand in `audit`: compact JSON, which is never written again in another form.
//! Invariant: both tables get an entry in the same transaction. A log of an older version is chained when it is first opened.

use super::{AUDIT_PAGE, AuditEntry, AuditKind};
use crate::Error;
use aws_lc_rs::digest::{Context, SHA256};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

pub(super) const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");
pub(super) const CHAIN: TableDefinition<'_, u64, &[u8; 32]> = TableDefinition::new("audit_chain");

/// The log at one moment: what a signed head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// Which log: the random bytes that it began with.
    pub log: [u8; 32],
    /// Entries.
    pub size: u64,
    /// The last entry's hash; of an empty log, [`AuditHead::log`].
    pub hash: [u8; 32],
}

/// An entry's hash.
pub(super) fn link(before: &[u8; 32], number: u64, bytes: &[u8]) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    context.update(before);
    context.update(&number.to_be_bytes());
    context.update(bytes);
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// Makes the tables, and chains what an older version wrote.
pub(crate) fn open(txn: &WriteTransaction) -> Result<(), Error> {
    let entries = txn.open_table(AUDIT).map_err(Error::database)?;
    let mut chain = txn.open_table(CHAIN).map_err(Error::database)?;
    // Only a log that was never chained: what stands unchained in one that was is no older version's.
    if chain.first().map_err(Error::database)?.is_some() {
        return Ok(());
    }
    let mut hash = [0; 32];
    getrandom::fill(&mut hash).map_err(|e| Error::Hash(e.to_string()))?;
    chain.insert(0, &hash).map_err(Error::database)?;
    for row in entries.iter().map_err(Error::database)? {
        let (number, bytes) = row.map_err(Error::database)?;
        hash = link(&hash, number.value(), bytes.value());
        chain.insert(number.value(), &hash).map_err(Error::database)?;
    }
    Ok(())
}

/// Appends entries in one transaction; durable on return.
pub(super) fn append(db: &Database, new: &mut [AuditEntry]) -> Result<(), Error> {
    if new.is_empty() {
        return Ok(());
    }
    let txn = crate::write(db)?;
    {
        let mut entries = txn.open_table(AUDIT).map_err(Error::database)?;
        let mut chain = txn.open_table(CHAIN).map_err(Error::database)?;
        let last = entries.last().map_err(Error::database)?.map_or(0, |(number, _)| number.value());
        let chained =
            chain.last().map_err(Error::database)?.map(|(number, hash)| (number.value(), *hash.value()));
        let (chained, mut hash) = chained.ok_or_else(|| unreadable(0, "the log's beginning is missing"))?;
        // An entry that somebody took out at the end leaves its number and hash behind: they are not given again.
        let mut number = last.max(chained);
        for entry in new {
            number = number.saturating_add(1);
            entry.number = number;
            let bytes = serde_json::to_vec(entry).map_err(|e| unreadable(number, &e.to_string()))?;
            hash = link(&hash, number, &bytes);
            entries.insert(number, bytes.as_slice()).map_err(Error::database)?;
            chain.insert(number, &hash).map_err(Error::database)?;
        }
    }
    txn.commit().map_err(Error::database)
}

fn unreadable(number: u64, what: &str) -> Error {
    Error::Entry { key: format!("audit {number}"), what: what.to_owned() }
}

/// The log as it is.
pub(super) fn head(db: &Database) -> Result<AuditHead, Error> {
    let txn = db.begin_read().map_err(Error::database)?;
    let chain = txn.open_table(CHAIN).map_err(Error::database)?;
    let log = chain.get(0).map_err(Error::database)?.map(|hash| *hash.value());
    let last = chain.last().map_err(Error::database)?.map(|(number, hash)| (number.value(), *hash.value()));
    match (log, last) {
        (Some(log), Some((size, hash))) => Ok(AuditHead { log, size, hash }),
        _ => Err(unreadable(0, "the log's beginning is missing")),
    }
}

/// A page of entries, from `from` on; one that can't be read says so in its place.
pub(super) fn page(db: &Database, from: u64, backwards: bool) -> Result<Vec<(AuditEntry, [u8; 32])>, Error> {
    let txn = db.begin_read().map_err(Error::database)?;
    let entries = txn.open_table(AUDIT).map_err(Error::database)?;
    let chain = txn.open_table(CHAIN).map_err(Error::database)?;
    let mut page = Vec::new();
    let mut take =
        |row: Result<(redb::AccessGuard<'_, u64>, redb::AccessGuard<'_, &[u8]>), redb::StorageError>| {
            let (number, bytes) = row.map_err(Error::database)?;
            let number = number.value();
            let hash = chain.get(number).map_err(Error::database)?.map_or([0; 32], |hash| *hash.value());
            let entry = serde_json::from_slice(bytes.value()).unwrap_or_else(|error| AuditEntry {
                number,
                when: 0,
                who: "?".into(),
                from: "?".into(),
                kind: AuditKind::Act,
                what: format!("this entry can't be read ({error}); mailkeep audit verify"),
                object: String::new(),
                result: "?".into(),
            });
            page.push((AuditEntry { number, ..entry }, hash));
            Ok::<(), Error>(())
        };
    if backwards {
        entries.range(..=from).map_err(Error::database)?.rev().take(AUDIT_PAGE).try_for_each(&mut take)?;
    } else {
        entries.range(from..).map_err(Error::database)?.take(AUDIT_PAGE).try_for_each(&mut take)?;
    }
    Ok(page)
}
