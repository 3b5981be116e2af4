//! Heads of the audit log, signed with the evidence's key, recorded and sent with the stores' heads.
//!
//! Invariant: a head is only made of what is durable in the log. What the log is, is `auth`'s business; how lines get out of here,
//! `destination`'s.

use super::{Book, hex};
use crate::data::Installation;
use anyhow::{Context, Result, bail, ensure};
use auth::AuditHead;
use serde::{Deserialize, Serialize};
use std::path::Path;
use storage::evidence::is_signed;
use time::OffsetDateTime;

/// What its JSON says to be.
pub(super) const FORMAT: &str = "mailkeep audit head";
const VERSION: u64 = 1;

/// A signed head of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Signed {
    format: String,
    version: u64,
    /// Which log: 64 hexadecimal digits.
    log: String,
    /// Entries.
    pub(crate) entries: u64,
    /// The last entry's hash.
    hash: String,
    /// When it was signed, by the archive's clock: milliseconds since 1970.
    pub(crate) time: u64,
    /// The signer's public key (Ed25519).
    key: String,
    signature: String,
}

impl Signed {
    /// Signs the log's head as it is now.
    pub(crate) fn make(installation: &Installation) -> Result<Signed> {
        let AuditHead { log, size, hash } = installation.auth.audit_head()?;
        let now = OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
        let signer = &installation.signer;
        let mut head = Signed {
            format: FORMAT.to_owned(),
            version: VERSION,
            log: hex(&log),
            entries: size,
            hash: hex(&hash),
            time: u64::try_from(now).unwrap_or(0),
            key: hex(&signer.public()),
            signature: String::new(),
        };
        head.signature = hex(&signer.sign(head.text().as_bytes())?);
        Ok(head)
    }

    /// The signed text.
    fn text(&self) -> String {
        let Signed { log, entries, hash, time, .. } = self;
        format!("mailkeep audit head {VERSION}\nlog {log}\nentries {entries}\ntime {time}\nhash {hash}\n")
    }

    /// As JSON, in one line without a line end.
    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether a line says to be one.
    pub(super) fn is_one(line: &[u8]) -> bool {
        #[derive(Deserialize)]
        struct Marks {
            format: String,
        }
        serde_json::from_slice::<Marks>(line).is_ok_and(|marks| marks.format == FORMAT)
    }

    /// Reads one and checks its signature, by its own key.
    pub(crate) fn read(json: &[u8]) -> Result<Signed> {
        let head: Signed = serde_json::from_slice(json).context("this is no audit head")?;
        ensure!(head.format == FORMAT, "this is no audit head: it says to be {:?}", head.format);
        ensure!(head.version == VERSION, "its version is {}, this program knows {VERSION}", head.version);
        let (key, signature) = (bytes(&head.key)?, bytes(&head.signature)?);
        ensure!(
            is_signed(&key, head.text().as_bytes(), &signature),
            "the signature of the audit head is not its key's: it was changed, or signed by somebody else"
        );
        Ok(head)
    }

    /// What it says of the log.
    pub(crate) fn head(&self) -> Result<AuditHead> {
        Ok(AuditHead { log: bytes(&self.log)?, size: self.entries, hash: bytes(&self.hash)? })
    }

    /// Refuses one that this installation didn't sign.
    pub(crate) fn ours(&self, installation: &Installation) -> Result<()> {
        let ours = hex(&installation.signer.public());
        ensure!(
            self.key == ours,
            "the audit head was signed with the key {}, not with ours, {ours}",
            self.key
        );
        Ok(())
    }
}

fn bytes<const N: usize>(digits: &str) -> Result<[u8; N]> {
    let mut bytes = [0; N];
    ensure!(digits.len() == N * 2 && digits.is_ascii(), "{} hexadecimal digits are expected", N * 2);
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks(2)) {
        let pair = std::str::from_utf8(pair).context("hexadecimal digits")?;
        *byte = u8::from_str_radix(pair, 16).context("hexadecimal digits")?;
    }
    Ok(bytes)
}

/// The heads of the audit log that were recorded here.
pub(crate) fn recorded(book: &Book) -> Result<Vec<Signed>> {
    let mut heads = Vec::new();
    book.lines(|line| {
        if Signed::is_one(line) {
            match Signed::read(line) {
                Ok(head) => heads.push(head),
                Err(error) => {
                    tracing::warn!(error = format!("{error:#}"), "a recorded audit head can't be read")
                }
            }
        }
    })?;
    Ok(heads)
}

/// The audit heads in a file: one, or a line each; heads of stores between them are passed over.
pub(crate) fn of_file(path: &Path) -> Result<Vec<Signed>> {
    let heads: Vec<Signed> = super::offline::pieces(path)?
        .iter()
        .filter(|piece| Signed::is_one(piece))
        .map(|piece| Signed::read(piece).with_context(|| path.display().to_string()))
        .collect::<Result<_>>()?;
    if heads.is_empty() {
        bail!("{}: there is no head of an audit log in it", path.display());
    }
    Ok(heads)
}

/// What is wrong with the log, by its last recorded head; none: nothing.
pub(crate) fn alarm(installation: &Installation, book: &Book) -> Result<Option<String>> {
    let Some(last) = recorded(book)?.pop() else { return Ok(None) };
    let wrong = installation.auth.audit_extends(&last.head()?)?;
    Ok(wrong.map(|what| format!("the audit log: {what}; mailkeep audit verify")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use storage::evidence::EvidenceKey;

    fn head(key: &EvidenceKey) -> Signed {
        let mut head = Signed {
            format: FORMAT.into(),
            version: 1,
            log: "ab".repeat(32),
            entries: 7,
            hash: "01".repeat(32),
            time: 1_700_000_000_000,
            key: hex(&key.public()),
            signature: String::new(),
        };
        head.signature = hex(&key.sign(head.text().as_bytes()).unwrap());
        head
    }

    #[test]
    fn a_head_comes_back_and_a_changed_one_is_refused() {
        let head = head(&EvidenceKey::generate().unwrap());
        let json = head.to_json();
        assert_eq!(Signed::read(json.as_bytes()).unwrap(), head);
        assert_eq!(head.head().unwrap(), AuditHead { log: [0xab; 32], size: 7, hash: [1; 32] });
        assert!(
            Signed::is_one(json.as_bytes()) && !Signed::is_one(b"{\"format\":\"mailkeep evidence head\"}")
        );
        for (from, to) in [
            ("\"entries\":7", "\"entries\":8"),
            ("\"log\":\"ab", "\"log\":\"aa"),
            ("\"hash\":\"01", "\"hash\":\"02"),
            ("\"time\":17", "\"time\":18"),
            ("\"version\":1", "\"version\":2"),
            ("audit head", "evidence head"),
            ("\"key\":\"", "\"key\":\"0"),
            ("\"signature\":\"", "\"signature\":\"+"),
            ("\"time\"", "\"more\":1,\"time\""),
        ] {
            let other = json.replacen(from, to, 1);
            assert_ne!(other, json);
            assert!(Signed::read(other.as_bytes()).is_err(), "{other}");
        }
    }
}
