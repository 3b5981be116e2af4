//! Deleting at the source what is safely archived, by rule.
//!
//! Invariant: before a message is deleted, everything of this run is durable, its stored bytes were read back, decrypted and have the
//! SHA-256 that was computed when they came from the source, and the source still has a message of that size under that UID and
//! UIDVALIDITY. Never one that is flagged, nor one that legal reasons forbid. What fails a check stays, with its reason.

use super::checkpoint::{Change, Placed};
use super::engine::Desk;
use super::fault::Fault;
use super::imap::select::first;
use super::job::Deletion;
use super::link::Link;
use super::mailbox::{Plan, place};
use crate::feed::Slot;
use crate::{Item, Sums};
use std::collections::HashMap;
use storage::{FolderId, FolderPath, InternalDate, Row, Uid, UidRanges};

/// Messages that are checked and then deleted at once.
const CHUNK: u64 = 500;
const DAY: i64 = 86_400;

/// What the archive knows of a message that may be deleted.
pub(crate) struct Checked {
    pub(crate) row: Row,
    pub(crate) saved: i64,
}

/// The archive's side of the checks.
pub(crate) struct Checks<'a> {
    desk: &'a Desk<'a>,
    deletion: &'a Deletion,
    paths: HashMap<FolderId, FolderPath>,
    now: i64,
}

