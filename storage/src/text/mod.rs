//! The decoded text of a message: what search means by its keys (DESIGN section 7).
//!
//! One parse gives the text for the index and for verification; both and the needle pass [`fold()`]. Promise: something
//! comes of any bytes, in time linear in them and memory bounded by [`Limits::max_text_bytes`].
//! docs/search.md says which text each key covers; [`TEXT_VERSION`] changes when that does.

mod charset;
mod fold;
mod header;
mod html;
mod preview;
mod transfer;

use crate::attachments::{Attachment, Attachments};
use crate::mime::field::{Fields, Raw};
use crate::mime::param::{self, ContentType};
use crate::mime::{Entity, Kind, Tree};
use crate::{Limits, incoming::Content};

pub use fold::fold;
pub(crate) use header::param_text;
pub use header::{decode_words, is_machine_header};
pub(crate) use preview::preview;

/// The version of [`fold()`] and of what text is taken; stands in the index, another one means a new index.
pub const TEXT_VERSION: u32 = 4;

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
    /// The message's own header fields, in order, without machine headers (see [`is_machine_header`]).
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
        SearchText::with_attachments(tree, content, limits).0
    }

    /// As [`SearchText::new`], and the parts whose text somebody else may know.
    #[must_use]
    pub fn with_attachments(tree: &Tree, content: &Content, limits: &Limits) -> (SearchText, Attachments) {
        let mut attachments = Vec::new();
        let mut taker = Taker { found: SearchText::default(), left: limits.max_text_bytes };
        if let Some(root) = tree.entities.first() {
            taker.fields(&root.header_bytes);
        }
        for (index, entity) in tree.entities.iter().enumerate() {
            let parent = entity.parent.and_then(|parent| tree.entities.get(parent));
            if parent.is_some_and(|parent| parent.kind == Kind::Message) {
                taker.nested_header(&entity.header_bytes);
            }
            taker.file_names(&entity.header_bytes);
            match entity.kind {
                Kind::Leaf if tree.is_placeholder(index) => {
                    if let Some(parent) = parent {
                        taker.part(parent, Form::Plain, content);
                    }
                }
                Kind::Leaf => {
                    if let Some(form) = Form::of(&entity.header_bytes) {
                        taker.part(entity, form, content);
                    } else {
                        attachments.extend(attachment(index, entity));
                    }
                }
                Kind::Multipart | Kind::Message => {}
            }
        }
        let Taker { found, left } = taker;
        (found, Attachments { list: attachments, left })
    }

    /// Adds an entry to the body, cut to what is `left`.
    pub(crate) fn add_within(&mut self, mut text: String, left: &mut usize) {
        let (end, weight) = within(&text, *left);
        if end < text.len() {
            self.cut = true;
            text.truncate(end);
        }
        // Decoders reserve for the worst, and the text waits for the index.
        text.shrink_to_fit();
        if !text.is_empty() {
            *left -= weight;
            self.body.push(text);
        }
    }

    /// Only the header's part, from a header block (all that header keys need).
    #[must_use]
    pub fn header_fields(header: &[u8]) -> Vec<Field> {
        Fields::new(header).map(decoded).collect()
    }
}

fn decoded(field: Raw<'_>) -> Field {
    Field { name: charset::guess(field.name), value: decode_words(&field.unfolded()) }
}

/// The fields that people write or read; the others, which are most of many headers, are not even decoded.
fn people_fields(header: &[u8]) -> impl Iterator<Item = Field> {
    let is_machine = |name: &[u8]| std::str::from_utf8(name).is_ok_and(is_machine_header);
    Fields::new(header).filter(move |field| !is_machine(field.name)).map(decoded)
}

/// How a leaf's text is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Plain,
    Html,
}

impl Form {
    /// `None` for what is no text.
    fn of(header: &[u8]) -> Option<Form> {
        let Some(found) = ContentType::of(header) else { return Some(Form::Plain) };
        if found.is("text", "html") || found.is("application", "xhtml+xml") {
            Some(Form::Html)
        } else if found.is("text", "rtf") {
            // Its words stand between control words: a file to be read by who knows them.
            None
        } else if found.main_is("text")
            || found.is("application", "ics")
            || found.is("message", "delivery-status")
            || found.is("message", "global-delivery-status")
            || found.is("message", "disposition-notification")
            || found.is("message", "feedback-report")
        {
            Some(Form::Plain)
        } else {
            None
        }
    }
}

struct Taker {
    found: SearchText,
    /// Bytes of text that may still be taken.
    left: usize,
}

impl Taker {
    fn fields(&mut self, header: &[u8]) {
        for field in people_fields(header) {
            let len = field.name.len() + field.value.len();
            if len > self.left {
                self.found.cut = true;
                return;
            }
            self.left -= len;
            self.found.fields.push(field);
        }
    }

