//! Parts are kept once, and every message comes back byte for byte all the same.

use super::*;
use crate::db;
use crate::skeleton::base64::encode_lines;
use crate::store::facts::Piece;
use proptest::prelude::*;
use redb::ReadableTableMetadata;
use sha2::{Digest, Sha256};

/// Bytes that don't compress, so that a second copy would show.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// A message with an attachment in base64, in lines of `line` characters.
fn with_attachment(words: &str, attachment: &[u8], line: usize) -> Vec<u8> {
    let text = encode_lines(attachment, line / 4 * 3, true);
    format!(
        "Subject: {words}\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{words}\r\n--b\r\n\
         Content-Transfer-Encoding: base64\r\n\r\n{text}\r\n--b--\r\n"
    )
    .into_bytes()
}

fn parts(storage: &Storage) -> u64 {
    let txn = the_store(storage).db.read().unwrap();
    txn.open_table(db::PARTS).unwrap().len().unwrap()
}

fn pack_bytes(storage: &Storage) -> u64 {
    storage.stores().iter().map(|store| store.pack_bytes).sum()
}

fn pieces(storage: &Storage, msg: u32) -> Vec<Piece> {
    the_store(storage).db.message(MsgNo(msg)).unwrap().pieces
}

fn base64_chunk(pieces: &[Piece]) -> (crate::pack::ChunkAddr, u32) {
    let found = pieces.iter().find_map(|piece| match *piece {
        Piece::Base64 { chunk, line, .. } => Some((chunk, line)),
        Piece::Raw { .. } => None,
    });
    found.unwrap()
}

#[test]
fn two_users_with_the_same_attachment_in_other_lines_share_one_chunk() {
    for len in [4 << 10, 100_000, 1_000_000] {
        let house = House::new();
        let storage = house.open();
        let attachment = noise(len as u64, len);
        let mails = [
            ("alice/In", with_attachment("for alice", &attachment, 76)),
            ("bob/In", with_attachment("for bob", &attachment, 64)),
        ];
        archive(&storage, mails[0].0, &mails[0].1, "1").unwrap();
        let before = pack_bytes(&storage);
        archive(&storage, mails[1].0, &mails[1].1, "1").unwrap();
        assert!(pack_bytes(&storage) - before < 3_000, "{len}");
        assert_eq!(parts(&storage), 1);
        let (first, second) = (base64_chunk(&pieces(&storage, 0)), base64_chunk(&pieces(&storage, 1)));
        assert_eq!((first.0, first.1, second.1), (second.0, 76, 64));
        for (folder, mail) in &mails {
            assert_eq!(cat(&storage, folder, Uid(1)).unwrap(), *mail);
        }
        sound(&storage);
    }
}

#[test]
fn a_part_is_shared_within_a_batch_across_folders_and_with_a_text_that_stands_alone() {
    let house = House::new();
    let storage = house.open();
    let text = "the same words in every message\r\n".repeat(200);
    let mails: Vec<_> = (0..4)
        .map(|n| {
            let (fields, before, after) = match n % 2 {
                0 => ("", "", ""),
                _ => ("Content-Type: multipart/mixed; boundary=b\r\n", "--b\r\n\r\n", "\r\n--b--\r\n"),
            };
            format!("Subject: {n}\r\n{fields}\r\n{before}{text}{after}").into_bytes()
        })
        .collect();
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    for (n, mail) in mails.iter().enumerate() {
        let folder = batch.folder(&path(&format!("alice/{n}"))).unwrap();
        batch.add(folder, prepared(&storage, mail, b""), &from("mbox", &n.to_string())).unwrap();
    }
    batch.commit().unwrap();
    assert_eq!(parts(&storage), 1);
    for (n, mail) in mails.iter().enumerate() {
        assert_eq!(cat(&storage, &format!("alice/{n}"), Uid(1)).unwrap(), *mail);
    }
    sound(&storage);
}

