//! Attachments' text: found like any other text, the same from index and scan, whatever the extractor would say later.

use super::*;
use crate::attachments::AttachmentCounts;
use crate::search::Key;
use crate::{Extracted, FailedAttachment, TextExtractor};
use parking_lot::{Condvar, Mutex as Lock};
use std::sync::atomic::{AtomicU32, Ordering};

/// Takes `application/x-sheet` for text: what follows `text:` in it, with a word of the day behind; `fail:` is trouble.
#[derive(Debug, Default)]
struct Fake {
    asked: AtomicU32,
    day: Lock<String>,
    /// Closed: extractions wait.
    closed: Lock<bool>,
    opened: Condvar,
    version: AtomicU32,
}

impl Fake {
    fn today(word: &str) -> Arc<Fake> {
        let fake = Fake::default();
        word.clone_into(&mut fake.day.lock());
        Arc::new(fake)
    }
    fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }
    fn close(&self, closed: bool) {
        *self.closed.lock() = closed;
        self.opened.notify_all();
    }
}

impl TextExtractor for Fake {
    fn version(&self) -> u32 {
        self.version.load(Ordering::SeqCst)
    }
    fn may_have_text(&self, media_type: &str, file_name: &str) -> bool {
        media_type == "application/x-sheet" || file_name.ends_with(".sheet")
    }
    fn format(&self, _: &str, _: &str, bytes: &[u8]) -> Option<u8> {
        (!bytes.starts_with(b"other")).then_some(7)
    }
    fn extract(&self, format: u8, bytes: &[u8]) -> Extracted {
        assert_eq!(format, 7);
        self.asked.fetch_add(1, Ordering::SeqCst);
        let mut closed = self.closed.lock();
        while *closed {
            self.opened.wait(&mut closed);
        }
        let file = String::from_utf8_lossy(bytes).into_owned();
        let day = self.day.lock().clone();
        match file.split_once(':') {
            Some(("text", words)) => Extracted::Text { text: format!("{words} {day}"), trouble: None },
            Some(("part", words)) => {
                Extracted::Text { text: words.to_owned(), trouble: Some("page 2 is torn".to_owned()) }
            }
            Some(("fail", why)) => Extracted::Text { text: String::new(), trouble: Some(why.to_owned()) },
            Some(("off", _)) => Extracted::Off,
            _ => Extracted::Text { text: String::new(), trouble: None },
        }
    }
    fn max_bytes(&self) -> u64 {
        5_000
    }
    fn parallel(&self) -> usize {
        2
    }
}

fn open_with(house: &House, fake: &Arc<Fake>) -> Storage {
    let indexes = Some(house.index.path().to_owned());
    let extractor: Arc<dyn TextExtractor> = Arc::clone(fake) as _;
    open::open_extracting(
        &house.arc(),
        &house.data,
        indexes,
        &house.key,
        house.limits.clone(),
        Some(extractor),
    )
    .unwrap()
}

fn with_file(subject: &str, file: &str) -> Vec<u8> {
    use base64::Engine;
    let file = base64::engine::general_purpose::STANDARD.encode(file);
    format!(
        "Subject: {subject}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nbody of {subject}\r\n\
         --b\r\nContent-Type: application/x-sheet; name=\"{subject}.sheet\"\r\nContent-Transfer-Encoding: base64\r\n\r\n{file}\r\n--b--\r\n"
    )
    .into_bytes()
}

fn found(storage: &Storage, key: Key) -> Vec<u32> {
    let view = storage.view(&path("ann/Inbox")).unwrap();
    storage.search(&view, &key, &Cancel::default()).unwrap().iter().map(|uid| uid.0).collect()
}

fn body(storage: &Storage, word: &str) -> Vec<u32> {
    let text = found(storage, Key::Text(word.to_owned()));
    assert_eq!(found(storage, Key::Body(word.to_owned())), text, "{word}");
    text
}

