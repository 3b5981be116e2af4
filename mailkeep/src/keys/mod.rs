//! Where the master key comes from, and the key files of a rotation that is under way.
//!
//! Invariant: the key is read when everything is opened, or when a sheet is made of it, and not kept by this module; where it
//! comes from is told, it itself never. What the key opens is storage's business.
//!
//! The environment variable can't be taken out of a running process's environment without unsafe code: programs that
//! mailkeep starts get theirs without it, and the documentation says who can see it.

mod program;
pub(crate) mod rotate;
mod sheet;

pub(crate) use sheet::{Given, export, import, new, read_sheet};

use crate::data::Data;
use anyhow::{Context, Result, bail};
use conf::KeySource;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;
use storage::MasterKey;
use zeroize::Zeroizing;

/// The environment variable that may hold the key.
pub(crate) const VARIABLE: &str = "MAILKEEP_MASTER_KEY";
/// The credential's name.
const CREDENTIAL: &str = "mailkeep-master-key";
/// Largest text that a key is looked for in: a key's is 87 bytes.
const MAX_TEXT_BYTES: u64 = 4_096;

/// A place that a master key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// [`VARIABLE`].
    Environment,
    /// A file that systemd made.
    Credential(PathBuf),
    /// What a program prints, and how long it may take.
    Command(Vec<String>, Duration),
    /// The key file.
    File(PathBuf),
}

impl Source {
    /// The place that the configuration names, or the first that is there.
    /// # Errors
    /// The named one is not there.
    pub(crate) fn find(data: &Data, keys: &conf::Keys) -> Result<Source> {
        let variable = std::env::var_os(VARIABLE).is_some();
        let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        let credential = credentials.map(|dir| dir.join(CREDENTIAL)).filter(|path| path.exists());
        choose(data, keys, variable, credential)
    }

    /// Its name in the configuration.
    pub(crate) fn kind(&self) -> KeySource {
        match self {
            Source::Environment => KeySource::Environment,
            Source::Credential(_) => KeySource::Credential,
            Source::Command(..) => KeySource::Command,
            Source::File(_) => KeySource::File,
        }
    }

    /// In words, for people; never the key.
    pub(crate) fn words(&self) -> String {
        match self {
            Source::Environment => format!("the environment variable {VARIABLE}"),
            Source::Credential(path) => format!("the credential {}", path.display()),
            Source::Command(program, _) => {
                format!("the command {}", program.first().map_or("", String::as_str))
            }
            Source::File(path) => format!("the file {}", path.display()),
        }
    }

    /// Whether mailkeep itself may exchange the key there.
    pub(crate) fn file(&self) -> Option<&Path> {
        match self {
            Source::File(path) => Some(path),
            _ => None,
        }
    }

    /// Reads the key.
    /// # Errors
    /// There is none, or something else; in words that tell nothing of what was read.
    pub(crate) fn load(&self) -> Result<MasterKey> {
        let text = match self {
            Source::File(path) => {
                return match MasterKey::load(path) {
                    Err(storage::Error::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                        Err(missing(path))
                    }
                    other => Ok(other?),
                };
            }
            Source::Environment => {
                let value = std::env::var(VARIABLE).with_context(|| self.words())?;
                Zeroizing::new(value.into_bytes())
            }
            Source::Credential(path) => read_bounded(path)?,
            Source::Command(program, time) => program::output(program, *time)
                .with_context(|| format!("{}, which should print the master key", self.words()))?,
        };
        MasterKey::parse(&text).with_context(|| {
            format!(
                "{} holds no master key: what is wanted is the text of a key file, \
                 mailkeep-master-key-1: and 64 digits; nothing was touched",
                self.words()
            )
        })
    }
}

