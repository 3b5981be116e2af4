//! DATA/evidence: `heads.jsonl`, every head that was recorded, a line of JSON each; `sent.json`, what became of them.
//!
//! Invariant: heads are only appended, and synced before anything is sent: what others have got is known here. An incomplete
//! last line, which a crash leaves, counts for nothing.

use super::audit::Signed;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use storage::StoreId;
use storage::evidence::Head;

/// Bytes at the end of `heads.jsonl` that are looked through: the last heads of some ten thousand stores.
const MAX_TAIL_BYTES: u64 = 16 << 20;
/// Longest line that is looked at; heads are far shorter.
const MAX_LINE_BYTES: u64 = 64 << 10;
/// Largest `sent.json`.
const MAX_SENT_BYTES: u64 = 1 << 20;
/// Seconds after which a failed destination is tried again.
const RETRY_SECS: i64 = 600;

/// What is known of one destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Last {
    /// The last time that all went well, seconds since 1970.
    pub(crate) good: Option<i64>,
    /// The last try.
    pub(crate) tried: i64,
    /// Why the last try failed; none when it didn't.
    pub(crate) error: Option<String>,
}

/// The record.
#[derive(Debug)]
pub(crate) struct Book {
    dir: PathBuf,
    sent: BTreeMap<String, Last>,
}

impl Book {
    /// The name under which recording itself stands in `sent.json`.
    pub(crate) const RECORDED: &str = "record";

    /// Opens the record in `dir`, which is made when it isn't there.
    pub(crate) fn open(dir: &Path) -> Result<Book> {
        let shown = || dir.display().to_string();
        match DirBuilder::new().mode(0o700).create(dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error).with_context(shown),
            _ => {}
        }
        let path = dir.join("sent.json");
        let mut text = String::new();
        match File::open(&path) {
            Ok(file) => {
                file.take(MAX_SENT_BYTES)
                    .read_to_string(&mut text)
                    .with_context(|| path.display().to_string())?;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| path.display().to_string()),
        }
        // It says when to send again, no more: a damaged one means now.
        let sent = serde_json::from_str(&text).unwrap_or_default();
        Ok(Book { dir: dir.to_owned(), sent })
    }

    /// The heads' file.
    pub(crate) fn heads_file(&self) -> PathBuf {
        self.dir.join("heads.jsonl")
    }

    /// What became of the last tries, by destination.
    pub(crate) fn sent(&self) -> &BTreeMap<String, Last> {
        &self.sent
    }

    /// Whether something is to be sent there now.
    pub(crate) fn due(&self, to: &str, now: i64, every_secs: i64) -> bool {
        let Some(last) = self.sent.get(to) else { return true };
        let wait = if last.error.is_some() { RETRY_SECS.min(every_secs) } else { every_secs };
        // A clock that was set back must not silence it.
        now < last.tried || now - last.tried >= wait
    }

    /// Notes down a try.
    pub(crate) fn tried(&mut self, to: &str, now: i64, error: Option<String>) {
        let last = self.sent.entry(to.to_owned()).or_default();
        last.tried = now;
        if error.is_none() {
            last.good = Some(now);
        }
        last.error = error;
    }

    /// Writes `sent.json`.
    pub(crate) fn save(&self) -> Result<()> {
        let path = self.dir.join("sent.json");
        let shown = || path.display().to_string();
        let mut draft = tempfile::NamedTempFile::new_in(&self.dir).with_context(shown)?;
        serde_json::to_writer(&mut draft, &self.sent).with_context(shown)?;
        draft.as_file().sync_all().with_context(shown)?;
        draft.persist(&path).with_context(shown)?;
        Ok(())
    }

    /// Appends heads; durable on return.
    /// `lines`: JSON, each without its line end.
    pub(crate) fn record(&self, lines: &[String]) -> Result<()> {
        append(&self.heads_file(), lines)
    }

    /// Shows all lines of the record, oldest first; a longer one than heads have comes in pieces.
    pub(crate) fn lines(&self, mut each: impl FnMut(&[u8])) -> Result<()> {
        let path = self.heads_file();
        let shown = || path.display().to_string();
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            other => BufReader::new(other.with_context(shown)?),
        };
        let mut line = Vec::new();
        while file.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line).with_context(shown)? > 0 {
            each(line.trim_ascii_end());
            line.clear();
        }
        Ok(())
    }

    /// The last head of each store.
    pub(crate) fn last_heads(&self) -> Result<Vec<Head>> {
        let path = self.heads_file();
        let shown = || path.display().to_string();
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.with_context(shown)?,
        };
        let len = file.metadata().with_context(shown)?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(MAX_TAIL_BYTES))).with_context(shown)?;
        let mut bytes = Vec::new();
        file.take(MAX_TAIL_BYTES).read_to_end(&mut bytes).with_context(shown)?;
        let mut last: BTreeMap<StoreId, Head> = BTreeMap::new();
        for line in bytes.split(|&b| b == b'\n').filter(|line| !line.is_empty() && !Signed::is_one(line)) {
            match Head::read(line) {
                Ok(head) => {
                    last.insert(head.store, head);
                }
                Err(error) => tracing::warn!(path = %shown(), %error, "a recorded head can't be read"),
            }
        }
        Ok(last.into_values().collect())
    }
}

/// Appends lines to a file and syncs it; a line that a crash broke off is ended first.
pub(super) fn append(path: &Path, lines: &[String]) -> Result<()> {
    let shown = || path.display().to_string();
    let mut file =
        OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path).with_context(shown)?;
    let mut text = String::new();
    if file.seek(SeekFrom::End(0)).with_context(shown)? > 0 {
        file.seek(SeekFrom::End(-1)).with_context(shown)?;
        let mut end = [0];
        file.read_exact(&mut end).with_context(shown)?;
        if end != [b'\n'] {
            text.push('\n');
        }
    }
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    file.write_all(text.as_bytes()).with_context(shown)?;
    file.sync_all().with_context(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Heads as the program writes them; the key is the one of RFC 8032 §7.1, test 1, and signed nothing here.
    const LINE: &str = "{\"format\":\"mailkeep evidence head\",\"version\":1}";

    #[test]
    fn a_destination_is_due_after_its_time_and_sooner_after_a_failure() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("evidence");
        let mut book = Book::open(&path).unwrap();
        let day = 86_400;
        assert!(book.due("x", 0, day), "never tried");
        book.tried("x", 1_000, None);
        assert!(!book.due("x", 1_000 + day - 1, day) && book.due("x", 1_000 + day, day));
        book.tried("x", 2_000, Some("no route".into()));
        assert!(!book.due("x", 2_000 + RETRY_SECS - 1, day) && book.due("x", 2_000 + RETRY_SECS, day));
        assert!(book.due("x", 1_999, day), "the clock was set back");
        book.save().unwrap();
        let last = Last { good: Some(1_000), tried: 2_000, error: Some("no route".into()) };
        assert_eq!(Book::open(&path).unwrap().sent().get("x"), Some(&last));
        std::fs::write(path.join("sent.json"), b"{\"x\":").unwrap();
        assert!(Book::open(&path).unwrap().due("x", 2_000, day), "a damaged note means now");
    }

    #[test]
    fn a_broken_line_is_ended_and_counts_for_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let book = Book::open(dir.path()).unwrap();
        assert!(book.last_heads().unwrap().is_empty());
        std::fs::write(book.heads_file(), LINE).unwrap();
        book.record(&[]).unwrap();
        assert_eq!(std::fs::read_to_string(book.heads_file()).unwrap(), format!("{LINE}\n"));
        assert!(book.last_heads().unwrap().is_empty());
    }
}
