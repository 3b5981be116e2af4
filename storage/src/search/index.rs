//! The inverted index: derived, may be deleted at any time; who writes it, and how far it has come.
//!
//! One thread owns the writer and takes texts from a bounded channel. The watermark stands in the same commit as the
//! documents, so after any crash the index holds exactly the messages below it. An index of another version, of
//! another store or damaged is made anew. Searching it is [`super::snapshot`]'s work; reading messages, the store's.

use super::fields::{Part, TOKENIZER, Words, number_field, schema, versions};
use super::merges::{BoundedMerges, MERGE_BYTES};
use super::scan::Folded;
use super::snapshot::{Budget, Snapshot};
use crate::text::{SearchText, fold};
use crate::{Cancel, Error, Limits, MsgNo};
use crossbeam_channel::{Receiver, RecvTimeoutError, SendTimeoutError, Sender, bounded};
use parking_lot::{Condvar, Mutex, RwLock};
use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tantivy::index::{SegmentId, SegmentMeta};
use tantivy::indexer::IndexWriterOptions;
use tantivy::store::Compressor;
use tantivy::{Index, IndexReader, IndexSettings, IndexWriter, ReloadPolicy, TantivyDocument};

/// Names the segments whose files are trusted without reading them: those of an index that was closed in good order, and while
/// it is written those of the commit before the last one. After a crash only what is younger is read through, so that
/// opening doesn't take longer the larger the index is.
const SOUND: &str = "sound-segments";
/// Batches of texts that may wait for the writer.
const QUEUED_BATCHES: usize = 4;
/// How long committed text may be missing from the index when nothing else makes it commit.
const COMMIT_AFTER: Duration = Duration::from_secs(1);
/// How often a waiting caller looks whether it was cancelled.
const CANCEL_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug)]
enum Job {
    Texts(Vec<(MsgNo, SearchText)>),
    Commit,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    snapshot: RwLock<Arc<Snapshot>>,
    /// Why the writer gave up.
    failure: Mutex<Option<String>>,
    committed: Condvar,
    abandon: AtomicBool,
    damaged: AtomicBool,
}

impl Shared {
    fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::Index { path: self.dir.clone(), what: what.to_string() }
    }

    /// Notes which segments the next opening may trust; none once damage was seen. Lost, it costs reading them.
    fn trust(&self, segments: &[String]) -> std::io::Result<()> {
        let segments = if self.damaged.load(Ordering::Relaxed) { &[] } else { segments };
        let draft = self.dir.join(format!("{SOUND}.new"));
        std::fs::write(&draft, segments.join("\n"))?;
        std::fs::rename(draft, self.dir.join(SOUND))
    }
}

/// The index of one store and its writer. Dropped without [`Indexer::close`], it leaves what isn't committed out.
#[derive(Debug)]
pub(crate) struct Indexer {
    shared: Arc<Shared>,
    sender: RwLock<Option<Sender<Job>>>,
    /// Held while a batch is handed over, so that batches keep their order.
    order: Mutex<()>,
    next: AtomicU32,
    thread: Mutex<Option<JoinHandle<()>>>,
    pub(super) texts: super::cache::TextCache,
}

