//! What runs do with an honest server: new mail, nothing new, moves, deletions, other UIDVALIDITY, cut connections.

use super::server::{Lie, MayGo, Model};
use super::*;
use crate::remote::job::Route;
use std::time::Instant;

fn model(capabilities: &str) -> Model {
    let mut model = Model { capabilities: capabilities.into(), ..Model::default() };
    for (name, count) in [("INBOX", 5), ("Entw&APw-rfe", 3), ("a \\\"b/c%d", 2)] {
        let name = name.replace("\\\"", "");
        let mailbox = model.boxes.entry(name.clone()).or_default();
        for n in 0..count {
            mailbox.add(&mail(n + name.len() * 100));
        }
    }
    model
}

const SERVERS: [&str; 4] = [
    "",
    "ESEARCH CONDSTORE UIDPLUS",
    "ENABLE QRESYNC CONDSTORE ESEARCH LIST-EXTENDED LIST-STATUS SPECIAL-USE UIDPLUS LITERAL+",
    "ENABLE QRESYNC CONDSTORE",
];

#[test]
fn archived_once_and_then_nothing() {
    for capabilities in SERVERS {
        let (house, server) = (House::new(), Server::start(model(capabilities)));
        let (account, rules) = (Account::of(&server), Plain::default());
        let first = house.run(&[account.job(&rules)], &quick());
        assert_eq!(
            (first.state, sums(&first)),
            (State::Succeeded, (10, 0, 0, 0, 0)),
            "{:?}",
            house.reasons(&first)
        );
        assert_eq!(first.sums.on_server, 10);
        let folders = house.folders();
        let wanted: Vec<Vec<u8>> = (0..3).map(|n| mail(n + 1_200)).collect();
        assert_eq!(folders.get("alice/mail/Entwürfe"), Some(&sorted(&wanted)), "{:?}", folders.keys());
        assert!(folders.contains_key("alice/mail/a b/c%d"), "{:?}", folders.keys());
        let bodies = server.with(|model| {
            model.commands.clear();
            model.bodies
        });
        assert_eq!(bodies, 10, "each body once");
        let second = house.run(&[account.job(&rules)], &quick());
        assert_eq!((second.state, sums(&second)), (State::Succeeded, (0, 10, 0, 0, 0)));
        assert_eq!((second.sums.seen, second.sums.on_server), (10, 10));
        let commands = server.with(|model| model.commands.clone());
        let of_folders =
            commands.iter().filter(|command| command.contains("UID") && !command.contains("STATUS"));
        assert_eq!(of_folders.count(), 0, "one figure a folder is enough: {commands:?}");
        assert_eq!(house.folders(), folders);
    }
}

#[test]
fn what_changed_is_done_and_no_more() {
    for capabilities in SERVERS {
        let (house, server) = (House::new(), Server::start(model(capabilities)));
        let (account, rules) = (Account::of(&server), Plain::default());
        house.run(&[account.job(&rules)], &quick());
        let before = house.folders();
        server.with(|model| {
            model.bodies = 0;
            // One moves, one goes for good, one is new, one gets a flag.
            let moved = model.boxes.get_mut("INBOX").unwrap().remove(2).unwrap();
            model.boxes.get_mut("Entw&APw-rfe").unwrap().add(&moved.bytes);
            let inbox = model.boxes.get_mut("INBOX").unwrap();
            inbox.remove(3);
            inbox.add(&mail(9_999));
            inbox.mails.get_mut(&1).unwrap().flags.push("\\Flagged".into());
        });
        let run = house.run(&[account.job(&rules)], &quick());
        assert_eq!(
            (run.state, sums(&run)),
            (State::Succeeded, (1, 8, 1, 0, 0)),
            "{capabilities}: {:?}",
            house.reasons(&run)
        );
        assert_eq!(server.with(|model| model.bodies), 1, "what moved is not fetched again");
        let after = house.folders();
        assert_eq!(after["alice/mail/INBOX"].len(), before["alice/mail/INBOX"].len() - 1 + 1);
        assert_eq!(after["alice/mail/Entwürfe"].len(), before["alice/mail/Entwürfe"].len() + 1);
        let third = house.run(&[account.job(&rules)], &quick());
        assert_eq!(sums(&third), (0, 10, 0, 0, 0));
        // It moves on, and back: its place in the archive follows.
        server.with(|model| {
            let uid = *model.boxes["Entw&APw-rfe"].mails.keys().last().unwrap();
            let moved = model.boxes.get_mut("Entw&APw-rfe").unwrap().remove(uid).unwrap();
            model.boxes.get_mut("INBOX").unwrap().add(&moved.bytes);
        });
        let fourth = house.run(&[account.job(&rules)], &quick());
        assert_eq!(sums(&fourth), (0, 9, 1, 0, 0));
        assert_eq!(house.folders()["alice/mail/Entwürfe"], before["alice/mail/Entwürfe"]);
        assert_eq!(server.with(|model| model.bodies), 1);
    }
}

