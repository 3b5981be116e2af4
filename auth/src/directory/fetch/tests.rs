//! Large groups that come in pieces, from a server that answers as Active Directory does (MS-ADTS 3.1.1.3.1.3.3), and one that lies.

use super::*;
use crate::directory::Directory;
use crate::directory::ber::{self, Header, Reader};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

const GROUP: &str = "cn=everyone,dc=x";
/// Members that Active Directory gives at a time (MaxValRange).
const PIECE: u64 = 1_500;

/// A request: its id, its operation, and the operation's content.
fn request(stream: &mut TcpStream) -> Option<(u32, u8, Vec<u8>)> {
    let (mut held, mut piece) = (Vec::new(), [0; 4_096]);
    loop {
        if let Header::Known { header, content, .. } = ber::header(&held)
            && held.len() >= header + content
        {
            let mut reader = Reader::new(&held[header..]);
            let id = u32::try_from(reader.number(ber::INTEGER).unwrap()).unwrap();
            let (op, content) = reader.next().unwrap();
            return Some((id, op, content.to_vec()));
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(read) => held.extend_from_slice(&piece[..read]),
        }
    }
}

fn message(id: u32, op: u8, content: &[u8]) -> Vec<u8> {
    let mut all = Vec::new();
    ber::put_number(&mut all, ber::INTEGER, id);
    ber::put(&mut all, op, content);
    ber::value(ber::SEQUENCE, &all)
}

fn entry(id: u32, dn: &str, attributes: &[(&str, Vec<String>)]) -> Vec<u8> {
    let mut list = Vec::new();
    for (name, values) in attributes {
        let mut one = ber::value(ber::OCTETS, name.as_bytes());
        let values: Vec<u8> =
            values.iter().flat_map(|value| ber::value(ber::OCTETS, value.as_bytes())).collect();
        ber::put(&mut one, ber::SET, &values);
        ber::put(&mut list, ber::SEQUENCE, &one);
    }
    message(id, 0x64, &[ber::value(ber::OCTETS, dn.as_bytes()), ber::value(ber::SEQUENCE, &list)].concat())
}

fn text(value: &str) -> Vec<String> {
    vec![value.to_owned()]
}

/// The number behind `member;range=` in a search's attributes.
fn range(content: &[u8]) -> Option<u64> {
    let mark = b"member;range=";
    let at = content.windows(mark.len()).position(|window| window == mark)? + mark.len();
    let digits: Vec<u8> = content[at..].iter().copied().take_while(u8::is_ascii_digit).collect();
    std::str::from_utf8(&digits).ok()?.parse().ok()
}

/// What a directory with one group and this person gives whose server has these members from a number on: the attribute's name and
/// its values, in pieces as it likes. Also how many pieces were asked for.
fn read(
    person: u64,
    piece: impl Fn(u64) -> (String, Vec<String>) + Send + 'static,
) -> (Result<Everybody, Error>, u64) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ldap://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, mut asked) = (listener.accept().unwrap().0, 0);
        while let Some((id, op, content)) = request(&mut stream) {
            if op != 0x63 {
                break;
            }
            let found = if let Some(from) = range(&content) {
                asked += 1;
                let (name, values) = piece(from);
                entry(id, GROUP, &[(&name, values)])
            } else if content.windows(6).any(|window| window == b"member") {
                // As Active Directory has it: the attribute itself is empty where a range of it follows.
                let (name, values) = piece(0);
                entry(id, GROUP, &[("cn", text("everyone")), ("member", Vec::new()), (&name, values)])
            } else {
                let name = format!("user {person}");
                entry(
                    id,
                    &dn(person),
                    &[("sAMAccountName", text(&name)), ("userAccountControl", text("512"))],
                )
            };
            let done = message(id, 0x65, &[ber::ENUMERATED, 1, 0, ber::OCTETS, 0, ber::OCTETS, 0]);
            if stream.write_all(&[found, done].concat()).is_err() {
                break;
            }
        }
        asked
    });
    let settings = Directory {
        kind: Kind::ActiveDirectory,
        servers: vec![url],
        starttls: false,
        base: "dc=x".into(),
        ..Directory::default()
    };
    settings.check().unwrap();
    let read = everybody(&Loaded::new(settings, None).unwrap(), &|| false);
    (read, server.join().unwrap())
}

fn dn(number: u64) -> String {
    format!("cn=user {number},ou=people,dc=x")
}

/// The members from a number on of a group with so many, as an honest server gives them.
fn honest(count: u64) -> impl Fn(u64) -> (String, Vec<String>) {
    move |from| {
        let end = from + PIECE;
        let last = if end >= count { "*".to_owned() } else { (end - 1).to_string() };
        // Names of attributes come in any case.
        (format!("Member;Range={from}-{last}"), (from..end.min(count)).map(dn).collect())
    }
}

/// The groups of the one person who is found.
fn groups(everybody: Everybody) -> BTreeSet<String> {
    match everybody.found.as_slice() {
        [Found::Person(person)] => person.groups.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_large_group_is_read_to_its_last_member() {
    for (count, pieces) in
        [(PIECE - 1, 0), (PIECE, 0), (PIECE + 1, 1), (2 * PIECE, 1), (2 * PIECE + 1, 2), (4_321, 2)]
    {
        for person in [0, PIECE - 2, count - 1] {
            let (read, asked) = read(person, honest(count));
            assert_eq!(
                (groups(read.unwrap()), asked),
                (["everyone".to_owned()].into(), pieces),
                "{person} of {count}"
            );
        }
        let (read, _) = read(count, honest(count));
        assert!(groups(read.unwrap()).is_empty(), "who is none of {count} members");
    }
}

#[test]
fn pieces_that_lead_nowhere_end() {
    // The same piece again and again, and one that goes back.
    for end in [1_499_u64, 7] {
        let (read, asked) = read(0, move |_| (format!("member;range=0-{end}"), vec![dn(0)]));
        assert_eq!((groups(read.unwrap()).len(), asked), (1, 1));
    }
    // What is no number, or one past all numbers, is the last piece.
    for end in ["", "x", "18446744073709551615", "99999999999999999999"] {
        let (read, asked) = read(0, move |_| (format!("member;range=0-{end}"), vec![dn(0)]));
        assert_eq!((groups(read.unwrap()).len(), asked), (1, 0), "{end}");
    }
}

#[test]
fn pieces_at_their_bound_and_one_past() {
    let some = |count: u64| {
        move |from: u64| {
            let last = if from >= count { "*".to_owned() } else { from.to_string() };
            (format!("member;range={from}-{last}"), Vec::new())
        }
    };
    let (within, asked) = read(0, some(MAX_PIECES as u64));
    assert_eq!((within.is_ok(), asked), (true, MAX_PIECES as u64));
    let (past, asked) = read(0, some(MAX_PIECES as u64 + 1));
    let error = past.unwrap_err().to_string();
    assert!(error.contains("pieces") && error.contains("--group-filter"), "{error}");
    assert_eq!(asked, MAX_PIECES as u64);
}
