//! The committed index at one moment: which messages have which text.
//!
//! Invariant: a snapshot holds exactly the messages below its watermark, each once. It narrows; what it calls sure
//! needs no look at the message. It reads no message text.

use super::fields::Part;
use super::phrase;
use super::segment::{Bits, Segment};
use super::words::{Like, Lookup, Phrase, goes_on};
use crate::{Error, MsgNo};
use roaring::RoaringBitmap;
use std::fmt;
use std::sync::Arc;

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
    /// Rising and without a gap, by message number.
    pub(super) segments: Vec<Arc<Segment>>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshot({} in {} segments)", self.watermark.0, self.segments.len())
    }
}

/// Why a lookup ended.
#[derive(Debug)]
pub(crate) enum FindError {
    /// The caller's check.
    Stopped(Error),
    /// The index: it can be made again, and the stored text scanned meanwhile.
    Index(String),
}

impl From<Error> for FindError {
    fn from(error: Error) -> Self {
        FindError::Stopped(error)
    }
}

impl From<std::io::Error> for FindError {
    fn from(error: std::io::Error) -> Self {
        FindError::Index(error.to_string())
    }
}

type Check<'a> = &'a dyn Fn() -> Result<(), Error>;

impl Snapshot {
    /// Segments that follow one another from message number 0 on.
    pub(super) fn new(segments: Vec<Arc<Segment>>) -> Snapshot {
        let watermark = MsgNo(segments.last().map_or(0, |last| last.meta.messages.1));
        Snapshot { watermark, segments }
    }

    /// All messages below are in the snapshot.
    pub(crate) fn watermark(&self) -> MsgNo {
        self.watermark
    }

    /// How many segments there are.
    pub(crate) fn segments(&self) -> usize {
        self.segments.len()
    }

    /// The messages that one part of the text narrows a lookup to; `None` when it does not narrow at all. `names`: names of
    /// fields are text too. `check` is called between pieces of work and ends it with its error.
    pub(crate) fn find(
        &self,
        part: Part,
        lookup: &Lookup,
        names: bool,
        check: Check<'_>,
    ) -> Result<Option<Found>, FindError> {
        if *lookup == Lookup::Nothing {
            return Ok(None);
        }
        let mut found = Found::default();
        for segment in &self.segments {
            let (sure, maybe) = match lookup {
                Lookup::Nothing => (None, None),
                Lookup::One(like) => (Some(docs(segment, part, like, names, false, check)?), None),
                Lookup::Long { whole, start } => {
                    let whole = whole.as_ref().map(|whole| docs(segment, part, whole, names, false, check));
                    (whole.transpose()?, Some(docs(segment, part, start, names, true, check)?))
                }
                Lookup::Phrase(wanted) => {
                    let docs = match phrase::phrase(segment, part, wanted, names, check)? {
                        Some(places) => Some(phrase::docs_of(segment, part, &places)?),
                        None => None,
                    };
                    if wanted.exact { (docs, None) } else { (None, docs) }
                }
            };
            let into = |docs: Option<Bits>, out: &mut RoaringBitmap| {
                out.extend(docs.iter().flat_map(Bits::iter).map(|doc| segment.number(doc as u32).0));
            };
            into(sure, &mut found.sure);
            into(maybe, &mut found.maybe);
        }
        Ok(Some(found))
    }

    /// Whether a message has this very unit in a part: asks the one segment that holds it.
    pub(crate) fn has(
        &self,
        part: Part,
        unit: &[u8],
        no: MsgNo,
        check: Check<'_>,
    ) -> Result<bool, FindError> {
        let at = self.segments.partition_point(|segment| segment.meta.messages.1 <= no.0);
        let Some(segment) = self.segments.get(at) else { return Ok(false) };
        let Some(doc) = no.0.checked_sub(segment.meta.messages.0) else { return Ok(false) };
        Ok(docs(segment, part, &Like::Is(unit.to_vec()), true, false, check)?.has(doc as usize))
    }

    /// The messages with a field that is named by this unit, and has the lookup in its value.
    pub(crate) fn find_in_field(
        &self,
        name: &[u8],
        lookup: &Lookup,
        check: Check<'_>,
    ) -> Result<Found, FindError> {
        let mut found = Found::default();
        for segment in &self.segments {
            let part = Part::Other;
            let named = Like::Is(name.to_vec());
            let lists = segment.lists(part, &named, |_| true, check)?;
            if lists.is_empty() {
                continue;
            }
            let has_name = segment.docs(&lists, check)?;
            let numbers = |docs: &Bits, out: &mut RoaringBitmap| {
                out.extend(docs.iter().map(|doc| segment.number(doc as u32).0));
            };
            let wanted = match lookup {
                Lookup::Nothing => {
                    numbers(&has_name, &mut found.sure);
                    continue;
                }
                Lookup::Long { start, .. } => {
                    let mut docs = docs(segment, part, start, false, false, check)?;
                    docs.and(&has_name);
                    numbers(&docs, &mut found.maybe);
                    continue;
                }
                Lookup::One(like) => {
                    &Phrase { units: vec![like.clone()], lead: false, trail: false, exact: true }
                }
                Lookup::Phrase(wanted) => wanted,
            };
            let Some(mut places) = phrase::phrase(segment, part, wanted, false, check)? else { continue };
            places.docs.and(&has_name);
            if places.docs.is_empty() {
                continue;
            }
            let names = phrase::all(segment, part, &lists, &places.docs, check)?;
            let entries = phrase::entries(segment, part, &places.docs, check)?;
            let wrong = |&at: &usize| entries.last_upto(at).is_none_or(|entry| !names.has(entry));
            for at in places.at.iter().filter(wrong).collect::<Vec<_>>() {
                places.at.remove(at);
            }
            let docs = phrase::docs_of(segment, part, &places)?;
            numbers(&docs, if wanted.exact { &mut found.sure } else { &mut found.maybe });
        }
        Ok(found)
    }
}

/// The documents with a unit like that; `full_only`: one that its chunk goes on behind.
fn docs(
    segment: &Segment,
    part: Part,
    like: &Like,
    names: bool,
    full_only: bool,
    check: Check<'_>,
) -> Result<Bits, FindError> {
    let is_text = phrase::is_text(names);
    let wanted = |unit: &[u8]| is_text(unit) && (!full_only || goes_on(unit));
    let lists = segment.lists(part, like, wanted, check)?;
    segment.docs(&lists, check)
}

#[cfg(test)]
impl Snapshot {
    /// All terms of all parts: what the files hold of the words, in a form that no search through their bytes finds.
    pub(crate) fn terms(&self) -> Vec<String> {
        let mut all = Vec::new();
        for segment in &self.segments {
            for part in Part::ALL {
                for at in 0..segment.blocks(part) {
                    let block = segment.read_block(part, at).unwrap();
                    let terms =
                        (0..block.len()).map(|term| String::from_utf8_lossy(block.term(term)).into_owned());
                    all.extend(terms);
                }
            }
        }
        all
    }
}
