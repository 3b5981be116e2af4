//! FETCH's items and part sections (RFC 3501 §6.4.5, §9 `fetch`; RFC 3516 §4.2).

use super::{Cursor, Wrong};
use crate::proto::encode;

/// Most items of one FETCH: enough for every client, too few to multiply a message's bytes a thousandfold.
pub(crate) const MAX_ITEMS: usize = 100;

/// One data item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// FLAGS
    Flags,
    /// UID
    Uid,
    /// INTERNALDATE
    InternalDate,
    /// RFC822.SIZE
    Size,
    /// ENVELOPE
    Envelope,
    /// BODY: the structure without extension data
    Body,
    /// BODYSTRUCTURE
    BodyStructure,
    /// MODSEQ (RFC 7162)
    ModSeq,
    /// EMAILID (RFC 8474)
    EmailId,
    /// THREADID (RFC 8474)
    ThreadId,
    /// SAVEDATE (RFC 8514)
    SaveDate,
    /// PREVIEW (RFC 8970)
    Preview {
        /// It may be left out rather than waited for.
        lazy: bool,
    },
    /// BINARY[…], BINARY.PEEK[…] (RFC 3516)
    Binary {
        /// What the answer calls it, partial origin included.
        label: Vec<u8>,
        /// Part numbers, outermost first; none: the message.
        path: Vec<u32>,
        /// First octet and number of octets of what is decoded.
        partial: Option<(u64, u64)>,
    },
    /// BINARY.SIZE[…]
    BinarySize {
        /// What the answer calls it.
        label: Vec<u8>,
        /// As in [`Item::Binary`].
        path: Vec<u32>,
    },
    /// BODY[…], RFC822, RFC822.HEADER, RFC822.TEXT
    Section {
        /// What the answer calls it, partial origin included.
        label: Vec<u8>,
        /// Part numbers, outermost first.
        path: Vec<u32>,
        /// What of the part.
        text: Portion,
        /// First octet and number of octets.
        partial: Option<(u64, u64)>,
    },
}

/// What of a part is asked for (RFC 3501 `section-text`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Portion {
    /// The message, or the part's body.
    All,
    /// HEADER
    Header,
    /// HEADER.FIELDS, or HEADER.FIELDS.NOT if `not`
    Fields {
        /// Names as asked.
        names: Vec<Vec<u8>>,
        /// All but these.
        not: bool,
    },
    /// TEXT
    Text,
    /// MIME
    Mime,
}

/// Parses what follows the sequence set: a macro, one item, or a list.
pub(crate) fn items(c: &mut Cursor<'_>) -> Result<Vec<Item>, Wrong> {
    use Item::{Body, Envelope, Flags, InternalDate, Size};
    if c.eat_word("ALL") {
        return Ok(vec![Flags, InternalDate, Size, Envelope]);
    }
    if c.eat_word("FAST") {
        return Ok(vec![Flags, InternalDate, Size]);
    }
    if c.eat_word("FULL") {
        return Ok(vec![Flags, InternalDate, Size, Envelope, Body]);
    }
    if !c.eat(b'(') {
        return Ok(vec![item(c)?]);
    }
    let mut all = Vec::new();
    loop {
        all.push(item(c)?);
        if all.len() > MAX_ITEMS {
            return Err(Wrong("too many items in one FETCH"));
        }
        if c.eat(b')') {
            return Ok(all);
        }
        c.sp()?;
    }
}

