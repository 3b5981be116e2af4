//! `audit …`: who did what, and whether the log of it is what it was.

use clap::{Args, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;
use time::macros::format_description;
use time::{Date, OffsetDateTime, format_description::well_known::Rfc3339};

/// `audit`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Audit {
    #[command(subcommand)]
    pub(crate) verb: Option<AuditVerb>,
    #[command(flatten)]
    pub(crate) list: List,
}

/// `audit …`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// Show entries, the newest last
    #[command(after_help = "\
Examples:
  mailkeep audit list --since 2026-11-01 --kind access
  mailkeep audit list --archive alice --result failed --limit 20 --json")]
    List(List),
    /// Write entries as CSV: one file, or one for each day (UTC)
    #[command(after_help = "\
Examples:
  mailkeep audit export --dir /mnt/audit --since 2026-11-01
  mailkeep audit export --csv audit.csv --kind login

The files of --dir are called audit-2026-11-30.csv; those that are there are
replaced. The server writes them. What a spreadsheet would take for a formula
has an apostrophe in front.")]
    Export(Export),
    /// Compute the log's hashes anew, and compare them with the signed heads
    #[command(after_help = "\
Examples:
  mailkeep audit verify
  mailkeep audit verify --head kept-heads.jsonl

Names the first entry that was changed, taken out, put in or cut off. Whoever
can write the archive's files can compute hashes too: --head compares with heads
that were kept elsewhere (mailkeep evidence send). Exit status 1: something is
wrong.")]
    Verify {
        /// A head that was kept, or a file with a line for each
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        head: Option<PathBuf>,
    },
    /// Print the log's signed head: keep it where nobody who can write the archive can change it
    Head,
}

/// Which entries.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// From this day or moment on (UTC): 2026-11-30, 2026-11-30T08:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub(crate) since: Option<i64>,
    /// Before this day or moment
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    pub(crate) until: Option<i64>,
    /// Only what this one did: a user's name, or local:NAME
    #[arg(long, value_name = "NAME")]
    pub(crate) who: Option<String>,
    /// Only acts of this kind; several times for several
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Vec<KindName>,
    /// Only what was about this archive
    #[arg(long, value_name = "NAME")]
    pub(crate) archive: Option<String>,
    /// Only what went well, or what didn't
    #[arg(long)]
    pub(crate) result: Option<ResultName>,
}

/// `audit list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// No more than the newest N of them
    #[arg(long, visible_alias = "last", value_name = "N", default_value_t = 1_000)]
    pub(crate) limit: u32,
    /// The newest first
    #[arg(long)]
    pub(crate) newest_first: bool,
}

/// `audit export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    pub(crate) filter: Filter,
    /// A directory for a file a day; it is made if it isn't there
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, required_unless_present = "csv")]
    pub(crate) dir: Option<PathBuf>,
    /// A file for all
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "dir")]
    pub(crate) csv: Option<PathBuf>,
}

/// A kind of act.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum KindName {
    /// Commands that are none of the others
    Act,
    /// Logins
    Login,
    /// Users, their rights, and how they log in
    Privilege,
    /// Reading an archive of somebody else
    Access,
    /// Opening and blocking administrators' access to archives
    ArchiveAccess,
    /// Archiving
    Run,
    /// Deleting mail
    Deletion,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ResultName {
    /// It was done
    Ok,
    /// It failed or was refused
    Failed,
}

impl From<Filter> for auth::AuditFilter {
    fn from(filter: Filter) -> auth::AuditFilter {
        let Filter { since, until, who, kind, archive, result } = filter;
        let kinds = kind.into_iter().map(|kind| match kind {
            KindName::Act => auth::AuditKind::Act,
            KindName::Login => auth::AuditKind::Login,
            KindName::Privilege => auth::AuditKind::Privilege,
            KindName::Access => auth::AuditKind::Access,
            KindName::ArchiveAccess => auth::AuditKind::ArchiveAccess,
            KindName::Run => auth::AuditKind::Run,
            KindName::Deletion => auth::AuditKind::Deletion,
        });
        let ok = result.map(|result| result == ResultName::Ok);
        auth::AuditFilter { since, until, who, kinds: kinds.collect(), archive, ok }
    }
}

/// Seconds since 1970 of a day (its beginning, UTC) or a moment.
fn moment(text: &str) -> Result<i64, String> {
    let day = format_description!("[year]-[month]-[day]");
    if let Ok(date) = Date::parse(text, &day) {
        return Ok(date.midnight().assume_utc().unix_timestamp());
    }
    OffsetDateTime::parse(text, &Rfc3339)
        .map(OffsetDateTime::unix_timestamp)
        .map_err(|_| "a day (2026-11-30) or a moment (2026-11-30T08:00:00Z) is expected".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_moments() {
        assert_eq!(moment("1970-01-02"), Ok(86_400));
        assert_eq!(moment("1970-01-02T01:00:00+01:00"), Ok(86_400));
        assert!(moment("yesterday").is_err() && moment("2026-02-30").is_err() && moment("").is_err());
    }
}
