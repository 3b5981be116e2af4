//! What is remembered of a store while it can't be read: folders, UIDs, flags. A missing disk is no expunge.
//!
//! Invariant: derived; it may lag behind its store (by what was archived in the last half minute before a crash), never lead
//! it. The file ends with its own SHA-256; one that is damaged counts as none.

use super::registry::replace;
use crate::db::all_mail::AllMail;
use crate::db::folders;
use crate::db::vanished::{Log, Of};
use crate::pack::disk::Disk;
use crate::pack::varint::{Reader, put, put_bytes};
use crate::store::all_mail::AllMailRows;
use crate::store::rows::StoreRows;
use crate::store::state::{Comment, Folder};
use crate::store::{Part, SourceFlags, Store, Whole};
use crate::{Error, FolderId, ModSeq, StoreId, Uid, UidRanges};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the file begins with: magic and version.
const MAGIC: &[u8; 8] = b"mkseen4\n";
/// The version before, which knew nothing of comments; it is written while there are none.
const MAGIC_3: &[u8; 8] = b"mkseen3\n";
/// The one before that, which knew nothing of what went.
const MAGIC_2: &[u8; 8] = b"mkseen2\n";
/// The first version, which knew nothing of whole archives either.
const MAGIC_1: &[u8; 8] = b"mkseen1\n";
/// Largest file that is read.
const MAX_BYTES: u64 = 1 << 30;

/// A store's folders as they were last seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Shadow {
    /// The store's last batch then.
    pub(super) batch: u64,
    pub(super) next_folder: u32,
    pub(super) uid_validity: u32,
    pub(super) mod_seq: u64,
    pub(super) messages: u64,
    pub(super) placements: u64,
    pub(super) message_bytes: u64,
    pub(super) folders: HashMap<FolderId, Folder>,
    pub(super) flags: HashMap<FolderId, Flags>,
    pub(super) archives: HashMap<String, Uid>,
    /// Each archive as one mailbox, by the store's number of it, and the flags there.
    pub(super) all_mail: HashMap<FolderId, AllMail>,
    pub(super) all_mail_flags: HashMap<FolderId, Flags>,
    /// What went from folders and archives.
    pub(super) gone: Log,
}

/// The UIDs of a folder that carry a flag.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Flags {
    answered: UidRanges,
    flagged: UidRanges,
    forwarded: UidRanges,
}

impl Flags {
    /// The flags of a placement.
    pub(super) fn of(&self, uid: Uid) -> SourceFlags {
        SourceFlags {
            answered: self.answered.contains(uid),
            flagged: self.flagged.contains(uid),
            forwarded: self.forwarded.contains(uid),
        }
    }

    fn push(&mut self, uid: Uid, flags: SourceFlags) {
        for (set, has) in [
            (&mut self.answered, flags.answered),
            (&mut self.flagged, flags.flagged),
            (&mut self.forwarded, flags.forwarded),
        ] {
            if has {
                set.push(uid);
            }
        }
    }
}

/// Where a store's file lies: `DATA/derived/STORE-ID/seen`.
pub(super) fn path(data: &Path, id: StoreId) -> PathBuf {
    super::derived_dir(data, id).join("seen")
}

