//! Users, passwords and privileges, decided in one place; and the audit log.
//!
//! Promise: an unknown user and a wrong password can't be told apart, in words or in time.
//! Owns the tables `users` and `audit` of master.redb. Knows nothing of folders: an archive is a name here, and
//! removing a user leaves the archive as it is.

mod audit;
mod error;
mod name;
mod password;
mod users;

pub use audit::AuditEntry;
pub use error::Error;
pub use name::{MAX_NAME_BYTES, check_name};
pub use password::{MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARS, check_password};
pub use users::User;

use password::Hasher;
use redb::{Database, WriteTransaction};
use std::net::IpAddr;
use std::sync::Arc;
use users::Stored;
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
    /// Everything an administrator may do (reading other archives, changing and deleting mail are not part of it).
    Admin,
    /// Move messages, move, rename and merge folders, remove empty ones.
    Modify,
    /// Delete messages, and folders with what is in them.
    Delete,
}

/// Passwords hashed at once unless told otherwise: with 19 MiB each, 76 MiB.
pub const DEFAULT_PARALLEL_HASHES: usize = 4;

/// The users and the audit log. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Auth {
    db: Arc<Database>,
    hasher: Arc<Hasher>,
}

impl Auth {
    /// Opens (and makes, if need be) the tables.
    /// # Errors
    /// `Database`.
    pub fn open(db: Arc<Database>) -> Result<Auth, Error> {
        Auth::open_with(db, DEFAULT_PARALLEL_HASHES)
    }

    /// As [`Auth::open`]; at most `parallel_hashes` passwords are hashed at once, the others wait.
    /// # Errors
    /// `Database`, `Hash` when the system has no randomness to give.
    pub fn open_with(db: Arc<Database>, parallel_hashes: usize) -> Result<Auth, Error> {
        let txn = write(&db)?;
        txn.open_table(users::USERS).map_err(Error::database)?;
        txn.open_table(audit::AUDIT).map_err(Error::database)?;
        txn.commit().map_err(Error::database)?;
        Ok(Auth { db, hasher: Arc::new(Hasher::new(parallel_hashes)?) })
    }

    /// Adds a user with `login`, `imap`, `changePassword` and `read` on the own archive; with `admin` also that.
    /// An archive that an earlier user of this name left is the new user's own.
    /// # Errors
    /// `Exists`, `BadName`, `BadPassword`.
    pub fn add(&self, name: &str, password: &Zeroizing<String>, admin: bool) -> Result<User, Error> {
        let name = check_name(name)?;
        check_password(password)?;
        let mut privileges = vec![Privilege::Login, Privilege::Imap, Privilege::ChangePassword];
        privileges.extend(admin.then_some(Privilege::Admin));
        let user = User { read: vec![name.clone()], name, privileges, created: now() };
        let stored = Stored { user, hash: self.hasher.hash(password)? };
        users::insert(&self.db, &stored)?;
        Ok(stored.user)
    }

    /// All users, by name.
    /// # Errors
    /// `Database`.
    pub fn users(&self) -> Result<Vec<User>, Error> {
        users::all(&self.db)
    }

    /// A user by name.
    /// # Errors
    /// `Unknown`.
    pub fn user(&self, name: &str) -> Result<User, Error> {
        let found = self.find(name)?.ok_or_else(|| Error::Unknown(name.to_owned()))?;
        Ok(found.user)
    }

    /// Sets a user's password.
    /// # Errors
    /// `Unknown`, `BadPassword`.
    pub fn set_password(&self, name: &str, password: &Zeroizing<String>) -> Result<(), Error> {
        check_password(password)?;
        self.user(name)?;
        let hash = self.hasher.hash(password)?;
        users::change(&self.db, &name::normal(name), |stored| stored.hash = hash)?;
        Ok(())
    }

    /// Gives or takes a privilege.
    /// # Errors
    /// `Unknown`.
    pub fn set_privilege(&self, name: &str, privilege: Privilege, given: bool) -> Result<User, Error> {
        users::change(&self.db, &name::normal(name), |stored| {
            stored.user.privileges.retain(|&p| p != privilege);
            stored.user.privileges.extend(given.then_some(privilege));
            stored.user.privileges.sort_unstable();
        })
    }

    /// Gives or takes the right to read an archive, whether or not it is there yet.
    /// # Errors
    /// `Unknown`, `BadName` for a name that no archive can have.
    pub fn set_read(&self, name: &str, archive: &str, given: bool) -> Result<User, Error> {
        let archive = if given { check_name(archive)? } else { name::normal(archive) };
        users::change(&self.db, &name::normal(name), |stored| {
            stored.user.read.retain(|a| *a != archive);
            stored.user.read.extend(given.then_some(archive));
            stored.user.read.sort_unstable();
        })
    }

    /// Removes a user; the archive stays.
    /// # Errors
    /// `Unknown`.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        users::remove(&self.db, &name::normal(name))
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
        let found = self.find(name)?;
        let matches = self.hasher.matches(password, found.as_ref().map(|stored| stored.hash.as_str()));
        let from = from.map_or_else(|| "here".to_owned(), |address| address.to_string());
        match found {
            Some(Stored { user, .. })
                if matches && self.may(&user, Privilege::Login) && self.may(&user, need) =>
            {
                tracing::debug!(user = ?user.name, from, ?need, "password and privileges are right");
                Ok(user)
            }
            _ => {
                // The name is left out: people type passwords where the name belongs.
                tracing::warn!(from, ?need, "login refused");
                Err(Error::Denied)
            }
        }
    }

    /// The one place that decides: may this user do that?
    #[must_use]
    pub fn may(&self, user: &User, privilege: Privilege) -> bool {
        user.privileges.contains(&privilege)
    }

    /// The one place that decides: may this user read this archive? Asked anew for every command, so that changes count at once.
    #[must_use]
    pub fn may_read(&self, user: &str, archive: &str) -> bool {
        match self.find(user) {
            Ok(found) => found.is_some_and(|stored| stored.user.read.iter().any(|a| a == archive)),
            Err(error) => {
                tracing::error!(%error, "rights can't be read; access is refused");
                false
            }
        }
    }

    /// All archives of which [`Auth::may_read`] is true, there or not, sorted.
    #[must_use]
    pub fn readable(&self, user: &str) -> Vec<String> {
        match self.find(user) {
            Ok(found) => found.map(|stored| stored.user.read).unwrap_or_default(),
            Err(error) => {
                tracing::error!(%error, "rights can't be read; access is refused");
                Vec::new()
            }
        }
    }

    /// Appends to the audit log.
    /// # Errors
    /// `Database`.
    pub fn audit(&self, who: &str, from: &str, what: &str, result: &str) -> Result<(), Error> {
        audit::append(&self.db, who, from, what, result)
    }

    /// The newest `most` entries, oldest first.
    /// # Errors
    /// `Database`.
    pub fn audit_log(&self, most: usize) -> Result<Vec<AuditEntry>, Error> {
        audit::newest(&self.db, most)
    }

    /// A name that no user can have is simply not found, whatever its length.
    fn find(&self, name: &str) -> Result<Option<Stored>, Error> {
        if name.len() > MAX_NAME_BYTES * 4 {
            return Ok(None);
        }
        users::find(&self.db, &name::normal(name))
    }
}

/// A write transaction after which the database opens fast, even after a crash.
fn write(db: &Database) -> Result<WriteTransaction, Error> {
    let mut txn = db.begin_write().map_err(Error::database)?;
    txn.set_quick_repair(true);
    Ok(txn)
}

fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

#[cfg(test)]
mod tests;
