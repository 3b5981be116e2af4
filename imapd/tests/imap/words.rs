//! Names, comments, encodings: the archive that some dialogues speak about, and what no dialogue can show: large trees, years.

use crate::common::{PASSWORD, World, open};
use imapd::Settings;
use storage::{Cancel, FolderPath, SourceFlags};
use zeroize::Zeroizing;

/// Comments of the server and no years.
pub(crate) fn settings() -> Settings {
    Settings {
        metadata_comment: "The archive of Example Ltd".into(),
        metadata_admin: "mailto:postmaster@example.org".into(),
        ..open()
    }
}

const PARTS: &[u8] = b"Subject: parts\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe =\r\nand more  \r\n\r\n\
--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\n\r\nAGEAYg\r\n0K\r\n\
--b\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 x\r\n\r\n\
--b\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\nContent-Transfer-Encoding: base64\r\n\r\naW5uZXI=\r\n\
--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nsumm\xc3\xa9r\r\n\
--b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n--c\r\n\r\none\r\n--c\r\nContent-Transfer-Encoding: BASE64\r\n\r\ndHdv\r\n--c--\r\n\
--b--\r\n";

const ALONE: &[u8] = b"Subject: alone\r\nContent-Transfer-Encoding: base64\r\n\r\nYWxvbmU=\r\n";

const UMLAUTS: &[u8] =
    "Subject: Gr\u{fc}\u{df}e aus K\u{f6}ln\r\nFrom: J\u{fc}rgen <j@example.org>\r\n\r\nSch\u{f6}ne Gr\u{fc}\u{df}e\r\n".as_bytes();

/// The common fixture; parts in all encodings, comments, an administrator `boss` who may read bob's archive.
pub(crate) fn archive() -> World {
    let world = World::with_fixture();
    let none = SourceFlags::default();
    world.add("alice/Binary", &[(PARTS, none), (ALONE, none)]);
    world.add("alice/Umlaute", &[(UMLAUTS, none)]);
    let say = |folder: &str, text: &str| {
        world.storage.comment(&FolderPath::new(folder).unwrap(), text, &Cancel::default()).unwrap();
    };
    say("alice/Empty", "Nothing came here,yet");
    say("alice/Entw\u{fc}rfe & mehr", "Entw\u{fc}rfe\nund \"mehr\"");
    world.auth.add("boss", &Zeroizing::new(PASSWORD.to_owned()), true).unwrap();
    world.auth.set_right("boss", "bob", Some(auth::Level::Read)).unwrap();
    world
}

/// The names in LIST's answers.
fn names(lines: &[String]) -> Vec<String> {
    let name = |line: &String| line.split_once(" \"/\" ").unwrap().1.trim_matches('"').to_owned();
    lines.iter().map(name).collect()
}

/// A line as text, not byte for byte.
fn utf8(line: &str) -> String {
    String::from_utf8(line.chars().map(|c| c as u8).collect()).unwrap()
}

/// Folders without messages, in one batch.
fn make(world: &World, paths: impl IntoIterator<Item = String>) {
    let mut batch = world.storage.batch(&Cancel::default()).unwrap();
    for path in paths {
        batch.folder(&FolderPath::new(path).unwrap()).unwrap();
    }
    batch.commit().unwrap();
}

