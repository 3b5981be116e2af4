//! ESEARCH over several mailboxes (RFC 7377): where it searches; the rest is SEARCH's.

use super::{Cursor, Wrong};

/// Most names of one command; the line's own bound is near.
pub(crate) const MAX_NAMES: usize = 1_024;

/// Where to search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// The selected mailbox.
    Selected,
    /// INBOX.
    Inboxes,
    /// All of the own archive.
    Personal,
    /// All that is subscribed.
    Subscribed,
    /// These and all below them.
    Subtree(Vec<String>),
    /// These and those directly below them.
    SubtreeOne(Vec<String>),
    /// These.
    Mailboxes(Vec<String>),
}

/// Parses `IN (…) `; without it, the selected mailbox.
pub(crate) fn sources(c: &mut Cursor<'_>) -> Result<Vec<Source>, Wrong> {
    if !c.eat_word("IN") {
        return Ok(vec![Source::Selected]);
    }
    c.sp()?;
    c.byte(b'(', "IN has a list")?;
    let (mut found, mut names) = (Vec::new(), 0);
    loop {
        let source = match c.atom()?.to_ascii_uppercase().as_slice() {
            b"SELECTED" => Source::Selected,
            b"INBOXES" => Source::Inboxes,
            b"PERSONAL" => Source::Personal,
            b"SUBSCRIBED" => Source::Subscribed,
            b"SUBTREE" => Source::Subtree(mailboxes(c, &mut names)?),
            b"SUBTREE-ONE" => Source::SubtreeOne(mailboxes(c, &mut names)?),
            b"MAILBOXES" => Source::Mailboxes(mailboxes(c, &mut names)?),
            _ => return Err(Wrong("unknown search source")),
        };
        if found.len() >= MAX_NAMES {
            return Err(Wrong("too many search sources"));
        }
        found.push(source);
        if c.eat(b')') {
            break;
        }
        c.sp()?;
        // Scope options would stand here; there are none (RFC 7377 §2.2).
        if c.peek() == Some(b'(') {
            return Err(Wrong("unknown scope option"));
        }
    }
    c.sp()?;
    Ok(found)
}

/// One name, or several in parentheses; one that is no modified UTF-7 is that of no mailbox.
fn mailboxes(c: &mut Cursor<'_>, names: &mut usize) -> Result<Vec<String>, Wrong> {
    c.sp()?;
    if !c.eat(b'(') {
        *names += 1;
        return Ok(c.mailbox()?.into_iter().collect());
    }
    let mut found = Vec::new();
    loop {
        *names += 1;
        if *names > MAX_NAMES {
            return Err(Wrong("too many mailboxes"));
        }
        found.extend(c.mailbox()?);
        if c.eat(b')') {
            return Ok(found);
        }
        c.sp()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Source>, Wrong> {
        let mut c = Cursor::new(text.as_bytes());
        let found = sources(&mut c)?;
        assert_eq!(c.peek(), Some(b'A'), "{text}: the program follows");
        Ok(found)
    }
    fn names(some: &[&str]) -> Vec<String> {
        some.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn where_to_search() {
        for (text, expected) in [
            ("ALL", vec![Source::Selected]),
            ("IN (selected) ALL", vec![Source::Selected]),
            (
                "in (INBOXES personal Subscribed) ALL",
                vec![Source::Inboxes, Source::Personal, Source::Subscribed],
            ),
            ("IN (mailboxes INBOX) ALL", vec![Source::Mailboxes(names(&["INBOX"]))]),
            ("IN (mailboxes (a \"b c\" {1+}\r\nd)) ALL", vec![Source::Mailboxes(names(&["a", "b c", "d"]))]),
            (
                "IN (subtree Entw&APw-rfe subtree-one (a) personal) ALL",
                vec![
                    Source::Subtree(names(&["Entw\u{fc}rfe"])),
                    Source::SubtreeOne(names(&["a"])),
                    Source::Personal,
                ],
            ),
            ("IN (mailboxes &) ALL", vec![Source::Mailboxes(names(&[]))]),
        ] {
            assert_eq!(parse(text), Ok(expected), "{text}");
        }
        for text in [
            "IN ALL",
            "IN () ALL",
            "IN (nowhere) ALL",
            "IN (selected)ALL",
            "IN (selected (x)) ALL",
            "IN (mailboxes) ALL",
            "IN (mailboxes ()) ALL",
            "IN (mailboxes (a) ALL",
        ] {
            assert!(sources(&mut Cursor::new(text.as_bytes())).is_err(), "{text}");
        }
    }

    #[test]
    fn names_are_bounded() {
        let many = |n: usize| format!("IN (mailboxes ({})) ALL", vec!["x"; n].join(" "));
        assert!(parse(&many(MAX_NAMES)).is_ok());
        assert_eq!(
            sources(&mut Cursor::new(many(MAX_NAMES + 1).as_bytes())),
            Err(Wrong("too many mailboxes"))
        );
        let many = |n: usize| format!("IN ({}) ALL", vec!["selected"; n].join(" "));
        assert!(parse(&many(MAX_NAMES)).is_ok());
        assert!(sources(&mut Cursor::new(many(MAX_NAMES + 1).as_bytes())).is_err());
    }
}
