//! Making stores' databases again from their packs: with the installation open while others read, or when it can't be opened.
//!
//! Invariant: a database that can be opened is replaced only when the new one holds all that it holds, or the caller said that
//! losses are taken. Readers never see half of one: the new database takes the old one's place in one step. What was in
//! the old one and not in the packs is gone then; nothing of it is kept, since it holds words of mail in the clear.

use super::registry::{Entry, Registry, stores_dir};
use super::shadow::Shadow;
use super::slot::Opened;
use super::{Shared, Storage, open};
use crate::pack::Packs;
use crate::pack::disk::{Disk, RealDisk};
use crate::store::open::{self as store_open, Settings};
use crate::store::rebuild::{Built, Lost, Rebuild, Rebuilt, build, discard, known_batch, swap};
use crate::store::{Cancel, Store, StoreState};
use crate::{Error, Limits, MasterKey};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a rebuild that nobody asked for says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// What became of one store.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreRebuilt {
    /// Its number.
    pub store: String,
    /// Batches that were taken in.
    pub batches: u64,
    /// Messages.
    pub messages: u64,
    /// Placements.
    pub placements: u64,
    /// Folders.
    pub folders: u64,
    /// What the packs have lost, by name where that is known; at most 10,000.
    pub lost: Vec<String>,
    /// Losses beyond those.
    pub untold: u64,
    /// The end of the packs is missing: UIDs and mod-sequences were raised, so that none is given twice.
    pub raised: bool,
    /// Why the old database was kept; none when the new one took its place.
    pub kept: Option<String>,
}

/// What became of all.
#[derive(Debug, Clone, Default)]
pub struct RebuildReport {
    /// The stores, in their order.
    pub stores: Vec<StoreRebuilt>,
    /// What was done beside: a list of stores made anew.
    pub notes: Vec<String>,
}

/// Told how far a rebuild is: the store, bytes of its packs done, and in all.
pub(super) type Progress<'a> = dyn FnMut(&str, u64, u64) + 'a;

/// What a rebuild may do, and how it is watched.
pub(super) struct Task<'a> {
    /// Only this store; by number or name.
    pub(super) number: Option<&'a str>,
    /// Losses are taken.
    pub(super) accept_loss: bool,
    pub(super) cancel: &'a Cancel,
    pub(super) progress: &'a mut Progress<'a>,
}

/// Makes databases again while nothing has the installation open: from packs and key alone. A list of stores that is gone or
/// can't be read is made anew from what lies in DATA/stores.
/// # Errors
/// `Missing` when there is no such store; `Cancelled`, `WrongKey`, `Io`. What one store refuses is in its part of the report.
pub fn rebuild<'a>(
    data: &Path,
    key: &MasterKey,
    limits: &Limits,
    number: Option<&'a str>,
    accept_loss: bool,
    cancel: &'a Cancel,
    progress: &'a mut Progress<'a>,
) -> Result<RebuildReport, Error> {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let task = Task { number, accept_loss, cancel, progress };
    rebuild_on(&disk, data, key, limits, true, task)
}

pub(super) fn rebuild_on(
    disk: &Arc<dyn Disk>,
    data: &Path,
    key: &MasterKey,
    limits: &Limits,
    lock: bool,
    task: Task<'_>,
) -> Result<RebuildReport, Error> {
    let mut report = RebuildReport::default();
    let (mut registry, listed) = match Registry::load(disk, data) {
        Ok(Some(registry)) => (registry, true),
        Ok(None) => (open::found(disk, data)?, false),
        Err(error @ Error::Registry { .. }) => {
            set_aside(disk, data)?;
            report.notes.push(format!("{error}: it is called stores.toml.broken now"));
            (open::found(disk, data)?, false)
        }
        Err(other) => return Err(other),
    };
    if !listed {
        report.notes.push(
            "the list of stores was made anew from what lies below DATA/stores; stores elsewhere must be attached again".into(),
        );
    }
    let wanted =
        |entry: &Entry| task.number.is_none_or(|number| entry.number == number || entry.name == number);
    if !registry.stores.iter().any(wanted) {
        return Err(Error::Missing { what: format!("store {}", task.number.unwrap_or("0001")) });
    }
    for entry in &mut registry.stores {
        if !listed {
            identify(disk, &entry.dir(data), key, entry)?;
        }
        if !wanted(entry) {
            continue;
        }
        let progress = &mut *task.progress;
        let mut say = |done, all| progress(&entry.number, done, all);
        let done = offline(disk, data, key, limits, lock, entry, task.accept_loss, task.cancel, &mut say);
        report.stores.push(told(entry, done)?);
    }
    if !listed {
        if let Some(installation) = registry.stores.iter().rev().find_map(|entry| {
            let packs = Packs::open(Arc::clone(disk), &entry.dir(data).join("packs"), key, 0).ok()?;
            let settings = Settings::decode(&packs.identity().settings);
            (!settings.installation.is_empty()).then_some(settings.installation)
        }) {
            registry.installation = installation;
        }
        registry.save(disk, data)?;
    }
    Ok(report)
}

