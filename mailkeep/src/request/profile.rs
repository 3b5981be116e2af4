//! `profile`, `schedule`, `jobs`, `runs`, `user address`: from flags and files to commands.

use super::absolute;
use crate::cli::profile::{Addresses, Create, Edit, Flags, ProfileVerb, RunsVerb};
use crate::cli::schedule::{Add, JobsVerb, ScheduleVerb, TaskName};
use crate::command::{
    Command, Failure, JobCancel, Jobs, ProfileCreate, ProfileDelete, ProfileEdit, ProfileExport,
    ProfileImport, ProfileList, ProfileRun, ProfileShow, ProfileTest, RunItems, RunLog, RunRetry, RunShow,
    Runs, RunsOpen, ScheduleAdd, ScheduleList, ScheduleRemove, Secret, UserAddress, Which,
};
use crate::output::{View, view};
use anyhow::{Context, ensure};
use archiver::profile::text::Whole;
use archiver::profile::{MAX_TEXT_BYTES, Profile};
use archiver::schedule::{Job, Task};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use zeroize::Zeroizing;

/// `profile …`.
pub(super) fn profile(verb: ProfileVerb) -> Result<(Command, View), Failure> {
    Ok(match verb {
        ProfileVerb::Create(create) => {
            let words = "The profile is kept. Next: mailkeep profile test NAME, mailkeep profile run NAME";
            (Command::ProfileCreate(self::create(create)?), View::Done(words))
        }
        ProfileVerb::Edit(edit) => {
            (Command::ProfileEdit(self::edit(edit)?), View::Done("The profile is changed."))
        }
        ProfileVerb::List => (Command::ProfileList(ProfileList {}), view::PROFILES),
        ProfileVerb::Show { name } => (Command::ProfileShow(ProfileShow { name }), view::PROFILE),
        ProfileVerb::Test { name } => (Command::ProfileTest(ProfileTest { name }), view::TESTED),
        ProfileVerb::Run { name, dry_run } => (Command::ProfileRun(ProfileRun { name, dry_run }), view::RUN),
        ProfileVerb::Delete { name } => (
            Command::ProfileDelete(ProfileDelete { name }),
            View::Done("The profile is gone; what it archived stays."),
        ),
        ProfileVerb::Export { names, secrets, output } => {
            let view = match output {
                Some(path) => View::Into(absolute(&path)?),
                None => View::Bytes,
            };
            (Command::ProfileExport(ProfileExport { names, secrets }), view)
        }
        ProfileVerb::Import { file, replace } => {
            let file = absolute(&file)?;
            (Command::ProfileImport(ProfileImport { file, replace }), view::IMPORTED)
        }
    })
}

fn create(create: Create) -> Result<ProfileCreate, Failure> {
    let Create { name, kind, file, mut flags, password } = create;
    let mut whole = match (&file, kind) {
        (Some(file), _) => from_file(file, &name)?,
        (None, Some(kind)) => Whole { profile: Profile::new(&name, kind), secret: None },
        (None, None) => return Err(Failure::usage("--kind or --file is missing")),
    };
    if let Some(kind) = kind {
        whole.profile.kind = kind;
    }
    complete(&mut flags)?;
    flags.apply(&mut whole.profile);
    whole.profile.check().map_err(Failure::usage)?;
    let given = password.is_given();
    let secret = match whole.secret {
        Some(secret) if !given => Some(Secret(Zeroizing::new(secret.reveal().to_owned()))),
        _ if given || whole.profile.needs_secret() => Some(Secret(password.read(&name)?)),
        _ => None,
    };
    Ok(ProfileCreate { profile: Box::new(whole.profile), secret })
}

fn edit(edit: Edit) -> Result<ProfileEdit, Failure> {
    let Edit { name, file, mut flags, password } = edit;
    complete(&mut flags)?;
    let whole = file.map(|file| from_file(&file, &name)).transpose()?;
    let (profile, in_file) =
        whole.map_or((None, None), |whole| (Some(Box::new(whole.profile)), whole.secret));
    let secret = match in_file {
        _ if password.is_given() => Some(Secret(password.read(&name)?)),
        Some(secret) => Some(Secret(Zeroizing::new(secret.reveal().to_owned()))),
        None => None,
    };
    Ok(ProfileEdit { name, profile, flags, secret })
}

