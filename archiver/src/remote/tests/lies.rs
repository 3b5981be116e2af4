//! A server that lies: the run ends, says why, deletes nothing, and archives all that was good.

use super::server::{Lie, Model};
use super::*;

fn lying(lie: Lie) -> Server {
    let mut model = Model { capabilities: "UIDPLUS".into(), lie, ..Model::default() };
    for n in 0..5 {
        model.boxes.entry("INBOX".into()).or_default().add(&mail(n));
    }
    for n in 10..12 {
        model.boxes.entry("Other".into()).or_default().add(&mail(n));
    }
    Server::start(model)
}

/// What is archived of seven messages and how many items fail, with a part of a reason.
fn run(lie: Lie) -> (Run, House, Vec<String>) {
    let (house, server) = (House::new(), lying(lie));
    let account = Account::of(&server);
    let rules =
        Plain { deletion: Some(Deletion { after_days: Some(1), ..Deletion::default() }), ..Plain::default() };
    let run = house.run(&[account.job(&rules)], &tight());
    assert!(ended(&run), "{lie:?}: {run:?}");
    assert_eq!(server.with(|model| model.expunged.len()), 0, "{lie:?}: nothing is deleted");
    let reasons = house.reasons(&run);
    (run, house, reasons)
}

#[track_caller]
fn check(lie: Lie, archived: u64, failed: u64, why: &str) {
    let (run, house, reasons) = run(lie);
    assert_eq!((run.sums.archived, run.sums.failed), (archived, failed), "{lie:?}: {reasons:?}");
    if !why.is_empty() {
        assert!(reasons.iter().any(|reason| reason.contains(why)), "{lie:?}: {reasons:?}");
    }
    let good = sorted(&[0, 1, 2, 3, 4, 10, 11].map(mail));
    for found in house.folders().values().flatten() {
        assert!(good.contains(found), "{lie:?}: something else was archived");
    }
}

#[test]
fn messages_of_4_gigabytes() {
    check(Lie::HugeLiteral(3), 6, 1, "4294967296 bytes");
}

#[test]
fn sizes_that_are_wrong() {
    check(Lie::WrongSizes, 7, 0, "");
}

#[test]
fn answers_backwards_and_twice() {
    check(Lie::BackwardsAndTwice, 7, 0, "");
}

#[test]
fn floods_of_exists() {
    check(Lie::ExistsFlood, 0, 3, "responses to one command");
}

#[test]
fn bye_in_the_middle_of_a_message() {
    check(Lie::ByeInLiteral(2), 5, 2, "ended");
}

#[test]
fn a_connection_that_hangs() {
    check(Lie::Hang(4), 6, 1, "nothing came for 1 seconds");
}

#[test]
fn uids_that_nobody_asked_for() {
    check(Lie::WrongUids, 0, 7, "didn't send it");
}

#[test]
fn a_no_for_one_message() {
    check(Lie::NoFor(2), 5, 2, "that one is broken");
}

#[test]
fn a_bad_for_one_message() {
    check(Lie::BadFor(2), 5, 2, "internal error");
}

#[test]
fn a_server_that_wants_time() {
    check(Lie::Busy(7), 7, 0, "");
}

#[test]
fn preauth_is_taken_where_nothing_is_protected_anyway() {
    check(Lie::Preauth, 7, 0, "");
}

#[test]
fn lists_without_end() {
    check(Lie::EndlessList, 0, 1, "more than 1000 mailboxes");
}

#[test]
fn nuls() {
    check(Lie::Nuls, 7, 0, "");
}

#[test]
fn lines_without_end() {
    check(Lie::EndlessLine, 0, 1, "a line of more than 1048576 bytes");
}

#[test]
fn no_uidvalidity_at_all() {
    check(Lie::NoUidValidity, 7, 0, "");
}

#[test]
fn a_server_that_cannot_search() {
    check(Lie::NoSearch, 7, 0, "");
}

#[test]
fn a_search_that_hides_a_message() {
    check(Lie::SearchLacks(2), 7, 0, "");
}

#[test]
fn a_search_without_end() {
    check(Lie::SearchWithoutEnd, 0, 3, "ranges");
}

#[test]
fn parentheses_without_end() {
    check(Lie::DeepParentheses, 0, 1, "deep");
}

#[test]
fn a_server_that_says_nothing() {
    check(Lie::Silent, 0, 1, "nothing came for 1 seconds");
}

#[test]
fn what_failed_is_tried_again_by_itself() {
    let (house, server) = (House::new(), lying(Lie::NoFor(2)));
    let (account, rules) = (Account::of(&server), Plain::default());
    let run = house.run(&[account.job(&rules)], &tight());
    assert_eq!((run.state, sums(&run)), (State::CompletedWithErrors, (5, 0, 0, 0, 2)));
    let run = house.run(&[account.job(&rules)], &tight());
    assert_eq!(
        (run.state, sums(&run)),
        (State::CompletedWithErrors, (0, 5, 0, 0, 2)),
        "listed until it is solved"
    );
    server.with(|model| model.lie = Lie::None);
    let run = house.run(&[account.job(&rules)], &tight());
    assert_eq!((run.state, sums(&run)), (State::Succeeded, (2, 5, 0, 0, 0)));
}

#[test]
fn starttls_that_is_not_offered_is_not_done_without() {
    let (house, server) = (House::new(), lying(Lie::None));
    let mut account = Account::of(&server);
    account.access.tls = Tls::Starttls;
    let rules = Plain::default();
    let run = house.run(&[account.job(&rules)], &tight());
    assert_eq!((run.sums.archived, run.sums.failed), (0, 1));
    assert!(house.reasons(&run)[0].contains("STARTTLS"));
    assert_eq!(server.with(|model| model.logins), 0, "the password isn't told");
    let server = lying(Lie::Preauth);
    account.access.port = server.port;
    let run = house.run(&[account.job(&rules)], &tight());
    assert_eq!((run.sums.archived, run.sums.failed), (0, 1));
}
