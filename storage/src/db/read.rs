//! Reading the database: each call opens a transaction, takes what it needs, and lets go.

use super::groups::{self, Group};
use super::pages::{self, Placed};
use super::{
    ARCHIVES, CARDS, COMMENTS, Db, EXTRAS, FOLDERS, FORMER, GONE, IDENTITIES, LEAVES, MESSAGES, META,
    MessageEntry, PARTS, PLACEMENTS, PLACES, SOURCE_IDS, SOURCES, folders, front,
};
use crate::pack::varint::Reader;
use crate::pack::{Addr, ChunkAddr, PackId};
use crate::store::facts::{Ends, Side};
use crate::store::state::{Comment, Counters, State};
use crate::{ContentHash, Error, FolderId, FolderPath, ModSeq, MsgNo, Sighting, SourceId, Uid, Whereabouts};
use redb::{ReadOnlyTable, ReadableTable};
use std::collections::{HashMap, HashSet};

/// The rows of messages, for several looks.
pub(crate) struct Messages<'d> {
    db: &'d Db,
    table: ReadOnlyTable<u32, &'static [u8]>,
}

impl Messages<'_> {
    /// A message's row.
    pub(crate) fn get(&self, no: MsgNo) -> Result<MessageEntry, Error> {
        let row = self.table.get(no.0).map_err(|e| self.db.err(e))?;
        let row = row.ok_or_else(|| Error::Missing { what: format!("message number {}", no.0) })?;
        if row.value().is_empty() {
            return Err(Error::Missing { what: format!("message number {}, which was erased,", no.0) });
        }
        MessageEntry::decode(row.value())
            .ok_or_else(|| self.db.derived(format!("the row of message {} is damaged", no.0)))
    }
}

/// A placement's source and occurrence.
pub(crate) fn place(value: &[u8]) -> Option<(SourceId, String)> {
    let mut from = Reader::new(value);
    let source = SourceId(u32::try_from(from.varint()?).ok()?);
    Some((source, std::str::from_utf8(from.rest()).ok()?.to_owned()))
}

fn comment(value: &[u8]) -> Option<Comment> {
    let mut from = Reader::new(value);
    let since = ModSeq(from.varint()?);
    Some(Comment { text: std::str::from_utf8(from.rest()).ok()?.into(), since })
}

