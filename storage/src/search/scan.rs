//! The plain scan: a message's folded text, and whether a needle is in it. This is the truth that the index must give.

use crate::text::{Field, SearchText, fold, is_machine_header};
use memchr::memmem::Finder;

/// Where a needle is looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    /// BODY's entries and every header field that is no machine header, as `Name: value`.
    Text,
    /// The body's entries.
    Body,
    /// The values of the fields of this name (compared without regard to ASCII case).
    Header(String),
}

/// A needle, folded, with the searcher prepared once.
#[derive(Debug, Clone)]
pub(crate) struct Needle {
    folded: String,
    finder: Finder<'static>,
}

impl Needle {
    /// Folds what the user typed.
    pub(crate) fn new(typed: &str) -> Needle {
        let folded = fold(typed);
        let finder = Finder::new(folded.as_bytes()).into_owned();
        Needle { folded, finder }
    }
    /// The folded needle.
    pub(crate) fn as_str(&self) -> &str {
        &self.folded
    }
    /// Whether folded text contains it; the empty needle is in every text.
    pub(crate) fn is_in(&self, folded: &str) -> bool {
        self.finder.find(folded.as_bytes()).is_some()
    }
}

/// The folded text of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Folded {
    /// What TEXT sees of the header.
    pub(crate) header: Vec<String>,
    /// What BODY sees.
    pub(crate) body: Vec<String>,
}

impl Folded {
    /// Folds a message's text.
    pub(crate) fn new(text: &SearchText) -> Folded {
        let header = text.fields.iter().filter(|f| !is_machine_header(&f.name)).map(folded_line).collect();
        Folded { header, body: text.body.iter().map(|entry| fold(entry)).collect() }
    }
    /// About how much memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        let strings = self.header.iter().chain(&self.body);
        strings.map(|s| s.len() + size_of::<String>()).sum::<usize>() + size_of::<Folded>()
    }
    /// Whether the needle is in the body, or (`with_header`) in the header's lines.
    pub(crate) fn has(&self, needle: &Needle, with_header: bool) -> bool {
        needle.as_str().is_empty()
            || (with_header && self.header.iter().any(|line| needle.is_in(line)))
            || self.body.iter().any(|entry| needle.is_in(entry))
    }
}

/// A field as TEXT sees it.
pub(crate) fn folded_line(field: &Field) -> String {
    fold(&format!("{}: {}", field.name, field.value))
}

/// Whether a field of this name has the needle in its value.
pub(crate) fn header_has(fields: &[Field], name: &str, needle: &Needle) -> bool {
    fields
        .iter()
        .filter(|f| f.name.eq_ignore_ascii_case(name))
        .any(|f| needle.as_str().is_empty() || needle.is_in(&fold(&f.value)))
}
