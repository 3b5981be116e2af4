//! All mail of an archive as one mailbox: what it shows, under which numbers, whatever happens to folders and stores.

use super::histories::for_seeds;
use super::*;
use crate::Progress;
use crate::pack::disk::crash::Dice;
use crate::search::{Flag, Key};
use crate::store::{Row, Whole};
use std::collections::{BTreeMap, BTreeSet};

/// Archive-wide UID and subject's number of every message of an archive.
fn shown(storage: &Storage, archive: &str) -> Vec<(u32, u64)> {
    let Some(view) = storage.all_mail(archive) else { return Vec::new() };
    let rows = rows_of(storage, &view);
    assert_eq!(rows.iter().map(|row| row.uid).collect::<UidRanges>(), *view.uids);
    rows.iter().map(|row| (row.uid.0, number(storage, row))).collect()
}

fn rows_of(storage: &Storage, view: &FolderView) -> Vec<Row> {
    let mut rows = storage.rows(view, &view.uids);
    let mut all = Vec::new();
    while let Some(batch) = rows.next_batch().unwrap() {
        all.extend(batch);
    }
    assert!(rows.trouble().is_none());
    all
}

fn number(storage: &Storage, row: &Row) -> u64 {
    let header = storage.message(row).unwrap().header().unwrap();
    let text = String::from_utf8_lossy(&header).into_owned();
    let rest = text.split("Subject: number ").nth(1).unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}

fn put(storage: &Storage, folder: &str, n: u64) -> u32 {
    archive(storage, folder, &mail(n, 60), &format!("{folder} {n}")).unwrap().0
}

fn mv(storage: &Storage, from: &str, uid: u32, to: &str) {
    let uids = UidRanges::from_spans([(uid, uid)]);
    let done = storage.move_messages(&path(from), &uids, &path(to), &Cancel::default(), &mut |_, _| ());
    assert_eq!(done.unwrap(), 1);
}

fn delete(storage: &Storage, from: &str, uid: u32) {
    let uids = UidRanges::from_spans([(uid, uid)]);
    let done = storage.delete_messages(&path(from), &uids, &Cancel::default(), &mut |_, _| ());
    assert_eq!(done.unwrap(), 1);
}

fn validity(storage: &Storage, archive: &str) -> u32 {
    storage.all_mail(archive).unwrap().info.uid_validity.0
}

#[test]
fn a_message_is_shown_once_until_its_last_placement_goes() {
    let house = House::new();
    let storage = house.open();
    assert!(storage.all_mail("alice").is_none(), "an archive without folders has none");
    put(&storage, "alice/a", 0);
    put(&storage, "bob", 1);
    put(&storage, "alice/b", 1);
    put(&storage, "alice/b", 0);
    put(&storage, "alice/c", 2);
    assert_eq!(shown(&storage, "alice"), [(1, 0), (2, 1), (3, 2)]);
    assert_eq!(shown(&storage, "bob"), [(1, 1)]);
    let view = storage.all_mail("alice").unwrap();
    assert_eq!((view.info.uid_next, view.info.messages), (Uid(4), 3));
    assert_eq!(view.info.uid_validity, storage.view(&path("alice/a")).unwrap().info.uid_validity);
    let sum: u64 = rows_of(&storage, &view).iter().map(|row| row.size).sum();
    assert_eq!(view.info.bytes, sum);
    // The first placement is moved, then deleted: the message stays under its UID.
    mv(&storage, "alice/a", 1, "alice/z");
    assert_eq!(shown(&storage, "alice"), [(1, 0), (2, 1), (3, 2)]);
    delete(&storage, "alice/z", 1);
    assert_eq!(shown(&storage, "alice"), [(1, 0), (2, 1), (3, 2)]);
    assert!(storage.all_mail("alice").unwrap().info.highest_mod_seq > view.info.highest_mod_seq);
    delete(&storage, "alice/b", 2);
    assert_eq!(shown(&storage, "alice"), [(2, 1), (3, 2)]);
    assert_eq!(view.uids.len(), 3, "a view that was taken stays");
    // What comes again is a new message.
    put(&storage, "alice/d", 0);
    assert_eq!(shown(&storage, "alice"), [(2, 1), (3, 2), (4, 0)]);
    // Into an archive that has it, and into one that doesn't.
    mv(&storage, "bob", 1, "alice/b");
    assert_eq!(shown(&storage, "alice"), [(2, 1), (3, 2), (4, 0)]);
    mv(&storage, "alice/c", 1, "bob/x");
    assert_eq!(shown(&storage, "alice"), [(2, 1), (4, 0)]);
    assert_eq!(shown(&storage, "bob"), [(2, 2)]);
    sound(&storage);
    let (before, validities) =
        (shown(&storage, "alice"), (validity(&storage, "alice"), validity(&storage, "bob")));
    // A restart, a rebuild, a compaction: the same numbers.
    drop(storage);
    house.arc().remove(&house.store_dir().join("store.redb")).unwrap();
    let storage = house.open();
    assert_eq!(shown(&storage, "alice"), before);
    storage.create_store(None, None).unwrap();
    storage.compact_store("0001", &Cancel::default(), &mut |_, _| ()).unwrap();
    assert_eq!(shown(&storage, "alice"), before);
    sound(&storage);
    drop(storage);
    let storage = house.open();
    assert_eq!(shown(&storage, "alice"), before);
    assert_eq!((validity(&storage, "alice"), validity(&storage, "bob")), validities);
    put(&storage, "alice/d", 9);
    assert_eq!(shown(&storage, "alice").last(), Some(&(5, 9)), "what was erased is not given again");
}

