//! A Dovecot that listens on ports, for archiving from it by IMAP and POP3: users with passwords, a master user who opens all
//! mailboxes, public folders (`Public/`) and those that users share (`Other Users/`).
//!
//! Promise: mail lies in Maildirs that tests write to; the server is only handed out once it answers, and ended on drop.

use crate::program::{PATIENCE, free_port};
use crate::tools::{find, skip};
use anyhow::{Context, ensure};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;
use tempfile::TempDir;

/// The system's user that mail belongs to when the tests run as root, which Dovecot refuses to read mail as.
const NOBODY: u32 = 65_534;

/// The master user's name and password.
pub const MASTER: (&str, &str) = ("master", "master's password");

/// A running Dovecot; ended on drop.
#[derive(Debug)]
pub struct MailServer {
    child: Child,
    dir: TempDir,
    root: bool,
    delivered: u32,
    /// Where it listens, without TLS.
    pub imap: SocketAddr,
    /// Where it listens for POP3, without TLS; none where that isn't installed.
    pub pop3: Option<SocketAddr>,
}

impl MailServer {
    /// Starts one with these users, each with the password `NAME's password`; none after saying what is skipped without it.
    /// # Errors
    /// It can't be started; with `CI=true` that it isn't installed.
    pub fn with_users(what: &str, users: &[&str]) -> crate::Result<Option<MailServer>> {
        let Some(program) = find("dovecot") else {
            skip(what, "dovecot-imapd is not installed")?;
            return Ok(None);
        };
        let dir = tempfile::tempdir()?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        let root = rustix::process::geteuid().is_root();
        for folder in ["home", "mail", "run", "public"] {
            fs::create_dir(dir.path().join(folder))?;
        }
        let passwords: String =
            users.iter().map(|user| format!("{user}:{{PLAIN}}{user}'s password\n")).collect();
        fs::write(dir.path().join("users"), passwords)?;
        fs::write(dir.path().join("masters"), format!("{}:{{PLAIN}}{}\n", MASTER.0, MASTER.1))?;
        let imap = free_port()?;
        let has_pop3 = ["/usr/lib/dovecot/pop3", "/usr/libexec/dovecot/pop3"]
            .map(Path::new)
            .iter()
            .any(|path| path.is_file());
        let pop3 = if has_pop3 { Some(free_port()?) } else { None };
        let conf = dir.path().join("dovecot.conf");
        fs::write(&conf, configuration(dir.path(), imap.port(), pop3.map(|pop3| pop3.port()), root)?)?;
        let child = Command::new(&program)
            .args(["-F", "-c"])
            .arg(&conf)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let mut server = MailServer { child, dir, root, delivered: 0, imap, pop3 };
        for user in users {
            server.own(&server.mail(user), true)?;
        }
        for folder in ["home", "mail", "public"] {
            server.own(&server.dir.path().join(folder), false)?;
        }
        server.answers()?;
        Ok(Some(server))
    }

