//! Messages that left one folder of a source and are in another now: they move in the archive, and their bodies are not fetched again.
//!
//! Invariant: only what the server says is gone from its old folder can move, each message once; and only when it is the same by the
//! server's own identity (EMAILID, RFC 8474) and size, by size, INTERNALDATE and all bytes of its header, or by all its bytes, once fetched.

use super::checkpoint::Placed;
use super::engine::Desk;
use super::fault::Fault;
use super::folder::{Meta, Work};
use super::job::Into;
use super::link::Link;
use super::lost::{Found, Lost};
use super::mailbox::place;
use crate::feed::{Moved, Slot};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use storage::{ContentHash, FolderId, FolderPath, Row, Uid, UidRanges};

/// Messages that left, in one run; of more the rest is fetched where it turns up.
const MAX_LEAVERS: usize = 200_000;

/// A message that left.
#[derive(Debug, Clone, Copy)]
struct Leaver {
    /// The folder that it left, and its UID there.
    left: (u32, u32),
    placed: Placed,
    row: Row,
}

impl Leaver {
    fn found(&self) -> Found {
        Found { left: self.left, placed: self.placed }
    }
}

/// Those that left, by what they are found by.
#[derive(Debug, Default)]
pub(crate) struct Leavers {
    all: Vec<Option<Leaver>>,
    /// By size and INTERNALDATE.
    by_facts: HashMap<(u64, i64), Vec<usize>>,
    by_email_id: HashMap<u64, Vec<usize>>,
    by_hash: HashMap<ContentHash, Vec<usize>>,
    /// What left, and is no longer where the archive had it: a run that ended before its account was written moved it already.
    strays: Arc<HashSet<ContentHash>>,
    /// Where a run died before its account was written: what it may have archived.
    lost: Option<Lost>,
    paths: HashMap<FolderId, FolderPath>,
}

/// Half a hash of an EMAILID; never 0.
pub(crate) fn email_id(id: &[u8]) -> u64 {
    let hash: [u8; 32] = Sha256::digest(id).into();
    hash.first_chunk().map_or(1, |start| u64::from_be_bytes(*start)).max(1)
}

impl Leavers {
    pub(crate) fn new(desk: &Desk<'_>) -> Leavers {
        // Where messages go by their headers, a folder of the source is no folder of the archive.
        if matches!(desk.job.into, Into::Multidrop(_)) {
            return Leavers::default();
        }
        let folders = desk.line.storage.folders();
        let paths = folders.into_iter().map(|folder| (folder.id, folder.path)).collect();
        Leavers { paths, ..Leavers::default() }
    }

    /// These left a folder.
    pub(crate) fn left(&mut self, desk: &Desk<'_>, no: u32, uids: &UidRanges) -> Result<(), Fault> {
        if uids.is_empty() || self.paths.is_empty() {
            return Ok(());
        }
        let mut by_folder: HashMap<FolderId, Vec<(u32, Placed)>> = HashMap::new();
        for (uid, placed) in desk.checkpoints.placed(no, uids)? {
            by_folder.entry(placed.folder).or_default().push((uid, placed));
        }
        for (folder, placed) in by_folder {
            let view = self.paths.get(&folder).and_then(|path| desk.line.storage.view(path));
            let Some(view) = view.filter(|view| view.info.id == folder) else { continue };
            let wanted = UidRanges::from_spans(placed.iter().map(|(_, placed)| (placed.uid.0, placed.uid.0)));
            let mut rows = HashMap::new();
            let mut reader = desk.line.storage.rows(&view, &wanted);
            while let Some(batch) = reader.next_batch()? {
                rows.extend(batch.into_iter().map(|row| (row.uid, row)));
            }
            for (uid, placed) in placed {
                if self.all.len() + self.strays.len() >= MAX_LEAVERS {
                    break;
                }
                match rows.get(&placed.uid) {
                    Some(row) => self.add(Leaver { left: (no, uid), placed, row: *row }),
                    None => {
                        Arc::make_mut(&mut self.strays).insert(placed.hash);
                    }
                }
            }
        }
        Ok(())
    }

    /// What left, and is no longer where the archive had it.
    pub(crate) fn strays(&self) -> Arc<HashSet<ContentHash>> {
        Arc::clone(&self.strays)
    }

    /// What no account tells of is looked for too.
    pub(crate) fn look_for(&mut self, lost: Lost) {
        self.lost = Some(lost);
    }

    fn add(&mut self, leaver: Leaver) {
        let number = self.all.len();
        self.by_facts.entry((leaver.row.size, leaver.row.date.secs)).or_default().push(number);
        if leaver.placed.email_id != 0 {
            self.by_email_id.entry(leaver.placed.email_id).or_default().push(number);
        }
        self.by_hash.entry(leaver.placed.hash).or_default().push(number);
        self.all.push(Some(leaver));
    }

