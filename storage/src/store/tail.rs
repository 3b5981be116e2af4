//! The index's tail: what is archived and not yet committed in the index, and how the index is kept following.
//!
//! Invariant: the index gets every message's text once and in order: from the batch that brought it, or, when the index
//! is behind at opening, read back from the packs by one thread. Writers wait while the tail is long, except while
//! the index catches up: then search scans more, and archiving goes on.

use super::{Cancel, Store};
use crate::search::index::Indexer;
use crate::text::SearchText;
use crate::{Error, Limits, MsgNo};
use parking_lot::{Mutex, RwLock};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// Texts that are read back before they are handed over.
const CATCH_UP_MESSAGES: usize = 64;
/// How often a waiting writer looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// The index and what it has not seen.
#[derive(Debug)]
pub(crate) struct Tail {
    /// Exchanged for one that was made anew.
    indexer: RwLock<Arc<Indexer>>,
    /// Batches above the index's watermark: the number after their last message, and their bytes.
    batches: Mutex<VecDeque<(u32, u64)>>,
    catching_up: Arc<AtomicBool>,
    stopping: AtomicBool,
    /// Held while the index is made anew.
    pub(super) rebuilding: Mutex<()>,
    thread: Mutex<Option<JoinHandle<Result<(), Error>>>>,
    max_messages: u64,
    max_bytes: u64,
}

impl Tail {
    /// Opens the index in `dir`.
    pub(crate) fn open(dir: &Path, limits: &Limits, next: MsgNo) -> Result<Tail, Error> {
        super::reindex::tidy(dir)?;
        Ok(Tail::new(Indexer::open(dir, limits, next)?, limits, next))
    }

    /// Takes the complete index in `dir` as it is; without one, makes one in `derived`.
    pub(crate) fn open_protected(
        dir: &Path,
        derived: &Path,
        limits: &Limits,
        next: MsgNo,
    ) -> Result<Tail, Error> {
        match Indexer::open_complete(dir, limits, next) {
            Ok(indexer) => Ok(Tail::new(indexer, limits, next)),
            Err(error) => {
                tracing::info!(%error, "a write-protected store gets an index beside it");
                Tail::open(derived, limits, next)
            }
        }
    }

    fn new(indexer: Indexer, limits: &Limits, next: MsgNo) -> Tail {
        let behind = indexer.next() < next;
        Tail {
            indexer: RwLock::new(Arc::new(indexer)),
            batches: Mutex::default(),
            catching_up: Arc::new(AtomicBool::new(behind)),
            stopping: AtomicBool::new(false),
            rebuilding: Mutex::default(),
            thread: Mutex::default(),
            max_messages: limits.index_tail_messages,
            max_bytes: limits.index_tail_bytes,
        }
    }

    pub(crate) fn indexer(&self) -> Arc<Indexer> {
        Arc::clone(&self.indexer.read())
    }

    /// Takes another index from here on.
    pub(super) fn put(&self, indexer: Indexer) {
        *self.indexer.write() = Arc::new(indexer);
    }

    /// Ends the thread that reads back: another index has it all.
    pub(super) fn quiet(&self) {
        self.stop();
        self.stopping.store(false, Ordering::Relaxed);
    }

    /// Begins to read back what the index misses, if anything.
    pub(crate) fn start(store: &Arc<Store>) -> Result<(), Error> {
        let tail = &store.tail;
        if !tail.catching_up.load(Ordering::Acquire) {
            return Ok(());
        }
        let (weak, flag) = (Arc::downgrade(store), Arc::clone(&tail.catching_up));
        let work = move || {
            let done = catch_up(&weak);
            flag.store(false, Ordering::Release);
            if let Err(error) = &done {
                tracing::error!(%error, "the search index could not be brought up to date");
            }
            done
        };
        let thread = std::thread::Builder::new().name("catch-up".into()).spawn(work);
        *tail.thread.lock() = Some(thread.map_err(Error::io(&store.dir))?);
        Ok(())
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
                return Ok(());
            }
            self.indexer().wait(cancel)?;
        }
    }

    /// Hands a committed batch's texts over. The index's failure doesn't undo the commit: search scans what it misses.
    pub(crate) fn hand_over(&self, next: MsgNo, bytes: u64, texts: Vec<(MsgNo, SearchText)>) {
        if texts.is_empty() {
            return;
        }
        self.batches.lock().push_back((next.0, bytes));
        if let Err(error) = self.indexer().submit(texts) {
            tracing::error!(%error, "the search index takes no more; search scans what it misses");
        }
    }

    /// Waits until all messages below `goal` are committed in the index.
    pub(crate) fn wait(&self, goal: MsgNo, cancel: &Cancel) -> Result<(), Error> {
        while self.indexer().next() < goal && self.catching_up.load(Ordering::Acquire) {
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

    /// Waits for all that is archived, and stops the threads.
    pub(crate) fn close(&self) -> Result<(), Error> {
        self.join()?;
        self.indexer().close()
    }
}

/// Reads back and hands over what the index misses, until it has all.
fn catch_up(store: &Weak<Store>) -> Result<(), Error> {
    loop {
        // Not held longer than a step, so that a storage that is dropped ends this thread.
        let Some(store) = store.upgrade() else { return Ok(()) };
        let goal = store.state.read().counters.next_msg;
        let first = store.tail.indexer().next().0;
        if first >= goal {
            return Ok(());
        }
        let texts = texts(&store, MsgNo(first), MsgNo(goal))?;
        if store.tail.stopping.load(Ordering::Relaxed) {
            return Ok(());
        }
        store.tail.indexer().submit(texts)?;
    }
}

/// A few messages' texts from number `first` on, below `goal`; a damaged or erased one has none.
pub(super) fn texts(store: &Store, first: MsgNo, goal: MsgNo) -> Result<Vec<(MsgNo, SearchText)>, Error> {
    let mut texts = Vec::new();
    let mut bytes = 0;
    for no in (first.0..goal.0).take(CATCH_UP_MESSAGES) {
        if store.tail.stopping.load(Ordering::Relaxed) {
            break;
        }
        let text = match store.parse(MsgNo(no)) {
            Ok(parsed) => parsed.text,
            Err(error @ (Error::Corrupt { .. } | Error::WrongContent { .. })) => {
                tracing::error!(message = no, %error, "a damaged message cannot be searched");
                SearchText::default()
            }
            Err(_) if store.db.is_erased(MsgNo(no))? => SearchText::default(),
            Err(other) => return Err(other),
        };
        bytes += text.body.iter().map(String::len).sum::<usize>();
        texts.push((MsgNo(no), text));
        if bytes as u64 >= store.limits.index_tail_bytes / 8 {
            break;
        }
    }
    Ok(texts)
}
