//! All users in one write transaction, and what no two of them may share: a name in whatever case, one that looks the same, an
//! address, an alias.
//!
//! Invariant: what [`with`] is given is written whole or not at all; a user that breaks a rule is never written. Reads the whole
//! table: for what administrators and directories do, not for what a login does.

use crate::users::{self, Stored, USERS, decode, encode};
use crate::{Error, history, looks};
use redb::{Database, ReadableTable, WriteTransaction};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The users, with what is taken.
#[derive(Default)]
pub(crate) struct Book {
    people: BTreeMap<String, Stored>,
    touched: BTreeSet<String>,
    /// Who was removed, or got which other name, in this order: what is kept of a user elsewhere goes along.
    moved: Vec<(String, Option<String>)>,
    /// Names in lower case, and the names as they are kept.
    names: HashMap<String, String>,
    /// What names look like; several may look like one another since before this was looked at.
    looks: HashMap<String, Vec<String>>,
    /// Who has an address.
    addresses: HashMap<String, String>,
    /// Who has an alias, in lower case.
    aliases: HashMap<String, String>,
}

/// Does something with all users in one transaction; an error undoes it all.
pub(crate) fn with<T>(db: &Database, work: impl FnOnce(&mut Book) -> Result<T, Error>) -> Result<T, Error> {
    with_if(db, |book| work(book).map(|done| (done, true)))
}

/// As [`with`], written only if what is done says so.
pub(crate) fn with_if<T>(
    db: &Database,
    work: impl FnOnce(&mut Book) -> Result<(T, bool), Error>,
) -> Result<T, Error> {
    let txn = crate::write(db)?;
    let mut book = Book::read(&txn)?;
    let (done, write) = work(&mut book)?;
    if write {
        book.save(&txn)?;
        txn.commit().map_err(Error::database)?;
    } else {
        txn.abort().map_err(Error::database)?;
    }
    Ok(done)
}

impl Book {
    fn read(txn: &WriteTransaction) -> Result<Book, Error> {
        let table = txn.open_table(USERS).map_err(Error::database)?;
        let mut book = Book::default();
        for row in table.iter().map_err(Error::database)? {
            let (name, bytes) = row.map_err(Error::database)?;
            let stored = decode(name.value(), bytes.value())?;
            book.enter(name.value(), stored);
        }
        Ok(book)
    }

    fn save(mut self, txn: &WriteTransaction) -> Result<(), Error> {
        for (name, new) in std::mem::take(&mut self.moved) {
            history::rename(txn, &name, new.as_deref())?;
        }
        let mut table = txn.open_table(USERS).map_err(Error::database)?;
        for name in std::mem::take(&mut self.touched) {
            match self.people.get(&name) {
                Some(stored) => {
                    let bytes = encode(stored)?;
                    table.insert(name.as_str(), bytes.as_slice()).map_err(Error::database)?
                }
                None => table.remove(name.as_str()).map_err(Error::database)?,
            };
        }
        Ok(())
    }

    fn enter(&mut self, key: &str, stored: Stored) {
        let user = &stored.user;
        self.names.insert(key.to_lowercase(), key.to_owned());
        self.looks.entry(looks::like(key)).or_default().push(key.to_owned());
        self.addresses.extend(user.addresses.iter().map(|address| (address.clone(), key.to_owned())));
        self.aliases.extend(user.aliases.iter().map(|alias| (alias.to_lowercase(), key.to_owned())));
        self.people.insert(key.to_owned(), stored);
    }

    fn leave(&mut self, name: &str) -> Option<Stored> {
        let stored = self.people.remove(name)?;
        self.names.remove(&name.to_lowercase());
        if let Some(alike) = self.looks.get_mut(&looks::like(name)) {
            alike.retain(|other| other != name);
        }
        for address in &stored.user.addresses {
            self.addresses.remove(address);
        }
        for alias in &stored.user.aliases {
            self.aliases.remove(&alias.to_lowercase());
        }
        Some(stored)
    }

