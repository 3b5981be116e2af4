//! Logins over real sockets: SCRAM line by line, what is refused at each of its steps, and sessions that end when what they came by does.

use crate::common::{Client, PASSWORD, World, open};
use auth::Network;
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use imapd::Settings;
use std::num::NonZeroU32;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

const DENIED: &str = "NO [AUTHENTICATIONFAILED] User name or password is wrong";

/// What a client says last, from RFC 5802 §3; and what the server must answer.
fn last(challenge: &str, bare: &str, channel: &[u8], password: &str) -> (String, String) {
    let field = |key: &str| challenge.split(',').find_map(|field| field.strip_prefix(key)).unwrap();
    let salt = BASE64.decode(field("s=")).unwrap();
    let iterations = NonZeroU32::new(field("i=").parse().unwrap()).unwrap();
    let mut salted = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, password.as_bytes(), &mut salted);
    let sign =
        |key: &[u8], text: &[u8]| hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec();
    let client = sign(&salted, b"Client Key");
    let stored = digest::digest(&digest::SHA256, &client);
    let without = format!("c={},r={}", BASE64.encode(channel), field("r="));
    let message = format!("{bare},{challenge},{without}");
    let signature = sign(stored.as_ref(), message.as_bytes());
    let proof: Vec<u8> = client.iter().zip(&signature).map(|(a, b)| a ^ b).collect();
    let server = sign(&sign(&salted, b"Server Key"), message.as_bytes());
    (format!("{without},p={}", BASE64.encode(proof)), format!("v={}", BASE64.encode(server)))
}

async fn said<S: AsyncRead + AsyncWrite + Unpin>(client: &mut Client<S>) -> String {
    let line = client.line().await.unwrap();
    let text = line.strip_prefix("+ ").unwrap_or_else(|| panic!("{line}"));
    String::from_utf8(BASE64.decode(text).unwrap()).unwrap()
}

async fn say<S: AsyncRead + AsyncWrite + Unpin>(client: &mut Client<S>, text: &str) {
    client.send(BASE64.encode(text) + "\r\n").await;
}

/// A whole exchange; the tagged line at its end.
async fn scram<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Client<S>,
    mechanism: &str,
    gs2: &str,
    data: &[u8],
    name: &str,
    password: &str,
) -> String {
    let bare = format!("n={name},r=fyko+d2lbbFgONRv9qkxdawL");
    let first = BASE64.encode(format!("{gs2}{bare}"));
    client.send(format!("s AUTHENTICATE {mechanism} {first}\r\n")).await;
    let line = client.line().await.unwrap();
    let Some(challenge) = line.strip_prefix("+ ") else {
        return line.strip_prefix("s ").unwrap().to_owned();
    };
    let challenge = String::from_utf8(BASE64.decode(challenge).unwrap()).unwrap();
    let (last, expected) = last(&challenge, &bare, &[gs2.as_bytes(), data].concat(), password);
    say(client, &last).await;
    let line = client.line().await.unwrap();
    if let Some(end) = line.strip_prefix("s ") {
        return end.to_owned();
    }
    assert_eq!(
        BASE64.decode(line.strip_prefix("+ ").unwrap()).unwrap(),
        expected.as_bytes(),
        "the server's proof"
    );
    client.send("\r\n").await;
    let mut line = client.line().await.unwrap();
    if line.starts_with("* CAPABILITY") {
        line = client.line().await.unwrap();
    }
    line.strip_prefix("s ").unwrap().to_owned()
}

