//! What is known of every source folder from earlier runs: tables `checkpoints`, `source_folders`, `source_uids`, `source_uidls` and
//! `mailboxes_under_way` of master.redb.
//!
//! Invariant: written in the same transaction as the account of the batch that it tells of, after that batch is durable; it may lag
//! behind the archive, never lead. Losing it loses no mail: the next run walks by identity.
//!
//! `checkpoints`: JSON by source and folder; `source_folders`: that name by a number; `source_uids`: by that number and UID, where the
//! message lies in the archive and what it is (48 bytes: folder, UID, SHA-256, half a hash of EMAILID); `source_uidls` the same for
//! POP3 by unique id. `mailboxes_under_way`: keys of mailboxes whose last run has not come to its end.

use crate::Error;
use crate::ledger::{Ledger, database, decode, encode};
use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::HashMap;
use storage::{ContentHash, FolderId, Uid, UidRanges};

const CHECKPOINTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("checkpoints");
const FOLDERS: TableDefinition<'_, u32, &str> = TableDefinition::new("source_folders");
const UIDS: TableDefinition<'_, (u32, u32), &[u8]> = TableDefinition::new("source_uids");
const UIDLS: TableDefinition<'_, (u32, &str), &[u8]> = TableDefinition::new("source_uidls");
const UNDER_WAY: TableDefinition<'_, &str, ()> = TableDefinition::new("mailboxes_under_way");
/// Messages of a folder that failed and are remembered by themselves; more stay unknown, and are seen again anyway.
pub(crate) const MAX_GAPS: usize = 10_000;

/// A message that was there and could not be archived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gap {
    pub(crate) uid: u32,
    pub(crate) reason: String,
    /// Runs that tried.
    pub(crate) tries: u32,
}

/// A source folder as the last run left it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// The folder's number in the other tables.
    pub(crate) no: u32,
    /// None: never opened.
    pub(crate) uid_validity: Option<u32>,
    pub(crate) uid_next: Option<u32>,
    pub(crate) messages: Option<u64>,
    pub(crate) highest_mod_seq: Option<u64>,
    /// A walk by identity has begun and not ended: the first one, or the one after a new UIDVALIDITY.
    pub(crate) walking: bool,
    /// UIDs that are archived.
    #[serde(with = "ranges")]
    pub(crate) settled: UidRanges,
    /// UIDs that the rules left out.
    #[serde(with = "ranges")]
    pub(crate) filtered: UidRanges,
    /// What the rules were then.
    pub(crate) rules: String,
    pub(crate) gaps: Vec<Gap>,
}

impl Checkpoint {
    /// The UIDs of the gaps.
    pub(crate) fn gap_uids(&self) -> UidRanges {
        UidRanges::from_spans(self.gaps.iter().map(|gap| (gap.uid, gap.uid)))
    }
}

/// Sets as text.
mod ranges {
    use super::{Deserialize, Deserializer, Serializer, UidRanges};

    pub(super) fn serialize<S: Serializer>(value: &UidRanges, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&crate::remote::imap::names::set(value))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<UidRanges, D::Error> {
        let text = String::deserialize(from)?;
        let spans: Option<Vec<(u32, u32)>> = text
            .split(',')
            .filter(|span| !span.is_empty())
            .map(|span| {
                let (first, last) = span.split_once(':').unwrap_or((span, span));
                Some((first.parse().ok()?, last.parse().ok()?))
            })
            .collect();
        spans.map(UidRanges::from_spans).ok_or_else(|| serde::de::Error::custom("no set of UIDs"))
    }
}

/// Where a message of a source lies in the archive, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) folder: FolderId,
    pub(crate) uid: Uid,
    pub(crate) hash: ContentHash,
    /// Half a hash of EMAILID; 0: the server has none.
    pub(crate) email_id: u64,
}