/// A store's part of the report; what ends all ends here.
fn told(entry: &Entry, done: Result<(Rebuilt, Option<String>), Error>) -> Result<StoreRebuilt, Error> {
    let number = entry.number.clone();
    match done {
        Ok((rebuilt, kept)) => {
            let Rebuilt { batches, messages, placements, folders, lost, raised } = rebuilt;
            let Lost { told: lost, untold } = lost;
            Ok(StoreRebuilt {
                store: number,
                batches,
                messages,
                placements,
                folders,
                lost,
                untold,
                raised,
                kept,
            })
        }
        Err(error @ (Error::Cancelled | Error::WrongKey { .. })) => Err(error),
        Err(error) => {
            Ok(StoreRebuilt { store: number, kept: Some(error.to_string()), ..StoreRebuilt::default() })
        }
    }
}

/// Gives a registry that can't be read another name.
fn set_aside(disk: &Arc<dyn Disk>, data: &Path) -> Result<(), Error> {
    let dir = stores_dir(data);
    let (from, to) = (dir.join("stores.toml"), dir.join("stores.toml.broken"));
    disk.rename(&from, &to).map_err(Error::io(&from))?;
    disk.sync_dir(&dir).map_err(Error::io(&dir))
}

/// Takes from a store's packs what the lost registry said of it.
fn identify(disk: &Arc<dyn Disk>, dir: &Path, key: &MasterKey, entry: &mut Entry) -> Result<(), Error> {
    let packs = Packs::open(Arc::clone(disk), &dir.join("packs"), key, 0)?;
    let identity = packs.identity();
    let settings = Settings::decode(&identity.settings);
    entry.id = hex::encode(identity.id.0);
    if !settings.name.is_empty() {
        entry.name = settings.name;
    }
    if entry.state != StoreState::Current && settings.state != StoreState::Current {
        entry.state = settings.state;
    }
    Ok(())
}

/// Where a store's database lies: one that is write-protected has what was made anew beside DATA's own files.
fn database_dir(disk: &Arc<dyn Disk>, data: &Path, entry: &Entry) -> Result<PathBuf, Error> {
    match (entry.state, entry.store_id()) {
        (StoreState::WriteProtected, Some(id)) => {
            let dir = super::derived_dir(data, id);
            store_open::make_dirs(disk, &dir)?;
            Ok(dir)
        }
        _ => Ok(entry.dir(data)),
    }
}