impl Shadow {
    /// The store as it is now; flags of folders that did not change since `before` are taken from there.
    /// # Errors
    /// Those of the database.
    pub(super) fn of(store: &Arc<Store>, before: &Shadow) -> Result<Shadow, Error> {
        let mut shadow = {
            let state = store.state.read();
            let c = &state.counters;
            Shadow {
                batch: c.batch,
                next_folder: c.next_folder,
                uid_validity: c.uid_validity,
                mod_seq: c.mod_seq,
                messages: u64::from(c.next_msg),
                placements: c.placements,
                message_bytes: c.message_bytes,
                folders: state.folders.clone(),
                flags: HashMap::new(),
                archives: state.archives.clone(),
                all_mail: state.all_mail.clone(),
                all_mail_flags: HashMap::new(),
                gone: before.gone.clone(),
            }
        };
        // Rows are never changed: what is new lies above what was read before.
        let folders = shadow.folders.keys().map(|id| (Of::Folder, *id));
        let archives = shadow.all_mail.keys().map(|number| (Of::Archive, *number));
        let (numbers, since) = (folders.chain(archives), ModSeq(before.mod_seq));
        store.db.take_log(numbers, since, ModSeq(shadow.mod_seq), &mut shadow.gone)?;
        for (id, folder) in &shadow.folders {
            let same = before.folders.get(id).is_some_and(|old| {
                (old.info.highest_mod_seq, &old.uids) == (folder.info.highest_mod_seq, &folder.uids)
            });
            let flags = match before.flags.get(id).filter(|_| same) {
                Some(known) => known.clone(),
                None => {
                    let mut flags = Flags::default();
                    let mut rows = StoreRows::new(store, *id, &folder.uids);
                    while let Some(batch) = rows.next_batch()? {
                        batch.iter().for_each(|row| flags.push(row.uid, row.flags));
                    }
                    flags
                }
            };
            shadow.flags.insert(*id, flags);
        }
        for (number, all) in &shadow.all_mail {
            // What was only added to is read from there on.
            let old = before.all_mail.get(number).filter(|old| old.shaken == all.shaken);
            let known = old.and_then(|old| Some((old, before.all_mail_flags.get(number)?)));
            let (mut flags, rest) = match known {
                Some((old, flags)) => (flags.clone(), all.uids.subtract(&old.uids)),
                None => (Flags::default(), (*all.uids).clone()),
            };
            let mut rows = AllMailRows::new(store, *number, &rest);
            while let Some(batch) = rows.next_batch()? {
                batch.iter().for_each(|row| flags.push(row.uid, row.flags));
            }
            shadow.all_mail_flags.insert(*number, flags);
        }
        Ok(shadow)
    }

    /// The flags that are remembered of a view's part, by its UIDs, and its highest mod-sequence.
    pub(super) fn flags_of(&self, part: &Part) -> (Flags, Option<ModSeq>) {
        match part.whole {
            Whole::Folder => (
                self.flags.get(&part.folder).cloned().unwrap_or_default(),
                self.folders.get(&part.folder).map(|folder| folder.info.highest_mod_seq),
            ),
            Whole::AllMail { above } => {
                let flags = self.all_mail_flags.get(&part.folder).cloned().unwrap_or_default();
                let flags = Flags {
                    answered: flags.answered.raised(above),
                    flagged: flags.flagged.raised(above),
                    forwarded: flags.forwarded.raised(above),
                };
                (flags, self.all_mail.get(&part.folder).map(|all| all.highest_mod_seq))
            }
        }
    }

    /// Writes the file in one step.
    /// # Errors
    /// `Io`.
    pub(super) fn save(&self, disk: &Arc<dyn Disk>, data: &Path, id: StoreId) -> Result<(), Error> {
        make_dir(disk, data, id)?;
        replace(disk, &path(data, id), &self.encode())
    }

