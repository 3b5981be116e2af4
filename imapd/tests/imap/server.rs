//! What a dialogue can't say: TLS, bounds, limits, times, news, rights taken away, large answers, any bytes at all.

use crate::common::{Client, PASSWORD, World, open};
use imapd::Settings;
use std::fmt::Write as _;
use storage::SourceFlags;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const NONE: SourceFlags = SourceFlags { answered: false, flagged: false, forwarded: false };

fn login() -> String {
    format!("LOGIN alice \"{PASSWORD}\"")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn passwords_need_tls_and_what_came_before_it_is_forgotten() {
    let world = World::new();
    let server = world.serve(Settings::default()).await;
    let mut client = server.client().await;
    assert!(client.greeting.starts_with("* OK [CAPABILITY IMAP4rev1 "), "{}", client.greeting);
    let offered = client.ok("CAPABILITY").await.join(" ");
    assert!(offered.contains(" STARTTLS LOGINDISABLED ") && !offered.contains("AUTH="), "{offered}");
    assert!(client.run(&login()).await[0].starts_with("NO [PRIVACYREQUIRED]"));
    assert!(client.run("AUTHENTICATE PLAIN AGEAYg==").await[0].starts_with("NO [PRIVACYREQUIRED]"));
    // Injected behind STARTTLS in the same segment: must not be run after TLS has begun.
    client.send("s STARTTLS\r\nx ID NIL\r\ny {5").await;
    assert_eq!(client.line().await.unwrap(), "s OK Begin TLS now");
    let mut client = Client::new(world.tls(client.stream).await);
    assert_eq!(client.run("NOOP").await, ["OK NOOP done"]);
    let offered = client.ok("CAPABILITY").await.join(" ");
    assert!(offered.contains(" AUTH=PLAIN ") && !offered.contains("STARTTLS"), "{offered}");
    assert_eq!(client.run("STARTTLS").await, ["BAD TLS is on already"]);
    client.ok(&login()).await;
    client.ok("SELECT INBOX").await;

    let stream = TcpStream::connect(server.tls).await.unwrap();
    let mut client = Client::new(world.tls(stream).await);
    assert!(client.line().await.unwrap().contains(" AUTH=PLAIN "));
    client.ok(&login()).await;
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_and_literals_at_their_bounds_and_one_past() {
    let world = World::new();
    let server = world.serve(Settings { max_bad: 1_000, max_bad_before_login: 1_000, ..open() }).await;
    let mut client = server.client().await;
    let d = Settings::default();
    for (line, literal) in
        [(d.max_line_before_login, d.max_literal_before_login), (d.max_line, d.max_literal)]
    {
        let id = |len: usize| format!("i ID (\"n\" \"{}\")", "x".repeat(len - "i ID (\"n\" \"\")".len()));
        client.send(id(line) + "\r\n").await;
        assert!(client.line().await.unwrap().starts_with("* ID ("));
        assert_eq!(client.line().await.unwrap(), "i OK ID done");
        client.send(id(line + 1) + "\r\n").await;
        assert_eq!(client.line().await.unwrap(), "i BAD [TOOBIG] The command line is too long");
        let wide = |n: usize| format!("i ID (\"n\" {{{n}+}}\r\n{})\r\n", "y".repeat(n));
        client.send(wide(literal)).await;
        assert!(client.line().await.unwrap().starts_with("* ID ("));
        assert_eq!(client.line().await.unwrap(), "i OK ID done");
        // One past: swallowed whole, although it looks like commands.
        let evil = "z LOGOUT\r\n".repeat(literal / 10 + 1);
        client.send(format!("i ID (\"n\" {{{}+}}\r\n{evil})\r\n", evil.len())).await;
        assert_eq!(client.line().await.unwrap(), "i BAD [TOOBIG] The literal is too large");
        client.send(format!("i ID (\"n\" {{{}}}\r\n", literal + 1)).await;
        assert_eq!(client.line().await.unwrap(), "i BAD [TOOBIG] The literal is too large");
        if literal == d.max_literal_before_login {
            client.ok(&login()).await;
        }
    }
    client.send("h NOOP {1073741825+}\r\n").await;
    assert_eq!(client.rest().await, ["* BYE [TOOBIG] The literal is too large"]);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_commands_are_counted() {
    let world = World::new();
    let server = world.serve(open()).await;
    let bye = "* BYE Too many bad commands";
    let mut client = server.client().await;
    client.send("a X\r\nb X\r\nc NOOP\r\n").await;
    for expected in ["a BAD Unknown command", "b BAD Unknown command", "c OK NOOP done"] {
        assert_eq!(client.line().await.unwrap(), expected);
    }
    client.send("d X\r\n").await;
    assert_eq!(client.rest().await, ["d BAD Unknown command", bye]);
    let mut client = server.client().await;
    client.send("a X\r\nb X\r\n").await;
    client.line().await;
    client.line().await;
    // A login wipes the slate.
    client.ok(&login()).await;
    for _ in 0..19 {
        assert_eq!(client.run("X").await, ["BAD Unknown command"]);
    }
    client.ok("NOOP").await;
    assert_eq!(client.run("X").await, ["BAD Unknown command"]);
    assert_eq!(client.rest().await, [bye]);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_counted_per_address_and_user() {
    let world = World::new();
    let settings = Settings {
        max_before_login_per_address: 2,
        max_connections_per_address: 4,
        max_connections_per_user: 2,
        ..open()
    };
    let server = world.serve(settings).await;
    let too_many = "* BYE Too many connections from your address";
    let first = server.client().await;
    let mut second = server.client().await;
    let mut over = server.client().await;
    assert_eq!(over.greeting, too_many);
    assert_eq!(over.line().await, None);
    let stream = TcpStream::connect(server.tls).await.unwrap();
    assert_eq!(Client::new(world.tls(stream).await).line().await.unwrap(), too_many);
    second.ok(&login()).await;
    let third = server.alice().await;
    let mut fourth = server.client().await;
    assert_eq!(fourth.run_to_end(&login()).await, ["* BYE Too many connections of this user"]);
    let mut fourth = server.client().await;
    fourth.ok(&format!("LOGIN bob \"{PASSWORD}\"")).await;
    let over = server.client().await;
    assert_eq!(over.greeting, too_many);
    drop((first, third));
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn times_run_out() {
    let world = World::new();
    let late = "* BYE Autologout: nothing was heard in time";
    let server = world.serve(Settings { login_timeout_secs: 1, ..open() }).await;
    let mut client = server.client().await;
    client.ok("NOOP").await;
    assert_eq!(client.rest().await, [late]);
    server.stopped().await;
    // From the first byte, whatever trickles in after it.
    let server = world.serve(Settings { command_timeout_secs: 1, ..open() }).await;
    let mut client = server.alice().await;
    client.send("a NO").await;
    assert_eq!(client.rest().await, [late]);
    server.stopped().await;
    let server = world.serve(Settings { idle_timeout_secs: 1, ..open() }).await;
    let mut client = server.alice().await;
    client.send("a IDLE\r\n").await;
    assert_eq!(client.rest().await, ["+ idling", late]);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn news_come_in_idle_and_with_other_commands() {
    let world = World::with_fixture();
    let server = world.serve(open()).await;
    let mut idle = server.alice().await;
    let mut other = server.alice().await;
    idle.ok("SELECT Empty").await;
    other.ok("SELECT Empty").await;
    idle.send("i IDLE\r\n").await;
    assert_eq!(idle.line().await.unwrap(), "+ idling");
    world.add("alice/Entw\u{fc}rfe & mehr", &[(b"Subject: elsewhere\r\n\r\n", NONE)]);
    world.add("alice/Empty", &[(b"Subject: a\r\n\r\n", NONE), (b"Subject: b\r\n\r\n", NONE)]);
    assert_eq!(idle.line().await.unwrap(), "* 2 EXISTS");
    assert_eq!(idle.line().await.unwrap(), "* 0 RECENT");
    idle.send("DONE\r\n").await;
    assert_eq!(idle.line().await.unwrap(), "i OK IDLE done");
    assert_eq!(idle.ok("UID FETCH 1:* (FLAGS)").await.len(), 2);
    // A command counts in what its session knew when it began; the news come at its end.
    let told = other.run("FETCH 1:2 FLAGS").await;
    assert_eq!(told, ["BAD No message has that number"]);
    assert_eq!(other.ok("SEARCH ALL").await, ["* SEARCH", "* 2 EXISTS", "* 0 RECENT"]);
    assert_eq!(other.ok("SEARCH ALL").await, ["* SEARCH 1 2"]);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everyone_hears_bye_when_the_server_stops() {
    let world = World::with_fixture();
    let server = world.serve(open()).await;
    let mut waiting = server.client().await;
    let mut idle = server.alice().await;
    idle.send("i IDLE\r\n").await;
    assert_eq!(idle.line().await.unwrap(), "+ idling");
    server.ask_to_stop();
    let bye = "* BYE The server is going down";
    assert_eq!(waiting.rest().await, [bye]);
    assert_eq!(idle.rest().await, [bye]);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_count_from_the_next_command_on() {
    let world = World::with_fixture();
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    client.ok("SELECT \"Other Archives/bob/Inbox\"").await;
    let before = client.ok("LIST \"\" *").await;
    world.auth.set_right("alice", "bob", None).unwrap();
    assert_eq!(
        client.run_to_end("FETCH 1 FLAGS").await,
        ["* BYE The selected mailbox is not there any more"]
    );
    let mut client = server.alice().await;
    let after = client.ok("LIST \"\" *").await;
    let without: Vec<_> = before.into_iter().filter(|l| !l.contains("Other Archives")).collect();
    assert_eq!(after, without, "no trace is left");
    for name in ["bob/Inbox", "carol/Secret", "nobody/x", "bob"] {
        for command in ["SELECT", "EXAMINE", "MYRIGHTS", "GETACL"] {
            let answer = client.run(&format!("{command} \"Other Archives/{name}\"")).await;
            assert_eq!(answer, ["NO [NONEXISTENT] There is no such mailbox"]);
        }
    }
    world.auth.remove("alice").unwrap();
    assert_eq!(client.run_to_end("NOOP").await, ["* BYE Logged out by the administrator"]);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inbox_is_there_without_a_folder() {
    let world = World::with_fixture();
    let server = world.serve(open()).await;
    let mut client = server.client().await;
    client.ok(&format!("LOGIN carol \"{PASSWORD}\"")).await;
    let listed = client.ok("LIST \"\" *").await;
    let expected = [
        "* LIST (\\HasNoChildren \\All) \"/\" \"All Mail\"",
        "* LIST (\\HasNoChildren) \"/\" INBOX",
        "* LIST (\\HasNoChildren) \"/\" \"Secret\"",
    ];
    assert_eq!(listed, expected);
    let selected = client.ok("SELECT inbox").await;
    for line in ["* 0 EXISTS", "* OK [UIDVALIDITY 1] For good", "* OK [UIDNEXT 1] Next UID"] {
        assert!(selected.contains(&line.to_owned()), "{selected:?}");
    }
    assert_eq!(client.ok("UID FETCH 1:* (FLAGS)").await, Vec::<String>::new());
    assert_eq!(client.ok("UID SEARCH BODY x").await, ["* SEARCH"]);
    let status = client.ok("STATUS INBOX (MESSAGES UIDVALIDITY)").await;
    assert_eq!(status, ["* STATUS INBOX (MESSAGES 0 UIDVALIDITY 1)"]);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_setting_refuses_store() {
    let world = World::with_fixture();
    let server = world.serve(Settings { refuse_store: true, ..open() }).await;
    let mut client = server.alice().await;
    client.ok("SELECT INBOX").await;
    let answer = client.run("STORE 1 +FLAGS (\\Seen)").await;
    assert_eq!(answer, ["NO [NOPERM] The archive is read-only"]);
    server.stopped().await;
}

/// Bytes that don't compress and repeat nowhere, with NULs and lone CRs among them, as canonical lines.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut out = b"Subject: noise\r\nContent-Type: application/octet-stream\r\n\r\n".to_vec();
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend(state.to_le_bytes().map(|b| if b == b'\n' { b'\r' } else { b }));
        if state.is_multiple_of(9) {
            out.extend_from_slice(b"\r\n");
        }
    }
    out.truncate(len);
    // A last CR or LF would make the canonical form longer.
    if let Some(last) = out.last_mut() {
        *last = b'.';
    }
    out
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_messages_come_whole_and_in_parts() {
    let world = World::new();
    let raw = noise(3 << 20);
    world.add("alice/Big", &[(&raw, NONE), (&raw[..70_000], NONE), (b"", NONE)]);
    let shown: Vec<u8> = raw.iter().map(|&b| if b == 0 { 0x80 } else { b }).collect();
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    client.ok("SELECT Big").await;
    let mut size = String::new();
    for (n, len) in [(1, raw.len()), (2, 70_000)] {
        size = format!("* {n} FETCH (RFC822.SIZE {len})");
        assert_eq!(client.ok(&format!("FETCH {n} RFC822.SIZE")).await, [size.clone()]);
        client.send(format!("a FETCH {n} BODY.PEEK[]\r\n")).await;
        assert_eq!(client.line().await.unwrap(), format!("* {n} FETCH (BODY[] {{{len}}}"));
        assert!(client.exactly(len).await == shown[..len].to_vec(), "message {n}");
        assert_eq!(client.line().await.unwrap(), ")");
        assert_eq!(client.line().await.unwrap(), "a OK FETCH done");
    }
    assert!(size.contains("70000"));
    for (first, count) in [(0, 1), (1 << 20, 1 << 20), (262_143, 2), (raw.len() - 1, 10), (raw.len(), 10)] {
        let end = (first + count).min(raw.len());
        client.send(format!("a FETCH 1 BODY.PEEK[]<{first}.{count}>\r\n")).await;
        let announced = format!("* 1 FETCH (BODY[]<{first}> {{{}}}", end - first);
        assert_eq!(client.line().await.unwrap(), announced);
        assert!(client.exactly(end - first).await == shown[first..end].to_vec(), "from {first}");
        assert_eq!(client.line().await.unwrap(), ")");
        assert_eq!(client.line().await.unwrap(), "a OK FETCH done");
    }
    client.send("a FETCH 1 BODY.PEEK[TEXT]\r\n").await;
    let header = raw.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(client.line().await.unwrap(), format!("* 1 FETCH (BODY[TEXT] {{{}}}", raw.len() - header));
    assert!(client.exactly(raw.len() - header).await == shown[header..].to_vec());
    assert_eq!(client.line().await.unwrap(), ")");
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_messages_and_pipelined_commands_in_order() {
    const MANY: usize = 3_000;
    let world = World::new();
    let raws: Vec<Vec<u8>> =
        (1..=MANY).map(|n| format!("Subject: message {n}\r\n\r\nbody of {n}\r\n").into_bytes()).collect();
    let all: Vec<(&[u8], SourceFlags)> = raws.iter().map(|r| (r.as_slice(), NONE)).collect();
    world.add("alice/Many", &all);
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    client.ok("SELECT Many").await;
    let expected: Vec<_> = (1..=MANY).map(|n| format!("* {n} FETCH (UID {n} FLAGS (\\Seen))")).collect();
    assert!(client.ok("UID FETCH 1:* (FLAGS)").await == expected);
    let numbers = (1..=MANY).fold(String::from("* SEARCH"), |mut s, n| {
        write!(s, " {n}").unwrap();
        s
    });
    assert_eq!(client.ok("SEARCH ALL").await, [numbers]);
    assert_eq!(client.ok("UID SEARCH RETURN (ALL COUNT) ALL").await.len(), 1);
    // mbsync's way: one FETCH a message, all sent at once.
    let mut sent = String::new();
    for n in 1..=200 {
        write!(sent, "p{n} UID FETCH {n} (BODY.PEEK[])\r\n").unwrap();
    }
    client.send(sent).await;
    for n in 1..=200 {
        let raw = &raws[n - 1];
        let head = format!("* {n} FETCH (UID {n} BODY[] {{{}}}", raw.len());
        assert_eq!(client.line().await.unwrap(), head);
        assert_eq!(&client.exactly(raw.len()).await, raw);
        assert_eq!(client.line().await.unwrap(), ")");
        assert_eq!(client.line().await.unwrap(), format!("p{n} OK FETCH done"));
    }
    // Hundreds of ORs, and a sequence set as long as a line may be.
    let ors = format!("SEARCH {}{}", "OR ".repeat(499), "SUBJECT \"e 2999\" ".repeat(500));
    assert_eq!(client.ok(ors.trim_end()).await, ["* SEARCH 2999"]);
    let set: Vec<_> = (1..=MANY).rev().map(|n| n.to_string()).collect();
    assert_eq!(client.ok(&format!("FETCH {} UID", set.join(","))).await.len(), MANY);
    server.stopped().await;
}

/// Random bytes, words and ends of lines: the server answers or closes, and goes on serving others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_bytes_are_answered_or_end_the_connection() {
    use proptest::prelude::*;
    use proptest::strategy::ValueTree;
    use proptest::test_runner::{Config, RngSeed, TestRunner};
    let world = World::with_fixture();
    let server = world.serve(open()).await;
    let mut runner = TestRunner::new(Config { rng_seed: RngSeed::Fixed(7), ..Config::default() });
    let word = prop_oneof![
        4 => prop::sample::select(vec![
            "a ", "b ", "\r\n", "\r\n", "\n", "{3}", "{3+}", "{99+}\r\n", "UID ", "FETCH ", "SEARCH ", "STORE ", "SELECT INBOX",
            "1:*", "*", "(", ")", "BODY[", "]", "<0.1>", "OR ", "NOT ", "\"", "\\", "LIST ", "IDLE", "DONE", "AUTHENTICATE PLAIN",
            "CHARSET ", "&-", "%", "HEADER.FIELDS ", "STATUS ", "ID ", "NIL", " ", "2.1",
        ]).prop_map(|w| w.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..12),
    ];
    let input = prop::collection::vec(word, 1..60);
    for round in 0..200 {
        let bytes = input.new_tree(&mut runner).unwrap().current().concat();
        let mut client = if round % 2 == 0 { server.client().await } else { server.alice().await };
        if round % 4 == 3 {
            client.ok("SELECT INBOX").await;
        }
        // The server may have closed before all was sent.
        if client.stream.write_all(&bytes).await.is_ok() {
            client.stream.shutdown().await.ok();
        }
        // Ends only when the server closes; a hang is a failure.
        client.drain().await;
    }
    let mut client = server.alice().await;
    client.ok("SELECT INBOX").await;
    server.stopped().await;
}
