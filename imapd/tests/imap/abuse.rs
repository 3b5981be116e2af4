//! Clients that mean no good, or stand in nobody's control: guessing, flooding, cutting, not reading, not speaking.
//!
//! What is observed are answers and the server's own figures; no test asserts a time.

use crate::common::{Client, PASSWORD, World, ended, open};
use crate::server::noise;
use imapd::Settings;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use storage::SourceFlags;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const NONE: SourceFlags = SourceFlags { answered: false, flagged: false, forwarded: false };
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn login(user: &str) -> String {
    format!("LOGIN {user} \"{PASSWORD}\"")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_is_slowed_down_and_locks_nobody_out() {
    let world = World::new();
    let server = world.serve(open()).await;
    let _alice = server.alice().await;
    // From somewhere else: twenty thousand wrong passwords of bob's.
    (0..20_000_u32).for_each(|n| world.auth.gave_up("bob", IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n))));
    // From here: enough for the longest delay.
    (0..12).for_each(|n| world.auth.gave_up(&format!("nobody {n}"), HERE));
    let mut waiting = server.client().await;
    waiting.send("w LOGIN carol wrong\r\n").await;
    server.until(|now| now.logins_delayed == 1).await;
    // The delay is taken: whoever comes next would wait too long.
    let mut next = server.client().await;
    let refused = ["NO [UNAVAILABLE] Too many logins have failed; try again later"];
    assert_eq!(next.run(&login("carol")).await, refused);
    assert_eq!(next.run("AUTHENTICATE PLAIN AGNhcm9sAHg=").await, refused);
    assert_eq!(next.run("NOOP").await, ["OK NOOP done"]);
    let now = server.watch.snapshot();
    assert_eq!((now.logins_refused, now.logins_failed, now.at_work), (2, 0, 0), "who waits holds no thread");
    // Who has logged in from here before isn't slowed down.
    let _again = server.alice().await;
    assert_eq!(server.watch.snapshot().logins_delayed, 1);
    // Who doesn't wait for the answer has failed all the same, and leaves no connection behind.
    drop((waiting, next));
    server.until(|now| now.sessions == 2).await;
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_password_is_hashed_once_and_only_while_it_is_right() {
    let world = World::new();
    let server = world.serve(open()).await;
    for _ in 0..50 {
        server.alice().await;
    }
    let now = server.watch.snapshot();
    assert_eq!((now.logins_ok, now.logins_again, now.logins_failed), (50, 49, 0));
    let mut client = server.client().await;
    assert!(client.run("LOGIN alice wrong").await[0].starts_with("NO [AUTHENTICATIONFAILED]"));
    world.auth.set_password("alice", &zeroize::Zeroizing::new("another horse".to_owned())).unwrap();
    assert!(client.run(&login("alice")).await[0].starts_with("NO [AUTHENTICATIONFAILED]"));
    client.ok("LOGIN alice \"another horse\"").await;
    world.auth.set_privilege("alice", auth::Privilege::Imap, false).unwrap();
    let mut client = server.client().await;
    assert!(client.run("LOGIN alice \"another horse\"").await[0].starts_with("NO [AUTHENTICATIONFAILED]"));
    assert_eq!(server.watch.snapshot().logins_again, 49);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_in_place_of_tls_ends() {
    let world = World::new();
    let server = world.serve(Settings { handshake_timeout_secs: 1, ..open() }).await;
    let mut silent = TcpStream::connect(server.tls).await.unwrap();
    let mut plain = server.client().await;
    plain.send("s STARTTLS\r\n").await;
    assert_eq!(plain.line().await.unwrap(), "s OK Begin TLS now");
    assert_eq!(silent.read(&mut [0; 10]).await.unwrap_or(0), 0);
    assert_eq!(plain.rest().await, Vec::<String>::new());
    let mut rubbish = TcpStream::connect(server.tls).await.unwrap();
    rubbish.write_all(b"a1 CAPABILITY\r\na2 LOGOUT\r\n").await.unwrap();
    let mut alert = Vec::new();
    rubbish.read_to_end(&mut alert).await.ok();
    assert!(alert.len() < 20, "no more than TLS's own complaint");
    server.until(|now| now.sessions == 0 && ended(now, "handshake") == 3).await;
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_server_says_so() {
    let world = World::new();
    let server = world.serve(Settings { max_connections: 2, ..open() }).await;
    let first = server.client().await;
    let _second = server.client().await;
    let mut third = server.client().await;
    assert_eq!(third.greeting, "* BYE Too many connections");
    assert_eq!(third.line().await, None);
    drop(first);
    server.until(|now| now.sessions == 1).await;
    server.alice().await;
    assert_eq!(server.ended("full"), 1);
    server.stopped().await;
}

/// In every state in which a literal may come: it is swallowed whole, although it looks like commands, and the next command
/// is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn literals_that_are_too_large_are_never_commands() {
    let world = World::with_fixture();
    let server = world.serve(Settings { max_bad: 1_000, max_bad_before_login: 1_000, ..open() }).await;
    let before =
        ["LOGIN ", "LOGIN {3+}\r\nbob ", "AUTHENTICATE PLAIN ", "ID (\"a\" ", "NOOP ", "X ", "", "APPEND x "];
    let after = [
        "SELECT ",
        "EXAMINE ",
        "LIST ",
        "LIST \"\" ",
        "LIST (SUBSCRIBED) \"\" (\"x\" ",
        "LSUB \"\" ",
        "STATUS ",
        "STATUS {5+}\r\nINBOX (",
        "GETACL ",
        "LISTRIGHTS ",
        "SETACL INBOX ",
        "CREATE ",
        "RENAME x ",
        "SUBSCRIBE ",
        "ENABLE ",
        "ESEARCH IN (mailboxes ",
        "SEARCH SUBJECT ",
        "SEARCH CHARSET ",
        "SEARCH OR TEXT {1+}\r\nx BODY ",
        "SEARCH ((HEADER ",
        "SEARCH HEADER {1+}\r\nx ",
        "SORT (DATE) UTF-8 TEXT ",
        "THREAD REFERENCES UTF-8 FROM ",
        "FETCH 1 BODY[HEADER.FIELDS (",
        "UID FETCH 1 (FLAGS BODY[HEADER.FIELDS (X {1+}\r\nY ",
        "STORE 1 FLAGS (",
        "COPY 1 ",
        "UID MOVE 1 ",
        "COMPRESS ",
        "IDLE ",
    ];
    for (logged_in, starts, max) in [(false, &before[..], 4 << 10), (true, &after[..], 64 << 10)] {
        let mut client = server.client().await;
        if logged_in {
            client.ok(&login("alice")).await;
            client.ok("SELECT INBOX").await;
        }
        for start in starts {
            let evil = "z LOGOUT\r\ny NOOP\r\n".repeat(max / 18 + 1);
            client.send(format!("a {start}{{{}+}}\r\n{evil}\r\n", evil.len())).await;
            let refused = client.line().await.unwrap();
            assert!(
                refused.starts_with("a BAD ") || refused.starts_with("a NO [NOPERM]"),
                "{start}: {refused}"
            );
            // Not even leave is given to send it.
            client.send(format!("b {start}{{{}}}\r\n", max + 1)).await;
            let mut refused = client.line().await.unwrap();
            if refused.starts_with("+ ") {
                refused = client.line().await.unwrap();
            }
            assert!(
                refused.starts_with("b BAD ") || refused.starts_with("b NO [NOPERM]"),
                "{start}: {refused}"
            );
            assert_eq!(client.run("NOOP").await, ["OK NOOP done"], "{start}");
        }
        // Lines that are no commands: DONE's, and SASL's.
        client.send(if logged_in { "i IDLE\r\n" } else { "i AUTHENTICATE PLAIN\r\n" }).await;
        assert!(client.line().await.unwrap().starts_with('+'));
        client.send(format!("{{{}+}}\r\n", max + 1)).await;
        let refused = client.line().await.unwrap();
        assert!(refused.starts_with("i BAD ") || refused.starts_with("i NO "), "{refused}");
        assert_eq!(client.run("NOOP").await, ["OK NOOP done"]);
    }
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_commands_at_once_are_answered_in_order() {
    const MANY: usize = 10_000;
    let world = World::with_fixture();
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    client.ok("SELECT INBOX").await;
    let mut sent = String::new();
    for n in 0..MANY {
        let command = ["NOOP", "UID FETCH 1 (FLAGS)", "CHECK", "UID SEARCH UID 1"][n % 4];
        write!(sent, "p{n} {command}\r\n").unwrap();
    }
    let (read, mut write) = tokio::io::split(client.stream);
    let sender = tokio::spawn(async move {
        write.write_all(sent.as_bytes()).await.unwrap();
        write
    });
    let mut client = Client::new(tokio::io::join(read, tokio::io::sink()));
    let mut next = 0;
    while next < MANY {
        let line = client.line().await.unwrap();
        if !line.starts_with("* ") {
            assert!(line.starts_with(&format!("p{next} OK ")), "{line}");
            next += 1;
        }
    }
    drop(sender.await.unwrap());
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_bad_commands_ends_at_the_bound() {
    let world = World::new();
    let server = world.serve(open()).await;
    for (mut client, most) in [(server.client().await, 3), (server.alice().await, 20)] {
        let mut flood = String::new();
        (0..5_000).for_each(|n| write!(flood, "b{n} ((((((\r\n").unwrap());
        // It is closed before all is read; then the rest can't be sent.
        client.stream.write_all(flood.as_bytes()).await.ok();
        let mut bad = 0;
        while let Some(line) = client.line().await {
            bad += usize::from(line.contains(" BAD "));
        }
        assert!(bad <= most, "{bad}");
    }
    server.until(|now| now.sessions == 0 && ended(now, "bye") == 2).await;
    server.stopped().await;
}

/// A client that reads nothing holds no thread and gets no more than what the sockets hold; others go on; in time it is dropped.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_read_is_given_up() {
    let world = World::new();
    let raw = noise(5 << 20);
    world.add("alice/Big", &[(&raw, NONE), (&raw[..4 << 20], NONE), (&raw[..3 << 20], NONE)]);
    let server = world.serve(Settings { write_timeout_secs: 1, max_at_work: 2, ..open() }).await;
    let mut stuck = Vec::new();
    for _ in 0..8 {
        let mut client = server.alice().await;
        client.ok("SELECT Big").await;
        client.send("f FETCH 1:* BODY.PEEK[]\r\ng FETCH 1:* BODY.PEEK[]\r\n").await;
        stuck.push(client);
    }
    // More of them than there are threads: somebody else is served all the same.
    let mut other = server.alice().await;
    other.ok("SELECT Big").await;
    for _ in 0..20 {
        assert_eq!(other.ok("FETCH 1 UID").await, ["* 1 FETCH (UID 1)"]);
    }
    server.until(|now| now.at_work == 0).await;
    server.until(|now| ended(now, "unread") == 8).await;
    let most = server.watch.snapshot().bytes_out;
    assert!(most < 8 * 2 * raw.len() as u64, "{most} bytes went out");
    server.until(|now| now.sessions == 1 && now.at_work == 0).await;
    assert_eq!(other.ok("FETCH 1 UID").await, ["* 1 FETCH (UID 1)"]);
    drop(stuck);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_work_of_a_client_that_has_gone_stops() {
    const MANY: usize = 1_200;
    let world = World::new();
    let raws: Vec<Vec<u8>> =
        (0..MANY).map(|n| [format!("Subject: {n}\r\n").into_bytes(), noise(60_000)].concat()).collect();
    let all: Vec<(&[u8], SourceFlags)> = raws.iter().map(|raw| (raw.as_slice(), NONE)).collect();
    world.add("alice/Many", &all);
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    client.ok("SELECT Many").await;
    client.send("f FETCH 1:* BODY.PEEK[]\r\n").await;
    assert!(client.line().await.unwrap().starts_with("* 1 FETCH"));
    drop(client);
    server.until(|now| now.sessions == 0 && now.at_work == 0).await;
    let told = server.watch.snapshot().messages;
    assert!(told < MANY as u64, "all {told} were read for nobody");
    server.stopped().await;
}

/// No more threads than the setting allows, whatever the number of sessions that want to work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_sessions_share_three_threads() {
    let world = World::with_fixture();
    let server = world.serve(Settings { max_at_work: 3, ..open() }).await;
    let mut clients = Vec::new();
    for _ in 0..200 {
        clients.push(server.alice().await);
    }
    let watch = server.watch.clone();
    let (ended, mut end) = tokio::sync::oneshot::channel::<()>();
    let looking = tokio::spawn(async move {
        let mut most = 0;
        loop {
            most = most.max(watch.snapshot().at_work);
            if !matches!(end.try_recv(), Err(tokio::sync::oneshot::error::TryRecvError::Empty)) {
                return most;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let mut tasks = Vec::new();
    for mut client in clients {
        tasks.push(tokio::spawn(async move {
            client.ok("SELECT INBOX").await;
            for _ in 0..5 {
                assert_eq!(client.ok("UID FETCH 1:* (UID)").await.len(), 4);
                client.ok("UID SEARCH TEXT e").await;
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    drop(ended);
    let most = looking.await.unwrap();
    assert!((1..=3).contains(&most), "{most} worked at once");
    server.stopped().await;
}

/// The connection ends at every byte of a dialogue; nothing is left of any.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_at_any_byte_nothing_is_left() {
    let world = World::with_fixture();
    let server = world
        .serve(Settings { max_connections_per_user: 3, max_before_login_per_address: 500, ..open() })
        .await;
    let dialogue = format!(
        "a CAPABILITY\r\nb LOGIN {{5+}}\r\nalice \"{PASSWORD}\"\r\nc SELECT INBOX\r\nd FETCH 1:* (ENVELOPE BODY.PEEK[])\r\n\
         e UID SEARCH TEXT {{3+}}\r\nfox\r\nf APPEND x {{4+}}\r\nabcd\r\ng IDLE\r\nDONE\r\nh LOGOUT\r\n"
    );
    // Known, so that logins that nobody waits for don't count as guessing.
    drop(server.alice().await);
    for cut in 1..=dialogue.len() {
        let mut stream = TcpStream::connect(server.plain).await.unwrap();
        stream.write_all(&dialogue.as_bytes()[..cut]).await.unwrap();
        if cut % 3 == 0 {
            // With a reset instead of an orderly end.
            stream.set_zero_linger().unwrap();
        } else if cut % 3 == 1 {
            stream.shutdown().await.unwrap();
            stream.read_to_end(&mut Vec::new()).await.ok();
        }
        drop(stream);
    }
    server.until(|now| now.sessions == 0 && now.logged_in == 0 && now.at_work == 0).await;
    let now = server.watch.snapshot();
    assert_eq!(now.sessions_begun, 1 + dialogue.len() as u64);
    assert_eq!(now.ended.iter().map(|(_, n)| n).sum::<u64>(), 1 + dialogue.len() as u64);
    assert_eq!(ended(&now, "fault"), 0);
    // No place is taken: as many as are allowed get in.
    let all = [server.alice().await, server.alice().await, server.alice().await];
    drop(all);
    server.stopped().await;
}
