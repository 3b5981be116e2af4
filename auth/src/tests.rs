//! The promises of [`Auth`], each with the case that would break it.

use super::*;

pub(crate) fn auth() -> Auth {
    let db = Database::builder().create_with_backend(redb::backends::InMemoryBackend::new()).unwrap();
    Auth::open(Arc::new(db)).unwrap()
}

const READ: Option<Level> = Some(Level::Read);

pub(crate) fn secret(text: &str) -> Zeroizing<String> {
    Zeroizing::new(text.to_owned())
}

fn log_in(auth: &Auth, name: &str, password: &str) -> Result<User, Error> {
    auth.login(&attempt(name, None), &secret(password)).map(|entered| entered.user)
}

pub(crate) fn attempt(name: &str, from: Option<IpAddr>) -> Attempt<'_> {
    Attempt { name, need: Privilege::Imap, from, how: How::Plain }
}

#[test]
fn a_new_user_logs_in_and_reads_the_own_archive_only() {
    let auth = auth();
    let user = auth.add("alice", &secret("correct horse"), false).unwrap();
    assert_eq!(user.privileges, [Privilege::Login, Privilege::Imap, Privilege::ChangePassword]);
    assert_eq!(log_in(&auth, "alice", "correct horse").unwrap(), user);
    assert!(auth.may_read("alice", "alice"));
    assert!(!auth.may_read("alice", "bob"));
    assert!(!auth.may_read("bob", "alice"));
    assert!(!auth.may_read("bob", "bob"));
    assert!(!auth.may(&user, Privilege::Admin));
    let admin = auth.add("root", &secret("correct horse"), true).unwrap();
    assert!(auth.may(&admin, Privilege::Admin));
    assert!(!auth.may_read("root", "alice"), "administrators read no other archive");
}

#[test]
fn the_archives_that_a_user_may_read() {
    let auth = auth();
    auth.add("alice", &secret("correct horse"), false).unwrap();
    auth.add("root", &secret("correct horse"), true).unwrap();
    for archive in ["zoe", "bob"] {
        auth.set_right("alice", archive, READ).unwrap();
    }
    assert_eq!(auth.sight("alice").unwrap().roots(), ["alice", "bob", "zoe"]);
    auth.set_right("alice", "zoe", None).unwrap();
    assert_eq!(auth.sight("alice").unwrap().roots(), ["alice", "bob"]);
    assert_eq!(auth.sight("root").unwrap().roots(), ["root"]);
    assert!(auth.sight("nobody").unwrap().roots().is_empty());
}

#[test]
fn every_refusal_has_the_same_words() {
    let auth = auth();
    auth.add("alice", &secret("correct horse"), false).unwrap();
    auth.add("nologin", &secret("correct horse"), false).unwrap();
    auth.set_privilege("nologin", Privilege::Login, false).unwrap();
    auth.add("noimap", &secret("correct horse"), false).unwrap();
    auth.set_privilege("noimap", Privilege::Imap, false).unwrap();
    let long = "x".repeat(5_000_000);
    for (name, password) in [
        ("alice", "wrong horse"),
        ("alice", ""),
        ("alice", long.as_str()),
        ("alice", "correct horse\0"),
        ("Alice", "correct horse"),
        ("nobody", "correct horse"),
        ("", ""),
        (long.as_str(), "correct horse"),
        ("nologin", "correct horse"),
        ("noimap", "correct horse"),
    ] {
        let refusal = log_in(&auth, name, password).unwrap_err();
        assert!(matches!(refusal, Error::Denied));
        assert_eq!(refusal.to_string(), "user name or password is wrong");
    }
}

