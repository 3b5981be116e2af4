//! mbox in its variants: where each message of the file lies, and what is its content.
//!
//! Framing reads by offset and keeps nothing but a window: an mbox of any size costs the same memory. A message is taken
//! as it was before it was put into the mbox: the From_ line and the fields that the mailbox program put right below it
//! (Mozilla's status, Takeout's labels, and Content-Length in mboxcl) go to the prefix, quoted `From ` lines are unquoted
//! as the variant says, and the blank line before the next From_ line belongs to the file.
//!
//! Invariant: every byte of the file is in a message, in a prefix, part of a separator, or named in a `Skip`.

mod content;
mod detect;
mod header;

pub(crate) use content::Content;
pub(crate) use detect::{DETECT_BYTES, detect};

use crate::window::{ReadAt, Window};
use crate::{Format, from_line, sniff};
use header::Header;
use std::io;
use std::ops::Range;
use storage::{InternalDate, SourceFlags};

/// How far a separator looks ahead: its own line and the beginning of the next.
const LOOK_AHEAD: usize = from_line::MAX_LINE_BYTES + 300;

/// A message of a mailbox file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Framed {
    /// Offset of its separator: the occurrence.
    pub(crate) at: u64,
    /// Bytes that belong to the file only.
    pub(crate) prefix: Vec<u8>,
    /// Where the content lies: two pieces, since Content-Length may have been taken from between them.
    pub(crate) pieces: [Range<u64>; 2],
    /// How its `From ` lines are quoted.
    pub(crate) quoting: Quoting,
    /// The From_ line's date.
    pub(crate) date: Option<InternalDate>,
    /// Flags in the header.
    pub(crate) flags: SourceFlags,
    /// The mailbox program has marked it as deleted.
    pub(crate) deleted: bool,
    /// Framed by its Content-Length.
    pub(crate) by_length: bool,
}

impl Framed {
    /// Bytes of the content in the file.
    pub(crate) fn len(&self) -> u64 {
        self.pieces.iter().map(|piece| piece.end.saturating_sub(piece.start)).sum()
    }
}

/// How lines that begin with `From ` were changed to stand in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quoting {
    /// Not at all.
    None,
    /// `From ` got a `>`; lines that had one are not told apart.
    Plain,
    /// `From ` behind any number of `>` got one more.
    Reversible,
}

impl Quoting {
    /// The variant's quoting.
    pub(crate) fn of(format: Format) -> Quoting {
        match format {
            Format::Mboxo | Format::Mboxcl => Quoting::Plain,
            Format::Mboxrd => Quoting::Reversible,
            _ => Quoting::None,
        }
    }
}

/// One thing found in a mailbox file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A message.
    Message(Framed),
    /// Bytes that are no message.
    Skip {
        /// Where.
        at: u64,
        /// Why.
        reason: String,
        /// Whether something may be lost (else it is left out by rule).
        failed: bool,
    },
}

/// Goes through an mbox file, message by message.
pub(crate) struct Mbox<'a> {
    window: Window<'a>,
    size: u64,
    format: Format,
    started: bool,
}

impl<'a> Mbox<'a> {
    /// The messages of `source`, `size` bytes, in the given variant.
    pub(crate) fn new(source: &'a dyn ReadAt, size: u64, format: Format) -> Mbox<'a> {
        Mbox { window: Window::new(source, 0, size), size, format, started: false }
    }

    /// The next entry; `None` at the end.
    pub(crate) fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        if !self.started {
            self.started = true;
            if let Some(entry) = self.leading()? {
                return Ok(Some(entry));
            }
        }
        let at = self.window.offset();
        let head = self.window.peek(LOOK_AHEAD)?;
        if head.is_empty() {
            return Ok(None);
        }
        let len = envelope_len(head);
        let envelope = head.get(..len).unwrap_or_default();
        let date = from_line::internal_date(envelope);
        let prefix = envelope.to_vec();
        self.window.advance(len);
        self.message(at, prefix, date).map(Some)
    }

    /// What stands before the first From_ line: nothing or blank lines as a rule, else a message without a From_ line,
    /// else something that is no mail.
    fn leading(&mut self) -> io::Result<Option<Entry>> {
        if self.window.peek(sniff::BOM.len())?.starts_with(sniff::BOM) {
            self.window.advance(sniff::BOM.len());
        }
        while let [b'\r' | b'\n', ..] = self.window.peek(1)? {
            self.window.advance(1);
        }
        let at = self.window.offset();
        let head = self.window.peek(sniff::HEAD_BYTES)?;
        if head.is_empty() || sniff::from_line_len(head).is_some() {
            return Ok(None);
        }
        if sniff::kind(head) == sniff::Kind::Message {
            return self.message(at, Vec::new(), None).map(Some);
        }
        self.find_separator(false)?;
        let len = self.window.offset() - at;
        let reason = format!("{len} bytes before the first From_ line are no message");
        Ok(Some(Entry::Skip { at, reason, failed: true }))
    }

