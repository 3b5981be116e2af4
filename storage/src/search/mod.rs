//! Search with the RFC's exact meaning (RFC 3501 §6.4.4): the index narrows, the stored text decides.

mod bits;
mod build;
mod cache;
mod dictionary;
mod fields;
pub(crate) mod index;
mod list;
mod merge;
mod paged;
mod phrase;
mod plan;
mod postings;
mod resolve;
mod scan;
mod segment;
mod several;
mod snapshot;
mod snippet;
#[cfg(test)]
mod tests;
mod words;
#[cfg(test)]
mod words_tests;

use crate::card::attachments::Attached;
use crate::store::columns::columns;
use crate::store::rows::Groups;
use crate::store::tail::Current;
use crate::store::{Part, Store};
use crate::text::{Field, SearchText, is_machine_header};
use crate::{Cancel, Error, FolderView, MsgNo, Progress, Row, Storage, UidRanges};
pub use snippet::Snippet;

use plan::{Ground, Plan, Source};
use scan::Folded;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// A calendar day, proleptic Gregorian: days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub i64);

/// A flag that a placement can carry; \Seen is always set, \Deleted, \Draft and other keywords never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// \Answered
    Answered,
    /// \Flagged
    Flagged,
    /// $Forwarded
    Forwarded,
}

/// A search key, sequence sets already resolved to UIDs. Text is what the user typed; folding happens here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// Every message.
    All,
    /// None (e.g. UNSEEN, DELETED, an unknown keyword).
    Nothing,
    /// Header and body.
    Text(String),
    /// Body.
    Body(String),
    /// A header field's value contains the text; empty text: the field is there.
    Header(String, String),
    /// The message has an attachment: a part that says so, or has a file name and is no image of the text.
    HasAttachment,
    /// The name of a part's file contains the text.
    FileName(String),
    /// Internal date before / on / since a day, in the zone it was stored with (RFC 3501: disregarding time and zone).
    Before(Day),
    /// See `Before`.
    On(Day),
    /// See `Before`.
    Since(Day),
    /// INTERNALDATE is this moment or an earlier one, seconds since 1970.
    ArrivedUntil(i64),
    /// INTERNALDATE is this moment or a later one, seconds since 1970.
    ArrivedFrom(i64),
    /// The Date field's day, disregarding time and zone.
    SentBefore(Day),
    /// See `SentBefore`.
    SentOn(Day),
    /// See `SentBefore`.
    SentSince(Day),
    /// RFC822.SIZE above n octets.
    Larger(u64),
    /// RFC822.SIZE below n octets.
    Smaller(u64),
    /// These UIDs.
    Uids(UidRanges),
    /// The flag is set.
    Flag(Flag),
    /// MODSEQ (RFC 7162) at least this.
    ModSeq(u64),
    /// Put into its folder from the first moment to before the second, seconds since 1970 (RFC 8514).
    Saved(i64, i64),
    /// The identity begins with these bytes, at least eight (RFC 8474).
    Identity(Vec<u8>),
    /// Of this conversation ([`Storage::conversations`]).
    Conversation(u64),
    /// All of them (empty: every message).
    And(Vec<Key>),
    /// One of them.
    Or(Vec<Key>),
    /// The others.
    Not(Box<Key>),
}

impl Key {
    /// Whether index or messages may have to be read to answer it: the rest is known of every message.
    #[must_use]
    pub fn needs_text(&self) -> bool {
        let mut open = vec![self];
        while let Some(key) = open.pop() {
            match key {
                Key::Text(_) | Key::Body(_) | Key::Header(..) => return true,
                Key::And(keys) | Key::Or(keys) => open.extend(keys),
                Key::Not(key) => open.push(key),
                _ => {}
            }
        }
        false
    }
}

impl Storage {
    /// The UIDs of the folder's messages that match `key`, exactly; complete up to the view's last message.
    /// A message whose stored bytes are damaged matches by what is known without them, and is named in the log.
    /// # Errors
    /// `Cancelled`, `SearchTime`, and whatever reading gives.
    pub fn search(&self, view: &FolderView, key: &Key, cancel: &Cancel) -> Result<UidRanges, Error> {
        self.search_watched(view, key, cancel, &Progress::default())
    }

