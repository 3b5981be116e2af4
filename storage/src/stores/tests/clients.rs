//! Clients that were away: what they are told when they come back is exactly what they miss, wherever messages went.

use super::many::Real;
use super::*;
use crate::pack::disk::crash::Dice;
use crate::{ModSeq, UidRanges};
use std::collections::{BTreeMap, BTreeSet};

/// What clients knew of each mailbox when they last looked, by UIDVALIDITY; archives are told from folders.
#[derive(Debug, Default)]
pub(super) struct Clients {
    known: BTreeMap<(bool, u32), BTreeMap<u64, BTreeSet<u32>>>,
}

fn set(uids: &UidRanges) -> BTreeSet<u32> {
    uids.iter().map(|uid| uid.0).collect()
}

impl Clients {
    /// All of them look at a mailbox again; one more looks for the first time.
    pub(super) fn look(&mut self, storage: &Storage, view: &FolderView) {
        let now = set(&view.uids);
        let mut mod_seqs = BTreeMap::new();
        let mut rows = storage.flag_rows(view, &view.uids);
        while let Some(batch) = rows.next_batch().unwrap() {
            mod_seqs.extend(batch.into_iter().map(|row| (row.uid.0, row.mod_seq)));
        }
        assert_eq!(mod_seqs.len(), now.len());
        let highest = view.info.highest_mod_seq;
        assert!(mod_seqs.values().all(|mod_seq| *mod_seq <= highest), "{mod_seqs:?} above {highest:?}");
        let clients = self.known.entry((view.whole_archive, view.info.uid_validity.0)).or_default();
        for (since, before) in clients.iter() {
            let at = ModSeq(*since);
            assert!(at <= highest, "HIGHESTMODSEQ fell from {since} to {highest:?}");
            let went: BTreeSet<u32> = before.difference(&now).copied().collect();
            let told = set(&storage.vanished(view, at).unwrap());
            assert_eq!(told, went, "vanished from {} since {since}, {before:?}, {now:?}", view.info.path);
            let changed = set(&storage.changed_since(view, at).unwrap());
            let expected: BTreeSet<u32> =
                mod_seqs.iter().filter(|(_, mod_seq)| **mod_seq > at).map(|(uid, _)| *uid).collect();
            assert_eq!(changed, expected, "changed in {} since {since}: {mod_seqs:?}", view.info.path);
            let came: BTreeSet<u32> = now.difference(before).copied().collect();
            assert!(
                changed.is_superset(&came),
                "what came back or came new is told: in {} since {since}: {came:?}, {changed:?}",
                view.info.path
            );
        }
        let all = storage.changed_since(view, ModSeq(0)).unwrap();
        assert_eq!(set(&all), now);
        assert_eq!(storage.highest_of(view, &all).unwrap(), mod_seqs.values().copied().max());
        // At one mod-sequence a mailbox is always the same.
        let same = clients.insert(highest.0, now.clone());
        assert!(same.is_none_or(|before| before == now), "another mailbox at the same mod-sequence");
        while clients.len() > 6 {
            let middle = clients.keys().copied().nth(3).unwrap();
            clients.remove(&middle);
        }
    }

    /// As [`Clients::look`], at all folders and archives.
    pub(super) fn look_at_all(&mut self, storage: &Storage) {
        let mut archives = BTreeSet::new();
        for info in storage.folders() {
            self.look(storage, &storage.view(&info.path).unwrap());
            archives.insert(info.path.archive().to_owned());
        }
        for archive in archives {
            self.look(storage, &storage.all_mail(&archive).unwrap());
        }
    }
}

fn add(storage: &Storage, folder: &str, numbers: std::ops::Range<u64>) {
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    let id = batch.folder(&path(folder)).unwrap();
    for number in numbers {
        let message = prepared(storage, &mail(number, 60), b"");
        batch.add(id, message, &from("mbox", &number.to_string())).unwrap();
    }
    batch.commit().unwrap();
}

const FOLDERS: [&str; 3] = ["alice/a", "alice/b", "bob/a"];