    /// An entry by its name in the form that it is kept in.
    pub(crate) fn get(&self, name: &str) -> Option<&Stored> {
        self.people.get(name)
    }

    /// All entries, by name.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Stored> {
        self.people.values()
    }

    /// Removes an entry.
    /// # Errors
    /// `Unknown`.
    pub(crate) fn remove(&mut self, name: &str) -> Result<(), Error> {
        self.leave(name).ok_or_else(|| Error::Unknown(name.to_owned()))?;
        self.touched.insert(name.to_owned());
        self.moved.push((name.to_owned(), None));
        Ok(())
    }

    /// Adds a user whose name passed [`crate::check_name`].
    /// # Errors
    /// `Exists`, `Alike`, and as [`Book::change`].
    pub(crate) fn insert(&mut self, stored: Stored) -> Result<(), Error> {
        self.free_name(&stored.user.name)?;
        self.check(&stored)?;
        self.put(stored);
        Ok(())
    }

    fn put(&mut self, stored: Stored) {
        let name = stored.user.name.clone();
        self.touched.insert(name.clone());
        self.enter(&name, stored);
    }

    fn free_name(&self, name: &str) -> Result<(), Error> {
        if let Some(taken) = self.names.get(&name.to_lowercase()) {
            return Err(Error::Exists(taken.clone()));
        }
        // Between names of ASCII alone nobody is deceived by another alphabet; `modern` and `modem` are both names.
        let alike = self.looks.get(&looks::like(name)).into_iter().flatten();
        match alike.into_iter().find(|other| !(name.is_ascii() && other.is_ascii())) {
            Some(other) => Err(Error::Alike { name: name.to_owned(), other: other.clone() }),
            None => Ok(()),
        }
    }

    /// What a user may not share with another one, and the rules of a single user.
    fn check(&self, stored: &Stored) -> Result<(), Error> {
        let user = &stored.user;
        users::check(user)?;
        for address in &user.addresses {
            if let Some(other) = self.addresses.get(address).filter(|other| **other != user.name) {
                return Err(Error::AddressTaken { address: address.clone(), user: other.clone() });
            }
        }
        for alias in &user.aliases {
            let lower = alias.to_lowercase();
            let other = self.aliases.get(&lower).or_else(|| self.names.get(&lower));
            if let Some(other) = other.filter(|other| **other != user.name) {
                return Err(Error::AliasTaken { alias: alias.clone(), user: other.clone() });
            }
        }
        Ok(())
    }

    /// Changes an entry, all but its name.
    /// # Errors
    /// `Unknown`; `AddressTaken`, `AliasTaken`, and what [`users::check`] refuses: the entry is as before then.
    pub(crate) fn change<T>(
        &mut self,
        name: &str,
        change: impl FnOnce(&mut Stored) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut stored = self.get(name).cloned().ok_or_else(|| Error::Unknown(name.to_owned()))?;
        let done = change(&mut stored)?;
        self.check(&stored)?;
        self.leave(name);
        self.put(stored);
        Ok(done)
    }

    /// Gives an entry another name, which passed [`crate::check_name`].
    /// # Errors
    /// `Unknown`, `Exists`, `Alike`.
    pub(crate) fn rename(&mut self, name: &str, new: &str) -> Result<&Stored, Error> {
        let mut stored = self.leave(name).ok_or_else(|| Error::Unknown(name.to_owned()))?;
        // With the old name out of the way, another case of it is free.
        if let Err(error) = self.free_name(new) {
            self.enter(name, stored);
            return Err(error);
        }
        self.touched.insert(name.to_owned());
        self.moved.push((name.to_owned(), Some(new.to_owned())));
        stored.user.name = new.to_owned();
        self.put(stored);
        self.get(new).ok_or_else(|| Error::Unknown(new.to_owned()))
    }
}
