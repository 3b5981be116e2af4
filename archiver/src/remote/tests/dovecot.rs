//! Against Dovecot: every way in, the corpus in 60 folders with odd names, and what changes between runs. Its own commands, by a
//! client that understands nothing, are the other hand that changes mailboxes.

use super::*;
use crate::remote::connect::Traffic;
use crate::remote::fault::Fault;
use crate::remote::{Report, test_mailbox, watch};
use crate::testing::{Memory, corpus};
use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime};

/// The system's user that mail belongs to.
const NOBODY: u32 = 65_534;

/// A running Dovecot; killed on drop.
pub(super) struct Dovecot {
    child: Child,
    dir: tempfile::TempDir,
    pub(super) port: u16,
    pub(super) tls_port: u16,
    /// The same for POP3.
    pub(super) pop3_port: u16,
    pub(super) pop3_tls_port: u16,
    /// The authority that its certificate is from (PEM), and the certificate's fingerprint.
    pub(super) ca: String,
    pub(super) fingerprint: String,
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // Its children end with it, which SIGKILL would not do.
        let pid = self.child.id().to_string();
        if Command::new("kill").arg(pid).status().is_ok_and(|status| status.success()) {
            drop(self.child.wait());
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

fn own(path: &Path) {
    chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
}

impl Dovecot {
    /// None after saying so where it can't run: it is not installed, or this is no root, whom it needs.
    pub(super) fn start(capabilities: &str) -> Option<Dovecot> {
        Dovecot::start_with(capabilities, None)
    }

    /// `tokens`: the port where somebody knows whose an access token is (RFC 7662).
    pub(super) fn start_with(capabilities: &str, tokens: Option<u16>) -> Option<Dovecot> {
        let programs = ["/usr/sbin/dovecot", "/usr/lib/dovecot/imap", "/usr/lib/dovecot/pop3"];
        let here = programs.iter().all(|program| Path::new(program).is_file());
        let root = fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0);
        if !here || !root {
            assert!(
                std::env::var_os("CI").is_none_or(|ci| ci != "true"),
                "CI=true, but there is no Dovecot that can run (dovecot-imapd, dovecot-pop3d)"
            );
            eprintln!("skipped: archiving from Dovecot: it is not installed, or not run as root");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = rcgen::CertifiedIssuer::self_signed(params, key).unwrap();
        let leaf_key = KeyPair::generate().unwrap();
        let leaf =
            CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&leaf_key, &*ca).unwrap();
        let path = dir.path().display().to_string();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("cert.pem", &leaf.pem());
        write("key.pem", &leaf_key.serialize_pem());
        write("users", "alice:{PLAIN}secret::::::\nbob:{PLAIN}secret::::::\n");
        write("masters", "master:{PLAIN}mpw::::::\n");
        for folder in ["run", "mail", "mail/alice", "mail/bob"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
            if folder.starts_with("mail") {
                own(&dir.path().join(folder));
            }
        }
        let ca = AsRef::<rcgen::Certificate>::as_ref(&ca).pem();
        let (port, tls_port) = (free_port(), free_port());
        let (pop3_port, pop3_tls_port) = (free_port(), free_port());
        let mut conf = format!(
            "base_dir = {path}/run\nstate_dir = {path}/run\nlog_path = {path}/log\nprotocols = imap pop3\nlisten = 127.0.0.1\n\
             default_internal_user = nobody\ndefault_internal_group = nogroup\ndefault_login_user = nobody\n\
             ssl = yes\nssl_cert = <{path}/cert.pem\nssl_key = <{path}/key.pem\ndisable_plaintext_auth = no\n\
             auth_mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256\nauth_master_user_separator = *\nauth_failure_delay = 0\n\
             passdb {{\n driver = passwd-file\n master = yes\n args = {path}/masters\n}}\n\
             passdb {{\n driver = passwd-file\n args = {path}/users\n}}\n\
             userdb {{\n driver = static\n args = uid={NOBODY} gid={NOBODY} home={path}/mail/%u\n}}\n\
             mail_location = maildir:{path}/mail/%u:LAYOUT=fs:INBOX={path}/mail/%u/INBOX\n\
             first_valid_uid = 0\nfirst_valid_gid = 0\nmail_max_userip_connections = 100\n\
             protocol imap {{\n mail_plugins = imap_zlib\n}}\n\
             namespace inbox {{\n separator = /\n prefix =\n inbox = yes\n}}\n\
             service imap-login {{\n chroot =\n inet_listener imap {{\n port = {port}\n }}\n \
             inet_listener imaps {{\n port = {tls_port}\n ssl = yes\n }}\n}}\n\
             service pop3-login {{\n chroot =\n inet_listener pop3 {{\n port = {pop3_port}\n }}\n \
             inet_listener pop3s {{\n port = {pop3_tls_port}\n ssl = yes\n }}\n}}\n\
             service anvil {{\n chroot =\n}}\nservice stats {{\n chroot =\n}}\n"
        );
        if let Some(tokens) = tokens {
            conf.push_str(&format!(
                "auth_mechanisms = $auth_mechanisms xoauth2\n\
                 passdb {{\n driver = oauth2\n mechanisms = xoauth2\n args = {path}/oauth2.conf\n}}\n"
            ));
            write(
                "oauth2.conf",
                &format!(
                    "introspection_mode = auth\nintrospection_url = http://127.0.0.1:{tokens}/\nforce_introspection = yes\n\
                     username_attribute = username\nactive_attribute = active\nactive_value = true\n"
                ),
            );
        }
        if !capabilities.is_empty() {
            conf.push_str(&format!("protocol imap {{\n imap_capability = {capabilities}\n}}\n"));
        }
        write("dovecot.conf", &conf);
        let child = Command::new("/usr/sbin/dovecot")
            .arg("-F")
            .arg("-c")
            .arg(dir.path().join("dovecot.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let fingerprint = hex::encode(Sha256::digest(leaf.der()));
        let dovecot = Dovecot { child, dir, port, tls_port, pop3_port, pop3_tls_port, ca, fingerprint };
        let end = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < end, "Dovecot doesn't come up: {}", dovecot.log());
            std::thread::yield_now();
        }
        Some(dovecot)
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    /// Puts messages into a mailbox of alice; names as on disk.
    pub(super) fn fill(&self, name: &str, mails: &[&[u8]]) {
        let root = self.dir.path().join("mail/alice");
        let mailbox = root.join(name);
        fs::create_dir_all(&mailbox).unwrap();
        for folder in ["cur", "new", "tmp"] {
            fs::create_dir_all(mailbox.join(folder)).unwrap();
            own(&mailbox.join(folder));
        }
        let mut above = mailbox.as_path();
        while above != root {
            own(above);
            above = above.parent().unwrap();
        }
        for (number, mail) in mails.iter().enumerate() {
            let path = mailbox.join(format!("cur/{:08}.M.h:2,S", number + 1));
            fs::write(&path, mail).unwrap();
            let date = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + number as u64);
            fs::File::options().write(true).open(&path).unwrap().set_modified(date).unwrap();
            own(&path);
        }
    }

    pub(super) fn account(&self) -> Account {
        Account {
            access: Access { timeout: Duration::from_secs(60), ..Account::at(self.port).access },
            ..Account::at(self.port)
        }
    }

    /// Runs commands as alice; each must be answered OK.
    pub(super) fn commands(&self, commands: &[&str]) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let mut input = BufReader::new(stream.try_clone().unwrap());
        for (number, command) in ["LOGIN alice secret"].iter().chain(commands).enumerate() {
            stream.write_all(format!("t{number} {command}\r\n").as_bytes()).unwrap();
            loop {
                let mut line = String::new();
                assert!(input.read_line(&mut line).unwrap() > 0, "{command}: the end");
                if let Some(rest) = line.strip_prefix(&format!("t{number} ")) {
                    assert!(rest.starts_with("OK"), "{command}: {rest}");
                    break;
                }
            }
        }
    }
}

