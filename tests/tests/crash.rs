//! The program dies in the middle of archiving: killed at many points, or asked to end. What was acknowledged is there,
//! in order, once; and a rerun completes the rest.
//!
//! The moment of a kill is chosen by what the run has written, never by a clock: the test watches the packs grow.

use anyhow::{Context, ensure};
use rustix::process::Signal;
use std::ffi::OsStr;
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};
use tests::mail::{canonical, example_tree, files, sha256};
use tests::program::{PATIENCE, signal, wait};
use tests::{Archive, Imap, Result};

/// Bytes of all packs.
fn pack_bytes(archive: &Archive) -> u64 {
    let packs = files(&archive.data().join("stores/0001/packs")).unwrap_or_default();
    packs.iter().filter_map(|pack| Some(std::fs::metadata(pack).ok()?.len())).sum()
}

/// Waits until the packs have grown to `bytes`; false when the child ended before.
fn until_written(archive: &Archive, child: &mut Child, bytes: u64) -> Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if child.try_wait()?.is_some() {
            return Ok(false);
        }
        if pack_bytes(archive) >= bytes {
            return Ok(true);
        }
        ensure!(Instant::now() < deadline, "the packs never reached {bytes} bytes");
        std::thread::sleep(Duration::from_micros(500));
    }
}

fn start_archive(archive: &Archive, source: &Path) -> Result<Child> {
    let arguments =
        [OsStr::new("archive"), source.as_os_str(), OsStr::new("--into"), OsStr::new("alice/Mail")];
    let log = std::fs::File::create(archive.scratch().join("archive.log"))?;
    Ok(archive.command(arguments).stdout(log.try_clone()?).stderr(log).spawn()?)
}

/// Hashes of the source's messages in order.
fn source_hashes(source: &Path) -> Result<Vec<String>> {
    files(source)?.iter().map(|file| Ok(sha256(&canonical(&std::fs::read(file)?)))).collect()
}

/// What alice sees in `Mail`, in order; nothing if the folder isn't there.
fn seen(archive: &Archive) -> Result<Vec<String>> {
    let server = archive.serve()?;
    let mut imap = Imap::login(server.imap, "alice")?;
    let hashes = if imap.command("EXAMINE Mail")?.1.starts_with("OK") {
        let found = imap.hashes("Mail")?;
        ensure!(found.windows(2).all(|pair| pair[0].0 < pair[1].0), "UIDs don't rise");
        found.into_iter().map(|(_, hash)| hash).collect()
    } else {
        Vec::new()
    };
    ensure!(server.terminate()?.success());
    Ok(hashes)
}

/// After the end of a run, whatever it was: all that was acknowledged is there, and a rerun brings the rest, once.
fn nothing_is_lost(
    archive: &Archive,
    source: &Path,
    expected: &[String],
    acknowledged: usize,
) -> Result<usize> {
    let before = seen(archive)?;
    ensure!(before.len() >= acknowledged, "{acknowledged} were acknowledged, {} are there", before.len());
    ensure!(
        before.as_slice() == &expected[..before.len()],
        "what is there is not the beginning of the source"
    );
    archive.run(["check"])?.ok().context("check after the end")?;
    let run = archive.archive(source, "alice/Mail")?;
    let sums = &run["sums"];
    ensure!(sums["already"] == before.len() as u64, "{} were there, the rerun says {sums}", before.len());
    ensure!(sums["archived"] == (expected.len() - before.len()) as u64, "rerun: {sums}");
    ensure!(seen(archive)? == expected, "after the rerun the folder is not the source");
    archive.run(["check"])?.ok().context("check after the rerun")?;
    Ok(before.len())
}

/// What the ledger of all runs says was archived.
fn acknowledged(archive: &Archive) -> Result<usize> {
    let runs = archive.run(["runs", "--json"])?.ok()?.json()?;
    ensure!(runs.iter().all(|run| run["state"] != "running"), "a dead run still counts as running");
    Ok(runs.iter().filter_map(|run| run["sums"]["archived"].as_u64()).sum::<u64>() as usize)
}

mod heavy {
    use super::*;

    #[test]
    fn killed_while_archiving_nothing_acknowledged_is_missing() -> Result {
        let points: u64 = if tests::tools::long() { 60 } else { 6 };
        let scratch = tempfile::tempdir()?;
        let source = scratch.path().join("source");
        example_tree(&source, 5_000)?;
        let expected = source_hashes(&source)?;
        // A whole run tells how much there is to write.
        let whole = Archive::with_users(&["alice"])?;
        let start = pack_bytes(&whole);
        whole.archive(&source, "alice/Mail")?;
        let bytes = pack_bytes(&whole) - start;
        drop(whole);
        let mut in_the_middle = 0;
        for point in 0..points {
            let archive = Archive::with_users(&["alice"])?;
            let mut child = start_archive(&archive, &source)?;
            let reached = until_written(&archive, &mut child, start + bytes * point / points)?;
            child.kill()?;
            child.wait()?;
            ensure!(reached || point + 1 == points, "the run ended before point {point} of {points}");
            let acknowledged = acknowledged(&archive)?;
            let there = nothing_is_lost(&archive, &source, &expected, acknowledged)
                .with_context(|| format!("killed at point {point} of {points}"))?;
            in_the_middle += usize::from(there > 0 && there < expected.len());
        }
        ensure!(in_the_middle > 0, "no kill hit the middle of the run");
        Ok(())
    }

