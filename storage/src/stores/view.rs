//! Folders over all stores, as readers see them.
//!
//! Invariant: it shows committed batches only. A view of a folder that was taken stays what it was. A folder that no open
//! store and no absent one knows is not there; a missing store's messages are (a missing disk is no expunge).

use super::all_mail::Wholes;
use super::left::Left;
use super::registry::Entry;
use crate::db::all_mail::AllMail;
use crate::store::state::{Comment, Folder, State};
use crate::store::{FolderInfo, FolderView, Part, Whole};
use crate::{FolderId, FolderPath, ModSeq, StoreNo, Uid, UidRanges, UidValidity};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

/// One store's folders, open or remembered.
pub(super) struct Share {
    pub(super) store: StoreNo,
    pub(super) entry: Arc<Entry>,
    /// By its own numbers.
    pub(super) folders: HashMap<FolderId, Folder>,
    pub(super) archives: HashMap<String, Uid>,
    /// Each archive as one mailbox, by its own number.
    pub(super) all_mail: HashMap<FolderId, AllMail>,
    pub(super) numbers: Numbers,
    /// It can be read.
    pub(super) open: bool,
}

/// Numbers that the current store alone gives out, over all stores.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Numbers {
    pub(super) next_folder: u32,
    /// The last UIDVALIDITY given.
    pub(super) uid_validity: u32,
    /// The last mod-sequence given.
    pub(super) mod_seq: u64,
}

impl Numbers {
    pub(super) fn of(state: &State) -> Numbers {
        let c = &state.counters;
        Numbers { next_folder: c.next_folder, uid_validity: c.uid_validity, mod_seq: c.mod_seq }
    }

    pub(super) fn max(self, other: Numbers) -> Numbers {
        Numbers {
            next_folder: self.next_folder.max(other.next_folder),
            uid_validity: self.uid_validity.max(other.uid_validity),
            mod_seq: self.mod_seq.max(other.mod_seq),
        }
    }
}

/// The folders of the installation.
#[derive(Debug, Default)]
pub(super) struct View {
    folders: HashMap<FolderId, FolderView>,
    by_path: BTreeMap<FolderPath, FolderId>,
    /// Folders whose first level below the archive is `Inbox` in any case, by archive: of these the oldest is looked for often.
    inboxes: HashMap<String, BTreeSet<(FolderId, FolderPath)>>,
    archives: HashMap<String, Uid>,
    wholes: Wholes,
    pub(super) numbers: Numbers,
    /// The mod-sequences at which stores took messages of folders with them.
    left: HashMap<FolderId, ModSeq>,
}

impl View {
    /// All folders of all stores. `lefts`: what went with stores that are not among them.
    pub(super) fn new(shares: &[Share], lefts: &[Arc<Left>]) -> View {
        let mut view = View::default();
        view.numbers.next_folder = 1;
        for left in lefts {
            let mod_seq = left.mod_seq();
            view.numbers.mod_seq = view.numbers.mod_seq.max(mod_seq.0);
            for folder in left.folders() {
                let known = view.left.entry(folder).or_insert(mod_seq);
                *known = mod_seq.max(*known);
            }
        }
        let mut ids: Vec<FolderId> = Vec::new();
        for share in shares {
            ids.extend(share.folders.keys().filter_map(|id| share.entry.ours(*id)));
        }
        ids.sort_unstable();
        ids.dedup();
        view.refresh(shares, &ids);
        view
    }

    /// Takes in what changed in these folders.
    pub(super) fn refresh(&mut self, shares: &[Share], ids: &[FolderId]) {
        for share in shares {
            // Another installation's numbers are its own; but ours are above its mod-sequences, so that those of its messages that
            // are moved here rise too.
            if share.entry.foreign.is_none() {
                self.numbers = self.numbers.max(share.numbers);
            }
            self.numbers.mod_seq = self.numbers.mod_seq.max(share.numbers.mod_seq).max(share.entry.attached);
            // Another installation's archive-wide UIDs are its own; the adopted archive goes on above them.
            for (archive, next) in &share.archives {
                let next = &Uid(next.0.saturating_add(share.entry.above()));
                match self.archives.get_mut(archive) {
                    Some(known) => *known = (*known).max(*next),
                    None => {
                        self.archives.insert(archive.clone(), *next);
                    }
                }
            }
        }
        for id in ids {
            self.numbers.next_folder = self.numbers.next_folder.max(id.0.saturating_add(1));
            if let Some(old) = self.folders.remove(id)
                && self.by_path.get(&old.info.path) == Some(id)
            {
                self.unlink(&old.info.path);
            }
            if let Some(merged) = self.merge(shares, *id) {
                self.put(merged);
            }
        }
        let archive_of = |folder: FolderId, store: StoreNo| {
            let view = self.folders.get(&folder)?;
            let held = view.parts.iter().any(|part| part.store == store);
            held.then(|| view.info.path.archive().to_owned())
        };
        self.wholes.refresh(shares, &archive_of);
    }

