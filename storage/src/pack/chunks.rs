//! Content in chunks: small ones together in blocks, headers apart from bodies; large ones in segments behind a map.
//!
//! Invariant: a chunk comes back byte for byte by its address, and a part of a large one opens only the segments that it
//! lies in. Nothing is written before [`ChunkSink::finish`], so a batch that is given up leaves no trace.

use super::block::BlockBuilder;
use super::cache::Entry;
use super::packs::{Pack, Packs};
use super::record::{RecordKind, Segment, pack_all};
use super::varint::{self, Reader};
use super::{Addr, BODY_BLOCK_BYTES, ChunkAddr, HEADER_BLOCK_BYTES, ItemAddr, PackWriter, SEGMENT_BYTES};
use crate::Error;
use crate::incoming::Content;
use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// The layout of chunk maps.
const MAP_VERSION: u8 = 1;
/// Segments that are compressed together: what a large chunk takes of memory.
const SEGMENTS_AT_ONCE: usize = 8;

/// Which blocks a small chunk goes into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// A message's own header.
    Header = 0,
    /// Anything else.
    Body = 1,
}

/// A chunk's number in its batch: its place in what [`ChunkSink::finish`] gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Handle(pub(crate) usize);

/// What chunks that are alike have in common: they are laid next to each other. A hash, of no meaning elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Kin(pub(crate) u64);

/// Collects a batch's chunks.
///
/// Blocks are filled at the end, chunks of one kin together (a thread's messages quote each other), so that zstd finds
/// the likeness within a block.
#[derive(Debug, Default)]
pub(crate) struct ChunkSink {
    /// What follows is of this kin.
    kin: Kin,
    /// When each kin came first.
    kins: HashMap<Kin, usize>,
    /// The small chunks of each class: when their kin came first, their places, their bytes.
    small: [Vec<(usize, usize, Bytes)>; 2],
    /// The large ones, with their SHA-256 where it is known.
    large: Vec<(Content, Range<u64>, Option<[u8; 32]>)>,
    places: Vec<Place>,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    Item { block: usize, item: usize },
    Large(usize),
}

impl ChunkSink {
    /// A sink for one batch.
    pub(crate) fn new() -> ChunkSink {
        ChunkSink::default()
    }

    /// Says what the chunks that follow are alike to.
    pub(crate) fn kin(&mut self, kin: Kin) {
        self.kin = kin;
    }

    /// Adds the bytes of `range` of `content`, in a block or in segments as their number asks for.
    /// # Errors
    /// `Io` when the content's spool file can't be read.
    pub(crate) fn add_range(
        &mut self,
        class: Class,
        content: &Content,
        range: Range<u64>,
    ) -> Result<Handle, Error> {
        self.add_hashed(class, content, range, None)
    }

    /// As [`ChunkSink::add_range`], of bytes whose SHA-256 may be known already.
    /// # Errors
    /// As [`ChunkSink::add_range`].
    pub(crate) fn add_hashed(
        &mut self,
        class: Class,
        content: &Content,
        range: Range<u64>,
        hash: Option<[u8; 32]>,
    ) -> Result<Handle, Error> {
        let len = range.end.saturating_sub(range.start);
        if len > SEGMENT_BYTES as u64 {
            self.large.push((content.clone(), range, hash));
            return Ok(self.place(Place::Large(self.large.len() - 1)));
        }
        let bytes = content.read(range)?;
        if bytes.len() as u64 != len {
            return Err(Error::Missing { what: "the end of a message being stored".into() });
        }
        Ok(self.add_bytes(class, bytes))
    }

    /// As [`ChunkSink::add_bytes`], with a copy.
    #[cfg(test)]
    pub(crate) fn add(&mut self, class: Class, chunk: &[u8]) -> Handle {
        self.add_bytes(class, Bytes::copy_from_slice(chunk))
    }

    /// Adds a chunk that is in memory, in a block or in segments as its length asks for.
    pub(crate) fn add_bytes(&mut self, class: Class, chunk: Bytes) -> Handle {
        if chunk.len() > SEGMENT_BYTES {
            let len = chunk.len() as u64;
            return self.add_large(&Content::Memory(chunk), 0..len);
        }
        let next = self.kins.len();
        let kin = *self.kins.entry(self.kin).or_insert(next);
        self.small[class as usize].push((kin, self.places.len(), chunk));
        // Its block is known when all chunks are.
        self.place(Place::Item { block: 0, item: 0 })
    }

    /// Adds a chunk that will be stored in segments. The content is kept (shared, or its spool file) until the end.
    pub(crate) fn add_large(&mut self, content: &Content, range: Range<u64>) -> Handle {
        self.large.push((content.clone(), range, None));
        self.place(Place::Large(self.large.len() - 1))
    }

    fn place(&mut self, place: Place) -> Handle {
        self.places.push(place);
        Handle(self.places.len() - 1)
    }

