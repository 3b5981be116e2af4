//! ENABLE (RFC 5161): answered always; what isn't known is ignored, and what is on already is not told again.

use crate::proto::parse::Cursor;
use crate::reply::Refusal;
use crate::session::{Call, Done, Session};

/// ENABLE capability …
pub(crate) fn run(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let mut names = vec![c.atom()?];
    while c.eat(b' ') && !c.is_end() {
        names.push(c.atom()?);
    }
    c.end()?;
    let mut told: Vec<&'static [u8]> = Vec::new();
    for name in names {
        let (field, name): (&mut bool, &[u8]) = match name.to_ascii_uppercase().as_slice() {
            b"IMAP4REV2" => (&mut s.enabled.rev2, b"IMAP4rev2"),
            b"UTF8=ACCEPT" => (&mut s.enabled.utf8, b"UTF8=ACCEPT"),
            b"CONDSTORE" => (&mut s.enabled.condstore, b"CONDSTORE"),
            b"QRESYNC" => (&mut s.enabled.qresync, b"QRESYNC"),
            b"UIDONLY" => (&mut s.enabled.uidonly, b"UIDONLY"),
            _ => continue,
        };
        if !std::mem::replace(field, true) {
            told.push(name);
        }
    }
    call.out.extend_from_slice(b"* ENABLED");
    for name in told {
        call.out.push(b' ');
        call.out.extend_from_slice(name);
    }
    call.out.extend_from_slice(b"\r\n");
    // RFC 7162 §3.2.3: QRESYNC implies CONDSTORE.
    s.enabled.condstore |= s.enabled.qresync;
    Ok(Done::Ok("ENABLE done"))
}