impl Placed {
    fn bytes(&self) -> [u8; 48] {
        let mut all = [0; 48];
        let parts: [&[u8]; 4] = [
            &self.folder.0.to_be_bytes(),
            &self.uid.0.to_be_bytes(),
            &self.hash.0,
            &self.email_id.to_be_bytes(),
        ];
        for (to, from) in all.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *from;
        }
        all
    }

    fn of(bytes: &[u8]) -> Option<Placed> {
        let (folder, rest) = bytes.split_first_chunk()?;
        let (uid, rest) = rest.split_first_chunk()?;
        let (hash, rest) = rest.split_first_chunk()?;
        Some(Placed {
            folder: FolderId(u32::from_be_bytes(*folder)),
            uid: Uid(u32::from_be_bytes(*uid)),
            hash: ContentHash(*hash),
            email_id: u64::from_be_bytes(rest.try_into().ok()?),
        })
    }
}

/// What a run changes; applied in order.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// A walk begins: nothing that was known counts.
    Begin { no: u32, uid_validity: u32 },
    /// Archived, or there already.
    Settled { no: u32, uid: u32, placed: Placed },
    /// Left out by the rules.
    Filtered { no: u32, uids: UidRanges },
    /// Not archived; the next run tries again.
    Failed { no: u32, uid: u32, reason: String },
    /// No longer at the source.
    Gone { no: u32, uids: UidRanges },
    /// All of the folder was looked at; the figures that were true before. None of them: look again.
    Looked {
        no: u32,
        uid_next: Option<u32>,
        messages: Option<u64>,
        highest_mod_seq: Option<u64>,
        rules: String,
    },
    /// The folder is no longer at the source.
    Removed { no: u32 },
    /// POP3: archived, or there already.
    Uidl { no: u32, uidl: String, placed: Placed },
    /// POP3: no longer at the source.
    UidlGone { no: u32, uidl: String },
    /// All of the mailbox is accounted for.
    Ended { key: String },
}

/// The tables.
#[derive(Debug, Clone)]
pub(crate) struct Checkpoints {
    ledger: Ledger,
}

impl Checkpoints {
    pub(crate) fn new(ledger: &Ledger) -> Checkpoints {
        Checkpoints { ledger: ledger.clone() }
    }

    /// Makes the tables.
    pub(crate) fn create(txn: &WriteTransaction) -> Result<(), Error> {
        txn.open_table(CHECKPOINTS).map_err(database)?;
        txn.open_table(FOLDERS).map_err(database)?;
        txn.open_table(UIDS).map_err(database)?;
        txn.open_table(UIDLS).map_err(database)?;
        txn.open_table(UNDER_WAY).map_err(database)?;
        Ok(())
    }

    /// The checkpoints of these folders, in their order; new ones get a number.
    pub(crate) fn folders(&self, names: &[String]) -> Result<Vec<Checkpoint>, Error> {
        let txn = self.ledger.write_txn()?;
        let mut all = Vec::with_capacity(names.len());
        {
            let mut checkpoints = txn.open_table(CHECKPOINTS).map_err(database)?;
            let mut folders = txn.open_table(FOLDERS).map_err(database)?;
            for name in names {
                let known: Option<Checkpoint> = match checkpoints.get(name.as_str()).map_err(database)? {
                    Some(value) => Some(decode(value.value())?),
                    None => None,
                };
                let checkpoint = match known {
                    Some(known) => known,
                    None => {
                        let no = folders
                            .last()
                            .map_err(database)?
                            .map_or(1, |(no, _)| no.value().saturating_add(1));
                        let checkpoint = Checkpoint { no, ..Checkpoint::default() };
                        folders.insert(no, name.as_str()).map_err(database)?;
                        checkpoints
                            .insert(name.as_str(), encode(&checkpoint)?.as_slice())
                            .map_err(database)?;
                        checkpoint
                    }
                };
                all.push(checkpoint);
            }
        }
        txn.commit().map_err(database)?;
        Ok(all)
    }

    /// Notes durably that a mailbox is being archived; whether a run before it had not come to its end.
    pub(crate) fn begin(&self, key: &str) -> Result<bool, Error> {
        let txn = self.ledger.write_txn()?;
        let unfinished = {
            let mut under_way = txn.open_table(UNDER_WAY).map_err(database)?;
            under_way.insert(key, ()).map_err(database)?.is_some()
        };
        txn.commit().map_err(database)?;
        Ok(unfinished)
    }

