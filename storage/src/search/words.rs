//! How folded text becomes terms, and which terms a needle asks for.
//!
//! A run is a maximal stretch of word characters of one class. Ordinary runs are one term each, long ones overlapping
//! pieces; runs of Chinese and Japanese characters are overlapping pairs, since they have no blanks between words.
//! Invariant: whatever text contains a needle has the terms that [`Lookup`] names for it; and where the lookup
//! says so, the reverse holds too. The class of a character depends on nothing but the character, so a needle is cut
//! where the text around it is cut. Nothing here folds: text and needle come folded.

use std::ops::Range;
use unicode_normalization::char::is_combining_mark;

/// The version of this file's rules; stands in the index, another one means a new index.
pub(crate) const WORDS_VERSION: u32 = 1;

/// What a run of characters is cut into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Letters, digits, marks of scripts that part words, or are treated so.
    Word,
    /// Han, Hiragana, Katakana.
    Pair,
}

impl Class {
    fn of(c: char) -> Option<Class> {
        if c.is_ascii() {
            return c.is_ascii_alphanumeric().then_some(Class::Word);
        }
        if !c.is_alphanumeric() && !is_combining_mark(c) {
            return None;
        }
        Some(match c {
            '\u{3005}'..='\u{3007}'
            | '\u{3021}'..='\u{303C}'
            | '\u{3040}'..='\u{30FF}'
            | '\u{31F0}'..='\u{31FF}'
            | '\u{3400}'..='\u{4DBF}'
            | '\u{4E00}'..='\u{9FFF}'
            | '\u{F900}'..='\u{FAFF}'
            | '\u{1AFF0}'..='\u{1B16F}'
            | '\u{20000}'..='\u{3FFFF}' => Class::Pair,
            _ => Class::Word,
        })
    }

    /// Characters of a piece.
    const fn piece(self) -> usize {
        match self {
            Class::Word => 64,
            Class::Pair => 2,
        }
    }

    /// Characters that a piece has in common with the next one.
    const fn overlap(self) -> usize {
        match self {
            Class::Word => 16,
            Class::Pair => 1,
        }
    }

    /// The longest stretch of a run, in characters, that surely lies inside one of its pieces.
    const fn whole(self) -> usize {
        self.overlap() + 1
    }
}

/// A maximal stretch of characters of one class, as bytes of its text.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    class: Class,
    range: Range<usize>,
}

/// The first run of `text` at or after byte `from`.
fn next_run(text: &str, from: usize) -> Option<Run> {
    let rest = text.get(from..)?;
    let mut open: Option<(Class, usize)> = None;
    for (at, c) in rest.char_indices() {
        match (open, Class::of(c)) {
            (None, Some(class)) => open = Some((class, at)),
            (Some((class, start)), found) if found != Some(class) => {
                return Some(Run { class, range: from + start..from + at });
            }
            _ => {}
        }
    }
    open.map(|(class, start)| Run { class, range: from + start..text.len() })
}

/// The end of the piece of `run` that begins at `from`, and where the next one begins (none after the last).
fn piece(text: &str, run: &Run, from: usize) -> (usize, Option<usize>) {
    let rest = &text[from..run.range.end];
    if rest.len() <= run.class.piece() {
        return (run.range.end, None);
    }
    let mut places = rest.char_indices().map(|(at, _)| at);
    let step = run.class.piece() - run.class.overlap();
    let next = places.nth(step);
    match (next, places.nth(run.class.overlap() - 1)) {
        (Some(next), Some(end)) => (from + end, Some(from + next)),
        _ => (run.range.end, None),
    }
}

/// The terms of a folded text, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Terms<'a> {
    text: &'a str,
    run: Option<Run>,
    at: usize,
}

/// Cuts folded text into terms; none is empty, none has more than 64 characters.
pub(crate) fn terms(text: &str) -> Terms<'_> {
    Terms { text, run: None, at: 0 }
}

impl<'a> Iterator for Terms<'a> {
    type Item = &'a str;
    fn next(&mut self) -> Option<&'a str> {
        let run = match self.run.take() {
            Some(run) => run,
            None => {
                let run = next_run(self.text, self.at)?;
                self.at = run.range.start;
                run
            }
        };
        let (end, next) = piece(self.text, &run, self.at);
        let term = &self.text[self.at..end];
        match next {
            Some(next) => {
                self.at = next;
                self.run = Some(run);
            }
            None => self.at = run.range.end,
        }
        Some(term)
    }
}

/// How a term of the index must look.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Like {
    /// This very term.
    Is(String),
    /// A term that begins so.
    Begins(String),
    /// A term that ends so.
    Ends(String),
    /// A term that has it inside.
    Has(String),
}

