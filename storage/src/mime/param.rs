//! Structured MIME fields: Content-Type, Content-Disposition and the like, with parameters (RFC 2045 §5.1, RFC 2231).
//!
//! Tolerant as the world's mail demands, linear in the field's length. Values are bytes, quoting undone, charsets untouched.

use super::field::Fields;

/// A parameter: name as written, value with quoting undone.
pub type Param = (Vec<u8>, Vec<u8>);

/// A Content-Type that could be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentType {
    /// The type as written.
    pub main: Vec<u8>,
    /// The subtype as written.
    pub sub: Vec<u8>,
    /// Parameters in order, RFC 2231 continuations joined.
    pub params: Vec<Param>,
}

impl ContentType {
    /// Parses an unfolded or folded value; `None` when it has no type and subtype (RFC 2045 §5.2 then recommends the default).
    #[must_use]
    pub fn parse(value: &[u8]) -> Option<ContentType> {
        let mut lexer = Lexer::new(value);
        let main = lexer.token();
        lexer.skip_blanks();
        if main.is_empty() || !lexer.eat(b'/') {
            return None;
        }
        lexer.skip_blanks();
        let sub = lexer.token();
        if sub.is_empty() {
            return None;
        }
        Some(ContentType { main, sub, params: lexer.params() })
    }

    /// The Content-Type of a header block: the first field of that name decides.
    #[must_use]
    pub fn of(block: &[u8]) -> Option<ContentType> {
        Fields::new(block)
            .find(|field| field.is("Content-Type"))
            .and_then(|field| ContentType::parse(field.value))
    }

    /// Whether this is `main/sub`, case apart.
    #[must_use]
    pub fn is(&self, main: &str, sub: &str) -> bool {
        self.main_is(main) && self.sub.eq_ignore_ascii_case(sub.as_bytes())
    }

    /// Whether the type is `main`, case apart.
    #[must_use]
    pub fn main_is(&self, main: &str) -> bool {
        self.main.eq_ignore_ascii_case(main.as_bytes())
    }

    /// The first parameter `name`, case apart.
    #[must_use]
    pub fn param(&self, name: &str) -> Option<&[u8]> {
        find(&self.params, name)
    }
}

/// The first parameter `name`, case apart.
#[must_use]
pub fn find<'a>(params: &'a [Param], name: &str) -> Option<&'a [u8]> {
    params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| &**value)
}

/// A token and its parameters: Content-Disposition. `None` without a token.
#[must_use]
pub fn token_with_params(value: &[u8]) -> Option<(Vec<u8>, Vec<Param>)> {
    let mut lexer = Lexer::new(value);
    let token = lexer.token();
    if token.is_empty() { None } else { Some((token, lexer.params())) }
}

/// A token alone: Content-Transfer-Encoding. `None` without one, or with other words behind it.
#[must_use]
pub fn encoding(value: &[u8]) -> Option<Vec<u8>> {
    let mut lexer = Lexer::new(value);
    let token = lexer.token();
    lexer.skip_blanks();
    let alone = matches!(lexer.rest.first(), None | Some(b';'));
    if token.is_empty() || !alone { None } else { Some(token) }
}

/// The Content-Transfer-Encoding of a header block: of several fields the first readable one decides.
#[must_use]
pub fn encoding_of(block: &[u8]) -> Option<Vec<u8>> {
    let mut fields = Fields::new(block).filter(|field| field.is("Content-Transfer-Encoding"));
    fields.find_map(|field| encoding(field.value))
}

/// The tokens of a comma-separated list: Content-Language.
#[must_use]
pub fn tokens(value: &[u8]) -> Vec<Vec<u8>> {
    let mut lexer = Lexer::new(value);
    let mut found = Vec::new();
    while !lexer.rest.is_empty() {
        let token = lexer.token();
        if !token.is_empty() {
            found.push(token);
        }
        lexer.skip_to(b",");
        lexer.eat(b',');
        lexer.skip_blanks();
    }
    found
}

struct Lexer<'a> {
    rest: &'a [u8],
}

impl<'a> Lexer<'a> {
    fn new(value: &'a [u8]) -> Self {
        let mut lexer = Lexer { rest: value };
        lexer.skip_blanks();
        lexer
    }

