//! Header values decoded: encoded words (RFC 2047), parameters with charset (RFC 2231), raw 8-bit.
//!
//! Linear in the value. Neighbouring encoded words of one charset are decoded together, since senders cut characters in two.

use super::{charset, transfer};
use crate::mime::param::{self, Param};
use memchr::memmem;

/// Decodes an unfolded value. What isn't an encoded word stays, 8-bit as UTF-8 or else Latin-1.
#[must_use]
pub fn decode_words(value: &[u8]) -> String {
    if memmem::find(value, b"=?").is_none() {
        return charset::guess(value);
    }
    let mut out = String::with_capacity(value.len());
    // Bytes of the encoded words just read, not yet turned into text, with their charset.
    let mut held: Option<(&[u8], Vec<u8>)> = None;
    let mut plain = 0;
    let mut from = 0;
    let mut ends = Ends::new(value);
    while let Some(at) = memmem::find(&value[from..], b"=?").map(|at| from + at) {
        let Some(word) = Word::parse(value, at, &mut ends) else {
            from = at + 2;
            continue;
        };
        let between = &value[plain..at];
        // White space between encoded words isn't shown (RFC 2047 §6.2); none at all is a common mistake.
        let adjacent = held.is_some() && between.iter().all(u8::is_ascii_whitespace);
        if !adjacent {
            flush(&mut held, &mut out);
            out.push_str(&charset::guess(between));
        }
        match &mut held {
            Some((label, bytes)) if label.eq_ignore_ascii_case(word.label) => {
                bytes.extend_from_slice(&word.bytes)
            }
            _ => {
                flush(&mut held, &mut out);
                held = Some((word.label, word.bytes));
            }
        }
        plain = word.end;
        from = word.end;
    }
    flush(&mut held, &mut out);
    out.push_str(&charset::guess(&value[plain..]));
    out
}

fn flush(held: &mut Option<(&[u8], Vec<u8>)>, out: &mut String) {
    if let Some((label, bytes)) = held.take() {
        out.push_str(&charset::decode(label, &bytes));
    }
}

/// Finds the `?=` after a place, remembering that there are no more.
struct Ends<'a> {
    value: &'a [u8],
    none_after: usize,
}

impl<'a> Ends<'a> {
    fn new(value: &'a [u8]) -> Self {
        Ends { value, none_after: memmem::rfind(value, b"?=").map_or(0, |at| at + 1) }
    }

    fn after(&self, from: usize) -> Option<usize> {
        if from >= self.none_after {
            return None;
        }
        memmem::find(&self.value[from..], b"?=").map(|at| from + at)
    }
}

struct Word<'a> {
    label: &'a [u8],
    bytes: Vec<u8>,
    end: usize,
}

impl<'a> Word<'a> {
    /// Reads `=?charset*language?B?…?=` at `at`.
    fn parse(value: &'a [u8], at: usize, ends: &mut Ends<'_>) -> Option<Word<'a>> {
        let inner = &value[at + 2..];
        let mark = memchr::memchr(b'?', inner.get(..80).unwrap_or(inner))?;
        let label = &inner[..mark];
        let label = label.split(|&byte| byte == b'*').next().unwrap_or(label);
        if label.is_empty() || label.iter().any(|&byte| byte <= b' ' || byte >= 0x7f || byte == b'=') {
            return None;
        }
        let encoding = *inner.get(mark + 1)?;
        if inner.get(mark + 2) != Some(&b'?') {
            return None;
        }
        let start = at + 2 + mark + 3;
        let end = ends.after(start)?;
        let text = &value[start..end];
        let bytes = match encoding {
            b'B' | b'b' => transfer::base64_run(text),
            b'Q' | b'q' => q_encoding(text),
            _ => return None,
        };
        Some(Word { label, bytes, end: end + 2 })
    }
}

fn q_encoding(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|&byte| if byte == b'_' { b' ' } else { byte }).collect();
    transfer::quoted_printable(&spaced)
}

/// A parameter's text: `key*` by RFC 2231, else `key`, which may hold encoded words though RFC 2047 §5 forbids it.
pub(crate) fn param_text(params: &[Param], key: &str) -> Option<String> {
    if let Some(value) = param::find(params, &format!("{key}*")) {
        let mut parts = value.splitn(3, |&byte| byte == b'\'');
        if let (Some(label), Some(_language), Some(text)) = (parts.next(), parts.next(), parts.next()) {
            return Some(charset::decode(label, &percent_decoded(text)));
        }
        return Some(charset::guess(&percent_decoded(value)));
    }
    param::find(params, key).map(decode_words)
}

fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match transfer::hex_pair(after).filter(|_| byte == b'%') {
            Some((decoded, after)) => {
                out.push(decoded);
                rest = after;
            }
            None => out.push(byte),
        }
    }
    out
}

