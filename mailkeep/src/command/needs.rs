//! What a command asks of whoever gives it, and the refusal.
//!
//! Invariant: [`decide`] asks `Auth::allows` for every privilege and every folder that a command names, whoever gives it; it looks at
//! no folder, so that a refusal can't tell whether one is there. Commands that answer about many things (lists, searches)
//! leave out what [`Eyes`] don't see.

use super::{Caller, Context, Failure, Kind, mail};
use auth::{Auth, Deed, Level, Privilege, Sight, Subject};
use storage::FolderPath;

/// Something about a folder, by its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Want {
    /// This level on it.
    Level(String, Level),
    /// This level on it and on all below it.
    Whole(String, Level),
    /// To read all archives.
    ReadAll,
}

/// What a command needs; all of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Of each of these lists one privilege.
    pub(crate) privileges: Vec<Vec<Privilege>>,
    pub(crate) folders: Vec<Want>,
    /// It names files of the server, or gives out its keys: who comes through a socket for everyone can't.
    pub(crate) near: bool,
}

impl Needs {
    /// A privilege.
    pub(crate) fn privilege(privilege: Privilege) -> Needs {
        Needs::one_of(&[privilege])
    }
    /// One of these privileges.
    pub(crate) fn one_of(privileges: &[Privilege]) -> Needs {
        Needs { privileges: vec![privileges.to_vec()], ..Needs::default() }
    }
    /// What administrators do.
    pub(crate) fn admin() -> Needs {
        Needs::privilege(Privilege::Admin)
    }
    /// Only to be a user who may log in: what is shown is the user's own.
    pub(crate) fn login() -> Needs {
        Needs::privilege(Privilege::Login)
    }
    /// Besides, reading a folder.
    pub(crate) fn read(self, folder: &str) -> Needs {
        self.level(folder, Level::Read)
    }
    /// Besides, a level on a folder.
    pub(crate) fn level(mut self, folder: &str, level: Level) -> Needs {
        self.folders.push(Want::Level(folder.to_owned(), level));
        self
    }
    /// Besides, a level on a folder and all below it.
    pub(crate) fn whole(mut self, folder: &str, level: Level) -> Needs {
        self.folders.push(Want::Whole(folder.to_owned(), level));
        self
    }
    /// Besides, reading all archives.
    pub(crate) fn read_all(mut self) -> Needs {
        self.folders.push(Want::ReadAll);
        self
    }
    /// Besides, to be on the server as its owner or root, if `near`.
    pub(crate) fn near(mut self, near: bool) -> Needs {
        self.near |= near;
        self
    }
}

/// A refusal: what its receiver is told, and what the audit log.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) told: Failure,
    pub(crate) noted: String,
}

impl Refusal {
    fn denied(words: String) -> Refusal {
        Refusal { noted: format!("denied: {words}"), told: Failure::new(Kind::Denied, words) }
    }
}

/// Whether a caller has what a command needs.
/// # Errors
/// The refusal. Of a folder that the caller can't read it says what it would say if that weren't there.
pub(crate) fn decide(auth: &Auth, caller: &Caller, needs: &Needs) -> Result<(), Refusal> {
    let may = |deed| auth.allows(&caller.subject, deed);
    for one_of in &needs.privileges {
        if !one_of.iter().any(|&privilege| may(Deed::Use(privilege))) {
            return Err(Refusal::denied("you have not the right to do that".to_owned()));
        }
    }
    if needs.near && !caller.near {
        let words =
            "that names files or keys of the server: only its owner or root may do that, on the server";
        return Err(Refusal::denied(words.to_owned()));
    }
    for want in &needs.folders {
        let (folder, allowed) = match want {
            Want::Level(folder, Level::None | Level::Read) => (folder, may(Deed::Read(folder))),
            Want::Level(folder, Level::Write) => (folder, may(Deed::Write(folder))),
            Want::Level(folder, Level::Delete) => (folder, may(Deed::Delete(folder))),
            Want::Whole(folder, level) => (folder, may(Deed::Whole(folder, *level))),
            Want::ReadAll if may(Deed::ReadAll) => continue,
            Want::ReadAll => return Err(Refusal::denied("you have not the right to do that".to_owned())),
        };
        // What is no path at all is refused in the same words to everyone, here or by the command.
        if let Err(error) = FolderPath::new(folder.as_str()) {
            let told = Failure::usage(error);
            return Err(Refusal { noted: told.message.clone(), told });
        }
        if allowed {
            continue;
        }
        if may(Deed::Read(folder)) {
            return Err(Refusal::denied(format!("you have not the right to do that in folder {folder:?}")));
        }
        let noted = format!("denied: no right to read folder {folder:?}");
        return Err(Refusal { told: mail::missing(folder), noted });
    }
    Ok(())
}

/// What somebody sees of the archives.
pub(crate) enum Eyes {
    /// All: the machine's own people.
    All,
    /// As rights say.
    User(Sight),
}

impl Eyes {
    /// Whether a folder is seen.
    pub(crate) fn see(&self, folder: &str) -> bool {
        match self {
            Eyes::All => true,
            Eyes::User(sight) => sight.level(folder) >= Level::Read,
        }
    }
    /// Whether a whole archive is seen, whatever may come into it.
    pub(crate) fn see_whole(&self, archive: &str) -> bool {
        match self {
            Eyes::All => true,
            Eyes::User(sight) => sight.reads_whole(archive),
        }
    }
    /// Whether some of an archive may be seen, there or not.
    pub(crate) fn see_some(&self, archive: &str) -> bool {
        let below = |root: &str| root.split('/').next() == Some(archive);
        match self {
            Eyes::All => true,
            Eyes::User(sight) => sight.reads_everything() || sight.roots().into_iter().any(below),
        }
    }
}

impl Context<'_> {
    /// What the caller sees.
    /// # Errors
    /// The database's.
    pub(crate) fn eyes(&self) -> Result<Eyes, Failure> {
        match &self.caller.subject {
            Subject::Operator => Ok(Eyes::All),
            Subject::User(name) => Ok(Eyes::User(self.installation.auth.sight(name)?)),
        }
    }
    /// Whether the caller may do something, asked in the midst of a command.
    pub(crate) fn may(&self, deed: Deed<'_>) -> bool {
        self.installation.auth.allows(&self.caller.subject, deed)
    }
    /// Whether the caller is an administrator.
    pub(crate) fn is_admin(&self) -> bool {
        self.may(Deed::Use(Privilege::Admin))
    }
    /// As [`decide`], for what only shows in the midst of a command.
    /// # Errors
    /// What its receiver is told.
    pub(crate) fn demand(&self, needs: &Needs) -> Result<(), Failure> {
        decide(&self.installation.auth, &self.caller, needs).map_err(|refusal| {
            self.note(refusal.noted);
            refusal.told
        })
    }
}
