//! Compaction: what was deleted is in no byte of the store any more, all else is as it was, and a power cut leaves the old or
//! the new store whole.

use super::*;
use crate::order::{By, Criterion, Threading};
use crate::pack::crypt::PLAIN;
use crate::search::Key;
use memchr::memmem::find;
use sha2::{Digest, Sha256};

fn quiet(_: u64, _: u64) {}

fn compact(storage: &Storage) -> Result<Compacted, Error> {
    storage.compact_store("0001", &Cancel::default(), &mut quiet)
}

fn uids(list: &[u32]) -> UidRanges {
    list.iter().map(|uid| Uid(*uid)).collect()
}

fn delete(storage: &Storage, folder: &str, list: &[u32]) {
    storage.delete_messages(&path(folder), &uids(list), &Cancel::default(), &mut quiet).unwrap();
}

fn mv(storage: &Storage, from: &str, list: &[u32], to: &str) {
    storage.move_messages(&path(from), &uids(list), &path(to), &Cancel::default(), &mut quiet).unwrap();
}

/// What users see: folders with their numbers, and every message with its row and bytes.
fn shown(storage: &Storage) -> Vec<String> {
    let mut lines = Vec::new();
    for info in storage.folders() {
        lines.push(format!("{info:?}"));
        let view = storage.view(&info.path).unwrap();
        let mut rows = storage.rows(&view, &view.uids);
        while let Some(batch) = rows.next_batch_with_cards().unwrap() {
            for (row, card) in batch {
                let bytes = cat(storage, info.path.as_str(), row.uid).unwrap();
                let leaf = the_store(storage).db.placed(info.id, row.uid).unwrap().unwrap();
                let hash = storage.message(&row).unwrap().hash();
                let seen = storage.sightings(&info.path, &hash).unwrap();
                let here: Vec<_> = seen.iter().filter(|s| s.uid == row.uid).collect();
                lines.push(format!("{row:?} {card:?} {leaf:?} {hash} {here:?} {:?}", Sha256::digest(&bytes)));
            }
        }
        let cancel = Cancel::default();
        for by in [By::Subject, By::Date, By::From] {
            let criterion = Criterion { by, reverse: true };
            lines.push(format!("{:?}", storage.sort(&view, &view.uids, &[criterion], &[], &cancel).unwrap()));
        }
        let threads = storage.thread(&view, &view.uids, Threading::References, &cancel).unwrap();
        lines.push(format!("{threads:?}"));
        lines.push(format!(
            "{:?}",
            storage.search(&view, &Key::Text("body".into()), &Cancel::default()).unwrap()
        ));
    }
    lines
}

/// A history with moves, renames, deletions, a shared identity, large and odd messages.
fn history(storage: &Storage) {
    for n in 0..8 {
        archive(storage, "alice/Inbox", &mail(n, 700), &n.to_string()).unwrap();
    }
    archive(storage, "alice/Big", &mail(20, 700_000), "big").unwrap();
    archive(storage, "alice/Big", &mail(21, 600_000), "big2").unwrap();
    archive(storage, "bob/x", &mail(3, 700), "again").unwrap();
    // What stands beside a message in a chunk of its own.
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    let folder = batch.folder(&path("bob/x")).unwrap();
    let odd: String = (0..4_000).map(|n| if n % 3 == 0 { "line\r\n" } else { "line\n" }).collect();
    let odd = format!("Subject: odd\n\n{odd}");
    let prefix = format!("From x\n{}", "p".repeat(3_000));
    batch.add(folder, prepared(storage, odd.as_bytes(), prefix.as_bytes()), &from("mbox", "odd")).unwrap();
    batch.commit().unwrap();
    mv(storage, "alice/Inbox", &[2, 3, 5], "alice/Old");
    delete(storage, "alice/Inbox", &[1, 4]);
    delete(storage, "alice/Old", &[1]);
    delete(storage, "alice/Big", &[2]);
    let (cancel, quiet) = (Cancel::default(), &mut quiet);
    storage.move_folder(&path("alice/Old"), &path("alice/Older"), &cancel, quiet).unwrap();
    mv(storage, "alice/Older", &[2], "alice/Inbox");
    archive(storage, "alice/Gone", &mail(30, 700), "gone").unwrap();
    storage.delete_folder(&path("alice/Gone"), true, &cancel, quiet).unwrap();
}

