//! The selected mailbox: the snapshot that sequence numbers count in, and how it takes in new messages.
//!
//! Invariant: sequence numbers and UIDs of a snapshot never change; a newer one only adds messages behind the last.

use super::names::Target;
use std::sync::Arc;
use storage::{FolderView, Storage, UidRanges};

/// What a session has selected.
#[derive(Debug)]
pub(crate) struct Mailbox {
    /// What its name meant.
    pub(crate) target: Target,
    /// The snapshot; none while INBOX has no folder.
    view: Option<FolderView>,
    empty: Arc<UidRanges>,
}

/// UIDVALIDITY of an INBOX without a folder. Folders' numbers start above it.
const EMPTY_INBOX_VALIDITY: u32 = 1;

impl Mailbox {
    /// Takes a snapshot; `None` if there is no such folder.
    pub(crate) fn open(storage: &Storage, target: Target) -> Option<Mailbox> {
        let view = match &target {
            Target::EmptyInbox => None,
            Target::Folder(path) => Some(storage.view(path)?),
        };
        Some(Mailbox { target, view, empty: Arc::default() })
    }

    /// The archive that it is part of; none for an empty INBOX.
    pub(crate) fn archive(&self) -> Option<&str> {
        match &self.target {
            Target::EmptyInbox => None,
            Target::Folder(path) => Some(path.archive()),
        }
    }
    /// The snapshot, unless there is no folder.
    pub(crate) fn view(&self) -> Option<&FolderView> {
        self.view.as_ref()
    }
    /// The snapshot's UIDs.
    pub(crate) fn uids(&self) -> &Arc<UidRanges> {
        self.view.as_ref().map_or(&self.empty, |v| &v.uids)
    }
    /// UIDVALIDITY.
    pub(crate) fn uid_validity(&self) -> u32 {
        self.view.as_ref().map_or(EMPTY_INBOX_VALIDITY, |v| v.info.uid_validity.0)
    }
    /// UIDNEXT.
    pub(crate) fn uid_next(&self) -> u32 {
        self.view.as_ref().map_or(1, |v| v.info.uid_next.0)
    }
    /// Sum of sizes.
    pub(crate) fn bytes(&self) -> u64 {
        self.view.as_ref().map_or(0, |v| v.info.bytes)
    }

    /// Takes a newer snapshot; true when it has more messages.
    pub(crate) fn refresh(&mut self, storage: &Storage) -> bool {
        let Target::Folder(path) = &self.target else { return false };
        let Some(old) = &self.view else { return false };
        let Some(new) = storage.view(path) else { return false };
        // Messages only ever come behind the last one. A snapshot that says otherwise is not taken: it would
        // renumber under the client.
        let longer = new.uids.len() > old.uids.len()
            && new.info.id == old.info.id
            && new.info.uid_validity == old.info.uid_validity
            && new.uids.uid_at(old.uids.len()) == old.uids.last();
        if longer {
            self.view = Some(new);
        }
        longer
    }
}
