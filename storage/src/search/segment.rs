//! One immutable segment of the index: the terms of a stretch of message numbers, and where they stand.
//!
//! Three files: `N.terms` has the vocabularies' blocks, then, compressed, every part's directory and the number of units of each message, then where that
//! lies; `N.docs` and `N.positions` have the postings' lists, in pages. Documents count from the segment's first message. Invariant:
//! a segment that its list names is whole and durable; all that is read from it is compared with a checksum.

use super::bits::{Malformed, put_varint, varint, varint32};
use super::dictionary::{Block, BlockWriter, Directory, Lists};
use super::fields::Part;
use super::paged::{PageReader, PageWriter, Paged};
use super::postings::{Postings, read_docs, read_positions};
use super::snapshot::FindError;
use super::words::Like;
use crate::{Error, MsgNo};
use lru::LruCache;
use parking_lot::Mutex;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

/// Ends a file of terms.
const MAGIC: &[u8; 8] = b"mkterms2";
const FOOTER: usize = 24;
/// Terms that are read first where many are wanted.
const FREQUENT: usize = 64;
/// No directory is larger, decompressed.
const MAX_TAIL: u64 = 4 << 30;

/// A segment as the index's list names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SegmentMeta {
    /// Names its files; given once.
    pub(super) serial: u64,
    /// Its messages: from the first to before the second.
    pub(super) messages: (u32, u32),
    /// Lengths of its three files.
    pub(super) bytes: [u64; 3],
}

/// The names of a segment's files.
pub(super) fn file_names(serial: u64) -> [String; 3] {
    ["terms", "docs", "positions"].map(|kind| format!("{serial:08}.{kind}"))
}

/// Decompressed blocks that all segments of an index share, bounded in bytes.
#[derive(Debug)]
pub(crate) struct BlockCache {
    kept: Mutex<Kept>,
    most: usize,
}

#[derive(Debug)]
struct Kept {
    blocks: LruCache<(u64, u8, u32), (Arc<Block>, usize)>,
    bytes: usize,
}

impl std::fmt::Debug for Block {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Block({} terms)", self.len())
    }
}

impl BlockCache {
    /// A cache of at most `most` bytes.
    pub(super) fn new(most: usize) -> Arc<BlockCache> {
        Arc::new(BlockCache { kept: Mutex::new(Kept { blocks: LruCache::unbounded(), bytes: 0 }), most })
    }

    fn get(&self, key: (u64, u8, u32)) -> Option<Arc<Block>> {
        self.kept.lock().blocks.get(&key).map(|(block, _)| Arc::clone(block))
    }

    fn put(&self, key: (u64, u8, u32), block: &Arc<Block>) {
        let bytes = block.memory();
        let mut kept = self.kept.lock();
        kept.bytes += bytes;
        if let Some((_, old)) = kept.blocks.put(key, (Arc::clone(block), bytes)) {
            kept.bytes -= old;
        }
        while kept.bytes > self.most
            && let Some((_, (_, old))) = kept.blocks.pop_lru()
        {
            kept.bytes -= old;
        }
    }
}

/// What a segment knows of one part.
#[derive(Default)]
struct PartInfo {
    directory: Directory,
    /// Units of each message, as varints.
    lens: Vec<u8>,
    /// Before how many units each message begins, and the end; made when it is first asked for.
    starts: OnceLock<Vec<u32>>,
}

/// An open segment.
pub(super) struct Segment {
    pub(super) meta: SegmentMeta,
    terms: File,
    path: PathBuf,
    docs: Paged,
    positions: Paged,
    parts: Vec<PartInfo>,
    cache: Arc<BlockCache>,
}

/// Wrong bytes in a file.
fn invalid(path: &Path) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("{} is damaged", path.display()))
}

/// Wrong bytes where numbers should be.
fn malformed(_: Malformed) -> FindError {
    FindError::Index("a list of postings is malformed".to_owned())
}

