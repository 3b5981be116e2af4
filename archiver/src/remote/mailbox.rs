//! One IMAP login: which folders there are, which have news, what left and what came.
//!
//! Folders that the server's figures show to be as the last run left them cost no command of their own. Known ones that changed are
//! looked at first, all of them, so that what left one folder is known before what came into another is fetched. Then each
//! is read (`folder`), and last what the rules say is deleted (`deletion`).
//!
//! Invariant: seen counts every message that the server has, once; what left the source stays in the archive.

use super::checkpoint::{Change, Checkpoint};
use super::engine::Desk;
use super::fault::{Fault, shown};
use super::folder::{self, Work};
use super::imap::select::{Folder, Selected, Since};
use super::job::Into;
use super::link::Link;
use super::lost::Lost;
use super::moves::Leavers;
use crate::feed::Slot;
use crate::{Format, Sums, names};
use sha2::{Digest, Sha256};
use std::cell::RefCell;
use std::collections::HashSet;
use storage::UidRanges;

/// Bytes of a source's name; longer ones are cut and end in a hash.
const MAX_SOURCE: usize = 4_096;
/// Folders in a row that end the connection before a mailbox is given up.
const MAX_DEAD: u32 = 2;

/// A folder with what is known of it.
pub(crate) struct Plan {
    pub(crate) folder: Folder,
    pub(crate) checkpoint: Checkpoint,
    /// What sightings are counted by.
    pub(crate) source: String,
    /// Where it is counted; its messages go there unless they are routed.
    pub(crate) target: usize,
    /// What the server has, once it was looked at.
    pub(crate) seen: Option<(Selected, UidRanges)>,
}

impl Plan {
    /// All UIDs that are known.
    pub(crate) fn known(&self) -> UidRanges {
        let checkpoint = &self.checkpoint;
        let gaps = checkpoint.gap_uids();
        let spans = checkpoint.settled.spans().chain(checkpoint.filtered.spans()).chain(gaps.spans());
        UidRanges::from_spans(spans.collect::<Vec<_>>())
    }
}

/// Archives all wanted folders of a login.
pub(crate) fn archive(desk: &Desk<'_>) -> Result<(), Fault> {
    let mut link = Link::new(desk);
    let Mailbox { plans, removed, sources } = plans(desk, &mut link)?;
    let rules = desk.job.rules.fingerprint();
    let mut busy = Vec::new();
    for plan in plans {
        if !quiet(desk, &plan, &rules)? || desk.job.rules.deletion().is_some() {
            busy.push(plan);
        }
    }
    let mut plans = busy;
    if plans.is_empty() && removed.is_empty() {
        link.close();
        return Ok(());
    }
    let unfinished = desk.checkpoints.begin(&desk.job.key)?;
    for plan in plans.iter_mut().filter(|plan| unfinished || plan.checkpoint.uid_validity.is_some()) {
        match look(&mut link, plan) {
            Ok(seen) => plan.seen = Some(seen),
            // It is tried again below, and counted there.
            Err(fault) if fault.ends_run() => return Err(fault),
            Err(fault) => tracing::debug!(%fault, "looking at a folder"),
        }
    }
    let mut leavers = Leavers::new(desk);
    for plan in &plans {
        if let Some((selected, uids)) = &plan.seen
            && selected.uid_validity == plan.checkpoint.uid_validity
        {
            leavers.left(desk, plan.checkpoint.no, &plan.checkpoint.settled.subtract(uids))?;
        }
    }
    for (_, checkpoint) in &removed {
        leavers.left(desk, checkpoint.no, &checkpoint.settled)?;
    }
    if unfinished {
        leavers.look_for(Lost::new(desk, sources, &plans));
    }
    let mut dead = 0;
    // What left is known until all folders were read: else a run that ends in between has forgotten what may have moved into
    // one that it didn't come to, and the next run archives it again.
    let mut gone: Vec<Change> =
        removed.iter().map(|(_, checkpoint)| Change::Removed { no: checkpoint.no }).collect();
    let mut whole = true;
    for plan in &mut plans {
        let done = read(desk, &mut link, plan, &mut leavers, &rules);
        match done {
            Ok(uids) => {
                dead = 0;
                gone.push(Change::Gone { no: plan.checkpoint.no, uids });
            }
            Err(fault) if fault.ends_run() => return Err(fault),
            Err(fault @ (Fault::Login { .. } | Fault::Tls { .. })) => return Err(fault),
            Err(fault) => {
                dead = if fault.may_pass() { dead + 1 } else { 0 };
                whole &= !fault.may_pass();
                let place = format!("{}/{}", desk.job.key, plan.folder.name());
                desk.skip(plan.target, shown(place.as_bytes()), fault.to_string(), true)?;
                // No folder is to blame where no connection comes about at all: the next one would wait as long for nothing.
                if dead >= MAX_DEAD || matches!(fault, Fault::Connect { .. }) {
                    return Err(fault);
                }
                link.progressed();
            }
        }
    }
    if whole {
        gone.push(Change::Ended { key: desk.job.key.clone() });
        desk.line.send(Slot::Note(gone))?;
    }
    if let Some(deletion) = desk.job.rules.deletion() {
        super::deletion::run(desk, &mut link, &plans, deletion)?;
    }
    link.close();
    Ok(())
}

