//! What changes folders and messages after they were archived: moves, renames, removals, deletions.
//!
//! Invariant: a placement stays in the store that holds it; new UIDs and the mod-sequence are the current store's, which is
//! told of them (and synced) before the holding store takes them. Renames and removals are facts of the current store alone:
//! among stores the highest mod-sequence wins. What a store that can't be written holds is refused before anything changes.
//! Left to others: who may do it, how much goes into one batch, and erasing (`store/compact`).

use super::batch::{Batch, uid};
use super::{Shared, Storage};
use crate::store::Cancel;
use crate::store::facts::{DeletionFact, Fact, FloorsFact, MAX_COMMENT, MoveFact};
use crate::{Error, FolderId, FolderPath, FolderView, Uid, UidRanges};
use std::sync::Arc;

/// Messages that one batch moves or deletes: each is whole, and a cancel waits for one.
const BATCH_MESSAGES: usize = 2_000;

impl Batch<'_> {
    /// Moves a message to another folder; gives its UID there. What it was seen as at its source goes along, and is
    /// remembered where it was.
    /// # Errors
    /// `Missing`; `Unavailable` and `Protected` name the store that holds it; `Refused`; `Limit`. `Latched`, `Io`: the
    /// batch is lost, nothing of it is visible.
    pub fn move_message(&mut self, from: FolderId, from_uid: Uid, to: FolderId) -> Result<Uid, Error> {
        if from == to {
            return Err(Error::Refused { what: "the message is in that folder already".into() });
        }
        self.only_changes()?;
        let (store, theirs) = self.holder(from, from_uid)?;
        let there = self.in_store(store, to)?;
        let to_uid = self.next_uids(to)?.0;
        let archive = self.target(from)?.path.archive().to_owned();
        let (mod_seq, target) = (self.mod_seq, self.target(to)?.clone());
        let same_archive = target.path.archive() == archive;
        let holder = Arc::clone(self.draft(store)?.store());
        let placed = holder.db.placed(theirs, from_uid)?;
        let placed =
            placed.ok_or_else(|| Error::Missing { what: format!("UID {from_uid} of this folder") })?;
        let above = self.shared.slot(store)?.entry().above();
        let archive_uid = if same_archive {
            Uid(placed.archive_uid.0.saturating_add(above))
        } else {
            let known = self.archive_uid(to, store, holder.db.message(placed.row.msg)?.hash)?;
            // A store of another installation can't say one that was given before it came.
            if known.0 > above { known } else { self.next_uids(to)?.1 }
        };
        let draft = self.draft(store)?;
        let validity = draft.store().state.read().folders.get(&there).map(|folder| folder.info.uid_validity);
        let mut fact = MoveFact {
            from: theirs,
            from_uid,
            to: there,
            to_uid,
            archive_uid: Uid(archive_uid.0.saturating_sub(above)),
            mod_seq,
            evidence: placed_nowhere(),
        };
        let fields = fact.leaf_fields(validity.unwrap_or(target.uid_validity));
        fact.evidence = draft.leaf(MoveFact::LEAF, &fields)?;
        draft.change(Fact::Move(fact));
        self.took(to, archive_uid)?;
        self.take(store, from, from_uid);
        if store != self.current_no() {
            self.floors.insert(to);
        }
        Ok(to_uid)
    }

    /// Deletes a message from a folder. Its bytes stay in the packs until the store is compacted; that it was seen at its
    /// source is remembered, so that the next run doesn't bring it back.
    /// # Errors
    /// As [`Batch::move_message`].
    pub fn delete_message(&mut self, folder: FolderId, uid: Uid) -> Result<(), Error> {
        self.only_changes()?;
        let (store, theirs) = self.holder(folder, uid)?;
        let mod_seq = self.mod_seq;
        let draft = self.draft(store)?;
        let missing = || Error::Missing { what: format!("folder number {} of its store", theirs.0) };
        let validity = draft.store().state.read().folders.get(&theirs).map(|folder| folder.info.uid_validity);
        let mut fact = DeletionFact { folder: theirs, uid, mod_seq, evidence: placed_nowhere() };
        let fields = fact.leaf_fields(validity.ok_or_else(missing)?);
        fact.evidence = draft.leaf(DeletionFact::LEAF, &fields)?;
        draft.change(Fact::Deletion(fact));
        self.take(store, folder, uid);
        Ok(())
    }

    /// Gives a folder and all below it another path; UIDs and UIDVALIDITY stay. Within an archive, or a whole archive.
    /// Gives how many folders that were.
    /// # Errors
    /// `Missing`; `Refused` when the new path is taken, lies below the old one, or in another archive.
    pub fn rename(&mut self, from: &FolderPath, to: &FolderPath) -> Result<u64, Error> {
        let below = self.shared.view.read().below(from.as_str()).into_iter().cloned().collect::<Vec<_>>();
        if below.is_empty() {
            return Err(Error::Missing { what: format!("folder {from}") });
        }
        if !self.shared.can_rename(from, to) {
            let what = format!(
                "{from} and {to} lie in two archives, or {to} was another one's name: the messages must be moved, which \
                 gives them new UIDs"
            );
            return Err(Error::Refused { what });
        }
        if is_within(to, from) {
            return Err(Error::Refused { what: format!("{to} lies below {from}, or is the same") });
        }
        if !self.shared.view.read().below(to.as_str()).is_empty() {
            let what = format!("{to} is there already: merge the folders, or choose a name that is free");
            return Err(Error::Refused { what });
        }
        let paths = below.iter().map(|folder| moved_path(&folder.info.path, from, to));
        let paths = paths.collect::<Result<Vec<_>, Error>>()?;
        self.renames = true;
        self.shared.in_line.lock().clear();
        for (folder, path) in below.iter().zip(paths) {
            let id = folder.info.id;
            self.in_current(id)?;
            let mod_seq = self.mod_seq;
            self.current()?.change(Fact::Rename { folder: id, path: path.clone(), mod_seq });
            self.set_path(id, path)?;
        }
        Ok(below.len() as u64)
    }

    /// Removes a folder that holds no message once the batch is done. Its number and UIDVALIDITY are never used again.
    /// # Errors
    /// `Missing`; `Refused` when it holds messages.
    pub fn remove_folder(&mut self, folder: FolderId) -> Result<(), Error> {
        self.only_changes()?;
        let view = self.shared.view.read().get(folder).cloned();
        let view = view.ok_or_else(|| Error::Missing { what: format!("folder number {}", folder.0) })?;
        let taken = self.taken.get(&folder).map_or(0, |taken| taken.len() as u64);
        let begun = u64::from(view.info.uid_next.0) != self.target(folder)?.uid_next;
        if view.uids.len() > taken || begun {
            return Err(Error::Refused { what: format!("{} is not empty", view.info.path) });
        }
        self.in_current(folder)?;
        let mod_seq = self.mod_seq;
        self.current()?.change(Fact::FolderGone { folder, mod_seq });
        Ok(())
    }

    /// Says something of a folder to all who read it; an empty text takes away what was said. No message and no number of the
    /// folder changes.
    /// # Errors
    /// `Missing`; `Limit` above 16 KiB; `Refused` for control characters other than line ends and tabs.
    pub fn comment(&mut self, folder: FolderId, text: &str) -> Result<(), Error> {
        let (found, limit) = (text.len() as u64, MAX_COMMENT as u64);
        if found > limit {
            return Err(Error::Limit { what: "bytes of a folder's comment", found, limit });
        }
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return Err(Error::Refused {
                what: "a comment has no control characters but line ends and tabs".into(),
            });
        }
        self.in_current(folder)?;
        let mod_seq = self.mod_seq;
        self.current()?.change(Fact::Comment { folder, text: text.to_owned(), mod_seq });
        Ok(())
    }

    /// Tells the current store what other stores take of numbers: its facts are synced first.
    pub(super) fn raise_floors(&mut self) -> Result<(), Error> {
        for folder in std::mem::take(&mut self.floors) {
            self.in_current(folder)?;
            let target = self.target(folder)?;
            let (next, archive) = (uid(target.uid_next)?, target.path.archive().to_owned());
            let archive_uid = uid(self.archive_next(&archive))?;
            let mod_seq = self.mod_seq;
            // Behind the moves within this store, whose UIDs lie below.
            self.current()?.change(Fact::Floors(FloorsFact { folder, uid: next, mod_seq, archive_uid }));
        }
        Ok(())
    }

    fn take(&mut self, store: crate::StoreNo, folder: FolderId, uid: Uid) {
        self.taken.entry(folder).or_default().insert(uid);
        if store != self.current_no() {
            self.floors.insert(folder);
        }
    }

    fn only_changes(&self) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        Err(Error::Refused { what: "a batch that adds messages can't move or delete any".into() })
    }
}

