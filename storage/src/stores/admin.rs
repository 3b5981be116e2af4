//! What administrators do with stores: make, attach, detach, rename them, say what may be done with them.
//!
//! Order: first the current store notes which numbers were taken and that folders changed, then the registry changes in one
//! step, then readers see it. A crash between two of them leaves numbers that are never given, no more.
//! Invariant: there is always one current store, and detaching, disabling or protecting it is refused.

use super::batch::Batch;
use super::registry::{Entry, Foreign, MAX_STORES, Registry, stores_dir};
use super::slot::{Opened, Slot};
use super::{Shared, Storage};
use crate::store::compact::removed_path;
use crate::store::facts::{Fact, FolderFact};
use crate::store::open::{self as store_open, Settings};
use crate::store::state::Folder;
use crate::store::{Cancel, Running, StoreInfo, StoreState};
use crate::{Error, FolderId, FolderPath, MasterKey, Uid, UidValidity};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Longest name of a store, bytes.
const MAX_NAME_BYTES: usize = 200;

fn refused(what: impl Into<String>) -> Error {
    Error::Refused { what: what.into() }
}

impl Storage {
    /// Makes a store and makes it the current one; in `dir` (absolute), else below DATA/stores. Gives its number.
    /// # Errors
    /// `Io`, `Limit`, `Refused` when there is a store already.
    pub fn create_store(&self, name: Option<&str>, dir: Option<&Path>) -> Result<StoreInfo, Error> {
        let turn = self.shared.turn.lock();
        name.map(checked_name).transpose()?;
        let no = self.shared.create_store(name, dir)?;
        drop(turn);
        let slot = self.shared.slot(no)?;
        self.shared.info(&slot).ok_or_else(|| refused("the store vanished"))
    }

    /// Gives a store another name; its number and its directory stay.
    /// # Errors
    /// `Missing`, `Refused` when the name is empty, too long or taken; `Io`.
    pub fn rename_store(&self, number: &str, name: &str) -> Result<(), Error> {
        checked_name(name)?;
        let _turn = self.shared.turn.lock();
        if self.shared.all_slots().iter().any(|slot| slot.entry().name == name && !slot.is_off()) {
            return Err(refused(format!("a store is called {name:?} already")));
        }
        let slot = self.shared.numbered(number)?;
        self.shared.change(&slot, |entry| entry.name = name.to_owned())?;
        self.shared.announce(&slot)
    }

    /// Says what may be done with a store.
    /// # Errors
    /// `Missing`; `Refused` for what would leave no current store; `Unavailable` when it can't be read; `Io`, `Latched`.
    pub fn set_store_state(&self, number: &str, state: StoreState) -> Result<(), Error> {
        let slot = self.shared.numbered(number)?;
        let entry = slot.entry();
        if entry.state == state {
            return Ok(());
        }
        if entry.state == StoreState::Current {
            return Err(refused(format!(
                "store {number} is the current one: first make another current (store state NUMBER current, or store create)"
            )));
        }
        match state {
            StoreState::Current => {
                if entry.foreign.is_some() {
                    return Err(refused(format!(
                        "store {number} came from another installation; new mail goes into a store of this one"
                    )));
                }
                let _turn = self.shared.turn.lock();
                self.shared.reopen(&slot, state)?;
                self.shared.make_current(&slot)
            }
            StoreState::Normal | StoreState::WriteProtected => {
                let was_off = slot.is_off();
                let turn = self.shared.turn.lock();
                self.shared.reopen(&slot, state)?;
                drop(turn);
                // What was away and comes back changed now.
                let back = if was_off { self.shared.note_changes(&slot)? } else { entry.attached };
                let _turn = self.shared.turn.lock();
                self.shared.change(&slot, |entry| (entry.state, entry.attached) = (state, back))?;
                self.shared.rebuild_view();
                self.shared.subscribers.tell(&self.shared.folders_of(&slot));
                if state == StoreState::Normal { self.shared.announce(&slot) } else { Ok(()) }
            }
            StoreState::Disabled => {
                self.shared.note_changes(&slot)?;
                let _turn = self.shared.turn.lock();
                self.shared.note_leaving(&slot)?;
                self.shared.change(&slot, |entry| entry.state = state)?;
                self.shared.switch_off(&slot)
            }
        }
    }

