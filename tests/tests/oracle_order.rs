//! SORT and THREAD on real mail beside a Dovecot's: the same order by every key, the same threads.
//!
//! What differs must be named in tests/data/dovecot-order-differences.txt, message by message, with the RFC's words that make
//! ours right; any other difference fails. Dovecot runs without a port: its imap program on pipes.

use anyhow::{Context, bail, ensure};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};
use storage::order::{By, Criterion, Threading, Token};
use storage::{
    Cancel, FolderPath, Incoming, InternalDate, Limits, MasterKey, NewPlacement, Prepared, SourceFlags,
    Storage,
};
use tests::Result;

/// The system's user that Dovecot runs as when the tests run as root, which it refuses to read mail as.
const NOBODY: u32 = 65_534;

const KEYS: [(By, &str); 9] = [
    (By::Arrival, "ARRIVAL"),
    (By::Cc, "CC"),
    (By::Date, "DATE"),
    (By::From, "FROM"),
    (By::Size, "SIZE"),
    (By::Subject, "SUBJECT"),
    (By::To, "TO"),
    (By::DisplayFrom, "DISPLAYFROM"),
    (By::DisplayTo, "DISPLAYTO"),
];

/// When message `n` arrived: in another order than the mailbox's, some at the same moment.
fn arrival(n: usize) -> u64 {
    1_000_000_000 + (n as u64 * 7_919 % 20_011) * 60
}

/// A Dovecot over a Maildir, spoken to over its standard input.
struct Dovecot {
    child: Child,
    input: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
    _dir: tempfile::TempDir,
}

impl Dovecot {
    fn over(imap: &Path, files: &[PathBuf]) -> Result<Dovecot> {
        let dir = tempfile::tempdir()?;
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
        let root = rustix::process::geteuid().is_root();
        let own = |path: &Path| if root { chown(path, Some(NOBODY), Some(NOBODY)) } else { Ok(()) };
        for folder in ["home", "mail", "mail/cur", "mail/new", "mail/tmp"] {
            let folder = dir.path().join(folder);
            fs::create_dir(&folder)?;
            own(&folder)?;
        }
        for (number, file) in files.iter().enumerate() {
            // Names rise, so Dovecot gives the UIDs in our order; INTERNALDATE is the file's time.
            let copy = dir.path().join(format!("mail/cur/{:08}.M.h:2,S", number + 1));
            fs::write(&copy, fs::read(file)?)?;
            let time = UNIX_EPOCH + Duration::from_secs(arrival(number));
            fs::File::options().write(true).open(&copy)?.set_modified(time)?;
            own(&copy)?;
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
                 mail_location = maildir:{path}/mail\nfirst_valid_uid = 0\nfirst_valid_gid = 0\n\
                 mail_uid = {uid}\nmail_gid = {gid}\nlog_path = /dev/stderr\n"
            ),
        )?;
        let mut child = Command::new(imap)
            .arg("-c")
            .arg(&conf)
            .env("HOME", dir.path().join("home"))
            .env("USER", "oracle")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", imap.display()))?;
        let input = child.stdin.take().context("Dovecot's input")?;
        let output = BufReader::with_capacity(1 << 20, child.stdout.take().context("Dovecot's output")?);
        let mut dovecot = Dovecot { child, input, output, _dir: dir };
        dovecot.run("SELECT INBOX", "* OK")?;
        Ok(dovecot)
    }

    /// Runs a command; what its untagged line says that begins so.
    fn run(&mut self, command: &str, begin: &str) -> Result<String> {
        write!(self.input, "a {command}\r\n")?;
        let mut found = None;
        loop {
            let mut line = String::new();
            ensure!(self.output.read_line(&mut line)? > 0, "Dovecot ended early");
            let line = line.trim_end();
            if line.starts_with("a ") {
                ensure!(line.starts_with("a OK"), "Dovecot: {command}: {line}");
                return found.with_context(|| format!("{command} has no answer"));
            }
            if let Some(rest) = line.strip_prefix(begin) {
                found = Some(rest.trim_start().to_owned());
            }
        }
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        if self.child.kill().is_ok() {
            drop(self.child.wait());
        }
    }
}

/// Of each message, by UID: its parent (0: none) and the other messages that share a parent which isn't there, by the first.
fn parents(threads: &str) -> Result<BTreeMap<u32, (u32, u32)>> {
    let mut found = BTreeMap::new();
    // Of each open list the last message in it, and the first message of a thread without a root.
    let mut open: Vec<(u32, u32)> = Vec::new();
    let mut rest = threads;
    while let Some(c) = rest.chars().next() {
        match c {
            '(' => {
                let parent = open.last().map_or(0, |(last, _)| *last);
                open.push((parent, 0));
                rest = &rest[1..];
            }
            ')' => {
                let (_, _) = open.pop().context("a list that was not opened")?;
                rest = &rest[1..];
            }
            ' ' => rest = &rest[1..],
            _ => {
                let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                let uid: u32 = rest[..end].parse()?;
                rest = &rest[end..];
                let depth = open.len();
                let parent = open.last().context("a message outside a list")?.0;
                // Below a root that isn't there, the first message names the thread.
                let group = if parent == 0 && depth > 1 {
                    let top = open.first_mut().context("a thread")?;
                    if top.1 == 0 {
                        top.1 = uid;
                    }
                    top.1
                } else {
                    0
                };
                open.last_mut().context("a list")?.0 = uid;
                found.insert(uid, (parent, group));
            }
        }
    }
    ensure!(open.is_empty(), "a list that is not closed");
    Ok(found)
}

