//! Moves, renames, merges, removals, deletions: over one store and several, refused ones, and with the power cut.

use super::dump::dump;
use super::*;
use crate::Whereabouts;

fn quiet(_: u64, _: u64) {}

fn uids(list: &[u32]) -> UidRanges {
    list.iter().map(|uid| Uid(*uid)).collect()
}

fn mv(storage: &Storage, from: &str, list: &[u32], to: &str) -> Result<u64, Error> {
    storage.move_messages(&path(from), &uids(list), &path(to), &Cancel::default(), &mut quiet)
}

fn delete(storage: &Storage, folder: &str, list: &[u32]) -> Result<u64, Error> {
    storage.delete_messages(&path(folder), &uids(list), &Cancel::default(), &mut quiet)
}

fn rename(storage: &Storage, from: &str, to: &str) -> Result<Changed, Error> {
    storage.move_folder(&path(from), &path(to), &Cancel::default(), &mut quiet)
}

fn merge(storage: &Storage, from: &str, into: &str) -> Result<Changed, Error> {
    storage.merge_folder(&path(from), &path(into), &Cancel::default(), &mut quiet)
}

fn remove(storage: &Storage, folder: &str, messages: bool) -> Result<Changed, Error> {
    storage.delete_folder(&path(folder), messages, &Cancel::default(), &mut quiet)
}

fn names(storage: &Storage) -> Vec<String> {
    storage.folders().iter().map(|folder| folder.path.to_string()).collect()
}

fn archive_uid(storage: &Storage, folder: &str, uid: u32) -> u32 {
    let view = storage.view(&path(folder)).unwrap();
    let part = view.parts.iter().find(|part| part.uids.contains(Uid(uid))).unwrap();
    let store = storage.shared.store(part.store).unwrap();
    store.db.placed(part.folder, Uid(uid)).unwrap().unwrap().archive_uid.0
}

/// A house whose first store holds messages 0 to 9 of a folder, the second (current) one 10 to 14.
fn two_stores() -> (House, Storage) {
    let house = House::new();
    let storage = house.open();
    for n in 0..10 {
        archive(&storage, "alice/Inbox", &mail(n, 400), &n.to_string()).unwrap();
    }
    storage.shared.create_store(None, None).unwrap();
    for n in 10..15 {
        archive(&storage, "alice/Inbox", &mail(n, 400), &n.to_string()).unwrap();
    }
    assert_eq!(all_uids(&storage, "alice/Inbox"), (1..=15).collect::<Vec<_>>());
    (house, storage)
}

/// The database made again from the packs is the same.
fn rebuilt(house: &House, storage: Storage) -> Storage {
    let live = dump(&storage);
    drop(storage);
    house.arc().remove(&house.store_dir().join("store.redb")).unwrap();
    let storage = house.open();
    assert_eq!(dump(&storage), live);
    storage
}

