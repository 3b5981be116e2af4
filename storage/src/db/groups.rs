//! Groups of cards: envelopes of neighbours are alike, so they are compressed together, in values that fit a page
//! of 8 KiB.
//!
//! Invariant: a group holds the cards of consecutive message numbers from its key on. Cards of another version are not
//! read: who asks makes them anew from the messages.

use crate::card::{CARD_VERSION, Card};
use crate::pack::varint::{Reader, put};
use bytes::Bytes;

/// A value that leaves room for its key in a database page of 8 KiB, two of the least ones (FORMAT.md has the figures).
const VALUE_BYTES: usize = 8_080;
/// A last group below it is filled up by the next batch.
pub(crate) const SMALL_BYTES: usize = VALUE_BYTES / 2;
/// Most cards of a group.
pub(crate) const GROUP_CARDS: usize = 128;
/// Most plain bytes of a group; one card above it is a group of its own.
const PLAIN_BYTES: usize = 128 << 10;
/// Plain bytes that are accepted when reading: a card is bounded by the header bytes that are parsed, escaped.
const MAX_PLAIN: usize = 64 << 20;
const LEVEL: i32 = 6;

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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn card(size: u64, noise: u64, long: usize) -> Card {
        let mut envelope = b"(NIL \"subject\" NIL)".to_vec();
        let mut value = noise;
        while envelope.len() < long {
            value = value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            envelope.extend_from_slice(format!("{value:x}").as_bytes());
        }
        Card { envelope: envelope.into(), ..Card::raw(size) }
    }

    fn back(cards: &[Card]) -> Vec<usize> {
        let groups = encode(cards).unwrap();
        let mut all = Vec::new();
        for (count, value) in &groups {
            let Some(Group::Cards(some)) = decode(value) else { panic!("a group is not read") };
            assert_eq!(some.len(), *count);
            assert!(value.len() <= VALUE_BYTES + 16 || *count == 1, "{} bytes", value.len());
            all.extend(some);
        }
        assert_eq!(all, cards);
        groups.iter().map(|(count, _)| *count).collect()
    }

    proptest! {
        #[test]
        fn groups_come_back_and_fit_a_page(
            seeds in prop::collection::vec((any::<u64>(), any::<u64>(), 0usize..3_000), 0..90),
        ) {
            let cards: Vec<Card> = seeds.into_iter().map(|(size, noise, long)| card(size, noise, long)).collect();
            back(&cards);
        }

        #[test]
        fn other_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            decode(&bytes);
            decode(&[&[CARD_VERSION][..], &bytes].concat());
        }
    }

    #[test]
    fn a_full_group_and_one_card_that_is_large_stands_alone() {
        let same = |n: usize| vec![card(5, 5, 5); n];
        assert_eq!(back(&same(GROUP_CARDS)), [GROUP_CARDS]);
        assert_eq!(back(&same(GROUP_CARDS + 1)), [GROUP_CARDS, 1]);
        let mut cards = same(3);
        cards.insert(1, card(5, 5, 200_000));
        assert!(back(&cards).contains(&1));
    }

    #[test]
    fn cards_of_another_version_are_told_and_too_large_groups_refused() {
        let (_, mut value) = encode(&[card(5, 5, 5)]).unwrap().remove(0);
        value[0] = CARD_VERSION + 1;
        assert_eq!(decode(&value), Some(Group::Old(1)));
        let claim = |len: usize| {
            let mut value = vec![CARD_VERSION];
            put(&mut value, 0);
            put(&mut value, len as u64);
            value.extend(zstd::bulk::compress(&vec![0; len.min(1 << 20)], 1).unwrap());
            decode(&value)
        };
        assert_eq!(claim(0), Some(Group::Cards(Vec::new())));
        assert_eq!(claim(MAX_PLAIN + 1), None);
    }
}
