//! What no honest server does. Honest ones are in `tests/tests/directories.rs`.

use super::*;
use crate::directory::wire::Shield;
use crate::trust::Trust;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(20);
/// For servers that say nothing.
const SHORT: Duration = Duration::from_millis(200);

/// A server on this machine that does this with its one connection.
fn server(act: impl FnOnce(TcpStream) + Send + 'static) -> (Server, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let thread = std::thread::spawn(move || act(listener.accept().unwrap().0));
    let server = Server {
        host: "127.0.0.1".into(),
        port,
        shield: Shield::Plain,
        anywhere: false,
        trust: Trust::System,
    };
    (server, thread)
}

/// Reads a request; gives its id.
fn request(stream: &mut TcpStream) -> Option<u32> {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    loop {
        if let Header::Known { header, content, .. } = ber::header(&bytes)
            && bytes.len() >= header + content
        {
            return u32::try_from(Reader::new(&bytes[header..]).number(ber::INTEGER).unwrap()).ok();
        }
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&piece[..read]),
        }
    }
}

fn result(id: u32, op: u8, code: u8, text: &str) -> Vec<u8> {
    let mut content = ber::value(ber::ENUMERATED, &[code]);
    ber::put(&mut content, ber::OCTETS, b"");
    ber::put(&mut content, ber::OCTETS, text.as_bytes());
    message(id, &ber::value(op, &content), None)
}

fn found(id: u32, dn: &str, attribute: &str, value: &[u8]) -> Vec<u8> {
    let mut one = ber::value(ber::OCTETS, attribute.as_bytes());
    ber::put(&mut one, ber::SET, &ber::value(ber::OCTETS, value));
    let mut content = ber::value(ber::OCTETS, dn.as_bytes());
    ber::put(&mut content, ber::SEQUENCE, &ber::value(ber::SEQUENCE, &one));
    message(id, &ber::value(ENTRY, &content), None)
}

/// The end of a page, with a cookie.
fn page(id: u32, cookie: &[u8]) -> Vec<u8> {
    let mut content = ber::value(ber::ENUMERATED, &[0]);
    ber::put(&mut content, ber::OCTETS, b"");
    ber::put(&mut content, ber::OCTETS, b"");
    message(id, &ber::value(DONE, &content), Some(&paging(0, cookie)))
}

/// Searches everything; the entries, or why not.
fn search_within(server: &Server, patience: Duration) -> Result<Vec<Entry>, Fault> {
    let mut ldap = Ldap::open(server, patience, Instant::now() + PATIENCE)?;
    let filter = Filter::present("objectClass");
    let search =
        Search { base: "dc=x", scope: Scope::Subtree, filter: &filter, attributes: &["uid"], page: 500 };
    let mut all = Vec::new();
    ldap.search(&search, &mut |entry| {
        if all.len() < 10 {
            all.push(entry);
        }
        Ok(())
    })?;
    Ok(all)
}

/// What a search says of a server that answers it with these bytes, or with as much of them as is taken.
fn answered(answer: impl Fn(u32) -> Vec<u8> + Send + 'static) -> Result<Vec<Entry>, Fault> {
    let (server, thread) = server(move |mut stream| {
        while let Some(id) = request(&mut stream) {
            if stream.write_all(&answer(id)).is_err() {
                break;
            }
        }
    });
    let end = search_within(&server, PATIENCE);
    thread.join().unwrap();
    end
}

fn protocol(end: Result<Vec<Entry>, Fault>) -> String {
    match end {
        Err(Fault::Protocol { what, .. }) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_honest_answer() {
    let all = answered(|id| [found(id, "uid=a,dc=x", "UID", b"a"), page(id, b"")].concat()).unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].dn.as_str(), all[0].texts("uid").collect::<Vec<_>>()), ("uid=a,dc=x", vec!["a"]));
}

