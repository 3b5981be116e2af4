//! Goes through a file or a tree and hands every message, and everything that is none, to a [`Sink`].
//!
//! What is what, in this order:
//! - A directory with `cur` and `new` or `tmp` (or `new` and `tmp`) is a Maildir; `.A.B` in it, or in any directory, is a
//!   Maildir++ folder if it is a Maildir itself. `tmp` holds nothing that was delivered and is not read.
//! - A directory with `.mh_sequences` is MH: its numbered files are messages.
//! - Any other directory: each file by its own kind (`files`).
//!
//! Invariant: every directory entry is handed over as a message or as an item with a reason, but for what
//! [`is_bookkeeping`] names: hidden files and mail programs' indexes, which are not mail and not counted. Order is that of
//! names (Maildir: delivery time, then name; MH: numbers), files before subfolders. Symbolic links are not followed.

mod files;

use crate::maildir::{self, Name};
use crate::mh::{self, Sequences};
use crate::{Format, names};
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use storage::{FolderPath, InternalDate, SourceFlags};

/// Directories deeper than this below the source are not read; each is a failed item.
pub(crate) const MAX_DEPTH: usize = 256;

/// A folder at the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceFolder {
    /// What its levels stand below; none: the run's target folder.
    pub(crate) root: Option<FolderPath>,
    /// Path of the directory or mailbox file: what sightings are counted by.
    pub(crate) source: String,
    /// Levels below that.
    pub(crate) levels: Vec<String>,
    /// Format.
    pub(crate) format: Format,
    /// The caller gave the format.
    pub(crate) given: bool,
}

/// A message at the source.
pub(crate) struct Found<'a> {
    /// What [`Sink::folder`] gave.
    pub(crate) folder: usize,
    /// For people: the file, with the offset in a mailbox file.
    pub(crate) place: String,
    /// Where in the folder: unchanging part of the file's name, or offset.
    pub(crate) occurrence: String,
    /// Bytes that belong to the file only.
    pub(crate) prefix: Vec<u8>,
    /// The message.
    pub(crate) content: &'a mut dyn Read,
    /// When the source says that it was delivered.
    pub(crate) date: Option<InternalDate>,
    /// The file's time, for a message that has no date at all.
    pub(crate) modified: InternalDate,
    /// Flags.
    pub(crate) flags: SourceFlags,
}

/// Something that is no message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Skipped {
    /// What [`Sink::folder`] gave.
    pub(crate) folder: usize,
    /// For people.
    pub(crate) place: String,
    /// Why.
    pub(crate) reason: String,
    /// Mail may be missing from the archive; else it was left out by rule.
    pub(crate) failed: bool,
}

/// The sink wants nothing more.
#[derive(Debug)]
pub(crate) struct Stop;

/// Takes what is found.
pub(crate) trait Sink {
    /// Begins a folder, or goes on with it: the number for what is found in it.
    fn folder(&mut self, folder: SourceFolder) -> usize;
    /// A message.
    fn message(&mut self, found: Found<'_>) -> Result<(), Stop>;
    /// No message.
    fn skip(&mut self, skipped: Skipped) -> Result<(), Stop>;
}

/// Goes through `path`.
pub(crate) fn walk(path: &Path, format: Option<Format>, sink: &mut dyn Sink) -> Result<(), Stop> {
    let mut walk = Walk { sink, format };
    if path.is_dir() {
        return walk.tree(path, Vec::new());
    }
    let folder = Folder::new(path.parent().unwrap_or(path), Vec::new(), 0);
    walk.file(&folder, path.file_name().unwrap_or_default(), path, true)
}

/// Goes through a directory, `levels` standing above its own folders.
pub(crate) fn walk_tree(root: &Path, levels: Vec<String>, sink: &mut dyn Sink) -> Result<(), Stop> {
    Walk { sink, format: None }.tree(root, levels)
}

/// The bytes of all files below `path`.
pub(crate) fn measure(path: &Path, stop: &dyn Fn() -> bool) -> u64 {
    let mut bytes = 0;
    for entry in walkdir::WalkDir::new(path).max_depth(MAX_DEPTH) {
        if stop() {
            break;
        }
        bytes += entry
            .ok()
            .and_then(|entry| entry.metadata().ok())
            .filter(fs::Metadata::is_file)
            .map_or(0, |file| file.len());
    }
    bytes
}

/// Files that are never mail: hidden ones, indexes, and what servers keep beside the messages of a Maildir.
pub(crate) fn is_bookkeeping(name: &[u8], in_maildir: bool) -> bool {
    const SUFFIXES: [&[u8]; 5] =
        [b".msf", b".cmeta", b".ev-summary", b".ev-summary-meta", b".ibex.index.data"];
    const PREFIXES: [&[u8]; 3] = [b".", b"dovecot.index", b"dovecot-uid"];
    // Outside a Maildir these may be folders: `courier-users` is a mailing list.
    const MAILDIR_NAMES: [&[u8]; 3] = [b"maildirfolder", b"maildirsize", b"subscriptions"];
    const MAILDIR_PREFIXES: [&[u8]; 3] = [b"dovecot-", b"dovecot.", b"courier"];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
        || in_maildir
            && (MAILDIR_NAMES.contains(&name)
                || MAILDIR_PREFIXES.iter().any(|prefix| name.starts_with(prefix)))
}

/// A directory, as its files need it.
pub(super) struct Folder {
    path: PathBuf,
    levels: Vec<String>,
    depth: usize,
}

impl Folder {
    fn new(path: &Path, levels: Vec<String>, depth: usize) -> Folder {
        Folder { path: path.to_owned(), levels, depth }
    }

