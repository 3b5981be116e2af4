//! Power cuts at every sync, failures at every call: what was acknowledged is there, nothing is half there, and going
//! on gives no duplicates.

use super::dump::dump;
use super::*;

const BATCHES: u64 = 5;

/// The messages of a batch: folder, bytes. The last one of each was in the batch before, too.
fn contents(batch: u64) -> Vec<(&'static str, Vec<u8>)> {
    let mut list: Vec<_> = (0..4)
        .map(|n| (if n % 2 == 0 { "alice/Inbox" } else { "bob/Lists/x" }, mail(batch * 10 + n, 900)))
        .collect();
    if batch == 2 {
        list.push(("alice/Big", mail(1_000, 700_000)));
    }
    list.push(("alice/Inbox", mail(batch.saturating_sub(1) * 10, 900)));
    list
}

fn write(storage: &Storage, number: u64) -> Result<(), Error> {
    let mut batch = storage.batch(&Cancel::default())?;
    for (n, (folder, raw)) in contents(number).iter().enumerate() {
        let folder = batch.folder(&path(folder))?;
        batch.add(folder, prepared(storage, raw, b""), &from("mbox", &format!("{number}/{n}")))?;
    }
    batch.commit()?;
    Ok(())
}

/// How many batches are there, whole; anything else fails.
fn whole_batches(storage: &Storage) -> u64 {
    let mut expected: std::collections::BTreeMap<&str, Vec<Vec<u8>>> = Default::default();
    let found = storage.stores()[0].placements;
    let mut placements = 0;
    let mut batches = 0;
    while placements < found {
        for (folder, raw) in contents(batches) {
            expected.entry(folder).or_default().push(raw);
            placements += 1;
        }
        batches += 1;
    }
    assert_eq!(placements, found, "a batch is half there");
    assert_eq!(storage.folders().len(), expected.len());
    for (folder, raws) in expected {
        let uids: Vec<u32> = (1..=raws.len() as u32).collect();
        assert_eq!(all_uids(storage, folder), uids);
        for (raw, uid) in raws.iter().zip(uids) {
            assert_eq!(cat(storage, folder, Uid(uid)).unwrap(), *raw);
        }
    }
    batches
}

/// After a crash: all `acked` batches, perhaps the one in hand, nothing else; the rest can be written.
fn survives(house: &House, acked: u64, what: &str) {
    let storage = house.open();
    let there = whole_batches(&storage);
    assert!(there == acked || there == acked + 1, "{what}: {there} batches of {acked} acknowledged");
    for number in there..BATCHES {
        write(&storage, number).unwrap();
    }
    assert_eq!(whole_batches(&storage), BATCHES);
    sound(&storage);
    let live = dump(&storage);
    drop(storage);
    // The database is derived: made again from the packs, it is the same.
    house.arc().remove(&house.store_dir().join("store.redb")).unwrap();
    assert_eq!(dump(&house.open()), live, "{what}");
}

#[test]
fn a_crash_at_any_sync_loses_nothing_acknowledged() {
    for sync in 0.. {
        let house = House::new();
        let storage = house.open();
        house.disk.crash_at_sync(sync);
        let acked = (0..BATCHES).take_while(|&number| write(&storage, number).is_ok()).count() as u64;
        drop(storage);
        if !house.disk.crashed() {
            assert!(sync > 2 * BATCHES, "the series syncs at least twice a batch");
            break;
        }
        let losses = [Loss::Keep, Loss::Drop, Loss::Tear(sync), Loss::Tear(sync + 1_000)];
        for loss in losses {
            survives(&house.after(loss), acked, &format!("sync {sync}, {loss:?}"));
        }
    }
}

#[test]
fn a_crash_while_recovering_loses_nothing_either() {
    let house = House::new();
    let storage = house.open();
    for number in 0..3 {
        write(&storage, number).unwrap();
    }
    drop(storage);
    house.arc().remove(&house.store_dir().join("store.redb")).unwrap();
    house.arc().sync_dir(&house.store_dir()).unwrap();
    for sync in 0.. {
        let before = house.after(Loss::Keep);
        before.disk.crash_at_sync(sync);
        let opened = before.try_open();
        if !before.disk.crashed() {
            assert_eq!(whole_batches(&opened.unwrap()), 3);
            break;
        }
        drop(opened);
        let after = before.after(Loss::Keep);
        survives(&after, 3, &format!("recovery, sync {sync}"));
    }
}

#[test]
fn a_failed_call_latches_and_an_opening_heals() {
    let mut latched = 0;
    for call in 0.. {
        let house = House::new();
        let storage = house.open();
        let before = house.disk.calls();
        house.disk.fail_at_call(call);
        let mut acked = 0;
        let mut failed = false;
        for number in 0..BATCHES {
            match write(&storage, number) {
                Ok(()) => acked += 1,
                Err(_) => {
                    failed = true;
                    break;
                }
            }
        }
        if !failed && house.disk.calls() - before <= call {
            break;
        }
        if failed && matches!(write(&storage, acked), Err(Error::Latched { .. })) {
            latched += 1;
            let again = storage.batch(&Cancel::default());
            assert!(matches!(again, Err(Error::Latched { .. })), "still");
        }
        drop(storage);
        if call % 5 == 0 {
            survives(&house.after(Loss::Keep), acked, &format!("call {call}"));
        }
    }
    assert!(latched > BATCHES, "failures in commits latch");
}

#[test]
fn a_watermark_beyond_the_pack_is_not_trusted() {
    let house = House::new();
    let storage = house.open();
    for number in 0..3 {
        write(&storage, number).unwrap();
    }
    drop(storage);
    house.disk.damage(&house.pack(1), |bytes| bytes.truncate(bytes.len() - 1));
    assert!(matches!(house.try_open(), Err(Error::Derived { .. })));
    let database = house.store_dir().join("store.redb");
    let kept = house.disk.bytes(&database);
    house.arc().remove(&database).unwrap();
    let storage = house.open();
    assert_eq!(whole_batches(&storage), 2, "the cut batch is left out");
    write(&storage, 2).unwrap();
    assert_eq!(the_store(&storage).packs.list().len(), 2, "after a torn tail in a new pack");
    drop(storage);
    house.arc().remove(&database).unwrap();
    assert_eq!(whole_batches(&house.open()), 3);
    // A database of another history is not trusted either way.
    house.arc().remove(&house.pack(1)).unwrap();
    house.disk.put(&database, &kept);
    assert!(house.try_open().is_err());
}
