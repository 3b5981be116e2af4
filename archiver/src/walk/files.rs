//! One file: an EML, a mailbox file, or neither.
//!
//! - `*.eml` is one message, whatever it holds. A From_ line at its top is an envelope line: prefix, not message.
//! - A From_ line at the top and another separator below, or a mailbox's name (`.mbox`, `.mbx`, or no dot and not a number, as
//!   Thunderbird and mutt name folders), make an mbox: a folder of its own. Otherwise it is one message with envelope line.
//! - Four ^A make MMDF. A header with a field that only mail has makes one message.
//! - Anything else is left out with its name and the reason (fails when it was named by the user itself).

use super::{Folder, Found, Skipped, SourceFolder, Stop, Walk};
use crate::mbox::{self, Content, Entry, Mbox};
use crate::mmdf::Mmdf;
use crate::window::Window;
use crate::{Format, from_line, mh, names, sniff};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::UNIX_EPOCH;
use storage::{InternalDate, SourceFlags};

/// What is known of a message before its file is opened.
pub(super) struct Facts {
    pub(super) folder: usize,
    pub(super) occurrence: String,
    pub(super) date: Option<InternalDate>,
    pub(super) flags: SourceFlags,
}

/// An opened file.
struct Opened {
    file: File,
    size: u64,
    modified: InternalDate,
    head: Vec<u8>,
}

impl Opened {
    fn new(path: &Path) -> io::Result<Opened> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        let secs = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .and_then(|age| i64::try_from(age.as_secs()).ok())
            .unwrap_or(0);
        let most =
            usize::try_from(metadata.len()).map_or(sniff::HEAD_BYTES, |len| len.min(sniff::HEAD_BYTES));
        // One more than there should be, so that the end is found without making room for what isn't there.
        let mut head = Vec::with_capacity(most + 1);
        file.by_ref().take(sniff::HEAD_BYTES as u64).read_to_end(&mut head)?;
        Ok(Opened { file, size: metadata.len(), modified: InternalDate { secs, zone: 0 }, head })
    }
}

/// What a file is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Message,
    Mailbox(Format),
    /// Mail of a kind that is not read.
    Foreign(&'static str),
    Skip {
        reason: &'static str,
        failed: bool,
    },
}

const EMPTY: &str = "empty file";

