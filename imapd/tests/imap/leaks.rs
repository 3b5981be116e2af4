//! The matrix of leaks: each command of the server's table × names of all kinds × users with and without rights, in two
//! installations that differ only in what those users may not read. All answers must be the same in both, byte for byte, and those
//! to an unreadable name the same as to a missing one but for the name. A command without a row here fails.

use crate::common::{Client, Running, World, open};
use auth::{Edit, Level, NewUser, Privilege};
use imapd::Settings;
use storage::{Cancel, SourceFlags};
use tokio::net::TcpStream;
use zeroize::Zeroizing;

/// In all that is hidden, and nowhere else.
const NEEDLE: &str = "quokka";

/// Those who must not notice what is hidden.
const USERS: &[&str] = &["alice", "rita", "carol", "dave", "lena", "adam"];

/// Folders that only their owners, or not even they, may read.
const HIDDEN: &[&str] = &[
    "alice/Private",
    "alice/Private/Deep",
    "alice/Work/Secret",
    "alice/Work/1996",
    "alice/Work/Secret (folder)",
    "bob",
    "bob/Inbox",
    "bob/INBOX",
    "bob/Offers",
    "bob/Offers/2023",
    "bob/Offers/2024-x",
    "bob/Offers/2024 x/y",
    "bob/Papers/2023/a",
    "dave/Inbox",
    "dave/Inbox/Sub",
    "dave/INBOX/Sub",
    "erin/Secret",
    "erin/Inbox",
    "lena",
    "lena/Inbox",
    "lena/Stuff",
    "lena/All Mail",
];

/// A name that may not be read, and one that is missing in the same place.
const PAIRS: &[(&str, &str)] = &[
    ("Private/Deep", "Private/Nope"),
    ("Private/Gone", "Private/Non2"),
    ("Work/Secret", "Work/Missin"),
    ("Stuff", "Stuf2"),
    ("Other Archives/bob/Inbox", "Other Archives/bob/Inbux"),
    ("Other Archives/bob/Offers/2023", "Other Archives/bob/Offers/2022"),
    ("Other Archives/erin/Secret", "Other Archives/erin/Missin"),
    ("Other Archives/erin/Gone", "Other Archives/erin/Nope"),
];

/// Other names: what may be read, parents, special ones, tricks.
const NAMES: &[&str] = &[
    "INBOX",
    "inbox",
    "INBOX/Sub",
    "Inbox (folder)",
    "All Mail",
    "All Mail (folder)",
    "Top Folder",
    "Home",
    "Work",
    "Work/1996",
    "Work/1996 (year)",
    "Private",
    "Private/Shown",
    "Old",
    "Other Archives",
    "Other Archives/bob",
    "Other Archives/bob/Offers",
    "Other Archives/bob/Offers/2024",
    "Other Archives/bob/Offers/2024/1996",
    "Other Archives/bob/Offers/2030",
    "Other Archives/bob/Papers",
    "Other Archives/bob/Papers/2024",
    "Other Archives/erin",
    "Other Archives/erin/Shared",
    "Other Archives/nobody",
    "Other Archives/nobody/Secret",
    "Other Archives/alice/Private",
    "Other Archives/lena/Stuff",
    "Other Archives/carol/../erin/Secret",
    "../erin/Secret",
    "Other Archives/bob/Offers/2024/../2023",
    "Other Archives//bob/Inbox",
    "Other Archives/bob/Inbox/",
    "/erin/Secret",
    "other archives/erin/Secret",
    "Other Archives/ERIN/Secret",
    "&AE8-ther Archives/erin/Secret",
    "Other Archives/erin/&AFM-ecret",
];

/// What a command is tried with.
enum Row {
    /// It names no mailbox.
    Plain(&'static [&'static str]),
    /// With each name for `{}`; lines behind `|` follow it.
    Named(&'static [&'static str]),
    /// With each name for `{}`, while the user's own mailbox is selected.
    Selected(&'static [&'static str]),
}

const OPENS: &[&str] = &[
    "SELECT {}|UID SEARCH ALL|UID FETCH 1:* (UID BODY.PEEK[])|UNSELECT",
    "SELECT {} (CONDSTORE)|UNSELECT",
    "EXAMINE {}|UID FETCH 1:* (ENVELOPE PREVIEW EMAILID THREADID)|CLOSE",
];