/// The counters as they stand in the table `meta`.
pub(super) fn counter_fields(c: &Counters) -> [(&'static str, u64); 13] {
    let tag = u128::from_le_bytes(c.commit_tag);
    let watermark = c.watermark.unwrap_or(Addr { pack: PackId(0), offset: 0 });
    [
        ("next_msg", u64::from(c.next_msg)),
        ("next_folder", u64::from(c.next_folder)),
        ("next_source", u64::from(c.next_source)),
        ("next_leaf", c.next_leaf),
        ("uid_validity", u64::from(c.uid_validity)),
        ("mod_seq", c.mod_seq),
        ("batch", c.batch),
        ("placements", c.placements),
        ("message_bytes", c.message_bytes),
        ("watermark_pack", u64::from(watermark.pack.0)),
        ("watermark_offset", watermark.offset),
        ("commit_tag_low", tag as u64),
        ("commit_tag_high", (tag >> 64) as u64),
    ]
}

impl Db {
    /// The state as of the last commit; an empty one's UIDVALIDITY counts from `created`.
    pub(crate) fn load(&self, created: u64) -> Result<State, Error> {
        let txn = self.read()?;
        let meta = txn.open_table(META).map_err(|e| self.err(e))?;
        let mut state = State::new(created);
        let number = |name: &str| -> Result<u64, Error> {
            let value = meta.get(name).map_err(|e| self.err(e))?;
            value.map(|v| v.value()).ok_or_else(|| self.derived(format!("{name} is missing")))
        };
        let number32 = |name: &str| -> Result<u32, Error> {
            u32::try_from(number(name)?).map_err(|_| self.derived(format!("{name} is out of bounds")))
        };
        if meta.get("batch").map_err(|e| self.err(e))?.is_none() {
            return Ok(state);
        }
        state.counters = Counters {
            next_msg: number32("next_msg")?,
            next_folder: number32("next_folder")?,
            next_source: number32("next_source")?,
            next_leaf: number("next_leaf")?,
            uid_validity: number32("uid_validity")?,
            mod_seq: number("mod_seq")?,
            batch: number("batch")?,
            watermark: Some(Addr {
                pack: PackId(number32("watermark_pack")?),
                offset: number("watermark_offset")?,
            }),
            commit_tag: (u128::from(number("commit_tag_high")?) << 64
                | u128::from(number("commit_tag_low")?))
            .to_le_bytes(),
            placements: number("placements")?,
            message_bytes: number("message_bytes")?,
        };
        let table = txn.open_table(FOLDERS).map_err(|e| self.err(e))?;
        for entry in table.iter().map_err(|e| self.err(e))? {
            let (id, value) = entry.map_err(|e| self.err(e))?;
            let id = FolderId(id.value());
            let folder = folders::decode(id, value.value());
            state.folders.insert(id, folder.ok_or_else(|| self.derived("a folder's row is damaged"))?);
        }
        state.tree = self.tree(&txn, state.counters.next_leaf)?;
        let table = txn.open_table(ARCHIVES).map_err(|e| self.err(e))?;
        for entry in table.iter().map_err(|e| self.err(e))? {
            let (name, next) = entry.map_err(|e| self.err(e))?;
            state.archives.insert(name.value().to_owned(), Uid(next.value()));
        }
        if let Some(table) = self.later(txn.open_table(FORMER))? {
            for entry in table.iter().map_err(|e| self.err(e))? {
                let key = entry.map_err(|e| self.err(e))?.0;
                let (path, folder) = key.value();
                let path = FolderPath::new(path).map_err(|_| self.derived("a former path is damaged"))?;
                state.former.entry(path).or_default().insert(FolderId(folder));
            }
        }
        if let Some(table) = self.later(txn.open_table(COMMENTS))? {
            for entry in table.iter().map_err(|e| self.err(e))? {
                let (id, value) = entry.map_err(|e| self.err(e))?;
                let (folder, comment) =
                    (state.folders.get_mut(&FolderId(id.value())), comment(value.value()));
                let (folder, comment) =
                    folder.zip(comment).ok_or_else(|| self.derived("a folder's comment is damaged"))?;
                folder.comment = Some(comment);
            }
        }
        self.load_all_mail(&txn, &mut state)?;
        Ok(state)
    }

    /// A table that came later than its layout: databases that nothing was written to since don't have it.
    fn later<T>(&self, table: Result<T, redb::TableError>) -> Result<Option<T>, Error> {
        match table {
            Ok(table) => Ok(Some(table)),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(e) => Err(self.err(e)),
        }
    }

    /// The number of the message with this identity.
    pub(crate) fn find(&self, hash: &ContentHash) -> Result<Option<MsgNo>, Error> {
        let txn = self.read()?;
        let table = txn.open_table(IDENTITIES).map_err(|e| self.err(e))?;
        let front = front(&hash.0);
        for entry in table.range((front, 0)..=(front, u32::MAX)).map_err(|e| self.err(e))? {
            let no = entry.map_err(|e| self.err(e))?.0.value().1;
            let messages = txn.open_table(MESSAGES).map_err(|e| self.err(e))?;
            let row = messages.get(no).map_err(|e| self.err(e))?;
            if row.is_some_and(|row| row.value().starts_with(&hash.0)) {
                return Ok(Some(MsgNo(no)));
            }
        }
        Ok(None)
    }

    /// The messages whose identity has this front.
    pub(crate) fn with_identity_front(&self, front: u64) -> Result<Vec<MsgNo>, Error> {
        let txn = self.read()?;
        let table = txn.open_table(IDENTITIES).map_err(|e| self.err(e))?;
        let mut found = Vec::new();
        for entry in table.range((front, 0)..=(front, u32::MAX)).map_err(|e| self.err(e))? {
            found.push(MsgNo(entry.map_err(|e| self.err(e))?.0.value().1));
        }
        Ok(found)
    }

    /// The chunk, with its length, that may be the part with this content hash: who asks compares.
    pub(crate) fn part(&self, hash: &[u8; 32]) -> Result<Option<(ChunkAddr, u64)>, Error> {
        let txn = self.read()?;
        let table = txn.open_table(PARTS).map_err(|e| self.err(e))?;
        let Some(value) = table.get(front(hash)).map_err(|e| self.err(e))? else { return Ok(None) };
        let mut from = Reader::new(value.value());
        let found = (|| Some((ChunkAddr::decode(&mut from)?, from.varint()?)))();
        found.map(Some).ok_or_else(|| self.derived("the row of a part is damaged"))
    }

    /// The id of a source.
    pub(crate) fn source_id(&self, name: &str) -> Result<Option<SourceId>, Error> {
        let txn = self.read()?;
        let table = txn.open_table(SOURCE_IDS).map_err(|e| self.err(e))?;
        let found = table.get(name).map_err(|e| self.err(e))?;
        Ok(found.map(|id| SourceId(id.value())))
    }

    /// A message's row.
    pub(crate) fn message(&self, no: MsgNo) -> Result<MessageEntry, Error> {
        self.messages()?.get(no)
    }

    /// The rows of all messages as they stand now. Holds a transaction: for a moment's work only.
    pub(crate) fn messages(&self) -> Result<Messages<'_>, Error> {
        let table = self.read()?.open_table(MESSAGES).map_err(|e| self.err(e))?;
        Ok(Messages { db: self, table })
    }

    /// Whether the message of this number was erased by a compaction.
    pub(crate) fn is_erased(&self, no: MsgNo) -> Result<bool, Error> {
        let txn = self.read()?;
        let table = txn.open_table(MESSAGES).map_err(|e| self.err(e))?;
        let row = table.get(no.0).map_err(|e| self.err(e))?;
        Ok(row.is_some_and(|row| row.value().is_empty()))
    }

    /// The group of cards that holds message `no`, with its first number.
    pub(crate) fn group(&self, no: MsgNo) -> Result<(MsgNo, Group), Error> {
        let txn = self.read()?;
        let table = txn.open_table(CARDS).map_err(|e| self.err(e))?;
        let found = table.range(..=no.0).map_err(|e| self.err(e))?.next_back();
        let missing = || Error::Missing { what: format!("the card of message number {}", no.0) };
        let (first, value) = found.ok_or_else(missing)?.map_err(|e| self.err(e))?;
        let group = groups::decode(value.value()).ok_or_else(|| {
            self.derived(format!("the cards from message {} on are damaged", first.value()))
        })?;
        Ok((MsgNo(first.value()), group))
    }

    /// The first page that may hold UIDs from `uid` on, and further ones while `more` wants them.
    pub(crate) fn pages(
        &self,
        folder: FolderId,
        uid: Uid,
        mut more: impl FnMut(Vec<Placed>) -> bool,
    ) -> Result<(), Error> {
        let txn = self.read()?;
        let table = txn.open_table(PLACEMENTS).map_err(|e| self.err(e))?;
        let before = table.range((folder.0, 0)..=(folder.0, uid.0)).map_err(|e| self.err(e))?.next_back();
        let start = match before {
            Some(found) => found.map_err(|e| self.err(e))?.0.value(),
            None => (folder.0, uid.0),
        };
        for entry in table.range(start..=(folder.0, u32::MAX)).map_err(|e| self.err(e))? {
            let (key, value) = entry.map_err(|e| self.err(e))?;
            let rows = pages::decode(value.value()).ok_or_else(|| {
                let (folder, uid) = key.value();
                self.derived(format!("the placements of folder {folder} from UID {uid} on are damaged"))
            })?;
            if !more(rows) {
                break;
            }
        }
        Ok(())
    }

    /// One placement.
    pub(crate) fn placed(&self, folder: FolderId, uid: Uid) -> Result<Option<Placed>, Error> {
        let mut found = None;
        self.pages(folder, uid, |rows| {
            found = rows.into_iter().find(|p| p.row.uid == uid);
            false
        })?;
        Ok(found)
    }

    /// A placement's line ends and prefix.
    pub(crate) fn extras(&self, folder: FolderId, placed: &Placed) -> Result<(Ends, Side), Error> {
        if !placed.extra {
            return Ok((if placed.lf { Ends::Lf } else { Ends::Crlf }, Side::none()));
        }
        let txn = self.read()?;
        let table = txn.open_table(EXTRAS).map_err(|e| self.err(e))?;
        let value = table.get((folder.0, placed.row.uid.0)).map_err(|e| self.err(e))?;
        let decoded = value.and_then(|value| {
            let mut from = Reader::new(value.value());
            let both = (Ends::decode(&mut from)?, Side::decode(&mut from)?);
            from.is_empty().then_some(both)
        });
        decoded.ok_or_else(|| self.derived("a placement's line ends are missing or damaged"))
    }

    /// Where a message was seen: its placements in `folder`, those that left it too, each kind rising by UID.
    pub(crate) fn sightings(&self, folder: FolderId, msg: MsgNo) -> Result<Vec<Sighting>, Error> {
        let txn = self.read()?;
        let places = txn.open_table(PLACES).map_err(|e| self.err(e))?;
        let sources = txn.open_table(SOURCES).map_err(|e| self.err(e))?;
        let mut names = HashMap::new();
        let damaged = || self.derived("a placement's source is damaged");
        let mut name_of = |id: SourceId| -> Result<String, Error> {
            if let std::collections::hash_map::Entry::Vacant(slot) = names.entry(id) {
                let name = sources.get(id.0).map_err(|e| self.err(e))?.ok_or_else(damaged)?;
                slot.insert(name.value().to_owned());
            }
            Ok(names.get(&id).cloned().unwrap_or_default())
        };
        // All placements of the message: what left this folder may be in another.
        let (mut found, mut elsewhere) = (Vec::new(), HashMap::<SourceId, u32>::new());
        let range = (msg.0, 0, 0)..=(msg.0, u32::MAX, u32::MAX);
        for entry in places.range(range).map_err(|e| self.err(e))? {
            let (key, value) = entry.map_err(|e| self.err(e))?;
            let (id, occurrence) = place(value.value()).ok_or_else(damaged)?;
            let (_, at, uid) = key.value();
            if at == folder.0 {
                let (source, there) = (name_of(id)?, Whereabouts::Here);
                found.push(Sighting { folder, uid: Uid(uid), source, occurrence, there });
            } else {
                *elsewhere.entry(id).or_default() += 1;
            }
        }
        let Some(gone) = self.later(txn.open_table(GONE))? else { return Ok(found) };
        let range = (msg.0, folder.0, 0)..=(msg.0, folder.0, u32::MAX);
        for entry in gone.range(range).map_err(|e| self.err(e))? {
            let (key, value) = entry.map_err(|e| self.err(e))?;
            let id = SourceId(value.value());
            // One that is elsewhere stands for one that left.
            let there = match elsewhere.get_mut(&id).filter(|left| **left > 0) {
                Some(left) => {
                    *left -= 1;
                    Whereabouts::Elsewhere
                }
                None => Whereabouts::Deleted,
            };
            let (uid, source) = (Uid(key.value().2), name_of(id)?);
            found.push(Sighting { folder, uid, source, occurrence: String::new(), there });
        }
        Ok(found)
    }

    /// Where in its source folder a placement was last seen.
    pub(crate) fn occurrence(&self, msg: MsgNo, folder: FolderId, uid: Uid) -> Result<String, Error> {
        let txn = self.read()?;
        let places = txn.open_table(PLACES).map_err(|e| self.err(e))?;
        let value = places.get((msg.0, folder.0, uid.0)).map_err(|e| self.err(e))?;
        let found = value.and_then(|value| place(value.value()));
        found.map(|(_, occurrence)| occurrence).ok_or_else(|| self.derived("a placement's source is damaged"))
    }

    /// The sources of all placements.
    pub(crate) fn used_sources(&self) -> Result<HashSet<SourceId>, Error> {
        let txn = self.read()?;
        let places = txn.open_table(PLACES).map_err(|e| self.err(e))?;
        let mut used = HashSet::new();
        for entry in places.iter().map_err(|e| self.err(e))? {
            let value = entry.map_err(|e| self.err(e))?.1;
            let found = place(value.value());
            used.insert(found.ok_or_else(|| self.derived("a placement's source is damaged"))?.0);
        }
        Ok(used)
    }

    /// The chunks of parts that are kept once.
    pub(crate) fn part_chunks(&self) -> Result<HashSet<ChunkAddr>, Error> {
        let txn = self.read()?;
        let parts = txn.open_table(PARTS).map_err(|e| self.err(e))?;
        let mut chunks = HashSet::new();
        for entry in parts.iter().map_err(|e| self.err(e))? {
            let value = entry.map_err(|e| self.err(e))?.1;
            let chunk = ChunkAddr::decode(&mut Reader::new(value.value()));
            chunks.insert(chunk.ok_or_else(|| self.derived("a part's place is damaged"))?);
        }
        Ok(chunks)
    }

    /// Whether another database has the same leaves of the evidence.
    pub(crate) fn has_same_leaves(&self, other: &Db) -> Result<bool, Error> {
        let (ours, theirs) = (self.read()?, other.read()?);
        let (ours, theirs) = (
            ours.open_table(LEAVES).map_err(|e| self.err(e))?,
            theirs.open_table(LEAVES).map_err(|e| other.err(e))?,
        );
        let mut theirs = theirs.iter().map_err(|e| other.err(e))?;
        for entry in ours.iter().map_err(|e| self.err(e))? {
            let (key, value) = entry.map_err(|e| self.err(e))?;
            let Some(entry) = theirs.next() else { return Ok(false) };
            let (other_key, other_value) = entry.map_err(|e| other.err(e))?;
            if (key.value(), value.value()) != (other_key.value(), other_value.value()) {
                return Ok(false);
            }
        }
        Ok(theirs.next().is_none())
    }

    /// The folders and UIDs where a message is placed.
    pub(crate) fn places_of(&self, msg: MsgNo) -> Result<Vec<(FolderId, Uid)>, Error> {
        let txn = self.read()?;
        let places = txn.open_table(PLACES).map_err(|e| self.err(e))?;
        let range = (msg.0, 0, 0)..=(msg.0, u32::MAX, u32::MAX);
        let mut found = Vec::new();
        for entry in places.range(range).map_err(|e| self.err(e))? {
            let (_, folder, uid) = entry.map_err(|e| self.err(e))?.0.value();
            found.push((FolderId(folder), Uid(uid)));
        }
        Ok(found)
    }
}
