//! What a command says while it runs and at its end, and what it has at hand.
//!
//! Invariant: events go through a bounded channel, so a slow reader slows the command and fills no memory; a reader
//! that is gone cancels it.

use super::Caller;
use crate::data::Installation;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::io;
use std::sync::{Mutex, PoisonError};
use storage::Cancel;
use tokio::sync::mpsc::Sender;

/// Something a command says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Event {
    /// How far it is.
    Progress(Progress),
    /// Something that the command's user should know.
    Warning(String),
    /// One row of the result.
    Row(serde_json::Value),
    /// A piece of the result's bytes.
    #[serde(serialize_with = "to_base64", deserialize_with = "from_base64")]
    Bytes(Vec<u8>),
    /// The last event: it ended.
    End(Outcome),
    /// The last event: it could not be done.
    Failure(Failure),
}

fn to_base64<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&BASE64_STANDARD.encode(bytes))
}

fn from_base64<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
    BASE64_STANDARD.decode(String::deserialize(from)?).map_err(serde::de::Error::custom)
}

/// How far a command is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Progress {
    /// Done so far.
    pub(crate) done: u64,
    /// In all, if that is known.
    pub(crate) total: Option<u64>,
    /// What is counted.
    pub(crate) unit: Unit,
    /// More, in words.
    pub(crate) text: String,
}

/// What progress counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Unit {
    /// Bytes of a source.
    Bytes,
    /// Messages.
    Messages,
    /// Entries of the audit log.
    Entries,
}

/// How a command ended that could be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// It was done, but something in it failed: exit status 1.
    pub(crate) failed: bool,
}

impl Outcome {
    /// All was well.
    pub(crate) const DONE: Outcome = Outcome { failed: false };
}

/// What kind of failure it was: decides the exit status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Kind {
    /// The parameters make no sense.
    Usage,
    /// No right to do that.
    Denied,
    /// The caller or the program's end stopped it.
    Cancelled,
    /// Anything else.
    Failed,
}

/// Why a command could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// The kind.
    pub(crate) kind: Kind,
    /// What, where, what now.
    pub(crate) message: String,
}

impl Failure {
    /// A failure of this kind.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Failure {
        Failure { kind, message: message.into() }
    }
    /// What went wrong after a command: its own failure is told first, since it may be the reason (a full disk).
    pub(crate) fn also(end: Result<Outcome, Failure>, then: Failure) -> Failure {
        match end {
            Ok(_) => then,
            Err(first) => Failure::new(first.kind, format!("{}; then: {}", first.message, then.message)),
        }
    }
    /// The parameters make no sense.
    pub(crate) fn usage(message: impl std::fmt::Display) -> Failure {
        Failure::new(Kind::Usage, message.to_string())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::new(Kind::Failed, crate::output::chain(&error))
    }
}

impl From<auth::Error> for Failure {
    fn from(error: auth::Error) -> Failure {
        let kind = match error {
            auth::Error::BadName { .. }
            | auth::Error::BadPassword(_)
            | auth::Error::AppPassword(_)
            | auth::Error::BadAddress { .. }
            | auth::Error::BadField { .. }
            | auth::Error::AuditorWithoutEnd(_) => Kind::Usage,
            auth::Error::Denied | auth::Error::CodeNeeded | auth::Error::MustChange => Kind::Denied,
            _ => Kind::Failed,
        };
        Failure::new(kind, error.to_string())
    }
}

impl From<storage::Error> for Failure {
    fn from(error: storage::Error) -> Failure {
        match error {
            storage::Error::Cancelled => Failure::new(Kind::Cancelled, "cancelled"),
            _ => Failure::from(anyhow::Error::from(error)),
        }
    }
}

impl From<archiver::Error> for Failure {
    fn from(error: archiver::Error) -> Failure {
        match error {
            archiver::Error::Storage(error) => error.into(),
            archiver::Error::Users(error) => error.into(),
            error @ archiver::Error::Profile { .. } => Failure::new(Kind::Failed, error.to_string()),
            _ => Failure::from(anyhow::Error::from(error)),
        }
    }
}

