//! Many stores as one view: full ones, missing ones, protected, detached and attached ones, and those of other installations.

use super::*;
use crate::search::{Flag, Key};
use crate::{Cancel, ContentHash};
use std::collections::BTreeMap;
use std::fs;

/// An installation in a real directory, whose stores are full after ten messages.
pub(super) struct Real {
    dir: TempDir,
    pub(super) key: MasterKey,
    limits: Limits,
}

impl Real {
    fn with_key(key: MasterKey) -> Real {
        Real::full_after(10, key)
    }

    pub(super) fn full_after(max_store_messages: u64, key: MasterKey) -> Real {
        let limits = Limits { max_store_messages, ..Limits::default() };
        let real = Real { dir: scratch(), key, limits };
        Storage::create(&real.data(), &real.key, &real.limits).unwrap();
        real
    }

    fn new() -> Real {
        Real::with_key(MasterKey::generate().unwrap())
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub(super) fn store(&self, number: &str) -> PathBuf {
        self.data().join("stores").join(number)
    }

    pub(super) fn open(&self) -> Storage {
        Storage::open(&self.data(), &self.key, self.limits.clone()).unwrap()
    }
}

/// Archives messages with these numbers, one a batch; each has its number in its flags, too.
fn fill(storage: &Storage, folder: &str, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let mut batch = storage.batch(&Cancel::default()).unwrap();
        let id = batch.folder(&path(folder)).unwrap();
        let flags = SourceFlags { flagged: number % 3 == 0, ..SourceFlags::default() };
        let occurrence = number.to_string();
        let placement = NewPlacement { flags, ..from("mbox", &occurrence) };
        batch.add(id, prepared(storage, &mail(number, 300), b""), &placement).unwrap();
        batch.commit().unwrap();
    }
}

/// Every readable message of a folder by UID, and what was left out.
fn messages(storage: &Storage, folder: &str) -> (BTreeMap<u32, ContentHash>, Option<Error>) {
    let view = storage.view(&path(folder)).unwrap();
    let mut rows = storage.rows(&view, &view.uids);
    let mut all = BTreeMap::new();
    let mut last = 0;
    while let Some(batch) = rows.next_batch().unwrap() {
        for row in batch {
            assert!(row.uid.0 > last, "UIDs rise");
            last = row.uid.0;
            all.insert(row.uid.0, storage.message(&row).unwrap().hash());
        }
    }
    (all, rows.trouble())
}

fn search(storage: &Storage, folder: &str, key: &Key) -> Result<Vec<u32>, Error> {
    let view = storage.view(&path(folder)).unwrap();
    let found = storage.search(&view, key, &Cancel::default())?;
    Ok(found.iter().map(|uid| uid.0).collect())
}

fn state(storage: &Storage, number: &str) -> StoreInfo {
    storage.stores().into_iter().find(|store| store.number == number).unwrap()
}

#[test]
fn a_full_store_is_followed_by_the_next_and_readers_see_one_archive() {
    let real = Real::new();
    let storage = real.open();
    fill(&storage, "alice/Inbox", 0..25);
    fill(&storage, "bob/x", 100..103);
    let numbers: Vec<_> = storage.stores().iter().map(|s| (s.number.clone(), s.state, s.messages)).collect();
    use StoreState::{Current, Normal};
    let expected = [("0001", Normal, 10), ("0002", Normal, 10), ("0003", Current, 8)];
    assert_eq!(numbers, expected.map(|(n, state, m)| (n.to_owned(), state, m)));
    for storage in [storage.clone(), storage] {
        let (all, trouble) = messages(&storage, "alice/Inbox");
        assert!(trouble.is_none());
        assert_eq!(all.keys().copied().collect::<Vec<_>>(), (1..=25).collect::<Vec<_>>());
        for (uid, number) in (1..=25).zip(0..) {
            assert_eq!(cat(&storage, "alice/Inbox", Uid(uid)).unwrap(), mail(number, 300));
        }
        storage.wait_for_index(&Cancel::default()).unwrap();
        assert_eq!(
            search(&storage, "alice/Inbox", &Key::Header("Subject".into(), "number 1".into())).unwrap().len(),
            11
        );
        assert_eq!(search(&storage, "alice/Inbox", &Key::Flag(Flag::Flagged)).unwrap().len(), 9);
        let view = storage.view(&path("alice/Inbox")).unwrap();
        assert_eq!((view.info.messages, view.info.uid_next, view.parts.len()), (25, Uid(26), 3));
        let hash = prepared(&storage, &mail(3, 300), b"").hash();
        let seen = storage.sightings(&view.info.path, &hash).unwrap();
        assert_eq!(seen.iter().map(|s| (s.uid, s.occurrence.as_str())).collect::<Vec<_>>(), [(Uid(4), "3")]);
        sound(&storage);
    }
}

