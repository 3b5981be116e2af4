//! Verifying stores: all or one, everything or a slice, with threads that give way to readers, and resumable.
//!
//! Invariant: what is remembered of a run that was broken off never leads what was read. The files in DATA/derived are a help:
//! damaged ones count as none. Left to others: what is compared with what (`store::verify`).

use super::registry::replace;
use super::slot::Opened;
use super::{Shared, Storage};
use crate::store::Cancel;
use crate::store::Store;
use crate::store::open::make_dirs;
use crate::store::verify::{Damage, Event, Job, Position, Slice};
use crate::{Error, FolderId};
use crossbeam_channel::{Receiver, bounded};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use time::OffsetDateTime;

/// Most damages that are told one by one.
const MAX_TOLD: usize = 10_000;
/// Messages that a worker takes at once: neighbours share blocks.
const RANGE: u32 = 256;
/// Events that may wait.
const QUEUE: usize = 1_024;
/// How often what was done is written down.
const SAVE_EVERY: Duration = Duration::from_secs(5);
/// Largest file that is read back.
const MAX_STATE_BYTES: u64 = 256 << 20;
/// How much less often a worker runs when others want the processor.
const NICE: i32 = 10;

/// What is verified, and how.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Only this store, by number or name.
    pub store: Option<String>,
    /// Which slice.
    pub slice: Slice,
    /// Goes on with the run that was broken off, whatever that was to verify.
    pub resume: bool,
    /// Threads; 0: as many as there are processors, at most 4.
    pub threads: usize,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        VerifyOptions { store: None, slice: Slice::ALL, resume: false, threads: 0 }
    }
}

/// How far it is.
#[derive(Debug, Clone)]
pub struct VerifyProgress {
    /// The store in hand.
    pub store: String,
    /// Bytes read, about.
    pub done: u64,
    /// Bytes in all, about.
    pub total: u64,
    /// Messages read whole so far.
    pub messages: u64,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VerifyReport {
    /// Seconds since 1970.
    pub started: i64,
    /// Seconds since 1970.
    pub ended: i64,
    /// The stores that were read.
    pub stores: Vec<String>,
    /// Which slice, if not everything: part and parts.
    pub slice: Option<(u32, u32)>,
    /// Records read and opened.
    pub records: u64,
    /// Messages read whole and compared.
    pub messages: u64,
    /// Placements compared.
    pub placements: u64,
    /// Parts kept once that were read.
    pub parts: u64,
    /// Documents of the index.
    pub documents: u64,
    /// Damages in all.
    pub damaged: u64,
    /// Those that were not told one by one.
    pub untold: u64,
}

/// A run on its way, or at its end, as it is written down.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Run {
    version: u32,
    only: Option<String>,
    slice: Slice,
    report: VerifyReport,
    damage: Vec<Damage>,
    /// Stores that are done.
    done: Vec<String>,
    /// How far the store in hand is.
    at: At,
}

/// How far a store is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct At {
    store: String,
    packs: Position,
    tables: bool,
    /// Messages below are done.
    message: u32,
}

impl Storage {
    /// Reads again and compares: seals, batches, facts, placements both ways, evidence, messages, parts, cards, the index.
    /// `found` gets each damage once, at most 10,000. Runs beside readers and the archiver, on threads that give way.
    /// # Errors
    /// `Cancelled`: it can be resumed. `Missing` when there is no such store, or nothing to resume; `Io` of a failing disk.
    /// Damage is no error.
    pub fn verify(
        &self,
        options: &VerifyOptions,
        cancel: &Cancel,
        progress: &mut dyn FnMut(VerifyProgress),
        found: &mut dyn FnMut(&Damage),
    ) -> Result<VerifyReport, Error> {
        let mut run = match options.resume {
            true => self.shared.resume()?,
            false => Run::new(options),
        };
        run.damage.iter().for_each(&mut *found);
        let told: HashSet<String> = run.damage.iter().map(ToString::to_string).collect();
        let mut watch =
            Watch { shared: &self.shared, saved: Instant::now(), told, progress, found, bytes: (0, 0) };
        let mut any = false;
        for slot in self.shared.all_slots() {
            let entry = slot.entry();
            let wanted = run.only.as_ref().is_none_or(|only| *only == entry.number || *only == entry.name);
            if !wanted || run.done.contains(&entry.number) {
                any |= wanted;
                continue;
            }
            let store = match &*slot.opened.read() {
                Opened::Open(store) => Arc::clone(store),
                Opened::Absent { why, .. } => {
                    any = true;
                    watch.damage(
                        &mut run,
                        Damage::of_store(&entry.number, &slot.unavailable(why).to_string()),
                    );
                    continue;
                }
                Opened::Off => continue,
            };
            any = true;
            if run.at.store != entry.number {
                run.at = At { store: entry.number.clone(), ..At::default() };
            }
            run.report.stores.push(entry.number.clone());
            run.report.stores.dedup();
            let path_of = |theirs: FolderId| {
                let ours = entry.ours(theirs)?;
                Some(self.shared.view.read().get(ours)?.info.path.to_string())
            };
            let threads = match options.threads {
                0 => std::thread::available_parallelism().map_or(1, usize::from).min(4),
                some => some,
            };
            let done = one(&store, &path_of, threads, cancel, &mut run, &mut watch);
            if let Err(error) = done {
                self.shared.save(STATE, &run)?;
                return Err(error);
            }
            run.done.push(entry.number.clone());
        }
        if !any {
            return Err(Error::Missing { what: format!("store {}", run.only.as_deref().unwrap_or("0001")) });
        }
        run.report.ended = OffsetDateTime::now_utc().unix_timestamp();
        run.at = At::default();
        self.shared.save(LAST, &run)?;
        self.shared.forget(STATE)?;
        Ok(run.report)
    }

