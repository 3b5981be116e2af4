//! Secrets of profiles: sealed with a key of their own, which the master key wraps.
//!
//! Table `vault`: that key by the id of the master key that wraps it. Invariant: one of the master keys in use opens it at any
//! moment, whatever cuts a change of the master key: the new one wraps it before any store knows of the new one, and what the
//! old one wrapped goes only after all stores know.

use crate::{Error, ledger::database};
use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction,
};
use std::sync::Arc;
use storage::{MasterKey, SecretKey, Storage};

const VAULT: TableDefinition<&str, &[u8]> = TableDefinition::new("vault");

/// Who seals and opens secrets.
#[derive(Debug, Clone)]
pub(crate) struct Vault {
    db: Arc<Database>,
    storage: Storage,
}

impl Vault {
    /// Makes the table, if need be.
    pub(crate) fn open(db: Arc<Database>, storage: Storage) -> Result<Vault, Error> {
        let vault = Vault { db, storage };
        let txn = vault.write()?;
        txn.open_table(VAULT).map_err(database)?;
        txn.commit().map_err(database)?;
        Ok(vault)
    }

    /// Seals a secret of `about`.
    pub(crate) fn seal(&self, about: &str, secret: &[u8]) -> Result<Vec<u8>, Error> {
        Ok(self.key_or_new()?.seal(about, secret)?)
    }

    /// Opens a secret of `about`.
    pub(crate) fn unseal(&self, about: &str, sealed: &[u8]) -> Result<zeroize::Zeroizing<Vec<u8>>, Error> {
        Ok(self.key()?.ok_or(Error::Vault)?.open(about, sealed)?)
    }

    /// Has a new master key wrap the key, before any store knows of it.
    pub(crate) fn wrap_by(&self, new: &MasterKey) -> Result<(), Error> {
        let Some(key) = self.key()? else { return Ok(()) };
        let wrapped = key.wrap(new)?;
        let txn = self.write()?;
        txn.open_table(VAULT)
            .map_err(database)?
            .insert(new.id().as_str(), wrapped.as_slice())
            .map_err(database)?;
        txn.commit().map_err(database)
    }

    /// Forgets what other master keys than the present one wrapped, once that one wraps the key.
    pub(crate) fn forget_others(&self) -> Result<(), Error> {
        let Some(key) = self.key()? else { return Ok(()) };
        let (id, wrapped) = self.storage.wrap_secret_key(&key)?;
        let txn = self.write()?;
        {
            let mut table = txn.open_table(VAULT).map_err(database)?;
            table.insert(id.as_str(), wrapped.as_slice()).map_err(database)?;
            table.retain(|known, _| known == id).map_err(database)?;
        }
        txn.commit().map_err(database)
    }

    fn key_or_new(&self) -> Result<SecretKey, Error> {
        if let Some(key) = self.key()? {
            return Ok(key);
        }
        let key = SecretKey::generate()?;
        let (id, wrapped) = self.storage.wrap_secret_key(&key)?;
        let txn = self.write()?;
        {
            let mut table = txn.open_table(VAULT).map_err(database)?;
            if !table.is_empty().map_err(database)? {
                // Another master key wrapped one: what it sealed must not be lost for a new one.
                return self.key()?.ok_or(Error::Vault);
            }
            table.insert(id.as_str(), wrapped.as_slice()).map_err(database)?;
        }
        txn.commit().map_err(database)?;
        Ok(key)
    }

    fn key(&self) -> Result<Option<SecretKey>, Error> {
        let txn = self.db.begin_read().map_err(database)?;
        let table = txn.open_table(VAULT).map_err(database)?;
        let mut there = false;
        for row in table.iter().map_err(database)? {
            let (_, wrapped) = row.map_err(database)?;
            there = true;
            if let Some(key) = self.storage.unwrap_secret_key(wrapped.value()) {
                return Ok(Some(key));
            }
        }
        if there { Err(Error::Vault) } else { Ok(None) }
    }

    fn write(&self) -> Result<WriteTransaction, Error> {
        let mut txn = self.db.begin_write().map_err(database)?;
        txn.set_quick_repair(true);
        Ok(txn)
    }
}
