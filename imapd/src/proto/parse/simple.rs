//! The small grammars: ID, flags of STORE, UIDBATCHES, SASL's PLAIN.

use super::{Cursor, Wrong};
use base64::Engine as _;
use zeroize::Zeroizing;

/// ID's parameters (RFC 2971): checked, at most 30 pairs; their values are nobody's business.
pub(crate) fn id(c: &mut Cursor<'_>) -> Result<(), Wrong> {
    if c.eat_word("NIL") {
        return Ok(());
    }
    c.byte(b'(', "ID has a list")?;
    for n in 0.. {
        if c.eat(b')') {
            break;
        }
        if n >= 30 {
            return Err(Wrong("ID has too many fields"));
        }
        if n > 0 {
            c.sp()?;
        }
        c.string()?;
        c.sp()?;
        c.nstring()?;
    }
    Ok(())
}

/// What STORE wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Store {
    /// `\Deleted` would be set.
    pub(crate) deletes: bool,
}

/// STORE's item and flags (RFC 3501 §9 `store-att-flags`).
pub(crate) fn store(c: &mut Cursor<'_>) -> Result<Store, Wrong> {
    let removes = match c.peek() {
        Some(b'-') => c.eat(b'-'),
        _ => {
            c.eat(b'+');
            false
        }
    };
    if !c.eat_word("FLAGS.SILENT") && !c.eat_word("FLAGS") {
        return Err(Wrong("STORE changes FLAGS only"));
    }
    c.sp()?;
    let list = c.eat(b'(');
    let mut deletes = false;
    if !(list && c.eat(b')')) {
        loop {
            let system = c.eat(b'\\');
            deletes |= c.atom()?.eq_ignore_ascii_case(b"Deleted") && system;
            if list && c.eat(b')') {
                break;
            }
            if !list && c.is_end() {
                break;
            }
            c.sp()?;
        }
    }
    Ok(Store { deletes: deletes && !removes })
}

/// What UIDBATCHES asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Batches {
    /// Messages a batch.
    pub(crate) size: u32,
    /// The first and the last batch; none: all. Not checked to rise.
    pub(crate) range: Option<(u32, u32)>,
}

/// UIDBATCHES' size and range of batches (RFC 10022 §4 `message-batches`).
pub(crate) fn batches(c: &mut Cursor<'_>) -> Result<Batches, Wrong> {
    let number = |c: &mut Cursor<'_>| match u32::try_from(c.number()?) {
        Ok(0) => Err(Wrong("batches and their messages are counted from 1")),
        found => found.map_err(|_| Wrong("the number is too large")),
    };
    c.sp()?;
    let size = number(c)?;
    let mut range = None;
    if !c.is_end() {
        c.sp()?;
        let first = number(c)?;
        c.byte(b':', "a range of batches has a colon")?;
        range = Some((first, number(c)?));
    }
    c.end()?;
    Ok(Batches { size, range })
}

/// The name and password in a PLAIN response (RFC 4616); an authorisation identity other than the name is refused.
pub(crate) fn sasl_plain(base64: &[u8]) -> Option<(String, Zeroizing<String>)> {
    let bytes = Zeroizing::new(base64::engine::general_purpose::STANDARD.decode(base64).ok()?);
    let mut parts = bytes.split(|&b| b == 0);
    let (act_as, name, password) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || !(act_as.is_empty() || act_as == name) {
        return None;
    }
    let password = Zeroizing::new(std::str::from_utf8(password).ok()?.to_owned());
    Some((std::str::from_utf8(name).ok()?.to_owned(), password))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_of_store() {
        for (text, deletes) in [
            ("FLAGS (\\Deleted)", Some(true)),
            ("+FLAGS.SILENT \\Seen \\deleted", Some(true)),
            ("-FLAGS (\\Deleted)", Some(false)),
            ("+flags ()", Some(false)),
            ("+FLAGS (Deleted $Forwarded)", Some(false)),
            ("FLAGS", None),
            ("FLAGS (\\Seen", None),
            ("FLAGS (\\)", None),
            ("LABELS (x)", None),
            ("+-FLAGS (x)", None),
        ] {
            let mut c = Cursor::new(text.as_bytes());
            let found = store(&mut c).and_then(|s| c.end().map(|()| s));
            assert_eq!(found.ok().map(|s| s.deletes), deletes, "{text}");
        }
    }

    #[test]
    fn id_fields_and_their_bound() {
        let list = |n: usize| format!("({})", vec!["\"k\" NIL"; n].join(" "));
        for (text, ok) in [
            ("NIL".into(), true),
            ("()".into(), true),
            (list(30), true),
            (list(31), false),
            ("(x y)".into(), false),
        ] {
            assert_eq!(id(&mut Cursor::new(text.as_bytes())).is_ok(), ok, "{text}");
        }
    }

    #[test]
    fn sizes_and_ranges_of_batches() {
        for (text, expected) in [
            (" 2000", Some((2_000, None))),
            (" 2000 10:20", Some((2_000, Some((10, 20))))),
            (" 2000 4:1", Some((2_000, Some((4, 1))))),
            (" 1 1:1", Some((1, Some((1, 1))))),
            (" 4294967295 1:4294967295", Some((u32::MAX, Some((1, u32::MAX))))),
            ("", None),
            (" ", None),
            (" x", None),
            (" 0", None),
            (" 4294967296", None),
            (" 2000 10", None),
            (" 2000 0:1", None),
            (" 2000 1:4294967296", None),
            (" 2000 1:*", None),
            (" 2000 1:2 3", None),
            (" 2000 1:2,4:5", None),
        ] {
            let found = batches(&mut Cursor::new(text.as_bytes())).ok().map(|b| (b.size, b.range));
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn plain() {
        let of = |bytes: &[u8]| {
            let text = base64::engine::general_purpose::STANDARD.encode(bytes);
            sasl_plain(text.as_bytes()).map(|(n, p)| (n, p.to_string()))
        };
        assert_eq!(of(b"\0bob\0pw"), Some(("bob".into(), "pw".into())));
        assert_eq!(of(b"bob\0bob\0"), Some(("bob".into(), String::new())));
        assert_eq!(of(b"eve\0bob\0pw"), None);
        assert_eq!(of(b"\0bob"), None);
        assert_eq!(of(b"\0bob\0pw\0x"), None);
        assert_eq!(of(b"\0b\xff\0pw"), None);
        assert_eq!(sasl_plain(b"!!"), None);
    }
}
