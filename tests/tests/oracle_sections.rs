//! BODY's sections of real and of broken mail beside a Dovecot's on the same bytes: headers, texts, parts, their MIME headers,
//! some fields or all but some, and stretches of each.
//!
//! What differs must be of a kind that tests/data/dovecot-section-differences.txt explains, message by message; every
//! other difference fails, and so does a line there that no longer differs. List mail has no line: it agrees.

use anyhow::{Context, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use tests::dovecot::{Dovecot, Letter};
use tests::imap::Fetched;
use tests::mail::files;
use tests::tools::need_corpus;
use tests::{Archive, Imap, Result};

/// Files above this say nothing about sections that smaller ones don't.
const MAX_FILE: u64 = 1 << 20;
/// One in so many messages of the mailing lists.
const LIST_STEP: usize = 60;

/// What is asked of every message, whether it has such a part or not.
const SECTIONS: &[&str] = &[
    "BODY.PEEK[HEADER]",
    "BODY.PEEK[TEXT]",
    "BODY.PEEK[HEADER.FIELDS (Subject FROM to)]",
    "BODY.PEEK[HEADER.FIELDS (Received)]",
    "BODY.PEEK[HEADER.FIELDS (X-Not-There)]",
    "BODY.PEEK[HEADER.FIELDS.NOT (Received Subject)]",
    "BODY.PEEK[1]",
    "BODY.PEEK[1.MIME]",
    "BODY.PEEK[1.HEADER]",
    "BODY.PEEK[1.TEXT]",
    "BODY.PEEK[1.1]",
    "BODY.PEEK[1.1.MIME]",
    "BODY.PEEK[1.1.1]",
    "BODY.PEEK[1.2]",
    "BODY.PEEK[2]",
    "BODY.PEEK[2.MIME]",
    "BODY.PEEK[2.HEADER]",
    "BODY.PEEK[2.TEXT]",
    "BODY.PEEK[2.HEADER.FIELDS (Subject Content-Type)]",
    "BODY.PEEK[2.HEADER.FIELDS.NOT (Subject)]",
    "BODY.PEEK[2.1]",
    "BODY.PEEK[2.1.MIME]",
    "BODY.PEEK[2.2]",
    "BODY.PEEK[2.2.MIME]",
    "BODY.PEEK[3]",
    "BODY.PEEK[3.MIME]",
    "BODY.PEEK[3.1]",
    "BODY.PEEK[4]",
    "BODY.PEEK[99]",
    "BODY.PEEK[]<0.100>",
    "BODY.PEEK[]<77.1000>",
    "BODY.PEEK[]<99999999.10>",
    "BODY.PEEK[TEXT]<3.50>",
    "BODY.PEEK[HEADER]<5.20>",
    "BODY.PEEK[HEADER.FIELDS (Subject)]<4.9>",
    "BODY.PEEK[1]<1.70>",
    "BODY.PEEK[1.MIME]<2.11>",
    "BODY.PEEK[2]<0.4096>",
];

/// Whether a file is a message by its name, as in oracle_structure.rs.
fn is_mail(file: &Path) -> bool {
    let extension = file.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    extension.is_none_or(|extension| ["eml", "msg", "raw", "mbox", "txt", "out", "in"].contains(&&*extension))
}

/// What differs by rule, everywhere: the first part of dovecot-section-differences.txt.
fn differs_by_rule(section: &str, ours: &[u8], theirs: &Fetched) -> Result<bool> {
    let found = theirs.literal(section)?;
    if ours == b"NIL" {
        // No such part: NIL, and an empty string there; or the part above, as if a part without parts were its own part 1.
        let above = ["]", ".MIME]", "]<0>"].iter().find_map(|end| {
            let above = section.strip_suffix(end)?.strip_suffix(".1")?;
            theirs.literal(&format!("{above}{end}")).ok()
        });
        return Ok(found.is_empty() || above == Some(found));
    }
    let ends = |bytes: &[u8]| bytes.trim_ascii_end().len();
    // The blank line at the end of some of the fields.
    Ok(section.contains("HEADER.FIELDS") && ours[..ends(ours)] == found[..ends(found)])
}

/// All messages of weird/, and a sample of lists/.
fn sources() -> Result<Option<Vec<PathBuf>>> {
    let (Some(weird), Some(lists)) = (need_corpus("weird")?, need_corpus("lists")?) else { return Ok(None) };
    let mut found: Vec<PathBuf> = files(&weird)?.into_iter().filter(|file| is_mail(file)).collect();
    found.extend(
        files(&lists)?
            .into_iter()
            .filter(|file| file.extension().is_some_and(|e| e == "eml"))
            .step_by(LIST_STEP),
    );
    found.retain(|file| {
        // What begins with an envelope line, as in an mbox, isn't in the message's bytes here, and is there.
        let fits = fs::metadata(file).is_ok_and(|data| data.len() <= MAX_FILE);
        fits && fs::read(file)
            .is_ok_and(|bytes| !bytes.starts_with(b"From ") && !bytes.starts_with(b">From "))
    });
    Ok(Some(found))
}

/// The next answer of a FETCH, none at its end.
fn next(mut response: impl FnMut() -> Result<Vec<u8>>, tag: &str) -> Result<Option<Fetched>> {
    loop {
        let line = response()?;
        if let Some(rest) = line.strip_prefix(format!("{tag} ").as_bytes()) {
            ensure!(rest.starts_with(b"OK"), "{}", String::from_utf8_lossy(rest));
            return Ok(None);
        }
        if let Some(fetched) = Fetched::parse(&line)? {
            return Ok(Some(fetched));
        }
    }
}

/// dovecot-section-differences.txt: `file<TAB>kind` lines, and for each kind a paragraph.
fn known() -> Result<BTreeMap<String, String>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/dovecot-section-differences.txt");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let kinds: BTreeSet<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let mut known = BTreeMap::new();
    for line in text.lines() {
        let Some((file, kind)) = line.split_once('\t') else { continue };
        ensure!(kinds.contains(kind), "{}: {kind} is not explained", path.display());
        known.insert(file.to_owned(), kind.to_owned());
    }
    Ok(known)
}

