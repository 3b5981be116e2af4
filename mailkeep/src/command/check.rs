//! `store.check`: everything is read again and compared with its seals and hashes. Its one row is the report.

use super::{Act, Context, Failure, Outcome, Progress, Unit};
use serde::{Deserialize, Serialize};

/// Reads everything again.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Check {}

/// What was found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) records: u64,
    pub(crate) messages: u64,
    pub(crate) damage: Vec<String>,
}

impl Act for Check {
    fn audit(&self) -> String {
        "store.check".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let mut progress = |done, total| {
            cx.progress(Progress { done, total: Some(total), unit: Unit::Messages, text: String::new() });
        };
        let found = cx.installation.storage.check(&cx.cancel, &mut progress)?;
        let failed = !found.damage.is_empty();
        cx.row(&Report { records: found.records, messages: found.messages, damage: found.damage })?;
        Ok(Outcome { failed })
    }
}
