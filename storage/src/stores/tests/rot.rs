//! Bytes that rot: a wrong message is never given as right, and a check says what is damaged.

use super::*;
use crate::ModSeq;
use crate::db::{BatchEnd, MessageEntry, apply};
use crate::pack::{Addr, ChunkSink, Class, RecordKind};
use crate::store::facts::{DeletionFact, Evidence, Fact, MoveFact, Piece, encode_all};
use base64::Engine;
use sha2::{Digest, Sha256};

const MAILS: u64 = 9;

fn filled() -> House {
    let house = House::new();
    let storage = house.open();
    for n in 0..MAILS {
        archive(&storage, "alice/Inbox", &mail(n, if n == 4 { 600_000 } else { 800 }), "0").unwrap();
    }
    storage.close().unwrap();
    house
}

/// Whatever comes is right.
fn nothing_wrong(storage: &Storage) -> u64 {
    let mut right = 0;
    for uid in all_uids(storage, "alice/Inbox") {
        if let Ok(bytes) = cat(storage, "alice/Inbox", Uid(uid)) {
            let number = u64::from(uid) - 1;
            assert_eq!(bytes, mail(number, if number == 4 { 600_000 } else { 800 }), "UID {uid}");
            right += 1;
        }
    }
    right
}

#[test]
fn a_flipped_byte_anywhere_in_a_pack_never_gives_a_wrong_message() {
    let house = filled();
    let len = house.disk.bytes(&house.pack(1)).len();
    let (mut told, mut tried) = (0, 0);
    for at in (0..len).step_by(len / 60) {
        let rotten = house.after(Loss::Keep);
        rotten.disk.damage(&rotten.pack(1), |bytes| bytes[at] ^= 0x10);
        tried += 1;
        match rotten.try_open() {
            Ok(storage) => {
                let right = nothing_wrong(&storage);
                let report = storage.check(&Cancel::default(), &mut |_, _| ()).unwrap();
                assert!(!report.damage.is_empty(), "byte {at} of {len} is not missed");
                let named = report.damage.iter().any(|damage| damage.contains("alice/Inbox UID"));
                assert!(named || right == MAILS, "byte {at}: {:?}", report.damage);
                told += 1;
            }
            Err(error) => assert!(
                matches!(error, Error::Corrupt { .. } | Error::WrongKey { .. } | Error::Derived { .. }),
                "{error}"
            ),
        }
        // Without the database: refused, or a store that has every batch before the damage.
        rotten.arc().remove(&rotten.store_dir().join("store.redb")).unwrap();
        if let Ok(storage) = rotten.try_open() {
            let uids = all_uids(&storage, "alice/Inbox");
            assert!(uids.len() as u64 >= MAILS - 1, "byte {at}: only the last batch can pass for torn");
            nothing_wrong(&storage);
        }
    }
    assert!(told > tried / 2);
}

#[test]
fn the_last_batch_of_a_lost_database_is_told_from_damage_before_others() {
    let house = filled();
    house.arc().remove(&house.store_dir().join("store.redb")).unwrap();
    let middle = house.disk.bytes(&house.pack(1)).len() / 2;
    house.disk.damage(&house.pack(1), |bytes| bytes[middle] ^= 1);
    let refused = house.try_open().unwrap_err();
    assert!(refused.to_string().contains("complete batches follow"), "{refused}");
}