/// What the index is asked for a needle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// The needle has no word character: the index knows nothing about it.
    Nothing,
    /// The texts with such a term are the answer, no more and no less.
    Exact(Like),
    /// The needle lies in one run, but is longer than pieces overlap: texts with a term that has `whole` match; of the
    /// others, those may that have a full piece with `start` in it.
    Long {
        /// The whole needle; none where it is longer than any term.
        whole: Option<Like>,
        /// Its first characters.
        start: Like,
    },
    /// Only texts that have all of these terms may match.
    All(Vec<Like>),
}

/// The most terms that a needle is narrowed by: leaving some out keeps the answer right.
const MAX_LOOKUP_TERMS: usize = 24;

/// Whether `term` is a full piece, so that its run may go on behind it.
pub(crate) fn is_full_piece(term: &str) -> bool {
    term.len() >= Class::Word.piece() && term.chars().count() == Class::Word.piece()
}

impl Lookup {
    /// Works out the lookup of a folded needle.
    pub(crate) fn new(needle: &str) -> Lookup {
        let Some(first) = next_run(needle, 0) else { return Lookup::Nothing };
        if first.range == (0..needle.len()) {
            let whole = first.class.whole();
            if needle.chars().nth(whole).is_none() {
                return Lookup::Exact(Like::Has(needle.to_owned()));
            }
            if first.class == Class::Word {
                let fits = needle.chars().nth(Class::Word.piece()).is_none();
                return Lookup::Long {
                    whole: fits.then(|| Like::Has(needle.to_owned())),
                    start: Like::Has(head(needle, whole).to_owned()),
                };
            }
        }
        let mut likes = Vec::new();
        let mut run = Some(first);
        while let Some(now) = run {
            let open_left = now.range.start == 0;
            let open_right = now.range.end == needle.len();
            ask(&needle[now.range.clone()], now.class, open_left, open_right, &mut likes);
            // A long needle has far more terms than narrow it: stop reading when there are enough to choose from.
            run = (likes.len() < 64 * MAX_LOOKUP_TERMS).then(|| next_run(needle, now.range.end)).flatten();
        }
        let mut seen = std::collections::HashSet::new();
        likes.retain(|like| seen.insert(like.clone()));
        // Long terms are rare terms; a stable order keeps equal needles alike.
        likes.sort_by_key(|like| std::cmp::Reverse(like.weight()));
        likes.truncate(MAX_LOOKUP_TERMS);
        Lookup::All(likes)
    }
}

impl Like {
    /// The text in it.
    pub(crate) fn text(&self) -> &str {
        match self {
            Like::Is(s) | Like::Begins(s) | Like::Ends(s) | Like::Has(s) => s,
        }
    }

    fn weight(&self) -> (usize, u8) {
        let kind = match self {
            Like::Is(_) => 3,
            Like::Begins(_) => 2,
            Like::Ends(_) => 1,
            Like::Has(_) => 0,
        };
        (self.text().len(), kind)
    }
}

/// The terms that a run of the needle asks for; open: the text's run may go on at that side.
fn ask(run: &str, class: Class, open_left: bool, open_right: bool, out: &mut Vec<Like>) {
    let longer_than = |n: usize| run.chars().nth(n).is_some();
    match (class, open_left, open_right) {
        (Class::Pair, ..) if longer_than(1) => {
            let pairs = Run { class, range: 0..run.len() };
            let mut at = Some(0);
            while let Some(from) = at.filter(|_| out.len() < 64 * MAX_LOOKUP_TERMS) {
                let (end, next) = piece(run, &pairs, from);
                out.push(Like::Is(run[from..end].to_owned()));
                at = next;
            }
        }
        // A run that the needle shows whole, or from its beginning: its first piece is known.
        (_, false, _) if longer_than(class.piece()) => {
            out.push(Like::Is(head(run, class.piece()).to_owned()));
        }
        (_, false, false) => out.push(Like::Is(run.to_owned())),
        (_, false, true) => out.push(Like::Begins(run.to_owned())),
        // A run's last piece has at least so many characters.
        (_, true, false) => out.push(Like::Ends(tail(run, class.whole()).to_owned())),
        (_, true, true) => out.push(Like::Has(head(run, class.whole()).to_owned())),
    }
}

fn head(text: &str, chars: usize) -> &str {
    text.char_indices().nth(chars).map_or(text, |(at, _)| &text[..at])
}

