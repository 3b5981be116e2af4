//! The database against itself: folders and rows, placements both ways, line ends, sources, parts, sums.

use super::records::Seen;
use super::{Event, Job};
use crate::db;
use crate::pack::varint::Reader;
use crate::pack::{ChunkAddr, Packs};
use crate::store::facts::{Ends, Side};
use crate::store::log::Log;
use crate::store::rows::StoreRows;
use crate::store::state::Folder;
use crate::{Error, FolderId, MsgNo, SourceId, Uid};
use redb::ReadableTable;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

/// Bytes of a chunk that are read at once.
const PIECE_BYTES: u64 = 256 << 10;
/// Rows of a table that are looked at in one transaction.
const ROWS_AT_ONCE: usize = 2_000;

impl Job<'_> {
    /// All tables; `seen`: what the packs place, if all of them were read.
    pub(crate) fn tables(&self, seen: Option<&super::Position>) -> Result<(), Error> {
        let seen = seen.map(super::Position::seen);
        self.folders(seen.as_ref())?;
        self.all_mail()?;
        self.sources()?;
        self.parts()?;
        self.log()
    }

    /// The evidence log as the packs have it, against database and commit records; in one slice of all.
    fn log(&self) -> Result<(), Error> {
        if !self.slice.has(0) {
            return Ok(());
        }
        match Log::new(self.store, self.cancel).disagreements() {
            Ok(wrong) => wrong.into_iter().try_for_each(|what| self.tell(format!("evidence: {what}"))),
            // The records' own check tells of damage to them.
            Err(Error::Corrupt { .. } | Error::Missing { .. }) => Ok(()),
            other => self.sound(other.map(drop), |what| self.tell(format!("evidence: {what}"))).map(drop),
        }
    }

    /// Compares each folder's UIDs with its rows, and rows with messages.
    fn folders(&self, seen: Option<&Seen>) -> Result<(), Error> {
        let mut folders: Vec<(FolderId, Folder)> =
            self.store.state.read().folders.iter().map(|(id, folder)| (*id, folder.clone())).collect();
        folders.sort_by_key(|(id, _)| *id);
        for (id, folder) in folders {
            if !self.slice.has(u64::from(id.0)) {
                continue;
            }
            let tell = |what| self.tell_folder(id, what);
            let mut rows = StoreRows::new(self.store, id, &folder.uids);
            let (mut count, mut bytes) = (0, 0u64);
            while let Some(batch) = self.sound(rows.next_batch(), tell)?.flatten() {
                self.cancel.check()?;
                self.say(Event::Placements(batch.len() as u64))?;
                for row in batch {
                    count += 1;
                    bytes = bytes.saturating_add(row.size);
                    let tell = |what| self.tell_at(id, row.uid, what);
                    let known = self.store.db.places_of(row.msg)?.contains(&(id, row.uid));
                    let entry = self.sound(self.store.db.message(row.msg), tell)?;
                    if !known || entry.is_some_and(|entry| entry.size != row.size) {
                        self.tell_at(id, row.uid, "the placement doesn't agree with its message")?;
                    }
                    // One that was archived since the packs were read is not missing from them.
                    let old = row.mod_seq.0 <= self.counters.mod_seq;
                    let unseen = |seen: &Seen| !seen.get(&id).is_some_and(|uids| uids.contains(row.uid.0));
                    if old && seen.is_some_and(unseen) {
                        let what = "no pack says any more that the message is here: a rebuild would lose it";
                        self.tell_at(id, row.uid, what)?;
                    }
                }
            }
            if (count, bytes) != (folder.uids.len(), folder.info.bytes) {
                let (uids, sum) = (folder.uids.len(), folder.info.bytes);
                self.tell_folder(
                    id,
                    format!("{count} rows of {bytes} bytes for {uids} UIDs of {sum} bytes"),
                )?;
            }
            self.extras(id, &folder)?;
        }
        Ok(())
    }

    /// Line ends and prefixes: each belongs to a placement and can be read.
    fn extras(&self, id: FolderId, folder: &Folder) -> Result<(), Error> {
        let mut from = 0u32;
        loop {
            let mut found: Vec<(Uid, Option<(Ends, Side)>)> = Vec::new();
            {
                let db = &self.store.db;
                let txn = db.read()?;
                let table = txn.open_table(db::EXTRAS).map_err(|e| db.err(e))?;
                let range = table.range((id.0, from)..=(id.0, u32::MAX)).map_err(|e| db.err(e))?;
                for entry in range.take(ROWS_AT_ONCE) {
                    let (key, value) = entry.map_err(|e| db.err(e))?;
                    let mut bytes = Reader::new(value.value());
                    let both = Ends::decode(&mut bytes).zip(Side::decode(&mut bytes));
                    found.push((Uid(key.value().1), both.filter(|_| bytes.is_empty())));
                }
            }
            let Some((last, _)) = found.last() else { return Ok(()) };
            let next = last.0.checked_add(1);
            for (uid, both) in found {
                self.cancel.check()?;
                let gone = !folder.uids.contains(uid) && uid < folder.info.uid_next;
                match both {
                    None => self.tell_at(id, uid, "its line ends are damaged in the database")?,
                    Some(_) if gone => self.tell_at(id, uid, "the database has line ends of no placement")?,
                    Some((ends, prefix)) => {
                        self.side(id, uid, "the bytes in front of it", &prefix)?;
                        if let Ends::Map(map) = &ends {
                            self.side(id, uid, "its line ends", map)?;
                        }
                    }
                }
            }
            match next {
                Some(next) if next > from => from = next,
                Some(_) => return self.disorder("line ends"),
                None => return Ok(()),
            }
        }
    }

    /// Rows that don't rise: going on would be going round.
    fn disorder(&self, table: &str) -> Result<(), Error> {
        self.tell(format!("the rows of {table} in the database are out of order"))
    }

    /// Bytes beside a message, where they stand in a chunk.
    fn side(&self, folder: FolderId, uid: Uid, name: &str, side: &Side) -> Result<(), Error> {
        let Side::Chunk { chunk, len } = side else { return Ok(()) };
        let tell = |what| self.tell_at(folder, uid, format!("{name} can't be read: {what}"));
        match self.sound(whole(&self.packs, *chunk, *len), tell)? {
            Some((_, true)) | None => Ok(()),
            Some((_, false)) => self.tell_at(folder, uid, format!("{name} have another length")),
        }
    }

    /// Sources and their names, both ways; places and their sources.
    fn sources(&self) -> Result<(), Error> {
        let db = &self.store.db;
        let mut ids = BTreeSet::new();
        {
            let txn = db.read()?;
            let names = txn.open_table(db::SOURCES).map_err(|e| db.err(e))?;
            let back = txn.open_table(db::SOURCE_IDS).map_err(|e| db.err(e))?;
            for entry in names.iter().map_err(|e| db.err(e))? {
                let (id, name) = entry.map_err(|e| db.err(e))?;
                ids.insert(id.value());
                let found = back.get(name.value()).map_err(|e| db.err(e))?.map(|id| id.value());
                if found != Some(id.value()) {
                    self.tell(format!("the database doesn't find source number {} by its name", id.value()))?;
                }
            }
        }
        let mut from = (0u32, 0u32, 0u32);
        loop {
            let mut found = Vec::new();
            {
                let txn = db.read()?;
                let table = txn.open_table(db::PLACES).map_err(|e| db.err(e))?;
                for entry in table.range(from..).map_err(|e| db.err(e))?.take(ROWS_AT_ONCE) {
                    let (key, value) = entry.map_err(|e| db.err(e))?;
                    found.push((key.value(), db::place(value.value()).map(|(source, _)| source)));
                }
            }
            self.cancel.check()?;
            let Some(&((no, folder, uid), _)) = found.last() else { return Ok(()) };
            for ((no, folder, uid), source) in found {
                if !self.slice.has(u64::from(no)) || MsgNo(no) >= MsgNo(self.counters.next_msg) {
                    continue;
                }
                if !source.is_some_and(|SourceId(id)| ids.contains(&id)) && !self.is_new(source) {
                    self.tell_at(FolderId(folder), Uid(uid), "its source is not known")?;
                }
            }
            match uid.checked_add(1).map(|uid| (no, folder, uid)) {
                Some(next) if next > from => from = next,
                Some(_) => return self.disorder("places"),
                None => return Ok(()),
            }
        }
    }

    /// A source that came after the list of them was read.
    fn is_new(&self, source: Option<SourceId>) -> bool {
        let now = self.store.state.read().counters.next_source;
        source.is_some_and(|source| (self.counters.next_source..now).contains(&source.0))
    }

    /// Every part that is kept once: its chunk has the hash that it is found by.
    fn parts(&self) -> Result<(), Error> {
        let db = &self.store.db;
        let mut after: Option<u64> = None;
        loop {
            let mut found = Vec::new();
            {
                let txn = db.read()?;
                let table = txn.open_table(db::PARTS).map_err(|e| db.err(e))?;
                let first = after.unwrap_or(0);
                for entry in table.range(first..).map_err(|e| db.err(e))?.take(ROWS_AT_ONCE) {
                    let (hash, value) = entry.map_err(|e| db.err(e))?;
                    let mut bytes = Reader::new(value.value());
                    let place = ChunkAddr::decode(&mut bytes).zip(bytes.varint());
                    found.push((hash.value(), place.filter(|_| bytes.is_empty())));
                }
            }
            found.retain(|(hash, _)| Some(*hash) != after);
            let Some((last, _)) = found.last() else { return Ok(()) };
            if after.is_some_and(|after| *last < after) {
                return self.disorder("parts");
            }
            after = Some(*last);
            for (hash, place) in found {
                self.cancel.check()?;
                if !self.slice.has(hash >> 48) {
                    continue;
                }
                self.say(Event::Part)?;
                let name = hex::encode(hash.to_be_bytes());
                let Some((chunk, len)) = place else {
                    self.tell(format!("part {name}: its row in the database is damaged"))?;
                    continue;
                };
                let tell = |what| self.tell(format!("part {name}: {what}"));
                let read = self.sound(whole(&self.packs, chunk, len), tell)?;
                if read.is_some_and(|(found, right)| db::front(&found) != hash || !right) {
                    self.tell(format!("part {name}: its chunk has other bytes"))?;
                }
            }
        }
    }
}

/// A chunk's hash, and whether it has this length.
fn whole(packs: &Packs, chunk: ChunkAddr, len: u64) -> Result<([u8; 32], bool), Error> {
    let mut hash = Sha256::new();
    let mut at = 0;
    loop {
        let piece = packs.chunk(chunk, at..at + PIECE_BYTES)?;
        if piece.is_empty() {
            break;
        }
        hash.update(&piece);
        at += piece.len() as u64;
    }
    Ok((hash.finalize().into(), at == len))
}
