//! Logging in with a password: by mail clients, by commands, and changing one's own.
//!
//! Invariant: [`Auth::decide`] alone turns a proven credential into a login, whatever proved it (password, app password, SCRAM, token): so
//! privileges, networks, the second factor and a forced change are asked the same way everywhere. A refusal costs one argon2id and has the
//! same words for every reason; the reason stands in the log. How it ended stands in the audit log too. Which account password is right for whom, [`Auth::is_account_password`]
//! alone knows.

use crate::credentials::{AccountKeys, Derivation};
use crate::history::{History, How};
use crate::scram::{Keys, SALT_BYTES};
use crate::totp::Sealer;
use crate::users::{Mode, Stored};
use crate::{Auth, Error, Network, PasswordRules, Privilege, User, name, password, users};
use aws_lc_rs::hmac;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use zeroize::Zeroizing;

/// A try to log in.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// The name as it was given.
    pub name: &'a str,
    /// What the user must have, besides `login`.
    pub need: Privilege,
    /// From where; none: from this machine, without the network.
    pub from: Option<IpAddr>,
    /// In which way.
    pub how: How,
}

impl Attempt<'_> {
    /// What a failure counts for besides the network: the account; for tokens, which nobody guesses, only where it came from, so that a
    /// stranger's rubbish slows no user down.
    #[must_use]
    pub fn account(&self) -> Cow<'_, str> {
        self.account_of(self.name)
    }

    fn account_of<'a>(&self, name: &'a str) -> Cow<'a, str> {
        match (self.how, self.from) {
            (How::OAuthBearer | How::XOAuth2, Some(from)) => Auth::token_account(from).into(),
            _ => name.into(),
        }
    }
}

/// By what a session came in: it ends when that counts no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential {
    /// The account password, by its serial number.
    Password(u64),
    /// The app password of this id.
    AppPassword(u64),
    /// A token of somebody else, who alone can take it back.
    Token,
}

impl Credential {
    /// For people.
    #[must_use]
    pub fn words(self) -> String {
        match self {
            Credential::Password(_) => "password".into(),
            Credential::AppPassword(id) => format!("app password {id}"),
            Credential::Token => "token".into(),
        }
    }
}

/// Somebody who has logged in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entered {
    /// Who.
    pub user: User,
    /// By what.
    pub by: Credential,
}

/// What logins have at hand besides the users.
pub(crate) struct Logins {
    pub(crate) rules: PasswordRules,
    /// 0: SCRAM is off.
    pub(crate) scram_iterations: u32,
    allow_from: Vec<Network>,
    pub(crate) history: History,
    pub(crate) sealer: OnceLock<Arc<dyn Sealer>>,
    /// Makes the salt of every name, also of those that nobody has.
    salts: hmac::Key,
}

impl Logins {
    pub(crate) fn new(settings: &crate::Settings, salt_key: &[u8]) -> Logins {
        Logins {
            rules: settings.passwords.clone(),
            scram_iterations: settings.scram_iterations,
            allow_from: settings.allow_from.clone(),
            history: History::default(),
            sealer: OnceLock::new(),
            salts: hmac::Key::new(hmac::HMAC_SHA256, salt_key),
        }
    }

    /// The salt of a name: the same for ever, whether or not anybody has it.
    pub(crate) fn salt(&self, name: &str) -> Vec<u8> {
        let tag = hmac::sign(&self.salts, name.as_bytes());
        tag.as_ref().iter().take(SALT_BYTES).copied().collect()
    }
}

/// Why somebody who proved something was still refused; for the log alone.
mod why {
    pub(super) const WRONG: &str = "wrong password";
    pub(super) const UNKNOWN: &str = "unknown user";
    pub(super) const NOT_ALLOWED: &str = "no privilege, disabled or expired";
    pub(super) const NETWORK: &str = "not from this network";
    pub(super) const FACTOR: &str = "with a second factor only app passwords count";
    pub(super) const CODE: &str = "wrong code of the second factor";
    pub(super) const APP: &str = "app passwords don't count for commands";
}

impl Auth {
    /// Whether logins are taken from this address at all: what `[auth] allow_from` says, which is no secret.
    #[must_use]
    pub fn admits(&self, from: IpAddr) -> bool {
        let allowed = &self.logins.allow_from;
        allowed.is_empty() || allowed.iter().any(|network| network.contains(from))
    }

