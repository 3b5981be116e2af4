//! A new data directory from a backup.
//!
//! Invariant: every byte is compared with the backup's list on its way; what can't be complete leaves nothing behind. The
//! database of users gets its name last: an interrupted restore is no installation. Unless it is asked to be exact, no UID
//! that the lost tail may have given is given again.

use super::manifest::{self, FileEntry, Manifest, hex};
use super::{Progress, read_pieces};
use crate::data::Data;
use crate::keys::{Source, read_sheet, rotate};
use crate::{init, settings};
use anyhow::{Context, Result, bail};
use auth::Auth;
use conf::Conf;
use redb::Database;
use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::{Cancel, MasterKey, Storage};

/// What is asked for.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Restore {
    /// The directory of the backup
    #[arg(value_hint = clap::ValueHint::DirPath)]
    pub(crate) dir: PathBuf,
    /// The master key: a key file or the text of a recovery sheet (`-` for standard input); needed unless the backup holds it
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) key: Option<PathBuf>,
    /// The backup misses nothing that mail clients have seen: UIDs go on where they were
    #[arg(long)]
    pub(crate) exact: bool,
    /// Take files that are damaged as they are; what is damaged is named
    #[arg(long)]
    pub(crate) despite_damage: bool,
}

/// What came back.
#[derive(Debug, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Restored {
    pub(crate) data: String,
    /// When the backup was made, seconds since 1970.
    pub(crate) made: i64,
    pub(crate) users: u64,
    pub(crate) folders: u64,
    pub(crate) messages: u64,
    pub(crate) placements: u64,
    /// Whether UIDs go on higher.
    pub(crate) raised: bool,
    /// What did not come back, or is damaged.
    pub(crate) trouble: Vec<String>,
}

/// Makes the data directory from the backup.
pub(crate) fn restore(
    data: &Data,
    wanted: &Restore,
    cancel: &Cancel,
    progress: &mut Progress<'_>,
) -> Result<Restored> {
    let list = super::open(&wanted.dir)?;
    let key = key(data, wanted, &list)?;
    let was_there = init::claim(data.root())?;
    let restored = fill(data, wanted, &list, key, cancel, progress);
    if restored.is_err()
        && let Err(error) = init::clear(data.root(), was_there)
    {
        tracing::warn!(%error, path = %data.root().display(), "what restore began could not be removed");
    }
    restored
}

/// The key that opens the backup, where it isn't in it; found and tried before anything is written.
fn key(data: &Data, wanted: &Restore, list: &Manifest) -> Result<Option<MasterKey>> {
    let key = if let Some(path) = &wanted.key {
        read_sheet(path)?
    } else if let Some(file) = list.file("keys/master.key") {
        MasterKey::load(&manifest::stored(&wanted.dir, file))?
    } else {
        let file = list.file("mailkeep.toml").map(|file| manifest::stored(&wanted.dir, file));
        let conf = file.map_or_else(|| Ok(Conf::default()), |path| Conf::load(&path))?;
        match Source::find(data, &conf.keys)? {
            Source::File(path) if !path.exists() => bail!(
                "the backup holds no master key, and without it nobody can read it: say --key FILE, where FILE is your copy \
                 of the key (id {}) or the text of its recovery sheet; nothing was touched",
                list.key_id
            ),
            source => source.load()?,
        }
    };
    let tried = Storage::try_key(&wanted.dir, &key)?;
    if tried.opened == 0
        && let Some((store, why)) = tried.others.first()
    {
        bail!(
            "the key with id {} does not open the backup, which wants the one with id {}: store {store}: {why}; nothing \
             was touched",
            key.id(),
            list.key_id
        );
    }
    Ok(wanted.key.is_some().then_some(key))
}

