//! Mail that nobody would write: the sample's and weird/'s messages, mutated by someone who knows MIME.
//!
//! Whatever comes out of the mutator is split, gets a card that is right by the grammar (RFC 3501 §9) and comes back, and
//! a text; parts lie inside of their parents, one after the other; what is made of it is bounded by what it is; and it is
//! archived and read again byte for byte. An execution depends on its number alone: MAILKEEP_SEED=N begins with that one.

use anyhow::{Context, ensure};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};
use storage::card::Card;
use storage::mime::Tree;
use storage::text::SearchText;
use storage::{
    Cancel, FolderPath, Incoming, InternalDate, Limits, MasterKey, NewPlacement, Prepared, SourceFlags,
    Storage,
};
use tests::Result;
use tests::generate::Dice;
use tests::tools::{long, repository};

/// Executions of a short round.
const SHORT: u64 = 6_000;
/// Time of a long one.
const LONG: Duration = Duration::from_secs(20 * 60);
/// Files above this are too slow to mutate by the thousand.
const MAX_FILE: usize = 32 << 10;
/// Lines repeated again and again would make messages of any size; what is too large is refused elsewhere.
const MAX_MESSAGE: usize = 2 << 20;
/// One message in so many is archived, too.
const ARCHIVED: u64 = 20;

/// Lines that mean something in a message.
const LINES: &[&[u8]] = &[
    b"Content-Type: multipart/mixed; boundary=b",
    b"Content-Type: multipart/alternative; boundary=\"b\"",
    b"Content-Type: multipart/digest; boundary=b",
    b"Content-Type: multipart/mixed",
    b"Content-Type: message/rfc822",
    b"Content-Type: message/global",
    b"Content-Type: message/partial; id=x; number=1",
    b"Content-Type: text/html; charset=utf-7",
    b"Content-Type: text/plain; charset*=utf-8''%75tf-8; name*0*=a''%; name*1=b; name*99999=c",
    b"Content-Type: text/plain; charset=\"iso-2022-jp",
    b"Content-Type: text/x; a=\"\\\"; b=(; c=)",
    b"Content-Type: ;;;",
    b"Content-Type:",
    b"Content-Transfer-Encoding: base64",
    b"Content-Transfer-Encoding: quoted-printable",
    b"Content-Transfer-Encoding: x-uuencode",
    b"Content-Disposition: attachment; filename*=utf-8'en'%e2%82%ac; size=-1",
    b"Content-ID: <<>>",
    b"Content-Language: de, (x) en,,",
    b"Content-Location: \x80",
    b"Content-MD5: {5}",
    b"MIME-Version: 1.0",
    b"From: group: a@b, \"c\\\"d\" <@x,@y:e@f>;, (((((g",
    b"To: undisclosed-recipients:;",
    b"Cc: =?utf-8?B?8J+YgA==?= <a@b>, =?x?Q?=?=",
    b"Sender:",
    b"Reply-To: <>",
    b"Date: Thu, 31 Feb 99 25:61:61 +9999 (x",
    b"Message-ID: <\"a b\"@[1.2.3.4]>",
    b"In-Reply-To: <a@b",
    b"References: <a@b> <c@d>garbage<e@f>",
    b"Subject: =?gb18030?B?/////w==?= =?utf-8?q?=F0=9F?=",
    b"Subject: a\x00b",
    b"--b",
    b"--b--",
    b"--b ",
    b"--",
    b"",
    b"",
    b" folded",
    b"\t",
    b":",
    b"begin 644 x",
    b"=\r",
    b"=XX=3D=",
    b"<html><!--<a href='x>&#x110000;&#0;</",
    b"%PDF-1.4",
    b"From x@y Thu Jan  1 00:00:00 1970",
    b"\x1b$B\x1b(B",
];

struct Seed {
    name: String,
    bytes: Vec<u8>,
}

