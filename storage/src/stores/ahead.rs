//! Reading ahead: while a reader of many messages works on one, another thread looks up and opens what comes next.
//!
//! Invariant: it is a help and never a need. What was not opened in time, or could not be, the reader opens itself and so
//! learns of any error in its place. No thread waits for a reader, however slow its client: a job ends when it is far
//! enough ahead, and goes on when the reader has come closer.

use super::{Shared, Storage};
use crate::pack::ChunkAddr;
use crate::{Message, Row};
use parking_lot::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

/// Bytes of messages that are opened before the reader has come to them; blocks hold neighbours' too, so that it may be
/// some more. The cache of blocks holds several times as much.
const MAX_BYTES: u64 = 4 << 20;
/// Fewer messages are not worth it.
const MIN_ROWS: usize = 16;
/// Nor are messages of which hardly two lie in one block: of each block its reader opens the front alone, and here it would be
/// opened whole. So far apart, on the average, they may be.
const MAX_APART: u64 = 8;
/// Messages that are looked up in one transaction.
const LOOKED_UP: usize = 64;
const MAX_THREADS: usize = 4;

/// What a reader wants of its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AheadOf {
    /// Headers only.
    Headers,
    /// All bytes.
    Messages,
}

/// What is opened ahead of one reader; ends when it is dropped.
#[derive(Debug)]
pub struct Ahead {
    job: Arc<Job>,
    shared: Weak<Shared>,
}

#[derive(Debug)]
struct Job {
    rows: Vec<Row>,
    of: AheadOf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Looked up, by the rows' order; taken by the reader.
    found: Vec<Option<Message>>,
    /// The row that is next to be looked up.
    next: usize,
    /// The row that the reader wants next.
    reader: usize,
    /// Bytes of the rows from `reader` to `next`.
    ahead: u64,
    /// A thread has it, or will.
    running: bool,
    /// Nobody wants it any more.
    over: bool,
}

/// The threads that read ahead; none before they are wanted for the first time.
#[derive(Debug, Default)]
pub(super) struct Readers(Mutex<Option<Threads>>);

#[derive(Debug)]
struct Threads {
    jobs: SyncSender<(Arc<Job>, Arc<Shared>)>,
    handles: Vec<JoinHandle<()>>,
}

/// Whether messages lie too far apart to share blocks. They are stored in the order in which they came, as UIDs are given.
fn are_sparse(rows: &[Row]) -> bool {
    let apart: u64 = rows
        .windows(2)
        .map(|pair| match pair {
            [one, next] if one.store == next.store => u64::from(one.msg.0.abs_diff(next.msg.0)),
            _ => 0,
        })
        .sum();
    apart > MAX_APART * rows.len() as u64
}

impl Storage {
    /// Begins to look up and to open the messages of `rows` for a reader that takes them in this order. While others have
    /// all threads for it, it does nothing.
    #[must_use]
    pub fn ahead(&self, rows: &[Row], of: AheadOf) -> Ahead {
        let state = State {
            found: Vec::new(),
            next: 0,
            reader: 0,
            ahead: 0,
            running: false,
            over: rows.len() < MIN_ROWS || are_sparse(rows),
        };
        let rows = if state.over { Vec::new() } else { rows.to_vec() };
        let job = Arc::new(Job { rows, of, state: Mutex::new(state) });
        let ahead = Ahead { job, shared: Arc::downgrade(&self.shared) };
        ahead.go_on(&mut ahead.job.state.lock());
        ahead
    }
}

impl Ahead {
    /// The message of row `number`, if it has been looked up; the reader has come to it.
    #[must_use]
    pub fn message(&self, number: usize) -> Option<Message> {
        let mut state = self.job.state.lock();
        let passed = self.job.rows.get(state.reader.min(state.next)..state.next.min(number + 1));
        let bytes: u64 = passed.unwrap_or_default().iter().map(|row| row.size).sum();
        state.ahead = state.ahead.saturating_sub(bytes);
        state.reader = state.reader.max(number + 1);
        let found = state.found.get_mut(number).and_then(Option::take);
        self.go_on(&mut state);
        found
    }

    /// Whether a thread is at it, or will be.
    #[cfg(test)]
    pub(super) fn is_running(&self) -> bool {
        self.job.state.lock().running
    }

    /// How many rows were looked up or passed over.
    #[cfg(test)]
    pub(super) fn reached(&self) -> usize {
        self.job.state.lock().next
    }

