//! Search on real mail against two oracles: a plain scan of every message's folded text, and a Dovecot without an index.
//!
//! The first must agree on everything, with the index complete, with none, and while it is made again. The second on needles of one line in plain
//! ASCII mail: Dovecot strips accents, keeps white space as it stands and reads no HTML, so nothing more can be compared.
//! Needles are cut from the mail itself: inside words, across words, lines and punctuation.

use anyhow::{Context, ensure};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use storage::mime::Tree;
use storage::search::{Day, Flag, Key};
use storage::text::{SearchText, fold, is_machine_header};
use storage::{
    Cancel, ContentHash, FolderPath, FolderView, Incoming, InternalDate, Limits, MasterKey, NewPlacement,
    Prepared, Row, SourceFlags, Storage, UidRanges,
};
use tests::Result;

/// Files of linux-man that are archived, spread over its years.
const MESSAGES: usize = 2_500;
/// Needles that are compared one by one with the plain scan.
const NEEDLES: usize = 2_500;
/// Trees of keys that are compared.
const TREES: usize = 600;
/// Needles that Dovecot searches too; it scans the mail for each of them.
const DOVECOT_NEEDLES: usize = 250;

/// Numbers that look random and are the same on every run (xorshift64*).
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        (high as usize) % bound.max(1)
    }
}

/// A message's text as the oracle sees it.
struct Plain {
    /// Name in lower case, folded value.
    fields: Vec<(String, String)>,
    /// What TEXT sees of the header.
    lines: Vec<String>,
    body: Vec<String>,
    /// What needles are cut from, as it was before folding.
    raw: Vec<String>,
}

impl Plain {
    fn new(incoming: &Incoming, limits: &Limits) -> Result<Plain> {
        let tree = Tree::parse(incoming.content.reader(), limits)?;
        let text = SearchText::new(&tree, &incoming.content, limits);
        let fields = SearchText::header_fields(&tree.entities[0].header_bytes);
        let seen = fields.iter().filter(|f| !is_machine_header(&f.name));
        Ok(Plain {
            fields: fields.iter().map(|f| (f.name.to_ascii_lowercase(), fold(&f.value))).collect(),
            lines: seen.map(|f| fold(&format!("{}: {}", f.name, f.value))).collect(),
            body: text.body.iter().map(|entry| fold(entry)).collect(),
            raw: fields.into_iter().map(|f| f.value).chain(text.body).filter(|s| !s.is_empty()).collect(),
        })
    }

    fn matches(&self, row: &Row, key: &Key) -> bool {
        let day = (row.date.secs + i64::from(row.date.zone) * 60).div_euclid(86_400);
        match key {
            Key::All => true,
            Key::Text(needle) => {
                let needle = fold(needle);
                self.lines.iter().chain(&self.body).any(|text| text.contains(&needle))
            }
            Key::Body(needle) => {
                let needle = fold(needle);
                self.body.iter().any(|text| text.contains(&needle))
            }
            Key::Header(name, needle) => {
                let (name, needle) = (name.to_ascii_lowercase(), fold(needle));
                self.fields.iter().any(|(n, value)| *n == name && value.contains(&needle))
            }
            Key::Before(Day(other)) => day < *other,
            Key::Since(Day(other)) => day >= *other,
            Key::Larger(size) => row.size > *size,
            Key::Uids(uids) => uids.contains(row.uid),
            Key::Flag(flag) => row.flags.has(*flag),
            Key::And(keys) => keys.iter().all(|k| self.matches(row, k)),
            Key::Or(keys) => keys.iter().any(|k| self.matches(row, k)),
            Key::Not(key) => !self.matches(row, key),
            other => unreachable!("the test makes no {other:?}"),
        }
    }
}

/// A scratch store with mail in one folder, and the oracle's view of the same mail.
struct Archive {
    _scratch: tempfile::TempDir,
    data: PathBuf,
    key: MasterKey,
    storage: Storage,
    texts: HashMap<ContentHash, Plain>,
}

impl Archive {
    fn new(files: &[PathBuf]) -> Result<Archive> {
        let scratch = tempfile::tempdir()?;
        let data = scratch.path().join("data");
        fs::create_dir(&data)?;
        let key = MasterKey::generate()?;
        let limits = Limits::default();
        Storage::create(&data, &key, &limits)?;
        let storage = Storage::open(&data, &key, limits.clone())?;
        let mut texts = HashMap::new();
        for (at, some) in files.chunks(400).enumerate() {
            let mut batch = storage.batch(&Cancel::default())?;
            let folder = batch.folder(&FolderPath::new("alice/lists")?)?;
            for (n, file) in some.iter().enumerate() {
                let number = at * 400 + n;
                let incoming = Incoming::read(fs::File::open(file)?, Vec::new(), &limits)?;
                texts.insert(incoming.hash, Plain::new(&incoming, &limits)?);
                let date = InternalDate { secs: number as i64 * 9_000, zone: [0, -300, 330][number % 3] };
                let flags = SourceFlags { flagged: number.is_multiple_of(3), ..SourceFlags::default() };
                let occurrence = number.to_string();
                let placement = NewPlacement { date, flags, source: "corpus", occurrence: &occurrence };
                batch.add(folder, Prepared::new(incoming, &limits), &placement)?;
            }
            batch.commit()?;
        }
        Ok(Archive { _scratch: scratch, data, key, storage, texts })
    }

