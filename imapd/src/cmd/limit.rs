//! MESSAGELIMIT (RFC 9738): the most messages that one FETCH, STORE or SEARCH is about, where a setting bounds it.
//!
//! Invariant: what a command is about beyond the bound is left out from the lowest UID up, and said so; nothing is left out silently.
//! SORT, ESEARCH and what SELECT tells by itself have no such bound (RFC 9738 §3.1 names none, §3.3 leaves it where orders are kept).

use super::answer;
use crate::reply::Refusal;
use crate::session::{Done, Session, Work};
use storage::search::Key;
use storage::{Cancel, Uid, UidRanges};

/// What was left out of a command's messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cut {
    most: u64,
    /// The lowest UID that is left.
    lowest: Uid,
}

/// The bound, if there is one.
pub(crate) fn most(s: &Session) -> Option<u64> {
    Some(s.world.settings.message_limit).filter(|&most| most > 0)
}

/// The highest of `uids` that one command may be about (RFC 9738 §3.1: from the highest UID to the lowest).
pub(crate) fn cut(s: &Session, uids: UidRanges) -> (UidRanges, Option<Cut>) {
    let Some(most) = most(s).filter(|&most| uids.len() > most) else { return (uids, None) };
    let top = answer::place(&uids, uids.len() - most + 1, uids.len());
    let cut = top.first().map(|lowest| Cut { most, lowest });
    (top, cut)
}

/// The messages of a mailbox that a search looks at: those that its sets name, whatever else it asks.
pub(crate) fn scope(key: &Key, mailbox: &UidRanges) -> UidRanges {
    match key {
        Key::Uids(uids) => uids.intersect(mailbox),
        Key::And(keys) => keys.iter().fold(mailbox.clone(), |all, key| scope(key, &all)),
        Key::Nothing => UidRanges::new(),
        _ => mailbox.clone(),
    }
}

/// How a command ends whose messages were cut, or were not.
pub(crate) fn done(work: Box<dyn Work>, cut: Option<Cut>, words: &'static str) -> Done {
    match cut {
        None => Done::Work(work, words),
        Some(cut) => {
            let told = format!("{} {words} for the highest UIDs only", cut.code());
            Done::WorkTold(Box::new(Partly { work, cut, aside: false }), told)
        }
    }
}

/// As [`done`], where the tagged answer has a code of its own.
pub(crate) fn done_with_code(work: Box<dyn Work>, cut: Option<Cut>, words: String) -> Done {
    match cut {
        None => Done::WorkTold(work, words),
        Some(cut) => Done::WorkTold(Box::new(Partly { work, cut, aside: true }), words),
    }
}

impl Cut {
    fn code(self) -> String {
        format!("[MESSAGELIMIT {} {}]", self.most, self.lowest.0)
    }
}

/// An answer about a part of the messages.
struct Partly {
    work: Box<dyn Work>,
    cut: Cut,
    /// The tagged answer has another code.
    aside: bool,
}

impl Work for Partly {
    fn step(&mut self, out: &mut Vec<u8>, cancel: &Cancel) -> Result<bool, Refusal> {
        let stepped = self.work.step(out, cancel);
        // RFC 9738 §3.1: where the tagged answer has another code, this one stands in an untagged NO.
        let said = match stepped {
            Err(Refusal::No(..)) => true,
            Ok(ended) => ended && self.aside,
            Err(_) => false,
        };
        if said {
            out.extend_from_slice(b"* NO ");
            out.extend_from_slice(self.cut.code().as_bytes());
            out.extend_from_slice(b" The highest UIDs only\r\n");
        }
        stepped
    }
    fn is_inside_line(&self) -> bool {
        self.work.is_inside_line()
    }
    fn queued(&self) -> Option<&storage::Progress> {
        self.work.queued()
    }
    fn saved(&mut self) -> Option<UidRanges> {
        self.work.saved()
    }
    fn figures(&self) -> (u64, u64) {
        self.work.figures()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_search_looks_at() {
        let mailbox = UidRanges::from_spans([(11, 20)]);
        let uids = |first, last| Key::Uids(UidRanges::from_spans([(first, last)]));
        for (key, (first, last)) in [
            (Key::All, (11, 20)),
            (Key::Text("x".into()), (11, 20)),
            (uids(1, 12), (11, 12)),
            (Key::And(vec![Key::Text("x".into()), uids(12, 15), uids(14, 30)]), (14, 15)),
            // A message that one side names may match by the other.
            (Key::Or(vec![uids(12, 13), Key::Text("x".into())]), (11, 20)),
            (Key::Not(Box::new(uids(12, 13))), (11, 20)),
        ] {
            assert_eq!(scope(&key, &mailbox), UidRanges::from_spans([(first, last)]), "{key:?}");
        }
        assert!(scope(&Key::Nothing, &mailbox).is_empty());
    }
}
