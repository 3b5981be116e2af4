//! That a log only grew: two heads of it and the path between them.
//!
//! Invariant: what is said to have grown begins with exactly the older head's leaves, by hashes alone.

use super::head::Json as HeadJson;
use super::text::{self, Hex, VERSION};
use super::{Hash, Head, MAX_PATH, Refusal, tree};
use serde::{Deserialize, Serialize};

const FORMAT: &str = "mailkeep evidence consistency";
const WHAT: &str = "an evidence consistency proof";

/// A proof that the newer head's log is a continuation of the older one's (RFC 9162 §2.1.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consistency {
    /// The older head.
    pub old: Head,
    /// The newer one.
    pub new: Head,
    pub(crate) path: Vec<Hash>,
}

/// A log grew by so many leaves and lost none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grown {
    /// Leaves that came.
    pub leaves: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    format: String,
    version: u64,
    old: HeadJson,
    new: HeadJson,
    path: Vec<Hex<[u8; 32]>>,
}

impl Consistency {
    /// Checks signatures and path; needs no archive.
    /// # Errors
    /// `Signature`, `Key`, `Head` when the heads are of two stores, `Rewritten` when the log didn't only grow.
    pub fn check(&self) -> Result<Grown, Refusal> {
        let Consistency { old, new, path } = self;
        old.check()?;
        new.check()?;
        same_log(old, new)?;
        if !tree::extends(old.size, &old.root, new.size, &new.root, path) {
            return Err(Refusal::Rewritten(format!(
                "the log of {} leaves is no continuation of the one of {}: it was rewritten, or the proof changed",
                new.size, old.size
            )));
        }
        Ok(Grown { leaves: new.size - old.size })
    }

    /// Reads a proof from its JSON; [`Consistency::check`] says what it is worth.
    /// # Errors
    /// `Unreadable`, `Limit`.
    pub fn read(json: &[u8]) -> Result<Consistency, Refusal> {
        let Json { old, new, path, .. } = text::read(json, FORMAT, WHAT)?;
        bounded(path.len())?;
        old.marked()?;
        new.marked()?;
        let path = path.into_iter().map(|hash| hash.0).collect();
        Ok(Consistency { old: old.into(), new: new.into(), path })
    }

    /// The proof as JSON, in one line without a line end.
    #[must_use]
    pub fn to_json(&self) -> String {
        let (old, new) = ((&self.old).into(), (&self.new).into());
        let path = self.path.iter().map(|hash| Hex(*hash)).collect();
        let json = Json { format: FORMAT.to_owned(), version: VERSION, old, new, path };
        serde_json::to_string(&json).unwrap_or_default()
    }
}

/// Both heads are of one log, under one key, and in this order.
pub(crate) fn same_log(old: &Head, new: &Head) -> Result<(), Refusal> {
    if old.store != new.store {
        return Err(Refusal::Head(format!(
            "the heads are of two stores, {} and {}: each store has its own log",
            old.store, new.store
        )));
    }
    if old.key != new.key {
        return Err(Refusal::Key { found: hex::encode(new.key), expected: hex::encode(old.key) });
    }
    if old.size > new.size {
        return Err(Refusal::Rewritten(format!(
            "the older head has {} leaves, the newer one {}: a log never shrinks",
            old.size, new.size
        )));
    }
    Ok(())
}

/// Refuses a path that no tree has.
pub(super) fn bounded(path: usize) -> Result<(), Refusal> {
    if path > MAX_PATH {
        return Err(Refusal::Limit { what: "hashes of a path", found: path as u64, limit: MAX_PATH as u64 });
    }
    Ok(())
}
