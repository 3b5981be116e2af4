//! Clients that vanish at any byte, stores that vanish under an answer, disks that fill under a server: whoever else is there
//! is served all the same, nothing comes out wrong, and nothing is left behind.

use anyhow::{Context, ensure};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tests::imap::Fetched;
use tests::mail::{canonical, example, example_tree, sha256};
use tests::pages::{page, set};
use tests::program::{PATIENCE, free_port};
use tests::{Archive, Imap, Result, Server};

/// Waits until `condition` holds.
fn until(what: &str, mut condition: impl FnMut() -> Result<bool>) -> Result {
    let begun = Instant::now();
    while !condition()? {
        ensure!(begun.elapsed() < PATIENCE, "still waiting: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Open sockets of a process.
fn sockets(pid: u32) -> Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        // One that is closed meanwhile is gone.
        let Ok(target) = fs::read_link(entry?.path()) else { continue };
        count += usize::from(target.to_string_lossy().starts_with("socket:"));
    }
    Ok(count)
}

#[cfg(target_os = "linux")]
#[test]
fn clients_that_vanish_at_any_byte_leave_nothing_behind() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let source = archive.scratch().join("source");
    example_tree(&source, 3)?;
    fs::write(source.join("large.eml"), [example(4), vec![b'x'; 300_000]].concat())?;
    archive.archive(&source, "alice/Mail")?;
    let server = archive.serve()?;
    let mut steady = Imap::login(server.imap, "alice")?;
    let truth = steady.hashes("Mail")?;
    let alone = sockets(server.pid())?;
    // The whole conversation, and how long its answer is.
    let talk = format!(
        "a LOGIN alice \"{}\"\r\nb EXAMINE Mail\r\nc UID FETCH 1:3 (FLAGS ENVELOPE BODY.PEEK[])\r\nd UID SEARCH TEXT {{4}}\r\nbody\r\n\
         e FETCH 4 BODY.PEEK[]\r\nf IDLE\r\n",
        Archive::password("alice")
    );
    let connect = || -> Result<TcpStream> {
        let stream = TcpStream::connect(server.imap)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(stream)
    };
    let mut stream = connect()?;
    stream.write_all(talk.as_bytes())?;
    let mut whole = Vec::new();
    let mut piece = [0; 65_536];
    while !whole.ends_with(b"+ idling\r\n") {
        let got = stream.read(&mut piece)?;
        ensure!(got > 0, "closed after {:?}", String::from_utf8_lossy(&whole));
        whole.extend_from_slice(&piece[..got]);
    }
    drop(stream);
    let long = tests::tools::long();
    // At any byte of the small answers, and here and there in the large one; half the clients have sent all, half not even that.
    let small = whole.windows(4).position(|at| at == b"xxxx").context("the large message")?;
    let cuts = (0..small).step_by(if long { 1 } else { 17 }).chain((small..whole.len()).step_by(9_973));
    for (number, cut) in cuts.enumerate() {
        let mut stream = connect()?;
        let sent = if number % 2 == 0 { talk.len() } else { cut % talk.len() };
        stream.write_all(&talk.as_bytes()[..sent])?;
        if sent == talk.len() {
            let mut taken = vec![0; cut];
            stream.read_exact(&mut taken)?;
        }
        // What wasn't read makes the end a reset; what was, a farewell.
        drop(stream);
        if number % 50 == 0 {
            ensure!(steady.hashes("Mail")? == truth, "after {number} clients that vanished");
        }
    }
    until("the server has forgotten them", || Ok(sockets(server.pid())? <= alone))?;
    ensure!(Imap::login(server.imap, "alice")?.hashes("Mail")? == truth);
    ensure!(server.terminate()?.success());
    Ok(())
}

/// Two stores; what of an answer has begun comes to an end that the client can understand.
#[test]
fn a_store_detached_under_a_fetch_ends_it_in_order() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let conf = archive.data().join("mailkeep.toml");
    let text = fs::read_to_string(&conf)?;
    fs::write(&conf, text.replace("[storage]\n", "[storage]\nmax_store_messages = 100\n"))?;
    let source = archive.scratch().join("source");
    fs::create_dir(&source)?;
    let letter = |number: u32| [example(number), vec![b'a' + (number % 26) as u8; 400_000]].concat();
    for number in 1..=130 {
        fs::write(source.join(format!("{number:06}.eml")), letter(number))?;
        if number == 100 {
            archive.archive(&source, "alice/Old")?;
        }
    }
    archive.archive(&source, "alice/Old")?;
    let server = archive.serve()?;
    let mut imap = Imap::login(server.imap, "alice")?;
    ensure!(imap.examine("Old")? == 130);
    // More than the sockets' buffers hold: the answer stands still until it is read.
    let tag = imap.begin("UID FETCH 1:* (BODY.PEEK[])")?;
    let first = Fetched::parse(&imap.response()?)?.context("the first answer")?;
    ensure!(sha256(first.literal("BODY[]")?) == sha256(&canonical(&letter(1))));
    let mut detach = archive.command(["store", "detach", "0001"]).spawn()?;
    // Whether the command waits for readers or not: the client reads on, and each message is right.
    let mut came = vec![1];
    let (answers, tagged) = imap.finish(&tag)?;
    for answer in &answers {
        let Some(one) = Fetched::parse(answer)? else { continue };
        let uid: u32 = one.text("UID")?.parse()?;
        ensure!(
            sha256(one.literal("BODY[]")?) == sha256(&canonical(&letter(uid))),
            "UID {uid} came out wrong"
        );
        came.push(uid);
    }
    ensure!(tests::program::wait(&mut detach)?.success());
    ensure!(came.windows(2).all(|pair| pair[0] < pair[1]), "in order: {came:?}");
    ensure!((101..=130).all(|uid| came.contains(&uid)), "the other store's messages come: {came:?}");
    ensure!(
        if came.len() == 130 { tagged.starts_with("OK") } else { tagged.starts_with("NO [") },
        "{} of 130, then {tagged}",
        came.len()
    );
    // The session goes on, hears what has gone, and a new one sees the rest.
    let mut gone = answers.iter().filter(|line| line.ends_with(b" EXPUNGE")).count();
    gone += imap.ok("NOOP")?.iter().filter(|line| line.ends_with(b" EXPUNGE")).count();
    ensure!(gone == 100, "{gone} of 100 were told to be gone");
    ensure!(imap.ok("UID FETCH 1:* (UID)")?.len() == 30);
    ensure!(Imap::login(server.imap, "alice")?.hashes("Old")?.len() == 30);
    ensure!(server.terminate()?.success());
    Ok(())
}

