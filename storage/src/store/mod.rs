//! One store: its packs, its database, its index, opened together.
//!
//! Invariant: one writer, many readers; what readers see is what the last batch's commit left, and that is durable. The
//! packs hold the archive; the database and the index follow them, never lead.
//! Left to others: which store gets what, and folders over many stores (`stores`); bytes of records (`pack`), tables
//! (`db`), structure and text of messages (`mime`, `card`, `text`).

pub(crate) mod all_mail;
mod cancel;
pub(crate) mod cat;
pub(crate) mod columns;
pub(crate) mod compact;
pub(crate) mod draft;
pub(crate) mod extraction;
pub(crate) mod extracts;
pub(crate) mod facts;
pub(crate) mod log;
pub(crate) mod message;
pub(crate) mod open;
pub(crate) mod preview;
mod progress;
pub(crate) mod rebuild;
pub(crate) mod reindex;
pub(crate) mod renewal;
pub(crate) mod rows;
pub(crate) mod state;
pub(crate) mod tail;
mod types;
pub(crate) mod verify;
pub(crate) mod write;

pub use cancel::Cancel;
pub use columns::Columns;
pub use message::{Message, MessageReader};
pub use progress::Progress;
pub use types::{
    Added, CheckReport, Committed, FolderInfo, FolderView, InternalDate, NewPlacement, Row, Sighting,
    SourceFlags, StoreInfo, StoreState, Whereabouts,
};
pub(crate) use types::{Part, Whole};

use crate::card::Card;
use crate::db::Db;
use crate::db::groups::Group;
use crate::pack::Packs;
use crate::pack::disk::DiskFile;
use crate::prepared::Parsed;
use crate::{ContentHash, Error, FolderId, Limits, MsgNo, Uid};
use columns::ColumnCache;
use parking_lot::{Mutex, RwLock};
use state::State;
use std::path::PathBuf;
use std::sync::Arc;
use tail::Tail;
use write::Writer;

/// An open store.
#[derive(Debug)]
pub(crate) struct Store {
    /// Its directory, DATA/stores/0001 say.
    pub(crate) dir: PathBuf,
    pub(crate) limits: Limits,
    pub(crate) packs: Packs,
    pub(crate) db: Db,
    pub(crate) database: Arc<dyn DiskFile>,
    pub(crate) state: RwLock<State>,
    pub(crate) writer: Mutex<Writer>,
    pub(crate) columns: Mutex<ColumnCache>,
    pub(crate) previews: preview::PreviewCache,
    pub(crate) tail: Tail,
    /// Whom it asks for the text of attachments; none: they have none.
    pub(crate) extraction: Option<extraction::Extraction>,
    pub(crate) renewal: renewal::Renewal,
    /// Held as long as the store is open: no second program writes it.
    lock: Mutex<Option<std::fs::File>>,
    /// Nothing is written in its directory.
    pub(crate) protected: bool,
}

/// An open store, and what works for it in the background: that ends with this, so that the store can be opened again.
#[derive(Debug)]
pub(crate) struct Running(Arc<Store>);

impl std::ops::Deref for Running {
    type Target = Arc<Store>;
    fn deref(&self) -> &Arc<Store> {
        &self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.renewal.stop();
        self.0.tail.stop();
    }
}

impl Store {
    /// Closes it in good order: index, database, lock. Messages that are being read are read on; whoever asks the database
    /// later is told that it is closed.
    /// # Errors
    /// `Index`; the rest is closed all the same.
    pub(crate) fn close(&self) -> Result<(), Error> {
        let mut writer = self.writer.lock();
        writer.close();
        self.renewal.stop();
        self.tail.stop();
        let done = self.tail.close();
        self.db.close();
        self.lock.lock().take();
        done
    }

    /// Lets another opening of the same directory take its place: it writes no more, and what is being read is read on
    /// from the files that it has open.
    pub(crate) fn retire(&self) {
        let mut writer = self.writer.lock();
        writer.close();
        self.tail.stop();
        if let Err(error) = self.tail.close() {
            tracing::warn!(%error, "a search index that is replaced could not be closed in good order");
        }
        self.lock.lock().take();
    }

    /// The index and its writer.
    pub(crate) fn indexer(&self) -> Arc<crate::search::index::Indexer> {
        self.tail.indexer()
    }

    /// The number that the next message gets.
    pub(crate) fn next_msg(&self) -> MsgNo {
        MsgNo(self.state.read().counters.next_msg)
    }

    /// Opens a message.
    /// # Errors
    /// `Missing`.
    pub(crate) fn message(self: &Arc<Self>, msg: MsgNo) -> Result<Message, Error> {
        Ok(Message::new(self, self.db.message(msg)?))
    }

    /// Opens several messages at once; none in place of one that can't be.
    pub(crate) fn messages(
        self: &Arc<Self>,
        all: impl ExactSizeIterator<Item = MsgNo>,
    ) -> Vec<Option<Message>> {
        let Ok(rows) = self.db.messages() else { return vec![None; all.len()] };
        all.map(|msg| rows.get(msg).ok().map(|entry| Message::new(self, entry))).collect()
    }

    /// The source's bytes of a placement, bit for bit: prefix, then the message with its own line ends.
    /// # Errors
    /// `Missing`, `Corrupt`, `WrongContent`; `Io` of `out` under the path `-`.
    pub(crate) fn cat(
        self: &Arc<Self>,
        folder: FolderId,
        uid: Uid,
        out: &mut dyn std::io::Write,
    ) -> Result<(), Error> {
        let placed = self.db.placed(folder, uid)?;
        let placed = placed.ok_or_else(|| Error::Missing { what: format!("UID {uid} of this folder") })?;
        let (ends, prefix) = self.db.extras(folder, &placed)?;
        cat::cat(&self.packs, &self.message(placed.row.msg)?, &ends, &prefix, out)
    }

    /// The placements in `folder` of the message with this identity, committed ones, rising by UID.
    /// # Errors
    /// Those of the database.
    pub(crate) fn sightings(&self, folder: FolderId, hash: &ContentHash) -> Result<Vec<Sighting>, Error> {
        match self.db.find(hash)? {
            Some(msg) => self.db.sightings(folder, msg),
            None => Ok(Vec::new()),
        }
    }

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
