//! Users, passwords and privileges, decided in one place; and the audit log.
//!
//! Promise: an unknown user and a wrong password can't be told apart, in words or in time.
//! Owns the tables `users`, `group_rights`, `auth_settings`, `directory`, `logins`, `audit` and `audit_chain` of
//! master.redb. Knows nothing of what archives hold: a
//! folder is a path here, and removing a user leaves the archive as it is.

mod address;
mod apppass;
mod audit;
mod book;
mod credentials;
pub mod directory;
mod error;
mod groups;
mod history;
mod known;
mod login;
mod looks;
mod name;
mod network;
mod oauth;
mod password;
mod people;
mod places;
mod rights;
mod rules;
mod scram;
mod scram_login;
mod settings;
mod signal;
mod subject;
pub mod throttle;
mod totp;
pub mod trust;
mod users;
mod verified;

pub use apppass::{AppPasswordEntry, MAX_APP_PASSWORDS, MAX_LABEL_BYTES};
pub use history::{How, LoginEntry};
pub use login::{Attempt, Credential, Entered, Still};
pub use network::Network;
pub use password::HashCost;
pub use rules::PasswordRules;
pub use scram::MAX_SCRAM_BYTES;
pub use scram_login::{Channel, ScramExchange, ScramProof};
pub use totp::{Enrolment, RECOVERY_CODES, Sealer};

pub use address::{MAX_ADDRESS_BYTES, check_address};
pub use audit::{
    AUDIT_PAGE, AuditEntry, AuditFilter, AuditHead, AuditKind, AuditNote, AuditVerdict, AuditWrong,
    LoginNotes, Successes,
};
pub use error::Error;
pub use name::{MAX_NAME_BYTES, check_name};
pub use oauth::{Algorithm, MAX_TOKEN_BYTES, OAuth, UserIs};
pub use password::{MAX_PASSWORD_BYTES, MIN_PASSWORD_CHARS, check_password};
pub use people::{Edit, Effective, Imported, NewUser, Source};
pub use rights::{Level, MAX_RULE_BYTES, MAX_RULES, Right, Sight};
pub use settings::ArchiveAccess;
pub use signal::{Subscription, is_past};
pub use subject::{Deed, Subject};
pub use users::{MAX_ALIASES, MAX_DN_BYTES, MAX_FULL_NAME_BYTES, MAX_GROUPS, Mode, Origin, User};

use known::Known;
use parking_lot::Mutex;
use password::Hasher;
use redb::{Database, WriteTransaction};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use throttle::{Leave, Throttle};
use users::Stored;
use verified::Verified;
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
    /// Archive mail.
    Archive,
    /// Make, change and run archiving profiles.
    ModifyArchiveProfiles,
    /// Export mail.
    Export,
    /// Make, change and run export profiles.
    ModifyExportProfiles,
    /// Read all archives and change nothing, whatever else is given; until the user expires.
    Auditor,
}

impl Privilege {
    /// Whether whoever has this privilege has that one too. What reads or changes mail is not among what administrators have by
    /// themselves, nor is logging in.
    #[must_use]
    pub fn includes(self, other: Privilege) -> bool {
        use Privilege::{Admin, Archive, ModifyArchiveProfiles, ModifyExportProfiles};
        self == other
            || (self == Admin && matches!(other, Archive | ModifyArchiveProfiles | ModifyExportProfiles))
    }
    /// Whether it lets something be changed or taken out, which an auditor can't.
    #[must_use]
    pub fn changes(self) -> bool {
        !matches!(self, Privilege::Login | Privilege::Imap | Privilege::ChangePassword | Privilege::Auditor)
    }
}

/// Passwords hashed at once unless told otherwise: with 19 MiB each, 76 MiB.
pub const DEFAULT_PARALLEL_HASHES: usize = 4;

/// SCRAM's iterations unless told otherwise; RFC 7677 §4 asks for 4,096 at least.
pub const DEFAULT_SCRAM_ITERATIONS: u32 = 10_000;

/// Users of whom it is remembered that their password was right.
const MAX_VERIFIED: usize = 10_000;

/// What checking passwords may cost, and what guessing them costs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Passwords hashed at once; the others wait.
    pub parallel_hashes: usize,
    /// How long a password that was right is known without hashing it again; zero: not at all.
    pub remember_secs: u64,
    /// How guessing is slowed down.
    pub throttle: throttle::Bounds,
    /// What new passwords must be.
    pub passwords: PasswordRules,
    /// What hashing one costs.
    pub hash_cost: HashCost,
    /// Iterations of SCRAM's verifiers; 0: SCRAM is not offered.
    pub scram_iterations: u32,
    /// Networks from which logins are taken; none named: from all.
    pub allow_from: Vec<Network>,
    /// Which logins the audit log has.
    pub logins: LoginNotes,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            parallel_hashes: DEFAULT_PARALLEL_HASHES,
            remember_secs: 600,
            throttle: throttle::Bounds::default(),
            passwords: PasswordRules::default(),
            hash_cost: HashCost::default(),
            scram_iterations: DEFAULT_SCRAM_ITERATIONS,
            allow_from: Vec::new(),
            logins: LoginNotes::default(),
        }
    }
}

