//! The search indexes as administrators see them: what they hold, and making them anew.

use super::Storage;
use super::slot::Opened;
use crate::Error;
use crate::search::index_versions;
use crate::store::{Cancel, reindex};
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
                }
                Opened::Absent { why, .. } => status.trouble = Some(why.clone()),
                Opened::Off => continue,
            }
            all.push(status);
        }
        all
    }

    /// Makes the index of one store or of all anew; search answers from the old one until the new one is complete.
    /// `progress` gets the store, messages done and in all. Without a number, stores that can't be read and those that are
    /// write-protected are passed over.
    /// # Errors
    /// `Missing`, `Unavailable`, `Refused`, `Cancelled`, `Index`, `Io`.
    pub fn rebuild_index(
        &self,
        number: Option<&str>,
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
            reindex::rebuild(&store, cancel, &mut |done, all| progress(&entry.number, done, all))?;
        }
        if !any {
            return Err(Error::Missing { what: format!("store {}", number.unwrap_or("0001")) });
        }
        Ok(())
    }
}
