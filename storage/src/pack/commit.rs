//! A commit record's content: it ends a batch and says what the batch was.
//!
//! Invariant: a batch counts only with its commit record, and only when number and tags of its records agree with it.

use super::crypt::TAG_BYTES;
use super::varint::Reader;
use sha2::{Digest, Sha256};

/// The layout of commit records that say nothing of the Merkle log.
const WITHOUT_LOG: u8 = 1;
/// The layout of those that do.
const WITH_LOG: u8 = 2;

/// A store's Merkle log (RFC 9162 §2.1) after a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LogHead {
    /// Leaves.
    pub(crate) size: u64,
    /// The root over them.
    pub(crate) root: [u8; 32],
}

/// The end of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    /// The batch's number in the store, rising.
    pub(crate) batch: u64,
    /// The batch's mod-sequence.
    pub(crate) mod_seq: u64,
    /// When it was written, seconds since 1970.
    pub(crate) time: i64,
    /// Records of the batch, this one not counted.
    pub(crate) records: u32,
    /// SHA-256 over the records' tags, in order.
    pub(crate) tags: [u8; 32],
    /// The tag of the commit record before it in the pack, or of the pack's header.
    pub(crate) previous: [u8; TAG_BYTES],
    /// The Merkle log after the batch.
    pub(crate) log: Option<LogHead>,
}

impl Commit {
    /// The record's plain bytes.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = vec![if self.log.is_some() { WITH_LOG } else { WITHOUT_LOG }];
        out.extend_from_slice(&self.batch.to_le_bytes());
        out.extend_from_slice(&self.mod_seq.to_le_bytes());
        out.extend_from_slice(&self.time.to_le_bytes());
        out.extend_from_slice(&self.records.to_le_bytes());
        out.extend_from_slice(&self.tags);
        out.extend_from_slice(&self.previous);
        if let Some(log) = &self.log {
            out.extend_from_slice(&log.size.to_le_bytes());
            out.extend_from_slice(&log.root);
        }
        out
    }

    /// Understands a commit record's plain bytes.
    pub(crate) fn decode(plain: &[u8]) -> Option<Commit> {
        let mut from = Reader::new(plain);
        let with_log = match from.u8()? {
            WITHOUT_LOG => false,
            WITH_LOG => true,
            _ => return None,
        };
        let commit = Commit {
            batch: from.u64()?,
            mod_seq: from.u64()?,
            time: from.u64()?.cast_signed(),
            records: from.u32()?,
            tags: from.array()?,
            previous: from.array()?,
            log: if with_log { Some(LogHead { size: from.u64()?, root: from.array()? }) } else { None },
        };
        from.is_empty().then_some(commit)
    }
}

/// The records of the batch in hand, as its commit record will tell of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    records: u32,
    tags: Sha256,
}

impl Tally {
    /// Counts a record.
    pub(crate) fn add(&mut self, tag: &[u8; TAG_BYTES]) {
        self.records = self.records.saturating_add(1);
        self.tags.update(tag);
    }

    /// Number of records and the hash over their tags.
    pub(crate) fn finish(self) -> (u32, [u8; 32]) {
        (self.records, self.tags.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_whole_or_not_at_all() {
        for log in [None, Some(LogHead { size: 11, root: [12; 32] })] {
            let (tags, previous) = ([9; 32], [10; TAG_BYTES]);
            let commit = Commit { batch: 5, mod_seq: 6, time: -7, records: 8, tags, previous, log };
            let bytes = commit.encode();
            assert_eq!(Commit::decode(&bytes), Some(commit));
            assert!((0..bytes.len()).all(|cut| Commit::decode(&bytes[..cut]).is_none()));
            assert!(Commit::decode(&[&bytes[..], &[0]].concat()).is_none());
            let other = if log.is_some() { WITHOUT_LOG } else { WITH_LOG };
            for version in [0, other, 3] {
                assert!(Commit::decode(&[&[version], &bytes[1..]].concat()).is_none(), "version {version}");
            }
        }
    }
}
