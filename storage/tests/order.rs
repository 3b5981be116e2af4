//! SORT and THREAD over a real store: against a plain sort of what the messages say, over folders whose messages came out of
//! order, over several batches, reopened, rebuilt, and over several stores.

#![expect(clippy::unwrap_used, reason = "a test helper fails by panicking")]

use std::cmp::Ordering;
use storage::order::{By, Criterion, Threading, Token};
use storage::{
    Cancel, Error, FolderPath, FolderView, Incoming, InternalDate, Limits, MasterKey, NewPlacement, Prepared,
    SourceFlags, Storage, Uid, UidRanges,
};

const COUNT: usize = 700;
const SUBJECTS: [&str; 7] =
    ["beta", "Re: Alpha", "alpha", "[list] \u{e9}t\u{e9}", "", "Fwd: beta", "gamma (fwd)"];
const BASES: [&str; 7] = ["BETA", "ALPHA", "ALPHA", "E\u{301}TE\u{301}", "", "BETA", "GAMMA"];
const FROM: [(&str, &str, &str); 4] = [
    ("Zoe <a@x>", "A", "ZOE"),
    ("b@y", "B", "B@Y"),
    ("Aaron <B@z>, Zoe <0@x>", "B", "AARON"),
    ("team: c@x;", "TEAM", "TEAM"),
];

/// Message `n`; one in five has no Date.
fn raw(n: usize) -> String {
    let date = if n.is_multiple_of(5) {
        String::new()
    } else {
        format!("Date: {} Mar 2021 10:00:00 +0000\n", n * 7 % 28 + 1)
    };
    format!(
        "From: {}\nTo: {}\nCc: {}\n{date}Subject: {}\nMessage-ID: <{n}@x>\nReferences: <{}@x>\n\n{}\n",
        FROM[n % 4].0,
        FROM[n / 4 % 4].0,
        FROM[n / 16 % 4].0,
        SUBJECTS[n % 7],
        // A third has a parent that came before, a third one that comes later, the others' is not there.
        match n % 3 {
            0 => n / 2,
            1 => n + 1,
            _ => 1_000_000 + n % 50,
        },
        "x".repeat(n % 11)
    )
}

fn arrival(n: usize) -> i64 {
    1_614_000_000 + (n as i64 * 37 % 91) * 40_000
}

/// What message `n` compares by, as text that compares as its values do.
fn value(n: usize, by: By, size: u64) -> String {
    let number = |n: i64| format!("{n:020}");
    match by {
        By::Arrival => number(arrival(n)),
        By::Date if n.is_multiple_of(5) => number(arrival(n)),
        By::Date => number(1_614_592_800 + (n as i64 * 7 % 28) * 86_400),
        By::Size => number(size as i64),
        By::Subject => BASES[n % 7].to_owned(),
        By::From => FROM[n % 4].1.to_owned(),
        By::DisplayFrom => FROM[n % 4].2.to_owned(),
        By::To => FROM[n / 4 % 4].1.to_owned(),
        By::DisplayTo => FROM[n / 4 % 4].2.to_owned(),
        By::Cc => FROM[n / 16 % 4].1.to_owned(),
        By::Relevancy => unreachable!("the test sorts by scores elsewhere"),
    }
}

const ALL: [By; 9] =
    [By::Arrival, By::Cc, By::Date, By::From, By::Size, By::Subject, By::To, By::DisplayFrom, By::DisplayTo];

fn path() -> FolderPath {
    FolderPath::new("alice/In").unwrap()
}

/// Archives messages; `UIDs` count in the order given.
fn archive(storage: &Storage, numbers: impl Iterator<Item = usize>) {
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    let folder = batch.folder(&path()).unwrap();
    for n in numbers {
        let incoming = Incoming::read(raw(n).as_bytes(), Vec::new(), storage.limits()).unwrap();
        let placement = NewPlacement {
            date: InternalDate { secs: arrival(n), zone: 60 },
            flags: SourceFlags::default(),
            source: "test",
            occurrence: &n.to_string(),
        };
        batch.add(folder, Prepared::new(incoming, storage.limits()), &placement).unwrap();
    }
    batch.commit().unwrap();
}

/// Which message has which UID, and its size.
fn messages(storage: &Storage, view: &FolderView) -> Vec<(Uid, usize, u64)> {
    let mut all = Vec::new();
    let mut rows = storage.rows(view, &view.uids);
    while let Some(batch) = rows.next_batch().unwrap() {
        for row in batch {
            let header = storage.message(&row).unwrap().header().unwrap();
            let header = String::from_utf8_lossy(&header).into_owned();
            let id = header.split("Message-ID: <").nth(1).unwrap().split('@').next().unwrap();
            all.push((row.uid, id.parse().unwrap(), row.size));
        }
    }
    all
}

