//! A disk that works: messages, folders, placements, sightings, rows, cards.

use super::*;
use crate::store::facts::MAX_NAME;
use parking_lot::Mutex;
use proptest::prelude::*;

#[test]
fn messages_come_back_with_their_own_line_ends_and_prefix() {
    let house = House::new();
    let storage = house.open();
    let raws: Vec<Vec<u8>> = (0..12).map(|n| mail(n, 700 * n as usize)).collect();
    let long_prefix = [b"From ".as_slice(), &[b'x'; 5_000], b"\n"].concat();
    let prefix = |n: usize| match n {
        3 => &long_prefix[..],
        4 => b"From a\n",
        _ => b"",
    };
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    let folder = batch.folder(&path("alice/Inbox")).unwrap();
    for (n, raw) in raws.iter().enumerate() {
        let prefix = prefix(n);
        let added =
            batch.add(folder, prepared(&storage, raw, prefix), &from("mbox", &n.to_string())).unwrap();
        assert_eq!((added.uid.0, added.known), (n as u32 + 1, false));
    }
    assert_eq!(batch.len(), 12);
    assert!(storage.view(&path("alice/Inbox")).is_none(), "nothing is seen before the commit");
    assert_eq!(batch.commit().unwrap().placements, 12);
    let mut storage = storage;
    for _ in 0..2 {
        for (n, raw) in raws.iter().enumerate() {
            let prefix = prefix(n);
            assert_eq!(cat(&storage, "alice/Inbox", Uid(n as u32 + 1)).unwrap(), [prefix, raw].concat());
        }
        sound(&storage);
        drop(storage);
        storage = house.open();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_bytes_come_back(raws in prop::collection::vec("([a-z:=\\- ]{0,9}(\r|\n|\r\n|\n\n|\u{0}|ü)){0,40}", 1..6)) {
        let house = House::new();
        let storage = house.open();
        let mut batch = storage.batch(&Cancel::default()).unwrap();
        let folder = batch.folder(&path("a/b")).unwrap();
        for raw in &raws {
            batch.add(folder, prepared(&storage, raw.as_bytes(), b""), &from("s", "o")).unwrap();
        }
        batch.commit().unwrap();
        for (n, raw) in raws.iter().enumerate() {
            prop_assert_eq!(&cat(&storage, "a/b", Uid(n as u32 + 1)).unwrap()[..], raw.as_bytes());
            let view = storage.view(&path("a/b")).unwrap();
            let row = storage.rows(&view, &UidRanges::from_spans([(n as u32 + 1, n as u32 + 1)])).next_batch().unwrap().unwrap()[0];
            let message = storage.message(&row).unwrap();
            let whole = message.content().unwrap().read(0..u64::MAX).unwrap();
            prop_assert_eq!(whole.len() as u64, row.size);
            prop_assert_eq!(&message.header().unwrap()[..], &whole[..message.header_len() as usize]);
            for start in (0..whole.len() as u64).step_by(7) {
                let end = (start + 11).min(row.size);
                prop_assert_eq!(&message.read(start..end).unwrap()[..], &whole[start as usize..end as usize]);
            }
        }
        sound(&storage);
    }
}

#[test]
fn a_large_message_is_read_in_pieces_and_parts() {
    let house = House::new();
    let storage = house.open();
    // Line ends that alternate for longer than a map in the fact may be.
    let mut raw = mail(3, 400_000);
    for n in 0..200_000 {
        raw.extend_from_slice(if n % 3 == 0 { b"x\r\n" } else { b"y\n" });
    }
    archive(&storage, "alice", &raw, "0").unwrap();
    assert_eq!(cat(&storage, "alice", Uid(1)).unwrap(), raw);
    let message = the_store(&storage).message(MsgNo(0)).unwrap();
    let mut reader = message.reader();
    let mut whole = Vec::new();
    while let Some(piece) = reader.next_piece().unwrap() {
        assert!(!piece.is_empty() && piece.len() as u64 <= PIECE_BYTES);
        whole.extend_from_slice(&piece);
    }
    assert_eq!(whole.len() as u64, message.size());
    assert_eq!(message.content().unwrap().read(0..message.size()).unwrap(), whole);
    for (start, len) in [(0, 10), (100, 262_144), (262_100, 300_000), (message.size() - 5, 50)] {
        let got = message.read(start..start + len).unwrap();
        let end = (start + len.min(PIECE_BYTES)).min(message.size());
        assert_eq!(got, whole[start as usize..end as usize]);
    }
    assert!(message.read(message.size()..message.size() + 1).unwrap().is_empty());
    assert!(message.read(u64::MAX - 1..u64::MAX).unwrap().is_empty());
    sound(&storage);
}

#[test]
fn known_content_gets_a_placement_only() {
    let house = House::new();
    let storage = house.open();
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    let (inbox, bob) = (batch.folder(&path("alice/Inbox")).unwrap(), batch.folder(&path("bob/x")).unwrap());
    assert_eq!(batch.folder(&path("alice/Inbox")).unwrap(), inbox);
    let raw = mail(1, 500);
    let lf = String::from_utf8(raw.clone()).unwrap().replace("\r\n", "\n").into_bytes();
    let added = |batch: &mut Batch<'_>, folder, raw: &[u8], at| {
        batch.add(folder, prepared(&storage, raw, b""), &from("mbox", at)).unwrap()
    };
    assert_eq!(added(&mut batch, inbox, &raw, "0"), Added { uid: Uid(1), known: false });
    assert_eq!(added(&mut batch, inbox, &lf, "9"), Added { uid: Uid(2), known: true });
    batch.commit().unwrap();
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    assert_eq!(added(&mut batch, bob, &raw, "7"), Added { uid: Uid(1), known: true });
    batch.seen_at(inbox, Uid(2), "12").unwrap();
    batch.commit().unwrap();
    assert_eq!(storage.stores()[0].messages, 1);
    assert_eq!(storage.stores()[0].placements, 3);
    assert_eq!(cat(&storage, "alice/Inbox", Uid(1)).unwrap(), raw);
    assert_eq!(cat(&storage, "alice/Inbox", Uid(2)).unwrap(), lf);
    let hash = the_store(&storage).message(MsgNo(0)).unwrap().hash();
    let seen = |folder, uid, at: &str| Sighting {
        folder,
        uid: Uid(uid),
        source: "mbox".into(),
        occurrence: at.into(),
        there: crate::Whereabouts::Here,
    };
    assert_eq!(
        storage.sightings(&path("alice/Inbox"), &hash).unwrap(),
        vec![seen(inbox, 1, "0"), seen(inbox, 2, "12")]
    );
    assert_eq!(storage.sightings(&path("bob/x"), &hash).unwrap(), vec![seen(bob, 1, "7")]);
    assert_eq!(storage.sightings(&path("bob/x"), &ContentHash([0; 32])).unwrap(), vec![]);
    sound(&storage);
}

