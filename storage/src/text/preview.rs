//! A few words of a message's text, for lists of messages (RFC 8970).
//!
//! The first part that is text a person reads: text/plain or text/html, no attachment; where it shows nothing, the next one.
//! Promise: at most [`MAX_CHARACTERS`], whatever the message; at most [`MAX_READ`] bytes of a part and [`MAX_PARTS`] parts are read.

use super::{Form, charset, html, transfer};
use crate::Error;
use crate::card::Part;
use crate::mime::Kind;
use crate::mime::field::Fields;
use crate::mime::param::{self, ContentType};
use std::ops::Range;

/// RFC 8970 §3.2: at most 200 characters.
pub(crate) const MAX_CHARACTERS: usize = 200;
/// Bytes of a part, and of its header, that are read.
pub(crate) const MAX_READ: u64 = 64 << 10;
/// Parts that are looked at.
const MAX_PARTS: usize = 100;

/// The preview of a message with these parts; `read` gives its bytes. Empty when there is no text.
/// # Errors
/// Those of `read`.
pub(crate) fn preview(
    parts: &[Part],
    read: &dyn Fn(Range<u64>) -> Result<Vec<u8>, Error>,
) -> Result<String, Error> {
    for part in parts.iter().filter(|part| part.kind == Kind::Leaf).take(MAX_PARTS) {
        let first = |range: &Range<u64>| range.start..range.end.min(range.start.saturating_add(MAX_READ));
        let header = read(first(&part.header))?;
        let Some(form) = shown(&header) else { continue };
        let body = read(first(&part.body))?;
        let decoded = transfer::decode(&param::encoding_of(&header).unwrap_or_default(), &body);
        let found = ContentType::of(&header);
        let label = found.as_ref().and_then(|found| found.param("charset"));
        let text = charset::decode(label.unwrap_or_default(), &decoded);
        let words = match form {
            Form::Plain => words(&text),
            Form::Html => squeezed(html::visible_text(&text).lines()),
        };
        if !words.is_empty() {
            return Ok(words);
        }
    }
    Ok(String::new())
}

/// How the part is shown in the message itself, if it is.
fn shown(header: &[u8]) -> Option<Form> {
    let attached = Fields::new(header).filter(|field| field.is("Content-Disposition")).any(|field| {
        param::token_with_params(field.value)
            .is_some_and(|(token, _)| token.eq_ignore_ascii_case(b"attachment"))
    });
    let readable =
        ContentType::of(header).is_none_or(|found| found.is("text", "plain") || found.is("text", "html"));
    Form::of(header).filter(|_| readable && !attached)
}

/// The words of plain text: what is quoted, and who is, is left out, unless nothing else is there.
fn words(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let is_quoted = |line: &str| line.trim_start().starts_with('>');
    // `On … somebody wrote:` stands right above what is quoted.
    let leads = |at: usize| {
        let next = lines.get(at + 1..).unwrap_or_default().iter().find(|line| !line.trim().is_empty());
        lines.get(at).is_some_and(|line| line.trim_end().ends_with(':'))
            && next.is_some_and(|line| is_quoted(line))
    };
    let own =
        lines.iter().enumerate().filter(|&(at, line)| !is_quoted(line) && !leads(at)).map(|(_, line)| *line);
    let own = squeezed(own.take_while(|line| *line != "-- "));
    if own.is_empty() { squeezed(lines.iter().map(|line| line.trim_start_matches(['>', ' ']))) } else { own }
}

