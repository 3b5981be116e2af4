//! Reads packs from front to back: complete batches for recovery, and for checks every record that damage has left.
//!
//! Invariant: only records that opened are given. Batches end at the first bytes that are no record, and say where;
//! salvage looks further, by magic, pack id and own offset. Whether an end is a torn tail or damage, the store decides
//! by its watermark.

use super::commit::{Commit, Tally};
use super::crypt::TAG_BYTES;
use super::disk::DiskFile;
use super::packs::Pack;
use super::record::{HEADER_BYTES, MAGIC, RecordHeader, RecordKind};
use super::{Addr, PackId};
use crate::{Error, StoreId};
use bytes::Bytes;
use memchr::memmem;
use std::sync::Arc;

/// Bytes that salvage looks through at once.
const WINDOW_BYTES: usize = 1 << 20;

/// How a walk over batches ended. (After an error it is over too, without an end.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The last batch ends the file.
    Clean,
    /// From this byte on there is no complete batch.
    Torn {
        /// The first byte that counts for nothing.
        at: u64,
    },
}

/// A record that salvage came upon.
#[derive(Debug)]
pub(crate) struct Salvaged {
    /// Where it lies.
    pub(crate) addr: Addr,
    /// What it holds.
    pub(crate) kind: RecordKind,
    /// Its content.
    pub(crate) plain: Bytes,
    /// Its tag.
    pub(crate) tag: [u8; TAG_BYTES],
    /// Where the next one begins, unless there is damage.
    pub(crate) next: u64,
}

/// A walk over a pack's records that passes over damaged bytes.
#[derive(Debug)]
pub(crate) struct Salvage {
    pack: Arc<Pack>,
    at: u64,
    len: u64,
    done: bool,
}

impl Salvage {
    pub(super) fn new(pack: Arc<Pack>, from: u64) -> Result<Salvage, Error> {
        let len = pack.len()?;
        Ok(Salvage { pack, at: from, len, done: false })
    }

    fn step(&mut self) -> Result<Option<Salvaged>, Error> {
        while self.at < self.len {
            match self.pack.record(self.at) {
                Ok(record) => {
                    let addr = Addr { pack: self.pack.id, offset: self.at };
                    let (kind, plain, next) = (record.header.kind, record.plain, record.next);
                    self.at = next;
                    return Ok(Some(Salvaged { addr, kind, plain, tag: record.tag, next }));
                }
                Err(Error::Corrupt { .. } | Error::Version { .. }) => {}
                Err(other) => return Err(other),
            }
            match self.find_magic(self.at + 1)? {
                Some(found) => self.at = found,
                None => break,
            }
        }
        Ok(None)
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

impl Iterator for Salvage {
    type Item = Result<Salvaged, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let step = self.step();
        self.done = !matches!(step, Ok(Some(_)));
        step.transpose()
    }
}

/// Whether a file has the header of a record of this pack anywhere.
pub(super) fn holds_records(file: &dyn DiskFile, store: StoreId, pack: PackId) -> std::io::Result<bool> {
    let finder = memmem::Finder::new(&MAGIC);
    let mut window = vec![0; WINDOW_BYTES];
    let mut from = 0;
    loop {
        let got = file.read_at(from, &mut window)?;
        for at in finder.find_iter(&window[..got]) {
            let at = from + at as u64;
            let mut head = [0; HEADER_BYTES];
            file.read_at(at, &mut head)?;
            if RecordHeader::parse(&head, store, pack, at).is_ok() {
                return Ok(true);
            }
        }
        if got < WINDOW_BYTES {
            return Ok(false);
        }
        from += (WINDOW_BYTES - MAGIC.len() + 1) as u64;
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
        // Behind a damaged header the tag isn't known.
        let previous = (from == pack.start && pack.tag != [0; TAG_BYTES]).then_some(pack.tag);
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
