//! `key …` and `backup …`: what keeps the archive readable.

use crate::keys::Given;
use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

/// `key …`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyVerb {
    /// The key's id, and where it comes from
    Show,
    /// Print a recovery sheet: the key on paper, with a check for every line
    #[command(after_help = "\
Examples:
  mailkeep key export
  mailkeep key export -o sheet.txt

Whoever has the sheet and a copy of the archive reads all mail.")]
    Export(Given),
    /// Put the key of a recovery sheet, or of a copy of the key file, into an installation that lost its own
    Import {
        /// The sheet's text or the key file; `-` for standard input
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Make a new master key; every store's key is wrapped anew, mail stays as it is
    #[command(after_help = "\
Examples:
  mailkeep key rotate
  mailkeep key rotate -o new.key       where the key comes from elsewhere

The old key still opens the packs that were begun under it, and backups: it is
kept as keys/master.key.ID. Where it was stolen, `store compact` writes the
packs anew, which it then does not open.")]
    Rotate {
        /// The new key's file, where the key doesn't come from a file; take it to its source from there
        #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
    },
    /// Print a new key, for a vault or a credential, without touching anything
    New(Given),
}

/// `backup …`.
#[derive(Debug, Args)]
pub(crate) struct BackupVerb {
    #[command(subcommand)]
    pub(crate) what: Option<BackupWhat>,
    /// A new or empty directory, or one with a backup of this archive
    #[arg(required = true, value_hint = ValueHint::DirPath)]
    pub(crate) dir: Option<PathBuf>,
    /// Copy the keys too: whoever has the backup reads the mail then
    #[arg(long)]
    pub(crate) with_key: bool,
    /// Read the whole backup again at the end
    #[arg(long)]
    pub(crate) verify_all: bool,
}

/// `backup show …`.
#[derive(Debug, Subcommand)]
pub(crate) enum BackupWhat {
    /// What a backup holds, and when it was made
    Show {
        /// The directory of the backup
        #[arg(value_hint = ValueHint::DirPath)]
        dir: PathBuf,
    },
    /// Read a whole backup and compare it with its list
    Verify {
        /// The directory of the backup
        #[arg(value_hint = ValueHint::DirPath)]
        dir: PathBuf,
    },
}
