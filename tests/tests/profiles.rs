//! Profiles with the real program: against a Dovecot with master user, from mail programs' directories, by themselves.

use anyhow::{Context, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};
use tests::mailserver::MASTER;
use tests::profile::{folders, hash, hashes, last, message, run, sums};
use tests::program::PATIENCE;
use tests::relay::take_mail;
use tests::{Archive, MailServer, Output, Result};

const ANN: &str = "ann@example.org";
const BOB: &str = "bob@example.org";

/// Runs `profile create` with the server's address and a password on standard input.
fn create(
    archive: &Archive,
    server: &MailServer,
    name: &str,
    password: &str,
    more: &[&str],
) -> Result<Output> {
    tests::profile::create(archive, server.imap, name, password, more)
}

#[test]
fn an_imap_mailbox_again_and_again() -> Result {
    let Some(mut server) = MailServer::with_users("archiving an IMAP mailbox", &[ANN])? else {
        return Ok(());
    };
    let archive = Archive::with_users(&["alice"])?;
    let mut wanted = BTreeSet::new();
    for n in 0..20 {
        let folder = ["INBOX", "Work/Old", "Work"][n as usize % 3];
        server.deliver(ANN, folder, &message(n, ""))?;
        wanted.insert(hash(&message(n, "")));
    }
    server.deliver(ANN, "Trash", &message(90, ""))?;
    let flags = ["--kind", "imap", "--user", ANN, "--password-stdin", "--into", "alice"];
    create(&archive, &server, "ann", &Archive::password(ANN), &flags)?.ok()?;
    let tested = archive.run(["profile", "test", "ann", "--json"])?.ok()?.json()?;
    let of = |folder: &str| tested.iter().find(|row| row["folder"] == folder).cloned().unwrap_or_default();
    ensure!(of("INBOX")["wanted"] == true && of("Trash")["wanted"] == false, "{tested:?}");
    ensure!(folders(&archive)?.is_empty(), "a test archives nothing");
    ensure!(run(&archive, "ann")? == [20, 20, 0, 0, 0, 0, 0], "{}", last(&archive)?);
    ensure!(hashes(&archive, "alice")? == wanted, "hashes");
    let top = format!("alice/{ANN}");
    let names: Vec<_> = folders(&archive)?.into_iter().map(|(name, _)| name).collect();
    ensure!(names.iter().all(|name| name.starts_with(&top)) && names.len() == 3, "{names:?}");
    let again = run(&archive, "ann")?;
    ensure!(again[1] == 0 && again[5] == 0, "{again:?}");
    server.deliver(ANN, "Work", &message(50, ""))?;
    ensure!(run(&archive, "ann")?[1] == 1, "{}", last(&archive)?);
    // The shown profile is a file for another one; its password isn't in it.
    let shown = archive.run(["profile", "show", "ann"])?.ok()?.text();
    ensure!(shown.contains("kind = \"imap\"") && !shown.contains("ann@example.org's"), "{shown}");
    let file = archive.scratch().join("ann.toml");
    fs::write(&file, shown)?;
    archive.run(["profile", "delete", "ann"])?.ok()?;
    let path = file.to_string_lossy();
    let arguments = ["profile", "create", "ann2", "--file", &path, "--password-stdin"];
    archive.run_with(arguments, format!("{}\n", Archive::password(ANN)).as_bytes())?.ok()?;
    let other = run(&archive, "ann2")?;
    ensure!(other[1] == 0, "the same source: {other:?}");
    Ok(())
}