impl Indexer {
    /// Opens the index in `dir`, or makes it. `messages`: the store's next message number; an index that claims to know
    /// more isn't this store's.
    /// # Errors
    /// `Io`, `Index`: also when another program writes it.
    pub(crate) fn open(dir: &Path, limits: &Limits, messages: MsgNo) -> Result<Indexer, Error> {
        let fail = |what: String| Error::Index { path: dir.to_owned(), what };
        let known = match open_existing(dir, messages) {
            Ok(known) => known,
            Err(why) => {
                tracing::warn!(index = %dir.display(), why, "the search index is made anew");
                None
            }
        };
        let (mut index, mut watermark) = match known {
            Some(known) => known,
            None => (create(dir)?, MsgNo(0)),
        };
        let mut writer = writer(&index, dir, limits)?;
        let reading = match Reading::new(&index, watermark, limits) {
            Ok(reading) => reading,
            // Segments are trusted that rotted since.
            Err(why) => {
                tracing::warn!(index = %dir.display(), why, "the search index is damaged and made anew");
                drop(writer);
                (index, watermark) = (create(dir)?, MsgNo(0));
                writer = self::writer(&index, dir, limits)?;
                Reading::new(&index, watermark, limits).map_err(fail)?
            }
        };
        let Reading { reader, snapshot, vocabularies } = reading;
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            snapshot: RwLock::new(Arc::new(snapshot)),
            failure: Mutex::new(None),
            committed: Condvar::new(),
            abandon: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
        });
        let (sender, receiver) = bounded(QUEUED_BATCHES);
        let work = Work {
            shared: shared.clone(),
            committed: ids(&index),
            writer,
            reader,
            next: watermark.0,
            vocabularies,
            messages: 0,
            bytes: 0,
            since: None,
            most_messages: (limits.index_tail_messages / 2).max(1),
            most_bytes: (limits.index_tail_bytes / 2).max(1),
        };
        let thread = std::thread::Builder::new()
            .name("index".to_owned())
            .spawn(move || work.run(&receiver))
            .map_err(Error::io(dir))?;
        Ok(Indexer {
            shared,
            sender: RwLock::new(Some(sender)),
            order: Mutex::new(()),
            next: AtomicU32::new(watermark.0),
            thread: Mutex::new(Some(thread)),
            texts: super::cache::TextCache::new(limits.text_cache_bytes),
        })
    }

    /// Opens the index in `dir` for searching only: nothing is written there. It must hold all `messages`.
    /// # Errors
    /// `Index` when there is none that can be trusted, or it misses messages.
    pub(crate) fn open_complete(dir: &Path, limits: &Limits, messages: MsgNo) -> Result<Indexer, Error> {
        let fail = |what: String| Error::Index { path: dir.to_owned(), what };
        let known = open_existing(dir, messages).map_err(fail)?;
        let (index, watermark) = known.ok_or_else(|| fail("there is none".into()))?;
        if watermark != messages {
            return Err(fail(format!("it holds {} messages of {}", watermark.0, messages.0)));
        }
        index.tokenizers().register(TOKENIZER, Words);
        // Not through the library's reader, which makes a lock file.
        let segments = index.searchable_segments().map_err(|e| fail(e.to_string()))?;
        let readers = segments.iter().map(tantivy::SegmentReader::open).collect::<Result<Vec<_>, _>>();
        let readers = readers.map_err(|e| fail(e.to_string()))?;
        let vocabularies = Budget::new(limits.vocabulary_cache_bytes);
        let snapshot = Snapshot::new(&readers, watermark, &vocabularies, None).map_err(fail)?;
        let shared = Arc::new(Shared {
            dir: dir.to_owned(),
            snapshot: RwLock::new(Arc::new(snapshot)),
            failure: Mutex::new(None),
            committed: Condvar::new(),
            abandon: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
        });
        Ok(Indexer {
            shared,
            sender: RwLock::new(None),
            order: Mutex::new(()),
            next: AtomicU32::new(watermark.0),
            thread: Mutex::new(None),
            texts: super::cache::TextCache::new(limits.text_cache_bytes),
        })
    }

    /// Hands texts over, numbers rising; blocks while the writer is behind. Takes those that continue what it has and
    /// leaves the others out, so a store that catches up reads on from [`Indexer::next`] until that is its own next
    /// number, whatever is committed meanwhile. Returns the number it wants next.
    /// # Errors
    /// `Index` once the writer has failed or is closed.
    pub(crate) fn submit(&self, texts: Vec<(MsgNo, SearchText)>) -> Result<MsgNo, Error> {
        let _in_order = self.order.lock();
        let mut next = self.next.load(Ordering::Acquire);
        let mut taken = Vec::with_capacity(texts.len());
        for (number, text) in texts {
            if number.0 == next {
                next += 1;
                taken.push((number, text));
            }
        }
        if !taken.is_empty() {
            let sender = self.sender.read().clone();
            let sender = sender.ok_or_else(|| self.shared.error("closed"))?;
            sender.send(Job::Texts(taken)).map_err(|_| self.failed())?;
            self.next.store(next, Ordering::Release);
        }
        Ok(MsgNo(next))
    }

    /// The first message that was not handed over yet.
    pub(crate) fn next(&self) -> MsgNo {
        MsgNo(self.next.load(Ordering::Acquire))
    }

    /// All messages below are committed in the index.
    pub(crate) fn watermark(&self) -> MsgNo {
        self.shared.snapshot.read().watermark()
    }

    /// Waits until all that was handed over is committed, and hurries it.
    /// # Errors
    /// `Index`, `Cancelled`.
    pub(crate) fn wait(&self, cancel: &Cancel) -> Result<(), Error> {
        let goal = self.next();
        if self.watermark() >= goal {
            return Ok(());
        }
        let sender = self.sender.read().clone();
        if let Some(sender) = sender {
            let mut job = Job::Commit;
            loop {
                cancel.check()?;
                match sender.send_timeout(job, CANCEL_EVERY) {
                    Ok(()) => break,
                    Err(SendTimeoutError::Timeout(same)) => job = same,
                    Err(SendTimeoutError::Disconnected(_)) => return Err(self.failed()),
                }
            }
        }
        let mut failure = self.shared.failure.lock();
        loop {
            if self.watermark() >= goal {
                return Ok(());
            }
            if let Some(what) = failure.as_ref() {
                return Err(self.shared.error(what));
            }
            cancel.check()?;
            self.shared.committed.wait_for(&mut failure, CANCEL_EVERY);
        }
    }

    /// Commits what was handed over, stops the writer, and marks the index as closed in good order.
    /// # Errors
    /// `Index`, `Io`.
    pub(crate) fn close(&self) -> Result<(), Error> {
        drop(self.sender.write().take());
        let Some(thread) = self.thread.lock().take() else { return Ok(()) };
        if thread.join().is_err() {
            return Err(self.shared.error("its writer panicked"));
        }
        if self.shared.failure.lock().is_some() {
            return Err(self.failed());
        }
        let dir = &self.shared.dir;
        let closed = Index::open_in_dir(dir).map_err(|e| self.shared.error(e))?;
        self.shared.trust(&ids(&closed)).map_err(Error::io(dir))
    }

    /// The index as the last commit left it.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.shared.snapshot.read().clone()
    }

    /// Where it lies.
    pub(crate) fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Why it takes no more, if it doesn't.
    pub(crate) fn trouble(&self) -> Option<String> {
        let damaged = self.shared.damaged.load(Ordering::Relaxed);
        let failure = self.shared.failure.lock().clone();
        failure
            .or_else(|| damaged.then(|| "reading it failed; it is checked when it is opened next".to_owned()))
    }

    /// The names of files whose checksum is wrong.
    pub(crate) fn damaged_files(&self) -> Vec<String> {
        // A file that a merge replaced meanwhile is no damage: asked twice, and only what is there both times.
        let look = || -> Option<std::collections::HashSet<PathBuf>> {
            Index::open_in_dir(&self.shared.dir).ok()?.validate_checksum().ok()
        };
        let read = AssertUnwindSafe(|| {
            let first = look().filter(|files| !files.is_empty())?;
            let again = look()?;
            let both = first.intersection(&again).filter(|file| self.shared.dir.join(file).exists());
            Some(both.map(|file| file.display().to_string()).collect())
        });
        std::panic::catch_unwind(read).unwrap_or_else(|_| Some(vec!["a file".to_owned()])).unwrap_or_default()
    }

    /// Remembers that the index could not be read, so that its files are checked when it is opened next.
    pub(crate) fn report_damage(&self, what: &str) {
        tracing::warn!(index = %self.shared.dir.display(), what, "the search index fails; messages are scanned instead");
        self.shared.damaged.store(true, Ordering::Relaxed);
        // An index that is only read is not touched.
        if self.sender.read().is_some()
            && let Err(error) = self.shared.trust(&[])
        {
            tracing::warn!(%error, "the next opening may trust the damaged index");
        }
    }

    fn failed(&self) -> Error {
        let failure = self.shared.failure.lock();
        self.shared.error(failure.as_deref().unwrap_or("its writer has stopped"))
    }
}

