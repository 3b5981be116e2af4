//! store.redb: the derived, transactional view of a store's packs.
//!
//! Invariant: every write transaction ends at the end of a batch (the watermark), so the database is always the view
//! of a prefix of the packs. Values stay small, message bodies are never here, and no read transaction outlives the
//! call that opened it. What the values hold stands in `storage/FORMAT.md`.

pub(crate) mod all_mail;
mod apply;
pub(crate) mod cards;
pub(crate) mod folders;
pub(crate) mod groups;
mod leaves;
mod messages;
mod orders;
pub(crate) mod pages;
mod read;
pub(crate) mod vanished;

pub(crate) use apply::{BatchEnd, apply};
pub(crate) use leaves::Tree;
pub(crate) use messages::MessageEntry;
pub(crate) use read::place;

use crate::Error;
use crate::pack::disk::{DatabaseFile, DiskFile};
use parking_lot::RwLock;
use redb::{ReadTransaction, ReadableDatabase, TableDefinition, WriteTransaction};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The layout of the tables; another one is rebuilt from the packs.
pub(crate) const DATABASE_VERSION: u64 = 4;

/// Commits after which a file is worth compacting.
const COMPACT_AFTER_COMMITS: u64 = 8;

/// Counters and the watermark, by name.
pub(crate) const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Message number → [`MessageEntry`].
pub(crate) const MESSAGES: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("messages");
/// The front of an identity and message number: which messages to compare.
pub(crate) const IDENTITIES: TableDefinition<'_, (u64, u32), ()> = TableDefinition::new("identities");
/// First message number of a group → [`groups`].
pub(crate) const CARDS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("cards");
/// Column and first message number of a group → [`orders`].
pub(crate) const ORDERS: TableDefinition<'_, (u8, u32), &[u8]> = TableDefinition::new("orders");
/// Folder and first UID of a page → [`pages`].
pub(crate) const PLACEMENTS: TableDefinition<'_, (u32, u32), &[u8]> = TableDefinition::new("placements");
/// Folder and UID → line ends and prefix, where they are unusual.
pub(crate) const EXTRAS: TableDefinition<'_, (u32, u32), &[u8]> = TableDefinition::new("extras");
/// Message number, folder, UID → source id and occurrence.
pub(crate) const PLACES: TableDefinition<'_, (u32, u32, u32), &[u8]> = TableDefinition::new("places");
/// Folder → path, UIDs, counters.
pub(crate) const FOLDERS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("folders");
/// Archive → its next archive-wide UID.
pub(crate) const ARCHIVES: TableDefinition<'_, &str, u32> = TableDefinition::new("archives");
/// Source id → name.
pub(crate) const SOURCES: TableDefinition<'_, u32, &str> = TableDefinition::new("sources");
/// Source name → id.
pub(crate) const SOURCE_IDS: TableDefinition<'_, &str, u32> = TableDefinition::new("source_ids");
/// The front of a part's content hash → where its chunk lies, and its length: a chunk to compare.
pub(crate) const PARTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("parts");
/// Page of 64 leaves of the Merkle log → its root; the last page, while it isn't whole, → the hashes of its leaves.
pub(crate) const LEAVES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("leaves");
/// First leaf of a batch → where its facts begin in the packs.
pub(crate) const BATCHES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("batches");
/// Batch → the signed head that it brought.
pub(crate) const HEADS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("heads");
/// Message number, folder, UID of placements that were moved away or deleted → source id: their sightings.
pub(crate) const GONE: TableDefinition<'_, (u32, u32, u32), u32> = TableDefinition::new("gone");
/// Path and the folder that had it: renamed or removed since.
pub(crate) const FORMER: TableDefinition<'_, (&str, u32), ()> = TableDefinition::new("former");

/// Folder → mod-sequence of its comment, comment.
pub(crate) const COMMENTS: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("comments");
/// A store's number of an archive → [`all_mail`]: what it holds of the archive, as one mailbox.
pub(crate) const ALL_MAIL: TableDefinition<'_, u32, &[u8]> = TableDefinition::new("all_mail");
/// A store's number of an archive and the first archive-wide UID of a page → runs of placements.
pub(crate) const ALL_MAIL_PLACES: TableDefinition<'_, (u32, u32), &[u8]> =
    TableDefinition::new("all_mail_places");