#[test]
fn names_are_taken_once_in_any_case_and_form() {
    let auth = auth();
    auth.add("m\u{fc}ller", &secret("correct horse"), false).unwrap();
    for taken in ["m\u{fc}ller", "mu\u{308}ller", "M\u{dc}LLER"] {
        assert!(
            matches!(auth.add(taken, &secret("correct horse"), false), Err(Error::Exists(_))),
            "{taken:?}"
        );
    }
    assert!(log_in(&auth, "mu\u{308}ller", "correct horse").is_ok());
    assert!(matches!(auth.add("a/b", &secret("correct horse"), false), Err(Error::BadName { .. })));
    assert!(matches!(auth.add("bob", &secret("short"), false), Err(Error::BadPassword(_))));
    assert_eq!(auth.users().unwrap().len(), 1);
}

#[test]
fn a_password_is_changed_and_the_old_one_ends() {
    let auth = auth();
    auth.add("alice", &secret("correct horse"), false).unwrap();
    auth.set_password("alice", &secret("battery staple")).unwrap();
    assert!(log_in(&auth, "alice", "correct horse").is_err());
    assert!(log_in(&auth, "alice", "battery staple").is_ok());
    assert!(matches!(auth.set_password("bob", &secret("battery staple")), Err(Error::Unknown(_))));
    assert!(matches!(auth.set_password("alice", &secret("x")), Err(Error::BadPassword(_))));
    assert!(log_in(&auth, "alice", "battery staple").is_ok());
}

#[test]
fn rights_count_at_once_and_end_with_the_user() {
    let auth = auth();
    auth.add("alice", &secret("correct horse"), false).unwrap();
    auth.set_right("alice", "bob", READ).unwrap();
    assert_eq!(auth.set_right("alice", "bob", READ).unwrap().rights.len(), 2);
    assert!(auth.may_read("alice", "bob"));
    auth.set_right("alice", "bob", None).unwrap();
    assert!(!auth.may_read("alice", "bob"));
    assert!(auth.set_right("alice", "a//b", READ).is_err());
    auth.remove("alice").unwrap();
    assert!(!auth.may_read("alice", "alice"));
    assert!(log_in(&auth, "alice", "correct horse").is_err());
    assert!(matches!(auth.remove("alice"), Err(Error::Unknown(_))));
    assert!(matches!(auth.user("alice"), Err(Error::Unknown(_))));
}

#[test]
fn users_and_audit_survive_and_no_password_lies_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("master.redb");
    {
        let auth = Auth::open(Arc::new(Database::create(&path).unwrap())).unwrap();
        auth.add("alice", &secret("correct horse"), false).unwrap();
        for i in 1..=5 {
            auth.audit("local:root", "socket", &format!("act {i}"), "ok").unwrap();
        }
    }
    let bytes = std::fs::read(&path).unwrap();
    assert!(!bytes.windows(13).any(|w| w == b"correct horse"));
    let auth = Auth::open(Arc::new(Database::create(&path).unwrap())).unwrap();
    assert!(log_in(&auth, "alice", "correct horse").is_ok());
    auth.audit("local:root", "socket", "act 6", "denied").unwrap();
    let log = auth.audit_log(3).unwrap();
    assert_eq!(log.iter().map(|e| e.number).collect::<Vec<_>>(), [5, 6, 7], "the login is the sixth");
    assert_eq!((log[2].what.as_str(), log[2].result.as_str()), ("act 6", "denied"));
    assert_eq!(auth.audit_log(usize::MAX).unwrap().len(), 7);
    assert!(auth.audit_log(0).unwrap().is_empty());
}

#[test]
fn secrets_are_never_shown() {
    let auth = auth();
    auth.add("alice", &secret("correct horse"), false).unwrap();
    let shown = format!("{auth:?} {:?}", auth.users().unwrap());
    assert!(!shown.contains("argon2id"), "{shown}");
    assert!(!shown.contains("horse"), "{shown}");
}

