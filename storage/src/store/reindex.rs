//! The search index made anew beside the one that answers, then put in its place.
//!
//! Invariant: search goes on from the old index until the new one has all that the old one would have; the exchange happens
//! under the writer's lock, so that no text is left out. A crash leaves the old index, or none: then one is made at the
//! next opening, and search scans meanwhile.

use super::extracts::{self, Extracts};
use super::{Cancel, Store, tail};
use crate::search::index::Indexer;
use crate::{Error, MsgNo};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Makes the index anew, with `attachments` also the texts of these; `progress` gets messages done and in all.
/// # Errors
/// `Refused` when that goes on already, or the store is write-protected; `Cancelled`, `Index`, `Io`.
pub(crate) fn rebuild(
    store: &Arc<Store>,
    attachments: bool,
    cancel: &Cancel,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), Error> {
    let refused = |what: &str| Err(Error::Refused { what: what.to_owned() });
    if store.protected {
        return refused("the store is write-protected; what its index lacks is made when it is opened");
    }
    let Some(_one) = store.tail.rebuilding.try_lock() else {
        return refused("the index is being made anew already");
    };
    let dir = store.indexer().dir().to_owned();
    let draft = beside(&dir, "new");
    let made = (|| {
        clear(&draft)?;
        let kept = store.tail.current().extracts;
        let extracts = match kept {
            Some(_) if attachments => Some(Arc::new(Extracts::open(&extracts::beside(&draft))?)),
            kept => kept,
        };
        let new = New { dir: draft.clone(), extracts, is_anew: attachments };
        let indexer = fill(store, &new, cancel, progress)?;
        exchange(store, &dir, &new, &indexer)
    })();
    if made.is_err() {
        clear(&draft)?;
    }
    made
}

/// `index.new` for `index`.
fn beside(dir: &Path, word: &str) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(".");
    name.push(word);
    PathBuf::from(name)
}

/// An index that is being made.
struct New {
    dir: PathBuf,
    extracts: Option<Arc<Extracts>>,
    /// The texts of attachments are another file than the one in use.
    is_anew: bool,
}

/// Removes an index and the texts beside it.
fn clear(dir: &Path) -> Result<(), Error> {
    extracts::remove(&extracts::beside(dir))?;
    match std::fs::remove_dir_all(dir) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(dir)(e)),
        _ => Ok(()),
    }
}

/// Removes what an exchange or a rebuild that was broken off left beside the index in `dir`.
/// # Errors
/// `Io`.
pub(crate) fn tidy(dir: &Path) -> Result<(), Error> {
    clear(&beside(dir, "new"))?;
    clear(&beside(dir, "old"))
}

/// A new index with all that is archived now.
fn fill(
    store: &Arc<Store>,
    draft: &New,
    cancel: &Cancel,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Indexer, Error> {
    let new = Indexer::open(&draft.dir, &store.limits, store.next_msg())?;
    let version = store.extraction.as_ref().map(|extraction| extraction.extractor.version());
    let name = draft.extracts.as_ref().zip(version).map(|(extracts, version)| extracts.name(version));
    extracts::claim(&draft.dir, name.as_deref())?;
    loop {
        cancel.check()?;
        let goal = store.next_msg();
        progress(u64::from(new.next().0), u64::from(goal.0));
        if !feed(store, draft, &new, goal)? {
            return Ok(new);
        }
    }
}

/// Messages between two looks at whether it was cancelled.
const AT_ONCE: u32 = 64;

/// Hands a few texts over; false when there were none below `goal`.
fn feed(store: &Arc<Store>, draft: &New, new: &Indexer, goal: MsgNo) -> Result<bool, Error> {
    let goal = MsgNo(goal.0.min(new.next().0.saturating_add(AT_ONCE)));
    let texts = tail::texts(store, draft.extracts.as_deref(), new.next(), goal)?;
    let some = !texts.is_empty();
    new.submit(texts)?;
    Ok(some)
}

/// Puts the new index in the old one's place.
fn exchange(store: &Arc<Store>, dir: &Path, draft: &New, new: &Indexer) -> Result<(), Error> {
    // Nothing is archived from here on.
    let _writer = store.writer.lock();
    let goal = store.next_msg();
    while feed(store, draft, new, goal)? {}
    new.close()?;
    store.tail.quiet();
    // The old one's snapshot answers on while its files go.
    if let Err(error) = store.indexer().close() {
        tracing::warn!(%error, "the old search index");
    }
    let old = beside(dir, "old");
    clear(&old)?;
    std::fs::rename(dir, &old).map_err(Error::io(dir))?;
    std::fs::rename(&draft.dir, dir).map_err(Error::io(&draft.dir))?;
    if draft.is_anew && draft.extracts.is_some() {
        // Between this and the one before, the index would be made anew: it names the texts that it needs.
        let (from, to) = (extracts::beside(&draft.dir), extracts::beside(dir));
        std::fs::rename(&from, &to).map_err(Error::io(&from))?;
    }
    let opened = Indexer::open(dir, &store.limits, goal)?;
    store.tail.put(opened, draft.extracts.clone());
    clear(&old)
}
