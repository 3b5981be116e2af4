//! Apple Mail's directory (`~/Library/Mail`, a `V10` in it, or one mailbox): `.mbox` directories with `.emlx` files somewhere below.
//!
//! An `.emlx` file is a line with the message's length, the message, and a property list with flags and times. A
//! `.partial.emlx` lacks its attachments, which lie beside it decoded: the sender's bytes can't be had again from them, so it is a
//! failed item with its reason. Folders are the `.mbox` directories and the accounts above them; the directories that Mail
//! makes for itself (`V10`, UUIDs in mailboxes, `Data`, `Messages`, digits) are none.
//!
//! Invariant: every `.emlx` file is handed over as a message or with a reason; other files are no mail and not counted.

use crate::walk::{Found, MAX_DEPTH, Sink, Skipped, SourceFolder, Stop};
use crate::{Format, names};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;
use storage::{InternalDate, SourceFlags};

/// Longest first line: a length, and blanks.
const MAX_LENGTH_BYTES: u64 = 64;
/// Most of a property list that is read, bytes.
const MAX_PLIST_BYTES: u64 = 64 << 10;

/// Bits of `flags`.
mod bits {
    pub(super) const DELETED: u64 = 1 << 1;
    pub(super) const ANSWERED: u64 = 1 << 2;
    pub(super) const FLAGGED: u64 = 1 << 4;
    pub(super) const FORWARDED: u64 = 1 << 8;
}

/// A directory that waits to be read.
struct Dir {
    path: PathBuf,
    levels: Vec<String>,
    /// The mailbox that it belongs to.
    mailbox: Option<PathBuf>,
    depth: usize,
}

/// Goes through a directory of Apple Mail.
pub(crate) fn read(root: &Path, sink: &mut dyn Sink) -> Result<(), Stop> {
    let is_mailbox = is_mbox(root.file_name().unwrap_or_default());
    let mailbox = is_mailbox.then(|| root.to_owned());
    let mut stack = vec![Dir { path: root.to_owned(), levels: Vec::new(), mailbox, depth: 0 }];
    while let Some(dir) = stack.pop() {
        if dir.depth > MAX_DEPTH {
            skip(&dir, sink, &dir.path, format!("more than {MAX_DEPTH} directories deep: not read"), true)?;
            continue;
        }
        let entries = match entries(&dir.path) {
            Ok(entries) => entries,
            Err(error) => {
                skip(&dir, sink, &dir.path, format!("directory can't be read: {error}"), true)?;
                continue;
            }
        };
        for (name, kind) in &entries {
            if kind.is_file() && has_suffix(name, b".emlx") {
                file(&dir, name, sink)?;
            }
        }
        stack.extend(
            entries.iter().rev().filter(|(_, kind)| kind.is_dir()).filter_map(|(name, _)| below(&dir, name)),
        );
    }
    Ok(())
}

/// A directory in `dir`; none: it holds no mail.
fn below(dir: &Dir, name: &OsStr) -> Option<Dir> {
    let bytes = name.as_bytes();
    if bytes.starts_with(b".") || matches!(bytes, b"MailData" | b"Attachments" | b"RSS") {
        return None;
    }
    let path = dir.path.join(name);
    let mut levels = dir.levels.clone();
    let mut mailbox = dir.mailbox.clone();
    if is_mbox(name) {
        let stem = path.file_stem().unwrap_or(name);
        levels.push(names::level(stem.as_bytes()));
        mailbox = Some(path.clone());
    } else if mailbox.is_none() && !is_version(bytes) {
        levels.push(names::level(bytes));
    }
    Some(Dir { path, levels, mailbox, depth: dir.depth + 1 })
}

fn is_mbox(name: &OsStr) -> bool {
    has_suffix(name, b".mbox") || has_suffix(name, b".imapmbox")
}

fn has_suffix(name: &OsStr, suffix: &[u8]) -> bool {
    let name = name.as_bytes();
    name.len() > suffix.len()
        && name.get(name.len() - suffix.len()..).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
}

/// `V2` to `V10` and on.
fn is_version(name: &[u8]) -> bool {
    name.strip_prefix(b"V").is_some_and(|rest| !rest.is_empty() && rest.iter().all(u8::is_ascii_digit))
}

fn entries(path: &Path) -> io::Result<Vec<(OsString, fs::FileType)>> {
    let mut entries = fs::read_dir(path)?
        .map(|entry| entry.and_then(|entry| Ok((entry.file_name(), entry.file_type()?))))
        .collect::<io::Result<Vec<_>>>()?;
    // Mail numbers its files: 9 before 10.
    entries.sort_by(|(a, _), (b, _)| {
        let key = |name: &OsString| {
            (name.as_bytes().iter().take_while(|b| b.is_ascii_digit()).count(), name.clone())
        };
        key(a).cmp(&key(b))
    });
    Ok(entries)
}

