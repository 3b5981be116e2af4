//! Facts: what a store knows, as the packs' records of kind Facts carry it. `storage/FORMAT.md` has the bytes.
//!
//! Invariant: a fact that is read back is the fact that was written; anything else is `None`. Facts say nothing
//! about the database: applying them is `db::apply`'s work, and the same for a live commit and for recovery.

use crate::pack::ChunkAddr;
use crate::pack::varint::{Reader, put, put_bytes, put_signed};
use crate::{
    ContentHash, FolderId, FolderPath, ModSeq, MsgNo, SourceFlags, SourceId, StoreId, Uid, UidValidity,
};
use sha2::{Digest, Sha256};

/// The layout of facts; stands once in front of every record of them. A record has the lowest version that knows all its facts,
/// so that what says nothing new is read by older programs too.
pub(crate) const FACTS_VERSION: u8 = 1;
/// The version from which on there are comments.
const FACTS_WITH_COMMENTS: u8 = 2;
/// Longest line of base64 that a piece may ask for.
const MAX_BASE64_LINE: u32 = 4096;
/// Longest source name and occurrence, bytes.
pub(crate) const MAX_NAME: usize = 16 << 10;
/// Longest line-end map and prefix that stand in the fact itself; longer ones are chunks.
pub(crate) const MAX_INLINE: usize = 1 << 10;

/// Longest comment of a folder, bytes.
pub(crate) const MAX_COMMENT: usize = 16 << 10;

/// Plain bytes at which a record of facts is closed.
const RECORD_BYTES: usize = 256 << 10;

const MESSAGE: u8 = 1;
const FOLDER: u8 = 2;
const SOURCE: u8 = 3;
const PLACEMENT: u8 = 4;
const OCCURRENCE: u8 = 5;
const MOVE: u8 = 6;
const DELETION: u8 = 7;
const RENAME: u8 = 8;
const FLOORS: u8 = 9;
const FOLDER_GONE: u8 = 10;
const ERASED: u8 = 11;
const TOMBSTONE: u8 = 12;
const PART: u8 = 13;
const HEAD: u8 = 14;
const COMPACTED: u8 = 15;
const COMMENT: u8 = 16;

/// One thing that the store knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fact {
    Message(MessageFact),
    Folder(FolderFact),
    Source {
        id: SourceId,
        name: String,
    },
    Placement(PlacementFact),
    /// A placement that was there already is found at another occurrence now.
    Occurrence {
        folder: FolderId,
        uid: Uid,
        occurrence: String,
    },
    Move(MoveFact),
    Deletion(DeletionFact),
    Rename {
        folder: FolderId,
        path: FolderPath,
        mod_seq: ModSeq,
    },
    Floors(FloorsFact),
    /// The folder was removed; its number and its UIDVALIDITY are never used again.
    FolderGone {
        folder: FolderId,
        mod_seq: ModSeq,
    },
    /// Compaction destroyed the message of this number: numbers stay dense.
    Erased {
        no: MsgNo,
    },
    Tombstone(TombstoneFact),
    Part(PartFact),
    Head(HeadFact),
    /// All that the packs named in the header's `replaces` had to say up to this batch stands in this set of packs.
    Compacted {
        batch: u64,
    },
    /// What people are told of a folder; an empty text takes it away. Among stores the highest mod-sequence wins.
    Comment {
        folder: FolderId,
        text: String,
        mod_seq: ModSeq,
    },
}

/// What may not be given again in a folder: another store took it. Nothing but numbers changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FloorsFact {
    pub(crate) folder: FolderId,
    /// UIDNEXT is at least this.
    pub(crate) uid: Uid,
    /// The folder changed at this mod-sequence.
    pub(crate) mod_seq: ModSeq,
    /// The archive's next archive-wide UID is at least this.
    pub(crate) archive_uid: Uid,
}

/// What compaction leaves of a placement, move or deletion whose message is erased: numbers that are never given again, and
/// the leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TombstoneFact {
    /// The tag of the fact that stood here.
    pub(crate) kind: u8,
    /// The folder it was in, or came to.
    pub(crate) folder: FolderId,
    pub(crate) uid: Uid,
    pub(crate) archive_uid: Uid,
    pub(crate) mod_seq: ModSeq,
    pub(crate) evidence: Evidence,
}

/// A MIME part kept once: where the chunk with this content lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PartFact {
    /// SHA-256 of the chunk's bytes.
    pub(crate) hash: [u8; 32],
    pub(crate) chunk: ChunkAddr,
    pub(crate) len: u64,
}

