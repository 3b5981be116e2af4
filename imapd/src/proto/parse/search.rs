//! SEARCH's program (RFC 3501 §6.4.4, RFC 5032, RFC 5182; RETURN of RFC 4731, RFC 5182, RFC 9394), turned into storage's keys.
//!
//! Iterative, with a stack of its own: ORs chain by the hundred and can't overflow anything. Keys that a read-only
//! archive knows the answer of (UNDELETED, SEEN, RECENT …) become All or Nothing here and cost nothing later.

use super::partial::Partial;
use super::{Cursor, Wrong};
use crate::cmd::objects;
use crate::proto::date;
use storage::UidRanges;
use storage::search::{Flag, Key};

/// Most parentheses inside each other.
pub(crate) const MAX_PARENS: usize = 32;
/// Most keys of one search.
pub(crate) const MAX_KEYS: usize = 1_024;
/// Deepest tree of AND, OR and NOT once chains of the same kind are joined.
pub(crate) const MAX_DEPTH: usize = 64;

/// What RETURN asks for (RFC 4731; SAVE of RFC 5182, PARTIAL of RFC 9394, RELEVANCY of
/// RFC 6203).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Returns {
    /// MIN
    pub(crate) min: bool,
    /// MAX
    pub(crate) max: bool,
    /// ALL
    pub(crate) all: bool,
    /// COUNT
    pub(crate) count: bool,
    /// SAVE
    pub(crate) save: bool,
    /// PARTIAL
    pub(crate) partial: Option<Partial>,
    /// RELEVANCY
    pub(crate) relevancy: bool,
}

/// A search's keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Criteria {
    /// What is looked for.
    pub(crate) key: Key,
    /// The words that FUZZY looks for (RFC 6203); none without FUZZY.
    pub(crate) fuzzy: Option<Vec<String>>,
    /// MODSEQ is among the keys (RFC 7162): the answer has the highest.
    pub(crate) mod_seq: bool,
}

impl Returns {
    /// Whether nothing is to be told.
    pub(crate) fn is_save_alone(&self) -> bool {
        *self == Returns { save: true, ..Returns::default() }
    }
}

/// The charset of a command's strings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Charset {
    encoding: &'static encoding_rs::Encoding,
    /// No byte above 127 belongs to it.
    ascii: bool,
}

impl Charset {
    const UTF_8: Charset = Charset { encoding: encoding_rs::UTF_8, ascii: false };

    fn named(name: &[u8]) -> Result<Charset, Refused> {
        let encoding = encoding_rs::Encoding::for_label_no_replacement(name).ok_or(Refused::Charset)?;
        // What has NULs between letters stands in no IMAP string; the other one is no charset of mail.
        let useless = [encoding_rs::UTF_16BE, encoding_rs::UTF_16LE, encoding_rs::X_USER_DEFINED];
        if useless.contains(&encoding) {
            return Err(Refused::Charset);
        }
        let ascii = [&b"us-ascii"[..], b"ascii"].iter().any(|label| name.eq_ignore_ascii_case(label));
        Ok(Charset { encoding, ascii })
    }

    fn decode(self, bytes: &[u8]) -> Result<String, Refused> {
        if self.ascii && !bytes.is_ascii() {
            return Err(Refused::Charset);
        }
        let text = self.encoding.decode_without_bom_handling_and_without_replacement(bytes);
        text.map(std::borrow::Cow::into_owned).ok_or(Refused::Charset)
    }
}

