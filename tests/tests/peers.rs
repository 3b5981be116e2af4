//! Archiving from other people's servers with the real program: Cyrus, Courier, Dovecot's POP3; shared folders; many users.

use anyhow::{Context, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::SocketAddr;
use tests::imap::{Imap, quoted};
use tests::mailserver::MASTER;
use tests::peers::{Courier, Cyrus, Layout};
use tests::profile::{create, folders, hash, hashes, last, message as letter, run, sums};
use tests::{Archive, MailServer, Result};

/// A mailbox at a server: as the wire has it, and the folder below the source's top folder in the archive.
type Place = (&'static str, &'static str);

/// Messages in each mailbox at first.
const EACH: u32 = 4;

/// Puts a message into a mailbox at the server.
fn append(at: &mut Imap, mailbox: &str, message: &str) -> Result {
    let command = format!("APPEND {} (\\Seen) {{{}}}\r\n{message}", quoted(mailbox), message.len());
    at.ok(&command).with_context(|| format!("APPEND to {mailbox}"))?;
    Ok(())
}

/// What each folder must have in the end.
type Wanted = BTreeMap<String, BTreeSet<String>>;

fn compare(archive: &Archive, wanted: &Wanted) -> Result {
    let there: BTreeSet<String> = folders(archive)?.into_iter().map(|(folder, _)| folder).collect();
    let named: BTreeSet<String> =
        wanted.iter().filter(|(_, hashes)| !hashes.is_empty()).map(|(folder, _)| folder.clone()).collect();
    ensure!(there == named, "folders {there:?}, not {named:?}");
    for folder in named {
        ensure!(hashes(archive, &folder)? == wanted[&folder], "{folder}");
    }
    Ok(())
}

/// A mailbox of odd names is archived, twice, and again after a move, a deletion, a flag, a new message; and after one of its folders
/// was made anew. The first place is INBOX; four more are changed.
fn keeps_in_step(server: SocketAddr, user: &str, places: &[Place]) -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let mut at = Imap::login(server, user)?;
    let mut wanted = Wanted::new();
    let mut number = 0;
    for (mailbox, folder) in places {
        if *mailbox != "INBOX" {
            at.ok(&format!("CREATE {}", quoted(mailbox)))?;
        }
        for _ in 0..EACH {
            number += 1;
            append(&mut at, mailbox, &letter(number, ""))?;
            wanted.entry(format!("alice/Old/{folder}")).or_default().insert(hash(&letter(number, "")));
        }
    }
    let all = u64::from(number);
    let flags = ["--kind", "imap", "--user", user, "--password-stdin", "--into", "alice/Old"];
    create(&archive, server, "old", &Archive::password(user), &flags)?.ok()?;
    ensure!(run(&archive, "old")? == [all, all, 0, 0, 0, 0, 0], "{}", last(&archive)?);
    compare(&archive, &wanted)?;
    ensure!(run(&archive, "old")? == [all, 0, all, 0, 0, 0, 0], "{}", last(&archive)?);

    let [(inbox, new), (from, left), (to, came), (less, _), (anew, _), ..] = places else {
        anyhow::bail!("five places, not {}", places.len())
    };
    at.ok(&format!("SELECT {}", quoted(from)))?;
    at.ok(&format!("UID COPY 1:2 {}", quoted(to)))?;
    at.ok("UID STORE 1:2 +FLAGS (\\Deleted)")?;
    at.ok("UID STORE 3 +FLAGS (\\Flagged)")?;
    at.ok("EXPUNGE")?;
    at.ok(&format!("SELECT {}", quoted(less)))?;
    at.ok("UID STORE 1 +FLAGS (\\Deleted)")?;
    at.ok("EXPUNGE")?;
    append(&mut at, inbox, &letter(900, ""))?;
    wanted.entry(format!("alice/Old/{new}")).or_default().insert(hash(&letter(900, "")));
    for number in [EACH + 1, EACH + 2] {
        let moved = hash(&letter(number, ""));
        ensure!(wanted.entry(format!("alice/Old/{left}")).or_default().remove(&moved), "it was there");
        wanted.entry(format!("alice/Old/{came}")).or_default().insert(moved);
    }
    ensure!(run(&archive, "old")? == [all, 1, all - 3, 2, 0, 0, 0], "{}", last(&archive)?);
    compare(&archive, &wanted)?;
    ensure!(run(&archive, "old")?[1] == 0, "{}", last(&archive)?);

    // The same messages in a folder that was made anew: other UIDs, and other UIDVALIDITY.
    at.ok("UNSELECT").or_else(|_| at.ok("CLOSE"))?;
    at.ok(&format!("DELETE {}", quoted(anew)))?;
    at.ok(&format!("CREATE {}", quoted(anew)))?;
    for number in (1..=EACH).rev() {
        append(&mut at, anew, &letter(4 * EACH + number, ""))?;
    }
    ensure!(run(&archive, "old")? == [all, 0, all, 0, 0, 0, 0], "{}", last(&archive)?);
    compare(&archive, &wanted)
}

