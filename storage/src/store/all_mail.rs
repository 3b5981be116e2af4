//! Rows of an archive's mailbox of all messages, as far as one store holds it, in the order of archive-wide UIDs.
//!
//! Invariant: no database transaction lives between two calls; memory is a batch of rows. A row is the placement that the
//! archive-wide UID shows, and the placement itself says so: a rotten byte can't give a UID another message.

use super::rows::{BATCH_ROWS, StoreRows};
use super::{Part, Store, Whole};
use crate::db::all_mail::At;
use crate::db::pages::Placed;
use crate::{Error, FolderId, Row, Uid, UidRanges};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// How often a placement may be moved on while it is read.
const TRIES: usize = 16;

/// Rows of a view's part: of a folder, or of an archive.
#[derive(Debug)]
pub(crate) enum PartRows {
    Folder(StoreRows),
    AllMail { rows: AllMailRows, above: u32 },
}

impl PartRows {
    /// `uids`: as the view has them.
    pub(crate) fn new(store: &Arc<Store>, part: &Part, uids: &UidRanges) -> PartRows {
        match part.whole {
            Whole::Folder => PartRows::Folder(StoreRows::new(store, part.folder, uids)),
            Whole::AllMail { above } => {
                let rows = AllMailRows::new(store, part.folder, &uids.lowered(above));
                PartRows::AllMail { rows, above }
            }
        }
    }

    /// Up to a few hundred rows; `None` at the end.
    /// # Errors
    /// Those of the database.
    pub(crate) fn next_batch(&mut self) -> Result<Option<Vec<Row>>, Error> {
        match self {
            PartRows::Folder(rows) => rows.next_batch(),
            PartRows::AllMail { rows, above } => {
                let mut batch = rows.next_batch()?;
                for row in batch.iter_mut().flatten() {
                    row.uid.0 = row.uid.0.saturating_add(*above);
                }
                Ok(batch)
            }
        }
    }
}

/// Rows of an archive, with archive-wide UIDs.
#[derive(Debug)]
pub(crate) struct AllMailRows {
    store: Arc<Store>,
    archive: FolderId,
    wanted: VecDeque<(u32, u32)>,
}

impl AllMailRows {
    /// `uids`: archive-wide UIDs as the store has them.
    pub(crate) fn new(store: &Arc<Store>, archive: FolderId, uids: &UidRanges) -> AllMailRows {
        AllMailRows { store: Arc::clone(store), archive, wanted: uids.spans().collect() }
    }

    /// Up to a few hundred rows, with archive-wide UIDs; `None` at the end.
    /// # Errors
    /// Those of the database.
    pub(crate) fn next_batch(&mut self) -> Result<Option<Vec<Row>>, Error> {
        while !self.wanted.is_empty() {
            let rows = self.read()?;
            if !rows.is_empty() {
                return Ok(Some(rows));
            }
        }
        Ok(None)
    }

    /// The UIDs that the next batch asks for.
    fn some(&mut self) -> Vec<(u32, u32)> {
        let (mut spans, mut left) = (Vec::new(), BATCH_ROWS as u32);
        while left > 0
            && let Some((first, last)) = self.wanted.pop_front()
        {
            let end = last.min(first.saturating_add(left - 1));
            spans.push((first, end));
            left -= end - first + 1;
            if end < last {
                self.wanted.push_front((end + 1, last));
            }
        }
        spans
    }

    fn read(&mut self) -> Result<Vec<Row>, Error> {
        let spans = self.some();
        let mut places = self.store.db.all_mail_places(self.archive, &spans)?;
        let mut rows = Vec::with_capacity(places.len());
        for _ in 0..TRIES {
            let missed = self.rows_of(&places, &mut rows)?;
            if missed.is_empty() {
                rows.sort_unstable_by_key(|row: &Row| row.uid);
                return Ok(rows);
            }
            // What was moved or deleted between the two looks shows another placement now, or none.
            let spans: Vec<(u32, u32)> = missed.iter().map(|(name, _)| (*name, *name)).collect();
            places = self.store.db.all_mail_places(self.archive, &spans)?;
            if let Some((name, _)) = places.iter().find(|place| missed.contains(place)) {
                return Err(self
                    .store
                    .db
                    .derived(format!("archive-wide UID {name} names another placement")));
            }
        }
        Err(self.store.db.derived("placements of archive-wide UIDs don't stay where they are"))
    }

    /// Reads these placements; gives those that are not there.
    fn rows_of(&self, places: &[(u32, At)], rows: &mut Vec<Row>) -> Result<Vec<(u32, At)>, Error> {
        let mut folders: BTreeMap<FolderId, Vec<(u32, u32)>> = BTreeMap::new();
        for (_, at) in places {
            folders.entry(at.folder).or_default().push((at.uid.0, at.uid.0));
        }
        // Sorted by folder and UID.
        let mut found: Vec<(FolderId, Uid, Placed)> = Vec::with_capacity(places.len());
        for (folder, uids) in folders {
            let mut placed = StoreRows::new(&self.store, folder, &UidRanges::from_spans(uids));
            while let Some(batch) = placed.next_batch_of(|placed| (folder, placed.row.uid, *placed))? {
                found.extend(batch);
            }
        }
        let mut missed = Vec::new();
        let mut next = 0;
        for place in places {
            let (name, at) = place;
            let is = |(folder, uid, _): &(FolderId, Uid, Placed)| (*folder, *uid) == (at.folder, at.uid);
            // Mostly they stand in the same order.
            if !found.get(next).is_some_and(is) {
                next = found.partition_point(|(folder, uid, _)| (*folder, *uid) < (at.folder, at.uid));
            }
            match found.get(next).filter(|one| is(one) && one.2.archive_uid.0 == *name) {
                Some((.., placed)) => {
                    let mod_seq = placed.row.mod_seq.max(at.since);
                    rows.push(Row { uid: Uid(*name), mod_seq, ..placed.row });
                    next += 1;
                }
                None => missed.push(*place),
            }
        }
        Ok(missed)
    }
}
