//! A record: a fixed header, authenticated, and its content, compressed where that helps, sealed.
//!
//! Invariant: what `open` gives was sealed for this store, pack and offset. Framing alone (`RecordHeader::parse`)
//! proves nothing: lengths are checked against bounds before anything is read or allocated by them.

use super::crypt::{NONCE_BYTES, SealKey, TAG_BYTES, Unauthentic};
use super::{MAX_RECORD_BYTES, PackId, ZSTD_BLOCK_BYTES, ZSTD_LEVEL, varint::Reader};
use crate::StoreId;
use std::cell::RefCell;
use std::io;
use zstd::bulk::{Compressor, Decompressor};
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};
use zstd::zstd_safe::CParameter;

/// Bytes of a record's header.
pub(crate) const HEADER_BYTES: usize = 68;
/// What every record begins with.
pub(crate) const MAGIC: [u8; 4] = [0xb1, b'm', b'k', b'R'];
/// The newest record layout that this program knows.
pub(crate) const VERSION: u8 = 1;

/// The content is a zstd frame.
const FLAG_ZSTD: u16 = 1;
/// The last segment of its chunk.
const FLAG_LAST: u16 = 2;

/// What a record holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RecordKind {
    /// Small chunks of content, with a table.
    Block = 1,
    /// A piece of a large chunk.
    Segment = 2,
    /// Where a large chunk's segments lie.
    ChunkMap = 3,
    /// Facts about mail: messages, placements, folders.
    Facts = 4,
    /// The end of a complete batch.
    Commit = 5,
    /// A zstd dictionary; no record refers to one in this version.
    Dictionary = 6,
}

impl RecordKind {
    fn from_byte(byte: u8) -> Option<RecordKind> {
        Some(match byte {
            1 => RecordKind::Block,
            2 => RecordKind::Segment,
            3 => RecordKind::ChunkMap,
            4 => RecordKind::Facts,
            5 => RecordKind::Commit,
            6 => RecordKind::Dictionary,
            _ => return None,
        })
    }
}

/// Which piece of which chunk a segment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Segment {
    /// Its number in the chunk, from 0.
    pub(crate) index: u32,
    /// No segment follows.
    pub(crate) last: bool,
    /// The first bytes of the whole chunk's SHA-256.
    pub(crate) chunk: [u8; 8],
}

/// A record's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    /// What it holds.
    pub(crate) kind: RecordKind,
    /// Which segment it is; all zero for other kinds.
    pub(crate) segment: Segment,
    /// Bytes after the header, tag included.
    pub(crate) stored_len: u32,
    /// Bytes of the content.
    pub(crate) plain_len: u32,
    zstd: bool,
    store: StoreId,
    pack: PackId,
    offset: u64,
    nonce: [u8; NONCE_BYTES],
}

/// Why bytes are no record of this place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// Which check failed.
    Not(&'static str),
    /// A record of a newer layout.
    Newer(u8),
}