#[test]
fn what_a_message_shows_after_its_first_placement_went_is_a_change() {
    let house = House::new();
    let storage = house.open();
    put(&storage, "alice/a", 0);
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    let folder = batch.folder(&path("alice/b")).unwrap();
    let flags = SourceFlags { flagged: true, ..SourceFlags::default() };
    let date = InternalDate { secs: 5, zone: 0 };
    let placement = NewPlacement { date, flags, source: "s", occurrence: "1" };
    batch.add(folder, prepared(&storage, &mail(0, 60), b""), &placement).unwrap();
    batch.commit().unwrap();
    let now = |storage: &Storage| rows_of(storage, &storage.all_mail("alice").unwrap())[0];
    let flagged = |storage: &Storage| {
        let view = storage.all_mail("alice").unwrap();
        storage.search(&view, &Key::Flag(Flag::Flagged), &Cancel::default()).unwrap().len()
    };
    let first = now(&storage);
    assert!(first.flags.answered && !first.flags.flagged && flagged(&storage) == 0);
    delete(&storage, "alice/a", 1);
    let second = now(&storage);
    assert!(second.flags.flagged && !second.flags.answered && flagged(&storage) == 1);
    assert_eq!((first.uid, second.uid), (Uid(1), Uid(1)));
    assert_eq!(second.mod_seq, storage.all_mail("alice").unwrap().info.highest_mod_seq);
    assert!(second.mod_seq > first.mod_seq);
}

