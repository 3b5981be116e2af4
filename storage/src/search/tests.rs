//! Searches over made-up mail in memory, each answer compared with a plain scan: random trees of keys with needles cut from the texts,
//! indexes deleted, of another version, damaged, abandoned half-way, and the bounds that clients reach.

use super::index::Indexer;
use super::list::List;
use super::plan::{Ground, Plan, Source};
use super::scan::Folded;
use super::{Day, Flag, Key};
use crate::text::{Field, SearchText, fold, is_machine_header};
use crate::{Cancel, Error, InternalDate, Limits, ModSeq, MsgNo, Row, SourceFlags, Uid, UidRanges};
use proptest::prelude::*;
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

/// Mail in memory: texts by message number, and a folder's rows over them.
#[derive(Debug)]
struct Mail {
    texts: Vec<SearchText>,
    rows: Vec<Row>,
    texts_read: Cell<usize>,
    fields_read: Cell<usize>,
}

impl Source for Mail {
    fn fields(&self, message: MsgNo) -> Result<Arc<Vec<Field>>, Error> {
        self.fields_read.set(self.fields_read.get() + 1);
        Ok(Arc::new(self.texts[message.0 as usize].fields.clone()))
    }
    fn text(&self, message: MsgNo) -> Result<Arc<Folded>, Error> {
        self.texts_read.set(self.texts_read.get() + 1);
        Ok(Arc::new(Folded::new(&self.texts[message.0 as usize])))
    }
}

impl Mail {
    /// Every message once, in order; every fifth a second time at the end.
    fn new(texts: Vec<SearchText>) -> Mail {
        let count = texts.len() as u32;
        let row = |at: u32, msg: u32| Row {
            uid: Uid(at * 2 + 7),
            store: crate::StoreNo(0),
            msg: MsgNo(msg),
            date: InternalDate {
                secs: i64::from(msg) * 40_000 - 86_400,
                zone: [0, 120, -720][msg as usize % 3],
            },
            sent_day: (!msg.is_multiple_of(4)).then_some(msg as i32 / 2 - 1),
            size: u64::from(msg) * 10,
            flags: SourceFlags {
                answered: msg.is_multiple_of(2),
                flagged: msg.is_multiple_of(3),
                forwarded: msg.is_multiple_of(7),
            },
            mod_seq: ModSeq(u64::from(msg / 4)),
            came: ModSeq(u64::from(msg / 4)),
        };
        let twice = (0..count).step_by(5);
        let rows = (0..count).chain(twice).zip(0..).map(|(msg, at)| row(at, msg)).collect();
        Mail { texts, rows, texts_read: Cell::new(0), fields_read: Cell::new(0) }
    }

    fn numbered(&self, from: usize, to: usize) -> Vec<(MsgNo, SearchText)> {
        (from..to).map(|n| (MsgNo(n as u32), self.texts[n].clone())).collect()
    }

    fn search(&self, indexer: Option<&Indexer>, key: &Key) -> Vec<u32> {
        let snapshot = indexer.map(Indexer::snapshot);
        let ground = Ground {
            rows: &self.rows,
            snapshot: snapshot.as_deref(),
            check: &|| Ok(()),
            damaged: &|what| panic!("the index fails: {what}"),
        };
        self.texts_read.set(0);
        self.fields_read.set(0);
        Plan::new(key).run(&ground, self).unwrap().iter().collect()
    }

    /// The plain scan: the meaning of every key, written down as simply as it can be.
    fn scan(&self, key: &Key) -> Vec<u32> {
        (0u32..).zip(&self.rows).filter(|(_, row)| self.matches(row, key)).map(|(at, _)| at).collect()
    }

