//! Makes a store's database anew from its packs alone, and finds its way past damaged bytes.
//!
//! Two walks: the first opens every record and tells batches apart ([`survey()`]), the second takes their facts in, by the
//! function that live commits use; facts that damage has left without what they build on are fitted or named as lost
//! ([`fit`]). The new database gets its name only when it is whole.
//! Invariant: without damage the tables are those that live commits made. No UID is ever given twice: where the end of the
//! packs is missing, all numbers are raised, by a batch of its own. Left to others: which store, and who may read it meanwhile.

mod fit;
mod survey;

use super::facts::{Fact, FloorsFact, FolderFact, MessageFact, decode_all, encode_all};
use super::state::State;
use super::{Cancel, message};
use crate::card::Card;
use crate::db::{self, BatchEnd, Db, MessageEntry};
use crate::order::Keys;
use crate::pack::disk::{Disk, DiskFile};
use crate::pack::{Addr, PackId, Packs, RecordKind};
use crate::prepared::{CardAndKeys, Parsed};
use crate::{Error, FolderId, Limits, ModSeq, MsgNo, SourceId, Uid, UidValidity};
use fit::Fit;
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use survey::{Batch, survey};

/// The database while it is being made.
const DRAFT: &str = "store.redb.rebuild";
/// Facts that are taken in with one database commit.
const COMMIT_FACTS: usize = 20_000;
/// By how much UIDs, folder numbers and UIDVALIDITY are raised where the end of the packs is missing.
const RAISE: u32 = 1_000_000;
/// By how much mod-sequences are.
const RAISE_MOD_SEQ: u64 = 1 << 32;
/// Most losses that are told one by one.
pub(crate) const MAX_TOLD: usize = 10_000;
/// Most threads that parse messages.
const MAX_THREADS: usize = 4;

/// What a rebuild is made from.
pub(crate) struct Rebuild<'a> {
    pub(crate) disk: &'a Arc<dyn Disk>,
    /// Where the database goes.
    pub(crate) dir: &'a Path,
    pub(crate) packs: &'a Packs,
    pub(crate) limits: &'a Limits,
    /// The last batch that the store is known to have had.
    pub(crate) known: u64,
    /// No batch above this one: a writer may be at work behind it.
    pub(crate) upto: Option<u64>,
    /// Damage is an error, nothing is fitted or raised.
    pub(crate) strict: bool,
    pub(crate) cancel: &'a Cancel,
    /// Bytes of packs done and in all; both walks count.
    pub(crate) progress: &'a mut dyn FnMut(u64, u64),
}

/// What a rebuild found.
#[derive(Debug, Default, Clone)]
pub(crate) struct Rebuilt {
    pub(crate) batches: u64,
    pub(crate) messages: u64,
    pub(crate) placements: u64,
    pub(crate) folders: u64,
    pub(crate) lost: Lost,
    /// UIDs and mod-sequences were raised, since the end of the packs is missing.
    pub(crate) raised: bool,
}

/// What could not be taken in, by name; bounded.
#[derive(Debug, Default, Clone)]
pub(crate) struct Lost {
    pub(crate) told: Vec<String>,
    pub(crate) untold: u64,
}

impl Lost {
    pub(crate) fn tell(&mut self, what: String) {
        if self.told.len() < MAX_TOLD {
            self.told.push(what);
        } else {
            self.untold += 1;
        }
    }

    fn is_empty(&self) -> bool {
        self.told.is_empty()
    }
}

/// A database that was made anew, still under the name that no opening reads.
pub(crate) struct Built {
    pub(crate) db: Db,
    pub(crate) state: State,
    pub(crate) rebuilt: Rebuilt,
}

/// Makes the database beside the one that is there.
/// # Errors
/// `Cancelled`, `Io`, `Database`; `Version` for facts of a newer version; with `strict`, `Corrupt` or `Derived` for damage.
pub(crate) fn build(with: Rebuild<'_>) -> Result<Built, Error> {
    let path = with.dir.join(DRAFT);
    match with.disk.remove(&path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(Error::io(path)(e)),
        _ => {}
    }
    let file = with.disk.create(&path).map_err(Error::io(&path))?;
    fill(with, &path, file)
}

/// Gives the database that [`build`] made its name, in one step in place of the old one.
/// # Errors
/// `Io`.
pub(crate) fn swap(disk: &Arc<dyn Disk>, dir: &Path) -> Result<(), Error> {
    let draft = dir.join(DRAFT);
    disk.rename(&draft, &dir.join("store.redb")).map_err(Error::io(draft))?;
    disk.sync_dir(dir).map_err(Error::io(dir))
}