#[test]
fn a_password_that_was_right_is_known_until_anything_changes() {
    let auth = auth();
    auth.add("alice", &secret("gr\u{fc}n und blau"), false).unwrap();
    let again =
        |password: &str| auth.login_again(&attempt("alice", None), &secret(password)).unwrap().is_some();
    assert!(!again("gr\u{fc}n und blau"), "nobody has logged in yet");
    log_in(&auth, "alice", "gr\u{fc}n und blau").unwrap();
    assert!(
        again("gr\u{fc}n und blau") && again("gru\u{308}n und\u{a0}blau"),
        "in every form that is the same"
    );
    assert!(!again("gr\u{fc}n und gelb") && !again("") && !again(&"x".repeat(5_000_000)));
    log_in(&auth, "alice", "gr\u{fc}n und gelb").unwrap_err();
    assert!(again("gr\u{fc}n und blau"), "a wrong one takes nothing away");
    auth.set_password("alice", &secret("gr\u{fc}n und gelb")).unwrap();
    assert!(!again("gr\u{fc}n und blau") && !again("gr\u{fc}n und gelb"));
    log_in(&auth, "alice", "gr\u{fc}n und gelb").unwrap();
    assert!(again("gr\u{fc}n und gelb"));
    auth.set_privilege("alice", Privilege::Imap, false).unwrap();
    assert!(!again("gr\u{fc}n und gelb"));
    auth.set_privilege("alice", Privilege::Imap, true).unwrap();
    assert!(!again("gr\u{fc}n und gelb"), "the change dropped it");
    log_in(&auth, "alice", "gr\u{fc}n und gelb").unwrap();
    auth.remove("alice").unwrap();
    assert!(!again("gr\u{fc}n und gelb"));
    auth.add("alice", &secret("gr\u{fc}n und gelb"), false).unwrap();
    assert!(!again("gr\u{fc}n und gelb"), "another user of the same name");
}

#[test]
fn the_end_of_a_login_counts_for_the_next() {
    let auth = auth();
    auth.add("alice", &secret("correct horse"), false).unwrap();
    let (here, there) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
    let from = |ip, password: &str| auth.login(&attempt("alice", Some(ip)), &secret(password));
    from(here, "correct horse").unwrap();
    for _ in 0..5 {
        assert_eq!(auth.ask("alice", there), Leave::Now);
        from(there, "wrong horse").unwrap_err();
    }
    auth.gave_up("nobody", there);
    assert!(matches!(auth.ask("bob", there), Leave::After(_)));
    assert_eq!(auth.ask("alice", here), Leave::Now, "known from here");
}

#[test]
fn an_address_has_one_user() {
    let auth = auth();
    auth.add("alice", &secret("correct horse"), false).unwrap();
    auth.add("bob", &secret("correct horse"), false).unwrap();
    let user = auth.set_address("alice", "Alice@Example.org", true).unwrap();
    assert_eq!(user.addresses, ["alice@example.org"]);
    assert_eq!(auth.set_address("alice", "alice@example.org", true).unwrap().addresses.len(), 1);
    let taken = auth.set_address("bob", "ALICE@example.org", true).unwrap_err();
    assert!(matches!(taken, Error::AddressTaken { user, .. } if user == "alice"));
    assert!(matches!(auth.set_address("carol", "c@example.org", true), Err(Error::Unknown(_))));
    assert!(auth.set_address("alice", "alice@example.org", false).unwrap().addresses.is_empty());
    auth.set_address("bob", "alice@example.org", true).unwrap();
    assert_eq!(auth.user("bob").unwrap().addresses, ["alice@example.org"]);
}

#[test]
fn a_user_has_a_thousand_addresses_at_most() {
    let auth = auth();
    auth.add("alice", &secret("correct horse"), false).unwrap();
    let all = (0..1_000).map(|n| format!("a{n}@example.org")).collect();
    auth.change("alice", |stored| stored.user.addresses = all).unwrap();
    assert!(matches!(auth.set_address("alice", "one@example.org", true), Err(Error::BadAddress { .. })));
    auth.set_address("alice", "a0@example.org", false).unwrap();
    auth.set_address("alice", "one@example.org", true).unwrap();
}

