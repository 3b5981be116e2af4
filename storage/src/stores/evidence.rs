//! Evidence over many stores: each store has its own log and its own heads; what is asked here is found in one of them.
//!
//! Invariant: a head is signed only over what is committed; a proof leaves here only after it was checked as any verifier
//! would. Which heads were seen before, and where they are kept, is the program's business.

use super::slot::{Opened, Slot};
use super::{Shared, Storage};
use crate::evidence::{Consistency, EvidenceKey, Folder, Head, Proof, Refusal, Trust};
use crate::store::facts::Fact;
use crate::store::log::{History, Log};
use crate::store::{Cancel, Store};
use crate::{ContentHash, Error, FolderPath, StoreId, StoreNo, Uid};
use std::sync::Arc;

/// A store's head, or why there is none.
#[derive(Debug)]
pub struct StoreHead {
    /// The store's number, as it is shown: `0001`.
    pub store: String,
    /// Its head as of now.
    pub head: Result<Head, Error>,
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let now = time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000;
    u64::try_from(now).unwrap_or(0)
}

fn id(store: &Store) -> StoreId {
    store.packs.identity().id
}

impl Shared {
    fn signer(&self) -> Result<EvidenceKey, Error> {
        let none = || Error::Refused { what: "there is no evidence key, so nothing can be signed".into() };
        self.signer.read().clone().ok_or_else(none)
    }

    fn head(&self, store: &Store) -> Result<Head, Error> {
        let log = store.state.read().tree.head();
        Head::sign(id(store), log.size, log.root, now(), &self.signer()?)
    }

    /// The fact that a new store opens with: the head of the store that was current before it. None without a key, and for
    /// the first store.
    pub(super) fn opening_head(&self, new: StoreNo) -> Option<Fact> {
        let slots = self.all_slots();
        let before = slots.iter().rev().filter(|slot| slot.no < new && slot.entry().foreign.is_none());
        let store = before.filter_map(|slot| slot.store().ok()).next()?;
        self.signer.read().as_ref()?;
        match self.head(&store) {
            Ok(head) => Some(Fact::Head((&head).into())),
            // The new store takes mail without it; the heads that are recorded elsewhere connect the two.
            Err(error) => {
                tracing::error!(%error, "a new store begins without the head of the one before");
                None
            }
        }
    }

    /// The open store with this identity.
    fn by_id(&self, wanted: StoreId) -> Result<(Arc<Slot>, Arc<Store>), Error> {
        for slot in self.all_slots() {
            if slot.entry().store_id() == Some(wanted) {
                let store = slot.store()?;
                return Ok((slot, store));
            }
        }
        Err(Error::Missing { what: format!("the store {wanted}") })
    }

    /// The head that proofs from this store are for: the given one, if it is of this store's log, else a new one.
    fn head_for(&self, store: &Store, log: &mut Log<'_>, against: Option<&Head>) -> Result<Head, Error> {
        let signer = self.signer()?;
        let Some(head) = against else {
            let size = log.size();
            return Head::sign(id(store), size, log.root(size)?, now(), &signer);
        };
        head.check().map_err(Error::Proof)?;
        if head.store != id(store) {
            let what = format!(
                "the message is in store {}, the head is of store {}: give a head of that store",
                id(store),
                head.store
            );
            return Err(Error::Proof(Refusal::Head(what)));
        }
        if head.key != signer.public() {
            let (found, expected) = (hex::encode(head.key), hex::encode(signer.public()));
            return Err(Error::Proof(Refusal::Key { found, expected }));
        }
        extends(log, head)?;
        Ok(head.clone())
    }

    fn proof(&self, slot: &Slot, store: &Store, head: &Head, history: History) -> Result<Proof, Error> {
        let History { leaves, place } = history;
        let ours = slot.entry().ours(place.folder);
        let shown = ours.and_then(|id| self.view.read().get(id).map(|view| view.info.path.clone()));
        let path = match shown {
            Some(path) => path,
            None => {
                let state = store.state.read();
                let missing = || Error::Missing { what: format!("folder number {}", place.folder.0) };
                state.folders.get(&place.folder).ok_or_else(missing)?.info.path.clone()
            }
        };
        let folder = Folder::sign(head.store, &place, path.as_str(), now(), &self.signer()?)?;
        let proof = Proof { leaves, folder, head: head.clone() };
        proof.check(&Trust::default()).map_err(Error::Proof)?;
        Ok(proof)
    }
}

/// Whether the log begins with what the head says.
fn extends(log: &mut Log<'_>, head: &Head) -> Result<(), Error> {
    let size = log.size();
    if head.size > size {
        let what = format!(
            "the log of store {} has {size} leaves, but a head of {} leaves was signed: the log was shortened, or an older \
             copy of the store is in its place",
            head.store, head.size
        );
        return Err(Error::Proof(Refusal::Rewritten(what)));
    }
    if log.root(head.size)? != head.root {
        let what = format!(
            "the log of store {} has another root over its first {} leaves than the head that was signed: the log was \
             rewritten",
            head.store, head.size
        );
        return Err(Error::Proof(Refusal::Rewritten(what)));
    }
    Ok(())
}

impl Storage {
    /// Gives the key that heads are signed with. Until then nothing is signed.
    pub fn sign_with(&self, key: EvidenceKey) {
        *self.shared.signer.write() = Some(key);
    }

