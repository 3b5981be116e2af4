//! The engine on a real store: against a model server that lies, cuts and changes, and against Dovecot.

mod bounds;
mod crashes;
mod dovecot;
mod drops;
mod histories;
mod lies;
mod runs;
mod server;

use super::access::{Access, Login, Mechanism, Secret, Tls, Trust};
use super::engine::{Patience, archive_with};
use super::imap::Bounds;
use super::imap::client::Options;
use super::job::{Deletion, FilterFacts, Into, MailboxJob, Protocol, Rules, Start};
use crate::testing::Installation;
use crate::{Archiver, Run, State};
use server::Server;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashSet};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;
use storage::{Cancel, ContentHash, FolderPath, Limits, Storage};

/// An installation.
struct House(Installation);

impl Deref for House {
    type Target = Installation;
    fn deref(&self) -> &Installation {
        &self.0
    }
}

impl House {
    fn new() -> House {
        House::with_bytes(1 << 20)
    }

    /// With this bound for messages.
    fn with_bytes(max_message_bytes: u64) -> House {
        House(Installation::new(Limits { max_message_bytes, ..Limits::default() }))
    }

    /// Archives, and checks that the account agrees with itself.
    fn run(&self, jobs: &[MailboxJob<'_>], patience: &Patience) -> Run {
        let start = Start {
            source: "test".into(),
            into: "alice".into(),
            who: "local:test".into(),
            parallel: 2,
            until: None,
        };
        let run = archive_with(&self.archiver, &start, jobs, patience, &|_| {}, &Cancel::default()).unwrap();
        let sums = run.sums;
        assert_eq!(
            sums.seen,
            sums.archived + sums.already + sums.moved + sums.filtered + sums.failed,
            "{run:?}"
        );
        assert_eq!(self.archiver.run(run.id).unwrap(), run, "the ledger has what was returned");
        run
    }

    /// As [`folders`].
    fn folders(&self) -> BTreeMap<String, Vec<ContentHash>> {
        folders(&self.storage)
    }

    fn folder(&self, path: &str) -> Vec<ContentHash> {
        folder(&self.storage, path)
    }

    fn reasons(&self, run: &Run) -> Vec<String> {
        self.archiver.items(run.id).unwrap().0.into_iter().map(|item| item.reason).collect()
    }
}

/// Identities in each folder of the archive that has messages, sorted; every message is read whole.
fn folders(storage: &Storage) -> BTreeMap<String, Vec<ContentHash>> {
    let paths = storage.folders().into_iter().map(|info| info.path.to_string());
    let all = paths.map(|path| (folder(storage, &path), path));
    all.filter(|(hashes, _)| !hashes.is_empty()).map(|(hashes, path)| (path, hashes)).collect()
}

fn folder(storage: &Storage, path: &str) -> Vec<ContentHash> {
    let view = storage.view(&FolderPath::new(path).unwrap()).unwrap();
    let mut rows = storage.rows(&view, &view.uids);
    let mut hashes = Vec::new();
    while let Some(batch) = rows.next_batch().unwrap() {
        for row in batch {
            let message = storage.message(&row).unwrap();
            let mut reader = message.reader();
            while reader.next_piece().unwrap().is_some() {}
            hashes.push(message.hash());
        }
    }
    hashes.sort_unstable();
    hashes
}

/// How often each message is in the archive.
fn counted(storage: &Storage) -> BTreeMap<ContentHash, usize> {
    let mut now = BTreeMap::new();
    for found in folders(storage).values().flatten() {
        *now.entry(*found).or_insert(0) += 1;
    }
    now
}

/// (archived, already, moved, filtered, failed)
fn sums(run: &Run) -> (u64, u64, u64, u64, u64) {
    let sums = run.sums;
    (sums.archived, sums.already, sums.moved, sums.filtered, sums.failed)
}

/// Wants everything but what it is told not to.
#[derive(Default)]
struct Plain {
    deletion: Option<Deletion>,
    forbidden: HashSet<ContentHash>,
    unwanted: Vec<String>,
    most_bytes: Option<u64>,
}

impl Rules for Plain {
    fn wants_folder(&self, name: &str, _special_use: &[String]) -> bool {
        !self.unwanted.iter().any(|unwanted| unwanted == name)
    }
    fn filter(&self, known: &FilterFacts) -> Option<String> {
        self.most_bytes.filter(|most| known.size > *most).map(|_| "too large".into())
    }
    fn needs_fields(&self) -> bool {
        false
    }
    fn may_change(&self) -> bool {
        false
    }
    fn fingerprint(&self) -> String {
        format!("{:?}", self.most_bytes)
    }
    fn deletion(&self) -> Option<&Deletion> {
        self.deletion.as_ref()
    }
    fn forbidden(&self, hash: &ContentHash) -> bool {
        self.forbidden.contains(hash)
    }
}

/// A login at a server on this machine.
struct Account {
    access: Access,
    login: Login,
    into: FolderPath,
    protocol: Protocol,
}

impl Account {
    fn at(port: u16) -> Account {
        Account {
            access: Access {
                host: "127.0.0.1".into(),
                port,
                tls: Tls::None,
                trust: Trust::System,
                mechanism: Mechanism::Auto,
                timeout: Duration::from_secs(1),
            },
            login: Login { user: "alice".into(), authzid: None, secret: Secret::new("secret".into()) },
            into: FolderPath::new("alice/mail").unwrap(),
            protocol: Protocol::Imap,
        }
    }
    fn of(server: &Server) -> Account {
        Account::at(server.port)
    }
    fn job<'a>(&'a self, rules: &'a dyn Rules) -> MailboxJob<'a> {
        let key = "imap:alice@test".to_owned();
        let (access, login, protocol) = (&self.access, &self.login, self.protocol);
        MailboxJob { access, login, protocol, key, into: Into::Folder(&self.into), rules }
    }
}

/// Waits that tests can afford.
fn quick() -> Patience {
    Patience {
        first: Duration::from_millis(1),
        cap: Duration::from_millis(5),
        tries: 3,
        ..Patience::default()
    }
}

/// Bounds that are soon reached.
fn tight() -> Patience {
    let bounds = Bounds { folders: 1_000, untagged: 10_000, spans: 10_000, ..Bounds::default() };
    Patience { options: Some(Options { bounds, compress: false }), ..quick() }
}

fn mail(n: usize) -> Vec<u8> {
    let body = "body ".repeat(n % 50);
    format!("From: a{n}@example.com\r\nSubject: mail {n}\r\n\r\nthis is {n}\r\n{body}\r\n").into_bytes()
}

/// Adds these messages.
fn fill(mailbox: &mut server::Mailbox, numbers: std::ops::Range<usize>) {
    for n in numbers {
        mailbox.add(&mail(n));
    }
}

fn hash(bytes: &[u8]) -> ContentHash {
    ContentHash(Sha256::digest(bytes).into())
}

fn sorted(mails: &[Vec<u8>]) -> Vec<ContentHash> {
    let mut all: Vec<ContentHash> = mails.iter().map(|mail| hash(mail)).collect();
    all.sort_unstable();
    all
}

fn ended(run: &Run) -> bool {
    matches!(run.state, State::Succeeded | State::CompletedWithErrors)
}
