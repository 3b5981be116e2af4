//! Installations written by earlier versions of the program, kept in `tests/data/store-vN` for ever: made, and laid out anew.
//!
//! Invariant: what is kept are the program's own files, databases compressed, and `manifest.json` with what `cat` and
//! `folders` gave then, and in later ones what was known of people. Nobody edits them; a new format gets a new one, by
//!
//!     MAILKEEP_BIN=OLD/mailkeep cargo run -p tests --bin keep_store -- tests/data/store-vN

use crate::generate::{Generator, write_eml, write_maildir, write_mbox};
use crate::mail::{files, sha256};
use crate::{Archive, scripts, tools};
use anyhow::{Context, ensure};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Bytes that all files of one kept installation may have together.
pub const MOST_BYTES: u64 = 200 << 10;
/// Files that compress to nearly nothing, and are kept so.
const COMPRESSED: &str = "redb";
/// Of the generator; its mail may change, what is kept doesn't.
const SEED: u64 = 3;

/// The kept installations, oldest first.
/// # Errors
/// The directory can't be read, or there is none.
pub fn versions() -> crate::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(tools::repository()?.join("tests/data"))? {
        let path = entry?.path();
        if path.file_name().and_then(|n| n.to_str()).is_some_and(|name| name.starts_with("store-v")) {
            found.push(path);
        }
    }
    found.sort();
    ensure!(!found.is_empty(), "tests/data keeps no installation");
    Ok(found)
}

/// Lays a kept installation out in an empty scratch directory; gives its manifest.
/// # Errors
/// Files can't be read or written.
pub fn lay_out(kept: &Path, archive: &Archive) -> crate::Result<Value> {
    let from = kept.join("data");
    for file in files(&from)? {
        let to = archive.data().join(file.strip_prefix(&from)?);
        std::fs::create_dir_all(to.parent().context("a directory")?)?;
        let bytes = std::fs::read(&file)?;
        if to.extension().is_some_and(|e| e == "zst") {
            std::fs::write(to.with_extension(""), zstd::decode_all(&*bytes)?)?;
        } else {
            std::fs::write(&to, bytes)?;
        }
    }
    own(&archive.data())?;
    Ok(serde_json::from_slice(&std::fs::read(kept.join("manifest.json"))?)?)
}

