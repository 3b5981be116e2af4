//! The directory that users come from: its settings, synchronising, and asking it about passwords.
//!
//! Owns the table `directory` of master.redb: the settings as JSON and the bind DN's password, sealed by whoever holds the keys
//! ([`crate::Sealer`]). Invariant: only `synchronise` makes or changes users; a login changes nothing. One directory an installation. When
//! it is synchronised is decided by others.

mod apply;
mod ber;
mod code;
mod dn;
mod fetch;
mod filter;
mod groups;
mod imap;
mod ldap;
mod login;
mod mdaemon;
mod person;
mod settings;
mod sync;
mod test;
mod wire;

pub use filter::{MAX_FILTER_BYTES, MAX_FILTER_DEPTH};
pub use settings::{
    Attributes, Directory, Gone, Kind, LoginAs, MAX_SERVERS, MAX_TEXT_BYTES, MAX_WANTED_GROUPS,
};
pub use sync::{Action, Row};
pub use test::Tested;

use crate::users::{Mode, Stored};
use crate::{Auth, Error, MAX_PASSWORD_BYTES, book};
use login::Loaded;
use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, TableDefinition};
use std::collections::BTreeMap;
use std::sync::Arc;
use zeroize::Zeroizing;

const DIRECTORY: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("directory");
const SETTINGS: &str = "settings";
const PASSWORD: &str = "password";
/// What the sealed password is about.
const SEALED_FOR: &str = "directory";

/// The directory in use.
#[derive(Default)]
pub(crate) struct Handle {
    /// Read from the database once; the inner one is none without a directory.
    loaded: Mutex<Option<Option<Arc<Loaded>>>>,
}

/// What synchronising is to do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ask {
    /// Only say what would be done.
    pub dry_run: bool,
    /// Go on though more than half of the directory's users would be disabled or removed.
    pub accept_loss: bool,
}

/// What synchronising did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// What changed, by user.
    pub rows: Vec<Row>,
    /// How many users the directory has, with those that are left out.
    pub seen: usize,
    /// What people should know.
    pub warnings: Vec<String>,
}

impl Report {
    /// How often each thing happened, in words.
    #[must_use]
    pub fn words(&self) -> String {
        let mut counts: BTreeMap<Action, usize> = BTreeMap::new();
        for row in &self.rows {
            *counts.entry(row.action).or_default() += 1;
        }
        let mut out = format!("{} entries", self.seen);
        for (action, count) in counts {
            out.push_str(&format!(", {count} {}", format!("{action:?}").to_lowercase()));
        }
        out
    }
}

fn entry(key: &str, error: &impl std::fmt::Display) -> Error {
    Error::Entry { key: format!("directory {key}"), what: error.to_string() }
}

/// Makes the table, if need be.
pub(crate) fn open_table(txn: &redb::WriteTransaction) -> Result<(), Error> {
    txn.open_table(DIRECTORY).map(drop).map_err(Error::database)
}

fn kept(db: &Database, key: &str) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
    let txn = db.begin_read().map_err(Error::database)?;
    let table = txn.open_table(DIRECTORY).map_err(Error::database)?;
    let found = table.get(key).map_err(Error::database)?;
    Ok(found.map(|bytes| Zeroizing::new(bytes.value().to_vec())))
}

impl Auth {
    /// The directory's settings, and whether a password is kept for its bind DN.
    /// # Errors
    /// `Database`, `Entry`.
    pub fn directory(&self) -> Result<Option<(Directory, bool)>, Error> {
        let Some(bytes) = kept(&self.db, SETTINGS)? else { return Ok(None) };
        let directory = serde_json::from_slice(&bytes).map_err(|error| entry(SETTINGS, &error))?;
        Ok(Some((directory, kept(&self.db, PASSWORD)?.is_some())))
    }

    /// Keeps settings, in the place of those before. Without a `password` the one that is kept stays, as long as the bind DN and the
    /// servers do: else whoever may change settings could have it sent to a server of their own.
    /// # Errors
    /// `Directory` if they make no sense, or the password can't be sealed; `Database`.
    pub fn set_directory(
        &self,
        directory: &Directory,
        password: Option<&Zeroizing<String>>,
    ) -> Result<(), Error> {
        directory.check()?;
        let before = self.directory()?;
        let stays = before.is_some_and(|(before, has)| {
            has && before.bind_dn == directory.bind_dn
                && before.servers == directory.servers
                && before.trust == directory.trust
                && (before.starttls, before.plain) == (directory.starttls, directory.plain)
        });
        let sealed = match password {
            Some(password) if password.is_empty() || password.len() > MAX_PASSWORD_BYTES => {
                return Err(Error::Directory(
                    "the bind DN's password is empty or longer than 1,024 bytes".into(),
                ));
            }
            Some(password) => {
                Some(self.sealer()?.seal(SEALED_FOR, password.as_bytes()).map_err(Error::Directory)?)
            }
            None if directory.bind_dn.is_some() && !stays => {
                return Err(Error::Directory("the bind DN's password is missing; it must be given anew with other servers, trust or bind DN".into()));
            }
            None => None,
        };
        let bytes = serde_json::to_vec(directory).map_err(|error| entry(SETTINGS, &error))?;
        let txn = crate::write(&self.db)?;
        {
            let mut table = txn.open_table(DIRECTORY).map_err(Error::database)?;
            table.insert(SETTINGS, bytes.as_slice()).map_err(Error::database)?;
            match (&sealed, &directory.bind_dn) {
                (Some(sealed), Some(_)) => {
                    drop(table.insert(PASSWORD, sealed.as_slice()).map_err(Error::database)?)
                }
                (_, None) => drop(table.remove(PASSWORD).map_err(Error::database)?),
                (None, Some(_)) => {}
            }
        }
        txn.commit().map_err(Error::database)?;
        self.forget_directory()
    }

