//! From the reader to the committing thread: messages read whole, parsed by several threads, handed on in order.
//!
//! The reader sends every item to the queue `order`; a message's place in it is a channel that the worker which parses it
//! fills. So the committing thread gets the items as the source has them, whoever is done first.
//!
//! Invariant: at most `MAX_BYTES` of messages (and one more message) are between the reader and the batch.

use crate::remote::checkpoint::{Change, Placed};
use crate::walk::{Found, Sink, Skipped, SourceFolder, Stop};
use crate::{Format, Item, Sums, names};
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::{Condvar, Mutex};
use std::collections::{HashMap, HashSet};
use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use storage::incoming::Content;
use storage::{
    Cancel, ContentHash, Error, FolderId, FolderPath, Incoming, InternalDate, Prepared, Sighting,
    SourceFlags, Storage, Uid, Whereabouts,
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
    /// None: only counted in.
    pub(crate) path: Option<FolderPath>,
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
    /// What a server's message needs besides.
    pub(crate) remote: Option<Remote>,
    weight: u64,
}

/// What is settled once a server's message is archived.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    /// The source folder's number.
    pub(crate) no: u32,
    /// The message there.
    pub(crate) id: SourceId,
    /// Half a hash of EMAILID, or 0.
    pub(crate) email_id: u64,
    /// Shared by all places that the message goes to.
    pub(crate) tally: Arc<Tally>,
}

/// What a server calls a message.
#[derive(Debug, Clone)]
pub(crate) enum SourceId {
    Uid(u32),
    Uidl(String),
    /// POP3 without unique ids.
    None,
}

/// The places of one message that are not decided yet.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Where it is counted.
    pub(crate) folder: usize,
    pub(crate) left: AtomicU64,
    pub(crate) any_new: AtomicBool,
}

/// Which placements from its source a message may be: not those that another message of the source is.
#[derive(Clone)]
pub(crate) struct Claim {
    /// Whether what was seen as this occurrence may be another one now.
    pub(crate) free: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    /// The folder is walked by identity: what lies in the target folder counts, wherever it came from.
    pub(crate) walking: bool,
    /// So do these: they left another folder of the source, and aren't where they lay in the archive.
    pub(crate) strays: Arc<HashSet<ContentHash>>,
}

/// A message that a server sent.
pub(crate) struct Arrived<'a> {
    /// Where it goes, by [`Line::target`]; counted in the first.
    pub(crate) targets: &'a [usize],
    pub(crate) place: String,
    pub(crate) occurrence: String,
    pub(crate) date: Option<InternalDate>,
    pub(crate) flags: SourceFlags,
    pub(crate) incoming: Incoming,
    pub(crate) no: u32,
    pub(crate) id: SourceId,
    pub(crate) email_id: u64,
    pub(crate) claim: &'a Claim,
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
    /// A message that moved at its source: it moves in the archive.
    Move(Box<Moved>),
    /// Sums that need no message.
    Count(usize, Sums),
    /// So many messages of a folder went from the server after they were counted as on it.
    Went(usize, u64),
    /// What is known of the source once all before it is durable.
    Note(Vec<Change>),
    /// Items for the list of what was deleted at the source.
    Deleted(Vec<Item>),
    /// Answered once all before it is durable.
    Barrier(Sender<()>),
}

/// A move at the source, to be done in the archive.
#[derive(Debug)]
pub(crate) struct Moved {
    /// Where it is counted, and goes.
    pub(crate) folder: usize,
    pub(crate) place: String,
    pub(crate) from: Placed,
    /// The source folder that it left, and its UID there.
    pub(crate) left: (u32, u32),
    /// The source folder that it is in now, and its UID there.
    pub(crate) now: (u32, u32),
    pub(crate) email_id: u64,
}

struct Work {
    incoming: Incoming,
    source: String,
    path: FolderPath,
    before: Option<Before>,
    /// Of a server's message: its occurrence, and which placements it may be.
    claim: Option<(String, Claim)>,
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

/// The readers' end; one clone each.
#[derive(Clone)]
pub(crate) struct Line<'a> {
    pub(crate) storage: &'a Storage,
    pub(crate) cancel: &'a Cancel,
    pub(crate) shared: &'a Shared,
    order: Sender<Slot>,
    work: Sender<Work>,
    targets: Arc<Mutex<Targets>>,
}

/// The folders of a run, numbered in the order in which the committing thread gets them.
#[derive(Default)]
struct Targets {
    all: Vec<Target>,
    known: HashMap<(String, Option<FolderPath>, Format), usize>,
    groups: HashMap<(String, Option<FolderPath>), usize>,
}

