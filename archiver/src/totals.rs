//! Sums over all runs, for who watches: table `run_totals` of master.redb, one JSON value.
//!
//! Invariant: changed in the transaction that changes a run; what old runs did stays counted when they are no longer kept.

use crate::ledger::{database, decode, encode};
use crate::{Error, Run, State, Sums};
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

const TOTALS: TableDefinition<'_, (), &[u8]> = TableDefinition::new("run_totals");

/// What all runs did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Of all runs that ever were.
    pub sums: Sums,
    /// How many of those that are kept stand how.
    pub states: BTreeMap<State, u64>,
}

impl Totals {
    /// Counts a run that is as `new` now and was as `old`; without `new` it is no longer kept.
    fn count(&mut self, old: Option<&Run>, new: Option<&Run>) {
        if let Some(old) = old
            && let Some(kept) = self.states.get_mut(&old.state)
        {
            *kept = kept.saturating_sub(1);
        }
        if let Some(new) = new {
            *self.states.entry(new.state).or_default() += 1;
            self.sums.add(&new.sums);
            self.sums.take_off(&old.map(|old| old.sums).unwrap_or_default());
        }
    }
}

/// Makes the table from all runs, unless it is there.
pub(crate) fn open(txn: &WriteTransaction, runs: &[Run]) -> Result<(), Error> {
    let mut table = txn.open_table(TOTALS).map_err(database)?;
    if table.get(()).map_err(database)?.is_some() {
        return Ok(());
    }
    let mut totals = Totals::default();
    runs.iter().for_each(|run| totals.count(None, Some(run)));
    table.insert((), encode(&totals)?.as_slice()).map_err(database)?;
    Ok(())
}

/// Counts a run's change.
pub(crate) fn change(txn: &WriteTransaction, old: Option<&Run>, new: Option<&Run>) -> Result<(), Error> {
    let mut table = txn.open_table(TOTALS).map_err(database)?;
    let known = table.get(()).map_err(database)?.map(|value| decode(value.value())).transpose()?;
    let mut totals: Totals = known.unwrap_or_default();
    totals.count(old, new);
    table.insert((), encode(&totals)?.as_slice()).map_err(database)?;
    Ok(())
}

/// As before the table was there.
#[cfg(test)]
pub(crate) fn forget(txn: &WriteTransaction) {
    txn.delete_table(TOTALS).unwrap();
}

/// The sums as they stand.
pub(crate) fn read(txn: &ReadTransaction) -> Result<Totals, Error> {
    let table = txn.open_table(TOTALS).map_err(database)?;
    let known = table.get(()).map_err(database)?.map(|value| decode(value.value())).transpose()?;
    Ok(known.unwrap_or_default())
}
