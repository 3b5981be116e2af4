//! A message read whole from a source: made canonical, hashed, measured; spooled to a file when it is large.
//!
//! Invariant: canonical bytes and line-end map together give the source's bytes back, bit for bit. Spool files have no
//! name (the system removes them with the process) and lie where temporary files lie; nothing here is durable.

mod lines;

pub use lines::{LineEnds, Restorer};

use crate::{ContentHash, Error, Limits};
use bytes::Bytes;
use lines::Canonicalizer;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

/// Where an incoming message's canonical bytes lie.
#[derive(Debug, Clone)]
pub enum Content {
    /// At most `Limits::spool_above_bytes`.
    Memory(bytes::Bytes),
    /// An unlinked spool file.
    File(Arc<File>, u64),
}

impl Content {
    /// Number of canonical bytes.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Content::Memory(bytes) => bytes.len() as u64,
            Content::File(_, len) => *len,
        }
    }

    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of `range`, clamped to the content. The caller bounds the range: all of it is in memory.
    /// # Errors
    /// `Io` when the spool file cannot be read.
    pub fn read(&self, range: Range<u64>) -> Result<bytes::Bytes, Error> {
        let end = range.end.min(self.len());
        let start = range.start.min(end);
        match self {
            // The content is in memory, so its positions fit.
            Content::Memory(bytes) => Ok(bytes.slice(start as usize..end as usize)),
            Content::File(file, _) => {
                let len = usize::try_from(end - start).map_err(|e| spool_error(io::Error::other(e)))?;
                let mut buffer = vec![0; len];
                file.read_exact_at(&mut buffer, start).map_err(spool_error)?;
                Ok(buffer.into())
            }
        }
    }

    /// A buffered reader over all of it, for the MIME splitter.
    #[must_use]
    pub fn reader(&self) -> Box<dyn std::io::BufRead + Send + '_> {
        match self {
            Content::Memory(bytes) => Box::new(Cursor::new(&bytes[..])),
            Content::File(file, len) => {
                Box::new(BufReader::with_capacity(READ_BYTES, SpoolReader { file, at: 0, len: *len }))
            }
        }
    }
}

/// Reads a spool file from its front; positions are its own, so that several can read at once.
struct SpoolReader<'a> {
    file: &'a File,
    at: u64,
    len: u64,
}

impl Read for SpoolReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len - self.at).unwrap_or(usize::MAX);
        let want = into.len().min(left);
        let got = self.file.read_at(&mut into[..want], self.at)?;
        if got == 0 && want > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += got as u64;
        Ok(got)
    }
}

/// A message read whole.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// Canonical bytes: every LF without CR became CRLF, a lone CR stays.
    pub content: Content,
    /// SHA-256 of the canonical bytes.
    pub hash: ContentHash,
    /// What the line ends were.
    pub line_ends: LineEnds,
    /// Bytes before the message proper that belong to the file only (an envelope `From ` line with its line end),
    /// as they stood; given back by `cat`, never part of BODY[].
    pub prefix: Vec<u8>,
}

impl Incoming {
    /// Reads `source` to its end. `prefix` stands before it in the file and is kept apart.
    /// # Errors
    /// `Limit` above `limits.max_message_bytes` (the source is then read no further), or when the line ends change
    /// their kind more than a million times; `Io`.
    pub fn read(mut source: impl Read, prefix: Vec<u8>, limits: &Limits) -> Result<Incoming, Error> {
        let mut canonicalizer = Canonicalizer::new(lines::MAX_RUNS);
        let mut sink = Sink::new(limits.max_message_bytes, limits.spool_above_bytes);
        let mut buffer = vec![0; READ_BYTES];
        let mut canonical = Vec::with_capacity(READ_BYTES + READ_BYTES / 16);
        loop {
            let got = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(got) => got,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(Error::io("(message being read)")(e)),
            };
            canonical.clear();
            canonicalizer.push(&buffer[..got], &mut canonical)?;
            sink.write(&canonical)?;
        }
        let (content, hash) = sink.finish();
        Ok(Incoming { content, hash, line_ends: canonicalizer.finish(), prefix })
    }
}

/// The identity of the message that `source` holds: the SHA-256 of its canonical bytes, of which nothing is kept.
/// # Errors
/// `Limit` above `max_bytes`, or when the line ends change their kind more than a million times; `Io`.
pub(crate) fn identity(mut source: impl Read, max_bytes: u64) -> Result<ContentHash, Error> {
    let mut canonicalizer = Canonicalizer::new(lines::MAX_RUNS);
    let (mut hash, mut len) = (Sha256::new(), 0u64);
    let mut buffer = vec![0; READ_BYTES];
    let mut canonical = Vec::with_capacity(READ_BYTES + READ_BYTES / 16);
    loop {
        let got = match source.read(&mut buffer) {
            Ok(0) => return Ok(ContentHash(hash.finalize().into())),
            Ok(got) => got,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(Error::io("(message being read)")(e)),
        };
        canonical.clear();
        canonicalizer.push(&buffer[..got], &mut canonical)?;
        len += canonical.len() as u64;
        if len > max_bytes {
            return Err(Error::Limit { what: "bytes of a message", found: len, limit: max_bytes });
        }
        hash.update(&canonical);
    }
}

/// Takes bytes: counts, hashes and keeps them, in memory or in a spool file.
pub(crate) struct Sink {
    max_bytes: u64,
    spool_above: usize,
    len: u64,
    hash: Sha256,
    memory: Vec<u8>,
    file: Option<File>,
}

impl Sink {
    /// Takes at most `max_bytes`; more than `spool_above` go into a file.
    pub(crate) fn new(max_bytes: u64, spool_above: usize) -> Sink {
        Sink { max_bytes, spool_above, len: 0, hash: Sha256::new(), memory: Vec::new(), file: None }
    }

    /// Takes more bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.len += bytes.len() as u64;
        if self.len > self.max_bytes {
            return Err(Error::Limit { what: "bytes of a message", found: self.len, limit: self.max_bytes });
        }
        self.hash.update(bytes);
        if self.file.is_none() && self.memory.len() + bytes.len() > self.spool_above {
            let mut file = tempfile::tempfile().map_err(spool_error)?;
            file.write_all(&std::mem::take(&mut self.memory)).map_err(spool_error)?;
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(bytes).map_err(spool_error),
            None => {
                self.memory.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// All bytes and their SHA-256.
    pub(crate) fn finish(self) -> (Content, ContentHash) {
        let hash = ContentHash(self.hash.finalize().into());
        let content = match self.file {
            Some(file) => Content::File(Arc::new(file), self.len),
            None => Content::Memory(Bytes::from(self.memory)),
        };
        (content, hash)
    }
}

fn spool_error(source: io::Error) -> Error {
    Error::io(std::env::temp_dir().join("(spool file)"))(source)
}

#[cfg(test)]
mod tests;
