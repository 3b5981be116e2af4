//! LIST with its extended forms (RFC 3501 §6.3.8, RFC 5258, 5819, 6154, 8440, 9590), and STATUS items.

use super::{Cursor, Wrong, is_astring_char, metadata};

/// Most patterns of one LIST.
pub(crate) const MAX_PATTERNS: usize = 32;

/// A STATUS data item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatusItem {
    /// MESSAGES
    Messages,
    /// RECENT
    Recent,
    /// UIDNEXT
    UidNext,
    /// UIDVALIDITY
    UidValidity,
    /// UNSEEN
    Unseen,
    /// SIZE (RFC 8438)
    Size,
    /// HIGHESTMODSEQ (RFC 7162)
    HighestModSeq,
    /// MAILBOXID (RFC 8474)
    MailboxId,
    /// DELETED (RFC 9051 §6.3.11)
    Deleted,
}

/// A parsed LIST or LSUB.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct List {
    /// What stands before each pattern.
    pub(crate) reference: String,
    /// Patterns, decoded; what is no name in the form that counts matches nothing and is left out.
    pub(crate) patterns: Vec<String>,
    /// LIST "" "": only the delimiter is asked for.
    pub(crate) delimiter_only: bool,
    /// An extended form was used.
    pub(crate) extended: bool,
    /// `\Subscribed` is to be shown.
    pub(crate) subscribed: bool,
    /// Only what is subscribed, which all is.
    pub(crate) subscribed_only: bool,
    /// RECURSIVEMATCH
    pub(crate) recursive: bool,
    /// Only mailboxes with a special use.
    pub(crate) special_only: bool,
    /// STATUS for each.
    pub(crate) status: Option<Vec<StatusItem>>,
    /// MYRIGHTS for each (RFC 8440).
    pub(crate) rights: bool,
    /// METADATA's entries for each (RFC 9590).
    pub(crate) metadata: Vec<String>,
}

/// Parses what follows `LIST `.
pub(crate) fn list(c: &mut Cursor<'_>) -> Result<List, Wrong> {
    let mut list = List::default();
    if c.eat(b'(') {
        list.extended = true;
        let mut base = false;
        while !c.eat(b')') {
            match c.atom()?.to_ascii_uppercase().as_slice() {
                b"SUBSCRIBED" => (list.subscribed, list.subscribed_only, base) = (true, true, true),
                b"REMOTE" => {}
                b"RECURSIVEMATCH" => list.recursive = true,
                b"SPECIAL-USE" => (list.special_only, base) = (true, true),
                _ => return Err(Wrong("unknown LIST selection option")),
            }
            if c.peek() != Some(b')') {
                c.sp()?;
            }
        }
        // RFC 5258 §3.1: RECURSIVEMATCH alone, or with REMOTE only, MUST be refused with BAD.
        if list.recursive && !base {
            return Err(Wrong("RECURSIVEMATCH needs another selection option"));
        }
        c.sp()?;
    }
    let reference = c.mailbox()?;
    c.sp()?;
    let mut empty = false;
    if c.eat(b'(') {
        list.extended = true;
        for n in 0.. {
            if n >= MAX_PATTERNS {
                return Err(Wrong("too many patterns"));
            }
            list.patterns.extend(pattern(c)?);
            if c.eat(b')') {
                break;
            }
            c.sp()?;
        }
    } else {
        let one = pattern(c)?;
        empty = one.as_deref() == Some("");
        list.patterns.extend(one);
    }
    if c.eat(b' ') {
        if !c.eat_word("RETURN") {
            return Err(Wrong("RETURN is missing"));
        }
        list.extended = true;
        c.sp()?;
        returns(c, &mut list)?;
    }
    list.delimiter_only = empty && !list.extended;
    match reference {
        Some(reference) => list.reference = reference,
        None => list.patterns.clear(),
    }
    Ok(list)
}

fn returns(c: &mut Cursor<'_>, list: &mut List) -> Result<(), Wrong> {
    c.byte(b'(', "return options stand in parentheses")?;
    while !c.eat(b')') {
        match c.atom()?.to_ascii_uppercase().as_slice() {
            b"SUBSCRIBED" => list.subscribed = true,
            b"CHILDREN" | b"SPECIAL-USE" => {}
            b"STATUS" => {
                c.sp()?;
                list.status = Some(status_items(c)?);
            }
            b"MYRIGHTS" => list.rights = true,
            b"METADATA" => {
                c.sp()?;
                list.metadata = metadata::entries(c)?;
            }
            _ => return Err(Wrong("unknown LIST return option")),
        }
        if c.peek() != Some(b')') {
            c.sp()?;
        }
    }
    Ok(())
}

