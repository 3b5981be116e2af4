//! A batch: messages, placements and changes collected in memory, then made durable, store by store.
//!
//! The current store goes first: it gives out all UIDs and mod-sequences, so what another store takes of them is known there
//! before that store says so. Invariant: a batch that is dropped leaves no trace.

use super::Shared;
use crate::store::draft::{Draft, Slot, bounded, next};
use crate::store::facts::{Fact, FolderFact};
use crate::store::{Added, Cancel, Committed, NewPlacement};
use crate::{ContentHash, Error, FolderId, FolderPath, ModSeq, Prepared, StoreNo, Uid, UidValidity};
use parking_lot::MutexGuard;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

/// How often a waiting caller looks whether it was cancelled.
const CANCEL_EVERY: Duration = Duration::from_millis(50);

/// A batch being written: nothing of it is visible or durable before [`Batch::commit`]; dropped, it leaves no trace.
#[derive(Debug)]
pub struct Batch<'a> {
    pub(super) shared: &'a Arc<Shared>,
    /// Held until the end: one batch at a time.
    _turn: MutexGuard<'a, ()>,
    current: StoreNo,
    /// What each store gets; the current one is always among them.
    drafts: BTreeMap<StoreNo, Draft>,
    pub(super) mod_seq: ModSeq,
    next_folder: u32,
    uid_validity: u32,
    folders: HashMap<FolderId, Target>,
    paths: HashMap<FolderPath, FolderId>,
    /// Which stores know what the folders of an archive are called by now.
    told: HashSet<(StoreNo, String)>,
    /// It gives folders other names: what they are called by now is seen when it is done.
    pub(super) renames: bool,
    /// The next archive-wide UID of archives that the batch touched.
    archives: HashMap<String, u64>,
    /// Archive-wide UIDs of messages that the batch placed.
    archive_uids: HashMap<String, HashMap<ContentHash, Uid>>,
    placements: u64,
    bytes: u64,
    /// Placements that the batch moves or deletes: none of them twice.
    pub(super) taken: HashMap<FolderId, HashSet<Uid>>,
    /// Folders of which another store takes numbers: the current one is told, so that none is given twice.
    pub(super) floors: BTreeSet<FolderId>,
}

/// A folder that the batch writes to, as the batch leaves it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) path: FolderPath,
    pub(super) uid_validity: UidValidity,
    /// One above the highest UID can be one above what a UID holds.
    pub(super) uid_next: u64,
    /// The stores that know it, this batch counted.
    known_to: HashSet<StoreNo>,
}