/// A signed head of a store's Merkle log (RFC 9162 §4.10): of this store, or of the one that was current before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeadFact {
    pub(crate) store: StoreId,
    /// Leaves.
    pub(crate) size: u64,
    /// Milliseconds since 1970.
    pub(crate) time: u64,
    pub(crate) root: [u8; 32],
    /// The signer's public key (Ed25519).
    pub(crate) key: [u8; 32],
    pub(crate) signature: [u8; 64],
}

/// A message's content: what it is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MessageFact {
    pub(crate) no: MsgNo,
    pub(crate) hash: ContentHash,
    pub(crate) size: u64,
    /// Bytes of the message's own header, blank line included; a piece ends there.
    pub(crate) header_len: u64,
    pub(crate) pieces: Vec<Piece>,
}

/// A run of a message's canonical bytes and how they come out of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece {
    /// The chunk's bytes as they stand.
    Raw { chunk: ChunkAddr, len: u64 },
    /// The chunk's `decoded` bytes in base64 (RFC 2045 §6.8), padded, a CRLF after each `line` characters but not
    /// at the end; `line` is a multiple of four.
    Base64 { chunk: ChunkAddr, decoded: u64, line: u32 },
}

impl Piece {
    /// The chunk that it comes from.
    pub(crate) fn chunk(&self) -> ChunkAddr {
        match self {
            Piece::Raw { chunk, .. } | Piece::Base64 { chunk, .. } => *chunk,
        }
    }

    /// The chunk that it comes from, to be put elsewhere.
    pub(crate) fn chunk_mut(&mut self) -> &mut ChunkAddr {
        match self {
            Piece::Raw { chunk, .. } | Piece::Base64 { chunk, .. } => chunk,
        }
    }

    /// Bytes of the chunk.
    pub(crate) fn stored_len(&self) -> u64 {
        match *self {
            Piece::Raw { len, .. } => len,
            Piece::Base64 { decoded, .. } => decoded,
        }
    }

    /// Canonical bytes that the piece gives.
    pub(crate) fn len(&self) -> u64 {
        match *self {
            Piece::Raw { len, .. } => len,
            Piece::Base64 { decoded, line, .. } => {
                let chars = decoded.div_ceil(3).saturating_mul(4);
                chars.saturating_add(chars.saturating_sub(1) / u64::from(line.max(1)) * 2)
            }
        }
    }
}

/// A folder's beginning in this store, with the floors below which no UID and no mod-sequence is given here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FolderFact {
    pub(crate) id: FolderId,
    pub(crate) path: FolderPath,
    pub(crate) uid_validity: UidValidity,
    pub(crate) uid_floor: Uid,
    pub(crate) mod_seq_floor: ModSeq,
    /// Floor of the archive-wide UID of the folder's archive.
    pub(crate) archive_uid_floor: Uid,
}

/// A message in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PlacementFact {
    pub(crate) folder: FolderId,
    pub(crate) uid: Uid,
    pub(crate) archive_uid: Uid,
    pub(crate) msg: MsgNo,
    pub(crate) mod_seq: ModSeq,
    pub(crate) date_secs: i64,
    pub(crate) zone: i16,
    pub(crate) flags: SourceFlags,
    pub(crate) source: SourceId,
    pub(crate) occurrence: String,
    pub(crate) line_ends: Ends,
    pub(crate) prefix: Side,
    pub(crate) evidence: Evidence,
}

/// A placement's line ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ends {
    /// All CRLF.
    Crlf,
    /// All LF.
    Lf,
    /// The counts of [`crate::incoming::LineEnds`], each a varint.
    Map(Side),
}

/// Bytes beside a message: here, or in a chunk when there are many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Side {
    Here(Vec<u8>),
    Chunk { chunk: ChunkAddr, len: u64 },
}

impl Side {
    pub(crate) fn none() -> Side {
        Side::Here(Vec::new())
    }

    pub(crate) fn is_empty(&self) -> bool {
        matches!(self, Side::Here(bytes) if bytes.is_empty())
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Side::Here(bytes) => {
                put(out, (bytes.len() as u64) << 1);
                out.extend_from_slice(bytes);
            }
            Side::Chunk { chunk, len } => {
                put(out, len << 1 | 1);
                chunk.encode(out);
            }
        }
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Option<Side> {
        let head = from.varint()?;
        let len = head >> 1;
        if head & 1 == 1 {
            return Some(Side::Chunk { chunk: chunk(from)?, len });
        }
        let len = usize::try_from(len).ok()?;
        Some(Side::Here(from.take(len)?.to_vec()))
    }
}

