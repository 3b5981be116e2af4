//! Re-reads everything and says what is damaged, by folder and UID where that is known.
//!
//! Invariant: reads only; damage is told, never mended and never an error. What a batch that is being written adds
//! meanwhile is not looked at.

use super::facts::{DeletionFact, Evidence, Fact, MoveFact, PlacementFact, decode_all};
use super::rows::StoreRows;
use super::state::Counters;
use super::{Cancel, CheckReport, Store, message, rows};
use crate::pack::{Addr, Commit, PackId, RecordKind};
use crate::prepared::Parsed;
use crate::{Error, FolderId, MsgNo, Uid, UidValidity};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most damages that are told one by one.
const MAX_TOLD: usize = 10_000;

pub(crate) fn check(
    store: &Arc<Store>,
    cancel: &Cancel,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<CheckReport, Error> {
    let counters = store.state.read().counters;
    let (gone, report) = (BTreeSet::new(), CheckReport::default());
    let mut work = Work { store, cancel, counters, report, gone, untold: 0 };
    let total = u64::from(counters.next_msg);
    progress(0, total);
    work.records()?;
    work.folders()?;
    let mut groups = rows::Groups::default();
    for no in 0..counters.next_msg {
        cancel.check()?;
        work.message(MsgNo(no), &mut groups)?;
        progress(u64::from(no) + 1, total);
    }
    if work.untold > 0 {
        work.report.damage.push(format!("and {} further damages", work.untold));
    }
    Ok(work.report)
}

struct Work<'a> {
    store: &'a Arc<Store>,
    cancel: &'a Cancel,
    counters: Counters,
    report: CheckReport,
    /// Placements of the packs that the database doesn't have: moved, deleted, or lost.
    gone: BTreeSet<(FolderId, Uid)>,
    untold: u64,
}

/// A batch as its records tell: its number, and bytes in it that are no record.
struct Seen {
    batch: u64,
    pack: PackId,
    damaged: u64,
}

/// Damage is told; a failing disk or a cancel ends the check.
fn is_damage(error: &Error) -> bool {
    use Error::{Corrupt, Derived, Missing, WrongContent};
    matches!(error, Corrupt { .. } | Derived { .. } | Missing { .. } | WrongContent { .. })
}