fn folder(dir: &Dir, sink: &mut dyn Sink) -> usize {
    sink.folder(SourceFolder {
        root: None,
        source: names::text(dir.mailbox.as_deref().unwrap_or(&dir.path)),
        levels: dir.levels.clone(),
        format: Format::Emlx,
        given: false,
    })
}

fn skip(dir: &Dir, sink: &mut dyn Sink, path: &Path, reason: String, failed: bool) -> Result<(), Stop> {
    let folder = folder(dir, sink);
    sink.skip(Skipped { folder, place: names::text(path), reason, failed })
}

fn file(dir: &Dir, name: &OsStr, sink: &mut dyn Sink) -> Result<(), Stop> {
    let path = dir.path.join(name);
    if has_suffix(name, b".partial.emlx") {
        let reason = "Apple Mail has not all of it in this file, its attachments lie elsewhere decoded: archive it from its server, or \
                      have Mail export the mailbox";
        return skip(dir, sink, &path, reason.into(), true);
    }
    let emlx = match Emlx::open(&path) {
        Ok(emlx) => emlx,
        Err(error) => return skip(dir, sink, &path, format!("can't be read: {error}"), true),
    };
    if emlx.length == 0 {
        return skip(dir, sink, &path, "nothing in it".into(), false);
    }
    if emlx.flags & bits::DELETED != 0 {
        return skip(dir, sink, &path, "deleted in Apple Mail, not yet removed".into(), false);
    }
    let flags = SourceFlags {
        answered: emlx.flags & bits::ANSWERED != 0,
        flagged: emlx.flags & bits::FLAGGED != 0,
        forwarded: emlx.flags & bits::FORWARDED != 0,
    };
    let folder = folder(dir, sink);
    sink.message(Found {
        folder,
        place: names::text(&path),
        occurrence: names::text(Path::new(name)),
        prefix: Vec::new(),
        content: &mut (&emlx.file).take(emlx.length),
        date: emlx.received,
        modified: emlx.modified,
        flags,
    })
}

/// An opened file, standing at its message.
struct Emlx {
    file: File,
    length: u64,
    flags: u64,
    received: Option<InternalDate>,
    modified: InternalDate,
}

impl Emlx {
    fn open(path: &Path) -> io::Result<Emlx> {
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let mut file = File::open(path)?;
        let there = file.metadata()?;
        let mut head = Vec::new();
        file.by_ref().take(MAX_LENGTH_BYTES).read_to_end(&mut head)?;
        let end = memchr::memchr(b'\n', &head).ok_or_else(|| bad("its first line is no length"))?;
        let digits = std::str::from_utf8(head.get(..end).unwrap_or_default()).unwrap_or_default().trim();
        let length: u64 = digits.parse().map_err(|_| bad("its first line is no length"))?;
        let start = end as u64 + 1;
        let after = start.checked_add(length).filter(|after| *after <= there.len());
        let after = after.ok_or_else(|| bad("it is shorter than its first line says"))?;
        file.seek(SeekFrom::Start(after))?;
        let mut plist = Vec::new();
        file.by_ref().take(MAX_PLIST_BYTES).read_to_end(&mut plist)?;
        let plist = String::from_utf8_lossy(&plist);
        file.seek(SeekFrom::Start(start))?;
        let modified = there.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified = modified.and_then(|age| i64::try_from(age.as_secs()).ok()).unwrap_or(0);
        Ok(Emlx {
            file,
            length,
            flags: integer(&plist, "flags").and_then(|flags| u64::try_from(flags).ok()).unwrap_or(0),
            received: integer(&plist, "date-received")
                .filter(|secs| *secs > 0)
                .map(|secs| InternalDate { secs, zone: 0 }),
            modified: InternalDate { secs: modified, zone: 0 },
        })
    }
}

