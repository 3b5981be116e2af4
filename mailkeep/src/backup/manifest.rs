//! `backup.json`: what a backup is made of. `docs/backup.md` tells people what stands in it.
//!
//! Invariant: it is replaced in one step and last of all, so that a directory holds the state before or the state after;
//! a changed byte anywhere in it is found.

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Component, Path, PathBuf};

/// The file's name.
pub(crate) const NAME: &str = "backup.json";
/// The layout of it.
const VERSION: u32 = 1;
/// Largest file that is read.
const MAX_BYTES: u64 = 256 << 20;
/// Most files of a backup.
const MAX_FILES: usize = 1_000_000;

/// A backup's contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct Manifest {
    /// The layout of this file.
    pub(crate) version: u32,
    /// The program that wrote it.
    pub(crate) program: String,
    /// Counts the backups into this directory.
    pub(crate) number: u64,
    /// When the stores were looked at, seconds since 1970.
    pub(crate) made: i64,
    /// The installation's id.
    pub(crate) installation: String,
    /// The id of the master key that opens the packs.
    pub(crate) key_id: String,
    /// Whether the key is in the backup.
    pub(crate) with_key: bool,
    /// The stores.
    pub(crate) stores: Vec<StoreEntry>,
    /// The files.
    pub(crate) files: Vec<FileEntry>,
    /// SHA-256 of this file with nothing here, in hexadecimal digits.
    pub(crate) sha256: String,
}

/// A store in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct StoreEntry {
    pub(crate) number: String,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) messages: u64,
    pub(crate) placements: u64,
    /// Its last batch.
    pub(crate) batch: u64,
    /// When it was copied, seconds since 1970: earlier than the backup when it could not be read then.
    pub(crate) copied: i64,
    /// Why it could not be read this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trouble: Option<String>,
}

/// A file in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileEntry {
    /// Where it lies in DATA.
    pub(crate) path: String,
    /// Where it lies in the backup.
    pub(crate) stored: String,
    /// Its first so many bytes count; there may be more, of a backup that was cut.
    pub(crate) bytes: u64,
    /// SHA-256 of those, in hexadecimal digits.
    pub(crate) sha256: String,
}

impl Manifest {
    /// A manifest of this program, still empty.
    pub(crate) fn new(number: u64, installation: String, key_id: String, with_key: bool) -> Manifest {
        Manifest {
            version: VERSION,
            program: format!("mailkeep {}", env!("CARGO_PKG_VERSION")),
            number,
            made: time::OffsetDateTime::now_utc().unix_timestamp(),
            installation,
            key_id,
            with_key,
            stores: Vec::new(),
            files: Vec::new(),
            sha256: String::new(),
        }
    }

    /// Reads the manifest of the backup in `dir`; `None` when there is none.
    pub(crate) fn load(dir: &Path) -> Result<Option<Manifest>> {
        let path = dir.join(NAME);
        let shown = || path.display().to_string();
        let file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other.with_context(shown)?,
        };
        let mut text = String::new();
        file.take(MAX_BYTES + 1).read_to_string(&mut text).with_context(shown)?;
        if text.len() as u64 > MAX_BYTES {
            bail!("{}: more than {MAX_BYTES} bytes, which no backup's list has", shown());
        }
        Ok(Some(Manifest::parse(&text).with_context(shown)?))
    }

    fn parse(text: &str) -> Result<Manifest> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_str(text).context("not a backup's list")?;
        if version != VERSION {
            bail!("written by another mailkeep (version {version} of the list; this one knows {VERSION})");
        }
        let manifest: Manifest = serde_json::from_str(text).context("not a backup's list, or damaged")?;
        if manifest.text()? != text {
            bail!("the list is damaged or was changed by hand");
        }
        if manifest.files.len() > MAX_FILES {
            bail!("it lists more than {MAX_FILES} files");
        }
        for file in &manifest.files {
            for path in [&file.path, &file.stored] {
                let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
                if path.is_empty() || !plain {
                    bail!("it names {path:?}, which leads out of the directory");
                }
            }
        }
        Ok(manifest)
    }

    /// The file's text, with its own hash.
    pub(crate) fn text(&self) -> Result<String> {
        let mut sealed = Manifest { sha256: String::new(), ..self.clone() };
        sealed.sha256 = hex(&Sha256::digest(serde_json::to_string_pretty(&sealed)?));
        Ok(serde_json::to_string_pretty(&sealed)? + "\n")
    }

    /// The file that becomes `path` in DATA.
    pub(crate) fn file(&self, path: &str) -> Option<&FileEntry> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut out, byte| {
        // Writing to a string can't fail.
        write!(out, "{byte:02x}").ok();
        out
    })
}

/// A file's place in the backup.
pub(crate) fn stored(dir: &Path, file: &FileEntry) -> PathBuf {
    dir.join(&file.stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Manifest {
        let mut manifest = Manifest::new(3, "ab".into(), "cd".into(), false);
        manifest.stores.push(StoreEntry {
            number: "0001".into(),
            id: "ef".into(),
            name: "mail \"2019\"".into(),
            messages: 7,
            placements: 8,
            batch: 9,
            copied: 10,
            trouble: None,
        });
        manifest.files.push(FileEntry {
            path: "stores/0001/packs/00000001.pack".into(),
            stored: "stores/0001/packs/00000001.pack".into(),
            bytes: 123,
            sha256: "00".repeat(32),
        });
        manifest
    }

    #[test]
    fn a_list_comes_back_whole_or_not_at_all() {
        let text = sample().text().unwrap();
        let back = Manifest::parse(&text).unwrap();
        assert_eq!(Manifest { sha256: String::new(), ..back.clone() }, sample());
        assert_eq!(back.text().unwrap(), text);
        for at in 0..text.len() {
            let mut bent = text.clone().into_bytes();
            bent[at] ^= 1;
            let bent = String::from_utf8_lossy(&bent).into_owned();
            assert!(Manifest::parse(&bent).is_err(), "byte {at}: {bent}");
            assert!(Manifest::parse(&text[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_list_that_leads_elsewhere_or_is_newer_is_refused() {
        for path in ["", "/etc/passwd", "../x", "a/../../x", "./x"] {
            for stored in [true, false] {
                let mut manifest = sample();
                let file = &mut manifest.files[0];
                *(if stored { &mut file.stored } else { &mut file.path }) = path.into();
                let error = Manifest::parse(&manifest.text().unwrap()).unwrap_err();
                assert!(error.to_string().contains("leads out"), "{path}: {error}");
            }
        }
        let newer = Manifest { version: 2, ..sample() }.text().unwrap();
        assert!(Manifest::parse(&newer).unwrap_err().to_string().contains("version 2"));
    }
}
