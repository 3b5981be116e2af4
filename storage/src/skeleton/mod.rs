//! A message taken apart for storing: its leaf parts, which others may have too, and what stands between them.
//!
//! Invariant: the sections stand in order and cover the message from the end of its header to its end; each gives exactly
//! the canonical bytes of its range. What is not understood stays as it stands.
//! Left to others: whether a part is known already, and where anything lies (`store`).

pub(crate) mod base64;

use crate::incoming::Content;
use crate::mime::field::Fields;
use crate::mime::{Entity, Kind, Tree, param};
use crate::pack::Kin;
use crate::{Error, Limits};
use sha2::{Digest, Sha256};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;
use std::panic::AssertUnwindSafe;

/// Most sections of a message; what lies beyond is one section.
const MAX_SECTIONS: usize = 1_000;
/// Base64 of fewer characters stays as it stands: a section more would cost what it saves.
const MIN_BASE64: u64 = 256;
/// Bytes that are hashed at once.
const WINDOW_BYTES: u64 = 256 << 10;

/// A leaf's body: where it lies and how it is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Leaf {
    pub(crate) body: Range<u64>,
    pub(crate) base64: bool,
}

/// The leaves of a message, in order.
pub(crate) fn leaves(tree: &Tree) -> Vec<Leaf> {
    let leaf = |entity: &&Entity| entity.kind == Kind::Leaf && !entity.body.is_empty();
    let is_base64 = |entity: &Entity| {
        param::encoding_of(&entity.header_bytes).is_some_and(|found| found.eq_ignore_ascii_case(b"base64"))
    };
    let of = |entity: &Entity| Leaf { body: entity.body.clone(), base64: is_base64(entity) };
    tree.entities.iter().filter(leaf).map(of).collect()
}

/// A run of a message's canonical bytes.
#[derive(Debug)]
pub(crate) struct Section {
    /// The bytes that it gives.
    pub(crate) range: Range<u64>,
    pub(crate) form: Form,
    /// The SHA-256 of what is stored, where it is kept once for all who have it.
    pub(crate) key: Option<[u8; 32]>,
}

/// What is stored of a section.
#[derive(Debug)]
pub(crate) enum Form {
    /// Its bytes.
    Raw,
    /// The bytes that its base64 stands for, and the characters a line.
    Base64 { bytes: Content, line: u32 },
}

/// A message's body in sections.
#[derive(Debug, Default)]
pub(crate) struct Skeleton {
    pub(crate) sections: Vec<Section>,
    /// What the message is alike to.
    pub(crate) kin: Kin,
}

impl Skeleton {
    /// Takes the body apart, from `header_len` on. A failure (a spool file, a panic) costs the sharing, never the message.
    pub(crate) fn new(content: &Content, header_len: u64, parts: &Parts, limits: &Limits) -> Skeleton {
        let take = || sections(content, header_len, &parts.leaves, limits);
        let sections = match std::panic::catch_unwind(AssertUnwindSafe(take)) {
            Ok(Ok(sections)) => sections,
            Ok(Err(error)) => {
                tracing::warn!(%error, "a message is stored without sharing its parts");
                vec![raw(header_len..content.len())]
            }
            Err(_) => vec![raw(header_len..content.len())],
        };
        Skeleton { sections, kin: parts.kin }
    }
}

/// What parsing tells of a message's parts.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    leaves: Vec<Leaf>,
    kin: Kin,
}

impl Parts {
    pub(crate) fn new(tree: &Tree) -> Parts {
        let header = tree.entities.first().map(|entity| &entity.header_bytes[..]);
        Parts { leaves: leaves(tree), kin: header.map_or(Kin::default(), kin) }
    }
}

fn raw(range: Range<u64>) -> Section {
    Section { range, form: Form::Raw, key: None }
}

fn sections(content: &Content, start: u64, leaves: &[Leaf], limits: &Limits) -> Result<Vec<Section>, Error> {
    let (mut sections, mut at, size) = (Vec::new(), start, content.len());
    for leaf in leaves {
        if leaf.body.start < at || leaf.body.end > size || sections.len() + 2 >= MAX_SECTIONS {
            continue;
        }
        let Some(section) = section(content, leaf, limits)? else { continue };
        if at < section.range.start {
            sections.push(raw(at..section.range.start));
        }
        at = section.range.end;
        sections.push(section);
    }
    if at < size {
        sections.push(raw(at..size));
    }
    Ok(sections)
}

/// The section that a leaf's body is worth.
fn section(content: &Content, leaf: &Leaf, limits: &Limits) -> Result<Option<Section>, Error> {
    let range = leaf.body.clone();
    let shared = |len: u64| len >= limits.share_from_bytes;
    if leaf.base64 && range.end - range.start >= MIN_BASE64 {
        let decoded = base64::decode(content, range.clone(), limits.spool_above_bytes)?;
        if let Some(base64::Decoded { range, line, bytes, hash }) = decoded {
            let key = shared(bytes.len()).then_some(hash);
            return Ok(Some(Section { range, form: Form::Base64 { bytes, line }, key }));
        }
    }
    if !shared(range.end - range.start) {
        return Ok(None);
    }
    let mut hash = Sha256::new();
    for start in range.clone().step_by(WINDOW_BYTES as usize) {
        hash.update(&content.read(start..range.end.min(start + WINDOW_BYTES))?);
    }
    Ok(Some(Section { range, form: Form::Raw, key: Some(hash.finalize().into()) }))
}

/// A message's kin, by the subject without what answers and lists put in front of it: a thread's messages quote each
/// other.
fn kin(header: &[u8]) -> Kin {
    let Some(subject) = Fields::new(header).find(|field| field.is("Subject")) else { return Kin::default() };
    let subject = subject.unfolded().to_ascii_lowercase();
    let mut hasher = DefaultHasher::new();
    base(&subject).hash(&mut hasher);
    Kin(hasher.finish())
}

/// A subject in small letters without `re:`, `fwd:`, `[list]` and the like.
fn base(mut subject: &[u8]) -> &[u8] {
    const ANSWERS: [&[u8]; 5] = [b"re:", b"fwd:", b"fw:", b"aw:", b"wg:"];
    loop {
        subject = subject.trim_ascii();
        if let Some(rest) = ANSWERS.iter().find_map(|answer| subject.strip_prefix(*answer)) {
            subject = rest;
        } else if let Some(end) = subject.strip_prefix(b"[").and_then(|rest| memchr::memchr(b']', rest)) {
            subject = &subject[end + 2..];
        } else {
            return subject;
        }
    }
}

#[cfg(test)]
mod tests;
