//! Mailboxes: listing them, opening one, its UIDs, its messages; storing \Deleted and expunging.
//!
//! Invariant: nothing here changes a mailbox but [`Client::delete`]; mailboxes are opened with EXAMINE otherwise.

use super::client::{Arg, Client, ignore};
use super::fetch::Fetched;
use super::lexer::Spans;
use super::names::{decoded, set};
use super::response::{Figures, Listed, State, Untagged};
use crate::remote::fault::{Fault, shown};
use crate::remote::job::{OTHERS, SHARED};
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use storage::{Uid, UidRanges};

/// Bytes of a sequence set in one command; servers refuse long lines.
const SET_BYTES: usize = 6_000;
/// STATUS commands under way at once.
const STATUS_AHEAD: usize = 50;
/// Namespaces that are listed by themselves, all of them together counted as one.
const MAX_NAMESPACES: usize = 16;
/// What is asked of every mailbox.
const FIGURES: &str = "MESSAGES UIDNEXT UIDVALIDITY";

/// A mailbox that can be opened.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    /// As the server spells it.
    pub(crate) raw: Vec<u8>,
    /// Levels, decoded.
    pub(crate) levels: Vec<Vec<u8>>,
    /// Special uses (`\Trash`), and [`OTHERS`] or [`SHARED`] for what isn't the user's own.
    pub(crate) special_use: Vec<String>,
    /// What STATUS says; none when it was refused.
    pub(crate) figures: Option<Figures>,
}

impl Folder {
    /// Its levels joined by `/`.
    pub(crate) fn name(&self) -> String {
        let levels: Vec<_> = self.levels.iter().map(|level| String::from_utf8_lossy(level)).collect();
        levels.join("/")
    }
}

/// An opened mailbox.
#[derive(Debug, Default)]
pub(crate) struct Selected {
    pub(crate) uid_validity: Option<u32>,
    pub(crate) uid_next: Option<u32>,
    pub(crate) highest_mod_seq: Option<u64>,
    /// What QRESYNC says has gone since.
    pub(crate) vanished: Option<UidRanges>,
    /// UIDs don't last (RFC 4315).
    pub(crate) uids_change: bool,
}

/// What is known from before, for QRESYNC.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Since {
    pub(crate) uid_validity: u32,
    pub(crate) mod_seq: u64,
}

impl Client {
    /// Mailboxes that can be opened, in the server's order, all namespaces, those that only `wanted` wants with figures.
    pub(crate) fn folders(&mut self, wanted: &dyn Fn(&Folder) -> bool) -> Result<Vec<Folder>, Fault> {
        let spaces = self.namespaces()?;
        let mut all: Vec<Folder> = Vec::new();
        let mut known = HashSet::new();
        let mut figures: HashMap<Vec<u8>, Figures> = HashMap::new();
        let prefixes = spaces.iter().flatten().map(Vec::as_slice).filter(|prefix| !prefix.is_empty());
        let [own, ..] = &spaces;
        for prefix in std::iter::once(b"".as_slice()).chain(prefixes).take(MAX_NAMESPACES) {
            // Asked for everything, servers list all that is the user's own; of what others share Dovecot may leave some out.
            let listed = own.iter().any(|own| own == prefix)
                && known.iter().any(|raw: &Vec<u8>| raw.starts_with(prefix));
            if !prefix.is_empty() && listed {
                continue;
            }
            for listed in self.list(&[prefix, b"*"].concat(), &mut figures)? {
                if !known.insert(listed.raw.clone()) {
                    continue;
                }
                if known.len() > self.lexer.bounds.folders {
                    return Err(Fault::protocol(format!(
                        "more than {} mailboxes",
                        self.lexer.bounds.folders
                    )));
                }
                if listed.has("\\Noselect") || listed.has("\\NonExistent") {
                    continue;
                }
                all.push(self.folder(listed, &spaces));
            }
        }
        all.retain(wanted);
        let missing: Vec<usize> = (0..all.len())
            .filter(|at| all.get(*at).is_some_and(|one| !figures.contains_key(&one.raw)))
            .collect();
        for chunk in missing.chunks(STATUS_AHEAD) {
            self.statuses(chunk, &all, &mut figures)?;
        }
        for folder in &mut all {
            folder.figures = figures.remove(&folder.raw);
        }
        Ok(all)
    }