/// Version control keeps no rights: they are as the program makes them, for the owner only.
fn own(dir: &Path) -> crate::Result {
    use std::os::unix::fs::PermissionsExt;
    for entry in walkdir::WalkDir::new(dir) {
        let entry = entry?;
        let mode = if entry.file_type().is_dir() { 0o700 } else { 0o600 };
        std::fs::set_permissions(entry.path(), std::fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// Makes an installation with the program under test and keeps it in `to`.
/// # Errors
/// The program fails, or what it wrote is too large.
pub fn keep(to: &Path) -> crate::Result {
    let archive = Archive::with_users(&["alice", "bob"])?;
    let generator = Generator::new(SEED);
    let small = |range: std::ops::Range<u64>| {
        range.filter(|number| generator.message(*number).bytes.len() < 5_000).collect::<Vec<_>>()
    };
    let source = archive.scratch().join("source");
    write_maildir(&generator, small(0..40), &source.join("maildir"))?;
    write_eml(&generator, small(20..60), &source.join("eml"))?;
    write_mbox(&generator, small(50..90), &source.join("box.mbox"))?;
    odd_ones(&source.join("odd"))?;
    for (name, into) in
        [("maildir", "alice/Mail"), ("eml", "bob/Files"), ("box.mbox", "alice/Box"), ("odd", "bob/Odd/Größe")]
    {
        let run = archive.archive(&source.join(name), into)?;
        ensure!(run["sums"]["failed"] == 0, "{name}: {}", run["sums"]);
    }
    let mut manifest = manifest(&archive)?;
    let secrets = people_move_in(&archive)?;
    manifest["people"] = people(&archive)?;
    manifest["secrets"] = secrets;
    std::fs::remove_dir_all(archive.data().join("tls"))?;
    let mut bytes = 0;
    for file in files(&archive.data())? {
        let name = file.strip_prefix(archive.data())?;
        // The index and the attachments' texts are derived from the packs; the lock is empty.
        if name
            .components()
            .any(|part| ["index", "index.texts", "lock"].iter().any(|not| part.as_os_str() == *not))
        {
            continue;
        }
        let mut kept = to.join("data").join(name).into_os_string();
        let mut content = std::fs::read(&file)?;
        if file.extension().is_some_and(|e| e == COMPRESSED) {
            content = zstd::encode_all(&*content, 19)?;
            kept.push(".zst");
        }
        bytes += content.len() as u64;
        let kept = PathBuf::from(kept);
        std::fs::create_dir_all(kept.parent().context("a directory")?)?;
        std::fs::write(kept, content)?;
    }
    ensure!(bytes <= MOST_BYTES, "{bytes} bytes are more than a repository should keep");
    std::fs::write(to.join("manifest.json"), serde_json::to_vec_pretty(&manifest)?)?;
    Ok(())
}

/// Users of every kind, rights, what lets them in, and a profile with a password; gives what only this installation's people know.
fn people_move_in(archive: &Archive) -> crate::Result<Value> {
    let auditor = ["user", "create", "carol", "--auditor", "--expires", "2199-01-01", "--password-stdin"];
    archive.run_with(auditor, format!("{}\n", Archive::password("carol")).as_bytes())?.ok()?;
    let alice = "user edit alice --full-name Größe --address alice@example.org --address al@example.org --alias al --group sales";
    for command in [
        "user create dora --mode directory --dn cn=dora,dc=example,dc=org --no-password",
        alice,
        "user edit dora --disable",
        "user door alice --allow-from 127.0.0.0/8 --allow-from ::1/128",
        "user grant alice --privilege archive --privilege modify",
        "user grant alice --folder bob/Files --level read",
        "group grant sales --folder bob/Odd --level write",
        "group grant sales --folder bob/Odd/Größe --level none",
    ] {
        archive.run(command.split(' '))?.ok().context(command)?;
    }
    let profile = "profile create post --kind imap --host mail.example.org --tls implicit --user al --password-stdin --into alice";
    archive.run_with(profile.split(' '), b"the source's password\n")?.ok()?;
    let app = archive.run(["user", "app-password", "create", "bob", "Telephone", "--json"])?.ok()?.json()?;
    let begun = archive.run(["user", "totp", "enable", "bob", "--json"])?.ok()?.json()?;
    let secret = begun[0]["secret"].as_str().context("a secret")?;
    let code = scripts::totp(secret, scripts::totp_step()?)?.context("python3 computes codes")?;
    archive.run_with(["user", "totp", "confirm", "bob"], format!("{code}\n").as_bytes())?.ok()?;
    Ok(json!({ "appPasswordOfBob": app[0]["password"], "totpOfBob": secret }))
}

/// What the program shows of people: users with their rights, groups, profiles.
/// # Errors
/// A command fails.
pub fn people(archive: &Archive) -> crate::Result<Value> {
    let mut people = serde_json::Map::new();
    for name in ["alice", "bob", "carol", "dora"] {
        people.insert(name.to_owned(), archive.run(["user", "show", name, "--json"])?.ok()?.json()?.into());
    }
    people.insert("groups".to_owned(), archive.run(["group", "list", "--json"])?.ok()?.json()?.into());
    // Its TOML text says the same once more, with words that may change.
    let profile = archive.run(["profile", "show", "post", "--json"])?.ok()?.json()?.remove(0);
    people.insert("profile".to_owned(), profile["profile"].clone());
    Ok(people.into())
}

/// Whether all that was shown then is shown now; more may be.
#[must_use]
pub fn still_so(then: &Value, now: &Value) -> bool {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            then.iter().all(|(key, then)| now.get(key).is_some_and(|now| still_so(then, now)))
        }
        (Value::Array(then), Value::Array(now)) => {
            then.len() == now.len() && then.iter().zip(now).all(|(then, now)| still_so(then, now))
        }
        _ => then == now,
    }
}

/// Line ends of every kind, a message of several segments, an empty body, and bytes of any value.
fn odd_ones(dir: &Path) -> crate::Result {
    std::fs::create_dir_all(dir)?;
    let large: String = (0..14_000).map(|n| format!("line {} of a long message\n", n % 700)).collect();
    let bytes: Vec<u8> = b"Subject: bytes\r\n\r\n".iter().copied().chain(1..=255).collect();
    let all: [(&str, Vec<u8>); 5] = [
        ("large", format!("Subject: large\n\n{large}").into_bytes()),
        ("crlf", b"Subject: CRLF\r\n\r\nbody\r\n".to_vec()),
        ("mixed", b"Subject: both\r\n\nbody\nand\r\nmore\rof\n\nit".to_vec()),
        ("header", b"Subject: no body\n".to_vec()),
        ("bytes", bytes),
    ];
    for (name, bytes) in all {
        std::fs::write(dir.join(format!("{name}.eml")), bytes)?;
    }
    Ok(())
}

/// What the program shows of the installation: every folder, and of every message the hash of the source's bytes.
/// # Errors
/// A command fails.
pub fn manifest(archive: &Archive) -> crate::Result<Value> {
    let mut folders = Vec::new();
    for row in archive.run(["folders", "--json"])?.ok()?.json()? {
        let path = row["folder"].as_str().context("a folder's path")?;
        let count = row["messages"].as_u64().context("a folder's messages")?;
        let mut messages = Vec::new();
        for uid in 1..=count {
            let bytes = archive.run(["cat", path, &uid.to_string()])?.ok()?.stdout;
            messages.push(json!({ "uid": uid, "sha256": sha256(&bytes) }));
        }
        ensure!(row["uidValidity"].is_u64(), "{row}");
        folders.push(json!({
            "folder": path,
            "uidValidity": row["uidValidity"],
            "messages": messages
        }));
    }
    Ok(json!({ "folders": folders }))
}