/// Stands in a fact until its leaf is known.
fn placed_nowhere() -> crate::store::facts::Evidence {
    crate::store::facts::Evidence { leaf: 0, salt: None, hash: [0; 32] }
}

/// Whether `path` is `top` or lies below it.
fn is_within(path: &FolderPath, top: &FolderPath) -> bool {
    path.as_str().strip_prefix(top.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The path that a folder below `from` has below `to`.
fn moved_path(path: &FolderPath, from: &FolderPath, to: &FolderPath) -> Result<FolderPath, Error> {
    let rest = path.as_str().strip_prefix(from.as_str()).unwrap_or_default();
    FolderPath::new(format!("{to}{rest}")).map_err(|error| Error::Refused { what: error.to_string() })
}

impl Shared {
    /// Whether messages can keep their numbers: archive-wide UIDs are those of one archive, and a name that had others must
    /// not give them again.
    fn can_rename(&self, from: &FolderPath, to: &FolderPath) -> bool {
        from.archive() == to.archive()
            || (from.inner().is_none()
                && to.inner().is_none()
                && self.view.read().may_become(from.archive(), to.archive()))
    }

    /// Whether every store that holds one of these messages can be written.
    fn changeable(&self, view: &FolderView, uids: &UidRanges) -> Result<(), Error> {
        for part in view.parts.iter().filter(|part| !part.uids.intersect(uids).is_empty()) {
            self.slot(part.store)?.writable()?.writer.lock().check()?;
        }
        Ok(())
    }
}

impl Storage {
    /// Moves these messages of a folder; a new folder is made. In batches, each of which is whole: after a cancel the
    /// rest is where it was. Gives how many were moved; `progress` gets how many are, and of how many.
    /// # Errors
    /// Before anything is moved: `Missing`, `Unavailable`, `Protected`, `Refused`. `Cancelled`, `Latched`, `Io`.
    pub fn move_messages(
        &self,
        from: &FolderPath,
        uids: &UidRanges,
        to: &FolderPath,
        cancel: &Cancel,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<u64, Error> {
        if from == to {
            return Err(Error::Refused { what: format!("the messages are in {to} already") });
        }
        self.in_batches(from, uids, cancel, progress, &mut |batch, folder, uid| {
            let to = batch.folder(to)?;
            batch.move_message(folder, uid, to).map(|_| ())
        })
    }

    /// Deletes these messages of a folder, as [`Storage::move_messages`] moves them.
    /// # Errors
    /// As there.
    pub fn delete_messages(
        &self,
        folder: &FolderPath,
        uids: &UidRanges,
        cancel: &Cancel,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<u64, Error> {
        self.in_batches(folder, uids, cancel, progress, &mut |batch, folder, uid| {
            batch.delete_message(folder, uid)
        })
    }

    /// Says something of a folder, durably on return; see [`Batch::comment`].
    /// # Errors
    /// As there; `Latched`, `Io`.
    pub fn comment(&self, folder: &FolderPath, text: &str, cancel: &Cancel) -> Result<(), Error> {
        let missing = || Error::Missing { what: format!("folder {folder}") };
        let mut batch = self.batch(cancel)?;
        let id = self.view(folder).ok_or_else(missing)?.info.id;
        batch.comment(id, text)?;
        batch.commit().map(|_| ())
    }

    /// The UIDs of `uids` that a folder has, if all of them can be changed.
    /// # Errors
    /// `Missing` when there is no such folder; `Unavailable`, `Protected`, `Latched`.
    pub fn changeable(&self, folder: &FolderPath, uids: &UidRanges) -> Result<UidRanges, Error> {
        let missing = || Error::Missing { what: format!("folder {folder}") };
        let view = self.view(folder).ok_or_else(missing)?;
        let uids = view.uids.intersect(uids);
        self.shared.changeable(&view, &uids)?;
        Ok(uids)
    }

    fn in_batches(
        &self,
        folder: &FolderPath,
        uids: &UidRanges,
        cancel: &Cancel,
        progress: &mut dyn FnMut(u64, u64),
        change: &mut dyn FnMut(&mut Batch<'_>, FolderId, Uid) -> Result<(), Error>,
    ) -> Result<u64, Error> {
        let missing = || Error::Missing { what: format!("folder {folder}") };
        let id = self.view(folder).ok_or_else(missing)?.info.id;
        let uids = self.changeable(folder, uids)?;
        let (mut done, total) = (0, uids.len());
        let mut rest = uids.iter().peekable();
        progress(done, total);
        while rest.peek().is_some() {
            let mut batch = self.batch(cancel)?;
            let mut changed = 0;
            for uid in rest.by_ref().take(BATCH_MESSAGES) {
                match change(&mut batch, id, uid) {
                    Ok(()) => changed += 1,
                    // Another command was there first.
                    Err(Error::Missing { .. }) => {}
                    Err(other) => return Err(other),
                }
            }
            batch.commit()?;
            done += changed;
            progress(done, total);
        }
        Ok(done)
    }

    /// Gives a folder and all below it another path. Where the numbers can't be kept (into another archive), the messages
    /// are moved and get new UIDs there. Gives how many folders and messages were changed: messages only where they moved.
    /// # Errors
    /// As [`Batch::rename`] and [`Storage::move_messages`].
    pub fn move_folder(
        &self,
        from: &FolderPath,
        to: &FolderPath,
        cancel: &Cancel,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Changed, Error> {
        if !self.shared.can_rename(from, to) {
            if !self.shared.view.read().below(to.as_str()).is_empty() {
                let what = format!("{to} is there already: merge the folders, or choose a name that is free");
                return Err(Error::Refused { what });
            }
            return self.merge_folder(from, to, cancel, progress);
        }
        let mut batch = self.batch(cancel)?;
        let folders = batch.rename(from, to)?;
        batch.commit()?;
        Ok(Changed { folders, messages: 0 })
    }

    /// Moves all messages of a folder into another one, and of the folders below it into those of their names below the
    /// other, then removes the emptied folders.
    /// # Errors
    /// As [`Storage::move_messages`]; `Refused` when the target lies in the folder.
    pub fn merge_folder(
        &self,
        from: &FolderPath,
        into: &FolderPath,
        cancel: &Cancel,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Changed, Error> {
        let below = self.tree(from)?;
        if is_within(into, from) {
            return Err(Error::Refused { what: format!("{into} lies below {from}, or is the same") });
        }
        let mut pairs = Vec::with_capacity(below.len());
        for view in below {
            let to = moved_path(&view.info.path, from, into)?;
            if is_within(&to, from) {
                let what =
                    format!("{} would come into {to}, which goes itself: rename it first", view.info.path);
                return Err(Error::Refused { what });
            }
            self.shared.changeable(&view, &view.uids)?;
            pairs.push((view, to));
        }
        let total: u64 = pairs.iter().map(|(view, _)| view.uids.len()).sum();
        let mut changed = Changed::default();
        for (view, to) in &pairs {
            let before = changed.messages;
            let mut told = |done, _| progress(before + done, total);
            if view.uids.is_empty() {
                // Its name is kept, as that of a folder with messages is.
                let mut batch = self.batch(cancel)?;
                batch.folder(to)?;
                batch.commit()?;
            }
            changed.messages += self.move_messages(&view.info.path, &view.uids, to, cancel, &mut told)?;
        }
        changed.folders = self.remove_empty(pairs.iter().map(|(view, _)| view), cancel)?;
        Ok(changed)
    }

    /// Removes a folder. With `messages`, all below it too, messages first; else only if nothing is in it or below it.
    /// # Errors
    /// As [`Storage::delete_messages`]; `Refused` when it is not empty.
    pub fn delete_folder(
        &self,
        folder: &FolderPath,
        messages: bool,
        cancel: &Cancel,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Changed, Error> {
        let below = self.tree(folder)?;
        let total: u64 = below.iter().map(|view| view.uids.len()).sum();
        if !messages && (total > 0 || below.len() > 1) {
            let folders = below.len();
            return Err(Error::Refused {
                what: format!(
                    "{folder} is not empty: {total} messages in {folders} folders would go with it"
                ),
            });
        }
        for view in &below {
            self.shared.changeable(view, &view.uids)?;
        }
        let mut changed = Changed::default();
        for view in &below {
            let before = changed.messages;
            let mut told = |done, _| progress(before + done, total);
            changed.messages += self.delete_messages(&view.info.path, &view.uids, cancel, &mut told)?;
        }
        changed.folders = self.remove_empty(below.iter(), cancel)?;
        Ok(changed)
    }

    /// A folder and those below it; at least one.
    fn tree(&self, top: &FolderPath) -> Result<Vec<FolderView>, Error> {
        let below: Vec<FolderView> =
            self.shared.view.read().below(top.as_str()).into_iter().cloned().collect();
        if below.is_empty() {
            return Err(Error::Missing { what: format!("folder {top}") });
        }
        Ok(below)
    }

    /// Removes these folders; one that got mail meanwhile stays.
    fn remove_empty<'a>(
        &self,
        folders: impl Iterator<Item = &'a FolderView>,
        cancel: &Cancel,
    ) -> Result<u64, Error> {
        let mut batch = self.batch(cancel)?;
        let mut removed = 0;
        for view in folders {
            match batch.remove_folder(view.info.id) {
                // It was removed while a store was away, and went with the last message of that one.
                Ok(()) | Err(Error::Missing { .. }) => removed += 1,
                Err(Error::Refused { what }) => tracing::warn!(what, "a folder stays"),
                Err(other) => return Err(other),
            }
        }
        batch.commit()?;
        Ok(removed)
    }
}

/// How much a command changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changed {
    /// Folders that were renamed or removed.
    pub folders: u64,
    /// Messages that were moved or deleted.
    pub messages: u64,
}