#[test]
fn a_wrong_password_is_told_and_fails() -> Result {
    let Some(server) = MailServer::with_users("a wrong password", &[ANN])? else { return Ok(()) };
    let archive = Archive::with_users(&["alice"])?;
    let flags = ["--kind", "imap", "--user", ANN, "--password-stdin", "--into", "alice"];
    create(&archive, &server, "ann", "hunter2", &flags)?.ok()?;
    let tested = archive.run(["profile", "test", "ann", "--json"])?;
    ensure!(tested.code() == 1 && !tested.text().contains("hunter2"), "{}", tested.text());
    let ran = archive.run(["profile", "run", "ann"])?;
    ensure!(ran.code() == 1 && !(ran.text() + &ran.stderr).contains("hunter2"), "{}", ran.text());
    ensure!(last(&archive)?["state"] != "succeeded");
    let open = archive.run(["runs", "failed", "--json"])?.ok()?.json()?;
    ensure!(open.len() == 1, "{open:?}");
    let password = format!("{}\n", Archive::password(ANN));
    archive.run_with(["profile", "edit", "ann", "--password-stdin"], password.as_bytes())?.ok()?;
    archive.run(["runs", "retry", "last"])?.ok()?;
    let mut server = server;
    server.deliver(ANN, "INBOX", &message(1, ""))?;
    ensure!(run(&archive, "ann")?[1] == 1);
    ensure!(archive.run(["runs", "failed", "--json"])?.ok()?.json()?.is_empty(), "solved");
    let unknown = archive.run(["profile", "run", "nobody"])?;
    ensure!(unknown.code() == 1 && unknown.stderr.contains("profile list"), "{}", unknown.stderr);
    Ok(())
}

#[test]
fn all_mailboxes_by_a_master_user() -> Result {
    let users = [ANN, BOB, "carl@example.org"];
    let Some(mut server) = MailServer::with_users("archiving by a master user", &users)? else {
        return Ok(());
    };
    let archive = Archive::with_users(&["alice", "bob", "carl", "nobody"])?;
    for (name, address) in [("alice", ANN), ("bob", BOB), ("carl", "carl@example.org")] {
        archive.run(["user", "address", name, "--add", address])?.ok()?;
        server.deliver(address, "INBOX", &message(name.len() as u32, &format!("To: {address}\r\n")))?;
    }
    let taken = archive.run(["user", "address", "bob", "--add", ANN])?;
    ensure!(taken.code() == 1 && taken.stderr.contains("alice"), "{}", taken.stderr);
    let many = ["--kind", "imap-many", "--user", MASTER.0, "--password-stdin"];
    let but_carl: Vec<&str> = many.iter().copied().chain(["--except", "carl"]).collect();
    create(&archive, &server, "all", MASTER.1, &but_carl)?.ok()?;
    ensure!(run(&archive, "all")?[1] == 2, "{}", last(&archive)?);
    let names: Vec<_> = folders(&archive)?.into_iter().map(|(name, _)| name).collect();
    ensure!(names.len() == 2 && names[0].starts_with(&format!("alice/{ANN}")), "{names:?}");
    // Dovecot's own form opens the same mailboxes: all is there but carl's.
    let master: Vec<&str> = many.iter().copied().chain(["--privileged", "master-user"]).collect();
    create(&archive, &server, "all2", MASTER.1, &master)?.ok()?;
    ensure!(run(&archive, "all2")?[1] == 1, "{}", last(&archive)?);
    Ok(())
}

#[test]
fn mailboxes_of_a_csv_file() -> Result {
    let Some(mut server) = MailServer::with_users("archiving by a CSV file", &[ANN, BOB])? else {
        return Ok(());
    };
    let archive = Archive::with_users(&["alice"])?;
    server.deliver(ANN, "INBOX", &message(1, ""))?;
    server.deliver(BOB, "INBOX", &message(2, ""))?;
    let file = archive.scratch().join("mailboxes.csv");
    let text = format!(
        "Benutzer;Kennwort;Adresse;Archiv\n{ANN};{};{ANN};alice\n{BOB};{};{BOB};robert\n",
        Archive::password(ANN),
        Archive::password(BOB)
    );
    fs::write(&file, text)?;
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600))?;
    let path = file.to_string_lossy();
    create(&archive, &server, "csv", "", &["--kind", "imap-csv", "--path", &path])?.ok()?;
    ensure!(run(&archive, "csv")?[1] == 2, "{}", last(&archive)?);
    let robert = archive.run(["user", "show", "robert", "--json"])?.ok()?.json()?.remove(0);
    ensure!(robert["addresses"][0] == BOB, "{robert}");
    let names: Vec<_> = folders(&archive)?.into_iter().map(|(name, _)| name).collect();
    ensure!(names.iter().any(|name| name.starts_with("robert/")) && names.len() == 2, "{names:?}");
    ensure!(run(&archive, "csv")?[1] == 0);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644))?;
    let open = archive.run(["profile", "run", "csv"])?;
    ensure!(open.code() == 1 && open.stderr.contains("chmod 600"), "{}", open.stderr);
    Ok(())
}

