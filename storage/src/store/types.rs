//! What storage tells and is told: folders, rows, placements, sightings, stores.
//!
//! Plain values; nothing here reads or writes anything.

use crate::search::Flag;
use crate::{FolderId, FolderPath, ModSeq, MsgNo, StoreId, StoreNo, Uid, UidRanges, UidValidity};
use std::path::PathBuf;
use std::sync::Arc;

/// INTERNALDATE: the moment and the zone it was given in.
pub type InternalDate = crate::card::Zoned;

/// Flags that came from the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SourceFlags {
    /// \Answered
    pub answered: bool,
    /// \Flagged
    pub flagged: bool,
    /// $Forwarded
    pub forwarded: bool,
}

impl SourceFlags {
    /// Whether `flag` is set.
    #[must_use]
    pub fn has(self, flag: Flag) -> bool {
        match flag {
            Flag::Answered => self.answered,
            Flag::Flagged => self.flagged,
            Flag::Forwarded => self.forwarded,
        }
    }
}

/// A folder as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderInfo {
    /// Permanent number.
    pub id: FolderId,
    /// Path with the archive first.
    pub path: FolderPath,
    /// UIDVALIDITY.
    pub uid_validity: UidValidity,
    /// The next UID.
    pub uid_next: Uid,
    /// Number of messages.
    pub messages: u64,
    /// Sum of RFC822.SIZE over its messages.
    pub bytes: u64,
    /// Highest mod-sequence of any change in it.
    pub highest_mod_seq: ModSeq,
}

/// A folder at one moment: what a session has selected. Cheap to clone; costs the ranges, not the messages.
#[derive(Debug, Clone)]
pub struct FolderView {
    /// The folder.
    pub info: FolderInfo,
    /// Its UIDs.
    pub uids: Arc<UidRanges>,
    /// What an administrator says of it.
    pub comment: Option<Arc<str>>,
    /// Which stores hold them.
    pub(crate) parts: Arc<[Part]>,
    /// It is an archive's mailbox of all messages.
    pub(crate) whole_archive: bool,
    /// It shows only this year of the folder.
    pub(crate) year: Option<i32>,
}

/// What one store holds of a folder.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) store: StoreNo,
    /// The folder's number in that store: another one if the store came from another installation. Of [`Whole::AllMail`]
    /// the store's number of the archive.
    pub(crate) folder: FolderId,
    pub(crate) uids: Arc<UidRanges>,
    pub(crate) whole: Whole,
}

/// What a view shows of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Whole {
    /// A folder.
    Folder,
    /// An archive; our archive-wide UIDs are the store's and so much more.
    AllMail {
        /// Zero unless the store came from another installation.
        above: u32,
    },
}

/// One placement, as FETCH and SEARCH need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// UID in the folder.
    pub uid: Uid,
    /// The store that holds it.
    pub store: StoreNo,
    /// The message's number in its store.
    pub msg: MsgNo,
    /// INTERNALDATE.
    pub date: InternalDate,
    /// The Date field's calendar day (days since 1970), disregarding time and zone; none without a readable Date.
    pub sent_day: Option<i32>,
    /// RFC822.SIZE.
    pub size: u64,
    /// Flags from the source.
    pub flags: SourceFlags,
    /// Mod-sequence of its last change.
    pub mod_seq: ModSeq,
    /// Mod-sequence of the batch that brought it into its folder.
    pub came: ModSeq,
}

/// What a source says of a message that is placed in a folder.
#[derive(Debug, Clone)]
pub struct NewPlacement<'a> {
    /// INTERNALDATE.
    pub date: InternalDate,
    /// Flags.
    pub flags: SourceFlags,
    /// The source folder (server and folder, or file path): what sightings are counted by.
    pub source: &'a str,
    /// Where in the source folder: file name, or offset, or UIDVALIDITY and UID.
    pub occurrence: &'a str,
}

/// What [`crate::Batch::add`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Added {
    /// The UID that the placement will have once the batch is committed.
    pub uid: Uid,
    /// The message's bytes were known already; only a placement was added.
    pub known: bool,
}

/// A committed batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// Placements in it.
    pub placements: u64,
    /// Its mod-sequence.
    pub mod_seq: ModSeq,
}

/// A placement found by identity: what decides "already there".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// The folder that it came into.
    pub folder: FolderId,
    /// Its UID there.
    pub uid: Uid,
    /// The source folder it came from.
    pub source: String,
    /// Where in the source folder it was last seen; nothing once it left the folder.
    pub occurrence: String,
    /// Where it is now.
    pub there: Whereabouts,
}

/// Where a message is that a source brought into a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Whereabouts {
    /// In the folder.
    Here,
    /// In another folder: it was moved.
    Elsewhere,
    /// In none any more.
    Deleted,
}

/// What may be done with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StoreState {
    /// New mail goes here; one store of an installation is.
    Current,
    /// Read, moved and deleted from, not added to.
    Normal,
    /// Only read; its directory may lie on a read-only file system.
    WriteProtected,
    /// Not opened: its messages don't show.
    Disabled,
}

impl std::fmt::Display for StoreState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            StoreState::Current => "current",
            StoreState::Normal => "normal",
            StoreState::WriteProtected => "writeProtected",
            StoreState::Disabled => "disabled",
        })
    }
}

/// A store, for `store list`.
#[derive(Debug, Clone)]
pub struct StoreInfo {
    /// Its number, as it is shown: `0001`.
    pub number: String,
    /// What people call it; its number, until it is renamed.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Identity; none when it was never opened.
    pub id: Option<StoreId>,
    /// What may be done with it.
    pub state: StoreState,
    /// Why it can't be read now; its messages keep their UIDs meanwhile.
    pub trouble: Option<String>,
    /// When it was made, seconds since 1970; none while it can't be read.
    pub created: Option<i64>,
    /// Messages (identities).
    pub messages: u64,
    /// Folders with messages in it, those that were removed not counted.
    pub folders: u64,
    /// Placements.
    pub placements: u64,
    /// Sum of canonical bytes of its messages.
    pub message_bytes: u64,
    /// Its pack files.
    pub packs: u64,
    /// Bytes of its packs.
    pub pack_bytes: u64,
    /// Bytes of store.redb.
    pub database_bytes: u64,
    /// Bytes of its index.
    pub index_bytes: u64,
    /// Messages above the index's watermark.
    pub index_tail: u64,
}

/// What `check` found.
#[derive(Debug, Clone, Default)]
pub struct CheckReport {
    /// Records read and opened.
    pub records: u64,
    /// Messages read whole and hashed.
    pub messages: u64,
    /// What is damaged, each with its place: user, folder, UID where known.
    pub damage: Vec<String>,
}
