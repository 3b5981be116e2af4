//! An archive's messages as one mailbox, over all stores.
//!
//! Invariant: a message is shown once, under the archive-wide UID that all its placements carry; a UID that several stores
//! have is shown from the first of them that can be read. UIDVALIDITY is that of the archive's first folder, removed or not:
//! every store that holds something of the archive can tell it. Views cost the ranges of UIDs, and are put together when
//! stores change, not when they are asked for. Left to others: the mailbox of one store (`db/all_mail`).

use super::view::Share;
use super::{Shared, Storage};
use crate::db::all_mail::AllMail;
use crate::store::{FolderInfo, FolderView, Part, Whole};
use crate::{ContentHash, Error, FolderId, FolderPath, ModSeq, StoreNo, Uid, UidRanges, UidValidity};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// The archives as mailboxes.
#[derive(Debug, Default)]
pub(super) struct Wholes {
    /// What each store holds of each archive, by its own number of it.
    held: HashMap<(StoreNo, FolderId), Held>,
    /// The stores' parts of each archive.
    of: HashMap<String, BTreeSet<(StoreNo, FolderId)>>,
    /// All folders that an archive ever had, as far as stores know them, their UIDVALIDITYs and highest mod-sequences.
    folders: HashMap<String, BTreeMap<FolderId, (UidValidity, ModSeq)>>,
    archive_of: HashMap<FolderId, String>,
    ready: HashMap<String, Together>,
}

/// What one store holds of an archive.
#[derive(Debug)]
struct Held {
    archive: String,
    all: AllMail,
    uids: Arc<UidRanges>,
    above: u32,
    open: bool,
}

/// An archive, put together.
#[derive(Debug, Clone)]
struct Together {
    uids: Arc<UidRanges>,
    parts: Arc<[Part]>,
    bytes: u64,
}

impl Wholes {
    /// The archive that a folder is part of.
    pub(super) fn archive_of(&self, folder: FolderId) -> Option<&str> {
        self.archive_of.get(&folder).map(String::as_str)
    }

    /// A folder belongs to its archive, removed or not.
    pub(super) fn knows(&mut self, info: &FolderInfo) {
        let (folder, archive) = (info.id, info.path.archive());
        let before = self.archive_of.get(&folder).filter(|before| *before != archive);
        if let Some(folders) = before.and_then(|before| self.folders.get_mut(before)) {
            folders.remove(&folder);
        }
        self.archive_of.insert(folder, archive.to_owned());
        let of_folder = (info.uid_validity, info.highest_mod_seq);
        self.folders.entry(archive.to_owned()).or_default().insert(folder, of_folder);
    }

    /// Takes in what stores hold. `archive_of`: the archive of one of our folders, if the store holds mail of it.
    pub(super) fn refresh(
        &mut self,
        shares: &[Share],
        archive_of: &dyn Fn(FolderId, StoreNo) -> Option<String>,
    ) {
        let mut changed = BTreeSet::new();
        for share in shares {
            let above = share.entry.above();
            for (number, all) in &share.all_mail {
                let key = (share.store, *number);
                if let Some(before) = self.held.remove(&key) {
                    if let Some(parts) = self.of.get_mut(&before.archive) {
                        parts.remove(&key);
                    }
                    changed.insert(before.archive);
                }
                // The store's own name of the archive may be one that it had once.
                let ours = all.folders.iter().filter_map(|folder| share.entry.ours(*folder));
                let Some(archive) = ours.into_iter().find_map(|folder| archive_of(folder, share.store))
                else {
                    continue;
                };
                let uids = if above == 0 { Arc::clone(&all.uids) } else { Arc::new(all.uids.raised(above)) };
                let held = Held { archive: archive.clone(), all: all.clone(), uids, above, open: share.open };
                self.held.insert(key, held);
                self.of.entry(archive.clone()).or_default().insert(key);
                changed.insert(archive);
            }
        }
        for archive in changed {
            let whole = self.put_together(&archive);
            self.ready.insert(archive, whole);
        }
    }

    fn put_together(&self, archive: &str) -> Together {
        let keys = self.of.get(archive).into_iter().flatten();
        let mut held: Vec<(&(StoreNo, FolderId), &Held)> =
            keys.filter_map(|key| Some((key, self.held.get(key)?))).collect();
        // What several stores have is shown from one that can be read.
        held.sort_by_key(|(key, held)| (!held.open, **key));
        let mut uids: Arc<UidRanges> = Arc::default();
        let (mut parts, mut bytes) = (Vec::new(), 0u64);
        for ((store, number), held) in held {
            bytes = bytes.saturating_add(held.all.bytes);
            let new = if held.uids.intersect(&uids).is_empty() {
                Arc::clone(&held.uids)
            } else {
                Arc::new(held.uids.subtract(&uids))
            };
            if new.is_empty() {
                continue;
            }
            uids = match uids.is_empty() {
                true => Arc::clone(&new),
                false => Arc::new(UidRanges::from_spans(uids.spans().chain(new.spans()))),
            };
            let whole = Whole::AllMail { above: held.above };
            parts.push(Part { store: *store, folder: *number, uids: new, whole });
        }
        Together { uids, parts: parts.into(), bytes }
    }

