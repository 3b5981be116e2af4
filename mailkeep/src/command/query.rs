//! The search line of people: words, phrases, a few prefixes and `-`, mapped to search's keys.
//!
//! Invariant: every line either has one meaning or is an error that says what is wrong; no word is dropped. What
//! matching means is storage's business (substrings, in every script, whatever the case).

use storage::search::{Day, Flag, Key};
use time::macros::format_description;

/// Most terms in one line.
pub(crate) const MAX_TERMS: usize = 1_024;

/// Why a line is no query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QueryError {
    #[error("the query has a quote that is not closed")]
    Quote,
    #[error("the query has more than {MAX_TERMS} terms")]
    Long,
    #[error("{0} needs something after the colon, such as {0}anna or {0}\"anna smith\"")]
    Empty(&'static str),
    #[error("{prefix}{value}: a date looks like {prefix}2019-12-31")]
    Date { prefix: &'static str, value: String },
    #[error("{prefix}{value}: a size looks like {prefix}500k, {prefix}10M or {prefix}1G")]
    Size { prefix: &'static str, value: String },
    #[error("is:{0} is not known; there are is:answered, is:flagged and is:forwarded")]
    Flag(String),
}

const PREFIXES: [&str; 11] =
    ["from:", "to:", "cc:", "subject:", "body:", "before:", "after:", "on:", "larger:", "smaller:", "is:"];

/// The key of a line; all its terms must hold. An empty line finds everything.
pub(crate) fn parse(line: &str) -> Result<Key, QueryError> {
    let mut keys = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        if keys.len() == MAX_TERMS {
            return Err(QueryError::Long);
        }
        let (key, after) = term(rest)?;
        keys.push(key);
        rest = after.trim_start();
    }
    Ok(match keys.len() {
        0 => Key::All,
        1 => keys.pop().unwrap_or(Key::All),
        _ => Key::And(keys),
    })
}

fn term(text: &str) -> Result<(Key, &str), QueryError> {
    match text.strip_prefix('-') {
        // A dash by itself is a word.
        Some(after) if after.starts_with(|c: char| !c.is_whitespace()) => {
            let (key, rest) = positive(after)?;
            Ok((Key::Not(Box::new(key)), rest))
        }
        _ => positive(text),
    }
}

fn positive(text: &str) -> Result<(Key, &str), QueryError> {
    let starts = |prefix: &str| text.get(..prefix.len()).is_some_and(|t| t.eq_ignore_ascii_case(prefix));
    match PREFIXES.into_iter().find(|prefix| starts(prefix)) {
        Some(prefix) => {
            let (value, rest) = word(text.get(prefix.len()..).unwrap_or_default())?;
            if value.is_empty() { Err(QueryError::Empty(prefix)) } else { Ok((key(prefix, value)?, rest)) }
        }
        None => word(text).map(|(value, rest)| (Key::Text(value.to_owned()), rest)),
    }
}

/// A phrase in quotes, or all up to the next blank.
fn word(text: &str) -> Result<(&str, &str), QueryError> {
    match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').ok_or(QueryError::Quote),
        None => Ok(text.split_at(text.find(char::is_whitespace).unwrap_or(text.len()))),
    }
}

fn key(prefix: &'static str, value: &str) -> Result<Key, QueryError> {
    let header = |name: &str| Key::Header(name.to_owned(), value.to_owned());
    Ok(match prefix {
        "from:" => header("From"),
        "to:" => Key::Or(vec![header("To"), header("Cc")]),
        "cc:" => header("Cc"),
        "subject:" => header("Subject"),
        "body:" => Key::Body(value.to_owned()),
        "before:" => Key::Before(day(prefix, value)?),
        "after:" => Key::Since(day(prefix, value)?),
        "on:" => Key::On(day(prefix, value)?),
        "larger:" => Key::Larger(size(prefix, value)?),
        "smaller:" => Key::Smaller(size(prefix, value)?),
        _ => match value.to_ascii_lowercase().as_str() {
            "answered" => Key::Flag(Flag::Answered),
            "flagged" => Key::Flag(Flag::Flagged),
            "forwarded" => Key::Flag(Flag::Forwarded),
            _ => return Err(QueryError::Flag(value.to_owned())),
        },
    })
}

