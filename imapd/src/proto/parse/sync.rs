//! What CONDSTORE and QRESYNC add to SELECT, FETCH and STORE (RFC 7162 §7).

use super::partial::Partial;
use super::{Cursor, Wrong};
use crate::proto::set::SeqSet;
use storage::{ModSeq, Uid, UidRanges};

/// Highest mod-sequence (RFC 7162 §7 `mod-sequence-value`: 63 bits).
const MAX_MOD_SEQ: u64 = i64::MAX as u64;

/// SELECT's parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Select {
    /// CONDSTORE
    pub(crate) condstore: bool,
    /// QRESYNC
    pub(crate) qresync: Option<Resync>,
}

/// What a client knows of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resync {
    /// UIDVALIDITY.
    pub(crate) uid_validity: u32,
    /// The mod-sequence up to which it knows everything.
    pub(crate) since: ModSeq,
    /// The UIDs that it has; none: all that there were.
    pub(crate) known: Option<SeqSet>,
    /// Sequence numbers that it has, and their UIDs, both rising.
    pub(crate) numbers: Option<(SeqSet, SeqSet)>,
}

/// FETCH's modifiers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fetch {
    /// CHANGEDSINCE
    pub(crate) since: Option<ModSeq>,
    /// VANISHED
    pub(crate) vanished: bool,
    /// PARTIAL (RFC 9394 §3.3)
    pub(crate) partial: Option<Partial>,
}

/// A mod-sequence; zero is taken where RFC 7162 has it and where Apple's clients send it.
pub(crate) fn mod_seq(c: &mut Cursor<'_>) -> Result<ModSeq, Wrong> {
    let number = c.number()?;
    if number > MAX_MOD_SEQ { Err(Wrong("the mod-sequence is too large")) } else { Ok(ModSeq(number)) }
}

/// SELECT's parameters, if there are any.
pub(crate) fn select(c: &mut Cursor<'_>) -> Result<Select, Wrong> {
    let mut found = Select::default();
    if !c.rest().starts_with(b" (") {
        return Ok(found);
    }
    c.sp()?;
    c.byte(b'(', "SELECT's parameters stand in parentheses")?;
    loop {
        match c.atom()?.to_ascii_uppercase().as_slice() {
            b"CONDSTORE" if !found.condstore => found.condstore = true,
            b"QRESYNC" if found.qresync.is_none() => {
                c.sp()?;
                found.qresync = Some(resync(c)?);
            }
            _ => return Err(Wrong("unknown SELECT parameter")),
        }
        if c.eat(b')') {
            return Ok(found);
        }
        c.sp()?;
    }
}

fn resync(c: &mut Cursor<'_>) -> Result<Resync, Wrong> {
    c.byte(b'(', "QRESYNC has a list")?;
    let uid_validity = u32::try_from(c.number()?).map_err(|_| Wrong("UIDVALIDITY is too large"))?;
    c.sp()?;
    let since = mod_seq(c)?;
    let (mut known, mut numbers) = (None, None);
    if c.eat(b' ') {
        if c.at_set() {
            known = Some(plain_set(c)?);
        }
        if known.is_none() || c.eat(b' ') {
            c.byte(b'(', "QRESYNC's numbers stand in parentheses")?;
            let of = plain_set(c)?;
            c.sp()?;
            numbers = Some((of, plain_set(c)?));
            c.byte(b')', "QRESYNC's numbers are not closed")?;
        }
    }
    c.byte(b')', "QRESYNC's list is not closed")?;
    Ok(Resync { uid_validity, since, known, numbers })
}

impl Resync {
    /// The highest UID up to which the client's numbers are the mailbox's: it knows what went up to there (RFC 7162 §3.2.5.2).
    /// Costs at most the mailbox's messages.
    pub(crate) fn agreed(&self, mailbox: &UidRanges) -> Option<Uid> {
        let (numbers, uids) = self.numbers.as_ref()?;
        let all = |set: &SeqSet| {
            let spans = set.0.clone().into_iter().filter_map(|(a, b)| a.zip(b));
            spans.flat_map(|(a, b)| a.min(b)..=a.max(b))
        };
        let pairs = all(numbers).zip(all(uids));
        // A message that went moves all numbers behind it.
        let same = pairs.take_while(|&(number, uid)| mailbox.uid_at(number.into()) == Some(Uid(uid)));
        same.last().map(|(_, uid)| Uid(uid))
    }
}

