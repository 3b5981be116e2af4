//! What a running server tells of itself: figures, traces, signs of life; and its certificate, changed while it runs.

use crate::common::{Client, PASSWORD, World, open};
use imapd::watch::{Said, Trace};
use std::time::Duration;
use tokio::net::TcpStream;

/// Lines of a trace up to one that ends so.
fn until(trace: &Trace, end: &str) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let line = trace.next(Duration::from_secs(60)).expect("a line");
        assert!(line.address.is_loopback());
        all.push(format!("{} {}", if line.said == Said::Client { "C" } else { "S" }, line.text));
        if line.text.ends_with(end) {
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_tells_the_protocol_and_no_mail() {
    let world = World::with_fixture();
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    let mut bob = server.client().await;
    bob.ok(&format!("LOGIN bob \"{PASSWORD}\"")).await;
    let trace = server.watch.trace("alice").unwrap();
    bob.ok("SELECT INBOX").await;
    client.ok("SELECT Outlook/Sent/2023").await;
    client.send("f FETCH 1 (UID ENVELOPE BODY.PEEK[])\r\n").await;
    loop {
        let line = client.line().await.unwrap();
        if line.starts_with("f OK") {
            break;
        }
    }
    client.ok("UID SEARCH SUBJECT \"lunch\"").await;
    client.run("LOGIN alice hunter2").await;
    client.send("i IDLE\r\nDONE\r\n").await;
    let all = until(&trace, "i OK IDLE done").join("\n");
    for told in [
        "C t2 SELECT Outlook/Sent/2023",
        "S * 2 EXISTS",
        "C f FETCH 1 (UID ENVELOPE BODY.PEEK[])",
        "S f OK FETCH done",
        "C t3 UID SEARCH SUBJECT \"...\"",
        "C t4 LOGIN ...",
        "S t4 BAD Already logged in",
        "C i IDLE",
        "S + idling",
        "C DONE",
    ] {
        assert!(all.lines().any(|line| line == told), "{told}\n{all}");
    }
    let mail = std::fs::read_to_string(crate::common::data().join("mail/1-plain.eml")).unwrap();
    let words = mail.split_whitespace().filter(|word| word.len() > 5);
    for private in ["lunch", "hunter2", PASSWORD].into_iter().chain(words) {
        assert!(!all.contains(private), "{private}\n{all}");
    }
    drop(trace);
    client.ok("NOOP").await;
    let again = server.watch.trace("alice").unwrap();
    assert_eq!(again.next(Duration::ZERO), None);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn figures_of_commands_sessions_and_bytes() {
    let world = World::with_fixture();
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    client.ok("SELECT INBOX").await;
    client.ok("UID FETCH 1:3 (FLAGS)").await;
    client.ok("UID SEARCH BODY \"e.e\"").await;
    client.run("FETCH 99 FLAGS").await;
    client.run("CREATE x").await;
    client.run("NONSENSE").await;
    client.send("i IDLE\r\nDONE\r\n").await;
    client.line().await;
    assert_eq!(client.run_to_end("LOGOUT").await.last().unwrap(), "e OK Logged out");
    server.until(|now| now.sessions == 0).await;
    let now = server.watch.snapshot();
    let of = |name: &str| {
        let one = now.commands.iter().find(|command| command.name == name).unwrap();
        assert_eq!(one.buckets.iter().sum::<u64>(), one.ok + one.no + one.bad + one.cut, "{name}");
        (one.ok, one.no, one.bad, one.cut)
    };
    for (name, expected) in [
        ("LOGIN", (1, 0, 0, 0)),
        ("SELECT", (1, 0, 0, 0)),
        ("UID FETCH", (1, 0, 0, 0)),
        ("UID SEARCH", (1, 0, 0, 0)),
        ("FETCH", (0, 0, 1, 0)),
        ("CREATE", (0, 1, 0, 0)),
        ("IDLE", (1, 0, 0, 0)),
        ("LOGOUT", (1, 0, 0, 0)),
        ("unknown", (0, 0, 1, 0)),
        ("NOOP", (0, 0, 0, 0)),
    ] {
        assert_eq!(of(name), expected, "{name}");
    }
    assert_eq!((now.sessions_begun, now.logged_in, now.messages, server.ended("logout")), (1, 0, 3, 1));
    assert!(now.bytes_in > 100 && now.bytes_out > 500, "{now:?}");
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_certificate_changes_and_connections_stay() {
    let (world, other) = (World::with_fixture(), World::new());
    let server = world.serve(open()).await;
    let connect = async || TcpStream::connect(server.tls).await.unwrap();
    let mut before = Client::new(world.tls(connect().await).await);
    before.line().await.unwrap();
    server.watch.set_tls(other.server_tls());
    let mut after = Client::new(other.tls(connect().await).await);
    after.line().await.unwrap();
    assert!(world.try_tls(connect().await).await.is_err(), "the old certificate is gone");
    for client in [&mut before, &mut after] {
        client.ok(&format!("LOGIN alice \"{PASSWORD}\"")).await;
        client.ok("SELECT INBOX").await;
    }
    // What waited for STARTTLS gets the new one too.
    let mut plain = server.client().await;
    server.watch.set_tls(world.server_tls());
    plain.send("s STARTTLS\r\n").await;
    assert_eq!(plain.line().await.unwrap(), "s OK Begin TLS now");
    let mut plain = Client::new(world.tls(plain.stream).await);
    plain.ok("NOOP").await;
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_has_a_pulse_while_it_runs() {
    let world = World::new();
    let server = world.serve(open()).await;
    let pulse = server.pulse.clone();
    for _ in 0..3 {
        assert!(pulse.is_there().await);
    }
    server.stopped().await;
    assert!(!pulse.is_there().await);
}
