//! What sessions see of messages and folders that change under them: EXPUNGE where it is allowed, new UIDs, BYE.

use crate::common::{World, open, path};
use storage::{Cancel, UidRanges};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expunge_comes_when_it_is_allowed_and_highest_first() {
    let world = World::new();
    world.fill("alice/A", 6);
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    client.ok("SELECT A").await;
    world.delete("alice/A", 2, 3);
    world.delete("alice/A", 5, 5);
    world.fill("alice/A", 1);
    // By sequence number: nothing is renumbered, what is there is given (RFC 2180 section 4.1.2).
    assert_eq!(
        client.run("FETCH 1:6 UID").await,
        [
            "* 1 FETCH (UID 1)",
            "* 4 FETCH (UID 4)",
            "* 6 FETCH (UID 6)",
            "NO [EXPUNGEISSUED] Some of the messages are gone; NOOP tells which"
        ]
    );
    assert_eq!(client.run("FETCH 4 UID").await, ["* 4 FETCH (UID 4)", "OK FETCH done"]);
    assert_eq!(client.run("SEARCH ALL").await, ["* SEARCH 1 4 6", "OK SEARCH done"]);
    assert_eq!(
        client.run("UID FETCH 4:5 UID").await,
        [
            "* 4 FETCH (UID 4)",
            "* 5 EXPUNGE",
            "* 3 EXPUNGE",
            "* 2 EXPUNGE",
            "* 4 EXISTS",
            "* 0 RECENT",
            "OK FETCH done"
        ]
    );
    assert_eq!(client.run("NOOP").await, ["OK NOOP done"]);
    assert_eq!(client.run("FETCH 4 UID").await, ["* 4 FETCH (UID 7)", "OK FETCH done"]);
    world.delete("alice/A", 1, 7);
    assert_eq!(
        client.run("CHECK").await,
        ["* 4 EXPUNGE", "* 3 EXPUNGE", "* 2 EXPUNGE", "* 1 EXPUNGE", "OK CHECK done"]
    );
    assert!(client.ok("STATUS A (MESSAGES UIDNEXT)").await[0].ends_with("(MESSAGES 0 UIDNEXT 8)"));
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_tells_moves_on_both_sides() {
    let world = World::new();
    world.fill("alice/A", 3);
    world.fill("alice/B", 1);
    let server = world.serve(open()).await;
    let (mut a, mut b) = (server.alice().await, server.alice().await);
    a.ok("SELECT A").await;
    b.ok("SELECT B").await;
    for client in [&mut a, &mut b] {
        client.send("i IDLE\r\n").await;
        assert_eq!(client.line().await.unwrap(), "+ idling");
    }
    let uids = UidRanges::from_spans([(2, 2)]);
    let (cancel, quiet) = (Cancel::default(), &mut |_, _| ());
    world.storage.move_messages(&path("alice/A"), &uids, &path("alice/B"), &cancel, quiet).unwrap();
    assert_eq!(a.line().await.unwrap(), "* 2 EXPUNGE");
    assert_eq!(b.line().await.unwrap(), "* 2 EXISTS");
    assert_eq!(b.line().await.unwrap(), "* 0 RECENT");
    for client in [&mut a, &mut b] {
        client.send("DONE\r\n").await;
        assert_eq!(client.line().await.unwrap(), "i OK IDLE done");
    }
    assert_eq!(a.run("FETCH 2 UID").await, ["* 2 FETCH (UID 3)", "OK FETCH done"]);
    assert_eq!(
        b.run("FETCH 2 (UID BODY.PEEK[TEXT])").await,
        ["* 2 FETCH (UID 2 BODY[TEXT] {8}", "body 1", ")", "OK FETCH done"]
    );
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_goes_ends_the_session_and_others_go_on() {
    let world = World::new();
    for folder in ["alice/A", "alice/B", "alice/C"] {
        world.fill(folder, 2);
    }
    let server = world.serve(open()).await;
    let (cancel, quiet) = (Cancel::default(), &mut |_, _| ());
    let (mut idle, mut asks, mut leaves, mut other) =
        (server.alice().await, server.alice().await, server.alice().await, server.alice().await);
    for client in [&mut idle, &mut asks, &mut leaves] {
        client.ok("SELECT A").await;
    }
    other.ok("SELECT C").await;
    idle.send("i IDLE\r\n").await;
    assert_eq!(idle.line().await.unwrap(), "+ idling");
    world.storage.move_folder(&path("alice/A"), &path("alice/Z"), &cancel, quiet).unwrap();
    let bye = "* BYE The selected mailbox is not there any more";
    assert_eq!(idle.rest().await, [bye]);
    assert_eq!(asks.run_to_end("UID FETCH 1 FLAGS").await, [bye]);
    // Who gives it up and selects another goes on.
    leaves.ok("UNSELECT").await;
    leaves.ok("SELECT Z").await;
    world.storage.delete_folder(&path("alice/Z"), true, &cancel, quiet).unwrap();
    assert_eq!(leaves.run_to_end("FETCH 1 FLAGS").await, [bye]);
    other.ok("NOOP").await;
    assert_eq!(other.run("SELECT A").await, ["NO [NONEXISTENT] There is no such mailbox"]);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_expunges_come_in_chunks() {
    let world = World::new();
    world.fill("alice/A", 9_000);
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    client.ok("SELECT A").await;
    world.delete("alice/A", 2, 8_999);
    let told = client.ok("NOOP").await;
    let expected: Vec<String> = (2..=8_999).rev().map(|n| format!("* {n} EXPUNGE")).collect();
    assert_eq!(told, expected);
    assert_eq!(client.run("FETCH 2 UID").await, ["* 2 FETCH (UID 9000)", "OK FETCH done"]);
    server.stopped().await;
}
