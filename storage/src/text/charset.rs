//! Bytes in a named charset as text. Never fails: what can't be decoded becomes U+FFFD.

use encoding_rs::{Encoding, REPLACEMENT, UTF_8, WINDOWS_1252};

/// Decodes by label. An unknown label, none, or us-ascii: UTF-8 when it is that, else Latin-1 (as Windows-1252).
pub(super) fn decode(label: &[u8], bytes: &[u8]) -> String {
    let label = label.trim_ascii();
    let is = |name: &str| label.eq_ignore_ascii_case(name.as_bytes());
    if label.is_empty() || is("us-ascii") || is("ascii") || is("utf-8") || is("utf8") {
        return guess(bytes);
    }
    match Encoding::for_label(label) {
        // The encodings that browsers refuse; mail still has them.
        Some(encoding) if encoding == REPLACEMENT => by_mail_parser(label, bytes),
        Some(encoding) if encoding == UTF_8 => guess(bytes),
        Some(encoding) => encoding.decode(bytes).0.into_owned(),
        None => by_mail_parser(label, bytes),
    }
}

/// UTF-8 where it is that, else Windows-1252, which every byte is.
pub(super) fn guess(bytes: &[u8]) -> String {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        // Mostly UTF-8 with a few bytes broken: the break shows, the rest stays readable.
        Err(error) if error.valid_up_to() > 0 && has_wide(&bytes[..error.valid_up_to()]) => {
            String::from_utf8_lossy(bytes).into_owned()
        }
        Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
    }
}

/// Whether valid UTF-8 holds anything beyond ASCII.
fn has_wide(bytes: &[u8]) -> bool {
    !bytes.is_ascii()
}

/// UTF-7, the IBM code pages and others.
fn by_mail_parser(label: &[u8], bytes: &[u8]) -> String {
    // Its table looks at 45 bytes at most.
    if label.len() > 45 {
        return guess(bytes);
    }
    match mail_parser::decoders::charsets::map::charset_decoder(label) {
        Some(decoder)
            if !label.eq_ignore_ascii_case(b"iso-2022-kr") && !label.eq_ignore_ascii_case(b"hz-gb-2312") =>
        {
            decoder(bytes)
        }
        _ => guess(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn charsets() {
        for (label, bytes, expected) in [
            ("utf-8", &b"h\xc3\xa4"[..], "hä"),
            ("UTF-8", b"h\xe4", "hä"),
            ("utf-8", b"\xc3\xa4\xe4.", "ä\u{fffd}."),
            ("", b"\xef\xbb\xbfa", "a"),
            ("iso-8859-1", b"h\xe4", "hä"),
            ("iso-8859-15", b"\xa4", "€"),
            ("windows-1251", b"\xcf", "П"),
            ("koi8-r", b"\xf0", "П"),
            ("iso-2022-jp", b"\x1b$B$\"\x1b(B", "あ"),
            ("gb2312", b"\xc4\xe3", "你"),
            ("big5", b"\xa7A", "你"),
            ("ks_c_5601-1987", b"\xb0\xa1", "가"),
            ("utf-7", b"a+AOQ-b", "aäb"),
            ("ibm850", b"\x84", "ä"),
            ("no-such-thing", b"\xe4", "ä"),
            ("iso-2022-kr", b"abc", "abc"),
            (" utf-8 ", b"\xc3\xa4", "ä"),
        ] {
            assert_eq!(decode(label.as_bytes(), bytes), expected, "{label}");
        }
        assert_eq!(decode(&[b'x'; 5_000], b"a"), "a");
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_charset(
            label in "utf-7|utf-16|utf-16le|utf-16be|iso-2022-jp|iso-2022-kr|hz-gb-2312|gb18030|big5|shift_jis|euc-jp|ibm850|cp437|x-mac-roman|[a-z0-9_-]{1,12}",
            bytes in proptest::collection::vec(any::<u8>(), 0..200)
        ) {
            drop(decode(label.as_bytes(), &bytes));
        }
    }
}
