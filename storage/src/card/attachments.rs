//! What a card's BODYSTRUCTURE says of attachments and file names.
//!
//! Iterative over bytes that were made here, and bounded by them; what can't be read has no attachments. An attachment is a
//! part whose Content-Disposition is `attachment`, or that has a file name; an image inside a multipart/related is one
//! only if it says so, since it belongs to the text.

use crate::mime::param::Param;
use crate::text::param_text;

/// Deepest list that is read: MIME's own depth is bounded far below.
const MAX_DEPTH: usize = 1_000;

/// A part that is an attachment or has a file name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attached {
    /// The names that it gives its file, decoded.
    pub(crate) names: Vec<String>,
    /// It is an attachment.
    pub(crate) is_attachment: bool,
}

/// A value of BODYSTRUCTURE.
#[derive(Debug)]
enum Value {
    Nil,
    Text(Vec<u8>),
    List(Vec<Value>),
}

impl Value {
    fn text(&self) -> &[u8] {
        match self {
            Value::Text(text) => text,
            Value::Nil | Value::List(_) => &[],
        }
    }
    fn list(&self) -> &[Value] {
        match self {
            Value::List(list) => list,
            Value::Nil | Value::Text(_) => &[],
        }
    }
    fn is(&self, word: &str) -> bool {
        self.text().eq_ignore_ascii_case(word.as_bytes())
    }
}

/// The parts that are attachments or have file names, in order.
pub(super) fn of(bodystructure: &[u8]) -> Vec<Attached> {
    let Some(top) = parse(bodystructure) else { return Vec::new() };
    let mut found = Vec::new();
    // With each part, whether it stands in a multipart/related.
    let mut open = vec![(top.list(), false)];
    while let Some((part, related)) = open.pop() {
        let first = part.first();
        if first.is_some_and(|first| matches!(first, Value::List(_))) {
            let parts = part.iter().take_while(|value| matches!(value, Value::List(_))).count();
            let is_related = part.get(parts).is_some_and(|sub| sub.is("related"));
            open.extend(part.iter().take(parts).rev().map(|value| (value.list(), is_related)));
            continue;
        }
        let Some(main) = first else { continue };
        let message =
            main.is("message") && part.get(7).is_some_and(|envelope| matches!(envelope, Value::List(_)));
        // Behind the size: lines of text; envelope, structure and lines of a message; then MD5 and the disposition.
        let disposition = match (main.is("text"), message) {
            (true, _) => part.get(9),
            (false, true) => part.get(11),
            (false, false) => part.get(8),
        };
        let disposition = disposition.map(Value::list).unwrap_or_default();
        let says = disposition.first().is_some_and(|word| word.is("attachment"));
        let of_disposition = disposition.get(1).map(params).unwrap_or_default();
        let of_type = part.get(2).map(params).unwrap_or_default();
        let mut names: Vec<String> = param_text(&of_disposition, "filename").into_iter().collect();
        if let Some(name) = param_text(&of_type, "name").filter(|name| !names.contains(name)) {
            names.push(name);
        }
        let is_of_text = related && main.is("image");
        let is_attachment = says || !(names.is_empty() || is_of_text);
        if is_attachment || !names.is_empty() {
            found.push(Attached { names, is_attachment });
        }
        if message && let Some(inner) = part.get(8) {
            open.push((inner.list(), false));
        }
    }
    found
}

fn params(value: &Value) -> Vec<Param> {
    let pairs = value.list().chunks_exact(2);
    pairs.filter_map(|pair| Some((pair.first()?.text().to_vec(), pair.get(1)?.text().to_vec()))).collect()
}

