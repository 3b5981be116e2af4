//! `group …`, `access …` and who gives a command (`--login`).

use crate::cli::user::LevelName;
use crate::command::{MAX_ACCESS_HOURS, Meaning};
use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

/// Who gives the command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Commands given by users")]
pub(crate) struct By {
    /// Give the command as this user, with the user's own rights; the password is asked for
    #[arg(long, value_name = "NAME", env = "MAILKEEP_LOGIN", global = true)]
    pub(crate) login: Option<String>,
    /// Read the login's password from the first line of a file
    #[arg(long, value_name = "FILE", global = true, value_hint = ValueHint::FilePath, conflicts_with = "login_password_stdin")]
    pub(crate) login_password_file: Option<PathBuf>,
    /// Read the login's password from standard input: one line, before any other
    #[arg(long, global = true)]
    pub(crate) login_password_stdin: bool,
    /// The socket of a running server for everybody on the machine (users_socket in its configuration); --data isn't needed
    #[arg(long, value_name = "PATH", env = "MAILKEEP_SOCKET", global = true, value_hint = ValueHint::FilePath)]
    pub(crate) socket: Option<PathBuf>,
}

/// `group …`.
#[derive(Debug, Subcommand)]
pub(crate) enum GroupVerb {
    /// Groups that have rights, or in which somebody is
    List,
    /// Give everyone in a group a right on folders
    #[command(after_help = "\
Examples:
  mailkeep group grant sales --folder offers --level read
  mailkeep group grant 'CN=Sales,OU=Groups,DC=example,DC=org' --folder bob/Offers --level write

A group's name is compared without case. Who is in a group a directory says, or
mailkeep user edit NAME --group GROUP.")]
    Grant {
        /// The group's name
        group: String,
        #[command(flatten)]
        rules: Rules,
    },
    /// Take a group's rights on folders
    Revoke {
        /// The group's name
        group: String,
        /// The archive or folder
        #[arg(long, value_name = "FOLDER", required = true)]
        folder: Vec<String>,
    },
}

/// Folders and a level.
#[derive(Debug, Args)]
pub(crate) struct Rules {
    /// An archive, or a folder in one: alice, alice/Projects; several times for several
    #[arg(long, value_name = "FOLDER", required = true)]
    pub(crate) folder: Vec<String>,
    /// What may be done there and below
    #[arg(long, value_enum)]
    pub(crate) level: LevelName,
}

/// `access …`.
#[derive(Debug, Subcommand)]
pub(crate) enum AccessVerb {
    /// Whether it is open, until when and why
    Show,
    /// Open it for some time, with a reason; both stand in the audit log
    #[command(after_help = "\
Example:
  mailkeep access unblock --for 8h --reason 'Case 2026-17, with the works council'")]
    Unblock {
        /// How long: 30m, 8h, 2d
        #[arg(long = "for", value_name = "TIME", value_parser = minutes)]
        minutes: u32,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Block it, at once
    Block,
}

/// Understands `30m`, `8h`, `2d`.
fn minutes(text: &str) -> Result<u32, String> {
    let most = MAX_ACCESS_HOURS * 60;
    let unit =
        text.char_indices().next_back().and_then(|(at, unit)| text.get(..at).map(|number| (number, unit)));
    let minutes = unit.and_then(|(number, unit)| {
        let factor = match unit {
            'm' => 1,
            'h' => 60,
            'd' => 24 * 60,
            _ => return None,
        };
        number.parse::<u32>().ok()?.checked_mul(factor)
    });
    let sound = minutes.filter(|minutes| (1..=most).contains(minutes));
    sound.ok_or_else(|| format!("a time is such as 30m, 8h or 2d, at most {} days", MAX_ACCESS_HOURS / 24))
}

/// `user import-csv`.
#[derive(Debug, Args)]
pub(crate) struct ImportCsv {
    /// The file; its first line says what the columns are
    #[arg(value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Change users that are there already in what their line says; without, they are left as they are
    #[arg(long)]
    pub(crate) update: bool,
    /// The header's word of the login names
    #[arg(long, value_name = "WORD")]
    name_column: Option<String>,
    /// That of the names for people
    #[arg(long, value_name = "WORD")]
    full_name_column: Option<String>,
    /// That of the passwords
    #[arg(long, value_name = "WORD")]
    password_column: Option<String>,
    /// That of the e-mail addresses; several times for several columns
    #[arg(long, value_name = "WORD")]
    address_column: Vec<String>,
    /// That of the aliases; several times for several columns
    #[arg(long, value_name = "WORD")]
    alias_column: Vec<String>,
    /// That of the distinguished names
    #[arg(long, value_name = "WORD")]
    dn_column: Option<String>,
    /// That of the days on which users end
    #[arg(long, value_name = "WORD")]
    expires_column: Option<String>,
}

impl ImportCsv {
    /// Which word of the header means what, where that is said.
    pub(crate) fn columns(&self) -> Vec<(Meaning, String)> {
        let one = |meaning: Meaning, word: &Option<String>| word.clone().map(|word| (meaning, word));
        let single = [
            one(Meaning::Name, &self.name_column),
            one(Meaning::FullName, &self.full_name_column),
            one(Meaning::Password, &self.password_column),
            one(Meaning::Dn, &self.dn_column),
            one(Meaning::Expires, &self.expires_column),
        ];
        let addresses = self.address_column.iter().map(|word| (Meaning::Address, word.clone()));
        let aliases = self.alias_column.iter().map(|word| (Meaning::Alias, word.clone()));
        single.into_iter().flatten().chain(addresses).chain(aliases).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, found) in [("1m", 1), ("30m", 30), ("8h", 480), ("30d", 43_200), ("720h", 43_200)] {
            assert_eq!(minutes(text), Ok(found), "{text}");
        }
        for bad in ["", "8", "h", "0m", "-1h", "8 h", "1w", "31d", "43201m", "99999999d", "é"] {
            assert!(minutes(bad).is_err(), "{bad}");
        }
    }
}