fn fill(
    data: &Data,
    wanted: &Restore,
    list: &Manifest,
    key: Option<MasterKey>,
    cancel: &Cancel,
    progress: &mut Progress<'_>,
) -> Result<Restored> {
    let root = data.root();
    let Some(lock) = data.try_lock()? else {
        bail!("another mailkeep works on {}", root.display());
    };
    let making = root.join("master.redb.new");
    let mut trouble = copy_all(root, &making, wanted, list, cancel, progress)?;
    if list.file(Data::MASTER).is_none() {
        bail!("{}: the backup holds no database of users and runs", wanted.dir.display());
    }
    for store in &list.stores {
        if let Some(why) = &store.trouble {
            trouble.push(format!("store {} comes from an earlier backup: {why}", store.number));
        }
    }
    let conf = data.conf()?;
    let source = Source::find(data, &conf.keys)?;
    if let (Some(key), Some(path)) = (&key, source.file()) {
        put_key(key, path)?;
    }
    let key = match key {
        Some(key) => key,
        None => rotate::with_older(&source, source.load()?)?,
    };
    progress(list.bytes(), list.bytes(), "databases and indexes are made again");
    let storage = Storage::open_with(root, &key, settings::limits(&conf), crate::attachments::reader(&conf))?;
    for store in storage.stores() {
        if let Some(why) = store.trouble {
            trouble.push(format!("store {}: {why}", store.number));
        }
    }
    if !wanted.exact {
        storage.raise_floors(cancel)?;
    }
    let (mut messages, mut placements) = (0, 0);
    for store in storage.stores() {
        messages += store.messages;
        placements += store.placements;
    }
    let folders = storage.folders().len() as u64;
    storage.close()?;
    let auth = Auth::open(Arc::new(Database::open(&making).with_context(|| making.display().to_string())?))?;
    let caller = crate::command::Caller::local(rustix::process::geteuid().as_raw(), "in-process");
    let what = format!("restore {:?} of {}", wanted.dir, crate::output::moment(list.made));
    auth.audit(&caller.who, &caller.from, &what, "ok")?;
    let users = auth.users()?.len() as u64;
    drop(auth);
    let master = data.master_file();
    std::fs::rename(&making, &master).with_context(|| master.display().to_string())?;
    super::sync_dir(root)?;
    drop(lock);
    let data = root.display().to_string();
    let raised = !wanted.exact;
    Ok(Restored { data, made: list.made, users, folders, messages, placements, raised, trouble })
}

/// Copies every file that the list names, each compared with its hash; says which are damaged.
fn copy_all(
    root: &Path,
    making: &Path,
    wanted: &Restore,
    list: &Manifest,
    cancel: &Cancel,
    progress: &mut Progress<'_>,
) -> Result<Vec<String>> {
    let (mut done, total, mut damage) = (0, list.bytes(), Vec::new());
    for file in &list.files {
        progress(done, total, &file.path);
        let to = if file.path == Data::MASTER { making.to_owned() } else { root.join(&file.path) };
        if let Some(parent) = to.parent() {
            let made = DirBuilder::new().mode(0o700).recursive(true).create(parent);
            made.with_context(|| parent.display().to_string())?;
        }
        if let Some(what) = copy(&wanted.dir, file, &to, cancel)? {
            let what = format!("{}: {what}", manifest::stored(&wanted.dir, file).display());
            if !wanted.despite_damage {
                bail!("{what}; nothing was restored. --despite-damage takes what is damaged as it is");
            }
            damage.push(what);
        }
        done += file.bytes;
    }
    for entry in directories(root)? {
        super::sync_dir(&entry)?;
    }
    Ok(damage)
}

/// Copies one file; what is wrong with it, in words.
fn copy(from: &Path, file: &FileEntry, to: &Path, cancel: &Cancel) -> Result<Option<String>> {
    let source = manifest::stored(from, file);
    let mut source = match File::open(&source) {
        Ok(source) => source,
        Err(error) => return Ok(Some(error.to_string())),
    };
    let shown = || to.display().to_string();
    let mut copy =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).with_context(shown)?;
    let (mut hash, mut got) = (Sha256::new(), 0);
    read_pieces(&mut source, file.bytes, cancel, &mut |piece| {
        hash.update(piece);
        got += piece.len() as u64;
        copy.write_all(piece).with_context(shown)
    })?;
    copy.sync_all().with_context(shown)?;
    if got < file.bytes {
        return Ok(Some(format!("has {got} bytes of {}", file.bytes)));
    }
    let same = hex(&hash.finalize()) == file.sha256;
    Ok((!same).then(|| "its bytes are not those that were copied".to_owned()))
}

/// Directories below `root`, itself last.
fn directories(root: &Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut next) = (Vec::new(), vec![root.to_owned()]);
    while let Some(dir) = next.pop() {
        for entry in std::fs::read_dir(&dir).with_context(|| dir.display().to_string())? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                next.push(entry.path());
            }
        }
        found.push(dir);
    }
    found.reverse();
    Ok(found)
}

/// Writes the given key where the installation looks for it.
fn put_key(key: &MasterKey, path: &Path) -> Result<()> {
    if path.exists() {
        // The backup's own; the one given opens it too.
        std::fs::remove_file(path).with_context(|| path.display().to_string())?;
    }
    if let Some(parent) = path.parent() {
        let made = DirBuilder::new().mode(0o700).recursive(true).create(parent);
        made.with_context(|| parent.display().to_string())?;
    }
    Ok(key.save(path)?)
}
