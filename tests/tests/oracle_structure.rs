//! ENVELOPE, BODYSTRUCTURE, BODY and RFC822.SIZE of the whole corpus beside a Dovecot's on the same bytes.
//!
//! Every value that differs must be of a kind that tests/data/dovecot-differences.txt names, with the RFC's words that
//! make ours right; any other difference fails. Dovecot runs without a port: its imap program on pipes, one big FETCH.
//! The same pass checks that ours are right by the grammar (RFC 9051 §9) and that text comes out of everything.

use anyhow::{Context, bail, ensure};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use storage::card::Card;
use storage::mime::Tree;
use storage::text::SearchText;
use storage::{Incoming, Limits};
use tests::Result;
use tests::dovecot::{Dovecot, Letter};
use tests::tools::need_corpus;

/// Files above this aren't mail that a structure could be compared of.
const MAX_FILE: u64 = 8 << 20;

/// A value of an IMAP response.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Nil,
    Atom(String),
    Text(Vec<u8>),
    List(Vec<Value>),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Nil => f.write_str("NIL"),
            Value::Atom(atom) => f.write_str(atom),
            Value::Text(text) => write!(f, "\"{}\"", text.escape_ascii()),
            Value::List(values) => {
                f.write_char('(')?;
                for (index, value) in values.iter().enumerate() {
                    write!(f, "{}{value}", if index == 0 { "" } else { " " })?;
                }
                f.write_char(')')
            }
        }
    }
}

/// Reads one value from the front of `bytes`.
fn value(bytes: &mut &[u8]) -> Result<Value> {
    match bytes.first() {
        Some(b'(') => {
            let mut values = Vec::new();
            *bytes = &bytes[1..];
            loop {
                match bytes.first() {
                    Some(b')') => {
                        *bytes = &bytes[1..];
                        return Ok(Value::List(values));
                    }
                    Some(b' ') => *bytes = &bytes[1..],
                    _ => values.push(value(bytes)?),
                }
            }
        }
        Some(b'"') => {
            let mut text = Vec::new();
            let mut at = 1;
            loop {
                match bytes.get(at).context("an open quote")? {
                    b'"' => break,
                    b'\\' => {
                        text.push(*bytes.get(at + 1).context("an open quote")?);
                        at += 2;
                    }
                    &byte => {
                        text.push(byte);
                        at += 1;
                    }
                }
            }
            *bytes = &bytes[at + 1..];
            Ok(Value::Text(text))
        }
        Some(b'{') => {
            let end = bytes.iter().position(|&byte| byte == b'}').context("a literal's head")?;
            let len: usize = std::str::from_utf8(&bytes[1..end])?.parse()?;
            let text = bytes.get(end + 3..end + 3 + len).context("a literal is cut")?;
            *bytes = &bytes[end + 3 + len..];
            Ok(Value::Text(text.to_vec()))
        }
        Some(_) => {
            let end = bytes.iter().position(|byte| b" ()".contains(byte)).unwrap_or(bytes.len());
            ensure!(end > 0, "no value");
            let atom = String::from_utf8_lossy(&bytes[..end]).into_owned();
            *bytes = &bytes[end..];
            Ok(if atom == "NIL" { Value::Nil } else { Value::Atom(atom) })
        }
        None => bail!("the value ends early"),
    }
}

/// One message's answers, by item name.
type Answers = BTreeMap<String, Value>;

/// What Dovecot says to a FETCH of everything, message by message.
struct Fetched {
    dovecot: Dovecot,
    tag: String,
}

impl Fetched {
    /// Asks a Dovecot over these files, in their order; none where there is no Dovecot.
    fn of(files: &[PathBuf]) -> Result<Option<Fetched>> {
        let letter = |file| Ok(Letter { bytes: fs::read(file)?, secs: 1_000_000_000 });
        let letters = files.iter().map(letter).collect::<Result<Vec<_>>>()?;
        let Some(mut dovecot) = Dovecot::over("structures beside Dovecot's", &[("INBOX", letters)])? else {
            return Ok(None);
        };
        let (_, end) = dovecot.command("SELECT INBOX")?;
        ensure!(end.starts_with("OK"), "Dovecot: {end}");
        let tag = dovecot.begin("FETCH 1:* (RFC822.SIZE ENVELOPE BODYSTRUCTURE BODY)")?;
        Ok(Some(Fetched { dovecot, tag }))
    }