    /// What the last run found that came to its end; none when there was none.
    /// # Errors
    /// `Io`.
    pub fn last_verify(&self) -> Result<Option<(VerifyReport, Vec<Damage>)>, Error> {
        Ok(self.shared.load(LAST)?.map(|run| (run.report, run.damage)))
    }
}

/// The run that was broken off.
const STATE: &str = "verify-state.json";
/// The last run that came to its end.
const LAST: &str = "verify-last.json";

impl Run {
    fn new(options: &VerifyOptions) -> Run {
        let slice = options.slice;
        let started = OffsetDateTime::now_utc().unix_timestamp();
        let part = (!slice.is_all()).then_some((slice.part, slice.of));
        let report = VerifyReport { started, slice: part, ..VerifyReport::default() };
        let only = options.store.clone();
        Run { version: 1, only, slice, report, damage: Vec::new(), done: Vec::new(), at: At::default() }
    }
}

impl Damage {
    fn of_store(number: &str, what: &str) -> Damage {
        Damage {
            store: number.to_owned(),
            folder: None,
            uid: None,
            sha256: None,
            message_id: None,
            subject: None,
            what: what.to_owned(),
        }
    }
}

impl Shared {
    fn verify_file(&self, name: &str) -> PathBuf {
        self.data.join("derived").join(name)
    }

    fn save(&self, name: &str, run: &Run) -> Result<(), Error> {
        let path = self.verify_file(name);
        let bytes = serde_json::to_vec(run).map_err(|e| Error::io(&path)(e.into()))?;
        make_dirs(&self.disk, &self.data.join("derived"))?;
        replace(&self.disk, &path, &bytes)
    }

    fn load(&self, name: &str) -> Result<Option<Run>, Error> {
        let path = self.verify_file(name);
        let file = match self.disk.open(&path, false) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(path)(e)),
        };
        let len = file.len().map_err(Error::io(&path))?;
        if len > MAX_STATE_BYTES {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        let got = file.read_at(0, &mut bytes).map_err(Error::io(&path))?;
        bytes.truncate(got);
        Ok(serde_json::from_slice(&bytes).ok().filter(|run: &Run| run.version == 1))
    }

    fn forget(&self, name: &str) -> Result<(), Error> {
        let path = self.verify_file(name);
        match self.disk.remove(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path)(e)),
            _ => Ok(()),
        }
    }

    fn resume(&self) -> Result<Run, Error> {
        let none = || Error::Missing { what: "a verification that was broken off".into() };
        self.load(STATE)?.ok_or_else(none)
    }
}

/// What the caller sees of a run.
struct Watch<'w> {
    shared: &'w Shared,
    saved: Instant,
    /// What was told already: a range that was broken off in its midst is read again.
    told: HashSet<String>,
    progress: &'w mut dyn FnMut(VerifyProgress),
    found: &'w mut dyn FnMut(&Damage),
    /// Done and in all, of the store in hand.
    bytes: (u64, u64),
}

