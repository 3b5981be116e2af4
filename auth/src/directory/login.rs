//! Whether a directory says yes to a password: the entry is found, then a bind with its distinguished name is tried.
//!
//! Invariant: no answer is older than the question: without the directory nobody gets in (`Unavailable`), and an empty password is
//! never sent. Who isn't there costs the directory the same two questions as who is. A directory that didn't answer isn't
//! asked for some seconds, so that its silence holds up nobody for long.

use super::filter::Filter;
use super::ldap::{Ldap, Scope, Search};
use super::settings::{Directory, LoginAs};
use super::wire::{Fault, Server};
use super::{code, imap};
use crate::password::MAX_PASSWORD_BYTES;
use crate::users::User;
use crate::{Error, MAX_NAME_BYTES};
use parking_lot::{Condvar, Mutex};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Logins that ask the directory at once.
pub(super) const MAX_AT_ONCE: usize = 8;
/// Connections that wait for the next login.
const MAX_IDLE: usize = 4;
/// How long they do.
const IDLE: Duration = Duration::from_secs(60);
/// The longest time in which everybody is read.
const LONGEST_SYNC: Duration = Duration::from_secs(3_600);

/// The directory, ready to be asked. No `Debug`: a password is in it.
pub(super) struct Loaded {
    pub(super) directory: Directory,
    pub(super) password: Option<Zeroizing<String>>,
    pub(super) servers: Vec<Server>,
    pub(super) filter: Filter,
    pub(super) groups: Filter,
    pool: Mutex<Pool>,
    left: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<(Pair, Instant)>,
    at_work: usize,
    /// Nobody is asked until then.
    down_until: Option<Instant>,
    /// The server that answered last.
    first: usize,
}

/// Two connections to one server: one that searches, as who the settings say; one that tries passwords.
struct Pair {
    server: usize,
    searcher: Ldap,
    binder: Ldap,
}

/// A place among those who ask.
struct Turn<'a>(&'a Loaded);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.pool.lock().at_work -= 1;
        self.0.left.notify_one();
    }
}

impl Loaded {
    /// Settings that passed their check, and the bind DN's password.
    pub(super) fn new(directory: Directory, password: Option<Zeroizing<String>>) -> Result<Loaded, Error> {
        Ok(Loaded {
            servers: directory.places()?,
            filter: directory.users()?,
            groups: directory.group_entries()?,
            password,
            directory,
            pool: Mutex::default(),
            left: Condvar::new(),
        })
    }

    fn patience(&self) -> Duration {
        Duration::from_secs(u64::from(self.directory.timeout_secs))
    }

    /// A connection that searches.
    pub(super) fn connect(&self, server: &Server, end: Instant) -> Result<Ldap, Fault> {
        let mut ldap = Ldap::open(server, self.patience(), end)?;
        if let Some(dn) = &self.directory.bind_dn {
            let password = self.password.as_ref().map(|password| password.as_str()).unwrap_or_default();
            let ended = ldap.bind(dn, password)?;
            if ended.code != code::SUCCESS {
                return Err(ldap.refused(&ended, "logging in as the bind DN"));
            }
        }
        Ok(ldap)
    }

    /// A connection that reads everybody.
    pub(super) fn connect_for_long(&self, server: &Server) -> Result<Ldap, Fault> {
        self.connect(server, Instant::now() + LONGEST_SYNC)
    }

    /// Whether the password is this user's; for nobody (`None`) the answer is no, after the same questions about `typed`.
    /// # Errors
    /// `Unavailable`: nobody can tell now.
    pub(super) fn check(&self, user: Option<&User>, typed: &str, password: &str) -> Result<bool, Error> {
        if self.servers.is_empty() {
            tracing::warn!("no server that checks passwords is set; nobody from the directory can log in");
            return Ok(false);
        }
        let turn = self.enter()?;
        let sendable =
            !password.is_empty() && password.len() <= MAX_PASSWORD_BYTES && !password.contains('\0');
        let user = user.filter(|_| sendable);
        let asked = if self.directory.is_ldap() {
            self.by_ldap(user, typed, password)
        } else {
            self.by_imap(user, password)
        };
        drop(turn);
        asked.map_err(|fault| {
            tracing::error!("logins can't be checked: {fault}");
            let pause = Duration::from_secs(u64::from(self.directory.retry_secs));
            self.pool.lock().down_until = Instant::now().checked_add(pause);
            Error::Unavailable
        })
    }

