//! ENABLE (RFC 5161): answered always, also for what isn't offered; ENABLED lists what this command enabled.

use crate::proto::encode;
use crate::proto::parse::Cursor;
use crate::reply::Refusal;
use crate::session::{Call, Done, Session};

/// ENABLE capability …
pub(crate) fn run(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let mut names = vec![c.atom()?.to_ascii_uppercase()];
    while c.eat(b' ') && !c.is_end() {
        names.push(c.atom()?.to_ascii_uppercase());
    }
    c.end()?;
    let before = s.enabled;
    call.out.extend_from_slice(b"* ENABLED");
    for name in names {
        let set = match name.as_slice() {
            b"CONDSTORE" => &mut s.enabled.condstore,
            b"QRESYNC" => &mut s.enabled.qresync,
            b"UIDONLY" => &mut s.enabled.uidonly,
            _ => continue,
        };
        if !std::mem::replace(set, true) {
            call.out.push(b' ');
            call.out.extend_from_slice(&name);
        }
    }
    call.out.extend_from_slice(b"\r\n");
    // RFC 7162 §3.2.3: QRESYNC implies CONDSTORE.
    s.enabled.condstore |= s.enabled.qresync;
    if s.enabled.condstore
        && !before.condstore
        && let Some(mailbox) = &s.mailbox
    {
        call.out.extend_from_slice(b"* OK [HIGHESTMODSEQ ");
        encode::number(mailbox.mod_seq().0, call.out);
        call.out.extend_from_slice(b"] Highest\r\n");
    }
    Ok(Done::Ok("ENABLE done"))
}
