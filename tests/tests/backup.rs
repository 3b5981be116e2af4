//! Backups of an archive that is in use, what comes back from them, and what becomes of a copy that rsync makes.

use anyhow::{Context, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Instant;
use tests::mail::{canonical, example_tree, files, sha256};
use tests::program::PATIENCE;
use tests::{Archive, Imap, Result};

fn backup_dir(archive: &Archive) -> PathBuf {
    archive.scratch().join("backup")
}

fn backup(archive: &Archive, more: &[&str]) -> Result<Value> {
    let dir = backup_dir(archive).display().to_string();
    let arguments = ["backup", &dir, "--json"].into_iter().chain(more.iter().copied());
    archive.run(arguments)?.ok()?.json()?.pop().context("no account")
}

/// A new installation from the backup, with the key that was kept apart.
fn restored(archive: &Archive, more: &[&str]) -> Result<Archive> {
    let new = Archive::empty()?;
    let dir = backup_dir(archive).display().to_string();
    let key = archive.data().join("keys/master.key").display().to_string();
    new.run(["restore", &dir, "--key", &key].into_iter().chain(more.iter().copied()))?.ok()?;
    Ok(new)
}

fn start_archive(archive: &Archive, source: &Path) -> Result<Child> {
    let arguments =
        [OsStr::new("archive"), source.as_os_str(), OsStr::new("--into"), OsStr::new("alice/Mail")];
    Ok(archive.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
}

/// Messages in `alice/Mail`.
fn count(archive: &Archive) -> Result<u64> {
    let rows = archive.run(["folders", "--json"])?.ok()?.json()?;
    let row = rows.iter().find(|row| row["folder"] == "alice/Mail");
    Ok(row.and_then(|row| row["messages"].as_u64()).unwrap_or(0))
}

/// Hashes of the source's messages in order.
fn source_hashes(source: &Path) -> Result<Vec<String>> {
    files(source)?.iter().map(|file| Ok(sha256(&canonical(&std::fs::read(file)?)))).collect()
}

/// What alice sees in `Mail`, in order: UID and hash.
fn seen(archive: &Archive) -> Result<Vec<(u32, String)>> {
    let server = archive.serve()?;
    let mut imap = Imap::login(server.imap, "alice")?;
    let there = imap.command("EXAMINE Mail")?.1.starts_with("OK");
    let found = if there { imap.hashes("Mail")? } else { Vec::new() };
    ensure!(server.terminate()?.success());
    Ok(found)
}

/// The restored installation is sound, and what it holds is a beginning of the source.
fn holds_a_beginning(archive: &Archive, expected: &[String]) -> Result<usize> {
    archive.run(["check"])?.ok().context("check of what was restored")?;
    let found: Vec<String> = seen(archive)?.into_iter().map(|(_, hash)| hash).collect();
    ensure!(found.len() <= expected.len() && found == expected[..found.len()], "no beginning of the source");
    Ok(found.len())
}

fn contents(dir: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    files(dir)?.into_iter().map(|file| Ok((file.clone(), std::fs::read(&file)?))).collect()
}

fn packs(dir: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    Ok(contents(dir)?.into_iter().filter(|(path, _)| path.extension() == Some(OsStr::new("pack"))).collect())
}

#[test]
fn a_second_backup_adds_what_is_new_and_every_flipped_byte_is_found() -> Result {
    let archive = Archive::with_users(&["alice", "bob"])?;
    let (source, dir) = (archive.scratch().join("source"), backup_dir(&archive));
    example_tree(&source, 200)?;
    archive.archive(&source, "alice/Mail")?;
    let first = backup(&archive, &["--verify-all"])?;
    ensure!(first["number"] == 1 && first["damage"] == serde_json::json!([]), "{first}");
    let before = packs(&dir)?;
    ensure!(before.len() == 1);
    // Nothing new: nothing of the packs is written.
    backup(&archive, &[])?;
    ensure!(packs(&dir)? == before);
    example_tree(&source, 260)?;
    archive.archive(&source, "alice/Mail")?;
    let third = backup(&archive, &[])?;
    ensure!(third["number"] == 3);
    let after = packs(&dir)?;
    let mut grown = 0;
    for (path, bytes) in &after {
        let old = before.get(path).map_or(&[][..], |old| old);
        ensure!(bytes.starts_with(old), "{} was written again", path.display());
        grown += bytes.len() - old.len();
    }
    let small: u64 = files(&dir.join("state-3"))?.iter().map(|f| f.metadata().map_or(0, |m| m.len())).sum();
    ensure!(third["written"] == grown as u64 + small, "{third}: {grown} + {small}");
    ensure!(
        !dir.join("state-1").exists()
            && !dir.join("keys").exists()
            && !dir.join("state-3/keys/master.key").exists()
    );
    // Shown and verified without the archive.
    let shown = dir.display().to_string();
    let nowhere = Archive::empty()?;
    let row = nowhere.run(["backup", "show", &shown, "--json"])?.ok()?.json()?.remove(0);
    ensure!(row["number"] == 3 && row["stores"][0]["messages"] == 260 && row["withKey"] == false, "{row}");
    let verify = || nowhere.run(["backup", "verify", &shown]);
    ensure!(verify()?.ok()?.text().contains("260 messages"));
    for file in files(&dir)? {
        let whole = std::fs::read(&file)?;
        for at in [0, whole.len() / 3, whole.len().saturating_sub(1)] {
            if whole.is_empty() {
                continue;
            }
            let mut bent = whole.clone();
            bent[at] ^= 1;
            std::fs::write(&file, &bent)?;
            let output = verify()?;
            let name = file.file_name().and_then(OsStr::to_str).context("name")?;
            let told = format!("{}{}", output.text(), output.stderr);
            ensure!(output.code() == 1 && told.contains(name), "{name} byte {at}: {told}");
        }
        std::fs::write(&file, &whole)?;
    }
    verify()?.ok()?;
    // A restore from a damaged backup says so and makes nothing; the next backup mends the copy.
    let (pack, whole) = after.iter().next().context("pack")?;
    let mut bent = whole.clone();
    bent[whole.len() / 2] ^= 1;
    std::fs::write(pack, &bent)?;
    let new = Archive::empty()?;
    let key = archive.data().join("keys/master.key").display().to_string();
    let output = new.run(["restore", &shown, "--key", &key])?;
    ensure!(output.code() == 1 && output.stderr.contains("00000001.pack"), "{}", output.stderr);
    ensure!(!new.data().exists());
    example_tree(&source, 270)?;
    archive.archive(&source, "alice/Mail")?;
    let mended = backup(&archive, &[])?;
    ensure!(mended["mended"] == serde_json::json!(["stores/0001/packs/00000001.pack"]), "{mended}");
    verify()?.ok()?;
    // Another archive's backup is not taken for this one's, nor a directory that holds something else.
    let other = Archive::new()?;
    ensure!(other.run(["backup", &shown])?.stderr.contains("another installation"));
    for place in [archive.scratch().to_owned(), archive.data().join("backup"), source] {
        ensure!(archive.run([OsStr::new("backup"), place.as_os_str()])?.code() == 1, "{}", place.display());
    }
    Ok(())
}

/// A pack that the installation loses is kept in the backup, and the loss is told.
#[test]
fn a_pack_that_is_lost_stays_in_the_backup() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let source = archive.scratch().join("source");
    example_tree(&source, 30)?;
    archive.archive(&source, "alice/Mail")?;
    // Another pack, in which later mail lies.
    archive.run(["key", "rotate"])?.ok()?;
    example_tree(&source, 40)?;
    archive.archive(&source, "alice/Mail")?;
    backup(&archive, &[])?;
    let name = "stores/0001/packs/00000001.pack";
    let whole = std::fs::read(archive.data().join(name))?;
    let dir = backup_dir(&archive).display().to_string();
    let mut torn = whole.clone();
    torn[100] ^= 1;
    for damaged in [Some(&torn), None] {
        match damaged {
            Some(bytes) => std::fs::write(archive.data().join(name), bytes)?,
            None => std::fs::remove_file(archive.data().join(name))?,
        }
        let output = archive.run(["backup", &dir])?;
        ensure!(output.code() == 1 && output.text().contains(name), "{}{}", output.text(), output.stderr);
        ensure!(std::fs::read(backup_dir(&archive).join(name))? == whole);
        archive.run(["backup", "verify", &dir])?.ok()?;
    }
    ensure!(count(&restored(&archive, &[])?)? == 40);
    Ok(())
}

#[test]
fn a_restore_brings_everything_back_and_gives_no_uid_twice() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let source = archive.scratch().join("source");
    example_tree(&source, 50)?;
    archive.archive(&source, "alice/Mail")?;
    let live = seen(&archive)?;
    let validity = |archive: &Archive| -> Result<Value> {
        let rows = archive.run(["folders", "--json"])?.ok()?.json()?;
        Ok(rows.iter().find(|row| row["folder"] == "alice/Mail").context("Mail")?["uidValidity"].clone())
    };
    let server = archive.serve()?;
    backup(&archive, &[])?;
    ensure!(server.terminate()?.success());
    let dir = backup_dir(&archive).display().to_string();
    // Without its key nothing is made, and the next step is told.
    let none = Archive::empty()?;
    let output = none.run(["restore", &dir])?;
    ensure!(output.code() == 1 && output.stderr.contains("--key"), "{}", output.stderr);
    let stranger = Archive::new()?;
    let wrong = stranger.data().join("keys/master.key").display().to_string();
    let output = none.run(["restore", &dir, "--key", &wrong])?;
    ensure!(output.code() == 1 && output.stderr.contains("does not open"), "{}", output.stderr);
    ensure!(!none.data().exists());
    let new = restored(&archive, &[])?;
    ensure!(seen(&new)? == live && validity(&new)? == validity(&archive)?);
    new.run(["check"])?.ok()?;
    let runs = new.run(["runs", "--json"])?.ok()?.json()?;
    ensure!(runs.len() == 1 && runs[0]["sums"]["archived"] == 50, "{runs:?}");
    ensure!(new.run(["audit"])?.ok()?.text().contains("restore"));
    // What comes after the restore: known mail is known, new mail has UIDs that nobody has seen.
    example_tree(&source, 51)?;
    let run = new.archive(&source, "alice/Mail")?;
    ensure!(run["sums"]["already"] == 50 && run["sums"]["archived"] == 1, "{run}");
    let last = seen(&new)?.pop().context("last")?;
    ensure!(last.0 > 1_000_000, "{last:?}");
    let exact = restored(&archive, &["--exact"])?;
    exact.archive(&source, "alice/Mail")?;
    ensure!(seen(&exact)?.pop().context("last")?.0 == 51);
    // With the keys in it, the backup is enough; a full directory is refused.
    backup(&archive, &["--with-key"])?;
    let with_key = Archive::empty()?;
    with_key.run(["restore", &dir])?.ok()?;
    ensure!(seen(&with_key)? == live);
    ensure!(with_key.run(["restore", &dir])?.code() == 1);
    // A sheet does as well.
    backup(&archive, &[])?;
    let sheet = archive.run(["key", "export", "--stdout"])?.ok()?.text();
    let by_sheet = Archive::empty()?;
    by_sheet.run_with(["restore", &dir, "--key", "-"], sheet.as_bytes())?.ok()?;
    ensure!(seen(&by_sheet)? == live);
    Ok(())
}