#[test]
fn entries_without_end_end() {
    let (server, thread) = server(|mut stream| {
        let Some(id) = request(&mut stream) else { return };
        let some = found(id, "uid=a,dc=x", "uid", b"a").repeat(1_000);
        while stream.write_all(&some).is_ok() {}
    });
    assert!(protocol(search_within(&server, PATIENCE)).contains("more than 500,000 entries"));
    thread.join().unwrap();
}

#[test]
fn entries_at_their_bound_and_one_past() {
    let some = |count: usize| {
        move |id: u32| [found(id, "uid=a,dc=x", "uid", b"a").repeat(count), page(id, b"")].concat()
    };
    assert!(answered(some(MAX_ENTRIES)).is_ok());
    assert!(protocol(answered(some(MAX_ENTRIES + 1))).contains("more than 500,000 entries"));
    // They count over all pages.
    let half = |id: u32| {
        let (count, cookie) =
            if id == 1 { (MAX_ENTRIES / 2, &b"more"[..]) } else { (MAX_ENTRIES / 2 + 1, &b""[..]) };
        [found(id, "uid=a,dc=x", "uid", b"a").repeat(count), page(id, cookie)].concat()
    };
    assert!(protocol(answered(half)).contains("more than 500,000 entries"));
}

#[test]
fn all_of_a_search_ends_in_time_however_lively_it_is() {
    // Each answer comes at once, so that waiting for one never takes long; only the end of all counts.
    let lively = || {
        server(|mut stream| {
            while let Some(id) = request(&mut stream) {
                let answer = [found(id, "uid=a,dc=x", "uid", b"a"), page(id, b"more")].concat();
                if stream.write_all(&answer).is_err() {
                    break;
                }
            }
        })
    };
    let search = |end: Instant| {
        let (server, thread) = lively();
        let filter = Filter::present("objectClass");
        let search =
            Search { base: "dc=x", scope: Scope::Subtree, filter: &filter, attributes: &["uid"], page: 1 };
        let mut ldap = Ldap::open(&server, PATIENCE, Instant::now() + PATIENCE).unwrap();
        ldap.end = end;
        let mut count = 0;
        let ended = ldap.search(&search, &mut |_| {
            count += 1;
            Ok(())
        });
        drop(ldap);
        thread.join().unwrap();
        (ended, count)
    };
    let (ended, count) = search(Instant::now() + SHORT);
    assert!(matches!(&ended, Err(Fault::Ended { what, .. }) if what.contains("too long")), "{ended:?}");
    assert!(count > 0, "until then it went on");
    // Over is over: nothing is asked any more.
    let (ended, count) = search(Instant::now());
    assert!(matches!(ended, Err(Fault::Ended { .. })) && count == 0);
}

#[test]
fn the_bound_of_a_message_counts_before_it_is_read() {
    // At the bound it is read, one past it the length alone ends it.
    let padding = |total: usize| {
        let overhead = found(1, "d", "a", b"").len();
        vec![b'x'; total - overhead]
    };
    let whole = |value: &[u8]| [found(1, "d", "a", value), page(1, b"")].concat();
    let mut value = padding(MAX_MESSAGE_BYTES);
    let content = |bytes: &[u8]| match ber::header(bytes) {
        Header::Known { content, .. } => content,
        other => panic!("{other:?}"),
    };
    while content(&found(1, "d", "a", &value)) > MAX_MESSAGE_BYTES {
        value.pop();
    }
    assert_eq!(content(&found(1, "d", "a", &value)), MAX_MESSAGE_BYTES);
    let at = whole(&value);
    assert_eq!(answered(move |_| at.clone()).unwrap()[0].values("a")[0].len(), value.len());
    value.push(b'x');
    let past = whole(&value);
    assert!(protocol(answered(move |_| past.clone())).contains("an answer of 16777217 bytes"));
    // 100 MB that are only claimed cost nothing.
    assert!(protocol(answered(|_| vec![0x30, 0x84, 0x06, 0x40, 0, 0, 0x02])).contains("104857600"));
}