/// A report, or the error's words.
pub(super) fn report(account: &Account) -> Result<Report, Fault> {
    test_mailbox(&account.job(&Plain::default()), &Limits::default(), &Cancel::default())
}

/// Logs in by each mechanism, with the right password and a wrong one.
pub(super) fn every_mechanism(dovecot: &Dovecot, account: &mut Account, messages: u64) {
    for mechanism in [
        Mechanism::Plain,
        Mechanism::Login,
        Mechanism::CramMd5,
        Mechanism::ScramSha1,
        Mechanism::ScramSha256,
        Mechanism::Auto,
    ] {
        account.access.mechanism = mechanism;
        let found =
            report(account).unwrap_or_else(|fault| panic!("{mechanism:?}: {fault}\n{}", dovecot.log()));
        assert_eq!(found.folders[0].messages, Some(messages), "{mechanism:?}");
        let right = std::mem::replace(&mut account.login.secret, Secret::new("wrong".into()));
        let fault = report(account).unwrap_err();
        assert!(matches!(fault, Fault::Login { .. }), "{mechanism:?}: {fault}");
        assert!(!fault.to_string().contains("wrong"), "the password isn't told");
        account.login.secret = right;
    }
}

/// A certificate that nothing vouches for, the right fingerprint, a wrong one, and none that is looked at.
pub(super) fn every_trust(dovecot: &Dovecot, account: &mut Account) {
    account.access.trust = Trust::System;
    let fault = report(account).unwrap_err();
    assert!(matches!(fault, Fault::Tls { .. }) && fault.to_string().contains("--ca"), "{fault}");
    account.access.trust = Trust::Fingerprint(dovecot.fingerprint.clone());
    report(account).unwrap();
    account.access.trust = Trust::Fingerprint("00".repeat(32));
    let fault = report(account).unwrap_err();
    assert!(fault.to_string().contains(&dovecot.fingerprint), "{fault}");
    account.access.trust = Trust::IgnoreErrors;
    report(account).unwrap();
}

