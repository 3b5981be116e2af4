//! Identities and conversations of messages, as names that never change (RFC 8474).
//!
//! Invariant: both depend on the message's bytes alone: wherever it lies and whatever comes later, they stay. A conversation is
//! named by the oldest message that References names, else In-Reply-To, else by the message itself, so that it holds together
//! as far as its messages tell that. Looking one up costs what is found.

use super::Storage;
use crate::db::{THREADS, front};
use crate::order::{Column, Entry, hashes};
use crate::store::{FolderView, Part, Row, Store, Whole};
use crate::{ContentHash, Error, MsgNo, StoreNo, UidRanges};
use std::collections::BTreeMap;

impl Storage {
    /// A message's identity.
    /// # Errors
    /// `Missing`, `Derived`, `Unavailable`.
    pub fn identity(&self, row: &Row) -> Result<ContentHash, Error> {
        Ok(self.shared.store(row.store)?.db.message(row.msg)?.hash)
    }

    /// The conversations of these messages, in the rows' order: 64 bits of a hash of a Message-ID; none for a message that names no id
    /// and has none.
    /// # Errors
    /// `Derived`, `Unavailable`.
    pub fn conversations(&self, rows: &[Row]) -> Result<Vec<Option<u64>>, Error> {
        let mut found = vec![None; rows.len()];
        let mut wanted: BTreeMap<StoreNo, Vec<(u32, u32)>> = BTreeMap::new();
        for (row, at) in rows.iter().zip(0..) {
            wanted.entry(row.store).or_default().push((row.msg.0, at));
        }
        for (store, mut numbers) in wanted {
            numbers.sort_unstable();
            let store = self.shared.store(store)?;
            store.db.orders(Column::Ids, &numbers, &|| Ok(()), &mut |at, entry| {
                if let (Some(slot), Entry::Ids { id, references }) = (found.get_mut(at as usize), entry) {
                    *slot = hashes(references).next().or(id);
                }
            })?;
        }
        Ok(found)
    }

    /// Whether a store that can be read holds a message of this identity, wherever it lies.
    /// # Errors
    /// `Derived`.
    pub fn holds(&self, hash: &ContentHash) -> Result<bool, Error> {
        for store in self.shared.open_stores() {
            if !store.db.with_front(&hash.0)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The UIDs of a view whose messages' identity begins with these bytes, of which there are at least eight.
    /// # Errors
    /// `Derived`, `Unavailable`.
    pub fn with_identity(&self, view: &FolderView, begin: &[u8]) -> Result<UidRanges, Error> {
        self.placed_in(view, &|store| store.db.with_front(begin))
    }

    /// The UIDs of a view whose messages are of this conversation.
    /// # Errors
    /// `Derived`, `Unavailable`.
    pub fn in_conversation(&self, view: &FolderView, conversation: u64) -> Result<UidRanges, Error> {
        self.placed_in(view, &|store| store.db.in_thread(conversation))
    }

    /// The UIDs of a view under which it shows these messages of each store.
    fn placed_in(
        &self,
        view: &FolderView,
        messages: &dyn Fn(&Store) -> Result<Vec<MsgNo>, Error>,
    ) -> Result<UidRanges, Error> {
        let mut spans = Vec::new();
        for part in view.parts.iter() {
            let store = self.shared.store(part.store)?;
            for msg in messages(&store)? {
                uids_of(&store, part, msg, &mut spans)?;
            }
        }
        Ok(UidRanges::from_spans(spans).intersect(&view.uids))
    }
}

/// The UIDs under which a part shows a message.
fn uids_of(store: &Store, part: &Part, msg: MsgNo, spans: &mut Vec<(u32, u32)>) -> Result<(), Error> {
    for (folder, uid) in store.db.places_of(msg)? {
        let shown = match part.whole {
            Whole::Folder if folder == part.folder => Some(uid.0),
            Whole::Folder => None,
            Whole::AllMail { above } => {
                let of = store.state.read().archive_of.get(&folder).copied();
                let placed = store.db.placed(folder, uid)?.filter(|_| of == Some(part.folder));
                placed.map(|placed| placed.archive_uid.0.saturating_add(above))
            }
        };
        let shown = shown.filter(|uid| part.uids.contains(crate::Uid(*uid)));
        spans.extend(shown.map(|uid| (uid, uid)));
    }
    Ok(())
}

impl crate::db::Db {
    /// The messages whose identity begins so.
    fn with_front(&self, begin: &[u8]) -> Result<Vec<MsgNo>, Error> {
        let mut hash = [0; 32];
        for (to, from) in hash.iter_mut().zip(begin) {
            *to = *from;
        }
        let mut found = Vec::new();
        for no in self.with_identity_front(front(&hash))? {
            if self.message(no)?.hash.0.starts_with(begin) {
                found.push(no);
            }
        }
        Ok(found)
    }

    /// The messages of a conversation.
    fn in_thread(&self, root: u64) -> Result<Vec<MsgNo>, Error> {
        let txn = self.read()?;
        let table = txn.open_table(THREADS).map_err(|e| self.err(e))?;
        let mut found = Vec::new();
        for row in table.range((root, 0)..=(root, u32::MAX)).map_err(|e| self.err(e))? {
            found.push(MsgNo(row.map_err(|e| self.err(e))?.0.value().1));
        }
        Ok(found)
    }
}
