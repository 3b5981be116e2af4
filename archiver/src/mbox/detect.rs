//! Which variant an mbox is, by its content.
//!
//! - mboxcl and mboxcl2: in nine of ten messages at least, Content-Length leads to the next From_ line. mboxcl2 if a body
//!   has an unquoted `From ` line, mboxcl if only quoted ones; with neither it is all the same (mboxcl2 is said).
//! - mboxo and mboxrd differ only in lines with two `>` and more before `From `, and those look alike: a reply's quotes are
//!   `>` too. The lines around tell: among lines quoted `> ` once, `>>From ` is the reply to a mangled line (mboxo), while
//!   `>>>From ` is that with a quote added (mboxrd). Without evidence mboxo is said, which changes the least.
//!
//! Looks at the first `DETECT_BYTES` only; the user can say what the file is.

use super::{Entry, LOOK_AHEAD, Mbox};
use crate::Format;
use crate::window::{ReadAt, Window};
use std::io;

/// How much of a file is looked at.
pub(crate) const DETECT_BYTES: u64 = 32 << 20;

/// Where looking ends, even in the middle of a message that is longer than this.
const MAX_BYTES: u64 = 512 << 20;

/// The variant of the mbox `source` of `size` bytes.
pub(crate) fn detect(source: &dyn ReadAt, size: u64) -> io::Result<Format> {
    let mut seen = Seen::default();
    // As mboxcl2, a message with a right Content-Length is framed by it and any other by From_ lines.
    let mut mbox = Mbox::new(source, size.min(MAX_BYTES), Format::Mboxcl2);
    while let Some(entry) = mbox.next_entry()? {
        if let Entry::Message(framed) = entry {
            seen.messages += 1;
            seen.with_length += u64::from(framed.by_length);
            let start = framed.pieces[0].start;
            let end = framed.pieces.iter().map(|piece| piece.end).max().unwrap_or(start);
            seen.lines(&mut Window::new(source, start, end.min(start.saturating_add(DETECT_BYTES))))?;
        }
        if mbox.window.offset() > DETECT_BYTES {
            break;
        }
    }
    Ok(seen.format())
}

/// What was seen.
#[derive(Debug, Default)]
struct Seen {
    messages: u64,
    /// Messages whose Content-Length is right.
    with_length: u64,
    /// Lines that begin with `From ` inside a message.
    unquoted: u64,
    /// Lines that begin with `>From `.
    quoted: u64,
    /// Evidence for mboxo.
    plain: u64,
    /// Evidence for mboxrd.
    reversible: u64,
}

impl Seen {
    fn format(&self) -> Format {
        if self.with_length > 0 && self.with_length * 10 >= self.messages * 9 {
            return if self.unquoted > 0 || self.quoted == 0 { Format::Mboxcl2 } else { Format::Mboxcl };
        }
        if self.reversible > self.plain { Format::Mboxrd } else { Format::Mboxo }
    }

    fn lines(&mut self, window: &mut Window<'_>) -> io::Result<()> {
        let mut before = Margin::default();
        // A quoted line whose evidence needs the line below it.
        let mut waiting: Option<(usize, Margin)> = None;
        loop {
            let head = window.peek(LOOK_AHEAD)?;
            if head.is_empty() {
                break;
            }
            let quotes = head.iter().take_while(|byte| **byte == b'>').count();
            let is_from = head.get(quotes..).is_some_and(|rest| rest.starts_with(b"From "));
            let margin = Margin::of(head);
            if let Some((depth, above)) = waiting.take() {
                self.weigh(depth, if margin.depth > above.depth { margin } else { above });
            }
            if is_from {
                match quotes {
                    0 => self.unquoted += 1,
                    _ => {
                        self.quoted += 1;
                        waiting = Some((quotes, before));
                    }
                }
            } else {
                before = margin;
            }
            window.skip_line()?;
        }
        if let Some((depth, above)) = waiting {
            self.weigh(depth, above);
        }
        Ok(())
    }

    /// Weighs a line of `quotes` `>` before `From ` between lines quoted as `around`.
    fn weigh(&mut self, quotes: usize, around: Margin) {
        if around.depth == 0 || quotes < 2 {
            return;
        }
        // `> text` around: a reply puts a blank behind its `>`, so the `>` that touches `From ` was there before it.
        let plain = around.depth + usize::from(around.spaced);
        if quotes <= plain {
            self.plain += 1;
        } else {
            self.reversible += 1;
        }
    }
}

/// How a line is quoted by a reply.
#[derive(Debug, Clone, Copy, Default)]
struct Margin {
    depth: usize,
    /// A blank stands behind the last `>`.
    spaced: bool,
}

impl Margin {
    fn of(line: &[u8]) -> Margin {
        let mut margin = Margin::default();
        for byte in line.iter().take(200) {
            match byte {
                b'>' => margin = Margin { depth: margin.depth + 1, spaced: false },
                b' ' if margin.depth > 0 && !margin.spaced => margin.spaced = true,
                b'\r' | b'\n' if margin.depth > 0 => {
                    // `>` alone is how `> ` is written on an empty line.
                    margin.spaced = true;
                    break;
                }
                _ => break,
            }
        }
        margin
    }
}