impl Walk<'_> {
    /// A file by its own kind; `named`: the user named this very file.
    pub(super) fn file(
        &mut self,
        folder: &Folder,
        name: &OsStr,
        path: &Path,
        named: bool,
    ) -> Result<(), Stop> {
        let opened = match Opened::new(path) {
            Ok(opened) => opened,
            Err(error) => return self.item(folder, path, format!("can't be read: {error}"), true),
        };
        let kind = match self.kind(name.as_bytes(), &opened, named) {
            Ok(kind) => kind,
            Err(error) => return self.item(folder, path, format!("can't be read: {error}"), true),
        };
        match kind {
            Kind::Skip { reason, failed } => self.item(folder, path, reason.into(), failed),
            Kind::Foreign(what) => {
                let reason = format!("{what}: not read; export it as EML or mbox");
                self.item(folder, path, reason, true)
            }
            Kind::Message => {
                let id = self.sink.folder(folder.source(Format::Eml, self.format.is_some()));
                let facts = Facts {
                    folder: id,
                    occurrence: names::text(Path::new(name)),
                    date: None,
                    flags: SourceFlags::default(),
                };
                self.opened_message(path, opened, facts)
            }
            Kind::Mailbox(format) => {
                let mut levels = folder.levels.clone();
                if !named {
                    levels.push(names::level(mailbox_name(name.as_bytes())));
                }
                let given = self.format.is_some();
                let id = self.sink.folder(SourceFolder {
                    root: None,
                    source: names::text(path),
                    levels,
                    format,
                    given,
                });
                self.mailbox(path, &opened, id, format)
            }
        }
    }

    fn kind(&self, name: &[u8], opened: &Opened, named: bool) -> io::Result<Kind> {
        if opened.head.is_empty() {
            return Ok(Kind::Skip { reason: EMPTY, failed: false });
        }
        let variant = || mbox::detect(&opened.file, opened.size).map(Kind::Mailbox);
        match self.format {
            Some(Format::Eml) => return Ok(Kind::Message),
            Some(
                format @ (Format::Mmdf | Format::Mboxo | Format::Mboxrd | Format::Mboxcl | Format::Mboxcl2),
            ) => {
                return Ok(Kind::Mailbox(format));
            }
            Some(Format::Maildir | Format::Mh | Format::Emlx | Format::Imap | Format::Pop3) | None => {}
        }
        if has_extension(name, &["eml"]) {
            return Ok(Kind::Message);
        }
        if let Some(what) = sniff::foreign(name, &opened.head) {
            return Ok(Kind::Foreign(what));
        }
        let is_mailbox_name = has_extension(name, &["mbox", "mbx"]);
        match sniff::kind(&opened.head) {
            sniff::Kind::Empty => Ok(Kind::Skip { reason: EMPTY, failed: false }),
            sniff::Kind::Mmdf => Ok(Kind::Mailbox(Format::Mmdf)),
            sniff::Kind::Mbox => {
                let plain_name = !name.contains(&b'.') && mh::number(name).is_none();
                if is_mailbox_name || plain_name || has_second_message(opened)? {
                    variant()
                } else {
                    Ok(Kind::Message)
                }
            }
            sniff::Kind::Message if is_mailbox_name => variant(),
            sniff::Kind::Message => Ok(Kind::Message),
            sniff::Kind::Compressed => {
                Ok(Kind::Skip { reason: "a packed file: unpack it to archive what it holds", failed: named })
            }
            sniff::Kind::Other if is_mailbox_name => variant(),
            sniff::Kind::Other => {
                Ok(Kind::Skip { reason: "no mail: no mail header at its beginning", failed: named })
            }
        }
    }

    /// A file that is one message by its place (Maildir, MH).
    pub(super) fn message_file(&mut self, path: &Path, facts: Facts) -> Result<(), Stop> {
        let opened = match Opened::new(path) {
            Ok(opened) => opened,
            Err(error) => return self.skip(facts.folder, path, format!("can't be read: {error}"), true),
        };
        if sniff::is_compressed(&opened.head) {
            let reason = "a message packed by the server: have it unpack its mail first".into();
            return self.skip(facts.folder, path, reason, true);
        }
        self.opened_message(path, opened, facts)
    }

    fn opened_message(&mut self, path: &Path, mut opened: Opened, facts: Facts) -> Result<(), Stop> {
        let prefix = sniff::from_line_len(&opened.head)
            .and_then(|len| opened.head.get(..len))
            .unwrap_or_default()
            .to_vec();
        if opened.head.len() == prefix.len() {
            let reason = if prefix.is_empty() { EMPTY } else { "nothing but an envelope line" };
            return self.skip(facts.folder, path, reason.into(), false);
        }
        if let Err(error) = opened.file.seek(SeekFrom::Start(opened.head.len() as u64)) {
            return self.skip(facts.folder, path, format!("can't be read: {error}"), true);
        }
        let head = opened.head.get(prefix.len()..).unwrap_or_default();
        self.sink.message(Found {
            folder: facts.folder,
            place: names::text(path),
            occurrence: facts.occurrence,
            date: facts.date.or_else(|| from_line::internal_date(&prefix)),
            prefix,
            content: &mut head.chain(&opened.file),
            modified: opened.modified,
            flags: facts.flags,
        })
    }

    fn mailbox(&mut self, path: &Path, opened: &Opened, folder: usize, format: Format) -> Result<(), Stop> {
        let mut mbox = Mbox::new(&opened.file, opened.size, format);
        let mut mmdf = Mmdf::new(&opened.file, opened.size);
        let place = names::text(path);
        for count in 0_u64.. {
            let entry = if format == Format::Mmdf { mmdf.next_entry() } else { mbox.next_entry() };
            match entry {
                Ok(None) if count == 0 => {
                    let reason = "no message in it".into();
                    return self.sink.skip(Skipped { folder, place, reason, failed: false });
                }
                Ok(None) => return Ok(()),
                Ok(Some(Entry::Skip { at, reason, failed })) => {
                    self.sink.skip(Skipped {
                        folder,
                        place: format!("{place} at byte {at}"),
                        reason,
                        failed,
                    })?;
                }
                Ok(Some(Entry::Message(framed))) if framed.deleted => {
                    let place = format!("{place} at byte {}", framed.at);
                    let reason = "deleted in Thunderbird, the folder not yet compacted".into();
                    self.sink.skip(Skipped { folder, place, reason, failed: false })?;
                }
                Ok(Some(Entry::Message(framed))) => {
                    let mut content = Content::new(&opened.file, &framed);
                    self.sink.message(Found {
                        folder,
                        place: format!("{place} at byte {}", framed.at),
                        occurrence: framed.at.to_string(),
                        prefix: framed.prefix,
                        content: &mut content,
                        date: framed.date,
                        modified: opened.modified,
                        flags: framed.flags,
                    })?;
                }
                Err(error) => {
                    let reason = format!("can't be read on from here: {error}");
                    return self.sink.skip(Skipped { folder, place, reason, failed: true });
                }
            }
        }
        Ok(())
    }

    fn skip(&mut self, folder: usize, path: &Path, reason: String, failed: bool) -> Result<(), Stop> {
        self.sink.skip(Skipped { folder, place: names::text(path), reason, failed })
    }
}

/// Whether another From_ line follows the one at the top; a file above the bound is taken for a mailbox unread.
fn has_second_message(opened: &Opened) -> io::Result<bool> {
    let mut window = Window::new(&opened.file, 0, opened.size.min(mbox::DETECT_BYTES));
    let mut after_blank = false;
    let mut first = true;
    loop {
        let head = window.peek(from_line::MAX_LINE_BYTES + 300)?;
        if head.is_empty() {
            return Ok(opened.size > mbox::DETECT_BYTES);
        }
        if mbox::is_separator(head, after_blank) && !first {
            return Ok(true);
        }
        let Some(line) = window.skip_line()? else { return Ok(false) };
        first &= line.blank;
        after_blank = line.blank;
    }
}

fn has_extension(name: &[u8], extensions: &[&str]) -> bool {
    let extension = Path::new(OsStr::from_bytes(name)).extension().map(OsStr::as_bytes).unwrap_or_default();
    extensions.iter().any(|wanted| extension.eq_ignore_ascii_case(wanted.as_bytes()))
}

/// A mailbox file's name as a folder's: without the extension that says what it is.
fn mailbox_name(name: &[u8]) -> &[u8] {
    if has_extension(name, &["mbox", "mbx", "mmdf"]) {
        Path::new(OsStr::from_bytes(name)).file_stem().map_or(name, OsStr::as_bytes)
    } else {
        name
    }
}