/// Reference and pattern of LSUB.
pub(crate) fn lsub(c: &mut Cursor<'_>) -> Result<List, Wrong> {
    let reference = c.mailbox()?;
    c.sp()?;
    let patterns = pattern(c)?.into_iter().filter(|_| reference.is_some()).collect();
    Ok(List { reference: reference.unwrap_or_default(), patterns, ..List::default() })
}

/// `None`: no name can match, as the pattern is none in the form that counts.
fn pattern(c: &mut Cursor<'_>) -> Result<Option<String>, Wrong> {
    let text = match c.peek() {
        Some(b'"' | b'{') => c.string()?,
        _ => super::some(
            c.take_while(|b| is_astring_char(b) || matches!(b, b'%' | b'*')),
            "a pattern is missing",
        )?
        .into(),
    };
    Ok(c.text().read_mailbox(&text))
}

/// A parenthesised list of STATUS items.
pub(crate) fn status_items(c: &mut Cursor<'_>) -> Result<Vec<StatusItem>, Wrong> {
    c.byte(b'(', "STATUS items stand in parentheses")?;
    let mut items = Vec::new();
    loop {
        let item = match c.atom()?.to_ascii_uppercase().as_slice() {
            b"MESSAGES" => StatusItem::Messages,
            b"RECENT" => StatusItem::Recent,
            b"UIDNEXT" => StatusItem::UidNext,
            b"UIDVALIDITY" => StatusItem::UidValidity,
            b"UNSEEN" => StatusItem::Unseen,
            b"SIZE" => StatusItem::Size,
            b"HIGHESTMODSEQ" => StatusItem::HighestModSeq,
            b"MAILBOXID" => StatusItem::MailboxId,
            b"DELETED" => StatusItem::Deleted,
            _ => return Err(Wrong("unknown STATUS item")),
        };
        if !items.contains(&item) {
            items.push(item);
        }
        if c.eat(b')') {
            return Ok(items);
        }
        c.sp()?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<List, Wrong> {
        let mut c = Cursor::new(text.as_bytes());
        let found = list(&mut c)?;
        c.end().map(|()| found)
    }

    #[test]
    fn plain_and_extended() {
        assert!(parse("\"\" \"\"").unwrap().delimiter_only);
        assert_eq!(parse("\"\" %").unwrap().patterns, ["%"]);
        assert_eq!(parse("Other&-Archives/ %/x*").unwrap().reference, "Other&Archives/");
        let all = parse(
            "(subscribed RECURSIVEMATCH) \"\" (\"*\" INBOX) return (special-use STATUS (MESSAGES SIZE))",
        )
        .unwrap();
        assert!(all.subscribed && all.recursive && all.extended);
        assert_eq!(all.patterns, ["*", "INBOX"]);
        assert_eq!(all.status, Some(vec![StatusItem::Messages, StatusItem::Size]));
        let more = parse("\"\" % RETURN (MYRIGHTS METADATA (/shared/comment \"/private/comment\"))").unwrap();
        assert!(more.rights && !more.subscribed_only);
        assert_eq!(more.metadata, ["/shared/comment", "/private/comment"]);
        assert!(parse("\"\" &bad").unwrap().patterns.is_empty());
        assert!(parse("() \"\" \"*\" RETURN ()").unwrap().extended);
        for bad in [
            "",
            "\"\"",
            "\"\" ",
            "(RECURSIVEMATCH) \"\" *",
            "(X) \"\" *",
            "\"\" () ",
            "\"\" * RETURN",
            "\"\" * RETURN (X)",
            "\"\" * X ()",
            "\"\" (a b",
            "\"\" * RETURN (STATUS)",
            "\"\" * RETURN (STATUS ())",
            "\"\" * RETURN (METADATA)",
            "\"\" * RETURN (METADATA ())",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let many = |n: usize| format!("\"\" ({})", vec!["a"; n].join(" "));
        assert!(parse(&many(MAX_PATTERNS)).is_ok());
        assert!(parse(&many(MAX_PATTERNS + 1)).is_err());
    }
}
