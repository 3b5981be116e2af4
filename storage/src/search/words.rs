//! How folded text becomes units, and which units a needle asks for.
//!
//! White space is one blank in folded text, so an entry is *chunks* with single blanks between them. A chunk is one unit as it stands,
//! punctuation and all; a long one is overlapping pieces; its stretches of Chinese and Japanese characters are overlapping pairs,
//! since those scripts have no blanks. Units are counted through a message, so that neighbours are known. What a unit is glued to
//! stands in the unit itself: bytes that UTF-8 never has mark that its chunk goes on to the left or the right.
//!
//! Invariant: a text contains a needle if, and (where the lookup says that it is exact) only if, its units have the pattern that
//! [`Lookup`] names. How a chunk is cut depends on nothing but the chunk from its beginning. Nothing here folds: text and needle
//! come folded.

/// The version of this file's rules; stands in the index, another one means a new index.
pub(crate) const WORDS_VERSION: u32 = 2;

/// A unit of its own before every entry, and behind the last one of a message.
pub(super) const ENTRY: u8 = 0xFA;
/// Begins the unit of a header field's name, which begins an entry.
pub(super) const NAME: u8 = 0xFB;
/// A unit of its own where an entry begins or ends with a blank.
const EDGE: u8 = 0xFC;
/// A unit of its own, once in a message whose text has a blank anywhere.
const BLANK: u8 = 0xFD;
/// Begins a unit whose chunk goes on to the left.
const LEFT: u8 = 0xFE;
/// Ends a unit whose chunk goes on to the right.
const RIGHT: u8 = 0xFF;

/// Characters of a piece of a long chunk.
const PIECE: usize = 96;
/// Characters that a piece has in common with the next one.
const OVERLAP: usize = 32;
/// The longest stretch, in characters, that surely lies inside one piece.
const WHOLE: usize = OVERLAP + 1;
/// Bytes of a header field's name that has a unit of its own; longer ones are text as any other.
const NAME_BYTES: usize = 76;
/// The most units that a needle is looked up by: leaving some out keeps the answer right.
const MAX_UNITS: usize = 32;

/// Han, Hiragana, Katakana.
fn is_paired(c: char) -> bool {
    matches!(c,
        '\u{3005}'..='\u{3007}'
        | '\u{3021}'..='\u{303C}'
        | '\u{3040}'..='\u{30FF}'
        | '\u{31F0}'..='\u{31FF}'
        | '\u{3400}'..='\u{4DBF}'
        | '\u{4E00}'..='\u{9FFF}'
        | '\u{F900}'..='\u{FAFF}'
        | '\u{1AFF0}'..='\u{1B16F}'
        | '\u{20000}'..='\u{3FFFF}')
}

/// Where character number `chars` begins; the end where there are fewer, and none beyond that.
fn place(text: &str, chars: usize) -> Option<usize> {
    if text.len() < chars {
        return None;
    }
    text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(chars)
}

/// Calls `each` with the stretches of a chunk that are all paired characters, or have none.
fn runs(chunk: &str, mut each: impl FnMut(&str, bool)) {
    let mut rest = chunk;
    while let Some(first) = rest.chars().next() {
        let paired = is_paired(first);
        let end = rest.find(|c| is_paired(c) != paired).unwrap_or(rest.len());
        each(&rest[..end], paired);
        rest = &rest[end..];
    }
}

/// Calls `each` with the units' texts of one run, and whether it is the last.
fn pieces(run: &str, paired: bool, each: &mut impl FnMut(&str, bool)) {
    let (length, step) = if paired { (2, 1) } else { (PIECE, PIECE - OVERLAP) };
    let mut rest = run;
    loop {
        match (place(rest, length).filter(|&end| end < rest.len()), place(rest, step)) {
            (Some(end), Some(next)) => {
                each(&rest[..end], false);
                rest = &rest[next..];
            }
            _ => return each(rest, true),
        }
    }
}

/// Cuts folded texts into units; keeps a buffer between them.
#[derive(Debug, Default)]
pub(super) struct Cutter {
    unit: Vec<u8>,
    blank: bool,
}

