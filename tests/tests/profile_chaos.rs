//! Profile runs of the real program against a Dovecot, with deletion at the source: killed at any byte that the server sent, and with
//! connections that end at any byte.
//!
//! Always: what was delivered is at the server or in the archive, nothing is in the archive twice, the accounts agree, `runs` says how
//! each run ended, and a rerun completes. A failure names its seed; `MAILKEEP_SEED=N` begins there.

use anyhow::{Context, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Instant;
use tests::generate::Dice;
use tests::profile::{create, folders, hash, hashes, last, message, sums};
use tests::program::PATIENCE;
use tests::proxy::Proxy;
use tests::{Archive, MailServer, Result};

const ANN: &str = "ann@example.org";
const FOLDERS: [&str; 3] = ["INBOX", "Work", "Work/Old"];
/// Messages that come before each run.
const NEWS: u32 = 12;

struct World {
    server: MailServer,
    proxy: Proxy,
    archive: Archive,
    /// Where each message was put, with its hash.
    delivered: Vec<(PathBuf, String)>,
}

impl World {
    /// A mailbox and a profile that deletes at the source what it has archived.
    fn new(what: &str) -> Result<Option<World>> {
        let Some(server) = MailServer::with_users(what, &[ANN])? else { return Ok(None) };
        let proxy = Proxy::start(server.imap)?;
        let archive = Archive::with_users(&["alice"])?;
        let flags =
            ["--kind", "imap", "--user", ANN, "--password-stdin", "--into", "alice", "--delete-after", "0"];
        create(&archive, proxy.address, "ann", &Archive::password(ANN), &flags)?.ok()?;
        Ok(Some(World { server, proxy, archive, delivered: Vec::new() }))
    }

    fn news(&mut self) -> Result {
        for _ in 0..NEWS {
            let n = u32::try_from(self.delivered.len())?;
            let text = message(n, "");
            let path = self.server.deliver(ANN, FOLDERS[n as usize % FOLDERS.len()], &text)?;
            self.delivered.push((path, hash(&text)));
        }
        Ok(())
    }

    /// What is at the server: a message's file keeps its name up to the flags.
    fn at_server(&self) -> Result<BTreeSet<String>> {
        let mut there = BTreeSet::new();
        for (path, hash) in &self.delivered {
            let dir = path.parent().context("a folder")?;
            let name = path.file_name().and_then(|name| name.to_str()).context("a name")?;
            let stem = name.split(':').next().unwrap_or(name);
            if names(dir)?.iter().any(|other| other.split(':').next() == Some(stem)) {
                there.insert(hash.clone());
            }
        }
        Ok(there)
    }

    fn all(&self) -> BTreeSet<String> {
        self.delivered.iter().map(|(_, hash)| hash.clone()).collect()
    }

    /// Nothing is lost and nothing is there twice; the accounts agree.
    fn is_right(&self) -> Result {
        let archived = hashes(&self.archive, "alice")?;
        let both: BTreeSet<String> = archived.union(&self.at_server()?).cloned().collect();
        ensure!(both == self.all(), "{} of {} messages are left", both.len(), self.delivered.len());
        let placements: u64 = folders(&self.archive)?.iter().map(|(_, messages)| messages).sum();
        ensure!(
            placements == archived.len() as u64,
            "{placements} placements of {} messages",
            archived.len()
        );
        let mut told = 0;
        for run in self.archive.run(["runs", "--json"])?.ok()?.json()? {
            let [seen, archived, already, moved, filtered, failed, _] = sums(&run)?;
            ensure!(seen == archived + already + moved + filtered + failed, "{run}");
            ensure!(run["state"] != "running", "{run}");
            told += archived;
        }
        ensure!(told <= placements, "the accounts tell of {told} messages, {placements} are there");
        Ok(())
    }

    /// A run to its end: all is archived, and gone from the server.
    fn completes(&self) -> Result {
        let ran = self.archive.run(["profile", "run", "ann"])?;
        ensure!(ran.code() == 0, "{}{}", ran.text(), ran.stderr);
        let account = last(&self.archive)?;
        ensure!(account["state"] == "succeeded", "{account}");
        self.is_right()?;
        ensure!(self.at_server()?.is_empty() && hashes(&self.archive, "alice")? == self.all(), "{account}");
        Ok(())
    }
}

fn names(dir: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(dir)?.collect::<std::io::Result<Vec<_>>>()?;
    Ok(entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect())
}

fn seeds(usual: u64) -> std::ops::Range<u64> {
    let first = std::env::var("MAILKEEP_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    first..first + if tests::tools::long() { usual * 20 } else { usual }
}

/// Waits until so many bytes came from the server; false when the program ended before.
fn until(child: &mut Child, proxy: &Proxy, bytes: u64) -> Result<bool> {
    let deadline = Instant::now() + PATIENCE;
    while proxy.passed() < bytes {
        if child.try_wait()?.is_some() {
            return Ok(false);
        }
        ensure!(Instant::now() < deadline, "the run stands still");
        std::thread::yield_now();
    }
    Ok(true)
}

/// How many bytes the server sends in a whole run.
fn bytes_of_a_run(world: &mut World) -> Result<u64> {
    world.news()?;
    world.completes()?;
    Ok(world.proxy.passed())
}

fn killed_once(world: &mut World, bytes: u64, dice: &mut Dice) -> Result {
    world.news()?;
    let at = world.proxy.passed() + dice.below(bytes);
    let runs = world.archive.run(["runs", "--json"])?.ok()?.json()?.len();
    let mut command = world.archive.command(["profile", "run", "ann"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let was_killed = until(&mut child, &world.proxy, at)?;
    child.kill()?;
    let ended = child.wait()?;
    world.is_right()?;
    let all = world.archive.run(["runs", "--json"])?.ok()?.json()?;
    if all.len() > runs && was_killed && ended.code().is_none() {
        let run = all.last().context("a run")?;
        // Killed in its last moment it may have been done.
        let told =
            run["error"].as_str().is_some_and(|error| error.contains("ended in the middle of this run"));
        ensure!(run["state"] == "failed" && told || run["state"] == "succeeded", "{run}");
    }
    Ok(())
}

#[test]
fn runs_that_are_killed_at_any_byte() -> Result {
    let Some(mut world) = World::new("killing profile runs")? else { return Ok(()) };
    let bytes = bytes_of_a_run(&mut world)?;
    for seed in seeds(5) {
        let mut dice = Dice::new(&[seed]);
        killed_once(&mut world, bytes, &mut dice).with_context(|| format!("MAILKEEP_SEED={seed}"))?;
    }
    world.completes()?;
    world.archive.run(["verify"])?.ok()?;
    Ok(())
}

#[test]
fn connections_that_end_at_any_byte() -> Result {
    let Some(mut world) = World::new("cutting a profile run's connections")? else { return Ok(()) };
    let bytes = bytes_of_a_run(&mut world)?;
    for seed in seeds(4) {
        // Each usual round in another stage: greeting and login, folders, messages, deletion.
        let stage = bytes / 4;
        let at = stage * (seed % 4) + Dice::new(&[seed]).below(stage);
        world.news()?;
        world.proxy.cut_after(at);
        world.completes().with_context(|| format!("MAILKEEP_SEED={seed}"))?;
        ensure!(world.proxy.was_cut(), "MAILKEEP_SEED={seed}: the run was shorter than {at} bytes");
    }
    Ok(())
}

#[test]
fn a_network_that_is_gone_for_good() -> Result {
    let Some(mut world) = World::new("a profile run whose network goes")? else { return Ok(()) };
    let bytes = bytes_of_a_run(&mut world)?;
    // In the middle of the messages, then while it deletes; it gives up after minutes, which a long run waits for once.
    let cuts = [bytes / 2, bytes * 9 / 10];
    for at in cuts.into_iter().take(if tests::tools::long() { 1 } else { 2 }) {
        world.news()?;
        let (before, refused) = (world.at_server()?, world.proxy.refused());
        world.proxy.down_after(at);
        let mut command = world.archive.command(["profile", "run", "ann"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn()?;
        let deadline = Instant::now() + PATIENCE;
        // It tries again; who doesn't want to wait until it gives up ends it.
        while world.proxy.refused() < refused + 2 {
            ensure!(child.try_wait()?.is_none(), "it gave up at once");
            ensure!(Instant::now() < deadline, "it doesn't try again");
            std::thread::yield_now();
        }
        if !tests::tools::long() {
            tests::program::signal(&child, rustix::process::Signal::INT)?;
        }
        let ended = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&ended.stderr);
        ensure!(!ended.status.success(), "a run without a network says that all is well: {said}");
        let account = last(&world.archive)?;
        let wanted = if tests::tools::long() { "completedWithErrors" } else { "cancelled" };
        ensure!(account["state"] == wanted, "{account} {said}");
        if tests::tools::long() {
            let failed = world.archive.run(["runs", "failed", "last", "--json"])?.ok()?.text();
            ensure!(
                failed.contains("connect") && failed.contains(&world.proxy.address.port().to_string()),
                "{failed}"
            );
        }
        world.is_right()?;
        ensure!(world.at_server()?.is_subset(&before), "something came to the server");
        world.proxy.up();
        world.completes()?;
    }
    Ok(())
}