#[test]
fn nesting_costs_no_stack() {
    let mut nested = Vec::new();
    for _ in 0..200_000 {
        let length = nested.len();
        let [a, b, c, ..] = length.to_le_bytes();
        nested.extend(if length < 0x80 { vec![a] } else { vec![a, b, c, 0x83] });
        nested.push(ber::SEQUENCE);
    }
    nested.reverse();
    assert_eq!(protocol(answered(move |_| nested.clone())), "bytes that are no LDAP");
}

#[test]
fn garbage_is_refused() {
    for garbage in [
        &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
        b"* OK IMAP4rev1\r\n",
        &[0x30, 0x80, 0x00, 0x00],
        &[0x30, 0x03, 0x02, 0x01, 0x01],
        &[0x30, 0x00],
        &[0x30, 0x05, 0x02, 0x01, 0x01, 0x65, 0x00],
        &[0x30, 0x06, 0x04, 0x01, 0x01, 0x65, 0x01, 0x00],
        &[0x30, 0x0a, 0x02, 0x01, 0x01, 0x64, 0x05, 0x04, 0x01, b'd', 0x30, 0x7f],
        &[0x30, 0x0d, 0x02, 0x01, 0x01, 0x61, 0x07, 0x0a, 0x01, 0x00, 0x04, 0x00, 0x04, 0x00, 0x04],
        &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
    ] {
        let end = answered(move |_| garbage.to_vec());
        assert!(matches!(end, Err(Fault::Protocol { .. })), "{garbage:?}: {end:?}");
    }
}

#[test]
fn mutated_answers_end_in_words() {
    let honest = [found(1, "uid=a,dc=x", "uid", b"a"), page(1, b"")].concat();
    for at in 0..honest.len() {
        for with in [0x00, 0x30, 0x7f, 0x80, 0x84, 0xff] {
            let mut bytes = honest.clone();
            bytes[at] = with;
            let mut answer = Some(bytes);
            let (server, thread) = server(move |mut stream| {
                request(&mut stream);
                // Then it closes: what a length claims beyond that never comes.
                stream.write_all(&answer.take().unwrap_or_default()).ok();
            });
            match search_within(&server, PATIENCE) {
                Ok(_) | Err(Fault::Protocol { .. } | Fault::Ended { .. } | Fault::Refused { .. }) => {}
                Err(other) => panic!("byte {at} as {with:#x}: {other:?}"),
            }
            thread.join().unwrap();
        }
    }
}

#[test]
fn answers_to_other_questions_end_it() {
    assert!(protocol(answered(|id| page(id + 1, b""))).contains("nobody asked"));
    let end = answered(|_| result(0, EXTENDED_DONE, 52, "going down\u{1b}[2J"));
    assert!(
        matches!(&end, Err(Fault::Ended { what, .. }) if what.contains("unavailable") && !what.contains('\u{1b}')),
        "{end:?}"
    );
}

#[test]
fn referrals_are_counted_and_not_followed() {
    let referral =
        |id| message(id, &ber::value(REFERENCE, &ber::value(ber::OCTETS, b"ldap://192.0.2.1/dc=x")), None);
    let some = move |count: usize| move |id| [referral(id).repeat(count), page(id, b"")].concat();
    assert!(answered(some(MAX_ASIDES)).unwrap().is_empty());
    assert!(protocol(answered(some(MAX_ASIDES + 1))).contains("referrals"));
}

#[test]
fn pages_without_end_end() {
    assert!(protocol(answered(|id| page(id, b"more"))).contains("page after page"));
    let some = |count: usize| move |id: u32| page(id, if id as usize <= count { b"more" } else { b"" });
    assert!(answered(some(MAX_EMPTY_PAGES)).is_ok());
    assert!(answered(some(MAX_EMPTY_PAGES + 1)).is_err());
    let cookie = |bytes: usize| move |id: u32| page(id, &vec![b'c'; if id == 1 { bytes } else { 0 }]);
    assert!(answered(cookie(MAX_COOKIE_BYTES)).is_ok());
    assert!(matches!(answered(cookie(MAX_COOKIE_BYTES + 1)), Err(Fault::Protocol { .. })));
}