    /// Waits until it greets.
    fn answers(&mut self) -> crate::Result {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(stream) = TcpStream::connect(self.imap) {
                let mut greeting = String::new();
                BufReader::new(stream).read_line(&mut greeting)?;
                ensure!(greeting.starts_with("* OK"), "greeting {greeting:?}");
                return Ok(());
            }
            let log = fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
            ensure!(self.child.try_wait()?.is_none(), "Dovecot ended: {log}");
            ensure!(Instant::now() < deadline, "Dovecot does not answer: {log}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    /// Where POP3 is spoken; none after saying what is skipped without it.
    /// # Errors
    /// With `CI=true` that it isn't installed.
    pub fn need_pop3(&self, what: &str) -> crate::Result<Option<SocketAddr>> {
        if self.pop3.is_none() {
            skip(what, "dovecot-pop3d is not installed")?;
        }
        Ok(self.pop3)
    }

    fn mail(&self, user: &str) -> PathBuf {
        self.dir.path().join("mail").join(user)
    }

    fn own(&self, path: &Path, make: bool) -> crate::Result {
        if make {
            fs::create_dir_all(path)?;
        }
        if self.root {
            chown(path, Some(NOBODY), Some(NOBODY))?;
        }
        Ok(())
    }

    /// Puts a message into a folder (wire name, `/` between levels); gives the file that holds it.
    /// # Errors
    /// It can't be written.
    pub fn deliver(&mut self, user: &str, folder: &str, message: &str) -> crate::Result<PathBuf> {
        self.put(self.mail(user), folder, message)
    }

    /// Puts a message into a public folder, which everybody may read; gives the file that holds it.
    /// # Errors
    /// It can't be written.
    pub fn publish(&mut self, folder: &str, message: &str) -> crate::Result<PathBuf> {
        let root = self.dir.path().join("public");
        let place = self.put(root.clone(), folder, message)?;
        let rights = root.join(folder).join("dovecot-acl");
        fs::write(&rights, "anyone lrs\n")?;
        self.own(&rights, false)?;
        Ok(place)
    }

    fn put(&mut self, root: PathBuf, folder: &str, message: &str) -> crate::Result<PathBuf> {
        self.delivered += 1;
        let mailbox = root.join(folder);
        let mut path = root;
        for level in folder.split('/') {
            path.push(level);
            self.own(&path, true)?;
        }
        for part in ["cur", "new", "tmp"] {
            self.own(&mailbox.join(part), true)?;
        }
        let name = format!("{:08}.M.h", self.delivered);
        let draft = mailbox.join("tmp").join(&name);
        fs::write(&draft, message)?;
        self.own(&draft, false)?;
        // As RFC 1939's friend Maildir has it: written whole, then renamed.
        let place = mailbox.join("cur").join(format!("{name}:2,S"));
        fs::rename(&draft, &place)?;
        Ok(place)
    }
}

fn configuration(dir: &Path, port: u16, pop3: Option<u16>, root: bool) -> crate::Result<String> {
    let path = dir.display();
    let (uid, gid) = if root {
        (NOBODY, NOBODY)
    } else {
        (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
    };
    let mut conf = format!(
        "base_dir = {path}/run\nstate_dir = {path}/run\nlog_path = {path}/log\nprotocols = imap{}\nlisten = 127.0.0.1\nssl = no\n\
         disable_plaintext_auth = no\nauth_mechanisms = plain login\nauth_master_user_separator = *\n\
         first_valid_uid = 0\nfirst_valid_gid = 0\nmail_max_userip_connections = 100\n\
         mail_location = maildir:{path}/mail/%u:LAYOUT=fs:INBOX={path}/mail/%u/INBOX\n\
         namespace inbox {{\n  separator = /\n  prefix =\n  inbox = yes\n  mailbox Trash {{\n    special_use = \\Trash\n  }}\n}}\n\
         namespace {{\n  type = public\n  separator = /\n  prefix = Public/\n  location = maildir:{path}/public:LAYOUT=fs\n  subscriptions = no\n  list = children\n}}\n\
         namespace {{\n  type = shared\n  separator = /\n  prefix = Other Users/%%u/\n  location = maildir:{path}/mail/%%u:LAYOUT=fs:INBOX={path}/mail/%%u/INBOX\n  subscriptions = no\n  list = children\n}}\n\
         mail_plugins = acl\nprotocol imap {{\n  mail_plugins = acl imap_acl\n}}\n\
         plugin {{\n  acl = vfile\n  acl_user = %u\n  acl_shared_dict = file:{path}/home/shared.db\n}}\n\
         passdb {{\n  driver = passwd-file\n  master = yes\n  args = {path}/masters\n}}\n\
         passdb {{\n  driver = passwd-file\n  args = {path}/users\n}}\n\
         userdb {{\n  driver = static\n  args = uid={uid} gid={gid} home={path}/home/%u\n}}\n\
         service imap-login {{\n  inet_listener imap {{\n    port = {port}\n  }}\n  inet_listener imaps {{\n    port = 0\n  }}\n  chroot =\n}}\n",
        if pop3.is_some() { " pop3" } else { "" }
    );
    if let Some(port) = pop3 {
        conf.push_str(&format!(
            "service pop3-login {{\n  inet_listener pop3 {{\n    port = {port}\n  }}\n  inet_listener pop3s {{\n    port = 0\n  }}\n  chroot =\n}}\n"
        ));
    }
    if !root {
        let who = |flag: &str| -> crate::Result<String> {
            let output = Command::new("id").arg(flag).output().context("id")?;
            Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
        };
        let (user, group) = (who("-un")?, who("-gn")?);
        conf.push_str(&format!(
            "default_login_user = {user}\ndefault_internal_user = {user}\ndefault_internal_group = {group}\n\
             service anvil {{\n  chroot =\n}}\n"
        ));
    }
    Ok(conf)
}

impl Drop for MailServer {
    fn drop(&mut self) {
        // SIGTERM has it end its helpers too; a kill would leave them behind.
        if crate::program::signal(&self.child, rustix::process::Signal::TERM).is_err()
            || crate::program::wait(&mut self.child).is_err()
        {
            drop(self.child.kill());
        }
    }
}
