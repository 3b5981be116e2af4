//! VANISHED (RFC 7162 §3.2.10), and works one after the other.

use crate::proto::encode;
use crate::reply::Refusal;
use crate::session::{CHUNK, Work};
use std::collections::VecDeque;
use storage::{Cancel, UidRanges};

/// Ranges of one line: long lines trouble clients.
const LINE_RANGES: usize = 1_000;

/// Tells UIDs that are gone, in lines of bounded length.
pub(crate) struct Vanished {
    spans: VecDeque<(u32, u32)>,
    head: &'static [u8],
}

impl Vanished {
    /// UIDs that went while the client was away.
    pub(crate) fn earlier(uids: &UidRanges) -> Vanished {
        Vanished { spans: uids.spans().collect(), head: b"* VANISHED (EARLIER) " }
    }
    /// UIDs that go now.
    pub(crate) fn now(uids: &UidRanges) -> Vanished {
        Vanished { spans: uids.spans().collect(), head: b"* VANISHED " }
    }
}

impl Work for Vanished {
    fn step(&mut self, out: &mut Vec<u8>, _: &Cancel) -> Result<bool, Refusal> {
        while !self.spans.is_empty() {
            if out.len() >= CHUNK {
                return Ok(false);
            }
            out.extend_from_slice(self.head);
            let line = self.spans.len().min(LINE_RANGES);
            for (n, (first, last)) in self.spans.drain(..line).enumerate() {
                if n > 0 {
                    out.push(b',');
                }
                encode::number(u64::from(first), out);
                if first < last {
                    out.push(b':');
                    encode::number(u64::from(last), out);
                }
            }
            out.extend_from_slice(b"\r\n");
        }
        Ok(true)
    }
}

/// One work after the other. What those that are done figured is kept.
pub(crate) struct Chain(VecDeque<Box<dyn Work>>, (u64, u64));

impl Chain {
    pub(crate) fn new(works: impl IntoIterator<Item = Box<dyn Work>>) -> Chain {
        Chain(works.into_iter().collect(), (0, 0))
    }
}

impl Work for Chain {
    fn step(&mut self, out: &mut Vec<u8>, cancel: &Cancel) -> Result<bool, Refusal> {
        while let Some(work) = self.0.front_mut() {
            if !work.step(out, cancel)? {
                return Ok(false);
            }
            let figures = work.figures();
            self.1 = (self.1.0 + figures.0, self.1.1 + figures.1);
            self.0.pop_front();
        }
        Ok(true)
    }
    fn is_inside_line(&self) -> bool {
        self.0.front().is_some_and(|work| work.is_inside_line())
    }
    fn figures(&self) -> (u64, u64) {
        self.0.iter().map(|work| work.figures()).fold(self.1, |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded() {
        let every_other = |n: u32| UidRanges::from_spans((1..=n).map(|n| (2 * n, 2 * n)));
        for (ranges, lines) in [(LINE_RANGES as u32, 1), (LINE_RANGES as u32 + 1, 2)] {
            let mut out = Vec::new();
            assert_eq!(Vanished::now(&every_other(ranges)).step(&mut out, &Cancel::default()), Ok(true));
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text.lines().count(), lines);
            assert_eq!(text.matches([',', ' ']).count() - lines, ranges as usize);
        }
        let mut out = Vec::new();
        let some = UidRanges::from_spans([(41, 41), (43, 116)]);
        assert_eq!(Vanished::earlier(&some).step(&mut out, &Cancel::default()), Ok(true));
        assert_eq!(out, b"* VANISHED (EARLIER) 41,43:116\r\n");
    }
}
