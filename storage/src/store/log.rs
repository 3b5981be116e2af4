//! A store's Merkle log, read back: roots of any past size, paths, and what the leaves of a message say.
//!
//! Invariant: hashes of whole pages come from the database, all else from the packs' facts, batch by batch, so that no more
//! than a batch's facts are in memory. A leaf whose salt was destroyed can't be proven, and is told so.

use super::facts::{DeletionFact, Evidence, Fact, MoveFact, PlacementFact, decode_all};
use super::{Cancel, Store};
use crate::db::Tree;
use crate::evidence::{self, Frontier, Hash, Leaf, MAX_LEAVES, PAGE_LEAVES, Place, Refusal, Subtrees};
use crate::pack::{Addr, Commit, LogHead, RecordKind};
use crate::{ContentHash, Error, FolderId, MsgNo, Uid, UidValidity};

/// Most disagreements that are told.
const MAX_DISAGREEMENTS: usize = 100;

/// The log as of one commit.
pub(crate) struct Log<'a> {
    store: &'a Store,
    tree: Tree,
    cancel: &'a Cancel,
    /// The page read last.
    page: Option<(u64, Vec<Hash>)>,
}

/// What the log says of one message, in order.
pub(crate) struct History {
    pub(crate) leaves: Vec<Leaf>,
    /// Where it was last, by the store's own numbers.
    pub(crate) place: Place,
}

/// One fact with a leaf.
struct Logged {
    fact: Fact,
    leaf: u64,
}