/// Why a SEARCH was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// Syntax.
    #[error(transparent)]
    Wrong(#[from] Wrong),
    /// The charset is unknown, or the strings are not in it.
    #[error("unknown charset, or a string is not in it")]
    Charset,
    /// Well-formed, but more than is done at once.
    #[error("{0}")]
    Limit(&'static str),
}

#[derive(Debug)]
struct Node {
    key: Key,
    depth: usize,
}

enum Open {
    Paren(Vec<Node>),
    Not,
    Fuzzy,
    Or(Option<Node>),
}

/// Parses RETURN with its options, if it is next, and the blank behind it.
pub(crate) fn returns(c: &mut Cursor<'_>) -> Result<Option<Returns>, Wrong> {
    if !c.eat_word("RETURN") {
        return Ok(None);
    }
    c.sp()?;
    let returns = return_options(c)?;
    c.sp()?;
    Ok(Some(returns))
}

/// Parses CHARSET, if it is next. Without it 8-bit counts as UTF-8: some clients never send it.
pub(crate) fn charset(c: &mut Cursor<'_>) -> Result<Charset, Refused> {
    if !c.eat_word("CHARSET") {
        return Ok(Charset::UTF_8);
    }
    c.sp()?;
    charset_name(c)
}

/// Parses a charset's name and the blank behind it.
pub(crate) fn charset_name(c: &mut Cursor<'_>) -> Result<Charset, Refused> {
    let name = c.astring()?;
    c.sp()?;
    Charset::named(&name)
}

/// Parses a search's keys, in a mailbox with these UIDs; `saved`: what `$` means; `uidonly`: no sequence number may be named.
pub(crate) fn criteria(
    c: &mut Cursor<'_>,
    mailbox: &UidRanges,
    saved: &UidRanges,
    charset: Charset,
    uidonly: bool,
) -> Result<Criteria, Refused> {
    let mut p =
        Program { c, mailbox, saved, charset, uidonly, keys: 0, open_fuzzy: 0, fuzzy: None, mod_seq: false };
    let key = program(&mut p)?;
    Ok(Criteria { key, fuzzy: p.fuzzy, mod_seq: p.mod_seq })
}

fn return_options(c: &mut Cursor<'_>) -> Result<Returns, Wrong> {
    let mut returns = Returns::default();
    c.byte(b'(', "RETURN has a list")?;
    while !c.eat(b')') {
        match c.atom()?.to_ascii_uppercase().as_slice() {
            b"MIN" => returns.min = true,
            b"MAX" => returns.max = true,
            b"ALL" => returns.all = true,
            b"COUNT" => returns.count = true,
            b"SAVE" => returns.save = true,
            b"RELEVANCY" => returns.relevancy = true,
            b"PARTIAL" if returns.partial.is_none() => {
                c.sp()?;
                returns.partial = Some(Partial::parse(c)?);
            }
            _ => return Err(Wrong("unknown RETURN option")),
        }
        if c.peek() != Some(b')') {
            c.sp()?;
        }
    }
    if returns == Returns::default() {
        returns.all = true;
    }
    // RFC 9394 §3.1: both together are an error.
    if returns.all && returns.partial.is_some() {
        return Err(Wrong("RETURN has either ALL or PARTIAL"));
    }
    Ok(returns)
}

struct Program<'c, 'a> {
    c: &'c mut Cursor<'a>,
    mailbox: &'c UidRanges,
    saved: &'c UidRanges,
    charset: Charset,
    uidonly: bool,
    keys: usize,
    /// FUZZYs that the next key stands under.
    open_fuzzy: usize,
    fuzzy: Option<Vec<String>>,
    mod_seq: bool,
}

fn program(p: &mut Program<'_, '_>) -> Result<Key, Refused> {
    let mut stack = vec![Open::Paren(Vec::new())];
    let mut parens = 0;
    loop {
        if p.c.eat(b'(') {
            parens += 1;
            if parens > MAX_PARENS {
                return Err(Wrong("parentheses are nested too deep").into());
            }
            stack.push(Open::Paren(Vec::new()));
            continue;
        }
        if p.c.eat_word("NOT") {
            p.c.sp()?;
            stack.push(Open::Not);
            continue;
        }
        if p.c.eat_word("OR") {
            p.c.sp()?;
            stack.push(Open::Or(None));
            continue;
        }
        if p.c.eat_word("FUZZY") {
            p.c.sp()?;
            p.open_fuzzy += 1;
            p.fuzzy.get_or_insert_default();
            stack.push(Open::Fuzzy);
            continue;
        }
        p.keys += 1;
        let key = p.key()?;
        if p.keys > MAX_KEYS {
            return Err(Wrong("the search has too many keys").into());
        }
        // FUZZY makes several of one.
        let depth = if matches!(key, Key::And(_)) { 2 } else { 1 };
        let mut node = Node { key, depth };
        // A key is complete: close whatever it completes.
        loop {
            if node.depth > MAX_DEPTH {
                return Err(Refused::Limit("the search is nested too deep"));
            }
            match stack.pop() {
                Some(Open::Not) => node = not(node),
                Some(Open::Fuzzy) => p.open_fuzzy -= 1,
                Some(Open::Or(Some(left))) => node = join(vec![left, node], false),
                Some(Open::Or(None)) => {
                    p.c.sp()?;
                    stack.push(Open::Or(Some(node)));
                    break;
                }
                Some(Open::Paren(mut all)) => {
                    all.push(node);
                    if stack.is_empty() {
                        // Blanks at the end are forgiven.
                        let mut ahead = p.c.clone();
                        if ahead.end().is_ok() {
                            return Ok(join(all, true).key);
                        }
                    } else if p.c.eat(b')') {
                        parens -= 1;
                        node = join(all, true);
                        continue;
                    }
                    p.c.sp()?;
                    stack.push(Open::Paren(all));
                    break;
                }
                None => return Err(Wrong("the search is wrong").into()),
            }
        }
    }
}

fn not(node: Node) -> Node {
    let Node { key, depth } = node;
    match key {
        Key::Not(inner) => Node { key: *inner, depth: depth.saturating_sub(1).max(1) },
        Key::All => Node { key: Key::Nothing, depth },
        Key::Nothing => Node { key: Key::All, depth },
        key => Node { key: Key::Not(Box::new(key)), depth: depth + 1 },
    }
}

/// AND or OR of the nodes; those of the same kind inside are taken apart, known answers are used up.
fn join(nodes: Vec<Node>, and: bool) -> Node {
    let (neutral, decides) = if and { (Key::All, Key::Nothing) } else { (Key::Nothing, Key::All) };
    let mut keys = Vec::new();
    let mut depth = 1;
    for node in nodes {
        if node.key == decides {
            return Node { key: decides, depth: 1 };
        }
        match node.key {
            Key::And(inner) if and => {
                depth = depth.max(node.depth);
                if keys.is_empty() { keys = inner } else { keys.extend(inner) }
            }
            Key::Or(inner) if !and => {
                depth = depth.max(node.depth);
                if keys.is_empty() { keys = inner } else { keys.extend(inner) }
            }
            key if key == neutral => {}
            key => {
                depth = depth.max(node.depth + 1);
                keys.push(key);
            }
        }
    }
    match (keys.len(), and) {
        (0, _) => Node { key: neutral, depth: 1 },
        (1, _) => Node { key: keys.pop().unwrap_or(neutral), depth: depth.saturating_sub(1).max(1) },
        (_, true) => Node { key: Key::And(keys), depth },
        (_, false) => Node { key: Key::Or(keys), depth },
    }
}

impl Program<'_, '_> {
    fn key(&mut self) -> Result<Key, Refused> {
        if self.c.at_set() {
            // RFC 9586 §3.4.
            if self.uidonly {
                return Err(Wrong("[UIDREQUIRED] A search names messages by UID").into());
            }
            return Ok(Key::Uids(self.c.set()?.clamped(self.mailbox)));
        }
        if self.c.eat(b'$') {
            return Ok(Key::Uids(self.saved.intersect(self.mailbox)));
        }
        let name = self.c.atom()?.to_ascii_uppercase();
        Ok(match name.as_slice() {
            b"ALL" | b"SEEN" | b"OLD" | b"UNDELETED" | b"UNDRAFT" => Key::All,
            b"NEW" | b"RECENT" | b"UNSEEN" | b"DELETED" | b"DRAFT" => Key::Nothing,
            b"ANSWERED" => Key::Flag(Flag::Answered),
            b"FLAGGED" => Key::Flag(Flag::Flagged),
            b"UNANSWERED" => Key::Not(Box::new(Key::Flag(Flag::Answered))),
            b"UNFLAGGED" => Key::Not(Box::new(Key::Flag(Flag::Flagged))),
            b"KEYWORD" => self.keyword()?.map_or(Key::Nothing, Key::Flag),
            b"UNKEYWORD" => self.keyword()?.map_or(Key::All, |f| Key::Not(Box::new(Key::Flag(f)))),
            b"TEXT" => self.needle(&Key::Text)?,
            b"BODY" => self.needle(&Key::Body)?,
            b"FROM" | b"TO" | b"CC" | b"BCC" | b"SUBJECT" => {
                let name = String::from_utf8_lossy(&name).into_owned();
                self.needle(&|text| Key::Header(name.clone(), text))?
            }
            b"HEADER" => {
                let field = self.text()?;
                self.needle(&|text| Key::Header(field.clone(), text))?
            }
            b"BEFORE" => Key::Before(self.day()?),
            b"ON" => Key::On(self.day()?),
            b"SINCE" => Key::Since(self.day()?),
            b"OLDER" => Key::ArrivedUntil(self.ago()?),
            b"YOUNGER" => Key::ArrivedFrom(self.ago()?),
            b"SENTBEFORE" => Key::SentBefore(self.day()?),
            b"SENTON" => Key::SentOn(self.day()?),
            b"SENTSINCE" => Key::SentSince(self.day()?),
            b"MODSEQ" => {
                self.mod_seq = true;
                Key::ModSeq(super::sync::search(self.c)?.0)
            }
            b"EMAILID" => objects::find_email(&self.object()?).map_or(Key::Nothing, Key::Identity),
            b"THREADID" => objects::find_thread(&self.object()?).map_or(Key::Nothing, Key::Conversation),
            b"SAVEDATESUPPORTED" => Key::All,
            b"SAVEDBEFORE" => Key::Saved(i64::MIN, midnight(self.day()?)),
            b"SAVEDON" => {
                let day = midnight(self.day()?);
                Key::Saved(day, day.saturating_add(SECS_A_DAY))
            }
            b"SAVEDSINCE" => Key::Saved(midnight(self.day()?), i64::MAX),
            b"LARGER" => Key::Larger(self.number()?),
            b"SMALLER" => Key::Smaller(self.number()?),
            b"UID" => {
                self.c.sp()?;
                if self.c.eat(b'$') {
                    return Ok(Key::Uids(self.saved.intersect(self.mailbox)));
                }
                Key::Uids(self.c.set()?.uids(self.mailbox))
            }
            b"UIDAFTER" => {
                let uid = self.uid()?;
                self.uids(uid.checked_add(1).map(|first| (first, u32::MAX)))
            }
            b"UIDBEFORE" => {
                let uid = self.uid()?;
                self.uids((uid > 1).then(|| (1, uid - 1)))
            }
            _ => return Err(Wrong("unknown search key").into()),
        })
    }

    /// A key about a text. Under FUZZY its words are looked for, each anywhere and as a part of words too.
    fn needle(&mut self, key: &dyn Fn(String) -> Key) -> Result<Key, Refused> {
        let text = self.text()?;
        let Some(fuzzy) = self.fuzzy.as_mut().filter(|_| self.open_fuzzy > 0) else { return Ok(key(text)) };
        let mut words: Vec<&str> =
            text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
        words.sort_unstable();
        words.dedup();
        self.keys += words.len().saturating_sub(1);
        // Refused by who counts them, not made.
        words.truncate(MAX_KEYS);
        fuzzy.extend(words.iter().map(|word| (*word).to_owned()));
        Ok(match words[..] {
            [] => key(text),
            [one] => key(one.to_owned()),
            _ => Key::And(words.into_iter().map(|word| key(word.to_owned())).collect()),
        })
    }

    fn keyword(&mut self) -> Result<Option<Flag>, Wrong> {
        self.c.sp()?;
        Ok(self.c.atom()?.eq_ignore_ascii_case(b"$Forwarded").then_some(Flag::Forwarded))
    }

    /// An object's name (RFC 8474 §7 `objectid`); some clients quote it.
    fn object(&mut self) -> Result<Vec<u8>, Wrong> {
        self.c.sp()?;
        Ok(self.c.astring()?.into_owned())
    }

    /// A UID (RFC 9738 §3.2).
    fn uid(&mut self) -> Result<u32, Wrong> {
        let number = self.number()?;
        u32::try_from(number).ok().filter(|&uid| uid > 0).ok_or(Wrong("the UID is wrong"))
    }

    fn uids(&self, span: Option<(u32, u32)>) -> Key {
        Key::Uids(self.mailbox.intersect(&UidRanges::from_spans(span)))
    }

    fn number(&mut self) -> Result<u64, Wrong> {
        self.c.sp()?;
        self.c.number()
    }

    /// So many seconds ago (RFC 5032), seconds since 1970.
    fn ago(&mut self) -> Result<i64, Wrong> {
        let secs = self.number()?;
        let secs = u32::try_from(secs).ok().filter(|&secs| secs > 0);
        let secs = secs.ok_or(Wrong("the number of seconds is wrong"))?;
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let now = now.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX));
        Ok(now.saturating_sub(i64::from(secs)))
    }

    fn day(&mut self) -> Result<storage::search::Day, Wrong> {
        self.c.sp()?;
        date::parse_day(&self.c.astring()?).ok_or(Wrong("the date is wrong"))
    }

    fn text(&mut self) -> Result<String, Refused> {
        self.c.sp()?;
        let bytes = self.c.astring()?;
        self.charset.decode(&bytes)
    }
}

