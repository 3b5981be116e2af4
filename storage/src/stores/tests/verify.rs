//! Verifying: whatever is damaged is named, wherever it lies; what is sound is not; slices and broken-off runs cover all.

use super::*;
use crate::db;
use crate::store::verify::Slice;
use std::collections::BTreeSet;

const MAILS: u64 = 40;

/// Messages in two folders, some with unusual line ends; two packs.
fn filled() -> House {
    let house = House::new();
    for half in 0..2 {
        let storage = house.open();
        for n in half * MAILS / 2..(half + 1) * MAILS / 2 {
            let folder = if n % 5 == 0 { "alice/Old" } else { "alice/Inbox" };
            archive(&storage, folder, &mail(n, if n == 7 { 600_000 } else { 700 }), &n.to_string()).unwrap();
        }
        let settings = crate::store::open::Settings::decode(&the_store(&storage).packs.identity().settings);
        the_store(&storage).begin_pack(&settings).unwrap();
        storage.close().unwrap();
    }
    house
}

fn all() -> VerifyOptions {
    VerifyOptions::default()
}

/// Changes the database by hand and gives what is found then.
fn ruined(house: &House, ruin: impl FnOnce(&redb::WriteTransaction)) -> Vec<String> {
    let house = house.after(Loss::Keep);
    let storage = house.open();
    storage.wait_for_index(&Cancel::default()).unwrap();
    let store = the_store(&storage);
    let txn = store.db.write().unwrap();
    ruin(&txn);
    store.db.commit(txn).unwrap();
    verify(&storage, &all()).1
}

#[test]
fn a_sound_archive_has_no_damage_whole_or_in_slices() {
    let house = filled();
    let storage = house.open();
    storage.wait_for_index(&Cancel::default()).unwrap();
    let (report, found) = verify(&storage, &all());
    assert_eq!(found, Vec::<String>::new());
    assert_eq!((report.messages, report.placements, report.documents), (MAILS, MAILS, MAILS));
    assert!(report.records > 3 * MAILS && report.stores == ["0001"], "{report:?}");
    let mut messages = 0;
    for part in 1..=7 {
        let slice = Slice::new(part, 7).unwrap();
        let (report, found) = verify(&storage, &VerifyOptions { slice, ..all() });
        assert_eq!((found, report.slice), (Vec::new(), Some((part, 7))));
        messages += report.messages;
        assert_eq!(storage.last_verify().unwrap().unwrap().0, report);
    }
    assert_eq!(messages, MAILS);
    assert_eq!((Slice::new(0, 3), Slice::new(4, 3), Slice::new(1, 1_001)), (None, None, None));
    let nowhere = VerifyOptions { store: Some("0009".into()), ..all() };
    let missing = storage.verify(&nowhere, &Cancel::default(), &mut |_| (), &mut |_| ());
    assert!(matches!(missing, Err(Error::Missing { .. })));
}