    fn view(&self) -> Result<FolderView> {
        self.storage.view(&FolderPath::new("alice/lists")?).context("the folder is there")
    }

    /// The folder's rows, each with its text.
    fn rows(&self) -> Result<Vec<(Row, &Plain)>> {
        let columns = self.storage.columns(&self.view()?)?;
        columns
            .iter()
            .flat_map(|columns| &columns.rows)
            .map(|row| {
                let hash = self.storage.message(row)?.hash();
                Ok((*row, self.texts.get(&hash).context("a message that was archived")?))
            })
            .collect()
    }

    fn search(&self, key: &Key) -> Result<UidRanges> {
        Ok(self.storage.search(&self.view()?, key, &Cancel::default())?)
    }

    /// Compares one answer with the plain scan.
    fn compare(&self, rows: &[(Row, &Plain)], key: &Key) -> Result<u64> {
        let truth: UidRanges =
            rows.iter().filter(|(row, text)| text.matches(row, key)).map(|(row, _)| row.uid).collect();
        let found = self.search(key)?;
        let missing: Vec<_> = truth.subtract(&found).iter().take(5).collect();
        let wrong: Vec<_> = found.subtract(&truth).iter().take(5).collect();
        ensure!(found == truth, "{key:?}: missing {missing:?}, wrong {wrong:?}");
        Ok(truth.len())
    }

    fn reopen(&mut self, prepare: impl FnOnce(&Path) -> Result) -> Result {
        self.storage.close()?;
        let empty = tempfile::tempdir()?;
        let (key, limits) = (MasterKey::generate()?, Limits::default());
        Storage::create(empty.path(), &key, &limits)?;
        // The old one must be gone before its directory is opened again.
        drop(std::mem::replace(&mut self.storage, Storage::open(empty.path(), &key, limits.clone())?));
        prepare(&self.data)?;
        self.storage = Storage::open(&self.data, &self.key, limits)?;
        Ok(())
    }
}

/// A needle out of the mail: any stretch, at times in another case or with other white space.
fn needle(dice: &mut Dice, rows: &[(Row, &Plain)]) -> String {
    loop {
        let (_, text) = &rows[dice.below(rows.len())];
        let Some(from) = text.raw.get(dice.below(text.raw.len())) else { continue };
        let longest = [2, 4, 8, 8, 16, 30, 80][dice.below(7)];
        // Real text is long: cut near a byte, at the next character.
        let mut start = dice.below(from.len());
        while !from.is_char_boundary(start) {
            start -= 1;
        }
        let taken: String = from[start..].chars().take(1 + dice.below(longest)).collect();
        return match dice.below(8) {
            0 => taken.to_uppercase(),
            1 => taken.to_lowercase(),
            2 => taken.replace(' ', "\r\n "),
            3 => taken.chars().rev().collect(),
            _ => taken,
        };
    }
}

fn leaf(dice: &mut Dice, rows: &[(Row, &Plain)]) -> Key {
    const NAMES: [&str; 8] =
        ["from", "To", "SUBJECT", "Cc", "message-id", "User-Agent", "List-Id", "received"];
    let needle = needle(dice, rows);
    match dice.below(10) {
        0..4 => Key::Text(needle),
        4..7 => Key::Body(needle),
        _ => Key::Header(NAMES[dice.below(NAMES.len())].to_owned(), needle),
    }
}

fn tree(dice: &mut Dice, rows: &[(Row, &Plain)], depth: usize) -> Key {
    let some = |dice: &mut Dice| (0..1 + dice.below(3)).map(|_| tree(dice, rows, depth - 1)).collect();
    match dice.below(if depth == 0 { 6 } else { 12 }) {
        0..3 => leaf(dice, rows),
        3 => Key::Since(Day(dice.below(260) as i64)),
        4 => Key::Larger(dice.below(20_000) as u64),
        5 => match dice.below(3) {
            0 => Key::Before(Day(dice.below(260) as i64)),
            1 => Key::Flag(Flag::Flagged),
            _ => Key::Uids(UidRanges::from_spans([(
                dice.below(2_500) as u32 + 1,
                dice.below(2_500) as u32 + 1,
            )])),
        },
        6..8 => Key::And(some(dice)),
        8..10 => Key::Or(some(dice)),
        _ => Key::Not(Box::new(tree(dice, rows, depth - 1))),
    }
}

