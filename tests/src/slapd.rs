//! OpenLDAP's slapd on free ports of this machine, with a directory of its own in a scratch directory.
//!
//! Promise: it is only handed out once it answers, and ended on drop. Its certificate is for 127.0.0.1, by an authority of its own.

use crate::program::{PATIENCE, free_port, wait};
use crate::tools::{find, skip};
use anyhow::{Context, ensure};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Who may read all of it, and the password.
pub const READER: (&str, &str) = ("cn=reader", "reader's password");

/// A running slapd; ended on drop.
#[derive(Debug)]
pub struct Slapd {
    child: Child,
    dir: TempDir,
    program: PathBuf,
    suffix: String,
    /// Where it listens without TLS at first.
    pub ldap: SocketAddr,
    /// Where it listens with TLS.
    pub ldaps: SocketAddr,
}

impl Slapd {
    /// Starts one with these entries below `suffix`, which are added first; none after saying what is skipped without it.
    /// # Errors
    /// It can't be started, or the entries are none; with `CI=true` that it isn't installed.
    pub fn with(what: &str, suffix: &str, ldif: &str) -> crate::Result<Option<Slapd>> {
        let (Some(program), Some(add), Some(openssl)) = (find("slapd"), find("slapadd"), find("openssl"))
        else {
            skip(what, "slapd and openssl are not both installed")?;
            return Ok(None);
        };
        let dir = tempfile::tempdir()?;
        fs::create_dir(dir.path().join("db"))?;
        certificate(&openssl, dir.path())?;
        fs::write(dir.path().join("slapd.conf"), configuration(dir.path(), suffix))?;
        fs::write(dir.path().join("all.ldif"), format!("{}{ldif}", head(suffix)))?;
        let added = Command::new(&add)
            .args(["-q", "-f"])
            .arg(dir.path().join("slapd.conf"))
            .arg("-l")
            .arg(dir.path().join("all.ldif"))
            .output()?;
        ensure!(added.status.success(), "slapadd: {}", String::from_utf8_lossy(&added.stderr));
        let (ldap, ldaps) = (free_port()?, free_port()?);
        let child = started(&program, dir.path(), ldap, ldaps)?;
        let mut slapd = Slapd { child, dir, program, suffix: suffix.to_owned(), ldap, ldaps };
        slapd.answers()?;
        Ok(Some(slapd))
    }

    /// The authority's certificate.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.dir.path().join("ca.pem")
    }

    /// The distinguished name of who may read all of it.
    #[must_use]
    pub fn reader(&self) -> String {
        format!("{},{}", READER.0, self.suffix)
    }

    /// Changes entries, as its administrator (`ldapmodify`).
    /// # Errors
    /// It refuses.
    pub fn modify(&self, ldif: &str) -> crate::Result {
        let file = self.dir.path().join("change.ldif");
        fs::write(&file, ldif)?;
        let done = Command::new(find("ldapmodify").context("ldapmodify is not installed")?)
            .args([
                "-x",
                "-H",
                &format!("ldap://{}", self.ldap),
                "-D",
                &format!("cn=admin,{}", self.suffix),
                "-w",
                "secret",
                "-f",
            ])
            .arg(&file)
            .output()?;
        ensure!(done.status.success(), "ldapmodify: {}", String::from_utf8_lossy(&done.stderr));
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

    /// Starts it again at the same ports.
    /// # Errors
    /// It doesn't start.
    pub fn restart(&mut self) -> crate::Result {
        self.child = started(&self.program, self.dir.path(), self.ldap, self.ldaps)?;
        self.answers()
    }

    fn answers(&mut self) -> crate::Result {
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(self.ldap).is_err() || TcpStream::connect(self.ldaps).is_err() {
            let ended = self.child.try_wait()?;
            ensure!(ended.is_none() && Instant::now() < deadline, "slapd does not answer: {ended:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for Slapd {
    fn drop(&mut self) {
        // Already ended, or killed here: both are the end that is wanted.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn started(program: &Path, dir: &Path, ldap: SocketAddr, ldaps: SocketAddr) -> crate::Result<Child> {
    Command::new(program)
        .args(["-d", "0", "-h", &format!("ldap://{ldap} ldaps://{ldaps}"), "-f"])
        .arg(dir.join("slapd.conf"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {}", program.display()))
}

/// An authority and a certificate for this machine's address.
fn certificate(openssl: &Path, dir: &Path) -> crate::Result {
    fs::write(dir.join("ext"), "subjectAltName=IP:127.0.0.1\nbasicConstraints=CA:FALSE\n")?;
    for arguments in [
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority",
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out csr.pem -subj /CN=slapd",
        "x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out cert.pem",
    ] {
        let made = Command::new(openssl).args(arguments.split(' ')).current_dir(dir).output()?;
        ensure!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
    }
    Ok(())
}

fn configuration(dir: &Path, suffix: &str) -> String {
    let dir = dir.display();
    format!(
        "include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include /etc/ldap/schema/nis.schema
attributetype ( 1.2.840.113556.1.4.750 NAME 'groupType' SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 SINGLE-VALUE )
objectclass ( 1.2.840.113556.1.5.8 NAME 'Group' SUP top STRUCTURAL MUST ( groupType $ cn ) MAY member )
pidfile {dir}/pid
modulepath /usr/lib/ldap
moduleload back_mdb
TLSCACertificateFile {dir}/ca.pem
TLSCertificateFile {dir}/cert.pem
TLSCertificateKeyFile {dir}/key.pem
sizelimit 500
database mdb
suffix \"{suffix}\"
rootdn \"cn=admin,{suffix}\"
rootpw secret
directory {dir}/db
maxsize 1073741824
index objectClass,uid,entryUUID eq
limits dn.exact=\"{reader},{suffix}\" size=500 size.prtotal=unlimited
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact=\"{reader},{suffix}\" read by * none
",
        reader = READER.0
    )
}

/// The top, and who may read all.
fn head(suffix: &str) -> String {
    let dc = suffix.split([',', '=']).nth(1).unwrap_or_default();
    format!(
        "dn: {suffix}\nobjectClass: dcObject\nobjectClass: organization\no: test\ndc: {dc}\n\n\
         dn: {0},{suffix}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\ncn: reader\nuserPassword: {1}\n\n",
        READER.0, READER.1
    )
}
