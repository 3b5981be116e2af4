//! A batch: messages and placements collected in memory, then made durable in one step.
//!
//! Order, which is the promise: chunks, facts and the commit record go to the pack; the pack is synced; one database
//! transaction commits; only then readers see it. Power lost between pack and database costs nothing: the next opening
//! takes the batch in. Objection: the database could then lead a pack that lost its tail. It can't: it commits after
//! the pack's sync, and an opening refuses a watermark beyond the pack.
//! Invariant: a batch that is dropped leaves no trace; after a failed write nothing is written until the store is
//! opened again.

use super::facts::{
    Ends, Evidence, Fact, FolderFact, MAX_INLINE, MAX_NAME, MessageFact, Piece, PlacementFact, Side,
    encode_all,
};
use super::state::Counters;
use super::{Added, Cancel, Committed, Inner, NewPlacement};
use crate::card::Card;
use crate::db::{self, BatchEnd};
use crate::incoming::{Content, LineEnds};
use crate::pack::varint::put;
use crate::pack::{Addr, ChunkAddr, ChunkSink, Class, Handle, PackId, PackWriter, RecordKind, crypt};
use crate::text::SearchText;
use crate::{ContentHash, Error, FolderId, FolderPath, ModSeq, MsgNo, Prepared, SourceId, Uid, UidValidity};
use parking_lot::MutexGuard;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How often a waiting caller looks whether it was cancelled.
const CANCEL_EVERY: Duration = Duration::from_millis(50);

/// What the one writer holds between batches.
#[derive(Debug, Default)]
pub(super) struct Writer {
    /// The pack in hand; none until the first batch after opening.
    pub(super) pack: Option<PackWriter>,
    /// The last pack, when its last batch ends it, and that batch's tag: the first batch goes on there.
    pub(super) resume: Option<(PackId, Option<[u8; 16]>)>,
    /// The first failure: nothing is written after it.
    pub(super) latched: Option<String>,
}

impl Writer {
    fn check(&self) -> Result<(), Error> {
        match &self.latched {
            None => Ok(()),
            Some(cause) => Err(Error::Latched { cause: cause.clone() }),
        }
    }
}

/// A batch being written: nothing of it is visible or durable before [`Batch::commit`]; dropped, it leaves no trace.
#[derive(Debug)]
pub struct Batch<'a> {
    inner: &'a Arc<Inner>,
    writer: MutexGuard<'a, Writer>,
    counters: Counters,
    mod_seq: ModSeq,
    folders: HashMap<FolderId, Target>,
    paths: HashMap<FolderPath, FolderId>,
    /// The next archive-wide UID of archives that the batch touched.
    archives: HashMap<String, u64>,
    sources: HashMap<String, SourceId>,
    known: HashMap<ContentHash, MsgNo>,
    /// Sources and folders, in the order in which they came.
    names: Vec<Fact>,
    messages: Vec<NewMessage>,
    placements: Vec<PendingPlacement>,
    occurrences: Vec<Fact>,
    chunks: ChunkSink,
    bytes: u64,
}

/// A folder that the batch writes to.
#[derive(Debug)]
struct Target {
    archive: String,
    uid_validity: UidValidity,
    /// One above the highest UID can be one above what a UID holds.
    uid_next: u64,
}

#[derive(Debug)]
struct NewMessage {
    no: MsgNo,
    hash: ContentHash,
    size: u64,
    header_len: u64,
    pieces: Vec<(Handle, u64)>,
    card: Card,
    text: SearchText,
}

/// A placement whose fact lacks only the addresses of what stands beside it.
#[derive(Debug)]
struct PendingPlacement {
    fact: PlacementFact,
    line_ends: Option<(Handle, u64)>,
    prefix: Option<(Handle, u64)>,
}

