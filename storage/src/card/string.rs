//! IMAP strings (RFC 9051 §4.3): quoted where that is allowed, a literal otherwise.
//!
//! Header text may hold any byte. 8-bit is not allowed in quoted strings before UTF8=ACCEPT (RFC 3501 §9, TEXT-CHAR), so
//! such text goes as a literal, whose octets are `%x01-FF` (CHAR8). NUL is not among those: it becomes 0x80, as
//! Dovecot and Cyrus show it, so that sizes stay what they were.

/// Strings longer than this go as literals: a client's line buffer is bounded.
const MAX_QUOTED: usize = 4_096;

/// Appends `text` as a string.
pub(super) fn put(text: &[u8], out: &mut Vec<u8>) {
    let plain = |&byte: &u8| byte != 0 && byte < 0x80 && byte != b'\r' && byte != b'\n';
    if text.len() <= MAX_QUOTED && text.iter().all(plain) {
        out.push(b'"');
        for &byte in text {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
        out.push(b'"');
    } else {
        out.extend_from_slice(format!("{{{}}}\r\n", text.len()).as_bytes());
        out.extend(text.iter().map(|&byte| if byte == 0 { 0x80 } else { byte }));
    }
}

/// Appends a string, or NIL.
pub(super) fn put_or_nil(text: Option<&[u8]>, out: &mut Vec<u8>) {
    match text {
        Some(text) => put(text, out),
        None => out.extend_from_slice(b"NIL"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_quoted_or_literals() {
        for (text, expected) in [
            (&b""[..], &b"\"\""[..]),
            (b"a \"b\" \\", b"\"a \\\"b\\\" \\\\\""),
            (b"tab\t", b"\"tab\t\""),
            (b"h\xc3\xa4", b"{3}\r\nh\xc3\xa4"),
            (b"a\0b", b"{3}\r\na\x80b"),
            (b"a\r\nb", b"{4}\r\na\r\nb"),
        ] {
            let mut out = Vec::new();
            put(text, &mut out);
            assert_eq!(out, expected);
        }
        let mut out = Vec::new();
        put(&[b'x'; MAX_QUOTED], &mut out);
        assert!(out.starts_with(b"\"x"));
        out.clear();
        put(&[b'x'; MAX_QUOTED + 1], &mut out);
        assert!(out.starts_with(b"{4097}\r\nx"));
    }
}