#[test]
fn cyrus_as_it_is_today() -> Result {
    let what = "archiving from Cyrus";
    let Some(cyrus) = Cyrus::with_users(what, Layout::Alternative, &["ann"])? else { return Ok(()) };
    keeps_in_step(
        cyrus.imap,
        "ann",
        &[
            ("INBOX", "INBOX"),
            ("Entw&APw-rfe 2019", "Entwürfe 2019"),
            ("R&-D", "R&D"),
            ("a/b/dotted.name", "a/b/dotted.name"),
            ("&ZeVnLIqe-", "日本語"),
            ("(paren)", "(paren)"),
            ("NIL", "NIL"),
            ("[x]", "[x]"),
            ("star*", "star*"),
        ],
    )
}

#[test]
fn cyrus_as_it_was() -> Result {
    let what = "archiving from Cyrus with INBOX. before all folders";
    let Some(cyrus) = Cyrus::with_users(what, Layout::Netnews, &["ann"])? else { return Ok(()) };
    keeps_in_step(
        cyrus.imap,
        "ann",
        &[
            ("INBOX", "INBOX"),
            ("INBOX.R&-D", "INBOX/R&D"),
            ("INBOX.a", "INBOX/a"),
            ("INBOX.a.b", "INBOX/a/b"),
            ("INBOX.&ZeVnLIqe-", "INBOX/日本語"),
        ],
    )
}

#[test]
fn courier() -> Result {
    let Some(courier) = Courier::with_users("archiving from Courier", &["ann"])? else { return Ok(()) };
    keeps_in_step(
        courier.imap,
        "ann",
        &[
            ("INBOX", "INBOX"),
            ("INBOX.R&-D", "INBOX/R&D"),
            ("INBOX.quo\"te", "INBOX/quo\"te"),
            ("INBOX.M&APw-ll", "INBOX/Müll"),
            ("INBOX.a.b", "INBOX/a/b"),
            ("INBOX.a", "INBOX/a"),
            ("INBOX.back\\slash", "INBOX/back\\slash"),
            ("INBOX.{5}", "INBOX/{5}"),
            ("INBOX.per%cent", "INBOX/per%25cent"),
            ("INBOX.star*", "INBOX/star*"),
        ],
    )
}

