//! Folded texts that a search has verified against, kept for the next one: users narrow a search step by step.
//!
//! Bounded in bytes; a text that is large alone is not kept.

use super::scan::Folded;
use crate::MsgNo;
use lru::LruCache;
use parking_lot::Mutex;
use std::sync::Arc;

/// A text above this is not kept.
const ENTRY_BYTES: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct TextCache(Mutex<Kept>);

#[derive(Debug)]
struct Kept {
    texts: LruCache<MsgNo, Arc<Folded>>,
    bytes: usize,
    most_bytes: usize,
}

impl TextCache {
    /// A cache of at most `most_bytes`.
    pub(crate) fn new(most_bytes: usize) -> TextCache {
        TextCache(Mutex::new(Kept { texts: LruCache::unbounded(), bytes: 0, most_bytes }))
    }

    /// The message's text, if it is kept.
    pub(crate) fn get(&self, message: MsgNo) -> Option<Arc<Folded>> {
        self.0.lock().texts.get(&message).cloned()
    }

    /// Keeps a text, and lets the longest unused ones go.
    pub(crate) fn put(&self, message: MsgNo, text: &Arc<Folded>) {
        let bytes = text.bytes();
        if bytes > ENTRY_BYTES {
            return;
        }
        let mut kept = self.0.lock();
        kept.bytes += bytes;
        if let Some(old) = kept.texts.put(message, text.clone()) {
            kept.bytes -= old.bytes();
        }
        while kept.bytes > kept.most_bytes
            && let Some((_, old)) = kept.texts.pop_lru()
        {
            kept.bytes -= old.bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: usize) -> Arc<Folded> {
        let entry = "x".repeat(bytes - Folded::default().bytes() - size_of::<String>());
        let text = Folded { header: Vec::new(), body: vec![entry] };
        assert_eq!(text.bytes(), bytes);
        Arc::new(text)
    }

    #[test]
    fn the_cache_is_bounded_in_bytes() {
        let fit = 5;
        let cache = TextCache::new(fit as usize * ENTRY_BYTES);
        for n in 0..fit {
            cache.put(MsgNo(n), &text(ENTRY_BYTES));
        }
        cache.put(MsgNo(fit - 1), &text(ENTRY_BYTES));
        assert!((0..fit).all(|n| cache.get(MsgNo(n)).is_some()), "all that fit are kept");
        cache.put(MsgNo(fit), &text(ENTRY_BYTES + 1));
        assert!(
            cache.get(MsgNo(fit)).is_none() && cache.get(MsgNo(0)).is_some(),
            "one that is too large is not"
        );
        cache.put(MsgNo(fit), &text(1_000));
        assert!(cache.get(MsgNo(1)).is_none(), "the longest unused one went");
        assert!(cache.get(MsgNo(0)).is_some() && cache.get(MsgNo(fit)).is_some());
    }
}