fn seeds() -> Result<Vec<Seed>> {
    let mut seeds = Vec::new();
    // The sample's mboxes, message by message; imapd's fixtures.
    for folder in ["mailkeep/sample/mail", "imapd/tests/data/mail", "storage/tests/data"] {
        for file in tests::mail::files(&repository()?.join(folder))? {
            let bytes = std::fs::read(&file)?;
            let name = file.display().to_string();
            let is_mbox = file.extension().is_some_and(|extension| extension == "mbox");
            let mut rest = bytes.as_slice();
            for n in 0.. {
                let next = if is_mbox { rest.windows(7).position(|at| at == b"\n\nFrom ") } else { None };
                let (one, after) = rest.split_at(next.map_or(rest.len(), |at| at + 2));
                seeds.push(Seed { name: format!("{name}:{n}"), bytes: one.to_vec() });
                rest = after;
                if rest.is_empty() {
                    break;
                }
            }
        }
    }
    if let Some(weird) = tests::tools::need_corpus("weird")? {
        for file in tests::mail::files(&weird)? {
            seeds.push(Seed { name: file.display().to_string(), bytes: std::fs::read(&file)? });
        }
    }
    seeds.retain(|seed| seed.bytes.len() <= MAX_FILE);
    ensure!(seeds.len() > 300, "{} messages to begin with", seeds.len());
    Ok(seeds)
}

fn at(dice: &mut Dice, len: usize) -> usize {
    dice.below(len as u64 + 1) as usize
}

/// A line of `bytes`, its end with it.
fn line(dice: &mut Dice, bytes: &[u8]) -> std::ops::Range<usize> {
    let from = at(dice, bytes.len());
    let start = bytes[..from].iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
    let end = bytes[start..].iter().position(|&b| b == b'\n').map_or(bytes.len(), |at| start + at + 1);
    start..end
}

/// Changes a message in one way.
fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>, seeds: &[Seed]) {
    let here = at(dice, bytes.len());
    match dice.below(16) {
        0..3 => {
            let start = line(dice, bytes).start;
            let mut with = LINES[dice.below(LINES.len() as u64) as usize].to_vec();
            with.extend_from_slice(if dice.permille(500) { b"\r\n" } else { b"\n" });
            bytes.splice(start..start, with);
        }
        3 => {
            let gone = line(dice, bytes);
            bytes.drain(gone);
        }
        4 => {
            let again = line(dice, bytes);
            let text = bytes[again.clone()].repeat(1 + dice.below(40) as usize);
            bytes.splice(again, text);
        }
        5 => {
            let (one, other) = (line(dice, bytes), line(dice, bytes));
            let text = bytes[one].to_vec();
            bytes.splice(other, text);
        }
        // A stretch of another message.
        6 => {
            let other = &seeds[dice.below(seeds.len() as u64) as usize].bytes;
            let (a, b) = (at(dice, other.len()), at(dice, other.len()));
            bytes.splice(here..here, other[a.min(b)..a.max(b)].iter().copied());
        }
        7 => bytes.truncate(here),
        8 => drop(bytes.drain(..here.min(bytes.len() / 2))),
        9..11 => {
            for _ in 0..1 + dice.below(8) {
                let place = at(dice, bytes.len());
                if let Some(byte) = bytes.get_mut(place) {
                    *byte = b"\0\r\n\t :;,\"\\()<>=-?*'%{}\x1b\x7f\x80\xc3\xff"[dice.below(27) as usize];
                }
            }
        }
        // All of it as a part: one level, or more than may be.
        11 => {
            let levels = [1, 2, 30, 130][dice.below(4) as usize];
            let mut outer = Vec::new();
            for level in 0..levels {
                let head = match dice.below(3) {
                    0 => "Content-Type: message/rfc822\n\n".to_owned(),
                    1 => format!("Content-Type: multipart/mixed; boundary=l{level}\n\n--l{level}\n"),
                    _ => format!("Content-Type: multipart/digest; boundary=\"b\"\n\n--b\n\n--l{level}\n"),
                };
                outer.extend_from_slice(head.as_bytes());
            }
            bytes.splice(0..0, outer);
        }
        // Many parts, or many of whatever stands here.
        12 => {
            let many = [3, 200, 11_000][dice.below(3) as usize];
            let part: &[u8] =
                [&b"--b\n\n"[..], b"--b\n", b"--b\nContent-Type: message/rfc822\n\n"][dice.below(3) as usize];
            let start = line(dice, bytes).start;
            bytes.splice(start..start, part.repeat(many));
        }
        13 => {
            let stretch =
                [" ", "x", "a@b, ", "(", ";a=b", "\n ", "=?utf-8?q?a?= ", "\u{e9}"][dice.below(8) as usize];
            let times = [10, 1_000, 20_000][dice.below(3) as usize];
            bytes.splice(here..here, stretch.repeat(times).into_bytes());
        }
        14 => *bytes = tests::mail::canonical(bytes),
        _ => bytes.retain(|&b| b != b'\r'),
    }
}