#[test]
fn every_way_in() {
    let Some(dovecot) = Dovecot::start("") else { return };
    dovecot.fill("INBOX", &[&mail(1)]);
    let mut account = dovecot.account();
    every_mechanism(&dovecot, &mut account, 1);
    account.access.host = "localhost".into();
    // The privileged user, into alice's mailbox and not into bob's.
    account.login =
        Login { user: "master".into(), authzid: Some("alice".into()), secret: Secret::new("mpw".into()) };
    for (tls, port) in
        [(Tls::None, dovecot.port), (Tls::Starttls, dovecot.port), (Tls::Implicit, dovecot.tls_port)]
    {
        account.access = Access { tls, port, trust: Trust::Ca(dovecot.ca.clone()), ..account.access };
        assert_eq!(report(&account).unwrap().folders[0].messages, Some(1), "{tls:?}");
        if tls == Tls::None {
            continue;
        }
        every_trust(&dovecot, &mut account);
        account.access.trust = Trust::Ca(dovecot.ca.clone());
        account.access.host = "127.0.0.1".into();
        let fault = report(&account).unwrap_err();
        assert!(matches!(fault, Fault::Tls { .. }), "another name: {fault}");
        account.access.host = "localhost".into();
    }
    account.login.authzid = Some("bob".into());
    assert_eq!(report(&account).unwrap().folders[0].messages, Some(0));
}

