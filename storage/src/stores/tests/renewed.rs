//! What is made anew while the store works: cards of an older version, and the search index.

use super::*;
use crate::card::CARD_VERSION;
use crate::db::groups::Group;
use crate::db::{CARDS, META};
use crate::search::Key;
use redb::ReadableTable;

const MAILS: u64 = 200;

fn filled() -> House {
    let house = House::new();
    let storage = house.open();
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    let folder = batch.folder(&path("alice/Inbox")).unwrap();
    for n in 0..MAILS {
        batch.add(folder, prepared(&storage, &mail(n, 50), b""), &from("mbox", &n.to_string())).unwrap();
    }
    batch.commit().unwrap();
    storage.close().unwrap();
    house
}

#[test]
fn cards_of_an_older_version_are_made_anew_without_a_restart() {
    let house = filled();
    let storage = house.open();
    let before = super::dump::dump(&storage);
    let store = the_store(&storage);
    let txn = store.db.write().unwrap();
    {
        let mut cards = txn.open_table(CARDS).unwrap();
        let all: Vec<(u32, Vec<u8>)> =
            cards.iter().unwrap().map(|e| e.unwrap()).map(|(k, v)| (k.value(), v.value().to_vec())).collect();
        assert!(all.len() > 1, "several groups");
        for (first, mut value) in all {
            value[0] = CARD_VERSION.wrapping_sub(1);
            cards.insert(first, &value[..]).unwrap();
        }
        txn.open_table(META).unwrap().insert("cards", u64::from(CARD_VERSION) - 1).unwrap();
    }
    store.db.commit(txn).unwrap();
    drop((store, storage));
    let storage = house.open();
    let store = the_store(&storage);
    // Asked for meanwhile, they are made on demand.
    let view = storage.view(&path("alice/Inbox")).unwrap();
    let mut rows = storage.rows(&view, &view.uids);
    assert!(rows.next_batch_with_cards().unwrap().unwrap().iter().all(|(row, card)| card.size == row.size));
    let deadline = Instant::now() + Duration::from_secs(60);
    while store.db.old_cards_from().unwrap().is_some() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    for no in 0..MAILS as u32 {
        assert!(matches!(store.db.group(MsgNo(no)).unwrap().1, Group::Cards(_)));
    }
    sound(&storage);
    // The groups are those of before: nothing else in the database changed.
    let mut after = super::dump::dump(&storage);
    let mut expected = before;
    after.retain(|line| !line.starts_with("cards "));
    expected.retain(|line| !line.starts_with("cards "));
    assert_eq!(after, expected);
}

#[test]
fn an_index_is_made_anew_while_search_goes_on() {
    let house = filled();
    let storage = house.open();
    storage.wait_for_index(&Cancel::default()).unwrap();
    let search = |text: &str| {
        let view = storage.view(&path("alice/Inbox")).unwrap();
        storage.search(&view, &Key::Text(text.into()), &Cancel::default()).unwrap().len()
    };
    let mut said = 0;
    storage
        .rebuild_index(None, false, &Cancel::default(), &mut |store, done, all| {
            assert!(store == "0001" && done <= all);
            // Number 1700, too, once it is there.
            let there = 11 + u64::from(said > 1);
            assert_eq!((search("number 17"), search("nowhere")), (there, 0));
            if said == 1 {
                archive(&storage, "alice/Inbox", &mail(1_700, 10), "late").unwrap();
            }
            said += 1;
            // Only once at a time.
            let again = storage.rebuild_index(Some("0001"), false, &Cancel::default(), &mut |_, _, _| ());
            assert!(matches!(again, Err(Error::Refused { .. })));
        })
        .unwrap_or_else(|error| panic!("{error}"));
    assert!(said > 2);
    let status = storage.index_status();
    let [index] = status.as_slice() else { panic!("{status:?}") };
    assert_eq!((index.documents, index.watermark, index.tail), (MAILS + 1, MAILS + 1, 0), "{index:?}");
    assert!(
        index.bytes > 0 && index.segments > 0 && index.trouble.is_none() && index.versions.contains("text")
    );
    archive(&storage, "alice/Inbox", &mail(1_701, 10), "later").unwrap();
    storage.wait_for_index(&Cancel::default()).unwrap();
    assert_eq!(search("number 170"), 3);
    let cancelled = Cancel::default();
    let broken = storage.rebuild_index(Some("0001"), false, &cancelled, &mut |_, _, _| cancelled.set());
    assert!(matches!(broken, Err(Error::Cancelled)));
    assert_eq!(search("number 170"), 3);
    sound(&storage);
    storage.close().unwrap();
    drop(storage);
    let names = std::fs::read_dir(house.index.path()).unwrap().map(|e| e.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["0001"], "nothing is left beside it");
    let storage = house.open();
    assert_eq!(storage.index_status()[0].watermark, MAILS + 2);
}