/// The users and the audit log. Cheap to clone.
#[derive(Clone)]
pub struct Auth {
    db: Arc<Database>,
    hasher: Arc<Hasher>,
    verified: Arc<Mutex<Verified>>,
    throttle: Arc<Mutex<Throttle>>,
    directory: Arc<directory::Handle>,
    /// The throttle's time begins here.
    begun: Instant,
    parallel_hashes: usize,
    signal: Arc<signal::Signal>,
    known: Arc<Known>,
    logins: Arc<login::Logins>,
    audit: Arc<audit::Queue>,
    /// Which logins the audit log has.
    noted: Arc<audit::Logins>,
    issuer: Option<Arc<oauth::Issuer>>,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Auth")
    }
}

impl Auth {
    /// Opens (and makes, if need be) the tables.
    /// # Errors
    /// `Database`.
    pub fn open(db: Arc<Database>) -> Result<Auth, Error> {
        Auth::open_with(db, &Settings::default())
    }

    /// As [`Auth::open`], with other settings.
    /// # Errors
    /// `Database`, `Hash` when the system has no randomness to give.
    pub fn open_with(db: Arc<Database>, settings: &Settings) -> Result<Auth, Error> {
        let txn = write(&db)?;
        txn.open_table(users::USERS).map_err(Error::database)?;
        txn.open_table(groups::GROUPS).map_err(Error::database)?;
        txn.open_table(settings::SETTINGS).map_err(Error::database)?;
        directory::open_table(&txn)?;
        txn.open_table(history::LOGINS).map_err(Error::database)?;
        audit::open(&txn)?;
        txn.commit().map_err(Error::database)?;
        let keep = Duration::from_secs(settings.remember_secs);
        let logins = Arc::new(login::Logins::new(settings, &settings::salt_key(&db)?));
        Ok(Auth {
            audit: Arc::new(audit::Queue::new(Arc::clone(&db))),
            noted: Arc::new(audit::Logins::new(settings.logins)),
            issuer: None,
            db,
            hasher: Arc::new(Hasher::new(settings.parallel_hashes, settings.hash_cost)?),
            verified: Arc::new(Mutex::new(Verified::new(keep, MAX_VERIFIED)?)),
            throttle: Arc::new(Mutex::new(Throttle::new(settings.throttle))),
            directory: Arc::default(),
            begun: Instant::now(),
            parallel_hashes: settings.parallel_hashes.max(1),
            signal: Arc::default(),
            known: Arc::default(),
            logins,
        })
    }

    /// Passwords that are hashed at once. Who waits for a turn holds a thread: better wait before.
    #[must_use]
    pub fn parallel_hashes(&self) -> usize {
        self.parallel_hashes
    }

