//! The storage as its callers see it: many stores, one view; folders, batches, messages.
//!
//! Invariant: one writer over all stores, many readers. Only the current store gives out UIDs and mod-sequences. A store that
//! can't be read hurts nothing else, and its messages keep their numbers. Left to others: what is in one store (`store`).

mod admin;
mod ahead;
mod all_mail;
mod batch;
mod changes;
mod erase;
mod evidence;
mod index;
mod left;
mod look;
mod notify;
mod objects;
mod open;
mod rebuild;
mod registry;
mod rekey;
mod rows;
mod shadow;
mod slot;
mod snapshot;
#[cfg(test)]
mod tests;
mod vanished;
mod verify;
mod view;
mod years;

pub use ahead::{Ahead, AheadOf};
pub use batch::Batch;
pub use changes::Changed;
pub use erase::{Compacted, Sizes};
pub use evidence::StoreHead;
pub use index::IndexStatus;
pub use look::Look;
pub use notify::Subscription;
#[cfg(feature = "testing")]
pub(crate) use open::{create_on, open_on};
pub use rebuild::{RebuildReport, StoreRebuilt, rebuild};
pub(crate) use registry::replace;
pub use rekey::{Rekeyed, Tried};
pub use rows::Rows;
pub use snapshot::{PackSnapshot, Snapshot, StoreSnapshot};
pub use verify::{VerifyOptions, VerifyProgress, VerifyReport};

use crate::card::Card;
use crate::evidence::EvidenceKey;
use crate::pack::disk::Disk;
use crate::store::draft::Draft;
use crate::store::{
    Cancel, CheckReport, Columns, FolderInfo, FolderView, Message, Part, Row, Sighting, Store, StoreInfo,
    StoreState, columns, rows as store_rows,
};
use crate::{
    ContentHash, Error, FolderId, FolderPath, Limits, MasterKey, ModSeq, StoreId, StoreNo, Uid, UidRanges,
};
use notify::Subscribers;
use parking_lot::{Mutex, RwLock};
use registry::Registry;
use shadow::Shadow;
use slot::{Opened, Slot};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use view::{Share, View};

/// How often what is remembered of the stores is written while there is archiving.
const REMEMBER_EVERY: Duration = Duration::from_secs(30);

/// `DATA/derived/STORE-ID`: derived files about a store that lie beside it.
fn derived_dir(data: &Path, id: StoreId) -> PathBuf {
    data.join("derived").join(hex::encode(id.0))
}

/// The open storage of an installation: many readers, one writer. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Storage {
    shared: Arc<Shared>,
    /// Dropped with the last clone.
    _end: Arc<End>,
}

/// Stops what works in the background once nobody holds the storage any more, so that it can be opened again.
#[derive(Debug)]
struct End(Arc<Shared>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.readers.stop();
        for store in self.0.open_stores() {
            store.renewal.stop();
            store.tail.stop();
        }
    }
}

/// What all clones share.
#[derive(Debug)]
pub(crate) struct Shared {
    disk: Arc<dyn Disk>,
    data: PathBuf,
    /// The index of store 0001 lies in `0001` below it; none: in the store's own directory.
    indexes: Option<PathBuf>,
    key: RwLock<MasterKey>,
    /// Signs heads of the evidence.
    signer: RwLock<Option<EvidenceKey>>,
    limits: Limits,
    /// Reads attachments.
    extractor: Option<Arc<dyn crate::TextExtractor>>,
    slots: RwLock<Vec<Arc<Slot>>>,
    view: RwLock<View>,
    /// Whoever writes holds it.
    turn: Mutex<()>,
    registry: Mutex<Registry>,
    subscribers: Arc<Subscribers>,
    /// Folders by the years of their messages.
    years: years::YearCache,
    readers: ahead::Readers,
    /// What went with each store that was detached or disabled.
    left: RwLock<HashMap<StoreId, Arc<left::Left>>>,
    /// A batch failed in one of its stores: the view stays as it is until the next opening, and nothing is written.
    torn: AtomicBool,
    /// Stores that have no other archive's folder under this archive's name, as far as was looked since a folder was renamed or a
    /// store came or went. To look costs the number of the archive's folders, which a batch must not.
    in_line: Mutex<HashSet<(StoreNo, String)>>,
    /// What was written of each store, and when.
    remembered: Mutex<(Instant, HashMap<StoreNo, Shadow>)>,
}

