//! Names of mailboxes: modified UTF-7 (RFC 3501 §5.1.3) to UTF-8 and back, and quoting.
//!
//! Invariant: what can't be decoded stays as it stands, so that no mailbox is lost; the raw name is what is sent back.

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::general_purpose::NO_PAD;
use base64::engine::{DecodePaddingMode, GeneralPurpose};

const MUTF7: GeneralPurpose = GeneralPurpose::new(
    &IMAP_MUTF7,
    NO_PAD.with_decode_padding_mode(DecodePaddingMode::RequireNone).with_decode_allow_trailing_bits(true),
);

/// A name for people. Not decodable as modified UTF-7: as UTF-8; not even that: `%XX` by whoever makes a folder of it.
pub(crate) fn decoded(raw: &[u8]) -> Vec<u8> {
    match std::str::from_utf8(raw).ok().filter(|text| text.is_ascii()).and_then(utf7) {
        Some(text) => text.into_bytes(),
        None => raw.to_vec(),
    }
}

fn utf7(text: &str) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(rest.get(..at)?);
        let (shifted, after) = rest.get(at + 1..)?.split_once('-')?;
        rest = after;
        if shifted.is_empty() {
            out.push('&');
            continue;
        }
        let bytes = MUTF7.decode(shifted).ok()?;
        let units: Vec<u16> = bytes
            .chunks_exact(2)
            .filter_map(|pair| Some(u16::from_be_bytes(pair.try_into().ok()?)))
            .collect();
        if units.len() * 2 != bytes.len() || units.is_empty() {
            return None;
        }
        out.push_str(&String::from_utf16(&units).ok()?);
    }
    out.push_str(rest);
    Some(out)
}

/// A string as an argument: quoted, or nothing when it must be a literal.
pub(crate) fn quoted(raw: &[u8]) -> Option<Vec<u8>> {
    if raw.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0) || !byte.is_ascii()) {
        return None;
    }
    let mut out = vec![b'"'];
    for byte in raw {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out.push(b'"');
    Some(out)
}

/// UIDs as a sequence set.
pub(crate) fn set(uids: &storage::UidRanges) -> String {
    let spans: Vec<String> =
        uids.spans().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}:{b}") }).collect();
    spans.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3501() {
        let cases: [(&str, &str); 9] = [
            ("INBOX", "INBOX"),
            ("~peter/mail/&U,BTFw-/&ZeVnLIqe-", "~peter/mail/台北/日本語"),
            ("&Jjo-!", "☺!"),
            ("Entw&APw-rfe", "Entwürfe"),
            ("R&-D", "R&D"),
            ("&2D3eAA-", "😀"),
            ("no end &Jjo", "no end &Jjo"),
            ("bad &J-", "bad &J-"),
            ("half &2D0-", "half &2D0-"),
        ];
        for (raw, wanted) in cases {
            assert_eq!(String::from_utf8(decoded(raw.as_bytes())).unwrap(), wanted);
        }
        assert_eq!(decoded("Entwürfe".as_bytes()), "Entwürfe".as_bytes());
        assert_eq!(decoded(b"caf\xe9 &-"), b"caf\xe9 &-");
    }

    #[test]
    fn quoting() {
        assert_eq!(quoted(b"a\"b\\c").unwrap(), b"\"a\\\"b\\\\c\"");
        assert_eq!(quoted(b"a\r\nb"), None);
        assert_eq!(quoted("ü".as_bytes()), None);
    }
}
