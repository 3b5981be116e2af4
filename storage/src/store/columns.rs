//! Folders' and archives' rows as columns for search, cached and shared between sessions within a bound.
//!
//! Invariant: what is given holds every row of the view; rows that came after the view may follow.

use super::Store;
use super::all_mail::PartRows;
use super::{Part, Whole};
use crate::{Error, FolderId, Row, Uid, UidRanges};
use lru::LruCache;
use std::sync::Arc;

/// A folder's rows as parallel columns, for search; shared between sessions.
#[derive(Debug, Default, Clone)]
pub struct Columns {
    /// All rows, rising by UID.
    pub rows: Vec<Row>,
}

impl Columns {
    fn bytes(&self) -> usize {
        self.rows.capacity() * size_of::<Row>() + 64
    }
}

/// What columns are of: a folder, or an archive.
type Key = (Whole, FolderId);

/// The columns in memory; least recently used ones go first.
#[derive(Debug)]
pub(crate) struct ColumnCache {
    /// With the batch that last changed an archive otherwise than at its end, when they were read.
    kept: LruCache<Key, (u64, Arc<Columns>)>,
    bytes: usize,
    max_bytes: usize,
}

impl ColumnCache {
    pub(super) fn new(max_bytes: usize) -> ColumnCache {
        ColumnCache { kept: LruCache::unbounded(), bytes: 0, max_bytes }
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.kept.clear();
        self.bytes = 0;
    }

    fn keep(&mut self, key: Key, shaken: u64, columns: &Arc<Columns>) {
        self.bytes += columns.bytes();
        if let Some((_, old)) = self.kept.put(key, (shaken, Arc::clone(columns))) {
            self.bytes -= old.bytes();
        }
        while self.bytes > self.max_bytes {
            let Some((_, (_, old))) = self.kept.pop_lru() else { break };
            self.bytes -= old.bytes();
        }
    }
}

/// The columns of what a store holds of a folder or of an archive, from the cache, extended or read anew. Of an archive they
/// hold all that the store has, though another store may show some of it.
pub(crate) fn columns(store: &Arc<Store>, part: &Part) -> Result<Arc<Columns>, Error> {
    let key = (part.whole, part.folder);
    // Asked before anything is read: what changes meanwhile is read anew the next time.
    let (shaken, uids) = match part.whole {
        Whole::Folder => (0, Arc::clone(&part.uids)),
        Whole::AllMail { above } => match store.state.read().all_mail.get(&part.folder) {
            Some(all) => (all.shaken, Arc::new(all.uids.raised(above))),
            None => return Ok(Arc::default()),
        },
    };
    let cached = store.columns.lock().kept.get(&key).cloned();
    let cached = cached.filter(|(then, _)| *then == shaken).map(|(_, columns)| columns);
    let (mut columns, mut known) = match cached {
        Some(columns) => {
            let last = columns.rows.last().map_or(0, |row| row.uid.0);
            // Rows that came after the view don't matter; rows that went since do.
            let within = columns.rows.partition_point(|row| uids.last() >= Some(row.uid));
            let seen = uids.intersect(&UidRanges::from_spans([(1, last.max(1))])).len();
            if seen == within as u64 {
                if seen == uids.len() {
                    return Ok(columns);
                }
                (columns, last)
            } else {
                (Arc::default(), 0)
            }
        }
        None => (Arc::default(), 0),
    };
    let rest = match (known.checked_add(1), uids.last()) {
        (Some(from), Some(Uid(last))) if from <= last => {
            uids.intersect(&UidRanges::from_spans([(from, last)]))
        }
        _ => UidRanges::new(),
    };
    let grown = Arc::make_mut(&mut columns);
    grown.rows.reserve_exact(usize::try_from(rest.len()).unwrap_or(0));
    let mut rows = PartRows::new(store, part, &rest);
    while let Some(batch) = rows.next_batch()? {
        for row in batch {
            if row.uid.0 > known {
                known = row.uid.0;
                grown.rows.push(row);
            }
        }
    }
    store.columns.lock().keep(key, shaken, &columns);
    Ok(columns)
}