    /// As [`Auth::login`], if the password was right from there not long ago and nothing has changed since, or is an app password; costs
    /// next to nothing. `None` says nothing about the password.
    /// # Errors
    /// `Database`; `MustChange`.
    pub fn login_again(
        &self,
        attempt: &Attempt<'_>,
        password: &Zeroizing<String>,
    ) -> Result<Option<Entered>, Error> {
        let Some(stored) = self.find(attempt.name)? else { return Ok(None) };
        let by = match stored.secrets.app_password(password) {
            Some(app) => Some(Credential::AppPassword(app.id)),
            None => {
                self.knows(&stored, attempt, password).then_some(Credential::Password(stored.secrets.serial))
            }
        };
        match by {
            // A refusal takes the slow way, where all of them take the same time.
            Some(by) if self.refusal(&stored, attempt, by).is_none() => {
                self.decide(attempt, Some(&stored), Some(by)).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn knows(&self, stored: &Stored, attempt: &Attempt<'_>, password: &str) -> bool {
        password::hashed_form(password).is_some_and(|form| {
            let mut verified = self.verified.lock();
            verified.knows((&stored.user.name, attempt.from), form.as_bytes(), &stored.hash, Instant::now())
        })
    }

    /// Checks a password and the privileges `login` and what the attempt needs. Slow on purpose (argon2id): call it off the async
    /// threads. The end counts for [`Auth::ask`].
    /// # Errors
    /// `Denied`, in the same words and time for every reason; `MustChange` once the password was right; `Database`.
    pub fn login(&self, attempt: &Attempt<'_>, password: &Zeroizing<String>) -> Result<Entered, Error> {
        let found = self.find(attempt.name)?;
        let app = found.as_ref().and_then(|stored| stored.secrets.app_password(password)).map(|app| app.id);
        if let (Some(stored), Some(id)) = (&found, app) {
            let by = Credential::AppPassword(id);
            if self.refusal(stored, attempt, by).is_none() {
                return self.decide(attempt, Some(stored), Some(by));
            }
        }
        let right = self.is_account_password(found.as_ref(), attempt, password)?;
        let by = match &found {
            Some(_) if app.is_some() => app.map(Credential::AppPassword),
            Some(stored) if right => Some(Credential::Password(stored.secrets.serial)),
            _ => None,
        };
        let entered = self.decide(attempt, found.as_ref(), by)?;
        if let (Some(stored), Credential::Password(_)) = (&found, entered.by) {
            let hash = self.renew(stored, password).unwrap_or_else(|error| {
                tracing::error!(%error, "a password's hash could not be renewed; the old one stays");
                None
            });
            if let Some(form) = password::hashed_form(password) {
                let of = (stored.user.name.as_str(), attempt.from);
                let hash = hash.as_ref().unwrap_or(&stored.hash);
                self.verified.lock().note(of, form.as_bytes(), hash, Instant::now());
            }
        }
        Ok(entered)
    }

    /// Whether this is the account's password, by the hash that is kept or by the directory; costs one argon2id for whomever it is asked.
    fn is_account_password(
        &self,
        found: Option<&Stored>,
        attempt: &Attempt<'_>,
        password: &str,
    ) -> Result<bool, Error> {
        self.is_right(found, attempt.name, password).inspect_err(|_| {
            // A directory that is away is not its users' failure.
            let of_directory = found.is_some_and(|stored| stored.user.mode == Mode::Directory);
            if let Some(from) = attempt.from.filter(|_| !of_directory) {
                self.gave_up(attempt.name, from);
            }
        })
    }

    /// What stands against a login by something that was proven; none: nothing but perhaps a forced change.
    fn refusal(&self, stored: &Stored, attempt: &Attempt<'_>, by: Credential) -> Option<&'static str> {
        let user = &stored.user;
        let waiting = User { must_change: false, ..user.clone() };
        if !self.may(&waiting, Privilege::Login) || !self.may(&waiting, attempt.need) {
            return Some(why::NOT_ALLOWED);
        }
        if !self.comes_from(user, attempt.from) {
            return Some(why::NETWORK);
        }
        match (by, attempt.how) {
            (Credential::AppPassword(_), How::Command) => Some(why::APP),
            (Credential::Password(_), How::Command) => None,
            (Credential::Password(_), _) if stored.secrets.has_factor() => Some(why::FACTOR),
            _ => None,
        }
    }

    /// Whether a user may come from there; what comes without the network may.
    fn comes_from(&self, user: &User, from: Option<IpAddr>) -> bool {
        from.is_none_or(|from| {
            self.admits(from)
                && (user.allow_from.is_empty()
                    || user.allow_from.iter().any(|network| network.contains(from)))
        })
    }

    /// The end of every try: `by` is what was proven, if anything was.
    pub(crate) fn decide(
        &self,
        attempt: &Attempt<'_>,
        found: Option<&Stored>,
        by: Option<Credential>,
    ) -> Result<Entered, Error> {
        let reason = match (found, by) {
            (None, _) => Some(why::UNKNOWN),
            (Some(_), None) => Some(why::WRONG),
            (Some(stored), Some(by)) => self.refusal(stored, attempt, by),
        };
        match (found, by, reason) {
            (Some(stored), Some(by), None) => {
                if stored.user.must_change {
                    self.succeeded(attempt, &stored.user.name);
                    self.note_login(&stored.user.name, false, attempt.from, attempt.how);
                    self.audit_refused(attempt, Some(&stored.user.name));
                    tracing::info!(user = ?stored.user.name, "a password was right and must be changed before it counts");
                    return Err(Error::MustChange);
                }
                Ok(Entered { user: self.welcome(attempt, stored, by)?, by })
            }
            (found, _, reason) => Err(self.refuse(attempt, found, reason.unwrap_or(why::WRONG))),
        }
    }

    /// A login that is right: it counts, and is remembered. One that the audit log must have and can't take is none.
    fn welcome(&self, attempt: &Attempt<'_>, stored: &Stored, by: Credential) -> Result<User, Error> {
        let user = stored.user.clone();
        self.succeeded(attempt, &user.name);
        self.audit_login(attempt, &user)?;
        let (id, used) = match by {
            Credential::AppPassword(id) => {
                let app = stored.secrets.app_passwords.iter().find(|known| known.id == id);
                (Some(id), app.and_then(|app| app.used))
            }
            Credential::Password(_) | Credential::Token => (None, stored.secrets.used),
        };
        if by != Credential::Token {
            self.logins.history.used(&user.name, id, used, crate::now());
        }
        self.note_login(&user.name, true, attempt.from, attempt.how);
        tracing::debug!(user = ?user.name, from = ?attempt.from, how = attempt.how.words(), "logged in");
        Ok(user)
    }

    /// Guessing is over, as far as the throttle is concerned.
    fn succeeded(&self, attempt: &Attempt<'_>, user: &str) {
        if let Some(from) = attempt.from {
            self.throttle.lock().succeeded(self.now_ms(), from, &attempt.account_of(user));
        }
    }

    /// A failed try: it counts, and has a line in the log that fail2ban reads. docs/logins.md has its form; whoever changes one changes
    /// both. A name that nobody has isn't logged: people type passwords where the name belongs.
    pub(crate) fn refuse(&self, attempt: &Attempt<'_>, found: Option<&Stored>, why: &str) -> Error {
        if let Some(from) = attempt.from {
            self.gave_up(&attempt.account(), from);
        }
        let known = found.map(|stored| stored.user.name.as_str());
        let user = known.unwrap_or("(unknown)");
        if known.is_some() {
            self.note_login(user, false, attempt.from, attempt.how);
        }
        self.audit_refused(attempt, known);
        log_failure(attempt, user, why);
        Error::Denied
    }

    /// Says in the log that a try was turned away without a look at its password.
    pub fn turned_away(&self, attempt: &Attempt<'_>, why: &'static str) {
        log_failure(attempt, "(not asked)", why);
    }

    /// Whether a session that came by this still may go on: the user is there and may what it needs, and what it came by still counts.
    /// # Errors
    /// `Database`.
    pub fn still(
        &self,
        name: &str,
        by: Credential,
        need: Privilege,
        from: Option<IpAddr>,
    ) -> Result<Still, Error> {
        let Some(stored) = self.find(name)? else { return Ok(Still::Ended) };
        let counts = match by {
            Credential::Password(serial) => serial == stored.secrets.serial && !stored.secrets.has_factor(),
            Credential::AppPassword(id) => stored.secrets.app_passwords.iter().any(|known| known.id == id),
            Credential::Token => true,
        };
        let user = User { must_change: false, ..stored.user.clone() };
        let may = self.may(&user, Privilege::Login) && self.may(&user, need) && self.comes_from(&user, from);
        Ok(match (may, counts) {
            (true, true) if stored.user.must_change => Still::MustChange,
            (true, true) => Still::Welcome,
            (true, false) => Still::Revoked,
            (false, _) => Still::Ended,
        })
    }

    /// Logs somebody in who gives a command: by the account password, and with a code of the second factor if that is on; app passwords
    /// are not taken. A user whose password must be changed may log in, and then only change it ([`Auth::may`]). Guessing is slowed down
    /// as for IMAP: to be asked for by [`Auth::ask`] before.
    /// # Errors
    /// `Denied`; `CodeNeeded` once the password was right; `Database`.
    pub fn login_command(
        &self,
        name: &str,
        password: &Zeroizing<String>,
        code: Option<&str>,
        from: IpAddr,
    ) -> Result<User, Error> {
        let attempt = Attempt { name, need: Privilege::Login, from: Some(from), how: How::Command };
        let stored = self.proven_command(&attempt, password)?;
        if stored.secrets.has_factor() {
            let Some(code) = code else { return Err(Error::CodeNeeded) };
            if let Err(error) = self.take_code(name, code) {
                return Err(match error {
                    Error::Denied => self.refuse(&attempt, Some(&stored), why::CODE),
                    error => error,
                });
            }
        }
        self.welcome(&attempt, &stored, Credential::Password(stored.secrets.serial))
    }

    /// The user of a command whose account password this is. No login yet: it may lack the second factor.
    fn proven_command(&self, attempt: &Attempt<'_>, password: &Zeroizing<String>) -> Result<Stored, Error> {
        let found = self.find(attempt.name)?;
        let right = self.is_account_password(found.as_ref(), attempt, password)?;
        let reason = match &found {
            None => Some(why::UNKNOWN),
            Some(_) if !right => Some(why::WRONG),
            Some(stored) => self.refusal(stored, attempt, Credential::Password(stored.secrets.serial)),
        };
        match (found, reason) {
            (Some(stored), None) => Ok(stored),
            (found, reason) => Err(self.refuse(attempt, found.as_ref(), reason.unwrap_or(why::WRONG))),
        }
    }

    /// Changes one's own password, who knows the old one and has `changePassword`; a forced change is over then. The second factor is
    /// asked for by whoever lets the user give commands ([`Auth::login_command`]); guessing is slowed down by [`Auth::ask`] before.
    /// # Errors
    /// `Denied`; `BadPassword`; `PasswordElsewhere`: somebody else keeps the password; `Database`.
    pub fn change_password(
        &self,
        name: &str,
        old: &Zeroizing<String>,
        new: &Zeroizing<String>,
        from: IpAddr,
    ) -> Result<(), Error> {
        let attempt = Attempt { name, need: Privilege::ChangePassword, from: Some(from), how: How::Command };
        let user = self.proven_command(&attempt, old)?.user;
        self.throttle.lock().succeeded(self.now_ms(), from, &user.name);
        if user.mode != Mode::Integrated {
            return Err(Error::PasswordElsewhere);
        }
        if password::hashed_form(old) == password::hashed_form(new) {
            return Err(Error::BadPassword("it is the old one"));
        }
        self.set_password(&user.name, new)
    }

    /// Sets a user's password; sessions that came by the old one end, and a forced change is over.
    /// # Errors
    /// `Unknown`, `BadPassword`; `PasswordElsewhere`: somebody else keeps the password.
    pub fn set_password(&self, name: &str, password: &Zeroizing<String>) -> Result<(), Error> {
        let stored = self.find(name)?.ok_or_else(|| Error::Unknown(name.to_owned()))?;
        if stored.user.mode != Mode::Integrated {
            return Err(Error::PasswordElsewhere);
        }
        self.logins.rules.check(&stored.user, password)?;
        let hash = self.hasher.hash(password)?;
        let verifier = self.verifier(&stored, password);
        self.change(name, |stored| stored.take_password(hash, verifier))?;
        Ok(())
    }

    /// Says whether a user must change the password before it is good for anything else.
    /// # Errors
    /// `Unknown`.
    pub fn set_must_change(&self, name: &str, must: bool) -> Result<User, Error> {
        self.change(name, |stored| stored.user.must_change = must)
    }

    /// Says from which networks a user's logins are taken; none: from all.
    /// # Errors
    /// `Unknown`.
    pub fn set_allow_from(&self, name: &str, networks: Vec<Network>) -> Result<User, Error> {
        self.change(name, |stored| stored.user.allow_from = networks)
    }

    /// How a user's account password is to be verified by SCRAM: as before, or with the present setting where nothing stands against it.
    pub(crate) fn account_derivation(&self, stored: &Stored) -> Option<Derivation> {
        let iterations = self.logins.scram_iterations;
        let kept = self.derivation(stored)?;
        let fixed = stored.secrets.app_passwords.iter().any(|app| app.keys.is_some());
        Some(if fixed { kept } else { Derivation { iterations, ..kept } })
    }

    /// How a user's passwords are verified by SCRAM; none: it is off.
    pub(crate) fn derivation(&self, stored: &Stored) -> Option<Derivation> {
        let iterations = self.logins.scram_iterations;
        let fresh = || Derivation { salt: self.logins.salt(&stored.user.name), iterations };
        (iterations > 0).then(|| stored.secrets.scram.clone().unwrap_or_else(fresh))
    }

    pub(crate) fn verifier(&self, stored: &Stored, password: &str) -> Option<(Derivation, Keys)> {
        let by = self.account_derivation(stored)?;
        let keys = Keys::derive(password, &by.salt, by.iterations);
        Some((by, keys))
    }

    /// A password that was right is hashed anew when the settings have changed, and gets the verifier that it lacks. Gives the new hash.
    fn renew(&self, stored: &Stored, password: &str) -> Result<Option<String>, Error> {
        if stored.user.mode != Mode::Integrated {
            return Ok(None);
        }
        let hash = self.hasher.is_outdated(&stored.hash).then(|| self.hasher.hash(password)).transpose()?;
        let wanted = self.account_derivation(stored);
        let lacks = stored.account_keys().is_none() || stored.secrets.scram != wanted;
        let verifier = (lacks || hash.is_some()).then(|| self.verifier(stored, password)).flatten();
        if hash.is_none() && verifier.is_none() {
            return Ok(None);
        }
        // Only if nobody has set another password meanwhile.
        let mut renewed = None;
        self.change_secrets(&stored.user.name, |now| {
            if now.hash == stored.hash {
                if let Some(hash) = hash {
                    now.hash.clone_from(&hash);
                    renewed = Some(hash);
                }
                // An app password may have been made meanwhile, with what was there: all of a user's are made alike.
                if now.secrets.scram == stored.secrets.scram && verifier.is_some() {
                    now.put_verifier(verifier);
                }
            }
            Ok(())
        })?;
        Ok(renewed)
    }

    /// Changes a user's secrets; what is known of right passwords stays.
    pub(crate) fn change_secrets(
        &self,
        name: &str,
        change: impl FnOnce(&mut Stored) -> Result<(), Error>,
    ) -> Result<User, Error> {
        self.written(users::change(&self.db, &name::normal(crate::bounded(name)), change))
    }
}

impl Stored {
    /// Another password, whoever sets it: sessions that came by the old one end, and a forced change is over.
    pub(crate) fn take_password(&mut self, hash: String, verifier: Option<(Derivation, Keys)>) {
        self.hash = hash;
        self.user.must_change = false;
        self.secrets.serial += 1;
        (self.secrets.changed, self.secrets.used) = (crate::now(), None);
        self.put_verifier(verifier);
    }

    /// The account password's verifier, and how it was made; none: SCRAM can't be used with it. It belongs to the hash that is there:
    /// whoever sets another password and knows nothing of verifiers leaves none that counts.
    pub(crate) fn put_verifier(&mut self, verifier: Option<(Derivation, Keys)>) {
        let Some((by, keys)) = verifier else { return self.secrets.keys = None };
        let of = crate::credentials::hash(HASH_PURPOSE, &self.hash);
        (self.secrets.scram, self.secrets.keys) = (Some(by), Some(AccountKeys { keys, of }));
    }

    /// The verifier of the account password that is there.
    pub(crate) fn account_keys(&self) -> Option<&Keys> {
        let kept = self.secrets.keys.as_ref().filter(|_| self.user.mode == Mode::Integrated)?;
        (kept.of == crate::credentials::hash(HASH_PURPOSE, &self.hash)).then_some(&kept.keys)
    }
}

const HASH_PURPOSE: &str = "hash of the account password";

/// Whether a session may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Still {
    /// It may.
    Welcome,
    /// The password by which it came was changed or revoked, or a second factor was turned on.
    Revoked,
    /// The password must be changed first.
    MustChange,
    /// The user is gone, disabled, expired, or may not do that any more, or not from there.
    Ended,
}

fn log_failure(attempt: &Attempt<'_>, user: &str, why: &str) {
    let how = attempt.how.words();
    match attempt.from {
        Some(from) => {
            tracing::warn!(target: "mailkeep::login", %from, how, ?user, why, "login failed");
        }
        None => tracing::warn!(target: "mailkeep::login", from = "here", how, ?user, why, "login failed"),
    }
}
