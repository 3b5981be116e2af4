//! Base64 in lines (RFC 2045 §6.8), taken back to the bytes it stands for: only where those give the identical text again.
//!
//! Invariant: what [`decode`] gives was encoded again by [`encode_lines`], which readers use too, and compared with the
//! text. Everything else (odd lines, blanks, other alphabets, wrong padding) is not understood on purpose.

use crate::Error;
use crate::incoming::{Content, Sink};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::ops::Range;

/// Longest line that is understood, characters; a piece names the length of its lines.
pub(crate) const MAX_LINE: u32 = 4096;
/// Text that is decoded at once, roughly.
const WINDOW_BYTES: u64 = 48 << 10;
const EOL: &[u8] = b"\r\n";

/// A text that was taken back.
#[derive(Debug)]
pub(crate) struct Decoded {
    /// The text that `bytes` give: line ends at its end are not in it.
    pub(crate) range: Range<u64>,
    /// Characters a line, a multiple of four.
    pub(crate) line: u32,
    /// What the text stands for.
    pub(crate) bytes: Content,
    /// The SHA-256 of these bytes.
    pub(crate) hash: [u8; 32],
}

/// Takes the text in `range` of `content` back to its bytes (spooled above `spool_above`); `None` where they would not give
/// the identical text.
/// # Errors
/// `Io` of spool files.
pub(crate) fn decode(
    content: &Content,
    range: Range<u64>,
    spool_above: usize,
) -> Result<Option<Decoded>, Error> {
    let Some((range, line)) = shape(content, range)? else { return Ok(None) };
    let mut sink = Sink::new(u64::MAX, spool_above);
    let stride = u64::from(line) + EOL.len() as u64;
    let window_bytes = (WINDOW_BYTES / stride).max(1) * stride;
    let (mut chars, mut at) = (Vec::new(), range.start);
    while at < range.end {
        let window = content.read(at..range.end.min(at + window_bytes))?;
        at += window.len() as u64;
        let more = at < range.end;
        chars.clear();
        for line in window.chunks(stride as usize) {
            chars.extend_from_slice(line.strip_suffix(EOL).unwrap_or(line));
        }
        let Ok(bytes) = STANDARD.decode(&chars) else { return Ok(None) };
        if encode_lines(&bytes, line as usize / 4 * 3, more).as_bytes() != &window[..] {
            return Ok(None);
        }
        sink.write(&bytes)?;
    }
    let (bytes, hash) = sink.finish();
    Ok(Some(Decoded { range, line, bytes, hash: hash.0 }))
}

/// The text without the line ends at its end, and its line length by its first line; `None` when it has no such shape.
fn shape(content: &Content, range: Range<u64>) -> Result<Option<(Range<u64>, u32)>, Error> {
    let tail = content.read(range.end.saturating_sub(u64::from(MAX_LINE)).max(range.start)..range.end)?;
    let ends = tail.iter().rev().take_while(|byte| EOL.contains(byte)).count() as u64;
    let range = range.start..range.end - ends;
    let front = content.read(range.start..range.end.min(range.start + u64::from(MAX_LINE) + 2))?;
    let line = memchr::memmem::find(&front, EOL).unwrap_or(front.len());
    let line = u32::try_from(line).ok().filter(|line| *line > 0 && line % 4 == 0 && *line <= MAX_LINE);
    Ok(line.map(|line| (range, line)))
}

/// Base64 in lines of `line` plain bytes each, CRLF between them, and after the last where `more` follows.
pub(crate) fn encode_lines(plain: &[u8], line: usize, more: bool) -> String {
    let mut text = String::with_capacity(plain.len() / 2 * 3 + 8);
    for (number, line) in plain.chunks(line.max(1)).enumerate() {
        if number > 0 {
            text.push_str("\r\n");
        }
        STANDARD.encode_string(line, &mut text);
    }
    if more {
        text.push_str("\r\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &[u8]) -> Option<(usize, u32, Vec<u8>)> {
        let content = Content::Memory(text.to_vec().into());
        let found = decode(&content, 0..text.len() as u64, 100_000).unwrap()?;
        assert_eq!(found.range.start, 0);
        let bytes = found.bytes.read(0..u64::MAX).unwrap().to_vec();
        assert_eq!(found.hash, <[u8; 32]>::from(<sha2::Sha256 as sha2::Digest>::digest(&bytes)));
        Some((found.range.end as usize, found.line, bytes))
    }

    #[test]
    fn only_what_comes_back_the_same_is_taken() {
        for (text, want) in [
            ("YWJj", Some((4, 4, "abc"))),
            ("YWJj\r\nYWJj\r\n", Some((10, 4, "abcabc"))),
            ("YWJjYWJj\r\nYWI=\r\n\r\n", Some((14, 8, "abcabcab"))),
            ("YWJjYWJj\r\nYQ==", Some((14, 8, "abcabca"))),
            ("YQ==", Some((4, 4, "a"))),
            ("", None),
            ("\r\n", None),
            ("YQ", None),
            ("YQ=", None),
            ("YR==", None),
            ("YWJ", None),
            ("YWJjYW\r\nJj\r\n", None),
            ("YWJj\r\nYWJjYWJj\r\n", None),
            ("YWJjYWJj\r\nYWJj\r\nYWJj", None),
            ("YWJjYWJj\r\n\r\nYWJj", None),
            ("YWJj \r\nYWJj", None),
            ("YWJj\rYWJj", None),
            ("YWI=\r\nYWJj", None),
            ("YWJj\r\n-- \r\nfooter\r\n", None),
            ("YW-_", None),
            (" YWJj", None),
        ] {
            let want = want.map(|(len, line, bytes): (_, _, &str)| (len, line, bytes.as_bytes().to_vec()));
            assert_eq!(of(text.as_bytes()), want, "{text:?}");
        }
    }

    #[test]
    fn the_longest_line_and_one_that_is_longer() {
        let most = MAX_LINE as usize / 4 * 3;
        for (bytes, taken) in [(most, true), (most + 3, false)] {
            for lines in [1, 3] {
                let plain = vec![7; bytes * lines];
                assert_eq!(of(encode_lines(&plain, bytes, false).as_bytes()).is_some(), taken);
            }
        }
    }

    proptest! {
        #[test]
        fn texts_of_all_lengths_are_taken(
            bytes in prop::collection::vec(any::<u8>(), 1..600), repeat in 1usize..400, groups in 1usize..40,
            ends in 0usize..3,
        ) {
            let plain = bytes.repeat(repeat);
            let text = encode_lines(&plain, groups * 3, false) + &"\r\n".repeat(ends);
            let line = (groups * 4).min(plain.len().div_ceil(3) * 4) as u32;
            prop_assert_eq!(of(text.as_bytes()), Some((text.len() - 2 * ends, line, plain)));
        }

        #[test]
        fn what_is_taken_gives_the_text_back(
            bytes in prop::collection::vec(any::<u8>(), 0..300), groups in 1usize..30,
            harm in prop::collection::vec((any::<prop::sample::Index>(), "[A-Za-z+/= \r\n\t-]{0,3}"), 0..3),
        ) {
            let mut text = encode_lines(&bytes, groups * 3, true);
            for (at, with) in harm {
                let at = at.index(text.len());
                text.replace_range(at..at + 1, &with);
                if text.is_empty() {
                    text.push('x');
                }
            }
            if let Some((len, line, bytes)) = of(text.as_bytes()) {
                prop_assert_eq!(encode_lines(&bytes, line as usize / 4 * 3, false), &text[..len]);
                prop_assert!(text[len..].bytes().all(|byte| EOL.contains(&byte)));
            }
        }
    }
}
