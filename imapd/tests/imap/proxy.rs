//! The PROXY protocol on real sockets: who must send a header, and what its address counts for.

use crate::common::{Client, PASSWORD, World, ended, open};
use imapd::{Network, Settings};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// For somebody who came over something that is not TCP.
const UNSPECIFIED: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0";

fn v2(client: [u8; 4]) -> Vec<u8> {
    [SIGNATURE, &[0x21, 0x11, 0, 12], &client, &[127, 0, 0, 1, 4, 210, 0, 143]].concat()
}

fn behind_proxies() -> Settings {
    Settings { proxy_from: vec![Network::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 32)], ..open() }
}

async fn connect(to: SocketAddr, header: &[u8]) -> Client<TcpStream> {
    let mut stream = TcpStream::connect(to).await.unwrap();
    stream.write_all(header).await.unwrap();
    Client::new(stream)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listed_proxy_must_say_for_whom_it_connects() {
    let world = World::new();
    let server = world.serve(behind_proxies()).await;
    // No header, a command in its place, a header that is cut: not a word.
    for bad in [b"".as_slice(), b"a1 CAPABILITY\r\n", &LOCAL[..14], b"PROXY TCP4 x y 1 2\r\n"] {
        let mut client = connect(server.plain, bad).await;
        client.stream.shutdown().await.unwrap();
        assert_eq!(client.rest_of_bytes().await, b"", "{bad:?}");
    }
    server.until(|now| ended(now, "proxy") == 4 && now.sessions == 0).await;
    // With one it is served; behind it, the same bytes may go on.
    let mut client = connect(server.plain, &[&v2([203, 0, 113, 9])[..], b"a NOOP\r\n"].concat()).await;
    assert!(client.line().await.unwrap().starts_with("* OK [CAPABILITY IMAP4rev1 "));
    assert_eq!(client.line().await.unwrap(), "a OK NOOP done");
    // The client isn't on this machine, whatever the proxy is, nor when the header says so.
    let login = format!("LOGIN alice \"{PASSWORD}\"");
    assert!(client.run(&login).await[0].starts_with("NO [PRIVACYREQUIRED]"));
    let mut client = connect(server.plain, &v2([127, 0, 0, 1])).await;
    client.line().await.unwrap();
    assert!(client.run(&login).await[0].starts_with("NO [PRIVACYREQUIRED]"));
    for unknown in [&b"PROXY UNKNOWN\r\n"[..], UNSPECIFIED] {
        let mut client = connect(server.plain, unknown).await;
        assert!(client.line().await.unwrap().starts_with("* OK"), "{unknown:?}");
        assert!(client.run(&login).await[0].starts_with("NO [PRIVACYREQUIRED]"), "{unknown:?}");
    }
    // TLS begins behind the header.
    let mut stream = TcpStream::connect(server.tls).await.unwrap();
    stream.write_all(b"PROXY TCP6 2001:db8::7 ::1 4711 993\r\n").await.unwrap();
    let mut client = Client::new(world.tls(stream).await);
    client.line().await.unwrap();
    client.ok(&login).await;
    // A proxy that looks whether the server is there.
    let mut client = connect(server.plain, LOCAL).await;
    assert!(client.line().await.unwrap().starts_with("* OK"));
    client.ok(&login).await;
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_and_delays_count_for_the_client() {
    let world = World::new();
    let server = world.serve(Settings { max_before_login_per_address: 1, ..behind_proxies() }).await;
    let mut first = connect(server.plain, &v2([203, 0, 113, 1])).await;
    assert!(first.line().await.unwrap().starts_with("* OK"));
    let mut same = connect(server.plain, &v2([203, 0, 113, 1])).await;
    assert_eq!(same.rest().await, ["* BYE Too many connections from your address"]);
    let mut other = connect(server.plain, &v2([203, 0, 113, 2])).await;
    assert!(other.line().await.unwrap().starts_with("* OK"));
    // One customer of IPv6 is one address.
    let six = |last: u8| format!("PROXY TCP6 2001:db8::{last} ::1 4711 143\r\n").into_bytes();
    let mut first = connect(server.plain, &six(1)).await;
    assert!(first.line().await.unwrap().starts_with("* OK"));
    let mut same = connect(server.plain, &six(2)).await;
    assert_eq!(same.rest().await, ["* BYE Too many connections from your address"]);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_anybody_else_a_header_is_a_bad_command() {
    let world = World::new();
    let elsewhere = Network::new(IpAddr::from([192, 0, 2, 0]), 24);
    let server = world.serve(Settings { proxy_from: vec![elsewhere], ..open() }).await;
    let mut client = server.client().await;
    client.send("PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n").await;
    assert_eq!(client.line().await.unwrap(), "PROXY BAD Unknown command");
    let mut client = server.client().await;
    client.send(v2([203, 0, 113, 1])).await;
    client.stream.shutdown().await.unwrap();
    assert!(client.rest().await.iter().all(|line| line.contains("BAD") || line.contains("BYE")));
    server.stopped().await;
}
