//! PARTIAL's range (RFC 9394 §4), as SEARCH's RETURN and FETCH's modifier have it.

use super::{Cursor, Wrong};
use crate::proto::encode;

/// `1:500`, or counted from the end, `-1:-500`; as it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Partial {
    pub(crate) a: u32,
    pub(crate) b: u32,
    /// Both are negative.
    pub(crate) from_end: bool,
}

impl Partial {
    /// Parses what follows `PARTIAL `.
    pub(crate) fn parse(c: &mut Cursor<'_>) -> Result<Partial, Wrong> {
        const WRONG: Wrong = Wrong("the range of PARTIAL is wrong");
        let from_end = c.eat(b'-');
        let number = |c: &mut Cursor<'_>| {
            c.number().ok().and_then(|n| u32::try_from(n).ok()).filter(|&n| n > 0).ok_or(WRONG)
        };
        let a = number(c)?;
        c.byte(b':', WRONG.0)?;
        if c.eat(b'-') != from_end {
            return Err(WRONG);
        }
        Ok(Partial { a, b: number(c)?, from_end })
    }

    /// The places that it means among so many, counted from 1: first and last. The first may lie behind the last one there is.
    pub(crate) fn places(self, count: u64) -> (u64, u64) {
        let (low, high) = (u64::from(self.a.min(self.b)), u64::from(self.a.max(self.b)));
        if self.from_end {
            if low > count {
                return (count + 1, count);
            }
            (count.saturating_sub(high - 1).max(1), count - (low - 1))
        } else {
            (low, high.min(count))
        }
    }

    /// How many places it names, there or not.
    pub(crate) fn count(self) -> u64 {
        u64::from(self.a.abs_diff(self.b)) + 1
    }

    /// Writes it as it was asked.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        for (n, number) in [self.a, self.b].into_iter().enumerate() {
            if n > 0 {
                out.push(b':');
            }
            if self.from_end {
                out.push(b'-');
            }
            encode::number(u64::from(number), out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, a, b, from_end) in [
            ("1:500", 1, 500, false),
            ("-1:-500", 1, 500, true),
            ("9:2", 9, 2, false),
            ("1:4294967295", 1, u32::MAX, false),
        ] {
            let found = Partial::parse(&mut Cursor::new(text.as_bytes())).unwrap();
            assert_eq!(found, Partial { a, b, from_end });
            let mut out = Vec::new();
            found.write(&mut out);
            assert_eq!(out, text.as_bytes());
        }
        for bad in ["", "1", "0:1", "1:0", "1:*", "-1:5", "1:-5", "1:4294967296", "\"1:5\"", ":", "-0:-1"] {
            assert!(Partial::parse(&mut Cursor::new(bad.as_bytes())).is_err(), "{bad}");
        }
    }

    #[test]
    fn places() {
        for (a, b, from_end, count, expected) in [
            (1, 5, false, 10, (1, 5)),
            (5, 1, false, 3, (1, 3)),
            (4, 9, false, 3, (4, 3)),
            (1, 2, true, 10, (9, 10)),
            (3, 99, true, 10, (1, 8)),
            (10, 10, true, 10, (1, 1)),
            (11, 20, true, 10, (11, 10)),
            (1, 1, true, 0, (1, 0)),
        ] {
            assert_eq!(Partial { a, b, from_end }.places(count), expected, "{a}:{b} {from_end} of {count}");
        }
    }
}