#[test]
fn another_uidvalidity_brings_nothing_twice() {
    for capabilities in SERVERS {
        let (house, server) = (House::new(), Server::start(model(capabilities)));
        let (account, rules) = (Account::of(&server), Plain::default());
        server.with(|model| {
            let inbox = model.boxes.get_mut("INBOX").unwrap();
            // The same message twice is two messages.
            inbox.add(&mail(500));
        });
        house.run(&[account.job(&rules)], &quick());
        server.with(|model| {
            let moved = model.boxes.get_mut("INBOX").unwrap().remove(2).unwrap();
            model.boxes.get_mut("Entw&APw-rfe").unwrap().add(&moved.bytes);
        });
        house.run(&[account.job(&rules)], &quick());
        let before = house.folders();
        server.with(|model| {
            for mailbox in model.boxes.values_mut() {
                mailbox.uid_validity += 1;
                let mails: Vec<_> = std::mem::take(&mut mailbox.mails).into_values().rev().collect();
                mailbox.uid_next = 1;
                for one in mails {
                    mailbox.add(&one.bytes);
                }
            }
        });
        let run = house.run(&[account.job(&rules)], &quick());
        assert_eq!(
            (run.state, sums(&run)),
            (State::Succeeded, (0, 11, 0, 0, 0)),
            "{:?}",
            house.reasons(&run)
        );
        assert_eq!(house.folders(), before, "nothing twice, nothing removed");
        let again = house.run(&[account.job(&rules)], &quick());
        assert_eq!(sums(&again), (0, 11, 0, 0, 0));
    }
}

#[test]
fn what_is_walked_again_takes_nothing_from_other_folders() {
    let (house, server) = (House::new(), Server::start(model("")));
    let (account, rules) = (Account::of(&server), Plain::default());
    server.with(|model| model.boxes.get_mut("Entw&APw-rfe").unwrap().add(&mail(500)));
    house.run(&[account.job(&rules)], &quick());
    let before = house.folders();
    server.with(|model| {
        model.boxes.get_mut("Entw&APw-rfe").unwrap().remove(4);
        model.boxes.get_mut("INBOX").unwrap().uid_validity += 1;
    });
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!((run.state, sums(&run)), (State::Succeeded, (0, 10, 0, 0, 0)));
    assert_eq!(house.folders(), before);
}

#[test]
fn a_copy_in_the_same_folder_is_another_message() {
    let (house, server) = (House::new(), Server::start(model("")));
    let (account, rules) = (Account::of(&server), Plain::default());
    house.run(&[account.job(&rules)], &quick());
    server.with(|model| model.boxes.get_mut("INBOX").unwrap().add(&mail(500)));
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!(sums(&run), (1, 10, 0, 0, 0));
    // It goes and comes back under another UID: it is there already.
    server.with(|model| {
        model.boxes.get_mut("INBOX").unwrap().remove(6);
        model.boxes.get_mut("INBOX").unwrap().add(&mail(500));
    });
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!(sums(&run), (0, 11, 0, 0, 0));
    assert_eq!(house.folders()["alice/mail/INBOX"].len(), 6);
}

