//! A segment's vocabulary: all terms of one part, sorted, in compressed blocks, with what finds them.
//!
//! A block's bytes, decompressed: the number of terms, the terms each ended by a blank (no term has one) with one blank before
//! the first, then for every term the lengths of its two lists. A filter tells which three bytes may stand anywhere in the block, so that parts of words are
//! looked for in few blocks. Invariant: a block's checksum was compared when it was decompressed.

use super::bits::{Malformed, put_varint, varint, varint32};
use super::words::Like;
use memchr::memmem::Finder;
use std::ops::Range;

/// Bytes of terms after which a block ends.
const BLOCK_BYTES: usize = 64 << 10;
/// No term is longer: pieces have a bound, and so has a field's name.
pub(super) const MAX_TERM_BYTES: usize = 4 * 96 + 2;
const LEVEL: i32 = 6;
/// 64-bit words of a filter.
const FILTER_WORDS: usize = 256;

/// Between terms.
const SEPARATOR: u8 = b' ';

/// Which three bytes stand in a block, by a hash.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Filter(Box<[u64; FILTER_WORDS]>);

impl Filter {
    fn empty() -> Filter {
        Filter(Box::new([0; FILTER_WORDS]))
    }

    fn slot(three: &[u8]) -> (usize, u64) {
        let value = three.iter().fold(0u32, |value, &byte| value << 8 | u32::from(byte));
        let slot = value.wrapping_mul(0x9E37_79B1) >> 18;
        ((slot / 64) as usize % FILTER_WORDS, 1 << (slot % 64))
    }

    fn of(bytes: &[u8]) -> Filter {
        let mut filter = Filter::empty();
        for three in bytes.windows(3) {
            let (word, bit) = Filter::slot(three);
            filter.0[word] |= bit;
        }
        filter
    }

    /// Whether a block may have these bytes.
    fn may_have(&self, bytes: &[u8]) -> bool {
        bytes.windows(3).all(|three| {
            let (word, bit) = Filter::slot(three);
            self.0[word] & bit != 0
        })
    }
}

/// Where a block lies and what is known of it.
pub(super) struct BlockInfo {
    /// Its first term.
    first: Vec<u8>,
    filter: Filter,
    /// In the file of terms.
    pub(super) at: u64,
    pub(super) len: usize,
    /// Where the lists of its first term begin.
    docs: u64,
    positions: u64,
}

/// The blocks of one part.
#[derive(Default)]
pub(super) struct Directory {
    pub(super) blocks: Vec<BlockInfo>,
}

impl Directory {
    /// Appends it as bytes.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(self.blocks.len() as u64, out);
        for block in &self.blocks {
            for number in [block.first.len() as u64, block.at, block.len as u64, block.docs, block.positions]
            {
                put_varint(number, out);
            }
            out.extend_from_slice(&block.first);
            out.extend(block.filter.0.iter().flat_map(|word| word.to_le_bytes()));
        }
    }

    /// Takes it off the front.
    pub(super) fn decode(bytes: &mut &[u8]) -> Result<Directory, Malformed> {
        let mut blocks = Vec::new();
        for _ in 0..varint(bytes)? {
            let first = varint(bytes)? as usize;
            let (at, len) = (varint(bytes)?, varint(bytes)?);
            let (docs, positions) = (varint(bytes)?, varint(bytes)?);
            let (first, rest) = bytes.split_at_checked(first).ok_or(Malformed)?;
            let (words, rest) = rest.split_at_checked(FILTER_WORDS * 8).ok_or(Malformed)?;
            *bytes = rest;
            let mut filter = Filter::empty();
            for (word, bytes) in filter.0.iter_mut().zip(words.as_chunks::<8>().0) {
                *word = u64::from_le_bytes(*bytes);
            }
            let len = usize::try_from(len).map_err(|_| Malformed)?;
            blocks.push(BlockInfo { first: first.to_vec(), filter, at, len, docs, positions });
        }
        Ok(Directory { blocks })
    }

    /// The blocks that may have terms like that.
    pub(super) fn candidates(&self, like: &Like) -> impl Iterator<Item = usize> + '_ {
        let from = |text: &[u8]| self.blocks.partition_point(|block| *block.first <= *text).saturating_sub(1);
        let (range, pattern) = match like {
            Like::Is(text) => {
                let at = from(text);
                (at..(at + 1).min(self.blocks.len()), Vec::new())
            }
            Like::Begins(text) => {
                let rest = self.blocks.get(from(text)..).unwrap_or_default();
                let more =
                    rest.partition_point(|block| *block.first <= **text || block.first.starts_with(text));
                (from(text)..from(text) + more.max(1).min(rest.len()), Vec::new())
            }
            Like::Ends(_) | Like::Has(_) => (0..self.blocks.len(), pattern(like)),
        };
        range.filter(move |&at| self.blocks.get(at).is_some_and(|block| block.filter.may_have(&pattern)))
    }
}