    /// Removes the settings. Users who came from the directory stay, linked to no entry and in no group; nobody says yes to
    /// their passwords any more.
    /// # Errors
    /// `NoDirectory`, `Database`.
    pub fn remove_directory(&self) -> Result<(), Error> {
        self.directory()?.ok_or(Error::NoDirectory)?;
        // First the users: without settings, those of mode directory can't log in.
        self.written(book::with(&self.db, |book| {
            let of_directory =
                book.all().map(|stored| &stored.user).filter(|user| user.mode == Mode::Directory);
            let names: Vec<String> = of_directory.map(|user| user.name.clone()).collect();
            for name in names {
                book.change(&name, |stored| {
                    stored.user.origin = None;
                    stored.user.groups.clear();
                    Ok(())
                })?;
            }
            Ok(())
        }))?;
        let txn = crate::write(&self.db)?;
        {
            let mut table = txn.open_table(DIRECTORY).map_err(Error::database)?;
            table.retain(|_, _| false).map_err(Error::database)?;
        }
        txn.commit().map_err(Error::database)?;
        self.forget_directory()
    }

    /// Brings the users in line with the directory.
    /// # Errors
    /// `NoDirectory`; `Directory`: it can't be read whole, or more than half of its users would go; nothing has changed then.
    pub fn synchronise(&self, ask: Ask, cancelled: &dyn Fn() -> bool) -> Result<Report, Error> {
        let loaded = self.loaded()?.ok_or(Error::NoDirectory)?;
        let everybody = fetch::everybody(&loaded, cancelled)?;
        let now = crate::now();
        let plan = self.written(book::with_if(&self.db, |book| {
            let known: Vec<_> = book.all().map(|stored| stored.user.clone()).collect();
            let mut plan = sync::plan(&known, &everybody.found, &loaded.directory, now);
            if plan.losses > sync::FEW_LOSSES && plan.losses * 2 > plan.linked && !ask.accept_loss && !ask.dry_run {
                return Err(Error::Directory(format!(
                    "{} of {} users from the directory would be disabled or removed; if that is meant (look with --dry-run): --accept-loss",
                    plan.losses, plan.linked
                )));
            }
            apply::apply(book, &mut plan);
            Ok((plan, !ask.dry_run))
        }))?;
        if !ask.dry_run {
            let mut verified = self.verified.lock();
            for edit in plan.steps.iter().filter_map(|step| step.edit.as_ref()) {
                edit.before
                    .iter()
                    .chain(edit.after.iter().map(|user| &user.name))
                    .for_each(|name| verified.forget(name));
                let stays = edit.after.as_ref().map(|user| &user.name);
                if let Some(name) = edit.before.as_ref().filter(|name| Some(*name) != stays) {
                    self.logins.history.forget(name);
                }
            }
        }
        let mut rows: Vec<Row> = plan.steps.into_iter().map(|step| step.row).collect();
        rows.sort_by(|a, b| (&a.name, a.action).cmp(&(&b.name, b.action)));
        Ok(Report { rows, seen: everybody.found.len(), warnings: everybody.warnings })
    }

    /// Whether the password is right, whoever keeps it. What isn't there, or isn't right, costs the same, whatever the user's mode is.
    /// # Errors
    /// `Unavailable`: the directory can't tell now; also for users whose password is kept here, if it was wrong: else the answer
    /// would tell whose is.
    pub(crate) fn is_right(
        &self,
        found: Option<&Stored>,
        typed: &str,
        password: &str,
    ) -> Result<bool, Error> {
        let own = found.filter(|stored| stored.user.mode == Mode::Integrated);
        let hashed = self.hasher.matches(password, own.map(|stored| stored.hash.as_str()));
        if hashed && own.is_some() {
            return Ok(true);
        }
        let Some(loaded) = self.loaded()? else { return Ok(false) };
        let user = found.map(|stored| &stored.user).filter(|user| user.mode == Mode::Directory);
        loaded.check(user, typed, password)
    }

    /// Settings count anew; what was known of passwords is forgotten.
    fn forget_directory(&self) -> Result<(), Error> {
        *self.directory.loaded.lock() = None;
        for user in self.users()? {
            if user.mode == Mode::Directory {
                self.verified.lock().forget(&user.name);
            }
        }
        Ok(())
    }

    fn loaded(&self) -> Result<Option<Arc<Loaded>>, Error> {
        let mut place = self.directory.loaded.lock();
        if let Some(loaded) = &*place {
            return Ok(loaded.clone());
        }
        let loaded = match self.directory()? {
            None => None,
            Some((directory, _)) => {
                let password = match kept(&self.db, PASSWORD)? {
                    None => None,
                    Some(sealed) => {
                        let open = self.sealer()?.open(SEALED_FOR, &sealed).map_err(Error::Directory)?;
                        let text = std::str::from_utf8(&open).map_err(|error| entry(PASSWORD, &error))?;
                        Some(Zeroizing::new(text.to_owned()))
                    }
                };
                Some(Arc::new(Loaded::new(directory, password)?))
            }
        };
        *place = Some(loaded.clone());
        Ok(loaded)
    }
}
