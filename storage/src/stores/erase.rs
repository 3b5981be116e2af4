//! Compaction as administrators ask for it: what was deleted is erased from packs, database and index.
//!
//! Invariant: nothing is written to any store meanwhile, readers go on; users see no difference before, amid and after.
//! Left to others: how one store is rewritten, and what a crash leaves (`store/compact`).

use super::slot::{Opened, Slot};
use super::{Shared, Storage};
use crate::store::compact::{self, Beside, Compaction, Plan};
use crate::store::{Cancel, StoreInfo};
use crate::{Error, FolderId};
use parking_lot::MutexGuard;
use std::time::Duration;

/// How often a waiting caller looks whether it was cancelled.
const CANCEL_EVERY: Duration = Duration::from_millis(50);

/// Bytes of a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Of its packs.
    pub packs: u64,
    /// Of store.redb.
    pub database: u64,
    /// Of its index.
    pub index: u64,
}

/// What a compaction erased, or would erase.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compacted {
    /// The store's number.
    pub store: String,
    /// Messages that no folder has any more.
    pub messages: u64,
    /// Their canonical bytes.
    pub message_bytes: u64,
    /// Before.
    pub before: Sizes,
    /// After; none when it was only asked what could be erased.
    pub after: Option<Sizes>,
}

impl Storage {
    /// Writes a store's packs, database and index anew without what was deleted. Everything else waits with writing until
    /// it is done; readers go on. `progress` gets messages done and in all.
    /// # Errors
    /// Before anything counts: `Missing`, `Unavailable`, `Protected`, `Refused` without space, `Cancelled`, and what reading
    /// a damaged store gives. `Io` of the last steps: the store says by itself which state counts when it is opened again.
    pub fn compact_store(
        &self,
        number: &str,
        cancel: &Cancel,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Compacted, Error> {
        let shared = &self.shared;
        let slot = shared.numbered(number)?;
        let _turn = shared.waited_turn(cancel)?;
        let store = slot.writable()?;
        store.writer.lock().check()?;
        let entry = slot.entry();
        let index = shared.index_dir(&entry);
        let before = shared.sizes(&slot);
        if store.state.read().counters.batch == 0 {
            // Nothing was ever written: new packs would say nothing that the old ones don't.
            let after = Some(shared.sizes(&slot));
            return Ok(Compacted {
                store: entry.number.clone(),
                messages: 0,
                message_bytes: 0,
                before,
                after,
            });
        }
        if shared.indexes.is_none() {
            let (needed, free) =
                (compact::needed_bytes(&store, before.index), compact::free_bytes(&store.dir)?);
            if free < needed {
                let what = format!(
                    "compacting store {} may take {needed} bytes beside what is there, and {} has {free}: make room",
                    entry.number,
                    store.dir.display()
                );
                return Err(Error::Refused { what });
            }
        }
        let plan = Plan::of(&store, cancel)?;
        let (messages, message_bytes) = (plan.erasable, plan.erasable_bytes);
        let all = u64::from(store.next_msg().0);
        let gone =
            |folder: FolderId| entry.ours(folder).is_some_and(|ours| shared.view.read().get(ours).is_none());
        let mut told = |done: u64, total: u64| progress(done * all / total.max(1), all);
        let work = Compaction {
            store: &store,
            disk: &shared.disk,
            beside: Beside::new(&store.dir, &index),
            gone: &gone,
            cancel,
            progress: &mut told,
            plan,
        };
        let prepared = work.prepare()?;
        // From here on there is no way back: whatever happens, the store is opened anew and finds out what counts.
        let completed = prepared.complete();
        // A failed write can't be asked what reached the disk: the set goes, or the store stays away.
        let undone = match &completed {
            Err(_) => prepared.undo(),
            Ok(()) => Ok(()),
        };
        drop(prepared);
        store.retire();
        let opened = undone.and_then(|()| shared.open_store(&entry));
        let reopened = match opened {
            Ok(store) => {
                slot.put(Opened::Open(store));
                Ok(())
            }
            Err(error) => {
                slot.put(shared.absent(&entry, &error)?);
                Err(error)
            }
        };
        shared.rebuild_view();
        // What is remembered of the store has the names of its folders.
        shared.remember();
        completed.and(reopened)?;
        let after = Some(shared.sizes(&slot));
        Ok(Compacted { store: entry.number.clone(), messages, message_bytes, before, after })
    }

    /// What compacting a store would erase.
    /// # Errors
    /// `Missing`, `Unavailable`, `Protected`, `Cancelled`.
    pub fn compactable(&self, number: &str, cancel: &Cancel) -> Result<Compacted, Error> {
        let slot = self.shared.numbered(number)?;
        let _turn = self.shared.waited_turn(cancel)?;
        let plan = Plan::of(&*slot.writable()?, cancel)?;
        let (messages, message_bytes) = (plan.erasable, plan.erasable_bytes);
        let before = self.shared.sizes(&slot);
        let store = slot.entry().number.clone();
        Ok(Compacted { store, messages, message_bytes, before, after: None })
    }
}

impl Shared {
    /// Keeps all writers away.
    fn waited_turn(&self, cancel: &Cancel) -> Result<MutexGuard<'_, ()>, Error> {
        loop {
            cancel.check()?;
            if let Some(turn) = self.turn.try_lock_for(CANCEL_EVERY) {
                return Ok(turn);
            }
        }
    }

    fn sizes(&self, slot: &Slot) -> Sizes {
        self.info(slot).map_or_else(Sizes::default, |info: StoreInfo| Sizes {
            packs: info.pack_bytes,
            database: info.database_bytes,
            index: info.index_bytes,
        })
    }
}
