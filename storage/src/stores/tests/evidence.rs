//! The Merkle log of real stores: every message proven, heads that only grow, and what a proof says once messages moved.

use super::dump::dump;
use super::*;
use crate::db;
use crate::evidence::{Consistency, EvidenceKey, Frontier, Head, Proof, Refusal, Trust, What};
use crate::pack::{Addr, Commit, RecordKind};
use crate::store::facts::{Fact, HeadFact, TombstoneFact, decode_all};
use crate::store::log::Log;
use redb::ReadableTable;
use std::io::Cursor;

fn signed(house: &House) -> (Storage, EvidenceKey) {
    let (storage, key) = (house.open(), EvidenceKey::generate().unwrap());
    storage.sign_with(key.clone());
    (storage, key)
}

fn head(storage: &Storage) -> Head {
    let mut heads = storage.heads(Some("0001")).unwrap();
    assert_eq!(heads.len(), 1);
    heads.remove(0).head.unwrap()
}

/// Adds mails of these numbers to a folder, in one batch.
fn archive_all(storage: &Storage, folder: &str, numbers: std::ops::Range<u64>) {
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    let id = batch.folder(&path(folder)).unwrap();
    for number in numbers {
        let raw = mail(number, 0);
        batch.add(id, prepared(storage, &raw, b""), &from("mbox", &number.to_string())).unwrap();
    }
    batch.commit().unwrap();
}

fn prove(storage: &Storage, folder: &str, uid: u32, against: Option<&Head>) -> Result<Proof, Error> {
    storage.prove(&path(folder), Uid(uid), against, &Cancel::default())
}

fn verify(proof: &Proof, raw: &[u8], key: &EvidenceKey) -> crate::evidence::Proven {
    let back = Proof::read(proof.to_json().as_bytes()).unwrap();
    let trust = Trust { key: Some(key.public()), head: Some(proof.head.clone()) };
    back.verify(&mut Cursor::new(raw), 1 << 20, &trust).unwrap()
}

fn move_to(storage: &Storage, from: &str, uid: u32, to: &str) -> u32 {
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    let from = storage.view(&path(from)).unwrap().info.id;
    let to = batch.folder(&path(to)).unwrap();
    let uid = batch.move_message(from, Uid(uid), to).unwrap();
    batch.commit().unwrap();
    uid.0
}

fn delete(storage: &Storage, folder: &str, uid: u32) {
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    batch.delete_message(storage.view(&path(folder)).unwrap().info.id, Uid(uid)).unwrap();
    batch.commit().unwrap();
}

#[test]
fn every_message_is_proven_under_every_head_since_it_came() {
    let house = House::new();
    let (storage, key) = signed(&house);
    let empty = head(&storage);
    assert_eq!(empty.size, 0);
    let mut heads = vec![empty];
    let (mut last, mut placed) = (0, Vec::new());
    // Batches that end within a page, at its end, and span several.
    for (n, count) in [1u64, 62, 1, 1, 130, 61, 64, 3].into_iter().enumerate() {
        let folder = ["alice/a", "alice/b", "bob"][n % 3];
        archive_all(&storage, folder, last..last + count);
        let uids = all_uids(&storage, folder);
        let new = &uids[uids.len() - count as usize..];
        placed.extend((last..).zip(new).map(|(number, uid)| (number, folder, *uid)));
        last += count;
        let head = head(&storage);
        assert_eq!(head.size, last);
        heads.push(head);
    }
    for (number, folder, uid) in placed.iter().step_by(5) {
        let raw = mail(*number, 0);
        let proven = verify(&prove(&storage, folder, *uid, None).unwrap(), &raw, &key);
        assert_eq!((proven.steps[0].leaf, proven.folder.as_str()), (*number, *folder));
        for head in &heads {
            match prove(&storage, folder, *uid, Some(head)) {
                Ok(proof) => {
                    assert!(head.size > *number && proof.head == *head);
                    verify(&proof, &raw, &key);
                }
                Err(error) => assert!(head.size <= *number, "{error}"),
            }
        }
    }
    for (n, old) in heads.iter().enumerate() {
        storage.extends(old, &Cancel::default()).unwrap();
        for new in heads[n..].iter().map(Some).chain([None]) {
            let proof = storage.consistency(old, new, &Cancel::default()).unwrap();
            let back = Consistency::read(proof.to_json().as_bytes()).unwrap();
            assert_eq!(back, proof);
            let grown = back.check().unwrap().leaves;
            assert_eq!(grown, new.map_or(last, |head| head.size) - old.size);
        }
    }
    // By the message itself, wherever it is.
    let raw = mail(3, 0);
    let hash = prepared(&storage, &raw, b"").incoming.hash;
    archive(&storage, "carol", &raw, "again").unwrap();
    let proofs = storage.prove_message(&hash, None, &Cancel::default()).unwrap();
    let folders: Vec<String> = proofs.iter().map(|proof| verify(proof, &raw, &key).folder).collect();
    assert_eq!(folders, ["alice/b", "carol"]);
}

