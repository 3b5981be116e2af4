//! Content-Transfer-Encodings undone as bytes stream by (RFC 3516, RFC 2045 §6), for FETCH BINARY.
//!
//! Invariant: what comes out doesn't depend on how the input is cut into pieces, and memory is that of a piece. An encoding that
//! isn't known is refused, not guessed.

use crate::reply::Refusal;
use bytes::Bytes;
use std::ops::Range;
use storage::mime::param;
use storage::{Cancel, Error, Message};

/// Blanks that may wait for what follows them; more are no line's end.
const MAX_WAITING: usize = 1_000;

/// Undoes one encoding.
#[derive(Debug, Clone)]
pub(crate) enum Decoder {
    /// 7bit, 8bit, binary: as it stands.
    Same,
    Base64 {
        held: u32,
        bits: u32,
        /// Padding was seen, which ends the data (RFC 2045 §6.8).
        ended: bool,
    },
    /// Bytes that mean what follows them decides: an escape that was begun, or blanks that end a line.
    Quoted(Vec<u8>),
}

impl Decoder {
    /// By the header of a part; one without the field is 7bit.
    /// # Errors
    /// UNKNOWN-CTE (RFC 3516 §4.3).
    pub(crate) fn of(header: &[u8]) -> Result<Decoder, Refusal> {
        let encoding = param::encoding_of(header).unwrap_or_else(|| b"7bit".to_vec());
        match encoding.to_ascii_lowercase().as_slice() {
            b"7bit" | b"8bit" | b"binary" => Ok(Decoder::Same),
            b"base64" => Ok(Decoder::Base64 { held: 0, bits: 0, ended: false }),
            b"quoted-printable" => Ok(Decoder::Quoted(Vec::new())),
            _ => Err(Refusal::No("UNKNOWN-CTE", "A part is encoded in a way that is not known here")),
        }
    }

    /// Decodes a piece.
    fn push(&mut self, piece: &[u8], out: &mut Vec<u8>) {
        match self {
            Decoder::Same => out.extend_from_slice(piece),
            Decoder::Base64 { held, bits, ended } => {
                for &byte in piece {
                    *ended |= byte == b'=';
                    // Bytes outside of the alphabet are passed over.
                    let Some(six) = sextet(byte).filter(|_| !*ended) else { continue };
                    *held = (*held << 6 | u32::from(six)) & 0xfff;
                    *bits += 6;
                    if *bits >= 8 {
                        *bits -= 8;
                        out.push((*held >> *bits & 0xff) as u8);
                    }
                }
            }
            Decoder::Quoted(waiting) => {
                for &byte in piece {
                    quoted(waiting, byte, out);
                }
            }
        }
    }