impl RecordHeader {
    fn encode(&self) -> [u8; HEADER_BYTES] {
        let flags = (u16::from(self.zstd) * FLAG_ZSTD) | (u16::from(self.segment.last) * FLAG_LAST);
        let mut out = [0; HEADER_BYTES];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&MAGIC);
        put(&[VERSION, self.kind as u8]);
        put(&flags.to_le_bytes());
        put(&self.store.0);
        put(&self.pack.0.to_le_bytes());
        put(&self.segment.index.to_le_bytes());
        put(&self.offset.to_le_bytes());
        put(&self.stored_len.to_le_bytes());
        put(&self.plain_len.to_le_bytes());
        put(&self.segment.chunk);
        put(&self.nonce);
        out
    }

    /// Understands a header that should be of `store`, `pack` and `offset`.
    pub(crate) fn parse(
        bytes: &[u8; HEADER_BYTES],
        store: StoreId,
        pack: PackId,
        offset: u64,
    ) -> Result<RecordHeader, Misfit> {
        let mut from = Reader::new(bytes);
        let short = Misfit::Not("header ends early");
        if from.array().ok_or(short)? != MAGIC {
            return Err(Misfit::Not("no record starts here"));
        }
        let version = from.u8().ok_or(short)?;
        if version > VERSION {
            return Err(Misfit::Newer(version));
        }
        let kind = from.u8().ok_or(short)?;
        let flags = from.u16().ok_or(short)?;
        let found = (StoreId(from.array().ok_or(short)?), PackId(from.u32().ok_or(short)?));
        let index = from.u32().ok_or(short)?;
        let own_offset = from.u64().ok_or(short)?;
        let stored_len = from.u32().ok_or(short)?;
        let plain_len = from.u32().ok_or(short)?;
        let chunk = from.array().ok_or(short)?;
        let nonce = from.array().ok_or(short)?;
        if found != (store, pack) || own_offset != offset {
            return Err(Misfit::Not("the record belongs to another place"));
        }
        let kind = RecordKind::from_byte(kind).filter(|_| version == VERSION && flags & !3 == 0);
        let kind = kind.ok_or(Misfit::Not("unknown kind, flags or version"))?;
        let content = (stored_len as usize).checked_sub(TAG_BYTES);
        let zstd = flags & FLAG_ZSTD != 0;
        let fits = content.is_some_and(|content| {
            plain_len as usize <= MAX_RECORD_BYTES
                && if zstd { content < plain_len as usize } else { content == plain_len as usize }
        });
        if !fits {
            return Err(Misfit::Not("lengths out of bounds"));
        }
        let segment = Segment { index, last: flags & FLAG_LAST != 0, chunk };
        if kind != RecordKind::Segment && segment != Segment::default() {
            return Err(Misfit::Not("segment fields in a record that is none"));
        }
        Ok(RecordHeader { kind, segment, stored_len, plain_len, zstd, store, pack, offset, nonce })
    }

    /// Opens the `stored` bytes that follow this header: content and tag.
    pub(crate) fn open(&self, key: &SealKey, stored: Vec<u8>) -> Result<Vec<u8>, &'static str> {
        let content = self.unseal(key, stored)?;
        if !self.zstd {
            return Ok(content);
        }
        let plain =
            decompress(&content, self.plain_len as usize).map_err(|_| "content does not decompress")?;
        if plain.len() != self.plain_len as usize {
            return Err("content has another length");
        }
        Ok(plain)
    }

    /// As [`RecordHeader::open`], but decompresses from the front only as far as `wanted` says, which is asked with what
    /// there is and answers with how many plain bytes it needs. Gives at least so many, or all.
    pub(crate) fn open_front(
        &self,
        key: &SealKey,
        stored: Vec<u8>,
        wanted: impl FnMut(&[u8]) -> usize,
    ) -> Result<Vec<u8>, &'static str> {
        let content = self.unseal(key, stored)?;
        if !self.zstd {
            return Ok(content);
        }
        decompress_front(&content, self.plain_len as usize, wanted).map_err(|_| "content does not decompress")
    }

    fn unseal(&self, key: &SealKey, mut stored: Vec<u8>) -> Result<Vec<u8>, &'static str> {
        if stored.len() != self.stored_len as usize {
            return Err("record ends early");
        }
        let len =
            key.open(self.nonce, &self.encode(), &mut stored).map_err(|Unauthentic| "wrong seal")?.len();
        stored.truncate(len);
        Ok(stored)
    }
}

/// What is decompressed before `wanted` is asked for the first time.
const FRONT_BYTES: usize = 4 << 10;

