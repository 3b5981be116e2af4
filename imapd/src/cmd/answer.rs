//! How searches answer: `* SEARCH`, `* SORT`, `* ESEARCH` (RFC 4731, RFC 5267, RFC 9394) and `* THREAD`, in chunks.
//!
//! Invariant: memory beside what was found is a chunk; lists come as long as they are. What is written is told apart from which
//! mailbox it is about, so that an answer about another one has only another head.

use crate::proto::encode;
use crate::proto::parse::search::Returns;
use crate::proto::set::Runs;
use crate::reply::Refusal;
use crate::session::{CHUNK, Work};
use std::sync::Arc;
use storage::order::{Token, Walk};
use storage::{Cancel, ModSeq, Uid, UidRanges};

/// What was found, in the order in which it is told.
#[derive(Debug, Clone)]
pub(crate) enum Found {
    /// In the mailbox's order.
    Set(UidRanges),
    /// In an order that was asked for.
    Order(Vec<Uid>),
}

impl Found {
    fn len(&self) -> u64 {
        match self {
            Found::Set(set) => set.len(),
            Found::Order(all) => all.len() as u64,
        }
    }
    fn first(&self) -> Option<Uid> {
        match self {
            Found::Set(set) => set.first(),
            Found::Order(all) => all.first().copied(),
        }
    }
    fn last(&self) -> Option<Uid> {
        match self {
            Found::Set(set) => set.last(),
            Found::Order(all) => all.last().copied(),
        }
    }
    /// Those from place `first` to place `last`, counted from 1.
    fn part(&self, first: u64, last: u64) -> Found {
        match self {
            Found::Set(set) => Found::Set(place(set, first, last)),
            Found::Order(all) => {
                let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX).min(all.len());
                let part = all.get(at(first.saturating_sub(1))..at(last)).unwrap_or_default();
                Found::Order(part.to_vec())
            }
        }
    }
    /// Its messages' scores, in its order.
    fn scores(&self, uids: &UidRanges, scores: &[u8]) -> Vec<u8> {
        let of = |uid: Uid| {
            let at = uids.seq_of(uid).and_then(|n| usize::try_from(n - 1).ok());
            at.and_then(|at| scores.get(at)).copied()
        };
        match self {
            Found::Set(set) => set.iter().filter_map(of).collect(),
            Found::Order(all) => all.iter().copied().filter_map(of).collect(),
        }
    }
    fn set(&self) -> UidRanges {
        match self {
            Found::Set(set) => set.clone(),
            Found::Order(all) => {
                let mut sorted = all.clone();
                sorted.sort_unstable();
                UidRanges::from_spans(sorted.into_iter().map(|uid| (uid.0, uid.0)))
            }
        }
    }
}

/// The UIDs from place `first` to place `last` of a set, counted from 1.
pub(crate) fn place(set: &UidRanges, first: u64, last: u64) -> UidRanges {
    let last = last.min(set.len());
    match set.uid_at(first).zip(set.uid_at(last)) {
        Some((first, last)) if first <= last => set.intersect(&UidRanges::from_spans([(first.0, last.0)])),
        _ => UidRanges::new(),
    }
}

/// How numbers are shown.
#[derive(Debug, Clone)]
pub(crate) struct Numbering {
    /// The mailbox whose sequence numbers count.
    pub(crate) mailbox: Arc<UidRanges>,
    /// UIDs are shown, not sequence numbers.
    pub(crate) by_uid: bool,
}

impl Numbering {
    fn of(&self, uid: Uid) -> Option<u64> {
        if self.by_uid { Some(u64::from(uid.0)) } else { self.mailbox.seq_of(uid) }
    }
    fn runs(&self, found: Found) -> Source {
        match found {
            Found::Set(set) => Source::Runs(Runs::new(&set, &self.mailbox, self.by_uid)),
            Found::Order(all) => Source::List(all.into_iter(), self.clone()),
        }
    }
}

/// `* SEARCH …` or `* SORT …`.
/// `mod_seq`: the highest of what was found, if it is to be told (RFC 7162 §3.1.5).
pub(crate) fn plain(
    name: &[u8],
    found: Found,
    mod_seq: Option<ModSeq>,
    numbering: &Numbering,
    out: &mut Vec<u8>,
) -> Box<dyn Work> {
    out.extend_from_slice(b"* ");
    out.extend_from_slice(name);
    let end = match mod_seq {
        Some(highest) => format!(" (MODSEQ {})\r\n", highest.0).into_bytes(),
        None => b"\r\n".to_vec(),
    };
    Box::new(Listing { source: numbering.runs(found), rest: None, first: false, plain: true, end })
}

