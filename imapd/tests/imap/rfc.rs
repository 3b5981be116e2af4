//! An archive with the mailboxes that the RFCs' examples name, and the table of those examples (docs/conformance.md), which
//! must be whole: what it names is there, and what the server offers is in it.

use crate::common::{World, open};
use imapd::Settings;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use storage::{Cancel, FolderPath, SourceFlags};

/// All mailboxes of the examples that an archive can have; messages in some of them only.
const FOLDERS: [&str; 38] = [
    "blurdybloop",
    "foo",
    "foo/bar",
    "frop",
    "misc",
    "Drafts",
    "Foo",
    "Foo/Bar",
    "Foo/Baz",
    "Moo",
    "Fruit",
    "Fruit/Apple",
    "Fruit/Banana",
    "Tofu",
    "Vegetable",
    "Vegetable/Broccoli",
    "Vegetable/Corn",
    "foo2",
    "foo2/bar1",
    "foo2/bar2",
    "baz2",
    "baz2/bar2",
    "baz2/bar22",
    "baz2/bar222",
    "eps2",
    "eps2/mamba",
    "qux2/bar2",
    "music/rock",
    "Sent/March2004",
    "Sent/December2003",
    "Sent/August2004",
    "Lists/Lemonade",
    "Lists/Im2000",
    "folder1",
    "folder2/banana",
    "folder2/salmon",
    "ITEM_1/ITEM_1A",
    "ITEM_2",
];

/// Message 12 of RFC 3501 §8: its header byte for byte (342 octets), a body as long as its own (3028 octets, 92 lines).
fn message_12() -> Vec<u8> {
    let mut mail = b"Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\r\n\
        From: Terry Gray <gray@cac.washington.edu>\r\n\
        Subject: IMAP4rev1 WG mtg summary and minutes\r\n\
        To: imap@cac.washington.edu\r\n\
        cc: minutes@CNRI.Reston.VA.US, John Klensin <KLENSIN@MIT.EDU>\r\n\
        Message-Id: <B27397-0100000@cac.washington.edu>\r\n\
        MIME-Version: 1.0\r\n\
        Content-Type: TEXT/PLAIN; CHARSET=US-ASCII\r\n\r\n"
        .to_vec();
    let text = "Minutes, line by line, as dull as any.";
    for line in 0..92 {
        let len = if line < 84 { 31 } else { 30 };
        mail.extend_from_slice(text.as_bytes().get(..len).unwrap());
        mail.extend_from_slice(b"\r\n");
    }
    mail
}

fn message(n: usize) -> Vec<u8> {
    let from = match n {
        4 | 9 => "Joe Smith <smith@example.com>",
        7 => "Eric <eric@example.net>",
        _ => "Fred Foobar <foobar@example.com>",
    };
    let (subject, reply) = match n {
        3 => ("Hello World".to_owned(), String::new()),
        5 => ("Re: Hello World".to_owned(), "References: <3@example.com>\r\n".to_owned()),
        6 => ("Re: Hello World".to_owned(), "References: <3@example.com> <5@example.com>\r\n".to_owned()),
        8 => ("A World apart".to_owned(), String::new()),
        _ => (format!("afternoon meeting {n}"), String::new()),
    };
    let day = 1 + n % 28;
    format!(
        "Date: {day} Jul 1996 21:52:25 -0700\r\nFrom: {from}\r\nSubject: {subject}\r\nTo: mooch@example.com\r\nMessage-Id: <{n}@example.com>\r\n{reply}\r\n\
         Hello Joe, do you think we can meet at 3:{n:02} tomorrow?\r\n"
    )
    .into_bytes()
}

/// The archive: 23 messages in INBOX, of which 2, 10 and 11 are flagged, and the folders of the examples.
pub(crate) fn archive() -> World {
    let world = World::new();
    let flags =
        |n| SourceFlags { flagged: [2, 10, 11].contains(&n), answered: n == 3, ..SourceFlags::default() };
    let mails: Vec<Vec<u8>> = (1..=23).map(|n| if n == 12 { message_12() } else { message(n) }).collect();
    let inbox: Vec<(&[u8], SourceFlags)> =
        mails.iter().enumerate().map(|(n, mail)| (mail.as_slice(), flags(n + 1))).collect();
    world.add("alice/Inbox", &inbox);
    let mut batch = world.storage.batch(&Cancel::default()).unwrap();
    for folder in FOLDERS {
        batch.folder(&FolderPath::new(format!("alice/{folder}")).unwrap()).unwrap();
    }
    batch.commit().unwrap();
    for (folder, count) in
        [("blurdybloop", 3), ("frop", 8), ("folder1", 2), ("folder2/salmon", 1), ("Lists/Lemonade", 2)]
    {
        world.fill(&format!("alice/{folder}"), count);
    }
    world.fill("bob/Inbox", 1);
    world
        .storage
        .comment(&FolderPath::new("alice/Inbox").unwrap(), "Shared comment", &Cancel::default())
        .unwrap();
    world
}