/// LIST "" * shows every folder once, each parent before its children, and every name opens.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_names_are_listed_once_and_open() {
    let world = World::new();
    let deep = vec!["d"; 199].join("/");
    let odd = [
        "Inbox",
        "INBOX/x",
        "inBox",
        "All Mail",
        "All Mail (folder)",
        "All Mail (folder) (folder)/y",
        "All Mailx",
        "All Mail x",
        "Top Folder/z",
        "Other Archives",
        "Other Archives/bob",
        "a",
        "a b",
        "a/b",
        "a!",
        "a/b c",
        "%2Fx",
        "100 %",
        "*",
        "a%b",
        "\\",
        "\"",
        "a\\\"b",
        "&",
        "&-",
        "caf\u{e9}",
        "cafe\u{301}",
        "\u{1f600}/\u{2028}x",
        " blank",
        "blank ",
        " ",
        ".",
        "..",
        "a.b",
        "{3}",
        "x]",
        "(",
        "NIL",
        "Lists/deep/er",
        "Lists",
        "Lists 2/x",
        "~peter",
        "#news.x",
        "%00",
    ];
    let long = "n".repeat(1_000);
    let paths: Vec<String> = odd
        .iter()
        .copied()
        .chain([deep.as_str(), long.as_str()])
        .map(|name| format!("alice/{name}"))
        .collect();
    make(&world, paths.iter().cloned());
    make(&world, ["bob".to_owned(), "bob/Inbox".to_owned(), "bob/All Mail".to_owned(), "carol/x".to_owned()]);
    let server = world.serve(open()).await;
    for enable in ["NOOP", "ENABLE UTF8=ACCEPT"] {
        let mut client = server.alice().await;
        client.ok(enable).await;
        let lines: Vec<String> = client.ok("LIST \"\" *").await.iter().map(|line| utf8(line)).collect();
        let mut seen = std::collections::HashSet::new();
        let mut folders = 0;
        for line in &lines {
            let name = line.split_once(" \"/\" ").unwrap().1;
            assert!(seen.insert(name.to_owned()), "{name} twice");
            let plain = name.trim_matches('"');
            if let Some((parent, _)) = plain.rsplit_once('/') {
                let there = seen.contains(parent) || seen.contains(&format!("\"{parent}\""));
                assert!(there, "{parent} comes before {plain}");
            }
            // Found by its own name too, with the same attributes; wildcards in it match at least itself.
            let itself = client.ok(&format!("LIST \"\" {name}")).await;
            assert!(itself.iter().any(|found| utf8(found) == *line), "{line}");
            let container = line.contains("\\Noselect");
            folders += usize::from(!container);
            let end = client.run(&format!("STATUS {name} (MESSAGES)")).await.pop().unwrap();
            assert_eq!(end.starts_with("OK"), !container, "{name}: {end}");
        }
        // All folders, All Mail, and three of bob's; nothing of carol's.
        assert_eq!(folders, paths.len() + 4, "{lines:#?}");
        let below = client.ok("LIST \"\" \"a/%\"").await;
        assert_eq!(names(&below), ["a/b", "a/b c"]);
        assert_eq!(client.ok(&format!("LIST \"\" \"{}/%\"", vec!["d"; 198].join("/"))).await.len(), 1);
    }
    server.stopped().await;
}

/// What lies in the same place whatever the patterns' fixed text skips: LIST finds what a plain look at all names finds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn patterns_find_what_a_plain_look_finds() {
    let world = World::new();
    let tree = |n: usize| {
        format!("alice/{}{}/{}/{}", ["L", "M x", "Inbox", "All Mail"][n % 4], n % 7, n % 11, n % 13)
    };
    make(
        &world,
        (0..600).map(tree).chain(["bob/L1/x".to_owned(), "alice/Inbox/1/2".to_owned(), "alice/M".to_owned()]),
    );
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    let all = names(&client.ok("LIST \"\" *").await);
    assert!(all.len() > 600);
    for pattern in [
        "%",
        "L%",
        "L1/%",
        "L1/2/%",
        "*/2/%",
        "%/3",
        "L1*",
        "*x*",
        "M*7",
        "INBOX*",
        "Other%",
        "Other Archives/%",
        "*1",
        "L1/10/1",
        "All Mail%/%",
        "Z*",
        "%/%/%",
        "inbox/%",
    ] {
        let found = names(&client.ok(&format!("LIST \"\" \"{pattern}\"")).await);
        let wanted: Vec<&String> = all
            .iter()
            .filter(|name| plain(pattern.replace("inbox", "INBOX").as_bytes(), name.as_bytes()))
            .collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), wanted, "{pattern}");
    }
    let two = names(&client.ok("LIST \"\" (\"L1/1%\" \"M*/2\" \"L1/%\")").await);
    let wanted = |name: &&String| {
        ["L1/1%", "M*/2", "L1/%"].iter().any(|pattern| plain(pattern.as_bytes(), name.as_bytes()))
    };
    assert_eq!(two.iter().collect::<Vec<_>>(), all.iter().filter(wanted).collect::<Vec<_>>());
    server.stopped().await;
}