mod heavy {
    use super::*;

    const MESSAGES: u32 = 4_000;

    #[test]
    fn backups_in_the_middle_of_a_run_hold_a_beginning() -> Result {
        let archive = Archive::with_users(&["alice"])?;
        let source = archive.scratch().join("source");
        example_tree(&source, MESSAGES)?;
        let expected = source_hashes(&source)?;
        let server = archive.serve()?;
        let mut run = start_archive(&archive, &source)?;
        let (mut held, mut taken, begun) = (0, 0, Instant::now());
        loop {
            let ended = run.try_wait()?.is_some();
            let there = count(&archive)?;
            let account = backup(&archive, &[])?;
            taken += 1;
            let copied = account["stores"][0]["messages"].as_u64().context("messages")?;
            ensure!(copied >= there && copied >= held, "{copied} of at least {there}, after {held}");
            held = copied;
            if taken == 1 || ended {
                let new = restored(&archive, &[])?;
                let found = holds_a_beginning(&new, &expected)?;
                ensure!(found as u64 == copied, "{found} of {copied}");
            }
            if ended {
                break;
            }
            ensure!(begun.elapsed() < PATIENCE, "the run does not end");
        }
        ensure!(held == u64::from(MESSAGES));
        ensure!(server.terminate()?.success());
        Ok(())
    }

