//! Takes a batch's facts into the database: the one function for a live commit, for recovery, and for a rebuild.
//!
//! Invariant: the same batches in the same order give the same tables, whoever brings them. Nothing is visible before
//! the caller commits the transaction and takes the changes into its state.

mod all_mail;
mod vanished;

use super::all_mail::{AllMail, At};
use super::leaves::{self, Tree};
use super::pages::{self, PAGE_ROWS, Placed};
use super::vanished::Of;
use super::{
    ALL_MAIL, ALL_MAIL_PLACES, ARCHIVES, BATCHES, BIRTHS, CARDS, COMMENTS, Db, EXTRAS, FOLDERS, FORMER,
    GHOSTS, GONE, GONE_YEARS, HEADS, HEIRS, IDENTITIES, LEAVES, MESSAGES, META, MessageEntry, ORDERS, PARTS,
    PLACEMENTS, PLACES, SOURCE_IDS, SOURCES, THREADS, TIMES, VANISHED, folders, front, groups, orders,
};
use crate::card::Card;
use crate::evidence::Hash;
use crate::order::Keys;
use crate::pack::varint::put;
use crate::pack::{Addr, LogHead};
use crate::prepared::CardAndKeys;
use crate::store::facts::{
    DeletionFact, Ends, Fact, FloorsFact, FolderFact, HeadFact, MessageFact, MoveFact, PartFact,
    PlacementFact, TombstoneFact,
};
use crate::store::state::{Comment, Counters, Folder, State};
use crate::{
    Error, FolderId, FolderInfo, FolderPath, InternalDate, ModSeq, MsgNo, Row, SourceId, StoreNo, Uid,
    UidRanges,
};
use redb::{ReadableTable, Table, WriteTransaction};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Which batch it is and where it ends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchEnd {
    pub(crate) batch: u64,
    pub(crate) mod_seq: ModSeq,
    /// When it was written, seconds since 1970; none where damage took that.
    pub(crate) time: Option<i64>,
    /// The first byte after its commit record.
    pub(crate) end: Addr,
    /// The commit record's tag.
    pub(crate) tag: [u8; 16],
    /// Where its first record of facts lies.
    pub(crate) facts: Option<Addr>,
    /// What the commit record says of the Merkle log; none in the first version of commit records.
    pub(crate) log: Option<LogHead>,
    /// Damage took facts before it or in it: missing leaves stand as hashes of zeros, and nothing is compared with `log`.
    pub(crate) lost: bool,
}

/// What a batch changes in the state.
#[derive(Debug)]
pub(crate) struct Changes {
    pub(crate) folders: BTreeMap<FolderId, Folder>,
    pub(crate) archives: HashMap<String, Uid>,
    pub(crate) counters: Counters,
    pub(crate) tree: Tree,
    /// Paths that folders don't have any more.
    pub(crate) former: Vec<(FolderPath, FolderId)>,
    pub(crate) all_mail: BTreeMap<FolderId, AllMail>,
    /// Folders that came, and their archives.
    pub(crate) archive_of: BTreeMap<FolderId, FolderId>,
}

impl Changes {
    /// Makes the changes visible.
    pub(crate) fn publish(self, state: &mut State) {
        state.folders.extend(self.folders);
        state.archives.extend(self.archives);
        state.all_mail.extend(self.all_mail);
        state.archive_of.extend(self.archive_of);
        state.counters = self.counters;
        state.tree = self.tree;
        for (path, folder) in self.former {
            state.former.entry(path).or_default().insert(folder);
        }
    }
}