/// RFC 3501 §6.3.8, word by word.
fn plain(pattern: &[u8], name: &[u8]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some((&c @ (b'*' | b'%'), rest)) => {
            plain(rest, name)
                || name
                    .split_first()
                    .is_some_and(|(&n, tail)| (c == b'*' || n != b'/') && plain(pattern, tail))
        }
        Some((c, rest)) => name.split_first().is_some_and(|(n, tail)| n == c && plain(rest, tail)),
    }
}

/// A tree that is much longer than a piece comes whole, while folders come and others are asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_list_comes_in_pieces_and_is_whole() {
    let world = World::new();
    make(&world, (0..30_000).map(|n| format!("alice/{:03}/{n:05}", n / 100)));
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    let all = names(&client.ok("LIST \"\" *").await);
    // INBOX, All Mail, 300 levels without folders, and the folders.
    assert_eq!(all.len(), 2 + 300 + 30_000);
    assert_eq!(names(&client.ok("LIST \"\" %").await).len(), 302);
    assert_eq!(names(&client.ok("LIST \"\" 123/12345").await), ["123/12345"]);
    assert_eq!(names(&client.ok("LIST \"\" (\"299/%\" \"000/00007\")").await).len(), 101);
    server.stopped().await;
}

/// The years of a large folder, their numbers, and what goes on in them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn years_are_parts_of_their_folder() {
    let world = World::new();
    let mail = |n: usize| format!("Subject: number {n}\r\n\r\nbody {n}\r\n").into_bytes();
    let dated = |folder: &str, numbers: &[(usize, i64)]| {
        use storage::card::Zoned;
        use storage::{Incoming, NewPlacement, Prepared};
        let mut batch = world.storage.batch(&Cancel::default()).unwrap();
        let id = batch.folder(&FolderPath::new(folder).unwrap()).unwrap();
        for &(n, secs) in numbers {
            let raw = mail(n);
            let incoming = Incoming::read(raw.as_slice(), Vec::new(), world.storage.limits()).unwrap();
            let message = Prepared::new(incoming, world.storage.limits());
            let occurrence = n.to_string();
            let date = Zoned { secs, zone: 60 };
            let placement =
                NewPlacement { date, flags: SourceFlags::default(), source: folder, occurrence: &occurrence };
            batch.add(id, message, &placement).unwrap();
        }
        batch.commit().unwrap();
    };
    // 2023-12-31T23:30Z is 2024 an hour east of Greenwich.
    let (in_2019, in_2023, in_2024) = (1_550_000_000, 1_704_062_000, 1_704_065_400);
    dated("alice/Big", &[(1, in_2019), (2, in_2024), (3, in_2023), (4, in_2019)]);
    dated("alice/Small", &[(1, in_2019), (2, in_2024)]);
    let server = world.serve(Settings { year_mailboxes_from: 3, ..open() }).await;
    let mut client = server.alice().await;
    let list = client.ok("LIST \"\" \"*\"").await;
    assert_eq!(names(&list), ["All Mail", "Big", "Big/2019", "Big/2023", "Big/2024", "INBOX", "Small"]);
    assert!(list[1].contains("\\HasChildren"), "{list:?}");
    assert_eq!(names(&client.ok("LIST \"\" %").await), ["All Mail", "Big", "INBOX", "Small"]);
    assert_eq!(names(&client.ok("LIST \"\" \"Big/20%\"").await), ["Big/2019", "Big/2023", "Big/2024"]);
    assert_eq!(names(&client.ok("LIST \"\" \"Big/2019\"").await), ["Big/2019"]);
    let status = |line: &str| line.split_once('(').unwrap().1.to_owned();
    let whole = client.ok("STATUS Big (UIDVALIDITY UIDNEXT)").await;
    assert_eq!(status(&whole[0]), status(&client.ok("STATUS Big/2019 (UIDVALIDITY UIDNEXT)").await[0]));
    let sizes = client.ok("STATUS Big/2019 (MESSAGES SIZE)").await;
    assert_eq!(sizes, [format!("* STATUS \"Big/2019\" (MESSAGES 2 SIZE {})", mail(1).len() + mail(4).len())]);
    for absent in ["Big/2020", "Small/2019", "Big/2019/x", "Big/2019 (year)", "All Mail/2019", "INBOX/2019"] {
        let end = client.run(&format!("STATUS \"{absent}\" (MESSAGES)")).await;
        assert_eq!(end, ["NO [NONEXISTENT] There is no such mailbox"], "{absent}");
    }
    client.ok("SELECT Big/2019").await;
    assert_eq!(client.ok("UID FETCH 1:* (INTERNALDATE)").await.len(), 2);
    assert_eq!(client.ok("FETCH 2 (UID)").await, ["* 2 FETCH (UID 4)"]);
    assert_eq!(client.ok("UID SEARCH SUBJECT number").await, ["* SEARCH 1 4"]);
    assert_eq!(client.ok("UID SEARCH BODY \"body 3\"").await, ["* SEARCH"]);
    assert_eq!(client.ok("SORT (REVERSE SUBJECT) UTF-8 ALL").await, ["* SORT 2 1"]);
    assert_eq!(client.ok("UID THREAD REFERENCES UTF-8 ALL").await, ["* THREAD (1)(4)"]);
    // In IDLE what comes to the year is told, and what comes to another isn't.
    client.send("i IDLE\r\n").await;
    assert_eq!(client.line().await.unwrap(), "+ idling");
    dated("alice/Big", &[(5, in_2024)]);
    dated("alice/Big", &[(6, in_2019)]);
    assert_eq!(client.line().await.unwrap(), "* 3 EXISTS");
    assert_eq!(client.line().await.unwrap(), "* 0 RECENT");
    client.send("DONE\r\n").await;
    assert_eq!(client.line().await.unwrap(), "i OK IDLE done");
    assert_eq!(client.ok("FETCH 3 (UID)").await, ["* 3 FETCH (UID 6)"]);
    let mut copy = server.alice().await;
    copy.ok("ENABLE QRESYNC").await;
    copy.ok("SELECT Big/2019").await;
    let big = FolderPath::new("alice/Big").unwrap();
    world
        .storage
        .delete_messages(&big, &storage::UidRanges::from_spans([(2, 4)]), &Cancel::default(), &mut |_, _| {})
        .unwrap();
    assert_eq!(client.ok("NOOP").await, ["* 2 EXPUNGE"]);
    assert_eq!(client.ok("UID FETCH 1:* (FLAGS)").await.len(), 2);
    // Who watches, was away, or names them, is told of the year's UIDs only (RFC 7162).
    assert_eq!(copy.ok("NOOP").await, ["* VANISHED 4"]);
    let validity = whole[0].split_once("UIDVALIDITY ").unwrap().1.split(' ').next().unwrap();
    for (year, gone) in [(2019, "* VANISHED (EARLIER) 4"), (2024, "* VANISHED (EARLIER) 2")] {
        let lines = copy.ok(&format!("SELECT Big/{year} (QRESYNC ({validity} 1))")).await;
        let told: Vec<&String> = lines.iter().filter(|line| line.contains("VANISHED")).collect();
        assert_eq!(told, [gone], "{year}");
        let lines = copy.ok("UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)").await;
        assert_eq!(lines[0], gone, "{year}");
    }
    // A folder of a year's name pushes the year aside; its own name means itself then.
    make(&world, ["alice/Big/2019".to_owned(), "alice/Big/2024/x".to_owned()]);
    let names_now = names(&client.ok("LIST \"\" \"Big/*\"").await);
    assert_eq!(names_now, ["Big/2019 (year)", "Big/2024 (year)", "Big/2019", "Big/2024", "Big/2024/x"]);
    assert_eq!(client.ok("STATUS Big/2019 (MESSAGES)").await, ["* STATUS \"Big/2019\" (MESSAGES 0)"]);
    assert_eq!(
        client.ok("STATUS \"Big/2019 (year)\" (MESSAGES)").await,
        ["* STATUS \"Big/2019 (year)\" (MESSAGES 2)"]
    );
    let mut other = server.alice().await;
    other.ok("ENABLE IMAP4rev2").await;
    let selected = other.ok("SELECT \"Big/2024 (year)\"").await;
    assert!(
        selected.contains(&"* LIST (\\Subscribed \\HasNoChildren) \"/\" \"Big/2024 (year)\"".to_owned()),
        "{selected:?}"
    );
    server.stopped().await;
}