/// Removes what an interrupted [`build`] left.
/// # Errors
/// `Io`.
pub(crate) fn discard(disk: &Arc<dyn Disk>, dir: &Path) -> Result<(), Error> {
    let draft = dir.join(DRAFT);
    match disk.remove(&draft) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(Error::io(draft)(e)),
        _ => Ok(()),
    }
}

fn fill(with: Rebuild<'_>, path: &Path, file: Arc<dyn DiskFile>) -> Result<Built, Error> {
    // Its name for errors is the one that it will have.
    let db = Db::open(&with.dir.join("store.redb"), &file, with.limits.database_cache_bytes)?;
    let state = db.load(super::open::created(with.packs)?)?;
    let (mut before, mut bytes) = (HashMap::new(), 0);
    for id in with.packs.list() {
        before.insert(id, bytes);
        bytes += with.packs.len(id)?;
    }
    let (lost, sources) = (Lost::default(), HashSet::new());
    let mut work = Work { with, db: &db, state, txn: None, waiting: 0, lost, sources, before, bytes };
    let batches = work.survey()?;
    let raised = work.take_in(&batches)?;
    work.commit()?;
    if raised {
        work.raise()?;
    }
    let Work { state, lost, .. } = work;
    file.sync_data().map_err(Error::io(path))?;
    let c = &state.counters;
    let rebuilt = Rebuilt {
        batches: c.batch,
        messages: u64::from(c.next_msg),
        placements: c.placements,
        folders: state.folders.values().filter(|folder| !folder.gone).count() as u64,
        lost,
        raised,
    };
    Ok(Built { db, state, rebuilt })
}

struct Work<'a, 'd> {
    with: Rebuild<'a>,
    db: &'d Db,
    state: State,
    txn: Option<redb::WriteTransaction>,
    waiting: usize,
    lost: Lost,
    /// The sources that were taken in.
    sources: HashSet<SourceId>,
    /// Bytes of the packs before each pack, and of all.
    before: HashMap<PackId, u64>,
    bytes: u64,
}

impl Work<'_, '_> {
    /// Opens every record.
    fn survey(&mut self) -> Result<Vec<Batch>, Error> {
        let (packs, cancel, bytes) = (self.with.packs, self.with.cancel, self.bytes);
        let progress = &mut *self.with.progress;
        for unopened in packs.unopened() {
            // A header that a crash tore is followed by nothing that counts; a gap is found by the batches' numbers.
            tracing::warn!(pack = unopened.pack.0, error = %unopened.error, "a pack's header can't be read");
        }
        survey(packs, cancel, &mut |done| progress(done / 2, bytes))
    }

    /// Takes the batches in; says whether the end of the packs is missing.
    fn take_in(&mut self, batches: &[Batch]) -> Result<bool, Error> {
        let mut salvaged_end = false;
        // A torn batch was written again under its number: the last one counts.
        let last: HashMap<u64, usize> =
            batches.iter().enumerate().filter_map(|(at, batch)| Some((batch.number()?, at))).collect();
        for (at, batch) in batches.iter().enumerate() {
            self.with.cancel.check()?;
            let due = self.state.counters.batch + 1;
            let number = match batch.number() {
                Some(number) if number < due || last.get(&number) != Some(&at) => continue,
                Some(number) => number,
                // A batch without its commit record: torn, unless its number is missing from what follows.
                None => {
                    let numbers = batches.iter().skip(at + 1).filter_map(Batch::number);
                    let following = numbers.filter(|number| *number >= due).min();
                    if !following.map_or(self.with.known >= due, |next| next > due) {
                        continue;
                    }
                    salvaged_end |= following.is_none();
                    due
                }
            };
            if self.with.upto.is_some_and(|upto| number > upto) {
                break;
            }
            self.one(batch, number)?;
            let done = self.before.get(&batch.pack).copied().unwrap_or(0) + batch.end;
            (self.with.progress)((self.bytes + done) / 2, self.bytes);
        }
        let (known, found) = (self.with.known, self.state.counters.batch);
        if self.with.strict && known > found {
            return Err(self
                .db
                .derived(format!("batch {known} was written, and the packs end with batch {found}")));
        }
        if known > found {
            self.lost.tell(format!("the packs end with batch {found}, and batch {known} was written"));
        }
        Ok(salvaged_end || known > found)
    }

