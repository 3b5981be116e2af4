//! Connections that last, and how they end: signs of life in IDLE, an INBOX that comes into being, clients that don't
//! read or go away.

use crate::common::{PASSWORD, World, open};
use crate::server::noise;
use imapd::Settings;
use storage::SourceFlags;

const NONE: SourceFlags = SourceFlags { answered: false, flagged: false, forwarded: false };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_gives_signs_of_life() {
    let world = World::with_fixture();
    let server = world.serve(Settings { idle_keepalive_secs: 1, ..open() }).await;
    let mut client = server.alice().await;
    client.send("i IDLE\r\n").await;
    for expected in ["+ idling", "* OK Still here", "* OK Still here"] {
        assert_eq!(client.line().await.unwrap(), expected);
    }
    // News and the end come through between them.
    client.send("DONE\r\n").await;
    loop {
        match client.line().await.unwrap().as_str() {
            "* OK Still here" => {}
            line => break assert_eq!(line, "i OK IDLE done"),
        }
    }
    assert_eq!(client.run("NOOP").await, ["OK NOOP done"], "none outside of IDLE");
    server.stopped().await;
}

/// The folder has another UIDVALIDITY than the empty INBOX, and RFC 3501 §2.3.1.1 lets that change only between
/// sessions' SELECTs: what is selected stays what it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_inbox_stays_empty_until_it_is_selected_again() {
    let world = World::with_fixture();
    let server = world.serve(open()).await;
    let mut client = server.client().await;
    client.ok(&format!("LOGIN carol \"{PASSWORD}\"")).await;
    client.ok("SELECT INBOX").await;
    client.send("i IDLE\r\n").await;
    assert_eq!(client.line().await.unwrap(), "+ idling");
    world.add("carol/Inbox", &[(b"Subject: first\r\n\r\n", NONE)]);
    client.send("DONE\r\n").await;
    assert_eq!(client.line().await.unwrap(), "i OK IDLE done");
    assert_eq!(client.ok("NOOP").await, Vec::<String>::new());
    assert_eq!(client.ok("SEARCH ALL").await, ["* SEARCH"]);
    assert_eq!(client.run("FETCH 1 FLAGS").await, ["BAD No message has that number"]);
    let status = client.ok("STATUS INBOX (MESSAGES)").await;
    assert_eq!(status, ["* STATUS INBOX (MESSAGES 1)"], "STATUS tells what a SELECT would find");
    let selected = client.ok("SELECT INBOX").await;
    assert!(selected.contains(&"* 1 EXISTS".to_owned()), "{selected:?}");
    assert!(!selected.contains(&"* OK [UIDVALIDITY 1] For good".to_owned()), "{selected:?}");
    assert_eq!(client.ok("FETCH 1 UID").await, ["* 1 FETCH (UID 1)"]);
    server.stopped().await;
}

/// The server ends although twenty clients take nothing of a long answer, and those that read get their BYE.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_do_not_read_hold_no_server_up() {
    let world = World::new();
    let raw = noise(9 << 20);
    world.add("alice/Big", &[(&raw, NONE)]);
    let server = world.serve(open()).await;
    let mut waiting = Vec::new();
    for _ in 0..20 {
        let mut client = server.alice().await;
        client.ok("SELECT Big").await;
        client.send("f FETCH 1 BODY.PEEK[]\r\ng FETCH 1 BODY.PEEK[]\r\n").await;
        // The answer has begun; nothing more of it is taken.
        assert!(client.line().await.unwrap().starts_with("* 1 FETCH (BODY[] {"));
        waiting.push(client);
    }
    let mut reader = server.alice().await;
    reader.send("i IDLE\r\n").await;
    assert_eq!(reader.line().await.unwrap(), "+ idling");
    server.ask_to_stop();
    assert_eq!(reader.rest().await, ["* BYE The server is going down"]);
    server.stopped().await;
    for mut client in waiting {
        let all = client.rest_of_bytes().await;
        assert!(
            all.len() < 2 * raw.len() && !all.ends_with(b" OK FETCH done\r\n"),
            "it was cut off, and looks so"
        );
    }
}
