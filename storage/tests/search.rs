//! Search over a real store: archived, killed, reopened, with its index deleted; every answer is what the messages say.

#![expect(clippy::unwrap_used, reason = "a test helper fails by panicking")]

use std::path::Path;
use storage::search::{Day, Key};
use storage::{
    Cancel, Error, FolderPath, FolderView, Incoming, InternalDate, Limits, MasterKey, NewPlacement, Prepared,
    SourceFlags, Storage,
};

const COUNT: usize = 60;

/// Message `n`: words that lie inside others, across lines, encoded, in HTML, in a machine header.
fn raw(n: usize) -> String {
    let body = match n % 4 {
        0 => format!("\nPlain text, line one of {n}\nline two: Abschlussrechnung {}.\n", n * n),
        1 => format!(
            "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n{}\n",
            "R3LDvMOfZSBhdXMgS8O2bG4K"
        ),
        2 => format!(
            "Content-Type: text/html; charset=utf-8\n\n<p>Zahl <b>number</b>{n}</p><script>hidden()</script>\n"
        ),
        _ => format!(
            "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; charset=utf-8\n\n日本語の検索 {n}\n\
             --b\nContent-Type: application/pdf; name=\"Rechnung-{n}.pdf\"\nContent-Transfer-Encoding: base64\n\nAAAA\n--b--\n"
        ),
    };
    format!(
        "Received: from relay{n}.example.net by mx.example.org; Mon, 2 Mar 2020 10:00:00 +0000\n\
         From: =?utf-8?q?J=C3=BCrgen?= <juergen{n}@example.org>\nTo: list@example.org\nSubject: Report {n}:\n  status -> done\n\
         Date: {} Mar 2021 23:30:00 -0800\nX-Mailer: Pigeon {}\n{body}",
        n % 28 + 1,
        n % 3
    )
}

struct Place {
    dir: tempfile::TempDir,
    key: MasterKey,
}

impl Place {
    fn new() -> Place {
        let (dir, key) = (tempfile::tempdir().unwrap(), MasterKey::generate().unwrap());
        Storage::create(dir.path(), &key, &Limits::default()).unwrap();
        Place { dir, key }
    }
    fn open(&self, limits: Limits) -> Storage {
        Storage::open(self.dir.path(), &self.key, limits).unwrap()
    }
    fn index(&self) -> std::path::PathBuf {
        self.dir.path().join("stores/0001/index")
    }
}

fn archive(storage: &Storage, numbers: std::ops::Range<usize>) {
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    let folder = batch.folder(&FolderPath::new("alice/In").unwrap()).unwrap();
    for n in numbers {
        let incoming = Incoming::read(raw(n).as_bytes(), Vec::new(), storage.limits()).unwrap();
        let placement = NewPlacement {
            date: InternalDate { secs: n as i64 * 86_400, zone: 0 },
            flags: SourceFlags::default(),
            source: "test",
            occurrence: &n.to_string(),
        };
        batch.add(folder, Prepared::new(incoming, storage.limits()), &placement).unwrap();
    }
    batch.commit().unwrap();
}

fn view(storage: &Storage) -> FolderView {
    storage.view(&FolderPath::new("alice/In").unwrap()).unwrap()
}

fn found(storage: &Storage, key: &Key) -> Vec<usize> {
    let uids = storage.search(&view(storage), key, &Cancel::default()).unwrap();
    let all: Vec<_> = view(storage).uids.iter().collect();
    uids.iter().map(|uid| all.iter().position(|u| *u == uid).unwrap()).collect()
}

fn text(needle: &str) -> Key {
    Key::Text(needle.to_owned())
}

/// Whether message `n` matches.
type Matches = fn(usize) -> bool;

/// Keys with the messages that they match.
fn table() -> Vec<(Key, Matches)> {
    let header = |name: &str, needle: &str| Key::Header(name.to_owned(), needle.to_owned());
    vec![
        (text("schlussRECH"), |n| n % 4 == 0),
        (text("one of 8 line two"), |n| n == 8),
        (text("GRÜSSE aus"), |n| n % 4 == 1),
        (Key::Body("grüße aus köln".to_owned()), |n| n % 4 == 1),
        (text("number"), |n| n % 4 == 2),
        (text("hidden"), |_| false),
        (text("本語の"), |n| n % 4 == 3),
        (text("語"), |n| n % 4 == 3),
        (text("rechnung-7.pdf"), |n| n == 7),
        (text("->"), |_| true),
        (text(": status -> done"), |_| true),
        (Key::Body("->".to_owned()), |_| false),
        (text("relay"), |_| false),
        (header("received", "relay5."), |n| n == 5),
        (header("From", "JÜRGEN <juergen1"), |n| n == 1 || n / 10 == 1),
        (text("from: jürgen <juergen2@"), |n| n == 2),
        (header("x-mailer", "pigeon 2"), |n| n % 3 == 2),
        (header("x-mailer", ""), |_| true),
        (header("cc", ""), |_| false),
        (Key::SentOn(Day(18_687)), |n| n % 28 == 0),
        (Key::And(vec![text("->"), Key::Since(Day(50)), Key::Not(Box::new(text("zahl")))]), |n| {
            n >= 50 && n % 4 != 2
        }),
    ]
}

