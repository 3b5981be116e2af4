//! COMPRESS=DEFLATE (RFC 4978) with a client that compresses: answers, pipelining, bombs, memory of bounds, TLS.

use crate::common::{Client, PASSWORD, World, open};
use crate::server::noise;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use imapd::Settings;
use storage::SourceFlags;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;

const NONE: SourceFlags = SourceFlags { answered: false, flagged: false, forwarded: false };

/// Compressed, up to a point from which all before can be read.
fn deflated(compress: &mut Compress, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + 1_024);
    let before = compress.total_in();
    loop {
        let done = usize::try_from(compress.total_in() - before).unwrap();
        out.reserve(4_096);
        compress.compress_vec(&bytes[done..], &mut out, FlushCompress::Sync).unwrap();
        if compress.total_in() - before == bytes.len() as u64 && out.len() < out.capacity() {
            return out;
        }
    }
}

/// A stream on which a plain client can speak, compressed on the other side.
fn compressing<S: AsyncRead + AsyncWrite + Send + 'static>(stream: S) -> DuplexStream {
    let (near, far) = tokio::io::duplex(1 << 16);
    let (mut from_server, mut to_server) = tokio::io::split(stream);
    let (mut from_client, mut to_client) = tokio::io::split(far);
    tokio::spawn(async move {
        let (mut compress, mut piece) = (Compress::new(Compression::default(), false), vec![0; 1 << 16]);
        while let Ok(n @ 1..) = from_client.read(&mut piece).await {
            if to_server.write_all(&deflated(&mut compress, &piece[..n])).await.is_err() {
                return;
            }
            to_server.flush().await.ok();
        }
        to_server.shutdown().await.ok();
    });
    tokio::spawn(async move {
        let (mut inflate, mut piece, mut out) = (Decompress::new(false), vec![0; 1 << 16], vec![0; 1 << 16]);
        while let Ok(n @ 1..) = from_server.read(&mut piece).await {
            let mut rest = &piece[..n];
            loop {
                let before = (inflate.total_in(), inflate.total_out());
                let status = inflate.decompress(rest, &mut out, FlushDecompress::None).unwrap();
                assert_ne!(status, Status::StreamEnd);
                rest = &rest[usize::try_from(inflate.total_in() - before.0).unwrap()..];
                let given = usize::try_from(inflate.total_out() - before.1).unwrap();
                to_client.write_all(&out[..given]).await.unwrap();
                if rest.is_empty() && given < out.len() {
                    break;
                }
            }
        }
        to_client.shutdown().await.ok();
    });
    near
}

