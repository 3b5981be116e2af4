//! `index.rebuild`, `index.status` and `index.failed`: the search indexes of the stores, and the attachments in them.

use super::{Act, Context, Failure, Needs, Outcome, Progress, Unit};
use serde::{Deserialize, Serialize};

/// Makes indexes anew while search goes on.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IndexRebuild {
    /// Only this store's, by number or name.
    pub(crate) store: Option<String>,
    /// Attachments are read anew.
    #[serde(default)]
    pub(crate) attachments: bool,
}

impl Act for IndexRebuild {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        let attachments = if self.attachments { " attachments" } else { "" };
        format!("index.rebuild {:?}{attachments}", self.store.as_deref().unwrap_or("all"))
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let mut progress = |store: &str, done, total| {
            let text = format!("store {store}");
            cx.progress(Progress { done, total: Some(total), unit: Unit::Messages, text });
        };
        cx.installation.storage.rebuild_index(
            self.store.as_deref(),
            self.attachments,
            &cx.cancel,
            &mut progress,
        )?;
        status(cx)
    }
}

/// What the indexes hold.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IndexStatus {}

impl Act for IndexStatus {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
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

/// Attachments that could not be read, or not all of them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct IndexFailed {}

/// One of them, as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Failed {
    store: String,
    folder: String,
    uid: u32,
    file_name: String,
    format: &'static str,
    /// A part of its text is searched.
    partly: bool,
    reason: String,
}

impl Act for IndexFailed {
    fn needs(&self) -> Needs {
        Needs::login()
    }
    fn audit(&self) -> String {
        "index.failed".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let eyes = cx.eyes()?;
        let mut failures = Ok(());
        cx.installation.storage.failed_attachments(&mut |one| {
            if !eyes.see(&one.folder) {
                return if cx.cancel.is_set() { Err(storage::Error::Cancelled) } else { Ok(()) };
            }
            let storage::FailedAttachment { store, folder, uid, file_name, format, reason, partly } = one;
            let format = extract::Format::from_code(format).map_or("", extract::Format::name);
            let row = Failed { store, folder, uid, file_name, format, partly, reason };
            if failures.is_ok() {
                failures = cx.row(&row);
            }
            if failures.is_err() || cx.cancel.is_set() { Err(storage::Error::Cancelled) } else { Ok(()) }
        })?;
        failures.map(|()| Outcome::DONE)
    }
}
