//! The grammar of commands that would change something: they are refused, but only if they are commands at all.

use super::{Cursor, Wrong};

/// COPY and MOVE (RFC 3501 §6.4.7, RFC 6851 §4): a set and a mailbox.
pub(crate) fn copy(c: &mut Cursor<'_>) -> Result<(), Wrong> {
    c.targets()?;
    c.sp()?;
    c.mailbox().map(drop)
}

/// CREATE, with the parameters of RFC 4466 (`USE` of RFC 6154 §3).
pub(crate) fn create(c: &mut Cursor<'_>) -> Result<(), Wrong> {
    c.mailbox()?;
    let mut ahead = c.clone();
    if ahead.eat(b' ') && ahead.peek() == Some(b'(') {
        c.sp()?;
        parentheses(c)?;
    }
    Ok(())
}

/// RENAME
pub(crate) fn rename(c: &mut Cursor<'_>) -> Result<(), Wrong> {
    c.mailbox()?;
    c.sp()?;
    c.mailbox().map(drop)
}

/// SETACL (RFC 4314 §3.1) has rights behind the name of whom they are for, DELETEACL has none.
pub(crate) fn acl(c: &mut Cursor<'_>, rights: bool) -> Result<(), Wrong> {
    c.mailbox()?;
    c.sp()?;
    c.astring()?;
    if rights {
        c.sp()?;
        c.astring()?;
    }
    Ok(())
}

/// A list in parentheses, of whatever is in it.
fn parentheses(c: &mut Cursor<'_>) -> Result<(), Wrong> {
    let mut open = 0;
    loop {
        match c.peek() {
            Some(b'(') => {
                c.eat(b'(');
                open += 1;
                if open > super::search::MAX_PARENS {
                    return Err(Wrong("parentheses are nested too deep"));
                }
            }
            Some(b')') => {
                c.eat(b')');
                open -= 1;
                if open == 0 {
                    return Ok(());
                }
            }
            Some(b'"' | b'{') => drop(c.string()?),
            Some(b' ' | b'\\') => {
                c.take_while(|b| matches!(b, b' ' | b'\\'));
            }
            _ => drop(c.atom()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_or_not() {
        type Parse = fn(&mut Cursor<'_>) -> Result<(), Wrong>;
        let cases: &[(Parse, &str, bool)] = &[
            (copy, "1:* Trash", true),
            (copy, "$ \"a b\"", true),
            (copy, "1:*", false),
            (copy, "0 Trash", false),
            (copy, "Trash", false),
            (copy, "1 Trash x", false),
            (create, "Trash", true),
            (create, "Trash/ ", true),
            (create, "\"Sent\" (USE (\\Sent \\Drafts))", true),
            (create, "Sent (USE (\\Sent)", false),
            (create, "", false),
            (create, "a b", false),
            (rename, "a b", true),
            (rename, "a", false),
            (|c| acl(c, true), "a bob +r", true),
            (|c| acl(c, true), "a bob", false),
            (|c| acl(c, false), "a bob", true),
        ];
        for (parse, text, ok) in cases {
            let mut c = Cursor::new(text.as_bytes());
            assert_eq!(parse(&mut c).and_then(|()| c.end()).is_ok(), *ok, "{text}");
        }
        let deep = |n: usize| {
            let text = format!("a {}{}", "(".repeat(n), ")".repeat(n));
            create(&mut Cursor::new(text.as_bytes()))
        };
        assert!(deep(32).is_ok() && deep(33).is_err());
    }
}
