//! Logins against a server that answers as it is told. Honest ones are in `tests/tests/directories.rs`.

use super::*;
use crate::directory::ber::{self, Header, Reader};
use crate::users::{Mode, Origin};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

const SEARCH: u8 = 0x63;
const BIND: u8 = 0x60;

/// A request: its id, its operation, and the operation's content.
fn request(stream: &mut TcpStream, held: &mut Vec<u8>) -> Option<(i64, u8, Vec<u8>)> {
    let mut piece = [0; 4096];
    loop {
        if let Header::Known { header, content, .. } = ber::header(held)
            && held.len() >= header + content
        {
            let rest = held.split_off(header + content);
            let message = std::mem::replace(held, rest);
            let mut reader = Reader::new(&message[header..]);
            let id = reader.number(ber::INTEGER).unwrap();
            let (op, content) = reader.next().unwrap();
            return Some((id, op, content.to_vec()));
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(read) => held.extend_from_slice(&piece[..read]),
        }
    }
}

fn message(id: i64, op: u8, content: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    ber::put_number(&mut all, ber::INTEGER, u32::try_from(id).unwrap());
    ber::put(&mut all, op, content);
    ber::value(ber::SEQUENCE, &all)
}

fn result(id: i64, op: u8, code: u8) -> Vec<u8> {
    message(id, op, &[&[ber::ENUMERATED, 1, code][..], &[ber::OCTETS, 0, ber::OCTETS, 0]].concat())
}

