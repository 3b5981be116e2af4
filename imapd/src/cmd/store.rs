//! STORE: taken and ignored, with the real flags as the answer (IMAP-CLIENTS, decision 3).
//!
//! RFC 3501 §7.1 lets a server ignore flags that aren't permanent, and none is. But nobody may believe that they
//! deleted mail: setting \Deleted is refused.

use super::{fetch, limit};
use crate::proto::encode;
use crate::proto::parse::fetch::Item;
use crate::proto::parse::{Cursor, simple, sync};
use crate::proto::set::Runs;
use crate::reply::Refusal;
use crate::session::{Call, Done, Session};
use storage::{ModSeq, UidRanges};

const WORDS: &str = "The archive is read-only, flags stay as they are";

/// STORE, UID STORE
pub(crate) fn run(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let targets = c.targets()?;
    c.sp()?;
    let unchanged = sync::unchanged_since(c)?;
    let store = simple::store(c)?;
    c.end()?;
    s.enabled.condstore |= unchanged.is_some();
    let uids = fetch::resolve(s, &targets, call.uid)?;
    if store.deletes || s.world.settings.refuse_store {
        return Err(Refusal::READ_ONLY);
    }
    let (uids, cut) = limit::cut(s, uids);
    let modified = unchanged.map(|since| modified(s, &uids, since, call.uid)).transpose()?;
    // Told for .SILENT too, else clients that drew the change in advance would drift.
    let mut items = vec![Item::Flags];
    s.enabled.with_mod_seq(&mut items);
    let Some(work) = fetch::ordered(s, uids, items, call.uid, cut.is_some())? else {
        return Ok(Done::Ok(WORDS));
    };
    Ok(match modified.filter(|set| !set.is_empty()) {
        Some(set) => limit::done_with_code(work, cut, format!("[MODIFIED {set}] {WORDS}")),
        None => limit::done(work, cut, WORDS),
    })
}

/// The messages that have changed since, as a set of numbers or UIDs (RFC 7162 §3.1.3). Zero: all of them, since flags of the
/// system are there always.
fn modified(s: &Session, uids: &UidRanges, since: ModSeq, by_uid: bool) -> Result<String, Refusal> {
    let mailbox = s.selected()?;
    let Some(view) = mailbox.view() else { return Ok(String::new()) };
    let changed = s.world.storage.changed_since(view, since)?.intersect(uids);
    let mut out = Vec::new();
    for (n, (first, last)) in Runs::new(&changed, mailbox.uids(), by_uid).enumerate() {
        if n > 0 {
            out.push(b',');
        }
        encode::number(first, &mut out);
        if last > first {
            out.push(b':');
            encode::number(last, &mut out);
        }
    }
    Ok(String::from_utf8_lossy(&out).into_owned())
}