    /// As [`Storage::search`]; `progress` follows it.
    /// # Errors
    /// As [`Storage::search`].
    pub fn search_watched(
        &self,
        view: &FolderView,
        key: &Key,
        cancel: &Cancel,
        progress: &Progress,
    ) -> Result<UidRanges, Error> {
        let secs = self.limits().search_time_secs;
        let end = Instant::now().checked_add(Duration::from_secs(secs));
        let check = || {
            cancel.check()?;
            match end {
                Some(end) if Instant::now() >= end => Err(Error::SearchTime { secs }),
                _ => Ok(()),
            }
        };
        check()?;
        let key = &*self.resolved(view, key)?;
        let one = |part: &Part| match self.store_of(part) {
            Ok(store) => search_part(&store, part, key, &check, progress),
            // What a missing store's messages are numbered and flagged is known all the same.
            Err(Error::Unavailable { .. }) if flags_only(key) => {
                let mut rows = self.flag_rows(view, &part.uids);
                let mut all = Vec::new();
                while let Some(batch) = rows.next_batch()? {
                    all.extend(batch);
                }
                matching(&all, key, &check)
            }
            Err(other) => Err(other),
        };
        let found = match view.parts.len() > 1 && Plan::new(key).has_text() {
            true => side_by_side(&view.parts, &one),
            false => view.parts.iter().map(one).collect(),
        };
        let mut all = UidRanges::new();
        for some in found {
            let some = some?;
            all = if all.is_empty() { some } else { UidRanges::from_spans(all.spans().chain(some.spans())) };
        }
        Ok(all)
    }
}

/// Stores that are searched at once, by one search.
const SIDE_BY_SIDE: usize = 4;

/// Searches several stores' parts on as many threads as there are processors for.
fn side_by_side(
    parts: &[Part],
    one: &(dyn Fn(&Part) -> Result<UidRanges, Error> + Sync),
) -> Vec<Result<UidRanges, Error>> {
    let next = AtomicUsize::new(0);
    let work = || {
        let next = || parts.get(next.fetch_add(1, Ordering::Relaxed));
        std::iter::from_fn(next).map(one).collect::<Vec<_>>()
    };
    let threads =
        std::thread::available_parallelism().map_or(1, usize::from).min(SIDE_BY_SIDE).min(parts.len());
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut found = work();
        for thread in others {
            match thread.join() {
                Ok(some) => found.extend(some),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        found
    })
}

/// What the units of an index are made by.
pub(crate) fn index_versions() -> String {
    fields::versions()
}

/// Units of a message that are rare, for a look whether the index has them: with the part of the index that they are in.
pub(crate) fn units_to_try(text: &SearchText) -> Vec<(fields::Part, Vec<u8>)> {
    let mut cutter = words::Cutter::default();
    let mut longest = |text: &str| {
        let mut longest = Vec::new();
        cutter.entry(text, |unit| {
            if unit.len() > longest.len() {
                longest = unit.to_vec();
            }
        });
        longest
    };
    let lines = text.fields.iter().filter(|field| !is_machine_header(&field.name)).map(|field| {
        let part = fields::Part::of_header(&field.name).unwrap_or(fields::Part::Other);
        (part, longest(&crate::text::fold(&field.value)))
    });
    let header = lines.max_by_key(|(_, unit)| unit.len());
    let body = text.body.iter().map(|entry| longest(&crate::text::fold(entry))).max_by_key(Vec::len);
    header
        .into_iter()
        .chain(body.map(|unit| (fields::Part::Body, unit)))
        .filter(|(_, unit)| unit.len() > 2)
        .collect()
}

/// Whether the index has this unit in this part of a message.
/// # Errors
/// `Cancelled`, `Index`.
pub(crate) fn holds(
    snapshot: &snapshot::Snapshot,
    part: fields::Part,
    unit: &[u8],
    no: MsgNo,
    cancel: &Cancel,
) -> Result<bool, Error> {
    match snapshot.has(part, unit, no, &|| cancel.check()) {
        Ok(has) => Ok(has),
        Err(snapshot::FindError::Stopped(error)) => Err(error),
        Err(snapshot::FindError::Index(what)) => Err(Error::Index { path: "index".into(), what }),
    }
}