impl Shared {
    fn slot(&self, no: StoreNo) -> Result<Arc<Slot>, Error> {
        let slots = self.slots.read();
        let slot = slots.get(usize::from(no.0)).cloned();
        slot.ok_or_else(|| Error::Missing { what: format!("store {}", no.0) })
    }

    fn all_slots(&self) -> Vec<Arc<Slot>> {
        self.slots.read().clone()
    }

    fn open_stores(&self) -> Vec<Arc<Store>> {
        self.all_slots().iter().filter_map(|slot| slot.store().ok()).collect()
    }

    fn store(&self, no: StoreNo) -> Result<Arc<Store>, Error> {
        self.slot(no)?.store()
    }

    /// The store that takes new mail; a new one when it is full.
    fn current_for_writing(&self) -> Result<(StoreNo, Arc<Store>), Error> {
        let slots = self.all_slots();
        let current = slots.iter().find(|slot| slot.entry().state == StoreState::Current);
        let none = || Error::Refused {
            what: "no store is current, so nothing can be archived; make one: mailkeep store create".into(),
        };
        let slot = current.ok_or_else(none)?;
        let store = slot.store()?;
        let full = u64::from(store.next_msg().0) >= self.limits.max_store_messages;
        if full || (store.next_msg().0 > 0 && self.is_over(&store)) {
            drop(store);
            let no = self.create_store(None, None)?;
            return Ok((no, self.store(no)?));
        }
        Ok((slot.no, store))
    }

    /// Whether the store's months are over.
    fn is_over(&self, store: &Store) -> bool {
        let months = i64::from(self.limits.new_store_months);
        let first = store.packs.list().first().and_then(|first| store.packs.header(*first).ok());
        let Some(first) = first.filter(|_| months > 0) else { return false };
        period(first.created, months) < period(time::OffsetDateTime::now_utc().unix_timestamp(), months)
    }

    /// Makes one store's share of a batch durable; gives the folders that changed, by our numbers. [`Shared::refresh`] makes it
    /// visible.
    fn commit(&self, no: StoreNo, draft: Draft, mod_seq: ModSeq) -> Result<Vec<FolderId>, Error> {
        let changed = draft.commit(mod_seq)?;
        let entry = self.slot(no)?.entry();
        Ok(changed.into_iter().filter_map(|id| entry.ours(id)).collect())
    }

    /// Takes in what changed in these folders.
    fn refresh(&self, ids: &[FolderId]) {
        let shares = self.shares(Some(ids));
        self.view.write().refresh(&shares, ids);
    }

    /// A batch has reached some of its stores only: what they have of it is shown after the next opening.
    fn torn(&self) {
        self.torn.store(true, Ordering::Release);
    }

    fn shares(&self, ids: Option<&[FolderId]>) -> Vec<Share> {
        self.all_slots().iter().filter_map(|slot| slot.share(ids)).collect()
    }

    /// Builds the view anew: stores came or went. After a batch that failed in one of its stores it stays as it is until the next
    /// opening: what another store has of the batch would be shown without a mod-sequence that may be told.
    fn rebuild_view(&self) {
        if self.torn.load(Ordering::Acquire) {
            tracing::warn!("a batch failed half way: what came or went is shown after the next start");
            return;
        }
        let (shares, lefts) = (self.shares(None), self.lefts());
        *self.view.write() = View::new(&shares, &lefts);
        self.in_line.lock().clear();
    }