#[test]
fn commit_records_and_a_rebuild_tell_the_same_log() {
    let house = House::new();
    let (storage, _) = signed(&house);
    for (n, count) in [3u64, 70, 1].into_iter().enumerate() {
        archive_all(&storage, "alice", n as u64 * 100..n as u64 * 100 + count);
    }
    move_to(&storage, "alice", 5, "bob");
    let store = the_store(&storage);
    let (mut naive, mut commits) = (Frontier::default(), 0);
    for pack in store.packs.list() {
        for record in store.packs.salvage(pack, store.packs.start(pack).unwrap()).unwrap() {
            let record = record.unwrap();
            match record.kind {
                RecordKind::Facts => {
                    for fact in decode_all(&record.plain).unwrap() {
                        fact.evidence().into_iter().for_each(|evidence| naive.push(evidence.hash));
                    }
                }
                RecordKind::Commit => {
                    let log = Commit::decode(&record.plain).unwrap().log.unwrap();
                    assert_eq!((log.size, log.root), (naive.size(), naive.root()));
                    commits += 1;
                }
                _ => {}
            }
        }
    }
    let before = head(&storage);
    assert_eq!((before.size, before.root, commits), (naive.size(), naive.root(), 4));
    let tables = dump(&storage);
    assert!(tables.iter().any(|line| line.starts_with("batches")));
    drop((store, storage));
    let (again, _) = signed(&house);
    assert_eq!((head(&again).size, head(&again).root), (before.size, before.root), "opened as it was");
    drop(again);
    house.disk.remove(&house.store_dir().join("store.redb")).unwrap();
    let (rebuilt, _) = signed(&house);
    assert_eq!(dump(&rebuilt), tables);
    assert_eq!((head(&rebuilt).size, head(&rebuilt).root), (before.size, before.root));
    archive(&rebuilt, "alice", &mail(900, 0), "x").unwrap();
    rebuilt.extends(&before, &Cancel::default()).unwrap();
}

#[test]
fn a_moved_and_a_deleted_message_are_proven_with_their_way() {
    let house = House::new();
    let (storage, key) = signed(&house);
    archive_all(&storage, "alice", 0..80);
    let early = head(&storage);
    let raw = mail(6, 0);
    let before = prove(&storage, "alice", 7, None).unwrap();
    let first = move_to(&storage, "alice", 7, "alice/Sorted");
    archive_all(&storage, "alice", 100..170);
    let second = move_to(&storage, "alice/Sorted", first, "bob");
    let hash = prepared(&storage, &raw, b"").incoming.hash;
    // Asked for where it is, where it was, and by what it is.
    let by_hash = |storage: &Storage| {
        let mut proofs = storage.prove_message(&hash, None, &Cancel::default()).unwrap();
        assert_eq!(proofs.len(), 1);
        proofs.remove(0)
    };
    for proof in [
        prove(&storage, "bob", second, None).unwrap(),
        prove(&storage, "alice", 7, None).unwrap(),
        prove(&storage, "alice/Sorted", first, None).unwrap(),
        by_hash(&storage),
    ] {
        let proven = verify(&proof, &raw, &key);
        assert_eq!((proven.folder.as_str(), proven.steps.len()), ("bob", 3));
        assert!(matches!(proven.steps[2].what, What::Moved { to, .. } if to == proven.place));
    }
    // Under the head of the time before, it is where it was then.
    let proven = verify(&prove(&storage, "bob", second, Some(&early)).unwrap(), &raw, &key);
    assert_eq!((proven.folder.as_str(), proven.steps.len()), ("alice", 1));

    delete(&storage, "bob", second);
    assert!(all_uids(&storage, "bob").is_empty());
    for proof in [prove(&storage, "bob", second, None).unwrap(), by_hash(&storage)] {
        let proven = verify(&proof, &raw, &key);
        assert!(matches!(proven.steps[3].what, What::Deleted { at, .. } if at == proven.place));
    }
    assert_eq!(verify(&before, &raw, &key).steps.len(), 1, "what was proven stays proven");
    assert!(matches!(prove(&storage, "bob", 77, None), Err(Error::Missing { .. })));
    assert!(matches!(prove(&storage, "nobody", 1, None), Err(Error::Missing { .. })));
    let unknown = storage.prove_message(&ContentHash([3; 32]), None, &Cancel::default());
    assert!(matches!(unknown, Err(Error::Missing { .. })));
}

