//! Opened records that neighbours will ask for next: blocks, chunk maps and segments, bounded by bytes.
//!
//! Invariant: never holds more than its bound; what is larger than the bound is not kept.

use super::Addr;
use super::block::Block;
use super::chunks::ChunkMap;
use bytes::Bytes;
use lru::LruCache;
use parking_lot::{Condvar, Mutex};
use std::collections::HashSet;
use std::sync::Arc;

/// A record opened and understood.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    /// A block.
    Block(Arc<Block>),
    /// A large chunk's map.
    Map(Arc<ChunkMap>),
    /// A segment's content.
    Segment(Bytes),
}

impl Entry {
    fn cost(&self) -> usize {
        // What the list and the map need of their own, roughly.
        const OVERHEAD: usize = 160;
        OVERHEAD
            + match self {
                Entry::Block(block) => block.cost(),
                Entry::Map(map) => map.cost(),
                Entry::Segment(bytes) => bytes.len(),
            }
    }
}

/// The cache; least recently used entries go first.
#[derive(Debug)]
pub(crate) struct Cache {
    max_bytes: usize,
    inner: Mutex<Inner>,
    /// What is being opened ahead of its readers.
    opening: Mutex<HashSet<Addr>>,
    opened: Condvar,
}

/// The right to open a record ahead of its readers, who wait until this is dropped.
#[derive(Debug)]
pub(crate) struct Opening<'c> {
    cache: &'c Cache,
    addr: Addr,
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.cache.opening.lock().remove(&self.addr);
        self.cache.opened.notify_all();
    }
}

#[derive(Debug)]
struct Inner {
    entries: LruCache<Addr, Entry>,
    bytes: usize,
}

impl Cache {
    /// A cache of at most `max_bytes`.
    pub(crate) fn new(max_bytes: usize) -> Cache {
        let inner = Mutex::new(Inner { entries: LruCache::unbounded(), bytes: 0 });
        Cache { max_bytes, inner, opening: Mutex::default(), opened: Condvar::new() }
    }

    /// Says that the record will be opened now; `None` when somebody else does so already.
    pub(crate) fn begin(&self, addr: Addr) -> Option<Opening<'_>> {
        self.opening.lock().insert(addr).then(|| Opening { cache: self, addr })
    }

    /// If somebody is opening the record, waits until that is done, well or not.
    pub(crate) fn wait(&self, addr: Addr) {
        let mut opening = self.opening.lock();
        while opening.contains(&addr) {
            self.opened.wait(&mut opening);
        }
    }

    /// What is kept of the record at `addr`.
    pub(crate) fn find(&self, addr: Addr) -> Option<Entry> {
        self.inner.lock().entries.get(&addr).cloned()
    }

    /// Keeps `entry`, and lets go of older ones for it.
    pub(crate) fn keep(&self, addr: Addr, entry: Entry) {
        let cost = entry.cost();
        if cost > self.max_bytes {
            return;
        }
        let mut inner = self.inner.lock();
        inner.bytes += cost;
        if let Some(old) = inner.entries.put(addr, entry) {
            inner.bytes -= old.cost();
        }
        while inner.bytes > self.max_bytes {
            let Some((_, old)) = inner.entries.pop_lru() else { break };
            inner.bytes -= old.cost();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::PackId;

    #[test]
    fn who_comes_while_a_record_is_opened_waits() {
        let cache = Cache::new(10_000);
        let at = Addr { pack: PackId(1), offset: 7 };
        let opening = cache.begin(at).unwrap();
        assert!(cache.begin(at).is_none(), "one is enough");
        cache.wait(Addr { pack: PackId(1), offset: 8 });
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                cache.wait(at);
                cache.find(at).is_some()
            });
            cache.keep(at, Entry::Segment(vec![0; 10].into()));
            drop(opening);
            assert!(reader.join().unwrap());
        });
        assert!(cache.begin(at).is_some());
    }

    #[test]
    fn stays_within_its_bound() {
        let cache = Cache::new(10_000);
        let at = |offset| Addr { pack: PackId(1), offset };
        for offset in 0..100 {
            cache.keep(at(offset), Entry::Segment(vec![0; 1_000].into()));
            assert!(cache.inner.lock().bytes <= 10_000);
        }
        assert!(cache.find(at(99)).is_some());
        assert!(cache.find(at(0)).is_none(), "the oldest went");
        cache.keep(at(99), Entry::Segment(vec![0; 500].into()));
        let inner = cache.inner.lock();
        assert_eq!(inner.bytes, inner.entries.iter().map(|(_, e)| e.cost()).sum::<usize>());
        drop(inner);
        cache.keep(at(500), Entry::Segment(vec![0; 10_000].into()));
        assert!(cache.find(at(500)).is_none(), "larger than all of it");
        assert!(cache.find(at(99)).is_some(), "and nothing went for it");
    }
}