    /// Adds a user with `login`, `imap`, `changePassword` and `read` on the own archive; with `admin` also that.
    /// An archive that an earlier user of this name left is the new user's own.
    /// # Errors
    /// `Exists`, `BadName`, `BadPassword`.
    pub fn add(&self, name: &str, password: &Zeroizing<String>, admin: bool) -> Result<User, Error> {
        let privileges = Vec::from_iter(admin.then_some(Privilege::Admin));
        let password = Some(password.clone());
        self.create(&NewUser { name: name.to_owned(), password, privileges, ..NewUser::default() })
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

    /// Gives or takes a privilege.
    /// # Errors
    /// `Unknown`, `AuditorWithoutEnd`.
    pub fn set_privilege(&self, name: &str, privilege: Privilege, given: bool) -> Result<User, Error> {
        self.change(name, |stored| {
            stored.user.privileges.retain(|&p| p != privilege);
            stored.user.privileges.extend(given.then_some(privilege));
            stored.user.privileges.sort_unstable();
        })
    }

    /// Gives a user a rule on an archive or folder, whether or not it is there yet; `None` takes the rule away.
    /// # Errors
    /// `Unknown`, `BadName` for a path that no folder can have, or past the bound of rules.
    pub fn set_right(&self, name: &str, folder: &str, level: Option<Level>) -> Result<User, Error> {
        let right = Right::new(folder, level.unwrap_or_default());
        // A rule of a name that can't be given any more can still be taken.
        let folder =
            right.as_ref().map_or_else(|_| name::normal(bounded(folder)), |right| right.folder.clone());
        let right = level.map(|_| right).transpose()?;
        self.try_change(name, |stored| rights::put(&mut stored.user.rights, &folder, right))
    }

    /// Gives everyone in a group a rule, or takes it; as [`Auth::set_right`].
    /// # Errors
    /// `BadName`, `BadField`, `Database`.
    pub fn set_group_right(
        &self,
        group: &str,
        folder: &str,
        level: Option<Level>,
    ) -> Result<Vec<Right>, Error> {
        users::check_group(group)?;
        let right = level.map(|level| Right::new(folder, level)).transpose()?;
        let folder = right.as_ref().map_or_else(|| name::normal(folder), |right| right.folder.clone());
        self.written(groups::change(&self.db, group, |rights| rights::put(rights, &folder, right)))
    }

    /// All groups that have rules, with these, by name.
    /// # Errors
    /// `Database`.
    pub fn group_rights(&self) -> Result<Vec<(String, Vec<Right>)>, Error> {
        groups::all(&self.db)
    }

    /// Gives a user an e-mail address, or takes it. No two users have the same.
    /// # Errors
    /// `Unknown`, `BadAddress`, `AddressTaken`.
    pub fn set_address(&self, name: &str, address: &str, given: bool) -> Result<User, Error> {
        let address = address::check_address(address)?;
        let name = name::normal(name);
        self.written(book::with(&self.db, |book| {
            book.change(&name, |stored| {
                let known = stored.user.addresses.iter().position(|known| *known == address);
                match known {
                    Some(at) if !given => drop(stored.user.addresses.remove(at)),
                    None if given => stored.user.addresses.push(address),
                    _ => {}
                }
                Ok(stored.user.clone())
            })
        }))
    }

    /// Removes a user; the archive stays.
    /// # Errors
    /// `Unknown`.
    pub fn remove(&self, name: &str) -> Result<(), Error> {
        let name = name::normal(name);
        let removed = self.written(book::with(&self.db, |book| book.remove(&name)));
        self.verified.lock().forget(&name);
        self.logins.history.forget(&name);
        removed
    }

    /// Whether somebody from `from` may try a password of `name` now. Every leave that isn't a refusal must be followed by
    /// [`Auth::login`] or [`Auth::gave_up`].
    #[must_use]
    pub fn ask(&self, name: &str, from: IpAddr) -> Leave {
        self.throttle.lock().ask(self.now_ms(), from, &name::normal(bounded(name)))
    }

    /// Whoever got leave went without waiting for the answer: that counts as a wrong password, else guessing that doesn't wait
    /// would cost nothing.
    pub fn gave_up(&self, name: &str, from: IpAddr) {
        self.throttle.lock().failed(self.now_ms(), from, &name::normal(bounded(name)));
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether this user has a privilege, by itself or with another one; who is disabled or expired has none, who must change the
    /// password first nothing but that.
    #[must_use]
    pub fn may(&self, user: &User, privilege: Privilege) -> bool {
        let audits = user.privileges.contains(&Privilege::Auditor);
        user.is_active(now())
            && !(audits && privilege.changes())
            && (!user.must_change || privilege == Privilege::ChangePassword)
            && user.privileges.iter().any(|given| given.includes(privilege))
    }

    /// [`Auth::allows`] for reading a folder, by its path.
    #[must_use]
    pub fn may_read(&self, user: &str, folder: &str) -> bool {
        self.allows(&Subject::User(user.to_owned()), Deed::Read(folder))
    }

    /// Changes a user; what was known of the password is forgotten.
    fn change(&self, name: &str, change: impl FnOnce(&mut Stored)) -> Result<User, Error> {
        self.try_change(name, |stored| {
            change(stored);
            Ok(())
        })
    }

    /// As [`Auth::change`], unless the change itself is refused.
    fn try_change(
        &self,
        name: &str,
        change: impl FnOnce(&mut Stored) -> Result<(), Error>,
    ) -> Result<User, Error> {
        let name = name::normal(name);
        let changed = self.written(users::change(&self.db, &name, change));
        self.verified.lock().forget(&name);
        changed
    }

    /// The end of a write to the tables of users, groups or settings: what was known of them is forgotten before anybody is told
    /// that it is done. Every such write is handed through this.
    fn written<T>(&self, done: T) -> T {
        self.known.forget();
        self.signal.tell();
        done
    }

    /// A number that each change of users, rights, groups or settings raises: while it stays, only time can have changed what
    /// somebody may (who expires, archive access that ends).
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.known.generation()
    }

    /// A name that no user can have is simply not found, whatever its length.
    fn find(&self, name: &str) -> Result<Option<Stored>, Error> {
        if bounded(name).is_empty() {
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

/// As much of a name as matters: a longer one is nobody's.
fn bounded(name: &str) -> &str {
    if name.len() > MAX_NAME_BYTES * 4 { "" } else { name }
}

fn now() -> i64 {
    time::OffsetDateTime::now_utc().unix_timestamp()
}

#[cfg(test)]
mod login_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod timing_tests;
