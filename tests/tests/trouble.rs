//! A disk that fills, files that can't be read, and several at work on one archive at once.
//!
//! The full disk is a limit on the size of files, so that the test needs no disk of its own.

use anyhow::{Context, ensure};
use rustix::process::geteuid;
use serde_json::Value;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tests::mail::{canonical, example, example_tree, files, sha256};
use tests::program::wait;
use tests::{Archive, Imap, Result};

fn sum(run: &Value, part: &str) -> u64 {
    run["sums"][part].as_u64().unwrap_or(u64::MAX)
}

/// The sums hold, of the run and over its folders.
fn sums_hold(run: &Value) -> Result {
    let parts = ["archived", "already", "filtered", "failed"].map(|part| sum(run, part));
    ensure!(sum(run, "seen") == parts.iter().sum::<u64>(), "{run}");
    let of_folders = run["folders"].as_array().into_iter().flatten().map(|folder| sum(folder, "seen"));
    ensure!(sum(run, "seen") == of_folders.sum::<u64>(), "{run}");
    Ok(())
}

fn arguments<'a>(source: &'a Path, into: &'a str) -> [&'a OsStr; 4] {
    [OsStr::new("archive"), source.as_os_str(), OsStr::new("--into"), OsStr::new(into)]
}

/// Hashes of what stands in the source's files, in their order.
fn expected(source: &Path) -> Result<Vec<String>> {
    files(source)?.iter().map(|file| Ok(sha256(&canonical(&std::fs::read(file)?)))).collect()
}

/// Hashes of what alice has in `folder`, in the order of UIDs.
fn hashes(imap: &mut Imap, folder: &str) -> Result<Vec<String>> {
    if !imap.command(&format!("EXAMINE {folder}"))?.1.starts_with("OK") {
        return Ok(Vec::new());
    }
    Ok(imap.hashes(folder)?.into_iter().map(|(_, hash)| hash).collect())
}

mod heavy {
    use super::*;

    /// Mail that doesn't compress well, so that it fills a disk.
    fn dense_tree(dir: &Path, count: u32) -> Result {
        std::fs::create_dir_all(dir)?;
        for number in 1..=count {
            let mut message = example(number);
            for line in 0..8_u32 {
                message.extend_from_slice(sha256(&(number * 8 + line).to_be_bytes()).as_bytes());
                message.push(b'\n');
            }
            std::fs::write(dir.join(format!("{number:06}.eml")), message)?;
        }
        Ok(())
    }

    #[test]
    fn a_disk_that_fills_ends_the_run_and_loses_nothing() -> Result {
        let scratch = tempfile::tempdir()?;
        let source = scratch.path().join("source");
        dense_tree(&source, 5_000)?;
        let expected = expected(&source)?;
        // In blocks of 512 bytes: in the account itself, in the first batches, in later ones.
        for limit in [400, 700, 1_200, 2_000] {
            let archive = Archive::with_users(&["alice"])?;
            let command = archive.command(arguments(&source, "alice/Mail"));
            let mut limited = Command::new("sh");
            limited
                .arg("-c")
                .arg("trap '' XFSZ; ulimit -c 0; ulimit -f $0; exec \"$@\"")
                .arg(limit.to_string());
            limited.arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
            let output = limited.output()?;
            let told = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            ensure!(output.status.code() == Some(1), "limit {limit}: {}: {told}", output.status);
            ensure!(told.contains("too large"), "limit {limit}: {told}");

            let run = archive.last_run()?;
            ensure!(run["state"] == "failed" && run["error"].is_string(), "limit {limit}: {run}");
            sums_hold(&run)?;
            let server = archive.serve()?;
            let before = hashes(&mut Imap::login(server.imap, "alice")?, "Mail")?;
            ensure!(before.len() as u64 >= sum(&run, "archived"), "{} are there; {run}", before.len());
            ensure!(before.len() < expected.len(), "limit {limit} stopped nothing");
            ensure!(
                before[..] == expected[..before.len()],
                "limit {limit}: other mail than the source's beginning"
            );
            ensure!(server.terminate()?.success());
            archive.run(["check"])?.ok().context("check")?;

            let again = archive.archive(&source, "alice/Mail")?;
            sums_hold(&again)?;
            ensure!(sum(&again, "already") == before.len() as u64, "{} were there; {again}", before.len());
            let server = archive.serve()?;
            ensure!(hashes(&mut Imap::login(server.imap, "alice")?, "Mail")? == expected, "limit {limit}");
            ensure!(server.terminate()?.success());
            archive.run(["check"])?.ok().context("check")?;
        }
        Ok(())
    }

