//! The decoded text of a message: what search means by its keys (DESIGN section 7).
//!
//! One parse gives the text for the index and for verification; both and the needle pass [`fold`].

use crate::{Limits, incoming::Content, mime::Tree};

/// The version of [`fold`] and of what text is taken; stands in the index, another one means a new index.
pub const TEXT_VERSION: u32 = 1;

/// Folds text or needle: NFKC case folding (İ and ı become i), a run of white space becomes one blank; nothing else.
#[must_use]
pub fn fold(text: &str) -> String {
    let _ = text;
    todo!()
}

/// One header field, decoded (RFC 2047, 2231; raw 8-bit as UTF-8 or Latin-1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The name as written, without colon.
    pub name: String,
    /// The unfolded, decoded value.
    pub value: String,
}

/// The searchable text of a message, decoded, not folded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SearchText {
    /// The message's own header fields, in order, machine headers too (see [`is_machine_header`]).
    pub fields: Vec<Field>,
    /// BODY: one entry per text part (HTML as its visible text), file name, nested message's headers and parts. A needle never matches across entries.
    pub body: Vec<String>,
    /// `Limits::max_text_bytes` was met: the rest of the text is not searched.
    pub cut: bool,
}

impl SearchText {
    /// Takes the text out of a message.
    #[must_use]
    pub fn new(tree: &Tree, content: &Content, limits: &Limits) -> SearchText {
        let _ = (tree, content, limits);
        todo!()
    }
    /// Only the header's part, from a header block (all that header keys need).
    #[must_use]
    pub fn header_fields(header: &[u8]) -> Vec<Field> {
        let _ = header;
        todo!()
    }
}

/// Whether TEXT leaves this header out: Received, DKIM-Signature, ARC-*, Authentication-Results … (docs/search.md has the list).
#[must_use]
pub fn is_machine_header(name: &str) -> bool {
    let _ = name;
    todo!()
}
