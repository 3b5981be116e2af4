//! Cyrus IMAP: mailboxes by its own administrator, passwords by its SASL database, one user who may log in for all others.

use super::Unpacked;
use crate::program::{Archive, PATIENCE, free_port};
use crate::{Imap, program};
use anyhow::{Context, ensure};
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The system's user that it runs as when the tests run as root.
const NOBODY: u32 = 65_534;
/// The name that its passwords are kept under.
const REALM: &str = "cyrus.example";

/// How it names mailboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// As today: `/` between levels, a user's folders beside INBOX, `Other Users/` and `Shared Folders/`.
    Alternative,
    /// As in the beginning: `.` between levels, all of a user's folders below `INBOX.`, `user.` for others, nothing before shared ones.
    Netnews,
}

/// A running Cyrus; ended on drop.
#[derive(Debug)]
pub struct Cyrus {
    child: Child,
    _dir: TempDir,
    /// Where it listens, without TLS.
    pub imap: SocketAddr,
}

impl Cyrus {
    /// The user who may log in for all others (RFC 4616), password `archiver's password`.
    pub const PROXY: &str = "archiver";
    /// The administrator, password `admin's password`.
    pub const ADMIN: &str = "admin";

    /// Starts one with these users, each with a mailbox and the password `NAME's password`; none after saying what is skipped without it.
    /// # Errors
    /// It can't be started; with `CI=true` that it isn't unpacked.
    pub fn with_users(what: &str, layout: Layout, users: &[&str]) -> crate::Result<Option<Cyrus>> {
        let Some(unpacked) = Unpacked::find(what, "cyrus")? else { return Ok(None) };
        let dir = tempfile::tempdir()?;
        let path = dir.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        for folder in ["conf", "conf/socket", "conf/proc", "conf/db", "conf/log", "conf/msg", "spool"] {
            fs::create_dir(path.join(folder))?;
        }
        let imap = free_port()?;
        fs::write(path.join("imapd.conf"), configuration(path, layout)?)?;
        let program =
            |name: &str| format!("{} -C {}/imapd.conf", unpacked.file(name).display(), path.display());
        let services = format!(
            "START {{\n  recover cmd=\"{} -r\"\n}}\nSERVICES {{\n  imap cmd=\"{} -U 100\" listen=\"{imap}\" proto=\"tcp4\" prefork=0\n}}\nEVENTS {{\n}}\n",
            program("usr/lib/cyrus/bin/ctl_cyrusdb"),
            program("usr/lib/cyrus/bin/imapd"),
        );
        fs::write(path.join("cyrus.conf"), services)?;
        let (libraries, mechanisms) = (unpacked.libraries()?, unpacked.mechanisms()?);
        for user in users.iter().chain(&[Self::PROXY, Self::ADMIN]) {
            let mut child = Command::new(unpacked.file("usr/sbin/saslpasswd2"))
                .args(["-c", "-p", "-u", REALM, "-f"])
                .arg(path.join("sasldb2"))
                .arg(user)
                .env("LD_LIBRARY_PATH", &libraries)
                .stdin(Stdio::piped())
                .spawn()
                .context("starting saslpasswd2")?;
            let mut input = child.stdin.take().context("standard input")?;
            input.write_all(Archive::password(user).as_bytes())?;
            drop(input);
            ensure!(child.wait()?.success(), "no password for {user}");
        }
        if rustix::process::geteuid().is_root() {
            own(path)?;
        }
        let child = Command::new(unpacked.file("usr/lib/cyrus/bin/master"))
            .arg("-D")
            .arg("-C")
            .arg(path.join("imapd.conf"))
            .arg("-M")
            .arg(path.join("cyrus.conf"))
            .arg("-p")
            .arg(path.join("conf/master.pid"))
            .env("LD_LIBRARY_PATH", &libraries)
            .env("SASL_PATH", &mechanisms)
            // When it ends it ends its whole process group.
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting Cyrus")?;
        let mut cyrus = Cyrus { child, _dir: dir, imap };
        cyrus.answers()?;
        let mut admin = Imap::login(imap, Self::ADMIN)?;
        for user in users {
            let between = if layout == Layout::Netnews { '.' } else { '/' };
            admin.ok(&format!("CREATE \"user{between}{user}\""))?;
        }
        Ok(Some(cyrus))
    }

    /// Waits until it greets.
    fn answers(&mut self) -> crate::Result {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let mut greeting = String::new();
            if let Ok(stream) = TcpStream::connect(self.imap) {
                // The first process may still be in its beginnings.
                drop(BufReader::new(stream).read_line(&mut greeting));
            }
            if greeting.starts_with("* OK") {
                return Ok(());
            }
            ensure!(self.child.try_wait()?.is_none(), "Cyrus ended");
            ensure!(Instant::now() < deadline, "Cyrus does not answer: {greeting:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn configuration(dir: &Path, layout: Layout) -> crate::Result<String> {
    let who = |flag: &str| -> crate::Result<String> {
        let output = Command::new("id").arg(flag).output().context("id")?;
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let (user, group) = if rustix::process::geteuid().is_root() {
        ("nobody".to_owned(), "nogroup".to_owned())
    } else {
        (who("-un")?, who("-gn")?)
    };
    let path = dir.display();
    let modern = if layout == Layout::Alternative { "yes" } else { "no" };
    Ok(format!(
        "configdirectory: {path}/conf\npartition-default: {path}/spool\ndefaultpartition: default\nservername: {REALM}\n\
         cyrus_user: {user}\ncyrus_group: {group}\nadmins: {}\nproxyservers: {}\nallowplaintext: yes\n\
         sasl_pwcheck_method: auxprop\nsasl_auxprop_plugin: sasldb\nsasl_sasldb_path: {path}/sasldb2\n\
         sasl_mech_list: PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256\n\
         unixhierarchysep: {modern}\naltnamespace: {modern}\nvirtdomains: off\nanyoneuseracl: yes\nduplicatesuppression: no\n",
        Cyrus::ADMIN,
        Cyrus::PROXY
    ))
}

/// Gives everything to the user that it runs as.
fn own(path: &Path) -> crate::Result {
    chown(path, Some(NOBODY), Some(NOBODY))?;
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            own(&entry?.path())?;
        }
    }
    Ok(())
}

impl Drop for Cyrus {
    fn drop(&mut self) {
        // SIGTERM has it end its helpers too; a kill would leave them behind.
        if program::signal(&self.child, rustix::process::Signal::TERM).is_err()
            || program::wait(&mut self.child).is_err()
        {
            drop(self.child.kill());
        }
    }
}