/// The message of that number.
fn message(number: u64, seeds: &[Seed]) -> (String, Vec<u8>) {
    let mut dice = Dice::new(&[number, 0x6d69_6d65]);
    let seed = &seeds[dice.below(seeds.len() as u64) as usize];
    let mut bytes = seed.bytes.clone();
    for _ in 0..1 + dice.below(8) {
        mutate(&mut dice, &mut bytes, seeds);
        bytes.truncate(MAX_MESSAGE);
    }
    (seed.name.clone(), bytes)
}

/// Everything that storage makes of a message but for the store's own bytes.
fn look(bytes: &[u8], limits: &Limits) -> Result {
    let incoming = Incoming::read(bytes, Vec::new(), limits)?;
    let canonical = tests::mail::canonical(bytes);
    let mut whole = Vec::new();
    std::io::Read::read_to_end(&mut incoming.content.reader(), &mut whole)?;
    ensure!(whole == canonical, "the canonical bytes are others");
    let tree = Tree::parse(incoming.content.reader(), limits)?;
    ensure!(tree.entities.len() <= limits.max_mime_parts + 1, "{} parts", tree.entities.len());
    let end = canonical.len() as u64;
    let mut after = vec![0; tree.entities.len()];
    for (number, entity) in tree.entities.iter().enumerate() {
        ensure!(entity.header.start <= entity.header.end && entity.header.end <= entity.body.start);
        ensure!(
            entity.body.start <= entity.body.end && entity.body.end <= end,
            "part {number} goes past the end"
        );
        let Some(parent) = entity.parent else { continue };
        ensure!(
            parent < number && tree.entities[parent].children.contains(&number),
            "part {number} is nobody's child"
        );
        let within = &tree.entities[parent].body;
        ensure!(
            within.start <= entity.header.start && entity.body.end <= within.end,
            "part {number} is outside"
        );
        ensure!(after[parent] <= entity.header.start, "part {number} overlaps the one before");
        after[parent] = entity.body.end;
    }
    let card = Card::new(&tree, &incoming.content, limits);
    ensure!(card.size == end);
    let mut encoded = Vec::new();
    card.encode(&mut encoded);
    ensure!(
        encoded.len() <= 64 * bytes.len() + 4096,
        "a card of {} bytes for {}",
        encoded.len(),
        bytes.len()
    );
    ensure!(Card::decode(&mut encoded.into())? == card, "the card comes back");
    ensure!(card.part_table()?.len() == tree.entities.len(), "the table of parts comes back");
    tests::grammar::envelope(&card.envelope).context("ENVELOPE")?;
    tests::grammar::body(&card.bodystructure, true).context("BODYSTRUCTURE")?;
    tests::grammar::body(&card.body(), false).context("BODY")?;
    let text = SearchText::new(&tree, &incoming.content, limits);
    let words: usize = text.body.iter().map(String::len).sum();
    ensure!(words <= 32 * bytes.len() + 4096, "{words} bytes of text from {}", bytes.len());
    Ok(())
}

