//! What left folders and archives: which UIDs, when they came and when they went. With it a client that was away is told exactly
//! what it lost (RFC 7162 §3.2.10.2).
//!
//! Invariant: derived from moves, deletions and tombstones alone, so that a rebuild and a compaction give the same. A row is never
//! changed once it is written. Left to others: which facts take something away (`apply`), and several stores (`stores/vanished`).

use super::{Db, GHOSTS, GONE_YEARS, HEIRS, TIMES, VANISHED};
use crate::pack::varint::{Reader, put, put_signed};
use crate::{Error, FolderId, ModSeq, Uid, UidRanges};
use std::collections::BTreeMap;

/// Most runs of a row.
pub(crate) const ROW_RUNS: usize = 256;

/// Where nobody knows when something went: later than every mod-sequence.
pub(crate) const NEVER_TOLD: ModSeq = ModSeq(u64::MAX);

/// What UIDs are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Of {
    /// A folder.
    Folder = 0,
    /// An archive: archive-wide UIDs, by the store's number of it.
    Archive = 1,
}

impl Of {
    fn from_number(number: u8) -> Option<Of> {
        [Of::Folder, Of::Archive].into_iter().find(|of| *of as u8 == number)
    }
}

/// UIDs that follow each other and came at the same mod-sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: u32,
    pub(crate) last: u32,
    pub(crate) came: ModSeq,
}

/// Adds a UID behind all others of a list of runs.
pub(crate) fn push(runs: &mut Vec<Run>, uid: u32, came: ModSeq) {
    match runs.last_mut() {
        Some(run) if run.last.checked_add(1) == Some(uid) && run.came == came => run.last = uid,
        _ => runs.push(Run { first: uid, last: uid, came }),
    }
}

/// Lays runs out that rise.
pub(crate) fn encode(runs: &[Run]) -> Vec<u8> {
    let mut out = Vec::with_capacity(4 * runs.len() + 2);
    put(&mut out, runs.len() as u64);
    let (mut end, mut came) = (0u32, 0i64);
    for run in runs {
        put(&mut out, u64::from(run.first.wrapping_sub(end)));
        put(&mut out, u64::from(run.last.wrapping_sub(run.first)));
        put_signed(&mut out, (run.came.0 as i64).wrapping_sub(came));
        (end, came) = (run.last, run.came.0 as i64);
    }
    out
}

/// Reads runs; `None` when the bytes are none.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<Run>> {
    let mut from = Reader::new(bytes);
    let runs = read(&mut from)?;
    from.is_empty().then_some(runs)
}

fn read(from: &mut Reader<'_>) -> Option<Vec<Run>> {
    let count = from.varint()?;
    let (mut runs, mut end, mut came) = (Vec::new(), 0u32, 0i64);
    for n in 0..count {
        let gap = u32::try_from(from.varint()?).ok()?;
        let first = end.checked_add(gap).filter(|_| gap > 0 || n == 0)?;
        let last = first.checked_add(u32::try_from(from.varint()?).ok()?)?;
        came = came.wrapping_add(from.signed()?);
        runs.push(Run { first, last, came: ModSeq(came as u64) });
        end = last;
    }
    Some(runs)
}

/// What went, in memory: of folders and archives, by the mod-sequence at which it went.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Log(BTreeMap<(Of, FolderId), Rows>);

/// What went at which mod-sequence.
type Rows = Vec<(ModSeq, Vec<Run>)>;

impl Log {
    /// Notes what went at a mod-sequence.
    pub(crate) fn add(&mut self, of: Of, number: FolderId, went: ModSeq, runs: Vec<Run>) {
        if !runs.is_empty() {
            self.0.entry((of, number)).or_default().push((went, runs));
        }
    }