#[test]
fn the_same_mail_in_two_stores_is_stored_in_both_and_found_as_already_there() {
    let real = Real::new();
    let storage = real.open();
    fill(&storage, "alice/Inbox", 0..12);
    // References never cross a store: known content of an older store is stored again in the current one.
    fill(&storage, "alice/Other", 0..2);
    assert_eq!(state(&storage, "0002").messages, 4);
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    let inbox = batch.folder(&path("alice/Inbox")).unwrap();
    batch.seen_at(inbox, Uid(1), "moved at the source").unwrap();
    batch.commit().unwrap();
    let hash = prepared(&storage, &mail(0, 300), b"").hash();
    assert_eq!(storage.sightings(&path("alice/Inbox"), &hash).unwrap()[0].occurrence, "moved at the source");
    sound(&storage);
}

#[test]
fn a_missing_store_is_no_expunge_and_hurts_nothing_else() {
    let real = Real::new();
    let storage = real.open();
    fill(&storage, "alice/Inbox", 0..15);
    fill(&storage, "alice/Only here", 20..21);
    let (before, _) = messages(&storage, "alice/Inbox");
    storage.close().unwrap();
    drop(storage);
    let away = real.dir.path().join("away");
    fs::rename(real.store("0001"), &away).unwrap();

    let storage = real.open();
    let gone = state(&storage, "0001");
    assert!(gone.trouble.as_ref().is_some_and(|why| why.contains("0001")), "{gone:?}");
    assert_eq!((gone.messages, gone.state), (10, StoreState::Normal));
    let view = storage.view(&path("alice/Inbox")).unwrap();
    assert_eq!(
        (view.uids.len(), view.info.messages, view.info.uid_next),
        (15, 15, Uid(16)),
        "nothing is expunged"
    );
    let mut rows = storage.flag_rows(&view, &view.uids);
    let mut flagged = Vec::new();
    while let Some(batch) = rows.next_batch().unwrap() {
        flagged.extend(batch.into_iter().filter(|row| row.flags.flagged).map(|row| row.uid.0));
    }
    assert!(rows.trouble().is_none());
    assert_eq!(flagged, [1, 4, 7, 10, 13], "flags are remembered");
    let (there, trouble) = messages(&storage, "alice/Inbox");
    assert_eq!(there.keys().copied().collect::<Vec<_>>(), [11, 12, 13, 14, 15]);
    assert!(matches!(trouble, Some(Error::Unavailable { store, .. }) if store == "0001"));
    assert!(matches!(cat(&storage, "alice/Inbox", Uid(1)), Err(Error::Unavailable { .. })));
    assert!(matches!(
        search(&storage, "alice/Inbox", &Key::Text("x".into())),
        Err(Error::Unavailable { .. })
    ));
    assert_eq!(
        search(&storage, "alice/Inbox", &Key::Not(Box::new(Key::Flag(Flag::Flagged)))).unwrap().len(),
        10
    );
    assert_eq!(messages(&storage, "alice/Only here").0.len(), 1, "other folders are whole");
    let hash = prepared(&storage, &mail(0, 300), b"").hash();
    assert!(
        matches!(storage.sightings(&view.info.path, &hash), Err(Error::Unavailable { .. })),
        "nothing is archived twice"
    );
    // Archiving goes on, with UIDs above all that were given.
    fill(&storage, "alice/Inbox", 30..31);
    assert_eq!(all_uids(&storage, "alice/Inbox").last(), Some(&16));
    assert!(storage.check(&Cancel::default(), &mut |_, _| ()).unwrap().damage[0].contains("0001"));

    fs::rename(&away, real.store("0001")).unwrap();
    storage.retry_open(Some("0001")).unwrap();
    let (mut after, trouble) = messages(&storage, "alice/Inbox");
    assert!(trouble.is_none() && after.remove(&16).is_some());
    assert_eq!(after, before);
    sound(&storage);
}

