//! UIDBATCHES (RFC 10022): the selected mailbox parted into ranges of UIDs that hold so many messages each, from the highest UID down.
//!
//! Invariant: the ranges of all batches lie side by side, from the highest UID that is there down to 1, and each holds exactly as
//! many messages as were asked for, but for the last. They cost the number of batches, not of messages: so nobody is refused for
//! asking again (§3.1.1 lets a server do that to guard itself).

use crate::proto::encode;
use crate::proto::parse::{Cursor, simple};
use crate::reply::Refusal;
use crate::session::{CHUNK, Call, Done, Session, Work};
use std::sync::Arc;
use storage::{Cancel, UidRanges};

/// The smallest batch (§3.1.3.2): smaller ones would be sequence numbers by another name.
const MIN_SIZE: u32 = 500;
/// The most messages that a range of batches may span (§3.1.5).
const MAX_SPAN: u64 = 100_000;

/// UIDBATCHES. `$` stays what it was (§3.4).
pub(crate) fn run(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    let simple::Batches { size, range } = simple::batches(c)?;
    if size < MIN_SIZE {
        return Err(Refusal::No("TOOFEW", "A batch has at least 500 messages"));
    }
    let size = u64::from(size);
    let (first, last) = match range {
        None => (1, u64::MAX),
        Some((first, last)) if first > last => {
            return Err(Refusal::Bad("[CLIENTBUG] A range of batches rises"));
        }
        Some((first, last)) => (u64::from(first), u64::from(last)),
    };
    if range.is_some() && (last - first + 1).saturating_mul(size) > MAX_SPAN {
        return Err(Refusal::No("TOOMANY", "A range of batches spans at most 100000 messages"));
    }
    let uids = Arc::clone(s.selected()?.uids());
    call.out.extend_from_slice(b"* UIDBATCHES (TAG ");
    encode::string(call.tag, call.out);
    call.out.push(b')');
    let last = last.min(uids.len().div_ceil(size));
    Ok(Done::Work(Box::new(Batches { uids, size, first, next: first, last }), "UIDBATCHES done"))
}

/// Tells the ranges.
struct Batches {
    uids: Arc<UidRanges>,
    /// Messages a batch.
    size: u64,
    /// Batches, counted from 1 at the highest UIDs.
    first: u64,
    next: u64,
    last: u64,
}

impl Batches {
    /// The lowest UID of a batch; of the last one 1, which says that it is the last (§3.1.4).
    fn low(&self, batch: u64) -> Option<u32> {
        match self.uids.len().checked_sub(batch * self.size) {
            None | Some(0) => Some(1),
            Some(below) => self.uids.uid_at(below + 1).map(|uid| uid.0),
        }
    }
    fn high(&self, batch: u64) -> Option<u32> {
        match batch {
            1 => self.uids.last().map(|uid| uid.0),
            _ => self.low(batch - 1).map(|low| low - 1),
        }
    }
}

impl Work for Batches {
    fn step(&mut self, out: &mut Vec<u8>, _: &Cancel) -> Result<bool, Refusal> {
        while self.next <= self.last {
            if out.len() >= CHUNK {
                return Ok(false);
            }
            if let Some((high, low)) = self.high(self.next).zip(self.low(self.next)) {
                out.push(if self.next == self.first { b' ' } else { b',' });
                encode::number(u64::from(high), out);
                out.push(b':');
                encode::number(u64::from(low), out);
            }
            self.next += 1;
        }
        out.extend_from_slice(b"\r\n");
        Ok(true)
    }
    fn is_inside_line(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(uids: &UidRanges, size: u64, first: u64, last: u64) -> String {
        let last = last.min(uids.len().div_ceil(size));
        let mut work = Batches { uids: Arc::new(uids.clone()), size, first, next: first, last };
        let mut all = Vec::new();
        loop {
            let mut out = Vec::new();
            let done = work.step(&mut out, &Cancel::default()).unwrap();
            all.extend(out);
            if done {
                return String::from_utf8(all).unwrap();
            }
        }
    }

    /// RFC 10022 §3.1.1, §3.1.5 and §3.1.6.
    #[test]
    fn the_examples() {
        let spans = [(302, 1_124), (7_830, 9_829), (20_351, 22_350), (99_696, 101_694), (215_295, 215_295)];
        let uids = UidRanges::from_spans(spans);
        assert_eq!(uids.len(), 6_823);
        assert_eq!(told(&uids, 2_000, 1, u64::MAX), " 215295:99696,99695:20351,20350:7830,7829:1\r\n");
        assert_eq!(told(&uids, 2_000, 1, 5), " 215295:99696,99695:20351,20350:7830,7829:1\r\n");
        assert_eq!(told(&uids, 2_000, 3, 3), " 20350:7830\r\n");
        assert_eq!(told(&uids, 2_000, 6, 8), "\r\n");
        let all = UidRanges::from_spans([(1, 100_000)]);
        let some = told(&all, 2_000, 10, 20);
        assert!(
            some.starts_with(" 82000:80001,80000:78001,") && some.ends_with(",62000:60001\r\n"),
            "{some}"
        );
        // A single one spans all (§3.1.3.3.1); so many fit exactly.
        assert_eq!(told(&uids, 6_823, 1, u64::MAX), " 215295:1\r\n");
        assert_eq!(told(&uids, u64::from(u32::MAX), 1, u64::MAX), " 215295:1\r\n");
        assert_eq!(told(&all, 50_000, 1, u64::MAX), " 100000:50001,50000:1\r\n");
        assert_eq!(told(&UidRanges::new(), 500, 1, u64::MAX), "\r\n");
    }

    #[test]
    fn a_long_answer_comes_in_pieces() {
        let uids = UidRanges::from_spans([(1, 10_000_000)]);
        let all = told(&uids, 500, 1, u64::MAX);
        assert!(all.len() > 4 * CHUNK && all.ends_with(",500:1\r\n"));
        assert_eq!(all.matches([' ', ',']).count(), 20_000);
    }

    proptest! {
        #[test]
        fn side_by_side_and_full(
            gaps in prop::collection::vec((1u32..50, 0u32..50), 0..40),
            size in 1u64..60,
            from in 1u64..20,
            count in 1u64..20,
        ) {
            let mut end = 0;
            let span = |(gap, more)| {
                let first = end + gap;
                end = first + more;
                (first, end)
            };
            let uids = UidRanges::from_spans(gaps.into_iter().map(span).collect::<Vec<_>>());
            let all = told(&uids, size, 1, u64::MAX);
            let ranges: Vec<(u32, u32)> = all
                .trim()
                .split(',')
                .filter_map(|range| range.split_once(':'))
                .map(|(high, low)| (high.parse().unwrap(), low.parse().unwrap()))
                .collect();
            prop_assert_eq!(ranges.len() as u64, uids.len().div_ceil(size));
            prop_assert_eq!(ranges.first().map(|range| range.0), uids.last().map(|uid| uid.0));
            prop_assert!(ranges.last().is_none_or(|range| range.1 == 1));
            prop_assert!(ranges.windows(2).all(|two| two[0].1 - 1 == two[1].0));
            for (n, (high, low)) in ranges.iter().enumerate() {
                let held = uids.intersect(&UidRanges::from_spans([(*low, *high)])).len();
                prop_assert!(held == size || (n + 1 == ranges.len() && held <= size && held > 0));
            }
            let some: Vec<String> =
                ranges.iter().skip(from as usize - 1).take(count as usize).map(|(a, b)| format!("{a}:{b}")).collect();
            let part = told(&uids, size, from, from + count - 1);
            prop_assert_eq!(part.trim(), some.join(","));
        }
    }
}
