//! Everything that can be made again is lost, and comes back: by the real binary, compared through IMAP; and a server that
//! verifies and rebuilds while clients read.

use anyhow::{Context, ensure};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};
use tests::mail::example_tree;
use tests::{Archive, Imap, Result};

const MAILS: u32 = 120;

/// An archive with two users' mail, of which some was moved and deleted.
fn filled() -> Result<Archive> {
    let archive = Archive::with_users(&["alice", "bob"])?;
    let source = archive.scratch().join("source");
    example_tree(&source, MAILS)?;
    archive.archive(&source, "alice/Import")?;
    archive.archive(&source, "bob/Copy")?;
    for command in [
        "message move alice/Import 3:7 --to alice/Moved",
        "message delete alice/Import 9,11 --yes",
        "folder move bob/Copy bob/Renamed",
    ] {
        archive.run(command.split(' '))?.ok().context(command)?;
    }
    Ok(archive)
}

/// What a client sees of a user's folder, with all that it could keep.
/// Hashes by UID, and what else the mailbox tells of itself.
type Seen = (Vec<(u32, String)>, Vec<String>);

fn seen(archive: &Archive, user: &str, folder: &str) -> Result<Seen> {
    let server = archive.serve()?;
    let mut imap = Imap::login(server.imap, user)?;
    let hashes = imap.hashes(folder)?;
    let status = imap.ok(&format!("STATUS \"{folder}\" (MESSAGES UIDNEXT UIDVALIDITY)"))?;
    imap.examine(folder)?;
    let mut all = imap.ok("UID FETCH 1:* (UID FLAGS INTERNALDATE ENVELOPE BODYSTRUCTURE)")?;
    all.extend(status);
    drop(imap);
    ensure!(server.terminate()?.success());
    Ok((hashes, all.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()))
}

fn rows(archive: &Archive, arguments: &str) -> Result<Vec<Value>> {
    archive.run(arguments.split(' '))?.ok().with_context(|| arguments.to_owned())?.json()
}

fn remove(path: &Path) -> Result {
    if path.is_dir() {
        std::fs::remove_dir_all(path)?;
    } else {
        std::fs::remove_file(path)?;
    }
    Ok(())
}

#[test]
fn packs_and_master_key_alone_bring_everything_back() -> Result {
    let archive = filled()?;
    let folders = rows(&archive, "folders --json")?;
    let places = [("alice", "Import"), ("alice", "Moved"), ("bob", "Renamed")];
    let before: Vec<_> =
        places.iter().map(|(user, folder)| seen(&archive, user, folder)).collect::<Result<_>>()?;
    let data = archive.data();
    for lost in
        ["master.redb", "stores/stores.toml", "stores/0001/store.redb", "stores/0001/index", "derived"]
    {
        remove(&data.join(lost)).context(lost)?;
    }
    let refused = archive.run(["folders"])?;
    ensure!(refused.code() == 1 && refused.stderr.contains("store rebuild"), "{}", refused.stderr);
    let told = rows(&archive, "store rebuild --json")?;
    ensure!(
        told.iter().any(|row| row["note"].as_str().is_some_and(|note| note.contains("master.redb"))),
        "{told:?}"
    );
    let told = rows(&archive, "store rebuild --new-master --json")?;
    let notes: Vec<&str> = told.iter().filter_map(|row| row["note"].as_str()).collect();
    ensure!(notes.iter().any(|note| note.contains("Administrator admin, password ")), "{notes:?}");
    let store = told.iter().find(|row| row["store"] == "0001").context("no account of the store")?;
    ensure!(store["kept"].is_null() && store["lost"] == Value::Array(Vec::new()), "{store}");
    for user in ["alice", "bob"] {
        archive.add_user(user)?;
    }
    ensure!(rows(&archive, "folders --json")? == folders, "folders are what they were");
    for ((user, folder), before) in places.iter().zip(before) {
        ensure!(seen(&archive, user, folder)? == before, "{user}/{folder} is another one");
    }
    let report = rows(&archive, "verify --json")?;
    ensure!(report.len() == 1 && report[0]["damaged"] == 0, "{report:?}");
    ensure!(rows(&archive, "verify --last --json")?[0]["messages"] == report[0]["messages"]);
    // What was archived isn't archived again.
    let again = archive.archive(&archive.scratch().join("source"), "alice/Import")?;
    ensure!(again["sums"]["archived"] == 0, "{again}");
    Ok(())
}

#[test]
fn a_server_rebuilds_and_verifies_while_clients_read() -> Result {
    let archive = filled()?;
    let conf = archive.data().join("mailkeep.toml");
    let text = std::fs::read_to_string(&conf)?;
    let set = text.replace("#every_hours = 0", "every_hours = 1").replace("#slices = 30", "slices = 2");
    ensure!(set != text, "the settings stand in the template");
    std::fs::write(&conf, set)?;
    let server = archive.serve()?;
    let mut imap = Imap::login(server.imap, "alice")?;
    let before = imap.hashes("Import")?;
    let told = rows(&archive, "store rebuild 0001 --json")?;
    ensure!(told.len() == 1 && told[0]["kept"].is_null(), "{told:?}");
    ensure!(imap.hashes("Import")? == before, "the same session reads on");
    archive.archive(&archive.scratch().join("source"), "alice/More")?;
    ensure!(imap.hashes("More")?.len() == MAILS as usize);
    let index = rows(&archive, "index rebuild 0001 --json")?;
    ensure!(index.len() == 1 && index[0]["tail"] == 0 && index[0]["documents"] == MAILS, "{index:?}");
    ensure!(rows(&archive, "index status --json")?[0]["trouble"].is_null());
    let slice = rows(&archive, "verify --sample 2/3 --json")?;
    ensure!(slice[0]["slice"] == serde_json::json!([2, 3]) && slice[0]["damaged"] == 0, "{slice:?}");
    ensure!(rows(&archive, "store verify 0001 --json")?[0]["damaged"] == 0);
    let deadline = Instant::now() + Duration::from_secs(60);
    while !server.log()?.contains("verified, no damage") {
        ensure!(Instant::now() < deadline, "the server's own slice never came: {}", server.log()?);
        std::thread::yield_now();
    }
    ensure!(archive.run(["store", "rebuild", "0009"])?.code() == 1);
    ensure!(archive.run(["verify", "--resume"])?.code() == 1, "nothing was broken off");
    ensure!(server.terminate()?.success());
    Ok(())
}
