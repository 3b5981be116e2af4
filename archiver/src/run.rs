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

use crate::feed::{self, Body, Facts, Line, Moved, Remote, Slot, SourceId, Target};
use crate::ledger::{self, Changes};
use crate::remote::checkpoint::{Change, Placed};
use crate::remote::job::Start;
use crate::turns::Source;
use crate::walk::{self, Sink, Skipped, Stop};
use crate::{Archiver, Error, FileJob, FolderRun, Item, Progress, Run, State, Sums, names};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};
use storage::{
    Batch, Cancel, ContentHash, FolderId, FolderPath, InternalDate, NewPlacement, Prepared, Storage, Uid,
    UidRanges, Whereabouts,
};

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

/// A source on disk.
pub(crate) struct DiskJob<'a> {
    /// What is archived, for the ledger.
    pub(crate) source: String,
    /// Whose turn it needs.
    pub(crate) turn: Source,
    /// Where its folders go that name no other place.
    pub(crate) into: FolderPath,
    /// Who asked, for the ledger.
    pub(crate) who: String,
    /// Messages that were deleted from the archive are archived again.
    pub(crate) deleted_too: bool,
    /// The bytes of the source; told to stop by what it is given.
    pub(crate) measure: &'a (dyn Fn(&dyn Fn() -> bool) -> u64 + Sync),
    /// Reads the source.
    pub(crate) read: &'a (dyn Fn(&mut dyn Sink) -> Result<(), Stop> + Sync),
}

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
    let disk = DiskJob {
        source: names::text(&path),
        turn: Source::Path(path.clone()),
        into: job.into.clone(),
        who: job.who.clone(),
        deleted_too: job.deleted_too,
        measure: &|stop| walk::measure(&path, stop),
        read: &|sink| walk::walk(&path, job.format, sink),
    };
    archive_disk(archiver, &disk, progress, cancel)
}

/// Archives a source on disk.
pub(crate) fn archive_disk(
    archiver: &Archiver,
    job: &DiskJob<'_>,
    progress: &(dyn Fn(&Progress) + Sync),
    cancel: &Cancel,
) -> Result<Run, Error> {
    let start = Start {
        source: job.source.clone(),
        into: job.into.to_string(),
        who: job.who.clone(),
        parallel: 1,
        until: None,
    };
    let mut account = begin(archiver, &start)?;
    let read = |line: Line<'_>| {
        let mut feed = feed::Feed::new(line, job.into.clone());
        (job.read)(&mut feed).is_err()
    };
    let measure = |shared: &feed::Shared| {
        let total = (job.measure)(&|| shared.is_closed());
        shared.total_bytes.store(total, Ordering::Relaxed);
    };
    let end = match archiver.turns.wait(std::slice::from_ref(&job.turn), cancel) {
        Some(_turn) => threads(&mut account, job.deleted_too, &measure, &read, progress, cancel),
        None => Err(End::Cancelled),
    };
    account.finish(end)
}

