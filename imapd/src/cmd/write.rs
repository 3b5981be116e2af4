//! The commands that would change something: refused, or done with nothing to do (IMAP-CLIENTS, decisions 3 to 5). What is no
//! command at all is BAD all the same.

use crate::proto::parse::{Cursor, Wrong, metadata, write};
use crate::reply::Refusal;
use crate::session::{Call, Done, Session};

fn refused(
    c: &mut Cursor<'_>,
    parse: impl Fn(&mut Cursor<'_>) -> Result<(), Wrong>,
) -> Result<Done, Refusal> {
    c.sp()?;
    parse(c)?;
    c.end()?;
    Err(Refusal::READ_ONLY)
}

/// APPEND. With a literal it is refused where commands are framed; without one it is none.
pub(crate) fn append(_: &mut Session, _: &mut Call<'_>, _: &mut Cursor<'_>) -> Result<Done, Refusal> {
    Err(Refusal::Bad("APPEND has a literal"))
}

/// COPY, MOVE
pub(crate) fn copy(_: &mut Session, _: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    refused(c, write::copy)
}

/// CREATE
pub(crate) fn create(_: &mut Session, _: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    refused(c, write::create)
}

/// DELETE
pub(crate) fn delete(_: &mut Session, _: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    refused(c, |c| c.mailbox().map(drop))
}

/// RENAME
pub(crate) fn rename(_: &mut Session, _: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    refused(c, write::rename)
}

/// SETACL
pub(crate) fn set_acl(_: &mut Session, _: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    refused(c, |c| write::acl(c, true))
}

/// DELETEACL
pub(crate) fn delete_acl(_: &mut Session, _: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    refused(c, |c| write::acl(c, false))
}

/// SETMETADATA (RFC 5464 §4.3)
pub(crate) fn set_metadata(_: &mut Session, _: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    refused(c, metadata::set)
}

/// SUBSCRIBE, UNSUBSCRIBE: everything is subscribed and stays so; also for names that are not there, so that the
/// answer tells nothing.
pub(crate) fn subscribe(_: &mut Session, _: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    c.mailbox()?;
    c.end()?;
    Ok(Done::Ok("Every mailbox is subscribed"))
}

/// EXPUNGE, UID EXPUNGE: no message is ever marked, so nothing goes.
pub(crate) fn expunge(_: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    if call.uid {
        c.sp()?;
        c.targets()?;
    }
    c.end()?;
    Ok(Done::Ok("Nothing to expunge"))
}