/// A set without `*` (RFC 7162 §7 `known-uids`).
fn plain_set(c: &mut Cursor<'_>) -> Result<SeqSet, Wrong> {
    let set = c.set()?;
    match set.0.iter().any(|(a, b)| a.is_none() || b.is_none()) {
        true => Err(Wrong("known numbers have no *")),
        false => Ok(set),
    }
}

/// FETCH's modifiers, if there are any.
pub(crate) fn fetch(c: &mut Cursor<'_>) -> Result<Fetch, Wrong> {
    let mut found = Fetch::default();
    if !c.rest().starts_with(b" (") {
        return Ok(found);
    }
    c.sp()?;
    c.byte(b'(', "a modifier is missing")?;
    loop {
        match c.atom()?.to_ascii_uppercase().as_slice() {
            b"CHANGEDSINCE" if found.since.is_none() => {
                c.sp()?;
                found.since = Some(mod_seq(c)?);
            }
            b"VANISHED" if !found.vanished => found.vanished = true,
            b"PARTIAL" if found.partial.is_none() => {
                c.sp()?;
                found.partial = Some(Partial::parse(c)?);
            }
            _ => return Err(Wrong("Unknown FETCH modifier")),
        }
        if c.eat(b')') {
            break;
        }
        c.sp()?;
    }
    // RFC 7162 §3.2.6: it is about what changed.
    if found.vanished && found.since.is_none() {
        return Err(Wrong("VANISHED needs CHANGEDSINCE"));
    }
    Ok(found)
}

/// STORE's modifier UNCHANGEDSINCE and the blank behind it, if it is there.
pub(crate) fn unchanged_since(c: &mut Cursor<'_>) -> Result<Option<ModSeq>, Wrong> {
    if !c.eat(b'(') {
        return Ok(None);
    }
    if !c.eat_word("UNCHANGEDSINCE") {
        return Err(Wrong("unknown STORE modifier"));
    }
    c.sp()?;
    let since = mod_seq(c)?;
    c.byte(b')', "a list of modifiers is not closed")?;
    c.sp()?;
    Ok(Some(since))
}

