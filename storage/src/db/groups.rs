//! Groups of cards: envelopes of neighbours are alike, so they are compressed together, in values that fit a page.
//!
//! Invariant: a group holds the cards of consecutive message numbers from its key on. Cards of another version are not
//! read: who asks makes them anew from the messages.

use crate::card::{CARD_VERSION, Card};
use crate::pack::varint::{Reader, put};
use bytes::Bytes;

/// A value that leaves room for its key in a database page of 4 KiB.
const VALUE_BYTES: usize = 3_900;
/// Most cards of a group.
pub(crate) const GROUP_CARDS: usize = 64;
/// Most plain bytes of a group; one card above it is a group of its own.
const PLAIN_BYTES: usize = 64 << 10;
/// Plain bytes that are accepted when reading: a card is bounded by the header bytes that are parsed, escaped.
const MAX_PLAIN: usize = 64 << 20;
const LEVEL: i32 = 3;

/// What a group's value holds.
#[derive(Debug, PartialEq)]
pub(crate) enum Group {
    /// The cards.
    Cards(Vec<Card>),
    /// So many cards of another version.
    Old(u64),
}

/// Lays out `cards` in groups: each with the number of cards in it.
pub(crate) fn encode(cards: &[Card]) -> std::io::Result<Vec<(usize, Vec<u8>)>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
    let mut groups = Vec::new();
    let mut rest = cards;
    // Plain bytes that are likely to fit a value, after what the last ones came to.
    let mut target = 4 * VALUE_BYTES;
    while !rest.is_empty() {
        let mut plain = Vec::new();
        let mut ends = Vec::new();
        for card in rest.iter().take(GROUP_CARDS) {
            card.encode(&mut plain);
            ends.push(plain.len());
            if plain.len() >= target {
                break;
            }
        }
        loop {
            let count = ends.len();
            let len = ends.last().copied().unwrap_or(0);
            let packed = compressor.compress(plain.get(..len).unwrap_or(&plain))?;
            if packed.len() > VALUE_BYTES && count > 1 {
                let fits = (len * VALUE_BYTES / packed.len()).max(1);
                let keep = ends.partition_point(|&end| end <= fits).clamp(1, count - 1);
                ends.truncate(keep);
                continue;
            }
            target = (len * (VALUE_BYTES - 150) / packed.len().max(1)).clamp(VALUE_BYTES, PLAIN_BYTES);
            let mut value = vec![CARD_VERSION];
            put(&mut value, count as u64);
            put(&mut value, len as u64);
            value.extend_from_slice(&packed);
            groups.push((count, value));
            rest = rest.get(count..).unwrap_or(&[]);
            break;
        }
    }
    Ok(groups)
}

/// Reads a group; `None` when the bytes are none.
pub(crate) fn decode(value: &[u8]) -> Option<Group> {
    let mut from = Reader::new(value);
    let version = from.u8()?;
    let count = from.varint()?;
    if version != CARD_VERSION {
        return Some(Group::Old(count));
    }
    let len = usize::try_from(from.varint()?).ok().filter(|&len| len <= MAX_PLAIN)?;
    let plain = zstd::bulk::decompress(from.rest(), len).ok().filter(|plain| plain.len() == len)?;
    let mut plain = Bytes::from(plain);
    let mut cards = Vec::new();
    for _ in 0..count {
        cards.push(Card::decode(&mut plain).ok()?);
    }
    plain.is_empty().then_some(Group::Cards(cards))
}