    #[test]
    fn a_backup_that_is_killed_leaves_the_one_before() -> Result {
        let archive = Archive::with_users(&["alice"])?;
        let (source, dir) = (archive.scratch().join("source"), backup_dir(&archive));
        example_tree(&source, 300)?;
        archive.archive(&source, "alice/Mail")?;
        backup(&archive, &[])?;
        example_tree(&source, MESSAGES)?;
        let expected = source_hashes(&source)?;
        archive.archive(&source, "alice/Mail")?;
        let shown = dir.display().to_string();
        let pack = dir.join("stores/0001/packs/00000001.pack");
        let len = std::fs::metadata(&pack)?.len();
        let points: [&dyn Fn() -> bool; 4] = [
            &|| dir.join("state-2").exists(),
            &|| dir.join("state-2/master.redb").exists(),
            &|| dir.join("state-2/stores/stores.toml").exists(),
            &|| std::fs::metadata(&pack).is_ok_and(|meta| meta.len() > len),
        ];
        for point in points {
            let mut child =
                archive.command(["backup", &shown]).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
            while !point() && child.try_wait()?.is_none() {
                std::thread::yield_now();
            }
            child.kill()?;
            child.wait()?;
            archive.run(["backup", "verify", &shown])?.ok()?;
            let list = archive.run(["backup", "show", &shown, "--json"])?.ok()?.json()?.remove(0);
            if list["number"] == 1 {
                ensure!(holds_a_beginning(&restored(&archive, &[])?, &expected)? == 300);
            }
        }
        backup(&archive, &["--verify-all"])?;
        ensure!(holds_a_beginning(&restored(&archive, &[])?, &expected)? == expected.len());
        Ok(())
    }

