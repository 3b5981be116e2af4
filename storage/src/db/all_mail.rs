//! An archive's messages as one mailbox, as far as one store holds them: archive-wide UIDs, and for each the placement
//! that it shows.
//!
//! Invariant: an archive-wide UID stands for one message; where that has several placements in the archive, all of them
//! carry it, and the table names one: the first, and after that is gone another. A store numbers its archives by the
//! first folder that it knew of each, since names change. Left to others: which UID a placement carries (`stores/batch`),
//! and how the table follows the facts (`apply/all_mail`).

use super::{ALL_MAIL, ALL_MAIL_PLACES, Db};
use crate::pack::varint::{Reader, put, put_bytes, put_signed};
use crate::store::state::State;
use crate::{Error, FolderId, ModSeq, Uid, UidRanges};
use redb::{ReadTransaction, ReadableTable};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Most runs of a page.
pub(crate) const PAGE_RUNS: usize = 64;

/// What a store holds of one archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AllMail {
    /// The archive's name, as this store knows it.
    pub(crate) archive: String,
    /// Its folders in this store, removed ones too.
    pub(crate) folders: Arc<BTreeSet<FolderId>>,
    /// The archive-wide UIDs of its messages.
    pub(crate) uids: Arc<UidRanges>,
    /// Sum of sizes, each message once.
    pub(crate) bytes: u64,
    pub(crate) highest_mod_seq: ModSeq,
    /// The batch that last did more than add UIDs at the end, since the store was opened: what was read before may differ.
    pub(crate) shaken: u64,
}

impl AllMail {
    pub(crate) fn new(archive: &str) -> AllMail {
        AllMail {
            archive: archive.to_owned(),
            folders: Arc::default(),
            uids: Arc::default(),
            bytes: 0,
            highest_mod_seq: ModSeq(0),
            shaken: 0,
        }
    }

    /// Lays it out as a row.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        put_bytes(&mut out, self.archive.as_bytes());
        put(&mut out, self.bytes);
        put(&mut out, self.highest_mod_seq.0);
        put(&mut out, self.folders.len() as u64);
        let mut last = 0;
        for folder in self.folders.iter() {
            put(&mut out, u64::from(folder.0 - last));
            last = folder.0;
        }
        let mut last = 0;
        for (first, end) in self.uids.spans() {
            put(&mut out, u64::from(first - last));
            put(&mut out, u64::from(end - first));
            last = end;
        }
        out
    }

    /// Reads a row; `None` when the bytes are none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<AllMail> {
        let mut from = Reader::new(bytes);
        let mut all = AllMail::new(std::str::from_utf8(from.bytes()?).ok()?);
        all.bytes = from.varint()?;
        all.highest_mod_seq = ModSeq(from.varint()?);
        let (mut folders, mut last) = (BTreeSet::new(), 0u32);
        for _ in 0..from.varint()? {
            last = last.checked_add(u32::try_from(from.varint()?).ok()?)?;
            folders.insert(FolderId(last));
        }
        all.folders = Arc::new(folders);
        let (mut spans, mut last) = (Vec::new(), 0u32);
        while !from.is_empty() {
            let first = last.checked_add(u32::try_from(from.varint()?).ok()?)?;
            last = first.checked_add(u32::try_from(from.varint()?).ok()?)?;
            spans.push((first, last));
        }
        all.uids = Arc::new(UidRanges::from_spans(spans));
        Some(all)
    }
}

/// The placement that an archive-wide UID shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) folder: FolderId,
    pub(crate) uid: Uid,
    /// It shows this one since then; zero: from the beginning.
    pub(crate) since: ModSeq,
}

/// Archive-wide UIDs that follow each other, as their placements do in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) first: u32,
    pub(crate) last: u32,
    /// The placement of the first.
    pub(crate) at: At,
}

impl Run {
    /// The part of it between two of its archive-wide UIDs.
    pub(crate) fn part(&self, first: u32, last: u32) -> Run {
        let uid = Uid(self.at.uid.0.wrapping_add(first.wrapping_sub(self.first)));
        Run { first, last, at: At { uid, ..self.at } }
    }

    /// Whether `next` goes on where this one ends.
    pub(crate) fn continues(&self, next: &Run) -> bool {
        let expected = self.part(self.last.wrapping_add(1), next.last);
        self.last < next.first && expected == *next
    }
}

/// Lays a page out: UIDs as differences from the run before.
pub(crate) fn encode(runs: &[Run]) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 * runs.len() + 2);
    put(&mut out, runs.len() as u64);
    let (mut name, mut folder, mut uid) = (0i64, 0i64, 0i64);
    for run in runs {
        put_signed(&mut out, i64::from(run.first) - name);
        put(&mut out, u64::from(run.last - run.first));
        put_signed(&mut out, i64::from(run.at.folder.0) - folder);
        put_signed(&mut out, i64::from(run.at.uid.0) - uid);
        put(&mut out, run.at.since.0);
        let length = i64::from(run.last - run.first) + 1;
        (name, folder, uid) = (
            i64::from(run.last) + 1,
            i64::from(run.at.folder.0),
            i64::from(run.at.uid.0).saturating_add(length),
        );
    }
    out
}

