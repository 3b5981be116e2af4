//! NOTIFY: what happens anywhere is told to a client that asks for nothing.

use crate::common::{World, open, path};
use imapd::Settings;
use storage::Cancel;

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
        world.fill(folder, 2);
    }
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    client.ok("NOTIFY SET (subscribed (MessageNew MessageExpunge MailboxName))").await;
    // What alice may not read is not told.
    world.fill("carol/Y", 1);
    world.fill("alice/B", 1);
    assert_eq!(plain(&client.line().await.unwrap()), "* STATUS \"B\" (MESSAGES 3 UIDNEXT 4)");
    world.fill("bob/X", 1);
    assert_eq!(
        plain(&client.line().await.unwrap()),
        "* STATUS \"Other Archives/bob/X\" (MESSAGES 3 UIDNEXT 4)"
    );
    world.delete("alice/A", 1, 1);
    assert_eq!(plain(&client.line().await.unwrap()), "* STATUS \"A\" (MESSAGES 1 UIDNEXT 3)");
    world.fill("alice/C", 1);
    assert_eq!(client.line().await.unwrap(), "* LIST (\\Subscribed \\HasNoChildren) \"/\" \"C\"");
    assert_eq!(plain(&client.line().await.unwrap()), "* STATUS \"C\" (MESSAGES 1 UIDNEXT 2)");
    let (cancel, quiet) = (Cancel::default(), &mut |_, _| ());
    world.storage.move_folder(&path("alice/C"), &path("alice/D"), &cancel, quiet).unwrap();
    assert_eq!(
        client.line().await.unwrap(),
        "* LIST (\\Subscribed \\HasNoChildren) \"/\" \"D\" (\"OLDNAME\" (\"C\"))"
    );
    let mut told = Vec::new();
    world.storage.delete_folder(&path("alice/D"), true, &cancel, &mut |_, _| ()).unwrap();
    while told.last().is_none_or(|line: &String| !line.contains("NonExistent")) {
        told.push(plain(&client.line().await.unwrap()));
    }
    assert_eq!(told.last().unwrap(), "* LIST (\\NonExistent) \"/\" \"D\"");
    // Commands go on as usual.
    assert_eq!(client.run("NOOP").await, ["OK NOOP done"]);
    client.ok("NOTIFY NONE").await;
    world.fill("alice/B", 1);
    assert_eq!(client.run("NOOP").await, ["OK NOOP done"]);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_selected_mailbox_with_what_is_fetched() {
    let world = World::new();
    world.fill("alice/A", 3);
    world.fill("alice/B", 1);
    let server = world.serve(open()).await;
    let (mut now, mut delayed) = (server.alice().await, server.alice().await);
    for client in [&mut now, &mut delayed] {
        client.ok("SELECT A").await;
    }
    let items = "(MessageNew (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)]) MessageExpunge)";
    now.ok(&format!("NOTIFY SET (selected {items}) (mailboxes B (MessageNew MessageExpunge))")).await;
    delayed.ok(&format!("NOTIFY SET (selected-delayed {items})")).await;
    world.fill("alice/A", 1);
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
    world.delete("alice/A", 2, 2);
    assert_eq!(now.line().await.unwrap(), "* 2 EXPUNGE");
    world.fill("alice/B", 1);
    assert_eq!(plain(&now.line().await.unwrap()), "* STATUS \"B\" (MESSAGES 2 UIDNEXT 3)");
    assert_eq!(delayed.run("FETCH 1 UID").await, ["* 1 FETCH (UID 1)", "OK FETCH done"]);
    assert_eq!(delayed.run("NOOP").await, ["* 2 EXPUNGE", "OK NOOP done"]);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_watched_mailboxes_is_bounded() {
    let world = World::new();
    for folder in ["alice/Inbox", "alice/A", "alice/B"] {
        world.fill(folder, 1);
    }
    let server = world.serve(Settings { max_notify_mailboxes: 3, ..open() }).await;
    let mut client = server.alice().await;
    let set = "NOTIFY SET (personal (MessageNew MessageExpunge MailboxName))";
    assert_eq!(client.run(set).await, ["OK NOTIFY done"]);
    world.fill("alice/C", 1);
    assert_eq!(
        client.line().await.unwrap(),
        "* OK [NOTIFICATIONOVERFLOW] These are more mailboxes than are watched"
    );
    assert_eq!(
        client.run(set).await,
        ["NO [NOTIFICATIONOVERFLOW] These are more mailboxes than are watched"]
    );
    world.fill("alice/A", 1);
    assert_eq!(client.run("NOOP").await, ["OK NOOP done"]);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_change_with_their_parents_and_without_what_is_below() {
    let world = World::new();
    for folder in ["alice/A", "alice/P/Q", "alice/P/Q/R"] {
        world.fill(folder, 1);
    }
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    client.ok("NOTIFY SET (personal (MailboxName))").await;
    // The parent of what came is told too, whether it is a mailbox or not (RFC 5465 section 5.4).
    world.add("alice/A/B", &[]);
    assert_eq!(client.line().await.unwrap(), "* LIST (\\Subscribed \\HasNoChildren) \"/\" \"A/B\"");
    assert_eq!(client.line().await.unwrap(), "* LIST (\\Subscribed \\HasChildren) \"/\" \"A\"");
    world.add("alice/P/S", &[]);
    assert_eq!(client.line().await.unwrap(), "* LIST (\\Subscribed \\HasNoChildren) \"/\" \"P/S\"");
    assert_eq!(
        client.line().await.unwrap(),
        "* LIST (\\Subscribed \\NonExistent \\Noselect \\HasChildren) \"/\" \"P\""
    );
    // What is below a mailbox that was renamed is not.
    let (cancel, quiet) = (Cancel::default(), &mut |_, _| ());
    world.storage.move_folder(&path("alice/P/Q"), &path("alice/Q"), &cancel, quiet).unwrap();
    assert_eq!(
        client.line().await.unwrap(),
        "* LIST (\\Subscribed \\HasChildren) \"/\" \"Q\" (\"OLDNAME\" (\"P/Q\"))"
    );
    world.storage.delete_folder(&path("alice/P/S"), true, &cancel, quiet).unwrap();
    assert_eq!(client.line().await.unwrap(), "* LIST (\\NonExistent) \"/\" \"P/S\"");
    assert_eq!(client.line().await.unwrap(), "* LIST (\\NonExistent) \"/\" \"P\"");
    assert_eq!(client.run("NOOP").await, ["OK NOOP done"]);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_add_up_and_comments_are_told() {
    let world = World::new();
    world.fill("alice/A", 1);
    world.fill("alice/B", 1);
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    client
        .ok("NOTIFY SET (mailboxes A (MessageNew MessageExpunge)) (personal (MailboxMetadataChange ServerMetadataChange))")
        .await;
    world.fill("alice/B", 1);
    world.fill("alice/A", 1);
    assert_eq!(plain(&client.line().await.unwrap()), "* STATUS \"A\" (MESSAGES 2 UIDNEXT 3)");
    for (folder, told) in [("alice/A", "\"A\""), ("alice/B", "\"B\"")] {
        for words in ["Bills", ""] {
            world.storage.comment(&path(folder), words, &Cancel::default()).unwrap();
            assert_eq!(client.line().await.unwrap(), format!("* METADATA {told} /shared/comment"));
        }
    }
    assert_eq!(client.run("NOOP").await, ["OK NOOP done"]);
    // RFC 5465 section 3.1: who asks for changes of flags is told mod-sequences, CONDSTORE or not.
    let status = client.ok("NOTIFY SET STATUS (mailboxes A (MessageNew MessageExpunge FlagChange)) (mailboxes B (MessageNew MessageExpunge))").await;
    assert_eq!(status.iter().map(|line| line.contains("HIGHESTMODSEQ")).collect::<Vec<_>>(), [true, false]);
    server.stopped().await;
}

/// RFC 5465 sections 3.1, 4 and 5: who doesn't ask for what happens in the selected mailbox has a snapshot of it, in IDLE too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_selected_mailbox_that_is_not_watched_stays_as_it_is() {
    let world = World::new();
    world.fill("alice/A", 2);
    world.fill("alice/B", 1);
    let server = world.serve(open()).await;
    let mut client = server.alice().await;
    client.ok("SELECT A").await;
    world.fill("alice/A", 1);
    // What has gathered is told once.
    assert_eq!(
        client.run("NOTIFY SET (mailboxes B (MessageNew MessageExpunge)) (selected NONE)").await,
        ["* 3 EXISTS", "* 0 RECENT", "OK NOTIFY done"]
    );
    client.send("i IDLE\r\n").await;
    assert_eq!(client.line().await.unwrap(), "+ idling");
    world.delete("alice/A", 1, 1);
    world.fill("alice/A", 1);
    world.fill("alice/B", 1);
    assert_eq!(plain(&client.line().await.unwrap()), "* STATUS \"B\" (MESSAGES 2 UIDNEXT 3)");
    client.send("DONE\r\n").await;
    assert_eq!(client.line().await.unwrap(), "i OK IDLE done");
    assert_eq!(client.run("NOOP").await, ["OK NOOP done"]);
    assert_eq!(client.run("NOTIFY NONE").await, ["OK NOTIFY done"]);
    assert_eq!(client.run("FETCH 2 UID").await, ["* 2 FETCH (UID 2)", "OK FETCH done"]);
    assert_eq!(
        client.run("NOTIFY SET (selected (MessageNew MessageExpunge))").await,
        ["* 1 EXPUNGE", "* 3 EXISTS", "* 0 RECENT", "OK NOTIFY done"]
    );
    server.stopped().await;
}
