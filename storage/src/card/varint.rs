//! Numbers as the encoded card holds them: LEB128, signed ones zigzag.
//!
//! Reading never goes past the end and takes ten bytes at most.

use bytes::{Buf, Bytes};

/// Appends a number.
pub(super) fn put(mut number: u64, out: &mut Vec<u8>) {
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Appends a signed number.
pub(super) fn put_signed(number: i64, out: &mut Vec<u8>) {
    put(((number << 1) ^ (number >> 63)).cast_unsigned(), out);
}

/// Takes a number from the front.
pub(super) fn take(bytes: &mut Bytes) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        if bytes.is_empty() {
            return None;
        }
        let byte = bytes.get_u8();
        if shift == 63 && byte > 1 {
            return None;
        }
        number |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
    }
    None
}

/// Takes a signed number from the front.
pub(super) fn take_signed(bytes: &mut Bytes) -> Option<i64> {
    let number = take(bytes)?;
    Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
}

/// Takes a length and as many bytes, shared.
pub(super) fn take_bytes(bytes: &mut Bytes) -> Option<Bytes> {
    let len = usize::try_from(take(bytes)?).ok()?;
    if len > bytes.len() { None } else { Some(bytes.split_to(len)) }
}
