//! How a caller watches a long search.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many messages a search has read, and how many it will read at most; shared with the work.
#[derive(Debug, Clone, Default)]
pub struct Progress(Arc<[AtomicU64; 2]>);

impl Progress {
    /// Messages read, and those that will be read in all as far as it is known; `None` while nothing is known.
    #[must_use]
    pub fn read(&self) -> Option<(u64, u64)> {
        let [done, total] = &*self.0;
        let total = total.load(Ordering::Relaxed);
        (total > 0).then(|| (done.load(Ordering::Relaxed).min(total), total))
    }
    /// So many more will be read.
    pub(crate) fn expect(&self, messages: u64) {
        self.0[1].fetch_add(messages, Ordering::Relaxed);
    }
    /// One more was read.
    pub(crate) fn advance(&self) {
        self.0[0].fetch_add(1, Ordering::Relaxed);
    }
}
