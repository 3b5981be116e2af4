//! Content-Transfer-Encodings undone (RFC 2045 §6), leniently.
//!
//! base64 is decoded up to the first line that is none; what follows (a footer that a list added) is taken as it stands.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::borrow::Cow;

/// Decodes by the encoding's name; an unknown one is taken as none.
pub(super) fn decode<'a>(encoding: &[u8], bytes: &'a [u8]) -> Cow<'a, [u8]> {
    if encoding.eq_ignore_ascii_case(b"base64") {
        Cow::Owned(base64(bytes))
    } else if encoding.eq_ignore_ascii_case(b"quoted-printable") {
        Cow::Owned(quoted_printable(bytes))
    } else {
        Cow::Borrowed(bytes)
    }
}

/// base64 line by line.
pub(super) fn base64(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() / 4 * 3);
    let mut bits = Bits::default();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(end);
        if bits.count == 0 && push_quanta(line, &mut out) {
            rest = after;
            continue;
        }
        if !line.iter().all(|&byte| byte == b'=' || byte.is_ascii_whitespace() || sextet(byte).is_some()) {
            // The encoded text may lack its last line end; the footer doesn't belong to its last word.
            if !out.is_empty() && !out.ends_with(b"\n") {
                out.extend_from_slice(b"\r\n");
            }
            out.extend_from_slice(rest);
            break;
        }
        for &byte in line {
            bits.push(byte, &mut out);
        }
        rest = after;
    }
    out
}

/// Decodes a line of whole quanta, which most are; false, and nothing is changed, when it is something else.
fn push_quanta(line: &[u8], out: &mut Vec<u8>) -> bool {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let from = out.len();
    out.resize(from + line.len() / 4 * 3, 0);
    let len = match line.len() % 4 {
        0 => STANDARD.decode_slice(line, &mut out[from..]).ok(),
        _ => None,
    };
    out.truncate(from + len.unwrap_or(0));
    len.is_some()
}

/// base64 of an encoded word or any other single run: bytes outside the alphabet are passed over.
pub(super) fn base64_run(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() / 4 * 3);
    let mut bits = Bits::default();
    for &byte in bytes {
        bits.push(byte, &mut out);
    }
    out
}

#[derive(Default)]
struct Bits {
    held: u32,
    count: u32,
}

impl Bits {
    fn push(&mut self, byte: u8, out: &mut Vec<u8>) {
        if byte == b'=' {
            // Padding ends a quantum; pieces encoded apart may follow.
            *self = Bits::default();
        }
        let Some(six) = sextet(byte) else { return };
        self.held = (self.held << 6 | u32::from(six)) & 0xfff;
        self.count += 6;
        if self.count >= 8 {
            self.count -= 8;
            out.push((self.held >> self.count & 0xff) as u8);
        }
    }
}

fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

/// Quoted-printable; a `=` that begins no escape stands for itself.
pub(super) fn quoted_printable(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'=', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some((byte, after)) = hex_pair(rest) {
            out.push(byte);
            rest = after;
            continue;
        }
        let blanks = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let after = &rest[blanks..];
        if let Some(after) = after.strip_prefix(b"\r\n").or_else(|| after.strip_prefix(b"\n")) {
            rest = after;
        } else if after.is_empty() {
            rest = after;
        } else {
            out.push(b'=');
        }
    }
    out.extend_from_slice(rest);
    out
}

/// Two hexadecimal digits from the front.
pub(super) fn hex_pair(bytes: &[u8]) -> Option<(u8, &[u8])> {
    let (&[high, low], rest) = bytes.split_first_chunk::<2>()?;
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let value = digit(high)? * 16 + digit(low)?;
    Some((u8::try_from(value).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn base64_as_it_comes() {
        for (text, expected) in [
            ("", ""),
            ("aGVsbG8=", "hello"),
            ("aGVs\r\nbG8=\r\n", "hello"),
            ("aGVsbG8", "hello"),
            ("aGk=aGk=", "hihi"),
            ("aGk=\r\n____\r\nlist footer", "hi\r\n____\r\nlist footer"),
            ("not base64 at all!", "not base64 at all!"),
        ] {
            assert_eq!(String::from_utf8_lossy(&super::base64(text.as_bytes())), expected, "{text}");
        }
    }

    #[test]
    fn quoted_printable_as_it_comes() {
        for (text, expected) in [
            ("a=20b", "a b"),
            ("a=\r\nb= \t\r\nc=\nd", "abcd"),
            ("1=1 =zz =4", "1=1 =zz =4"),
            ("=e4=E4", "\u{fffd}\u{fffd}"),
            ("end=", "end"),
        ] {
            assert_eq!(String::from_utf8_lossy(&quoted_printable(text.as_bytes())), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn base64_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..200), width in 1_usize..80) {
            let encoded = base64::engine::general_purpose::STANDARD.encode(&bytes);
            let lines: Vec<&str> = encoded.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
            prop_assert_eq!(super::base64(lines.join("\r\n").as_bytes()), &bytes[..]);
            prop_assert_eq!(base64_run(encoded.as_bytes()), bytes);
        }
    }
}
