//! Cards of an older version are made anew in the background, from the messages, after the store was opened.
//!
//! Invariant: until a card is exchanged, whoever asks for it gets one made on demand; the thread gives way to all others, and a
//! store that is closed meanwhile goes on there when it is opened next.

use super::Store;
use crate::card::Card;
use crate::db::cards::OldGroup;
use crate::{Error, MsgNo};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

/// Groups that are exchanged in one transaction.
const GROUPS_AT_ONCE: usize = 32;
/// How much less often the thread runs when others want the processor.
const NICE: i32 = 10;

/// The thread, if there is work for one.
#[derive(Debug, Default)]
pub(crate) struct Renewal {
    stopping: AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Renewal {
    /// Begins, if there are cards of an older version.
    /// # Errors
    /// Those of the database; `Io` when there is no thread to be had.
    pub(crate) fn start(store: &Arc<Store>) -> Result<(), Error> {
        if store.protected || store.db.old_cards_from()?.is_none() {
            return Ok(());
        }
        let weak = Arc::downgrade(store);
        let work = move || {
            // Where that is refused, it runs as everything else.
            if let Err(error) = rustix::process::nice(NICE) {
                tracing::debug!(%error, "cards are made anew at the usual priority");
            }
            match renew(&weak) {
                Ok(true) => tracing::info!("all cards are of this version now"),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "making cards anew stopped; the next opening goes on"),
            }
        };
        let thread = std::thread::Builder::new().name("cards".into()).spawn(work);
        *store.renewal.thread.lock() = Some(thread.map_err(Error::io(&store.dir))?);
        Ok(())
    }

    /// Ends it, wherever it is.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.lock().take()
            && thread.join().is_err()
        {
            tracing::error!("making cards anew panicked");
        }
    }
}

/// Makes groups anew until none is left; false when it was stopped.
fn renew(store: &Weak<Store>) -> Result<bool, Error> {
    loop {
        // Not held longer than a step, so that a storage that is dropped ends this thread.
        let Some(store) = store.upgrade() else { return Ok(false) };
        let Some(from) = store.db.old_cards_from()? else { return Ok(true) };
        let step = store.db.old_groups(from, GROUPS_AT_ONCE)?;
        let mut made = Vec::with_capacity(step.old.len());
        for group in step.old {
            let Some(cards) = cards(&store, &group)? else { return Ok(false) };
            made.push((group, cards));
        }
        store.db.exchange_cards(&made, step.next)?;
    }
}

/// A group's cards, made from its messages; none when it is to stop.
fn cards(store: &Store, group: &OldGroup) -> Result<Option<Vec<Card>>, Error> {
    let mut cards = Vec::new();
    for no in (u64::from(group.first)..).take(usize::try_from(group.cards).unwrap_or(0)) {
        if store.renewal.stopping.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let no = MsgNo(u32::try_from(no).unwrap_or(u32::MAX));
        if store.db.is_erased(no)? {
            cards.push(Card::raw(0));
            continue;
        }
        cards.push(match store.parse(no) {
            Ok(parsed) => parsed.card,
            // As it is when a store is taken in.
            Err(Error::Corrupt { .. } | Error::WrongContent { .. } | Error::Missing { .. }) => {
                Card::raw(store.db.message(no).map_or(0, |entry| entry.size))
            }
            Err(other) => return Err(other),
        });
    }
    Ok(Some(cards))
}