/// Kind ([`vanished::Of`]), number of the folder or archive, mod-sequence, first UID → runs of UIDs that went then.
pub(crate) const VANISHED: TableDefinition<'_, (u8, u32, u64, u32), &[u8]> = TableDefinition::new("vanished");
/// Kind, number, UID of what compaction left tombstones of and was not told to be gone yet → of a folder the archive-wide UID,
/// of an archive how many such placements; the mod-sequence at which it came.
pub(crate) const GHOSTS: TableDefinition<'_, (u8, u32, u32), (u32, u64)> = TableDefinition::new("ghosts");
/// Folder, UID that was moved away or deleted → the calendar year of its INTERNALDATE. Compaction forgets it.
pub(crate) const GONE_YEARS: TableDefinition<'_, (u32, u32), u16> = TableDefinition::new("gone_years");
/// A store's number of an archive, archive-wide UID → the mod-sequence at which it came, where the placement that it shows
/// has another.
pub(crate) const BIRTHS: TableDefinition<'_, (u32, u32), u64> = TableDefinition::new("births");
/// A store's number of an archive, mod-sequence, archive-wide UID that shows another placement since then.
pub(crate) const HEIRS: TableDefinition<'_, (u32, u64, u32), ()> = TableDefinition::new("heirs");
/// A batch's mod-sequence → when it was written, seconds since 1970.
pub(crate) const TIMES: TableDefinition<'_, u64, i64> = TableDefinition::new("times");
/// The thread that a message belongs to, and its number.
pub(crate) const THREADS: TableDefinition<'_, (u64, u32), ()> = TableDefinition::new("threads");