    /// Fills blocks with the small chunks, and writes down where each is.
    fn fill(&mut self) -> Vec<Vec<u8>> {
        let mut blocks = Vec::new();
        let limits = [HEADER_BLOCK_BYTES, BODY_BLOCK_BYTES];
        for (mut chunks, block_bytes) in std::mem::take(&mut self.small).into_iter().zip(limits) {
            // Within a kin they stay in the order in which they came.
            chunks.sort_by_key(|&(kin, place, _)| (kin, place));
            // One more chunk than fits may come in.
            let fresh = || BlockBuilder::with_capacity(block_bytes + block_bytes / 4);
            let mut builder = fresh();
            for (_, place, chunk) in chunks {
                if builder.bytes() >= block_bytes {
                    blocks.push(std::mem::replace(&mut builder, fresh()).finish());
                }
                self.places[place] = Place::Item { block: blocks.len(), item: builder.push(&chunk) };
            }
            if !builder.is_empty() {
                blocks.push(builder.finish());
            }
        }
        blocks
    }

    /// Compresses, seals and appends all chunks; gives their addresses by [`Handle`]. The caller commits.
    /// # Errors
    /// `Io`, `Latched`.
    pub(crate) fn finish(mut self, writer: &mut PackWriter) -> Result<Vec<ChunkAddr>, Error> {
        let jobs =
            self.fill().into_iter().map(|plain| (RecordKind::Block, Segment::default(), plain)).collect();
        let packed = pack_all(jobs).map_err(|e| writer.fail(e))?;
        let mut blocks = Vec::with_capacity(packed.len());
        for block in packed {
            blocks.push(writer.append_packed(block)?);
        }
        let mut maps = Vec::with_capacity(self.large.len());
        for (content, range, hash) in &self.large {
            maps.push(append_large(writer, content, range.clone(), *hash)?);
        }
        let resolve = |place: Place| match place {
            Place::Large(number) => ChunkAddr::Large(maps[number]),
            // A block of more than 2^32 items would have to be larger than a record may be.
            Place::Item { block, item } => {
                ChunkAddr::Item(ItemAddr { record: blocks[block], item: item as u32 })
            }
        };
        Ok(self.places.into_iter().map(resolve).collect())
    }
}

fn append_large(
    writer: &mut PackWriter,
    content: &Content,
    range: Range<u64>,
    hash: Option<[u8; 32]>,
) -> Result<Addr, Error> {
    let pieces = || {
        let starts = range.clone().step_by(SEGMENT_BYTES);
        starts.map(|start| start..range.end.min(start + SEGMENT_BYTES as u64))
    };
    let read = |writer: &mut PackWriter, piece: Range<u64>| -> Result<Bytes, Error> {
        let len = piece.end - piece.start;
        let cut = || Error::Missing { what: "the end of a message being stored".into() };
        let bytes = content.read(piece).and_then(|b| if b.len() as u64 == len { Ok(b) } else { Err(cut()) });
        bytes.map_err(|e| writer.latch(e))
    };
    // The hash binds every segment to its chunk, so it must be known before the first.
    let hash = match hash {
        Some(hash) => hash,
        None => {
            let mut hash = Sha256::new();
            for piece in pieces() {
                hash.update(read(writer, piece)?);
            }
            hash.finalize().into()
        }
    };
    let mut chunk = [0; 8];
    chunk.copy_from_slice(&hash[..8]);
    let mut offsets = Vec::new();
    let mut rest = pieces().enumerate().peekable();
    while rest.peek().is_some() {
        let mut jobs = Vec::with_capacity(SEGMENTS_AT_ONCE);
        for (index, piece) in rest.by_ref().take(SEGMENTS_AT_ONCE) {
            let last = piece.end == range.end;
            let plain = read(writer, piece)?.to_vec();
            jobs.push((RecordKind::Segment, Segment { index: index as u32, last, chunk }, plain));
        }
        for segment in pack_all(jobs).map_err(|e| writer.fail(e))? {
            offsets.push(writer.append_packed(segment)?.offset);
        }
    }
    let map = ChunkMap { len: range.end.saturating_sub(range.start), hash, offsets };
    writer.append(RecordKind::ChunkMap, map.encode())
}

/// Where a large chunk's segments lie, all in the map's own pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChunkMap {
    len: u64,
    hash: [u8; 32],
    offsets: Vec<u64>,
}

impl ChunkMap {
    fn encode(&self) -> Vec<u8> {
        let mut out = vec![MAP_VERSION];
        varint::put(&mut out, self.len);
        out.extend_from_slice(&self.hash);
        varint::put(&mut out, self.offsets.len() as u64);
        let mut before = 0;
        for &offset in &self.offsets {
            varint::put(&mut out, offset - before);
            before = offset;
        }
        out
    }

