//! Untrusted text made harmless: control characters could move a terminal's cursor, change its title, or worse.

use std::fmt::Write as _;
use std::io::{self, Write};

/// Control characters, and those that turn the direction of text.
fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text in one line, each harmful character as `\u{…}`.
pub(crate) fn clean(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_harmful(c) { out.extend(c.escape_unicode()) } else { out.push(c) }
    }
    out
}

/// An error with its causes; a cause that an error already tells in its own words isn't told again.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !text.ends_with(&cause) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&cause);
        }
    }
    text
}

/// A row as one line of JSON; harmful characters that JSON allows are escaped in JSON's own way.
pub(crate) fn line(row: &serde_json::Value) -> String {
    let json = row.to_string();
    if !json.chars().any(is_harmful) {
        return json;
    }
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match u32::from(c) {
            // serde_json escapes all below U+0020 itself; those here stand inside strings, and none needs a surrogate.
            code if is_harmful(c) => {
                if write!(out, "\\u{code:04x}").is_err() {
                    out.push('\u{fffd}');
                }
            }
            _ => out.push(c),
        }
    }
    out
}

/// A message's bytes on their way to a terminal: line ends and tabs pass, other control characters are shown.
#[derive(Debug, Default)]
pub(crate) struct Terminal {
    /// The first byte of a two-byte character that may be a control character (U+0080 to U+009F).
    pending: bool,
}

impl Terminal {
    /// Writes `bytes`, made harmless.
    pub(crate) fn write(&mut self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        for &byte in bytes {
            match (std::mem::take(&mut self.pending), byte) {
                (true, 0x80..=0x9f) => write!(out, "\\u{{{byte:x}}}")?,
                (true, _) => {
                    out.write_all(&[0xc2])?;
                    self.one(byte, out)?;
                }
                (false, _) => self.one(byte, out)?,
            }
        }
        Ok(())
    }

    fn one(&mut self, byte: u8, out: &mut impl Write) -> io::Result<()> {
        match byte {
            0xc2 => {
                self.pending = true;
                Ok(())
            }
            b'\n' | b'\t' | b'\r' | 0x20..=0x7e | 0xa0..=0xff => out.write_all(&[byte]),
            // Alone these are no UTF-8, and some terminals take them for control characters; behind another byte they are
            // part of a character and pass.
            0x80..=0x9f => out.write_all(&[byte]),
            _ => write!(out, "\\u{{{byte:x}}}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown() {
        assert_eq!(clean("plain – text 日本"), "plain – text 日本");
        assert_eq!(
            clean("a\u{1b}[31mb\nc\u{9b}d\u{202e}e\u{7f}"),
            r"a\u{1b}[31mb\u{a}c\u{9b}d\u{202e}e\u{7f}"
        );
    }

    #[test]
    fn a_cause_is_told_once() {
        let error = anyhow::anyhow!("no room").context("pack 1: no room").context("archiving");
        assert_eq!(chain(&error), "archiving: pack 1: no room");
        assert_eq!(chain(&anyhow::anyhow!("alone")), "alone");
    }

    #[test]
    fn json_stays_the_same_value() {
        for text in ["plain", "a\u{1b}\n\"\\b\u{7f}\u{9b}\u{202e}\u{2028}", "日本"] {
            let row = serde_json::json!({ "subject": text });
            let shown = line(&row);
            assert!(!shown.chars().any(is_harmful), "{shown}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), row);
        }
    }

    #[test]
    fn a_terminal_gets_no_escape_sequence_however_it_is_cut() {
        let mail = "Subject: \u{1b}]0;title\u{7}\r\n\tgrün \u{9b}31m日\u{c2}\u{a0}x\u{0}".as_bytes();
        let whole = {
            let (mut terminal, mut out) = (Terminal::default(), Vec::new());
            terminal.write(mail, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(whole, "Subject: \\u{1b}]0;title\\u{7}\r\n\tgrün \\u{9b}31m日\u{c2}\u{a0}x\\u{0}");
        for at in 0..mail.len() {
            let (mut terminal, mut out) = (Terminal::default(), Vec::new());
            terminal.write(&mail[..at], &mut out).unwrap();
            terminal.write(&mail[at..], &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), whole);
        }
    }
}
