//! Two hundred clients, and two thousand, with mixed commands while mail is being archived: no error, right bytes, and memory
//! that doesn't grow.
//!
//! Every run has some seconds of each, with fewer clients in the second; `--long` runs both for MAILKEEP_MINUTES (20), and says how long
//! each kind of command took.
#![cfg(target_os = "linux")]

use anyhow::{Context, ensure};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tests::load::{Plan, run};
use tests::mail::{example, example_tree};
use tests::{Archive, Imap, Result};

const MIB: u64 = 1 << 20;
/// Messages in each of a user's two mailboxes.
const MESSAGES: u32 = 400;
/// Messages of one archiving run beside the clients.
const BATCH: u32 = 150;

/// Memory of a process, bytes.
fn resident(pid: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS")?;
    let kib: u64 = line.split_whitespace().next().context("a number")?.parse()?;
    Ok(kib * 1024)
}

/// Archives new mail again and again until told to end; gives the number of messages.
fn keep_archiving(archive: &Archive, source: &Path, done: &AtomicBool) -> Result<u32> {
    let mut number = 0;
    while !done.load(Ordering::Relaxed) {
        let dir = source.join(number.to_string());
        std::fs::create_dir_all(&dir)?;
        for n in 0..BATCH {
            std::fs::write(dir.join(format!("{n:06}.eml")), example(1_000_000 + number * BATCH + n))?;
        }
        let folder = format!("u0/New/{}", number % 20);
        let account = archive.archive(&dir, &folder)?;
        ensure!(account["sums"]["archived"] == BATCH, "{}", account["sums"]);
        std::fs::remove_dir_all(&dir)?;
        number += 1;
    }
    Ok(number * BATCH)
}

fn clients_work(connections: usize, users: usize, time: Duration, pause: Duration) -> Result {
    let names: Vec<String> = (0..users).map(|number| format!("u{number}")).collect();
    let archive = Archive::with_users(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
    let source = archive.scratch().join("source");
    example_tree(&source, MESSAGES)?;
    for name in &names {
        for folder in ["One", "Two/Three"] {
            archive.archive(&source, &format!("{name}/{folder}"))?;
        }
    }
    let server = archive.serve()?;
    let mut imap = Imap::login(server.imap, "u0")?;
    let mut mailboxes = Vec::new();
    for name in ["One", "Two/Three"] {
        let hashes = imap.hashes(name)?;
        ensure!(hashes.iter().zip(1..).all(|((uid, _), expected)| *uid == expected), "UIDs from 1 on");
        mailboxes.push((name.to_owned(), hashes.into_iter().map(|(_, hash)| hash).collect()));
    }
    let plan = Plan { address: server.imap, users: names, connections, time, pause, mailboxes, seed: 7 };
    let (done, pid) = (AtomicBool::new(false), server.pid());
    let fresh = archive.scratch().join("fresh");
    let (outcome, archived, memory) = std::thread::scope(|scope| {
        let archiver = scope.spawn(|| keep_archiving(&archive, &fresh, &done));
        let watcher = scope.spawn(|| {
            let mut sizes = Vec::new();
            while !done.load(Ordering::Relaxed) {
                sizes.push(resident(pid)?);
                std::thread::sleep(time / 200);
            }
            Ok::<_, anyhow::Error>(sizes)
        });
        let outcome = run(plan);
        done.store(true, Ordering::Relaxed);
        (outcome, archiver.join(), watcher.join())
    });
    let mut outcome = outcome?;
    let archived = archived.map_err(|_| anyhow::anyhow!("the archiver panicked"))??;
    let memory = memory.map_err(|_| anyhow::anyhow!("the watcher panicked"))??;
    let (first, last) = (memory.len() / 4, memory.len() * 3 / 4);
    let highest = |sizes: &[u64]| sizes.iter().copied().max().unwrap_or(0);
    let (early, late) = (highest(&memory[first..memory.len() / 2]), highest(&memory[last..]));
    #[expect(clippy::print_stderr, reason = "what a load run measures is its result")]
    {
        eprintln!(
            "{connections} connections, {} answers, {} failures, {archived} messages archived; memory {} MiB in the second quarter, {} \
             MiB in the last\n{}",
            outcome.answers(),
            outcome.failures.len(),
            early / MIB,
            late / MIB,
            outcome.table()
        );
    }
    ensure!(
        outcome.failures.is_empty(),
        "{} failures: {:#?}",
        outcome.failures.len(),
        &outcome.failures[..outcome.failures.len().min(10)]
    );
    ensure!(archived > 0, "nothing was archived meanwhile");
    ensure!(outcome.answers() > connections, "{} answers", outcome.answers());
    // In a short run caches are still being filled.
    if tests::tools::long() {
        ensure!(late < early + early / 4 + 32 * MIB, "memory grows: {} to {} MiB", early / MIB, late / MIB);
    }
    ensure!(late < 1024 * MIB, "{} MiB", late / MIB);
    // Afterwards it is as it was before.
    ensure!(Imap::login(server.imap, "u0")?.hashes("One")?.len() == MESSAGES as usize);
    ensure!(server.terminate()?.success());
    archive.run(["check"])?.ok()?;
    Ok(())
}

/// How long, in a long run.
fn minutes() -> Result<Duration> {
    let minutes = std::env::var("MAILKEEP_MINUTES").unwrap_or_else(|_| "20".to_owned());
    Ok(Duration::from_secs(60 * minutes.parse::<u64>().context("MAILKEEP_MINUTES")?))
}

mod heavy {
    use super::*;

    #[test]
    fn two_hundred_clients_while_mail_is_archived() -> Result {
        let time = if tests::tools::long() { minutes()? } else { Duration::from_secs(8) };
        clients_work(200, 4, time, Duration::from_millis(400))
    }

    #[test]
    fn two_thousand_clients_while_mail_is_archived() -> Result {
        // A user has at most 250 connections, an address 2,000.
        let (connections, time) =
            if tests::tools::long() { (1_990, minutes()?) } else { (400, Duration::from_secs(12)) };
        clients_work(connections, 10, time, Duration::from_secs(if tests::tools::long() { 8 } else { 3 }))
    }
}
