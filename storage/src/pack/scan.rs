//! Reads packs from front to back: records for recovery and checks, complete batches, and what damage has left.
//!
//! Invariant: a scan ends at the first bytes that are no record, and says where; a salvaging one looks further by
//! magic, pack id and own offset, and gives only records that opened. Whether an end is a torn tail or damage, the store
//! decides by its watermark.

use super::Addr;
use super::commit::{Commit, Tally};
use super::crypt::TAG_BYTES;
use super::packs::Pack;
use super::record::{HEADER_BYTES, MAGIC, RecordKind};
use crate::Error;
use bytes::Bytes;
use memchr::memmem;
use std::sync::Arc;

/// Bytes that salvage looks through at once.
const WINDOW_BYTES: usize = 1 << 20;

/// Where and how a scan ended. (After an error a scan is over, without an end.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The last record ends the file.
    Clean,
    /// From this byte on there is no record (for batches: no complete batch).
    Torn {
        /// The first byte that counts for nothing.
        at: u64,
    },
}

/// A record that a scan came upon.
#[derive(Debug)]
pub(crate) struct Scanned {
    /// Where it lies.
    pub(crate) addr: Addr,
    /// What it holds.
    pub(crate) kind: RecordKind,
    /// Where the next one begins.
    pub(crate) next: u64,
    pack: Arc<Pack>,
    plain: Option<Bytes>,
}

impl Scanned {
    /// Its content, opened only now unless the scan salvages.
    /// # Errors
    /// `Corrupt`, `Io`.
    pub(crate) fn plain(&self) -> Result<Bytes, Error> {
        match &self.plain {
            Some(plain) => Ok(plain.clone()),
            None => Ok(self.pack.record(self.addr.offset)?.plain),
        }
    }
}

/// A walk over a pack's records.
#[derive(Debug)]
pub(crate) struct Scan {
    pack: Arc<Pack>,
    at: u64,
    len: u64,
    salvage: bool,
    end: Option<End>,
    failed: bool,
    skipped: u64,
}

impl Scan {
    pub(super) fn new(pack: Arc<Pack>, from: u64, salvage: bool) -> Result<Scan, Error> {
        let len = pack.len()?;
        Ok(Scan { pack, at: from, len, salvage, end: None, failed: false, skipped: 0 })
    }

    /// How the scan ended; none while it goes on, or after an error of the file system.
    pub(crate) fn end(&self) -> Option<End> {
        self.end
    }

    /// Bytes that salvage passed over so far.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }

    fn step(&mut self) -> Result<Option<Scanned>, Error> {
        if self.end.is_some() || self.failed {
            return Ok(None);
        }
        if self.at == self.len {
            self.end = Some(End::Clean);
            return Ok(None);
        }
        if self.salvage { self.step_salvaging() } else { self.step_strictly() }
    }

    fn step_strictly(&mut self) -> Result<Option<Scanned>, Error> {
        let bytes = self.pack.bytes(self.at, HEADER_BYTES)?;
        let header = match self.pack.parse(self.at, &bytes) {
            Ok(header) => Some(header),
            Err(Error::Corrupt { .. }) => None,
            Err(other) => return Err(other),
        };
        let next = header.as_ref().map(|h| self.at + (HEADER_BYTES as u64) + u64::from(h.stored_len));
        let (Some(header), Some(next)) = (header, next.filter(|&next| next <= self.len)) else {
            self.end = Some(End::Torn { at: self.at });
            return Ok(None);
        };
        let addr = Addr { pack: self.pack.id, offset: self.at };
        self.at = next;
        Ok(Some(Scanned { addr, kind: header.kind, next, pack: Arc::clone(&self.pack), plain: None }))
    }

    fn step_salvaging(&mut self) -> Result<Option<Scanned>, Error> {
        let mut at = self.at;
        loop {
            match self.pack.record(at) {
                Ok(record) => {
                    self.skipped += at - self.at;
                    self.at = record.next;
                    let addr = Addr { pack: self.pack.id, offset: at };
                    let (kind, next, pack) = (record.header.kind, record.next, Arc::clone(&self.pack));
                    return Ok(Some(Scanned { addr, kind, next, pack, plain: Some(record.plain) }));
                }
                Err(Error::Corrupt { .. } | Error::Version { .. }) => {}
                Err(other) => return Err(other),
            }
            match self.find_magic(at + 1)? {
                Some(found) => at = found,
                None => {
                    self.skipped += self.len - self.at;
                    self.end = Some(End::Torn { at: self.at });
                    return Ok(None);
                }
            }
        }
    }

