//! A stored message, read back: any range of it, or whole with its hash checked along.
//!
//! Invariant: bytes come from records whose tags agree; a whole message is never given to its end when its SHA-256
//! is another than its identity. Holds no transaction and at most a piece in memory.

use super::Store;
use super::facts::Piece;
use crate::db::MessageEntry;
use crate::incoming::Content;
use crate::pack::Packs;
use crate::skeleton::base64::encode_lines;
use crate::{ContentHash, Error};
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::ops::Range;
use std::sync::Arc;

/// Most bytes that one call gives.
pub(crate) const PIECE_BYTES: u64 = 256 << 10;

/// A stored message, opened for reading; holds no transaction and no more than a block of it in memory.
#[derive(Debug, Clone)]
pub struct Message {
    store: Arc<Store>,
    entry: Arc<MessageEntry>,
}

impl Message {
    pub(crate) fn new(store: &Arc<Store>, entry: MessageEntry) -> Message {
        Message { store: Arc::clone(store), entry: Arc::new(entry) }
    }
    /// Where it lies.
    pub(crate) fn parts(&self) -> (&Packs, &MessageEntry) {
        (&self.store.packs, &self.entry)
    }
    /// Its identity.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        self.entry.hash
    }
    /// RFC822.SIZE.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.entry.size
    }
    /// Bytes of the message's own header, blank line included.
    #[must_use]
    pub fn header_len(&self) -> u64 {
        self.entry.header_len
    }
    /// The message's own header, blank line included, without touching the body.
    /// # Errors
    /// `Corrupt`.
    pub fn header(&self) -> Result<Bytes, Error> {
        let len = self.entry.header_len;
        let mut header = self.read(0..len)?;
        while (header.len() as u64) < len {
            let more = self.read(header.len() as u64..len)?;
            header = Bytes::from([&header[..], &more[..]].concat());
        }
        Ok(header)
    }
    /// Any bytes of the message, authenticated by their records' tags; at most 256 KiB per call are returned.
    /// # Errors
    /// `Corrupt`.
    pub fn read(&self, range: Range<u64>) -> Result<Bytes, Error> {
        read_some(&self.store.packs, &self.entry, range)
    }
    /// The whole message in pieces; the last piece is given only when the SHA-256 of all is right.
    #[must_use]
    pub fn reader(&self) -> MessageReader {
        MessageReader { message: self.clone(), at: 0, hasher: Sha256::new(), held: None, ended: false }
    }
    /// The whole message as [`crate::incoming::Content`], for parsing again.
    /// # Errors
    /// `Corrupt`, `WrongContent`.
    pub fn content(&self) -> Result<Content, Error> {
        content(&self.store.packs, &self.entry, self.store.limits.spool_above_bytes)
    }
}

/// Reads a message whole, checking it along.
#[derive(Debug)]
pub struct MessageReader {
    message: Message,
    at: u64,
    hasher: Sha256,
    held: Option<Bytes>,
    ended: bool,
}

impl MessageReader {
    /// The next piece (at most 256 KiB), `None` at the end.
    /// # Errors
    /// `Corrupt`, `WrongContent`: what was given so far must not pass for the message.
    pub fn next_piece(&mut self) -> Result<Option<Bytes>, Error> {
        let next = self.advance();
        if next.is_err() {
            self.ended = true;
            self.held = None;
        }
        next
    }

    fn advance(&mut self) -> Result<Option<Bytes>, Error> {
        let entry = &self.message.entry;
        while !self.ended {
            if self.at >= entry.size {
                self.ended = true;
                if std::mem::take(&mut self.hasher).finalize().as_slice() != entry.hash.0 {
                    return Err(Error::WrongContent { hash: entry.hash });
                }
                return Ok(self.held.take());
            }
            let piece = read_some(&self.message.store.packs, entry, self.at..entry.size)?;
            self.hasher.update(&piece);
            self.at += piece.len() as u64;
            if let Some(before) = self.held.replace(piece) {
                return Ok(Some(before));
            }
        }
        Ok(None)
    }
}

