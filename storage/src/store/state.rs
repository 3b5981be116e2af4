//! What every reader needs without asking the database: folders with their UIDs, and the writer's counters.
//!
//! Invariant: it shows committed batches only, and changes in one step after the database's commit. A view that was
//! taken stays what it was.

use crate::pack::Addr;
use crate::{FolderId, FolderPath, FolderView, Uid};
use std::collections::{BTreeMap, HashMap};

/// Numbers that only rise, and sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) next_msg: u32,
    pub(crate) next_folder: u32,
    pub(crate) next_source: u32,
    pub(crate) next_leaf: u64,
    /// The last UIDVALIDITY given.
    pub(crate) uid_validity: u32,
    /// The last mod-sequence given.
    pub(crate) mod_seq: u64,
    /// The last batch's number.
    pub(crate) batch: u64,
    /// Up to here the packs are in the database.
    pub(crate) watermark: Option<Addr>,
    /// The tag of the commit record before the watermark.
    pub(crate) commit_tag: [u8; 16],
    pub(crate) placements: u64,
    pub(crate) message_bytes: u64,
}

/// The folders and counters as of the last commit.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) folders: HashMap<FolderId, FolderView>,
    pub(crate) by_path: BTreeMap<FolderPath, FolderId>,
    /// The next archive-wide UID of each archive.
    pub(crate) archives: HashMap<String, Uid>,
    pub(crate) counters: Counters,
}

impl State {
    /// An empty store's state; UIDVALIDITY counts from `created`, seconds since 1970.
    pub(crate) fn new(created: u64) -> State {
        let counters = Counters {
            next_msg: 0,
            next_folder: 1,
            next_source: 1,
            next_leaf: 0,
            uid_validity: u32::try_from(created).unwrap_or(1).max(1),
            mod_seq: 0,
            batch: 0,
            watermark: None,
            commit_tag: [0; 16],
            placements: 0,
            message_bytes: 0,
        };
        State { folders: HashMap::new(), by_path: BTreeMap::new(), archives: HashMap::new(), counters }
    }

    /// Makes a folder as it stands now known.
    pub(crate) fn put_folder(&mut self, view: FolderView) {
        let id = view.info.id;
        if let Some(old) = self.folders.get(&id).filter(|old| old.info.path != view.info.path) {
            self.by_path.remove(&old.info.path);
        }
        self.by_path.insert(view.info.path.clone(), id);
        self.folders.insert(id, view);
    }

    /// All folders, sorted by path.
    pub(crate) fn sorted(&self) -> impl Iterator<Item = &FolderView> {
        self.by_path.values().filter_map(|id| self.folders.get(id))
    }

    /// The folders of one archive, sorted by path: its top first.
    pub(crate) fn of_archive(&self, archive: &str) -> Vec<&FolderView> {
        let prefix = format!("{archive}/");
        // A blank is the least character that a path may hold.
        let (Ok(top), Ok(first)) = (FolderPath::new(archive), FolderPath::new(format!("{prefix} "))) else {
            return Vec::new();
        };
        let below = self.by_path.range(first..).take_while(|(path, _)| path.as_str().starts_with(&prefix));
        let ids = self.by_path.get(&top).into_iter().chain(below.map(|(_, id)| id));
        ids.filter_map(|id| self.folders.get(id)).collect()
    }
}
