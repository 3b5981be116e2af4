//! Which segments of the index are merged: few segments make a search quick, but merging takes memory.
//!
//! Invariant: no merge reads more than `most_bytes` of terms and postings. A merge maps its sources and holds the
//! addresses of all terms of its result, so without a bound it would take memory with the archive. A segment that has
//! grown to a quarter of that is left as it is; so every merge takes at least four, and text is written few times.

use std::collections::HashMap;
use std::path::PathBuf;
use tantivy::index::{SegmentComponent, SegmentId, SegmentMeta};
use tantivy::indexer::{LogMergePolicy, MergeCandidate, MergePolicy};

/// Bytes of terms and postings that one merge may read.
pub(super) const MERGE_BYTES: u64 = 64 << 20;

/// Merges segments of about the same number of messages, while they are small.
#[derive(Debug)]
pub(super) struct BoundedMerges {
    dir: PathBuf,
    most_bytes: u64,
    by_messages: LogMergePolicy,
}

impl BoundedMerges {
    /// For the index in `dir`.
    pub(super) fn new(dir: PathBuf, most_bytes: u64) -> BoundedMerges {
        BoundedMerges { dir, most_bytes, by_messages: LogMergePolicy::default() }
    }

    /// Terms and postings of a segment. One that can't be looked at counts as too large: it stays alone.
    fn bytes(&self, segment: &SegmentMeta) -> u64 {
        let files = [SegmentComponent::Terms, SegmentComponent::Postings];
        let sizes = files.map(|file| std::fs::metadata(self.dir.join(segment.relative_path(file))));
        sizes.into_iter().fold(0, |sum: u64, size| sum.saturating_add(size.map_or(u64::MAX, |m| m.len())))
    }
}

impl MergePolicy for BoundedMerges {
    fn compute_merge_candidates(&self, segments: &[SegmentMeta]) -> Vec<MergeCandidate> {
        let sizes: HashMap<SegmentId, u64> = segments
            .iter()
            .map(|segment| (segment.id(), self.bytes(segment)))
            .filter(|(_, bytes)| *bytes <= self.most_bytes / 4)
            .collect();
        let small: Vec<_> = segments.iter().filter(|s| sizes.contains_key(&s.id())).cloned().collect();
        let mut candidates = self.by_messages.compute_merge_candidates(&small);
        for MergeCandidate(ids) in &mut candidates {
            keep_within(ids, self.most_bytes, |id| sizes.get(id).copied().unwrap_or(u64::MAX));
        }
        candidates.retain(|MergeCandidate(ids)| ids.len() > 1);
        candidates
    }
}

/// Keeps as many as fit together, the smallest first.
fn keep_within<T>(items: &mut Vec<T>, most_bytes: u64, bytes: impl Fn(&T) -> u64) {
    items.sort_by_key(&bytes);
    let mut sum = 0u64;
    let fit = items
        .iter()
        .take_while(|item| {
            sum = sum.saturating_add(bytes(item));
            sum <= most_bytes
        })
        .count();
    items.truncate(fit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merge_takes_what_fits_the_smallest_first() {
        for (sizes, expected) in [
            (vec![], vec![]),
            (vec![4, 3, 2, 1], vec![1, 2, 3, 4]),
            (vec![4, 3, 2, 2], vec![2, 2, 3]),
            (vec![10], vec![10]),
            (vec![11], vec![]),
            (vec![1, u64::MAX, u64::MAX], vec![1]),
        ] {
            let mut items: Vec<u64> = sizes;
            keep_within(&mut items, 10, |bytes| *bytes);
            assert_eq!(items, expected);
        }
    }
}