/// The end of a reader of files.
pub(crate) struct Feed<'a> {
    line: Line<'a>,
    into: FolderPath,
}

impl<'a> Feed<'a> {
    /// What is read goes to `into` and below.
    pub(crate) fn new(line: Line<'a>, into: FolderPath) -> Feed<'a> {
        Feed { line, into }
    }
}

/// The workers' end; one clone each.
#[derive(Clone)]
pub(crate) struct Parse<'a> {
    storage: &'a Storage,
    shared: &'a Shared,
    work: Receiver<Work>,
    again: bool,
}

/// Makes the three ends. `again`: what was deleted from the archive is archived again.
pub(crate) fn queues<'a>(
    storage: &'a Storage,
    again: bool,
    cancel: &'a Cancel,
    shared: &'a Shared,
) -> (Line<'a>, Parse<'a>, Receiver<Slot>) {
    let (order, slots) = bounded(MAX_ITEMS);
    let (work, tasks) = bounded(MAX_ITEMS);
    let line = Line { storage, cancel, shared, order, work, targets: Arc::default() };
    (line, Parse { storage, shared, work: tasks, again }, slots)
}

impl Line<'_> {
    /// Hands something on, behind all that was handed on before.
    pub(crate) fn send(&self, slot: Slot) -> Result<(), Stop> {
        if self.cancel.is_set() {
            return Err(Stop);
        }
        self.order.send(slot).map_err(|_| Stop)
    }

    /// The number of a folder of the source that goes to `path`; none: it is only counted in.
    pub(crate) fn target(
        &self,
        source: &str,
        path: Option<FolderPath>,
        format: Format,
        given: bool,
    ) -> usize {
        let key = (source.to_owned(), path, format);
        // Under the lock until it is sent, so that the committing thread numbers them alike.
        let mut targets = self.targets.lock();
        if let Some(number) = targets.known.get(&key) {
            return *number;
        }
        let (source, path, format) = key.clone();
        let number = targets.all.len();
        let group = *targets.groups.entry((source.clone(), path.clone())).or_insert(number);
        let before = match (targets.all.get(group), &path) {
            (Some(first), _) => first.before,
            (None, Some(path)) => Before::of(self.storage, path),
            (None, None) => None,
        };
        let target = Target { source, path, format, given, before, group };
        targets.all.push(target.clone());
        // A closed queue is noticed with the next item.
        if self.order.send(Slot::Folder(target)).is_err() {
            tracing::debug!("the run has ended");
        }
        targets.known.insert(key, number);
        number
    }

    /// The placements in a target folder that a server's message of this occurrence may be, the likeliest first.
    pub(crate) fn claimable(
        &self,
        folder: usize,
        occurrence: &str,
        hash: &ContentHash,
        claim: &Claim,
    ) -> Result<Vec<Sighting>, Error> {
        let target = self.targets.lock().all.get(folder).cloned();
        match target {
            Some(Target { source, path: Some(path), before: Some(before), .. }) => claimable(
                self.storage,
                &Place { source: &source, path: &path, before },
                occurrence,
                hash,
                claim,
            ),
            _ => Ok(Vec::new()),
        }
    }

    /// Takes a message that a server sent. Waits while too much is under way.
    pub(crate) fn arrived(&self, message: Arrived<'_>) -> Result<(), Stop> {
        let Some(first) = message.targets.first() else { return Ok(()) };
        self.shared.at.lock().clone_from(&message.place);
        let left = AtomicU64::new(message.targets.len() as u64);
        let tally = Arc::new(Tally { folder: *first, left, any_new: AtomicBool::new(false) });
        for folder in message.targets {
            let facts = Facts {
                occurrence: message.occurrence.clone(),
                date: message.date,
                modified: InternalDate { secs: crate::ledger::now(), zone: 0 },
                flags: message.flags,
                size: message.incoming.content.len(),
                remote: Some(Remote {
                    no: message.no,
                    id: message.id.clone(),
                    email_id: message.email_id,
                    tally: Arc::clone(&tally),
                }),
                weight: weight(&message.incoming),
            };
            let claim = Some((message.occurrence.clone(), message.claim.clone()));
            self.enqueue(*folder, message.place.clone(), facts, message.incoming.clone(), claim)?;
        }
        Ok(())
    }

    fn enqueue(
        &self,
        folder: usize,
        place: String,
        facts: Facts,
        incoming: Incoming,
        claim: Option<(String, Claim)>,
    ) -> Result<(), Stop> {
        if self.cancel.is_set() || self.shared.is_closed() {
            return Err(Stop);
        }
        let (source, path, before) = {
            let targets = self.targets.lock();
            let target = targets.all.get(folder).ok_or(Stop)?;
            (target.source.clone(), target.path.clone().ok_or(Stop)?, target.before)
        };
        self.shared.acquire(facts.weight)?;
        let (done, body) = bounded(1);
        self.send(Slot::Message { folder, place, facts, body })?;
        self.work.send(Work { incoming, source, path, before, claim, done }).map_err(|_| Stop)
    }
}

