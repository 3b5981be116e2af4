//! MH: messages in numbered files, flags in `.mh_sequences`.
//!
//! Pure functions. A sequence line is `name: 3 5-9 12`; of the names, those that mean a flag are read.

use std::ops::RangeInclusive;
use storage::SourceFlags;

/// Largest `.mh_sequences` that is read, bytes.
pub(crate) const MAX_SEQUENCES_BYTES: u64 = 4 << 20;

/// The sequences that mean flags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Sequences {
    answered: Vec<RangeInclusive<u64>>,
    flagged: Vec<RangeInclusive<u64>>,
    forwarded: Vec<RangeInclusive<u64>>,
}

impl Sequences {
    /// Reads `.mh_sequences`; what can't be understood is left out.
    pub(crate) fn parse(bytes: &[u8]) -> Sequences {
        let mut sequences = Sequences::default();
        for line in String::from_utf8_lossy(bytes).lines() {
            let Some((name, numbers)) = line.split_once(':') else { continue };
            let list = match name.trim().to_ascii_lowercase().as_str() {
                "replied" | "answered" => &mut sequences.answered,
                "flagged" => &mut sequences.flagged,
                "forwarded" => &mut sequences.forwarded,
                _ => continue,
            };
            list.extend(numbers.split_ascii_whitespace().filter_map(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                Some(first.parse().ok()?..=last.parse().ok()?)
            }));
            list.sort_by_key(|range| *range.start());
        }
        sequences
    }

    /// The flags of a message.
    pub(crate) fn flags(&self, number: u64) -> SourceFlags {
        let has = |list: &[RangeInclusive<u64>]| {
            let behind = list.partition_point(|range| *range.start() <= number);
            list.get(..behind).is_some_and(|list| list.iter().rev().any(|range| range.contains(&number)))
        };
        SourceFlags {
            answered: has(&self.answered),
            flagged: has(&self.flagged),
            forwarded: has(&self.forwarded),
        }
    }
}

/// The number that a message's file name is.
pub(crate) fn number(name: &[u8]) -> Option<u64> {
    if name.is_empty() || !name.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(name).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences() {
        let sequences = Sequences::parse(
            b"cur: 1\nreplied: 3 5-7 x 9-\nflagged: 6\nAnswered: 12\nforwarded: 1-2\nno colon\n",
        );
        let answered: Vec<u64> = (1..=13).filter(|number| sequences.flags(*number).answered).collect();
        assert_eq!(answered, [3, 5, 6, 7, 12]);
        assert!(sequences.flags(6).flagged && !sequences.flags(5).flagged);
        assert!(sequences.flags(2).forwarded && !sequences.flags(3).forwarded);
        assert_eq!(Sequences::parse(b"\xff\x00"), Sequences::default());
    }

    #[test]
    fn numbers() {
        assert_eq!(number(b"12"), Some(12));
        for none in [&b""[..], b"1a", b",1", b"99999999999999999999999"] {
            assert_eq!(number(none), None);
        }
    }
}