    fn matches(&self, row: &Row, key: &Key) -> bool {
        let text = &self.texts[row.msg.0 as usize];
        let has = |value: &str, needle: &str| fold(value).contains(&fold(needle));
        let in_body = |needle: &str| needle.is_empty() || text.body.iter().any(|entry| has(entry, needle));
        let arrived = (row.date.secs + i64::from(row.date.zone) * 60).div_euclid(86_400);
        let sent = row.sent_day.map(i64::from);
        match key {
            Key::All => true,
            Key::Nothing => false,
            Key::Text(needle) => {
                let line = |f: &Field| format!("{}: {}", f.name, f.value);
                in_body(needle)
                    || text.fields.iter().any(|f| !is_machine_header(&f.name) && has(&line(f), needle))
            }
            Key::Body(needle) => in_body(needle),
            Key::Header(name, needle) => {
                text.fields.iter().any(|f| f.name.eq_ignore_ascii_case(name) && has(&f.value, needle))
            }
            Key::Before(Day(day)) => arrived < *day,
            Key::On(Day(day)) => arrived == *day,
            Key::Since(Day(day)) => arrived >= *day,
            Key::ArrivedUntil(moment) => row.date.secs <= *moment,
            Key::ArrivedFrom(moment) => row.date.secs >= *moment,
            Key::SentBefore(Day(day)) => sent.is_some_and(|s| s < *day),
            Key::SentOn(Day(day)) => sent.is_some_and(|s| s == *day),
            Key::SentSince(Day(day)) => sent.is_some_and(|s| s >= *day),
            Key::Larger(n) => row.size > *n,
            Key::Smaller(n) => row.size < *n,
            Key::Uids(uids) => uids.contains(row.uid),
            Key::Flag(flag) => row.flags.has(*flag),
            Key::ModSeq(n) => row.mod_seq.0 >= *n,
            Key::And(keys) => keys.iter().all(|k| self.matches(row, k)),
            Key::Or(keys) => keys.iter().any(|k| self.matches(row, k)),
            Key::HasAttachment | Key::FileName(_) => panic!("this mail has no cards"),
            Key::Saved(..) | Key::Identity(_) | Key::Conversation(_) => panic!("these are looked up"),
            Key::Not(key) => !self.matches(row, key),
        }
    }
}

fn limits() -> Limits {
    Limits { index_memory_bytes: 16 << 20, ..Limits::default() }
}

fn open(dir: &Path, messages: usize) -> Indexer {
    Indexer::open(dir, &limits(), MsgNo(messages as u32)).unwrap()
}

/// An index with the first messages committed in a few commits, so that there are several segments.
fn indexed(dir: &Path, mail: &Mail, messages: usize, step: usize) -> Indexer {
    let indexer = open(dir, mail.texts.len());
    fill(&indexer, mail, messages, step);
    indexer
}

fn fill(indexer: &Indexer, mail: &Mail, messages: usize, step: usize) {
    while (indexer.next().0 as usize) < messages {
        let from = indexer.next().0 as usize;
        indexer.submit(mail.numbered(from, (from + step.max(1)).min(messages))).unwrap();
        indexer.wait(&Cancel::default()).unwrap();
    }
    assert_eq!(indexer.watermark(), indexer.next());
}

/// Words in scripts that fold, join, part and lack blanks in their own ways.
const WORDS: [&str; 36] = [
    "Abschlussrechnung",
    "Rechnung",
    "STRASSE",
    "Straße",
    "İstanbul",
    "ISPARTA",
    "ılık",
    "naïve",
    "cafe\u{301}",
    "ﬁnance",
    "日本語の検索",
    "東京都",
    "カタカナ",
    "한국어",
    "สวัสดีครับ",
    "ภาษาไทย",
    "مرحبا",
    "اللُّغَة",
    "привет",
    "Ελλάδα",
    "ὈΔΥΣΣΕΎΣ",
    "x86_64",
    "foo-bar",
    "user@example.org",
    "https://example.org/a?b=c",
    "--",
    "1,024",
    "v6.1-rc3",
    "C++",
    "a",
    "ab",
    "\u{ad}",
    "👍🏽",
    "zero\u{200b}width",
    "\u{a0}",
    "MAN-PAGES",
];

fn entry() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        12 => prop::sample::select(WORDS.to_vec()).prop_map(str::to_owned),
        1 => (17usize..150).prop_map(|n| "Long0Run".chars().cycle().take(n).collect::<String>()),
        1 => (3usize..90).prop_map(|n| "長い文字列".chars().cycle().take(n).collect::<String>()),
    ];
    let gap = prop::sample::select(vec![" ", " ", " ", "\r\n", "  ", "\t", ", ", "/", "", "\u{3000}"]);
    prop::collection::vec((word, gap), 0..12)
        .prop_map(|all| all.into_iter().flat_map(|(w, g)| [w, g.to_owned()]).collect())
}