#[test]
fn every_table_is_compared() {
    let house = filled();
    let told = |found: Vec<String>, what: &str| {
        assert!(found.iter().any(|damage| damage.contains(what)), "{what}: {found:#?}");
    };
    told(
        ruined(&house, |txn| {
            txn.open_table(db::IDENTITIES).unwrap().retain(|(_, no), ()| no != 3).unwrap();
        }),
        "doesn't find the message by its identity (Subject: number 3)",
    );
    told(
        ruined(&house, |txn| {
            txn.open_table(db::PLACES).unwrap().remove((3, 2, 3)).unwrap();
        }),
        "alice/Inbox UID 3: the placement doesn't agree with its message",
    );
    told(
        ruined(&house, |txn| {
            txn.open_table(db::PLACES).unwrap().insert((3, 2, 30), &[1u8, b'x'][..]).unwrap();
        }),
        "alice/Inbox UID 30: the database knows a place of the message without a placement",
    );
    told(
        ruined(&house, |txn| {
            txn.open_table(db::PLACES).unwrap().insert((3, 2, 3), &[9u8, b'x'][..]).unwrap();
        }),
        "alice/Inbox UID 3: its source is not known",
    );
    told(
        ruined(&house, |txn| {
            txn.open_table(db::SOURCE_IDS).unwrap().remove("mbox").unwrap();
        }),
        "doesn't find source number 1 by its name",
    );
    told(
        ruined(&house, |txn| {
            txn.open_table(db::PARTS).unwrap().insert(0x0707_0707_0707_0707, &[2u8, 100, 0, 5][..]).unwrap();
        }),
        "part 0707",
    );
    told(
        ruined(&house, |txn| {
            let mut extras = txn.open_table(db::EXTRAS).unwrap();
            extras.insert((2, 3), &[9u8][..]).unwrap();
        }),
        "alice/Inbox UID 3: its line ends are damaged",
    );
    told(
        ruined(&house, |txn| {
            let mut cards = txn.open_table(db::CARDS).unwrap();
            let card = crate::card::Card::raw(5);
            let (_, value) = db::groups::encode(&[card]).unwrap().remove(0);
            cards.insert(0, &value[..]).unwrap();
        }),
        "the card is not the message's",
    );
    told(
        ruined(&house, |txn| {
            txn.open_table(db::MESSAGES).unwrap().remove(3).unwrap();
        }),
        "message number 3 is not in the archive",
    );
    // A row that no pack knows of: a whole page gone, and one from nowhere.
    told(
        ruined(&house, |txn| {
            txn.open_table(db::PLACEMENTS).unwrap().remove((1, 1)).unwrap();
        }),
        "alice/Old UID 1: the packs know the placement, the database doesn't",
    );
}

#[test]
fn every_damaged_message_is_named_by_folder_uid_and_subject() {
    let house = filled();
    // The header's block of the fourth message is the seventh record from the start or so: the first block that has it.
    let blocks = |house: &House| -> Vec<(usize, usize)> {
        let packs =
            crate::pack::Packs::open(house.arc(), &house.store_dir().join("packs"), &house.key, 0).unwrap();
        let first = packs.list()[0];
        let all = packs.salvage(first, packs.start(first).unwrap()).unwrap().map(Result::unwrap);
        all.filter(|record| record.kind == crate::pack::RecordKind::Block)
            .map(|record| (record.addr.offset as usize, record.next as usize))
            .collect()
    };
    // Header and body of each message have a block of their own, since each is a batch: the ninth is the fifth's header.
    let at = blocks(&house)[9];
    house.disk.damage(&house.pack(1), |bytes| bytes[at.0 + 80] ^= 1);
    let storage = house.open();
    storage.wait_for_index(&Cancel::default()).unwrap();
    let (report, found) = verify(&storage, &all());
    let named: Vec<&String> = found.iter().filter(|damage| damage.starts_with("alice/Inbox UID ")).collect();
    assert_eq!(named.len(), 1, "{found:#?}");
    assert!(named[0].contains("(Subject: number "), "{named:?}");
    assert!(found.iter().any(|damage| damage.contains("of batch")), "{found:#?}");
    assert_eq!(report.damaged, found.len() as u64);
    let (last, damage) = storage.last_verify().unwrap().unwrap();
    assert_eq!((last, damage.len()), (report, found.len()));
    assert!(damage.iter().any(|d| d.uid.is_some() && d.sha256.as_ref().is_some_and(|hash| hash.len() == 64)));
    // Slices find it, too: the message on its day, the record on its own.
    let mut sliced = BTreeSet::new();
    for part in 1..=3 {
        let slice = Slice::new(part, 3).unwrap();
        sliced.extend(verify(&storage, &VerifyOptions { slice, ..all() }).1);
    }
    assert_eq!(sliced, found.into_iter().collect::<BTreeSet<_>>());
}

