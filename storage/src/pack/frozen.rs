//! A pack as it stands at one moment, for copying: its bytes, and what a copy of them is worth.
//!
//! Invariant: the pack's file stays open, so that it can be read to its end even when a compaction removes it meanwhile. Where
//! copies lie is the caller's business.

use super::PackId;
use super::commit::Commit;
use super::disk::{Disk, RealDisk};
use super::header::StoreIdentity;
use super::packs::Pack;
use super::record::RecordKind;
use super::scan::{Batches, End, Salvage};
use crate::{Cancel, Error};
use std::path::Path;
use std::sync::Arc;

/// A pack up to one of its batches' ends.
#[derive(Debug)]
pub(crate) struct Frozen {
    pack: Arc<Pack>,
    identity: Arc<StoreIdentity>,
    len: u64,
}

impl Frozen {
    pub(super) fn new(pack: Arc<Pack>, identity: Arc<StoreIdentity>, len: u64) -> Frozen {
        Frozen { pack, identity, len }
    }

    /// Its file's name.
    pub(crate) fn name(&self) -> String {
        self.pack.id.file_name()
    }

    /// The highest number among the packs that a compaction replaced by this one and others.
    pub(crate) fn replaces(&self) -> Option<PackId> {
        self.pack.header.replaces.iter().max().copied()
    }

    /// Its length at that moment.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// Reads up to `into.len()` bytes at `offset`; fewer only at the end.
    /// # Errors
    /// `Io`.
    pub(crate) fn read_at(&self, offset: u64, into: &mut [u8]) -> Result<usize, Error> {
        let room = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX).min(into.len());
        self.pack.file.read_at(offset, &mut into[..room]).map_err(Error::io(&self.pack.path))
    }

    /// Opens every record of the copy in `path` from `from` on (0, or a batch's end): what is damaged, in words. A last
    /// batch that a crash tore is no damage.
    /// # Errors
    /// `Io`, `Cancelled`.
    pub(crate) fn check_copy(&self, path: &Path, from: u64, cancel: &Cancel) -> Result<Option<Error>, Error> {
        let file = RealDisk.open(path, false).map_err(Error::io(path))?;
        let key = self.identity.pack_key(self.pack.id).map_err(Error::io(path))?;
        let Pack { id, store, start, tag, ref header, .. } = *self.pack;
        let copy = Pack { id, store, path: path.into(), file, key, header: header.clone(), start, tag };
        let copy = Arc::new(copy);
        let mut batches = Batches::new(Arc::clone(&copy), from.max(start))?;
        let mut last = None;
        for batch in &mut batches {
            cancel.check()?;
            match batch {
                Ok(batch) => last = Some(batch.commit.batch),
                Err(error @ (Error::Corrupt { .. } | Error::Version { .. })) => return Ok(Some(error)),
                Err(other) => return Err(other),
            }
        }
        let Some(End::Torn { at }) = batches.end() else { return Ok(None) };
        for record in Salvage::new(copy, at)? {
            cancel.check()?;
            let record = record?;
            let commit = (record.kind == RecordKind::Commit).then(|| Commit::decode(&record.plain)).flatten();
            // The torn batch's own commit may be there without the rest of it.
            let later = commit.is_some_and(|commit| last.is_none_or(|last| commit.batch > last + 1));
            if later {
                let what = "complete batches follow what can't be read here";
                return Ok(Some(Error::Corrupt { path: path.into(), offset: at, what }));
            }
        }
        Ok(None)
    }
}
