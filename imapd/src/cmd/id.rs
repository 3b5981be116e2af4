//! ID (RFC 2971): always a well-formed answer, since Outlook gives up without one.

use crate::proto::parse::{Cursor, simple};
use crate::reply::Refusal;
use crate::session::{Call, Done, Session};

/// ID parameters
pub(crate) fn run(_: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    simple::id(c)?;
    c.end()?;
    let line = concat!("* ID (\"name\" \"mailkeep\" \"version\" \"", env!("CARGO_PKG_VERSION"), "\")\r\n");
    call.out.extend_from_slice(line.as_bytes());
    Ok(Done::Ok("ID done"))
}