#[test]
fn a_moved_message_has_a_new_uid_and_all_its_bytes() {
    let house = House::new();
    let storage = house.open();
    for n in 0..6 {
        archive(&storage, "alice/Inbox", &mail(n, 400), &n.to_string()).unwrap();
    }
    archive(&storage, "bob/x", &mail(40, 9), "0").unwrap();
    let before = storage.view(&path("alice/Inbox")).unwrap();
    assert_eq!(mv(&storage, "alice/Inbox", &[2, 5, 77], "alice/Old/2019").unwrap(), 2);
    assert_eq!(mv(&storage, "alice/Inbox", &[3], "bob/x").unwrap(), 1);
    assert_eq!(all_uids(&storage, "alice/Inbox"), [1, 4, 6]);
    assert_eq!(all_uids(&storage, "alice/Old/2019"), [1, 2]);
    assert_eq!(all_uids(&storage, "bob/x"), [1, 2]);
    for (folder, uid, n) in [("alice/Old/2019", 1, 1), ("alice/Old/2019", 2, 4), ("bob/x", 2, 2)] {
        assert_eq!(cat(&storage, folder, Uid(uid)).unwrap(), mail(n, 400));
    }
    assert!(matches!(cat(&storage, "alice/Inbox", Uid(2)), Err(Error::Missing { .. })));
    assert_eq!(before.uids.len(), 6, "a view that was taken stays");
    let now = storage.view(&path("alice/Inbox")).unwrap();
    assert!(now.info.highest_mod_seq > before.info.highest_mod_seq);
    assert_eq!((now.info.uid_next, now.info.uid_validity), (Uid(7), before.info.uid_validity));
    assert_eq!(archive_uid(&storage, "alice/Old/2019", 2), 5, "kept within the archive");
    assert_eq!(archive_uid(&storage, "bob/x", 2), 2, "a new one in another");
    assert!(matches!(mv(&storage, "alice/Inbox", &[1], "alice/Inbox"), Err(Error::Refused { .. })));
    assert!(matches!(mv(&storage, "alice/No", &[1], "alice/Inbox"), Err(Error::Missing { .. })));
    assert_eq!(archive(&storage, "alice/Inbox", &mail(9, 9), "9").unwrap(), Uid(7));
    // And back again: another UID, and one sighting.
    mv(&storage, "alice/Old/2019", &[1], "alice/Inbox").unwrap();
    assert_eq!(all_uids(&storage, "alice/Inbox"), [1, 4, 6, 7, 8]);
    let hash = storage.message(&row(&storage, "alice/Inbox", 8)).unwrap().hash();
    let seen = storage.sightings(&path("alice/Inbox"), &hash).unwrap();
    assert_eq!(seen.iter().map(|s| (s.uid.0, s.there)).collect::<Vec<_>>(), [(8, Whereabouts::Here)]);
    let left = storage.sightings(&path("alice/Old/2019"), &hash).unwrap();
    assert_eq!(left.iter().map(|s| (s.uid.0, s.there)).collect::<Vec<_>>(), [(1, Whereabouts::Elsewhere)]);
    sound(&storage);
    sound(&rebuilt(&house, storage));
}

fn row(storage: &Storage, folder: &str, uid: u32) -> Row {
    let view = storage.view(&path(folder)).unwrap();
    storage.rows(&view, &uids(&[uid])).next_batch().unwrap().unwrap()[0]
}

#[test]
fn deleted_messages_go_and_their_numbers_stay_used() {
    let house = House::new();
    let storage = house.open();
    for n in 0..300 {
        archive(&storage, "alice/Inbox", &mail(n, 40), &n.to_string()).unwrap();
    }
    let odd: Vec<u32> = (1..=300).filter(|n| n % 2 == 1).collect();
    assert_eq!(delete(&storage, "alice/Inbox", &odd).unwrap(), 150);
    assert_eq!(delete(&storage, "alice/Inbox", &[300, 300, 1]).unwrap(), 1);
    let view = storage.view(&path("alice/Inbox")).unwrap();
    assert_eq!((view.info.messages, view.info.uid_next), (149, Uid(301)));
    assert_eq!(storage.columns(&view).unwrap()[0].rows.len(), 149);
    let sizes: u64 = storage.columns(&view).unwrap()[0].rows.iter().map(|row| row.size).sum();
    assert_eq!(view.info.bytes, sizes);
    assert_eq!(storage.stores()[0].placements, 149);
    assert_eq!(archive(&storage, "alice/Inbox", &mail(900, 9), "x").unwrap(), Uid(301));
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    batch.delete_message(view.info.id, Uid(2)).unwrap();
    assert!(matches!(batch.delete_message(view.info.id, Uid(2)), Err(Error::Missing { .. })), "not twice");
    assert!(matches!(batch.move_message(view.info.id, Uid(2), view.info.id), Err(Error::Refused { .. })));
    let added = batch.add(view.info.id, prepared(&storage, &mail(901, 9), b""), &from("mbox", "y"));
    assert!(matches!(added, Err(Error::Refused { .. })), "its UID would lie between those of moves");
    drop(batch);
    assert_eq!(all_uids(&storage, "alice/Inbox").len(), 150, "a batch that is dropped leaves no trace");
    sound(&storage);
    sound(&rebuilt(&house, storage));
}

