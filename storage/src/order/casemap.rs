//! The collation i;unicode-casemap (RFC 5051): what SORT compares strings by.
//!
//! A text becomes the text that is compared octet by octet: every character's titlecase, then its whole decomposition. No
//! locale, no reordering of combining marks; the same for the same text in every release of one database layout.

use unicode_normalization::char::decompose_compatible;

/// The text that is compared.
pub(crate) fn casemap(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c.to_ascii_uppercase());
        } else {
            decompose_compatible(titlecase(c), |part| out.push(part));
        }
    }
    out
}

/// UnicodeData.txt's simple titlecase mapping. The standard library has the upper case, which is the same but for
/// digraphs, Georgian, and the Greek letters whose full upper case is two characters.
fn titlecase(c: char) -> char {
    let at = |base: u32, offset: u32| char::from_u32(base + offset).unwrap_or(c);
    match u32::from(c) {
        0x01c4..=0x01cc => at(0x01c5, (u32::from(c) - 0x01c4) / 3 * 3),
        0x01f1..=0x01f3 => at(0x01f2, 0),
        0x10d0..=0x10ff => c,
        n @ (0x1f80..=0x1f87 | 0x1f90..=0x1f97 | 0x1fa0..=0x1fa7) => at(n, 8),
        n @ (0x1fb3 | 0x1fc3 | 0x1ff3) => at(n, 9),
        _ => {
            let mut upper = c.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(one), None) => one,
                _ => c,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titlecase_then_decomposition() {
        for (text, expected) in [
            ("", ""),
            ("aZ 9[", "AZ 9["),
            ("\u{e9}", "E\u{301}"),
            ("\u{c9}", "E\u{301}"),
            // No simple titlecase mapping, and no decomposition.
            ("stra\u{df}e", "STRA\u{df}E"),
            ("\u{fb01}", "fi"),
            ("\u{1c6}", "Dz\u{30c}"),
            ("\u{1c4}", "Dz\u{30c}"),
            ("\u{1f2}", "Dz"),
            ("\u{10d0}", "\u{10d0}"),
            ("\u{1fb3}", "\u{391}\u{345}"),
            ("\u{1f80}", "\u{391}\u{313}\u{345}"),
            ("\u{ac00}", "\u{1100}\u{1161}"),
            ("\u{ff21}", "A"),
            ("\u{131}", "I"),
            ("\u{44f}", "\u{42f}"),
        ] {
            assert_eq!(casemap(text), expected, "{text:?}");
        }
    }
}
