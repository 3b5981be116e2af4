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
    pub(crate) fn count(&mut self, old: Option<&Run>, new: Option<&Run>) {
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

/// Empty sums where there are none yet, which whoever opens the ledger fills from all runs and writes.
pub(crate) fn new(txn: &WriteTransaction) -> Result<Option<Totals>, Error> {
    let table = txn.open_table(TOTALS).map_err(database)?;
    let known = table.get(()).map_err(database)?;
    Ok(known.is_none().then(Totals::default))
}

pub(crate) fn write(txn: &WriteTransaction, totals: &Totals) -> Result<(), Error> {
    let mut table = txn.open_table(TOTALS).map_err(database)?;
    table.insert((), encode(totals)?.as_slice()).map_err(database)?;
    Ok(())
}

/// Counts a run's change.
pub(crate) fn change(txn: &WriteTransaction, old: Option<&Run>, new: Option<&Run>) -> Result<(), Error> {
    let known = decoded(&txn.open_table(TOTALS).map_err(database)?)?;
    let mut totals = known.unwrap_or_default();
    totals.count(old, new);
    write(txn, &totals)
}

fn decoded(table: &impl ReadableTable<(), &'static [u8]>) -> Result<Option<Totals>, Error> {
    table.get(()).map_err(database)?.map(|value| decode(value.value())).transpose()
}

/// As before the table was there.
#[cfg(test)]
pub(crate) fn forget(txn: &WriteTransaction) {
    txn.delete_table(TOTALS).unwrap();
}

/// The sums as they stand.
pub(crate) fn read(txn: &ReadTransaction) -> Result<Totals, Error> {
    Ok(decoded(&txn.open_table(TOTALS).map_err(database)?)?.unwrap_or_default())
}
