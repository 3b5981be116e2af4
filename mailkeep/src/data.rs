//! The data directory: its layout, the lock that says who works on it, and everything in it opened together.
//!
//! Invariant: whoever holds an [`Installation`] holds the lock on DATA; the lock goes with the process, however it ends.

use crate::attachments;
use crate::jobs::Jobs;
use crate::keys::{Source, rotate};
use crate::serving::Serving;
use crate::settings;
use anyhow::{Context, Result, bail};
use archiver::Archiver;
use auth::Auth;
use conf::Conf;
use parking_lot::Mutex;
use redb::Database;
use rustix::process::geteuid;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use storage::evidence::EvidenceKey;
use storage::{MasterKey, Storage};

/// Memory for pages of master.redb, which has no large table that is read whole.
const MASTER_CACHE_BYTES: usize = 8 << 20;

/// Where things lie below DATA.
#[derive(Debug, Clone)]
pub(crate) struct Data {
    root: PathBuf,
    conf: Option<PathBuf>,
}

impl Data {
    /// The database's name in DATA: it is there once `init` is done.
    pub(crate) const MASTER: &str = "master.redb";

    /// The data directory at `root`; `conf` is a configuration file elsewhere.
    pub(crate) fn new(root: PathBuf, conf: Option<PathBuf>) -> Data {
        Data { root, conf }
    }
    /// DATA itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }
    /// The configuration file.
    pub(crate) fn conf_file(&self) -> PathBuf {
        self.conf.clone().unwrap_or_else(|| self.root.join("mailkeep.toml"))
    }
    /// The key that signs heads of the evidence.
    pub(crate) fn evidence_key_file(&self) -> PathBuf {
        self.root.join("keys/evidence.key")
    }
    /// Its public half, for people.
    pub(crate) fn evidence_pub_file(&self) -> PathBuf {
        self.root.join("keys/evidence.pub")
    }
    /// The record of heads.
    pub(crate) fn evidence_dir(&self) -> PathBuf {
        self.root.join("evidence")
    }
    /// Users, runs, audit log.
    pub(crate) fn master_file(&self) -> PathBuf {
        self.root.join(Data::MASTER)
    }
    /// The socket of the command line.
    pub(crate) fn socket_file(&self) -> PathBuf {
        self.root.join("control.sock")
    }
    /// A path from the configuration, from DATA if it is relative.
    pub(crate) fn resolve(&self, path: &Path) -> PathBuf {
        self.root.join(path)
    }

    /// Says what is wrong when this is no data directory; gives its owner otherwise.
    pub(crate) fn owner(&self) -> Result<u32> {
        let root = self.root.display();
        let there = match std::fs::metadata(&self.root) {
            Ok(there) => there,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("there is no {root}; make a data directory: mailkeep --data {root} init")
            }
            Err(error) => return Err(error).with_context(|| root.to_string()),
        };
        match std::fs::metadata(self.root.join("stores")) {
            Ok(_) => Ok(there.uid()),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                bail!("{root} belongs to {}: run this as that user or as root", crate::who::name(there.uid()))
            }
            // The rest of an installation, or of an interrupted init: what it lacks is told when it is opened.
            Err(_) if self.master_file().exists() || self.root.join("keys").exists() => Ok(there.uid()),
            Err(_) => bail!(
                "{root} is no data directory of mailkeep (it has neither stores nor keys); \
                 make one in an empty directory: mailkeep --data DIR init"
            ),
        }
    }

    /// The lock on DATA, if nobody has it.
    pub(crate) fn try_lock(&self) -> Result<Option<File>> {
        let path = self.root.join("lock");
        let open = OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(&path);
        let file = open.with_context(|| path.display().to_string())?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    /// The configuration.
    pub(crate) fn conf(&self) -> Result<Conf> {
        let file = self.conf_file();
        if !file.exists() {
            bail!(
                "{} is missing: put it back from a backup, or make an empty file, which means the defaults; but if `init` was interrupted here, remove {} and run it again",
                file.display(),
                self.root.display()
            );
        }
        Ok(Conf::load(&file)?)
    }

    /// Opens all that is in DATA. `lock` comes from [`Data::try_lock`].
    pub(crate) fn open(&self, lock: File, conf: Conf) -> Result<Installation> {
        self.is_mine()?;
        let master = self.master_file();
        if !master.exists() {
            bail!(
                "{} is missing: put it back from a backup, or make a new one: mailkeep store rebuild --new-master; but if `init` was interrupted here, remove {} and run it again",
                master.display(),
                self.root.display()
            );
        }
        let (source, key) = self.master_key(&conf)?;
        // First what the key opens: with a wrong one nothing is touched.
        let storage =
            Storage::open_with(&self.root, &key, settings::limits(&conf), attachments::reader(&conf))
                .with_context(|| format!("with the master key of {} (id {})", source.words(), key.id()))?;
        let signer = EvidenceKey::load_or_make(&self.evidence_key_file(), &self.evidence_pub_file())?;
        storage.sign_with(signer.clone());
        let db = self.master()?;
        let mut auth = Auth::open_with(db.clone(), &settings::auth(&conf))?;
        if let Some(issuer) = settings::oauth(&conf, self) {
            auth = auth.with_issuer(issuer)?;
        }
        let archiver = Archiver::open(storage.clone(), db.clone())?;
        auth.seal_with(Arc::new(crate::logins::Vault(archiver.clone())));
        let key = Mutex::new(KeyInUse { id: key.id(), source });
        let data = self.clone();
        let (serving, jobs) = (Mutex::default(), Jobs::default());
        let installation = Installation {
            data,
            conf,
            auth,
            storage,
            archiver,
            signer,
            master: db,
            key,
            serving,
            jobs,
            _lock: lock,
        };
        installation.finish_rotation();
        Ok(installation)
    }

    /// Where the master key comes from, and the key.
    pub(crate) fn master_key(&self, conf: &Conf) -> Result<(Source, MasterKey)> {
        let source = Source::find(self, &conf.keys)?;
        let key = rotate::with_older(&source, source.load()?)?;
        Ok((source, key))
    }

    /// Refuses a data directory that is another user's, or that others write.
    pub(crate) fn is_mine(&self) -> Result<()> {
        let (owner, me) = (self.owner()?, geteuid().as_raw());
        if owner != me {
            // What root writes here, the owner's server could not open again.
            let name = crate::who::name(owner);
            bail!(
                "{} belongs to {name} and no server is up: run this as {name}, or start the server first",
                self.root.display()
            );
        }
        Data::only_the_owner_writes(&self.root)?;
        let keys = self.root.join("keys");
        if keys.exists() {
            Data::only_the_owner_writes(&keys)?;
        }
        Ok(())
    }

    fn master(&self) -> Result<Arc<Database>> {
        let master = self.master_file();
        Ok(Arc::new(open_database(&master).with_context(|| {
            format!("{}: the database of users and runs can't be opened", master.display())
        })?))
    }

    /// Users and audit log alone.
    pub(crate) fn auth(&self, conf: &Conf) -> Result<Auth> {
        Ok(Auth::open_with(self.master()?, &settings::auth(conf))?)
    }

    /// Refuses a directory in which others could exchange the key or the mail.
    fn only_the_owner_writes(dir: &Path) -> Result<()> {
        let mode = std::fs::metadata(dir).with_context(|| dir.display().to_string())?.mode() & 0o777;
        if mode & 0o022 != 0 {
            bail!(
                "{0} has mode {mode:04o}: others could exchange what is in it; chmod 700 {0}",
                dir.display()
            );
        }
        Ok(())
    }
}