/// What stands in a block's bytes where a term like that does.
fn pattern(like: &Like) -> Vec<u8> {
    let (before, text, after): (&[u8], _, &[u8]) = match like {
        Like::Is(text) => (b" ", text, b" "),
        Like::Begins(text) => (b" ", text, b""),
        Like::Ends(text) => (b"", text, b" "),
        Like::Has(text) => (b"", text, b""),
    };
    [before, text, after].concat()
}

/// Where a term's two lists lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lists {
    pub(super) docs: Range<u64>,
    pub(super) positions: Range<u64>,
}

/// A block, decompressed.
pub(super) struct Block {
    bytes: Vec<u8>,
    /// Where each term begins in `bytes`, and the end.
    starts: Vec<u32>,
    /// Where each term's lists end, from those of the block's first term.
    ends: Vec<(u32, u32)>,
    docs: u64,
    positions: u64,
}

impl Block {
    /// Reads what `info` tells of, from its compressed bytes.
    pub(super) fn decode(info: &BlockInfo, compressed: &[u8]) -> Result<Block, Malformed> {
        let most = 4 * (BLOCK_BYTES + MAX_TERM_BYTES) + 64;
        let bytes = zstd::bulk::decompress(compressed, most).map_err(|_| Malformed)?;
        let mut rest = &bytes[..];
        let (terms, text) = (varint32(&mut rest)?, varint32(&mut rest)? as usize);
        let (text, mut lengths) = rest.split_at_checked(text).ok_or(Malformed)?;
        let mut starts = vec![1];
        starts
            .extend(memchr::memchr_iter(SEPARATOR, text.get(1..).ok_or(Malformed)?).map(|at| at as u32 + 2));
        if starts.len() != terms as usize + 1 || text.last() != Some(&SEPARATOR) {
            return Err(Malformed);
        }
        let mut ends = Vec::with_capacity(terms as usize);
        let mut end = (0u32, 0u32);
        for _ in 0..terms {
            end.0 = end.0.checked_add(varint32(&mut lengths)?).ok_or(Malformed)?;
            end.1 = end.1.checked_add(varint32(&mut lengths)?).ok_or(Malformed)?;
            ends.push(end);
        }
        let bytes = text.to_vec();
        Ok(Block { bytes, starts, ends, docs: info.docs, positions: info.positions })
    }

    /// Memory that it takes, about.
    pub(super) fn memory(&self) -> usize {
        self.bytes.capacity() + self.starts.capacity() * 4 + self.ends.capacity() * 8
    }

    /// How many terms it has.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Term number `at`.
    pub(super) fn term(&self, at: usize) -> &[u8] {
        match (self.starts.get(at), self.starts.get(at + 1)) {
            (Some(&from), Some(&to)) => self.bytes.get(from as usize..to as usize - 1).unwrap_or_default(),
            _ => &[],
        }
    }

    /// The lists of term number `at`.
    pub(super) fn lists(&self, at: usize) -> Lists {
        let end = |at: Option<usize>| at.and_then(|at| self.ends.get(at)).copied().unwrap_or_default();
        let (from, to) = (end(at.checked_sub(1)), end(Some(at)));
        Lists {
            docs: self.docs + u64::from(from.0)..self.docs + u64::from(to.0),
            positions: self.positions + u64::from(from.1)..self.positions + u64::from(to.1),
        }
    }

