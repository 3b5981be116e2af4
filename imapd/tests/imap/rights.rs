//! Rights on folders: which mailboxes are there, and that a change counts at once in sessions that are open, whatever they do.

use crate::common::{Client, PASSWORD, Running, World, open, path};
use crate::server::noise;
use auth::{ArchiveAccess, Edit, Level, NewUser, Privilege};
use imapd::Settings;
use storage::{Cancel, SourceFlags};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

const GONE: &str = "* BYE The selected mailbox is not there any more";
const LOGGED_OUT: &str = "* BYE Logged out by the administrator";

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

fn user(world: &World, name: &str, privileges: &[Privilege], edit: Edit) {
    let password = Some(Zeroizing::new(PASSWORD.to_owned()));
    let privileges = privileges.to_vec();
    world.auth.create(&NewUser { name: name.into(), password, privileges, edit }).unwrap();
}

/// The names that LIST shows, containers with `-` in front and parents with `/` behind.
async fn tree(client: &mut Client<TcpStream>) -> Vec<String> {
    let shown = |line: String| {
        let (attributes, name) = line.split_once(") \"/\" ").unwrap();
        let container = if attributes.contains("\\NonExistent \\Noselect") { "-" } else { "" };
        let children = if attributes.contains("\\HasChildren") { "/" } else { "" };
        format!("{container}{}{children}", name.trim_matches('"'))
    };
    client.ok("LIST \"\" \"*\"").await.into_iter().map(shown).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_of_another_archive_stands_below_containers() {
    let world = World::new();
    for folder in [
        "bob",
        "bob/Inbox",
        "bob/Offers",
        "bob/Offers/2023",
        "bob/Offers/2024",
        "bob/Offers/2024/May",
        "erin/X",
    ] {
        world.fill(folder, 1);
    }
    world.right("carol", "bob/Offers/2024", Level::Read);
    // A rule for what isn't there shows nothing.
    world.right("carol", "nobody/X", Level::Read);
    let server = world.serve(open()).await;
    let mut client = server.user("carol").await;
    assert_eq!(
        tree(&mut client).await,
        [
            "INBOX",
            "-Other Archives/",
            "-Other Archives/bob/",
            "-Other Archives/bob/Offers/",
            "Other Archives/bob/Offers/2024/",
            "Other Archives/bob/Offers/2024/May"
        ]
    );
    assert_eq!(
        client.run("SELECT \"Other Archives/bob/Offers\"").await,
        ["NO [NONEXISTENT] There is no such mailbox"]
    );
    client.ok("SELECT \"Other Archives/bob/Offers/2024\"").await;
    assert_eq!(
        client.ok("MYRIGHTS \"Other Archives/bob/Offers/2024\"").await,
        ["* MYRIGHTS \"Other Archives/bob/Offers/2024\" lr"]
    );
    world.right("carol", "bob/Offers/2024/May", Level::None);
    assert!(client.ok("LIST \"\" \"Other Archives/bob/Offers/2024\"").await[0].contains("HasNoChildren"));
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_away_in_the_own_archive_is_not_there() {
    let world = World::new();
    for folder in [
        "alice/Inbox",
        "alice/Inbox/Sub",
        "alice/Work",
        "alice/Work/Secret",
        "alice/Work/Secret/Deep",
        "alice/Work/Secret-too",
    ] {
        world.fill(folder, 1);
    }
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    let all =
        ["All Mail", "INBOX/", "INBOX/Sub", "Work/", "Work/Secret/", "Work/Secret-too", "Work/Secret/Deep"];
    let listed = tree(&mut client).await;
    assert_eq!(listed.iter().filter(|name| all.contains(&name.as_str())).count(), all.len(), "{listed:?}");
    let mut whole = server.alice().await;
    whole.ok("SELECT \"All Mail\"").await;
    whole.send("i IDLE\r\n").await;
    assert_eq!(whole.line().await.unwrap(), "+ idling");
    world.right("alice", "alice/Work/Secret", Level::None);
    // All Mail without some would have other numbers.
    assert_eq!(whole.rest().await, [GONE]);
    assert_eq!(tree(&mut client).await, ["INBOX/", "INBOX/Sub", "Work/", "Work/Secret-too"]);
    assert_eq!(client.run("SELECT \"All Mail\"").await, ["NO [NONEXISTENT] There is no such mailbox"]);
    assert_eq!(client.ok("LIST (SPECIAL-USE) \"\" *").await, [""; 0]);
    assert_eq!(client.ok("ESEARCH IN (personal) RETURN (COUNT) ALL").await.len(), 4);
    // INBOX is always there.
    world.right("alice", "alice/Inbox", Level::None);
    assert_eq!(tree(&mut client).await, ["INBOX", "Work/", "Work/Secret-too"]);
    assert_eq!(
        client.ok("STATUS INBOX (MESSAGES UIDVALIDITY)").await,
        ["* STATUS INBOX (MESSAGES 0 UIDVALIDITY 1)"]
    );
    world.right("alice", "alice/Inbox/Sub", Level::Read);
    assert_eq!(tree(&mut client).await, ["INBOX/", "INBOX/Sub", "Work/", "Work/Secret-too"]);
    client.ok("SELECT INBOX").await;
    assert_eq!(client.ok("UID SEARCH ALL").await, ["* SEARCH"]);
    // Nothing at all.
    world.right("alice", "alice/Inbox/Sub", None);
    world.right("alice", "alice", None);
    let mut client = server.alice().await;
    assert_eq!(tree(&mut client).await, ["INBOX"]);
    world.right("alice", "alice", Level::Read);
    for folder in ["alice/Inbox", "alice/Work/Secret"] {
        world.right("alice", folder, None);
    }
    client.ok("SELECT \"All Mail\"").await;
    server.stopped().await;
}

/// The oldest of several is INBOX: of those that may be read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn inbox_is_the_oldest_that_may_be_read() {
    let world = World::new();
    for (folder, count) in [("alice/inbox", 1), ("alice/Inbox", 2), ("alice/INBOX", 3)] {
        world.fill(folder, count);
    }
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    for (taken, there, others) in
        [(None, 1, 2), (Some("alice/inbox"), 2, 1), (Some("alice/Inbox"), 3, 0), (Some("alice/INBOX"), 0, 0)]
    {
        if let Some(taken) = taken {
            world.right("alice", taken, Level::None);
        }
        assert_eq!(
            client.ok("STATUS INBOX (MESSAGES)").await,
            [format!("* STATUS INBOX (MESSAGES {there})")]
        );
        // Of one that may not be read there is no trace, under its escaped name either.
        let names = tree(&mut client).await;
        let spelled = names.iter().filter(|name| name.eq_ignore_ascii_case("inbox (folder)")).count();
        assert_eq!(spelled, others, "{names:?}");
    }
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_all_sees_all_and_open_access_ends_by_itself() {
    let world = World::new();
    for folder in ["adam/x", "adam-2/x", "adam", "bob/Inbox", "carol/Secret", "left/over"] {
        world.fill(folder, 1);
    }
    user(&world, "adam", &[Privilege::Admin], Edit::default());
    user(&world, "audrey", &[Privilege::Auditor], Edit { expires: Some(now() + 1_000), ..Edit::default() });
    let server = world.serve(Settings { idle_keepalive_secs: 1, ..open() }).await;
    let (mut admin, mut auditor) = (server.user("adam").await, server.user("audrey").await);
    let others = [
        "-Other Archives/adam-2/",
        "Other Archives/adam-2/x",
        "-Other Archives/bob/",
        "Other Archives/bob/Inbox",
        "-Other Archives/carol/",
        "Other Archives/carol/Secret",
        "-Other Archives/left/",
        "Other Archives/left/over",
    ];
    let own = ["All Mail", "INBOX", "Top Folder", "x"];
    let listed = tree(&mut admin).await;
    assert!(listed.iter().all(|name| own.contains(&name.as_str())), "{listed:?}");
    let reason = "a lost contract".to_owned();
    world
        .auth
        .set_archive_access(&ArchiveAccess { open_until: Some(now() + 1_000), reason: reason.clone() })
        .unwrap();
    let listed = tree(&mut admin).await;
    assert_eq!(
        listed.iter().filter(|name| others.contains(&name.as_str())).count(),
        others.len(),
        "{listed:?}"
    );
    let listed = tree(&mut auditor).await;
    assert_eq!(
        listed.iter().filter(|name| others.contains(&name.as_str())).count(),
        others.len(),
        "{listed:?}"
    );
    // Closed by hand.
    admin.ok("SELECT \"Other Archives/carol/Secret\"").await;
    admin.send("i IDLE\r\n").await;
    assert_eq!(admin.line().await.unwrap(), "+ idling");
    world.auth.set_archive_access(&ArchiveAccess::default()).unwrap();
    assert_eq!(admin.rest().await, [GONE]);
    // Closed by time.
    world.auth.set_archive_access(&ArchiveAccess { open_until: Some(now() + 2), reason }).unwrap();
    let mut admin = server.user("adam").await;
    admin.ok("SELECT \"Other Archives/carol/Secret\"").await;
    admin.send("i IDLE\r\n").await;
    assert_eq!(admin.rest().await.last().unwrap(), GONE);
    // And an auditor's time: in NOTIFY nothing is said before.
    auditor.ok("NOTIFY SET (subtree \"Other Archives\" (MessageNew MessageExpunge))").await;
    auditor.ok("SELECT \"Other Archives/carol/Secret\"").await;
    world.auth.edit("audrey", &Edit { expires: Some(now() + 1), ..Edit::default() }).unwrap();
    assert_eq!(auditor.rest().await, [LOGGED_OUT]);
    assert!(server.client().await.run(&format!("LOGIN audrey \"{PASSWORD}\"")).await[0].starts_with("NO"));
    server.stopped().await;
}

/// A client that has selected what is about to be taken away, and idles.
async fn idling(server: &Running) -> Client<TcpStream> {
    let mut client = server.user("rita").await;
    client.ok("SELECT \"Other Archives/bob/Inbox\"").await;
    client.send("i IDLE\r\n").await;
    assert_eq!(client.line().await.unwrap(), "+ idling");
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_takes_a_right_away_ends_idle_at_once() {
    let world = World::new();
    world.fill("bob/Inbox", 2);
    let in_sales =
        |given: bool| Edit { groups: Some(Vec::from_iter(given.then(|| "Sales".into()))), ..Edit::default() };
    user(&world, "rita", &[], in_sales(true));
    world.auth.set_group_right("Sales", "bob", Some(Level::Read)).unwrap();
    let server = world.serve(open()).await;
    let auth = &world.auth;
    let edit = |edit: Edit| auth.edit("rita", &edit).map(drop).unwrap();
    let disabled = |disabled| Edit { disabled: Some(disabled), ..Edit::default() };
    type Change<'c> = &'c dyn Fn();
    let all: [(&str, Change<'_>, Change<'_>); 8] = [
        (GONE, &|| world.right("rita", "bob", Level::None), &|| world.right("rita", "bob", None)),
        (GONE, &|| world.right("rita", "bob/Inbox", Level::None), &|| world.right("rita", "bob/Inbox", None)),
        (GONE, &|| drop(auth.set_group_right("Sales", "bob", None).unwrap()), &|| {
            drop(auth.set_group_right("Sales", "bob", Some(Level::Delete)).unwrap())
        }),
        (GONE, &|| edit(in_sales(false)), &|| edit(in_sales(true))),
        (LOGGED_OUT, &|| edit(disabled(true)), &|| edit(disabled(false))),
        (LOGGED_OUT, &|| drop(auth.set_privilege("rita", Privilege::Imap, false).unwrap()), &|| {
            drop(auth.set_privilege("rita", Privilege::Imap, true).unwrap())
        }),
        (LOGGED_OUT, &|| drop(auth.rename("rita", "renamed").unwrap()), &|| {
            drop(auth.rename("renamed", "rita").unwrap())
        }),
        (LOGGED_OUT, &|| auth.remove("rita").unwrap(), &|| ()),
    ];
    for (n, (expected, take, give)) in all.iter().enumerate() {
        let mut client = idling(&server).await;
        take();
        assert_eq!(client.rest().await, [*expected], "change {n}");
        give();
    }
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_no_right_ends_nothing() {
    let world = World::new();
    world.fill("alice/A", 1);
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    client.ok("SELECT A").await;
    client.send("i IDLE\r\n").await;
    assert_eq!(client.line().await.unwrap(), "+ idling");
    world.right("alice", "carol", Level::Read);
    world.right("alice", "bob", None);
    world.auth.edit("bob", &Edit { disabled: Some(true), ..Edit::default() }).unwrap();
    world
        .auth
        .set_archive_access(&ArchiveAccess { open_until: Some(now() + 100), reason: "why".into() })
        .unwrap();
    world.fill("alice/A", 1);
    assert_eq!(client.line().await.unwrap(), "* 2 EXISTS");
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn notify_tells_names_that_rights_bring_and_take() {
    let world = World::new();
    for folder in ["alice/A", "bob/X", "bob/X/Y"] {
        world.fill(folder, 1);
    }
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    client.ok("NOTIFY SET (subscribed (MailboxName))").await;
    world.right("alice", "bob/X/Y", Level::None);
    assert_eq!(client.line().await.unwrap(), "* LIST (\\NonExistent) \"/\" \"Other Archives/bob/X/Y\"");
    assert_eq!(
        client.line().await.unwrap(),
        "* LIST (\\Subscribed \\HasNoChildren) \"/\" \"Other Archives/bob/X\""
    );
    world.right("alice", "bob/X/Y", None);
    assert_eq!(
        client.line().await.unwrap(),
        "* LIST (\\Subscribed \\HasNoChildren) \"/\" \"Other Archives/bob/X/Y\""
    );
    assert_eq!(
        client.line().await.unwrap(),
        "* LIST (\\Subscribed \\HasChildren) \"/\" \"Other Archives/bob/X\""
    );
    world.right("alice", "bob", None);
    let mut told = Vec::new();
    for _ in 0..3 {
        told.push(client.line().await.unwrap());
    }
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "* LIST (\\NonExistent) \"/\" \"Other Archives/bob\"",
            "* LIST (\\NonExistent) \"/\" \"Other Archives/bob/X\"",
            "* LIST (\\NonExistent) \"/\" \"Other Archives/bob/X/Y\""
        ]
    );
    assert_eq!(client.run("NOOP").await, ["OK NOOP done"]);
    // Of a mailbox that is selected too, in NOTIFY as in IDLE.
    client.ok("SELECT A").await;
    world.right("alice", "alice/A", Level::None);
    assert_eq!(client.rest().await, [GONE]);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_answer_breaks_off() {
    let world = World::new();
    let raw = noise(9 << 20);
    world.add("bob/Big", &[(&raw, SourceFlags::default())]);
    world.fill("bob/Many", 300);
    let server = world.serve(open()).await;
    // In the middle of a literal nothing can be said.
    let mut client = server.alice().await;
    client.ok("SELECT \"Other Archives/bob/Big\"").await;
    client.send("f FETCH 1 BODY.PEEK[]\r\ng FETCH 1 BODY.PEEK[]\r\n").await;
    assert!(client.line().await.unwrap().starts_with("* 1 FETCH (BODY[] {"));
    // And between commands the reason is.
    let mut searching = server.alice().await;
    searching.ok("SELECT \"Other Archives/bob/Many\"").await;
    let many: String =
        (0..1_000).map(|n| format!("s{n} SEARCH OR TEXT \"ody 7\" HEADER X-None {n}\r\n")).collect();
    searching.send(many).await;
    assert!(searching.line().await.unwrap().starts_with("* SEARCH"));
    world.right("alice", "bob", None);
    let all = client.rest_of_bytes().await;
    assert!(all.len() < 2 * raw.len(), "{} bytes", all.len());
    assert!(!all.ends_with(b"FETCH done\r\n"));
    let all = searching.rest_of_bytes().await;
    let all = String::from_utf8(all).unwrap();
    // An answer that was begun can't be ended by other words.
    let begun = all.rsplit("\r\n").next().is_some_and(|line| line.starts_with("* SEARCH"));
    assert!(begun || all.ends_with(&format!("{GONE}\r\n")), "{:?}", all.lines().last());
    assert!(!all.contains("s999 "), "all searches were answered");
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_somebody_else_has_now_opens_nothing_to_the_old_session() {
    let world = World::new();
    world.fill("carol/Mine", 1);
    let server = world.serve(open()).await;
    let mut client = server.user("carol").await;
    client.ok("SELECT Mine").await;
    let created = world.auth.user("carol").unwrap().created;
    world.auth.remove("carol").unwrap();
    while now() == created {
        tokio::task::yield_now().await;
    }
    user(&world, "carol", &[], Edit::default());
    assert_eq!(client.run_to_end("FETCH 1 FLAGS").await, [LOGGED_OUT]);
    server.stopped().await;
}

/// The own archive is that of the user's name; the old one stays with whoever has the rule on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renamed_user_has_the_archive_of_the_new_name() {
    let world = World::new();
    world.fill("carol/Old", 1);
    world.auth.rename("carol", "caroline").unwrap();
    world.fill("caroline/New", 2);
    let server = world.serve(open()).await;
    let mut client = server.user("caroline").await;
    let listed = tree(&mut client).await;
    assert_eq!(
        listed,
        [
            "All Mail",
            "INBOX",
            "New",
            "-Other Archives/",
            "-Other Archives/carol/",
            "Other Archives/carol/Old"
        ]
    );
    assert_eq!(client.ok("STATUS \"All Mail\" (MESSAGES)").await, ["* STATUS \"All Mail\" (MESSAGES 2)"]);
    client.ok("SELECT \"Other Archives/carol/Old\"").await;
    assert_eq!(
        client.run("SELECT \"Other Archives/caroline/New\"").await,
        ["NO [NONEXISTENT] There is no such mailbox"]
    );
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acl_goes_by_folder() {
    let world = World::new();
    for folder in ["boss/A", "boss/B"] {
        world.fill(folder, 1);
    }
    user(&world, "boss", &[Privilege::Admin], Edit::default());
    world.right("alice", "boss/A", Level::Read);
    world.right("carol", "boss", Level::Read);
    world.right("carol", "boss/B", Level::None);
    let server = world.serve(open()).await;
    let mut client = server.user("boss").await;
    for (name, who) in [
        ("\"A\"", "alice lr boss lr carol lr"),
        ("\"B\"", "boss lr"),
        ("\"All Mail\"", "boss lr"),
        ("INBOX", "boss lr carol lr"),
    ] {
        assert_eq!(client.ok(&format!("GETACL {name}")).await, [format!("* ACL {name} {who}")]);
    }
    assert_eq!(client.ok("LISTRIGHTS B carol").await, ["* LISTRIGHTS \"B\" carol \"\""]);
    assert_eq!(client.ok("LISTRIGHTS A carol").await, ["* LISTRIGHTS \"A\" carol lr"]);
    let mut client = server.user("carol").await;
    assert_eq!(
        client.ok("GETACL \"Other Archives/boss/A\"").await,
        ["* ACL \"Other Archives/boss/A\" carol lr"]
    );
    server.stopped().await;
}

/// Names that try to get around the rules.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_spelling_of_a_name_gets_around_the_rules() {
    let world = World::new();
    for folder in ["alice/Work", "alice/Hidden", "carol/S\u{e9}cret", "carol/Secret", "bob/x"] {
        world.fill(folder, 1);
    }
    world.right("alice", "alice/Hidden", Level::None);
    let server = world.serve(Settings { max_bad: 1_000, ..open() }).await;
    let mut client = server.alice().await;
    let long = format!("Other Archives/carol/{}", "x".repeat(60_000));
    for name in [
        "\"Other Archives/carol/S&AOk-cret\"",
        "\"Other Archives/carol/S&AOk-cret/\"",
        "\"Other Archives/carol/&AFM-ecret\"",
        "\"Other Archives/carol/&AFMA6Q-cret\"",
        "\"Other Archives/carol/&-ecret\"",
        "\"Other Archives/./carol/Secret\"",
        "\"Other Archives/bob/../carol/Secret\"",
        "\"Other Archives/bob/x/../../carol/Secret\"",
        "\"Other Archives/../carol/Secret\"",
        "\"../carol/Secret\"",
        "\"Other Archives//carol/Secret\"",
        "\"/carol/Secret\"",
        "\"carol/Secret\"",
        "\"Other Archives/carol\\\\Secret\"",
        "\"Other Archives/Carol/Secret\"",
        "\"Other Archives/carol/Secret \"",
        "\"Other Archives/alice/Work\"",
        "\"Other Archives/alice/Hidden\"",
        "\"Other Archives/alice\"",
        "\"Hidden (folder)\"",
        "\"Hidden/\"",
        "\"./Hidden\"",
        "\"Work/../Hidden\"",
        "\"Top Folder/Hidden\"",
        "\"All Mail/Hidden\"",
        "\"INBOX/../Hidden\"",
        "{28+}\r\nOther Archives/carol/Secret\0",
        "{27+}\r\nOther Archives/carol/S\0cret",
        &format!("{{{}+}}\r\n{long}", long.len()),
    ] {
        for command in ["SELECT", "EXAMINE", "STATUS", "MYRIGHTS", "GETMETADATA"] {
            let rest = match command {
                "STATUS" => " (MESSAGES)",
                "GETMETADATA" => " /shared/comment",
                _ => "",
            };
            let answer = client.run(&format!("{command} {name}{rest}")).await;
            let end = answer.last().unwrap();
            assert!(
                answer.len() == 1
                    && (end.starts_with("NO [NONEXISTENT]")
                        || end.starts_with("NO [CANNOT]")
                        || end.starts_with("BAD ")),
                "{command} {}: {answer:?}",
                name.chars().take(80).collect::<String>()
            );
        }
    }
    // UTF-8 names, composed in both ways.
    client.ok("ENABLE UTF8=ACCEPT").await;
    for name in
        ["Other Archives/carol/S\u{e9}cret", "Other Archives/carol/Se\u{301}cret", "Work/\u{2025}/Hidden"]
    {
        let answer = client.run(&format!("SELECT \"{name}\"")).await;
        assert_eq!(answer, ["NO [NONEXISTENT] There is no such mailbox"], "{name}");
    }
    assert!(!client.ok("LIST \"\" (\"*arol*\" \"*idden*\" \"*ecret*\")").await.join("").contains("cret"));
    server.stopped().await;
}

/// A folder that is moved where it may not be read, and one that comes from there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_move_across_the_border() {
    let world = World::new();
    world.fill("bob/Open/A", 1);
    world.fill("bob/Closed/B", 1);
    world.right("alice", "bob/Closed", Level::None);
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    client.ok("NOTIFY SET (subscribed (MailboxName))").await;
    let mut selected = server.alice().await;
    selected.ok("SELECT \"Other Archives/bob/Open/A\"").await;
    selected.send("i IDLE\r\n").await;
    let quiet = &mut |_, _| ();
    world.storage.move_folder(&path("bob/Open/A"), &path("bob/Closed/A"), &Cancel::default(), quiet).unwrap();
    assert_eq!(selected.rest().await, ["+ idling", GONE]);
    assert_eq!(client.line().await.unwrap(), "* LIST (\\NonExistent) \"/\" \"Other Archives/bob/Open/A\"");
    world.storage.move_folder(&path("bob/Closed/B"), &path("bob/Open/B"), &Cancel::default(), quiet).unwrap();
    let told = loop {
        let line = client.line().await.unwrap();
        if line.contains("Open/B") {
            break line;
        }
        assert!(!line.contains("Closed"), "{line}");
    };
    assert_eq!(
        told, "* LIST (\\Subscribed \\HasNoChildren) \"/\" \"Other Archives/bob/Open/B\"",
        "without the name it had"
    );
    server.stopped().await;
}