    /// Moves a message that was fetched and has the very bytes of one that left another folder; whether it has.
    pub(crate) fn take_same(
        &mut self,
        desk: &Desk<'_>,
        work: &Work<'_>,
        uid: u32,
        meta: &Meta,
        hash: &ContentHash,
    ) -> Result<bool, Fault> {
        if let Some(leaver) = self.stays(work.no, hash) {
            // Its place is found by its source, unless it came there from another folder: then it is named here.
            let Some(path) = self.paths.get(&leaver.placed.folder).filter(|_| work.may_move) else {
                return Ok(false);
            };
            let own = (leaver.placed.folder, leaver.placed.uid);
            let sightings = desk.line.storage.sightings(path, hash)?;
            if sightings.iter().any(|one| one.source == work.source && (one.folder, one.uid) == own) {
                return Ok(false);
            }
            send(desk, work, uid, meta, leaver.found())?;
            return Ok(true);
        }
        let number = self.find(self.by_hash.get(hash), |leaver| leaver.left.0 != work.no);
        let known = number.filter(|_| work.may_move).and_then(|number| self.all.get_mut(number)?.take());
        let found = match (known, &mut self.lost) {
            (Some(leaver), _) => Some(leaver.found()),
            (None, Some(lost)) => lost.find(desk, work, uid, hash, self.strays.contains(hash))?,
            (None, None) => None,
        };
        let moves = found.is_some();
        if let Some(found) = found {
            send(desk, work, uid, meta, found)?;
        }
        Ok(moves)
    }

    /// A message with these bytes that left this very folder: it is there again under another UID, its place in the archive is
    /// taken, and nothing else can have been moved from it.
    fn stays(&mut self, no: u32, hash: &ContentHash) -> Option<Leaver> {
        let there =
            |number: &usize| self.all.get(*number).copied().flatten().filter(|leaver| leaver.left.0 == no);
        let own = self.by_hash.get(hash).into_iter().flatten();
        let first = own.filter_map(|number| Some((there(number)?.placed.uid, *number))).min();
        self.all.get_mut(first?.1).and_then(Option::take)
    }

    fn find(&self, numbers: Option<&Vec<usize>>, fits: impl Fn(&Leaver) -> bool) -> Option<usize> {
        let there = |number: &&usize| self.all.get(**number).and_then(Option::as_ref).is_some_and(&fits);
        numbers?.iter().find(there).copied()
    }

    /// Moves those of `wanted` that left another folder, and takes them out of it.
    pub(crate) fn take(
        &mut self,
        desk: &Desk<'_>,
        link: &mut Link<'_>,
        work: &Work<'_>,
        wanted: &mut BTreeMap<u32, Meta>,
    ) -> Result<(), Fault> {
        if self.all.is_empty() || !work.may_move {
            return Ok(());
        }
        let mut unsure = Vec::new();
        let mut sure = Vec::new();
        for (uid, meta) in wanted.iter() {
            let by_id = self.by_email_id.get(&meta.email_id).filter(|_| meta.email_id != 0);
            let found = self.find(by_id, |leaver| leaver.row.size == meta.size && leaver.left.0 != work.no);
            match (found, meta.date) {
                (Some(number), _) => {
                    sure.extend(self.all.get_mut(number).and_then(Option::take).map(|one| (*uid, one)))
                }
                (None, Some(date)) => {
                    let by_facts = self.by_facts.get(&(meta.size, date.secs));
                    if self.find(by_facts, |leaver| leaver.left.0 != work.no).is_some() {
                        unsure.push(*uid);
                    }
                }
                (None, None) => {}
            }
        }
        for (uid, leaver) in sure {
            if let Some(meta) = wanted.remove(&uid) {
                send(desk, work, uid, &meta, leaver.found())?;
            }
        }
        let uids = UidRanges::from_spans(unsure.iter().map(|uid| (*uid, *uid)));
        let mut headers: HashMap<u32, Vec<u8>> = HashMap::new();
        let fetched = link.within(work.raw, work.validity, |client| {
            client.fetch(&uids, "(UID BODY.PEEK[HEADER])", &mut |fetched| {
                if let (Some(uid), Some(header)) = (fetched.uid, fetched.header) {
                    let asked = uids.contains(Uid(uid));
                    headers.extend(asked.then_some((uid, header)));
                }
                Ok(())
            })
        });
        match fetched {
            // They are fetched whole then.
            Ok(()) | Err(Fault::Refused { .. }) => {}
            Err(fault) => return Err(fault),
        }
        for uid in unsure {
            let (Some(header), Some(meta)) = (headers.remove(&uid), wanted.get(&uid)) else { continue };
            let Some(date) = meta.date else { continue };
            let numbers = self.by_facts.get(&(meta.size, date.secs)).cloned().unwrap_or_default();
            let mut tried = HashSet::new();
            for number in numbers {
                let Some(leaver) = self.all.get(number).copied().flatten() else { continue };
                // One message in many places has one header.
                if leaver.left.0 == work.no || !tried.insert(leaver.placed.hash) {
                    continue;
                }
                if desk.line.storage.message(&leaver.row)?.header()? == header {
                    self.all.get_mut(number).and_then(Option::take);
                    send(desk, work, uid, meta, leaver.found())?;
                    wanted.remove(&uid);
                    break;
                }
            }
        }
        Ok(())
    }
}

fn send(desk: &Desk<'_>, work: &Work<'_>, uid: u32, meta: &Meta, found: Found) -> Result<(), Fault> {
    let moved = Moved {
        folder: work.target,
        place: place(work.source, uid),
        from: found.placed,
        left: found.left,
        now: (work.no, uid),
        email_id: meta.email_id,
    };
    Ok(desk.line.send(Slot::Move(Box::new(moved)))?)
}