    /// The next FETCH response; none once the command is done.
    fn next(&mut self) -> Result<Option<(usize, Answers)>> {
        loop {
            let line = self.dovecot.response()?;
            if let Some(end) = line.strip_prefix(self.tag.as_bytes()) {
                ensure!(end.starts_with(b" OK"), "Dovecot refuses: {}", String::from_utf8_lossy(&line));
                return Ok(None);
            }
            let Some(rest) = line.strip_prefix(b"* ") else { continue };
            let Some(at) = rest.windows(8).take(12).position(|window| window == b" FETCH (") else {
                continue;
            };
            let number = std::str::from_utf8(&rest[..at])?.parse()?;
            let mut values = &rest[at + 7..];
            let Value::List(items) = value(&mut values)? else { bail!("no list in a FETCH response") };
            let mut answers = Answers::new();
            for pair in items.chunks(2) {
                if let [Value::Atom(name), value] = pair {
                    answers.insert(name.clone(), value.clone());
                }
            }
            return Ok(Some((number, answers)));
        }
    }
}

/// Every file of the corpus that may pass for a message, sorted: all list mail, all single messages, all of weird/.
fn files() -> Result<Option<Vec<PathBuf>>> {
    let mut files = Vec::new();
    for part in ["lists", "formats-public", "weird"] {
        let Some(folder) = need_corpus(part)? else { return Ok(None) };
        for entry in walkdir::WalkDir::new(&folder).sort_by_file_name() {
            let entry = entry?;
            let is_eml = entry.path().extension().is_some_and(|extension| extension == "eml");
            if entry.file_type().is_file()
                && (part == "weird" || is_eml)
                && entry.metadata()?.len() <= MAX_FILE
            {
                files.push(entry.into_path());
            }
        }
    }
    Ok(Some(files))
}

/// Whether a file is a message or a mailbox by its name. The other files of weird/ only have to give what is right by
/// the grammar: what two programs make of an XML file's lines as header fields is nobody's standard.
fn is_mail(file: &Path) -> bool {
    let extension = file.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_none_or(|extension| ["eml", "msg", "raw", "mbox", "txt", "out", "in"].contains(&&*extension))
}

/// Our answers for a message, checked by the grammar on the way.
fn answers(incoming: &Incoming, limits: &Limits) -> Result<Answers> {
    let tree = Tree::parse(incoming.content.reader(), limits)?;
    let card = Card::new(&tree, &incoming.content, limits);
    drop(SearchText::new(&tree, &incoming.content, limits));
    let mut encoded = Vec::new();
    card.encode(&mut encoded);
    ensure!(Card::decode(&mut encoded.into())? == card, "the card comes back");
    let table = card.part_table()?;
    ensure!(table.len() == tree.entities.len(), "the table of parts comes back");
    let body = card.body();
    tests::grammar::envelope(&card.envelope).context("ENVELOPE")?;
    tests::grammar::body(&card.bodystructure, true).context("BODYSTRUCTURE")?;
    tests::grammar::body(&body, false).context("BODY")?;
    let mut answers = Answers::new();
    answers.insert("RFC822.SIZE".to_owned(), Value::Atom(card.size.to_string()));
    for (name, bytes) in
        [("ENVELOPE", &card.envelope[..]), ("BODYSTRUCTURE", &card.bodystructure), ("BODY", &body)]
    {
        let mut rest = bytes;
        answers.insert(name.to_owned(), value(&mut rest)?);
        ensure!(rest.is_empty(), "{name} ends where it ends");
    }
    Ok(answers)
}

