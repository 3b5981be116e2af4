//! One store's share of a batch: messages, placements and other facts, collected in memory.
//!
//! Invariant: nothing of it is durable or visible before [`Draft::commit`]; dropped, it leaves no trace. Which folder and
//! which UID a placement gets is decided by the batch (`stores`).

use super::Store;
use super::extraction::Unread;
use super::facts::{
    Ends, Evidence, Fact, MAX_INLINE, MAX_NAME, MessageFact, PartFact, Piece, PlacementFact, Side,
};
use super::message::PIECE_BYTES;
use super::state::Counters;
use crate::card::Card;
use crate::incoming::{Content, LineEnds};
use crate::order::Keys;
use crate::pack::varint::put;
use crate::pack::{ChunkAddr, ChunkSink, Class, Handle, crypt};
use crate::prepared::{CardAndKeys, Parsed};
use crate::skeleton::{Form, Section, Skeleton};
use crate::text::SearchText;
use crate::{
    ContentHash, Error, FolderId, ModSeq, MsgNo, NewPlacement, Prepared, SourceId, Uid, UidValidity,
};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Collects what one store gets of a batch.
#[derive(Debug)]
pub(crate) struct Draft {
    store: Arc<Store>,
    counters: Counters,
    sources: HashMap<String, SourceId>,
    known: HashMap<ContentHash, MsgNo>,
    /// Sources and folders, in the order in which they came.
    names: Vec<Fact>,
    messages: Vec<NewMessage>,
    placements: Vec<PendingPlacement>,
    /// What is about placements of earlier batches.
    changes: Vec<Fact>,
    chunks: ChunkSink,
    /// Where the parts are that messages of this batch have.
    parts: HashMap<[u8; 32], At>,
    /// Parts that no message had before: their hash, chunk and length.
    new_parts: Vec<([u8; 32], Handle, u64)>,
}

/// A chunk that the batch refers to.
#[derive(Debug, Clone, Copy)]
enum At {
    /// Of this batch.
    New(Handle),
    /// Of an earlier one.
    Known(ChunkAddr),
}

/// A piece that lacks only its chunk's address.
#[derive(Debug)]
struct NewPiece {
    at: At,
    /// Of the chunk.
    len: u64,
    /// Characters a line, where the chunk is to be given as base64.
    line: Option<u32>,
}

/// A draft on its way to the disk.
pub(crate) struct Ready {
    /// The facts, once the chunks have their addresses.
    #[expect(clippy::type_complexity, reason = "it is called once")]
    pub(super) facts: Box<dyn FnOnce(&[ChunkAddr]) -> Result<Vec<Fact>, Error>>,
    pub(super) chunks: ChunkSink,
    pub(super) cards: HashMap<MsgNo, CardAndKeys>,
    pub(super) texts: Vec<(MsgNo, SearchText)>,
    /// The messages whose text lacks that of attachments, rising.
    pub(super) attached: Vec<(MsgNo, Unread)>,
    pub(super) new_bytes: u64,
}

#[derive(Debug)]
struct NewMessage {
    no: MsgNo,
    hash: ContentHash,
    size: u64,
    header_len: u64,
    pieces: Vec<NewPiece>,
    card: Card,
    keys: Keys,
    text: SearchText,
    /// What its text lacks.
    unread: Option<Unread>,
}

/// A placement whose fact lacks only the addresses of what stands beside it.
#[derive(Debug)]
struct PendingPlacement {
    fact: PlacementFact,
    line_ends: Option<(Handle, u64)>,
    prefix: Option<(Handle, u64)>,
}

/// Where a new placement goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) folder: FolderId,
    pub(crate) uid_validity: UidValidity,
    pub(crate) uid: Uid,
    pub(crate) archive_uid: Uid,
    pub(crate) mod_seq: ModSeq,
}

impl Draft {
    /// A draft for `store`. The caller is the only one that writes.
    pub(crate) fn new(store: &Arc<Store>) -> Draft {
        let counters = store.state.read().counters;
        Draft {
            store: Arc::clone(store),
            counters,
            sources: HashMap::new(),
            known: HashMap::new(),
            names: Vec::new(),
            messages: Vec::new(),
            placements: Vec::new(),
            changes: Vec::new(),
            chunks: ChunkSink::new(),
            parts: HashMap::new(),
            new_parts: Vec::new(),
        }
    }

