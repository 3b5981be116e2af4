//! What a backup copies: every store's packs at one moment between two batches, and the list of stores.
//!
//! Invariant: all that a snapshot holds was committed, in every store the same batches; archiving goes on meanwhile and nothing
//! of it is in the snapshot. Derived files are no part of it. Where copies go is the caller's business.

use super::registry::Registry;
use super::slot::Opened;
use super::{Shared, Storage};
use crate::pack::{Frozen, PackId};
use crate::store::Store;
use crate::{Cancel, Error, ModSeq};
use parking_lot::MutexGuard;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a waiting caller looks whether it was cancelled.
const CANCEL_EVERY: Duration = Duration::from_millis(50);
/// UIDs that a restore leaves out in every folder: more than a lost tail can have given.
const UIDS_LEFT_OUT: u64 = 1_000_000;
/// Mod-sequences that a restore leaves out.
const MOD_SEQS_LEFT_OUT: u64 = 1 << 32;

/// All stores at one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// The installation's id, in hexadecimal digits.
    pub installation: String,
    /// The stores that can be read.
    pub stores: Vec<StoreSnapshot>,
    /// Those that can't, or are switched off: number, id, and why.
    pub absent: Vec<(String, String, String)>,
    /// `stores/stores.toml` for a place where each store lies in the directory of its number.
    pub registry: String,
}

/// One store at that moment.
#[derive(Debug)]
pub struct StoreSnapshot {
    /// Its number: the directory's name.
    pub number: String,
    /// Its id, in hexadecimal digits.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Messages.
    pub messages: u64,
    /// Placements.
    pub placements: u64,
    /// The last batch.
    pub batch: u64,
    /// Its packs, rising.
    pub packs: Vec<PackSnapshot>,
    /// Packs that can't be opened: the file's name and why.
    pub unopened: Vec<(String, String)>,
}

impl StoreSnapshot {
    /// Whether a compaction put all that stood in the pack of this file name into others.
    #[must_use]
    pub fn replaced(&self, name: &str) -> bool {
        let highest = self.packs.iter().filter_map(|pack| pack.0.replaces()).max();
        PackId::from_file_name(name).is_some_and(|id| highest.is_some_and(|highest| id <= highest))
    }
}

/// One pack at that moment.
#[derive(Debug)]
pub struct PackSnapshot(Frozen);

impl PackSnapshot {
    /// The file's name.
    #[must_use]
    pub fn name(&self) -> String {
        self.0.name()
    }
    /// Bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.len()
    }
    /// Reads up to `into.len()` bytes at `offset`; fewer only at the end.
    /// # Errors
    /// `Io`.
    pub fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Error> {
        self.0.read_at(offset, into)
    }
    /// Opens every record of the copy in `path`, from `from` on (0, or what an earlier snapshot's pack had): the first
    /// damage, if any.
    /// # Errors
    /// `Io`, `Cancelled`.
    pub fn check_copy(&self, path: &Path, from: u64, cancel: &Cancel) -> Result<Option<Error>, Error> {
        self.0.check_copy(path, from, cancel)
    }
}

impl Storage {
    /// All stores as the last batch left them; waits for one that is being written.
    /// # Errors
    /// `Cancelled`, `Io`.
    pub fn snapshot(&self, cancel: &Cancel) -> Result<Snapshot, Error> {
        let shared = &self.shared;
        let _turn = shared.wait_for_turn(cancel)?;
        let registry = shared.registry.lock().clone();
        let (mut stores, mut absent) = (Vec::new(), Vec::new());
        for slot in shared.all_slots().into_iter().filter(|slot| !slot.is_detached()) {
            let entry = slot.entry();
            match &*slot.opened.read() {
                Opened::Open(store) => stores.push(snapshot(store, &entry.number, &entry.name)?),
                Opened::Absent { why, .. } => {
                    absent.push((entry.number.clone(), entry.id.clone(), why.clone()));
                }
                Opened::Off => {
                    let why = "it is disabled or detached".to_owned();
                    absent.push((entry.number.clone(), entry.id.clone(), why));
                }
            }
        }
        let installation = registry.installation.clone();
        Ok(Snapshot { installation, stores, absent, registry: here(registry)? })
    }