impl<'a> Log<'a> {
    pub(crate) fn new(store: &'a Store, cancel: &'a Cancel) -> Log<'a> {
        let tree = store.state.read().tree.clone();
        Log { store, tree, cancel, page: None }
    }

    /// Leaves.
    pub(crate) fn size(&self) -> u64 {
        self.tree.size()
    }

    /// The root of the first `size` leaves, at most all.
    /// # Errors
    /// `Derived`, `Corrupt`, `Missing`.
    pub(crate) fn root(&mut self, size: u64) -> Result<Hash, Error> {
        if size == self.size() {
            return Ok(self.tree.frontier.root());
        }
        evidence::root(self, size)
    }

    /// The path that shows that the first `new` leaves begin with the first `old` ones.
    /// # Errors
    /// As [`Log::root`].
    pub(crate) fn consistency(&mut self, old: u64, new: u64) -> Result<Vec<Hash>, Error> {
        evidence::consistency(self, old, new)
    }

    /// The leaves of a whole page, from the packs.
    fn leaves_of(&mut self, page: u64) -> Result<Vec<Hash>, Error> {
        if page == self.size() / PAGE_LEAVES {
            return Ok(self.tree.open.clone());
        }
        let (first, end) = (page * PAGE_LEAVES, (page + 1) * PAGE_LEAVES);
        let mut leaves = Vec::with_capacity(PAGE_LEAVES as usize);
        let mut walk = Walk::new(self.store, first)?;
        while let Some(batch) = walk.next(self.cancel)? {
            for Logged { fact, leaf } in batch {
                if let Some(evidence) = fact.evidence().filter(|_| (first..end).contains(&leaf)) {
                    leaves.push(evidence.hash);
                }
            }
            if leaves.len() as u64 == PAGE_LEAVES {
                return Ok(leaves);
            }
        }
        Err(self.store.db.derived(format!("the packs don't have the leaves {first} to {}", end - 1)))
    }

    /// Computes the log again from the packs' facts; gives what database and commit records say otherwise. Leaves that damage
    /// took count as they do in a rebuild.
    /// # Errors
    /// `Corrupt`, `Missing` of the packs; `Derived`; `Cancelled`.
    pub(crate) fn disagreements(&self) -> Result<Vec<String>, Error> {
        let (mut wrong, mut tree, mut lost) = (Vec::new(), Tree::default(), false);
        let mut walk = Walk::new(self.store, 0)?;
        while tree.size() < self.size()
            && wrong.len() < MAX_DISAGREEMENTS
            && let Some(batch) = walk.next(self.cancel)?
        {
            let leaves = batch.iter().filter_map(|logged| logged.fact.evidence());
            let leaves: Vec<(u64, Hash)> = leaves.map(|evidence| (evidence.leaf, evidence.hash)).collect();
            lost |= leaves.first().is_some_and(|(first, _)| *first != tree.size());
            lost |= leaves.windows(2).any(|pair| matches!(pair, [(a, _), (b, _)] if a + 1 != *b));
            let mut pages = Vec::new();
            tree.extend(leaves, true, |page, root| {
                pages.push((page, root));
                Ok(())
            })?;
            for (page, root) in pages {
                if self.store.db.pages_root(page, 1)? != root {
                    let (first, last) = (page * PAGE_LEAVES, page * PAGE_LEAVES + PAGE_LEAVES - 1);
                    wrong.push(format!(
                        "the database has another hash over the leaves {first} to {last} than the packs"
                    ));
                }
            }
            if !lost && walk.log.is_some_and(|log| log != tree.head()) {
                wrong.push(format!(
                    "a commit record tells another root over the first {} leaves",
                    tree.size()
                ));
            }
        }
        if wrong.is_empty() && tree != self.tree {
            wrong.push(format!(
                "the packs have {} leaves, or others than the database's {}",
                tree.size(),
                self.size()
            ));
        }
        Ok(wrong)
    }

    /// What the log of the first `size` leaves says of the message in this place, by the store's numbers.
    /// # Errors
    /// `Missing`; `Evidence` when a leaf can't be proven; those of packs and database.
    pub(crate) fn of_place(&mut self, folder: FolderId, uid: Uid, size: u64) -> Result<History, Error> {
        let start = match self.store.db.placed(folder, uid)? {
            Some(placed) => placed.leaf,
            // Moved away or deleted: only the log knows.
            None => self.origin(folder, uid)?,
        };
        self.history(start, size)
    }

    /// What it says of each placement of a message.
    /// # Errors
    /// As [`Log::of_place`].
    pub(crate) fn of_message(&mut self, message: &ContentHash, size: u64) -> Result<Vec<History>, Error> {
        let Some(no) = self.store.db.find(message)? else { return Ok(Vec::new()) };
        let mut starts = Vec::new();
        for (folder, uid) in self.store.db.places_of(no)? {
            starts.extend(self.store.db.placed(folder, uid)?.map(|placed| placed.leaf));
        }
        if starts.is_empty() {
            starts = self.placements_of(no)?;
        }
        starts.sort_unstable();
        starts.retain(|start| *start < size);
        starts.truncate(MAX_LEAVES);
        starts.into_iter().map(|start| self.history(start, size)).collect()
    }

    /// The leaves that placed a message which is in no folder any more.
    fn placements_of(&self, no: MsgNo) -> Result<Vec<u64>, Error> {
        let mut found = Vec::new();
        let mut walk = Walk::new(self.store, 0)?;
        while let Some(batch) = walk.next(self.cancel)? {
            let placed = |logged: &Logged| matches!(&logged.fact, Fact::Placement(p) if p.msg == no);
            found.extend(batch.iter().filter(|logged| placed(logged)).map(|logged| logged.leaf));
        }
        Ok(found)
    }

    /// The leaf of the placement that went through this place.
    fn origin(&self, folder: FolderId, uid: Uid) -> Result<u64, Error> {
        let mut sought = (folder, uid);
        for _ in 0..MAX_LEAVES {
            let mut from = None;
            let mut walk = Walk::new(self.store, 0)?;
            'walk: while let Some(batch) = walk.next(self.cancel)? {
                for Logged { fact, leaf } in batch {
                    match fact {
                        Fact::Placement(p) if (p.folder, p.uid) == sought => return Ok(leaf),
                        Fact::Move(m) if (m.to, m.to_uid) == sought => {
                            from = Some((m.from, m.from_uid));
                            break 'walk;
                        }
                        Fact::Tombstone(t) if t.kind != DeletionFact::LEAF && (t.folder, t.uid) == sought => {
                            return Err(self.destroyed(leaf));
                        }
                        _ => {}
                    }
                }
            }
            match from {
                Some(from) => sought = from,
                None => break,
            }
        }
        Err(Error::Missing { what: format!("UID {uid} of this folder") })
    }

    /// From a placement's leaf on: its moves and its deletion, as far as the first `size` leaves go.
    fn history(&mut self, start: u64, size: u64) -> Result<History, Error> {
        if start >= size {
            let what = format!(
                "the message came into the log as leaf {start}; the head has {size} leaves and knows nothing of it"
            );
            return Err(Error::Proof(Refusal::Head(what)));
        }
        let mut found: Vec<(Leaf, Place)> = Vec::new();
        let mut walk = Walk::new(self.store, start)?;
        // Where the database has the message now there is nothing more to find.
        let (mut message, mut done) = (None, false);
        while !done && let Some(batch) = walk.next(self.cancel)? {
            for Logged { fact, leaf } in batch {
                if leaf < start || done {
                    continue;
                }
                if leaf >= size {
                    done = true;
                    continue;
                }
                let step = match (&fact, found.last().map(|(_, place)| *place)) {
                    (Fact::Placement(p), None) if leaf == start => {
                        message = Some(p.msg);
                        let hash = self.store.db.message(p.msg)?.hash;
                        let validity = self.validity(p.folder)?;
                        let place = Place { folder: p.folder, uid_validity: validity, uid: p.uid };
                        Some((PlacementFact::LEAF, p.leaf_fields(&hash, validity), place))
                    }
                    (Fact::Move(m), Some(was)) if (m.from, m.from_uid) == (was.folder, was.uid) => {
                        let uid_validity = self.validity(m.to)?;
                        let place = Place { folder: m.to, uid_validity, uid: m.to_uid };
                        Some((MoveFact::LEAF, m.leaf_fields(uid_validity), place))
                    }
                    (Fact::Deletion(d), Some(was)) if (d.folder, d.uid) == (was.folder, was.uid) => {
                        done = true;
                        Some((DeletionFact::LEAF, d.leaf_fields(was.uid_validity), was))
                    }
                    (Fact::Tombstone(_), None) if leaf == start => return Err(self.destroyed(leaf)),
                    _ => None,
                };
                if let (Some((kind, fields, place)), Some(evidence)) = (step, fact.evidence()) {
                    found.push((self.leaf(kind, fields, evidence)?, place));
                    if found.len() > MAX_LEAVES {
                        let (count, limit) = (found.len() as u64, MAX_LEAVES as u64);
                        return Err(Error::Limit { what: "moves of a message", found: count, limit });
                    }
                }
            }
            done |= match (message, found.last()) {
                (Some(msg), Some((_, place))) => self.is_at(msg, place)?,
                _ => false,
            };
        }
        let mut history = History {
            leaves: Vec::new(),
            place: match found.last() {
                Some((_, place)) => *place,
                None => return Err(Error::Missing { what: format!("leaf {start} of the evidence") }),
            },
        };
        for (mut leaf, _) in found {
            leaf.path = evidence::inclusion(self, leaf.number, size)?;
            history.leaves.push(leaf);
        }
        Ok(history)
    }

    fn is_at(&self, msg: MsgNo, place: &Place) -> Result<bool, Error> {
        let placed = self.store.db.placed(place.folder, place.uid)?;
        Ok(placed.is_some_and(|placed| placed.row.msg == msg))
    }

    fn leaf(&self, kind: u8, fields: Vec<u8>, evidence: &Evidence) -> Result<Leaf, Error> {
        let number = evidence.leaf;
        let salt = evidence.salt.ok_or_else(|| self.destroyed(number))?;
        if !evidence.holds(kind, &fields) {
            let what = format!("leaf {number} is not the hash of what the packs say: run `mailkeep check`");
            return Err(Error::Evidence { path: self.store.dir.clone(), what });
        }
        Ok(Leaf { number, kind, salt, fields, path: Vec::new() })
    }

    fn destroyed(&self, leaf: u64) -> Error {
        let what = format!(
            "leaf {leaf} can't be proven any more: compaction destroyed its salt together with the deleted message. \
             Proofs that were made before stay good"
        );
        Error::Evidence { path: self.store.dir.clone(), what }
    }

    fn validity(&self, folder: FolderId) -> Result<UidValidity, Error> {
        let state = self.store.state.read();
        let missing = || Error::Missing { what: format!("folder number {}", folder.0) };
        Ok(state.folders.get(&folder).ok_or_else(missing)?.info.uid_validity)
    }
}

