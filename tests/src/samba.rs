//! A Samba domain controller (Active Directory) on an address of its own of the loopback network, in a scratch directory.
//!
//! Promise: it is only handed out once it answers, and ended on drop. Needs root: its ports are fixed (389, 636). Only its LDAP
//! server runs.

use crate::program::{PATIENCE, wait};
use crate::tools::{find, skip};
use anyhow::{Context, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Below this all lies.
pub const BASE: &str = "DC=ad,DC=example,DC=test";
/// The administrator, and the password.
pub const ADMINISTRATOR: (&str, &str) = ("Administrator@ad.example.test", "Secret.Pass-1");

/// A running domain controller; ended on drop.
#[derive(Debug)]
pub struct Samba {
    child: Child,
    dir: TempDir,
    /// Its address.
    pub address: String,
}

impl Samba {
    /// Makes a domain and starts its controller; none after saying what is skipped without it.
    /// # Errors
    /// It can't be made or started; with `CI=true` that it isn't installed.
    pub fn start(what: &str) -> crate::Result<Option<Samba>> {
        let installed =
            ["samba", "samba-tool", "ldapmodify", "openssl"].iter().all(|name| find(name).is_some());
        if !installed || !Path::new("/usr/share/samba/setup").exists() {
            skip(
                what,
                "samba, samba-ad-provision, samba-vfs-modules, ldap-utils and openssl are not all installed",
            )?;
            return Ok(None);
        }
        if !rustix::process::geteuid().is_root() {
            skip(what, "a domain controller's ports are below 1024, which only root may use")?;
            return Ok(None);
        }
        let dir = tempfile::tempdir()?;
        let address = free_address()?;
        let root = dir.path().display();
        let provisioned = Command::new("samba-tool")
            .args([
                "domain",
                "provision",
                "--realm=ad.example.test",
                "--domain=AD",
                "--server-role=dc",
                "--dns-backend=NONE",
            ])
            .args([
                "--host-name=dc",
                &format!("--adminpass={}", ADMINISTRATOR.1),
                &format!("--targetdir={root}"),
            ])
            .args([&format!("--host-ip={address}"), &format!("--option=interfaces = {address}/8")])
            .args(["--option=bind interfaces only = yes", &format!("--option=log file = {root}/log.%m")])
            .args([
                "--option=vfs objects = dfs_samba4 acl_xattr xattr_tdb",
                "--option=server services = ldap",
            ])
            .output()?;
        ensure!(provisioned.status.success(), "samba-tool: {}", String::from_utf8_lossy(&provisioned.stderr));
        let child = started(dir.path())?;
        let mut samba = Samba { child, dir, address };
        samba.answers()?;
        Ok(Some(samba))
    }

    /// The SHA-256 of its certificate.
    /// # Errors
    /// It has none.
    pub fn fingerprint(&self) -> crate::Result<String> {
        let pem = self.dir.path().join("private/tls/cert.pem");
        let der = Command::new("openssl").args(["x509", "-outform", "DER", "-in"]).arg(&pem).output()?;
        ensure!(der.status.success(), "openssl: {}", String::from_utf8_lossy(&der.stderr));
        Ok(hex::encode(Sha256::digest(&der.stdout)))
    }

    /// Changes entries, as the administrator (`ldapmodify`).
    /// # Errors
    /// It refuses.
    pub fn modify(&self, ldif: &str) -> crate::Result {
        let file = self.dir.path().join("change.ldif");
        fs::write(&file, ldif)?;
        let done = Command::new("ldapmodify")
            .env("LDAPTLS_REQCERT", "never")
            .args([
                "-x",
                "-H",
                &format!("ldaps://{}", self.address),
                "-D",
                ADMINISTRATOR.0,
                "-w",
                ADMINISTRATOR.1,
                "-f",
            ])
            .arg(&file)
            .output()?;
        ensure!(done.status.success(), "ldapmodify: {}\n{ldif}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    }

    /// Kills it without warning.
    /// # Errors
    /// It is gone already.
    pub fn kill(&mut self) -> crate::Result {
        self.child.kill()?;
        wait(&mut self.child)?;
        Ok(())
    }

    /// Starts it again at the same address.
    /// # Errors
    /// It doesn't start.
    pub fn restart(&mut self) -> crate::Result {
        self.child = started(self.dir.path())?;
        self.answers()
    }

    fn answers(&mut self) -> crate::Result {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect((self.address.as_str(), 636)).is_err() {
            let ended = self.child.try_wait()?;
            ensure!(ended.is_none() && Instant::now() < deadline, "samba does not answer: {ended:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }
}

impl Drop for Samba {
    fn drop(&mut self) {
        // Already ended, or killed here: both are the end that is wanted.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A password as Active Directory is given it: in quotes, UTF-16, base64.
#[must_use]
pub fn unicode_password(password: &str) -> String {
    let bytes: Vec<u8> = format!("\"{password}\"").encode_utf16().flat_map(u16::to_le_bytes).collect();
    BASE64_STANDARD.encode(bytes)
}

fn started(dir: &Path) -> crate::Result<Child> {
    Command::new("samba")
        .args(["-F", "--model=single", "--no-process-group", "-s"])
        .arg(dir.join("etc/smb.conf"))
        // The end of its standard input is its own.
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("starting samba")
}

/// An address of the loopback network at which nobody serves LDAP.
fn free_address() -> crate::Result<String> {
    for host in 2..250_u8 {
        let address = format!("127.42.{}.{host}", std::process::id() % 250);
        if TcpListener::bind((address.as_str(), 636)).is_ok() {
            return Ok(address);
        }
    }
    anyhow::bail!("no free address of the loopback network")
}
