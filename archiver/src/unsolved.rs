//! What failed in a run and was not archived since: table `unsolved` of master.redb.
//!
//! Invariant: an item leaves the list only when a later run of the same source went through its folder to the end and it failed no
//! more; a folder that no run came to keeps its items. At most `MAX_ITEMS` stand in it for one source.

use crate::ledger::{self, Kind, Ledger, database, decode, encode};
use crate::{Error, Format, Item, Run, State};
use redb::{ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use std::collections::BTreeSet;

/// By source and place.
const UNSOLVED: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("unsolved");

/// Most items of one source; the ledgers of the runs have all.
const MAX_ITEMS: usize = 100_000;

/// An item that failed.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unsolved {
    /// The run's source: a path, or `profile NAME`.
    pub source: String,
    /// File, with the offset in an mbox; folder and UID at a server.
    pub place: String,
    /// Why, in the last run.
    pub reason: String,
    /// The run in which it failed first.
    pub first_run: u64,
    /// The run in which it failed last.
    pub last_run: u64,
    /// Runs in which it failed.
    pub tries: u64,
}

/// Makes the table.
pub(crate) fn open(txn: &WriteTransaction) -> Result<(), Error> {
    txn.open_table(UNSOLVED).map(|_| ()).map_err(database)
}

impl Ledger {
    /// Brings the list up to date after a run.
    pub(crate) fn settle(&self, run: &Run) -> Result<(), Error> {
        let ended = matches!(run.state, State::Succeeded | State::CompletedWithErrors);
        let failed: Vec<Item> = self.entries(run.id, Kind::Failed)?;
        let again: BTreeSet<&str> = failed.iter().map(|item| item.place.as_str()).collect();
        // A mailbox that was not gone through to its end is an item by its own name: nothing in it is solved.
        let cut: Vec<&str> = again.iter().copied().filter(|place| is_mailbox(run, place)).collect();
        let source = run.source.as_str();
        let txn = self.write_txn()?;
        {
            let mut table = txn.open_table(UNSOLVED).map_err(database)?;
            let mut solved = Vec::new();
            let mut count = 0;
            for row in table.range((source, "")..).map_err(database)? {
                let (key, _) = row.map_err(database)?;
                let (of, place) = key.value();
                if of != source {
                    break;
                }
                count += 1;
                let visited = || {
                    let mut sources = run.folders.iter().map(|folder| folder.source.as_str());
                    sources.any(|source| is_in(place, source) || is_in(source, place))
                };
                let is_cut = || cut.iter().any(|mailbox| is_in(place, mailbox));
                if ended && !again.contains(place) && !is_cut() && visited() {
                    solved.push(place.to_owned());
                }
            }
            count -= solved.len();
            for place in solved {
                table.remove((source, place.as_str())).map_err(database)?;
            }
            for item in failed {
                let key = (source, item.place.as_str());
                let before = table
                    .get(key)
                    .map_err(database)?
                    .map(|value| decode::<Unsolved>(value.value()))
                    .transpose()?;
                if before.is_none() {
                    count += 1;
                    if count > MAX_ITEMS {
                        tracing::warn!(
                            source,
                            run = run.id,
                            "more failed items than are listed; the run's account has all"
                        );
                        break;
                    }
                }
                let tries = before.as_ref().map_or(0, |before| before.tries) + 1;
                let first_run = before.map_or(run.id, |before| before.first_run);
                let (place, reason) = (item.place.clone(), item.reason);
                let now =
                    Unsolved { source: source.to_owned(), place, reason, first_run, last_run: run.id, tries };
                table.insert(key, encode(&now)?.as_slice()).map_err(database)?;
            }
        }
        txn.commit().map_err(database)
    }

    /// All of them, by source and place.
    pub(crate) fn unsolved(&self) -> Result<Vec<Unsolved>, Error> {
        let txn = self.db.begin_read().map_err(ledger::database)?;
        let table = txn.open_table(UNSOLVED).map_err(database)?;
        table.iter().map_err(database)?.map(|row| decode(row.map_err(database)?.1.value())).collect()
    }
}

/// Whether a place is a mailbox of a server as a whole.
fn is_mailbox(run: &Run, place: &str) -> bool {
    let remote = |format| matches!(format, Format::Imap | Format::Pop3);
    run.folders.iter().any(|folder| folder.source == place && remote(folder.format))
}

/// Whether a place lies in a source folder: a directory, a mailbox file, or a folder of a server.
fn is_in(place: &str, folder: &str) -> bool {
    place
        .strip_prefix(folder)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', ' ', ':', ';', ',']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_their_folders() {
        for (place, folder, inside) in [
            ("/a/b.mbox at byte 7", "/a/b.mbox", true),
            ("/a/b/1.eml", "/a/b", true),
            ("/a/bc", "/a/b", false),
            ("/a", "/a/b", false),
            ("imap:a@h:1/INBOX;UID=7", "imap:a@h:1/INBOX", true),
            ("imap:a@h:1/INBOX;UID=7", "imap:a@h:1", true),
            ("imap:a@h:1/INBOX2;UID=7", "imap:a@h:1/INBOX", false),
        ] {
            assert_eq!(is_in(place, folder), inside, "{place} {folder}");
        }
    }
}
