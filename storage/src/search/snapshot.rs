//! The committed index at one moment: which messages have which terms.
//!
//! Invariant: a snapshot holds exactly the messages below its watermark, each once. It narrows; what it calls sure
//! needs no look at the message. It reads no message text.

use super::fields::Part;
use super::words::{Like, Lookup, is_full_piece};
use crate::{Error, MsgNo};
use memchr::memmem::Finder;
use roaring::RoaringBitmap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use tantivy::index::SegmentId;
use tantivy::postings::{BlockSegmentPostings, TermInfo};
use tantivy::schema::IndexRecordOption;
use tantivy::{InvertedIndexReader, SegmentReader};

/// Memory for the vocabularies that are kept as one stretch of bytes (`Limits::vocabulary_cache_bytes`); others are
/// streamed from disk.
#[derive(Debug)]
pub(crate) struct Budget {
    most: usize,
    taken: AtomicUsize,
}

impl Budget {
    /// A budget that all snapshots of an index share.
    pub(crate) fn new(most: usize) -> Arc<Budget> {
        Arc::new(Budget { most, taken: AtomicUsize::new(0) })
    }
}

/// The messages that match for sure, and those that may.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Found {
    /// Message numbers that match.
    pub(crate) sure: RoaringBitmap,
    /// Message numbers that may match; with `sure`, no match is left out.
    pub(crate) maybe: RoaringBitmap,
}

/// The index as one commit left it.
pub(crate) struct Snapshot {
    watermark: MsgNo,
    segments: Vec<Arc<Segment>>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({} in {} segments)", self.watermark.0, self.segments.len())
    }
}

/// What went wrong inside the index library.
pub(crate) type Trouble = String;

fn trouble(error: impl fmt::Display) -> Trouble {
    error.to_string()
}

impl Snapshot {
    /// Takes the segments of a searcher, keeping what `before` has read of them already.
    pub(crate) fn new(
        readers: &[SegmentReader],
        watermark: MsgNo,
        budget: &Arc<Budget>,
        before: Option<&Snapshot>,
    ) -> Result<Snapshot, Trouble> {
        let segments = readers
            .iter()
            .map(|reader| {
                let id = reader.segment_id();
                match before.and_then(|b| b.segments.iter().find(|s| s.id == id)) {
                    Some(known) => Ok(known.clone()),
                    None => Segment::new(reader.clone(), budget.clone()).map(Arc::new),
                }
            })
            .collect::<Result<_, Trouble>>()?;
        Ok(Snapshot { watermark, segments })
    }

    /// All messages below are in the snapshot.
    pub(crate) fn watermark(&self) -> MsgNo {
        self.watermark
    }

    /// The message number of every document, in no order.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.segments.iter().flat_map(|segment| segment.numbers.iter().copied())
    }

    /// How many segments there are.
    pub(crate) fn segments(&self) -> usize {
        self.segments.len()
    }

    /// The messages that one part of the text narrows a lookup to; `None` when it does not narrow at all.
    /// `check` is called between pieces of work and ends it with its error.
    pub(crate) fn find(
        &self,
        part: Part,
        lookup: &Lookup,
        check: &dyn Fn() -> Result<(), Error>,
    ) -> Result<Option<Found>, FindError> {
        let mut found = Found::default();
        for segment in &self.segments {
            match lookup {
                Lookup::Nothing => return Ok(None),
                Lookup::Exact(like) => {
                    found.sure |= segment.numbers_of(&segment.docs(part, like, false, check)?)
                }
                Lookup::Long { whole, start } => {
                    if let Some(whole) = whole {
                        found.sure |= segment.numbers_of(&segment.docs(part, whole, false, check)?);
                    }
                    found.maybe |= segment.numbers_of(&segment.docs(part, start, true, check)?);
                }
                Lookup::All(likes) => {
                    let mut all: Option<RoaringBitmap> = None;
                    for like in likes {
                        let docs = segment.docs(part, like, false, check)?;
                        let both = match all {
                            Some(before) => before & docs,
                            None => docs,
                        };
                        let done = both.is_empty();
                        all = Some(both);
                        if done {
                            break;
                        }
                    }
                    found.maybe |= segment.numbers_of(&all.unwrap_or_default());
                }
            }
        }
        Ok(Some(found))
    }
}

#[cfg(test)]
impl Snapshot {
    /// All terms of all parts: what the files hold of the words, in a form that no search through their bytes finds.
    pub(crate) fn terms(&self) -> Vec<String> {
        let mut all = Vec::new();
        for segment in &self.segments {
            for part in 0..Part::COUNT as u32 {
                let field = tantivy::schema::Field::from_field_id(part);
                let inverted = segment.reader.inverted_index(field).unwrap();
                let mut stream = inverted.terms().stream().unwrap();
                while let Some((term, _)) = stream.next() {
                    all.push(String::from_utf8_lossy(term).into_owned());
                }
            }
        }
        all
    }
}