    fn folder(&self, listed: Listed, spaces: &[Vec<Vec<u8>>; 3]) -> Folder {
        let utf8 = self.has_enabled("UTF8=ACCEPT");
        let name = |raw: &[u8]| if utf8 { raw.to_vec() } else { decoded(raw) };
        let levels = match listed.delimiter {
            Some(delimiter) => {
                let raws = listed.raw.split(|byte| *byte == delimiter);
                raws.filter(|raw| !raw.is_empty()).map(name).collect()
            }
            None => vec![name(&listed.raw)],
        };
        const USES: [&str; 8] =
            ["\\all", "\\archive", "\\drafts", "\\flagged", "\\junk", "\\sent", "\\trash", "\\important"];
        let is_use = |attribute: &&String| USES.contains(&attribute.to_ascii_lowercase().as_str());
        let mut special_use: Vec<String> = listed.attributes.iter().filter(is_use).cloned().collect();
        special_use.extend(namespace(&listed.raw, spaces).map(Into::into));
        Folder { raw: listed.raw, levels, special_use, figures: None }
    }

    fn namespaces(&mut self) -> Result<[Vec<Vec<u8>>; 3], Fault> {
        let mut found = Default::default();
        if self.offers("NAMESPACE") || self.offers("IMAP4REV2") {
            let done = self.run("NAMESPACE", &[], &mut |untagged| {
                if let Untagged::Namespace(all) = untagged {
                    found = all;
                }
                Ok(())
            });
            tolerate(done.map(|_| ()))?;
        }
        Ok(found)
    }

    /// LIST, with figures at once where the server can (RFC 5819).
    fn list(
        &mut self,
        pattern: &[u8],
        figures: &mut HashMap<Vec<u8>, Figures>,
    ) -> Result<Vec<Listed>, Fault> {
        let extended = self.offers("LIST-EXTENDED") || self.offers("IMAP4REV2");
        let mut returns = Vec::new();
        if self.offers("SPECIAL-USE") || self.offers("IMAP4REV2") {
            returns.push("SPECIAL-USE".to_owned());
        }
        if self.offers("LIST-STATUS") || self.offers("IMAP4REV2") {
            returns.push(format!("STATUS ({})", self.figures_wanted()));
        }
        let returns = format!("RETURN ({})", returns.join(" "));
        let plain = [Arg::Text("\"\""), Arg::Str(pattern)];
        let long = [Arg::Text("\"\""), Arg::Str(pattern), Arg::Text(&returns)];
        let most = self.lexer.bounds.folders;
        let mut listed = Vec::new();
        let mut take = |untagged: Untagged| {
            match untagged {
                Untagged::List(one) => listed.push(one),
                Untagged::Status(raw, known) => {
                    figures.insert(raw, known);
                }
                _ => {}
            }
            if listed.len() > most || figures.len() > most {
                return Err(Fault::protocol(format!("more than {most} mailboxes")));
            }
            Ok(())
        };
        if extended && returns != "RETURN ()" {
            match self.run("LIST", &long, &mut take) {
                Err(Fault::Refused { .. }) => {}
                done => return done.map(|_| listed),
            }
        }
        self.run("LIST", &plain, &mut take)?;
        Ok(listed)
    }

    fn figures_wanted(&self) -> String {
        let more = if self.offers("CONDSTORE") || self.offers("QRESYNC") { " HIGHESTMODSEQ" } else { "" };
        format!("{FIGURES}{more}")
    }

    fn statuses(
        &mut self,
        chunk: &[usize],
        all: &[Folder],
        figures: &mut HashMap<Vec<u8>, Figures>,
    ) -> Result<(), Fault> {
        let items = format!("({})", self.figures_wanted());
        let mut tags = Vec::new();
        for folder in chunk.iter().filter_map(|at| all.get(*at)) {
            if self.waits_with(&folder.raw) {
                self.take_statuses(std::mem::take(&mut tags), figures)?;
            }
            tags.push((self.send("STATUS", &[Arg::Str(&folder.raw), Arg::Text(&items)])?, &folder.raw));
        }
        self.take_statuses(tags, figures)
    }

    /// The answers to STATUS commands that were sent, in their order.
    fn take_statuses(
        &mut self,
        sent: Vec<(String, &Vec<u8>)>,
        figures: &mut HashMap<Vec<u8>, Figures>,
    ) -> Result<(), Fault> {
        for (tag, raw) in sent {
            let done = self.finish(&tag, "STATUS", &mut |untagged| {
                if let Untagged::Status(_, known) = untagged {
                    figures.insert(raw.clone(), known);
                }
                Ok(())
            });
            tolerate(done.map(|_| ()))?;
        }
        Ok(())
    }

