//! UIDs as ranges: an archive's UIDs hardly have holes, so counts, positions and lookups cost the number of ranges.

use crate::Uid;

/// A set of UIDs, kept as sorted, disjoint, non-adjacent closed ranges with the running count before each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UidRanges {
    ranges: Vec<Span>,
    count: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    first: u32,
    last: u32,
    before: u64,
}

impl UidRanges {
    /// The empty set.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Builds the set from closed ranges in any order, overlapping or not; `first > last` counts as swapped.
    #[must_use]
    pub fn from_spans(spans: impl IntoIterator<Item = (u32, u32)>) -> Self {
        let mut all: Vec<(u32, u32)> = spans.into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect();
        all.sort_unstable();
        let mut set = UidRanges::default();
        for (first, last) in all {
            match set.ranges.last_mut() {
                Some(end) if first <= end.last.saturating_add(1) => {
                    if last > end.last {
                        set.count += u64::from(last - end.last);
                        end.last = last;
                    }
                }
                _ => {
                    set.ranges.push(Span { first, last, before: set.count });
                    set.count += u64::from(last - first) + 1;
                }
            }
        }
        set
    }

    /// Adds a UID greater than all others in the set; smaller ones are inserted too, at a linear cost.
    pub fn push(&mut self, uid: Uid) {
        match self.ranges.last_mut() {
            Some(end) if uid.0 > end.last => {
                if uid.0 == end.last + 1 {
                    end.last = uid.0;
                } else {
                    self.ranges.push(Span { first: uid.0, last: uid.0, before: self.count });
                }
                self.count += 1;
            }
            None => {
                self.ranges.push(Span { first: uid.0, last: uid.0, before: 0 });
                self.count = 1;
            }
            Some(_) => *self = Self::from_spans(self.spans().chain([(uid.0, uid.0)])),
        }
    }

    /// How many UIDs there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.count
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The lowest UID.
    #[must_use]
    pub fn first(&self) -> Option<Uid> {
        self.ranges.first().map(|s| Uid(s.first))
    }

    /// The highest UID.
    #[must_use]
    pub fn last(&self) -> Option<Uid> {
        self.ranges.last().map(|s| Uid(s.last))
    }

    /// The UID at message sequence number `seq` (1-based, RFC 9051 §2.3.1.2).
    #[must_use]
    pub fn uid_at(&self, seq: u64) -> Option<Uid> {
        let zero = seq.checked_sub(1)?;
        let at = self.ranges.partition_point(|s| s.before <= zero).checked_sub(1)?;
        let span = self.ranges.get(at)?;
        let uid = u64::from(span.first) + (zero - span.before);
        (uid <= u64::from(span.last)).then(|| u32::try_from(uid).ok().map(Uid)).flatten()
    }

    /// The message sequence number (1-based) of `uid`, if it is in the set.
    #[must_use]
    pub fn seq_of(&self, uid: Uid) -> Option<u64> {
        let at = self.ranges.partition_point(|s| s.first <= uid.0).checked_sub(1)?;
        let span = self.ranges.get(at)?;
        (uid.0 <= span.last).then(|| span.before + u64::from(uid.0 - span.first) + 1)
    }

    /// Whether `uid` is in the set.
    #[must_use]
    pub fn contains(&self, uid: Uid) -> bool {
        self.seq_of(uid).is_some()
    }