/// A directory with a server that finds these entries for every search and ends every bind so; what it was asked goes to the receiver.
fn directory(found: &'static [&'static str], code: u8) -> (Loaded, Receiver<(u8, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ldap://{}", listener.local_addr().unwrap());
    let (send, asked) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), send) = (stream, send.clone()) else { return };
            std::thread::spawn(move || {
                let mut held = Vec::new();
                while let Some((id, op, content)) = request(&mut stream, &mut held) {
                    let answer = if op == SEARCH {
                        let entry = |dn: &&str| {
                            message(
                                id,
                                0x64,
                                &[ber::value(ber::OCTETS, dn.as_bytes()), ber::value(ber::SEQUENCE, &[])]
                                    .concat(),
                            )
                        };
                        [found.iter().flat_map(entry).collect(), result(id, 0x65, 0)].concat()
                    } else {
                        result(id, 0x61, code)
                    };
                    if send.send((op, content)).is_err() || stream.write_all(&answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    let settings =
        Directory { servers: vec![url], starttls: false, base: "dc=x".into(), ..Directory::default() };
    settings.check().unwrap();
    (Loaded::new(settings, None).unwrap(), asked)
}

fn ann() -> User {
    User { name: "ann".into(), mode: Mode::Directory, ..User::default() }
}

/// Whether these bytes stand in those.
fn holds(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

fn asked(from: &Receiver<(u8, Vec<u8>)>) -> Vec<(u8, Vec<u8>)> {
    from.try_iter().collect()
}

#[test]
fn the_found_entry_is_bound_to() {
    let (loaded, from) = directory(&["uid=ann,dc=x"], 0);
    assert!(loaded.check(Some(&ann()), "ann", "secret").unwrap());
    let all = asked(&from);
    assert_eq!(all.iter().map(|(op, _)| *op).collect::<Vec<_>>(), [SEARCH, BIND]);
    assert!(holds(&all[0].1, b"\x04\x03uid\x04\x03ann") && holds(&all[1].1, b"uid=ann,dc=x\x80\x06secret"));
    // An entry is found by its id once that is known, and over the same connections.
    let origin = Some(Origin { id: "entryuuid:6162".into(), disabled: false });
    assert!(loaded.check(Some(&User { origin, ..ann() }), "ann", "secret").unwrap());
    assert!(holds(&asked(&from)[0].1, b"\x04\x09entryuuid\x04\x02ab"));
}

#[test]
fn nobody_costs_the_same_questions_and_gives_nothing_away() {
    for (user, password) in [(None, "secret"), (Some(ann()), ""), (Some(ann()), "a\0b")] {
        // Even a server that says yes to everything doesn't let them in.
        let (loaded, from) = directory(&["uid=ann,dc=x"], 0);
        assert!(!loaded.check(user.as_ref(), "typed*)(uid=\\", password).unwrap());
        let all = asked(&from);
        assert_eq!(all.iter().map(|(op, _)| *op).collect::<Vec<_>>(), [SEARCH, BIND]);
        assert!(!holds(&all[1].1, b"ann") && (password.is_empty() || !holds(&all[1].1, password.as_bytes())));
    }
    let (loaded, from) = directory(&[], 0);
    assert!(!loaded.check(None, "typed*)(uid=\\", "secret").unwrap());
    assert!(holds(&asked(&from)[0].1, b"\x04\x03uid\x04\x0dtyped*)(uid=\\"), "one value, with its length");
}

#[test]
fn passwords_up_to_the_bound() {
    let (loaded, _from) = directory(&["uid=ann,dc=x"], 0);
    assert!(loaded.check(Some(&ann()), "ann", &"x".repeat(MAX_PASSWORD_BYTES)).unwrap());
    assert!(!loaded.check(Some(&ann()), "ann", &"x".repeat(MAX_PASSWORD_BYTES + 1)).unwrap());
}

#[test]
fn several_entries_are_a_refusal() {
    let (loaded, from) = directory(&["uid=ann,ou=a,dc=x", "uid=ann,ou=b,dc=x"], 0);
    assert!(!loaded.check(Some(&ann()), "ann", "secret").unwrap());
    assert!(!holds(&asked(&from)[1].1, b"secret"));
}

#[test]
fn no_is_no_and_cannot_tell_is_later() {
    for (code, answer) in [
        (0, Some(true)),
        (49, Some(false)),
        (48, Some(false)),
        (19, Some(false)),
        (51, None),
        (52, None),
        (10, None),
        (8, None),
    ] {
        let (loaded, _from) = directory(&["uid=ann,dc=x"], code);
        let checked = loaded.check(Some(&ann()), "ann", "secret");
        match answer {
            Some(right) => assert_eq!(checked.unwrap(), right, "{code}"),
            None => assert!(matches!(checked, Err(Error::Unavailable)), "{code}"),
        }
    }
}

#[test]
fn a_directory_that_is_away_is_left_alone_for_a_while() {
    let (mut loaded, from) = directory(&["uid=ann,dc=x"], 52);
    loaded.directory.retry_secs = 3_600;
    assert!(matches!(loaded.check(Some(&ann()), "ann", "secret"), Err(Error::Unavailable)));
    assert!(!asked(&from).is_empty());
    assert!(matches!(loaded.check(Some(&ann()), "ann", "secret"), Err(Error::Unavailable)));
    assert!(asked(&from).is_empty(), "it was asked again");
    loaded.pool.lock().down_until = Some(Instant::now());
    assert!(loaded.check(Some(&ann()), "ann", "secret").is_err() && !asked(&from).is_empty());
}

#[test]
fn no_more_ask_at_once_than_the_bound() {
    let (mut loaded, _from) = directory(&["uid=ann,dc=x"], 0);
    loaded.directory.timeout_secs = 1;
    let loaded = Arc::new(loaded);
    let turns: Vec<_> = (0..MAX_AT_ONCE).map(|_| loaded.enter().unwrap()).collect();
    assert!(matches!(loaded.enter(), Err(Error::Unavailable)));
    drop(turns);
    assert!(loaded.enter().is_ok());
    assert_eq!(loaded.pool.lock().at_work, 0);
}

#[test]
fn without_a_server_nobody_gets_in() {
    let settings =
        Directory { kind: crate::directory::Kind::Mdaemon, file: Some("/x".into()), ..Directory::default() };
    assert!(!Loaded::new(settings, None).unwrap().check(Some(&ann()), "ann", "secret").unwrap());
}
