//! Packs that rot under a running server and under one at rest: no message comes out wrong, all others still do, search
//! goes on, and `check` names what is damaged by folder and UID.

use anyhow::{Context, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;
use std::path::Path;
use tests::imap::Fetched;
use tests::mail::{files, sha256};
use tests::{Archive, Imap, Result};

/// Small messages, several blocks of them; the large ones, of several segments, come after them.
const SMALL: u32 = 240;
const LARGE: u32 = 4;

type Uids = BTreeSet<u32>;

/// A message with lines that hardly compress, each different from all others, with `->` in each.
fn noisy(number: u32, lines: u32) -> String {
    let mut text = format!(
        "Received: from noise\r\nFrom: n{number}@example.org\r\nSubject: noise {number}\r\n\r\nof {number} -> all\r\n"
    );
    let mut state = u64::from(number) << 32 | 0x9e37_79b9;
    for _ in 0..lines {
        for _ in 0..4 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            write!(text, "{:016x}", state ^ (state >> 29)).ok();
        }
        text.push_str("\r\n");
    }
    text
}

/// An archive with that mail, and what a healthy server gave of it.
struct Store {
    archive: Archive,
    mail: BTreeMap<u32, String>,
}

impl Store {
    fn new() -> Result<Store> {
        let archive = Archive::with_users(&["alice"])?;
        let source = archive.scratch().join("source");
        std::fs::create_dir_all(&source)?;
        for number in 1..=SMALL + LARGE {
            let lines = if number > SMALL { 12_000 } else { 40 };
            std::fs::write(source.join(format!("{number:06}.eml")), noisy(number, lines))?;
        }
        archive.archive(&source, "alice/Noise")?;
        // This server's cache must not help the damaged one.
        let server = archive.serve()?;
        let mail: BTreeMap<u32, String> =
            Imap::login(server.imap, "alice")?.hashes("Noise")?.into_iter().collect();
        ensure!(server.terminate()?.success());
        for (uid, hash) in &mail {
            let lines = if *uid > SMALL { 12_000 } else { 40 };
            ensure!(*hash == sha256(noisy(*uid, lines).as_bytes()), "UID {uid} is wrong before any damage");
        }
        Ok(Store { archive, mail })
    }

    /// Changes the packs' bytes at these thousandths of their length.
    fn damage(&self, places: &[u64], change: impl Fn(&mut [u8]), len: usize) -> Result {
        for pack in files(&self.archive.data().join("stores/0001/packs"))? {
            let file = OpenOptions::new().read(true).write(true).open(&pack)?;
            let size = file.metadata()?.len();
            for place in places {
                let (mut bytes, at) = (vec![0; len], size * place / 1_000);
                file.read_exact_at(&mut bytes, at)?;
                change(&mut bytes);
                file.write_all_at(&bytes, at)?;
            }
        }
        Ok(())
    }

    /// Fetches every message on its own; gives those that don't come out. None comes out wrong.
    fn unreadable(&self, address: SocketAddr) -> Result<Uids> {
        let open = || -> Result<Imap> {
            let mut imap = Imap::login(address, "alice")?;
            imap.examine("Noise")?;
            Ok(imap)
        };
        let (mut imap, mut gone) = (open()?, Uids::new());
        for (uid, hash) in &self.mail {
            let tag = imap.begin(&format!("UID FETCH {uid} (RFC822.SIZE BODY.PEEK[])"))?;
            // An end without the tagged answer: the connection was dropped in the midst of the literal.
            let Ok((answers, tagged)) = imap.finish(&tag) else {
                ensure!(*uid > SMALL, "a small message is known to be damaged before its line begins");
                gone.insert(*uid);
                imap = open()?;
                continue;
            };
            let fetched: Vec<_> =
                answers.iter().filter_map(|a| Fetched::parse(a).transpose()).collect::<Result<_>>()?;
            match fetched.as_slice() {
                [one] if tagged.starts_with("OK ") => {
                    ensure!(
                        sha256(one.literal("BODY[]")?) == *hash,
                        "UID {uid} comes out wrong, and with OK"
                    );
                }
                [] if tagged.starts_with("NO [CORRUPTION] ") => drop(gone.insert(*uid)),
                _ => anyhow::bail!("UID {uid}: {} answers, then {tagged}", fetched.len()),
            }
        }
        Ok(gone)
    }

