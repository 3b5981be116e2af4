//! The row of a message: identity, size, sent day, skeleton.

use crate::ContentHash;
use crate::pack::varint::{Reader, put, put_signed};
use crate::store::facts::{MessageFact, Piece, put_pieces, read_pieces};

/// What the database knows of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageEntry {
    pub(crate) hash: ContentHash,
    pub(crate) size: u64,
    /// The Date field's calendar day, days since 1970.
    pub(crate) sent_day: Option<i32>,
    pub(crate) header_len: u64,
    pub(crate) pieces: Vec<Piece>,
}

impl MessageEntry {
    pub(crate) fn new(fact: &MessageFact, sent_day: Option<i32>) -> MessageEntry {
        MessageEntry {
            hash: fact.hash,
            size: fact.size,
            sent_day,
            header_len: fact.header_len,
            pieces: fact.pieces.clone(),
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.extend_from_slice(&self.hash.0);
        put(&mut out, self.size);
        put(&mut out, u64::from(self.sent_day.is_some()));
        if let Some(day) = self.sent_day {
            put_signed(&mut out, i64::from(day));
        }
        put(&mut out, self.header_len);
        put_pieces(&mut out, &self.pieces);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<MessageEntry> {
        let mut from = Reader::new(bytes);
        let hash = ContentHash(from.array()?);
        let size = from.varint()?;
        let sent_day = match from.varint()? {
            0 => None,
            1 => Some(i32::try_from(from.signed()?).ok()?),
            _ => return None,
        };
        let header_len = from.varint()?;
        let pieces = read_pieces(&mut from, size)?;
        (from.is_empty() && header_len <= size).then_some(MessageEntry {
            hash,
            size,
            sent_day,
            header_len,
            pieces,
        })
    }
}