type Known = (String, Checkpoint);

/// The folders of a mailbox.
struct Mailbox {
    /// Those that are wanted.
    plans: Vec<Plan>,
    /// Those that were there before and are no longer.
    removed: Vec<Known>,
    /// What all that are there are as sources.
    sources: HashSet<String>,
}

fn plans(desk: &Desk<'_>, link: &mut Link<'_>) -> Result<Mailbox, Fault> {
    let job = desk.job;
    let there = RefCell::new((HashSet::new(), HashSet::new()));
    let key = |raw: &[u8]| checkpoint_key(&job.key, raw);
    let folders = link.with(|client| {
        client.folders(&|folder: &Folder| {
            let (keys, sources) = &mut *there.borrow_mut();
            keys.insert(key(&folder.raw));
            sources.insert(source(&job.key, &folder.name()));
            job.rules.wants_folder(&folder.name(), &folder.special_use)
        })
    })?;
    let (there, sources) = there.into_inner();
    let keys: Vec<String> = folders.iter().map(|folder| key(&folder.raw)).collect();
    let checkpoints = desk.checkpoints.folders(&keys)?;
    let mut plans = Vec::new();
    for (folder, checkpoint) in folders.into_iter().zip(checkpoints) {
        let source = source(&job.key, &folder.name());
        let path = match job.into {
            Into::Folder(into) => {
                let levels: Vec<String> = folder.levels.iter().map(|level| names::level(level)).collect();
                Some(names::folder(into, &levels, desk.line.storage.limits()))
            }
            Into::Multidrop(_) => None,
        };
        let target = desk.line.target(&source, path, Format::Imap, true);
        plans.push(Plan { folder, checkpoint, source, target, seen: None });
    }
    let mut removed = desk.checkpoints.known(&format!("{}\n", job.key))?;
    removed.retain(|(name, _)| !there.contains(name));
    Ok(Mailbox { plans, removed, sources })
}

/// What a folder's checkpoint is called.
pub(crate) fn checkpoint_key(key: &str, raw: &[u8]) -> String {
    format!("{key}\n{}", names::level(raw))
}

/// A folder's name as a source, within storage's bound.
pub(crate) fn source(key: &str, name: &str) -> String {
    let whole = format!("{key}/{name}");
    if whole.len() <= MAX_SOURCE {
        return whole;
    }
    let mut end = MAX_SOURCE - 65;
    while !whole.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}~{}", whole.get(..end).unwrap_or_default(), hex::encode(Sha256::digest(whole.as_bytes())))
}

/// Whether the folder is as the last run left it; it is counted then.
fn quiet(desk: &Desk<'_>, plan: &Plan, rules: &str) -> Result<bool, Fault> {
    let (Some(figures), checkpoint) = (&plan.folder.figures, &plan.checkpoint) else { return Ok(false) };
    let (settled, filtered) = (checkpoint.settled.len(), checkpoint.filtered.len());
    let same_rules = filtered == 0 || (checkpoint.rules == rules && !desk.job.rules.may_change());
    let same = checkpoint.uid_validity.is_some()
        && checkpoint.uid_validity == figures.uid_validity
        && checkpoint.uid_next.is_some()
        && checkpoint.uid_next == figures.uid_next
        && checkpoint.messages == figures.messages
        && checkpoint.messages == Some(settled + filtered);
    let quiet = same && same_rules && !checkpoint.walking && checkpoint.gaps.is_empty();
    if quiet && desk.job.rules.deletion().is_none() {
        count(desk, plan.target, settled + filtered, settled, filtered)?;
    }
    Ok(quiet)
}