/// Reads a parenthesised list.
fn parse(bytes: &[u8]) -> Option<Value> {
    let mut open: Vec<Vec<Value>> = Vec::new();
    let mut rest = bytes;
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        let value = match byte {
            b' ' => continue,
            b'(' if open.len() >= MAX_DEPTH => return None,
            b'(' => {
                open.push(Vec::new());
                continue;
            }
            b')' => {
                let list = Value::List(open.pop()?);
                if open.is_empty() {
                    return Some(list);
                }
                list
            }
            b'"' => {
                let mut text = Vec::new();
                loop {
                    let (&byte, after) = rest.split_first()?;
                    rest = after;
                    match byte {
                        b'"' => break,
                        b'\\' => {
                            let (&escaped, after) = rest.split_first()?;
                            rest = after;
                            text.push(escaped);
                        }
                        _ => text.push(byte),
                    }
                }
                Value::Text(text)
            }
            b'{' => {
                let end = rest.iter().position(|&byte| byte == b'}')?;
                let len: usize = std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()?;
                let literal = rest.get(end + 1..)?.strip_prefix(b"\r\n")?;
                let (text, after) = literal.split_at_checked(len)?;
                rest = after;
                Value::Text(text.to_vec())
            }
            _ => {
                let end =
                    rest.iter().position(|byte| matches!(byte, b' ' | b'(' | b')')).unwrap_or(rest.len());
                let mut atom = vec![byte];
                atom.extend_from_slice(rest.get(..end)?);
                rest = rest.get(end..)?;
                if atom.eq_ignore_ascii_case(b"NIL") { Value::Nil } else { Value::Text(atom) }
            }
        };
        open.last_mut()?.push(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Limits;
    use crate::card::Card;
    use crate::mime::Tree;
    use proptest::prelude::*;

    fn attached(raw: &str) -> Vec<(Vec<String>, bool)> {
        let raw = raw.replace('\n', "\r\n").into_bytes();
        let card = Card::of_size(&Tree::parse(&raw[..], &Limits::default()).unwrap(), raw.len() as u64);
        of(&card.bodystructure).into_iter().map(|found| (found.names, found.is_attachment)).collect()
    }

    fn multi(sub: &str, parts: &[&str]) -> String {
        let mut text = format!("Content-Type: multipart/{sub}; boundary=\"{sub}\"\n\n");
        for part in parts {
            text.push_str(&format!("--{sub}\n{part}\n"));
        }
        format!("{text}--{sub}--\n")
    }

    #[test]
    fn what_is_an_attachment() {
        let text = "Content-Type: text/plain\n\nhello\n";
        let pdf = "Content-Type: application/pdf; name=\"a.pdf\"\nContent-Disposition: attachment; filename=\"a.pdf\"\n\nx\n";
        let image =
            "Content-Type: image/png; name=logo.png\nContent-ID: <1>\nContent-Disposition: inline\n\nx\n";
        let named = |name: &str| vec![name.to_owned()];
        assert_eq!(attached("Subject: x\n\nplain\n"), []);
        assert_eq!(attached(&multi("mixed", &[text, pdf])), [(named("a.pdf"), true)]);
        assert_eq!(attached(&multi("alternative", &[text, "Content-Type: text/html\n\n<p>\n"])), []);
        assert_eq!(attached(&multi("mixed", &[text, image])), [(named("logo.png"), true)]);
        // An image of the text, which is none; and one that says it is.
        assert_eq!(attached(&multi("related", &[text, image])), [(named("logo.png"), false)]);
        let said = image.replace("inline", "attachment");
        assert_eq!(attached(&multi("related", &[text, &said])), [(named("logo.png"), true)]);
        // Without a name; with two; encoded ones; a text part; the message itself.
        let bare = "Content-Type: application/octet-stream\nContent-Disposition: attachment\n\nx\n";
        assert_eq!(attached(&multi("mixed", &[text, bare])), [(vec![], true)]);
        let two = "Content-Type: application/pdf; name=b.pdf\nContent-Disposition: inline; filename*=utf-8''gr%C3%BC%C3%9Fe.pdf\n\nx\n";
        assert_eq!(
            attached(&multi("mixed", &[text, two])),
            [(vec!["grüße.pdf".into(), "b.pdf".into()], true)]
        );
        let word = "Content-Type: text/csv; name=\"=?utf-8?q?=C3=A4.csv?=\"\n\nx\n";
        assert_eq!(attached(&multi("mixed", &[text, word])), [(named("ä.csv"), true)]);
        assert_eq!(attached(pdf), [(named("a.pdf"), true)]);
        // What a forwarded message has, and that itself.
        let forwarded =
            format!("Content-Type: message/rfc822\n\nSubject: inner (\n{}", multi("mixed", &[text, pdf]));
        assert_eq!(attached(&multi("outer", &[text, &forwarded])), [(named("a.pdf"), true)]);
        let said = forwarded.replacen("\n\n", "\nContent-Disposition: attachment\n\n", 1);
        assert_eq!(attached(&multi("outer", &[&said])), [(vec![], true), (named("a.pdf"), true)]);
    }

    proptest! {
        #[test]
        fn other_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), text in "[() \"\\\\{}0-9A-Z\r\n]{0,60}") {
            prop_assert!(of(&bytes).len() <= bytes.len());
            prop_assert!(of(text.as_bytes()).len() <= text.len());
        }
    }

    #[test]
    fn deep_lists_cost_no_stack() {
        let nested = |n: usize| format!("{}{}", "(".repeat(n), ")".repeat(n));
        assert!(parse(nested(MAX_DEPTH).as_bytes()).is_some());
        assert!(parse(nested(MAX_DEPTH + 1).as_bytes()).is_none());
        assert!(parse(nested(100_000).as_bytes()).is_none());
    }
}
