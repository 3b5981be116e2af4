//! How relevant a message is to words that were looked for (RFC 6203 §4): 1 to 100, from the keys that are stored.
//!
//! Each word counts by the best place where it stands: the base subject, then the first addresses of From and To, a whole word above a
//! part of one; what stands elsewhere counts little. No message is read.

use super::casemap::casemap;

/// Most words that count.
pub(super) const MAX_WORDS: usize = 64;

const SUBJECT: (u32, u32) = (100, 75);
const PEOPLE: (u32, u32) = (65, 50);
const ELSEWHERE: u32 = 20;

/// The words, as the stored texts compare them.
#[derive(Debug)]
pub(super) struct Words(Vec<String>);

/// What is known of a message, as the collation has it.
#[derive(Debug, Default)]
pub(super) struct Texts<'t> {
    pub(super) subject: &'t str,
    pub(super) people: [&'t str; 4],
}

impl Words {
    pub(super) fn new(words: &[String]) -> Words {
        Words(words.iter().take(MAX_WORDS).map(|word| casemap(word)).collect())
    }

    /// 1 to 100; 100 where no word was looked for.
    pub(super) fn score(&self, texts: &Texts<'_>) -> u8 {
        let of = |word: &String| {
            let subject = place(texts.subject, word, SUBJECT);
            let people = texts.people.iter().map(|text| place(text, word, PEOPLE)).max().unwrap_or(0);
            subject.max(people).max(ELSEWHERE)
        };
        let sum: u32 = self.0.iter().map(of).sum();
        let count = u32::try_from(self.0.len()).unwrap_or(1);
        let score = sum.checked_div(count).map_or(100, |mean| mean.clamp(1, 100));
        u8::try_from(score).unwrap_or(100)
    }
}

/// What a word counts in a text, where it stands whole or in part.
fn place(text: &str, word: &str, (whole, part): (u32, u32)) -> u32 {
    let ends = |at: usize| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + word.len()..).and_then(|after| after.chars().next());
        ![before, after].into_iter().flatten().any(char::is_alphanumeric)
    };
    let (mut best, mut found) = (0, text.match_indices(word));
    while best < whole
        && let Some((at, _)) = found.next()
    {
        best = if ends(at) { whole } else { part };
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_and_how_whole() {
        let score = |words: &[&str], subject: &str, from: &str| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let (subject, from) = (casemap(subject), casemap(from));
            Words::new(&words).score(&Texts { subject: &subject, people: [&from, "", "", ""] })
        };
        assert_eq!(score(&[], "", ""), 100);
        assert_eq!(score(&["bridge"], "The Bridge, again", ""), 100);
        assert_eq!(score(&["bridge"], "Bridges", ""), 75);
        assert_eq!(score(&["bridge"], "Bridges: a bridge", ""), 100);
        assert_eq!(score(&["bridge"], "", "Bridge, Jane"), 65);
        assert_eq!(score(&["bridge"], "", "Cambridge"), 50);
        assert_eq!(score(&["bridge"], "", ""), 20);
        assert_eq!(score(&["\u{e9}t\u{e9}"], "\u{c9}T\u{c9}", ""), 100);
        assert_eq!(score(&["bridge", "nothing"], "bridge", ""), 60);
        let many: Vec<&str> = vec!["bridge"; MAX_WORDS].into_iter().chain(["nothing"]).collect();
        assert_eq!(score(&many, "bridge", ""), 100, "only so many count");
        assert_eq!(score(&many[1..], "bridge", ""), 98);
    }
}