#[test]
fn a_dropped_batch_leaves_no_trace() {
    let house = House::new();
    let storage = house.open();
    archive(&storage, "alice/Inbox", &mail(0, 10), "0").unwrap();
    let before = dump::dump(&storage);
    let pack = house.disk.bytes(&house.pack(1));
    {
        let mut batch = storage.batch(&Cancel::default()).unwrap();
        let folder = batch.folder(&path("alice/New")).unwrap();
        for n in 1..50 {
            batch.add(folder, prepared(&storage, &mail(n, 3_000), b""), &from("other", "1")).unwrap();
        }
    }
    assert_eq!(dump::dump(&storage), before);
    assert_eq!(house.disk.bytes(&house.pack(1)), pack);
    assert_eq!(storage.folders().len(), 1);
    assert_eq!(archive(&storage, "alice/New", &mail(99, 10), "0").unwrap(), Uid(1));
    sound(&storage);
}

#[test]
fn an_empty_batch_writes_nothing() {
    let house = House::new();
    let storage = house.open();
    let pack = house.disk.bytes(&house.pack(1));
    let committed = storage.batch(&Cancel::default()).unwrap().commit().unwrap();
    assert_eq!(committed.placements, 0);
    assert_eq!(house.disk.bytes(&house.pack(1)), pack);
}

