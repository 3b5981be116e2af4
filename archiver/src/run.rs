//! One run: the threads, the batches, and the account.
//!
//! Invariant: an item is counted once the batch that it is in has committed (an item without a batch, with the next
//! commit), so the account agrees with the archive whenever and however the run ends. Messages get their UIDs in the order
//! of the source.
//!
//! **Already there** is decided here: of an identity that had n placements from this source in this folder before the run,
//! the first n sightings in the run are already there and any further one is a new placement. Offsets and file names only
//! say where it is found now. A placement that was moved, renamed away or deleted since counts all the same, so that it
//! doesn't come back by itself.

use crate::feed::{self, Body, Facts, Slot, Target};
use crate::ledger::{self, Changes};
use crate::walk::{self, Skipped};
use crate::{Archiver, Error, FileJob, FolderRun, Item, Progress, Run, State, Sums, names};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};
use storage::{Batch, Cancel, ContentHash, InternalDate, NewPlacement, Prepared, Storage, Whereabouts};

/// A batch is committed at this many messages …
const BATCH_MESSAGES: u64 = 1_000;
/// … or bytes …
const BATCH_BYTES: u64 = 16 << 20;
/// … or when this many items wait for their account …
const PENDING_ITEMS: u64 = 5_000;
/// … or when the first of them waits for so long: readers see what came within about a second, however slow the source is.
const LONGEST_WAIT: Duration = Duration::from_millis(700);
/// How often progress is told.
const PROGRESS: Duration = Duration::from_millis(250);
/// Most parsing threads.
const MAX_WORKERS: usize = 8;

/// Archives files.
pub(crate) fn archive(
    archiver: &Archiver,
    job: &FileJob,
    progress: &(dyn Fn(&Progress) + Sync),
    cancel: &Cancel,
) -> Result<Run, Error> {
    let path = job
        .path
        .canonicalize()
        .map_err(|error| Error::Source { path: job.path.clone(), what: error.to_string() })?;
    let run = archiver.ledger.begin(Run {
        id: 0,
        source: names::text(&path),
        into: job.into.to_string(),
        who: job.who.clone(),
        started: ledger::now(),
        ended: None,
        state: State::Running,
        sums: Sums::default(),
        folders: Vec::new(),
        error: None,
    })?;
    let mut account = Account { archiver, run, pending: Pending::default() };
    let end = loop {
        if cancel.is_set() {
            break Err(End::Cancelled);
        }
        if let Some(_turn) = archiver.turn.try_lock_for(PROGRESS) {
            let read = |feed: &mut feed::Feed<'_>| walk::walk(&path, job.format, feed);
            break threads(&mut account, &path, job, read, progress, cancel);
        }
    };
    account.finish(end)
}

/// Why a run ended before its source.
enum End {
    Cancelled,
    Failed(String),
    /// The account itself can't be written.
    Unaccounted(Error),
}

impl From<storage::Error> for End {
    fn from(error: storage::Error) -> End {
        match error {
            storage::Error::Cancelled => End::Cancelled,
            error => End::Failed(error.to_string()),
        }
    }
}

/// Archives what `read` gives; `path` is only measured.
fn threads(
    account: &mut Account<'_>,
    path: &Path,
    job: &FileJob,
    read: impl FnOnce(&mut feed::Feed<'_>) -> Result<(), walk::Stop> + Send,
    progress: &(dyn Fn(&Progress) + Sync),
    cancel: &Cancel,
) -> Result<(), End> {
    let storage = &account.archiver.storage.clone();
    let shared = &feed::Shared::default();
    let (mut feed, parse, slots) = feed::queues(storage, job, cancel, shared);
    thread::scope(|scope| {
        let measure = scope.spawn(|| {
            let total = walk::measure(path, &|| shared.is_closed());
            shared.total_bytes.store(total, Ordering::Relaxed);
        });
        let reader = scope.spawn(move || read(&mut feed).is_err());
        let cores = thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..cores.min(MAX_WORKERS) {
            let parse = parse.clone();
            scope.spawn(move || parse.run());
        }
        drop(parse);
        let mut commit = Commit {
            storage,
            account,
            shared,
            progress,
            cancel,
            folders: Vec::new(),
            seen: Seen::new(),
            batch: None,
            told: Instant::now(),
            waits_since: None,
        };
        let end = commit.all(&slots);
        // Whoever still waits for a place in a queue is told that there is none.
        shared.close();
        drop(slots);
        let reader = reader.join();
        let measured = measure.join();
        match (end, reader, measured) {
            (Err(end), _, _) => Err(end),
            (Ok(()), Ok(stopped), Ok(())) if !stopped => Ok(()),
            (Ok(()), Ok(_), Ok(())) => Err(End::Cancelled),
            (Ok(()), _, _) => {
                Err(End::Failed("reading the source failed: a bug in mailkeep; its log has more".into()))
            }
        }
    })
}

/// A folder of the run.
struct Folder {
    target: Target,
}

/// Sightings in this run of identities that were there before it: by folder and the first half of the hash.
type Seen = HashMap<usize, HashMap<[u8; 16], u32>>;

/// Counts a sighting; gives how many there were before.
fn sighted(seen: &mut Seen, group: usize, hash: &ContentHash) -> usize {
    let mut key = [0; 16];
    key.copy_from_slice(hash.0.split_at(16).0);
    let count = seen.entry(group).or_default().entry(key).or_insert(0);
    *count = count.saturating_add(1);
    *count as usize - 1
}

/// The committing thread.
struct Commit<'a, 'r, 's> {
    storage: &'s Storage,
    account: &'a mut Account<'r>,
    shared: &'a feed::Shared,
    progress: &'a (dyn Fn(&Progress) + Sync),
    cancel: &'a Cancel,
    folders: Vec<Folder>,
    seen: Seen,
    batch: Option<Batch<'s>>,
    told: Instant,
    /// Since when something waits for the next commit.
    waits_since: Option<Instant>,
}

