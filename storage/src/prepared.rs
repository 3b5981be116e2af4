//! The work on a message that needs no lock: MIME structure, card, text, skeleton. Runs on any thread, before the batch.
//!
//! Invariant: whatever the bytes, there is a card; a panic of a parser costs the structure, never the message.

use crate::attachments::Attachments;
use crate::card::{Card, Dates};
use crate::incoming::Content;
use crate::mime::Tree;
use crate::order::Keys;
use crate::skeleton::{Parts, Skeleton};
use crate::text::SearchText;
use crate::{ContentHash, Error, Incoming, Limits};
use std::panic::AssertUnwindSafe;

/// Bytes that are looked through at once for a header's end.
const WINDOW_BYTES: u64 = 64 << 10;

/// An incoming message with its card and its searchable text, ready to be added to a batch.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) incoming: Incoming,
    pub(crate) parsed: Parsed,
    pub(crate) skeleton: Skeleton,
}

impl Prepared {
    /// Parses `incoming`. Never fails: a message that nothing can be understood of gets a card that shows its raw
    /// text, flagged; a panic of a parser is caught and counts as that.
    #[must_use]
    pub fn new(incoming: Incoming, limits: &Limits) -> Prepared {
        let parsed = Parsed::new(&incoming.content, limits);
        let skeleton = Skeleton::new(&incoming.content, parsed.header_len, &parsed.parts, limits);
        Prepared { incoming, parsed, skeleton }
    }
    /// The message's identity.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        self.incoming.hash
    }
    /// The date in seconds since 1970 (UTC) and the zone in minutes, of the topmost Received header, else of Date.
    #[must_use]
    pub fn dates(&self) -> Dates {
        self.parsed.card.dates
    }
    /// Whether the structure could not be understood (the raw bytes are kept all the same).
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.parsed.card.raw
    }
}

/// What the database keeps of a message beside its row.
pub(crate) type CardAndKeys = (Card, Keys);

/// What parsing gives; the same for the same bytes, when they are archived and when they are read again.
#[derive(Debug)]
pub(crate) struct Parsed {
    /// Bytes of the message's own header, blank line included.
    pub(crate) header_len: u64,
    pub(crate) card: Card,
    pub(crate) keys: Keys,
    pub(crate) text: SearchText,
    /// Parts whose text is not in `text` yet.
    pub(crate) attachments: Attachments,
    pub(crate) parts: Parts,
}

impl Parsed {
    pub(crate) fn new(content: &Content, limits: &Limits) -> Parsed {
        let size = content.len();
        let parse = || {
            let tree = Tree::parse(content.reader(), limits).ok()?;
            let header_len = tree.entities.first()?.header.end.min(size);
            let card = Card::new(&tree, content, limits);
            let (text, attachments) = SearchText::with_attachments(&tree, content, limits);
            let keys = Keys::new(&tree.entities.first()?.header_bytes, &card);
            Some(Parsed { header_len, card, keys, text, attachments, parts: Parts::new(&tree) })
        };
        match std::panic::catch_unwind(AssertUnwindSafe(parse)) {
            Ok(Some(parsed)) => parsed,
            Ok(None) | Err(_) => Parsed {
                header_len: header_end(content).unwrap_or(0),
                card: Card::raw(size),
                keys: Keys::default(),
                text: SearchText::default(),
                attachments: Attachments::default(),
                parts: Parts::default(),
            },
        }
    }
}

/// Where the first blank line ends; all of the content when there is none.
fn header_end(content: &Content) -> Result<u64, Error> {
    const BLANK: &[u8] = b"\r\n\r\n";
    if &content.read(0..2)?[..] == b"\r\n" {
        return Ok(2);
    }
    let mut at = 0;
    while at < content.len() {
        let window = content.read(at..at + WINDOW_BYTES)?;
        if let Some(found) = memchr::memmem::find(&window, BLANK) {
            return Ok(at + (found + BLANK.len()) as u64);
        }
        at += (window.len() as u64).saturating_sub(BLANK.len() as u64 - 1).max(1);
    }
    Ok(content.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_ends_with_its_first_blank_line_wherever_windows_meet() {
        let end = |bytes: &[u8]| header_end(&Content::Memory(bytes.to_vec().into())).unwrap();
        assert_eq!(end(b""), 0);
        assert_eq!(end(b"\r\nbody"), 2);
        assert_eq!(end(b"A: b\r\n\r\nbody\r\n\r\n"), 8);
        assert_eq!(end(b"no blank line\r\n"), 15);
        for before in WINDOW_BYTES as usize - 6..WINDOW_BYTES as usize + 2 {
            let mut bytes = vec![b'x'; before];
            bytes.extend_from_slice(b"\r\n\r\nbody");
            assert_eq!(end(&bytes), before as u64 + 4);
        }
    }
}
