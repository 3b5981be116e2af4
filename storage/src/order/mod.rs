//! SORT and THREAD (RFC 5256, RFC 5957) over a folder, from keys that were stored when the messages came.
//!
//! Invariant: the order is a total one, the same every time: what compares equal stands in the mailbox's order. No message is
//! read; memory is some 40 bytes a message for a sort and 100 for threads, and the texts that differ.
//! Left to others: which messages (`search`), and how the answer is written (`imapd`).

mod casemap;
mod forest;
mod keys;
mod references;
mod relevancy;
mod subject;

pub use forest::{Forest, Token, Walk};
pub(crate) use keys::{COLUMNS, Column, Entry, Keys, decode};

use crate::store::Store;
use crate::store::columns::columns;
use crate::{Cancel, Error, FolderView, Storage, Uid, UidRanges};
use references::Input;
use relevancy::Words;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What messages are sorted by (RFC 5256 §3, RFC 5957 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// INTERNALDATE's moment.
    Arrival,
    /// Local part of the first address of Cc.
    Cc,
    /// The Date field's moment, INTERNALDATE's where there is none.
    Date,
    /// Local part of the first address of From.
    From,
    /// RFC822.SIZE.
    Size,
    /// Base subject.
    Subject,
    /// Local part of the first address of To.
    To,
    /// Name of the first address of From, its address where it has none.
    DisplayFrom,
    /// Name of the first address of To, its address where it has none.
    DisplayTo,
    /// Scores that the caller has, the greatest first (RFC 6203 §5).
    Relevancy,
}

/// One of the things that messages are sorted by, the most important one first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Criterion {
    /// What.
    pub by: By,
    /// The greatest first. Equal messages stay in the mailbox's order.
    pub reverse: bool,
}

/// How messages are put into threads (RFC 5256 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threading {
    /// By References, then by subject.
    References,
    /// By subject and date alone.
    OrderedSubject,
}

impl Storage {
    /// The messages of `uids` in order. `uids` that the view doesn't have are left out. `scores`: what [`By::Relevancy`] goes by, of
    /// each message of `uids`; empty if that is not asked for.
    /// # Errors
    /// `Cancelled`, `SearchTime`; `Unavailable` when a store that holds some of them can't be read; those of the database.
    pub fn sort(
        &self,
        view: &FolderView,
        uids: &UidRanges,
        criteria: &[Criterion],
        scores: &[u8],
        cancel: &Cancel,
    ) -> Result<Vec<Uid>, Error> {
        let check = self.until(cancel);
        let picked = Picked::new(self, view, uids)?;
        let mut seen = Vec::new();
        let mut values: Vec<(Vec<i64>, bool)> = Vec::new();
        for criterion in criteria {
            // A second time the same, forwards or backwards, it decides nothing.
            if !seen.contains(&criterion.by) {
                seen.push(criterion.by);
                values.push(match criterion.by {
                    By::Relevancy => (picked.scores(scores), !criterion.reverse),
                    by => (picked.values(by, &check)?, criterion.reverse),
                });
            }
        }
        check()?;
        let mut order: Vec<u32> = (0..picked.count()).collect();
        if let [(only, reverse)] = &values[..] {
            let mut keyed: Vec<(i64, u32)> = only.iter().copied().zip(0..).collect();
            match reverse {
                false => keyed.sort_by_key(|&(value, _)| value),
                true => keyed.sort_by_key(|&(value, _)| std::cmp::Reverse(value)),
            }
            order = keyed.into_iter().map(|(_, at)| at).collect();
        } else {
            order.sort_by(|&a, &b| {
                let mut all = values.iter().map(|(values, reverse)| {
                    let order = values.get(a as usize).cmp(&values.get(b as usize));
                    if *reverse { order.reverse() } else { order }
                });
                all.find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
            });
        }
        Ok(order.into_iter().filter_map(|at| picked.uids.get(at as usize)).map(|&uid| Uid(uid)).collect())
    }

    /// How relevant each message of `uids` is to these words, 1 to 100 (RFC 6203 §4); in the order of `uids`.
    /// # Errors
    /// As [`Storage::sort`].
    pub fn relevancy(
        &self,
        view: &FolderView,
        uids: &UidRanges,
        words: &[String],
        cancel: &Cancel,
    ) -> Result<Vec<u8>, Error> {
        Picked::new(self, view, uids)?.relevancy(words, &self.until(cancel))
    }

    /// The messages of `uids` as threads.
    /// # Errors
    /// As [`Storage::sort`].
    pub fn thread(
        &self,
        view: &FolderView,
        uids: &UidRanges,
        by: Threading,
        cancel: &Cancel,
    ) -> Result<Forest, Error> {
        let check = self.until(cancel);
        let picked = Picked::new(self, view, uids)?;
        let mut input = Input { dates: picked.values(By::Date, &check)?, ..Input::default() };
        (input.subjects, input.replies) = picked.subjects(&check)?;
        if by == Threading::References {
            picked.ids(&mut input, &check)?;
        }
        input.uids = picked.uids;
        match by {
            Threading::References => references::references(input, &check),
            Threading::OrderedSubject => references::ordered_subject(input, &check),
        }
    }

