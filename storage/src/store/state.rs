//! What every reader needs without asking the database: folders with their UIDs, and the writer's counters.
//!
//! Invariant: it shows committed batches only, and changes in one step after the database's commit.

use crate::db::Tree;
use crate::db::all_mail::AllMail;
use crate::pack::Addr;
use crate::{FolderId, FolderInfo, FolderPath, ModSeq, Uid, UidRanges};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

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

/// A folder as far as one store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Folder {
    pub(crate) info: FolderInfo,
    pub(crate) uids: Arc<UidRanges>,
    /// The mod-sequence at which it got its path: among stores the highest wins.
    pub(crate) path_since: ModSeq,
    /// It was removed; what stays are the numbers that are never given again.
    pub(crate) gone: bool,
    /// None: nothing was ever said of it here.
    pub(crate) comment: Option<Comment>,
}

/// What people are told of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Comment {
    /// Empty: what was said was taken away.
    pub(crate) text: Arc<str>,
    /// The mod-sequence at which it was said: among stores the highest wins.
    pub(crate) since: ModSeq,
}

/// The folders and counters of one store as of its last commit.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) folders: HashMap<FolderId, Folder>,
    /// The next archive-wide UID of each archive.
    pub(crate) archives: HashMap<String, Uid>,
    pub(crate) counters: Counters,
    /// The Merkle log.
    pub(crate) tree: Tree,
    /// Paths that folders had before they were renamed or removed: what a source brought there is not brought again.
    pub(crate) former: HashMap<FolderPath, BTreeSet<FolderId>>,
    /// Each archive's messages as one mailbox, by the store's number of the archive: its first folder's.
    pub(crate) all_mail: HashMap<FolderId, AllMail>,
    /// The archive that a folder is part of.
    pub(crate) archive_of: HashMap<FolderId, FolderId>,
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
        State {
            folders: HashMap::new(),
            archives: HashMap::new(),
            counters,
            tree: Tree::default(),
            former: HashMap::new(),
            all_mail: HashMap::new(),
            archive_of: HashMap::new(),
        }
    }
}
