//! What a user sees of the folders: the storage's look at them, and the user's rights, put together.
//!
//! Invariant: what may not be read is here as if it were not there, and folders are looked at only where rules let something be
//! read, so that what an answer says, and what it costs, goes by the rules and by what may be read. Decides nothing about rights
//! itself: `auth` does.

use super::names::{self, Target};
use super::{Mailbox, VANISHED, World};
use crate::reply::Refusal;
use auth::{Privilege, Sight};
use std::borrow::Cow;
use std::ops::Bound;
use std::sync::Arc;
use storage::{FolderInfo, FolderView, Look};

/// A look at the folders that may be read.
pub(crate) struct Sighted<'a> {
    pub(crate) look: &'a Look<'a>,
    pub(crate) sight: &'a Sight,
}

impl<'a> Sighted<'a> {
    /// The folder of this path.
    pub(crate) fn at(&self, path: &str) -> Option<&'a FolderView> {
        if self.sight.reads(path) { self.look.at(path) } else { None }
    }

    /// The first folder from a place on whose path begins with `prefix`. Costs a few steps for each rule, not for each folder.
    pub(crate) fn first(&self, from: &str, prefix: &str) -> Option<&'a FolderInfo> {
        let mut from = self.sight.place_from(from)?;
        loop {
            let found = self.look.from(Bound::Included(&from)).next()?;
            let path = found.path.as_str();
            if !path.starts_with(prefix) {
                return None;
            }
            if self.sight.reads(path) {
                return Some(found);
            }
            from = Cow::Owned(self.sight.place_from(path)?.into_owned());
        }
    }

    /// Whether there is a folder below this path, which need not be one itself.
    pub(crate) fn has_below(&self, path: &str) -> bool {
        let below = format!("{path}/");
        self.first(&below, &below).is_some()
    }

    /// Whether there is a folder outside of this archive.
    pub(crate) fn has_others(&self, own: &str) -> bool {
        let mut from = String::new();
        loop {
            let Some(found) = self.first(&from, "") else { return false };
            if found.path.archive() != own {
                return true;
            }
            from = behind_own(own, found.path.as_str());
        }
    }

    /// As [`storage::Look::inbox_of`], of the folders that may be read.
    pub(crate) fn inbox_of(&self, archive: &str) -> Option<&'a str> {
        if self.sight.reads_whole(archive) {
            return self.look.inbox_of(archive);
        }
        let levels = names::inbox_spellings().filter_map(|level| {
            let path = format!("{archive}/{level}");
            let below = format!("{path}/");
            let folder = self.at(&path).map(|view| &view.info);
            folder.or_else(|| self.first(&below, &below))
        });
        let mut levels = levels.filter_map(|info| info.path.inner().map(names::first_level));
        match (levels.next(), levels.next()) {
            // Only where several can be meant, the age of what is in them decides.
            (Some(_), Some(_)) => self.look.inbox_among(archive, |path| self.sight.reads(path.as_str())),
            (only, _) => only,
        }
    }
}

/// The next place in the order of paths behind a folder of the own archive that may be outside of it.
pub(super) fn behind_own(own: &str, path: &str) -> String {
    // What begins as the archive's name does may stand between it and what is in it.
    if path == own { format!("{own}\0") } else { format!("{own}0") }
}

impl World {
    /// What a user may read now.
    /// # Errors
    /// That it can't be told now.
    pub(crate) fn sight(&self, user: &str) -> Result<Sight, Refusal> {
        self.auth.sight(user).map_err(|error| {
            tracing::error!(%error, "rights can't be read; access is refused");
            Refusal::No("UNAVAILABLE", "Rights can't be read now; the administrator's log tells why")
        })
    }

    /// Whether what a name means may be read, if it is there.
    pub(crate) fn shows(&self, sight: &Sight, target: &Target) -> bool {
        match target {
            Target::EmptyInbox => true,
            Target::Folder(path) | Target::Year(path, _) => sight.reads(path.as_str()),
            // Without some of its messages all the others would have other numbers.
            Target::AllMail(archive) => self.settings.all_mail && sight.reads_whole(archive),
        }
    }

    /// Opens what a name means. No right and no mailbox are the same refusal.
    pub(crate) fn open(&self, sight: &Sight, target: Target) -> Result<Mailbox, Refusal> {
        if !self.shows(sight, &target) {
            return Err(Refusal::NO_MAILBOX);
        }
        Mailbox::open(&self.storage, target)
    }
}

/// How rights were when they were last asked: as long as it holds, they are so still.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Asked {
    generation: u64,
    until: Option<i64>,
}

/// Who has logged in, and what they have selected: enough to see whether they may still.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    pub(crate) world: Arc<World>,
    pub(crate) user: String,
    /// When the user was added: somebody else may have the name later.
    pub(crate) since: Option<i64>,
    pub(crate) selected: Option<Target>,
}

const LOGGED_OUT: Refusal = Refusal::Bye("Logged out by the administrator");

impl Guest {
    /// Whether rights may be others than when they were asked.
    pub(crate) fn is_doubtful(world: &World, asked: Asked) -> bool {
        asked.generation != world.auth.generation() || asked.until.is_some_and(|end| auth::is_past(end))
    }

    /// Asks for the rights.
    /// # Errors
    /// `Bye`, with the reason.
    pub(crate) fn ask(&self) -> Result<Asked, Refusal> {
        let auth = &self.world.auth;
        // First the number: a change meanwhile is then looked at again.
        let generation = auth.generation();
        let user = auth.user(&self.user).map_err(|_| LOGGED_OUT)?;
        if self.since.is_some_and(|since| since != user.created)
            || !auth.may(&user, Privilege::Login)
            || !auth.may(&user, Privilege::Imap)
        {
            return Err(LOGGED_OUT);
        }
        let sight = self.world.sight(&self.user).map_err(|_| LOGGED_OUT)?;
        match &self.selected {
            Some(target) if !self.world.shows(&sight, target) => Err(VANISHED),
            _ => Ok(Asked { generation, until: sight.until() }),
        }
    }
}
