//! NAMESPACE (RFC 2342): the own archive at the top, those of others below one name. Said to everyone alike, so that
//! it doesn't tell whether there are others.

use crate::proto::parse::Cursor;
use crate::reply::Refusal;
use crate::session::{Call, Done, Session, names};

/// NAMESPACE
pub(crate) fn run(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.end()?;
    call.out.extend_from_slice(b"* NAMESPACE ((\"\" \"/\")) ((");
    s.enabled.text().mailbox(&format!("{}/", names::OTHERS), call.out);
    call.out.extend_from_slice(b" \"/\")) NIL\r\n");
    Ok(Done::Ok("NAMESPACE done"))
}
