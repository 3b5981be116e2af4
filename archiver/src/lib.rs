//! Brings mail from sources into the archive and accounts for every item it saw.
//!
//! Invariant: for every run, seen = archived + already there + moved + filtered + failed; what a run counts is committed. Owns the
//! tables `runs`, `ledger`, `last_runs`, `run_totals`, `unsolved`, `checkpoints`, `source_folders`, `source_uids`, `source_uidls`, `mailboxes_under_way`, and those of `profile` and `schedule`, of
//! master.redb. Changes nothing at a source but by
//! a deletion rule, and that only after what is deleted was read back from the archive.
//!
//! A run is a line of threads with bounded queues between them: `walk` reads the source in its order (`mbox`, `mmdf`,
//! `maildir`, `mh` know the formats), `feed` takes each message whole and has it parsed by several threads, and `run`
//! puts them into batches in the order of the source and keeps the account in `ledger`. Memory doesn't grow with the
//! source but for one directory's names and, on a rerun, 20 bytes a message that was there.
//!
//! What counts as mail, how names become folders and where dates come from is told to users in docs/archiving.md.

mod disk;
mod feed;
mod from_line;
mod ledger;
mod maildir;
mod mbox;
mod mh;
mod mmdf;
mod names;
pub mod profile;
pub mod remote;
mod run;
pub mod schedule;
mod sniff;
#[cfg(test)]
mod testing;
mod totals;
mod turns;
mod unsolved;
mod walk;
mod window;

pub use ledger::LogLine;
pub use totals::Totals;
pub use unsolved::Unsolved;

use ledger::Ledger;
use profile::Profiles;
use redb::Database;
use schedule::Schedule;
use std::path::PathBuf;
use std::sync::Arc;
use storage::{Cancel, FolderPath, Storage};
use turns::Turns;

/// A mailbox format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One message a file.
    Eml,
    /// Maildir and Maildir++.
    Maildir,
    /// mbox with `>` before `From ` lines; a line that was `>From ` at first can't be told apart and is unquoted too.
    Mboxo,
    /// mbox with reversible `>`-quoting.
    Mboxrd,
    /// mbox with Content-Length and quoting.
    Mboxcl,
    /// mbox with Content-Length, without quoting.
    Mboxcl2,
    /// MMDF: messages between lines of four ^A.
    Mmdf,
    /// MH: numbered files.
    Mh,
    /// Apple Mail's files.
    Emlx,
    /// An IMAP server.
    Imap,
    /// A POP3 server.
    Pop3,
}

/// Sums of a run or of one source folder of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Sums {
    /// Items seen.
    pub seen: u64,
    /// New placements.
    pub archived: u64,
    /// Placements that were there.
    pub already: u64,
    /// Placements that moved in the archive as their messages did at the source.
    #[serde(default)]
    pub moved: u64,
    /// Left out by rule (empty files, …), each with its name in the ledger.
    pub filtered: u64,
    /// Not archived for a reason that stands in the ledger.
    pub failed: u64,
    /// Canonical bytes archived anew.
    pub bytes: u64,
    /// Messages that the server says it has.
    #[serde(default, rename = "onServer", alias = "on_server")]
    pub on_server: u64,
    /// Deleted at the source, after their stored bytes were read back.
    #[serde(default)]
    pub deleted: u64,
}

impl Sums {
    /// Whether every item that was seen has one end: what a run must fulfil to have succeeded.
    #[must_use]
    pub fn agree(&self) -> bool {
        let ends = [self.archived, self.already, self.moved, self.filtered, self.failed];
        ends.iter().try_fold(0_u64, |sum, end| sum.checked_add(*end)) == Some(self.seen)
    }

    pub(crate) fn add(&mut self, more: &Sums) {
        self.each(more, u64::saturating_add);
    }

    pub(crate) fn take_off(&mut self, less: &Sums) {
        self.each(less, u64::saturating_sub);
    }