    /// Hands the job to a thread, if there is something to do and a thread is free.
    fn go_on(&self, state: &mut State) {
        let close = state.ahead <= MAX_BYTES / 2;
        if state.running || state.over || state.next >= self.job.rows.len() || !close {
            return;
        }
        if let Some(shared) = self.shared.upgrade() {
            state.running = shared.readers.start(&self.job, &shared);
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.job.state.lock().over = true;
    }
}

impl Readers {
    /// Whether a thread is free for the job.
    fn start(&self, job: &Arc<Job>, shared: &Arc<Shared>) -> bool {
        let mut threads = self.0.lock();
        let threads = threads.get_or_insert_with(Threads::start);
        threads.jobs.try_send((Arc::clone(job), Arc::clone(shared))).is_ok()
    }

    /// Ends the threads.
    pub(super) fn stop(&self) {
        let Some(Threads { jobs, handles }) = self.0.lock().take() else { return };
        drop(jobs);
        for handle in handles {
            if handle.join().is_err() {
                tracing::error!("a thread that reads ahead ended by a fault of ours");
            }
        }
    }
}

impl Threads {
    fn start() -> Threads {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        // The reader's own thread works too.
        let count = cores.saturating_sub(1).clamp(1, MAX_THREADS);
        let (jobs, taken) = sync_channel(count);
        let taken = Arc::new(Mutex::new(taken));
        let start = |_| {
            let taken = Arc::clone(&taken);
            std::thread::Builder::new().name("ahead".into()).spawn(move || work(&taken))
        };
        let handles = (0..count).map(start).filter_map(|started| {
            started.inspect_err(|error| tracing::warn!(%error, "no thread to read ahead")).ok()
        });
        Threads { jobs, handles: handles.collect() }
    }
}

type Jobs = Receiver<(Arc<Job>, Arc<Shared>)>;

fn work(taken: &Mutex<Jobs>) {
    loop {
        let next = taken.lock().recv();
        let Ok((job, shared)) = next else { return };
        job.run(&shared);
    }
}

impl Job {
    /// Opens what comes next, until it is far enough ahead of the reader.
    fn run(&self, shared: &Shared) {
        let mut looked_up = LookedUp::default();
        while let Some(number) = self.claim() {
            // The reader meets the same error when it comes to it, and tells it.
            let Some(message) = looked_up.message(&self.rows, number, shared) else { continue };
            message.open_ahead(self.of == AheadOf::Headers);
            if let Some(place) = self.state.lock().found.get_mut(number) {
                *place = Some(message);
            }
        }
    }

    /// The next row to open; none when it is far enough ahead.
    fn claim(&self) -> Option<usize> {
        let mut state = self.state.lock();
        if state.next < state.reader {
            (state.next, state.ahead) = (state.reader, 0);
        }
        let number = state.next;
        match self.rows.get(number).filter(|_| !state.over && state.ahead <= MAX_BYTES) {
            Some(row) => {
                state.next += 1;
                state.ahead += row.size;
                state.found.resize_with(number + 1, || None);
                Some(number)
            }
            None => {
                state.running = false;
                None
            }
        }
    }
}

/// Neighbours that were looked up together.
#[derive(Default)]
struct LookedUp {
    first: usize,
    messages: Vec<Option<Message>>,
}

impl LookedUp {
    /// The message of row `number`; none where it can't be had.
    fn message(&mut self, rows: &[Row], number: usize, shared: &Shared) -> Option<Message> {
        let within = |number: usize, first: usize| number.checked_sub(first);
        if within(number, self.first).is_none_or(|at| at >= self.messages.len()) {
            let wanted = rows.get(number..rows.len().min(number + LOOKED_UP)).unwrap_or_default();
            self.first = number;
            self.messages = wanted
                .chunk_by(|one, next| one.store == next.store)
                .flat_map(|rows| match rows.first().map(|row| shared.store(row.store)) {
                    Some(Ok(store)) => store.messages(rows.iter().map(|row| row.msg)),
                    _ => vec![None; rows.len()],
                })
                .collect();
        }
        self.messages.get_mut(within(number, self.first)?)?.take()
    }
}

impl Message {
    /// Opens the blocks that its header, or all of it, lies in. What is stored in segments of its own is not worth it.
    fn open_ahead(&self, header: bool) {
        let (packs, entry) = self.parts();
        let end = if header { entry.header_len } else { entry.size };
        let mut start = 0;
        for piece in &entry.pieces {
            if start >= end {
                return;
            }
            start += piece.len();
            if let ChunkAddr::Item(item) = piece.chunk() {
                // As above: the reader tells of it.
                packs.open_ahead(item.record).unwrap_or_default();
            }
        }
    }
}
