//! A folder's messages by the year of their INTERNALDATE, as views of the folder that show only some of its UIDs.
//!
//! Invariant: a message's year never changes, so what a year shows only grows at its end or loses what the folder loses. The
//! years of a folder are found once for all sessions, and again when its UIDs change.

use super::Storage;
use crate::{Error, FolderId, FolderView, UidRanges};
use lru::LruCache;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Folders whose years are remembered.
const REMEMBERED: usize = 64;

/// One year of a folder.
#[derive(Debug, Clone)]
struct Year {
    uids: Arc<UidRanges>,
    bytes: u64,
}

/// The years of a folder, and the UIDs that they were found for.
#[derive(Debug, Clone)]
struct Years {
    of: Arc<UidRanges>,
    years: Arc<BTreeMap<i32, Year>>,
}

/// The years of the folders that were asked for last.
#[derive(Debug)]
pub(super) struct YearCache(Mutex<LruCache<FolderId, Years>>);

impl Default for YearCache {
    fn default() -> YearCache {
        let mut kept = LruCache::unbounded();
        if let Some(most) = std::num::NonZeroUsize::new(REMEMBERED) {
            kept.resize(most);
        }
        YearCache(Mutex::new(kept))
    }
}

impl Storage {
    /// The calendar years (where the dates were written) in which the folder has messages, rising.
    /// # Errors
    /// Those of the database; `Unavailable` when a store that holds some of them can't be read.
    pub fn years(&self, view: &FolderView) -> Result<Vec<i32>, Error> {
        Ok(self.years_of(view)?.keys().copied().collect())
    }

    /// The folder, showing only the messages of that year: same numbers, same UIDVALIDITY and UIDNEXT. None if there are none.
    /// # Errors
    /// As [`Storage::years`].
    pub fn in_year(&self, view: &FolderView, number: i32) -> Result<Option<FolderView>, Error> {
        Ok(self.years_of(view)?.get(&number).map(|year| {
            let mut view = view.clone();
            view.info.messages = year.uids.len();
            view.info.bytes = year.bytes;
            view.uids = Arc::clone(&year.uids);
            view.year = Some(number);
            view
        }))
    }

    fn years_of(&self, view: &FolderView) -> Result<Arc<BTreeMap<i32, Year>>, Error> {
        let cache = &self.shared.years.0;
        let known = cache.lock().get(&view.info.id).cloned();
        if let Some(known) = known.filter(|known| Arc::ptr_eq(&known.of, &view.uids) || known.of == view.uids)
        {
            return Ok(known.years);
        }
        let mut spans: BTreeMap<i32, (Vec<(u32, u32)>, u64)> = BTreeMap::new();
        for columns in self.columns(view)? {
            for row in columns.rows.iter().filter(|row| view.uids.contains(row.uid)) {
                let (spans, bytes) = spans.entry(row.date.year()).or_default();
                *bytes = bytes.saturating_add(row.size);
                match spans.last_mut() {
                    Some((_, last)) if last.checked_add(1) == Some(row.uid.0) => *last = row.uid.0,
                    _ => spans.push((row.uid.0, row.uid.0)),
                }
            }
        }
        let year =
            |(year, (spans, bytes))| (year, Year { uids: Arc::new(UidRanges::from_spans(spans)), bytes });
        let years: Arc<BTreeMap<i32, Year>> = Arc::new(spans.into_iter().map(year).collect());
        cache.lock().put(view.info.id, Years { of: Arc::clone(&view.uids), years: Arc::clone(&years) });
        Ok(years)
    }
}
