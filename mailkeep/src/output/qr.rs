//! Text as a QR code of half-block characters, for a telephone that is held before the screen.
//!
//! Invariant: it goes to standard output and nowhere else. What is light is drawn, so that the code is right on dark terminals;
//! with colours it is right on all. Knows nothing of what the text is.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use std::fmt::Write as _;

/// Bright white on black, whatever the terminal's own colours are; and back.
const COLORS: (&str, &str) = ("\x1b[97;40m", "\x1b[0m");

/// The code with the blank margin that readers need, as lines; `None`: the text is too long for any code, or the code wider than `columns`.
pub(crate) fn code(text: &str, columns: Option<usize>, colors: bool) -> Option<String> {
    // The least redundancy: a screen has no stains, and a smaller code is read from farther away.
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let drawn = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    let width = drawn.lines().map(|line| line.chars().count()).max()?;
    if columns.is_some_and(|columns| columns < width) {
        return None;
    }
    let (on, off) = if colors { COLORS } else { ("", "") };
    let mut out = String::with_capacity(drawn.len() + 16 * width);
    for line in drawn.lines() {
        writeln!(out, "{on}{line}{off}").ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_blocks_within_a_light_margin() {
        let plain = code("otpauth://totp/x", None, false).unwrap();
        let width = plain.lines().next().unwrap().chars().count();
        assert!(plain.lines().all(|line| line.chars().count() == width));
        assert!(plain.chars().all(|c| " ▀▄█\n".contains(c)));
        // Four modules on each side: two lines above, four characters at the left.
        assert!(plain.lines().take(2).all(|line| line.chars().all(|c| c == '█')));
        assert!(plain.lines().all(|line| line.starts_with("████") || line.starts_with("▀▀▀▀")));
        let colored = code("otpauth://totp/x", None, true).unwrap();
        assert_eq!(colored.replace(COLORS.0, "").replace(COLORS.1, ""), plain);
    }

    #[test]
    fn width_and_length_at_their_bounds_and_one_past() {
        let width = code("x", None, false).unwrap().lines().next().unwrap().chars().count();
        assert!(code("x", Some(width), false).is_some());
        assert!(code("x", Some(width - 1), false).is_none());
        // Version 40 with level L holds 2,953 bytes (ISO/IEC 18004, table 7).
        assert!(code(&"x".repeat(2_953), None, false).is_some());
        assert!(code(&"x".repeat(2_954), None, false).is_none());
    }
}
