//! Messages: each is read whole and compared with its identity; card, places and index are compared with it.

use super::{Event, Job, Pages};
use crate::prepared::Parsed;
use crate::search::{holds, terms_to_try};
use crate::store::{message, rows};
use crate::{Error, MsgNo};
use roaring::RoaringBitmap;
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
        for (part, term) in terms_to_try(&fresh.text) {
            match holds(&snapshot, part, &term, no, self.cancel) {
                Ok(true) => {}
                Ok(false) => tell("the search index lacks words of the message: mailkeep index rebuild")?,
                Err(Error::Cancelled) => return Err(Error::Cancelled),
                Err(error) => tell(&format!("the search index can't be read: {error}"))?,
            }
        }
        Ok(())
    }

    /// The index: a document for each message, none for no message, and files that are what they were.
    pub(crate) fn index(&self) -> Result<(), Error> {
        let indexer = self.store.indexer();
        let snapshot = indexer.snapshot();
        let (mut numbers, mut documents, mut twice, mut above) = (RoaringBitmap::new(), 0u64, 0u64, 0u64);
        let next = self.store.next_msg();
        for number in snapshot.numbers() {
            documents += 1;
            twice += u64::from(!numbers.insert(number));
            above += u64::from(MsgNo(number) >= next);
        }
        self.say(Event::Documents(documents))?;
        let missing = u64::from(snapshot.watermark().0) - numbers.range_cardinality(..snapshot.watermark().0);
        for (count, what) in [
            (missing, "messages have no document"),
            (twice, "documents are there twice"),
            (above, "documents are of no message"),
        ] {
            if count > 0 {
                self.tell(format!("the search index: {count} {what}; mailkeep index rebuild"))?;
            }
        }
        if self.slice.is_all() {
            for file in indexer.damaged_files() {
                self.tell(format!("the search index: {file} is damaged; mailkeep index rebuild"))?;
            }
        }
        Ok(())
    }
}