/// What stands for a hash in keys. A whole one would be most of the file; who finds by a front compares.
pub(crate) fn front(hash: &[u8; 32]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = *hash;
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// The open database.
#[derive(Debug)]
pub(crate) struct Db {
    /// None once it was closed; exchanged when it was made again. Locked alone only for that, and while the file is made
    /// compact.
    db: RwLock<Option<redb::Database>>,
    path: PathBuf,
    /// Commits since the file was compact.
    commits: AtomicU64,
}

impl Drop for Db {
    fn drop(&mut self) {
        self.close();
    }
}

impl Db {
    /// Opens the database in `file` with a page cache of `cache_bytes`; an empty file becomes an empty database.
    pub(crate) fn open(path: &Path, file: &Arc<dyn DiskFile>, cache_bytes: usize) -> Result<Db, Error> {
        let open = || {
            let db = redb::Builder::new()
                .set_cache_size(cache_bytes)
                .create_with_backend(DatabaseFile(Arc::clone(file)))
                .map_err(|e| Error::Database { path: path.to_owned(), source: Box::new(e.into()) })?;
            let db = Db { db: RwLock::new(Some(db)), path: path.to_owned(), commits: AtomicU64::new(0) };
            db.make_tables()?;
            Ok(db)
        };
        // The library trusts its files: damage may end in a panic.
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(open)).unwrap_or_else(|_| {
            Err(Error::Derived {
                path: path.to_owned(),
                what: "it is damaged, so that opening it panics".into(),
            })
        })
    }

    fn make_tables(&self) -> Result<(), Error> {
        {
            let txn = self.read()?;
            match txn.open_table(META) {
                Ok(meta) => return self.check_version(&meta),
                Err(redb::TableError::TableDoesNotExist(_)) => {}
                Err(e) => return Err(self.err(e)),
            }
        }
        let txn = self.write()?;
        {
            let mut meta = txn.open_table(META).map_err(|e| self.err(e))?;
            meta.insert("version", DATABASE_VERSION).map_err(|e| self.err(e))?;
        }
        cards::begin(self, &txn)?;
        txn.open_table(MESSAGES).map_err(|e| self.err(e))?;
        txn.open_table(IDENTITIES).map_err(|e| self.err(e))?;
        txn.open_table(CARDS).map_err(|e| self.err(e))?;
        txn.open_table(ORDERS).map_err(|e| self.err(e))?;
        txn.open_table(PLACEMENTS).map_err(|e| self.err(e))?;
        txn.open_table(EXTRAS).map_err(|e| self.err(e))?;
        txn.open_table(PLACES).map_err(|e| self.err(e))?;
        txn.open_table(FOLDERS).map_err(|e| self.err(e))?;
        txn.open_table(ARCHIVES).map_err(|e| self.err(e))?;
        txn.open_table(SOURCES).map_err(|e| self.err(e))?;
        txn.open_table(SOURCE_IDS).map_err(|e| self.err(e))?;
        txn.open_table(PARTS).map_err(|e| self.err(e))?;
        txn.open_table(LEAVES).map_err(|e| self.err(e))?;
        txn.open_table(BATCHES).map_err(|e| self.err(e))?;
        txn.open_table(HEADS).map_err(|e| self.err(e))?;
        txn.open_table(GONE).map_err(|e| self.err(e))?;
        txn.open_table(FORMER).map_err(|e| self.err(e))?;
        txn.open_table(COMMENTS).map_err(|e| self.err(e))?;
        txn.open_table(ALL_MAIL).map_err(|e| self.err(e))?;
        txn.open_table(ALL_MAIL_PLACES).map_err(|e| self.err(e))?;
        txn.open_table(VANISHED).map_err(|e| self.err(e))?;
        txn.open_table(GHOSTS).map_err(|e| self.err(e))?;
        txn.open_table(GONE_YEARS).map_err(|e| self.err(e))?;
        txn.open_table(BIRTHS).map_err(|e| self.err(e))?;
        txn.open_table(HEIRS).map_err(|e| self.err(e))?;
        txn.open_table(TIMES).map_err(|e| self.err(e))?;
        txn.open_table(THREADS).map_err(|e| self.err(e))?;
        self.commit(txn)
    }

    fn check_version(&self, meta: &redb::ReadOnlyTable<&str, u64>) -> Result<(), Error> {
        let found = meta.get("version").map_err(|e| self.err(e))?.map_or(0, |v| v.value());
        if found > DATABASE_VERSION {
            let found = u32::try_from(found).unwrap_or(u32::MAX);
            return Err(Error::Version { path: self.path.clone(), found, known: DATABASE_VERSION as u32 });
        }
        if found < DATABASE_VERSION {
            return Err(Error::OldLayout { path: self.path.clone(), found });
        }
        Ok(())
    }

    /// Where it lies.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Begins reading; dropped before the caller returns.
    pub(crate) fn read(&self) -> Result<ReadTransaction, Error> {
        let db = self.db.read();
        db.as_ref().ok_or_else(|| self.closed())?.begin_read().map_err(|e| self.err(e))
    }

    fn closed(&self) -> Error {
        Error::Unavailable {
            store: self.path.display().to_string(),
            why: "it was closed a moment ago".into(),
        }
    }

    /// Closes it in good order; whoever asks it later is told so.
    pub(crate) fn close(&self) {
        let open = self.db.write().take();
        // The library writes at the end, and trusts its file: damage may end in a panic.
        if catch_unwind(AssertUnwindSafe(|| drop(open))).is_err() {
            tracing::error!(path = %self.path.display(), "the database is damaged; the packs hold the truth: rebuild the store");
        }
    }

    /// Begins writing. Quick repair keeps an opening after a crash short, and implies two-phase commits, which
    /// guard against content made to look like pages.
    pub(crate) fn write(&self) -> Result<WriteTransaction, Error> {
        let db = self.db.read();
        let open = db.as_ref().ok_or_else(|| self.closed())?;
        let mut txn = open.begin_write().map_err(|e| self.err(e))?;
        txn.set_quick_repair(true);
        Ok(txn)
    }

    /// Takes another database's place; who reads this one reads on from where it began.
    pub(crate) fn replace(&self, other: Db) {
        *self.db.write() = other.db.write().take();
    }

    /// Makes a transaction durable.
    pub(crate) fn commit(&self, txn: WriteTransaction) -> Result<(), Error> {
        txn.commit().map_err(|e| self.err(e))?;
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Gives back to the system what commits have left free in the file (after an import about a third), when there
    /// were many; others wait meanwhile. While a transaction is open elsewhere, nothing happens. The caller closes the
    /// database next: a power cut before that, or on the way, costs the next opening a check of the whole file.
    pub(crate) fn compact(&self) -> Result<(), Error> {
        if self.commits.load(Ordering::Relaxed) < COMPACT_AFTER_COMMITS {
            return Ok(());
        }
        // Compaction's own commits leave nothing for a quick repair, closing does. A commit for that here would find no
        // free page, and redb would double the file for it.
        match self.db.write().as_mut().ok_or_else(|| self.closed())?.compact() {
            Ok(_) => self.commits.store(0, Ordering::Relaxed),
            Err(redb::CompactionError::TransactionInProgress) => {}
            Err(e) => return Err(self.err(e)),
        }
        Ok(())
    }

    /// What redb said, with the path.
    pub(crate) fn err(&self, e: impl Into<redb::Error>) -> Error {
        Error::Database { path: self.path.clone(), source: Box::new(e.into()) }
    }

    /// The database contradicts itself or the packs.
    pub(crate) fn derived(&self, what: impl Into<String>) -> Error {
        Error::Derived { path: self.path.clone(), what: what.into() }
    }
}
