//! ESEARCH (RFC 7377): one search over several mailboxes, each with an answer of its own that names it.
//!
//! What may not be read, isn't there or can't be selected is passed over without a trace. Mailboxes are searched together as long
//! as they are small, so that a thousand folders cost a few passes over the index. `All Mail` shows what the folders show:
//! it is searched only where it is named, or selected.

use super::list::{Kind, tree};
use crate::proto::encode;
use crate::proto::parse::Cursor;
use crate::proto::parse::multisearch::{Source, sources};
use crate::proto::parse::search::{Returns, search};
use crate::proto::set::Runs;
use crate::reply::Refusal;
use crate::session::{CHUNK, Call, Done, Mailbox, Session, Work, names};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};
use storage::search::Key;
use storage::{Cancel, Error, FolderView, Storage, UidRanges};

/// Messages of mailboxes that are searched together.
const TOGETHER: u64 = 100_000;

/// ESEARCH
pub(crate) fn run(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let sources = sources(c)?;
    // Rests of commands are short; sets of numbers mean something else in every mailbox.
    let program = |mailbox: &UidRanges| {
        let mut c = c.clone();
        let asked = search(&mut c, mailbox)?;
        c.end()?;
        Ok::<_, Refusal>(asked)
    };
    let asked = program(&UidRanges::new())?;
    let same_everywhere = program(&UidRanges::from_spans([(1, u32::MAX)]))?.key == asked.key;
    let mut waiting = VecDeque::new();
    for (name, mailbox) in mailboxes(s, &sources)? {
        let Some(view) = mailbox.view().filter(|_| !mailbox.uids().is_empty()) else { continue };
        let key = if same_everywhere { asked.key.clone() } else { program(mailbox.uids())?.key };
        waiting.push_back(One { name, view: view.clone(), key });
    }
    let storage = s.world.storage.clone();
    let secs = storage.limits().search_time_secs;
    let work = Many {
        end: Instant::now().checked_add(Duration::from_secs(secs)),
        secs,
        storage,
        tag: call.tag.to_vec(),
        returns: asked.returns.unwrap_or(Returns { all: true, ..Returns::default() }),
        same_everywhere,
        waiting,
        found: VecDeque::new(),
        open: None,
        trouble: None,
    };
    Ok(Done::Work(Box::new(work), "ESEARCH done"))
}

