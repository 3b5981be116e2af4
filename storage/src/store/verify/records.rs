//! The packs: every record's seal, batches and their commit records, and facts compared with what the database made of them.
//!
//! Invariant: what a crash tore is no damage, since it was written again. A slice reads stripes of the packs; only where it
//! comes upon bytes that are no record, the whole pack is judged.

use super::{Event, Job, Pages};
use crate::pack::{Addr, Commit, PackId, RecordKind, Tally};
use crate::store::facts::{DeletionFact, Evidence, Fact, MoveFact, PlacementFact, decode_all};
use crate::{Error, FolderId, Uid};
use bytes::Bytes;
use roaring::RoaringBitmap;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a pack that a slice takes or leaves together.
const STRIPE_BYTES: u64 = 16 << 20;
/// Facts that are named when the database lacks them, at most.
const MAX_GONE: usize = 1_000_000;

/// How far the walk over a store's packs is: all that it needs to go on another day.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Position {
    /// Packs below this one are done.
    pub(crate) pack: u32,
    /// All are.
    pub(crate) done: bool,
    /// The last batch that was met.
    batch: u64,
    /// Batches with damaged bytes: number, pack, bytes. A later batch of the same number takes one out.
    damaged: Vec<(u64, u32, u64)>,
    /// UIDs that facts placed, by folder, as ranges; read with everything only.
    seen: BTreeMap<u32, Vec<(u32, u32)>>,
    /// Placements of the packs that the database doesn't have: moved or deleted later, or lost.
    gone: BTreeSet<(u32, u32)>,
}

/// The UIDs of a folder that facts placed.
pub(super) type Seen = BTreeMap<FolderId, RoaringBitmap>;

impl Position {
    /// The UIDs that facts placed.
    pub(super) fn seen(&self) -> Seen {
        let folder = |(id, spans): (&u32, &Vec<(u32, u32)>)| {
            let mut uids = RoaringBitmap::new();
            for &(first, last) in spans {
                uids.insert_range(first..=last);
            }
            (FolderId(*id), uids)
        };
        self.seen.iter().map(folder).collect()
    }

    fn keep(&mut self, seen: &Seen) {
        self.seen = seen
            .iter()
            .map(|(id, uids)| {
                let mut spans: Vec<(u32, u32)> = Vec::new();
                for uid in uids {
                    match spans.last_mut() {
                        Some((_, last)) if last.checked_add(1) == Some(uid) => *last = uid,
                        _ => spans.push((uid, uid)),
                    }
                }
                (id.0, spans)
            })
            .collect();
    }
}

/// What one pack is walked with.
struct Walk<'w> {
    pages: Pages,
    seen: Seen,
    position: &'w mut Position,
}

