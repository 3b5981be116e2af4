//! Facts that damage has left alone: fitted to what is known, or named as lost.
//!
//! Invariant: what is given can be taken in. A UID that a lost placement had is not given again: a tombstone keeps its
//! numbers, and its leaf in the evidence. Leaves of which nothing is left get a hash of zeros, so that their numbers stay.

use super::Lost;
use crate::store::facts::{DeletionFact, Evidence, Fact, FolderFact, MoveFact, PlacementFact, TombstoneFact};
use crate::store::state::{Folder, State};
use crate::{Error, FolderId, FolderPath, ModSeq, MsgNo, SourceId, Uid, UidRanges, UidValidity};
use std::collections::{BTreeSet, HashMap, HashSet};

/// The archive of folders whose names are lost.
const FOUND: &str = "lost-and-found";

/// Most numbers that a gap may have: a store has no more messages, and far fewer leaves a batch.
const MAX_GAP: u64 = 100_000_000;

/// The path of a folder whose own is lost.
/// # Errors
/// Never; the path is a good one.
pub(super) fn found_path(id: FolderId) -> Result<FolderPath, Error> {
    FolderPath::new(format!("{FOUND}/folder {}", id.0))
        .map_err(|e| Error::Missing { what: format!("a path for folder {} ({e})", id.0) })
}

/// Fits the facts of one batch.
pub(super) struct Fit<'a> {
    state: &'a State,
    /// The sources of earlier batches.
    sources: &'a HashSet<SourceId>,
    new_sources: HashSet<SourceId>,
    lost: &'a mut Lost,
    out: Vec<Fact>,
    next_msg: u32,
    /// Messages of this batch that are none any more.
    gone: HashSet<MsgNo>,
    folders: HashMap<FolderId, Known>,
    uid_validity: u32,
    next_leaf: u64,
}

/// A folder as the batch leaves it.
#[derive(Clone)]
struct Known {
    path: String,
    uids: UidRanges,
    uid_next: u32,
}

impl Known {
    fn of(folder: &Folder) -> Known {
        let uids = (*folder.uids).clone();
        Known { path: folder.info.path.to_string(), uids, uid_next: folder.info.uid_next.0 }
    }
}

