//! Text files: which characters their bytes mean.
//!
//! A byte order mark decides; else UTF-8 where it is that, else Windows-1252, which has a character for every byte.

use encoding_rs::{Encoding, WINDOWS_1252};
use std::borrow::Cow;

/// The text, line ends as LF.
pub(crate) fn decode(bytes: &[u8]) -> String {
    let text: Cow<'_, str> = match Encoding::for_bom(bytes) {
        Some((encoding, mark)) => encoding.decode_without_bom_handling(&bytes[mark..]).0,
        None => match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0,
        },
    };
    text.replace("\r\n", "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_then_utf_8_then_western() {
        assert_eq!(decode(b"a\r\nb"), "a\nb");
        assert_eq!(decode("gr\u{fc}n".as_bytes()), "gr\u{fc}n");
        assert_eq!(decode(b"gr\xfcn"), "gr\u{fc}n");
        assert_eq!(decode(b"\xef\xbb\xbfx"), "x");
        assert_eq!(decode(b"\xff\xfeg\0\xfc\0"), "g\u{fc}");
        assert_eq!(decode(b"\xfe\xff\0g"), "g");
    }
}
