//! SELECT and EXAMINE (both read-only: IMAP-CLIENTS, decision 1) with CONDSTORE and QRESYNC (RFC 7162), CLOSE and UNSELECT.
//!
//! What a client with QRESYNC missed comes before the tagged OK: what vanished, then what changed or came.

use super::vanished::{Chain, Vanished};
use super::{fetch, list, objects};
use crate::proto::encode;
use crate::proto::parse::fetch::Item;
use crate::proto::parse::{Cursor, sync};
use crate::reply::Refusal;
use crate::session::{Call, Done, Session, Work};
use storage::UidRanges;

const WORDS: &str = "[READ-ONLY] Selected";

/// SELECT, EXAMINE. Costs the number of UID ranges, not of messages, and what a client with QRESYNC missed.
pub(crate) fn run(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let name = c.mailbox()?;
    let asked = sync::select(c)?;
    c.end()?;
    // RFC 7162 §3.2.5: BAD without ENABLE before.
    if asked.qresync.is_some() && !s.enabled.qresync {
        return Err(Refusal::Bad("ENABLE QRESYNC first"));
    }
    // RFC 9586 §3.7.
    if s.enabled.uidonly && asked.qresync.as_ref().is_some_and(|known| known.numbers.is_some()) {
        return Err(Refusal::Bad("[UIDREQUIRED] QRESYNC names messages by UID"));
    }
    s.enabled.condstore |= asked.condstore;
    // RFC 3501 §6.3.1: the mailbox selected before is given up, even if this one can't be opened.
    if s.select(None).is_some() && s.enabled.tells_closed() {
        // RFC 7162 §3.2.11: what follows is about another one.
        call.out.extend_from_slice(b"* OK [CLOSED] The mailbox before is closed\r\n");
    }
    // RFC 5182 §2.1: nothing is saved then.
    s.saved = std::sync::Arc::default();
    let mailbox = s.open(name.as_deref())?;
    s.accessed(&mailbox, "imap.select")?;
    let out = &mut *call.out;
    out.extend_from_slice(b"* FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft $Forwarded)\r\n");
    out.extend_from_slice(b"* OK [PERMANENTFLAGS ()] Nothing is kept\r\n");
    s.enabled.exists(mailbox.uids().len(), out);
    let mut code = |name: &[u8], number: u64, words: &[u8]| {
        out.extend_from_slice(b"* OK [");
        out.extend_from_slice(name);
        encode::number(number, out);
        out.extend_from_slice(words);
    };
    code(b"UIDVALIDITY ", u64::from(mailbox.uid_validity()), b"] For good\r\n");
    code(b"UIDNEXT ", u64::from(mailbox.uid_next()), b"] Next UID\r\n");
    code(b"HIGHESTMODSEQ ", mailbox.mod_seq().0, b"] Highest\r\n");
    out.extend_from_slice(b"* OK [MAILBOXID ");
    objects::mailbox(mailbox.id(), out);
    out.extend_from_slice(b"] For good\r\n");
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
    let same = asked.qresync.filter(|known| known.uid_validity == mailbox.uid_validity());
    s.select(Some(mailbox));
    let mut works: Vec<Box<dyn Work>> = Vec::new();
    if let (Some(known), Some(view)) = (same, s.selected()?.view()) {
        let storage = &s.world.storage;
        let mut vanished = storage.vanished(view, known.since)?;
        let mut changed = storage.changed_since(view, known.since)?.intersect(&view.uids);
        if let Some(uids) = &known.known {
            let uids = uids.raw(0);
            vanished = vanished.intersect(&uids);
            changed = changed.intersect(&uids);
        }
        if let Some(agreed) = known.agreed(&view.uids) {
            vanished = vanished.subtract(&UidRanges::from_spans([(1, agreed.0)]));
        }
        works.push(Box::new(Vanished::earlier(&vanished)));
        works.extend(fetch::work(s, changed, vec![Item::Uid, Item::Flags, Item::ModSeq], true)?);
    }
    Ok(Done::Work(Box::new(Chain::new(works)), WORDS))
}

/// CLOSE, UNSELECT: nothing is marked, so nothing is expunged.
pub(crate) fn close(s: &mut Session, _: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.end()?;
    s.select(None);
    s.saved = std::sync::Arc::default();
    Ok(Done::Ok("Closed"))
}
