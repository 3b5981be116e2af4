//! What tests share: an installation of their own, a sink that remembers, and a folder of the corpus.

use crate::walk::{Found, Sink, Skipped, SourceFolder, Stop, walk};
use crate::{Archiver, Format};
use redb::Database;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use storage::{Limits, MasterKey, SourceFlags, Storage};

/// Stores in a scratch directory and master.redb in memory; closed on drop.
pub(crate) struct Installation {
    pub(crate) archiver: Archiver,
    pub(crate) storage: Storage,
    pub(crate) db: Arc<Database>,
    pub(crate) key: MasterKey,
    pub(crate) dir: tempfile::TempDir,
}

impl Drop for Installation {
    fn drop(&mut self) {
        if let Err(error) = self.storage.close() {
            eprintln!("close: {error}");
        }
    }
}

impl Installation {
    pub(crate) fn new(limits: Limits) -> Installation {
        let dir = tempfile::tempdir().unwrap();
        let key = MasterKey::generate().unwrap();
        Storage::create(dir.path(), &key, &limits).unwrap();
        let storage = Storage::open(dir.path(), &key, limits).unwrap();
        let db = Arc::new(in_memory());
        let archiver = Archiver::open(storage.clone(), db.clone()).unwrap();
        Installation { archiver, storage, db, key, dir }
    }
}

/// An empty database in memory.
pub(crate) fn in_memory() -> Database {
    Database::builder().create_with_backend(redb::backends::InMemoryBackend::new()).unwrap()
}

/// A message as the reader gave it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) folder: usize,
    pub(crate) place: String,
    pub(crate) occurrence: String,
    pub(crate) prefix: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
    pub(crate) date: Option<i64>,
    pub(crate) flags: SourceFlags,
}

/// Remembers everything.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) folders: Vec<SourceFolder>,
    pub(crate) messages: Vec<Seen>,
    pub(crate) skipped: Vec<Skipped>,
}

impl Memory {
    pub(crate) fn of(path: &Path, format: Option<Format>) -> Memory {
        let mut memory = Memory::default();
        walk(path, format, &mut memory).unwrap();
        memory
    }

    /// The folder's levels joined, for each message.
    pub(crate) fn folder(&self, message: &Seen) -> String {
        self.folders[message.folder].levels.join("/")
    }
}

impl Sink for Memory {
    fn folder(&mut self, folder: SourceFolder) -> usize {
        self.folders.iter().position(|known| *known == folder).unwrap_or_else(|| {
            self.folders.push(folder);
            self.folders.len() - 1
        })
    }
    fn message(&mut self, found: Found<'_>) -> Result<(), Stop> {
        let mut bytes = Vec::new();
        found.content.read_to_end(&mut bytes).unwrap();
        self.messages.push(Seen {
            folder: found.folder,
            place: found.place,
            occurrence: found.occurrence,
            prefix: found.prefix,
            bytes,
            date: found.date.map(|date| date.secs),
            flags: found.flags,
        });
        Ok(())
    }
    fn skip(&mut self, skipped: Skipped) -> Result<(), Stop> {
        self.skipped.push(skipped);
        Ok(())
    }
}

/// SHA-256 with CRLF made LF.
pub(crate) fn sha256_lf(bytes: &[u8]) -> String {
    let mut lf = Vec::with_capacity(bytes.len());
    for (at, byte) in bytes.iter().enumerate() {
        if *byte != b'\r' || bytes.get(at + 1) != Some(&b'\n') {
            lf.push(*byte);
        }
    }
    hex::encode(Sha256::digest(&lf))
}

/// A folder of the corpus of real mail; `None`, said aloud, where there is none.
pub(crate) fn corpus(folder: &str) -> Option<PathBuf> {
    match std::env::var_os("MAILKEEP_CORPUS") {
        Some(path) => Some(PathBuf::from(path).join(folder)),
        None if std::env::var_os("CI").is_some_and(|ci| ci == "true") => {
            panic!("CI=true, but MAILKEEP_CORPUS is not set")
        }
        None => {
            eprintln!("skipped: MAILKEEP_CORPUS is not set");
            None
        }
    }
}