    /// Reads the file; `None` when there is none, or it is damaged.
    /// # Errors
    /// `Io`.
    pub(super) fn load(disk: &Arc<dyn Disk>, data: &Path, id: StoreId) -> Result<Option<Shadow>, Error> {
        let path = path(data, id);
        let file = match disk.open(&path, false) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(path)(e)),
        };
        let len = file.len().map_err(Error::io(&path))?;
        if len > MAX_BYTES {
            return Ok(None);
        }
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        let got = file.read_at(0, &mut bytes).map_err(Error::io(&path))?;
        bytes.truncate(got);
        let shadow = Shadow::decode(&bytes);
        if shadow.is_none() {
            tracing::warn!(path = %path.display(), "what was remembered of a store is damaged and left out");
        }
        Ok(shadow)
    }

    fn encode(&self) -> Vec<u8> {
        let comments = self.folders.iter().filter_map(|(id, folder)| Some((id, folder.comment.as_ref()?)));
        let comments: Vec<_> = comments.collect();
        let mut out = if comments.is_empty() { MAGIC_3 } else { MAGIC }.to_vec();
        put(&mut out, self.batch);
        put(&mut out, u64::from(self.next_folder));
        put(&mut out, u64::from(self.uid_validity));
        for number in [self.mod_seq, self.messages, self.placements, self.message_bytes] {
            put(&mut out, number);
        }
        put(&mut out, self.archives.len() as u64);
        for (name, next) in &self.archives {
            put_bytes(&mut out, name.as_bytes());
            put(&mut out, u64::from(next.0));
        }
        put(&mut out, self.folders.len() as u64);
        for (id, folder) in &self.folders {
            put(&mut out, u64::from(id.0));
            put_bytes(&mut out, &folders::encode(folder));
            put_flags(&mut out, self.flags.get(id));
        }
        put(&mut out, self.all_mail.len() as u64);
        for (number, all) in &self.all_mail {
            put(&mut out, u64::from(number.0));
            put_bytes(&mut out, &all.encode());
            put_flags(&mut out, self.all_mail_flags.get(number));
        }
        self.gone.encode(&mut out);
        if !comments.is_empty() {
            put(&mut out, comments.len() as u64);
        }
        for (id, comment) in comments {
            put(&mut out, u64::from(id.0));
            put(&mut out, comment.since.0);
            put_bytes(&mut out, comment.text.as_bytes());
        }
        let sum = Sha256::digest(&out);
        out.extend_from_slice(&sum);
        out
    }

    fn decode(bytes: &[u8]) -> Option<Shadow> {
        let (body, sum) = bytes.split_last_chunk::<32>()?;
        if Sha256::digest(body).as_slice() != sum {
            return None;
        }
        let versions = [(4, MAGIC), (3, MAGIC_3), (2, MAGIC_2), (1, MAGIC_1)];
        let found = versions.iter().find_map(|(version, magic)| Some((*version, body.strip_prefix(*magic)?)));
        let (version, body) = found?;
        let mut from = Reader::new(body);
        let number32 = |from: &mut Reader<'_>| u32::try_from(from.varint()?).ok();
        let mut shadow = Shadow {
            batch: from.varint()?,
            next_folder: number32(&mut from)?,
            uid_validity: number32(&mut from)?,
            mod_seq: from.varint()?,
            messages: from.varint()?,
            placements: from.varint()?,
            message_bytes: from.varint()?,
            ..Shadow::default()
        };
        for _ in 0..from.varint()? {
            let name = std::str::from_utf8(from.bytes()?).ok()?.to_owned();
            shadow.archives.insert(name, Uid(number32(&mut from)?));
        }
        for _ in 0..from.varint()? {
            let id = FolderId(number32(&mut from)?);
            shadow.folders.insert(id, folders::decode(id, from.bytes()?)?);
            shadow.flags.insert(id, read_flags(&mut from)?);
        }
        for _ in 0..if version >= 2 { from.varint()? } else { 0 } {
            let number = FolderId(number32(&mut from)?);
            shadow.all_mail.insert(number, AllMail::decode(from.bytes()?)?);
            shadow.all_mail_flags.insert(number, read_flags(&mut from)?);
        }
        if version >= 3 {
            shadow.gone = Log::decode(&mut from)?;
        }
        for _ in 0..if version >= 4 { from.varint()? } else { 0 } {
            let folder = shadow.folders.get_mut(&FolderId(number32(&mut from)?))?;
            let since = ModSeq(from.varint()?);
            let text = std::str::from_utf8(from.bytes()?).ok()?.into();
            folder.comment = Some(Comment { text, since });
        }
        from.is_empty().then_some(shadow)
    }
}

/// Makes the directory of derived files about a store.
pub(super) fn make_dir(disk: &Arc<dyn Disk>, data: &Path, id: StoreId) -> Result<(), Error> {
    let mut dir = data.to_owned();
    for level in [PathBuf::from("derived"), hex::encode(id.0).into()] {
        let parent = dir.clone();
        dir = dir.join(level);
        match disk.create_dir(&dir) {
            Ok(()) => disk.sync_dir(&parent).map_err(Error::io(&parent))?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(Error::io(dir)(e)),
        }
    }
    Ok(())
}