impl Segment {
    /// Opens the segment that the list names.
    pub(super) fn open(dir: &Path, meta: &SegmentMeta, cache: &Arc<BlockCache>) -> io::Result<Segment> {
        let [terms, docs, positions] = file_names(meta.serial).map(|name| dir.join(name));
        let docs = Paged::open(&docs, meta.bytes[1])?;
        let positions = Paged::open(&positions, meta.bytes[2])?;
        let file = File::open(&terms)?;
        let len = file.metadata()?.len();
        let wrong = || invalid(&terms);
        let mut footer = [0; FOOTER];
        let at = len.checked_sub(FOOTER as u64).filter(|_| len == meta.bytes[0]).ok_or_else(wrong)?;
        file.read_exact_at(&mut footer, at)?;
        let (numbers, magic) = footer.split_at(16);
        let number =
            |at: usize| numbers.as_chunks::<8>().0.get(at).map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let (begin, size) = (number(0), number(1));
        if magic != MAGIC || size > MAX_TAIL || begin > at {
            return Err(wrong());
        }
        let mut tail = vec![0; usize::try_from(at - begin).map_err(|_| wrong())?];
        file.read_exact_at(&mut tail, begin)?;
        let tail = zstd::bulk::decompress(&tail, size as usize).map_err(|_| wrong())?;
        let mut rest = &tail[..];
        let mut parts = Vec::with_capacity(Part::COUNT);
        for _ in 0..Part::COUNT {
            let directory = Directory::decode(&mut rest).map_err(|_| wrong())?;
            let lens = varint(&mut rest).map_err(|_| wrong())? as usize;
            let (lens, more) = rest.split_at_checked(lens).ok_or_else(wrong)?;
            rest = more;
            parts.push(PartInfo { directory, lens: lens.to_vec(), starts: OnceLock::new() });
        }
        let cache = Arc::clone(cache);
        Ok(Segment { meta: meta.clone(), terms: file, path: terms, docs, positions, parts, cache })
    }

    /// How many messages it has.
    pub(super) fn len(&self) -> u32 {
        self.meta.messages.1 - self.meta.messages.0
    }

    /// The message that a document is.
    pub(super) fn number(&self, doc: u32) -> MsgNo {
        MsgNo(self.meta.messages.0 + doc)
    }

    fn part(&self, part: Part) -> io::Result<&PartInfo> {
        self.parts.get(part as usize).ok_or_else(|| invalid(&self.path))
    }

    /// How many blocks a part's vocabulary has.
    pub(super) fn blocks(&self, part: Part) -> usize {
        self.parts.get(part as usize).map_or(0, |part| part.directory.blocks.len())
    }

    /// A block, read past the cache: who reads all of them needs each once.
    pub(super) fn read_block(&self, part: Part, at: usize) -> io::Result<Block> {
        let info = self.part(part)?.directory.blocks.get(at).ok_or_else(|| invalid(&self.path))?;
        if info.len as u64 > self.meta.bytes[0] {
            return Err(invalid(&self.path));
        }
        let mut compressed = vec![0; info.len];
        self.terms.read_exact_at(&mut compressed, info.at)?;
        Block::decode(info, &compressed).map_err(|_| invalid(&self.path))
    }

    fn block(&self, part: Part, at: usize) -> io::Result<Arc<Block>> {
        let key = (self.meta.serial, part as u8, u32::try_from(at).unwrap_or(u32::MAX));
        if let Some(block) = self.cache.get(key) {
            return Ok(block);
        }
        let block = Arc::new(self.read_block(part, at)?);
        self.cache.put(key, &block);
        Ok(block)
    }

    /// The lists of all terms like that which `wanted` takes.
    pub(super) fn lists(
        &self,
        part: Part,
        like: &Like,
        wanted: impl Fn(&[u8]) -> bool,
        check: &dyn Fn() -> Result<(), Error>,
    ) -> Result<Vec<Lists>, FindError> {
        let mut out = Vec::new();
        for at in self.part(part)?.directory.candidates(like) {
            check()?;
            let block = self.block(part, at)?;
            block.find(like, |term| {
                if wanted(block.term(term)) {
                    out.push(block.lists(term));
                }
            });
        }
        Ok(out)
    }

