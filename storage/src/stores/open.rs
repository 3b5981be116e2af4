//! Making and opening an installation's stores, and making further ones.
//!
//! Invariant: a store that can't be read takes nothing else with it; only if none can be read, opening fails. What the
//! registry doesn't list isn't touched.

use super::registry::{Entry, MAX_STORES, Registry, stores_dir};
use super::shadow::Shadow;
use super::slot::{Opened, Slot};
use super::view::View;
use super::{Shared, Storage, StoreInfo, StoreState};
use crate::pack::disk::{Disk, RealDisk};
use crate::store::open::{self as store_open, Opening, Settings};
use crate::store::state::Folder;
use crate::store::{Running, Store};
use crate::{Error, FolderId, Limits, MasterKey, StoreNo, TextExtractor};
use parking_lot::{Mutex, RwLock};
use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

pub(super) fn create(data: &Path, key: &MasterKey, limits: &Limits) -> Result<(), Error> {
    if !data.is_dir() {
        std::fs::create_dir_all(data).map_err(Error::io(data))?;
    }
    create_on(&(Arc::new(RealDisk) as Arc<dyn Disk>), data, key, limits)
}

/// Makes the first store, and the registry that lists it.
pub(crate) fn create_on(
    disk: &Arc<dyn Disk>,
    data: &Path,
    key: &MasterKey,
    limits: &Limits,
) -> Result<(), Error> {
    let dir = stores_dir(data);
    match disk.create_dir(&dir) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(Error::io(dir)(e)),
        _ => disk.sync_dir(data).map_err(Error::io(data))?,
    }
    let mut registry = Registry::new()?;
    let number = registry.next_number();
    let state = StoreState::Current;
    let settings = Settings { name: number.clone(), state, installation: registry.installation.clone() };
    let id = store_open::create(disk, &dir.join(&number), key, &settings, limits)?;
    registry.stores.push(Entry {
        name: number.clone(),
        path: PathBuf::from(&number),
        number,
        id: hex::encode(id.0),
        state,
        attached: 0,
        key: String::new(),
        foreign: None,
    });
    registry.save(disk, data)
}

pub(super) fn open(
    data: &Path,
    key: &MasterKey,
    limits: Limits,
    extractor: Option<Arc<dyn TextExtractor>>,
) -> Result<Storage, Error> {
    open_extracting(&(Arc::new(RealDisk) as Arc<dyn Disk>), data, None, key, limits, extractor)
}

/// As [`open_extracting`], with nobody who reads attachments.
#[cfg(any(test, feature = "testing"))]
pub(crate) fn open_on(
    disk: &Arc<dyn Disk>,
    data: &Path,
    indexes: Option<PathBuf>,
    key: &MasterKey,
    limits: Limits,
) -> Result<Storage, Error> {
    open_extracting(disk, data, indexes, key, limits, None)
}

/// Opens the stores on any disk; with `indexes` on one that is not the real file system, where indexes always lie.
pub(super) fn open_extracting(
    disk: &Arc<dyn Disk>,
    data: &Path,
    indexes: Option<PathBuf>,
    key: &MasterKey,
    limits: Limits,
    extractor: Option<Arc<dyn TextExtractor>>,
) -> Result<Storage, Error> {
    let registry = match Registry::load(disk, data)? {
        Some(registry) => registry,
        None => found(disk, data)?,
    };
    // Made first, so that a failure stops what the stores that did open have begun.
    let storage = Storage::new(Arc::new(Shared {
        disk: Arc::clone(disk),
        data: data.to_owned(),
        indexes,
        key: RwLock::new(key.clone()),
        signer: RwLock::default(),
        limits,
        extractor,
        slots: RwLock::default(),
        view: RwLock::new(View::default()),
        turn: Mutex::default(),
        registry: Mutex::new(registry.clone()),
        subscribers: Arc::default(),
        years: super::years::YearCache::default(),
        readers: super::ahead::Readers::default(),
        left: RwLock::default(),
        torn: std::sync::atomic::AtomicBool::new(false),
        in_line: Mutex::default(),
        remembered: Mutex::new((Instant::now(), HashMap::new())),
    }));
    let shared = &storage.shared;
    *shared.left.write() = super::left::load(disk, data)?;
    let (mut trouble, mut opened) = (None, 0);
    for mut entry in registry.stores {
        if entry.state == StoreState::Disabled {
            shared.add(entry, Opened::Off);
            continue;
        }
        let slot = match shared.open_store(&entry) {
            Ok(store) => {
                opened += 1;
                shared.introduce(&mut entry, &store)?;
                Opened::Open(store)
            }
            Err(error) => {
                tracing::error!(store = entry.number, %error, "a store can't be read");
                let absent = shared.absent(&entry, &error)?;
                // A disk that is away is no reason not to start; damage and wrong keys are, when nothing else is there.
                let away =
                    matches!(&error, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound);
                if !away {
                    trouble.get_or_insert(error);
                }
                absent
            }
        };
        shared.add(entry, slot);
    }
    match trouble {
        Some(error) if opened == 0 => return Err(error),
        _ => {}
    }
    shared.rebuild_view();
    Ok(storage)
}

