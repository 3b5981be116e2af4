//! What is remembered of stores that were detached or disabled: which UIDs went with them, and what had gone from them before.
//!
//! Objection: the packs tell that too. They are not at hand any more, and a client that was away asks what vanished. Invariant: a
//! file counts only while its store is neither open nor missing; it is written before the store goes, and read at opening.
//! Its numbers of folders are those of this installation.

use super::registry::{Entry, replace};
use super::shadow::Shadow;
use super::{Shared, Slot};
use crate::db::vanished::{Log, NEVER_TOLD, Of, push};
use crate::pack::disk::Disk;
use crate::pack::varint::{Reader, put};
use crate::store::Store;
use crate::store::rows::StoreRows;
use crate::stores::slot::Opened;
use crate::{Error, FolderId, ModSeq, StoreId};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What the file begins with: magic and version.
const MAGIC: &[u8; 8] = b"mkleft1\n";
/// Largest file that is read.
const MAX_BYTES: u64 = 1 << 30;

/// What went with a store, and what had gone from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Left {
    /// When the store was away: the mod-sequences at which it went and came back; the last one is open or ends with
    /// [`Entry::attached`].
    away: Vec<(ModSeq, ModSeq)>,
    /// By our numbers; of an archive by one of its folders.
    pub(super) gone: Log,
}

/// Where a store's file lies: `DATA/derived/STORE-ID/left`.
fn path(data: &Path, id: StoreId) -> PathBuf {
    super::derived_dir(data, id).join("left")
}

impl Left {
    fn encode(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        put(&mut out, self.away.len() as u64);
        for (went, back) in &self.away {
            put(&mut out, went.0);
            put(&mut out, back.0);
        }
        self.gone.encode(&mut out);
        let sum = Sha256::digest(&out);
        out.extend_from_slice(&sum);
        out
    }

    fn decode(bytes: &[u8]) -> Option<Left> {
        let (body, sum) = bytes.split_last_chunk::<32>()?;
        if Sha256::digest(body).as_slice() != sum {
            return None;
        }
        let mut from = Reader::new(body.strip_prefix(MAGIC)?);
        let mut away = Vec::new();
        for _ in 0..from.varint()? {
            away.push((ModSeq(from.varint()?), ModSeq(from.varint()?)));
        }
        let left = Left { away, gone: Log::decode(&mut from)? };
        from.is_empty().then_some(left)
    }

    /// The mod-sequence at which it went last.
    pub(super) fn mod_seq(&self) -> ModSeq {
        self.away.last().map_or(ModSeq(0), |(went, _)| *went)
    }

    /// Whether nobody could see the store's messages at `since`. `back`: when it came back last, if it did.
    pub(super) fn was_away(&self, since: ModSeq, back: ModSeq) -> bool {
        let last = self.away.len().saturating_sub(1);
        let ends = |n: usize, end: ModSeq| if n == last && end == NEVER_TOLD { back } else { end };
        self.away.iter().enumerate().any(|(n, (went, end))| *went <= since && since < ends(n, *end))
    }

    /// The folders of which something went.
    pub(super) fn folders(&self) -> impl Iterator<Item = FolderId> + '_ {
        self.gone.numbers().filter(|(of, _)| *of == Of::Folder).map(|(_, folder)| folder)
    }

    /// What a store takes with it that goes at `mod_seq`.
    /// `before`: the last time.
    fn of(entry: &Entry, opened: &Opened, mod_seq: ModSeq, before: Option<&Left>) -> Result<Left, Error> {
        let mut theirs = Log::default();
        let mut archives: HashMap<FolderId, Vec<FolderId>> = HashMap::new();
        match opened {
            Opened::Off => {}
            Opened::Open(store) => {
                let all_mail = store.state.read().all_mail.clone();
                archives.extend(
                    all_mail.iter().map(|(number, all)| (*number, all.folders.iter().copied().collect())),
                );
                take(store, mod_seq, &mut theirs)?;
            }
            Opened::Absent { shadow, .. } => {
                archives.extend(
                    shadow
                        .all_mail
                        .iter()
                        .map(|(number, all)| (*number, all.folders.iter().copied().collect())),
                );
                remember(shadow, mod_seq, &mut theirs);
            }
        }
        let above = entry.above();
        let ours = |of: Of, number: FolderId| match of {
            Of::Folder => entry.ours(number),
            Of::Archive => archives.get(&number)?.iter().find_map(|folder| entry.ours(*folder)),
        };
        let mut away = before.map(|before| before.away.clone()).unwrap_or_default();
        if let Some((_, end)) = away.last_mut().filter(|(_, end)| *end == NEVER_TOLD) {
            *end = ModSeq(entry.attached);
        }
        away.push((mod_seq, NEVER_TOLD));
        Ok(Left { away, gone: theirs.renamed(&ours, above) })
    }
}