#[test]
fn several_stores_are_one_mailbox_and_a_missing_one_keeps_its_numbers() {
    let (dir, key, limits) = (scratch(), MasterKey::generate().unwrap(), Limits::default());
    let data = dir.path().join("data");
    Storage::create(&data, &key, &limits).unwrap();
    let open = || Storage::open(&data, &key, limits.clone()).unwrap();
    let storage = open();
    for n in 0..5 {
        put(&storage, "alice/a", n);
    }
    storage.create_store(None, None).unwrap();
    for n in 3..8 {
        put(&storage, "alice/b", n);
    }
    let all: Vec<(u32, u64)> = (0..8).map(|n| (n as u32 + 1, n)).collect();
    assert_eq!(shown(&storage, "alice"), all);
    let view = storage.all_mail("alice").unwrap();
    let parts: Vec<u64> = view.parts.iter().map(|part| part.uids.len()).collect();
    assert_eq!(parts, [5, 3], "what both have is shown from one");
    let find = |storage: &Storage, text: &str| {
        let view = storage.all_mail("alice").unwrap();
        let key = Key::Header("Subject".into(), text.into());
        storage
            .search(&view, &key, &Cancel::default())
            .map(|found| found.iter().map(|uid| uid.0).collect::<Vec<_>>())
    };
    assert_eq!(find(&storage, "number").unwrap(), (1..=8).collect::<Vec<_>>());
    assert_eq!(find(&storage, "number 4").unwrap(), [5]);
    storage.close().unwrap();
    drop(storage);
    // The first store is away: two of its messages are in the other one, too.
    let (here, away) = (data.join("stores/0001"), dir.path().join("away"));
    std::fs::rename(&here, &away).unwrap();
    let storage = open();
    assert!(storage.stores()[0].trouble.is_some());
    let view = storage.all_mail("alice").unwrap();
    assert_eq!(view.uids.iter().map(|uid| uid.0).collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    let mut rows = storage.rows(&view, &view.uids);
    let mut readable = Vec::new();
    while let Some(batch) = rows.next_batch().unwrap() {
        readable.extend(batch.into_iter().map(|row| row.uid.0));
    }
    assert_eq!(readable, [4, 5, 6, 7, 8]);
    assert!(matches!(rows.trouble(), Some(Error::Unavailable { .. })));
    drop(rows);
    let mut rows = storage.flag_rows(&view, &view.uids);
    let mut flags = Vec::new();
    while let Some(batch) = rows.next_batch().unwrap() {
        flags.extend(batch.into_iter().map(|row| (row.uid.0, row.flags.answered)));
    }
    assert_eq!(flags, (1..=8).map(|uid| (uid, true)).collect::<Vec<_>>());
    assert!(matches!(find(&storage, "number"), Err(Error::Unavailable { .. })));
    let answered = storage.search(&view, &Key::Flag(Flag::Answered), &Cancel::default()).unwrap();
    assert_eq!(answered, *view.uids);
    drop((rows, storage));
    std::fs::rename(&away, &here).unwrap();
    let storage = open();
    assert_eq!(shown(&storage, "alice"), all);
    // Detached, its messages go; attached, they are back under their numbers.
    let uid_validity = validity(&storage, "alice");
    let dir = storage.detach_store("0001").unwrap();
    assert_eq!(shown(&storage, "alice"), (3..8).map(|n| (n as u32 + 1, n)).collect::<Vec<_>>());
    put(&storage, "alice/b", 20);
    let before = storage.all_mail("alice").unwrap().info.highest_mod_seq;
    storage.attach_store(&dir).unwrap();
    let mut expected = all;
    expected.push((9, 20));
    assert_eq!(shown(&storage, "alice"), expected);
    assert!(storage.all_mail("alice").unwrap().info.highest_mod_seq > before);
    assert_eq!(validity(&storage, "alice"), uid_validity);
}

#[test]
fn another_installations_messages_get_numbers_of_their_own() {
    let (theirs, house) = (House::new(), House::new());
    let storage = theirs.open();
    for n in 0..3 {
        put(&storage, "alice/old", n);
    }
    storage.close().unwrap();
    drop(storage);
    let storage = house.open();
    for n in 10..14 {
        put(&storage, "alice/new", n);
    }
    // Carried over, file by file.
    let dir = house.data.join("stores/carried");
    house.arc().create_dir(&dir).unwrap();
    house.arc().create_dir(&dir.join("packs")).unwrap();
    for file in theirs.disk.paths().into_iter().filter(|file| file.starts_with(theirs.store_dir())) {
        let rest = file.strip_prefix(theirs.store_dir()).unwrap();
        let from = theirs.arc().open(&file, false).unwrap();
        let mut bytes = vec![0; usize::try_from(from.len().unwrap()).unwrap()];
        from.read_at(0, &mut bytes).unwrap();
        if let Ok(to) = house.arc().create(&dir.join(rest)) {
            to.write_at(0, &bytes).unwrap();
            to.sync_data().unwrap();
        }
    }
    storage.attach_store_with(&dir, Some(&theirs.key)).unwrap();
    let expected = [(1, 10), (2, 11), (3, 12), (4, 13), (6, 0), (7, 1), (8, 2)];
    assert_eq!(shown(&storage, "alice"), expected);
    let view = storage.all_mail("alice").unwrap();
    assert!(view.parts.iter().any(|part| part.whole == Whole::AllMail { above: 5 }));
    let key = Key::Header("Subject".into(), "number 1".into());
    let found = storage.search(&view, &key, &Cancel::default()).unwrap();
    assert_eq!(found.iter().map(|uid| uid.0).collect::<Vec<_>>(), [1, 2, 3, 4, 7]);
    put(&storage, "alice/new", 15);
    assert_eq!(shown(&storage, "alice").last(), Some(&(9, 15)), "above all that came with the store");
    drop(storage);
    let storage = house.open();
    assert_eq!(shown(&storage, "alice").len(), 8);
    assert_eq!(shown(&storage, "alice")[4], (6, 0));
}

#[test]
fn an_archive_that_gets_another_name_keeps_its_numbers_unless_that_had_others() {
    let house = House::new();
    let storage = house.open();
    let rename = |from: &str, to: &str| {
        storage.move_folder(&path(from), &path(to), &Cancel::default(), &mut |_, _| ()).unwrap()
    };
    put(&storage, "alice/a", 0);
    put(&storage, "alice/a", 1);
    storage.create_store(None, None).unwrap();
    put(&storage, "alice/b", 2);
    let uid_validity = validity(&storage, "alice");
    assert_eq!(rename("alice", "carol").messages, 0);
    assert_eq!(shown(&storage, "carol"), [(1, 0), (2, 1), (3, 2)]);
    assert_eq!(validity(&storage, "carol"), uid_validity);
    assert!(storage.all_mail("alice").is_none());
    // A new archive of the old name shares nothing with it, though the first store still knows it by that name.
    put(&storage, "alice/new", 5);
    assert_eq!(shown(&storage, "alice"), [(4, 5)]);
    assert_ne!(validity(&storage, "alice"), uid_validity);
    mv(&storage, "carol/a", 1, "alice/new");
    mv(&storage, "carol/a", 2, "carol/later");
    assert_eq!(shown(&storage, "alice"), [(4, 5), (5, 0)]);
    assert_eq!(shown(&storage, "carol"), [(2, 1), (3, 2)]);
    // carol's name is older than alice's: her UIDs must not name others, so messages move and get new ones.
    storage.delete_folder(&path("carol"), true, &Cancel::default(), &mut |_, _| ()).unwrap();
    assert_eq!(rename("alice", "carol").messages, 2);
    let now = shown(&storage, "carol");
    assert!(now.iter().all(|(uid, _)| *uid > 3), "{now:?}");
    assert_eq!(validity(&storage, "carol"), uid_validity);
    let before = (now, validity(&storage, "carol"));
    drop(storage);
    let storage = house.open();
    assert_eq!((shown(&storage, "carol"), validity(&storage, "carol")), before);
    sound(&storage);
}

/// 3,000 messages in two folders, every third of which moves: pages split, and everything stays where it should.
#[test]
fn pages_of_many_runs_are_found_and_searched() {
    let house = House::with(Limits { max_store_messages: 1_700, ..Limits::default() });
    let storage = house.open();
    let mut model = BTreeMap::new();
    for from in (0..3_000u64).step_by(500) {
        let mut batch = storage.batch(&Cancel::default()).unwrap();
        let folders = [batch.folder(&path("alice/a")).unwrap(), batch.folder(&path("alice/b")).unwrap()];
        for n in from..from + 500 {
            let folder = folders[usize::from(n % 7 < 3)];
            batch.add(folder, prepared(&storage, &mail(n, 0), b""), &from_(n)).unwrap();
            model.insert(n as u32 + 1, n);
        }
        batch.commit().unwrap();
    }
    let check = |model: &BTreeMap<u32, u64>| {
        let now: BTreeMap<u32, u64> = shown(&storage, "alice").into_iter().collect();
        assert_eq!(now, *model);
        let view = storage.all_mail("alice").unwrap();
        // Some here and there, over page ends.
        let some = UidRanges::from_spans((1..3_000).step_by(97).map(|uid| (uid, uid + 2)));
        let wanted: BTreeSet<Uid> = some.intersect(&view.uids).iter().collect();
        let mut rows = storage.rows(&view, &some);
        let mut found = BTreeSet::new();
        while let Some(batch) = rows.next_batch_with_cards().unwrap() {
            found.extend(batch.into_iter().map(|(row, _)| row.uid));
        }
        assert_eq!(found, wanted);
        let key = Key::Header("Subject".into(), "number 29".into());
        let hits = storage.search(&view, &key, &Cancel::default()).unwrap();
        let expected =
            model.iter().filter(|(_, n)| n.to_string().starts_with("29")).map(|(uid, _)| Uid(*uid));
        assert_eq!(hits.iter().collect::<BTreeSet<_>>(), expected.collect());
    };
    check(&model);
    let third = |folder: &str, n: usize| -> UidRanges {
        storage.view(&path(folder)).unwrap().uids.iter().skip(n).step_by(3).collect()
    };
    let quiet = &mut |_, _| ();
    storage
        .move_messages(&path("alice/a"), &third("alice/a", 0), &path("alice/c"), &Cancel::default(), quiet)
        .unwrap();
    storage
        .move_messages(&path("alice/b"), &third("alice/b", 1), &path("alice/a"), &Cancel::default(), quiet)
        .unwrap();
    check(&model);
    let gone = third("alice/c", 0);
    let view = storage.view(&path("alice/c")).unwrap();
    let mut rows = storage.rows(&view, &gone);
    while let Some(batch) = rows.next_batch().unwrap() {
        for row in batch {
            model.remove(&(number(&storage, &row) as u32 + 1));
        }
    }
    storage.delete_messages(&path("alice/c"), &gone, &Cancel::default(), quiet).unwrap();
    check(&model);
    sound(&storage);
}

fn from_(n: u64) -> NewPlacement<'static> {
    let date = InternalDate { secs: 1_700_000_000 + n as i64, zone: 0 };
    NewPlacement { date, flags: SourceFlags::default(), source: "mbox", occurrence: "at" }
}

