//! Compaction: a store's packs written anew without what no placement needs any more, its database and index likewise.
//!
//! Order, which is the promise: new packs, database and index are written beside the old ones and checked against them,
//! message by message and folder by folder; then a last small pack says that the set is complete, and from its sync on the
//! new packs count; then index and database change places; then the old packs are removed. A crash before that sync leaves
//! the old store, a crash after it the new one: opening finishes what is left (`settle`, `finish`).
//! Invariant: folders, UIDs, UIDVALIDITY, flags, dates, message numbers, leaf numbers and leaf hashes stay. What is erased
//! leaves Erased and Tombstone facts: numbers that are never given again.

use super::extraction::Kept;
use super::extracts::{self, Extracts};
use super::facts::{
    DeletionFact, Ends, Fact, FloorsFact, FolderFact, MessageFact, MoveFact, PlacementFact, Side,
    TombstoneFact, decode_all, encode_all,
};
use super::state::State;
use super::{Cancel, Store, cat, message, rows};
use crate::db::{self, BatchEnd, Db};
use crate::incoming::Content;
use crate::pack::disk::{Disk, DiskFile};
use crate::pack::{
    Addr, ChunkAddr, ChunkSink, Class, Commit, CompleteBatch, Handle, LogHead, PackId, PackWriter, Packs,
    RecordKind,
};
use crate::prepared::Parsed;
use crate::search::index::Indexer;
use crate::text::SearchText;
use crate::{Error, FolderId, FolderPath, ModSeq, MsgNo, SourceId, Uid};
use roaring::RoaringBitmap;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most packs that a header can name as replaced.
const MAX_REPLACED: usize = 15_000;
/// Facts that go into one transaction of the new database.
const COMMIT_FACTS: usize = 20_000;
/// Texts that are handed to the new index together.
const TEXTS: usize = 256;
/// Most of a chunk that one read gives.
const READ_BYTES: u64 = 256 << 10;

/// What a store still needs.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// The placements that are there, by their leaf: where they are now.
    live: HashMap<u64, (FolderId, Uid)>,
    /// Messages with a placement.
    messages: RoaringBitmap,
    /// Where they came from.
    sources: HashSet<SourceId>,
    /// Chunks of parts that are kept once, and that a message with a placement is made of.
    parts: HashSet<ChunkAddr>,
    /// Messages without a placement whose content is still there.
    pub(crate) erasable: u64,
    /// Their canonical bytes.
    pub(crate) erasable_bytes: u64,
}

impl Plan {
    /// Looks through the database. The caller keeps writers away.
    /// # Errors
    /// `Cancelled`; those of the database.
    pub(crate) fn of(store: &Store, cancel: &Cancel) -> Result<Plan, Error> {
        let mut plan = Plan::default();
        let folders: Vec<FolderId> = store.state.read().folders.keys().copied().collect();
        for folder in folders {
            store.db.pages(folder, Uid(0), |rows| {
                for placed in rows {
                    plan.live.insert(placed.leaf, (folder, placed.row.uid));
                    plan.messages.insert(placed.row.msg.0);
                }
                !cancel.is_set()
            })?;
            cancel.check()?;
        }
        plan.sources = store.db.used_sources()?;
        let parts = store.db.part_chunks()?;
        for no in 0..store.next_msg().0 {
            let live = plan.messages.contains(no);
            if (live && parts.is_empty()) || (!live && store.db.is_erased(MsgNo(no))?) {
                continue;
            }
            let entry = store.db.message(MsgNo(no))?;
            if live {
                let chunks = entry.pieces.iter().map(super::facts::Piece::chunk);
                plan.parts.extend(chunks.filter(|chunk| parts.contains(chunk)));
            } else {
                plan.erasable += 1;
                plan.erasable_bytes = plan.erasable_bytes.saturating_add(entry.size);
            }
            cancel.check()?;
        }
        Ok(plan)
    }
}

/// Where the new files lie until they change places with the old ones.
#[derive(Debug, Clone)]
pub(crate) struct Beside {
    dir: PathBuf,
    /// The index in use, always in the real file system.
    index: PathBuf,
}

impl Beside {
    /// Beside the store in `dir`, whose index lies in `index`.
    pub(crate) fn new(dir: &Path, index: &Path) -> Beside {
        Beside { dir: dir.to_owned(), index: index.to_owned() }
    }

