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
    /// An empty one with room for so many bytes of items.
    pub(crate) fn with_capacity(bytes: usize) -> BlockBuilder {
        BlockBuilder { lens: Vec::new(), data: Vec::with_capacity(bytes) }
    }

    /// Appends an item and gives its number.
    pub(crate) fn push(&mut self, item: &[u8]) -> usize {
        self.lens.push(item.len());
        self.data.extend_from_slice(item);
        self.lens.len() - 1
    }

    /// Whether it has no item.
    pub(crate) fn is_empty(&self) -> bool {
        self.lens.is_empty()
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

/// A block opened: whole, or its front only.
#[derive(Debug)]
pub(crate) struct Block {
    plain: Bytes,
    items: Vec<Range<u32>>,
}

/// What a block has of an item.
#[derive(Debug, PartialEq)]
pub(crate) enum Item {
    /// The item's bytes, shared with the block.
    Here(Bytes),
    /// The item lies beyond the front that was opened.
    Beyond,
    /// The block has no item of this number.
    None,
}

/// How many of a block's plain bytes must be there so that item `number` is; all of them when there is no such item. `front`
/// are the first ones.
pub(crate) fn wanted(front: &[u8], number: u32) -> usize {
    let mut from = Reader::new(front);
    let mut sum = 0usize;
    let ends = (|| {
        let count = from.varint()?;
        for index in 0..count {
            let word = from.varint()?;
            if word & 1 == 1 {
                from.take(32)?;
            }
            if index <= u64::from(number) {
                sum = sum.saturating_add(usize::try_from(word >> 1).ok()?);
            }
        }
        (u64::from(number) < count).then(|| (front.len() - from.rest().len()).saturating_add(sum))
    })();
    // The table isn't there yet, or it isn't one: the whole block will tell.
    ends.unwrap_or(usize::MAX)
}

impl Block {
    /// Understands the first bytes of a block that has `len` of them; `None` when table and items don't fit each other.
    pub(crate) fn parse(plain: Bytes, len: usize) -> Option<Block> {
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
        (start as usize == len).then_some(Block { plain, items })
    }

    /// Whether all items are there.
    pub(crate) fn is_whole(&self) -> bool {
        self.items.last().is_none_or(|last| last.end as usize <= self.plain.len())
    }

    /// An item.
    pub(crate) fn item(&self, number: u32) -> Item {
        match usize::try_from(number).ok().and_then(|number| self.items.get(number)) {
            None => Item::None,
            Some(range) if range.end as usize > self.plain.len() => Item::Beyond,
            Some(range) => Item::Here(self.plain.slice(range.start as usize..range.end as usize)),
        }
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

    fn whole(plain: Vec<u8>) -> Option<Block> {
        let len = plain.len();
        Block::parse(plain.into(), len)
    }

    proptest! {
        #[test]
        fn items_come_back(items in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
            let mut builder = BlockBuilder::default();
            for (n, item) in items.iter().enumerate() {
                prop_assert_eq!(builder.push(item), n);
            }
            let plain = builder.finish();
            let block = whole(plain.clone()).unwrap();
            for (n, item) in items.iter().enumerate() {
                let bytes = Bytes::copy_from_slice(item);
                prop_assert_eq!(block.item(n as u32), Item::Here(bytes.clone()));
                // So much of the block is enough, and a byte less is not.
                let enough = wanted(&plain, n as u32);
                let front = |len: usize| Block::parse(Bytes::copy_from_slice(&plain[..len]), plain.len());
                prop_assert_eq!(front(enough).unwrap().item(n as u32), Item::Here(bytes));
                if !item.is_empty() {
                    prop_assert_eq!(front(enough - 1).unwrap().item(n as u32), Item::Beyond);
                }
            }
            prop_assert_eq!(block.item(items.len() as u32), Item::None);
            prop_assert_eq!(wanted(&plain, items.len() as u32), usize::MAX);
            prop_assert_eq!(wanted(&[], 0), usize::MAX);
        }

        #[test]
        fn any_bytes_are_a_block_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80), more in 0..9usize) {
            wanted(&bytes, more as u32);
            let len = bytes.len() + more;
            if let Some(block) = Block::parse(bytes.into(), len) {
                prop_assert!((0..block.items.len() as u32).all(|n| block.item(n) != Item::None));
            }
        }
    }

    #[test]
    fn keyed_items_are_understood() {
        let mut plain = vec![2, 3 << 1 | 1];
        plain.extend([0xee; 32]);
        plain.extend([2 << 1, b'a', b'b', b'c', b'd', b'e']);
        let block = whole(plain.clone()).unwrap();
        assert_eq!((block.item(0), block.item(1)), (Item::Here("abc".into()), Item::Here("de".into())));
        assert_eq!((wanted(&plain, 0), wanted(&plain, 1)), (plain.len() - 2, plain.len()));
        assert!(whole(plain[..plain.len() - 1].to_vec()).is_none(), "an item is cut");
        plain.push(0);
        assert!(whole(plain).is_none(), "bytes that no item has");
        assert!(whole(vec![0xff, 0xff, 0xff, 0xff, 0x0f]).is_none(), "a count beyond the bytes");
    }
}
