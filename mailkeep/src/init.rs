//! `init`: a new data directory with everything in it, or nothing.
//!
//! Invariant: what is there already is never touched; a failure in the middle leaves the directory as it was.

use crate::data::Data;
use crate::keys::{Source, read_sheet};
use crate::{password, settings, tls};
use anyhow::{Context, Result, anyhow, bail};
use auth::Auth;
use conf::KeySource;
use redb::Database;
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::evidence::EvidenceKey;
use storage::{MasterKey, Storage};
use zeroize::Zeroizing;

/// The administrator's name.
const ADMIN: &str = "admin";

/// Where the master key comes from.
#[derive(Debug, Clone, Default, clap::Args)]
pub(crate) struct Key {
    /// Where the master key comes from: a new one in DIR/keys/master.key, or one that is there already
    #[arg(long, value_name = "SOURCE", conflicts_with = "from_sheet")]
    pub(crate) key_from: Option<KeyFrom>,
    /// The program, with its arguments, that prints the master key
    #[arg(long, value_name = "PROGRAM", num_args = 1.., allow_hyphen_values = true, conflicts_with = "from_sheet")]
    pub(crate) key_command: Vec<String>,
    /// Use the key of this recovery sheet (`-` for standard input) in place of a new one
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) from_sheet: Option<PathBuf>,
}

/// A source's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum KeyFrom {
    /// A new key in DIR/keys/master.key
    File,
    /// MAILKEEP_MASTER_KEY
    Environment,
    /// systemd's credential mailkeep-master-key
    Credential,
    /// What --key-command prints
    Command,
}

impl KeyFrom {
    fn name(self) -> &'static str {
        match self {
            KeyFrom::File => KeySource::File.name(),
            KeyFrom::Environment => KeySource::Environment.name(),
            KeyFrom::Credential => KeySource::Credential.name(),
            KeyFrom::Command => KeySource::Command.name(),
        }
    }
}

impl Key {
    /// The text of the new configuration file.
    fn conf(&self) -> Result<String> {
        let command = !self.key_command.is_empty();
        let from = self.key_from.or(command.then_some(KeyFrom::Command));
        if command != (from == Some(KeyFrom::Command)) {
            bail!("--key-command PROGRAM goes with --key-from command, and with no other source");
        }
        let mut text = conf::TEMPLATE.to_owned();
        let mut set = |key: &str, value: &str| {
            text = text.replacen(&format!("\n#{key} = "), &format!("\n{key} = {value}\n#{key} = "), 1);
        };
        if let Some(from) = from {
            set("from", &format!("{:?}", from.name()));
        }
        if command {
            // A list of strings is written alike in JSON and in TOML, which wants DEL escaped.
            set("command", &serde_json::to_string(&self.key_command)?.replace('\u{7f}', "\\u007f"));
        }
        Ok(text)
    }

    /// The key: of the sheet, or of its source, or a new one in its file.
    fn make(&self, data: &Data, conf: &conf::Keys) -> Result<MasterKey> {
        let source = Source::find(data, conf)?;
        let Some(path) = source.file() else {
            if self.from_sheet.is_some() {
                bail!(
                    "the master key would come from {}: put the sheet's key there, and leave --from-sheet out",
                    source.words()
                );
            }
            return source.load();
        };
        let key = match &self.from_sheet {
            Some(sheet) => read_sheet(sheet)?,
            None => MasterKey::generate()?,
        };
        key.save(path)?;
        Ok(key)
    }
}

/// Makes DATA and shows the administrator's password.
pub(crate) fn run(data: &Data, key: &Key, json: bool) -> Result<()> {
    let password = password::random()?;
    make(data, key, ADMIN, &password, true)?;
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
             The password is shown this once. Without its master key nobody can read the archive,\n\
             and nobody can restore it: keep a copy elsewhere, on paper say.\n\n\
             Next:\n  mailkeep --data {root} key export\n  mailkeep --data {root} user add NAME\n  \
             mailkeep --data {root} archive PATH --into NAME/FOLDER\n  mailkeep --data {root} serve",
            password.as_str()
        )?;
    }
    out.flush()
}