#[test]
fn cyrus_by_a_privileged_user() -> Result {
    let users = ["ann", "bob", "carl"];
    let what = "archiving by Cyrus' proxy users";
    let Some(cyrus) = Cyrus::with_users(what, Layout::Alternative, &users)? else { return Ok(()) };
    let archive = Archive::with_users(&users)?;
    for (number, user) in (1..).zip(users) {
        archive.run(["user", "address", user, "--add", &format!("{user}@example.org")])?.ok()?;
        append(&mut Imap::login(cyrus.imap, user)?, "INBOX", &letter(number, ""))?;
    }
    let flags =
        ["--kind", "imap-many", "--user", Cyrus::PROXY, "--password-stdin", "--login-as", "local-part"];
    create(&archive, cyrus.imap, "all", &Archive::password(Cyrus::PROXY), &flags)?.ok()?;
    ensure!(run(&archive, "all")? == [3, 3, 0, 0, 0, 0, 0], "{}", last(&archive)?);
    for (number, user) in (1..).zip(users) {
        ensure!(hashes(&archive, user)? == [hash(&letter(number, ""))].into(), "{user}");
    }
    ensure!(run(&archive, "all")? == [3, 0, 3, 0, 0, 0, 0], "{}", last(&archive)?);
    // Who may not log in for others is told so.
    let flags = [
        "--kind",
        "imap-many",
        "--user",
        "ann",
        "--password-stdin",
        "--login-as",
        "local-part",
        "--only",
        "bob",
    ];
    create(&archive, cyrus.imap, "ann", &Archive::password("ann"), &flags)?.ok()?;
    let refused = archive.run(["profile", "test", "ann"])?;
    ensure!(refused.code() == 1 && refused.text().contains("was refused"), "{}", refused.text());
    Ok(())
}

/// Folders that are shared at a server go with `imap-shared`, and not with the mailbox of whoever sees them.
fn apart(archive: &Archive, server: SocketAddr, own: u64, shared: &Wanted) -> Result {
    let mine = ["--kind", "imap", "--user", "ann", "--password-stdin", "--into", "alice"];
    create(archive, server, "ann", &Archive::password("ann"), &mine)?.ok()?;
    ensure!(run(archive, "ann")? == [own, own, 0, 0, 0, 0, 0], "{}", last(archive)?);
    let theirs = ["--kind", "imap-shared", "--user", "ann", "--password-stdin", "--into", "office/Shared"];
    create(archive, server, "shared", &Archive::password("ann"), &theirs)?.ok()?;
    let all: u64 = shared.values().map(|hashes| hashes.len() as u64).sum();
    ensure!(run(archive, "shared")? == [all, all, 0, 0, 0, 0, 0], "{}", last(archive)?);
    let there = folders(archive)?.into_iter().map(|(folder, _)| folder);
    let there: BTreeSet<String> = there.filter(|folder| folder.starts_with("office/")).collect();
    ensure!(there == shared.keys().cloned().collect(), "{there:?}");
    for (folder, wanted) in shared {
        ensure!(hashes(archive, folder)? == *wanted, "{folder}");
    }
    ensure!(run(archive, "shared")? == [all, 0, all, 0, 0, 0, 0], "{}", last(archive)?);
    ensure!(run(archive, "ann")? == [own, 0, own, 0, 0, 0, 0], "{}", last(archive)?);
    // One of them by name.
    let first = shared.keys().next().context("a shared folder")?;
    let name = first.strip_prefix("office/Shared/").context("below the profile's folder")?;
    archive.run(["profile", "edit", "shared", "--include", name])?.ok()?;
    ensure!(run(archive, "shared")?[0] == shared[first].len() as u64, "{}", last(archive)?);
    Ok(())
}