    /// Lets a store go: its messages vanish for clients, its directory stays as it is and can be carried away. Gives where
    /// it lies.
    /// # Errors
    /// `Missing`; `Refused` for the current store; `Io`, `Latched`.
    pub fn detach_store(&self, number: &str) -> Result<PathBuf, Error> {
        let slot = self.shared.numbered(number)?;
        let entry = slot.entry();
        if entry.state == StoreState::Current {
            return Err(refused(format!("store {number} is the current one: first make another current")));
        }
        if !slot.is_off() {
            self.shared.note_changes(&slot)?;
        }
        let _turn = self.shared.turn.lock();
        self.shared.note_leaving(&slot)?;
        let mut registry = self.shared.registry.lock();
        let mut next = registry.clone();
        next.stores.retain(|other| other.number != entry.number);
        next.save(&self.shared.disk, &self.shared.data)?;
        *registry = next;
        drop(registry);
        self.shared.switch_off(&slot)?;
        slot.detach();
        Ok(entry.dir(&self.shared.data))
    }

    /// Takes a store in, from `dir` (absolute): one that was detached, or one of another installation. Folders of the latter get numbers of this installation; where a path is taken, its folder is called
    /// `Name (store 0007)`.
    /// # Errors
    /// `WrongKey`, and all that opening a store gives; `Refused` when it is attached already; `Latched`.
    pub fn attach_store(&self, dir: &Path) -> Result<StoreInfo, Error> {
        self.attach_store_with(dir, None)
    }

    /// As [`Storage::attach_store`], of a store that only `key` opens: another installation's master key, or one that was
    /// replaced. The store's key is noted down under this installation's own.
    /// # Errors
    /// As [`Storage::attach_store`].
    pub fn attach_store_with(&self, dir: &Path, key: Option<&MasterKey>) -> Result<StoreInfo, Error> {
        let shared = &self.shared;
        {
            // A full current store is followed by another one first, which takes the next number.
            let _turn = shared.turn.lock();
            shared.current_for_writing()?;
        }
        let mut entry = {
            let registry = shared.registry.lock();
            if registry.stores.len() >= MAX_STORES {
                let (found, limit) = (registry.stores.len() as u64 + 1, MAX_STORES as u64);
                return Err(Error::Limit { what: "stores of an installation", found, limit });
            }
            Entry {
                number: registry.next_number(),
                name: String::new(),
                id: String::new(),
                // One below DATA/stores goes with DATA, wherever that is moved.
                path: dir.strip_prefix(stores_dir(&shared.data)).unwrap_or(dir).to_owned(),
                state: StoreState::Normal,
                attached: 0,
                key: String::new(),
                foreign: None,
            }
        };
        let same = |slot: &Arc<Slot>| !slot.is_off() && slot.entry().dir(&shared.data) == dir;
        if shared.all_slots().iter().any(same) {
            return Err(refused(format!("{} is attached already", dir.display())));
        }
        let own = shared.key.read().clone();
        let (id, settings) = store_open::identify(&shared.disk, dir, key.unwrap_or(&own))?;
        if let Some(key) = key {
            entry.key = hex::encode(store_open::rewrap(&shared.disk, dir, key, &own)?);
        }
        entry.id = hex::encode(id.0);
        if let Some(other) =
            shared.all_slots().iter().find(|slot| !slot.is_off() && slot.entry().id == entry.id)
        {
            let number = other.entry().number.clone();
            return Err(refused(format!("{} is a copy of store {number}, which is attached", dir.display())));
        }
        entry.name = shared.free_name(&settings.name, &entry.number);
        if settings.state == StoreState::WriteProtected || !store_open::is_writable(dir) {
            entry.state = StoreState::WriteProtected;
        }
        let home = shared.registry.lock().installation.clone();
        // Stores that are older than the registry don't tell; those that were here once are remembered.
        let known = super::shadow::path(&shared.data, id).exists();
        if settings.installation != home && !(settings.installation.is_empty() && known) {
            let (installation, folders) = (settings.installation, Vec::new());
            entry.foreign = Some(Foreign { installation, folders, archive_uids_above: 0 });
        }
        let store = shared.open_store(&entry)?;
        let opened = Arc::clone(&store);
        match shared.adopt(entry, store) {
            Ok(slot) => shared.info(&slot).ok_or_else(|| refused("the store vanished")),
            Err(error) => {
                opened.close()?;
                Err(error)
            }
        }
    }

