//! ENABLE (RFC 5161): answered always, also for what isn't offered; there is nothing that needs enabling.

use crate::proto::parse::Cursor;
use crate::reply::Refusal;
use crate::session::{Call, Done, Session};

/// ENABLE capability …
pub(crate) fn run(_: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    c.atom()?;
    while c.eat(b' ') && !c.is_end() {
        c.atom()?;
    }
    c.end()?;
    call.out.extend_from_slice(b"* ENABLED\r\n");
    Ok(Done::Ok("ENABLE done"))
}
