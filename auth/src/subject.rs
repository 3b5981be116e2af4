//! The one function that decides who may do what: [`Auth::allows`].
//!
//! Invariant: whatever asks (commands, IMAP, what comes later) asks here, anew each time, so that a change counts at once; what
//! can't be decided is refused. Says yes or no and never why: the answer to somebody without a right must not tell that a folder exists.

use crate::known::Person;
use crate::rights::{Level, Sight};
use crate::{Auth, Error, Privilege, groups};
use std::sync::Arc;

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
    /// Have a level on a folder and on all below it, what is carved out there included.
    Whole(&'a str, Level),
    /// Read all archives, those that no rule names included.
    ReadAll,
}

impl Auth {
    /// The one place that decides: may this one do that?
    #[must_use]
    pub fn allows(&self, subject: &Subject, deed: Deed<'_>) -> bool {
        let Subject::User(name) = subject else { return true };
        let decided = match deed {
            Deed::Use(privilege) => {
                self.active(name).map(|found| found.is_some_and(|person| self.may(&person.user, privilege)))
            }
            Deed::Read(folder) => self.has_level(name, folder, Level::Read),
            Deed::Write(folder) => self.has_level(name, folder, Level::Write),
            Deed::Delete(folder) => self.has_level(name, folder, Level::Delete),
            Deed::Whole(folder, level) => self.sight(name).map(|sight| sight.covers(folder, level)),
            Deed::ReadAll => self.sight(name).map(|sight| sight.reads_everything()),
        };
        decided.unwrap_or_else(|error| {
            tracing::error!(%error, "rights can't be read; access is refused");
            false
        })
    }

    fn has_level(&self, user: &str, folder: &str, level: Level) -> Result<bool, Error> {
        Ok(self.sight(user)?.level(folder) >= level)
    }

    /// What a user sees of all archives; nothing for one who isn't there, or may not be. Costs no read of the database unless
    /// something was written since the last time.
    /// # Errors
    /// `Database`.
    pub fn sight(&self, user: &str) -> Result<Sight, Error> {
        let Some(person) = self.active(user)? else { return Ok(Sight::default()) };
        self.sight_of(&person)
    }

    /// What a user sees who may be here.
    pub(crate) fn sight_of(&self, person: &Person) -> Result<Sight, Error> {
        let mut sight = person.rules.clone();
        let has = |privilege| person.user.privileges.contains(&privilege);
        let auditor = has(Privilege::Auditor);
        sight.until = person.user.expires;
        if auditor {
            sight.everywhere = Level::Read;
        } else if has(Privilege::Admin) {
            let access = self.archive_access()?;
            if access.is_open(crate::now()) {
                sight.everywhere = Level::Read;
                sight.until = [sight.until, access.open_until].into_iter().flatten().min();
            }
        }
        sight.reads_only = auditor;
        Ok(sight)
    }

    /// A user who is there, enabled, not expired, and may log in.
    pub(crate) fn active(&self, name: &str) -> Result<Option<Arc<Person>>, Error> {
        let found = self.person(name)?;
        Ok(found.filter(|person| {
            person.user.is_active(crate::now()) && person.user.privileges.contains(&Privilege::Login)
        }))
    }

    /// A user with all rules, as the last write left them.
    pub(crate) fn person(&self, name: &str) -> Result<Option<Arc<Person>>, Error> {
        if let Some(person) = self.known.person(name) {
            return Ok(Some(person));
        }
        // Of the kept form only, so that each user is kept once.
        let name = crate::name::normal(crate::bounded(name));
        if let Some(person) = self.known.person(&name) {
            return Ok(Some(person));
        }
        let generation = self.known.generation();
        let Some(stored) = self.find(&name)? else { return Ok(None) };
        let of_groups = groups::rights(&self.db, &stored.user.groups)?;
        let rules = Sight::new(&stored.user.rights, &of_groups);
        let person = Arc::new(Person { user: stored.user, rules });
        self.known.keep_person(generation, &person);
        Ok(Some(person))
    }
}