impl Watch<'_> {
    fn damage(&mut self, run: &mut Run, damage: Damage) {
        if run.damage.len() >= MAX_TOLD {
            run.report.damaged += 1;
            run.report.untold += 1;
        } else if self.told.insert(damage.to_string()) {
            run.report.damaged += 1;
            (self.found)(&damage);
            run.damage.push(damage);
        }
    }

    fn event(&mut self, run: &mut Run, event: Event) {
        let report = &mut run.report;
        match event {
            Event::Damage(damage) => self.damage(run, damage),
            Event::Bytes(bytes) => self.bytes.0 += bytes,
            Event::Records(records) => report.records += records,
            Event::Message => report.messages += 1,
            Event::Placements(placements) => report.placements += placements,
            Event::Documents(documents) => report.documents += documents,
            Event::Part => report.parts += 1,
        }
    }

    fn say(&mut self, run: &Run) {
        let (done, total) = self.bytes;
        let (store, messages) = (run.at.store.clone(), run.report.messages);
        (self.progress)(VerifyProgress { store, done: done.min(total), total, messages });
    }
}

/// Where the workers are.
#[derive(Debug)]
struct Cursor {
    next: u32,
    end: u32,
    /// Ranges that are being read, by their first message.
    open: BTreeSet<u32>,
}

impl Cursor {
    fn take(&mut self) -> Option<Range<u32>> {
        let first = self.next;
        if first >= self.end {
            return None;
        }
        self.next = self.end.min(first.saturating_add(RANGE));
        self.open.insert(first);
        Some(first..self.next)
    }

    /// All messages below are done.
    fn done(&self) -> u32 {
        self.open.first().copied().unwrap_or(self.next)
    }
}

/// Verifies one store.
fn one(
    store: &Arc<Store>,
    path_of: &(dyn Fn(FolderId) -> Option<String> + Sync),
    threads: usize,
    cancel: &Cancel,
    run: &mut Run,
    watch: &mut Watch<'_>,
) -> Result<(), Error> {
    let (out, events) = bounded(QUEUE);
    let number = run.at.store.clone();
    let job = Job::new(store, &number, path_of, run.slice, cancel, out);
    watch.bytes = (0, job.bytes());
    let end = job.counters.next_msg;
    let cursor = Mutex::new(Cursor { next: run.at.message, end, open: BTreeSet::new() });
    let at = Mutex::new(run.at.clone());
    std::thread::scope(|scope| {
        let mut running = Vec::new();
        let shared = Arc::new(job);
        for worker in 0..threads.max(1) {
            let (job, cursor, at) = (Arc::clone(&shared), &cursor, &at);
            running.push(scope.spawn(move || work(worker == 0, &job, cursor, at)));
        }
        // The workers hold the only senders: the channel ends with them.
        drop(shared);
        listen(&events, run, watch, &at, &cursor);
        let mut end = Ok(());
        for thread in running {
            let panicked = |_| Err(Error::Missing { what: "the end of a thread that verifies".into() });
            end = end.and(thread.join().unwrap_or_else(panicked));
        }
        run.at = at.lock().clone();
        run.at.message = cursor.lock().done();
        end
    })
}

/// What one thread does: the first one walks over packs and tables, then all take messages.
fn work(first: bool, job: &Job<'_>, cursor: &Mutex<Cursor>, at: &Mutex<At>) -> Result<(), Error> {
    // Where that is refused, it runs as everything else.
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "verifying runs at the usual priority");
    }
    if first {
        let mut position = at.lock().packs.clone();
        job.records(&mut position, &mut |position| at.lock().packs = position.clone())?;
        if !at.lock().tables {
            job.tables(job.slice.is_all().then_some(&position))?;
            job.index()?;
            at.lock().tables = true;
        }
    }
    loop {
        let Some(range) = cursor.lock().take() else { return Ok(()) };
        let first = range.start;
        job.messages(range)?;
        cursor.lock().open.remove(&first);
    }
}

/// Hears what the workers say until all have ended, and writes down how far they are.
fn listen(
    events: &Receiver<Event>,
    run: &mut Run,
    watch: &mut Watch<'_>,
    at: &Mutex<At>,
    cursor: &Mutex<Cursor>,
) {
    let mut count = 0u32;
    for event in events {
        watch.event(run, event);
        count = count.wrapping_add(1);
        if count.is_multiple_of(64) {
            watch.say(run);
        }
        if watch.saved.elapsed() >= SAVE_EVERY {
            watch.saved = Instant::now();
            run.at = at.lock().clone();
            run.at.message = cursor.lock().done();
            if let Err(error) = watch.shared.save(STATE, run) {
                tracing::warn!(%error, "how far verifying is could not be noted down");
            }
        }
    }
    watch.say(run);
}
