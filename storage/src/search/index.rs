//! The inverted index: derived, may be deleted at any time; who writes it, and how far it has come.
//!
//! One thread takes texts from a bounded channel, collects them, and writes them as a segment; another merges neighbours beside
//! it. The list of segments says which messages the index holds, so after any crash it holds exactly those. An index of
//! another version, of another store or damaged is made anew. Searching it is [`super::snapshot`]'s work; reading messages, the
//! store's.

use super::build::Builder;
use super::fields::versions;
pub(crate) use super::list::LIST;
use super::list::{self, List};
use super::merge;
use super::segment::{BlockCache, Segment, SegmentMeta};
use super::snapshot::Snapshot;
use crate::text::SearchText;
use crate::{Cancel, Error, Limits, MsgNo};
use crossbeam_channel::{Receiver, SendTimeoutError, Sender, bounded, never, select};
use parking_lot::{Condvar, Mutex, RwLock};
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

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
    fn new(dir: &Path, snapshot: Snapshot) -> Arc<Shared> {
        Arc::new(Shared {
            dir: dir.to_owned(),
            snapshot: RwLock::new(Arc::new(snapshot)),
            failure: Mutex::new(None),
            committed: Condvar::new(),
            abandon: AtomicBool::new(false),
            damaged: AtomicBool::new(false),
        })
    }

    fn error(&self, what: impl std::fmt::Display) -> Error {
        Error::Index { path: self.dir.clone(), what: what.to_string() }
    }

    fn is_abandoned(&self) -> bool {
        self.abandon.load(Ordering::Relaxed)
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
    /// Keeps other programs from writing it.
    lock: Mutex<Option<File>>,
    pub(super) texts: super::cache::TextCache,
}