/// Counts what needs no message.
pub(crate) fn count(
    desk: &Desk<'_>,
    target: usize,
    there: u64,
    already: u64,
    filtered: u64,
) -> Result<(), Fault> {
    let sums = Sums { seen: already + filtered, on_server: there, already, filtered, ..Sums::default() };
    Ok(desk.line.send(Slot::Count(target, sums))?)
}

/// Opens a folder and asks what is in it.
fn look(link: &mut Link<'_>, plan: &Plan) -> Result<(Selected, UidRanges), Fault> {
    let checkpoint = &plan.checkpoint;
    let since = match (checkpoint.uid_validity, checkpoint.highest_mod_seq) {
        (Some(uid_validity), Some(mod_seq)) => Some(Since { uid_validity, mod_seq }),
        _ => None,
    };
    let raw = &plan.folder.raw;
    let mut selected = link.examine(raw, since)?;
    let validity = selected.uid_validity;
    if let (Some(vanished), Some(next)) = (selected.vanished.take(), checkpoint.uid_next) {
        let known = plan.known().subtract(&vanished);
        let news = link.within(raw, validity, |client| client.search(&format!("UID {next}:*")));
        let news = match news {
            Ok(news) => news.intersect(&UidRanges::from_spans([(next, u32::MAX)])),
            Err(Fault::Refused { .. }) => UidRanges::new(),
            Err(fault) => return Err(fault),
        };
        let all = UidRanges::from_spans(known.spans().chain(news.spans()).collect::<Vec<_>>());
        if all.len() == link.client()?.exists {
            return Ok((selected, all));
        }
    }
    let uids = link.within(raw, validity, |client| match client.all_uids() {
        // Its messages may be had all the same.
        Err(Fault::Refused { .. }) => client.uids_by_fetch(),
        done => done,
    })?;
    Ok((selected, uids))
}

/// Reads one folder; gives what was known of it and is no longer there.
fn read(
    desk: &Desk<'_>,
    link: &mut Link<'_>,
    plan: &mut Plan,
    leavers: &mut Leavers,
    rules: &str,
) -> Result<UidRanges, Fault> {
    let (selected, uids) = match plan.seen.take() {
        Some(seen) => seen,
        None => look(link, plan)?,
    };
    let no = plan.checkpoint.no;
    let validity = selected.uid_validity.filter(|_| !selected.uids_change);
    // What is walked again is in the archive already: a move into it would bring it there twice.
    let again = plan.checkpoint.uid_validity.is_some()
        && (plan.checkpoint.walking || plan.checkpoint.uid_validity != validity);
    if validity.is_none() || plan.checkpoint.uid_validity != validity {
        // Nothing that was known by UID counts any more: all is walked, and identity decides.
        let uid_validity = selected.uid_validity.unwrap_or(0);
        desk.line.send(Slot::Note(vec![Change::Begin { no, uid_validity }]))?;
        plan.checkpoint =
            Checkpoint { no, uid_validity: Some(uid_validity), walking: true, ..Checkpoint::default() };
    }
    let gone = plan.known().subtract(&uids);
    let checkpoint = &plan.checkpoint;
    let keep = checkpoint.rules == rules && !desk.job.rules.may_change();
    let settled = checkpoint.settled.intersect(&uids);
    let filtered = if keep { checkpoint.filtered.intersect(&uids) } else { UidRanges::new() };
    count(desk, plan.target, uids.len(), settled.len(), filtered.len())?;
    let todo = uids.subtract(&settled).subtract(&filtered);
    let work = Work::new(plan, &selected, &uids, !again, leavers.strays());
    folder::fetch(desk, link, &work, &todo, leavers)?;
    let complete = link.client()?.exists == uids.len();
    desk.line.send(Slot::Note(vec![Change::Looked {
        no,
        uid_next: selected.uid_next.filter(|_| complete && validity.is_some()),
        messages: complete.then_some(uids.len()),
        highest_mod_seq: selected.highest_mod_seq.filter(|_| complete),
        rules: rules.to_owned(),
    }]))?;
    plan.seen = Some((selected, uids));
    Ok(gone)
}

/// The UID's place, for people.
pub(crate) fn place(source: &str, uid: u32) -> String {
    format!("{};UID={uid}", shown(source.as_bytes()))
}