#[test]
fn news_end_the_wait() {
    let Some(dovecot) = Dovecot::start("") else { return };
    dovecot.fill("INBOX", &[&mail(1)]);
    dovecot.fill("Other", &[&mail(2)]);
    let (house, account, rules) = (House::new(), dovecot.account(), Plain::default());
    let watched =
        || watch(&house.archiver, &account.job(&rules), Duration::from_secs(600), &Cancel::default());
    watched().unwrap();
    house.run(&[account.job(&rules)], &quick());
    std::thread::scope(|scope| {
        let wait = scope.spawn(watched);
        // Whenever the other begins to wait, the next message is news to it.
        while !wait.is_finished() {
            dovecot.commands(&["APPEND Other {5+}\r\na:b\r\n"]);
        }
        wait.join().unwrap().unwrap();
    });
}

/// Names as they stand on disk, and in the archive.
fn names() -> Vec<(String, String)> {
    let odd = [
        ("INBOX", "INBOX"),
        ("Entw&APw-rfe", "Entwürfe"),
        ("&ZeVnLIqe-", "日本語"),
        ("R&-D", "R&D"),
        ("with blank", "with blank"),
        ("quote\"d", "quote\"d"),
        ("back\\slash", "back\\slash"),
        ("star*", "star*"),
        // Two hex digits would read as an escape.
        ("per%cent", "per%25cent"),
        ("(paren)", "(paren)"),
        ("{5}", "{5}"),
        ("NIL", "NIL"),
        ("a/b", "a/b"),
        ("a/b/c", "a/b/c"),
        ("[x]", "[x]"),
    ];
    let mut all: Vec<(String, String)> =
        odd.iter().map(|(raw, name)| ((*raw).into(), (*name).into())).collect();
    all.extend((all.len()..60).map(|n| (format!("folder{n}"), format!("folder{n}"))));
    all
}

/// CRLF for every line end.
fn canonical(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 32);
    for (at, byte) in bytes.iter().enumerate() {
        if *byte == b'\n' && (at == 0 || bytes.get(at - 1) != Some(&b'\r')) {
            out.push(b'\r');
        }
        out.push(*byte);
    }
    out
}