    fn decode(plain: &[u8]) -> Option<ChunkMap> {
        let mut from = Reader::new(plain);
        if from.u8()? != MAP_VERSION {
            return None;
        }
        let (len, hash, count) = (from.varint()?, from.array()?, from.varint()?);
        if count != len.div_ceil(SEGMENT_BYTES as u64) || count > from.rest().len() as u64 {
            return None;
        }
        let mut offsets = Vec::with_capacity(usize::try_from(count).ok()?);
        let mut at = 0u64;
        for _ in 0..count {
            at = at.checked_add(from.varint()?)?;
            offsets.push(at);
        }
        from.is_empty().then_some(ChunkMap { len, hash, offsets })
    }

    /// Memory that the map takes.
    pub(super) fn cost(&self) -> usize {
        64 + self.offsets.len() * size_of::<u64>()
    }
}

impl Packs {
    /// The bytes of `range` of a chunk, clamped to it. The caller bounds the range: all of it is in memory.
    /// # Errors
    /// `Corrupt`, `Missing`, `Io`.
    pub(crate) fn chunk(&self, addr: ChunkAddr, range: Range<u64>) -> Result<Bytes, Error> {
        match addr {
            ChunkAddr::Item(item) => {
                let bytes = self.item(item)?;
                let clamp = |at: u64| usize::try_from(at).map_or(bytes.len(), |at| at.min(bytes.len()));
                let (start, end) = (clamp(range.start), clamp(range.end));
                Ok(bytes.slice(start.min(end)..end))
            }
            ChunkAddr::Large(map) => self.large(map, range),
        }
    }

    fn large(&self, addr: Addr, range: Range<u64>) -> Result<Bytes, Error> {
        let (pack, map) = self.map(addr)?;
        let range = range.start..range.end.min(map.len);
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let segment_bytes = SEGMENT_BYTES as u64;
        let (first, last) = (range.start / segment_bytes, (range.end - 1) / segment_bytes);
        let piece = |index: u64| -> Result<Bytes, Error> {
            let whole = self.segment(&pack, addr, &map, index)?;
            let base = index * segment_bytes;
            let start = range.start.saturating_sub(base) as usize;
            let end = (range.end - base).min(segment_bytes) as usize;
            Ok(whole.slice(start..end))
        };
        if first == last {
            return piece(first);
        }
        let mut all = BytesMut::with_capacity((range.end - range.start) as usize);
        for index in first..=last {
            all.extend_from_slice(&piece(index)?);
        }
        Ok(all.freeze())
    }

    /// A segment's content, checked to be the one that the map means.
    fn segment(&self, pack: &Pack, addr: Addr, map: &ChunkMap, index: u64) -> Result<Bytes, Error> {
        let no_segment = |offset| pack.corrupt(offset, "the chunk map names a segment that is not there");
        let place = usize::try_from(index).ok().and_then(|i| map.offsets.get(i));
        let offset = *place.ok_or_else(|| no_segment(addr.offset))?;
        let at = Addr { pack: addr.pack, offset };
        if let Some(Entry::Segment(bytes)) = self.cache.find(at) {
            return Ok(bytes);
        }
        let record = pack.record(offset)?;
        let found = record.header.segment;
        let last = index + 1 == map.offsets.len() as u64;
        let len = (map.len - index * SEGMENT_BYTES as u64).min(SEGMENT_BYTES as u64);
        let right = record.header.kind == RecordKind::Segment
            && u64::from(found.index) == index
            && found.last == last
            && found.chunk == map.hash[..8]
            && record.plain.len() as u64 == len;
        if !right {
            return Err(no_segment(offset));
        }
        self.cache.keep(at, Entry::Segment(record.plain.clone()));
        Ok(record.plain)
    }

    fn map(&self, addr: Addr) -> Result<(Arc<Pack>, Arc<ChunkMap>), Error> {
        let pack = self.pack(addr.pack)?;
        if let Some(Entry::Map(map)) = self.cache.find(addr) {
            return Ok((pack, map));
        }
        let record = pack.record(addr.offset)?;
        let map = Some(record).filter(|r| r.header.kind == RecordKind::ChunkMap);
        let map = map.and_then(|r| ChunkMap::decode(&r.plain));
        let map = Arc::new(map.ok_or_else(|| pack.corrupt(addr.offset, "this is no chunk map"))?);
        self.cache.keep(addr, Entry::Map(Arc::clone(&map)));
        Ok((pack, map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_map_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            if let Some(map) = ChunkMap::decode(&[&[MAP_VERSION], &bytes[..]].concat()) {
                prop_assert_eq!(&map.encode()[1..], &bytes[..]);
            }
        }
    }

    #[test]
    fn a_map_has_as_many_segments_as_its_length_asks_for() {
        for (len, count, ok) in [
            (0, 0, true),
            (1, 1, true),
            (SEGMENT_BYTES, 1, true),
            (SEGMENT_BYTES, 2, false),
            (SEGMENT_BYTES + 1, 2, true),
            (SEGMENT_BYTES + 1, 1, false),
        ] {
            let map =
                ChunkMap { len: len as u64, hash: [1; 32], offsets: (0..count).map(|n| n * 300).collect() };
            assert_eq!(ChunkMap::decode(&map.encode()), ok.then_some(map), "{len} in {count}");
        }
    }
}