#[test]
fn rows_and_cards_of_any_uids_in_order() {
    let house = House::new();
    let storage = house.open();
    for round in 0..3 {
        let mut batch = storage.batch(&Cancel::default()).unwrap();
        let folders = [batch.folder(&path("a/one")).unwrap(), batch.folder(&path("a/two")).unwrap()];
        for n in 0..500 {
            let number = round * 500 + n;
            let raw = mail(number, 20);
            batch
                .add(folders[usize::from(n % 7 == 0)], prepared(&storage, &raw, b""), &from("s", "o"))
                .unwrap();
        }
        batch.commit().unwrap();
    }
    let view = storage.view(&path("a/one")).unwrap();
    let mut rows = storage.rows(&view, &view.uids);
    let mut all = Vec::new();
    while let Some(batch) = rows.next_batch_with_cards().unwrap() {
        all.extend(batch);
    }
    assert_eq!(all.iter().map(|(row, _)| row.uid).collect::<Vec<_>>(), view.uids.iter().collect::<Vec<_>>());
    assert_eq!(all.iter().map(|(row, _)| row.size).sum::<u64>(), view.info.bytes);
    for (row, card) in &all {
        assert_eq!(card.size, row.size);
        assert_eq!(*card, storage.card(row).unwrap());
        assert_eq!(row.sent_day, Some(19_675), "14 November 2023 where it was written");
        assert_eq!((row.date.secs, row.date.zone), (1_700_000_000, 120));
        assert!(row.flags.answered && !row.flags.flagged);
    }
    assert_eq!(storage.columns(&view).unwrap()[0].rows, all.iter().map(|(row, _)| *row).collect::<Vec<_>>());
    let spans: [&[(u32, u32)]; 5] = [
        &[(5, 5)],
        &[(1, 3), (120, 140), (1_200, 1_201)],
        &[(1, 1), (1_286, 4_000_000)],
        &[(5_000, 6_000)],
        &[(127, 130), (700, 700)],
    ];
    for spans in spans {
        let wanted = UidRanges::from_spans(spans.iter().copied());
        let mut rows = storage.rows(&view, &wanted);
        let mut got = Vec::new();
        while let Some(batch) = rows.next_batch().unwrap() {
            got.extend(batch.into_iter().map(|row| row.uid));
        }
        assert_eq!(got, view.uids.intersect(&wanted).iter().collect::<Vec<_>>(), "{spans:?}");
    }
    sound(&storage);
}

#[test]
fn columns_follow_a_folder_that_grows_and_old_views_stay() {
    let house = House::new();
    let storage = house.open();
    let mut views = Vec::new();
    for n in 0..5 {
        archive(&storage, "a", &mail(n, 10), "0").unwrap();
        let view = storage.view(&path("a")).unwrap();
        assert_eq!(storage.columns(&view).unwrap()[0].rows.len(), n as usize + 1);
        views.push(view);
    }
    for (n, view) in views.iter().enumerate() {
        assert_eq!(view.info.messages, n as u64 + 1);
        assert!(storage.columns(view).unwrap()[0].rows.len() > n);
    }
}

#[test]
fn folders_are_listed_by_archive_and_told_of() {
    let house = House::new();
    let storage = house.open();
    let told: Arc<Mutex<Vec<Vec<FolderId>>>> = Arc::default();
    let subscription = storage.subscribe({
        let told = Arc::clone(&told);
        move |folders| told.lock().push(folders.to_vec())
    });
    for (n, folder) in ["alice/b", "alice", "alice-x/c", "alice/a/b", "bob", "alice0"].iter().enumerate() {
        archive(&storage, folder, &mail(n as u64, 10), "0").unwrap();
    }
    drop(subscription);
    archive(&storage, "bob", &mail(77, 10), "0").unwrap();
    let names = |infos: Vec<FolderInfo>| infos.iter().map(|i| i.path.to_string()).collect::<Vec<_>>();
    assert_eq!(names(storage.folders_of("alice")), ["alice", "alice/a/b", "alice/b"]);
    assert_eq!(names(storage.folders_of("carol")), Vec::<String>::new());
    assert_eq!(storage.folders().len(), 6);
    assert_eq!(told.lock().len(), 6);
    assert!(told.lock().iter().all(|folders| folders.len() == 1));
    let validities: std::collections::BTreeSet<_> =
        storage.folders().iter().map(|f| f.uid_validity).collect();
    assert_eq!(validities.len(), 6, "no UIDVALIDITY twice");
}