#[test]
fn a_copy_that_comes_while_its_like_moves_away() {
    let (house, server) = (House::new(), Server::start(model("")));
    let (account, rules) = (Account::of(&server), Plain::default());
    house.run(&[account.job(&rules)], &quick());
    server.with(|model| {
        let moved = model.boxes.get_mut("Entw&APw-rfe").unwrap().remove(1).unwrap();
        model.boxes.get_mut("INBOX").unwrap().add(&moved.bytes);
        model.boxes.get_mut("Entw&APw-rfe").unwrap().add(&moved.bytes);
    });
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!((run.state, run.sums.on_server), (State::Succeeded, 11));
    let folders = house.folders();
    assert_eq!((folders["alice/mail/INBOX"].len(), folders["alice/mail/Entwürfe"].len()), (6, 3));
}

#[test]
fn what_is_filtered_is_counted_until_the_rules_change() {
    let (house, server) = (House::new(), Server::start(model("")));
    let account = Account::of(&server);
    let most = mail(502).len() as u64;
    let rules = Plain { most_bytes: Some(most), unwanted: vec!["Entwürfe".into()], ..Plain::default() };
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!((run.state, sums(&run)), (State::Succeeded, (5, 0, 0, 2, 0)));
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!((run.state, sums(&run)), (State::Succeeded, (0, 5, 0, 2, 0)));
    let all = Plain::default();
    let run = house.run(&[account.job(&all)], &quick());
    assert_eq!((run.state, sums(&run)), (State::Succeeded, (5, 5, 0, 0, 0)));
}

#[test]
fn a_cut_at_every_byte_costs_nothing_but_time() {
    let small = || {
        let mut model = Model { capabilities: "ENABLE QRESYNC ESEARCH".into(), ..Model::default() };
        let inbox = model.boxes.entry("INBOX".into()).or_default();
        inbox.add(&mail(1));
        inbox.add(&mail(2));
        model
    };
    let server = Server::start(small());
    let account = Account::of(&server);
    let rules = Plain::default();
    let whole = {
        let house = House::new();
        house.run(&[account.job(&rules)], &quick());
        server.with(|model| model.sent)
    };
    // One house for all: a store takes longer to make than the run does.
    let house = House::new();
    for cut in 0..whole {
        let server = Server::start(Model { cut: Some(cut), ..small() });
        let mut account = Account::of(&server);
        account.into = FolderPath::new(format!("alice/{cut}")).unwrap();
        let mut job = account.job(&rules);
        job.key = format!("imap:alice@{cut}");
        let run = house.run(&[job], &quick());
        assert_eq!(
            (run.state, sums(&run)),
            (State::Succeeded, (2, 0, 0, 0, 0)),
            "cut at {cut}: {:?}",
            house.reasons(&run)
        );
        assert_eq!(house.folder(&format!("alice/{cut}/INBOX")), sorted(&[mail(1), mail(2)]));
    }
}

#[test]
fn a_cut_at_every_byte_of_a_deletion_deletes_all_the_same() {
    let small = || {
        let mut model = Model { capabilities: "UIDPLUS ESEARCH".into(), ..Model::default() };
        let inbox = model.boxes.entry("INBOX".into()).or_default();
        inbox.add(&mail(1));
        inbox.add(&mail(2));
        model
    };
    let house = House::new();
    let bytes = |rules: &Plain, into: &str| {
        let server = Server::start(small());
        let account = Account { into: FolderPath::new(into).unwrap(), ..Account::of(&server) };
        let job = MailboxJob { key: format!("imap:{into}"), ..account.job(rules) };
        assert_eq!(house.run(&[job], &quick()).state, State::Succeeded);
        server.with(|model| model.sent)
    };
    let rules = deleting(Deletion::default());
    let (without, with) = (bytes(&Plain::default(), "alice/without"), bytes(&rules, "alice/with"));
    assert!(with > without + 100, "{without} {with}");
    // LOGOUT's answer comes after it.
    for cut in without - 30..with {
        let server = Server::start(Model { cut: Some(cut), ..small() });
        let account =
            Account { into: FolderPath::new(format!("alice/{cut}")).unwrap(), ..Account::of(&server) };
        let job = MailboxJob { key: format!("imap:{cut}"), ..account.job(&rules) };
        let run = house.run(&[job], &quick());
        assert_eq!(
            (run.state, sums(&run)),
            (State::Succeeded, (2, 0, 0, 0, 0)),
            "cut at {cut}: {:?}",
            house.reasons(&run)
        );
        assert_eq!(run.sums.deleted, 2, "cut at {cut}");
        assert!(server.with(|model| model.boxes["INBOX"].mails.is_empty()), "cut at {cut}");
        assert_eq!(house.folder(&format!("alice/{cut}/INBOX")), sorted(&[mail(1), mail(2)]));
    }
}

