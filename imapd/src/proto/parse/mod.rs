//! The cursor that every command's parser walks with: atoms, strings, lists, numbers (RFC 3501 §9).
//!
//! Input is one whole command as `frame` gives it. A parser either eats exactly its grammar or gives a [`Wrong`];
//! nothing recurses. Literals are read where `frame` found them, since both read from the left.

pub(crate) mod fetch;
pub(crate) mod list;
pub(crate) mod metadata;
pub(crate) mod multisearch;
pub(crate) mod notify;
pub(crate) mod order;
pub(crate) mod partial;
pub(crate) mod search;
pub(crate) mod simple;
pub(crate) mod sync;
pub(crate) mod write;

use super::encode::Text;
use super::set::{SeqSet, Targets};
use std::borrow::Cow;

/// A syntax error: what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Wrong(pub(crate) &'static str);

/// A place in a command.
#[derive(Debug, Clone)]
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    text: Text,
}

/// RFC 3501 §9 `ATOM-CHAR`.
pub(crate) fn is_atom_char(b: u8) -> bool {
    b.is_ascii_graphic() && !matches!(b, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

/// RFC 3501 §9 `ASTRING-CHAR`.
pub(crate) fn is_astring_char(b: u8) -> bool {
    is_atom_char(b) || b == b']'
}

impl<'a> Cursor<'a> {
    /// At the command's first byte.
    pub(crate) fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0, text: Text::Coded }
    }
    /// Has names of mailboxes in this form.
    pub(crate) fn with_text(self, text: Text) -> Cursor<'a> {
        Cursor { text, ..self }
    }
    /// The bytes not read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
    /// The next byte.
    pub(crate) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }
    /// Whether nothing is left.
    pub(crate) fn is_end(&self) -> bool {
        self.at >= self.bytes.len()
    }
    /// Eats `b` if it is next.
    pub(crate) fn eat(&mut self, b: u8) -> bool {
        let found = self.peek() == Some(b);
        self.at += usize::from(found);
        found
    }
    /// Eats `word` in any case if it is next and no atom goes on behind it.
    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        let rest = self.rest();
        let found = rest.get(..word.len()).is_some_and(|w| w.eq_ignore_ascii_case(word.as_bytes()))
            && rest.get(word.len()).is_none_or(|&b| !is_atom_char(b));
        self.at += if found { word.len() } else { 0 };
        found
    }
    /// Exactly this byte.
    pub(crate) fn byte(&mut self, b: u8, what: &'static str) -> Result<(), Wrong> {
        if self.eat(b) { Ok(()) } else { Err(Wrong(what)) }
    }
    /// One blank.
    pub(crate) fn sp(&mut self) -> Result<(), Wrong> {
        self.byte(b' ', "a blank is missing")
    }
    /// Nothing may follow. Blanks at the end are forgiven: some clients send them.
    pub(crate) fn end(&mut self) -> Result<(), Wrong> {
        while self.eat(b' ') {}
        if self.is_end() { Ok(()) } else { Err(Wrong("the command has more than it should")) }
    }
    /// The longest run of bytes that pass, maybe empty.
    pub(crate) fn take_while(&mut self, pass: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let n = rest.iter().position(|&b| !pass(b)).unwrap_or(rest.len());
        self.at += n;
        rest.get(..n).unwrap_or_default()
    }
    /// An atom.
    pub(crate) fn atom(&mut self) -> Result<&'a [u8], Wrong> {
        some(self.take_while(is_atom_char), "an atom is missing")
    }
    /// A number that fits.
    pub(crate) fn number(&mut self) -> Result<u64, Wrong> {
        let digits = some(self.take_while(|b| b.is_ascii_digit()), "a number is missing")?;
        std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok()).ok_or(Wrong("the number is too large"))
    }
    /// Quoted string or literal. 8-bit bytes in quotes are taken (clients send raw UTF-8).
    pub(crate) fn string(&mut self) -> Result<Cow<'a, [u8]>, Wrong> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => self.literal().map(Cow::Borrowed),
            _ => Err(Wrong("a string is missing")),
        }
    }
    /// Atom, quoted string or literal.
    pub(crate) fn astring(&mut self) -> Result<Cow<'a, [u8]>, Wrong> {
        match self.peek() {
            Some(b'"' | b'{') => self.string(),
            _ => some(self.take_while(is_astring_char), "a string is missing").map(Cow::Borrowed),
        }
    }
    /// A string or NIL.
    pub(crate) fn nstring(&mut self) -> Result<Option<Cow<'a, [u8]>>, Wrong> {
        if self.eat_word("NIL") { Ok(None) } else { self.string().map(Some) }
    }
    /// A mailbox name, decoded; `None` if it is none in the form that counts.
    pub(crate) fn mailbox(&mut self) -> Result<Option<String>, Wrong> {
        let name = self.astring()?;
        Ok(self.text.read_mailbox(&name))
    }
    /// The form that names of mailboxes have.
    pub(crate) fn text(&self) -> Text {
        self.text
    }
    /// A sequence set.
    pub(crate) fn set(&mut self) -> Result<SeqSet, Wrong> {
        let text = self.take_while(|b| b.is_ascii_digit() || matches!(b, b'*' | b':' | b','));
        SeqSet::parse(text).ok_or(Wrong("the sequence set is wrong"))
    }
    /// A sequence set, or `$` (RFC 5182).
    pub(crate) fn targets(&mut self) -> Result<Targets, Wrong> {
        if self.eat(b'$') { Ok(Targets::Saved) } else { self.set().map(Targets::Set) }
    }
    /// Whether a sequence set is next.
    pub(crate) fn at_set(&self) -> bool {
        self.peek().is_some_and(|b| b.is_ascii_digit() || b == b'*')
    }

    fn quoted(&mut self) -> Result<Cow<'a, [u8]>, Wrong> {
        let open = Wrong("a quoted string is not closed");
        self.byte(b'"', open.0)?;
        let plain = self.take_while(|b| !matches!(b, b'"' | b'\\' | 0 | b'\r' | b'\n'));
        if self.eat(b'"') {
            return Ok(Cow::Borrowed(plain));
        }
        let mut out = plain.to_vec();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(out));
                }
                Some(b'\\') => {
                    self.at += 1;
                    let escaped = self.peek().filter(|b| matches!(b, b'"' | b'\\'));
                    out.push(escaped.ok_or(Wrong("only \\ and \" are escaped in a quoted string"))?);
                    self.at += 1;
                }
                Some(b) if !matches!(b, 0 | b'\r' | b'\n') => {
                    self.at += 1;
                    out.push(b);
                }
                _ => return Err(open),
            }
        }
    }

    fn literal(&mut self) -> Result<&'a [u8], Wrong> {
        self.byte(b'{', "a literal is missing")?;
        let size = usize::try_from(self.number()?).map_err(|_| Wrong("the literal is too large"))?;
        self.eat(b'+');
        for b in *b"}\r\n" {
            self.byte(b, "a literal's announcement ends with the line")?;
        }
        let bytes = self.rest().get(..size).ok_or(Wrong("the literal is cut"))?;
        self.at += size;
        if bytes.contains(&0) { Err(Wrong("a literal has a NUL")) } else { Ok(bytes) }
    }
}