/// Fields that no person reads or writes: unique tokens without end.
const MACHINE: [&str; 19] = [
    "authentication-results",
    "authentication-results-original",
    "delivered-to",
    "dkim-signature",
    "domainkey-signature",
    "feedback-id",
    "received",
    "received-spf",
    "return-path",
    "thread-index",
    "x-authentication-warning",
    "x-cms-mailid",
    "x-cmspt",
    "x-forefront-antispam-report",
    "x-gm-message-state",
    "x-google-dkim-signature",
    "x-google-smtp-source",
    "x-provags-id",
    "x-received",
];

/// Beginnings of the names of such fields.
const MACHINE_PREFIXES: [&str; 8] =
    ["arc-", "x-arc-", "x-forefront-", "x-microsoft-", "x-ms-", "x-proofpoint-", "x-spam-", "x-virus-"];

/// Whether TEXT leaves this header out: Received, DKIM-Signature, ARC-*, Authentication-Results … (docs/search.md has the list).
#[must_use]
pub fn is_machine_header(name: &str) -> bool {
    let starts = |prefix: &&str| {
        name.as_bytes().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    MACHINE.iter().any(|machine| machine.eq_ignore_ascii_case(name)) || MACHINE_PREFIXES.iter().any(starts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn encoded_words() {
        for (value, expected) in [
            (&b"plain"[..], "plain"),
            (b"=?utf-8?q?h=C3=A4?= b", "hä b"),
            (b"=?UTF-8?B?aMOk?=", "hä"),
            (b"=?iso-8859-1*de?Q?h=E4_b?=", "hä b"),
            (b"a =?utf-8?q?b?= =?utf-8?q?c?= d", "a bc d"),
            (b"=?utf-8?q?b?==?utf-8?q?c?=", "bc"),
            (b"=?utf-8?q?=C3?= =?utf-8?q?=A4?=", "ä"),
            (b"=?utf-8?b?w6Q=?= =?iso-8859-1?q?=E4?=", "ää"),
            (b"=?gb2312?B?xOM=?=", "你"),
            (b"=?no-such?q?a=E4?=", "aä"),
            (b"=?utf-8?b?!!!?=", ""),
            (b"=?utf-8?x?a?=", "=?utf-8?x?a?="),
            (b"=?utf-8?q?open", "=?utf-8?q?open"),
            (b"=? =?utf-8?q?a?=", "=? a"),
            (b"raw h\xe4 =?utf-8?q?=C3=A4?= \xc3\xa4", "raw hä ä ä"),
            (b"=?utf-8?q?a b?=", "a b"),
            (b"=?", "=?"),
        ] {
            assert_eq!(decode_words(value), expected, "{}", String::from_utf8_lossy(value));
        }
    }

    #[test]
    fn openings_without_end_cost_one_pass() {
        let value = b"=?a?q?".repeat(500_000);
        assert!(decode_words(&value).len() < value.len());
        let value = b"=?a?b ".repeat(500_000);
        assert_eq!(decode_words(&value).len(), value.len());
        let mut value = b"=?a?q?".repeat(500_000);
        value.extend_from_slice(b"x?=");
        drop(decode_words(&value));
    }

    #[test]
    fn file_names() {
        let find = |field: &[u8]| {
            let (_, params) = param::token_with_params(field).unwrap();
            param_text(&params, "filename")
        };
        assert_eq!(find(b"attachment; filename=\"=?utf-8?q?=C3=A4.txt?=\"").as_deref(), Some("ä.txt"));
        assert_eq!(
            find(b"attachment; filename*=utf-8'de'%C3%A4.txt; filename=a.txt").as_deref(),
            Some("ä.txt")
        );
        assert_eq!(
            find(b"attachment; filename*0*=iso-8859-1''%E4; filename*1=\".txt\"").as_deref(),
            Some("ä.txt")
        );
        assert_eq!(find(b"attachment; filename*=%41%zz").as_deref(), Some("A%zz"));
        assert_eq!(find(b"attachment; filename=\"h\xe4.txt\"").as_deref(), Some("hä.txt"));
        assert_eq!(find(b"attachment; x=y"), None);
    }

    #[test]
    fn machine_headers() {
        for name in [
            "Received",
            "DKIM-Signature",
            "ARC-Seal",
            "arc-message-signature",
            "X-MS-Exchange-Foo",
            "X-Spam-Score",
        ] {
            assert!(is_machine_header(name), "{name}");
        }
        for name in ["Subject", "From", "X-Mailer", "List-Id", "Receive", "Message-ID", "References", "", "ä"]
        {
            assert!(!is_machine_header(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_value(value in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'='), Just(b'?'), Just(b'q')], 0..200)) {
            drop(decode_words(&value));
        }
    }
}
