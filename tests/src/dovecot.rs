//! A Dovecot on pipes, without a port: mailboxes from messages, and raw commands to it, as `Imap` sends them to ours.
//!
//! Promise: it sees the same bytes in the same order as what is archived here, so that sequence numbers and UIDs agree. It
//! understands no response either; what may differ is for the tests to know.

use crate::imap::Response;
use crate::tools::{find, skip};
use anyhow::{Context, ensure};
use std::fs;
use std::io::{BufRead, BufReader, Read as _, Write as _};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, SystemTime};

/// The system's user that Dovecot runs as when the tests run as root, which it refuses to read mail as.
const NOBODY: u32 = 65_534;

/// One message for a mailbox.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Its bytes; Dovecot makes every LF a CRLF.
    pub bytes: Vec<u8>,
    /// INTERNALDATE, seconds since 1970; shown in UTC.
    pub secs: u64,
}

/// A running Dovecot, logged in; killed on drop.
#[derive(Debug)]
pub struct Dovecot {
    child: Child,
    output: BufReader<ChildStdout>,
    input: ChildStdin,
    next_tag: u32,
    _dir: tempfile::TempDir,
}

impl Dovecot {
    /// Starts one over these mailboxes (wire names, `/` between levels); none after saying what is skipped without it.
    /// # Errors
    /// It can't be started; with `CI=true` that it isn't installed.
    pub fn over(what: &str, mailboxes: &[(&str, Vec<Letter>)]) -> crate::Result<Option<Dovecot>> {
        let programs = ["/usr/lib/dovecot/imap", "/usr/libexec/dovecot/imap"].map(PathBuf::from);
        let imap = programs.into_iter().find(|path| path.is_file());
        let (Some(imap), Some(_)) = (imap, find("dovecot")) else {
            skip(what, "dovecot-imapd is not installed")?;
            return Ok(None);
        };
        let dir = tempfile::tempdir()?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        let root = rustix::process::geteuid().is_root();
        let own = |path: &Path| if root { chown(path, Some(NOBODY), Some(NOBODY)) } else { Ok(()) };
        for folder in ["home", "mail"] {
            fs::create_dir(dir.path().join(folder))?;
            own(&dir.path().join(folder))?;
        }
        for (name, letters) in mailboxes {
            let mailbox = dir.path().join("mail").join(name);
            fs::create_dir_all(&mailbox)?;
            let mut above = mailbox.as_path();
            while above != dir.path() {
                own(above)?;
                above = above.parent().context("the scratch directory")?;
            }
            for folder in ["cur", "new", "tmp"] {
                fs::create_dir(mailbox.join(folder))?;
                own(&mailbox.join(folder))?;
            }
            for (number, letter) in letters.iter().enumerate() {
                let path = mailbox.join(format!("cur/{:08}.M.h:2,S", number + 1));
                fs::write(&path, &letter.bytes)?;
                let date = SystemTime::UNIX_EPOCH + Duration::from_secs(letter.secs);
                fs::File::options().write(true).open(&path)?.set_modified(date)?;
                own(&path)?;
            }
        }
        let (uid, gid) = if root {
            (NOBODY, NOBODY)
        } else {
            (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
        };
        let path = dir.path().display();
        let conf = dir.path().join("dovecot.conf");
        fs::write(
            &conf,
            format!(
                "base_dir = {path}/run\nstate_dir = {path}/run\nprotocols = imap\nssl = no\n\
                 mail_location = maildir:{path}/mail:LAYOUT=fs:INBOX={path}/mail/INBOX:INDEX=MEMORY\n\
                 first_valid_uid = 0\nfirst_valid_gid = 0\nmail_uid = {uid}\nmail_gid = {gid}\nlog_path = /dev/stderr\n\
                 namespace inbox {{\n  separator = /\n  prefix =\n  inbox = yes\n}}\n"
            ),
        )?;
        let mut child = Command::new(&imap)
            .arg("-c")
            .arg(&conf)
            .env("HOME", dir.path().join("home"))
            .env("USER", "oracle")
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", imap.display()))?;
        let input = child.stdin.take().context("Dovecot's input")?;
        let output = BufReader::with_capacity(1 << 20, child.stdout.take().context("Dovecot's output")?);
        let mut dovecot = Dovecot { child, output, input, next_tag: 1, _dir: dir };
        let greeting = dovecot.response()?;
        ensure!(greeting.starts_with(b"* PREAUTH"), "greeting {:?}", String::from_utf8_lossy(&greeting));
        Ok(Some(dovecot))
    }

    /// Sends bytes as they are.
    /// # Errors
    /// It has ended.
    pub fn send(&mut self, bytes: &[u8]) -> crate::Result {
        self.input.write_all(bytes)?;
        self.input.flush()?;
        Ok(())
    }

    /// Sends a command line under a new tag, gives the tag.
    /// # Errors
    /// It has ended.
    pub fn begin(&mut self, command: &str) -> crate::Result<String> {
        let tag = format!("t{}", self.next_tag);
        self.next_tag += 1;
        self.send(format!("{tag} {command}\r\n").as_bytes())?;
        Ok(tag)
    }

    /// Responses up to the tagged one: (untagged, tagged without its tag).
    /// # Errors
    /// It ends before.
    pub fn finish(&mut self, tag: &str) -> crate::Result<(Vec<Response>, String)> {
        let start = format!("{tag} ");
        let mut untagged = Vec::new();
        loop {
            let response = self.response().with_context(|| format!("waiting for {tag}"))?;
            if let Some(rest) = response.strip_prefix(start.as_bytes()) {
                return Ok((untagged, String::from_utf8_lossy(rest).into_owned()));
            }
            untagged.push(response);
        }
    }

    /// Runs a command to its tagged response.
    /// # Errors
    /// It ends before.
    pub fn command(&mut self, command: &str) -> crate::Result<(Vec<Response>, String)> {
        let tag = self.begin(command)?;
        self.finish(&tag)
    }

    /// The next response, whole, as `Imap::response` gives it.
    /// # Errors
    /// It ends.
    pub fn response(&mut self) -> crate::Result<Response> {
        let mut bytes = Vec::new();
        loop {
            let read = self.output.read_until(b'\n', &mut bytes)?;
            ensure!(read > 0, "Dovecot ended after {:?}", String::from_utf8_lossy(&bytes));
            match crate::imap::announced(&bytes) {
                None => break,
                Some(length) => {
                    let got = (&mut self.output).take(length).read_to_end(&mut bytes)?;
                    ensure!(got as u64 == length, "Dovecot ended in a literal of {length}");
                }
            }
        }
        ensure!(bytes.ends_with(b"\r\n"), "a line without CR: {:?}", String::from_utf8_lossy(&bytes));
        bytes.truncate(bytes.len() - 2);
        Ok(bytes)
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // It ends by itself on LOGOUT; after a failed test it may not have.
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}