/// Writes a batch's facts through `txn`. `card_of` gives the card and the sort keys of each new message.
pub(crate) fn apply(
    db: &Db,
    txn: &WriteTransaction,
    state: &State,
    end: &BatchEnd,
    facts: &[Fact],
    card_of: &mut dyn FnMut(&MessageFact) -> Result<CardAndKeys, Error>,
) -> Result<Changes, Error> {
    let mut work = Work::open(db, txn, state)?;
    if end.batch != state.counters.batch + 1 {
        let (found, due) = (end.batch, state.counters.batch + 1);
        return Err(db.derived(format!("batch {found} follows where batch {due} is due")));
    }
    for fact in facts {
        work.new_leaves.extend(fact.evidence().map(|evidence| (evidence.leaf, evidence.hash)));
        let after_move = work.ghost_moved.take();
        match fact {
            Fact::Message(m) => work.message(m, card_of(m)?)?,
            Fact::Folder(f) => work.folder(f)?,
            Fact::Source { id, name } => work.source(*id, name)?,
            Fact::Placement(p) => work.placement(p)?,
            Fact::Occurrence { folder, uid, occurrence } => work.occurrence(*folder, *uid, occurrence)?,
            Fact::Move(m) => work.moved(m)?,
            Fact::Deletion(d) => work.deletion(d)?,
            Fact::Rename { folder, path, mod_seq } => work.rename(*folder, path, *mod_seq)?,
            Fact::Floors(f) => {
                if after_move == Some(f.mod_seq) {
                    work.ghost_goes(f.folder, f.uid, f.mod_seq)?;
                }
                work.floors(f)?;
            }
            Fact::FolderGone { folder, mod_seq } => work.folder_gone(*folder, *mod_seq)?,
            Fact::Erased { no } => work.erased(*no)?,
            Fact::Tombstone(t) => work.tombstone(t)?,
            Fact::Part(p) => work.part(p)?,
            Fact::Head(h) => work.head(end.batch, h)?,
            // Which packs count is decided when they are opened.
            Fact::Compacted { .. } => {}
            Fact::Comment { folder, text, mod_seq } => work.comment(*folder, text, *mod_seq)?,
        }
    }
    work.finish(end)
}

struct Work<'a> {
    db: &'a Db,
    state: &'a State,
    changes: Changes,
    meta: Table<'a, &'static str, u64>,
    messages: Table<'a, u32, &'static [u8]>,
    identities: Table<'a, (u64, u32), ()>,
    cards: Table<'a, u32, &'static [u8]>,
    orders: Table<'a, (u8, u32), &'static [u8]>,
    placements: Table<'a, (u32, u32), &'static [u8]>,
    extras: Table<'a, (u32, u32), &'static [u8]>,
    places: Table<'a, (u32, u32, u32), &'static [u8]>,
    folders: Table<'a, u32, &'static [u8]>,
    archives: Table<'a, &'static str, u32>,
    sources: Table<'a, u32, &'static str>,
    source_ids: Table<'a, &'static str, u32>,
    parts: Table<'a, u64, &'static [u8]>,
    heads: Table<'a, u64, &'static [u8]>,
    leaves: Table<'a, u64, &'static [u8]>,
    batches: Table<'a, u64, &'static [u8]>,
    gone: Table<'a, (u32, u32, u32), u32>,
    former: Table<'a, (&'static str, u32), ()>,
    comments: Table<'a, u32, &'static [u8]>,
    all_mail: Table<'a, u32, &'static [u8]>,
    all_mail_places: Table<'a, (u32, u32), &'static [u8]>,
    vanished: Table<'a, (u8, u32, u64, u32), &'static [u8]>,
    ghosts: Table<'a, (u8, u32, u32), (u32, u64)>,
    gone_years: Table<'a, (u32, u32), u16>,
    births: Table<'a, (u32, u32), u64>,
    heirs: Table<'a, (u32, u64, u32), ()>,
    times: Table<'a, u64, i64>,
    threads: Table<'a, (u64, u32), ()>,
    /// What went: by kind, number and mod-sequence the UIDs, with the mod-sequences at which they came.
    went: vanished::Went,
    /// The fact before was a move's tombstone of this mod-sequence.
    ghost_moved: Option<ModSeq>,
    /// Archive-wide UIDs whose placement changes, by archive; none: the message is gone.
    renamed: BTreeMap<FolderId, BTreeMap<u32, Option<At>>>,
    /// UIDs that were taken out of folders: their ranges are made once, at the end.
    removed: BTreeMap<FolderId, Vec<(u32, u32)>>,
    /// Placements that are not in a page yet, rising.
    pending: BTreeMap<FolderId, Vec<Placed>>,
    /// Size and sent day of messages that placements named.
    sizes: HashMap<MsgNo, (u64, Option<i32>)>,
    new_cards: Vec<Card>,
    new_keys: Vec<Keys>,
    /// Numbers and hashes of the leaves that the batch brings.
    new_leaves: Vec<(u64, Hash)>,
}