#[test]
fn a_catch_all_mailbox_for_everyone() -> Result {
    let Some(mut server) = MailServer::with_users("multidrop by IMAP", &[ANN])? else { return Ok(()) };
    let archive = Archive::with_users(&["alice", "bob", "post"])?;
    archive.run(["user", "address", "alice", "--add", ANN])?.ok()?;
    archive.run(["user", "address", "bob", "--add", BOB])?.ok()?;
    let ours = "Received: from x.example by mx.example.org; Thu, 1 Jan 2015 00:00:00 +0000\r\n";
    server.deliver(ANN, "INBOX", &message(1, &format!("X-Original-To: {ANN}\r\n{ours}")))?;
    server.deliver(
        ANN,
        "INBOX",
        &message(2, &format!("X-Original-To: {BOB}\r\nX-Original-To: {ANN}\r\n{ours}")),
    )?;
    // Forged below the own server's line, and named only by To.
    server.deliver(ANN, "INBOX", &message(3, &format!("{ours}X-Original-To: {BOB}\r\nTo: {BOB}\r\n")))?;
    let flags = [
        "--kind",
        "imap-multidrop",
        "--user",
        ANN,
        "--password-stdin",
        "--header",
        "X-Original-To",
        "--into",
        "Company",
    ];
    create(&archive, &server, "drop", &Archive::password(ANN), &flags)?.ok()?;
    let [_, _, _, _, filtered, failed, _] = run(&archive, "drop")?;
    ensure!((filtered, failed) == (1, 0), "{}", last(&archive)?);
    let wanted = [("alice/Company".to_owned(), 2), ("bob/Company".to_owned(), 1)];
    let found = folders(&archive)?;
    ensure!(found.iter().map(|(_, n)| n).sum::<u64>() == 3 && found.len() == 2, "{found:?} {wanted:?}");
    ensure!(run(&archive, "drop")?[1] == 0);
    archive.run(["profile", "edit", "drop", "--catch-all", "post"])?.ok()?;
    ensure!(run(&archive, "drop")?[1] == 1, "{}", last(&archive)?);
    Ok(())
}

#[test]
fn passwords_are_sealed_exported_on_demand_and_survive_a_new_master_key() -> Result {
    let Some(mut server) = MailServer::with_users("passwords of profiles", &[ANN])? else { return Ok(()) };
    let archive = Archive::with_users(&["alice"])?;
    server.deliver(ANN, "INBOX", &message(1, ""))?;
    let flags = ["--kind", "imap", "--user", ANN, "--password-stdin", "--into", "alice"];
    create(&archive, &server, "ann", &Archive::password(ANN), &flags)?.ok()?;
    let secret = Archive::password(ANN);
    let database = fs::read(archive.data().join("master.redb"))?;
    ensure!(!database.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()), "sealed");
    ensure!(!archive.run(["profile", "export"])?.ok()?.text().contains(&secret));
    archive.run(["key", "rotate"])?.ok()?;
    ensure!(run(&archive, "ann")?[1] == 1, "with the new key");
    let exported = archive.run(["profile", "export", "--secrets"])?.ok()?.text();
    ensure!(exported.contains(&secret), "asked for by name");
    let file = archive.scratch().join("profiles.toml");
    fs::write(&file, exported)?;
    let path = file.to_string_lossy();
    let refused = archive.run(["profile", "import", &path])?;
    ensure!(refused.code() == 1 && refused.stderr.contains("there is a profile"), "{}", refused.stderr);
    archive.run(["profile", "delete", "ann"])?.ok()?;
    archive.run(["profile", "import", &path])?.ok()?;
    ensure!(run(&archive, "ann")?[1] == 0);
    let log = archive.run(["audit", "--json"])?.ok()?.text();
    ensure!(
        log.contains("profile.create") && log.contains("with passwords") && !log.contains(&secret),
        "{log}"
    );
    Ok(())
}

