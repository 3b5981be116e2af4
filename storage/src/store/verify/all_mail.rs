//! Each archive's mailbox of all messages against the placements that it shows, both ways.

use super::Job;
use crate::Error;
use crate::db::all_mail::AllMail;
use crate::store::all_mail::AllMailRows;
use crate::store::rows::StoreRows;
use crate::{FolderId, UidRanges};

impl Job<'_> {
    /// Every archive-wide UID has a placement, every placement an archive-wide UID, and the sums are right.
    pub(super) fn all_mail(&self) -> Result<(), Error> {
        let mut archives: Vec<(FolderId, AllMail)> =
            self.store.state.read().all_mail.iter().map(|(number, all)| (*number, all.clone())).collect();
        archives.sort_by_key(|(number, _)| *number);
        for (number, all) in archives {
            if self.slice.has(u64::from(number.0)) {
                self.archive(number, &all)?;
            }
        }
        Ok(())
    }

    fn archive(&self, number: FolderId, all: &AllMail) -> Result<(), Error> {
        // What changes meanwhile is compared the next time.
        let tell = |what: String| {
            let same = self.store.state.read().all_mail.get(&number) == Some(all);
            if same { self.tell_folder(number, format!("all mail of its archive: {what}")) } else { Ok(()) }
        };
        let mut rows = AllMailRows::new(self.store, number, &all.uids);
        let (mut count, mut bytes) = (0, 0u64);
        while let Some(batch) = self.sound(rows.next_batch(), tell)?.flatten() {
            self.cancel.check()?;
            count += batch.len() as u64;
            bytes = batch.iter().fold(bytes, |sum, row| sum.saturating_add(row.size));
        }
        if (count, bytes) != (all.uids.len(), all.bytes) {
            tell(format!(
                "{count} rows of {bytes} bytes for {} UIDs of {} bytes",
                all.uids.len(),
                all.bytes
            ))?;
        }
        let folders = self.store.state.read().folders.clone();
        for folder in all.folders.iter() {
            let uids = folders.get(folder).map(|folder| folder.uids.clone()).unwrap_or_default();
            let mut rows = StoreRows::new(self.store, *folder, &uids);
            let names =
                |rows: &mut StoreRows| rows.next_batch_of(|placed| (placed.row.uid, placed.archive_uid));
            while let Some(batch) = self.sound(names(&mut rows), tell)?.flatten() {
                self.cancel.check()?;
                let lost: UidRanges =
                    batch.iter().filter(|(_, name)| !all.uids.contains(*name)).map(|(uid, _)| *uid).collect();
                if let Some(uid) = lost.first() {
                    tell(format!(
                        "{} messages of {} are not in it, UID {uid} say",
                        lost.len(),
                        self.path(*folder)
                    ))?;
                }
            }
        }
        Ok(())
    }
}
