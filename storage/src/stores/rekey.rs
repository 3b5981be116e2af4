//! A new master key for all stores.
//!
//! Invariant: packs are never rewritten. A store that can be written gets a new pack whose header carries its key under
//! the new master key; for one that can't, the registry carries it. Whatever a crash leaves, the new key together with
//! the one before opens every store, and doing it again completes it. Which key files lie where is the program's business.

use super::registry::{Entry, Registry};
use super::slot::{Opened, Slot};
use super::{Shared, Storage};
use crate::pack::Packs;
use crate::pack::disk::{Disk, RealDisk};
use crate::{Error, MasterKey, SecretKey, StoreState};
use std::path::Path;
use std::sync::Arc;

/// What a change of the master key came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rekeyed {
    /// Stores that the new key opens by a header of their own.
    pub written: u64,
    /// Stores that can't be written, and that it opens by the registry.
    pub listed: u64,
    /// Stores that could not be read: only the key before opens them. Number and reason.
    pub missing: Vec<(String, String)>,
}

/// What a key opens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tried {
    /// Stores that it opens.
    pub opened: u64,
    /// Stores that it doesn't: number and reason.
    pub others: Vec<(String, String)>,
}

impl Storage {
    /// Makes `new` open every store, durable on return; new packs and stores are begun under it. `new` brings along the key
    /// before as long as there may be stores that only that one opens.
    /// # Errors
    /// `Io`, `Latched`, `Key`: some stores may be done, and the key before opens them all; to be done again.
    pub fn rekey(&self, new: &MasterKey) -> Result<Rekeyed, Error> {
        let shared = &self.shared;
        let _turn = shared.turn.lock();
        // Stores that are opened from now on are opened by both.
        let before = {
            let mut key = shared.key.write();
            std::mem::replace(&mut *key, new.clone())
        };
        let before = if before.id() == new.id() { new.older().map(MasterKey::alone) } else { Some(before) };
        let mut done = Rekeyed::default();
        let mut registry = shared.registry.lock();
        let mut next = registry.clone();
        for slot in shared.all_slots().into_iter().filter(|slot| !slot.is_detached()) {
            shared.rekey_store(&slot, &mut next, new, before.as_ref(), &mut done)?;
        }
        if *registry != next {
            next.save(&shared.disk, &shared.data)?;
            for slot in shared.all_slots() {
                let number = slot.entry().number.clone();
                if let Some(entry) = next.stores.iter().find(|entry| entry.number == number) {
                    slot.set_entry(entry.clone());
                }
            }
            *registry = next;
        }
        Ok(done)
    }

    /// Which of the stores in DATA this key opens; their packs are only read, and nothing is locked.
    /// # Errors
    /// `Io`, `Registry`.
    pub fn try_key(data: &Path, key: &MasterKey) -> Result<Tried, Error> {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let registry = match Registry::load(&disk, data)? {
            Some(registry) => registry,
            None => super::open::found(&disk, data)?,
        };
        let mut tried = Tried::default();
        for entry in registry.stores {
            let dir = entry.dir(data).join("packs");
            match Packs::open_with(Arc::clone(&disk), &dir, key, entry.wrapped().as_ref(), 0) {
                Ok(_) => tried.opened += 1,
                Err(error) => tried.others.push((entry.number, error.to_string())),
            }
        }
        Ok(tried)
    }

    /// Opens a key of secrets that one of the master keys in use wrapped; none: another one did.
    #[must_use]
    pub fn unwrap_secret_key(&self, wrapped: &[u8]) -> Option<SecretKey> {
        let key = self.shared.key.read();
        SecretKey::unwrap(wrapped, &key)
            .or_else(|| key.older().and_then(|older| SecretKey::unwrap(wrapped, older)))
    }

    /// Wraps a key of secrets by the master key in use: that one's id, and the bytes.
    /// # Errors
    /// `Key` when the system has no randomness to give.
    pub fn wrap_secret_key(&self, secret: &SecretKey) -> Result<(String, Vec<u8>), Error> {
        let key = self.shared.key.read();
        Ok((key.id(), secret.wrap(&key)?))
    }

    /// The installation's id, in hexadecimal digits.
    #[must_use]
    pub fn installation(&self) -> String {
        self.shared.registry.lock().installation.clone()
    }
}

impl Shared {
    fn rekey_store(
        &self,
        slot: &Arc<Slot>,
        registry: &mut Registry,
        new: &MasterKey,
        before: Option<&MasterKey>,
        done: &mut Rekeyed,
    ) -> Result<(), Error> {
        let entry = slot.entry();
        let writable = matches!(entry.state, StoreState::Current | StoreState::Normal);
        let opened = match &*slot.opened.read() {
            Opened::Open(store) => Some(Arc::clone(store)),
            Opened::Absent { .. } | Opened::Off => None,
        };
        let key = match opened {
            Some(store) if writable => {
                store.rekey(new)?;
                done.written += 1;
                String::new()
            }
            Some(store) if store.packs.opens_with(new) => {
                done.written += 1;
                String::new()
            }
            Some(store) => {
                done.listed += 1;
                hex::encode(store.packs.wrapped_by(new)?)
            }
            None => match self.wrapped_closed(&entry, new, before) {
                Ok(key) => {
                    done.listed += 1;
                    key
                }
                Err(error) => {
                    done.missing.push((entry.number.clone(), error.to_string()));
                    return Ok(());
                }
            },
        };
        if let Some(listed) = registry.stores.iter_mut().find(|listed| listed.number == entry.number) {
            listed.key = key;
        }
        Ok(())
    }

    /// The key of a store that isn't open, wrapped anew: by its packs' headers, which are only read.
    fn wrapped_closed(
        &self,
        entry: &Entry,
        new: &MasterKey,
        before: Option<&MasterKey>,
    ) -> Result<String, Error> {
        let dir = entry.dir(&self.data).join("packs");
        let wrapped = entry.wrapped();
        let open = |key: &MasterKey| Packs::open_with(Arc::clone(&self.disk), &dir, key, wrapped.as_ref(), 0);
        let packs = match (open(new), before) {
            // What the registry has may be wrapped by the key before.
            (Err(Error::WrongKey { .. }), Some(before)) => open(before)?,
            (opened, _) => opened?,
        };
        Ok(hex::encode(packs.wrapped_by(new)?))
    }
}