    fn put(&mut self, mut folder: FolderView) {
        let id = folder.info.id;
        // Two folders of one path: one came with a store that was away while the other was made.
        if let Some(other) = self.by_path.get(&folder.info.path).filter(|other| **other != id) {
            let other = *other;
            let suffix = if id > other { id } else { other };
            let taken = format!("{} (folder {})", folder.info.path, suffix.0);
            if let Ok(free) = FolderPath::new(taken) {
                if id > other {
                    folder.info.path = free;
                } else {
                    self.unlink(&folder.info.path.clone());
                    if let Some(later) = self.folders.get_mut(&other) {
                        later.info.path = free.clone();
                        self.link(free, other);
                    }
                }
            }
        }
        self.link(folder.info.path.clone(), id);
        self.folders.insert(id, folder);
    }

    fn link(&mut self, path: FolderPath, id: FolderId) {
        if is_inbox(&path) {
            let inboxes = self.inboxes.entry(path.archive().to_owned()).or_default();
            inboxes.insert((id, path.clone()));
        }
        self.by_path.insert(path, id);
    }

    fn unlink(&mut self, path: &FolderPath) {
        let Some(id) = self.by_path.remove(path) else { return };
        if let Some(inboxes) = self.inboxes.get_mut(path.archive()) {
            inboxes.remove(&(id, path.clone()));
            if inboxes.is_empty() {
                self.inboxes.remove(path.archive());
            }
        }
    }

    /// As it is spelled in the archive, the first level named `Inbox` in any case; of several the one of the oldest folder.
    pub(super) fn inbox_of(&self, archive: &str) -> Option<&str> {
        self.inbox_among(archive, |_| true)
    }

    /// As [`View::inbox_of`], of the folders for which `is_meant` says so.
    pub(super) fn inbox_among(&self, archive: &str, is_meant: impl Fn(&FolderPath) -> bool) -> Option<&str> {
        let mut oldest_first = self.inboxes.get(archive)?.iter().map(|(_, path)| path);
        oldest_first.find(|path| is_meant(path))?.inner()?.split('/').next()
    }

    /// The folder of this path.
    pub(super) fn at(&self, path: &str) -> Option<&FolderView> {
        self.by_path.get(path).and_then(|id| self.folders.get(id))
    }

    /// The folders from this place in the order of paths on.
    pub(super) fn from(&self, place: Bound<&str>) -> impl Iterator<Item = &FolderView> {
        let range = self.by_path.range::<str, _>((place, Bound::Unbounded));
        range.filter_map(|(_, id)| self.folders.get(id))
    }

