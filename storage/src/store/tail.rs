//! The index's tail: what is archived and not yet committed in the index, and how the index is kept following.
//!
//! Invariant: the index gets every message's text once and in order: from the batch that brought it, or, when the index
//! is behind at opening or much waits for attachments, read back from the packs by one thread, which has attachments read too. Writers wait while the tail is long,
//! except while the index catches up after opening: then search scans more, and archiving goes on. Messages without attachments never
//! wait for those of others but in the index.

use super::extraction::Unread;
use super::extracts::{self, Extracts};
use super::{Cancel, Store};
use crate::incoming::Content;
use crate::search::index::Indexer;
use crate::text::SearchText;
use crate::{Error, Limits, MsgNo};
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Texts that are read back before they are handed over.
const CATCH_UP_MESSAGES: u32 = 512;
/// How often a waiting writer looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How long closing waits for attachments that are still to be read; the next opening goes on there.
const CLOSE_PATIENCE: Duration = Duration::from_secs(20);

/// What a search asks: the index, and the texts of attachments that its words come from.
#[derive(Debug, Clone)]
pub(crate) struct Current {
    pub(crate) indexer: Arc<Indexer>,
    /// None when nobody extracts.
    pub(crate) extracts: Option<Arc<Extracts>>,
}

/// The share of the tail's bytes that texts may take which wait for others' attachments; what is beyond is read back.
const READY_SHARE: u64 = 4;

/// Texts that wait until the index has those before them, each with what it lacks.
#[derive(Debug, Default)]
struct Waiting {
    texts: BTreeMap<u32, Waits>,
    bytes: u64,
}

#[derive(Debug)]
struct Waits {
    text: SearchText,
    unread: Option<Unread>,
}

impl Waits {
    /// What is kept for it in memory; `None` where its bytes lie in a spool file, which isn't kept open.
    fn bytes(&self) -> Option<u64> {
        let content = match self.unread.as_ref().map(|unread| &unread.content) {
            None => 0,
            Some(Content::Memory(bytes)) => bytes.len() as u64,
            Some(Content::File(..)) => return None,
        };
        Some(size_of_text(&self.text) + content)
    }
}

fn size_of_text(text: &SearchText) -> u64 {
    let fields = text.fields.iter().map(|field| field.name.len() + field.value.len() + size_of_val(field));
    let body = text.body.iter().map(|entry| entry.len() + size_of::<String>());
    fields.chain(body).sum::<usize>() as u64
}

impl Waiting {
    /// Both lists rise.
    fn put(&mut self, texts: Vec<(MsgNo, SearchText)>, attached: Vec<(MsgNo, Unread)>, most: u64) {
        let mut attached = attached.into_iter().peekable();
        for (no, text) in texts {
            while attached.next_if(|(of, _)| *of < no).is_some() {}
            let unread = attached.next_if(|(of, _)| *of == no).map(|(_, unread)| unread);
            let waits = Waits { text, unread };
            if let Some(bytes) = waits.bytes().filter(|bytes| self.bytes + bytes <= most) {
                self.bytes += bytes;
                self.texts.insert(no.0, waits);
            }
        }
    }

    /// The text of a message; those before it are not asked for any more.
    fn take(&mut self, no: u32) -> Option<Waits> {
        let waits = self.texts.remove(&no);
        self.bytes -= waits.as_ref().and_then(Waits::bytes).unwrap_or(0);
        waits
    }

    fn forget_below(&mut self, no: u32) {
        let kept = self.texts.split_off(&no);
        let gone = std::mem::replace(&mut self.texts, kept);
        self.bytes -= gone.values().filter_map(Waits::bytes).sum::<u64>();
    }
}

/// The index and what it has not seen.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Exchanged for one that was made anew.
    current: RwLock<Current>,
    store: OnceLock<Weak<Store>>,
    /// Whether a thread reads messages back.
    following: Arc<Mutex<bool>>,
    /// Batches above the index's watermark: the number after their last message, and their bytes.
    batches: Mutex<VecDeque<(u32, u64)>>,
    ready: Mutex<Waiting>,
    catching_up: Arc<AtomicBool>,
    stopping: AtomicBool,
    /// Held while the index is made anew.
    pub(super) rebuilding: Mutex<()>,
    thread: Mutex<Option<JoinHandle<Result<(), Error>>>>,
    max_messages: u64,
    max_bytes: u64,
}

