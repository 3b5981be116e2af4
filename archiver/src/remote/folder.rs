//! What is new in one folder: facts first, then what the rules and the moves leave of it, many messages a command.
//!
//! Invariant: every UID that is asked for is counted once: archived, there already, moved, filtered or failed; only what the server
//! says is gone meanwhile is not. A message that breaks the connection twice is a gap, and the rest is fetched.

use super::checkpoint::Change;
use super::engine::Desk;
use super::fault::Fault;
use super::imap::fetch::Fetched;
use super::imap::select::{Selected, first, pieces};
use super::job::{FilterFacts, Into};
use super::link::Link;
use super::mailbox::{Plan, place};
use super::moves::{Leavers, email_id};
use crate::Format;
use crate::feed::{Arrived, Claim, Slot, SourceId};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use storage::{ContentHash, Incoming, InternalDate, SourceFlags, Uid, UidRanges};

/// Messages whose facts are in memory at once.
const CHUNK: u64 = 1_000;
/// Messages of one command …
const GROUP_MESSAGES: usize = 100;
/// … and their bytes.
const GROUP_BYTES: u64 = 2 << 20;
/// Commands under way at once.
const AHEAD: usize = 4;
/// Times that a message may break the connection.
const MAX_BLAME: u32 = 2;
/// Bytes of a header that say where a message goes.
const MAX_HEADER: u64 = 1 << 20;

/// What is known of a folder while it is read.
pub(crate) struct Work<'a> {
    pub(crate) raw: &'a [u8],
    pub(crate) source: &'a str,
    pub(crate) target: usize,
    pub(crate) no: u32,
    pub(crate) validity: Option<u32>,
    /// Whether what left other folders can have come into this one.
    pub(crate) may_move: bool,
    pub(crate) claim: Claim,
    gaps: UidRanges,
}

impl<'a> Work<'a> {
    /// `strays`: what counts as there wherever it came into the target folder from.
    pub(crate) fn new(
        plan: &'a Plan,
        selected: &Selected,
        uids: &UidRanges,
        may_move: bool,
        strays: Arc<HashSet<ContentHash>>,
    ) -> Work<'a> {
        let (validity, present) = (selected.uid_validity.unwrap_or(0), uids.clone());
        let free = move |occurrence: &str| {
            let other = occurrence.split_once(':');
            let other = other.and_then(|(v, uid)| Some((v.parse::<u32>().ok()?, uid.parse::<u32>().ok()?)));
            other.is_none_or(|(other, uid)| other != validity || !present.contains(Uid(uid)))
        };
        Work {
            raw: &plan.folder.raw,
            source: &plan.source,
            target: plan.target,
            no: plan.checkpoint.no,
            validity: selected.uid_validity,
            may_move,
            claim: Claim { free: Arc::new(free), walking: plan.checkpoint.walking, strays },
            gaps: plan.checkpoint.gap_uids(),
        }
    }

    /// What the archive notes of a message there.
    pub(crate) fn occurrence(&self, uid: u32) -> String {
        format!("{}:{uid}", self.validity.unwrap_or(0))
    }
}

/// What a server says of a message without sending it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Meta {
    pub(crate) date: Option<InternalDate>,
    pub(crate) size: u64,
    pub(crate) flags: SourceFlags,
    pub(crate) seen: bool,
    pub(crate) email_id: u64,
    fields: Vec<u8>,
}

/// Fetches these messages.
pub(crate) fn fetch(
    desk: &Desk<'_>,
    link: &mut Link<'_>,
    work: &Work<'_>,
    todo: &UidRanges,
    leavers: &mut Leavers,
) -> Result<(), Fault> {
    let mut rest = todo.subtract(&work.gaps);
    while !rest.is_empty() {
        let chunk = first(&rest, CHUNK);
        rest = rest.subtract(&chunk);
        some(desk, link, work, &chunk, leavers, false)?;
    }
    // What failed before is tried by itself, so that it can't spoil anything.
    let mut rest = todo.intersect(&work.gaps);
    while !rest.is_empty() {
        let chunk = first(&rest, CHUNK);
        rest = rest.subtract(&chunk);
        some(desk, link, work, &chunk, leavers, true)?;
    }
    Ok(())
}