    /// The store.
    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// Whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.placements.is_empty() && self.changes.is_empty()
    }

    /// Adds a fact that later ones build on: a folder, floors.
    pub(crate) fn name(&mut self, fact: Fact) {
        self.names.push(fact);
    }

    /// Adds a fact about what earlier batches brought.
    pub(crate) fn change(&mut self, fact: Fact) {
        self.changes.push(fact);
    }

    /// The next leaf of the evidence, over these logical fields.
    /// # Errors
    /// `Io` when the system has no randomness to give.
    pub(crate) fn leaf(&mut self, kind: u8, fields: &[u8]) -> Result<Evidence, Error> {
        let salt = crypt::random().map_err(Error::io("(random numbers)"))?;
        let leaf = self.counters.next_leaf;
        self.counters.next_leaf += 1;
        Ok(Evidence::new(leaf, salt, kind, fields))
    }

    fn source(&mut self, name: &str) -> Result<SourceId, Error> {
        if let Some(id) = self.sources.get(name) {
            return Ok(*id);
        }
        let id = match self.store.db.source_id(name)? {
            Some(id) => id,
            None => {
                let id = SourceId(self.counters.next_source);
                self.counters.next_source = next("sources of a store", id.0)?;
                self.names.push(Fact::Source { id, name: name.to_owned() });
                id
            }
        };
        self.sources.insert(name.to_owned(), id);
        Ok(id)
    }

    /// Adds a message and its placement; true when its bytes were known already.
    /// # Errors
    /// `Limit` when a name or number is out of bounds: the draft can go on without the message. `Io`.
    pub(crate) fn place(
        &mut self,
        slot: Slot,
        message: Prepared,
        placement: &NewPlacement<'_>,
    ) -> Result<bool, Error> {
        let source = self.source(placement.source)?;
        let Prepared { incoming, parsed, skeleton } = message;
        let found = match self.known.get(&incoming.hash) {
            Some(no) => Some(*no),
            None => self.store.db.find(&incoming.hash)?,
        };
        let msg = match found {
            Some(no) => no,
            None => self.new_message(&incoming.content, incoming.hash, parsed, skeleton)?,
        };
        let (line_ends, ends_chunk) = self.line_ends(&incoming.line_ends);
        let (prefix, prefix_chunk) = self.beside(incoming.prefix);
        let mut fact = PlacementFact {
            folder: slot.folder,
            uid: slot.uid,
            archive_uid: slot.archive_uid,
            msg,
            mod_seq: slot.mod_seq,
            date_secs: placement.date.secs,
            zone: placement.date.zone,
            flags: placement.flags,
            source,
            occurrence: placement.occurrence.to_owned(),
            line_ends,
            prefix,
            evidence: Evidence { leaf: 0, salt: None, hash: [0; 32] },
        };
        let fields = fact.leaf_fields(&incoming.hash, slot.uid_validity);
        fact.evidence = self.leaf(PlacementFact::LEAF, &fields)?;
        self.placements.push(PendingPlacement { fact, line_ends: ends_chunk, prefix: prefix_chunk });
        Ok(found.is_some())
    }

    fn new_message(
        &mut self,
        content: &Content,
        hash: ContentHash,
        parsed: Parsed,
        skeleton: Skeleton,
    ) -> Result<MsgNo, Error> {
        let no = MsgNo(self.counters.next_msg);
        self.counters.next_msg = next("messages of a store", no.0)?;
        let (size, header_len) = (content.len(), parsed.header_len);
        self.chunks.kin(skeleton.kin);
        let mut pieces = Vec::with_capacity(skeleton.sections.len() + 1);
        if header_len > 0 {
            let header = self.chunks.add_range(Class::Header, content, 0..header_len)?;
            pieces.push(NewPiece { at: At::New(header), len: header_len, line: None });
        }
        for Section { range, form, key } in skeleton.sections {
            let (content, range, line) = match &form {
                Form::Raw => (content, range, None),
                Form::Base64 { bytes, line } => (bytes, 0..bytes.len(), Some(*line)),
            };
            let len = range.end - range.start;
            let at = match key {
                Some(key) => self.part(key, content, range)?,
                None => At::New(self.chunks.add_range(Class::Body, content, range)?),
            };
            pieces.push(NewPiece { at, len, line });
        }
        let Parsed { card, keys, text, attachments, .. } = parsed;
        let worth =
            self.store.extraction.as_ref().is_some_and(|extraction| extraction.is_worth(&attachments));
        let unread = worth.then(|| Unread { hash, content: content.clone(), attachments });
        self.messages.push(NewMessage { no, hash, size, header_len, pieces, card, keys, text, unread });
        self.known.insert(hash, no);
        Ok(no)
    }

    /// The chunk of a part: the one that earlier messages have, if it can be read and is the same, else a new one.
    fn part(&mut self, key: [u8; 32], content: &Content, range: Range<u64>) -> Result<At, Error> {
        if let Some(at) = self.parts.get(&key) {
            return Ok(*at);
        }
        let len = range.end - range.start;
        let at = match self.store.db.part(&key)? {
            Some((chunk, known)) if known == len && self.is_same(chunk, content, &range)? => At::Known(chunk),
            _ => {
                let handle = self.chunks.add_hashed(Class::Body, content, range, Some(key))?;
                self.new_parts.push((key, handle, len));
                At::New(handle)
            }
        };
        self.parts.insert(key, at);
        Ok(at)
    }

    /// Whether a chunk gives the bytes of `range` of `content`. One that can't be read is another.
    fn is_same(&self, chunk: ChunkAddr, content: &Content, range: &Range<u64>) -> Result<bool, Error> {
        let mut at = range.start;
        while at < range.end {
            let wanted = content.read(at..range.end.min(at + PIECE_BYTES))?;
            let from = at - range.start;
            match self.store.packs.chunk(chunk, from..from + wanted.len() as u64) {
                Ok(found) if found == wanted => {}
                Ok(_) => return Ok(false),
                Err(error) => {
                    tracing::warn!(%error, "a part that is known can't be read, and is stored again");
                    return Ok(false);
                }
            }
            at += wanted.len() as u64;
        }
        Ok(true)
    }

    fn line_ends(&mut self, ends: &LineEnds) -> (Ends, Option<(Handle, u64)>) {
        match ends.runs.as_slice() {
            [] | [_] => (Ends::Crlf, None),
            [0, _] => (Ends::Lf, None),
            runs => {
                let mut map = Vec::with_capacity(runs.len());
                runs.iter().for_each(|&run| put(&mut map, run));
                let (side, chunk) = self.beside(map);
                (Ends::Map(side), chunk)
            }
        }
    }

    /// Bytes that stand in the fact, or in a chunk when there are many.
    fn beside(&mut self, bytes: Vec<u8>) -> (Side, Option<(Handle, u64)>) {
        if bytes.len() <= MAX_INLINE {
            return (Side::Here(bytes), None);
        }
        let len = bytes.len() as u64;
        let content = Content::Memory(bytes.into());
        let handle = match self.chunks.add_range(Class::Body, &content, 0..len) {
            Ok(handle) => handle,
            Err(_) => self.chunks.add_large(&content, 0..len),
        };
        (Side::none(), Some((handle, len)))
    }

    /// Writes and syncs it, then commits the database: on return all of it survives power loss. Gives the folders that
    /// changed.
    /// # Errors
    /// `Latched`, `Io`: the store takes no more writes until it is reopened.
    pub(crate) fn commit(self, mod_seq: ModSeq) -> Result<Vec<FolderId>, Error> {
        let Draft { store, names, messages, placements, changes, chunks, new_parts, .. } = self;
        let new_bytes = messages.iter().map(|m| m.size).sum();
        let (mut cards, mut texts) = (HashMap::new(), Vec::with_capacity(messages.len()));
        let mut attached = Vec::new();
        let mut parts = Vec::with_capacity(messages.len());
        for m in messages {
            parts.push((m.no, m.hash, m.size, m.header_len, m.pieces));
            cards.insert(m.no, (m.card, m.keys));
            texts.push((m.no, m.text));
            attached.extend(m.unread.map(|unread| (m.no, unread)));
        }
        let facts =
            Box::new(move |addrs: &[ChunkAddr]| facts(names, new_parts, parts, placements, changes, addrs));
        store.write(Ready { facts, chunks, cards, texts, attached, new_bytes }, mod_seq)
    }
}