    /// One FETCH over all small messages, and searches, give all but the damaged ones.
    fn others_come_out(&self, address: SocketAddr, gone: &Uids) -> Result {
        let mut imap = Imap::login(address, "alice")?;
        imap.examine("Noise")?;
        let (answers, tagged) = imap.command(&format!("UID FETCH 1:{SMALL} BODY.PEEK[]"))?;
        let mut came = Uids::new();
        for answer in &answers {
            let Some(one) = Fetched::parse(answer)? else { continue };
            let uid: u32 = one.text("UID")?.parse()?;
            ensure!(sha256(one.literal("BODY[]")?) == self.mail[&uid], "UID {uid} comes out wrong");
            came.insert(uid);
        }
        let small: Uids = (1..=SMALL).filter(|uid| !gone.contains(uid)).collect();
        ensure!(came == small, "one FETCH of all gives {} messages, not {}", came.len(), small.len());
        let all_there = small.len() == SMALL as usize;
        ensure!(tagged.starts_with(if all_there { "OK " } else { "NO [CORRUPTION] " }), "{tagged}");
        // What the index answers needs no bytes; what is scanned finds nothing in what can't be read.
        let every: Uids = self.mail.keys().copied().collect();
        ensure!(found(&mut imap, "SUBJECT noise")? == every);
        ensure!(found(&mut imap, "UNDELETED LARGER 1")? == every);
        ensure!(found(&mut imap, "BODY \"->\"")? == every);
        // The index doesn't know this field: headers are read for it, those of messages of which only the body is damaged too.
        let received = found(&mut imap, "HEADER Received noise")?;
        ensure!(every.difference(gone).all(|uid| received.contains(uid)) && received.is_subset(&every));
        // Rows and cards lie elsewhere.
        ensure!(imap.ok("UID FETCH 1:* (FLAGS RFC822.SIZE ENVELOPE BODYSTRUCTURE)")?.len() == every.len());
        // So do sort keys; a preview that may be left out is NIL where no text is to be had.
        let sorted = imap.ok("UID SORT (SUBJECT) UTF-8 ALL")?;
        let sorted = String::from_utf8_lossy(sorted.first().context("an order")?).into_owned();
        ensure!(sorted.split(' ').filter_map(|n| n.trim().parse::<u32>().ok()).count() == every.len());
        let previews = imap.ok(&format!("UID FETCH 1:{SMALL} PREVIEW (LAZY)"))?;
        let nil = previews.iter().filter(|one| String::from_utf8_lossy(one).contains("PREVIEW NIL"));
        let lost = SMALL as usize - small.len();
        ensure!((previews.len(), nil.count()) == (SMALL as usize, lost), "{lost} previews are lost");
        let (previews, tagged) = imap.command(&format!("UID FETCH 1:{SMALL} PREVIEW"))?;
        ensure!(previews.len() == small.len() && (tagged.starts_with("OK ") == all_there), "{tagged}");
        Ok(())
    }

    /// The UIDs that `check` names; it must fail.
    fn checked(&self) -> Result<Uids> {
        let output = self.archive.run(["check", "--json"])?;
        ensure!(output.code() == 1, "check ends with {}: {}", output.code(), output.text());
        let report = output.json()?.into_iter().next().context("no report")?;
        let damage = report["damage"].as_array().context("no list of damage")?;
        let mut named = Uids::new();
        for line in damage {
            if let Some(uid) = line["uid"].as_u64() {
                ensure!(line["folder"] == "alice/Noise" && line["store"] == "0001", "{line}");
                named.insert(u32::try_from(uid)?);
            }
        }
        Ok(named)
    }
}

fn found(imap: &mut Imap, key: &str) -> Result<Uids> {
    let answers = imap.ok(&format!("UID SEARCH {key}"))?;
    let line = answers.iter().find_map(|line| line.strip_prefix(b"* SEARCH")).context("no SEARCH answer")?;
    std::str::from_utf8(line)?.split_whitespace().map(|uid| Ok(uid.parse()?)).collect()
}

#[test]
fn damage_under_a_running_server_and_at_rest_never_shows_a_wrong_message() -> Result {
    let store = Store::new()?;
    ensure!(store.archive.run(["check"])?.code() == 0, "sound before");
    let server = store.archive.serve()?;
    let mut before = Imap::login(server.imap, "alice")?;
    before.examine("Noise")?;

    store.damage(&[30, 100, 300, 620, 810], |bytes| bytes[0] ^= 0x04, 1)?;
    let gone = store.unreadable(server.imap)?;
    let small = gone.iter().filter(|uid| **uid <= SMALL).count();
    ensure!(small > 0 && gone.len() > small, "blocks and segments are meant to be hit: {gone:?}");
    ensure!(gone.len() < store.mail.len() / 2, "{} messages are lost by five bytes", gone.len());
    store.others_come_out(server.imap, &gone)?;
    // The check reads on through the server, and finds the same.
    ensure!(store.checked()? == gone, "check names {:?}, not {gone:?}", store.checked()?);
    // A session from before the damage goes on.
    ensure!(before.ok("NOOP")?.is_empty());
    let log = server.log()?;
    ensure!(log.contains("damage") || log.contains("seal"), "the log tells nothing: {log}");
    ensure!(server.terminate()?.success());

    // At rest: a whole stretch, as a bad sector leaves it.
    store.damage(&[65, 450], |bytes| bytes.fill(0), 4_096)?;
    let named = store.checked()?;
    ensure!(named.is_superset(&gone) && named.len() > gone.len(), "{named:?} after {gone:?}");
    let server = store.archive.serve()?;
    ensure!(store.unreadable(server.imap)? == named, "what check names is what can't be read");
    store.others_come_out(server.imap, &named)?;
    Ok(())
}

/// A file that is cut: what lies beyond the cut is gone, the rest is served.
#[test]
fn a_pack_cut_short_under_a_running_server_loses_only_its_end() -> Result {
    let store = Store::new()?;
    let server = store.archive.serve()?;
    for pack in files(&store.archive.data().join("stores/0001/packs"))? {
        cut(&pack)?;
    }
    let gone = store.unreadable(server.imap)?;
    ensure!(!gone.is_empty() && gone.len() < store.mail.len(), "{gone:?}");
    ensure!(store.checked()?.is_superset(&gone));
    store.others_come_out(server.imap, &gone)?;
    Ok(())
}

fn cut(pack: &Path) -> Result {
    let file = OpenOptions::new().write(true).open(pack)?;
    file.set_len(file.metadata()?.len() * 6 / 10)?;
    Ok(())
}
