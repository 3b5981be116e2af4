//! NOTIFY: what happens anywhere is told to a client that asks for nothing.

use crate::common::{World, open};
use imapd::Settings;
use storage::{Cancel, FolderPath, SourceFlags, UidRanges};

fn path(text: &str) -> FolderPath {
    FolderPath::new(text).unwrap()
}

fn fill(world: &World, folder: &str, count: usize) {
    let mails: Vec<Vec<u8>> =
        (0..count).map(|n| format!("Subject: {n} of {folder}\r\n\r\nbody\r\n").into_bytes()).collect();
    let list: Vec<(&[u8], SourceFlags)> =
        mails.iter().map(|mail| (mail.as_slice(), SourceFlags::default())).collect();
    world.add(folder, &list);
}

fn delete(world: &World, folder: &str, first: u32, last: u32) {
    let uids = UidRanges::from_spans([(first, last)]);
    world.storage.delete_messages(&path(folder), &uids, &Cancel::default(), &mut |_, _| ()).unwrap();
}

/// UIDVALIDITY is another one in every run.
fn plain(line: &str) -> String {
    let Some((front, back)) = line.split_once(" UIDVALIDITY ") else { return line.to_owned() };
    let rest = back.trim_start_matches(|c: char| c.is_ascii_digit());
    format!("{front}{rest}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_mailboxes_come_change_and_go() {
    let world = World::new();
    for folder in ["alice/A", "alice/B", "bob/X", "carol/Y"] {
        fill(&world, folder, 2);
    }
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    client.ok("NOTIFY SET (subscribed (MessageNew MessageExpunge MailboxName))").await;
    // What alice may not read is not told.
    fill(&world, "carol/Y", 1);
    fill(&world, "alice/B", 1);
    assert_eq!(plain(&client.line().await.unwrap()), "* STATUS \"B\" (MESSAGES 3 UIDNEXT 4)");
    fill(&world, "bob/X", 1);
    assert_eq!(
        plain(&client.line().await.unwrap()),
        "* STATUS \"Other Archives/bob/X\" (MESSAGES 3 UIDNEXT 4)"
    );
    delete(&world, "alice/A", 1, 1);
    assert_eq!(plain(&client.line().await.unwrap()), "* STATUS \"A\" (MESSAGES 1 UIDNEXT 3)");
    fill(&world, "alice/C", 1);
    assert_eq!(client.line().await.unwrap(), "* LIST () \"/\" \"C\"");
    assert_eq!(plain(&client.line().await.unwrap()), "* STATUS \"C\" (MESSAGES 1 UIDNEXT 2)");
    let (cancel, quiet) = (Cancel::default(), &mut |_, _| ());
    world.storage.move_folder(&path("alice/C"), &path("alice/D"), &cancel, quiet).unwrap();
    assert_eq!(client.line().await.unwrap(), "* LIST () \"/\" \"D\" (\"OLDNAME\" (\"C\"))");
    let mut told = Vec::new();
    world.storage.delete_folder(&path("alice/D"), true, &cancel, &mut |_, _| ()).unwrap();
    while told.last().is_none_or(|line: &String| !line.contains("NonExistent")) {
        told.push(plain(&client.line().await.unwrap()));
    }
    assert_eq!(told.last().unwrap(), "* LIST (\\NonExistent) \"/\" \"D\"");
    // Commands go on as usual.
    assert_eq!(client.run("NOOP").await, ["OK NOOP done"]);
    client.ok("NOTIFY NONE").await;
    fill(&world, "alice/B", 1);
    assert_eq!(client.run("NOOP").await, ["OK NOOP done"]);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_selected_mailbox_with_what_is_fetched() {
    let world = World::new();
    fill(&world, "alice/A", 3);
    fill(&world, "alice/B", 1);
    let server = world.serve(open()).await;
    let (mut now, mut delayed) = (server.alice().await, server.alice().await);
    for client in [&mut now, &mut delayed] {
        client.ok("SELECT A").await;
    }
    let items = "(MessageNew (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)]) MessageExpunge)";
    now.ok(&format!("NOTIFY SET (selected {items}) (mailboxes B (MessageNew MessageExpunge))")).await;
    delayed.ok(&format!("NOTIFY SET (selected-delayed {items})")).await;
    fill(&world, "alice/A", 1);
    for client in [&mut now, &mut delayed] {
        let mut lines = Vec::new();
        for _ in 0..6 {
            lines.push(client.line().await.unwrap());
        }
        assert_eq!(
            lines,
            [
                "* 4 EXISTS",
                "* 0 RECENT",
                "* 4 FETCH (UID 4 BODY[HEADER.FIELDS (SUBJECT)] {25}",
                "Subject: 0 of alice/A",
                "",
                ")"
            ]
        );
    }
    delete(&world, "alice/A", 2, 2);
    assert_eq!(now.line().await.unwrap(), "* 2 EXPUNGE");
    fill(&world, "alice/B", 1);
    assert_eq!(plain(&now.line().await.unwrap()), "* STATUS \"B\" (MESSAGES 2 UIDNEXT 3)");
    assert_eq!(delayed.run("FETCH 1 UID").await, ["* 1 FETCH (UID 1)", "OK FETCH done"]);
    assert_eq!(delayed.run("NOOP").await, ["* 2 EXPUNGE", "OK NOOP done"]);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_watched_mailboxes_is_bounded() {
    let world = World::new();
    for folder in ["alice/Inbox", "alice/A", "alice/B"] {
        fill(&world, folder, 1);
    }
    let server = world.serve(Settings { max_notify_mailboxes: 3, ..open() }).await;
    let mut client = server.alice().await;
    let set = "NOTIFY SET (personal (MessageNew MessageExpunge MailboxName))";
    assert_eq!(client.run(set).await, ["OK NOTIFY done"]);
    fill(&world, "alice/C", 1);
    assert_eq!(
        client.line().await.unwrap(),
        "* OK [NOTIFICATIONOVERFLOW] These are more mailboxes than are watched"
    );
    assert_eq!(
        client.run(set).await,
        ["NO [NOTIFICATIONOVERFLOW] These are more mailboxes than are watched"]
    );
    fill(&world, "alice/A", 1);
    assert_eq!(client.run("NOOP").await, ["OK NOOP done"]);
    server.stopped().await;
}
