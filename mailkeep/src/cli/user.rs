//! `user …`: who may log in, and what they may do.

use crate::password::Source;
use auth::{Edit, Level, Mode, Privilege};
use clap::{Args, Subcommand, ValueEnum};

/// `user …`.
#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Make a user, who may log in, use IMAP, and read the own archive
    #[command(
        visible_alias = "add",
        after_help = "\
Examples:
  mailkeep user create alice
  pass mail/alice | mailkeep user create alice --password-stdin
  mailkeep user create bob --full-name 'Bob Lee' --address bob@example.org --address b.lee@example.org
  mailkeep user create tax --auditor --expires 2027-03-31

An archive that an earlier user of this name left becomes the new user's own.
An auditor reads all archives and changes nothing, until the day of --expires."
    )]
    Create(Box<Create>),
    /// Change what is known of a user
    #[command(after_help = "\
Examples:
  mailkeep user edit alice --full-name 'Alice Lee' --address alice@example.org --address al@example.org
  mailkeep user edit alice --disable
  mailkeep user edit alice --expires 2027-01-01      never: no end
  mailkeep user edit alice --group sales --no-group press

--address and --alias say all of them, the primary address first; what was there
before and isn't named goes (mailkeep user address adds one and takes one).")]
    Edit(Box<Edited>),
    /// Give a user another login name; the archive keeps its own
    #[command(after_help = "\
Example:
  mailkeep user rename alice anna

The user keeps the right on the archive alice and gets the same on one called
anna, where mail goes from now on; others' rights on alice stay. To rename the
archive too: mailkeep folder rename alice anna.")]
    Rename {
        /// The login name
        name: String,
        /// The new one
        new: String,
    },
    /// Make the users of a CSV file: all of them, or none if a line can't be taken
    #[command(after_help = "\
Examples:
  mailkeep user import-csv people.csv --dry-run
  mailkeep user import-csv people.csv --name-column Kürzel --address-column Mail --update

The first line says what the columns are. Known words: name (user, login,
Benutzername), full name (display name), password, e-mail, alias (POP3), DN,
expires; other columns are left out. A cell may hold several addresses, parted
by blanks, the primary first. What an empty cell doesn't say stays. A file with
passwords must be readable by its owner only. Users without a password log in
once they have one (mailkeep user passwd).")]
    ImportCsv(super::people::ImportCsv),
    /// All users; who is no administrator sees one
    List,
    /// One user, with the rights that count and where each comes from
    Show {
        /// The login name
        name: String,
    },
    /// Set a user's password
    Passwd {
        /// The login name
        name: String,
        #[command(flatten)]
        password: Source,
    },
    /// Give or take e-mail addresses: whose mail it is that comes from a server for many
    Address(super::profile::Addresses),
    /// Give privileges, and rights on folders
    #[command(after_help = "\
Examples:
  mailkeep user grant bob --read alice
  mailkeep user grant bob --folder alice/Projects --level write
  mailkeep user grant bob --folder alice/Private --level none
  mailkeep user grant bob --privilege archive --privilege modify

A right counts for the folder and all below it. The rule of the nearest folder
decides, a user's own before those of groups; so none takes away, below, what is
given above. read: see and read; write: move mail, and archive into it; delete:
delete mail. Write and delete need a privilege as well (modify, archive, delete).
--read FOLDER stands for --folder FOLDER --level read.")]
    Grant(Grants),
    /// Take privileges, and rules on folders
    #[command(after_help = "\
Examples:
  mailkeep user revoke bob --folder alice
  mailkeep user revoke bob --privilege delete

Taking a rule lets the next one above decide, or a group's.")]
    Revoke(Revokes),
    /// Passwords for single devices
    #[command(subcommand)]
    AppPassword(super::credentials::AppPassword),
    /// The second factor: codes of an authenticator app
    #[command(subcommand)]
    Totp(super::credentials::TotpVerb),
    /// From where a user may come, and whether the password must be changed
    Door(super::credentials::Door),
    /// When, from where and how somebody logged in or tried to
    Logins {
        /// The login name
        name: String,
    },
    /// Remove a user; the archive stays
    #[command(visible_alias = "remove")]
    Delete {
        /// The login name
        name: String,
    },
}

/// `user create`.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// The login name, also the name of the archive
    pub(crate) name: String,
    /// Make an administrator
    #[arg(long, conflicts_with = "auditor")]
    pub(crate) admin: bool,
    /// Make an auditor: reads all archives, changes nothing
    #[arg(long, requires = "expires")]
    pub(crate) auditor: bool,
    /// A privilege besides login, imap and changePassword
    #[arg(long, value_name = "PRIVILEGE")]
    pub(crate) privilege: Vec<PrivilegeName>,
    #[command(flatten)]
    pub(crate) about: About,
    /// Nobody can log in as this user until a password is set
    #[arg(long, conflicts_with_all = ["password_stdin", "password_file"])]
    pub(crate) no_password: bool,
    #[command(flatten)]
    pub(crate) password: Source,
}