/// Reads a page; `None` when the bytes are none.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<Run>> {
    let mut from = Reader::new(bytes);
    let count = usize::try_from(from.varint()?).ok().filter(|count| (1..=PAGE_RUNS).contains(count))?;
    let mut runs: Vec<Run> = Vec::with_capacity(count);
    let (mut name, mut folder, mut uid) = (0i64, 0i64, 0i64);
    for _ in 0..count {
        let first = u32::try_from(name.checked_add(from.signed()?)?).ok()?;
        let last = first.checked_add(u32::try_from(from.varint()?).ok()?)?;
        folder = folder.checked_add(from.signed()?)?;
        let begins = u32::try_from(uid.checked_add(from.signed()?)?).ok()?;
        let since = ModSeq(from.varint()?);
        let ends = begins.checked_add(last - first)?;
        if runs.last().is_some_and(|before| before.last >= first) {
            return None;
        }
        let at = At { folder: FolderId(u32::try_from(folder).ok()?), uid: Uid(begins), since };
        runs.push(Run { first, last, at });
        (name, uid) = (i64::from(last) + 1, i64::from(ends) + 1);
    }
    from.is_empty().then_some(runs)
}

impl Db {
    /// Reads what the store holds of each archive into the state.
    pub(super) fn load_all_mail(&self, txn: &ReadTransaction, state: &mut State) -> Result<(), Error> {
        let table = txn.open_table(ALL_MAIL).map_err(|e| self.err(e))?;
        for entry in table.iter().map_err(|e| self.err(e))? {
            let (number, value) = entry.map_err(|e| self.err(e))?;
            let number = FolderId(number.value());
            let all = AllMail::decode(value.value());
            let all = all.ok_or_else(|| self.derived("the row of an archive is damaged"))?;
            state.archive_of.extend(all.folders.iter().map(|folder| (*folder, number)));
            state.all_mail.insert(number, all);
        }
        Ok(())
    }

    /// The placements that these archive-wide UIDs show, rising; what is not there is left out. `spans`: rising, at most a few
    /// hundred UIDs in all.
    pub(crate) fn all_mail_places(
        &self,
        archive: FolderId,
        spans: &[(u32, u32)],
    ) -> Result<Vec<(u32, At)>, Error> {
        let txn = self.read()?;
        let table = txn.open_table(ALL_MAIL_PLACES).map_err(|e| self.err(e))?;
        let mut found = Vec::new();
        for &(first, last) in spans {
            let before =
                table.range((archive.0, 0)..=(archive.0, first)).map_err(|e| self.err(e))?.next_back();
            let start = match before {
                Some(page) => page.map_err(|e| self.err(e))?.0.value(),
                None => (archive.0, first),
            };
            for page in table.range(start..=(archive.0, last)).map_err(|e| self.err(e))? {
                let value = page.map_err(|e| self.err(e))?.1;
                let runs = decode(value.value())
                    .ok_or_else(|| self.derived("a page of archive-wide UIDs is damaged"))?;
                for run in runs {
                    let (from, to) = (run.first.max(first), run.last.min(last));
                    if from <= to {
                        found.extend((from..=to).map(|name| (name, run.part(name, name).at)));
                    }
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn runs() -> impl Strategy<Value = Vec<Run>> {
        let one = (1u32..9, 0u32..6, 1u32..50, 1u32..5_000, 0u64..4);
        prop::collection::vec(one, 1..=PAGE_RUNS).prop_map(|all| {
            let mut next = 0;
            let run = |(gap, more, folder, uid, since)| {
                let first = next + gap;
                next = first + more + 1;
                let at = At { folder: FolderId(folder), uid: Uid(uid), since: ModSeq(since) };
                Run { first, last: first + more, at }
            };
            all.into_iter().map(run).collect()
        })
    }

    proptest! {
        #[test]
        fn a_page_comes_back(runs in runs()) {
            prop_assert_eq!(decode(&encode(&runs)), Some(runs));
        }

        #[test]
        fn an_archive_comes_back(
            spans in prop::collection::vec((1u32..5_000, 0u32..9), 0..30),
            folders in prop::collection::btree_set(1u32..900, 0..9),
            numbers in any::<(u64, u64)>(),
        ) {
            let all = AllMail {
                folders: Arc::new(folders.into_iter().map(FolderId).collect()),
                uids: Arc::new(UidRanges::from_spans(spans.into_iter().map(|(a, n)| (a, a + n)))),
                bytes: numbers.0,
                highest_mod_seq: ModSeq(numbers.1),
                ..AllMail::new("größe")
            };
            prop_assert_eq!(AllMail::decode(&all.encode()), Some(all));
        }

        #[test]
        fn other_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(runs) = decode(&bytes) {
                prop_assert!((1..=PAGE_RUNS).contains(&runs.len()));
            }
            if let Some(all) = AllMail::decode(&bytes) {
                prop_assert!(all.uids.len() <= u64::from(u32::MAX) + 1);
            }
        }
    }

    #[test]
    fn a_page_has_a_bound() {
        let at = At { folder: FolderId(1), uid: Uid(1), since: ModSeq(0) };
        let run = |n: u32| Run { first: 2 * n + 1, last: 2 * n + 1, at };
        let full: Vec<Run> = (0..PAGE_RUNS as u32).map(run).collect();
        assert_eq!(decode(&encode(&full)).map(|runs| runs.len()), Some(PAGE_RUNS));
        let over: Vec<Run> = (0..=PAGE_RUNS as u32).map(run).collect();
        assert_eq!(decode(&encode(&over)), None);
        assert_eq!(decode(&encode(&[])), None);
        assert_eq!(decode(&encode(&[run(2), run(1)])), None, "not rising");
    }
}
