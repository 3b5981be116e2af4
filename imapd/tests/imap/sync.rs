//! Clients that keep copies: what QRESYNC tells them after an absence is exactly what they miss; what happens meanwhile is told by UID.

use crate::common::{Client, World, open};
use std::collections::BTreeSet;
use storage::{Cancel, FolderPath, SourceFlags, StoreState, UidRanges};
use tokio::net::TcpStream;

fn path(text: &str) -> FolderPath {
    FolderPath::new(text).unwrap()
}

/// Adds messages with these numbers.
fn fill(world: &World, folder: &str, numbers: std::ops::Range<u64>) {
    let mails: Vec<Vec<u8>> = numbers
        .map(|n| format!("Subject: {n}\r\nMessage-ID: <{n}@x>\r\n\r\nbody {n}\r\n").into_bytes())
        .collect();
    let list: Vec<(&[u8], SourceFlags)> =
        mails.iter().map(|mail| (mail.as_slice(), SourceFlags::default())).collect();
    world.add(folder, &list);
}

fn uids(some: impl IntoIterator<Item = u32>) -> UidRanges {
    UidRanges::from_spans(some.into_iter().map(|uid| (uid, uid)))
}

fn delete(world: &World, folder: &str, some: &UidRanges) {
    world.storage.delete_messages(&path(folder), some, &Cancel::default(), &mut |_, _| ()).unwrap();
}

/// The number behind a word of an answer.
fn number(lines: &[String], word: &str) -> u64 {
    let line = lines.iter().find(|line| line.contains(word)).unwrap_or_else(|| panic!("{word} in {lines:?}"));
    let digits: String =
        line[line.find(word).unwrap() + word.len()..].chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

/// The UIDs that a set names.
fn set(text: &str) -> BTreeSet<u32> {
    let mut all = BTreeSet::new();
    for range in text.split(',') {
        let (first, last) = range.split_once(':').unwrap_or((range, range));
        all.extend(first.parse::<u32>().unwrap()..=last.parse().unwrap());
    }
    all
}

/// A client's copy of a mailbox.
#[derive(Debug, Default)]
struct Copy {
    uid_validity: u64,
    mod_seq: u64,
    uids: BTreeSet<u32>,
}

impl Copy {
    /// Takes in what is told; nothing vanishes that the copy doesn't have.
    fn take(&mut self, lines: &[String]) {
        for line in lines {
            if let Some(gone) = line.strip_prefix("* VANISHED (EARLIER) ") {
                for uid in set(gone) {
                    assert!(self.uids.remove(&uid), "{uid} of {line} is not in {:?}", self.uids);
                }
            } else if line.contains(" FETCH (") {
                assert!(line.contains("FLAGS (\\Seen)") && line.contains("MODSEQ ("), "{line}");
                self.uids.insert(number(std::slice::from_ref(line), "UID ") as u32);
            }
        }
    }

    async fn sync(&mut self, client: &mut Client<TcpStream>, name: &str) {
        let asked = match self.uid_validity {
            0 => format!("SELECT \"{name}\" (CONDSTORE)"),
            validity => format!("SELECT \"{name}\" (QRESYNC ({validity} {}))", self.mod_seq),
        };
        let lines = client.ok(&asked).await;
        let validity = number(&lines, "[UIDVALIDITY ");
        if self.uid_validity == 0 {
            self.uids = client
                .ok("UID SEARCH ALL")
                .await
                .iter()
                .flat_map(|line| line.strip_prefix("* SEARCH").unwrap().split_whitespace())
                .map(|uid| uid.parse().unwrap())
                .collect();
        } else {
            assert_eq!(self.uid_validity, validity);
            self.take(&lines);
        }
        self.uid_validity = validity;
        let highest = number(&lines, "[HIGHESTMODSEQ ");
        assert!(highest >= self.mod_seq, "HIGHESTMODSEQ fell");
        self.mod_seq = highest;
        let exists =
            lines.iter().find_map(|line| line.strip_prefix("* ")?.strip_suffix(" EXISTS")?.parse().ok());
        assert_eq!(Some(self.uids.len()), exists, "{lines:?}");
    }
}

/// Numbers by chance, the same ones for a seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, among: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % among
    }
}

