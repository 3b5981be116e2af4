//! Where in a segment units stand one behind the other.
//!
//! All units of a part of a segment are counted through, so that a set of places is a set of bits, and neighbours are a shift apart.
//! The messages that have all the units are found first; positions of others are passed over. Invariant: a place that is found is
//! that of the phrase's first unit.

use super::dictionary::Lists;
use super::fields::Part;
use super::segment::{Bits, Segment};
use super::snapshot::FindError;
use super::words::{ENTRY, Like, NAME, Phrase};
use crate::Error;

/// Ends the work with an error when the caller wants that.
type Check<'a> = &'a dyn Fn() -> Result<(), Error>;

/// The places of a phrase.
pub(super) struct Places {
    /// Documents that may have it.
    pub(super) docs: Bits,
    /// Where it begins, all units of the part counted through.
    pub(super) at: Bits,
}

/// Whether a unit may stand for text: names of fields only where they are searched.
pub(super) fn is_text(names: bool) -> impl Fn(&[u8]) -> bool {
    move |unit| names || unit.first() != Some(&NAME)
}

/// The places of the units, in the documents that have them all; `None`: there are none.
pub(super) fn places(
    segment: &Segment,
    part: Part,
    units: &[Like],
    names: bool,
    check: Check<'_>,
) -> Result<Option<Places>, FindError> {
    let mut lists = Vec::with_capacity(units.len());
    for (at, unit) in units.iter().enumerate() {
        let found = segment.lists(part, unit, is_text(names), check)?;
        if found.is_empty() {
            return Ok(None);
        }
        let weight: u64 = found.iter().map(|list| list.positions.end - list.positions.start).sum();
        lists.push((weight, at, found));
    }
    // The rarest first: it leaves the others little to do.
    lists.sort_by_key(|&(weight, ..)| weight);
    let mut docs: Option<Bits> = None;
    for (.., lists) in &lists {
        let these = segment.docs(lists, check)?;
        let both = match docs {
            Some(mut docs) => {
                docs.and(&these);
                docs
            }
            None => these,
        };
        if both.is_empty() {
            return Ok(None);
        }
        docs = Some(both);
    }
    let Some(docs) = docs else { return Ok(None) };
    let starts = segment.starts(part)?;
    let all = starts.last().map_or(0, |&end| end as usize);
    let mut at: Option<Bits> = None;
    for (_, offset, lists) in &lists {
        let mut next = Bits::new(all);
        segment.positions(lists, check, |doc, position| {
            if docs.has(doc as usize)
                && let Some(&start) = starts.get(doc as usize)
                // Before the first unit of all there is none.
                && let Some(begin) = (start as usize + position as usize).checked_sub(*offset)
                && at.as_ref().is_none_or(|at| at.has(begin))
            {
                next.insert(begin);
            }
        })?;
        if next.is_empty() {
            return Ok(None);
        }
        at = Some(next);
    }
    Ok(at.map(|at| Places { docs, at }))
}

/// The places of entries' beginnings in these documents: names of fields, and marks.
pub(super) fn entries(
    segment: &Segment,
    part: Part,
    docs: &Bits,
    check: Check<'_>,
) -> Result<Bits, FindError> {
    let mut lists = segment.lists(part, &Like::Begins(vec![NAME]), |_| true, check)?;
    lists.extend(marks(segment, part, check)?);
    all(segment, part, &lists, docs, check)
}

fn marks(segment: &Segment, part: Part, check: Check<'_>) -> Result<Vec<Lists>, FindError> {
    segment.lists(part, &Like::Is(vec![ENTRY]), |_| true, check)
}

/// All places of these lists in these documents.
pub(super) fn all(
    segment: &Segment,
    part: Part,
    lists: &[Lists],
    docs: &Bits,
    check: Check<'_>,
) -> Result<Bits, FindError> {
    let starts = segment.starts(part)?;
    let mut found = Bits::new(starts.last().map_or(0, |&end| end as usize));
    segment.positions(lists, check, |doc, position| {
        if docs.has(doc as usize)
            && let Some(&start) = starts.get(doc as usize)
        {
            found.insert(start as usize + position as usize);
        }
    })?;
    Ok(found)
}

/// The places of a phrase, its edges too.
pub(super) fn phrase(
    segment: &Segment,
    part: Part,
    phrase: &Phrase,
    names: bool,
    check: Check<'_>,
) -> Result<Option<Places>, FindError> {
    let Some(mut found) = places(segment, part, &phrase.units, names, check)? else { return Ok(None) };
    if phrase.lead {
        // A mark before it is no blank; a name is: its value follows behind one.
        let marks = all(segment, part, &marks(segment, part, check)?, &found.docs, check)?;
        let wrong = |&at: &usize| at.checked_sub(1).is_none_or(|before| marks.has(before));
        for at in found.at.iter().filter(wrong).collect::<Vec<_>>() {
            found.at.remove(at);
        }
    }
    if phrase.trail {
        let entries = entries(segment, part, &found.docs, check)?;
        let wrong = |&at: &usize| entries.has(at + phrase.units.len());
        for at in found.at.iter().filter(wrong).collect::<Vec<_>>() {
            found.at.remove(at);
        }
    }
    Ok(Some(found))
}

/// The documents of these places.
pub(super) fn docs_of(segment: &Segment, part: Part, places: &Places) -> Result<Bits, FindError> {
    let starts = segment.starts(part)?;
    let mut docs = Bits::new(segment.len() as usize);
    for doc in places.docs.iter() {
        if let (Some(&from), Some(&to)) = (starts.get(doc), starts.get(doc + 1))
            && places.at.any_in(from as usize..to as usize)
        {
            docs.insert(doc);
        }
    }
    Ok(docs)
}
