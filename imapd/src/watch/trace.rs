//! The protocol trace of one user, on demand: what the sessions send and get, without what is private.
//!
//! Left out: literals, everything behind LOGIN and AUTHENTICATE, lines that aren't commands, words that are searched for, and
//! all strings of FETCH's answers (subjects, names, previews). What is left is cut to [`MAX_LINE_BYTES`] and escaped. A reader
//! that is slow loses lines, never slows a session; how many is told.

use parking_lot::Mutex;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Traces at once.
pub const MAX_TRACES: usize = 8;
/// A line's text, before escaping.
pub const MAX_LINE_BYTES: usize = 400;
/// Lines that wait for their reader.
const WAITING: usize = 4_096;

/// Who said a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// The client.
    Client,
    /// The server.
    Server,
}

/// One line of the protocol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceLine {
    /// The session, by a number that none had before while the server ran.
    pub session: u64,
    /// The client's address.
    pub address: IpAddr,
    /// Who said it.
    pub said: Said,
    /// What was said, escaped and cut.
    pub text: String,
}

#[derive(Debug)]
struct Running {
    user: String,
    lines: SyncSender<TraceLine>,
    lost: Arc<AtomicU64>,
}

/// All that are traced now.
#[derive(Debug, Default)]
pub(crate) struct Traces {
    running: AtomicUsize,
    all: Mutex<Vec<Arc<Running>>>,
}

impl Traces {
    pub(crate) fn begin(traces: &Arc<Traces>, user: &str) -> Option<Trace> {
        let mut all = traces.all.lock();
        if all.len() >= MAX_TRACES {
            return None;
        }
        let (lines, receiver) = sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let running = Arc::new(Running { user: user.to_owned(), lines, lost: Arc::clone(&lost) });
        all.push(Arc::clone(&running));
        traces.running.store(all.len(), Ordering::Relaxed);
        drop(all);
        Some(Trace { traces: Arc::clone(traces), running, receiver, lost })
    }

    /// Whether anybody is traced: what a command asks first.
    pub(crate) fn any(&self) -> bool {
        self.running.load(Ordering::Relaxed) > 0
    }

    /// What writes down a session of this user; none: nobody wants to know.
    pub(crate) fn pen(&self, user: &str, session: u64, address: IpAddr) -> Option<Pen> {
        let running: Vec<_> = self.all.lock().iter().filter(|r| r.user == user).cloned().collect();
        (!running.is_empty()).then(|| Pen { running, session, address, censor: Censor::default() })
    }
}

/// A trace that runs; it ends when this is dropped.
#[derive(Debug)]
pub struct Trace {
    traces: Arc<Traces>,
    running: Arc<Running>,
    receiver: Receiver<TraceLine>,
    lost: Arc<AtomicU64>,
}

impl Trace {
    /// The next line; `None` when none came in this time.
    #[must_use]
    pub fn next(&self, within: Duration) -> Option<TraceLine> {
        // This holds a sender itself, so that the channel is never without one.
        self.receiver.recv_timeout(within).ok()
    }

    /// Lines that were lost since the last question, because nobody took them in time.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.swap(0, Ordering::Relaxed)
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        let mut all = self.traces.all.lock();
        all.retain(|other| !Arc::ptr_eq(other, &self.running));
        self.traces.running.store(all.len(), Ordering::Relaxed);
    }
}

/// Writes down one command and its answer.
#[derive(Debug)]
pub(crate) struct Pen {
    running: Vec<Arc<Running>>,
    session: u64,
    address: IpAddr,
    censor: Censor,
}

impl Pen {
    /// A command as the client sent it, its literals in it.
    pub(crate) fn command(&self, command: &[u8]) {
        self.line(Said::Client, command_text(command));
    }

    /// A line that isn't a command: only DONE is told.
    pub(crate) fn answer_line(&self, line: &[u8]) {
        let done = line.eq_ignore_ascii_case(b"DONE");
        self.line(Said::Client, String::from(if done { "DONE" } else { "..." }));
    }

    /// Bytes that go to the client.
    pub(crate) fn answer(&mut self, bytes: &[u8]) {
        let mut censor = std::mem::take(&mut self.censor);
        censor.feed(bytes, &mut |text| self.line(Said::Server, text));
        self.censor = censor;
    }

