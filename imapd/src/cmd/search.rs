//! SEARCH, SORT and THREAD with their UID forms (RFC 3501 §6.4.4, RFC 5256; RETURN of RFC 4731, RFC 5182, RFC 5267 §3 and
//! RFC 9394; FUZZY of RFC 6203). Storage decides what matches and in which order; `answer` writes it in chunks.
//!
//! A search that may have to read messages takes a place in the queue first, and gives it back as soon as it knows its answer.

use super::answer::{self, Found, Numbering};
use super::limit;
use crate::proto::parse::search::{self, Returns};
use crate::proto::parse::{Cursor, order};
use crate::reply::Refusal;
use crate::session::{Call, Done, Session, Work};
use std::sync::Arc;
use storage::order::{By, Criterion, Threading};
use storage::search::Key;
use storage::{Cancel, FolderView, ModSeq, Progress, Storage, UidRanges};

/// A mailbox of more messages is put in order only by so many sessions at once as may search: it takes memory.
const LARGE_MAILBOX: u64 = 50_000;

/// What is made of what a search finds.
#[derive(Debug)]
enum Then {
    Search,
    Sort(Vec<Criterion>),
    Thread(Threading),
}

/// SEARCH
pub(crate) fn run(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let returns = search::returns(c)?.or_else(|| s.enabled.search_returns());
    if !s.enabled.may_name_charset() && c.clone().eat_word("CHARSET") {
        return Err(Refusal::Bad("With UTF8=ACCEPT a search is in UTF-8 and names no charset"));
    }
    let charset = search::charset(c);
    begin(s, call, c, returns, charset, Then::Search, "SEARCH done")
}

/// SORT (RFC 5256 §3; RETURN makes it ESORT, RFC 5267 §3)
pub(crate) fn sort(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let returns = search::returns(c)?;
    let criteria = order::criteria(c)?;
    c.sp()?;
    let charset = search::charset_name(c);
    begin(s, call, c, returns, charset, Then::Sort(criteria), "SORT done")
}

/// THREAD (RFC 5256 §3)
pub(crate) fn thread(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let threading = order::threading(c)?;
    c.sp()?;
    let charset = search::charset_name(c);
    begin(s, call, c, None, charset, Then::Thread(threading), "THREAD done")
}

fn begin(
    s: &mut Session,
    call: &mut Call<'_>,
    c: &mut Cursor<'_>,
    returns: Option<Returns>,
    charset: Result<search::Charset, search::Refused>,
    then: Then,
    words: &'static str,
) -> Result<Done, Refusal> {
    let mailbox = s.selected()?;
    let mailbox_uids = Arc::clone(mailbox.uids());
    let key =
        charset.and_then(|charset| search::criteria(c, &mailbox_uids, &s.saved, charset, s.enabled.uidonly));
    let key = match key.map_err(Refusal::from) {
        // RFC 5182 §2.1: a NO leaves nothing saved, a BAD what was.
        Err(refusal @ Refusal::No(..)) if returns.is_some_and(|returns| returns.save) => {
            s.saved = Arc::default();
            return Err(refusal);
        }
        other => other?,
    };
    c.end()?;
    let search::Criteria { mut key, fuzzy, mod_seq } = key;
    // RFC 9738 §3.1: the messages that are searched count, not those that match. §3.3: an order that is kept needs no bound, a
    // thread can't be made of a part.
    let cut = match (&then, limit::most(s)) {
        (Then::Thread(_), Some(most)) if mailbox_uids.len() > most => return Err(Refusal::TooMany(most)),
        (Then::Search, Some(_)) => {
            let (scope, cut) = limit::cut(s, limit::scope(&key, &mailbox_uids));
            if cut.is_some() {
                key = Key::And(vec![Key::Uids(scope), key]);
            }
            cut
        }
        _ => None,
    };
    let by_relevancy = match &then {
        Then::Sort(criteria) => criteria.iter().any(|criterion| criterion.by == By::Relevancy),
        _ => false,
    };
    // RFC 6203 §4, §5: without FUZZY there is nothing to be relevant to.
    if fuzzy.is_none() && (by_relevancy || returns.is_some_and(|returns| returns.relevancy)) {
        return Err(Refusal::Bad("RELEVANCY needs FUZZY"));
    }
    let scored = by_relevancy || returns.is_some_and(|returns| returns.relevancy);
    let ordered = scored || !matches!(then, Then::Search);
    let waits = key.needs_text() || (ordered && mailbox_uids.len() > LARGE_MAILBOX);
    let work = Seeking {
        storage: s.world.storage.clone(),
        view: mailbox.view().cloned(),
        mod_seq: mod_seq.then(|| mailbox.mod_seq()),
        tag: call.tag.to_vec(),
        numbering: Numbering { mailbox: mailbox_uids, by_uid: call.uid },
        key,
        words: fuzzy.filter(|_| scored),
        then,
        returns,
        waits,
        progress: Progress::default(),
        answer: None,
        saved: returns.filter(|returns| returns.save).map(|_| UidRanges::new()),
    };
    // RFC 7162 §3.1: it turns CONDSTORE on.
    s.enabled.condstore |= mod_seq;
    Ok(limit::done(Box::new(work), cut, words))
}