    fn each(&mut self, other: &Sums, op: fn(u64, u64) -> u64) {
        self.seen = op(self.seen, other.seen);
        self.archived = op(self.archived, other.archived);
        self.already = op(self.already, other.already);
        self.moved = op(self.moved, other.moved);
        self.filtered = op(self.filtered, other.filtered);
        self.failed = op(self.failed, other.failed);
        self.bytes = op(self.bytes, other.bytes);
        self.on_server = op(self.on_server, other.on_server);
        self.deleted = op(self.deleted, other.deleted);
    }
}

/// Why an item was not archived.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Item {
    /// File, with the offset in an mbox.
    pub place: String,
    /// Why.
    pub reason: String,
}

/// One source folder of a run.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FolderRun {
    /// Path at the source.
    pub source: String,
    /// Folder in the archive.
    pub folder: String,
    /// Format, detected or given.
    pub format: Format,
    /// Whether the format was given by the caller.
    pub given: bool,
    /// Sums.
    pub sums: Sums,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Not ended (or the program died in it; the next start says so).
    Running,
    /// Ended, the sums agree, nothing failed.
    Succeeded,
    /// Ended with failed items.
    CompletedWithErrors,
    /// Ended by an error of the whole run.
    Failed,
    /// Ended by its user or by the program's end.
    Cancelled,
}

/// A run's account.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Run {
    /// Number, rising.
    pub id: u64,
    /// What was archived: the path.
    pub source: String,
    /// Target folder.
    pub into: String,
    /// Who asked for it.
    pub who: String,
    /// Seconds since 1970 (UTC).
    pub started: i64,
    /// Seconds since 1970 (UTC); none while it runs.
    pub ended: Option<i64>,
    /// How it stands.
    pub state: State,
    /// Sums over all folders.
    pub sums: Sums,
    /// The folders.
    pub folders: Vec<FolderRun>,
    /// Why the whole run failed.
    pub error: Option<String>,
}

/// What the source of a profile's run begins with in the ledger; paths are absolute, so that none does.
const PROFILE_SOURCE: &str = "profile ";

impl Run {
    /// The profile that was run, if one was.
    #[must_use]
    pub fn profile(&self) -> Option<&str> {
        self.source.strip_prefix(PROFILE_SOURCE)
    }
}

/// What to archive.
#[derive(Debug, Clone)]
pub struct FileJob {
    /// A file or a directory.
    pub path: PathBuf,
    /// Target folder: the path's own messages go here, subfolders below it.
    pub into: FolderPath,
    /// Format given by the user; detected per file or directory otherwise.
    pub format: Option<Format>,
    /// Who asked, for the ledger.
    pub who: String,
    /// Messages that were deleted from the archive are archived again.
    pub deleted_too: bool,
}

/// Progress of a run, a few times a second.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Progress {
    /// Sums so far.
    pub sums: Sums,
    /// Source bytes read so far.
    pub done_bytes: u64,
    /// Source bytes in all, once known.
    pub total_bytes: Option<u64>,
    /// What is being read.
    pub at: String,
}

/// Why a run could not be done or shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The source can't be read at all.
    #[error("{path}: {what}")]
    Source {
        /// The path.
        path: PathBuf,
        /// Why.
        what: String,
    },
    /// Storage failed; all that was committed before stays.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The database of runs failed.
    #[error("run database: {0}")]
    Database(#[source] Box<redb::Error>),
    /// A profile makes no sense, or can't be kept.
    #[error("profile {name:?}: {what}")]
    Profile {
        /// Its name.
        name: String,
        /// What is wrong with it, and what to do.
        what: String,
    },
    /// No such profile.
    #[error("there is no profile {0:?}; `mailkeep profile list` shows them")]
    UnknownProfile(String),
    /// No such job of the schedule.
    #[error("there is no scheduled job {0:?}; `mailkeep schedule list` shows them")]
    UnknownJob(String),
    /// It runs already.
    #[error("{0} runs already; `mailkeep jobs` shows it")]
    Busy(String),
    /// The key of the profiles' passwords can't be opened.
    #[error(
        "the master key in use does not open the profiles' passwords: bring back the key that was in use when they were set, or set \
         them again with `mailkeep profile edit`"
    )]
    Vault,
    /// Users could not be asked or made.
    #[error(transparent)]
    Users(#[from] auth::Error),
    /// No such run.
    #[error("there is no run {0}; `mailkeep runs` lists them")]
    Unknown(u64),
    /// No run at all.
    #[error("nothing was archived yet; `mailkeep archive` and `mailkeep profile run` do")]
    NoRun,
}