    /// Makes sure that no number which a lost tail may have given is given again: after a restore from a backup that may be older
    /// than what clients saw. Every folder's UIDs go on a million higher, mod-sequences 2^32 higher. Gives the number of
    /// folders. Where the current store did not come back, a new one is made.
    /// # Errors
    /// `Latched`, `Io`, `Limit`.
    pub fn raise_floors(&self, cancel: &Cancel) -> Result<u64, Error> {
        let mut batch = match self.batch(cancel) {
            Err(Error::Unavailable { .. } | Error::Refused { .. }) => {
                self.shared.create_store(None, None)?;
                self.batch(cancel)?
            }
            other => other?,
        };
        batch.leave_out(UIDS_LEFT_OUT, MOD_SEQS_LEFT_OUT)?;
        let folders = self.folders().len();
        batch.commit()?;
        Ok(folders as u64)
    }
}

impl Shared {
    fn wait_for_turn(&self, cancel: &Cancel) -> Result<MutexGuard<'_, ()>, Error> {
        loop {
            cancel.check()?;
            if let Some(turn) = self.turn.try_lock_for(CANCEL_EVERY) {
                return Ok(turn);
            }
        }
    }
}

fn snapshot(store: &Store, number: &str, name: &str) -> Result<StoreSnapshot, Error> {
    // What is written to the packs outside a batch's turn (a compaction) lies beyond the watermark.
    let counters = store.state.read().counters;
    let mark = counters.watermark;
    let mut packs = Vec::new();
    for id in store.packs.list() {
        // One whose header is damaged is lost for a copy, though its records are read.
        if store.packs.is_adopted(id) {
            continue;
        }
        let len = match mark {
            Some(mark) if id < mark.pack => store.packs.len(id)?,
            Some(mark) if id == mark.pack => mark.offset,
            _ => store.packs.start(id)?,
        };
        packs.push(PackSnapshot(store.packs.freeze(id, len)?));
    }
    let mut unopened = Vec::new();
    for pack in store.packs.unopened() {
        // A header that a crash tore is followed by nothing.
        if store.packs.first_record(pack.pack)?.is_some() {
            unopened.push((pack.pack.file_name(), pack.error.to_string()));
        }
    }
    Ok(StoreSnapshot {
        number: number.to_owned(),
        id: hex::encode(store.packs.identity().id.0),
        name: name.to_owned(),
        messages: u64::from(counters.next_msg),
        placements: counters.placements,
        batch: counters.batch,
        packs,
        unopened,
    })
}

/// The list of stores for a place where all of them lie below DATA/stores.
fn here(mut registry: Registry) -> Result<String, Error> {
    for entry in &mut registry.stores {
        entry.path = PathBuf::from(&entry.number);
    }
    registry.text()
}

impl super::Batch<'_> {
    /// Raises the floors of every folder's numbers.
    fn leave_out(&mut self, uids: u64, mod_seqs: u64) -> Result<(), Error> {
        use super::batch::uid;
        use crate::store::facts::{Fact, FloorsFact};
        self.mod_seq = ModSeq(self.mod_seq.0.saturating_add(mod_seqs));
        let mod_seq = self.mod_seq;
        let folders: Vec<_> = self.shared.view.read().sorted().map(|view| view.info.id).collect();
        for folder in folders {
            self.in_current(folder)?;
            let target = self.target(folder)?;
            let (next, archive) = (target.uid_next, target.path.archive().to_owned());
            // The very last UIDs of a folder can't be left out, only used up.
            let limit = u64::from(u32::MAX) - 1;
            let uid_floor = uid(next.saturating_add(uids).min(limit))?;
            let archive_uid = uid(self.archive_next(&archive).saturating_add(uids).min(limit))?;
            self.current()?.change(Fact::Floors(FloorsFact { folder, uid: uid_floor, mod_seq, archive_uid }));
        }
        Ok(())
    }
}