#[test]
fn parts_are_found_again_after_a_rebuild() {
    let house = House::new();
    let attachment = noise(1, 50_000);
    let storage = house.open();
    archive(&storage, "alice/In", &with_attachment("one", &attachment, 76), "1").unwrap();
    drop(storage);
    let disk: Arc<dyn Disk> = house.arc();
    disk.remove(&house.store_dir().join("store.redb")).unwrap();
    let storage = house.open();
    assert_eq!(parts(&storage), 1);
    archive(&storage, "alice/In", &with_attachment("two", &attachment, 76), "2").unwrap();
    assert_eq!(parts(&storage), 1);
    assert_eq!(base64_chunk(&pieces(&storage, 0)).0, base64_chunk(&pieces(&storage, 1)).0);
}

#[test]
fn what_is_found_under_a_hash_and_is_something_else_is_not_shared() {
    let house = House::new();
    let storage = house.open();
    let (one, other) = (noise(1, 9_000), noise(2, 9_000));
    archive(&storage, "alice/In", &with_attachment("one", &one, 76), "1").unwrap();
    let key: [u8; 32] = Sha256::digest(&one).into();
    let found = the_store(&storage).db.part(&key).unwrap();
    // Another part whose hash has the same front finds this chunk: the bytes decide.
    let mut mail = prepared(&storage, &with_attachment("two", &other, 76), b"");
    for section in &mut mail.skeleton.sections {
        section.key = section.key.map(|_| key);
    }
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    let folder = batch.folder(&path("alice/In")).unwrap();
    batch.add(folder, mail, &from("mbox", "2")).unwrap();
    batch.commit().unwrap();
    assert_ne!(the_store(&storage).db.part(&key).unwrap(), found);
    assert_eq!(cat(&storage, "alice/In", Uid(2)).unwrap(), with_attachment("two", &other, 76));
    assert_eq!(cat(&storage, "alice/In", Uid(1)).unwrap(), with_attachment("one", &one, 76));
}

#[test]
fn a_part_that_cannot_be_read_is_stored_again() {
    let house = House::new();
    let attachment = noise(1, 50_000);
    let storage = house.open();
    archive(&storage, "alice/In", &with_attachment("one", &attachment, 76), "1").unwrap();
    let chunk = base64_chunk(&pieces(&storage, 0)).0;
    let crate::pack::ChunkAddr::Item(item) = chunk else { panic!("it is small") };
    drop(storage);
    let disk: Arc<dyn Disk> = house.arc();
    let file = disk.open(&house.pack(1), true).unwrap();
    file.write_at(item.record.offset + 1_000, &[0; 100]).unwrap();
    let storage = house.open();
    let mail = with_attachment("two", &attachment, 76);
    archive(&storage, "alice/In", &mail, "2").unwrap();
    assert_ne!(base64_chunk(&pieces(&storage, 1)).0, chunk);
    assert_eq!(cat(&storage, "alice/In", Uid(2)).unwrap(), mail);
    assert!(cat(&storage, "alice/In", Uid(1)).is_err());
}

#[test]
fn identities_whose_fronts_agree_are_told_apart() {
    let house = House::new();
    let storage = house.open();
    let hash = |last: u8| {
        let mut hash = [7; 32];
        hash[31] = last;
        ContentHash(hash)
    };
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    let folder = batch.folder(&path("alice/In")).unwrap();
    for n in 0..3 {
        let mut mail = prepared(&storage, &mail(n, 100), b"");
        mail.incoming.hash = hash(n as u8);
        batch.add(folder, mail, &from("mbox", &n.to_string())).unwrap();
    }
    batch.commit().unwrap();
    let found = |last| the_store(&storage).db.find(&hash(last)).unwrap();
    assert_eq!(
        [found(0), found(1), found(2), found(3)],
        [Some(MsgNo(0)), Some(MsgNo(1)), Some(MsgNo(2)), None]
    );
}