    /// Called between pieces of work: ends it when nobody waits any more, or it takes too long.
    fn until<'c>(&self, cancel: &'c Cancel) -> impl Fn() -> Result<(), Error> + use<'c> {
        let secs = self.limits().search_time_secs;
        let end = Instant::now().checked_add(Duration::from_secs(secs));
        move || {
            cancel.check()?;
            match end {
                Some(end) if Instant::now() >= end => Err(Error::SearchTime { secs }),
                _ => Ok(()),
            }
        }
    }
}

/// The references that an entry holds.
pub(crate) fn hashes(references: &[u8]) -> impl Iterator<Item = u64> + '_ {
    references.as_chunks().0.iter().map(|&id| u64::from_le_bytes(id))
}

/// Message numbers, each with a place.
type Numbers = Vec<(u32, u32)>;

/// The messages that are to be put in order, in the mailbox's order, and where their keys are.
struct Picked {
    uids: Vec<u32>,
    dates: Vec<i64>,
    sizes: Vec<u64>,
    /// Of each store the message numbers, rising, with the message's place in `uids`.
    stores: Vec<(Arc<Store>, Numbers)>,
}

impl Picked {
    fn new(storage: &Storage, view: &FolderView, uids: &UidRanges) -> Result<Picked, Error> {
        let mut rows = Vec::new();
        let mut stores = Vec::new();
        for part in view.parts.iter() {
            let wanted = uids.intersect(&part.uids);
            if wanted.is_empty() {
                continue;
            }
            let store = storage.store_of(part)?;
            let columns = columns(&store, part)?;
            let number = stores.len();
            for (first, last) in wanted.spans() {
                let from = columns.rows.partition_point(|row| row.uid.0 < first);
                let some = columns.rows.get(from..).unwrap_or_default();
                let some = some.iter().take_while(|row| row.uid.0 <= last);
                rows.extend(some.map(|row| (row.uid.0, number, row.msg.0, row.date.secs, row.size)));
            }
            stores.push((store, Vec::new()));
        }
        if stores.len() > 1 {
            rows.sort_unstable_by_key(|row| row.0);
        }
        let mut picked = Picked { uids: Vec::new(), dates: Vec::new(), sizes: Vec::new(), stores };
        for (at, (uid, number, msg, date, size)) in (0u32..).zip(rows) {
            picked.uids.push(uid);
            picked.dates.push(date);
            picked.sizes.push(size);
            if let Some((_, wanted)) = picked.stores.get_mut(number) {
                wanted.push((msg, at));
            }
        }
        for (_, wanted) in &mut picked.stores {
            wanted.sort();
        }
        Ok(picked)
    }

    fn count(&self) -> u32 {
        u32::try_from(self.uids.len()).unwrap_or(u32::MAX)
    }

