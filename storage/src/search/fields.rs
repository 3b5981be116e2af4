//! The parts of a message's text that the index tells apart, and what its units were made by.
//!
//! Invariant: whatever changes the units of any text changes [`versions`]. Every entry of a message stands in one part.

use super::words::WORDS_VERSION;
use crate::text::TEXT_VERSION;

/// The parts of a message's text that are told apart in the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Subject fields, as `Name: value`.
    Subject,
    /// From fields.
    From,
    /// To fields.
    To,
    /// Cc fields.
    Cc,
    /// Bcc fields.
    Bcc,
    /// All other header fields but machine headers.
    Other,
    /// The body's entries.
    Body,
}

impl Part {
    /// How many there are.
    pub(crate) const COUNT: usize = 7;
    /// All of them: what TEXT covers.
    pub(crate) const ALL: [Part; Part::COUNT] =
        [Part::Subject, Part::From, Part::To, Part::Cc, Part::Bcc, Part::Other, Part::Body];

    /// The part with the fields of this name, if they have one of their own.
    pub(crate) fn of_header(name: &str) -> Option<Part> {
        let names = ["subject", "from", "to", "cc", "bcc"];
        let at = names.iter().position(|known| known.eq_ignore_ascii_case(name))?;
        Part::ALL.get(at).copied()
    }
}

/// What the text was made by: another one means other units, so another index. The Unicode versions are those that
/// decide what folds to what.
pub(super) fn versions() -> String {
    let (a, b) = (char::UNICODE_VERSION, unicode_normalization::UNICODE_VERSION);
    format!("text {TEXT_VERSION} words {WORDS_VERSION} unicode {a:?} {b:?}")
}