    /// Tries again to open stores that can't be read; gives all stores.
    /// # Errors
    /// `Missing` when there is no store of this number.
    pub fn retry_open(&self, number: Option<&str>) -> Result<Vec<StoreInfo>, Error> {
        let slots = match number {
            Some(number) => vec![self.shared.numbered(number)?],
            None => self.shared.all_slots(),
        };
        let _turn = self.shared.turn.lock();
        for slot in slots {
            self.shared.retry(&slot)?;
        }
        self.shared.rebuild_view();
        Ok(self.stores())
    }
}

fn checked_name(name: &str) -> Result<(), Error> {
    if name.trim().is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
        return Err(refused(format!(
            "a store's name has 1 to {MAX_NAME_BYTES} bytes and no control characters; {name:?} is none"
        )));
    }
    Ok(())
}

impl Shared {
    /// The store that people call so: by number or name.
    pub(super) fn numbered(&self, number: &str) -> Result<Arc<Slot>, Error> {
        let listed = |slot: &&Arc<Slot>| !slot.is_detached();
        let slots = self.all_slots();
        let found = slots.iter().filter(listed).find(|slot| slot.entry().number == number);
        let found = found.or_else(|| slots.iter().filter(listed).find(|slot| slot.entry().name == number));
        found.cloned().ok_or_else(|| Error::Missing { what: format!("store {number}") })
    }

    /// The name, or one like it that no store has.
    fn free_name(&self, name: &str, number: &str) -> String {
        let taken = self.all_slots().iter().any(|slot| !slot.is_detached() && slot.entry().name == name);
        match name {
            "" => number.to_owned(),
            name if taken => format!("{name} ({number})"),
            name => name.to_owned(),
        }
    }

    /// Changes what the registry says of a store.
    fn change(&self, slot: &Slot, change: impl FnOnce(&mut Entry)) -> Result<(), Error> {
        let mut entry = (*slot.entry()).clone();
        change(&mut entry);
        let mut registry = self.registry.lock();
        let mut next: Registry = registry.clone();
        for listed in &mut next.stores {
            if listed.number == entry.number {
                *listed = entry.clone();
            }
        }
        next.save(&self.disk, &self.data)?;
        *registry = next;
        slot.set_entry(entry);
        Ok(())
    }

    /// Writes name and state into the store itself: a new pack's header has them, and store.toml.
    fn announce(&self, slot: &Slot) -> Result<(), Error> {
        let Ok(store) = slot.writable() else { return Ok(()) };
        let entry = slot.entry();
        let installation = Settings::decode(&store.packs.identity().settings).installation;
        let settings = Settings { name: entry.name.clone(), state: entry.state, installation };
        store.begin_pack(&settings)?;
        store_open::describe(&self.disk, &store.dir, store.packs.identity().id, &settings)
    }

    /// Makes the store the one that takes new mail.
    fn make_current(&self, slot: &Slot) -> Result<(), Error> {
        let number = slot.entry().number.clone();
        let mut registry = self.registry.lock();
        let mut next = registry.clone();
        for entry in &mut next.stores {
            if entry.number == number {
                entry.state = StoreState::Current;
            } else if entry.state == StoreState::Current {
                entry.state = StoreState::Normal;
            }
        }
        next.save(&self.disk, &self.data)?;
        for other in self.all_slots() {
            let old = other.entry();
            if let Some(entry) = next.stores.iter().find(|entry| entry.number == old.number) {
                other.set_entry(entry.clone());
            }
        }
        *registry = next;
        drop(registry);
        self.announce(slot)
    }

