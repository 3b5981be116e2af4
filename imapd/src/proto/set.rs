//! Sequence sets (RFC 3501 §9 `sequence-set`) and what they mean in a mailbox.
//!
//! Invariant: resolving costs the ranges of set and mailbox, never the messages; no number outside the mailbox comes out.

use storage::{Uid, UidRanges};

/// A parsed sequence set; `None` stands for `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SeqSet(pub(crate) Vec<(Option<u32>, Option<u32>)>);

/// Which messages a command is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Targets {
    /// Those of a set.
    Set(SeqSet),
    /// Those that the last SEARCH with SAVE found (RFC 5182).
    Saved,
}

impl SeqSet {
    /// Parses a whole set; `None` if it is none (0 is no message number).
    pub(crate) fn parse(text: &[u8]) -> Option<SeqSet> {
        text.split(|&b| b == b',')
            .map(|item| {
                let mut ends = item.split(|&b| b == b':');
                let first = end(ends.next()?)?;
                let last = ends.next().map_or(Some(first), end)?;
                ends.next().is_none().then_some((first, last))
            })
            .collect::<Option<Vec<_>>>()
            .map(SeqSet)
    }

    /// The set's UIDs, there or not; `*` is `last`.
    pub(crate) fn raw(&self, last: u32) -> UidRanges {
        UidRanges::from_spans(self.0.iter().map(|&(a, b)| (a.unwrap_or(last), b.unwrap_or(last))))
    }

    /// The mailbox's UIDs in the set, read as UIDs: absent ones are left out, `*` is the last one that is there.
    pub(crate) fn uids(&self, mailbox: &UidRanges) -> UidRanges {
        let Some(last) = mailbox.last() else { return UidRanges::new() };
        let spans = self.0.iter().map(|&(a, b)| (a.unwrap_or(last.0), b.unwrap_or(last.0)));
        mailbox.intersect(&UidRanges::from_spans(spans))
    }

    /// The UIDs of the messages in the set, read as sequence numbers; what lies past the end is left out.
    pub(crate) fn clamped(&self, mailbox: &UidRanges) -> UidRanges {
        let count = mailbox.len();
        let spans = self.0.iter().filter_map(|&(a, b)| {
            let a = a.map_or(count, u64::from);
            let b = b.map_or(count, u64::from);
            let first = mailbox.uid_at(a.min(b))?;
            let last = mailbox.uid_at(a.max(b).min(count))?;
            Some((first.0, last.0))
        });
        mailbox.intersect(&UidRanges::from_spans(spans))
    }

    /// As [`SeqSet::clamped`], but `None` if a number lies past the end (`*` in an empty mailbox too).
    pub(crate) fn exact(&self, mailbox: &UidRanges) -> Option<UidRanges> {
        let count = mailbox.len();
        let inside = |n: Option<u32>| n.map_or(count > 0, |n| u64::from(n) <= count);
        self.0.iter().all(|&(a, b)| inside(a) && inside(b)).then(|| self.clamped(mailbox))
    }
}

fn end(text: &[u8]) -> Option<Option<u32>> {
    if text == b"*" {
        return Some(None);
    }
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok().filter(|&n: &u32| n > 0).map(Some)
}

/// Message numbers or UIDs as text, in pieces: what ESEARCH's ALL shows and SEARCH lists.
#[derive(Debug)]
pub(crate) struct Runs(std::vec::IntoIter<(u64, u64)>);

impl Runs {
    /// The runs of `found`, as UIDs or as the mailbox's sequence numbers.
    pub(crate) fn new(found: &UidRanges, mailbox: &UidRanges, by_uid: bool) -> Runs {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for (first, last) in found.spans() {
            let run = if by_uid {
                Some((u64::from(first), u64::from(last)))
            } else {
                mailbox.seq_of(Uid(first)).zip(mailbox.seq_of(Uid(last)))
            };
            match (runs.last_mut(), run) {
                (Some(end), Some(run)) if end.1 + 1 == run.0 => end.1 = run.1,
                (_, Some(run)) => runs.push(run),
                (_, None) => {}
            }
        }
        Runs(runs.into_iter())
    }
}

impl Iterator for Runs {
    type Item = (u64, u64);
    fn next(&mut self) -> Option<(u64, u64)> {
        self.0.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox() -> UidRanges {
        UidRanges::from_spans([(11, 20), (31, 50)])
    }
    fn spans(set: &UidRanges) -> Vec<(u32, u32)> {
        set.spans().collect()
    }

    #[test]
    fn what_is_a_set() {
        for ok in ["1", "*", "1:2", "2:1", "*:3", "1,2,4:*", "4294967295"] {
            assert!(SeqSet::parse(ok.as_bytes()).is_some(), "{ok}");
        }
        for bad in ["", "0", "1,", ",1", "1:2:3", "a", "1:", ":1", "+1", "4294967296", "1:0", "**"] {
            assert!(SeqSet::parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn uids_past_the_end_give_the_last() {
        for (set, expected) in [
            ("99:*", vec![(50, 50)]),
            ("*:99", vec![(50, 50)]),
            ("99", vec![]),
            ("*", vec![(50, 50)]),
            ("*:48", vec![(48, 50)]),
            ("1:*", vec![(11, 20), (31, 50)]),
            ("20:31,12,13", vec![(12, 13), (20, 20), (31, 31)]),
        ] {
            assert_eq!(spans(&SeqSet::parse(set.as_bytes()).unwrap().uids(&mailbox())), expected, "{set}");
        }
        assert!(SeqSet::parse(b"*:*").unwrap().uids(&UidRanges::new()).is_empty());
    }

    #[test]
    fn sequence_numbers_exact_and_clamped() {
        for (set, exact, clamped) in [
            ("1:3", Some(vec![(11, 13)]), vec![(11, 13)]),
            ("*:29", Some(vec![(49, 50)]), vec![(49, 50)]),
            ("30", Some(vec![(50, 50)]), vec![(50, 50)]),
            ("31", None, vec![]),
            ("29:99", None, vec![(49, 50)]),
            ("99:29", None, vec![(49, 50)]),
            ("10:11", Some(vec![(20, 20), (31, 31)]), vec![(20, 20), (31, 31)]),
        ] {
            let set_ = SeqSet::parse(set.as_bytes()).unwrap();
            assert_eq!(set_.exact(&mailbox()).map(|s| spans(&s)), exact, "{set}");
            assert_eq!(spans(&set_.clamped(&mailbox())), clamped, "{set}");
        }
        let empty = UidRanges::new();
        for set in ["1:*", "*", "1"] {
            let set = SeqSet::parse(set.as_bytes()).unwrap();
            assert!(set.exact(&empty).is_none() && set.clamped(&empty).is_empty());
        }
    }

    #[test]
    fn runs_join_over_holes_between_uids() {
        let found = UidRanges::from_spans([(19, 20), (31, 32), (40, 40)]);
        assert_eq!(Runs::new(&found, &mailbox(), true).collect::<Vec<_>>(), [(19, 20), (31, 32), (40, 40)]);
        assert_eq!(Runs::new(&found, &mailbox(), false).collect::<Vec<_>>(), [(9, 12), (20, 20)]);
    }
}
