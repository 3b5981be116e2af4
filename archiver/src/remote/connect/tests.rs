//! Peers that are silent, drip, or say too much too early; compression, whole and in pieces.

use super::*;
use crate::remote::access::Mechanism;
use auth::trust::Trust;
use flate2::write::DeflateEncoder;
use std::net::TcpListener;

/// A connection to a peer that does this.
fn wire(peer: impl FnOnce(TcpStream) + Send + 'static) -> (Wire, Access, Cancel) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let access = Access {
        host: "127.0.0.1".into(),
        port: listener.local_addr().unwrap().port(),
        tls: Tls::None,
        trust: Trust::IgnoreErrors,
        mechanism: Mechanism::Auto,
        timeout: Duration::from_secs(60),
    };
    std::thread::spawn(move || peer(listener.accept().unwrap().0));
    let cancel = Cancel::default();
    let limits = Limits { cancel: cancel.clone(), until: None, traffic: Arc::default() };
    (Wire::open(&access, &limits).unwrap(), access, cancel)
}

/// Reads until it can't any more.
fn end(wire: &mut Wire) -> Fault {
    loop {
        match wire.fill() {
            Ok(there) => {
                let all = there.len();
                wire.consume(all);
            }
            Err(fault) => return fault,
        }
    }
}

/// Sends a byte now and then, until the other side has had enough.
fn drip(mut stream: TcpStream) {
    stream.set_nodelay(true).unwrap();
    while stream.write_all(b"x").is_ok() {
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Says nothing until the other side hangs up.
fn silence(mut stream: TcpStream) {
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
}

#[test]
fn who_is_silent_is_dead() {
    let (mut wire, ..) = wire(silence);
    wire.patience(Duration::from_millis(20));
    assert!(end(&mut wire).to_string().contains("nothing came"));
}

#[test]
fn who_drips_is_dead() {
    let (mut wire, ..) = wire(drip);
    wire.patience(Duration::from_millis(50));
    assert!(end(&mut wire).to_string().contains("one command took more than"));
    let (mut wire, ..) = self::wire(drip);
    wire.patience(Duration::from_millis(50));
    wire.rate(1 << 30);
    assert!(end(&mut wire).to_string().contains("bytes a second"));
}

#[test]
fn a_cancel_ends_a_wait() {
    let (mut wire, _, cancel) = wire(silence);
    cancel.set();
    assert!(matches!(end(&mut wire), Fault::Cancelled));
}

#[test]
fn what_came_in_the_clear_is_not_believed_after_starttls() {
    let (mut wire, access, _) = wire(|mut stream| {
        stream.write_all(b"injected").unwrap();
        silence(stream);
    });
    wire.fill().unwrap();
    assert!(matches!(wire.secure(&access), Err(Fault::Protocol { .. })));
}

#[test]
fn compressed_bytes_come_out_as_they_went_in_and_none_is_held_back() {
    let text: Vec<u8> = (0..300_000u32).flat_map(|n| format!("{} ", n % 977).into_bytes()).collect();
    let sent = text.clone();
    let (mut wire, ..) = wire(move |mut stream| {
        // Each piece is flushed; what it holds must come out before the next is sent.
        let mut out = DeflateEncoder::new(stream.try_clone().unwrap(), flate2::Compression::best());
        for piece in sent.chunks(100_000) {
            out.write_all(piece).unwrap();
            out.flush().unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap(), 1, "the other side has all of it");
        }
        silence(stream);
    });
    wire.compress();
    let mut got = Vec::new();
    for piece in text.chunks(100_000) {
        let wanted = got.len() + piece.len();
        while got.len() < wanted {
            let there = wire.fill().unwrap().to_vec();
            wire.consume(there.len());
            got.extend_from_slice(&there);
        }
        // Uncompressed: what this side sends is looked at below.
        wire.layer.write_all(b"!").unwrap();
    }
    assert_eq!(got, text);
}

#[test]
fn what_is_sent_compressed_can_be_read() {
    let text: Vec<u8> = (0..50_000u32).flat_map(|n| (n.wrapping_mul(2_654_435_761)).to_le_bytes()).collect();
    let (give, take) = std::sync::mpsc::channel();
    let (mut wire, ..) = wire(move |stream| {
        let mut out = vec![0; 200_000];
        flate2::read::DeflateDecoder::new(stream).read_exact(&mut out).unwrap();
        give.send(out).unwrap();
    });
    wire.compress();
    for piece in text.chunks(33_333) {
        wire.send(piece).unwrap();
    }
    assert_eq!(take.recv().unwrap(), text);
}