#[test]
fn readers_see_no_difference_and_numbers_go_on() {
    let house = House::new();
    let storage = house.open();
    history(&storage);
    storage.wait_for_index(&Cancel::default()).unwrap();
    let before = shown(&storage);
    let counters = the_store(&storage).state.read().counters;
    let view = storage.view(&path("alice/Big")).unwrap();
    let old = storage.message(&storage.rows(&view, &view.uids).next_batch().unwrap().unwrap()[0]).unwrap();
    let could = storage.compactable("0001", &Cancel::default()).unwrap();
    assert_eq!((could.messages, could.after), (4, None));
    let done = compact(&storage).unwrap();
    assert_eq!((done.messages, done.message_bytes), (could.messages, could.message_bytes));
    assert!(done.after.unwrap().packs * 3 < done.before.packs * 2, "{done:?}");
    assert_eq!(shown(&storage), before);
    let mut reader = old.reader();
    while reader.next_piece().unwrap().is_some() {}
    let now = the_store(&storage).state.read().counters;
    assert_eq!(
        (now.next_msg, now.next_leaf, now.next_folder, now.uid_validity, now.mod_seq),
        (
            counters.next_msg,
            counters.next_leaf,
            counters.next_folder,
            counters.uid_validity,
            counters.mod_seq
        )
    );
    sound(&storage);
    // Archiving goes on, and once more; what was erased is new again.
    assert_eq!(archive(&storage, "alice/Inbox", &mail(0, 700), "0").unwrap(), Uid(10));
    let hash = prepared(&storage, &mail(1, 700), b"").hash();
    assert!(storage.sightings(&path("alice/Inbox"), &hash).unwrap().is_empty(), "nothing is known of it");
    delete(&storage, "alice/Inbox", &[6]);
    let before = shown(&storage);
    assert_eq!(compact(&storage).unwrap().messages, 1);
    assert_eq!(compact(&storage).unwrap().messages, 0, "and again");
    assert_eq!(shown(&storage), before);
    storage.close().unwrap();
    drop(storage);
    for rebuild in [false, true] {
        if rebuild {
            house.arc().remove(&house.store_dir().join("store.redb")).unwrap();
        }
        let storage = house.open();
        storage.wait_for_index(&Cancel::default()).unwrap();
        assert_eq!(shown(&storage), before, "rebuild: {rebuild}");
        sound(&storage);
    }
}

/// All bytes of the store, and of its index.
fn all_bytes(house: &House) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    let derived = house.data.join("derived");
    let seen = house.arc().list(&derived).unwrap().into_iter().map(|id| derived.join(id));
    for dir in [house.store_dir(), house.store_dir().join("packs")].into_iter().chain(seen) {
        let is_file = |name: &String| name.contains('.') || name == "seen";
        for name in house.arc().list(&dir).unwrap().into_iter().filter(is_file) {
            all.push((name.clone(), house.disk.bytes(&dir.join(name))));
        }
    }
    let mut dirs = vec![house.index.path().to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else {
                all.push((format!("index {}", path.display()), std::fs::read(path).unwrap()));
            }
        }
    }
    all
}

/// Which kinds of files hold a word: the bytes of all, and the index's terms.
fn holders(house: &House, storage: &Storage, word: &str) -> Vec<&'static str> {
    let terms = the_store(storage).indexer().snapshot().terms();
    let term = terms.iter().any(|term| term.contains(word)).then_some("index");
    let mut kinds: Vec<&str> = all_bytes(house)
        .iter()
        .filter(|(_, bytes)| find(bytes, word.as_bytes()).is_some())
        .map(|(name, _)| match name {
            name if name.starts_with("index ") => "index",
            name if name.ends_with(".pack") => "packs",
            name if name.starts_with("store.redb") => "database",
            _ => "other",
        })
        .chain(term)
        .collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

/// In a store that is neither sealed nor compressed, the words of a deleted message are found before, and nowhere after.
#[test]
fn erased_words_are_in_no_byte_of_the_store() {
    PLAIN.set(true);
    let house = House::new();
    let storage = house.open();
    let secret = "Subject: qsubjneedle\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nqbodyneedle\r\n--b\r\n\
                  Content-Type: text/plain; name=a.txt\r\nContent-Disposition: attachment\r\n\r\n";
    let filler: String = (0..40_000).map(|n| format!("line {n}\r\n")).collect();
    let secret = format!("{secret}{filler}qattneedle\r\n--b--\r\n");
    archive(&storage, "alice/Inbox", &mail(1, 900), "one").unwrap();
    archive(&storage, "alice/qfolderneedle", secret.as_bytes(), "qoccurrenceneedle").unwrap();
    archive(&storage, "alice/Inbox", b"Subject: qkeptneedle\r\n\r\nqkeptbody\r\n", "two").unwrap();
    storage.wait_for_index(&Cancel::default()).unwrap();
    let needles = ["qsubjneedle", "qbodyneedle", "qattneedle", "qfolderneedle", "qoccurrenceneedle"];
    for word in &needles[..3] {
        assert_eq!(holders(&house, &storage, word), ["index", "packs"], "{word}");
    }
    for word in &needles[3..] {
        assert_eq!(holders(&house, &storage, word), ["database", "packs"], "{word}");
    }
    let (cancel, quiet) = (Cancel::default(), &mut quiet);
    storage.delete_folder(&path("alice/qfolderneedle"), true, &cancel, quiet).unwrap();
    for word in needles {
        assert!(holders(&house, &storage, word).contains(&"packs"), "{word} is deleted, not erased yet");
    }
    compact(&storage).unwrap();
    for word in needles {
        assert_eq!(holders(&house, &storage, word), Vec::<&str>::new(), "{word}");
    }
    assert_eq!(holders(&house, &storage, "qkeptneedle"), ["index", "packs"]);
    // Nothing of it in the cards, which are compressed.
    for no in 0..the_store(&storage).next_msg().0 {
        let (_, cards) = the_store(&storage).group(MsgNo(no)).unwrap();
        assert!(cards.iter().all(|card| find(&card.envelope, b"qsubjneedle").is_none()));
    }
    let keys = the_store(&storage).db.keys(0..the_store(&storage).next_msg().0).unwrap();
    assert!(keys.iter().all(|keys| !keys.subject.contains("QSUBJNEEDLE")));
    assert!(keys.iter().any(|keys| !keys.subject.is_empty()), "those that stay have theirs");
    sound(&storage);
    storage.close().unwrap();
    for word in needles {
        assert_eq!(holders(&house, &storage, word), Vec::<&str>::new(), "{word}, closed");
    }
}

