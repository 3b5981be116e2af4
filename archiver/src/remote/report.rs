//! Trying a mailbox out, and waiting for news of it.
//!
//! Invariant: nothing is archived and nothing changed at the source.

use super::checkpoint::{Checkpoint, Checkpoints};
use super::connect::{self, Traffic};
use super::fault::{Fault, shown};
use super::imap::client::{Client, Options};
use super::imap::select::Folder;
use super::job::{MailboxJob, Protocol};
use super::mailbox::checkpoint_key;
use super::pop3;
use crate::Archiver;
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::Cancel;

/// RFC 2177: a client should end IDLE within 29 minutes.
const IDLE: Duration = Duration::from_secs(25 * 60);
/// How often a server without IDLE is asked, or one that has no NOTIFY for its other folders.
const ASK: Duration = Duration::from_secs(60);

/// What a mailbox looks like from here.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// The folders by name, those first that would be archived.
    pub folders: Vec<ReportFolder>,
    /// What can be better.
    pub warnings: Vec<String>,
}

/// A folder of a report.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ReportFolder {
    /// Decoded, levels separated by `/`, without control characters.
    pub name: String,
    /// What the server uses it for.
    pub special_use: Vec<String>,
    /// Messages; none where the server doesn't say.
    pub messages: Option<u64>,
    /// Whether the rules want it.
    pub wanted: bool,
}

/// Connects, logs in and lists what is there.
/// # Errors
/// What is wrong, and what to do about it.
pub(crate) fn test_mailbox(
    job: &MailboxJob<'_>,
    limits: &storage::Limits,
    cancel: &Cancel,
) -> Result<Report, Fault> {
    let net = net(cancel);
    if job.protocol == Protocol::Pop3 {
        let mut client = pop3::Client::open(job.access, job.login, &net)?;
        let messages = client.list()?.len() as u64;
        let mut warnings = Vec::new();
        if messages > 0 && client.uidl()?.is_none() {
            warnings.push("the server has no unique ids (UIDL): every run fetches everything".into());
        }
        client.quit()?;
        let folder = ReportFolder {
            name: "Inbox".into(),
            special_use: Vec::new(),
            messages: Some(messages),
            wanted: true,
        };
        return Ok(Report { folders: vec![folder], warnings });
    }
    let mut client = Client::open(job.access, job.login, &net, limits, &Options::of(job.access))?;
    let wanted = |folder: &Folder| job.rules.wants_folder(&folder.name(), &folder.special_use);
    let mut folders = Vec::new();
    for folder in client.folders(&|_| true)? {
        folders.push(ReportFolder {
            name: shown(folder.name().as_bytes()),
            messages: folder.figures.and_then(|figures| figures.messages),
            wanted: wanted(&folder),
            special_use: folder.special_use,
        });
    }
    let order = |folder: &ReportFolder| {
        (!folder.wanted, !folder.name.eq_ignore_ascii_case("INBOX"), folder.name.to_lowercase())
    };
    folders.sort_by_cached_key(order);
    let mut warnings = Vec::new();
    if job.rules.deletion().is_some_and(|rule| !rule.force_without_uidplus)
        && !client.offers("UIDPLUS")
        && !client.offers("IMAP4REV2")
    {
        warnings.push(
            "the server can't expunge exactly what is named (no UIDPLUS): nothing will be deleted there"
                .into(),
        );
    }
    if !folders.iter().any(|folder| folder.wanted) {
        warnings.push("the rules want none of its folders; name those that are wanted (--include)".into());
    }
    client.logout();
    Ok(Report { folders, warnings })
}

/// Waits until something may be new (IDLE, with NOTIFY where offered; else by asking every minute), or for `longest`. What has
/// changed since the last run ends the wait at once. A lost connection counts as news: the run that follows finds out.
/// # Errors
/// The login failed, or the server can't be reached.
pub(crate) fn watch(
    archiver: &Archiver,
    job: &MailboxJob<'_>,
    longest: Duration,
    cancel: &Cancel,
) -> Result<(), Fault> {
    let net = net(cancel);
    let end = Instant::now() + longest;
    let left = || end.saturating_duration_since(Instant::now());
    if job.protocol == Protocol::Pop3 {
        // A maildrop is locked while somebody is in it: between looks it is left alone.
        return net.sleep(ASK.min(left()));
    }
    let limits = archiver.storage.limits();
    let mut client = Client::open(job.access, job.login, &net, limits, &Options::of(job.access))?;
    let told_of_others = client.notify()?;
    let folders = client.folders(&|folder| job.rules.wants_folder(&folder.name(), &folder.special_use))?;
    let inbox = folders.iter().find(|folder| folder.raw.eq_ignore_ascii_case(b"INBOX")).or(folders.first());
    let Some(inbox) = inbox else { return net.sleep(ASK.min(left())) };
    if changed(archiver, job, &folders)? {
        return Ok(());
    }
    client.forget_news();
    let told_of_all = told_of_others || folders.len() == 1;
    let known = client.examine(&inbox.raw, None)?;
    // What came between the list and here would be told by nobody any more.
    if inbox.figures.is_some_and(|figures| figures.uid_next != known.uid_next) {
        return Ok(());
    }
    client.forget_news();
    while !left().is_zero() {
        let can_wait = client.offers("IDLE");
        let time = if can_wait && told_of_all { IDLE } else { ASK };
        match client.idle(time.min(left())) {
            Ok(true) => return Ok(()),
            // The other folders are looked at by a run, which costs one command.
            Ok(false) if !told_of_all => return Ok(()),
            Ok(false) if !can_wait => net.sleep(ASK.min(left()))?,
            Ok(false) => {}
            Err(fault) if fault.may_pass() => return Ok(()),
            Err(fault) => return Err(fault),
        }
    }
    client.logout();
    Ok(())
}

/// Whether a folder's figures are others than the last run saw.
fn changed(archiver: &Archiver, job: &MailboxJob<'_>, folders: &[Folder]) -> Result<bool, Fault> {
    let keys: Vec<String> = folders.iter().map(|folder| checkpoint_key(&job.key, &folder.raw)).collect();
    let checkpoints = Checkpoints::new(&archiver.ledger).folders(&keys)?;
    let differs = |(folder, known): (&Folder, &Checkpoint)| {
        let Some(figures) = &folder.figures else { return false };
        let other = |known: Option<u64>, now: Option<u64>| known.is_some() && now.is_some() && known != now;
        known.uid_validity.is_none()
            || other(known.uid_validity.map(u64::from), figures.uid_validity.map(u64::from))
            || other(known.uid_next.map(u64::from), figures.uid_next.map(u64::from))
            || other(known.messages, figures.messages)
    };
    Ok(folders.iter().zip(&checkpoints).any(differs))
}

fn net(cancel: &Cancel) -> connect::Limits {
    connect::Limits { cancel: cancel.clone(), until: None, traffic: Arc::new(Traffic::default()) }
}
