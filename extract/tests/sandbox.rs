//! A process that confined itself: no file, no program, no network, whether or not the kernel has Landlock.
//!
//! One test in a file of its own: what a process gave up, the next test in it would lack.

use extract::{Confined, confine};
use std::process::Command;

#[test]
fn a_confined_process_opens_nothing() {
    let here = std::env::current_exe().unwrap();
    assert!(std::fs::File::open(&here).is_ok());
    let mut big: Vec<u8> = Vec::new();
    assert!(big.try_reserve_exact(64 << 20).is_ok());
    drop(big);
    // The test's own threads and memory count too.
    let confined = confine(48 << 20).unwrap();
    println!("{confined:?}");
    assert!(std::fs::File::open(&here).is_err());
    assert!(std::fs::File::create("/tmp/never-made").is_err());
    assert!(std::fs::read_dir("/").is_err());
    assert!(Command::new(&here).arg("--list").spawn().is_err());
    assert!(std::net::TcpStream::connect("127.0.0.1:9").is_err());
    assert!(std::net::UdpSocket::bind("127.0.0.1:0").is_err());
    assert!(Vec::<u8>::new().try_reserve_exact(64 << 20).is_err());
    assert!(
        confined == Confined::Not || std::fs::metadata(&here).is_ok(),
        "names may be looked at, contents not"
    );
}