/// The row of a command of the table; none for one that this test doesn't know.
fn row(command: &str) -> Option<Row> {
    use Row::{Named, Plain, Selected};
    Some(match command {
        "CAPABILITY" | "ID" | "STARTTLS" | "LOGIN" | "AUTHENTICATE" | "LOGOUT" | "COMPRESS"
        | "UNAUTHENTICATE" | "CLOSE" | "UNSELECT" | "ENABLE" | "IDLE" => Plain(&[]),
        "NOOP" => Plain(&["NOOP"]),
        "NAMESPACE" => Plain(&["NAMESPACE"]),
        "CHECK" => Selected(&["CHECK"]),
        "EXPUNGE" => Selected(&["EXPUNGE"]),
        "UID EXPUNGE" => Selected(&["UID EXPUNGE 1:*"]),
        "SELECT" | "EXAMINE" => Named(OPENS),
        "LIST" => Named(&[
            "LIST \"\" {}",
            "LIST {} *",
            "LIST \"\" ({} \"%\" \"Other Archives/%\")",
            "LIST (SUBSCRIBED RECURSIVEMATCH) {} %",
            "LIST (SPECIAL-USE) {} *",
            "LIST \"\" ({} INBOX) RETURN (CHILDREN STATUS (MESSAGES UIDNEXT UIDVALIDITY SIZE MAILBOXID HIGHESTMODSEQ) MYRIGHTS METADATA (/shared/comment))",
            "LIST \"\" \"*\" RETURN (CHILDREN STATUS (MESSAGES SIZE) METADATA (/shared/comment))",
        ]),
        "LSUB" => Named(&["LSUB \"\" {}", "LSUB {} %"]),
        "STATUS" => Named(&[
            "STATUS {} (MESSAGES UIDNEXT UIDVALIDITY UNSEEN SIZE MAILBOXID DELETED)",
            "STATUS {} (RECENT)",
        ]),
        "MYRIGHTS" => Named(&["MYRIGHTS {}"]),
        "GETACL" => Named(&["GETACL {}"]),
        "LISTRIGHTS" => Named(&["LISTRIGHTS {} erin", "LISTRIGHTS {} bob", "LISTRIGHTS {} nobody"]),
        "GETMETADATA" => Named(&[
            "GETMETADATA {} /shared/comment",
            "GETMETADATA (MAXSIZE 1) {} (/shared/comment)",
            "GETMETADATA (DEPTH infinity) {} (/shared /private)",
        ]),
        "ESEARCH" => Named(&[
            "ESEARCH IN (mailboxes {}) RETURN (ALL COUNT MIN MAX) ALL",
            "ESEARCH IN (subtree {}) TEXT quokka",
            "ESEARCH IN (subtree-one {}) OR TEXT quokka SUBJECT of",
            "ESEARCH IN (subtree (\"Other Archives\" {}) personal subscribed inboxes) RETURN (COUNT) ALL",
        ]),
        "NOTIFY" => Named(&[
            "NOTIFY SET STATUS (mailboxes {} (MessageNew MessageExpunge FlagChange))|NOTIFY NONE",
            "NOTIFY SET STATUS (subtree {} (MessageNew MessageExpunge MailboxName MailboxMetadataChange))|NOTIFY NONE",
            "NOTIFY SET STATUS (personal (MessageNew MessageExpunge)) (subscribed (MessageNew MessageExpunge))|NOTIFY NONE",
        ]),
        "SUBSCRIBE" => Named(&["SUBSCRIBE {}"]),
        "UNSUBSCRIBE" => Named(&["UNSUBSCRIBE {}"]),
        "SETACL" => Named(&["SETACL {} bob lrs"]),
        "DELETEACL" => Named(&["DELETEACL {} bob"]),
        "SETMETADATA" => Named(&["SETMETADATA {} (/shared/comment \"x\")"]),
        "APPEND" => Named(&["APPEND {} {3+}\r\nx\r\n", "APPEND {} (\\Seen) \"x\""]),
        "CREATE" => Named(&["CREATE {}"]),
        "DELETE" => Named(&["DELETE {}"]),
        "RENAME" => Named(&["RENAME {} other", "RENAME Home {}"]),
        "COPY" => Selected(&["COPY 1 {}"]),
        "MOVE" => Selected(&["MOVE 1 {}"]),
        "UID COPY" => Selected(&["UID COPY 1:* {}"]),
        "UID MOVE" => Selected(&["UID MOVE 1:* {}"]),
        "FETCH" => Selected(&["FETCH 1:* (UID FLAGS BODY.PEEK[] EMAILID THREADID)", "FETCH 9 UID"]),
        "UID FETCH" => {
            Selected(&["UID FETCH 1:* (FLAGS BODY.PEEK[]) (CHANGEDSINCE 1)", "UID FETCH 1:99 BINARY.PEEK[1]"])
        }
        "STORE" => Selected(&["STORE 1:* +FLAGS (\\Seen)"]),
        "UID STORE" => Selected(&["UID STORE 1:99 (UNCHANGEDSINCE 1) +FLAGS (\\Seen)"]),
        "SEARCH" => Selected(&[
            "SEARCH TEXT quokka",
            "SEARCH RETURN (SAVE COUNT ALL) OR BODY quokka ALL",
            "FETCH $ UID",
        ]),
        "UID SEARCH" => {
            Selected(&["UID SEARCH FUZZY TEXT quokka", "UID SEARCH RETURN (RELEVANCY ALL) FUZZY SUBJECT of"])
        }
        "SORT" => Selected(&["SORT (SUBJECT) UTF-8 TEXT quokka", "SORT (REVERSE ARRIVAL) UTF-8 ALL"]),
        "UIDBATCHES" => Selected(&["UIDBATCHES 500", "UIDBATCHES 500 1:2"]),
        "UID SORT" => Selected(&["UID SORT (FROM SIZE) UTF-8 ALL"]),
        "THREAD" => Selected(&["THREAD REFERENCES UTF-8 ALL"]),
        "UID THREAD" => Selected(&["UID THREAD ORDEREDSUBJECT UTF-8 ALL"]),
        _ => return None,
    })
}

