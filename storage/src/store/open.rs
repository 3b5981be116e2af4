//! Making and opening a store: lock, packs, database, what the database has not seen, index.
//!
//! Invariant: what a batch's commit returned is there after every opening. Complete batches above the watermark are taken in
//! by the same function that live commits use; without a database that is all of them. An incomplete last batch is
//! ignored and a new pack begun, so that no byte is ever written over. Damage before complete batches is an error, never
//! the end of the archive.

use super::columns::ColumnCache;
use super::compact::{self, Beside};
use super::extraction::Extraction;
use super::facts::{Fact, decode_all};
use super::rebuild::card;
use super::state::State;
use super::tail::Tail;
use super::write::Writer;
use super::{Running, Store};
use crate::db::{self, BatchEnd, Db};
use crate::pack::crypt::WRAPPED_BYTES;
use crate::pack::disk::{Disk, DiskFile, Overlay};
use crate::pack::{Addr, Commit, CompleteBatch, End, PackId, Packs, RecordKind, StoreIdentity};
use crate::{Error, Limits, MasterKey, ModSeq, MsgNo, StoreId, StoreState};
use parking_lot::{Mutex, RwLock};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Facts that recovery takes in with one database commit.
const COMMIT_FACTS: usize = 20_000;

/// A store's settings in every pack's header: what it is when nothing but a pack is left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Settings {
    /// What people call it.
    pub(crate) name: String,
    pub(crate) state: StoreState,
    /// The installation that made it, in hexadecimal digits; none before format 2.
    #[serde(default)]
    pub(crate) installation: String,
}

impl Settings {
    /// The text in the header.
    pub(crate) fn encode(&self) -> String {
        toml::to_string(self).unwrap_or_default()
    }

    /// Reads the text; settings that are none give the store no name.
    pub(crate) fn decode(text: &str) -> Settings {
        toml::from_str(text).unwrap_or(Settings {
            name: String::new(),
            state: StoreState::Normal,
            installation: String::new(),
        })
    }
}

/// Makes a store in `dir`, whose parent is there: its directories, its first pack, its database.
/// # Errors
/// `Io` (also when there is a store already), `Key`.
pub(crate) fn create(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    key: &MasterKey,
    settings: &Settings,
    limits: &Limits,
) -> Result<StoreId, Error> {
    let packs_dir = dir.join("packs");
    for path in [dir, &packs_dir] {
        match disk.create_dir(path) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(Error::io(path)(e)),
            _ => {}
        }
        let parent = path.parent().unwrap_or(Path::new("."));
        disk.sync_dir(parent).map_err(Error::io(parent))?;
    }
    let names = disk.list(&packs_dir).map_err(Error::io(&packs_dir))?;
    if names.iter().any(|name| PackId::from_file_name(name).is_some()) {
        return Err(Error::io(&packs_dir)(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "there is a store already",
        )));
    }
    let identity = StoreIdentity::create(key, settings.encode())?;
    let id = identity.id;
    let packs = Packs::create(Arc::clone(disk), &packs_dir, identity, limits.block_cache_bytes);
    packs.new_pack()?.sync()?;
    open_database(disk, dir, limits.database_cache_bytes)?;
    describe(disk, dir, id, settings)?;
    Ok(id)
}

/// Whose store lies in `dir`, and what it says of itself.
/// # Errors
/// `WrongKey`, `Missing`, `Corrupt`, `Io`.
pub(crate) fn identify(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    key: &MasterKey,
) -> Result<(StoreId, Settings), Error> {
    let packs = Packs::open(Arc::clone(disk), &dir.join("packs"), key, 0)?;
    let identity = packs.identity();
    Ok((identity.id, Settings::decode(&identity.settings)))
}

/// The key of the store in `dir`, which `key` opens, wrapped by `own`.
/// # Errors
/// As [`identify`].
pub(crate) fn rewrap(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    key: &MasterKey,
    own: &MasterKey,
) -> Result<[u8; WRAPPED_BYTES], Error> {
    Packs::open(Arc::clone(disk), &dir.join("packs"), key, 0)?.wrapped_by(own)
}

/// Whether this process may write in `dir`.
pub(crate) fn is_writable(dir: &Path) -> bool {
    rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok()
}

