//! Appends records to one pack: sealed in order, written in large pieces, synced at a batch's end.
//!
//! Invariant: after the first failure nothing more is written (a failed sync can't be tried again: the system may have
//! dropped the pages), and no batch is complete before its commit record is synced.

use super::commit::{Commit, LogHead, Tally};
use super::crypt::TAG_BYTES;
use super::disk::Disk;
use super::packs::{Pack, Packs};
use super::record::{Packed, Packer, RecordKind, Segment};
use super::{Addr, PackId};
use crate::Error;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// Sealed bytes that are collected before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// The writer of one pack.
#[derive(Debug)]
pub(crate) struct PackWriter {
    pack: Arc<Pack>,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    buffer: Vec<u8>,
    /// Where the buffer's first byte will lie.
    written: u64,
    tally: Tally,
    previous: [u8; TAG_BYTES],
    name_synced: bool,
    failed: Option<String>,
    packer: Packer,
}

impl PackWriter {
    pub(super) fn new(
        packs: &Packs,
        pack: Arc<Pack>,
        previous: Option<[u8; TAG_BYTES]>,
    ) -> Result<PackWriter, Error> {
        Ok(PackWriter {
            disk: Arc::clone(&packs.disk),
            dir: packs.dir.clone(),
            buffer: Vec::new(),
            written: pack.len()?,
            tally: Tally::default(),
            previous: previous.unwrap_or(pack.tag),
            name_synced: false,
            failed: None,
            packer: Packer::new().map_err(Error::io(&pack.path))?,
            pack,
        })
    }

    /// The pack.
    pub(crate) fn id(&self) -> PackId {
        self.pack.id
    }

    /// The pack's length, with what is not written yet.
    pub(crate) fn len(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// The tag of the last commit record, or of the pack's header: what [`Packs::resume`] needs.
    pub(crate) fn last_tag(&self) -> [u8; TAG_BYTES] {
        self.previous
    }

    /// Appends a record.
    /// # Errors
    /// `Io`, and from then on `Latched`.
    pub(crate) fn append(&mut self, kind: RecordKind, plain: Vec<u8>) -> Result<Addr, Error> {
        self.check()?;
        let packed = self.packer.pack(kind, Segment::default(), plain);
        let packed = packed.map_err(|e| self.fail(e))?;
        self.append_packed(packed)
    }

    /// Appends a record whose content was made ready elsewhere.
    /// # Errors
    /// As [`PackWriter::append`].
    pub(crate) fn append_packed(&mut self, packed: Packed) -> Result<Addr, Error> {
        let addr = Addr { pack: self.pack.id, offset: self.len() };
        let tag = self.seal(packed, addr.offset)?;
        self.tally.add(&tag);
        Ok(addr)
    }

    /// Ends the batch: appends its commit record and syncs. On return all records since the last commit survive
    /// power loss. `log` is the store's Merkle log after the batch. Gives where the pack ends now: the batch's watermark.
    /// # Errors
    /// As [`PackWriter::append`].
    pub(crate) fn commit(
        &mut self,
        batch: u64,
        mod_seq: u64,
        time: i64,
        log: Option<LogHead>,
    ) -> Result<u64, Error> {
        self.check()?;
        let (records, tags) = std::mem::take(&mut self.tally).finish();
        let plain = Commit { batch, mod_seq, time, records, tags, previous: self.previous, log }.encode();
        let packed = self.packer.pack(RecordKind::Commit, Segment::default(), plain);
        let packed = packed.map_err(|e| self.fail(e))?;
        self.previous = self.seal(packed, self.len())?;
        self.sync()?;
        Ok(self.written)
    }

    /// Writes and syncs what was appended, and the pack's name in its directory the first time.
    /// # Errors
    /// As [`PackWriter::append`].
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        self.flush()?;
        self.pack.file.sync_data().map_err(|e| self.fail(e))?;
        if !self.name_synced {
            self.disk.sync_dir(&self.dir).map_err(|e| self.fail(e))?;
            self.name_synced = true;
        }
        Ok(())
    }

    fn seal(&mut self, packed: Packed, offset: u64) -> Result<[u8; TAG_BYTES], Error> {
        self.check()?;
        let Pack { key, store, id, .. } = &*self.pack;
        let tag = packed.seal(key, *store, *id, offset, &mut self.buffer).map_err(|e| self.fail(e))?;
        if self.buffer.len() >= WRITE_BYTES {
            self.flush()?;
        }
        Ok(tag)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.check()?;
        self.pack.file.write_at(self.written, &self.buffer).map_err(|e| self.fail(e))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    fn check(&self) -> Result<(), Error> {
        match &self.failed {
            None => Ok(()),
            Some(cause) => Err(Error::Latched { cause: cause.clone() }),
        }
    }

    /// Latches, and gives the error that the caller returns.
    pub(super) fn fail(&mut self, source: io::Error) -> Error {
        let error = Error::Io { path: self.pack.path.clone(), source };
        self.latch(error)
    }

    /// Latches on a failure of another place (a spool file, say), after which the batch can't be completed.
    pub(super) fn latch(&mut self, error: Error) -> Error {
        self.failed.get_or_insert_with(|| error.to_string());
        error
    }
}