impl Ends {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Ends::Crlf => out.push(0),
            Ends::Lf => out.push(1),
            Ends::Map(side) => {
                out.push(2);
                side.encode(out);
            }
        }
    }

    pub(crate) fn decode(from: &mut Reader<'_>) -> Option<Ends> {
        match from.u8()? {
            0 => Some(Ends::Crlf),
            1 => Some(Ends::Lf),
            2 => Some(Ends::Map(Side::decode(from)?)),
            _ => None,
        }
    }
}

/// A placement that left one folder for another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MoveFact {
    pub(crate) from: FolderId,
    pub(crate) from_uid: Uid,
    pub(crate) to: FolderId,
    pub(crate) to_uid: Uid,
    /// The same as before within an archive, a new one in another.
    pub(crate) archive_uid: Uid,
    pub(crate) mod_seq: ModSeq,
    pub(crate) evidence: Evidence,
}

/// The tombstone of a placement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeletionFact {
    pub(crate) folder: FolderId,
    pub(crate) uid: Uid,
    pub(crate) mod_seq: ModSeq,
    pub(crate) evidence: Evidence,
}

/// A fact's leaf in the store's Merkle log (RFC 9162 §2.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Evidence {
    pub(crate) leaf: u64,
    /// Destroyed, with the content, by a compaction: the hash stays and tells nothing.
    pub(crate) salt: Option<[u8; 16]>,
    pub(crate) hash: [u8; 32],
}

impl Evidence {
    /// The leaf of logical fields: SHA-256(0x00, salt, kind, fields).
    pub(crate) fn new(leaf: u64, salt: [u8; 16], kind: u8, fields: &[u8]) -> Evidence {
        let hash = Sha256::new()
            .chain_update([0])
            .chain_update(salt)
            .chain_update([kind])
            .chain_update(fields)
            .finalize()
            .into();
        Evidence { leaf, salt: Some(salt), hash }
    }

    /// Whether the hash is that of these fields; true where the salt was destroyed.
    pub(crate) fn holds(&self, kind: u8, fields: &[u8]) -> bool {
        self.salt.is_none_or(|salt| Evidence::new(self.leaf, salt, kind, fields).hash == self.hash)
    }

    fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.leaf << 1 | u64::from(self.salt.is_some()));
        out.extend_from_slice(self.salt.as_ref().map_or(&[], |s| &s[..]));
        out.extend_from_slice(&self.hash);
    }

    fn decode(from: &mut Reader<'_>) -> Option<Evidence> {
        let head = from.varint()?;
        let salt = if head & 1 == 1 { Some(from.array()?) } else { None };
        Some(Evidence { leaf: head >> 1, salt, hash: from.array()? })
    }
}

impl PlacementFact {
    /// The leaf's kind.
    pub(crate) const LEAF: u8 = PLACEMENT;

    /// The logical fields that the leaf's hash covers.
    pub(crate) fn leaf_fields(&self, hash: &ContentHash, validity: UidValidity) -> Vec<u8> {
        let mut out = hash.0.to_vec();
        for field in [self.folder.0, validity.0, self.uid.0, self.archive_uid.0] {
            put(&mut out, u64::from(field));
        }
        put(&mut out, self.mod_seq.0);
        put_signed(&mut out, self.date_secs);
        put_signed(&mut out, i64::from(self.zone));
        out.push(flag_bits(self.flags));
        out
    }
}

impl MoveFact {
    /// The leaf's kind.
    pub(crate) const LEAF: u8 = MOVE;

    /// The logical fields that the leaf's hash covers; `validity` is that of the folder it comes to.
    pub(crate) fn leaf_fields(&self, validity: UidValidity) -> Vec<u8> {
        let mut out = Vec::new();
        for field in [self.from.0, self.from_uid.0, self.to.0, validity.0, self.to_uid.0, self.archive_uid.0]
        {
            put(&mut out, u64::from(field));
        }
        put(&mut out, self.mod_seq.0);
        out
    }
}

impl DeletionFact {
    /// The leaf's kind.
    pub(crate) const LEAF: u8 = DELETION;

    /// The logical fields that the leaf's hash covers.
    pub(crate) fn leaf_fields(&self, validity: UidValidity) -> Vec<u8> {
        let mut out = Vec::new();
        for field in [self.folder.0, validity.0, self.uid.0] {
            put(&mut out, u64::from(field));
        }
        put(&mut out, self.mod_seq.0);
        out
    }
}