/// The registry of stores that lie below DATA/stores when the file is gone; the newest current one stays current.
pub(super) fn found(disk: &Arc<dyn Disk>, data: &Path) -> Result<Registry, Error> {
    let dir = stores_dir(data);
    let mut registry = Registry::new()?;
    for number in disk.list(&dir).map_err(Error::io(&dir))? {
        let packs = dir.join(&number).join("packs");
        let holds_packs =
            disk.list(&packs).is_ok_and(|names| names.iter().any(|name| name.ends_with(".pack")));
        if number.len() < 4 || !number.bytes().all(|b| b.is_ascii_digit()) || !holds_packs {
            continue;
        }
        registry.stores.push(Entry {
            name: number.clone(),
            path: PathBuf::from(&number),
            number,
            id: String::new(),
            state: StoreState::Normal,
            attached: 0,
            key: String::new(),
            foreign: None,
        });
    }
    if let Some(last) = registry.stores.last_mut() {
        last.state = StoreState::Current;
    }
    Ok(registry)
}

impl Shared {
    pub(super) fn add(&self, entry: Entry, opened: Opened) -> StoreNo {
        let mut slots = self.slots.write();
        // Their number is bounded where they are made.
        let no = StoreNo(u16::try_from(slots.len()).unwrap_or(u16::MAX));
        slots.push(Arc::new(Slot::new(no, entry, opened)));
        no
    }

    /// Where a store's index lies.
    pub(super) fn index_dir(&self, entry: &Entry) -> PathBuf {
        match &self.indexes {
            Some(indexes) => indexes.join(&entry.number),
            None => entry.dir(&self.data).join("index"),
        }
    }

    /// Opens a store as its entry says.
    pub(super) fn open_store(&self, entry: &Entry) -> Result<Running, Error> {
        let dir = entry.dir(&self.data);
        let index = self.index_dir(entry);
        if self.indexes.is_some() {
            std::fs::create_dir_all(&index).map_err(Error::io(&index))?;
        }
        let key = self.key.read().clone();
        let (disk, limits) = (&self.disk, &self.limits);
        let derived = match (entry.state, entry.store_id()) {
            (StoreState::WriteProtected, Some(id)) => Some(super::derived_dir(&self.data, id)),
            _ => None,
        };
        let spare_index = match (&self.indexes, &derived) {
            (Some(indexes), _) => indexes.join(format!("{}-derived", entry.number)),
            (None, Some(derived)) => derived.join("index"),
            (None, None) => index.clone(),
        };
        let protected = derived.as_deref().map(|dir| (dir, spare_index.as_path()));
        let (key, wrapped) = (&key, entry.wrapped());
        let (dir, index) = (&*dir, &*index);
        let open = || {
            let lock = if self.indexes.is_none() { Some(store_open::lock(dir)?) } else { None };
            let extractor = self.extractor.clone();
            let with = Opening { disk, dir, index, key, wrapped, limits, lock, protected, extractor };
            // The database's library trusts its file: damage may end in a panic.
            let opened = catch_unwind(AssertUnwindSafe(|| store_open::open(with)));
            opened.unwrap_or_else(|_| {
                let what = "it is damaged: reading it panics".to_owned();
                Err(Error::Derived { path: dir.join("store.redb"), what })
            })
        };
        match open() {
            // Another layout is made again by itself, as long as the packs are whole.
            Err(Error::OldLayout { found, .. }) => {
                self.renew(entry, found)?;
                open()
            }
            other => other,
        }
    }

    /// Takes from a store that was found what its packs say of it.
    fn introduce(&self, entry: &mut Entry, store: &Store) -> Result<(), Error> {
        let identity = store.packs.identity();
        let id = hex::encode(identity.id.0);
        if entry.id.is_empty() {
            entry.id = id;
            let settings = Settings::decode(&identity.settings);
            if !settings.name.is_empty() {
                entry.name = settings.name;
            }
            let mut registry = self.registry.lock();
            if let Some(listed) = registry.stores.iter_mut().find(|listed| listed.number == entry.number) {
                *listed = entry.clone();
            }
            return registry.save(&self.disk, &self.data);
        }
        if entry.id != id {
            let what = format!("store {} is another one than the one that is listed", entry.number);
            return Err(Error::Registry { path: entry.dir(&self.data), what });
        }
        Ok(())
    }

