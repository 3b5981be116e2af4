//! A piece of a message's text around what was found in it.
//!
//! Invariant: the text is the message's own, decoded, as it was before folding; the middle part, folded, contains what was
//! looked for. Bounded in time by the message's searched text, and in length.

use super::scan::Needle;
use crate::prepared::Parsed;
use crate::store::Store;
use crate::text::{SearchText, fold, is_machine_header};
use crate::{Error, Row, Storage};
use std::sync::Arc;

/// Characters before the hit, and behind it.
const AROUND: usize = 60;
/// Longest hit that is shown whole, characters.
const MOST: usize = 200;
/// Text is folded in pieces of about so many bytes while the hit's place is looked for.
const PIECE: usize = 4 << 10;

/// Text around a hit; white space as single blanks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snippet {
    /// In front of the hit; begins with `…` where it is cut.
    pub before: String,
    /// What was found; empty when there was nothing to find, and the text's beginning is shown.
    pub hit: String,
    /// Behind the hit; ends with `…` where it is cut.
    pub after: String,
}

impl Storage {
    /// The text around the first place where one of `needles` (as typed) is in the message's body, else in its header; without
    /// one, the beginning of the body. None for a message without text.
    /// # Errors
    /// `Missing`, `Unavailable`; a damaged message has none.
    pub fn snippet(&self, row: &Row, needles: &[&str]) -> Result<Option<Snippet>, Error> {
        let store: Arc<Store> = self.store_numbered(row.store)?;
        let content = match store.message(row.msg).and_then(|message| message.content()) {
            Ok(content) => content,
            Err(Error::Corrupt { .. } | Error::WrongContent { .. }) => return Ok(None),
            Err(other) => return Err(other),
        };
        Ok(of_text(&Parsed::new(&content, &store.limits).text, needles))
    }
}

fn of_text(text: &SearchText, needles: &[&str]) -> Option<Snippet> {
    let needles: Vec<Needle> = needles.iter().map(|typed| Needle::new(typed)).collect();
    let needles: Vec<&Needle> = needles.iter().filter(|needle| !needle.as_str().trim().is_empty()).collect();
    let header = text.fields.iter().filter(|field| !is_machine_header(&field.name));
    let header: Vec<String> = header.map(|field| format!("{}: {}", field.name, field.value)).collect();
    for entry in text.body.iter().chain(&header) {
        if let Some(found) = needles.iter().filter_map(|needle| place(entry, needle)).min() {
            return Some(around(entry, found));
        }
    }
    let first = text.body.iter().find(|entry| !entry.trim().is_empty())?;
    let begin = first.len() - first.trim_start().len();
    Some(around(first, (begin, begin)))
}

/// Where the needle is, in bytes of the text before folding.
fn place(text: &str, needle: &Needle) -> Option<(usize, usize)> {
    let folded = fold(text);
    let start = folded.find(needle.as_str())?;
    let from = offset(text, start);
    // Folding may join characters at the ends: both are moved until what is between them says it.
    let mut begin = from;
    for _ in 0..4 {
        let mut end = offset(text, start + needle.as_str().len()).max(begin);
        for _ in 0..4 {
            if text.get(begin..end).is_some_and(|hit| needle.is_in(&fold(hit))) {
                return Some((begin, end));
            }
            end = next(text, end);
        }
        begin = text.get(..begin)?.char_indices().next_back().map_or(0, |(at, _)| at);
    }
    // It is there, though its ends could not be told.
    Some((from, from))
}

/// The place in the text whose beginning folds to so many bytes, or the last before it.
fn offset(text: &str, folded: usize) -> usize {
    let (mut at, mut done) = (0, 0);
    // Pieces end at white space, across which folding doesn't reach.
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let cut =
            (PIECE..rest.len()).find(|end| rest.as_bytes().get(*end).is_some_and(u8::is_ascii_whitespace));
        let piece = rest.get(..cut.unwrap_or(rest.len())).unwrap_or(rest);
        let length = joined(done, text, at, piece);
        if piece.len() == rest.len() || done + length >= folded {
            let ends: Vec<usize> = piece.char_indices().map(|(end, _)| end).chain([piece.len()]).collect();
            let short =
                |end: &usize| done + joined(done, text, at, piece.get(..*end).unwrap_or(piece)) <= folded;
            let last = ends.partition_point(short).saturating_sub(1);
            return at + ends.get(last).copied().unwrap_or(0);
        }
        (at, done) = (at + piece.len(), done + length);
    }
}