/// Waits until `found` gives something.
fn until<T>(what: &str, mut found: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = found()? {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "{what} did not come about");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_continuous_profile_archives_what_comes() -> Result {
    let Some(mut server) = MailServer::with_users("a continuous profile", &[ANN])? else { return Ok(()) };
    let archive = Archive::with_users(&["alice"])?;
    server.deliver(ANN, "INBOX", &message(1, ""))?;
    let flags = ["--kind", "imap", "--user", ANN, "--password-stdin", "--into", "alice", "--continuous"];
    create(&archive, &server, "ann", &Archive::password(ANN), &flags)?.ok()?;
    let serving = archive.serve()?;
    let has = |count| {
        let archive = &archive;
        move || Ok(folders(archive)?.iter().any(|(_, messages)| *messages == count).then_some(()))
    };
    until("the first message", has(1))?;
    server.deliver(ANN, "INBOX", &message(2, ""))?;
    until("the second message", has(2))?;
    let listed = archive.run(["schedule", "list", "--json"])?.ok()?.json()?;
    ensure!(listed[0]["name"] == "profile ann" && listed[0]["when"] == "continuous", "{listed:?}");
    let log = archive.run(["audit", "--json"])?.ok()?.text();
    ensure!(log.contains("\"who\":\"schedule\""), "{log}");
    ensure!(serving.terminate()?.success());
    Ok(())
}

#[test]
fn who_is_to_know_is_told_of_a_failed_run() -> Result {
    let Some(server) = MailServer::with_users("a failed run by itself", &[ANN])? else { return Ok(()) };
    let archive = Archive::with_users(&["alice"])?;
    let flags = ["--kind", "imap", "--user", ANN, "--password-stdin", "--into", "alice", "--continuous"];
    create(&archive, &server, "ann", "hunter2", &flags)?.ok()?;
    let told = archive.scratch().join("told");
    let conf = archive.data().join("mailkeep.toml");
    let script = format!("cat > '{0}.new' && mv '{0}.new' '{0}'", told.display());
    let before = fs::read_to_string(&conf)?;
    ensure!(before.contains("\n[notify]\n"));
    let relay = TcpListener::bind("127.0.0.1:0")?;
    let notify = format!(
        "\n[notify]\ncommand = [\"sh\", \"-c\", \"{script}\"]\nmail_to = [\"ops@example.org\"]\n\
         mail_from = \"archive@example.org\"\nsmtp_relay = \"{}\"\n",
        relay.local_addr()?
    );
    fs::write(&conf, before.replace("\n[notify]\n", &notify))?;
    let mail = std::thread::spawn(move || take_mail(&relay));
    let serving = archive.serve()?;
    let words = until("the command", || Ok(fs::read_to_string(&told).ok()))?;
    until("the mail", || Ok(mail.is_finished().then_some(())))?;
    let mail = mail.join().map_err(|_| anyhow::anyhow!("the relay panicked"))??;
    for words in [&words, &mail] {
        ensure!(
            words.contains("profile ann failed")
                && words.contains("mailkeep runs failed")
                && !words.contains("hunter2"),
            "{words}"
        );
    }
    ensure!(mail.contains("To: <ops@example.org>") && mail.contains("From: <archive@example.org>"), "{mail}");
    ensure!(serving.terminate()?.success());
    Ok(())
}

#[test]
fn mail_programs_directories_and_files() -> Result {
    let archive = Archive::with_users(&["alice", "bob"])?;
    let thunderbird = archive.scratch().join("abc.default");
    fs::create_dir_all(thunderbird.join("Mail/Local Folders"))?;
    fs::write(
        thunderbird.join("prefs.js"),
        "user_pref(\"mail.server.server1.directory-rel\", \"[ProfD]Mail/Local Folders\");\nuser_pref(\"mail.server.server1.name\", \"Local\");\n",
    )?;
    let mbox = |n: u32, status: &str| {
        format!(
            "From - Thu Jan  1 00:00:00 2015\nX-Mozilla-Status: {status}\n{}\n",
            message(n, "").replace("\r\n", "\n")
        )
    };
    fs::write(thunderbird.join("Mail/Local Folders/Inbox"), mbox(1, "0001") + &mbox(2, "0009"))?;
    let apple = archive.scratch().join("Mail");
    fs::create_dir_all(apple.join("V10/X/INBOX.mbox/Y/Data/Messages"))?;
    let text = message(3, "");
    fs::write(
        apple.join("V10/X/INBOX.mbox/Y/Data/Messages/1.emlx"),
        format!("{}\n{text}<plist></plist>", text.len()),
    )?;
    let files = archive.scratch().join("files");
    fs::create_dir_all(&files)?;
    fs::write(files.join("1.eml"), message(4, ""))?;
    fs::write(files.join("2.eml"), message(5, "X-Spam: yes\r\n").replace("letter", "offer"))?;
    let make = |name: &str, kind: &str, path: &Path, more: &[&str]| -> Result {
        let path = path.to_string_lossy();
        let mut arguments =
            vec!["profile", "create", name, "--kind", kind, "--path", &path, "--into", "alice/In"];
        arguments.extend(more);
        archive.run(arguments)?.ok()?;
        Ok(())
    };
    make("tb", "thunderbird", &thunderbird, &[])?;
    make("apple", "applemail", &apple, &[])?;
    make("files", "files", &files, &["--not-subject", "offer"])?;
    ensure!(run(&archive, "tb")? == [2, 1, 0, 0, 1, 0, 0], "{}", last(&archive)?);
    ensure!(run(&archive, "apple")? == [1, 1, 0, 0, 0, 0, 0], "{}", last(&archive)?);
    ensure!(run(&archive, "files")? == [2, 1, 0, 0, 1, 0, 0], "{}", last(&archive)?);
    let names: Vec<_> = folders(&archive)?.into_iter().map(|(name, _)| name).collect();
    ensure!(names == ["alice/In", "alice/In/Local/Inbox", "alice/In/X/INBOX"], "{names:?}");
    ensure!(hashes(&archive, "alice")?.contains(&hash(&message(3, ""))));
    let listed = archive.run(["profile", "list", "--json"])?.ok()?.json()?;
    ensure!(listed.len() == 3 && listed.iter().all(|row| row["lastState"] == "succeeded"), "{listed:?}");
    Ok(())
}

#[test]
fn the_schedule_is_kept_and_refuses_nonsense() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    archive
        .run([
            "schedule",
            "add",
            "nightly",
            "backup",
            "--dir",
            "/mnt/backup",
            "--cron",
            "30 2 * * *",
            "--zone",
            "Europe/Berlin",
        ])?
        .ok()?;
    archive
        .run(["schedule", "add", "check", "verify", "--slices", "30", "--every", "60", "--jitter", "5"])?
        .ok()?;
    let listed = archive.run(["schedule", "list", "--json"])?.ok()?.json()?;
    ensure!(listed.len() == 2 && listed.iter().all(|row| row["next"].is_i64()), "{listed:?}");
    for bad in [
        &["schedule", "add", "x", "compact", "--cron", "nonsense"][..],
        &["schedule", "add", "x", "compact"],
        &["schedule", "add", "x", "compact", "--every", "5", "--zone", "Mars/Olympus"],
        &["schedule", "add", "x y", "compact", "--every", "5"],
        &["schedule", "remove", "x"],
        &["jobs", "cancel", "7"],
    ] {
        ensure!(archive.run(bad)?.code() != 0, "{bad:?}");
    }
    archive.run(["schedule", "remove", "check"])?.ok()?;
    ensure!(archive.run(["schedule", "list", "--json"])?.ok()?.json()?.len() == 1);
    Ok(())
}