    /// Opens a mailbox for reading.
    pub(crate) fn examine(&mut self, raw: &[u8], since: Option<Since>) -> Result<Selected, Fault> {
        self.open_mailbox("EXAMINE", raw, since)
    }

    /// Opens a mailbox for changing it.
    pub(crate) fn select(&mut self, raw: &[u8]) -> Result<Selected, Fault> {
        self.open_mailbox("SELECT", raw, None)
    }

    fn open_mailbox(&mut self, name: &str, raw: &[u8], since: Option<Since>) -> Result<Selected, Fault> {
        let since = since.filter(|since| self.has_enabled("QRESYNC") && since.mod_seq > 0);
        let param = match since {
            Some(since) => format!("(QRESYNC ({} {}))", since.uid_validity, since.mod_seq),
            None if self.offers("CONDSTORE") => "(CONDSTORE)".into(),
            None => String::new(),
        };
        let mut args = vec![Arg::Str(raw)];
        if !param.is_empty() {
            args.push(Arg::Text(&param));
        }
        self.exists = 0;
        let (mut selected, mut vanished) = (Selected::default(), Spans::default());
        let bounds = self.lexer.bounds;
        self.run(name, &args, &mut |untagged| {
            match untagged {
                Untagged::Told(told) if told.state == State::Ok => {
                    let mut words = told.code.split(' ');
                    let key = words.next();
                    let number = words.next().and_then(|number| number.parse::<u64>().ok());
                    match key {
                        Some("UIDVALIDITY") => {
                            selected.uid_validity = number.and_then(|n| u32::try_from(n).ok())
                        }
                        Some("UIDNEXT") => selected.uid_next = number.and_then(|n| u32::try_from(n).ok()),
                        Some("HIGHESTMODSEQ") => selected.highest_mod_seq = number,
                        _ => {}
                    }
                }
                Untagged::Told(told) if told.code == "UIDNOTSTICKY" => selected.uids_change = true,
                Untagged::Vanished { uids, .. } => vanished.extend(uids, &bounds)?,
                _ => {}
            }
            Ok(())
        })?;
        let same = since.is_some_and(|since| selected.uid_validity == Some(since.uid_validity));
        if same || (since.is_some() && !vanished.is_empty()) {
            selected.vanished = Some(vanished.ranges());
        }
        Ok(selected)
    }

    /// All UIDs of the opened mailbox.
    pub(crate) fn all_uids(&mut self) -> Result<UidRanges, Fault> {
        if self.exists == 0 {
            return Ok(UidRanges::new());
        }
        let found = self.search("ALL")?;
        if found.len() == self.exists {
            return Ok(found);
        }
        // A server that searches wrong may still fetch right; what either names is there.
        match self.uids_by_fetch() {
            Ok(fetched) => {
                Ok(UidRanges::from_spans(fetched.spans().chain(found.spans()).collect::<Vec<_>>()))
            }
            Err(Fault::Refused { .. }) => Ok(found),
            Err(fault) => Err(fault),
        }
    }

    /// All UIDs of the opened mailbox, for a server that can't search.
    pub(crate) fn uids_by_fetch(&mut self) -> Result<UidRanges, Fault> {
        let mut found = Spans::default();
        let bounds = self.lexer.bounds;
        self.run("UID FETCH", &[Arg::Text("1:*"), Arg::Text("(UID)")], &mut |untagged| match untagged {
            Untagged::Fetch(fetched) => match fetched.uid {
                Some(uid) => found.add(uid.into(), uid.into(), &bounds),
                None => Ok(()),
            },
            _ => Ok(()),
        })?;
        Ok(found.ranges())
    }

    /// The UIDs that a search finds.
    pub(crate) fn search(&mut self, keys: &str) -> Result<UidRanges, Fault> {
        let extended = self.offers("ESEARCH") || self.offers("IMAP4REV2");
        let text = if extended { format!("RETURN (ALL) {keys}") } else { keys.to_owned() };
        let mut found = Spans::default();
        let bounds = self.lexer.bounds;
        self.run("UID SEARCH", &[Arg::Text(&text)], &mut |untagged| match untagged {
            Untagged::Search(spans) => found.extend(spans, &bounds),
            _ => Ok(()),
        })?;
        let found = found.ranges();
        if found.len() > bounds.messages {
            return Err(Fault::protocol(format!("a mailbox of {} messages", found.len())));
        }
        Ok(found)
    }

