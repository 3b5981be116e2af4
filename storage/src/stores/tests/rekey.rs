//! A new master key over many stores: power cut at every sync, and every key that may be at hand afterwards.

use super::*;

/// Stores 0001 (write-protected), 0002 (normal) and 0003 (current) with a message each, under `house.key`.
fn three_stores() -> House {
    let house = House::new();
    let storage = house.open();
    for store in 0..3 {
        if store > 0 {
            storage.shared.create_store(None, None).unwrap();
        }
        archive(&storage, "alice/Inbox", &mail(store, 600), "0").unwrap();
    }
    let mut registry = storage.shared.registry.lock();
    registry.stores[0].state = StoreState::WriteProtected;
    registry.save(&house.arc(), &house.data).unwrap();
    drop(registry);
    house
}

fn with_key(house: House, key: MasterKey) -> House {
    House { key, ..house }
}

/// All messages read, in all stores.
fn reads(house: &House) -> Storage {
    let storage = house.open();
    for store in 0..3 {
        assert_eq!(cat(&storage, "alice/Inbox", Uid(store + 1)).unwrap(), mail(u64::from(store), 600));
    }
    storage
}

/// What lies in the write-protected store.
fn protected_packs(house: &House) -> Vec<(String, Vec<u8>)> {
    let dir = house.data.join("stores/0001/packs");
    let names = house.disk.list(&dir).unwrap();
    names.into_iter().map(|name| (name.clone(), house.disk.bytes(&dir.join(name)))).collect()
}

#[test]
fn every_store_opens_with_the_new_key_and_packs_are_never_rewritten() {
    let house = three_stores();
    let (old, new) = (house.key.clone(), MasterKey::generate().unwrap());
    let protected = protected_packs(&house);
    let first = house.disk.bytes(&house.data.join("stores/0002/packs/00000001.pack"));
    let storage = house.open();
    let done = storage.rekey(&new).unwrap();
    assert_eq!(done, Rekeyed { written: 2, listed: 1, missing: Vec::new() });
    assert_eq!(storage.rekey(&new).unwrap(), done, "done again, it finds nothing to do");
    // Archiving goes on in the new pack, and a new store is begun under the new key.
    archive(&storage, "alice/Inbox", &mail(3, 600), "3").unwrap();
    storage.shared.create_store(None, None).unwrap();
    archive(&storage, "alice/Inbox", &mail(4, 600), "4").unwrap();
    drop(storage);
    assert_eq!(protected_packs(&house), protected);
    assert_eq!(house.disk.bytes(&house.data.join("stores/0002/packs/00000001.pack")), first);
    let house = with_key(house, new);
    let storage = reads(&house);
    assert_eq!(cat(&storage, "alice/Inbox", Uid(5)).unwrap(), mail(4, 600));
    sound(&storage);
    drop(storage);
    // The old key still opens the old headers, and nothing that was begun later.
    let storage = with_key(house, old).open();
    assert!(cat(&storage, "alice/Inbox", Uid(1)).is_ok());
    assert!(matches!(
        cat(&storage, "alice/Inbox", Uid(5)),
        Err(Error::Unavailable { .. } | Error::Missing { .. })
    ));
}

#[test]
fn a_crash_at_any_sync_leaves_stores_that_both_keys_together_open() {
    let new = MasterKey::generate().unwrap();
    for sync in 0.. {
        for loss in [Loss::Tear(sync), Loss::Keep, Loss::Drop] {
            let house = three_stores();
            let old = house.key.clone();
            let both = new.clone().with_older(old.clone());
            let storage = house.open();
            house.disk.crash_at_sync(sync);
            let done = storage.rekey(&both).is_ok();
            // What closing the store syncs is not looked at here.
            let crashed = house.disk.crashed();
            assert_eq!(done, !crashed);
            drop(storage);
            if !done {
                // The old key opens everything until the change is complete.
                reads(&house.after(loss));
            }
            let house = with_key(house.after(loss), both.clone());
            let storage = reads(&house);
            assert_eq!(storage.rekey(&both).unwrap().missing, []);
            archive(&storage, "alice/Inbox", &mail(3, 600), "3").unwrap();
            drop(storage);
            sound(&reads(&with_key(house.after(Loss::Drop), new.clone())));
            if !crashed && loss == Loss::Drop {
                return;
            }
        }
    }
}