    fn database(&self) -> PathBuf {
        self.dir.join("store.redb.compact")
    }

    fn new_index(&self) -> PathBuf {
        let mut name = self.index.file_name().unwrap_or_default().to_owned();
        name.push(".compact");
        self.index.with_file_name(name)
    }

    /// Removes what an earlier try left.
    fn clear(&self, disk: &dyn Disk) -> Result<(), Error> {
        let path = self.database();
        absent_is_fine(disk.remove(&path)).map_err(Error::io(path))?;
        let path = self.new_index();
        extracts::remove(&extracts::beside(&path))?;
        absent_is_fine(std::fs::remove_dir_all(&path)).map_err(Error::io(path))
    }
}

fn absent_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Packs that don't count: as found on opening.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    /// A complete set stands for them.
    replaced: Vec<PackId>,
    /// Of a set that was not completed.
    incomplete: Vec<PackId>,
}

/// Decides which packs count, and leaves the others out.
/// # Errors
/// `Io`.
pub(crate) fn settle(packs: &mut Packs) -> Result<Settled, Error> {
    let mut sets: BTreeMap<Vec<PackId>, Vec<PackId>> = BTreeMap::new();
    for id in packs.list() {
        let replaces = packs.header(id)?.replaces;
        if !replaces.is_empty() {
            sets.entry(replaces).or_default().push(id);
        }
    }
    let mut sets: Vec<_> = sets.into_iter().collect();
    sets.sort_by_key(|(_, ids)| ids.last().copied());
    let mut settled = Settled::default();
    for (replaces, ids) in sets {
        let mut known = packs.list();
        known.extend(packs.unopened().iter().map(|unopened| unopened.pack));
        let old: Vec<PackId> = replaces.into_iter().filter(|id| known.contains(id)).collect();
        // Once all of them are removed, nothing is left to decide.
        let (Some(last), false) = (ids.last(), old.is_empty()) else { continue };
        if says_complete(packs, *last)? {
            packs.leave_out(&old);
            settled.replaced.extend(old);
        } else {
            packs.leave_out(&ids);
            settled.incomplete.extend(ids);
        }
    }
    Ok(settled)
}