fn some<'a>(bytes: &'a [u8], what: &'static str) -> Result<&'a [u8], Wrong> {
    if bytes.is_empty() { Err(Wrong(what)) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_of_all_kinds() {
        for (text, expected) in [
            ("abc", Ok("abc")),
            ("a]b", Ok("a]b")),
            ("\"\"", Ok("")),
            ("\"a b\"", Ok("a b")),
            ("\"a\\\"\\\\b\"", Ok("a\"\\b")),
            ("{3}\r\na b", Ok("a b")),
            ("{3+}\r\n\r\n\"", Ok("\r\n\"")),
            ("{0}\r\n", Ok("")),
            ("\"a", Err(Wrong("a quoted string is not closed"))),
            ("\"a\\n\"", Err(Wrong("only \\ and \" are escaped in a quoted string"))),
            ("{3}\r\nab", Err(Wrong("the literal is cut"))),
            ("{3}ab", Err(Wrong("a literal's announcement ends with the line"))),
            ("{1}\r\n\0", Err(Wrong("a literal has a NUL"))),
            ("(", Err(Wrong("a string is missing"))),
            ("\u{fc}", Err(Wrong("a string is missing"))),
        ] {
            let found = Cursor::new(text.as_bytes()).astring();
            assert_eq!(found.as_deref(), expected.as_ref().map(|s| s.as_bytes()), "{text:?}");
        }
        assert_eq!(Cursor::new(b"nil").nstring(), Ok(None));
        assert_eq!(Cursor::new(b"\"nil\"").nstring().unwrap().as_deref(), Some(b"nil".as_slice()));
    }

    #[test]
    fn words_end_where_atoms_end() {
        let mut c = Cursor::new(b"Return (x");
        assert!(!c.eat_word("RET") && c.eat_word("RETURN") && c.eat(b' ') && c.eat(b'('));
        assert!(c.end().is_err());
        assert_eq!(Cursor::new(b"18446744073709551616").number(), Err(Wrong("the number is too large")));
    }
}
