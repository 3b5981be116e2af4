//! Maildir: what file names and folder names say.
//!
//! A message's file is `SECONDS.unique.host[,S=…]:2,FLAGS`; programs change the part behind the colon and move the file from
//! `new` to `cur`, so the part before it is the occurrence. Maildir++ folders are `.A.B` below the top one, each level in
//! modified UTF-7 (RFC 3501 §5.1.3). Pure functions: the directories are read in `walk`.

use crate::names;
use storage::{InternalDate, SourceFlags};

/// What the name of a message's file says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    /// The part that doesn't change.
    pub(crate) unique: &'a [u8],
    /// Delivery time.
    pub(crate) date: Option<InternalDate>,
    /// Flags.
    pub(crate) flags: SourceFlags,
}

/// Last second of the year 9999: no delivery time lies behind it.
const LAST_SECOND: i64 = 253_402_300_799;

/// Reads a file name. `;` and `!` stand for the colon where a file system forbids that.
pub(crate) fn name(name: &[u8]) -> Name<'_> {
    let info = [&b":2,"[..], b";2,", b"!2,"].iter().find_map(|mark| memchr::memmem::rfind(name, mark));
    let (unique, info) = name.split_at_checked(info.unwrap_or(name.len())).unwrap_or((name, b""));
    let letters = info.get(3..).unwrap_or_default();
    // Dovecot appends `,` and more; keywords are lower case.
    let letters = letters.split(|byte| *byte == b',').next().unwrap_or_default();
    let flags = SourceFlags {
        answered: letters.contains(&b'R'),
        flagged: letters.contains(&b'F'),
        forwarded: letters.contains(&b'P'),
    };
    let digits = unique.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let secs = unique
        .get(..digits)
        .and_then(|text| std::str::from_utf8(text).ok())
        .and_then(|text| text.parse().ok());
    let dotted = unique.get(digits) == Some(&b'.');
    let date = secs
        .filter(|secs| dotted && (1..=LAST_SECOND).contains(secs))
        .map(|secs| InternalDate { secs, zone: 0 });
    Name { unique, date, flags }
}

/// The levels of a Maildir++ folder, from its directory's name (`.A.B`).
pub(crate) fn levels(directory: &[u8]) -> Vec<String> {
    let name = directory.strip_prefix(b".").unwrap_or(directory);
    name.split(|byte| *byte == b'.').map(level).collect()
}

/// One level: modified UTF-7 if it is valid, else as it stands.
pub(crate) fn level(name: &[u8]) -> String {
    match utf7(name) {
        Some(decoded) => names::level(decoded.as_bytes()),
        None => names::level(name),
    }
}

/// Decodes modified UTF-7; `None` where the name is none, or has a NUL.
pub(crate) fn utf7(name: &[u8]) -> Option<String> {
    let mut out = String::new();
    let mut rest = name;
    while let Some((first, tail)) = rest.split_first() {
        rest = match first {
            b'&' => {
                let end = memchr::memchr(b'-', tail)?;
                let (coded, after) = (tail.get(..end)?, tail.get(end + 1..)?);
                if coded.is_empty() {
                    out.push('&');
                } else {
                    out.push_str(&utf16(coded)?);
                }
                after
            }
            b' '..=b'~' => {
                out.push(char::from(*first));
                tail
            }
            _ => return None,
        };
    }
    (!out.contains('\0')).then_some(out)
}

/// Modified base64 (`,` for `/`, no padding) of UTF-16BE.
fn utf16(coded: &[u8]) -> Option<String> {
    let (mut bits, mut count) = (0_u32, 0);
    let mut units = Vec::with_capacity(coded.len() * 6 / 16);
    for byte in coded {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b',' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0x3f_ffff;
        count += 6;
        if count >= 16 {
            count -= 16;
            units.push(u16::try_from(bits >> count & 0xffff).ok()?);
        }
    }
    // What is left over is padding: less than a letter, all zero.
    if count >= 6 || bits & ((1 << count) - 1) != 0 {
        return None;
    }
    String::from_utf16(&units).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_files() {
        let read = |text: &'static str| {
            let name = name(text.as_bytes());
            (
                std::str::from_utf8(name.unique).unwrap(),
                name.date.map(|date| date.secs),
                (name.flags.answered, name.flags.flagged, name.flags.forwarded),
            )
        };
        let none = (false, false, false);
        assert_eq!(
            read("1566286163.M55P1.host,S=5566:2,FPRS"),
            ("1566286163.M55P1.host,S=5566", Some(1_566_286_163), (true, true, true))
        );
        assert_eq!(read("1642966915.1.mox"), ("1642966915.1.mox", Some(1_642_966_915), none));
        assert_eq!(
            read("1642966915.1.mox;2,R"),
            ("1642966915.1.mox", Some(1_642_966_915), (true, false, false))
        );
        assert_eq!(read("1642966915.1.mox!2,Sab"), ("1642966915.1.mox", Some(1_642_966_915), none));
        assert_eq!(read("msg-001:2,"), ("msg-001", None, none));
        assert_eq!(read("12345"), ("12345", None, none));
        assert_eq!(read("99999999999999999999999.x"), ("99999999999999999999999.x", None, none));
        assert_eq!(read("253402300799.x").1, Some(LAST_SECOND));
        assert_eq!(read("253402300800.x").1, None);
        assert_eq!(read("a:2,F:2,R"), ("a:2,F", None, (true, false, false)));
    }

    #[test]
    fn names_of_folders() {
        assert_eq!(levels(b".Archive.2024.Kunden &- Co"), ["Archive", "2024", "Kunden & Co"]);
        assert_eq!(levels(b".Projekte.Entw&APw-rfe"), ["Projekte", "Entwürfe"]);
        assert_eq!(levels(b".&ZeVnLIqe-"), ["日本語"]);
        assert_eq!(levels(b".&2D3eAA-"), ["😀"]);
        assert_eq!(levels(b".a..b"), ["a", "%00", "b"]);
        assert_eq!(levels(b".a&AC8-b"), ["a%2Fb"]);
        // No modified UTF-7: kept as it stands.
        assert_eq!(levels(b".R&D"), ["R&D"]);
        assert_eq!(
            levels("./ü".strip_prefix("./").map(|name| format!(".{name}")).unwrap().as_bytes()),
            ["ü"]
        );
        assert_eq!(level(b"&AAA-"), "&AAA-");
        assert_eq!(level(b"&2D0-"), "&2D0-", "half a surrogate pair");
    }
}
