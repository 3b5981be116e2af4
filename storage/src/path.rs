//! Folder paths: `alice/Outlook/Inbox`, delimiter `/`; the first level is the archive's name.
//!
//! Invariant: a `FolderPath` has at least one level, no empty level, and no control character; sources with odder
//! names are mapped by the archiver before they come here.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

/// A validated folder path; the first level is the archive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FolderPath(String);

/// Why a text is no folder path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing between two delimiters, or nothing at all.
    #[error("folder path {0:?} has an empty level")]
    Empty(String),
    /// A control character.
    #[error("folder path {0:?} has a control character")]
    Control(String),
    /// A level longer than the bound.
    #[error("folder path {path:?} has a level of more than {limit} bytes")]
    Long {
        /// The path, cut for showing.
        path: String,
        /// The bound.
        limit: usize,
    },
    /// More levels than the bound.
    #[error("folder path has more than {limit} levels")]
    Deep {
        /// The bound.
        limit: usize,
    },
}

/// Longest level, bytes.
pub(crate) const MAX_NAME_BYTES: usize = 1_000;
/// Most levels.
pub(crate) const MAX_DEPTH: usize = 200;

impl FolderPath {
    /// Checks `path` (levels joined by `/`).
    /// # Errors
    /// An empty level, a control character, more than 1,000 bytes in a level, more than 200 levels.
    pub fn new(path: impl Into<String>) -> Result<FolderPath, PathError> {
        let path = path.into();
        let mut depth = 0;
        for level in path.split('/') {
            depth += 1;
            if level.is_empty() {
                return Err(PathError::Empty(path));
            }
            if level.len() > MAX_NAME_BYTES {
                let path = level.chars().take(40).collect();
                return Err(PathError::Long { path, limit: MAX_NAME_BYTES });
            }
            if level.chars().any(char::is_control) {
                return Err(PathError::Control(path));
            }
        }
        if depth > MAX_DEPTH {
            return Err(PathError::Deep { limit: MAX_DEPTH });
        }
        Ok(FolderPath(path))
    }

    /// The whole path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The archive: the first level.
    #[must_use]
    pub fn archive(&self) -> &str {
        self.0.split('/').next().unwrap_or(&self.0)
    }

    /// What follows the archive's name; `None` for the archive's own top folder.
    #[must_use]
    pub fn inner(&self) -> Option<&str> {
        self.0.split_once('/').map(|(_, rest)| rest)
    }

    /// The path one level below.
    /// # Errors
    /// As [`FolderPath::new`].
    pub fn child(&self, name: &str) -> Result<FolderPath, PathError> {
        FolderPath::new(format!("{}/{name}", self.0))
    }
}

impl fmt::Display for FolderPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Paths are ordered and hashed as their texts are.
impl Borrow<str> for FolderPath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for FolderPath {
    type Err = PathError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        FolderPath::new(s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_a_path() {
        assert_eq!(FolderPath::new("alice/In box").unwrap().inner(), Some("In box"));
        assert_eq!(FolderPath::new("alice").unwrap().inner(), None);
        for bad in ["", "/a", "a/", "a//b", "a/\u{7}", "a/b\nc"] {
            assert!(FolderPath::new(bad).is_err(), "{bad:?}");
        }
        assert!(FolderPath::new("n".repeat(MAX_NAME_BYTES)).is_ok());
        assert!(FolderPath::new("n".repeat(MAX_NAME_BYTES + 1)).is_err());
        assert!(FolderPath::new(vec!["n"; MAX_DEPTH].join("/")).is_ok());
        assert!(FolderPath::new(vec!["n"; MAX_DEPTH + 1].join("/")).is_err());
    }
}
