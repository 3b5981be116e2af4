//! Profiles and their sealed secrets in master.redb: tables `profiles` (JSON by name) and `secrets` (sealed, by name).
//!
//! Invariant: only profiles that make sense are kept, and a secret goes with its profile, in one transaction.

use super::text::Whole;
use super::vault::Vault;
use super::{MAX_PROFILES, Profile};
use crate::remote::access::Secret;
use crate::{Error, ledger::database, ledger::decode, ledger::encode};
use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction,
};
use std::sync::Arc;
use storage::{MasterKey, Storage};

const PROFILES: TableDefinition<&str, &[u8]> = TableDefinition::new("profiles");
const SECRETS: TableDefinition<&str, &[u8]> = TableDefinition::new("secrets");

/// The kept profiles. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Profiles {
    db: Arc<Database>,
    vault: Vault,
}

impl Profiles {
    pub(crate) fn open(db: Arc<Database>, storage: Storage) -> Result<Profiles, Error> {
        let profiles = Profiles { vault: Vault::open(db.clone(), storage)?, db };
        let txn = profiles.write()?;
        txn.open_table(PROFILES).map_err(database)?;
        txn.open_table(SECRETS).map_err(database)?;
        txn.commit().map_err(database)?;
        Ok(profiles)
    }

    /// Keeps a new profile.
    /// # Errors
    /// `Profile` if it makes no sense or its name is taken.
    pub fn create(&self, whole: &Whole) -> Result<(), Error> {
        self.put(whole, true)
    }

    /// Keeps a profile in the place of the one of its name; without a secret the old one stays.
    /// # Errors
    /// `Profile`, `UnknownProfile`.
    pub fn replace(&self, whole: &Whole) -> Result<(), Error> {
        self.put(whole, false)
    }

    fn put(&self, whole: &Whole, new: bool) -> Result<(), Error> {
        let profile = &whole.profile;
        profile.check()?;
        let name = profile.name.as_str();
        let told = |what: String| Error::Profile { name: name.to_owned(), what };
        let sealed = match &whole.secret {
            Some(_) if !profile.needs_secret() => {
                return Err(told(format!("kind {} has no password", profile.kind.word())));
            }
            Some(secret) if secret.reveal().is_empty() => return Err(told("the password is empty".into())),
            Some(secret) => Some(self.vault.seal(name, secret.reveal().as_bytes())?),
            None => None,
        };
        let txn = self.write()?;
        {
            let mut profiles = txn.open_table(PROFILES).map_err(database)?;
            let mut secrets = txn.open_table(SECRETS).map_err(database)?;
            let there = profiles.get(name).map_err(database)?.is_some();
            if new && there {
                return Err(told(format!("there is a profile of this name; mailkeep profile edit {name}")));
            }
            if !new && !there {
                return Err(Error::UnknownProfile(name.to_owned()));
            }
            if new && profiles.len().map_err(database)? >= MAX_PROFILES as u64 {
                return Err(told(format!("there are {MAX_PROFILES} profiles already")));
            }
            profiles.insert(name, encode(profile)?.as_slice()).map_err(database)?;
            match &sealed {
                Some(sealed) => {
                    secrets.insert(name, sealed.as_slice()).map_err(database)?;
                }
                None if !profile.needs_secret() => {
                    secrets.remove(name).map_err(database)?;
                }
                None => {}
            }
        }
        txn.commit().map_err(database)
    }

    /// All profiles, by name.
    /// # Errors
    /// `Database`.
    pub fn all(&self) -> Result<Vec<Profile>, Error> {
        let txn = self.db.begin_read().map_err(database)?;
        let table = txn.open_table(PROFILES).map_err(database)?;
        table.iter().map_err(database)?.map(|row| decode(row.map_err(database)?.1.value())).collect()
    }

    /// One profile.
    /// # Errors
    /// `UnknownProfile`.
    pub fn get(&self, name: &str) -> Result<Profile, Error> {
        let txn = self.db.begin_read().map_err(database)?;
        let table = txn.open_table(PROFILES).map_err(database)?;
        let found = table.get(name).map_err(database)?;
        decode(found.ok_or_else(|| Error::UnknownProfile(name.to_owned()))?.value())
    }

    /// A profile's password; none: it has none.
    /// # Errors
    /// `Vault`, `Database`.
    pub fn secret(&self, name: &str) -> Result<Option<Secret>, Error> {
        let txn = self.db.begin_read().map_err(database)?;
        let table = txn.open_table(SECRETS).map_err(database)?;
        let Some(sealed) = table.get(name).map_err(database)? else { return Ok(None) };
        let bytes = self.vault.unseal(name, sealed.value())?;
        let text = std::str::from_utf8(&bytes).map_err(|_| Error::Vault)?;
        Ok(Some(Secret::new(text.to_owned())))
    }

    /// Whether a profile has a password.
    /// # Errors
    /// `Database`.
    pub fn has_secret(&self, name: &str) -> Result<bool, Error> {
        let txn = self.db.begin_read().map_err(database)?;
        let table = txn.open_table(SECRETS).map_err(database)?;
        Ok(table.get(name).map_err(database)?.is_some())
    }

    /// Removes a profile; what it archived stays.
    /// # Errors
    /// `UnknownProfile`.
    pub fn delete(&self, name: &str) -> Result<(), Error> {
        let txn = self.write()?;
        {
            let mut profiles = txn.open_table(PROFILES).map_err(database)?;
            if profiles.remove(name).map_err(database)?.is_none() {
                return Err(Error::UnknownProfile(name.to_owned()));
            }
            txn.open_table(SECRETS).map_err(database)?.remove(name).map_err(database)?;
        }
        txn.commit().map_err(database)
    }

    /// Has a new master key open the secrets too; before any store knows of it.
    /// # Errors
    /// `Vault`, `Database`.
    pub fn wrap_by(&self, new: &MasterKey) -> Result<(), Error> {
        self.vault.wrap_by(new)
    }

    /// Seals a secret that isn't a profile's, with the key that theirs are sealed with. `about` is what it is for.
    /// # Errors
    /// `Vault`, `Database`.
    pub fn seal(&self, about: &str, secret: &[u8]) -> Result<Vec<u8>, Error> {
        self.vault.seal(about, secret)
    }

    /// Opens what [`Profiles::seal`] sealed for the same `about`.
    /// # Errors
    /// `Vault`, `Database`.
    pub fn unseal(&self, about: &str, sealed: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>, Error> {
        self.vault.unseal(about, sealed)
    }

    /// Has only the present master key open the secrets; after all stores know it.
    /// # Errors
    /// `Vault`, `Database`.
    pub fn forget_other_keys(&self) -> Result<(), Error> {
        self.vault.forget_others()
    }

    fn write(&self) -> Result<WriteTransaction, Error> {
        let mut txn = self.db.begin_write().map_err(database)?;
        txn.set_quick_repair(true);
        Ok(txn)
    }
}
