//! A store's packs, open for reading: records, items and chunks by address, through a bounded cache.
//!
//! Invariant: every byte that is given was authenticated for its address. A store opens when any of its headers carries
//! the store key under the master key; that key opens all the others. Packs that can't be opened (a header that a crash
//! tore, or damage) are named in [`Packs::unopened`], and their numbers are never used again.

use super::block::{self, Block, Item};
use super::cache::{Cache, Entry};
use super::crypt::{self, SealKey, TAG_BYTES, WRAPPED_BYTES};
use super::disk::{Disk, DiskFile};
use super::frozen::Frozen;
use super::header::{MAX_HEADER_BYTES, Opened, PackHeader, StoreIdentity, Unproven};
use super::record::{HEADER_BYTES, Misfit, RecordHeader, RecordKind, VERSION};
use super::scan::{Batches, Salvage};
use super::writer::PackWriter;
use super::{Addr, ItemAddr, PackId};
use crate::{Error, MasterKey, StoreId};
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Read with a record's header: most records lie in it whole.
const READ_AHEAD_BYTES: usize = 72 << 10;

/// One pack, open.
#[derive(Debug)]
pub(crate) struct Pack {
    pub(super) id: PackId,
    pub(super) store: StoreId,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) key: SealKey,
    pub(super) header: PackHeader,
    /// Where the first record lies.
    pub(super) start: u64,
    /// The header's tag.
    pub(super) tag: [u8; TAG_BYTES],
}

/// A record read and opened.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) header: RecordHeader,
    pub(crate) plain: Bytes,
    pub(crate) tag: [u8; TAG_BYTES],
    pub(crate) next: u64,
}

impl Pack {
    /// An error that blames the record at `offset`.
    pub(super) fn corrupt(&self, offset: u64, what: &'static str) -> Error {
        Error::Corrupt { path: self.path.clone(), offset, what }
    }

    /// Reads up to `len` bytes at `offset`; fewer only at the end of the pack.
    pub(super) fn bytes(&self, offset: u64, len: usize) -> Result<Vec<u8>, Error> {
        let mut buffer = vec![0; len];
        let got = self.file.read_at(offset, &mut buffer).map_err(Error::io(&self.path))?;
        buffer.truncate(got);
        Ok(buffer)
    }

    /// Understands the header that `bytes` begin with.
    pub(super) fn parse(&self, offset: u64, bytes: &[u8]) -> Result<RecordHeader, Error> {
        let head = bytes.first_chunk().ok_or_else(|| self.corrupt(offset, "the pack ends here"))?;
        RecordHeader::parse(head, self.store, self.id, offset).map_err(|misfit| match misfit {
            Misfit::Not(what) => self.corrupt(offset, what),
            Misfit::Newer(found) => {
                Error::Version { path: self.path.clone(), found: found.into(), known: VERSION.into() }
            }
        })
    }

    /// Reads and opens the record at `offset`.
    pub(super) fn record(&self, offset: u64) -> Result<Record, Error> {
        let (header, stored) = self.stored(offset)?;
        let tag = stored.last_chunk().copied().unwrap_or_default();
        let next = offset + (HEADER_BYTES + stored.len()) as u64;
        let plain = header.open(&self.key, stored).map_err(|what| self.corrupt(offset, what))?.into();
        Ok(Record { header, plain, tag, next })
    }

    /// Opens the block at `offset`: `whole`, or as far as is needed for `item`.
    fn block(&self, offset: u64, item: u32, whole: bool) -> Result<Block, Error> {
        let (header, stored) = self.stored(offset)?;
        if header.kind != RecordKind::Block {
            return Err(self.corrupt(offset, "an item's address names a record that is no block"));
        }
        let plain = match whole {
            true => header.open(&self.key, stored),
            false => header.open_front(&self.key, stored, |front| block::wanted(front, item)),
        };
        let plain = plain.map_err(|what| self.corrupt(offset, what))?;
        let block = Block::parse(plain.into(), header.plain_len as usize);
        block.ok_or_else(|| self.corrupt(offset, "the block's table contradicts itself"))
    }