/// A storage in a scratch directory, into which what survived goes.
struct Shelf {
    storage: Storage,
    _dir: tempfile::TempDir,
}

impl Shelf {
    fn new(limits: &Limits) -> Result<Shelf> {
        let dir = tempfile::tempdir()?;
        let key = MasterKey::generate()?;
        Storage::create(dir.path(), &key, limits)?;
        Ok(Shelf { storage: Storage::open(dir.path(), &key, limits.clone())?, _dir: dir })
    }
    /// Archives messages and reads them again, as files and as IMAP shows them.
    fn keep(&self, messages: &[Vec<u8>]) -> Result {
        let limits = self.storage.limits();
        let path = FolderPath::new("alice/Odd")?;
        let mut batch = self.storage.batch(&Cancel::default())?;
        let folder = batch.folder(&path)?;
        let before = self.storage.view(&path).map_or(0, |view| view.info.messages) as usize;
        for (n, bytes) in messages.iter().enumerate() {
            let occurrence = (before + n).to_string();
            let placement = NewPlacement {
                date: InternalDate { secs: n as i64, zone: 0 },
                flags: SourceFlags::default(),
                source: "fuzz",
                occurrence: &occurrence,
            };
            let incoming = Incoming::read(bytes.as_slice(), Vec::new(), limits)?;
            batch.add(folder, Prepared::new(incoming, limits), &placement)?;
        }
        batch.commit()?;
        let view = self.storage.view(&path).context("the folder")?;
        let uids: Vec<_> = view.uids.iter().skip(before).collect();
        ensure!(uids.len() == messages.len(), "{} of {} are there", uids.len(), messages.len());
        for (uid, bytes) in uids.into_iter().zip(messages) {
            let mut out = Vec::new();
            self.storage.cat(view.info.id, uid, &mut out)?;
            ensure!(out == *bytes, "other bytes come back: {}", bytes.escape_ascii());
        }
        Ok(())
    }
}

mod fuzz {
    use super::*;

    #[test]
    fn any_mail_is_taken_apart_and_comes_back() -> Result {
        let seeds = seeds()?;
        let limits = Limits::default();
        let shelf = Shelf::new(&limits)?;
        let from = std::env::var("MAILKEEP_SEED").ok().and_then(|seed| seed.parse::<u64>().ok());
        let first = from.unwrap_or(if long() { SHORT } else { 0 });
        let begun = Instant::now();
        let mut kept = Vec::new();
        let mut number = first;
        while if long() { begun.elapsed() < LONG } else { number - first < SHORT } {
            let (name, bytes) = message(number, &seeds);
            let done = catch_unwind(AssertUnwindSafe(|| look(&bytes, &limits)));
            let Ok(done) = done else { anyhow::bail!("MAILKEEP_SEED={number}: {name}: a panic, see above") };
            done.with_context(|| format!("MAILKEEP_SEED={number}: {name}"))?;
            if number.is_multiple_of(ARCHIVED) {
                kept.push(bytes);
            }
            if kept.len() == 100 {
                shelf.keep(&kept).with_context(|| format!("MAILKEEP_SEED={number} and before"))?;
                kept.clear();
            }
            number += 1;
        }
        // How far a long round came is its result.
        let second = begun.elapsed().as_secs_f64().max(f64::EPSILON);
        eprintln!("{} executions, {:.0} a second", number - first, (number - first) as f64 / second);
        Ok(())
    }
}

#[test]
fn mutations_change_mail_and_are_the_same_every_time() -> Result {
    let seeds = seeds()?;
    let mut changed = 0;
    for number in 0..100 {
        let (name, bytes) = message(number, &seeds);
        ensure!(message(number, &seeds) == (name.clone(), bytes.clone()));
        let seed = seeds.iter().find(|seed| seed.name == name).context("the seed")?;
        changed += usize::from(seed.bytes != bytes);
    }
    ensure!(changed > 80, "{changed} of 100 messages were changed");
    Ok(())
}