#[test]
fn what_a_missing_store_says_of_its_folders_is_remembered() {
    let real = Real::new();
    let storage = real.open();
    fill(&storage, "alice/Inbox", 0..1);
    storage.comment(&path("alice/Inbox"), "from the old server", &Cancel::default()).unwrap();
    storage.create_store(None, None).unwrap();
    fill(&storage, "alice/Inbox", 1..2);
    storage.close().unwrap();
    drop(storage);
    fs::rename(real.store("0001"), real.dir.path().join("away")).unwrap();
    let said =
        |storage: &Storage| storage.view(&path("alice/Inbox")).unwrap().comment.map(|text| text.to_string());
    let storage = real.open();
    assert_eq!(said(&storage).as_deref(), Some("from the old server"));
    storage.comment(&path("alice/Inbox"), "", &Cancel::default()).unwrap();
    assert_eq!(said(&storage), None, "what is said later counts");
}

#[test]
fn with_a_missing_current_store_mail_is_read_and_nothing_archived_until_another_is_made() {
    let real = Real::new();
    let storage = real.open();
    fill(&storage, "alice/Inbox", 0..15);
    storage.close().unwrap();
    drop(storage);
    let away = real.dir.path().join("away");
    fs::rename(real.store("0002"), &away).unwrap();
    let storage = real.open();
    assert!(matches!(storage.batch(&Cancel::default()), Err(Error::Unavailable { .. })));
    assert_eq!(messages(&storage, "alice/Inbox").0.len(), 10);
    assert_eq!(storage.create_store(Some("the new one"), None).unwrap().number, "0003");
    fill(&storage, "alice/Inbox", 40..41);
    let uid = *all_uids(&storage, "alice/Inbox").last().unwrap();
    assert!(uid > 15, "no UID is given twice, even if what is remembered lags");
    fs::rename(&away, real.store("0002")).unwrap();
    storage.retry_open(None).unwrap();
    assert_eq!(all_uids(&storage, "alice/Inbox").len(), 16);
    sound(&storage);
}

/// All files below a directory with their bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    all
}

#[test]
fn a_write_protected_store_is_read_and_searched_without_a_byte_changed() {
    let real = Real::new();
    let storage = real.open();
    fill(&storage, "alice/Inbox", 0..15);
    let before = messages(&storage, "alice/Inbox").0;
    assert!(matches!(
        storage.set_store_state("0002", StoreState::WriteProtected),
        Err(Error::Refused { .. })
    ));
    storage.set_store_state("0001", StoreState::WriteProtected).unwrap();
    assert_eq!(messages(&storage, "alice/Inbox").0, before, "while it runs");
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    let inbox = batch.folder(&path("alice/Inbox")).unwrap();
    batch.seen_at(inbox, Uid(1), "elsewhere").unwrap();
    assert!(matches!(batch.delete_message(inbox, Uid(1)), Err(Error::Protected { .. })));
    batch.commit().unwrap();
    storage.close().unwrap();
    drop(storage);
    for derived in ["as it was closed", "no index", "no database"] {
        match derived {
            "no index" => fs::remove_dir_all(real.store("0001/index")).unwrap(),
            "no database" => fs::remove_file(real.store("0001/store.redb")).unwrap(),
            _ => {}
        }
        let bytes = files(&real.store("0001"));
        let storage = real.open();
        assert_eq!(state(&storage, "0001").state, StoreState::WriteProtected);
        assert_eq!(messages(&storage, "alice/Inbox").0, before, "{derived}");
        storage.wait_for_index(&Cancel::default()).unwrap();
        assert_eq!(
            search(&storage, "alice/Inbox", &Key::Header("Subject".into(), "number 3".into())).unwrap(),
            [4]
        );
        assert_eq!(search(&storage, "alice/Inbox", &Key::Text("number 3".into())).unwrap(), [4], "{derived}");
        sound(&storage);
        storage.close().unwrap();
        drop(storage);
        assert_eq!(files(&real.store("0001")), bytes, "{derived}");
    }
    let storage = real.open();
    storage.set_store_state("0001", StoreState::Normal).unwrap();
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    batch.seen_at(inbox, Uid(1), "elsewhere").unwrap();
    batch.commit().unwrap();
    let hash = prepared(&storage, &mail(0, 300), b"").hash();
    assert_eq!(storage.sightings(&path("alice/Inbox"), &hash).unwrap()[0].occurrence, "elsewhere");
    sound(&storage);
}

