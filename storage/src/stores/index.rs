//! The search indexes as administrators see them: what they hold, and making them anew.

use super::Storage;
use super::slot::Opened;
use crate::search::index_versions;
use crate::store::extracts::Failed;
use crate::store::{Cancel, reindex};
use crate::{AttachmentCounts, Error, FailedAttachment};
use std::sync::Arc;

/// A store's index.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IndexStatus {
    /// The store's number.
    pub store: String,
    /// Documents: one a message.
    pub documents: u64,
    /// All messages below this number are in it.
    pub watermark: u64,
    /// Messages above: search reads them themselves.
    pub tail: u64,
    /// Pieces that it consists of.
    pub segments: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// What became of attachments.
    #[serde(default)]
    pub attachments: AttachmentCounts,
    /// Bytes on disk of their texts.
    #[serde(default)]
    pub attachment_bytes: u64,
    /// What its words are made by; another one makes another index.
    pub versions: String,
    /// Why it takes no more, or the store can't be read.
    pub trouble: Option<String>,
}

impl Storage {
    /// The indexes of all stores that are not switched off.
    #[must_use]
    pub fn index_status(&self) -> Vec<IndexStatus> {
        let mut all = Vec::new();
        for slot in self.shared.all_slots() {
            let store = slot.entry().number.clone();
            let mut status = IndexStatus {
                store,
                documents: 0,
                watermark: 0,
                tail: 0,
                segments: 0,
                bytes: 0,
                attachments: AttachmentCounts::default(),
                attachment_bytes: 0,
                versions: index_versions(),
                trouble: None,
            };
            match &*slot.opened.read() {
                Opened::Open(store) => {
                    let indexer = store.indexer();
                    let snapshot = indexer.snapshot();
                    status.documents = u64::from(snapshot.watermark().0);
                    status.watermark = u64::from(snapshot.watermark().0);
                    status.tail = store.tail.messages(store.next_msg());
                    status.segments = snapshot.segments() as u64;
                    let entries = std::fs::read_dir(indexer.dir());
                    status.bytes = entries.map_or(0, |entries| {
                        entries.filter_map(|entry| entry.ok()?.metadata().ok()).map(|meta| meta.len()).sum()
                    });
                    status.trouble = indexer.trouble();
                    if let Some(extracts) = store.tail.current().extracts {
                        status.attachment_bytes = extracts.bytes();
                        match extracts.counts() {
                            Ok(counts) => status.attachments = counts,
                            Err(error) => status.trouble = status.trouble.or(Some(error.to_string())),
                        }
                    }
                }
                Opened::Absent { why, .. } => status.trouble = Some(why.clone()),
                Opened::Off => continue,
            }
            all.push(status);
        }
        all
    }

    /// Calls `each` with every attachment of all open stores that could not be read, or not all of it, and that belongs to a message in
    /// some folder. What the names and reasons say is as untrusted as the mail.
    /// # Errors
    /// Those of the databases, of reading, and of `each`.
    pub fn failed_attachments(
        &self,
        each: &mut dyn FnMut(FailedAttachment) -> Result<(), Error>,
    ) -> Result<(), Error> {
        for slot in self.shared.all_slots() {
            let entry = slot.entry();
            let Ok(store) = slot.store() else { continue };
            let Some(extracts) = store.tail.current().extracts else { continue };
            for Failed { no, part, format, partly, reason } in extracts.failed()? {
                let placed = store.db.places_of(no)?.into_iter().find_map(|(theirs, uid)| {
                    let ours = entry.ours(theirs)?;
                    Some((self.shared.view.read().get(ours)?.info.path.to_string(), uid))
                });
                // Deleted, and not yet erased.
                let Some((folder, uid)) = placed else { continue };
                let file_name = match store.parse(no) {
                    Ok(parsed) => {
                        let named = parsed.attachments.list.into_iter().find(|one| one.part == part);
                        named.map(|one| one.file_name).unwrap_or_default()
                    }
                    Err(error @ (Error::Corrupt { .. } | Error::WrongContent { .. })) => {
                        tracing::error!(message = no.0, %error, "the file names of a damaged message can't be told");
                        String::new()
                    }
                    Err(other) => return Err(other),
                };
                let store = entry.number.clone();
                each(FailedAttachment { store, folder, uid: uid.0, file_name, format, reason, partly })?;
            }
        }
        Ok(())
    }

    /// Makes the index of one store or of all anew; search answers from the old one until the new one is complete. With `attachments`
    /// the texts of attachments are extracted anew too, by the settings of now.
    /// `progress` gets the store, messages done and in all. Without a number, stores that can't be read and those that are
    /// write-protected are passed over.
    /// # Errors
    /// `Missing`, `Unavailable`, `Refused`, `Cancelled`, `Index`, `Io`.
    pub fn rebuild_index(
        &self,
        number: Option<&str>,
        attachments: bool,
        cancel: &Cancel,
        progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<(), Error> {
        let mut any = false;
        for slot in self.shared.all_slots() {
            let entry = slot.entry();
            if number.is_some_and(|number| entry.number != number && entry.name != number) {
                continue;
            }
            let store = match &*slot.opened.read() {
                Opened::Open(store) if number.is_some() || !store.protected => Arc::clone(store),
                Opened::Open(_) => continue,
                Opened::Absent { why, .. } if number.is_some() => return Err(slot.unavailable(why)),
                Opened::Absent { .. } | Opened::Off => continue,
            };
            any = true;
            reindex::rebuild(&store, attachments, cancel, &mut |done, all| {
                progress(&entry.number, done, all)
            })?;
        }
        if !any {
            return Err(Error::Missing { what: format!("store {}", number.unwrap_or("0001")) });
        }
        Ok(())
    }
}