fn says_complete(packs: &Packs, pack: PackId) -> Result<bool, Error> {
    for batch in packs.batches(pack, packs.start(pack)?)? {
        let batch = match batch {
            Ok(batch) => batch,
            Err(Error::Corrupt { .. }) => return Ok(false),
            Err(other) => return Err(other),
        };
        let mut facts = batch.facts.iter().filter_map(|(_, record)| decode_all(record)).flatten();
        if facts.any(|fact| matches!(fact, Fact::Compacted { .. })) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Finishes a compaction that a crash interrupted, or removes its rests.
/// # Errors
/// `Io`.
pub(crate) fn finish(
    disk: &Arc<dyn Disk>,
    beside: &Beside,
    packs: &Packs,
    settled: &Settled,
    cache_bytes: usize,
) -> Result<(), Error> {
    if let Err(error) = packs.remove_files(&settled.incomplete) {
        // They don't count; the next compaction wants them gone.
        tracing::warn!(%error, "rests of an interrupted compaction stay");
    }
    let (fresh, database) = (beside.database(), beside.dir.join("store.redb"));
    if settled.replaced.is_empty() {
        return beside.clear(&**disk);
    }
    let is_there = disk.open(&fresh, false).is_ok();
    if is_there || knows_of(disk, &database, &settled.replaced, cache_bytes) {
        let (old, new) = (&beside.index, beside.new_index());
        // Texts first: an index beside which others lie is made anew, and the old ones may hold what was erased.
        let (texts, fresh_texts) = (extracts::beside(old), extracts::beside(&new));
        if fresh_texts.exists() {
            std::fs::rename(&fresh_texts, &texts).map_err(Error::io(&fresh_texts))?;
        } else {
            extracts::remove(&texts)?;
        }
        absent_is_fine(std::fs::remove_dir_all(old)).map_err(Error::io(old))?;
        absent_is_fine(std::fs::rename(&new, old)).map_err(Error::io(new))?;
        if is_there {
            disk.rename(&fresh, &database).map_err(Error::io(&fresh))?;
        } else {
            absent_is_fine(disk.remove(&database)).map_err(Error::io(&database))?;
        }
        disk.sync_dir(&beside.dir).map_err(Error::io(&beside.dir))?;
    }
    packs.remove_files(&settled.replaced)
}

/// Whether a database was made from these packs, or can't be asked.
fn knows_of(disk: &Arc<dyn Disk>, path: &Path, packs: &[PackId], cache_bytes: usize) -> bool {
    let mark = || -> Result<Option<Addr>, Error> {
        let file = disk.open(path, true).map_err(Error::io(path))?;
        let state = Db::open(path, &file, cache_bytes)?.load(0)?;
        Ok(state.counters.watermark)
    };
    mark().map_or(true, |mark| mark.is_none_or(|mark| packs.contains(&mark.pack)))
}

/// A compaction at work.
pub(crate) struct Compaction<'a> {
    pub(crate) store: &'a Arc<Store>,
    pub(crate) disk: &'a Arc<dyn Disk>,
    pub(crate) beside: Beside,
    /// Whether no store shows a folder any more.
    pub(crate) gone: &'a dyn Fn(FolderId) -> bool,
    pub(crate) cancel: &'a Cancel,
    pub(crate) progress: &'a mut dyn FnMut(u64, u64),
    pub(crate) plan: Plan,
}

/// New packs, database and index, whole and checked; they don't count yet.
#[derive(Debug)]
pub(crate) struct Prepared {
    packs: Packs,
    replaces: Vec<PackId>,
    created: i64,
    batch: u64,
    mod_seq: u64,
    log: LogHead,
    beside: Beside,
    disk: Arc<dyn Disk>,
}

impl Compaction<'_> {
    /// Writes everything beside what is there, and checks it. The caller keeps writers away until the end.
    /// # Errors
    /// `Corrupt`, `WrongContent`, `Derived`: the store is damaged, which must be mended first. `Cancelled`, `Io`, `Limit`,
    /// `Index`. After an error all is as it was.
    pub(crate) fn prepare(mut self) -> Result<Prepared, Error> {
        let store = self.store;
        let mut replaces = store.packs.list();
        let first = *replaces.first().ok_or_else(|| Error::Missing { what: "a pack".into() })?;
        // What couldn't be opened holds nothing that counts, if no batch is missing without it.
        replaces.extend(store.packs.unopened().iter().map(|unopened| unopened.pack));
        replaces.sort_unstable();
        if replaces.len() > MAX_REPLACED {
            let (found, limit) = (replaces.len() as u64, MAX_REPLACED as u64);
            return Err(Error::Limit { what: "packs that are compacted together", found, limit });
        }
        let created = store.packs.header(first)?.created;
        self.beside.clear(&**self.disk)?;
        let identity = (*store.packs.identity()).clone();
        let dir = store.dir.join("packs");
        let packs = Packs::create(Arc::clone(self.disk), &dir, identity, store.limits.block_cache_bytes);
        let counters = store.state.read().counters;
        let prepared = Prepared {
            packs,
            replaces,
            created,
            batch: counters.batch,
            mod_seq: counters.mod_seq,
            log: store.state.read().tree.head(),
            beside: self.beside.clone(),
            disk: Arc::clone(self.disk),
        };
        let written = self.write(&prepared).and_then(|()| {
            let (db, state) = self.database(&prepared)?;
            self.compare(&prepared.packs, &db, &state)?;
            self.read_all(&prepared.packs, &db)?;
            drop(db);
            self.disk.sync_dir(&store.dir).map_err(Error::io(&store.dir))
        });
        match written {
            Ok(()) => Ok(prepared),
            Err(error) => {
                prepared.give_up();
                Err(error)
            }
        }
    }

    /// All batches, each with its number, mod-sequence and time.
    fn write(&mut self, to: &Prepared) -> Result<(), Error> {
        let old = &self.store.packs;
        let mut rewrite = Rewrite { dead: HashSet::new(), moved: HashMap::new() };
        let mut writer: Option<PackWriter> = None;
        let mut due = 1;
        for pack in old.list() {
            for batch in old.batches(pack, old.start(pack)?)? {
                self.cancel.check()?;
                let batch = batch?;
                if batch.commit.batch != due {
                    break;
                }
                due += 1;
                let full = |pack: &PackWriter| pack.len() >= self.store.limits.max_pack_bytes;
                if writer.as_ref().is_none_or(full) {
                    writer = Some(to.packs.new_set_pack(&to.replaces, to.created)?);
                }
                if let Some(writer) = &mut writer {
                    self.batch(&mut rewrite, &batch, writer)?;
                }
                (self.progress)(batch.commit.batch, 2 * to.batch);
            }
        }
        if due != to.batch + 1 {
            // On opening only what is new is read: damage further in front is found here.
            let what = "a batch can't be read: run `mailkeep check`, and restore the pack before compacting";
            return Err(Error::Corrupt { path: self.store.dir.join("packs"), offset: 0, what });
        }
        Ok(())
    }

    fn batch(
        &self,
        rewrite: &mut Rewrite,
        batch: &CompleteBatch,
        writer: &mut PackWriter,
    ) -> Result<(), Error> {
        let mut facts = Vec::new();
        for (addr, record) in &batch.facts {
            let decoded = decode_all(record).ok_or_else(|| Error::Corrupt {
                path: self.store.packs.path(addr.pack),
                offset: addr.offset,
                what: "the facts are not understood",
            })?;
            for fact in decoded {
                self.fact(rewrite, fact, &mut facts)?;
            }
        }
        let mut sink = ChunkSink::new();
        let mut wanted: HashMap<ChunkAddr, Handle> = HashMap::new();
        for fact in &mut facts {
            each_chunk(fact, &mut |chunk, len, class| {
                if !rewrite.moved.contains_key(chunk) && !wanted.contains_key(chunk) {
                    let content = self.content(*chunk, len)?;
                    wanted.insert(*chunk, sink.add_range(class, &content, 0..len)?);
                }
                Ok(())
            })?;
        }
        let addrs = sink.finish(writer)?;
        for (old, handle) in &wanted {
            if let (true, Some(new)) = (self.plan.parts.contains(old), addrs.get(handle.0)) {
                rewrite.moved.insert(*old, *new);
            }
        }
        for fact in &mut facts {
            each_chunk(fact, &mut |chunk, _, _| {
                let new = wanted.get(chunk).and_then(|handle| addrs.get(handle.0));
                let new = new.or_else(|| rewrite.moved.get(chunk)).copied();
                *chunk = new.ok_or_else(|| Error::Missing { what: "a chunk's new place".into() })?;
                Ok(())
            })?;
        }
        for record in encode_all(&facts) {
            writer.append(RecordKind::Facts, record)?;
        }
        // The leaves' hashes are what they were, so the log is, too.
        let Commit { batch, mod_seq, time, log, .. } = batch.commit;
        writer.commit(batch, mod_seq, time, log).map(|_| ())
    }

    /// A chunk's bytes; a large one's in an unlinked file.
    fn content(&self, chunk: ChunkAddr, len: u64) -> Result<Content, Error> {
        let spool = |e| Error::io("(spool file)")(e);
        let spooled = len > self.store.limits.spool_above_bytes as u64;
        let mut file = if spooled { Some(tempfile::tempfile().map_err(spool)?) } else { None };
        let (mut memory, mut at) = (Vec::new(), 0);
        while at < len {
            let piece = self.store.packs.chunk(chunk, at..len.min(at + READ_BYTES))?;
            if piece.is_empty() {
                let what = "a chunk is shorter than its reference says";
                return Err(Error::Corrupt { path: self.store.dir.join("packs"), offset: at, what });
            }
            at += piece.len() as u64;
            match &mut file {
                Some(file) => file.write_all(&piece).map_err(spool)?,
                None => memory.extend_from_slice(&piece),
            }
        }
        Ok(match file {
            Some(file) => Content::File(Arc::new(file), len),
            None => Content::Memory(memory.into()),
        })
    }

    /// What a fact becomes; chunks still have their old addresses.
    fn fact(&self, rewrite: &mut Rewrite, fact: Fact, out: &mut Vec<Fact>) -> Result<(), Error> {
        match fact {
            Fact::Message(m) if !self.plan.messages.contains(m.no.0) => out.push(Fact::Erased { no: m.no }),
            Fact::Folder(f) => {
                let path = self.path(f.id, f.path)?;
                out.push(Fact::Folder(FolderFact { path, ..f }));
            }
            Fact::Rename { folder, path, mod_seq } => {
                let path = self.path(folder, path)?;
                out.push(Fact::Rename { folder, path, mod_seq });
            }
            Fact::Source { id, .. } if !self.plan.sources.contains(&id) => {}
            Fact::Placement(p) => match self.plan.live.get(&p.evidence.leaf) {
                Some((folder, uid)) => {
                    // Where it is found now; what it was called before says nothing any more.
                    let occurrence = self.store.db.occurrence(p.msg, *folder, *uid)?;
                    out.push(Fact::Placement(PlacementFact { occurrence, ..p }));
                }
                None => {
                    rewrite.dead.insert((p.folder, p.uid));
                    let PlacementFact { folder, uid, archive_uid, mod_seq, mut evidence, .. } = p;
                    evidence.salt = None;
                    let kind = PlacementFact::LEAF;
                    out.push(Fact::Tombstone(TombstoneFact {
                        kind,
                        folder,
                        uid,
                        archive_uid,
                        mod_seq,
                        evidence,
                    }));
                }
            },
            Fact::Move(m) if rewrite.dead.remove(&(m.from, m.from_uid)) => {
                rewrite.dead.insert((m.to, m.to_uid));
                let MoveFact { from, from_uid, to, to_uid, archive_uid, mod_seq, mut evidence } = m;
                evidence.salt = None;
                let (kind, none) = (MoveFact::LEAF, Uid(1));
                out.push(Fact::Tombstone(TombstoneFact {
                    kind,
                    folder: to,
                    uid: to_uid,
                    archive_uid,
                    mod_seq,
                    evidence,
                }));
                // The folder that it left changed, too; which UID it left there is a floor that lies below the folder's.
                out.push(Fact::Floors(FloorsFact {
                    folder: from,
                    uid: from_uid,
                    mod_seq,
                    archive_uid: none,
                }));
            }
            Fact::Deletion(d) => {
                rewrite.dead.remove(&(d.folder, d.uid));
                // Its salt stays: that something was deleted can still be proven, and nothing of what it was.
                let DeletionFact { folder, uid, mod_seq, evidence } = d;
                let (kind, archive_uid) = (DeletionFact::LEAF, Uid(1));
                out.push(Fact::Tombstone(TombstoneFact {
                    kind,
                    folder,
                    uid,
                    archive_uid,
                    mod_seq,
                    evidence,
                }));
            }
            Fact::Part(p) if !self.plan.parts.contains(&p.chunk) => {}
            // Only what is said now goes along.
            Fact::Comment { folder, mod_seq, .. } if !self.is_said(folder, mod_seq) => {}
            // Placements say where they are found now; of an earlier compaction nothing is left to be said.
            Fact::Occurrence { .. } | Fact::Compacted { .. } => {}
            other => out.push(other),
        }
        Ok(())
    }

    /// Whether a folder's comment is this one, and the folder was not removed.
    fn is_said(&self, folder: FolderId, since: ModSeq) -> bool {
        let state = self.store.state.read();
        let said = state.folders.get(&folder).and_then(|folder| folder.comment.as_ref());
        said.is_some_and(|said| said.since == since) && !(self.gone)(folder)
    }

    /// A removed folder's name goes with it; its number and the archive's name stay.
    fn path(&self, folder: FolderId, path: FolderPath) -> Result<FolderPath, Error> {
        let empty = self.store.state.read().folders.get(&folder).is_none_or(|folder| folder.uids.is_empty());
        if !empty || !(self.gone)(folder) {
            return Ok(path);
        }
        removed_path(&path, folder)
    }

    /// The new packs' database, made by the function that commits use; cards and sort keys are taken over.
    fn database(&mut self, from: &Prepared) -> Result<(Db, State), Error> {
        let path = self.beside.database();
        let file: Arc<dyn DiskFile> = self.disk.create(&path).map_err(Error::io(&path))?;
        let db = Db::open(&path, &file, self.store.limits.database_cache_bytes)?;
        let mut state = db.load(u64::try_from(from.created).unwrap_or(1))?;
        let mut groups = rows::Groups::default();
        for pack in from.packs.list() {
            let (mut txn, mut waiting) = (None, 0);
            for batch in from.packs.batches(pack, from.packs.start(pack)?)? {
                self.cancel.check()?;
                let batch = batch?;
                let decoded = batch.facts.iter().filter_map(|(_, record)| decode_all(record));
                let facts: Vec<Fact> = decoded.flatten().collect();
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
                let open = match txn.take() {
                    Some(open) => open,
                    None => db.write()?,
                };
                let store = self.store;
                let card_of =
                    &mut |m: &MessageFact| Ok((groups.card(store, m.no)?, groups.keys(store, m.no)?));
                let changes = db::apply(&db, &open, &state, &end, &facts, card_of)?;
                changes.publish(&mut state);
                waiting += facts.len();
                if waiting >= COMMIT_FACTS {
                    db.commit(open)?;
                    waiting = 0;
                } else {
                    txn = Some(open);
                }
            }
            if let Some(open) = txn {
                db.commit(open)?;
            }
        }
        Ok((db, state))
    }

    /// Whether readers would see any difference.
    fn compare(&self, packs: &Packs, db: &Db, new: &State) -> Result<(), Error> {
        let differs = |what: &str| {
            Err(Error::Refused {
                what: format!("compaction would change {what}: nothing was done; please report this bug"),
            })
        };
        let old = self.store.state.read();
        let numbers = |state: &State| {
            let c = &state.counters;
            (c.next_msg, c.next_folder, c.next_leaf, c.uid_validity, c.mod_seq, c.batch, c.placements)
        };
        if numbers(&old) != numbers(new) || old.archives != new.archives {
            return differs("the numbers that are given next");
        }
        if old.folders.len() != new.folders.len() || !self.store.db.has_same_leaves(db)? {
            return differs("folders or evidence");
        }
        for (id, before) in &old.folders {
            let Some(after) = new.folders.get(id) else { return differs("a folder") };
            let mut named = after.clone();
            if named.info.path == removed_path(&before.info.path, *id)? {
                named.info.path = before.info.path.clone();
            }
            if named != *before {
                return differs(&format!("folder {}", before.info.path));
            }
            let (mut a, mut b) = (Vec::new(), Vec::new());
            let mut at = Some(0);
            while let Some(from) = at {
                self.cancel.check()?;
                a.clear();
                b.clear();
                let upto = u64::from(from).saturating_add(50_000);
                let collect = |db: &Db, rows: &mut Vec<_>| {
                    db.pages(*id, Uid(from), |page| {
                        let more = page.last().is_some_and(|p| u64::from(p.row.uid.0) < upto);
                        let within = |uid: Uid| uid.0 >= from && u64::from(uid.0) < upto;
                        rows.extend(page.into_iter().filter(|p| within(p.row.uid)));
                        more
                    })
                };
                collect(&self.store.db, &mut a)?;
                collect(db, &mut b)?;
                if a != b {
                    return differs(&format!("messages of {}", before.info.path));
                }
                for placed in a.iter().filter(|placed| placed.extra) {
                    let old = beside(&self.store.packs, self.store.db.extras(*id, placed)?)?;
                    if old != beside(packs, db.extras(*id, placed)?)? {
                        return differs(&format!("line ends in {}", before.info.path));
                    }
                }
                let past = before.uids.last().is_none_or(|last| u64::from(last.0) < upto);
                at = u32::try_from(upto).ok().filter(|_| !past);
            }
        }
        Ok(())
    }

    /// Reads every message from the new packs, compares its hash, and gives its text to the new index.
    fn read_all(&mut self, packs: &Packs, db: &Db) -> Result<(), Error> {
        let store = self.store;
        let (next, batches) = (store.next_msg(), store.state.read().counters.batch);
        let index = self.beside.new_index();
        let indexer = Indexer::open(&index, &store.limits, MsgNo(0))?;
        // Only answers for messages that stay come along.
        let before = store.tail.current().extracts;
        let extracts =
            store.extraction.as_ref().map(|_| Extracts::open(&extracts::beside(&index))).transpose()?;
        let version = store.extraction.as_ref().map(|extraction| extraction.extractor.version());
        let name = extracts.as_ref().zip(version).map(|(extracts, version)| extracts.name(version));
        extracts::claim(&index, name.as_deref())?;
        let mut texts = Vec::new();
        for no in 0..next.0 {
            self.cancel.check()?;
            let no = MsgNo(no);
            let text = if self.plan.messages.contains(no.0) {
                let entry = db.message(no)?;
                if entry.hash != store.db.message(no)?.hash {
                    return Err(Error::WrongContent { hash: entry.hash });
                }
                let content = message::content(packs, &entry, store.limits.spool_above_bytes)?;
                let mut parsed = Parsed::new(&content, &store.limits);
                if let Some(in_use) = &extracts {
                    let kept = Kept { in_use, before: before.as_deref() };
                    let check = || self.cancel.check();
                    store.add_attachments((no, entry.hash), &content, &mut parsed, kept, &check)?;
                }
                parsed.text
            } else {
                SearchText::default()
            };
            texts.push((no, text));
            if texts.len() >= TEXTS || no.0 + 1 == next.0 {
                indexer.submit(std::mem::take(&mut texts))?;
            }
            (self.progress)(batches + u64::from(no.0) * batches / u64::from(next.0.max(1)), 2 * batches);
        }
        if let Some(extracts) = &extracts {
            extracts.close();
        }
        indexer.close()
    }
}

