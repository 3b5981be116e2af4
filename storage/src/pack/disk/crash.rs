//! A disk in memory that can fail at its Nth call, stop at its Nth sync or change, and keep, lose, tear or reorder what was
//! not synced.
//!
//! Invariant: what a successful sync covered survives every crash; of the rest, any part may, in any order. What a failed
//! sync was meant to cover never becomes durable for certain: the system may have dropped it, and a later sync doesn't know.
//! Names (files made, renamed, removed; directories) are as fleeting as bytes until their directory is synced.

use super::{Disk, DiskFile};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a disk writes whole or not at all.
const SECTOR_BYTES: usize = 512;

/// What becomes of writes and names that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// All of it survives: the process died, the machine lived.
    Keep,
    /// All of it is lost.
    Drop,
    /// Each write survives, or is lost, or survives up to a sector, as the seed has it.
    Tear(u64),
    /// As `Tear`, but the writes reach the disk in any order, over all files, and any sectors of a torn one may be missing.
    Shuffle(u64),
}

impl Loss {
    /// One of them all, by seed.
    pub(crate) fn any(seed: u64) -> Loss {
        match seed % 8 {
            0 => Loss::Keep,
            1 => Loss::Drop,
            2..5 => Loss::Tear(seed),
            _ => Loss::Shuffle(seed),
        }
    }
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// EIO; a read may have filled a part of the buffer, a write may have written a part.
    Broken,
    /// ENOSPC: what needs room fails, a write after a part of it; reading goes on.
    Full,
}

/// For how long calls fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    /// One call does.
    Once,
    /// All do from then on.
    Forever,
}

/// Numbers that look like chance: SplitMix64, enough to choose by.
#[derive(Debug, Clone)]
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `among`, which is not 0.
    pub(crate) fn below(&mut self, among: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % among
    }

    /// Another order.
    pub(crate) fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}

/// The disk; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct CrashDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    calls: u64,
    syncs: u64,
    changes: u64,
    fault: Option<(u64, Fault, Span)>,
    crash_at_sync: Option<u64>,
    crash_at_change: Option<u64>,
    crashed: bool,
    names: Names,
    durable_names: Names,
    log: Vec<Entry<NameChange>>,
    files: Vec<Inode>,
}

type Names = BTreeMap<PathBuf, Node>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Node {
    Dir,
    File(usize),
}

/// A change and what is known of its durability.
#[derive(Debug, Clone)]
struct Entry<T> {
    change: T,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The next sync makes it durable.
    Pending,
    /// A sync failed: no later one helps.
    Unsure,
    /// Durable.
    Synced,
}

#[derive(Debug, Clone)]
enum NameChange {
    Make(PathBuf, Node),
    /// Within one directory: one step.
    Rename(PathBuf, PathBuf, Node),
    Remove(PathBuf),
}

impl NameChange {
    fn apply(&self, names: &mut Names) {
        match self {
            NameChange::Make(path, node) => drop(names.insert(path.clone(), *node)),
            NameChange::Rename(from, to, node) => {
                names.remove(from);
                names.insert(to.clone(), *node);
            }
            NameChange::Remove(path) => drop(names.remove(path)),
        }
    }

    fn dir(&self) -> Option<&Path> {
        let (NameChange::Make(path, _) | NameChange::Rename(path, ..) | NameChange::Remove(path)) = self;
        path.parent()
    }
}

#[derive(Debug, Default, Clone)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    log: Vec<Entry<Change>>,
}

impl Inode {
    fn whole(bytes: Vec<u8>) -> Inode {
        Inode { now: bytes.clone(), durable: bytes, log: Vec::new() }
    }
}

#[derive(Debug, Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Length(u64),
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Length(len) => to.resize(*len as usize, 0),
            Change::Write(offset, bytes) => {
                let end = *offset as usize + bytes.len();
                if to.len() < end {
                    to.resize(end, 0);
                }
                to[*offset as usize..end].copy_from_slice(bytes);
            }
        }
    }

    /// What of it reaches the disk.
    fn torn(self, loss: Loss, dice: &mut Dice) -> Vec<Change> {
        match (loss, self) {
            (Loss::Keep, change) => vec![change],
            (Loss::Drop, _) => Vec::new(),
            (_, Change::Length(len)) => {
                if dice.below(3) == 0 {
                    Vec::new()
                } else {
                    vec![Change::Length(len)]
                }
            }
            (_, Change::Write(offset, bytes)) => match (dice.below(3), loss) {
                (0, _) => Vec::new(),
                (1, Loss::Shuffle(_)) => sectors(offset, &bytes, |_| dice.below(2) == 0),
                (1, _) => {
                    let whole = dice.below(bytes.len() as u64 / SECTOR_BYTES as u64 + 1) as usize;
                    sectors(offset, &bytes, |at| at < whole)
                }
                (_, _) => vec![Change::Write(offset, bytes)],
            },
        }
    }
}