/// tests/data/dovecot-order-differences.txt: `file<TAB>key<TAB>kind` lines, and for each kind a paragraph.
fn known() -> Result<BTreeMap<(String, String), String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/dovecot-order-differences.txt");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let kinds: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let mut known = BTreeMap::new();
    for line in text.lines() {
        let [file, key, kind] = *line.split('\t').collect::<Vec<_>>() else { continue };
        ensure!(kinds.contains(&kind), "{}: {kind} is not explained", path.display());
        known.insert((file.to_owned(), key.to_owned()), kind.to_owned());
    }
    Ok(known)
}

fn archive(dir: &Path, files: &[PathBuf]) -> Result<Storage> {
    let key = MasterKey::generate()?;
    let limits = Limits::default();
    Storage::create(dir, &key, &limits)?;
    let storage = Storage::open(dir, &key, limits.clone())?;
    for (at, some) in files.chunks(1_000).enumerate() {
        let mut batch = storage.batch(&Cancel::default())?;
        let folder = batch.folder(&path()?)?;
        for (n, file) in some.iter().enumerate() {
            let number = at * 1_000 + n;
            let incoming = Incoming::read(fs::File::open(file)?, Vec::new(), &limits)?;
            let date = InternalDate { secs: i64::try_from(arrival(number))?, zone: 0 };
            let occurrence = number.to_string();
            let flags = SourceFlags::default();
            let placement = NewPlacement { date, flags, source: "corpus", occurrence: &occurrence };
            batch.add(folder, Prepared::new(incoming, &limits), &placement)?;
        }
        batch.commit()?;
    }
    Ok(storage)
}

fn path() -> Result<FolderPath> {
    Ok(FolderPath::new("alice/lists")?)
}

#[test]
fn orders_and_threads_are_dovecots() -> Result {
    let Some(lists) = tests::tools::need_corpus("lists")? else { return Ok(()) };
    let imap = Path::new("/usr/lib/dovecot/imap");
    if !imap.exists() {
        return tests::tools::skip("SORT and THREAD beside Dovecot's", "dovecot-imapd is not installed");
    }
    let files: Vec<PathBuf> = tests::mail::files(&lists)?
        .into_iter()
        .filter(|f| f.extension().is_some_and(|e| e == "eml"))
        .collect();
    ensure!(files.len() > 10_000, "only {} messages", files.len());
    let scratch = tempfile::tempdir()?;
    let storage = archive(scratch.path(), &files)?;
    let view = storage.view(&path()?).context("the folder is there")?;
    let mut dovecot = Dovecot::over(imap, &files)?;
    let known = known()?;
    let name = |uid: u32| -> Result<String> {
        let file = files.get(uid as usize - 1).context("a file for the UID")?;
        Ok(file.strip_prefix(&lists)?.display().to_string())
    };
    let mut report = String::new();
    for (by, key) in KEYS {
        let theirs = dovecot.run(&format!("UID SORT ({key}) UTF-8 ALL"), "* SORT")?;
        let mut theirs: Vec<u32> =
            theirs.split(' ').map(str::parse).collect::<std::result::Result<_, _>>()?;
        let criteria = [Criterion { by, reverse: false }];
        let ours = storage.sort(&view, &view.uids, &criteria, &[], &Cancel::default())?;
        let mut ours: Vec<u32> = ours.into_iter().map(|uid| uid.0).collect();
        let same = ours == theirs;
        let mut listed = Vec::new();
        for (file, _) in known.keys().filter(|(_, k)| k == key) {
            let at = files.iter().position(|f| f.ends_with(file)).context("a listed file is there")?;
            listed.push(u32::try_from(at + 1)?);
        }
        ensure!(listed.is_empty() == same, "{key}: what is listed differs, and only that");
        ours.retain(|uid| !listed.contains(uid));
        theirs.retain(|uid| !listed.contains(uid));
        for (a, b) in ours.iter().zip(&theirs).filter(|(a, b)| a != b).take(40) {
            writeln!(report, "{key}\tours {}\ttheirs {}", name(*a)?, name(*b)?)?;
        }
        ensure!(ours.len() == theirs.len(), "{key}: {} beside {}", ours.len(), theirs.len());
    }
    for (by, key) in [(Threading::References, "REFERENCES"), (Threading::OrderedSubject, "ORDEREDSUBJECT")] {
        let theirs = dovecot.run(&format!("UID THREAD {key} UTF-8 ALL"), "* THREAD")?;
        let mut ours = String::new();
        for token in storage.thread(&view, &view.uids, by, &Cancel::default())?.walk() {
            match token {
                Token::Open => ours.push('('),
                Token::Close => ours.push(')'),
                Token::Message(uid) => write!(ours, "{uid} ")?,
            }
        }
        let (ours, theirs) = (parents(&ours)?, parents(&theirs)?);
        ensure!(ours.len() == theirs.len(), "{key}: each message once");
        for (uid, ours) in &ours {
            let theirs = theirs.get(uid).with_context(|| format!("Dovecot has UID {uid}"))?;
            let file = name(*uid)?;
            let listed = known.contains_key(&(file.clone(), key.to_owned()));
            if (ours != theirs) != listed {
                writeln!(report, "{key}\t{file}\tours {ours:?}\ttheirs {theirs:?}")?;
            }
        }
    }
    storage.close()?;
    if !report.is_empty() {
        let path = tests::tools::target()?.join("order-differences.txt");
        fs::write(&path, &report)?;
        bail!("{} differences that are not explained, see {}", report.lines().count(), path.display());
    }
    Ok(())
}