impl Indexer {
    /// Opens the index in `dir`, or makes it. `messages`: the store's next message number; an index that claims to know
    /// more isn't this store's.
    /// # Errors
    /// `Io`, `Index`: also when another program writes it.
    pub(crate) fn open(dir: &Path, limits: &Limits, messages: MsgNo) -> Result<Indexer, Error> {
        std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
        let lock = lock(dir)?;
        let cache = BlockCache::new(limits.vocabulary_cache_bytes);
        let (list, segments) = match open_existing(dir, messages, &cache) {
            Ok(Some(known)) => known,
            Ok(None) => (empty(), Vec::new()),
            Err(why) => {
                tracing::warn!(index = %dir.display(), why, "the search index is made anew");
                (empty(), Vec::new())
            }
        };
        list.save(dir).and_then(|()| list::tidy(dir, &list)).map_err(Error::io(dir))?;
        let shared = Shared::new(dir, Snapshot::new(segments.clone()));
        let watermark = shared.snapshot.read().watermark();
        let (sender, receiver) = bounded(QUEUED_BATCHES);
        let work = Work {
            shared: Arc::clone(&shared),
            builder: Builder::default(),
            segments,
            next_serial: list.next,
            cache,
            merging: None,
            next: watermark.0,
            bytes: 0,
            since: None,
            most_messages: (limits.index_tail_messages / 2).max(1),
            most_bytes: (limits.index_tail_bytes / 2).max(1),
            most_memory: limits.index_memory_bytes,
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
            lock: Mutex::new(Some(lock)),
            texts: super::cache::TextCache::new(limits.text_cache_bytes),
        })
    }

    /// Opens the index in `dir` for searching only: nothing is written there. It must hold all `messages`.
    /// # Errors
    /// `Index` when there is none that can be trusted, or it misses messages.
    pub(crate) fn open_complete(dir: &Path, limits: &Limits, messages: MsgNo) -> Result<Indexer, Error> {
        let fail = |what: String| Error::Index { path: dir.to_owned(), what };
        let cache = BlockCache::new(limits.vocabulary_cache_bytes);
        let known = open_existing(dir, messages, &cache).map_err(fail)?;
        let (_, segments) = known.ok_or_else(|| fail("there is none".into()))?;
        let snapshot = Snapshot::new(segments);
        let watermark = snapshot.watermark();
        if watermark != messages {
            return Err(fail(format!("it holds {} messages of {}", watermark.0, messages.0)));
        }
        Ok(Indexer {
            shared: Shared::new(dir, snapshot),
            sender: RwLock::new(None),
            order: Mutex::new(()),
            next: AtomicU32::new(watermark.0),
            thread: Mutex::new(None),
            lock: Mutex::new(None),
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

    /// Commits what was handed over, ends the merge that is going on, and stops the writer.
    /// # Errors
    /// `Index`.
    pub(crate) fn close(&self) -> Result<(), Error> {
        drop(self.sender.write().take());
        let Some(thread) = self.thread.lock().take() else { return Ok(()) };
        let joined = thread.join();
        self.lock.lock().take();
        if joined.is_err() {
            return Err(self.shared.error("its writer panicked"));
        }
        if self.shared.failure.lock().is_some() {
            return Err(self.failed());
        }
        Ok(())
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

    /// The names of damaged files.
    pub(crate) fn damaged_files(&self) -> Vec<String> {
        let mut damaged = Vec::new();
        if List::load(&self.shared.dir).is_err() {
            damaged.push(list::LIST.to_owned());
        }
        for segment in &self.snapshot().segments {
            match segment.damage() {
                Ok(found) => damaged.extend(found),
                Err(error) => damaged.push(format!("a file ({error})")),
            }
        }
        damaged
    }

    /// Remembers that the index could not be read, so that its files are checked when it is opened next.
    pub(crate) fn report_damage(&self, what: &str) {
        tracing::warn!(index = %self.shared.dir.display(), what, "the search index fails; messages are scanned instead");
        self.shared.damaged.store(true, Ordering::Relaxed);
        // An index that is only read is not touched.
        if self.lock.lock().is_some()
            && let Err(error) = list::suspect(&self.shared.dir)
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

/// Keeps other programs from writing the index.
fn lock(dir: &Path) -> Result<File, Error> {
    let lock = File::open(dir).map_err(Error::io(dir))?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
        rustix::io::Errno::WOULDBLOCK => {
            Error::Index { path: dir.to_owned(), what: "another mailkeep writes it".to_owned() }
        }
        other => Error::io(dir)(other.into()),
    })?;
    Ok(lock)
}

fn empty() -> List {
    // Names of an index that was here before are not given again: somebody may still read its files.
    List { versions: versions(), next: 1, segments: Vec::new() }
}

type Known = (List, Vec<Arc<Segment>>);

/// The index in `dir`, if there is one that can be trusted; else why not.
fn open_existing(dir: &Path, messages: MsgNo, cache: &Arc<BlockCache>) -> Result<Option<Known>, String> {
    let Some(list) = List::load(dir)? else { return Ok(None) };
    if list.versions != versions() {
        return Err(format!("it is of another version: {}", list.versions));
    }
    if list.segments.last().is_some_and(|last| last.messages.1 > messages.0) {
        return Err("it knows messages that the store does not have".to_owned());
    }
    let open = |meta: &SegmentMeta| Segment::open(dir, meta, cache).map(Arc::new).map_err(|e| e.to_string());
    let segments = list.segments.iter().map(open).collect::<Result<Vec<_>, String>>()?;
    if list::is_suspect(dir) {
        for segment in &segments {
            if let Some(file) = segment.damage().map_err(|e| e.to_string())? {
                return Err(format!("{file} is damaged"));
            }
        }
    }
    Ok(Some((list, segments)))
}

/// What a merge comes to; none when it was stopped.
type Merged = io::Result<Option<SegmentMeta>>;

/// A merge that goes on beside the writer.
struct Merging {
    /// The serial numbers of its sources.
    sources: Vec<u64>,
    serial: u64,
    done: Receiver<Merged>,
    thread: JoinHandle<()>,
}

/// The writer's thread.
struct Work {
    shared: Arc<Shared>,
    builder: Builder,
    segments: Vec<Arc<Segment>>,
    next_serial: u64,
    cache: Arc<BlockCache>,
    merging: Option<Merging>,
    next: u32,
    bytes: u64,
    since: Option<Instant>,
    most_messages: u64,
    most_bytes: u64,
    most_memory: usize,
}

impl Work {
    fn run(mut self, jobs: &Receiver<Job>) {
        let shared = Arc::clone(&self.shared);
        // A panic must reach those who wait, too.
        let work = AssertUnwindSafe(|| {
            self.begin_merge()?;
            self.work(jobs)?;
            if !shared.is_abandoned() {
                self.commit()?;
            }
            self.end_merge(None)
        });
        let done = std::panic::catch_unwind(work)
            .unwrap_or_else(|_| Err(io::Error::other("the index's writer panicked")));
        if let Err(e) = done {
            tracing::error!(index = %shared.dir.display(), error = %e, "the search index takes no more messages");
            *shared.failure.lock() = Some(e.to_string());
        }
        shared.committed.notify_all();
    }

    fn work(&mut self, jobs: &Receiver<Job>) -> io::Result<()> {
        let idle = never();
        loop {
            let merged = self.merging.as_ref().map_or(&idle, |merging| &merging.done);
            let wait =
                self.since.map(|since| (since + COMMIT_AFTER).saturating_duration_since(Instant::now()));
            select! {
                recv(jobs) -> job => match job {
                    Ok(Job::Texts(texts)) => {
                        for (number, text) in texts {
                            if self.shared.is_abandoned() {
                                return Ok(());
                            }
                            self.add(number, &text)?;
                        }
                    }
                    Ok(Job::Commit) => self.commit()?,
                    Err(_) => return Ok(()),
                },
                recv(merged) -> merged => self.end_merge(merged.ok())?,
                default(wait.unwrap_or(Duration::MAX)) => self.commit()?,
            }
        }
    }

    fn add(&mut self, number: MsgNo, text: &SearchText) -> io::Result<()> {
        self.builder.add(text);
        let strings = text.fields.iter().map(|field| field.name.len() + field.value.len());
        self.bytes += strings.chain(text.body.iter().map(String::len)).sum::<usize>() as u64;
        self.next = number.0 + 1;
        self.since.get_or_insert_with(Instant::now);
        let full = u64::from(self.builder.messages()) >= self.most_messages
            || self.bytes >= self.most_bytes
            || self.builder.bytes() >= self.most_memory;
        if full { self.commit() } else { Ok(()) }
    }

    fn serial(&mut self) -> u64 {
        self.next_serial += 1;
        self.next_serial - 1
    }

    /// Makes these segments what counts.
    fn publish(&mut self, segments: Vec<Arc<Segment>>) -> io::Result<()> {
        let metas = segments.iter().map(|segment| segment.meta.clone()).collect();
        List { versions: versions(), next: self.next_serial, segments: metas }.save(&self.shared.dir)?;
        *self.shared.snapshot.write() = Arc::new(Snapshot::new(segments.clone()));
        self.segments = segments;
        Ok(())
    }

    fn commit(&mut self) -> io::Result<()> {
        if self.since.take().is_none() {
            return Ok(());
        }
        let serial = self.serial();
        let first = self.next - self.builder.messages();
        let meta = self.builder.write(&self.shared.dir, serial, first)?;
        self.bytes = 0;
        let segment = Arc::new(Segment::open(&self.shared.dir, &meta, &self.cache)?);
        let segments = self.segments.iter().cloned().chain([segment]).collect();
        self.publish(segments)?;
        // Taken for the waiters' sake: none can miss the change between its look and its sleep.
        drop(self.shared.failure.lock());
        self.shared.committed.notify_all();
        self.begin_merge()
    }

    /// Begins a merge if one is due and none goes on.
    fn begin_merge(&mut self) -> io::Result<()> {
        let sizes: Vec<u64> = self.segments.iter().map(|segment| segment.meta.bytes.iter().sum()).collect();
        let Some(range) = merge::due(&sizes).filter(|_| self.merging.is_none()) else { return Ok(()) };
        let sources: Vec<Arc<Segment>> = self.segments.get(range).unwrap_or_default().to_vec();
        let serial = self.serial();
        let (sender, done) = bounded(1);
        let serials = sources.iter().map(|segment| segment.meta.serial).collect();
        let shared = Arc::clone(&self.shared);
        let work = move || {
            let stop = || shared.is_abandoned();
            let merged = std::panic::catch_unwind(AssertUnwindSafe(|| {
                merge::merge(&shared.dir, serial, &sources, &stop)
            }));
            let merged = merged.unwrap_or_else(|_| Err(io::Error::other("merging panicked")));
            // Who asked may be gone; then nobody wants it.
            drop(sender.send(merged));
        };
        let thread = std::thread::Builder::new().name("merge".to_owned()).spawn(work)?;
        self.merging = Some(Merging { sources: serials, serial, done, thread });
        Ok(())
    }

    /// Puts the segment of the merge that goes on in its sources' place, having waited for it unless it is there already; a merge
    /// that failed leaves all as it is.
    fn end_merge(&mut self, merged: Option<Merged>) -> io::Result<()> {
        let Some(Merging { sources, serial, done, thread }) = self.merging.take() else { return Ok(()) };
        let merged = merged.or_else(|| done.recv().ok());
        let merged = merged.unwrap_or_else(|| Err(io::Error::other("merging ended without a word")));
        if thread.join().is_err() {
            tracing::error!(index = %self.shared.dir.display(), "merging panicked");
        }
        let dir = self.shared.dir.clone();
        let meta = match merged {
            Ok(Some(meta)) => meta,
            Ok(None) => return list::remove_segment(&dir, serial),
            Err(error) => {
                tracing::warn!(index = %dir.display(), %error, "segments of the search index could not be merged");
                self.shared.damaged.store(true, Ordering::Relaxed);
                list::suspect(&dir)?;
                return list::remove_segment(&dir, serial);
            }
        };
        let at = |serial: u64| self.segments.iter().position(|segment| segment.meta.serial == serial);
        let ends =
            sources.first().zip(sources.last()).and_then(|(&first, &last)| Some((at(first)?, at(last)?)));
        let Some((first, last)) = ends else { return Ok(()) };
        let segment = Arc::new(Segment::open(&dir, &meta, &self.cache)?);
        let mut segments = self.segments.clone();
        segments.splice(Range { start: first, end: last + 1 }, [segment]);
        self.publish(segments)?;
        for serial in sources {
            // Searches that have them open read on.
            list::remove_segment(&dir, serial)?;
        }
        self.begin_merge()
    }
}