/// Flags as bits.
pub(crate) fn flag_bits(flags: SourceFlags) -> u8 {
    u8::from(flags.answered) | u8::from(flags.flagged) << 1 | u8::from(flags.forwarded) << 2
}

/// Flags from bits; further bits are other things.
pub(crate) fn flags_of(bits: u8) -> SourceFlags {
    SourceFlags { answered: bits & 1 != 0, flagged: bits & 2 != 0, forwarded: bits & 4 != 0 }
}

fn chunk(from: &mut Reader<'_>) -> Option<ChunkAddr> {
    ChunkAddr::decode(from)
}

fn number32(from: &mut Reader<'_>) -> Option<u32> {
    u32::try_from(from.varint()?).ok()
}

fn text<'a>(from: &mut Reader<'a>) -> Option<&'a str> {
    std::str::from_utf8(from.bytes()?).ok()
}

fn uid(from: &mut Reader<'_>) -> Option<Uid> {
    match number32(from)? {
        0 => None,
        uid => Some(Uid(uid)),
    }
}

fn zone(from: &mut Reader<'_>) -> Option<i16> {
    i16::try_from(from.signed()?).ok()
}

fn path(from: &mut Reader<'_>) -> Option<FolderPath> {
    FolderPath::new(text(from)?).ok()
}

/// Appends a message's skeleton: what the fact and the database hold alike.
pub(crate) fn put_pieces(out: &mut Vec<u8>, pieces: &[Piece]) {
    put(out, pieces.len() as u64);
    for piece in pieces {
        match piece {
            Piece::Raw { chunk, len } => {
                out.push(0);
                chunk.encode(out);
                put(out, *len);
            }
            Piece::Base64 { chunk, decoded, line } => {
                out.push(1);
                chunk.encode(out);
                put(out, *decoded);
                put(out, u64::from(*line));
            }
        }
    }
}

/// Reads a skeleton whose pieces give exactly `size` bytes.
pub(crate) fn read_pieces(from: &mut Reader<'_>, size: u64) -> Option<Vec<Piece>> {
    let count = from.varint()?;
    let mut pieces = Vec::new();
    let mut sum = 0u64;
    for _ in 0..count {
        let piece = match from.u8()? {
            0 => Piece::Raw { chunk: chunk(from)?, len: from.varint()? },
            1 => {
                let (chunk, decoded, line) = (chunk(from)?, from.varint()?, number32(from)?);
                if line == 0 || line % 4 != 0 || line > MAX_BASE64_LINE {
                    return None;
                }
                Piece::Base64 { chunk, decoded, line }
            }
            _ => return None,
        };
        sum = sum.checked_add(piece.len())?;
        pieces.push(piece);
    }
    if sum == size { Some(pieces) } else { None }
}

impl Fact {
    /// The fact's leaf, if it has one.
    pub(crate) fn evidence(&self) -> Option<&Evidence> {
        match self {
            Fact::Placement(p) => Some(&p.evidence),
            Fact::Move(m) => Some(&m.evidence),
            Fact::Deletion(d) => Some(&d.evidence),
            Fact::Tombstone(t) => Some(&t.evidence),
            Fact::Message(_) | Fact::Folder(_) | Fact::Source { .. } | Fact::Occurrence { .. } => None,
            Fact::Rename { .. } | Fact::Floors(_) | Fact::FolderGone { .. } | Fact::Erased { .. } => None,
            Fact::Part(_) | Fact::Head(_) | Fact::Compacted { .. } | Fact::Comment { .. } => None,
        }
    }

