//! One POP3 maildrop: what is new by unique id, left on the server, deleted only by rule.
//!
//! Invariant: a message is known by its unique id only if nobody else in the maildrop has it; all others are fetched in every run, and
//! identity decides. A message that breaks the connection twice is a failed item, and the rest is fetched.

use super::checkpoint::Change;
use super::deletion::Checks;
use super::engine::Desk;
use super::fault::{Fault, shown};
use super::folder::header;
use super::job::{FilterFacts, Into};
use super::mailbox::{count, source};
use super::pop3::Client;
use crate::feed::{Arrived, Claim, Slot, SourceId};
use crate::{Format, Item, Sums, names};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use storage::{Incoming, SourceFlags};

/// What the one folder of a maildrop is called.
const INBOX: &str = "Inbox";
/// Times that a message may break the connection.
const MAX_BLAME: u32 = 2;
/// Bytes of a header that say where a message goes.
const MAX_HEADER: u64 = 1 << 20;

/// A message of the listing.
#[derive(Debug, Clone)]
struct Listed {
    number: u32,
    size: u64,
    /// Its unique id, if nobody else has it.
    id: Option<String>,
}

impl Listed {
    /// What it is remembered by within the run.
    fn name(&self) -> String {
        self.id.as_ref().map_or_else(|| format!("#{}", self.number), |id| format!("={id}"))
    }
}

/// What is kept over connections.
struct Drop<'a> {
    desk: &'a Desk<'a>,
    no: u32,
    source: String,
    target: usize,
    walking: bool,
    /// Ids that earlier runs archived.
    known: HashSet<String>,
    handled: HashSet<String>,
    counted: bool,
    failures: u32,
    blame: HashMap<String, u32>,
    /// What is being fetched.
    current: Option<Listed>,
}

/// Archives a maildrop.
pub(crate) fn archive(desk: &Desk<'_>) -> Result<(), Fault> {
    let checkpoint = desk.checkpoints.folders(&[format!("{}\n{INBOX}", desk.job.key)])?.into_iter().next();
    let checkpoint = checkpoint.ok_or_else(|| Fault::Database("the checkpoint is missing".into()))?;
    let path = match desk.job.into {
        Into::Folder(into) => Some(names::folder(into, &[INBOX.to_owned()], desk.line.storage.limits())),
        Into::Multidrop(_) => None,
    };
    let source = source(&desk.job.key, INBOX);
    let target = desk.line.target(&source, path, Format::Pop3, true);
    let no = checkpoint.no;
    if checkpoint.uid_validity.is_none() {
        desk.line.send(Slot::Note(vec![Change::Begin { no, uid_validity: 1 }]))?;
    }
    let mut drop = Drop {
        desk,
        no,
        source,
        target,
        walking: checkpoint.uid_validity.is_none() || checkpoint.walking,
        known: desk.checkpoints.uidls(no)?.into_keys().collect(),
        handled: HashSet::new(),
        counted: false,
        failures: 0,
        blame: HashMap::new(),
        current: None,
    };
    loop {
        match drop.session() {
            Ok(()) => return Ok(()),
            Err(fault) => drop.failed(fault)?,
        }
    }
}

