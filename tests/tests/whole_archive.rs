//! The archive as a whole with the real program: the mailbox `All Mail`, and search on the command line beside IMAP's.

use anyhow::{Context, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::imap::quoted;
use tests::mail::{files, sha256};
use tests::{Archive, Imap, Result, scripts, tools};

/// A directory with these messages, one a file; the files are named so that they come in this order.
fn source(archive: &Archive, name: &str, numbers: impl IntoIterator<Item = u32>) -> Result<PathBuf> {
    let dir = archive.scratch().join(name);
    std::fs::create_dir_all(&dir)?;
    for number in numbers {
        let text = format!(
            "From: Sender{} <s@example.org>\r\nTo: list@example.org\r\nSubject: number {number} (odd: {})\r\n\
             Date: {:02} Mar 2019 10:00:00 +0000\r\n\r\nThe text of {number}, Abschlu\u{df}rechnung.\r\n",
            number % 3,
            number % 2 == 1,
            number + 1
        );
        std::fs::write(dir.join(format!("{number:03}.eml")), text)?;
    }
    Ok(dir)
}

fn validity(imap: &mut Imap, mailbox: &str) -> Result<String> {
    let lines = imap.ok(&format!("STATUS {} (UIDVALIDITY)", quoted(mailbox)))?;
    Ok(lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect())
}

fn by_hash(imap: &mut Imap, mailbox: &str) -> Result<BTreeMap<String, u32>> {
    Ok(imap.hashes(mailbox)?.into_iter().map(|(uid, hash)| (hash, uid)).collect())
}

fn list(imap: &mut Imap, what: &str) -> Result<Vec<String>> {
    let lines = imap.ok(&format!("LIST {what}"))?;
    Ok(lines.iter().map(|line| String::from_utf8_lossy(line).trim_end().to_owned()).collect())
}

#[test]
fn all_mail_shows_every_message_once_whatever_happens_to_folders_and_stores() -> Result {
    let archive = Archive::with_users(&["alice", "bob"])?;
    archive.archive(&source(&archive, "one", 0..6)?, "alice/A")?;
    archive.archive(&source(&archive, "two", 4..9)?, "alice/B/c")?;
    archive.archive(&source(&archive, "bobs", 0..2)?, "bob/X")?;
    let server = archive.serve()?;
    let mut imap = Imap::login(server.imap, "alice")?;
    for asked in ["(SPECIAL-USE) \"\" \"*\"", "\"\" \"All*\"", "\"\" \"All Mail\" RETURN (SPECIAL-USE)"] {
        ensure!(list(&mut imap, asked)? == ["* LIST (\\HasNoChildren \\All) \"/\" \"All Mail\""], "{asked}");
    }
    let all = by_hash(&mut imap, "All Mail")?;
    ensure!(all.values().copied().collect::<BTreeSet<_>>() == (1..=9).collect());
    let folders: BTreeSet<String> = ["A", "B/c"]
        .iter()
        .map(|name| Ok(imap.hashes(name)?.into_iter().map(|(_, hash)| hash).collect::<Vec<_>>()))
        .collect::<Result<Vec<_>>>()?
        .concat()
        .into_iter()
        .collect();
    ensure!(all.keys().cloned().collect::<BTreeSet<_>>() == folders);
    let first = validity(&mut imap, "All Mail")?;
    // New mail in any folder is told at once; a place that was already shown tells nothing new.
    ensure!(imap.examine("All Mail")? == 9);
    let tag = imap.begin("IDLE")?;
    ensure!(imap.response()?.starts_with(b"+ "));
    archive.archive(&source(&archive, "three", 7..12)?, "alice/New")?;
    while imap.response()? != b"* 12 EXISTS" {}
    imap.send(b"DONE\r\n")?;
    ensure!(imap.finish(&tag)?.1.starts_with("OK"));
    // The first place of messages 4 and 5 is moved, then deleted: they stay, and so do their UIDs.
    archive.run(["message", "move", "alice/A", "5:6", "--to", "alice/Moved"])?.ok()?;
    ensure!(imap.ok("NOOP")?.is_empty(), "a move changes nothing");
    archive.run(["message", "delete", "alice/Moved", "1:*", "--yes"])?.ok()?;
    ensure!(imap.ok("NOOP")?.is_empty(), "other placements are left");
    archive.run(["message", "delete", "alice/A", "2", "--yes"])?.ok()?;
    ensure!(imap.ok("NOOP")? == [b"* 2 EXPUNGE".to_vec()]);
    let now = by_hash(&mut imap, "All Mail")?;
    ensure!(now.len() == 11 && now.values().all(|uid| *uid != 2));
    ensure!(all.iter().all(|(hash, uid)| now.get(hash).is_none_or(|other| other == uid)));
    // Another user's is another one.
    ensure!(Imap::login(server.imap, "bob")?.hashes("All Mail")?.len() == 2);
    drop(imap);
    ensure!(server.terminate()?.success());
    // A rebuild, a second store, a compaction, and new mail after it.
    archive.run(["store", "rebuild", "0001"])?.ok()?;
    archive.run(["store", "create"])?.ok()?;
    archive.run(["store", "compact", "0001"])?.ok()?;
    archive.archive(&source(&archive, "four", 10..14)?, "alice/A")?;
    let server = archive.serve()?;
    let mut imap = Imap::login(server.imap, "alice")?;
    let mut expected = now;
    let after = by_hash(&mut imap, "All Mail")?;
    ensure!(after.len() == 13);
    expected.extend(after.iter().filter(|(_, uid)| **uid > 12).map(|(hash, uid)| (hash.clone(), *uid)));
    ensure!(after == expected && after.values().max() == Some(&14), "{after:?}");
    ensure!(validity(&mut imap, "All Mail")? == first);
    ensure!(imap.ok("UID SEARCH SUBJECT \"number 1\"")?.is_empty() || imap.examine("All Mail")? == 13);
    drop(imap);
    ensure!(server.terminate()?.success());
    archive.run(["verify"])?.ok()?;
    // It can be switched off.
    let conf = archive.data().join("mailkeep.toml");
    let text = std::fs::read_to_string(&conf)?;
    std::fs::write(&conf, text.replace("#all_mail = true", "all_mail = false"))?;
    let server = archive.serve()?;
    let mut imap = Imap::login(server.imap, "alice")?;
    ensure!(list(&mut imap, "(SPECIAL-USE) \"\" \"*\"")?.is_empty());
    ensure!(imap.command("EXAMINE \"All Mail\"")?.1.starts_with("NO [NONEXISTENT]"));
    Ok(())
}

#[test]
fn mbsync_pulls_all_mail() -> Result {
    let Some(mbsync) = tools::need_tool("mbsync")? else { return Ok(()) };
    let archive = Archive::with_users(&["alice"])?;
    archive.archive(&source(&archive, "one", 0..6)?, "alice/A")?;
    archive.archive(&source(&archive, "two", 4..9)?, "alice/B")?;
    let server = archive.serve()?;
    let home = archive.scratch().join("home");
    let maildir = home.join("Mail");
    std::fs::create_dir_all(&maildir)?;
    let config = home.join("mbsyncrc");
    std::fs::write(
        &config,
        format!(
            "IMAPStore archive\nHost {}\nPort {}\nUser alice\nPass \"{}\"\nSSLType None\nAuthMechs LOGIN\n\n\
             MaildirStore local\nPath {dir}/\nInbox {dir}/INBOX\nSubFolders Verbatim\n\n\
             Channel all\nFar :archive:\nNear :local:\nPatterns \"All Mail\"\nCreate Near\nSync Pull\nSyncState *\n",
            server.imap.ip(),
            server.imap.port(),
            Archive::password("alice"),
            dir = maildir.display(),
        ),
    )?;
    for expected in [9, 11] {
        let mut command = Command::new(&mbsync);
        command.arg("--config").arg(&config).arg("all");
        scripts::run(command, &home)?;
        let is_mail =
            |file: &PathBuf| file.parent().is_some_and(|dir| dir.ends_with("cur") || dir.ends_with("new"));
        let pulled: Vec<PathBuf> = files(&maildir)?.into_iter().filter(is_mail).collect();
        ensure!(pulled.len() == expected, "{} messages, not {expected}", pulled.len());
        let subjects: BTreeSet<String> = pulled.iter().map(|file| subject(file)).collect::<Result<_>>()?;
        ensure!(subjects.len() == expected, "each once: {subjects:?}");
        archive.archive(&source(&archive, "three", 8..11)?, "alice/C")?;
    }
    Ok(())
}

fn subject(file: &Path) -> Result<String> {
    let text = String::from_utf8_lossy(&std::fs::read(file)?).into_owned();
    let line = text.lines().find(|line| line.starts_with("Subject:")).context("subject")?;
    Ok(line.to_owned())
}

fn count_imap(imap: &mut Imap, mailbox: &str, search: &str) -> Result<u64> {
    imap.examine(mailbox)?;
    let lines = imap.ok(&format!("UID SEARCH RETURN (COUNT) {search}"))?;
    let line = lines.iter().find(|line| line.starts_with(b"* ESEARCH")).context("ESEARCH")?;
    let text = String::from_utf8_lossy(line).into_owned();
    Ok(text.rsplit("COUNT ").next().context("COUNT")?.trim().parse()?)
}

fn count(archive: &Archive, arguments: &[&str]) -> Result<u64> {
    let rows = archive.run(["search", "--count", "--json"].iter().chain(arguments))?.ok()?.json()?;
    rows.first().and_then(|row| row["count"].as_u64()).context("count")
}

#[test]
fn the_command_line_finds_what_imap_does() -> Result {
    let archive = Archive::with_users(&["alice", "bob"])?;
    archive.archive(&source(&archive, "one", 0..12)?, "alice/A")?;
    archive.archive(&source(&archive, "two", 8..20)?, "alice/B/c")?;
    archive.archive(&source(&archive, "bobs", 3..5)?, "bob/X")?;
    let pairs = [
        ("", "ALL"),
        ("schlussrech", "TEXT schlussrech"),
        ("\"number 1\"", "TEXT \"number 1\""),
        ("from:sender1", "FROM sender1"),
        ("subject:\"(odd: true)\" -from:sender2", "SUBJECT \"(odd: true)\" NOT FROM sender2"),
        ("from:sender0 OR subject:\"number 7\"", "OR FROM sender0 SUBJECT \"number 7\""),
        (
            "(from:sender0 OR from:sender1) NOT \"text of 9\"",
            "OR FROM sender0 FROM sender1 NOT TEXT \"text of 9\"",
        ),
        ("header:To:list body:text", "HEADER To list BODY text"),
        ("sent-on:2019-03", "SENTSINCE 1-Mar-2019 SENTBEFORE 1-Apr-2019"),
        ("sent-before:2019-03-05", "SENTBEFORE 5-Mar-2019"),
        ("sent-since:2019-03-10 larger:10 smaller:1M", "SENTSINCE 10-Mar-2019 LARGER 10 SMALLER 1048576"),
        ("is:flagged", "FLAGGED"),
        ("-is:answered", "UNANSWERED"),
    ];
    for serving in [false, true] {
        let server = archive.serve()?;
        let mut imap = Imap::login(server.imap, "alice")?;
        let mut expected = Vec::new();
        for (_, search) in pairs {
            let all = count_imap(&mut imap, "All Mail", search)?;
            expected.push((all, count_imap(&mut imap, "A", search)?, count_imap(&mut imap, "B/c", search)?));
        }
        drop(imap);
        let server = if serving { Some(server) } else { server.terminate().map(|_| None)? };
        for ((query, _), (all, a, b)) in pairs.iter().zip(&expected) {
            ensure!(count(&archive, &["--archive", "alice", "--", query])? == *all, "{query}");
            ensure!(count(&archive, &["--folder", "alice/A", "--", query])? == *a, "{query}");
            let within = format!("({query}) in:b");
            let within = if query.is_empty() { "in:b" } else { &within };
            ensure!(count(&archive, &["--user", "alice", "--", within])? == *b, "{within}");
        }
        ensure!(expected[0] == (20, 12, 12));
        ensure!(count(&archive, &[""])? == 22, "all archives");
        ensure!(count(&archive, &["--archive", "alice", "--archive", "bob", "\"number 3\""])? == 2);
        drop(server);
    }
    // Newest first, with the place where a message lies and the text around the hit.
    let hits = archive
        .run(["search", "--archive", "alice", "--limit", "3", "--json", "SCHLUSSRECH"])?
        .ok()?
        .json()?;
    let subjects: Vec<&str> = hits.iter().filter_map(|hit| hit["subject"].as_str()).collect();
    ensure!(
        subjects == ["number 19 (odd: true)", "number 18 (odd: false)", "number 17 (odd: true)"],
        "{subjects:?}"
    );
    ensure!(hits[0]["folder"] == "alice/B/c" && hits[0]["uid"] == 12, "{}", hits[0]);
    ensure!(
        hits[0]["snippet"]["hit"] == "schlu\u{df}rech"
            && hits[0]["snippet"]["before"] == "The text of 19, Ab"
    );
    let bytes = archive.run(["cat", "alice/B/c", "12"])?.ok()?.stdout;
    ensure!(hits[0]["sha256"] == sha256(&bytes).as_str(), "what it shows is what cat gives");
    let plain = archive.run(["search", "--archive", "alice", "--no-snippets", "\"number 7\""])?.ok()?.text();
    ensure!(
        plain.lines().count() == 2 && plain.contains("number 7 (odd: true)") && plain.contains("alice/A"),
        "{plain}"
    );
    let log = archive.run(["audit", "--json"])?.ok()?.text();
    ensure!(
        log.contains("mail.search") && !log.contains("SCHLUSSRECH"),
        "that was searched is noted, not for what"
    );
    // What makes no sense is told with its place; a folder that isn't there too.
    let hostile = ["(".repeat(10_000), "(".repeat(64 << 10), "y".repeat(64 << 10), "a OR ".repeat(3_000)];
    let mut wrong: Vec<(&str, i32, &str)> =
        hostile.iter().map(|query| (query.as_str(), 2, "of the query")).collect();
    wrong.extend([
        ("form:bob", 2, "there is no field form:"),
        ("a (b", 2, "character 3"),
        ("in:Nowhere x", 1, "Nowhere"),
    ]);
    for serving in [false, true] {
        let server = if serving { Some(archive.serve()?) } else { None };
        for (query, code, words) in &wrong {
            // What is longer than the socket takes is refused there, with words of its own.
            let words = if serving && query.len() > 60_000 { "" } else { words };
            let output = archive.run(["search", "--archive", "alice", query])?;
            ensure!(output.code() != 0 && output.stderr.contains(words), "{query:.40}: {}", output.stderr);
            ensure!(words.is_empty() || output.code() == *code, "{query:.40}: {}", output.code());
        }
        drop(server);
    }
    Ok(())
}

#[test]
fn counts_on_the_corpus_are_imaps() -> Result {
    let Some(corpus) = tools::need_corpus("lists/openbmc")? else { return Ok(()) };
    let archive = Archive::with_users(&["bob"])?;
    archive.archive(&corpus, "bob/openbmc")?;
    let server = archive.serve()?;
    let mut imap = Imap::login(server.imap, "bob")?;
    for (query, search) in [
        ("patch", "TEXT patch"),
        ("subject:[PATCH -from:com", "SUBJECT [PATCH NOT FROM com"),
        ("\"out of memory\"", "TEXT \"out of memory\""),
        ("header:List-Id:openbmc", "HEADER List-Id openbmc"),
        (
            "sent-on:2016 (kernel OR boot)",
            "SENTSINCE 1-Jan-2016 SENTBEFORE 1-Jan-2017 OR TEXT kernel TEXT boot",
        ),
        ("larger:20k", "LARGER 20480"),
    ] {
        let expected = count_imap(&mut imap, "All Mail", search)?;
        let found = count(&archive, &["--archive", "bob", "--", query])?;
        ensure!(found == expected, "{query}: {found}, not {expected}");
    }
    Ok(())
}