impl<'a> Work<'a> {
    fn open(db: &'a Db, txn: &'a WriteTransaction, state: &'a State) -> Result<Work<'a>, Error> {
        let e = |e| db.err(e);
        Ok(Work {
            db,
            state,
            changes: Changes {
                folders: BTreeMap::new(),
                archives: HashMap::new(),
                counters: state.counters,
                tree: state.tree.clone(),
                former: Vec::new(),
                all_mail: BTreeMap::new(),
                archive_of: BTreeMap::new(),
            },
            meta: txn.open_table(META).map_err(e)?,
            messages: txn.open_table(MESSAGES).map_err(e)?,
            identities: txn.open_table(IDENTITIES).map_err(e)?,
            cards: txn.open_table(CARDS).map_err(e)?,
            orders: txn.open_table(ORDERS).map_err(e)?,
            placements: txn.open_table(PLACEMENTS).map_err(e)?,
            extras: txn.open_table(EXTRAS).map_err(e)?,
            places: txn.open_table(PLACES).map_err(e)?,
            folders: txn.open_table(FOLDERS).map_err(e)?,
            archives: txn.open_table(ARCHIVES).map_err(e)?,
            sources: txn.open_table(SOURCES).map_err(e)?,
            source_ids: txn.open_table(SOURCE_IDS).map_err(e)?,
            parts: txn.open_table(PARTS).map_err(e)?,
            heads: txn.open_table(HEADS).map_err(e)?,
            leaves: txn.open_table(LEAVES).map_err(e)?,
            batches: txn.open_table(BATCHES).map_err(e)?,
            gone: txn.open_table(GONE).map_err(e)?,
            former: txn.open_table(FORMER).map_err(e)?,
            comments: txn.open_table(COMMENTS).map_err(e)?,
            all_mail: txn.open_table(ALL_MAIL).map_err(e)?,
            all_mail_places: txn.open_table(ALL_MAIL_PLACES).map_err(e)?,
            vanished: txn.open_table(VANISHED).map_err(e)?,
            ghosts: txn.open_table(GHOSTS).map_err(e)?,
            gone_years: txn.open_table(GONE_YEARS).map_err(e)?,
            births: txn.open_table(BIRTHS).map_err(e)?,
            heirs: txn.open_table(HEIRS).map_err(e)?,
            times: txn.open_table(TIMES).map_err(e)?,
            threads: txn.open_table(THREADS).map_err(e)?,
            went: vanished::Went::new(),
            ghost_moved: None,
            renamed: BTreeMap::new(),
            removed: BTreeMap::new(),
            pending: BTreeMap::new(),
            sizes: HashMap::new(),
            new_cards: Vec::new(),
            new_keys: Vec::new(),
            new_leaves: Vec::new(),
        })
    }

    fn err(&self, e: redb::StorageError) -> Error {
        self.db.err(e)
    }

    fn wrong(&self, what: &str) -> Error {
        self.db.derived(format!("a fact of the packs does not fit it: {what}"))
    }

    fn view(&mut self, id: FolderId) -> Result<&mut Folder, Error> {
        if !self.changes.folders.contains_key(&id) {
            let view = self.state.folders.get(&id).cloned();
            let view = view.ok_or_else(|| self.wrong(&format!("folder {} is not known", id.0)))?;
            self.changes.folders.insert(id, view);
        }
        self.changes.folders.get_mut(&id).ok_or_else(|| self.db.derived("a folder vanished"))
    }

    fn message(&mut self, m: &MessageFact, (card, keys): CardAndKeys) -> Result<(), Error> {
        if m.no.0 != self.changes.counters.next_msg {
            return Err(self.wrong("message numbers have a gap"));
        }
        let sent_day = sent_day(&card);
        let entry = MessageEntry::new(m, sent_day).encode();
        self.messages.insert(m.no.0, &entry[..]).map_err(|e| self.db.err(e))?;
        self.identities.insert((front(&m.hash.0), m.no.0), ()).map_err(|e| self.db.err(e))?;
        if let Some(root) = keys.root() {
            self.threads.insert((root, m.no.0), ()).map_err(|e| self.db.err(e))?;
        }
        self.sizes.insert(m.no, (m.size, sent_day));
        self.new_cards.push(card);
        self.new_keys.push(keys);
        let counters = &mut self.changes.counters;
        counters.next_msg = next_number(m.no)?;
        counters.message_bytes = counters.message_bytes.saturating_add(m.size);
        Ok(())
    }

    fn folder(&mut self, f: &FolderFact) -> Result<(), Error> {
        let known = self.state.folders.contains_key(&f.id) || self.changes.folders.contains_key(&f.id);
        if known {
            return Err(self.wrong("a folder's number is given twice"));
        }
        let info = FolderInfo {
            id: f.id,
            path: f.path.clone(),
            uid_validity: f.uid_validity,
            uid_next: f.uid_floor,
            messages: 0,
            bytes: 0,
            highest_mod_seq: f.mod_seq_floor,
        };
        let uids = Arc::new(UidRanges::new());
        self.changes
            .folders
            .insert(f.id, Folder { info, uids, path_since: f.mod_seq_floor, gone: false, comment: None });
        let counters = &mut self.changes.counters;
        counters.next_folder = counters.next_folder.max(f.id.0.saturating_add(1));
        counters.uid_validity = counters.uid_validity.max(f.uid_validity.0);
        self.join(f.id, f.path.archive());
        self.raise_archive(f.path.archive(), f.archive_uid_floor)
    }

    fn rename(&mut self, folder: FolderId, path: &FolderPath, mod_seq: ModSeq) -> Result<(), Error> {
        let view = self.view(folder)?;
        let from = std::mem::replace(&mut view.info.path, path.clone());
        view.info.highest_mod_seq = view.info.highest_mod_seq.max(mod_seq);
        view.path_since = view.path_since.max(mod_seq);
        self.had(from.clone(), folder)?;
        self.all_mail_is_of(folder, path.archive());
        // A renamed archive goes on where it was.
        let changed = self.changes.archives.get(from.archive());
        let next = changed.or_else(|| self.state.archives.get(from.archive())).copied();
        self.raise_archive(path.archive(), next.unwrap_or(Uid(1)))
    }

    fn floors(&mut self, f: &FloorsFact) -> Result<(), Error> {
        let info = &mut self.view(f.folder)?.info;
        info.uid_next = info.uid_next.max(f.uid);
        info.highest_mod_seq = info.highest_mod_seq.max(f.mod_seq);
        let archive = info.path.archive().to_owned();
        self.all_mail_changed(f.folder, f.mod_seq);
        self.raise_archive(&archive, f.archive_uid)
    }

    fn folder_gone(&mut self, folder: FolderId, mod_seq: ModSeq) -> Result<(), Error> {
        let view = self.view(folder)?;
        view.gone = true;
        view.path_since = view.path_since.max(mod_seq);
        view.info.highest_mod_seq = view.info.highest_mod_seq.max(mod_seq);
        let path = view.info.path.clone();
        self.had(path, folder)
    }

    fn comment(&mut self, folder: FolderId, text: &str, mod_seq: ModSeq) -> Result<(), Error> {
        let said = &mut self.view(folder)?.comment;
        if said.as_ref().is_some_and(|said| said.since > mod_seq) {
            return Ok(());
        }
        *said = Some(Comment { text: text.into(), since: mod_seq });
        let mut value = Vec::with_capacity(text.len() + 10);
        put(&mut value, mod_seq.0);
        value.extend_from_slice(text.as_bytes());
        self.comments.insert(folder.0, &value[..]).map_err(|e| self.db.err(e))?;
        Ok(())
    }

    /// Remembers a path that the folder doesn't have any more: what a source brought there is not brought again.
    fn had(&mut self, path: FolderPath, folder: FolderId) -> Result<(), Error> {
        self.former.insert((path.as_str(), folder.0), ()).map_err(|e| self.db.err(e))?;
        self.changes.former.push((path, folder));
        Ok(())
    }

    /// A number without a message; its card is one that nothing shows.
    fn erased(&mut self, no: MsgNo) -> Result<(), Error> {
        if no.0 != self.changes.counters.next_msg {
            return Err(self.wrong("message numbers have a gap"));
        }
        // An empty row tells it from one that is lost.
        self.messages.insert(no.0, &[][..]).map_err(|e| self.db.err(e))?;
        self.new_cards.push(Card::raw(0));
        self.new_keys.push(Keys::default());
        self.changes.counters.next_msg = next_number(no)?;
        Ok(())
    }

    fn tombstone(&mut self, t: &TombstoneFact) -> Result<(), Error> {
        let above = |uid: Uid| Uid(uid.0.saturating_add(1));
        let info = &mut self.view(t.folder)?.info;
        if t.kind != DeletionFact::LEAF {
            info.uid_next = info.uid_next.max(above(t.uid));
        }
        info.highest_mod_seq = info.highest_mod_seq.max(t.mod_seq);
        let archive = info.path.archive().to_owned();
        self.all_mail_changed(t.folder, t.mod_seq);
        if t.kind == DeletionFact::LEAF {
            return self.ghost_deleted(t);
        }
        self.raise_archive(&archive, above(t.archive_uid))?;
        self.ghost_moved = (t.kind == MoveFact::LEAF).then_some(t.mod_seq);
        self.ghost_comes(t)
    }

    fn part(&mut self, p: &PartFact) -> Result<(), Error> {
        let mut value = Vec::with_capacity(16);
        p.chunk.encode(&mut value);
        put(&mut value, p.len);
        self.parts.insert(front(&p.hash), &value[..]).map_err(|e| self.db.err(e))?;
        Ok(())
    }

    fn head(&mut self, batch: u64, h: &HeadFact) -> Result<(), Error> {
        let mut value = Vec::new();
        Fact::Head(h.clone()).encode(&mut value);
        self.heads.insert(batch, &value[..]).map_err(|e| self.db.err(e))?;
        Ok(())
    }

    /// Raises an archive's next archive-wide UID.
    fn raise_archive(&mut self, archive: &str, floor: Uid) -> Result<(), Error> {
        let changed = self.changes.archives.get(archive);
        let now = changed.or_else(|| self.state.archives.get(archive)).copied().unwrap_or(Uid(1));
        if floor > now || changed.is_none() {
            self.changes.archives.insert(archive.to_owned(), floor.max(now));
        }
        Ok(())
    }

    fn source(&mut self, id: SourceId, name: &str) -> Result<(), Error> {
        self.sources.insert(id.0, name).map_err(|e| self.db.err(e))?;
        self.source_ids.insert(name, id.0).map_err(|e| self.db.err(e))?;
        let counters = &mut self.changes.counters;
        counters.next_source = counters.next_source.max(id.0.saturating_add(1));
        Ok(())
    }

    /// Adds a row to a folder: its UID is above all that the folder ever had.
    fn push(&mut self, folder: FolderId, placed: Placed) -> Result<(), Error> {
        let row = &placed.row;
        let view = self.view(folder)?;
        let next = row.uid.0.checked_add(1);
        let (Some(next), true) = (next, row.uid >= view.info.uid_next) else {
            return Err(self.wrong("a UID is given twice"));
        };
        Arc::make_mut(&mut view.uids).push(row.uid);
        let info = &mut view.info;
        info.uid_next = Uid(next);
        info.messages += 1;
        info.bytes = info.bytes.saturating_add(row.size);
        info.highest_mod_seq = info.highest_mod_seq.max(row.mod_seq);
        let archive = info.path.archive().to_owned();
        self.raise_archive(&archive, Uid(placed.archive_uid.0.saturating_add(1)))?;
        self.pending.entry(folder).or_default().push(placed);
        let counters = &mut self.changes.counters;
        counters.placements += 1;
        Ok(())
    }

    fn placement(&mut self, p: &PlacementFact) -> Result<(), Error> {
        let (size, sent_day) = self.size_of(p.msg)?;
        let plain_ends = matches!(p.line_ends, Ends::Crlf | Ends::Lf);
        let mut placed = Placed {
            row: Row {
                uid: p.uid,
                store: StoreNo(0),
                msg: p.msg,
                date: InternalDate { secs: p.date_secs, zone: p.zone },
                sent_day,
                size,
                flags: p.flags,
                mod_seq: p.mod_seq,
                came: p.mod_seq,
            },
            archive_uid: p.archive_uid,
            leaf: p.evidence.leaf,
            lf: p.line_ends == Ends::Lf,
            extra: !plain_ends || !p.prefix.is_empty(),
        };
        self.come(p.folder, &mut placed)?;
        self.push(p.folder, placed)?;
        self.raise_archive_above(p.folder, p.archive_uid)?;
        if placed.extra {
            let mut value = Vec::new();
            p.line_ends.encode(&mut value);
            p.prefix.encode(&mut value);
            self.extras.insert((p.folder.0, p.uid.0), &value[..]).map_err(|e| self.db.err(e))?;
        }
        self.put_place(p.msg, p.folder, p.uid, p.source, &p.occurrence)
    }

    fn put_place(
        &mut self,
        msg: MsgNo,
        folder: FolderId,
        uid: Uid,
        source: SourceId,
        occurrence: &str,
    ) -> Result<(), Error> {
        let mut value = Vec::with_capacity(occurrence.len() + 4);
        put(&mut value, u64::from(source.0));
        value.extend_from_slice(occurrence.as_bytes());
        self.places.insert((msg.0, folder.0, uid.0), &value[..]).map_err(|e| self.db.err(e))?;
        Ok(())
    }

    fn size_of(&mut self, msg: MsgNo) -> Result<(u64, Option<i32>), Error> {
        if let Some(known) = self.sizes.get(&msg) {
            return Ok(*known);
        }
        let entry = self.messages.get(msg.0).map_err(|e| self.err(e))?;
        let entry = entry.ok_or_else(|| self.wrong(&format!("message {} is not known", msg.0)))?;
        let entry =
            MessageEntry::decode(entry.value()).ok_or_else(|| self.wrong("a message's row is damaged"))?;
        self.sizes.insert(msg, (entry.size, entry.sent_day));
        Ok((entry.size, entry.sent_day))
    }

    fn occurrence(&mut self, folder: FolderId, uid: Uid, occurrence: &str) -> Result<(), Error> {
        let Some(placed) = self.find(folder, uid)? else { return Ok(()) };
        let msg = placed.row.msg;
        let source = self.place(msg, folder, uid)?.0;
        self.put_place(msg, folder, uid, source, occurrence)
    }

    fn place(&self, msg: MsgNo, folder: FolderId, uid: Uid) -> Result<(SourceId, String), Error> {
        let value = self.places.get((msg.0, folder.0, uid.0)).map_err(|e| self.err(e))?;
        let value = value.ok_or_else(|| self.wrong("a placement's source is not known"))?;
        super::read::place(value.value()).ok_or_else(|| self.wrong("a placement's source is damaged"))
    }

    /// A row, in a page or still pending.
    fn find(&self, folder: FolderId, uid: Uid) -> Result<Option<Placed>, Error> {
        let same = |rows: &[Placed]| rows.iter().find(|p| p.row.uid == uid).copied();
        if let Some(found) = self.pending.get(&folder).and_then(|rows| same(rows)) {
            return Ok(Some(found));
        }
        Ok(self.page_of(folder, uid)?.and_then(|(_, rows)| same(&rows)))
    }

    /// The page that would hold `uid`, with its key.
    fn page_of(&self, folder: FolderId, uid: Uid) -> Result<Option<(u32, Vec<Placed>)>, Error> {
        let mut range = self.placements.range((folder.0, 0)..=(folder.0, uid.0)).map_err(|e| self.err(e))?;
        let Some(found) = range.next_back() else { return Ok(None) };
        let (key, value) = found.map_err(|e| self.err(e))?;
        let rows = pages::decode(value.value()).ok_or_else(|| self.wrong("a page is damaged"))?;
        Ok(Some((key.value().1, rows)))
    }

    /// Takes a row out of a folder.
    fn take(&mut self, folder: FolderId, uid: Uid, mod_seq: ModSeq) -> Result<Placed, Error> {
        self.flush(folder)?;
        let page = self.page_of(folder, uid)?;
        let (key, mut rows) = page.ok_or_else(|| self.wrong("what was taken away is not there"))?;
        let at = rows.iter().position(|p| p.row.uid == uid);
        let placed = rows.remove(at.ok_or_else(|| self.wrong("what was taken away is not there"))?);
        self.placements.remove((folder.0, key)).map_err(|e| self.db.err(e))?;
        self.put_page(folder, &rows)?;
        let view = self.view(folder)?;
        let info = &mut view.info;
        info.messages = info.messages.saturating_sub(1);
        info.bytes = info.bytes.saturating_sub(placed.row.size);
        info.highest_mod_seq = info.highest_mod_seq.max(mod_seq);
        self.removed.entry(folder).or_default().push((uid.0, uid.0));
        self.vanishes(Of::Folder, folder, uid, placed.row.mod_seq, mod_seq);
        self.year_vanishes(folder, uid, placed.row.date)?;
        let counters = &mut self.changes.counters;
        counters.placements = counters.placements.saturating_sub(1);
        Ok(placed)
    }

    fn deletion(&mut self, d: &DeletionFact) -> Result<(), Error> {
        let placed = self.take(d.folder, d.uid, d.mod_seq)?;
        self.leave(placed.row.msg, d.folder, d.uid)?;
        self.went(d.folder, &placed, d.mod_seq)?;
        self.extras.remove((d.folder.0, d.uid.0)).map_err(|e| self.db.err(e))?;
        Ok(())
    }

    /// A message leaves a folder; gives where it came from. That its source brought it there is remembered.
    fn leave(&mut self, msg: MsgNo, folder: FolderId, uid: Uid) -> Result<(SourceId, String), Error> {
        let place = self.place(msg, folder, uid)?;
        let key = (msg.0, folder.0, uid.0);
        self.places.remove(key).map_err(|e| self.db.err(e))?;
        self.gone.insert(key, place.0.0).map_err(|e| self.db.err(e))?;
        Ok(place)
    }

    /// A message is back in a folder that it had left.
    fn back(&mut self, msg: MsgNo, folder: FolderId, source: SourceId) -> Result<(), Error> {
        let range = (msg.0, folder.0, 0)..=(msg.0, folder.0, u32::MAX);
        let mut found = None;
        for entry in self.gone.range(range).map_err(|e| self.err(e))? {
            let (key, from) = entry.map_err(|e| self.err(e))?;
            if from.value() == source.0 {
                found = Some(key.value());
                break;
            }
        }
        if let Some(key) = found {
            self.gone.remove(key).map_err(|e| self.db.err(e))?;
        }
        Ok(())
    }

    fn moved(&mut self, m: &MoveFact) -> Result<(), Error> {
        let mut placed = self.take(m.from, m.from_uid, m.mod_seq)?;
        let (source, occurrence) = self.leave(placed.row.msg, m.from, m.from_uid)?;
        self.back(placed.row.msg, m.to, source)?;
        let before = placed;
        placed.row.uid = m.to_uid;
        (placed.row.mod_seq, placed.row.came) = (m.mod_seq, m.mod_seq);
        self.went_over(m, &before, &mut placed)?;
        self.push(m.to, placed)?;
        self.raise_archive_above(m.to, m.archive_uid)?;
        self.put_place(placed.row.msg, m.to, m.to_uid, source, &occurrence)?;
        if placed.extra {
            let old = self.extras.remove((m.from.0, m.from_uid.0)).map_err(|e| self.db.err(e))?;
            let value = old.map(|v| v.value().to_vec()).ok_or_else(|| self.wrong("line ends are missing"))?;
            self.extras.insert((m.to.0, m.to_uid.0), &value[..]).map_err(|e| self.db.err(e))?;
        }
        Ok(())
    }

    /// Moves pending rows of a folder into pages, filling the last one first.
    fn flush(&mut self, folder: FolderId) -> Result<(), Error> {
        let Some(mut rows) = self.pending.remove(&folder) else { return Ok(()) };
        if let Some((_, mut last)) = self.page_of(folder, Uid(u32::MAX))?.filter(|(_, l)| l.len() < PAGE_ROWS)
        {
            last.append(&mut rows);
            rows = last;
        }
        for page in rows.chunks(PAGE_ROWS) {
            self.put_page(folder, page)?;
        }
        Ok(())
    }

    fn put_page(&mut self, folder: FolderId, rows: &[Placed]) -> Result<(), Error> {
        let Some(first) = rows.first() else { return Ok(()) };
        let value = pages::encode(rows);
        self.placements.insert((folder.0, first.row.uid.0), &value[..]).map_err(|e| self.db.err(e))?;
        Ok(())
    }

    /// Writes the new cards and sort keys, into the last groups first while those are small.
    fn put_cards(&mut self) -> Result<(), Error> {
        let mut first = self.changes.counters.next_msg - self.new_cards.len() as u32;
        orders::put_all(self.db, &mut self.orders, first, &std::mem::take(&mut self.new_keys))?;
        if !self.new_cards.is_empty() {
            let last = self.cards.last().map_err(|e| self.err(e))?;
            let last = last.map(|(k, v)| (k.value(), v.value().to_vec()));
            if let Some((key, value)) = last.filter(|(_, v)| v.len() < groups::SMALL_BYTES)
                && let Some(groups::Group::Cards(mut cards)) = groups::decode(&value)
                && cards.len() < groups::GROUP_CARDS
            {
                cards.append(&mut self.new_cards);
                self.new_cards = cards;
                first = key;
            }
        }
        let groups = groups::encode(&self.new_cards).map_err(Error::io(self.db.path()))?;
        for (count, value) in groups {
            self.cards.insert(first, &value[..]).map_err(|e| self.db.err(e))?;
            first += count as u32;
        }
        Ok(())
    }

    /// Appends the batch's leaves to the log, and compares it with what the commit record says.
    fn put_leaves(&mut self, end: &BatchEnd) -> Result<(), Error> {
        let (db, first) = (self.db, self.changes.tree.size());
        let new = std::mem::take(&mut self.new_leaves);
        if !new.is_empty() {
            let facts = end.facts.ok_or_else(|| self.wrong("a batch with leaves has no facts"))?;
            leaves::put_batch(&mut self.batches, first, facts).map_err(|e| db.err(e))?;
        }
        let table = &mut self.leaves;
        let rising = self.changes.tree.extend(new, end.lost, |page, root| {
            table.insert(page, &root[..]).map(drop).map_err(|e| db.err(e))
        })?;
        rising.ok_or_else(|| self.wrong("the leaves of the evidence have a gap"))?;
        if let Some((page, row)) = self.changes.tree.open_page() {
            self.leaves.insert(page, &row[..]).map_err(|e| db.err(e))?;
        }
        if !end.lost && end.log.is_some_and(|log| log != self.changes.tree.head()) {
            return Err(self.wrong("the evidence is another than the commit record says"));
        }
        Ok(())
    }

    fn finish(mut self, end: &BatchEnd) -> Result<Changes, Error> {
        let waiting: Vec<FolderId> = self.pending.keys().copied().collect();
        for folder in waiting {
            self.flush(folder)?;
        }
        self.put_cards()?;
        for (folder, uids) in std::mem::take(&mut self.removed) {
            let view = self.view(folder)?;
            view.uids = Arc::new(view.uids.subtract(&UidRanges::from_spans(uids)));
        }
        self.put_all_mail(end.batch)?;
        self.put_vanished()?;
        if let Some(time) = end.time {
            self.times.insert(end.mod_seq.0, time).map_err(|e| self.db.err(e))?;
        }
        for (id, view) in &self.changes.folders {
            let value = folders::encode(view);
            self.folders.insert(id.0, &value[..]).map_err(|e| self.db.err(e))?;
        }
        for (archive, next) in &self.changes.archives {
            self.archives.insert(archive.as_str(), next.0).map_err(|e| self.db.err(e))?;
        }
        self.put_leaves(end)?;
        let counters = &mut self.changes.counters;
        counters.next_leaf = self.changes.tree.size();
        counters.batch = end.batch;
        counters.mod_seq = counters.mod_seq.max(end.mod_seq.0);
        counters.watermark = Some(end.end);
        counters.commit_tag = end.tag;
        for (name, value) in super::read::counter_fields(counters) {
            self.meta.insert(name, value).map_err(|e| self.db.err(e))?;
        }
        Ok(self.changes)
    }
}

/// The message number after `no`.
fn next_number(no: MsgNo) -> Result<u32, Error> {
    no.0.checked_add(1).ok_or(Error::Limit {
        what: "messages of a store",
        found: u64::from(u32::MAX) + 1,
        limit: u64::from(u32::MAX),
    })
}

/// The Date field's calendar day where it was written, days since 1970.
fn sent_day(card: &Card) -> Option<i32> {
    let sent = card.dates.sent?;
    let local = sent.secs.saturating_add(i64::from(sent.zone) * 60);
    i32::try_from(local.div_euclid(86_400)).ok()
}