#[test]
fn folders_are_renamed_with_all_below_them() {
    let house = House::new();
    let storage = house.open();
    for folder in ["alice/A", "alice/A/x", "alice/A/x/y", "alice/Ab", "alice"] {
        archive(&storage, folder, &mail(1, 40), folder).unwrap();
    }
    let ids: Vec<_> = storage.folders().iter().map(|f| (f.id, f.uid_validity, f.uid_next)).collect();
    assert_eq!(rename(&storage, "alice/A", "alice/C/d").unwrap(), Changed { folders: 3, messages: 0 });
    assert_eq!(names(&storage), ["alice", "alice/Ab", "alice/C/d", "alice/C/d/x", "alice/C/d/x/y"]);
    // A container that is no folder itself.
    assert_eq!(rename(&storage, "alice/C", "alice/E").unwrap().folders, 3);
    for (from, to) in
        [("alice/E", "alice/Ab"), ("alice/E", "alice/E/d"), ("alice/E", "alice/E"), ("alice/Ab", "alice/E")]
    {
        assert!(matches!(rename(&storage, from, to), Err(Error::Refused { .. })), "{from} {to}");
    }
    assert!(matches!(rename(&storage, "alice/No", "alice/X"), Err(Error::Missing { .. })));
    let deep = "d/".repeat(190);
    let long = rename(&storage, "alice/E", &format!("alice/{deep}d"));
    assert_eq!(long.unwrap().folders, 3, "194 levels");
    let over = rename(&storage, "alice/d", &format!("alice/{}d", "d/".repeat(198)));
    assert!(matches!(over, Err(Error::Refused { .. })), "deeper than a path may be");
    rename(&storage, &format!("alice/{deep}d"), "alice/E").unwrap();
    assert_eq!(rename(&storage, "alice", "carol").unwrap().folders, 5);
    assert_eq!(names(&storage), ["carol", "carol/Ab", "carol/E/d", "carol/E/d/x", "carol/E/d/x/y"]);
    let mut now: Vec<_> = storage.folders().iter().map(|f| (f.id, f.uid_validity, f.uid_next)).collect();
    now.sort();
    let mut before = ids;
    before.sort();
    assert_eq!(now, before);
    archive(&storage, "carol/Ab", &mail(99, 40), "new").unwrap();
    assert_eq!(
        archive_uid(&storage, "carol/Ab", 2),
        2,
        "archive-wide UIDs go on behind the one that all had"
    );
    archive(&storage, "alice/A", &mail(3, 40), "new").unwrap();
    assert_eq!(storage.view(&path("alice/A")).unwrap().info.messages, 1, "an old name is free");
    sound(&storage);
    sound(&rebuilt(&house, storage));
}

#[test]
fn folders_are_merged_with_new_uids_and_removed() {
    let house = House::new();
    let storage = house.open();
    for (n, folder) in ["a/A", "a/A/x", "a/B", "a/B/x", "a/A", "a/A/z"].into_iter().enumerate() {
        archive(&storage, folder, &mail(n as u64, 40), "0").unwrap();
    }
    let validity = storage.view(&path("a/A")).unwrap().info.uid_validity;
    assert_eq!(merge(&storage, "a/A", "a/B").unwrap(), Changed { folders: 3, messages: 4 });
    assert_eq!(names(&storage), ["a/B", "a/B/x", "a/B/z"]);
    assert_eq!(all_uids(&storage, "a/B"), [1, 2, 3]);
    assert_eq!(cat(&storage, "a/B", Uid(3)).unwrap(), mail(4, 40));
    for (from, into) in [("a/B", "a/B"), ("a/B", "a/B/x"), ("a/B/x", "a/B/x")] {
        assert!(matches!(merge(&storage, from, into), Err(Error::Refused { .. })), "{from} {into}");
    }
    archive(&storage, "a/B/B/q", &mail(50, 40), "0").unwrap();
    assert!(matches!(merge(&storage, "a/B", "a"), Err(Error::Refused { .. })), "a/B/B would become a/B");
    assert_eq!(merge(&storage, "a/B/B", "a/B").unwrap(), Changed { folders: 1, messages: 1 });
    // Into another archive the messages move.
    assert_eq!(rename(&storage, "a/B", "b/New").unwrap(), Changed { folders: 4, messages: 7 });
    assert_eq!(names(&storage), ["b/New", "b/New/q", "b/New/x", "b/New/z"]);
    assert_eq!(archive_uid(&storage, "b/New", 1), 1);
    assert!(matches!(rename(&storage, "b/New", "c/New/x"), Ok(Changed { messages: 7, .. })));
    assert!(matches!(remove(&storage, "c/New", false), Err(Error::Refused { .. })));
    assert_eq!(delete(&storage, "c/New/x", &[1, 2, 3]).unwrap(), 3);
    assert!(matches!(remove(&storage, "c/New/x", false), Err(Error::Refused { .. })), "folders lie below");
    assert_eq!(remove(&storage, "c/New/x/q", true).unwrap(), Changed { folders: 1, messages: 1 });
    assert_eq!(remove(&storage, "c", true).unwrap(), Changed { folders: 3, messages: 3 });
    assert_eq!(names(&storage), Vec::<String>::new());
    archive(&storage, "a/A", &mail(70, 40), "0").unwrap();
    let again = storage.view(&path("a/A")).unwrap();
    assert!(again.info.uid_validity > validity, "never used again");
    sound(&storage);
    sound(&rebuilt(&house, storage));
}