    /// The folder that the directory's own messages go to.
    fn source(&self, format: Format, given: bool) -> SourceFolder {
        SourceFolder {
            root: None,
            source: names::text(&self.path),
            levels: self.levels.clone(),
            format,
            given,
        }
    }
}

struct Entry {
    name: OsString,
    kind: fs::FileType,
}

pub(super) struct Walk<'a> {
    sink: &'a mut dyn Sink,
    format: Option<Format>,
}

impl Walk<'_> {
    fn tree(&mut self, root: &Path, levels: Vec<String>) -> Result<(), Stop> {
        let mut stack = vec![Folder::new(root, levels, 0)];
        while let Some(folder) = stack.pop() {
            if folder.depth > MAX_DEPTH {
                let reason = format!("more than {MAX_DEPTH} directories deep: not read");
                self.item(&folder, &folder.path, reason, true)?;
                continue;
            }
            let entries = match entries(&folder.path) {
                Ok(entries) => entries,
                Err(error) => {
                    self.item(&folder, &folder.path, format!("directory can't be read: {error}"), true)?;
                    continue;
                }
            };
            self.directory(&folder, &entries)?;
            let is_maildir = self.is_maildir(&entries);
            for entry in entries.iter().rev().filter(|entry| entry.kind.is_dir()) {
                stack.extend(subfolder(&folder, &entry.name, is_maildir));
            }
        }
        Ok(())
    }

    fn is_maildir(&self, entries: &[Entry]) -> bool {
        matches!(self.format, None | Some(Format::Maildir)) && is_maildir(entries)
    }

    /// The directory's own files.
    fn directory(&mut self, folder: &Folder, entries: &[Entry]) -> Result<(), Stop> {
        let has = |name: &str| entries.iter().any(|entry| entry.name == name);
        let is_maildir = self.is_maildir(entries);
        if is_maildir {
            self.maildir(folder)?;
        }
        let is_mh =
            !is_maildir && (self.format == Some(Format::Mh) || self.format.is_none() && has(".mh_sequences"));
        if is_mh {
            self.mh(folder, entries)?;
        }
        for entry in entries.iter().filter(|entry| !entry.kind.is_dir()) {
            if is_bookkeeping(entry.name.as_bytes(), is_maildir) {
                continue;
            }
            if is_mh && mh::number(entry.name.as_bytes()).is_some() {
                continue;
            }
            self.entry(folder, entry, is_mh)?;
        }
        Ok(())
    }

    fn entry(&mut self, folder: &Folder, entry: &Entry, in_mh: bool) -> Result<(), Stop> {
        let path = folder.path.join(&entry.name);
        let name = entry.name.as_bytes();
        if let Some(reason) = not_a_file(entry.kind) {
            return self.item(folder, &path, reason.into(), false);
        }
        if in_mh
            && name
                .strip_prefix(b",")
                .or(name.strip_prefix(b"#"))
                .is_some_and(|rest| mh::number(rest).is_some())
        {
            return self.item(folder, &path, "deleted in MH, not yet removed".into(), false);
        }
        self.file(folder, &entry.name, &path, false)
    }

    fn mh(&mut self, folder: &Folder, entries: &[Entry]) -> Result<(), Stop> {
        let id = self.sink.folder(folder.source(Format::Mh, self.format.is_some()));
        let sequences = read_bounded(&folder.path.join(".mh_sequences"), mh::MAX_SEQUENCES_BYTES)
            .map(|bytes| Sequences::parse(&bytes))
            .unwrap_or_default();
        let mut numbered: Vec<_> = entries
            .iter()
            .filter(|entry| !entry.kind.is_dir())
            .filter_map(|entry| Some((mh::number(entry.name.as_bytes())?, entry)))
            .collect();
        numbered.sort_by_key(|(number, entry)| (*number, entry.name.len()));
        for (number, entry) in numbered {
            let path = folder.path.join(&entry.name);
            if let Some(reason) = not_a_file(entry.kind) {
                self.item(folder, &path, reason.into(), false)?;
                continue;
            }
            let facts = files::Facts {
                folder: id,
                occurrence: names::text(Path::new(&entry.name)),
                date: None,
                flags: sequences.flags(number),
            };
            self.message_file(&path, facts)?;
        }
        Ok(())
    }

    fn maildir(&mut self, folder: &Folder) -> Result<(), Stop> {
        let id = self.sink.folder(folder.source(Format::Maildir, self.format.is_some()));
        let mut found = Vec::new();
        for part in ["new", "cur"] {
            let path = folder.path.join(part);
            match entries(&path) {
                Ok(entries) => found.extend(entries.into_iter().map(|entry| (part, entry))),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => self.item(folder, &path, format!("directory can't be read: {error}"), true)?,
            }
        }
        found.retain(|(_, entry)| !entry.name.as_bytes().starts_with(b"."));
        found.sort_by_cached_key(|(_, entry)| {
            let name = maildir::name(entry.name.as_bytes());
            (name.date.map(|date| date.secs), name.unique.to_vec())
        });
        // Where files went that a mail program renamed while we read; made when the first is missed.
        let mut moved: Option<HashMap<Vec<u8>, PathBuf>> = None;
        for (part, entry) in found {
            let mut path = folder.path.join(part).join(&entry.name);
            if entry.kind.is_dir() {
                self.item(
                    folder,
                    &path,
                    "a directory among the messages of a Maildir: not read".into(),
                    true,
                )?;
                continue;
            }
            if let Some(reason) = not_a_file(entry.kind) {
                self.item(folder, &path, reason.into(), false)?;
                continue;
            }
            if !path.exists() {
                let moved = moved.get_or_insert_with(|| unique_names(&folder.path));
                if let Some(now) = moved.get(maildir::name(entry.name.as_bytes()).unique) {
                    path.clone_from(now);
                }
            }
            let name = path.file_name().unwrap_or_default().to_owned();
            let Name { unique, date, flags } = maildir::name(name.as_bytes());
            let occurrence = names::text(Path::new(OsStr::from_bytes(unique)));
            self.message_file(&path, files::Facts { folder: id, occurrence, date, flags })?;
        }
        Ok(())
    }

    /// Hands over something in `folder` that is no message.
    fn item(&mut self, folder: &Folder, path: &Path, reason: String, failed: bool) -> Result<(), Stop> {
        let format = self.format.unwrap_or(Format::Eml);
        let id = self.sink.folder(folder.source(format, self.format.is_some()));
        self.sink.skip(Skipped { folder: id, place: names::text(path), reason, failed })
    }
}