    /// The documents that any of these lists has.
    pub(super) fn docs(
        &self,
        lists: &[Lists],
        check: &dyn Fn() -> Result<(), Error>,
    ) -> Result<Bits, FindError> {
        let mut found = Bits::new(self.len() as usize);
        let mut missing = self.len();
        let mut reader = PageReader::new(&self.docs);
        // The most frequent terms may have all documents; then the many others needn't be read.
        let mut frequent: Vec<&Lists> = Vec::new();
        if lists.len() > 4 * FREQUENT {
            frequent.extend(lists);
            frequent.select_nth_unstable_by_key(FREQUENT, |list| std::cmp::Reverse(length(&list.docs)));
            frequent.truncate(FREQUENT);
        }
        for (step, list) in frequent.into_iter().chain(lists).enumerate() {
            if step % 1024 == 1023 {
                check()?;
            }
            let bytes = reader.read(list.docs.start, length(&list.docs))?;
            read_docs(bytes, |doc, _| missing -= u32::from(found.insert(doc as usize))).map_err(malformed)?;
            if missing == 0 {
                break;
            }
        }
        Ok(found)
    }

    /// Calls `each` with every document and position of these lists.
    pub(super) fn positions(
        &self,
        lists: &[Lists],
        check: &dyn Fn() -> Result<(), Error>,
        mut each: impl FnMut(u32, u32),
    ) -> Result<(), FindError> {
        let (mut docs, mut positions) = (PageReader::new(&self.docs), PageReader::new(&self.positions));
        for (step, list) in lists.iter().enumerate() {
            if step % 1024 == 1023 {
                check()?;
            }
            let docs = docs.read(list.docs.start, length(&list.docs))?;
            let positions = positions.read(list.positions.start, length(&list.positions))?;
            read_positions(docs, positions, &mut each).map_err(malformed)?;
        }
        Ok(())
    }

    /// Before how many units of the part each document begins, and how many there are in all.
    pub(super) fn starts(&self, part: Part) -> Result<&[u32], FindError> {
        let info = self.part(part)?;
        if let Some(starts) = info.starts.get() {
            return Ok(starts);
        }
        let (mut rest, mut at) = (&info.lens[..], 0u32);
        let mut starts = Vec::with_capacity(self.len() as usize + 1);
        starts.push(0);
        for _ in 0..self.len() {
            at = at
                .checked_add(varint32(&mut rest).map_err(malformed)?)
                .ok_or(Malformed)
                .map_err(malformed)?;
            starts.push(at);
        }
        Ok(info.starts.get_or_init(|| starts))
    }

    /// Readers of both files of postings.
    pub(super) fn readers(&self) -> (PageReader<'_>, PageReader<'_>) {
        (PageReader::new(&self.docs), PageReader::new(&self.positions))
    }

    /// Units of each document of a part.
    pub(super) fn lens(&self, part: Part) -> &[u8] {
        self.parts.get(part as usize).map_or(&[], |part| &part.lens)
    }

    /// The name of a file of it that is damaged.
    pub(super) fn damage(&self) -> io::Result<Option<String>> {
        let [terms, docs, positions] = file_names(self.meta.serial);
        for part in Part::ALL {
            for at in 0..self.blocks(part) {
                match self.read_block(part, at) {
                    Err(error) if error.kind() == ErrorKind::InvalidData => return Ok(Some(terms)),
                    other => drop(other?),
                }
            }
        }
        for (name, file) in [(docs, &self.docs), (positions, &self.positions)] {
            if file.check()?.is_some() {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}

fn length(range: &std::ops::Range<u64>) -> usize {
    usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX)
}

/// A set of small numbers.
#[derive(Debug, Clone)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    /// None of `0..most`.
    pub(super) fn new(most: usize) -> Bits {
        Bits(vec![0; most.div_ceil(64)])
    }

    /// Puts a number in; whether it was new. One beyond the bound is left out.
    #[inline]
    pub(super) fn insert(&mut self, at: usize) -> bool {
        let Some(word) = self.0.get_mut(at / 64) else { return false };
        let bit = 1 << (at % 64);
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Takes a number out.
    pub(super) fn remove(&mut self, at: usize) {
        if let Some(word) = self.0.get_mut(at / 64) {
            *word &= !(1 << (at % 64));
        }
    }

    #[inline]
    pub(super) fn has(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    /// Keeps what both have.
    pub(super) fn and(&mut self, other: &Bits) {
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word &= other);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// All numbers, rising.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().filter(|(_, word)| **word != 0).flat_map(|(at, &word)| {
            let next = |word: &u64| Some(word & (word - 1)).filter(|rest| *rest != 0);
            std::iter::successors(Some(word), next).map(move |word| at * 64 + word.trailing_zeros() as usize)
        })
    }