/// The mailboxes, by name: each once, and only what can be selected and read.
fn mailboxes(s: &Session, sources: &[Source]) -> Result<BTreeMap<String, Mailbox>, Refusal> {
    let mut found = BTreeMap::new();
    let tree = match sources.iter().all(|source| matches!(source, Source::Selected)) {
        true => BTreeMap::new(),
        false => tree(s)?,
    };
    let mut wanted: Vec<&str> = Vec::new();
    let folders = || tree.iter().filter(|(_, kind)| **kind == Kind::Folder).map(|(name, _)| name.as_str());
    let named = |name: &str| tree.get_key_value(name).map(|(name, _)| name.as_str());
    for source in sources {
        match source {
            Source::Selected => {
                let mailbox = s.selected()?;
                found.insert(name_of(s, mailbox)?, mailbox.clone());
            }
            Source::Inboxes => wanted.extend(named("INBOX")),
            Source::Personal => wanted.extend(folders().filter(|name| !is_below(name, names::OTHERS))),
            Source::Subscribed => wanted.extend(folders()),
            Source::Subtree(tops) => {
                for top in tops.iter().map(|top| capital(top)) {
                    wanted.extend(named(&top));
                    wanted.extend(folders().filter(|name| is_below(name, &top)));
                }
            }
            Source::SubtreeOne(tops) => {
                for top in tops.iter().map(|top| capital(top)) {
                    wanted.extend(named(&top));
                    let direct = |name: &&str| {
                        is_below(name, &top)
                            && name.get(top.len() + 1..).is_some_and(|rest| !rest.contains('/'))
                    };
                    wanted.extend(folders().filter(direct));
                }
            }
            Source::Mailboxes(names) => wanted.extend(names.iter().filter_map(|name| named(&capital(name)))),
        }
    }
    for name in wanted {
        if found.contains_key(name) || tree.get(name) == Some(&Kind::Container) {
            continue;
        }
        match s.open(Some(name)) {
            Ok(mailbox) => drop(found.insert(name.to_owned(), mailbox)),
            // It went between two looks.
            Err(Refusal::No(..)) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(found)
}

/// INBOX in any case is one name (RFC 3501 §5.1).
fn capital(name: &str) -> String {
    match name.split_at_checked(5) {
        Some((first, rest))
            if first.eq_ignore_ascii_case("INBOX") && (rest.is_empty() || rest.starts_with('/')) =>
        {
            format!("INBOX{rest}")
        }
        _ => name.to_owned(),
    }
}

fn is_below(name: &str, top: &str) -> bool {
    name.strip_prefix(top).is_some_and(|rest| rest.starts_with('/'))
}

/// The name that the selected mailbox has.
fn name_of(s: &Session, mailbox: &Mailbox) -> Result<String, Refusal> {
    let user = s.user()?;
    Ok(match &mailbox.target {
        names::Target::EmptyInbox => "INBOX".to_owned(),
        names::Target::AllMail(_) => names::ALL_MAIL.to_owned(),
        names::Target::Folder(path) => {
            let inbox = names::inbox_of(&s.world.storage.folders_of(user));
            names::show(user, path, inbox.as_deref())
        }
    })
}

/// A mailbox that is to be searched.
struct One {
    name: String,
    view: FolderView,
    key: Key,
}

/// The answers, a few mailboxes at a time.
struct Many {
    storage: Storage,
    tag: Vec<u8>,
    returns: Returns,
    same_everywhere: bool,
    end: Option<Instant>,
    secs: u64,
    waiting: VecDeque<One>,
    found: VecDeque<(One, UidRanges)>,
    /// The set of an answer that is being written.
    open: Option<(Runs, bool)>,
    /// Why a mailbox could not be searched; told at the end.
    trouble: Option<Refusal>,
}

impl Work for Many {
    fn step(&mut self, out: &mut Vec<u8>, cancel: &Cancel) -> Result<bool, Refusal> {
        while out.len() < CHUNK {
            if let Some((runs, first)) = &mut self.open {
                match runs.next() {
                    Some((from, to)) => {
                        if !std::mem::take(first) {
                            out.push(b',');
                        }
                        encode::number(from, out);
                        if from < to {
                            out.push(b':');
                            encode::number(to, out);
                        }
                    }
                    None => {
                        out.extend_from_slice(b"\r\n");
                        self.open = None;
                    }
                }
            } else if let Some((one, found)) = self.found.pop_front() {
                self.answer(&one, &found, out);
            } else if self.waiting.is_empty() {
                return self.trouble.take().map_or(Ok(true), Err);
            } else {
                self.search(cancel)?;
                // What was found goes out while the next ones are searched.
                return Ok(false);
            }
        }
        Ok(false)
    }

    fn is_inside_line(&self) -> bool {
        self.open.is_some()
    }
}

impl Many {
    /// Searches the next mailboxes: as many together as are small, if one key is meant.
    fn search(&mut self, cancel: &Cancel) -> Result<(), Refusal> {
        if self.end.is_some_and(|end| Instant::now() >= end) {
            return Err(Error::SearchTime { secs: self.secs }.into());
        }
        let mut some: Vec<One> = Vec::new();
        let mut messages = 0;
        while let Some(next) = self.waiting.front().map(|one| one.view.uids.len()) {
            if !some.is_empty() && (!self.same_everywhere || messages + next > TOGETHER) {
                break;
            }
            messages += next;
            some.extend(self.waiting.pop_front());
        }
        let Some(key) = some.first().map(|one| one.key.clone()) else { return Ok(()) };
        let views: Vec<&FolderView> = some.iter().map(|one| &one.view).collect();
        let found = self.storage.search_several(&views, &key, cancel)?;
        for (one, found) in some.into_iter().zip(found) {
            match found {
                // Only what the snapshot has.
                Ok(found) => self.found.push_back((one, found)),
                Err(error) => {
                    self.trouble.get_or_insert_with(|| error.into());
                }
            }
        }
        Ok(())
    }

    /// Begins a mailbox's answer; one in which nothing was found has none (RFC 7377 §2.1).
    fn answer(&mut self, one: &One, found: &UidRanges, out: &mut Vec<u8>) {
        let found = found.intersect(&one.view.uids);
        let (Some(first), Some(last)) = (found.first(), found.last()) else { return };
        out.extend_from_slice(b"* ESEARCH (TAG ");
        encode::string(&self.tag, out);
        out.extend_from_slice(b" MAILBOX ");
        encode::mailbox(&one.name, out);
        out.extend_from_slice(b" UIDVALIDITY ");
        encode::number(u64::from(one.view.info.uid_validity.0), out);
        out.extend_from_slice(b") UID");
        let mut item = |asked: bool, word: &[u8], value: u64| {
            if asked {
                out.extend_from_slice(word);
                encode::number(value, out);
            }
        };
        item(self.returns.min, b" MIN ", u64::from(first.0));
        item(self.returns.max, b" MAX ", u64::from(last.0));
        item(self.returns.count, b" COUNT ", found.len());
        if self.returns.all {
            out.extend_from_slice(b" ALL ");
            self.open = Some((Runs::new(&found, &one.view.uids, true), true));
        } else {
            out.extend_from_slice(b"\r\n");
        }
    }
}