    /// Reads the record at `offset`: its header, and what follows it, sealed.
    fn stored(&self, offset: u64) -> Result<(RecordHeader, Vec<u8>), Error> {
        let mut stored = self.bytes(offset, HEADER_BYTES + READ_AHEAD_BYTES)?;
        let header = self.parse(offset, &stored)?;
        let len = HEADER_BYTES + header.stored_len as usize;
        let more = stored.len();
        if more < len {
            stored.resize(len, 0);
            let got = self
                .file
                .read_at(offset + more as u64, &mut stored[more..])
                .map_err(Error::io(&self.path))?;
            stored.truncate(more + got);
        }
        stored.truncate(len);
        stored.drain(..HEADER_BYTES.min(stored.len()));
        Ok((header, stored))
    }

    /// The pack's length in bytes.
    pub(super) fn len(&self) -> Result<u64, Error> {
        self.file.len().map_err(Error::io(&self.path))
    }
}

/// A pack file that is not part of the set.
#[derive(Debug)]
pub(crate) struct Unopened {
    /// Its number, from its name.
    pub(crate) pack: PackId,
    /// Why not.
    pub(crate) error: Error,
}

/// A store's packs.
#[derive(Debug)]
pub(crate) struct Packs {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    /// As new packs will tell it.
    identity: RwLock<Arc<StoreIdentity>>,
    /// Whether a header on disk names the master key that new packs are begun under.
    current_key: AtomicBool,
    packs: RwLock<BTreeMap<PackId, Arc<Pack>>>,
    unopened: Vec<Unopened>,
    pub(super) cache: Cache,
}

impl Packs {
    /// The set of a new store, still without a pack; `dir` must be there.
    pub(crate) fn create(
        disk: Arc<dyn Disk>,
        dir: &Path,
        identity: StoreIdentity,
        cache_bytes: usize,
    ) -> Packs {
        let (packs, cache) = (RwLock::default(), Cache::new(cache_bytes));
        let (identity, current_key) = (RwLock::new(Arc::new(identity)), AtomicBool::new(false));
        Packs { disk, dir: dir.into(), identity, current_key, packs, unopened: Vec::new(), cache }
    }