#[test]
fn a_leaf_without_its_salt_is_told_so() {
    let house = House::new();
    let (storage, _) = signed(&house);
    archive_all(&storage, "alice", 0..3);
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    let id = batch.folder(&path("alice")).unwrap();
    let mod_seq = batch.mod_seq;
    let (store, folder) = batch.holder(id, Uid(1)).unwrap();
    let draft = batch.draft(store).unwrap();
    let mut evidence = draft.leaf(4, b"fields").unwrap();
    evidence.salt = None;
    let (uid, archive_uid) = (Uid(4), Uid(4));
    draft.change(Fact::Tombstone(TombstoneFact { kind: 4, folder, uid, archive_uid, mod_seq, evidence }));
    batch.commit().unwrap();
    assert_eq!(head(&storage).size, 4);
    match prove(&storage, "alice", 4, None) {
        Err(error @ Error::Evidence { .. }) => assert!(error.to_string().contains("salt"), "{error}"),
        other => panic!("{other:?}"),
    }
    assert!(prove(&storage, "alice", 3, None).is_ok(), "its neighbours are proven as before");
}

#[test]
fn a_log_that_lost_or_changed_a_leaf_is_told() {
    let house = House::new();
    let (storage, key) = signed(&house);
    archive_all(&storage, "alice", 0..100);
    let now = head(&storage);
    let sign = |size, root| Head::sign(now.store, size, root, 1, &key).unwrap();
    let refusal = |error: Error| match error {
        Error::Proof(refusal @ Refusal::Rewritten(_)) => refusal.to_string(),
        other => panic!("{other:?}"),
    };
    let cancel = Cancel::default();
    for (size, words) in
        [(101, "shortened"), (100, "rewritten"), (99, "rewritten"), (64, "rewritten"), (0, "rewritten")]
    {
        let other = sign(size, [5; 32]);
        assert!(refusal(storage.extends(&other, &cancel).unwrap_err()).contains(words));
        assert!(refusal(storage.consistency(&other, None, &cancel).unwrap_err()).contains(words));
        assert!(refusal(prove(&storage, "alice", 1, Some(&other)).unwrap_err()).contains(words));
    }
    // A head that is newer than this log, or of another store or key.
    assert!(storage.consistency(&now, Some(&sign(105, [5; 32])), &cancel).is_err());
    let stranger = EvidenceKey::generate().unwrap();
    let foreign = Head::sign(now.store, 10, [5; 32], 1, &stranger).unwrap();
    assert!(matches!(prove(&storage, "alice", 1, Some(&foreign)), Err(Error::Proof(Refusal::Key { .. }))));
    let elsewhere = Head::sign(StoreId([1; 16]), 10, [5; 32], 1, &key).unwrap();
    assert!(matches!(storage.extends(&elsewhere, &cancel), Err(Error::Missing { .. })));
    assert!(matches!(prove(&storage, "alice", 1, Some(&elsewhere)), Err(Error::Proof(Refusal::Head(_)))));
    let mut unsigned = now.clone();
    unsigned.time += 1;
    assert!(matches!(storage.extends(&unsigned, &cancel), Err(Error::Proof(Refusal::Signature { .. }))));
}

#[test]
fn the_log_is_computed_again_and_compared() {
    let house = House::new();
    let (storage, _) = signed(&house);
    archive_all(&storage, "alice", 0..100);
    archive_all(&storage, "alice", 100..140);
    let (store, cancel) = (the_store(&storage), Cancel::default());
    let told = || Log::new(&store, &cancel).disagreements().unwrap();
    assert!(told().is_empty());
    let txn = store.db.write().unwrap();
    txn.open_table(db::LEAVES).unwrap().insert(1, &[9; 32][..]).unwrap();
    store.db.commit(txn).unwrap();
    let wrong = told();
    assert!(wrong.len() == 1 && wrong[0].contains("64 to 127"), "{wrong:?}");
}

