//! Every mailbox format through the binary: the messages that the manifest names, whole; and the weird corpus.
//!
//! The manifest's hashes and the eml-lf files are the truth. Where a format can't tell `From ` from `>From `, neither
//! can this test.

use anyhow::{Context, ensure};
use serde_json::Value;
use std::collections::BTreeMap;
use tests::mail::{files, sha256};
use tests::{Archive, Imap, Result, grammar};

/// Bytes by how often they are there.
type Bag = BTreeMap<String, usize>;

fn bag(hashes: impl IntoIterator<Item = String>) -> Bag {
    let mut bag = Bag::new();
    for hash in hashes {
        *bag.entry(hash).or_default() += 1;
    }
    bag
}

fn with_lf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    for (at, &byte) in bytes.iter().enumerate() {
        if byte != b'\r' || bytes.get(at + 1) != Some(&b'\n') {
            out.push(byte);
        }
    }
    out
}

/// LF ends, and no `>` before a `From ` at a line's start.
fn unquoted(bytes: &[u8]) -> Vec<u8> {
    let lf = with_lf(bytes);
    let lines = lf.split(|&byte| byte == b'\n').map(|line| {
        let bare = line.iter().position(|&byte| byte != b'>').map_or(line, |at| &line[at..]);
        if bare.starts_with(b"From ") { bare } else { line }
    });
    lines.collect::<Vec<_>>().join(&b'\n')
}

/// All messages of `user`'s folder and those below it: mailbox name to the bytes of its messages.
fn fetch_all(archive: &Archive, user: &str, folder: &str) -> Result<BTreeMap<String, Vec<Vec<u8>>>> {
    let mut found = BTreeMap::new();
    let folders = archive.run(["folders", "--user", user, "--json"])?.ok()?.json()?;
    let server = archive.serve()?;
    let mut imap = Imap::login(server.imap, user)?;
    for row in folders {
        let path = row["folder"].as_str().context("a folder without a path")?;
        let Some(name) = path.strip_prefix(user).and_then(|rest| rest.strip_prefix('/')) else { continue };
        let below = name.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if !below || row["messages"] == 0 {
            continue;
        }
        let wire = tests::imap::mutf7(name);
        imap.examine(&wire)?;
        let mut bodies = Vec::new();
        imap.fetch("FETCH 1:* BODY.PEEK[]", |fetched| {
            bodies.push(fetched.literal("BODY[]")?.to_vec());
            Ok(())
        })?;
        found.insert(name.strip_prefix(folder).unwrap_or(name).trim_start_matches('/').to_owned(), bodies);
    }
    Ok(found)
}

mod heavy {
    use super::*;

    #[test]
    fn every_mailbox_format_yields_the_manifests_messages() -> Result {
        let Some(corpus) = tests::tools::need_corpus("formats-public")? else { return Ok(()) };
        let manifest: Value = serde_json::from_slice(&std::fs::read(corpus.join("manifest.json"))?)?;
        let messages = manifest["messages"].as_array().context("messages")?;
        let expected = bag(messages.iter().filter_map(|m| m["sha256_lf"].as_str().map(str::to_owned)));
        ensure!(messages.len() == 200, "{} messages", messages.len());

        let archive = Archive::with_users(&["alice"])?;
        for format in [
            "eml-lf",
            "eml-crlf",
            "maildir",
            "mh",
            "mboxrd",
            "mboxcl",
            "mboxcl2",
            "mbox-crlf",
            "mmdf",
            "gmail-takeout",
        ] {
            let run = archive.archive(&corpus.join(format), &format!("alice/{format}"))?;
            let sums = &run["sums"];
            ensure!(sums["archived"] == 200 && sums["failed"] == 0, "{format}: {sums}");
            let found = fetch_all(&archive, "alice", format)?;
            let got = bag(found.values().flatten().map(|body| sha256(&with_lf(body))));
            let wrong: Vec<_> =
                got.iter().filter(|(hash, count)| expected.get(*hash) != Some(count)).collect();
            ensure!(got == expected, "{format}: {} of 200 are not the manifest's: {wrong:?}", wrong.len());
            if ["maildir", "mh"].contains(&format) {
                same_folders(format, messages, &found)?;
            }
        }
        Ok(())
    }

    /// Each message lies in the folder that the manifest names.
    fn same_folders(format: &str, messages: &[Value], found: &BTreeMap<String, Vec<Vec<u8>>>) -> Result {
        let mut folders: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for message in messages {
            // The top of a Maildir is its inbox.
            let folder =
                message["folder"].as_str().filter(|f| *f != "Inbox" || format != "maildir").unwrap_or("");
            folders.entry(folder).or_default().extend(message["sha256_lf"].as_str().map(str::to_owned));
        }
        for (folder, hashes) in folders {
            let bodies = found
                .get(folder)
                .with_context(|| format!("{format}: no {folder:?} in {:?}", found.keys()))?;
            ensure!(
                bag(bodies.iter().map(|body| sha256(&with_lf(body)))) == bag(hashes),
                "{format}: {folder:?} differs"
            );
        }
        Ok(())
    }