fn put(storage: &Storage, subject: &str, file: &str) {
    archive(storage, "ann/Inbox", &with_file(subject, file), subject).unwrap();
}

fn settled(storage: &Storage) {
    storage.wait_for_index(&Cancel::default()).unwrap();
    let store = the_store(storage);
    assert_eq!(store.indexer().watermark(), store.next_msg());
}

fn counts(storage: &Storage) -> AttachmentCounts {
    storage.index_status()[0].attachments
}

#[test]
fn words_of_attachments_are_found_and_equal_ones_read_once() {
    let house = House::new();
    let fake = Fake::today("monday");
    let storage = open_with(&house, &fake);
    put(&storage, "one", "text:Abschlussrechnung 2024");
    archive(&storage, "ann/Inbox", &mail(1, 300), "plain").unwrap();
    put(&storage, "two", "text:Abschlussrechnung 2024");
    put(&storage, "three", "text:something else");
    put(&storage, "four", "other");
    // Right away, and when the index has it.
    for _ in 0..2 {
        assert_eq!(body(&storage, "schlussrech"), [1, 3]);
        assert_eq!(body(&storage, "RECHNUNG 2024 Monday"), [1, 3]);
        assert_eq!(body(&storage, "monday"), [1, 3, 4]);
        assert_eq!(body(&storage, "2024 something"), Vec::<u32>::new(), "not across attachments");
        assert_eq!(body(&storage, "one body"), Vec::<u32>::new());
        assert_eq!(body(&storage, "four.sheet"), [5]);
        settled(&storage);
    }
    assert_eq!(fake.asked(), 2);
    assert_eq!(counts(&storage), AttachmentCounts { text: 3, ..AttachmentCounts::default() });
    sound(&storage);
    storage.close().unwrap();
    drop(storage);
    let storage = open_with(&house, &fake);
    assert_eq!(body(&storage, "schlussrech"), [1, 3]);
    assert_eq!(found(&storage, Key::Body("->".into())), Vec::<u32>::new(), "a scan");
    assert_eq!(fake.asked(), 2, "nothing is read again");
}

#[test]
fn an_attachment_in_a_message_in_a_message_is_read() {
    let house = House::new();
    let storage = open_with(&house, &Fake::today(""));
    let inner = String::from_utf8(with_file("inner", "text:matryoshka")).unwrap();
    let outer = format!("Subject: fwd\r\nContent-Type: message/rfc822\r\n\r\n{inner}");
    archive(&storage, "ann/Inbox", outer.as_bytes(), "x").unwrap();
    assert_eq!(body(&storage, "tryosh"), [1]);
    settled(&storage);
    assert_eq!(body(&storage, "tryosh"), [1]);
}

#[test]
fn what_was_once_found_is_the_truth_until_it_is_asked_for_anew() {
    let house = House::new();
    let fake = Fake::today("monday");
    let storage = open_with(&house, &fake);
    put(&storage, "one", "text:words");
    put(&storage, "two", "off:");
    settled(&storage);
    "tuesday".clone_into(&mut fake.day.lock());
    // Verified against the text, not the index alone: the needle has a blank.
    assert_eq!(body(&storage, "words monday"), [1]);
    // The index goes: the text stays.
    storage.close().unwrap();
    drop(storage);
    std::fs::remove_dir_all(house.index.path().join("0001")).unwrap();
    let storage = open_with(&house, &fake);
    assert_eq!((body(&storage, "words monday"), body(&storage, "tuesday")), (vec![1], vec![]));
    settled(&storage);
    assert_eq!(body(&storage, "words monday"), [1]);
    storage.rebuild_index(None, false, &Cancel::default(), &mut |_, _, _| ()).unwrap();
    assert_eq!(body(&storage, "words monday"), [1]);
    storage.rebuild_index(None, true, &Cancel::default(), &mut |_, _, _| ()).unwrap();
    assert_eq!((body(&storage, "monday"), body(&storage, "words tuesday")), (vec![], vec![1]));
    storage.close().unwrap();
    drop(storage);
    // The text goes: the index that was made from it goes, too.
    "wednesday".clone_into(&mut fake.day.lock());
    std::fs::remove_file(house.index.path().join("0001.texts")).unwrap();
    let storage = open_with(&house, &fake);
    assert_eq!((body(&storage, "tuesday"), body(&storage, "words wednesday")), (vec![], vec![1]));
    settled(&storage);
    assert_eq!((body(&storage, "tuesday"), body(&storage, "words wednesday")), (vec![], vec![1]));
}