/// What a piece adds to the folded text: a run of white space that goes on is no second blank.
fn joined(done: usize, text: &str, at: usize, piece: &str) -> usize {
    let blank = |c: Option<char>| c.is_some_and(char::is_whitespace);
    let goes_on = done > 0
        && blank(text.get(..at).and_then(|text| text.chars().next_back()))
        && blank(piece.chars().next());
    fold(piece).len() - usize::from(goes_on)
}

fn next(text: &str, at: usize) -> usize {
    at + text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8)
}

fn around(text: &str, (begin, end): (usize, usize)) -> Snippet {
    let (front, rest) = text.split_at_checked(begin).unwrap_or((text, ""));
    let (hit, behind) = rest.split_at_checked(end - begin).unwrap_or((rest, ""));
    let start = front.char_indices().rev().nth(AROUND - 1).map_or(0, |(at, _)| at);
    let stop = behind.char_indices().nth(AROUND).map_or(behind.len(), |(at, _)| at);
    let longest = hit.char_indices().nth(MOST).map_or(hit.len(), |(at, _)| at);
    let (hit_cut, after) = match longest < hit.len() {
        true => (hit.get(..longest).unwrap_or(hit), "…".to_owned()),
        false => (hit, cut_end(&blanks(behind.get(..stop).unwrap_or(behind)), stop < behind.len())),
    };
    let before = blanks(front.get(start..).unwrap_or(front));
    let before = if start > 0 { format!("…{before}") } else { before.trim_start().to_owned() };
    Snippet { before, hit: blanks(hit_cut), after }
}

fn cut_end(text: &str, is_cut: bool) -> String {
    if is_cut { format!("{text}…") } else { text.trim_end().to_owned() }
}

/// Each run of white space as one blank.
fn blanks(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blank = false;
    for c in text.chars() {
        match c.is_whitespace() {
            true if blank => {}
            true => out.push(' '),
            false => out.push(c),
        }
        blank = c.is_whitespace();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(body: &str, needles: &[&str]) -> Snippet {
        let field = crate::text::Field { name: "Subject".into(), value: "On Turnips".into() };
        let text = SearchText { fields: vec![field], body: vec![body.to_owned()], cut: false };
        of_text(&text, needles).unwrap()
    }

    #[test]
    fn the_hit_stands_in_its_own_letters() {
        let found = of("Dear all,\r\n\r\n  the Abschlußrechnung is here.\n", &["SCHLUSSRECH"]);
        assert_eq!(
            (&*found.before, &*found.hit, &*found.after),
            ("Dear all, the Ab", "schlußrech", "nung is here.")
        );
        let found = of("İstanbul  calling", &["istanbul call"]);
        assert_eq!((&*found.before, &*found.hit, &*found.after), ("", "İstanbul call", "ing"));
        // The first of several; the header only when the body has none; the beginning when there is nothing to find.
        assert_eq!(of("x two one", &["one", "two"]).hit, "two");
        let found = of("nothing", &["turnip"]);
        assert_eq!((&*found.before, &*found.hit, &*found.after), ("Subject: On ", "Turnip", "s"));
        let found = of("\n\nHello there", &[]);
        assert_eq!((&*found.before, &*found.hit, &*found.after), ("", "", "Hello there"));
        let found = of("Hello there", &["  "]);
        assert_eq!(found.hit, "");
    }

    #[test]
    fn long_text_is_cut_around_it() {
        let long = format!("{} needle {}", "word ".repeat(5_000), "tail ".repeat(5_000));
        let found = of(&long, &["NEEDLE"]);
        assert_eq!(found.hit, "needle");
        // In front of it stand two blanks, shown as one.
        assert_eq!((found.before.chars().count(), found.after.chars().count()), (AROUND, AROUND + 1));
        assert!(found.before.starts_with('…') && found.after.ends_with('…'));
        let found = of(&"y".repeat(1_000), &[&"y".repeat(500)]);
        assert_eq!((found.hit.chars().count(), &*found.after), (MOST, "…"));
    }

    proptest! {
        #[test]
        fn what_is_marked_is_what_was_looked_for(
            front in "[a-zßİﬁ①\u{301}\u{a0} \r\n]{0,90}", needle in "[a-zßİﬁ①字]{1,9}( {1,2}[a-z]{1,4})?", behind in "[a-zé\u{308} \n]{0,90}", many in 0usize..3,
        ) {
            let text = format!("{}{front} {needle}{behind}", "filler text ".repeat(many * 700));
            let found = of(&text, &[&needle]);
            let folded = fold(&needle);
            prop_assert!(fold(&found.hit).contains(&folded) || found.hit.is_empty(), "{:?} {:?}", found, folded);
        }
    }
}
