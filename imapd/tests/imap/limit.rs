//! MESSAGELIMIT (RFC 9738): the highest UIDs of what one command is about, with the examples' forms, and what has no bound.

use crate::common::{Client, World, open};
use imapd::Settings;
use tokio::net::TcpStream;

async fn limited(world: &World, limit: u64) -> (crate::common::Running, Client<TcpStream>) {
    let server = world.serve(Settings { message_limit: limit, ..open() }).await;
    let mut client = server.alice().await;
    client.ok("SELECT A").await;
    (server, client)
}

/// The UIDs of `* n FETCH (UID n)`, in the order in which they came.
fn uids(lines: &[String]) -> Vec<u32> {
    let uid = |line: &String| line.split_once("UID ")?.1.split([' ', ')']).next()?.parse().ok();
    lines.iter().filter_map(uid).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bound_and_one_past_it() {
    let world = World::new();
    world.fill("alice/A", 5);
    world.delete("alice/A", 2, 2);
    for (limit, cut) in [(0, false), (4, false), (3, true)] {
        let (server, mut client) = limited(&world, limit).await;
        let offered = client.ok("CAPABILITY").await.concat();
        assert_eq!(offered.contains(&format!(" MESSAGELIMIT={limit} ")), limit > 0, "{offered}");
        let told = |words: &str| match cut {
            true => format!("OK [MESSAGELIMIT 3 3] {words} for the highest UIDs only"),
            false => format!("OK {words}"),
        };
        let all = if cut { "* SEARCH 3 4 5" } else { "* SEARCH 1 3 4 5" };
        assert_eq!(client.run("UID SEARCH ALL").await, [all, &told("SEARCH done")], "{limit}");
        let mut lines = client.run("FETCH 1:* (UID)").await;
        assert_eq!(lines.pop().unwrap(), told("FETCH done"));
        assert_eq!(uids(&lines), if cut { vec![5, 4, 3] } else { vec![1, 3, 4, 5] });
        let mut lines = client.run("UID STORE 1:* +FLAGS (\\Seen)").await;
        assert_eq!(lines.pop().unwrap(), told("The archive is read-only, flags stay as they are"));
        assert_eq!(uids(&lines), if cut { vec![5, 4, 3] } else { vec![1, 3, 4, 5] });
        server.stopped().await;
    }
}

/// More than one stretch of messages is told from the highest UID down, with structure and with bytes; the client comes to the
/// rest by what the answer names.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_the_highest_uid_down_and_on() {
    let world = World::new();
    world.fill("alice/A", 1_500);
    let (server, mut client) = limited(&world, 1_000).await;
    for items in ["UID FLAGS", "UID ENVELOPE", "UID BODY.PEEK[TEXT]"] {
        let mut lines = client.run(&format!("FETCH 1:* ({items})")).await;
        assert_eq!(lines.pop().unwrap(), "OK [MESSAGELIMIT 1000 501] FETCH done for the highest UIDs only");
        assert!(uids(&lines).into_iter().eq((501..=1_500).rev()), "{items}");
        let rest = client.ok(&format!("UID FETCH 1:500 ({items})")).await;
        assert!(uids(&rest).into_iter().eq(1..=500), "{items}");
    }
    assert_eq!(
        client.run("UID SEARCH RETURN (ALL COUNT) SUBJECT \"of alice\"").await,
        [
            "* ESEARCH (TAG \"t9\") UID COUNT 1000 ALL 501:1500",
            "OK [MESSAGELIMIT 1000 501] SEARCH done for the highest UIDs only"
        ]
    );
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_counts_and_what_does_not() {
    let world = World::new();
    world.fill("alice/A", 6);
    let (server, mut client) = limited(&world, 3).await;
    let most = "OK [MESSAGELIMIT 3 4] SEARCH done for the highest UIDs only";
    // Those that are searched, not those that are found.
    assert_eq!(client.run("UID SEARCH SUBJECT \"0 of\"").await, ["* SEARCH", most]);
    assert_eq!(client.run("UID SEARCH OR UID 1 UID 6").await, ["* SEARCH 6", most]);
    assert_eq!(client.run("UID SEARCH UID 1:3 SUBJECT \"0 of\"").await, ["* SEARCH 1", "OK SEARCH done"]);
    assert_eq!(client.run("UID SEARCH UIDBEFORE 4").await, ["* SEARCH 1 2 3", "OK SEARCH done"]);
    assert_eq!(client.run("UID SEARCH UIDAFTER 4 UNDELETED").await, ["* SEARCH 5 6", "OK SEARCH done"]);
    assert_eq!(client.run("SEARCH UIDAFTER 1 UIDBEFORE 5").await, ["* SEARCH 2 3 4", "OK SEARCH done"]);
    for (search, found) in
        [("UIDBEFORE 1", "* SEARCH"), ("UIDAFTER 4294967295", "* SEARCH"), ("UIDAFTER 6", "* SEARCH")]
    {
        assert_eq!(client.run(&format!("UID SEARCH {search}")).await, [found, "OK SEARCH done"]);
    }
    for wrong in ["UIDAFTER 0", "UIDBEFORE *", "UIDAFTER 4294967296", "UIDAFTER 1:2"] {
        let answer = client.run(&format!("UID SEARCH {wrong}")).await;
        assert!(answer.last().unwrap().starts_with("BAD "), "{wrong}: {answer:?}");
    }
    // Section 3.4: what is saved is cut too.
    assert_eq!(
        client.run("UID SEARCH RETURN (SAVE) UID 2:6 UNDELETED").await,
        ["OK [MESSAGELIMIT 3 4] SEARCH done for the highest UIDs only"]
    );
    assert_eq!(client.run("UID SEARCH $").await, ["* SEARCH 4 5 6", "OK SEARCH done"]);
    client.ok("ENABLE CONDSTORE").await;
    // Places are all done or none (section 3.1), as many as are named, there or not.
    assert_eq!(
        client.run("UID FETCH 1:* (UID FLAGS MODSEQ) (PARTIAL -1:-4)").await,
        ["NO [MESSAGELIMIT 3] The command is about more messages than one may be"]
    );
    assert_eq!(uids(&client.ok("UID FETCH 1:* (UID) (PARTIAL -1:-3)").await), [4, 5, 6]);
    // Section 3.3: orders are kept, threads are made of all.
    assert_eq!(
        client.run("UID SORT (REVERSE ARRIVAL) UTF-8 ALL").await,
        ["* SORT 6 5 4 3 2 1", "OK SORT done"]
    );
    assert_eq!(
        client.run("UID THREAD REFERENCES UTF-8 UID 1:2").await,
        ["NO [MESSAGELIMIT 3] The command is about more messages than one may be"]
    );
    assert_eq!(client.run("EXPUNGE").await, ["OK Nothing to expunge"]);
    assert!(client.ok("STATUS A (MESSAGES UNSEEN)").await.concat().contains("MESSAGES 6"));
    assert_eq!(client.run("UID COPY 1:* \"Trash\"").await, ["NO [NOPERM] The archive is read-only"]);
    // Both codes: the untagged one is this one (section 3.1).
    world.delete("alice/A", 5, 5);
    assert_eq!(
        client.run("FETCH 1:6 (UID)").await,
        [
            "* 6 FETCH (UID 6)",
            "* 4 FETCH (UID 4)",
            "* NO [MESSAGELIMIT 3 4] The highest UIDs only",
            "NO [EXPUNGEISSUED] Some of the messages are gone; NOOP tells which"
        ]
    );
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unauthenticate_can_be_turned_off() {
    let world = World::new();
    let server = world.serve(Settings { unauthenticate: false, ..open() }).await;
    let mut client = server.alice().await;
    assert!(!client.ok("CAPABILITY").await.concat().contains("UNAUTHENTICATE"));
    assert_eq!(client.run("UNAUTHENTICATE").await, ["BAD Unknown command"]);
    server.stopped().await;
}

/// RFC 7162 section 3.1: STATUS with HIGHESTMODSEQ turns CONDSTORE on, wherever it stands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_with_a_mod_sequence_turns_condstore_on() {
    let world = World::new();
    world.fill("alice/A", 1);
    let (server, mut client) = limited(&world, 0).await;
    let stored = "* 1 FETCH (FLAGS (\\Seen))";
    assert_eq!(client.ok("STORE 1 +FLAGS (\\Seen)").await, [stored]);
    client.ok("LIST \"\" * RETURN (STATUS (MESSAGES))").await;
    assert_eq!(client.ok("STORE 1 +FLAGS (\\Seen)").await, [stored]);
    let told = client.ok("LIST \"\" * RETURN (STATUS (HIGHESTMODSEQ))").await;
    assert_eq!(told[0], "* OK [HIGHESTMODSEQ 1] Highest");
    let told = client.ok("STORE 1 +FLAGS (\\Seen)").await;
    assert_eq!(told, ["* 1 FETCH (FLAGS (\\Seen) UID 1 MODSEQ (1))"]);
    server.stopped().await;
}