/// Writes store.toml, for people.
pub(crate) fn describe(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    id: StoreId,
    settings: &Settings,
) -> Result<(), Error> {
    let text =
        format!("# For people; mailkeep reads the packs.\nformat = 1\nid = \"{id}\"\n{}", settings.encode());
    crate::stores::replace(disk, &dir.join("store.toml"), text.as_bytes())
}

/// The store's database; a new one gets its name only when it is whole, so that a crash never leaves half of one.
fn open_database(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    cache_bytes: usize,
) -> Result<(Db, Arc<dyn DiskFile>), Error> {
    let path = dir.join("store.redb");
    match disk.open(&path, true) {
        Ok(file) => Ok((Db::open(&path, &file, cache_bytes)?, file)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let draft = dir.join("store.redb.new");
            match disk.remove(&draft) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io(draft)(e)),
                _ => {}
            }
            let file = disk.create(&draft).map_err(Error::io(&draft))?;
            let db = Db::open(&path, &file, cache_bytes)?;
            disk.rename(&draft, &path).map_err(Error::io(&draft))?;
            disk.sync_dir(dir).map_err(Error::io(dir))?;
            Ok((db, file))
        }
        Err(e) => Err(Error::io(path)(e)),
    }
}

/// The database as it lies there, changed in memory only.
fn overlaid(disk: &Arc<dyn Disk>, path: &Path, cache_bytes: usize) -> Result<(Db, Arc<dyn DiskFile>), Error> {
    let file = disk.open(path, false).map_err(Error::io(path))?;
    let overlay: Arc<dyn DiskFile> = Arc::new(Overlay::new(file).map_err(Error::io(path))?);
    Ok((Db::open(path, &overlay, cache_bytes)?, overlay))
}

/// Makes a directory and the one above it.
pub(crate) fn make_dirs(disk: &Arc<dyn Disk>, dir: &Path) -> Result<(), Error> {
    for path in dir.parent().into_iter().chain([dir]) {
        match disk.create_dir(path) {
            Ok(()) => {
                let parent = path.parent().unwrap_or(Path::new("."));
                disk.sync_dir(parent).map_err(Error::io(parent))?;
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io(path)(e)),
        }
    }
    Ok(())
}

/// Keeps a second program out of the store in `dir` of the real file system.
/// # Errors
/// `Io`, also when another has it.
pub(crate) fn lock(dir: &Path) -> Result<File, Error> {
    let lock = File::open(dir).map_err(Error::io(dir))?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|e| {
        let busy = e == rustix::io::Errno::WOULDBLOCK;
        let text = "another mailkeep has this store open";
        Error::io(dir)(if busy { io::Error::new(io::ErrorKind::WouldBlock, text) } else { e.into() })
    })?;
    Ok(lock)
}

/// What a store is opened with.
pub(crate) struct Opening<'a> {
    pub(crate) disk: &'a Arc<dyn Disk>,
    /// The store's directory.
    pub(crate) dir: &'a Path,
    /// The index's directory, always in the real file system.
    pub(crate) index: &'a Path,
    pub(crate) key: &'a MasterKey,
    /// The store's key wrapped by the master key outside its packs, if there is one.
    pub(crate) wrapped: Option<[u8; WRAPPED_BYTES]>,
    pub(crate) limits: &'a Limits,
    pub(crate) lock: Option<File>,
    /// Nothing may be written in `dir`: a database and an index that must be made anew go into these directories.
    pub(crate) protected: Option<(&'a Path, &'a Path)>,
    /// Reads attachments.
    pub(crate) extractor: Option<Arc<dyn crate::TextExtractor>>,
}