    #[test]
    fn killed_again_and_again_the_archive_completes() -> Result {
        let archive = Archive::with_users(&["alice"])?;
        let source = archive.scratch().join("source");
        example_tree(&source, 3_000)?;
        let expected = source_hashes(&source)?;
        for _ in 0..4 {
            let mut child = start_archive(&archive, &source)?;
            let target = pack_bytes(&archive) + 60_000;
            until_written(&archive, &mut child, target)?;
            child.kill()?;
            child.wait()?;
        }
        let acknowledged = acknowledged(&archive)?;
        nothing_is_lost(&archive, &source, &expected, acknowledged)?;
        Ok(())
    }

    #[test]
    fn a_killed_server_keeps_what_its_clients_have_seen() -> Result {
        let archive = Archive::with_users(&["alice"])?;
        let source = archive.scratch().join("source");
        example_tree(&source, 5_000)?;
        let expected = source_hashes(&source)?;
        let server = archive.serve()?;
        let mut imap = Imap::login(server.imap, "alice")?;
        let mut child = start_archive(&archive, &source)?;
        let mut visible = 0;
        while visible == 0 && child.try_wait()?.is_none() {
            if imap.command("EXAMINE Mail")?.1.starts_with("OK") {
                visible = imap.examine("Mail")?;
            }
        }
        ensure!(visible > 0, "nothing was to be seen while archiving");
        server.kill()?;
        let status = wait(&mut child)?;
        ensure!(
            !status.success() || visible as usize == expected.len(),
            "archive says it succeeded without a server"
        );
        let acknowledged = acknowledged(&archive)?.max(visible as usize);
        let run = archive.last_run()?;
        ensure!(status.success() || run["state"] == "failed" && run["error"].is_string(), "{run}");
        nothing_is_lost(&archive, &source, &expected, acknowledged)?;
        Ok(())
    }

    #[test]
    fn sigterm_says_bye_and_keeps_whole_batches() -> Result {
        let archive = Archive::with_users(&["alice"])?;
        let source = archive.scratch().join("source");
        example_tree(&source, 5_000)?;
        let expected = source_hashes(&source)?;
        let server = archive.serve()?;
        let idle = Imap::connect(server.imap)?;
        let mut imap = Imap::login(server.imap, "alice")?;
        let mut child = start_archive(&archive, &source)?;
        ensure!(
            until_written(&archive, &mut child, pack_bytes(&archive) + 50_000)?,
            "the run ended too early"
        );
        server.ask_to_end()?;
        // Whatever the session is doing, its last words are BYE.
        imap.send(b"")?;
        for session in [imap, idle] {
            let last = session.rest()?;
            let text = String::from_utf8_lossy(&last);
            ensure!(text.starts_with("* BYE") && text.ends_with("\r\n"), "instead of BYE: {text:?}");
        }
        ensure!(server.wait()?.success(), "serve didn't end well");
        let status = wait(&mut child)?;
        let run = archive.last_run()?;
        let archived = run["sums"]["archived"].as_u64().context("archived")? as usize;
        ensure!(status.success() == (archived == expected.len()), "{status} with {archived} archived");
        ensure!(
            ["cancelled", "succeeded"].iter().any(|state| run["state"] == *state),
            "state {}",
            run["state"]
        );
        let there = nothing_is_lost(&archive, &source, &expected, archived)?;
        ensure!(there == archived, "the ledger says {archived}, {there} are there");
        Ok(())
    }

    #[test]
    fn sigterm_ends_an_archive_run_without_a_server() -> Result {
        let archive = Archive::with_users(&["alice"])?;
        let source = archive.scratch().join("source");
        example_tree(&source, 5_000)?;
        let expected = source_hashes(&source)?;
        let mut child = start_archive(&archive, &source)?;
        ensure!(
            until_written(&archive, &mut child, pack_bytes(&archive) + 50_000)?,
            "the run ended too early"
        );
        signal(&child, Signal::TERM)?;
        let status = wait(&mut child)?;
        let archived = acknowledged(&archive)?;
        ensure!(status.success() == (archived == expected.len()), "{status} with {archived} archived");
        let there = nothing_is_lost(&archive, &source, &expected, archived)?;
        ensure!(there == archived, "the ledger says {archived}, {there} are there");
        Ok(())
    }
}
