//! Databases made again from packs: the same tables, whatever happened; and past damage, all that is left, by name.

use super::dump::dump;
use super::*;
use crate::ModSeq;
use crate::pack::{Packs, RecordKind};
use crate::store::facts::{DeletionFact, Evidence, Fact, MoveFact, encode_all};
use crate::stores::rebuild::{Task, rebuild_on};

impl House {
    pub(super) fn rebuild(&self, accept_loss: bool) -> RebuildReport {
        self.try_rebuild(None, accept_loss).unwrap()
    }

    fn try_rebuild(&self, number: Option<&str>, accept_loss: bool) -> Result<RebuildReport, Error> {
        let (cancel, progress) = (Cancel::default(), &mut |_: &str, _, _| ());
        let task = Task { number, accept_loss, cancel: &cancel, progress };
        rebuild_on(&self.arc(), &self.data, &self.key, &self.limits, false, task)
    }

    fn database(&self) -> PathBuf {
        self.store_dir().join("store.redb")
    }

    /// Where the records of a kind lie in the first pack.
    fn records(&self, kind: RecordKind) -> Vec<(usize, usize)> {
        let packs = Packs::open(self.arc(), &self.store_dir().join("packs"), &self.key, 0).unwrap();
        let first = packs.list()[0];
        let all = packs.salvage(first, packs.start(first).unwrap()).unwrap();
        all.map(|record| record.unwrap())
            .filter(|record| record.kind == kind)
            .map(|record| (record.addr.offset as usize, record.next as usize))
            .collect()
    }

    fn flip(&self, at: usize) {
        self.disk.damage(&self.pack(1), |bytes| bytes[at] ^= 0x20);
    }
}

/// Twelve messages in two folders, one batch each; then moves, deletions and a rename.
fn history() -> House {
    let house = House::new();
    let storage = house.open();
    for n in 0..12 {
        let folder = if n % 4 == 3 { "alice/Old" } else { "alice/Inbox" };
        archive(&storage, folder, &mail(n, if n == 5 { 600_000 } else { 700 }), &n.to_string()).unwrap();
    }
    let id = |name: &str| storage.view(&path(name)).unwrap().info.id;
    let (inbox, old) = (id("alice/Inbox"), id("alice/Old"));
    let store = the_store(&storage);
    let counters = store.state.read().counters;
    let mod_seq = ModSeq(counters.mod_seq + 1);
    let evidence = |n| Evidence { leaf: counters.next_leaf + n, salt: None, hash: [n as u8; 32] };
    let facts = vec![
        Fact::Deletion(DeletionFact { folder: inbox, uid: Uid(2), mod_seq, evidence: evidence(0) }),
        Fact::Move(MoveFact {
            from: inbox,
            from_uid: Uid(3),
            to: old,
            to_uid: Uid(4),
            archive_uid: Uid(4),
            mod_seq,
            evidence: evidence(1),
        }),
        Fact::Rename { folder: old, path: path("alice/Older"), mod_seq },
    ];
    let mut writer = store.packs.new_pack().unwrap();
    for record in encode_all(&facts) {
        writer.append(RecordKind::Facts, record).unwrap();
    }
    writer.commit(counters.batch + 1, mod_seq.0, 0, None).unwrap();
    drop((store, storage));
    let storage = house.open();
    archive(&storage, "alice/Inbox", &mail(20, 700), "20").unwrap();
    storage.close().unwrap();
    house
}

fn everything(storage: &Storage) -> Vec<String> {
    let mut all = dump(storage);
    for folder in storage.folders() {
        for uid in all_uids(storage, folder.path.as_str()) {
            let bytes = cat(storage, folder.path.as_str(), Uid(uid)).unwrap();
            all.push(format!("{folder:?} {uid} {}", hex::encode(bytes)));
        }
    }
    all
}