/// The message files of a folder at the server.
fn at_server(path: &Path) -> Result<usize> {
    Ok(fs::read_dir(path.parent().context("the folder")?)?.count())
}

#[test]
fn deleting_at_the_source_is_asked_for_and_can_be_tried() -> Result {
    let Some(mut server) = MailServer::with_users("deleting at the source", &[ANN])? else { return Ok(()) };
    let archive = Archive::with_users(&["alice"])?;
    let one = server.deliver(ANN, "INBOX", &message(1, ""))?;
    server.deliver(ANN, "INBOX", &message(2, ""))?;
    let flags = ["--kind", "imap", "--user", ANN, "--password-stdin", "--into", "alice"];
    create(&archive, &server, "ann", &Archive::password(ANN), &flags)?.ok()?;
    ensure!(run(&archive, "ann")? == [2, 2, 0, 0, 0, 0, 0], "{}", last(&archive)?);
    ensure!(run(&archive, "ann")?[6] == 0 && at_server(&one)? == 2, "off, unless it is asked for");
    archive.run(["profile", "edit", "ann", "--delete-after", "0"])?.ok()?;
    archive.run(["profile", "run", "ann", "--dry-run"])?.ok()?;
    let listed = archive.run(["runs", "deleted", "last", "--json"])?.ok()?.json()?;
    ensure!(listed.len() == 2 && at_server(&one)? == 2, "{listed:?}");
    ensure!(run(&archive, "ann")?[6] == 2 && at_server(&one)? == 0, "{}", last(&archive)?);
    ensure!(hashes(&archive, "alice")?.len() == 2, "the archive keeps them");
    archive.run(["profile", "edit", "ann", "--delete-nothing"])?.ok()?;
    let three = server.deliver(ANN, "INBOX", &message(3, ""))?;
    ensure!(run(&archive, "ann")?[1] == 1 && at_server(&three)? == 1, "{}", last(&archive)?);
    Ok(())
}