fn spread(files: Vec<PathBuf>, count: usize) -> Vec<PathBuf> {
    let step = (files.len() / count).max(1);
    files.into_iter().step_by(step).take(count).collect()
}

#[test]
fn every_answer_is_the_plain_scans() -> Result {
    let Some(lists) = tests::tools::need_corpus("lists/linux-man")? else { return Ok(()) };
    let mut archive = Archive::new(&spread(tests::mail::files(&lists)?, MESSAGES))?;
    let mut dice = Dice(0x5EED);
    {
        let rows = archive.rows()?;
        ensure!(rows.len() == MESSAGES, "{} of {MESSAGES} placed", rows.len());
        // The newest messages are above the index's watermark at first.
        for _ in 0..20 {
            archive.compare(&rows, &leaf(&mut dice, &rows))?;
        }
        archive.storage.wait_for_index(&Cancel::default())?;
        let mut hits = 0;
        for _ in 0..NEEDLES {
            hits += archive.compare(&rows, &leaf(&mut dice, &rows))?;
        }
        ensure!(hits > NEEDLES as u64 * 20, "only {hits} matches in all: the needles prove nothing");
        for _ in 0..TREES {
            archive.compare(&rows, &tree(&mut dice, &rows, 3))?;
        }
    }
    archive.reopen(|data| {
        for store in fs::read_dir(data.join("stores"))? {
            let index = store?.path().join("index");
            if index.is_dir() {
                fs::remove_dir_all(index)?;
            }
        }
        Ok(())
    })?;
    let rows = archive.rows()?;
    for at in 0..60 {
        archive.compare(&rows, &leaf(&mut dice, &rows))?;
        if at == 10 {
            archive.storage.wait_for_index(&Cancel::default())?;
        }
    }
    archive.storage.close()?;
    Ok(())
}

/// Whether Dovecot and we must agree on every needle without blanks: one part of plain ASCII text, not encoded.
fn is_plain(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Some((header, body)) = text.split_once("\n\n") else { return false };
    let unfolded = header.replace("\n ", " ").replace("\n\t", " ").to_ascii_lowercase();
    let field = |name: &str| unfolded.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    bytes.is_ascii()
        && !bytes.iter().any(|b| matches!(b, 0 | b'\r' | 0x0b | 0x0c | 0x1b))
        && !header.contains("=?")
        && body.len() < 200_000
        && field("content-type:")
            .is_none_or(|t| t.starts_with("text/plain") && !t.contains("utf-7") && !t.contains("2022"))
        && field("content-transfer-encoding:").is_none_or(|e| e == "7bit" || e == "8bit")
}

/// A Dovecot over a Maildir, spoken to over its standard input.
fn dovecot_searches(imap: &Path, files: &[PathBuf], commands: &[String]) -> Result<Vec<UidRanges>> {
    let scratch = tempfile::tempdir()?;
    let dir = scratch.path();
    // Dovecot does not serve root's mail.
    let root = rustix::process::getuid().is_root();
    let (uid, gid) = if root {
        (65_534, 65_534)
    } else {
        (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw())
    };
    let give = |path: &Path| if root { chown(path, Some(uid), Some(gid)) } else { Ok(()) };
    fs::set_permissions(dir, fs::Permissions::from_mode(0o755))?;
    give(dir)?;
    for sub in ["mail", "mail/cur", "mail/new", "mail/tmp"] {
        fs::create_dir(dir.join(sub))?;
        give(&dir.join(sub))?;
    }
    for (at, file) in files.iter().enumerate() {
        // Names rise, so Dovecot gives the UIDs in our order.
        let copy = dir.join(format!("mail/cur/{}.M{at:06}.host:2,S", 1_000_000_000 + at));
        fs::copy(file, &copy)?;
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o644))?;
    }
    let config = dir.join("dovecot.conf");
    let at = dir.display();
    fs::write(
        &config,
        format!(
            "protocols = imap\nlog_path = /dev/stderr\nbase_dir = {at}/run\nstate_dir = {at}/run\nssl = no\n\
             mail_location = maildir:{at}/mail\nmail_uid = {uid}\nmail_gid = {gid}\nfirst_valid_uid = 0\nfirst_valid_gid = 0\n"
        ),
    )?;
    let mut child = Command::new(imap)
        .arg("-c")
        .arg(&config)
        .env("USER", "tester")
        .env("HOME", dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().context("its standard input")?;
    let output = BufReader::new(child.stdout.take().context("its standard output")?);
    let mut all = String::from("s EXAMINE INBOX\r\n");
    for (at, command) in commands.iter().enumerate() {
        write!(all, "c{at} UID SEARCH RETURN (ALL) {command}\r\n")?;
    }
    all.push_str("l LOGOUT\r\n");
    // It answers while it reads: a thread writes, so that no pipe fills up.
    let writer = std::thread::spawn(move || input.write_all(all.as_bytes()));
    // It runs commands side by side, so answers are known by their tags.
    let mut answers: Vec<Option<UidRanges>> = vec![None; commands.len()];
    for line in output.lines() {
        let line = line?;
        if let Some((at, uids)) =
            line.strip_prefix("* ESEARCH (TAG \"c").and_then(|l| l.split_once("\") UID"))
        {
            let uids = uids.trim_start().strip_prefix("ALL ").unwrap_or_default();
            *answers.get_mut(at.parse::<usize>()?).context("a tag of ours")? = Some(uid_set(uids)?);
        } else if line.starts_with('c') {
            ensure!(line.contains(" OK "), "Dovecot: {line}");
        }
    }
    writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    ensure!(child.wait()?.success(), "Dovecot ended with a failure");
    answers.into_iter().collect::<Option<_>>().context("Dovecot gave too few answers")
}

