//! For tests of other crates: an installation on a machine in memory, whose power fails at any sync or change.
//!
//! Invariant: the disk is the one that storage's own tests crash (`pack::disk::crash`); databases beside the stores lie on it too and
//! crash with them. Only the feature `testing` builds it, and no program has that.

use crate::pack::disk::crash::{CrashDisk, Loss};
use crate::pack::disk::{DatabaseFile, Disk};
use crate::stores::{create_on, open_on};
use crate::{Error, Limits, MasterKey, Storage};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the installation lies on the disk.
const DATA: &str = "data";

/// A machine with an installation. Clones are the same machine.
#[derive(Clone)]
pub struct Machine {
    disk: CrashDisk,
    key: MasterKey,
    limits: Limits,
}

impl Machine {
    /// A machine that works, with an empty store.
    /// # Errors
    /// Those of [`Storage::create`].
    pub fn new(limits: Limits) -> Result<Machine, Error> {
        let machine = Machine { disk: CrashDisk::new(), key: MasterKey::generate()?, limits };
        create_on(&machine.arc(), Path::new(DATA), &machine.key, &machine.limits)?;
        Ok(machine)
    }

    /// Opens the stores; their search indexes lie below `indexes`, on the real disk.
    /// # Errors
    /// Those of [`Storage::open`].
    pub fn open(&self, indexes: &Path) -> Result<Storage, Error> {
        let indexes = Some(indexes.to_owned());
        open_on(&self.arc(), Path::new(DATA), indexes, &self.key, self.limits.clone())
    }

    /// Opens a database of its own in a file, which is made if need be, durably.
    /// # Errors
    /// `Io`, `Database`.
    pub fn database(&self, name: &str) -> Result<redb::Database, Error> {
        let path = place(name);
        let file = match self.disk.open(&path, true) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let made = self.disk.create(&path).map_err(Error::io(&path))?;
                self.disk.sync_dir(Path::new(DATA)).map_err(Error::io(DATA))?;
                made
            }
            opened => opened.map_err(Error::io(&path))?,
        };
        let opened = redb::Builder::new().create_with_backend(DatabaseFile(file));
        opened.map_err(|error| Error::Database { path, source: Box::new(error.into()) })
    }

    /// The bytes of a file beside the stores, as they are now.
    #[must_use]
    pub fn file(&self, name: &str) -> Vec<u8> {
        self.disk.bytes(&place(name))
    }

    /// Puts a file beside the stores, in the place of one of that name; nobody may have it open.
    pub fn put_file(&self, name: &str, bytes: &[u8]) {
        self.disk.put(&place(name), bytes);
    }

    /// The power fails at the sync number `n` from now on (from 0), which does not happen.
    pub fn crash_at_sync(&self, n: u64) {
        self.disk.crash_at_sync(n);
    }

    /// The power fails within the change number `n` from now on (from 0): a write, a length, a name, or a sync.
    pub fn crash_at_change(&self, n: u64) {
        self.disk.crash_at_change(n);
    }

    /// Whether the power failed.
    #[must_use]
    pub fn crashed(&self) -> bool {
        self.disk.crashed()
    }

    /// No stop is to come any more.
    pub fn heal(&self) {
        self.disk.heal();
    }

    /// The machine as its next start finds it: of what was not synced all, nothing, or any part is there, torn or out of order, as
    /// `seed` has it. Seeds below 8 have them all, 0 keeps everything, 1 nothing.
    #[must_use]
    pub fn after(&self, seed: u64) -> Machine {
        Machine { disk: self.disk.after(Loss::any(seed)), ..self.clone() }
    }

    fn arc(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }
}

fn place(name: &str) -> PathBuf {
    Path::new(DATA).join(name)
}
