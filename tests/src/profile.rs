//! Profiles of the real program, as tests make, run and judge them.
//!
//! Left to the tests: which server there is, and what a run must have brought.

use crate::{Archive, Output, Result};
use anyhow::{Context, ensure};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// Message number `n`; `head` stands above its header.
#[must_use]
pub fn message(n: u32, head: &str) -> String {
    format!(
        "{head}From: sender{n}@example.com\r\nSubject: letter {n}\r\nDate: Thu, 1 Jan 2015 00:00:{:02} +0100\r\n\r\nbody {n}\r\n",
        n % 60
    )
}

/// A message's SHA-256, hexadecimal.
#[must_use]
pub fn hash(message: &str) -> String {
    hex::encode(Sha256::digest(message.as_bytes()))
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
) -> Result<Output> {
    let (host, port) = (server.ip().to_string(), server.port().to_string());
    let mut arguments = vec!["profile", "create", name, "--host", &host, "--port", &port, "--tls", "none"];
    arguments.extend(more);
    archive.run_with(arguments, format!("{password}\n").as_bytes())
}

/// The sums of a run: seen, archived, already, moved, filtered, failed, deleted.
/// # Errors
/// One is missing.
pub fn sums(run: &Value) -> Result<[u64; 7]> {
    let keys = ["seen", "archived", "already", "moved", "filtered", "failed", "deleted"];
    let mut sums = [0; 7];
    for (sum, key) in sums.iter_mut().zip(keys) {
        *sum = run[key].as_u64().with_context(|| format!("{key} in {run}"))?;
    }
    Ok(sums)
}

/// The account of the newest run.
/// # Errors
/// There is none.
pub fn last(archive: &Archive) -> Result<Value> {
    let mut rows = archive.run(["runs", "show", "last", "--json"])?.ok()?.json()?;
    ensure!(rows.len() == 1, "one object: {rows:?}");
    Ok(rows.remove(0))
}

/// Runs a profile, which must succeed; gives the sums.
/// # Errors
/// It fails.
pub fn run(archive: &Archive, name: &str) -> Result<[u64; 7]> {
    if let Err(error) = archive.run(["profile", "run", name])?.ok() {
        let failed = archive.run(["runs", "failed", "last"])?.text();
        return Err(error.context(failed));
    }
    sums(&last(archive)?)
}

/// Folders with messages: path and count.
/// # Errors
/// They can't be listed.
pub fn folders(archive: &Archive) -> Result<Vec<(String, u64)>> {
    let rows = archive.run(["folders", "--json"])?.ok()?.json()?;
    let row = |row: &Value| Some((row["folder"].as_str()?.to_owned(), row["messages"].as_u64()?));
    Ok(rows.iter().filter_map(row).filter(|(_, messages)| *messages > 0).collect())
}

/// The hashes of all letters in an archive, or in one folder of one (`alice/INBOX`), as the search finds them.
/// # Errors
/// The search fails.
pub fn hashes(archive: &Archive, place: &str) -> Result<BTreeSet<String>> {
    let flag = if place.contains('/') { "--folder" } else { "--archive" };
    let rows = archive.run(["search", flag, place, "letter", "--json", "--no-snippets"])?.ok()?.json()?;
    rows.iter().map(|row| Ok(row["sha256"].as_str().context("sha256")?.to_owned())).collect()
}
