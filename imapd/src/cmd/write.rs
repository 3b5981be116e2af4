//! The commands that would change something: refused, or done with nothing to do (IMAP-CLIENTS, decisions 3 to 5).

use crate::proto::parse::Cursor;
use crate::reply::Refusal;
use crate::session::{Call, Done, Session};

/// APPEND, COPY, MOVE, CREATE, DELETE, RENAME, SETACL, DELETEACL: whatever the arguments, the archive is read-only.
pub(crate) fn refused(_: &mut Session, _: &mut Call<'_>, _: &mut Cursor<'_>) -> Result<Done, Refusal> {
    Err(Refusal::READ_ONLY)
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