    /// docs/backup.md: the list of stores, then each store's packs from the highest number down, without the databases:
    /// what is copied so while archiving goes on always opens.
    #[test]
    fn a_plain_copy_in_the_documented_order_opens() -> Result {
        let archive = Archive::with_users(&["alice"])?;
        let conf = archive.data().join("mailkeep.toml");
        let text = std::fs::read_to_string(&conf)?;
        std::fs::write(&conf, text.replace("#max_pack_bytes = 1073741824", "max_pack_bytes = 1048576"))?;
        let source = archive.scratch().join("source");
        example_tree(&source, MESSAGES)?;
        let expected = source_hashes(&source)?;
        let quiet = archive.scratch().join("quiet");
        std::fs::create_dir(&quiet)?;
        for name in ["master.redb", "mailkeep.toml", "keys/master.key", "tls/cert.pem", "tls/key.pem"] {
            let to = quiet.join(name);
            std::fs::create_dir_all(to.parent().context("parent")?)?;
            std::fs::copy(archive.data().join(name), to)?;
        }
        let mut run = start_archive(&archive, &source)?;
        let stores = archive.data().join("stores");
        let mut found = Vec::new();
        loop {
            let ended = run.try_wait()?.is_some();
            let copy = Archive::empty()?;
            let copied = std::process::Command::new("cp").arg("-a").arg(&quiet).arg(copy.data()).status()?;
            ensure!(copied.success());
            let packs = stores.join("0001/packs");
            let highest_first = files(&packs)?.into_iter().rev();
            for from in [stores.join("stores.toml")].into_iter().chain(highest_first) {
                let to = copy.data().join(from.strip_prefix(archive.data())?);
                std::fs::create_dir_all(to.parent().context("parent")?)?;
                std::fs::copy(&from, to)?;
            }
            let opened = copy.run(["check"])?;
            ensure!(opened.code() == 0, "after {found:?}: {}{}", opened.text(), opened.stderr);
            found.push(holds_a_beginning(&copy, &expected)?);
            if ended {
                break;
            }
        }
        ensure!(found.last() == Some(&expected.len()), "{found:?}");
        Ok(())
    }
}