    /// Takes in one batch under this number.
    fn one(&mut self, batch: &Batch, number: u64) -> Result<(), Error> {
        let due = self.state.counters.batch + 1;
        let whole = batch.is_whole() && number == due && self.lost.is_empty();
        let path = self.with.packs.path(batch.pack);
        if !batch.is_whole() {
            let what = format!(
                "{}: batch {number} is damaged between bytes {} and {}",
                path.display(),
                batch.start,
                batch.end
            );
            self.damage(&path, batch.start, what)?;
        }
        if number > due {
            let what = match number - due {
                1 => format!("batch {due} has no commit record that can be read"),
                n => format!("batches {due} to {} have no commit records that can be read", due + n - 1),
            };
            self.damage(&path, batch.start, what)?;
            self.state.counters.batch = number - 1;
        }
        let facts = self.facts(batch)?;
        let end = self.end_of(batch, number, &facts);
        if whole {
            match self.apply(&end, &facts) {
                Err(Error::Derived { what, .. }) => {
                    return Err(self
                        .db
                        .derived(format!("batch {number} of the packs does not fit it: {what}")));
                }
                other => return other,
            }
        }
        let fitted = Fit::new(&self.state, &self.sources, &mut self.lost).run(facts, batch.leaves())?;
        self.apply(&end, &fitted)
    }

    /// Damage is an error, or told.
    fn damage(&mut self, path: &Path, offset: u64, what: String) -> Result<(), Error> {
        if self.with.strict {
            tracing::error!(what, "a store is damaged");
            let what = "it is damaged here; `mailkeep store rebuild` takes what is left";
            return Err(Error::Corrupt { path: path.to_owned(), offset, what });
        }
        self.lost.tell(what);
        Ok(())
    }

    fn facts(&mut self, batch: &Batch) -> Result<Vec<Fact>, Error> {
        let mut facts = Vec::new();
        for &offset in &batch.facts {
            let addr = Addr { pack: batch.pack, offset };
            let record = self.with.packs.record(addr, RecordKind::Facts)?;
            // It was sealed by us, so it is no damage: a newer mailkeep wrote it.
            let decoded = decode_all(&record).ok_or_else(|| Error::Version {
                path: self.with.packs.path(batch.pack),
                found: record.first().copied().map_or(0, u32::from).saturating_add(1),
                known: u32::from(super::facts::FACTS_VERSION),
            })?;
            facts.extend(decoded);
        }
        Ok(facts)
    }

    fn end_of(&self, batch: &Batch, number: u64, facts: &[Fact]) -> BatchEnd {
        let seen = facts.iter().filter_map(mod_seq_of).max().unwrap_or(self.state.counters.mod_seq);
        let end = Addr { pack: batch.pack, offset: batch.end };
        let mod_seq = batch.commit.as_ref().map_or(seen, |commit| commit.mod_seq);
        BatchEnd {
            batch: number,
            mod_seq: ModSeq(mod_seq),
            time: batch.commit.as_ref().map(|commit| commit.time),
            end,
            tag: batch.tag,
            facts: batch.facts.first().map(|&offset| Addr { pack: batch.pack, offset }),
            log: batch.commit.as_ref().and_then(|commit| commit.log),
            lost: !self.lost.is_empty(),
        }
    }

    fn apply(&mut self, end: &BatchEnd, facts: &[Fact]) -> Result<(), Error> {
        self.sources.extend(facts.iter().filter_map(|fact| match fact {
            Fact::Source { id, .. } => Some(*id),
            _ => None,
        }));
        let mut cards = self.cards(facts)?;
        let txn = match self.txn.take() {
            Some(open) => open,
            None => self.db.write()?,
        };
        let card_of = &mut |m: &MessageFact| {
            cards.remove(&m.no).ok_or_else(|| Error::Missing { what: "a new message's card".into() })
        };
        let changes = db::apply(self.db, &txn, &self.state, end, facts, card_of)?;
        changes.publish(&mut self.state);
        self.txn = Some(txn);
        self.waiting += facts.len();
        if self.waiting >= COMMIT_FACTS { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), Error> {
        self.waiting = 0;
        match self.txn.take() {
            Some(txn) => self.db.commit(txn),
            None => Ok(()),
        }
    }

    /// The cards and sort keys of a batch's messages, made from what was stored, by several threads.
    fn cards(&self, facts: &[Fact]) -> Result<HashMap<MsgNo, CardAndKeys>, Error> {
        let messages: Vec<&MessageFact> = facts
            .iter()
            .filter_map(|fact| match fact {
                Fact::Message(message) => Some(message),
                _ => None,
            })
            .collect();
        let (packs, limits, cancel) = (self.with.packs, self.with.limits, self.with.cancel);
        let next = AtomicUsize::new(0);
        let work = || -> Result<Vec<(MsgNo, CardAndKeys)>, Error> {
            let mut cards = Vec::new();
            while let Some(message) = messages.get(next.fetch_add(1, Ordering::Relaxed)) {
                cancel.check()?;
                cards.push((message.no, card(packs, limits, message)?));
            }
            Ok(cards)
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        if messages.len() < 8 || threads == 1 {
            return Ok(work()?.into_iter().collect());
        }
        let all: Result<Vec<_>, Error> = std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            let ended = running.into_iter().map(|thread| {
                let panicked = |_| Err(Error::Missing { what: "the end of a thread that parses".into() });
                thread.join().unwrap_or_else(panicked)
            });
            ended.collect()
        });
        Ok(all?.into_iter().flatten().collect())
    }