fn deleting(rule: Deletion) -> Plain {
    Plain { deletion: Some(rule), ..Plain::default() }
}

#[test]
fn only_what_was_read_back_is_deleted_and_never_what_is_flagged() {
    let (house, server) = (House::new(), Server::start(model("UIDPLUS")));
    let account = Account::of(&server);
    server.with(|model| {
        let inbox = model.boxes.get_mut("INBOX").unwrap();
        inbox.mails.get_mut(&1).unwrap().flags.push("\\Flagged".into());
        inbox.mails.get_mut(&2).unwrap().flags.push("\\Deleted".into());
    });
    let mut rules = deleting(Deletion { dry_run: true, ..Deletion::default() });
    rules.forbidden.insert(hash(&mail(502)));
    rules.unwanted = vec!["Entwürfe".into()];
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!((sums(&run), run.sums.deleted), ((7, 0, 0, 0, 0), 0));
    assert_eq!(house.archiver.deletions(run.id).unwrap().len(), 5, "a dry run lists");
    assert_eq!(server.with(|model| model.expunged.len()), 0);
    rules.deletion = Some(Deletion { after_days: Some(1), ..Deletion::default() });
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!(run.sums.deleted, 0, "archived today");
    rules.deletion = Some(Deletion { older_than_days: Some(365), ..Deletion::default() });
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!((run.state, sums(&run), run.sums.deleted), (State::Succeeded, (0, 7, 0, 0, 0), 5));
    let left = server.with(|model| model.boxes["INBOX"].mails.keys().copied().collect::<Vec<_>>());
    assert_eq!(left, [1, 3], "the flagged and the forbidden one stay");
    assert_eq!(server.with(|model| model.boxes["Entw&APw-rfe"].mails.len()), 3, "nor what isn't archived");
    assert_eq!(house.folders()["alice/mail/INBOX"].len(), 5, "the archive keeps all");
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!((run.state, sums(&run), run.sums.deleted), (State::Succeeded, (0, 2, 0, 0, 0), 0));
}

#[test]
fn without_uidplus_nothing_is_deleted_unless_forced() {
    let (house, server) = (House::new(), Server::start(model("")));
    let account = Account::of(&server);
    let rules = deleting(Deletion::default());
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!((run.sums.archived, run.sums.deleted, run.sums.failed), (10, 0, 1));
    assert!(house.reasons(&run)[0].contains("UIDPLUS"));
    assert_eq!(server.with(|model| model.expunged.len()), 0);
    let rules = deleting(Deletion { force_without_uidplus: true, ..Deletion::default() });
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!((run.state, run.sums.deleted), (State::Succeeded, 10));
}