/// The front of `* ESEARCH` about the selected mailbox. The tag is quoted always: the new Outlook needs it so.
pub(crate) fn head(tag: &[u8], by_uid: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"* ESEARCH (TAG ");
    encode::string(tag, out);
    out.extend_from_slice(if by_uid { b") UID" } else { b")" });
}

/// What follows the front of `* ESEARCH`. `scores`: which messages have which, for RELEVANCY (RFC 6203 §4).
pub(crate) fn extended(
    returns: &Returns,
    found: Found,
    scores: Option<&(UidRanges, Vec<u8>)>,
    mod_seq: Option<ModSeq>,
    numbering: &Numbering,
    out: &mut Vec<u8>,
) -> Box<dyn Work> {
    let mut item = |asked: bool, word: &[u8], value: Option<u64>| {
        if let Some(value) = value.filter(|_| asked) {
            out.extend_from_slice(word);
            encode::number(value, out);
        }
    };
    item(returns.min, b" MIN ", found.first().and_then(|uid| numbering.of(uid)));
    item(returns.max, b" MAX ", found.last().and_then(|uid| numbering.of(uid)));
    item(returns.count, b" COUNT ", Some(found.len()));
    let mut end: &[u8] = b"";
    let listing = returns.all || returns.partial.is_some();
    let all = if scores.is_some() && !listing { found.clone() } else { Found::Order(Vec::new()) };
    let mut listed = Found::Set(UidRanges::new());
    if let Some(partial) = returns.partial {
        let (first, last) = partial.places(found.len());
        listed = found.part(first, last);
        out.extend_from_slice(b" PARTIAL (");
        partial.write(out);
        out.push(b' ');
        end = b")";
        if listed.len() == 0 {
            out.extend_from_slice(b"NIL");
        }
    } else if returns.all && found.len() > 0 {
        listed = found;
        out.extend_from_slice(b" ALL ");
    }
    // The scores stand in the order of what is listed, of all where nothing is.
    let told = if listing { &listed } else { &all };
    let scores = scores.map(|(uids, scores)| told.scores(uids, scores)).filter(|scores| !scores.is_empty());
    let end = end.to_vec();
    let list = Listing { source: numbering.runs(listed), rest: None, first: true, plain: false, end };
    Box::new(Extended { list: Some(list), scores: scores.map(Vec::into_iter), mod_seq, first: true })
}

/// The list of `* ESEARCH`, then its scores.
struct Extended {
    list: Option<Listing>,
    scores: Option<std::vec::IntoIter<u8>>,
    mod_seq: Option<ModSeq>,
    first: bool,
}

