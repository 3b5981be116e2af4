//! Exchanging groups of cards of an older version: a step at a time, each in one transaction.
//!
//! Invariant: a group is exchanged only for groups of the same numbers, and only while it is what was read.

use super::groups::{self, Group};
use super::{CARDS, Db, META};
use crate::Error;
use crate::card::{CARD_VERSION, Card};
use redb::{ReadableTable, WriteTransaction};

/// All cards are of this version, in the table `meta`.
const VERSION: &str = "cards";
/// Cards below this message number were made anew, while that goes on.
const DONE_BELOW: &str = "cards_done_below";

/// A group of another version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OldGroup {
    /// Its first message number.
    pub(crate) first: u32,
    pub(crate) cards: u64,
    value: Vec<u8>,
}

/// Groups that were looked at.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) old: Vec<OldGroup>,
    /// Where the next step begins; none at the end.
    pub(crate) next: Option<u32>,
}

/// Says of a new database that its cards are of the version that this program makes.
pub(super) fn begin(db: &Db, txn: &WriteTransaction) -> Result<(), Error> {
    let mut meta = txn.open_table(META).map_err(|e| db.err(e))?;
    meta.insert(VERSION, u64::from(CARD_VERSION)).map_err(|e| db.err(e))?;
    Ok(())
}

impl Db {
    /// Where making cards anew begins; none when all are of the version that this program makes.
    pub(crate) fn old_cards_from(&self) -> Result<Option<u32>, Error> {
        let txn = self.read()?;
        let meta = txn.open_table(META).map_err(|e| self.err(e))?;
        let number = |name: &str| -> Result<Option<u64>, Error> {
            Ok(meta.get(name).map_err(|e| self.err(e))?.map(|value| value.value()))
        };
        if number(VERSION)? == Some(u64::from(CARD_VERSION)) {
            return Ok(None);
        }
        Ok(Some(number(DONE_BELOW)?.and_then(|from| u32::try_from(from).ok()).unwrap_or(0)))
    }

    /// Looks at `count` groups from message number `from` on.
    pub(crate) fn old_groups(&self, from: u32, count: usize) -> Result<Step, Error> {
        let txn = self.read()?;
        let table = txn.open_table(CARDS).map_err(|e| self.err(e))?;
        let mut step = Step::default();
        for (seen, entry) in table.range(from..).map_err(|e| self.err(e))?.enumerate() {
            let (first, value) = entry.map_err(|e| self.err(e))?;
            if seen == count {
                step.next = Some(first.value());
                break;
            }
            if let Some(Group::Old(cards)) = groups::decode(value.value()) {
                step.old.push(OldGroup { first: first.value(), cards, value: value.value().to_vec() });
            }
        }
        Ok(step)
    }

    /// Exchanges groups for their cards as they are made now; `next`: where the next step begins.
    pub(crate) fn exchange_cards(
        &self,
        made: &[(OldGroup, Vec<Card>)],
        next: Option<u32>,
    ) -> Result<(), Error> {
        let txn = self.write()?;
        {
            let mut table = txn.open_table(CARDS).map_err(|e| self.err(e))?;
            for (old, cards) in made {
                let same = {
                    let now = table.get(old.first).map_err(|e| self.err(e))?;
                    now.is_some_and(|now| now.value() == old.value)
                };
                if !same || cards.len() as u64 != old.cards {
                    continue;
                }
                table.remove(old.first).map_err(|e| self.err(e))?;
                let mut first = old.first;
                for (count, value) in groups::encode(cards).map_err(Error::io(self.path()))? {
                    table.insert(first, &value[..]).map_err(|e| self.err(e))?;
                    first = first.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
                }
            }
            let mut meta = txn.open_table(META).map_err(|e| self.err(e))?;
            match next {
                Some(next) => drop(meta.insert(DONE_BELOW, u64::from(next)).map_err(|e| self.err(e))?),
                None => {
                    meta.remove(DONE_BELOW).map_err(|e| self.err(e))?;
                    meta.insert(VERSION, u64::from(CARD_VERSION)).map_err(|e| self.err(e))?;
                }
            }
        }
        self.commit(txn)
    }
}
