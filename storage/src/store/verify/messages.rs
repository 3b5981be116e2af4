//! Messages: each is read whole and compared with its identity; card, places and index are compared with it.

use super::{Event, Job, Pages};
use crate::prepared::Parsed;
use crate::search::{holds, units_to_try};
use crate::store::{message, rows};
use crate::{Error, MsgNo};
use std::ops::Range;

impl Job<'_> {
    /// The messages of these numbers that belong to the slice.
    pub(crate) fn messages(&self, numbers: Range<u32>) -> Result<(), Error> {
        let (mut groups, mut pages) = (rows::Groups::default(), Pages::default());
        for no in numbers.filter(|no| self.slice.has(u64::from(*no))) {
            self.cancel.check()?;
            self.message(MsgNo(no), &mut groups, &mut pages)?;
        }
        Ok(())
    }

    fn message(&self, no: MsgNo, groups: &mut rows::Groups, pages: &mut Pages) -> Result<(), Error> {
        let store = self.store;
        if store.db.is_erased(no)? {
            return Ok(());
        }
        let places = store.db.places_of(no)?;
        let entry = store.db.message(no);
        let tell = |what: String| self.tell_message(no, None, &places, &what);
        let Some(entry) = self.sound(entry, tell)? else { return Ok(()) };
        let tell = |what: &str| self.tell_message(no, Some(&entry), &places, what);
        if store.db.find(&entry.hash)? != Some(no) {
            tell("the database doesn't find the message by its identity")?;
        }
        for &(folder, uid) in &places {
            let placed = pages.placed(store, folder, uid);
            let placed = self.sound(placed, |what| self.tell_at(folder, uid, what))?.flatten();
            if placed.is_none_or(|placed| placed.row.msg != no) {
                self.tell_at(folder, uid, "the database knows a place of the message without a placement")?;
            }
        }
        let content = message::content(&self.packs, &entry, store.limits.spool_above_bytes);
        self.say(Event::Bytes(entry.size))?;
        let Some(content) = self.sound(content, |what| tell(&what))? else { return Ok(()) };
        self.say(Event::Message)?;
        let fresh = Parsed::new(&content, &store.limits);
        let card = self.sound(groups.card(store, no), |what| tell(&what))?;
        let keys = self.sound(groups.keys(store, no), |what| tell(&what))?;
        if keys.is_some_and(|keys| keys != fresh.keys) {
            tell("the sort keys are not the message's")?;
        }
        if card.is_some_and(|card| card != fresh.card) || fresh.header_len != entry.header_len {
            tell("the card is not the message's")?;
        }
        let snapshot = store.indexer().snapshot();
        if no >= snapshot.watermark() {
            return Ok(());
        }
        for (part, unit) in units_to_try(&fresh.text) {
            match holds(&snapshot, part, &unit, no, self.cancel) {
                Ok(true) => {}
                Ok(false) => tell("the search index lacks words of the message: mailkeep index rebuild")?,
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                Err(error) => tell(&format!("the search index can't be read: {error}"))?,
            }
        }
        Ok(())
    }

    /// The index: messages that the store has, and files that are what they were.
    pub(crate) fn index(&self) -> Result<(), Error> {
        let indexer = self.store.indexer();
        let watermark = indexer.watermark();
        self.say(Event::Documents(u64::from(watermark.0)))?;
        if watermark > self.store.next_msg() {
            let above = watermark.0 - self.store.next_msg().0;
            self.tell(format!(
                "the search index: {above} messages are not the store's; mailkeep index rebuild"
            ))?;
        }
        if self.slice.is_all() {
            for file in indexer.damaged_files() {
                self.tell(format!("the search index: {file} is damaged; mailkeep index rebuild"))?;
            }
        }
        Ok(())
    }
}