impl Commit<'_, '_, '_> {
    fn all(&mut self, slots: &Receiver<Slot>) -> Result<(), End> {
        loop {
            if self.cancel.is_set() {
                // What is in hand is finished: it is parsed and placed already.
                self.commit()?;
                return Err(End::Cancelled);
            }
            match slots.recv_timeout(PROGRESS) {
                Ok(slot) => {
                    self.take(slot)?;
                    self.waits_since.get_or_insert_with(Instant::now);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.commit()?;
                    self.tell();
                    return Ok(());
                }
            }
            let full = self
                .batch
                .as_ref()
                .is_some_and(|batch| batch.len() >= BATCH_MESSAGES || batch.bytes() >= BATCH_BYTES);
            if full || self.account.pending.sums.seen >= PENDING_ITEMS {
                self.commit()?;
            }
            self.commit_if_due()?;
            if self.told.elapsed() >= PROGRESS {
                self.tell();
            }
        }
    }

    fn take(&mut self, slot: Slot) -> Result<(), End> {
        match slot {
            Slot::Folder(target) => {
                self.account.run.folders.push(FolderRun {
                    source: target.source.clone(),
                    folder: target.path.to_string(),
                    format: target.format,
                    given: target.given,
                    sums: Sums::default(),
                });
                self.account.pending.folders.insert(self.folders.len());
                self.folders.push(Folder { target });
            }
            Slot::Skip(skipped) => self.account.pending.skip(skipped),
            Slot::Message { folder, place, facts, body } => match self.parsed(&body)? {
                Some(body) => {
                    self.message(folder, &facts, body)?;
                    self.shared.release(&facts);
                }
                None => {
                    self.shared.release(&facts);
                    let reason = "parsing it failed: a bug in mailkeep; its log has more".into();
                    self.account.pending.skip(Skipped { folder, place, reason, failed: true });
                }
            },
        }
        Ok(())
    }

    /// Waits until a message is parsed, not holding back what came before it; none when its parser has ended.
    fn parsed(&mut self, body: &Receiver<Body>) -> Result<Option<Body>, End> {
        loop {
            match body.recv_timeout(PROGRESS) {
                Ok(body) => return Ok(Some(body)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => self.commit_if_due()?,
            }
        }
    }

    fn commit_if_due(&mut self) -> Result<(), End> {
        match self.waits_since {
            Some(since) if since.elapsed() >= LONGEST_WAIT => self.commit(),
            _ => Ok(()),
        }
    }

    fn message(&mut self, number: usize, facts: &Facts, body: Body) -> Result<(), End> {
        let Some(folder) = self.folders.get_mut(number) else {
            return Err(End::Failed("a message without a folder: a bug in mailkeep".into()));
        };
        let group = folder.target.group;
        let prepared = match body {
            Body::Error(error) => return Err(error.into()),
            Body::New(prepared) => *prepared,
            Body::Known(incoming, sightings) => {
                match sightings.get(sighted(&mut self.seen, group, &incoming.hash)) {
                    Some(sighting) => {
                        if sighting.there == Whereabouts::Here && sighting.occurrence != facts.occurrence {
                            batch(&mut self.batch, self.storage, self.cancel)?.seen_at(
                                sighting.folder,
                                sighting.uid,
                                &facts.occurrence,
                            )?;
                        }
                        self.account.pending.count(number, |sums| sums.already += 1);
                        return Ok(());
                    }
                    None => Prepared::new(incoming, self.storage.limits()),
                }
            }
        };
        let placement = NewPlacement {
            date: internal_date(facts, &prepared),
            flags: facts.flags,
            source: &folder.target.source,
            occurrence: &facts.occurrence,
        };
        let batch = batch(&mut self.batch, self.storage, self.cancel)?;
        // Asked anew each time: the folder may have been renamed or removed since the last batch.
        let id = batch.folder(&folder.target.path)?;
        batch.add(id, prepared, &placement)?;
        self.account.pending.count(number, |sums| {
            sums.archived += 1;
            sums.bytes += facts.size;
        });
        Ok(())
    }

    /// Commits the batch, then the account of what was in it.
    fn commit(&mut self) -> Result<(), End> {
        self.waits_since = None;
        if let Some(batch) = self.batch.take() {
            batch.commit()?;
        }
        self.account.commit().map_err(End::Unaccounted)
    }

    fn tell(&mut self) {
        self.told = Instant::now();
        let mut sums = self.account.run.sums;
        add(&mut sums, &self.account.pending.sums);
        let total = self.shared.total_bytes.load(Ordering::Relaxed);
        (self.progress)(&Progress {
            sums,
            done_bytes: self.shared.done_bytes.load(Ordering::Relaxed),
            total_bytes: (total > 0).then_some(total),
            at: self.shared.at.lock().clone(),
        });
    }
}