    fn read(
        &self,
        column: Column,
        check: &dyn Fn() -> Result<(), Error>,
        take: &mut dyn FnMut(usize, Entry<'_>),
    ) -> Result<(), Error> {
        for (store, wanted) in &self.stores {
            store.db.orders(column, wanted, check, &mut |at, entry| take(at as usize, entry))?;
        }
        Ok(())
    }

    /// A caller's scores.
    fn scores(&self, scores: &[u8]) -> Vec<i64> {
        (0..self.uids.len()).map(|at| scores.get(at).copied().map_or(0, i64::from)).collect()
    }

    fn relevancy(&self, words: &[String], check: &dyn Fn() -> Result<(), Error>) -> Result<Vec<u8>, Error> {
        let words = Words::new(words);
        let count = self.uids.len();
        // Who is only in one column has no more than its share of it.
        let mut scores = vec![0u8; count];
        let mut people: Vec<[u32; 4]> = vec![[0; 4]; count];
        let mut names = Texts::default();
        names.number(b"");
        for (column, place) in [(Column::From, 0), (Column::To, 2)] {
            self.read(column, check, &mut |at, entry| {
                if let (Entry::Person { mailbox, display }, Some(known)) = (entry, people.get_mut(at)) {
                    let numbers = [names.number(mailbox), names.number(display)];
                    known.iter_mut().skip(place).zip(numbers).for_each(|(known, number)| *known = number);
                }
            })?;
        }
        let names = names.all();
        let name = |number: u32| names.get(number as usize).map_or("", String::as_str);
        self.read(Column::Subject, check, &mut |at, entry| {
            if let (Entry::Subject { text, .. }, Some(score), Some(people)) =
                (entry, scores.get_mut(at), people.get(at))
            {
                let subject = String::from_utf8_lossy(text);
                *score = words.score(&relevancy::Texts { subject: &subject, people: people.map(name) });
            }
        })?;
        Ok(scores)
    }

    /// What each message compares by, as numbers.
    fn values(&self, by: By, check: &dyn Fn() -> Result<(), Error>) -> Result<Vec<i64>, Error> {
        let (column, display) = match by {
            By::Arrival => return Ok(self.dates.clone()),
            By::Relevancy => return Ok(vec![0; self.uids.len()]),
            By::Size => {
                return Ok(self.sizes.iter().map(|&size| i64::try_from(size).unwrap_or(i64::MAX)).collect());
            }
            By::Date => {
                let mut dates = self.dates.clone();
                self.read(Column::Sent, check, &mut |at, entry| {
                    if let (Entry::Sent(Some(sent)), Some(date)) = (entry, dates.get_mut(at)) {
                        *date = sent;
                    }
                })?;
                return Ok(dates);
            }
            By::Subject => (Column::Subject, false),
            By::From => (Column::From, false),
            By::DisplayFrom => (Column::From, true),
            By::To => (Column::To, false),
            By::DisplayTo => (Column::To, true),
            By::Cc => (Column::Cc, false),
        };
        let mut texts = Texts::default();
        let mut values = vec![0; self.uids.len()];
        self.read(column, check, &mut |at, entry| {
            let text = match entry {
                Entry::Subject { text, .. } => text,
                Entry::Person { display: text, .. } if display => text,
                Entry::Person { mailbox: text, .. } => text,
                _ => b"",
            };
            if let Some(value) = values.get_mut(at) {
                *value = i64::from(texts.number(text));
            }
        })?;
        check()?;
        let ranks = texts.ranks();
        for value in &mut values {
            *value = usize::try_from(*value).ok().and_then(|n| ranks.get(n)).map_or(0, |&rank| rank.into());
        }
        Ok(values)
    }

    /// Numbers of base subjects (0: the empty one), and who is a reply.
    fn subjects(&self, check: &dyn Fn() -> Result<(), Error>) -> Result<(Vec<u32>, Vec<bool>), Error> {
        let mut texts = Texts::default();
        let (mut numbers, mut replies) = (vec![0; self.uids.len()], vec![false; self.uids.len()]);
        texts.number(b"");
        self.read(Column::Subject, check, &mut |at, entry| {
            if let (Entry::Subject { text, reply }, Some(number), Some(place)) =
                (entry, numbers.get_mut(at), replies.get_mut(at))
            {
                *number = texts.number(text);
                *place = reply;
            }
        })?;
        Ok((numbers, replies))
    }

    /// Message-IDs and references, in the mailbox's order.
    fn ids(&self, input: &mut Input, check: &dyn Fn() -> Result<(), Error>) -> Result<(), Error> {
        let count = self.uids.len();
        input.ids = vec![None; count];
        // Where each message's references stand in `found`, which has them in the order of the stores.
        let mut places = vec![(0u32, 0u32); count];
        let mut found: Vec<u64> = Vec::new();
        self.read(Column::Ids, check, &mut |at, entry| {
            if let (Entry::Ids { id, references }, Some(own), Some(place)) =
                (entry, input.ids.get_mut(at), places.get_mut(at))
            {
                let from = found.len();
                found.extend(hashes(references));
                *own = id;
                *place = (u32::try_from(from).unwrap_or(0), u32::try_from(found.len()).unwrap_or(0));
            }
        })?;
        let rising = places.windows(2).all(|pair| matches!(pair, [a, b] if a.1 == b.0));
        if rising && places.first().is_none_or(|first| first.0 == 0) {
            input.begins = std::iter::once(0).chain(places.iter().map(|place| place.1)).collect();
            input.references = found;
            return Ok(());
        }
        input.references.reserve_exact(found.len());
        input.begins.push(0);
        for (from, to) in places {
            input.references.extend_from_slice(found.get(from as usize..to as usize).unwrap_or_default());
            input.begins.push(u32::try_from(input.references.len()).unwrap_or(0));
        }
        Ok(())
    }
}

/// Texts and the numbers that stand for them, in the order in which they came.
#[derive(Default)]
struct Texts {
    numbers: HashMap<Box<[u8]>, u32>,
}

impl Texts {
    fn number(&mut self, text: &[u8]) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
        self.numbers.insert(text.into(), next);
        next
    }

    /// The texts by number.
    fn all(self) -> Vec<String> {
        let mut all = vec![String::new(); self.numbers.len()];
        for (text, number) in self.numbers {
            if let Some(place) = all.get_mut(number as usize) {
                *place = String::from_utf8_lossy(&text).into_owned();
            }
        }
        all
    }

    /// Of each number its text's place in the order of the texts.
    fn ranks(self) -> Vec<u32> {
        let mut all: Vec<(Box<[u8]>, u32)> = self.numbers.into_iter().collect();
        all.sort_unstable();
        let mut ranks = vec![0; all.len()];
        for (rank, (_, number)) in (0..).zip(&all) {
            if let Some(place) = ranks.get_mut(*number as usize) {
                *place = rank;
            }
        }
        ranks
    }
}