impl Work<'_> {
    fn tell(&mut self, damage: String) {
        if self.report.damage.len() < MAX_TOLD {
            self.report.damage.push(damage);
        } else {
            self.untold += 1;
        }
    }

    /// The value, or its damage told under `place`.
    fn sound<T>(&mut self, place: &str, value: Result<T, Error>) -> Result<Option<T>, Error> {
        match value {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_damage(&error) => {
                self.tell(format!("{place}: {error}"));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn place(&self, folder: FolderId, uid: Uid) -> String {
        let state = self.store.state.read();
        match state.folders.get(&folder) {
            Some(view) => format!("{} UID {uid}", view.info.path),
            None => format!("folder number {} UID {uid}", folder.0),
        }
    }

    /// Opens every record up to the watermark.
    fn records(&mut self) -> Result<(), Error> {
        let store = self.store;
        let Some(mark) = self.counters.watermark else { return Ok(()) };
        for unopened in
            store.packs.unopened().iter().filter(|unopened| unopened.pack <= mark.pack && !unopened.empty)
        {
            self.tell(unopened.error.to_string());
        }
        let mut batches = Vec::new();
        for pack in store.packs.list().into_iter().filter(|pack| *pack <= mark.pack) {
            self.pack(pack, mark, &mut batches)?;
        }
        // A batch that a crash tore was written again under its number; its rests are no damage.
        let mut later = BTreeSet::new();
        for seen in batches.iter().rev() {
            if later.insert(seen.batch) && seen.damaged > 0 && seen.batch <= self.counters.batch {
                let path = store.packs.path(seen.pack);
                self.tell(format!(
                    "{}: {} bytes of batch {} are damaged",
                    path.display(),
                    seen.damaged,
                    seen.batch
                ));
            }
        }
        for (folder, uid) in std::mem::take(&mut self.gone) {
            let place = self.place(folder, uid);
            self.tell(format!("{place}: the packs know the placement, the database doesn't"));
        }
        Ok(())
    }

    fn pack(&mut self, pack: PackId, mark: Addr, batches: &mut Vec<Seen>) -> Result<(), Error> {
        let store = self.store;
        let mut at = store.packs.start(pack)?;
        let end = if pack == mark.pack { mark.offset } else { store.packs.len(pack)? };
        let (mut damaged, mut facts) = (0, Vec::new());
        for record in store.packs.salvage(pack, at)? {
            self.cancel.check()?;
            let record = record?;
            if record.addr.offset >= end {
                break;
            }
            self.report.records += 1;
            damaged += record.addr.offset - at;
            at = record.next;
            match record.kind {
                RecordKind::Facts => facts.push((record.addr, record.plain)),
                RecordKind::Commit => {
                    let commit = Commit::decode(&record.plain);
                    let batch = commit.map_or(0, |commit| commit.batch);
                    batches.push(Seen { batch, pack, damaged });
                    if damaged == 0 {
                        self.facts(&facts)?;
                    }
                    damaged = 0;
                    facts.clear();
                }
                RecordKind::Block | RecordKind::Segment | RecordKind::ChunkMap | RecordKind::Dictionary => {}
            }
        }
        // The pack that the watermark lies in has no torn tail below it.
        if pack == mark.pack && at < end {
            let path = store.packs.path(pack);
            self.tell(format!("{}: its last {} bytes are damaged", path.display(), end - at + damaged));
        }
        Ok(())
    }

    /// Compares facts with what the database made of them.
    fn facts(&mut self, records: &[(Addr, Bytes)]) -> Result<(), Error> {
        for (addr, record) in records {
            let Some(facts) = decode_all(record) else {
                let path = self.store.packs.path(addr.pack);
                self.tell(format!(
                    "{}: the facts at byte {} are not understood",
                    path.display(),
                    addr.offset
                ));
                continue;
            };
            for fact in facts {
                match fact {
                    Fact::Placement(p) => self.placement(&p)?,
                    Fact::Deletion(d) => {
                        self.gone.remove(&(d.folder, d.uid));
                        let fields = self.validity(d.folder).map(|validity| d.leaf_fields(validity));
                        self.evidence(d.folder, d.uid, &d.evidence, DeletionFact::LEAF, fields);
                    }
                    Fact::Move(m) => {
                        self.gone.remove(&(m.from, m.from_uid));
                        if self.store.db.placed(m.to, m.to_uid)?.is_none() {
                            self.gone.insert((m.to, m.to_uid));
                        }
                        let fields = self.validity(m.to).map(|validity| m.leaf_fields(validity));
                        self.evidence(m.to, m.to_uid, &m.evidence, MoveFact::LEAF, fields);
                    }
                    Fact::Message(_) | Fact::Folder(_) | Fact::Source { .. } | Fact::Occurrence { .. } => {}
                    Fact::Rename { .. } | Fact::Floors(_) | Fact::FolderGone { .. } | Fact::Erased { .. } => {
                    }
                    Fact::Tombstone(_) | Fact::Part(_) | Fact::Head(_) | Fact::Compacted { .. } => {}
                }
            }
        }
        Ok(())
    }

    fn placement(&mut self, p: &PlacementFact) -> Result<(), Error> {
        let store = self.store;
        let place = self.place(p.folder, p.uid);
        let Some(found) = self.sound(&place, store.db.placed(p.folder, p.uid))? else { return Ok(()) };
        let Some(placed) = found else {
            self.gone.insert((p.folder, p.uid));
            return Ok(());
        };
        let row = &placed.row;
        let same = (row.msg, row.flags, row.date.secs, row.date.zone, placed.leaf)
            == (p.msg, p.flags, p.date_secs, p.zone, p.evidence.leaf);
        if !same {
            self.tell(format!("{place}: the database has another placement than the packs"));
        }
        let beside = store.db.extras(p.folder, &placed);
        if let Some(beside) = self.sound(&place, beside)?
            && beside != (p.line_ends.clone(), p.prefix.clone())
        {
            self.tell(format!("{place}: the database has other line ends than the packs"));
        }
        let Some(entry) = self.sound(&place, store.db.message(p.msg))? else { return Ok(()) };
        let fields = self.validity(p.folder).map(|validity| p.leaf_fields(&entry.hash, validity));
        self.evidence(p.folder, p.uid, &p.evidence, PlacementFact::LEAF, fields);
        Ok(())
    }

    fn validity(&self, folder: FolderId) -> Option<UidValidity> {
        self.store.state.read().folders.get(&folder).map(|folder| folder.info.uid_validity)
    }

    /// Compares a leaf's hash with the fields that it covers.
    fn evidence(
        &mut self,
        folder: FolderId,
        uid: Uid,
        evidence: &Evidence,
        kind: u8,
        fields: Option<Vec<u8>>,
    ) {
        if !fields.is_some_and(|fields| evidence.holds(kind, &fields)) {
            let place = self.place(folder, uid);
            self.tell(format!("{place}: its evidence doesn't hold"));
        }
    }

    /// Compares each folder's UIDs with its rows, and rows with messages.
    fn folders(&mut self) -> Result<(), Error> {
        let mut views: Vec<_> = self.store.state.read().folders.values().cloned().collect();
        views.sort_by(|a, b| a.info.path.cmp(&b.info.path));
        for view in views {
            let path = view.info.path.to_string();
            let mut rows = StoreRows::new(self.store, view.info.id, &view.uids);
            let (mut count, mut bytes) = (0, 0u64);
            while let Some(batch) = self.sound(&path, rows.next_batch())?.flatten() {
                self.cancel.check()?;
                for row in batch {
                    count += 1;
                    bytes = bytes.saturating_add(row.size);
                    let place = format!("{path} UID {}", row.uid);
                    let known = self.store.db.places_of(row.msg)?.contains(&(view.info.id, row.uid));
                    let entry = self.sound(&place, self.store.db.message(row.msg))?;
                    if !known || entry.is_some_and(|entry| entry.size != row.size) {
                        self.tell(format!("{place}: the placement doesn't agree with its message"));
                    }
                }
            }
            if (count, bytes) != (view.uids.len(), view.info.bytes) {
                let (uids, sum) = (view.uids.len(), view.info.bytes);
                self.tell(format!("{path}: {count} rows of {bytes} bytes for {uids} UIDs of {sum} bytes"));
            }
        }
        Ok(())
    }

    /// Reads a message whole, and compares its card with a fresh one.
    fn message(&mut self, no: MsgNo, groups: &mut rows::Groups) -> Result<(), Error> {
        let store = self.store;
        if store.db.is_erased(no)? {
            return Ok(());
        }
        let places = store.db.places_of(no)?;
        let mut names: Vec<String> = places.iter().take(3).map(|&(f, u)| self.place(f, u)).collect();
        if places.len() > names.len() {
            names.push(format!("{} more", places.len() - names.len()));
        }
        let place = if names.is_empty() { format!("message number {}", no.0) } else { names.join(", ") };
        let Some(entry) = self.sound(&place, store.db.message(no))? else { return Ok(()) };
        if store.db.find(&entry.hash)? != Some(no) {
            self.tell(format!("{place}: the database doesn't find the message by its identity"));
        }
        let content = message::content(&store.packs, &entry, store.limits.spool_above_bytes);
        let Some(content) = self.sound(&place, content)? else { return Ok(()) };
        self.report.messages += 1;
        let fresh = Parsed::new(&content, &store.limits);
        let card = self.sound(&place, groups.card(store, no))?;
        if card.is_some_and(|card| card != fresh.card) || fresh.header_len != entry.header_len {
            self.tell(format!("{place}: the card is not the message's"));
        }
        Ok(())
    }
}