    /// All folders of a source that were seen before: (name, checkpoint).
    pub(crate) fn known(&self, prefix: &str) -> Result<Vec<(String, Checkpoint)>, Error> {
        let txn = self.ledger.db().begin_read().map_err(database)?;
        let table = txn.open_table(CHECKPOINTS).map_err(database)?;
        let mut all = Vec::new();
        for row in table.range(prefix..).map_err(database)? {
            let (name, value) = row.map_err(database)?;
            if !name.value().starts_with(prefix) {
                break;
            }
            all.push((name.value().to_owned(), decode(value.value())?));
        }
        Ok(all)
    }

    /// Where these messages of a folder lie: (UID at the source, place), rising; what isn't known is left out.
    pub(crate) fn placed(&self, no: u32, uids: &UidRanges) -> Result<Vec<(u32, Placed)>, Error> {
        let txn = self.ledger.db().begin_read().map_err(database)?;
        let table = txn.open_table(UIDS).map_err(database)?;
        let mut all = Vec::new();
        for (first, last) in uids.spans() {
            for row in table.range((no, first)..=(no, last)).map_err(database)? {
                let (key, value) = row.map_err(database)?;
                all.extend(Placed::of(value.value()).map(|placed| (key.value().1, placed)));
            }
        }
        Ok(all)
    }

    /// All unique ids of a POP3 maildrop that are archived.
    pub(crate) fn uidls(&self, no: u32) -> Result<HashMap<String, Placed>, Error> {
        let txn = self.ledger.db().begin_read().map_err(database)?;
        let table = txn.open_table(UIDLS).map_err(database)?;
        let mut all = HashMap::new();
        for row in table.range((no, "")..).map_err(database)? {
            let (key, value) = row.map_err(database)?;
            if key.value().0 != no {
                break;
            }
            all.extend(Placed::of(value.value()).map(|placed| (key.value().1.to_owned(), placed)));
        }
        Ok(all)
    }
}

/// Applies changes inside the transaction that has the account of the same batch.
pub(crate) fn apply(txn: &WriteTransaction, changes: &[Change]) -> Result<(), Error> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut checkpoints = txn.open_table(CHECKPOINTS).map_err(database)?;
    let mut folders = txn.open_table(FOLDERS).map_err(database)?;
    let mut uids = txn.open_table(UIDS).map_err(database)?;
    let mut uidls = txn.open_table(UIDLS).map_err(database)?;
    let mut open: HashMap<u32, Option<(String, Touched)>> = HashMap::new();
    for change in changes {
        if let Change::Ended { key } = change {
            txn.open_table(UNDER_WAY).map_err(database)?.remove(key.as_str()).map_err(database)?;
        }
        let Some(no) = change.no() else { continue };
        if let std::collections::hash_map::Entry::Vacant(new) = open.entry(no) {
            let name = folders.get(no).map_err(database)?.map(|name| name.value().to_owned());
            let known = match &name {
                Some(name) => checkpoints.get(name.as_str()).map_err(database)?,
                None => None,
            };
            let checkpoint = known.map(|value| decode::<Checkpoint>(value.value())).transpose()?;
            new.insert(name.zip(checkpoint.map(Touched::new)));
        }
        // A folder that was removed meanwhile is known no longer.
        let Some(Some((_, touched))) = open.get_mut(&no) else { continue };
        match change {
            Change::Begin { uid_validity, .. } => {
                touched.begin(*uid_validity);
                uids.retain_in((no, 0)..=(no, u32::MAX), |_, _| false).map_err(database)?;
            }
            Change::Settled { uid, placed, .. } => {
                touched.settled.push((*uid, *uid));
                uids.insert((no, *uid), placed.bytes().as_slice()).map_err(database)?;
            }
            Change::Filtered { uids, .. } => touched.filtered.extend(uids.spans()),
            Change::Failed { uid, reason, .. } => touched.failed(*uid, reason),
            Change::Gone { uids: gone, .. } => {
                touched.flush();
                let checkpoint = &mut touched.checkpoint;
                checkpoint.settled = checkpoint.settled.subtract(gone);
                checkpoint.filtered = checkpoint.filtered.subtract(gone);
                checkpoint.gaps.retain(|gap| !gone.contains(Uid(gap.uid)));
                for (first, last) in gone.spans() {
                    uids.retain_in((no, first)..=(no, last), |_, _| false).map_err(database)?;
                }
            }
            Change::Looked { uid_next, messages, highest_mod_seq, rules, .. } => {
                let checkpoint = &mut touched.checkpoint;
                checkpoint.walking = false;
                (checkpoint.uid_next, checkpoint.messages) = (*uid_next, *messages);
                checkpoint.highest_mod_seq = *highest_mod_seq;
                checkpoint.rules.clone_from(rules);
            }
            Change::Removed { .. } => {
                if let Some((name, _)) = open.remove(&no).flatten() {
                    checkpoints.remove(name.as_str()).map_err(database)?;
                }
                folders.remove(no).map_err(database)?;
                uids.retain_in((no, 0)..=(no, u32::MAX), |_, _| false).map_err(database)?;
            }
            Change::Uidl { uidl, placed, .. } => {
                uidls.insert((no, uidl.as_str()), placed.bytes().as_slice()).map_err(database)?;
            }
            Change::UidlGone { uidl, .. } => {
                uidls.remove((no, uidl.as_str())).map_err(database)?;
            }
            Change::Ended { .. } => {}
        }
    }
    for (name, mut touched) in open.into_values().flatten() {
        touched.flush();
        checkpoints.insert(name.as_str(), encode(&touched.checkpoint)?.as_slice()).map_err(database)?;
    }
    Ok(())
}