#[test]
fn shared_folders_of_cyrus() -> Result {
    for layout in [Layout::Alternative, Layout::Netnews] {
        let what = "archiving Cyrus' shared folders";
        let Some(cyrus) = Cyrus::with_users(what, layout, &["ann", "bob"])? else { return Ok(()) };
        let archive = Archive::with_users(&["alice", "office"])?;
        let modern = layout == Layout::Alternative;
        append(&mut Imap::login(cyrus.imap, "ann")?, "INBOX", &letter(1, ""))?;
        let mut bob = Imap::login(cyrus.imap, "bob")?;
        let his = if modern { "Plans" } else { "INBOX.Plans" };
        bob.ok(&format!("CREATE {his}"))?;
        bob.ok(&format!("SETACL {his} ann lrs"))?;
        append(&mut bob, his, &letter(2, ""))?;
        append(&mut bob, "INBOX", &letter(3, ""))?;
        let mut admin = Imap::login(cyrus.imap, Cyrus::ADMIN)?;
        admin.ok("CREATE news")?;
        admin.ok("SETACL news anyone lrsip")?;
        append(&mut admin, "news", &letter(4, ""))?;
        let (others, ours) = if modern {
            ("office/Shared/Other Users/bob/Plans", "office/Shared/Shared Folders/news")
        } else {
            ("office/Shared/user/bob/Plans", "office/Shared/news")
        };
        let one = |number| BTreeSet::from([hash(&letter(number, ""))]);
        apart(&archive, cyrus.imap, 1, &Wanted::from([(others.into(), one(2)), (ours.into(), one(4))]))?;
    }
    Ok(())
}

#[test]
fn shared_folders_of_dovecot() -> Result {
    let Some(mut server) = MailServer::with_users("archiving Dovecot's shared folders", &["ann", "bob"])?
    else {
        return Ok(());
    };
    let archive = Archive::with_users(&["alice", "office"])?;
    server.deliver("ann", "INBOX", &letter(1, ""))?;
    server.deliver("bob", "INBOX", &letter(2, ""))?;
    server.deliver("bob", "Plans", &letter(3, ""))?;
    server.publish("Price list", &letter(4, ""))?;
    server.publish("Price list/Old", &letter(5, ""))?;
    Imap::login(server.imap, "bob")?.ok("SETACL Plans ann lr")?;
    let one = |number| BTreeSet::from([hash(&letter(number, ""))]);
    let shared = Wanted::from([
        ("office/Shared/Other Users/bob/Plans".into(), one(3)),
        ("office/Shared/Public/Price list".into(), one(4)),
        ("office/Shared/Public/Price list/Old".into(), one(5)),
    ]);
    apart(&archive, server.imap, 1, &shared)
}

#[test]
fn dovecots_pop3() -> Result {
    let what = "archiving from Dovecot by POP3";
    let Some(mut server) = MailServer::with_users(what, &["ann"])? else { return Ok(()) };
    let Some(pop3) = server.need_pop3(what)? else { return Ok(()) };
    let archive = Archive::with_users(&["alice"])?;
    let odd = "Subject: letter of dots\r\n\r\n.\r\n..\r\n.a\r\nx.\r\n\r\n.\r\n".to_owned();
    let long = format!("Subject: letter of one line\r\n\r\n{}\r\n", "x".repeat(70_000));
    let mut files = Vec::new();
    let mut wanted = BTreeSet::new();
    for message in (1..=8).map(|number| letter(number, "")).chain([odd, long]) {
        files.push(server.deliver("ann", "INBOX", &message)?);
        wanted.insert(hash(&message));
    }
    server.deliver("ann", "Other", &letter(90, ""))?;
    let flags = ["--kind", "pop3", "--user", "ann", "--password-stdin", "--into", "alice/Old"];
    create(&archive, pop3, "ann", &Archive::password("ann"), &flags)?.ok()?;
    let tested = archive.run(["profile", "test", "ann", "--json"])?.ok()?.json()?;
    ensure!(tested.len() == 1 && tested[0]["messages"] == 10, "{tested:?}");
    ensure!(run(&archive, "ann")? == [10, 10, 0, 0, 0, 0, 0], "{}", last(&archive)?);
    ensure!(hashes(&archive, "alice/Old/Inbox")? == wanted, "hashes");
    ensure!(run(&archive, "ann")? == [10, 0, 10, 0, 0, 0, 0], "{}", last(&archive)?);
    // Two go, one is new, and one comes again under another name.
    for file in &files[..2] {
        fs::remove_file(file)?;
    }
    server.deliver("ann", "INBOX", &letter(20, ""))?;
    server.deliver("ann", "INBOX", &letter(1, ""))?;
    wanted.insert(hash(&letter(20, "")));
    ensure!(run(&archive, "ann")? == [10, 1, 9, 0, 0, 0, 0], "{}", last(&archive)?);
    ensure!(hashes(&archive, "alice/Old/Inbox")? == wanted, "nothing is removed");
    archive.run(["profile", "edit", "ann", "--delete-after", "0"])?.ok()?;
    ensure!(run(&archive, "ann")? == [10, 0, 10, 0, 0, 0, 10], "{}", last(&archive)?);
    ensure!(run(&archive, "ann")? == [0; 7], "{}", last(&archive)?);
    ensure!(hashes(&archive, "alice/Old/Inbox")? == wanted, "the archive keeps them");
    Ok(())
}