/// All that an open store's log has, and all its placements as gone.
fn take(store: &Arc<Store>, mod_seq: ModSeq, log: &mut Log) -> Result<(), Error> {
    let (folders, archive_of, numbers) = {
        let state = store.state.read();
        let folders: Vec<_> =
            state.folders.iter().map(|(id, folder)| (*id, Arc::clone(&folder.uids))).collect();
        let numbers: Vec<FolderId> = state.all_mail.keys().copied().collect();
        (folders, state.archive_of.clone(), numbers)
    };
    let known = folders.iter().map(|(id, _)| (Of::Folder, *id));
    let archives = numbers.iter().map(|number| (Of::Archive, *number));
    store.db.take_log(known.chain(archives), ModSeq(0), NEVER_TOLD, log)?;
    let mut names: HashMap<FolderId, BTreeMap<u32, ModSeq>> = HashMap::new();
    for (folder, uids) in folders {
        let names = archive_of.get(&folder).map(|number| names.entry(*number).or_default());
        let (mut runs, mut of_archive) = (Vec::new(), names);
        let mut rows = StoreRows::new(store, folder, &uids);
        while let Some(batch) = rows.next_batch_of(|placed| (placed.row, placed.archive_uid))? {
            for (row, name) in batch {
                push(&mut runs, row.uid.0, row.came);
                if let Some(names) = &mut of_archive {
                    let came = names.entry(name.0).or_insert(row.came);
                    *came = row.came.min(*came);
                }
            }
        }
        log.add(Of::Folder, folder, mod_seq, runs);
    }
    for (number, names) in names {
        let births = store.db.births(number)?;
        let mut runs = Vec::new();
        for (name, came) in names {
            push(&mut runs, name, births.get(&name).copied().unwrap_or(came).min(came));
        }
        log.add(Of::Archive, number, mod_seq, runs);
    }
    Ok(())
}

/// What is remembered of a missing store; when its messages came is not: they count as there from the beginning.
fn remember(shadow: &Shadow, mod_seq: ModSeq, log: &mut Log) {
    *log = shadow.gone.clone();
    let folders = shadow.folders.iter().map(|(id, folder)| (Of::Folder, *id, &folder.uids));
    let archives = shadow.all_mail.iter().map(|(number, all)| (Of::Archive, *number, &all.uids));
    for (of, number, uids) in folders.chain(archives) {
        let run = |(first, last)| crate::db::vanished::Run { first, last, came: ModSeq(0) };
        log.add(of, number, mod_seq, uids.spans().map(run).collect());
    }
}

/// The files of all stores that ever went.
pub(super) fn load(disk: &Arc<dyn Disk>, data: &Path) -> Result<HashMap<StoreId, Arc<Left>>, Error> {
    let derived = data.join("derived");
    let names = match disk.list(&derived) {
        Ok(names) => names,
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(Error::io(derived)(e)),
    };
    let mut found = HashMap::new();
    for name in names {
        let mut id = [0; 16];
        if hex::decode_to_slice(&name, &mut id).is_err() {
            continue;
        }
        let path = path(data, StoreId(id));
        let file = match disk.open(&path, false) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(Error::io(path)(e)),
        };
        let len = file.len().map_err(Error::io(&path))?.min(MAX_BYTES);
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        let got = file.read_at(0, &mut bytes).map_err(Error::io(&path))?;
        bytes.truncate(got);
        match Left::decode(&bytes) {
            Some(left) => drop(found.insert(StoreId(id), Arc::new(left))),
            None => {
                tracing::warn!(path = %path.display(), "what went with a store is damaged and left out");
            }
        }
    }
    Ok(found)
}

impl Shared {
    /// Writes down what goes with a store that goes next, under the writer's turn; durable on return.
    pub(super) fn note_leaving(&self, slot: &Slot) -> Result<(), Error> {
        let entry = slot.entry();
        let Some(id) = entry.store_id().filter(|_| !slot.is_off()) else { return Ok(()) };
        // A number of its own: whoever saw the one before saw the messages.
        let mod_seq = ModSeq(self.view.read().numbers.mod_seq.saturating_add(1));
        let before = self.left.read().get(&id).cloned();
        let left = Left::of(&entry, &slot.opened.read(), mod_seq, before.as_deref())?;
        super::shadow::make_dir(&self.disk, &self.data, id)?;
        replace(&self.disk, &path(&self.data, id), &left.encode())?;
        self.left.write().insert(id, Arc::new(left));
        Ok(())
    }

    /// Whether nobody could see an open store's messages at `since`.
    pub(super) fn was_away(&self, entry: &Entry, since: ModSeq) -> bool {
        let left = entry.store_id().and_then(|id| self.left.read().get(&id).cloned());
        left.is_some_and(|left| left.was_away(since, ModSeq(entry.attached)))
    }

    /// What went with stores that are not there now.
    pub(super) fn lefts(&self) -> Vec<Arc<Left>> {
        let there: BTreeSet<StoreId> = self
            .all_slots()
            .iter()
            .filter(|slot| !slot.is_off())
            .filter_map(|slot| slot.entry().store_id())
            .collect();
        let left = self.left.read();
        left.iter().filter(|(id, _)| !there.contains(id)).map(|(_, left)| Arc::clone(left)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::vanished::Run;

    #[test]
    fn what_went_comes_back_or_counts_as_nothing() {
        let mut gone = Log::default();
        gone.add(Of::Folder, FolderId(3), ModSeq(9), vec![Run { first: 2, last: 7, came: ModSeq(1) }]);
        gone.add(Of::Archive, FolderId(3), ModSeq(9), vec![Run { first: 2, last: 7, came: ModSeq(1) }]);
        let left = Left { away: vec![(ModSeq(3), ModSeq(5)), (ModSeq(9), NEVER_TOLD)], gone };
        assert_eq!(left.mod_seq(), ModSeq(9));
        for (since, back, away) in [
            (2, 0, false),
            (3, 0, true),
            (4, 0, true),
            (5, 0, false),
            (9, 9, false),
            (9, 11, true),
            (10, 11, true),
            (11, 11, false),
        ] {
            assert_eq!(left.was_away(ModSeq(since), ModSeq(back)), away, "{since} {back}");
        }
        let bytes = left.encode();
        assert_eq!(left.folders().collect::<Vec<_>>(), [FolderId(3)]);
        assert_eq!(Left::decode(&bytes), Some(left));
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(Left::decode(&damaged).is_none());
            assert!(Left::decode(&bytes[..at]).is_none());
        }
    }
}