impl Prepared {
    /// Says that the set is complete: on return the new packs count. After an error nobody knows until the store is opened
    /// again.
    /// # Errors
    /// `Io`.
    pub(crate) fn complete(&self) -> Result<(), Error> {
        let mut writer = self.packs.new_set_pack(&self.replaces, self.created)?;
        for record in encode_all(&[Fact::Compacted { batch: self.batch }]) {
            writer.append(RecordKind::Facts, record)?;
        }
        let time = time::OffsetDateTime::now_utc().unix_timestamp();
        writer.commit(self.batch + 1, self.mod_seq, time, Some(self.log)).map(|_| ())
    }

    /// Removes all that was written.
    fn give_up(&self) {
        if let Err(error) = self.undo() {
            tracing::warn!(%error, "rests of a compaction stay until the store is opened again");
        }
    }

    /// Removes all that was written, durable on return: after a failed [`Prepared::complete`] what the system still holds
    /// in memory must not pass for a complete set.
    /// # Errors
    /// `Io`.
    pub(crate) fn undo(&self) -> Result<(), Error> {
        self.packs.remove_files(&self.packs.list())?;
        self.beside.clear(&*self.disk)
    }
}

/// What goes along from batch to batch.
struct Rewrite {
    /// Where placements are that will be deleted.
    dead: HashSet<(FolderId, Uid)>,
    /// New addresses of chunks that later batches name, too.
    moved: HashMap<ChunkAddr, ChunkAddr>,
}