fn text() -> impl Strategy<Value = SearchText> {
    let names = vec![
        "Subject",
        "From",
        "To",
        "cc",
        "Bcc",
        "X-Mailer",
        "List-Id",
        "Received",
        "DKIM-Signature",
        "x-Ä",
        "SUBJECT",
    ];
    let field = (prop::sample::select(names), entry())
        .prop_map(|(name, value)| Field { name: name.to_owned(), value });
    let fields = prop::collection::vec(field, 0..6);
    (fields, prop::collection::vec(entry(), 0..3)).prop_map(|(fields, body)| SearchText {
        fields,
        body,
        cut: false,
    })
}

/// A needle's seed: where in all texts it is cut, how long, and what is done to it.
fn cut(mail: &Mail, seed: (usize, usize, u8)) -> String {
    let (from, chars, change) = seed;
    let all: Vec<&str> = mail
        .texts
        .iter()
        .flat_map(|t| {
            t.fields
                .iter()
                .flat_map(|f| [f.name.as_str(), f.value.as_str()])
                .chain(t.body.iter().map(String::as_str))
        })
        .filter(|s| !s.is_empty())
        .collect();
    let Some(text) = all.get(from % all.len().max(1)) else { return "nothing".to_owned() };
    let start = (from / 7) % text.chars().count();
    let taken: String = text.chars().skip(start).take(chars).collect();
    match change % 6 {
        0 => taken.to_uppercase(),
        1 => taken.to_lowercase(),
        2 => taken.split_whitespace().collect::<Vec<_>>().join("  "),
        3 => taken.chars().rev().collect(),
        _ => taken,
    }
}

#[derive(Debug, Clone)]
enum Seed {
    Text(u8, (usize, usize, u8)),
    Column(u8, i64),
    And(Vec<Seed>),
    Or(Vec<Seed>),
    Not(Box<Seed>),
}

fn seeds() -> impl Strategy<Value = Seed> {
    let needle =
        (any::<usize>(), prop_oneof![3 => 0usize..5, 3 => 5usize..20, 1 => 20usize..200], any::<u8>());
    let leaf = prop_oneof![
        3 => (any::<u8>(), needle).prop_map(|(kind, needle)| Seed::Text(kind, needle)),
        1 => (any::<u8>(), -2i64..40).prop_map(|(kind, n)| Seed::Column(kind, n)),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Seed::And),
            prop::collection::vec(inner.clone(), 0..4).prop_map(Seed::Or),
            inner.prop_map(|s| Seed::Not(Box::new(s))),
        ]
    })
}

