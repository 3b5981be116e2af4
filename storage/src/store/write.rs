//! The one writer of a store: the pack in hand, and the order in which a batch becomes durable.
//!
//! Order, which is the promise: chunks, facts and the commit record go to the pack; the pack is synced; one database
//! transaction commits; only then readers see it. Power lost between pack and database costs nothing: the next opening
//! takes the batch in. Objection: the database could then lead a pack that lost its tail. It can't: it commits after
//! the pack's sync, and an opening refuses a watermark beyond the pack.
//! Invariant: after a failed write nothing is written until the store is opened again.

use super::Store;
use super::draft::Ready;
use super::facts::{Fact, MessageFact, encode_all};
use crate::db::{self, BatchEnd};
use crate::pack::{Addr, PackId, PackWriter, RecordKind};
use crate::{Error, FolderId, MasterKey, ModSeq, MsgNo};

/// What the one writer holds between batches.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    /// The pack in hand; none until the first batch after opening.
    pub(super) pack: Option<PackWriter>,
    /// The last pack, when its last batch ends it, and that batch's tag: the first batch goes on there.
    pub(super) resume: Option<(PackId, Option<[u8; 16]>)>,
    /// The first failure: nothing is written after it.
    pub(super) latched: Option<String>,
}

impl Writer {
    /// Whether it writes.
    /// # Errors
    /// `Latched`.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match &self.latched {
            None => Ok(()),
            Some(cause) => Err(Error::Latched { cause: cause.clone() }),
        }
    }

    /// Ends writing: the store is closed.
    pub(super) fn close(&mut self) {
        self.pack = None;
        self.latched.get_or_insert_with(|| "the store was closed".to_owned());
    }

    /// Later batches go into this new pack; without it nothing is written any more.
    fn go_on_in(&mut self, begun: Result<PackWriter, Error>) -> Result<(), Error> {
        (self.resume, self.pack) = (None, None);
        match begun {
            Ok(pack) => {
                self.pack = Some(pack);
                Ok(())
            }
            Err(error) => {
                self.latched = Some(error.to_string());
                Err(error)
            }
        }
    }

    /// The pack that the batch goes into: a new one when there is none or it is full.
    fn pack(&mut self, store: &Store) -> Result<&mut PackWriter, Error> {
        if let Some((pack, tag)) = self.resume.take() {
            self.pack = Some(store.packs.resume(pack, tag)?);
        }
        let full = self.pack.as_ref().is_none_or(|pack| pack.len() >= store.limits.max_pack_bytes);
        if full {
            self.pack = Some(store.packs.new_pack()?);
        }
        self.pack.as_mut().ok_or_else(|| Error::Missing { what: "a pack to write to".into() })
    }
}

impl Store {
    /// Begins a new pack whose header has these settings, durable on return: the newest header is what the store says of
    /// itself.
    /// # Errors
    /// `Latched`, `Io`.
    pub(crate) fn begin_pack(&self, settings: &super::open::Settings) -> Result<(), Error> {
        let mut writer = self.writer.lock();
        writer.check()?;
        self.packs.set_settings(settings.encode());
        writer.go_on_in(self.packs.new_pack().and_then(|mut pack| {
            pack.sync()?;
            Ok(pack)
        }))
    }

    /// Makes `master` open the store, by a new pack that later batches go to. A store that it opens already stays as it is.
    /// # Errors
    /// `Latched`, `Io`, `Key`.
    pub(crate) fn rekey(&self, master: &MasterKey) -> Result<(), Error> {
        let mut writer = self.writer.lock();
        writer.check()?;
        if self.packs.opens_with(master) {
            return Ok(());
        }
        writer.go_on_in(self.packs.rekey(master))
    }

    /// Writes nothing any more until it is opened again: another store's share of a batch failed.
    pub(crate) fn latch(&self, cause: &Error) {
        self.writer.lock().latched.get_or_insert_with(|| cause.to_string());
    }

    /// Makes a batch durable, then visible; gives the folders that it changed.
    /// # Errors
    /// `Latched`, `Io`: the store takes no more writes until it is reopened.
    pub(crate) fn write(&self, ready: Ready, mod_seq: ModSeq) -> Result<Vec<FolderId>, Error> {
        let mut writer = self.writer.lock();
        writer.check()?;
        let Ready { facts, chunks, mut cards, texts, attached, new_bytes } = ready;
        let written = (|| {
            let batch = self.state.read().counters.batch + 1;
            let pack = writer.pack(self)?;
            let addrs = chunks.finish(pack)?;
            let facts: Vec<Fact> = facts(&addrs)?;
            let gap = || self.db.derived("the leaves of a batch don't follow on those before");
            let log = self.state.read().tree.after(&facts)?.ok_or_else(gap)?;
            let mut first = None;
            for record in encode_all(&facts) {
                let addr = pack.append(RecordKind::Facts, record)?;
                first.get_or_insert(addr);
            }
            let time = time::OffsetDateTime::now_utc().unix_timestamp();
            let offset = pack.commit(batch, mod_seq.0, time, Some(log))?;
            let end = BatchEnd {
                batch,
                mod_seq,
                time: Some(time),
                end: Addr { pack: pack.id(), offset },
                tag: pack.last_tag(),
                facts: first,
                log: Some(log),
                lost: false,
            };
            let card_of = &mut |m: &MessageFact| {
                cards.remove(&m.no).ok_or_else(|| Error::Missing { what: "a new message's card".into() })
            };
            let txn = self.db.write()?;
            let changes = db::apply(&self.db, &txn, &self.state.read(), &end, &facts, card_of)?;
            self.db.commit(txn)?;
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
        let next = MsgNo(changes.counters.next_msg);
        changes.publish(&mut self.state.write());
        // Still under the writer's lock: the index takes texts in their order only, and would leave out what came too soon.
        self.tail.hand_over(next, new_bytes, texts, attached);
        Ok(changed)
    }
}