/// Folders that are searched together give what each gives alone, over stores too.
#[test]
fn several_folders_at_once_are_as_each_alone() {
    let house = House::new();
    let storage = house.open();
    for n in 0..60u64 {
        put(&storage, &format!("alice/f{}", n % 7), n % 45);
        if n == 30 {
            storage.create_store(None, None).unwrap();
        }
    }
    let views: Vec<FolderView> =
        storage.folders().iter().map(|info| storage.view(&info.path).unwrap()).collect();
    let views: Vec<&FolderView> = views.iter().collect();
    let text = |text: &str| Key::Text(text.into());
    let subject = |text: &str| Key::Header("Subject".into(), text.into());
    for key in [
        Key::All,
        Key::Nothing,
        subject("number 1"),
        Key::And(vec![text("line"), Key::Not(Box::new(subject("3")))]),
        Key::Or(vec![subject("44"), Key::Flag(Flag::Flagged), text("5 o")]),
        Key::Uids(UidRanges::from_spans([(2, 4)])),
        Key::Larger(200),
    ] {
        let together =
            storage.search_several(&views, &key, &Cancel::default(), &Progress::default()).unwrap();
        for (view, found) in views.iter().zip(together) {
            let alone = storage.search(view, &key, &Cancel::default()).unwrap();
            assert_eq!(found.unwrap(), alone, "{key:?} in {}", view.info.path);
        }
    }
    let cancelled = Cancel::default();
    cancelled.set();
    assert!(matches!(
        storage.search_several(&views, &Key::All, &cancelled, &Progress::default()),
        Err(Error::Cancelled)
    ));
    assert!(
        storage.search_several(&[], &Key::All, &Cancel::default(), &Progress::default()).unwrap().is_empty()
    );
}

