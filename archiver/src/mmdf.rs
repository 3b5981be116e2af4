//! MMDF: messages between lines of four ^A, nothing quoted.
//!
//! Invariant: as in `mbox`, every byte is in a message, in a prefix, part of a separator, or named in a `Skip`. A From_ line
//! at the top of a message goes to its prefix.

use crate::mbox::{Entry, Framed, Quoting};
use crate::window::{ReadAt, Window};
use crate::{from_line, sniff};
use std::io;
use storage::SourceFlags;

/// Goes through an MMDF file.
pub(crate) struct Mmdf<'a> {
    window: Window<'a>,
}

impl<'a> Mmdf<'a> {
    /// The messages of `source`, `size` bytes.
    pub(crate) fn new(source: &'a dyn ReadAt, size: u64) -> Mmdf<'a> {
        Mmdf { window: Window::new(source, 0, size) }
    }

    /// The next entry; `None` at the end.
    pub(crate) fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        let mut at = self.window.offset();
        let opened = self.separator()?;
        while let (false, [b'\r' | b'\n', ..]) = (opened, self.window.peek(1)?) {
            self.window.advance(1);
            at += 1;
        }
        let start = self.window.offset();
        let mut framed = Framed {
            at,
            prefix: Vec::new(),
            pieces: [start..start, start..start],
            quoting: Quoting::None,
            date: None,
            flags: SourceFlags::default(),
            deleted: false,
            by_length: false,
        };
        let head = self.window.peek(sniff::HEAD_BYTES)?;
        if head.is_empty() {
            return Ok(None);
        }
        let is_mail = sniff::kind(head) == sniff::Kind::Message;
        if let Some(len) = sniff::from_line_len(head) {
            let line = head.get(..len).unwrap_or_default();
            framed.date = from_line::internal_date(line);
            framed.prefix = line.to_vec();
            self.window.advance(len);
        }
        let start = self.window.offset();
        let (end, closed) = self.find_end()?;
        framed.pieces = [start..end, end..end];
        let entry = if framed.len() == 0 {
            Entry::Skip { at, reason: "nothing between two separators".into(), failed: false }
        } else if opened || is_mail || !framed.prefix.is_empty() {
            if !opened && closed {
                tracing::debug!(at, "a message without the separator before it");
            }
            Entry::Message(framed)
        } else {
            let reason = format!("{} bytes between two messages are no message", end - start);
            Entry::Skip { at, reason, failed: true }
        };
        Ok(Some(entry))
    }

    /// Passes a separator if one stands here.
    fn separator(&mut self) -> io::Result<bool> {
        let len = separator_len(self.window.peek(6)?);
        self.window.advance(len);
        Ok(len > 0)
    }

    /// Moves past the message's closing separator: where its content ends, and whether the separator was there.
    fn find_end(&mut self) -> io::Result<(u64, bool)> {
        loop {
            let at = self.window.offset();
            if self.separator()? {
                return Ok((at, true));
            }
            if self.window.skip_line()?.is_none() {
                return Ok((at, false));
            }
        }
    }
}

fn separator_len(head: &[u8]) -> usize {
    match head {
        [1, 1, 1, 1, b'\r', b'\n', ..] => 6,
        [1, 1, 1, 1, b'\n', ..] => 5,
        [1, 1, 1, 1] => 4,
        _ => 0,
    }
}
