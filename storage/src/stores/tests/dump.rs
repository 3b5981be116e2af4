//! All of a database's tables as text, so that two databases can be compared.

use super::*;
use crate::db;
use redb::ReadableTable;

/// The first store's.
pub(super) fn dump(storage: &Storage) -> Vec<String> {
    dump_store(&the_store(storage))
}

/// All stores', one after the other.
pub(super) fn dump_all(storage: &Storage) -> Vec<Vec<String>> {
    storage.shared.open_stores().iter().map(|store| dump_store(store)).collect()
}

fn dump_store(store: &Store) -> Vec<String> {
    let db = &store.db;
    let txn = db.read().unwrap();
    let mut lines = Vec::new();
    macro_rules! table {
        ($table:expr) => {
            for entry in txn.open_table($table).unwrap().iter().unwrap() {
                let (key, value) = entry.unwrap();
                lines.push(format!("{} {:?} {:?}", $table, key.value(), value.value()));
            }
        };
    }
    table!(db::META);
    table!(db::MESSAGES);
    table!(db::IDENTITIES);
    table!(db::CARDS);
    table!(db::ORDERS);
    table!(db::PLACEMENTS);
    table!(db::EXTRAS);
    table!(db::PLACES);
    table!(db::FOLDERS);
    table!(db::ARCHIVES);
    table!(db::SOURCES);
    table!(db::SOURCE_IDS);
    table!(db::PARTS);
    table!(db::LEAVES);
    table!(db::BATCHES);
    table!(db::HEADS);
    table!(db::COMMENTS);
    table!(db::ALL_MAIL);
    table!(db::ALL_MAIL_PLACES);
    table!(db::VANISHED);
    table!(db::GHOSTS);
    table!(db::BIRTHS);
    table!(db::HEIRS);
    table!(db::TIMES);
    table!(db::THREADS);
    lines
}