impl Drop<'_> {
    fn failed(&mut self, fault: Fault) -> Result<(), Fault> {
        if !fault.may_pass() {
            return Err(fault);
        }
        self.failures += 1;
        if let Some(listed) = self.current.take().filter(|_| !matches!(fault, Fault::Busy { .. })) {
            let count = self.blame.entry(listed.name()).or_insert(0);
            *count += 1;
            if *count >= MAX_BLAME {
                self.handled.insert(listed.name());
                self.failures = 0;
                self.skip(&listed, fault.to_string(), true)?;
            }
        }
        let busy = matches!(fault, Fault::Busy { .. });
        let patience = self.desk.patience;
        let tries = if self.counted || busy { patience.tries } else { patience.tries.min(2) };
        if self.failures > tries {
            return Err(fault);
        }
        let asked = match &fault {
            Fault::Busy { wait, .. } => *wait,
            _ => None,
        };
        self.desk.net.sleep(patience.wait(self.failures.max(1), asked))
    }

    fn skip(&self, listed: &Listed, reason: String, failed: bool) -> Result<(), Fault> {
        let place = format!("{};{}", self.source, listed.name());
        self.desk.skip(self.target, shown(place.as_bytes()), reason, failed)
    }

    fn session(&mut self) -> Result<(), Fault> {
        let desk = self.desk;
        let mut client = Client::open(desk.job.access, desk.job.login, &desk.net)?;
        let all = listing(&mut client)?;
        let present: Arc<HashSet<String>> = Arc::new(all.iter().filter_map(|one| one.id.clone()).collect());
        if !self.counted {
            self.counted = true;
            let already = present.iter().filter(|id| self.known.contains(*id)).count() as u64;
            count(desk, self.target, all.len() as u64, already, 0)?;
            let gone = self.known.iter().filter(|id| !present.contains(*id));
            let gone = gone.map(|id| Change::UidlGone { no: self.no, uidl: id.clone() });
            desk.line.send(Slot::Note(gone.collect()))?;
        }
        for listed in &all {
            let known = listed.id.as_ref().is_some_and(|id| self.known.contains(id));
            if known || self.handled.contains(&listed.name()) {
                continue;
            }
            self.one(&mut client, listed, &present)?;
            self.handled.insert(listed.name());
            self.failures = 0;
        }
        desk.line.send(Slot::Note(vec![Change::Looked {
            no: self.no,
            uid_next: None,
            messages: Some(all.len() as u64),
            highest_mod_seq: None,
            rules: String::new(),
        }]))?;
        if desk.job.rules.deletion().is_some() {
            return self.delete(client, &all);
        }
        // Nothing is marked, so that nothing depends on the answer.
        if let Err(fault) = client.quit() {
            tracing::debug!(%fault, "saying goodbye");
        }
        Ok(())
    }

    fn one(
        &mut self,
        client: &mut Client,
        listed: &Listed,
        present: &Arc<HashSet<String>>,
    ) -> Result<(), Fault> {
        let desk = self.desk;
        let (rules, limits) = (desk.job.rules, desk.line.storage.limits());
        let most = limits.max_message_bytes;
        if listed.size > most {
            let reason =
                format!("the server says that it has {} bytes; at most {most} are archived", listed.size);
            return self.skip(listed, reason, true);
        }
        let mut known = FilterFacts { size: listed.size, ..FilterFacts::default() };
        if !rules.needs_fields()
            && let Some(reason) = rules.filter(&known)
        {
            return self.skip(listed, reason, false);
        }
        self.current = Some(listed.clone());
        let body = client.retr(listed.number, limits);
        // Only who breaks the connection is to blame for it.
        if !matches!(&body, Err(fault) if fault.may_pass()) {
            self.current = None;
        }
        let incoming = match body {
            Ok(Ok(incoming)) => incoming,
            Ok(Err(reason)) => return self.skip(listed, reason, true),
            Err(Fault::Refused { text, .. }) => {
                return self.skip(listed, format!("the server refuses to send it: {text}"), true);
            }
            Err(fault) => return Err(fault),
        };
        if incoming.content.is_empty() {
            return self.skip(listed, "the server sent nothing as the message".into(), true);
        }
        let start = incoming.content.read(0..MAX_HEADER)?;
        if rules.needs_fields() {
            known.fields = header(&start).to_vec();
            if let Some(reason) = rules.filter(&known) {
                return self.skip(listed, reason, false);
            }
        }
        let targets = match desk.job.into {
            Into::Folder(_) => vec![self.target],
            Into::Multidrop(route) => match route.folders(header(&start)) {
                Ok(paths) if !paths.is_empty() => paths
                    .into_iter()
                    .map(|path| desk.line.target(&self.source, Some(path), Format::Pop3, true))
                    .collect(),
                Ok(_) => return self.skip(listed, "it goes to no folder".into(), false),
                Err(reason) => return self.skip(listed, reason, false),
            },
        };
        self.hand_on(listed, incoming, &targets, present)
    }

    fn hand_on(
        &self,
        listed: &Listed,
        incoming: Incoming,
        targets: &[usize],
        present: &Arc<HashSet<String>>,
    ) -> Result<(), Fault> {
        let present = Arc::clone(present);
        let (id, occurrence, claim) = match &listed.id {
            Some(id) => {
                let free = move |other: &str| !present.contains(other);
                let claim = Claim { free: Arc::new(free), walking: self.walking, strays: Arc::default() };
                (SourceId::Uidl(id.clone()), id.clone(), claim)
            }
            // Nothing tells it from its likes: the first n of an identity are the n that are there.
            None => (
                SourceId::None,
                "?".into(),
                Claim { free: Arc::new(|_| true), walking: true, strays: Arc::default() },
            ),
        };
        self.desk.line.arrived(Arrived {
            targets,
            place: shown(format!("{};{}", self.source, listed.name()).as_bytes()),
            occurrence,
            date: None,
            flags: SourceFlags::default(),
            incoming,
            no: self.no,
            id,
            email_id: 0,
            claim: &claim,
        })?;
        Ok(())
    }

    /// Deletes by rule what has a unique id and was read back; it counts once the server has confirmed the end.
    fn delete(&self, mut client: Client, all: &[Listed]) -> Result<(), Fault> {
        let desk = self.desk;
        let Some(deletion) = desk.job.rules.deletion() else { return Ok(()) };
        desk.barrier()?;
        let checks = Checks::new(desk, deletion);
        let placed = desk.checkpoints.uidls(self.no)?;
        let mut gone = Vec::new();
        for listed in all {
            let Some(id) = listed.id.as_ref() else { continue };
            let Some(placed) = placed.get(id) else { continue };
            let place = shown(format!("{};{}", self.source, listed.name()).as_bytes());
            let checked = checks.find(placed).and_then(|checked| {
                if !checks.allows(placed, &checked, None) {
                    return Ok(false);
                }
                if checked.row.size != listed.size {
                    return Err(format!(
                        "the source says {} bytes, the archive {}",
                        listed.size, checked.row.size
                    ));
                }
                checks.read_back(placed, &checked.row).map(|()| true)
            });
            match checked {
                Ok(true) if deletion.dry_run => gone.push((id.clone(), place)),
                Ok(true) => match client.delete(listed.number) {
                    Ok(()) => gone.push((id.clone(), place)),
                    Err(Fault::Refused { text, .. }) => {
                        tracing::warn!(message = %place, %text, "not deleted")
                    }
                    Err(fault) => return Err(fault),
                },
                Ok(false) => {}
                Err(reason) => tracing::warn!(message = %place, %reason, "not deleted at the source"),
            }
        }
        client.quit()?;
        let reason = if deletion.dry_run { "would be deleted" } else { "deleted" };
        let items = gone.iter().map(|(_, place)| Item { place: place.clone(), reason: reason.into() });
        desk.line.send(Slot::Deleted(items.collect()))?;
        if !deletion.dry_run {
            let deleted = Sums { deleted: gone.len() as u64, ..Sums::default() };
            desk.line.send(Slot::Count(self.target, deleted))?;
            let changes = gone.into_iter().map(|(uidl, _)| Change::UidlGone { no: self.no, uidl });
            desk.line.send(Slot::Note(changes.collect()))?;
        }
        Ok(())
    }
}

/// All messages; ids that are missing or repeated are none.
fn listing(client: &mut Client) -> Result<Vec<Listed>, Fault> {
    let sizes = client.list()?;
    let ids = if sizes.is_empty() { None } else { client.uidl()? };
    let mut times: HashMap<&str, u32> = HashMap::new();
    for (_, id) in ids.iter().flatten() {
        *times.entry(id).or_insert(0) += 1;
    }
    let unique = ids.iter().flatten().filter(|(_, id)| times.get(id.as_str()) == Some(&1));
    let by_number: HashMap<u32, String> = unique.map(|(number, id)| (*number, id.clone())).collect();
    let mut seen = HashSet::new();
    let listed = sizes.into_iter().filter(|(number, _)| seen.insert(*number));
    Ok(listed.map(|(number, size)| Listed { number, size, id: by_number.get(&number).cloned() }).collect())
}
