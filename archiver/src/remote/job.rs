//! What the engine is told: which mailbox, where its mail goes, what is wanted, what may be deleted.
//!
//! Invariant: the rules only ever leave mail out or allow a deletion; they can't make one that the engine's own checks forbid.

use super::access::{Access, Login};
use std::time::Instant;
use storage::{ContentHash, FolderPath, InternalDate};

/// The protocol that a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// RFC 3501 and 9051.
    Imap,
    /// RFC 1939.
    Pop3,
}

/// Where mail goes.
#[derive(Clone, Copy)]
pub(crate) enum Into<'a> {
    /// The source's tree is kept under this folder.
    Folder(&'a FolderPath),
    /// Each message goes where its header says.
    Multidrop(&'a dyn Route),
}

/// Where a message goes, by its header.
pub(crate) trait Route: Sync {
    /// The folders that the message goes to; at least one. `header`: its canonical header, blank line included, cut at 1 MiB.
    /// # Errors
    /// Why it is left out; it is counted as filtered.
    fn folders(&self, header: &[u8]) -> Result<Vec<FolderPath>, String>;
}

/// What is said of a folder that is another user's (RFC 2342), beside its special uses.
pub(crate) const OTHERS: &str = "namespace:others";
/// What is said of a folder that is many users'.
pub(crate) const SHARED: &str = "namespace:shared";

/// Whether a folder is the user's own, by what is said of it.
pub(crate) fn is_own(special_use: &[String]) -> bool {
    !special_use.iter().any(|word| word == OTHERS || word == SHARED)
}

/// What is known of a message before it is fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FilterFacts {
    /// INTERNALDATE; none from POP3.
    pub(crate) date: Option<InternalDate>,
    /// RFC822.SIZE in bytes, as the server says.
    pub(crate) size: u64,
    /// Whether it has \Seen; none from POP3.
    pub(crate) seen: Option<bool>,
    /// The fields From and Subject as they stand, ended by a blank line; empty unless [`Rules::needs_fields`].
    pub(crate) fields: Vec<u8>,
}

/// What is wanted of a mailbox.
pub(crate) trait Rules: Sync {
    /// Whether a folder is archived. `name`: decoded, levels separated by `/`; `special_use`: as the server lists them (`\Trash`), with
    /// [`OTHERS`] or [`SHARED`] for what isn't the user's own.
    fn wants_folder(&self, name: &str, special_use: &[String]) -> bool;
    /// Why a message is left out, if it is.
    fn filter(&self, known: &FilterFacts) -> Option<String>;
    /// Whether [`Rules::filter`] looks at the fields From and Subject, which are fetched then.
    fn needs_fields(&self) -> bool;
    /// Whether a message that was left out may be wanted later without a change of rules (its age, whether it is read): it
    /// is then asked about in every run.
    fn may_change(&self) -> bool;
    /// Text that changes when the rules do: what was left out is looked at again then.
    fn fingerprint(&self) -> String;
    /// What may be deleted at the source; none: nothing ever.
    fn deletion(&self) -> Option<&Deletion>;
    /// Whether a message must not be deleted at its source for legal reasons.
    fn forbidden(&self, _hash: &ContentHash) -> bool {
        false
    }
}

/// Which messages are deleted at the source once they are safely archived. All conditions that are given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub struct Deletion {
    /// So many whole days have passed since it was archived.
    pub after_days: Option<u32>,
    /// It is so many whole days old by INTERNALDATE (from POP3: by the archive's date).
    pub older_than_days: Option<u32>,
    /// Delete although the server can't expunge exactly what is named (no UIDPLUS): others' deleted mail goes with it.
    pub force_without_uidplus: bool,
    /// Only list what would be deleted.
    pub dry_run: bool,
}

/// One mailbox (all folders of one login) to archive.
pub(crate) struct MailboxJob<'a> {
    /// The server.
    pub(crate) access: &'a Access,
    /// Who logs in.
    pub(crate) login: &'a Login,
    /// What the server speaks.
    pub(crate) protocol: Protocol,
    /// Stable name of the source (`imap:user@host:port`): checkpoints and occurrences use it. At most 200 bytes.
    pub(crate) key: String,
    /// Where the mail goes.
    pub(crate) into: Into<'a>,
    /// What is wanted.
    pub(crate) rules: &'a dyn Rules,
}

/// What a run of mailboxes is called, and its bounds.
#[derive(Debug, Clone)]
pub(crate) struct Start {
    /// What is archived, for the ledger: the profile's name, or the source.
    pub(crate) source: String,
    /// Target, for the ledger.
    pub(crate) into: String,
    /// Who asked.
    pub(crate) who: String,
    /// Mailboxes at once; 0 counts as 1, more than 32 as 32.
    pub(crate) parallel: usize,
    /// When the run ends at the latest; what is left is for the next one.
    pub(crate) until: Option<Instant>,
}
