//! Memory stays bounded: archiving a large mbox, servers without measure, and clients that ask for everything and read nothing.
//!
//! Peak sizes come from the kernel's own account of the process (/proc, so only on Linux).
#![cfg(target_os = "linux")]

use anyhow::{Context, ensure};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Child;
use std::time::Duration;
use tests::liar::{Liar, Mailbox};
use tests::mail::example;
use tests::profile::{create, last, sums};
use tests::{Archive, Imap, Result};

const MIB: u64 = 1 << 20;

/// A figure of /proc/PID/status, bytes; none once the process is gone.
fn status(pid: u32, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.trim_start_matches(':').split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Lets the child end and gives the largest memory it was seen with, besides the pages of the program's own file: those are the
/// kernel's to drop, and a build for tests has a hundred MiB of them.
fn peak(child: &mut Child) -> Result<u64> {
    let (mut highest, mut most) = (0, 0);
    while child.try_wait()?.is_none() {
        // VmHWM never falls, so looking now and then misses no peak but one in the last milliseconds.
        let now = status(child.id(), "VmHWM").unwrap_or(0);
        if now > highest {
            highest = now;
            most = most.max(now.saturating_sub(status(child.id(), "RssFile").unwrap_or(0)));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(most)
}

/// An mbox of `count` messages, each with about `filler` bytes of text from `words` words.
fn write_mbox(file: File, count: u32, filler: usize, words: u64) -> Result {
    let mut out = BufWriter::new(file);
    let mut state = 88_172_645_463_325_252_u64;
    for number in 0..count {
        writeln!(out, "From sender@example.org Mon Mar  1 10:00:00 2021")?;
        out.write_all(&example(number))?;
        let mut written = 0;
        for at in 0.. {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let word = format!("w{:04x}{}", state % words, if at % 10 == 9 { "\n" } else { " " });
            out.write_all(word.as_bytes())?;
            written += word.len();
            if written >= filler {
                break;
            }
        }
        writeln!(out, "\n")?;
    }
    out.flush()?;
    Ok(())
}

/// Archives such an mbox and gives the largest memory that it took.
fn archive_peak(count: u32, filler: usize, words: u64) -> Result<u64> {
    let archive = Archive::with_users(&["alice"])?;
    let source = archive.scratch().join("large.mbox");
    write_mbox(File::create(&source)?, count, filler, words)?;
    let log = File::create(archive.scratch().join("archive.log"))?;
    let mut command = archive.command(["archive", &source.to_string_lossy(), "--into", "alice/Large"]);
    let mut child = command.stdout(log.try_clone()?).stderr(log).spawn()?;
    let most = peak(&mut child)?;
    ensure!(child.wait()?.success());
    let run = archive.last_run()?;
    ensure!(run["sums"]["archived"] == count, "{}", run["sums"]);
    ensure!(most > 0, "no figure of the kernel was seen");
    Ok(most)
}

/// Runs a profile of one mailbox for each of these users, all at once; gives the largest memory that it took.
fn run_peak(archive: &Archive, users: &[(&str, Mailbox)]) -> Result<u64> {
    let liar = Liar::start(users)?;
    let list = archive.scratch().join("mailboxes.csv");
    let rows: String = users.iter().map(|(name, _)| format!("{name},secret,,alice\n")).collect();
    std::fs::write(&list, format!("user,password,address,archive\n{rows}"))?;
    std::fs::set_permissions(&list, std::fs::Permissions::from_mode(0o600))?;
    let path = list.to_string_lossy();
    let flags = ["--kind", "imap-csv", "--path", &path, "--parallel", "8", "--min-bytes", "1000"];
    create(archive, liar.imap, "all", "", &flags)?.ok()?;
    let log = File::create(archive.scratch().join("run.log"))?;
    let mut child =
        archive.command(["profile", "run", "all"]).stdout(log.try_clone()?).stderr(log).spawn()?;
    let most = peak(&mut child)?;
    let ended = child.wait()?;
    ensure!(ended.code() == Some(1), "what fails shows in the exit status: {ended}");
    ensure!(most > 0, "no figure of the kernel was seen");
    Ok(most)
}

mod heavy {
    use super::*;

    /// Eight mailboxes at once: 4 GiB announced for a message, EXISTS, mailboxes and a line without end, 100,000 messages, large ones
    /// (in a long run of 200 MB each), and an honest one.
    #[test]
    fn servers_without_measure_cost_a_run_no_more_than_its_bound() -> Result {
        let archive = Archive::with_users(&["alice"])?;
        let large = if tests::tools::long() { 200_000_000 } else { 30_000_000 };
        let most = run_peak(
            &archive,
            &[
                ("huge", Mailbox::HugeLiteral),
                ("exists", Mailbox::ExistsFlood),
                ("list", Mailbox::EndlessList),
                ("line", Mailbox::EndlessLine),
                ("many", Mailbox::Mail { count: 100_000, bytes: 300 }),
                ("large", Mailbox::Mail { count: 3, bytes: large }),
                ("good", Mailbox::Mail { count: 5, bytes: 2_000 }),
            ],
        )?;
        let run = last(&archive)?;
        // One huge message, and a folder or a mailbox of each that has no end.
        ensure!(sums(&run)? == [100_013, 9, 0, 0, 100_000, 4, 0], "{run}");
        let reasons = archive.run(["runs", "failed", "last", "--json"])?.ok()?.text();
        for words in [
            "4294967296 bytes",
            "responses to one command",
            "more than 100000 mailboxes",
            "a line of more than",
        ] {
            ensure!(reasons.contains(words), "{words}: {reasons}");
        }
        ensure!(most < 256 * MIB, "the run took {} MiB at its peak", most / MIB);
        Ok(())
    }

    #[test]
    fn a_large_mbox_is_archived_in_bounded_memory() -> Result {
        // 1.5 GB in a long run: if memory grew with the file, both would show it.
        let count = if tests::tools::long() { 30_000 } else { 4_000 };
        let most = archive_peak(count, 50_000, 1 << 16)?;
        ensure!(most < 512 * MIB, "archiving took {} MiB at its peak", most / MIB);
        Ok(())
    }

    /// Hardly a word twice: what grows with the vocabulary, growth of the index above all, shows here.
    #[test]
    fn a_vocabulary_without_end_is_archived_in_bounded_memory() -> Result {
        let megabytes = if tests::tools::long() { 600 } else { 120 };
        let most = archive_peak(megabytes * 20, 50_000, 1 << 32)?;
        ensure!(most < 384 * MIB, "archiving took {} MiB at its peak", most / MIB);
        Ok(())
    }

    #[test]
    fn clients_that_do_not_read_cost_little() -> Result {
        let archive = Archive::with_users(&["alice"])?;
        let source = archive.scratch().join("source");
        tests::mail::example_tree(&source, 2_000)?;
        let mut large = example(1);
        large.resize(40 << 20, b'\n');
        std::fs::write(source.join("large.eml"), &large)?;
        archive.archive(&source, "alice/Mail")?;
        let server = archive.serve()?;
        // What all share (caches, work areas, the allocator's reserve) is there with the first clients; what is added
        // from then on is the clients' own.
        let (few, many) = (20, 120);
        let mut silent = Vec::new();
        let mut sizes = Vec::new();
        for count in [few, many] {
            while silent.len() < count {
                let mut imap = Imap::login(server.imap, "alice")?;
                imap.examine("Mail")?;
                imap.begin("UID FETCH 1:* (UID FLAGS ENVELOPE BODYSTRUCTURE BODY.PEEK[])")?;
                silent.push(imap);
            }
            // Somebody else is served all the same; meanwhile the others' answers have gone as far as they can.
            Imap::login(server.imap, "alice")?.hashes("Mail")?;
            sizes.push(status(server.pid(), "VmRSS").context("VmRSS")?);
        }
        let each = sizes[1].saturating_sub(sizes[0]) / (many - few) as u64;
        ensure!(each < MIB, "{sizes:?}: {} KiB for each client that does not read", each / 1024);
        drop(silent);
        ensure!(server.terminate()?.success());
        Ok(())
    }
}
