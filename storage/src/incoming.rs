//! A message read whole from a source: made canonical, hashed, measured; spooled to a file when it is large.
//!
//! Invariant: canonical bytes and line-end map together give the source's bytes back, bit for bit.

use crate::{ContentHash, Error, Limits};
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

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
        todo!()
    }
    /// Whether there is nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The bytes of `range`, clamped to the content.
    /// # Errors
    /// `Io` when the spool file cannot be read.
    pub fn read(&self, range: Range<u64>) -> Result<bytes::Bytes, Error> {
        todo!("{range:?}")
    }
    /// A buffered reader over all of it, for the MIME splitter.
    #[must_use]
    pub fn reader(&self) -> Box<dyn std::io::BufRead + Send + '_> {
        todo!()
    }
}

/// The line ends that a source's bytes had, as runs over the canonical form's CRLFs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LineEnds {
    /// Alternating counts of line ends, first CRLF (kept), then LF (was bare), and so on; empty: all CRLF.
    pub runs: Vec<u64>,
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
    /// `Limit` above `limits.max_message_bytes` (the source is then read no further); `Io`.
    pub fn read(source: impl Read, prefix: Vec<u8>, limits: &Limits) -> Result<Incoming, Error> {
        let _ = (source, prefix, limits);
        todo!()
    }
}