fn choose(data: &Data, keys: &conf::Keys, variable: bool, credential: Option<PathBuf>) -> Result<Source> {
    let file = || Source::File(data.resolve(&keys.file));
    let command = || {
        let time = Duration::from_secs(keys.command_timeout_secs);
        (!keys.command.is_empty()).then(|| Source::Command(keys.command.clone(), time))
    };
    let none = |what: &str| {
        format!("[keys] from = {:?}, but there is {what}; nothing was touched", keys.from.name())
    };
    Ok(match keys.from {
        KeySource::Auto if variable => Source::Environment,
        KeySource::Auto => match credential.map(Source::Credential).or_else(command) {
            Some(source) => source,
            None => file(),
        },
        KeySource::Environment if variable => Source::Environment,
        KeySource::Environment => bail!("{}", none(&format!("no environment variable {VARIABLE}"))),
        KeySource::Credential => {
            let what = format!("no $CREDENTIALS_DIRECTORY/{CREDENTIAL} (systemd: LoadCredential=)");
            Source::Credential(credential.with_context(|| none(&what))?)
        }
        KeySource::Command => command().with_context(|| none("no [keys] command"))?,
        KeySource::File => file(),
    })
}

fn missing(path: &Path) -> anyhow::Error {
    anyhow::anyhow!(
        "the master key {} is missing, and without it the archive can't be read: put your copy of it there, \
         with mode 0600, or type in the recovery sheet (mailkeep key import FILE), or give the key by {VARIABLE}, a systemd \
         credential or a command (docs/keys.md); nothing was touched",
        path.display()
    )
}

/// A small file, whole.
fn read_bounded(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    use std::io::Read;
    let shown = || path.display().to_string();
    let file = std::fs::File::open(path).with_context(shown)?;
    // Reserved whole, so that growing leaves no copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(4_097));
    file.take(MAX_TEXT_BYTES + 1).read_to_end(&mut text).with_context(shown)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(from: KeySource, command: &[&str]) -> conf::Keys {
        let command = command.iter().map(|&word| word.to_owned()).collect();
        conf::Keys { from, command, ..conf::Keys::default() }
    }

    #[test]
    fn the_first_place_that_is_there_is_taken_unless_one_is_named() {
        let data = Data::new("/srv/mail".into(), None);
        let file = Source::File("/srv/mail/keys/master.key".into());
        let credential = || Some(PathBuf::from("/run/credentials/x"));
        let found = |from, command: &[&str], variable, credential| {
            choose(&data, &keys(from, command), variable, credential).map_err(|error| error.to_string())
        };
        use KeySource::{Auto, Command, Credential, Environment, File};
        assert_eq!(found(Auto, &[], false, None), Ok(file.clone()));
        assert_eq!(found(Auto, &["p"], true, credential()).unwrap().kind(), Environment);
        assert_eq!(found(Auto, &["p"], false, credential()).unwrap().kind(), Credential);
        assert_eq!(found(Auto, &["p"], false, None).unwrap().kind(), Command);
        assert_eq!(found(File, &["p"], true, credential()), Ok(file));
        for (from, word) in [(Environment, VARIABLE), (Credential, CREDENTIAL), (Command, "command")] {
            let error = found(from, &[], false, None).unwrap_err();
            assert!(error.contains(word) && error.contains("nothing was touched"), "{error}");
        }
    }

    #[test]
    fn no_text_but_a_key_files_is_a_key_and_none_is_shown() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("credential");
        MasterKey::generate().unwrap().save(&path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let source = Source::Credential(path.clone());
        let id = source.load().unwrap().id();
        std::fs::write(&path, text.trim_end()).unwrap();
        assert_eq!(source.load().unwrap().id(), id, "without its line end");
        for bad in [String::new(), format!("{text}more"), text.replace(':', "="), "x".repeat(9_000)] {
            std::fs::write(&path, &bad).unwrap();
            let error = format!("{:#}", source.load().unwrap_err());
            assert!(error.contains("no master key") && !error.contains(&text[22..40]), "{error}");
        }
    }
}
