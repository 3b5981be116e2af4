//! The content of a framed message as a stream: its pieces one after the other, quoted `From ` lines unquoted.
//!
//! Invariant: memory is one window, whatever the message's size or the length of its lines.

use super::{Framed, Quoting};
use crate::window::{ReadAt, Window};
use std::io::{self, Read};
use std::ops::Range;

/// Most `>` before a `From ` that are counted; a line with more stays as it is.
const MAX_QUOTES: usize = 1_000;

/// Reads a message's content.
pub(crate) struct Content<'a> {
    source: &'a dyn ReadAt,
    window: Window<'a>,
    rest: Option<Range<u64>>,
    quoting: Quoting,
    line_start: bool,
}

impl<'a> Content<'a> {
    /// The content of `framed`, which was found in `source`.
    pub(crate) fn new(source: &'a dyn ReadAt, framed: &Framed) -> Content<'a> {
        let [first, second] = framed.pieces.clone();
        Content {
            source,
            window: Window::new(source, first.start, first.end),
            rest: (!second.is_empty()).then_some(second),
            quoting: framed.quoting,
            line_start: true,
        }
    }

    /// How many bytes at the window are a quote to be left out.
    fn quote(&mut self) -> io::Result<usize> {
        let is_quote = match self.quoting {
            Quoting::None => false,
            Quoting::Plain => self.window.peek(6)?.starts_with(b">From "),
            Quoting::Reversible => {
                self.window.peek(1)?.first() == Some(&b'>') && {
                    let head = self.window.peek(MAX_QUOTES + 5)?;
                    let quotes = head.iter().take(MAX_QUOTES + 1).take_while(|byte| **byte == b'>').count();
                    quotes <= MAX_QUOTES && head.get(quotes..).is_some_and(|rest| rest.starts_with(b"From "))
                }
            }
        };
        Ok(usize::from(is_quote))
    }
}

impl Read for Content<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut done = 0;
        while done < out.len() {
            if self.line_start {
                let quote = self.quote()?;
                self.window.advance(quote);
                self.line_start = false;
            }
            let bytes = self.window.peek(1)?;
            if bytes.is_empty() {
                let Some(next) = self.rest.take() else { break };
                // The pieces meet at a line start: a field was taken from between them.
                self.line_start = true;
                self.window = Window::new(self.source, next.start, next.end);
                continue;
            }
            let room = out.get_mut(done..).unwrap_or_default();
            let bytes = bytes.get(..bytes.len().min(room.len())).unwrap_or_default();
            let step = if self.quoting == Quoting::None {
                bytes.len()
            } else {
                self.line_start = true;
                memchr::memchr(b'\n', bytes).map_or_else(
                    || {
                        self.line_start = false;
                        bytes.len()
                    },
                    |at| at + 1,
                )
            };
            room.get_mut(..step).unwrap_or_default().copy_from_slice(bytes.get(..step).unwrap_or_default());
            done += step;
            self.window.advance(step);
        }
        Ok(done)
    }
}
