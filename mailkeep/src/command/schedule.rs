//! `schedule.*` and `jobs.*`: what runs by itself, what runs now, and ending it.

use super::{Act, Context, Failure, Kind, Needs, Outcome};
use archiver::schedule::{Entry, Job};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// All that runs by itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleList {}

#[derive(Debug, Serialize)]
struct Row {
    name: String,
    task: String,
    when: String,
    last: Option<i64>,
    /// None: never, or all the time.
    next: Option<i64>,
    running: bool,
}

impl Act for ScheduleList {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        "schedule.list".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let archiver = &cx.installation.archiver;
        let now = OffsetDateTime::now_utc().unix_timestamp();
        let running = cx.installation.jobs.names();
        for (job, last) in archiver.schedule().jobs(&archiver.profiles().all()?)? {
            let entry = Entry { id: job.name.clone(), timing: job.timing.clone(), last };
            let next = entry.due(now).filter(|_| !job.timing.continuous);
            cx.row(&Row {
                running: running.contains(&job.name),
                name: job.name,
                task: job.task.words(),
                when: job.timing.words(),
                last,
                // What was missed is caught up when the server looks.
                next: next.map(|next| next.max(now)),
            })?;
        }
        Ok(Outcome::DONE)
    }
}

/// Has something done at its times.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleAdd {
    pub(crate) job: Job,
}

impl Act for ScheduleAdd {
    fn needs(&self) -> Needs {
        Needs::admin().near(true)
    }
    fn audit(&self) -> String {
        format!("schedule.add {:?} {}", self.job.name, self.job.task.words())
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        cx.installation.archiver.schedule().set(&self.job)?;
        Ok(Outcome::DONE)
    }
}

/// Has it done no more.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleRemove {
    pub(crate) name: String,
}

impl Act for ScheduleRemove {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        format!("schedule.remove {:?}", self.name)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        cx.installation.archiver.schedule().remove(&self.name)?;
        Ok(Outcome::DONE)
    }
}

/// What runs now.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Jobs {}

impl Act for Jobs {
    fn needs(&self) -> Needs {
        Needs::login()
    }
    fn audit(&self) -> String {
        "jobs.list".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        for job in
            cx.installation.jobs.all().into_iter().filter(|job| cx.is_admin() || job.who == cx.caller.who)
        {
            cx.row(&job)?;
        }
        Ok(Outcome::DONE)
    }
}

/// Ends a job.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobCancel {
    pub(crate) id: u64,
}

impl Act for JobCancel {
    fn needs(&self) -> Needs {
        Needs::login()
    }
    fn audit(&self) -> String {
        format!("jobs.cancel {}", self.id)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let jobs = &cx.installation.jobs;
        let theirs =
            cx.is_admin() || jobs.all().iter().any(|job| job.id == self.id && job.who == cx.caller.who);
        if theirs && jobs.cancel(self.id) {
            return Ok(Outcome::DONE);
        }
        let message = format!("there is no job {} now; `mailkeep jobs` shows what runs", self.id);
        Err(Failure::new(Kind::Failed, message))
    }
}