/// Copies are brought up to date after absences by chance, while messages come, move and go, stores are compacted, detached, attached.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copies_are_what_the_mailbox_is() {
    for seed in 1..=6u64 {
        let world = World::filling_stores_of(6);
        let server = world.serve(open()).await;
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let names = ["A", "B", "All Mail"];
        let mut copies: Vec<(usize, Copy)> = (0..6).map(|n| (n % 3, Copy::default())).collect();
        let (mut made, mut away) = (0, None::<std::path::PathBuf>);
        fill(&world, "alice/A", 0..2);
        fill(&world, "alice/B", 2..3);
        made += 3;
        for _ in 0..24 {
            let folder = ["alice/A", "alice/B"][dice.below(2) as usize];
            let view = world.storage.view(&path(folder)).unwrap();
            let some: UidRanges = view.uids.iter().filter(|_| dice.below(3) == 0).collect();
            let spare = world.storage.stores().into_iter().find(|store| store.state == StoreState::Normal);
            match dice.below(10) {
                0..4 => {
                    let count = 1 + dice.below(4);
                    fill(&world, folder, made..made + count);
                    made += count;
                }
                4 | 5 => delete(&world, folder, &some),
                6 => {
                    let to = path(if folder == "alice/A" { "alice/B" } else { "alice/A" });
                    world
                        .storage
                        .move_messages(&path(folder), &some, &to, &Cancel::default(), &mut |_, _| ())
                        .unwrap();
                }
                7 => {
                    let store = world.storage.stores()[0].number.clone();
                    world.storage.compact_store(&store, &Cancel::default(), &mut |_, _| ()).unwrap();
                }
                _ => match (away.take(), spare) {
                    (Some(dir), _) => drop(world.storage.attach_store(&dir).unwrap()),
                    (None, Some(store)) => away = Some(world.storage.detach_store(&store.number).unwrap()),
                    (None, None) => {}
                },
            }
            let (name, copy) = &mut copies[dice.below(6) as usize];
            let name = names[*name];
            let mut client = server.alice().await;
            client.ok("ENABLE QRESYNC").await;
            copy.sync(&mut client, name).await;
            let view = match name {
                "All Mail" => world.storage.all_mail("alice").unwrap(),
                name => world.storage.view(&path(&format!("alice/{name}"))).unwrap(),
            };
            let now: BTreeSet<u32> = view.uids.iter().map(|uid| uid.0).collect();
            assert_eq!(copy.uids, now, "seed {seed}, {name}");
        }
        server.stopped().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn known_uids_and_fetch_with_vanished() {
    let world = World::new();
    fill(&world, "alice/A", 0..9);
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    client.ok("ENABLE QRESYNC").await;
    let lines = client.ok("SELECT A").await;
    let (validity, since) = (number(&lines, "[UIDVALIDITY "), number(&lines, "[HIGHESTMODSEQ "));
    delete(&world, "alice/A", &uids([2, 3, 8]));
    fill(&world, "alice/A", 9..10);
    // Told by UID as soon as a command allows it (RFC 7162 section 3.2.10).
    assert_eq!(client.run("FETCH 1 UID").await, ["* 1 FETCH (UID 1)", "OK FETCH done"]);
    assert_eq!(client.run("NOOP").await, ["* VANISHED 2:3,8", "* 7 EXISTS", "* 0 RECENT", "OK NOOP done"]);
    let highest = since + 2;
    assert_eq!(
        client.run(&format!("UID FETCH 1:* (FLAGS) (CHANGEDSINCE {since} VANISHED)")).await,
        [
            "* VANISHED (EARLIER) 2:3,8",
            &format!("* 7 FETCH (UID 10 FLAGS (\\Seen) MODSEQ ({highest}))"),
            "OK FETCH done"
        ]
    );
    assert_eq!(
        client.run(&format!("UID FETCH 3:5 (FLAGS) (CHANGEDSINCE {since} VANISHED)")).await,
        ["* VANISHED (EARLIER) 3", "OK FETCH done"]
    );
    let lines = client.ok(&format!("SELECT A (QRESYNC ({validity} {since} 1:3,10))")).await;
    assert_eq!(lines[0], "* OK [CLOSED] The mailbox before is closed");
    let told = [
        "* VANISHED (EARLIER) 2:3".to_owned(),
        format!("* 7 FETCH (UID 10 FLAGS (\\Seen) MODSEQ ({highest}))"),
    ];
    assert_eq!(lines[lines.len() - 2..], told);
    // Who is up to date is told nothing, and one with another UIDVALIDITY neither.
    for asked in [format!("{validity} {highest}"), format!("{} {since}", validity + 1)] {
        let lines = client.ok(&format!("SELECT A (QRESYNC ({asked}))")).await;
        assert!(lines.last().unwrap().starts_with("* OK [MAILBOXID "), "{lines:?}");
    }
    assert_eq!(
        client.run(&format!("UID SEARCH MODSEQ {highest}")).await[0],
        format!("* SEARCH 10 (MODSEQ {highest})")
    );
    assert_eq!(
        client.run(&format!("UID SEARCH RETURN (ALL) MODSEQ {since}")).await[0],
        format!("* ESEARCH (TAG \"t12\") UID ALL 1,4:7,9:10 MODSEQ {highest}")
    );
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_comes_back_is_told_at_the_next_select() {
    let world = World::filling_stores_of(4);
    fill(&world, "alice/A", 0..4);
    fill(&world, "alice/A", 4..6);
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    client.ok("ENABLE QRESYNC").await;
    let dir = world.storage.detach_store("0001").unwrap();
    let mut copy = Copy::default();
    copy.sync(&mut client, "A").await;
    assert_eq!(copy.uids, [5, 6].into());
    world.storage.attach_store(&dir).unwrap();
    fill(&world, "alice/A", 6..7);
    // What came back can't be told now: what is told isn't said to be later than it.
    assert_eq!(client.run("NOOP").await, ["* 3 EXISTS", "* 0 RECENT", "OK NOOP done"]);
    let known = copy.mod_seq;
    assert_eq!(client.ok("UID FETCH 7 MODSEQ").await, [format!("* 3 FETCH (UID 7 MODSEQ ({known}))")]);
    copy.uids.insert(7);
    copy.sync(&mut client, "A").await;
    assert_eq!(copy.uids, (1..=7).collect());
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn uidonly_tells_everything_by_uid() {
    let world = World::new();
    fill(&world, "alice/A", 0..5);
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    client.ok("ENABLE UIDONLY").await;
    client.ok("SELECT A").await;
    delete(&world, "alice/A", &uids([2]));
    assert_eq!(
        client.run("UID FETCH 1:3 (FLAGS)").await,
        ["* 1 UIDFETCH (FLAGS (\\Seen))", "* 3 UIDFETCH (FLAGS (\\Seen))", "* VANISHED 2", "OK FETCH done"]
    );
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conversations_and_identities_are_found_where_they_lie() {
    let world = World::new();
    let mail = |text: &str| text.replace('\n', "\r\n").into_bytes();
    let first = mail("Message-ID: <1@x>\nSubject: a\n\nx\n");
    let reply = mail("Message-ID: <2@x>\nReferences: <1@x>\nSubject: Re: a\n\nx\n");
    let late = mail("Message-ID: <3@x>\nIn-Reply-To: <1@x>\nSubject: b\n\nx\n");
    let alone = mail("Subject: c\n\nx\n");
    let none = SourceFlags::default();
    world.add("alice/A", &[(&first, none), (&alone, none), (&reply, none)]);
    world.add("alice/B", &[(&late, none), (&first, none)]);
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    client.ok("SELECT A").await;
    let lines = client.ok("FETCH 1:3 (EMAILID THREADID)").await;
    let word = |line: &str, word: &str| {
        let rest = &line[line.find(word).unwrap() + word.len()..];
        rest[..rest.find(')').unwrap()].to_owned()
    };
    let thread = word(&lines[0], "THREADID (");
    assert_eq!(thread, word(&lines[2], "THREADID ("));
    assert!(lines[1].ends_with("THREADID NIL)"));
    let email = word(&lines[0], "EMAILID (");
    assert_ne!(email, word(&lines[2], "EMAILID ("));
    assert_eq!(client.ok(&format!("SEARCH THREADID {thread}")).await, ["* SEARCH 1 3"]);
    assert_eq!(client.ok(&format!("SEARCH EMAILID {email}")).await, ["* SEARCH 1"]);
    assert_eq!(client.ok(&format!("SEARCH NOT EMAILID {email}")).await, ["* SEARCH 2 3"]);
    let saved = client.ok("FETCH 1 SAVEDATE").await;
    assert!(saved[0].starts_with("* 1 FETCH (SAVEDATE \"") && saved[0].ends_with(" +0000\")"), "{saved:?}");
    client.ok("SELECT B").await;
    assert_eq!(client.ok(&format!("UID SEARCH THREADID {thread}")).await, ["* SEARCH 1 2"]);
    assert_eq!(client.ok(&format!("UID SEARCH EMAILID {email}")).await, ["* SEARCH 2"]);
    client.ok("SELECT \"All Mail\"").await;
    assert_eq!(
        client.ok(&format!("UID SEARCH OR EMAILID {email} THREADID {thread}")).await,
        ["* SEARCH 1 3 4"]
    );
    server.stopped().await;
}