#[test]
fn each_filter_at_a_server_and_nothing_left_out_or_flagged_is_deleted() -> Result {
    let Some(mut server) = MailServer::with_users("filters at a server", &[ANN])? else { return Ok(()) };
    let archive = Archive::with_users(&["alice"])?;
    let from_bad = message(2, "").replace("@example.com", "@mail.bad.example");
    let long = message(4, "") + &"a long letter\r\n".repeat(1_000);
    let mails = [
        message(1, ""),
        from_bad,
        message(3, "").replace("letter", "an offer: letter"),
        long,
        "Subject: letter\r\n\r\n".to_owned(),
        message(6, ""),
        message(7, ""),
        message(8, ""),
    ];
    let mut paths = Vec::new();
    for mail in &mails {
        paths.push(server.deliver(ANN, "INBOX", mail)?);
    }
    // As Maildir has it: the letters behind `:2,` are flags, and a file's time is that of its arrival.
    let renamed = |path: &Path, flags: &str| -> Result {
        let name = path.to_string_lossy().replace(":2,S", &format!(":2,{flags}"));
        Ok(fs::rename(path, name)?)
    };
    renamed(&paths[5], "")?;
    renamed(&paths[7], "FS")?;
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    fs::File::open(&paths[6])?.set_modified(long_ago)?;
    let flags = [
        &["--kind", "imap", "--user", ANN, "--password-stdin", "--into", "alice", "--delete-after", "0"][..],
        &["--only-read", "true", "--younger-than", "3650", "--min-bytes", "50", "--max-bytes", "5000"],
        &[
            "--not-from",
            "@bad.example",
            "--not-subject",
            "offer",
            "--from",
            "@example.com",
            "--from",
            "@bad.example",
        ],
    ];
    create(&archive, &server, "ann", &Archive::password(ANN), &flags.concat())?.ok()?;
    // The first is archived and deleted, the flagged one is archived and stays.
    ensure!(run(&archive, "ann")? == [8, 2, 0, 0, 6, 0, 1], "{}", last(&archive)?);
    let filtered = archive.run(["runs", "filtered", "last", "--json"])?.ok()?.text();
    for rule in
        ["(not-from)", "(not-subject)", "(max-bytes)", "(min-bytes)", "(only-read)", "(younger-than-days)"]
    {
        ensure!(filtered.contains(rule), "{rule}: {filtered}");
    }
    ensure!(at_server(&paths[0])? == 7);
    ensure!(run(&archive, "ann")? == [7, 0, 1, 0, 6, 0, 0], "{}", last(&archive)?);
    archive.run(["profile", "edit", "ann", "--not-subject", "", "--only-read", "false"])?.ok()?;
    ensure!(run(&archive, "ann")? == [7, 2, 1, 0, 4, 0, 2], "{}", last(&archive)?);
    ensure!(at_server(&paths[0])? == 5 && hashes(&archive, "alice")?.len() == 4);
    Ok(())
}

