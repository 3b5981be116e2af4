//! Reads one store again, all or a slice of it, and says what is damaged: by folder, UID and message where that is known.
//!
//! Invariant: reads only; damage is told, never mended and never an error. What is archived meanwhile is not looked at. Bytes
//! come from the disk, not from the caches of readers. Left to others: which stores, threads, what is remembered of a
//! run that was broken off (`stores::verify`).

mod all_mail;
mod messages;
mod records;
mod tables;

pub(crate) use records::Position;

use super::state::Counters;
use super::{Cancel, Store};
use crate::db::MessageEntry;
use crate::db::pages::Placed;
use crate::pack::Packs;
use crate::text::SearchText;
use crate::{Error, FolderId, MsgNo, Uid, UidValidity};
use crossbeam_channel::Sender;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

/// Memory for blocks that neighbouring messages share.
const CACHE_BYTES: usize = 16 << 20;
/// Placements of a damaged message that are named.
const MAX_PLACES: usize = 100;
/// Longest subject and Message-ID that are told, characters.
const MAX_NAME: usize = 200;
/// Longest words on a damage, characters.
const MAX_WHAT: usize = 500;

/// Something that is damaged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Damage {
    /// The store's number.
    pub store: String,
    /// The folder, with the archive first; none when the damage is at no one message.
    pub folder: Option<String>,
    /// The message's UID in it.
    pub uid: Option<u32>,
    /// The message's identity, in hexadecimal digits.
    pub sha256: Option<String>,
    /// Its Message-ID, if the header can be read; at most 200 characters.
    pub message_id: Option<String>,
    /// Its subject, if the header can be read; at most 200 characters.
    pub subject: Option<String>,
    /// What is damaged.
    pub what: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.folder, self.uid) {
            (Some(folder), Some(uid)) => write!(f, "{folder} UID {uid}: ")?,
            (Some(folder), None) => write!(f, "{folder}: ")?,
            (None, _) => write!(f, "store {}: ", self.store)?,
        }
        f.write_str(&self.what)?;
        match &self.subject {
            Some(subject) => write!(f, " (Subject: {subject})"),
            None => Ok(()),
        }
    }
}

/// The n-th of t parts; after all of them everything was read once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slice {
    /// From 1.
    pub part: u32,
    /// Parts in all; 1: everything at once.
    pub of: u32,
}

impl Slice {
    /// Everything.
    pub const ALL: Slice = Slice { part: 1, of: 1 };

    /// The n-th of t; none unless 1 ≤ n ≤ t ≤ 1000.
    #[must_use]
    pub fn new(part: u32, of: u32) -> Option<Slice> {
        ((1..=of).contains(&part) && of <= 1_000).then_some(Slice { part, of })
    }

    /// Whether it is everything.
    #[must_use]
    pub fn is_all(self) -> bool {
        self.of == 1
    }

    pub(crate) fn has(self, number: u64) -> bool {
        number % u64::from(self.of) == u64::from(self.part - 1)
    }
}

/// What a worker tells.
#[derive(Debug)]
pub(crate) enum Event {
    Damage(Damage),
    /// Bytes of packs or messages read.
    Bytes(u64),
    Records(u64),
    Message,
    Placements(u64),
    Documents(u64),
    Part,
}

/// One store being verified; its workers share it.
pub(crate) struct Job<'a> {
    pub(crate) store: &'a Arc<Store>,
    /// The store's number.
    pub(crate) number: &'a str,
    /// What the installation calls a folder of this store.
    pub(crate) path_of: &'a (dyn Fn(FolderId) -> Option<String> + Sync),
    pub(crate) packs: Packs,
    /// What was there at the beginning.
    pub(crate) counters: Counters,
    pub(crate) slice: Slice,
    pub(crate) cancel: &'a Cancel,
    pub(crate) out: Sender<Event>,
}

/// Damage is told; a failing disk or a cancel ends the work.
fn is_damage(error: &Error) -> bool {
    use Error::{Corrupt, Database, Derived, Missing, Version, WrongContent};
    matches!(
        error,
        Corrupt { .. }
            | Database { .. }
            | Derived { .. }
            | Missing { .. }
            | Version { .. }
            | WrongContent { .. }
    )
}