/// Archives what `read` hands on, as a run of its own; `read` says whether it was stopped. Its sources' turns are the caller's.
pub(crate) fn archive_from(
    archiver: &Archiver,
    start: &Start,
    read: &(dyn Fn(Line<'_>) -> bool + Sync),
    progress: &(dyn Fn(&Progress) + Sync),
    cancel: &Cancel,
) -> Result<Run, Error> {
    let mut account = begin(archiver, start)?;
    let end = threads(&mut account, false, &|_| {}, read, progress, cancel);
    account.finish(end)
}

/// Begins an account.
fn begin<'a>(archiver: &'a Archiver, start: &Start) -> Result<Account<'a>, Error> {
    let run = archiver.ledger.begin(Run {
        id: 0,
        source: start.source.clone(),
        into: start.into.clone(),
        who: start.who.clone(),
        started: ledger::now(),
        ended: None,
        state: State::Running,
        sums: Sums::default(),
        folders: Vec::new(),
        error: None,
    })?;
    Ok(Account { archiver, run, pending: Pending::default(), deleted: 0 })
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

/// Archives what `read` hands on.
fn threads(
    account: &mut Account<'_>,
    again: bool,
    measure: &(dyn Fn(&feed::Shared) + Sync),
    read: &(dyn Fn(Line<'_>) -> bool + Sync),
    progress: &(dyn Fn(&Progress) + Sync),
    cancel: &Cancel,
) -> Result<(), End> {
    let storage = &account.archiver.storage.clone();
    let shared = &feed::Shared::default();
    let (line, parse, slots) = feed::queues(storage, again, cancel, shared);
    thread::scope(|scope| {
        let measure = scope.spawn(|| measure(shared));
        let reader = scope.spawn(move || read(line));
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
            claimed: HashSet::new(),
            batch: None,
            moves: false,
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
    /// Placements that messages of servers were found to be.
    claimed: HashSet<(FolderId, Uid)>,
    batch: Option<Batch<'s>>,
    /// The batch holds moves, and can't take messages.
    moves: bool,
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
                    folder: target.path.as_ref().map(ToString::to_string).unwrap_or_default(),
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
                    let reason = "parsing it failed: a bug in mailkeep; its log has more".to_owned();
                    if let Some(Remote { no, id: SourceId::Uid(uid), .. }) = facts.remote {
                        self.account.pending.changes.push(Change::Failed { no, uid, reason: reason.clone() });
                    }
                    self.account.pending.skip(Skipped { folder, place, reason, failed: true });
                }
            },
            Slot::Move(moved) => self.moved(*moved)?,
            Slot::Count(folder, sums) => {
                let pending = &mut self.account.pending;
                pending.sums.add(&sums);
                pending.by_folder.entry(folder).or_default().add(&sums);
                pending.folders.insert(folder);
            }
            Slot::Went(folder, count) => {
                let pending = &mut self.account.pending;
                *pending.went.entry(folder).or_default() += count;
                pending.folders.insert(folder);
            }
            Slot::Note(changes) => self.account.pending.changes.extend(changes),
            Slot::Deleted(items) => self.account.pending.deleted.extend(items),
            Slot::Barrier(done) => {
                self.commit()?;
                if done.send(()).is_err() {
                    tracing::debug!("nobody waits any more");
                }
            }
        }
        Ok(())
    }

    /// Moves a message as it moved at its source. One that can't be moved (its store is protected, somebody else moved it) is
    /// fetched by the next run.
    fn moved(&mut self, moved: Moved) -> Result<(), End> {
        let Moved { folder, place, from, left, now, email_id } = moved;
        let Some(path) = self.folders.get(folder).and_then(|folder| folder.target.path.clone()) else {
            return Err(End::Failed("a move without a folder: a bug in mailkeep".into()));
        };
        if self.batch.is_some() && !self.moves {
            self.commit()?;
        }
        let batch = batch(&mut self.batch, self.storage, self.cancel)?;
        self.moves = true;
        let to = batch.folder(&path)?;
        let done =
            if to == from.folder { Ok(from.uid) } else { batch.move_message(from.folder, from.uid, to) };
        let pending = &mut self.account.pending;
        let gone = Change::Gone { no: left.0, uids: UidRanges::from_spans([(left.1, left.1)]) };
        match done {
            Ok(uid) => {
                // Who was parsed before this counted may still take it for its own.
                self.claimed.insert((from.folder, from.uid));
                let placed = Placed { folder: to, uid, email_id, ..from };
                pending.changes.extend([Change::Settled { no: now.0, uid: now.1, placed }, gone]);
                pending.count(folder, |sums| sums.moved += 1);
            }
            Err(error @ (storage::Error::Latched { .. } | storage::Error::Io { .. })) => {
                return Err(error.into());
            }
            Err(error) => {
                let reason = format!("it moved at the source, but can't be moved in the archive: {error}");
                pending
                    .changes
                    .extend([Change::Failed { no: now.0, uid: now.1, reason: reason.clone() }, gone]);
                pending.skip(Skipped { folder, place, reason, failed: true });
            }
        }
        Ok(())
    }

    /// A message's place is decided; it is counted with its last one.
    fn decided(&mut self, number: usize, facts: &Facts, new: bool, placed: Placed) {
        let size = facts.size;
        let pending = &mut self.account.pending;
        let Some(remote) = &facts.remote else {
            return pending.count(number, |sums| {
                sums.archived += u64::from(new);
                sums.already += u64::from(!new);
                sums.bytes += if new { size } else { 0 };
            });
        };
        let tally = &remote.tally;
        tally.any_new.fetch_or(new, Ordering::Relaxed);
        if tally.left.fetch_sub(1, Ordering::Relaxed) > 1 {
            return;
        }
        let new = tally.any_new.load(Ordering::Relaxed);
        pending.count(tally.folder, |sums| {
            sums.archived += u64::from(new);
            sums.already += u64::from(!new);
            sums.bytes += if new { size } else { 0 };
        });
        let no = remote.no;
        match &remote.id {
            SourceId::Uid(uid) => pending.changes.push(Change::Settled { no, uid: *uid, placed }),
            SourceId::Uidl(uidl) => pending.changes.push(Change::Uidl { no, uidl: uidl.clone(), placed }),
            SourceId::None => {}
        }
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
        let (group, source) = (folder.target.group, folder.target.source.clone());
        let Some(path) = folder.target.path.clone() else {
            return Err(End::Failed("a message without a place in the archive: a bug in mailkeep".into()));
        };
        let prepared = match body {
            Body::Error(error) => return Err(error.into()),
            Body::New(prepared) => *prepared,
            Body::Known(incoming, sightings) => {
                let sighting = match &facts.remote {
                    None => sightings.get(sighted(&mut self.seen, group, &incoming.hash)),
                    Some(_) => sightings.iter().find(|one| self.claimed.insert((one.folder, one.uid))),
                };
                match sighting {
                    Some(sighting) => {
                        if sighting.there == Whereabouts::Here
                            && !sighting.source.is_empty()
                            && sighting.occurrence != facts.occurrence
                        {
                            batch(&mut self.batch, self.storage, self.cancel)?.seen_at(
                                sighting.folder,
                                sighting.uid,
                                &facts.occurrence,
                            )?;
                        }
                        let email_id = facts.remote.as_ref().map_or(0, |remote| remote.email_id);
                        let (folder, uid, hash) = (sighting.folder, sighting.uid, incoming.hash);
                        self.decided(number, facts, false, Placed { folder, uid, hash, email_id });
                        return Ok(());
                    }
                    None => Prepared::new(incoming, self.storage.limits()),
                }
            }
        };
        let placement = NewPlacement {
            date: internal_date(facts, &prepared),
            flags: facts.flags,
            source: &source,
            occurrence: &facts.occurrence,
        };
        if self.moves {
            self.commit()?;
        }
        let hash = prepared.hash();
        let batch = batch(&mut self.batch, self.storage, self.cancel)?;
        // Asked anew each time: the folder may have been renamed or removed since the last batch.
        let id = batch.folder(&path)?;
        let added = batch.add(id, prepared, &placement)?;
        let email_id = facts.remote.as_ref().map_or(0, |remote| remote.email_id);
        self.decided(number, facts, true, Placed { folder: id, uid: added.uid, hash, email_id });
        Ok(())
    }

    /// Commits the batch, then the account of what was in it.
    fn commit(&mut self) -> Result<(), End> {
        self.waits_since = None;
        self.moves = false;
        if let Some(batch) = self.batch.take() {
            batch.commit()?;
        }
        self.account.commit().map_err(End::Unaccounted)
    }

    fn tell(&mut self) {
        self.told = Instant::now();
        let mut sums = self.account.run.sums;
        sums.add(&self.account.pending.sums);
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
    deleted: Vec<Item>,
    /// What is no longer on the server, by folder.
    went: HashMap<usize, u64>,
    changes: Vec<Change>,
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
    /// Items in the list of what was deleted at the source.
    deleted: u64,
}

impl Account<'_> {
    /// Takes what was pending into the account, durably.
    fn commit(&mut self) -> Result<(), Error> {
        let pending = std::mem::take(&mut self.pending);
        if pending.folders.is_empty() && pending.changes.is_empty() && pending.deleted.is_empty() {
            return Ok(());
        }
        self.run.sums.add(&pending.sums);
        for (number, sums) in &pending.by_folder {
            if let Some(folder) = self.run.folders.get_mut(*number) {
                folder.sums.add(sums);
            }
        }
        for (number, went) in &pending.went {
            let folder = self.run.folders.get_mut(*number).map(|folder| &mut folder.sums);
            for sums in [Some(&mut self.run.sums), folder].into_iter().flatten() {
                sums.on_server = sums.on_server.saturating_sub(*went);
            }
        }
        let changes = Changes {
            folders: pending.folders.into_iter().collect(),
            failed: pending.failed,
            filtered: pending.filtered,
            deleted: (self.deleted, pending.deleted),
            checkpoints: pending.changes,
        };
        self.deleted += changes.deleted.1.len() as u64;
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
        if self.run.state == State::Succeeded && !self.run.sums.agree() {
            self.run.error =
                Some("the account's sums don't agree: a bug in mailkeep; its log has more".into());
            self.run.state = State::CompletedWithErrors;
        }
        if self.run.state == State::Succeeded && self.run.sums.failed > 0 {
            self.run.state = State::CompletedWithErrors;
        }
        self.run.ended = Some(ledger::now());
        self.archiver.ledger.write(&self.run, &Changes::default())?;
        Ok(self.run)
    }
}

#[cfg(test)]
mod tests;
