//! The processes that read attachments, with the real program: confined, watched, replaced; one that dies costs one file.
#![cfg(target_os = "linux")]

use anyhow::{Context, ensure};
use extract::{Bounds, Format, Found, Pool, Settings};
use rustix::process::{Pid, Signal, kill_process};
use std::time::{Duration, Instant};
use tests::{Archive, Result, office, program};

/// A file that keeps a process busy for long, without text and in little memory: 400 MB of empty elements.
fn endless() -> Result<Vec<u8>> {
    office::xlsx("<c/>", 100_000_000)
}

fn settings() -> Result<Settings> {
    Ok(Settings {
        program: program::binary()?,
        formats: Format::all().collect(),
        workers: 1,
        time_secs: 60,
        memory_bytes: 192 << 20,
        input_bytes: 32 << 20,
        bounds: Bounds { inflated_bytes: 1 << 40, ..Bounds::default() },
    })
}

fn text(found: Option<Found>) -> Result<String> {
    let found = found.context("it is switched off")?;
    ensure!(found.trouble.is_none(), "{found:?}");
    Ok(found.text)
}

fn trouble(found: Option<Found>) -> Result<String> {
    found.and_then(|found| found.trouble).context("nothing went wrong")
}

/// Still at work?
fn works(pool: &Pool) -> Result {
    ensure!(text(pool.extract(Format::Rtf, br"{\rtf1 words}"))? == "words");
    Ok(())
}

/// The processes that this one started.
fn children() -> Result<Vec<u32>> {
    children_of(std::process::id())
}

fn children_of(parent: u32) -> Result<Vec<u32>> {
    let me = format!("PPid:\t{parent}");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // It may have ended in between.
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        if status.lines().any(|line| line == me) && !status.contains("State:\tZ") {
            found.push(pid);
        }
    }
    Ok(found)
}

fn one_child() -> Result<u32> {
    one_child_of(std::process::id())
}