#[test]
fn silence_dripping_and_hanging_up_end_in_time() {
    let (quiet, silent) = server(|mut stream| while request(&mut stream).is_some() {});
    assert!(
        matches!(search_within(&quiet, SHORT), Err(Fault::Ended { what, .. }) if what.contains("too long"))
    );
    silent.join().unwrap();
    // A byte now and then is as dead as none.
    let (dripping, drips) = server(|mut stream| {
        let Some(id) = request(&mut stream) else { return };
        for byte in found(id, &"d".repeat(100_000), "a", b"x") {
            if stream.write_all(&[byte]).is_err() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    assert!(
        matches!(search_within(&dripping, SHORT), Err(Fault::Ended { what, .. }) if what.contains("too long"))
    );
    drips.join().unwrap();
    let (closing, closed) = server(|mut stream| {
        let Some(id) = request(&mut stream) else { return };
        let half = found(id, "uid=a,dc=x", "uid", b"a");
        stream.write_all(&half[..half.len() / 2]).ok();
    });
    assert!(matches!(search_within(&closing, PATIENCE), Err(Fault::Ended { .. })));
    closed.join().unwrap();
}

#[test]
fn result_codes_are_told_with_what_to_do() {
    for (code, passing, part) in [
        (51, true, "busy"),
        (52, true, "unavailable"),
        (4, false, "raise its limit"),
        (10, true, "referral"),
        (1, true, "bind DN"),
        (32, false, "check the base DN"),
    ] {
        let end = answered(move |id| result(id, DONE, code, "words"));
        match end {
            Err(Fault::Refused { what, passing: found, .. }) => {
                assert!(
                    what.contains(part) && what.contains("(words)") && found == passing,
                    "{code}: {what}"
                );
            }
            other => panic!("{code}: {other:?}"),
        }
    }
}

#[test]
fn an_empty_password_is_never_sent() {
    let (server, thread) = server(|mut stream| assert!(request(&mut stream).is_none(), "something was sent"));
    let mut ldap = Ldap::open(&server, PATIENCE, Instant::now() + PATIENCE).unwrap();
    assert_eq!(ldap.bind("cn=a", "").unwrap().code, code::INVALID_CREDENTIALS);
    drop(ldap);
    thread.join().unwrap();
}

#[test]
fn starttls_is_not_begun_in_the_clear() {
    let start = |behind: &'static [u8], code: u8| {
        let (mut server, thread) = server(move |mut stream| {
            let Some(id) = request(&mut stream) else { return };
            stream.write_all(&[result(id, EXTENDED_DONE, code, "").as_slice(), behind].concat()).ok();
            // Whatever comes now, no password is in it.
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).ok();
            assert!(behind.is_empty() || rest.is_empty());
        });
        server.shield = Shield::StartTls;
        server.trust = Trust::Fingerprint("00".repeat(32));
        let end = Ldap::open(&server, SHORT, Instant::now() + SHORT).err();
        thread.join().unwrap();
        end.unwrap()
    };
    assert!(matches!(start(b"more", 0), Fault::Protocol { what, .. } if what.contains("in the clear")));
    assert!(matches!(start(b"", 2), Fault::Refused { .. }));
    assert!(matches!(start(b"", 0), Fault::Connect { what, .. } if what.contains("TLS")));
}

#[test]
fn plain_connections_stay_on_this_machine() {
    let server = Server {
        host: "192.0.2.1".into(),
        port: 389,
        shield: Shield::Plain,
        anywhere: false,
        trust: Trust::System,
    };
    assert!(
        matches!(Ldap::open(&server, PATIENCE, Instant::now() + PATIENCE).err(), Some(Fault::Connect { what, .. }) if what.contains("without TLS"))
    );
}