/// What a message costs while it is under way.
fn weight(incoming: &Incoming) -> u64 {
    let size = incoming.content.len();
    ITEM_BYTES
        + match incoming.content {
            Content::Memory(_) => size,
            Content::File(..) => size.min(SPOOLED_BYTES),
        }
}

impl Sink for Feed<'_> {
    fn folder(&mut self, folder: SourceFolder) -> usize {
        let into = folder.root.as_ref().unwrap_or(&self.into);
        let path = names::folder(into, &folder.levels, self.line.storage.limits());
        self.line.target(&folder.source, Some(path), folder.format, folder.given)
    }

    fn message(&mut self, found: Found<'_>) -> Result<(), Stop> {
        let line = &self.line;
        if line.cancel.is_set() || line.shared.is_closed() {
            return Err(Stop);
        }
        line.shared.at.lock().clone_from(&found.place);
        line.shared.done_bytes.fetch_add(found.prefix.len() as u64, Ordering::Relaxed);
        let counted = Counted { inner: found.content, count: &line.shared.done_bytes };
        let incoming = match Incoming::read(counted, found.prefix, line.storage.limits()) {
            Ok(incoming) => incoming,
            Err(error) => {
                let reason = error.to_string();
                return line.send(Slot::Skip(Skipped {
                    folder: found.folder,
                    place: found.place,
                    reason,
                    failed: true,
                }));
            }
        };
        let facts = Facts {
            occurrence: found.occurrence,
            date: found.date,
            modified: found.modified,
            flags: found.flags,
            size: incoming.content.len(),
            remote: None,
            weight: weight(&incoming),
        };
        line.enqueue(found.folder, found.place, facts, incoming, None)
    }

    fn skip(&mut self, skipped: Skipped) -> Result<(), Stop> {
        self.line.send(Slot::Skip(skipped))
    }
}

impl Parse<'_> {
    /// Parses until the reader has ended.
    pub(crate) fn run(self) {
        for work in self.work {
            if self.shared.is_closed() {
                continue;
            }
            let found = match &work.claim {
                None => sightings(self.storage, &work, self.again),
                Some((occurrence, claim)) => match work.before {
                    Some(before) => {
                        let place = Place { source: &work.source, path: &work.path, before };
                        claimable(self.storage, &place, occurrence, &work.incoming.hash, claim)
                    }
                    None => Ok(Vec::new()),
                },
            };
            let body = match found {
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

/// A target folder that had been there before the run.
struct Place<'a> {
    source: &'a str,
    path: &'a FolderPath,
    before: Before,
}

/// The placements that a server's message may be: the one that has its occurrence, else those whose own message is gone from the
/// source. While a folder is walked by identity, and of strays, also what else lies in the target folder: what moved there at the source.
fn claimable(
    storage: &Storage,
    place: &Place<'_>,
    occurrence: &str,
    hash: &ContentHash,
    claim: &Claim,
) -> Result<Vec<Sighting>, Error> {
    let mut all = storage.sightings(place.path, hash)?;
    all.retain(|sighting| sighting.source == place.source);
    let mut others = Vec::new();
    if (claim.walking || claim.strays.contains(hash))
        && let Some(view) = storage.view(place.path)
    {
        for uid in storage.with_identity(&view, &hash.0)?.iter() {
            let folder = view.info.id;
            if all.iter().any(|own| own.folder == folder && own.uid == uid) {
                continue;
            }
            let (source, occurrence) = (String::new(), String::new());
            others.push(Sighting { folder, uid, source, occurrence, there: Whereabouts::Here });
        }
    }
    all.retain(|sighting| {
        let own = sighting.occurrence == occurrence;
        own || (if sighting.occurrence.is_empty() {
            claim.walking
        } else {
            (claim.free)(&sighting.occurrence)
        })
    });
    all.extend(others);
    all.retain(|sighting| place.before.has(sighting));
    all.sort_by_key(|sighting| sighting.occurrence != occurrence);
    Ok(all)
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
