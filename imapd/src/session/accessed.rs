//! That somebody reads an archive of others stands in the audit log: once for each session and folder.
//!
//! Invariant: a folder of others is not read before that is noted; if it can't be noted, it is not read.

use super::{Mailbox, Session};
use crate::reply::Refusal;
use auth::{AuditKind, AuditNote};
use std::collections::HashSet;

/// Folders of which a session knows that they stand in the log: 4 bytes each. Beyond them, more is noted than has to be.
const MAX_FOLDERS: usize = 10_000;

/// The folders of others that a session has read, by their numbers.
#[derive(Debug, Default)]
pub(crate) struct Accessed(HashSet<u32>);

impl Session {
    /// A mailbox is about to be read. `how`: the command.
    pub(crate) fn accessed(&mut self, mailbox: &Mailbox, how: &str) -> Result<(), Refusal> {
        let Some(folder) = mailbox.view().map(|view| &view.info) else { return Ok(()) };
        let (who, archive) = (self.user()?.to_owned(), folder.path.archive());
        if archive == who || self.accessed.0.contains(&folder.id.0) {
            return Ok(());
        }
        let (from, what) = (self.ip.to_string(), format!("{how} {:?}", folder.path.as_str()));
        let (kind, result) = (AuditKind::Access, "ok");
        let note = AuditNote { who: &who, from: &from, kind, what: &what, object: archive, result };
        self.world.auth.note_soon(&note)?;
        if self.accessed.0.len() >= MAX_FOLDERS {
            self.accessed.0.clear();
        }
        self.accessed.0.insert(folder.id.0);
        Ok(())
    }
}
