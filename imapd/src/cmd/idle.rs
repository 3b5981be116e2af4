//! IDLE (RFC 2177), with a selected mailbox or without one (Outlook). The session tells what is new; keepalives and
//! the time limit are the network's.

use crate::proto::parse::Cursor;
use crate::reply::Refusal;
use crate::session::{Call, Done, Mode, Session};

/// IDLE
pub(crate) fn run(_: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.end()?;
    call.out.extend_from_slice(b"+ idling\r\n");
    Ok(Done::Continue(Mode::Idle))
}
