//! Courier IMAP: its mail process behind a listener of ours. Courier's own login asks a daemon at a place that is compiled in; so the
//! listener takes the login here, and hands the connection to Courier as that does, with the tag to answer.

use super::Unpacked;
use crate::program::Archive;
use anyhow::{Context, bail, ensure};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

/// What Debian's configuration has it say.
const CAPABILITY: &str =
    "IMAP4rev1 UIDPLUS CHILDREN NAMESPACE THREAD=ORDEREDSUBJECT THREAD=REFERENCES SORT QUOTA IDLE";

/// A listener with Courier behind it; takes no more connections once it is dropped. Its processes end with their connections.
#[derive(Debug)]
pub struct Courier {
    _dir: TempDir,
    closed: Arc<AtomicBool>,
    /// Where it listens, without TLS.
    pub imap: SocketAddr,
}

impl Courier {
    /// Starts one with these users, each with a mailbox and the password `NAME's password`; none after saying what is skipped without it.
    /// # Errors
    /// It can't be started; with `CI=true` that it isn't unpacked.
    pub fn with_users(what: &str, users: &[&str]) -> crate::Result<Option<Courier>> {
        let Some(unpacked) = Unpacked::find(what, "courier")? else { return Ok(None) };
        let libraries = unpacked.libraries()?;
        let dir = tempfile::tempdir()?;
        for user in users {
            fs::create_dir(dir.path().join(user))?;
            let made = Command::new(unpacked.file("usr/bin/maildirmake.courier"))
                .arg(dir.path().join(user).join("Maildir"))
                .env("LD_LIBRARY_PATH", &libraries)
                .status()
                .context("starting maildirmake.courier")?;
            ensure!(made.success(), "no mailbox for {user}");
        }
        let mail =
            Mail { program: unpacked.file("usr/bin/imapd"), libraries, homes: dir.path().to_path_buf() };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let imap = listener.local_addr()?;
        let closed = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&closed);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                let mail = mail.clone();
                // What goes wrong ends the connection, which the test sees.
                std::thread::spawn(move || stream.map(|stream| mail.serve(stream)));
            }
        });
        Ok(Some(Courier { _dir: dir, closed, imap }))
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::SeqCst);
        // Wakes the listener up.
        drop(TcpStream::connect(self.imap));
    }
}

#[derive(Clone)]
struct Mail {
    program: PathBuf,
    libraries: std::ffi::OsString,
    homes: PathBuf,
}

impl Mail {
    /// What comes before the login, and the login.
    fn serve(&self, mut stream: TcpStream) -> crate::Result {
        stream.set_nodelay(true)?;
        stream.write_all(format!("* OK [CAPABILITY {CAPABILITY}] Courier-IMAP ready.\r\n").as_bytes())?;
        loop {
            let line = line(&mut stream)?;
            let mut words = line.splitn(3, ' ');
            let (tag, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            let answer = match name.to_ascii_uppercase().as_str() {
                "CAPABILITY" => format!("* CAPABILITY {CAPABILITY}\r\n{tag} OK CAPABILITY completed\r\n"),
                "LOGIN" => match self.user(words.next().unwrap_or_default()) {
                    Some(user) => return self.hand_over(stream, tag, &user),
                    None => format!("{tag} NO Login failed.\r\n"),
                },
                _ => format!("{tag} BAD Invalid command\r\n"),
            };
            stream.write_all(answer.as_bytes())?;
        }
    }

    /// Who logs in with `"name" "password"`.
    fn user(&self, arguments: &str) -> Option<String> {
        let mut strings = arguments.split('"').filter(|text| !text.trim().is_empty());
        let (user, password) = (strings.next()?.trim(), strings.next()?.trim());
        let home = Path::new(user).file_name().is_some_and(|name| self.homes.join(name).is_dir());
        (home && password == Archive::password(user)).then(|| user.to_owned())
    }

    fn hand_over(&self, stream: TcpStream, tag: &str, user: &str) -> crate::Result {
        let output = stream.try_clone()?;
        Command::new(&self.program)
            .arg("Maildir")
            .current_dir(self.homes.join(user))
            .env("LD_LIBRARY_PATH", &self.libraries)
            .env("AUTHENTICATED", user)
            .env("IMAPLOGINTAG", tag)
            .env("IMAP_CAPABILITY", CAPABILITY)
            .env("IMAP_KEYWORDS", "1")
            .env("IMAP_ACL", "1")
            .env("IMAP_ENHANCEDIDLE", "0")
            // Its locks ask a daemon that is not there, and wait for it a second each.
            .env("IMAP_USELOCKS", "0")
            .env("AUTHADDR", user)
            .env("TCPREMOTEIP", "127.0.0.1")
            .env("TCPREMOTEPORT", "0")
            .stdin(Stdio::from(OwnedFd::from(stream)))
            .stdout(Stdio::from(OwnedFd::from(output)))
            .stderr(Stdio::null())
            .status()
            .context("starting Courier's imapd")?;
        Ok(())
    }
}

/// A line, and not a byte more, since what comes behind it is for another process.
fn line(stream: &mut TcpStream) -> crate::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") {
        if stream.read(&mut byte)? == 0 {
            bail!("the client went");
        }
        ensure!(line.len() < 8192, "a long line");
        line.extend_from_slice(&byte);
    }
    line.truncate(line.len() - 2);
    Ok(String::from_utf8(line)?)
}
