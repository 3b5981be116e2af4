//! SELECT and EXAMINE (both read-only: IMAP-CLIENTS, decision 1), CLOSE and UNSELECT.

use super::list;
use crate::proto::encode;
use crate::proto::parse::Cursor;
use crate::reply::Refusal;
use crate::session::{Call, Done, Session};

/// SELECT, EXAMINE. Costs the number of UID ranges, not of messages.
pub(crate) fn run(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let name = c.mailbox()?;
    c.end()?;
    // RFC 3501 §6.3.1: the mailbox selected before is given up, even if this one can't be opened.
    if s.mailbox.take().is_some() && s.enabled.tells_mailboxes() {
        call.out.extend_from_slice(b"* OK [CLOSED] The mailbox before is closed\r\n");
    }
    // RFC 5182 §2.1: nothing is saved then.
    s.saved = std::sync::Arc::default();
    let mailbox = s.open(name.as_deref())?;
    let out = &mut *call.out;
    out.extend_from_slice(b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded)\r\n");
    out.extend_from_slice(b"* OK [PERMANENTFLAGS ()] Nothing is kept\r\n");
    s.enabled.exists(mailbox.uids().len(), out);
    out.extend_from_slice(b"* OK [UIDVALIDITY ");
    encode::number(u64::from(mailbox.uid_validity()), out);
    out.extend_from_slice(b"] For good\r\n* OK [UIDNEXT ");
    encode::number(u64::from(mailbox.uid_next()), out);
    out.extend_from_slice(b"] Next UID\r\n");
    if s.enabled.tells_mailboxes() {
        let entry = s.entry(&mailbox)?;
        let text = s.enabled.text();
        out.extend_from_slice(b"* LIST (\\Subscribed ");
        list::attributes(&entry, out);
        out.extend_from_slice(b") \"/\" ");
        text.mailbox(&entry.name, out);
        // RFC 9051 §6.3.9.7: INBOX in another case is another name of it.
        if let Some(name) = name.filter(|name| *name != entry.name) {
            out.extend_from_slice(b" (\"OLDNAME\" (");
            text.string(name.as_bytes(), out);
            out.extend_from_slice(b"))");
        }
        out.extend_from_slice(b"\r\n");
    }
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