#[test]
fn what_a_rebuild_would_lose_is_named() {
    let house = filled();
    let packs =
        crate::pack::Packs::open(house.arc(), &house.store_dir().join("packs"), &house.key, 0).unwrap();
    let first = packs.list()[0];
    let facts: Vec<_> = packs
        .salvage(first, packs.start(first).unwrap())
        .unwrap()
        .map(Result::unwrap)
        .filter(|record| record.kind == crate::pack::RecordKind::Facts)
        .collect();
    // The third message: alice/Inbox UID 2.
    let at = facts[2].next as usize - 20;
    house.disk.damage(&house.pack(1), |bytes| bytes[at] ^= 1);
    let (_, found) = verify(&house.open(), &all());
    let lost = "alice/Inbox UID 2: no pack says any more that the message is here: a rebuild would lose it";
    assert!(found.iter().any(|damage| damage.starts_with(lost)), "{found:#?}");
}

#[test]
fn a_run_that_was_broken_off_goes_on() {
    let house = filled();
    let blocks = house.disk.bytes(&house.pack(1)).len();
    house.disk.damage(&house.pack(1), |bytes| bytes[blocks / 3] ^= 1);
    let storage = house.open();
    // However late the first store's damage is told, the second one is still to come.
    storage.shared.create_store(None, None).unwrap();
    archive(&storage, "bob", &mail(MAILS, 700), "x").unwrap();
    storage.wait_for_index(&Cancel::default()).unwrap();
    let (whole, mut expected) = verify(&storage, &all());
    assert!(!expected.is_empty());
    expected.sort();
    let nothing = VerifyOptions { resume: true, ..all() };
    let none = storage.verify(&nothing, &Cancel::default(), &mut |_| (), &mut |_| ());
    assert!(matches!(none, Err(Error::Missing { .. })), "nothing was broken off");
    let (cancel, mut told, mut rounds) = (Cancel::default(), Vec::new(), 0);
    let broken =
        storage.verify(&VerifyOptions { threads: 1, ..all() }, &cancel, &mut |_| (), &mut |_| cancel.set());
    assert!(matches!(broken, Err(Error::Cancelled)));
    drop(storage);
    let storage = house.open();
    let report = loop {
        rounds += 1;
        told.clear();
        let options = VerifyOptions { resume: true, ..all() };
        match storage.verify(&options, &Cancel::default(), &mut |_| (), &mut |d| told.push(d.to_string())) {
            Ok(report) => break report,
            Err(Error::Cancelled) if rounds < 5 => {}
            Err(error) => panic!("{error}"),
        }
    };
    told.sort();
    assert_eq!(told, expected, "what was told before is told again, once");
    assert_eq!(report.damaged, whole.damaged);
    assert!(report.messages >= whole.messages);
}

#[test]
fn the_index_is_compared_with_the_messages() {
    let house = filled();
    let storage = house.open();
    storage.wait_for_index(&Cancel::default()).unwrap();
    storage.close().unwrap();
    drop(storage);
    // The index of another store with as many messages: all its documents are wrong.
    let other = House::new();
    let storage = other.open();
    for n in 0..MAILS {
        archive(&storage, "bob", &mail(1_000 + n, 50), "x").unwrap();
    }
    storage.wait_for_index(&Cancel::default()).unwrap();
    storage.close().unwrap();
    drop(storage);
    let house = House { index: other.index, ..house };
    let (_, found) = verify(&house.open(), &all());
    let lacking = found.iter().filter(|damage| damage.contains("the search index lacks words")).count();
    assert!(lacking as u64 >= MAILS, "{found:#?}");
}

#[test]
fn a_store_that_is_away_is_told() {
    let house = filled();
    let storage = house.open();
    storage.shared.create_store(None, None).unwrap();
    storage.close().unwrap();
    drop(storage);
    house.disk.damage(&house.store_dir().join("store.redb"), |bytes| bytes.fill(7));
    let storage = house.open();
    let (report, found) = verify(&storage, &all());
    assert!(found.len() == 1 && found[0].contains("store 0001 can't be read"), "{found:?}");
    assert_eq!(report.stores, ["0002"]);
}