/// Reads a message whole and checks it; a large one goes into an unlinked file.
pub(crate) fn content(packs: &Packs, entry: &MessageEntry, spool_above: usize) -> Result<Content, Error> {
    let spooled = entry.size > spool_above as u64;
    let mut hasher = Sha256::new();
    let mut memory = Vec::new();
    let spool = Error::io;
    let mut file = if spooled { Some(tempfile::tempfile().map_err(spool("(spool file)"))?) } else { None };
    let mut at = 0;
    while at < entry.size {
        let piece = read_one(packs, entry, at..entry.size)?;
        hasher.update(&piece);
        at += piece.len() as u64;
        match &mut file {
            Some(file) => file.write_all(&piece).map_err(spool("(spool file)"))?,
            None => memory.extend_from_slice(&piece),
        }
    }
    if hasher.finalize().as_slice() != entry.hash.0 {
        return Err(Error::WrongContent { hash: entry.hash });
    }
    Ok(match file {
        Some(file) => Content::File(Arc::new(file), entry.size),
        None => Content::Memory(memory.into()),
    })
}

/// Up to `PIECE_BYTES` of `range`, over as many pieces of the skeleton as needed.
pub(crate) fn read_some(packs: &Packs, entry: &MessageEntry, range: Range<u64>) -> Result<Bytes, Error> {
    let start = range.start.min(entry.size);
    let end = range.end.clamp(start, entry.size).min(start.saturating_add(PIECE_BYTES));
    let first = read_one(packs, entry, start..end)?;
    if first.len() as u64 == end - start {
        return Ok(first);
    }
    let mut all = first.to_vec();
    while (all.len() as u64) < end - start {
        let more = read_one(packs, entry, start + all.len() as u64..end)?;
        all.extend_from_slice(&more);
    }
    Ok(all.into())
}

/// The front of `range`: at least a byte (unless it is empty), at most to the end of its piece.
fn read_one(packs: &Packs, entry: &MessageEntry, range: Range<u64>) -> Result<Bytes, Error> {
    if range.is_empty() {
        return Ok(Bytes::new());
    }
    let mut start = 0u64;
    for piece in &entry.pieces {
        let end = start.saturating_add(piece.len());
        if range.start < end {
            let from = range.start - start;
            let to = (range.end.min(end) - start).min(from.saturating_add(PIECE_BYTES));
            let bytes = read_piece(packs, piece, from..to)?;
            // A chunk that is shorter than its reference says must not end in a loop or a shifted message.
            if bytes.len() as u64 != to - from {
                return Err(Error::WrongContent { hash: entry.hash });
            }
            return Ok(bytes);
        }
        start = end;
    }
    Err(Error::WrongContent { hash: entry.hash })
}

fn read_piece(packs: &Packs, piece: &Piece, range: Range<u64>) -> Result<Bytes, Error> {
    match *piece {
        Piece::Raw { chunk, .. } => packs.chunk(chunk, range),
        Piece::Base64 { chunk, decoded, line } => {
            let (chars, bytes) = (u64::from(line) + 2, u64::from(line) / 4 * 3);
            let (first, last) = (range.start / chars, range.end.saturating_sub(1) / chars);
            let from = first * bytes;
            let to = ((last + 1) * bytes).min(decoded);
            let mut plain = Vec::new();
            while from + (plain.len() as u64) < to {
                let more = packs.chunk(chunk, from + plain.len() as u64..to)?;
                if more.is_empty() {
                    break;
                }
                plain.extend_from_slice(&more);
            }
            let text = encode_lines(&plain, bytes as usize, to < decoded);
            let start = (range.start - first * chars) as usize;
            let end = (range.end - first * chars) as usize;
            Ok(text.as_bytes().get(start..end).map(Bytes::copy_from_slice).unwrap_or_default())
        }
    }
}
