//! Previews of messages, made when they are first asked for and kept within a bound.

use super::Store;
use crate::store::rows::Groups;
use crate::{Error, MsgNo};
use lru::LruCache;
use parking_lot::Mutex;
use std::num::NonZeroUsize;
use std::sync::Arc;

/// Previews that are kept; each is at most 800 bytes.
const KEPT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4_095);

/// The previews in memory; the longest unused ones go first.
#[derive(Debug)]
pub(crate) struct PreviewCache(Mutex<LruCache<MsgNo, Arc<str>>>);

impl PreviewCache {
    pub(super) fn new() -> PreviewCache {
        PreviewCache(Mutex::new(LruCache::new(KEPT)))
    }
    /// Forgets all.
    pub(crate) fn clear(&self) {
        self.0.lock().clear();
    }
}

impl Store {
    /// The first words of a message's text.
    /// # Errors
    /// `Missing`, `Corrupt`, `WrongContent`; those of the database.
    pub(crate) fn preview(self: &Arc<Self>, no: MsgNo) -> Result<Arc<str>, Error> {
        if let Some(kept) = self.previews.0.lock().get(&no) {
            return Ok(Arc::clone(kept));
        }
        let message = self.message(no)?;
        let read = |range: std::ops::Range<u64>| {
            let mut all = Vec::new();
            while (all.len() as u64) < range.end.saturating_sub(range.start) {
                let piece = message.read(range.start + all.len() as u64..range.end)?;
                if piece.is_empty() {
                    break;
                }
                all.extend_from_slice(&piece);
            }
            Ok(all)
        };
        let parts = Groups::default().card(self, no)?.part_table()?;
        let preview: Arc<str> = crate::text::preview(&parts, &read)?.into();
        self.previews.0.lock().put(no, Arc::clone(&preview));
        Ok(preview)
    }
}
