//! FETCH responses: facts, header fields, and the message itself, which goes to a spool as it comes.
//!
//! Invariant: of a message no more is in memory than storage's own bound for spooling; one that is too large is passed over
//! when that is soon done, else the connection ends, and the fault names it.

use super::lexer::{Lexer, unwrap};
use super::response::flags;
use crate::remote::fault::Fault;
use storage::{Incoming, InternalDate, SourceFlags};
use time::format_description::well_known::Rfc2822;

/// Bytes of a message past the limit that are read over; more, and a new connection is cheaper.
const READ_OVER: u64 = 16 << 20;

/// A message as far as it was sent.
#[derive(Debug, Default)]
pub(crate) struct Fetched {
    pub(crate) uid: Option<u32>,
    pub(crate) flags: Option<Vec<String>>,
    pub(crate) date: Option<InternalDate>,
    pub(crate) size: Option<u64>,
    /// OBJECTID (RFC 8474).
    pub(crate) email_id: Option<Vec<u8>>,
    /// `BODY[HEADER]` or some of its fields.
    pub(crate) header: Option<Vec<u8>>,
    /// `BODY[]`, or why it could not be kept.
    pub(crate) body: Option<Result<Incoming, String>>,
}

impl Fetched {
    pub(crate) fn has(&self, flag: &str) -> bool {
        self.flags.iter().flatten().any(|own| own.eq_ignore_ascii_case(flag))
    }
    pub(crate) fn source_flags(&self) -> SourceFlags {
        SourceFlags {
            answered: self.has("\\Answered"),
            flagged: self.has("\\Flagged"),
            forwarded: self.has("$Forwarded"),
        }
    }
}

/// The value of a FETCH response, to the end of its line.
pub(super) fn fetched(lexer: &mut Lexer, limits: &storage::Limits) -> Result<Fetched, Fault> {
    let mut found = Fetched::default();
    lexer.expect(b'(')?;
    loop {
        lexer.blanks()?;
        if lexer.have(b')')? {
            break;
        }
        let name = lexer.atom()?;
        let mut section = None;
        if lexer.have(b'[')? {
            let text = lexer.until(|byte| matches!(byte, b']' | b'\n'))?;
            lexer.expect(b']')?;
            // `<0>` for a part of it; nothing of the kind is asked for.
            lexer.until(|byte| matches!(byte, b' ' | b'\r' | b'\n'))?;
            section = Some(String::from_utf8_lossy(&text).to_ascii_uppercase());
        }
        if name.is_empty() {
            return Err(Fault::protocol("a FETCH response without the name of an item"));
        }
        lexer.blanks()?;
        match (name.as_str(), section.as_deref()) {
            ("UID", None) => found.uid = u32::try_from(lexer.number()?).ok().filter(|uid| *uid > 0),
            ("FLAGS", None) => {
                lexer.expect(b'(')?;
                found.flags = Some(flags(lexer)?);
            }
            ("INTERNALDATE", None) => found.date = lexer.string()?.and_then(|text| internal_date(&text)),
            ("RFC822.SIZE", None) => found.size = Some(lexer.number()?),
            ("EMAILID", None) => {
                if lexer.have(b'(')? {
                    found.email_id = lexer.string()?;
                    lexer.blanks()?;
                    lexer.expect(b')')?;
                } else {
                    lexer.skip(0)?;
                }
            }
            ("BODY", Some("")) | ("RFC822", None) => {
                let uid = found.uid;
                // The first counts: a second one for the same message may be anything.
                if let Some(body) = body(lexer, limits, uid)?
                    && found.body.is_none()
                {
                    found.body = Some(body);
                }
            }
            ("BODY", Some(section)) if section.starts_with("HEADER") => found.header = lexer.string()?,
            _ => lexer.skip(0)?,
        }
    }
    lexer.end()?;
    Ok(found)
}

/// The message; none for NIL.
fn body(
    lexer: &mut Lexer,
    limits: &storage::Limits,
    uid: Option<u32>,
) -> Result<Option<Result<Incoming, String>>, Fault> {
    if lexer.peek()? == b'~' {
        lexer.next()?;
    }
    if lexer.peek()? != b'{' {
        let Some(text) = lexer.string()? else { return Ok(None) };
        return Ok(Some(Incoming::read(&text[..], Vec::new(), limits).map_err(|error| error.to_string())));
    }
    let length = lexer.literal()?;
    let mut reader = lexer.reader(length);
    let read = Incoming::read(&mut reader, Vec::new(), limits);
    let error = match read {
        Ok(incoming) => {
            reader.finish(0)?;
            return Ok(Some(Ok(incoming)));
        }
        // The network, or who cancelled: not the message.
        Err(storage::Error::Io { source, .. }) if source.get_ref().is_some() => return Err(unwrap(&source)),
        Err(error @ storage::Error::Limit { .. }) => error.to_string(),
        Err(error) => return Err(error.into()),
    };
    if reader.finish(READ_OVER)? {
        return Ok(Some(Err(error)));
    }
    let which = uid.map_or_else(String::new, |uid| format!(" with UID {uid}"));
    Err(Fault::protocol(format!("it sends {length} bytes as the message{which}: {error}")))
}

/// `17-Jul-1996 02:44:25 -0700`; the day may have one digit and a blank before it.
pub(crate) fn internal_date(text: &[u8]) -> Option<InternalDate> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let (date, rest) = text.split_once(' ')?;
    let mut parts = date.split('-');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    let month = month.get(..1)?.to_ascii_uppercase() + &month.get(1..)?.to_ascii_lowercase();
    let text = format!("{:0>2} {month} {year} {rest}", day.trim());
    let moment = time::OffsetDateTime::parse(&text, &Rfc2822).ok()?;
    Some(InternalDate { secs: moment.unix_timestamp(), zone: moment.offset().whole_minutes() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let date = internal_date(b"17-Jul-1996 02:44:25 -0700").unwrap();
        assert_eq!((date.secs, date.zone), (837_596_665, -420));
        assert_eq!(internal_date(b" 1-Jan-2020 00:00:00 +0000").unwrap().secs, 1_577_836_800);
        assert_eq!(internal_date(b"01-JAN-2020 00:00:00 +0000").unwrap().secs, 1_577_836_800);
        for wrong in ["", "x", "32-Jan-2020 00:00:00 +0000", "01-Jan-2020", "01-ü-2020 00:00:00 +0000"] {
            assert_eq!(internal_date(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