fn hide(world: &World, folder: &str) {
    let mails: Vec<String> =
        (0..3).map(|n| format!("Subject: {NEEDLE} {n}\r\n\r\n{NEEDLE} {folder}\r\n")).collect();
    let list: Vec<(&[u8], SourceFlags)> =
        mails.iter().map(|mail| (mail.as_bytes(), SourceFlags::default())).collect();
    world.add(folder, &list);
}

fn comment(world: &World, folder: &str, words: &str) {
    world.storage.comment(&crate::common::path(folder), words, &Cancel::default()).unwrap();
}

/// What all see, and in one of the two what none of [`USERS`] may.
fn installation(hidden: bool) -> World {
    let world = World::new();
    world.right("alice", "bob", None);
    let password = || Some(Zeroizing::new(crate::common::PASSWORD.to_owned()));
    let user = |name: &str, privileges: &[Privilege], edit: Edit| {
        let privileges = privileges.to_vec();
        world.auth.create(&NewUser { name: name.into(), password: password(), privileges, edit }).unwrap();
    };
    for name in ["dave", "erin", "lena"] {
        user(name, &[], Edit::default());
    }
    user("rita", &[], Edit { groups: Some(vec!["Sales".into()]), ..Edit::default() });
    user("adam", &[Privilege::Admin], Edit::default());
    user("audrey", &[Privilege::Auditor], Edit { expires: Some(4_000_000_000), ..Edit::default() });
    for (name, folder, level) in [
        ("alice", "alice/Private", Level::None),
        ("alice", "alice/Private/Shown", Level::Read),
        ("alice", "alice/Work/Secret", Level::None),
        ("alice", "alice/Work/Secret (folder)", Level::None),
        ("alice", "alice/Work/1996", Level::None),
        ("dave", "dave/Inbox", Level::None),
        ("dave", "dave/INBOX", Level::None),
        ("rita", "bob/Offers/2024", Level::Read),
        ("rita", "bob/Offers/2030", Level::Write),
        ("rita", "bob/Papers/2024", Level::Delete),
        // A rule takes nothing from a group's that is nearer.
        ("rita", "erin", Level::None),
    ] {
        world.right(name, folder, level);
    }
    world.right("lena", "lena", None);
    world.auth.set_group_right("sales", "erin/Shared", Some(Level::Read)).unwrap();
    world.fill("alice/Old", 2);
    if hidden {
        for folder in ["alice/Private/Gone", "erin/Gone"] {
            hide(&world, folder);
        }
    }
    world.storage.create_store(None, None).unwrap();
    for folder in [
        "alice",
        "alice/Inbox",
        "alice/Home",
        "alice/Work",
        "alice/Work/Open",
        "alice/Private/Shown",
        "bob/Offers/2024",
        "bob/Papers/2024",
        "carol/Home",
        "dave/Home",
        "adam/Home",
        "rita/Home",
        "erin/Shared",
    ] {
        world.fill(folder, 2);
    }
    comment(&world, "alice/Work", "what is done");
    if hidden {
        for folder in HIDDEN {
            hide(&world, folder);
            comment(&world, folder, NEEDLE);
        }
        comment(&world, "erin/Gone", NEEDLE);
    }
    world.without_the_first_store()
}

