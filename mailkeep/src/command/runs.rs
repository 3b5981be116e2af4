//! `runs.*`: the accounts of archiving runs, what failed in them, and doing one again.

use super::profiles::{finished, has_many_targets, told};
use super::{Act, Archive, Context, Failure, Kind, Needs, Outcome, ProfileRun};
use archiver::{Run, Sums};
use auth::{Deed, Privilege};
use serde::{Deserialize, Serialize};

/// All runs, oldest first.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Runs {}

impl Act for Runs {
    fn needs(&self) -> Needs {
        Needs::login()
    }
    fn audit(&self) -> String {
        "runs.list".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        for run in cx.installation.archiver.runs()?.into_iter().filter(|run| is_theirs(cx, run)) {
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

/// Whether the caller sees a run: administrators all, others those into one folder that they may read.
fn is_theirs(cx: &Context<'_>, run: &Run) -> bool {
    let single =
        |name| cx.installation.archiver.profiles().get(name).is_ok_and(|profile| !has_many_targets(&profile));
    cx.is_admin() || (run.profile().is_none_or(single) && cx.may(Deed::Read(&run.into)))
}

/// The run of this number; none: the newest. What the caller doesn't see isn't there.
fn find(cx: &Context<'_>, id: Option<u64>) -> Result<Run, Failure> {
    let archiver = &cx.installation.archiver;
    let found = match id {
        Some(id) => {
            Some(archiver.run(id)?).filter(|run| is_theirs(cx, run)).ok_or(archiver::Error::Unknown(id))
        }
        None if cx.is_admin() => archiver.last_run(),
        None => archiver.runs()?.into_iter().rfind(|run| is_theirs(cx, run)).ok_or(archiver::Error::NoRun),
    };
    Ok(found?)
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
    fn needs(&self) -> Needs {
        Needs::login()
    }
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
    fn needs(&self) -> Needs {
        Needs::login()
    }
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
    fn needs(&self) -> Needs {
        Needs::login()
    }
    fn audit(&self) -> String {
        "runs.failed".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let archiver = &cx.installation.archiver;
        for item in archiver.unsolved()? {
            if cx.is_admin() || is_theirs(cx, &archiver.run(item.last_run)?) {
                cx.row(&item)?;
            }
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
    fn needs(&self) -> Needs {
        Needs::login()
    }
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
    fn needs(&self) -> Needs {
        Needs::privilege(Privilege::Archive)
    }
    fn audit(&self) -> String {
        format!("runs.retry {}", word(self.id))
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let run = find(cx, self.id)?;
        if let Some(name) = run.profile() {
            return ProfileRun { name: name.to_owned(), dry_run: false }.run(cx);
        }
        let given = run.folders.iter().find(|folder| folder.given).map(|folder| folder.format);
        let path = std::path::PathBuf::from(&run.source);
        let archive = Archive { path: path.clone(), into: run.into, format: given, deleted_too: false };
        cx.demand(&archive.needs())?;
        if !path.exists() {
            return Err(Failure::new(Kind::Failed, format!("{}: it is not there any more", run.source)));
        }
        archive.run(cx)
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
