//! Making a backup: what is new is added to the packs' copies, checked, and then the list is replaced.
//!
//! Invariant: a copy is only added to once its beginning is known to be what was copied and to be the pack's; what was added
//! counts once the list says so.

use super::manifest::{self, FileEntry, Manifest, StoreEntry, hex};
use super::small::Small;
use super::{PIECE_BYTES, Progress, sync_dir};
use crate::command::Failure;
use crate::data::Installation;
use anyhow::{Context, Result, anyhow, bail};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::Path;
use storage::{Cancel, PackSnapshot, Snapshot, StoreSnapshot};

/// Held by the one backup that writes to a directory; it also tells a first backup that was cut from a stranger's directory.
pub(super) const LOCK: &str = "backup.lock";
/// Bytes at both ends of a pack that are compared before its copy is believed to be one.
const END_BYTES: u64 = 64 << 10;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// The keys too.
    pub(crate) with_key: bool,
    /// Afterwards the whole backup is read again.
    pub(crate) verify_all: bool,
}

/// What was done.
#[derive(Debug)]
pub(crate) struct Made {
    /// The list that was written.
    pub(crate) manifest: Manifest,
    /// Bytes written.
    pub(crate) written: u64,
    /// Copies that were damaged and have been made again.
    pub(crate) mended: Vec<String>,
    /// What is damaged, in words.
    pub(crate) damage: Vec<String>,
}

/// Brings the backup in `dir` up to date.
pub(crate) fn run(
    installation: &Installation,
    dir: &Path,
    wanted: Wanted,
    cancel: &Cancel,
    progress: &mut Progress<'_>,
) -> Result<Made, Failure> {
    let root = installation.data.root();
    let _lock = claim(dir, root)?;
    let before = Manifest::load(dir)?;
    let id = installation.storage.installation();
    if let Some(before) = before.as_ref().filter(|before| before.installation != id) {
        return Err(Failure::from(anyhow!(
            "{} holds the backup of another installation ({}); use another directory",
            dir.display(),
            before.installation
        )));
    }
    let number = before.as_ref().map_or(1, |before| before.number + 1);
    let mut small = Small::begin(root, dir, number)?;
    // First what tells of the mail, then the mail: no account is ahead of it.
    small.database(installation)?;
    small.rest(&installation.data)?;
    if wanted.with_key {
        small.keys(installation)?;
    }
    let snapshot = installation.storage.snapshot(cancel)?;
    small.write("stores/stores.toml", snapshot.registry.as_bytes())?;
    small.sync()?;
    let key_id = installation.key.lock().id.clone();
    let mut list = Manifest::new(number, id, key_id, wanted.with_key);
    list.files = std::mem::take(&mut small.files);
    let mut work = Work {
        dir,
        before: before.as_ref(),
        cancel,
        written: list.bytes(),
        mended: Vec::new(),
        damage: Vec::new(),
    };
    work.stores(&snapshot, &mut list, progress)?;
    write_list(dir, &list)?;
    let Work { written, mended, mut damage, .. } = work;
    tidy(dir, &list)?;
    if wanted.verify_all {
        damage.extend(super::verify(dir, &list, cancel, progress).map_err(|error| stopped(error, cancel))?);
    }
    Ok(Made { manifest: list, written, mended, damage })
}

fn stopped(error: anyhow::Error, cancel: &Cancel) -> Failure {
    match cancel.check() {
        Err(cancelled) => cancelled.into(),
        Ok(()) => error.into(),
    }
}

/// Takes the directory: a new or empty one, or one with a backup in it; keeps other backups out.
fn claim(dir: &Path, root: &Path) -> Result<File> {
    let shown = || dir.display().to_string();
    match DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error).with_context(shown),
        _ => {}
    }
    let (real, data) = (dir.canonicalize().with_context(shown)?, root.canonicalize()?);
    if real.starts_with(&data) || data.starts_with(&real) {
        bail!(
            "{} and the data directory {} lie in each other; a backup belongs elsewhere",
            shown(),
            data.display()
        );
    }
    let (lock, list) = (dir.join(LOCK), dir.join(manifest::NAME));
    if !lock.exists() && !list.exists() {
        let mut entries = std::fs::read_dir(dir).with_context(shown)?;
        if let Some(entry) = entries.next() {
            let name = entry.with_context(shown)?.file_name();
            bail!(
                "{} is not empty (it has {}) and holds no backup; name a new directory",
                shown(),
                name.display()
            );
        }
    }
    let file = OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(&lock);
    let file = file.with_context(|| lock.display().to_string())?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another backup writes to {}; try again when it is done", shown())
        }
        Err(TryLockError::Error(error)) => Err(error).with_context(|| lock.display().to_string()),
    }
}