/// Users of the test below; all of them with `--long`.
fn how_many() -> usize {
    if tests::tools::long() { 200 } else { 40 }
}

#[test]
fn hundreds_of_mailboxes_by_a_master_user() -> Result {
    let names: Vec<String> = (0..how_many()).map(|number| format!("user{number}@example.org")).collect();
    let users: Vec<&str> = names.iter().map(String::as_str).collect();
    let Some(mut server) = MailServer::with_users("hundreds of mailboxes", &users)? else { return Ok(()) };
    let archive = Archive::new()?;
    let all = users.len() as u64;
    for (number, user) in (0..).zip(&users) {
        server.deliver(user, "INBOX", &letter(number, ""))?;
        server.deliver(user, "Sent", &letter(10_000 + number, ""))?;
    }
    // The users come about by a file with their own passwords; then one user opens all their mailboxes.
    let file = archive.scratch().join("mailboxes.csv");
    let rows = users.iter().map(|user| format!("{user},{},{user}\n", Archive::password(user)));
    fs::write(&file, format!("user,password,address\n{}", rows.collect::<String>()))?;
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let path = file.to_string_lossy();
    create(&archive, server.imap, "csv", "", &["--kind", "imap-csv", "--path", &path, "--include", "INBOX"])?
        .ok()?;
    ensure!(run(&archive, "csv")? == [all, all, 0, 0, 0, 0, 0], "{}", last(&archive)?);
    let many = ["--kind", "imap-many", "--user", MASTER.0, "--password-stdin", "--parallel", "4"];
    create(&archive, server.imap, "all", MASTER.1, &many)?.ok()?;
    ensure!(run(&archive, "all")? == [2 * all, all, all, 0, 0, 0, 0], "{}", last(&archive)?);
    let form: Vec<&str> = many.iter().copied().chain(["--privileged", "master-user"]).collect();
    create(&archive, server.imap, "form", MASTER.1, &form)?.ok()?;
    ensure!(run(&archive, "form")? == [2 * all, 0, 2 * all, 0, 0, 0, 0], "{}", last(&archive)?);
    let there: BTreeMap<String, u64> = folders(&archive)?.into_iter().collect();
    ensure!(there.len() == 2 * users.len() && there.values().all(|messages| *messages == 1), "{there:?}");
    for (number, user) in (0..).zip(&users).step_by(7) {
        let own =
            [letter(number, ""), letter(10_000 + number, "")].iter().map(|letter| hash(letter)).collect();
        ensure!(hashes(&archive, user)? == own, "{user} has their own mail");
    }
    // A mailbox that can't be opened is a failure of its own, and hurts no other.
    let text = fs::read_to_string(&file)?;
    fs::write(&file, text.replacen(&Archive::password(users[0]), "hunter2", 1))?;
    let ran = archive.run(["profile", "run", "csv"])?;
    ensure!(ran.code() == 1 && !ran.text().contains("hunter2"), "{}", ran.text());
    ensure!(sums(&last(&archive)?)? == [all, 0, all - 1, 0, 0, 1, 0], "{}", last(&archive)?);
    Ok(())
}
