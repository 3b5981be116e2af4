//! Numbers in few bits: Rice codes for gaps, varints for what stands alone.
//!
//! A Rice code of `v` with parameter `k` is `v >> k` zero bits, a one, and the low `k` bits of `v`; a quotient of [`ESCAPE`] or more
//! is written as that many zeros, a one, and 32 bits. Lowest bit first. Invariant: reading past the end is an error, never a number.

/// The quotient that says that the number follows as it is.
const ESCAPE: u32 = 24;
/// The largest parameter: a number's code always fits into what the reader holds.
const MAX_K: u32 = 31;

/// What is wrong with bytes that should be numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Appends a number, seven bits a byte.
pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Takes a number off the front.
pub(super) fn varint(bytes: &mut &[u8]) -> Result<u64, Malformed> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first().ok_or(Malformed)?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(Malformed)
}

/// Takes a number of 32 bits off the front.
pub(super) fn varint32(bytes: &mut &[u8]) -> Result<u32, Malformed> {
    u32::try_from(varint(bytes)?).map_err(|_| Malformed)
}

/// The parameter that writes these numbers in the fewest bits, or nearly.
pub(super) fn best_k(values: &[u32]) -> u8 {
    let sum: u64 = values.iter().map(|&value| u64::from(value)).sum();
    let guess = (sum / values.len().max(1) as u64).checked_ilog2().unwrap_or(0).min(MAX_K - 1);
    // Pieces whose sum fits 32 bits, so that many are added at once.
    let bits = |k: u32| -> u64 {
        let piece = |piece: &[u32]| piece.iter().map(|&v| 1 + k + (v >> k).min(ESCAPE + 32)).sum::<u32>();
        values.chunks(1 << 20).map(|values| u64::from(piece(values))).sum()
    };
    let k = (guess.saturating_sub(1)..=guess + 1).min_by_key(|&k| bits(k)).unwrap_or(guess);
    k as u8
}

/// Writes Rice codes behind what is there.
pub(super) struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    held: u64,
    /// Less than 32.
    bits: u32,
}

impl<'a> BitWriter<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>) -> BitWriter<'a> {
        BitWriter { out, held: 0, bits: 0 }
    }

    /// At most 32 bits.
    #[inline]
    fn put(&mut self, value: u64, bits: u32) {
        self.held |= value << self.bits;
        self.bits += bits;
        if self.bits >= 32 {
            self.out.extend_from_slice(&(self.held as u32).to_le_bytes());
            self.held >>= 32;
            self.bits -= 32;
        }
    }

    /// Appends a number.
    #[inline]
    pub(super) fn rice(&mut self, value: u32, k: u8) {
        let k = u32::from(k);
        let quotient = value >> k;
        if quotient >= ESCAPE {
            self.put(1 << ESCAPE, ESCAPE + 1);
            self.put(u64::from(value), 32);
        } else {
            self.put(1 << quotient, quotient + 1);
            self.put(u64::from(value) & ((1 << k) - 1), k);
        }
    }

    /// Fills the last byte.
    pub(super) fn finish(mut self) {
        while self.bits > 0 {
            self.out.push(self.held as u8);
            self.held >>= 8;
            self.bits = self.bits.saturating_sub(8);
        }
    }
}

/// Reads Rice codes.
#[derive(Clone)]
pub(super) struct BitReader<'a> {
    rest: &'a [u8],
    held: u64,
    bits: u32,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> BitReader<'a> {
        BitReader { rest: bytes, held: 0, bits: 0 }
    }

    /// Holds at least 56 bits afterwards, unless the bytes end.
    #[inline]
    fn refill(&mut self) {
        if let Some(word) = self.rest.first_chunk::<8>() {
            self.held |= u64::from_le_bytes(*word) << self.bits;
            let taken = (63 - self.bits) / 8;
            self.rest = &self.rest[taken as usize..];
            self.bits += taken * 8;
        } else {
            while self.bits <= 56
                && let Some((&byte, rest)) = self.rest.split_first()
            {
                self.held |= u64::from(byte) << self.bits;
                self.rest = rest;
                self.bits += 8;
            }
        }
    }

    #[inline]
    fn take(&mut self, bits: u32) -> Result<u64, Malformed> {
        self.bits = self.bits.checked_sub(bits).ok_or(Malformed)?;
        let value = self.held & ((1u64 << bits) - 1);
        self.held >>= bits;
        Ok(value)
    }

    /// The next number.
    #[inline]
    pub(super) fn rice(&mut self, k: u8) -> Result<u32, Malformed> {
        self.refill();
        let quotient = self.held.trailing_zeros();
        if quotient < ESCAPE {
            let k = u32::from(k).min(MAX_K);
            self.take(quotient + 1)?;
            let low = self.take(k)?;
            return Ok((quotient << k) | low as u32);
        }
        if quotient > ESCAPE {
            return Err(Malformed);
        }
        self.take(ESCAPE + 1)?;
        self.refill();
        Ok(self.take(32)? as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_ends_early_is_an_error() {
        let mut out = Vec::new();
        let mut writer = BitWriter::new(&mut out);
        for value in [0, 5, u32::MAX, 1 << 24, 77] {
            writer.rice(value, 3);
        }
        writer.finish();
        let mut reader = BitReader::new(&out);
        assert_eq!(
            [0, 5, u32::MAX, 1 << 24, 77].map(|_| reader.rice(3).unwrap()),
            [0, 5, u32::MAX, 1 << 24, 77]
        );
        assert_eq!(reader.rice(3), Err(Malformed));
        let mut cut = BitReader::new(&out[..4]);
        assert!((0..5).any(|_| cut.rice(3).is_err()));
        assert_eq!(BitReader::new(&[]).rice(0), Err(Malformed));
        assert_eq!(BitReader::new(&[0; 20]).rice(0), Err(Malformed), "more zeros than any code has");
        assert_eq!(varint(&mut &[0x80][..]), Err(Malformed));
        assert_eq!(varint(&mut &[0xff; 11][..]), Err(Malformed));
        assert_eq!(varint32(&mut &[0xff, 0xff, 0xff, 0xff, 0x7f][..]), Err(Malformed));
    }

    proptest! {
        #[test]
        fn numbers_come_back(values in prop::collection::vec(prop_oneof![0u32..4, 0u32..1000, any::<u32>()], 0..300), k in 0u8..32) {
            for k in [k, best_k(&values)] {
                let mut out = vec![9];
                let mut writer = BitWriter::new(&mut out);
                values.iter().for_each(|&value| writer.rice(value, k));
                writer.finish();
                let mut reader = BitReader::new(&out[1..]);
                for &value in &values {
                    prop_assert_eq!(reader.rice(k), Ok(value));
                }
            }
            let mut out = Vec::new();
            values.iter().for_each(|&value| put_varint(u64::from(value) << 20, &mut out));
            let mut rest = &out[..];
            for &value in &values {
                prop_assert_eq!(varint(&mut rest), Ok(u64::from(value) << 20));
            }
            prop_assert!(rest.is_empty());
        }
    }
}
