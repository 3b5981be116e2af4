//! A new master key: which files lie where while it is under way.
//!
//! Order: the new key opens the profiles' passwords too, and is durable in `master.key.new`; the old one gets its second name `master.key.old`; the new one takes
//! the name `master.key`; then the stores are told. Invariant: at every moment `master.key` and, if it is there,
//! `master.key.old` together open every store, and opening the installation completes what a crash cut. Objection: the
//! old key could go once the stores are told. It stays, under its id: backups made before can be read with nothing else.

use super::Source;
use crate::data::Installation;
use anyhow::{Context, Result, bail};
use archiver::profile::Profiles;
use std::ffi::OsString;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use storage::{MasterKey, Rekeyed, Storage};

/// What a rotation came to.
#[derive(Debug)]
pub(crate) struct Rotated {
    /// The id of the new key.
    pub(crate) key_id: String,
    /// That of the key before.
    pub(crate) before: String,
    /// What the stores say.
    pub(crate) stores: Rekeyed,
    /// The file that keeps the key before, if mailkeep keeps one.
    pub(crate) kept: Option<PathBuf>,
    /// The file that holds the new key and is to be taken to its source.
    pub(crate) to_place: Option<PathBuf>,
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name: OsString = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn old_file(path: &Path) -> PathBuf {
    beside(path, ".old")
}

/// Whether a rotation is not complete.
pub(crate) fn is_under_way(path: &Path) -> bool {
    old_file(path).exists()
}

/// The key, with the one before it while a rotation is under way.
pub(crate) fn with_older(source: &Source, key: MasterKey) -> Result<MasterKey> {
    let Some(path) = source.file() else { return Ok(key) };
    match MasterKey::load(&old_file(path)) {
        Ok(older) => Ok(key.with_older(older)),
        Err(storage::Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => Ok(key),
        Err(error) => Err(error.into()),
    }
}

/// Completes a rotation that is under way: all stores are told, and the key before is put aside once none needs it.
pub(crate) fn finish(
    storage: &Storage,
    profiles: &Profiles,
    path: &Path,
) -> Result<(Rekeyed, Option<PathBuf>)> {
    let (key, old) = (MasterKey::load(path)?, old_file(path));
    let older = MasterKey::load(&old)?;
    if older.id() == key.id() {
        // It was cut before the new key had its name: the new one is in no store.
        remove(&beside(path, ".new"))?;
        remove(&old)?;
        sync_dir_of(path)?;
        return Ok((Rekeyed::default(), None));
    }
    let before = older.id();
    let stores = storage.rekey(&key.alone().with_older(older))?;
    if !stores.missing.is_empty() {
        return Ok((stores, Some(old)));
    }
    storage.rekey(&key.alone())?;
    profiles.forget_other_keys()?;
    let kept = beside(path, &format!(".{before}"));
    std::fs::rename(&old, &kept).with_context(|| old.display().to_string())?;
    sync_dir_of(path)?;
    Ok((stores, Some(kept)))
}

/// Makes a new master key and tells all stores. `output` is the new key's file where the key comes from elsewhere.
pub(crate) fn run(installation: &Installation, output: Option<&Path>) -> Result<Rotated> {
    let mut in_use = installation.key.lock();
    let before = in_use.id.clone();
    let Some(path) = in_use.source.file().map(Path::to_owned) else {
        let Some(output) = output else {
            bail!(
                "the master key comes from {}, where mailkeep can't put a new one: say -o FILE, and take the new key from \
                 there to its place",
                in_use.source.words()
            );
        };
        let present = in_use.source.load()?;
        let new = MasterKey::generate()?;
        installation.archiver.profiles().wrap_by(&new)?;
        new.save(output)?;
        let stores = installation.storage.rekey(&new.alone().with_older(present))?;
        in_use.id = new.id();
        let to_place = Some(output.to_owned());
        return Ok(Rotated { key_id: new.id(), before, stores, kept: None, to_place });
    };
    if output.is_some() {
        bail!("the master key is in {}, where the new one goes too: leave -o out", path.display());
    }
    if is_under_way(&path) {
        let (stores, _) = finish(&installation.storage, installation.archiver.profiles(), &path)?;
        if let Some((store, why)) = stores.missing.first() {
            bail!(
                "the rotation before is not complete: store {store} can't be read ({why}), and only {} opens it; bring \
                 it back, or detach it",
                old_file(&path).display()
            );
        }
    }
    let present = MasterKey::load(&path)?;
    if present.id() != before {
        bail!("{} holds another key than the one in use (id {before}): put that one back", path.display());
    }
    let new = MasterKey::generate()?;
    let draft = beside(&path, ".new");
    // One that a crash left is in no store.
    remove(&draft)?;
    installation.archiver.profiles().wrap_by(&new)?;
    new.save(&draft)?;
    let old = old_file(&path);
    std::fs::hard_link(&path, &old).with_context(|| old.display().to_string())?;
    sync_dir_of(&path)?;
    std::fs::rename(&draft, &path).with_context(|| path.display().to_string())?;
    sync_dir_of(&path)?;
    in_use.id = new.id();
    let (stores, kept) = finish(&installation.storage, installation.archiver.profiles(), &path)?;
    Ok(Rotated { key_id: new.id(), before, stores, kept, to_place: None })
}

fn remove(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        _ => Ok(()),
    }
}

fn sync_dir_of(path: &Path) -> Result<()> {
    let dir = path.parent().unwrap_or(Path::new("."));
    File::open(dir).and_then(|dir| dir.sync_all()).with_context(|| dir.display().to_string())
}
