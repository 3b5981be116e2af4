//! Packs: append-only files of sealed records. `storage/FORMAT.md` describes every byte.
//!
//! Invariant: a pack is only ever appended to; a record that is read from the wrong place is an error, never data.
//! What the records say about mail (facts, placements, folders) is not known here: the store reads and writes that.

mod block;
mod cache;
mod chunks;
mod commit;
pub(crate) mod crypt;
pub(crate) mod disk;
mod frozen;
mod header;
mod packs;
mod record;
mod scan;
pub(crate) mod varint;
mod writer;

pub(crate) use chunks::{ChunkSink, Class, Handle, Kin};
pub(crate) use commit::{Commit, LogHead, Tally};
pub(crate) use frozen::Frozen;
pub(crate) use header::StoreIdentity;
pub(crate) use packs::Packs;
pub(crate) use record::RecordKind;
pub(crate) use scan::{CompleteBatch, End};
pub(crate) use writer::PackWriter;

use varint::Reader;

/// Plain bytes from which a block of headers takes no more (FORMAT.md has the figures).
pub(crate) const HEADER_BLOCK_BYTES: usize = 128 << 10;
/// Plain bytes from which a block of other small chunks takes no more.
pub(crate) const BODY_BLOCK_BYTES: usize = 64 << 10;
/// Plain bytes of every segment of a large chunk but the last; also the largest chunk that goes into a block.
pub(crate) const SEGMENT_BYTES: usize = 256 << 10;
/// Largest plain content of any record; checked before memory is taken.
pub(crate) const MAX_RECORD_BYTES: usize = 8 << 20;
/// zstd's level for everything in packs (FORMAT.md has the figures).
pub(crate) const ZSTD_LEVEL: i32 = 6;
/// What zstd's own blocks come to, compressed, roughly: a reader decompresses whole ones.
pub(crate) const ZSTD_BLOCK_BYTES: u32 = 8 << 10;

/// A pack's number in its store: from 1, never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct PackId(pub(crate) u32);

impl PackId {
    /// The pack's file name, `00000001.pack`.
    pub(crate) fn file_name(self) -> String {
        format!("{:08}.pack", self.0)
    }

    /// The pack that a file of this name is; `None` for other files.
    pub(crate) fn from_file_name(name: &str) -> Option<PackId> {
        let digits = name.strip_suffix(".pack")?;
        let id = PackId(digits.parse().ok()?);
        (id.0 > 0 && id.file_name() == name).then_some(id)
    }
}

/// Where a record lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Addr {
    /// The pack.
    pub(crate) pack: PackId,
    /// The record's first byte in the pack's file.
    pub(crate) offset: u64,
}

/// Where an item of a block lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ItemAddr {
    /// The block's record.
    pub(crate) record: Addr,
    /// The item's number in the block, from 0.
    pub(crate) item: u32,
}

/// Where a chunk of content lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum ChunkAddr {
    /// In a block, with others.
    Item(ItemAddr),
    /// In segments, which this chunk map lists.
    Large(Addr),
}

impl ChunkAddr {
    /// Appends the address: varints of pack·2 + large, offset, and the item unless large.
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        let (record, large) = match self {
            ChunkAddr::Item(item) => (item.record, 0),
            ChunkAddr::Large(record) => (record, 1),
        };
        varint::put(out, u64::from(record.pack.0) << 1 | large);
        varint::put(out, record.offset);
        if let ChunkAddr::Item(item) = self {
            varint::put(out, u64::from(item.item));
        }
    }

    /// Reads what [`ChunkAddr::encode`] wrote; `None` when the bytes are no address.
    pub(crate) fn decode(from: &mut Reader<'_>) -> Option<ChunkAddr> {
        let first = from.varint()?;
        let pack = PackId(u32::try_from(first >> 1).ok()?);
        let record = Addr { pack, offset: from.varint()? };
        if first & 1 == 1 {
            return Some(ChunkAddr::Large(record));
        }
        Some(ChunkAddr::Item(ItemAddr { record, item: u32::try_from(from.varint()?).ok()? }))
    }
}

#[cfg(test)]
mod tests;