/// What only this side can know: files, and where relative paths start.
fn complete(flags: &mut Flags) -> Result<(), Failure> {
    if let Some(path) = flags.ca.take() {
        flags.ca_pem = Some(read_bounded(&path)?.to_string());
    }
    if let Some(path) = &flags.path {
        flags.path = Some(absolute(path)?);
    }
    Ok(())
}

fn from_file(path: &Path, name: &str) -> Result<Whole, Failure> {
    Whole::parse(&read_bounded(path)?, Some(name))
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

fn read_bounded(path: &Path) -> Result<Zeroizing<String>, Failure> {
    let read = || -> anyhow::Result<Zeroizing<String>> {
        let mut text = Zeroizing::new(String::with_capacity(MAX_TEXT_BYTES + 1));
        File::open(path)?.take(MAX_TEXT_BYTES as u64 + 1).read_to_string(&mut text)?;
        ensure!(text.len() <= MAX_TEXT_BYTES, "it is longer than {MAX_TEXT_BYTES} bytes");
        Ok(text)
    };
    Ok(read().with_context(|| path.display().to_string())?)
}

/// `runs …`.
pub(super) fn runs(which: Option<RunsVerb>) -> (Command, View) {
    match which {
        None | Some(RunsVerb::List) => (Command::Runs(Runs {}), view::RUNS),
        Some(RunsVerb::Show { id }) => (Command::RunShow(RunShow { id: id.number() }), view::RUN),
        Some(RunsVerb::Failed { id: None }) => (Command::RunsOpen(RunsOpen {}), view::OPEN),
        Some(RunsVerb::Failed { id: Some(id) }) => {
            (Command::RunItems(RunItems { id: id.number(), which: Which::Failed }), view::ITEMS)
        }
        Some(RunsVerb::Filtered { id }) => {
            (Command::RunItems(RunItems { id: id.number(), which: Which::Filtered }), view::ITEMS)
        }
        Some(RunsVerb::Deleted { id }) => {
            (Command::RunItems(RunItems { id: id.number(), which: Which::Deleted }), view::ITEMS)
        }
        Some(RunsVerb::Log { id }) => (Command::RunLog(RunLog { id: id.number() }), view::LOG),
        Some(RunsVerb::Retry { id }) => (Command::RunRetry(RunRetry { id: id.number() }), view::RUN),
    }
}

/// `schedule …`.
pub(super) fn schedule(verb: ScheduleVerb) -> Result<(Command, View), Failure> {
    Ok(match verb {
        ScheduleVerb::List => (Command::ScheduleList(ScheduleList {}), view::SCHEDULE),
        ScheduleVerb::Remove { name } => {
            (Command::ScheduleRemove(ScheduleRemove { name }), View::Done("It is done no more."))
        }
        ScheduleVerb::Add(Add { name, task, dir, slices, when }) => {
            if slices.is_some() && task != TaskName::Verify {
                return Err(Failure::usage("--slices goes with verify"));
            }
            let task = match (task, dir) {
                (TaskName::Backup, Some(dir)) => Task::Backup { dir: absolute(&dir)? },
                (TaskName::Backup, None) => return Err(Failure::usage("--dir is missing")),
                (_, Some(_)) => return Err(Failure::usage("--dir goes with backup")),
                (TaskName::Verify, None) => Task::Verify { slices },
                (TaskName::Compact, None) => Task::Compact,
                (TaskName::Index, None) => Task::Index,
                (TaskName::Directory, None) => Task::Directory,
            };
            let mut timing = None;
            when.apply(&mut timing);
            let timing =
                timing.ok_or_else(|| Failure::usage("when? --cron EXPRESSION or --every MINUTES"))?;
            let job = Job { name, task, timing };
            (
                Command::ScheduleAdd(ScheduleAdd { job }),
                View::Done("It is done at its times while the server runs."),
            )
        }
    })
}

/// `jobs …`.
pub(super) fn jobs(which: Option<JobsVerb>) -> (Command, View) {
    match which {
        None | Some(JobsVerb::List) => (Command::Jobs(Jobs {}), view::JOBS),
        Some(JobsVerb::Cancel { id }) => {
            (Command::JobCancel(JobCancel { id }), View::Done("It is told to end."))
        }
    }
}

/// `user address`.
pub(super) fn addresses(given: Addresses) -> (Command, View) {
    let Addresses { name, add, remove } = given;
    (Command::UserAddress(UserAddress { name, add, remove }), view::USERS)
}