    /// The folders and archives of which something went.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = (Of, FolderId)> + '_ {
        self.0.keys().copied()
    }

    /// The UIDs that were there at `since` and went after it.
    pub(crate) fn since(&self, of: Of, number: FolderId, since: ModSeq) -> Vec<(u32, u32)> {
        let all = self.0.get(&(of, number)).into_iter().flatten();
        let later = all.filter(|(went, _)| *went > since).flat_map(|(_, runs)| runs);
        later.filter(|run| run.came <= since).map(|run| (run.first, run.last)).collect()
    }

    /// The same by other numbers; archive-wide UIDs are so much higher. What has no number there is left out.
    pub(crate) fn renamed(&self, number_of: &dyn Fn(Of, FolderId) -> Option<FolderId>, above: u32) -> Log {
        let mut log = Log::default();
        for ((of, number), rows) in &self.0 {
            let Some(number) = number_of(*of, *number) else { continue };
            for (went, runs) in rows {
                let by = if *of == Of::Archive { above } else { 0 };
                let raised = |run: &Run| Run {
                    first: run.first.saturating_add(by),
                    last: run.last.saturating_add(by),
                    came: run.came,
                };
                log.add(*of, number, *went, runs.iter().map(raised).collect());
            }
        }
        log
    }

    /// Appends it as bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.0.len() as u64);
        for ((of, number), rows) in &self.0 {
            out.push(*of as u8);
            put(out, u64::from(number.0));
            put(out, rows.len() as u64);
            for (went, runs) in rows {
                put(out, went.0);
                out.extend_from_slice(&encode(runs));
            }
        }
    }

    /// Reads it.
    pub(crate) fn decode(from: &mut Reader<'_>) -> Option<Log> {
        let mut log = Log::default();
        for _ in 0..from.varint()? {
            let of = Of::from_number(from.u8()?)?;
            let number = FolderId(u32::try_from(from.varint()?).ok()?);
            for _ in 0..from.varint()? {
                let went = ModSeq(from.varint()?);
                log.add(of, number, went, read(from)?);
            }
        }
        Some(log)
    }
}

impl Db {
    /// The UIDs of a folder or an archive that were there at `since` and went after it. Costs what went since.
    pub(crate) fn vanished(&self, of: Of, number: FolderId, since: ModSeq) -> Result<Vec<(u32, u32)>, Error> {
        let mut spans = Vec::new();
        self.vanished_rows(of, number, since, &mut |_, runs| {
            let there = runs.iter().filter(|run| run.came <= since);
            spans.extend(there.map(|run| (run.first, run.last)));
        })?;
        Ok(spans)
    }

    /// Of these UIDs that went from a folder, those that are not known to have been of another year.
    pub(crate) fn not_of_other_years(
        &self,
        folder: FolderId,
        spans: Vec<(u32, u32)>,
        year: i32,
    ) -> Result<Vec<(u32, u32)>, Error> {
        let txn = self.read()?;
        let table = match txn.open_table(GONE_YEARS) {
            Ok(table) => table,
            // A database from before there was the table, of which nothing has gone since.
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(spans),
            Err(e) => return Err(self.err(e)),
        };
        let mut others = Vec::new();
        for &(first, last) in &spans {
            for row in table.range((folder.0, first)..=(folder.0, last)).map_err(|e| self.err(e))? {
                let (key, of) = row.map_err(|e| self.err(e))?;
                if i32::from(of.value()) != year {
                    others.push((key.value().1, key.value().1));
                }
            }
        }
        Ok(UidRanges::from_spans(spans).subtract(&UidRanges::from_spans(others)).spans().collect())
    }

    /// Adds to `log` what went after `since` and up to `until`, of these folders and archives.
    pub(crate) fn take_log(
        &self,
        numbers: impl Iterator<Item = (Of, FolderId)>,
        since: ModSeq,
        until: ModSeq,
        log: &mut Log,
    ) -> Result<(), Error> {
        for (of, number) in numbers {
            self.vanished_rows(of, number, since, &mut |went, runs| {
                if went <= until || (went == NEVER_TOLD && since.0 == 0) {
                    log.add(of, number, went, runs);
                }
            })?;
        }
        Ok(())
    }

