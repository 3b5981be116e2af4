//! What a file is, by its first bytes: mail, a mailbox, or neither.
//!
//! Invariant: looks at no more than `HEAD_BYTES` and decides the same for the same bytes. What it calls `Other` is still
//! accounted for by its caller.

use crate::from_line;

/// How much of a file decides.
pub(crate) const HEAD_BYTES: usize = 64 << 10;

/// The byte order mark that some editors leave at the top.
pub(crate) const BOM: &[u8] = b"\xef\xbb\xbf";

/// A file's kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No bytes.
    Empty,
    /// Begins with a From_ line.
    Mbox,
    /// Begins with four ^A.
    Mmdf,
    /// Begins with a header as mail has it.
    Message,
    /// Packed by gzip, bzip2, xz or zstd.
    Compressed,
    /// Nothing of these.
    Other,
}

/// Fields of which one must stand in the header of a file that nothing else (name, directory) says is mail.
const MAIL_FIELDS: [&str; 21] = [
    "from",
    "to",
    "cc",
    "bcc",
    "date",
    "subject",
    "message-id",
    "received",
    "return-path",
    "delivered-to",
    "reply-to",
    "sender",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "in-reply-to",
    "references",
    "resent-from",
    "envelope-to",
    "x-original-to",
    "dkim-signature",
];

/// The kind of a file that begins with `head` (its first `HEAD_BYTES`, or all of it).
pub(crate) fn kind(head: &[u8]) -> Kind {
    if head.is_empty() {
        return Kind::Empty;
    }
    if head.starts_with(b"\x01\x01\x01\x01\n") || head.starts_with(b"\x01\x01\x01\x01\r\n") {
        return Kind::Mmdf;
    }
    if is_compressed(head) {
        return Kind::Compressed;
    }
    if from_line_len(skip_blank_lines(head.strip_prefix(BOM).unwrap_or(head))).is_some() {
        return Kind::Mbox;
    }
    if has_mail_header(head) { Kind::Message } else { Kind::Other }
}

/// Mail of a kind that is not read: what it is, by the file's name and first bytes. It must not pass for no mail.
pub(crate) fn foreign(name: &[u8], head: &[u8]) -> Option<&'static str> {
    let named = |extension: &[u8]| {
        let start = name.len().saturating_sub(extension.len());
        name.get(start..).is_some_and(|end| end.eq_ignore_ascii_case(extension))
    };
    let first_line = head.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii_end();
    match head {
        [b'!', b'B', b'D', b'N', ..] => Some("an Outlook data file (PST, OST)"),
        [0xcf, 0xad, 0x12, 0xfe, ..] | [b'J', b'M', b'F', b'6' | b'9', ..] => {
            Some("an Outlook Express folder")
        }
        [b'*', b'm', b'b', b'x', b'*', b'\r', b'\n', ..] => Some("an MBX mailbox of UW IMAP"),
        [0xd0, 0xcf, 0x11, 0xe0, ..] if named(b".msg") => Some("an Outlook message (MSG)"),
        [b'P', b'K', 3, 4, ..] if named(b".olm") => Some("an Outlook for Mac archive (OLM)"),
        _ if named(b".emlx") && !first_line.is_empty() && first_line.iter().all(u8::is_ascii_digit) => {
            Some("an Apple Mail message (EMLX)")
        }
        _ => None,
    }
}

