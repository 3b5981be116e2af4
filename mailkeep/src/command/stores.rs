//! `store.list`: the archive stores and what they take.

use super::{Act, Context, Failure, Outcome};
use serde::{Deserialize, Serialize};

/// The stores.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreList {}

/// One store.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    number: String,
    name: String,
    state: String,
    messages: u64,
    placements: u64,
    message_bytes: u64,
    pack_bytes: u64,
    database_bytes: u64,
    index_bytes: u64,
    index_tail: u64,
    trouble: Option<String>,
    id: String,
    path: String,
}

impl Act for StoreList {
    fn audit(&self) -> String {
        "store.list".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        for store in cx.installation.storage.stores() {
            cx.row(&Row {
                number: store.number,
                name: store.name,
                state: store.state.to_string(),
                messages: store.messages,
                placements: store.placements,
                message_bytes: store.message_bytes,
                pack_bytes: store.pack_bytes,
                database_bytes: store.database_bytes,
                index_bytes: store.index_bytes,
                index_tail: store.index_tail,
                trouble: store.trouble,
                id: store.id.map(|id| id.to_string()).unwrap_or_default(),
                path: store.path.display().to_string(),
            })?;
        }
        Ok(Outcome::DONE)
    }
}