/// tests/data/dovecot-differences.txt: `file<TAB>item<TAB>kind` lines, and for each kind a paragraph.
fn known() -> Result<BTreeMap<(String, String), String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/dovecot-differences.txt");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let kinds: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let mut known = BTreeMap::new();
    for line in text.lines() {
        let [file, item, kind] = *line.split('\t').collect::<Vec<_>>() else { continue };
        ensure!(kinds.contains(&kind), "{}: {kind} is not explained", path.display());
        known.insert((file.to_owned(), item.to_owned()), kind.to_owned());
    }
    Ok(known)
}

/// Takes out of a value what differs by rule (the first part of dovecot-differences.txt): stand-ins for what an address
/// lacks, runs of white space, the case of what has no case.
fn by_rule(value: &mut Value) {
    match value {
        Value::List(values) => values.iter_mut().for_each(by_rule),
        Value::Text(text) => {
            if text == b"MISSING_DOMAIN" || text == b"MISSING_MAILBOX" || text == b"SYNTAX_ERROR" {
                text.clear();
            }
            let words = text.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
            *text = words.collect::<Vec<_>>().join(&b' ');
            if ["text", "plain", "us-ascii", "7bit"]
                .iter()
                .any(|word| text.eq_ignore_ascii_case(word.as_bytes()))
            {
                text.make_ascii_lowercase();
            }
        }
        _ => {}
    }
}

#[test]
fn what_is_cut_off_anywhere_is_right_by_the_grammar() -> Result {
    let Some(folder) = need_corpus("weird")? else { return Ok(()) };
    let limits = Limits::default();
    for entry in walkdir::WalkDir::new(&folder).sort_by_file_name() {
        let entry = entry?;
        if !entry.file_type().is_file() || entry.metadata()?.len() > 64 << 10 {
            continue;
        }
        let bytes = fs::read(entry.path())?;
        // Sixteen places, odd ones too, so that line ends, quotes and multi-byte characters are cut in two.
        for cut in (1..=16).map(|part| bytes.len() * part / 17) {
            let incoming = Incoming::read(&bytes[..cut], Vec::new(), &limits)?;
            answers(&incoming, &limits)
                .with_context(|| format!("{} cut at {cut}", entry.path().display()))?;
        }
    }
    Ok(())
}

#[test]
fn structures_agree_with_dovecots() -> Result {
    let Some(files) = files()? else { return Ok(()) };
    let root = need_corpus("lists")?.context("the corpus was there")?;
    let root = root.parent().context("lists stands in the corpus")?;
    let known = known()?;
    let limits = Limits::default();
    let Some(mut fetched) = Fetched::of(&files)? else { return Ok(()) };
    let mut report = String::new();
    let mut seen = BTreeMap::new();
    let mut answered = 0;
    while let Some((number, theirs)) = fetched.next()? {
        let file = files.get(number.wrapping_sub(1)).context("Dovecot numbers as we do")?;
        let name = file.strip_prefix(root)?.display().to_string();
        let incoming = Incoming::read(fs::File::open(file)?, Vec::new(), &limits)?;
        let ours = answers(&incoming, &limits).with_context(|| name.clone())?;
        answered += 1;
        if !is_mail(file) {
            continue;
        }
        for (item, ours) in &ours {
            let mut theirs = theirs.get(item).cloned().unwrap_or(Value::Nil);
            let mut ours = ours.clone();
            by_rule(&mut theirs);
            by_rule(&mut ours);
            if ours == theirs {
                continue;
            }
            match known.get(&(name.clone(), item.clone())) {
                Some(kind) => *seen.entry(kind.clone()).or_insert(0) += 1,
                None => writeln!(report, "{name}\t{item}\n  ours   {ours}\n  theirs {theirs}")?,
            }
        }
    }
    ensure!(answered == files.len(), "Dovecot answered for {answered} of {} files", files.len());
    let listed: usize = seen.values().sum();
    ensure!(listed == known.len(), "{} listed differences no longer differ: {seen:?}", known.len() - listed);
    if !report.is_empty() {
        let path = tests::tools::target()?.join("structure-differences.txt");
        fs::write(&path, &report)?;
        bail!(
            "{} differences that dovecot-differences.txt doesn't explain, see {}",
            report.lines().count() / 3,
            path.display()
        );
    }
    Ok(())
}