/// What a running command has at hand.
pub(crate) struct Context<'a> {
    /// All that is open.
    pub(crate) installation: &'a Installation,
    /// Who gave the command.
    pub(crate) caller: Caller,
    /// Set when nobody wants the answer any more.
    pub(crate) cancel: Cancel,
    /// Where its events go.
    pub(crate) events: Sender<Event>,
    /// What it did and to how many, for the audit log.
    pub(crate) noted: Mutex<String>,
}

impl Context<'_> {
    /// Notes for the audit log what was done so far; the last note counts.
    pub(crate) fn note(&self, what: String) {
        *self.noted.lock().unwrap_or_else(PoisonError::into_inner) = what;
    }
    /// The last note, taken.
    pub(crate) fn noted(&self) -> String {
        std::mem::take(&mut *self.noted.lock().unwrap_or_else(PoisonError::into_inner))
    }
    /// Says something; waits while the reader is slow.
    /// # Errors
    /// `Cancelled`: stop.
    fn say(&self, event: Event) -> Result<(), Failure> {
        self.cancel.check()?;
        self.send(event)
    }
    fn send(&self, event: Event) -> Result<(), Failure> {
        self.events.blocking_send(event).map_err(|_| {
            self.cancel.set();
            Failure::new(Kind::Cancelled, "nobody reads the answer")
        })
    }
    /// Gives one row of the result.
    /// # Errors
    /// `Cancelled`: stop.
    pub(crate) fn row(&self, row: &impl Serialize) -> Result<(), Failure> {
        self.say(Event::Row(value(row)?))
    }
    /// Gives a row that is wanted even after a cancel: the account of what was done until then.
    /// # Errors
    /// `Cancelled`: there is nobody to read it.
    pub(crate) fn last_row(&self, row: &impl Serialize) -> Result<(), Failure> {
        self.send(Event::Row(value(row)?))
    }
    /// Tells something that the command's user should know, whoever is reading.
    pub(crate) fn warn(&self, text: &str) {
        if self.events.blocking_send(Event::Warning(text.to_owned())).is_err() {
            self.cancel.set();
        }
    }
    /// Says how far it is; dropped while the reader is slow, since only the newest matters.
    pub(crate) fn progress(&self, progress: Progress) {
        match self.events.try_send(Event::Progress(progress)) {
            Err(tokio::sync::mpsc::error::TrySendError::Closed(_)) => self.cancel.set(),
            Ok(()) | Err(tokio::sync::mpsc::error::TrySendError::Full(_)) => {}
        }
    }
    /// A writer for the result's bytes.
    pub(crate) fn bytes(&self) -> Bytes<'_, '_> {
        Bytes { cx: self, held: Vec::with_capacity(Bytes::PIECE) }
    }
}

fn value(row: &impl Serialize) -> Result<serde_json::Value, Failure> {
    serde_json::to_value(row).map_err(|error| Failure::from(anyhow::Error::from(error)))
}

/// Gives the result's bytes in pieces; what is held back goes with `flush`.
pub(crate) struct Bytes<'c, 'a> {
    cx: &'c Context<'a>,
    held: Vec<u8>,
}

impl Bytes<'_, '_> {
    const PIECE: usize = 64 << 10;

    fn give(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.held, Vec::with_capacity(Bytes::PIECE));
        self.cx.say(Event::Bytes(piece)).map_err(|failure| io::Error::other(failure.message))
    }
}

impl io::Write for Bytes<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.held.len() >= Bytes::PIECE {
            self.give()?;
        }
        let take = bytes.len().min(Bytes::PIECE - self.held.len());
        self.held.extend(bytes.iter().take(take));
        Ok(take)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.give()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_the_wire() {
        let bytes: Vec<u8> = (0..=255).collect();
        let line = serde_json::to_string(&Event::Bytes(bytes.clone())).unwrap();
        assert!(!line.contains('\n'));
        match serde_json::from_str(&line).unwrap() {
            Event::Bytes(back) => assert_eq!(back, bytes),
            other => panic!("{other:?}"),
        }
        assert!(serde_json::from_str::<Event>(r#"{"bytes":"no base64!"}"#).is_err());
        let end = serde_json::to_string(&Event::End(Outcome::DONE)).unwrap();
        assert_eq!(end, r#"{"end":{"failed":false}}"#);
    }
}
