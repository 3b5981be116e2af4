//! A block: many small chunks in one record, behind a table of their lengths.
//!
//! Invariant: the items fill the block exactly. Items may carry a key (a part's content hash, for single instance);
//! the builder here writes none, the reader understands both.

use super::varint::{self, Reader};
use bytes::Bytes;
use std::ops::Range;

/// A block being filled.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    lens: Vec<usize>,
    data: Vec<u8>,
}

impl BlockBuilder {
    /// Appends an item and gives its number.
    pub(crate) fn push(&mut self, item: &[u8]) -> usize {
        self.lens.push(item.len());
        self.data.extend_from_slice(item);
        self.lens.len() - 1
    }

    /// Bytes of the items so far.
    pub(crate) fn bytes(&self) -> usize {
        self.data.len()
    }

    /// The block's plain bytes: table, then items.
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.data.len() + 3 * self.lens.len() + 3);
        varint::put(&mut out, self.lens.len() as u64);
        self.lens.iter().for_each(|&len| varint::put(&mut out, (len as u64) << 1));
        out.extend_from_slice(&self.data);
        out
    }
}

/// A block opened.
#[derive(Debug)]
pub(crate) struct Block {
    plain: Bytes,
    items: Vec<Range<u32>>,
}

impl Block {
    /// Understands a block's plain bytes; `None` when table and items don't fit each other.
    pub(crate) fn parse(plain: Bytes) -> Option<Block> {
        let mut from = Reader::new(&plain);
        let count = usize::try_from(from.varint()?).ok()?;
        // Every item takes a byte of the table at least, so a count can't make us reserve more than was read.
        let mut lens = Vec::with_capacity(Some(count).filter(|&count| count <= from.rest().len())?);
        for _ in 0..count {
            let word = from.varint()?;
            if word & 1 == 1 {
                from.take(32)?;
            }
            lens.push(u32::try_from(word >> 1).ok()?);
        }
        let mut start = u32::try_from(plain.len() - from.rest().len()).ok()?;
        let mut items = Vec::with_capacity(count);
        for len in lens {
            let end = start.checked_add(len)?;
            items.push(start..end);
            start = end;
        }
        (start as usize == plain.len()).then_some(Block { plain, items })
    }

    /// An item's bytes, shared with the block.
    pub(crate) fn item(&self, number: u32) -> Option<Bytes> {
        let range = self.items.get(usize::try_from(number).ok()?)?;
        Some(self.plain.slice(range.start as usize..range.end as usize))
    }

    /// Memory that the block takes.
    pub(crate) fn cost(&self) -> usize {
        self.plain.len() + self.items.len() * size_of::<Range<u32>>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn items_come_back(items in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
            let mut builder = BlockBuilder::default();
            for (n, item) in items.iter().enumerate() {
                prop_assert_eq!(builder.push(item), n);
            }
            let block = Block::parse(builder.finish().into()).unwrap();
            for (n, item) in items.iter().enumerate() {
                prop_assert_eq!(block.item(n as u32).unwrap(), &item[..]);
            }
            prop_assert!(block.item(items.len() as u32).is_none());
        }

        #[test]
        fn any_bytes_are_a_block_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(block) = Block::parse(bytes.into()) {
                prop_assert!((0..block.items.len() as u32).all(|n| block.item(n).is_some()));
            }
        }
    }

    #[test]
    fn keyed_items_are_understood() {
        let mut plain = vec![2, 3 << 1 | 1];
        plain.extend([0xee; 32]);
        plain.extend([2 << 1, b'a', b'b', b'c', b'd', b'e']);
        let block = Block::parse(plain.clone().into()).unwrap();
        assert_eq!((block.item(0).unwrap(), block.item(1).unwrap()), ("abc".into(), "de".into()));
        assert!(Block::parse(plain[..plain.len() - 1].to_vec().into()).is_none(), "an item is cut");
        plain.push(0);
        assert!(Block::parse(plain.into()).is_none(), "bytes that no item has");
        assert!(
            Block::parse(vec![0xff, 0xff, 0xff, 0xff, 0x0f].into()).is_none(),
            "a count beyond the bytes"
        );
    }
}
