//! A store's place in the installation: open, absent, or off.
//!
//! Invariant: an absent store's folders stay known from what is remembered of it; one that is switched off shows nothing.

use super::registry::Entry;
use super::shadow::Shadow;
use super::view::{Numbers, Share};
use crate::db::all_mail::AllMail;
use crate::store::state::Folder;
use crate::store::{Running, Store};
use crate::{Error, FolderId, StoreNo, StoreState, Uid};
use parking_lot::RwLock;
use std::collections::{BTreeSet, HashMap};
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
        let theirs: Option<Vec<FolderId>> =
            ours.map(|ours| ours.iter().filter_map(|id| entry.theirs(*id)).collect());
        let (picked, numbers, open) = match &*self.opened.read() {
            Opened::Off => return None,
            Opened::Open(store) => {
                let state = store.state.read();
                let all = All(&state.folders, &state.archives, &state.all_mail);
                let archive_of = |folder| state.archive_of.get(&folder).copied();
                (Picked::of(all, theirs.as_deref(), &archive_of), Numbers::of(&state), true)
            }
            Opened::Absent { shadow, .. } => {
                let Shadow { next_folder, uid_validity, mod_seq, .. } = **shadow;
                let all = All(&shadow.folders, &shadow.archives, &shadow.all_mail);
                let archive_of = |folder| {
                    let mut all = shadow.all_mail.iter();
                    all.find(|(_, all)| all.folders.contains(&folder)).map(|(number, _)| *number)
                };
                (
                    Picked::of(all, theirs.as_deref(), &archive_of),
                    Numbers { next_folder, uid_validity, mod_seq },
                    false,
                )
            }
        };
        let Picked { folders, archives, all_mail } = picked;
        Some(Share { store: self.no, entry, folders, archives, all_mail, numbers, open })
    }
}

/// What a store holds of some folders, and of their archives.
struct Picked {
    folders: HashMap<FolderId, Folder>,
    archives: HashMap<String, Uid>,
    all_mail: HashMap<FolderId, AllMail>,
}

/// All that a store holds: folders, the next archive-wide UIDs, archives as mailboxes.
struct All<'a>(&'a HashMap<FolderId, Folder>, &'a HashMap<String, Uid>, &'a HashMap<FolderId, AllMail>);

impl Picked {
    fn of(
        All(folders, archives, all_mail): All<'_>,
        some: Option<&[FolderId]>,
        archive_of: &dyn Fn(FolderId) -> Option<FolderId>,
    ) -> Picked {
        let Some(some) = some else {
            return Picked {
                folders: folders.clone(),
                archives: archives.clone(),
                all_mail: all_mail.clone(),
            };
        };
        let picked: HashMap<_, _> =
            some.iter().filter_map(|id| Some((*id, folders.get(id)?.clone()))).collect();
        let names = picked.values().map(|folder| folder.info.path.archive());
        let next = names.filter_map(|name| Some((name.to_owned(), *archives.get(name)?))).collect();
        let touched: BTreeSet<FolderId> = picked.keys().filter_map(|folder| archive_of(*folder)).collect();
        let all_mail =
            touched.into_iter().filter_map(|number| Some((number, all_mail.get(&number)?.clone()))).collect();
        Picked { folders: picked, archives: next, all_mail }
    }
}
