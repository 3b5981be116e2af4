//! What a run bears from a server and what not: each bound at it and one past it over a whole run; servers that want time; referrals; NO
//! and BAD by chance.

use super::server::{Lie, Model};
use super::*;
use std::io::ErrorKind;
use std::net::TcpListener;

/// Five messages in INBOX, and as many empty mailboxes more as it takes.
fn mailboxes(count: usize) -> Model {
    let mut model = Model { capabilities: "UIDPLUS".into(), ..Model::default() };
    fill(model.boxes.entry("INBOX".into()).or_default(), 0..5);
    for n in 1..count {
        model.boxes.entry(format!("box{n:03}")).or_default();
    }
    model
}

fn with(bounds: Bounds) -> Patience {
    Patience { options: Some(Options { bounds, compress: false }), ..quick() }
}

/// The run's end, and what it says of the first item that failed.
fn ran(model: Model, patience: &Patience) -> (Run, String) {
    let (house, server) = (House::new(), Server::start(model));
    let (account, rules) = (Account::of(&server), Plain::default());
    let run = house.run(&[account.job(&rules)], patience);
    assert!(ended(&run), "{run:?}");
    let reason = house.reasons(&run).into_iter().next().unwrap_or_default();
    (run, reason)
}

#[track_caller]
fn bound(bounds: Bounds, at: Model, past: Model, words: &str) {
    let (run, reason) = ran(at, &with(bounds));
    assert_eq!((run.state, sums(&run)), (State::Succeeded, (5, 0, 0, 0, 0)), "at the bound: {reason}");
    let (run, reason) = ran(past, &with(bounds));
    assert_eq!((run.state, run.sums.archived), (State::CompletedWithErrors, 0), "past the bound");
    assert!(reason.contains(words), "{reason}");
}

#[test]
fn mailboxes_responses_lines_and_flags() {
    let usual = Bounds::default();
    bound(Bounds { folders: 12, ..usual }, mailboxes(12), mailboxes(13), "more than 12 mailboxes");
    let words = "more than 12 responses";
    bound(Bounds { untagged: 12, ..usual }, mailboxes(12), mailboxes(13), words);
    let lying = |lie: Lie| Model { lie, ..mailboxes(1) };
    let (at, past) = (lying(Lie::LongLine(1 << 20)), lying(Lie::LongLine((1 << 20) + 1)));
    bound(usual, at, past, "a line of more than 1048576 bytes");
    bound(usual, lying(Lie::ManyFlags(1_000)), lying(Lie::ManyFlags(1_001)), "more than 1000 flags");
    bound(Bounds { messages: 5, ..usual }, mailboxes(1), six(), "6 messages");
}

fn six() -> Model {
    let mut model = mailboxes(1);
    model.boxes.get_mut("INBOX").unwrap().add(&mail(6));
    model
}

#[test]
fn reconnects_end_after_so_many_failures_in_a_row() {
    let patience = quick();
    let (run, reason) = ran(Model { drops: patience.tries, ..mailboxes(1) }, &patience);
    assert_eq!((run.state, sums(&run)), (State::Succeeded, (5, 0, 0, 0, 0)), "{reason}");
    let (run, reason) = ran(Model { drops: patience.tries + 1, ..mailboxes(1) }, &patience);
    assert_eq!((run.state, sums(&run)), (State::CompletedWithErrors, (0, 0, 0, 0, 1)));
    assert!(reason.contains("ended"), "{reason}");
    // A server that never lets anything be opened is left after two folders, each with all its tries.
    let (house, server) = (House::new(), Server::start(Model { drops: u32::MAX, ..mailboxes(9) }));
    let (account, rules) = (Account::of(&server), Plain::default());
    let run = house.run(&[account.job(&rules)], &patience);
    assert_eq!((run.state, sums(&run)), (State::CompletedWithErrors, (0, 0, 0, 0, 3)));
    assert_eq!(server.with(|model| model.logins), 2 * (patience.tries + 1));
}

#[test]
fn who_wants_time_gets_it() {
    for words in [
        "[LIMIT] too much at once",
        "[UNAVAILABLE] the backend is away",
        "[INUSE] somebody else has it",
        "[IN-USE] somebody else has it",
        "[THROTTLED] slow down",
        "Request is throttled. Suggested Backoff Time: 2 milliseconds",
        "please try again in 1 milliseconds",
    ] {
        let (house, server) =
            (House::new(), Server::start(Model { lie: Lie::Later(7, words), ..mailboxes(2) }));
        let (account, rules) = (Account::of(&server), Plain::default());
        let run = house.run(&[account.job(&rules)], &quick());
        assert_eq!(
            (run.state, sums(&run)),
            (State::Succeeded, (5, 0, 0, 0, 0)),
            "{words}: {:?}",
            house.reasons(&run)
        );
        assert!(server.with(|model| model.logins) > 1, "{words}: another connection was made");
    }
}

#[test]
fn referrals_are_not_followed() {
    let elsewhere = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let port = elsewhere.local_addr().unwrap().port();
    for lie in [Lie::ReferredLogin(port), Lie::ReferredMailbox(port)] {
        let (run, reason) = ran(Model { lie, ..mailboxes(1) }, &quick());
        assert_eq!((run.state, sums(&run)), (State::CompletedWithErrors, (0, 0, 0, 0, 1)));
        assert!(reason.contains("REFERRAL"), "{reason}");
    }
    assert_eq!(elsewhere.accept().map(|_| ()).unwrap_err().kind(), ErrorKind::WouldBlock, "nobody came");
}

#[test]
fn no_and_bad_by_chance() {
    for seed in 0..24 {
        let (house, server) =
            (House::new(), Server::start(Model { lie: Lie::ByChance(seed), ..mailboxes(4) }));
        let (account, rules) = (Account::of(&server), Plain::default());
        let run = house.run(&[account.job(&rules)], &quick());
        assert!(ended(&run), "seed {seed}: {run:?}");
        let good = sorted(&[0, 1, 2, 3, 4].map(mail));
        assert!(house.folders().values().flatten().all(|found| good.contains(found)), "seed {seed}");
        server.with(|model| model.lie = Lie::None);
        let run = house.run(&[account.job(&rules)], &quick());
        assert_eq!(run.state, State::Succeeded, "seed {seed}: {:?}", house.reasons(&run));
        assert_eq!(house.folders()["alice/mail/INBOX"], good, "seed {seed}");
    }
}

#[test]
fn nuls_and_other_odd_bytes_in_messages() {
    let mut model = Model::default();
    let odd: Vec<Vec<u8>> = vec![
        b"Subject: a\0b\r\n\r\nnul \0 in the body\r\n".to_vec(),
        b"\0".to_vec(),
        [b"Subject: all bytes\r\n\r\n".to_vec(), (0..=255).filter(|byte| !b"\r\n".contains(byte)).collect()]
            .concat(),
        b") * BYE\r\nm1 OK this is a message\r\n\r\n".to_vec(),
    ];
    let inbox = model.boxes.entry("INBOX".into()).or_default();
    for bytes in &odd {
        inbox.add(bytes);
    }
    let (house, server) = (House::new(), Server::start(model));
    let (account, rules) = (Account::of(&server), Plain::default());
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!((run.state, sums(&run)), (State::Succeeded, (4, 0, 0, 0, 0)), "{:?}", house.reasons(&run));
    assert_eq!(house.folders()["alice/mail/INBOX"], sorted(&odd));
}