mod heavy {
    use super::*;

    #[test]
    fn sections_agree_with_dovecots() -> Result {
        let Some(mut sources) = sources()? else { return Ok(()) };
        let archive = Archive::with_users(&["alice"])?;
        let folder = archive.scratch().join("source");
        fs::create_dir(&folder)?;
        for (number, file) in sources.iter().enumerate() {
            fs::copy(file, folder.join(format!("{number:06}.eml")))?;
        }
        let run = archive.archive(&folder, "alice/All")?;
        // What the archive leaves out by rule (files without a byte of mail) Dovecot doesn't get either.
        let filtered = archive.run(["runs", "filtered", &run["id"].to_string(), "--json"])?.ok()?.text();
        let mut number = 0;
        sources.retain(|_| {
            number += 1;
            !filtered.contains(&format!("/{:06}.eml", number - 1))
        });
        ensure!(run["sums"]["archived"] == sources.len() && sources.len() > 1_000, "{}", run["sums"]);
        let mut letters = Vec::new();
        for file in &sources {
            letters.push(Letter { bytes: fs::read(file)?, secs: 1_000_000_000 });
        }
        let Some(mut dovecot) = Dovecot::over("sections beside Dovecot's", &[("INBOX", letters)])? else {
            return Ok(());
        };
        let server = archive.serve()?;
        let mut imap = Imap::login(server.imap, "alice")?;
        ensure!(imap.examine("All")? as usize == sources.len());
        dovecot.command("SELECT INBOX")?;

        let known = known()?;
        let root = need_corpus("weird")?.context("the corpus was there")?;
        let root = root.parent().context("weird stands in the corpus")?;
        let (mut report, mut seen) = (String::new(), BTreeSet::new());
        // A FETCH asks for at most 100 items, and both answer in the order of numbers.
        let command = format!("UID FETCH 1:* ({})", SECTIONS.join(" "));
        let (ours, theirs) = (imap.begin(&command)?, dovecot.begin(&command)?);
        for (at, file) in sources.iter().enumerate() {
            let name = file.strip_prefix(root)?.display().to_string();
            let ours = next(|| imap.response(), &ours)?.with_context(|| format!("our answer for {name}"))?;
            let theirs =
                next(|| dovecot.response(), &theirs)?.with_context(|| format!("Dovecot's for {name}"))?;
            ensure!(ours.number as usize == at + 1 && theirs.number == ours.number);
            for section in SECTIONS {
                // The answer names the origin only, and not PEEK (RFC 3501 §7.4.2).
                let item = section.replace(".PEEK", "");
                let item = match item.split_once('<') {
                    Some((item, part)) => format!("{item}<{}>", part.split('.').next().unwrap_or_default()),
                    None => item,
                };
                let ours = ours.literal(&item).with_context(|| name.clone())?;
                if ours == theirs.literal(&item)? || differs_by_rule(&item, ours, &theirs)? {
                    continue;
                }
                let theirs = theirs.literal(&item)?;
                if known.contains_key(&name) {
                    seen.insert(name.clone());
                    continue;
                }
                let shown = |bytes: &[u8]| {
                    let from = ours.iter().zip(theirs).take_while(|(a, b)| a == b).count().saturating_sub(20);
                    let end = bytes.len().min(from + 100);
                    format!("{} bytes …{}…", bytes.len(), bytes[from.min(end)..end].escape_ascii())
                };
                writeln!(report, "{name}\t{item}\n  ours   {}\n  theirs {}", shown(ours), shown(theirs))?;
            }
        }
        let path = tests::tools::target()?.join("section-differences.txt");
        fs::write(&path, &report)?;
        if !report.is_empty() {
            bail!(
                "{} differences that dovecot-section-differences.txt doesn't explain, see {}",
                report.lines().count() / 3,
                path.display()
            );
        }
        let gone: Vec<_> = known.keys().filter(|name| !seen.contains(*name)).collect();
        ensure!(gone.is_empty(), "listed, and no longer different: {gone:?}");
        ensure!(server.terminate()?.success());
        Ok(())
    }
}
