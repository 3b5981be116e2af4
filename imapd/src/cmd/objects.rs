//! Names of mailboxes, messages and conversations that never change (RFC 8474).
//!
//! `F` and `A` stand before the number of a folder (behind which a year may stand), or of the first folder of an archive, `M` before 160 bits of the SHA-256 that
//! is a message's identity, `T` before 64 bits of a hash of the Message-ID that began the conversation.

use storage::ContentHash;

/// Bytes of an identity that its name has.
const EMAIL_BYTES: usize = 20;

fn hex(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.extend([byte >> 4, byte & 15].iter().filter_map(|digit| DIGITS.get(usize::from(*digit))));
    }
}

/// The bytes that lower-case hexadecimal digits mean.
fn unhex(digits: &[u8]) -> Option<Vec<u8>> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let pairs = digits.chunks(2).map(|pair| match pair {
        [high, low] => Some(value(*high)? << 4 | value(*low)?),
        _ => None,
    });
    pairs.collect()
}

/// `EMAILID (…)`
pub(crate) fn email(hash: &ContentHash, out: &mut Vec<u8>) {
    out.extend_from_slice(b"EMAILID (M");
    hex(hash.0.get(..EMAIL_BYTES).unwrap_or_default(), out);
    out.push(b')');
}

/// `THREADID (…)`, or NIL where nothing is known.
pub(crate) fn thread(conversation: Option<u64>, out: &mut Vec<u8>) {
    match conversation {
        Some(root) => {
            out.extend_from_slice(b"THREADID (T");
            hex(&root.to_be_bytes(), out);
            out.push(b')');
        }
        None => out.extend_from_slice(b"THREADID NIL"),
    }
}

/// The beginning of the identity that EMAILID names; none for what no message can have.
pub(crate) fn find_email(id: &[u8]) -> Option<Vec<u8>> {
    unhex(id.strip_prefix(b"M")?).filter(|bytes| bytes.len() == EMAIL_BYTES)
}

/// The conversation that THREADID names; none for what no message can have.
pub(crate) fn find_thread(id: &[u8]) -> Option<u64> {
    let bytes = unhex(id.strip_prefix(b"T")?)?;
    Some(u64::from_be_bytes(<[u8; 8]>::try_from(bytes).ok()?))
}

/// What a mailbox is called (MAILBOXID).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum MailboxId {
    /// A folder; 0 is INBOX without one.
    Folder(u32),
    /// All mail of the archive whose first folder has the number.
    AllMail(u32),
    /// A year of a folder.
    Year(u32, i32),
}

/// `(…)` with a mailbox's name.
pub(crate) fn mailbox(id: MailboxId, out: &mut Vec<u8>) {
    let name = match id {
        MailboxId::Folder(number) => format!("(F{number})"),
        MailboxId::AllMail(number) => format!("(A{number})"),
        MailboxId::Year(number, year) => format!("(F{number}-{year})"),
    };
    out.extend_from_slice(name.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_others_are_none() {
        let hash = ContentHash([0xa7; 32]);
        let mut out = Vec::new();
        email(&hash, &mut out);
        let id = out.strip_prefix(b"EMAILID (").unwrap().strip_suffix(b")").unwrap();
        assert_eq!(find_email(id), Some(vec![0xa7; 20]));
        let mut out = Vec::new();
        thread(Some(0x0123_4567_89ab_cdef), &mut out);
        assert_eq!(out, b"THREADID (T0123456789abcdef)");
        assert_eq!(find_thread(b"T0123456789abcdef"), Some(0x0123_4567_89ab_cdef));
        for none in [
            &b""[..],
            b"M",
            b"T",
            b"T0123456789abcde",
            b"T0123456789abcdeg",
            b"M0123456789abcdef",
            b"T0123456789abcdef01",
        ] {
            assert_eq!((find_email(none), find_thread(none)), (None, None));
        }
        let mut out = Vec::new();
        thread(None, &mut out);
        for id in [MailboxId::Folder(12), MailboxId::AllMail(3), MailboxId::Year(12, 2019)] {
            mailbox(id, &mut out);
        }
        assert_eq!(out, b"THREADID NIL(F12)(A3)(F12-2019)");
    }
}