/// The open batch, begun if there is none.
fn batch<'b, 's>(
    open: &'b mut Option<Batch<'s>>,
    storage: &'s Storage,
    cancel: &Cancel,
) -> Result<&'b mut Batch<'s>, End> {
    match open {
        Some(batch) => Ok(batch),
        none => Ok(none.insert(storage.batch(cancel)?)),
    }
}

/// What the source says, else the topmost Received, else Date, else the file's time.
fn internal_date(facts: &Facts, message: &Prepared) -> InternalDate {
    let header = message.dates();
    facts.date.or(header.received).or(header.sent).unwrap_or(facts.modified)
}

/// What is not yet in the account.
#[derive(Debug, Default)]
struct Pending {
    sums: Sums,
    by_folder: HashMap<usize, Sums>,
    folders: BTreeSet<usize>,
    failed: Vec<Item>,
    filtered: Vec<Item>,
}

impl Pending {
    fn count(&mut self, folder: usize, count: impl Fn(&mut Sums)) {
        for sums in [&mut self.sums, self.by_folder.entry(folder).or_default()] {
            sums.seen += 1;
            count(sums);
        }
        self.folders.insert(folder);
    }

    fn skip(&mut self, skipped: Skipped) {
        let item = Item { place: skipped.place, reason: skipped.reason };
        if skipped.failed {
            self.failed.push(item);
            self.count(skipped.folder, |sums| sums.failed += 1);
        } else {
            self.filtered.push(item);
            self.count(skipped.folder, |sums| sums.filtered += 1);
        }
    }
}

/// A run's account while it runs.
struct Account<'a> {
    archiver: &'a Archiver,
    run: Run,
    pending: Pending,
}

impl Account<'_> {
    /// Takes what was pending into the account, durably.
    fn commit(&mut self) -> Result<(), Error> {
        let pending = std::mem::take(&mut self.pending);
        if pending.folders.is_empty() {
            return Ok(());
        }
        add(&mut self.run.sums, &pending.sums);
        for (number, sums) in &pending.by_folder {
            if let Some(folder) = self.run.folders.get_mut(*number) {
                add(&mut folder.sums, sums);
            }
        }
        let changes = Changes {
            folders: pending.folders.into_iter().collect(),
            failed: pending.failed,
            filtered: pending.filtered,
        };
        self.archiver.ledger.write(&self.run, &changes)
    }

    /// Ends the run. Of a run that failed, what is pending was lost with its batch and is not counted: the next run sees
    /// it again. A cancelled run has no batch open.
    fn finish(mut self, end: Result<(), End>) -> Result<Run, Error> {
        if matches!(end, Err(End::Failed(_))) {
            let folders = std::mem::take(&mut self.pending.folders);
            self.pending = Pending { folders, ..Pending::default() };
        }
        (self.run.state, self.run.error) = match end {
            Ok(()) => (State::Succeeded, None),
            Err(End::Cancelled) => (State::Cancelled, None),
            Err(End::Failed(why)) => (State::Failed, Some(why)),
            Err(End::Unaccounted(error)) => return Err(error),
        };
        self.commit()?;
        if self.run.state == State::Succeeded && self.run.sums.failed > 0 {
            self.run.state = State::CompletedWithErrors;
        }
        self.run.ended = Some(ledger::now());
        self.archiver.ledger.write(&self.run, &Changes::default())?;
        Ok(self.run)
    }
}

fn add(sums: &mut Sums, more: &Sums) {
    sums.seen += more.seen;
    sums.archived += more.archived;
    sums.already += more.already;
    sums.filtered += more.filtered;
    sums.failed += more.failed;
    sums.bytes += more.bytes;
}

#[cfg(test)]
mod tests;
