//! Rows of a folder in UID order, and cards beside them: range scans of pages and of groups.
//!
//! Invariant: no database transaction lives between two calls; memory is a batch of rows and a few groups of cards.

use super::Store;
use crate::card::Card;
use crate::db::pages::{PAGE_ROWS, Placed};
use crate::order::Keys;
use crate::{Error, FolderId, MsgNo, Row, Uid, UidRanges};
use std::collections::VecDeque;
use std::sync::Arc;

/// Rows that a batch has at least, unless it is the last.
pub(super) const BATCH_ROWS: usize = 4 * PAGE_ROWS;
/// UIDs that may be skipped by reading pages through.
const NEAR: u32 = 2 * PAGE_ROWS as u32;
/// Groups of cards that are kept, for messages that were placed out of order.
const GROUPS: usize = 3;

/// Rows of a folder in UID order, in batches; holds no database transaction between calls.
#[derive(Debug)]
pub(crate) struct StoreRows {
    store: Arc<Store>,
    folder: FolderId,
    wanted: Wanted,
}

impl StoreRows {
    pub(crate) fn new(store: &Arc<Store>, folder: FolderId, uids: &UidRanges) -> StoreRows {
        let wanted = Wanted { spans: uids.spans().collect() };
        StoreRows { store: Arc::clone(store), folder, wanted }
    }

    /// Up to a few hundred rows; `None` at the end.
    /// # Errors
    /// Those of the database.
    pub(crate) fn next_batch(&mut self) -> Result<Option<Vec<Row>>, Error> {
        self.next_batch_of(|placed| placed.row)
    }

    /// As [`StoreRows::next_batch`], of each placement what `of` takes.
    /// # Errors
    /// Those of the database.
    pub(crate) fn next_batch_of<T>(&mut self, of: impl Fn(&Placed) -> T) -> Result<Option<Vec<T>>, Error> {
        let mut batch = Vec::with_capacity(BATCH_ROWS);
        let Some(mut first) = self.wanted.first() else { return Ok(None) };
        while batch.len() < BATCH_ROWS {
            let mut last_seen = None;
            let wanted = &mut self.wanted;
            self.store.db.pages(self.folder, Uid(first), |rows| {
                for placed in &rows {
                    if wanted.take(placed.row.uid.0) {
                        batch.push(of(placed));
                    }
                }
                last_seen = rows.last().map(|placed| placed.row.uid.0);
                // Neighbours are read on, and a page before what was looked for is passed; a gap in what is wanted is
                // jumped over by looking again.
                let on = |seen: u32, next: u32| seen < first || next.saturating_sub(seen) <= NEAR;
                batch.len() < BATCH_ROWS
                    && last_seen.zip(wanted.first()).is_some_and(|(seen, next)| on(seen, next))
            })?;
            match (last_seen, self.wanted.first()) {
                // What is wanted lies behind the page that was read: on from there.
                (Some(_), Some(next)) if next > first => first = next,
                (_, None) => break,
                // Nothing there is wanted, and nothing follows.
                _ => {
                    self.wanted.spans.clear();
                    break;
                }
            }
        }
        Ok((!batch.is_empty()).then_some(batch))
    }
}

/// The UIDs that were not met yet.
#[derive(Debug)]
struct Wanted {
    spans: VecDeque<(u32, u32)>,
}

impl Wanted {
    fn first(&self) -> Option<u32> {
        self.spans.front().map(|&(first, _)| first)
    }

    /// Whether `uid` is wanted; it and all below aren't any more.
    fn take(&mut self, uid: u32) -> bool {
        while let Some((first, last)) = self.spans.front_mut() {
            if *last < uid {
                self.spans.pop_front();
                continue;
            }
            let found = *first <= uid;
            if *last == uid {
                self.spans.pop_front();
            } else if found {
                *first = uid + 1;
            }
            return found;
        }
        false
    }
}

/// Sort keys that are read at once.
const KEYS: u32 = 256;

/// The groups of cards, and the sort keys, that were read last.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    groups: VecDeque<(u32, Vec<Card>)>,
    keys: (u32, Vec<Keys>),
}

impl Groups {
    /// A message's sort keys; its neighbours' are at hand after.
    pub(crate) fn keys(&mut self, store: &Store, no: MsgNo) -> Result<Keys, Error> {
        let first = no.0 / KEYS * KEYS;
        let at = (no.0 - first) as usize;
        if self.keys.0 != first || self.keys.1.len() <= at {
            let end = store.next_msg().0.min(first.saturating_add(KEYS));
            self.keys = (first, store.db.keys(first..end)?);
        }
        let found = self.keys.1.get(at).cloned();
        found.ok_or_else(|| Error::Missing { what: format!("the sort keys of message number {}", no.0) })
    }

    /// A message's card; its neighbours are at hand after.
    pub(crate) fn card(&mut self, store: &Arc<Store>, no: MsgNo) -> Result<Card, Error> {
        let within = |(first, cards): &(u32, Vec<Card>)| {
            no.0.checked_sub(*first).and_then(|at| cards.get(at as usize)).cloned()
        };
        if let Some(card) = self.groups.iter().find_map(within) {
            return Ok(card);
        }
        let (first, cards) = store.group(no)?;
        let group = (first.0, cards);
        let card = within(&group);
        self.groups.truncate(GROUPS - 1);
        self.groups.push_front(group);
        card.ok_or_else(|| Error::Missing { what: format!("the card of message number {}", no.0) })
    }
}