    /// The archive as a mailbox.
    pub(super) fn view(&self, archive: &str, uid_next: Uid) -> Option<FolderView> {
        let folders = self.folders.get(archive)?;
        let (id, (uid_validity, _)) = folders.first_key_value()?;
        // Whatever changes here changes in a folder, and what a folder had when it was removed stays known.
        let highest_mod_seq = folders.values().map(|(_, mod_seq)| *mod_seq).max()?;
        let empty = || Together { uids: Arc::default(), parts: Vec::new().into(), bytes: 0 };
        let whole = self.ready.get(archive).cloned().unwrap_or_else(empty);
        let info = FolderInfo {
            id: *id,
            path: FolderPath::new(archive).ok()?,
            uid_validity: *uid_validity,
            uid_next,
            messages: whole.uids.len(),
            bytes: whole.bytes,
            highest_mod_seq,
        };
        Some(FolderView {
            info,
            uids: whole.uids,
            comment: None,
            parts: whole.parts,
            whole_archive: true,
            year: None,
        })
    }

    /// The first folder of a folder's archive, with the archive and the folder's UIDVALIDITY.
    pub(super) fn first_of(&self, folder: FolderId) -> Option<(FolderId, (String, UidValidity))> {
        let archive = self.archive_of.get(&folder)?;
        let (first, (uid_validity, _)) = self.folders.get(archive)?.first_key_value()?;
        Some((*first, (archive.clone(), *uid_validity)))
    }

    /// Whether nothing that the other archive had stands under the UIDVALIDITY that this one would have by its name.
    pub(super) fn may_become(&self, archive: &str, other: &str) -> bool {
        let first = |archive: &str| self.folders.get(archive)?.first_key_value().map(|(id, _)| *id);
        match (first(archive), first(other)) {
            (Some(ours), Some(theirs)) => archive == other || ours < theirs,
            _ => true,
        }
    }
}

impl Shared {
    /// The archive-wide UID that a message has in an archive already, in the stores that `asked` picks and that can be asked.
    pub(super) fn archive_uid(
        &self,
        archive: &str,
        hash: &ContentHash,
        asked: &dyn Fn(StoreNo) -> bool,
    ) -> Option<Uid> {
        let mut least: Option<Uid> = None;
        for slot in self.all_slots().into_iter().filter(|slot| asked(slot.no)) {
            let Ok(store) = slot.store() else { continue };
            let entry = slot.entry();
            let look = || -> Result<Option<Uid>, Error> {
                let Some(msg) = store.db.find(hash)? else { return Ok(None) };
                for (folder, uid) in store.db.places_of(msg)? {
                    let Some(ours) = entry.ours(folder) else { continue };
                    let view = self.view.read();
                    if view.get(ours).is_none_or(|view| view.info.path.archive() != archive) {
                        continue;
                    }
                    drop(view);
                    if let Some(placed) = store.db.placed(folder, uid)? {
                        return Ok(Some(Uid(placed.archive_uid.0.saturating_add(entry.above()))));
                    }
                }
                Ok(None)
            };
            match look() {
                Ok(found) => least = least.into_iter().chain(found).min(),
                // A store that can't be read keeps no mail out: the message gets a UID of its own.
                Err(error) => {
                    tracing::error!(store = entry.number, %error, "a store could not be asked for a message")
                }
            }
        }
        least
    }
}

impl Storage {
    /// All messages of an archive as one mailbox, each once; its UIDs are archive-wide ones, its UIDVALIDITY that of the
    /// archive's first folder. Rows, cards, search and messages work as those of a folder. None while it has no folder.
    #[must_use]
    pub fn all_mail(&self, archive: &str) -> Option<FolderView> {
        self.shared.view.read().all_mail(archive)
    }

    /// The folder, and the UID there, of the placement that [`Storage::all_mail`] shows under a UID.
    /// # Errors
    /// Those of the database; `Unavailable`.
    pub fn placement(&self, view: &FolderView, uid: Uid) -> Result<Option<(FolderPath, Uid)>, Error> {
        let Some(part) = view.parts.iter().find(|part| part.uids.contains(uid)) else { return Ok(None) };
        let Whole::AllMail { above } = part.whole else { return Ok(Some((view.info.path.clone(), uid))) };
        let name = uid.0.saturating_sub(above);
        let entry = self.shared.slot(part.store)?.entry();
        let places = self.shared.store(part.store)?.db.all_mail_places(part.folder, &[(name, name)])?;
        let Some((_, at)) = places.first() else { return Ok(None) };
        let view = self.shared.view.read();
        let folder = entry.ours(at.folder).and_then(|ours| view.get(ours));
        Ok(folder.map(|folder| (folder.info.path.clone(), at.uid)))
    }
}