type MessageParts = (MsgNo, ContentHash, u64, u64, Vec<NewPiece>);

/// The draft's facts, with the addresses that its chunks got.
fn facts(
    names: Vec<Fact>,
    parts: Vec<([u8; 32], Handle, u64)>,
    messages: Vec<MessageParts>,
    placements: Vec<PendingPlacement>,
    changes: Vec<Fact>,
    addrs: &[ChunkAddr],
) -> Result<Vec<Fact>, Error> {
    let addr = |handle: Handle| {
        addrs.get(handle.0).copied().ok_or_else(|| Error::Missing { what: "a chunk's address".into() })
    };
    let mut facts = names;
    for (hash, handle, len) in parts {
        facts.push(Fact::Part(PartFact { hash, chunk: addr(handle)?, len }));
    }
    for (no, hash, size, header_len, parts) in messages {
        let piece = |NewPiece { at, len, line }| {
            let chunk = match at {
                At::New(handle) => addr(handle)?,
                At::Known(chunk) => chunk,
            };
            Ok(match line {
                None => Piece::Raw { chunk, len },
                Some(line) => Piece::Base64 { chunk, decoded: len, line },
            })
        };
        let pieces = parts.into_iter().map(piece).collect::<Result<Vec<_>, Error>>()?;
        facts.push(Fact::Message(MessageFact { no, hash, size, header_len, pieces }));
    }
    for PendingPlacement { mut fact, line_ends, prefix } in placements {
        if let Some((handle, len)) = line_ends {
            fact.line_ends = Ends::Map(Side::Chunk { chunk: addr(handle)?, len });
        }
        if let Some((handle, len)) = prefix {
            fact.prefix = Side::Chunk { chunk: addr(handle)?, len };
        }
        facts.push(Fact::Placement(fact));
    }
    facts.extend(changes);
    Ok(facts)
}

/// The number after `last`.
/// # Errors
/// `Limit`.
pub(crate) fn next(what: &'static str, last: u32) -> Result<u32, Error> {
    let limit = u64::from(u32::MAX);
    last.checked_add(1).ok_or(Error::Limit { what, found: limit + 1, limit })
}

/// Checks the length of a source's name or an occurrence.
/// # Errors
/// `Limit`.
pub(crate) fn bounded(what: &'static str, len: usize) -> Result<(), Error> {
    if len > MAX_NAME {
        return Err(Error::Limit { what, found: len as u64, limit: MAX_NAME as u64 });
    }
    Ok(())
}
