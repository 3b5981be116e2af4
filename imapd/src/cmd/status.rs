//! STATUS (RFC 3501 §6.3.10, SIZE of RFC 8438, DELETED of RFC 9051): from the folder's ranges, without touching a message.

use super::objects;
use crate::proto::encode::{self, Text};
use crate::proto::parse::Cursor;
use crate::proto::parse::list::{StatusItem, status_items};
use crate::reply::Refusal;
use crate::session::enabled::Enabled;
use crate::session::{Call, Done, Mailbox, Session};

/// STATUS mailbox (items)
pub(crate) fn run(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let name = c.mailbox()?;
    c.sp()?;
    let items = status_items(c)?;
    c.end()?;
    if !are_known(s.enabled, &items) {
        return Err(Refusal::Bad("unknown STATUS item"));
    }
    let mailbox = s.open(name.as_deref())?;
    // RFC 7162 §3.1: it turns CONDSTORE on.
    s.enabled.condstore |= items.contains(&StatusItem::HighestModSeq);
    write(s.enabled.text(), &name.unwrap_or_default(), &mailbox, &items, call.out);
    Ok(Done::Ok("STATUS done"))
}

/// Whether the client's protocol has all these items.
pub(crate) fn are_known(enabled: Enabled, items: &[StatusItem]) -> bool {
    enabled.has_recent() || !items.contains(&StatusItem::Recent)
}

/// The untagged answer.
pub(crate) fn write(text: Text, name: &str, mailbox: &Mailbox, items: &[StatusItem], out: &mut Vec<u8>) {
    out.extend_from_slice(b"* STATUS ");
    text.mailbox(if name.eq_ignore_ascii_case("INBOX") { "INBOX" } else { name }, out);
    let mut before = b" (";
    for item in items {
        out.extend_from_slice(if before == b" (" { before } else { b" " });
        before = b"  ";
        let (word, value) = match item {
            StatusItem::MailboxId => {
                out.extend_from_slice(b"MAILBOXID ");
                objects::mailbox(mailbox.id(), out);
                continue;
            }
            StatusItem::Messages => ("MESSAGES ", mailbox.uids().len()),
            StatusItem::Recent => ("RECENT ", 0),
            StatusItem::UidNext => ("UIDNEXT ", u64::from(mailbox.uid_next())),
            StatusItem::UidValidity => ("UIDVALIDITY ", u64::from(mailbox.uid_validity())),
            StatusItem::Unseen => ("UNSEEN ", 0),
            StatusItem::Size => ("SIZE ", mailbox.bytes()),
            StatusItem::HighestModSeq => ("HIGHESTMODSEQ ", mailbox.mod_seq().0),
            // Nothing is ever marked.
            StatusItem::Deleted => ("DELETED ", 0),
        };
        out.extend_from_slice(word.as_bytes());
        encode::number(value, out);
    }
    out.extend_from_slice(b")\r\n");
}
