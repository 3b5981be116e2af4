//! `index.texts`: what extraction gave for each attachment, so that search reads the same text that the index was given.
//!
//! Invariant: an answer that stands here is the truth until it is asked for anew; a row is written with its answer, in one transaction, and made
//! durable ([`Extracts::flush`]) before the index gets the words: what a crash takes is extracted again before it is indexed. The
//! index names the file that its words come from ([`claim`]): with another one, or none, it is made anew. All of it is derived and may be
//! removed while nobody has it open. Lies beside the index, in the real file system. FORMAT.md has the tables.

use crate::attachments::{AttachmentCounts, Extracted};
use crate::pack::disk::{DatabaseFile, Disk, DiskFile, Overlay, RealDisk};
use crate::{ContentHash, Error, MsgNo};
use parking_lot::RwLock;
use redb::{Durability, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Layout of the tables, and of what is kept in them.
const VERSION: &str = "1";
/// Memory for pages.
const CACHE_BYTES: usize = 4 << 20;
/// Bytes of a compressed text that stand in one value.
const PIECE_BYTES: usize = 3_900;
/// Commits after which the file is made compact at the end.
const COMPACT_AFTER_COMMITS: u64 = 8;
/// Largest text that is believed to be there.
const MAX_TEXT_BYTES: usize = 1 << 30;
/// In the index's directory: which file its words come from.
const CLAIM: &str = "texts";

/// Name → text: `version`, `id`.
const META: TableDefinition<'_, &str, &str> = TableDefinition::new("extract_meta");
/// Message number and part → [`Row`].
const ROWS: TableDefinition<'_, (u32, u32), &[u8]> = TableDefinition::new("extract_rows");
/// Key of a file → state, length of the text, pieces, trouble.
const ANSWERS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("extract_answers");
/// Key of a file and number → a piece of its text's zstd frame.
const PIECES: TableDefinition<'_, (&[u8], u32), &[u8]> = TableDefinition::new("extract_pieces");

/// What a part of a message was found to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Row {
    /// Nothing that text can be had of.
    Nothing,
    /// A file: its format, and the hash of format and bytes.
    File(u8, [u8; 32]),
}

impl Row {
    fn encode(self, message: ContentHash) -> Vec<u8> {
        let mut bytes = message.0[..8].to_vec();
        match self {
            Row::Nothing => bytes.push(0),
            Row::File(format, key) => {
                bytes.push(format);
                bytes.extend_from_slice(&key);
            }
        }
        bytes
    }

    /// `None` for a row of another message, or none that is understood.
    fn decode(bytes: &[u8], message: Option<ContentHash>) -> Option<Row> {
        let (front, rest) = bytes.split_at_checked(8)?;
        if message.is_some_and(|hash| hash.0[..8] != *front) {
            return None;
        }
        match rest.split_first()? {
            (0, []) => Some(Row::Nothing),
            (0, _) => None,
            (format, key) => Some(Row::File(*format, key.try_into().ok()?)),
        }
    }
}

/// An attachment with trouble.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    pub(crate) no: MsgNo,
    pub(crate) part: u32,
    pub(crate) format: u8,
    /// There is some text.
    pub(crate) partly: bool,
    pub(crate) reason: String,
}

/// The open file.
#[derive(Debug)]
pub(crate) struct Extracts {
    /// None once it was closed.
    db: RwLock<Option<redb::Database>>,
    path: PathBuf,
    id: String,
    /// Commits since the last durable one, and since the file was compact.
    loose: AtomicU64,
    commits: AtomicU64,
}

/// The file beside the index in `index`: `index.texts`.
pub(crate) fn beside(index: &Path) -> PathBuf {
    let mut name = index.as_os_str().to_owned();
    name.push(".texts");
    name.into()
}

/// Removes a file, if it is there.
/// # Errors
/// `Io`.
pub(crate) fn remove(path: &Path) -> Result<(), Error> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(path)(e)),
        _ => Ok(()),
    }
}

