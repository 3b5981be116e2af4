//! From what was said on the command line to the command that is meant, and how its result is shown.

mod audit;
mod credentials;
mod directory;
mod evidence;
mod people;
mod profile;

pub(crate) use evidence::offline;
pub(crate) use people::login;

use crate::cli::{self, BackupVerb, By, FolderVerb, KeyVerb, MessageVerb, Store, TlsVerb, Verb};
use crate::command::{
    Archive, Backup, Cat, Choice, Command, Failure, FolderComment, FolderDelete, FolderMerge, FolderMove,
    Folders, ImapTrace, IndexFailed, IndexRebuild, IndexStatus, KeyRotate, KeyShow, MessageDelete,
    MessageMove, Search, StoreAttach, StoreCompact, StoreCreate, StoreDetach, StoreList, StoreRebuild,
    StoreRename, StoreRetry, StoreState, StoreStats, TlsReload, Verify, VerifyLast,
};
use crate::output::{View, view};
use anyhow::Context;
use std::path::{Path, PathBuf};

/// The command and its view. Passwords are asked for here.
pub(crate) fn command(verb: Verb, by: &By) -> Result<(Command, View), Failure> {
    Ok(match verb {
        Verb::User(user) => return people::user(user),
        Verb::Group(group) => return Ok(people::group(group)),
        Verb::Access(access) => return Ok(people::access(access)),
        Verb::Passwd { password } => return people::own_password(&password, by),
        Verb::Directory(verb) => return directory::directory(verb),
        Verb::Archive(archive) => {
            let path = absolute(&archive.path)?;
            let format = archive.format.map(Into::into);
            let (into, deleted_too) = (archive.into, archive.deleted_too);
            (Command::Archive(Archive { path, into, format, deleted_too }), view::RUN)
        }
        Verb::Folders { user } => (Command::Folders(Folders { user }), view::FOLDERS),
        Verb::Folder(folder) => self::folder(folder),
        Verb::Message(message) => self::message(message),
        Verb::Search(search) => {
            let query = search.query.join(" ");
            let cli::Search { archives, folder, limit, count, no_snippets, .. } = search;
            let view = if count { view::COUNT } else { View::Hits };
            let snippets = !no_snippets;
            (Command::Search(Search { archives, query, folder, limit, count, snippets }), view)
        }
        Verb::Cat { folder, uid } => (Command::Cat(Cat { folder, uid }), View::Bytes),
        Verb::Store(store) => return self::store(store),
        Verb::Evidence(asked) => return evidence::command(asked),
        Verb::Index(index) => return Ok(self::index(index)),
        Verb::Verify(verify) => return Ok(self::verify(verify)),
        Verb::Runs { which } => return Ok(profile::runs(which)),
        Verb::Session(verb) => return Ok(credentials::session(verb)),
        Verb::Profile(verb) => return profile::profile(verb),
        Verb::Schedule(verb) => return profile::schedule(verb),
        Verb::Jobs { which } => return Ok(profile::jobs(which)),
        Verb::Tls(TlsVerb::Reload) => (Command::TlsReload(TlsReload {}), view::CERTIFICATE),
        Verb::Trace { user, minutes } => (Command::ImapTrace(ImapTrace { user, minutes }), View::Bytes),
        Verb::Audit(asked) => return audit::command(asked),
        Verb::Backup(BackupVerb { what: None, dir: Some(dir), with_key, verify_all }) => {
            let dir = absolute(&dir)?;
            (Command::Backup(Backup { dir, with_key, verify_all }), view::BACKUP)
        }
        Verb::Key(KeyVerb::Show) => (Command::KeyShow(KeyShow {}), view::KEY),
        Verb::Key(KeyVerb::Rotate { output }) => {
            let output = output.as_deref().map(absolute).transpose()?;
            (Command::KeyRotate(KeyRotate { output }), view::ROTATED)
        }
        Verb::Backup(_)
        | Verb::Key(_)
        | Verb::Restore(_)
        | Verb::Init(_)
        | Verb::Serve(_)
        | Verb::Demo(_)
        | Verb::Unit { .. }
        | Verb::Completions { .. }
        | Verb::Man { .. } => {
            return Err(Failure::usage("this is no command for a data directory"));
        }
    })
}