impl Drop for Indexer {
    fn drop(&mut self) {
        self.shared.abandon.store(true, Ordering::Relaxed);
        drop(self.sender.write().take());
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!(index = %self.shared.dir.display(), "the search index's writer panicked");
        }
    }
}

/// Keeps other programs from writing the index, and writes it.
fn writer(index: &Index, dir: &Path, limits: &Limits) -> Result<IndexWriter, Error> {
    index.tokenizers().register(TOKENIZER, Words);
    let options = IndexWriterOptions::builder()
        .num_worker_threads(1)
        .num_merge_threads(1)
        .memory_budget_per_thread(limits.index_memory_bytes.clamp(16 << 20, 1 << 30))
        .build();
    let writer = index.writer_with_options(options);
    let writer = writer.map_err(|e| Error::Index { path: dir.to_owned(), what: e.to_string() })?;
    writer.set_merge_policy(Box::new(BoundedMerges::new(dir.to_owned(), MERGE_BYTES)));
    Ok(writer)
}

/// What searching needs of an index that is written.
struct Reading {
    reader: IndexReader,
    snapshot: Snapshot,
    vocabularies: Arc<Budget>,
}

impl Reading {
    fn new(index: &Index, watermark: MsgNo, limits: &Limits) -> Result<Reading, String> {
        let work = AssertUnwindSafe(|| {
            let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into();
            let reader: IndexReader = reader.map_err(|e: tantivy::TantivyError| e.to_string())?;
            let vocabularies = Budget::new(limits.vocabulary_cache_bytes);
            let segments = reader.searcher();
            let snapshot = Snapshot::new(segments.segment_readers(), watermark, &vocabularies, None)?;
            Ok(Reading { reader, snapshot, vocabularies })
        });
        std::panic::catch_unwind(work).unwrap_or_else(|_| Err("reading it panics".to_owned()))
    }
}

