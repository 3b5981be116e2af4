//! What the server does by itself, by the calendar: with libfaketime, minutes pass in seconds and days between two starts.

use anyhow::ensure;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tests::clock::Clock;
use tests::liar::{LEAST_BYTES, Liar, Mailbox};
use tests::profile::{create, folders};
use tests::program::PATIENCE;
use tests::{Archive, Result};

/// Jobs at once.
const MOST: usize = 3;
/// Three in the morning in Berlin.
const NIGHTLY: [&str; 4] = ["--cron", "0 3 * * *", "--zone", "Europe/Berlin"];

/// An installation with a schedule: nightly work, work of each minute, and two profiles of each minute that never end by themselves.
fn installation(liar: &Liar) -> Result<Archive> {
    let archive = Archive::with_users(&["alice"])?;
    let conf = archive.data().join("mailkeep.toml");
    let text = std::fs::read_to_string(&conf)?;
    ensure!(text.contains("\n[schedule]\n"), "{text}");
    std::fs::write(&conf, text.replace("\n[schedule]\n", &format!("\n[schedule]\nmax_parallel = {MOST}\n")))?;
    for (name, user) in [("good", "good"), ("stuck-a", "stuck"), ("stuck-b", "stuck2")] {
        let into = format!("alice/{name}");
        let mut flags = vec!["--kind", "imap", "--user", user, "--password-stdin", "--into", &into];
        if name == "good" {
            flags.extend(NIGHTLY);
        } else {
            flags.extend(["--every", "1"]);
        }
        create(&archive, liar.imap, name, "a password", &flags)?.ok()?;
    }
    let backup = archive.scratch().join("backup").to_string_lossy().into_owned();
    for task in [&["again", "index"][..], &["check", "verify"], &["keep", "backup", "--dir", &backup]] {
        archive.run([&["schedule", "add"], task, &NIGHTLY].concat())?.ok()?;
    }
    archive.run(["schedule", "add", "tidy", "compact", "--every", "1"])?.ok()?;
    Ok(archive)
}

/// How often the schedule did each thing, by the audit log.
fn done(archive: &Archive) -> Result<BTreeMap<String, usize>> {
    let mut done = BTreeMap::new();
    for row in archive.run(["audit", "--json"])?.ok()?.json()?.iter().filter(|row| row["who"] == "schedule") {
        let what = row["what"].as_str().unwrap_or_default();
        *done.entry(what.split(' ').next().unwrap_or_default().to_owned()).or_default() += 1;
    }
    Ok(done)
}

/// Looks until it is so; at each look no more runs than may.
fn until<T>(archive: &Archive, what: &str, seen: impl Fn() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let jobs = jobs(archive)?;
        ensure!(jobs.len() <= MOST, "{jobs:?}");
        if let Some(seen) = seen()? {
            return Ok(seen);
        }
        ensure!(Instant::now() < deadline, "{what} did not come about: {:?} {jobs:?}", done(archive)?);
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn jobs(archive: &Archive) -> Result<Vec<Value>> {
    archive.run(["jobs", "list", "--json"])?.ok()?.json()
}

/// Runs of a profile, oldest first.
fn runs(archive: &Archive, profile: &str) -> Result<Vec<Value>> {
    let mut all = archive.run(["runs", "--json"])?.ok()?.json()?;
    all.retain(|run| run["source"] == format!("profile {profile}"));
    Ok(all)
}

fn has(archive: &Archive, wanted: &[(&str, usize)]) -> Result<Option<()>> {
    let done = done(archive)?;
    let enough = |(what, times): &(&str, usize)| done.get(*what).copied().unwrap_or(0) >= *times;
    Ok(wanted.iter().all(enough).then_some(()))
}

#[test]
fn nights_minutes_limits_and_what_was_missed() -> Result {
    let Some(clock) = Clock::need("schedules by the calendar")? else { return Ok(()) };
    let mail = Mailbox::Mail { count: 3, bytes: LEAST_BYTES };
    let liar = Liar::start(&[("good", mail), ("stuck", Mailbox::Hang), ("stuck2", Mailbox::Hang)])?;
    let archive = installation(&liar)?;
    let server = archive.serve_with(|command| clock.set(command, "2026-03-10 01:59:30", 12))?;
    let both = |archive: &Archive| {
        let jobs = jobs(archive)?;
        let id = |name: &str| jobs.iter().find(|job| job["name"] == name).and_then(|job| job["id"].as_u64());
        Ok(id("profile stuck-a").zip(id("profile stuck-b")))
    };
    let (stuck, _) = until(&archive, "both stuck profiles", || both(&archive))?;
    let listed = archive.run(["schedule", "list", "--json"])?.ok()?.json()?;
    let running = listed.iter().filter(|row| row["running"] == true).count();
    ensure!((2..=MOST).contains(&running), "{listed:?}");
    let nightly = [("index.rebuild", 1), ("verify.run", 1), ("backup.make", 1), ("store.compact", 2)];
    until(&archive, "the night's work, and twice that of each minute", || has(&archive, &nightly))?;
    until(&archive, "the good profile", || Ok((runs(&archive, "good")?.len() == 1).then_some(())))?;
    ensure!(folders(&archive)?.contains(&("alice/good/INBOX".to_owned(), 3)), "{:?}", folders(&archive)?);
    // Minutes have passed, and a stuck profile was not begun beside itself.
    for name in ["stuck-a", "stuck-b"] {
        let runs = runs(&archive, name)?;
        ensure!(runs.len() == 1 && runs[0]["state"] == "running", "{runs:?}");
    }
    archive.run(["profile", "edit", "stuck-a", "--paused", "true"])?.ok()?;
    archive.run(["jobs", "cancel", &stuck.to_string()])?.ok()?;
    until(&archive, "the end of what was cancelled", || {
        Ok((runs(&archive, "stuck-a")?[0]["state"] == "cancelled").then_some(()))
    })?;
    archive.run(["profile", "edit", "stuck-b", "--paused", "true"])?.ok()?;
    ensure!(server.terminate()?.success());
    ensure!(runs(&archive, "stuck-b")?[0]["state"] == "cancelled");
    let first = done(&archive)?;
    ensure!(
        ["index.rebuild", "verify.run", "backup.make"].iter().all(|what| first.get(*what) == Some(&1)),
        "{first:?}"
    );
    // Five nights were missed: each thing is done once for all of them, and no more in the minutes after.
    let server = archive.serve_with(|command| clock.set(command, "2026-03-15 12:00:00", 12))?;
    let ticks = first.get("store.compact").copied().unwrap_or(0) + 2;
    let missed = [("index.rebuild", 2), ("verify.run", 2), ("backup.make", 2), ("store.compact", ticks)];
    until(&archive, "what was missed", || has(&archive, &missed))?;
    until(&archive, "the good profile again", || Ok((runs(&archive, "good")?.len() >= 2).then_some(())))?;
    let second = done(&archive)?;
    ensure!(
        ["index.rebuild", "verify.run", "backup.make"].iter().all(|what| second.get(*what) == Some(&2)),
        "{second:?}"
    );
    ensure!(runs(&archive, "good")?.len() == 2 && runs(&archive, "stuck-a")?.len() == 1);
    ensure!(server.terminate()?.success());
    archive.run(["backup", "verify", &archive.scratch().join("backup").to_string_lossy()])?.ok()?;
    Ok(())
}