/// Opens a store; takes in complete batches above the database's watermark. Without a database all is taken in: it is
/// made again from the packs.
/// # Errors
/// `WrongKey`, `Version`, `Corrupt`, `Derived`, `Io`.
pub(crate) fn open(with: Opening<'_>) -> Result<Running, Error> {
    let Opening { disk, dir, index, key, wrapped, limits, lock, protected, extractor } = with;
    let packs = dir.join("packs");
    let mut packs =
        Packs::open_with(Arc::clone(disk), &packs, key, wrapped.as_ref(), limits.block_cache_bytes)?
            .adopt()?;
    let settled = compact::settle(&mut packs)?;
    if protected.is_none() {
        compact::finish(disk, &Beside::new(dir, index), &packs, &settled, limits.database_cache_bytes)?;
    }
    let created = created(&packs)?;
    let recover = |db: &Db| {
        let mut state = db.load(created)?;
        let writer = Recovery { packs: &packs, db, limits, sync: protected.is_none() }.run(&mut state)?;
        Ok((state, writer))
    };
    let cache = limits.database_cache_bytes;
    let (db, database, (state, writer)) = match protected {
        None => {
            let (db, database) = open_database(disk, dir, cache)?;
            let recovered = recover(&db)?;
            (db, database, recovered)
        }
        Some((derived, _)) => {
            let as_it_is = || {
                let (db, database) = overlaid(disk, &dir.join("store.redb"), cache)?;
                let recovered = recover(&db)?;
                Ok((db, database, recovered))
            };
            as_it_is().or_else(|error: Error| {
                tracing::info!(%error, "a write-protected store gets a database beside it");
                make_dirs(disk, derived)?;
                let (db, database) = open_database(disk, derived, cache)?;
                let recovered = recover(&db)?;
                Ok((db, database, recovered))
            })?
        }
    };
    let next = MsgNo(state.counters.next_msg);
    let version = extractor.as_ref().map(|extractor| extractor.version());
    let tail = match protected {
        None => Tail::open(index, limits, next, version)?,
        Some((_, spare)) => Tail::open_protected(index, spare, limits, next, version)?,
    };
    let store = Running(Arc::new(Store {
        dir: dir.to_owned(),
        packs,
        db,
        database,
        state: RwLock::new(state),
        writer: Mutex::new(writer),
        columns: Mutex::new(ColumnCache::new(limits.column_cache_bytes)),
        previews: super::preview::PreviewCache::new(),
        tail,
        extraction: extractor.map(Extraction::new),
        renewal: super::renewal::Renewal::default(),
        limits: limits.clone(),
        lock: Mutex::new(lock),
        protected: protected.is_some(),
    }));
    Tail::start(&store)?;
    super::renewal::Renewal::start(&store)?;
    Ok(store)
}

/// When the store was made, seconds since 1970: UIDVALIDITY counts from there.
/// # Errors
/// `Missing`.
pub(crate) fn created(packs: &Packs) -> Result<u64, Error> {
    match packs.list().into_iter().find(|pack| !packs.is_adopted(*pack)) {
        Some(first) => Ok(u64::try_from(packs.header(first)?.created).unwrap_or(1)),
        None => Ok(1),
    }
}

/// Brings a database up to the last complete batch of the packs.
/// # Errors
/// `Corrupt`, `Derived`, `Io`.
pub(crate) fn catch_up(packs: &Packs, db: &Db, limits: &Limits, state: &mut State) -> Result<(), Error> {
    // Its writer has synced what it committed.
    Recovery { sync: false, packs, db, limits }.run(state).map(drop)
}

struct Recovery<'a> {
    /// What is taken in must be made durable first; nothing can be in a read-only place.
    sync: bool,
    packs: &'a Packs,
    db: &'a Db,
    limits: &'a Limits,
}