#[test]
fn who_is_disabled_or_expired_has_nothing() {
    let auth = auth();
    auth.add("alice", &secret("correct horse"), true).unwrap();
    auth.change("alice", |stored| stored.user.disabled = true).unwrap();
    assert!(log_in(&auth, "alice", "correct horse").is_err() && !auth.may_read("alice", "alice"));
    auth.change("alice", |stored| (stored.user.disabled, stored.user.expires) = (false, Some(now())))
        .unwrap();
    assert!(log_in(&auth, "alice", "correct horse").is_err() && !auth.may_read("alice", "alice"));
    auth.change("alice", |stored| stored.user.expires = Some(now() + 1_000)).unwrap();
    assert!(log_in(&auth, "alice", "correct horse").is_ok() && auth.may_read("alice", "alice"));
}

#[test]
fn administrators_read_others_only_while_access_is_open() {
    let auth = auth();
    auth.add("root", &secret("correct horse"), true).unwrap();
    auth.add("bob", &secret("correct horse"), false).unwrap();
    auth.set_archive_access(&ArchiveAccess { open_until: Some(now() + 1_000), reason: "asked".into() })
        .unwrap();
    assert!(auth.may_read("root", "alice/x") && !auth.may_read("bob", "alice/x"));
    assert!(!auth.allows(&Subject::User("root".into()), Deed::Write("alice/x")));
    auth.set_archive_access(&ArchiveAccess { open_until: Some(now()), reason: "over".into() }).unwrap();
    assert!(!auth.may_read("root", "alice/x"));
    auth.set_archive_access(&ArchiveAccess::default()).unwrap();
    assert!(!auth.may_read("root", "alice/x"));
}

#[test]
fn an_auditor_reads_all_and_changes_nothing() {
    let auth = auth();
    auth.add("eve", &secret("correct horse"), true).unwrap();
    auth.set_right("eve", "eve", Some(Level::Delete)).unwrap();
    auth.edit("eve", &Edit { expires: Some(now() + 1_000), ..Edit::default() }).unwrap();
    for privilege in [Privilege::Auditor, Privilege::Delete, Privilege::Modify] {
        auth.set_privilege("eve", privilege, true).unwrap();
    }
    let (user, eve) = (auth.user("eve").unwrap(), Subject::User("eve".into()));
    assert!(auth.allows(&eve, Deed::Read("anyone/at all")) && auth.may(&user, Privilege::Imap));
    assert!(!auth.allows(&eve, Deed::Write("eve")) && !auth.allows(&eve, Deed::Delete("eve")));
    assert!(!auth.may(&user, Privilege::Admin) && !auth.may(&user, Privilege::Delete));
}

#[test]
fn a_group_gives_its_rules_to_who_is_in_it() {
    let auth = auth();
    auth.add("alice", &secret("correct horse"), false).unwrap();
    auth.set_group_right("CN=Sales", "sales/2024", READ).unwrap();
    assert!(!auth.may_read("alice", "sales/2024"));
    auth.change("alice", |stored| stored.user.groups = vec!["cn=sales".into()]).unwrap();
    assert!(auth.may_read("alice", "sales/2024/x") && !auth.may_read("alice", "sales"));
    assert!(auth.set_group_right("cn=SALES", "sales/2024", None).unwrap().is_empty());
    assert!(!auth.may_read("alice", "sales/2024") && auth.group_rights().unwrap().is_empty());
}

#[test]
fn a_user_of_an_earlier_version_is_read() {
    let kept = r#"{"name":"al","privileges":["login"],"read":["al","bob"],"created":1,"hash":"h"}"#;
    let stored: Stored = serde_json::from_str(kept).unwrap();
    assert_eq!(
        (stored.user.name.as_str(), stored.hash.as_str(), stored.user.mode),
        ("al", "h", Mode::Integrated)
    );
    let rights = ["al", "bob"].map(|folder| Right { folder: folder.into(), level: Level::Read });
    assert_eq!(stored.user.rights, rights);
}

