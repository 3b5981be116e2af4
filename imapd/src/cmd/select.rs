//! SELECT and EXAMINE (both read-only: IMAP-CLIENTS, decision 1), CLOSE and UNSELECT.

use crate::proto::encode;
use crate::proto::parse::Cursor;
use crate::reply::Refusal;
use crate::session::{Call, Done, Session, write_exists};

/// SELECT, EXAMINE. Costs the number of UID ranges, not of messages.
pub(crate) fn run(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let name = c.mailbox()?;
    c.end()?;
    // RFC 3501 §6.3.1: the mailbox selected before is given up, even if this one can't be opened.
    s.mailbox = None;
    // RFC 5182 §2.1: nothing is saved then.
    s.saved = std::sync::Arc::default();
    let mailbox = s.open(name.as_deref())?;
    let out = &mut *call.out;
    out.extend_from_slice(b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded)\r\n");
    out.extend_from_slice(b"* OK [PERMANENTFLAGS ()] Nothing is kept\r\n");
    write_exists(mailbox.uids().len(), out);
    out.extend_from_slice(b"* OK [UIDVALIDITY ");
    encode::number(u64::from(mailbox.uid_validity()), out);
    out.extend_from_slice(b"] For good\r\n* OK [UIDNEXT ");
    encode::number(u64::from(mailbox.uid_next()), out);
    out.extend_from_slice(b"] Next UID\r\n");
    s.mailbox = Some(mailbox);
    Ok(Done::Ok("[READ-ONLY] Selected"))
}

/// CLOSE, UNSELECT: nothing is marked, so nothing is expunged.
pub(crate) fn close(s: &mut Session, _: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.end()?;
    s.mailbox = None;
    s.saved = std::sync::Arc::default();
    Ok(Done::Ok("Closed"))
}