impl Tail {
    /// Opens the index in `dir`, and the texts beside it if there is an extractor of that `version`.
    pub(crate) fn open(
        dir: &Path,
        limits: &Limits,
        next: MsgNo,
        version: Option<u32>,
    ) -> Result<Tail, Error> {
        super::reindex::tidy(dir)?;
        let extracts = version.map(|_| Extracts::open(&extracts::beside(dir))).transpose()?.map(Arc::new);
        let name = extracts.as_ref().zip(version).map(|(extracts, version)| extracts.name(version));
        extracts::settle(dir, name.as_deref())?;
        let indexer = Indexer::open(dir, limits, next)?;
        extracts::claim(dir, name.as_deref())?;
        Ok(Tail::new(indexer, extracts, limits, next))
    }

    /// Takes the complete index in `dir` as it is; without one, makes one in `derived`.
    pub(crate) fn open_protected(
        dir: &Path,
        derived: &Path,
        limits: &Limits,
        next: MsgNo,
        version: Option<u32>,
    ) -> Result<Tail, Error> {
        let as_it_is = || {
            let extracts = version.map(|_| Extracts::existing(&extracts::beside(dir), true)).transpose()?;
            let name = extracts.as_ref().zip(version).map(|(extracts, version)| extracts.name(version));
            if !extracts::is_of(dir, name.as_deref()) {
                let what = "it has not the attachments' texts that are kept".to_owned();
                return Err(Error::Index { path: dir.to_owned(), what });
            }
            Ok((Indexer::open_complete(dir, limits, next)?, extracts.map(Arc::new)))
        };
        match as_it_is() {
            Ok((indexer, extracts)) => Ok(Tail::new(indexer, extracts, limits, next)),
            Err(error) => {
                tracing::info!(%error, "a write-protected store gets an index beside it");
                if let Some(above) = derived.parent() {
                    std::fs::create_dir_all(above).map_err(Error::io(above))?;
                }
                Tail::open(derived, limits, next, version)
            }
        }
    }

    fn new(indexer: Indexer, extracts: Option<Arc<Extracts>>, limits: &Limits, next: MsgNo) -> Tail {
        let behind = indexer.next() < next;
        Tail {
            current: RwLock::new(Current { indexer: Arc::new(indexer), extracts }),
            store: OnceLock::new(),
            following: Arc::default(),
            batches: Mutex::default(),
            ready: Mutex::default(),
            catching_up: Arc::new(AtomicBool::new(behind)),
            stopping: AtomicBool::new(false),
            rebuilding: Mutex::default(),
            thread: Mutex::default(),
            max_messages: limits.index_tail_messages,
            max_bytes: limits.index_tail_bytes,
        }
    }

    pub(crate) fn indexer(&self) -> Arc<Indexer> {
        Arc::clone(&self.current.read().indexer)
    }

    /// The index with the texts that belong to it.
    pub(crate) fn current(&self) -> Current {
        self.current.read().clone()
    }

    /// Takes another index from here on.
    pub(super) fn put(&self, indexer: Indexer, extracts: Option<Arc<Extracts>>) {
        *self.current.write() = Current { indexer: Arc::new(indexer), extracts };
    }

    /// Ends the thread that reads back: another index has it all.
    pub(super) fn quiet(&self) {
        self.stop();
        self.stopping.store(false, Ordering::Relaxed);
    }

    /// Begins to read back what the index misses, if anything.
    pub(crate) fn start(store: &Arc<Store>) -> Result<(), Error> {
        let tail = &store.tail;
        let weak = tail.store.get_or_init(|| Arc::downgrade(store)).clone();
        if !tail.catching_up.load(Ordering::Acquire) {
            return Ok(());
        }
        tail.follow(weak).map_err(Error::io(&store.dir))
    }

