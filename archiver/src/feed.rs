//! From the reader to the committing thread: messages read whole, parsed by several threads, handed on in order.
//!
//! The reader sends every item to the queue `order`; a message's place in it is a channel that the worker which parses it
//! fills. So the committing thread gets the items as the source has them, whoever is done first.
//!
//! Invariant: at most `MAX_BYTES` of messages (and one more message) are between the reader and the batch.

use crate::walk::{Found, Sink, Skipped, SourceFolder, Stop};
use crate::{FileJob, Format, names};
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};
use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use storage::incoming::Content;
use storage::{
    Cancel, Error, FolderId, FolderPath, Incoming, InternalDate, Prepared, Sighting, SourceFlags, Storage,
    Uid, Whereabouts,
};

/// Bytes of messages under way.
const MAX_BYTES: u64 = 32 << 20;
/// What a message costs besides its bytes.
const ITEM_BYTES: u64 = 4 << 10;
/// What a spooled message costs at most: what is read of it for its text. Such large ones are parsed one at a time, since
/// decoding may take several times their bytes.
const SPOOLED_BYTES: u64 = 48 << 20;
/// Items under way.
const MAX_ITEMS: usize = 1_000;

/// A folder at the source and in the archive.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) source: String,
    pub(crate) path: FolderPath,
    pub(crate) format: Format,
    pub(crate) given: bool,
    /// What was there when the run came to it; none: nothing ever was.
    pub(crate) before: Option<Before>,
    /// The first target with the same source and path: they may differ in format, but sightings are counted together.
    pub(crate) group: usize,
}

/// A target folder before the run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before {
    /// The folder and its UIDNEXT; none when it was renamed or removed.
    folder: Option<(FolderId, Uid)>,
}

impl Before {
    fn of(storage: &Storage, path: &FolderPath) -> Option<Before> {
        let folder = storage.view(path).map(|view| (view.info.id, view.info.uid_next));
        storage.was_there(path).then_some(Before { folder })
    }

    /// Whether a sighting is older than the run.
    fn has(&self, sighting: &Sighting) -> bool {
        self.folder.is_none_or(|(id, uid_next)| sighting.folder != id || sighting.uid < uid_next)
    }
}

/// What is known of a message besides its bytes.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) occurrence: String,
    pub(crate) date: Option<InternalDate>,
    pub(crate) modified: InternalDate,
    pub(crate) flags: SourceFlags,
    /// Canonical bytes.
    pub(crate) size: u64,
    weight: u64,
}

/// A message that is ready to be decided on.
#[derive(Debug)]
pub(crate) enum Body {
    /// No placement from this source was there before the run.
    New(Box<Prepared>),
    /// Placements from this source that were there before the run.
    Known(Incoming, Vec<Sighting>),
    /// Storage could not be asked.
    Error(Error),
}

/// What the committing thread gets, in the order of the source.
pub(crate) enum Slot {
    /// A new folder; they are numbered from 0.
    Folder(Target),
    /// No message.
    Skip(Skipped),
    /// A message that is being parsed.
    Message { folder: usize, place: String, facts: Facts, body: Receiver<Body> },
}

struct Work {
    incoming: Incoming,
    source: String,
    path: FolderPath,
    before: Option<Before>,
    done: Sender<Body>,
}

/// What the threads of a run share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    /// Source bytes read.
    pub(crate) done_bytes: AtomicU64,
    /// Source bytes in all; 0: not known yet.
    pub(crate) total_bytes: AtomicU64,
    /// What is being read.
    pub(crate) at: Mutex<String>,
    closed: AtomicBool,
    under_way: Mutex<u64>,
    less: Condvar,
}

impl Shared {
    /// Nothing more is wanted.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        // Under the lock, so that a reader between its look and its wait is woken too.
        let _guard = self.under_way.lock();
        self.less.notify_all();
    }
    /// Whether nothing more is wanted.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
    /// The message is no longer under way.
    pub(crate) fn release(&self, facts: &Facts) {
        let mut under_way = self.under_way.lock();
        *under_way = under_way.saturating_sub(facts.weight);
        self.less.notify_all();
    }
    fn acquire(&self, weight: u64) -> Result<(), Stop> {
        let mut under_way = self.under_way.lock();
        while *under_way > 0 && *under_way + weight > MAX_BYTES {
            if self.is_closed() {
                return Err(Stop);
            }
            self.less.wait(&mut under_way);
        }
        *under_way += weight;
        Ok(())
    }
}

/// The reader's end.
pub(crate) struct Feed<'a> {
    storage: &'a Storage,
    into: FolderPath,
    cancel: &'a Cancel,
    shared: &'a Shared,
    order: Sender<Slot>,
    work: Sender<Work>,
    targets: Vec<Target>,
    known: HashMap<(String, FolderPath, Format), usize>,
    groups: HashMap<(String, FolderPath), usize>,
}

/// The workers' end; one clone each.
#[derive(Clone)]
pub(crate) struct Parse<'a> {
    storage: &'a Storage,
    shared: &'a Shared,
    work: Receiver<Work>,
    again: bool,
}