const SECS_A_DAY: i64 = 86_400;

/// When a day begins, UTC, seconds since 1970.
fn midnight(day: storage::search::Day) -> i64 {
    day.0.saturating_mul(SECS_A_DAY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use storage::search::Day;

    fn parse(text: &[u8]) -> Result<Key, Refused> {
        let mut c = Cursor::new(text);
        returns(&mut c)?;
        let charset = charset(&mut c)?;
        let saved = UidRanges::from_spans([(12, 13), (20, 30)]);
        let found = criteria(&mut c, &UidRanges::from_spans([(11, 20)]), &saved, charset, false)?;
        c.end()?;
        Ok(found.key)
    }
    fn header(name: &str, text: &str) -> Key {
        Key::Header(name.into(), text.into())
    }
    fn uids(a: u32, b: u32) -> Key {
        Key::Uids(UidRanges::from_spans([(a, b)]))
    }

    #[test]
    fn what_real_clients_send() {
        for (text, key) in [
            ("UNDELETED SUBJECT \"Topic 3\"", header("SUBJECT", "Topic 3")),
            ("CHARSET UTF-8 UNDELETED SUBJECT {4}\r\n\u{fc}\u{fc}", header("SUBJECT", "\u{fc}\u{fc}")),
            ("NOT BODY \"x\"", Key::Not(Box::new(Key::Body("x".into())))),
            ("OR TO \"x\" HEADER CC \"x\"", Key::Or(vec![header("TO", "x"), header("CC", "x")])),
            (
                "SENTBEFORE 16-Nov-2023 SENTSINCE 15-Nov-2023",
                Key::And(vec![Key::SentBefore(Day(19_677)), Key::SentSince(Day(19_676))]),
            ),
            ("LARGER 11264", Key::Larger(11_264)),
            (
                "(OR SUBJECT \"a b\" BODY \"x\\\"y\\\\z\")",
                Key::Or(vec![header("SUBJECT", "a b"), Key::Body("x\"y\\z".into())]),
            ),
            ("1:* NOT DELETED", uids(11, 20)),
            ("UID 1:*", uids(11, 20)),
            ("*:*", uids(20, 20)),
            ("9:99 ALL", uids(19, 20)),
            (
                "OR OR OR SUBJECT q FROM q TO q CC q",
                Key::Or(vec![
                    header("SUBJECT", "q"),
                    header("FROM", "q"),
                    header("TO", "q"),
                    header("CC", "q"),
                ]),
            ),
            ("UNANSWERED UNDELETED UNSEEN", Key::Nothing),
            ("SEEN OLD UNDRAFT UNKEYWORD Junk NOT NEW", Key::All),
            ("KEYWORD $forwarded", Key::Flag(Flag::Forwarded)),
            ("OR UNSEEN NOT NOT FLAGGED", Key::Flag(Flag::Flagged)),
            ("HEADER Message-ID \"\" ", header("Message-ID", "")),
            ("ON \"1-Jan-1970\"", Key::On(Day(0))),
            ("TEXT \"\u{e9}t\u{e9}\"", Key::Text("\u{e9}t\u{e9}".into())),
        ] {
            assert_eq!(parse(text.as_bytes()), Ok(key), "{text}");
        }
        assert_eq!(parse(b"CHARSET iso-8859-1 BODY {1}\r\n\xe9"), Ok(Key::Body("\u{e9}".into())));
        assert_eq!(parse(b"CHARSET big5 BODY {2}\r\n\xa4\xa4"), Ok(Key::Body("\u{4e2d}".into())));
    }

    #[test]
    fn charsets_that_mail_knows() {
        for (label, bytes, expected) in [
            ("UTF-8", &b"\xc3\xa9"[..], "\u{e9}"),
            ("US-ASCII", b"e", "e"),
            ("ISO-8859-1", b"\xe9", "\u{e9}"),
            ("iso-8859-15", b"\xa4", "\u{20ac}"),
            ("ISO-8859-5", b"\xbf", "\u{41f}"),
            ("windows-1251", b"\xcf", "\u{41f}"),
            ("Windows-1252", b"\x80", "\u{20ac}"),
            ("KOI8-R", b"\xf0", "\u{41f}"),
            ("ISO-2022-JP", b"\x1b$B$\"\x1b(B", "\u{3042}"),
            ("Shift_JIS", b"\x82\xa0", "\u{3042}"),
            ("EUC-JP", b"\xa4\xa2", "\u{3042}"),
            ("GB18030", b"\xc4\xe3", "\u{4f60}"),
            ("Big5", b"\xa4\xa4", "\u{4e2d}"),
            ("EUC-KR", b"\xb0\xa1", "\u{ac00}"),
        ] {
            let command =
                [format!("CHARSET \"{label}\" BODY {{{}}}\r\n", bytes.len()).as_bytes(), bytes].concat();
            assert_eq!(parse(&command), Ok(Key::Body(expected.into())), "{label}");
        }
        for (label, bytes) in [
            ("utf-8", &b"\xe9"[..]),
            ("us-ascii", b"\xe9"),
            ("ASCII", b"\xc3\xa9"),
            ("shift_jis", b"\x82"),
            ("euc-kr", b"\xff\xff"),
            ("utf-16le", b"a"),
            ("x-user-defined", b"a"),
        ] {
            let command =
                [format!("CHARSET {label} BODY {{{}}}\r\n", bytes.len()).as_bytes(), bytes].concat();
            assert_eq!(parse(&command), Err(Refused::Charset), "{label}");
        }
    }

    #[test]
    fn what_was_saved_and_what_is_within_a_time() {
        let saved = Key::Uids(UidRanges::from_spans([(12, 13), (20, 20)]));
        assert_eq!(parse(b"$"), Ok(saved.clone()), "only what the mailbox has");
        assert_eq!(parse(b"NOT UID $"), Ok(Key::Not(Box::new(saved))));
        for bad in ["$1", "1,$", "OLDER 0", "YOUNGER", "OLDER -1", "YOUNGER 4294967296"] {
            assert!(matches!(parse(bad.as_bytes()), Err(Refused::Wrong(_))), "{bad}");
        }
        let (Ok(Key::ArrivedUntil(old)), Ok(Key::ArrivedFrom(young))) =
            (parse(b"OLDER 1000"), parse(b"YOUNGER 10"))
        else {
            panic!("both are moments");
        };
        assert!((989..=991).contains(&(young - old)));
    }

    #[test]
    fn fuzzy_looks_for_words() {
        let text = |words: &[&str]| words.iter().map(|word| Key::Text((*word).into())).collect::<Vec<_>>();
        for (command, key) in [
            ("FUZZY TEXT \"big, red bridge\"", Key::And(text(&["big", "bridge", "red"]))),
            ("FUZZY TEXT bridge", Key::Text("bridge".into())),
            ("FUZZY TEXT \"->\"", Key::Text("->".into())),
            ("FUZZY SUBJECT \"a b\"", Key::And(vec![header("SUBJECT", "a"), header("SUBJECT", "b")])),
            ("FUZZY FUZZY ALL", Key::All),
            ("FUZZY (TEXT \"b a\" LARGER 5) TEXT \"d c\"", {
                let mut all = text(&["a", "b"]);
                all.extend([Key::Larger(5), Key::Text("d c".into())]);
                Key::And(all)
            }),
            ("OR FUZZY BODY x BODY \"y z\"", Key::Or(vec![Key::Body("x".into()), Key::Body("y z".into())])),
        ] {
            assert_eq!(parse(command.as_bytes()), Ok(key), "{command}");
        }
        let words = |n: usize| {
            let all: Vec<String> = (0..n).map(|n| format!("w{n}")).collect();
            parse(format!("FUZZY BODY \"{}\"", all.join(" ")).as_bytes())
        };
        assert!(words(MAX_KEYS).is_ok());
        assert!(words(MAX_KEYS + 1).is_err(), "each word is a key");
        let found = |text: &str| {
            criteria(
                &mut Cursor::new(text.as_bytes()),
                &UidRanges::new(),
                &UidRanges::new(),
                Charset::UTF_8,
                false,
            )
        };
        assert_eq!(found("TEXT x").unwrap().fuzzy, None);
        assert_eq!(found("FUZZY ALL").unwrap().fuzzy, Some(vec![]));
        assert_eq!(
            found("NOT FUZZY (TEXT \"b a\") TEXT c").unwrap().fuzzy,
            Some(vec!["a".into(), "b".into()])
        );
    }

    #[test]
    fn what_is_refused() {
        for bad in [
            "",
            "FOO",
            "(ALL",
            "ALL)",
            "()",
            "NOT",
            "OR ALL",
            "OR ALL ",
            "ALL  ALL",
            "BEFORE 31-Feb-2020",
            "LARGER x",
            "0",
            "UID 0",
            "HEADER x",
            "RETURN ALL",
            "RETURN (X) ALL",
            "KEYWORD",
            "LARGER 18446744073709551616",
            "TEXT \"a",
        ] {
            assert!(matches!(parse(bad.as_bytes()), Err(Refused::Wrong(_))), "{bad}");
        }
        for bad in [b"CHARSET x-none ALL".as_slice(), b"CHARSET replacement ALL", b"TEXT {1}\r\n\xff"] {
            assert_eq!(parse(bad), Err(Refused::Charset));
        }
    }

    #[test]
    fn return_options() {
        let of = |text: &str| returns(&mut Cursor::new(text.as_bytes())).unwrap();
        assert_eq!(of("ALL"), None);
        assert_eq!(of("RETURN () ALL"), Some(Returns { all: true, ..Returns::default() }));
        assert_eq!(
            of("RETURN (MIN count) ALL"),
            Some(Returns { min: true, count: true, ..Returns::default() })
        );
        let save = of("RETURN (SAVE) ALL").unwrap();
        assert!(save.save && !save.all && save.is_save_alone());
        assert!(!of("RETURN (SAVE MIN) ALL").unwrap().is_save_alone());
        let partial = of("RETURN (partial -1:-100 COUNT) ALL").unwrap();
        assert_eq!(partial.partial, Some(Partial { a: 1, b: 100, from_end: true }));
        for bad in
            ["RETURN (PARTIAL) ALL", "RETURN (PARTIAL 1:2 ALL) ALL", "RETURN (PARTIAL 1:2 PARTIAL 1:2) ALL"]
        {
            assert!(returns(&mut Cursor::new(bad.as_bytes())).is_err(), "{bad}");
        }
    }

    #[test]
    fn bounds_of_a_search() {
        let parens = |n: usize| format!("{}ALL{}", "(".repeat(n), ")".repeat(n));
        assert_eq!(parse(parens(MAX_PARENS).as_bytes()), Ok(Key::All));
        assert!(parse(parens(MAX_PARENS + 1).as_bytes()).is_err());
        let keys = |n: usize| vec!["BODY x"; n].join(" ");
        assert!(parse(keys(MAX_KEYS).as_bytes()).is_ok());
        assert!(parse(keys(MAX_KEYS + 1).as_bytes()).is_err());
        let left = |n: usize| format!("{}BODY x{}", "OR ".repeat(n), " BODY y".repeat(n));
        let right = |n: usize| format!("{}BODY x", "OR BODY y ".repeat(n));
        for ors in [left(MAX_KEYS - 1), right(MAX_KEYS - 1)] {
            assert!(matches!(parse(ors.as_bytes()), Ok(Key::Or(all)) if all.len() == MAX_KEYS));
        }
        assert_eq!(parse(format!("{}ALL", "NOT ".repeat(10_000)).as_bytes()), Ok(Key::All));
        // Each pair adds a NOT and an OR to the tree's depth.
        let mixed = |pairs: usize| format!("{}BODY x", "OR BODY y NOT ".repeat(pairs));
        assert!(parse(mixed(MAX_DEPTH / 2 - 1).as_bytes()).is_ok());
        assert!(matches!(parse(mixed(MAX_DEPTH / 2 + 1).as_bytes()), Err(Refused::Limit(_))));
    }

    proptest! {
        #[test]
        fn never_panics(text in "((OR|NOT|ALL|BODY|x|\\(|\\)|1:\\*|UID|\"a\"|HEADER|BEFORE|1-Jan-2020) ?){0,40}") {
            let _unused = parse(text.as_bytes());
        }
    }
}
