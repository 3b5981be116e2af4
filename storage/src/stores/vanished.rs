//! What went from a folder or an archive since a mod-sequence, and what changed, over all stores.
//!
//! Invariant: a client that knew exactly what a mailbox held at some mod-sequence knows after these answers, and after what came
//! since, exactly what it holds now; nothing is named that it can't have known. Answers cost what they name, not the mailbox:
//! in a folder UIDs and mod-sequences rise together.

use super::registry::Entry;
use super::slot::Opened;
use super::{Shared, Storage};
use crate::db::vanished::Of;
use crate::store::all_mail::PartRows;
use crate::store::columns::columns;
use crate::store::rows::StoreRows;
use crate::store::{FolderView, Part, Row, Store, Whole};
use crate::{Error, FolderId, ModSeq, Uid, UidRanges};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

impl Shared {
    /// A store's number of what a view shows: the folder's, or those of the archive.
    fn numbers_in(
        &self,
        view: &FolderView,
        entry: &Entry,
        all_mail: &mut dyn Iterator<Item = (FolderId, Vec<FolderId>)>,
    ) -> Vec<(Of, FolderId)> {
        if !view.whole_archive {
            return entry.theirs(view.info.id).map(|theirs| (Of::Folder, theirs)).into_iter().collect();
        }
        let known = self.view.read();
        let archive = view.info.path.archive();
        let is_ours = |folder: &FolderId| {
            entry.ours(*folder).is_some_and(|ours| known.archive_of(ours).is_some_and(|name| name == archive))
        };
        let parts = all_mail.filter(|(_, folders)| folders.iter().any(is_ours));
        parts.map(|(number, _)| (Of::Archive, number)).collect()
    }
}

impl Storage {
    /// The UIDs that a mailbox ([`Storage::view`] or [`Storage::all_mail`]) had at `since` and doesn't have in `view` (RFC 7162
    /// §3.2.5.1, §3.2.6). Costs what went since then.
    ///
    /// Of a year ([`Storage::in_year`]) nothing is named that is known to have been of another one. Where that is not known any more
    /// (the store was compacted since, is away, or was detached), it is named: the client never had it, and has nothing to forget.
    /// # Errors
    /// Those of the database.
    pub fn vanished(&self, view: &FolderView, since: ModSeq) -> Result<UidRanges, Error> {
        let shared = &self.shared;
        let mut spans: Vec<(u32, u32)> = Vec::new();
        for slot in shared.all_slots() {
            let entry = slot.entry();
            // Who didn't see its messages then has nothing to forget.
            if shared.was_away(&entry, since) {
                continue;
            }
            let above = if view.whole_archive { entry.above() } else { 0 };
            let raised =
                |(first, last): (u32, u32)| (first.saturating_add(above), last.saturating_add(above));
            let store = match &*slot.opened.read() {
                Opened::Off => continue,
                Opened::Open(store) => Arc::clone(store),
                Opened::Absent { shadow, .. } => {
                    let all = shadow.all_mail.iter();
                    let mut all = all.map(|(number, all)| (*number, all.folders.iter().copied().collect()));
                    for (of, number) in shared.numbers_in(view, &entry, &mut all) {
                        spans.extend(shadow.gone.since(of, number, since).into_iter().map(raised));
                    }
                    continue;
                }
            };
            let all = if view.whole_archive { store.state.read().all_mail.clone() } else { HashMap::new() };
            let mut all = all.iter().map(|(number, all)| (*number, all.folders.iter().copied().collect()));
            for (of, number) in shared.numbers_in(view, &entry, &mut all) {
                let mut went = store.db.vanished(of, number, since)?;
                if let Some(year) = view.year {
                    went = store.db.not_of_other_years(number, went, year)?;
                }
                spans.extend(went.into_iter().map(raised));
            }
        }
        for left in shared.lefts() {
            if left.was_away(since, crate::db::vanished::NEVER_TOLD) {
                continue;
            }
            for (of, number) in left.gone.numbers() {
                let meant = match of {
                    Of::Folder => !view.whole_archive && number == view.info.id,
                    Of::Archive => {
                        view.whole_archive
                            && shared.view.read().archive_of(number) == Some(view.info.path.archive())
                    }
                };
                if meant {
                    spans.extend(left.gone.since(of, number, since));
                }
            }
        }
        Ok(UidRanges::from_spans(spans).subtract(&view.uids))
    }