/// Stores come and go while messages are added, moved and deleted.
#[test]
fn stores_that_come_and_go() {
    histories::for_seeds(|seed| {
        let mut dice = Dice(seed ^ 0x5eed);
        let house = Real::full_after(8, MasterKey::generate().unwrap());
        let mut storage = house.open();
        let (mut clients, mut made, mut away) = (Clients::default(), 0, None::<PathBuf>);
        let cancel = Cancel::default();
        let mut log = Vec::new();
        for _ in 0..16 {
            let folder = FOLDERS[dice.below(3) as usize];
            let spare = storage.stores().into_iter().find(|store| store.state != StoreState::Current);
            let uids = storage.view(&path(folder)).map(|view| (*view.uids).clone()).unwrap_or_default();
            let some: UidRanges = uids.iter().filter(|_| dice.below(3) == 0).collect();
            let number = dice.below(14);
            log.push((number, folder, some.clone()));
            match (number, &spare) {
                (0..4, _) => {
                    let count = 1 + dice.below(4);
                    add(&storage, folder, made..made + count);
                    made += count;
                }
                (4, _) if made > 0 => {
                    let again = dice.below(made);
                    add(&storage, folder, again..again + 1);
                }
                (5 | 6, _) if !some.is_empty() => {
                    storage.delete_messages(&path(folder), &some, &cancel, &mut |_, _| ()).unwrap();
                }
                (7 | 8, _) if !some.is_empty() => {
                    let to = FOLDERS[dice.below(3) as usize];
                    if to != folder {
                        storage
                            .move_messages(&path(folder), &some, &path(to), &cancel, &mut |_, _| ())
                            .unwrap();
                    }
                }
                (9, Some(store)) if store.state == StoreState::Normal => {
                    storage.set_store_state(&store.number, StoreState::Disabled).unwrap();
                }
                (9, Some(store)) => storage.set_store_state(&store.number, StoreState::Normal).unwrap(),
                (10, Some(store)) if away.is_none() => {
                    away = Some(storage.detach_store(&store.number).unwrap())
                }
                (10 | 11, _) => {
                    if let Some(dir) = away.take() {
                        storage.attach_store(&dir).unwrap();
                    }
                }
                (12, Some(store)) if store.state == StoreState::Normal => {
                    storage.compact_store(&store.number, &cancel, &mut |_, _| ()).unwrap();
                }
                (12, _) => {
                    let first = storage.stores()[0].number.clone();
                    if storage.stores()[0].state != StoreState::Disabled {
                        storage.compact_store(&first, &cancel, &mut |_, _| ()).unwrap();
                    }
                }
                (13, _) => {
                    storage.close().unwrap();
                    drop(storage);
                    storage = house.open();
                }
                _ => {}
            }
            let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                clients.look_at_all(&storage);
            }));
            if let Err(panic) = looked {
                eprintln!("{log:#?}");
                std::panic::resume_unwind(panic);
            }
        }
    });
}

/// What a client is told is the same after a compaction that erased what it is about, and costs rows of ranges.
#[test]
fn compaction_keeps_what_vanished() {
    let house = House::new();
    let storage = house.open();
    let cancel = Cancel::default();
    add(&storage, "alice/a", 0..600);
    add(&storage, "alice/b", 5..6);
    let view = storage.view(&path("alice/a")).unwrap();
    let before = view.info.highest_mod_seq;
    let uids = UidRanges::from_spans([(1, 500)]);
    storage.move_messages(&path("alice/a"), &uids, &path("alice/b"), &cancel, &mut |_, _| ()).unwrap();
    let moved = storage.view(&path("alice/b")).unwrap();
    storage.delete_messages(&path("alice/b"), &moved.uids, &cancel, &mut |_, _| ()).unwrap();
    let whole = storage.all_mail("alice").unwrap();
    let look = |storage: &Storage| {
        let mut all = Vec::new();
        for since in 0..whole.info.highest_mod_seq.0 + 2 {
            for view in [
                storage.view(&path("alice/a")).unwrap(),
                storage.view(&path("alice/b")).unwrap(),
                storage.all_mail("alice").unwrap(),
            ] {
                all.push((since, storage.vanished(&view, ModSeq(since)).unwrap()));
            }
        }
        all
    };
    let told = look(&storage);
    assert_eq!(set(&storage.vanished(&view, before).unwrap()).len(), 0, "the old view has them");
    let rows = |storage: &Storage| {
        let lines = dump::dump(storage);
        lines.into_iter().filter(|line| line.starts_with("vanished")).collect::<Vec<_>>()
    };
    let written = rows(&storage);
    assert_eq!(written.len(), 3, "{written:?}");
    storage.compact_store("0001", &cancel, &mut |_, _| ()).unwrap();
    assert_eq!(look(&storage), told);
    assert_eq!(rows(&storage), written);
    assert!(!dump::dump(&storage).iter().any(|line| line.starts_with("ghosts")));
    drop(storage);
    house.arc().remove(&house.store_dir().join("store.redb")).unwrap();
    let storage = house.open();
    assert_eq!(look(&storage), told);
}

