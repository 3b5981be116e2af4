//! Writes the small pieces of answers: numbers, strings, mailbox names.
//!
//! Invariant: what is written stays on one line and reads back as what was meant, whatever the input.

use super::mutf7;

/// A decimal number.
pub(crate) fn number(n: u64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut n = n;
    loop {
        at -= 1;
        if let Some(d) = digits.get_mut(at) {
            *d = b'0' + (n % 10) as u8;
        }
        n /= 10;
        if n == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

/// A quoted string, or a literal where quoting can't carry the bytes.
pub(crate) fn string(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.iter().any(|&b| b == 0 || b == b'\r' || b == b'\n' || b >= 0x80) {
        out.push(b'{');
        number(bytes.len() as u64, out);
        out.extend_from_slice(b"}\r\n");
        out.extend(bytes.iter().map(|&b| if b == 0 { NUL } else { b }));
        return;
    }
    quoted(bytes, out);
}

fn quoted(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for &b in bytes {
        if b == b'"' || b == b'\\' {
            out.push(b'\\');
        }
        out.push(b);
    }
    out.push(b'"');
}

/// An astring: an atom where it can be one.
pub(crate) fn astring(bytes: &[u8], out: &mut Vec<u8>) {
    if !bytes.is_empty() && bytes.iter().all(|&b| super::parse::is_astring_char(b)) {
        out.extend_from_slice(bytes);
    } else {
        string(bytes, out);
    }
}

/// How a client has text beyond ASCII.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Text {
    /// Names in modified UTF-7 (RFC 3501 §5.1.3), other strings in literals.
    #[default]
    Coded,
    /// As UTF-8 in quoted strings (RFC 6855 §3, RFC 9051 §9 `QUOTED-CHAR`).
    Utf8,
}

impl Text {
    /// A quoted string, or a literal where quoting can't carry the bytes.
    pub(crate) fn string(self, bytes: &[u8], out: &mut Vec<u8>) {
        let quotable = |bytes: &[u8]| !bytes.iter().any(|b| matches!(b, 0 | b'\r' | b'\n'));
        if self == Text::Utf8 && quotable(bytes) && std::str::from_utf8(bytes).is_ok() {
            quoted(bytes, out);
        } else {
            string(bytes, out);
        }
    }

    /// A mailbox name.
    pub(crate) fn mailbox(self, name: &str, out: &mut Vec<u8>) {
        if name == "INBOX" {
            out.extend_from_slice(b"INBOX");
            return;
        }
        match self {
            Text::Coded => string(mutf7::encode(name).as_bytes(), out),
            Text::Utf8 => self.string(name.as_bytes(), out),
        }
    }

    /// Reads a mailbox name; `None` if it is none in this form.
    pub(crate) fn read_mailbox(self, bytes: &[u8]) -> Option<String> {
        match self {
            Text::Coded => mutf7::decode(bytes),
            Text::Utf8 => std::str::from_utf8(bytes).ok().map(str::to_owned),
        }
    }
}

/// What stands for a NUL, which no literal can carry (RFC 3501 §9 CHAR8): one octet, so that sizes stay.
/// Dovecot writes the same octet.
pub(crate) const NUL: u8 = 0x80;

/// Appends message bytes; each NUL becomes [`NUL`].
pub(crate) fn body(bytes: &[u8], out: &mut Vec<u8>) {
    let from = out.len();
    out.extend_from_slice(bytes);
    if memchr::memchr(0, bytes).is_some() {
        for b in out.iter_mut().skip(from).filter(|b| **b == 0) {
            *b = NUL;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(f: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        f(&mut out);
        out
    }

    #[test]
    fn pieces() {
        assert_eq!(of(|o| number(0, o)), b"0");
        assert_eq!(of(|o| number(u64::MAX, o)), b"18446744073709551615");
        assert_eq!(of(|o| string(b"a\"\\b", o)), b"\"a\\\"\\\\b\"");
        assert_eq!(of(|o| string(b"a\r\n\0\xff", o)), b"{5}\r\na\r\n\x80\xff");
        assert_eq!(of(|o| astring(b"", o)), b"\"\"");
        assert_eq!(of(|o| astring(b"X-Y", o)), b"X-Y");
        assert_eq!(of(|o| astring(b"a b", o)), b"\"a b\"");
        let name = "Entw\u{fc}rfe & \"x\"";
        assert_eq!(of(|o| Text::Coded.mailbox(name, o)), b"\"Entw&APw-rfe &- \\\"x\\\"\"");
        assert_eq!(of(|o| Text::Utf8.mailbox(name, o)), "\"Entw\u{fc}rfe & \\\"x\\\"\"".as_bytes());
        assert_eq!(of(|o| Text::Utf8.string("\u{fc}\r\n".as_bytes(), o)), "{4}\r\n\u{fc}\r\n".as_bytes());
        assert_eq!(of(|o| Text::Utf8.string(b"\xff", o)), b"{1}\r\n\xff");
        // Forms that are longer than need be, halves of surrogate pairs: no UTF-8 (RFC 3629 §3).
        for bad in [&b"\xc0\xaf"[..], b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xff", b"a\xc3"] {
            assert_eq!(Text::Utf8.read_mailbox(bad), None);
        }
        assert_eq!(Text::Utf8.read_mailbox(b"Entw&APw-rfe").as_deref(), Some("Entw&APw-rfe"));
        assert_eq!(of(|o| Text::Coded.string("\u{fc}".as_bytes(), o)), "{2}\r\n\u{fc}".as_bytes());
        assert_eq!(of(|o| body(b"a\0b\0", o)), b"a\x80b\x80");
    }
}
