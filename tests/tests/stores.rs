//! Many stores through the real program: one that goes away under a server, one on a read-only file system, one that is carried
//! to another installation; with real IMAP sessions open meanwhile.

use anyhow::{Context, ensure};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tests::mail::{canonical, example, example_tree, files, sha256};
use tests::{Archive, Imap, Result};

/// The least limit that the configuration takes.
const FULL: u32 = 100;

/// An installation with 120 messages in `alice/Old` in store 0001, and `more` in store 0002.
fn two_stores(more: u32) -> Result<Archive> {
    let archive = Archive::with_users(&["alice"])?;
    let conf = archive.data().join("mailkeep.toml");
    let text = fs::read_to_string(&conf)?;
    fs::write(&conf, text.replace("[storage]\n", &format!("[storage]\nmax_store_messages = {FULL}\n")))?;
    let source = archive.scratch().join("source");
    example_tree(&source, 120)?;
    archive.archive(&source, "alice/Old")?;
    example_tree(&source, 120 + more)?;
    let run = archive.archive(&source, "alice/Old")?;
    ensure!(run["sums"]["archived"] == more && run["sums"]["already"] == 120, "{run}");
    Ok(archive)
}

fn stores(archive: &Archive) -> Result<Vec<(String, String, u64, bool)>> {
    let rows = archive.run(["store", "list", "--json"])?.ok()?.json()?;
    let row = |row: &serde_json::Value| -> Result<(String, String, u64, bool)> {
        let text = |field: &str| Ok::<_, anyhow::Error>(row[field].as_str().context("a text")?.to_owned());
        let messages = row["messages"].as_u64().context("messages")?;
        Ok((text("number")?, text("state")?, messages, row["trouble"].is_string()))
    };
    rows.iter().map(row).collect()
}

/// The hash of each example message as IMAP gives it.
fn expected(numbers: std::ops::RangeInclusive<u32>) -> Vec<(u32, String)> {
    numbers.map(|number| (number, sha256(&canonical(&example(number))))).collect()
}

fn exists(responses: &[Vec<u8>]) -> bool {
    responses.iter().any(|response| response.ends_with(b" EXPUNGE"))
}

#[test]
fn a_store_that_goes_away_expunges_nothing_and_comes_back_without_a_restart() -> Result {
    let archive = two_stores(30)?;
    let list = stores(&archive)?;
    ensure!(
        list == [("0001".into(), "normal".into(), 120, false), ("0002".into(), "current".into(), 30, false)],
        "{list:?}"
    );
    let away = archive.scratch().join("away");
    fs::rename(archive.data().join("stores/0001"), &away)?;
    let server = archive.serve()?;
    let list = stores(&archive)?;
    ensure!(list[0] == ("0001".into(), "normal".into(), 120, true), "{list:?}");

    let mut imap = Imap::login(server.imap, "alice")?;
    ensure!(imap.examine("Old")? == 150, "a missing disk is no expunge");
    let flags = imap.ok("UID FETCH 1:* (FLAGS)")?;
    ensure!(flags.len() == 150, "{} flags", flags.len());
    let (bodies, end) = imap.command("UID FETCH 119:122 (BODY.PEEK[HEADER])")?;
    ensure!(bodies.len() == 2 && end.starts_with("NO [UNAVAILABLE]"), "{} answers, {end}", bodies.len());
    let (_, end) = imap.command("UID SEARCH TEXT Köln")?;
    ensure!(end.starts_with("BAD") || end.starts_with("NO"), "{end}");
    let (_, end) = imap.command("UID SEARCH TEXT message")?;
    ensure!(end.starts_with("NO [UNAVAILABLE]"), "{end}");
    let found = imap.ok("UID SEARCH UNSEEN")?;
    ensure!(found == [b"* SEARCH".to_vec()], "{found:?}");
    let all = imap.ok("UID SEARCH 118:121 NOT FLAGGED")?;
    ensure!(all == [b"* SEARCH 118 119 120 121".to_vec()], "{all:?}");

    // What is there already can't be told for this folder; another one takes mail.
    let source = archive.scratch().join("source");
    let into = |folder: &str| {
        archive.run([OsStr::new("archive"), source.as_os_str(), "--into".as_ref(), folder.as_ref()])
    };
    let refused = into("alice/Old")?;
    let told = format!("{}{}", refused.text(), refused.stderr);
    ensure!(refused.code() == 1 && told.contains("store 0001 can't be read"), "{told}");
    into("alice/New")?.ok()?;

    fs::rename(&away, archive.data().join("stores/0001"))?;
    archive.run(["store", "retry-open", "0001"])?.ok()?;
    let (answers, end) = imap.command("UID FETCH 1:* (BODY.PEEK[])")?;
    ensure!(end.starts_with("OK") && answers.len() == 150, "{} answers, {end}", answers.len());
    ensure!(Imap::login(server.imap, "alice")?.hashes("Old")? == expected(1..=150));
    let run = archive.archive(&source, "alice/Old")?;
    ensure!(run["sums"]["already"] == 150 && run["sums"]["archived"] == 0, "{run}");
    archive.run(["check"])?.ok()?;
    ensure!(server.terminate()?.success());
    Ok(())
}

