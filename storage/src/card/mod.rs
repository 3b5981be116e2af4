//! The card: all that IMAP needs of a message without its body, made once at archive time as ready IMAP bytes.
//!
//! Invariant: ENVELOPE and BODYSTRUCTURE are syntactically right (RFC 9051 §9) for every input and free of NUL. What is
//! not 7-bit stands in a literal (`{3}`, CRLF, three octets): a value may span lines and must be sent as it is.
//! Left to others: flags, INTERNALDATE and the body's bytes.

mod address;
pub(crate) mod attachments;
mod body;
pub mod date;
mod envelope;
mod parts;
mod string;
mod structure;
mod varint;

use crate::{Error, Limits, incoming::Content, mime::Tree};
use bytes::Bytes;
use std::ops::Range;

pub use date::parse as parse_date;

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

impl Zoned {
    /// The calendar year where the date was written, within 1 to 9999.
    pub(crate) fn year(self) -> i32 {
        let local = self.secs.saturating_add(i64::from(self.zone) * 60);
        let (first, last) = (-62_135_596_800, 253_402_300_799);
        time::OffsetDateTime::from_unix_timestamp(local.clamp(first, last)).map_or(1970, |date| date.year())
    }
}

/// The dates in a message's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dates {
    /// Of the topmost Received field.
    pub received: Option<Zoned>,
    /// Of the Date field (the last one where there are many, as in ENVELOPE).
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
    /// Where every entity lies, for section fetches without the body: see [`Parts`](Part).
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
    /// Makes the card of a message. What the limits cut off the tree, the card doesn't show either.
    #[must_use]
    pub fn new(tree: &Tree, content: &Content, _limits: &Limits) -> Card {
        Card::of_size(tree, content.len())
    }

    /// As [`Card::new`], from the size alone.
    #[must_use]
    pub fn of_size(tree: &Tree, size: u64) -> Card {
        let Some(root) = tree.entities.first() else { return Card::raw(size) };
        let mut envelope = Vec::new();
        envelope::write(&root.header_bytes, &mut envelope);
        Card {
            size,
            dates: envelope::dates(&root.header_bytes),
            envelope: envelope.into(),
            bodystructure: structure::write(tree).into(),
            parts: parts::encode(&tree.entities).into(),
            raw: false,
        }
    }

    /// Parts that are attachments or have file names.
    pub(crate) fn attached(&self) -> Vec<attachments::Attached> {
        if self.raw { Vec::new() } else { attachments::of(&self.bodystructure) }
    }

    /// The card of a message that could not be parsed: text/plain, whole.
    #[must_use]
    pub fn raw(size: u64) -> Card {
        let root = crate::mime::Entity {
            parent: None,
            children: Vec::new(),
            header: 0..0,
            body: 0..size,
            lines: 0,
            kind: crate::mime::Kind::Leaf,
            header_bytes: Vec::new(),
        };
        let tree = Tree { entities: vec![root], cut: true };
        Card { raw: true, ..Card::of_size(&tree, size) }
    }

    /// Encodes the card (without its version, which stands once per group).
    pub fn encode(&self, out: &mut Vec<u8>) {
        let has = |there: bool, bit: u64| if there { bit } else { 0 };
        let flags =
            has(self.raw, 1) | has(self.dates.received.is_some(), 2) | has(self.dates.sent.is_some(), 4);
        varint::put(flags, out);
        varint::put(self.size, out);
        for date in [self.dates.received, self.dates.sent].into_iter().flatten() {
            varint::put_signed(date.secs, out);
            varint::put_signed(i64::from(date.zone), out);
        }
        for value in [&self.envelope, &self.bodystructure, &self.parts] {
            varint::put(value.len() as u64, out);
            out.extend_from_slice(value);
        }
    }

    /// Decodes one card from the front of `bytes` (shared, not copied) and leaves what follows it.
    /// # Errors
    /// `Derived` when the bytes are no card.
    pub fn decode(bytes: &mut Bytes) -> Result<Card, Error> {
        let mut take = || {
            let flags = varint::take(bytes)?;
            let size = varint::take(bytes)?;
            let received = if flags & 2 != 0 { Some(take_date(bytes)?) } else { None };
            let sent = if flags & 4 != 0 { Some(take_date(bytes)?) } else { None };
            let envelope = varint::take_bytes(bytes)?;
            let bodystructure = varint::take_bytes(bytes)?;
            let parts = varint::take_bytes(bytes)?;
            let dates = Dates { received, sent };
            (flags < 8).then_some(Card { size, dates, envelope, bodystructure, parts, raw: flags & 1 != 0 })
        };
        take().ok_or_else(|| damaged("a card ends early or has unknown marks"))
    }

    /// BODY's value (BODYSTRUCTURE without extension data, RFC 9051 §7.5.2).
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        body::without_extensions(&self.bodystructure)
            .unwrap_or_else(|| structure::plain_text(self.size).into_bytes())
    }

    /// The entities' places.
    /// # Errors
    /// `Derived` when the card's table is damaged.
    pub fn part_table(&self) -> Result<Vec<Part>, Error> {
        parts::decode(self.parts.clone()).ok_or_else(|| damaged("a card's table of parts is damaged"))
    }
}

fn take_date(bytes: &mut Bytes) -> Option<Zoned> {
    let secs = varint::take_signed(bytes)?;
    let zone = i16::try_from(varint::take_signed(bytes)?).ok()?;
    Some(Zoned { secs, zone })
}

fn damaged(what: &str) -> Error {
    Error::Derived { path: "store.redb".into(), what: what.to_owned() }
}

#[cfg(test)]
mod tests;