fn one_child_of(parent: u32) -> Result<u32> {
    let end = Instant::now() + program::PATIENCE;
    while Instant::now() < end {
        if let [pid] = children_of(parent)?[..] {
            return Ok(pid);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    anyhow::bail!("no process was started")
}

/// Waits until a process has used so much of a processor.
fn busy(pid: u32, ticks: u64) -> Result {
    let end = Instant::now() + program::PATIENCE;
    while Instant::now() < end {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let user = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(11));
        if user.and_then(|user| user.parse::<u64>().ok()).context("its time")? >= ticks {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    anyhow::bail!("it does nothing")
}

#[test]
fn every_file_gets_its_text_and_a_process_is_started_once() -> Result {
    let pool = Pool::new(settings()?);
    ensure!(children()?.is_empty(), "none before there is work");
    ensure!(text(pool.extract(Format::Pdf, &office::pdf("Hello archive")))? == "Hello archive");
    let first = one_child()?;
    ensure!(text(pool.extract(Format::Docx, &office::docx("one\ntwo")?))? == "one\ntwo");
    for _ in 0..50 {
        works(&pool)?;
    }
    ensure!(one_child()? == first);
    drop(pool);
    ensure!(children()?.is_empty(), "none is left behind");
    let off = Pool::new(Settings { formats: vec![Format::Pdf], ..settings()? });
    ensure!(off.extract(Format::Rtf, b"x").is_none() && children()?.is_empty());
    Ok(())
}

#[test]
fn a_process_has_nothing_that_it_does_not_need() -> Result {
    let pool = Pool::new(settings()?);
    works(&pool)?;
    let pid = one_child()?;
    let file = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
    let status = file("status")?;
    ensure!(status.contains("NoNewPrivs:\t1"), "{status}");
    let limits = file("limits")?;
    for (name, value) in [
        ("Max open files", "3"),
        ("Max file size", "0"),
        ("Max core file size", "0"),
        ("Max data size", "201326592"),
    ] {
        let line = limits.lines().find(|line| line.starts_with(name)).context("a limit")?;
        let values: Vec<&str> = line[name.len()..].split_whitespace().take(2).collect();
        ensure!(values == [value, value], "{line}");
    }
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        let number: u32 = entry?.file_name().to_string_lossy().parse()?;
        // What this test's own starter left open for everybody is not ours to close.
        let mine = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).unwrap_or_default();
        let flags = mine.lines().find_map(|line| line.strip_prefix("flags:")).map(str::trim);
        let flags = u32::from_str_radix(flags.unwrap_or("2000000"), 8)?;
        ensure!(number <= 2 || flags & 0o2_000_000 == 0, "descriptor {number} went along");
    }
    let environment = file("environ")?;
    let names: Vec<&str> = environment.split('\0').filter_map(|pair| pair.split('=').next()).collect();
    ensure!(names == ["MALLOC_ARENA_MAX", "PDF_OXIDE_MAX_DECOMPRESS_MB", ""], "{names:?}");
    ensure!(std::fs::read_link(format!("/proc/{pid}/cwd"))? == std::path::Path::new("/"));
    Ok(())
}

#[test]
fn a_file_that_takes_too_long_ends_with_its_process() -> Result {
    let pool = Pool::new(Settings { time_secs: 1, ..settings()? });
    works(&pool)?;
    let first = one_child()?;
    let why = trouble(pool.extract(Format::Xlsx, &endless()?))?;
    ensure!(why == "it takes longer than 1 s", "{why}");
    works(&pool)?;
    ensure!(one_child()? != first);
    Ok(())
}

#[test]
fn a_pdf_whose_pages_go_in_circles_costs_itself_only() -> Result {
    let file = String::from_utf8(office::pdf("round and round"))?;
    // The tree of pages has itself as a child, twice.
    let file = file.replace("/Count 1/Kids[3 0 R]", "/Count 9/Kids[2 0 R 2 0 R 3 0 R]");
    let pool = Pool::new(Settings { time_secs: 2, ..settings()? });
    let why = trouble(pool.extract(Format::Pdf, file.as_bytes()))?;
    ensure!(why == "it takes longer than 2 s", "{why}");
    works(&pool)
}

#[test]
fn a_process_that_is_killed_costs_its_file_only() -> Result {
    let pool = Pool::new(settings()?);
    let file = endless()?;
    let found = std::thread::scope(|scope| -> Result<Option<Found>> {
        let asked = scope.spawn(|| pool.extract(Format::Xlsx, &file));
        let pid = one_child()?;
        // In the middle of it.
        busy(pid, 20)?;
        kill_process(Pid::from_raw(i32::try_from(pid)?).context("process id")?, Signal::KILL)?;
        Ok(asked.join().ok().flatten())
    })?;
    let why = trouble(found)?;
    ensure!(why == "its process was ended by signal 9", "{why}");
    works(&pool)?;
    // One that dies between two files costs nothing.
    let pid = one_child()?;
    kill_process(Pid::from_raw(i32::try_from(pid)?).context("process id")?, Signal::KILL)?;
    for _ in 0..3 {
        works(&pool)?;
    }
    Ok(())
}

#[test]
fn a_file_that_wants_too_much_memory_ends_with_its_process() -> Result {
    let bounds = Bounds { entry_bytes: 1 << 40, ..settings()?.bounds };
    let pool = Pool::new(Settings { memory_bytes: 64 << 20, bounds, ..settings()? });
    works(&pool)?;
    let first = one_child()?;
    // Too large to be read: that is seen coming.
    let large = office::zip(&[("a.txt", &vec![b'x'; 100 << 20])])?;
    let why = trouble(pool.extract(Format::Zip, &large))?;
    ensure!(why == "a.txt: it needs more memory than it may", "{why}");
    ensure!(one_child()? == first);
    // Too large for what is made of it: the process ends, twice, for it had read files before.
    let large = office::zip(&[("a.txt", &vec![b'x'; 24 << 20])])?;
    let why = trouble(pool.extract(Format::Zip, &large))?;
    ensure!(why == "it needs more than 67108864 bytes of memory", "{why}");
    works(&pool)
}

#[test]
fn files_are_read_up_to_their_bound() -> Result {
    let rtf = br"{\rtf1 words}";
    let bound = rtf.len() as u64;
    ensure!(
        text(Pool::new(Settings { input_bytes: bound, ..settings()? }).extract(Format::Rtf, rtf))? == "words"
    );
    let pool = Pool::new(Settings { input_bytes: bound - 1, ..settings()? });
    ensure!(trouble(pool.extract(Format::Rtf, rtf))? == format!("it has more than {} bytes", bound - 1));
    ensure!(children()?.is_empty());
    Ok(())
}

#[test]
fn without_a_process_everything_fails_with_a_reason() -> Result {
    for program in ["/nowhere/mailkeep", "/bin/false"] {
        let pool = Pool::new(Settings { program: program.into(), ..settings()? });
        let why = trouble(pool.extract(Format::Rtf, b"x"))?;
        ensure!(why.starts_with("no process for it could be started"), "{why}");
    }
    Ok(())
}

#[test]
fn many_ask_at_once() -> Result {
    let pool = Pool::new(Settings { workers: 3, ..settings()? });
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..12).map(|_| scope.spawn(|| (0..20).try_for_each(|_| works(&pool)))).collect();
        all.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("it panicked"))?)
    })?;
    ensure!(children()?.len() <= 3);
    Ok(())
}

#[test]
fn a_process_that_is_killed_costs_a_run_nothing() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let conf = archive.data().join("mailkeep.toml");
    let text = std::fs::read_to_string(&conf)?;
    let settings = "[attachments]\nworkers = 1\ntime_limit_secs = 120\nmax_inflated_bytes = 1000000000000\n";
    std::fs::write(&conf, text.replace("[attachments]\n", settings))?;
    let octets = "application/octet-stream";
    let dir = archive.scratch().join("mail");
    std::fs::create_dir(&dir)?;
    let messages = [
        office::message("endless", &[("endless.xlsx", octets, &endless()?)]),
        office::message("after", &[("after.rtf", octets, br"{\rtf1 words after}")]),
    ];
    for (name, message) in ["1.eml", "2.eml"].iter().zip(messages) {
        std::fs::write(dir.join(name), message)?;
    }
    let source = dir.to_string_lossy().into_owned();
    let mut run = archive.command(["archive", &source, "--into", "alice/Inbox"]).spawn()?;
    let pid = one_child_of(run.id())?;
    busy(pid, 20)?;
    kill_process(Pid::from_raw(i32::try_from(pid)?).context("process id")?, Signal::KILL)?;
    ensure!(program::wait(&mut run)?.success());
    let account = archive.last_run()?;
    ensure!(account["sums"]["archived"] == 2 && account["sums"]["failed"] == 0, "{account}");
    let failed = archive.run(["index", "status", "--failed", "--json"])?.ok()?.json()?;
    ensure!(failed.len() == 1 && failed[0]["fileName"] == "endless.xlsx", "{failed:?}");
    ensure!(failed[0]["reason"] == "its process was ended by signal 9", "{failed:?}");
    let found = archive.run(["search", "--user", "alice", "--json", "\"words after\""])?.ok()?.json()?;
    ensure!(found.len() == 1, "{found:?}");
    Ok(())
}