    /// Gives `take` what went after `since`, with the mod-sequence of its going. What went nobody knows when counts as gone
    /// at the end of time: stores that were compacted before moves left their UIDs have such.
    fn vanished_rows(
        &self,
        of: Of,
        number: FolderId,
        since: ModSeq,
        take: &mut dyn FnMut(ModSeq, Vec<Run>),
    ) -> Result<(), Error> {
        let txn = self.read()?;
        let table = txn.open_table(VANISHED).map_err(|e| self.err(e))?;
        let (kind, number) = (of as u8, number.0);
        let range = (kind, number, since.0.saturating_add(1), 0)..=(kind, number, u64::MAX, u32::MAX);
        for row in table.range(range).map_err(|e| self.err(e))? {
            let (key, value) = row.map_err(|e| self.err(e))?;
            let runs = decode(value.value());
            let runs = runs.ok_or_else(|| self.derived("a row of what vanished is damaged"))?;
            take(ModSeq(key.value().2), runs);
        }
        let table = txn.open_table(GHOSTS).map_err(|e| self.err(e))?;
        let mut left = Vec::new();
        for row in table.range((kind, number, 0)..=(kind, number, u32::MAX)).map_err(|e| self.err(e))? {
            let (key, value) = row.map_err(|e| self.err(e))?;
            push(&mut left, key.value().2, ModSeq(value.value().1));
        }
        if !left.is_empty() {
            take(NEVER_TOLD, left);
        }
        Ok(())
    }

    /// The first UID of a folder whose mod-sequence is above `since`; all behind it have higher ones, since both rise in a folder.
    /// Costs the logarithm of the folder.
    pub(crate) fn first_changed(
        &self,
        folder: FolderId,
        uids: &UidRanges,
        since: ModSeq,
    ) -> Result<Option<Uid>, Error> {
        let Some((first, last)) = uids.first().zip(uids.last()) else { return Ok(None) };
        let (mut low, mut high) = (u64::from(first.0), u64::from(last.0) + 1);
        let mut best = None;
        while low < high {
            let middle = u32::try_from(low.midpoint(high)).unwrap_or(u32::MAX);
            let mut page = Vec::new();
            self.pages(folder, Uid(middle), |rows| {
                page = rows;
                false
            })?;
            let Some((begin, end)) = page.first().zip(page.last()) else { return Ok(best) };
            if end.row.mod_seq <= since {
                // The page's last one, or all up to the middle, where it ends before that.
                low = u64::from(end.row.uid.0.max(middle)) + 1;
            } else if begin.row.mod_seq <= since {
                return Ok(page
                    .iter()
                    .find(|placed| placed.row.mod_seq > since)
                    .map(|placed| placed.row.uid));
            } else if begin.row.uid.0 > middle {
                // No page begins at the middle or before it.
                return Ok(Some(begin.row.uid));
            } else {
                high = u64::from(begin.row.uid.0);
                best = Some(begin.row.uid);
            }
        }
        Ok(best)
    }

    /// The archive-wide UIDs that show another placement since after `since`.
    pub(crate) fn heirs(&self, archive: FolderId, since: ModSeq) -> Result<Vec<u32>, Error> {
        let txn = self.read()?;
        let table = txn.open_table(HEIRS).map_err(|e| self.err(e))?;
        let range = (archive.0, since.0.saturating_add(1), 0)..=(archive.0, u64::MAX, u32::MAX);
        let mut names = Vec::new();
        for row in table.range(range).map_err(|e| self.err(e))? {
            names.push(row.map_err(|e| self.err(e))?.0.value().2);
        }
        Ok(names)
    }

