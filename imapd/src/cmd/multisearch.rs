//! ESEARCH (RFC 7377): one search over several mailboxes, each with an answer of its own that names it.
//!
//! What may not be read, isn't there or can't be selected is passed over without a trace; rights are asked again for every piece. Mailboxes are searched together as long
//! as they are small, so that a thousand folders cost a few passes over the index. `All Mail` shows what the folders show:
//! it is searched only where it is named, or selected.

use super::answer::{self, Found, Numbering};
use crate::proto::encode;
use crate::proto::encode::Text;
use crate::proto::parse::Cursor;
use crate::proto::parse::multisearch::{Source, sources};
use crate::proto::parse::search::{self, Returns};
use crate::reply::Refusal;
use crate::session::names::Target;
use crate::session::tree::{Kind, tree};
use crate::session::{CHUNK, Call, Done, Mailbox, Session, Work, World, names};
use auth::Sight;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::search::Key;
use storage::{Cancel, Error, FolderView, Progress, Storage, UidRanges};

/// Messages of mailboxes that are searched together.
const TOGETHER: u64 = 100_000;

/// ESEARCH
pub(crate) fn run(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let sources = sources(c)?;
    let returns = search::returns(c)?.unwrap_or(Returns { all: true, ..Returns::default() });
    // RFC 7377 §2.2: what is saved belongs to the selected mailbox; scores are of one mailbox too.
    if returns.save || returns.relevancy {
        return Err(Refusal::Bad("ESEARCH doesn't know SAVE and RELEVANCY"));
    }
    if !s.enabled.may_name_charset() && c.clone().eat_word("CHARSET") {
        return Err(Refusal::Bad("With UTF8=ACCEPT a search is in UTF-8 and names no charset"));
    }
    let charset = search::charset(c)?;
    // Rests of commands are short; sets of numbers mean something else in every mailbox.
    let saved = Arc::clone(&s.saved);
    let uid_only = s.enabled.uidonly;
    let program = |mailbox: &UidRanges| {
        let mut c = c.clone();
        let asked = search::criteria(&mut c, mailbox, &saved, charset, uid_only)?;
        c.end()?;
        Ok::<_, Refusal>((asked.key, asked.mod_seq))
    };
    let (asked, mod_seq) = program(&UidRanges::new())?;
    let same_everywhere = program(&UidRanges::from_spans([(1, u32::MAX)]))?.0 == asked;
    let mut waiting = VecDeque::new();
    for (name, mailbox) in mailboxes(s, &sources)? {
        s.accessed(&mailbox, "imap.search")?;
        let Some(view) = mailbox.view().filter(|_| !mailbox.uids().is_empty()) else { continue };
        let key = if same_everywhere { asked.clone() } else { program(mailbox.uids())?.0 };
        waiting.push_back(One { name, target: mailbox.target.clone(), view: view.clone(), key });
    }
    let storage = s.world.storage.clone();
    let secs = storage.limits().search_time_secs;
    let work = Many {
        sight: s.world.sight(s.user()?)?,
        user: s.user()?.to_owned(),
        world: Arc::clone(&s.world),
        end: Instant::now().checked_add(Duration::from_secs(secs)),
        secs,
        storage,
        tag: call.tag.to_vec(),
        text: s.enabled.text(),
        returns,
        mod_seq,
        same_everywhere,
        waits: asked.needs_text(),
        progress: Progress::default(),
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
        false => tree(&s.world, s.user()?)?,
    };
    let mut wanted: Vec<&str> = Vec::new();
    let folders = || tree.iter().filter(|(_, kind)| **kind == Kind::Folder).map(|(name, _)| name.as_str());
    let named = |name: &str| tree.get_key_value(name).map(|(name, _)| name.as_str());
    for source in sources {
        match source {
            Source::Selected => {
                let mailbox = s.selected()?;
                found.insert(s.entry(mailbox)?.name, mailbox.clone());
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
    let sight = s.world.sight(s.user()?)?;
    for name in wanted {
        if found.contains_key(name) || tree.get(name) == Some(&Kind::Container) {
            continue;
        }
        match s.open_by(&sight, name) {
            Ok(mailbox) => drop(found.insert(name.to_owned(), mailbox)),
            // It went between two looks.
            Err(Refusal::No(..)) => {}
            Err(other) => return Err(other),
        }
    }
    Ok(found)
}

/// INBOX in any case is one name (RFC 3501 §5.1).
pub(crate) fn capital(name: &str) -> String {
    match name.split_at_checked(5) {
        Some((first, rest))
            if first.eq_ignore_ascii_case("INBOX") && (rest.is_empty() || rest.starts_with('/')) =>
        {
            format!("INBOX{rest}")
        }
        _ => name.to_owned(),
    }
}

pub(crate) fn is_below(name: &str, top: &str) -> bool {
    name.strip_prefix(top).is_some_and(|rest| rest.starts_with('/'))
}

/// The name that a mailbox has for the user.
pub(crate) fn name_of(s: &Session, mailbox: &Mailbox) -> Result<String, Refusal> {
    Ok(s.entry(mailbox)?.name)
}

/// A mailbox that is to be searched.
struct One {
    name: String,
    target: Target,
    view: FolderView,
    key: Key,
}

/// The answers, a few mailboxes at a time.
struct Many {
    world: Arc<World>,
    user: String,
    /// The user's rights when this step began.
    sight: Sight,
    storage: Storage,
    tag: Vec<u8>,
    text: Text,
    returns: Returns,
    /// The answers have the highest mod-sequence (RFC 7162 §3.1.5).
    mod_seq: bool,
    same_everywhere: bool,
    end: Option<Instant>,
    secs: u64,
    waiting: VecDeque<One>,
    found: VecDeque<(One, UidRanges)>,
    /// It needs a place in the queue for every look into storage.
    waits: bool,
    progress: Progress,
    /// The rest of an answer that is being written.
    open: Option<Box<dyn Work>>,
    /// Why a mailbox could not be searched; told at the end.
    trouble: Option<Refusal>,
}

impl Work for Many {
    fn step(&mut self, out: &mut Vec<u8>, cancel: &Cancel) -> Result<bool, Refusal> {
        let may_search = !self.waits || self.queued().is_some();
        if self.open.is_none() {
            self.sight = self.world.sight(&self.user)?;
        }
        while out.len() < CHUNK {
            if let Some(answer) = &mut self.open {
                if !answer.step(out, cancel)? {
                    return Ok(false);
                }
                self.open = None;
            } else if let Some((one, found)) = self.found.pop_front() {
                if self.world.shows(&self.sight, &one.target) {
                    self.answer(&one, &found, out)?;
                }
            } else if self.waiting.is_empty() {
                return self.trouble.take().map_or(Ok(true), Err);
            } else if !may_search {
                return Ok(false);
            } else {
                self.search(cancel)?;
                // What was found goes out while the next ones are searched.
                return Ok(false);
            }
        }
        Ok(false)
    }

    fn is_inside_line(&self) -> bool {
        self.open.as_ref().is_some_and(|answer| answer.is_inside_line())
    }

    fn queued(&self) -> Option<&Progress> {
        let searches = self.open.is_none() && self.found.is_empty() && !self.waiting.is_empty();
        (self.waits && searches).then_some(&self.progress)
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
        let (world, sight) = (&self.world, &self.sight);
        self.waiting.retain(|one| world.shows(sight, &one.target));
        while let Some(next) = self.waiting.front().map(|one| one.view.uids.len()) {
            if !some.is_empty() && (!self.same_everywhere || messages + next > TOGETHER) {
                break;
            }
            messages += next;
            some.extend(self.waiting.pop_front());
        }
        let Some(key) = some.first().map(|one| one.key.clone()) else { return Ok(()) };
        let views: Vec<&FolderView> = some.iter().map(|one| &one.view).collect();
        let found = self.storage.search_several(&views, &key, cancel, &self.progress)?;
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
    fn answer(&mut self, one: &One, found: &UidRanges, out: &mut Vec<u8>) -> Result<(), Refusal> {
        let found = found.intersect(&one.view.uids);
        if found.is_empty() {
            return Ok(());
        }
        let found = Found::Set(found);
        let mod_seq = match self.mod_seq {
            true => self.storage.highest_of(&one.view, &answer::saved(&self.returns, &found))?,
            false => None,
        };
        out.extend_from_slice(b"* ESEARCH (TAG ");
        encode::string(&self.tag, out);
        out.extend_from_slice(b" MAILBOX ");
        self.text.mailbox(&one.name, out);
        out.extend_from_slice(b" UIDVALIDITY ");
        encode::number(u64::from(one.view.info.uid_validity.0), out);
        out.extend_from_slice(b") UID");
        let numbering = Numbering { mailbox: Arc::clone(&one.view.uids), by_uid: true };
        self.open = Some(answer::extended(&self.returns, found, None, mod_seq, &numbering, out));
        Ok(())
    }
}