fn some(
    desk: &Desk<'_>,
    link: &mut Link<'_>,
    work: &Work<'_>,
    chunk: &UidRanges,
    leavers: &mut Leavers,
    careful: bool,
) -> Result<(), Fault> {
    let metas = facts(desk, link, work, chunk)?;
    let unknown = chunk.subtract(&UidRanges::from_spans(metas.keys().map(|uid| (*uid, *uid))));
    missing(desk, link, work, &unknown, "the server says nothing about it")?;
    let mut wanted = BTreeMap::new();
    let most = desk.line.storage.limits().max_message_bytes;
    for (uid, meta) in metas {
        if meta.size > most {
            failed(
                desk,
                work,
                uid,
                format!("the server says that it has {} bytes; at most {most} are archived", meta.size),
            )?;
            continue;
        }
        let known = FilterFacts {
            date: meta.date,
            size: meta.size,
            seen: Some(meta.seen),
            fields: meta.fields.clone(),
        };
        match desk.job.rules.filter(&known) {
            Some(reason) => filtered(desk, work, uid, reason)?,
            None => {
                wanted.insert(uid, meta);
            }
        }
    }
    leavers.take(desk, link, work, &mut wanted)?;
    bodies(desk, link, work, wanted, leavers, careful)
}

/// Facts of messages; what wasn't asked for is passed over, and of two answers the first counts.
fn facts(
    desk: &Desk<'_>,
    link: &mut Link<'_>,
    work: &Work<'_>,
    uids: &UidRanges,
) -> Result<BTreeMap<u32, Meta>, Fault> {
    let mut metas = BTreeMap::new();
    link.within(work.raw, work.validity, |client| {
        let mut items = "(UID FLAGS INTERNALDATE RFC822.SIZE".to_owned();
        if client.offers("OBJECTID") {
            items.push_str(" EMAILID");
        }
        if desk.job.rules.needs_fields() {
            items.push_str(" BODY.PEEK[HEADER.FIELDS (FROM SUBJECT)]");
        }
        items.push(')');
        client.fetch(uids, &items, &mut |fetched| {
            let Some(uid) = fetched.uid.filter(|uid| uids.contains(Uid(*uid))) else { return Ok(()) };
            if let Some(size) = fetched.size {
                metas.entry(uid).or_insert_with(|| Meta {
                    date: fetched.date,
                    size,
                    flags: fetched.source_flags(),
                    seen: fetched.has("\\Seen"),
                    email_id: fetched.email_id.as_deref().map_or(0, email_id),
                    fields: fetched.header.unwrap_or_default(),
                });
            }
            Ok(())
        })
    })
    .or_else(|fault| match fault {
        // One by one below.
        Fault::Refused { .. } => Ok(()),
        fault => Err(fault),
    })?;
    Ok(metas)
}

/// Messages that the server didn't send: those that it still has are failed, the others went meanwhile.
fn missing(
    desk: &Desk<'_>,
    link: &mut Link<'_>,
    work: &Work<'_>,
    uids: &UidRanges,
    reason: &str,
) -> Result<(), Fault> {
    for piece in pieces(uids) {
        let keys = format!("UID {}", super::imap::names::set(&piece));
        let there = link.within(work.raw, work.validity, |client| client.search(&keys));
        let there = match there {
            Ok(there) => there.intersect(&piece),
            Err(Fault::Refused { .. }) => piece.clone(),
            Err(fault) => return Err(fault),
        };
        for uid in there.iter() {
            failed(desk, work, uid.0, reason.to_owned())?;
        }
        let went = piece.len() - there.len();
        if went > 0 {
            tracing::debug!(folder = %work.source, went, "messages went while they were fetched");
            desk.line.send(Slot::Went(work.target, went))?;
        }
    }
    Ok(())
}