impl Extracts {
    /// Opens the file at `path`, or makes it; one that can't be used is made anew.
    /// # Errors
    /// `Io`, `Database`.
    pub(crate) fn open(path: &Path) -> Result<Extracts, Error> {
        if path.exists() {
            match Extracts::existing(path, false) {
                Ok(there) => return Ok(there),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "extracted texts can't be read, and are made anew");
                    remove(path)?;
                }
            }
        }
        let file = RealDisk.create(path).map_err(Error::io(path))?;
        let mut id = [0; 16];
        getrandom::fill(&mut id).map_err(|e| Error::io(path)(std::io::Error::other(e.to_string())))?;
        let extracts = Extracts::on(path, &file, hex::encode(id))?;
        let txn = extracts.write()?;
        {
            let mut meta = txn.open_table(META).map_err(|e| extracts.err(e))?;
            meta.insert("version", VERSION).map_err(|e| extracts.err(e))?;
            meta.insert("id", extracts.id.as_str()).map_err(|e| extracts.err(e))?;
        }
        txn.open_table(ROWS).map_err(|e| extracts.err(e))?;
        txn.open_table(ANSWERS).map_err(|e| extracts.err(e))?;
        txn.open_table(PIECES).map_err(|e| extracts.err(e))?;
        txn.commit().map_err(|e| extracts.err(e))?;
        Ok(extracts)
    }

    /// Opens a file that is there; `read_only`: what is written stays in memory.
    /// # Errors
    /// `Io`, `Database`, `Derived`.
    pub(crate) fn existing(path: &Path, read_only: bool) -> Result<Extracts, Error> {
        let mut file = RealDisk.open(path, !read_only).map_err(Error::io(path))?;
        if read_only {
            file = Arc::new(Overlay::new(file).map_err(Error::io(path))?);
        }
        let mut extracts = Extracts::on(path, &file, String::new())?;
        let text = |name: &str| -> Result<Option<String>, Error> {
            let meta = extracts.read()?.open_table(META).map_err(|e| extracts.err(e))?;
            Ok(meta.get(name).map_err(|e| extracts.err(e))?.map(|value| value.value().to_owned()))
        };
        let (version, id) = (text("version")?, text("id")?);
        match id {
            Some(id) if version.as_deref() == Some(VERSION) => extracts.id = id,
            _ => return Err(extracts.derived("it has another layout")),
        }
        Ok(extracts)
    }

    fn on(path: &Path, file: &Arc<dyn DiskFile>, id: String) -> Result<Extracts, Error> {
        let open = || {
            let backend = DatabaseFile(Arc::clone(file));
            redb::Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend)
        };
        // The library trusts its files: damage may end in a panic.
        match catch_unwind(AssertUnwindSafe(open)) {
            Ok(Ok(db)) => Ok(Extracts {
                db: RwLock::new(Some(db)),
                path: path.to_owned(),
                id,
                loose: AtomicU64::new(0),
                commits: AtomicU64::new(0),
            }),
            Ok(Err(e)) => Err(Error::Database { path: path.to_owned(), source: Box::new(e.into()) }),
            Err(_) => Err(Error::Derived { path: path.to_owned(), what: "opening it panics".into() }),
        }
    }

    /// Closes it in good order; whoever asks later is told so.
    pub(crate) fn close(&self) {
        let end = || -> Result<(), Error> {
            self.flush()?;
            let Some(mut db) = self.db.write().take() else { return Ok(()) };
            if self.commits.load(Ordering::Relaxed) >= COMPACT_AFTER_COMMITS {
                match db.compact() {
                    // Somebody reads on.
                    Ok(_) | Err(redb::CompactionError::TransactionInProgress) => {}
                    Err(e) => return Err(self.err(e)),
                }
            }
            drop(db);
            Ok(())
        };
        match catch_unwind(AssertUnwindSafe(end)) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "extracted texts could not be closed in good order"),
            Err(_) => tracing::error!(path = %self.path.display(), "extracted texts are damaged"),
        }
    }

    /// Makes durable what was kept so far.
    /// # Errors
    /// `Database`.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        let loose = self.loose.load(Ordering::Acquire);
        if loose == 0 || self.db.read().is_none() {
            return Ok(());
        }
        let txn = self.write()?;
        {
            let mut meta = txn.open_table(META).map_err(|e| self.err(e))?;
            meta.insert("version", VERSION).map_err(|e| self.err(e))?;
        }
        txn.commit().map_err(|e| self.err(e))?;
        self.loose.fetch_sub(loose, Ordering::AcqRel);
        Ok(())
    }

    /// What the index with words of this file has to name.
    pub(crate) fn name(&self, extractor_version: u32) -> String {
        format!("{} {extractor_version}", self.id)
    }

    /// What an answer is kept under: the hash of the format and the file.
    pub(crate) fn key(format: u8, bytes: &[u8]) -> [u8; 32] {
        use sha2::{Digest, Sha256};
        Sha256::new().chain_update([format]).chain_update(bytes).finalize().into()
    }

    /// What a part of a message was found to be.
    /// # Errors
    /// `Database`.
    pub(crate) fn row(&self, no: MsgNo, message: ContentHash, part: u32) -> Result<Option<Row>, Error> {
        let rows = self.read()?.open_table(ROWS).map_err(|e| self.err(e))?;
        let row = rows.get((no.0, part)).map_err(|e| self.err(e))?;
        Ok(row.and_then(|row| Row::decode(row.value(), Some(message))))
    }

    /// The answer for a file.
    /// # Errors
    /// `Database`, `Derived` when it is damaged.
    pub(crate) fn answer(&self, key: &[u8; 32]) -> Result<Option<Extracted>, Error> {
        let txn = self.read()?;
        let answers = txn.open_table(ANSWERS).map_err(|e| self.err(e))?;
        let Some(answer) = answers.get(&key[..]).map_err(|e| self.err(e))? else { return Ok(None) };
        let answer = Answer::decode(answer.value()).ok_or_else(|| self.derived("an answer is damaged"))?;
        if answer.off {
            return Ok(Some(Extracted::Off));
        }
        let mut frame = Vec::new();
        let pieces = txn.open_table(PIECES).map_err(|e| self.err(e))?;
        for number in 0..answer.pieces {
            let piece = pieces.get((&key[..], number)).map_err(|e| self.err(e))?;
            frame.extend_from_slice(piece.ok_or_else(|| self.derived("a text lacks a piece"))?.value());
        }
        let text = match answer.pieces {
            0 => String::new(),
            _ => {
                let len = answer.len.min(MAX_TEXT_BYTES);
                let text = zstd::bulk::decompress(&frame, len).map_err(|e| self.derived(e.to_string()))?;
                String::from_utf8(text).map_err(|e| self.derived(e.to_string()))?
            }
        };
        if text.len() != answer.len {
            return Err(self.derived("a text is cut"));
        }
        Ok(Some(Extracted::Text { text, trouble: answer.trouble.map(ToOwned::to_owned) }))
    }

    /// Keeps what a part is, with the answer for it unless that is there; durable after the next [`Extracts::flush`].
    /// # Errors
    /// `Database`.
    pub(crate) fn put(
        &self,
        (no, message, part): (MsgNo, ContentHash, u32),
        row: Row,
        answer: Option<&Extracted>,
    ) -> Result<(), Error> {
        let frame = match answer {
            Some(Extracted::Text { text, .. }) if !text.is_empty() => {
                zstd::bulk::compress(text.as_bytes(), 3).map_err(|e| self.derived(e.to_string()))?
            }
            _ => Vec::new(),
        };
        let mut txn = self.write()?;
        txn.set_quick_repair(false);
        txn.set_durability(Durability::None).map_err(|e| self.derived(e.to_string()))?;
        {
            let mut rows = txn.open_table(ROWS).map_err(|e| self.err(e))?;
            rows.insert((no.0, part), row.encode(message).as_slice()).map_err(|e| self.err(e))?;
            if let (Row::File(_, key), Some(answer)) = (row, answer) {
                let mut pieces = txn.open_table(PIECES).map_err(|e| self.err(e))?;
                for (number, piece) in (0..).zip(frame.chunks(PIECE_BYTES)) {
                    pieces.insert((&key[..], number), piece).map_err(|e| self.err(e))?;
                }
                let mut answers = txn.open_table(ANSWERS).map_err(|e| self.err(e))?;
                let answer = Answer::of(answer, frame.chunks(PIECE_BYTES).len()).encode();
                answers.insert(&key[..], answer.as_slice()).map_err(|e| self.err(e))?;
            }
        }
        txn.commit().map_err(|e| self.err(e))?;
        self.loose.fetch_add(1, Ordering::AcqRel);
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Calls `each` with every part that has an answer: message, part, format, whether it is off, whether there is text, trouble.
    fn each(&self, each: &mut dyn FnMut(MsgNo, u32, u8, &Answer<'_>)) -> Result<(), Error> {
        let txn = self.read()?;
        let rows = txn.open_table(ROWS).map_err(|e| self.err(e))?;
        let answers = txn.open_table(ANSWERS).map_err(|e| self.err(e))?;
        for row in rows.iter().map_err(|e| self.err(e))? {
            let (at, row) = row.map_err(|e| self.err(e))?;
            let Some(Row::File(format, key)) = Row::decode(row.value(), None) else { continue };
            let answer = answers.get(&key[..]).map_err(|e| self.err(e))?;
            if let Some(answer) = answer.as_ref().and_then(|answer| Answer::decode(answer.value())) {
                let (no, part) = at.value();
                each(MsgNo(no), part, format, &answer);
            }
        }
        Ok(())
    }

    /// What became of all attachments.
    /// # Errors
    /// `Database`.
    pub(crate) fn counts(&self) -> Result<AttachmentCounts, Error> {
        let mut counts = AttachmentCounts::default();
        self.each(&mut |_, _, _, answer| {
            *match answer {
                Answer { off: true, .. } => &mut counts.off,
                Answer { trouble: Some(_), .. } => &mut counts.failed,
                Answer { len: 0, .. } => &mut counts.none,
                _ => &mut counts.text,
            } += 1;
        })?;
        Ok(counts)
    }

    /// Attachments with trouble, by message and part.
    /// # Errors
    /// `Database`.
    pub(crate) fn failed(&self) -> Result<Vec<Failed>, Error> {
        let mut failed = Vec::new();
        self.each(&mut |no, part, format, answer| {
            if let Some(trouble) = answer.trouble {
                let (partly, reason) = (answer.len > 0, trouble.to_owned());
                failed.push(Failed { no, part, format, partly, reason });
            }
        })?;
        Ok(failed)
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        std::fs::metadata(&self.path).map_or(0, |meta| meta.len())
    }

    fn read(&self) -> Result<ReadTransaction, Error> {
        let db = self.db.read();
        db.as_ref().ok_or_else(|| self.closed())?.begin_read().map_err(|e| self.err(e))
    }

    fn write(&self) -> Result<redb::WriteTransaction, Error> {
        let db = self.db.read();
        let mut txn = db.as_ref().ok_or_else(|| self.closed())?.begin_write().map_err(|e| self.err(e))?;
        txn.set_quick_repair(true);
        Ok(txn)
    }

    fn closed(&self) -> Error {
        self.derived("it was closed a moment ago")
    }

    fn err(&self, e: impl Into<redb::Error>) -> Error {
        Error::Database { path: self.path.clone(), source: Box::new(e.into()) }
    }

    fn derived(&self, what: impl Into<String>) -> Error {
        Error::Derived { path: self.path.clone(), what: what.into() }
    }
}

/// Whether the index in `dir` says that its words come from `name` (none: from no attachments).
pub(crate) fn is_of(dir: &Path, name: Option<&str>) -> bool {
    let there = std::fs::read_to_string(dir.join(CLAIM));
    there.ok().as_deref() == name
}

/// Lets an index in `dir` whose words come from elsewhere be made anew.
/// # Errors
/// `Io`.
pub(crate) fn settle(dir: &Path, name: Option<&str>) -> Result<(), Error> {
    if is_of(dir, name) || !dir.join(crate::search::index::LIST).exists() {
        return Ok(());
    }
    tracing::warn!(index = %dir.display(), "the search index has not the attachments' texts that are kept, and is made anew");
    std::fs::remove_dir_all(dir).map_err(Error::io(dir))
}

/// Says in the index in `dir`, which has no words yet or those of `name`, where its words come from.
/// # Errors
/// `Io`.
pub(crate) fn claim(dir: &Path, name: Option<&str>) -> Result<(), Error> {
    if is_of(dir, name) {
        return Ok(());
    }
    let path = dir.join(CLAIM);
    match name {
        Some(name) => std::fs::write(&path, name).map_err(Error::io(&path)),
        None => remove(&path),
    }
}

/// An answer without its text.
#[derive(Debug, PartialEq, Eq)]
struct Answer<'a> {
    off: bool,
    len: usize,
    pieces: u32,
    trouble: Option<&'a str>,
}

