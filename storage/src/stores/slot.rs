//! A store's place in the installation: open, absent, or off.
//!
//! Invariant: an absent store's folders stay known from what is remembered of it; one that is switched off shows nothing.

use super::registry::Entry;
use super::shadow::Shadow;
use super::view::{Numbers, Share};
use crate::store::state::Folder;
use crate::store::{Running, Store};
use crate::{Error, FolderId, StoreNo, StoreState, Uid};
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// One store of the installation.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) no: StoreNo,
    entry: RwLock<Arc<Entry>>,
    pub(super) opened: RwLock<Opened>,
    detached: AtomicBool,
}

/// What can be had of it.
#[derive(Debug)]
pub(super) enum Opened {
    Open(Running),
    /// It should be there and can't be read.
    Absent {
        why: String,
        shadow: Box<Shadow>,
    },
    /// Disabled or detached.
    Off,
}

impl Slot {
    pub(super) fn new(no: StoreNo, entry: Entry, opened: Opened) -> Slot {
        Slot {
            no,
            entry: RwLock::new(Arc::new(entry)),
            opened: RwLock::new(opened),
            detached: AtomicBool::new(false),
        }
    }

    /// Takes what the registry says of it now.
    pub(super) fn set_entry(&self, entry: Entry) {
        *self.entry.write() = Arc::new(entry);
    }

    /// Takes what can be had of it now.
    pub(super) fn put(&self, opened: Opened) {
        let before = std::mem::replace(&mut *self.opened.write(), opened);
        // Ending its threads takes a moment, which nobody waits for.
        drop(before);
    }

    /// Disabled or detached.
    pub(super) fn is_off(&self) -> bool {
        matches!(&*self.opened.read(), Opened::Off)
    }

    /// It should be there and can't be read.
    pub(super) fn is_absent(&self) -> bool {
        matches!(&*self.opened.read(), Opened::Absent { .. })
    }

    /// It is no part of the installation any more: its number keeps its place in this process only.
    pub(super) fn detach(&self) {
        self.detached.store(true, Ordering::Release);
    }

    /// Whether [`Slot::detach`] was called.
    pub(super) fn is_detached(&self) -> bool {
        self.detached.load(Ordering::Acquire)
    }

    /// What the registry says of it.
    pub(super) fn entry(&self) -> Arc<Entry> {
        Arc::clone(&self.entry.read())
    }

    /// The open store.
    /// # Errors
    /// `Unavailable`.
    pub(super) fn store(&self) -> Result<Arc<Store>, Error> {
        match &*self.opened.read() {
            Opened::Open(store) => Ok(Arc::clone(store)),
            Opened::Absent { why, .. } => Err(self.unavailable(why)),
            Opened::Off => Err(self.unavailable("it is disabled or detached")),
        }
    }

    /// The open store, if moves and deletions may be written to it.
    /// # Errors
    /// `Unavailable`, `Protected`.
    pub(super) fn writable(&self) -> Result<Arc<Store>, Error> {
        let entry = self.entry();
        match entry.state {
            StoreState::Current | StoreState::Normal => self.store(),
            StoreState::WriteProtected | StoreState::Disabled => {
                Err(Error::Protected { store: entry.number.clone(), state: entry.state })
            }
        }
    }

    /// The error that says that it can't be read.
    pub(super) fn unavailable(&self, why: &str) -> Error {
        Error::Unavailable { store: self.entry().number.clone(), why: why.to_owned() }
    }

    /// What it adds to these folders of the installation, or to all.
    pub(super) fn share(&self, ours: Option<&[FolderId]>) -> Option<Share> {
        let entry = self.entry();
        let pick = |folders: &HashMap<FolderId, Folder>, archives: &HashMap<String, Uid>| match ours {
            None => (folders.clone(), archives.clone()),
            Some(ours) => {
                let theirs = ours.iter().filter_map(|id| entry.theirs(*id));
                let some: HashMap<_, _> =
                    theirs.filter_map(|id| Some((id, folders.get(&id)?.clone()))).collect();
                let names = some.values().map(|folder| folder.info.path.archive());
                let next = names.filter_map(|name| Some((name.to_owned(), *archives.get(name)?))).collect();
                (some, next)
            }
        };
        let ((folders, archives), numbers) = match &*self.opened.read() {
            Opened::Off => return None,
            Opened::Open(store) => {
                let state = store.state.read();
                (pick(&state.folders, &state.archives), Numbers::of(&state))
            }
            Opened::Absent { shadow, .. } => {
                let Shadow { next_folder, uid_validity, mod_seq, .. } = **shadow;
                (pick(&shadow.folders, &shadow.archives), Numbers { next_folder, uid_validity, mod_seq })
            }
        };
        Some(Share { store: self.no, entry, folders, archives, numbers })
    }
}