fn folder(folder: FolderVerb) -> (Command, View) {
    let command = match folder {
        FolderVerb::Comment { folder, text, remove } => {
            let text = if remove { Some(String::new()) } else { text };
            return (Command::FolderComment(FolderComment { folder, text }), view::COMMENT);
        }
        FolderVerb::Move { from, to } => Command::FolderMove(FolderMove { from, to }),
        FolderVerb::Merge { from, into } => Command::FolderMerge(FolderMerge { from, into }),
        FolderVerb::Delete { folder, with_messages, yes } => {
            Command::FolderDelete(FolderDelete { folder, with_messages, yes })
        }
    };
    (command, view::CHANGED)
}

fn message(message: MessageVerb) -> (Command, View) {
    let choice = |which: cli::Which| {
        let cli::Which { folder, uids, search } = which;
        Choice { folder, uids, search }
    };
    let view = |dry_run| if dry_run { view::HITS } else { view::CHANGED };
    match message {
        MessageVerb::Move { which, to, dry_run } => {
            let which = choice(which);
            (Command::MessageMove(MessageMove { which, to, dry_run }), view(dry_run))
        }
        MessageVerb::Delete { which, dry_run, yes } => {
            let which = choice(which);
            (Command::MessageDelete(MessageDelete { which, dry_run, yes }), view(dry_run))
        }
    }
}

fn index(index: crate::cli::Index) -> (Command, View) {
    let command = match index {
        crate::cli::Index::Rebuild { store, attachments } => {
            Command::IndexRebuild(IndexRebuild { store, attachments })
        }
        crate::cli::Index::Status { failed: false } => Command::IndexStatus(IndexStatus {}),
        crate::cli::Index::Status { failed: true } => {
            return (Command::IndexFailed(IndexFailed {}), view::FAILED_ATTACHMENTS);
        }
    };
    (command, view::INDEXES)
}

fn verify(asked: crate::cli::Verify) -> (Command, View) {
    let crate::cli::Verify { sample, resume, last } = asked;
    let command = match last {
        true => Command::VerifyLast(VerifyLast {}),
        false => Command::Verify(Verify { store: None, sample, resume }),
    };
    (command, View::Report)
}

fn store(store: Store) -> Result<(Command, View), Failure> {
    Ok(match store {
        Store::Verify { store } => (Command::Verify(Verify { store, ..Verify::default() }), View::Report),
        Store::Rebuild { store, accept_loss, new_master } => {
            let command = StoreRebuild { store, accept_loss, new_master };
            (Command::StoreRebuild(command), view::REBUILT)
        }
        Store::List => (Command::StoreList(StoreList {}), view::STORES),
        Store::Stats { store } => (Command::StoreStats(StoreStats { store }), view::STORE_STATS),
        Store::Create { name, path } => {
            let path = path.as_deref().map(absolute).transpose()?;
            (Command::StoreCreate(StoreCreate { name, path }), view::STORES)
        }
        Store::Attach { dir, key } => {
            let (dir, key) = (absolute(&dir)?, key.as_deref().map(absolute).transpose()?);
            (Command::StoreAttach(StoreAttach { dir, key }), view::STORES)
        }
        Store::Compact { store, dry_run } => {
            let view = if dry_run { view::COMPACTABLE } else { view::COMPACTED };
            (Command::StoreCompact(StoreCompact { store, dry_run }), view)
        }
        Store::Detach { store } => (Command::StoreDetach(StoreDetach { store }), view::DETACHED),
        Store::State { store, state } => {
            (Command::StoreState(StoreState { store, state: state.into() }), view::STORES)
        }
        Store::Rename { store, name } => (Command::StoreRename(StoreRename { store, name }), view::STORES),
        Store::RetryOpen { store } => (Command::StoreRetry(StoreRetry { store }), view::STORES),
    })
}

/// The path as the server can find it, wherever it runs.
fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    Ok(std::path::absolute(path).with_context(|| path.display().to_string())?)
}