    /// Has a thread that reads messages back until the index has all of them.
    fn follow(&self, store: Weak<Store>) -> std::io::Result<()> {
        let mut following = self.following.lock();
        if *following {
            // It looks once more, under this lock, before it ends.
            return Ok(());
        }
        let (flag, opening) = (Arc::clone(&self.following), Arc::clone(&self.catching_up));
        let work = move || {
            let done = catch_up(&store, &flag).map(|said| {
                if !said {
                    *flag.lock() = false;
                }
            });
            if done.is_err() {
                *flag.lock() = false;
            }
            opening.store(false, Ordering::Release);
            if let Err(error) = &done {
                tracing::error!(%error, "the search index could not be brought up to date");
            }
            done
        };
        let thread = std::thread::Builder::new().name("catch-up".into()).spawn(work)?;
        *following = true;
        // The one before has ended, or is about to: it says so last.
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    fn is_following(&self) -> bool {
        *self.following.lock()
    }

    /// Messages above the index's watermark.
    pub(crate) fn messages(&self, next: MsgNo) -> u64 {
        u64::from(next.0.saturating_sub(self.indexer().watermark().0))
    }

    /// Waits while the tail is full.
    pub(crate) fn wait_for_room(&self, next: MsgNo, cancel: &Cancel) -> Result<(), Error> {
        loop {
            cancel.check()?;
            if self.catching_up.load(Ordering::Acquire) {
                return Ok(());
            }
            let watermark = self.indexer().watermark().0;
            let bytes: u64 = {
                let mut batches = self.batches.lock();
                while batches.front().is_some_and(|(end, _)| *end <= watermark) {
                    batches.pop_front();
                }
                batches.iter().map(|(_, bytes)| bytes).sum()
            };
            if self.messages(next) < self.max_messages && bytes < self.max_bytes {
                return Ok(());
            }
            // What was handed over is committed before long; waiting for it also tells of a failed index.
            if self.indexer().next() < next {
                if !self.is_following() {
                    return Ok(());
                }
                // Attachments are being read.
                std::thread::sleep(LOOK_AGAIN);
                continue;
            }
            self.indexer().wait(cancel)?;
        }
    }

    /// Hands a committed batch's texts over. Those of messages `attached` (rising) lack what their attachments say: those are
    /// read by another thread, and the texts behind wait for them. The index's failure doesn't undo the commit: search scans what it misses.
    pub(crate) fn hand_over(
        &self,
        next: MsgNo,
        bytes: u64,
        mut texts: Vec<(MsgNo, SearchText)>,
        attached: Vec<(MsgNo, Unread)>,
    ) {
        if texts.is_empty() {
            return;
        }
        self.batches.lock().push_back((next.0, bytes));
        // Once one has to be read back, all behind it come to the index by that way.
        let first = attached.first().map(|(no, _)| *no).filter(|_| !self.is_following());
        let wait_from = first.or_else(|| texts.first().map(|(no, _)| *no).filter(|_| self.is_following()));
        if let Some(from) = wait_from {
            let at = texts.partition_point(|(no, _)| *no < from);
            let rest = texts.split_off(at);
            self.ready.lock().put(rest, attached, self.max_bytes / READY_SHARE);
        }
        match (self.indexer().submit(texts), self.store.get()) {
            (Ok(wanted), Some(store)) if wanted < next => {
                if let Err(error) = self.follow(store.clone()) {
                    tracing::error!(%error, "no thread reads attachments; search scans what the index misses");
                }
            }
            (Ok(_), _) => {}
            (Err(error), _) => {
                tracing::error!(%error, "the search index takes no more; search scans what it misses");
            }
        }
    }

    /// Waits until all messages below `goal` are committed in the index.
    pub(crate) fn wait(&self, goal: MsgNo, cancel: &Cancel) -> Result<(), Error> {
        while self.indexer().next() < goal && self.is_following() {
            cancel.check()?;
            std::thread::sleep(LOOK_AGAIN);
        }
        self.indexer().wait(cancel)?;
        if self.indexer().watermark() < goal {
            // A thread that gave up left a reason.
            self.join()?;
        }
        Ok(())
    }

    fn join(&self) -> Result<(), Error> {
        let thread = self.thread.lock().take();
        let path = || "index".into();
        match thread.map(JoinHandle::join) {
            None => Ok(()),
            Some(Ok(done)) => done,
            Some(Err(_)) => Err(Error::Index { path: path(), what: "reading messages back panicked".into() }),
        }
    }

    /// Ends the thread that reads back, wherever it is: the next opening goes on there.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Err(error) = self.join() {
            tracing::debug!(%error, "the search index stays behind");
        }
    }

    /// Waits for all that is archived, for attachments only so long, and stops the threads.
    pub(crate) fn close(&self) -> Result<(), Error> {
        let Current { indexer, extracts } = self.current();
        if extracts.is_some() {
            let end = Instant::now() + CLOSE_PATIENCE;
            while self.is_following() && Instant::now() < end {
                std::thread::sleep(LOOK_AGAIN);
            }
            if self.is_following() {
                tracing::warn!(
                    "attachments are still to be read for the search index; the next opening goes on"
                );
                self.stopping.store(true, Ordering::Relaxed);
            }
        }
        let joined = self.join();
        let closed = indexer.close();
        if let Some(extracts) = extracts {
            extracts.close();
        }
        joined.and(closed)
    }
}