impl<'a> Job<'a> {
    pub(crate) fn new(
        store: &'a Arc<Store>,
        number: &'a str,
        path_of: &'a (dyn Fn(FolderId) -> Option<String> + Sync),
        slice: Slice,
        cancel: &'a Cancel,
        out: Sender<Event>,
    ) -> Job<'a> {
        // First the counters: whatever packs they speak of are there then.
        let counters = store.state.read().counters;
        let packs = store.packs.again(CACHE_BYTES);
        Job { store, number, path_of, packs, counters, slice, cancel, out }
    }

    /// How many bytes its workers read, about.
    pub(crate) fn bytes(&self) -> u64 {
        let packs: u64 = self.packs.list().into_iter().filter_map(|pack| self.packs.len(pack).ok()).sum();
        (packs + self.counters.message_bytes) / u64::from(self.slice.of)
    }

    /// Says something; an end that nobody listens to any more is a cancel.
    fn say(&self, event: Event) -> Result<(), Error> {
        self.out.send(event).map_err(|_| Error::Cancelled)
    }

    fn damage(&self, what: impl Into<String>) -> Damage {
        Damage {
            store: self.number.to_owned(),
            folder: None,
            uid: None,
            sha256: None,
            message_id: None,
            subject: None,
            what: cut(&what.into(), MAX_WHAT),
        }
    }

    /// Tells damage at no one place.
    fn tell(&self, what: impl Into<String>) -> Result<(), Error> {
        self.say(Event::Damage(self.damage(what)))
    }

    fn path(&self, folder: FolderId) -> String {
        (self.path_of)(folder).unwrap_or_else(|| format!("folder number {}", folder.0))
    }

    /// Tells damage at a folder.
    fn tell_folder(&self, folder: FolderId, what: impl Into<String>) -> Result<(), Error> {
        self.say(Event::Damage(Damage { folder: Some(self.path(folder)), ..self.damage(what) }))
    }

    /// Tells damage at a placement.
    fn tell_at(&self, folder: FolderId, uid: Uid, what: impl Into<String>) -> Result<(), Error> {
        let (folder, uid) = (Some(self.path(folder)), Some(uid.0));
        self.say(Event::Damage(Damage { folder, uid, ..self.damage(what) }))
    }

    /// Tells damage at a message, under each of its placements.
    fn tell_message(
        &self,
        no: MsgNo,
        entry: Option<&MessageEntry>,
        places: &[(FolderId, Uid)],
        what: &str,
    ) -> Result<(), Error> {
        let named = self.named(entry);
        let damage = |folder: Option<String>, uid: Option<u32>, what: &str| {
            let (sha256, message_id, subject) = named.clone();
            Damage { folder, uid, sha256, message_id, subject, ..self.damage(what) }
        };
        if places.is_empty() {
            return self.say(Event::Damage(damage(None, None, &format!("message number {}: {what}", no.0))));
        }
        for (at, &(folder, uid)) in places.iter().take(MAX_PLACES).enumerate() {
            let more = places.len().saturating_sub(MAX_PLACES);
            let what = match more {
                more if more > 0 && at + 1 == MAX_PLACES => format!("{what} (and at {more} more places)"),
                _ => what.to_owned(),
            };
            self.say(Event::Damage(damage(Some(self.path(folder)), Some(uid.0), &what)))?;
        }
        Ok(())
    }

    /// Identity, Message-ID and subject, as far as they can be read.
    fn named(&self, entry: Option<&MessageEntry>) -> (Option<String>, Option<String>, Option<String>) {
        let Some(entry) = entry else { return (None, None, None) };
        let mut header = Vec::new();
        while (header.len() as u64) < entry.header_len {
            let range = header.len() as u64..entry.header_len;
            match super::message::read_some(&self.packs, entry, range) {
                Ok(more) if !more.is_empty() => header.extend_from_slice(&more),
                _ => break,
            }
        }
        let fields = SearchText::header_fields(&header);
        let value = |name: &str| {
            let field = fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))?;
            Some(cut(field.value.trim(), MAX_NAME))
        };
        (Some(entry.hash.to_string()), value("Message-ID"), value("Subject"))
    }

    /// The value; its damage is handed to `tell`.
    fn sound<T>(
        &self,
        value: Result<T, Error>,
        tell: impl FnOnce(String) -> Result<(), Error>,
    ) -> Result<Option<T>, Error> {
        match value {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_damage(&error) => {
                tell(error.to_string())?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn validity(&self, folder: FolderId) -> Option<UidValidity> {
        self.store.state.read().folders.get(&folder).map(|folder| folder.info.uid_validity)
    }
}

/// The text, cut to so many characters.
fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Placements by folder and UID: neighbours are asked for one after the other, so each folder's last page is kept.
#[derive(Default)]
struct Pages {
    pages: HashMap<FolderId, Vec<Placed>>,
}

impl Pages {
    fn placed(&mut self, store: &Store, folder: FolderId, uid: Uid) -> Result<Option<Placed>, Error> {
        let within = |rows: &[Placed]| {
            let spans = rows.first().zip(rows.last());
            spans.is_some_and(|(first, last)| (first.row.uid..=last.row.uid).contains(&uid))
        };
        if !self.pages.get(&folder).is_some_and(|rows| within(rows)) {
            let mut found = Vec::new();
            store.db.pages(folder, uid, |rows| {
                found = rows;
                false
            })?;
            // Folders without end don't fill memory.
            if self.pages.len() >= 1_000 {
                self.pages.clear();
            }
            self.pages.insert(folder, found);
        }
        let rows = self.pages.get(&folder).map(Vec::as_slice).unwrap_or_default();
        Ok(rows.binary_search_by_key(&uid, |placed| placed.row.uid).ok().and_then(|at| rows.get(at).copied()))
    }
}