#[test]
fn what_is_detached_or_disabled_vanishes_and_comes_back_as_it_was() {
    let real = Real::new();
    let storage = real.open();
    fill(&storage, "alice/Inbox", 0..15);
    let before = messages(&storage, "alice/Inbox").0;
    let view = |storage: &Storage| storage.view(&path("alice/Inbox")).unwrap().info;
    let was = view(&storage);
    assert!(matches!(storage.detach_store("0002"), Err(Error::Refused { .. })), "the current one");
    let elsewhere = real.dir.path().join("elsewhere");
    let dir = storage.detach_store("0001").unwrap();
    fs::rename(dir, &elsewhere).unwrap();
    assert_eq!(storage.stores().len(), 1);
    let away = view(&storage);
    assert_eq!((away.messages, away.uid_next, away.uid_validity), (5, was.uid_next, was.uid_validity));
    assert!(away.highest_mod_seq > was.highest_mod_seq, "clients hear of it");
    assert_eq!(all_uids(&storage, "alice/Inbox"), [11, 12, 13, 14, 15]);
    let attached = storage.attach_store(&elsewhere).unwrap();
    assert_eq!((attached.number.as_str(), attached.state), ("0003", StoreState::Normal));
    assert!(matches!(storage.attach_store(&elsewhere), Err(Error::Refused { .. })));
    storage.detach_store("0003").unwrap();
    fs::rename(&elsewhere, real.store("0001")).unwrap();
    assert_eq!(storage.attach_store(&real.store("0001")).unwrap().number, "0003");
    storage.rename_store("0003", "old mail").unwrap();
    assert!(storage.rename_store("0002", "old mail").is_err() && storage.rename_store("0002", " ").is_err());
    storage.set_store_state("old mail", StoreState::Disabled).unwrap();
    assert_eq!(all_uids(&storage, "alice/Inbox"), [11, 12, 13, 14, 15]);
    storage.set_store_state("0003", StoreState::Normal).unwrap();
    storage.detach_store("0003").unwrap();
    assert!(matches!(storage.rename_store("0003", "x"), Err(Error::Missing { .. })));
    storage.attach_store(&real.store("0001")).unwrap();
    assert_eq!(storage.stores()[1].name, "old mail", "its packs tell its name");
    let back = view(&storage);
    assert_eq!((back.messages, back.uid_next), (15, was.uid_next));
    assert_eq!(messages(&storage, "alice/Inbox").0, before);
    let rows = storage
        .rows(&storage.view(&path("alice/Inbox")).unwrap(), &UidRanges::from_spans([(1, 1)]))
        .next_batch();
    assert!(rows.unwrap().unwrap()[0].mod_seq > was.highest_mod_seq, "what came back has a new mod-sequence");
    fill(&storage, "alice/Inbox", 50..51);
    assert_eq!(all_uids(&storage, "alice/Inbox").last(), Some(&16));
    storage.close().unwrap();
    drop(storage);
    let storage = real.open();
    assert_eq!(all_uids(&storage, "alice/Inbox").len(), 16);
    sound(&storage);
}

#[test]
fn a_disabled_store_shows_nothing_until_it_is_enabled() {
    let real = Real::new();
    let storage = real.open();
    fill(&storage, "alice/Inbox", 0..12);
    storage.set_store_state("0001", StoreState::Disabled).unwrap();
    drop(storage);
    let storage = real.open();
    assert_eq!(all_uids(&storage, "alice/Inbox"), [11, 12]);
    assert_eq!(state(&storage, "0001").state, StoreState::Disabled);
    fill(&storage, "alice/Inbox", 20..21);
    assert_eq!(all_uids(&storage, "alice/Inbox"), [11, 12, 13]);
    storage.set_store_state("0001", StoreState::Normal).unwrap();
    assert_eq!(all_uids(&storage, "alice/Inbox").len(), 13);
    storage.set_store_state("0001", StoreState::Current).unwrap();
    assert_eq!(state(&storage, "0002").state, StoreState::Normal);
    fill(&storage, "alice/Inbox", 21..22);
    // It was full: the next store is made at once.
    assert_eq!(state(&storage, "0003").messages, 1);
    assert_eq!(all_uids(&storage, "alice/Inbox").last(), Some(&14));
    sound(&storage);
}

