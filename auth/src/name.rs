//! What a user's name may be. The name is also the name of the user's archive, the first level of folder paths.
//!
//! Invariant: a checked name is NFC, one level of a folder path, and can't be mistaken for another name on a screen
//! by characters that have no shape, or by letters of another alphabet in the midst of a word.

use crate::{Error, looks};
use unicode_normalization::UnicodeNormalization;

/// Longest name, bytes of UTF-8 in NFC.
pub const MAX_NAME_BYTES: usize = 255;

/// Names that mean something else where names are shown (IMAP's mailboxes, paths, the audit log), in lower case.
const RESERVED: [&str; 5] = ["inbox", "all mail", "other archives", ".", ".."];

/// The name in the form that it is kept and looked up in.
pub(crate) fn normal(name: &str) -> String {
    name.nfc().collect()
}

/// Checks a new user's name and gives it in NFC.
/// # Errors
/// `BadName` with the rule.
pub fn check_name(name: &str) -> Result<String, Error> {
    let checked = check_archive(name)?;
    if looks::is_mixed(&checked) {
        let why = "a word of it mixes letters of alphabets that look alike";
        return Err(Error::BadName { name: name.chars().take(40).collect(), why });
    }
    Ok(checked)
}

/// Checks the name of an archive, which users had before names were looked at, and gives it in NFC.
/// # Errors
/// `BadName` with the rule.
pub(crate) fn check_archive(name: &str) -> Result<String, Error> {
    let bad = |why| Error::BadName { name: name.chars().take(40).collect(), why };
    // NFC at most triples the bytes of a text; what is far too long is not worth normalising.
    if name.len() > MAX_NAME_BYTES * 4 {
        return Err(bad("it is longer than 255 bytes"));
    }
    let name = normal(name);
    if name.is_empty() {
        return Err(bad("it is empty"));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(bad("it is longer than 255 bytes"));
    }
    if name.contains('/') {
        return Err(bad("`/` parts the levels of a folder path"));
    }
    if name.chars().any(|c| c.is_control() || is_shapeless(c)) {
        return Err(bad("it has a control character or an invisible one"));
    }
    if name.contains(['*', '%']) {
        return Err(bad("`*` and `%` are IMAP's wildcards"));
    }
    if name.trim() != name {
        return Err(bad("it begins or ends with a blank"));
    }
    let lower = name.to_lowercase();
    if RESERVED.contains(&lower.as_str()) || lower.starts_with("local:") {
        return Err(bad("the name is reserved"));
    }
    Ok(name)
}

/// Characters that turn the direction of text or have no shape: two names with and without them look the same.
fn is_shapeless(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_of_names() {
        for good in ["alice", "Ann Lee", "müller@example.org", "田中", "o'neil", "a.b-c_d", "inbox2"] {
            assert_eq!(check_name(good).unwrap(), good);
        }
        for bad in [
            "",
            " ",
            " a",
            "a ",
            "a\u{a0}",
            "a/b",
            "/",
            "a\0",
            "a\nb",
            "a\u{7f}",
            "a\u{85}b",
            "a\u{200b}b",
            "a\u{202e}b",
            "INBOX",
            "Inbox",
            "all MAIL",
            "Other Archives",
            ".",
            "..",
            "a*",
            "100%",
            "local:root",
            "\u{430}lice",
        ] {
            assert!(matches!(check_name(bad), Err(Error::BadName { .. })), "{bad:?}");
        }
    }

    #[test]
    fn names_are_kept_in_nfc() {
        assert_eq!(check_name("mu\u{308}ller").unwrap(), "m\u{fc}ller");
    }

    #[test]
    fn length_is_counted_in_nfc_bytes() {
        assert!(check_name(&"n".repeat(MAX_NAME_BYTES)).is_ok());
        assert!(check_name(&"n".repeat(MAX_NAME_BYTES + 1)).is_err());
        // 127 composed letters are 254 bytes, decomposed 381.
        assert_eq!(check_name(&"u\u{308}".repeat(127)).unwrap().len(), 254);
        assert!(check_name(&"u\u{308}".repeat(128)).is_err());
        assert!(check_name(&"u".repeat(10_000_000)).is_err());
    }
}
