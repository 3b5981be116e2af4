//! `user …`: who may log in, and what they may do.

use crate::password::Source;
use auth::Privilege;
use clap::{Args, Subcommand, ValueEnum};

/// `user …`.
#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Add a user, who may log in, use IMAP, and read the own archive
    #[command(after_help = "\
Examples:
  mailkeep user add alice
  pass mail/alice | mailkeep user add alice --password-stdin

An archive that an earlier user of this name left becomes the new user's own.")]
    Add {
        /// The login name, also the name of the archive
        name: String,
        /// Make an administrator
        #[arg(long)]
        admin: bool,
        #[command(flatten)]
        password: Source,
    },
    /// All users
    List,
    /// One user
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
    /// Give rights
    #[command(after_help = "\
Examples:
  mailkeep user grant bob --read alice
  mailkeep user grant bob --privilege admin")]
    Grant(Rights),
    /// Take rights
    Revoke(Rights),
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
    Remove {
        /// The login name
        name: String,
    },
}

/// Rights to give or take.
#[derive(Debug, Args)]
pub(crate) struct Rights {
    /// The login name
    pub(crate) name: String,
    /// The right to read this archive
    #[arg(long, value_name = "ARCHIVE", required_unless_present = "privilege")]
    pub(crate) read: Vec<String>,
    /// A privilege
    #[arg(long, value_name = "PRIVILEGE")]
    pub(crate) privilege: Vec<PrivilegeName>,
}

/// A privilege's name.
#[derive(Debug, Clone, Copy, ValueEnum)]
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
