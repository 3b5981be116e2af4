//! Names from sources as names of folders, and places for the ledger: reversible, whatever the source's names hold.
//!
//! Bytes that a folder name can't have are written `%XX`: control characters, `/`, what is no UTF-8, and a `%` that two
//! hex digits follow (so that reading back is unambiguous; `100 %` stays as it is). A level without a name is `%00`. Levels
//! below the deepest that storage allows are joined into the last one with `%2F`. A level that is longer than storage
//! allows is cut and ends in `%~` and 16 hex digits of its hash: the ledger's source has it whole.

use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use storage::{FolderPath, Limits};

/// One level of a folder path from a name at the source. Never empty, never with `/` or a control character.
pub(crate) fn level(name: &[u8]) -> String {
    if name.is_empty() {
        return "%00".into();
    }
    escape(name, true)
}

/// A path as text: bytes that are no UTF-8 and control characters as `%XX`.
pub(crate) fn text(path: &Path) -> String {
    escape(path.as_os_str().as_bytes(), false)
}

fn escape(bytes: &[u8], slash: bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    let mut rest = bytes;
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            let after = rest.get(char.len_utf8()..).unwrap_or_default();
            let is_escape = char == '%'
                && match after {
                    [b'~', ..] => true,
                    [a, b, ..] => a.is_ascii_hexdigit() && b.is_ascii_hexdigit(),
                    _ => false,
                };
            if char.is_control() || is_escape || (slash && char == '/') {
                hex(&mut out, rest.get(..char.len_utf8()).unwrap_or_default());
            } else {
                out.push(char);
            }
            rest = after;
        }
        hex(&mut out, chunk.invalid());
        rest = rest.get(chunk.invalid().len()..).unwrap_or_default();
    }
    out
}

fn hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing to a String can't fail.
        if write!(out, "%{byte:02X}").is_err() {
            return;
        }
    }
}

/// The folder for `levels` (each by [`level`]) below `into`.
pub(crate) fn folder(into: &FolderPath, levels: &[String], limits: &Limits) -> FolderPath {
    let room = limits.max_folder_depth.saturating_sub(into.as_str().split('/').count());
    let mut path = into.clone();
    if levels.is_empty() || room == 0 {
        return path;
    }
    let (own, joined) = levels.split_at(levels.len().min(room) - 1);
    for name in own.iter().cloned().chain([joined.join("%2F")]) {
        // Every way that a child can be refused is ruled out above; if storage forbids more, the mail goes one level up.
        if let Ok(child) = path.child(&shorten(name, limits.max_folder_name_bytes)) {
            path = child;
        }
    }
    path
}

fn shorten(name: String, max: usize) -> String {
    if name.len() <= max {
        return name;
    }
    let hash: String = hex::encode(Sha256::digest(name.as_bytes())).chars().take(16).collect();
    let mut end = max.saturating_sub(hash.len() + 2);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}%~{hash}", name.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What [`level`] promises to be the inverse of.
    fn unescape(level: &str) -> Vec<u8> {
        if level == "%00" {
            return Vec::new();
        }
        let mut out = Vec::new();
        let mut rest = level.as_bytes();
        while let Some((first, tail)) = rest.split_first() {
            let hex = tail.get(..2).and_then(|hex| hex::decode(hex).ok());
            match (first, hex) {
                (b'%', Some(byte)) => {
                    out.extend(byte);
                    rest = &tail[2..];
                }
                _ => {
                    out.push(*first);
                    rest = tail;
                }
            }
        }
        out
    }

    #[test]
    fn odd_names() {
        let cases: [(&[u8], &str); 10] = [
            (b"Inbox", "Inbox"),
            (b"", "%00"),
            (b"a/b", "a%2Fb"),
            (b"100 %", "100 %"),
            (b"100%25", "100%2525"),
            (b"a\nb\x7f", "a%0Ab%7F"),
            (b"caf\xe9", "caf%E9"),
            ("Entwürfe".as_bytes(), "Entwürfe"),
            ("\u{85}".as_bytes(), "%C2%85"),
            (b"x%~y", "x%25~y"),
        ];
        for (name, wanted) in cases {
            assert_eq!(level(name), wanted);
            assert_eq!(unescape(wanted), name);
        }
    }

    proptest! {
        #[test]
        fn reversible(name in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'%'), Just(b'4'), Just(b'F'), Just(b'~')], 0..40)) {
            // A file name never holds a NUL, and modified UTF-7 that does is not decoded.
            let name: Vec<u8> = name.into_iter().filter(|byte| *byte != 0).collect();
            let level = level(&name);
            prop_assert_eq!(unescape(&level), name);
            let path = format!("a/{level}");
            prop_assert!(FolderPath::new(path).is_ok());
        }
    }

    #[test]
    fn bound_of_depth() {
        let limits = Limits { max_folder_depth: 4, ..Limits::default() };
        let into = FolderPath::new("alice/F").unwrap();
        let levels = |count: usize| (0..count).map(|n| format!("n{n}")).collect::<Vec<_>>();
        assert_eq!(folder(&into, &levels(0), &limits).as_str(), "alice/F");
        assert_eq!(folder(&into, &levels(2), &limits).as_str(), "alice/F/n0/n1");
        assert_eq!(folder(&into, &levels(4), &limits).as_str(), "alice/F/n0/n1%2Fn2%2Fn3");
    }

    #[test]
    fn bound_of_length() {
        let limits = Limits { max_folder_name_bytes: 40, ..Limits::default() };
        let into = FolderPath::new("alice").unwrap();
        let at = "ü".repeat(20);
        assert_eq!(folder(&into, std::slice::from_ref(&at), &limits).as_str(), format!("alice/{at}"));
        let past = folder(&into, &[format!("{at}x")], &limits);
        let other = folder(&into, &[format!("{at}y")], &limits);
        assert!(past.as_str().len() <= "alice/".len() + 40);
        assert!(past.as_str().contains("%~"));
        assert_ne!(past, other);
    }
}