#[test]
fn what_older_stores_hold_moves_within_them() {
    let (house, storage) = two_stores();
    assert_eq!(mv(&storage, "alice/Inbox", &[2, 12, 4], "alice/Old").unwrap(), 3);
    assert_eq!(all_uids(&storage, "alice/Old"), [1, 2, 3]);
    assert_eq!(cat(&storage, "alice/Old", Uid(2)).unwrap(), mail(3, 400));
    assert_eq!(cat(&storage, "alice/Old", Uid(3)).unwrap(), mail(11, 400));
    assert_eq!(delete(&storage, "alice/Inbox", &[1, 3, 11]).unwrap(), 3);
    assert_eq!(storage.stores().iter().map(|s| s.placements).collect::<Vec<_>>(), [8, 4]);
    assert_eq!(archive(&storage, "alice/Old", &mail(60, 9), "60").unwrap(), Uid(4));
    rename(&storage, "alice/Old", "alice/Older").unwrap();
    assert_eq!(names(&storage), ["alice/Inbox", "alice/Older"]);
    drop(storage);
    let storage = house.open();
    assert_eq!(names(&storage), ["alice/Inbox", "alice/Older"], "the newer name wins");
    assert_eq!(all_uids(&storage, "alice/Older"), [1, 2, 3, 4]);
    assert_eq!(merge(&storage, "alice/Inbox", "alice/Older").unwrap().messages, 9);
    assert_eq!(names(&storage), ["alice/Older"]);
    assert_eq!(all_uids(&storage, "alice/Older").len(), 13);
    sound(&storage);
    let storage = rebuilt(&house, storage);
    assert_eq!(names(&storage), ["alice/Older"]);
    sound(&storage);
}

#[test]
fn what_can_not_be_written_is_refused_by_name_and_nothing_is_half_done() {
    let (house, storage) = two_stores();
    let slot = storage.shared.slot(StoreNo(0)).unwrap();
    let entry = slot.entry();
    let set = |state| slot.set_entry(registry::Entry { state, ..(*entry).clone() });
    set(StoreState::WriteProtected);
    let before = (names(&storage), all_uids(&storage, "alice/Inbox"), dump(&storage));
    let refused = |done: Result<(), Error>| match done {
        Err(error @ (Error::Protected { .. } | Error::Unavailable { .. })) => {
            assert!(error.to_string().contains("0001"), "{error}");
        }
        other => panic!("{other:?}"),
    };
    let try_all = |storage: &Storage| {
        refused(mv(storage, "alice/Inbox", &[14, 2], "alice/Old").map(|_| ()));
        refused(delete(storage, "alice/Inbox", &[15, 1]).map(|_| ()));
        refused(merge(storage, "alice/Inbox", "alice/Old").map(|_| ()));
        refused(remove(storage, "alice/Inbox", true).map(|_| ()));
    };
    try_all(&storage);
    assert_eq!((names(&storage), all_uids(&storage, "alice/Inbox"), dump(&storage)), before);
    assert_eq!(mv(&storage, "alice/Inbox", &[14], "alice/Old").unwrap(), 1, "the other store's goes");
    rename(&storage, "alice/Inbox", "alice/In").unwrap();
    set(StoreState::Normal);
    storage.shared.remember();
    drop(storage);
    let gone = house.data.join("stores/0001/packs/00000001.pack");
    let bytes = house.disk.bytes(&gone);
    house.arc().remove(&gone).unwrap();
    house.arc().remove(&house.store_dir().join("store.redb")).unwrap();
    let storage = house.open();
    assert!(storage.stores()[0].trouble.is_some());
    refused(mv(&storage, "alice/In", &[2], "alice/Old").map(|_| ()));
    assert!(matches!(
        storage.sightings(&path("alice/In"), &ContentHash([0; 32])),
        Err(Error::Unavailable { .. })
    ));
    drop(storage);
    house.disk.put(&gone, &bytes);
    let storage = house.open();
    assert_eq!(names(&storage), ["alice/In", "alice/Old"]);
    assert_eq!(all_uids(&storage, "alice/In").len(), 14);
}