/// Those sectors of a write (numbered from its first one) that reach the disk.
fn sectors(offset: u64, bytes: &[u8], mut reaches: impl FnMut(usize) -> bool) -> Vec<Change> {
    let first = (SECTOR_BYTES - offset as usize % SECTOR_BYTES).min(bytes.len());
    let mut all = Vec::new();
    let (mut at, mut end, mut number) = (0, first, 0);
    while at < bytes.len() {
        if reaches(number) {
            all.push(Change::Write(offset + at as u64, bytes[at..end].to_vec()));
        }
        (at, end, number) = (end, (end + SECTOR_BYTES).min(bytes.len()), number + 1);
    }
    all
}

impl CrashDisk {
    /// An empty disk that works.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The call number `n` from now on (from 0) fails; those after it work.
    pub(crate) fn fail_at_call(&self, n: u64) {
        self.fail(n, Fault::Broken, Span::Once);
    }

    /// The call number `n` from now on (from 0) fails, or the first after it that such a fault can hit.
    pub(crate) fn fail(&self, n: u64, fault: Fault, span: Span) {
        let mut state = self.0.lock();
        state.fault = Some((state.calls + n, fault, span));
    }

    /// All calls work again, and no stop is to come.
    pub(crate) fn heal(&self) {
        let mut state = self.0.lock();
        (state.fault, state.crash_at_sync, state.crash_at_change) = (None, None, None);
    }

    /// The sync number `n` from now on (from 0) does not happen: the machine stops there.
    pub(crate) fn crash_at_sync(&self, n: u64) {
        let mut state = self.0.lock();
        state.crash_at_sync = Some(state.syncs + n);
    }

    /// The machine stops within the change number `n` from now on (from 0): a write, a length, a name, or a sync.
    pub(crate) fn crash_at_change(&self, n: u64) {
        let mut state = self.0.lock();
        state.crash_at_change = Some(state.changes + n);
    }

    /// Whether it has crashed.
    pub(crate) fn crashed(&self) -> bool {
        self.0.lock().crashed
    }

    /// Calls so far.
    pub(crate) fn calls(&self) -> u64 {
        self.0.lock().calls
    }

    /// Changes so far, syncs counted.
    pub(crate) fn changes(&self) -> u64 {
        self.0.lock().changes
    }

    /// The disk as the next start of the machine finds it.
    pub(crate) fn after(&self, loss: Loss) -> CrashDisk {
        let state = self.0.lock();
        let mut dice = Dice(match loss {
            Loss::Tear(seed) | Loss::Shuffle(seed) => seed,
            Loss::Keep | Loss::Drop => 0,
        });
        // All, none, or some of the names: file systems with a journal are of the first two kinds.
        let some_names = dice.below(4);
        let (mut names, mut lost_dirs) = (state.durable_names.clone(), Vec::new());
        for entry in &state.log {
            let kept = match loss {
                _ if entry.fate == Fate::Synced => true,
                Loss::Keep => true,
                Loss::Drop => false,
                Loss::Tear(_) | Loss::Shuffle(_) => match some_names {
                    0 => true,
                    1 => false,
                    _ => dice.below(2) == 0,
                },
            };
            if kept {
                entry.change.apply(&mut names);
            } else if let NameChange::Make(path, Node::Dir) = &entry.change {
                lost_dirs.push(path);
            }
        }
        // Whatever lies in a lost directory can't be found.
        names.retain(|path, _| !lost_dirs.iter().any(|dir| path.starts_with(dir)));
        let files =
            state.files.iter().map(|file| Inode::whole(Self::survivor(file, loss, &mut dice))).collect();
        let state = State { names: names.clone(), durable_names: names, files, ..State::default() };
        CrashDisk(Arc::new(Mutex::new(state)))
    }

    fn survivor(file: &Inode, loss: Loss, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = file.durable.clone();
        let mut unsynced = Vec::new();
        let flush = |unsynced: &mut Vec<Change>, bytes: &mut Vec<u8>, dice: &mut Dice| {
            if matches!(loss, Loss::Shuffle(_)) {
                dice.shuffle(unsynced);
            }
            unsynced.drain(..).for_each(|change| change.apply(bytes));
        };
        for entry in &file.log {
            if entry.fate == Fate::Synced {
                flush(&mut unsynced, &mut bytes, dice);
                entry.change.apply(&mut bytes);
            } else {
                unsynced.extend(entry.change.clone().torn(loss, dice));
            }
        }
        flush(&mut unsynced, &mut bytes, dice);
        bytes
    }