    /// The numbers of the terms like that, rising.
    pub(super) fn find(&self, like: &Like, mut each: impl FnMut(usize)) {
        let first = |text: &[u8]| {
            let (mut from, mut to) = (0, self.len());
            while from < to {
                let middle = from + (to - from) / 2;
                if self.term(middle) < text { from = middle + 1 } else { to = middle }
            }
            from
        };
        match like {
            Like::Is(text) => {
                let at = first(text);
                if at < self.len() && self.term(at) == *text {
                    each(at);
                }
            }
            Like::Begins(text) => {
                (first(text)..self.len()).take_while(|&at| self.term(at).starts_with(text)).for_each(each);
            }
            Like::Ends(_) | Like::Has(_) => {
                let pattern = pattern(like);
                let finder = Finder::new(&pattern);
                let (mut from, mut at) = (0, 0);
                while let Some(hit) = self.bytes.get(from..).and_then(|rest| finder.find(rest)) {
                    let hit = from + hit;
                    // Hits rise, so the term is near the last one: gallop.
                    let mut step = 1;
                    while self.starts.get(at + step).is_some_and(|&start| start as usize <= hit) {
                        at += step;
                        step *= 2;
                    }
                    let near = self.starts.get(at..(at + step).min(self.starts.len())).unwrap_or_default();
                    at += near.partition_point(|&start| start as usize <= hit).saturating_sub(1);
                    each(at);
                    from = match self.starts.get(at + 1) {
                        Some(&next) => next as usize,
                        None => return,
                    };
                    at += 1;
                }
            }
        }
    }
}

/// Collects a part's terms into blocks.
pub(super) struct BlockWriter {
    text: Vec<u8>,
    lengths: Vec<u8>,
    terms: u32,
    first: Vec<u8>,
    begins: (u64, u64),
    pub(super) directory: Directory,
}

impl BlockWriter {
    pub(super) fn new() -> BlockWriter {
        BlockWriter {
            text: Vec::new(),
            lengths: Vec::new(),
            terms: 0,
            first: Vec::new(),
            begins: (0, 0),
            directory: Directory::default(),
        }
    }

    /// Appends a term, above the last one, whose lists lie there. A block that is full comes back as compressed bytes, to be
    /// written at `at`.
    pub(super) fn push(&mut self, term: &[u8], lists: &Lists, at: u64) -> std::io::Result<Option<Vec<u8>>> {
        if self.terms == 0 {
            self.first = term.to_vec();
            self.begins = (lists.docs.start, lists.positions.start);
            self.text.push(SEPARATOR);
        }
        self.text.extend_from_slice(term);
        self.text.push(SEPARATOR);
        for range in [&lists.docs, &lists.positions] {
            put_varint(range.end - range.start, &mut self.lengths);
        }
        self.terms += 1;
        let span = (lists.docs.end - self.begins.0).max(lists.positions.end - self.begins.1);
        if self.text.len() >= BLOCK_BYTES || span > u64::from(u32::MAX / 2) {
            return self.end(at);
        }
        Ok(None)
    }

