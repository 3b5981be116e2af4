//! Pages of placements: neighbours in a folder, column by column, each as the difference from the one before.
//!
//! Invariant: a page holds 1..=128 placements rising by UID, and its key is the first one's UID. It ends with a check of its
//! own: a rotten byte must not give a UID another message, which would read back as right. Prefixes and unusual line ends
//! are not here but in the table of extras.

use crate::pack::varint::{Reader, put, put_signed};
use crate::store::facts::{flag_bits, flags_of};
use crate::{ModSeq, MsgNo, Row, SourceFlags, StoreNo, Uid};
use sha2::{Digest, Sha256};

/// Bytes of a page's check.
const CHECK_BYTES: usize = 4;
/// Most placements of a page.
pub(crate) const PAGE_ROWS: usize = 128;

/// A placement as the database keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) row: Row,
    pub(crate) archive_uid: Uid,
    pub(crate) leaf: u64,
    /// All line ends were LF.
    pub(crate) lf: bool,
    /// Prefix or line-end map stand in the table of extras.
    pub(crate) extra: bool,
}

const LF: u8 = 8;
const EXTRA: u8 = 16;

const SECS_A_DAY: i64 = 86_400;

fn local_day(row: &Row) -> i64 {
    row.date.secs.saturating_add(i64::from(row.date.zone) * 60).div_euclid(SECS_A_DAY)
}

/// Lays a page out.
pub(crate) fn encode(rows: &[Placed]) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 * rows.len() + 4);
    put(&mut out, rows.len() as u64);
    column(&mut out, rows, |p| i64::from(p.row.uid.0));
    column(&mut out, rows, |p| i64::from(p.row.msg.0));
    column(&mut out, rows, |p| p.row.date.secs);
    column(&mut out, rows, |p| i64::from(p.row.date.zone));
    for p in rows {
        let bits = flag_bits(p.row.flags);
        out.push(bits | if p.lf { LF } else { 0 } | if p.extra { EXTRA } else { 0 });
    }
    for p in rows {
        put(&mut out, p.row.size);
    }
    for p in rows {
        match p.row.sent_day {
            None => put_signed(&mut out, 0),
            Some(day) => {
                let from_local = i64::from(day).wrapping_sub(local_day(&p.row));
                put_signed(&mut out, from_local.wrapping_add(if from_local >= 0 { 1 } else { 0 }));
            }
        }
    }
    column(&mut out, rows, |p| p.row.mod_seq.0 as i64);
    column(&mut out, rows, |p| i64::from(p.archive_uid.0));
    column(&mut out, rows, |p| p.leaf as i64);
    let check = check(&out);
    out.extend_from_slice(&check);
    out
}

/// The first bytes of the SHA-256 of what stands before.
fn check(page: &[u8]) -> [u8; CHECK_BYTES] {
    let sum: [u8; 32] = Sha256::digest(page).into();
    sum.first_chunk().copied().unwrap_or_default()
}

fn column(out: &mut Vec<u8>, rows: &[Placed], value: impl Fn(&Placed) -> i64) {
    let mut last = 0i64;
    for p in rows {
        let now = value(p);
        put_signed(out, now.wrapping_sub(last));
        last = now;
    }
}

const EMPTY: Placed = Placed {
    row: Row {
        uid: Uid(0),
        store: StoreNo(0),
        msg: MsgNo(0),
        date: crate::InternalDate { secs: 0, zone: 0 },
        sent_day: None,
        size: 0,
        flags: SourceFlags { answered: false, flagged: false, forwarded: false },
        mod_seq: ModSeq(0),
        came: ModSeq(0),
    },
    archive_uid: Uid(0),
    leaf: 0,
    lf: false,
    extra: false,
};