    /// Raises all numbers, by a batch in a new pack: what was given in the part that is missing is never given again.
    fn raise(&mut self) -> Result<(), Error> {
        let mod_seq = ModSeq(self.state.counters.mod_seq.saturating_add(RAISE_MOD_SEQ));
        let mut ids: Vec<FolderId> = self.state.folders.keys().copied().collect();
        ids.sort_unstable();
        let mut facts = Vec::new();
        for id in ids {
            let Some(folder) = self.state.folders.get(&id) else { continue };
            let next = self.state.archives.get(folder.info.path.archive()).copied().unwrap_or(Uid(1));
            let (uid, archive_uid) = (raised(folder.info.uid_next), raised(next));
            facts.push(Fact::Floors(FloorsFact { folder: id, uid, mod_seq, archive_uid }));
        }
        // Folders of the missing part had numbers, too: a folder that comes and goes takes all below its own.
        let c = &self.state.counters;
        let id = FolderId(c.next_folder.saturating_add(RAISE));
        facts.push(Fact::Folder(FolderFact {
            id,
            path: fit::found_path(id)?,
            uid_validity: UidValidity(c.uid_validity.saturating_add(RAISE)),
            uid_floor: Uid(1),
            mod_seq_floor: mod_seq,
            archive_uid_floor: Uid(1),
        }));
        facts.push(Fact::FolderGone { folder: id, mod_seq });
        let batch = c.batch + 1;
        let mut pack = self.with.packs.new_pack()?;
        let mut first = None;
        for record in encode_all(&facts) {
            let addr = pack.append(RecordKind::Facts, record)?;
            first.get_or_insert(addr);
        }
        let time = time::OffsetDateTime::now_utc().unix_timestamp();
        let log = Some(self.state.tree.head());
        let offset = pack.commit(batch, mod_seq.0, time, log)?;
        let end = Addr { pack: pack.id(), offset };
        let tag = pack.last_tag();
        let end = BatchEnd { batch, mod_seq, time: Some(time), end, tag, facts: first, log, lost: false };
        self.apply(&end, &facts)?;
        self.commit()
    }
}

/// A UID far above; the last possible one is never reached.
fn raised(uid: Uid) -> Uid {
    Uid(uid.0.saturating_add(RAISE).min(u32::MAX - 1))
}

fn mod_seq_of(fact: &Fact) -> Option<u64> {
    match fact {
        Fact::Placement(p) => Some(p.mod_seq.0),
        Fact::Move(m) => Some(m.mod_seq.0),
        Fact::Deletion(d) => Some(d.mod_seq.0),
        Fact::Rename { mod_seq, .. } | Fact::FolderGone { mod_seq, .. } | Fact::Comment { mod_seq, .. } => {
            Some(mod_seq.0)
        }
        Fact::Floors(f) => Some(f.mod_seq.0),
        _ => None,
    }
}

/// A message's card, made from what was stored.
/// # Errors
/// `Io`; a message that can't be read back has a card that shows nothing.
pub(crate) fn card(packs: &Packs, limits: &Limits, m: &MessageFact) -> Result<CardAndKeys, Error> {
    let entry = MessageEntry::new(m, None);
    match message::content(packs, &entry, limits.spool_above_bytes) {
        Ok(content) => {
            let parsed = Parsed::new(&content, limits);
            Ok((parsed.card, parsed.keys))
        }
        Err(error @ (Error::Corrupt { .. } | Error::WrongContent { .. } | Error::Missing { .. })) => {
            tracing::error!(message = m.no.0, %error, "a message cannot be read back");
            Ok((Card::raw(m.size), Keys::default()))
        }
        Err(other) => Err(other),
    }
}

/// What a database that may be damaged knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Old {
    /// The last batch.
    pub(crate) batch: u64,
    /// The packs reach as far as it does: the store opens with it.
    pub(crate) fits: bool,
}

/// What the database at `path` knows; none when it can't be read.
pub(crate) fn known_batch(
    disk: &Arc<dyn Disk>,
    path: &Path,
    cache_bytes: usize,
    packs: &Packs,
) -> Option<Old> {
    let file = disk.open(path, true).ok()?;
    // The library trusts its files: damage may end in a panic.
    let read = std::panic::AssertUnwindSafe(|| {
        let db = Db::open(path, &file, cache_bytes).ok()?;
        Some(db.load(1).ok()?.counters)
    });
    let counters = std::panic::catch_unwind(read).ok().flatten()?;
    let reach = |mark: Addr| packs.len(mark.pack).is_ok_and(|len| len >= mark.offset);
    Some(Old { batch: counters.batch, fits: counters.watermark.is_none_or(reach) })
}