/// Words with one blank between them, up to the bound; control characters count as blanks.
fn squeezed<'t>(lines: impl Iterator<Item = &'t str>) -> String {
    let mut out = String::new();
    let mut count = 0;
    for word in lines.flat_map(|line| line.split(|c: char| c.is_whitespace() || c.is_control())) {
        let blank = usize::from(count > 0);
        for (n, c) in word.chars().enumerate() {
            if count + if n == 0 { blank } else { 0 } >= MAX_CHARACTERS {
                return out;
            }
            if n == 0 && blank == 1 {
                out.push(' ');
                count += 1;
            }
            out.push(c);
            count += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::Card;
    use crate::mime::Tree;
    use crate::{Incoming, Limits};
    use proptest::prelude::*;

    fn of(raw: &[u8]) -> String {
        let limits = Limits::default();
        let incoming = Incoming::read(raw, Vec::new(), &limits).unwrap();
        let tree = Tree::parse(incoming.content.reader(), &limits).unwrap();
        let card = Card::new(&tree, &incoming.content, &limits);
        let read = |range: Range<u64>| Ok(incoming.content.read(range)?.to_vec());
        preview(&card.part_table().unwrap(), &read).unwrap()
    }

    #[test]
    fn what_is_shown() {
        let multipart = |parts: &str| format!("Content-Type: multipart/mixed; boundary=b\n\n{parts}--b--\n");
        for (raw, expected) in [
            ("Subject: a\n\n  Hello\n\n\tthere,   you \n".to_owned(), "Hello there, you"),
            ("\n".to_owned(), ""),
            ("A: b\n\n> quoted\n\nMy answer.\n> more\n-- \nsignature\n".to_owned(), "My answer."),
            ("A: b\n\nOn Monday, Bob wrote:\n\n> quoted\nNo.\n".to_owned(), "No."),
            ("A: b\n\nTwo things:\n- one\n".to_owned(), "Two things: - one"),
            ("A: b\n\n> only\n> > quoted\n".to_owned(), "only quoted"),
            (
                "Content-Type: text/html; charset=utf-8\n\n<style>x</style><p>H&auml;llo <b>you</b></p>".to_owned(),
                "H\u{e4}llo you",
            ),
            (
                "Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: quoted-printable\n\nh=E4=\nh\n"
                    .to_owned(),
                "h\u{e4}h",
            ),
            (
                multipart(
                    "--b\nContent-Type: text/plain\nContent-Disposition: attachment\n\nnot this\n\
                     --b\nContent-Type: text/x-diff\n\nnor this\n--b\nContent-Type: text/plain\n\n \n\
                     --b\nContent-Type: text/html\n\n<i>this</i>\n",
                ),
                "this",
            ),
            (multipart("--b\nContent-Type: image/png\n\nxx\n"), ""),
        ] {
            assert_eq!(of(raw.as_bytes()), expected, "{raw}");
        }
    }

    #[test]
    fn bounds() {
        let long = |n: usize| of(format!("A: b\n\n{}\n", "\u{e4}".repeat(n)).as_bytes());
        assert_eq!(long(MAX_CHARACTERS).chars().count(), MAX_CHARACTERS);
        assert_eq!(long(MAX_CHARACTERS + 1), long(MAX_CHARACTERS));
        let words = of(format!("A: b\n\n{}\n", "ab ".repeat(500)).as_bytes());
        assert!(words.chars().count() <= MAX_CHARACTERS && words.ends_with('b'));
        // Behind what is read of a part, nothing is found.
        let late =
            |blanks: u64| of(format!("A: b\n\n{}x", " ".repeat(usize::try_from(blanks).unwrap())).as_bytes());
        assert_eq!(late(MAX_READ - 1), "x");
        assert_eq!(late(MAX_READ), "");
        let parts = |n: usize| {
            let empty = "--b\nContent-Type: text/plain\n\n\n".repeat(n);
            let raw = format!(
                "Content-Type: multipart/mixed; boundary=b\n\n{empty}--b\nContent-Type: text/plain\n\nx\n--b--\n"
            );
            of(raw.as_bytes())
        };
        assert_eq!(parts(MAX_PARTS - 1), "x");
        assert_eq!(parts(MAX_PARTS), "");
    }

    proptest! {
        #[test]
        fn any_message(raw in prop::collection::vec(any::<u8>(), 0..400)) {
            let text = of(&raw);
            prop_assert!(text.chars().count() <= MAX_CHARACTERS);
            prop_assert!(!text.chars().any(char::is_control));
        }
    }
}