    /// As [`Packs::open_with`], without a key from elsewhere.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        master: &MasterKey,
        cache_bytes: usize,
    ) -> Result<Packs, Error> {
        Packs::open_with(disk, dir, master, None, cache_bytes)
    }

    /// Opens all packs in `dir`, by the newest header that `master` opens, or else by the key before it; new packs are begun
    /// under `master`. `wrapped` is the store key under `master` outside the packs, if there is one: a store that can't be
    /// written gets no new header when the master key changes.
    /// # Errors
    /// `Version` at once; `WrongKey` when no header opens and one names another master key; another header's damage only
    /// if no pack opens at all; `Missing` if there is none; `Io`.
    pub(crate) fn open_with(
        disk: Arc<dyn Disk>,
        dir: &Path,
        master: &MasterKey,
        wrapped: Option<&[u8; WRAPPED_BYTES]>,
        cache_bytes: usize,
    ) -> Result<Packs, Error> {
        let mut found = Vec::new();
        let mut unopened = Vec::new();
        for name in disk.list(dir).map_err(Error::io(dir))? {
            let Some(id) = PackId::from_file_name(&name) else { continue };
            let path = dir.join(&name);
            let file = disk.open(&path, false).map_err(Error::io(&path))?;
            match Found::new(id, path, Arc::clone(&file)) {
                Ok(pack) => found.push(pack),
                Err(error @ (Error::Io { .. } | Error::Version { .. })) => return Err(error),
                Err(error) => {
                    unopened.push(Unopened { pack: id, error });
                }
            }
        }
        let unlocked = match unlock(&found, master, wrapped) {
            Ok(Some(unlocked)) => unlocked,
            Ok(None) => {
                let none = || Error::Missing { what: format!("a pack in {}", dir.display()) };
                return Err(unopened.into_iter().next().map_or_else(none, |u| u.error));
            }
            Err(error) => return Err(error),
        };
        let mut packs = BTreeMap::new();
        let mut current_key = false;
        for pack in found {
            let (id, named) = (pack.id, pack.header.names(master));
            match pack.open(&unlocked) {
                Ok(pack) => {
                    current_key |= named;
                    packs.insert(id, Arc::new(pack));
                }
                Err(error) => {
                    unopened.push(Unopened { pack: id, error });
                }
            }
        }
        unopened.sort_by_key(|unopened| unopened.pack);
        let newest = packs.values().next_back().map(|pack: &Arc<Pack>| pack.header.settings.clone());
        let mut identity = unlocked.with_settings(newest.unwrap_or_default());
        if !current_key {
            identity = identity.rewrapped(master)?;
        }
        let (packs, cache) = (RwLock::new(packs), Cache::new(cache_bytes));
        let (identity, current_key) = (RwLock::new(Arc::new(identity)), AtomicBool::new(current_key));
        Ok(Packs { disk, dir: dir.into(), identity, current_key, packs, unopened, cache })
    }

    /// Whether a header on disk carries the store key under `master`. Otherwise the key before it opened the store, or a
    /// copy of the store's key elsewhere, and a new pack is needed.
    pub(crate) fn opens_with(&self, master: &MasterKey) -> bool {
        let current = crypt::key_id(master).is_ok_and(|id| id == *self.identity.read().key_id());
        current && self.current_key.load(Ordering::Acquire)
    }

    /// Begins a pack whose header carries the store key wrapped under `master`; on return that key opens the store, and all
    /// further packs are begun under it. The headers that are there stay: the key before opens them as long as they do.
    /// # Errors
    /// `Key`, `Io`.
    pub(crate) fn rekey(&self, master: &MasterKey) -> Result<PackWriter, Error> {
        let rewrapped = self.identity().rewrapped(master)?;
        *self.identity.write() = Arc::new(rewrapped);
        self.current_key.store(false, Ordering::Release);
        let mut pack = self.new_pack()?;
        pack.sync()?;
        self.current_key.store(true, Ordering::Release);
        Ok(pack)
    }

    /// The store key wrapped under `master`, for a store that can't be written.
    /// # Errors
    /// `Key`.
    pub(crate) fn wrapped_by(&self, master: &MasterKey) -> Result<[u8; WRAPPED_BYTES], Error> {
        Ok(*self.identity().rewrapped(master)?.wrapped())
    }

    /// Takes in packs whose header is damaged, from their first record on: the other headers give the key. Those without
    /// a record stay out. All of them stay named in [`Packs::unopened`].
    /// # Errors
    /// `Io`.
    pub(crate) fn adopt(self) -> Result<Packs, Error> {
        for unopened in &self.unopened {
            if let Some(first) = self.first_record(unopened.pack)? {
                let pack = self.headless(unopened.pack, first)?;
                self.packs.write().insert(unopened.pack, pack);
            }
        }
        Ok(self)
    }

    /// Where the first record of a pack lies whose header is damaged; none in one that a crash tore at its beginning.
    /// # Errors
    /// `Io`.
    pub(crate) fn first_record(&self, pack: PackId) -> Result<Option<u64>, Error> {
        let first = Salvage::new(self.headless(pack, 0)?, 0)?.next().transpose()?;
        Ok(first.map(|record| record.addr.offset))
    }

    /// A pack whose header is not to be had, with records from `start` on.
    fn headless(&self, id: PackId, start: u64) -> Result<Arc<Pack>, Error> {
        let (identity, path) = (self.identity(), self.path(id));
        let file = self.disk.open(&path, false).map_err(Error::io(&path))?;
        let key = identity.pack_key(id).map_err(Error::io(&path))?;
        let header = PackHeader::new(&identity, id, 0, Vec::new());
        // A tag of zeros: none is known.
        Ok(Arc::new(Pack { id, store: identity.id, path, file, key, header, start, tag: [0; TAG_BYTES] }))
    }

    /// Whether a pack's header is damaged and its records were taken in all the same.
    pub(crate) fn is_adopted(&self, pack: PackId) -> bool {
        self.unopened.iter().any(|unopened| unopened.pack == pack) && self.packs.read().contains_key(&pack)
    }

    /// The same packs with a cache of their own, so that what is read comes from the disk.
    pub(crate) fn again(&self, cache_bytes: usize) -> Packs {
        let identity = RwLock::new(self.identity());
        let packs = RwLock::new(self.packs.read().clone());
        let (disk, dir, cache) = (Arc::clone(&self.disk), self.dir.clone(), Cache::new(cache_bytes));
        let current_key = AtomicBool::new(self.current_key.load(Ordering::Acquire));
        Packs { disk, dir, identity, current_key, packs, unopened: Vec::new(), cache }
    }

    /// Begins a new pack, under the lowest number above all that are there; durable with its first sync.
    /// # Errors
    /// `Io`.
    pub(crate) fn new_pack(&self) -> Result<PackWriter, Error> {
        self.new_numbered(&[], time::OffsetDateTime::now_utc().unix_timestamp())
    }

    /// Begins a pack of a set that replaces others; `created` is theirs. It counts only with its set.
    /// # Errors
    /// `Io`.
    pub(crate) fn new_set_pack(&self, replaces: &[PackId], created: i64) -> Result<PackWriter, Error> {
        self.new_numbered(replaces, created)
    }

    fn new_numbered(&self, replaces: &[PackId], created: i64) -> Result<PackWriter, Error> {
        let names = self.disk.list(&self.dir).map_err(Error::io(&self.dir))?;
        let on_disk = names.iter().filter_map(|name| PackId::from_file_name(name)).max();
        let highest = on_disk.max(self.packs.read().keys().next_back().copied()).map_or(0, |id| id.0);
        let id = highest.checked_add(1).map(PackId).ok_or(Error::Limit {
            what: "packs of a store",
            found: u64::from(highest) + 1,
            limit: u64::from(u32::MAX),
        })?;
        let path = self.dir.join(id.file_name());
        let pack = self.begin(id, &path, replaces, created).map_err(Error::io(&path))?;
        let pack = Arc::new(pack);
        self.packs.write().insert(id, Arc::clone(&pack));
        PackWriter::new(self, pack, None)
    }

    fn begin(&self, id: PackId, path: &Path, replaces: &[PackId], created: i64) -> std::io::Result<Pack> {
        let identity = self.identity();
        let header = PackHeader::new(&identity, id, created, replaces.to_vec());
        let key = identity.pack_key(id)?;
        let (bytes, tag) = header.encode(&key)?;
        let file = self.disk.create(path)?;
        file.write_at(0, &bytes)?;
        let start = bytes.len() as u64;
        Ok(Pack { id, store: identity.id, path: path.into(), file, key, header, start, tag })
    }

    /// Goes on writing a pack whose last batch is complete and ends the file; `previous` is that batch's commit tag
    /// ([`CompleteBatch::tag`](super::CompleteBatch)), none when the pack has no batch. What is there is synced first.
    /// # Errors
    /// `Missing`, `Io`.
    pub(crate) fn resume(
        &self,
        pack: PackId,
        previous: Option<[u8; TAG_BYTES]>,
    ) -> Result<PackWriter, Error> {
        let old = self.pack(pack)?;
        let file = self.disk.open(&old.path, true).map_err(Error::io(&old.path))?;
        let key = self.identity().pack_key(pack).map_err(Error::io(&old.path))?;
        let Pack { id, store, start, tag, .. } = *old;
        let (path, header) = (old.path.clone(), old.header.clone());
        let pack = Arc::new(Pack { id, store, path, file, key, header, start, tag });
        self.packs.write().insert(id, Arc::clone(&pack));
        let mut writer = PackWriter::new(self, pack, previous)?;
        writer.sync()?;
        Ok(writer)
    }

    /// Makes durable what a pack's file shows, its name too: what recovery takes in must not be lost again.
    /// # Errors
    /// `Missing`, `Io`.
    pub(crate) fn sync(&self, pack: PackId) -> Result<(), Error> {
        let pack = self.pack(pack)?;
        pack.file.sync_data().map_err(Error::io(&pack.path))?;
        self.disk.sync_dir(&self.dir).map_err(Error::io(&self.dir))
    }

    /// Packs that don't count are not there for readers; their files stay.
    pub(crate) fn leave_out(&mut self, packs: &[PackId]) {
        self.packs.get_mut().retain(|id, _| !packs.contains(id));
        self.unopened.retain(|unopened| !packs.contains(&unopened.pack));
    }

    /// Removes packs' files, durable on return; who has them open reads on.
    /// # Errors
    /// `Io`.
    pub(crate) fn remove_files(&self, packs: &[PackId]) -> Result<(), Error> {
        if packs.is_empty() {
            return Ok(());
        }
        self.packs.write().retain(|id, _| !packs.contains(id));
        for pack in packs {
            let path = self.path(*pack);
            match self.disk.remove(&path) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(path)(e)),
                _ => {}
            }
        }
        self.disk.sync_dir(&self.dir).map_err(Error::io(&self.dir))
    }

    /// The store as the newest pack knows it.
    pub(crate) fn identity(&self) -> Arc<StoreIdentity> {
        Arc::clone(&self.identity.read())
    }

    /// What new packs will say of the store.
    pub(crate) fn set_settings(&self, settings: String) {
        let mut identity = self.identity.write();
        let changed = (**identity).clone().with_settings(settings);
        *identity = Arc::new(changed);
    }

    /// The packs, rising.
    pub(crate) fn list(&self) -> Vec<PackId> {
        self.packs.read().keys().copied().collect()
    }

    /// Pack files that could not be opened.
    pub(crate) fn unopened(&self) -> &[Unopened] {
        &self.unopened
    }

    /// Whether a pack file that could not be opened has anything that looks like a record of its place.
    /// # Errors
    /// `Io`.
    pub(crate) fn holds_records(&self, pack: PackId) -> Result<bool, Error> {
        let path = self.path(pack);
        let file = match self.disk.open(&path, false) {
            // Removed since, as the rest of a compaction.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            other => other.map_err(Error::io(&path))?,
        };
        super::scan::holds_records(&*file, self.identity().id, pack).map_err(Error::io(&path))
    }

    /// A pack's header.
    /// # Errors
    /// `Missing`.
    pub(crate) fn header(&self, pack: PackId) -> Result<PackHeader, Error> {
        Ok(self.pack(pack)?.header.clone())
    }

    /// A pack's file.
    pub(crate) fn path(&self, pack: PackId) -> PathBuf {
        self.dir.join(pack.file_name())
    }

    /// Where a pack's first record lies.
    /// # Errors
    /// `Missing`.
    pub(crate) fn start(&self, pack: PackId) -> Result<u64, Error> {
        Ok(self.pack(pack)?.start)
    }

    /// A pack's length in bytes.
    /// # Errors
    /// `Missing`, `Io`.
    pub(crate) fn len(&self, pack: PackId) -> Result<u64, Error> {
        self.pack(pack)?.len()
    }

    /// An item of a block, through the cache. Of a block that isn't there, the front is opened up to the item; who asks
    /// for more of it reads on, and gets the whole.
    /// # Errors
    /// `Corrupt`, `Missing`, `Io`.
    pub(crate) fn item(&self, addr: ItemAddr) -> Result<Bytes, Error> {
        let ItemAddr { record, item } = addr;
        self.cache.wait(record);
        let cached = match self.cache.find(record) {
            Some(Entry::Block(block)) => Some(block.item(item)),
            _ => None,
        };
        let found = match cached {
            Some(found @ (Item::Here(_) | Item::None)) => found,
            beyond => {
                let block = self.pack(record.pack)?.block(record.offset, item, beyond.is_some())?;
                let found = block.item(item);
                self.cache.keep(record, Entry::Block(Arc::new(block)));
                found
            }
        };
        match found {
            Item::Here(bytes) => Ok(bytes),
            Item::Beyond | Item::None => Err(Error::Corrupt {
                path: self.path(record.pack),
                offset: record.offset,
                what: "the block has no item of this number",
            }),
        }
    }

    /// Opens a block whole for readers to come, unless it is there or somebody is at it.
    /// # Errors
    /// `Corrupt`, `Missing`, `Io`.
    pub(crate) fn open_ahead(&self, record: Addr) -> Result<(), Error> {
        let Some(_opening) = self.cache.begin(record) else { return Ok(()) };
        if matches!(self.cache.find(record), Some(Entry::Block(block)) if block.is_whole()) {
            return Ok(());
        }
        let block = self.pack(record.pack)?.block(record.offset, 0, true)?;
        self.cache.keep(record, Entry::Block(Arc::new(block)));
        Ok(())
    }

    /// A pack as it stands up to `len`, whatever becomes of it here.
    /// # Errors
    /// `Missing`.
    pub(crate) fn freeze(&self, pack: PackId, len: u64) -> Result<Frozen, Error> {
        Ok(Frozen::new(self.pack(pack)?, self.identity(), len))
    }

    /// The records of a pack from `from` on, damaged bytes passed over.
    /// # Errors
    /// `Missing`, `Io`.
    pub(crate) fn salvage(&self, pack: PackId, from: u64) -> Result<Salvage, Error> {
        Salvage::new(self.pack(pack)?, from)
    }

    /// The complete batches of a pack from `from` on (its start, or a batch's end), every record opened.
    /// # Errors
    /// `Missing`, `Io`.
    pub(crate) fn batches(&self, pack: PackId, from: u64) -> Result<Batches, Error> {
        Batches::new(self.pack(pack)?, from)
    }

    /// The content of a record of this kind.
    /// # Errors
    /// `Corrupt`, `Missing`, `Io`.
    pub(crate) fn record(&self, addr: Addr, kind: RecordKind) -> Result<Bytes, Error> {
        let pack = self.pack(addr.pack)?;
        let record = pack.record(addr.offset)?;
        if record.header.kind != kind {
            return Err(pack.corrupt(addr.offset, "a record of another kind lies there"));
        }
        Ok(record.plain)
    }

    pub(super) fn pack(&self, id: PackId) -> Result<Arc<Pack>, Error> {
        let missing = || Error::Missing { what: self.path(id).display().to_string() };
        self.packs.read().get(&id).cloned().ok_or_else(missing)
    }
}