pub(crate) fn failed(desk: &Desk<'_>, work: &Work<'_>, uid: u32, reason: String) -> Result<(), Fault> {
    desk.line.send(Slot::Note(vec![Change::Failed { no: work.no, uid, reason: reason.clone() }]))?;
    desk.skip(work.target, place(work.source, uid), reason, true)
}

fn filtered(desk: &Desk<'_>, work: &Work<'_>, uid: u32, reason: String) -> Result<(), Fault> {
    let uids = UidRanges::from_spans([(uid, uid)]);
    desk.line.send(Slot::Note(vec![Change::Filtered { no: work.no, uids }]))?;
    desk.skip(work.target, place(work.source, uid), reason, false)
}

/// A FETCH that was sent.
struct Sent {
    tag: String,
    uids: Vec<u32>,
}

/// Fetches messages whole.
fn bodies(
    desk: &Desk<'_>,
    link: &mut Link<'_>,
    work: &Work<'_>,
    mut wanted: BTreeMap<u32, Meta>,
    leavers: &mut Leavers,
    mut careful: bool,
) -> Result<(), Fault> {
    let mut blame: HashMap<u32, u32> = HashMap::new();
    while !wanted.is_empty() {
        let mut waiting = groups(&wanted, careful);
        let mut sent: VecDeque<Sent> = VecDeque::new();
        let done = round(desk, link, work, &mut wanted, leavers, &mut waiting, &mut sent);
        let fault = match done {
            Ok(()) => continue,
            Err(fault) if fault.may_pass() => fault,
            Err(fault) => return Err(fault),
        };
        // Servers answer in order: the first that is outstanding was under way.
        careful = true;
        let culprit = sent.front().and_then(|sent| sent.uids.iter().find(|uid| wanted.contains_key(uid)));
        if let Some(uid) = culprit.copied().filter(|_| !matches!(fault, Fault::Busy { .. })) {
            let count = blame.entry(uid).or_insert(0);
            *count += 1;
            if *count >= MAX_BLAME {
                wanted.remove(&uid);
                failed(desk, work, uid, fault.to_string())?;
                link.progressed();
            }
        }
        link.failed(fault)?;
    }
    Ok(())
}

/// Commands that are to be sent: UIDs in order, few enough and small enough.
fn groups(wanted: &BTreeMap<u32, Meta>, careful: bool) -> VecDeque<Vec<u32>> {
    let mut all: VecDeque<Vec<u32>> = VecDeque::new();
    let mut bytes = 0;
    for (uid, meta) in wanted {
        let fits = !careful && bytes + meta.size <= GROUP_BYTES;
        match all.back_mut().filter(|group| fits && group.len() < GROUP_MESSAGES) {
            Some(group) => {
                group.push(*uid);
                bytes += meta.size;
            }
            None => {
                all.push_back(vec![*uid]);
                bytes = meta.size;
            }
        }
    }
    all
}

