//! Attachments whose text is part of BODY: which parts of a message may be such, and who knows how to read them.
//!
//! The storage doesn't: it asks a [`TextExtractor`], keeps what that answers, and from then on that answer is the truth
//! (`store::extracts`). So search gives the same today and tomorrow, whatever time or memory an extraction has.

use std::fmt::Debug;
use std::ops::Range;

/// Reads files of formats that are not text. Safe to ask from several threads at once.
pub trait TextExtractor: Send + Sync + Debug {
    /// Changes when [`TextExtractor::may_have_text`] or [`TextExtractor::format`] do: then indexes are made anew.
    fn version(&self) -> u32;
    /// Whether a file with this media type (lower case) and name is worth reading.
    fn may_have_text(&self, media_type: &str, file_name: &str) -> bool;
    /// What the file is, as a number other than 0; `None` for what it knows nothing of.
    fn format(&self, media_type: &str, file_name: &str, bytes: &[u8]) -> Option<u8>;
    /// The text of a file. Comes back in bounded time, whatever the bytes.
    fn extract(&self, format: u8, bytes: &[u8]) -> Extracted;
    /// Largest file that it reads.
    fn max_bytes(&self) -> u64;
    /// Files that it reads at once.
    fn parallel(&self) -> usize;
}

/// What an extractor answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extracted {
    /// The text that was found (none: empty), and for people why there may be more of it.
    Text {
        /// Decoded, line ends as LF.
        text: String,
        /// Why something is missing.
        trouble: Option<String>,
    },
    /// Files of this format are not to be read.
    Off,
}

/// A part of a message that isn't text by its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// Index of the entity in the message's structure.
    pub part: u32,
    /// Its body in the canonical bytes.
    pub body: Range<u64>,
    /// Content-Transfer-Encoding, empty if there is none.
    pub encoding: Vec<u8>,
    /// Lower case, `application/pdf`.
    pub media_type: String,
    /// Decoded; empty if it has none.
    pub file_name: String,
}

/// Types that hold no text, whatever is in them.
const NO_TEXT: [&str; 8] = ["text", "image", "audio", "video", "font", "model", "multipart", "message"];

impl Attachment {
    /// Whether parts of this type can be attachments that have text.
    pub(crate) fn can_be(main_type: &[u8]) -> bool {
        !NO_TEXT.iter().any(|name| main_type.eq_ignore_ascii_case(name.as_bytes()))
    }
}

/// The attachments of a message, in order, and how much of their text fits beside its other text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attachments {
    /// In the order of the structure.
    pub list: Vec<Attachment>,
    /// Bytes of text that may still be added.
    pub(crate) left: usize,
}

/// What became of the attachments of a store.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct AttachmentCounts {
    /// Their text is searched, all of it.
    pub text: u64,
    /// They have none (scanned pages, say).
    pub none: u64,
    /// They could not be read, or not all of them.
    pub failed: u64,
    /// They are not to be read, by the settings of then.
    pub off: u64,
}

/// An attachment that could not be read, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedAttachment {
    /// The store's number.
    pub store: String,
    /// The folder's path, the archive first; of the message's first placement.
    pub folder: String,
    /// The message's UID there.
    pub uid: u32,
    /// The file's name, as untrusted as the message.
    pub file_name: String,
    /// The extractor's number of its format.
    pub format: u8,
    /// Why.
    pub reason: String,
    /// A part of its text is searched.
    pub partly: bool,
}