    #[test]
    fn runs_readers_and_a_check_work_on_one_archive_at_once() -> Result {
        let archive = Archive::with_users(&["alice"])?;
        let (one, two) = (archive.scratch().join("one"), archive.scratch().join("two"));
        example_tree(&one, 4_000)?;
        dense_tree(&two, 2_000)?;
        let server = archive.serve()?;
        let mut imap = Imap::login(server.imap, "alice")?;
        let start = |source: &Path, into: &str| -> Result<Child> {
            let mut command = archive.command(arguments(source, into));
            Ok(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
        };
        let mut first = start(&one, "alice/One")?;
        let mut second = start(&two, "alice/Two")?;
        let all = [("One", expected(&one)?), ("Two", expected(&two)?)];
        let mut check = archive.command(["check", "--json"]).spawn()?;
        while first.try_wait()?.is_none() || second.try_wait()?.is_none() {
            for (folder, expected) in &all {
                let found = hashes(&mut imap, folder)?;
                ensure!(found[..] == expected[..found.len()], "{folder} is not the source's beginning");
            }
        }
        ensure!(first.wait()?.success() && second.wait()?.success());
        ensure!(wait(&mut check)?.success(), "check while archiving");
        for (folder, expected) in &all {
            ensure!(hashes(&mut imap, folder)? == *expected, "{folder}");
        }
        let runs = archive.run(["runs", "--json"])?.ok()?.json()?;
        ensure!(runs.len() == 2 && runs.iter().all(|run| run["state"] == "succeeded"), "{runs:?}");
        runs.iter().try_for_each(sums_hold)?;
        archive.run(["check"])?.ok()?;
        ensure!(server.terminate()?.success());
        Ok(())
    }

    #[test]
    fn a_server_does_not_start_beside_a_run_in_process() -> Result {
        let archive = Archive::with_users(&["alice"])?;
        let source = archive.scratch().join("source");
        example_tree(&source, 20_000)?;
        let packs = archive.data().join("stores/0001/packs");
        let bytes =
            || -> Result<u64> { files(&packs)?.iter().map(|pack| Ok(std::fs::metadata(pack)?.len())).sum() };
        let before = bytes()?;
        let mut child = archive.command(arguments(&source, "alice/Mail")).stdout(Stdio::null()).spawn()?;
        while bytes()? == before && child.try_wait()?.is_none() {
            std::thread::yield_now();
        }
        let second = archive.run(["serve", "--imap", "127.0.0.1:0", "--imaps", "127.0.0.1:0"])?;
        ensure!(child.try_wait()?.is_none(), "the run ended before the server was tried");
        ensure!(
            second.code() == 1 && second.stderr.contains("in use"),
            "{}: {}",
            second.code(),
            second.stderr
        );
        ensure!(wait(&mut child)?.success());
        ensure!(sum(&archive.last_run()?, "archived") == 20_000);
        Ok(())
    }
}

#[test]
fn what_may_not_be_read_has_failed_by_name() -> Result {
    const NOBODY: u32 = 65_534;
    let archive = Archive::empty()?;
    let as_root = geteuid().is_root();
    // Root reads everything: then the program runs as somebody else, from where anyone may start it.
    let program = archive.scratch().join("mailkeep");
    let setpriv = if as_root {
        let Some(setpriv) = tests::tools::need_tool("setpriv")? else { return Ok(()) };
        std::fs::copy(tests::program::binary()?, &program)?;
        Some(setpriv)
    } else {
        None
    };
    let run = |arguments: &[&OsStr], input: Stdio| -> Result<(i32, String)> {
        let plain = archive.command(arguments);
        let mut command = match &setpriv {
            Some(setpriv) => {
                let id = NOBODY.to_string();
                let mut command = Command::new(setpriv);
                command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]).arg(&program);
                command
            }
            None => Command::new(plain.get_program()),
        };
        let output = command.args(plain.get_args()).env_remove("RUST_LOG").stdin(input).output()?;
        let told = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        Ok((output.status.code().unwrap_or(-1), told.into_owned()))
    };
    let source = archive.scratch().join("source");
    example_tree(&source, 3)?;
    example_tree(&source.join("closed"), 2)?;
    std::fs::write(
        source.join("box.mbox"),
        [b"From a@b Mon Jan  6 10:00:00 2020\n".as_slice(), &example(9)].concat(),
    )?;
    let password = archive.scratch().join("password");
    std::fs::write(&password, "a long password\n")?;
    if as_root {
        for path in [archive.scratch(), &source, &source.join("closed"), &password] {
            chown(path, Some(NOBODY), Some(NOBODY))?;
        }
        for file in files(&source)? {
            chown(file, Some(NOBODY), Some(NOBODY))?;
        }
    }
    let close =
        |path: &Path, mode: u32| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode));
    let closed = ["000002.eml", "box.mbox", "closed"].map(|name| source.join(name));
    for path in &closed {
        close(path, 0)?;
    }
    let words = |line: &[&str]| line.iter().map(OsString::from).collect::<Vec<_>>();
    let call = |line: &[&str]| -> Result<(i32, String)> {
        let owned = words(line);
        run(&owned.iter().map(OsString::as_os_str).collect::<Vec<_>>(), Stdio::null())
    };
    ensure!(call(&["init"])?.0 == 0);
    let file = password.to_string_lossy().into_owned();
    ensure!(call(&["user", "add", "alice", "--password-file", &file])?.0 == 0);
    let (code, told) = run(&arguments(&source, "alice/Mail"), Stdio::null())?;
    ensure!(code == 1, "{code}: {told}");
    let (code, told) = call(&["runs", "--json"])?;
    ensure!(code == 0, "{told}");
    let account: Value = serde_json::from_str(told.trim())?;
    sums_hold(&account)?;
    ensure!(account["state"] == "completedWithErrors", "{account}");
    ensure!(sum(&account, "archived") == 2 && sum(&account, "failed") == 3, "{account}");
    let (_, items) = call(&["runs", "failed", "1", "--json"])?;
    for path in &closed {
        let item =
            items.lines().find(|line| line.contains(&*path.to_string_lossy())).context("a closed path")?;
        ensure!(item.contains("Permission denied"), "{item}");
    }
    // Once they can be read they come in; the rest is there.
    for path in &closed {
        close(path, 0o700)?;
    }
    let (code, told) = run(&arguments(&source, "alice/Mail"), Stdio::null())?;
    ensure!(code == 0 && told.contains("archived 4 + already there 2"), "{told}");
    Ok(())
}

