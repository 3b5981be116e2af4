//! What the server does by itself: profiles and jobs at their times, through the same commands that people give.
//!
//! Invariant: each job runs on a thread of its own and is awaited before the server ends; what fails is told (`notify`), logged, and
//! stands in the audit log as whatever a person does. When something is due is decided by `archiver::schedule`, with this clock.

use crate::command::{
    self, Backup, Caller, Command, Context, DirectorySync, Event, Failure, IndexRebuild, Kind, Outcome,
    ProfileRun, StoreCompact, Verify,
};
use crate::data::Installation;
use crate::notify;
use crate::output::clean;
use crate::smtp::Letter;
use crate::upkeep::told;
use archiver::schedule::{Entry, Job, Task, due};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::Cancel;
use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// How often it looks whether something is due.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Least time between two runs of a continuous profile.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a pause looks whether it is to end.
const LOOK_AT_CANCEL: Duration = Duration::from_millis(100);
/// Events between a job and whoever drops them.
const QUEUE: usize = 64;
/// How long a continuous profile that failed waits: this, doubled with each failure in a row …
const BACKOFF_SECS: i64 = 60;
/// … up to this.
const MAX_BACKOFF_SECS: i64 = 3_600;
/// Who does it, for the audit log and the ledger.
const WHO: &str = "schedule";

/// Works until `stop` turns true.
pub(crate) async fn run(installation: Arc<Installation>, mut stop: watch::Receiver<bool>) {
    let mut work = JoinSet::new();
    let mut running: BTreeMap<String, Cancel> = BTreeMap::new();
    // Continuous profiles that failed: how often in a row, and when they begin again.
    let mut failing: BTreeMap<String, (u32, i64)> = BTreeMap::new();
    loop {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let waiting = failing.iter().filter(|(_, (_, until))| *until > now).map(|(name, _)| name);
        let names: BTreeSet<String> = running.keys().chain(waiting).cloned().collect();
        let looked = tokio::task::spawn_blocking({
            let installation = Arc::clone(&installation);
            move || look(&installation, &names, now)
        });
        match looked.await {
            Ok(Ok(jobs)) => {
                for job in jobs {
                    let cancel = Cancel::default();
                    running.insert(job.name.clone(), cancel.clone());
                    let installation = Arc::clone(&installation);
                    let told = failing.contains_key(&job.name);
                    work.spawn_blocking(move || {
                        let well = work_on(&installation, &job, told, &cancel);
                        (job, well)
                    });
                }
            }
            Ok(Err(error)) => tracing::error!(error = error.message, "the schedule can't be read"),
            Err(error) => tracing::error!(%error, "the schedule's reading broke"),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            Some(ended) = work.join_next() => match ended {
                Ok((job, well)) => {
                    running.remove(&job.name);
                    if well || !job.timing.continuous {
                        failing.remove(&job.name);
                    } else {
                        let times = failing.get(&job.name).map_or(0, |(times, _)| *times) + 1;
                        let until = OffsetDateTime::now_utc().unix_timestamp() + backoff(times);
                        failing.insert(job.name, (times, until));
                    }
                }
                Err(error) => {
                    // Which one isn't known any more: all are looked at anew once they have ended.
                    tracing::error!(%error, "a scheduled job broke");
                    if work.is_empty() {
                        running.clear();
                    }
                }
            },
            () = told(&mut stop) => break,
        }
    }
    for cancel in running.values() {
        cancel.set();
    }
    while let Some(ended) = work.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a scheduled job broke");
        }
    }
}

/// What begins now; noted as begun.
fn look(installation: &Installation, running: &BTreeSet<String>, now: i64) -> Result<Vec<Job>, Failure> {
    let archiver = &installation.archiver;
    let schedule = archiver.schedule();
    let jobs = schedule.jobs(&archiver.profiles().all()?)?;
    let entries: Vec<Entry> = jobs
        .iter()
        .map(|(job, last)| Entry { id: job.name.clone(), timing: job.timing.clone(), last: *last })
        .collect();
    let due = due(&entries, running, installation.conf.schedule.max_parallel, now);
    for name in due.new.iter().chain(&due.start) {
        schedule.began(name, now)?;
    }
    Ok(due
        .start
        .iter()
        .filter_map(|name| jobs.iter().find(|(job, _)| job.name == *name))
        .map(|(job, _)| job.clone())
        .collect())
}

/// Seconds until a continuous profile begins again that failed so often in a row.
fn backoff(times: u32) -> i64 {
    let doubled = BACKOFF_SECS.checked_shl(times.saturating_sub(1)).unwrap_or(MAX_BACKOFF_SECS);
    if times > 16 { MAX_BACKOFF_SECS } else { doubled.min(MAX_BACKOFF_SECS) }
}

/// Does a job to its end; whether nothing failed. `quiet`: people know already that it fails. Blocking.
fn work_on(installation: &Installation, job: &Job, quiet: bool, cancel: &Cancel) -> bool {
    match &job.task {
        Task::Profile { name } if job.timing.continuous => follow(installation, job, name, quiet, cancel),
        _ => judged(installation, job, do_once(installation, job, cancel), quiet, cancel),
    }
}

