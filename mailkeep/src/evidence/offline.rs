//! What an expert does with a file, a proof and a head, far from any archive: nothing of DATA is needed or read.
//!
//! Invariant: what is said is what was computed from the bytes at hand; what was not compared with anything is said too.

use super::audit::Signed;
use crate::output::clean;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use storage::evidence::{Consistency, Head, Proof, Proven, Trust, What, public_key};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

/// Largest file of proofs or heads that is read.
const MAX_FILE_BYTES: u64 = 16 << 20;
/// Largest message: what the archive takes at most, whatever its settings.
const MAX_MESSAGE_BYTES: u64 = (4 << 30) - 1;

/// The lines of a file, bounded; a file that is one JSON value over several lines is one.
pub(super) fn pieces(path: &Path) -> Result<Vec<Vec<u8>>> {
    let shown = || path.display().to_string();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .with_context(shown)?;
    ensure!(bytes.len() as u64 <= MAX_FILE_BYTES, "{}: more than {MAX_FILE_BYTES} bytes", path.display());
    if serde_json::from_slice::<Value>(&bytes).is_ok() {
        return Ok(vec![bytes]);
    }
    let lines = bytes.split(|&b| b == b'\n').filter(|line| !line.trim_ascii().is_empty());
    Ok(lines.map(<[u8]>::to_vec).collect())
}

/// The heads in a file: one, or a line of JSON each; those of the audit log between them are passed over.
pub(crate) fn heads_of(path: &Path) -> Result<Vec<Head>> {
    let heads: Vec<Head> = pieces(path)?
        .iter()
        .filter(|piece| !Signed::is_one(piece))
        .map(|piece| Head::read(piece).with_context(|| path.display().to_string()))
        .collect::<Result<_>>()?;
    ensure!(!heads.is_empty(), "{}: there is no evidence head in it", path.display());
    Ok(heads)
}

/// A public key: a PEM file, or 64 hexadecimal digits.
fn key_of(given: &str) -> Result<[u8; 32]> {
    if let Some(key) = public_key(given) {
        return Ok(key);
    }
    let mut text = String::new();
    let file = File::open(given).with_context(|| format!("{given}: no public key, and no such file"))?;
    file.take(64 << 10).read_to_string(&mut text).with_context(|| given.to_owned())?;
    public_key(&text)
        .with_context(|| format!("{given}: no Ed25519 public key (PEM, or 64 hexadecimal digits)"))
}

/// Verifies the proofs in a file against a message's file; gives one result for each.
pub(crate) fn verify(
    message: &Path,
    proof: &Path,
    key: Option<&str>,
    head: Option<&Path>,
) -> Result<Vec<Result<Verdict>>> {
    let key = key.map(key_of).transpose()?;
    let heads = head.map(heads_of).transpose()?;
    let mut file = File::open(message).with_context(|| message.display().to_string())?;
    let pieces = pieces(proof)?;
    ensure!(!pieces.is_empty(), "{}: there is no proof in it", proof.display());
    let mut verdicts = Vec::new();
    for piece in pieces {
        let mut one = || {
            let read = Proof::read(&piece).with_context(|| proof.display().to_string())?;
            let head = heads.as_deref().map(|heads| kept(heads, &read.head)).transpose()?;
            let trust = Trust { key, head };
            let proven = read.verify(&mut file, MAX_MESSAGE_BYTES, &trust)?;
            Ok(Verdict { proven, key_compared: key.is_some(), head_compared: trust.head.is_some() })
        };
        verdicts.push(one());
    }
    Ok(verdicts)
}

/// The kept head that a proof is to be compared with: of the same store, of the same size if there is one.
fn kept(heads: &[Head], wanted: &Head) -> Result<Head> {
    let same = |head: &&Head| head.store == wanted.store;
    let exact = heads.iter().filter(same).find(|head| head.size == wanted.size);
    match exact.or_else(|| heads.iter().rfind(same)) {
        Some(head) => Ok(head.clone()),
        None => bail!("none of the kept heads is of store {}, which the proof is from", wanted.store),
    }
}

/// Checks the consistency proofs in a file; gives each with the number of leaves that came.
pub(crate) fn check_consistency(path: &Path, key: Option<&str>) -> Result<Vec<(Consistency, u64)>> {
    let key = key.map(key_of).transpose()?;
    let pieces = pieces(path)?;
    ensure!(!pieces.is_empty(), "{}: there is no proof in it", path.display());
    let one = |piece: &Vec<u8>| {
        let proof = Consistency::read(piece).with_context(|| path.display().to_string())?;
        let grown = proof.check()?;
        if let Some(key) = key {
            ensure!(key == proof.new.key, "the heads were signed with the key {}", hex(&proof.new.key));
        }
        Ok((proof, grown.leaves))
    };
    pieces.iter().map(one).collect()
}

/// A proof that is good, and what it was compared with.
#[derive(Debug)]
pub(crate) struct Verdict {
    proven: Proven,
    key_compared: bool,
    head_compared: bool,
}