/// The index in `dir` with its watermark, if there is one that can be trusted; else why not.
fn open_existing(dir: &Path, messages: MsgNo) -> Result<Option<(Index, MsgNo)>, String> {
    if !dir.join("meta.json").exists() {
        return Ok(None);
    }
    // The library trusts its files: damage may end in a panic.
    let opened = std::panic::catch_unwind(|| {
        let index = Index::open_in_dir(dir).map_err(|e| e.to_string())?;
        if index.schema() != schema() {
            return Err("it has other fields".to_owned());
        }
        let meta = index.load_metas().map_err(|e| e.to_string())?;
        let watermark = match meta.payload.as_deref() {
            None if meta.segments.is_empty() => MsgNo(0),
            None => return Err("its commit has no watermark".to_owned()),
            Some(payload) => payload
                .strip_prefix(&versions())
                .and_then(|next| next.parse().ok())
                .map(MsgNo)
                .ok_or_else(|| format!("it is of another version: {payload}"))?,
        };
        if watermark > messages {
            return Err("it knows messages that the store does not have".to_owned());
        }
        let held: u64 = meta.segments.iter().map(|s| u64::from(s.num_docs())).sum();
        if held != u64::from(watermark.0) {
            return Err(format!("it holds {held} messages instead of {}", watermark.0));
        }
        if let Some(file) = damaged_file(dir, &index, &meta.segments)? {
            return Err(format!("{} is damaged", file.display()));
        }
        Ok(Some((index, watermark)))
    });
    opened.unwrap_or_else(|_| Err("reading it panics".to_owned()))
}

/// The segments of the last commit.
fn ids(index: &Index) -> Vec<String> {
    let ids = index.searchable_segment_ids().unwrap_or_default();
    ids.iter().map(SegmentId::uuid_string).collect()
}

/// Reads the files of all segments that aren't known to be sound; gives the first one that is damaged.
fn damaged_file(dir: &Path, index: &Index, segments: &[SegmentMeta]) -> Result<Option<PathBuf>, String> {
    // Not there, or damaged itself: nothing is known to be sound.
    let sound = std::fs::read_to_string(dir.join(SOUND)).unwrap_or_default();
    let sound: HashSet<&str> = sound.lines().collect();
    let young: HashSet<String> = segments.iter().map(|segment| segment.id().uuid_string()).collect();
    for entry in std::fs::read_dir(dir).map_err(|e| e.to_string())? {
        let name = PathBuf::from(entry.map_err(|e| e.to_string())?.file_name());
        let Some(segment) = name.to_str().and_then(|name| name.split('.').next()) else { continue };
        if !young.contains(segment) || sound.contains(segment) {
            continue;
        }
        if !index.directory().validate_checksum(&name).map_err(|e| e.to_string())? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn create(dir: &Path) -> Result<Index, Error> {
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(dir)(e)),
        _ => {}
    }
    std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
    // Nothing is stored in it, so nothing of it needs a compressor's thread.
    let settings = IndexSettings {
        docstore_compression: Compressor::None,
        docstore_compress_dedicated_thread: false,
        ..IndexSettings::default()
    };
    Index::builder()
        .schema(schema())
        .settings(settings)
        .create_in_dir(dir)
        .map_err(|e| Error::Index { path: dir.to_owned(), what: e.to_string() })
}