#[test]
fn several_mailboxes_at_once() {
    let house = House::new();
    let servers: Vec<Server> = (0..6).map(|_| Server::start(model("ESEARCH"))).collect();
    let rules = Plain::default();
    let mut accounts: Vec<Account> = servers.iter().map(Account::of).collect();
    for (number, account) in accounts.iter_mut().enumerate() {
        account.into = FolderPath::new(format!("user{number}/mail")).unwrap();
    }
    let jobs: Vec<MailboxJob<'_>> = accounts
        .iter()
        .enumerate()
        .map(|(number, account)| MailboxJob { key: format!("imap:user{number}@test"), ..account.job(&rules) })
        .collect();
    let run = house.run(&jobs, &quick());
    assert_eq!((run.state, sums(&run)), (State::Succeeded, (60, 0, 0, 0, 0)));
    // One that can't be reached hurts no other.
    drop(jobs);
    accounts[3].access.port = 1;
    let jobs: Vec<MailboxJob<'_>> = accounts
        .iter()
        .enumerate()
        .map(|(number, account)| MailboxJob { key: format!("imap:user{number}@test"), ..account.job(&rules) })
        .collect();
    let run = house.run(&jobs, &quick());
    assert_eq!((run.state, sums(&run)), (State::CompletedWithErrors, (0, 50, 0, 0, 1)));
    assert!(house.reasons(&run)[0].contains("127.0.0.1:1"), "{:?}", house.reasons(&run));
}

#[test]
fn the_honest_server_is_honest() {
    assert_eq!(model("").lie, Lie::None);
}

#[test]
fn a_move_that_only_the_bytes_show() {
    let (house, server) = (House::new(), Server::start(Model { lie: Lie::OtherDates, ..model("") }));
    let (account, rules) = (Account::of(&server), Plain::default());
    house.run(&[account.job(&rules)], &quick());
    server.with(|model| {
        model.bodies = 0;
        let moved = model.boxes.get_mut("INBOX").unwrap().remove(2).unwrap();
        model.boxes.get_mut("Entw&APw-rfe").unwrap().add(&moved.bytes);
    });
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!((run.state, sums(&run)), (State::Succeeded, (0, 9, 1, 0, 0)));
    assert_eq!((server.with(|model| model.bodies), house.folders()["alice/mail/INBOX"].len()), (1, 4));
}

#[test]
fn a_move_by_the_servers_own_identity() {
    let (house, server) = (House::new(), Server::start(Model { lie: Lie::OtherDates, ..model("OBJECTID") }));
    let (account, rules) = (Account::of(&server), Plain::default());
    house.run(&[account.job(&rules)], &quick());
    server.with(|model| {
        (model.bodies, model.commands) = (0, Vec::new());
        // A whole folder gets another name, and its messages other UIDs.
        let renamed = model.boxes.remove("Entw&APw-rfe").unwrap();
        let now = model.boxes.entry("renamed".into()).or_default();
        for mail in renamed.mails.into_values().rev() {
            now.add(&mail.bytes);
        }
    });
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!((run.state, sums(&run)), (State::Succeeded, (0, 7, 3, 0, 0)));
    assert_eq!(server.with(|model| model.bodies), 0);
    assert!(!server.with(|model| model.commands.iter().any(|command| command.contains("BODY"))));
    assert_eq!(house.folders()["alice/mail/renamed"].len(), 3);
    assert!(!house.folders().contains_key("alice/mail/Entwürfe"));
}

#[test]
fn losing_what_was_known_loses_no_mail_and_repeats_none() {
    let (house, server) = (House::new(), Server::start(model("")));
    let (account, rules) = (Account::of(&server), Plain::default());
    house.run(&[account.job(&rules)], &quick());
    server.with(|model| {
        let moved = model.boxes.get_mut("INBOX").unwrap().remove(2).unwrap();
        model.boxes.get_mut("Entw&APw-rfe").unwrap().add(&moved.bytes);
    });
    house.run(&[account.job(&rules)], &quick());
    let before = house.folders();
    let db = crate::testing::in_memory();
    let archiver = Archiver::open(house.storage.clone(), Arc::new(db)).unwrap();
    let start = Start { source: "t".into(), into: "a".into(), who: "x".into(), parallel: 1, until: None };
    let jobs = [account.job(&rules)];
    let run = archive_with(&archiver, &start, &jobs, &quick(), &|_| {}, &Cancel::default()).unwrap();
    assert_eq!((run.state, sums(&run)), (State::Succeeded, (0, 10, 0, 0, 0)));
    assert_eq!(house.folders(), before);
}

