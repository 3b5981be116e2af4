//! One search over several folders: a pass over each store's index, whatever the number of folders.
//!
//! Invariant: each folder's answer is what searching it alone gives. Memory is a copy of the folders' rows, so the caller gives
//! only as many as may be held. Keys that name UIDs mean the same UIDs in every folder.

use super::plan::{Ground, Plan};
use super::{Key, Stored};
use crate::store::Part;
use crate::store::columns::columns;
use crate::{Cancel, Error, FolderView, Progress, Row, Storage, StoreNo, UidRanges};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

impl Storage {
    /// As [`Storage::search_watched`], of several folders; of each its own answer, or why it can't be had (`Unavailable`).
    /// # Errors
    /// `Cancelled`, `SearchTime`, and whatever reading gives.
    pub fn search_several(
        &self,
        views: &[&FolderView],
        key: &Key,
        cancel: &Cancel,
        progress: &Progress,
    ) -> Result<Vec<Result<UidRanges, Error>>, Error> {
        // What means other UIDs in each folder is looked up folder by folder.
        if super::resolve::is_needed(key) {
            let one = |view: &&FolderView| match self.search_watched(view, key, cancel, progress) {
                Err(error @ Error::Unavailable { .. }) => Ok(Err(error)),
                found => Ok(Ok(found?)),
            };
            return views.iter().map(one).collect();
        }
        if let [only] = views {
            return match self.search_watched(only, key, cancel, progress) {
                Err(error @ Error::Unavailable { .. }) => Ok(vec![Err(error)]),
                found => Ok(vec![Ok(found?)]),
            };
        }
        let secs = self.limits().search_time_secs;
        let end = Instant::now().checked_add(Duration::from_secs(secs));
        let check = || {
            cancel.check()?;
            match end {
                Some(end) if Instant::now() >= end => Err(Error::SearchTime { secs }),
                _ => Ok(()),
            }
        };
        let mut stores: BTreeMap<StoreNo, Vec<(usize, &Part)>> = BTreeMap::new();
        for (number, view) in views.iter().enumerate() {
            for part in view.parts.iter() {
                stores.entry(part.store).or_default().push((number, part));
            }
        }
        let mut found: Vec<Result<UidRanges, Error>> = views.iter().map(|_| Ok(UidRanges::new())).collect();
        for (no, parts) in stores {
            check()?;
            let store = match self.store_numbered(no) {
                Ok(store) => store,
                Err(Error::Unavailable { .. }) => {
                    // What is remembered of a missing store's flags may do, folder by folder.
                    for (number, _) in parts {
                        let (Some(view), Some(slot)) = (views.get(number), found.get_mut(number)) else {
                            continue;
                        };
                        *slot = match self.search_watched(view, key, cancel, progress) {
                            Err(error @ Error::Unavailable { .. }) => Err(error),
                            whole => Ok(whole?),
                        };
                    }
                    continue;
                }
                Err(other) => return Err(other),
            };
            let mut rows: Vec<Row> = Vec::new();
            let mut stretches = Vec::with_capacity(parts.len());
            for (number, part) in parts {
                let columns = columns(&store, part)?;
                // The columns may be newer than the view.
                let within = columns.rows.partition_point(|row| part.uids.last() >= Some(row.uid));
                rows.extend_from_slice(columns.rows.get(..within).unwrap_or_default());
                stretches.push((rows.len(), number, part));
            }
            let plan = Plan::new(key);
            let current = store.tail.current();
            let snapshot = plan.has_text().then(|| current.indexer.snapshot());
            let ground = Ground {
                rows: &rows,
                snapshot: snapshot.as_deref(),
                check: &check,
                damaged: &|what| store.indexer().report_damage(what),
            };
            let groups = RefCell::default();
            let source = Stored { store: &store, current: &current, check: &check, progress, groups };
            let mut hits = plan.run(&ground, &source)?.into_iter().peekable();
            for (end, number, part) in stretches {
                let mut uids = UidRanges::new();
                while let Some(at) = hits.next_if(|at| (*at as usize) < end) {
                    if let Some(row) = rows.get(at as usize).filter(|row| part.uids.contains(row.uid)) {
                        uids.push(row.uid);
                    }
                }
                if let Some(Ok(before)) = found.get_mut(number) {
                    *before = UidRanges::from_spans(before.spans().chain(uids.spans()));
                }
            }
        }
        Ok(found)
    }
}