    /// Writes down what the open stores hold, for the day on which one can't be read.
    fn remember(&self) {
        let mut remembered = self.remembered.lock();
        remembered.0 = Instant::now();
        for slot in self.all_slots() {
            let Ok(store) = slot.store() else { continue };
            let batch = store.state.read().counters.batch;
            let before = remembered.1.get(&slot.no);
            if before.is_some_and(|before| before.batch == batch) {
                continue;
            }
            let id = store.packs.identity().id;
            let empty = Shadow::default();
            let done = Shadow::of(&store, before.unwrap_or(&empty)).and_then(|shadow| {
                shadow.save(&self.disk, &self.data, id)?;
                Ok(shadow)
            });
            match done {
                Ok(shadow) => {
                    remembered.1.insert(slot.no, shadow);
                }
                // It is a help for the day on which the store is missing, no more.
                Err(error) => tracing::warn!(%error, "what a store holds could not be noted down"),
            }
        }
    }

    fn remember_sometimes(&self) {
        let due = self.remembered.lock().0.elapsed() >= REMEMBER_EVERY;
        if due {
            self.remember();
        }
    }
}

/// The number of the calendar period of so many months (UTC) that a moment lies in.
fn period(secs: i64, months: i64) -> i64 {
    let Ok(date) = time::OffsetDateTime::from_unix_timestamp(secs) else { return 0 };
    (i64::from(date.year()) * 12 + i64::from(u8::from(date.month())) - 1).div_euclid(months)
}