    /// Sends a FETCH of these UIDs, which are few enough for a line; gives its tag.
    pub(crate) fn send_fetch(&mut self, uids: &UidRanges, items: &str) -> Result<String, Fault> {
        let uids = set(uids);
        self.send("UID FETCH", &[Arg::Text(&uids), Arg::Text(items)])
    }

    /// Takes the answers to a FETCH.
    pub(crate) fn finish_fetch(
        &mut self,
        tag: &str,
        on: &mut dyn FnMut(Fetched) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        self.finish(tag, "UID FETCH", &mut |untagged| match untagged {
            Untagged::Fetch(fetched) => on(*fetched),
            _ => Ok(()),
        })
        .map(|_| ())
    }

    /// Fetches from these UIDs, in as many commands as lines need.
    pub(crate) fn fetch(
        &mut self,
        uids: &UidRanges,
        items: &str,
        on: &mut dyn FnMut(Fetched) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        for piece in pieces(uids) {
            let tag = self.send_fetch(&piece, items)?;
            self.finish_fetch(&tag, on)?;
        }
        Ok(())
    }

    /// Deletes exactly these messages of the mailbox that is selected (RFC 4315); with `all_deleted`, where the server can't expunge
    /// exactly, also what others marked as deleted.
    pub(crate) fn delete(&mut self, uids: &UidRanges, all_deleted: bool) -> Result<(), Fault> {
        let exactly = self.offers("UIDPLUS") || self.offers("IMAP4REV2");
        if !exactly && !all_deleted {
            return Err(Fault::Lacks {
                what: "the server can't expunge exactly what is named (no UIDPLUS): nothing is deleted there"
                    .into(),
            });
        }
        for piece in pieces(uids) {
            let text = set(&piece);
            self.run("UID STORE", &[Arg::Text(&text), Arg::Text("+FLAGS.SILENT (\\Deleted)")], &mut ignore)?;
            if exactly {
                self.run("UID EXPUNGE", &[Arg::Text(&text)], &mut ignore)?;
            }
        }
        if !exactly {
            self.run("EXPUNGE", &[], &mut ignore)?;
        }
        Ok(())
    }

    /// Waits for news (IDLE, RFC 2177) for so long; whether there are any that were not forgotten. Without IDLE it asks once.
    pub(crate) fn idle(&mut self, time: Duration) -> Result<bool, Fault> {
        if !self.offers("IDLE") {
            self.run("NOOP", &[], &mut ignore)?;
            return Ok(self.news || self.news_elsewhere);
        }
        let tag = self.send("IDLE", &[])?;
        self.continuation(&tag, "IDLE")?;
        self.lexer.wire.patience(time);
        let end = std::time::Instant::now() + time;
        while !self.news && !self.news_elsewhere {
            self.lexer.wire.patience(end.saturating_duration_since(std::time::Instant::now()));
            match self.lexer.wire.fill() {
                Ok(_) => {}
                // Silence for all that time: the connection may still be good.
                Err(Fault::Ended { .. }) if std::time::Instant::now() >= end => break,
                Err(fault) => return Err(fault),
            }
            self.lexer.wire.begin();
            match self.response()? {
                super::response::Response::Untagged(untagged) => {
                    // With NOTIFY a STATUS tells of another mailbox.
                    self.news_elsewhere |= matches!(untagged, Untagged::Status(..) | Untagged::List(_));
                    self.note(&untagged)?;
                }
                _ => return Err(Fault::protocol("it ends IDLE unasked")),
            }
        }
        self.lexer.wire.begin();
        self.lexer.wire.send(b"DONE\r\n")?;
        self.finish(&tag, "IDLE", &mut ignore)?;
        Ok(self.news || self.news_elsewhere)
    }