    /// The paths of all files.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        let state = self.0.lock();
        let files = state.names.iter().filter(|(_, node)| matches!(node, Node::File(_)));
        files.map(|(path, _)| path.clone()).collect()
    }

    /// Changes a file's bytes behind everyone's back.
    pub(crate) fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock();
        let Node::File(file) = state.names[path] else { panic!("{} is a directory", path.display()) };
        let mut bytes = state.files[file].now.clone();
        change(&mut bytes);
        state.files[file] = Inode::whole(bytes);
    }

    /// A copy of a file's bytes.
    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        let state = self.0.lock();
        let Node::File(file) = state.names[path] else { panic!("{} is a directory", path.display()) };
        state.files[file].now.clone()
    }

    /// Puts a file there.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.0.lock();
        state.files.push(Inode::whole(bytes.to_vec()));
        let file = Node::File(state.files.len() - 1);
        state.names.insert(path.into(), file);
        state.durable_names.insert(path.into(), file);
    }

    /// A call that changes nothing.
    fn look<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.lock();
        match state.begin(false)? {
            None => work(&mut state),
            Some(fault) => Err(fault.error()),
        }
    }

    /// A call that changes names or bytes. Where the call fails or the machine stops, `part` may still happen.
    fn change<T>(
        &self,
        part: impl FnOnce(&mut State),
        work: impl FnOnce(&mut State) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut state = self.0.lock();
        let fault = state.begin(true)?;
        if state.stops() {
            part(&mut state);
            return Err(io::Error::other("the test's machine stops here"));
        }
        match fault {
            None => work(&mut state),
            Some(fault) => {
                part(&mut state);
                Err(fault.error())
            }
        }
    }

    fn sync(&self, failed: impl FnOnce(&mut State), done: impl FnOnce(&mut State)) -> io::Result<()> {
        let mut state = self.0.lock();
        let fault = state.begin(true)?;
        let number = state.syncs;
        state.syncs += 1;
        state.crashed |= state.crash_at_sync == Some(number);
        if state.stops() || state.crashed {
            return Err(io::Error::other("the test's machine stops here"));
        }
        match fault {
            None => done(&mut state),
            Some(fault) => {
                failed(&mut state);
                return Err(fault.error());
            }
        }
        Ok(())
    }

    fn name(&self, change: NameChange, check: impl FnOnce(&Names) -> io::Result<()>) -> io::Result<()> {
        let (maybe, whole) = (change.clone(), change);
        self.change(
            |state| state.log.push(Entry { change: maybe, fate: Fate::Pending }),
            |state| {
                check(&state.names)?;
                whole.apply(&mut state.names);
                state.log.push(Entry { change: whole, fate: Fate::Pending });
                Ok(())
            },
        )
    }
}

impl Fault {
    fn error(self) -> io::Error {
        io::Error::from_raw_os_error(match self {
            Fault::Broken => 5,
            Fault::Full => 28,
        })
    }
}

impl State {
    /// Counts the call; gives how it fails, if it does.
    fn begin(&mut self, changes: bool) -> io::Result<Option<Fault>> {
        let number = self.calls;
        self.calls += 1;
        if self.crashed {
            return Err(io::Error::other("the test's machine has stopped"));
        }
        match self.fault {
            Some((from, fault, span)) if number >= from && (changes || fault == Fault::Broken) => {
                if span == Span::Once {
                    self.fault = None;
                }
                Ok(Some(fault))
            }
            _ => Ok(None),
        }
    }

