//! The storage as its callers see it: folders, batches, messages.

use crate::card::Card;
use crate::search::Flag;
use crate::{
    ContentHash, Error, FolderId, FolderPath, Limits, MasterKey, ModSeq, MsgNo, Prepared, StoreId, Uid,
    UidRanges, UidValidity,
};
use bytes::Bytes;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set by a caller who no longer wants the answer; shared with the work.
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the work to stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
    /// Whether the work should stop.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
    /// `Err(Cancelled)` once set.
    /// # Errors
    /// `Cancelled`.
    pub fn check(&self) -> Result<(), Error> {
        if self.is_set() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

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
}

/// One placement, as FETCH and SEARCH need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// UID in the folder.
    pub uid: Uid,
    /// The message.
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
}

/// A folder's rows as parallel columns, for search; shared between sessions.
#[derive(Debug, Default, Clone)]
pub struct Columns {
    /// All rows, rising by UID.
    pub rows: Vec<Row>,
}

/// Rows of a folder in UID order, in batches; holds no database transaction between calls.
#[derive(Debug)]
pub struct Rows {
    _todo: (),
}

impl Rows {
    /// Up to a few hundred rows; `None` at the end.
    /// # Errors
    /// Those of the database.
    pub fn next_batch(&mut self) -> Result<Option<Vec<Row>>, Error> {
        todo!()
    }
    /// As [`Rows::next_batch`], with cards.
    /// # Errors
    /// Those of the database.
    pub fn next_batch_with_cards(&mut self) -> Result<Option<Vec<(Row, Card)>>, Error> {
        todo!()
    }
}

/// A stored message, opened for reading; holds no transaction and no more than a block of it in memory.
#[derive(Debug, Clone)]
pub struct Message {
    _todo: (),
}

impl Message {
    /// Its identity.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        todo!()
    }
    /// RFC822.SIZE.
    #[must_use]
    pub fn size(&self) -> u64 {
        todo!()
    }
    /// The message's own header, blank line included, without touching the body.
    /// # Errors
    /// `Corrupt`.
    pub fn header(&self) -> Result<Bytes, Error> {
        todo!()
    }
    /// Any bytes of the message, authenticated by their records' tags; at most 256 KiB per call are returned.
    /// # Errors
    /// `Corrupt`.
    pub fn read(&self, range: Range<u64>) -> Result<Bytes, Error> {
        let _ = range;
        todo!()
    }
    /// The whole message in pieces; the last piece is given only when the SHA-256 of all is right.
    #[must_use]
    pub fn reader(&self) -> MessageReader {
        todo!()
    }
    /// The whole message as [`crate::incoming::Content`], for parsing again.
    /// # Errors
    /// `Corrupt`, `WrongContent`.
    pub fn content(&self) -> Result<crate::incoming::Content, Error> {
        todo!()
    }
}

/// Reads a message whole, checking it along.
#[derive(Debug)]
pub struct MessageReader {
    _todo: (),
}

impl MessageReader {
    /// The next piece (at most 256 KiB), `None` at the end.
    /// # Errors
    /// `Corrupt`, `WrongContent`: what was given so far must not pass for the message.
    pub fn next_piece(&mut self) -> Result<Option<Bytes>, Error> {
        todo!()
    }
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

/// What [`Batch::add`] did.
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
    /// Its UID.
    pub uid: Uid,
    /// The source folder it came from.
    pub source: String,
    /// Where in the source folder it was last seen.
    pub occurrence: String,
}

/// A store, for `store list`.
#[derive(Debug, Clone)]
pub struct StoreInfo {
    /// Directory name, `0001`.
    pub name: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Identity.
    pub id: StoreId,
    /// `current`, `normal`, `writeProtected`, `disabled`.
    pub state: &'static str,
    /// Messages (identities).
    pub messages: u64,
    /// Placements.
    pub placements: u64,
    /// Sum of canonical bytes of its messages.
    pub message_bytes: u64,
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

/// Ends the notifications of [`Storage::subscribe`] when dropped.
pub struct Subscription(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(end) = self.0.take() {
            end();
        }
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Subscription")
    }
}

/// The open storage of an installation: many readers, one writer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Storage {
    _todo: (),
}

