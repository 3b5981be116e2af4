//! What can go wrong in storage, told to the person who must act.

use std::path::PathBuf;

/// A failure of storage: what, where, what now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file system refused or failed.
    #[error("{path}: {source}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Stored bytes are not what was written.
    #[error("{path}: record at byte {offset} is damaged: {what}")]
    Corrupt {
        /// The pack.
        path: PathBuf,
        /// Where the record starts.
        offset: u64,
        /// Which check failed.
        what: &'static str,
    },
    /// A message's bytes do not have its identity; nothing of it was shown as right.
    #[error("message {hash} reads back with another hash: its store is damaged, run `mailkeep check`")]
    WrongContent {
        /// The identity that the message should have.
        hash: crate::ContentHash,
    },
    /// The derived database contradicts the packs or itself.
    #[error("{path}: {what}; the packs hold the truth: `mailkeep store rebuild` makes it again")]
    Derived {
        /// The derived file.
        path: PathBuf,
        /// The contradiction.
        what: String,
    },
    /// A derived database of an older version of this program.
    #[error("{path}: it has the old layout {found}; `mailkeep store rebuild` makes it again from the packs")]
    OldLayout {
        /// The database file.
        path: PathBuf,
        /// The layout's version.
        found: u64,
    },
    /// The database library failed.
    #[error("{path}: database: {source}; if the disk is well, `mailkeep store rebuild` makes it again")]
    Database {
        /// The database file.
        path: PathBuf,
        /// What redb said.
        #[source]
        source: Box<redb::Error>,
    },
    /// The index failed; the archive itself is not touched.
    #[error("search index {path}: {what}")]
    Index {
        /// The index directory.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// The key does not open this store.
    #[error("{path}: this master key does not open the store (it has another key id)")]
    WrongKey {
        /// The pack whose header was tried.
        path: PathBuf,
    },
    /// The master key's file cannot be used.
    #[error("master key {path}: {what}")]
    Key {
        /// The key file.
        path: PathBuf,
        /// Why it cannot be used.
        what: String,
    },
    /// The evidence's key or files cannot be used, or the log contradicts what was recorded of it.
    #[error("evidence: {path}: {what}")]
    Evidence {
        /// The file, or the store's database.
        path: PathBuf,
        /// Why not.
        what: String,
    },
    /// A head or a proof proves nothing.
    #[error(transparent)]
    Proof(crate::evidence::Refusal),
    /// After a failed write or sync: nothing more is written until the store is reopened.
    #[error(
        "the store takes no writes since an earlier write failed ({cause}); restart mailkeep once the disk is well"
    )]
    Latched {
        /// The first failure.
        cause: String,
    },
    /// A format newer than this program.
    #[error(
        "{path}: format version {found} is newer than this program understands ({known}); update mailkeep"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version in it.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// A bound was passed.
    #[error("{what}: {found} is above the limit of {limit}")]
    Limit {
        /// What was counted.
        what: &'static str,
        /// How many there were (at least).
        found: u64,
        /// How many may be.
        limit: u64,
    },
    /// A folder, message or store that is not there.
    #[error("{what} is not in the archive")]
    Missing {
        /// What was looked for.
        what: String,
    },
    /// A store that can't be read now; what it holds is not lost.
    #[error(
        "store {store} can't be read now ({why}); bring it back, then run `mailkeep store retry-open {store}`"
    )]
    Unavailable {
        /// Its number.
        store: String,
        /// Why.
        why: String,
    },
    /// A store that takes no changes.
    #[error(
        "store {store} is {state}: what it holds can't be changed; `mailkeep store state {store} normal` allows it"
    )]
    Protected {
        /// Its number.
        store: String,
        /// Its state.
        state: crate::StoreState,
    },
    /// The list of stores can't be used.
    #[error("{path}: {what}")]
    Registry {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A command that can't be done as things are.
    #[error("{what}")]
    Refused {
        /// Why, and what can be done.
        what: String,
    },
    /// The caller's cancel was set.
    #[error("cancelled")]
    Cancelled,
    /// The search's time ran out.
    #[error("search took longer than {secs} s; narrow it by date, sender or folder")]
    SearchTime {
        /// The time limit.
        secs: u64,
    },
}

impl Error {
    /// An I/O error at `path`.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::Io { path, source }
    }
}