/// Makes the three ends.
pub(crate) fn queues<'a>(
    storage: &'a Storage,
    job: &FileJob,
    cancel: &'a Cancel,
    shared: &'a Shared,
) -> (Feed<'a>, Parse<'a>, Receiver<Slot>) {
    let (order, slots) = bounded(MAX_ITEMS);
    let (work, tasks) = bounded(MAX_ITEMS);
    let into = job.into.clone();
    let feed = Feed {
        storage,
        into,
        cancel,
        shared,
        order,
        work,
        targets: Vec::new(),
        known: HashMap::new(),
        groups: HashMap::new(),
    };
    (feed, Parse { storage, shared, work: tasks, again: job.deleted_too }, slots)
}

impl Feed<'_> {
    fn send(&self, slot: Slot) -> Result<(), Stop> {
        if self.cancel.is_set() {
            return Err(Stop);
        }
        self.order.send(slot).map_err(|_| Stop)
    }
}

impl Sink for Feed<'_> {
    fn folder(&mut self, folder: SourceFolder) -> usize {
        let path = names::folder(&self.into, &folder.levels, self.storage.limits());
        let key = (folder.source, path, folder.format);
        if let Some(number) = self.known.get(&key) {
            return *number;
        }
        let (source, path, format) = key.clone();
        let number = self.targets.len();
        let group = self.groups.entry((source.clone(), path.clone())).or_insert(number);
        let before = match self.targets.get(*group) {
            Some(first) => first.before,
            None => Before::of(self.storage, &path),
        };
        let target = Target { source, path, format, given: folder.given, before, group: *group };
        self.targets.push(target.clone());
        // A closed queue is noticed with the next item.
        if self.order.send(Slot::Folder(target)).is_err() {
            tracing::debug!("the run has ended");
        }
        self.known.insert(key, number);
        number
    }

    fn message(&mut self, found: Found<'_>) -> Result<(), Stop> {
        if self.cancel.is_set() || self.shared.is_closed() {
            return Err(Stop);
        }
        self.shared.at.lock().clone_from(&found.place);
        self.shared.done_bytes.fetch_add(found.prefix.len() as u64, Ordering::Relaxed);
        let counted = Counted { inner: found.content, count: &self.shared.done_bytes };
        let incoming = match Incoming::read(counted, found.prefix, self.storage.limits()) {
            Ok(incoming) => incoming,
            Err(error) => {
                let reason = error.to_string();
                return self.send(Slot::Skip(Skipped {
                    folder: found.folder,
                    place: found.place,
                    reason,
                    failed: true,
                }));
            }
        };
        let size = incoming.content.len();
        let weight = ITEM_BYTES
            + match incoming.content {
                Content::Memory(_) => size,
                Content::File(..) => size.min(SPOOLED_BYTES),
            };
        self.shared.acquire(weight)?;
        let (done, body) = bounded(1);
        let facts = Facts {
            occurrence: found.occurrence,
            date: found.date,
            modified: found.modified,
            flags: found.flags,
            size,
            weight,
        };
        self.send(Slot::Message { folder: found.folder, place: found.place, facts, body })?;
        let target = self.targets.get(found.folder).ok_or(Stop)?;
        let (source, path) = (target.source.clone(), target.path.clone());
        let work = Work { incoming, source, path, before: target.before, done };
        self.work.send(work).map_err(|_| Stop)
    }

    fn skip(&mut self, skipped: Skipped) -> Result<(), Stop> {
        self.send(Slot::Skip(skipped))
    }
}

impl Parse<'_> {
    /// Parses until the reader has ended.
    pub(crate) fn run(self) {
        for work in self.work {
            if self.shared.is_closed() {
                continue;
            }
            let body = match sightings(self.storage, &work, self.again) {
                Ok(sightings) if sightings.is_empty() => {
                    Body::New(Box::new(Prepared::new(work.incoming, self.storage.limits())))
                }
                Ok(sightings) => Body::Known(work.incoming, sightings),
                Err(error) => Body::Error(error),
            };
            if work.done.send(body).is_err() {
                tracing::debug!("the run has ended");
            }
        }
    }
}

/// The placements of the message that came from its source into its folder before this run, wherever they are now. What was
/// deleted counts as there too, unless it is wanted `again`.
fn sightings(storage: &Storage, work: &Work, again: bool) -> Result<Vec<Sighting>, Error> {
    let Some(before) = work.before else { return Ok(Vec::new()) };
    let mut sightings = storage.sightings(&work.path, &work.incoming.hash)?;
    sightings.retain(|sighting| sighting.source == work.source && before.has(sighting));
    if again {
        sightings.retain(|sighting| sighting.there != Whereabouts::Deleted);
    }
    Ok(sightings)
}

/// Counts the source's bytes.
struct Counted<'a> {
    inner: &'a mut dyn Read,
    count: &'a AtomicU64,
}

impl Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
