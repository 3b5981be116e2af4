//! What is said between the process that extracts and the one that asks: all numbers little-endian.
//!
//! Greeting: `mkx`, version (1 byte), how far it is confined (1 byte). Request: format (1 byte), length (4), the file.
//! Answer: length of the text (4), of the trouble (4), text, trouble, both UTF-8. The asker believes no length beyond its bounds.

use crate::{Format, Found};
use std::io::{self, Read, Write};

/// The greeting without its last byte.
pub(crate) const GREETING: [u8; 4] = *b"mkx\x01";
/// Bytes of a greeting.
pub(crate) const GREETING_BYTES: usize = 5;
/// Bytes of a request before the file.
pub(crate) const REQUEST_BYTES: usize = 5;
/// Bytes of an answer before the text.
pub(crate) const ANSWER_BYTES: usize = 8;
/// Longest trouble, bytes.
pub(crate) const MAX_TROUBLE: usize = 500;

/// The front of a request.
pub(crate) fn request(format: Format, len: u32) -> [u8; REQUEST_BYTES] {
    let [a, b, c, d] = len.to_le_bytes();
    [format.code(), a, b, c, d]
}

/// Reads a request; `None` at the end of all requests.
pub(crate) fn read_request(source: &mut impl Read, most: u64) -> io::Result<Option<(Format, Vec<u8>)>> {
    let mut head = [0; REQUEST_BYTES];
    match source.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let [code, a, b, c, d] = head;
    let len = u64::from(u32::from_le_bytes([a, b, c, d]));
    let invalid = || io::Error::from(io::ErrorKind::InvalidData);
    let format = Format::from_code(code).ok_or_else(invalid)?;
    if len > most {
        return Err(invalid());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(len).map_err(|_| invalid())?);
    if source.take(len).read_to_end(&mut bytes)? as u64 != len {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some((format, bytes)))
}

/// Writes an answer.
pub(crate) fn write_answer(sink: &mut impl Write, found: &Found) -> io::Result<()> {
    let trouble = found.trouble.as_deref().unwrap_or_default();
    let mut end = trouble.len().min(MAX_TROUBLE);
    while !trouble.is_char_boundary(end) {
        end -= 1;
    }
    let trouble = &trouble[..end];
    for len in [found.text.len(), trouble.len()] {
        sink.write_all(&u32::try_from(len).map_err(io::Error::other)?.to_le_bytes())?;
    }
    sink.write_all(found.text.as_bytes())?;
    sink.write_all(trouble.as_bytes())?;
    sink.flush()
}

/// The whole answer's length, once its front is there; `None` while it isn't. An error when it is out of bounds.
pub(crate) fn answer_len(so_far: &[u8], most_text: usize) -> Result<Option<usize>, ()> {
    let Some(&[a, b, c, d, e, f, g, h]) = so_far.first_chunk::<ANSWER_BYTES>() else { return Ok(None) };
    let text = usize::try_from(u32::from_le_bytes([a, b, c, d])).map_err(|_| ())?;
    let trouble = usize::try_from(u32::from_le_bytes([e, f, g, h])).map_err(|_| ())?;
    if text > most_text || trouble > MAX_TROUBLE {
        return Err(());
    }
    Ok(Some(ANSWER_BYTES + text + trouble))
}

/// A complete answer.
pub(crate) fn answer(bytes: &[u8]) -> Option<Found> {
    let (head, rest) = bytes.split_first_chunk::<ANSWER_BYTES>()?;
    let [a, b, c, d, ..] = *head;
    let len = usize::try_from(u32::from_le_bytes([a, b, c, d])).ok()?;
    let (text, trouble) = (rest.get(..len)?, rest.get(len..)?);
    let text = String::from_utf8(text.to_vec()).ok()?;
    let trouble = String::from_utf8(trouble.to_vec()).ok()?;
    Some(Found { text, trouble: (!trouble.is_empty()).then_some(trouble) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_come_back_up_to_their_bound() {
        let mut bytes = request(Format::Rtf, 3).to_vec();
        bytes.extend_from_slice(b"abc");
        let read = |most| read_request(&mut &bytes[..], most);
        assert_eq!(read(3).unwrap(), Some((Format::Rtf, b"abc".to_vec())));
        assert!(read(2).is_err());
        assert_eq!(read_request(&mut &b""[..], 9).unwrap(), None);
        assert!(read_request(&mut &bytes[..7], 9).is_err(), "a file that ends early");
    }

    #[test]
    fn answers_come_back_up_to_their_bounds() {
        let found = Found { text: "t\u{e4}xt".into(), trouble: Some("x".repeat(MAX_TROUBLE)) };
        let mut bytes = Vec::new();
        write_answer(&mut bytes, &found).unwrap();
        assert_eq!(answer_len(&bytes[..7], 5), Ok(None));
        assert_eq!(answer_len(&bytes, 5), Ok(Some(bytes.len())));
        assert_eq!(answer_len(&bytes, 4), Err(()));
        assert_eq!(answer(&bytes), Some(found.clone()));
        let long = Found { trouble: Some("\u{e4}".repeat(MAX_TROUBLE)), ..found };
        bytes.clear();
        write_answer(&mut bytes, &long).unwrap();
        assert_eq!(answer(&bytes).unwrap().trouble.unwrap().len(), MAX_TROUBLE);
        bytes[4] = 0xff;
        assert_eq!(answer_len(&bytes, 5), Err(()));
    }
}