    /// Appends tag, length and fields.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut body = Vec::with_capacity(160);
        let tag = self.body(&mut body);
        out.push(tag);
        put_bytes(out, &body);
    }

    fn body(&self, out: &mut Vec<u8>) -> u8 {
        match self {
            Fact::Message(m) => {
                put(out, u64::from(m.no.0));
                out.extend_from_slice(&m.hash.0);
                put(out, m.size);
                put(out, m.header_len);
                put_pieces(out, &m.pieces);
                MESSAGE
            }
            Fact::Folder(f) => {
                put(out, u64::from(f.id.0));
                put_bytes(out, f.path.as_str().as_bytes());
                put(out, u64::from(f.uid_validity.0));
                put(out, u64::from(f.uid_floor.0));
                put(out, f.mod_seq_floor.0);
                put(out, u64::from(f.archive_uid_floor.0));
                FOLDER
            }
            Fact::Source { id, name } => {
                put(out, u64::from(id.0));
                put_bytes(out, name.as_bytes());
                SOURCE
            }
            Fact::Placement(p) => {
                for field in [p.folder.0, p.uid.0, p.archive_uid.0, p.msg.0] {
                    put(out, u64::from(field));
                }
                put(out, p.mod_seq.0);
                put_signed(out, p.date_secs);
                put_signed(out, i64::from(p.zone));
                out.push(flag_bits(p.flags));
                put(out, u64::from(p.source.0));
                put_bytes(out, p.occurrence.as_bytes());
                p.line_ends.encode(out);
                p.prefix.encode(out);
                p.evidence.encode(out);
                PLACEMENT
            }
            Fact::Occurrence { folder, uid, occurrence } => {
                put(out, u64::from(folder.0));
                put(out, u64::from(uid.0));
                put_bytes(out, occurrence.as_bytes());
                OCCURRENCE
            }
            Fact::Move(m) => {
                for field in [m.from.0, m.from_uid.0, m.to.0, m.to_uid.0, m.archive_uid.0] {
                    put(out, u64::from(field));
                }
                put(out, m.mod_seq.0);
                m.evidence.encode(out);
                MOVE
            }
            Fact::Deletion(d) => {
                put(out, u64::from(d.folder.0));
                put(out, u64::from(d.uid.0));
                put(out, d.mod_seq.0);
                d.evidence.encode(out);
                DELETION
            }
            Fact::Rename { folder, path, mod_seq } => {
                put(out, u64::from(folder.0));
                put_bytes(out, path.as_str().as_bytes());
                put(out, mod_seq.0);
                RENAME
            }
            Fact::Floors(f) => {
                for field in [f.folder.0, f.uid.0, f.archive_uid.0] {
                    put(out, u64::from(field));
                }
                put(out, f.mod_seq.0);
                FLOORS
            }
            Fact::FolderGone { folder, mod_seq } => {
                put(out, u64::from(folder.0));
                put(out, mod_seq.0);
                FOLDER_GONE
            }
            Fact::Erased { no } => {
                put(out, u64::from(no.0));
                ERASED
            }
            Fact::Tombstone(t) => {
                out.push(t.kind);
                for field in [t.folder.0, t.uid.0, t.archive_uid.0] {
                    put(out, u64::from(field));
                }
                put(out, t.mod_seq.0);
                t.evidence.encode(out);
                TOMBSTONE
            }
            Fact::Part(p) => {
                out.extend_from_slice(&p.hash);
                p.chunk.encode(out);
                put(out, p.len);
                PART
            }
            Fact::Head(h) => {
                out.extend_from_slice(&h.store.0);
                put(out, h.size);
                put(out, h.time);
                out.extend_from_slice(&h.root);
                out.extend_from_slice(&h.key);
                out.extend_from_slice(&h.signature);
                HEAD
            }
            Fact::Compacted { batch } => {
                put(out, *batch);
                COMPACTED
            }
            Fact::Comment { folder, text, mod_seq } => {
                put(out, u64::from(folder.0));
                put_bytes(out, text.as_bytes());
                put(out, mod_seq.0);
                COMMENT
            }
        }
    }

    fn decode(tag: u8, from: &mut Reader<'_>) -> Option<Fact> {
        Some(match tag {
            MESSAGE => {
                let (no, hash) = (MsgNo(number32(from)?), ContentHash(from.array()?));
                let (size, header_len) = (from.varint()?, from.varint()?);
                if header_len > size {
                    return None;
                }
                let pieces = read_pieces(from, size)?;
                Fact::Message(MessageFact { no, hash, size, header_len, pieces })
            }
            FOLDER => Fact::Folder(FolderFact {
                id: FolderId(number32(from)?),
                path: path(from)?,
                uid_validity: UidValidity(number32(from)?),
                uid_floor: uid(from)?,
                mod_seq_floor: ModSeq(from.varint()?),
                archive_uid_floor: uid(from)?,
            }),
            SOURCE => Fact::Source { id: SourceId(number32(from)?), name: text(from)?.to_owned() },
            PLACEMENT => Fact::Placement(PlacementFact {
                folder: FolderId(number32(from)?),
                uid: uid(from)?,
                archive_uid: uid(from)?,
                msg: MsgNo(number32(from)?),
                mod_seq: ModSeq(from.varint()?),
                date_secs: from.signed()?,
                zone: zone(from)?,
                flags: flags_of(from.u8()?),
                source: SourceId(number32(from)?),
                occurrence: text(from)?.to_owned(),
                line_ends: Ends::decode(from)?,
                prefix: Side::decode(from)?,
                evidence: Evidence::decode(from)?,
            }),
            OCCURRENCE => Fact::Occurrence {
                folder: FolderId(number32(from)?),
                uid: uid(from)?,
                occurrence: text(from)?.to_owned(),
            },
            MOVE => Fact::Move(MoveFact {
                from: FolderId(number32(from)?),
                from_uid: uid(from)?,
                to: FolderId(number32(from)?),
                to_uid: uid(from)?,
                archive_uid: uid(from)?,
                mod_seq: ModSeq(from.varint()?),
                evidence: Evidence::decode(from)?,
            }),
            DELETION => Fact::Deletion(DeletionFact {
                folder: FolderId(number32(from)?),
                uid: uid(from)?,
                mod_seq: ModSeq(from.varint()?),
                evidence: Evidence::decode(from)?,
            }),
            RENAME => Fact::Rename {
                folder: FolderId(number32(from)?),
                path: path(from)?,
                mod_seq: ModSeq(from.varint()?),
            },
            FLOORS => {
                let (folder, uid, archive_uid) = (FolderId(number32(from)?), uid(from)?, uid(from)?);
                Fact::Floors(FloorsFact { folder, uid, archive_uid, mod_seq: ModSeq(from.varint()?) })
            }
            FOLDER_GONE => {
                Fact::FolderGone { folder: FolderId(number32(from)?), mod_seq: ModSeq(from.varint()?) }
            }
            ERASED => Fact::Erased { no: MsgNo(number32(from)?) },
            TOMBSTONE => Fact::Tombstone(TombstoneFact {
                kind: from.u8().filter(|kind| [PLACEMENT, MOVE, DELETION].contains(kind))?,
                folder: FolderId(number32(from)?),
                uid: uid(from)?,
                archive_uid: uid(from)?,
                mod_seq: ModSeq(from.varint()?),
                evidence: Evidence::decode(from)?,
            }),
            PART => Fact::Part(PartFact { hash: from.array()?, chunk: chunk(from)?, len: from.varint()? }),
            HEAD => Fact::Head(HeadFact {
                store: StoreId(from.array()?),
                size: from.varint()?,
                time: from.varint()?,
                root: from.array()?,
                key: from.array()?,
                signature: from.array()?,
            }),
            COMPACTED => Fact::Compacted { batch: from.varint()? },
            COMMENT => Fact::Comment {
                folder: FolderId(number32(from)?),
                text: text(from).filter(|text| text.len() <= MAX_COMMENT)?.to_owned(),
                mod_seq: ModSeq(from.varint()?),
            },
            _ => return None,
        })
    }
}