/// Rebuilds a store that nobody has open; says why the old database was kept, if it was.
#[expect(clippy::too_many_arguments, reason = "it has one caller a way")]
fn offline(
    disk: &Arc<dyn Disk>,
    data: &Path,
    key: &MasterKey,
    limits: &Limits,
    lock: bool,
    entry: &Entry,
    accept_loss: bool,
    cancel: &Cancel,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(Rebuilt, Option<String>), Error> {
    let dir = entry.dir(data);
    let _lock = if lock { Some(store_open::lock(&dir)?) } else { None };
    let packs = Packs::open(Arc::clone(disk), &dir.join("packs"), key, limits.block_cache_bytes)?.adopt()?;
    let place = database_dir(disk, data, entry)?;
    let old = known_batch(disk, &place.join("store.redb"), limits.database_cache_bytes, &packs);
    let remembered = Shadow::load(disk, data, packs.identity().id)?.map_or(0, |shadow| shadow.batch);
    let known = old.map_or(0, |old| old.batch).max(remembered);
    let built = build(Rebuild {
        disk,
        dir: &place,
        packs: &packs,
        limits,
        known,
        upto: None,
        strict: false,
        cancel,
        progress,
    });
    let built = match built {
        Ok(built) => built,
        Err(error) => {
            discard(disk, &place)?;
            return Err(error);
        }
    };
    let Built { db, rebuilt, .. } = built;
    drop(db);
    // A database that opens knows what the packs have lost; it is given up only when that was said. One that is behind
    // doesn't open, since the damage lies before it.
    if old.is_some_and(|old| old.fits && old.batch >= rebuilt.batches)
        && !rebuilt.lost.told.is_empty()
        && !accept_loss
    {
        discard(disk, &place)?;
        return Ok((rebuilt, Some(KEPT.to_owned())));
    }
    swap(disk, &place)?;
    Ok((rebuilt, None))
}

/// Why a database that works was kept.
const KEPT: &str = "the database that is there still knows what the packs have lost, so it was kept; \
                    get the packs back from a backup, or give it up with --accept-loss";

impl Storage {
    /// Makes the databases of open and of absent stores again, of one or of all; readers and the archiver go on meanwhile,
    /// and archiving waits only for the last step.
    /// # Errors
    /// `Missing`, `Cancelled`, `WrongKey`. What one store refuses is in its part of the report.
    pub fn rebuild_stores(
        &self,
        number: Option<&str>,
        accept_loss: bool,
        cancel: &Cancel,
        progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<RebuildReport, Error> {
        let mut report = RebuildReport::default();
        for slot in self.shared.all_slots() {
            let entry = slot.entry();
            if number.is_some_and(|number| entry.number != number && entry.name != number) {
                continue;
            }
            let mut say = |done, all| progress(&entry.number, done, all);
            let state = match &*slot.opened.read() {
                Opened::Open(store) => Ok(Some(Arc::clone(store))),
                Opened::Absent { .. } => Ok(None),
                Opened::Off if number.is_none() => continue,
                Opened::Off => Err(slot.unavailable("it is disabled or detached")),
            };
            let shared = &self.shared;
            let done = state.and_then(|open| match open {
                Some(store) => shared.rebuild_open(&entry, &store, accept_loss, cancel, &mut say),
                None => {
                    let key = shared.key.read().clone();
                    let lock = shared.indexes.is_none();
                    let (disk, data, limits) = (&shared.disk, &shared.data, &shared.limits);
                    let done =
                        offline(disk, data, &key, limits, lock, &entry, accept_loss, cancel, &mut say)?;
                    let _turn = shared.turn.lock();
                    let store = shared.open_store(&entry)?;
                    slot.put(Opened::Open(store));
                    shared.rebuild_view();
                    shared.subscribers.tell(&[]);
                    Ok(done)
                }
            });
            report.stores.push(told(&entry, done)?);
        }
        if report.stores.is_empty() {
            return Err(Error::Missing { what: format!("store {}", number.unwrap_or("0001")) });
        }
        Ok(report)
    }
}

impl Shared {
    /// Builds beside a store that goes on working, then puts the new database in the old one's place.
    fn rebuild_open(
        &self,
        entry: &Entry,
        store: &Arc<Store>,
        accept_loss: bool,
        cancel: &Cancel,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<(Rebuilt, Option<String>), Error> {
        let (disk, limits) = (&self.disk, &self.limits);
        let known = store.state.read().counters.batch;
        let key = self.key.read().clone();
        let packs = Packs::open(Arc::clone(disk), &store.dir.join("packs"), &key, limits.block_cache_bytes)?
            .adopt()?;
        let place = database_dir(disk, &self.data, entry)?;
        let with = Rebuild {
            disk,
            dir: &place,
            packs: &packs,
            limits,
            known: 0,
            upto: Some(known),
            strict: false,
            cancel,
            progress,
        };
        let built = match build(with) {
            Ok(built) => built,
            Err(error) => {
                discard(disk, &place)?;
                return Err(error);
            }
        };
        let Built { db, mut state, rebuilt, .. } = built;
        let lost = !rebuilt.lost.told.is_empty() || state.counters.batch < known;
        if lost {
            drop(db);
            discard(disk, &place)?;
            let why = "the store is in use: stop the server first, then give up what is lost";
            let why = if accept_loss { why } else { KEPT };
            return Ok((rebuilt, Some(why.to_owned())));
        }
        // What was archived meanwhile; nothing comes after it, since the turn is ours.
        let turn = self.turn.lock();
        if !self.open_stores().iter().any(|open| Arc::ptr_eq(open, store)) {
            drop(db);
            discard(disk, &place)?;
            return Ok((rebuilt, Some("the store was closed meanwhile".to_owned())));
        }
        store_open::catch_up(&store.packs, &db, limits, &mut state)?;
        swap(disk, &place)?;
        store.db.replace(db);
        *store.state.write() = state;
        store.columns.lock().clear();
        store.previews.clear();
        drop(turn);
        Ok((rebuilt, None))
    }

    /// Makes the database of another layout again before its store is opened.
    pub(super) fn renew(&self, entry: &Entry, layout: u64) -> Result<(), Error> {
        let dir = entry.dir(&self.data);
        let _lock = if self.indexes.is_none() { Some(store_open::lock(&dir)?) } else { None };
        let key = self.key.read().clone();
        let packs =
            Packs::open(Arc::clone(&self.disk), &dir.join("packs"), &key, self.limits.block_cache_bytes)?;
        let place = database_dir(&self.disk, &self.data, entry)?;
        let remembered = Shadow::load(&self.disk, &self.data, packs.identity().id)?;
        tracing::info!(store = entry.number, layout, "the database has an old layout and is made again");
        let mut said = Instant::now();
        let built = build(Rebuild {
            disk: &self.disk,
            dir: &place,
            packs: &packs,
            limits: &self.limits,
            known: remembered.map_or(0, |shadow| shadow.batch),
            upto: None,
            strict: true,
            cancel: &Cancel::default(),
            progress: &mut |done, all| {
                if said.elapsed() >= SAY_EVERY {
                    said = Instant::now();
                    tracing::info!(store = entry.number, done, all, "making the database again");
                }
            },
        })?;
        drop(built);
        swap(&self.disk, &place)
    }
}