impl Change {
    /// The folder that it is about; none: the whole mailbox.
    fn no(&self) -> Option<u32> {
        match self {
            Change::Begin { no, .. }
            | Change::Settled { no, .. }
            | Change::Filtered { no, .. }
            | Change::Failed { no, .. }
            | Change::Gone { no, .. }
            | Change::Looked { no, .. }
            | Change::Removed { no }
            | Change::Uidl { no, .. }
            | Change::UidlGone { no, .. } => Some(*no),
            Change::Ended { .. } => None,
        }
    }
}

/// A checkpoint while changes are applied; sets are joined once, not for every UID.
struct Touched {
    checkpoint: Checkpoint,
    settled: Vec<(u32, u32)>,
    filtered: Vec<(u32, u32)>,
}

impl Touched {
    fn new(checkpoint: Checkpoint) -> Touched {
        Touched { checkpoint, settled: Vec::new(), filtered: Vec::new() }
    }

    fn begin(&mut self, uid_validity: u32) {
        self.settled.clear();
        self.filtered.clear();
        self.checkpoint = Checkpoint {
            no: self.checkpoint.no,
            uid_validity: Some(uid_validity),
            walking: true,
            ..Checkpoint::default()
        };
    }

    fn failed(&mut self, uid: u32, reason: &str) {
        let gaps = &mut self.checkpoint.gaps;
        if let Some(gap) = gaps.iter_mut().find(|gap| gap.uid == uid) {
            gap.tries = gap.tries.saturating_add(1);
            reason.clone_into(&mut gap.reason);
        } else if gaps.len() < MAX_GAPS {
            gaps.push(Gap { uid, reason: reason.to_owned(), tries: 1 });
        }
    }