    /// Notes in the current store that the folders of a store change, and which of their numbers were given; gives the
    /// mod-sequence of that.
    fn note_changes(self: &Arc<Self>, slot: &Slot) -> Result<u64, Error> {
        let entry = slot.entry();
        let mut batch = Batch::begin(self, &Cancel::default())?;
        let mod_seq = batch.mod_seq.0;
        let share = slot.share(None);
        for theirs in share.iter().flat_map(|share| share.folders.keys()) {
            let Some(ours) = entry.ours(*theirs) else { continue };
            // One that was removed since has nothing to note.
            if self.view.read().get(ours).is_some() {
                batch.floors(ours)?;
            }
        }
        // The first folder of an archive gives all its mail the UIDVALIDITY, removed or not.
        let ours = share.iter().flat_map(|share| share.folders.keys().filter_map(|id| entry.ours(*id)));
        let firsts: BTreeMap<FolderId, (String, UidValidity)> = {
            let view = self.view.read();
            ours.filter_map(|folder| view.first_of(folder)).collect()
        };
        for (folder, (archive, uid_validity)) in firsts {
            if self.view.read().get(folder).is_none() {
                batch.keep_removed(folder, &archive, uid_validity)?;
            }
        }
        batch.commit()?;
        Ok(mod_seq)
    }

    /// Closes a store and opens it as the new state wants it.
    fn reopen(&self, slot: &Slot, state: StoreState) -> Result<(), Error> {
        let entry = Entry { state, ..(*slot.entry()).clone() };
        if let Ok(open) = slot.store() {
            let protect = state == StoreState::WriteProtected;
            if open.protected == protect {
                return Ok(());
            }
            if protect {
                let settings = Settings {
                    name: entry.name.clone(),
                    state,
                    installation: Settings::decode(&open.packs.identity().settings).installation,
                };
                open.begin_pack(&settings)?;
                store_open::describe(&self.disk, &open.dir, open.packs.identity().id, &settings)?;
            }
            self.remember();
            open.close()?;
        }
        match self.open_store(&entry) {
            Ok(store) => {
                slot.put(Opened::Open(store));
                Ok(())
            }
            Err(error) => {
                slot.put(self.absent(&entry, &error)?);
                self.rebuild_view();
                Err(error)
            }
        }
    }

    /// Closes a store; its messages don't show any more.
    fn switch_off(&self, slot: &Slot) -> Result<(), Error> {
        self.remember();
        let open = slot.store().ok();
        let changed = self.folders_of(slot);
        slot.put(Opened::Off);
        self.rebuild_view();
        self.subscribers.tell(&changed);
        match open {
            Some(store) => store.close(),
            None => Ok(()),
        }
    }

    /// The folders that a store has something of.
    fn folders_of(&self, slot: &Slot) -> Vec<FolderId> {
        let share = slot.share(None);
        let theirs = share.iter().flat_map(|share| share.folders.keys().map(|id| share.entry.ours(*id)));
        theirs.flatten().collect()
    }

    fn retry(&self, slot: &Slot) -> Result<(), Error> {
        if !slot.is_absent() {
            return Ok(());
        }
        let entry = slot.entry();
        let opened = match self.open_store(&entry) {
            Ok(store) => Opened::Open(store),
            Err(error) => self.absent(&entry, &error)?,
        };
        slot.put(opened);
        Ok(())
    }

    /// Makes an opened store part of the installation.
    fn adopt(self: &Arc<Self>, mut entry: Entry, store: Running) -> Result<Arc<Slot>, Error> {
        let folders: HashMap<FolderId, Folder> = store.state.read().folders.clone();
        let archives = store.state.read().archives.clone();
        // The mod-sequence of its coming is above all of its own.
        let theirs = store.state.read().counters.mod_seq;
        {
            let mut view = self.view.write();
            view.numbers.mod_seq = view.numbers.mod_seq.max(theirs);
        }
        let mut batch = Batch::begin(self, &Cancel::default())?;
        entry.attached = batch.mod_seq.0;
        // Another store may have come since it was numbered.
        let registry = self.registry.lock();
        if registry.stores.iter().any(|other| other.number == entry.number) {
            let number = registry.next_number();
            if entry.name == entry.number {
                entry.name.clone_from(&number);
            }
            entry.number = number;
        }
        drop(registry);
        if let Some(foreign) = &mut entry.foreign {
            foreign.archive_uids_above = self.view.read().highest_archive_next().0;
        }
        let above = entry.above();
        let mut ids: Vec<FolderId> = folders.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let Some(folder) = folders.get(&id).filter(|folder| !folder.gone) else { continue };
            let uid_next = folder.info.uid_next;
            match &entry.foreign {
                None => {
                    if self.view.read().get(id).is_some() {
                        batch.floors_at(id, uid_next)?;
                    }
                }
                Some(foreign) => {
                    let ours = match self.adopted(&foreign.installation, id) {
                        Some(ours) => ours,
                        None => {
                            let path = batch.free_path(&folder.info.path, &entry.number)?;
                            batch.folder(&path)?
                        }
                    };
                    let next = archives.get(folder.info.path.archive()).map_or(1, |next| next.0);
                    batch.raise_archive_next(ours, u64::from(above) + u64::from(next))?;
                    batch.floors_at(ours, uid_next)?;
                    if let Some(foreign) = &mut entry.foreign {
                        foreign.folders.push((id.0, ours.0));
                    }
                }
            }
        }
        batch.commit()?;
        let _turn = self.turn.lock();
        let mut registry = self.registry.lock();
        let mut next = registry.clone();
        next.stores.push(entry.clone());
        next.save(&self.disk, &self.data)?;
        *registry = next;
        drop(registry);
        let no = self.add(entry, Opened::Open(store));
        self.rebuild_view();
        let slot = self.slot(no)?;
        self.subscribers.tell(&self.folders_of(&slot));
        Ok(slot)
    }

    /// Our number of a folder of another installation that another of its stores brought already.
    fn adopted(&self, installation: &str, folder: FolderId) -> Option<FolderId> {
        self.registry.lock().stores.iter().find_map(|entry| {
            let foreign = entry.foreign.as_ref().filter(|foreign| foreign.installation == installation)?;
            let pair = foreign.folders.iter().find(|(theirs, _)| *theirs == folder.0);
            pair.map(|(_, ours)| FolderId(*ours))
        })
    }
}

