//! `schedule …` and `jobs`: what runs by itself, and what runs now.

use super::profile::WhenFlags;
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;

/// `schedule …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleVerb {
    /// What runs by itself, and when next: profiles and jobs
    List,
    /// Have something done at its times, while the server runs
    #[command(after_help = "\
Examples:
  mailkeep schedule add nightly backup --dir /mnt/backup/mail --cron '30 2 * * *'
  mailkeep schedule add check verify --slices 30 --cron '0 4 * * *' --zone Europe/Berlin
  mailkeep schedule add tidy compact --cron '@monthly' --jitter 60

A profile has its schedule of its own: mailkeep profile edit NAME --every 15")]
    Add(Add),
    /// Have it done no more
    Remove {
        /// The job's name
        name: String,
    },
}

/// `schedule add`.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The job's name: letters, digits, `-`, `_`, `.`
    pub(crate) name: String,
    /// What is done
    pub(crate) task: TaskName,
    /// The backup's directory
    #[arg(long, required_if_eq("task", "backup"), value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
    /// Verify a slice at a time: everything in so many runs
    #[arg(long, value_name = "N")]
    pub(crate) slices: Option<u32>,
    #[command(flatten)]
    pub(crate) when: WhenFlags,
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TaskName {
    /// Read everything again and compare it
    Verify,
    /// Erase what was deleted
    Compact,
    /// Bring a backup up to date
    Backup,
    /// Make the search indexes anew
    Index,
    /// Bring the users in line with the directory
    Directory,
}

/// `jobs …`.
#[derive(Debug, Subcommand)]
pub(crate) enum JobsVerb {
    /// What runs now, and how far it is
    List,
    /// End a job; what it has archived stays
    Cancel {
        /// The job's number
        id: u64,
    },
}