/// Archives a mailbox as mail comes, until something fails, its schedule changes, or it is told to end; whether nothing failed.
fn follow(installation: &Installation, job: &Job, name: &str, quiet: bool, cancel: &Cancel) -> bool {
    let mut quiet = quiet;
    loop {
        if !judged(installation, job, do_once(installation, job, cancel), quiet, cancel) {
            return false;
        }
        quiet = false;
        // A server that tells of news without end is asked no more often than this.
        let earliest = Instant::now() + PAUSE;
        if let Err(error) = installation.archiver.wait_for_news(&installation.auth, name, cancel) {
            if !cancel.is_set() {
                tracing::warn!(job = job.name, %error, "waiting for new mail ended");
            }
            return cancel.is_set();
        }
        while Instant::now() < earliest && !cancel.is_set() {
            std::thread::sleep(LOOK_AT_CANCEL);
        }
        // What was changed meanwhile counts at once.
        let same = installation.archiver.profiles().get(name);
        if cancel.is_set() || !same.is_ok_and(|profile| profile.schedule.as_ref() == Some(&job.timing)) {
            return true;
        }
    }
}

/// Whether a job's end is a good one; a bad one is logged and told.
fn judged(
    installation: &Installation,
    job: &Job,
    end: Result<Outcome, Failure>,
    quiet: bool,
    cancel: &Cancel,
) -> bool {
    let trouble = match end {
        _ if cancel.is_set() => return true,
        Ok(Outcome { failed: false }) => return true,
        Ok(Outcome { failed: true }) => "it ended with failures".to_owned(),
        // A person ended it: that is no failure.
        Err(failure) if failure.kind == Kind::Cancelled => return true,
        Err(failure) => failure.message,
    };
    tracing::error!(job = job.name, trouble, "a scheduled job failed");
    if !quiet {
        notify::tell(installation, &letter(installation, job, &trouble), cancel);
    }
    false
}

fn do_once(installation: &Installation, job: &Job, cancel: &Cancel) -> Result<Outcome, Failure> {
    let command = command_of(job, OffsetDateTime::now_utc().unix_timestamp())?;
    let (events, mut received) = mpsc::channel(QUEUE);
    let drain = std::thread::Builder::new().name("schedule".into()).spawn(move || {
        while let Some(event) = received.blocking_recv() {
            if let Event::Warning(words) = event {
                tracing::warn!("{words}");
            }
        }
    });
    let drain = drain.map_err(|error| Failure::from(anyhow::Error::from(error)))?;
    let caller =
        Caller { who: WHO.into(), from: "schedule".into(), subject: auth::Subject::Operator, near: true };
    let shown = (!matches!(job.task, Task::Profile { .. }))
        .then(|| installation.jobs.begin(job.name.clone(), WHO.into(), cancel.clone()));
    let cx = Context { installation, caller, cancel: cancel.clone(), events, noted: Default::default() };
    let end = command::run(&command, &cx);
    drop((cx, shown));
    if drain.join().is_err() {
        tracing::error!(job = job.name, "reading a job's events broke");
    }
    end
}

/// The command that a person would give.
fn command_of(job: &Job, now: i64) -> Result<Command, Failure> {
    Ok(match &job.task {
        Task::Profile { name } => Command::ProfileRun(ProfileRun { name: name.clone(), dry_run: false }),
        Task::Verify { slices } => {
            // One after the other, by the day: a slice that was missed comes with the next round.
            let sample = slices.map(|of| {
                let of = of.max(1);
                let part = now.div_euclid(86_400).rem_euclid(i64::from(of));
                (u32::try_from(part).unwrap_or(0) + 1, of)
            });
            Command::Verify(Verify { store: None, sample, resume: false })
        }
        Task::Compact => Command::StoreCompact(StoreCompact { store: None, dry_run: false }),
        Task::Backup { dir } => {
            Command::Backup(Backup { dir: dir.clone(), with_key: false, verify_all: false })
        }
        Task::Index => Command::IndexRebuild(IndexRebuild { store: None, attachments: false }),
        Task::Directory => Command::DirectorySync(DirectorySync { dry_run: false, accept_loss: false }),
    })
}

/// What people are told of a failure.
fn letter(installation: &Installation, job: &Job, trouble: &str) -> Letter {
    let mut text = format!("{} failed: {}\n", clean(&job.task.words()), clean(trouble));
    if let Task::Profile { name } = &job.task
        && let Ok(Some(run)) = installation.archiver.last_run_of(name)
    {
        let archiver::Sums { seen, archived, failed, .. } = run.sums;
        text.push_str(&format!("\nRun {}: seen {seen}, archived {archived}, failed {failed}\n", run.id));
        if let Some(error) = &run.error {
            text.push_str(&format!("{}\n", clean(error)));
        }
        text.push_str(&format!("\nmailkeep runs show {0}\nmailkeep runs failed {0}\n", run.id));
    }
    Letter { subject: format!("mailkeep: {} failed", clean(&job.name)), text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use archiver::schedule::Timing;

    #[test]
    fn waiting_doubles_up_to_an_hour() {
        let waits: Vec<_> = [1, 2, 3, 6, 7, 16, 17, 99].into_iter().map(backoff).collect();
        assert_eq!(waits, [60, 120, 240, 1_920, 3_600, 3_600, 3_600, 3_600]);
    }

    #[test]
    fn each_day_has_its_slice() {
        let job = Job { name: "x".into(), task: Task::Verify { slices: Some(3) }, timing: Timing::default() };
        let parts: Vec<_> = (0..4)
            .map(|day| match command_of(&job, day * 86_400 + 5).unwrap() {
                Command::Verify(Verify { sample, .. }) => sample.unwrap(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(parts, [(1, 3), (2, 3), (3, 3), (1, 3)]);
    }
}