#[test]
fn with_and_without_an_extractor_index_and_scan_agree() {
    let house = House::new();
    let fake = Fake::today("monday");
    let storage = house.open();
    put(&storage, "one", "text:words");
    settled(&storage);
    assert_eq!((body(&storage, "words"), body(&storage, "words monday")), (vec![], vec![]));
    storage.close().unwrap();
    drop(storage);
    let storage = open_with(&house, &fake);
    settled(&storage);
    assert_eq!((body(&storage, "words"), body(&storage, "words monday")), (vec![1], vec![1]));
    storage.close().unwrap();
    drop(storage);
    let storage = house.open();
    settled(&storage);
    assert_eq!((body(&storage, "words"), body(&storage, "words monday")), (vec![], vec![]));
    storage.close().unwrap();
    drop(storage);
    // One that tells files in another way.
    fake.version.store(2, Ordering::SeqCst);
    let storage = open_with(&house, &fake);
    settled(&storage);
    assert_eq!(body(&storage, "words monday"), [1]);
    assert_eq!(fake.asked(), 1);
}

#[test]
fn an_extraction_that_hangs_keeps_nobody_from_archiving() {
    let house = House::new();
    let fake = Fake::today("monday");
    let storage = open_with(&house, &fake);
    fake.close(true);
    put(&storage, "one", "text:words");
    put(&storage, "the same file", "text:words");
    for n in 0..20 {
        archive(&storage, "ann/Inbox", &mail(n, 300), &n.to_string()).unwrap();
    }
    // Headers are searched meanwhile, and a search ends when its client goes.
    assert_eq!(found(&storage, Key::Header("subject".into(), "number 7".into())), [10]);
    let cancel = Cancel::default();
    std::thread::scope(|scope| {
        let view = storage.view(&path("ann/Inbox")).unwrap();
        let search = scope.spawn({
            let (storage, cancel) = (&storage, &cancel);
            move || storage.search(&view, &Key::Body("words".into()), cancel)
        });
        while fake.asked() == 0 {
            std::thread::yield_now();
        }
        cancel.set();
        fake.close(false);
        assert!(matches!(search.join().unwrap(), Ok(_) | Err(Error::Cancelled)));
    });
    settled(&storage);
    assert_eq!(body(&storage, "words monday"), [1, 2]);
    assert_eq!(fake.asked(), 1, "by one thread, however many ask, and however many messages have it");
}

#[test]
fn failures_are_counted_and_listed() {
    let house = House::new();
    let storage = open_with(&house, &Fake::today("monday"));
    put(&storage, "one", "text:words");
    put(&storage, "two", "fail:locked");
    put(&storage, "three", "part:some words");
    put(&storage, "four", "empty");
    put(&storage, "five", "off:");
    let at_bound = format!("text:{}", "x".repeat(5_000 - 5));
    put(&storage, "six", &at_bound);
    put(&storage, "seven", &format!("fail:{}", "y".repeat(20_000)));
    settled(&storage);
    assert_eq!(counts(&storage), AttachmentCounts { text: 2, none: 1, failed: 3, off: 1 });
    assert_eq!(body(&storage, "some words"), [3]);
    assert_eq!(body(&storage, "xxx monday"), [6]);
    let list = |storage: &Storage| {
        let mut list: Vec<FailedAttachment> = Vec::new();
        storage
            .failed_attachments(&mut |one| {
                list.push(one);
                Ok(())
            })
            .unwrap();
        list.into_iter().map(|f| (f.folder, f.uid, f.file_name, f.reason, f.partly)).collect::<Vec<_>>()
    };
    let row = |uid, name: &str, why: &str, partly| {
        ("ann/Inbox".to_owned(), uid, format!("{name}.sheet"), why.to_owned(), partly)
    };
    assert_eq!(
        list(&storage),
        [
            row(2, "two", "locked", false),
            row(3, "three", "page 2 is torn", true),
            row(7, "seven", "it has more than 5000 bytes", false)
        ]
    );
    let uids: UidRanges = [Uid(2)].into_iter().collect();
    storage.delete_messages(&path("ann/Inbox"), &uids, &Cancel::default(), &mut |_, _| ()).unwrap();
    assert_eq!(list(&storage).len(), 2);
}