    /// The first place from `from` on where a record could begin.
    fn find_magic(&self, mut from: u64) -> Result<Option<u64>, Error> {
        let finder = memmem::Finder::new(&MAGIC);
        while from < self.len {
            let window = self.pack.bytes(from, WINDOW_BYTES)?;
            for at in finder.find_iter(&window) {
                let at = from + at as u64;
                // A window may cut a header: what is a header is decided on bytes read for it.
                let head = self.pack.bytes(at, HEADER_BYTES)?;
                match self.pack.parse(at, &head) {
                    Ok(_) => return Ok(Some(at)),
                    Err(Error::Corrupt { .. } | Error::Version { .. }) => {}
                    Err(other) => return Err(other),
                }
            }
            if window.len() < WINDOW_BYTES {
                break;
            }
            from += (WINDOW_BYTES - MAGIC.len() + 1) as u64;
        }
        Ok(None)
    }
}

impl Iterator for Scan {
    type Item = Result<Scanned, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        self.failed |= step.is_err();
        step.transpose()
    }
}

/// A batch whose commit record is there and agrees.
#[derive(Debug)]
pub(crate) struct CompleteBatch {
    /// The facts records, in order.
    pub(crate) facts: Vec<(Addr, Bytes)>,
    /// The commit record.
    pub(crate) commit: Commit,
    /// The commit record's tag: what the next commit names, and [`Packs::resume`](super::Packs::resume) needs.
    pub(crate) tag: [u8; TAG_BYTES],
    /// Where the batch ends: the watermark once it is taken in.
    pub(crate) next: u64,
}

/// A walk over a pack's complete batches; every record is opened on the way.
#[derive(Debug)]
pub(crate) struct Batches {
    pack: Arc<Pack>,
    at: u64,
    len: u64,
    /// The tag that the next commit must name, where it is known.
    previous: Option<[u8; TAG_BYTES]>,
    end: Option<End>,
    failed: bool,
}

impl Batches {
    pub(super) fn new(pack: Arc<Pack>, from: u64) -> Result<Batches, Error> {
        let len = pack.len()?;
        let previous = (from == pack.start).then_some(pack.tag);
        Ok(Batches { pack, at: from, len, previous, end: None, failed: false })
    }

    /// How the walk ended; none while it goes on, or after an error. After `Torn` a new pack must be begun.
    pub(crate) fn end(&self) -> Option<End> {
        self.end
    }

    fn step(&mut self) -> Result<Option<CompleteBatch>, Error> {
        if self.end.is_some() || self.failed {
            return Ok(None);
        }
        if self.at == self.len {
            self.end = Some(End::Clean);
            return Ok(None);
        }
        let mut at = self.at;
        let mut facts = Vec::new();
        let mut tally = Tally::default();
        loop {
            let record = match self.pack.record(at) {
                Ok(record) => record,
                // The file's end in the midst of a batch comes here too.
                Err(Error::Corrupt { .. }) => {
                    self.end = Some(End::Torn { at: self.at });
                    return Ok(None);
                }
                Err(other) => return Err(other),
            };
            let addr = Addr { pack: self.pack.id, offset: at };
            at = record.next;
            match record.header.kind {
                RecordKind::Commit => {
                    let commit = self.agree(addr, &record.plain, tally)?;
                    (self.previous, self.at) = (Some(record.tag), at);
                    return Ok(Some(CompleteBatch { facts, commit, tag: record.tag, next: at }));
                }
                RecordKind::Facts => facts.push((addr, record.plain)),
                RecordKind::Block | RecordKind::Segment | RecordKind::ChunkMap | RecordKind::Dictionary => {}
            }
            tally.add(&record.tag);
        }
    }

    fn agree(&self, addr: Addr, plain: &[u8], tally: Tally) -> Result<Commit, Error> {
        let commit = Commit::decode(plain)
            .ok_or_else(|| self.pack.corrupt(addr.offset, "the commit record is not understood"))?;
        let wrong = (commit.records, commit.tags) != tally.finish()
            || self.previous.is_some_and(|tag| tag != commit.previous);
        if wrong {
            return Err(self
                .pack
                .corrupt(addr.offset, "the commit record tells of other records than are there"));
        }
        Ok(commit)
    }
}

impl Iterator for Batches {
    type Item = Result<CompleteBatch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        let step = self.step();
        self.failed |= step.is_err();
        step.transpose()
    }
}