impl<'a> Checks<'a> {
    pub(crate) fn new(desk: &'a Desk<'a>, deletion: &'a Deletion) -> Checks<'a> {
        let folders = desk.line.storage.folders();
        let paths = folders.into_iter().map(|folder| (folder.id, folder.path)).collect();
        Checks { desk, deletion, paths, now: crate::ledger::now() }
    }

    /// Whether the rule is for messages of this age.
    fn is_due(&self, saved: i64, date: InternalDate) -> bool {
        let passed = |days: Option<u32>, since: i64| {
            days.is_none_or(|days| since.saturating_add(i64::from(days) * DAY) <= self.now)
        };
        passed(self.deletion.after_days, saved) && passed(self.deletion.older_than_days, date.secs)
    }

    /// Finds what is stored. `Err`: why it may not be deleted.
    pub(crate) fn find(&self, placed: &Placed) -> Result<Checked, String> {
        let storage = self.desk.line.storage;
        let lost = || "it is no longer where it was put in the archive".to_owned();
        let path = self.paths.get(&placed.folder).ok_or_else(lost)?;
        let view = storage.view(path).filter(|view| view.info.id == placed.folder).ok_or_else(lost)?;
        let uids = UidRanges::from_spans([(placed.uid.0, placed.uid.0)]);
        let rows = storage.rows(&view, &uids).next_batch().map_err(|error| error.to_string())?;
        let row = rows.and_then(|rows| rows.first().copied()).ok_or_else(lost)?;
        let saved = storage.saved_at(&row).map_err(|error| error.to_string())?;
        Ok(Checked { row, saved: saved.ok_or("when it was archived is not known")? })
    }

    /// Whether it may be deleted by age and by law.
    pub(crate) fn allows(&self, placed: &Placed, checked: &Checked, date: Option<InternalDate>) -> bool {
        self.is_due(checked.saved, date.unwrap_or(checked.row.date))
            && !self.desk.job.rules.forbidden(&placed.hash)
    }

    /// Reads the stored bytes back, whole.
    pub(crate) fn read_back(&self, placed: &Placed, row: &Row) -> Result<(), String> {
        let message = self.desk.line.storage.message(row).map_err(|error| error.to_string())?;
        if message.hash() != placed.hash {
            return Err("the archive has another message in its place".into());
        }
        let mut reader = message.reader();
        // The reader hashes along, and gives the last piece only when the hash is right.
        while reader.next_piece().map_err(|error| error.to_string())?.is_some() {}
        Ok(())
    }
}

/// Deletes from all folders what the rule says.
pub(crate) fn run(
    desk: &Desk<'_>,
    link: &mut Link<'_>,
    plans: &[Plan],
    deletion: &Deletion,
) -> Result<(), Fault> {
    desk.barrier()?;
    let checks = Checks::new(desk, deletion);
    let names: Vec<(u32, &Plan)> = plans.iter().map(|plan| (plan.checkpoint.no, plan)).collect();
    let known = desk.checkpoints.known(&format!("{}\n", desk.job.key))?;
    for (_, checkpoint) in known {
        let Some((no, plan)) = names.iter().find(|(no, _)| *no == checkpoint.no) else { continue };
        let Some((selected, uids)) = &plan.seen else { continue };
        // Of a folder whose UIDs don't last, nothing is known by UID.
        if selected.uid_validity.is_none() || selected.uids_change {
            continue;
        }
        if checkpoint.uid_validity != selected.uid_validity {
            continue;
        }
        let mut rest = checkpoint.settled.intersect(uids);
        while !rest.is_empty() {
            let chunk = first(&rest, CHUNK);
            rest = rest.subtract(&chunk);
            some(&checks, link, plan, *no, &chunk)?;
        }
    }
    Ok(())
}

fn some(
    checks: &Checks<'_>,
    link: &mut Link<'_>,
    plan: &Plan,
    no: u32,
    chunk: &UidRanges,
) -> Result<(), Fault> {
    let desk = checks.desk;
    // Cheap checks first: most messages are not due.
    let mut due = HashMap::new();
    for (uid, placed) in desk.checkpoints.placed(no, chunk)? {
        match checks.find(&placed) {
            Ok(checked) if checks.is_due(checked.saved, checked.row.date) => {
                due.insert(uid, (placed, checked));
            }
            Ok(_) => {}
            Err(reason) => {
                tracing::info!(message = %place(&plan.source, uid), %reason, "not deleted at the source")
            }
        }
    }
    if due.is_empty() {
        return Ok(());
    }
    let uids = UidRanges::from_spans(due.keys().map(|uid| (*uid, *uid)));
    let validity = plan.seen.as_ref().and_then(|(selected, _)| selected.uid_validity);
    let mut metas = HashMap::new();
    link.within(&plan.folder.raw, validity, |client| {
        metas.clear();
        client.fetch(&uids, "(UID FLAGS INTERNALDATE RFC822.SIZE)", &mut |fetched| {
            if let (Some(uid), Some(size), Some(_)) = (fetched.uid, fetched.size, &fetched.flags) {
                metas.insert(uid, (size, fetched.date, fetched.has("\\Flagged")));
            }
            Ok(())
        })
    })?;
    let mut good = Vec::new();
    for (uid, (placed, checked)) in &due {
        let Some((size, date, flagged)) = metas.get(uid) else { continue };
        if *flagged || !checks.allows(placed, checked, *date) {
            continue;
        }
        let verified = if *size == checked.row.size {
            checks.read_back(placed, &checked.row)
        } else {
            Err(format!("the source has {size} bytes under its UID, the archive {}", checked.row.size))
        };
        match verified {
            Ok(()) => good.push(*uid),
            Err(reason) => {
                tracing::warn!(message = %place(&plan.source, *uid), %reason, "not deleted at the source")
            }
        }
    }
    good.sort_unstable();
    let items = |reason: &str| {
        let item = |uid: &u32| Item { place: place(&plan.source, *uid), reason: reason.to_owned() };
        good.iter().map(item).collect::<Vec<_>>()
    };
    if good.is_empty() {
        return Ok(());
    }
    if checks.deletion.dry_run {
        return Ok(desk.line.send(Slot::Deleted(items("would be deleted")))?);
    }
    let uids = UidRanges::from_spans(good.iter().map(|uid| (*uid, *uid)));
    let gone = loop {
        let (client, selected) = link.select(&plan.folder.raw)?;
        if selected.uid_validity != validity || validity.is_none() {
            return Err(Fault::Lacks {
                what: "the folder's UIDVALIDITY changed: nothing is deleted in it".into(),
            });
        }
        // What is really gone is what counts, however often it was begun: a UID names no other message later.
        let keys = format!("UID {}", super::imap::names::set(&uids));
        let left =
            client.delete(&uids, checks.deletion.force_without_uidplus).and_then(|()| client.search(&keys));
        link.leave();
        match left {
            Ok(left) => break uids.subtract(&left),
            Err(fault) => link.failed(fault)?,
        }
    };
    let deleted = Sums { deleted: gone.len(), ..Sums::default() };
    let mut items = items("deleted");
    let names: Vec<String> = gone.iter().map(|uid: Uid| place(&plan.source, uid.0)).collect();
    items.retain(|item| names.contains(&item.place));
    desk.line.send(Slot::Count(plan.target, deleted))?;
    desk.line.send(Slot::Deleted(items))?;
    Ok(desk.line.send(Slot::Note(vec![Change::Gone { no, uids: gone }]))?)
}