impl Verdict {
    /// As JSON.
    pub(crate) fn json(&self) -> Value {
        let Proven { message, leading_bytes, steps, place, folder, folder_time, head } = &self.proven;
        let steps: Vec<Value> = steps.iter().map(|step| json_step(step.leaf, &step.what)).collect();
        json!({
            "good": true,
            "sha256": message.to_string(),
            "leadingBytes": leading_bytes,
            "steps": steps,
            "folderNumber": place.folder.0,
            "uidValidity": place.uid_validity.0,
            "uid": place.uid.0,
            "folder": folder,
            "folderTime": millis(*folder_time),
            "store": head.store.to_string(),
            "leaves": head.size,
            "root": hex(&head.root),
            "headTime": millis(head.time),
            "key": hex(&head.key),
            "keyCompared": self.key_compared,
            "headCompared": self.head_compared,
        })
    }

    /// For people.
    pub(crate) fn text(&self) -> Result<String> {
        let Proven { message, leading_bytes, steps, folder, folder_time, head, .. } = &self.proven;
        let mut out = String::from("The proof is good.\n\n");
        writeln!(
            out,
            "The file is the message with the SHA-256 {message}\n(of its bytes with CRLF line ends)."
        )?;
        if *leading_bytes > 0 {
            writeln!(
                out,
                "Its first {leading_bytes} bytes are a mailbox file's and no part of the message."
            )?;
        }
        writeln!(out, "\nThe log of store {} says of it, in this order:", head.store)?;
        for step in steps {
            writeln!(out, "  leaf {}: {}", step.leaf, text_step(&step.what))?;
        }
        writeln!(
            out,
            "\nAll this was in the log when it had {} leaves, by the head that was\nsigned at {} with the key {}.",
            head.size,
            millis(head.time),
            hex(&head.key)
        )?;
        writeln!(
            out,
            "\nThat folder was called \"{}\" at {}. The name is signed by the same key, but\nis not part of the log.",
            clean(folder),
            millis(*folder_time)
        )?;
        out.push_str(match (self.key_compared, self.head_compared) {
            (_, true) => "\nThe log is the one of the head that you kept: nobody can have changed it since.\n",
            (true, false) => {
                "\nThe key is the one that you named. Whoever has the key could have signed another log: compare\n\
                 with a head that was kept outside the archive (--head).\n"
            }
            (false, false) => {
                "\nThe key was not compared with anything: name the archive's public key (--key), or better a head\n\
                 that was kept outside the archive (--head).\n"
            }
        });
        Ok(out)
    }
}

fn json_step(leaf: u64, what: &What) -> Value {
    match what {
        What::Archived { at, date, flags, .. } => json!({
            "leaf": leaf, "what": "archived", "folderNumber": at.folder.0, "uidValidity": at.uid_validity.0,
            "uid": at.uid.0, "date": moment(date.secs, date.zone), "answered": flags.answered,
            "flagged": flags.flagged, "forwarded": flags.forwarded,
        }),
        What::Moved { from, from_uid, to, .. } => json!({
            "leaf": leaf, "what": "moved", "fromFolderNumber": from.0, "fromUid": from_uid.0,
            "folderNumber": to.folder.0, "uidValidity": to.uid_validity.0, "uid": to.uid.0,
        }),
        What::Deleted { at, .. } => json!({
            "leaf": leaf, "what": "deleted", "folderNumber": at.folder.0, "uidValidity": at.uid_validity.0,
            "uid": at.uid.0,
        }),
    }
}

fn text_step(what: &What) -> String {
    match what {
        What::Archived { at, date, flags, .. } => {
            let mut marks = String::new();
            for (set, name) in
                [(flags.answered, "answered"), (flags.flagged, "flagged"), (flags.forwarded, "forwarded")]
            {
                if set {
                    marks.push_str(", ");
                    marks.push_str(name);
                }
            }
            format!(
                "archived in folder number {} (UIDVALIDITY {}) as UID {}, dated {}{marks}",
                at.folder.0,
                at.uid_validity.0,
                at.uid,
                moment(date.secs, date.zone)
            )
        }
        What::Moved { from, from_uid, to, .. } => format!(
            "moved from folder number {}, UID {from_uid}, to folder number {} (UIDVALIDITY {}), UID {}",
            from.0, to.folder.0, to.uid_validity.0, to.uid
        ),
        What::Deleted { at, .. } => {
            format!(
                "deleted from folder number {} (UIDVALIDITY {}), UID {}",
                at.folder.0, at.uid_validity.0, at.uid
            )
        }
    }
}

/// Bytes in hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        for nibble in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(nibble), 16).unwrap_or('?'));
        }
        text
    })
}

/// Milliseconds since 1970 as RFC 3339; the number itself where that can't be said.
fn millis(at: u64) -> String {
    let date = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at) * 1_000_000);
    date.ok().and_then(|date| date.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{at} ms"))
}

fn moment(secs: i64, zone: i16) -> String {
    let zone = UtcOffset::from_whole_seconds(i32::from(zone) * 60).unwrap_or(UtcOffset::UTC);
    let date = OffsetDateTime::from_unix_timestamp(secs).ok().and_then(|date| date.checked_to_offset(zone));
    date.and_then(|date| date.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{secs} s"))
}
