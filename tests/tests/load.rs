//! Many clients with mixed commands while mail is being archived: no error, no growth of memory.
//!
//! By number of rounds usually; with `tests/run --long` by time: 200 clients, then 2,000, ten minutes each (MAILKEEP_LOAD_MINUTES).
#![cfg(target_os = "linux")]

use anyhow::{Context, anyhow, bail, ensure};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Builder;
use std::time::{Duration, Instant};
use tests::mail::example_tree;
use tests::tools::long;
use tests::{Archive, Imap, Result};

/// A client's thread does little.
const STACK: usize = 256 << 10;

/// When a client ends.
#[derive(Clone, Copy)]
enum End {
    Rounds(u32),
    At(Instant),
}

impl End {
    fn is_there(self, round: u32) -> bool {
        match self {
            End::Rounds(rounds) => round >= rounds,
            End::At(at) => Instant::now() >= at,
        }
    }
}

/// One client: logs in, and does what mail clients do; gives the times that its commands took.
fn client(server: std::net::SocketAddr, seed: u64, end: End) -> Result<Vec<Duration>> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let mut times = Vec::new();
    let mut round = 0;
    while !end.is_there(round) {
        let mut imap = Imap::login(server, "alice")?;
        let exists = imap.examine("Import")?;
        // A session lasts for some commands, then another one begins.
        for _ in 0..20 {
            round += 1;
            let uid = 1 + next(u64::from(exists.max(1)));
            let command = match next(9) {
                0 => "NOOP".to_owned(),
                1 => format!("UID FETCH {uid} (BODY.PEEK[])"),
                2 => "UID FETCH 1:* (FLAGS)".to_owned(),
                3 => {
                    format!("UID FETCH {}:{uid} (UID ENVELOPE BODYSTRUCTURE)", uid.saturating_sub(50).max(1))
                }
                4 => "UID SEARCH RETURN (COUNT) TEXT message".to_owned(),
                5 => "LIST \"\" *".to_owned(),
                6 => "STATUS Import (MESSAGES UIDNEXT UIDVALIDITY)".to_owned(),
                7 => "UID SORT (REVERSE DATE) UTF-8 ALL".to_owned(),
                _ => "EXAMINE Import".to_owned(),
            };
            let begun = Instant::now();
            imap.ok(&command)?;
            times.push(begun.elapsed());
            if end.is_there(round) {
                break;
            }
        }
        imap.ok("LOGOUT")?;
    }
    Ok(times)
}

fn resident(pid: u32) -> Result<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib = text
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    Ok(kib.context("VmRSS")? * 1_024)
}

/// Archives new mail again and again until it is to stop.
fn archiving(archive: &Archive, dir: &Path, stop: &AtomicBool) -> Result<u32> {
    let mut runs = 0;
    while !stop.load(Ordering::Relaxed) {
        let source = dir.join(format!("more-{runs}"));
        example_tree(&source, 50)?;
        let run = archive.archive(&source, "alice/More")?;
        ensure!(run["sums"]["failed"] == 0, "{run}");
        runs += 1;
    }
    Ok(runs)
}

fn load(clients: u64, end: impl Fn() -> End) -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let conf = archive.data().join("mailkeep.toml");
    let text = std::fs::read_to_string(&conf)?;
    let text = text.replace("\n#max_connections_per_user = 250\n", "\nmax_connections_per_user = 10000\n");
    let text =
        text.replace("\n#max_before_login_per_address = 50\n", "\nmax_before_login_per_address = 10000\n");
    let text =
        text.replace("\n#max_connections_per_address = 2000\n", "\nmax_connections_per_address = 10000\n");
    std::fs::write(&conf, text)?;
    let source = archive.scratch().join("source");
    example_tree(&source, 300)?;
    archive.archive(&source, "alice/Import")?;
    let server = archive.serve()?;
    let end = end();
    let mut threads = Vec::new();
    for seed in 1..=clients {
        let address = server.imap;
        threads.push(Builder::new().stack_size(STACK).spawn(move || client(address, seed, end))?);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let (mut times, mut early) = (Vec::new(), 0);
    let runs = std::thread::scope(|scope| -> Result<u32> {
        let more = scope.spawn(|| archiving(&archive, archive.scratch(), &stop));
        let mut broken = None;
        if let End::At(at) = end {
            // By then every cache is as full as it gets.
            std::thread::sleep(at.saturating_duration_since(Instant::now()) / 3);
            early = resident(server.pid()).unwrap_or(0);
        }
        for thread in threads {
            match thread.join() {
                Ok(Ok(took)) => times.extend(took),
                Ok(Err(error)) => broken = Some(error),
                Err(_) => broken = Some(anyhow!("a client panicked")),
            }
        }
        let late = resident(server.pid());
        stop.store(true, Ordering::Relaxed);
        let Ok(runs) = more.join() else { bail!("archiving panicked") };
        if let Some(error) = broken {
            return Err(error.context(server.log()?));
        }
        if early > 0 {
            let late = late?;
            ensure!(late < early + early / 4 + (32 << 20), "memory grew from {early} to {late} bytes");
        }
        runs
    })?;
    ensure!(runs > 0 && !times.is_empty());
    times.sort_unstable();
    let at = |part: usize| times.get(times.len() * part / 100).copied().unwrap_or_default();
    #[expect(clippy::print_stderr, reason = "the figures are what a long run is for")]
    {
        eprintln!(
            "{clients} clients: {} commands, median {:?}, p95 {:?}, {runs} runs",
            times.len(),
            at(50),
            at(95)
        );
    }
    ensure!(!server.log()?.contains("ERROR"), "{}", server.log()?);
    ensure!(server.terminate()?.success());
    Ok(())
}

#[test]
fn many_clients_while_mail_is_archived() -> Result {
    if !long() {
        return load(40, || End::Rounds(60));
    }
    let minutes = std::env::var("MAILKEEP_LOAD_MINUTES").ok().and_then(|m| m.parse().ok()).unwrap_or(10);
    for clients in [200, 2_000] {
        load(clients, || End::At(Instant::now() + Duration::from_secs(60 * minutes)))?;
    }
    Ok(())
}
