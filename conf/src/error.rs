//! What is wrong with a configuration file, with the place to look at.

use std::path::{Path, PathBuf};

/// Why a configuration can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file can't be read.
    #[error("configuration {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is no configuration, by its size.
    #[error("configuration {path}: {bytes} bytes are more than the {limit} that a configuration may have")]
    Large {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// No TOML, an unknown key, or a value of another type.
    #[error("configuration {path}, line {line}, column {column}: {what}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What the parser says.
        what: String,
    },
    /// A value outside its range.
    #[error("configuration {path}: {key} = {found} must be {least} to {most}")]
    Range {
        /// The file.
        path: PathBuf,
        /// The key, with its section.
        key: &'static str,
        /// The value.
        found: u64,
        /// The smallest value that makes sense.
        least: u64,
        /// The greatest value that makes sense.
        most: u64,
    },
    /// A value that means nothing.
    #[error("configuration {path}: {key} {what}")]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, with its section.
        key: &'static str,
        /// What is wrong with it.
        what: String,
    },
}

impl Error {
    /// A TOML error, with its place in `text`.
    pub(crate) fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Error {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Error::Syntax { path: path.to_owned(), line, column, what: error.message().to_owned() }
    }
}