#[test]
fn a_rebuilt_store_is_the_same_store() {
    let house = history();
    let before = everything(&house.open());
    let report = house.rebuild(false);
    assert_eq!(report.notes, Vec::<String>::new());
    let [store] = report.stores.as_slice() else { panic!("{report:?}") };
    assert_eq!((store.lost.len(), store.raised, store.kept.clone()), (0, false, None), "{store:?}");
    assert_eq!((store.batches, store.messages, store.placements, store.folders), (14, 13, 12, 2));
    let storage = house.open();
    assert_eq!(everything(&storage), before);
    sound(&storage);
    // The index goes with the numbers of messages, which are the same.
    storage.wait_for_index(&Cancel::default()).unwrap();
    assert!(matches!(house.try_rebuild(Some("0009"), false), Err(Error::Missing { .. })));
}

#[test]
fn a_lost_or_damaged_database_and_a_lost_or_damaged_list_of_stores_come_back() {
    let house = history();
    let before = everything(&house.open());
    let registry = house.data.join("stores/stores.toml");
    for ruin in 0..6 {
        let house = house.after(Loss::Keep);
        match ruin {
            0 => house.arc().remove(&house.database()).unwrap(),
            1 => house.disk.damage(&house.database(), |bytes| bytes.truncate(100)),
            2 => house.disk.damage(&house.database(), |bytes| bytes.fill(7)),
            3 => house.disk.damage(&house.database(), |bytes| bytes[..200].fill(0)),
            4 => house.arc().remove(&registry).unwrap(),
            _ => house.disk.damage(&registry, |bytes| bytes.insert(0, b'{')),
        }
        if matches!(ruin, 1..=3) {
            let refused = house.try_open().map(drop).unwrap_err().to_string();
            assert!(refused.contains("mailkeep store rebuild"), "{ruin}: {refused}");
        }
        let report = house.rebuild(false);
        assert_eq!(report.stores[0].kept, None, "{ruin}: {report:?}");
        assert_eq!(report.notes.is_empty(), ruin < 4, "{report:?}");
        let storage = house.open();
        assert_eq!(everything(&storage), before, "{ruin}");
        assert_eq!(storage.stores()[0].state, StoreState::Current);
        archive(&storage, "alice/New", &mail(50, 10), "x").unwrap();
        sound(&storage);
    }
}

#[test]
fn what_damage_leaves_is_taken_and_what_it_takes_is_named() {
    let house = history();
    // Facts of the fifth batch (the fourth message in the inbox), and the commit record of the ninth.
    let facts = house.records(RecordKind::Facts)[4];
    let commit = house.records(RecordKind::Commit)[8];
    house.flip(facts.1 - 40);
    house.flip(commit.1 - 1);
    // The database still knows: it is kept, unless the loss is accepted.
    let kept = house.rebuild(false);
    assert!(kept.stores[0].kept.is_some() && !kept.stores[0].lost.is_empty(), "{kept:?}");
    assert_eq!(all_uids(&house.open(), "alice/Inbox"), [1, 4, 5, 6, 7, 8, 9, 10]);
    house.arc().remove(&house.database()).unwrap();
    assert!(house.try_open().is_err(), "damage before complete batches is not passed over silently");
    let report = house.rebuild(false);
    let lost = report.stores[0].lost.join("\n");
    assert!(lost.contains("batch 5 is damaged") && lost.contains("message numbers 4 to 4"), "{lost}");
    assert!(lost.contains("batch 9 has no commit record"), "{lost}");
    assert_eq!(report.stores[0].kept, None);
    let storage = house.open();
    // UID 4 was the fifth message's; the ninth came through without its commit record.
    assert_eq!(all_uids(&storage, "alice/Inbox"), [1, 5, 6, 7, 8, 9, 10]);
    for (uid, number) in [(1, 0), (5, 5), (6, 6), (7, 8), (8, 9), (9, 10), (10, 20)] {
        let large = if number == 5 { 600_000 } else { 700 };
        assert_eq!(cat(&storage, "alice/Inbox", Uid(uid)).unwrap(), mail(number, large), "UID {uid}");
    }
    assert_eq!(all_uids(&storage, "alice/Older"), [1, 2, 3, 4]);
    assert_eq!(archive(&storage, "alice/Inbox", &mail(4, 700), "again").unwrap(), Uid(11));
    assert_eq!(cat(&storage, "alice/Inbox", Uid(11)).unwrap(), mail(4, 700));
    storage.wait_for_index(&Cancel::default()).unwrap();
    let after = everything(&storage);
    drop(storage);
    // The same again: a rebuild of what a rebuild left.
    house.rebuild(true);
    assert_eq!(everything(&house.open()), after);
}