    /// The mod-sequences at which archive-wide UIDs came, where the placement that they show doesn't say so.
    pub(crate) fn births(&self, archive: FolderId) -> Result<BTreeMap<u32, ModSeq>, Error> {
        let txn = self.read()?;
        let table = txn.open_table(super::BIRTHS).map_err(|e| self.err(e))?;
        let mut births = BTreeMap::new();
        for row in table.range((archive.0, 0)..=(archive.0, u32::MAX)).map_err(|e| self.err(e))? {
            let (key, value) = row.map_err(|e| self.err(e))?;
            births.insert(key.value().1, ModSeq(value.value()));
        }
        Ok(births)
    }

    /// When the batch with this mod-sequence was written, seconds since 1970; none where damage took that.
    pub(crate) fn time_of(&self, mod_seq: ModSeq) -> Result<Option<i64>, Error> {
        let txn = self.read()?;
        let table = txn.open_table(TIMES).map_err(|e| self.err(e))?;
        let time = table.get(mod_seq.0).map_err(|e| self.err(e))?;
        Ok(time.map(|time| time.value()))
    }

    /// The batches' mod-sequences, rising, and when they were written.
    pub(crate) fn times(&self) -> Result<Vec<(ModSeq, i64)>, Error> {
        let txn = self.read()?;
        let table = txn.open_table(TIMES).map_err(|e| self.err(e))?;
        let mut times = Vec::new();
        for row in redb::ReadableTable::iter(&table).map_err(|e| self.err(e))? {
            let (mod_seq, time) = row.map_err(|e| self.err(e))?;
            times.push((ModSeq(mod_seq.value()), time.value()));
        }
        Ok(times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn runs() -> impl Strategy<Value = Vec<Run>> {
        prop::collection::vec((1u32..9, 0u32..6, any::<u64>()), 0..=ROW_RUNS).prop_map(|all| {
            let mut end = 0;
            let run = |(gap, more, came)| {
                let first = end + gap;
                end = first + more;
                Run { first, last: end, came: ModSeq(came) }
            };
            all.into_iter().map(run).collect()
        })
    }

    proptest! {
        #[test]
        fn runs_come_back(runs in runs()) {
            prop_assert_eq!(decode(&encode(&runs)), Some(runs));
        }

        #[test]
        fn a_log_comes_back(all in prop::collection::vec((any::<bool>(), 1u32..5, 1u64..9, runs()), 0..9)) {
            let mut log = Log::default();
            for (archive, number, went, runs) in all {
                let of = if archive { Of::Archive } else { Of::Folder };
                log.add(of, FolderId(number), ModSeq(went), runs);
            }
            let mut bytes = Vec::new();
            log.encode(&mut bytes);
            let mut from = Reader::new(&bytes);
            prop_assert_eq!(Log::decode(&mut from), Some(log));
            prop_assert!(from.is_empty());
        }

        #[test]
        fn other_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(runs) = decode(&bytes) {
                prop_assert!(runs.iter().all(|run| run.first <= run.last));
            }
            let mut from = Reader::new(&bytes);
            if let Some(log) = Log::decode(&mut from) {
                prop_assert!(log.numbers().count() <= bytes.len());
            }
        }
    }

    #[test]
    fn only_what_was_there_then_and_went_since() {
        let mut log = Log::default();
        let mut runs = Vec::new();
        for (uid, came) in [(4, 2), (5, 2), (6, 7), (9, 7)] {
            push(&mut runs, uid, ModSeq(came));
        }
        log.add(Of::Folder, FolderId(1), ModSeq(9), runs);
        for (since, expected) in
            [(1, vec![]), (2, vec![(4, 5)]), (8, vec![(4, 5), (6, 6), (9, 9)]), (9, vec![])]
        {
            assert_eq!(log.since(Of::Folder, FolderId(1), ModSeq(since)), expected, "{since}");
        }
        assert_eq!(log.since(Of::Archive, FolderId(1), ModSeq(8)), []);
    }
}