/// Opens a database; one that had to be repaired is used only after it opened once more without.
fn open_database(path: &Path) -> Result<Database> {
    let repaired = Arc::new(AtomicBool::new(false));
    let note = repaired.clone();
    let mut builder = Database::builder();
    builder.set_cache_size(MASTER_CACHE_BYTES);
    builder.set_repair_callback(move |_| note.store(true, Ordering::Relaxed));
    let database = builder.open(path)?;
    if !repaired.load(Ordering::Relaxed) {
        return Ok(database);
    }
    tracing::warn!(path = %path.display(), "the database was not closed well and has been repaired");
    drop(database);
    Ok(Database::builder().set_cache_size(MASTER_CACHE_BYTES).open(path)?)
}

/// All of DATA, opened by this process alone.
#[derive(Debug)]
pub(crate) struct Installation {
    /// Where it lies.
    pub(crate) data: Data,
    /// Its configuration.
    pub(crate) conf: Conf,
    /// Users and audit.
    pub(crate) auth: Auth,
    /// Mail.
    pub(crate) storage: Storage,
    /// Runs.
    pub(crate) archiver: Archiver,
    /// Signs heads of the audit log.
    pub(crate) signer: EvidenceKey,
    /// The database of users and runs, for copying.
    pub(crate) master: Arc<Database>,
    /// The master key that is in use.
    pub(crate) key: Mutex<KeyInUse>,
    /// The server that runs in this process, if one does.
    pub(crate) serving: Mutex<Option<Serving>>,
    /// What runs now.
    pub(crate) jobs: Jobs,
    _lock: File,
}

/// Which master key is in use; not the key itself.
#[derive(Debug)]
pub(crate) struct KeyInUse {
    /// Its id.
    pub(crate) id: String,
    /// Where it comes from.
    pub(crate) source: Source,
}

impl Installation {
    /// Completes a change of the master key that was cut, or that waited for a store.
    fn finish_rotation(&self) {
        let source = self.key.lock().source.clone();
        let Some(path) = source.file().filter(|path| rotate::is_under_way(path)) else { return };
        match rotate::finish(&self.storage, self.archiver.profiles(), path) {
            Ok((stores, _)) => {
                for (store, why) in stores.missing {
                    tracing::warn!(store, why, "only the master key before the present one opens this store");
                }
            }
            // All that is open stays open; the next opening tries again.
            Err(error) => tracing::error!("the change of the master key is not complete: {error:#}"),
        }
    }
    /// Writes what waits for the audit log, commits the index and ends storage's threads; the last thing to do.
    pub(crate) fn close(&self) -> Result<()> {
        let (written, audit) = (self.auth.flush_logins(), self.auth.audit_flush());
        self.storage.close()?;
        written?;
        Ok(audit?)
    }
}
