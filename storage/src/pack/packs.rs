//! A store's packs, open for reading: records, items and chunks by address, through a bounded cache.
//!
//! Invariant: every byte that is given was authenticated for its address. Packs that can't be opened (a header that a
//! crash tore, or damage) are named in [`Packs::unopened`], and their numbers are never used again.

use super::block::{self, Block, Item};
use super::cache::{Cache, Entry};
use super::crypt::{SealKey, TAG_BYTES};
use super::disk::{Disk, DiskFile};
use super::header::{MAX_HEADER_BYTES, Opened, PackHeader, StoreIdentity};
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
        let identity = RwLock::new(Arc::new(identity));
        Packs { disk, dir: dir.into(), identity, packs, unopened: Vec::new(), cache }
    }

    /// Opens all packs in `dir`.
    /// # Errors
    /// `WrongKey` and `Version` at once; another header's damage only if no pack opens at all; `Missing` if there is
    /// none; `Io`.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        master: &MasterKey,
        cache_bytes: usize,
    ) -> Result<Packs, Error> {
        let mut packs: BTreeMap<PackId, Arc<Pack>> = BTreeMap::new();
        let mut unopened = Vec::new();
        let mut newest = None;
        for name in disk.list(dir).map_err(Error::io(dir))? {
            let Some(id) = PackId::from_file_name(&name) else { continue };
            let path = dir.join(&name);
            let file = disk.open(&path, false).map_err(Error::io(&path))?;
            match open_pack(id, &path, file, master) {
                Ok((pack, identity)) => {
                    if packs.values().next().is_some_and(|first| first.store != pack.store) {
                        unopened
                            .push(Unopened { pack: id, error: pack.corrupt(0, "a pack of another store") });
                    } else {
                        newest = Some(identity);
                        packs.insert(id, Arc::new(pack));
                    }
                }
                Err(error @ (Error::Io { .. } | Error::Version { .. } | Error::WrongKey { .. })) => {
                    return Err(error);
                }
                Err(error) => unopened.push(Unopened { pack: id, error }),
            }
        }
        let Some(identity) = newest else {
            let none = || Error::Missing { what: format!("a pack in {}", dir.display()) };
            return Err(unopened.into_iter().next().map_or_else(none, |u| u.error));
        };
        let (packs, cache) = (RwLock::new(packs), Cache::new(cache_bytes));
        let identity = RwLock::new(Arc::new(identity));
        Ok(Packs { disk, dir: dir.into(), identity, packs, unopened, cache })
    }

    /// Takes in packs whose header is damaged, from their first record on: the other headers give the key. Those without
    /// a record stay out. All of them stay named in [`Packs::unopened`].
    /// # Errors
    /// `Io`.
    pub(crate) fn adopt(self) -> Result<Packs, Error> {
        for unopened in &self.unopened {
            let (id, path) = (unopened.pack, self.path(unopened.pack));
            let file = self.disk.open(&path, false).map_err(Error::io(&path))?;
            let from = |start: u64| -> Result<Arc<Pack>, Error> {
                let identity = &self.identity;
                let key = identity.pack_key(id).map_err(Error::io(&path))?;
                let header = PackHeader::new(identity, id, 0, Vec::new());
                let (path, file) = (path.clone(), Arc::clone(&file));
                // A tag of zeros: none is known.
                Ok(Arc::new(Pack {
                    id,
                    store: identity.id,
                    path,
                    file,
                    key,
                    header,
                    start,
                    tag: [0; TAG_BYTES],
                }))
            };
            if let Some(first) = Salvage::new(from(0)?, 0)?.next().transpose()? {
                self.packs.write().insert(id, from(first.addr.offset)?);
            }
        }
        Ok(self)
    }

    /// Whether a pack's header is damaged and its records were taken in all the same.
    pub(crate) fn is_adopted(&self, pack: PackId) -> bool {
        self.unopened.iter().any(|unopened| unopened.pack == pack) && self.packs.read().contains_key(&pack)
    }

    /// Begins a new pack, under the lowest number above all that are there; durable with its first sync.
    /// # Errors
    /// `Io`.
    pub(crate) fn new_pack(&self) -> Result<PackWriter, Error> {
        let names = self.disk.list(&self.dir).map_err(Error::io(&self.dir))?;
        let on_disk = names.iter().filter_map(|name| PackId::from_file_name(name)).max();
        let highest = on_disk.max(self.packs.read().keys().next_back().copied()).map_or(0, |id| id.0);
        let id = highest.checked_add(1).map(PackId).ok_or(Error::Limit {
            what: "packs of a store",
            found: u64::from(highest) + 1,
            limit: u64::from(u32::MAX),
        })?;
        let path = self.dir.join(id.file_name());
        let pack = self.begin(id, &path).map_err(Error::io(&path))?;
        let pack = Arc::new(pack);
        self.packs.write().insert(id, Arc::clone(&pack));
        PackWriter::new(self, pack, None)
    }

    fn begin(&self, id: PackId, path: &Path) -> std::io::Result<Pack> {
        let created = time::OffsetDateTime::now_utc().unix_timestamp();
        let identity = self.identity();
        let header = PackHeader::new(&identity, id, created, Vec::new());
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

    /// The store as the newest pack knows it.
    pub(crate) fn identity(&self) -> Arc<StoreIdentity> {
        Arc::clone(&self.identity.read())
    }

    /// What new packs will say of the store.
    pub(crate) fn set_settings(&self, settings: String) {
        let mut identity = self.identity.write();
        let mut changed = (**identity).clone();
        changed.settings = settings;
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

fn open_pack(
    id: PackId,
    path: &Path,
    file: Arc<dyn DiskFile>,
    master: &MasterKey,
) -> Result<(Pack, StoreIdentity), Error> {
    let mut head = vec![0; MAX_HEADER_BYTES];
    let got = file.read_at(0, &mut head).map_err(Error::io(path))?;
    let Opened { header, identity, key, len: start, tag } = PackHeader::open(&head[..got], path, master)?;
    if header.pack != id {
        return Err(Error::Corrupt {
            path: path.into(),
            offset: 0,
            what: "the file has another pack's name",
        });
    }
    Ok((Pack { id, store: header.store, path: path.into(), file, key, header, start, tag }, identity))
}
