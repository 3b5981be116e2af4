//! Backups: a directory that holds all of DATA that can't be made again, brought up to date at every backup.
//!
//! Invariant: what an earlier backup wrote is never written again, only added to; a backup that is cut leaves the one before as it
//! was. Packs are copied as they stood between two batches, the database of users and runs a moment earlier, so that no
//! account of a run is ahead of the mail. `docs/backup.md` describes the directory.

mod copy;
mod manifest;
mod restore;
mod small;

pub(crate) use copy::{Wanted, run};
pub(crate) use manifest::Manifest;
pub(crate) use restore::{Restore, Restored, restore};

use anyhow::{Context, Result, bail};
use manifest::FileEntry;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use storage::Cancel;

/// Bytes that are read or written at once.
const PIECE_BYTES: usize = 1 << 20;

/// Says how far it is: bytes done, bytes in all, the file.
pub(crate) type Progress<'a> = dyn FnMut(u64, u64, &str) + 'a;

/// Reads every file of a backup again: what is damaged, in words.
/// # Errors
/// There is no backup in `dir`, or its list is damaged; cancelled.
pub(crate) fn verify(
    dir: &Path,
    manifest: &Manifest,
    cancel: &Cancel,
    progress: &mut Progress<'_>,
) -> Result<Vec<String>> {
    let (mut damage, mut done, total) = (Vec::new(), 0, manifest.bytes());
    for file in &manifest.files {
        progress(done, total, &file.path);
        if let Err(what) = sound(dir, file, cancel)? {
            damage.push(format!("{}: {what}", manifest::stored(dir, file).display()));
        }
        done += file.bytes;
    }
    progress(done, total, "");
    Ok(damage)
}

/// Whether the file's first bytes are those that were copied; if not, why.
fn sound(dir: &Path, file: &FileEntry, cancel: &Cancel) -> Result<std::result::Result<(), String>> {
    let path = manifest::stored(dir, file);
    let mut open = match File::open(&path) {
        Ok(open) => open,
        Err(error) => return Ok(Err(error.to_string())),
    };
    let (mut hash, mut got) = (Sha256::new(), 0);
    let read = read_pieces(&mut open, file.bytes, cancel, &mut |piece| {
        hash.update(piece);
        got += piece.len() as u64;
        Ok(())
    });
    match read {
        Err(error) if cancel.is_set() => return Err(error),
        Err(error) => return Ok(Err(format!("{error:#}"))),
        Ok(()) => {}
    }
    if got < file.bytes {
        return Ok(Err(format!("has {got} bytes of {}", file.bytes)));
    }
    if manifest::hex(&hash.finalize()) != file.sha256 {
        return Ok(Err("its bytes are not those that were copied".into()));
    }
    Ok(Ok(()))
}

/// Hands a file's next `most` bytes on, piece by piece.
fn read_pieces(
    from: &mut impl Read,
    most: u64,
    cancel: &Cancel,
    take: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    let mut from = from.take(most);
    loop {
        cancel.check()?;
        let got = from.read(&mut piece)?;
        if got == 0 {
            return Ok(());
        }
        take(piece.get(..got).unwrap_or_default())?;
    }
}

/// The manifest of a backup that must be there.
pub(crate) fn open(dir: &Path) -> Result<Manifest> {
    match Manifest::load(dir)? {
        Some(manifest) => Ok(manifest),
        None if dir.join(copy::LOCK).exists() => {
            bail!(
                "{}: the first backup to this directory was never completed; there is nothing to use",
                dir.display()
            )
        }
        None => bail!("{}: there is no backup here (no {})", dir.display(), manifest::NAME),
    }
}

fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).with_context(|| dir.display().to_string())
}
