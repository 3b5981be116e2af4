//! `kill -9` at every command that writes, and at opening: afterwards everything opens, and what was acknowledged is there.
//!
//! The moment of a kill is chosen by what is on disk or by who has the lock on the data directory, never by a clock.

use anyhow::{Context, ensure};
use std::ffi::OsStr;
use std::fs::{OpenOptions, TryLockError};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Instant;
use tests::mail::example_tree;
use tests::program::PATIENCE;
use tests::{Archive, Imap, Result};

/// Looks until `seen` says so; false when the child ended before.
fn until(child: &mut Child, seen: impl Fn() -> Result<bool>) -> Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if seen()? {
            return Ok(true);
        }
        if child.try_wait()?.is_some() {
            return Ok(false);
        }
        ensure!(Instant::now() < deadline, "what was waited for never came");
        std::thread::yield_now();
    }
}

/// Whether another process works on DATA.
fn is_locked(data: &Path) -> Result<bool> {
    let lock = OpenOptions::new().write(true).open(data.join("lock"))?;
    match lock.try_lock() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

fn kill(mut child: Child) -> Result {
    child.kill()?;
    child.wait()?;
    Ok(())
}

/// Messages in the folder.
fn count(archive: &Archive, folder: &str) -> Result<u64> {
    let rows = archive.run(["folders", "--json"])?.ok()?.json()?;
    let row = rows.iter().find(|row| row["folder"] == folder);
    Ok(row.and_then(|row| row["messages"].as_u64()).unwrap_or(0))
}

fn start_archive(archive: &Archive, source: &Path, into: &str) -> Result<Child> {
    let arguments = [OsStr::new("archive"), source.as_os_str(), OsStr::new("--into"), OsStr::new(into)];
    Ok(archive.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}

/// A rerun brings what is missing, once, and everything is sound.
fn completes(archive: &Archive, source: &Path, into: &str, total: u64) -> Result {
    let there = count(archive, into)?;
    let run = archive.archive(source, into)?;
    let sums = &run["sums"];
    ensure!(sums["already"] == there && sums["archived"] == total - there, "{there} were there; {sums}");
    ensure!(count(archive, into)? == total);
    archive.run(["check"])?.ok().context("check")?;
    Ok(())
}

#[test]
fn an_init_that_is_killed_is_told_from_an_archive() -> Result {
    let points = [
        "lock",
        "mailkeep.toml",
        "tls/key.pem",
        "keys/master.key",
        "stores/0001",
        "master.redb.new",
        "master.redb",
    ];
    for point in points {
        let archive = Archive::empty()?;
        let mut child = archive.command(["init"]).spawn()?;
        until(&mut child, || Ok(archive.data().join(point).exists()))?;
        kill(child)?;
        let done = archive.data().join("master.redb").exists();
        let opened = archive.run(["folders"])?;
        ensure!((opened.code() == 0) == done, "{point}: {} {}", opened.code(), opened.stderr);
        let again = archive.run(["init"])?;
        ensure!(again.code() == 1, "{point}: an init over what is there ends with {}", again.code());
        if done {
            archive.add_user("alice").context(point)?;
        } else {
            ensure!(opened.stderr.contains("init"), "{point}: {}", opened.stderr);
            ensure!(again.stderr.contains("interrupted"), "{point}: {}", again.stderr);
            std::fs::remove_dir_all(archive.data())?;
            archive.run(["init"])?.ok().context(point)?;
        }
        archive.run(["check"])?.ok().context(point)?;
    }
    Ok(())
}

#[test]
fn a_user_add_that_is_killed_has_added_the_user_or_not() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let password = archive.scratch().join("password");
    std::fs::write(&password, "bob's password\n")?;
    for point in 0..6 {
        let arguments = ["user", "add", "bob", "--password-file"].map(OsStr::new);
        let mut command = archive.command(arguments.into_iter().chain([password.as_os_str()]));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        until(&mut child, || is_locked(&archive.data()))?;
        // The later points let it come further: another command takes a while.
        for _ in 0..point {
            std::fs::read(archive.data().join("master.redb"))?;
        }
        kill(child)?;
        let users = archive.run(["user", "list", "--json"])?.ok()?.json()?;
        ensure!(users.iter().any(|user| user["name"] == "alice"), "{users:?}");
        if users.iter().any(|user| user["name"] == "bob") {
            archive.run(["user", "remove", "bob"])?.ok()?;
        }
    }
    archive.add_user("bob")?;
    let server = archive.serve()?;
    for user in ["alice", "bob"] {
        Imap::login(server.imap, user)?;
    }
    Ok(())
}

mod heavy {
    use super::*;

    #[test]
    fn an_opening_that_is_killed_is_done_by_the_next_one() -> Result {
        let archive = Archive::with_users(&["alice"])?;
        let source = archive.scratch().join("source");
        example_tree(&source, 3_000)?;
        let pack = archive.data().join("stores/0001/packs/00000001.pack");
        let before = std::fs::metadata(&pack).map_or(0, |pack| pack.len());
        let mut child = start_archive(&archive, &source, "alice/Mail")?;
        until(&mut child, || Ok(std::fs::metadata(&pack).is_ok_and(|pack| pack.len() > before + 100_000)))?;
        kill(child)?;
        // Each opening has the same work to do until one has done it.
        for _ in 0..8 {
            let mut child =
                archive.command(["folders"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
            until(&mut child, || is_locked(&archive.data()))?;
            kill(child)?;
        }
        let run = archive.last_run()?;
        ensure!(run["state"] == "failed" && run["error"].is_string(), "{run}");
        ensure!(count(&archive, "alice/Mail")? >= run["sums"]["archived"].as_u64().context("archived")?);
        completes(&archive, &source, "alice/Mail", 3_000)
    }

    #[test]
    fn a_client_that_is_killed_ends_its_run_on_the_server() -> Result {
        let archive = Archive::with_users(&["alice"])?;
        let source = archive.scratch().join("source");
        example_tree(&source, 5_000)?;
        let server = archive.serve()?;
        let mut child = start_archive(&archive, &source, "alice/Mail")?;
        until(&mut child, || Ok(count(&archive, "alice/Mail")? > 0))?;
        kill(child)?;
        let deadline = Instant::now() + PATIENCE;
        let run = loop {
            let run = archive.last_run()?;
            if run["state"] != "running" {
                break run;
            }
            ensure!(Instant::now() < deadline, "the run goes on without its client");
        };
        ensure!(["cancelled", "succeeded"].iter().any(|state| run["state"] == *state), "{run}");
        ensure!(run["sums"]["archived"] == count(&archive, "alice/Mail")?, "{run}");
        completes(&archive, &source, "alice/Mail", 5_000)?;
        ensure!(server.terminate()?.success());
        Ok(())
    }
}