fn key(mail: &Mail, seed: &Seed) -> Key {
    match seed {
        Seed::Text(kind, needle) => {
            let needle = cut(mail, *needle);
            let names =
                ["Subject", "from", "TO", "Cc", "bcc", "X-MAILER", "list-id", "Received", "x-Ä", "absent"];
            match usize::from(*kind) % 20 {
                0..6 => Key::Text(needle),
                6..10 => Key::Body(needle),
                at => Key::Header(names[at - 10].to_owned(), needle),
            }
        }
        Seed::Column(kind, n) => {
            let (day, size) = (Day(*n), n.unsigned_abs());
            match kind % 13 {
                0 => Key::Before(day),
                1 => Key::On(day),
                2 => Key::Since(day),
                3 => Key::SentBefore(day),
                4 => Key::SentOn(day),
                5 => Key::SentSince(day),
                6 => Key::Larger(size * 10),
                7 => Key::Smaller(size * 10),
                8 => Key::Uids(UidRanges::from_spans([(size as u32, size as u32 + 9), (31, 33)])),
                9 => Key::Flag([Flag::Answered, Flag::Flagged, Flag::Forwarded][*n as usize % 3]),
                10 => Key::ModSeq(size / 2),
                11 => Key::All,
                _ => Key::Nothing,
            }
        }
        Seed::And(all) => Key::And(all.iter().map(|s| key(mail, s)).collect()),
        Seed::Or(all) => Key::Or(all.iter().map(|s| key(mail, s)).collect()),
        Seed::Not(inner) => Key::Not(Box::new(key(mail, inner))),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn every_answer_is_the_plain_scans(
        texts in prop::collection::vec(text(), 1..24),
        seeds in prop::collection::vec(seeds(), 60),
        share in 0usize..=4,
        step in 1usize..9,
    ) {
        let mail = Mail::new(texts);
        let dir = tempfile::tempdir().unwrap();
        // The last messages lie above the watermark, as they do while the index is behind.
        let below = mail.texts.len() * share.clamp(1, 3) / 3;
        let indexer = indexed(dir.path(), &mail, if share == 0 { 0 } else { below }, step);
        for seed in &seeds {
            let key = key(&mail, seed);
            prop_assert_eq!(mail.search(Some(&indexer), &key), mail.scan(&key), "{:?}", &key);
        }
        for seed in seeds.iter().take(5) {
            let key = key(&mail, seed);
            prop_assert_eq!(mail.search(None, &key), mail.scan(&key), "without index: {:?}", &key);
        }
    }
}

fn message(subject: &str, body: &str) -> SearchText {
    let field = |name: &str, value: &str| Field { name: name.to_owned(), value: value.to_owned() };
    SearchText {
        fields: vec![
            field("Subject", subject),
            field("From", "Ann <ann@example.org>"),
            field("Sender", "robot@example.org"),
            field("X-Mailer", "Pigeon 2.1"),
            field("Received", "from relay.example.net by mx.example.org"),
        ],
        body: vec![body.to_owned()],
        cut: false,
    }
}

fn small() -> Mail {
    let texts = (0..40).map(|n| {
        let word = WORDS[n % WORDS.len()];
        message(
            &format!("{word} number {n}"),
            &format!("some text with {word}\r\nand the next line, {}", n * n),
        )
    });
    Mail::new(texts.collect())
}

fn text_key(needle: &str) -> Key {
    Key::Text(needle.to_owned())
}

#[test]
fn one_word_is_answered_without_reading_a_message() {
    let mail = small();
    let dir = tempfile::tempdir().unwrap();
    let indexer = indexed(dir.path(), &mail, 40, 13);
    for needle in ["rechn", "umber", "INE", "x", "日本", "istanbul", "1024", "absentword"] {
        let key = text_key(needle);
        assert_eq!(mail.search(Some(&indexer), &key), mail.scan(&key), "{needle}");
        assert_eq!(mail.texts_read.get(), 0, "{needle}");
    }
    let header = |name: &str, needle: &str| Key::Header(name.to_owned(), needle.to_owned());
    for key in [
        text_key("text with"),
        text_key("xt wi"),
        text_key("line, 4"),
        text_key(", "),
        text_key("+"),
        text_key("subject: naïve"),
        Key::Body("--".to_owned()),
        header("subject", "number 3"),
        header("subject", "subject"),
        header("x-mailer", "pigeon 2.1"),
        header("x-mailer", "geon 3"),
        header("sender", "ann"),
        header("sender", ""),
        header("from", ""),
    ] {
        assert_eq!(mail.search(Some(&indexer), &key), mail.scan(&key), "{key:?}");
        assert_eq!((mail.texts_read.get(), mail.fields_read.get()), (0, 0), "{key:?}");
    }
    let on = mail.scan(&Key::On(Day(0))).len();
    let key = Key::And(vec![header("received", "relay"), Key::On(Day(0))]);
    assert_eq!(mail.search(Some(&indexer), &key).len(), on);
    assert!(on > 0 && mail.fields_read.get() == on, "dates narrow what is verified");
    assert_eq!(mail.texts_read.get(), 0, "headers need no body");
    let long = "some text with Abschlussrechnung and no more".replace(' ', "");
    let key = Key::And(vec![text_key(&format!("{long} x")), header("received", "absent")]);
    assert_eq!(mail.search(Some(&indexer), &key), Vec::<u32>::new());
    assert_eq!(mail.texts_read.get(), 0, "the header decides before the body is read");
}

#[test]
fn keys_mean_what_the_rfc_says() {
    let mail = small();
    let dir = tempfile::tempdir().unwrap();
    let indexer = indexed(dir.path(), &mail, 40, 40);
    let all = mail.rows.len();
    let header = |name: &str, needle: &str| Key::Header(name.to_owned(), needle.to_owned());
    for (key, count) in [
        (text_key(""), all),
        (Key::Body(String::new()), all),
        (text_key("relay.example.net"), 0),
        (header("received", "relay.example.net"), all),
        (header("Received", ""), all),
        (header("Bcc", ""), 0),
        (header("from", "robot"), 0),
        (header("sender", "robot"), all),
        (text_key("sender: robot"), all),
        (text_key("with straße and"), 4),
        (text_key("WITH STRASSE and"), 4),
        (text_key("org> sender"), 0),
        (Key::And(Vec::new()), all),
        (Key::Or(Vec::new()), 0),
        (Key::Not(Box::new(Key::Nothing)), all),
    ] {
        let found = mail.search(Some(&indexer), &key);
        assert_eq!(found, mail.scan(&key), "{key:?}");
        assert_eq!(found.len(), count, "{key:?}");
    }
}

#[test]
fn a_lost_old_or_damaged_index_is_made_anew() {
    let mail = small();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    let keys = [text_key("rechnung"), text_key("next line, 4"), text_key("日本語")];
    let answers: Vec<_> = keys.iter().map(|k| mail.scan(k)).collect();
    let same = |indexer: &Indexer| {
        for (key, answer) in keys.iter().zip(&answers) {
            assert_eq!(&mail.search(Some(indexer), key), answer, "{key:?}");
        }
    };
    indexed(&path, &mail, 40, 11).close().unwrap();
    let kept = open(&path, 40);
    assert_eq!(kept.watermark(), MsgNo(40), "closed in order, opened as it was");
    same(&kept);
    kept.close().unwrap();
    let few = open(&path, 39);
    assert_eq!(few.watermark(), MsgNo(0), "one message more than the store has: another store's index");
    same(&few);
    fill(&few, &mail, 39, 39);
    few.close().unwrap();

    std::fs::remove_dir_all(&path).unwrap();
    let deleted = open(&path, 40);
    assert_eq!(deleted.watermark(), MsgNo(0));
    same(&deleted);
    fill(&deleted, &mail, 40, 9);
    same(&deleted);
    deleted.close().unwrap();

    let mut list = List::load(&path).unwrap().unwrap();
    list.versions = list.versions.replace("text ", "text 99");
    list.save(&path).unwrap();
    let old = open(&path, 40);
    assert_eq!(old.watermark(), MsgNo(0), "another version");
    fill(&old, &mail, 40, 9);
    same(&old);
    drop(old);
    std::fs::write(path.join("segments"), "{").unwrap();
    let broken = open(&path, 40);
    assert_eq!(broken.watermark(), MsgNo(0));
    same(&broken);
}

#[test]
fn a_rotten_byte_is_noticed_the_answer_stays_right_and_the_next_opening_begins_anew() {
    let mail = small();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index");
    let keys = [text_key("rechnung"), text_key("next line, 4"), text_key("日本語"), text_key("e t")];
    indexed(&path, &mail, 40, 9).close().unwrap();
    let mut files: Vec<_> = std::fs::read_dir(&path).unwrap().map(|file| file.unwrap().path()).collect();
    files.retain(|file| file.file_name().is_some_and(|name| name != "segments"));
    assert_eq!(files.len(), 15);
    for file in files {
        let sound = std::fs::read(&file).unwrap();
        for place in [0, sound.len() / 3, sound.len() / 2, sound.len() - 1] {
            let mut bytes = sound.clone();
            bytes[place] ^= 0x40;
            std::fs::write(&file, bytes).unwrap();
            let what = format!("{} at {place}", file.display());
            let opened = open(&path, 40);
            let snapshot = opened.snapshot();
            if opened.watermark() == MsgNo(40) {
                let name = file.file_name().unwrap().to_str().unwrap();
                assert_eq!(opened.damaged_files(), [name], "{what}");
                for key in &keys {
                    let damaged = |what: &str| opened.report_damage(what);
                    let ground = Ground {
                        rows: &mail.rows,
                        snapshot: Some(&snapshot),
                        check: &|| Ok(()),
                        damaged: &damaged,
                    };
                    let found: Vec<u32> = Plan::new(key).run(&ground, &mail).unwrap().iter().collect();
                    assert_eq!(found, mail.scan(key), "{what}: {key:?}");
                }
                opened.report_damage("a test looks");
                opened.close().unwrap();
                assert_eq!(open(&path, 40).watermark(), MsgNo(0), "{what}");
            }
            drop(opened);
            std::fs::remove_dir_all(&path).unwrap();
            indexed(&path, &mail, 40, 9).close().unwrap();
            assert_eq!(std::fs::read(&file).unwrap(), sound, "an index of the same texts is the same");
        }
    }
    // Suspected wrongly.
    let opened = open(&path, 40);
    opened.report_damage("it was something else");
    assert!(opened.trouble().is_some());
    opened.close().unwrap();
    let again = open(&path, 40);
    assert_eq!((again.watermark(), again.trouble()), (MsgNo(40), None));
}

/// Enough commits that segments are merged, and merged ones again.
#[test]
fn merged_segments_answer_as_their_sources_did() {
    let texts = (0..300).map(|n| {
        let word = WORDS[n % WORDS.len()];
        let long = "abc".repeat(n % 90);
        message(&format!("{word} number {n}"), &format!("text {word} {long}{n}\r\nnext line, {}", n * n))
    });
    let mail = Mail::new(texts.collect());
    let dir = tempfile::tempdir().unwrap();
    let keys = ["number 29", "rechnung", "line, 4", "日本語", "e t", "abcabc1", "text", "--", "+", "9"]
        .map(text_key);
    let indexer = indexed(dir.path(), &mail, 300, 4);
    // While the writer has nothing else to do, too.
    while indexer.snapshot().segments() > 60 {
        std::thread::yield_now();
    }
    assert_eq!(indexer.trouble(), None);
    indexer.close().unwrap();
    let again = open(dir.path(), 300);
    assert!(again.snapshot().segments() < 75, "{}", again.snapshot().segments());
    for key in &keys {
        assert_eq!(mail.search(Some(&again), key), mail.scan(key), "{key:?}");
        assert_eq!(mail.texts_read.get(), 0);
    }
    assert_eq!(again.damaged_files(), Vec::<String>::new());
    let files = std::fs::read_dir(dir.path()).unwrap().count();
    again.close().unwrap();
    assert!(files <= 3 * again.snapshot().segments() + 1 + 3, "sources are removed");
}

#[test]
fn an_abandoned_writer_leaves_whole_commits_only() {
    let mail = small();
    let dir = tempfile::tempdir().unwrap();
    for committed in [0, 7, 40] {
        let path = dir.path().join(committed.to_string());
        let indexer = indexed(&path, &mail, committed, 5);
        indexer.submit(mail.numbered(committed, 40)).unwrap();
        drop(indexer);
        let again = open(&path, 40);
        let watermark = again.watermark().0 as usize;
        assert!(watermark == committed || watermark == 40, "{watermark}");
        assert_eq!(again.next(), again.watermark());
        for needle in ["number 3", "rechnung", "e"] {
            assert_eq!(mail.search(Some(&again), &text_key(needle)), mail.scan(&text_key(needle)));
        }
        fill(&again, &mail, 40, 40);
        for needle in ["number 3", "rechnung", "e"] {
            assert_eq!(mail.search(Some(&again), &text_key(needle)), mail.scan(&text_key(needle)));
        }
        again.close().unwrap();
    }
}

#[test]
fn texts_are_taken_in_order_and_once() {
    let mail = small();
    let dir = tempfile::tempdir().unwrap();
    let indexer = open(dir.path(), 40);
    assert_eq!(indexer.submit(mail.numbered(5, 9)).unwrap(), MsgNo(0), "a gap is not taken");
    assert_eq!(indexer.submit(mail.numbered(0, 6)).unwrap(), MsgNo(6));
    assert_eq!(indexer.submit(mail.numbered(3, 9)).unwrap(), MsgNo(9), "what is there is not taken twice");
    indexer.wait(&Cancel::default()).unwrap();
    assert_eq!(indexer.watermark(), MsgNo(9));
    let key = text_key("number");
    assert_eq!(mail.search(Some(&indexer), &key), mail.scan(&key));
    indexer.close().unwrap();
    indexer.close().unwrap();
    assert!(matches!(indexer.submit(mail.numbered(9, 10)), Err(Error::Index { .. })));
    assert_eq!(open(dir.path(), 40).watermark(), MsgNo(9));
}

#[test]
fn one_program_writes_an_index() {
    let dir = tempfile::tempdir().unwrap();
    let first = open(dir.path(), 40);
    assert!(matches!(Indexer::open(dir.path(), &limits(), MsgNo(40)), Err(Error::Index { .. })));
    drop(first);
    open(dir.path(), 40).close().unwrap();
}

#[test]
fn a_cancelled_wait_returns() {
    let mail = small();
    let dir = tempfile::tempdir().unwrap();
    let indexer = open(dir.path(), 40);
    indexer.submit(mail.numbered(0, 40)).unwrap();
    let cancel = Cancel::default();
    cancel.set();
    match indexer.wait(&cancel) {
        Ok(()) => assert_eq!(indexer.watermark(), MsgNo(40), "it had committed already"),
        Err(e) => assert!(matches!(e, Error::Cancelled), "{e}"),
    }
}

#[test]
fn the_check_ends_a_search_between_messages() {
    let mail = small();
    let left = Cell::new(20);
    let check = || {
        left.set(left.get() - 1);
        if left.get() == 0 { Err(Error::SearchTime { secs: 1 }) } else { Ok(()) }
    };
    let ground = Ground { rows: &mail.rows, snapshot: None, check: &check, damaged: &|_| {} };
    let key = text_key("->");
    assert!(matches!(Plan::new(&key).run(&ground, &mail), Err(Error::SearchTime { .. })));
    assert!(mail.texts_read.get() < 20);
}

#[test]
fn a_thousand_ors_and_a_huge_needle() {
    let mail = small();
    let dir = tempfile::tempdir().unwrap();
    let indexer = indexed(dir.path(), &mail, 35, 13);
    // As clients send them: each OR inside the one before, and NOT between them.
    let mut nested = text_key("nowhere at all");
    let mut crossed = text_key("naïve");
    for n in (0..1024).rev() {
        nested = Key::Or(vec![text_key(&format!("number {n}")), nested]);
        crossed = Key::Not(Box::new(Key::Or(vec![text_key(&format!("number {n}")), crossed])));
    }
    assert_eq!(mail.search(Some(&indexer), &nested).len(), mail.rows.len());
    assert_eq!(mail.search(Some(&indexer), &crossed), mail.scan(&crossed));
    let flat = Key::Or((10..1034).map(|n| text_key(&format!("number {n}"))).collect());
    assert_eq!(mail.search(Some(&indexer), &flat), mail.scan(&flat));

    let mut texts = mail.texts.clone();
    let run: String = ('a'..='z').cycle().take(70_000).collect();
    let prose: String = (0..9_000).map(|n| format!("{n} words, ")).collect();
    texts[3].body.push(run.clone());
    texts[4].body.push(prose.clone());
    let mail = Mail::new(texts);
    let path = dir.path().join("large");
    let indexer = indexed(&path, &mail, 35, 35);
    for (needle, row) in
        [(&run[..65_536], 3), (&run[4_464..], 3), (&prose[7..65_543], 4), (&run[..64], 3), (&run[..65], 3)]
    {
        assert_eq!(mail.search(Some(&indexer), &text_key(needle))[..1], [row]);
        let absent = format!("{needle}!");
        assert_eq!(mail.search(Some(&indexer), &text_key(&absent)), Vec::<u32>::new());
    }
}