impl<'a> Answer<'a> {
    fn of(answer: &'a Extracted, pieces: usize) -> Answer<'a> {
        match answer {
            Extracted::Off => Answer { off: true, len: 0, pieces: 0, trouble: None },
            Extracted::Text { text, trouble } => {
                let pieces = u32::try_from(pieces).unwrap_or(u32::MAX);
                Answer { off: false, len: text.len(), pieces, trouble: trouble.as_deref() }
            }
        }
    }

    /// State (1 byte: 0 read, 1 off, 2 trouble), length (8), pieces (4), trouble.
    fn encode(&self) -> Vec<u8> {
        let state = if self.off { 1 } else { 2 * u8::from(self.trouble.is_some()) };
        let mut bytes = vec![state];
        bytes.extend_from_slice(&(self.len as u64).to_le_bytes());
        bytes.extend_from_slice(&self.pieces.to_le_bytes());
        bytes.extend_from_slice(self.trouble.unwrap_or_default().as_bytes());
        bytes
    }

    fn decode(bytes: &'a [u8]) -> Option<Answer<'a>> {
        let (&state, rest) = bytes.split_first()?;
        let (len, rest) = rest.split_first_chunk::<8>()?;
        let (pieces, rest) = rest.split_first_chunk::<4>()?;
        let len = usize::try_from(u64::from_le_bytes(*len)).ok()?;
        let trouble = std::str::from_utf8(rest).ok()?;
        let trouble = (state == 2).then_some(trouble);
        Some(Answer { off: state == 1, len, pieces: u32::from_le_bytes(*pieces), trouble })
    }
}

#[cfg(test)]
mod tests;