    /// Joins what came into the sets; what is settled or left out is no gap.
    fn flush(&mut self) {
        let checkpoint = &mut self.checkpoint;
        let settled = UidRanges::from_spans(self.settled.drain(..));
        let filtered = UidRanges::from_spans(self.filtered.drain(..));
        if settled.is_empty() && filtered.is_empty() {
            return;
        }
        checkpoint.gaps.retain(|gap| !settled.contains(Uid(gap.uid)) && !filtered.contains(Uid(gap.uid)));
        checkpoint.settled = UidRanges::from_spans(checkpoint.settled.spans().chain(settled.spans()));
        let filtered = UidRanges::from_spans(checkpoint.filtered.spans().chain(filtered.spans()));
        checkpoint.filtered = filtered.subtract(&settled);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn uids(spans: &[(u32, u32)]) -> UidRanges {
        UidRanges::from_spans(spans.iter().copied())
    }

    fn house() -> (Ledger, Checkpoints) {
        let db = crate::testing::in_memory();
        let ledger = Ledger::open(Arc::new(db)).unwrap();
        let checkpoints = Checkpoints::new(&ledger);
        (ledger, checkpoints)
    }

    fn change(ledger: &Ledger, changes: &[Change]) {
        let txn = ledger.write_txn().unwrap();
        apply(&txn, changes).unwrap();
        txn.commit().unwrap();
    }

    #[test]
    fn what_is_applied_is_read_again() {
        let (ledger, checkpoints) = house();
        let names = ["k\nA".to_owned(), "k\nB".to_owned()];
        let [a, b] = checkpoints.folders(&names).unwrap().try_into().unwrap();
        assert_eq!((a.no, b.no, a.uid_validity), (1, 2, None));
        let placed = Placed { folder: FolderId(7), uid: Uid(9), hash: ContentHash([3; 32]), email_id: 5 };
        change(
            &ledger,
            &[
                Change::Begin { no: 1, uid_validity: 17 },
                Change::Failed { no: 1, uid: 2, reason: "x".into() },
                Change::Failed { no: 1, uid: 3, reason: "y".into() },
                Change::Settled { no: 1, uid: 1, placed },
                Change::Settled { no: 1, uid: 3, placed },
                Change::Filtered { no: 1, uids: uids(&[(4, 6)]) },
                Change::Gone { no: 1, uids: uids(&[(5, 5)]) },
            ],
        );
        let a = checkpoints.folders(&names).unwrap().remove(0);
        assert_eq!((a.uid_validity, a.walking), (Some(17), true));
        assert_eq!(
            (a.settled.clone(), a.filtered.clone()),
            (uids(&[(1, 1), (3, 3)]), uids(&[(4, 4), (6, 6)]))
        );
        assert_eq!(a.gaps, [Gap { uid: 2, reason: "x".into(), tries: 1 }]);
        assert_eq!(checkpoints.placed(1, &uids(&[(1, 9)])).unwrap(), [(1, placed), (3, placed)]);
        change(
            &ledger,
            &[
                Change::Looked {
                    no: 1,
                    uid_next: Some(7),
                    messages: Some(5),
                    highest_mod_seq: None,
                    rules: "r".into(),
                },
                Change::Gone { no: 1, uids: uids(&[(1, 1)]) },
            ],
        );
        let a = checkpoints.folders(&names).unwrap().remove(0);
        assert_eq!((a.walking, a.uid_next, a.settled), (false, Some(7), uids(&[(3, 3)])));
        assert_eq!(checkpoints.placed(1, &uids(&[(1, 9)])).unwrap().len(), 1);
        change(&ledger, &[Change::Begin { no: 1, uid_validity: 18 }]);
        assert!(checkpoints.placed(1, &uids(&[(1, 9)])).unwrap().is_empty());
        change(&ledger, &[Change::Removed { no: 1 }, Change::Settled { no: 1, uid: 1, placed }]);
        let known = checkpoints.known("k\n").unwrap();
        assert_eq!(known.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["k\nB"]);
    }

    #[test]
    fn gaps_are_bounded() {
        let (ledger, checkpoints) = house();
        checkpoints.folders(&["k\nA".into()]).unwrap();
        let most = u32::try_from(MAX_GAPS).unwrap();
        let failed = |uid| Change::Failed { no: 1, uid, reason: "x".into() };
        change(&ledger, &(1..=most).map(failed).collect::<Vec<_>>());
        assert_eq!(checkpoints.known("k").unwrap()[0].1.gaps.len(), MAX_GAPS);
        change(&ledger, &[failed(most + 1), failed(1)]);
        let gaps = checkpoints.known("k").unwrap().remove(0).1.gaps;
        assert_eq!((gaps.len(), gaps[0].tries), (MAX_GAPS, 2));
    }
}
