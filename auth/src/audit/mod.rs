//! The audit log: who did what, from where, to what, and how it ended.
//!
//! Invariant: entries are numbered without gaps, only ever added, and chained: each has a hash over its bytes and the hash before it
//! (`chain.rs`), so that a signed head stands for all entries below it. Signing and keeping heads elsewhere is the program's
//! business. Owns the tables `audit` and `audit_chain` of master.redb.

mod chain;
mod filter;
mod logins;
mod queue;
#[cfg(test)]
mod tests;
mod verify;

pub use chain::AuditHead;
pub use filter::AuditFilter;
pub use logins::{LoginNotes, Successes};
pub use verify::{AuditVerdict, AuditWrong};

pub(crate) use chain::open;
pub(crate) use logins::Logins;
pub(crate) use queue::Queue;

use crate::{Auth, Error};
use serde::{Deserialize, Serialize};

/// Longest text of one field of an entry, bytes; more is cut, since parameters may come from anyone.
pub(crate) const MAX_FIELD_BYTES: usize = 4_096;

/// Entries of one page of [`Auth::audit_page`].
pub const AUDIT_PAGE: usize = 1_000;

/// What kind of act it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum AuditKind {
    /// A command that is none of the others; entries of older versions too.
    #[default]
    Act,
    /// A login, or one that was refused.
    Login,
    /// Users, their rights and how they log in were changed.
    Privilege,
    /// An archive was read by somebody else than its user.
    Access,
    /// Administrators' access to others' archives was opened or blocked.
    ArchiveAccess,
    /// Mail was archived.
    Run,
    /// Mail was deleted.
    Deletion,
}

/// What is to be added to the log.
#[derive(Debug, Clone, Copy)]
pub struct AuditNote<'a> {
    /// Who: a user's name, or `local:NAME` for the system's user at the control socket.
    pub who: &'a str,
    /// From where: an address, `socket`, `in-process`, or `here` for a login that came with a command.
    pub from: &'a str,
    /// What kind of act.
    pub kind: AuditKind,
    /// What: the command and its parameters, without secrets and without words of mail.
    pub what: &'a str,
    /// The archives that it was about, with commas; may be empty.
    pub object: &'a str,
    /// `ok` or why not.
    pub result: &'a str,
}

/// One audited act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Number, from 1, without gaps.
    pub number: u64,
    /// Seconds since 1970 (UTC).
    pub when: i64,
    /// Who: a user's name, or `local:NAME` for the system's user at the control socket.
    pub who: String,
    /// From where: an address, `socket`, `in-process`, or `here` for a login that came with a command.
    pub from: String,
    /// What kind of act.
    #[serde(default)]
    pub kind: AuditKind,
    /// What: the command and its parameters, without secrets and without words of mail.
    pub what: String,
    /// The archives that it was about, with commas; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub object: String,
    /// `ok` or why not.
    pub result: String,
}

impl AuditEntry {
    /// What the note says, now; the number comes when it is written.
    fn new(note: &AuditNote<'_>) -> AuditEntry {
        let AuditNote { who, from, kind, what, object, result } = *note;
        AuditEntry {
            number: 0,
            when: crate::now(),
            who: cut(who),
            from: cut(from),
            kind,
            what: cut(what),
            object: cut(object),
            result: cut(result),
        }
    }
}

fn cut(text: &str) -> String {
    let end = (0..=MAX_FIELD_BYTES.min(text.len())).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    text.get(..end).unwrap_or_default().to_owned()
}

impl Auth {
    /// Appends an act to the audit log.
    /// # Errors
    /// As [`Auth::note`].
    pub fn audit(&self, who: &str, from: &str, what: &str, result: &str) -> Result<(), Error> {
        self.note(&AuditNote { who, from, kind: AuditKind::Act, what, object: "", result })
    }

    /// Appends to the audit log; on return it survives power loss, and so does what waited before it.
    /// # Errors
    /// `Database`: nothing was added, or not all of it.
    pub fn note(&self, note: &AuditNote<'_>) -> Result<(), Error> {
        self.audit.write(Some(AuditEntry::new(note)))
    }

    /// Appends to the audit log within a second, together with others: for what sessions do by the thousand. A power cut or a
    /// kill before may lose it; a full or broken disk doesn't go unseen, since then it is written at once or fails here.
    /// # Errors
    /// `Database`: it was not added; who notes an act must not let it happen.
    pub fn note_soon(&self, note: &AuditNote<'_>) -> Result<(), Error> {
        self.audit.add(AuditEntry::new(note))
    }

    /// Writes what waits.
    /// # Errors
    /// `Database`: some of it waits still.
    pub fn audit_flush(&self) -> Result<(), Error> {
        self.note_unnoted_logins();
        self.audit.write(None)
    }

    /// The newest `most` entries, oldest first.
    /// # Errors
    /// `Database`.
    pub fn audit_log(&self, most: usize) -> Result<Vec<AuditEntry>, Error> {
        self.audit.write(None)?;
        let mut entries = Vec::new();
        let mut from = u64::MAX;
        while entries.len() < most {
            let page = chain::page(&self.db, from, true)?;
            let Some((last, _)) = page.last() else { break };
            from = last.number.saturating_sub(1);
            entries.extend(page.into_iter().map(|(entry, _)| entry).take(most - entries.len()));
        }
        entries.reverse();
        Ok(entries)
    }

    /// Up to [`AUDIT_PAGE`] entries with their hashes, from number `from` on: backwards, or forwards. What waits isn't among them.
    /// # Errors
    /// `Database`.
    pub fn audit_page(&self, from: u64, backwards: bool) -> Result<Vec<(AuditEntry, [u8; 32])>, Error> {
        chain::page(&self.db, from, backwards)
    }

    /// The log as it is, everything that waits written.
    /// # Errors
    /// `Database`.
    pub fn audit_head(&self) -> Result<AuditHead, Error> {
        self.audit.write(None)?;
        chain::head(&self.db)
    }

    /// Whether the log still has what a head of it says, by the hash that it keeps of that entry; what is wrong, if not. Costs next
    /// to nothing; [`Auth::audit_verify`] computes it all.
    /// # Errors
    /// `Database`.
    pub fn audit_extends(&self, head: &AuditHead) -> Result<Option<String>, Error> {
        verify::extends(&self.db, head)
    }

    /// Computes all hashes anew, compares them with those in the database and with `heads`, and names the first entry that is wrong.
    /// `going` hears how many entries were read, and stops it by `false`.
    /// # Errors
    /// `Database`, `Stopped`.
    pub fn audit_verify(
        &self,
        heads: &[AuditHead],
        going: &mut dyn FnMut(u64) -> bool,
    ) -> Result<AuditVerdict, Error> {
        self.audit.write(None)?;
        verify::all(&self.db, heads, going)
    }
}
