//! Moving, deleting and erasing with the real program, beside a server and without one.

use anyhow::{Context, ensure};
use std::path::{Path, PathBuf};
use tests::{Archive, Imap, Result};

/// A directory of messages, one a file.
fn source(archive: &Archive, bodies: &[&str]) -> Result<PathBuf> {
    let dir = archive.scratch().join("source");
    std::fs::create_dir_all(&dir)?;
    for (n, body) in bodies.iter().enumerate() {
        let text = format!("Subject: number {n}\r\nFrom: a@example.org\r\n\r\n{body}\r\n");
        std::fs::write(dir.join(format!("{n}.eml")), text)?;
    }
    Ok(dir)
}

fn folders(archive: &Archive) -> Result<Vec<(String, u64)>> {
    let rows = archive.run(["folders", "--json"])?.ok()?.json()?;
    let row = |row: &serde_json::Value| Some((row["folder"].as_str()?.to_owned(), row["messages"].as_u64()?));
    rows.iter().map(|found| row(found).context("a folder's row")).collect()
}

fn named(list: &[(&str, u64)]) -> Vec<(String, u64)> {
    list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

/// Files below `dir` in which `word` stands.
fn holders(dir: &Path, word: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for file in tests::mail::files(dir)? {
        if std::fs::read(&file)?.windows(word.len()).any(|at| at == word.as_bytes()) {
            found.push(file);
        }
    }
    Ok(found)
}

#[test]
fn folders_and_messages_change_by_command_and_are_audited() -> Result {
    let archive = Archive::with_users(&["alice", "bob"])?;
    let dir = source(&archive, &["one", "two", "three", "four"])?;
    archive.archive(&dir, "alice/Import")?;
    for serving in [false, true] {
        let server = if serving { Some(archive.serve()?) } else { None };
        archive.run(["folder", "rename", "alice/Import", "alice/Mail/2019"])?.ok()?;
        ensure!(folders(&archive)? == named(&[("alice/Mail/2019", 4)]));
        for (uids, query) in [("1:*", "one"), ("1:100,200", "three")] {
            let which =
                ["message", "move", "alice/Mail/2019", uids, "--search", query, "--to", "alice/Other"];
            archive.run(which)?.ok()?;
        }
        let none = archive.run(["message", "move", "alice/Mail/2019", "1000", "--to", "alice/Other"])?;
        ensure!(none.code() == 1 && none.stderr.contains("no such messages"), "{}", none.stderr);
        let moved = archive.run([
            "message",
            "move",
            "alice/Mail/2019",
            "--search",
            "two",
            "--to",
            "alice/Other",
            "--json",
        ])?;
        ensure!(moved.ok()?.json()?[0]["messages"] == 1);
        ensure!(folders(&archive)? == named(&[("alice/Mail/2019", 1), ("alice/Other", 3)]));
        let refused = archive.run(["folder", "delete", "alice/Other"])?;
        ensure!(refused.code() == 1 && refused.stderr.contains("not empty"), "{}", refused.stderr);
        let typo = archive.run(["message", "move", "alice/Other", "1", "--to", "alcie/Other"])?;
        ensure!(typo.code() == 1 && typo.stderr.contains("no user"), "{}", typo.stderr);
        archive.run(["folder", "merge", "alice/Other", "alice/Mail/2019"])?.ok()?;
        archive.run(["folder", "move", "alice/Mail", "alice/Import"])?.ok()?;
        archive.run(["folder", "move", "alice/Import/2019", "alice/Back"])?.ok()?;
        archive.run(["folder", "move", "alice/Back", "alice/Import"])?.ok()?;
        ensure!(folders(&archive)? == named(&[("alice/Import", 4)]));
        drop(server);
    }
    // Deleting wants a yes, and shows before.
    let asked = archive.run(["message", "delete", "alice/Import", "--search", "three"])?;
    ensure!(asked.code() == 2 && asked.stderr.contains("--yes"), "{}", asked.stderr);
    let shown =
        archive.run(["message", "delete", "alice/Import", "--search", "three", "--dry-run", "--json"])?;
    ensure!(shown.ok()?.json()?.len() == 1);
    archive.run(["message", "delete", "alice/Import", "--search", "three", "--yes"])?.ok()?;
    let again = archive.run(["message", "delete", "alice/Import", "--search", "three", "--yes"])?;
    ensure!(again.code() == 1 && again.stderr.contains("no such messages"), "{}", again.stderr);
    let run = archive.archive(&dir, "alice/Import")?;
    ensure!(run["sums"]["already"] == 4 && run["sums"]["archived"] == 0, "{}", run["sums"]);
    let path = dir.to_str().context("a path")?;
    archive.run(["archive", path, "--into", "alice/Import", "--deleted-too"])?.ok()?;
    ensure!(archive.last_run()?["sums"]["archived"] == 1);
    archive.run(["folder", "delete", "alice/Import", "--with-messages", "--yes"])?.ok()?;
    ensure!(folders(&archive)?.is_empty());
    let audit = archive.run(["audit"])?.ok()?.text();
    for line in [
        "folder.move \"alice/Import\" to \"alice/Mail/2019\"",
        "ok: deleted 1 messages, 0 folders",
        "ok: deleted 4 messages, 1 folders",
    ] {
        ensure!(audit.contains(line), "{line} is not in {audit}");
    }
    archive.run(["check"])?.ok()?;
    Ok(())
}

/// What was deleted is in no file of the store after `store compact`, under a server whose clients read on.
#[test]
fn what_is_erased_is_in_no_file_any_more() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let dir = source(&archive, &["first", "qsecretneedle in the body", "third"])?;
    archive.archive(&dir, "alice/Import")?;
    std::fs::write(dir.join("1.eml"), "Subject: qother\r\n\r\nqplaceneedle\r\n")?;
    std::fs::rename(dir.join("1.eml"), dir.join("qplaceneedle.eml"))?;
    archive.archive(&dir, "alice/qfolderneedle")?;
    let store = archive.data().join("stores/0001");
    ensure!(archive.run(["search", "--user", "alice", "qsecretneedle", "--json"])?.ok()?.json()?.len() == 1);
    for word in ["qfolderneedle", "qplaceneedle"] {
        ensure!(!holders(&store, word)?.is_empty(), "the database has {word}");
    }
    let server = archive.serve()?;
    let mut reading = Imap::login(server.imap, "alice")?;
    ensure!(reading.examine("Import")? == 3);
    archive.run(["message", "delete", "alice/Import", "--search", "qsecretneedle", "--yes"])?.ok()?;
    archive.run(["folder", "delete", "alice/qfolderneedle", "--with-messages", "--yes"])?.ok()?;
    let could = archive.run(["store", "compact", "--dry-run", "--json"])?.ok()?.json()?;
    ensure!(could[0]["messages"] == 2, "{could:?}");
    let (responses, end) = reading.command("NOOP")?;
    ensure!(responses == [b"* 2 EXPUNGE".to_vec()] && end.starts_with("OK"), "{responses:?}");
    let done = archive.run(["store", "compact", "0001", "--json"])?.ok()?.json()?;
    ensure!(done[0]["messages"] == 2 && done[0]["after"].is_u64(), "{done:?}");
    for word in ["qsecretneedle", "qfolderneedle", "qplaceneedle"] {
        let found = [holders(&store, word)?, holders(&archive.data().join("derived"), word)?].concat();
        ensure!(found.is_empty(), "{word} is in {found:?}");
    }
    // The session that was there before reads on, and what is archived now is found.
    ensure!(reading.ok("FETCH 1:2 (UID BODY.PEEK[])")?.len() == 2);
    let run = archive.archive(&dir, "alice/New")?;
    ensure!(run["sums"]["archived"] == 3, "{}", run["sums"]);
    // In two folders, and one message.
    ensure!(archive.run(["search", "--user", "alice", "third", "--json"])?.ok()?.json()?.len() == 1);
    for folder in ["alice/Import", "alice/New"] {
        ensure!(archive.run(["search", "--folder", folder, "third", "--json"])?.ok()?.json()?.len() == 1);
    }
    ensure!(archive.run(["search", "--user", "alice", "qsecretneedle", "--json"])?.ok()?.json()?.is_empty());
    ensure!(server.terminate()?.success());
    archive.run(["check"])?.ok()?;
    archive.run(["store", "compact"])?.ok()?;
    archive.run(["check"])?.ok()?;
    Ok(())
}