    #[test]
    fn formats_that_lose_quoting_lose_nothing_else() -> Result {
        let Some(corpus) = tests::tools::need_corpus("formats-public")? else { return Ok(()) };
        let originals = files(&corpus.join("eml-lf"))?;
        let mut expected = Vec::new();
        for file in originals {
            expected.push(sha256(&unquoted(&std::fs::read(file)?)));
        }
        let expected = bag(expected);
        let archive = Archive::with_users(&["alice"])?;
        for format in ["mboxo", "thunderbird"] {
            let run = archive.archive(&corpus.join(format), &format!("alice/{format}"))?;
            ensure!(run["sums"]["failed"] == 0, "{format}: {}", run["sums"]);
            let found = fetch_all(&archive, "alice", format)?;
            let got = bag(found.values().flatten().map(|body| sha256(&unquoted(body))));
            let other = |a: &Bag, b: &Bag| a.iter().filter(|(hash, n)| b.get(*hash) != Some(n)).count();
            let (missing, more) = (other(&expected, &got), other(&got, &expected));
            ensure!(got == expected, "{format}: of {} {missing} differ, {more} are others", expected.len());
        }
        Ok(())
    }

    #[test]
    fn weird_mail_is_archived_whole_and_described_by_the_grammar() -> Result {
        let Some(corpus) = tests::tools::need_corpus("weird")? else { return Ok(()) };
        let archive = Archive::with_users(&["alice"])?;
        archive.run(["archive", &corpus.to_string_lossy(), "--into", "alice/weird", "--format", "eml"])?;
        let run = archive.last_run()?;
        let sums = &run["sums"];
        let empty =
            files(&corpus)?.iter().filter(|file| std::fs::metadata(file).is_ok_and(|m| m.len() == 0)).count();
        ensure!(sums["failed"] == 0, "{sums}");
        ensure!(sums["filtered"].as_u64() >= Some(empty as u64), "{empty} empty files, {sums}");
        let seen = sums["seen"].as_u64().context("seen")?;
        let parts =
            ["archived", "already", "filtered", "failed"].iter().filter_map(|part| sums[part].as_u64());
        ensure!(seen == parts.sum::<u64>(), "{sums}");
        described_by_the_grammar(&archive, "alice", sums["archived"].as_u64().unwrap_or(0))
    }

    #[test]
    fn the_sample_is_described_by_the_grammar() -> Result {
        let archive = Archive::with_users(&["alice"])?;
        let sample = tests::tools::repository()?.join("mailkeep/sample/mail");
        let run = archive.archive(&sample, "alice/Sample")?;
        ensure!(run["sums"]["archived"] == 327 && run["sums"]["seen"] == 327, "{}", run["sums"]);
        described_by_the_grammar(&archive, "alice", 327)
    }

    /// ENVELOPE, BODY and BODYSTRUCTURE of all messages, by the grammar; sizes by the bytes sent.
    fn described_by_the_grammar(archive: &Archive, user: &str, expected: u64) -> Result {
        let folders = archive.run(["folders", "--user", user, "--json"])?.ok()?.json()?;
        let server = archive.serve()?;
        let mut imap = Imap::login(server.imap, user)?;
        let mut seen = 0;
        for row in folders {
            let path = row["folder"].as_str().context("a folder without a path")?;
            let name = path.strip_prefix(user).map(|rest| rest.trim_start_matches('/')).unwrap_or_default();
            if row["messages"] == 0 || name.is_empty() {
                continue;
            }
            imap.hashes(&tests::imap::mutf7(name))?;
            imap.fetch("FETCH 1:* (UID ENVELOPE BODY BODYSTRUCTURE)", |fetched| {
                seen += 1;
                let place = || format!("{path} UID {}", fetched.text("UID").unwrap_or("?"));
                grammar::envelope(fetched.literal("ENVELOPE")?).with_context(place)?;
                grammar::body(fetched.literal("BODY")?, false).with_context(place)?;
                grammar::body(fetched.literal("BODYSTRUCTURE")?, true).with_context(place)
            })?;
        }
        ensure!(seen == expected, "{seen} messages described, {expected} archived");
        ensure!(server.terminate()?.success());
        Ok(())
    }

    #[test]
    fn an_mbox_that_is_rewritten_brings_nothing_twice() -> Result {
        let archive = Archive::with_users(&["alice"])?;
        let sample = tests::tools::repository()?.join("mailkeep/sample/mail/Lists/boatbuilders.mbox");
        let copy = archive.scratch().join("list.mbox");
        let text = std::fs::read(&sample)?;
        std::fs::write(&copy, &text)?;
        let first = archive.archive(&copy, "alice/list")?;
        let count = first["sums"]["archived"].as_u64().context("archived")?;
        // Compaction: the first message goes, all offsets change.
        let second = text.windows(6).skip(1).position(|at| at == b"\nFrom ").context("a second message")? + 2;
        std::fs::write(&copy, &text[second..])?;
        let again = archive.archive(&copy, "alice/list")?;
        ensure!(again["sums"]["archived"] == 0 && again["sums"]["already"] == count - 1, "{}", again["sums"]);
        let server = archive.serve()?;
        ensure!(Imap::login(server.imap, "alice")?.hashes("list")?.len() as u64 == count);
        Ok(())
    }
}