fn archive_twice_and_after_changes(capabilities: &str, compress: bool, mails: &[Vec<u8>]) {
    let Some(dovecot) = Dovecot::start(capabilities) else { return };
    let names = names();
    let mut wanted: BTreeMap<String, Vec<ContentHash>> = BTreeMap::new();
    for (at, (raw, name)) in names.iter().enumerate() {
        let own: Vec<&[u8]> = mails.iter().skip(at).step_by(names.len()).map(Vec::as_slice).collect();
        dovecot.fill(raw, &own);
        let mut hashes: Vec<ContentHash> = own.iter().map(|mail| hash(&canonical(mail))).collect();
        hashes.sort_unstable();
        wanted.insert(format!("alice/mail/{name}"), hashes);
    }
    let (house, account, rules) = (House::with_bytes(64 << 20), dovecot.account(), Plain::default());
    let options = Options { bounds: Bounds::default(), compress };
    let traffic = Arc::new(Traffic::default());
    let patience = Patience { options: Some(options), traffic: Arc::clone(&traffic), ..quick() };
    let wire = || traffic.read.swap(0, Ordering::Relaxed) + traffic.written.swap(0, Ordering::Relaxed);
    let all = mails.len() as u64;

    let first = house.run(&[account.job(&rules)], &patience);
    assert_eq!(
        (first.state, sums(&first)),
        (State::Succeeded, (all, 0, 0, 0, 0)),
        "{:?}",
        house.reasons(&first)
    );
    assert_eq!(first.sums.on_server, all);
    assert_eq!(house.folders(), wanted, "every message, byte for byte, in its folder");
    let bytes: u64 = mails.iter().map(|mail| mail.len() as u64).sum();
    let over = wire();
    assert!(over < bytes + bytes / 8 + all * 600, "{over} bytes over the wire for {bytes} of mail");

    let second = house.run(&[account.job(&rules)], &patience);
    assert_eq!((second.state, sums(&second)), (State::Succeeded, (0, all, 0, 0, 0)));
    let over = wire();
    assert!(over < 32 << 10, "{over} bytes over the wire for a run without news");

    // Five move, three go, one is new, one gets a flag, and one folder gets another UIDVALIDITY.
    dovecot.commands(&[
        "SELECT folder20",
        "UID MOVE 1:5 folder21",
        "UID STORE 6 +FLAGS (\\Flagged)",
        "UID STORE 7:8 +FLAGS (\\Deleted)",
        "UID EXPUNGE 7:8",
        "APPEND INBOX {20+}\r\nSubject: new\r\n\r\nnew\r\n\r\n",
        "LOGOUT",
    ]);
    let folder = dovecot.dir.path().join("mail/alice/folder30");
    for entry in fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name().to_string_lossy().starts_with("dovecot") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    wire();
    let third = house.run(&[account.job(&rules)], &patience);
    assert_eq!(
        (third.state, sums(&third)),
        (State::Succeeded, (1, all - 2 - 5, 5, 0, 0)),
        "{:?}",
        house.reasons(&third)
    );
    // What is fetched: the new message, headers of what moved, and the folder whose UIDs became others.
    let walked: Vec<&Vec<u8>> = mails.iter().skip(30).step_by(names.len()).collect();
    let bytes: u64 = walked.iter().map(|mail| mail.len() as u64).sum();
    let (over, most) = (wire(), bytes + bytes / 8 + walked.len() as u64 * 600 + (64 << 10));
    assert!(over < most, "{over} bytes over the wire for changes in four folders, not {most}");
    let after = house.folders();
    assert_eq!(after["alice/mail/folder21"].len(), wanted["alice/mail/folder21"].len() + 5);
    assert_eq!(after["alice/mail/folder20"].len(), wanted["alice/mail/folder20"].len() - 5);
    assert_eq!(after["alice/mail/folder30"], wanted["alice/mail/folder30"], "nothing twice");
    let fourth = house.run(&[account.job(&rules)], &patience);
    assert_eq!((fourth.state, sums(&fourth)), (State::Succeeded, (0, all - 2 + 1, 0, 0, 0)));

    // Deleted at the source: what was read back, and nothing else.
    let deletion = Some(Deletion { older_than_days: Some(1), ..Deletion::default() });
    let rules = Plain { deletion, ..Plain::default() };
    let fifth = house.run(&[account.job(&rules)], &patience);
    assert_eq!(fifth.state, State::Succeeded, "{:?}", house.reasons(&fifth));
    assert_eq!(fifth.sums.deleted, all - 2 - 1, "all but the flagged one and the one of today");
    let last = house.run(&[account.job(&rules)], &patience);
    assert_eq!((sums(&last), last.sums.on_server), ((0, 2, 0, 0, 0), 2));
    assert_eq!(house.folders(), after);
}

fn generated() -> Vec<Vec<u8>> {
    (0..900)
        .map(|n| {
            format!("Subject: {n}\r\nDate: Thu, 1 Jan 2015 00:00:00 +0100\r\n\r\n{}\r\n", "x".repeat(n))
                .into_bytes()
        })
        .collect()
}

#[test]
fn with_qresync_and_compression() {
    archive_twice_and_after_changes("", true, &generated());
}

#[test]
fn with_condstore_only() {
    archive_twice_and_after_changes("IMAP4rev1 SASL-IR CONDSTORE UIDPLUS MOVE LITERAL+", false, &generated());
}

#[test]
fn with_nothing_but_uidplus() {
    archive_twice_and_after_changes("IMAP4rev1 UIDPLUS MOVE LITERAL+", false, &generated());
}

#[test]
fn the_corpus_in_60_folders() {
    let Some(root) = corpus("lists") else { return };
    let mails: Vec<Vec<u8>> = Memory::of(&root, None).messages.into_iter().map(|mail| mail.bytes).collect();
    let mails: Vec<Vec<u8>> = mails.into_iter().filter(|mail| !mail.is_empty()).collect();
    assert!(mails.len() > 20_000, "{} messages", mails.len());
    archive_twice_and_after_changes("", false, &mails);
}