/// The number below `<key>name</key>` of a property list.
fn integer(plist: &str, name: &str) -> Option<i64> {
    let (_, rest) = plist.split_once(&format!("<key>{name}</key>"))?;
    let rest = rest.trim_start();
    let rest = rest.strip_prefix("<integer>").or_else(|| rest.strip_prefix("<real>"))?;
    let text = rest.split('<').next()?.trim();
    text.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Memory;

    fn emlx(message: &str, flags: u64) -> String {
        format!(
            "{:<10}\n{message}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<plist version=\"1.0\">\n<dict>\n\t<key>date-received</key>\n\t\
             <integer>1420066801</integer>\n\t<key>flags</key>\n\t<integer>{flags}</integer>\n</dict>\n</plist>\n",
            message.len()
        )
    }

    #[test]
    fn a_tree_of_mail() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("V10/AAAA-1/INBOX.mbox/BBBB-2/Data");
        let messages = data.join("Messages");
        let deep = data.join("1/2/Messages");
        let sub = dir.path().join("V10/AAAA-1/Work.mbox/Sub.mbox/Messages");
        for path in [&messages, &deep, &sub, &dir.path().join("V10/MailData"), &data.join("Attachments/7")] {
            fs::create_dir_all(path).unwrap();
        }
        fs::write(messages.join("10.emlx"), emlx("Subject: 10\n\nten\n", 1 << 2 | 1 << 4)).unwrap();
        fs::write(messages.join("9.emlx"), emlx("Subject: 9\n\nnine\n", 1)).unwrap();
        fs::write(messages.join("11.emlx"), emlx("Subject: 11\n\nghost\n", 1 | 1 << 1)).unwrap();
        fs::write(messages.join("12.partial.emlx"), emlx("Subject: 12\n\n", 1)).unwrap();
        fs::write(messages.join("13.emlx"), "99999\nSubject: short\n").unwrap();
        fs::write(messages.join("14.emlx"), "Subject: none\n").unwrap();
        fs::write(messages.join("notes.plist"), "x").unwrap();
        fs::write(deep.join("2001.emlx"), emlx("Subject: 2001\n\ndeep\n", 0)).unwrap();
        fs::write(sub.join("1.emlx"), emlx("Subject: 1\n\nsub\n", 0)).unwrap();
        fs::write(dir.path().join("V10/MailData/x.emlx"), "5\nhello").unwrap();
        let mut memory = Memory::default();
        read(dir.path(), &mut memory).unwrap();
        let found: Vec<_> = memory
            .messages
            .iter()
            .map(|message| {
                (
                    memory.folder(message),
                    String::from_utf8_lossy(&message.bytes).lines().next().unwrap_or_default().to_owned(),
                )
            })
            .collect();
        let wanted =
            [("AAAA-1/INBOX", 9), ("AAAA-1/INBOX", 10), ("AAAA-1/INBOX", 2001), ("AAAA-1/Work/Sub", 1)];
        assert_eq!(found, wanted.map(|(folder, n)| (folder.to_owned(), format!("Subject: {n}"))));
        let ten = memory.messages.iter().find(|message| message.occurrence == "10.emlx").unwrap();
        assert!(ten.flags.answered && ten.flags.flagged && !ten.flags.forwarded);
        assert_eq!(
            (ten.date, ten.bytes.as_slice()),
            (Some(1_420_066_801), b"Subject: 10\n\nten\n".as_slice())
        );
        let reasons: Vec<_> = memory.skipped.iter().map(|item| (item.failed, item.reason.as_str())).collect();
        assert_eq!(reasons.len(), 4, "{reasons:?}");
        assert_eq!(reasons.iter().filter(|(failed, _)| *failed).count(), 3);
        assert!(reasons.iter().any(|(_, reason)| reason.contains("decoded")));
    }

    #[test]
    fn one_mailbox_alone_and_a_truncated_file() {
        let dir = tempfile::tempdir().unwrap();
        let mailbox = dir.path().join("Old.mbox");
        fs::create_dir_all(mailbox.join("Messages")).unwrap();
        let whole = emlx("Subject: 1\n\nx\n", 0);
        for cut in [0, 1, 9, 11, 24] {
            fs::write(mailbox.join("Messages/1.emlx"), &whole[..cut]).unwrap();
            let mut memory = Memory::default();
            read(&mailbox, &mut memory).unwrap();
            assert_eq!((memory.messages.len(), memory.skipped.len()), (0, 1), "cut at {cut}");
        }
        fs::write(mailbox.join("Messages/1.emlx"), &whole[..25]).unwrap();
        let mut memory = Memory::default();
        read(&mailbox, &mut memory).unwrap();
        assert_eq!(memory.messages.len(), 1, "without its property list it is whole");
        assert_eq!(memory.folder(&memory.messages[0]), "");
    }

    #[test]
    fn depth_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut path = dir.path().join("A.mbox");
        for _ in 0..MAX_DEPTH - 1 {
            path.push("d");
        }
        fs::create_dir_all(&path).unwrap();
        fs::write(path.join("1.emlx"), emlx("A: b\n\n", 0)).unwrap();
        let mut memory = Memory::default();
        read(dir.path(), &mut memory).unwrap();
        assert_eq!((memory.messages.len(), memory.skipped.len()), (1, 0));
        fs::create_dir(path.join("d")).unwrap();
        let mut memory = Memory::default();
        read(dir.path(), &mut memory).unwrap();
        assert_eq!((memory.messages.len(), memory.skipped.len()), (1, 1));
    }
}
