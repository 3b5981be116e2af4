//! Rows of a folder in UID order, over all stores that hold parts of it.
//!
//! Invariant: no database transaction lives between two calls. What lies in a store that can't be read is left out and
//! named by [`Rows::trouble`], or, where flags alone are wanted, answered from what is remembered.

use super::Shared;
use super::registry::Entry;
use super::slot::Opened;
use crate::card::Card;
use crate::store::all_mail::PartRows;
use crate::store::rows::Groups;
use crate::store::{FolderView, Part, Row, Store};
use crate::{Error, InternalDate, ModSeq, MsgNo, UidRanges};
use std::collections::VecDeque;
use std::sync::Arc;

/// Rows of remembered messages that are given at once.
const BATCH_ROWS: usize = 512;

/// Rows of a folder in UID order, in batches; holds no database transaction between calls.
#[derive(Debug)]
pub struct Rows {
    shared: Arc<Shared>,
    stretches: VecDeque<Stretch>,
    flags_only: bool,
    at: Option<At>,
    groups: Groups,
    trouble: Option<Error>,
    /// No row is said to have changed later than the view was taken.
    highest: ModSeq,
}

/// UIDs that follow each other in one store.
#[derive(Debug)]
struct Stretch {
    part: Part,
    uids: UidRanges,
}

#[derive(Debug)]
enum At {
    Store { store: Arc<Store>, rows: PartRows, part: Part, entry: Arc<Entry> },
    Remembered { rows: VecDeque<Row> },
}

impl Rows {
    pub(super) fn new(shared: &Arc<Shared>, view: &FolderView, uids: &UidRanges, flags_only: bool) -> Rows {
        let stretches = match &view.parts[..] {
            [part] => VecDeque::from([Stretch { part: part.clone(), uids: uids.intersect(&part.uids) }]),
            parts => {
                let mut spans: Vec<(u32, u32, usize)> = Vec::new();
                for (number, part) in parts.iter().enumerate() {
                    spans.extend(uids.intersect(&part.uids).spans().map(|(a, b)| (a, b, number)));
                }
                spans.sort_unstable();
                let mut stretches = VecDeque::new();
                for run in spans.chunk_by(|a, b| a.2 == b.2) {
                    let part = run.first().and_then(|(.., number)| parts.get(*number));
                    let uids = UidRanges::from_spans(run.iter().map(|&(a, b, _)| (a, b)));
                    stretches.extend(part.map(|part| Stretch { part: part.clone(), uids }));
                }
                stretches
            }
        };
        let (shared, highest) = (Arc::clone(shared), view.info.highest_mod_seq);
        Rows { shared, stretches, flags_only, at: None, groups: Groups::default(), trouble: None, highest }
    }

    /// Up to a few hundred rows; `None` at the end.
    /// # Errors
    /// Those of the database.
    pub fn next_batch(&mut self) -> Result<Option<Vec<Row>>, Error> {
        loop {
            match &mut self.at {
                Some(At::Store { rows, part, entry, .. }) => {
                    if let Some(mut batch) = rows.next_batch()? {
                        for row in &mut batch {
                            row.store = part.store;
                            row.mod_seq.0 = row.mod_seq.0.max(entry.attached);
                            row.mod_seq = row.mod_seq.min(self.highest);
                        }
                        return Ok(Some(batch));
                    }
                }
                Some(At::Remembered { rows }) => {
                    let some: Vec<Row> = rows.drain(..rows.len().min(BATCH_ROWS)).collect();
                    if !some.is_empty() {
                        return Ok(Some(some));
                    }
                }
                None => {}
            }
            let Some(Stretch { part, uids }) = self.stretches.pop_front() else { return Ok(None) };
            self.at = self.begin(part, &uids);
        }
    }

    fn begin(&mut self, part: Part, uids: &UidRanges) -> Option<At> {
        let slot = match self.shared.slot(part.store) {
            Ok(slot) => slot,
            Err(error) => {
                self.trouble = Some(error);
                return None;
            }
        };
        let entry = slot.entry();
        let raised = entry.attached;
        match &*slot.opened.read() {
            Opened::Open(store) => {
                let rows = PartRows::new(store, &part, uids);
                Some(At::Store { store: Arc::clone(store), rows, part, entry })
            }
            Opened::Absent { shadow, .. } if self.flags_only => {
                let (flags, mod_seq) = shadow.flags_of(&part);
                let mod_seq = mod_seq.map_or(raised, |mod_seq| mod_seq.0);
                let row = |uid| Row {
                    uid,
                    store: part.store,
                    msg: MsgNo(u32::MAX),
                    date: InternalDate { secs: 0, zone: 0 },
                    sent_day: None,
                    size: 0,
                    flags: flags.of(uid),
                    mod_seq: ModSeq(mod_seq.max(raised)).min(self.highest),
                    came: ModSeq(0),
                };
                Some(At::Remembered { rows: uids.iter().map(row).collect() })
            }
            Opened::Absent { why, .. } => {
                self.trouble = Some(slot.unavailable(why));
                None
            }
            Opened::Off => {
                self.trouble = Some(slot.unavailable("it is disabled or detached"));
                None
            }
        }
    }

    /// As [`Rows::next_batch`], with cards.
    /// # Errors
    /// Those of the database.
    pub fn next_batch_with_cards(&mut self) -> Result<Option<Vec<(Row, Card)>>, Error> {
        let Some(rows) = self.next_batch()? else { return Ok(None) };
        let Some(At::Store { store, .. }) = &self.at else {
            return Err(Error::Missing { what: "the cards of a store that can't be read".into() });
        };
        let mut all = Vec::with_capacity(rows.len());
        for row in rows {
            let card = self.groups.card(store, row.msg)?;
            all.push((row, card));
        }
        Ok(Some(all))
    }

    /// Why rows were left out: their store can't be read. Asked at the end.
    pub fn trouble(&mut self) -> Option<Error> {
        self.trouble.take()
    }
}