/// Makes DATA with one user.
pub(crate) fn make(
    data: &Data,
    key: &Key,
    user: &str,
    password: &Zeroizing<String>,
    admin: bool,
) -> Result<()> {
    let root = data.root();
    let was_there = claim(root)?;
    let made = fill(data, key, user, password, admin);
    if made.is_err()
        && let Err(error) = clear(root, was_there)
    {
        tracing::warn!(%error, path = %root.display(), "what init began could not be removed");
    }
    made
}

/// Makes the directory, or takes an empty one; says whether it was there.
pub(crate) fn claim(root: &Path) -> Result<bool> {
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

fn fill(data: &Data, key: &Key, user: &str, password: &Zeroizing<String>, admin: bool) -> Result<()> {
    let Some(lock) = data.try_lock()? else {
        bail!("another mailkeep is making {}", data.root().display());
    };
    for name in ["keys", "tls"] {
        let dir = data.root().join(name);
        DirBuilder::new().mode(0o700).create(&dir).with_context(|| dir.display().to_string())?;
    }
    // A configuration elsewhere is its owner's business, but it must be a good one.
    let conf_file = data.root().join("mailkeep.toml");
    tls::write_new(&conf_file, 0o600, key.conf()?.as_bytes())?;
    let conf = data.conf()?;
    tls::self_signed(&data.root().join("tls"))?;
    let key = key.make(data, &conf.keys)?;
    EvidenceKey::load_or_make(&data.evidence_key_file(), &data.evidence_pub_file())?;
    Storage::create(data.root(), &key, &settings::limits(&conf))?;
    master(data, user, password, admin)?;
    for dir in ["keys", "tls", "."] {
        sync(&data.root().join(dir))?;
    }
    drop(lock);
    Ok(())
}

/// Makes master.redb with one user; it gets its name when all is done: an interrupted init leaves none.
fn master(data: &Data, user: &str, password: &Zeroizing<String>, admin: bool) -> Result<()> {
    let making = data.root().join("master.redb.new");
    match std::fs::remove_file(&making) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(error).with_context(|| making.display().to_string());
        }
        _ => {}
    }
    let db = Database::create(&making).with_context(|| making.display().to_string())?;
    let auth = Auth::open(Arc::new(db))?;
    auth.add(user, password, admin)?;
    let caller = crate::command::Caller::local(rustix::process::geteuid().as_raw(), "in-process");
    auth.audit(&caller.who, &caller.from, "init", "ok")?;
    drop(auth);
    let master = data.master_file();
    std::fs::rename(&making, &master).with_context(|| master.display().to_string())
}

fn sync(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).with_context(|| dir.display().to_string())
}

/// Makes master.redb again where it is lost, with an administrator; all else stays.
pub(crate) fn make_master(data: &Data, password: &Zeroizing<String>) -> Result<()> {
    master(data, ADMIN, password, true)?;
    sync(data.root())
}

/// Removes what `fill` began in a directory that was empty.
pub(crate) fn clear(root: &Path, was_there: bool) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn conf_of(key: &Key) -> Result<conf::Keys> {
        Ok(conf::Conf::parse(&key.conf()?, Path::new("mailkeep.toml"))?.keys)
    }

    #[test]
    fn the_source_stands_in_the_new_configuration() {
        assert_eq!(Key::default().conf().unwrap(), conf::TEMPLATE);
        let of = |key_from, command: &[&str]| {
            let key_command = command.iter().map(|&word| word.to_owned()).collect();
            conf_of(&Key { key_from, key_command, from_sheet: None })
        };
        assert_eq!(of(Some(KeyFrom::Environment), &[]).unwrap().from, KeySource::Environment);
        assert_eq!(of(Some(KeyFrom::File), &[]).unwrap().from, KeySource::File);
        let program = ["pass", "show", "a \"quoted\" \\ name\n\u{7f}é"];
        for from in [None, Some(KeyFrom::Command)] {
            let keys = of(from, &program).unwrap();
            assert_eq!((keys.from, keys.command), (KeySource::Command, program.map(str::to_owned).to_vec()));
        }
        assert!(of(Some(KeyFrom::Command), &[]).is_err());
        assert!(of(Some(KeyFrom::File), &program).is_err());
    }
}
