//! The splitter: one pass over the lines, a stack of open entities and one of boundaries.
//!
//! Invariant: the tree's ranges nest and lie in the source; the children of an entity stand in order. Memory: the
//! entities (bounded), their headers (bounded together), and the beginning of the line at hand.

use super::field::Fields;
use super::param::{self, ContentType};
use super::{Entity, Kind, Tree};
use crate::Limits;
use std::io::{self, BufRead, ErrorKind};

/// Boundary bytes that are compared; RFC 2046 §5.1.1 allows 70.
const MAX_BOUNDARY: usize = 998;
/// Beginning of a line that is looked at: the dashes, a boundary, its closing dashes.
const MAX_PREFIX: usize = 2 + MAX_BOUNDARY + 2;

/// A boundary that is looked for.
struct Boundary {
    /// Its multipart's place in `Splitter::open`.
    owner: usize,
    bytes: Vec<u8>,
}

/// An entity that isn't closed.
struct Open {
    entity: usize,
    /// Line ends before its body.
    lines_before: u64,
    /// It is a multipart/digest.
    digest: bool,
}

/// What the line at hand belongs to: the innermost open entity's header or body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    Header,
    Body,
}

struct Splitter<'a> {
    limits: &'a Limits,
    entities: Vec<Entity>,
    /// Outermost first.
    open: Vec<Open>,
    /// Oldest first.
    boundaries: Vec<Boundary>,
    at: At,
    /// Header bytes that may still be kept.
    header_left: usize,
    /// Where the line at hand begins.
    line_start: u64,
    /// Line ends before it.
    lines: u64,
    /// Length of the line end just before it.
    last_eol: u64,
    cut: bool,
}

