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

/// A mailbox name, given as text.
pub(crate) fn mailbox(name: &str, out: &mut Vec<u8>) {
    if name == "INBOX" {
        out.extend_from_slice(b"INBOX");
    } else {
        string(mutf7::encode(name).as_bytes(), out);
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
        assert_eq!(of(|o| mailbox("Entw\u{fc}rfe \"x\"", o)), b"\"Entw&APw-rfe \\\"x\\\"\"");
        assert_eq!(of(|o| body(b"a\0b\0", o)), b"a\x80b\x80");
    }
}