fn new(name: &str) -> NewUser {
    NewUser { name: name.into(), password: Some(secret("correct horse")), ..NewUser::default() }
}

#[test]
fn every_write_counts_at_the_next_question() {
    let auth = auth();
    auth.create(&new("alice")).unwrap();
    let reads = |folder: &str| auth.may_read("alice", folder);
    let mut generations = vec![auth.generation()];
    let mut changed = |what: &str| {
        assert!(!generations.contains(&auth.generation()), "{what}");
        generations.push(auth.generation());
    };
    assert!(reads("alice") && !reads("bob"));
    auth.set_right("alice", "bob", READ).unwrap();
    changed("a rule");
    assert!(reads("bob/x"));
    auth.set_right("alice", "bob/x", Some(Level::None)).unwrap();
    changed("a carved out folder");
    assert!(reads("bob") && !reads("bob/x"));
    auth.edit("alice", &Edit { groups: Some(vec!["Press".into()]), ..Edit::default() }).unwrap();
    changed("a group");
    assert!(!reads("press"));
    auth.set_group_right("press", "press", READ).unwrap();
    changed("a group's rule");
    assert!(reads("press"));
    auth.set_group_right("press", "press", None).unwrap();
    changed("a group's rule taken");
    assert!(!reads("press"));
    auth.set_privilege("alice", Privilege::Admin, true).unwrap();
    changed("a privilege");
    auth.set_archive_access(&ArchiveAccess { open_until: Some(now() + 100), reason: "asked".into() })
        .unwrap();
    changed("archive access");
    assert!(reads("anyone"));
    auth.set_archive_access(&ArchiveAccess::default()).unwrap();
    changed("archive access blocked");
    assert!(!reads("anyone"));
    auth.edit("alice", &Edit { disabled: Some(true), ..Edit::default() }).unwrap();
    changed("disabled");
    assert!(!reads("alice"));
    auth.edit("alice", &Edit { disabled: Some(false), ..Edit::default() }).unwrap();
    auth.rename("alice", "carol").unwrap();
    changed("renamed");
    assert!(!reads("alice") && auth.may_read("carol", "alice") && auth.may_read("carol", "bob"));
    auth.import(&[new("alice")], false, false).unwrap();
    changed("imported");
    assert!(reads("alice") && !reads("bob"));
    auth.remove("alice").unwrap();
    changed("removed");
    assert!(!reads("alice"));
}

#[test]
fn decisions_stay_right_while_others_write() {
    let auth = auth();
    auth.create(&new("alice")).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Acquire) {
                    assert!(auth.may_read("alice", "alice"));
                }
            });
        }
        for _ in 0..200 {
            auth.set_right("alice", "bob", READ).unwrap();
            assert!(auth.may_read("alice", "bob"));
            auth.set_right("alice", "bob", None).unwrap();
            assert!(!auth.may_read("alice", "bob"));
        }
        done.store(true, std::sync::atomic::Ordering::Release);
    });
}