#[test]
fn a_closed_store_leaves_no_free_space_in_its_database_and_opens_again() {
    let house = House::new();
    let storage = house.open();
    for n in 0..60 {
        archive(&storage, "alice/In", &mail(n, 3_000), &n.to_string()).unwrap();
    }
    let before = storage.stores()[0].database_bytes;
    storage.close().unwrap();
    let after = storage.stores()[0].database_bytes;
    let used = the_store(&storage).db.write().unwrap().stats().unwrap().allocated_pages() * 4_096;
    assert!(after < before && after < used * 3 / 2, "{after} of {before}, {used} used");
    // It goes on as if nothing had happened, also when the next thing is a power cut.
    archive(&storage, "alice/In", &mail(60, 3_000), "60").unwrap();
    let crashed = house.after(Loss::Drop).open();
    for storage in [&storage, &crashed] {
        assert_eq!(all_uids(storage, "alice/In").len(), 61);
        sound(storage);
    }
}

fn a_body() -> impl Strategy<Value = String> {
    let encoded = (any::<u64>(), 0usize..9_000, 1usize..30, "(\r\n|\n|\r| |[ \t]\r\n){0,3}")
        .prop_map(|(seed, len, groups, end)| encode_lines(&noise(seed % 3, len), groups * 3, false) + &end);
    let harmed = (encoded.clone(), any::<prop::sample::Index>(), "[A-Za-z+/=]{0,2}[ \r\n\t]{0,2}").prop_map(
        |(mut text, at, with)| {
            if !text.is_empty() {
                let at = at.index(text.len());
                text.replace_range(at..at + 1, &with);
            }
            text
        },
    );
    prop_oneof![3 => encoded, 2 => harmed, 1 => "[ -~\r\n]{0,200}", 1 => "(--b(--)?\r\n|[a-z]{1,50}\r?\n){0,20}"]
}

fn a_message() -> impl Strategy<Value = Vec<u8>> {
    const FIELDS: [&str; 5] = [
        "",
        "Content-Transfer-Encoding: base64\r\n",
        "Content-Transfer-Encoding: base64\r\nContent-Type: image/png\r\n",
        "Content-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Transfer-Encoding: base64\r\n",
        "Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Transfer-Encoding: BASE64\r\n",
    ];
    (prop::collection::vec((0usize..5, a_body()), 0..5), any::<bool>()).prop_map(|(parts, alone)| {
        let mut text = "Subject: x\r\n".to_owned();
        if let (true, Some((_, body))) = (alone, parts.first()) {
            return format!("{text}{}\r\n{body}", FIELDS[1]).into_bytes();
        }
        text.push_str("Content-Type: multipart/mixed; boundary=b\r\n\r\n");
        for (fields, body) in parts {
            text.push_str(&format!("--b\r\n{}\r\n{body}\r\n", FIELDS[fields]));
        }
        text.push_str("--b--\r\n");
        text.into_bytes()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_message_comes_back_whole_and_in_parts(
        mails in prop::collection::vec(a_message(), 1..8),
        ranges in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 12),
        share_from_bytes in prop_oneof![Just(256u64), Just(4_096)],
    ) {
        let limits = Limits { spool_above_bytes: 10_000, share_from_bytes, ..Limits::default() };
        let house = House::with(limits);
        let storage = house.open();
        for half in mails.chunks(mails.len().div_ceil(2)) {
            let mut batch = storage.batch(&Cancel::default()).unwrap();
            let folder = batch.folder(&path("alice/In")).unwrap();
            for mail in half {
                batch.add(folder, prepared(&storage, mail, b""), &from("mbox", "1")).unwrap();
            }
            batch.commit().unwrap();
        }
        for (n, mail) in mails.iter().enumerate() {
            prop_assert_eq!(&cat(&storage, "alice/In", Uid(n as u32 + 1)).unwrap(), mail);
            let limits = storage.limits();
            let canonical = Incoming::read(&mail[..], Vec::new(), limits).unwrap();
            let canonical_bytes = canonical.content.read(0..u64::MAX).unwrap();
            let store = the_store(&storage);
            let message = store.message(store.db.find(&canonical.hash).unwrap().unwrap()).unwrap();
            for (from, to) in &ranges {
                let (from, to) = (from.index(mail.len() + 1), to.index(mail.len() + 1));
                let (from, to) = (from.min(to).min(canonical_bytes.len()), from.max(to).min(canonical_bytes.len()));
                let got = message.read(from as u64..to as u64).unwrap();
                prop_assert_eq!(&got[..], &canonical_bytes[from..to]);
            }
        }
        sound(&storage);
    }
}
