//! NOOP, CHECK, LOGOUT. What is new is told by the session at every command's end.

use crate::proto::parse::Cursor;
use crate::reply::Refusal;
use crate::session::{Call, Done, Session};

/// NOOP
pub(crate) fn noop(_: &mut Session, _: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.end()?;
    Ok(Done::Ok("NOOP done"))
}

/// CHECK
pub(crate) fn check(_: &mut Session, _: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.end()?;
    Ok(Done::Ok("CHECK done"))
}

/// LOGOUT
pub(crate) fn logout(_: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.end()?;
    call.out.extend_from_slice(b"* BYE Logging out\r\n");
    Ok(Done::Logout)
}