/// Whether the bytes are those of a packed file.
pub(crate) fn is_compressed(head: &[u8]) -> bool {
    [&b"\x1f\x8b"[..], b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"].iter().any(|magic| head.starts_with(magic))
}

/// `head` from its first line that is not blank.
pub(crate) fn skip_blank_lines(head: &[u8]) -> &[u8] {
    let start = head.iter().position(|byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(head.len());
    head.get(start..).unwrap_or_default()
}

/// The length, line end included, of the From_ line that `head` begins with: one with a date, or one that a header follows.
pub(crate) fn from_line_len(head: &[u8]) -> Option<usize> {
    if !head.starts_with(b"From ") {
        return None;
    }
    let len = memchr::memchr(b'\n', head.get(..from_line::MAX_LINE_BYTES.min(head.len()))?)? + 1;
    let (line, next) = head.split_at_checked(len)?;
    (from_line::date(line).is_some() || is_field(next)).then_some(len)
}

/// Whether `bytes` begin with a header field (RFC 5322 §2.2; white space before the colon is obsolete and read).
pub(crate) fn is_field(bytes: &[u8]) -> bool {
    field_name(bytes).is_some()
}

/// The name of the header field that `bytes` begin with.
pub(crate) fn field_name(bytes: &[u8]) -> Option<&[u8]> {
    let name_len = bytes.iter().take(256).position(|byte| !matches!(byte, b'!'..=b'9' | b';'..=b'~'))?;
    let (name, rest) = bytes.split_at_checked(name_len)?;
    let colon = rest.iter().take(16).find(|byte| !matches!(byte, b' ' | b'\t'))?;
    (!name.is_empty() && *colon == b':').then_some(name)
}

/// Whether the header at the top of `head` has a field that only mail has, its first line being a field.
fn has_mail_header(head: &[u8]) -> bool {
    let head = skip_blank_lines(head.strip_prefix(BOM).unwrap_or(head)).trim_ascii_start();
    if !is_field(head) && !head.starts_with(b">From ") {
        return false;
    }
    for line in head.split(|byte| *byte == b'\n').take(500) {
        if matches!(line, b"" | b"\r") {
            return false;
        }
        let known = field_name(line)
            .is_some_and(|name| MAIL_FIELDS.iter().any(|field| name.eq_ignore_ascii_case(field.as_bytes())));
        if known {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds() {
        let cases: [(&[u8], Kind); 19] = [
            (b" From: a@b\nSubject: x\n\n", Kind::Message),
            (b"\xef\xbb\xbfFrom -\nSubject: x\n\n", Kind::Mbox),
            (b"", Kind::Empty),
            (b"From a@b Fri Sep  4 14:55:26 2020\nSubject: x\n\n", Kind::Mbox),
            (b"\n\nFrom a@b Fri Sep  4 14:55:26 2020\nSubject: x\n\n", Kind::Mbox),
            (b"From nobody\nSubject: x\n\n", Kind::Mbox),
            (b"From the docs\nsome words\n", Kind::Other),
            (b"\x01\x01\x01\x01\nSubject: x\n", Kind::Mmdf),
            (b"Subject: x\n\nbody", Kind::Message),
            (b"\xef\xbb\xbfSubject : x\r\n\r\nbody", Kind::Message),
            (b"X-Odd: 1\nfrom: me\n\n", Kind::Message),
            (b"X-Odd: 1\n\nfrom: me\n\n", Kind::Other),
            (b"BEGIN:VCARD\nVERSION:3.0\n", Kind::Other),
            (b"<html>\nFrom: x\n", Kind::Other),
            (b"Domains:\n\tmox.example:\n", Kind::Other),
            (b"\x1f\x8b\x08", Kind::Compressed),
            (b"\x00\x00", Kind::Other),
            (b"\n\n\n", Kind::Other),
            (b"http://example.org/\nTo: x\n", Kind::Message),
        ];
        for (head, wanted) in cases {
            assert_eq!(kind(head), wanted, "{:?}", String::from_utf8_lossy(head));
        }
    }

    #[test]
    fn mail_that_is_not_read() {
        for (name, head) in [
            ("a.pst", &b"!BDN\xab"[..]),
            ("a.dbx", b"\xcf\xad\x12\xfe\xc5"),
            ("a.mbx", b"JMF6\x03"),
            ("a", b"*mbx*\r\n"),
            ("a.MSG", b"\xd0\xcf\x11\xe0\xa1"),
            ("a.olm", b"PK\x03\x04"),
            ("1.emlx", b"497      \nSubject: x\n"),
        ] {
            assert!(foreign(name.as_bytes(), head).is_some(), "{name}");
        }
        for (name, head) in
            [("a.doc", &b"\xd0\xcf\x11\xe0\xa1"[..]), ("a.zip", b"PK\x03\x04"), ("b.emlx", b"x"), ("", b"")]
        {
            assert!(foreign(name.as_bytes(), head).is_none(), "{name}");
        }
    }
}