/// `user edit`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true).args([
    "full_name", "address", "no_address", "alias", "no_alias", "dn", "mode", "expires", "disable", "enable", "group", "no_group",
]))]
pub(crate) struct Edited {
    /// The login name
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) about: About,
    /// Take all addresses
    #[arg(long, conflicts_with = "address")]
    pub(crate) no_address: bool,
    /// Take all aliases
    #[arg(long, conflicts_with = "alias")]
    pub(crate) no_alias: bool,
    /// Allow again what was allowed before
    #[arg(long, conflicts_with = "disable")]
    pub(crate) enable: bool,
    /// Take the user out of this group
    #[arg(long, value_name = "GROUP")]
    pub(crate) no_group: Vec<String>,
}

/// What is known of a user.
#[derive(Debug, Args)]
pub(crate) struct About {
    /// The name for people
    #[arg(long, value_name = "NAME")]
    pub(crate) full_name: Option<String>,
    /// An e-mail address, the primary one first; several times for several
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) address: Vec<String>,
    /// Another name at mail servers (POP3 and the like)
    #[arg(long, value_name = "NAME")]
    pub(crate) alias: Vec<String>,
    /// The distinguished name in a directory
    #[arg(long)]
    pub(crate) dn: Option<String>,
    /// Who checks the password
    #[arg(long, value_enum)]
    pub(crate) mode: Option<ModeName>,
    /// The day from whose beginning (UTC) on nothing is allowed, or a moment; never
    #[arg(long, value_name = "DATE", value_parser = crate::command::day)]
    pub(crate) expires: Option<i64>,
    /// Nothing is allowed until --enable
    #[arg(long)]
    pub(crate) disable: bool,
    /// A group whose rights the user has too
    #[arg(long, value_name = "GROUP")]
    pub(crate) group: Vec<String>,
}

impl About {
    /// What is said; groups apart.
    pub(crate) fn edit(&self) -> Edit {
        let filled = |list: &Vec<String>| Some(list.clone()).filter(|list| !list.is_empty());
        Edit {
            full_name: self.full_name.clone(),
            addresses: filled(&self.address),
            aliases: filled(&self.alias),
            dn: self.dn.clone(),
            mode: self.mode.map(Into::into),
            disabled: self.disable.then_some(true),
            expires: self.expires,
            groups: None,
        }
    }
}

/// `user grant`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["read", "folder", "privilege"]))]
pub(crate) struct Grants {
    /// The login name
    pub(crate) name: String,
    /// The right to read this archive or folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) read: Vec<String>,
    /// An archive, or a folder in one: alice, alice/Projects; several times for several
    #[arg(long, value_name = "FOLDER", requires = "level")]
    pub(crate) folder: Vec<String>,
    /// What may be done there and below
    #[arg(long, value_enum, requires = "folder")]
    pub(crate) level: Option<LevelName>,
    /// A privilege
    #[arg(long, value_name = "PRIVILEGE")]
    pub(crate) privilege: Vec<PrivilegeName>,
}

/// `user revoke`.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).multiple(true).args(["read", "folder", "privilege"]))]
pub(crate) struct Revokes {
    /// The login name
    pub(crate) name: String,
    /// The same as --folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) read: Vec<String>,
    /// The rule of this archive or folder, whatever its level
    #[arg(long, value_name = "FOLDER")]
    pub(crate) folder: Vec<String>,
    /// A privilege
    #[arg(long, value_name = "PRIVILEGE")]
    pub(crate) privilege: Vec<PrivilegeName>,
}

/// A level's name.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LevelName {
    /// Nothing: that the folder is there isn't told
    None,
    /// See and read
    Read,
    /// Move mail, and archive into it
    Write,
    /// Delete mail
    Delete,
}

impl From<LevelName> for Level {
    fn from(name: LevelName) -> Level {
        match name {
            LevelName::None => Level::None,
            LevelName::Read => Level::Read,
            LevelName::Write => Level::Write,
            LevelName::Delete => Level::Delete,
        }
    }
}

/// Who checks a password.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ModeName {
    /// mailkeep, with a hash of its own
    Integrated,
    /// The directory that the user comes from
    Directory,
}

impl From<ModeName> for Mode {
    fn from(name: ModeName) -> Mode {
        match name {
            ModeName::Integrated => Mode::Integrated,
            ModeName::Directory => Mode::Directory,
        }
    }
}

/// A privilege's name.
#[derive(Debug, Clone, Copy, ValueEnum, PartialEq, Eq)]
#[value(rename_all = "camelCase")]
pub(crate) enum PrivilegeName {
    Login,
    Imap,
    ChangePassword,
    Admin,
    Modify,
    Delete,
    Archive,
    ModifyArchiveProfiles,
    Export,
    ModifyExportProfiles,
    Auditor,
}

impl From<PrivilegeName> for Privilege {
    fn from(name: PrivilegeName) -> Privilege {
        match name {
            PrivilegeName::Login => Privilege::Login,
            PrivilegeName::Imap => Privilege::Imap,
            PrivilegeName::ChangePassword => Privilege::ChangePassword,
            PrivilegeName::Admin => Privilege::Admin,
            PrivilegeName::Modify => Privilege::Modify,
            PrivilegeName::Delete => Privilege::Delete,
            PrivilegeName::Archive => Privilege::Archive,
            PrivilegeName::ModifyArchiveProfiles => Privilege::ModifyArchiveProfiles,
            PrivilegeName::Export => Privilege::Export,
            PrivilegeName::ModifyExportProfiles => Privilege::ModifyExportProfiles,
            PrivilegeName::Auditor => Privilege::Auditor,
        }
    }
}
