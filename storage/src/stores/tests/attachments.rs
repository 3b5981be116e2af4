//! The keys about attachments, answered from cards: what has one, and what files are called, in folders and in all mail.

use super::*;
use crate::search::Key;

fn with_file(number: u64, disposition: &str, name: &str) -> Vec<u8> {
    format!(
        "Subject: number {number}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ntext {number}\r\n\
         --b\r\nContent-Type: application/pdf\r\nContent-Disposition: {disposition}; {name}\r\n\r\nx\r\n--b--\r\n"
    )
    .into_bytes()
}

#[test]
fn what_is_attached_is_found_by_itself_and_by_name() {
    let house = House::new();
    let storage = house.open();
    for n in 0..6 {
        archive(&storage, "alice/a", &mail(n, 50), &n.to_string()).unwrap();
    }
    let files = [
        ("attachment", "filename=\"Report 2019.PDF\""),
        ("inline", "filename*=utf-8''Gr%C3%B6%C3%9Fe.pdf"),
        ("inline", "x=y"),
        ("attachment", "x=y"),
    ];
    for (n, (disposition, name)) in (10..).zip(files) {
        archive(&storage, "alice/b", &with_file(n, disposition, name), &n.to_string()).unwrap();
    }
    storage.create_store(None, None).unwrap();
    archive(&storage, "alice/c", &with_file(20, "attachment", "filename=last.txt"), "20").unwrap();
    let name = |text: &str| Key::FileName(text.into());
    let not = |key| Key::Not(Box::new(key));
    let found = |view: &FolderView, key: &Key| -> Vec<u32> {
        storage.search(view, key, &Cancel::default()).unwrap().iter().map(|uid| uid.0).collect()
    };
    let all = storage.all_mail("alice").unwrap();
    let (a, b) = (storage.view(&path("alice/a")).unwrap(), storage.view(&path("alice/b")).unwrap());
    assert_eq!(found(&all, &Key::HasAttachment), [7, 8, 10, 11]);
    assert_eq!((found(&a, &Key::HasAttachment), found(&b, &Key::HasAttachment)), (vec![], vec![1, 2, 4]));
    assert_eq!(found(&all, &name("report 2019")), [7]);
    assert_eq!(found(&all, &name("GRÖSSE")), [8]);
    assert_eq!(found(&all, &name(".pdf")), [7, 8]);
    assert_eq!(found(&b, &Key::And(vec![not(name("pdf")), Key::HasAttachment])), [4]);
    assert_eq!(found(&all, &not(Key::HasAttachment)), [1, 2, 3, 4, 5, 6, 9]);
    let text = Key::Text("number 12".into());
    assert_eq!(found(&all, &Key::Or(vec![text.clone(), name("last")])), [9, 11]);
    assert_eq!(found(&all, &Key::And(vec![text, Key::HasAttachment])), Vec::<u32>::new());
    // Where all mail shows them, and what their text is around a hit.
    let at = storage.placement(&all, Uid(8)).unwrap().unwrap();
    assert_eq!((at.0.as_str(), at.1), ("alice/b", Uid(2)));
    assert_eq!(storage.placement(&all, Uid(11)).unwrap().unwrap(), (path("alice/c"), Uid(1)));
    assert_eq!(storage.placement(&all, Uid(99)).unwrap(), None);
    let mut rows = storage.rows(&all, &UidRanges::from_spans([(8, 8)]));
    let row = rows.next_batch().unwrap().unwrap()[0];
    let snippet = storage.snippet(&row, &["EXT 1"]).unwrap().unwrap();
    assert_eq!((&*snippet.before, &*snippet.hit, &*snippet.after), ("t", "ext 1", "1"));
}
