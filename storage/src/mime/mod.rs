//! The exact MIME structure of a message: a splitter of our own, iterative, bounded, streaming.
//!
//! Gives for every entity (RFC 2045) where its header and its body lie in the canonical bytes and how many lines the
//! body has; decodes nothing. Promise: never panics, never needs more than the limits' memory, whatever the bytes.
//! Where the RFCs leave room it decides as Dovecot 2.3 does, since that is what mail clients have met.

pub mod field;
pub mod param;
mod split;

use std::io::{self, BufRead};
use std::ops::Range;

/// One entity: a message, a multipart, or a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// Index of the entity that holds this one in `Tree::entities`; `None` for the message itself.
    pub parent: Option<usize>,
    /// Indexes of the entities directly inside: parts of a multipart, or the one message of a message/rfc822.
    pub children: Vec<usize>,
    /// The header's bytes, from its first line to the blank line inclusive (RFC 9051 `HEADER`/`MIME`).
    pub header: Range<u64>,
    /// The body's bytes; for a part, without the line end that belongs to the next boundary (RFC 2046 §5.1.1).
    pub body: Range<u64>,
    /// Line ends (CRLF) in the body: BODYSTRUCTURE's lines. A last line without a line end isn't counted, as the line
    /// end before a boundary isn't (Dovecot counts so, and clients compare).
    pub lines: u64,
    /// What the entity is.
    pub kind: Kind,
    /// The header's bytes themselves (unfolded: no), up to the limit.
    pub header_bytes: Vec<u8>,
}

/// What an entity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A leaf of any type.
    Leaf,
    /// multipart/*, with at least one part: where the bytes hold none, an empty one stands at the body's end.
    Multipart,
    /// message/rfc822 or message/global, with one child.
    Message,
}

/// The tree of a message; `entities[0]` is the message itself, the rest in preorder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// All entities, preorder.
    pub entities: Vec<Entity>,
    /// A limit was met: what lies beyond it is part of an opaque leaf.
    pub cut: bool,
}

impl Tree {
    /// Splits the canonical bytes that `source` gives.
    /// # Errors
    /// Only those of `source`.
    pub fn parse(source: impl BufRead, limits: &crate::Limits) -> io::Result<Tree> {
        split::split(source, limits)
    }

    /// Whether `index` is the empty part that stands for the missing parts of a multipart.
    #[must_use]
    pub fn is_placeholder(&self, index: usize) -> bool {
        let Some(entity) = self.entities.get(index) else { return false };
        let Some(parent) = entity.parent.and_then(|parent| self.entities.get(parent)) else { return false };
        parent.kind == Kind::Multipart
            && parent.children.len() == 1
            && entity.header.is_empty()
            && entity.header.start == parent.body.end
    }
}

#[cfg(test)]
mod tests;