    /// What the end decides.
    fn end(&mut self, out: &mut Vec<u8>) {
        if let Decoder::Quoted(waiting) = self {
            // Blanks at a line's end don't count, nor does a line end that is escaped.
            if matches!(waiting.as_slice(), [b'=', digit] if digit.is_ascii_hexdigit()) {
                out.append(waiting);
            }
            waiting.clear();
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

/// One byte of quoted-printable (RFC 2045 §6.7). What is no escape stands for itself.
fn quoted(waiting: &mut Vec<u8>, byte: u8, out: &mut Vec<u8>) {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    match (waiting.as_slice(), byte) {
        ([], b'=' | b' ' | b'\t') => waiting.push(byte),
        ([], _) => out.push(byte),
        ([b'='], _) if byte.is_ascii_hexdigit() => waiting.push(byte),
        ([b'=', first], _) if first.is_ascii_hexdigit() => match (digit(*first), digit(byte)) {
            (Some(high), Some(low)) => {
                out.push((high << 4 | low) as u8);
                waiting.clear();
            }
            _ => again(waiting, byte, out),
        },
        // A soft line break, blanks between it and its `=` allowed.
        ([b'=', ..], b'\n') => waiting.clear(),
        ([b'=', .., b'\r'], _) => again(waiting, byte, out),
        ([b'=', ..], b' ' | b'\t' | b'\r') if waiting.len() < MAX_WAITING => waiting.push(byte),
        ([b'=', ..], _) => again(waiting, byte, out),
        (_, b'\r' | b'\n') => {
            waiting.clear();
            out.push(byte);
        }
        (_, b' ' | b'\t') if waiting.len() < MAX_WAITING => waiting.push(byte),
        _ => again(waiting, byte, out),
    }
}

/// What waited stands for itself; the byte is looked at anew.
fn again(waiting: &mut Vec<u8>, byte: u8, out: &mut Vec<u8>) {
    out.append(waiting);
    quoted(waiting, byte, out);
}

/// The bytes of a part, decoded, or some of them.
pub(crate) struct Decoded {
    message: Message,
    /// What of the message is not read yet.
    raw: Range<u64>,
    decoder: Decoder,
    /// Decoded bytes that come before those that are wanted.
    skip: u64,
    left: u64,
    ended: bool,
}

/// What is told of decoded bytes before they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Measure {
    pub(crate) bytes: u64,
    /// A NUL is among them: they need a literal8 (RFC 3516 §4.3).
    pub(crate) has_nul: bool,
}

impl Decoded {
    /// Those of `raw`, from `first` on so many.
    pub(crate) fn new(
        message: Message,
        raw: Range<u64>,
        decoder: Decoder,
        partial: Option<(u64, u64)>,
    ) -> Decoded {
        let (skip, left) = partial.unwrap_or((0, u64::MAX));
        Decoded { message, raw, decoder, skip, left, ended: false }
    }

    /// Reads through all of them once, and is ready to give them.
    /// # Errors
    /// Those of reading; `Cancelled`.
    pub(crate) fn measured(mut self, cancel: &Cancel) -> Result<(Measure, Decoded), Error> {
        let fresh = |of: &Decoded| Decoded {
            message: of.message.clone(),
            raw: of.raw.clone(),
            decoder: of.decoder.clone(),
            ..*of
        };
        let mut again = fresh(&self);
        let mut found = Measure { bytes: 0, has_nul: false };
        while let Some(bytes) = self.some()? {
            cancel.check()?;
            found.bytes += bytes.len() as u64;
            found.has_nul |= memchr::memchr(0, &bytes).is_some();
        }
        again.left = found.bytes;
        Ok((found, again))
    }

    /// The next bytes; exactly as many as were measured.
    /// # Errors
    /// Those of reading; `Missing` when there are fewer now.
    pub(crate) fn next(&mut self) -> Result<Option<Bytes>, Error> {
        match self.some()? {
            None if self.left > 0 => {
                Err(Error::Missing { what: "a part of the size that it had a moment ago".to_owned() })
            }
            next => Ok(next),
        }
    }

    fn some(&mut self) -> Result<Option<Bytes>, Error> {
        while self.left > 0 && !self.ended {
            let mut out = Vec::new();
            if self.raw.is_empty() {
                self.decoder.end(&mut out);
                self.ended = true;
            } else {
                let piece = self.message.read(self.raw.clone())?;
                if piece.is_empty() {
                    return Err(Error::Missing {
                        what: "a message of the size that its row tells".to_owned(),
                    });
                }
                self.raw.start += piece.len() as u64;
                self.decoder.push(&piece, &mut out);
            }
            let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(out.len());
            let (from, most) = (at(self.skip), at(self.skip.saturating_add(self.left)));
            self.skip -= from as u64;
            self.left -= (most - from) as u64;
            out.truncate(most);
            out.drain(..from);
            if !out.is_empty() {
                return Ok(Some(out.into()));
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use proptest::prelude::*;

    fn decode(encoding: &str, text: &[u8], step: usize) -> Vec<u8> {
        let header = format!("Content-Transfer-Encoding: {encoding}\r\n\r\n");
        let mut decoder = Decoder::of(header.as_bytes()).unwrap();
        let mut out = Vec::new();
        for piece in text.chunks(step.max(1)) {
            decoder.push(piece, &mut out);
        }
        decoder.end(&mut out);
        out
    }

    #[test]
    fn every_encoding_in_pieces_of_any_size() {
        for (encoding, text, expected) in [
            ("7bit", "a=20b", "a=20b"),
            ("8BIT", "\u{fc}\0", "\u{fc}\0"),
            ("binary", "\r\n", "\r\n"),
            ("base64", "aGVs\r\nbG8=\r\n", "hello"),
            ("BASE64", "aGVs bG8", "hello"),
            ("base64", "aGk=\r\n____\r\nlist footer", "hi"),
            ("base64", "", ""),
            ("quoted-printable", "a=20b", "a b"),
            ("Quoted-Printable", "a=\r\nb= \t\r\nc=\nd", "abcd"),
            ("quoted-printable", "1=1 =zz =4", "1=1 =zz =4"),
            ("quoted-printable", "=41=", "A"),
            ("quoted-printable", "x \t\r\ny \n z ", "x\r\ny\n z"),
            ("quoted-printable", "==41 =\rx", "=A =\rx"),
            ("quoted-printable", "=4=41", "=4A"),
        ] {
            for step in 1..=text.len().max(1) {
                let found = decode(encoding, text.as_bytes(), step);
                assert_eq!(
                    String::from_utf8_lossy(&found),
                    expected,
                    "{encoding} {text:?} in steps of {step}"
                );
            }
        }
        let many = " ".repeat(MAX_WAITING);
        assert_eq!(decode("quoted-printable", format!("{many}\r\n").as_bytes(), 9), b"\r\n");
        let more = decode("quoted-printable", format!("{many} \r\n").as_bytes(), 9);
        assert_eq!(more.len(), MAX_WAITING + 2, "the first thousand are no line's end");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert!(Decoder::of(b"Content-Transfer-Encoding: x-uuencode\r\n\r\n").is_err());
        assert!(matches!(Decoder::of(b"Subject: x\r\n\r\n"), Ok(Decoder::Same)));
    }

    proptest! {
        #[test]
        fn base64_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..300), width in 1usize..80, step in 1usize..50) {
            let text = base64::engine::general_purpose::STANDARD.encode(&bytes);
            let lines: Vec<&str> = text.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).unwrap()).collect();
            prop_assert_eq!(decode("base64", lines.join("\r\n").as_bytes(), step), bytes);
        }
        #[test]
        fn quoted_printable_comes_back(bytes in prop::collection::vec(any::<u8>(), 0..300), step in 1usize..50) {
            let text: String = bytes.iter().map(|b| format!("={b:02X}")).collect::<Vec<_>>().join("=\r\n");
            prop_assert_eq!(decode("quoted-printable", text.as_bytes(), step), bytes);
        }
        #[test]
        fn pieces_do_not_matter(text in "[=0-9A-F \t\r\nx]{0,60}", step in 1usize..20) {
            prop_assert_eq!(decode("quoted-printable", text.as_bytes(), step), decode("quoted-printable", text.as_bytes(), 1000));
        }
    }
}