/// The path that a removed folder keeps.
pub(crate) fn removed_path(path: &FolderPath, folder: FolderId) -> Result<FolderPath, Error> {
    FolderPath::new(format!("{}/(removed {})", path.archive(), folder.0))
        .map_err(|error| Error::Refused { what: error.to_string() })
}

/// What stands beside a placement, read.
fn beside(packs: &Packs, (ends, prefix): (Ends, Side)) -> Result<(u8, Vec<u8>, Vec<u8>), Error> {
    let (kind, map) = match &ends {
        Ends::Crlf => (0, Vec::new()),
        Ends::Lf => (1, Vec::new()),
        Ends::Map(map) => (2, cat::side(packs, map)?),
    };
    Ok((kind, map, cat::side(packs, &prefix)?))
}

/// Calls `each` with every chunk that a fact names, its length, and the blocks it belongs into.
fn each_chunk(
    fact: &mut Fact,
    each: &mut dyn FnMut(&mut ChunkAddr, u64, Class) -> Result<(), Error>,
) -> Result<(), Error> {
    match fact {
        Fact::Message(m) => {
            let mut at = 0;
            for piece in &mut m.pieces {
                let class = if at < m.header_len { Class::Header } else { Class::Body };
                at += piece.len();
                let len = piece.stored_len();
                each(piece.chunk_mut(), len, class)?;
            }
            Ok(())
        }
        Fact::Placement(p) => {
            if let Ends::Map(Side::Chunk { chunk, len }) = &mut p.line_ends {
                each(chunk, *len, Class::Body)?;
            }
            if let Side::Chunk { chunk, len } = &mut p.prefix {
                each(chunk, *len, Class::Body)?;
            }
            Ok(())
        }
        Fact::Part(p) => each(&mut p.chunk, p.len, Class::Body),
        _ => Ok(()),
    }
}

/// Bytes that a compaction of this store may take beside what is there.
pub(crate) fn needed_bytes(store: &Store, index_bytes: u64) -> u64 {
    let packs: u64 = store.packs.list().into_iter().filter_map(|pack| store.packs.len(pack).ok()).sum();
    // The index's bytes are with the texts beside it.
    packs.saturating_add(store.database.len().unwrap_or(0)).saturating_add(index_bytes)
}

/// Bytes that are free where the store lies.
/// # Errors
/// `Io`.
pub(crate) fn free_bytes(dir: &Path) -> Result<u64, Error> {
    let stat = rustix::fs::statvfs(dir).map_err(|e| Error::io(dir)(e.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