    /// A new head of each store, or of the one with this number, name or identity.
    /// # Errors
    /// `Missing` when no store is called that; `Refused` without a key. What is wrong with one store stands in its place.
    pub fn heads(&self, store: Option<&str>) -> Result<Vec<StoreHead>, Error> {
        self.shared.signer()?;
        let mut heads = Vec::new();
        for slot in self.shared.all_slots() {
            let entry = slot.entry();
            let called = |name: &str| name == entry.number || name == entry.name || name == entry.id;
            if store.is_some_and(|name| !called(name)) || matches!(&*slot.opened.read(), Opened::Off) {
                continue;
            }
            let head = slot.store().and_then(|store| self.shared.head(&store));
            heads.push(StoreHead { store: entry.number.clone(), head });
        }
        match store {
            Some(name) if heads.is_empty() => {
                Err(Error::Missing { what: format!("an open store called {name:?}") })
            }
            _ => Ok(heads),
        }
    }

    /// Checks that the log of the head's store still begins with what the head says.
    /// # Errors
    /// `Proof` when it doesn't; `Missing`, `Unavailable` when the store isn't there; those of packs and database.
    pub fn extends(&self, head: &Head, cancel: &Cancel) -> Result<(), Error> {
        head.check().map_err(Error::Proof)?;
        let (_, store) = self.shared.by_id(head.store)?;
        extends(&mut Log::new(&store, cancel), head)
    }

    /// The proof that the log only grew from the old head to the new one, or to the present.
    /// # Errors
    /// `Proof` when it didn't; `Missing`, `Unavailable`, `Refused`; those of packs and database.
    pub fn consistency(&self, old: &Head, new: Option<&Head>, cancel: &Cancel) -> Result<Consistency, Error> {
        old.check().map_err(Error::Proof)?;
        let (_, store) = self.shared.by_id(old.store)?;
        let mut log = Log::new(&store, cancel);
        extends(&mut log, old)?;
        let new = match new {
            Some(new) => new.clone(),
            None => {
                let size = log.size();
                Head::sign(id(&store), size, log.root(size)?, now(), &self.shared.signer()?)?
            }
        };
        if new.size <= log.size() && old.store == new.store {
            extends(&mut log, &new)?;
        }
        let path = log.consistency(old.size, new.size.min(log.size()))?;
        let proof = Consistency { old: old.clone(), new, path };
        proof.check().map_err(Error::Proof)?;
        Ok(proof)
    }

    /// Proves what the log says of the message that is, or was, in this place; under `against`, or under a new head.
    /// # Errors
    /// `Missing`; `Proof` when `against` isn't a head of that log; `Evidence` when a leaf can't be proven; `Unavailable`,
    /// `Refused`; those of packs and database.
    pub fn prove(
        &self,
        path: &FolderPath,
        uid: Uid,
        against: Option<&Head>,
        cancel: &Cancel,
    ) -> Result<Proof, Error> {
        let missing = || Error::Missing { what: format!("UID {uid} of folder {path}") };
        let view = self.view(path).ok_or_else(|| Error::Missing { what: format!("folder {path}") })?;
        let part = view.parts.iter().find(|part| part.uids.contains(uid));
        let stores: Vec<_> = match part {
            Some(part) => vec![(self.shared.slot(part.store)?, part.folder)],
            // It was moved or deleted: one of the stores that know the folder knows of it.
            None => {
                let known = self.shared.all_slots().into_iter();
                known.filter_map(|slot| Some((slot.clone(), slot.entry().theirs(view.info.id)?))).collect()
            }
        };
        for (slot, folder) in stores {
            let store = match slot.store() {
                Ok(store) => store,
                Err(error) if part.is_some() => return Err(error),
                Err(_) => continue,
            };
            if part.is_none() && against.is_some_and(|head| head.store != id(&store)) {
                continue;
            }
            let mut log = Log::new(&store, cancel);
            let head = self.shared.head_for(&store, &mut log, against)?;
            let history = match log.of_place(folder, uid, head.size) {
                Err(Error::Missing { .. }) if part.is_none() => continue,
                other => other?,
            };
            return self.shared.proof(&slot, &store, &head, history);
        }
        Err(missing())
    }

    /// Proves what the logs say of each placement of a message; under `against`, or under new heads.
    /// # Errors
    /// As [`Storage::prove`]; `Missing` when no store that can be read has the message.
    pub fn prove_message(
        &self,
        message: &ContentHash,
        against: Option<&Head>,
        cancel: &Cancel,
    ) -> Result<Vec<Proof>, Error> {
        let mut proofs = Vec::new();
        for slot in self.shared.all_slots() {
            let Ok(store) = slot.store() else { continue };
            if against.is_some_and(|head| head.store != id(&store)) {
                continue;
            }
            let mut log = Log::new(&store, cancel);
            let head = self.shared.head_for(&store, &mut log, against)?;
            for history in log.of_message(message, head.size)? {
                proofs.push(self.shared.proof(&slot, &store, &head, history)?);
            }
        }
        if proofs.is_empty() {
            let under = if against.is_some() { " under that head" } else { "" };
            return Err(Error::Missing { what: format!("message {message}{under}") });
        }
        Ok(proofs)
    }
}