/// The writer's thread.
struct Work {
    shared: Arc<Shared>,
    /// The last commit's segments.
    committed: Vec<String>,
    writer: IndexWriter,
    reader: IndexReader,
    vocabularies: Arc<Budget>,
    next: u32,
    messages: u64,
    bytes: u64,
    since: Option<Instant>,
    most_messages: u64,
    most_bytes: u64,
}

impl Work {
    fn run(mut self, jobs: &Receiver<Job>) {
        let shared = self.shared.clone();
        // A panic must reach those who wait, too.
        let work = AssertUnwindSafe(|| {
            self.work(jobs)?;
            if shared.abandon.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.commit()?;
            self.writer.wait_merging_threads()
        });
        let done = std::panic::catch_unwind(work).unwrap_or_else(|_| {
            Err(tantivy::TantivyError::ErrorInThread("the index's writer panicked".to_owned()))
        });
        if let Err(e) = done {
            tracing::error!(index = %shared.dir.display(), error = %e, "the search index takes no more messages");
            *shared.failure.lock() = Some(e.to_string());
        }
        shared.committed.notify_all();
    }

    fn work(&mut self, jobs: &Receiver<Job>) -> tantivy::Result<()> {
        loop {
            let job = match self.since {
                Some(since) => jobs.recv_deadline(since + COMMIT_AFTER),
                None => jobs.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match job {
                Ok(Job::Texts(texts)) => {
                    for (number, text) in texts {
                        if self.shared.abandon.load(Ordering::Relaxed) {
                            return Ok(());
                        }
                        self.add(number, &text)?;
                    }
                }
                Ok(Job::Commit) | Err(RecvTimeoutError::Timeout) => self.commit()?,
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }

    fn add(&mut self, number: MsgNo, text: &SearchText) -> tantivy::Result<()> {
        let mut document = TantivyDocument::new();
        document.add_u64(number_field(), u64::from(number.0));
        for field in &text.fields {
            if let Some(part) = Part::of_header(&field.name) {
                document.add_text(part.field(), fold(&field.value));
            }
        }
        let folded = Folded::new(text);
        self.bytes += folded.bytes() as u64;
        for line in folded.header {
            document.add_text(Part::Header.field(), line);
        }
        for entry in folded.body {
            document.add_text(Part::Body.field(), entry);
        }
        self.writer.add_document(document)?;
        self.next = number.0 + 1;
        self.messages += 1;
        self.since.get_or_insert_with(Instant::now);
        if self.messages >= self.most_messages || self.bytes >= self.most_bytes {
            self.commit()?;
        }
        Ok(())
    }

    fn commit(&mut self) -> tantivy::Result<()> {
        if self.since.is_none() {
            return Ok(());
        }
        let mut commit = self.writer.prepare_commit()?;
        commit.set_payload(&format!("{}{}", versions(), self.next));
        commit.commit()?;
        self.reader.reload()?;
        let now = ids(self.writer.index());
        let older: Vec<String> = std::mem::replace(&mut self.committed, now);
        if let Err(error) = self.shared.trust(&older) {
            tracing::warn!(%error, "the next opening reads more of the search index than it would have to");
        }
        let before = self.shared.snapshot.read().clone();
        let readers = self.reader.searcher();
        let snapshot =
            Snapshot::new(readers.segment_readers(), MsgNo(self.next), &self.vocabularies, Some(&before))
                .map_err(tantivy::TantivyError::InternalError)?;
        *self.shared.snapshot.write() = Arc::new(snapshot);
        (self.messages, self.bytes, self.since) = (0, 0, None);
        // Taken for the waiters' sake: none can miss the change between its look and its sleep.
        drop(self.shared.failure.lock());
        self.shared.committed.notify_all();
        Ok(())
    }
}