impl<'a> Batch<'a> {
    pub(super) fn begin(inner: &'a Arc<Inner>, cancel: &Cancel) -> Result<Batch<'a>, Error> {
        let writer = loop {
            cancel.check()?;
            if let Some(writer) = inner.writer.try_lock_for(CANCEL_EVERY) {
                break writer;
            }
        };
        writer.check()?;
        let counters = inner.state.read().counters;
        if let Err(error) = inner.tail.wait_for_room(MsgNo(counters.next_msg), cancel) {
            match error {
                Error::Cancelled => return Err(error),
                // The archive doesn't wait for a broken index: search scans what that misses.
                error => tracing::error!(%error, "archiving goes on without the search index"),
            }
        }
        Ok(Batch {
            inner,
            writer,
            counters,
            mod_seq: ModSeq(counters.mod_seq + 1),
            folders: HashMap::new(),
            paths: HashMap::new(),
            archives: HashMap::new(),
            sources: HashMap::new(),
            known: HashMap::new(),
            names: Vec::new(),
            messages: Vec::new(),
            placements: Vec::new(),
            occurrences: Vec::new(),
            chunks: ChunkSink::new(),
            bytes: 0,
        })
    }

    /// The folder's id; makes the folder (and its record) when it is not there.
    /// # Errors
    /// `Limit`.
    pub fn folder(&mut self, path: &FolderPath) -> Result<FolderId, Error> {
        if let Some(id) = self.paths.get(path) {
            return Ok(*id);
        }
        let known = self.inner.state.read().by_path.get(path).copied();
        let id = match known {
            Some(id) => id,
            None => self.make_folder(path)?,
        };
        self.paths.insert(path.clone(), id);
        Ok(id)
    }

    fn make_folder(&mut self, path: &FolderPath) -> Result<FolderId, Error> {
        let id = FolderId(self.counters.next_folder);
        self.counters.next_folder = next("folders of a store", id.0)?;
        self.counters.uid_validity = next("UIDVALIDITY", self.counters.uid_validity)?;
        let uid_validity = UidValidity(self.counters.uid_validity);
        let archive = path.archive().to_owned();
        let archive_uid_floor = uid(self.archive_next(&archive))?;
        self.names.push(Fact::Folder(FolderFact {
            id,
            path: path.clone(),
            uid_validity,
            uid_floor: Uid(1),
            mod_seq_floor: self.mod_seq,
            archive_uid_floor,
        }));
        self.folders.insert(id, Target { archive, uid_validity, uid_next: 1 });
        Ok(id)
    }

    fn archive_next(&mut self, archive: &str) -> u64 {
        if let Some(next) = self.archives.get(archive) {
            return *next;
        }
        let known = self.inner.state.read().archives.get(archive).map_or(1, |uid| u64::from(uid.0));
        self.archives.insert(archive.to_owned(), known);
        known
    }

    /// The folder as the batch leaves it; read from the state the first time.
    fn target(&mut self, folder: FolderId) -> Result<&mut Target, Error> {
        if !self.folders.contains_key(&folder) {
            let state = self.inner.state.read();
            let missing = || Error::Missing { what: format!("folder number {}", folder.0) };
            let info = &state.folders.get(&folder).ok_or_else(missing)?.info;
            let target = Target {
                archive: info.path.archive().to_owned(),
                uid_validity: info.uid_validity,
                uid_next: u64::from(info.uid_next.0),
            };
            self.folders.insert(folder, target);
        }
        self.folders.get_mut(&folder).ok_or_else(|| Error::Missing { what: "a folder".into() })
    }

    fn source(&mut self, name: &str) -> Result<SourceId, Error> {
        if let Some(id) = self.sources.get(name) {
            return Ok(*id);
        }
        let id = match self.inner.db.source_id(name)? {
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

    /// Adds a message and its placement.
    /// # Errors
    /// `Limit` when a name or number is out of bounds: the batch can go on without the message. `Latched`, `Io`: the
    /// batch is lost, nothing of it is visible.
    pub fn add(
        &mut self,
        folder: FolderId,
        message: Prepared,
        placement: &NewPlacement<'_>,
    ) -> Result<Added, Error> {
        self.writer.check()?;
        bounded("bytes of a source's name", placement.source.len())?;
        bounded("bytes of an occurrence", placement.occurrence.len())?;
        let Target { uid_next, uid_validity, archive } = self.target(folder)?;
        let (placed_uid, uid_validity, archive) = (uid(*uid_next)?, *uid_validity, archive.clone());
        let archive_uid = uid(self.archive_next(&archive))?;
        let source = self.source(placement.source)?;
        let Prepared { incoming, parsed } = message;
        let found = match self.known.get(&incoming.hash) {
            Some(no) => Some(*no),
            None => self.inner.db.find(&incoming.hash)?,
        };
        let known = found.is_some();
        self.bytes += incoming.content.len();
        let msg = match found {
            Some(no) => no,
            None => self.new_message(&incoming.content, incoming.hash, parsed)?,
        };
        let (line_ends, ends_chunk) = self.line_ends(&incoming.line_ends);
        let (prefix, prefix_chunk) = self.beside(incoming.prefix);
        let leaf = self.counters.next_leaf;
        let salt = crypt::random().map_err(Error::io("(random numbers)"))?;
        let evidence = Evidence { leaf, salt: Some(salt), hash: [0; 32] };
        let mut fact = PlacementFact {
            folder,
            uid: placed_uid,
            archive_uid,
            msg,
            mod_seq: self.mod_seq,
            date_secs: placement.date.secs,
            zone: placement.date.zone,
            flags: placement.flags,
            source,
            occurrence: placement.occurrence.to_owned(),
            line_ends,
            prefix,
            evidence,
        };
        let fields = fact.leaf_fields(&incoming.hash, uid_validity);
        fact.evidence = Evidence::new(leaf, salt, PlacementFact::LEAF, &fields);
        self.placements.push(PendingPlacement { fact, line_ends: ends_chunk, prefix: prefix_chunk });
        self.counters.next_leaf += 1;
        self.target(folder)?.uid_next += 1;
        self.archives.insert(archive, u64::from(archive_uid.0) + 1);
        Ok(Added { uid: placed_uid, known })
    }

    fn new_message(
        &mut self,
        content: &Content,
        hash: ContentHash,
        parsed: crate::prepared::Parsed,
    ) -> Result<MsgNo, Error> {
        let no = MsgNo(self.counters.next_msg);
        self.counters.next_msg = next("messages of a store", no.0)?;
        let (size, header_len) = (content.len(), parsed.header_len);
        let mut pieces = Vec::with_capacity(2);
        for (class, range) in [(Class::Header, 0..header_len), (Class::Body, header_len..size)] {
            if !range.is_empty() {
                let len = range.end - range.start;
                pieces.push((self.chunks.add_range(class, content, range)?, len));
            }
        }
        let (card, text) = (parsed.card, parsed.text);
        self.messages.push(NewMessage { no, hash, size, header_len, pieces, card, text });
        self.known.insert(hash, no);
        Ok(no)
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

    /// Records where a placement that was already there is found now.
    /// # Errors
    /// As [`Batch::add`].
    pub fn seen_at(&mut self, folder: FolderId, uid: Uid, occurrence: &str) -> Result<(), Error> {
        self.writer.check()?;
        bounded("bytes of an occurrence", occurrence.len())?;
        let occurrence = occurrence.to_owned();
        self.occurrences.push(Fact::Occurrence { folder, uid, occurrence });
        Ok(())
    }

    /// Placements added so far.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.placements.len() as u64
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Canonical bytes added so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes and syncs the batch, then commits the database: on return all of it survives power loss.
    /// # Errors
    /// `Latched`, `Io`: the store takes no more writes until it is reopened.
    pub fn commit(self) -> Result<Committed, Error> {
        self.writer.check()?;
        let placements = self.len();
        if placements == 0 && self.names.is_empty() && self.occurrences.is_empty() {
            return Ok(Committed { placements, mod_seq: ModSeq(self.counters.mod_seq) });
        }
        let Batch { inner, mut writer, counters, mod_seq, names, messages, placements: placed, .. } = self;
        let new_bytes = messages.iter().map(|m| m.size).sum();
        let (mut cards, mut texts) = (HashMap::new(), Vec::with_capacity(messages.len()));
        let mut pieces = Vec::with_capacity(messages.len());
        for m in messages {
            pieces.push((m.no, m.hash, m.size, m.header_len, m.pieces));
            cards.insert(m.no, m.card);
            texts.push((m.no, m.text));
        }
        let written = (|| {
            let pack = writable(inner, &mut writer)?;
            let addrs = self.chunks.finish(pack)?;
            let facts = facts(names, pieces, placed, self.occurrences, &addrs)?;
            for record in encode_all(&facts) {
                pack.append(RecordKind::Facts, record)?;
            }
            let batch = counters.batch + 1;
            let time = time::OffsetDateTime::now_utc().unix_timestamp();
            let offset = pack.commit(batch, mod_seq.0, time)?;
            let end =
                BatchEnd { batch, mod_seq, end: Addr { pack: pack.id(), offset }, tag: pack.last_tag() };
            let card_of = &mut |m: &MessageFact| {
                cards.remove(&m.no).ok_or_else(|| Error::Missing { what: "a new message's card".into() })
            };
            let txn = inner.db.write()?;
            let changes = db::apply(&inner.db, &txn, &inner.state.read(), &end, &facts, card_of)?;
            inner.db.commit(txn)?;
            Ok(changes)
        })();
        let changes = match written {
            Ok(changes) => changes,
            Err(error) => {
                let error: Error = error;
                // What reached the pack and what reached the database is not known: only an opening finds out.
                writer.latched = Some(error.to_string());
                return Err(error);
            }
        };
        let changed: Vec<FolderId> = changes.folders.keys().copied().collect();
        changes.publish(&mut inner.state.write());
        inner.subscribers.tell(&changed);
        // Still under the writer's lock: the index takes texts in their order only, and would leave out what came too soon.
        inner.tail.hand_over(MsgNo(counters.next_msg), new_bytes, texts);
        drop(writer);
        Ok(Committed { placements, mod_seq })
    }
}

/// The pack that the batch goes into: a new one when there is none or it is full.
fn writable<'w>(inner: &Inner, writer: &'w mut Writer) -> Result<&'w mut PackWriter, Error> {
    if let Some((pack, tag)) = writer.resume.take() {
        writer.pack = Some(inner.packs.resume(pack, tag)?);
    }
    let full = writer.pack.as_ref().is_none_or(|pack| pack.len() >= inner.limits.max_pack_bytes);
    if full {
        writer.pack = Some(inner.packs.new_pack()?);
    }
    writer.pack.as_mut().ok_or_else(|| Error::Missing { what: "a pack to write to".into() })
}

type MessageParts = (MsgNo, ContentHash, u64, u64, Vec<(Handle, u64)>);

/// The batch's facts, with the addresses that its chunks got.
fn facts(
    names: Vec<Fact>,
    messages: Vec<MessageParts>,
    placements: Vec<PendingPlacement>,
    occurrences: Vec<Fact>,
    addrs: &[ChunkAddr],
) -> Result<Vec<Fact>, Error> {
    let addr = |handle: Handle| {
        addrs.get(handle.0).copied().ok_or_else(|| Error::Missing { what: "a chunk's address".into() })
    };
    let mut facts = names;
    for (no, hash, size, header_len, parts) in messages {
        let pieces = parts.into_iter().map(|(handle, len)| Ok(Piece::Raw { chunk: addr(handle)?, len }));
        let pieces = pieces.collect::<Result<Vec<_>, Error>>()?;
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
    facts.extend(occurrences);
    Ok(facts)
}

fn next(what: &'static str, last: u32) -> Result<u32, Error> {
    let limit = u64::from(u32::MAX);
    last.checked_add(1).ok_or(Error::Limit { what, found: limit + 1, limit })
}

/// A UID; the last possible one is never given, so that UIDNEXT always is one.
fn uid(number: u64) -> Result<Uid, Error> {
    let limit = u64::from(u32::MAX) - 1;
    match u32::try_from(number) {
        Ok(uid) if number <= limit => Ok(Uid(uid)),
        _ => Err(Error::Limit { what: "UIDs of a folder", found: number, limit }),
    }
}

fn bounded(what: &'static str, len: usize) -> Result<(), Error> {
    if len > MAX_NAME {
        return Err(Error::Limit { what, found: len as u64, limit: MAX_NAME as u64 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_end_before_they_wrap() {
        assert_eq!(next("n", u32::MAX - 1).unwrap(), u32::MAX);
        assert!(matches!(next("n", u32::MAX), Err(Error::Limit { .. })));
        assert_eq!(uid(u64::from(u32::MAX) - 1).unwrap(), Uid(u32::MAX - 1));
        assert!(matches!(uid(u64::from(u32::MAX)), Err(Error::Limit { .. })));
    }
}