/// What the archives of an installation show, by the rule: each message of their folders once, under a UID that is given once,
/// stays as long as the message is there, and is above all before it when it is new.
#[derive(Default)]
struct Model {
    /// Archive, UIDVALIDITY and UID, and the message that they name for ever.
    given: BTreeMap<(String, u32, u32), u64>,
    /// What each archive showed last.
    last: BTreeMap<String, BTreeMap<u32, u64>>,
    /// Messages that came while a store was away that may have them: shown beside what comes back.
    twins: BTreeSet<(String, u64)>,
    detached: Option<PathBuf>,
    steps: Vec<String>,
}

const PLACES: [&str; 6] = ["alice/a", "alice/b", "alice", "alice/b/c", "bob/x", "bob/y"];

impl Model {
    fn check(&mut self, storage: &Storage) {
        let mut folders: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
        for info in storage.folders() {
            let view = storage.view(&info.path).unwrap();
            let numbers = rows_of(storage, &view).into_iter().map(|row| number(storage, &row));
            folders.entry(info.path.archive().to_owned()).or_default().extend(numbers);
        }
        for archive in ["alice", "bob"] {
            let now = shown(storage, archive);
            let numbers: BTreeSet<u64> = now.iter().map(|(_, number)| *number).collect();
            assert_eq!(numbers, folders.remove(archive).unwrap_or_default(), "{:#?}", self.steps);
            let once = now.iter().filter(|(_, number)| !self.twins.contains(&(archive.to_owned(), *number)));
            let once: Vec<u64> = once.map(|(_, number)| *number).collect();
            assert_eq!(
                once.len(),
                once.iter().collect::<BTreeSet<_>>().len(),
                "twice: {now:?} {:#?}",
                self.steps
            );
            let Some(view) = storage.all_mail(archive) else { continue };
            let found = storage.search(&view, &Key::All, &Cancel::default()).unwrap();
            assert_eq!(found, *view.uids, "{:#?}", self.steps);
            let validity = view.info.uid_validity.0;
            let names = |given: &BTreeMap<(String, u32, u32), u64>| {
                let range = (archive.to_owned(), validity, 0)..=(archive.to_owned(), validity, u32::MAX);
                given.range(range).next_back().map_or(0, |((_, _, uid), _)| *uid)
            };
            let highest = names(&self.given);
            for (uid, number) in &now {
                assert!(*uid < view.info.uid_next.0);
                let before = self.given.insert((archive.to_owned(), validity, *uid), *number);
                assert!(
                    before.is_none_or(|before| before == *number),
                    "UID {uid} names another: {:#?}",
                    self.steps
                );
                assert!(
                    before.is_some() || *uid > highest,
                    "UID {uid} is new and not above: {:#?}",
                    self.steps
                );
            }
            let now: BTreeMap<u32, u64> = now.into_iter().collect();
            for (uid, number) in self.last.insert(archive.to_owned(), now.clone()).unwrap_or_default() {
                let stays = now.get(&uid) == Some(&number) || !numbers.contains(&number);
                let is_twin = self.twins.contains(&(archive.to_owned(), number));
                assert!(stays || is_twin, "message {number} lost UID {uid}: {:#?}", self.steps);
            }
        }
        let validities =
            ["alice", "bob"].map(|archive| self.given.keys().filter(move |(name, ..)| name == archive));
        for keys in validities {
            assert!(
                keys.map(|(_, validity, _)| *validity).collect::<BTreeSet<_>>().len() <= 1,
                "UIDVALIDITY stays"
            );
        }
    }

