//! Everything but the packs: the database of users and runs, the configuration, certificates, keys if they are wanted.
//!
//! Invariant: each backup has a directory of its own for them, so that the backup before keeps its own.

use super::manifest::{FileEntry, hex};
use crate::data::{Data, Installation};
use anyhow::{Context, Result, bail};
use redb::Database;
use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Largest file that is copied whole here; certificates and heads are far smaller.
const MAX_SMALL_BYTES: u64 = 1 << 30;
/// Directories of DATA that are copied file by file, without those below them.
const DIRECTORIES: [&str; 2] = ["tls", "evidence"];

/// The small files of one backup.
pub(super) struct Small<'a> {
    root: &'a Path,
    /// `state-7`, in the backup.
    name: String,
    dir: PathBuf,
    pub(super) files: Vec<FileEntry>,
}

impl<'a> Small<'a> {
    /// Begins backup number `number` in `backup`; what a cut one left under this number goes.
    pub(super) fn begin(root: &'a Path, backup: &Path, number: u64) -> Result<Small<'a>> {
        let name = format!("state-{number}");
        let dir = backup.join(&name);
        let shown = || dir.display().to_string();
        match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).with_context(shown),
            _ => DirBuilder::new().mode(0o700).create(&dir).with_context(shown)?,
        }
        Ok(Small { root, name, dir, files: Vec::new() })
    }

    /// Copies the database while nothing is committed to it: it is what a power cut would leave, which it opens from. It is
    /// opened and closed here, so that what is kept is known to open.
    pub(super) fn database(&mut self, installation: &Installation) -> Result<()> {
        let (from, to) = (self.root.join(Data::MASTER), self.place(Data::MASTER)?);
        let turn = installation.master.begin_write().context(Data::MASTER)?;
        let copied = copy_new(&from, &to);
        turn.abort().context(Data::MASTER)?;
        copied?;
        let opened = Database::builder().open(&to);
        drop(opened.with_context(|| format!("{}: the copy does not open", to.display()))?);
        self.entry(Data::MASTER)
    }

    /// Copies what lies beside the stores.
    pub(super) fn rest(&mut self, data: &Data) -> Result<()> {
        self.copy(&data.conf_file(), "mailkeep.toml")?;
        for dir in DIRECTORIES {
            self.directory(dir)?;
        }
        let public = Path::new("keys/evidence.pub");
        if self.root.join(public).is_file() {
            self.copy(&self.root.join(public), "keys/evidence.pub")?;
        }
        Ok(())
    }

    /// Copies the keys. One that doesn't lie in DATA is written as a key file.
    pub(super) fn keys(&mut self, installation: &Installation) -> Result<()> {
        // The public half is there already.
        let public = self.place("keys/evidence.pub")?;
        if public.exists() {
            std::fs::remove_file(&public).with_context(|| public.display().to_string())?;
        }
        self.files.retain(|file| !file.path.starts_with("keys/"));
        self.directory("keys")?;
        if !self.files.iter().any(|file| file.path == "keys/master.key") {
            let to = self.place("keys/master.key")?;
            installation.key.lock().source.load()?.save(&to)?;
            self.entry("keys/master.key")?;
        }
        Ok(())
    }

    /// Writes a file of its own.
    pub(super) fn write(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let to = self.place(path)?;
        crate::tls::write_new(&to, 0o600, bytes)?;
        self.entry(path)
    }

    /// Makes the names durable.
    pub(super) fn sync(&self) -> Result<()> {
        for entry in std::fs::read_dir(&self.dir).with_context(|| self.dir.display().to_string())? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                super::sync_dir(&entry.path())?;
            }
        }
        super::sync_dir(&self.dir)
    }

    fn directory(&mut self, name: &str) -> Result<()> {
        let dir = self.root.join(name);
        let entries = match std::fs::read_dir(&dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => other.with_context(|| dir.display().to_string())?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            let size = entry.metadata()?.len();
            match entry.file_name().into_string() {
                Ok(file) if entry.file_type()?.is_file() && size <= MAX_SMALL_BYTES => names.push(file),
                Ok(file) => tracing::warn!(file, dir = name, "left out of the backup: no small file"),
                Err(file) => tracing::warn!(?file, dir = name, "left out of the backup: its name"),
            }
        }
        names.sort_unstable();
        for file in names {
            let path = format!("{name}/{file}");
            self.copy(&self.root.join(&path), &path)?;
        }
        Ok(())
    }

    fn copy(&mut self, from: &Path, path: &str) -> Result<()> {
        let to = self.place(path)?;
        let read = copy_new(from, &to)?;
        self.entry(path)?;
        if self.files.last().is_some_and(|file| file.sha256 != read) {
            bail!("{}: what was written does not read back; is the disk of the backup sound?", to.display());
        }
        Ok(())
    }

    /// Where the file goes; makes its directory.
    fn place(&self, path: &str) -> Result<PathBuf> {
        let to = self.dir.join(path);
        if let Some(parent) = to.parent() {
            DirBuilder::new()
                .mode(0o700)
                .recursive(true)
                .create(parent)
                .with_context(|| parent.display().to_string())?;
        }
        Ok(to)
    }

    /// Notes down what was written, by reading it again.
    fn entry(&mut self, path: &str) -> Result<()> {
        let from = self.dir.join(path);
        let shown = || from.display().to_string();
        let mut file = File::open(&from).with_context(shown)?;
        file.sync_all().with_context(shown)?;
        let (mut hash, mut bytes, mut piece) = (Sha256::new(), 0, vec![0; super::PIECE_BYTES]);
        loop {
            let got = file.read(&mut piece).with_context(shown)?;
            if got == 0 {
                break;
            }
            hash.update(piece.get(..got).unwrap_or_default());
            bytes += got as u64;
        }
        let (path, stored) = (path.to_owned(), format!("{}/{path}", self.name));
        self.files.push(FileEntry { path, stored, bytes, sha256: hex(&hash.finalize()) });
        Ok(())
    }
}

/// Copies a file to a new one that only its owner reads, synced; gives the hash of what was read.
fn copy_new(from: &Path, to: &Path) -> Result<String> {
    let mut source = File::open(from).with_context(|| from.display().to_string())?;
    let open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to);
    let mut copy = open.with_context(|| to.display().to_string())?;
    let (mut hash, mut piece) = (Sha256::new(), vec![0; super::PIECE_BYTES]);
    loop {
        let got = source.read(&mut piece).with_context(|| from.display().to_string())?;
        if got == 0 {
            break;
        }
        let piece = piece.get(..got).unwrap_or_default();
        hash.update(piece);
        copy.write_all(piece).with_context(|| to.display().to_string())?;
    }
    copy.sync_all().with_context(|| to.display().to_string())?;
    Ok(hex(&hash.finalize()))
}