/// A bind mount that can't be written; none where the system doesn't let us.
struct ReadOnly<'a>(&'a Path);

impl ReadOnly<'_> {
    fn new(dir: &Path) -> Result<Option<ReadOnly<'_>>> {
        let bind = Command::new("mount").arg("--bind").args([dir, dir]).output();
        if !bind.is_ok_and(|done| done.status.success()) {
            return Ok(None);
        }
        let mount = ReadOnly(dir);
        let done = Command::new("mount").args(["-o", "remount,ro,bind"]).arg(dir).output()?;
        Ok(done.status.success().then_some(mount))
    }
}

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        Command::new("umount").arg("-l").arg(self.0).status().ok();
    }
}

/// The hashes of all files below a directory.
fn contents(dir: &Path) -> Result<Vec<(PathBuf, String)>> {
    files(dir)?.into_iter().map(|path| Ok((path.clone(), sha256(&fs::read(path)?)))).collect()
}

#[test]
fn a_write_protected_store_works_from_a_read_only_file_system() -> Result {
    let archive = two_stores(5)?;
    archive.run(["store", "state", "0001", "writeProtected"])?.ok()?;
    let dir = archive.data().join("stores/0001");
    let mount = ReadOnly::new(&dir)?;
    if mount.is_some() {
        ensure!(fs::write(dir.join("x"), b"").is_err(), "the file system can be written");
    }
    // Where mounting isn't allowed, that nothing is written must show in the files.
    let before = contents(&dir)?;
    let server = archive.serve()?;
    let mut imap = Imap::login(server.imap, "alice")?;
    ensure!(imap.hashes("Old")? == expected(1..=125));
    let found = imap.ok("UID SEARCH SUBJECT \"message 77\"")?;
    ensure!(found == [b"* SEARCH 77".to_vec()], "{found:?}");
    archive.run(["check"])?.ok()?;
    ensure!(server.terminate()?.success());
    ensure!(contents(&dir)? == before, "something was written");
    if mount.is_some() {
        let back = archive.run(["store", "state", "0001", "current"])?;
        ensure!(back.code() == 1 && stores(&archive)?[0].1 == "writeProtected", "it can't be written");
    }
    drop(mount);
    archive.run(["store", "state", "0001", "normal"])?.ok()?;
    archive.run(["store", "state", "0001", "current"])?.ok()?;
    let list = stores(&archive)?;
    ensure!(list.iter().map(|s| s.1.as_str()).eq(["current", "normal"]), "{list:?}");
    archive.run(["check"])?.ok()?;
    Ok(())
}

#[test]
fn a_detached_store_vanishes_from_clients_and_comes_back_with_its_uids() -> Result {
    let archive = two_stores(4)?;
    let server = archive.serve()?;
    let mut imap = Imap::login(server.imap, "alice")?;
    ensure!(imap.examine("Old")? == 124);
    let detached = archive.run(["store", "detach", "0001"])?.ok()?.text();
    ensure!(detached.contains("stores/0001"), "{detached}");
    ensure!(archive.run(["store", "detach", "0002"])?.code() == 1, "the current one");
    let away = archive.scratch().join("shelf");
    fs::rename(archive.data().join("stores/0001"), &away)?;
    // Derived files stay behind.
    fs::remove_file(away.join("store.redb"))?;
    fs::remove_dir_all(away.join("index"))?;
    let told = imap.ok("NOOP")?;
    ensure!(exists(&told), "an open session hears of it: {told:?}");
    ensure!(Imap::login(server.imap, "alice")?.hashes("Old")? == expected(121..=124));
    archive.run([OsStr::new("store"), "attach".as_ref(), away.as_os_str()])?.ok()?;
    ensure!(Imap::login(server.imap, "alice")?.hashes("Old")? == expected(1..=124));
    ensure!(server.terminate()?.success());
    let list = stores(&archive)?;
    ensure!(list.iter().any(|store| store.0 == "0003" && store.2 == 120), "{list:?}");
    archive.run(["check"])?.ok()?;
    let stats = archive.run(["store", "stats", "0003"])?.ok()?.text();
    ensure!(stats.contains("120 messages"), "{stats}");
    Ok(())
}
