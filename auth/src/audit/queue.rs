//! Entries that come by the thousand, written together: at most a second after they came.
//!
//! Invariant: entries are written in the order in which they came, whoever writes them; what can't be written stays, up to a bound,
//! and from then on every further entry is written at once or fails where it came from. The thread begins with the first
//! entry that may wait, and ends with the last [`crate::Auth`], which writes the rest.

use super::{AuditEntry, chain};
use crate::Error;
use parking_lot::{Condvar, Mutex};
use redb::Database;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Entries that wait at most: some 4 MiB at their usual size.
const MAX_WAITING: usize = 10_000;
/// So many are written before their time.
const BATCH: usize = 1_000;
/// How long an entry waits at most.
const FLUSH_AFTER: Duration = Duration::from_secs(1);

/// The writer of the log.
pub(crate) struct Queue {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    db: Arc<Database>,
    /// Held from the taking of entries to their commit: so they keep their order.
    turn: Mutex<()>,
    state: Mutex<State>,
    woken: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<AuditEntry>,
    /// The last try to write failed.
    failed: bool,
    closed: bool,
}

impl Queue {
    pub(crate) fn new(db: Arc<Database>) -> Queue {
        let shared = Shared { db, turn: Mutex::default(), state: Mutex::default(), woken: Condvar::new() };
        Queue { shared: Arc::new(shared), thread: Mutex::default() }
    }

    /// Adds an entry that may wait.
    pub(crate) fn add(&self, entry: AuditEntry) -> Result<(), Error> {
        {
            let mut state = self.shared.state.lock();
            if !state.failed && state.waiting.len() < MAX_WAITING {
                state.waiting.push(entry);
                let (first, full) = (state.waiting.len() == 1, state.waiting.len() == BATCH);
                drop(state);
                if first || full {
                    self.shared.woken.notify_one();
                }
                return self.begin();
            }
        }
        self.write(Some(entry))
    }

    /// Writes all that waits and one more; durable on return.
    pub(crate) fn write(&self, last: Option<AuditEntry>) -> Result<(), Error> {
        self.shared.write(last)
    }

    fn begin(&self) -> Result<(), Error> {
        let mut thread = self.thread.lock();
        if thread.is_some() {
            return Ok(());
        }
        let shared = Arc::clone(&self.shared);
        match std::thread::Builder::new().name("audit".into()).spawn(move || shared.keep_writing()) {
            Ok(handle) => {
                *thread = Some(handle);
                Ok(())
            }
            // Without a thread nobody would write it later.
            Err(_) => self.write(None),
        }
    }
}

impl Shared {
    fn write(&self, last: Option<AuditEntry>) -> Result<(), Error> {
        let _turn = self.turn.lock();
        let mut batch = std::mem::take(&mut self.state.lock().waiting);
        let waited = batch.len();
        batch.extend(last);
        let written = chain::append(&self.db, &mut batch);
        let mut state = self.state.lock();
        state.failed = written.is_err();
        if written.is_err() {
            // What waited has been said to be written; the one that came with this call hears that it isn't.
            batch.truncate(waited);
            batch.append(&mut state.waiting);
            state.waiting = batch;
        }
        written
    }

    fn keep_writing(&self) {
        loop {
            let closed = {
                let mut state = self.state.lock();
                while state.waiting.is_empty() && !state.closed {
                    self.woken.wait(&mut state);
                }
                if !state.closed && (state.waiting.len() < BATCH || state.failed) {
                    self.woken.wait_while_for(
                        &mut state,
                        |state| !state.closed && (state.waiting.len() < BATCH || state.failed),
                        FLUSH_AFTER,
                    );
                }
                state.closed
            };
            if let Err(error) = self.write(None) {
                let waiting = self.state.lock().waiting.len();
                tracing::error!(%error, waiting, "entries of the audit log could not be written");
            }
            if closed {
                return;
            }
        }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.shared.state.lock().closed = true;
        self.shared.woken.notify_one();
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("the audit log's thread broke");
        }
    }
}