#[test]
fn a_cancel_or_damage_leaves_everything_as_it_was() {
    let house = House::new();
    let storage = house.open();
    history(&storage);
    storage.wait_for_index(&Cancel::default()).unwrap();
    let before = shown(&storage);
    let files = |house: &House| house.arc().list(&house.store_dir().join("packs")).unwrap();
    let packs = files(&house);
    for most in [0, 3, 9, 14] {
        let cancel = Cancel::default();
        let mut calls = 0;
        let mut stop = |_, _| {
            calls += 1;
            if calls > most {
                cancel.set();
            }
        };
        let done = storage.compact_store("0001", &cancel, &mut stop);
        assert!(matches!(done, Err(Error::Cancelled)), "{done:?}");
        assert_eq!(files(&house), packs);
    }
    assert_eq!(shown(&storage), before);
    archive(&storage, "alice/Inbox", &mail(90, 9), "90").unwrap();
    drop(storage);
    let database = house.store_dir().join("store.redb");
    let (whole, kept) = (house.disk.bytes(&house.pack(1)), house.disk.bytes(&database));
    // A bit of a message, and one of an early batch's facts.
    for at in [3_000, 20_000, whole.len() / 2] {
        house.disk.put(&house.pack(1), &whole);
        house.disk.put(&database, &kept);
        house.disk.damage(&house.pack(1), |bytes| bytes[at] ^= 1);
        let storage = house.open();
        let done = compact(&storage);
        assert!(done.is_err(), "byte {at}: {done:?}");
        assert_eq!(files(&house), packs, "byte {at}");
        assert!(house.arc().list(&house.store_dir()).unwrap().iter().all(|name| !name.contains("compact")));
        archive(&storage, "alice/Inbox", &mail(91 + at as u64, 9), "91").unwrap();
    }
}

/// The power is cut at every sync of a compaction: after it the store is the old or the new one, whole, and so it is after a
/// cut while that is being finished.
#[test]
fn a_crash_at_any_sync_leaves_the_old_or_the_new_store() {
    let house = House::with(Limits { max_pack_bytes: 400_000, ..Limits::default() });
    let storage = house.open();
    history(&storage);
    let before = shown(&storage);
    storage.close().unwrap();
    drop(storage);
    let (mut old, mut new) = (0, 0);
    for sync in 0.. {
        let at = house.after(Loss::Keep);
        let storage = at.open();
        at.disk.crash_at_sync(sync);
        let done = compact(&storage);
        drop(storage);
        if !at.disk.crashed() {
            done.unwrap();
            break;
        }
        for loss in [Loss::Keep, Loss::Drop, Loss::Tear(sync), Loss::Tear(sync + 500)] {
            let what = format!("sync {sync}, {loss:?}");
            let after = at.after(loss);
            // Opening finishes the work; it is cut once more, and goes on.
            after.disk.crash_at_sync(sync % 4);
            drop(after.try_open());
            let after = after.after(Loss::Keep);
            let storage = after.open();
            assert_eq!(shown(&storage), before, "{what}");
            let erased = the_store(&storage).db.is_erased(MsgNo(0)).unwrap();
            if erased {
                new += 1
            } else {
                old += 1
            }
            sound(&storage);
            let names = after.arc().list(&after.store_dir()).unwrap();
            assert!(names.iter().all(|name| !name.contains("compact")), "{what}: {names:?}");
            compact(&storage).unwrap();
            archive(&storage, "alice/Inbox", &mail(99, 9), "99").unwrap();
            sound(&storage);
        }
    }
    assert!(old > 20 && new > 5, "{old} old, {new} new");
}
