//! Profiles: what makes sense, how they are kept, and runs of the kinds on disk over a real store.

use super::text::{Whole, export};
use super::*;
use crate::remote::access::Secret;
use crate::testing::Installation;
use crate::{Progress, Run, State};
use auth::Auth;
use std::fs;
use std::ops::Deref;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use storage::{Cancel, Limits, MasterKey};
use zeroize::Zeroizing;

struct House {
    own: Installation,
    auth: Auth,
}

impl Deref for House {
    type Target = Installation;
    fn deref(&self) -> &Installation {
        &self.own
    }
}

impl House {
    fn new(users: &[(&str, &str)]) -> House {
        let own = Installation::new(Limits::default());
        let auth = Auth::open(own.db.clone()).unwrap();
        for (name, address) in users {
            auth.add(name, &Zeroizing::new("correct horse".into()), false).unwrap();
            auth.set_address(name, address, true).unwrap();
        }
        House { own, auth }
    }

    fn run(&self, name: &str) -> Run {
        let ask = Ask { name: name.into(), who: "test".into(), dry_run: false };
        let quiet: &(dyn Fn(&Progress) + Sync) = &|_| {};
        let run = self.archiver.run_profile(&self.auth, &ask, quiet, &|_| {}, &Cancel::default()).unwrap();
        assert!(run.sums.agree(), "{run:?}");
        run
    }

    fn folders(&self) -> Vec<(String, u64)> {
        let mut all: Vec<_> = self
            .storage
            .folders()
            .into_iter()
            .map(|folder| (folder.path.to_string(), folder.messages))
            .collect();
        all.retain(|(_, messages)| *messages > 0);
        all.sort();
        all
    }
}

fn whole(profile: Profile) -> Whole {
    Whole { profile, secret: None }
}

fn server(tls: Tls) -> Server {
    Server {
        host: "mail.example.org".into(),
        port: None,
        tls,
        trust: Trust::System,
        mechanism: Mechanism::Auto,
        user: Some("ann".into()),
        timeout_secs: 60,
    }
}

fn of_files(name: &str, path: &Path) -> Profile {
    Profile { into: Some("alice/F".into()), path: Some(path.to_owned()), ..Profile::new(name, Kind::Files) }
}

fn imap(name: &str) -> Profile {
    Profile {
        into: Some("alice".into()),
        server: Some(server(Tls::Implicit)),
        ..Profile::new(name, Kind::Imap)
    }
}

fn sums(run: &Run) -> (u64, u64, u64, u64, u64) {
    let sums = run.sums;
    (sums.seen, sums.archived, sums.already, sums.filtered, sums.failed)
}

#[test]
fn toml_gives_back_what_was_written() {
    let mut profile = imap("a.b-c_1");
    profile.folders.exclude = vec!["Lists/*".into()];
    profile.filters.max_bytes = Some(5);
    profile.deletion = Some(Deletion { after_days: Some(30), ..Deletion::default() });
    profile.schedule = Some(Timing { every_minutes: Some(15), ..Timing::default() });
    let multi = Profile {
        multidrop: Some(Multidrop { catch_all: Some("all".into()), ..Multidrop::default() }),
        server: Some(server(Tls::None)),
        ..Profile::new("m", Kind::Pop3Multidrop)
    };
    let secret = Some(Secret::new("p \"q\" \\ ü".into()));
    let all = [Whole { profile, secret }, whole(multi)];
    for one in &all {
        assert_eq!(Whole::parse(&one.text().unwrap(), None).unwrap(), *one);
    }
    assert_eq!(Whole::parse_all(&export(&all).unwrap()).unwrap(), all);
    let renamed = Whole::parse(&all[0].text().unwrap(), Some("other")).unwrap();
    assert_eq!(renamed.profile.name, "other");
}

