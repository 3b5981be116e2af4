//! The card: all that IMAP needs of a message without its body, made once at archive time as ready IMAP bytes.
//!
//! Invariant: ENVELOPE and BODYSTRUCTURE are syntactically right (RFC 9051 §9) for every input, 7-bit, free of NUL, bare CR and
//! LF outside literals (no literal is ever needed: what doesn't fit a quoted string is cut or replaced). A version stands in each.

use crate::{Error, Limits, incoming::Content, mime::Tree};
use bytes::Bytes;
use std::ops::Range;

/// The layout version of encoded cards; an older one is made anew from the message.
pub const CARD_VERSION: u8 = 1;

/// A date with the zone it was written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zoned {
    /// Seconds since 1970-01-01 00:00 UTC.
    pub secs: i64,
    /// Offset from UTC in minutes, as written.
    pub zone: i16,
}

/// The dates in a message's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dates {
    /// Of the topmost Received field.
    pub received: Option<Zoned>,
    /// Of the Date field.
    pub sent: Option<Zoned>,
}

/// A message's card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// RFC822.SIZE: octets of the canonical bytes.
    pub size: u64,
    /// Dates in the header.
    pub dates: Dates,
    /// ENVELOPE's value, from `(` to `)`.
    pub envelope: Bytes,
    /// BODYSTRUCTURE's value with all extension data, from `(` to `)`.
    pub bodystructure: Bytes,
    /// Where every entity lies, for section fetches without the body: see [`Parts`].
    pub parts: Bytes,
    /// The structure could not be understood; the card shows the raw text as one text/plain part.
    pub raw: bool,
}

/// Where an entity lies; preorder, the message itself first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Index of the parent, none for the message itself.
    pub parent: Option<usize>,
    /// Children, in order.
    pub children: Vec<usize>,
    /// As [`crate::mime::Entity::header`].
    pub header: Range<u64>,
    /// As [`crate::mime::Entity::body`].
    pub body: Range<u64>,
    /// As [`crate::mime::Entity::kind`].
    pub kind: crate::mime::Kind,
}

impl Card {
    /// Makes the card of a message.
    #[must_use]
    pub fn new(tree: &Tree, content: &Content, limits: &Limits) -> Card {
        let _ = (tree, content, limits);
        todo!()
    }
    /// The card of a message that could not be parsed: text/plain, whole.
    #[must_use]
    pub fn raw(size: u64) -> Card {
        let _ = size;
        todo!()
    }
    /// Encodes the card (without its version, which stands once per group).
    pub fn encode(&self, out: &mut Vec<u8>) {
        let _ = out;
        todo!()
    }
    /// Decodes one card from the front of `bytes` (shared, not copied) and gives what follows it.
    /// # Errors
    /// `Derived` when the bytes are no card.
    pub fn decode(bytes: &mut Bytes) -> Result<Card, Error> {
        let _ = bytes;
        todo!()
    }
    /// BODY's value (BODYSTRUCTURE without extension data, RFC 9051 §7.5.2).
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        todo!()
    }
    /// The entities' places.
    /// # Errors
    /// `Derived` when the card's table is damaged.
    pub fn part_table(&self) -> Result<Vec<Part>, Error> {
        todo!()
    }
}