impl Recovery<'_> {
    /// Takes in what the database has not seen; gives the writer where to go on.
    fn run(&self, state: &mut State) -> Result<Writer, Error> {
        let ids = self.packs.list();
        let watermark = state.counters.watermark;
        if let Some(mark) = watermark {
            let beyond = |what: String| Err(self.db.derived(format!("it knows of batches {what}")));
            if !ids.contains(&mark.pack) {
                return beyond(format!("in pack {}, which is not there", mark.pack.0));
            }
            if self.packs.len(mark.pack)? < mark.offset {
                return beyond(format!("beyond the end of pack {}", mark.pack.0));
            }
        }
        for unopened in self.packs.unopened() {
            // A header that a crash tore is followed by nothing that counts; a gap is found by the batches' numbers.
            tracing::warn!(pack = unopened.pack.0, error = %unopened.error, "a pack is left out");
        }
        let mut resume = None;
        for &pack in ids.iter().filter(|id| watermark.is_none_or(|mark| **id >= mark.pack)) {
            let start = self.packs.start(pack)?;
            let from = watermark.filter(|mark| mark.pack == pack).map_or(start, |mark| mark.offset);
            if from == start && self.is_stray(pack, start, state.counters.batch + 1)? {
                // A compaction's first packs, which a crash left without the rest.
                tracing::warn!(
                    pack = pack.0,
                    "a pack without a header says what others said before; it is removed"
                );
                if self.sync {
                    self.packs.remove_files(&[pack])?;
                }
                resume = None;
                continue;
            }
            resume = match self.take_in(pack, from, state)? {
                End::Clean => {
                    let mark =
                        state.counters.watermark.filter(|mark| mark.pack == pack && mark.offset > start);
                    Some((pack, mark.map(|_| state.counters.commit_tag)))
                }
                End::Torn { at } => {
                    tracing::warn!(pack = pack.0, at, "an incomplete batch is left out");
                    self.nothing_follows(pack, at, state.counters.batch + 1)?;
                    None
                }
            };
        }
        // Behind a header that can't be read nothing is written.
        let resume = resume.filter(|(pack, _)| !self.packs.is_adopted(*pack));
        Ok(Writer { resume, ..Writer::default() })
    }

    /// Whether a pack whose header can't be read belongs to a set of new packs that a crash left incomplete: its batches
    /// were there before.
    fn is_stray(&self, pack: PackId, start: u64, due: u64) -> Result<bool, Error> {
        if !self.packs.is_adopted(pack) {
            return Ok(false);
        }
        match self.packs.batches(pack, start)?.next() {
            Some(batch) => Ok(batch?.commit.batch < due),
            None => Ok(true),
        }
    }

    /// Takes in the complete batches of a pack.
    fn take_in(&self, pack: PackId, from: u64, state: &mut State) -> Result<End, Error> {
        let mut batches = self.packs.batches(pack, from)?;
        let (mut txn, mut waiting, mut synced) = (None, 0, false);
        for batch in &mut batches {
            let batch = batch?;
            if !synced && self.sync {
                // After a crash of the program alone the batch may be in the system's memory only; the database must
                // not lead it.
                self.packs.sync(pack)?;
                synced = true;
            }
            let open = match txn.take() {
                Some(open) => open,
                None => self.db.write()?,
            };
            waiting += self.apply(&open, pack, &batch, state)?;
            if waiting >= COMMIT_FACTS {
                self.db.commit(open)?;
                waiting = 0;
            } else {
                txn = Some(open);
            }
        }
        if let Some(open) = txn {
            self.db.commit(open)?;
        }
        Ok(batches.end().unwrap_or(End::Clean))
    }

    fn apply(
        &self,
        txn: &redb::WriteTransaction,
        pack: PackId,
        batch: &CompleteBatch,
        state: &mut State,
    ) -> Result<usize, Error> {
        let mut facts: Vec<Fact> = Vec::new();
        for (addr, record) in &batch.facts {
            let decoded = decode_all(record).ok_or_else(|| Error::Corrupt {
                path: self.packs.path(addr.pack),
                offset: addr.offset,
                what: "the facts are not understood",
            })?;
            facts.extend(decoded);
        }
        let end = BatchEnd {
            batch: batch.commit.batch,
            mod_seq: ModSeq(batch.commit.mod_seq),
            time: Some(batch.commit.time),
            end: Addr { pack, offset: batch.next },
            tag: batch.tag,
            facts: batch.facts.first().map(|(addr, _)| *addr),
            log: batch.commit.log,
            lost: false,
        };
        let changes =
            db::apply(self.db, txn, state, &end, &facts, &mut |m| card(self.packs, self.limits, m))?;
        changes.publish(state);
        Ok(facts.len())
    }

    /// Makes sure that what ends a pack is a torn tail: behind damage, the commit records of later batches would stand.
    /// The torn batch's own may have reached the disk before the rest of it.
    fn nothing_follows(&self, pack: PackId, at: u64, torn: u64) -> Result<(), Error> {
        for record in self.packs.salvage(pack, at)? {
            let record = record?;
            if record.kind != RecordKind::Commit {
                continue;
            }
            if Commit::decode(&record.plain).is_some_and(|commit| commit.batch > torn) {
                let what = "complete batches follow it: restore the pack, or run `mailkeep store rebuild`";
                return Err(Error::Corrupt { path: self.packs.path(pack), offset: at, what });
            }
        }
        Ok(())
    }
}