impl<'a> Batch<'a> {
    pub(super) fn begin(shared: &'a Arc<Shared>, cancel: &Cancel) -> Result<Batch<'a>, Error> {
        let turn = loop {
            cancel.check()?;
            if let Some(turn) = shared.turn.try_lock_for(CANCEL_EVERY) {
                break turn;
            }
        };
        let (current, store) = shared.current_for_writing()?;
        store.writer.lock().check()?;
        if let Err(error) = store.tail.wait_for_room(store.next_msg(), cancel) {
            match error {
                Error::Cancelled => return Err(error),
                // The archive doesn't wait for a broken index: search scans what that misses.
                error => tracing::error!(%error, "archiving goes on without the search index"),
            }
        }
        let numbers = shared.view.read().numbers;
        Ok(Batch {
            shared,
            _turn: turn,
            current,
            drafts: BTreeMap::from([(current, Draft::new(&store))]),
            mod_seq: ModSeq(numbers.mod_seq + 1),
            next_folder: numbers.next_folder,
            uid_validity: numbers.uid_validity,
            folders: HashMap::new(),
            paths: HashMap::new(),
            told: HashSet::new(),
            renames: false,
            archives: HashMap::new(),
            archive_uids: HashMap::new(),
            placements: 0,
            bytes: 0,
            taken: HashMap::new(),
            floors: BTreeSet::new(),
        })
    }

    /// What the current store gets.
    pub(super) fn current(&mut self) -> Result<&mut Draft, Error> {
        let missing = || Error::Missing { what: "the current store".into() };
        self.drafts.get_mut(&self.current).ok_or_else(missing)
    }

    /// Whether a folder has this path, in the batch or before it.
    pub(super) fn knows(&self, path: &FolderPath) -> bool {
        self.paths.contains_key(path) || self.shared.view.read().by_path(path).is_some()
    }

    /// The folder's id; makes the folder (and its record) when it is not there.
    /// # Errors
    /// `Limit`.
    pub fn folder(&mut self, path: &FolderPath) -> Result<FolderId, Error> {
        if let Some(id) = self.paths.get(path) {
            return Ok(*id);
        }
        let known = self.shared.view.read().by_path(path).map(|view| view.info.id);
        let id = match known {
            Some(id) => id,
            None => self.make_folder(path)?,
        };
        self.paths.insert(path.clone(), id);
        Ok(id)
    }

    fn make_folder(&mut self, path: &FolderPath) -> Result<FolderId, Error> {
        let id = FolderId(self.next_folder);
        self.next_folder = next("folders of an installation", id.0)?;
        // By the clock where that is ahead: what a restored installation makes has no UIDVALIDITY that the lost tail gave.
        let now = u32::try_from(time::OffsetDateTime::now_utc().unix_timestamp()).unwrap_or(0);
        self.uid_validity = next("UIDVALIDITY", self.uid_validity.max(now.saturating_sub(1)))?;
        let uid_validity = UidValidity(self.uid_validity);
        self.folders
            .insert(id, Target { path: path.clone(), uid_validity, uid_next: 1, known_to: HashSet::new() });
        self.in_current(id)?;
        Ok(id)
    }

    /// Makes sure that the current store knows the folder, with the floors of its numbers.
    pub(super) fn in_current(&mut self, folder: FolderId) -> Result<(), Error> {
        self.in_store(self.current, folder).map(|_| ())
    }

    /// Makes sure that a store knows the folder, with the floors of its numbers; gives the folder's number there.
    /// # Errors
    /// `Unavailable`, `Protected`; `Refused` for a store of another installation that the folder did not come with.
    pub(super) fn in_store(&mut self, no: StoreNo, folder: FolderId) -> Result<FolderId, Error> {
        let entry = self.shared.slot(no)?.entry();
        let known = self.target(folder)?.known_to.contains(&no);
        match entry.theirs(folder) {
            Some(theirs) if known => return Ok(theirs),
            Some(theirs) if self.draft(no)?.store().state.read().folders.contains_key(&theirs) => {
                self.target(folder)?.known_to.insert(no);
                return Ok(theirs);
            }
            _ if entry.foreign.is_some() => {
                let what = format!(
                    "store {} came from another installation and doesn't know {}: what it holds moves only between \
                     folders that came with it",
                    entry.number,
                    self.target(folder)?.path
                );
                return Err(Error::Refused { what });
            }
            _ => {}
        }
        let Target { path, uid_validity, uid_next, .. } = self.target(folder)?.clone();
        let archive_uid_floor = uid(self.archive_next(path.archive()))?;
        self.tell_names(no, path.archive())?;
        let fact = FolderFact {
            id: folder,
            path,
            uid_validity,
            uid_floor: uid(uid_next)?,
            mod_seq_floor: self.mod_seq,
            archive_uid_floor,
        };
        self.draft(no)?.name(Fact::Folder(fact));
        self.target(folder)?.known_to.insert(no);
        Ok(folder)
    }

    /// Tells a store what folders are called by now that it knows under this archive's name, so that it counts no other
    /// archive's folder among them.
    fn tell_names(&mut self, no: StoreNo, archive: &str) -> Result<(), Error> {
        // Once is enough in a batch, whose folders may be many: it changes no archive's name that it has told.
        if !self.told.insert((no, archive.to_owned())) {
            return Ok(());
        }
        let place = (no, archive.to_owned());
        let shared = self.shared;
        // Held throughout: a view that comes meanwhile clears it then, and nothing that was seen in the last one stays.
        let mut known_in_line = shared.in_line.lock();
        if known_in_line.contains(&place) {
            return Ok(());
        }
        let known: Vec<(FolderId, FolderPath)> = {
            let draft = self.draft(no)?;
            let state = draft.store().state.read();
            let folders = state.folders.iter().filter(|(_, folder)| folder.info.path.archive() == archive);
            folders.map(|(id, folder)| (*id, folder.info.path.clone())).collect()
        };
        let mut in_line = !self.renames;
        for (folder, old) in known {
            let now = self.shared.view.read().get(folder).map(|view| view.info.path.clone());
            if let Some(path) = now.filter(|now| now.archive() != old.archive()) {
                let mod_seq = self.mod_seq;
                self.draft(no)?.name(Fact::Rename { folder, path, mod_seq });
                // It is once that is durable.
                in_line = false;
            }
        }
        if in_line {
            known_in_line.insert(place);
        }
        Ok(())
    }

    pub(super) fn archive_next(&mut self, archive: &str) -> u64 {
        if let Some(next) = self.archives.get(archive) {
            return *next;
        }
        let known = u64::from(self.shared.view.read().archive_next(archive).0);
        self.archives.insert(archive.to_owned(), known);
        known
    }

    /// The next archive-wide UID of an archive is at least this.
    pub(super) fn raise_archive(&mut self, archive: &str, least: Uid) {
        let next = self.archive_next(archive).max(u64::from(least.0));
        self.archives.insert(archive.to_owned(), next);
    }

    /// The folder as the batch leaves it; read from the view the first time.
    pub(super) fn target(&mut self, folder: FolderId) -> Result<&mut Target, Error> {
        if !self.folders.contains_key(&folder) {
            let missing = || Error::Missing { what: format!("folder number {}", folder.0) };
            let target = {
                let view = self.shared.view.read();
                let info = &view.get(folder).ok_or_else(missing)?.info;
                Target {
                    path: info.path.clone(),
                    uid_validity: info.uid_validity,
                    uid_next: u64::from(info.uid_next.0),
                    known_to: HashSet::new(),
                }
            };
            self.folders.insert(folder, target);
        }
        self.folders.get_mut(&folder).ok_or_else(|| Error::Missing { what: "a folder".into() })
    }

    /// The next UID and archive-wide UID of a folder; taken for good by [`Batch::took`].
    pub(super) fn next_uids(&mut self, folder: FolderId) -> Result<(Uid, Uid), Error> {
        let target = self.target(folder)?;
        let (next, archive) = (uid(target.uid_next)?, target.path.archive().to_owned());
        Ok((next, uid(self.archive_next(&archive))?))
    }

    /// The archive-wide UID of a message in a folder's archive: the one that it has there, in whatever folder, first of all
    /// in the store that gets it now; else the next.
    pub(super) fn archive_uid(
        &mut self,
        folder: FolderId,
        store: StoreNo,
        hash: ContentHash,
    ) -> Result<Uid, Error> {
        let archive = self.target(folder)?.path.archive().to_owned();
        let shared = self.shared;
        let pending = || self.archive_uids.get(&archive).and_then(|uids| uids.get(&hash)).copied();
        let known = shared.archive_uid(&archive, &hash, &|no| no == store);
        let known = known.or_else(pending);
        let given = match known.or_else(|| shared.archive_uid(&archive, &hash, &|no| no != store)) {
            Some(known) => known,
            None => uid(self.archive_next(&archive))?,
        };
        self.archive_uids.entry(archive).or_default().insert(hash, given);
        Ok(given)
    }

    /// These UIDs are given.
    pub(super) fn took(&mut self, folder: FolderId, archive_uid: Uid) -> Result<(), Error> {
        let target = self.target(folder)?;
        target.uid_next += 1;
        let archive = target.path.archive().to_owned();
        let next = self.archive_next(&archive).max(u64::from(archive_uid.0) + 1);
        self.archives.insert(archive, next);
        Ok(())
    }

    /// Adds a message and its placement.
    /// # Errors
    /// `Limit` when a name or number is out of bounds: the batch can go on without the message. `Latched`, `Io`: the
    /// batch is lost, nothing of it is visible.
    pub fn add(
        &mut self,
        folder: FolderId,
        message: Prepared,
        placement: &NewPlacement<'_>,
    ) -> Result<Added, Error> {
        bounded("bytes of a source's name", placement.source.len())?;
        bounded("bytes of an occurrence", placement.occurrence.len())?;
        if !self.taken.is_empty() {
            // Placements are applied before moves, whatever order they came in: their UIDs would not rise.
            return Err(Error::Refused { what: "a batch that moves messages can't add any".into() });
        }
        let uid = self.next_uids(folder)?.0;
        let archive_uid = self.archive_uid(folder, self.current, message.hash())?;
        self.in_current(folder)?;
        let uid_validity = self.target(folder)?.uid_validity;
        let bytes = message.incoming.content.len();
        let slot = Slot { folder, uid_validity, uid, archive_uid, mod_seq: self.mod_seq };
        let known = self.current()?.place(slot, message, placement)?;
        self.took(folder, archive_uid)?;
        self.placements += 1;
        self.bytes += bytes;
        Ok(Added { uid, known })
    }

    /// The store that holds a placement, and the folder's number there.
    /// # Errors
    /// `Missing`, also when the batch took it away.
    pub(super) fn holder(&self, folder: FolderId, uid: Uid) -> Result<(StoreNo, FolderId), Error> {
        let missing = || Error::Missing { what: format!("UID {uid} of this folder") };
        if self.taken.get(&folder).is_some_and(|taken| taken.contains(&uid)) {
            return Err(missing());
        }
        let view = self.shared.view.read();
        let parts = &view.get(folder).ok_or_else(missing)?.parts;
        let part = parts.iter().find(|part| part.uids.contains(uid)).ok_or_else(missing)?;
        Ok((part.store, part.folder))
    }

    /// What a store gets of the batch.
    /// # Errors
    /// `Unavailable`, `Protected` when it can't be written; `Latched`.
    pub(super) fn draft(&mut self, no: StoreNo) -> Result<&mut Draft, Error> {
        match self.drafts.entry(no) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(new) => {
                let open = self.shared.slot(no)?.writable()?;
                open.writer.lock().check()?;
                Ok(new.insert(Draft::new(&open)))
            }
        }
    }