fn settings() -> Settings {
    Settings { year_mailboxes_from: 2, max_bad: u32::MAX, ..open() }
}

/// Numbers that count everybody's folders and changes are others where there is more.
fn plain(line: &str) -> String {
    let mut out = line.to_owned();
    for word in
        ["UIDVALIDITY ", "HIGHESTMODSEQ ", "MODSEQ (", "MODSEQ ", "MAILBOXID (", "MODIFIED ", "TAG \""]
    {
        let mut parts = out.split(word);
        let mut plain = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let rest = part.trim_start_matches(|c: char| c.is_ascii_alphanumeric());
            plain = format!("{plain}{word}#{rest}");
        }
        out = plain;
    }
    out
}

/// A command with a name, and what was answered to it and to what follows it.
type Said = (String, String, Vec<Vec<String>>);

/// Everything that a user is answered.
async fn everything(server: &Running, user: &str, enable: Option<&str>) -> Vec<Said> {
    let mut client = server.user(user).await;
    if let Some(enable) = enable {
        client.ok(enable).await;
    }
    let names = PAIRS.iter().flat_map(|(one, other)| [*one, *other]).chain(NAMES.iter().copied());
    let names: Vec<&str> = names.collect();
    let commands = server.watch.snapshot().commands;
    let known = commands.iter().map(|command| command.name.as_str()).filter(|name| *name != "unknown");
    let mut said = Vec::new();
    let mut selected: Vec<&str> = Vec::new();
    for command in known {
        match row(command)
            .unwrap_or_else(|| panic!("{command} has no row: does it tell what may not be read?"))
        {
            Row::Plain(lines) => say(&mut client, lines, &[""], &mut said).await,
            Row::Named(lines) => say(&mut client, lines, &names, &mut said).await,
            Row::Selected(lines) => selected.extend(lines),
        }
    }
    let own = if user == "lena" { "INBOX" } else { "Home" };
    client.ok(&format!("SELECT {own}")).await;
    say(&mut client, &selected, &names, &mut said).await;
    said
}