fn tail(text: &str, chars: usize) -> &str {
    match chars.checked_sub(1).and_then(|back| text.char_indices().nth_back(back)) {
        Some((at, _)) => &text[at..],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(text: &str) -> Vec<&str> {
        terms(text).collect()
    }

    fn has(terms: &[&str], like: &Like) -> bool {
        terms.iter().any(|t| match like {
            Like::Is(s) => t == s,
            Like::Begins(s) => t.starts_with(s.as_str()),
            Like::Ends(s) => t.ends_with(s.as_str()),
            Like::Has(s) => t.contains(s.as_str()),
        })
    }

    #[test]
    fn text_is_cut_into_terms() {
        assert_eq!(cut(""), Vec::<&str>::new());
        assert_eq!(cut(" -- \u{ad}"), Vec::<&str>::new());
        assert_eq!(cut("foo-bar_x 9"), ["foo", "bar", "x", "9"]);
        assert_eq!(cut("日本語abc日"), ["日本", "本語", "abc", "日"]);
        assert_eq!(cut("สวัสดี ครับ"), ["สวัสดี", "ครับ"]);
        assert_eq!(cut("cafe\u{301}\u{ad}s"), ["cafe\u{301}", "s"]);
    }

    #[test]
    fn long_runs_become_overlapping_pieces() {
        let run: String = ('a'..='z').cycle().take(65).collect();
        assert_eq!(cut(&run[..64]), [&run[..64]]);
        assert_eq!(cut(&run), [&run[..64], &run[48..]]);
        let long: String = "äöüxyz".chars().cycle().take(1000).collect();
        assert!(cut(&long).iter().all(|t| t.chars().count() <= 64));
        assert!(cut(&long)[..20].iter().all(|t| is_full_piece(t)));
        assert!(!is_full_piece(&run[..63]) && is_full_piece(&run[..64]));
    }

    #[test]
    fn needles_ask_for_what_they_show() {
        let has = |s: &str| Like::Has(s.to_owned());
        assert_eq!(Lookup::new("->"), Lookup::Nothing);
        assert_eq!(Lookup::new("foo"), Lookup::Exact(has("foo")));
        assert_eq!(Lookup::new("日本"), Lookup::Exact(has("日本")));
        assert_eq!(
            Lookup::new("日本語"),
            Lookup::All(vec![Like::Is("日本".to_owned()), Like::Is("本語".to_owned())])
        );
        assert_eq!(
            Lookup::new("fax (foo) ba"),
            Lookup::All(vec![
                Like::Is("foo".to_owned()),
                Like::Ends("fax".to_owned()),
                Like::Begins("ba".to_owned())
            ])
        );
        let at: String = "a".repeat(17);
        assert_eq!(Lookup::new(&at), Lookup::Exact(has(&at)));
        let past: String = "a".repeat(18);
        assert_eq!(Lookup::new(&past), Lookup::Long { whole: Some(has(&past)), start: has(&at) });
        let longest: String = "a".repeat(65);
        assert_eq!(Lookup::new(&longest), Lookup::Long { whole: None, start: has(&at) });
    }

    #[test]
    fn a_huge_needle_is_narrowed_by_a_few_terms() {
        let words: String = (0..20_000).map(|n| format!("{n} ")).collect();
        let Lookup::All(likes) = Lookup::new(&words) else { panic!("words with gaps") };
        assert_eq!(likes.len(), MAX_LOOKUP_TERMS);
        let Lookup::All(likes) = Lookup::new(&"日本語".repeat(10_000)) else { panic!("pairs") };
        assert_eq!(likes.len(), 3);
    }

    /// Texts of few characters, so that needles meet often: letters, blanks, punctuation, marks, Han, Thai, long runs.
    fn texts() -> impl Strategy<Value = String> {
        let atom = prop_oneof![
            4 => prop::sample::select(vec!["a", "b", "ä", "e\u{301}", "1", "د", "ส", "\u{e49}"]).prop_map(str::to_owned),
            2 => prop::sample::select(vec![" ", "-", "@", ".", "\u{ad}", "_"]).prop_map(str::to_owned),
            2 => prop::sample::select(vec!["日", "本", "ー", "が"]).prop_map(str::to_owned),
            1 => (10usize..200).prop_map(|n| "xya".chars().cycle().take(n).collect()),
        ];
        prop::collection::vec(atom, 0..30).prop_map(|atoms| atoms.concat())
    }

    proptest! {
        #[test]
        fn a_lookup_never_misses_and_is_exact_where_it_says_so(text in texts(), other in texts(), from in 0usize..300, chars in 1usize..120) {
            let taken: String = text.chars().skip(from % text.chars().count().max(1)).take(chars).collect();
            for needle in [taken.as_str(), other.as_str()] {
                let terms = cut(&text);
                let truth = text.contains(needle);
                match Lookup::new(needle) {
                    Lookup::Nothing => {}
                    Lookup::Exact(like) => prop_assert_eq!(has(&terms, &like), truth),
                    Lookup::Long { whole, start } => {
                        let sure = whole.is_some_and(|like| has(&terms, &like));
                        let full: Vec<&str> = terms.iter().copied().filter(|t| is_full_piece(t)).collect();
                        prop_assert!(!sure || truth);
                        prop_assert!(!truth || sure || has(&full, &start));
                    }
                    Lookup::All(likes) => prop_assert!(!truth || likes.iter().all(|like| has(&terms, like))),
                }
            }
        }
    }
}