#[test]
fn a_file_as_the_documentation_has_it() {
    let text = "kind = \"imap\"\ninto = \"alice\"\npassword = \"hunter2\"\n\n[server]\nhost = \"mail.example.org\"\ntls = \"starttls\"\n\
                user = \"ann\"\ntrust = { fingerprint = \"00:11\" }\n";
    let error = Whole::parse(text, Some("ann")).unwrap_err().to_string();
    assert!(error.contains("64 hexadecimal") && !error.contains("hunter2"), "{error}");
    let text = text.replace("00:11", &"ab:".repeat(32));
    let whole = Whole::parse(&text, Some("ann")).unwrap();
    assert_eq!(whole.profile.server.unwrap().port(Protocol::Imap), 143);
    for (bad, words) in [
        (text.replace("kind", "kin"), "kin"),
        (text.replace("[server]", "[server]\nhots = 1"), "hots"),
        (text.replace("\"hunter2\"", "hunter2"), ""),
        (format!("{text}{}", " ".repeat(MAX_TEXT_BYTES)), "more than"),
    ] {
        let error = Whole::parse(&bad, Some("ann")).unwrap_err().to_string();
        assert!(error.contains(words) && !error.contains("hunter2"), "{error}");
    }
    let room = MAX_TEXT_BYTES - text.len();
    assert!(Whole::parse(&format!("{text}{}", " ".repeat(room)), Some("ann")).is_ok());
}