/// docs/archiving.md: a folder is made with its first message, and stands in the account even so if it is a mail folder.
#[test]
fn folders_without_mail_are_not_made() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let source = archive.scratch().join("source");
    for dir in ["empty/deeper", "Maildir/cur", "Maildir/new", "Maildir/tmp"] {
        std::fs::create_dir_all(source.join(dir))?;
    }
    std::fs::write(source.join("Trash"), b"")?;
    example_tree(&source.join("full"), 1)?;
    let run = archive.archive(&source, "alice/F")?;
    sums_hold(&run)?;
    ensure!(sum(&run, "archived") == 1 && sum(&run, "filtered") == 1, "{run}");
    let folders = archive.run(["folders", "--json"])?.ok()?.json()?;
    ensure!(folders.len() == 1 && folders[0]["folder"] == "alice/F/full", "{folders:?}");
    let named = run["folders"].as_array().into_iter().flatten();
    ensure!(named.filter(|folder| folder["folder"] == "alice/F/Maildir").count() == 1, "{run}");
    Ok(())
}

/// docs/archiving.md: what a mail program writes into the header is part of the message; both are kept, bit for bit.
#[test]
fn a_status_in_the_header_makes_another_message() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let mbox = archive.scratch().join("Inbox");
    let text =
        |status: &str| format!("From a@example.org Mon Jan  6 10:00:00 2020\nSubject: x\n{status}\nText\n\n");
    for (text, uid) in [(text(""), "1"), (text("Status: RO\n"), "2")] {
        std::fs::write(&mbox, &text)?;
        let run = archive.archive(&mbox, "alice/Inbox")?;
        ensure!(sum(&run, "seen") == 1 && sum(&run, "archived") == 1, "{run}");
        // The blank line before the next From_ line is the file's.
        let cat = archive.run(["cat", "alice/Inbox", uid])?.ok()?.text();
        ensure!(cat + "\n" == text, "UID {uid}");
    }
    ensure!(archive.archive(&mbox, "alice/Inbox")?["sums"]["already"] == 1);
    Ok(())
}