/// Reads a page; `None` when the bytes are none.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<Placed>> {
    let (page, sum) = bytes.split_last_chunk()?;
    if check(page) != *sum {
        return None;
    }
    let mut from = Reader::new(page);
    let count = usize::try_from(from.varint()?).ok().filter(|&n| (1..=PAGE_ROWS).contains(&n))?;
    let mut rows = vec![EMPTY; count];
    read_column(&mut from, &mut rows, |p, v| set(&mut p.row.uid.0, v))?;
    read_column(&mut from, &mut rows, |p, v| set(&mut p.row.msg.0, v))?;
    read_column(&mut from, &mut rows, |p, v| set(&mut p.row.date.secs, v))?;
    read_column(&mut from, &mut rows, |p, v| set(&mut p.row.date.zone, v))?;
    let bits = from.take(count)?;
    for (p, &bits) in rows.iter_mut().zip(bits) {
        p.row.flags = flags_of(bits);
        p.lf = bits & LF != 0;
        p.extra = bits & EXTRA != 0;
    }
    for p in &mut rows {
        p.row.size = from.varint()?;
    }
    for p in &mut rows {
        let coded = from.signed()?;
        p.row.sent_day = match coded {
            0 => None,
            coded => {
                let from_local = if coded > 0 { coded - 1 } else { coded };
                Some(i32::try_from(local_day(&p.row).wrapping_add(from_local)).ok()?)
            }
        };
    }
    read_column(&mut from, &mut rows, |p, v| {
        (p.row.mod_seq, p.row.came) = (ModSeq(v as u64), ModSeq(v as u64));
        Some(())
    })?;
    read_column(&mut from, &mut rows, |p, v| set(&mut p.archive_uid.0, v))?;
    read_column(&mut from, &mut rows, |p, v| {
        p.leaf = v as u64;
        Some(())
    })?;
    let rising = rows.windows(2).all(|w| matches!(w, [a, b] if a.row.uid < b.row.uid));
    (from.is_empty() && rising).then_some(rows)
}

fn set<T: TryFrom<i64>>(field: &mut T, value: i64) -> Option<()> {
    *field = T::try_from(value).ok()?;
    Some(())
}

fn read_column(
    from: &mut Reader<'_>,
    rows: &mut [Placed],
    set: impl Fn(&mut Placed, i64) -> Option<()>,
) -> Option<()> {
    let mut last = 0i64;
    for p in rows {
        last = last.wrapping_add(from.signed()?);
        set(p, last)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::InternalDate;
    use proptest::prelude::*;

    fn placed() -> impl Strategy<Value = Placed> {
        let row = (
            1u32..=u32::MAX,
            any::<u32>(),
            any::<i64>(),
            any::<i16>(),
            any::<Option<i32>>(),
            any::<u64>(),
            0u8..8,
            any::<u64>(),
        );
        (row, any::<u32>(), any::<u64>(), any::<bool>(), any::<bool>()).prop_map(
            |((uid, msg, secs, zone, sent_day, size, bits, mod_seq), archive_uid, leaf, lf, extra)| Placed {
                row: Row {
                    uid: Uid(uid),
                    store: StoreNo(0),
                    msg: MsgNo(msg),
                    date: InternalDate { secs, zone },
                    sent_day,
                    size,
                    flags: flags_of(bits),
                    mod_seq: ModSeq(mod_seq),
                    came: ModSeq(mod_seq),
                },
                archive_uid: Uid(archive_uid),
                leaf,
                lf,
                extra,
            },
        )
    }

    proptest! {
        #[test]
        fn a_page_comes_back(mut rows in prop::collection::vec(placed(), 1..=PAGE_ROWS)) {
            rows.sort_by_key(|p| p.row.uid);
            rows.dedup_by_key(|p| p.row.uid);
            prop_assert_eq!(decode(&encode(&rows)), Some(rows));
        }

        #[test]
        fn other_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Some(rows) = decode(&bytes) {
                prop_assert!(!rows.is_empty());
            }
        }
    }

    #[test]
    fn a_page_holds_128_and_no_more() {
        let row = |uid| Placed { row: Row { uid: Uid(uid), ..EMPTY.row }, ..EMPTY };
        let full: Vec<_> = (1..=128).map(row).collect();
        assert_eq!(decode(&encode(&full)).map(|r| r.len()), Some(128));
        let over: Vec<_> = (1..=129).map(row).collect();
        assert_eq!(decode(&encode(&over)), None);
        assert_eq!(decode(&encode(&[])), None);
        assert_eq!(decode(&encode(&[row(2), row(1)])), None, "not rising");
    }
}