/// SEARCH's MODSEQ behind its name: an entry and its type are taken and mean nothing, as no flag has a mod-sequence of its own.
pub(crate) fn search(c: &mut Cursor<'_>) -> Result<ModSeq, Wrong> {
    c.sp()?;
    if c.peek() == Some(b'"') {
        let entry = c.string()?;
        if !entry.to_ascii_lowercase().starts_with(b"/flags/") {
            return Err(Wrong("MODSEQ's entry is a flag"));
        }
        c.sp()?;
        if !(c.eat_word("priv") || c.eat_word("shared") || c.eat_word("all")) {
            return Err(Wrong("MODSEQ's type is priv, shared or all"));
        }
        c.sp()?;
    }
    mod_seq(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all<T>(text: &str, parse: impl Fn(&mut Cursor<'_>) -> Result<T, Wrong>) -> Option<T> {
        let mut c = Cursor::new(text.as_bytes());
        let found = parse(&mut c).ok()?;
        c.end().ok().map(|()| found)
    }

    #[test]
    fn parameters_of_select() {
        let resync = |uid_validity, since, known: Option<&str>| {
            let known = known.and_then(|set| SeqSet::parse(set.as_bytes()));
            Some(Resync { uid_validity, since: ModSeq(since), known, numbers: None })
        };
        let numbered = |known: Option<Resync>, numbers: &str, uids: &str| {
            let set = |text: &str| SeqSet::parse(text.as_bytes()).unwrap();
            known.map(|known| Resync { numbers: Some((set(numbers), set(uids))), ..known })
        };
        for (text, condstore, qresync) in [
            ("", false, None),
            (" (CONDSTORE)", true, None),
            (
                " (qresync (67890007 20050715194045000 41,43:211,214:541))",
                false,
                resync(67_890_007, 20_050_715_194_045_000, Some("41,43:211,214:541")),
            ),
            (
                " (QRESYNC (67890007 90060115194045000 1:29997 (5000,7500 15000,22500)))",
                false,
                numbered(
                    resync(67_890_007, 90_060_115_194_045_000, Some("1:29997")),
                    "5000,7500",
                    "15000,22500",
                ),
            ),
            (" (QRESYNC (1 0 (1 1)))", false, numbered(resync(1, 0, None), "1", "1")),
            (" (CONDSTORE QRESYNC (1 9223372036854775807))", true, resync(1, i64::MAX as u64, None)),
        ] {
            assert_eq!(all(text, select), Some(Select { condstore, qresync }), "{text}");
        }
        for text in [
            " ()",
            " (CONDSTORE",
            " (CONDSTORE CONDSTORE)",
            " (NONE)",
            " (QRESYNC)",
            " (QRESYNC ())",
            " (QRESYNC (1))",
            " (QRESYNC (1 9223372036854775808))",
            " (QRESYNC (4294967296 1))",
            " (QRESYNC (1 1 1:*))",
            " (QRESYNC (1 1 1:2 (1)))",
            " (QRESYNC (1 1 1:2 (* 1)))",
            " (QRESYNC (1 1 ))",
        ] {
            assert_eq!(all(text, select), None, "{text}");
        }
    }

    #[test]
    fn modifiers_of_fetch_and_store() {
        let partial = Partial { a: 1, b: 5, from_end: true };
        for (text, since, vanished, partial) in [
            ("", None, false, None),
            (" (CHANGEDSINCE 0)", Some(0), false, None),
            (" (changedsince 12 vanished)", Some(12), true, None),
            (" (PARTIAL -1:-5 VANISHED CHANGEDSINCE 3)", Some(3), true, Some(partial)),
        ] {
            let since = since.map(ModSeq);
            assert_eq!(all(text, fetch), Some(Fetch { since, vanished, partial }), "{text}");
        }
        for text in [
            " ()",
            " (VANISHED)",
            " (CHANGEDSINCE)",
            " (CHANGEDSINCE 1 CHANGEDSINCE 2)",
            " (X)",
            " (CHANGEDSINCE 1",
        ] {
            assert_eq!(all(text, fetch), None, "{text}");
        }
        assert_eq!(all("(UNCHANGEDSINCE 7) ", unchanged_since), Some(Some(ModSeq(7))));
        assert_eq!(all("", unchanged_since), Some(None));
        assert_eq!(all("(CHANGEDSINCE 7) ", unchanged_since), None);
    }

    #[test]
    fn the_key_of_search() {
        for (text, since) in
            [(" 620162338", Some(620_162_338)), (" \"/flags/\\\\draft\" all 620", Some(620)), (" 0", Some(0))]
        {
            assert_eq!(all(text, search), since.map(ModSeq), "{text}");
        }
        for text in ["", " x", " \"/flags/x\" 5", " \"/flags/x\" public 5", " \"x\" all 5"] {
            assert_eq!(all(text, search), None, "{text}");
        }
    }

    #[test]
    fn numbers_agree_up_to_the_first_message_that_went() {
        let mailbox = UidRanges::from_spans([(1, 3), (5, 9)]);
        for (numbers, uids, agreed) in [
            ("1,3", "1,3", Some(3)),
            ("1:3,4", "1:3,5", Some(5)),
            ("2,4,5", "2,4,5", Some(2)),
            ("4", "4", None),
            ("1:4294967295", "1:4294967295", Some(3)),
            ("8,9", "9,10", Some(9)),
        ] {
            let set = |text: &str| SeqSet::parse(text.as_bytes()).unwrap();
            let numbers = Some((set(numbers), set(uids)));
            let known = Resync { uid_validity: 1, since: ModSeq(1), known: None, numbers };
            assert_eq!(known.agreed(&mailbox), agreed.map(Uid), "{known:?}");
        }
    }
}
