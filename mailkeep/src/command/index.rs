//! `index.rebuild` and `index.status`: the search indexes of the stores.

use super::{Act, Context, Failure, Outcome, Progress, Unit};
use serde::{Deserialize, Serialize};

/// Makes indexes anew while search goes on.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IndexRebuild {
    /// Only this store's, by number or name.
    pub(crate) store: Option<String>,
}

impl Act for IndexRebuild {
    fn audit(&self) -> String {
        format!("index.rebuild {:?}", self.store.as_deref().unwrap_or("all"))
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let mut progress = |store: &str, done, total| {
            let text = format!("store {store}");
            cx.progress(Progress { done, total: Some(total), unit: Unit::Messages, text });
        };
        cx.installation.storage.rebuild_index(self.store.as_deref(), &cx.cancel, &mut progress)?;
        status(cx)
    }
}

/// What the indexes hold.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IndexStatus {}

impl Act for IndexStatus {
    fn audit(&self) -> String {
        "index.status".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        status(cx)
    }
}

fn status(cx: &Context<'_>) -> Result<Outcome, Failure> {
    for index in cx.installation.storage.index_status() {
        cx.row(&index)?;
    }
    Ok(Outcome::DONE)
}
