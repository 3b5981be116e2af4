//! Users, passwords and privileges, decided in one place; and the audit log.
//!
//! Promise: an unknown user and a wrong password can't be told apart, in words or in time.
//! Owns the tables `users` and `audit` of master.redb.

use redb::Database;
use std::net::IpAddr;
use std::sync::Arc;
use zeroize::Zeroizing;

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Privilege {
    /// Log in at all.
    Login,
    /// Use IMAP.
    Imap,
    /// Change the own password.
    ChangePassword,
    /// Everything an administrator may do (reading other archives is not part of it).
    Admin,
}

/// A user, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct User {
    /// The login name, also the name of the own archive.
    pub name: String,
    /// Global privileges.
    pub privileges: Vec<Privilege>,
    /// Archives (names) that the user may read.
    pub read: Vec<String>,
    /// Seconds since 1970 (UTC) when the user was added.
    pub created: i64,
}

/// Why a login or a command was refused, or could not be decided.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Unknown user, wrong password, or no privilege to log in: deliberately one case.
    #[error("user name or password is wrong")]
    Denied,
    /// The name is taken.
    #[error("user {0:?} is there already")]
    Exists(String),
    /// No such user (only for administrators' commands).
    #[error("there is no user {0:?}; `mailkeep user list` shows them")]
    Unknown(String),
    /// The name can't be a user's.
    #[error("{name:?} can't be a user name: {why}")]
    BadName {
        /// The name.
        name: String,
        /// The rule it breaks.
        why: &'static str,
    },
    /// The password breaks a rule.
    #[error("password refused: {0}")]
    BadPassword(&'static str),
    /// The database failed.
    #[error("user database: {0}")]
    Database(#[source] Box<redb::Error>),
    /// Hashing failed.
    #[error("password hashing: {0}")]
    Hash(String),
}

/// One audited act.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AuditEntry {
    /// Number, from 1, without gaps.
    pub number: u64,
    /// Seconds since 1970 (UTC).
    pub when: i64,
    /// Who: a user's name, or `local:NAME` for the system's user at the control socket.
    pub who: String,
    /// From where: an address, `socket`, or `in-process`.
    pub from: String,
    /// What: the command and its parameters, without secrets.
    pub what: String,
    /// `ok` or why not.
    pub result: String,
}

/// The users and the audit log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Auth {
    db: Arc<Database>,
}

impl Auth {
    /// Opens (and makes, if need be) the tables.
    /// # Errors
    /// `Database`.
    pub fn open(db: Arc<Database>) -> Result<Auth, Error> {
        Ok(Auth { db })
    }
    /// Adds a user with `login`, `imap`, `changePassword` and `read` on the own archive; with `admin` also that.
    /// # Errors
    /// `Exists`, `BadName`, `BadPassword`.
    pub fn add(&self, name: &str, password: &Zeroizing<String>, admin: bool) -> Result<User, Error> {
        let _ = (&self.db, name, password, admin);
        todo!()
    }
    /// All users, by name.
    /// # Errors
    /// `Database`.
    pub fn users(&self) -> Result<Vec<User>, Error> {
        todo!()
    }
    /// A user by name.
    /// # Errors
    /// `Unknown`.
    pub fn user(&self, name: &str) -> Result<User, Error> {
        let _ = name;
        todo!()
    }
    /// Sets a user's password.
    /// # Errors
    /// `Unknown`, `BadPassword`.
    pub fn set_password(&self, name: &str, password: &Zeroizing<String>) -> Result<(), Error> {
        let _ = (name, password);
        todo!()
    }
    /// Removes a user; the archive stays.
    /// # Errors
    /// `Unknown`.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let _ = name;
        todo!()
    }
    /// Checks a password and the privileges `login` and `need`. Slow on purpose (argon2id): call it off the async threads.
    /// # Errors
    /// `Denied`, in the same words and time for every reason; `Database`.
    pub fn login(
        &self,
        name: &str,
        password: &Zeroizing<String>,
        need: Privilege,
        from: Option<IpAddr>,
    ) -> Result<User, Error> {
        let _ = (name, password, need, from);
        todo!()
    }
    /// The one place that decides: may this user do that?
    #[must_use]
    pub fn may(&self, user: &User, privilege: Privilege) -> bool {
        user.privileges.contains(&privilege)
    }
    /// The one place that decides: may this user read this archive? Asked anew for every command, so that changes count at once.
    #[must_use]
    pub fn may_read(&self, user: &str, archive: &str) -> bool {
        let _ = (user, archive);
        todo!()
    }
    /// Appends to the audit log.
    /// # Errors
    /// `Database`.
    pub fn audit(&self, who: &str, from: &str, what: &str, result: &str) -> Result<(), Error> {
        let _ = (who, from, what, result);
        todo!()
    }
    /// The newest `most` entries, oldest first.
    /// # Errors
    /// `Database`.
    pub fn audit_log(&self, most: usize) -> Result<Vec<AuditEntry>, Error> {
        let _ = most;
        todo!()
    }
}