#[test]
fn a_renamed_user_keeps_the_archive_and_gets_another() {
    let auth = auth();
    auth.create(&new("alice")).unwrap();
    auth.create(&new("bob")).unwrap();
    auth.set_right("alice", "alice", Some(Level::Write)).unwrap();
    auth.set_right("bob", "alice", READ).unwrap();
    log_in(&auth, "alice", "correct horse").unwrap();
    let user = auth.rename("alice", "anna").unwrap();
    let write = ["alice", "anna"].map(|folder| Right { folder: folder.into(), level: Level::Write });
    assert_eq!((user.name.as_str(), user.rights), ("anna", write.to_vec()));
    assert!(
        log_in(&auth, "alice", "correct horse").is_err() && log_in(&auth, "anna", "correct horse").is_ok()
    );
    assert!(auth.may_read("bob", "alice") && !auth.may_read("bob", "anna"), "others' rules name the archive");
    for (name, other) in [("anna", "bob"), ("anna", "BOB")] {
        assert!(matches!(auth.rename(name, other), Err(Error::Exists(_))), "{other}");
    }
    assert!(matches!(auth.rename("nobody", "x"), Err(Error::Unknown(_))));
    assert!(matches!(auth.rename("anna", "a/b"), Err(Error::BadName { .. })));
    assert_eq!(auth.rename("anna", "Anna").unwrap().name, "Anna", "the case of a name may change");
    assert_eq!(auth.users().unwrap().len(), 2);
    // A user without a right on the own archive gets none by another name.
    auth.set_right("bob", "bob", None).unwrap();
    assert_eq!(
        auth.rename("bob", "bert").unwrap().rights,
        [Right { folder: "alice".into(), level: Level::Read }]
    );
}

#[test]
fn names_that_look_alike_are_refused() {
    let auth = auth();
    for name in ["coco", "modem", "Петров", "alice"] {
        auth.create(&new(name)).unwrap();
    }
    for alike in ["\u{441}\u{43e}\u{441}\u{43e}", "\u{421}\u{41e}\u{421}\u{41e}"] {
        let refused = auth.create(&new(alike)).unwrap_err();
        assert!(matches!(refused, Error::Alike { ref other, .. } if other == "coco"), "{refused}");
        assert!(matches!(auth.rename("alice", alike), Err(Error::Alike { .. })));
    }
    assert!(matches!(auth.create(&new("\u{430}lice")), Err(Error::BadName { .. })), "mixed in a word");
    auth.create(&new("modern")).unwrap();
    assert!(auth.user("alice").is_ok() && auth.users().unwrap().len() == 5);
}

#[test]
fn names_with_control_characters_or_too_long_are_nobodys() {
    let auth = auth();
    let long = "n".repeat(MAX_NAME_BYTES + 1);
    let huge = "n".repeat(5_000_000);
    for bad in ["a\0", "\0", "a\u{1b}[2Jb", "a\r\nb", "a\u{202e}b", long.as_str(), huge.as_str()] {
        assert!(matches!(auth.create(&new(bad)), Err(Error::BadName { .. })), "{:?}", bad.get(..9));
        assert!(matches!(auth.user(bad), Err(Error::Unknown(_))));
        assert!(!auth.may_read(bad, bad) && auth.sight(bad).unwrap().roots().is_empty());
        assert!(matches!(log_in(&auth, bad, "correct horse"), Err(Error::Denied)));
    }
    assert!(auth.create(&new(&"n".repeat(MAX_NAME_BYTES))).is_ok());
}