/// Archives, and keeps the account. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Archiver {
    storage: Storage,
    ledger: Ledger,
    /// One run at a time of each source: sightings count what was committed before the run.
    turns: Turns,
    profiles: Profiles,
    schedule: Schedule,
}

impl Archiver {
    /// Opens (and makes, if need be) the tables; runs that a dead program left running are marked failed.
    /// # Errors
    /// `Database`.
    pub fn open(storage: Storage, db: Arc<Database>) -> Result<Archiver, Error> {
        Ok(Archiver {
            profiles: Profiles::open(db.clone(), storage.clone())?,
            schedule: Schedule::open(db.clone())?,
            ledger: Ledger::open(db)?,
            turns: Turns::default(),
            storage,
        })
    }
    /// The kept profiles.
    #[must_use]
    pub fn profiles(&self) -> &Profiles {
        &self.profiles
    }
    /// What runs by itself.
    #[must_use]
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }
    /// Archives files; returns the run's account, also when items failed. Blocking; uses all cores; waits for a run of the same
    /// files that is under way.
    /// # Errors
    /// Only what keeps a run from being begun or accounted for; a run that dies in the middle returns `Ok` with state `Failed`.
    pub fn archive_files(
        &self,
        job: &FileJob,
        progress: &(dyn Fn(&Progress) + Sync),
        cancel: &Cancel,
    ) -> Result<Run, Error> {
        let run = run::archive(self, job, progress, cancel)?;
        self.ledger.settle(&run)?;
        Ok(run)
    }
    /// All runs, oldest first.
    /// # Errors
    /// `Database`.
    pub fn runs(&self) -> Result<Vec<Run>, Error> {
        self.ledger.runs()
    }
    /// Sums over all runs. Costs the same however many there are.
    /// # Errors
    /// `Database`.
    pub fn totals(&self) -> Result<Totals, Error> {
        self.ledger.totals()
    }
    /// One run.
    /// # Errors
    /// `Unknown`.
    pub fn run(&self, id: u64) -> Result<Run, Error> {
        self.ledger.run(id)
    }
    /// The failed and the filtered items of a run: (failed, filtered).
    /// # Errors
    /// `Unknown`.
    pub fn items(&self, id: u64) -> Result<(Vec<Item>, Vec<Item>), Error> {
        self.ledger.run(id)?;
        Ok((self.ledger.entries(id, ledger::Kind::Failed)?, self.ledger.entries(id, ledger::Kind::Filtered)?))
    }
    /// What a run deleted at its source, or would have (the reason says which).
    /// # Errors
    /// `Unknown`.
    pub fn deletions(&self, id: u64) -> Result<Vec<Item>, Error> {
        self.ledger.run(id)?;
        self.ledger.entries(id, ledger::Kind::Deleted)
    }
    /// The newest run.
    /// # Errors
    /// `NoRun` when there is none.
    pub fn last_run(&self) -> Result<Run, Error> {
        self.ledger.last()
    }
    /// The newest run of a profile, without its folders; none: it never ran, or that is no longer kept. Costs one look, however
    /// many runs there are.
    /// # Errors
    /// `Database`.
    pub fn last_run_of(&self, profile: &str) -> Result<Option<Run>, Error> {
        self.ledger.last_of(&format!("{PROFILE_SOURCE}{profile}"))
    }
    /// What failed in any run and was not archived since.
    /// # Errors
    /// `Database`.
    pub fn unsolved(&self) -> Result<Vec<Unsolved>, Error> {
        self.ledger.unsolved()
    }
    /// The log of a run, oldest line first.
    /// # Errors
    /// `Unknown`.
    pub fn log(&self, id: u64) -> Result<Vec<LogLine>, Error> {
        self.ledger.run(id)?;
        self.ledger.entries(id, ledger::Kind::Log)
    }
}

#[cfg(test)]
mod tests;
