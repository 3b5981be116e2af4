//! Messages that the archive has and no account tells of: the program or the machine died between the two.
//!
//! A checkpoint lags behind the archive then, and of a message that moved at the source since, nothing says that it left a folder.
//! What the archive notes of every placement does: the source folder and the UID there. Invariant: only what the server no longer
//! has where the archive saw it, and no checkpoint knows, is found, each placement once; and only for a mailbox whose last
//! run didn't come to its end.

use super::checkpoint::Placed;
use super::engine::Desk;
use super::fault::Fault;
use super::folder::Work;
use super::job::Into;
use super::mailbox::Plan;
use std::collections::{HashMap, HashSet};
use storage::{ContentHash, FolderId, FolderPath, Sighting, Uid, UidRanges, Whereabouts};

/// What is known of a source folder.
#[derive(Debug)]
struct There {
    no: u32,
    uid_validity: u32,
    /// What the server has, and what is accounted for.
    known: UidRanges,
}

/// The search for them, in one mailbox.
#[derive(Debug)]
pub(crate) struct Lost {
    /// Folders that the server has, by source; of those without figures nothing is known to have left.
    there: HashMap<String, Option<There>>,
    /// Folders of the archive in which the mailbox's messages can lie.
    paths: Vec<FolderPath>,
    /// Placements that were found or are some other message's.
    taken: HashSet<(FolderId, Uid)>,
    /// Placements that checkpoints know, of strays.
    held: Option<HashSet<(FolderId, Uid)>>,
}

/// A message that was found: the source folder that it left with its UID there, and its placement.
pub(crate) struct Found {
    pub(crate) left: (u32, u32),
    pub(crate) placed: Placed,
}

impl Lost {
    /// `sources`: of all folders that the server has; `plans`: those that were looked at.
    pub(crate) fn new(desk: &Desk<'_>, sources: HashSet<String>, plans: &[Plan]) -> Lost {
        let mut there: HashMap<String, Option<There>> =
            sources.into_iter().map(|source| (source, None)).collect();
        for plan in plans {
            let Some((selected, uids)) = &plan.seen else { continue };
            let settled = if selected.uid_validity == plan.checkpoint.uid_validity {
                plan.checkpoint.settled.clone()
            } else {
                UidRanges::new()
            };
            there.insert(
                plan.source.clone(),
                Some(There {
                    no: plan.checkpoint.no,
                    uid_validity: selected.uid_validity.unwrap_or(0),
                    known: UidRanges::from_spans(uids.spans().chain(settled.spans()).collect::<Vec<_>>()),
                }),
            );
        }
        let paths = match desk.job.into {
            Into::Folder(into) => {
                let all = desk.line.storage.folders().into_iter().map(|folder| folder.path);
                all.filter(|path| path.archive() == into.archive()).collect()
            }
            Into::Multidrop(_) => Vec::new(),
        };
        Lost { there, paths, taken: HashSet::new(), held: None }
    }

    /// Where a message of the folder lies that was fetched, unless it has a place of its own there. `stray`: a known place of it was left
    /// before any account said so.
    pub(crate) fn find(
        &mut self,
        desk: &Desk<'_>,
        work: &Work<'_>,
        uid: u32,
        hash: &ContentHash,
        stray: bool,
    ) -> Result<Option<Found>, Fault> {
        let storage = desk.line.storage;
        // Nearly all that comes is new: one look, however many folders there are.
        if !storage.holds(hash)? {
            return Ok(None);
        }
        let own = desk.line.claimable(work.target, &work.occurrence(uid), hash, &work.claim)?;
        if own.iter().any(|sighting| self.taken.insert((sighting.folder, sighting.uid))) {
            return Ok(None);
        }
        for path in &self.paths {
            for sighting in storage.sightings(path, hash)? {
                let Some(left) = self.left(desk, work, &sighting) else { continue };
                if self.taken.insert((sighting.folder, sighting.uid)) {
                    return Ok(Some(found(left, sighting.folder, sighting.uid, hash)));
                }
            }
        }
        if !stray {
            return Ok(None);
        }
        let held = match self.held.take() {
            Some(held) => held,
            None => held(desk)?,
        };
        let held = &*self.held.insert(held);
        for path in &self.paths {
            let Some(view) = storage.view(path) else { continue };
            let folder = view.info.id;
            let known: Vec<Sighting> = storage.sightings(path, hash)?;
            for uid in storage.with_identity(&view, &hash.0)?.iter() {
                let is_known = known.iter().any(|one| (one.folder, one.uid) == (folder, uid));
                if !is_known && !held.contains(&(folder, uid)) && self.taken.insert((folder, uid)) {
                    return Ok(Some(found((0, 0), folder, uid, hash)));
                }
            }
        }
        Ok(None)
    }

    /// The source folder and UID that a placement came from, if the message is there no longer and no account knows it.
    fn left(&self, desk: &Desk<'_>, work: &Work<'_>, sighting: &Sighting) -> Option<(u32, u32)> {
        let of_mailbox = sighting.source.strip_prefix(desk.job.key.as_str())?.starts_with('/');
        if !of_mailbox || sighting.there != Whereabouts::Here || sighting.source == work.source {
            return None;
        }
        let (uid_validity, uid) = sighting.occurrence.split_once(':')?;
        let (uid_validity, uid): (u32, u32) = (uid_validity.parse().ok()?, uid.parse().ok()?);
        match self.there.get(&sighting.source) {
            None => Some((0, 0)),
            Some(Some(there)) if there.uid_validity == uid_validity && !there.known.contains(Uid(uid)) => {
                Some((there.no, uid))
            }
            Some(_) => None,
        }
    }
}

/// The placements that checkpoints of the mailbox know.
fn held(desk: &Desk<'_>) -> Result<HashSet<(FolderId, Uid)>, Fault> {
    let mut held = HashSet::new();
    for (_, checkpoint) in desk.checkpoints.known(&format!("{}\n", desk.job.key))? {
        let placed = desk.checkpoints.placed(checkpoint.no, &checkpoint.settled)?;
        held.extend(placed.into_iter().map(|(_, placed)| (placed.folder, placed.uid)));
    }
    Ok(held)
}

fn found(left: (u32, u32), folder: FolderId, uid: Uid, hash: &ContentHash) -> Found {
    Found { left, placed: Placed { folder, uid, hash: *hash, email_id: 0 } }
}