/// Why a lookup ended.
#[derive(Debug)]
pub(crate) enum FindError {
    /// The caller's check.
    Stopped(Error),
    /// The index: it can be made again, and the stored text scanned meanwhile.
    Index(Trouble),
}

impl From<Error> for FindError {
    fn from(error: Error) -> Self {
        FindError::Stopped(error)
    }
}

/// One immutable segment, with its vocabularies as far as they were asked for.
struct Segment {
    id: SegmentId,
    reader: SegmentReader,
    /// Document to message number.
    numbers: Vec<u32>,
    vocabularies: [OnceLock<Option<Vocabulary>>; Part::COUNT],
    budget: Arc<Budget>,
}

impl Segment {
    fn new(reader: SegmentReader, budget: Arc<Budget>) -> Result<Segment, Trouble> {
        let column = reader.fast_fields().u64(super::fields::NUMBER).map_err(trouble)?;
        let numbers = (0..reader.max_doc())
            .map(|doc| {
                let number = column.first(doc).and_then(|n| u32::try_from(n).ok());
                number.ok_or_else(|| format!("document {doc} has no message number"))
            })
            .collect::<Result<_, Trouble>>()?;
        Ok(Segment { id: reader.segment_id(), reader, numbers, vocabularies: Default::default(), budget })
    }

    fn numbers_of(&self, docs: &RoaringBitmap) -> RoaringBitmap {
        docs.iter().filter_map(|doc| self.numbers.get(doc as usize).copied()).collect()
    }

    /// The documents with a term like that; `full_only`: a term that is a full piece.
    fn docs(
        &self,
        part: Part,
        like: &Like,
        full_only: bool,
        check: &dyn Fn() -> Result<(), Error>,
    ) -> Result<RoaringBitmap, FindError> {
        check()?;
        let index = |e: std::io::Error| FindError::Index(trouble(e));
        let inverted = self.reader.inverted_index(part.field()).map_err(|e| FindError::Index(trouble(e)))?;
        let mut docs = Docs::new(&inverted, self.reader.max_doc());
        let wanted = |term: &[u8]| !full_only || std::str::from_utf8(term).is_ok_and(is_full_piece);
        match like {
            Like::Is(text) => {
                if let Some(info) = inverted.terms().get(text.as_bytes()).map_err(index)? {
                    docs.add(&info).map_err(index)?;
                }
            }
            Like::Begins(text) => {
                let mut stream = inverted.terms().range().ge(text.as_bytes()).into_stream().map_err(index)?;
                while let Some((term, info)) = stream.next() {
                    if !term.starts_with(text.as_bytes()) || docs.is_full() {
                        break;
                    }
                    docs.add(info).map_err(index)?;
                }
            }
            Like::Ends(text) | Like::Has(text) => {
                let ends = matches!(like, Like::Ends(_));
                match self.vocabulary(part, &inverted).map_err(index)? {
                    Some(vocabulary) => {
                        for (steps, ord) in vocabulary.find(text, ends).enumerate() {
                            if docs.is_full() {
                                break;
                            }
                            if steps % 4096 == 4095 {
                                check()?;
                            }
                            let term = vocabulary.term(ord);
                            if wanted(term)
                                && let Some(info) = inverted.terms().get(term).map_err(index)?
                            {
                                docs.add(&info).map_err(index)?;
                            }
                        }
                    }
                    None => {
                        let finder = Finder::new(text.as_bytes());
                        let mut stream = inverted.terms().stream().map_err(index)?;
                        let mut steps = 0u32;
                        while let Some((term, info)) = stream.next() {
                            steps = steps.wrapping_add(1);
                            if steps.is_multiple_of(65_536) {
                                check()?;
                            }
                            let hit = if ends {
                                term.ends_with(text.as_bytes())
                            } else {
                                finder.find(term).is_some()
                            };
                            if hit && wanted(term) && !docs.is_full() {
                                docs.add(info).map_err(index)?;
                            }
                        }
                    }
                }
            }
        }
        Ok(docs.finish())
    }

    /// The part's vocabulary, read on first use; `None` when it would take too much memory.
    fn vocabulary(
        &self,
        part: Part,
        inverted: &InvertedIndexReader,
    ) -> Result<Option<&Vocabulary>, std::io::Error> {
        let Some(place) = self.vocabularies.get(part as usize) else { return Ok(None) };
        if place.get().is_none() {
            let read = Vocabulary::read(inverted, &self.budget)?;
            // Another search may have been quicker; its copy is as good, and ours gives its memory back.
            drop(place.set(read));
        }
        Ok(place.get().and_then(Option::as_ref))
    }
}