fn day(prefix: &'static str, value: &str) -> Result<Day, QueryError> {
    /// 1970-01-01 as a Julian day.
    const EPOCH: i64 = 2_440_588;
    let date = time::Date::parse(value, format_description!("[year]-[month]-[day]"))
        .map_err(|_| QueryError::Date { prefix, value: value.to_owned() })?;
    Ok(Day(i64::from(date.to_julian_day()) - EPOCH))
}

fn size(prefix: &'static str, value: &str) -> Result<u64, QueryError> {
    let wrong = || QueryError::Size { prefix, value: value.to_owned() };
    let digits = value.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match value.get(digits.len()..).unwrap_or_default().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        _ => return Err(wrong()),
    };
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(word: &str) -> Key {
        Key::Text(word.into())
    }
    fn header(name: &str, value: &str) -> Key {
        Key::Header(name.into(), value.into())
    }
    fn not(key: Key) -> Key {
        Key::Not(Box::new(key))
    }

    #[test]
    fn lines_and_their_keys() {
        for (line, key) in [
            ("", Key::All),
            ("  \t ", Key::All),
            ("rechnung", text("rechnung")),
            ("-rechnung", not(text("rechnung"))),
            ("- x", Key::And(vec![text("-"), text("x")])),
            ("a  b", Key::And(vec![text("a"), text("b")])),
            ("\"two words\"", text("two words")),
            ("-\"two  words\" x", Key::And(vec![not(text("two  words")), text("x")])),
            ("from:anna", header("From", "anna")),
            ("FROM:\"Anna Smith\"", header("From", "Anna Smith")),
            ("-subject:spam", not(header("Subject", "spam"))),
            ("to:bob", Key::Or(vec![header("To", "bob"), header("Cc", "bob")])),
            ("cc:bob", header("Cc", "bob")),
            ("body:x", Key::Body("x".into())),
            ("before:1970-01-02", Key::Before(Day(1))),
            ("after:1969-12-31", Key::Since(Day(-1))),
            ("on:2000-02-29", Key::On(Day(11_016))),
            ("larger:10k", Key::Larger(10_240)),
            ("smaller:2MB", Key::Smaller(2 << 20)),
            ("larger:1", Key::Larger(1)),
            ("is:Flagged", Key::Flag(Flag::Flagged)),
            ("-is:answered", not(Key::Flag(Flag::Answered))),
            ("http://example.org", text("http://example.org")),
            ("frömage:x", text("frömage:x")),
            ("o\"neil", text("o\"neil")),
            ("日本", text("日本")),
        ] {
            assert_eq!(parse(line), Ok(key), "{line:?}");
        }
    }

    #[test]
    fn mistakes_are_told() {
        for line in [
            "\"open",
            "from:\"open",
            "from:",
            "subject: x",
            "before:2019",
            "after:2019-02-30",
            "on:today",
            "larger:",
            "larger:big",
            "larger:k",
            "smaller:-1",
            "larger:99999999999999999999",
            "larger:1tb",
            "larger:18446744073709551615k",
            "is:unread",
        ] {
            let error = parse(line).expect_err(line);
            assert!(!error.to_string().is_empty());
        }
        assert_eq!(parse("subject: x"), Err(QueryError::Empty("subject:")));
    }

    #[test]
    fn terms_are_bounded() {
        assert!(parse(&"x ".repeat(MAX_TERMS)).is_ok());
        assert_eq!(parse(&"x ".repeat(MAX_TERMS + 1)), Err(QueryError::Long));
    }
}