#[test]
fn a_run_whose_time_is_over_says_so_and_the_next_goes_on() {
    let (house, server) = (House::new(), Server::start(model("")));
    let (account, rules) = (Account::of(&server), Plain::default());
    let until = Some(Instant::now());
    let start = Start { source: "t".into(), into: "a".into(), who: "x".into(), parallel: 1, until };
    let jobs = [account.job(&rules)];
    let run = archive_with(&house.archiver, &start, &jobs, &quick(), &|_| {}, &Cancel::default()).unwrap();
    assert_eq!((run.state, sums(&run)), (State::CompletedWithErrors, (0, 0, 0, 0, 1)));
    assert!(house.reasons(&run)[0].contains("the time for the run is over"));
    let cancel = Cancel::default();
    cancel.set();
    let start = Start { until: None, ..start };
    let run = archive_with(&house.archiver, &start, &jobs, &quick(), &|_| {}, &cancel).unwrap();
    assert_eq!(run.state, State::Cancelled);
    assert_eq!(sums(&house.run(&jobs, &quick())), (10, 0, 0, 0, 0));
}

#[test]
fn what_is_deleted_in_the_run_that_brought_it_is_archived_before() {
    let (house, server) = (House::new(), Server::start(model("UIDPLUS")));
    let (account, rules) = (Account::of(&server), deleting(Deletion::default()));
    let storage = house.storage.clone();
    let archived = move |bytes: &[u8]| {
        storage.folders().iter().any(|info| {
            let view = storage.view(&info.path).unwrap();
            !storage.with_identity(&view, &hash(bytes).0).unwrap().is_empty()
        })
    };
    server.with(|model| model.may_go = Some(MayGo(Box::new(archived))));
    let run = house.run(&[account.job(&rules)], &quick());
    assert_eq!((run.state, run.sums.archived, run.sums.deleted), (State::Succeeded, 10, 10));
    assert_eq!(server.with(|model| model.expunged.len()), 10);
    server.with(|model| model.may_go = None);
}

/// To everybody whose name stands in the header.
struct ByHeader;

impl Route for ByHeader {
    fn folders(&self, header: &[u8]) -> Result<Vec<FolderPath>, String> {
        assert!(header.ends_with(b"\r\n\r\n"));
        let text = String::from_utf8_lossy(header);
        let names =
            ["alice", "bob"].into_iter().filter(|name| text.contains(&format!("X-Original-To: {name}")));
        let folders: Vec<FolderPath> =
            names.map(|name| FolderPath::new(format!("{name}/Catch")).unwrap()).collect();
        if folders.is_empty() { Err("nobody's address".into()) } else { Ok(folders) }
    }
}

#[test]
fn one_mailbox_for_many_users() {
    let letter = |names: &[&str], n: usize| {
        let fields: String = names.iter().map(|name| format!("X-Original-To: {name}\r\n")).collect();
        [fields.into_bytes(), mail(n)].concat()
    };
    let mails =
        [letter(&["alice"], 1), letter(&["bob", "alice"], 2), letter(&["eve"], 3), letter(&["bob"], 4)];
    let mut model = Model::default();
    for mail in &mails {
        model.boxes.entry("INBOX".into()).or_default().add(mail);
    }
    let (house, server) = (House::new(), Server::start(model));
    let (account, rules) = (Account::of(&server), Plain::default());
    let job = || MailboxJob { into: Into::Multidrop(&ByHeader), ..account.job(&rules) };
    let run = house.run(&[job()], &quick());
    assert_eq!((run.state, sums(&run)), (State::Succeeded, (3, 0, 0, 1, 0)), "each message counts once");
    let wanted = BTreeMap::from([
        ("alice/Catch".to_owned(), sorted(&[mails[0].clone(), mails[1].clone()])),
        ("bob/Catch".to_owned(), sorted(&[mails[1].clone(), mails[3].clone()])),
    ]);
    assert_eq!(house.folders(), wanted);
    let run = house.run(&[job()], &quick());
    assert_eq!((run.state, sums(&run)), (State::Succeeded, (0, 3, 0, 1, 0)));
    assert_eq!(house.folders(), wanted);
}
