//! The recovery sheet: a master key on paper, typed in again by people. `storage/FORMAT.md` has its form.
//!
//! Invariant: every line carries a check of its own, so that a mistyped line is named, and a key that was read back is
//! the key that was written. Where sheets go and who may see them is the program's business.

use super::MasterKey;
use std::fmt::Write as _;
use zeroize::Zeroizing;

/// Largest text that is looked through for a sheet, bytes.
pub const MAX_SHEET_BYTES: usize = 64 << 10;
/// Lines that carry the key.
const LINES: usize = 4;
/// Bytes of the key on a line.
const LINE_BYTES: usize = 8;
/// Digits of a line: the key's, and four of the check.
const LINE_DIGITS: usize = 2 * LINE_BYTES + 4;

/// Why a text gives no key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SheetError {
    /// A line's check doesn't fit.
    #[error("line {line} of the recovery sheet is mistyped: compare it with the paper, digit by digit")]
    Line {
        /// The line's number, 1 to 4.
        line: usize,
    },
    /// A line is not there.
    #[error(
        "line {line} of the recovery sheet is missing; the key stands in four lines that begin with `line`"
    )]
    Missing {
        /// The line's number, 1 to 4.
        line: usize,
    },
    /// All lines fit, the key id does not: lines of several sheets.
    #[error("the lines belong to another key than the sheet's key id names; are they all from one sheet?")]
    Id,
    /// The text is too long to be a sheet.
    #[error("a recovery sheet has at most {MAX_SHEET_BYTES} bytes")]
    Long,
}

/// The sheet's text; `place` and `made` (a date) are for the reader.
#[must_use]
pub fn write(key: &MasterKey, place: &str, made: &str) -> Zeroizing<String> {
    // Reserved whole, so that growing leaves no copies behind.
    let mut out = Zeroizing::new(String::with_capacity(4_096 + place.len()));
    out.push_str("mailkeep recovery sheet\n\nMade on ");
    out.push_str(made);
    out.push_str(" for ");
    out.push_str(place);
    out.push_str("\nKey id ");
    out.push_str(&key.id());
    out.push_str("\n\n");
    for (index, part) in key.bytes().chunks_exact(LINE_BYTES).enumerate() {
        let line = index + 1;
        let mut digits = Zeroizing::new([0u8; LINE_DIGITS]);
        let (content, check) = digits.split_at_mut(2 * LINE_BYTES);
        encode(part, content);
        encode(&check_of(line, part), check);
        // Writing to a string can't fail.
        write!(out, "    line {line}  ").ok();
        for (group, four) in digits.chunks_exact(4).enumerate() {
            out.push_str(if group == 4 { "   " } else { " " });
            out.extend(four.iter().map(|&digit| char::from(digit)));
        }
        out.push('\n');
    }
    out.push_str(HOW_TO);
    out
}

const HOW_TO: &str = "
Whoever has this sheet and a copy of the archive can read all its mail. Keep it
where neither fire nor thieves reach it, away from the archive and its backups.

To use it, type the four lines into a file and say
    mailkeep --data DIR key import FILE       an installation that lost its key
    mailkeep --data DIR init --from-sheet FILE        a new, empty installation
Digits are 0-9 and a-f; capitals and blanks don't matter. Every line ends in a
check of its own: one that is mistyped is named.
";