#[test]
fn a_store_of_another_installation_is_adopted() {
    let ours = Real::new();
    let theirs = Real::with_key(ours.key.clone());
    let other = theirs.open();
    fill(&other, "alice/Inbox", 0..4);
    fill(&other, "carol/Sent", 10..13);
    fill(&other, "alice/Inbox", 20..28);
    other.close().unwrap();
    drop(other);
    let storage = ours.open();
    fill(&storage, "bob/Lists", 0..1);
    fill(&storage, "alice/Inbox", 50..53);
    let was = storage.view(&path("alice/Inbox")).unwrap().info;
    let info = storage.attach_store(&theirs.store("0001")).unwrap();
    assert_eq!((info.number.as_str(), info.messages), ("0002", 10));
    storage.attach_store(&theirs.store("0002")).unwrap();
    let adopted = |storage: &Storage| {
        let names: Vec<_> = storage.folders().into_iter().map(|f| (f.path.to_string(), f.messages)).collect();
        let expected =
            [("alice/Inbox", 3), ("alice/Inbox (store 0002)", 12), ("bob/Lists", 1), ("carol/Sent", 3)];
        assert_eq!(names, expected.map(|(name, n)| (name.to_owned(), n)));
        assert_eq!(storage.view(&path("alice/Inbox")).unwrap().info, was, "ours is untouched");
        let adopted = storage.view(&path("alice/Inbox (store 0002)")).unwrap();
        assert_ne!(adopted.info.uid_validity, was.uid_validity);
        assert_eq!(adopted.info.uid_next, Uid(13));
        assert_eq!(cat(storage, "carol/Sent", Uid(2)).unwrap(), mail(11, 300));
        assert_eq!(cat(storage, "alice/Inbox (store 0002)", Uid(12)).unwrap(), mail(27, 300));
        sound(storage);
    };
    adopted(&storage);
    storage.close().unwrap();
    drop(storage);
    adopted(&ours.open());
}

#[test]
fn without_the_registry_the_stores_below_data_are_found() {
    let real = Real::new();
    let storage = real.open();
    fill(&storage, "alice/Inbox", 0..15);
    storage.rename_store("0001", "2019").unwrap();
    let before = messages(&storage, "alice/Inbox").0;
    storage.close().unwrap();
    drop(storage);
    fs::remove_file(real.data().join("stores/stores.toml")).unwrap();
    fs::create_dir(real.data().join("stores/0009")).unwrap();
    let storage = real.open();
    let names: Vec<_> = storage.stores().into_iter().map(|s| (s.number, s.name, s.state)).collect();
    use StoreState::{Current, Normal};
    let expected = [("0001", "2019", Normal), ("0002", "0002", Current)];
    assert_eq!(names, expected.map(|(number, name, state)| (number.to_owned(), name.to_owned(), state)));
    assert_eq!(messages(&storage, "alice/Inbox").0, before);
    fill(&storage, "alice/Inbox", 20..21);
    sound(&storage);
}

#[test]
fn calendar_periods_begin_where_people_expect() {
    let at = |text: &str| {
        let date =
            time::Date::parse(text, time::macros::format_description!("[year]-[month]-[day]")).unwrap();
        date.midnight().assume_utc().unix_timestamp()
    };
    for (months, before, after, same) in [
        (12, "2026-12-31", "2027-01-01", false),
        (12, "2026-01-01", "2026-12-31", true),
        (3, "2026-03-31", "2026-04-01", false),
        (3, "2026-04-01", "2026-06-30", true),
        (1, "2026-02-28", "2026-03-01", false),
        (24, "2026-12-31", "2027-01-01", true),
    ] {
        assert_eq!(
            period(at(before), months) == period(at(after), months),
            same,
            "{months} {before} {after}"
        );
    }
}

#[test]
fn a_store_elsewhere_takes_mail_and_the_bound_of_its_name_holds() {
    let real = Real::new();
    let storage = real.open();
    let dir = real.dir.path().join("disk two");
    let info = storage.create_store(Some("second disk"), Some(&dir)).unwrap();
    assert_eq!((info.path.as_path(), info.state), (dir.as_path(), StoreState::Current));
    fill(&storage, "alice/Inbox", 0..2);
    assert!(dir.join("packs/00000001.pack").exists());
    let again = storage.create_store(None, Some(&dir));
    assert!(matches!(again, Err(Error::Refused { .. } | Error::Io { .. })), "{again:?}");
    assert!(storage.rename_store("0001", &"n".repeat(200)).is_ok());
    assert!(storage.rename_store("0001", &"n".repeat(201)).is_err());
    storage.close().unwrap();
    drop(storage);
    assert_eq!(all_uids(&real.open(), "alice/Inbox"), [1, 2]);
}

#[test]
fn what_is_attached_while_the_current_store_is_full_gets_a_number_of_its_own() {
    let real = Real::new();
    let storage = real.open();
    fill(&storage, "alice/Inbox", 0..11);
    let dir = storage.detach_store("0001").unwrap();
    fill(&storage, "alice/Inbox", 11..20);
    let attached = storage.attach_store(&dir).unwrap();
    let mut numbers: Vec<String> = storage.stores().into_iter().map(|store| store.number).collect();
    numbers.sort();
    assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]), "{numbers:?}");
    assert!(attached.state == StoreState::Normal && numbers.contains(&attached.number));
    assert_eq!(messages(&storage, "alice/Inbox").0.len(), 20);
}
