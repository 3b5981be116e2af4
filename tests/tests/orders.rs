//! The same mail from EML files, an mbox and a Maildir, in other orders, by two runs at once, for two users and for one: each
//! message is stored once, and every placement is there.

use anyhow::{Context, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::Child;
use tests::generate::{Generator, write_eml, write_maildir, write_mbox};
use tests::mail::{canonical, sha256};
use tests::program::wait;
use tests::{Archive, Imap, Result};

const SEED: u64 = 77;
const COUNT: u64 = 400;

/// Hashes by how often they come.
type Bag = BTreeMap<String, usize>;

fn bag(hashes: impl IntoIterator<Item = String>) -> Bag {
    let mut bag = Bag::new();
    for hash in hashes {
        *bag.entry(hash).or_default() += 1;
    }
    bag
}

fn begin(archive: &Archive, source: &Path, into: &str, log: &str) -> Result<Child> {
    let arguments = [OsStr::new("archive"), source.as_os_str(), OsStr::new("--into"), OsStr::new(into)];
    let log = File::create(archive.scratch().join(log))?;
    Ok(archive.command(arguments).stdout(log.try_clone()?).stderr(log).spawn()?)
}

/// The hashes of a folder and of those below it.
fn shown(archive: &Archive, address: std::net::SocketAddr, user: &str, folder: &str) -> Result<Bag> {
    let mut imap = Imap::login(address, user)?;
    let mut all = Vec::new();
    for row in archive.run(["folders", "--user", user, "--json"])?.ok()?.json()? {
        let path = row["folder"].as_str().context("a folder")?;
        let name = path.strip_prefix(user).and_then(|rest| rest.strip_prefix('/')).unwrap_or_default();
        let below = name.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if below && row["messages"] != 0 {
            all.extend(imap.hashes(&tests::imap::mutf7(name))?.into_iter().map(|(_, hash)| hash));
        }
    }
    Ok(bag(all))
}

#[test]
fn mail_is_stored_once_whatever_it_comes_from_and_in_whatever_order() -> Result {
    let archive = Archive::with_users(&["alice", "bob"])?;
    let generator = Generator::new(SEED);
    let source = archive.scratch().join("source");
    let (eml, maildir) = (source.join("eml"), source.join("maildir"));
    let (forth, back) = (source.join("forth.mbox"), source.join("back.mbox"));
    write_eml(&generator, 0..COUNT, &eml)?;
    write_maildir(&generator, (0..COUNT).rev(), &maildir)?;
    write_mbox(&generator, 0..COUNT, &forth)?;
    write_mbox(&generator, (0..COUNT).rev(), &back)?;
    let expected = bag((0..COUNT).map(|number| sha256(&canonical(&generator.message(number).bytes))));
    let distinct: BTreeSet<&String> = expected.keys().collect();
    ensure!(distinct.len() < COUNT as usize, "the corpus has messages that come twice");

    let server = archive.serve()?;
    // Two users at once, then one user twice at once; every pair of runs races for the same messages.
    let pairs = [
        [(&maildir, "alice/Maildir"), (&back, "bob/Back")],
        [(&eml, "alice/Eml"), (&forth, "alice/Forth")],
        [(&back, "bob/Both"), (&eml, "bob/Both")],
    ];
    for pair in pairs {
        let mut runs = Vec::new();
        for (at, (source, into)) in pair.into_iter().enumerate() {
            runs.push(begin(&archive, source, into, &format!("run{at}.log"))?);
        }
        for mut run in runs {
            ensure!(wait(&mut run)?.success(), "a run into {} or {} failed", pair[0].1, pair[1].1);
        }
    }
    let runs = archive.run(["runs", "--json"])?.ok()?.json()?;
    for run in &runs {
        ensure!(run["sums"]["seen"] == COUNT && run["sums"]["failed"] == 0, "{}", run["sums"]);
    }
    for (user, folder) in [("alice", "Maildir"), ("bob", "Back"), ("alice", "Eml"), ("alice", "Forth")] {
        ensure!(shown(&archive, server.imap, user, folder)? == expected, "{user}/{folder} is not the corpus");
    }
    // Two sources of one folder: what each of them brings is there as often as that source has it, at least.
    let both = shown(&archive, server.imap, "bob", "Both")?;
    ensure!(both.keys().collect::<BTreeSet<_>>() == distinct, "bob/Both has other messages");
    for (hash, count) in &both {
        ensure!((expected[hash]..=2 * expected[hash]).contains(count), "{hash} is there {count} times");
    }
    // Once more, in yet another order: nothing is new.
    for (source, into) in [(&eml, "alice/Eml"), (&maildir, "alice/Maildir"), (&back, "bob/Back")] {
        let run = archive.archive(source, into)?;
        ensure!(run["sums"]["archived"] == 0 && run["sums"]["already"] == COUNT, "{into}: {}", run["sums"]);
    }
    let stores = archive.run(["store", "list", "--json"])?.ok()?.json()?;
    let sum = |field: &str| stores.iter().filter_map(|store| store[field].as_u64()).sum::<u64>();
    ensure!(sum("messages") == distinct.len() as u64, "{} messages are stored", sum("messages"));
    let placements = 4 * COUNT + both.values().sum::<usize>() as u64;
    ensure!(sum("placements") == placements, "{} placements, not {placements}", sum("placements"));
    ensure!(server.terminate()?.success());
    archive.run(["check"])?.ok()?;
    Ok(())
}