/// A search, then its answer.
struct Seeking {
    storage: Storage,
    view: Option<FolderView>,
    tag: Vec<u8>,
    numbering: Numbering,
    key: Key,
    /// The answer has the highest mod-sequence, which is never above this (RFC 7162 §3.1.5).
    mod_seq: Option<ModSeq>,
    /// What messages are scored by; none: they aren't.
    words: Option<Vec<String>>,
    then: Then,
    returns: Option<Returns>,
    /// It needs a place in the queue to go on.
    waits: bool,
    progress: Progress,
    answer: Option<Box<dyn Work>>,
    /// What is saved when it ends: nothing, should it fail.
    saved: Option<UidRanges>,
}

impl Seeking {
    fn find(&mut self, out: &mut Vec<u8>, cancel: &Cancel) -> Result<Option<Box<dyn Work>>, Refusal> {
        let found = match &self.view {
            // Only what the snapshot has: a store that came back shows the rest with the next SELECT.
            Some(view) => {
                let all = self.storage.search_watched(view, &self.key, cancel, &self.progress)?;
                all.intersect(&self.numbering.mailbox)
            }
            None => UidRanges::new(),
        };
        let scores = match (&self.words, &self.view) {
            (Some(words), Some(view)) => self.storage.relevancy(view, &found, words, cancel)?,
            _ => Vec::new(),
        };
        let scored = returns_scores(self.returns).then(|| (found.clone(), scores.clone()));
        let (name, found) = match (&self.then, &self.view) {
            (Then::Thread(by), Some(view)) => {
                let forest = self.storage.thread(view, &found, *by, cancel)?;
                return Ok(Some(answer::threads(forest.walk(), &self.numbering, out)));
            }
            (Then::Thread(_), None) => {
                out.extend_from_slice(b"* THREAD\r\n");
                return Ok(None);
            }
            (Then::Sort(criteria), Some(view)) => {
                let order = self.storage.sort(view, &found, criteria, &scores, cancel)?;
                (&b"SORT"[..], Found::Order(order))
            }
            (Then::Sort(_), None) => (&b"SORT"[..], Found::Order(Vec::new())),
            (Then::Search, _) => (&b"SEARCH"[..], Found::Set(found)),
        };
        let mod_seq = match (self.mod_seq, &self.view) {
            (Some(most), Some(view)) => {
                let told = answer::saved(&self.returns.unwrap_or_default(), &found);
                self.storage.highest_of(view, &told)?.map(|highest| highest.min(most))
            }
            _ => None,
        };
        let Some(returns) = self.returns else {
            return Ok(Some(answer::plain(name, found, mod_seq, &self.numbering, out)));
        };
        if returns.save {
            self.saved = Some(answer::saved(&returns, &found));
            // RFC 5182 §2.1: SAVE alone is not answered.
            if returns.is_save_alone() {
                return Ok(None);
            }
        }
        answer::head(&self.tag, self.numbering.by_uid, out);
        Ok(Some(answer::extended(&returns, found, scored.as_ref(), mod_seq, &self.numbering, out)))
    }
}

fn returns_scores(returns: Option<Returns>) -> bool {
    returns.is_some_and(|returns| returns.relevancy)
}

impl Work for Seeking {
    fn step(&mut self, out: &mut Vec<u8>, cancel: &Cancel) -> Result<bool, Refusal> {
        if let Some(answer) = &mut self.answer {
            return answer.step(out, cancel);
        }
        let found = self.find(out, cancel);
        self.waits = false;
        self.answer = found?;
        Ok(self.answer.is_none())
    }
    fn is_inside_line(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer.is_inside_line())
    }
    fn queued(&self) -> Option<&Progress> {
        self.waits.then_some(&self.progress)
    }
    fn saved(&mut self) -> Option<UidRanges> {
        self.saved.take()
    }
    fn figures(&self) -> (u64, u64) {
        (0, self.progress.read().map_or(0, |(done, _)| done))
    }
}