    fn some(storage: &Storage, dice: &mut Dice) -> Option<(FolderPath, UidRanges)> {
        let folders: Vec<_> = storage.folders().into_iter().filter(|info| info.messages > 0).collect();
        if folders.is_empty() {
            return None;
        }
        let info = &folders[dice.below(folders.len() as u64) as usize];
        let view = storage.view(&info.path).unwrap();
        let uids = view.uids.iter().filter(|_| dice.below(3) == 0).collect();
        Some((info.path.clone(), uids))
    }

    fn step(&mut self, house: &House, storage: Storage, dice: &mut Dice) -> Storage {
        let (cancel, quiet) = (Cancel::default(), &mut |_: u64, _: u64| ());
        let place = |dice: &mut Dice| PLACES[dice.below(PLACES.len() as u64) as usize];
        match dice.below(12) {
            0..5 => {
                let mut batch = storage.batch(&cancel).unwrap();
                for at in 0..1 + dice.below(6) {
                    let (to, n) = (place(dice), dice.below(40));
                    self.steps.push(format!("archive {n} into {to}"));
                    let folder = batch.folder(&path(to)).unwrap();
                    let occurrence = at.to_string();
                    batch
                        .add(folder, prepared(&storage, &mail(n, 30), b""), &from("m", &occurrence))
                        .unwrap();
                    if self.detached.is_some() {
                        self.twins.insert((path(to).archive().to_owned(), n));
                    }
                }
                batch.commit().unwrap();
            }
            5 | 6 => {
                if let Some((from, uids)) = Self::some(&storage, dice) {
                    let to = place(dice);
                    self.steps.push(format!("move {from} {uids:?} to {to}"));
                    if from.as_str() != to {
                        // Into another archive it may come beside a copy that is away.
                        if self.detached.is_some() && from.archive() != path(to).archive() {
                            self.twins.extend((0..40).map(|n| (path(to).archive().to_owned(), n)));
                        }
                        storage.move_messages(&from, &uids, &path(to), &cancel, quiet).unwrap();
                    }
                }
            }
            7 => {
                if let Some((from, uids)) = Self::some(&storage, dice) {
                    self.steps.push(format!("delete {from} {uids:?}"));
                    storage.delete_messages(&from, &uids, &cancel, quiet).unwrap();
                }
            }
            8 => {
                let (from, to) = (["alice/a", "alice/b/c"][dice.below(2) as usize], "alice/m");
                self.steps.push(format!("merge {from} into {to}"));
                if storage.view(&path(from)).is_some() {
                    storage.merge_folder(&path(from), &path(to), &cancel, quiet).unwrap();
                }
            }
            9 => {
                self.steps.push("another store, compaction of the first".into());
                storage.create_store(None, None).unwrap();
                let first = storage.stores()[0].number.clone();
                storage.compact_store(&first, &cancel, &mut |_, _| ()).unwrap();
            }
            10 => match self.detached.take() {
                Some(dir) => {
                    self.steps.push("attach".into());
                    let store = storage.attach_store(&dir).unwrap();
                    // This disk is none that the system could say to be writable.
                    storage.set_store_state(&store.number, StoreState::Normal).unwrap();
                }
                None => {
                    let stores = storage.stores();
                    if let Some(store) = stores.iter().find(|store| store.state == StoreState::Normal) {
                        self.steps.push(format!("detach {}", store.number));
                        self.detached = Some(storage.detach_store(&store.number).unwrap());
                    }
                }
            },
            _ => {
                self.steps.push("databases made again".into());
                storage.close().unwrap();
                drop(storage);
                for file in house.disk.paths() {
                    let away = self.detached.as_ref().is_some_and(|dir| file.starts_with(dir));
                    if file.ends_with("store.redb") && !away {
                        house.arc().remove(&file).unwrap();
                    }
                }
                return house.open();
            }
        }
        storage
    }
}

#[test]
fn whatever_is_done_the_rule_holds() {
    for_seeds(|seed| {
        let mut dice = Dice(seed.wrapping_mul(7_919) + 1);
        let house = House::with(Limits { max_store_messages: 12 + dice.below(30), ..Limits::default() });
        let (mut storage, mut model) = (house.open(), Model::default());
        for _ in 0..25 {
            storage = model.step(&house, storage, &mut dice);
            model.check(&storage);
        }
        sound(&storage);
    });
}
