//! LIST's patterns: `*` any characters, `%` any but the delimiter (RFC 3501 §6.3.8).
//!
//! All states of the pattern are kept as bits and go on together, so a name costs its length times the pattern's length over 64,
//! whatever wildcards there are. Besides, a pattern tells whether it can match anything below a name, and with which text all that
//! it matches begins: so a tree is not walked where nothing can be found.

use std::collections::HashMap;

/// One pattern.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    /// The states that go on with a character: it stands next in the pattern.
    literals: HashMap<char, Vec<u64>>,
    /// States in front of `*`, and in front of `%`.
    star: Vec<u64>,
    percent: Vec<u64>,
    /// The last state: all was read.
    end: usize,
    prefix: String,
}

/// What a pattern, or several, say of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Verdict {
    /// The name matches.
    pub(crate) matches: bool,
    /// A name below it may match.
    pub(crate) below: bool,
}

impl Pattern {
    /// Reads a pattern.
    pub(crate) fn new(text: &str) -> Pattern {
        // Wildcards next to each other are one: `*` if there is one among them.
        let mut all: Vec<char> = Vec::new();
        for c in text.chars() {
            match (all.last_mut(), c) {
                (Some(last @ ('*' | '%')), '*') => *last = '*',
                (Some('*' | '%'), '%') => {}
                _ => all.push(c),
            }
        }
        let words = all.len() / 64 + 1;
        let mut pattern = Pattern {
            literals: HashMap::new(),
            star: vec![0; words],
            percent: vec![0; words],
            end: all.len(),
            prefix: all.iter().take_while(|c| !matches!(c, '*' | '%')).collect(),
        };
        for (at, c) in all.into_iter().enumerate() {
            let bits = match c {
                '*' => &mut pattern.star,
                '%' => &mut pattern.percent,
                c => pattern.literals.entry(c).or_insert_with(|| vec![0; words]),
            };
            set(bits, at);
        }
        pattern
    }

    /// Whatever it matches begins so.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Looks at a name.
    pub(crate) fn verdict(&self, name: &str) -> Verdict {
        let mut state = vec![0; self.star.len()];
        set(&mut state, 0);
        self.pass_wildcards(&mut state);
        for c in name.chars() {
            if !self.step(&mut state, c) {
                return Verdict::default();
            }
        }
        let matches = state.get(self.end / 64).is_some_and(|word| word >> (self.end % 64) & 1 == 1);
        Verdict { matches, below: self.step(&mut state, '/') }
    }

    /// Reads a character; false when nothing can match any more.
    fn step(&self, state: &mut [u64], c: char) -> bool {
        let literal = self.literals.get(&c);
        let (mut carry, mut alive) = (0, false);
        for (at, word) in state.iter_mut().enumerate() {
            let of = |bits: &[u64]| bits.get(at).copied().unwrap_or(0);
            let goes_on = *word & literal.map_or(0, |bits| of(bits));
            let mut stays = *word & of(&self.star);
            if c != '/' {
                stays |= *word & of(&self.percent);
            }
            *word = goes_on << 1 | carry | stays;
            carry = goes_on >> 63;
            alive |= *word != 0;
        }
        self.pass_wildcards(state);
        alive
    }

    /// A wildcard may stand for nothing. No two are neighbours, so once is enough.
    fn pass_wildcards(&self, state: &mut [u64]) {
        let mut carry = 0;
        for ((word, star), percent) in state.iter_mut().zip(&self.star).zip(&self.percent) {
            let passed = *word & (star | percent);
            *word |= passed << 1 | carry;
            carry = passed >> 63;
        }
    }
}

fn set(bits: &mut [u64], at: usize) {
    if let Some(word) = bits.get_mut(at / 64) {
        *word |= 1 << (at % 64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, word by word.
    fn plain(pattern: &[char], name: &[char]) -> bool {
        match pattern.split_first() {
            None => name.is_empty(),
            Some((&c @ ('*' | '%'), rest)) => {
                plain(rest, name)
                    || name
                        .split_first()
                        .is_some_and(|(&first, tail)| (c == '*' || first != '/') && plain(pattern, tail))
            }
            Some((c, rest)) => {
                name.split_first().is_some_and(|(first, tail)| first == c && plain(rest, tail))
            }
        }
    }

    #[test]
    fn patterns_match() {
        for (pattern, name, matches, below) in [
            ("*", "a/b/c", true, true),
            ("%", "a", true, false),
            ("%", "a/b", false, false),
            ("%/%", "a", false, true),
            ("%/%", "a/b", true, false),
            ("%/%", "a/b/c", false, false),
            ("a*c", "a/b/c", true, true),
            ("a%c", "a/b/c", false, false),
            ("*b%", "a/b/c", false, true),
            ("*/%", "a/b/c", true, true),
            ("a", "A", false, false),
            ("a/b", "a", false, true),
            ("a/b", "ab", false, false),
            ("", "", true, false),
            ("", "a", false, false),
            ("Entw%", "Entw\u{fc}rfe", true, false),
            ("%a%", "bab", true, false),
            ("%%%%x", "aaaaaa", false, false),
            ("%*%", "a/b", true, true),
        ] {
            assert_eq!(Pattern::new(pattern).verdict(name), Verdict { matches, below }, "{pattern} {name}");
        }
        assert_eq!(Pattern::new("Out/x%y").prefix(), "Out/x");
        assert_eq!(Pattern::new("Out").prefix(), "Out");
    }

    /// A pattern that a matcher with backtracking never gets through.
    #[test]
    fn many_wildcards_cost_no_more_than_their_number() {
        let pattern = Pattern::new(&("*a".repeat(500) + "b"));
        assert_eq!(pattern.verdict(&"a".repeat(20_000)), Verdict { matches: false, below: true });
        assert!(pattern.verdict(&("a".repeat(20_000) + "b")).matches);
        assert!(!pattern.verdict(&("a".repeat(499) + "b")).matches);
    }

    proptest! {
        #[test]
        fn as_the_definition_says(pattern in "[ab/*%]{0,9}", name in "[ab/]{0,9}", long in 0usize..130) {
            // What stands before it moves it over the words' ends.
            let (pattern, name) = ("c".repeat(long) + &pattern, "c".repeat(long) + &name);
            let found = Pattern::new(&pattern).verdict(&name);
            let [p, n] = [&pattern, &name].map(|text| text.chars().collect::<Vec<_>>());
            prop_assert_eq!(found.matches, plain(&p, &n));
            prop_assert!(!found.matches || name.starts_with(Pattern::new(&pattern).prefix()));
            // Something below matches: then that may be.
            if let Some((top, _)) = name.rsplit_once('/') && found.matches {
                prop_assert!(Pattern::new(&pattern).verdict(top).below);
            }
        }
    }
}