    fn eat(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((&first, rest)) if first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Passes white space and comments, which nest (RFC 5322 §3.2.2).
    fn skip_blanks(&mut self) {
        let mut depth = 0_usize;
        while let Some((&byte, rest)) = self.rest.split_first() {
            match byte {
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b'\\' if depth > 0 => {
                    self.rest = rest.get(1..).unwrap_or_default();
                    continue;
                }
                b' ' | b'\t' | b'\r' | b'\n' => {}
                _ if depth > 0 => {}
                _ => return,
            }
            self.rest = rest;
        }
    }

    fn skip_to(&mut self, stops: &[u8]) {
        let at = self.rest.iter().position(|byte| stops.contains(byte)).unwrap_or(self.rest.len());
        self.rest = &self.rest[at..];
    }

    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> &'a [u8] {
        let end = self.rest.iter().position(|&byte| !belongs(byte)).unwrap_or(self.rest.len());
        let (run, rest) = self.rest.split_at(end);
        self.rest = rest;
        run
    }

    /// RFC 2045 §5.1 token; 8-bit bytes are let through.
    fn token(&mut self) -> Vec<u8> {
        self.run(is_token).to_vec()
    }

    fn quoted(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut bytes = self.rest.iter().copied().enumerate();
        let mut end = None;
        let mut first_line = None;
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'"' => {
                    end = Some(at + 1);
                    break;
                }
                b'\\' => {
                    if let Some((_, escaped)) = bytes.next() {
                        out.push(escaped);
                    }
                }
                // Folded inside the quotes: the line end isn't part of the value (RFC 5322 §2.2.3).
                b'\r' | b'\n' => {
                    first_line.get_or_insert((at, out.len()));
                }
                other => out.push(other),
            }
        }
        // A quote that nothing closes: the value ends with its line, not with the header.
        let end = match (end, first_line) {
            (Some(end), _) => end,
            (None, Some((at, len))) => {
                out.truncate(len);
                at
            }
            (None, None) => self.rest.len(),
        };
        self.rest = &self.rest[end..];
        out
    }

    /// Everything from here on as parameters; what can't be one is passed over up to the next semicolon.
    fn params(&mut self) -> Vec<Param> {
        let mut found = Vec::new();
        loop {
            self.skip_blanks();
            self.skip_to(b";");
            if !self.eat(b';') {
                break;
            }
            self.skip_blanks();
            let name = self.token();
            self.skip_blanks();
            if name.is_empty() || !self.eat(b'=') {
                continue;
            }
            self.skip_blanks();
            // An unquoted value may hold what RFC 2045 wants quoted: `boundary=----=_Part/1` is all over the world's mail.
            let value = if self.eat(b'"') {
                self.quoted()
            } else {
                self.run(|byte| byte > b' ' && !matches!(byte, b';' | b'"' | 0x7f)).to_vec()
            };
            found.push((name, value));
        }
        join_continuations(found)
    }
}

fn is_token(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f && !b"()<>@,;:\\\"/[]?=".contains(&byte)
}

/// One segment of a continued parameter (RFC 2231 §3).
struct Segment {
    place: usize,
    number: u32,
    encoded: bool,
    value: Vec<u8>,
}

/// Joins `name*0`, `name*1*` … into one parameter, as RFC 2231 §6 asks of IMAP servers. What is percent-encoded with a
/// charset stays so, under `name*`.
fn join_continuations(params: Vec<Param>) -> Vec<Param> {
    if !params.iter().any(|(name, _)| split_number(name).is_some()) {
        return params;
    }
    let mut plain = Vec::new();
    let mut groups: std::collections::HashMap<Vec<u8>, (Vec<u8>, Vec<Segment>)> =
        std::collections::HashMap::new();
    for (place, (name, value)) in params.into_iter().enumerate() {
        match split_number(&name) {
            None => plain.push((place, (name, value))),
            Some((base, number, encoded)) => {
                let key = base.to_ascii_lowercase();
                let group = groups.entry(key).or_insert_with(|| (base.to_vec(), Vec::new()));
                group.1.push(Segment { place, number, encoded, value });
            }
        }
    }
    for (base, mut segments) in groups.into_values() {
        segments.sort_by_key(|segment| (segment.number, segment.place));
        let place = segments.iter().map(|segment| segment.place).min().unwrap_or_default();
        let encoded = segments.iter().any(|segment| segment.encoded);
        let mut name = base;
        let mut value = Vec::new();
        if encoded {
            name.push(b'*');
            if !segments.first().is_some_and(|segment| segment.encoded) {
                value.extend_from_slice(b"''");
            }
        }
        let mut expected = 0;
        for segment in segments {
            // A gap ends the value; a number that comes again is not part of it.
            if segment.number != expected {
                if segment.number < expected {
                    continue;
                }
                break;
            }
            expected += 1;
            if encoded && !segment.encoded {
                percent_encode(&segment.value, &mut value);
            } else {
                value.extend_from_slice(&segment.value);
            }
        }
        if expected > 0 {
            plain.push((place, (name, value)));
        }
    }
    plain.sort_by_key(|(place, _)| *place);
    plain.into_iter().map(|(_, param)| param).collect()
}