#[test]
fn folders_and_sources_whose_names_are_lost_get_others() {
    let house = history();
    // The first batch has the inbox's and the source's names.
    house.flip(house.records(RecordKind::Facts)[0].1 - 30);
    let report = house.rebuild(true);
    let lost = report.stores[0].lost.join("\n");
    assert!(lost.contains("lost-and-found/folder 1") && lost.contains("(lost source 1)"), "{lost}");
    let storage = house.open();
    assert_eq!(all_uids(&storage, "lost-and-found/folder 1"), [4, 5, 6, 7, 8, 9, 10]);
    let folder = storage.view(&path("lost-and-found/folder 1")).unwrap().info.id;
    let no = the_store(&storage).db.placed(folder, Uid(5)).unwrap().unwrap().row.msg;
    let hash = the_store(&storage).message(no).unwrap().hash();
    assert_eq!(
        storage.sightings(&path("lost-and-found/folder 1"), &hash).unwrap()[0].source,
        "(lost source 1)"
    );
    archive(&storage, "alice/Inbox", &mail(0, 700), "0").unwrap();
    storage.wait_for_index(&Cancel::default()).unwrap();
}

#[test]
fn a_missing_end_raises_all_numbers() {
    let house = history();
    let storage = house.open();
    let before: Vec<FolderInfo> = storage.folders();
    let mod_seq = the_store(&storage).state.read().counters.mod_seq;
    let len = house.disk.bytes(&house.pack(2)).len();
    archive(&storage, "alice/Inbox", &mail(30, 10), "30").unwrap();
    archive(&storage, "alice/Late", &mail(31, 10), "31").unwrap();
    let late = storage.view(&path("alice/Late")).unwrap().info;
    storage.close().unwrap();
    drop(storage);
    // The last pack loses both.
    house.disk.damage(&house.pack(2), |bytes| bytes.truncate(len));
    assert!(matches!(house.try_open(), Err(Error::Derived { .. })));
    for gone in [false, true] {
        // What is remembered of the store is enough.
        let house = house.after(Loss::Keep);
        if gone {
            house.arc().remove(&house.database()).unwrap();
        }
        let report = house.rebuild(false);
        assert!(report.stores[0].raised && report.stores[0].kept.is_none(), "{report:?}");
        let storage = house.open();
        for old in &before {
            let now = storage.view(&old.path).unwrap().info;
            assert_eq!((now.id, now.uid_validity, now.messages), (old.id, old.uid_validity, old.messages));
            assert_eq!(now.uid_next.0, old.uid_next.0 + 1_000_000);
            assert!(now.highest_mod_seq.0 >= mod_seq + (1 << 32));
        }
        assert_eq!(storage.folders().len(), before.len());
        archive(&storage, "alice/Late", &mail(31, 10), "31").unwrap();
        let again = storage.view(&path("alice/Late")).unwrap().info;
        assert!(again.uid_validity > late.uid_validity && again.id > late.id, "{again:?}");
        sound(&storage);
        let after = everything(&storage);
        drop(storage);
        house.arc().remove(&house.database()).unwrap();
        assert_eq!(everything(&house.open()), after, "what was raised stands in the packs");
    }
}

#[test]
fn a_pack_whose_header_is_damaged_is_read_all_the_same() {
    let house = history();
    let before = everything(&house.open());
    house.disk.damage(&house.pack(1), |bytes| bytes[70] ^= 1);
    let storage = house.open();
    assert_eq!(everything(&storage), before);
    let report = storage.check(&Cancel::default(), &mut |_, _| ()).unwrap();
    assert!(report.damage.iter().any(|damage| damage.contains("00000001.pack")), "{:?}", report.damage);
    drop(storage);
    house.arc().remove(&house.database()).unwrap();
    house.rebuild(false);
    assert_eq!(everything(&house.open()), before);
}