/// What the server says of itself in RFC 5464's examples.
pub(crate) fn settings() -> Settings {
    Settings { metadata_comment: "Shared comment".into(), ..open() }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn table() -> String {
    std::fs::read_to_string(root().join("docs/conformance.md")).unwrap()
}

/// The cells of a row, without the outer borders; `\|` is a character of a cell.
fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|').replace("\\|", "\u{1}");
    inner.split('|').map(|cell| cell.trim().replace('\u{1}', "|")).collect()
}

fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[test]
fn every_example_in_the_table_is_played() {
    let data = root().join("imapd/tests/data");
    let mut sources = String::new();
    for dir in ["imapd/tests/imap", "imapd/src/cmd", "imapd/src/net", "imapd/src/proto/parse"] {
        for entry in std::fs::read_dir(root().join(dir)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "rs") {
                let module = path.file_stem().unwrap().to_string_lossy().into_owned();
                for line in std::fs::read_to_string(&path).unwrap().lines() {
                    sources += &format!("{module}::{}\n", line.trim());
                }
            }
        }
    }
    let text = table();
    let (_, examples) = text.split_once("## Examples").unwrap();
    let mut named = BTreeSet::new();
    let rows: Vec<Vec<String>> = examples
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| RFC"))
        .map(cells)
        .collect();
    assert!(rows.len() > 300, "{} rows", rows.len());
    for row in &rows {
        let [rfc, section, example, place, remark] = row.as_slice() else {
            panic!("a row of other width: {row:?}")
        };
        assert!(rfc.parse::<u32>().is_ok() && !section.is_empty(), "{row:?}");
        if place == "none" {
            assert!(!remark.is_empty(), "no reason why: {row:?}");
            continue;
        }
        for place in quoted(place) {
            if let Some((module, name)) = place.split_once("::") {
                assert!(sources.contains(&format!("{module}::async fn {name}(")), "no such test: {row:?}");
            } else if place.ends_with(".txt") {
                let dialogue = std::fs::read_to_string(data.join(place));
                let dialogue = dialogue.unwrap_or_else(|error| panic!("{place}: {error}"));
                named.insert(place.to_owned());
                if place.contains("-rfc") && rfc_of(place).is_none_or(|of| of == rfc) {
                    for sent in quoted(example).into_iter().filter(|_| example.starts_with('`')) {
                        let there =
                            ["C: ", "C+ "].iter().any(|way| dialogue.contains(&format!("{way}{sent}")));
                        assert!(there, "{place} doesn't send {sent:?}");
                    }
                }
            } else {
                assert!(sources.contains(&format!("::fn {place}(")), "no such test: {row:?}");
            }
        }
    }
    for entry in std::fs::read_dir(&data).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.contains("-rfc") || named.contains(&name), "{name} is not in the table");
    }
}

/// The RFC in a dialogue's name.
fn rfc_of(name: &str) -> Option<&str> {
    let (_, rest) = name.split_once("-rfc")?;
    let end = rest.find(|c: char| !c.is_ascii_digit())?;
    rest.get(..end).filter(|number| !number.is_empty())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_capability_has_its_rfc_and_examples() {
    let text = table();
    let (front, examples) = text.split_once("## Examples").unwrap();
    let rows: Vec<Vec<String>> = front.lines().filter(|line| line.starts_with("| `")).map(cells).collect();
    let world = World::new();
    let server = world.serve(Settings { message_limit: 1_000, ..open() }).await;
    let mut offered = BTreeSet::new();
    let mut client = server.client().await;
    let mut take = |line: &str| {
        let line = line.split_once("CAPABILITY ").map_or("", |(_, all)| all.split(']').next().unwrap_or(all));
        offered.extend(line.split(' ').map(|word| word.strip_suffix("=1000").unwrap_or(word).to_owned()));
    };
    take(&client.greeting.clone());
    take(&client.ok(&format!("LOGIN alice \"{}\"", crate::common::PASSWORD)).await.concat());
    // Without TLS, from anywhere but this machine.
    take("CAPABILITY LOGINDISABLED");
    // With TLS.
    take("CAPABILITY AUTH=SCRAM-SHA-256-PLUS");
    let listed: BTreeSet<String> = rows.iter().map(|row| row[0].trim_matches('`').to_owned()).collect();
    assert_eq!(offered, listed);
    for row in rows {
        assert!(examples.contains(&format!("| {} |", row[1])), "{row:?} has no example");
    }
    server.stopped().await;
}