    fn line(&self, said: Said, text: String) {
        for running in &self.running {
            let line = TraceLine { session: self.session, address: self.address, said, text: text.clone() };
            if running.lines.try_send(line).is_err() {
                running.lost.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

/// Printable, on one line, and of bounded length.
fn escaped(bytes: &[u8], more: bool) -> String {
    let cut = bytes.get(..MAX_LINE_BYTES).unwrap_or(bytes);
    let mut out = String::with_capacity(cut.len() + 8);
    for &byte in cut {
        match byte {
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    if more || cut.len() < bytes.len() {
        out.push_str("...");
    }
    out
}

/// Words of searches that are no words that are searched for.
const SEARCH_WORDS: &[&str] = &[
    "UID",
    "SEARCH",
    "SORT",
    "THREAD",
    "ESEARCH",
    "IN",
    "RETURN",
    "MIN",
    "MAX",
    "ALL",
    "COUNT",
    "SAVE",
    "PARTIAL",
    "RELEVANCY",
    "CHARSET",
    "UTF-8",
    "US-ASCII",
    "OR",
    "NOT",
    "FUZZY",
    "ANSWERED",
    "BCC",
    "BEFORE",
    "BODY",
    "CC",
    "DELETED",
    "DRAFT",
    "FLAGGED",
    "FROM",
    "HEADER",
    "KEYWORD",
    "LARGER",
    "NEW",
    "OLD",
    "ON",
    "RECENT",
    "SEEN",
    "SENTBEFORE",
    "SENTON",
    "SENTSINCE",
    "SINCE",
    "SMALLER",
    "SUBJECT",
    "TEXT",
    "TO",
    "UNANSWERED",
    "UNDELETED",
    "UNDRAFT",
    "UNFLAGGED",
    "UNKEYWORD",
    "UNSEEN",
    "OLDER",
    "YOUNGER",
    "MODSEQ",
    "EMAILID",
    "THREADID",
    "REFERENCES",
    "ORDEREDSUBJECT",
    "REVERSE",
    "ARRIVAL",
    "DATE",
    "SIZE",
    "DISPLAYFROM",
    "DISPLAYTO",
    "PERSONAL",
    "SELECTED",
    "INBOXES",
    "SUBSCRIBED",
    "SUBTREE",
    "SUBTREE-ONE",
    "MAILBOXES",
    "SAVEDBEFORE",
    "SAVEDON",
    "SAVEDSINCE",
    "CONTEXT",
    "UPDATE",
];

/// A command without what is private.
fn command_text(command: &[u8]) -> String {
    let first = command.split(|&b| b == b'\r').next().unwrap_or_default();
    let mut words = first.split(|&b| b == b' ');
    let tag = words.next().unwrap_or_default();
    let mut verb = words.next().unwrap_or_default().to_ascii_uppercase();
    let uid = verb == b"UID";
    if uid {
        verb = words.next().unwrap_or_default().to_ascii_uppercase();
    }
    if crate::session::table::find(&verb, uid).is_none() {
        // Whatever it was meant to be: a mistyped LOGIN has a password in it.
        return escaped(tag, false) + " ...";
    }
    let name = format!("{}{}", if uid { "UID " } else { "" }, String::from_utf8_lossy(&verb));
    match verb.as_slice() {
        b"LOGIN" | b"AUTHENTICATE" => format!("{} {name} ...", escaped(tag, false)),
        b"SEARCH" | b"SORT" | b"THREAD" | b"ESEARCH" => escaped(&without_strings(command, true), false),
        _ => escaped(&without_strings(command, false), false),
    }
}

/// The command without its literals' bytes, and, of a search, without all words that aren't the language's own.
fn without_strings(command: &[u8], search: bool) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = command;
    let mut first = true;
    while let Some((&byte, after)) = rest.split_first() {
        // More than a line has nobody sees.
        if out.len() > MAX_LINE_BYTES {
            break;
        }
        match byte {
            b'"' if search => {
                rest = quoted_end(after);
                out.extend_from_slice(b"\"...\"");
            }
            b'\r' => {
                // The literal that was announced follows; what it says is left out.
                let size = announced(&out);
                rest = after.get(1..).unwrap_or_default();
                rest = rest.get(usize::try_from(size).unwrap_or(usize::MAX)..).unwrap_or_default();
                out.extend_from_slice(b"...");
            }
            b' ' | b'(' | b')' => {
                out.push(byte);
                rest = after;
            }
            _ => {
                let end = rest.iter().position(|b| b" ()\"\r".contains(b)).unwrap_or(rest.len()).max(1);
                let (word, next) = rest.split_at(end);
                let shown = first || !search || is_own(word);
                out.extend_from_slice(if shown { word } else { b"...".as_slice() });
                first = false;
                rest = next;
            }
        }
    }
    out
}

/// A word of the search language, a set of numbers, a date, or a literal's size.
fn is_own(word: &[u8]) -> bool {
    let upper = word.to_ascii_uppercase();
    SEARCH_WORDS.iter().any(|own| own.as_bytes() == upper)
        || word.iter().all(|b| b.is_ascii_digit() || b":*,$-{}+".contains(b))
}

/// Behind the end of a quoted string, whose beginning has been read.
fn quoted_end(text: &[u8]) -> &[u8] {
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'\\' => at += 2,
            b'"' => return text.get(at + 1..).unwrap_or_default(),
            _ => at += 1,
        }
    }
    &[]
}

/// The size of the literal that is announced at the end; 0 for none.
fn announced(line: &[u8]) -> u64 {
    let Some(line) = line.strip_suffix(b"}") else { return 0 };
    let line = line.strip_suffix(b"+").unwrap_or(line);
    let Some(open) = line.iter().rposition(|&b| b == b'{') else { return 0 };
    let digits = line.get(open + 1..).and_then(|digits| std::str::from_utf8(digits).ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// The server's bytes as lines, without literals and without FETCH's strings. Holds one line's beginning and its end.
#[derive(Debug, Default)]
struct Censor {
    shown: Vec<u8>,
    /// More came than is shown.
    more: bool,
    /// The last bytes of the line: a literal may be announced there.
    tail: Vec<u8>,
    /// Bytes of a literal still to come.
    literal: u64,
    quoted: bool,
    escape: bool,
}

/// As long as an announcement may be.
const TAIL: usize = 24;

impl Censor {
    fn feed(&mut self, mut bytes: &[u8], line: &mut dyn FnMut(String)) {
        while let Some((&byte, after)) = bytes.split_first() {
            if self.literal > 0 {
                let skip = bytes.len().min(usize::try_from(self.literal).unwrap_or(usize::MAX));
                self.literal -= skip as u64;
                bytes = bytes.get(skip..).unwrap_or_default();
                continue;
            }
            bytes = after;
            if byte == b'\n' {
                self.tail.pop();
                self.literal = announced(&self.tail);
                self.tail.clear();
                if self.literal > 0 {
                    self.show(b"...");
                } else {
                    line(escaped(&std::mem::take(&mut self.shown), std::mem::take(&mut self.more)));
                    (self.quoted, self.escape) = (false, false);
                }
                continue;
            }
            if self.tail.len() >= TAIL {
                self.tail.remove(0);
            }
            self.tail.push(byte);
            if byte != b'\r' {
                self.byte(byte);
            }
        }
    }

    fn byte(&mut self, byte: u8) {
        let secret = is_fetch(&self.shown);
        if self.quoted {
            match byte {
                _ if self.escape => self.escape = false,
                b'\\' => self.escape = true,
                b'"' => {
                    self.quoted = false;
                    self.show(if secret { b"...\"".as_slice() } else { b"\"" });
                    return;
                }
                _ => {}
            }
            if !secret {
                self.show(&[byte]);
            }
            return;
        }
        self.quoted = byte == b'"';
        self.show(&[byte]);
    }

    fn show(&mut self, bytes: &[u8]) {
        if self.shown.len() < MAX_LINE_BYTES {
            self.shown.extend_from_slice(bytes);
        } else {
            self.more = true;
        }
    }
}

/// `* 12 FETCH (…`, from the blank before its data on.
fn is_fetch(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b"* ") else { return false };
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    digits > 0
        && rest
            .get(digits..)
            .is_some_and(|rest| rest.starts_with(b" FETCH ") || rest.starts_with(b" UIDFETCH "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8], step: usize) -> Vec<String> {
        let (mut censor, mut out) = (Censor::default(), Vec::new());
        bytes.chunks(step).for_each(|piece| censor.feed(piece, &mut |line| out.push(line)));
        out
    }

    #[test]
    fn what_the_server_says_without_what_is_private() {
        let long = format!("* SEARCH{}\r\n", " 12345".repeat(200));
        let cases: Vec<(String, Vec<String>)> = vec![
            ("a OK NOOP done\r\n".into(), vec!["a OK NOOP done".into()]),
            (
                "* 1 FETCH (UID 7 BODY[] {11}\r\nsecret\r\n \"x)\r\nb OK done\r\n".into(),
                vec!["* 1 FETCH (UID 7 BODY[] {11}...)".into(), "b OK done".into()],
            ),
            (
                "* 1 FETCH (ENVELOPE (\"date\" \"Sub \\\"ject {5}\" NIL {3}\r\nabc \"x\") UID 2)\r\n".into(),
                vec!["* 1 FETCH (ENVELOPE (\"...\" \"...\" NIL {3}... \"...\") UID 2)".into()],
            ),
            (
                "* LIST () \"/\" \"Sent \\\\ x\"\r\n* BYE \u{7}\r\n".into(),
                vec!["* LIST () \"/\" \"Sent \\\\ x\"".into(), "* BYE \\x07".into()],
            ),
            (long.clone(), vec![format!("{}...", &long[..MAX_LINE_BYTES])]),
        ];
        for (bytes, expected) in cases {
            for step in 1..=bytes.len().min(80) {
                assert_eq!(lines(bytes.as_bytes(), step), expected, "{bytes:?} by {step}");
            }
        }
    }

    #[test]
    fn what_the_client_says_without_what_is_private() {
        for (command, expected) in [
            ("a LOGIN bob hunter2", "a LOGIN ..."),
            ("a login {3}\r\nbob {2+}\r\npw", "a LOGIN ..."),
            ("a AUTHENTICATE PLAIN AGEAYg==", "a AUTHENTICATE ..."),
            ("a LOGN bob hunter2", "a ..."),
            ("bob hunter2", "bob ..."),
            ("a SELECT \"In box\"", "a SELECT \"In box\""),
            ("a SELECT {5}\r\nInbox", "a SELECT {5}..."),
            ("a SELECT {5+}\r\nInbox x", "a SELECT {5+}... x"),
            ("a UID FETCH 1:* (FLAGS BODY.PEEK[])", "a UID FETCH 1:* (FLAGS BODY.PEEK[])"),
            (
                "hunter2 UID SEARCH RETURN (ALL) OR SUBJECT \"my \\\"se cret\" (TEXT hunter2 1:5) SINCE 1-Feb-1994 BODY {4}\r\nabcd SEEN",
                "hunter2 UID SEARCH RETURN (ALL) OR SUBJECT \"...\" (TEXT ... 1:5) SINCE ... BODY {4}... SEEN",
            ),
            ("", " ..."),
            ("a\0b NOOP", "a\\x00b NOOP"),
        ] {
            assert_eq!(command_text(command.as_bytes()), expected, "{command:?}");
        }
        let long = format!("a ID (\"{}\")", "x".repeat(10_000));
        assert_eq!(command_text(long.as_bytes()).len(), MAX_LINE_BYTES + 3);
    }

    #[test]
    fn traces_are_bounded_and_end_with_their_readers() {
        let traces = Arc::new(Traces::default());
        let address = IpAddr::from([192, 0, 2, 1]);
        assert!(!traces.any());
        let mut all: Vec<_> = (0..MAX_TRACES).map(|_| Traces::begin(&traces, "alice").unwrap()).collect();
        assert!(traces.any() && Traces::begin(&traces, "alice").is_none());
        assert!(traces.pen("bob", 1, address).is_none());
        let pen = traces.pen("alice", 1, address).unwrap();
        for _ in 0..WAITING + 3 {
            pen.command(b"a NOOP");
        }
        let first = all.remove(0);
        let line = TraceLine { session: 1, address, said: Said::Client, text: "a NOOP".into() };
        for _ in 0..WAITING {
            assert_eq!(first.next(Duration::from_secs(60)).as_ref(), Some(&line));
        }
        assert_eq!((first.next(Duration::ZERO), first.lost(), first.lost()), (None, 3, 0));
        drop(first);
        assert!(traces.any() && Traces::begin(&traces, "bob").is_some());
        drop(all);
        assert!(!traces.any());
    }
}