/// One item.
pub(crate) fn item(c: &mut Cursor<'_>) -> Result<Item, Wrong> {
    let name = c.take_while(|b| b.is_ascii_alphanumeric() || b == b'.').to_ascii_uppercase();
    if c.peek() == Some(b'[') && matches!(name.as_slice(), b"BODY" | b"BODY.PEEK") {
        return section(c);
    }
    if c.peek() == Some(b'[') && matches!(name.as_slice(), b"BINARY" | b"BINARY.PEEK" | b"BINARY.SIZE") {
        return binary(c, name == b"BINARY.SIZE");
    }
    let whole =
        |label: &[u8], text| Item::Section { label: label.to_vec(), path: Vec::new(), text, partial: None };
    Ok(match name.as_slice() {
        b"FLAGS" => Item::Flags,
        b"UID" => Item::Uid,
        b"INTERNALDATE" => Item::InternalDate,
        b"RFC822.SIZE" => Item::Size,
        b"ENVELOPE" => Item::Envelope,
        b"BODY" => Item::Body,
        b"BODYSTRUCTURE" => Item::BodyStructure,
        b"MODSEQ" => Item::ModSeq,
        b"EMAILID" => Item::EmailId,
        b"THREADID" => Item::ThreadId,
        b"SAVEDATE" => Item::SaveDate,
        b"PREVIEW" => Item::Preview { lazy: lazy(c) },
        b"RFC822" => whole(b"RFC822", Portion::All),
        b"RFC822.HEADER" => whole(b"RFC822.HEADER", Portion::Header),
        b"RFC822.TEXT" => whole(b"RFC822.TEXT", Portion::Text),
        _ => return Err(Wrong("unknown FETCH item")),
    })
}

/// PREVIEW's modifier, if it is there.
fn lazy(c: &mut Cursor<'_>) -> bool {
    let mut ahead = c.clone();
    let found = ahead.eat(b' ') && ahead.eat(b'(') && ahead.eat_word("LAZY") && ahead.eat(b')');
    if found {
        *c = ahead;
    }
    found
}

const UNCLOSED: &str = "a section is not closed";

/// RFC 3516 §7 `section-binary`: numbers alone.
fn binary(c: &mut Cursor<'_>, size: bool) -> Result<Item, Wrong> {
    c.byte(b'[', UNCLOSED)?;
    let mut label = if size { b"BINARY.SIZE[".to_vec() } else { b"BINARY[".to_vec() };
    let (path, more) = numbers(c, &mut label)?;
    if !path.is_empty() && more {
        return Err(Wrong("a section is wrong"));
    }
    c.byte(b']', UNCLOSED)?;
    label.push(b']');
    if size {
        return Ok(Item::BinarySize { label, path });
    }
    let partial = partial(c, &mut label)?;
    Ok(Item::Binary { label, path, partial })
}

/// Part numbers, and whether a dot stands behind the last one (or there is none).
fn numbers(c: &mut Cursor<'_>, label: &mut Vec<u8>) -> Result<(Vec<u32>, bool), Wrong> {
    let mut path = Vec::new();
    let mut more = true;
    while more && c.peek().is_some_and(|b| b.is_ascii_digit()) {
        let n = u32::try_from(c.number()?).ok().filter(|&n| n > 0).ok_or(Wrong("a part number is wrong"))?;
        if path.len() >= 200 {
            return Err(Wrong("the part lies too deep"));
        }
        path.push(n);
        encode::number(u64::from(n), label);
        more = c.eat(b'.');
        if more {
            label.push(b'.');
        }
    }
    Ok((path, more))
}

fn section(c: &mut Cursor<'_>) -> Result<Item, Wrong> {
    c.byte(b'[', UNCLOSED)?;
    let mut label = b"BODY[".to_vec();
    let (path, more) = numbers(c, &mut label)?;
    let name = c.take_while(|b| b.is_ascii_alphabetic() || b == b'.').to_ascii_uppercase();
    if !path.is_empty() && name.is_empty() == more {
        return Err(Wrong("a section is wrong"));
    }
    label.extend_from_slice(&name);
    let text = match name.as_slice() {
        b"" => Portion::All,
        b"HEADER" => Portion::Header,
        b"TEXT" => Portion::Text,
        b"MIME" if !path.is_empty() => Portion::Mime,
        b"HEADER.FIELDS" => Portion::Fields { names: field_names(c, &mut label)?, not: false },
        b"HEADER.FIELDS.NOT" => Portion::Fields { names: field_names(c, &mut label)?, not: true },
        _ => return Err(Wrong("unknown section")),
    };
    c.byte(b']', UNCLOSED)?;
    label.push(b']');
    let partial = partial(c, &mut label)?;
    Ok(Item::Section { label, path, text, partial })
}

