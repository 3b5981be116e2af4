//! STORE: taken and ignored, with the real flags as the answer (IMAP-CLIENTS, decision 3).
//!
//! RFC 3501 §7.1 lets a server ignore flags that aren't permanent, and none is. But nobody may believe that they
//! deleted mail: setting \Deleted is refused.

use super::fetch;
use crate::proto::parse::fetch::Item;
use crate::proto::parse::{Cursor, simple, sync};
use crate::reply::Refusal;
use crate::session::{Call, Done, Session};

/// STORE, UID STORE
pub(crate) fn run(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let targets = c.targets()?;
    c.sp()?;
    // RFC 7162 §3.1.3. Nothing changes, so no message changes that has changed since: none is named in MODIFIED.
    let unchanged = sync::unchanged_since(c)?;
    let store = simple::store(c)?;
    c.end()?;
    s.enabled.condstore |= unchanged.is_some();
    let uids = fetch::resolve(s, &targets, call.uid)?;
    if store.deletes || s.world.settings.refuse_store {
        return Err(Refusal::READ_ONLY);
    }
    // Told for .SILENT too, else clients that drew the change in advance would drift.
    let words = "The archive is read-only, flags stay as they are";
    let mut items = vec![Item::Flags];
    if s.enabled.condstore {
        items.push(Item::ModSeq);
    }
    Ok(match fetch::work(s, uids, items, call.uid || s.enabled.qresync)? {
        Some(work) => Done::Work(work, words),
        None => Done::Ok(words),
    })
}
