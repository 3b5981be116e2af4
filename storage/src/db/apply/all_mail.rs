//! How each archive's mailbox of all messages follows the facts: what comes, goes, and moves.
//!
//! Invariant: a message with several placements in an archive has one archive-wide UID there, that of its first; the UID goes
//! with the last placement, and the placement that it shows is in the table. Which UID new placements bring is decided by who
//! writes the facts; those of stores that are older than that rule get the UID of their siblings here.

use super::Work;
use crate::db::all_mail::{self, AllMail, At, PAGE_RUNS, Run};
use crate::db::pages::Placed;
use crate::store::facts::MoveFact;
use crate::{Error, FolderId, ModSeq, MsgNo, Uid, UidRanges};
use redb::ReadableTable;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Work<'_> {
    /// A folder comes to its archive: to the one that has this name here, or to one of its own.
    pub(super) fn join(&mut self, folder: FolderId, archive: &str) {
        let named = |all: &AllMail| all.archive == archive;
        let changed = self.changes.all_mail.iter().filter(|(_, all)| named(all)).map(|(number, _)| *number);
        let known = self.state.all_mail.iter();
        let known = known.filter(|(number, all)| named(all) && !self.changes.all_mail.contains_key(number));
        let number = changed.chain(known.map(|(number, _)| *number)).min().unwrap_or(folder);
        if number == folder {
            self.changes.all_mail.insert(number, AllMail::new(archive));
        }
        self.changes.archive_of.insert(folder, number);
        if let Some(all) = self.all_mail_of(folder) {
            Arc::make_mut(&mut all.folders).insert(folder);
        }
    }

    /// The store's number of the archive that a folder is part of.
    pub(super) fn archive_of(&self, folder: FolderId) -> Option<FolderId> {
        self.changes.archive_of.get(&folder).or_else(|| self.state.archive_of.get(&folder)).copied()
    }

    fn all_mail_of(&mut self, folder: FolderId) -> Option<&mut AllMail> {
        let number = self.archive_of(folder)?;
        if !self.changes.all_mail.contains_key(&number) {
            let known = self.state.all_mail.get(&number)?.clone();
            self.changes.all_mail.insert(number, known);
        }
        self.changes.all_mail.get_mut(&number)
    }

    /// A folder's archive has this name now.
    pub(super) fn all_mail_is_of(&mut self, folder: FolderId, archive: &str) {
        if let Some(all) = self.all_mail_of(folder).filter(|all| all.archive != archive) {
            archive.clone_into(&mut all.archive);
        }
    }

    /// Something of the folder's archive changed.
    pub(super) fn all_mail_changed(&mut self, folder: FolderId, mod_seq: ModSeq) {
        if let Some(all) = self.all_mail_of(folder) {
            all.highest_mod_seq = all.highest_mod_seq.max(mod_seq);
        }
    }

    /// Raises the next archive-wide UID of a folder's archive above one that was given.
    pub(super) fn raise_archive_above(&mut self, folder: FolderId, given: Uid) -> Result<(), Error> {
        let archive = self.view(folder)?.info.path.archive().to_owned();
        self.raise_archive(&archive, Uid(given.0.saturating_add(1)))
    }

    /// What an archive-wide UID shows.
    pub(super) fn shown(&self, number: FolderId, name: Uid) -> Result<Option<At>, Error> {
        if let Some(changed) = self.renamed.get(&number).and_then(|names| names.get(&name.0)) {
            return Ok(*changed);
        }
        if !self.state.all_mail.get(&number).is_some_and(|all| all.uids.contains(name)) {
            return Ok(None);
        }
        let mut pages =
            self.all_mail_places.range((number.0, 0)..=(number.0, name.0)).map_err(|e| self.err(e))?;
        let page = pages.next_back().ok_or_else(|| self.wrong("an archive-wide UID has no page"))?;
        let page = page.map_err(|e| self.err(e))?.1;
        let runs = all_mail::decode(page.value())
            .ok_or_else(|| self.wrong("a page of archive-wide UIDs is damaged"))?;
        let run = runs.iter().find(|run| (run.first..=run.last).contains(&name.0));
        Ok(run.map(|run| run.part(name.0, name.0).at))
    }

    fn show(&mut self, number: FolderId, name: Uid, at: Option<At>) {
        self.renamed.entry(number).or_default().insert(name.0, at);
    }

    /// A placement of the message in this archive.
    fn sibling(&self, msg: MsgNo, number: FolderId) -> Result<Option<(FolderId, Uid)>, Error> {
        for entry in
            self.places.range((msg.0, 0, 0)..=(msg.0, u32::MAX, u32::MAX)).map_err(|e| self.err(e))?
        {
            let (_, folder, uid) = entry.map_err(|e| self.err(e))?.0.value();
            if self.archive_of(FolderId(folder)) == Some(number) {
                return Ok(Some((FolderId(folder), Uid(uid))));
            }
        }
        Ok(None)
    }

    /// A placement comes to a folder (it stands nowhere yet): it gets the archive-wide UID of its siblings, or shows its own.
    pub(super) fn come(&mut self, folder: FolderId, placed: &mut Placed) -> Result<(), Error> {
        let Some(number) = self.archive_of(folder) else { return Err(self.wrong("a folder has no archive")) };
        if let Some((sibling, uid)) = self.sibling(placed.row.msg, number)? {
            let known = self.find(sibling, uid)?;
            placed.archive_uid = known.ok_or_else(|| self.wrong("a placement has no row"))?.archive_uid;
            return Ok(());
        }
        let name = placed.archive_uid;
        if self.shown(number, name)?.is_some() {
            // Whose facts contradict each other keeps the first: a UID never names another message.
            tracing::error!(folder = folder.0, uid = %placed.row.uid, "an archive-wide UID is given twice");
            return Ok(());
        }
        // It was there before, as what compaction erased.
        if let Some(came) = self.name_of_ghosts(number, name)? {
            self.name_came(number, name, came)?;
        }
        self.show(number, name, Some(At { folder, uid: placed.row.uid, since: ModSeq(0) }));
        if let Some(all) = self.all_mail_of(folder) {
            all.bytes = all.bytes.saturating_add(placed.row.size);
            all.highest_mod_seq = all.highest_mod_seq.max(placed.row.mod_seq);
        }
        Ok(())
    }

    /// A placement went out of a folder (it stands nowhere any more): the message's UID shows another one, or goes too.
    pub(super) fn went(&mut self, folder: FolderId, placed: &Placed, mod_seq: ModSeq) -> Result<(), Error> {
        let Some(number) = self.archive_of(folder) else { return Err(self.wrong("a folder has no archive")) };
        self.all_mail_changed(folder, mod_seq);
        let name = placed.archive_uid;
        let here = |at: &At| (at.folder, at.uid) == (folder, placed.row.uid);
        if !self.shown(number, name)?.is_some_and(|at| here(&at)) {
            return Ok(());
        }
        let heir = self.sibling(placed.row.msg, number)?;
        self.show(number, name, heir.map(|(folder, uid)| At { folder, uid, since: mod_seq }));
        let came = placed.row.mod_seq;
        if heir.is_some() {
            self.name_came(number, name, came)?;
            self.inherits(number, name, mod_seq)?;
        } else if self.name_of_ghosts(number, name)?.is_some() {
            self.name_came(number, name, came)?;
        } else {
            self.name_vanishes(number, name, came, mod_seq)?;
        }
        if heir.is_none()
            && let Some(all) = self.all_mail_of(folder)
        {
            all.bytes = all.bytes.saturating_sub(placed.row.size);
        }
        Ok(())
    }

    /// A placement was moved: within an archive it keeps its archive-wide UID.
    pub(super) fn went_over(
        &mut self,
        m: &MoveFact,
        before: &Placed,
        placed: &mut Placed,
    ) -> Result<(), Error> {
        let (from, to) = (self.archive_of(m.from), self.archive_of(m.to));
        if from != to {
            self.went(m.from, before, m.mod_seq)?;
            placed.archive_uid = m.archive_uid;
            return self.come(m.to, placed);
        }
        let Some(number) = from else { return Err(self.wrong("a folder has no archive")) };
        self.all_mail_changed(m.to, m.mod_seq);
        let name = placed.archive_uid;
        let here = |at: &At| (at.folder, at.uid) == (m.from, m.from_uid);
        if let Some(at) = self.shown(number, name)?.filter(here) {
            self.name_came(number, name, before.row.mod_seq)?;
            self.show(number, name, Some(At { folder: m.to, uid: m.to_uid, ..at }));
        }
        Ok(())
    }

    /// Writes what changed: pages of placements, UIDs, sums.
    pub(super) fn put_all_mail(&mut self, batch: u64) -> Result<(), Error> {
        for (number, names) in std::mem::take(&mut self.renamed) {
            self.put_runs(number, &names)?;
            let Some(all) = self.changes.all_mail.get_mut(&number) else { continue };
            let (mut added, mut removed) = (Vec::new(), Vec::new());
            let last = all.uids.last();
            for (name, at) in names {
                let known = all.uids.contains(Uid(name));
                match at {
                    Some(_) if !known => added.push(name),
                    None if known => removed.push((name, name)),
                    _ => {}
                }
                if known || last.is_some_and(|last| name < last.0) {
                    all.shaken = batch;
                }
            }
            let uids = Arc::make_mut(&mut all.uids);
            if !removed.is_empty() {
                *uids = uids.subtract(&UidRanges::from_spans(removed));
            }
            if added.first().is_some_and(|first| uids.last().is_none_or(|last| *first > last.0)) {
                added.into_iter().for_each(|name| uids.push(Uid(name)));
            } else if !added.is_empty() {
                *uids = UidRanges::from_spans(uids.spans().chain(added.into_iter().map(|name| (name, name))));
            }
        }
        for (number, all) in &self.changes.all_mail {
            self.all_mail.insert(number.0, &all.encode()[..]).map_err(|e| self.db.err(e))?;
        }
        Ok(())
    }

    /// Takes the changed UIDs of an archive into its pages.
    fn put_runs(&mut self, number: FolderId, names: &BTreeMap<u32, Option<At>>) -> Result<(), Error> {
        let mut from = names.first_key_value().map(|(name, _)| *name);
        while let Some(first) = from {
            let (mut page, mut runs) = (None, Vec::new());
            let mut pages =
                self.all_mail_places.range((number.0, 0)..=(number.0, first)).map_err(|e| self.err(e))?;
            if let Some(found) = pages.next_back() {
                let (key, value) = found.map_err(|e| self.err(e))?;
                page = Some(key.value());
                runs = all_mail::decode(value.value())
                    .ok_or_else(|| self.wrong("a page of archive-wide UIDs is damaged"))?;
            }
            drop(pages);
            // Up to where the next page begins.
            let mut next = None;
            if let Some(above) = first.checked_add(1) {
                let pages = self.all_mail_places.range((number.0, above)..=(number.0, u32::MAX));
                let found = pages.map_err(|e| self.err(e))?.next().transpose().map_err(|e| self.err(e))?;
                next = found.map(|(key, _)| key.value().1);
            }
            let end = next.unwrap_or(u32::MAX);
            let within =
                || names.range(first..=end).filter(|(name, _)| next.is_none_or(|next| **name < next));
            let runs = merged(&runs, within());
            if let Some(page) = page {
                self.all_mail_places.remove(page).map_err(|e| self.db.err(e))?;
            }
            for some in runs.chunks(PAGE_RUNS) {
                let Some(begins) = some.first() else { continue };
                let value = all_mail::encode(some);
                self.all_mail_places
                    .insert((number.0, begins.first), &value[..])
                    .map_err(|e| self.db.err(e))?;
            }
            from = next.and_then(|next| names.range(next..).next()).map(|(name, _)| *name);
        }
        Ok(())
    }
}

/// A page's runs with changes taken in.
fn merged<'n>(runs: &[Run], names: impl Iterator<Item = (&'n u32, &'n Option<At>)>) -> Vec<Run> {
    let names: BTreeMap<u32, Option<At>> = names.map(|(name, at)| (*name, *at)).collect();
    let mut pieces = Vec::with_capacity(runs.len() + names.len());
    for run in runs {
        let mut first = u64::from(run.first);
        let part = |first: u64, last: u64| {
            Some(run.part(u32::try_from(first).ok()?, u32::try_from(last).ok()?)).filter(|_| first <= last)
        };
        for name in names.range(run.first..=run.last).map(|(name, _)| u64::from(*name)) {
            pieces.extend(name.checked_sub(1).and_then(|last| part(first, last)));
            first = name + 1;
        }
        pieces.extend(part(first, u64::from(run.last)));
    }
    pieces.extend(names.iter().filter_map(|(name, at)| Some(Run { first: *name, last: *name, at: (*at)? })));
    pieces.sort_unstable_by_key(|run| run.first);
    let mut all: Vec<Run> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match all.last_mut() {
            Some(before) if before.continues(&piece) => before.last = piece.last,
            _ => all.push(piece),
        }
    }
    all
}