/// The key that a sheet's text carries. Only lines that begin with `line` or their number count; of the others the key id is
/// compared if it is there.
/// # Errors
/// See [`SheetError`].
pub fn read(text: &str) -> Result<MasterKey, SheetError> {
    if text.len() > MAX_SHEET_BYTES {
        return Err(SheetError::Long);
    }
    let mut key = MasterKey { bytes: [0; 32], older: None };
    let mut id = None;
    let mut seen = [false; LINES];
    for text in text.lines().map(str::trim) {
        if let Some(rest) = after_word(text, "key id") {
            id = Some(rest.trim_matches([':', ' ', '\t']));
            continue;
        }
        let Some((line, rest)) = numbered(text) else { continue };
        let wrong = SheetError::Line { line };
        let digits = Zeroizing::new(digits(rest).ok_or_else(|| wrong.clone())?);
        let mut bytes = Zeroizing::new([0u8; LINE_DIGITS / 2]);
        hex::decode_to_slice(&digits[..], &mut bytes[..]).map_err(|_| wrong.clone())?;
        let (content, check) = bytes.split_at(LINE_BYTES);
        if check_of(line, content) != check {
            return Err(wrong);
        }
        let at = (line - 1) * LINE_BYTES;
        // A line that stands there twice must say the same.
        if seen[line - 1] && key.bytes[at..at + LINE_BYTES] != *content {
            return Err(wrong);
        }
        key.bytes[at..at + LINE_BYTES].copy_from_slice(content);
        seen[line - 1] = true;
    }
    if let Some(missing) = seen.iter().position(|seen| !seen) {
        return Err(SheetError::Missing { line: missing + 1 });
    }
    match id {
        Some(id) if !id.eq_ignore_ascii_case(&key.id()) => Err(SheetError::Id),
        _ => Ok(key),
    }
}

/// What follows `word` at the start of `text`, whatever its case.
fn after_word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(word.len())?;
    head.eq_ignore_ascii_case(word).then_some(rest)
}

/// `line 2  3fa9 …`, `2: 3fa9 …`: the line's number and what follows it.
fn numbered(text: &str) -> Option<(usize, &str)> {
    let text = after_word(text, "line").unwrap_or(text).trim_start();
    let mut chars = text.chars();
    let line = usize::try_from(chars.next()?.to_digit(10)?).ok()?;
    let rest = chars.as_str();
    ((1..=LINES).contains(&line) && rest.starts_with([' ', '\t', ':', '.', ')'])).then_some((line, rest))
}

/// The line's digits, in small letters; capital O is taken for 0, small L and capital I for 1.
fn digits(text: &str) -> Option<[u8; LINE_DIGITS]> {
    let mut out = [0; LINE_DIGITS];
    let mut count = 0;
    for c in text.chars() {
        let digit = match c {
            ' ' | '\t' | '-' | ':' | '.' | ')' => continue,
            'O' | 'o' => b'0',
            'l' | 'I' => b'1',
            c if c.is_ascii_hexdigit() => u8::try_from(c.to_ascii_lowercase()).ok()?,
            _ => return None,
        };
        *out.get_mut(count)? = digit;
        count += 1;
    }
    (count == LINE_DIGITS).then_some(out)
}

/// CRC-16 (polynomial 0x1021, start 0xffff) of the line's number and bytes: unlike a hash it finds every wrong digit and
/// every two neighbours that were swapped, for sure.
fn check_of(line: usize, part: &[u8]) -> [u8; 2] {
    let number = u8::try_from(line).unwrap_or(0);
    crc16(std::iter::once(number).chain(part.iter().copied())).to_be_bytes()
}

fn crc16(bytes: impl Iterator<Item = u8>) -> u16 {
    bytes.fold(0xffff, |crc, byte| {
        (0..8).fold(
            crc ^ u16::from(byte) << 8,
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 }
            },
        )
    })
}