    /// Asks to be told of news in all mailboxes (NOTIFY, RFC 5465); whether the server will.
    pub(crate) fn notify(&mut self) -> Result<bool, Fault> {
        if !self.offers("NOTIFY") {
            return Ok(false);
        }
        let what =
            "SET (SELECTED (MessageNew MessageExpunge)) (PERSONAL (MessageNew MessageExpunge MailboxName))";
        match self.run("NOTIFY", &[Arg::Text(what)], &mut ignore) {
            Ok(_) => {
                self.notified = true;
                Ok(true)
            }
            Err(Fault::Refused { .. }) => Ok(false),
            Err(fault) => Err(fault),
        }
    }
}

/// Whose a mailbox is, unless it is the user's own: that of the longest prefix that it has (RFC 2342 §5; some servers have shared
/// mailboxes under the empty prefix, beside `INBOX.` for the user's own). INBOX is always the user's.
fn namespace(raw: &[u8], spaces: &[Vec<Vec<u8>>; 3]) -> Option<&'static str> {
    if raw.eq_ignore_ascii_case(b"INBOX") {
        return None;
    }
    let below = |prefix: &Vec<u8>| {
        let bare = prefix.get(..prefix.len().saturating_sub(1)).unwrap_or_default();
        raw.starts_with(prefix) || (!bare.is_empty() && raw == bare)
    };
    let longest = |space: &Vec<Vec<u8>>| space.iter().filter(|prefix| below(prefix)).map(Vec::len).max();
    let [own, others, shared] = spaces.each_ref().map(longest);
    match (others, shared) {
        (Some(others), _) if Some(others) > own && Some(others) >= shared => Some(OTHERS),
        (_, Some(shared)) if Some(shared) > own => Some(SHARED),
        _ => None,
    }
}

/// A refusal is no reason to stop here.
fn tolerate<T: Default>(done: Result<T, Fault>) -> Result<T, Fault> {
    match done {
        Err(Fault::Refused { command, text }) => {
            tracing::debug!(command, text = %shown(text.as_bytes()), "refused");
            Ok(T::default())
        }
        done => done,
    }
}

/// Sets that fit into a line each.
pub(crate) fn pieces(uids: &UidRanges) -> Vec<UidRanges> {
    let (mut all, mut spans, mut bytes) = (Vec::new(), Vec::new(), 0);
    for (first, last) in uids.spans() {
        let more =
            2 + [first, last].iter().map(|uid| uid.checked_ilog10().unwrap_or(0) as usize + 1).sum::<usize>();
        if bytes + more > SET_BYTES {
            all.push(UidRanges::from_spans(std::mem::take(&mut spans)));
            bytes = 0;
        }
        spans.push((first, last));
        bytes += more;
    }
    if !spans.is_empty() {
        all.push(UidRanges::from_spans(spans));
    }
    all
}

/// The first so many UIDs of a set.
pub(crate) fn first(uids: &UidRanges, count: u64) -> UidRanges {
    match uids.uid_at(count) {
        Some(Uid(last)) => uids.intersect(&UidRanges::from_spans([(1, last)])),
        None => uids.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_a_mailbox_is() {
        let spaces = |own: &[&str], others: &[&str], shared: &[&str]| {
            [own, others, shared].map(|list| list.iter().map(|prefix| prefix.as_bytes().to_vec()).collect())
        };
        let of = |raw: &str, spaces: &[Vec<Vec<u8>>; 3]| namespace(raw.as_bytes(), spaces);
        let modern = spaces(&[""], &["Other Users/"], &["Shared Folders/", "Public."]);
        for (raw, whose) in [
            ("INBOX", None),
            ("Sent", None),
            ("Other Users", Some(OTHERS)),
            ("Other Users/bob/x", Some(OTHERS)),
            ("Other Users too", None),
            ("Public.x", Some(SHARED)),
            ("Shared Folders/x", Some(SHARED)),
        ] {
            assert_eq!(of(raw, &modern), whose, "{raw}");
        }
        // Cyrus as it was in the beginning: what is nobody's stands at the top.
        let netnews = spaces(&["INBOX."], &["user."], &[""]);
        for (raw, whose) in [
            ("INBOX", None),
            ("INBOX.Sent", None),
            ("inbox", None),
            ("user.bob", Some(OTHERS)),
            ("news", Some(SHARED)),
            ("users", Some(SHARED)),
        ] {
            assert_eq!(of(raw, &netnews), whose, "{raw}");
        }
        assert_eq!(of("anything", &spaces(&[], &[], &[])), None, "a server without namespaces");
        assert_eq!(of("x", &spaces(&[""], &[""], &[""])), None, "one prefix for all");
    }
}