fn decompress_front(
    frame: &[u8],
    plain_len: usize,
    mut wanted: impl FnMut(&[u8]) -> usize,
) -> io::Result<Vec<u8>> {
    thread_local! {
        static CONTEXT: RefCell<Option<Decoder<'static>>> = const { RefCell::new(None) };
    }
    CONTEXT.with_borrow_mut(|context| {
        let decoder = match context {
            Some(decoder) => decoder,
            None => context.insert(Decoder::new()?),
        };
        decoder.reinit()?;
        let mut input = InBuffer::around(frame);
        let mut plain = Vec::new();
        let mut want = FRONT_BYTES.min(plain_len);
        while plain.len() < want {
            // Room for exactly so much, so that no more than that is decompressed.
            plain.reserve_exact(want - plain.len());
            while plain.len() < want {
                let before = (input.pos(), plain.len());
                decoder.run(&mut input, &mut OutBuffer::around_pos(&mut plain, before.1))?;
                if (input.pos(), plain.len()) == before {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            want = wanted(&plain).min(plain_len);
        }
        Ok(plain)
    })
}

fn decompress(frame: &[u8], plain_len: usize) -> io::Result<Vec<u8>> {
    thread_local! {
        static CONTEXT: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }
    CONTEXT.with_borrow_mut(|context| {
        let context = match context {
            Some(context) => context,
            None => context.insert(Decompressor::new()?),
        };
        context.decompress(frame, plain_len)
    })
}

/// A record's content made ready: only its place and its seal are missing.
#[derive(Debug)]
pub(crate) struct Packed {
    kind: RecordKind,
    segment: Segment,
    plain_len: u32,
    zstd: bool,
    body: Vec<u8>,
}

impl Packed {
    /// Seals for this place and appends header, content and tag to `out`; gives the tag.
    pub(crate) fn seal(
        self,
        key: &SealKey,
        store: StoreId,
        pack: PackId,
        offset: u64,
        out: &mut Vec<u8>,
    ) -> io::Result<[u8; TAG_BYTES]> {
        let stored_len = u32::try_from(self.body.len() + TAG_BYTES).map_err(io::Error::other)?;
        let nonce = super::crypt::random()?;
        let Packed { kind, segment, plain_len, zstd, .. } = self;
        let header = RecordHeader { kind, segment, stored_len, plain_len, zstd, store, pack, offset, nonce };
        let head = header.encode();
        out.extend_from_slice(&head);
        let start = out.len();
        out.extend_from_slice(&self.body);
        let tag = key
            .seal(nonce, &head, &mut out[start..])
            .map_err(|Unauthentic| io::Error::other("the record cannot be sealed"))?;
        out.extend_from_slice(&tag);
        Ok(tag)
    }
}

/// Compresses records' contents; one for each thread, since it keeps zstd's tables.
pub(crate) struct Packer(Compressor<'static>);

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Packer")
    }
}

impl Packer {
    /// A packer at the packs' compression level.
    pub(crate) fn new() -> io::Result<Packer> {
        let mut compressor = Compressor::new(ZSTD_LEVEL)?;
        // zstd decompresses whole blocks of its own: small ones let a reader stop soon after what it wants.
        compressor.set_parameter(CParameter::TargetCBlockSize(ZSTD_BLOCK_BYTES))?;
        Ok(Packer(compressor))
    }

    /// Makes `plain` ready; content that doesn't shrink is kept as it is.
    pub(crate) fn pack(&mut self, kind: RecordKind, segment: Segment, plain: Vec<u8>) -> io::Result<Packed> {
        if plain.len() > MAX_RECORD_BYTES {
            return Err(io::Error::other(format!("a record of {} bytes is above the bound", plain.len())));
        }
        let plain_len = u32::try_from(plain.len()).map_err(io::Error::other)?;
        let frame = self.0.compress(&plain)?;
        let zstd = frame.len() < plain.len();
        #[cfg(test)]
        let zstd = zstd && !super::crypt::PLAIN.get();
        Ok(Packed { kind, segment, plain_len, zstd, body: if zstd { frame } else { plain } })
    }
}

/// Fewest records for which threads are worth starting.
const PARALLEL_FROM: usize = 4;

/// Makes many contents ready, on up to four threads, in their order.
pub(crate) fn pack_all(jobs: Vec<(RecordKind, Segment, Vec<u8>)>) -> io::Result<Vec<Packed>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    let threads = if jobs.len() < PARALLEL_FROM { 1 } else { cores };
    // What a test said of this thread, the others don't know.
    #[cfg(test)]
    let threads = if super::crypt::PLAIN.get() { 1 } else { threads };
    let mut shares: Vec<Vec<_>> =
        (0..threads).map(|_| Vec::with_capacity(jobs.len() / threads + 1)).collect();
    let total = jobs.len();
    for (number, job) in jobs.into_iter().enumerate() {
        shares[number % threads].push(job);
    }
    let work = |share: Vec<(RecordKind, Segment, Vec<u8>)>| -> io::Result<Vec<Packed>> {
        let mut packer = Packer::new()?;
        share.into_iter().map(|(kind, segment, plain)| packer.pack(kind, segment, plain)).collect()
    };
    let done: Vec<Vec<Packed>> = std::thread::scope(|scope| {
        let own = shares.pop();
        let others: Vec<_> = shares.into_iter().map(|share| scope.spawn(|| work(share))).collect();
        let own = own.map(work).transpose();
        let mut done = Vec::with_capacity(threads);
        for other in others {
            done.push(other.join().map_err(|_| io::Error::other("a compressing thread panicked"))??);
        }
        done.extend(own?);
        io::Result::Ok(done)
    })?;
    let mut turns: Vec<_> = done.into_iter().map(Vec::into_iter).collect();
    Ok((0..total).filter_map(|number| turns[number % threads].next()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::crypt::StoreKey;
    use proptest::prelude::*;

    const STORE: StoreId = StoreId([3; 16]);
    const PACK: PackId = PackId(9);

    fn sealed(key: &SealKey, plain: &[u8], offset: u64) -> Vec<u8> {
        let packed =
            Packer::new().unwrap().pack(RecordKind::Facts, Segment::default(), plain.to_vec()).unwrap();
        let mut out = Vec::new();
        packed.seal(key, STORE, PACK, offset, &mut out).unwrap();
        out
    }

    fn open(key: &SealKey, bytes: &[u8], offset: u64) -> Option<Vec<u8>> {
        let (head, stored) = bytes.split_first_chunk()?;
        let header = RecordHeader::parse(head, STORE, PACK, offset).ok()?;
        header.open(key, stored.to_vec()).ok()
    }

    proptest! {
        #[test]
        fn opens_only_unharmed_and_in_its_place(
            plain in prop::collection::vec(any::<u8>(), 0..300), repeat in 1usize..4,
            at in any::<prop::sample::Index>(), bit in 0u8..8, offset in 0..u64::MAX,
        ) {
            let key = StoreKey::generate().unwrap().pack_key(&STORE, PACK).unwrap();
            let plain = plain.repeat(repeat);
            let bytes = sealed(&key, &plain, offset);
            prop_assert_eq!(open(&key, &bytes, offset), Some(plain));
            prop_assert_eq!(open(&key, &bytes, offset ^ 1), None);
            let mut bent = bytes.clone();
            bent[at.index(bytes.len())] ^= 1 << bit;
            prop_assert_eq!(open(&key, &bent, offset), None);
            prop_assert_eq!(open(&key, &bytes[..at.index(bytes.len())], offset), None);
            let other = StoreKey::generate().unwrap().pack_key(&STORE, PACK).unwrap();
            prop_assert_eq!(open(&other, &bytes, offset), None);
        }

        #[test]
        fn any_header_is_refused_or_within_bounds(bytes in any::<[[u8; 17]; 4]>(), dress in any::<bool>()) {
            let mut head: [u8; HEADER_BYTES] = bytes.concat().try_into().unwrap();
            if dress {
                head[..4].copy_from_slice(&MAGIC);
                head[4] = VERSION;
                head[5] %= 7;
                (head[6], head[7]) = (head[6] & 3, 0);
                head[8..24].copy_from_slice(&STORE.0);
                head[24..28].copy_from_slice(&PACK.0.to_le_bytes());
                head[32..40].copy_from_slice(&0u64.to_le_bytes());
                head[43] = 0;
                head[47] = 0;
            }
            if let Ok(header) = RecordHeader::parse(&head, STORE, PACK, 0) {
                prop_assert!(header.plain_len as usize <= MAX_RECORD_BYTES);
                prop_assert!(header.stored_len as usize <= MAX_RECORD_BYTES + TAG_BYTES);
                prop_assert_eq!(header.encode(), head);
            }
        }
    }

    proptest! {
        #[test]
        fn a_front_is_the_beginning_of_the_whole(
            words in prop::collection::vec("[a-f]{1,9} ", 0..4_000), wants in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let key = StoreKey::generate().unwrap().pack_key(&STORE, PACK).unwrap();
            let plain = words.concat().into_bytes();
            let bytes = sealed(&key, &plain, 7);
            let (head, stored) = bytes.split_first_chunk().unwrap();
            let header = RecordHeader::parse(head, STORE, PACK, 7).unwrap();
            let mut asked = wants.iter().map(|want| want.index(plain.len() + 10));
            let mut most = 0;
            let front = header.open_front(&key, stored.to_vec(), |got| {
                assert_eq!(got, &plain[..got.len()]);
                let want = asked.next().unwrap_or(0);
                most = most.max(want);
                want
            });
            let front = front.unwrap();
            prop_assert_eq!(&front[..], &plain[..front.len()]);
            prop_assert!(asked.next().is_some() || front.len() >= most.min(plain.len()));
            prop_assert!(header.open_front(&key, stored[1..].to_vec(), |_| 0).is_err());
        }
    }

    #[test]
    fn a_front_of_a_frame_that_ends_early_is_an_error() {
        let plain = b"the same words again and again ".repeat(1_000);
        let frame = zstd::bulk::compress(&plain, 3).unwrap();
        assert_eq!(decompress_front(&frame, plain.len(), |_| usize::MAX).unwrap(), plain);
        assert!(decompress_front(&frame[..frame.len() / 2], plain.len(), |_| usize::MAX).is_err());
        assert!(decompress_front(&frame, plain.len() + 1, |_| usize::MAX).is_err(), "it claims more");
        assert!(decompress_front(b"no frame", 100, |_| 0).is_err());
    }

    #[test]
    fn a_record_at_the_bound_and_one_past_it() {
        let key = StoreKey::generate().unwrap().pack_key(&STORE, PACK).unwrap();
        let most = vec![b'm'; MAX_RECORD_BYTES];
        assert!(open(&key, &sealed(&key, &most, 0), 0) == Some(most.clone()));
        let more = [most, vec![b'm']].concat();
        assert!(Packer::new().unwrap().pack(RecordKind::Facts, Segment::default(), more).is_err());
    }

    #[test]
    fn many_are_packed_in_their_order() {
        for count in [0, 1, 3, 4, 5, 17] {
            let jobs = (0..count).map(|n| (RecordKind::Block, Segment::default(), vec![n as u8; n + 100]));
            let packed = pack_all(jobs.collect()).unwrap();
            let lens: Vec<_> = packed.iter().map(|p| p.plain_len as usize).collect();
            assert_eq!(lens, (0..count).map(|n| n + 100).collect::<Vec<_>>());
        }
    }
}
