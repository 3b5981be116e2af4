//! The folding that text and needle share.
//!
//! Invariant: idempotent. Latin letters lose case, compatibility forms become what they stand for, every run of white
//! space becomes one blank; accents, punctuation, soft hyphens and zero-width characters stay themselves.

use unicode_normalization::UnicodeNormalization;

/// Folds text or needle: NFKC case folding (İ and ı become i), a run of white space becomes one blank; nothing else.
#[must_use]
pub fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blank = false;
    let mut rest = text;
    while !rest.is_empty() {
        // Normalisation never reaches across ASCII white space, so the pieces between may be folded one by one: those of
        // ASCII, which most are, in one go.
        let wide = rest.bytes().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
        let is_end = |c: char| c.is_ascii_whitespace();
        let plain = match wide == rest.len() {
            true => wide,
            false => rest[..wide].rfind(is_end).map_or(0, |at| at + 1),
        };
        push_ascii(&rest[..plain], &mut out, &mut blank);
        rest = &rest[plain..];
        let end = rest.find(is_end).unwrap_or(rest.len());
        push_folded(&rest[..end], &mut out, &mut blank);
        rest = &rest[end..];
    }
    out
}

fn push_blank(out: &mut String, blank: &mut bool) {
    if !*blank {
        out.push(' ');
        *blank = true;
    }
}

/// What becomes of a byte of ASCII: small letters; a blank of all white space (U+000B is that to Unicode too).
const FOLDED: [u8; 128] = {
    let mut table = [0; 128];
    let mut byte = 0u8;
    while byte < 128 {
        let white = matches!(byte, 9..=13 | 32);
        table[byte as usize] = if white { b' ' } else { byte.to_ascii_lowercase() };
        byte += 1;
    }
    table
};

fn push_ascii(text: &str, out: &mut String, blank: &mut bool) {
    let mut piece = [0; 256];
    for bytes in text.as_bytes().chunks(piece.len()) {
        // Every byte is written, and the place moves on unless it was one blank too many: no branch to guess.
        let mut len = 0;
        for &byte in bytes {
            let folded = FOLDED[usize::from(byte & 127)];
            piece[len] = folded;
            let white = folded == b' ';
            len += usize::from(!(white && *blank));
            *blank = white;
        }
        out.extend(std::str::from_utf8(&piece[..len]));
    }
}

fn push_folded(piece: &str, out: &mut String, blank: &mut bool) {
    // Folding and normalising can each undo the other's work (U+0345 with others); it settles after a round or two.
    let mut folded = fold_once(piece);
    for _ in 0..4 {
        let again = fold_once(&folded);
        if again == folded {
            break;
        }
        folded = again;
    }
    for c in folded.chars() {
        if c.is_whitespace() {
            push_blank(out, blank);
        } else {
            out.push(c);
            *blank = false;
        }
    }
}

fn fold_once(text: &str) -> String {
    let dotless: String = text.nfkc().map(|c| if matches!(c, 'İ' | 'ı') { 'i' } else { c }).collect();
    caseless::default_case_fold_str(&dotless).nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::fold;
    use proptest::prelude::*;

    #[test]
    fn folds_as_promised() {
        for (text, expected) in [
            ("", ""),
            ("Hello  World\r\n\tagain ", "hello world again "),
            ("Straße STRASSE", "strasse strasse"),
            ("İstanbul ISPARTA ılık I\u{307}", "istanbul isparta ilik i"),
            ("ﬁne ① ｆｕｌｌ", "fine 1 full"),
            ("a\u{a0}\u{3000}\u{2028}b", "a b"),
            ("soft\u{ad}hyphen zero\u{200b}width", "soft\u{ad}hyphen zero\u{200b}width"),
            ("Été e\u{301}te\u{301}", "été été"),
            ("ΣΊΣΥΦΟΣ ς", "σίσυφοσ σ"),
            ("ﾊﾝｶｸ ハンカク", "ハンカク ハンカク"),
            ("a\u{b}b", "a b"),
            ("x²", "x2"),
        ] {
            assert_eq!(fold(text), expected, "{text}");
        }
    }

    /// As the sentence above `fold` has it, piece by piece and character by character.
    fn plainly(text: &str) -> String {
        let (mut out, mut blank) = (String::new(), false);
        for piece in text.split_inclusive(|c: char| c.is_ascii_whitespace()) {
            let end = piece.trim_end_matches(|c: char| c.is_ascii_whitespace()).len();
            super::push_folded(&piece[..end], &mut out, &mut blank);
            if end < piece.len() {
                super::push_blank(&mut out, &mut blank);
            }
        }
        out
    }

    proptest! {
        #[test]
        fn as_plainly_as_said(text in "([A-Za-z.\u{b} \t\r\n]{0,300}|[ä\u{301}İﬁΣ\u{a0}\u{3000}x]{0,6}){0,6}") {
            prop_assert_eq!(fold(&text), plainly(&text));
        }

        #[test]
        fn idempotent(text in "\\PC{0,40}") {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once);
        }

        #[test]
        fn idempotent_on_hard_characters(text in "[ \t\u{a8}\u{301}\u{307}\u{308}\u{345}\u{3b1}\u{1f80}\u{1fb3}Iİıß\u{1e9e}\u{fb03}\u{ac00}\u{1100}\u{1161}\u{11a8}\u{334}\u{5b0}a\u{a0}]{0,20}") {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once);
        }

        #[test]
        fn pieces_fold_alone(text in "\\PC{0,20}", tail in "\\PC{0,20}") {
            prop_assert_eq!(fold(&format!("{text}\nx{tail}")), format!("{} {}", fold(&text).trim_end_matches(' '), fold(&format!("x{tail}"))));
        }
    }
}