#[test]
fn leaves_with_a_gap_and_another_root_do_not_fit() {
    let house = House::new();
    let (storage, _) = signed(&house);
    archive_all(&storage, "alice", 0..2);
    let store = the_store(&storage);
    let folder = storage.view(&path("alice")).unwrap().info.id;
    let tombstone = |leaf| {
        let evidence = crate::store::facts::Evidence { leaf, salt: None, hash: [7; 32] };
        let (uid, archive_uid, mod_seq) = (Uid(9), Uid(9), ModSeq(5));
        Fact::Tombstone(TombstoneFact { kind: 4, folder, uid, archive_uid, mod_seq, evidence })
    };
    let apply_lost = |facts: &[Fact], log, lost| {
        let addr = Addr { pack: crate::pack::PackId(1), offset: 9 };
        let (facts_at, tag) = (Some(addr), [0; 16]);
        let (batch, mod_seq, time) = (2, ModSeq(5), Some(7));
        let end = db::BatchEnd { batch, mod_seq, time, end: addr, tag, facts: facts_at, log, lost };
        let txn = store.db.write().unwrap();
        db::apply(&store.db, &txn, &store.state.read(), &end, facts, &mut |_| panic!("none is new"))
    };
    let apply = |facts: &[Fact], log| apply_lost(facts, log, false);
    let mut naive = store.state.read().tree.clone();
    naive.push([7; 32]);
    naive.push([7; 32]);
    let good = naive.head();
    assert!(apply(&[tombstone(3), tombstone(2)], Some(good)).is_ok(), "in any order within a batch");
    assert!(apply(&[tombstone(2), tombstone(3)], None).is_ok(), "the first version has no root");
    // Where damage took leaves, the others keep their numbers.
    let changes = apply_lost(&[tombstone(70), tombstone(1)], Some(good), true).unwrap();
    let mut naive = store.state.read().tree.clone();
    while naive.size() < 70 {
        naive.push([0; 32]);
    }
    naive.push([7; 32]);
    assert_eq!(changes.tree, naive);
    for (facts, log) in [
        (vec![tombstone(3)], None),
        (vec![tombstone(1)], None),
        (vec![tombstone(2), tombstone(2)], None),
        (vec![tombstone(2), tombstone(4)], None),
        (vec![tombstone(2)], Some(good)),
        (vec![], Some(good)),
    ] {
        assert!(matches!(apply(&facts, log), Err(Error::Derived { .. })), "{facts:?}");
    }
}

#[test]
fn a_new_store_opens_with_the_head_of_the_one_before() {
    let house = House::with(Limits { max_store_messages: 3, ..Limits::default() });
    let (storage, key) = signed(&house);
    archive_all(&storage, "alice", 0..4);
    let before = head(&storage);
    archive_all(&storage, "alice", 10..12);
    let second = storage.shared.store(StoreNo(1)).unwrap();
    let txn = second.db.read().unwrap();
    let table = txn.open_table(db::HEADS).unwrap();
    let row = table.iter().unwrap().next().unwrap().unwrap();
    let fact = [&[1], row.1.value()].concat();
    let facts = decode_all(&fact).unwrap();
    let [Fact::Head(HeadFact { store, size, root, .. })] = &facts[..] else { panic!("{facts:?}") };
    assert_eq!((*store, *size, *root), (before.store, before.size, before.root));
    let Fact::Head(fact) = &facts[0] else { panic!("{facts:?}") };
    let opening = Head::from(fact);
    opening.check().unwrap();
    assert_eq!(opening.key, key.public());
    drop(row);
    drop((table, txn));
    // Each message is proven by the store that holds it.
    let stores: Vec<StoreId> =
        [1, 5].map(|uid| prove(&storage, "alice", uid, None).unwrap().head.store).to_vec();
    assert_eq!(stores[0], before.store);
    assert_ne!(stores[0], stores[1]);
    assert_eq!(storage.heads(None).unwrap().len(), 2);
    assert!(storage.heads(Some("0009")).is_err());
    assert!(matches!(prove(&storage, "alice", 5, Some(&before)), Err(Error::Proof(Refusal::Head(_)))));
    let cancelled = Cancel::default();
    cancelled.set();
    assert!(matches!(storage.prove(&path("alice"), Uid(1), None, &cancelled), Err(Error::Cancelled)));
    let first = storage.shared.store(StoreNo(0)).unwrap();
    assert_eq!(Log::new(&first, &cancelled).size(), 4);
}

#[test]
fn without_a_key_nothing_is_signed_and_mail_is_kept() {
    let house = House::with(Limits { max_store_messages: 1, ..Limits::default() });
    let storage = house.open();
    archive_all(&storage, "alice", 0..1);
    archive_all(&storage, "alice", 1..2);
    assert_eq!(storage.stores().len(), 2);
    assert!(matches!(storage.heads(None), Err(Error::Refused { .. })));
    assert!(matches!(prove(&storage, "alice", 1, None), Err(Error::Refused { .. })));
}