/// Reads all facts of a record.
pub(crate) fn decode_all(record: &[u8]) -> Option<Vec<Fact>> {
    let mut from = Reader::new(record);
    let version = from.u8()?;
    if !(FACTS_VERSION..=FACTS_WITH_COMMENTS).contains(&version) {
        return None;
    }
    let mut facts = Vec::new();
    while !from.is_empty() {
        let tag = from.u8()?;
        if version_of(tag) > version {
            return None;
        }
        let mut body = Reader::new(from.bytes()?);
        facts.push(Fact::decode(tag, &mut body)?);
        if !body.is_empty() {
            return None;
        }
    }
    Some(facts)
}

/// The version of the layout that a fact came with.
fn version_of(tag: u8) -> u8 {
    if tag == COMMENT { FACTS_WITH_COMMENTS } else { FACTS_VERSION }
}

/// Lays facts out in records of about 256 KiB.
pub(crate) fn encode_all<'a>(facts: impl IntoIterator<Item = &'a Fact>) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    let mut record = vec![FACTS_VERSION];
    for fact in facts {
        let before = record.len();
        fact.encode(&mut record);
        let needed = record.get(before).map_or(FACTS_VERSION, |tag| version_of(*tag));
        if let Some(version) = record.first_mut() {
            *version = needed.max(*version);
        }
        if record.len() >= RECORD_BYTES {
            records.push(std::mem::replace(&mut record, vec![FACTS_VERSION]));
        }
    }
    if record.len() > 1 {
        records.push(record);
    }
    records
}

#[cfg(test)]
mod tests;
