//! `runs.*`: the accounts of archiving runs, what failed in them, and doing one again.

use super::profiles::{finished, told};
use super::{Act, Archive, Context, Failure, Kind, Outcome, ProfileRun};
use archiver::{Run, Sums};
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
            cx.row(&Shown::of(&run))?;
        }
        Ok(Outcome::DONE)
    }
}

/// A run as it is shown: its sums stand at the top as well, for scripts.
#[derive(Debug, Serialize)]
pub(super) struct Shown<'a> {
    #[serde(flatten)]
    run: &'a Run,
    #[serde(flatten)]
    sums_again: Sums,
}

impl Shown<'_> {
    /// This run.
    pub(super) fn of(run: &Run) -> Shown<'_> {
        Shown { run, sums_again: run.sums }
    }
}

/// The run of this number; none: the newest.
fn find(cx: &Context<'_>, id: Option<u64>) -> Result<Run, Failure> {
    let archiver = &cx.installation.archiver;
    Ok(match id {
        Some(id) => archiver.run(id)?,
        None => archiver.last_run()?,
    })
}

fn word(id: Option<u64>) -> String {
    id.map_or_else(|| "last".to_owned(), |id| id.to_string())
}

/// One run with its folders.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunShow {
    /// None: the newest.
    pub(crate) id: Option<u64>,
}

impl Act for RunShow {
    fn audit(&self) -> String {
        format!("runs.show {}", word(self.id))
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        cx.row(&Shown::of(&find(cx, self.id)?))?;
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
    /// Deleted at the source, or what a dry run would have deleted.
    Deleted,
}

/// The items of a run that were not archived.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunItems {
    /// None: the newest.
    pub(crate) id: Option<u64>,
    pub(crate) which: Which,
}

impl Act for RunItems {
    fn audit(&self) -> String {
        format!("runs.items {} {:?}", word(self.id), self.which)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let archiver = &cx.installation.archiver;
        let id = find(cx, self.id)?.id;
        let items = match self.which {
            Which::Failed => archiver.items(id)?.0,
            Which::Filtered => archiver.items(id)?.1,
            Which::Deleted => archiver.deletions(id)?,
        };
        for item in items {
            cx.row(&item)?;
        }
        Ok(Outcome::DONE)
    }
}

/// What failed and is not solved.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunsOpen {}

impl Act for RunsOpen {
    fn audit(&self) -> String {
        "runs.failed".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        for item in cx.installation.archiver.unsolved()? {
            cx.row(&item)?;
        }
        Ok(Outcome::DONE)
    }
}

/// A run's log.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunLog {
    /// None: the newest.
    pub(crate) id: Option<u64>,
}

impl Act for RunLog {
    fn audit(&self) -> String {
        format!("runs.log {}", word(self.id))
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        for line in cx.installation.archiver.log(find(cx, self.id)?.id)? {
            cx.row(&line)?;
        }
        Ok(Outcome::DONE)
    }
}

/// Runs the source of a run again.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunRetry {
    /// None: the newest.
    pub(crate) id: Option<u64>,
}

impl Act for RunRetry {
    fn audit(&self) -> String {
        format!("runs.retry {}", word(self.id))
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let run = find(cx, self.id)?;
        if let Some(name) = run.profile() {
            return ProfileRun { name: name.to_owned(), dry_run: false }.run(cx);
        }
        let path = std::path::PathBuf::from(&run.source);
        if !path.exists() {
            return Err(Failure::new(Kind::Failed, format!("{}: it is not there any more", run.source)));
        }
        let given = run.folders.iter().find(|folder| folder.given).map(|folder| folder.format);
        Archive { path, into: run.into, format: given, deleted_too: false }.run(cx)
    }
}

/// Archives files as a command does, with its progress.
pub(super) fn files(cx: &Context<'_>, job: &archiver::FileJob) -> Result<Outcome, Failure> {
    let name = format!("archive {}", job.path.display());
    let running = cx.installation.jobs.begin(name, cx.caller.who.clone(), cx.cancel.clone());
    let progress = |p: &archiver::Progress| {
        running.at(p);
        told(cx, p);
    };
    let run = cx.installation.archiver.archive_files(job, &progress, &cx.cancel)?;
    finished(cx, &run)
}
