//! Heads of the evidence logs on their way out of the archive: checked, recorded, sent, again and again.
//!
//! Invariant: a head is only recorded and sent once the present log was found to extend the last recorded head of its store; one
//! that doesn't is told at every occasion until an administrator has looked. What a head is, is storage's business.

mod audit;
mod book;
mod destination;
mod offline;
mod schedule;

pub(crate) use audit::{Signed as SignedAudit, of_file as audit_heads_of, recorded as recorded_audit_heads};
pub(crate) use book::Book;
pub(crate) use destination::run as run_program;
pub(crate) use offline::{check_consistency, heads_of, hex, verify};
pub(crate) use schedule::keep_sending;

use crate::data::Installation;
use anyhow::Result;
use conf::Evidence;
use destination::Destination;
use serde::{Deserialize, Serialize};
use std::sync::Mutex;
use storage::{Cancel, StoreHead};
use time::OffsetDateTime;

/// What stands in place of a store where it is about the audit log.
pub(crate) const AUDIT: &str = "audit";

/// One round at a time: two would mix their lines up.
static ROUND: Mutex<()> = Mutex::new(());

/// What became of a round at one destination.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sent {
    /// Where it went, in words.
    pub(crate) to: String,
    /// Heads in it.
    pub(crate) heads: u64,
    /// Why it failed; none when it went well.
    pub(crate) error: Option<String>,
}

/// A head that isn't to be trusted, and why.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Alarm {
    /// The store's identity, or `audit`.
    pub(crate) store: String,
    /// What is wrong.
    pub(crate) what: String,
}

/// Compares each open store's log with its last recorded head.
pub(crate) fn check(installation: &Installation, cancel: &Cancel) -> Result<Vec<Alarm>> {
    let book = Book::open(&installation.data.evidence_dir())?;
    let mut alarms = Vec::new();
    for head in book.last_heads()? {
        if let Err(error) = installation.storage.extends(&head, cancel) {
            match error {
                storage::Error::Cancelled => return Err(error.into()),
                // It is away or disabled: it will be compared when it is back.
                storage::Error::Unavailable { .. } | storage::Error::Missing { .. } => {}
                error => alarms.push(Alarm { store: head.store.to_string(), what: error.to_string() }),
            }
        }
    }
    if let Some(what) = audit::alarm(installation, &book)? {
        alarms.push(Alarm { store: AUDIT.to_owned(), what });
    }
    Ok(alarms)
}

/// Signs, records and sends the heads of all stores that can be read; to `all` destinations, or to those that are due.
/// Blocking.
pub(crate) fn round(installation: &Installation, all: bool, cancel: &Cancel) -> Result<Vec<Sent>> {
    // A round that panicked left nothing half that the next one minds.
    let _one = ROUND.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let settings = &installation.conf.evidence;
    let mut book = Book::open(&installation.data.evidence_dir())?;
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let due: Vec<Destination> = Destination::all(settings, &installation.data)
        .into_iter()
        .filter(|to| all || book.due(&to.name(), now, every(settings)))
        .collect();
    let recorded = Book::RECORDED;
    if due.is_empty() && !all && !book.due(recorded, now, every(settings)) {
        return Ok(Vec::new());
    }
    let alarms = check(installation, cancel)?;
    for alarm in &alarms {
        tracing::error!(store = alarm.store, "{}", alarm.what);
    }
    let mut heads: Vec<String> = Vec::new();
    for StoreHead { store, head } in installation.storage.heads(None)? {
        match head {
            Ok(head) if alarms.iter().any(|alarm| alarm.store == head.store.to_string()) => {}
            Ok(head) => heads.push(head.to_json()),
            Err(error) => tracing::warn!(store, %error, "no evidence head could be made"),
        }
    }
    if !alarms.iter().any(|alarm| alarm.store == AUDIT) {
        heads.push(audit::Signed::make(installation)?.to_json());
    }
    book.record(&heads)?;
    book.tried(recorded, now, None);
    let mut sent = Vec::new();
    for to in due {
        let name = to.name();
        let error = to.send(&heads, settings.timeout_secs, cancel).err().map(|error| format!("{error:#}"));
        match &error {
            Some(error) => tracing::error!(to = name, error, "evidence heads could not be sent"),
            None => tracing::info!(to = name, heads = heads.len(), "evidence heads were sent"),
        }
        book.tried(&name, now, error.clone());
        sent.push(Sent { to: name, heads: heads.len() as u64, error });
    }
    book.save()?;
    Ok(sent)
}

/// Seconds between two heads.
fn every(settings: &Evidence) -> i64 {
    i64::try_from(settings.every_hours.saturating_mul(3_600)).unwrap_or(i64::MAX)
}