#[test]
fn archive_wide_uids_rise_over_an_archives_folders() {
    let house = House::new();
    let storage = house.open();
    for (n, folder) in ["alice/b", "alice/a", "bob/a", "alice/b"].iter().enumerate() {
        archive(&storage, folder, &mail(n as u64, 10), "0").unwrap();
    }
    let uid = |folder: &str, uid| {
        let id = storage.view(&path(folder)).unwrap().info.id;
        the_store(&storage).db.placed(id, Uid(uid)).unwrap().unwrap().archive_uid.0
    };
    assert_eq!([uid("alice/b", 1), uid("alice/a", 1), uid("bob/a", 1), uid("alice/b", 2)], [1, 2, 1, 3]);
}

#[test]
fn names_have_a_bound_and_one_past_it_costs_the_message_only() {
    let house = House::new();
    let storage = house.open();
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    let folder = batch.folder(&path("a")).unwrap();
    let (most, over) = ("n".repeat(MAX_NAME), "n".repeat(MAX_NAME + 1));
    let mut add = |n, source: &str, at: &str| {
        batch.add(folder, prepared(&storage, &mail(n, 9), b""), &from(source, at))
    };
    assert!(matches!(add(1, &over, "0"), Err(Error::Limit { .. })));
    assert!(matches!(add(1, "s", &over), Err(Error::Limit { .. })));
    assert_eq!(add(1, &most, &most).unwrap().uid, Uid(1));
    batch.commit().unwrap();
    let hash = the_store(&storage).message(MsgNo(0)).unwrap().hash();
    assert_eq!(storage.sightings(&path("a"), &hash).unwrap()[0].source, most);
    sound(&storage);
}

#[test]
fn a_full_pack_is_followed_by_another() {
    let house = House::with(Limits { max_pack_bytes: 6_000, ..Limits::default() });
    let storage = house.open();
    for n in 0..12 {
        archive(&storage, "a", &mail(n, 9_000), "0").unwrap();
    }
    assert!(the_store(&storage).packs.list().len() > 2);
    drop(storage);
    let storage = house.open();
    archive(&storage, "a", &mail(12, 9_000), "0").unwrap();
    for n in 0..13 {
        assert_eq!(cat(&storage, "a", Uid(n + 1)).unwrap(), mail(n.into(), 9_000));
    }
    sound(&storage);
}

#[test]
fn a_reopened_store_goes_on_in_its_pack() {
    let house = House::new();
    for n in 0..4 {
        let storage = house.open();
        archive(&storage, "a", &mail(n, 100), "0").unwrap();
        assert_eq!(the_store(&storage).packs.list().len(), 1);
        storage.close().unwrap();
    }
    let storage = house.open();
    assert_eq!(all_uids(&storage, "a"), [1, 2, 3, 4]);
    sound(&storage);
}

#[test]
fn one_program_at_a_time_on_a_real_disk() {
    let (data, key) = (scratch(), MasterKey::generate().unwrap());
    Storage::create(data.path(), &key, &Limits::default()).unwrap();
    assert!(matches!(Storage::create(data.path(), &key, &Limits::default()), Err(Error::Io { .. })));
    let storage = Storage::open(data.path(), &key, Limits::default()).unwrap();
    archive(&storage, "alice/Inbox", &mail(2, 500), "0").unwrap();
    let second = Storage::open(data.path(), &key, Limits::default());
    assert!(second.unwrap_err().to_string().contains("another mailkeep"));
    storage.wait_for_index(&Cancel::default()).unwrap();
    assert_eq!(storage.stores()[0].index_tail, 0);
    storage.close().unwrap();
    drop(storage);
    let other = MasterKey::generate().unwrap();
    assert!(matches!(Storage::open(data.path(), &other, Limits::default()), Err(Error::WrongKey { .. })));
    let storage = Storage::open(data.path(), &key, Limits::default()).unwrap();
    assert_eq!(cat(&storage, "alice/Inbox", Uid(1)).unwrap(), mail(2, 500));
    let info = &storage.stores()[0];
    assert!(info.pack_bytes > 0 && info.database_bytes > 0 && info.index_bytes > 0);
    let text = std::fs::read_to_string(data.path().join("stores/0001/store.toml")).unwrap();
    assert!(text.contains(&info.id.unwrap().to_string()));
}

#[test]
fn a_cancelled_caller_does_not_wait_for_the_writer() {
    let house = House::new();
    let storage = house.open();
    let held = storage.batch(&Cancel::default()).unwrap();
    let cancel = Cancel::default();
    cancel.set();
    assert!(matches!(storage.batch(&cancel), Err(Error::Cancelled)));
    drop(held);
    assert!(storage.batch(&Cancel::default()).is_ok());
}