    /// The header of a message inside the message: `Name: value`, without the machine's fields.
    fn nested_header(&mut self, header: &[u8]) {
        for field in people_fields(header) {
            self.add(format!("{}: {}", field.name, field.value));
        }
    }

    /// The names that a part gives its file: Content-Disposition's, and Content-Type's when it is another.
    fn file_names(&mut self, header: &[u8]) {
        let mut first = None;
        for name in file_names(header) {
            if first.as_ref() != Some(&name) {
                self.add(name.clone());
                first.get_or_insert(name);
            }
        }
    }

    fn part(&mut self, entity: &Entity, form: Form, content: &Content) {
        if self.left == 0 {
            self.found.cut |= entity.body.start < entity.body.end;
            return;
        }
        // Encodings and markup are larger than their text; beyond this factor it is the markup that is cut off.
        let most = (self.left as u64).saturating_mul(3).saturating_add(64 << 10);
        let end = entity.body.end.min(entity.body.start.saturating_add(most));
        self.found.cut |= end < entity.body.end;
        let Ok(bytes) = read(content, entity.body.start..end) else {
            self.found.cut = true;
            return;
        };
        let encoding = param::encoding_of(&entity.header_bytes).unwrap_or_default();
        let decoded = transfer::decode(&encoding, &bytes);
        let found = ContentType::of(&entity.header_bytes);
        let label = found.as_ref().and_then(|found| found.param("charset"));
        let text = charset::decode(label.unwrap_or_default(), &decoded);
        self.add(match form {
            Form::Plain => text,
            Form::Html => html::visible_text(&text),
        });
    }

    /// Adds an entry, cut to what is left.
    fn add(&mut self, text: String) {
        self.found.add_within(text, &mut self.left);
    }
}

/// The names that a part gives its file, in the order of its header.
fn file_names(header: &[u8]) -> impl Iterator<Item = String> {
    Fields::new(header).filter_map(|field| {
        let (params, key) = if field.is("Content-Disposition") {
            (param::token_with_params(field.value).map(|found| found.1), "filename")
        } else if field.is("Content-Type") {
            (ContentType::parse(field.value).map(|found| found.params), "name")
        } else {
            return None;
        };
        header::param_text(&params?, key)
    })
}

/// A leaf that isn't text, if it may be a file with text in it.
fn attachment(index: usize, entity: &Entity) -> Option<Attachment> {
    let found = ContentType::of(&entity.header_bytes)?;
    if !Attachment::can_be(&found.main) && !found.is("text", "rtf") {
        return None;
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_ascii_lowercase();
    Some(Attachment {
        part: u32::try_from(index).ok()?,
        body: entity.body.clone(),
        encoding: param::encoding_of(&entity.header_bytes).unwrap_or_default(),
        media_type: format!("{}/{}", text(&found.main), text(&found.sub)),
        file_name: file_names(&entity.header_bytes).next().unwrap_or_default(),
    })
}

/// The decoded bytes of an attachment; the caller bounds its size.
pub(crate) fn part_bytes(content: &Content, one: &Attachment) -> Result<Vec<u8>, crate::Error> {
    let bytes = read(content, one.body.clone())?;
    Ok(transfer::decode(&one.encoding, &bytes).into_owned())
}

/// How much of the text fits into `left`, and what that weighs. A character that folding makes more than three times as
/// long (U+FDFA: eleven times) weighs what becomes of it, so that folded text is bounded too.
fn within(text: &str, left: usize) -> (usize, usize) {
    if text.is_ascii() {
        let end = text.len().min(left);
        return (end, end);
    }
    let mut weight = 0usize;
    for (at, c) in text.char_indices() {
        let mut most = c.len_utf8();
        if !c.is_ascii() {
            let mut folded = 0;
            unicode_normalization::char::decompose_compatible(c, |d| folded += d.len_utf8());
            if folded > 3 * most {
                most = folded;
            }
        }
        if weight + most > left {
            return (at, weight);
        }
        weight += most;
    }
    (text.len(), weight)
}

/// Reads a range whole, in as many pieces as the content gives it.
fn read(content: &Content, range: std::ops::Range<u64>) -> Result<bytes::Bytes, crate::Error> {
    let first = content.read(range.clone())?;
    if first.len() as u64 >= range.end - range.start {
        return Ok(first);
    }
    let mut whole = first.to_vec();
    loop {
        let next = content.read(range.start + whole.len() as u64..range.end)?;
        if next.is_empty() {
            return Ok(whole.into());
        }
        whole.extend_from_slice(&next);
    }
}

#[cfg(test)]
mod tests;
