//! BER as LDAP uses it (RFC 4511 §5.1): lengths are definite, tags are one byte.
//!
//! Invariant: reading is a walk along slices, without recursion and without copies, so that nothing a server nests or claims
//! costs stack or memory. What the values mean is `ldap`'s.

/// Universal tags.
pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const OCTETS: u8 = 0x04;
pub(super) const ENUMERATED: u8 = 0x0a;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// The most bytes that a tag and a length take here.
pub(super) const MAX_HEADER: usize = 6;

/// What the first bytes of a value say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    /// More bytes are needed.
    Incomplete,
    /// No BER, or a length of more than four bytes.
    Bad,
    /// The tag, the header's own bytes and those of the content.
    Known { tag: u8, header: usize, content: usize },
}

/// Reads a tag and a length.
pub(super) fn header(bytes: &[u8]) -> Header {
    let (tag, first) = match bytes {
        [] | [_] => return Header::Incomplete,
        [tag, first, ..] => (*tag, *first),
    };
    // A tag of several bytes, or an indefinite length: neither is in LDAP.
    if tag & 0x1f == 0x1f || first == 0x80 {
        return Header::Bad;
    }
    if first < 0x80 {
        return Header::Known { tag, header: 2, content: usize::from(first) };
    }
    let count = usize::from(first & 0x7f);
    if count > MAX_HEADER - 2 {
        return Header::Bad;
    }
    let Some(length) = bytes.get(2..2 + count) else { return Header::Incomplete };
    let content = length.iter().fold(0_usize, |sum, byte| (sum << 8) | usize::from(*byte));
    Header::Known { tag, header: 2 + count, content }
}

/// What is not as it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Values one after the other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    /// The bytes that are left.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
    /// The tag of the next value.
    pub(super) fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }
    /// The next value's tag and content.
    pub(super) fn next(&mut self) -> Result<(u8, &'a [u8]), Malformed> {
        let Header::Known { tag, header, content } = header(self.0) else { return Err(Malformed) };
        let end = header.checked_add(content).ok_or(Malformed)?;
        let value = self.0.get(header..end).ok_or(Malformed)?;
        self.0 = self.0.get(end..).unwrap_or_default();
        Ok((tag, value))
    }
    /// The content of the next value, which has this tag.
    pub(super) fn take(&mut self, tag: u8) -> Result<&'a [u8], Malformed> {
        match self.next()? {
            (found, value) if found == tag => Ok(value),
            _ => Err(Malformed),
        }
    }
    /// What is in the next value, which has this tag.
    pub(super) fn enter(&mut self, tag: u8) -> Result<Reader<'a>, Malformed> {
        self.take(tag).map(Reader)
    }
    /// A number of at most four bytes.
    pub(super) fn number(&mut self, tag: u8) -> Result<i64, Malformed> {
        let bytes = self.take(tag)?;
        if bytes.is_empty() || bytes.len() > 4 {
            return Err(Malformed);
        }
        let sign = if bytes.first().is_some_and(|byte| byte & 0x80 != 0) { -1_i64 } else { 0 };
        Ok(bytes.iter().fold(sign, |sum, byte| (sum << 8) | i64::from(*byte)))
    }
}

/// Appends a value.
pub(super) fn put(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    let length = content.len();
    if length < 0x80 {
        out.push(length.to_le_bytes()[0]);
    } else {
        let bytes = length.to_be_bytes();
        let skip = bytes.iter().take_while(|byte| **byte == 0).count();
        let used = bytes.get(skip..).unwrap_or_default();
        out.push(0x80 | used.len().to_le_bytes()[0]);
        out.extend_from_slice(used);
    }
    out.extend_from_slice(content);
}

/// Appends a number that isn't negative.
pub(super) fn put_number(out: &mut Vec<u8>, tag: u8, number: u32) {
    let bytes = number.to_be_bytes();
    let skip = bytes.iter().take(3).take_while(|byte| **byte == 0).count();
    let mut used = bytes.get(skip..).unwrap_or_default().to_vec();
    if used.first().is_some_and(|byte| byte & 0x80 != 0) {
        used.insert(0, 0);
    }
    put(out, tag, &used);
}

/// A value of this tag.
pub(super) fn value(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() + MAX_HEADER);
    put(&mut out, tag, content);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn headers_byte_by_byte() {
        let bytes = [0x30, 0x83, 0x01, 0x00, 0x02, 0xff];
        for end in 0..5 {
            assert_eq!(header(&bytes[..end]), Header::Incomplete, "{end}");
        }
        assert_eq!(header(&bytes), Header::Known { tag: 0x30, header: 5, content: 65_538 });
        assert_eq!(header(&[0x30, 0x7f]), Header::Known { tag: 0x30, header: 2, content: 127 });
        assert_eq!(
            header(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]),
            Header::Known { tag: 0x30, header: 6, content: 0xffff_ffff }
        );
        for bad in [&[0x30, 0x80][..], &[0x30, 0x85, 0, 0, 0, 0, 1], &[0x30, 0xff], &[0x1f, 0x01], &[0x3f, 0]]
        {
            assert_eq!(header(bad), Header::Bad, "{bad:?}");
        }
    }

    #[test]
    fn numbers() {
        for number in [0, 1, 127, 128, 255, 256, 65_535, 0x7fff_ffff] {
            let mut out = Vec::new();
            put_number(&mut out, INTEGER, number);
            assert_eq!(Reader::new(&out).number(INTEGER), Ok(i64::from(number)));
        }
        assert_eq!(Reader::new(&[2, 1, 0xff]).number(INTEGER), Ok(-1));
        for bad in [&[2, 0][..], &[2, 5, 0, 0, 0, 0, 1], &[4, 1, 0], &[2, 2, 1], &[]] {
            assert_eq!(Reader::new(bad).number(INTEGER), Err(Malformed), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(tag in 0_u8..0x1f, content in proptest::collection::vec(any::<u8>(), 0..70_000)) {
            let bytes = value(tag, &content);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.next(), Ok((tag, content.as_slice())));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn garbage_is_refused_or_walked(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut reader = Reader::new(&bytes);
            let mut before = bytes.len() + 1;
            while !reader.is_empty() && reader.0.len() < before {
                before = reader.0.len();
                if reader.next().is_err() {
                    break;
                }
            }
        }
    }
}
