//! Profiles and their runs by the program's commands, and letters that tell which is which.

use crate::mail::sha256;
use crate::{Archive, Output};
use anyhow::{Context, ensure};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// A message of its own for every number; `head`: further fields, each with its line end. CRLF.
#[must_use]
pub fn letter(number: u32, head: &str) -> String {
    format!(
        "{head}From: sender{number}@example.com\r\nSubject: letter {number}\r\nDate: Thu, 1 Jan 2015 00:00:{:02} +0100\r\n\r\nbody {number}\r\n",
        number % 60
    )
}

/// What the archive knows a message by.
#[must_use]
pub fn hash(message: &str) -> String {
    sha256(message.as_bytes())
}

/// Runs `profile create` with a server's address, without TLS, and a password on standard input.
/// # Errors
/// It can't be started.
pub fn create(
    archive: &Archive,
    server: SocketAddr,
    name: &str,
    password: &str,
    more: &[&str],
) -> crate::Result<Output> {
    let (host, port) = (server.ip().to_string(), server.port().to_string());
    let mut arguments = vec!["profile", "create", name, "--host", &host, "--port", &port, "--tls", "none"];
    arguments.extend(more);
    archive.run_with(arguments, format!("{password}\n").as_bytes())
}

/// The sums of a run: seen, archived, already, moved, filtered, failed, deleted.
/// # Errors
/// One is missing.
pub fn sums(run: &Value) -> crate::Result<[u64; 7]> {
    let keys = ["seen", "archived", "already", "moved", "filtered", "failed", "deleted"];
    let mut sums = [0; 7];
    for (sum, key) in sums.iter_mut().zip(keys) {
        *sum = run[key].as_u64().with_context(|| format!("{key} in {run}"))?;
    }
    Ok(sums)
}

/// The newest run.
/// # Errors
/// There is none, or it is shown as something else than one object.
pub fn last(archive: &Archive) -> crate::Result<Value> {
    let mut rows = archive.run(["runs", "show", "last", "--json"])?.ok()?.json()?;
    ensure!(rows.len() == 1, "one object: {rows:?}");
    Ok(rows.remove(0))
}

/// Runs a profile, which must succeed; gives its sums.
/// # Errors
/// It fails.
pub fn run(archive: &Archive, name: &str) -> crate::Result<[u64; 7]> {
    archive.run(["profile", "run", name])?.ok()?;
    sums(&last(archive)?)
}

/// Folders with messages: path and count.
/// # Errors
/// The command fails.
pub fn folders(archive: &Archive) -> crate::Result<Vec<(String, u64)>> {
    let rows = archive.run(["folders", "--json"])?.ok()?.json()?;
    let row = |row: &Value| Some((row["folder"].as_str()?.to_owned(), row["messages"].as_u64()?));
    Ok(rows.iter().filter_map(row).filter(|(_, messages)| *messages > 0).collect())
}

/// The hashes of the letters in an archive, or in one folder of one.
/// # Errors
/// There is no such archive or folder.
pub fn hashes(archive: &Archive, place: &str) -> crate::Result<BTreeSet<String>> {
    let flag = if place.contains('/') { "--folder" } else { "--archive" };
    let rows = archive.run(["search", flag, place, "letter", "--json", "--no-snippets"])?.ok()?.json()?;
    rows.iter().map(|row| Ok(row["sha256"].as_str().context("sha256")?.to_owned())).collect()
}