impl Cutter {
    /// Calls `each` with the units of an entry's text, its beginning first.
    pub(super) fn entry(&mut self, text: &str, mut each: impl FnMut(&[u8])) {
        each(&[ENTRY]);
        self.text(text, &mut each);
    }

    /// As [`Cutter::entry`], of a header field's line that begins with `name`, as [`name_unit`] gives it.
    pub(super) fn field(&mut self, name: &[u8], line: &str, mut each: impl FnMut(&[u8])) {
        each(name);
        match line.get(name.len() - 1..).and_then(|value| value.strip_prefix(' ')) {
            Some(value) => {
                self.blank = true;
                self.text(value, &mut each);
                if value.is_empty() {
                    each(&[EDGE]);
                }
            }
            // Not as `Name: value` folds; its text is not lost.
            None => self.text(line, &mut each),
        }
    }

    /// Ends a message that had entries.
    pub(super) fn end(&mut self, mut each: impl FnMut(&[u8])) {
        each(&[ENTRY]);
        if std::mem::take(&mut self.blank) {
            each(&[BLANK]);
        }
    }

    fn text(&mut self, text: &str, each: &mut impl FnMut(&[u8])) {
        if text.is_empty() {
            return;
        }
        for (at, chunk) in text.split(' ').enumerate() {
            self.blank |= at > 0;
            if chunk.is_empty() {
                each(&[EDGE]);
            } else if chunk.len() <= PIECE && chunk.is_ascii() {
                each(chunk.as_bytes());
            } else {
                self.chunk(chunk, each);
            }
        }
    }

    fn chunk(&mut self, chunk: &str, each: &mut impl FnMut(&[u8])) {
        let unit = &mut self.unit;
        let (mut done, mut first) = (0, true);
        runs(chunk, |run, paired| {
            done += run.len();
            let end = done == chunk.len();
            pieces(run, paired, &mut |piece, last| {
                unit.clear();
                unit.extend((!first).then_some(LEFT));
                unit.extend_from_slice(piece.as_bytes());
                unit.extend((!(last && end)).then_some(RIGHT));
                first = false;
                each(unit);
            });
        });
    }
}

/// The unit of a header field's name; none for names that are text as any other.
pub(super) fn name_unit(name: &str) -> Option<Vec<u8>> {
    let plain = |byte: u8| matches!(byte, 33..=126) && byte != b':';
    if name.is_empty() || name.len() > NAME_BYTES || !name.bytes().all(plain) {
        return None;
    }
    Some([&[NAME], name.to_ascii_lowercase().as_bytes(), b":"].concat())
}

/// How a unit of the index must look, in its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Like {
    /// This very unit.
    Is(Vec<u8>),
    /// One that begins so.
    Begins(Vec<u8>),
    /// One that ends so.
    Ends(Vec<u8>),
    /// One that has it inside.
    Has(Vec<u8>),
}

/// Units one behind the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Phrase {
    /// At least one.
    pub(crate) units: Vec<Like>,
    /// There is a blank before the first.
    pub(crate) lead: bool,
    /// There is a blank behind the last.
    pub(crate) trail: bool,
    /// Whether a text with these units has the needle for sure.
    pub(crate) exact: bool,
}

/// What the index is asked for a needle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// The needle is empty: the index has nothing to say.
    Nothing,
    /// The texts with such a unit are the answer, no more and no less.
    One(Like),
    /// The needle is one stretch, longer than pieces overlap: texts with a unit that has `whole` match; of the others, those may
    /// that have `start` in a unit that its chunk goes on behind.
    Long {
        /// The whole needle; none where it is longer than any unit.
        whole: Option<Like>,
        /// Its first characters.
        start: Like,
    },
    /// Neighbouring units.
    Phrase(Phrase),
}

/// Whether a unit's chunk goes on behind it.
pub(super) fn goes_on(unit: &[u8]) -> bool {
    unit.last() == Some(&RIGHT)
}