fn put_flags(out: &mut Vec<u8>, flags: Option<&Flags>) {
    let flags = flags.cloned().unwrap_or_default();
    for set in [&flags.answered, &flags.flagged, &flags.forwarded] {
        put(out, set.spans().count() as u64);
        let mut last = 0;
        for (first, end) in set.spans() {
            put(out, u64::from(first - last));
            put(out, u64::from(end - first));
            last = end;
        }
    }
}

fn read_flags(from: &mut Reader<'_>) -> Option<Flags> {
    let mut set = || -> Option<UidRanges> {
        let mut spans = Vec::new();
        let mut last = 0u32;
        for _ in 0..from.varint()? {
            let first = last.checked_add(u32::try_from(from.varint()?).ok()?)?;
            last = first.checked_add(u32::try_from(from.varint()?).ok()?)?;
            spans.push((first, last));
        }
        Some(UidRanges::from_spans(spans))
    };
    Some(Flags { answered: set()?, flagged: set()?, forwarded: set()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::vanished::Run;
    use crate::{FolderInfo, FolderPath, ModSeq, UidValidity};

    fn shadow() -> Shadow {
        let uids = UidRanges::from_spans([(1, 500), (900, 901)]);
        let info = FolderInfo {
            id: FolderId(3),
            path: FolderPath::new("alice/Inbox").unwrap(),
            uid_validity: UidValidity(77),
            uid_next: Uid(902),
            messages: uids.len(),
            bytes: 12_345,
            highest_mod_seq: ModSeq(8),
        };
        let folder = Folder { info, uids: Arc::new(uids), path_since: ModSeq(2), gone: false, comment: None };
        let flags = Flags { flagged: UidRanges::from_spans([(7, 9), (901, 901)]), ..Flags::default() };
        let mut gone = Log::default();
        let run = Run { first: 501, last: 899, came: ModSeq(3) };
        gone.add(Of::Folder, FolderId(3), ModSeq(6), vec![run]);
        Shadow {
            batch: 5,
            next_folder: 4,
            uid_validity: 77,
            mod_seq: 8,
            messages: 400,
            placements: 502,
            message_bytes: 10_000,
            folders: [(FolderId(3), folder)].into(),
            flags: [(FolderId(3), flags)].into(),
            archives: [("alice".to_owned(), Uid(503))].into(),
            all_mail: [(FolderId(3), AllMail { bytes: 12_345, ..AllMail::new("alice") })].into(),
            all_mail_flags: [(FolderId(3), Flags::default())].into(),
            gone,
        }
    }

    #[test]
    fn what_is_remembered_comes_back_or_counts_as_nothing() {
        let before = shadow();
        let bytes = before.encode();
        let back = Shadow::decode(&bytes).unwrap();
        assert_eq!((&back.folders, &back.flags), (&before.folders, &before.flags));
        assert_eq!((back.archives, back.placements), (before.archives, before.placements));
        assert_eq!((back.all_mail, back.all_mail_flags), (before.all_mail, before.all_mail_flags));
        assert_eq!(back.gone, before.gone);
        assert!(bytes.starts_with(MAGIC_3), "an earlier version reads what has no comments");
        assert!(back.flags[&FolderId(3)].of(Uid(8)).flagged && !back.flags[&FolderId(3)].of(Uid(10)).flagged);
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(Shadow::decode(&damaged).is_none());
            assert!(Shadow::decode(&bytes[..at]).is_none());
        }
        let mut said = shadow();
        for folder in said.folders.values_mut() {
            folder.comment = Some(Comment { text: "bis 2019".into(), since: ModSeq(7) });
        }
        let bytes = said.encode();
        assert!(bytes.starts_with(MAGIC));
        assert_eq!(Shadow::decode(&bytes).unwrap().folders, said.folders);
    }
}
