//! What the header of a message in a mailbox file tells the archiver: flags, Content-Length, the mailbox program's own fields.
//!
//! Invariant: reads line by line, remembers no more than a few values, and never moves past the blank line that ends the
//! header (or a From_ line in its place).

use super::{LOOK_AHEAD, is_separator};
use crate::window::Window;
use std::io;
use std::ops::Range;
use storage::SourceFlags;

/// Fields that mailbox programs write right below the From_ line: they are not part of the message, and they change.
const BOOKKEEPING: [&str; 7] = [
    "X-Mozilla-Status",
    "X-Mozilla-Status2",
    "X-Mozilla-Keys",
    "X-Account-Key",
    "X-UIDL",
    "X-GM-THRID",
    "X-Gmail-Labels",
];

/// Longest bookkeeping field that goes to the prefix; a longer one stays in the message.
const MAX_BOOKKEEPING_BYTES: u64 = 16 << 10;

/// Marks of Thunderbird in X-Mozilla-Status.
mod mozilla {
    pub(super) const REPLIED: u32 = 0x0002;
    pub(super) const MARKED: u32 = 0x0004;
    pub(super) const EXPUNGED: u32 = 0x0008;
    pub(super) const FORWARDED: u32 = 0x1000;
}

/// A header, as far as the archiver asks.
#[derive(Debug, Default)]
pub(super) struct Header {
    /// Where the message begins: below the bookkeeping.
    pub(super) start: u64,
    /// Where the body begins.
    pub(super) body: u64,
    /// A blank line ends the header.
    pub(super) blank_end: bool,
    /// The last Content-Length field: where it stands, and its value.
    pub(super) content_length: Option<(Range<u64>, u64)>,
    /// That field's bytes.
    pub(super) content_length_bytes: Vec<u8>,
    /// Flags.
    pub(super) flags: SourceFlags,
    /// Deleted, but still in the file.
    pub(super) deleted: bool,
}

impl Header {
    /// Reads the header at the window; the bookkeeping at its top is added to `prefix`.
    pub(super) fn read(window: &mut Window<'_>, prefix: &mut Vec<u8>) -> io::Result<Header> {
        let mut header = Header::default();
        while let Some(field) = bookkeeping(window)? {
            header.mark(&field);
            prefix.extend_from_slice(&field);
            window.advance(field.len());
        }
        header.start = window.offset();
        loop {
            let at = window.offset();
            let head = window.peek(LOOK_AHEAD)?;
            if head.is_empty() || is_separator(head, false) {
                break;
            }
            let line = head.get(..super::envelope_len(head)).unwrap_or_default().to_vec();
            let Some(skipped) = window.skip_line()? else { break };
            if skipped.blank {
                header.blank_end = true;
                break;
            }
            header.mark(&line);
            if let Some(length) = value(&line, "Content-Length").and_then(|text| text.parse().ok()) {
                header.content_length = Some((at..window.offset(), length));
                header.content_length_bytes = line;
            }
        }
        header.body = window.offset();
        Ok(header)
    }

    fn mark(&mut self, line: &[u8]) {
        if let Some(status) = value(line, "X-Status") {
            self.flags.answered |= status.contains('A');
            self.flags.flagged |= status.contains('F');
        } else if let Some(status) = value(line, "X-Mozilla-Status") {
            let bits = u32::from_str_radix(status, 16).unwrap_or(0);
            self.flags.answered |= bits & mozilla::REPLIED != 0;
            self.flags.flagged |= bits & mozilla::MARKED != 0;
            self.flags.forwarded |= bits & mozilla::FORWARDED != 0;
            self.deleted |= bits & mozilla::EXPUNGED != 0;
        }
    }
}

/// The value of the field `name` if `line` is one, without white space around it.
fn value<'a>(line: &'a [u8], name: &str) -> Option<&'a str> {
    let (head, rest) = line.split_at_checked(name.len())?;
    let rest = rest.strip_prefix(b":")?;
    head.eq_ignore_ascii_case(name.as_bytes()).then(|| std::str::from_utf8(rest).ok())?.map(str::trim)
}

/// The bookkeeping field at the window, folded lines included; `None` if another line stands there.
fn bookkeeping(window: &mut Window<'_>) -> io::Result<Option<Vec<u8>>> {
    let head = window.peek(64)?;
    if !BOOKKEEPING
        .iter()
        .any(|name| value(head.split(|b| *b == b'\n').next().unwrap_or(head), name).is_some())
    {
        return Ok(None);
    }
    let head = window.peek(usize::try_from(MAX_BOOKKEEPING_BYTES).unwrap_or(usize::MAX))?;
    let mut len = 0;
    while let Some(end) = head.get(len..).and_then(|rest| memchr::memchr(b'\n', rest)) {
        len += end + 1;
        if len as u64 > MAX_BOOKKEEPING_BYTES {
            return Ok(None);
        }
        if !matches!(head.get(len), Some(b' ' | b'\t')) {
            return Ok(head.get(..len).map(<[u8]>::to_vec));
        }
    }
    Ok(None)
}