async fn say(client: &mut Client<TcpStream>, lines: &[&str], names: &[&str], said: &mut Vec<Said>) {
    for line in lines {
        let names = if line.contains("{}") { names } else { &[""] };
        for name in names {
            let whole = line.replace("{}", &format!("\"{name}\""));
            let commands: Vec<String> = whole.split('|').map(str::to_owned).collect();
            let mut answers = client.run_all(&commands).await;
            answers.iter_mut().flatten().for_each(|line| *line = plain(line));
            said.push(((*line).to_owned(), (*name).to_owned(), answers));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_tells_what_may_not_be_read() {
    let (full, bare) = (installation(true), installation(false));
    let (in_full, in_bare) = (full.serve(settings()).await, bare.serve(settings()).await);
    let mut count = 0;
    for user in USERS {
        for enable in [None, Some("ENABLE IMAP4rev2 QRESYNC")] {
            let (said, expected) =
                tokio::join!(everything(&in_full, user, enable), everything(&in_bare, user, enable));
            assert_eq!(said.len(), expected.len());
            for (one, other) in said.iter().zip(&expected) {
                assert_eq!(one, other, "{user} {enable:?}");
                let text = one.2.concat().join("\n").to_lowercase();
                assert!(!text.contains(NEEDLE), "{user}: {one:?}");
            }
            // And in one installation: no right and no mailbox are the same.
            let of = |line: &str, name: &str| {
                said.iter().find(|one| one.0 == line && one.1 == name).map(|one| format!("{:?}", one.2))
            };
            for (line, hidden, answers) in &said {
                let Some((_, missing)) = PAIRS.iter().find(|(one, _)| one == hidden) else { continue };
                let answers = format!("{answers:?}").replace(hidden, missing);
                assert_eq!(Some(answers), of(line, missing), "{user}: {line} {hidden}");
            }
            count += said.len();
        }
    }
    assert!(count > 20_000, "{count} answers were compared");
    // The needles are there, for those who may read them.
    let mut client = in_full.user("audrey").await;
    let list = client.ok("LIST \"\" *").await.join("\n");
    for folder in HIDDEN.iter().chain(&["erin/Gone", "alice/Private/Gone"]) {
        assert!(list.contains(&format!("\"Other Archives/{folder}\"")), "{folder} is not in {list}");
        client.ok(&format!("EXAMINE \"Other Archives/{folder}\"")).await;
    }
    let found = client.ok("ESEARCH IN (subtree \"Other Archives/dave\") TEXT quokka").await;
    assert_eq!(found.len(), 3, "{found:?}");
    let mut client = in_full.user("bob").await;
    client.ok("SELECT Offers/2023").await;
    assert_eq!(client.ok("UID SEARCH TEXT quokka").await, ["* SEARCH 1 2 3"]);
    in_full.stopped().await;
    in_bare.stopped().await;
}

/// What is told unasked until the fence comes.
async fn told(client: &mut Client<TcpStream>, fence: &str) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let line = plain(&client.line().await.unwrap());
        let done = line.starts_with(fence);
        all.push(line);
        if done {
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_told_unasked_of_what_may_not_be_read() {
    let mut both = Vec::new();
    for hidden in [true, false] {
        let world = installation(hidden);
        let server = world.serve(settings()).await;
        let mut clients = Vec::new();
        for user in ["alice", "rita", "carol", "dave", "adam"] {
            let (mut idle, mut notify) = (server.user(user).await, server.user(user).await);
            idle.ok("SELECT Home").await;
            idle.send("i IDLE\r\n").await;
            notify
                .ok("NOTIFY SET (subtree (\"Other Archives\" INBOX Private Work) (MessageNew MessageExpunge MailboxName MailboxMetadataChange)) (personal (MessageNew MessageExpunge MailboxName MailboxMetadataChange))")
                .await;
            clients.push((user, idle, notify));
        }
        if hidden {
            for folder in [
                "alice/Private",
                "alice/Work/New/Secret",
                "bob/Inbox",
                "bob/Offers/2025",
                "erin/New",
                "dave/Inbox",
            ] {
                if folder == "alice/Work/New/Secret" {
                    world.right("alice", "alice/Work/New", Level::None);
                }
                hide(&world, folder);
                comment(&world, folder, NEEDLE);
            }
            let quiet = &mut |_, _| ();
            let path = crate::common::path;
            world.delete("bob/Offers", 1, 1);
            world
                .storage
                .move_folder(&path("erin/Secret"), &path("erin/Other"), &Cancel::default(), quiet)
                .unwrap();
            world.storage.delete_folder(&path("bob/Offers/2023"), true, &Cancel::default(), quiet).unwrap();
            world.right("bob", "bob/Inbox", Level::Read);
        } else {
            // Rights are the same in both.
            world.right("alice", "alice/Work/New", Level::None);
            world.right("bob", "bob/Inbox", Level::Read);
        }
        let mut all = Vec::new();
        for (user, idle, notify) in &mut clients {
            world.fill(&format!("{user}/Home"), 1);
            all.push((*user, told(idle, "* 0 RECENT").await, told(notify, "* STATUS \"Home\"").await));
        }
        server.stopped().await;
        both.push(all);
    }
    assert_eq!(both[0], both[1]);
    assert!(!format!("{both:?}").contains(NEEDLE));
}