impl Storage {
    /// Makes DATA/stores/0001 with its first pack and database, durable on return.
    /// # Errors
    /// `Io` (also when there is a store already), `Key`.
    pub fn create(data: &Path, key: &MasterKey, limits: &Limits) -> Result<(), Error> {
        let _ = (data, key, limits);
        todo!()
    }
    /// Opens the stores below DATA; takes in complete batches above the database's watermark.
    /// # Errors
    /// `WrongKey`, `Version`, `Corrupt`, `Derived`, `Io`.
    pub fn open(data: &Path, key: &MasterKey, limits: Limits) -> Result<Storage, Error> {
        let _ = (data, key, limits);
        todo!()
    }
    /// The limits it was opened with.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        todo!()
    }
    /// Waits until the index has committed all that is archived, then stops its threads. Called once, at the end.
    /// # Errors
    /// `Index`.
    pub fn close(&self) -> Result<(), Error> {
        todo!()
    }
    /// Waits until the index has committed all that is archived now.
    /// # Errors
    /// `Index`, `Cancelled`.
    pub fn wait_for_index(&self, cancel: &Cancel) -> Result<(), Error> {
        let _ = cancel;
        todo!()
    }
    /// The stores.
    #[must_use]
    pub fn stores(&self) -> Vec<StoreInfo> {
        todo!()
    }
    /// All folders, sorted by path.
    #[must_use]
    pub fn folders(&self) -> Vec<FolderInfo> {
        todo!()
    }
    /// The folders of one archive, sorted by path (its top folder too if it holds messages).
    #[must_use]
    pub fn folders_of(&self, archive: &str) -> Vec<FolderInfo> {
        let _ = archive;
        todo!()
    }
    /// A folder as it stands now.
    #[must_use]
    pub fn view(&self, path: &FolderPath) -> Option<FolderView> {
        let _ = path;
        todo!()
    }
    /// The rows of `uids` in the folder, rising.
    /// # Errors
    /// Those of the database.
    pub fn rows(&self, folder: FolderId, uids: UidRanges) -> Result<Rows, Error> {
        let _ = (folder, uids);
        todo!()
    }
    /// All rows of a folder, cached and shared.
    /// # Errors
    /// Those of the database.
    pub fn columns(&self, view: &FolderView) -> Result<Arc<Columns>, Error> {
        let _ = view;
        todo!()
    }
    /// A message's card.
    /// # Errors
    /// `Missing`, `Derived`.
    pub fn card(&self, msg: MsgNo) -> Result<Card, Error> {
        let _ = msg;
        todo!()
    }
    /// Opens a message.
    /// # Errors
    /// `Missing`.
    pub fn message(&self, msg: MsgNo) -> Result<Message, Error> {
        let _ = msg;
        todo!()
    }
    /// The source's bytes of a placement, bit for bit: prefix, then the message with its own line ends.
    /// # Errors
    /// `Missing`, `Corrupt`, `WrongContent`; `Io` of `out` under the path `-`.
    pub fn cat(&self, folder: FolderId, uid: Uid, out: &mut dyn std::io::Write) -> Result<(), Error> {
        let _ = (folder, uid, out);
        todo!()
    }
    /// The placements in `folder` of the message with this identity, committed ones, rising by UID.
    /// # Errors
    /// Those of the database.
    pub fn sightings(&self, folder: FolderId, hash: &ContentHash) -> Result<Vec<Sighting>, Error> {
        let _ = (folder, hash);
        todo!()
    }
    /// Begins the one batch that can be open; waits for another's end, and for the index when its tail is full.
    /// # Errors
    /// `Latched`, `Cancelled`.
    pub fn batch(&self, cancel: &Cancel) -> Result<Batch<'_>, Error> {
        let _ = cancel;
        todo!()
    }
    /// Calls `notify` with the changed folders after every commit, on the writer's thread: it must be quick.
    pub fn subscribe(&self, notify: impl Fn(&[FolderId]) + Send + Sync + 'static) -> Subscription {
        let _ = notify;
        todo!()
    }
    /// Re-reads everything: seals, hashes of all messages, references, cards, placements.
    /// # Errors
    /// `Cancelled`; damage is in the report, not an error. `progress` gets messages done and in all.
    pub fn check(&self, cancel: &Cancel, progress: &mut dyn FnMut(u64, u64)) -> Result<CheckReport, Error> {
        let _ = (cancel, progress);
        todo!()
    }
}

/// A batch being written: nothing of it is visible or durable before [`Batch::commit`]; dropped, it leaves no trace.
#[derive(Debug)]
pub struct Batch<'a> {
    _todo: std::marker::PhantomData<&'a ()>,
}

impl Batch<'_> {
    /// The folder's id; makes the folder (and its record) when it is not there.
    /// # Errors
    /// `Limit`.
    pub fn folder(&mut self, path: &FolderPath) -> Result<FolderId, Error> {
        let _ = path;
        todo!()
    }
    /// Adds a message and its placement.
    /// # Errors
    /// `Latched`, `Io`: the batch is lost, nothing of it is visible.
    pub fn add(
        &mut self,
        folder: FolderId,
        message: Prepared,
        placement: &NewPlacement<'_>,
    ) -> Result<Added, Error> {
        let _ = (folder, message, placement);
        todo!()
    }
    /// Records where a placement that was already there is found now.
    /// # Errors
    /// As [`Batch::add`].
    pub fn seen_at(&mut self, folder: FolderId, uid: Uid, occurrence: &str) -> Result<(), Error> {
        let _ = (folder, uid, occurrence);
        todo!()
    }
    /// Placements added so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        todo!()
    }
    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Canonical bytes added so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        todo!()
    }
    /// Writes and syncs the batch, then commits the database: on return all of it survives power loss.
    /// # Errors
    /// `Latched`, `Io`: the store takes no more writes until it is reopened.
    pub fn commit(self) -> Result<Committed, Error> {
        todo!()
    }
}
