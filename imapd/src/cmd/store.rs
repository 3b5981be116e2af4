//! STORE: taken and ignored, with the real flags as the answer (IMAP-CLIENTS, decision 3).
//!
//! RFC 3501 §7.1 lets a server ignore flags that aren't permanent, and none is. But nobody may believe that they
//! deleted mail: setting \Deleted is refused.

use super::fetch;
use crate::proto::parse::fetch::Item;
use crate::proto::parse::{Cursor, simple};
use crate::reply::Refusal;
use crate::session::{Call, Done, Session};

/// STORE, UID STORE
pub(crate) fn run(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let targets = c.targets()?;
    c.sp()?;
    let store = simple::store(c)?;
    c.end()?;
    let uids = fetch::resolve(s, &targets, call.uid)?;
    if store.deletes || s.world.settings.refuse_store {
        return Err(Refusal::READ_ONLY);
    }
    // Told for .SILENT too, else clients that drew the change in advance would drift.
    fetch::begin(s, uids, vec![Item::Flags], call.uid, "The archive is read-only, flags stay as they are")
}