#[test]
fn an_old_layout_is_made_again_by_itself() {
    let house = history();
    let storage = house.open();
    let before = everything(&storage);
    let store = the_store(&storage);
    let txn = store.db.write().unwrap();
    txn.open_table(crate::db::META).unwrap().insert("version", 1).unwrap();
    store.db.commit(txn).unwrap();
    drop((store, storage));
    assert_eq!(everything(&house.open()), before);
}

#[test]
fn a_store_in_use_is_rebuilt_under_its_readers() {
    let house = history();
    let storage = house.open();
    let before = everything(&storage);
    let view = storage.view(&path("alice/Inbox")).unwrap();
    let mut rows = storage.rows(&view, &view.uids);
    let mut said = 0;
    let report = storage
        .rebuild_stores(None, false, &Cancel::default(), &mut |store, done, all| {
            assert!(store == "0001" && done <= all);
            said += 1;
            // Archiving goes on meanwhile.
            if said == 3 {
                archive(&storage, "alice/Inbox", &mail(40, 10), "40").unwrap();
            }
        })
        .unwrap();
    assert!(report.stores[0].kept.is_none() && said > 3, "{report:?}");
    assert_eq!(rows.next_batch().unwrap().unwrap().len() as u64, view.uids.len());
    assert_eq!(cat(&storage, "alice/Inbox", Uid(11)).unwrap(), mail(40, 10));
    archive(&storage, "alice/Inbox", &mail(41, 10), "41").unwrap();
    sound(&storage);
    let after = everything(&storage);
    assert_ne!(after, before);
    drop((rows, storage));
    assert_eq!(everything(&house.open()), after);
    // Damage that the database in use makes up for is told, and the database stays.
    house.flip(house.records(RecordKind::Facts)[4].1 - 40);
    let storage = house.open();
    let report = storage.rebuild_stores(None, true, &Cancel::default(), &mut |_, _, _| ()).unwrap();
    assert!(report.stores[0].kept.is_some() && !report.stores[0].lost.is_empty(), "{report:?}");
    let same = dump(&storage);
    drop(storage);
    assert_eq!(dump(&house.open()), same);
}

#[test]
fn a_store_that_could_not_be_opened_comes_back_under_a_running_server() {
    let house = history();
    let before = everything(&house.open());
    let storage = house.open();
    storage.shared.create_store(None, None).unwrap();
    storage.close().unwrap();
    drop(storage);
    house.disk.damage(&house.database(), |bytes| bytes.fill(7));
    let storage = house.open();
    assert!(matches!(cat(&storage, "alice/Inbox", Uid(1)), Err(Error::Unavailable { .. })));
    let cancelled = Cancel::default();
    cancelled.set();
    let refused = storage.rebuild_stores(Some("0001"), false, &cancelled, &mut |_, _, _| ());
    assert!(matches!(refused, Err(Error::Cancelled)));
    storage.rebuild_stores(Some("0001"), false, &Cancel::default(), &mut |_, _, _| ()).unwrap();
    assert_eq!(dump(&storage), before[..dump(&storage).len()]);
    assert_eq!(cat(&storage, "alice/Inbox", Uid(1)).unwrap(), mail(0, 700));
}

#[test]
fn a_crash_during_a_rebuild_leaves_the_old_database_or_the_new_one() {
    let house = history();
    let before = everything(&house.open());
    for sync in 0.. {
        let house = house.after(Loss::Keep);
        house.disk.crash_at_sync(sync);
        let done = house.try_rebuild(None, false);
        if !house.disk.crashed() {
            assert_eq!(done.unwrap().stores[0].kept, None);
            assert!(sync > 2);
            break;
        }
        for loss in [Loss::Keep, Loss::Drop, Loss::Tear(sync)] {
            let after = house.after(loss);
            assert_eq!(everything(&after.open()), before, "sync {sync}, {loss:?}");
        }
    }
}