impl Storage {
    fn new(shared: Arc<Shared>) -> Storage {
        Storage { _end: Arc::new(End(Arc::clone(&shared))), shared }
    }
    /// Makes DATA/stores with the first store, `0001`, durable on return.
    /// # Errors
    /// `Io` (also when there is a store already), `Key`.
    pub fn create(data: &Path, key: &MasterKey, limits: &Limits) -> Result<(), Error> {
        open::create(data, key, limits)
    }
    /// Opens the stores below DATA, and those elsewhere that belong to it; takes in complete batches above the databases'
    /// watermarks. A store that can't be read is named in [`Storage::stores`]; if none can, that is an error.
    /// # Errors
    /// `WrongKey`, `Version`, `Corrupt`, `Derived`, `Io`, `Registry`.
    pub fn open(data: &Path, key: &MasterKey, limits: Limits) -> Result<Storage, Error> {
        open::open(data, key, limits, None)
    }
    /// As [`Storage::open`]; the text that `extractor` finds in attachments is part of BODY. An installation that was opened without
    /// one before, or is later, makes its search indexes anew.
    /// # Errors
    /// As [`Storage::open`].
    pub fn open_with(
        data: &Path,
        key: &MasterKey,
        limits: Limits,
        extractor: Arc<dyn crate::TextExtractor>,
    ) -> Result<Storage, Error> {
        open::open(data, key, limits, Some(extractor))
    }
    /// The limits it was opened with.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.shared.limits
    }
    /// Waits until the indexes have committed all that is archived, then stops their threads. Called once, at the end.
    /// # Errors
    /// `Index`.
    pub fn close(&self) -> Result<(), Error> {
        self.shared.remember();
        let mut end = Ok(());
        for store in self.shared.open_stores() {
            store.renewal.stop();
            let closed = store.tail.close();
            end = end.and(closed).and_then(|()| store.db.compact());
        }
        end
    }
    /// Waits until the indexes have committed all that is archived now.
    /// # Errors
    /// `Index`, `Cancelled`.
    pub fn wait_for_index(&self, cancel: &Cancel) -> Result<(), Error> {
        for store in self.shared.open_stores() {
            store.tail.wait(store.next_msg(), cancel)?;
        }
        Ok(())
    }
    /// The stores, in the order in which they came.
    #[must_use]
    pub fn stores(&self) -> Vec<StoreInfo> {
        self.shared.all_slots().iter().filter_map(|slot| self.shared.info(slot)).collect()
    }
    /// Stores that take no more writes since one failed, by number, with the reason. One that is being written to at this moment
    /// is taken for well.
    #[must_use]
    pub fn latched(&self) -> Vec<(String, String)> {
        let cause = |slot: &Arc<Slot>| match &*slot.opened.read() {
            Opened::Open(store) => store.writer.try_lock().and_then(|writer| writer.check().err()),
            Opened::Absent { .. } | Opened::Off => None,
        };
        let all = self.shared.all_slots();
        all.iter().filter_map(|slot| Some((slot.entry().number.clone(), cause(slot)?.to_string()))).collect()
    }
    /// All folders, sorted by path.
    #[must_use]
    pub fn folders(&self) -> Vec<FolderInfo> {
        self.shared.view.read().sorted().map(|view| view.info.clone()).collect()
    }
    /// The folders of one archive, sorted by path (its top folder too if it holds messages).
    #[must_use]
    pub fn folders_of(&self, archive: &str) -> Vec<FolderInfo> {
        self.shared.view.read().below(archive).into_iter().map(|view| view.info.clone()).collect()
    }
    /// A folder as it stands now.
    #[must_use]
    pub fn view(&self, path: &FolderPath) -> Option<FolderView> {
        self.shared.view.read().by_path(path).cloned()
    }
    fn view_of(&self, folder: FolderId) -> Result<FolderView, Error> {
        let view = self.shared.view.read().get(folder).cloned();
        view.ok_or_else(|| Error::Missing { what: format!("folder number {}", folder.0) })
    }
    /// The rows of `uids` in the folder, rising; UIDs that the folder doesn't have are left out.
    #[must_use]
    pub fn rows(&self, view: &FolderView, uids: &UidRanges) -> Rows {
        Rows::new(&self.shared, view, uids, false)
    }
    /// As [`Storage::rows`], where of the rows only UID, flags and mod-sequence count: these are known of a missing store too.
    #[must_use]
    pub fn flag_rows(&self, view: &FolderView, uids: &UidRanges) -> Rows {
        Rows::new(&self.shared, view, uids, true)
    }
    /// All rows that a store has of a folder, cached and shared. Of [`Storage::all_mail`] all that each store has of the archive:
    /// more than it shows, where several stores have a message.
    /// # Errors
    /// Those of the database.
    pub fn columns(&self, view: &FolderView) -> Result<Vec<Arc<Columns>>, Error> {
        view.parts.iter().map(|part| columns::columns(&self.shared.store(part.store)?, part)).collect()
    }
    /// The store that holds a part of a folder.
    pub(crate) fn store_of(&self, part: &Part) -> Result<Arc<Store>, Error> {
        self.shared.store(part.store)
    }
    /// The store of a row.
    pub(crate) fn store_numbered(&self, no: StoreNo) -> Result<Arc<Store>, Error> {
        self.shared.store(no)
    }
    /// A message's card.
    /// # Errors
    /// `Missing`, `Derived`, `Unavailable`.
    pub fn card(&self, row: &Row) -> Result<Card, Error> {
        store_rows::Groups::default().card(&self.shared.store(row.store)?, row.msg)
    }
    /// The first words of a message's text, at most 200 characters (RFC 8970); empty if it has none.
    /// # Errors
    /// `Missing`, `Corrupt`, `WrongContent`, `Unavailable`.
    pub fn preview(&self, row: &Row) -> Result<Arc<str>, Error> {
        self.shared.store(row.store)?.preview(row.msg)
    }
    /// Opens a message.
    /// # Errors
    /// `Missing`, `Unavailable`.
    pub fn message(&self, row: &Row) -> Result<Message, Error> {
        self.shared.store(row.store)?.message(row.msg)
    }
    /// The source's bytes of a placement, bit for bit: prefix, then the message with its own line ends.
    /// # Errors
    /// `Missing`, `Corrupt`, `WrongContent`, `Unavailable`; `Io` of `out` under the path `-`.
    pub fn cat(&self, folder: FolderId, uid: Uid, out: &mut dyn std::io::Write) -> Result<(), Error> {
        let view = self.view_of(folder)?;
        let missing = || Error::Missing { what: format!("UID {uid} of this folder") };
        let part = view.parts.iter().find(|part| part.uids.contains(uid)).ok_or_else(missing)?;
        self.shared.store(part.store)?.cat(part.folder, uid, out)
    }
    /// Whether a folder has this path, or had it before it was renamed or removed: only then there are sightings.
    #[must_use]
    pub fn was_there(&self, path: &FolderPath) -> bool {
        self.shared.view.read().by_path(path).is_some()
            || self.shared.open_stores().iter().any(|store| store.state.read().former.contains_key(path))
    }
    /// The sightings of the message with this identity in the folder of this path, and in those that had it before:
    /// committed ones; what is in its folder first, what was deleted last, each kind rising by UID.
    /// # Errors
    /// Those of the database; `Unavailable` when a store that knows the folder can't be asked: what is there
    /// already can't be told then.
    pub fn sightings(&self, path: &FolderPath, hash: &ContentHash) -> Result<Vec<Sighting>, Error> {
        let slots = self.shared.all_slots();
        let mut ids: BTreeSet<FolderId> =
            self.shared.view.read().by_path(path).map(|view| view.info.id).into_iter().collect();
        for slot in &slots {
            if let Opened::Open(store) = &*slot.opened.read() {
                let state = store.state.read();
                let former = state.former.get(path).into_iter().flatten();
                ids.extend(former.filter_map(|theirs| slot.entry().ours(*theirs)));
            }
        }
        let mut all = Vec::new();
        for slot in &slots {
            let entry = slot.entry();
            for id in &ids {
                let Some(theirs) = entry.theirs(*id) else { continue };
                let store = match &*slot.opened.read() {
                    Opened::Open(store) => Arc::clone(store),
                    Opened::Absent { why, shadow } if shadow.folders.contains_key(&theirs) => {
                        return Err(slot.unavailable(why));
                    }
                    Opened::Absent { .. } | Opened::Off => continue,
                };
                if store.state.read().folders.contains_key(&theirs) {
                    let found = store.sightings(theirs, hash)?;
                    all.extend(found.into_iter().map(|sighting| Sighting { folder: *id, ..sighting }));
                }
            }
        }
        all.sort_by_key(|sighting| (sighting.there, sighting.uid));
        Ok(all)
    }
    /// Begins the one batch that can be open; waits for another's end, and for the index when its tail is full.
    /// # Errors
    /// `Latched`, `Cancelled`, `Unavailable`, `Refused`.
    pub fn batch(&self, cancel: &Cancel) -> Result<Batch<'_>, Error> {
        Batch::begin(&self.shared, cancel)
    }
    /// Calls `notify` with the changed folders after every commit, on the writer's thread: it must be quick.
    pub fn subscribe(&self, notify: impl Fn(&[FolderId]) + Send + Sync + 'static) -> Subscription {
        Subscribers::add(&self.shared.subscribers, Arc::new(notify))
    }
    /// Reads everything again, as [`Storage::verify`], and gives what is damaged in words.
    /// # Errors
    /// `Cancelled`; damage is in the report, not an error. `progress` gets bytes done and in all.
    pub fn check(&self, cancel: &Cancel, progress: &mut dyn FnMut(u64, u64)) -> Result<CheckReport, Error> {
        let mut damage = Vec::new();
        let report = self.verify(
            &VerifyOptions::default(),
            cancel,
            &mut |p| progress(p.done, p.total),
            &mut |found| {
                damage.push(found.to_string());
            },
        )?;
        if report.untold > 0 {
            damage.push(format!("and {} further damages", report.untold));
        }
        Ok(CheckReport { records: report.records, messages: report.messages, damage })
    }
}
