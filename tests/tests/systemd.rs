//! The server under systemd, as far as that can be played: what it tells, the watchdog, sockets that are passed in, the units.
#![cfg(target_os = "linux")]

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use tests::program::{PATIENCE, Server, binary, free_port};
use tests::tools::need_tool;
use tests::{Archive, Imap, Result};

/// The next thing that systemd would be told, passing over signs of life unless they are wanted.
fn told(socket: &UnixDatagram, signs_of_life: bool) -> Result<String> {
    let mut bytes = [0; 4_096];
    loop {
        let n = socket.recv(&mut bytes).context("nothing was told")?;
        let text = std::str::from_utf8(&bytes[..n])?.to_owned();
        if signs_of_life == text.contains("WATCHDOG=1") {
            return Ok(text);
        }
    }
}

fn signal(server: &Server, signal: Signal) -> Result {
    let pid = i32::try_from(server.pid()).ok().and_then(Pid::from_raw).context("process id")?;
    kill_process(pid, signal)?;
    Ok(())
}

#[test]
fn systemd_hears_how_it_is() -> Result {
    let archive = Archive::with_users(&["alice"])?;
    let path = archive.scratch().join("notify.sock");
    let socket = UnixDatagram::bind(&path)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut command = archive.command(["serve", "--imap", "127.0.0.1:0", "--imaps", "127.0.0.1:0"]);
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    let none = "127.0.0.1:0".parse()?;
    let (server, _) = Server::start(command, &archive.scratch().join("serve.log"), none, none)?;
    let ready = told(&socket, false)?;
    ensure!(ready.contains("READY=1") && ready.contains("STATUS=serving IMAP on 127.0.0.1:"), "{ready}");
    for _ in 0..3 {
        told(&socket, true)?;
    }
    signal(&server, Signal::HUP)?;
    let reloading = told(&socket, false)?;
    ensure!(reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="), "{reloading}");
    ensure!(told(&socket, false)?.contains("READY=1"));
    server.ask_to_end()?;
    ensure!(told(&socket, false)?.contains("STOPPING=1"));
    ensure!(server.wait()?.success());
    Ok(())
}

/// A socket that somebody else holds: the server serves on it, and what connects while no server runs is served by the next.
#[test]
fn a_socket_is_taken_over() -> Result {
    let Some(activate) = need_tool("systemd-socket-activate")? else { return Ok(()) };
    let archive = Archive::with_users(&["alice"])?;
    let address = free_port()?;
    let serve = archive.command(["serve"]);
    let mut holder = Command::new(&activate)
        .args(["--listen", &address.to_string(), "--fdname=imap"])
        .arg(serve.get_program())
        .args(serve.get_args())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(archive.scratch().join("serve.log"))?)
        .spawn()?;
    // The tool becomes the server as soon as somebody connects; until it listens, connections are refused.
    let begun = std::time::Instant::now();
    let mut imap = loop {
        match Imap::login(address, "alice") {
            Ok(imap) => break imap,
            Err(error) if begun.elapsed() > PATIENCE => return Err(error),
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(20)),
        }
    };
    imap.ok("NOOP")?;
    tests::program::signal(&holder, Signal::TERM)?;
    ensure!(
        tests::program::wait(&mut holder)?.success(),
        "{}",
        std::fs::read_to_string(archive.scratch().join("serve.log"))?
    );
    Ok(())
}

#[test]
fn the_units_are_well_formed_and_hardened() -> Result {
    let scratch = tempfile::tempdir()?;
    for (which, name) in [
        ("service", "mailkeep.service"),
        ("imap-socket", "mailkeep-imap.socket"),
        ("imaps-socket", "mailkeep-imaps.socket"),
    ] {
        let unit = Command::new(binary()?).args(["unit", which]).output()?;
        ensure!(unit.status.success());
        let text = String::from_utf8(unit.stdout)?;
        // The check wants a program that is there.
        let text = text.replace("/usr/bin/mailkeep serve", &format!("{} serve", binary()?.display()));
        std::fs::write(scratch.path().join(name), text)?;
    }
    let Some(analyze) = need_tool("systemd-analyze")? else { return Ok(()) };
    let run = |arguments: &[&str]| -> Result<String> {
        let done = Command::new(&analyze).args(arguments).current_dir(scratch.path()).output()?;
        let text =
            String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
        ensure!(done.status.success(), "{arguments:?}: {text}");
        Ok(text)
    };
    // What it complains of may be another unit of the machine's; of ours it must say nothing.
    let said = run(&[
        "verify",
        "--man=no",
        "./mailkeep.service",
        "./mailkeep-imap.socket",
        "./mailkeep-imaps.socket",
    ])?;
    ensure!(!said.lines().any(|line| line.contains("mailkeep")), "{said}");
    run(&["security", "--offline=yes", "--threshold=25", "--no-pager", "./mailkeep.service"])?;
    Ok(())
}
