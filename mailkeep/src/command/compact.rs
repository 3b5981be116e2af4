//! `store.compact`: what was deleted is erased from packs, database and index.

use super::{Act, Context, Failure, Needs, Outcome, Progress, Unit};
use serde::{Deserialize, Serialize};
use storage::{Compacted, Sizes, StoreState};

/// Erases what no folder has any more.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreCompact {
    /// Number or name; all stores that can be written without.
    pub(crate) store: Option<String>,
    /// Only tell what would be erased.
    pub(crate) dry_run: bool,
}

/// One store.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    store: String,
    /// Messages erased, or to be erased.
    messages: u64,
    message_bytes: u64,
    before: u64,
    after: Option<u64>,
    before_packs: u64,
    before_database: u64,
    before_index: u64,
    after_packs: Option<u64>,
    after_database: Option<u64>,
    after_index: Option<u64>,
}

impl From<Compacted> for Row {
    fn from(done: Compacted) -> Row {
        let all = |sizes: Sizes| sizes.packs.saturating_add(sizes.database).saturating_add(sizes.index);
        let Compacted { store, messages, message_bytes, before, after } = done;
        Row {
            store,
            messages,
            message_bytes,
            before: all(before),
            after: after.map(all),
            before_packs: before.packs,
            before_database: before.database,
            before_index: before.index,
            after_packs: after.map(|sizes| sizes.packs),
            after_database: after.map(|sizes| sizes.database),
            after_index: after.map(|sizes| sizes.index),
        }
    }
}

impl Act for StoreCompact {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        let how = if self.dry_run { " (only asked)" } else { "" };
        format!("store.compact {:?}{how}", self.store.as_deref().unwrap_or("all"))
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let storage = &cx.installation.storage;
        let writable = |state| matches!(state, StoreState::Current | StoreState::Normal);
        let stores = match &self.store {
            Some(store) => vec![store.clone()],
            None => {
                let all = storage.stores().into_iter();
                all.filter(|store| writable(store.state) && store.trouble.is_none())
                    .map(|store| store.number)
                    .collect()
            }
        };
        let mut erased = 0;
        for store in stores {
            let done = if self.dry_run {
                storage.compactable(&store, &cx.cancel)?
            } else {
                let mut told = |done, total| {
                    let text = format!("store {store}");
                    cx.progress(Progress { done, total: Some(total), unit: Unit::Messages, text });
                };
                let done = storage.compact_store(&store, &cx.cancel, &mut told)?;
                erased += done.messages;
                cx.note(format!("erased {erased} messages"));
                done
            };
            // It is done: its account is wanted even after a cancel.
            cx.last_row(&Row::from(done))?;
        }
        Ok(Outcome::DONE)
    }
}