/// The UIDs of one store's part of a folder.
fn search_part(
    store: &Arc<Store>,
    part: &Part,
    key: &Key,
    check: &dyn Fn() -> Result<(), Error>,
    progress: &Progress,
) -> Result<UidRanges, Error> {
    let plan = Plan::new(key);
    let columns = columns(store, part)?;
    // The columns may be newer than the view.
    let rows = match part.uids.last() {
        Some(last) => &columns.rows[..columns.rows.partition_point(|row| row.uid <= last)],
        None => return Ok(UidRanges::new()),
    };
    let current = store.tail.current();
    let snapshot = plan.has_text().then(|| current.indexer.snapshot());
    let ground = Ground {
        rows,
        snapshot: snapshot.as_deref(),
        check,
        damaged: &|what| store.indexer().report_damage(what),
    };
    let stored = Stored { store, current: &current, check, progress, groups: RefCell::default() };
    let found = plan.run(&ground, &stored)?;
    let uids: UidRanges = found.iter().filter_map(|at| rows.get(at as usize)).map(|row| row.uid).collect();
    Ok(uids.intersect(&part.uids))
}

/// Whether UIDs and flags decide.
fn flags_only(key: &Key) -> bool {
    match key {
        Key::All | Key::Nothing | Key::Uids(_) | Key::Flag(_) => true,
        Key::And(keys) | Key::Or(keys) => keys.iter().all(flags_only),
        Key::Not(key) => flags_only(key),
        _ => false,
    }
}

/// The rows that match a key of which UIDs and flags decide.
fn matching(rows: &[Row], key: &Key, check: &dyn Fn() -> Result<(), Error>) -> Result<UidRanges, Error> {
    let ground = Ground { rows, snapshot: None, check, damaged: &|_| () };
    let found = Plan::new(key).run(&ground, &Nowhere)?;
    Ok(found.iter().filter_map(|at| rows.get(at as usize)).map(|row| row.uid).collect())
}

/// A store that is away has nothing to read.
struct Nowhere;

impl Source for Nowhere {
    fn fields(&self, number: MsgNo) -> Result<Arc<Vec<Field>>, Error> {
        Err(Error::Missing { what: format!("the header of message number {}", number.0) })
    }
    fn text(&self, number: MsgNo) -> Result<Arc<Folded>, Error> {
        Err(Error::Missing { what: format!("the text of message number {}", number.0) })
    }
}

/// Reads from the packs what the index leaves open.
struct Stored<'a> {
    store: &'a Arc<Store>,
    /// The index, with the texts of attachments that it has words of.
    current: &'a Current,
    check: &'a dyn Fn() -> Result<(), Error>,
    progress: &'a Progress,
    /// The cards that were read last.
    groups: RefCell<Groups>,
}

impl Stored<'_> {
    /// A damaged message has no text; anything else ends the search.
    fn or_damaged<T: Default>(&self, read: Result<T, Error>, number: MsgNo) -> Result<T, Error> {
        match read {
            Err(damage @ (Error::Corrupt { .. } | Error::WrongContent { .. })) => {
                tracing::error!(message = number.0, %damage, "a damaged message cannot be searched");
                Ok(T::default())
            }
            other => other,
        }
    }
}

impl Source for Stored<'_> {
    fn expect(&self, messages: u64) {
        self.progress.expect(messages);
    }
    fn advance(&self) {
        self.progress.advance();
    }
    fn fields(&self, number: MsgNo) -> Result<Arc<Vec<Field>>, Error> {
        (self.check)()?;
        let header = self.store.message(number).and_then(|message| message.header());
        Ok(Arc::new(SearchText::header_fields(&self.or_damaged(header, number)?)))
    }

    fn attached(&self, number: MsgNo) -> Result<Vec<Attached>, Error> {
        (self.check)()?;
        let card = self.groups.borrow_mut().card(self.store, number);
        self.or_damaged(card.map(|card| card.attached()), number)
    }

    fn text(&self, number: MsgNo) -> Result<Arc<Folded>, Error> {
        (self.check)()?;
        let cache = &self.current.indexer.texts;
        if let Some(text) = cache.get(number) {
            return Ok(text);
        }
        let text = self.store.full_text(number, self.current.extracts.as_deref(), self.check);
        let folded = Arc::new(Folded::new(&self.or_damaged(text, number)?));
        cache.put(number, &folded);
        Ok(folded)
    }
}