    /// The closed ranges, rising.
    pub fn spans(&self) -> impl DoubleEndedIterator<Item = (u32, u32)> + '_ {
        self.ranges.iter().map(|s| (s.first, s.last))
    }

    /// All UIDs, rising.
    pub fn iter(&self) -> impl Iterator<Item = Uid> + '_ {
        self.spans().flat_map(|(a, b)| (a..=b).map(Uid))
    }

    /// The UIDs in both sets.
    #[must_use]
    pub fn intersect(&self, other: &UidRanges) -> UidRanges {
        let (mut i, mut j) = (0, 0);
        let mut out = UidRanges::default();
        while let (Some(a), Some(b)) = (self.ranges.get(i), other.ranges.get(j)) {
            let (first, last) = (a.first.max(b.first), a.last.min(b.last));
            if first <= last {
                out.ranges.push(Span { first, last, before: out.count });
                out.count += u64::from(last - first) + 1;
            }
            if a.last < b.last { i += 1 } else { j += 1 }
        }
        out
    }

    /// The UIDs of this set that are not in `other`.
    #[must_use]
    pub fn subtract(&self, other: &UidRanges) -> UidRanges {
        let mut out = UidRanges::default();
        let mut cuts = other.ranges.iter().peekable();
        for span in &self.ranges {
            let mut first = u64::from(span.first);
            let last = u64::from(span.last);
            while cuts.peek().is_some_and(|c| u64::from(c.last) < first) {
                cuts.next();
            }
            let mut ahead = cuts.clone();
            while let Some(cut) = ahead.peek().filter(|c| u64::from(c.first) <= last) {
                if first < u64::from(cut.first) {
                    out.extend_span(first, u64::from(cut.first) - 1);
                }
                first = u64::from(cut.last) + 1;
                ahead.next();
            }
            if first <= last {
                out.extend_span(first, last);
            }
        }
        out
    }

    /// All of them so much higher; what would not be a UID any more is left out.
    pub(crate) fn raised(&self, by: u32) -> UidRanges {
        let up = |uid: u32| u64::from(uid) + u64::from(by);
        let mut out = UidRanges::default();
        for span in &self.ranges {
            let last = up(span.last).min(u64::from(u32::MAX));
            if up(span.first) <= last {
                out.extend_span(up(span.first), last);
            }
        }
        out
    }

    /// All of them so much lower; those that are not above `by` are left out.
    pub(crate) fn lowered(&self, by: u32) -> UidRanges {
        let mut out = UidRanges::default();
        for span in self.ranges.iter().filter(|span| span.last > by) {
            let first = span.first.saturating_sub(by).max(1);
            out.extend_span(u64::from(first), u64::from(span.last - by));
        }
        out
    }

    fn extend_span(&mut self, first: u64, last: u64) {
        let (Ok(first), Ok(last)) = (u32::try_from(first), u32::try_from(last)) else { return };
        self.ranges.push(Span { first, last, before: self.count });
        self.count += u64::from(last - first) + 1;
    }
}

impl FromIterator<Uid> for UidRanges {
    fn from_iter<T: IntoIterator<Item = Uid>>(iter: T) -> Self {
        let mut set = UidRanges::default();
        let mut rest = Vec::new();
        for uid in iter {
            if set.last().is_none_or(|l| uid > l) { set.push(uid) } else { rest.push((uid.0, uid.0)) }
        }
        if rest.is_empty() { set } else { Self::from_spans(set.spans().chain(rest).collect::<Vec<_>>()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn set(uids: &BTreeSet<u32>) -> UidRanges {
        uids.iter().map(|&u| Uid(u)).collect()
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_set(a in prop::collection::btree_set(1u32..80, 0..40), b in prop::collection::btree_set(1u32..80, 0..40)) {
            let (x, y) = (set(&a), set(&b));
            prop_assert_eq!(x.len(), a.len() as u64);
            prop_assert_eq!(x.iter().map(|u| u.0).collect::<Vec<_>>(), a.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(x.intersect(&y), set(&a.intersection(&b).copied().collect()));
            prop_assert_eq!(x.subtract(&y), set(&a.difference(&b).copied().collect()));
            for (i, &u) in a.iter().enumerate() {
                prop_assert_eq!(x.uid_at(i as u64 + 1), Some(Uid(u)));
                prop_assert_eq!(x.seq_of(Uid(u)), Some(i as u64 + 1));
            }
            prop_assert_eq!(x.uid_at(0), None);
            prop_assert_eq!(x.uid_at(a.len() as u64 + 1), None);
            let shuffled: UidRanges = a.iter().rev().map(|&u| Uid(u)).collect();
            prop_assert_eq!(shuffled, x);
        }
    }

    #[test]
    fn sets_move_up_and_down_as_far_as_there_are_uids() {
        let some = UidRanges::from_spans([(1, 3), (10, 10)]);
        assert_eq!(some.raised(5), UidRanges::from_spans([(6, 8), (15, 15)]));
        assert_eq!(some.raised(5).lowered(5), some);
        assert_eq!(some.lowered(2), UidRanges::from_spans([(1, 1), (8, 8)]));
        assert_eq!(some.raised(u32::MAX - 3), UidRanges::from_spans([(u32::MAX - 2, u32::MAX)]));
        assert_eq!(some.lowered(10), UidRanges::new());
    }

    #[test]
    fn the_highest_uid_fits() {
        let all = UidRanges::from_spans([(u32::MAX, 1)]);
        assert_eq!(all.len(), u64::from(u32::MAX));
        assert_eq!(all.uid_at(u64::from(u32::MAX)), Some(Uid(u32::MAX)));
        assert_eq!(all.subtract(&UidRanges::from_spans([(1, u32::MAX)])), UidRanges::new());
        assert_eq!(all.subtract(&UidRanges::from_spans([(1, u32::MAX - 1)])).first(), Some(Uid(u32::MAX)));
    }
}
