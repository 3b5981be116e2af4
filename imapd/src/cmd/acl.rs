//! MYRIGHTS, GETACL, LISTRIGHTS (RFC 4314): everyone has `lr` on what they see, and nobody more.
//!
//! Thunderbird greys out filing and deleting when MYRIGHTS says so. Who else may read an archive is not told.

use crate::proto::encode;
use crate::proto::parse::Cursor;
use crate::reply::Refusal;
use crate::session::{Call, Done, Session};

const RIGHTS: &[u8] = b" lr";

fn opened(session: &Session, name: Option<String>) -> Result<String, Refusal> {
    session.open(name.as_deref())?;
    Ok(name.unwrap_or_default())
}

/// MYRIGHTS mailbox
pub(crate) fn my_rights(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let name = c.mailbox()?;
    c.end()?;
    let name = opened(s, name)?;
    call.out.extend_from_slice(b"* MYRIGHTS ");
    encode::mailbox(&name, call.out);
    call.out.extend_from_slice(RIGHTS);
    call.out.extend_from_slice(b"\r\n");
    Ok(Done::Ok("MYRIGHTS done"))
}

/// GETACL mailbox: the user's own entry.
pub(crate) fn acl(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let name = c.mailbox()?;
    c.end()?;
    let name = opened(s, name)?;
    call.out.extend_from_slice(b"* ACL ");
    encode::mailbox(&name, call.out);
    call.out.push(b' ');
    encode::astring(s.user()?.as_bytes(), call.out);
    call.out.extend_from_slice(RIGHTS);
    call.out.extend_from_slice(b"\r\n");
    Ok(Done::Ok("GETACL done"))
}

/// LISTRIGHTS mailbox identifier: nothing can be granted; only for the user's own name are rights fixed.
pub(crate) fn list_rights(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let name = c.mailbox()?;
    c.sp()?;
    let who = c.astring()?;
    c.end()?;
    let name = opened(s, name)?;
    call.out.extend_from_slice(b"* LISTRIGHTS ");
    encode::mailbox(&name, call.out);
    call.out.push(b' ');
    encode::astring(&who, call.out);
    call.out.extend_from_slice(if *who == *s.user()?.as_bytes() { RIGHTS } else { b" \"\"" });
    call.out.extend_from_slice(b"\r\n");
    Ok(Done::Ok("LISTRIGHTS done"))
}