fn exported(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    let connection = stream.get_ref().1;
    connection.export_keying_material([0_u8; 32], b"EXPORTER-Channel-Binding", Some(b"")).unwrap().to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scram_with_and_without_channel_binding() {
    let world = World::new();
    let server = world.serve(open()).await;
    let mut client = server.client().await;
    assert!(client.greeting.contains(" AUTH=SCRAM-SHA-256 AUTH=PLAIN "), "{}", client.greeting);
    assert!(!client.greeting.contains("-PLUS"));
    let refused = scram(&mut client, "SCRAM-SHA-256-PLUS", "p=tls-exporter,,", b"x", "alice", PASSWORD).await;
    assert_eq!(refused, "NO [CANNOT] The mechanism is not offered");
    assert_eq!(scram(&mut client, "SCRAM-SHA-256", "n,,", b"", "alice", "wrong horse").await, DENIED);
    assert_eq!(scram(&mut client, "SCRAM-SHA-256", "n,,", b"", "nobody", PASSWORD).await, DENIED);
    assert_eq!(scram(&mut client, "scram-sha-256", "y,,", b"", "alice", PASSWORD).await, "OK Logged in");
    client.ok("SELECT INBOX").await;

    for (flag, data, well) in [
        ("p=tls-exporter,,", None, true),
        ("p=tls-exporter,,", Some("other"), false),
        ("n,,", Some(""), false),
    ] {
        let mut client = Client::new(world.tls(TcpStream::connect(server.tls).await.unwrap()).await);
        let greeting = client.line().await.unwrap();
        assert!(greeting.contains(" AUTH=SCRAM-SHA-256-PLUS AUTH=SCRAM-SHA-256 AUTH=PLAIN "), "{greeting}");
        let data = data.map_or_else(|| exported(&client.stream), |data| data.as_bytes().to_vec());
        let end = scram(&mut client, "SCRAM-SHA-256-PLUS", flag, &data, "alice", PASSWORD).await;
        assert_eq!(end, if well { "OK Logged in" } else { DENIED }, "{flag}");
    }
    // Whoever stands between and takes the better mechanism out of the list makes the client say y.
    let mut client = Client::new(world.tls(TcpStream::connect(server.tls).await.unwrap()).await);
    client.line().await.unwrap();
    assert_eq!(scram(&mut client, "SCRAM-SHA-256", "y,,", b"", "alice", PASSWORD).await, DENIED);
    assert_eq!(scram(&mut client, "SCRAM-SHA-256", "n,,", b"", "alice", PASSWORD).await, "OK Logged in");
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_at_every_step_ends_the_exchange_and_nothing_else() {
    let world = World::new();
    let server = world.serve(Settings { max_bad_before_login: 1_000, ..open() }).await;
    let garbage =
        ["", "=", "!!!", "AAAA", "bixhPWJvYixuPWFsaWNlLHI9YQ==", "biwsbj1hbGljZQ==", "\0\0", "c=biws"];
    for bad in garbage
        .iter()
        .map(|text| text.to_string())
        .chain([BASE64.encode([0; 3_000]), BASE64.encode([0xff; 300])])
    {
        let mut client = server.client().await;
        client.send(format!("a AUTHENTICATE SCRAM-SHA-256\r\n{bad}\r\n")).await;
        assert_eq!(client.line().await.unwrap(), "+ ");
        assert!(client.line().await.unwrap().starts_with("a "), "{bad:?}");
        client.send("b AUTHENTICATE SCRAM-SHA-256 biwsbj1hbGljZSxyPWFiYw==\r\n").await;
        said(&mut client).await;
        client.send(format!("{bad}\r\n")).await;
        assert!(client.line().await.unwrap().starts_with("b NO [AUTHENTICATIONFAILED]"), "{bad:?}");
        assert_eq!(client.run("NOOP").await, ["OK NOOP done"]);
        drop(client);
        // What was done to this address is another test's matter.
        world
            .auth
            .login(
                &auth::Attempt {
                    name: "alice",
                    need: auth::Privilege::Imap,
                    from: Some([127, 0, 0, 1].into()),
                    how: auth::How::Plain,
                },
                &zeroize::Zeroizing::new(PASSWORD.to_owned()),
            )
            .unwrap();
    }
    let mut client = server.client().await;
    client.send("c AUTHENTICATE SCRAM-SHA-256\r\n*\r\n").await;
    assert_eq!(client.line().await.unwrap(), "+ ");
    assert_eq!(client.line().await.unwrap(), "c BAD AUTHENTICATE cancelled");
    // The proof was right, but the login isn't there before the empty line.
    client.send("d AUTHENTICATE SCRAM-SHA-256 biwsbj1hbGljZSxyPWFiYw==\r\n").await;
    let challenge = said(&mut client).await;
    let (proof, _) = last(&challenge, "n=alice,r=abc", b"n,,", PASSWORD);
    say(&mut client, &proof).await;
    said(&mut client).await;
    client.send("*\r\n").await;
    assert_eq!(client.line().await.unwrap(), "d BAD AUTHENTICATE cancelled");
    assert!(client.run("SELECT INBOX").await[0].starts_with("BAD"));
    // The same proof again, in another exchange.
    client.send("e AUTHENTICATE SCRAM-SHA-256 biwsbj1hbGljZSxyPWFiYw==\r\n").await;
    said(&mut client).await;
    say(&mut client, &proof).await;
    assert_eq!(client.line().await.unwrap(), format!("e {DENIED}"));
    client.ok(&format!("LOGIN alice \"{PASSWORD}\"")).await;
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_end_with_what_they_came_by() {
    let world = World::new();
    let server = world.serve(open()).await;
    let (phone, word) = world.auth.create_app_password("alice", "Phone").unwrap();
    let mut idle = server.client().await;
    idle.ok(&format!("LOGIN alice {}", word.as_str())).await;
    idle.send("i IDLE\r\n").await;
    assert!(idle.line().await.unwrap().starts_with("+ "));
    let mut by_scram = server.client().await;
    assert_eq!(scram(&mut by_scram, "SCRAM-SHA-256", "n,,", b"", "alice", &word).await, "OK Logged in");
    let mut other = server.alice().await;
    let listed = server.watch.sessions();
    let by: Vec<&str> = listed.iter().map(|entry| entry.by.as_str()).collect();
    assert_eq!(
        by,
        [format!("app password {}", phone.id).as_str(), &format!("app password {}", phone.id), "password"]
    );

    world.auth.revoke_app_password("alice", "Phone").unwrap();
    let bye = "* BYE The password was changed or revoked; log in again";
    assert_eq!(idle.line().await.unwrap(), bye, "though it asked for nothing");
    assert_eq!(by_scram.run_to_end("NOOP").await.last().unwrap(), bye);
    other.ok("NOOP").await;

    world.auth.set_password("alice", &zeroize::Zeroizing::new("another horse".to_owned())).unwrap();
    assert_eq!(other.run_to_end("NOOP").await.last().unwrap(), bye);
    let mut client = server.client().await;
    client.ok("LOGIN alice \"another horse\"").await;
    let mut bob = server.client().await;
    bob.ok(&format!("LOGIN bob \"{PASSWORD}\"")).await;
    client.send("i IDLE\r\n").await;
    assert!(client.line().await.unwrap().starts_with("+ "));
    let killed = server.watch.kill(|entry| entry.user == "alice");
    assert_eq!(killed.len(), 1);
    world.auth.look_again();
    assert_eq!(client.line().await.unwrap(), "* BYE Logged out by the administrator");
    bob.ok("NOOP").await;
    // It is told first and taken from the list then.
    server.until(|_| server.watch.sessions().len() == 1).await;

    world.auth.set_must_change("bob", true).unwrap();
    assert_eq!(bob.run_to_end("NOOP").await.last().unwrap(), "* BYE [EXPIRED] The password must be changed");
    let mut bob = server.client().await;
    let refusal = bob.run(&format!("LOGIN bob \"{PASSWORD}\"")).await;
    assert!(refusal[0].starts_with("NO [EXPIRED] The password must be changed"), "{refusal:?}");
    assert!(scram(&mut bob, "SCRAM-SHA-256", "n,,", b"", "bob", PASSWORD).await.starts_with("NO [EXPIRED]"));
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn networks_are_asked_before_passwords() {
    let world = World::new();
    let server = world.serve(open()).await;
    let elsewhere: Network = "192.0.2.0/24".parse().unwrap();
    let mut client = server.alice().await;
    world.auth.set_allow_from("alice", vec![elsewhere]).unwrap();
    assert!(client.run_to_end("NOOP").await.last().unwrap().starts_with("* BYE"));
    let mut client = server.client().await;
    assert_eq!(client.run(&format!("LOGIN alice \"{PASSWORD}\"")).await, [DENIED]);
    assert_eq!(scram(&mut client, "SCRAM-SHA-256", "n,,", b"", "alice", PASSWORD).await, DENIED);
    client.ok(&format!("LOGIN bob \"{PASSWORD}\"")).await;
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_exchanges_keep_no_good_login_out() {
    // By hand, ten thousand.
    let bad = if std::env::var_os("MAILKEEP_LONG").is_some_and(|v| v == "1") { 10_000 } else { 200 };
    let world = World::new();
    let server = world.serve(Settings { max_bad_before_login: 1_000_000, ..open() }).await;
    // Who logs in from here is known; the others are strangers behind the same address.
    server.alice().await;
    let attack = async {
        let mut client = server.client().await;
        for n in 0..bad {
            let first = BASE64.encode(format!("n,,n=user{n},r=abc"));
            client.send(format!("x AUTHENTICATE SCRAM-SHA-256 {first}\r\n")).await;
            said(&mut client).await;
            client.send("AAAA\r\n").await;
            assert!(client.line().await.unwrap().starts_with("x NO ["));
        }
    };
    let good = async {
        for _ in 0..100 {
            server.alice().await;
        }
    };
    tokio::join!(attack, good);
    let now = server.watch.snapshot();
    assert_eq!((now.logins_ok, now.logins_delayed), (101, 0));
    server.stopped().await;
}