/// Replaces the list; durable on return.
fn write_list(dir: &Path, list: &Manifest) -> Result<()> {
    let (path, draft) = (dir.join(manifest::NAME), dir.join("backup.json.new"));
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| draft.display().to_string());
        }
        _ => {}
    }
    crate::tls::write_new(&draft, 0o600, list.text()?.as_bytes())?;
    sync_dir(dir)?;
    std::fs::rename(&draft, &path).with_context(|| path.display().to_string())?;
    sync_dir(dir)
}

/// Removes what no list names any more: the small files of backups before, packs that a compaction replaced.
fn tidy(dir: &Path, list: &Manifest) -> Result<()> {
    let shown = || dir.display().to_string();
    let kept = format!("state-{}", list.number);
    for entry in std::fs::read_dir(dir).with_context(shown)? {
        let entry = entry.with_context(shown)?;
        let name = entry.file_name();
        if entry.file_type()?.is_dir() && name.to_str().is_some_and(|n| n.starts_with("state-") && n != kept)
        {
            std::fs::remove_dir_all(entry.path()).with_context(|| entry.path().display().to_string())?;
        }
    }
    let named: BTreeSet<&str> = list.files.iter().map(|file| file.stored.as_str()).collect();
    for store in &list.stores {
        let packs = format!("stores/{}/packs", store.number);
        let entries = match std::fs::read_dir(dir.join(&packs)) {
            // The copy of a store that can't be read this time was lost.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            other => other.with_context(|| packs.clone())?,
        };
        for entry in entries {
            let name = entry?.file_name();
            let stored = format!("{packs}/{}", name.display());
            if !named.contains(stored.as_str()) {
                let path = dir.join(&packs).join(&name);
                std::fs::remove_file(&path).with_context(|| path.display().to_string())?;
            }
        }
    }
    Ok(())
}

struct Work<'a> {
    dir: &'a Path,
    before: Option<&'a Manifest>,
    cancel: &'a Cancel,
    written: u64,
    mended: Vec<String>,
    damage: Vec<String>,
}