impl Lookup {
    /// Works out the lookup of a folded needle.
    pub(crate) fn new(needle: &str) -> Lookup {
        if needle.is_empty() {
            return Lookup::Nothing;
        }
        if needle == " " {
            return Lookup::One(Like::Is(vec![BLANK]));
        }
        let (lead, rest) = needle.strip_prefix(' ').map_or((false, needle), |rest| (true, rest));
        let (trail, rest) = rest.strip_suffix(' ').map_or((false, rest), |rest| (true, rest));
        if !lead && !trail && !rest.contains(' ') && !rest.contains(is_paired) {
            let has = |text: &str| Like::Has(text.as_bytes().to_vec());
            return match place(rest, WHOLE).filter(|&end| end < rest.len()) {
                None => Lookup::One(has(rest)),
                Some(end) => {
                    let fits = place(rest, PIECE).is_none_or(|end| end == rest.len());
                    Lookup::Long { whole: fits.then(|| has(rest)), start: has(&rest[..end]) }
                }
            };
        }
        let mut ask = Ask { units: Vec::new(), exact: true };
        let mut chunks = rest.split(' ').enumerate().peekable();
        while let Some((at, chunk)) = chunks.next() {
            let (closed_left, closed_right) = (at > 0 || lead, chunks.peek().is_some() || trail);
            ask.chunk(chunk, closed_left, closed_right);
            if ask.units.len() > MAX_UNITS {
                break;
            }
        }
        let Ask { mut units, mut exact } = ask;
        let mut trail = trail;
        if units.len() > MAX_UNITS {
            units.truncate(MAX_UNITS);
            (exact, trail) = (false, false);
        }
        match <[Like; 1]>::try_from(units) {
            Ok([unit]) if !lead && !trail && exact => Lookup::One(unit),
            Ok(one) => Lookup::Phrase(Phrase { units: one.to_vec(), lead, trail, exact }),
            Err(units) => Lookup::Phrase(Phrase { units, lead, trail, exact }),
        }
    }

    /// What may match for as far as the index can tell, though the needle's edges mean something else there.
    pub(super) fn loosened(self) -> Lookup {
        match self {
            Lookup::Phrase(phrase) if phrase.lead || phrase.trail => {
                Lookup::Phrase(Phrase { lead: false, trail: false, exact: false, ..phrase })
            }
            other => other,
        }
    }
}

/// The units that a needle of several asks for.
struct Ask {
    units: Vec<Like>,
    exact: bool,
}

impl Ask {
    /// A chunk of the needle; closed: there the text's chunk ends too, else it may go on.
    fn chunk(&mut self, chunk: &str, closed_left: bool, closed_right: bool) {
        let mut done = 0;
        runs(chunk, |run, paired| {
            let from = done;
            done += run.len();
            let (begins, ends) = (from == 0, done == chunk.len());
            // Where another run meets this one, the text's run has the same edge.
            let left = closed_left || !begins;
            let right = closed_right || !ends;
            if !left && !paired && place(run, WHOLE).is_some_and(|end| end < run.len()) {
                // How the text is cut there depends on what stands before.
                self.exact = false;
                let chars = run.chars().count();
                let tail = place(run, chars - WHOLE).map_or(run, |at| &run[at..]);
                self.unit(tail, begins, !ends, false, right);
                return;
            }
            let mut first = true;
            pieces(run, paired, &mut |piece, last| {
                if self.units.len() <= MAX_UNITS {
                    let glued_left = !(begins && first);
                    let glued_right = !(ends && last);
                    self.unit(piece, !glued_left, glued_right, left || !first, right || !last);
                }
                first = false;
            });
        });
    }

    /// A unit that begins its chunk (or not), is glued to the next one (or not), and whose edges are known (or not).
    fn unit(&mut self, text: &str, begins: bool, glued_right: bool, left: bool, right: bool) {
        let mut bytes = Vec::with_capacity(text.len() + 2);
        bytes.extend((left && !begins).then_some(LEFT));
        bytes.extend_from_slice(text.as_bytes());
        bytes.extend((right && glued_right).then_some(RIGHT));
        self.units.push(match (left, right) {
            (true, true) => Like::Is(bytes),
            (true, false) => Like::Begins(bytes),
            (false, true) => Like::Ends(bytes),
            (false, false) => Like::Has(bytes),
        });
    }
}