#[test]
fn decoded_parts_are_encoded_again_byte_for_byte() {
    let house = House::new();
    let storage = house.open();
    let packs = &the_store(&storage).packs;
    let part: Vec<u8> = (0..10_000u32).map(|n| (n * 7 % 251) as u8).collect();
    for (len, line) in [(10_000, 76), (57, 76), (58, 76), (114, 76), (1, 4), (9_999, 4_096), (300, 64)] {
        let mut sink = ChunkSink::new();
        let (head, body) = (sink.add(Class::Header, b"A: b\r\n\r\n"), sink.add(Class::Body, &part[..len]));
        let tail = sink.add(Class::Body, b"\r\n--x--\r\n");
        let mut writer = packs.new_pack().unwrap();
        let addrs = sink.finish(&mut writer).unwrap();
        writer.sync().unwrap();
        let text = base64::engine::general_purpose::STANDARD.encode(&part[..len]);
        let lines: Vec<&str> =
            text.as_bytes().chunks(line).map(|l| std::str::from_utf8(l).unwrap()).collect();
        let whole = format!("A: b\r\n\r\n{}\r\n--x--\r\n", lines.join("\r\n")).into_bytes();
        let pieces = vec![
            Piece::Raw { chunk: addrs[head.0], len: 8 },
            Piece::Base64 { chunk: addrs[body.0], decoded: len as u64, line: line as u32 },
            Piece::Raw { chunk: addrs[tail.0], len: 9 },
        ];
        assert_eq!(pieces.iter().map(Piece::len).sum::<u64>(), whole.len() as u64);
        let hash = ContentHash(Sha256::digest(&whole).into());
        let entry = MessageEntry { hash, size: whole.len() as u64, sent_day: None, header_len: 8, pieces };
        assert_eq!(MessageEntry::decode(&entry.encode()).as_ref(), Some(&entry));
        let message = Message::new(&the_store(&storage), entry.clone());
        assert_eq!(message.content().unwrap().read(0..u64::MAX).unwrap(), whole);
        for start in (0..whole.len()).step_by(whole.len() / 37 + 1) {
            for len in [1, 2, 3, 77, 78, 79, 500] {
                let end = (start + len).min(whole.len());
                assert_eq!(
                    message.read(start as u64..end as u64).unwrap(),
                    whole[start..end],
                    "{start}..{end}"
                );
            }
        }
        // A wrong identity: everything but the last piece comes, never the end.
        let wrong = Message::new(&the_store(&storage), MessageEntry { hash: ContentHash([1; 32]), ..entry });
        let mut reader = wrong.reader();
        let mut got = 0;
        let failed = loop {
            match reader.next_piece() {
                Ok(Some(piece)) => got += piece.len(),
                Ok(None) => panic!("a wrong message was given whole"),
                Err(error) => break error,
            }
        };
        assert!(matches!(failed, Error::WrongContent { .. }) && got < whole.len());
        assert!(reader.next_piece().unwrap().is_none(), "nothing follows a failure");
        assert!(matches!(wrong.content(), Err(Error::WrongContent { .. })));
    }
}

/// Every tag agrees and yet it is another message: of several pieces, all come but the last.
#[test]
fn a_large_message_under_a_wrong_identity_never_ends() {
    let house = filled();
    let storage = house.open();
    let uid = all_uids(&storage, "alice/Inbox")[4];
    let folder = storage.view(&path("alice/Inbox")).unwrap().info.id;
    let no = the_store(&storage).db.placed(folder, Uid(uid)).unwrap().unwrap().row.msg;
    let entry = the_store(&storage).db.message(no).unwrap();
    let pieces = |entry: MessageEntry| {
        let mut reader = Message::new(&the_store(&storage), entry).reader();
        let mut all = Vec::new();
        loop {
            match reader.next_piece() {
                Ok(Some(piece)) => all.push(piece.len()),
                Ok(None) => return (all, true),
                Err(Error::WrongContent { .. }) => return (all, false),
                Err(error) => panic!("{error}"),
            }
        }
    };
    let (right, whole) = pieces(entry.clone());
    assert!(whole && right.len() > 2 && right.iter().sum::<usize>() as u64 == entry.size);
    assert_eq!(
        pieces(MessageEntry { hash: ContentHash([1; 32]), ..entry }),
        (right[..right.len() - 1].to_vec(), false)
    );
}

