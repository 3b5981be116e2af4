//! Long searches: what they tell, who waits, and that nobody works for a client that has gone. And the bounds of needles.

use crate::common::{IN_PROGRESS, PASSWORD, World, open};
use imapd::Settings;
use storage::SourceFlags;

const NONE: SourceFlags = SourceFlags { answered: false, flagged: false, forwarded: false };

/// Punctuation without end, in no order: no index narrows a search in it.
fn noise(len: usize) -> String {
    const SIGNS: &[u8] = b"-!?.,;:~";
    let mut dice = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(SIGNS[(dice >> 61) as usize])
    };
    (0..len).map(|n| if n % 70 == 69 { '\n' } else { next() }).collect()
}

/// A thousand needles that are all nearly there.
fn needles() -> String {
    let text = noise(30 * 1_024).replace('\n', "-");
    let all: Vec<String> = (0..1_024)
        .map(|n| {
            let piece = &text[n * 30..n * 30 + 20];
            format!("TEXT \"{piece}~~~~\"")
        })
        .collect();
    format!("{}{}", "OR ".repeat(1_023), all.join(" "))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_that_takes_long_tells_how_far_it_is() {
    let world = World::new();
    let mail = format!("Subject: noise\n\n{}", noise(100_000));
    world.add("alice/Noise", &[(mail.as_bytes(), NONE); 20]);
    let server = world.serve(Settings { progress_after_ms: 0, progress_every_ms: 1, ..open() }).await;
    let mut client = server.alice().await;
    client.ok("SELECT Noise").await;
    client.send(format!("s1 SEARCH {}\r\ns2 SEARCH RETURN (COUNT) TEXT \"~~zz~~\"\r\n", needles())).await;
    for (tag, answer) in [("s1", "* SEARCH"), ("s2", "* ESEARCH (TAG \"s2\") COUNT 0")] {
        let (mut told, mut last) = (0, 0);
        loop {
            let line = client.line().await.unwrap();
            let Some(progress) = line.strip_prefix(&format!("{IN_PROGRESS}\"{tag}\" ")) else {
                assert_eq!(line, answer);
                break;
            };
            told += 1;
            let numbers = progress.strip_suffix(")] Still searching").unwrap();
            if numbers != "NIL NIL" {
                let (done, total) = numbers.split_once(' ').unwrap();
                let done: u64 = done.parse().unwrap();
                assert!(total == "20" && (last..=20).contains(&done), "{line}");
                last = done;
            }
        }
        // The second one finds the text in memory, and may be done before it is due.
        assert!(told > 0 || tag == "s2");
        assert_eq!(client.line().await.unwrap(), format!("{tag} OK SEARCH done"));
    }
    // One that needs no message is answered at once.
    client.send("s3 SEARCH LARGER 1\r\ns4 NOOP\r\n").await;
    for expected in [
        format!("* SEARCH{}", (1..=20).map(|n| format!(" {n}")).collect::<String>()),
        "s3 OK SEARCH done".into(),
    ] {
        assert_eq!(client.line().await.unwrap(), expected);
    }
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_wait_their_turn_and_a_client_that_goes_gives_its_place_back() {
    let world = World::with_fixture();
    // The whole search would take minutes.
    let mail = format!("Subject: noise\n\n{}", noise(1_000_000));
    world.add("alice/Noise", &[(mail.as_bytes(), NONE); 300]);
    let settings = Settings { max_searches: 1, progress_after_ms: 0, progress_every_ms: 20, ..open() };
    let server = world.serve(settings).await;
    let mut heavy = server.alice().await;
    heavy.ok("SELECT Noise").await;
    heavy.send(format!("h SEARCH {}\r\n", needles())).await;
    // It has its place once it knows how much there is to do.
    loop {
        let line = heavy.line().await.unwrap();
        let numbers = line.strip_prefix(&format!("{IN_PROGRESS}\"h\" ")).expect("it tells how far it is");
        if numbers.ends_with(" 300)] Still searching") {
            break;
        }
    }
    let mut bob = server.client().await;
    bob.ok(&format!("LOGIN bob \"{PASSWORD}\"")).await;
    bob.ok("SELECT INBOX").await;
    bob.send("w SEARCH BODY \"summ\"\r\n").await;
    for _ in 0..3 {
        assert_eq!(bob.line().await.unwrap(), format!("{IN_PROGRESS}\"w\" NIL NIL)] Still searching"));
    }
    // What needs no message waits for nobody.
    let mut carol = server.client().await;
    carol.ok(&format!("LOGIN carol \"{PASSWORD}\"")).await;
    carol.ok("SELECT Secret").await;
    assert_eq!(carol.ok("SEARCH SEEN SINCE 1-Jan-1990").await, ["* SEARCH 1"]);
    // Who goes while waiting is no trouble.
    carol.send("x SEARCH BODY nothing\r\n").await;
    drop(carol);
    drop(heavy);
    loop {
        let line = bob.line().await.unwrap();
        if !line.starts_with(IN_PROGRESS) {
            assert_eq!(line, "* SEARCH 1");
            break;
        }
    }
    assert_eq!(bob.line().await.unwrap(), "w OK SEARCH done");
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn needles_at_their_bound_and_past_it() {
    let world = World::with_fixture();
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    client.ok("SELECT INBOX").await;
    let literal = |len: usize| format!("SEARCH BODY {{{len}+}}\r\n{}", "x".repeat(len));
    assert_eq!(client.run(&literal(65_536)).await, ["* SEARCH", "OK SEARCH done"]);
    assert_eq!(client.run(&literal(65_537)).await, ["BAD [TOOBIG] The literal is too large"]);
    assert_eq!(client.run("SEARCH BODY {3+}\r\na\0b").await, ["BAD a literal has a NUL"]);
    let saved = "SEARCH RETURN (SAVE COUNT) ALL";
    assert_eq!(client.ok(saved).await, ["* ESEARCH (TAG \"t6\") COUNT 4"]);
    assert_eq!(client.ok("SEARCH RETURN (COUNT) $").await, ["* ESEARCH (TAG \"t7\") COUNT 4"]);
    server.stopped().await;
}