    /// The message whose From_ line (`prefix`) was just passed.
    fn message(&mut self, at: u64, mut prefix: Vec<u8>, date: Option<InternalDate>) -> io::Result<Entry> {
        let header = Header::read(&mut self.window, &mut prefix)?;
        let mut pieces = [header.start..header.start, header.start..header.start];
        let sized = matches!(self.format, Format::Mboxcl | Format::Mboxcl2)
            .then(|| self.content_length_end(&header))
            .transpose()?
            .flatten();
        let by_length = sized.is_some();
        if let Some((field, end, next)) = sized {
            pieces = [header.start..field.start, field.end..end];
            prefix.extend_from_slice(&header.content_length_bytes);
            self.window.seek(next);
        } else {
            self.window.seek(header.body);
            pieces[0].end = self.find_separator(header.blank_end)?;
        }
        let framed = Framed {
            at,
            prefix,
            pieces,
            quoting: Quoting::of(self.format),
            date,
            flags: header.flags,
            deleted: header.deleted,
            by_length,
        };
        if framed.len() == 0 {
            return Ok(Entry::Skip { at, reason: "nothing between two From_ lines".into(), failed: false });
        }
        Ok(Entry::Message(framed))
    }

    /// The Content-Length field, where the body ends and where the next From_ line stands, if the length is right: if it
    /// leads to the end of the file or to a From_ line, blank lines in between.
    fn content_length_end(&mut self, header: &Header) -> io::Result<Option<(Range<u64>, u64, u64)>> {
        let Some((field, length)) = header.content_length.clone() else { return Ok(None) };
        let Some(end) = header.body.checked_add(length).filter(|end| *end <= self.size) else {
            return Ok(None);
        };
        self.window.seek(end.saturating_sub(1));
        let behind_line = end == header.body || self.window.peek(1)?.first() == Some(&b'\n');
        self.window.seek(end);
        let mut blanks = 0;
        while let [b'\r' | b'\n', ..] = self.window.peek(1)? {
            blanks += 1;
            if blanks > 4 {
                return Ok(None);
            }
            self.window.advance(1);
        }
        let next = self.window.offset();
        let head = self.window.peek(LOOK_AHEAD)?;
        let right = head.is_empty() || ((behind_line || blanks > 0) && sniff::from_line_len(head).is_some());
        Ok(right.then_some((field, end, next)))
    }

    /// Moves to the next From_ line or to the end; gives where the content before it ends. `header_end`: the line before
    /// is the blank one that ends the header, and is no separator's.
    fn find_separator(&mut self, header_end: bool) -> io::Result<u64> {
        // The blank line that would belong to a separator here.
        let mut blank = 0;
        let mut after_blank = header_end;
        loop {
            let at = self.window.offset();
            let head = self.window.peek(LOOK_AHEAD)?;
            if head.is_empty() || is_separator(head, after_blank) {
                return Ok(at - blank);
            }
            let Some(line) = self.window.skip_line()? else { return Ok(at - blank) };
            blank = if line.blank { line.len } else { 0 };
            after_blank = line.blank;
        }
    }
}

/// Whether a From_ line stands at the beginning of `head`. Behind a blank line a readable date decides; elsewhere a
/// header must follow as well. `From -` alone is how Mozilla once wrote it.
pub(crate) fn is_separator(head: &[u8], after_blank: bool) -> bool {
    if !head.starts_with(b"From ") {
        return false;
    }
    let len = envelope_len(head);
    let (line, next) = head.split_at_checked(len).unwrap_or((head, b""));
    if matches!(line.trim_ascii_end(), b"From -") {
        return after_blank && sniff::is_field(next);
    }
    from_line::date(line).is_some() && (sniff::is_field(next) || (after_blank && follows_envelope(next)))
}

/// What may follow a From_ line besides a field: the end of the file, a blank line, another From_ line, a quoted one.
fn follows_envelope(next: &[u8]) -> bool {
    matches!(next, [] | [b'\n' | b'\r', ..]) || next.starts_with(b"From ") || next.starts_with(b">From ")
}

/// The length of the line at the beginning of `head`, line end included.
pub(crate) fn envelope_len(head: &[u8]) -> usize {
    memchr::memchr(b'\n', head).map_or(head.len().min(from_line::MAX_LINE_BYTES), |at| at + 1)
}

#[cfg(test)]
mod tests;