#[test]
fn compaction_erases_the_text_of_erased_messages_only() {
    let house = House::new();
    let fake = Fake::today("monday");
    let storage = open_with(&house, &fake);
    put(&storage, "one", "text:qsecretneedle");
    put(&storage, "two", "text:qkeptneedle");
    put(&storage, "three", "fail:qreasonneedle");
    settled(&storage);
    let holds = |word: &str| {
        let mut holders = Vec::new();
        let mut dirs = vec![house.index.path().to_owned()];
        while let Some(dir) = dirs.pop() {
            for entry in std::fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    dirs.push(path);
                } else if memchr::memmem::find(&std::fs::read(&path).unwrap(), word.as_bytes()).is_some() {
                    let name = path.file_name().unwrap().to_string_lossy().into_owned();
                    holders.push(if name.contains("texts") { "texts" } else { "index" });
                }
            }
        }
        holders.sort_unstable();
        holders.dedup();
        let in_index =
            the_store(&storage).indexer().snapshot().terms().iter().any(|term| term.contains(word));
        (holders.contains(&"texts"), holders.contains(&"index") || in_index)
    };
    assert_eq!(holds("qsecretneedle"), (true, true));
    assert_eq!(holds("qreasonneedle"), (true, false));
    let gone: UidRanges = [Uid(1), Uid(3)].into_iter().collect();
    storage.delete_messages(&path("ann/Inbox"), &gone, &Cancel::default(), &mut |_, _| ()).unwrap();
    "tuesday".clone_into(&mut fake.day.lock());
    storage.compact_store("0001", &Cancel::default(), &mut |_, _| ()).unwrap();
    for word in ["qsecretneedle", "qreasonneedle"] {
        assert_eq!(holds(word), (false, false), "{word}");
    }
    assert_eq!(holds("qkeptneedle"), (true, true));
    assert_eq!(body(&storage, "keptneedle monday"), [2]);
    assert_eq!(fake.asked(), 3, "what stays is not read again");
    settled(&storage);
    let names: Vec<_> =
        std::fs::read_dir(house.index.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
    sound(&storage);
    put(&storage, "four", "text:qsecretneedle");
    assert_eq!(body(&storage, "qsecretneedle tuesday"), [4]);
}

#[test]
fn a_write_protected_store_reads_what_it_has() {
    let house = House::new();
    let fake = Fake::today("monday");
    let storage = open_with(&house, &fake);
    put(&storage, "one", "text:words");
    settled(&storage);
    storage.create_store(None, None).unwrap();
    storage.set_store_state("0001", StoreState::WriteProtected).unwrap();
    "tuesday".clone_into(&mut fake.day.lock());
    assert_eq!(body(&storage, "words monday"), [1]);
    assert_eq!(fake.asked(), 1);
    storage.close().unwrap();
    drop(storage);
    // Without the index, one is made beside, and so are the texts.
    std::fs::remove_dir_all(house.index.path().join("0001")).unwrap();
    let storage = open_with(&house, &fake);
    settled(&storage);
    assert_eq!(body(&storage, "words tuesday"), [1]);
}