/// A year's mailbox forgets what was in it, until compaction has forgotten which year that was: then more is named, never less.
#[test]
fn years_forget_their_own() {
    let house = House::new();
    let storage = house.open();
    let cancel = Cancel::default();
    let mut batch = storage.batch(&cancel).unwrap();
    let id = batch.folder(&path("alice/a")).unwrap();
    // 2019 and 2024 in turn.
    for number in 0..8u64 {
        let placement = NewPlacement {
            date: crate::card::Zoned { secs: [1_550_000_000, 1_720_000_000][number as usize % 2], zone: 0 },
            ..from("mbox", "")
        };
        batch.add(id, prepared(&storage, &mail(number, 60), b""), &placement).unwrap();
    }
    batch.commit().unwrap();
    let before = storage.view(&path("alice/a")).unwrap().info.highest_mod_seq;
    let some = |uids: [u32; 2]| UidRanges::from_spans(uids.map(|uid| (uid, uid)));
    storage.delete_messages(&path("alice/a"), &some([1, 2]), &cancel, &mut |_, _| ()).unwrap();
    storage
        .move_messages(&path("alice/a"), &some([3, 4]), &path("alice/b"), &cancel, &mut |_, _| ())
        .unwrap();
    let told = |storage: &Storage, year| {
        let view = storage.view(&path("alice/a")).unwrap();
        let view = storage.in_year(&view, year).unwrap().unwrap();
        set(&storage.vanished(&view, before).unwrap())
    };
    assert_eq!((told(&storage, 2019), told(&storage, 2024)), ([1, 3].into(), [2, 4].into()));
    drop(storage);
    // Made again from the packs it is the same.
    house.arc().remove(&house.store_dir().join("store.redb")).unwrap();
    let storage = house.open();
    assert_eq!((told(&storage, 2019), told(&storage, 2024)), ([1, 3].into(), [2, 4].into()));
    storage.compact_store("0001", &cancel, &mut |_, _| ()).unwrap();
    let (early, late) = (told(&storage, 2019), told(&storage, 2024));
    assert!(early.is_superset(&[1, 3].into()) && late.is_superset(&[2, 4].into()), "{early:?} {late:?}");
    assert!(early.is_subset(&[1, 2, 3, 4].into()) && late.is_subset(&[1, 2, 3, 4].into()));
}

/// A missing store's messages don't vanish, and what had gone before still is told.
#[test]
fn a_missing_disk_takes_nothing_and_forgets_nothing() {
    let house = House::with(Limits { max_store_messages: 4, ..Limits::default() });
    let storage = house.open();
    let mut clients = Clients::default();
    add(&storage, "alice/a", 0..4);
    clients.look_at_all(&storage);
    add(&storage, "alice/a", 4..6);
    let uids = UidRanges::from_spans([(2, 3)]);
    storage.delete_messages(&path("alice/a"), &uids, &Cancel::default(), &mut |_, _| ()).unwrap();
    clients.look_at_all(&storage);
    storage.close().unwrap();
    drop(storage);
    for file in
        house.disk.paths().into_iter().filter(|file| file.starts_with(house.store_dir().join("packs")))
    {
        house.arc().remove(&file).unwrap();
    }
    let storage = house.open();
    assert!(storage.stores()[0].trouble.is_some());
    let view = storage.view(&path("alice/a")).unwrap();
    assert_eq!(set(&view.uids), [1, 4, 5, 6].into());
    assert_eq!(set(&storage.vanished(&view, ModSeq(1)).unwrap()), [2, 3].into());
    assert_eq!(
        set(&storage.vanished(&storage.all_mail("alice").unwrap(), ModSeq(1)).unwrap()),
        [2, 3].into()
    );
    // Detached for good, the rest vanishes.
    storage.detach_store("0001").unwrap();
    let view = storage.view(&path("alice/a")).unwrap();
    assert_eq!(set(&view.uids), [5, 6].into());
    assert_eq!(set(&storage.vanished(&view, ModSeq(1)).unwrap()), [1, 2, 3, 4].into());
    assert_eq!(storage.vanished(&view, view.info.highest_mod_seq).unwrap(), UidRanges::new());
}

/// Another installation's mod-sequences are far above ours: what comes with it, and what is moved in it later, is told.
#[test]
fn a_store_of_another_installation() {
    let new = || Real::full_after(100, MasterKey::generate().unwrap());
    let (ours, theirs) = (new(), new());
    let other = theirs.open();
    for number in 0..20 {
        add(&other, "carol/x", number..number + 1);
    }
    add(&other, "carol/y", 30..31);
    other.close().unwrap();
    drop(other);
    let storage = ours.open();
    add(&storage, "alice/a", 0..2);
    let mut clients = Clients::default();
    clients.look_at_all(&storage);
    storage.attach_store_with(&theirs.store("0001"), Some(&theirs.key)).unwrap();
    for _ in 0..2 {
        clients.look_at_all(&storage);
        let uids = storage.view(&path("carol/x")).unwrap().uids;
        let first: UidRanges = uids.iter().take(2).collect();
        let (cancel, quiet) = (Cancel::default(), &mut |_, _| ());
        storage.move_messages(&path("carol/x"), &first, &path("carol/y"), &cancel, quiet).unwrap();
    }
    clients.look_at_all(&storage);
}
