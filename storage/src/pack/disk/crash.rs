//! A disk in memory that can fail at its Nth call, crash at its Nth sync, and keep, lose or tear what was not synced.
//!
//! Invariant: what a successful sync covered survives every crash; of the rest, any part may.

use super::{Disk, DiskFile};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What becomes of writes and names that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// All of it survives: the process died, the machine lived.
    Keep,
    /// All of it is lost.
    Drop,
    /// Each write survives, or is lost, or survives up to a sector, as the seed has it.
    Tear(u64),
}

/// The disk; clones are the same disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct CrashDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    calls: u64,
    syncs: u64,
    fail_at_call: Option<u64>,
    crash_at_sync: Option<u64>,
    crashed: bool,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    files: Vec<Inode>,
}

#[derive(Debug, Default, Clone)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
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
}

impl CrashDisk {
    /// An empty disk that works.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The call number `n` from now on (from 0) fails; those after it work.
    pub(crate) fn fail_at_call(&self, n: u64) {
        let mut state = self.0.lock();
        state.fail_at_call = Some(state.calls + n);
    }

    /// The sync number `n` from now on (from 0) does not happen: the machine stops there.
    pub(crate) fn crash_at_sync(&self, n: u64) {
        let mut state = self.0.lock();
        state.crash_at_sync = Some(state.syncs + n);
    }

    /// Whether it has crashed.
    pub(crate) fn crashed(&self) -> bool {
        self.0.lock().crashed
    }

    /// Calls so far.
    pub(crate) fn calls(&self) -> u64 {
        self.0.lock().calls
    }

    /// The disk as the next start of the machine finds it.
    pub(crate) fn after(&self, loss: Loss) -> CrashDisk {
        let state = self.0.lock();
        let mut seed = if let Loss::Tear(seed) = loss { seed } else { 0 };
        // SplitMix64: enough to choose.
        let mut choose = |among: u64| {
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = seed;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ (z >> 31)) % among
        };
        let mut names = state.durable_names.clone();
        let mut files = Vec::new();
        for file in &state.files {
            let mut bytes = file.durable.clone();
            for change in &file.pending {
                match (loss, change) {
                    (Loss::Drop, _) => {}
                    (Loss::Keep, change) => change.apply(&mut bytes),
                    (Loss::Tear(_), change) => match (choose(3), change) {
                        (0, _) => {}
                        (1, Change::Write(offset, data)) => {
                            let sectors = choose(data.len() as u64 / 512 + 1) as usize;
                            Change::Write(*offset, data[..sectors * 512].to_vec()).apply(&mut bytes);
                        }
                        (_, change) => change.apply(&mut bytes),
                    },
                }
            }
            files.push(Inode { now: bytes.clone(), durable: bytes, pending: Vec::new() });
        }
        match loss {
            Loss::Keep => names = state.names.clone(),
            Loss::Tear(_) if choose(2) == 0 => names = state.names.clone(),
            Loss::Tear(_) | Loss::Drop => {}
        }
        let state = State { names: names.clone(), durable_names: names, files, ..State::default() };
        CrashDisk(Arc::new(Mutex::new(state)))
    }

    /// Changes a file's bytes behind everyone's back.
    pub(crate) fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.0.lock();
        let file = state.names[path];
        let mut bytes = state.files[file].now.clone();
        change(&mut bytes);
        state.files[file] = Inode { now: bytes.clone(), durable: bytes, pending: Vec::new() };
    }

    /// A copy of a file's bytes.
    pub(crate) fn bytes(&self, path: &Path) -> Vec<u8> {
        let state = self.0.lock();
        state.files[state.names[path]].now.clone()
    }

    /// Puts a file there.
    pub(crate) fn put(&self, path: &Path, bytes: &[u8]) {
        let mut state = self.0.lock();
        state.files.push(Inode { now: bytes.to_vec(), durable: bytes.to_vec(), pending: Vec::new() });
        let file = state.files.len() - 1;
        state.names.insert(path.into(), file);
        state.durable_names.insert(path.into(), file);
    }

    fn call<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.0.lock();
        let number = state.calls;
        state.calls += 1;
        if state.crashed || state.fail_at_call == Some(number) {
            return Err(io::Error::other("the test's disk fails here"));
        }
        work(&mut state)
    }

    fn sync<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        self.call(|state| {
            let number = state.syncs;
            state.syncs += 1;
            if state.crash_at_sync == Some(number) {
                state.crashed = true;
                return Err(io::Error::other("the test's machine stops here"));
            }
            work(state)
        })
    }

    fn find(state: &State, path: &Path) -> io::Result<usize> {
        state.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Disk for CrashDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.call(|state| {
            if state.names.contains_key(path) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            state.files.push(Inode::default());
            let file = state.files.len() - 1;
            state.names.insert(path.into(), file);
            Ok(file)
        })?;
        Ok(Arc::new(CrashFile { disk: self.clone(), file, write: true }))
    }

    fn open(&self, path: &Path, write: bool) -> io::Result<Arc<dyn DiskFile>> {
        let file = self.call(|state| Self::find(state, path))?;
        Ok(Arc::new(CrashFile { disk: self.clone(), file, write }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.call(|state| {
            let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
            let names = inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
            Ok(names.collect())
        })
    }

    fn create_dir(&self, _dir: &Path) -> io::Result<()> {
        self.call(|_| Ok(()))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.call(|state| {
            let file = Self::find(state, from)?;
            state.names.remove(from);
            state.names.insert(to.into(), file);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.call(|state| {
            Self::find(state, path)?;
            state.names.remove(path);
            Ok(())
        })
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.sync(|state| {
            let inside = |path: &PathBuf| path.parent() == Some(dir);
            state.durable_names.retain(|path, _| !inside(path));
            let now: Vec<_> = state.names.iter().filter(|(path, _)| inside(path)).collect();
            let now: Vec<_> = now.into_iter().map(|(path, &file)| (path.clone(), file)).collect();
            state.durable_names.extend(now);
            Ok(())
        })
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
        self.disk.call(|state| {
            if !self.write {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            let file = &mut state.files[self.file];
            change.apply(&mut file.now);
            file.pending.push(change);
            Ok(())
        })
    }
}

impl DiskFile for CrashFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.change(Change::Write(offset, bytes.to_vec()))
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        self.disk.call(|state| {
            let bytes = &state.files[self.file].now;
            let rest = bytes.get(offset as usize..).unwrap_or_default();
            let len = rest.len().min(into.len());
            into[..len].copy_from_slice(&rest[..len]);
            Ok(len)
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.sync(|state| {
            let file = &mut state.files[self.file];
            for change in std::mem::take(&mut file.pending) {
                change.apply(&mut file.durable);
            }
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.call(|state| Ok(state.files[self.file].now.len() as u64))
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
        assert!(disk.after(Loss::Tear(seed)).bytes(path).starts_with(b"one"));
    }
    let disk = CrashDisk::new();
    disk.fail_at_call(1);
    let file = disk.create(path).unwrap();
    assert!(file.write_at(0, b"x").is_err());
    file.write_at(0, b"y").unwrap();
    assert_eq!((disk.bytes(path), disk.calls()), (b"y".to_vec(), 3));
}