/// A set of documents that fills up from postings.
struct Docs<'a> {
    inverted: &'a InvertedIndexReader,
    words: Vec<u64>,
    missing: u32,
    postings: Option<BlockSegmentPostings>,
}

impl<'a> Docs<'a> {
    fn new(inverted: &'a InvertedIndexReader, max_doc: u32) -> Docs<'a> {
        let words = vec![0; (max_doc as usize).div_ceil(64)];
        Docs { inverted, words, missing: max_doc, postings: None }
    }

    fn is_full(&self) -> bool {
        self.missing == 0
    }

    fn add(&mut self, info: &TermInfo) -> Result<(), std::io::Error> {
        let mut postings = match self.postings.take() {
            Some(mut postings) => {
                self.inverted.reset_block_postings_from_terminfo(info, &mut postings)?;
                postings
            }
            None => self.inverted.read_block_postings_from_terminfo(info, IndexRecordOption::Basic)?,
        };
        while !postings.docs().is_empty() {
            for &doc in postings.docs() {
                if let Some(word) = self.words.get_mut(doc as usize / 64) {
                    let bit = 1u64 << (doc % 64);
                    if *word & bit == 0 {
                        *word |= bit;
                        self.missing = self.missing.saturating_sub(1);
                    }
                }
            }
            postings.advance();
        }
        self.postings = Some(postings);
        Ok(())
    }

    fn finish(self) -> RoaringBitmap {
        let mut out = RoaringBitmap::new();
        for (at, mut word) in (0u32..).zip(self.words) {
            while word != 0 {
                out.insert(at * 64 + word.trailing_zeros());
                word &= word - 1;
            }
        }
        out
    }
}

/// All terms of a segment's part in one stretch, each between zero bytes (no term has one), so that one pass of
/// a substring searcher finds those with a text inside or at an end.
struct Vocabulary {
    bytes: Vec<u8>,
    /// Where each term starts in `bytes`, and the end.
    starts: Vec<u32>,
    lease: Lease,
}

impl Vocabulary {
    fn read(
        inverted: &InvertedIndexReader,
        budget: &Arc<Budget>,
    ) -> Result<Option<Vocabulary>, std::io::Error> {
        let mut out = Vocabulary {
            bytes: vec![0],
            starts: Vec::new(),
            lease: Lease { budget: budget.clone(), taken: 0 },
        };
        let mut stream = inverted.terms().stream()?;
        while let Some((term, _)) = stream.next() {
            // Counted twice for the room that a growing vector takes.
            if !out.lease.take(2 * (term.len() + 1 + size_of::<u32>())) {
                return Ok(None);
            }
            let Ok(start) = u32::try_from(out.bytes.len()) else { return Ok(None) };
            out.starts.push(start);
            out.bytes.extend_from_slice(term);
            out.bytes.push(0);
        }
        let Ok(end) = u32::try_from(out.bytes.len()) else { return Ok(None) };
        out.starts.push(end);
        out.bytes.shrink_to_fit();
        out.starts.shrink_to_fit();
        let used = out.bytes.capacity() + out.starts.capacity() * size_of::<u32>();
        out.lease.give_back(out.lease.taken.saturating_sub(used));
        Ok(Some(out))
    }

    fn term(&self, ord: usize) -> &[u8] {
        match (self.starts.get(ord), self.starts.get(ord + 1)) {
            (Some(&from), Some(&to)) => self.bytes.get(from as usize..to as usize - 1).unwrap_or_default(),
            _ => &[],
        }
    }

    /// The ordinals of the terms that have `text` inside, or at their end.
    fn find(&self, text: &str, ends: bool) -> impl Iterator<Item = usize> + '_ {
        let mut pattern = text.as_bytes().to_vec();
        if ends {
            pattern.push(0);
        }
        let finder = Finder::new(&pattern).into_owned();
        let mut at = 0usize;
        let mut ord = 0usize;
        std::iter::from_fn(move || {
            let hit = at + finder.find(self.bytes.get(at..)?)?;
            // Hits rise, so the term is near the last one: gallop.
            let mut step = 1;
            while self.starts.get(ord + step).is_some_and(|&s| s as usize <= hit) {
                ord += step;
                step *= 2;
            }
            let rest = self.starts.get(ord..(ord + step).min(self.starts.len()))?;
            ord += rest.partition_point(|&s| s as usize <= hit) - 1;
            at = *self.starts.get(ord + 1)? as usize;
            Some(ord)
        })
    }
}

/// Memory taken from the vocabularies' budget, given back on drop.
struct Lease {
    budget: Arc<Budget>,
    taken: usize,
}

impl Lease {
    fn take(&mut self, bytes: usize) -> bool {
        self.taken += bytes;
        self.budget.taken.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.budget.most
    }

    fn give_back(&mut self, bytes: usize) {
        self.taken -= bytes;
        self.budget.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.give_back(self.taken);
    }
}