#[test]
fn a_store_that_is_away_opens_with_the_key_before_until_it_is_back() {
    let house = three_stores();
    let new = MasterKey::generate().unwrap();
    let packs = house.data.join("stores/0002/packs/00000001.pack");
    let away = house.disk.bytes(&packs);
    house.disk.remove(&packs).unwrap();
    let storage = house.open();
    let both = new.clone().with_older(house.key.clone());
    let done = storage.rekey(&both).unwrap();
    assert_eq!((done.written, done.listed), (1, 1));
    assert_eq!(done.missing.len(), 1);
    assert_eq!(done.missing[0].0, "0002");
    drop(storage);
    house.disk.put(&packs, &away);
    let storage = with_key(house.after(Loss::Keep), new.clone()).open();
    assert!(matches!(
        cat(&storage, "alice/Inbox", Uid(2)),
        Err(Error::Unavailable { .. } | Error::Missing { .. })
    ));
    drop(storage);
    let house = with_key(house, both.clone());
    assert_eq!(reads(&house).rekey(&both).unwrap(), Rekeyed { written: 2, listed: 1, missing: Vec::new() });
    reads(&with_key(house, new));
}

#[test]
fn a_disabled_store_gets_its_key_in_the_registry() {
    let house = three_stores();
    let storage = house.open();
    let mut registry = storage.shared.registry.lock().clone();
    registry.stores[1].state = StoreState::Disabled;
    registry.save(&house.arc(), &house.data).unwrap();
    drop(storage);
    let new = MasterKey::generate().unwrap();
    let storage = house.open();
    let done = storage.rekey(&new).unwrap();
    assert_eq!(done, Rekeyed { written: 1, listed: 2, missing: Vec::new() });
    drop(storage);
    let mut registry = Registry::load(&house.arc(), &house.data).unwrap().unwrap();
    registry.stores[1].state = StoreState::Normal;
    registry.save(&house.arc(), &house.data).unwrap();
    reads(&with_key(house, new));
}

#[test]
fn a_detached_store_comes_back_by_the_key_that_it_was_under() {
    let house = three_stores();
    let old = house.key.clone();
    let storage = house.open();
    let dir = storage.detach_store("0002").unwrap();
    let new = MasterKey::generate().unwrap();
    assert_eq!(storage.rekey(&new).unwrap().missing, [], "it is no store of the installation");
    assert!(matches!(storage.attach_store(&dir), Err(Error::WrongKey { .. })));
    storage.attach_store_with(&dir, Some(&old)).unwrap();
    assert_eq!(cat(&storage, "alice/Inbox", Uid(2)).unwrap(), mail(1, 600));
    drop(storage);
    reads(&with_key(house, new));
}

#[test]
fn what_a_compaction_wrote_anew_the_old_key_does_not_open() {
    let house = three_stores();
    let (old, new) = (house.key.clone(), MasterKey::generate().unwrap());
    let storage = house.open();
    storage.rekey(&new).unwrap();
    storage.compact_store("0002", &Cancel::default(), &mut |_, _| ()).unwrap();
    assert_eq!(cat(&storage, "alice/Inbox", Uid(2)).unwrap(), mail(1, 600));
    drop(storage);
    let house = with_key(house, new);
    sound(&reads(&house));
    let storage = with_key(house, old).open();
    assert!(matches!(
        cat(&storage, "alice/Inbox", Uid(2)),
        Err(Error::Unavailable { .. } | Error::Missing { .. })
    ));
    assert!(cat(&storage, "alice/Inbox", Uid(3)).is_ok(), "its old header is still there");
}

#[test]
fn a_wrong_key_touches_nothing() {
    let house = three_stores();
    let everything = |house: &House| {
        let stores = house.data.join("stores");
        let mut all = vec![house.disk.bytes(&stores.join("stores.toml"))];
        for store in ["0001", "0002", "0003"].map(|number| stores.join(number)) {
            all.push(house.disk.bytes(&store.join("store.redb")));
            let packs = store.join("packs");
            let names = house.disk.list(&packs).unwrap();
            all.extend(names.into_iter().map(|name| house.disk.bytes(&packs.join(name))));
        }
        all
    };
    let before = everything(&house);
    let house = with_key(house, MasterKey::generate().unwrap());
    assert!(matches!(house.try_open(), Err(Error::WrongKey { .. })));
    assert_eq!(everything(&house), before);
}
