//! Copies of a store that is being written to: they open, hold the batches up to one, and what was flipped is found.

use super::dump::dump;
use super::*;
use std::fs;
use std::io::Write;

/// Copies what the snapshot has beyond what is there, as a backup does; gives the bytes copied.
fn copy(snapshot: &Snapshot, to: &Path) -> u64 {
    let mut copied = 0;
    for store in &snapshot.stores {
        let dir = to.join("stores").join(&store.number).join("packs");
        fs::create_dir_all(&dir).unwrap();
        for pack in &store.packs {
            let path = dir.join(pack.name());
            let mut file = fs::OpenOptions::new().create(true).append(true).open(&path).unwrap();
            let from = file.metadata().unwrap().len();
            let mut bytes = vec![0; usize::try_from(pack.bytes() - from).unwrap()];
            assert_eq!(pack.read_at(from, &mut bytes).unwrap(), bytes.len());
            assert_eq!(pack.read_at(pack.bytes(), &mut [0; 8]).unwrap(), 0, "nothing lies behind its end");
            file.write_all(&bytes).unwrap();
            assert!(pack.check_copy(&path, from, &Cancel::default()).unwrap().is_none());
            copied += bytes.len() as u64;
        }
    }
    fs::write(to.join("stores/stores.toml"), &snapshot.registry).unwrap();
    copied
}

fn open_copy(from: &Path, key: &MasterKey, limits: &Limits) -> (TempDir, Storage) {
    let place = scratch();
    let mut cp = std::process::Command::new("cp");
    assert!(cp.arg("-a").arg(from.join("stores")).arg(place.path()).status().unwrap().success());
    let storage = Storage::open(place.path(), key, limits.clone()).unwrap();
    (place, storage)
}

#[test]
fn copies_taken_between_batches_open_and_hold_a_beginning() {
    let house = House::with(Limits { max_pack_bytes: 6_000, ..Limits::default() });
    let storage = house.open();
    let to = scratch();
    let mut last = 0;
    for number in 0..8 {
        if number == 4 {
            storage.shared.create_store(None, None).unwrap();
        }
        archive(&storage, "alice/Inbox", &mail(number, 2_000), &number.to_string()).unwrap();
        // A batch in hand is no part of it.
        let snapshot = storage.snapshot(&Cancel::default()).unwrap();
        archive(&storage, "alice/Later", &mail(100 + number, 2_000), &number.to_string()).unwrap();
        let copied = copy(&snapshot, to.path());
        assert!(copied > 0 && copied < 12_000, "only what is new: {copied}");
        let (_place, copy) = open_copy(to.path(), &house.key, &house.limits);
        assert_eq!(all_uids(&copy, "alice/Inbox").len() as u64, number + 1);
        assert_eq!(all_uids(&copy, "alice/Later").len() as u64, number);
        for n in 0..=number {
            assert_eq!(cat(&copy, "alice/Inbox", Uid(n as u32 + 1)).unwrap(), mail(n, 2_000));
        }
        sound(&copy);
        last = number;
    }
    assert_eq!(last, 7);
}

#[test]
fn every_flipped_byte_of_a_copy_is_found() {
    let house = House::new();
    let storage = house.open();
    for number in 0..3 {
        archive(&storage, "alice/Inbox", &mail(number, 400), &number.to_string()).unwrap();
    }
    let snapshot = storage.snapshot(&Cancel::default()).unwrap();
    let to = scratch();
    copy(&snapshot, to.path());
    let pack = &snapshot.stores[0].packs[0];
    let path = to.path().join("stores/0001/packs").join(pack.name());
    let whole = fs::read(&path).unwrap();
    let start = the_store(&storage).packs.start(crate::pack::PackId(1)).unwrap() as usize;
    // A damaged last batch looks like one that a crash tore; the backup's hash finds that.
    let batch = whole.len() * 2 / 3;
    for at in (start..batch).step_by(37) {
        let mut bent = whole.clone();
        bent[at] ^= 4;
        fs::write(&path, &bent).unwrap();
        assert!(pack.check_copy(&path, 0, &Cancel::default()).unwrap().is_some(), "byte {at}");
    }
    fs::write(&path, &whole).unwrap();
    assert!(pack.check_copy(&path, 0, &Cancel::default()).unwrap().is_none());
}

#[test]
fn after_a_restore_no_number_is_given_again() {
    let house = House::new();
    let storage = house.open();
    archive(&storage, "alice/Inbox", &mail(1, 400), "1").unwrap();
    archive(&storage, "alice/Old", &mail(2, 400), "2").unwrap();
    storage.shared.create_store(None, None).unwrap();
    archive(&storage, "alice/Inbox", &mail(3, 400), "3").unwrap();
    let to = scratch();
    copy(&storage.snapshot(&Cancel::default()).unwrap(), to.path());
    let old = storage.view(&path("alice/Old")).unwrap().info;
    let (place, restored) = open_copy(to.path(), &house.key, &house.limits);
    assert_eq!(restored.raise_floors(&Cancel::default()).unwrap(), 2);
    // The tail that the backup missed, and what the restored installation does meanwhile.
    let lost = archive(&storage, "alice/Inbox", &mail(4, 400), "4").unwrap();
    archive(&storage, "alice/New", &mail(5, 400), "5").unwrap();
    let new = archive(&restored, "alice/Inbox", &mail(6, 400), "6").unwrap();
    archive(&restored, "alice/Old", &mail(7, 400), "7").unwrap();
    archive(&restored, "alice/New", &mail(8, 400), "8").unwrap();
    assert_eq!(lost, Uid(3));
    assert_eq!(new, Uid(1_000_003));
    let info = |storage: &Storage, name| storage.view(&path(name)).unwrap().info;
    assert_eq!(info(&restored, "alice/Old").uid_next, Uid(old.uid_next.0 + 1_000_001));
    assert_eq!(info(&restored, "alice/Old").uid_validity, old.uid_validity);
    assert!(
        info(&restored, "alice/Inbox").highest_mod_seq.0
            > info(&storage, "alice/Inbox").highest_mod_seq.0 + (1 << 31)
    );
    sound(&restored);
    let live = dump(&restored);
    drop(restored);
    for store in ["0001", "0002"] {
        fs::remove_file(place.path().join("stores").join(store).join("store.redb")).unwrap();
    }
    assert_eq!(dump(&Storage::open(place.path(), &house.key, house.limits.clone()).unwrap()), live);
}
