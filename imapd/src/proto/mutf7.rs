//! Mailbox names in modified UTF-7 (RFC 3501 §5.1.3), both ways.
//!
//! Invariant: a name has exactly one encoded form; whatever else decodes to it is refused.

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &IMAP_MUTF7,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::RequireNone),
);

/// The encoded form of a name.
pub(crate) fn encode(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut wide: Vec<u8> = Vec::new();
    for c in name.chars() {
        if matches!(c, ' '..='~') {
            flush(&mut wide, &mut out);
            out.push_str(if c == '&' { "&-" } else { "" });
            if c != '&' {
                out.push(c);
            }
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                wide.extend_from_slice(&unit.to_be_bytes());
            }
        }
    }
    flush(&mut wide, &mut out);
    out
}

fn flush(wide: &mut Vec<u8>, out: &mut String) {
    if !wide.is_empty() {
        out.push('&');
        out.push_str(&BASE64.encode(&*wide));
        out.push('-');
        wide.clear();
    }
}

/// The name that `bytes` encode; `None` when they are no canonical modified UTF-7.
pub(crate) fn decode(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok().filter(|t| t.is_ascii())?;
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, after)) = rest.split_once('&') {
        out.push_str(plain);
        let (coded, after) = after.split_once('-')?;
        if coded.is_empty() {
            out.push('&');
        } else {
            let wide = BASE64.decode(coded).ok()?;
            let units = wide.chunks_exact(2).map(|u| match *u {
                [high, low] => u16::from_be_bytes([high, low]),
                _ => 0,
            });
            for c in char::decode_utf16(units) {
                out.push(c.ok()?);
            }
        }
        rest = after;
    }
    out.push_str(rest);
    // Other spellings of the same name (printable characters in base64, two runs next to each other) stop here.
    (encode(&out) == text).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn examples_both_ways() {
        for (name, coded) in [
            ("INBOX", "INBOX"),
            ("~peter/mail/台北/日本語", "~peter/mail/&U,BTFw-/&ZeVnLIqe-"),
            ("Entwürfe", "Entw&APw-rfe"),
            ("R&D", "R&-D"),
            ("&", "&-"),
            ("a😀b", "a&2D3eAA-b"),
        ] {
            assert_eq!(encode(name), coded);
            assert_eq!(decode(coded.as_bytes()).as_deref(), Some(name));
        }
    }

    #[test]
    fn other_spellings_are_refused() {
        for bad in [
            "&",
            "a&b",
            "&AGE-",
            "&U,BTFw-&ZeVnLIqe-",
            "Entw&APw-&-x&",
            "&2D0-",
            "&AP-",
            "&APw",
            "Entwürfe",
            "&A-",
            "a\tb",
            "&APx-",
        ] {
            assert_eq!(decode(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(decode(b"\xff"), None);
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in "\\PC{0,30}") {
            let coded = encode(&name);
            prop_assert!(coded.bytes().all(|b| (b' '..=b'~').contains(&b)));
            prop_assert_eq!(decode(coded.as_bytes()), Some(name));
        }
        #[test]
        fn what_decodes_is_canonical(bytes in "[&A-Da-d,+/ -]{0,20}") {
            if let Some(name) = decode(bytes.as_bytes()) {
                prop_assert_eq!(encode(&name), bytes);
            }
        }
    }
}
