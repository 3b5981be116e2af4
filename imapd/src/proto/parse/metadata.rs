//! METADATA's commands (RFC 5464 §4.2, §4.3), and the entries that LIST returns (RFC 9590).
//!
//! Options may stand in front of the mailbox, as the formal syntax has it, or behind it, as the RFC's examples have it.

use super::{Cursor, Wrong};

/// Most entries of one command.
pub(crate) const MAX_ENTRIES: usize = 64;

/// How far below an entry is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Depth {
    /// The entry alone.
    #[default]
    Zero,
    /// And those directly below it.
    One,
    /// And all below it.
    Infinity,
}

/// What GETMETADATA asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asked {
    /// `None`: no name in the form that counts. Empty: the server.
    pub(crate) mailbox: Option<String>,
    /// Longer values are left out.
    pub(crate) max_size: Option<u64>,
    pub(crate) depth: Depth,
    /// In lower case: entries are compared without regard to it (RFC 5464 §3.1).
    pub(crate) entries: Vec<String>,
}

/// Parses what follows `GETMETADATA `.
pub(crate) fn get(c: &mut Cursor<'_>) -> Result<Asked, Wrong> {
    let (mut max_size, mut depth) = (None, Depth::Zero);
    if c.peek() == Some(b'(') {
        options(c, &mut max_size, &mut depth)?;
        c.sp()?;
    }
    let mailbox = c.mailbox()?;
    c.sp()?;
    let mut ahead = c.clone();
    if ahead.eat(b'(') && (ahead.eat_word("MAXSIZE") || ahead.eat_word("DEPTH")) {
        options(c, &mut max_size, &mut depth)?;
        c.sp()?;
    }
    let entries = if c.peek() == Some(b'(') { entries(c)? } else { vec![entry(c)?] };
    Ok(Asked { mailbox, max_size, depth, entries })
}

fn options(c: &mut Cursor<'_>, max_size: &mut Option<u64>, depth: &mut Depth) -> Result<(), Wrong> {
    c.byte(b'(', "options stand in parentheses")?;
    loop {
        match c.atom()?.to_ascii_uppercase().as_slice() {
            b"MAXSIZE" => {
                c.sp()?;
                *max_size = Some(c.number()?);
            }
            b"DEPTH" => {
                c.sp()?;
                *depth = match c.atom()?.to_ascii_lowercase().as_slice() {
                    b"0" => Depth::Zero,
                    b"1" => Depth::One,
                    b"infinity" => Depth::Infinity,
                    _ => return Err(Wrong("DEPTH is 0, 1 or infinity")),
                };
            }
            _ => return Err(Wrong("unknown GETMETADATA option")),
        }
        if c.eat(b')') {
            return Ok(());
        }
        c.sp()?;
    }
}

/// A list of entries in parentheses.
pub(crate) fn entries(c: &mut Cursor<'_>) -> Result<Vec<String>, Wrong> {
    c.byte(b'(', "entries stand in parentheses")?;
    let mut all = Vec::new();
    loop {
        if all.len() >= MAX_ENTRIES {
            return Err(Wrong("too many entries"));
        }
        let entry = entry(c)?;
        if !all.contains(&entry) {
            all.push(entry);
        }
        if c.eat(b')') {
            return Ok(all);
        }
        c.sp()?;
    }
}

/// RFC 5464 §3.1, §3.2: levels of ASCII behind `/`, of which the first is `private` or `shared`; no wildcards.
fn entry(c: &mut Cursor<'_>) -> Result<String, Wrong> {
    const WRONG: Wrong = Wrong("the name of an entry is wrong");
    let name = c.astring()?.to_ascii_lowercase();
    let name = String::from_utf8(name).map_err(|_| WRONG)?;
    let mut levels = name.strip_prefix('/').ok_or(WRONG)?.split('/');
    let first = levels.next().unwrap_or_default();
    let clean = name.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) && !name.contains(['*', '%']);
    if !clean || !["private", "shared"].contains(&first) || levels.any(str::is_empty) {
        return Err(WRONG);
    }
    Ok(name)
}

