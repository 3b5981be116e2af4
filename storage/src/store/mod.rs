//! The storage as its callers see it: folders, batches, messages.
//!
//! Invariant: one writer, many readers; what readers see is what the last batch's commit left, and that is durable. The
//! packs hold the archive; the database and the index follow them, never lead.
//! Left to others: bytes of records (`pack`), tables (`db`), structure and text of messages (`mime`, `card`, `text`).

mod batch;
mod cancel;
mod cat;
mod check;
mod columns;
pub(crate) mod facts;
mod message;
mod notify;
mod open;
mod rows;
pub(crate) mod state;
mod tail;
#[cfg(test)]
mod tests;
mod types;

pub use batch::Batch;
pub use cancel::Cancel;
pub use columns::Columns;
pub use message::{Message, MessageReader};
pub use notify::Subscription;
pub use rows::Rows;
pub use types::{
    Added, CheckReport, Committed, FolderInfo, FolderView, InternalDate, NewPlacement, Row, Sighting,
    SourceFlags, StoreInfo,
};

use crate::card::Card;
use crate::db::Db;
use crate::db::groups::Group;
use crate::pack::Packs;
use crate::pack::disk::DiskFile;
use crate::prepared::Parsed;
use crate::{ContentHash, Error, FolderId, FolderPath, Limits, MasterKey, MsgNo, Uid, UidRanges};
use batch::Writer;
use columns::ColumnCache;
use notify::Subscribers;
use parking_lot::{Mutex, RwLock};
use state::State;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tail::Tail;

/// The open storage of an installation: many readers, one writer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Storage {
    inner: Arc<Inner>,
    /// Dropped with the last clone.
    _end: Arc<End>,
}

/// Stops what works in the background once nobody holds the storage any more, so that it can be opened again.
#[derive(Debug)]
struct End(Arc<Inner>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.tail.stop();
    }
}

/// What all clones share.
#[derive(Debug)]
pub(crate) struct Inner {
    /// DATA/stores/0001.
    dir: PathBuf,
    limits: Limits,
    packs: Packs,
    db: Db,
    database: Arc<dyn DiskFile>,
    state: RwLock<State>,
    writer: Mutex<Writer>,
    subscribers: Arc<Subscribers>,
    columns: Mutex<ColumnCache>,
    tail: Tail,
    /// Held as long as the store is open: no second program writes it.
    _lock: Option<std::fs::File>,
}