fn compare(storage: &Storage) {
    let view = storage.view(&path()).unwrap();
    let all = messages(storage, &view);
    assert_eq!(all.len(), COUNT);
    let some: UidRanges = all.iter().filter(|(_, n, _)| n % 9 != 4).map(|(uid, ..)| *uid).collect();
    let mut lists: Vec<Vec<Criterion>> = Vec::new();
    for by in ALL {
        for reverse in [false, true] {
            lists.push(vec![Criterion { by, reverse }]);
            lists.push(vec![Criterion { by: By::Subject, reverse: !reverse }, Criterion { by, reverse }]);
        }
        // The same again decides nothing.
        let again = [(by, true), (by, false), (By::Size, true)];
        lists.push(again.map(|(by, reverse)| Criterion { by, reverse }).to_vec());
    }
    for (criteria, uids) in lists.iter().flat_map(|list| [(list, &*view.uids), (list, &some)]) {
        let mut expected: Vec<_> = all.iter().filter(|(uid, ..)| uids.contains(*uid)).collect();
        expected.sort_by(|a, b| {
            for c in criteria {
                let order = value(a.1, c.by, a.2).as_bytes().cmp(value(b.1, c.by, b.2).as_bytes());
                if order != Ordering::Equal {
                    return if c.reverse { order.reverse() } else { order };
                }
            }
            a.0.cmp(&b.0)
        });
        let expected: Vec<Uid> = expected.into_iter().map(|(uid, ..)| *uid).collect();
        let found = storage.sort(&view, uids, criteria, &[], &Cancel::default()).unwrap();
        assert_eq!(found, expected, "{criteria:?}");
    }
    for by in [Threading::References, Threading::OrderedSubject] {
        let mut depth = 0;
        let mut seen = Vec::new();
        for token in storage.thread(&view, &some, by, &Cancel::default()).unwrap().walk() {
            match token {
                Token::Open => depth += 1,
                Token::Close => depth -= 1,
                Token::Message(uid) => seen.push(uid),
            }
        }
        assert_eq!(depth, 0);
        seen.sort();
        assert_eq!(seen, some.iter().collect::<Vec<_>>(), "each message once: {by:?}");
    }
}

fn relevancy(storage: &Storage) {
    let view = storage.view(&path()).unwrap();
    let all = messages(storage, &view);
    let words = ["beta".to_owned(), "zoe".to_owned()];
    let scores = storage.relevancy(&view, &view.uids, &words, &Cancel::default()).unwrap();
    assert_eq!(scores.len(), COUNT);
    for ((_, n, _), score) in all.iter().zip(&scores) {
        let subject = if BASES[n % 7] == "BETA" { 100 } else { 20 };
        let people = if FROM[n % 4].2 == "ZOE" || FROM[n / 4 % 4].2 == "ZOE" { 65 } else { 20 };
        assert_eq!(u32::from(*score), (subject + people) / 2, "message {n}");
    }
    let by = |reverse| {
        let criteria = [Criterion { by: By::Relevancy, reverse }];
        storage.sort(&view, &view.uids, &criteria, &scores, &Cancel::default()).unwrap()
    };
    let mut expected: Vec<_> = all.iter().map(|(uid, ..)| *uid).zip(&scores).collect();
    expected.sort_by_key(|(uid, score)| (std::cmp::Reverse(**score), *uid));
    assert!(by(false).into_iter().eq(expected.iter().map(|(uid, _)| *uid)));
    expected.sort_by_key(|(uid, score)| (**score, *uid));
    assert!(by(true).into_iter().eq(expected.iter().map(|(uid, _)| *uid)));
}

/// The threads as they are written.
fn threads(storage: &Storage) -> Vec<Token> {
    let view = storage.view(&path()).unwrap();
    let forest = storage.thread(&view, &view.uids, Threading::References, &Cancel::default()).unwrap();
    forest.walk().collect()
}

#[test]
fn every_order_is_the_plain_sorts() {
    let (dir, key) = (tempfile::tempdir().unwrap(), MasterKey::generate().unwrap());
    Storage::create(dir.path(), &key, &Limits::default()).unwrap();
    let open = |limits| Storage::open(dir.path(), &key, limits).unwrap();
    let storage = open(Limits::default());
    // Batches of all sizes, so that groups are filled up and begun anywhere.
    let mut from = 0;
    for size in [1, 2, 250, 5, 300, 1, 141] {
        archive(&storage, (from..from + size).rev());
        from += size;
    }
    assert_eq!(from, COUNT);
    compare(&storage);
    relevancy(&storage);
    let before = threads(&storage);
    storage.close().unwrap();
    drop(storage);
    // As they were, and made again from the packs alone.
    for remove in [false, true] {
        if remove {
            std::fs::remove_file(dir.path().join("stores/0001/store.redb")).unwrap();
        }
        let storage = open(Limits::default());
        compare(&storage);
        assert_eq!(threads(&storage), before);
        storage.close().unwrap();
    }
    // A time limit and a caller that has gone end both.
    let storage = open(Limits { search_time_secs: 0, ..Limits::default() });
    let view = storage.view(&path()).unwrap();
    let by = [Criterion { by: By::Date, reverse: false }];
    let (patient, gone) = (Cancel::default(), Cancel::default());
    gone.set();
    assert!(matches!(storage.sort(&view, &view.uids, &by, &[], &patient), Err(Error::SearchTime { .. })));
    assert!(matches!(storage.sort(&view, &view.uids, &by, &[], &gone), Err(Error::Cancelled)));
    let thread = |cancel| storage.thread(&view, &view.uids, Threading::References, cancel);
    assert!(matches!(thread(&patient), Err(Error::SearchTime { .. })));
    assert!(matches!(thread(&gone), Err(Error::Cancelled)));
}

#[test]
fn many_stores_sort_as_one() {
    let (dir, key) = (tempfile::tempdir().unwrap(), MasterKey::generate().unwrap());
    let limits = Limits { max_store_messages: 200, ..Limits::default() };
    Storage::create(dir.path(), &key, &limits).unwrap();
    let storage = Storage::open(dir.path(), &key, limits).unwrap();
    for from in (0..COUNT).step_by(100) {
        archive(&storage, from..from + 100);
    }
    assert!(storage.stores().len() > 2);
    compare(&storage);
    let one = tempfile::tempdir().unwrap();
    Storage::create(one.path(), &key, &Limits::default()).unwrap();
    let alone = Storage::open(one.path(), &key, Limits::default()).unwrap();
    archive(&alone, 0..COUNT);
    assert_eq!(threads(&storage), threads(&alone));
}