/// The directory `name` in `folder` as a folder; `None` if it holds no mail by rule.
fn subfolder(folder: &Folder, name: &OsStr, in_maildir: bool) -> Option<Folder> {
    let bytes = name.as_bytes();
    if in_maildir && matches!(bytes, b"cur" | b"new" | b"tmp") {
        return None;
    }
    let path = folder.path.join(name);
    let holds_maildir = path.join("cur").is_dir() || path.join("new").is_dir();
    let mut levels = folder.levels.clone();
    if bytes.starts_with(b".") {
        if !holds_maildir {
            return None;
        }
        levels.extend(maildir::levels(bytes));
    } else if holds_maildir {
        levels.push(maildir::level(bytes));
    } else {
        // Thunderbird keeps the subfolders of the mbox `A` in `A.sbd`.
        let name = bytes.strip_suffix(b".sbd").filter(|name| !name.is_empty()).unwrap_or(bytes);
        levels.push(names::level(name));
    }
    Some(Folder { path, levels, depth: folder.depth + 1 })
}

fn is_maildir(entries: &[Entry]) -> bool {
    let has = |name: &str| entries.iter().any(|entry| entry.name == name && entry.kind.is_dir());
    let (cur, new, tmp) = (has("cur"), has("new"), has("tmp"));
    (cur && (new || tmp)) || (new && tmp)
}

/// Entries sorted by the bytes of their names.
fn entries(path: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = fs::read_dir(path)?
        .map(|entry| {
            let entry = entry?;
            Ok(Entry { name: entry.file_name(), kind: entry.file_type()? })
        })
        .collect::<io::Result<Vec<_>>>()?;
    entries.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    Ok(entries)
}

fn unique_names(maildir: &Path) -> HashMap<Vec<u8>, PathBuf> {
    let mut names = HashMap::new();
    for part in ["new", "cur"] {
        let path = maildir.join(part);
        for entry in entries(&path).unwrap_or_default() {
            names.insert(maildir::name(entry.name.as_bytes()).unique.to_vec(), path.join(&entry.name));
        }
    }
    names
}

/// Why a directory entry is not read as a file.
fn not_a_file(kind: fs::FileType) -> Option<&'static str> {
    if kind.is_symlink() {
        Some("a symbolic link: not followed")
    } else if kind.is_file() {
        None
    } else {
        Some("not a file: a pipe, socket or device")
    }
}

fn read_bounded(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if fs::symlink_metadata(path)?.is_file() {
        fs::File::open(path)?.take(max).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