impl Storage {
    fn new(inner: Arc<Inner>) -> Storage {
        Storage { _end: Arc::new(End(Arc::clone(&inner))), inner }
    }
    /// Makes DATA/stores/0001 with its first pack and database, durable on return.
    /// # Errors
    /// `Io` (also when there is a store already), `Key`.
    pub fn create(data: &Path, key: &MasterKey, limits: &Limits) -> Result<(), Error> {
        open::create(data, key, limits)
    }
    /// Opens the stores below DATA; takes in complete batches above the database's watermark. Without a database all is
    /// taken in: it is made again from the packs.
    /// # Errors
    /// `WrongKey`, `Version`, `Corrupt`, `Derived`, `Io`.
    pub fn open(data: &Path, key: &MasterKey, limits: Limits) -> Result<Storage, Error> {
        open::open(data, key, limits)
    }
    /// The limits it was opened with.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }
    /// Waits until the index has committed all that is archived, then stops its threads. Called once, at the end.
    /// # Errors
    /// `Index`.
    pub fn close(&self) -> Result<(), Error> {
        self.inner.tail.close()
    }
    /// Waits until the index has committed all that is archived now.
    /// # Errors
    /// `Index`, `Cancelled`.
    pub fn wait_for_index(&self, cancel: &Cancel) -> Result<(), Error> {
        let goal = MsgNo(self.inner.state.read().counters.next_msg);
        self.inner.tail.wait(goal, cancel)
    }
    /// The index and its writer.
    pub(crate) fn indexer(&self) -> &crate::search::index::Indexer {
        self.inner.tail.indexer()
    }
    /// The stores.
    #[must_use]
    pub fn stores(&self) -> Vec<StoreInfo> {
        vec![open::info(&self.inner)]
    }
    /// All folders, sorted by path.
    #[must_use]
    pub fn folders(&self) -> Vec<FolderInfo> {
        self.inner.state.read().sorted().map(|view| view.info.clone()).collect()
    }
    /// The folders of one archive, sorted by path (its top folder too if it holds messages).
    #[must_use]
    pub fn folders_of(&self, archive: &str) -> Vec<FolderInfo> {
        let state = self.inner.state.read();
        state.of_archive(archive).into_iter().map(|view| view.info.clone()).collect()
    }
    /// A folder as it stands now.
    #[must_use]
    pub fn view(&self, path: &FolderPath) -> Option<FolderView> {
        let state = self.inner.state.read();
        state.by_path.get(path).and_then(|id| state.folders.get(id)).cloned()
    }
    /// The rows of `uids` in the folder, rising; UIDs that the folder doesn't have are left out.
    /// # Errors
    /// Those of the database.
    pub fn rows(&self, folder: FolderId, uids: UidRanges) -> Result<Rows, Error> {
        Ok(Rows::new(&self.inner, folder, &uids))
    }
    /// All rows of a folder, cached and shared. Rows that came after the view may follow the view's.
    /// # Errors
    /// Those of the database.
    pub fn columns(&self, view: &FolderView) -> Result<Arc<Columns>, Error> {
        columns::columns(&self.inner, view)
    }
    /// A message's card.
    /// # Errors
    /// `Missing`, `Derived`.
    pub fn card(&self, msg: MsgNo) -> Result<Card, Error> {
        rows::Groups::default().card(&self.inner, msg)
    }
    /// Opens a message.
    /// # Errors
    /// `Missing`.
    pub fn message(&self, msg: MsgNo) -> Result<Message, Error> {
        Ok(Message::new(&self.inner, self.inner.db.message(msg)?))
    }
    /// The source's bytes of a placement, bit for bit: prefix, then the message with its own line ends.
    /// # Errors
    /// `Missing`, `Corrupt`, `WrongContent`; `Io` of `out` under the path `-`.
    pub fn cat(&self, folder: FolderId, uid: Uid, out: &mut dyn std::io::Write) -> Result<(), Error> {
        let placed = self.inner.db.placed(folder, uid)?;
        let placed = placed.ok_or_else(|| Error::Missing { what: format!("UID {uid} of this folder") })?;
        let (ends, prefix) = self.inner.db.extras(folder, &placed)?;
        cat::cat(&self.inner.packs, &self.message(placed.row.msg)?, &ends, &prefix, out)
    }
    /// The placements in `folder` of the message with this identity, committed ones, rising by UID.
    /// # Errors
    /// Those of the database.
    pub fn sightings(&self, folder: FolderId, hash: &ContentHash) -> Result<Vec<Sighting>, Error> {
        match self.inner.db.find(hash)? {
            Some(msg) => self.inner.db.sightings(folder, msg),
            None => Ok(Vec::new()),
        }
    }
    /// Begins the one batch that can be open; waits for another's end, and for the index when its tail is full.
    /// # Errors
    /// `Latched`, `Cancelled`.
    pub fn batch(&self, cancel: &Cancel) -> Result<Batch<'_>, Error> {
        Batch::begin(&self.inner, cancel)
    }
    /// Calls `notify` with the changed folders after every commit, on the writer's thread: it must be quick.
    pub fn subscribe(&self, notify: impl Fn(&[FolderId]) + Send + Sync + 'static) -> Subscription {
        Subscribers::add(&self.inner.subscribers, Arc::new(notify))
    }
    /// Re-reads everything: seals, hashes of all messages, references, cards, placements.
    /// # Errors
    /// `Cancelled`; damage is in the report, not an error. `progress` gets messages done and in all.
    pub fn check(&self, cancel: &Cancel, progress: &mut dyn FnMut(u64, u64)) -> Result<CheckReport, Error> {
        check::check(&self.inner, cancel, progress)
    }
}

impl Inner {
    /// A group of cards with its first number; cards of another version are made anew.
    pub(crate) fn group(&self, no: MsgNo) -> Result<(MsgNo, Vec<Card>), Error> {
        match self.db.group(no)? {
            (first, Group::Cards(cards)) => Ok((first, cards)),
            (first, Group::Old(count)) => {
                let past = u64::from(first.0) + count;
                if u64::from(no.0) >= past {
                    return Err(Error::Missing { what: format!("the card of message number {}", no.0) });
                }
                Ok((no, vec![self.parse(no)?.card]))
            }
        }
    }

    /// Reads a message whole and parses it again.
    pub(crate) fn parse(&self, no: MsgNo) -> Result<Parsed, Error> {
        let entry = self.db.message(no)?;
        let content = message::content(&self.packs, &entry, self.limits.spool_above_bytes)?;
        Ok(Parsed::new(&content, &self.limits))
    }
}