/// Parses what follows `SETMETADATA `; nothing is kept of it.
pub(crate) fn set(c: &mut Cursor<'_>) -> Result<(), Wrong> {
    c.mailbox()?;
    c.sp()?;
    c.byte(b'(', "entries stand in parentheses")?;
    for n in 0.. {
        if n >= MAX_ENTRIES {
            return Err(Wrong("too many entries"));
        }
        entry(c)?;
        c.sp()?;
        c.nstring()?;
        if c.eat(b')') {
            return Ok(());
        }
        c.sp()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Asked, Wrong> {
        let mut c = Cursor::new(text.as_bytes());
        let found = get(&mut c)?;
        c.end().map(|()| found)
    }

    #[test]
    fn options_on_both_sides() {
        let asked = |max_size, depth, entries: &[&str]| {
            let entries = entries.iter().map(|entry| (*entry).to_owned()).collect();
            Ok(Asked { mailbox: Some("INBOX".into()), max_size, depth, entries })
        };
        for (text, expected) in [
            ("INBOX /shared/comment", asked(None, Depth::Zero, &["/shared/comment"])),
            ("\"INBOX\" \"/Shared/Comment\"", asked(None, Depth::Zero, &["/shared/comment"])),
            (
                "INBOX (/shared/comment /private/comment /SHARED/comment)",
                asked(None, Depth::Zero, &["/shared/comment", "/private/comment"]),
            ),
            ("(MAXSIZE 1024) INBOX (/shared)", asked(Some(1024), Depth::Zero, &["/shared"])),
            ("INBOX (MAXSIZE 1024 DEPTH 1) /shared", asked(Some(1024), Depth::One, &["/shared"])),
            ("(depth INFINITY) INBOX /shared/a b", Err(Wrong("the command has more than it should"))),
            ("(depth INFINITY) INBOX \"/shared/a b\"", asked(None, Depth::Infinity, &["/shared/a b"])),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_entry() {
        for bad in [
            "",
            "INBOX",
            "INBOX ()",
            "INBOX comment",
            "INBOX /comment",
            "INBOX /shared/",
            "INBOX /shared//x",
            "INBOX \"/shared/*\"",
            "INBOX \"/shared/%\"",
            "INBOX \"/shared/\u{fc}\"",
            "INBOX /sharedx",
            "(DEPTH 2) INBOX /shared",
            "(DEPTH) INBOX /shared",
            "(X 1) INBOX /shared",
            "() INBOX /shared",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        let many = |n: usize| {
            let all: Vec<String> = (0..n).map(|n| format!("/shared/{n}")).collect();
            format!("INBOX ({})", all.join(" "))
        };
        assert_eq!(parse(&many(MAX_ENTRIES)).map(|asked| asked.entries.len()), Ok(MAX_ENTRIES));
        assert!(parse(&many(MAX_ENTRIES + 1)).is_err());
    }

    #[test]
    fn what_is_set() {
        let parse = |text: &str| {
            let mut c = Cursor::new(text.as_bytes());
            set(&mut c).and_then(|()| c.end())
        };
        for (text, ok) in [
            ("INBOX (/private/comment {3}\r\na b)", true),
            ("INBOX (/private/comment NIL /shared/comment \"x\")", true),
            ("INBOX ()", false),
            ("INBOX (/private/comment)", false),
            ("INBOX /private/comment NIL", false),
        ] {
            assert_eq!(parse(text).is_ok(), ok, "{text}");
        }
        let many = |n: usize| format!("INBOX ({})", vec!["/shared/x NIL"; n].join(" "));
        assert!(parse(&many(MAX_ENTRIES)).is_ok() && parse(&many(MAX_ENTRIES + 1)).is_err());
    }
}
