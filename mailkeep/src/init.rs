//! `init`: a new data directory with everything in it, or nothing.
//!
//! Invariant: what is there already is never touched; a failure in the middle leaves the directory as it was.

use crate::data::Data;
use crate::{password, settings, tls};
use anyhow::{Context, Result, anyhow, bail};
use auth::Auth;
use redb::Database;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use storage::evidence::EvidenceKey;
use storage::{MasterKey, Storage};
use zeroize::Zeroizing;

/// The administrator's name.
const ADMIN: &str = "admin";

/// Makes DATA and shows the administrator's password.
pub(crate) fn run(data: &Data, json: bool) -> Result<()> {
    let password = password::random()?;
    make(data, ADMIN, &password, true)?;
    show(data, &password, json).map_err(|error| {
        anyhow!(
            "{root} was made, but the administrator's password could not be shown ({error}); set another: \
             mailkeep --data {root} user passwd {ADMIN}",
            root = data.root().display()
        )
    })
}

fn show(data: &Data, password: &Zeroizing<String>, json: bool) -> io::Result<()> {
    let (root, mut out) = (data.root().display(), io::stdout().lock());
    if json {
        let made = serde_json::json!({ "data": root.to_string(), "user": ADMIN, "password": **password });
        writeln!(out, "{made}")?;
    } else {
        writeln!(
            out,
            "Made {root}.\n\n  administrator  {ADMIN}\n  password       {}\n\n\
             The password is shown this once. Keep a copy of {}\n\
             elsewhere: without it nobody can read the archive, and nobody can restore it.\n\n\
             Next:\n  mailkeep --data {root} user add NAME\n  \
             mailkeep --data {root} archive PATH --into NAME/FOLDER\n  mailkeep --data {root} serve",
            password.as_str(),
            data.key_file().display()
        )?;
    }
    out.flush()
}

/// Makes DATA with one user.
pub(crate) fn make(data: &Data, user: &str, password: &Zeroizing<String>, admin: bool) -> Result<()> {
    let root = data.root();
    let was_there = claim(root)?;
    let made = fill(data, user, password, admin);
    if made.is_err()
        && let Err(error) = clear(root, was_there)
    {
        tracing::warn!(%error, path = %root.display(), "what init began could not be removed");
    }
    made
}

/// Makes the directory, or takes an empty one; says whether it was there.
fn claim(root: &Path) -> Result<bool> {
    let shown = || root.display().to_string();
    let was_there = match DirBuilder::new().mode(0o700).create(root) {
        Ok(()) => false,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => true,
        Err(error) => return Err(error).with_context(shown),
    };
    if was_there {
        let mut entries = std::fs::read_dir(root).with_context(shown)?;
        if let Some(entry) = entries.next() {
            let name = entry.with_context(shown)?.file_name();
            bail!(
                "{0} is not empty (it has {1}); init wants a new or an empty directory. If an init was interrupted here, it \
                 left no {2}, and no mail is in it: remove {0} then",
                root.display(),
                name.display(),
                Data::MASTER
            );
        }
        std::fs::set_permissions(root, Permissions::from_mode(0o700)).with_context(shown)?;
    }
    Ok(was_there)
}

fn fill(data: &Data, user: &str, password: &Zeroizing<String>, admin: bool) -> Result<()> {
    let Some(lock) = data.try_lock()? else {
        bail!("another mailkeep is making {}", data.root().display());
    };
    for name in ["keys", "tls"] {
        let dir = data.root().join(name);
        DirBuilder::new().mode(0o700).create(&dir).with_context(|| dir.display().to_string())?;
    }
    // A configuration elsewhere is its owner's business, but it must be a good one.
    let conf_file = data.root().join("mailkeep.toml");
    tls::write_new(&conf_file, 0o600, conf::TEMPLATE.as_bytes())?;
    let conf = data.conf()?;
    tls::self_signed(&data.root().join("tls"))?;
    let key = MasterKey::generate()?;
    key.save(&data.key_file())?;
    EvidenceKey::load_or_make(&data.evidence_key_file(), &data.evidence_pub_file())?;
    Storage::create(data.root(), &key, &settings::limits(&conf))?;
    // It gets its name when all is done: an interrupted init leaves none.
    let making = data.root().join("master.redb.new");
    let db = Database::create(&making).with_context(|| making.display().to_string())?;
    let auth = Auth::open(Arc::new(db))?;
    auth.add(user, password, admin)?;
    let caller = crate::command::Caller::local(rustix::process::geteuid().as_raw(), "in-process");
    auth.audit(&caller.who, caller.from, "init", "ok")?;
    drop(auth);
    let master = data.master_file();
    std::fs::rename(&making, &master).with_context(|| master.display().to_string())?;
    for dir in ["keys", "tls", "."] {
        let dir = data.root().join(dir);
        let sync = File::open(&dir).and_then(|dir| dir.sync_all());
        sync.with_context(|| dir.display().to_string())?;
    }
    drop(lock);
    Ok(())
}

/// Removes what `fill` began in a directory that was empty.
fn clear(root: &Path, was_there: bool) -> io::Result<()> {
    if !was_there {
        return std::fs::remove_dir_all(root);
    }
    for entry in std::fs::read_dir(root)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            std::fs::remove_dir_all(entry.path())?;
        } else {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}
