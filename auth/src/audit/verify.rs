//! Whether the log is what it was: all hashes computed anew, compared with those that stand beside the entries, and with heads.
//!
//! Invariant: what the database says of itself is only believed as far as a head agrees: whoever can write the file can compute
//! hashes too, so without a head from elsewhere this finds accidents and the clumsy.

use super::chain::{AUDIT, AuditHead, CHAIN, link};
use crate::Error;
use redb::{Database, ReadableDatabase};

/// Entries that are read in one transaction, so that the file's pages stay free for use.
const STRETCH: usize = 10_000;

/// The first entry that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditWrong {
    /// The first number that may be wrong.
    pub first: u64,
    /// The last one: another than `first` where only heads tell that something between them is wrong, or many are missing.
    pub last: u64,
    /// What is wrong.
    pub what: String,
}

/// What verifying found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditVerdict {
    /// The log as far as it was good.
    pub head: AuditHead,
    /// Heads that agreed.
    pub heads: u64,
    /// What is wrong; none: nothing.
    pub wrong: Option<AuditWrong>,
}

fn wrong(first: u64, last: u64, what: impl Into<String>) -> Option<AuditWrong> {
    Some(AuditWrong { first, last, what: what.into() })
}

fn another_log() -> String {
    "the recorded head is of another audit log: this database is not the one that it was recorded from".into()
}

fn cut_off(size: u64, head: u64) -> String {
    format!(
        "missing: the log ends at entry {size}, but a recorded head says {head}: its end was cut off, or this database is an \
         older copy"
    )
}

/// [`crate::Auth::audit_extends`].
pub(super) fn extends(db: &Database, head: &AuditHead) -> Result<Option<String>, Error> {
    let now = super::chain::head(db)?;
    if now.log != head.log {
        return Ok(Some(another_log()));
    }
    let txn = db.begin_read().map_err(Error::database)?;
    let chain = txn.open_table(CHAIN).map_err(Error::database)?;
    let kept = chain.get(head.size).map_err(Error::database)?.map(|hash| *hash.value());
    Ok(match kept {
        Some(hash) if hash == head.hash => None,
        Some(_) => Some(format!("the entries up to {} are not those of the recorded head", head.size)),
        None => Some(cut_off(now.size, head.size)),
    })
}

/// [`crate::Auth::audit_verify`].
pub(super) fn all(
    db: &Database,
    heads: &[AuditHead],
    going: &mut dyn FnMut(u64) -> bool,
) -> Result<AuditVerdict, Error> {
    let log = super::chain::head(db)?.log;
    let mut head = AuditHead { log, size: 0, hash: log };
    if heads.iter().any(|head| head.log != log) {
        let wrong = wrong(1, 1, another_log());
        return Ok(AuditVerdict { head, heads: 0, wrong });
    }
    let mut heads = heads.to_vec();
    heads.sort_by_key(|head| head.size);
    let mut walk = Walk { heads, agreed: 0, trusted: 0 };
    if let Some(wrong) = walk.compare(&head) {
        return Ok(AuditVerdict { head, heads: 0, wrong: Some(wrong) });
    }
    loop {
        let before = head.size;
        let wrong = walk.stretch(db, &mut head)?;
        let ended = head.size == before;
        let wrong = wrong.or_else(|| if ended { walk.end(head.size) } else { None });
        if wrong.is_some() || ended {
            return Ok(AuditVerdict { head, heads: walk.agreed, wrong });
        }
        if !going(head.size) {
            return Err(Error::Stopped);
        }
    }
}

struct Walk {
    /// By size.
    heads: Vec<AuditHead>,
    /// So many of them agreed.
    agreed: u64,
    /// Up to here a head agrees.
    trusted: u64,
}

impl Walk {
    fn next(&self) -> Option<&AuditHead> {
        self.heads.get(usize::try_from(self.agreed).unwrap_or(usize::MAX))
    }

    /// Compares the heads of this size.
    fn compare(&mut self, found: &AuditHead) -> Option<AuditWrong> {
        while let Some(head) = self.next().filter(|head| head.size == found.size) {
            if head.hash != found.hash {
                return wrong(
                    self.trusted + 1,
                    found.size,
                    format!(
                        "changed: the hash of entry {} is not the recorded head's, so one of these entries was changed, taken \
                         out or put in, and all hashes since were made anew",
                        found.size
                    ),
                );
            }
            self.agreed += 1;
            self.trusted = found.size;
        }
        None
    }

    /// The log ended here.
    fn end(&self, size: u64) -> Option<AuditWrong> {
        let last = self.heads.last().filter(|head| head.size > size)?;
        wrong(size + 1, last.size, cut_off(size, last.size))
    }

    /// Goes on for a stretch; `head` is how far it is good.
    fn stretch(&mut self, db: &Database, head: &mut AuditHead) -> Result<Option<AuditWrong>, Error> {
        let txn = db.begin_read().map_err(Error::database)?;
        let entries = txn.open_table(AUDIT).map_err(Error::database)?;
        let chain = txn.open_table(CHAIN).map_err(Error::database)?;
        let mut entries = entries.range(head.size + 1..).map_err(Error::database)?;
        let mut chain = chain.range(head.size + 1..).map_err(Error::database)?;
        for _ in 0..STRETCH {
            let number = head.size + 1;
            let entry = entries.next().transpose().map_err(Error::database)?;
            let kept = chain.next().transpose().map_err(Error::database)?;
            let (entry, kept) = match (entry, kept) {
                (None, None) => return Ok(None),
                (entry, kept) => {
                    let there = entry.as_ref().map(|(number, _)| number.value());
                    let hashed = kept.as_ref().map(|(number, _)| number.value());
                    match (entry, kept) {
                        (Some(entry), Some(kept)) if there == hashed && there == Some(number) => {
                            (entry, kept)
                        }
                        _ => return Ok(Walk::gap(number, there, hashed)),
                    }
                }
            };
            let (bytes, kept) = (entry.1.value(), *kept.1.value());
            let hash = link(&head.hash, number, bytes);
            if hash != kept {
                return Ok(wrong(number, number, changed(number, bytes)));
            }
            (head.size, head.hash) = (number, hash);
            if let Some(wrong) = self.compare(head) {
                return Ok(Some(wrong));
            }
        }
        Ok(None)
    }

    /// Entry `number` should have come; what came is another one, or only one half of it.
    fn gap(number: u64, entry: Option<u64>, hash: Option<u64>) -> Option<AuditWrong> {
        if entry == Some(number) {
            return wrong(number, number, "inserted: it has no hash, so the program didn't write it");
        }
        let last = match (entry, hash) {
            (Some(entry), _) => entry - 1,
            (None, Some(_)) | (None, None) => number,
        };
        let what = match entry {
            Some(_) => "missing: it was taken out",
            None => "missing: the log's end was cut off",
        };
        wrong(number, last, what)
    }
}

/// What an entry says of itself.
#[derive(serde::Deserialize)]
struct Own {
    number: u64,
}

fn changed(number: u64, bytes: &[u8]) -> String {
    match serde_json::from_slice::<Own>(bytes) {
        Ok(own) if own.number != number => {
            format!("reordered: in its place stands an entry that says to be number {}", own.number)
        }
        Ok(_) => "changed: it doesn't give the hash that was kept of it".into(),
        Err(error) => format!("changed: it can't be read any more ({error})"),
    }
}