    /// What is remembered of a store that can't be read.
    pub(super) fn absent(&self, entry: &Entry, why: &Error) -> Result<Opened, Error> {
        let shadow = match entry.store_id() {
            Some(id) => Shadow::load(&self.disk, &self.data, id)?,
            None => None,
        };
        Ok(Opened::Absent { why: why.to_string(), shadow: Box::new(shadow.unwrap_or_default()) })
    }

    /// Makes a store and makes it the current one; in `dir`, else below DATA/stores.
    pub(super) fn create_store(&self, name: Option<&str>, dir: Option<&Path>) -> Result<StoreNo, Error> {
        let mut registry = self.registry.lock();
        let mut next = registry.clone();
        if next.stores.len() >= MAX_STORES {
            let (found, limit) = (next.stores.len() as u64 + 1, MAX_STORES as u64);
            return Err(Error::Limit { what: "stores of an installation", found, limit });
        }
        let number = next.next_number();
        let path = dir.map_or_else(|| PathBuf::from(&number), Path::to_owned);
        let name = name.unwrap_or(&number).to_owned();
        let state = StoreState::Current;
        let settings = Settings { name: name.clone(), state, installation: next.installation.clone() };
        let mut entry = Entry {
            number,
            name,
            id: String::new(),
            path,
            state,
            attached: 0,
            key: String::new(),
            foreign: None,
        };
        let key = self.key.read().clone();
        let dir = entry.dir(&self.data);
        let id = match store_open::create(&self.disk, &dir, &key, &settings, &self.limits) {
            // A crash before it was listed left it, without mail; a store with mail is never taken for that.
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                let left = self.open_store(&entry)?;
                if left.state.read().counters.batch > 0 {
                    let what = format!("{} holds a store already: attach it instead", dir.display());
                    return Err(Error::Refused { what });
                }
                left.packs.identity().id
            }
            other => other?,
        };
        entry.id = hex::encode(id.0);
        let store = self.open_store(&entry)?;
        for old in &mut next.stores {
            if old.state == StoreState::Current {
                old.state = StoreState::Normal;
            }
        }
        next.stores.push(entry.clone());
        next.save(&self.disk, &self.data)?;
        *registry = next;
        for slot in self.all_slots() {
            let old = slot.entry();
            if old.state == StoreState::Current {
                slot.set_entry(Entry { state: StoreState::Normal, ..(*old).clone() });
            }
        }
        Ok(self.add(entry, Opened::Open(store)))
    }

    /// A store, for `store list`.
    pub(super) fn info(&self, slot: &Slot) -> Option<StoreInfo> {
        let entry = slot.entry();
        let mut info = StoreInfo {
            number: entry.number.clone(),
            name: entry.name.clone(),
            path: entry.dir(&self.data),
            id: entry.store_id(),
            state: entry.state,
            trouble: None,
            created: None,
            messages: 0,
            folders: 0,
            placements: 0,
            packs: 0,
            message_bytes: 0,
            pack_bytes: 0,
            database_bytes: 0,
            index_bytes: 0,
            index_tail: 0,
        };
        match &*slot.opened.read() {
            Opened::Open(store) => {
                let counters = store.state.read().counters;
                info.id = Some(store.packs.identity().id);
                let packs = store.packs.list();
                info.created = packs.first().and_then(|first| Some(store.packs.header(*first).ok()?.created));
                info.packs = packs.len() as u64;
                info.folders = held(&store.state.read().folders);
                info.messages = u64::from(counters.next_msg);
                info.placements = counters.placements;
                info.message_bytes = counters.message_bytes;
                info.pack_bytes =
                    store.packs.list().into_iter().filter_map(|pack| store.packs.len(pack).ok()).sum();
                info.database_bytes = store.database.len().unwrap_or(0);
                info.index_bytes = std::fs::read_dir(store.dir.join("index")).map_or(0, |entries| {
                    entries.filter_map(|entry| entry.ok()?.metadata().ok()).map(|meta| meta.len()).sum()
                });
                info.index_bytes += store.tail.current().extracts.map_or(0, |extracts| extracts.bytes());
                info.index_tail = store.tail.messages(store.next_msg());
            }
            Opened::Absent { why, shadow } => {
                info.trouble = Some(why.clone());
                info.folders = held(&shadow.folders);
                info.messages = shadow.messages;
                info.placements = shadow.placements;
                info.message_bytes = shadow.message_bytes;
            }
            Opened::Off if slot.is_detached() => return None,
            Opened::Off => {}
        }
        Some(info)
    }
}

/// Folders with messages.
fn held(folders: &HashMap<FolderId, Folder>) -> u64 {
    folders.values().filter(|folder| !folder.uids.is_empty()).count() as u64
}
