//! ENVELOPE and BODYSTRUCTURE read by the letter of RFC 3501 §9: a strict parser that shares nothing with the server.
//!
//! It gives no values, only the place where the bytes stop being what the grammar allows. Depth is bounded by the
//! server's own bound on MIME depth, so recursion is, too.

use anyhow::{Context, bail, ensure};

/// Checks `envelope` (RFC 3501 §9).
/// # Errors
/// The first violation.
pub fn envelope(bytes: &[u8]) -> crate::Result {
    let mut reader = Reader { bytes, at: 0 };
    reader.envelope()?;
    reader.end()
}

/// Checks `body`, as BODYSTRUCTURE gives it (`extended`) or BODY.
/// # Errors
/// The first violation.
pub fn body(bytes: &[u8], extended: bool) -> crate::Result {
    let mut reader = Reader { bytes, at: 0 };
    reader.body(extended)?;
    reader.end()
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }
    fn eat(&mut self, byte: u8) -> crate::Result {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        self.fail(&format!("expected {:?}", char::from(byte)))
    }
    fn space(&mut self) -> crate::Result {
        self.eat(b' ')
    }
    fn fail(&self, what: &str) -> crate::Result {
        let from = self.at.saturating_sub(40);
        let to = self.bytes.len().min(self.at + 40);
        let (before, after) = (&self.bytes[from..self.at], &self.bytes[self.at..to]);
        bail!("{what} between {:?} and {:?}", String::from_utf8_lossy(before), String::from_utf8_lossy(after))
    }
    fn end(&self) -> crate::Result {
        if self.at == self.bytes.len() { Ok(()) } else { self.fail("expected the end") }
    }
    fn is_nil(&self) -> bool {
        self.bytes[self.at..].get(..3).is_some_and(|word| word.eq_ignore_ascii_case(b"NIL"))
    }
    fn nil(&mut self) -> bool {
        let found = self.is_nil();
        self.at += if found { 3 } else { 0 };
        found
    }
    /// `string`: quoted, of TEXT-CHAR (7 bit, no CR, LF, NUL), or a literal of CHAR8 (no NUL).
    fn string(&mut self) -> crate::Result {
        match self.peek() {
            Some(b'"') => {
                self.at += 1;
                loop {
                    match self.peek() {
                        Some(b'"') => {
                            self.at += 1;
                            return Ok(());
                        }
                        Some(b'\\') => {
                            self.at += 1;
                            if !matches!(self.peek(), Some(b'"' | b'\\')) {
                                return self.fail("only \" and \\ are escaped");
                            }
                            self.at += 1;
                        }
                        Some(0 | b'\r' | b'\n' | 0x80..) | None => return self.fail("not a TEXT-CHAR"),
                        Some(_) => self.at += 1,
                    }
                }
            }
            Some(b'{') => {
                self.at += 1;
                let length = usize::try_from(self.number()?)?;
                self.eat(b'}')?;
                self.eat(b'\r')?;
                self.eat(b'\n')?;
                let content = self.bytes.get(self.at..self.at + length).context("a literal is cut")?;
                ensure!(!content.contains(&0), "a NUL in a literal");
                self.at += length;
                Ok(())
            }
            _ => self.fail("expected a string"),
        }
    }
    fn nstring(&mut self) -> crate::Result {
        if self.nil() { Ok(()) } else { self.string() }
    }
    /// `number`: an unsigned 32-bit integer.
    fn number(&mut self) -> crate::Result<u32> {
        let from = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        let text = std::str::from_utf8(&self.bytes[from..self.at])?;
        text.parse().with_context(|| format!("not a number: {text:?}"))
    }
    fn envelope(&mut self) -> crate::Result {
        self.eat(b'(')?;
        // env-date, env-subject
        self.nstring()?;
        self.space()?;
        self.nstring()?;
        // from, sender, reply-to, to, cc, bcc
        for _ in 0..6 {
            self.space()?;
            self.addresses()?;
        }
        // in-reply-to, message-id
        self.space()?;
        self.nstring()?;
        self.space()?;
        self.nstring()?;
        self.eat(b')')
    }
    /// `"(" 1*address ")" / nil`; no blank between addresses.
    fn addresses(&mut self) -> crate::Result {
        if self.nil() {
            return Ok(());
        }
        self.eat(b'(')?;
        loop {
            self.eat(b'(')?;
            self.nstring()?;
            for _ in 0..3 {
                self.space()?;
                self.nstring()?;
            }
            self.eat(b')')?;
            if self.peek() == Some(b')') {
                return self.eat(b')');
            }
        }
    }
    fn body(&mut self, extended: bool) -> crate::Result {
        self.eat(b'(')?;
        if self.peek() == Some(b'(') {
            // body-type-mpart: 1*body SP media-subtype [SP body-ext-mpart]
            while self.peek() == Some(b'(') {
                self.body(extended)?;
            }
            self.space()?;
            self.string()?;
            if extended && self.peek() == Some(b' ') {
                self.space()?;
                self.parameters()?;
                self.extension()?;
            }
        } else {
            self.leaf(extended)?;
        }
        self.eat(b')')
    }
    fn leaf(&mut self, extended: bool) -> crate::Result {
        let media = self.token()?;
        self.space()?;
        let subtype = self.token()?;
        self.space()?;
        // body-fields: param id desc enc octets
        self.parameters()?;
        self.space()?;
        self.nstring()?;
        self.space()?;
        self.nstring()?;
        self.space()?;
        self.string()?;
        self.space()?;
        self.number()?;
        // RFC 9051 §9, media-message, adds the mail of RFC 6532 to that of RFC 3501.
        if media.eq_ignore_ascii_case("message")
            && ["rfc822", "global"].iter().any(|known| subtype.eq_ignore_ascii_case(known))
        {
            self.space()?;
            self.envelope()?;
            self.space()?;
            self.body(extended)?;
            self.space()?;
            self.number()?;
        } else if media.eq_ignore_ascii_case("text") {
            self.space()?;
            self.number()?;
        }
        if extended && self.peek() == Some(b' ') {
            // body-fld-md5
            self.space()?;
            self.nstring()?;
            self.extension()?;
        }
        Ok(())
    }
    /// `[SP body-fld-dsp [SP body-fld-lang [SP body-fld-loc *(SP body-extension)]]]`
    fn extension(&mut self) -> crate::Result {
        if self.peek() != Some(b' ') {
            return Ok(());
        }
        self.space()?;
        if !self.nil() {
            self.eat(b'(')?;
            self.string()?;
            self.space()?;
            self.parameters()?;
            self.eat(b')')?;
        }
        if self.peek() != Some(b' ') {
            return Ok(());
        }
        self.space()?;
        if self.peek() == Some(b'(') {
            self.strings()?;
        } else {
            self.nstring()?;
        }
        if self.peek() != Some(b' ') {
            return Ok(());
        }
        self.space()?;
        self.nstring()
    }
    /// `"(" string SP string *(SP string SP string) ")" / nil`
    fn parameters(&mut self) -> crate::Result {
        if self.nil() {
            return Ok(());
        }
        let count = self.strings()?;
        if count % 2 == 0 { Ok(()) } else { self.fail("a parameter without a value before this") }
    }
    fn strings(&mut self) -> crate::Result<usize> {
        self.eat(b'(')?;
        self.string()?;
        let mut count = 1;
        while self.peek() == Some(b' ') {
            self.space()?;
            self.string()?;
            count += 1;
        }
        self.eat(b')')?;
        Ok(count)
    }
    /// A quoted media type or subtype.
    fn token(&mut self) -> crate::Result<String> {
        let from = self.at;
        self.string()?;
        let text = String::from_utf8_lossy(&self.bytes[from..self.at]);
        ensure!(text.len() > 2 || text.starts_with('{'), "an empty media type");
        Ok(text.trim_matches('"').to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 3501 §7.4.2 and §8 give these.
    const ENVELOPE: &str = "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"IMAP4rev1 WG mtg summary and minutes\" \
        ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) \
        ((\"Terry Gray\" NIL \"gray\" \"cac.washington.edu\")) ((NIL NIL \"imap\" \"cac.washington.edu\")) \
        ((NIL NIL \"minutes\" \"CNRI.Reston.VA.US\")(\"John Klensin\" NIL \"KLENSIN\" \"MIT.EDU\")) NIL NIL \
        \"<B27397-0100000@cac.washington.edu>\")";
    const BODY: &str = "((\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\") NIL NIL \"7BIT\" 1152 23)\
        (\"TEXT\" \"PLAIN\" (\"CHARSET\" \"US-ASCII\" \"NAME\" \"cc.diff\") \"<960723163407.20117h@cac.washington.edu>\" \
        \"Compiler diff\" \"BASE64\" 4554 73) \"MIXED\")";

    #[test]
    fn the_rfcs_examples_pass() {
        envelope(ENVELOPE.as_bytes()).unwrap();
        body(BODY.as_bytes(), false).unwrap();
        body(BODY.as_bytes(), true).unwrap();
        body(b"(\"a\" \"b\" NIL NIL NIL \"7BIT\" 1 NIL (\"inline\" (\"x\" {2}\r\n\"\\)) (\"de\" \"en\") \"loc\")", true)
            .unwrap();
    }

    #[test]
    fn what_the_grammar_forbids_fails() {
        assert!(envelope(&ENVELOPE.as_bytes()[..ENVELOPE.len() - 1]).is_err());
        assert!(envelope(ENVELOPE.replace(")) ((NIL", ")) () ((NIL").as_bytes()).is_err());
        assert!(envelope(ENVELOPE.replace("Terry", "T\u{e9}rry").as_bytes()).is_err());
        assert!(envelope(ENVELOPE.replace(")(\"John", ") (\"John").as_bytes()).is_err());
        assert!(body(BODY.replace(" \"NAME\"", "").as_bytes(), false).is_err());
        assert!(body(BODY.replace("\"7BIT\"", "NIL").as_bytes(), false).is_err());
        assert!(body(BODY.replace("1152 23", "1152").as_bytes(), false).is_err());
        assert!(body(b"(\"a\" \"b\" NIL NIL NIL \"7BIT\" 4294967296)", true).is_err());
        assert!(body(b"( \"MIXED\")", true).is_err());
    }
}