impl Extended {
    fn end(&self, out: &mut Vec<u8>) {
        if let Some(highest) = self.mod_seq {
            out.extend_from_slice(b" MODSEQ ");
            encode::number(highest.0, out);
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl Work for Extended {
    fn step(&mut self, out: &mut Vec<u8>, cancel: &Cancel) -> Result<bool, Refusal> {
        if let Some(list) = &mut self.list {
            if !list.step(out, cancel)? {
                return Ok(false);
            }
            self.list = None;
        }
        if let Some(scores) = &mut self.scores {
            while out.len() < CHUNK {
                let Some(score) = scores.next() else {
                    out.push(b')');
                    self.end(out);
                    return Ok(true);
                };
                out.extend_from_slice(if self.first { b" RELEVANCY (" } else { b" " });
                self.first = false;
                encode::number(u64::from(score), out);
            }
            return Ok(false);
        }
        self.end(out);
        Ok(true)
    }
    fn is_inside_line(&self) -> bool {
        true
    }
}

/// What SAVE keeps (RFC 5182 §2.4, RFC 9394 §3.2): all that was found, but where only ends or a part of it were asked for.
pub(crate) fn saved(returns: &Returns, found: &Found) -> UidRanges {
    let some = returns.min || returns.max || returns.partial.is_some();
    if returns.all || returns.count || !some {
        return found.set();
    }
    let mut spans: Vec<(u32, u32)> = Vec::new();
    let ends = [found.first().filter(|_| returns.min), found.last().filter(|_| returns.max)];
    spans.extend(ends.into_iter().flatten().map(|uid| (uid.0, uid.0)));
    if let Some(partial) = returns.partial {
        let (first, last) = partial.places(found.len());
        spans.extend(found.part(first, last).set().spans());
    }
    UidRanges::from_spans(spans)
}

/// Where numbers come from: runs that rise, or one after the other.
#[derive(Debug)]
enum Source {
    Runs(Runs),
    List(std::vec::IntoIter<Uid>, Numbering),
}

impl Source {
    fn next(&mut self) -> Option<(u64, u64)> {
        match self {
            Source::Runs(runs) => runs.next(),
            Source::List(all, numbering) => all.find_map(|uid| numbering.of(uid)).map(|n| (n, n)),
        }
    }
}

/// The numbers of an answer: with blanks in front of each, or as a set.
struct Listing {
    source: Source,
    rest: Option<(u64, u64)>,
    first: bool,
    plain: bool,
    end: Vec<u8>,
}

impl Work for Listing {
    fn step(&mut self, out: &mut Vec<u8>, _: &Cancel) -> Result<bool, Refusal> {
        while let Some((first, last)) = self.rest.take().or_else(|| self.source.next()) {
            if out.len() >= CHUNK {
                self.rest = Some((first, last));
                return Ok(false);
            }
            if self.plain {
                out.push(b' ');
                encode::number(first, out);
                self.rest = (first < last).then(|| (first + 1, last));
                continue;
            }
            if !self.first {
                out.push(b',');
            }
            self.first = false;
            encode::number(first, out);
            if first < last {
                out.push(b':');
                encode::number(last, out);
            }
        }
        out.extend_from_slice(&self.end);
        Ok(true)
    }
    fn is_inside_line(&self) -> bool {
        true
    }
}

/// `* THREAD` (RFC 5256 §4).
pub(crate) fn threads(walk: Walk, numbering: &Numbering, out: &mut Vec<u8>) -> Box<dyn Work> {
    out.extend_from_slice(b"* THREAD");
    Box::new(Threads { walk, numbering: numbering.clone(), before: None })
}

struct Threads {
    walk: Walk,
    numbering: Numbering,
    before: Option<Token>,
}

impl Work for Threads {
    fn step(&mut self, out: &mut Vec<u8>, _: &Cancel) -> Result<bool, Refusal> {
        while out.len() < CHUNK {
            let Some(token) = self.walk.next() else {
                out.extend_from_slice(b"\r\n");
                return Ok(true);
            };
            // The blank before the first thread; then one behind each message that something follows.
            let blank = match self.before {
                None => true,
                Some(before) => matches!(before, Token::Message(_)) && token != Token::Close,
            };
            if blank {
                out.push(b' ');
            }
            match token {
                Token::Open => out.push(b'('),
                Token::Close => out.push(b')'),
                // A message is of the mailbox whose threads these are.
                Token::Message(uid) => encode::number(self.numbering.of(uid).unwrap_or(0), out),
            }
            self.before = Some(token);
        }
        Ok(false)
    }
    fn is_inside_line(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::parse::partial::Partial;

    /// All chunks of a work, behind what was written already; none is longer than a chunk and a number.
    fn all(mut out: Vec<u8>, mut work: Box<dyn Work>) -> (String, usize) {
        let mut chunks = 1;
        loop {
            let mut chunk = Vec::new();
            let done = work.step(&mut chunk, &Cancel::default()).unwrap();
            assert!(chunk.len() <= CHUNK + 24);
            out.extend(chunk);
            if done {
                return (String::from_utf8(out).unwrap(), chunks);
            }
            chunks += 1;
        }
    }

    fn numbering(uids: &UidRanges, by_uid: bool) -> Numbering {
        Numbering { mailbox: Arc::new(uids.clone()), by_uid }
    }

    /// Every other UID of 40,000.
    #[test]
    fn long_answers_come_in_chunks_and_are_whole() {
        let found = UidRanges::from_spans((1..=20_000).map(|n| (2 * n, 2 * n)));
        let numbers: Vec<String> = found.iter().map(|uid| uid.to_string()).collect();
        let backwards: Vec<Uid> = found.iter().collect::<Vec<_>>().into_iter().rev().collect();
        let mut out = Vec::new();
        let work = plain(b"SEARCH", Found::Set(found.clone()), None, &numbering(&found, true), &mut out);
        let (text, chunks) = all(out, work);
        assert_eq!(text, format!("* SEARCH {}\r\n", numbers.join(" ")));
        assert!(chunks > 1);
        let mut out = Vec::new();
        let returns = Returns { all: true, ..Returns::default() };
        let work =
            extended(&returns, Found::Order(backwards), None, None, &numbering(&found, true), &mut out);
        let (text, chunks) = all(out, work);
        let reversed: Vec<&str> = numbers.iter().rev().map(String::as_str).collect();
        assert_eq!(text, format!(" ALL {}\r\n", reversed.join(",")));
        assert!(chunks > 1);
    }

    #[test]
    fn every_return_option() {
        let mailbox = UidRanges::from_spans([(11, 20), (31, 40)]);
        let set = Found::Set(UidRanges::from_spans([(12, 14), (20, 20), (31, 32)]));
        let order = Found::Order([32, 12, 31, 20, 14, 13].map(Uid).to_vec());
        let none = Found::Set(UidRanges::new());
        let of =
            |min, max, all, count, partial| Returns { min, max, all, count, partial, ..Returns::default() };
        let partial = |a, b, from_end| Some(Partial { a, b, from_end });
        for (returns, found, by_uid, expected) in [
            (of(true, true, true, true, None), &set, true, " MIN 12 MAX 32 COUNT 6 ALL 12:14,20,31:32"),
            (of(false, false, true, false, None), &set, false, " ALL 2:4,10:12"),
            (of(true, true, true, true, None), &order, true, " MIN 32 MAX 13 COUNT 6 ALL 32,12,31,20,14,13"),
            (of(true, true, true, true, None), &none, true, " COUNT 0"),
            (of(false, false, false, false, partial(1, 2, false)), &set, true, " PARTIAL (1:2 12:13)"),
            (of(false, false, false, true, partial(3, 2, false)), &set, true, " COUNT 6 PARTIAL (3:2 13:14)"),
            (of(false, false, false, false, partial(1, 2, true)), &set, true, " PARTIAL (-1:-2 31:32)"),
            (of(false, false, false, false, partial(5, 99, true)), &set, true, " PARTIAL (-5:-99 12:13)"),
            (of(false, false, false, false, partial(7, 9, false)), &set, true, " PARTIAL (7:9 NIL)"),
            (of(false, false, false, false, partial(7, 9, true)), &set, true, " PARTIAL (-7:-9 NIL)"),
            (of(false, false, false, false, partial(1, 9, false)), &none, true, " PARTIAL (1:9 NIL)"),
            (of(false, false, false, false, partial(2, 3, false)), &order, false, " PARTIAL (2:3 2,11)"),
        ] {
            let mut out = Vec::new();
            let work = extended(&returns, found.clone(), None, None, &numbering(&mailbox, by_uid), &mut out);
            assert_eq!(all(out, work).0, format!("{expected}\r\n"));
        }
    }

    #[test]
    fn scores_stand_in_the_order_of_what_is_listed() {
        let mailbox = UidRanges::from_spans([(11, 20)]);
        let uids = UidRanges::from_spans([(12, 13), (20, 20)]);
        let scores = (uids.clone(), vec![5, 99, 42]);
        let returns =
            |all, count, partial| Returns { all, count, partial, relevancy: true, ..Returns::default() };
        let order = Found::Order([20, 12, 13].map(Uid).to_vec());
        let last = Some(Partial { a: 1, b: 2, from_end: true });
        for (returns, found, expected) in [
            (returns(true, false, None), Found::Set(uids.clone()), " ALL 12:13,20 RELEVANCY (5 99 42)"),
            (returns(true, false, None), order.clone(), " ALL 20,12,13 RELEVANCY (42 5 99)"),
            (returns(false, true, None), order.clone(), " COUNT 3 RELEVANCY (42 5 99)"),
            (returns(false, false, last), order, " PARTIAL (-1:-2 12,13) RELEVANCY (5 99)"),
            (returns(true, true, None), Found::Set(UidRanges::new()), " COUNT 0"),
        ] {
            let mut out = Vec::new();
            let work = extended(&returns, found, Some(&scores), None, &numbering(&mailbox, true), &mut out);
            assert_eq!(all(out, work).0, format!("{expected}\r\n"));
        }
    }

    #[test]
    fn what_save_keeps() {
        let found = Found::Order([5, 1, 9, 7].map(Uid).to_vec());
        let of = |min, max, all, count, partial| Returns {
            min,
            max,
            all,
            count,
            partial,
            save: true,
            ..Returns::default()
        };
        let partial = Some(Partial { a: 2, b: 2, from_end: false });
        for (returns, expected) in [
            (of(false, false, false, false, None), vec![1, 5, 7, 9]),
            (of(true, false, false, false, None), vec![5]),
            (of(false, true, false, false, None), vec![7]),
            (of(true, true, false, false, None), vec![5, 7]),
            (of(true, true, true, false, None), vec![1, 5, 7, 9]),
            (of(true, false, false, true, None), vec![1, 5, 7, 9]),
            (of(false, false, false, false, partial), vec![1]),
            (of(true, true, false, false, partial), vec![1, 5, 7]),
            (of(false, false, false, true, partial), vec![1, 5, 7, 9]),
        ] {
            let kept: Vec<u32> = saved(&returns, &found).iter().map(|uid| uid.0).collect();
            assert_eq!(kept, expected, "{returns:?}");
        }
    }
}
