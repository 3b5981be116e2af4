//! How the log of what vanished follows the facts, and what the tombstones of a compaction say of it.
//!
//! Invariant: a placement that came and went leaves the same rows, whether its facts are still there or compaction left
//! tombstones of them. Until a tombstone says that it went, such a placement is a ghost: nothing shows it.

use super::Work;
use crate::db::vanished::{self, Of, ROW_RUNS, Run};
use crate::store::facts::TombstoneFact;
use crate::{Error, FolderId, InternalDate, ModSeq, Uid};
use redb::ReadableTable;
use std::collections::BTreeMap;

/// What went: by kind, number of folder or archive, and mod-sequence the UIDs, each with the mod-sequence at which it came.
pub(super) type Went = BTreeMap<(Of, FolderId, ModSeq), BTreeMap<u32, ModSeq>>;

impl Work<'_> {
    /// A UID came at `came` and goes at `went`.
    pub(super) fn vanishes(&mut self, of: Of, number: FolderId, uid: Uid, came: ModSeq, went: ModSeq) {
        self.went.entry((of, number, went)).or_default().insert(uid.0, came);
    }

    /// The year that a UID goes from, as a mailbox of its own.
    pub(super) fn year_vanishes(
        &mut self,
        folder: FolderId,
        uid: Uid,
        date: InternalDate,
    ) -> Result<(), Error> {
        let year = u16::try_from(date.year()).map_err(|_| self.wrong("a date has no year"))?;
        self.gone_years.insert((folder.0, uid.0), year).map_err(|e| self.db.err(e))?;
        Ok(())
    }

    /// An archive-wide UID goes: the last placement with it went, or the last ghost.
    pub(super) fn name_vanishes(
        &mut self,
        number: FolderId,
        name: Uid,
        came: ModSeq,
        went: ModSeq,
    ) -> Result<(), Error> {
        let known = self.births.remove((number.0, name.0)).map_err(|e| self.db.err(e))?;
        let came = known.map_or(came, |known| ModSeq(known.value()));
        self.vanishes(Of::Archive, number, name, came, went);
        Ok(())
    }

    /// The placement that an archive-wide UID shows is not the first any more: when the UID came is remembered.
    pub(super) fn name_came(&mut self, number: FolderId, name: Uid, came: ModSeq) -> Result<(), Error> {
        let key = (number.0, name.0);
        let known = self.births.get(key).map_err(|e| self.err(e))?.is_some();
        if !known {
            self.births.insert(key, came.0).map_err(|e| self.db.err(e))?;
        }
        Ok(())
    }

    /// An archive-wide UID shows another placement from now on.
    pub(super) fn inherits(&mut self, number: FolderId, name: Uid, since: ModSeq) -> Result<(), Error> {
        self.heirs.insert((number.0, since.0, name.0), ()).map_err(|e| self.db.err(e))?;
        Ok(())
    }

    fn ghost(&self, of: Of, number: FolderId, uid: Uid) -> Result<Option<(u32, u64)>, Error> {
        let found = self.ghosts.get((of as u8, number.0, uid.0)).map_err(|e| self.err(e))?;
        Ok(found.map(|found| found.value()))
    }

    /// When the ghosts with an archive-wide UID came; none if there is none.
    pub(super) fn name_of_ghosts(&self, number: FolderId, name: Uid) -> Result<Option<ModSeq>, Error> {
        Ok(self.ghost(Of::Archive, number, name)?.map(|(_, came)| ModSeq(came)))
    }

    /// A tombstone says that a placement came.
    pub(super) fn ghost_comes(&mut self, t: &TombstoneFact) -> Result<(), Error> {
        let key = (Of::Folder as u8, t.folder.0, t.uid.0);
        self.ghosts.insert(key, (t.archive_uid.0, t.mod_seq.0)).map_err(|e| self.db.err(e))?;
        let number = self.archive_of(t.folder).ok_or_else(|| self.wrong("a folder has no archive"))?;
        let (count, came) = self.ghost(Of::Archive, number, t.archive_uid)?.unwrap_or((0, t.mod_seq.0));
        let key = (Of::Archive as u8, number.0, t.archive_uid.0);
        self.ghosts.insert(key, (count.saturating_add(1), came)).map_err(|e| self.db.err(e))?;
        Ok(())
    }

    /// A deletion's tombstone. Of a placement that damage took nobody knows when it came: it counts as there from the beginning.
    pub(super) fn ghost_deleted(&mut self, t: &TombstoneFact) -> Result<(), Error> {
        if self.ghost(Of::Folder, t.folder, t.uid)?.is_none() {
            self.vanishes(Of::Folder, t.folder, t.uid, ModSeq(0), t.mod_seq);
        }
        self.ghost_goes(t.folder, t.uid, t.mod_seq)
    }

    /// A ghost goes, if there is one.
    pub(super) fn ghost_goes(&mut self, folder: FolderId, uid: Uid, went: ModSeq) -> Result<(), Error> {
        let key = (Of::Folder as u8, folder.0, uid.0);
        let known = self.ghosts.remove(key).map_err(|e| self.db.err(e))?.map(|known| known.value());
        let Some((name, came)) = known else { return Ok(()) };
        self.vanishes(Of::Folder, folder, uid, ModSeq(came), went);
        let number = self.archive_of(folder).ok_or_else(|| self.wrong("a folder has no archive"))?;
        let name = Uid(name);
        let (count, came) = self.ghost(Of::Archive, number, name)?.unwrap_or((1, came));
        let key = (Of::Archive as u8, number.0, name.0);
        if count > 1 {
            self.ghosts.insert(key, (count - 1, came)).map_err(|e| self.db.err(e))?;
            return Ok(());
        }
        self.ghosts.remove(key).map_err(|e| self.db.err(e))?;
        if self.shown(number, name)?.is_none() {
            self.name_vanishes(number, name, ModSeq(came), went)?;
        }
        Ok(())
    }

    /// Writes what went.
    pub(super) fn put_vanished(&mut self) -> Result<(), Error> {
        for ((of, number, went), uids) in std::mem::take(&mut self.went) {
            let mut runs: Vec<Run> = Vec::new();
            for (uid, came) in uids {
                vanished::push(&mut runs, uid, came);
            }
            for row in runs.chunks(ROW_RUNS) {
                let Some(first) = row.first() else { continue };
                let (key, value) = ((of as u8, number.0, went.0, first.first), vanished::encode(row));
                self.vanished.insert(key, &value[..]).map_err(|e| self.db.err(e))?;
            }
        }
        Ok(())
    }
}