#[test]
fn moves_deletions_and_renames_are_applied() {
    let house = House::new();
    let storage = house.open();
    for n in 0..300 {
        archive(&storage, "alice/Inbox", &mail(n, 10), &n.to_string()).unwrap();
    }
    archive(&storage, "alice/Old", &mail(5, 10), "0").unwrap();
    let id = |name: &str| storage.view(&path(name)).unwrap().info.id;
    let (inbox, old) = (id("alice/Inbox"), id("alice/Old"));
    let evidence = |leaf| Evidence { leaf, salt: None, hash: [0; 32] };
    let mod_seq = ModSeq(400);
    let deleted = |uid, leaf| {
        Fact::Deletion(DeletionFact { folder: inbox, uid: Uid(uid), mod_seq, evidence: evidence(leaf) })
    };
    let facts = vec![
        deleted(1, 301),
        deleted(150, 302),
        Fact::Move(MoveFact {
            from: inbox,
            from_uid: Uid(2),
            to: old,
            to_uid: Uid(2),
            archive_uid: Uid(2),
            mod_seq,
            evidence: evidence(303),
        }),
        Fact::Rename { folder: old, path: path("alice/Older"), mod_seq },
    ];
    let mut writer = the_store(&storage).packs.new_pack().unwrap();
    for record in encode_all(&facts) {
        writer.append(RecordKind::Facts, record).unwrap();
    }
    writer.commit(302, 400, 0, None).unwrap();
    drop(storage);
    let storage = house.open();
    let uids = all_uids(&storage, "alice/Inbox");
    assert_eq!(uids.len(), 297);
    assert!([1, 2, 150].iter().all(|gone| !uids.contains(gone)));
    assert!(storage.view(&path("alice/Old")).is_none());
    let older = storage.view(&path("alice/Older")).unwrap();
    assert_eq!((older.info.id, older.info.messages, older.info.highest_mod_seq), (old, 2, mod_seq));
    assert_eq!(cat(&storage, "alice/Older", Uid(2)).unwrap(), mail(1, 10));
    assert!(matches!(cat(&storage, "alice/Inbox", Uid(2)), Err(Error::Missing { .. })));
    let moved = the_store(&storage).db.placed(old, Uid(2)).unwrap().unwrap();
    assert_eq!(
        storage
            .sightings(&path("alice/Older"), &the_store(&storage).message(moved.row.msg).unwrap().hash())
            .unwrap()[0]
            .occurrence,
        "1"
    );
    assert_eq!(storage.columns(&storage.view(&path("alice/Inbox")).unwrap()).unwrap()[0].rows.len(), 297);
    assert_eq!(archive(&storage, "alice/Inbox", &mail(900, 10), "x").unwrap(), Uid(301), "no UID twice");
    sound(&storage);
}

#[test]
fn facts_that_contradict_the_database_are_refused() {
    let house = House::new();
    let storage = house.open();
    archive(&storage, "a", &mail(0, 10), "0").unwrap();
    let store = the_store(&storage);
    let folder = storage.view(&path("a")).unwrap().info.id;
    let gone = DeletionFact {
        folder,
        uid: Uid(7),
        mod_seq: ModSeq(2),
        evidence: Evidence { leaf: 9, salt: None, hash: [0; 32] },
    };
    let elsewhere = DeletionFact { folder: FolderId(77), ..gone.clone() };
    for (batch, facts) in
        [(2, vec![Fact::Deletion(gone)]), (2, vec![Fact::Deletion(elsewhere)]), (3, vec![]), (1, vec![])]
    {
        let end = BatchEnd {
            batch,
            mod_seq: ModSeq(2),
            time: None,
            end: Addr { pack: crate::pack::PackId(1), offset: 9 },
            tag: [0; 16],
            facts: None,
            log: None,
            lost: false,
        };
        let txn = store.db.write().unwrap();
        let state = store.state.read();
        let done = apply(&store.db, &txn, &state, &end, &facts, &mut |_| panic!("no message is new"));
        assert!(matches!(done, Err(Error::Derived { .. })));
    }
}