impl Job<'_> {
    /// Walks over the packs from where `position` stands; `save` gets it after each pack.
    pub(crate) fn records(
        &self,
        position: &mut Position,
        save: &mut dyn FnMut(&Position),
    ) -> Result<(), Error> {
        if position.done {
            return Ok(());
        }
        let Some(mark) = self.counters.watermark else {
            position.done = true;
            return Ok(());
        };
        if position.pack == 0 {
            for unopened in self.store.packs.unopened().iter().filter(|unopened| unopened.pack <= mark.pack) {
                // A crash tears the header of a pack that holds nothing yet: no damage.
                if self.store.packs.holds_records(unopened.pack)? {
                    self.tell(unopened.error.to_string())?;
                }
            }
        }
        let seen = position.seen();
        let mut walk = Walk { pages: Pages::default(), seen, position };
        for pack in self.packs.list() {
            if pack > mark.pack || pack.0 < walk.position.pack {
                continue;
            }
            if self.slice.is_all() {
                self.pack(pack, mark, &mut walk)?;
            } else {
                self.stripes(pack, mark, &mut walk)?;
            }
            walk.position.pack = pack.0 + 1;
            walk.position.keep(&walk.seen);
            save(walk.position);
        }
        for &(batch, pack, bytes) in &walk.position.damaged {
            let path = self.packs.path(PackId(pack));
            self.tell(format!("{}: {bytes} bytes of batch {batch} are damaged", path.display()))?;
        }
        let last = walk.position.batch;
        if self.slice.is_all() && last < self.counters.batch {
            self.tell(format!("batches {} to {} are missing from the packs", last + 1, self.counters.batch))?;
        }
        if !self.slice.is_all() {
            // What was moved or deleted since may stand in another slice.
            walk.position.gone.clear();
        }
        for &(folder, uid) in &walk.position.gone {
            let what = "the packs know the placement, the database doesn't";
            self.tell_at(FolderId(folder), Uid(uid), what)?;
        }
        walk.position.done = true;
        save(walk.position);
        Ok(())
    }

    /// Every record of a pack.
    fn pack(&self, pack: PackId, mark: Addr, walk: &mut Walk<'_>) -> Result<(), Error> {
        let mut at = self.packs.start(pack)?;
        let end = if pack == mark.pack { mark.offset } else { self.packs.len(pack)? };
        let (mut damaged, mut facts, mut tally, mut records) = (0, Vec::new(), Tally::default(), 0);
        for record in self.packs.salvage(pack, at)? {
            self.cancel.check()?;
            let record = record?;
            if record.addr.offset >= end {
                break;
            }
            records += 1;
            damaged += record.addr.offset - at;
            self.say(Event::Bytes(record.next - at))?;
            at = record.next;
            match record.kind {
                RecordKind::Commit => {
                    let tally = std::mem::take(&mut tally);
                    self.batch(pack, &record.plain, damaged, tally, walk)?;
                    if damaged == 0 {
                        self.facts(&facts, walk)?;
                    } else {
                        // They may be a torn batch's, which the database has otherwise.
                        places(&facts, &mut walk.seen);
                    }
                    damaged = 0;
                    facts.clear();
                    self.say(Event::Records(std::mem::take(&mut records)))?;
                    continue;
                }
                RecordKind::Facts => facts.push((record.addr, record.plain)),
                RecordKind::Block | RecordKind::Segment | RecordKind::ChunkMap | RecordKind::Dictionary => {}
            }
            tally.add(&record.tag);
        }
        self.say(Event::Records(records))?;
        // The pack that the watermark lies in has no torn tail below it.
        if pack == mark.pack && at < end {
            let path = self.packs.path(pack);
            self.tell(format!("{}: its last {} bytes are damaged", path.display(), end - at + damaged))?;
        }
        Ok(())
    }

    /// The end of a batch.
    fn batch(
        &self,
        pack: PackId,
        plain: &[u8],
        damaged: u64,
        tally: Tally,
        walk: &mut Walk<'_>,
    ) -> Result<(), Error> {
        let path = self.packs.path(pack);
        let Some(commit) = Commit::decode(plain) else {
            return self.tell(format!("{}: a commit record is not understood", path.display()));
        };
        let position = &mut *walk.position;
        // A batch that a crash tore was written again under its number; its rests are no damage.
        position.damaged.retain(|(batch, ..)| *batch != commit.batch);
        if commit.batch > self.counters.batch {
            return Ok(());
        }
        if self.slice.is_all() && commit.batch > position.batch + 1 {
            let (first, last) = (position.batch + 1, commit.batch - 1);
            self.tell(format!("{}: batches {first} to {last} have no commit records", path.display()))?;
        }
        position.batch = position.batch.max(commit.batch);
        if damaged > 0 {
            position.damaged.push((commit.batch, pack.0, damaged));
        } else if (commit.records, commit.tags) != tally.finish() {
            let what = "its commit record tells of other records than are there";
            self.tell(format!("{}: batch {}: {what}", path.display(), commit.batch))?;
        }
        Ok(())
    }

    /// The stripes of a pack that belong to the slice.
    fn stripes(&self, pack: PackId, mark: Addr, walk: &mut Walk<'_>) -> Result<(), Error> {
        let start = self.packs.start(pack)?;
        let end = if pack == mark.pack { mark.offset } else { self.packs.len(pack)? };
        for stripe in 0..end.div_ceil(STRIPE_BYTES) {
            if !self.slice.has(u64::from(pack.0).wrapping_mul(7_919).wrapping_add(stripe)) {
                continue;
            }
            let (from, to) = (start.max(stripe * STRIPE_BYTES), end.min((stripe + 1) * STRIPE_BYTES));
            let (mut at, mut records, mut more) = (None, 0, false);
            for record in self.packs.salvage(pack, from)? {
                self.cancel.check()?;
                let record = record?;
                // A record belongs to the stripe that it begins in; bytes before the first were another stripe's.
                let gap = match at {
                    Some(at) => record.addr.offset > at,
                    None => stripe == 0 && record.addr.offset > from,
                };
                if gap {
                    return self.pack(pack, mark, walk);
                }
                if record.addr.offset >= to {
                    more = true;
                    break;
                }
                records += 1;
                self.say(Event::Bytes(record.next - record.addr.offset))?;
                at = Some(record.next);
                if record.kind == RecordKind::Facts {
                    self.facts(&[(record.addr, record.plain)], walk)?;
                }
            }
            self.say(Event::Records(records))?;
            // No record follows, and yet the pack goes on.
            if !more && at.is_some_and(|at| at < end) || (at.is_none() && stripe == 0 && !more) {
                return self.pack(pack, mark, walk);
            }
        }
        Ok(())
    }

    /// Compares facts with what the database made of them.
    fn facts(&self, records: &[(Addr, Bytes)], walk: &mut Walk<'_>) -> Result<(), Error> {
        for (addr, record) in records {
            let Some(facts) = decode_all(record) else {
                let path = self.packs.path(addr.pack);
                self.tell(format!(
                    "{}: the facts at byte {} are not understood",
                    path.display(),
                    addr.offset
                ))?;
                continue;
            };
            for fact in facts {
                match fact {
                    Fact::Placement(p) => {
                        walk.seen.entry(p.folder).or_default().insert(p.uid.0);
                        self.placement(&p, walk)?;
                    }
                    Fact::Deletion(d) => {
                        walk.position.gone.remove(&(d.folder.0, d.uid.0));
                        let fields = self.validity(d.folder).map(|validity| d.leaf_fields(validity));
                        self.evidence(d.folder, d.uid, &d.evidence, DeletionFact::LEAF, fields)?;
                    }
                    Fact::Move(m) => {
                        walk.position.gone.remove(&(m.from.0, m.from_uid.0));
                        walk.seen.entry(m.to).or_default().insert(m.to_uid.0);
                        let fields = self.validity(m.to).map(|validity| m.leaf_fields(validity));
                        self.evidence(m.to, m.to_uid, &m.evidence, MoveFact::LEAF, fields)?;
                        if self.placed(m.to, m.to_uid, walk)?.is_none() {
                            walk.position.gone.insert((m.to.0, m.to_uid.0));
                        }
                    }
                    Fact::Message(m) => self.described(&m)?,
                    Fact::Folder(_) | Fact::Source { .. } | Fact::Occurrence { .. } => {}
                    Fact::Rename { .. } | Fact::Floors(_) | Fact::FolderGone { .. } | Fact::Erased { .. } => {
                    }
                    Fact::Tombstone(_) | Fact::Part(_) | Fact::Head(_) => {}
                    Fact::Compacted { .. } | Fact::Comment { .. } => {}
                }
            }
        }
        Ok(())
    }

    /// The database's row of a message against its fact.
    fn described(&self, m: &crate::store::facts::MessageFact) -> Result<(), Error> {
        let tell = |what| self.tell(format!("message number {}: {what}", m.no.0));
        let Some(entry) = self.sound(self.store.db.message(m.no), tell)? else { return Ok(()) };
        if (entry.hash, entry.size, entry.header_len) != (m.hash, m.size, m.header_len)
            || entry.pieces != m.pieces
        {
            let places = self.store.db.places_of(m.no)?;
            let what = "the database describes another message than the packs";
            self.tell_message(m.no, Some(&entry), &places, what)?;
        }
        Ok(())
    }

    fn placed(
        &self,
        folder: FolderId,
        uid: Uid,
        walk: &mut Walk<'_>,
    ) -> Result<Option<crate::db::pages::Placed>, Error> {
        let found = walk.pages.placed(self.store, folder, uid);
        Ok(self.sound(found, |what| self.tell_at(folder, uid, what))?.flatten())
    }

    fn placement(&self, p: &PlacementFact, walk: &mut Walk<'_>) -> Result<(), Error> {
        let (store, folder, uid) = (self.store, p.folder, p.uid);
        let Some(placed) = self.placed(folder, uid, walk)? else {
            if walk.position.gone.len() < MAX_GONE {
                walk.position.gone.insert((folder.0, uid.0));
            }
            return Ok(());
        };
        let row = &placed.row;
        let same = (row.msg, row.flags, row.date.secs, row.date.zone, placed.leaf, row.mod_seq)
            == (p.msg, p.flags, p.date_secs, p.zone, p.evidence.leaf, p.mod_seq);
        // In stores that are older than this rule, a message's later placements took the archive-wide UID of its first.
        if !same || placed.archive_uid > p.archive_uid {
            self.tell_at(folder, uid, "the database has another placement than the packs")?;
        }
        let beside = store.db.extras(folder, &placed);
        if let Some(beside) = self.sound(beside, |what| self.tell_at(folder, uid, what))?
            && beside != (p.line_ends.clone(), p.prefix.clone())
        {
            self.tell_at(folder, uid, "the database has other line ends than the packs")?;
        }
        let entry = store.db.message(p.msg);
        let Some(entry) = self.sound(entry, |what| self.tell_at(folder, uid, what))? else { return Ok(()) };
        let fields = self.validity(folder).map(|validity| p.leaf_fields(&entry.hash, validity));
        self.evidence(folder, uid, &p.evidence, PlacementFact::LEAF, fields)
    }

    /// Compares a leaf's hash with the fields that it covers.
    fn evidence(
        &self,
        folder: FolderId,
        uid: Uid,
        evidence: &Evidence,
        kind: u8,
        fields: Option<Vec<u8>>,
    ) -> Result<(), Error> {
        if fields.is_some_and(|fields| evidence.holds(kind, &fields)) {
            return Ok(());
        }
        self.tell_at(folder, uid, "its evidence doesn't hold")
    }
}

/// Notes the UIDs that facts place, and compares nothing.
fn places(records: &[(Addr, Bytes)], seen: &mut Seen) {
    for fact in records.iter().filter_map(|(_, record)| decode_all(record)).flatten() {
        match fact {
            Fact::Placement(p) => drop(seen.entry(p.folder).or_default().insert(p.uid.0)),
            Fact::Move(m) => drop(seen.entry(m.to).or_default().insert(m.to_uid.0)),
            _ => {}
        }
    }
}