    /// The UIDs of a view whose mod-sequence is above `since` (RFC 7162 §3.1.4.1). Costs what it gives.
    /// # Errors
    /// Those of the database.
    pub fn changed_since(&self, view: &FolderView, since: ModSeq) -> Result<UidRanges, Error> {
        if since.0 == 0 {
            return Ok((*view.uids).clone());
        }
        if view.info.highest_mod_seq <= since {
            return Ok(UidRanges::new());
        }
        let mut spans = Vec::new();
        for part in view.parts.iter() {
            let slot = self.shared.slot(part.store)?;
            if slot.entry().attached > since.0 {
                spans.extend(part.uids.spans());
                continue;
            }
            let store = match &*slot.opened.read() {
                Opened::Off => continue,
                Opened::Open(store) => Arc::clone(store),
                Opened::Absent { shadow, .. } => {
                    // Nobody knows more of them than the highest.
                    if shadow.flags_of(part).1.is_none_or(|highest| highest > since) {
                        spans.extend(part.uids.spans());
                    }
                    continue;
                }
            };
            match part.whole {
                Whole::Folder => {
                    if let Some(first) = store.db.first_changed(part.folder, &part.uids, since)? {
                        spans.extend(part.uids.intersect(&behind(first)).spans());
                    }
                }
                Whole::AllMail { above } => {
                    let changed = changed_names(&store, part, above, since)?;
                    spans.extend(changed.into_iter().map(|uid| (uid.0, uid.0)));
                }
            }
        }
        Ok(UidRanges::from_spans(spans))
    }

    /// The highest mod-sequence of these messages of a view; none if the view has none of them.
    /// # Errors
    /// Those of the database.
    pub fn highest_of(&self, view: &FolderView, uids: &UidRanges) -> Result<Option<ModSeq>, Error> {
        let mut highest = None;
        for part in view.parts.iter() {
            let mut wanted = part.uids.intersect(uids);
            // In a folder the last one has the highest.
            if let (Whole::Folder, Some(last)) = (part.whole, wanted.last()) {
                wanted = UidRanges::from_spans([(last.0, last.0)]);
            }
            let mut rows = self.flag_rows(view, &wanted);
            while let Some(batch) = rows.next_batch()? {
                highest = batch.iter().map(|row| row.mod_seq).chain(highest).max();
            }
        }
        Ok(highest)
    }

    /// When a row's message was put into its folder: by the archiving run that brought it, or by who moved it there; seconds since
    /// 1970 (RFC 8514). None where damage took that.
    /// # Errors
    /// Those of the database; `Unavailable`.
    pub fn saved_at(&self, row: &Row) -> Result<Option<i64>, Error> {
        self.shared.store(row.store)?.db.time_of(row.came)
    }

    /// The UIDs of a view that were put into their folder from `first` to before `end`, seconds since 1970.
    /// # Errors
    /// Those of the database; `Unavailable`.
    pub fn saved_within(&self, view: &FolderView, first: i64, end: i64) -> Result<UidRanges, Error> {
        let mut spans = Vec::new();
        for part in view.parts.iter() {
            let store = self.shared.store(part.store)?;
            let times: BTreeMap<ModSeq, i64> = store.db.times()?.into_iter().collect();
            let columns = columns(&store, part)?;
            let saved = |row: &&Row| times.get(&row.came).is_some_and(|time| (first..end).contains(time));
            let found: UidRanges = columns.rows.iter().filter(saved).map(|row| row.uid).collect();
            spans.extend(found.intersect(&part.uids).spans());
        }
        Ok(UidRanges::from_spans(spans))
    }
}

fn behind(first: Uid) -> UidRanges {
    UidRanges::from_spans([(first.0, u32::MAX)])
}

/// The archive-wide UIDs of a part that show a placement which came since, or another placement than then.
fn changed_names(store: &Arc<Store>, part: &Part, above: u32, since: ModSeq) -> Result<Vec<Uid>, Error> {
    let folders: Vec<_> = {
        let state = store.state.read();
        let ids = state.all_mail.get(&part.folder).map(|all| Arc::clone(&all.folders)).unwrap_or_default();
        let changed = ids.iter().filter_map(|id| Some((*id, state.folders.get(id)?)));
        let changed = changed.filter(|(_, folder)| folder.info.highest_mod_seq > since);
        changed.map(|(id, folder)| (id, Arc::clone(&folder.uids))).collect()
    };
    let mut names: Vec<u32> = store.db.heirs(part.folder, since)?;
    for (folder, uids) in folders {
        let Some(first) = store.db.first_changed(folder, &uids, since)? else { continue };
        let mut rows = StoreRows::new(store, folder, &uids.intersect(&behind(first)));
        while let Some(batch) = rows.next_batch_of(|placed| placed.archive_uid.0)? {
            names.extend(batch);
        }
    }
    let raised = names.into_iter().map(|name| name.saturating_add(above)).map(|name| (name, name));
    let asked = UidRanges::from_spans(raised).intersect(&part.uids);
    // Of a message that lies in several folders the placement that is shown counts.
    let mut rows = PartRows::new(store, part, &asked);
    let mut changed = Vec::new();
    while let Some(batch) = rows.next_batch()? {
        changed.extend(batch.iter().filter(|row| row.mod_seq > since).map(|row| row.uid));
    }
    Ok(changed)
}
