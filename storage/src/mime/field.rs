//! Header fields of a header block: names and raw values, in order.
//!
//! Borrows from the block, decodes nothing; linear in the block. Lines without a colon belong to no field and are passed
//! over, with their continuations (RFC 5322 §2.2.3).

use std::borrow::Cow;

/// One field as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raw<'a> {
    /// The name without colon and without the blanks before it (obsolete syntax, RFC 5322 §4.5).
    pub name: &'a [u8],
    /// All after the colon, folded as it is, without the last line end.
    pub value: &'a [u8],
}

impl<'a> Raw<'a> {
    /// Whether this is the field `name`, case apart.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value on one line, blanks around it cut: every line end goes, the blank after it stays as it is.
    #[must_use]
    pub fn unfolded(&self) -> Cow<'a, [u8]> {
        unfold(self.value)
    }
}

/// The fields of a header block.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Reads `block`, with or without its closing blank line.
    #[must_use]
    pub fn new(block: &'a [u8]) -> Self {
        Fields { rest: block }
    }

    /// The next line with its continuations; `None` at the end or at the blank line.
    fn folded_line(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() || self.rest.starts_with(b"\n") || self.rest.starts_with(b"\r\n") {
            return None;
        }
        let mut end = 0;
        loop {
            match memchr::memchr(b'\n', &self.rest[end..]) {
                None => {
                    end = self.rest.len();
                    break;
                }
                Some(at) => end += at + 1,
            }
            if !matches!(self.rest.get(end), Some(b' ' | b'\t')) {
                break;
            }
        }
        let (line, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(line)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Raw<'a>;

    fn next(&mut self) -> Option<Raw<'a>> {
        loop {
            let line = self.folded_line()?;
            if matches!(line.first(), Some(b' ' | b'\t')) {
                continue;
            }
            // A colon counts on the field's first line only: a folded line without one has no name.
            let first = memchr::memchr(b'\n', line).unwrap_or(line.len());
            let Some(colon) = memchr::memchr(b':', &line[..first]) else { continue };
            let name = line[..colon].trim_ascii_end();
            let value = &line[colon + 1..];
            let value = value.strip_suffix(b"\n").unwrap_or(value);
            let value = value.strip_suffix(b"\r").unwrap_or(value);
            return Some(Raw { name, value });
        }
    }
}

/// Unfolds a value (RFC 5322 §2.2.3) and cuts the blanks around it. CR and LF never remain.
#[must_use]
pub fn unfold(value: &[u8]) -> Cow<'_, [u8]> {
    let value = value.trim_ascii();
    let mut ends = memchr::memchr2_iter(b'\r', b'\n', value).peekable();
    if ends.peek().is_none() {
        return Cow::Borrowed(value);
    }
    let (mut out, mut start) = (Vec::with_capacity(value.len()), 0);
    for end in ends {
        out.extend_from_slice(&value[start..end]);
        start = end + 1;
    }
    out.extend_from_slice(&value[start..]);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(block: &[u8]) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Fields::new(block).map(|field| (text(field.name), text(&field.unfolded()))).collect()
    }

    #[test]
    fn fields_fold_and_end_at_the_blank_line() {
        let block = b"A: 1\r\nB : two\r\n\tlines\r\n  more\r\nno colon\r\n with: continuation\r\nC:\r\n\r\nD: body\r\n";
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(all(block), [pair("A", "1"), pair("B", "two\tlines  more"), pair("C", "")]);
    }

    #[test]
    fn a_block_may_begin_with_a_continuation_or_end_anywhere() {
        assert_eq!(all(b" x: y\r\nA: 1"), [("A".to_owned(), "1".to_owned())]);
        assert_eq!(all(b""), []);
        assert_eq!(all(b"\r\nA: 1"), []);
        assert_eq!(all(b"A:\r\n"), [("A".to_owned(), String::new())]);
    }

    #[test]
    fn unfolding_leaves_no_line_end() {
        assert_eq!(&*unfold(b" a\r\n b\rc\nd "), b"a bcd");
    }
}
