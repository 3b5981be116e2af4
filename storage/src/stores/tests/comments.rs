//! What is said of folders, and looking at folders in the order of their paths.

use super::*;
use crate::store::facts::MAX_COMMENT;
use std::ops::Bound;

fn say(storage: &Storage, folder: &str, text: &str) -> Result<(), Error> {
    storage.comment(&path(folder), text, &Cancel::default())
}

fn said(storage: &Storage, folder: &str) -> Option<String> {
    storage.view(&path(folder)).unwrap().comment.map(|text| text.to_string())
}

#[test]
fn what_is_said_lasts_through_reopening_rebuild_and_compaction() {
    let house = House::new();
    let storage = house.open();
    for n in 0..3 {
        archive(&storage, "alice/A", &mail(n, 40), &n.to_string()).unwrap();
    }
    archive(&storage, "alice/B", &mail(9, 40), "9").unwrap();
    let before = storage.view(&path("alice/A")).unwrap().info;
    say(&storage, "alice/A", "the first words").unwrap();
    say(&storage, "alice/A", "Aus dem alten B\u{fc}ro,\r\n\tbis 2019").unwrap();
    say(&storage, "alice/B", "soon gone").unwrap();
    say(&storage, "alice/B", "").unwrap();
    assert_eq!(storage.view(&path("alice/A")).unwrap().info, before, "numbers stay");
    let words = Some("Aus dem alten B\u{fc}ro,\r\n\tbis 2019".to_owned());
    let both = |storage: &Storage| (said(storage, "alice/A"), said(storage, "alice/B"));
    assert_eq!(both(&storage), (words.clone(), None));
    drop(storage);
    let storage = house.open();
    assert_eq!(both(&storage), (words.clone(), None));
    sound(&storage);
    let tables = dump::dump(&storage);
    drop(storage);
    let report = house.rebuild(false);
    assert!(report.stores.iter().all(|store| store.lost.is_empty()), "{report:?}");
    let storage = house.open();
    assert_eq!(dump::dump(&storage), tables);
    assert_eq!(both(&storage), (words.clone(), None));
    // The message that goes makes the compaction write the store anew.
    storage
        .delete_messages(
            &path("alice/A"),
            &UidRanges::from_spans([(1, 1)]),
            &Cancel::default(),
            &mut |_, _| {},
        )
        .unwrap();
    storage.compact_store("0001", &Cancel::default(), &mut |_, _| {}).unwrap();
    assert_eq!(both(&storage), (words.clone(), None));
    drop(storage);
    let storage = house.open();
    assert_eq!(both(&storage), (words.clone(), None));
    assert!(!dump::dump(&storage).iter().any(|row| row.contains("the first words")));
    storage.move_folder(&path("alice/A"), &path("alice/C"), &Cancel::default(), &mut |_, _| {}).unwrap();
    assert_eq!(said(&storage, "alice/C"), words);
    sound(&storage);
}

#[test]
fn bounds_of_a_comment() {
    let house = House::new();
    let storage = house.open();
    archive(&storage, "alice/A", &mail(1, 40), "1").unwrap();
    let most = "\u{fc}".repeat(MAX_COMMENT / 2);
    say(&storage, "alice/A", &most).unwrap();
    assert_eq!(said(&storage, "alice/A").map(|text| text.len()), Some(MAX_COMMENT));
    assert!(matches!(say(&storage, "alice/A", &format!("{most}x")), Err(Error::Limit { .. })));
    for odd in ["\0", "\u{1b}[2J", "\u{85}", "\u{7f}"] {
        assert!(matches!(say(&storage, "alice/A", odd), Err(Error::Refused { .. })), "{odd:?}");
    }
    assert!(matches!(say(&storage, "alice/B", "x"), Err(Error::Missing { .. })));
    assert_eq!(said(&storage, "alice/A"), Some(most));
}

#[test]
fn of_several_stores_the_last_word_counts() {
    let house = House::new();
    let storage = house.open();
    archive(&storage, "alice/A", &mail(1, 40), "1").unwrap();
    say(&storage, "alice/A", "in the first store").unwrap();
    storage.create_store(None, None).unwrap();
    assert_eq!(said(&storage, "alice/A").as_deref(), Some("in the first store"));
    archive(&storage, "alice/A", &mail(2, 40), "2").unwrap();
    assert_eq!(said(&storage, "alice/A").as_deref(), Some("in the first store"));
    say(&storage, "alice/A", "in the second").unwrap();
    drop(storage);
    let storage = house.open();
    assert_eq!(said(&storage, "alice/A").as_deref(), Some("in the second"));
    say(&storage, "alice/A", "").unwrap();
    assert_eq!(said(&storage, "alice/A"), None);
    drop(storage);
    assert_eq!(said(&house.open(), "alice/A"), None);
}

#[test]
fn folders_from_any_place_in_the_order_of_paths() {
    let house = House::new();
    let storage = house.open();
    for folder in ["a/B", "a/B/c", "a/B c", "a/b", "a", "ab/x", "a/INBOX/z", "a/Inbox", "a/x/inbox"] {
        archive(&storage, folder, &mail(1, 40), folder).unwrap();
    }
    let look = storage.look();
    let from = |place: Bound<&str>| look.from(place).map(|f| f.path.to_string()).collect::<Vec<_>>();
    let all = ["a", "a/B", "a/B c", "a/B/c", "a/INBOX/z", "a/Inbox", "a/b", "a/x/inbox", "ab/x"];
    assert_eq!(from(Bound::Unbounded), all);
    assert_eq!(from(Bound::Included("a/B c")), all[2..]);
    assert_eq!(from(Bound::Excluded("a/B c")), all[3..]);
    assert_eq!(from(Bound::Included("a/B0")), all[4..]);
    assert!(from(Bound::Included("b")).is_empty());
    for (path, below) in [
        ("a", true),
        ("a/B", true),
        ("a/B/c", false),
        ("a/x", true),
        ("a/INBOX", true),
        ("ab/x", false),
        ("b", false),
    ] {
        assert_eq!(look.has_below(path), below, "{path}");
    }
    assert!(look.at("a/x").is_none() && look.at("a/x/inbox").is_some() && look.at("").is_none());
    assert_eq!(look.inbox_of("a"), Some("INBOX"), "the oldest one");
    assert_eq!(look.inbox_of("ab"), None);
    drop(look);
    storage.move_folder(&path("a/INBOX"), &path("a/Else"), &Cancel::default(), &mut |_, _| {}).unwrap();
    assert_eq!(storage.inbox_of("a").as_deref(), Some("Inbox"));
    storage.delete_folder(&path("a/Inbox"), true, &Cancel::default(), &mut |_, _| {}).unwrap();
    assert_eq!(storage.inbox_of("a"), None);
    drop(storage);
    assert_eq!(house.open().inbox_of("a"), None);
}