impl Subtrees for Log<'_> {
    type Error = Error;

    fn subtree(&mut self, first: u64, leaves: u64) -> Result<Hash, Error> {
        if leaves >= PAGE_LEAVES {
            return self.store.db.pages_root(first / PAGE_LEAVES, leaves / PAGE_LEAVES);
        }
        let page = first / PAGE_LEAVES;
        if self.page.as_ref().is_none_or(|(held, _)| *held != page) {
            self.page = Some((page, self.leaves_of(page)?));
        }
        let held = self.page.as_ref().map(|(_, leaves)| &leaves[..]).unwrap_or_default();
        let mut part = Frontier::default();
        let skip = (first % PAGE_LEAVES) as usize;
        held.iter().skip(skip).take(leaves as usize).for_each(|leaf| part.push(*leaf));
        if part.size() != leaves {
            return Err(self
                .store
                .db
                .derived(format!("the evidence log has no leaf {}", first + part.size())));
        }
        Ok(part.root())
    }
}

/// Goes over the facts with leaves, batch by batch.
struct Walk<'a> {
    store: &'a Store,
    next: Option<(u64, Addr)>,
    /// What the commit record of the batch given last says of the log.
    log: Option<LogHead>,
}

impl<'a> Walk<'a> {
    /// Begins with the batch that holds `leaf`.
    fn new(store: &'a Store, leaf: u64) -> Result<Walk<'a>, Error> {
        Ok(Walk { store, next: store.db.batch_with(leaf)?, log: None })
    }

    /// The next batch's facts with leaves, rising by leaf.
    fn next(&mut self, cancel: &Cancel) -> Result<Option<Vec<Logged>>, Error> {
        cancel.check()?;
        let Some((first, addr)) = self.next else { return Ok(None) };
        let packs = &self.store.packs;
        let damaged = |offset, what| Error::Corrupt { path: packs.path(addr.pack), offset, what };
        let mut logged = Vec::new();
        let mut at = addr.offset;
        for record in packs.salvage(addr.pack, addr.offset)? {
            let record = record?;
            if record.addr.offset != at {
                break;
            }
            at = record.next;
            match record.kind {
                RecordKind::Facts => {
                    let facts = decode_all(&record.plain)
                        .ok_or_else(|| damaged(record.addr.offset, "the facts are not understood"))?;
                    let with_leaf = facts.into_iter().filter_map(|fact| {
                        let leaf = fact.evidence()?.leaf;
                        Some(Logged { fact, leaf })
                    });
                    logged.extend(with_leaf);
                }
                RecordKind::Commit => {
                    logged.sort_unstable_by_key(|logged| logged.leaf);
                    self.log = Commit::decode(&record.plain).and_then(|commit| commit.log);
                    self.next = self.store.db.batch_after(first)?;
                    return Ok(Some(logged));
                }
                RecordKind::Block | RecordKind::Segment | RecordKind::ChunkMap | RecordKind::Dictionary => {}
            }
        }
        Err(damaged(at, "the facts of a batch don't end here as they should"))
    }
}