    /// The store that takes new mail.
    pub(super) fn current_no(&self) -> StoreNo {
        self.current
    }

    /// The folder has another path from now on.
    pub(super) fn set_path(&mut self, folder: FolderId, path: FolderPath) -> Result<(), Error> {
        let old = std::mem::replace(&mut self.target(folder)?.path, path.clone());
        self.paths.remove(&old);
        self.paths.insert(path, folder);
        Ok(())
    }

    /// Records where a placement that was already there is found now.
    /// # Errors
    /// As [`Batch::add`]. A placement in a store that can't be written keeps what it has, and so does one that was moved
    /// or deleted meanwhile.
    pub fn seen_at(&mut self, folder: FolderId, uid: Uid, occurrence: &str) -> Result<(), Error> {
        bounded("bytes of an occurrence", occurrence.len())?;
        let occurrence = occurrence.to_owned();
        let Ok((store, theirs)) = self.holder(folder, uid) else { return Ok(()) };
        match self.draft(store) {
            Ok(draft) => draft.change(Fact::Occurrence { folder: theirs, uid, occurrence }),
            Err(Error::Protected { .. } | Error::Unavailable { .. }) => {}
            Err(other) => return Err(other),
        }
        Ok(())
    }

    /// Placements added so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.placements
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Canonical bytes added so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes and syncs the batch, then commits the database: on return all of it survives power loss.
    /// # Errors
    /// `Latched`, `Io`: the store takes no more writes until it is reopened.
    pub fn commit(mut self) -> Result<Committed, Error> {
        self.raise_floors()?;
        let (placements, mod_seq) = (self.placements, self.mod_seq);
        let mut committed = Committed { placements, mod_seq: ModSeq(mod_seq.0 - 1) };
        let mut order = vec![self.current];
        order.extend(self.drafts.keys().copied().filter(|no| *no != self.current));
        let mut changed = Vec::new();
        for no in order {
            let Some(mut draft) = self.drafts.remove(&no).filter(|draft| !draft.is_empty()) else { continue };
            if draft.store().state.read().counters.batch == 0
                && let Some(head) = self.shared.opening_head(no)
            {
                draft.name(head);
            }
            let committed_before = !changed.is_empty();
            match self.shared.commit(no, draft, mod_seq) {
                Ok(folders) => changed.extend(folders),
                Err(error) => {
                    // What the store has of it may show after the next opening only, with this mod-sequence: nobody may be told
                    // this or a later one before that.
                    if committed_before {
                        self.shared.torn();
                        self.shared.store(self.current)?.latch(&error);
                    }
                    return Err(error);
                }
            }
            committed.mod_seq = mod_seq;
        }
        // In one step: who sees the mod-sequence sees all that has it.
        self.shared.refresh(&changed);
        if !changed.is_empty() {
            self.shared.subscribers.tell(&changed);
            self.shared.remember_sometimes();
        }
        Ok(committed)
    }
}

/// A UID; the last possible one is never given, so that UIDNEXT always is one.
pub(super) fn uid(number: u64) -> Result<Uid, Error> {
    let limit = u64::from(u32::MAX) - 1;
    match u32::try_from(number) {
        Ok(uid) if number <= limit => Ok(Uid(uid)),
        _ => Err(Error::Limit { what: "UIDs of a folder", found: number, limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_before_they_wrap() {
        assert_eq!(next("n", u32::MAX - 1).unwrap(), u32::MAX);
        assert!(matches!(next("n", u32::MAX), Err(Error::Limit { .. })));
        assert_eq!(uid(u64::from(u32::MAX) - 1).unwrap(), Uid(u32::MAX - 1));
        assert!(matches!(uid(u64::from(u32::MAX)), Err(Error::Limit { .. })));
    }
}