impl<'a> Fit<'a> {
    pub(super) fn new(state: &'a State, sources: &'a HashSet<SourceId>, lost: &'a mut Lost) -> Fit<'a> {
        let c = &state.counters;
        Fit {
            state,
            sources,
            new_sources: HashSet::new(),
            lost,
            out: Vec::new(),
            next_msg: c.next_msg,
            gone: HashSet::new(),
            folders: HashMap::new(),
            uid_validity: c.uid_validity,
            next_leaf: c.next_leaf,
        }
    }

    /// Gives the facts that can be taken in; `leaves`: how many the evidence has after the batch.
    /// # Errors
    /// `Limit` for numbers that no store has.
    pub(super) fn run(mut self, facts: Vec<Fact>, leaves: Option<u64>) -> Result<Vec<Fact>, Error> {
        let there: BTreeSet<u64> = facts.iter().filter_map(evidence).map(|e| e.leaf).collect();
        for fact in facts {
            if let Some(leaf) = evidence(&fact).map(|evidence| evidence.leaf) {
                if leaf < self.next_leaf {
                    self.lost.tell(format!("leaf {leaf} of the evidence stands there twice"));
                    continue;
                }
                self.leaves_below(leaf, &there)?;
                self.next_leaf = leaf + 1;
            }
            self.fact(fact)?;
        }
        if let Some(leaves) = leaves {
            self.leaves_below(leaves, &there)?;
        }
        Ok(self.out)
    }

    /// Leaves that nothing is left of.
    fn leaves_below(&mut self, leaf: u64, there: &BTreeSet<u64>) -> Result<(), Error> {
        let missing = leaf.saturating_sub(self.next_leaf);
        if missing == 0 {
            return Ok(());
        }
        bounded("missing leaves of the evidence", missing)?;
        self.lost.tell(format!("leaves {} to {} of the evidence are lost", self.next_leaf, leaf - 1));
        let folder = match self.state.folders.keys().chain(self.folders.keys()).min() {
            Some(any) => *any,
            None => self.found(FolderId(self.state.counters.next_folder))?,
        };
        for leaf in (self.next_leaf..leaf).filter(|leaf| !there.contains(leaf)) {
            self.out.push(Fact::Tombstone(TombstoneFact {
                kind: DeletionFact::LEAF,
                folder,
                uid: Uid(1),
                archive_uid: Uid(1),
                mod_seq: ModSeq(0),
                evidence: Evidence { leaf, salt: None, hash: [0; 32] },
            }));
        }
        self.next_leaf = leaf;
        Ok(())
    }

    fn fact(&mut self, fact: Fact) -> Result<(), Error> {
        match fact {
            Fact::Message(m) => {
                if self.number(m.no)? {
                    self.out.push(Fact::Message(m));
                }
            }
            Fact::Erased { no } => {
                if self.number(no)? {
                    self.gone.insert(no);
                    self.out.push(Fact::Erased { no });
                }
            }
            Fact::Folder(f) => {
                if self.known(f.id).is_some() {
                    self.lost.tell(format!("folder number {} ({}) stands there twice", f.id.0, f.path));
                } else {
                    let known =
                        Known { path: f.path.to_string(), uids: UidRanges::new(), uid_next: f.uid_floor.0 };
                    self.folders.insert(f.id, known);
                    self.uid_validity = self.uid_validity.max(f.uid_validity.0);
                    self.out.push(Fact::Folder(f));
                }
            }
            Fact::Placement(p) => self.placement(p)?,
            Fact::Move(m) => self.moved(m)?,
            Fact::Deletion(d) => self.deletion(d)?,
            Fact::Tombstone(t) => {
                self.found(t.folder)?;
                self.out.push(Fact::Tombstone(t));
            }
            Fact::Rename { folder, path, mod_seq } => {
                self.found(folder)?;
                self.out.push(Fact::Rename { folder, path, mod_seq });
            }
            Fact::Comment { folder, text, mod_seq } => {
                self.found(folder)?;
                self.out.push(Fact::Comment { folder, text, mod_seq });
            }
            Fact::FolderGone { folder, .. } if self.known(folder).is_none() => {}
            Fact::Floors(f) => {
                self.found(f.folder)?;
                self.out.push(Fact::Floors(f));
            }
            Fact::Source { id, name } => {
                self.new_sources.insert(id);
                self.out.push(Fact::Source { id, name });
            }
            other @ (Fact::Occurrence { .. }
            | Fact::FolderGone { .. }
            | Fact::Part(_)
            | Fact::Head(_)
            | Fact::Compacted { .. }) => self.out.push(other),
        }
        Ok(())
    }

    /// Whether a message's number is the next; those that are missing before it are filled up.
    fn number(&mut self, no: MsgNo) -> Result<bool, Error> {
        if no.0 < self.next_msg {
            self.lost.tell(format!("message number {} stands there twice", no.0));
            return Ok(false);
        }
        bounded("missing messages", u64::from(no.0 - self.next_msg))?;
        if no.0 > self.next_msg {
            let (first, last) = (self.next_msg, no.0 - 1);
            self.lost.tell(format!("what is known of message numbers {first} to {last} is lost"));
        }
        for missing in self.next_msg..no.0 {
            self.gone.insert(MsgNo(missing));
            self.out.push(Fact::Erased { no: MsgNo(missing) });
        }
        self.next_msg = no.0.saturating_add(1);
        Ok(true)
    }

    fn known(&mut self, id: FolderId) -> Option<&mut Known> {
        if !self.folders.contains_key(&id) {
            let known = self.state.folders.get(&id).map(Known::of)?;
            self.folders.insert(id, known);
        }
        self.folders.get_mut(&id)
    }

    /// Makes sure that the folder is known: one whose record is lost gets a name by its number.
    fn found(&mut self, id: FolderId) -> Result<FolderId, Error> {
        if self.known(id).is_some() {
            return Ok(id);
        }
        let path = found_path(id)?;
        self.lost.tell(format!("the name of folder number {} is lost; it is called {path} now", id.0));
        self.uid_validity = self.uid_validity.saturating_add(1);
        let known = Known { path: path.to_string(), uids: UidRanges::new(), uid_next: 1 };
        self.folders.insert(id, known);
        self.out.push(Fact::Folder(FolderFact {
            id,
            path,
            uid_validity: UidValidity(self.uid_validity),
            uid_floor: Uid(1),
            mod_seq_floor: ModSeq(0),
            archive_uid_floor: Uid(1),
        }));
        Ok(id)
    }

    fn placement(&mut self, p: PlacementFact) -> Result<(), Error> {
        self.found(p.folder)?;
        let there = p.msg.0 < self.next_msg && !self.gone.contains(&p.msg);
        let Some(known) = self.known(p.folder) else { return Ok(()) };
        if p.uid.0 < known.uid_next {
            let what = format!("{} UID {}: the UID stands there twice", known.path, p.uid);
            self.lost.tell(what);
            self.tombstone(PlacementFact::LEAF, p.folder, p.uid, p.archive_uid, p.mod_seq, p.evidence);
            return Ok(());
        }
        known.uid_next = p.uid.0.saturating_add(1);
        if !there {
            let what = format!("{} UID {}: what is known of its message is lost", known.path, p.uid);
            self.lost.tell(what);
            self.tombstone(PlacementFact::LEAF, p.folder, p.uid, p.archive_uid, p.mod_seq, p.evidence);
            return Ok(());
        }
        known.uids.push(p.uid);
        if !self.sources.contains(&p.source) && self.new_sources.insert(p.source) {
            let name = format!("(lost source {})", p.source.0);
            self.lost
                .tell(format!("the name of source number {} is lost; it is called {name} now", p.source.0));
            self.out.push(Fact::Source { id: p.source, name });
        }
        self.out.push(Fact::Placement(p));
        Ok(())
    }

    fn moved(&mut self, m: MoveFact) -> Result<(), Error> {
        self.found(m.to)?;
        let from = self.known(m.from).filter(|known| known.uids.contains(m.from_uid));
        let Some(from) = from else {
            let to = self.known(m.to).map(|known| known.path.clone()).unwrap_or_default();
            self.lost.tell(format!("{to} UID {}: what was moved there is lost", m.to_uid));
            if let Some(known) = self.known(m.to) {
                known.uid_next = known.uid_next.max(m.to_uid.0.saturating_add(1));
            }
            self.tombstone(MoveFact::LEAF, m.to, m.to_uid, m.archive_uid, m.mod_seq, m.evidence);
            return Ok(());
        };
        from.uids = from.uids.subtract(&UidRanges::from_spans([(m.from_uid.0, m.from_uid.0)]));
        if let Some(to) = self.known(m.to) {
            to.uids.push(m.to_uid);
            to.uid_next = to.uid_next.max(m.to_uid.0.saturating_add(1));
        }
        self.out.push(Fact::Move(m));
        Ok(())
    }

    fn deletion(&mut self, d: DeletionFact) -> Result<(), Error> {
        let known = self.known(d.folder).filter(|known| known.uids.contains(d.uid));
        if let Some(known) = known {
            known.uids = known.uids.subtract(&UidRanges::from_spans([(d.uid.0, d.uid.0)]));
            self.out.push(Fact::Deletion(d));
            return Ok(());
        }
        // It was lost before it was deleted.
        self.found(d.folder)?;
        self.tombstone(DeletionFact::LEAF, d.folder, d.uid, Uid(1), d.mod_seq, d.evidence);
        Ok(())
    }

    /// Numbers that are never given again, and the leaf.
    fn tombstone(
        &mut self,
        kind: u8,
        folder: FolderId,
        uid: Uid,
        archive_uid: Uid,
        mod_seq: ModSeq,
        evidence: Evidence,
    ) {
        let evidence = Evidence { salt: None, ..evidence };
        self.out.push(Fact::Tombstone(TombstoneFact { kind, folder, uid, archive_uid, mod_seq, evidence }));
    }
}

/// A fact's leaf.
fn evidence(fact: &Fact) -> Option<&Evidence> {
    match fact {
        Fact::Placement(p) => Some(&p.evidence),
        Fact::Move(m) => Some(&m.evidence),
        Fact::Deletion(d) => Some(&d.evidence),
        Fact::Tombstone(t) => Some(&t.evidence),
        _ => None,
    }
}

fn bounded(what: &'static str, found: u64) -> Result<(), Error> {
    if found > MAX_GAP {
        return Err(Error::Limit { what, found, limit: MAX_GAP });
    }
    Ok(())
}