fn encode(bytes: &[u8], into: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(into.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet() -> (MasterKey, String) {
        let key = MasterKey { bytes: std::array::from_fn(|i| (i * 37 + 11) as u8), older: None };
        let text = write(&key, "/srv/mail", "2026-11-21").to_string();
        (key, text)
    }

    fn lines(text: &str) -> Vec<String> {
        text.lines().filter(|line| line.trim().starts_with("line ")).map(str::to_owned).collect()
    }

    #[test]
    fn comes_back_however_it_is_typed() {
        let (key, text) = sheet();
        assert!(text.lines().all(|line| line.len() <= 80), "fits a page:\n{text}");
        assert_eq!(read(&text).unwrap().bytes, key.bytes);
        let four = lines(&text);
        assert_eq!(four.len(), 4);
        let capitals = text.to_uppercase();
        let bare: String = four.iter().map(|l| l.replace("line ", "").replace("  ", " ") + "\r\n").collect();
        let glued: String = four
            .iter()
            .rev()
            .map(|l| l.replacen("line ", "", 1).trim().replacen(' ', ":", 1) + "\n")
            .collect();
        let dashes = text.replace("    line", "line").replace("   ", " - ");
        for typed in [capitals, bare, glued, dashes, text.replace("0", "O"), format!("{text}{text}")] {
            // Where 0 became O everywhere, so did the numbers of the text around.
            let typed = typed.replace("Key id", "Id");
            assert_eq!(read(&typed).unwrap().bytes, key.bytes, "{typed}");
        }
    }

    #[test]
    fn a_mistyped_digit_is_found_in_its_line() {
        let (_, text) = sheet();
        for (index, line) in lines(&text).iter().enumerate() {
            let start = line.find("line ").unwrap() + "line 1".len();
            for at in start..line.len() {
                let old = line.as_bytes()[at];
                if old == b' ' {
                    continue;
                }
                for new in b"0123456789abcdefgz".iter().filter(|&&new| new != old) {
                    let mut typed = line.clone().into_bytes();
                    typed[at] = *new;
                    let typed = text.replace(line, std::str::from_utf8(&typed).unwrap());
                    assert_eq!(read(&typed).unwrap_err(), SheetError::Line { line: index + 1 }, "{typed}");
                }
            }
            // Two neighbours swapped, a digit too many, one too few.
            let mut typed = vec![format!("{line}0"), line[..line.len() - 1].to_owned()];
            for at in start..line.len() - 1 {
                let mut swapped = line.clone().into_bytes();
                swapped.swap(at, at + 1);
                let swapped = String::from_utf8(swapped).unwrap();
                if swapped.replace(' ', "") != line.replace(' ', "") {
                    typed.push(swapped);
                }
            }
            for typed in typed {
                let typed = text.replace(line, &typed);
                assert_eq!(read(&typed).unwrap_err(), SheetError::Line { line: index + 1 }, "{typed}");
            }
            let without = text.replace(line, "");
            assert_eq!(read(&without).unwrap_err(), SheetError::Missing { line: index + 1 });
        }
    }

    #[test]
    fn the_check_is_crc_16() {
        // The check value of CRC-16/IBM-3740 in the catalogue of CRC algorithms.
        assert_eq!(crc16(b"123456789".iter().copied()), 0x29b1);
    }

    #[test]
    fn lines_of_other_sheets_and_places_are_found() {
        let (_, text) = sheet();
        let other = MasterKey::generate().unwrap();
        let other = write(&other, "/srv/mail", "2026-11-21").to_string();
        let mixed = text.replace(&lines(&text)[2], &lines(&other)[2]);
        assert_eq!(read(&mixed).unwrap_err(), SheetError::Id);
        let (one, two) = (lines(&text)[0].clone(), lines(&text)[1].clone());
        let swapped = text.replace(&one, &two.replace("line 2", "line 1"));
        assert_eq!(read(&swapped).unwrap_err(), SheetError::Line { line: 1 });
        assert_eq!(read("").unwrap_err(), SheetError::Missing { line: 1 });
    }

    #[test]
    fn a_text_is_read_up_to_its_bound() {
        let (key, text) = sheet();
        let padded = format!("{text}{}", " ".repeat(MAX_SHEET_BYTES - text.len()));
        assert_eq!(read(&padded).unwrap().bytes, key.bytes);
        assert_eq!(read(&format!("{padded} ")).unwrap_err(), SheetError::Long);
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "(line )?[1-5:a-f0-9é\n Kkey id]{0,120}") {
            proptest::prop_assert!(read(&text).is_err());
        }
    }
}