/// Reads back and hands over what the index misses, until it has all: then it has said that nobody follows, and gives true.
fn catch_up(store: &Weak<Store>, following: &Mutex<bool>) -> Result<bool, Error> {
    loop {
        // Not held longer than a step, so that a storage that is dropped ends this thread.
        let Some(store) = store.upgrade() else { return Ok(false) };
        let Current { indexer, extracts } = store.tail.current();
        let goal = store.state.read().counters.next_msg;
        let first = indexer.next().0;
        if first >= goal {
            let mut following = following.lock();
            // What came in between is seen here, or finds that nobody follows.
            if indexer.next() >= store.next_msg() {
                *following = false;
                return Ok(true);
            }
            continue;
        }
        let texts = texts(&store, extracts.as_deref(), MsgNo(first), MsgNo(goal))?;
        if store.tail.stopping.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let wanted = indexer.submit(texts)?;
        store.tail.ready.lock().forget_below(wanted.0);
    }
}

/// A few messages' texts from number `first` on, below `goal`; a damaged or erased one has none. Attachments that nobody has
/// read yet are read now, several at once.
pub(super) fn texts(
    store: &Store,
    extracts: Option<&Extracts>,
    first: MsgNo,
    goal: MsgNo,
) -> Result<Vec<(MsgNo, SearchText)>, Error> {
    let end = goal.0.min(first.0.saturating_add(CATCH_UP_MESSAGES));
    let (next, bytes) = (AtomicU32::new(first.0), AtomicU64::new(0));
    let done: Mutex<BTreeMap<u32, Result<SearchText, Error>>> = Mutex::default();
    let stopping = || store.tail.stopping.load(Ordering::Relaxed);
    let work = || {
        while bytes.load(Ordering::Relaxed) < store.limits.index_tail_bytes / 8 && !stopping() {
            let no = next.fetch_add(1, Ordering::Relaxed);
            if no >= end {
                return;
            }
            let text = text(store, extracts, MsgNo(no));
            let failed = text.is_err();
            if let Ok(text) = &text {
                let len: usize = text.body.iter().map(String::len).sum();
                bytes.fetch_add(len as u64, Ordering::Relaxed);
            }
            done.lock().insert(no, text);
            if failed {
                return;
            }
        }
    };
    let threads = store.extraction.as_ref().map_or(1, |extraction| extraction.extractor.parallel());
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        work();
        // A panic leaves a gap, behind which nothing is taken.
        let whole = others.into_iter().map(|thread| thread.join().is_ok()).filter(|ok| !ok).count() == 0;
        if whole {
            Ok(())
        } else {
            Err(Error::Index { path: "index".into(), what: "reading messages back panicked".into() })
        }
    })?;
    // The index may have the words of nothing that a crash could take.
    extracts.map_or(Ok(()), Extracts::flush)?;
    let mut texts = Vec::new();
    for (wanted, (no, text)) in (first.0..).zip(done.into_inner()) {
        match text {
            Ok(text) if no == wanted => texts.push((MsgNo(no), text)),
            Ok(_) => break,
            // What is whole comes first; the error will be met again.
            Err(_) if !texts.is_empty() => break,
            Err(Error::Cancelled) if stopping() => break,
            Err(error) => return Err(error),
        }
    }
    Ok(texts)
}

fn text(store: &Store, extracts: Option<&Extracts>, no: MsgNo) -> Result<SearchText, Error> {
    let waits = store.tail.ready.lock().take(no.0);
    let check = || if store.tail.stopping.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) };
    let found = match waits {
        Some(Waits { text, unread: None }) => return Ok(text),
        Some(Waits { text, unread: Some(unread) }) => store.with_unread(no, text, unread, extracts, &check),
        None => store.full_text(no, extracts, &check),
    };
    match found {
        Err(error @ (Error::Corrupt { .. } | Error::WrongContent { .. })) => {
            tracing::error!(message = no.0, %error, "a damaged message cannot be searched");
            Ok(SearchText::default())
        }
        Err(Error::Cancelled) => Err(Error::Cancelled),
        Err(other) => {
            if store.db.is_erased(no)? {
                Ok(SearchText::default())
            } else {
                Err(other)
            }
        }
        found => found,
    }
}