    /// Counts the change; whether the machine stops within it.
    fn stops(&mut self) -> bool {
        let number = self.changes;
        self.changes += 1;
        let stops = self.crash_at_change == Some(number);
        self.crashed |= stops;
        stops
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        match self.names.get(path) {
            Some(Node::File(file)) => Ok(*file),
            Some(Node::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn inside(change: &NameChange, dir: &Path) -> bool {
    change.dir() == Some(dir)
}

impl Disk for CrashDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.change(
            |_| (),
            |state| {
                if state.names.contains_key(path) {
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                state.files.push(Inode::default());
                let file = state.files.len() - 1;
                let change = NameChange::Make(path.into(), Node::File(file));
                change.apply(&mut state.names);
                state.log.push(Entry { change, fate: Fate::Pending });
                Ok(file)
            },
        )?;
        Ok(Arc::new(CrashFile { disk: self.clone(), file, write: true }))
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.look(|state| state.find(path))?;
        Ok(Arc::new(CrashFile { disk: self.clone(), file, write }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.look(|state| {
            let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
            let names = inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
            Ok(names.collect())
        })
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.name(NameChange::Make(dir.into(), Node::Dir), |names| match names.get(dir) {
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
            None => Ok(()),
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let file = Node::File(self.0.lock().find(from)?);
        if from.parent() == to.parent() {
            return self.name(NameChange::Rename(from.into(), to.into(), file), |_| Ok(()));
        }
        // Over two directories the two ends become durable one by one.
        self.name(NameChange::Make(to.into(), file), |_| Ok(()))?;
        self.name(NameChange::Remove(from.into()), |_| Ok(()))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.look(|state| state.find(path))?;
        self.name(NameChange::Remove(path.into()), |_| Ok(()))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let settle = |state: &mut State, fate: Fate| {
            let pending = state.log.iter_mut().filter(|e| e.fate == Fate::Pending && inside(&e.change, dir));
            pending.for_each(|entry| entry.fate = fate);
        };
        self.sync(
            |state| settle(state, Fate::Unsure),
            |state| {
                settle(state, Fate::Synced);
                let settled = state.log.iter().take_while(|entry| entry.fate == Fate::Synced).count();
                for entry in state.log.drain(..settled) {
                    entry.change.apply(&mut state.durable_names);
                }
            },
        )
    }
}

#[derive(Debug)]
struct CrashFile {
    disk: CrashDisk,
    file: usize,
    write: bool,
}

impl CrashFile {
    fn change(&self, change: Change) -> io::Result<()> {
        if !self.write {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let begun = match &change {
            Change::Write(offset, bytes) => {
                let part = bytes.len() / 2;
                (part > 0).then(|| Change::Write(*offset, bytes[..part].to_vec()))
            }
            Change::Length(_) => None,
        };
        let put = |state: &mut State, change: Change| {
            let file = &mut state.files[self.file];
            change.apply(&mut file.now);
            file.log.push(Entry { change, fate: Fate::Pending });
        };
        self.disk.change(
            |state| begun.into_iter().for_each(|change| put(state, change)),
            |state| {
                put(state, change);
                Ok(())
            },
        )
    }
}

impl DiskFile for CrashFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(Change::Write(offset, bytes.to_vec()))
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let mut copy = |state: &State, len: usize| {
            let bytes = &state.files[self.file].now;
            let rest = bytes.get(offset as usize..).unwrap_or_default();
            let len = rest.len().min(into.len()).min(len);
            into[..len].copy_from_slice(&rest[..len]);
            len
        };
        let mut state = self.disk.0.lock();
        match state.begin(false)? {
            None => Ok(copy(&state, usize::MAX)),
            Some(fault) => {
                copy(&state, 100);
                Err(fault.error())
            }
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let settle = |state: &mut State, fate: Fate| {
            let log = &mut state.files[self.file].log;
            log.iter_mut().filter(|e| e.fate == Fate::Pending).for_each(|entry| entry.fate = fate);
        };
        self.disk.sync(
            |state| settle(state, Fate::Unsure),
            |state| {
                settle(state, Fate::Synced);
                let Inode { durable, log, .. } = &mut state.files[self.file];
                let settled = log.iter().take_while(|entry| entry.fate == Fate::Synced).count();
                log.drain(..settled).for_each(|entry| entry.change.apply(durable));
            },
        )
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.look(|state| Ok(state.files[self.file].now.len() as u64))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::Length(len))
    }
}

#[test]
fn only_what_was_synced_survives_every_crash() {
    let disk = CrashDisk::new();
    let (dir, path) = (Path::new("d"), Path::new("d/f"));
    let file = disk.create(path).unwrap();
    file.write_at(0, b"one").unwrap();
    assert!(disk.after(Loss::Drop).open(path, false).is_err(), "neither name nor bytes");
    file.sync_data().unwrap();
    assert!(disk.after(Loss::Drop).open(path, false).is_err(), "bytes without a name");
    disk.sync_dir(dir).unwrap();
    file.write_at(3, b"two").unwrap();
    assert_eq!(disk.after(Loss::Drop).bytes(path), b"one");
    assert_eq!(disk.after(Loss::Keep).bytes(path), b"onetwo");
    disk.crash_at_sync(0);
    assert!(file.sync_data().is_err());
    assert!(file.write_at(6, b"three").is_err(), "nothing works after the crash");
    assert!(disk.crashed());
    for seed in 0..20 {
        assert!(disk.after(Loss::any(seed)).bytes(path).starts_with(b"one"));
    }
    let disk = CrashDisk::new();
    disk.fail_at_call(1);
    let file = disk.create(path).unwrap();
    assert!(file.write_at(0, b"x").is_err());
    file.write_at(0, b"y").unwrap();
    assert_eq!((disk.bytes(path), disk.calls(), disk.changes()), (b"y".to_vec(), 3, 3));
}

/// What can be found after a crash, over many seeds.
#[cfg(test)]
fn outcomes<T: Ord>(disk: &CrashDisk, look: impl Fn(CrashDisk) -> T) -> std::collections::BTreeSet<T> {
    (0..400).map(|seed| look(disk.after(Loss::any(seed)))).collect()
}

#[test]
fn writes_that_were_not_synced_come_in_any_order() {
    let disk = CrashDisk::new();
    let path = Path::new("d/f");
    let file = disk.create(path).unwrap();
    file.write_at(0, b"....").unwrap();
    file.sync_data().unwrap();
    disk.sync_dir(Path::new("d")).unwrap();
    for (offset, byte) in [(0, b"a"), (1, b"b"), (2, b"c"), (0, b"A")] {
        file.write_at(offset, byte).unwrap();
    }
    let found = outcomes(&disk, |disk| String::from_utf8(disk.bytes(path)).unwrap());
    // Every subset, and of two writes to one place either may be the last.
    assert_eq!(found.len(), 12, "{found:?}");
    let large = vec![7; 3 * SECTOR_BYTES];
    file.sync_data().unwrap();
    file.write_at(100, &large).unwrap();
    let torn = outcomes(&disk, |disk| disk.bytes(path).iter().filter(|b| **b == 7).count());
    assert!(torn.len() > 5 && torn.iter().any(|count| !count.is_multiple_of(SECTOR_BYTES)), "{torn:?}");
}

#[test]
fn names_are_as_fleeting_as_bytes() {
    let disk = CrashDisk::new();
    let (a, b, dir) = (Path::new("d/a"), Path::new("d/b"), Path::new("d"));
    disk.create_dir(dir).unwrap();
    assert!(disk.create_dir(dir).is_err());
    disk.create(a).unwrap();
    disk.rename(a, b).unwrap();
    disk.create(a).unwrap();
    disk.remove(a).unwrap();
    assert!(disk.remove(a).is_err());
    let seen = |disk: CrashDisk| disk.paths();
    let found = outcomes(&disk, seen);
    assert!(
        found.contains(&vec![]) && found.contains(&vec![a.to_owned()]) && found.contains(&vec![b.to_owned()])
    );
    disk.sync_dir(dir).unwrap();
    assert!(outcomes(&disk, seen).contains(&vec![]), "the directory's own name is not durable yet");
    disk.sync_dir(Path::new("")).unwrap();
    assert_eq!(outcomes(&disk, seen), [vec![b.to_owned()]].into());
}

#[test]
fn a_failed_sync_is_not_healed_by_another() {
    let disk = CrashDisk::new();
    let path = Path::new("f");
    let file = disk.create(path).unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    file.write_at(0, b"one").unwrap();
    disk.fail(0, Fault::Broken, Span::Once);
    assert!(file.sync_data().is_err());
    file.write_at(3, b"two").unwrap();
    file.sync_data().unwrap();
    assert_eq!(disk.after(Loss::Drop).bytes(path), b"\0\0\0two");
    assert_eq!(disk.after(Loss::Keep).bytes(path), b"onetwo");
}

#[test]
fn faults_come_once_or_for_ever_and_leave_half_a_write() {
    let disk = CrashDisk::new();
    let path = Path::new("f");
    let file = disk.create(path).unwrap();
    disk.fail(0, Fault::Full, Span::Once);
    let mut two = [0; 2];
    assert_eq!(file.read_at(0, &mut two).unwrap(), 0, "a full disk can be read");
    assert_eq!(file.write_at(0, b"1234").unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.bytes(path), b"12");
    file.write_at(0, b"1234").unwrap();
    disk.fail(1, Fault::Broken, Span::Forever);
    file.len().unwrap();
    assert!(file.read_at(0, &mut two).is_err() && file.len().is_err());
    disk.heal();
    assert_eq!(file.read_at(0, &mut two).unwrap(), 2);
    disk.crash_at_change(1);
    file.write_at(4, b"5").unwrap();
    assert!(file.write_at(5, b"67").is_err() && disk.crashed() && file.len().is_err());
    assert_eq!(disk.after(Loss::Keep).bytes(path), b"123456");
}