/// A set as IMAP writes it: `1:3,7`.
fn uid_set(text: &str) -> Result<UidRanges> {
    let spans = text.split(',').filter(|span| !span.is_empty()).map(|span| {
        let (first, last) = span.split_once(':').unwrap_or((span, span));
        Ok((first.parse()?, last.parse()?))
    });
    Ok(UidRanges::from_spans(spans.collect::<Result<Vec<(u32, u32)>>>()?))
}

#[test]
fn dovecot_finds_the_same_in_plain_text() -> Result {
    let Some(lists) = tests::tools::need_corpus("lists/linux-man")? else { return Ok(()) };
    let imap = Path::new("/usr/lib/dovecot/imap");
    if !imap.exists() {
        return tests::tools::skip("search against Dovecot", "dovecot-imapd is not installed");
    }
    let mut files = Vec::new();
    for file in tests::mail::files(&lists)?.into_iter().step_by(5) {
        if is_plain(&fs::read(&file)?) {
            files.push(file);
        }
        if files.len() == 600 {
            break;
        }
    }
    ensure!(files.len() == 600, "only {} plain messages", files.len());
    let archive = Archive::new(&files)?;
    archive.storage.wait_for_index(&Cancel::default())?;
    let mut dice = Dice(0xD0_7EC0);
    let (mut keys, mut commands) = (Vec::new(), Vec::new());
    while keys.len() < DOVECOT_NEEDLES {
        let text = fs::read_to_string(&files[dice.below(files.len())])?;
        let Some((header, body)) = text.split_once("\n\n") else { continue };
        let subject = header.lines().find_map(|line| line.strip_prefix("Subject: ")).unwrap_or_default();
        let in_subject = dice.below(4) == 0;
        let source = if in_subject { subject } else { body };
        let Some(line) = source.lines().nth(dice.below(source.lines().count())) else { continue };
        let start = dice.below(line.len());
        let end = (start + 1 + dice.below(24)).min(line.len());
        let mut needle = line[start..end].to_owned();
        // A tab or two blanks are one blank to us alone.
        needle.truncate(needle.find([' ', '\t']).filter(|_| dice.below(3) > 0).unwrap_or(needle.len()));
        if needle.is_empty() || needle.trim() != needle || needle.contains('\t') || needle.contains("  ") {
            continue;
        }
        if dice.below(4) == 0 {
            needle.make_ascii_uppercase();
        }
        let quoted = tests::imap::quoted(&needle);
        commands.push(format!("{} {quoted}", if in_subject { "SUBJECT" } else { "BODY" }));
        keys.push(if in_subject { Key::Header("subject".to_owned(), needle) } else { Key::Body(needle) });
    }
    let answers = dovecot_searches(imap, &files, &commands)?;
    let mut hits = 0;
    for (key, theirs) in keys.iter().zip(answers) {
        let ours = archive.search(key)?;
        let (Key::Body(needle) | Key::Header(_, needle)) = key else { continue };
        let missing = theirs.subtract(&ours);
        ensure!(missing.is_empty(), "{key:?}: Dovecot finds {missing:?} too");
        let more = ours.subtract(&theirs);
        ensure!(needle.contains(' ') || more.is_empty(), "{key:?}: Dovecot does not find {more:?}");
        hits += theirs.len();
    }
    ensure!(hits > 1_000, "only {hits} matches in all: the needles prove nothing");
    archive.storage.close()?;
    Ok(())
}