#[test]
fn what_makes_no_sense_is_refused_with_what_to_do() {
    let change = |change: &dyn Fn(&mut Profile)| {
        let mut profile = imap("x");
        change(&mut profile);
        profile.check().err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(change(&|_| ()), "");
    assert_eq!(change(&|p| p.name = "n".repeat(MAX_NAME_BYTES)), "");
    assert_eq!(change(&|p| (p.parallel, p.max_minutes) = (32, 100_000)), "");
    type Case<'a> = (&'a str, &'a dyn Fn(&mut Profile));
    let cases: [Case<'_>; 18] = [
        ("name has", &|p| p.name = "n".repeat(MAX_NAME_BYTES + 1)),
        ("name has", &|p| p.name = "a b".into()),
        ("into is missing", &|p| p.into = None),
        ("no folder", &|p| p.into = Some("a//b".into())),
        ("path makes no sense", &|p| p.path = Some("/x".into())),
        ("format makes no sense", &|p| p.format = Some(Format::Eml)),
        ("[server] is missing", &|p| p.server = None),
        ("server.user", &|p| p.server.as_mut().unwrap().user = None),
        ("server.host", &|p| p.server.as_mut().unwrap().host = "a\n".into()),
        ("server.host", &|p| p.server.as_mut().unwrap().host = "x".repeat(254)),
        ("timeout-secs", &|p| p.server.as_mut().unwrap().timeout_secs = 0),
        ("timeout-secs", &|p| p.server.as_mut().unwrap().timeout_secs = 3_601),
        ("PEM", &|p| p.server.as_mut().unwrap().trust = Trust::Ca("x".into())),
        ("[multidrop]", &|p| p.multidrop = Some(Multidrop::default())),
        ("[many]", &|p| p.many = Some(Many::default())),
        ("after-days", &|p| p.deletion = Some(Deletion::default())),
        ("parallel is 33", &|p| p.parallel = 33),
        ("max-minutes is 100001", &|p| p.max_minutes = 100_001),
    ];
    for (words, case) in cases {
        let error = change(case);
        assert!(error.contains(words), "{words}: {error}");
    }
    let files = |change: &dyn Fn(&mut Profile)| {
        let mut profile = of_files("x", Path::new("/x"));
        change(&mut profile);
        profile.check().err().map(|error| error.to_string()).unwrap_or_default()
    };
    assert_eq!(files(&|_| ()), "");
    assert!(files(&|p| p.path = None).contains("path is missing"));
    assert!(files(&|p| p.path = Some("x".into())).contains("absolute"));
    assert!(files(&|p| p.server = Some(server(Tls::None))).contains("[server]"));
    assert!(
        files(&|p| p.deletion = Some(Deletion { after_days: Some(1), ..Deletion::default() }))
            .contains("[deletion]")
    );
    let continuous = Timing { continuous: true, ..Timing::default() };
    assert!(files(&|p| p.schedule = Some(continuous.clone())).contains("continuous"));
}

#[test]
fn profiles_are_kept_with_their_secrets_sealed() {
    let house = House::new(&[]);
    let profiles = house.archiver.profiles();
    let with = |secret: &str| Whole { profile: imap("mail"), secret: Some(Secret::new(secret.into())) };
    profiles.create(&with("hunter2")).unwrap();
    assert!(profiles.create(&with("x")).is_err() && profiles.replace(&whole(imap("other"))).is_err());
    assert_eq!(profiles.get("mail").unwrap(), imap("mail"));
    assert_eq!(profiles.secret("mail").unwrap().unwrap().reveal(), "hunter2");
    let edited = Profile { parallel: 7, ..imap("mail") };
    profiles.replace(&whole(edited.clone())).unwrap();
    assert_eq!(profiles.all().unwrap(), [edited]);
    assert_eq!(profiles.secret("mail").unwrap().unwrap().reveal(), "hunter2", "it stays");
    profiles.replace(&with("other")).unwrap();
    assert_eq!(profiles.secret("mail").unwrap().unwrap().reveal(), "other");
    assert!(profiles.replace(&with("")).is_err());
    let files = Whole { secret: Some(Secret::new("x".into())), ..whole(of_files("files", Path::new("/x"))) };
    assert!(profiles.create(&files).unwrap_err().to_string().contains("no password"));
    profiles.delete("mail").unwrap();
    assert!(profiles.secret("mail").unwrap().is_none() && !profiles.has_secret("mail").unwrap());
    assert!(matches!(profiles.delete("mail"), Err(Error::UnknownProfile(_))));
}

#[test]
fn secrets_survive_a_change_of_the_master_key_wherever_it_is_cut() {
    let house = House::new(&[]);
    let profiles = house.archiver.profiles();
    let secret = Some(Secret::new("hunter2".into()));
    profiles.create(&Whole { profile: imap("mail"), secret }).unwrap();
    let reveal = || profiles.secret("mail").unwrap().unwrap().reveal().to_owned();
    let new = MasterKey::generate().unwrap();
    profiles.wrap_by(&new).unwrap();
    assert_eq!(reveal(), "hunter2", "cut before any store knows");
    house.storage.rekey(&new.alone().with_older(house.key.clone())).unwrap();
    assert_eq!(reveal(), "hunter2", "both keys");
    house.storage.rekey(&new.alone()).unwrap();
    assert_eq!(reveal(), "hunter2", "the new key alone");
    profiles.forget_other_keys().unwrap();
    assert_eq!(reveal(), "hunter2");
    // The old key opens nothing any more.
    house.storage.rekey(&house.key.alone()).unwrap();
    assert!(matches!(profiles.secret("mail"), Err(Error::Vault)));
    let other = Whole { profile: imap("b"), secret: Some(Secret::new("x".into())) };
    assert!(
        matches!(profiles.create(&other), Err(Error::Vault)),
        "no second key beside one that can't be opened"
    );
    house.storage.rekey(&new.alone()).unwrap();
    assert_eq!(reveal(), "hunter2");
}

const OURS: &str = "Received: from x by mx.example.org; Thu, 1 Jan 2015 00:00:00 +0000\n";

fn mail(dir: &Path, name: &str, head: &str, bytes: usize) {
    let text = format!("{head}Date: Thu, 1 Jan 2015 00:00:00 +0100\n\n{}\n", "x".repeat(bytes));
    fs::write(dir.join(name), text).unwrap();
}

#[test]
fn rules_of_a_directory_leave_out_and_count() {
    let house = House::new(&[("alice", "alice@example.org")]);
    let source = house.dir.path().join("source");
    for folder in ["", "Work", "Trash", "Work/Old"] {
        fs::create_dir_all(source.join(folder)).unwrap();
    }
    mail(&source, "1.eml", "From: a@example.org\nSubject: one\n", 10);
    mail(&source, "2.eml", "From: spam@evil.example\nSubject: two\n", 10);
    mail(&source.join("Work"), "3.eml", "From: b@mail.example.org\nSubject: [list] three\n", 10);
    mail(&source.join("Work/Old"), "4.eml", "From: a@example.org\nSubject: four\n", 2_000_000);
    mail(&source.join("Trash"), "5.eml", "From: a@example.org\nSubject: five\n", 10);
    let mut profile = of_files("files", &source);
    profile.filters.from = vec!["@example.org".into()];
    profile.filters.not_subject = vec!["[list]*".into()];
    house.archiver.profiles().create(&whole(profile.clone())).unwrap();
    let run = house.run("files");
    assert_eq!((run.state, sums(&run)), (State::Succeeded, (4, 2, 0, 2, 0)), "{run:?}");
    assert_eq!(run.profile(), Some("files"));
    assert_eq!(house.folders(), [("alice/F".to_owned(), 1), ("alice/F/Work/Old".to_owned(), 1)]);
    let reasons: Vec<_> =
        house.archiver.items(run.id).unwrap().1.into_iter().map(|item| item.reason).collect();
    assert!(
        reasons.iter().any(|reason| reason.contains("(from)"))
            && reasons.iter().any(|reason| reason.contains("not-subject"))
    );
    assert_eq!(sums(&house.run("files")), (4, 0, 2, 2, 0));
    // What the rules left out comes when they allow it.
    profile.filters = Filters::default();
    profile.folders.trash = true;
    house.archiver.profiles().replace(&whole(profile)).unwrap();
    assert_eq!(sums(&house.run("files")), (5, 3, 2, 0, 0));
}

#[test]
fn multidrop_from_files_reaches_everyone_once() {
    let house = House::new(&[("alice", "alice@example.org"), ("bob", "bob@example.org")]);
    let source = house.dir.path().join("source");
    fs::create_dir_all(&source).unwrap();
    mail(&source, "1.eml", &format!("X-Original-To: alice@example.org\n{OURS}"), 10);
    mail(
        &source,
        "2.eml",
        &format!("Delivered-To: bob@example.org\nDelivered-To: alice@example.org\n{OURS}"),
        20,
    );
    mail(&source, "3.eml", &format!("{OURS}X-Original-To: alice@example.org\nTo: alice@example.org\n"), 30);
    let mut mbox = String::new();
    for n in 0..3 {
        mbox.push_str(&format!("From a@b Fri Sep  4 14:55:26 2020\nX-Original-To: bob@example.org\n{OURS}Subject: {n}\n\nmbox {n}\n\n"));
    }
    fs::write(source.join("more.mbox"), mbox).unwrap();
    let mut profile = Profile {
        path: Some(source),
        into: Some("Company".into()),
        ..Profile::new("drop", Kind::FilesMultidrop)
    };
    house.archiver.profiles().create(&whole(profile.clone())).unwrap();
    let run = house.run("drop");
    // A message for two counts twice; the forged one is for nobody.
    assert_eq!(sums(&run), (7, 6, 0, 1, 0), "{run:?}");
    assert_eq!(house.folders(), [("alice/Company".to_owned(), 2), ("bob/Company".to_owned(), 4)]);
    assert_eq!(sums(&house.run("drop")), (7, 0, 6, 1, 0));
    profile.multidrop = Some(Multidrop { catch_all: Some("postmaster".into()), ..Multidrop::default() });
    house.archiver.profiles().replace(&whole(profile)).unwrap();
    assert_eq!(sums(&house.run("drop")), (7, 1, 6, 0, 0));
    assert_eq!(house.folders().last(), Some(&("postmaster/Company".to_owned(), 1)));
}

#[test]
fn what_failed_is_listed_until_it_is_solved() {
    let house = House::new(&[]);
    let source = house.dir.path().join("source");
    let messages = source.join("INBOX.mbox/Messages");
    fs::create_dir_all(&messages).unwrap();
    fs::write(messages.join("1.emlx"), "999\nSubject: cut\n\n").unwrap();
    fs::write(messages.join("2.emlx"), "14\nSubject: 2\n\nx\n").unwrap();
    let profile = Profile { kind: Kind::Applemail, ..of_files("apple", &source) };
    house.archiver.profiles().create(&whole(profile)).unwrap();
    let first = house.run("apple");
    assert_eq!((first.state, sums(&first)), (State::CompletedWithErrors, (2, 1, 0, 0, 1)), "{first:?}");
    let second = house.run("apple");
    let open = house.archiver.unsolved().unwrap();
    assert_eq!(open.len(), 1);
    assert_eq!((open[0].first_run, open[0].last_run, open[0].tries), (first.id, second.id, 2));
    assert!(open[0].place.ends_with("1.emlx") && open[0].source == "profile apple");
    // A run that doesn't come to its folder solves nothing.
    let away = house.dir.path().join("away");
    fs::rename(source.join("INBOX.mbox"), &away).unwrap();
    house.run("apple");
    assert_eq!(house.archiver.unsolved().unwrap().len(), 1);
    fs::rename(&away, source.join("INBOX.mbox")).unwrap();
    fs::write(messages.join("1.emlx"), "14\nSubject: 1\n\ny\n").unwrap();
    let last = house.run("apple");
    assert_eq!((last.state, sums(&last)), (State::Succeeded, (2, 1, 1, 0, 0)));
    assert!(house.archiver.unsolved().unwrap().is_empty());
    assert_eq!(house.archiver.last_run().unwrap(), last);
}

#[test]
fn a_thunderbird_profile_whole() {
    let house = House::new(&[]);
    let source = house.dir.path().join("tb");
    fs::create_dir_all(source.join("Mail/Local Folders")).unwrap();
    fs::write(
        source.join("prefs.js"),
        "user_pref(\"mail.server.server1.directory-rel\", \"[ProfD]Mail/Local Folders\");\n",
    )
    .unwrap();
    let mail = |n: u32| {
        format!("From - Fri Sep  4 14:55:26 2020\nX-Mozilla-Status: 0001\nSubject: {n}\n\nbody {n}\n\n")
    };
    for (file, text) in
        [("Inbox", mail(1) + &mail(2)), ("Trash", mail(3)), ("Drafts", mail(4)), ("Sent", mail(5))]
    {
        fs::write(source.join("Mail/Local Folders").join(file), text).unwrap();
    }
    let profile = Profile { kind: Kind::Thunderbird, ..of_files("tb", &source) };
    house.archiver.profiles().create(&whole(profile)).unwrap();
    assert_eq!(sums(&house.run("tb")), (3, 3, 0, 0, 0));
    let folders =
        [("alice/F/Local Folders/Inbox".to_owned(), 2), ("alice/F/Local Folders/Sent".to_owned(), 1)];
    assert_eq!(house.folders(), folders);
}

#[test]
fn a_run_beside_itself_is_refused() {
    let house = House::new(&[]);
    house.archiver.profiles().create(&whole(of_files("a", house.dir.path()))).unwrap();
    let held = house.archiver.turns.take(&[crate::turns::Source::Name("profile a".into())]).unwrap();
    let ask = Ask { name: "a".into(), who: "test".into(), dry_run: false };
    let refused = house.archiver.run_profile(&house.auth, &ask, &|_| {}, &|_| {}, &Cancel::default());
    assert!(matches!(refused, Err(Error::Busy(_))));
    drop(held);
    assert!(matches!(house.archiver.runs().unwrap().len(), 0), "no account of what did not begin");
}

#[test]
fn runs_and_their_logs_are_bounded() {
    let house = House::new(&[]);
    house.archiver.profiles().create(&whole(of_files("a", &house.dir.path().join("stores")))).unwrap();
    let run = house.run("a");
    for n in 0..crate::ledger::MAX_LOG_LINES + 1 {
        house.archiver.ledger.note(run.id, &format!("line {n}")).unwrap();
    }
    let log = house.archiver.log(run.id).unwrap();
    assert_eq!(log.len() as u64, crate::ledger::MAX_LOG_LINES);
    assert_eq!(log[0].text, "line 0");
}

#[test]
fn mailboxes_of_many_users() {
    let house = House::new(&[("alice", "alice@example.org"), ("bob", "b.lee@example.org")]);
    house.auth.add("carol", &Zeroizing::new("correct horse".into()), false).unwrap();
    house.auth.add("dave@example.org", &Zeroizing::new("correct horse".into()), false).unwrap();
    let base = Profile { server: Some(server(Tls::None)), ..Profile::new("all", Kind::ImapMany) };
    let of = |many: Many| {
        let profile = Profile { many: Some(many), ..base.clone() };
        let secret = Some(Secret::new("x".into()));
        mailboxes::Mailboxes::of(&profile, secret, &house.auth, 0).map(|mailboxes| {
            let shown = |mailbox: &mailboxes::Mailbox| {
                let authzid = mailbox.login.authzid.clone().unwrap_or_default();
                format!("{} {authzid} {} {}", mailbox.login.user, mailbox.key, mailbox.into.as_ref().unwrap())
            };
            mailboxes.list.iter().map(shown).collect::<Vec<_>>()
        })
    };
    let host = "@mail.example.org:143";
    assert_eq!(
        of(Many::default()).unwrap(),
        [
            format!("ann alice@example.org imap:alice@example.org{host} alice/alice@example.org"),
            format!("ann b.lee@example.org imap:b.lee@example.org{host} bob/b.lee@example.org"),
            format!("ann dave@example.org imap:dave@example.org{host} dave@example.org/dave@example.org"),
        ]
    );
    let only = Many {
        only: vec!["bob".into()],
        login_as: LoginAs::LocalPart,
        privileged: Privileged::MasterUser,
        ..Many::default()
    };
    assert_eq!(of(only.clone()).unwrap(), [format!("b.lee*ann  imap:b.lee{host} bob/b.lee@example.org")]);
    let except = Many {
        except: vec!["alice".into(), "dave@example.org".into()],
        login_as: LoginAs::Name,
        ..Many::default()
    };
    assert_eq!(of(except).unwrap(), [format!("ann bob imap:bob{host} bob/b.lee@example.org")]);
    let error = of(Many { only: vec!["carol".into()], ..Many::default() }).unwrap_err().to_string();
    assert!(error.contains("user address carol"), "{error}");
    assert!(
        of(Many { only: vec!["nobody".into()], ..Many::default() })
            .unwrap_err()
            .to_string()
            .contains("no user")
    );
}

#[test]
fn aliases_say_whose_mail_it_is_where_they_are_addresses_and_nobody_else_has_them() {
    let house = House::new(&[("alice", "alice@example.org"), ("bob", "bob@example.org")]);
    house.auth.add("carol", &Zeroizing::new("correct horse".into()), false).unwrap();
    let alias = |name: &str, aliases: &[&str]| {
        let aliases = Some(aliases.iter().map(|alias| (*alias).to_owned()).collect());
        house.auth.edit(name, &auth::Edit { aliases, ..auth::Edit::default() }).unwrap();
    };
    alias("alice", &["A.Lee@Example.NET", "pop-1", "bob@example.org"]);
    alias("carol", &["carol@corp.example"]);
    let users = house.auth.users().unwrap();
    let by_address = mailboxes::by_address(&users);
    let whose = |address: &str| by_address.get(address).map(String::as_str);
    assert_eq!(whose("alice@example.org"), Some("alice"));
    assert_eq!(whose("a.lee@example.net"), Some("alice"));
    assert_eq!(whose("carol@corp.example"), Some("carol"));
    assert_eq!(whose("bob@example.org"), Some("bob"), "an address that was given goes before an alias");
    assert_eq!(whose("pop-1"), None, "no address");

    // Mail for many: by the alias in the header.
    let source = house.dir.path().join("multidrop");
    fs::create_dir_all(&source).unwrap();
    for (n, to) in ["A.Lee@example.net", "carol@corp.example", "bob@example.org"].into_iter().enumerate() {
        fs::write(
            source.join(format!("{n}.eml")),
            format!("X-Original-To: {to}\n{OURS}Subject: {n}\n\nbody\n"),
        )
        .unwrap();
    }
    let profile = Profile {
        path: Some(source),
        into: Some("Drop".into()),
        ..Profile::new("drop", Kind::FilesMultidrop)
    };
    house.archiver.profiles().create(&whole(profile)).unwrap();
    assert_eq!(sums(&house.run("drop")), (3, 3, 0, 0, 0));
    let one = |name: &str| (format!("{name}/Drop"), 1);
    assert_eq!(house.folders(), [one("alice"), one("bob"), one("carol")]);

    // Mailboxes of all users, and of some that are named by an alias.
    let base = Profile { server: Some(server(Tls::None)), ..Profile::new("all", Kind::ImapMany) };
    let of = |many: Many| {
        let profile = Profile { many: Some(many), ..base.clone() };
        let mailboxes =
            mailboxes::Mailboxes::of(&profile, Some(Secret::new("x".into())), &house.auth, 0).unwrap();
        mailboxes.list.iter().map(|mailbox| mailbox.login.authzid.clone().unwrap()).collect::<Vec<_>>()
    };
    let only = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(of(Many::default()), ["alice@example.org", "bob@example.org", "carol@corp.example"]);
    let named = only(&["POP-1", "carol@corp.example"]);
    assert_eq!(
        of(Many { only: named.clone(), ..Many::default() }),
        ["alice@example.org", "carol@corp.example"]
    );
    assert_eq!(of(Many { except: named, ..Many::default() }), ["bob@example.org"]);

    // A list of mailboxes: by the server's user name.
    let list = house.dir.path().join("list.csv");
    fs::write(&list, "user,password\nPop-1,x\ncarol@corp.example,x\nbob,x\npop-2,x\n").unwrap();
    fs::set_permissions(&list, fs::Permissions::from_mode(0o600)).unwrap();
    let server = Server { user: None, ..server(Tls::None) };
    let profile = Profile { path: Some(list), server: Some(server), ..Profile::new("csv", Kind::ImapCsv) };
    let mailboxes = mailboxes::Mailboxes::of(&profile, None, &house.auth, 0).unwrap();
    let archives: Vec<_> =
        mailboxes.list.iter().map(|mailbox| mailbox.into.as_ref().unwrap().archive()).collect();
    assert_eq!(archives, ["alice", "carol", "bob", "pop-2"]);
}