#[test]
fn certificates_that_are_not_checked_are_warned_of_at_every_run() -> Result {
    let Some(server) = MailServer::with_users("a warning", &[ANN])? else { return Ok(()) };
    let archive = Archive::with_users(&["alice"])?;
    let flags =
        ["--kind", "imap", "--user", ANN, "--password-stdin", "--into", "alice", "--ignore-tls-errors"];
    create(&archive, &server, "ann", &Archive::password(ANN), &flags)?.ok()?;
    for _ in 0..2 {
        let ran = archive.run(["profile", "run", "ann", "--json"])?.ok()?;
        ensure!(
            ran.stderr.contains("certificates are not checked") && ran.json()?.len() == 1,
            "{}",
            ran.stderr
        );
        let log = archive.run(["runs", "log", "last", "--json"])?.ok()?.text();
        ensure!(log.contains("certificates are not checked"), "{log}");
    }
    archive.run(["profile", "edit", "ann", "--system-trust"])?.ok()?;
    ensure!(!archive.run(["profile", "run", "ann"])?.ok()?.stderr.contains("certificates"));
    Ok(())
}

#[test]
fn a_running_server_runs_profiles_side_by_side() -> Result {
    let Some(mut server) = MailServer::with_users("profiles side by side", &[ANN, BOB])? else {
        return Ok(());
    };
    let archive = Archive::with_users(&["alice", "bob"])?;
    for n in 0..30 {
        server.deliver(ANN, "INBOX", &message(n, ""))?;
        server.deliver(BOB, "INBOX", &message(100 + n, ""))?;
    }
    for (name, user, into) in [("ann", ANN, "alice"), ("bob", BOB, "bob")] {
        let flags = ["--kind", "imap", "--user", user, "--password-stdin", "--into", into];
        create(&archive, &server, name, &Archive::password(user), &flags)?.ok()?;
    }
    let serving = archive.serve()?;
    let mut started = Vec::new();
    for name in ["ann", "bob"] {
        started.push(archive.command(["profile", "run", name, "--json"]).spawn()?);
    }
    for child in started {
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let account: Value = serde_json::from_slice(&output.stdout)?;
        ensure!(sums(&account)? == [30, 30, 0, 0, 0, 0, 0], "{account}");
    }
    ensure!(hashes(&archive, "alice")?.len() == 30 && hashes(&archive, "bob")?.len() == 30);
    ensure!(serving.terminate()?.success());
    Ok(())
}
