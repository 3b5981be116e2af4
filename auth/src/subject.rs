//! The one function that decides who may do what: [`Auth::allows`].
//!
//! Invariant: whatever asks (commands, IMAP, what comes later) asks here, anew each time, so that a change counts at once; what
//! can't be decided is refused. Says yes or no and never why: the answer to somebody without a right must not tell that a folder exists.

use crate::rights::{Level, Right, Sight};
use crate::{Auth, Error, Privilege, User, groups};

/// Who wants something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The owner of DATA or root on this machine, who holds the master key: every privilege, and every folder.
    Operator,
    /// A user, by name, whose login was checked.
    User(String),
}

/// What somebody wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed<'a> {
    /// What a privilege stands for.
    Use(Privilege),
    /// Read a folder, by its path.
    Read(&'a str),
    /// Move messages or folders out of or into a folder, or archive into it.
    Write(&'a str),
    /// Delete in a folder.
    Delete(&'a str),
}

impl Auth {
    /// The one place that decides: may this one do that?
    #[must_use]
    pub fn allows(&self, subject: &Subject, deed: Deed<'_>) -> bool {
        let Subject::User(name) = subject else { return true };
        let decided = match deed {
            Deed::Use(privilege) => {
                self.active(name).map(|user| user.is_some_and(|user| self.may(&user, privilege)))
            }
            Deed::Read(folder) => self.has_level(name, folder, Level::Read),
            Deed::Write(folder) => self.has_level(name, folder, Level::Write),
            Deed::Delete(folder) => self.has_level(name, folder, Level::Delete),
        };
        decided.unwrap_or_else(|error| {
            tracing::error!(%error, "rights can't be read; access is refused");
            false
        })
    }

    fn has_level(&self, user: &str, folder: &str, level: Level) -> Result<bool, Error> {
        Ok(self.sight(user)?.level(folder) >= level)
    }

    /// What a user sees of all archives; nothing for one who isn't there, or may not be.
    /// # Errors
    /// `Database`.
    pub fn sight(&self, user: &str) -> Result<Sight, Error> {
        let user = self.active(user)?.filter(|user| !user.must_change);
        let Some(user) = user else { return Ok(Sight::default()) };
        let of_groups: Vec<Right> = groups::rights(&self.db, &user.groups)?;
        let mut sight = Sight::new(&user.rights, &of_groups);
        let auditor = user.privileges.contains(&Privilege::Auditor);
        if auditor
            || (user.privileges.contains(&Privilege::Admin) && self.archive_access()?.is_open(crate::now()))
        {
            sight.everywhere = Level::Read;
        }
        sight.reads_only = auditor;
        Ok(sight)
    }

    /// A user who is there, enabled, not expired, and may log in.
    pub(crate) fn active(&self, name: &str) -> Result<Option<User>, Error> {
        let found = self.find(name)?.map(|stored| stored.user);
        Ok(found.filter(|user| user.is_active(crate::now()) && user.privileges.contains(&Privilege::Login)))
    }
}
