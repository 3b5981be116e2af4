//! The search index made anew beside the one that answers, then put in its place.
//!
//! Invariant: search goes on from the old index until the new one has all that the old one would have; the exchange happens
//! under the writer's lock, so that no text is left out. A crash leaves the old index, or none: then one is made at the
//! next opening, and search scans meanwhile.

use super::{Cancel, Store, tail};
use crate::search::index::Indexer;
use crate::{Error, MsgNo};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Makes the index anew; `progress` gets messages done and in all.
/// # Errors
/// `Refused` when that goes on already, or the store is write-protected; `Cancelled`, `Index`, `Io`.
pub(crate) fn rebuild(
    store: &Arc<Store>,
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
    let made = fill(store, &draft, cancel, progress).and_then(|new| exchange(store, &dir, &draft, &new));
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

fn clear(dir: &Path) -> Result<(), Error> {
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
    draft: &Path,
    cancel: &Cancel,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Indexer, Error> {
    clear(draft)?;
    let new = Indexer::open(draft, &store.limits, store.next_msg())?;
    loop {
        cancel.check()?;
        let goal = store.next_msg();
        progress(u64::from(new.next().0), u64::from(goal.0));
        if !feed(store, &new, goal)? {
            return Ok(new);
        }
    }
}

/// Hands a few texts over; false when there were none below `goal`.
fn feed(store: &Arc<Store>, new: &Indexer, goal: MsgNo) -> Result<bool, Error> {
    let texts = tail::texts(store, new.next(), goal)?;
    let some = !texts.is_empty();
    new.submit(texts)?;
    Ok(some)
}

/// Puts the new index in the old one's place.
fn exchange(store: &Arc<Store>, dir: &Path, draft: &Path, new: &Indexer) -> Result<(), Error> {
    // Nothing is archived from here on.
    let _writer = store.writer.lock();
    let goal = store.next_msg();
    while feed(store, new, goal)? {}
    new.close()?;
    store.tail.quiet();
    // The old one's snapshot answers on while its files go.
    if let Err(error) = store.indexer().close() {
        tracing::warn!(%error, "the old search index");
    }
    let old = beside(dir, "old");
    clear(&old)?;
    std::fs::rename(dir, &old).map_err(Error::io(dir))?;
    std::fs::rename(draft, dir).map_err(Error::io(draft))?;
    let opened = Indexer::open(dir, &store.limits, goal)?;
    store.tail.put(opened);
    clear(&old)
}