/// Splits what `source` gives.
pub(super) fn split(mut source: impl BufRead, limits: &Limits) -> io::Result<Tree> {
    let mut splitter = Splitter::new(limits);
    let mut line = Vec::new();
    let mut line_len = 0_u64;
    let mut last = 0_u8;
    loop {
        let buffer = match source.fill_buf() {
            Ok(buffer) => buffer,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if buffer.is_empty() {
            break;
        }
        let mut done = 0;
        while let Some(found) = memchr::memchr(b'\n', &buffer[done..]) {
            let piece = &buffer[done..=done + found];
            done += found + 1;
            if line_len == 0 {
                let eol = if piece.ends_with(b"\r\n") { 2 } else { 1 };
                splitter.line(piece, piece.len() as u64, eol);
            } else {
                let before = if found > 0 { piece[found - 1] } else { last };
                line_len += piece.len() as u64;
                splitter.keep(&mut line, piece);
                splitter.line(&line, line_len, if before == b'\r' { 2 } else { 1 });
                line.clear();
                line_len = 0;
            }
        }
        let piece = &buffer[done..];
        if let Some(&byte) = piece.last() {
            splitter.keep(&mut line, piece);
            line_len += piece.len() as u64;
            last = byte;
        }
        let used = buffer.len();
        source.consume(used);
    }
    if line_len > 0 {
        splitter.line(&line, line_len, 0);
    }
    Ok(splitter.finish())
}

/// What a header makes of an entity.
enum Class {
    Leaf,
    Message,
    Multipart { boundary: Option<Vec<u8>>, digest: bool },
}

impl Class {
    fn of(header: &[u8], in_digest: bool) -> Class {
        let Some(field) = Fields::new(header).find(|field| field.is("Content-Type")) else {
            return if in_digest { Class::Message } else { Class::Leaf };
        };
        let Some(found) = ContentType::parse(field.value) else { return Class::Leaf };
        if found.main_is("multipart") {
            let boundary = found.param("boundary").filter(|boundary| !boundary.is_empty());
            let boundary = boundary.map(|bytes| bytes[..bytes.len().min(MAX_BOUNDARY)].to_vec());
            Class::Multipart { boundary, digest: found.is("multipart", "digest") }
        } else if (found.is("message", "rfc822") || found.is("message", "global")) && !is_base64(header) {
            Class::Message
        } else {
            Class::Leaf
        }
    }
}

/// RFC 2046 §5.2.1 permits no base64 for message/rfc822; where it stands all the same, there is nothing to split.
fn is_base64(header: &[u8]) -> bool {
    param::encoding_of(header).is_some_and(|encoding| encoding.eq_ignore_ascii_case(b"base64"))
}

/// Room that a message's own header mostly needs, and that of a part: many lines come to it one by one.
const HEADER_BYTES: usize = 8 << 10;
const PART_HEADER_BYTES: usize = 256;

impl<'a> Splitter<'a> {
    fn new(limits: &'a Limits) -> Self {
        let mut splitter = Splitter {
            limits,
            entities: Vec::new(),
            open: Vec::new(),
            boundaries: Vec::new(),
            at: At::Header,
            header_left: limits.max_header_bytes,
            line_start: 0,
            lines: 0,
            last_eol: 0,
            cut: false,
        };
        splitter.begin(0);
        splitter
    }

    /// Keeps of a line that comes in pieces what will be looked at.
    fn keep(&self, line: &mut Vec<u8>, piece: &[u8]) {
        let room = match self.at {
            At::Header => MAX_PREFIX.max(self.header_left.saturating_add(1)),
            At::Body => MAX_PREFIX,
        };
        let take = piece.len().min(room.saturating_sub(line.len()));
        line.extend_from_slice(&piece[..take]);
    }

    /// Takes a line. `bytes` is at least its looked-at beginning; `len` is its whole length, of which `eol` its line end.
    fn line(&mut self, bytes: &[u8], len: u64, eol: u64) {
        let end = self.line_start + len;
        let text_len = usize::try_from(len - eol).unwrap_or(usize::MAX);
        let text = &bytes[..bytes.len().min(text_len)];
        match self.boundary(text) {
            Some((place, last)) => self.at_boundary(place, last, end, eol > 0),
            None if self.at == At::Header => {
                self.header_line(bytes, len);
                if text.is_empty() {
                    self.end_header(end, self.lines + 1);
                }
            }
            None => {}
        }
        self.line_start = end;
        self.last_eol = eol;
        self.lines += u64::from(eol > 0);
    }

    /// The boundary that a line is, and whether it is the closing one. "It is sufficient that the boundary appear in its
    /// entirety following the CRLF" (RFC 2046 §5.1.1): the longest that fits wins, the innermost of equals.
    fn boundary(&self, text: &[u8]) -> Option<(usize, bool)> {
        let text = text.strip_prefix(b"--")?;
        let mut best: Option<(usize, usize)> = None;
        for (place, boundary) in self.boundaries.iter().enumerate().rev() {
            let len = boundary.bytes.len();
            if text.starts_with(&boundary.bytes) && best.is_none_or(|(_, longest)| longest < len) {
                best = Some((place, len));
                // `--foo--` closes `foo`, unless a boundary nearer by is `foo--`.
                if text.len() == len || (text.len() == len + 2 && text.ends_with(b"--")) {
                    break;
                }
            }
        }
        best.map(|(place, len)| (place, text[len..].starts_with(b"--")))
    }

    fn header_line(&mut self, bytes: &[u8], len: u64) {
        let take = bytes.len().min(self.header_left);
        self.header_left -= take;
        self.cut |= (take as u64) < len;
        if let Some(entity) = self.open.last().and_then(|open| self.entities.get_mut(open.entity)) {
            entity.header_bytes.extend_from_slice(&bytes[..take]);
        }
    }

    fn at_boundary(&mut self, place: usize, last: bool, end: u64, has_eol: bool) {
        while self.at == At::Header {
            // The line end before the boundary is the boundary's, even when the header has no blank line.
            let fresh = self.open.last().is_none_or(|open| self.header_start(open.entity) == self.line_start);
            let eol = if fresh { 0 } else { self.last_eol };
            let at = self.line_start - eol;
            self.end_header(at, self.lines - u64::from(eol > 0));
        }
        let Some(owner) = self.boundaries.get(place).map(|boundary| boundary.owner) else { return };
        let new_part = !last && has_eol;
        // Closing a multipart that has no part gives it one.
        let needed = if self.open.len() > owner + 1 && self.innermost_is_bare() { 2 } else { 1 };
        if new_part && self.entities.len() + needed > self.limits.max_mime_parts {
            self.cut = true;
            self.boundaries.clear();
            return;
        }
        self.close_down_to(owner + 1, self.line_start - self.last_eol);
        self.boundaries.truncate(if last { place } else { place + 1 });
        if new_part {
            self.begin(end);
        }
    }

    /// Whether the innermost open entity is a multipart without a part.
    fn innermost_is_bare(&self) -> bool {
        let entity = self.open.last().and_then(|open| self.entities.get(open.entity));
        entity.is_some_and(|entity| entity.kind == Kind::Multipart && entity.children.is_empty())
    }

    fn header_start(&self, entity: usize) -> u64 {
        self.entities.get(entity).map_or(0, |entity| entity.header.start)
    }

    /// Begins an entity inside the innermost open one.
    fn begin(&mut self, start: u64) {
        let index = self.entities.len();
        let parent = self.open.last().map(|open| open.entity);
        if let Some(parent) = parent.and_then(|parent| self.entities.get_mut(parent)) {
            parent.children.push(index);
        }
        self.entities.push(Entity {
            parent,
            children: Vec::new(),
            header: start..start,
            body: start..start,
            lines: 0,
            kind: Kind::Leaf,
            header_bytes: Vec::with_capacity(if index == 0 { HEADER_BYTES } else { PART_HEADER_BYTES }),
        });
        self.open.push(Open { entity: index, lines_before: 0, digest: false });
        self.at = At::Header;
    }

    /// The innermost entity's header ends at `at`, with `lines` line ends before it.
    fn end_header(&mut self, at: u64, lines: u64) {
        self.at = At::Body;
        let depth = self.open.len();
        let in_digest = depth >= 2 && self.open.get(depth - 2).is_some_and(|open| open.digest);
        let room = depth < self.limits.max_mime_depth && self.entities.len() < self.limits.max_mime_parts;
        let Some(open) = self.open.last_mut() else { return };
        let Some(entity) = self.entities.get_mut(open.entity) else { return };
        open.lines_before = lines;
        entity.header.end = at;
        entity.body = at..at;
        match Class::of(&entity.header_bytes, in_digest) {
            Class::Leaf => {}
            _ if !room => self.cut = true,
            Class::Message => {
                entity.kind = Kind::Message;
                self.begin(at);
            }
            Class::Multipart { boundary, digest } => {
                entity.kind = Kind::Multipart;
                open.digest = digest;
                if let Some(bytes) = boundary {
                    self.boundaries.push(Boundary { owner: depth - 1, bytes });
                }
            }
        }
    }

    /// Closes entities until `keep` are open; their bodies end at `end`, or where their last child does.
    fn close_down_to(&mut self, keep: usize, end: u64) {
        while self.open.len() > keep {
            let Some(open) = self.open.pop() else { return };
            let Some(entity) = self.entities.get(open.entity) else { return };
            let inner = entity.children.last().and_then(|&child| self.entities.get(child));
            let end = end.max(entity.body.start).max(inner.map_or(0, |child| child.body.end));
            let lines_at_end = if end < self.line_start { self.lines.saturating_sub(1) } else { self.lines };
            let lines =
                if end == entity.body.start { 0 } else { lines_at_end.saturating_sub(open.lines_before) };
            let bare = entity.kind == Kind::Multipart && entity.children.is_empty();
            let room = self.entities.len() < self.limits.max_mime_parts;
            if let Some(entity) = self.entities.get_mut(open.entity) {
                entity.body.end = end;
                entity.lines = lines;
                if bare && !room {
                    entity.kind = Kind::Leaf;
                    self.cut = true;
                }
            }
            if bare && room {
                self.open.push(open);
                self.begin(end);
                self.open.truncate(self.open.len() - 2);
                self.at = At::Body;
            }
        }
    }

    fn finish(mut self) -> Tree {
        while self.at == At::Header {
            self.end_header(self.line_start, self.lines);
        }
        self.close_down_to(0, self.line_start);
        Tree { entities: self.entities, cut: self.cut }
    }
}