    /// The highest number at or below `at`.
    pub(super) fn last_upto(&self, at: usize) -> Option<usize> {
        let mut word = at / 64;
        let mut bits = self.0.get(word)? & (u64::MAX >> (63 - at % 64));
        loop {
            if bits != 0 {
                return Some(word * 64 + 63 - bits.leading_zeros() as usize);
            }
            word = word.checked_sub(1)?;
            bits = *self.0.get(word)?;
        }
    }

    /// Whether there is one in the range.
    pub(super) fn any_in(&self, range: std::ops::Range<usize>) -> bool {
        range.end > range.start && self.last_upto(range.end - 1).is_some_and(|found| found >= range.start)
    }
}

/// Writes a segment's files: parts in their order, each part's terms rising.
pub(super) struct SegmentWriter {
    serial: u64,
    terms: io::BufWriter<File>,
    at: u64,
    docs: PageWriter,
    positions: PageWriter,
    blocks: BlockWriter,
    tail: Vec<u8>,
    lists: (Vec<u8>, Vec<u8>),
}

impl SegmentWriter {
    /// Makes the files.
    pub(super) fn create(dir: &Path, serial: u64) -> io::Result<SegmentWriter> {
        let [terms, docs, positions] = file_names(serial).map(|name| dir.join(name));
        Ok(SegmentWriter {
            serial,
            terms: io::BufWriter::new(File::create(terms)?),
            at: 0,
            docs: PageWriter::create(&docs)?,
            positions: PageWriter::create(&positions)?,
            blocks: BlockWriter::new(),
            tail: Vec::new(),
            lists: Default::default(),
        })
    }

    fn write_block(&mut self, block: Option<Vec<u8>>) -> io::Result<()> {
        if let Some(block) = block {
            self.terms.write_all(&block)?;
            self.at += block.len() as u64;
        }
        Ok(())
    }

    /// Appends a term with its postings.
    pub(super) fn term(&mut self, term: &[u8], postings: &Postings) -> io::Result<()> {
        self.lists.0.clear();
        self.lists.1.clear();
        postings.encode(&mut self.lists.0, &mut self.lists.1);
        let (docs, positions) = (self.docs.at(), self.positions.at());
        self.docs.write(&self.lists.0)?;
        self.positions.write(&self.lists.1)?;
        let lists = Lists { docs: docs..self.docs.at(), positions: positions..self.positions.at() };
        let block = self.blocks.push(term, &lists, self.at)?;
        self.write_block(block)
    }

    /// Ends a part; `lens`: each message's units, as varints.
    pub(super) fn end_part(&mut self, lens: &[u8]) -> io::Result<()> {
        let block = self.blocks.end(self.at)?;
        self.write_block(block)?;
        std::mem::take(&mut self.blocks.directory).encode(&mut self.tail);
        put_varint(lens.len() as u64, &mut self.tail);
        self.tail.extend_from_slice(lens);
        Ok(())
    }

    /// Ends the segment, durable on return but for its directory's entries.
    pub(super) fn finish(mut self, messages: (u32, u32)) -> io::Result<SegmentMeta> {
        let mut compressor = zstd::bulk::Compressor::new(3)?;
        compressor.include_checksum(true)?;
        let tail = compressor.compress(&self.tail)?;
        self.terms.write_all(&tail)?;
        self.terms.write_all(&self.at.to_le_bytes())?;
        self.terms.write_all(&(self.tail.len() as u64).to_le_bytes())?;
        self.terms.write_all(MAGIC)?;
        let file = self.terms.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        let bytes = [file.metadata()?.len(), self.docs.finish()?, self.positions.finish()?];
        Ok(SegmentMeta { serial: self.serial, messages, bytes })
    }
}