impl Batch<'_> {
    /// Notes that a folder changes, and which of its UIDs were given.
    pub(super) fn floors(&mut self, folder: FolderId) -> Result<(), Error> {
        self.floors_at(folder, Uid(1))
    }

    /// Makes sure that the current store knows a removed folder: that it was, and its UIDVALIDITY.
    fn keep_removed(
        &mut self,
        folder: FolderId,
        archive: &str,
        uid_validity: UidValidity,
    ) -> Result<(), Error> {
        let (mod_seq, next) = (self.mod_seq, super::batch::uid(self.archive_next(archive))?);
        let current = self.current()?;
        if current.store().state.read().folders.contains_key(&folder) {
            return Ok(());
        }
        let top = FolderPath::new(archive).map_err(|error| refused(error.to_string()))?;
        current.name(Fact::Folder(FolderFact {
            id: folder,
            path: removed_path(&top, folder)?,
            uid_validity,
            uid_floor: Uid(1),
            mod_seq_floor: mod_seq,
            archive_uid_floor: next,
        }));
        current.change(Fact::FolderGone { folder, mod_seq });
        Ok(())
    }

    /// The next archive-wide UID of a folder's archive is at least this.
    fn raise_archive_next(&mut self, folder: FolderId, next: u64) -> Result<(), Error> {
        let archive = self.target(folder)?.path.archive().to_owned();
        // One that no UID can be is refused here, before anything is attached.
        let next = super::batch::uid(next)?;
        self.raise_archive(&archive, next);
        Ok(())
    }

    /// As [`Batch::floors`]; the next UID is at least `uid`.
    pub(super) fn floors_at(&mut self, folder: FolderId, uid: Uid) -> Result<(), Error> {
        let target = self.target(folder)?;
        target.uid_next = target.uid_next.max(u64::from(uid.0));
        self.in_current(folder)?;
        let (uid, archive_uid) = self.next_uids(folder)?;
        let fact = crate::store::facts::FloorsFact { folder, uid, mod_seq: self.mod_seq, archive_uid };
        self.current()?.name(crate::store::facts::Fact::Floors(fact));
        Ok(())
    }

    /// The path, or one like it that no folder has.
    fn free_path(&self, path: &FolderPath, number: &str) -> Result<FolderPath, Error> {
        let taken = |path: &FolderPath| self.knows(path);
        if !taken(path) {
            return Ok(path.clone());
        }
        let named = format!("{path} (store {number})");
        let mut free = FolderPath::new(named.clone());
        for n in 2..1_000 {
            match &free {
                Ok(path) if taken(path) => free = FolderPath::new(format!("{named} {n}")),
                _ => break,
            }
        }
        free.map_err(|e| refused(format!("{path} is taken here, and there is no name for it: {e}")))
    }
}