/// `<first.count>`, if it is there; the answer shows the first only.
fn partial(c: &mut Cursor<'_>, label: &mut Vec<u8>) -> Result<Option<(u64, u64)>, Wrong> {
    Ok(if c.eat(b'<') {
        let first = c.number()?;
        c.byte(b'.', "a partial has two numbers")?;
        let count = c.number()?;
        c.byte(b'>', "a partial is not closed")?;
        if count == 0 || first > u64::from(u32::MAX) || count > u64::from(u32::MAX) {
            return Err(Wrong("a partial's number is out of range"));
        }
        label.push(b'<');
        encode::number(first, label);
        label.push(b'>');
        Some((first, count))
    } else {
        None
    })
}

fn field_names(c: &mut Cursor<'_>, label: &mut Vec<u8>) -> Result<Vec<Vec<u8>>, Wrong> {
    c.sp()?;
    c.byte(b'(', "field names stand in parentheses")?;
    label.extend_from_slice(b" (");
    let mut names = Vec::new();
    loop {
        let name = c.astring()?.into_owned();
        encode::astring(&name, label);
        names.push(name);
        if c.eat(b')') {
            label.push(b')');
            return Ok(names);
        }
        c.sp()?;
        label.push(b' ');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Item>, Wrong> {
        let mut c = Cursor::new(text.as_bytes());
        let found = items(&mut c)?;
        c.end().map(|()| found)
    }
    fn labels(text: &str) -> String {
        let mut all = Vec::new();
        for item in parse(text).unwrap() {
            match item {
                Item::Section { label, .. } | Item::Binary { label, .. } | Item::BinarySize { label, .. } => {
                    all.push(String::from_utf8(label).unwrap())
                }
                other => all.push(format!("{other:?}")),
            }
        }
        all.join(" ")
    }

    #[test]
    fn sections_are_echoed_as_asked() {
        for (text, label) in [
            ("BODY[]", "BODY[]"),
            ("body.peek[header]", "BODY[HEADER]"),
            ("BODY[1.2.mime]<0.5>", "BODY[1.2.MIME]<0>"),
            (
                "BODY[4.2.HEADER.FIELDS.NOT (Date {2}\r\nTo \"a b\")]",
                "BODY[4.2.HEADER.FIELDS.NOT (Date To \"a b\")]",
            ),
            ("(FLAGS BODY[1] RFC822)", "Flags BODY[1] RFC822"),
            ("(binary.peek[1.2]<7.5> BINARY[] Binary.Size[4])", "BINARY[1.2]<7> BINARY[] BINARY.SIZE[4]"),
            ("FAST", "Flags InternalDate Size"),
            ("(UID rfc822.size BODY.PEEK[]<4294967295.4294967295>)", "Uid Size BODY[]<4294967295>"),
        ] {
            assert_eq!(labels(text), label);
        }
    }

    #[test]
    fn what_is_no_item() {
        for bad in [
            "",
            "()",
            "(FLAGS",
            "FLAGS)",
            "(ALL)",
            "BODY[",
            "BODY[1.]",
            "BODY[.1]",
            "BODY[0]",
            "BODY[MIME]",
            "BODY[1",
            "BODY[1HEADER]",
            "BODY[HEADER.FIELDS]",
            "BODY[HEADER.FIELDS ()]",
            "BODY[]<0.0>",
            "BODY[]<1>",
            "BODY[]<4294967296.1>",
            "BODY.PEEK",
            "BODY[1.2.3.4.x]",
            "(FLAGS  UID)",
            "BODY[TEXT.1]",
            "BINARY",
            "BINARY[TEXT]",
            "BINARY[1.MIME]",
            "BINARY[1.]",
            "BINARY[0]",
            "BINARY.SIZE[1]<0.1>",
            "BINARY[1]<0.0>",
            "X",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn bounds() {
        let list = |n: usize| format!("({})", vec!["UID"; n].join(" "));
        assert!(parse(&list(MAX_ITEMS)).is_ok());
        assert!(parse(&list(MAX_ITEMS + 1)).is_err());
        let deep = |n: usize| format!("BODY[{}]", vec!["1"; n].join("."));
        assert!(parse(&deep(200)).is_ok());
        assert!(parse(&deep(201)).is_err());
    }
}