#[test]
fn what_is_known_of_a_user_has_bounds() {
    let auth = auth();
    auth.create(&new("alice")).unwrap();
    let text = |n: usize| Some("x".repeat(n));
    let many = |n: usize| Some((0..n).map(|n| format!("a{n}")).collect::<Vec<_>>());
    let mail = |n: usize| Some((0..n).map(|n| format!("a{n}@b")).collect::<Vec<_>>());
    for (fits, over) in [
        (
            Edit { full_name: text(MAX_FULL_NAME_BYTES), ..Edit::default() },
            Edit { full_name: text(MAX_FULL_NAME_BYTES + 1), ..Edit::default() },
        ),
        (
            Edit { dn: text(MAX_DN_BYTES), ..Edit::default() },
            Edit { dn: text(MAX_DN_BYTES + 1), ..Edit::default() },
        ),
        (
            Edit { aliases: many(MAX_ALIASES), ..Edit::default() },
            Edit { aliases: many(MAX_ALIASES + 1), ..Edit::default() },
        ),
        (
            Edit { groups: many(MAX_GROUPS), ..Edit::default() },
            Edit { groups: many(MAX_GROUPS + 1), ..Edit::default() },
        ),
        (
            Edit { addresses: mail(1_000), ..Edit::default() },
            Edit { addresses: mail(1_001), ..Edit::default() },
        ),
        (
            Edit { expires: Some(253_402_300_799), ..Edit::default() },
            Edit { expires: Some(253_402_300_800), ..Edit::default() },
        ),
    ] {
        let kept = auth.edit("alice", &fits).unwrap();
        assert!(auth.edit("alice", &over).is_err());
        assert_eq!(auth.user("alice").unwrap(), kept, "nothing is half done");
    }
    for bad in ["a\0b", "a\nb", "\u{1b}[2J"] {
        let bad = || Some(bad.to_owned());
        assert!(auth.edit("alice", &Edit { full_name: bad(), ..Edit::default() }).is_err());
        assert!(auth.edit("alice", &Edit { dn: bad(), ..Edit::default() }).is_err());
        assert!(
            auth.edit("alice", &Edit { aliases: bad().map(|bad| vec![bad]), ..Edit::default() }).is_err()
        );
    }
    assert!(auth.set_group_right("g\0", "x", READ).is_err() && auth.set_group_right("", "x", READ).is_err());
    let longest = "g".repeat(MAX_DN_BYTES);
    auth.set_group_right(&longest, "x", READ).unwrap();
    assert!(auth.set_group_right(&(longest + "g"), "x", READ).is_err());
}

#[test]
fn the_first_address_is_primary_and_nobody_else_has_it() {
    let auth = auth();
    auth.create(&new("alice")).unwrap();
    auth.create(&new("bob")).unwrap();
    let edit = |all: &[&str]| Edit {
        addresses: Some(all.iter().map(|one| (*one).to_owned()).collect()),
        ..Edit::default()
    };
    let user = auth.edit("alice", &edit(&["B@x.example", "a@x.example", "b@X.example"])).unwrap();
    assert_eq!(user.addresses, ["b@x.example", "a@x.example"]);
    let user = auth.edit("alice", &edit(&["a@x.example", "b@x.example"])).unwrap();
    assert_eq!(user.addresses, ["a@x.example", "b@x.example"]);
    assert!(matches!(
        auth.edit("bob", &edit(&["c@x.example", "a@x.example"])),
        Err(Error::AddressTaken { .. })
    ));
    assert!(auth.user("bob").unwrap().addresses.is_empty());
    let alias = |alias: &str| Edit { aliases: Some(vec![alias.into()]), ..Edit::default() };
    auth.edit("alice", &alias("pop-7")).unwrap();
    for taken in ["pop-7", "POP-7", "Alice"] {
        assert!(matches!(auth.edit("bob", &alias(taken)), Err(Error::AliasTaken { .. })), "{taken}");
    }
    auth.edit("alice", &Edit { aliases: Some(vec![]), ..Edit::default() }).unwrap();
    auth.edit("bob", &alias("pop-7")).unwrap();
}

#[test]
fn an_auditor_has_an_end() {
    let auth = auth();
    let auditor = |expires| NewUser {
        privileges: vec![Privilege::Auditor],
        edit: Edit { expires, ..Edit::default() },
        ..new("eve")
    };
    assert!(matches!(auth.create(&auditor(None)), Err(Error::AuditorWithoutEnd(_))));
    auth.create(&auditor(Some(now() + 1_000))).unwrap();
    assert!(auth.may_read("eve", "anyone"));
    assert!(matches!(
        auth.edit("eve", &Edit { expires: Some(0), ..Edit::default() }),
        Err(Error::AuditorWithoutEnd(_))
    ));
    auth.create(&new("bob")).unwrap();
    assert!(matches!(auth.set_privilege("bob", Privilege::Auditor, true), Err(Error::AuditorWithoutEnd(_))));
    auth.edit("eve", &Edit { expires: Some(now()), ..Edit::default() }).unwrap();
    assert!(!auth.may_read("eve", "anyone") && !auth.may_read("eve", "eve"));
}