impl Work<'_> {
    fn stores(
        &mut self,
        snapshot: &Snapshot,
        list: &mut Manifest,
        progress: &mut Progress<'_>,
    ) -> Result<(), Failure> {
        let known =
            |path: &str| self.before.and_then(|before| before.file(path)).map_or(0, |file| file.bytes);
        let packs =
            || snapshot.stores.iter().flat_map(|s| s.packs.iter().map(move |p| (place(s, p), p.bytes())));
        let total: u64 = packs().map(|(path, bytes)| bytes.saturating_sub(known(&path))).sum();
        let mut done = 0;
        for store in &snapshot.stores {
            let dir = self.dir.join("stores").join(&store.number).join("packs");
            let shown = || dir.display().to_string();
            DirBuilder::new().mode(0o700).recursive(true).create(&dir).with_context(shown)?;
            for pack in &store.packs {
                let path = place(store, pack);
                let mut tell = |bytes| {
                    done += bytes;
                    progress(done, total.max(done), &path);
                };
                tell(0);
                let file = self.pack(&path, pack, &mut tell);
                list.files.push(file.map_err(|error| stopped(error, self.cancel))?);
            }
            for dir in [&*dir, dir.parent().unwrap_or(self.dir), &self.dir.join("stores")] {
                sync_dir(dir)?;
            }
            self.lost(store, list);
            list.stores.push(entry(store, list.made));
        }
        self.absent(snapshot, list);
        progress(done, total, "");
        Ok(())
    }

    /// Packs that the backup before has and the store doesn't, though no compaction replaced them: their copies stay.
    fn lost(&mut self, store: &StoreSnapshot, list: &mut Manifest) {
        for (name, why) in &store.unopened {
            self.damage.push(format!("stores/{}/packs/{name} can't be opened: {why}", store.number));
        }
        let prefix = format!("stores/{}/packs/", store.number);
        for file in self.before.iter().flat_map(|before| &before.files) {
            let Some(name) = file.path.strip_prefix(&prefix) else { continue };
            if store.packs.iter().any(|pack| pack.name() == name) || store.replaced(name) {
                continue;
            }
            let backup = self.dir.display();
            self.damage.push(format!("the installation has lost {}; {backup} keeps its copy", file.path));
            list.files.push(file.clone());
        }
    }

    /// Stores that can't be read this time: the copy of an earlier backup stays.
    fn absent(&mut self, snapshot: &Snapshot, list: &mut Manifest) {
        let before = self.before.map(|before| before.stores.as_slice()).unwrap_or_default();
        for store in before {
            if snapshot.stores.iter().any(|now| now.number == store.number) {
                continue;
            }
            let why = snapshot.absent.iter().find(|(number, ..)| *number == store.number);
            let trouble =
                why.map_or("it is no store of the installation any more", |(_, _, why)| why.as_str());
            list.stores.push(StoreEntry { trouble: Some(trouble.to_owned()), ..store.clone() });
            let prefix = format!("stores/{}/", store.number);
            let files = self.before.iter().flat_map(|before| &before.files);
            list.files.extend(files.filter(|file| file.path.starts_with(&prefix)).cloned());
        }
        for (number, _, why) in &snapshot.absent {
            if !before.iter().any(|store| store.number == *number) {
                self.damage.push(format!("store {number} is not in the backup: {why}"));
            }
        }
    }

    /// Brings one pack's copy up to date.
    fn pack(&mut self, path: &str, pack: &PackSnapshot, tell: &mut dyn FnMut(u64)) -> Result<FileEntry> {
        let known = self.before.and_then(|before| before.file(path));
        let to = self.dir.join(path);
        let Some(known) = known else {
            // What lies there is of a backup that was cut.
            return self.fresh(path, pack, &to, tell);
        };
        let diverged = || {
            anyhow!(
                "{}: this pack has another history than the installation's (one of them was restored from an older \
                 state?); nothing was changed there, use another directory",
                to.display()
            )
        };
        if pack.bytes() < known.bytes {
            return Err(diverged());
        }
        let grows = pack.bytes() > known.bytes;
        let whole = if grows { self.begun(known, &to)? } else { None };
        let sound = whole.is_some() == grows && self.same_ends(known, pack, &to)?;
        if sound {
            return match whole {
                None => Ok(known.clone()),
                Some(hash) => self.add(path, pack, &to, known.bytes, hash, tell),
            };
        }
        // Is it the copy that is damaged, or another pack?
        let mut hash = Sha256::new();
        self.source(pack, 0, known.bytes, &mut |piece| {
            hash.update(piece);
            Ok(())
        })?;
        if hex(&hash.finalize()) != known.sha256 {
            return Err(diverged());
        }
        tracing::warn!(path, "the copy in the backup is damaged and is made again");
        self.mended.push(path.to_owned());
        self.fresh(path, pack, &to, tell)
    }

    /// The hash over what was copied before, if that is what still lies there.
    fn begun(&self, known: &FileEntry, to: &Path) -> Result<Option<Sha256>> {
        let Ok(mut copy) = File::open(to) else { return Ok(None) };
        let mut hash = Sha256::new();
        super::read_pieces(&mut copy, known.bytes, self.cancel, &mut |piece| {
            hash.update(piece);
            Ok(())
        })?;
        Ok((hex(&hash.clone().finalize()) == known.sha256).then_some(hash))
    }

    /// Whether copy and pack begin and end alike. Every batch's last record names the one before and the tags of all
    /// between, so that packs of different histories differ at their ends.
    fn same_ends(&self, known: &FileEntry, pack: &PackSnapshot, to: &Path) -> Result<bool> {
        let Ok(copy) = File::open(to) else { return Ok(false) };
        let len = known.bytes.min(END_BYTES);
        for offset in [0, known.bytes - len] {
            let size = usize::try_from(len)?;
            let (mut there, mut here) = (vec![0; size], vec![0; size]);
            let got = pack.read_at(offset, &mut here)?;
            match copy.read_exact_at(&mut there, offset) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
                other => other.with_context(|| to.display().to_string())?,
            }
            if got < size || here != there {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Copies a pack whole, beside what may lie there.
    fn fresh(
        &mut self,
        path: &str,
        pack: &PackSnapshot,
        to: &Path,
        tell: &mut dyn FnMut(u64),
    ) -> Result<FileEntry> {
        let mut draft = to.as_os_str().to_owned();
        draft.push(".new");
        let draft = Path::new(&draft);
        match std::fs::remove_file(draft) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| draft.display().to_string());
            }
            _ => {}
        }
        let shown = || draft.display().to_string();
        drop(OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft).with_context(shown)?);
        let file = self.add(path, pack, draft, 0, Sha256::new(), tell)?;
        std::fs::rename(draft, to).with_context(|| to.display().to_string())?;
        Ok(file)
    }

    /// Adds what the pack has from `from` on, and opens every record of that in the copy.
    fn add(
        &mut self,
        path: &str,
        pack: &PackSnapshot,
        to: &Path,
        from: u64,
        mut hash: Sha256,
        tell: &mut dyn FnMut(u64),
    ) -> Result<FileEntry> {
        let shown = || to.display().to_string();
        let mut copy = OpenOptions::new().write(true).open(to).with_context(shown)?;
        // What a cut backup added counts for nothing.
        copy.set_len(from).and_then(|()| copy.seek(SeekFrom::Start(from))).with_context(shown)?;
        self.source(pack, from, pack.bytes(), &mut |piece| {
            hash.update(piece);
            copy.write_all(piece).with_context(shown)?;
            tell(piece.len() as u64);
            Ok(())
        })?;
        copy.sync_all().with_context(shown)?;
        self.written += pack.bytes() - from;
        self.reads_back(to, pack, from)?;
        if let Some(damage) = pack.check_copy(to, from, self.cancel)? {
            self.damage.push(format!("{path} was copied as it is, and it is damaged: {damage}"));
        }
        let (path, stored) = (path.to_owned(), path.to_owned());
        Ok(FileEntry { path, stored, bytes: pack.bytes(), sha256: hex(&hash.finalize()) })
    }

    /// Compares what was added with the pack.
    fn reads_back(&self, to: &Path, pack: &PackSnapshot, from: u64) -> Result<()> {
        let shown = || to.display().to_string();
        let mut copy = File::open(to).with_context(shown)?;
        copy.seek(SeekFrom::Start(from)).with_context(shown)?;
        self.source(pack, from, pack.bytes(), &mut |piece| {
            let mut there = vec![0; piece.len()];
            copy.read_exact(&mut there).with_context(shown)?;
            if there != piece {
                bail!("{}: what was written does not read back; is the disk of the backup sound?", shown());
            }
            Ok(())
        })
    }

    /// Hands on the pack's bytes from `from` to `to`.
    fn source(
        &self,
        pack: &PackSnapshot,
        from: u64,
        to: u64,
        take: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        let mut at = from;
        while at < to {
            self.cancel.check()?;
            let want = usize::try_from(to - at).unwrap_or(PIECE_BYTES).min(PIECE_BYTES);
            let got = pack.read_at(at, piece.get_mut(..want).unwrap_or_default())?;
            if got == 0 {
                bail!("{}: the pack is shorter than it was", pack.name());
            }
            take(piece.get(..got).unwrap_or_default())?;
            at += got as u64;
        }
        Ok(())
    }
}

fn place(store: &StoreSnapshot, pack: &PackSnapshot) -> String {
    format!("stores/{}/packs/{}", store.number, pack.name())
}

fn entry(store: &StoreSnapshot, now: i64) -> StoreEntry {
    StoreEntry {
        number: store.number.clone(),
        id: store.id.clone(),
        name: store.name.clone(),
        messages: store.messages,
        placements: store.placements,
        batch: store.batch,
        copied: now,
        trouble: None,
    }
}