async fn begin<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    mut client: Client<S>,
) -> Client<DuplexStream> {
    assert_eq!(client.run("COMPRESS DEFLATE").await, ["OK DEFLATE begins"]);
    Client::new(compressing(client.stream))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_the_same_and_fewer_bytes() {
    let world = World::with_fixture();
    let raw = noise(300_000);
    let rows: Vec<(&[u8], SourceFlags)> =
        std::iter::repeat_n((b"Subject: x\r\n\r\nx\r\n".as_slice(), NONE), 3_000).collect();
    world.add("alice/Rows", &rows);
    world.add("alice/Noise", &[(&raw, NONE)]);
    let server = world.serve(open()).await;
    let commands = [
        "SELECT Rows",
        "FETCH 1:* (UID FLAGS ENVELOPE)",
        "SELECT Noise",
        "FETCH 1 RFC822.SIZE",
        "LIST \"\" *",
    ];
    let mut plain = server.alice().await;
    let mut expected = Vec::new();
    for command in commands {
        expected.push(plain.ok(command).await);
    }
    let before = server.watch.snapshot().bytes_out;
    let mut client = begin(server.alice().await).await;
    server.until(|now| now.compressed == 1).await;
    for (command, expected) in commands.iter().zip(&expected) {
        assert!(client.ok(command).await == *expected, "{command}");
    }
    let sent = server.watch.snapshot().bytes_out - before;
    assert!(sent * 4 < before, "{sent} bytes after {before}");
    client.send("n FETCH 1 BODY.PEEK[]\r\n").await;
    assert_eq!(client.line().await.unwrap(), format!("* 1 FETCH (BODY[] {{{}}}", raw.len()));
    let shown: Vec<u8> = raw.iter().map(|&b| if b == 0 { 0x80 } else { b }).collect();
    assert!(client.exactly(raw.len()).await == shown);
    assert_eq!(client.line().await.unwrap(), ")");
    assert_eq!(client.line().await.unwrap(), "n OK FETCH done");
    assert_eq!(client.run("COMPRESS DEFLATE").await, ["BAD [COMPRESSIONACTIVE] DEFLATE is on already"]);
    // RFC 8437 section 3: no NO, but the end.
    let mut other = begin(server.alice().await).await;
    assert_eq!(
        other.run_to_end("UNAUTHENTICATE").await,
        ["* BYE A compressed connection serves one user; connect again"]
    );
    server.until(|now| now.compressed == 1).await;
    // News come through at once, and the server's end.
    client.ok("SELECT Empty").await;
    client.send("i IDLE\r\n").await;
    assert_eq!(client.line().await.unwrap(), "+ idling");
    world.add("alice/Empty", &[(b"Subject: a\r\n\r\n", NONE)]);
    assert_eq!(client.line().await.unwrap(), "* 1 EXISTS");
    assert_eq!(client.line().await.unwrap(), "* 0 RECENT");
    drop(plain);
    server.ask_to_stop();
    assert_eq!(client.rest().await, ["* BYE The server is going down"]);
    server.until(|now| now.compressed == 0).await;
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_stands_behind_the_command_is_compressed() {
    let world = World::new();
    let server = world.serve(open()).await;
    for cut in [0, 1, 5] {
        let mut client = server.alice().await;
        let mut compress = Compress::new(Compression::default(), false);
        let behind = deflated(&mut compress, b"n NOOP\r\nm NOOP\r\n");
        // In the same segment as the command, a part of it or all.
        let (first, second) = behind.split_at(if cut == 0 { behind.len() } else { cut });
        client.send([b"c COMPRESS DEFLATE\r\n", first].concat()).await;
        client.send(second).await;
        assert_eq!(client.line().await.unwrap(), "c OK DEFLATE begins");
        client.send(deflated(&mut compress, b"e LOGOUT\r\n")).await;
        let compressed = client.rest_of_bytes().await;
        let mut out = Vec::with_capacity(1 << 16);
        Decompress::new(false).decompress_vec(&compressed, &mut out, FlushDecompress::Sync).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, "n OK NOOP done\r\nm OK NOOP done\r\n* BYE Logging out\r\ne OK Logged out\r\n");
    }
    server.stopped().await;
}

/// 64 MiB in 64 KiB: a line without end, a literal that is too large, and arguments beyond the bound; each is refused and passed
/// over, and the connection goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bombs_count_as_what_they_inflate_to() {
    let world = World::new();
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    assert_eq!(client.run("COMPRESS DEFLATE").await, ["OK DEFLATE begins"]);
    let mut stream = client.stream;
    let mut compress = Compress::new(Compression::best(), false);
    let before = server.watch.snapshot().bytes_in;
    let huge = vec![b'a'; 64 << 20];
    let mut sent = deflated(&mut compress, b"l ");
    sent.extend(deflated(&mut compress, &huge));
    sent.extend(deflated(&mut compress, format!("\r\nb ID (\"x\" {{{}+}}\r\n", huge.len()).as_bytes()));
    sent.extend(deflated(&mut compress, &huge));
    sent.extend(deflated(&mut compress, b")\r\nn NOOP\r\no LOGOUT\r\n"));
    assert!(sent.len() < 300_000, "{}", sent.len());
    stream.write_all(&sent).await.unwrap();
    let mut compressed = Vec::new();
    stream.read_to_end(&mut compressed).await.unwrap();
    let mut out = Vec::with_capacity(1 << 16);
    Decompress::new(false).decompress_vec(&compressed, &mut out, FlushDecompress::Sync).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert_eq!(
        text,
        "l BAD [TOOBIG] The command line is too long\r\nb BAD [TOOBIG] The literal is too large\r\nn OK NOOP done\r\n\
         * BYE Logging out\r\no OK Logged out\r\n"
    );
    assert!(server.watch.snapshot().bytes_in - before <= sent.len() as u64);
    // What is no deflate stream ends the connection, and an ended stream too.
    for bad in [b"n NOOP\r\n".as_slice(), b"\xff\xff\xff\xff", &[3, 0]] {
        let mut client = server.alice().await;
        assert_eq!(client.run("COMPRESS DEFLATE").await, ["OK DEFLATE begins"]);
        client.send(bad).await;
        client.stream.shutdown().await.unwrap();
        assert_eq!(client.rest_of_bytes().await, b"");
    }
    server.until(|now| now.sessions == 0).await;
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn within_tls_and_where_settings_forbid_it() {
    let world = World::new();
    let login = format!("LOGIN alice \"{PASSWORD}\"");
    for (settings, plain, tls) in [
        (open(), true, true),
        (Settings { compress_with_tls: false, ..open() }, true, false),
        (Settings { compress: false, ..open() }, false, false),
    ] {
        let server = world.serve(settings).await;
        let mut client = server.client().await;
        assert!(!client.greeting.contains("COMPRESS"), "{}", client.greeting);
        assert_eq!(client.ok(&login).await.concat().ends_with(" COMPRESS=DEFLATE"), plain);
        let stream = TcpStream::connect(server.tls).await.unwrap();
        let mut secure = Client::new(world.tls(stream).await);
        secure.line().await.unwrap();
        assert_eq!(secure.ok(&login).await.concat().ends_with(" COMPRESS=DEFLATE"), tls);
        if tls {
            let mut secure = begin(secure).await;
            secure.ok("SELECT INBOX").await;
            assert_eq!(secure.run_to_end("LOGOUT").await, ["* BYE Logging out", "e OK Logged out"]);
        } else {
            assert_eq!(secure.run("COMPRESS DEFLATE").await, ["NO [CANNOT] COMPRESS is not offered here"]);
        }
        if !plain {
            assert_eq!(client.run("COMPRESS DEFLATE").await, ["NO [CANNOT] COMPRESS is not offered here"]);
        }
        server.stopped().await;
    }
}