fn all_answers_are_right(storage: &Storage, when: &str) {
    for (key, matches) in table() {
        let truth: Vec<usize> = (0..COUNT).filter(|&n| matches(n)).collect();
        assert_eq!(found(storage, &key), truth, "{when}: {key:?}");
    }
}

#[test]
fn answers_are_the_same_with_any_index() {
    let place = Place::new();
    let storage = place.open(Limits::default());
    for from in (0..COUNT).step_by(20) {
        archive(&storage, from..from + 20);
    }
    all_answers_are_right(&storage, "just archived");
    storage.wait_for_index(&Cancel::default()).unwrap();
    assert_eq!(storage.stores()[0].index_tail, 0);
    all_answers_are_right(&storage, "all indexed");
    storage.close().unwrap();
    drop(storage);

    let storage = place.open(Limits::default());
    all_answers_are_right(&storage, "reopened");
    storage.close().unwrap();
    drop(storage);
    std::fs::remove_dir_all(place.index()).unwrap();
    let storage = place.open(Limits::default());
    all_answers_are_right(&storage, "index deleted");
    storage.wait_for_index(&Cancel::default()).unwrap();
    all_answers_are_right(&storage, "index made anew");
    storage.close().unwrap();
    drop(storage);

    for file in files(&place.index()) {
        if file.extension().is_some_and(|e| e == "terms" || e == "docs") {
            let len = std::fs::metadata(&file).unwrap().len();
            std::fs::File::options().write(true).open(&file).unwrap().set_len(len / 2).unwrap();
        }
    }
    let storage = place.open(Limits::default());
    all_answers_are_right(&storage, "index damaged");
    storage.close().unwrap();
}

fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path()).collect()
}

#[test]
fn a_storage_dropped_without_close_loses_no_answer() {
    let place = Place::new();
    for from in (0..COUNT).step_by(20) {
        let storage = place.open(Limits::default());
        archive(&storage, from..from + 20);
        drop(storage);
    }
    let storage = place.open(Limits::default());
    all_answers_are_right(&storage, "dropped three times");
    storage.wait_for_index(&Cancel::default()).unwrap();
    all_answers_are_right(&storage, "caught up");
    storage.close().unwrap();
}

#[test]
fn an_older_view_stays_as_it_was() {
    let place = Place::new();
    let storage = place.open(Limits::default());
    archive(&storage, 0..20);
    let before = view(&storage);
    archive(&storage, 20..40);
    for key in [text("->"), text("report"), Key::All, Key::Not(Box::new(Key::Nothing))] {
        let uids = storage.search(&before, &key, &Cancel::default()).unwrap();
        assert_eq!(uids, *before.uids, "{key:?}");
        assert_eq!(found(&storage, &key).len(), 40, "{key:?}");
    }
    storage.close().unwrap();
}

#[test]
fn a_search_ends_when_cancelled_or_out_of_time() {
    let place = Place::new();
    let storage = place.open(Limits { search_time_secs: 0, ..Limits::default() });
    archive(&storage, 0..20);
    let out_of_time = storage.search(&view(&storage), &text("->"), &Cancel::default());
    assert!(matches!(out_of_time, Err(Error::SearchTime { secs: 0 })), "{out_of_time:?}");
    let cancel = Cancel::default();
    cancel.set();
    let cancelled = storage.search(&view(&storage), &text("->"), &cancel);
    assert!(matches!(cancelled, Err(Error::Cancelled)), "{cancelled:?}");
    storage.close().unwrap();
    drop(storage);
    let storage = place.open(Limits::default());
    assert_eq!(found(&storage, &text("->")).len(), 20);
    storage.close().unwrap();
}

#[test]
fn text_beyond_the_limit_is_neither_indexed_nor_found() {
    let place = Place::new();
    let limits = Limits { max_text_bytes: 2_000, ..Limits::default() };
    let storage = place.open(limits.clone());
    let mut batch = storage.batch(&Cancel::default()).unwrap();
    let folder = batch.folder(&FolderPath::new("alice/In").unwrap()).unwrap();
    for (n, filler) in [(0, 1_000), (1, 3_000)] {
        let raw = format!("Subject: s{n}\n\n{} sought", "fill ".repeat(filler / 5));
        let incoming = Incoming::read(raw.as_bytes(), Vec::new(), &limits).unwrap();
        let placement = NewPlacement {
            date: InternalDate { secs: 0, zone: 0 },
            flags: SourceFlags::default(),
            source: "test",
            occurrence: "1",
        };
        batch.add(folder, Prepared::new(incoming, &limits), &placement).unwrap();
    }
    batch.commit().unwrap();
    for when in ["scanned", "indexed"] {
        assert_eq!(found(&storage, &text("sought")), [0], "{when}");
        assert_eq!(found(&storage, &text("fill sought")), [0], "{when}");
        storage.wait_for_index(&Cancel::default()).unwrap();
    }
    storage.close().unwrap();
}

#[test]
fn writers_side_by_side_leave_nothing_out_of_the_index() {
    let place = Place::new();
    let storage = place.open(Limits::default());
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let storage = &storage;
            scope.spawn(move || {
                for n in 0..40 {
                    let n = writer * 40 + n;
                    archive(storage, n..n + 1);
                }
            });
        }
    });
    storage.wait_for_index(&Cancel::default()).unwrap();
    let store = storage.stores().remove(0);
    assert_eq!((store.messages, store.index_tail), (160, 0));
}
