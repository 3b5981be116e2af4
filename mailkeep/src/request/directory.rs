//! `directory …` as a command: files are read here, where the caller may read them.

use super::absolute;
use crate::cli::directory::{DirectoryVerb, Set};
use crate::command::{
    Command, DirectoryRemove, DirectorySet, DirectoryShow, DirectorySync, DirectoryTest, Failure, Secret,
};
use crate::output::{View, view};
use anyhow::{Context, ensure};
use auth::directory::Directory;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Largest file of settings or of authorities, bytes.
const MAX_FILE_BYTES: u64 = 48 << 10;

fn text(path: &Path) -> Result<String, anyhow::Error> {
    let shown = || path.display().to_string();
    let mut text = String::new();
    File::open(path)
        .with_context(shown)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .with_context(shown)?;
    ensure!(text.len() as u64 <= MAX_FILE_BYTES, "{}: more than {MAX_FILE_BYTES} bytes", path.display());
    Ok(text)
}

/// The command, and how its result is shown.
pub(super) fn directory(verb: DirectoryVerb) -> Result<(Command, View), Failure> {
    Ok(match verb {
        DirectoryVerb::Set(set) => {
            (self::set(*set)?, View::Done("The settings are kept. Next: mailkeep directory test"))
        }
        DirectoryVerb::Show => (Command::DirectoryShow(DirectoryShow {}), view::DIRECTORY),
        DirectoryVerb::Test { user, password } => {
            let login = match user {
                Some(name) => {
                    let password = Secret(password.read(&name)?);
                    Some((name, password))
                }
                None if password.is_given() => {
                    return Err(Failure::usage("a password goes with --try USER"));
                }
                None => None,
            };
            (Command::DirectoryTest(DirectoryTest { login }), view::DIRECTORY_TEST)
        }
        DirectoryVerb::Sync { dry_run, accept_loss } => {
            (Command::DirectorySync(DirectorySync { dry_run, accept_loss }), view::DIRECTORY_SYNC)
        }
        DirectoryVerb::Remove => (
            Command::DirectoryRemove(DirectoryRemove {}),
            View::Done("The directory is forgotten; its users stay and can't log in."),
        ),
    })
}

fn set(set: Set) -> Result<Command, Failure> {
    let Set { from, mut flags, password } = set;
    flags.complete();
    if let Some(path) = &flags.ca {
        flags.ca_pem = Some(text(path)?);
    }
    if let Some(path) = flags.userlist.as_mut().filter(|path| !path.as_os_str().is_empty()) {
        *path = absolute(path)?;
    }
    let mut directory = None;
    if let Some(path) = from {
        let read: Directory = toml::from_str(&text(&path)?).with_context(|| path.display().to_string())?;
        directory = Some(Box::new(read));
    }
    let named = flags.bind_dn.as_deref().or(directory.as_ref().and_then(|read| read.bind_dn.as_deref()));
    let asks = named.is_some_and(|dn| !dn.is_empty()) || password.is_given();
    let password = if asks { Some(Secret(password.read(named.unwrap_or("the bind DN"))?)) } else { None };
    Ok(Command::DirectorySet(DirectorySet { directory, flags, password }))
}