/// A pack's file with its header, nothing of it proven.
#[derive(Debug)]
struct Found {
    id: PackId,
    path: PathBuf,
    file: Arc<dyn DiskFile>,
    header: Unproven,
}

impl Found {
    fn new(id: PackId, path: PathBuf, file: Arc<dyn DiskFile>) -> Result<Found, Error> {
        let mut head = vec![0; MAX_HEADER_BYTES];
        let got = file.read_at(0, &mut head).map_err(Error::io(&path))?;
        let header = PackHeader::read(&head[..got], &path)?;
        let found = Found { id, path, file, header };
        if found.header.claims().pack != id {
            return Err(found.corrupt("the file has another pack's name"));
        }
        Ok(found)
    }

    fn corrupt(&self, what: &'static str) -> Error {
        Error::Corrupt { path: self.path.clone(), offset: 0, what }
    }

    fn open(self, of: &StoreIdentity) -> Result<Pack, Error> {
        if self.header.claims().store != of.id {
            return Err(self.corrupt("a pack of another store"));
        }
        let Found { id, path, file, header } = self;
        let Opened { header, key, len: start, tag } = header.open(&path, of.key())?;
        Ok(Pack { id, store: of.id, path, file, key, header, start, tag })
    }
}

/// The store that the packs belong to: that of the lowest pack of which any header opens, the newest such header, under the
/// master key or else under the one before it.
fn unlock(
    found: &[Found],
    master: &MasterKey,
    wrapped: Option<&[u8; WRAPPED_BYTES]>,
) -> Result<Option<StoreIdentity>, Error> {
    let keys = || std::iter::once(master).chain(master.older());
    let mut tried = Vec::new();
    let mut damaged = None;
    for store in found.iter().map(|pack| pack.header.claims().store) {
        if tried.contains(&store) {
            continue;
        }
        tried.push(store);
        let packs = || found.iter().rev().filter(|pack| pack.header.claims().store == store);
        for key in keys() {
            for pack in packs().filter(|pack| pack.header.names(key)) {
                match pack.header.unlock(&pack.path, key) {
                    Ok(identity) => return Ok(Some(identity)),
                    Err(error) => damaged = Some(error),
                }
            }
        }
        for (wrapped, key) in wrapped.iter().flat_map(|w| keys().map(move |key| (*w, key))) {
            let id = crypt::key_id(key);
            let id = id.map_err(|_| Error::Key { path: "(key)".into(), what: "has no id".into() })?;
            for pack in packs() {
                match pack.header.unlock_with(&pack.path, key, &id, wrapped) {
                    Ok(identity) => return Ok(Some(identity)),
                    Err(error) => damaged = Some(error),
                }
            }
        }
    }
    let foreign = found.iter().rev().find(|pack| !keys().any(|key| pack.header.names(key)));
    match (foreign, damaged) {
        (Some(pack), _) => Err(Error::WrongKey { path: pack.path.clone() }),
        (None, Some(error)) => Err(error),
        (None, None) => Ok(None),
    }
}
