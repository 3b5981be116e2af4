//! SORT and THREAD on real mail beside a Dovecot's: the same order by every key, the same threads.
//!
//! What differs must be named in tests/data/dovecot-order-differences.txt, message by message, with the RFC's words that make
//! ours right; any other difference fails.

use anyhow::{Context, bail, ensure};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use storage::order::{By, Criterion, Threading, Token};
use storage::{
    Cancel, FolderPath, Incoming, InternalDate, Limits, MasterKey, NewPlacement, Prepared, SourceFlags,
    Storage,
};
use tests::Result;
use tests::dovecot::{Dovecot, Letter};

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

/// Dovecot's mailbox of these files, in their order.
fn letters(files: &[PathBuf]) -> Result<Vec<Letter>> {
    let letter = |(n, file)| Ok(Letter { bytes: fs::read(file)?, secs: arrival(n) });
    files.iter().enumerate().map(letter).collect()
}

/// Runs a command; what its untagged line says that begins so.
fn run(dovecot: &mut Dovecot, command: &str, begin: &str) -> Result<String> {
    let (untagged, end) = dovecot.command(command)?;
    ensure!(end.starts_with("OK"), "Dovecot: {command}: {end}");
    let found = untagged.iter().rev().find_map(|line| line.strip_prefix(begin.as_bytes()));
    let found = found.with_context(|| format!("{command} has no answer"))?;
    Ok(std::str::from_utf8(found)?.trim().to_owned())
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
    let files: Vec<PathBuf> = tests::mail::files(&lists)?
        .into_iter()
        .filter(|f| f.extension().is_some_and(|e| e == "eml"))
        .collect();
    ensure!(files.len() > 10_000, "only {} messages", files.len());
    let scratch = tempfile::tempdir()?;
    let storage = archive(scratch.path(), &files)?;
    let view = storage.view(&path()?).context("the folder is there")?;
    let Some(mut dovecot) =
        Dovecot::over("SORT and THREAD beside Dovecot's", &[("INBOX", letters(&files)?)])?
    else {
        return Ok(());
    };
    run(&mut dovecot, "SELECT INBOX", "* OK")?;
    let known = known()?;
    let name = |uid: u32| -> Result<String> {
        let file = files.get(uid as usize - 1).context("a file for the UID")?;
        Ok(file.strip_prefix(&lists)?.display().to_string())
    };
    let mut report = String::new();
    for (by, key) in KEYS {
        let theirs = run(&mut dovecot, &format!("UID SORT ({key}) UTF-8 ALL"), "* SORT")?;
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
        let theirs = run(&mut dovecot, &format!("UID THREAD {key} UTF-8 ALL"), "* THREAD")?;
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
