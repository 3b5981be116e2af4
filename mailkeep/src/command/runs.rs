//! `runs.*`: the accounts of archiving runs.

use super::{Act, Context, Failure, Outcome};
use serde::{Deserialize, Serialize};

/// All runs, oldest first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Runs {}

impl Act for Runs {
    fn audit(&self) -> String {
        "runs.list".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        for run in cx.installation.archiver.runs()? {
            cx.row(&run)?;
        }
        Ok(Outcome::DONE)
    }
}

/// One run with its folders.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunShow {
    pub(crate) id: u64,
}

impl Act for RunShow {
    fn audit(&self) -> String {
        format!("runs.show {}", self.id)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        cx.row(&cx.installation.archiver.run(self.id)?)?;
        Ok(Outcome::DONE)
    }
}

/// Which items of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Which {
    /// Not archived, with the reason.
    Failed,
    /// Left out by rule.
    Filtered,
}

/// The items of a run that were not archived.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunItems {
    pub(crate) id: u64,
    pub(crate) which: Which,
}

impl Act for RunItems {
    fn audit(&self) -> String {
        format!("runs.items {} {:?}", self.id, self.which)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let (failed, filtered) = cx.installation.archiver.items(self.id)?;
        let items = match self.which {
            Which::Failed => failed,
            Which::Filtered => filtered,
        };
        for item in items {
            cx.row(&item)?;
        }
        Ok(Outcome::DONE)
    }
}
