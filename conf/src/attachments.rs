//! The section `[attachments]`: whose text is searched, and what reading it may take.

use serde::{Deserialize, Serialize};

/// Names of the kinds of files whose text can be had.
pub const TYPES: [&str; 15] = [
    "pdf", "docx", "xlsx", "pptx", "odt", "ods", "odp", "rtf", "html", "plain", "csv", "ics", "vcf", "mail",
    "zip",
];

/// Reading the text of attachments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Attachments {
    /// Kinds of files, of [`TYPES`]; what was read before stays searched.
    pub types: Vec<String>,
    /// Files that are read at once, each by a process of its own.
    pub workers: usize,
    /// Time that one file may take.
    pub time_limit_secs: u64,
    /// Memory that one of the processes may write to.
    pub memory_bytes: u64,
    /// Largest file that is read.
    pub max_file_bytes: u64,
    /// Text of one file that is searched.
    pub max_text_bytes: usize,
    /// Bytes that a compressed file may become, all that is in it together.
    pub max_inflated_bytes: u64,
    /// Files inside of one archive that are read.
    pub max_archive_files: u32,
    /// Archives inside of each other.
    pub max_archive_depth: u32,
}

impl Default for Attachments {
    fn default() -> Self {
        Attachments {
            types: TYPES.iter().map(|name| (*name).to_owned()).collect(),
            workers: 2,
            time_limit_secs: 30,
            memory_bytes: 160 << 20,
            max_file_bytes: 32 << 20,
            max_text_bytes: 4 << 20,
            max_inflated_bytes: 256 << 20,
            max_archive_files: 10_000,
            max_archive_depth: 4,
        }
    }
}

impl Attachments {
    /// The key that makes no sense, and why.
    pub(crate) fn nonsense(&self) -> Option<(&'static str, String)> {
        let unknown = self.types.iter().find(|name| !TYPES.contains(&name.as_str()))?;
        Some(("attachments.types", format!("{unknown:?} is none of {}", TYPES.join(", "))))
    }
}