    fn enter(&self) -> Result<Turn<'_>, Error> {
        let until = Instant::now() + self.patience();
        let mut pool = self.pool.lock();
        loop {
            if pool.down_until.is_some_and(|until| Instant::now() < until) {
                return Err(Error::Unavailable);
            }
            if pool.at_work < MAX_AT_ONCE {
                pool.at_work += 1;
                return Ok(Turn(self));
            }
            if self.left.wait_until(&mut pool, until).timed_out() {
                tracing::error!("logins wait too long for the directory: {MAX_AT_ONCE} ask it already");
                return Err(Error::Unavailable);
            }
        }
    }

    fn by_imap(&self, user: Option<&User>, password: &str) -> Result<bool, Fault> {
        let name = user.map(|user| match self.directory.login_as {
            LoginAs::Address => user.addresses.first().unwrap_or(&user.name),
            LoginAs::Name => &user.name,
        });
        self.each_server(&mut |at, _| {
            let Some(server) = self.servers.get(at) else { return Err(Fault::Cancelled) };
            imap::login(server, name.map(|name| (name.as_str(), password)), Instant::now() + self.patience())
        })
    }

    fn by_ldap(&self, user: Option<&User>, typed: &str, password: &str) -> Result<bool, Fault> {
        if let Some(mut pair) = self.idle_pair() {
            let end = Instant::now() + self.patience();
            pair.searcher.until(end);
            pair.binder.until(end);
            match self.on(&mut pair, user, typed, password) {
                // It may only have been closed while it waited.
                Err(fault) if fault.is_passing() => {
                    tracing::debug!(%fault, "a connection that waited is of no use")
                }
                answer => {
                    self.keep(pair);
                    return answer;
                }
            }
        }
        self.each_server(&mut |at, end| {
            let Some(server) = self.servers.get(at) else { return Err(Fault::Cancelled) };
            let searcher = self.connect(server, end)?;
            let binder = Ldap::open(server, self.patience(), end)?;
            let mut pair = Pair { server: at, searcher, binder };
            let answer = self.on(&mut pair, user, typed, password)?;
            self.keep(pair);
            Ok(answer)
        })
    }

    /// Asks one server after the other, first the one that answered last, until one answers.
    fn each_server(&self, ask: &mut dyn FnMut(usize, Instant) -> Result<bool, Fault>) -> Result<bool, Fault> {
        let first = self.pool.lock().first;
        let mut last = Fault::Connect {
            server: "the directory".into(),
            what: "no server that checks passwords is set".into(),
        };
        for step in 0..self.servers.len() {
            let at = (first + step) % self.servers.len();
            match ask(at, Instant::now() + self.patience()) {
                Ok(answer) => {
                    let mut pool = self.pool.lock();
                    pool.first = at;
                    pool.down_until = None;
                    return Ok(answer);
                }
                Err(fault) => {
                    tracing::warn!(%fault, "a server of the directory is of no use");
                    last = fault;
                }
            }
        }
        Err(last)
    }

    fn idle_pair(&self) -> Option<Pair> {
        let mut pool = self.pool.lock();
        pool.idle.retain(|(_, since)| since.elapsed() < IDLE);
        pool.idle.pop().map(|(pair, _)| pair)
    }

    fn keep(&self, pair: Pair) {
        let mut pool = self.pool.lock();
        if pool.idle.len() < MAX_IDLE && pair.server < self.servers.len() {
            pool.idle.push((pair, Instant::now()));
        }
    }

    /// Finds the entry and tries the password.
    fn on(&self, pair: &mut Pair, user: Option<&User>, typed: &str, password: &str) -> Result<bool, Fault> {
        let found = self.find(&mut pair.searcher, user, typed)?;
        // Whoever isn't there is asked for too, with a password that nobody has.
        let (dn, password, meant) = match (user, found) {
            (Some(_), Some(dn)) => (dn, Zeroizing::new(password.to_owned()), true),
            _ => (format!("cn={},{}", nonsense(), self.directory.base), Zeroizing::new(nonsense()), false),
        };
        let ended = pair.binder.bind(&dn, &password)?;
        match ended.code {
            _ if !meant => Ok(false),
            code::SUCCESS => Ok(true),
            no if code::is_no(no) => {
                tracing::info!(dn, why = code::words(&ended), "the directory refused a login");
                Ok(false)
            }
            // Anything else says nothing about the password; a referral leads to servers that nobody named.
            _ => Err(pair.binder.refused(&ended, "logging in")),
        }
    }

    fn find(&self, searcher: &mut Ldap, user: Option<&User>, typed: &str) -> Result<Option<String>, Fault> {
        let typed = if typed.len() > MAX_NAME_BYTES * 4 { "" } else { typed };
        let name = user.map_or(typed, |user| user.name.as_str());
        let by_id = user.and_then(|user| user.origin.as_ref()).and_then(|origin| {
            let (attribute, value) = origin.id.split_once(':')?;
            let known = self.directory.id_attributes().iter().any(|id| id.eq_ignore_ascii_case(attribute));
            known.then(|| hex::decode(value).ok()).flatten().map(|value| Filter::equals(attribute, &value))
        });
        let who = by_id.unwrap_or_else(|| {
            Filter::or(
                self.directory
                    .name_attributes()
                    .into_iter()
                    .map(|attribute| Filter::equals(attribute, name.as_bytes())),
            )
        });
        let filter = Filter::and([self.filter.clone(), who]);
        let search = Search {
            base: &self.directory.base,
            scope: Scope::Subtree,
            filter: &filter,
            // No attributes at all (RFC 4511 §4.5.1.8).
            attributes: &["1.1"],
            page: 0,
        };
        let mut found = Vec::new();
        searcher.search(&search, &mut |entry| {
            if found.len() < 2 {
                found.push(entry.dn);
            }
            Ok(())
        })?;
        match found.as_slice() {
            [_] => Ok(found.pop().filter(|dn| !dn.is_empty())),
            [] => Ok(None),
            _ => {
                tracing::warn!(user = ?user.map(|user| &user.name), "several entries of the directory have this name: the login is refused");
                Ok(None)
            }
        }
    }
}

/// Text that nobody has as a name or a password.
fn nonsense() -> String {
    let mut bytes = [0_u8; 16];
    // Without randomness it is still a password that is longer than none.
    if let Err(error) = getrandom::fill(&mut bytes) {
        tracing::error!(%error, "the system has no randomness");
    }
    hex::encode(bytes)
}

#[cfg(test)]
mod tests;
