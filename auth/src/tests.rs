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
    assert_eq!(log.iter().map(|e| e.number).collect::<Vec<_>>(), [4, 5, 6]);
    assert_eq!((log[2].what.as_str(), log[2].result.as_str()), ("act 6", "denied"));
    assert_eq!(auth.audit_log(usize::MAX).unwrap().len(), 6);
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
    let again = |password: &str| {
        auth.login_again(&attempt("alice", None), &secret(password)).unwrap().is_some()
    };
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