#[test]
fn many_users_come_all_or_none() {
    let auth = auth();
    auth.create(&new("alice")).unwrap();
    let named = |name: &str, full_name: &str| NewUser {
        edit: Edit { full_name: Some(full_name.into()), ..Edit::default() },
        ..new(name)
    };
    let people = [named("bob", "Bob"), named("alice", "Alice"), named("Bob", "again"), named("x/y", "")];
    for dry_run in [true, false] {
        let done = auth.import(&people, true, dry_run).unwrap();
        assert_eq!(done[0].as_ref().unwrap(), &Imported::Created);
        assert_eq!(done[1].as_ref().unwrap(), &Imported::Changed(vec!["full name", "password"]));
        assert!(matches!((&done[2], &done[3]), (Err(Error::Exists(_)), Err(Error::BadName { .. }))));
        assert_eq!(auth.users().unwrap().len(), 1);
    }
    let people = &people[..2];
    auth.import(people, true, true).unwrap();
    assert_eq!(auth.users().unwrap().len(), 1, "a dry run does nothing");
    assert_eq!(auth.import(people, false, false).unwrap()[1].as_ref().unwrap(), &Imported::LeftAlone);
    assert!(
        log_in(&auth, "bob", "correct horse").is_ok() && auth.user("alice").unwrap().full_name.is_empty()
    );
    let without = |new: &NewUser| NewUser { password: None, ..new.clone() };
    let done = auth.import(&[without(&people[0]), without(&people[1])], true, false).unwrap();
    assert_eq!(done[0].as_ref().unwrap(), &Imported::Same);
    assert_eq!(done[1].as_ref().unwrap(), &Imported::Changed(vec!["full name"]));
    assert!(log_in(&auth, "bob", "correct horse").is_ok(), "the password stays");
    auth.import(&[without(&new("carol"))], true, false).unwrap();
    assert!(log_in(&auth, "carol", "").is_err() && log_in(&auth, "carol", "correct horse").is_err());
}

#[test]
fn where_rights_come_from() {
    let auth = auth();
    auth.create(&new("alice")).unwrap();
    auth.edit("alice", &Edit { groups: Some(vec!["CN=B".into(), "cn=a".into()]), ..Edit::default() })
        .unwrap();
    auth.set_right("alice", "bob/x", Some(Level::None)).unwrap();
    for (group, folder, level) in [
        ("cn=a", "bob", Level::Read),
        ("cn=b", "bob", Level::Write),
        ("cn=b", "bob/x", Level::Read),
        ("cn=c", "eve", Level::Read),
    ] {
        auth.set_group_right(group, folder, Some(level)).unwrap();
    }
    let rule = |folder: &str, level, from| Effective { folder: Some(folder.into()), level, from };
    let own = || rule("alice", Level::Read, Source::Own);
    assert_eq!(
        auth.effective("alice").unwrap(),
        [
            own(),
            rule("bob", Level::Write, Source::Group("cn=b".into())),
            rule("bob/x", Level::None, Source::Own)
        ]
    );
    auth.set_privilege("alice", Privilege::Admin, true).unwrap();
    let until = now() + 1_000;
    auth.set_archive_access(&ArchiveAccess { open_until: Some(until), reason: "asked".into() }).unwrap();
    let open = Source::ArchiveAccess(until);
    assert_eq!(
        auth.effective("alice").unwrap(),
        [
            Effective { folder: None, level: Level::Read, from: open.clone() },
            own(),
            rule("bob", Level::Write, Source::Group("cn=b".into())),
            rule("bob/x", Level::Read, open)
        ]
    );
    assert!(auth.effective("nobody").is_err());
}