/// `name*12*` is (`name`, 12, encoded).
fn split_number(name: &[u8]) -> Option<(&[u8], u32, bool)> {
    let star = memchr::memchr(b'*', name)?;
    let rest = &name[star + 1..];
    let (digits, encoded) = match rest.strip_suffix(b"*") {
        Some(digits) => (digits, true),
        None => (rest, false),
    };
    if digits.is_empty() || digits.len() > 9 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0_u32, |sum, digit| sum * 10 + u32::from(digit - b'0'));
    Some((&name[..star], number, encoded))
}

fn percent_encode(value: &[u8], out: &mut Vec<u8>) {
    for &byte in value {
        if is_token(byte) && byte < 0x80 && !matches!(byte, b'*' | b'\'' | b'%') {
            out.push(byte);
        } else {
            out.push(b'%');
            out.extend_from_slice(hex::encode_upper([byte]).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(value: &str) -> Vec<(String, String)> {
        let found = ContentType::parse(value.as_bytes()).map(|found| found.params).unwrap_or_default();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        found.into_iter().map(|(name, value)| (text(name), text(value))).collect()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn parameters_quoted_commented_and_broken() {
        for (value, expected) in [
            ("text/plain", vec![]),
            ("text/plain; charset=us-ascii (Plain text)", vec![pair("charset", "us-ascii")]),
            ("text (a (b) \\) c) / plain ; charset = \"utf-8\"", vec![pair("charset", "utf-8")]),
            ("a/b; x=\"a\\\"b;c\"; y=d;; ; z", vec![pair("x", "a\"b;c"), pair("y", "d")]),
            ("a/b; boundary=----=_Part/1:2", vec![pair("boundary", "----=_Part/1:2")]),
            ("a/b; x=a b; y=c", vec![pair("x", "a"), pair("y", "c")]),
            ("a/b; x=\"open\r\n y=z", vec![pair("x", "open")]),
            ("a/b; x=\"open", vec![pair("x", "open")]),
            ("a/b; x=", vec![pair("x", "")]),
            ("a/b; x=\"two\r\n lines\"", vec![pair("x", "two lines")]),
        ] {
            assert_eq!(params(value), expected, "{value}");
        }
    }

    #[test]
    fn rfc_2231_continuations_are_joined() {
        for (value, expected) in [
            ("a/b; URL*0=\"ftp://\"; URL*1=\"cs.utk.edu\"", vec![pair("URL", "ftp://cs.utk.edu")]),
            ("a/b; t*=us-ascii'en-us'This%20is", vec![pair("t*", "us-ascii'en-us'This%20is")]),
            (
                "a/b; t*0*=us-ascii'en'This%20is%20even%20more%20; t*1*=%2A%2A%2Afun%2A%2A%2A%20; t*2=\"isn't it!\"",
                vec![pair(
                    "t*",
                    "us-ascii'en'This%20is%20even%20more%20%2A%2A%2Afun%2A%2A%2A%20isn%27t%20it!",
                )],
            ),
            ("a/b; n*1=b; m=x; n*0=a", vec![pair("n", "ab"), pair("m", "x")]),
            ("a/b; n*0=a; n*2=c", vec![pair("n", "a")]),
            ("a/b; n*1=b", vec![]),
            ("a/b; n*0=a; n*1*=%20b", vec![pair("n*", "''a%20b")]),
        ] {
            assert_eq!(params(value), expected, "{value}");
        }
    }

    #[test]
    fn no_type_is_no_content_type() {
        for value in ["", "text", "text/", "/plain", ";", "(text/plain)", "=/="] {
            assert_eq!(ContentType::parse(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn a_million_parameters_are_read_in_one_pass() {
        let mut value = b"a/b".to_vec();
        for _ in 0..1_000_000 {
            value.extend_from_slice(b";a*1=b");
        }
        assert_eq!(ContentType::parse(&value).map(|found| found.params.len()), Some(0));
    }

    #[test]
    fn lists_of_tokens() {
        assert_eq!(tokens(b"en, de (German) ,, fr x"), [b"en".to_vec(), b"de".to_vec(), b"fr".to_vec()]);
        assert_eq!(token_with_params(b"attachment; filename=a.txt").map(|found| found.1.len()), Some(1));
        for (value, expected) in [
            ("base64", Some("base64")),
            (" BASE64 (so it says)", Some("BASE64")),
            ("quoted-printable;", Some("quoted-printable")),
            ("quoted printable", None),
            ("text/html", None),
            ("", None),
        ] {
            assert_eq!(encoding(value.as_bytes()).as_deref(), expected.map(str::as_bytes), "{value}");
        }
        assert_eq!(token_with_params(b"; filename=a.txt"), None);
    }
}
