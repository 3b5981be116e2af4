//! Which batches the packs hold, and where damage lies: every record is opened once.
//!
//! Invariant: a batch is whole only if its commit record agrees with all records since the one before.

use crate::Error;
use crate::pack::{Commit, PackId, Packs, RecordKind, Tally};
use crate::store::Cancel;

/// A batch, or what is left of it.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) pack: PackId,
    /// Its first byte.
    pub(super) start: u64,
    /// The first byte behind its last record.
    pub(super) end: u64,
    /// Where its records of facts lie.
    pub(super) facts: Vec<u64>,
    /// None when it can't be read, or was never written.
    pub(super) commit: Option<Commit>,
    /// The commit record's tag.
    pub(super) tag: [u8; 16],
    /// No byte of it is damaged, and the commit record agrees.
    whole: bool,
}

impl Batch {
    /// Its number in the store.
    pub(super) fn number(&self) -> Option<u64> {
        self.commit.as_ref().map(|commit| commit.batch)
    }

    /// Whether all of it is there.
    pub(super) fn is_whole(&self) -> bool {
        self.whole && self.commit.is_some()
    }

    /// How many leaves the evidence has after it, where the commit record says so.
    pub(super) fn leaves(&self) -> Option<u64> {
        None
    }
}

/// Walks over all packs; `progress` gets the bytes done.
/// # Errors
/// `Cancelled`, `Io`; `Version` for commit records of a newer version.
pub(super) fn survey(
    packs: &Packs,
    cancel: &Cancel,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<Batch>, Error> {
    let mut batches = Vec::new();
    let mut before = 0;
    for pack in packs.list() {
        let mut at = packs.start(pack)?;
        let mut open = Open::new(at);
        for record in packs.salvage(pack, at)? {
            cancel.check()?;
            let record = record?;
            open.damaged |= record.addr.offset > at;
            at = record.next;
            match record.kind {
                RecordKind::Commit => {
                    let commit = Commit::decode(&record.plain).ok_or_else(|| Error::Version {
                        path: packs.path(pack),
                        found: record.plain.first().copied().map_or(0, u32::from),
                        known: 1,
                    })?;
                    let ended = std::mem::replace(&mut open, Open::new(at));
                    batches.push(ended.end(pack, at, commit, record.tag));
                    progress(before + at);
                    continue;
                }
                RecordKind::Facts => open.facts.push(record.addr.offset),
                RecordKind::Block | RecordKind::Segment | RecordKind::ChunkMap | RecordKind::Dictionary => {}
            }
            open.tally.add(&record.tag);
        }
        if at > open.start {
            let Open { start, facts, .. } = open;
            batches.push(Batch { pack, start, end: at, facts, commit: None, tag: [0; 16], whole: false });
        }
        before += packs.len(pack)?;
        progress(before);
    }
    Ok(batches)
}

/// The batch in hand.
struct Open {
    start: u64,
    facts: Vec<u64>,
    tally: Tally,
    damaged: bool,
}

impl Open {
    fn new(start: u64) -> Open {
        Open { start, facts: Vec::new(), tally: Tally::default(), damaged: false }
    }

    fn end(self, pack: PackId, end: u64, commit: Commit, tag: [u8; 16]) -> Batch {
        let whole = !self.damaged && (commit.records, commit.tags) == self.tally.finish();
        Batch { pack, start: self.start, end, facts: self.facts, commit: Some(commit), tag, whole }
    }
}