    /// A folder out of what each store knows of it.
    fn merge(&mut self, shares: &[Share], id: FolderId) -> Option<FolderView> {
        let mut parts = Vec::new();
        let mut info: Option<FolderInfo> = None;
        let (mut since, mut gone) = (None, false);
        let mut comment: Option<&Comment> = None;
        for share in shares {
            let Some(theirs) = share.entry.theirs(id) else { continue };
            let Some(folder) = share.folders.get(&theirs) else { continue };
            if !folder.uids.is_empty() {
                let uids = Arc::clone(&folder.uids);
                parts.push(Part { store: share.store, folder: theirs, uids, whole: Whole::Folder });
            }
            // What was attached again changed then.
            let raised = ModSeq(if folder.uids.is_empty() { 0 } else { share.entry.attached });
            let mod_seq = folder.info.highest_mod_seq.max(raised);
            let merged = info.get_or_insert_with(|| FolderInfo {
                id,
                messages: 0,
                bytes: 0,
                highest_mod_seq: mod_seq,
                ..folder.info.clone()
            });
            merged.uid_next = merged.uid_next.max(folder.info.uid_next);
            merged.messages += folder.info.messages;
            merged.bytes = merged.bytes.saturating_add(folder.info.bytes);
            merged.highest_mod_seq = merged.highest_mod_seq.max(mod_seq);
            if share.entry.foreign.is_none()
                && let Some(said) = &folder.comment
                && comment.is_none_or(|other| said.since >= other.since)
            {
                comment = Some(said);
            }
            // Another installation's mod-sequences say nothing here: the adopting store has the folder's name.
            if share.entry.foreign.is_none() && since.is_none_or(|since| folder.path_since >= since) {
                since = Some(folder.path_since);
                merged.path = folder.info.path.clone();
                merged.uid_validity = folder.info.uid_validity;
                gone = folder.gone;
            }
        }
        if let Some(info) = &mut info {
            if let Some(left) = self.left.get(&id) {
                info.highest_mod_seq = info.highest_mod_seq.max(*left);
            }
            self.wholes.knows(info);
        }
        // Removed, but a store that was off then holds messages of it: they are not hidden.
        let info = info.filter(|_| !gone || !parts.is_empty())?;
        let uids = match parts.as_slice() {
            [only] => Arc::clone(&only.uids),
            several => Arc::new(UidRanges::from_spans(several.iter().flat_map(|part| part.uids.spans()))),
        };
        let comment = comment.map(|said| Arc::clone(&said.text)).filter(|text| !text.is_empty());
        Some(FolderView { info, uids, comment, parts: parts.into(), whole_archive: false, year: None })
    }

    pub(super) fn get(&self, id: FolderId) -> Option<&FolderView> {
        self.folders.get(&id)
    }

    pub(super) fn by_path(&self, path: &FolderPath) -> Option<&FolderView> {
        self.by_path.get(path).and_then(|id| self.folders.get(id))
    }

    /// All folders, sorted by path.
    pub(super) fn sorted(&self) -> impl Iterator<Item = &FolderView> {
        self.by_path.values().filter_map(|id| self.folders.get(id))
    }

    /// A folder and those below it, sorted by path.
    pub(super) fn below(&self, path: &str) -> Vec<&FolderView> {
        let prefix = format!("{path}/");
        // A blank is the least character that a path may hold.
        let (Ok(top), Ok(first)) = (FolderPath::new(path), FolderPath::new(format!("{prefix} "))) else {
            return Vec::new();
        };
        let below = self.by_path.range(first..).take_while(|(path, _)| path.as_str().starts_with(&prefix));
        let ids = self.by_path.get(&top).into_iter().chain(below.map(|(_, id)| id));
        ids.filter_map(|id| self.folders.get(id)).collect()
    }

    /// An archive's messages as one mailbox; none for an archive without folders.
    pub(super) fn all_mail(&self, archive: &str) -> Option<FolderView> {
        let (Ok(top), Ok(first)) = (FolderPath::new(archive), FolderPath::new(format!("{archive}/ "))) else {
            return None;
        };
        let mut below = self.by_path.range(first..);
        if !self.by_path.contains_key(&top) && below.next().is_none_or(|(path, _)| path.archive() != archive)
        {
            return None;
        }
        self.wholes.view(archive, self.archive_next(archive))
    }

    /// The archive that a folder is or was part of.
    pub(super) fn archive_of(&self, folder: FolderId) -> Option<&str> {
        self.wholes.archive_of(folder)
    }

    /// The first folder that a folder's archive ever had, the archive, and the UIDVALIDITY that all its mail has of that.
    pub(super) fn first_of(&self, folder: FolderId) -> Option<(FolderId, (String, UidValidity))> {
        self.wholes.first_of(folder)
    }

    /// Whether an archive's messages can keep their numbers under the name of another one that is empty: not if that had
    /// others under the same UIDVALIDITY.
    pub(super) fn may_become(&self, archive: &str, other: &str) -> bool {
        self.wholes.may_become(archive, other)
    }

    /// The highest of all archives' next archive-wide UIDs.
    pub(super) fn highest_archive_next(&self) -> Uid {
        self.archives.values().copied().max().unwrap_or(Uid(1))
    }

    /// An archive's next archive-wide UID.
    pub(super) fn archive_next(&self, archive: &str) -> Uid {
        self.archives.get(archive).copied().unwrap_or(Uid(1))
    }
}

fn is_inbox(path: &FolderPath) -> bool {
    let first = path.inner().and_then(|inner| inner.split('/').next());
    first.is_some_and(|first| first.eq_ignore_ascii_case("inbox"))
}
