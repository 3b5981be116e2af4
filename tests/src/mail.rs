//! Mail as the tests see it: canonical bytes, their hash, and the files of a tree.
//!
//! Written apart from storage's code on purpose: it is the oracle for it.

use anyhow::Context;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// Every LF without CR becomes CRLF; a lone CR stays.
#[must_use]
pub fn canonical(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 32);
    let mut last = 0;
    for &byte in bytes {
        if byte == b'\n' && last != b'\r' {
            out.push(b'\r');
        }
        out.push(byte);
        last = byte;
    }
    out
}

/// What IMAP can show of a message: a NUL can't stand in a literal (RFC 3501 §9, CHAR8).
#[must_use]
pub fn without_nul(bytes: &[u8], replacement: u8) -> Vec<u8> {
    bytes.iter().map(|&byte| if byte == 0 { replacement } else { byte }).collect()
}

/// SHA-256 in lower-case hex.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// The files below `dir`, sorted by path.
/// # Errors
/// A directory that can't be read.
pub fn files(dir: &Path) -> crate::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in walkdir::WalkDir::new(dir).sort_by_file_name() {
        let entry = entry.with_context(|| format!("walking {}", dir.display()))?;
        if entry.file_type().is_file() {
            found.push(entry.into_path());
        }
    }
    Ok(found)
}

/// A plain message for tests that need some mail, different for each `number`.
#[must_use]
pub fn example(number: u32) -> Vec<u8> {
    let day = number % 28 + 1;
    format!(
        "From: Sender {number} <sender{number}@example.org>\n\
         To: alice@example.org\n\
         Subject: Test message {number}\n\
         Date: {day} Mar 2021 10:{:02}:00 +0100\n\
         Message-ID: <{number}@tests.example.org>\n\
         MIME-Version: 1.0\n\
         Content-Type: text/plain; charset=utf-8\n\
         Content-Transfer-Encoding: 8bit\n\
         \n\
         Body of message {number}: Grüße aus Köln.\n",
        number % 60
    )
    .into_bytes()
}

/// A tree of `count` example messages, one a file, in `dir`.
/// # Errors
/// The directory can't be written.
pub fn example_tree(dir: &Path, count: u32) -> crate::Result {
    std::fs::create_dir_all(dir)?;
    for number in 1..=count {
        std::fs::write(dir.join(format!("{number:06}.eml")), example(number))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_keeps_what_is_canonical() {
        assert_eq!(canonical(b"a\nb\r\nc\rd\n\r\n\n"), b"a\r\nb\r\nc\rd\r\n\r\n\r\n");
        assert_eq!(canonical(b""), b"");
        assert_eq!(canonical(&canonical(b"x\n\ny\r")), canonical(b"x\n\ny\r"));
    }
}