    /// Ends the block that is open, if one is.
    pub(super) fn end(&mut self, at: u64) -> std::io::Result<Option<Vec<u8>>> {
        if self.terms == 0 {
            return Ok(None);
        }
        let mut bytes = Vec::with_capacity(self.text.len() + self.lengths.len() + 16);
        put_varint(u64::from(self.terms), &mut bytes);
        put_varint(self.text.len() as u64, &mut bytes);
        bytes.extend_from_slice(&self.text);
        bytes.extend_from_slice(&self.lengths);
        let mut compressor = zstd::bulk::Compressor::new(LEVEL)?;
        compressor.include_checksum(true)?;
        let compressed = compressor.compress(&bytes)?;
        self.directory.blocks.push(BlockInfo {
            first: std::mem::take(&mut self.first),
            filter: Filter::of(&self.text),
            at,
            len: compressed.len(),
            docs: self.begins.0,
            positions: self.begins.1,
        });
        self.text.clear();
        self.lengths.clear();
        self.terms = 0;
        Ok(Some(compressed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// The blocks of a vocabulary, term `n` having lists of `n % 5` and `n % 7` bytes.
    fn blocks(terms: &BTreeSet<Vec<u8>>) -> (Directory, Vec<Block>) {
        let (mut writer, mut file, mut at) = (BlockWriter::new(), Vec::new(), (0u64, 0u64));
        for (n, term) in (0u64..).zip(terms) {
            let lists = Lists { docs: at.0..at.0 + n % 5, positions: at.1..at.1 + n % 7 };
            at = (lists.docs.end, lists.positions.end);
            file.extend(writer.push(term, &lists, file.len() as u64).unwrap().unwrap_or_default());
        }
        file.extend(writer.end(file.len() as u64).unwrap().unwrap_or_default());
        let mut bytes = Vec::new();
        writer.directory.encode(&mut bytes);
        let mut rest = &bytes[..];
        let directory = Directory::decode(&mut rest).unwrap();
        assert!(rest.is_empty());
        let decode = |info: &BlockInfo| Block::decode(info, &file[info.at as usize..][..info.len]).unwrap();
        let blocks = directory.blocks.iter().map(decode).collect();
        (directory, blocks)
    }

    fn find(directory: &Directory, blocks: &[Block], like: &Like) -> BTreeSet<Vec<u8>> {
        let mut found = BTreeSet::new();
        for at in directory.candidates(like) {
            blocks[at].find(like, |term| assert!(found.insert(blocks[at].term(term).to_vec())));
        }
        found
    }

    fn scan(terms: &BTreeSet<Vec<u8>>, like: &Like) -> BTreeSet<Vec<u8>> {
        let is = |term: &&Vec<u8>| match like {
            Like::Is(text) => *term == text,
            Like::Begins(text) => term.starts_with(text),
            Like::Ends(text) => term.ends_with(text),
            Like::Has(text) => term.windows(text.len()).any(|window| window == text),
        };
        terms.iter().filter(is).cloned().collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
        #[test]
        fn terms_are_found_and_their_lists_are_where_they_were_written(
            seeds in prop::collection::vec((any::<u32>(), "[a-c\u{ff}-\u{101}]{1,4}"), 1..600),
            wide in any::<bool>(),
        ) {
            // Wide ones fill several blocks.
            let pad = if wide { 300 } else { 1 };
            let terms: BTreeSet<Vec<u8>> = seeds.iter().map(|(n, text)| format!("{text}{n:0pad$}{text}").into_bytes()).collect();
            let (directory, blocks) = blocks(&terms);
            prop_assert!(!wide || terms.len() < 450 || blocks.len() > 1);
            let all: Vec<&[u8]> = blocks.iter().flat_map(|block| (0..block.len()).map(|at| block.term(at))).collect();
            prop_assert!(all.iter().copied().eq(terms.iter().map(Vec::as_slice)));
            let lists = blocks.iter().flat_map(|block| (0..block.len()).map(|at| block.lists(at)));
            let mut at = (0, 0);
            for (n, lists) in (0u64..).zip(lists) {
                prop_assert_eq!(&lists, &Lists { docs: at.0..at.0 + n % 5, positions: at.1..at.1 + n % 7 });
                at = (lists.docs.end, lists.positions.end);
            }
            for (n, text) in &seeds {
                let whole = format!("{text}{n:0pad$}{text}").into_bytes();
                for text in [&whole[..], text.as_bytes(), &whole[..whole.len() - 1], &whole[1..], b"zz", b"0", b"\xff"] {
                    let text = text.to_vec();
                    for like in [Like::Is(text.clone()), Like::Begins(text.clone()), Like::Ends(text.clone()), Like::Has(text)] {
                        prop_assert_eq!(find(&directory, &blocks, &like), scan(&terms, &like), "{:?}", like);
                    }
                }
            }
        }
    }

    #[test]
    fn damaged_blocks_and_directories_are_errors() {
        let terms = (0..500).map(|n| format!("term{n}").into_bytes()).collect();
        let (directory, _) = blocks(&terms);
        let mut bytes = Vec::new();
        directory.encode(&mut bytes);
        for end in 0..bytes.len() {
            assert!(Directory::decode(&mut &bytes[..end]).is_err());
        }
        let mut writer = BlockWriter::new();
        for term in &terms {
            writer.push(term, &Lists { docs: 0..1, positions: 0..1 }, 0).unwrap();
        }
        let compressed = writer.end(0).unwrap().unwrap();
        let info = &writer.directory.blocks[0];
        assert_eq!(Block::decode(info, &compressed).unwrap().len(), 500);
        for at in 0..compressed.len() {
            let mut bytes = compressed.clone();
            bytes[at] ^= 0x10;
            if let Ok(block) = Block::decode(info, &bytes) {
                // A bit that the format ignores.
                assert!((0..500).all(|n| block.term(n) == Block::decode(info, &compressed).unwrap().term(n)));
            }
        }
    }
}