/// One connection's worth of fetching. Ends when all was asked for once; what a NO concerned is asked for by itself.
fn round(
    desk: &Desk<'_>,
    link: &mut Link<'_>,
    work: &Work<'_>,
    wanted: &mut BTreeMap<u32, Meta>,
    leavers: &mut Leavers,
    waiting: &mut VecDeque<Vec<u32>>,
    sent: &mut VecDeque<Sent>,
) -> Result<(), Fault> {
    let mut absent = Vec::new();
    link.inside(work.raw, work.validity)?;
    while !waiting.is_empty() || !sent.is_empty() {
        while sent.len() < AHEAD
            && let Some(uids) = waiting.pop_front()
        {
            let set = UidRanges::from_spans(uids.iter().map(|uid| (*uid, *uid)));
            // Before it is sent: if that fails, the first is to blame for nothing more than being first.
            sent.push_back(Sent { tag: String::new(), uids });
            let tag = link.client()?.send_fetch(&set, "(UID BODY.PEEK[])")?;
            if let Some(last) = sent.back_mut() {
                last.tag = tag;
            }
        }
        let Some(Sent { tag, .. }) = sent.front() else { break };
        let tag = tag.clone();
        let mut got = 0;
        let done = link.client()?.finish_fetch(&tag, &mut |fetched| {
            got += u64::from(message(desk, work, wanted, leavers, fetched)?);
            Ok(())
        });
        if got > 0 {
            link.progressed();
        }
        match done {
            Ok(()) => {
                let Some(Sent { uids, .. }) = sent.pop_front() else { break };
                absent.extend(uids.into_iter().filter(|uid| wanted.contains_key(uid)));
            }
            Err(Fault::Refused { text, .. }) => {
                let Some(Sent { uids, .. }) = sent.pop_front() else { break };
                let left: Vec<u32> = uids.iter().copied().filter(|uid| wanted.contains_key(uid)).collect();
                match (uids.len(), left.first()) {
                    (1, Some(uid)) => {
                        wanted.remove(uid);
                        failed(desk, work, *uid, format!("the server refuses to send it: {text}"))?;
                    }
                    _ => waiting.extend(left.into_iter().map(|uid| vec![uid])),
                }
            }
            Err(fault) => return Err(fault),
        }
    }
    for uid in &absent {
        wanted.remove(uid);
    }
    let absent = UidRanges::from_spans(absent.into_iter().map(|uid| (uid, uid)));
    missing(desk, link, work, &absent, "the server didn't send it")
}

/// Takes a message that was sent; whether it was one that was asked for.
fn message(
    desk: &Desk<'_>,
    work: &Work<'_>,
    wanted: &mut BTreeMap<u32, Meta>,
    leavers: &mut Leavers,
    fetched: Fetched,
) -> Result<bool, Fault> {
    let (Some(uid), Some(body)) = (fetched.uid, fetched.body) else { return Ok(false) };
    let Some(meta) = wanted.remove(&uid) else { return Ok(false) };
    match body {
        Err(reason) => failed(desk, work, uid, reason)?,
        Ok(incoming) if incoming.content.is_empty() => {
            failed(desk, work, uid, "the server sent nothing as the message".into())?;
        }
        Ok(incoming) => {
            if incoming.content.len() != meta.size {
                let (said, sent) = (meta.size, incoming.content.len());
                tracing::debug!(folder = %work.source, uid, said, sent, "the server says another size than it sends");
            }
            // What the facts didn't show may have moved all the same.
            if !leavers.take_same(desk, work, uid, &meta, &incoming.hash)? {
                hand_on(desk, work, uid, &meta, incoming)?;
            }
        }
    }
    Ok(true)
}

fn hand_on(desk: &Desk<'_>, work: &Work<'_>, uid: u32, meta: &Meta, incoming: Incoming) -> Result<(), Fault> {
    let targets = match desk.job.into {
        Into::Folder(_) => vec![work.target],
        Into::Multidrop(route) => {
            let start = incoming.content.read(0..MAX_HEADER)?;
            match route.folders(header(&start)) {
                Ok(paths) if !paths.is_empty() => paths
                    .into_iter()
                    .map(|path| desk.line.target(work.source, Some(path), Format::Imap, true))
                    .collect(),
                Ok(_) => return filtered(desk, work, uid, "it goes to no folder".into()),
                Err(reason) => return filtered(desk, work, uid, reason),
            }
        }
    };
    desk.line.arrived(Arrived {
        targets: &targets,
        place: place(work.source, uid),
        occurrence: work.occurrence(uid),
        date: meta.date,
        flags: meta.flags,
        incoming,
        no: work.no,
        id: SourceId::Uid(uid),
        email_id: meta.email_id,
        claim: &work.claim,
    })?;
    Ok(())
}

/// A message's header with its blank line, as far as there is one.
pub(crate) fn header(start: &[u8]) -> &[u8] {
    let end = memchr::memmem::find(start, b"\r\n\r\n").map_or(start.len(), |at| at + 4);
    if start.starts_with(b"\r\n") {
        start.get(..2).unwrap_or_default()
    } else {
        start.get(..end).unwrap_or_default()
    }
}