/// Serves with files of at most `blocks` of 512 bytes, as on a disk that is full then.
fn serve_limited(archive: &Archive, blocks: u32) -> Result<(Server, SocketAddr)> {
    let (imap, imaps) = (free_port()?, free_port()?);
    let plain = archive
        .command(["serve", "--imap", &imap.to_string(), "--imaps", &imaps.to_string()].map(OsString::from));
    let mut command = Command::new("sh");
    command.arg("-c").arg("trap '' XFSZ; ulimit -c 0; ulimit -S -f $0; exec \"$@\"").arg(blocks.to_string());
    command.arg(plain.get_program()).args(plain.get_args()).stdin(Stdio::null());
    let (server, lines) = Server::start(command, &archive.scratch().join("serve.log"), imap, imaps)?;
    let metrics =
        lines.iter().find_map(|line| line.strip_prefix("metrics ")).context("the metrics' address")?;
    Ok((server, metrics.parse()?))
}

fn archive_into(archive: &Archive, source: &Path, into: &str) -> Result<tests::Output> {
    archive.run([OsStr::new("archive"), source.as_os_str(), OsStr::new("--into"), OsStr::new(into)])
}

/// The disk fills while the server archives: the store latches, those who read go on, and with room again so does archiving.
#[test]
fn readers_outlive_a_disk_that_fills() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let (old, new) = (archive.scratch().join("old"), archive.scratch().join("new"));
    example_tree(&old, 50)?;
    archive.archive(&old, "alice/Old")?;
    fs::create_dir(&new)?;
    // Numbers that hardly compress fill any limit.
    for number in 1..=40_u32 {
        let mut message = example(1_000 + number);
        for line in 0..3_000_u32 {
            message.extend_from_slice(sha256(&(number * 3_000 + line).to_be_bytes()).as_bytes());
            message.push(b'\n');
        }
        fs::write(new.join(format!("{number:06}.eml")), message)?;
    }
    set(&archive, "listen = []", "listen = [\"127.0.0.1:0\"]")?;
    let (server, metrics) = serve_limited(&archive, 4_000)?;
    ensure!(page(metrics, "/ready")? == (200, "ready\n".into()), "{:?}", page(metrics, "/ready")?);
    let mut imap = Imap::login(server.imap, "alice")?;
    let truth = imap.hashes("Old")?;
    ensure!(truth.len() == 50);
    let mut idle = Imap::login(server.imap, "alice")?;
    idle.examine("Old")?;
    let waiting = idle.begin("IDLE")?;
    ensure!(idle.response()?.starts_with(b"+ "));

    let full = archive_into(&archive, &new, "alice/New")?;
    ensure!(full.code() == 1, "{}: {}{}", full.code(), full.text(), full.stderr);
    // Whoever watches is told: no more mail for this server, but it lives and is read.
    let (status, why) = page(metrics, "/ready")?;
    ensure!(status == 503 && why.contains("store 0001 takes no more mail"), "{status} {why}");
    ensure!(page(metrics, "/health")? == (200, "alive\n".into()));
    ensure!(page(metrics, "/metrics")?.1.contains("\nmailkeep_store_latched{store=\"0001\"} 1\n"));
    // A second try doesn't pass the latch either.
    let again = archive_into(&archive, &new, "alice/New")?;
    ensure!(again.code() == 1, "{}: {}{}", again.code(), again.text(), again.stderr);
    ensure!(imap.hashes("Old")? == truth, "who reads reads on");
    ensure!(imap.ok("UID SEARCH BODY message")?.len() == 1);
    ensure!(Imap::login(server.imap, "alice")?.hashes("Old")? == truth, "and who comes now");
    idle.send(b"DONE\r\n")?;
    ensure!(idle.finish(&waiting)?.1.starts_with("OK"));
    ensure!(server.terminate()?.success());

    // With room again everything that was acknowledged is there, and the rest comes in.
    let server = archive.serve()?;
    archive_into(&archive, &new, "alice/New")?.ok()?;
    let mut imap = Imap::login(server.imap, "alice")?;
    ensure!(imap.hashes("Old")? == truth && imap.hashes("New")?.len() == 40);
    ensure!(server.terminate()?.success());
    archive.run(["check"])?.ok()?;
    Ok(())
}