#[test]
fn a_folder_that_was_removed_shows_what_a_store_that_was_off_holds_of_it() {
    let (house, storage) = two_stores();
    let slot = storage.shared.slot(StoreNo(0)).unwrap();
    let opened = std::mem::replace(&mut *slot.opened.write(), slot::Opened::Off);
    storage.shared.rebuild_view();
    assert_eq!(remove(&storage, "alice/Inbox", true).unwrap(), Changed { folders: 1, messages: 5 });
    assert_eq!(names(&storage), Vec::<String>::new());
    slot.put(opened);
    storage.shared.rebuild_view();
    assert_eq!(all_uids(&storage, "alice/Inbox"), (1..=10).collect::<Vec<_>>());
    drop((slot, storage));
    assert_eq!(all_uids(&house.open(), "alice/Inbox").len(), 10);
}

#[test]
fn a_folder_that_was_removed_while_a_store_was_off_goes_again_with_what_came_back() {
    let (house, storage) = two_stores();
    let slot = storage.shared.slot(StoreNo(0)).unwrap();
    let opened = std::mem::replace(&mut *slot.opened.write(), slot::Opened::Off);
    storage.shared.rebuild_view();
    remove(&storage, "alice/Inbox", true).unwrap();
    slot.put(opened);
    storage.shared.rebuild_view();
    let back = all_uids(&storage, "alice/Inbox").len() as u64;
    assert_eq!(remove(&storage, "alice/Inbox", true).unwrap(), Changed { folders: 1, messages: back });
    assert_eq!(names(&storage), Vec::<String>::new());
    drop((slot, storage));
    assert_eq!(names(&house.open()), Vec::<String>::new());
}

/// A history of changes over two stores; what each step leaves.
fn step(storage: &Storage, number: u64) -> Result<(), Error> {
    match number {
        0 => mv(storage, "alice/Inbox", &[1, 11], "alice/Old").map(|_| ()),
        1 => delete(storage, "alice/Inbox", &[2, 12]).map(|_| ()),
        2 => rename(storage, "alice/Old", "alice/Older").map(|_| ()),
        3 => mv(storage, "alice/Inbox", &[3], "alice/Older").map(|_| ()),
        _ => archive(storage, "alice/Older", &mail(77, 9), "77").map(|_| ()),
    }
}

const STEPS: u64 = 5;

/// Messages of the two stores are committed one after the other, the current one first; whatever a crash leaves of a step is
/// whole in each store, and doing the step again completes it.
#[test]
fn a_crash_at_any_sync_leaves_every_message_in_one_place() {
    let (house, storage) = two_stores();
    drop(storage);
    for sync in 0.. {
        let before = house.after(Loss::Keep);
        let storage = before.open();
        before.disk.crash_at_sync(sync);
        let acked = (0..STEPS).take_while(|&n| step(&storage, n).is_ok()).count() as u64;
        drop(storage);
        if !before.disk.crashed() {
            assert!(sync > 12);
            break;
        }
        for loss in [Loss::Keep, Loss::Drop, Loss::Tear(sync)] {
            let after = before.after(loss);
            let storage = after.open();
            let what = format!("sync {sync}, {loss:?}, {acked} steps");
            let mut all: Vec<Vec<u8>> = Vec::new();
            for folder in storage.folders() {
                let view = storage.view(&folder.path).unwrap();
                assert_eq!(view.info.messages, view.uids.len());
                let end = view.uids.last().map_or(0, |uid| uid.0);
                assert!(folder.uid_next.0 > end, "{what}");
                all.extend(view.uids.iter().map(|uid| cat(&storage, folder.path.as_str(), uid).unwrap()));
            }
            let count = all.len();
            all.sort();
            all.dedup();
            assert_eq!(all.len(), count, "{what}: a message is in two places");
            assert!((13..=15).contains(&count), "{what}: {count}");
            for n in acked..STEPS {
                match step(&storage, n) {
                    // The crash came after it was durable.
                    Err(Error::Missing { .. } | Error::Refused { .. }) if n == acked => {}
                    done => done.unwrap(),
                }
            }
            let older = all_uids(&storage, "alice/Older");
            assert!((4..=5).contains(&older.len()), "{what}: {older:?}");
            assert_eq!(all_uids(&storage, "alice/Inbox").len(), 10, "{what}");
            sound(&storage);
        }
    }
}
