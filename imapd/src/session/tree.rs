//! The tree of mailboxes that a user sees, walked in pieces: what stands where, without ever being all in memory.
//!
//! The folders lie sorted by path. A walk goes along them, shows each under its name, and puts in what is no folder: parents
//! without a folder of their own, INBOX, `All Mail`, years. Where no pattern can match it doesn't go: it begins where a pattern's
//! fixed text begins, and jumps over what lies below a level that nothing goes on from. Invariant: a name comes once, a parent
//! before its children; the memory is that of a piece; folders are looked at for a moment only, so that archiving goes on meanwhile.
//! What may not be read is passed over in jumps and looks as if it were not there; rights are asked for every piece.

use super::names::{self, OTHERS, Target};
use super::sight::{Sighted, behind_own};
use super::years::Years;
use super::{CHUNK, Mailbox, World};
use crate::proto::pattern::{Pattern, Verdict};
use crate::reply::Refusal;
use auth::Sight;
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use storage::FolderPath;

/// What a name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It has something below it, and can't be selected.
    Container,
    Folder,
    /// All messages of the own archive.
    AllMail,
    /// A year of a large folder.
    Year,
}

/// A mailbox, or a level of the tree that is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// There is something below it.
    pub(crate) children: bool,
    /// What selecting it opens; none for a container.
    pub(crate) target: Option<Target>,
}

/// All names that a user sees, sorted.
pub(crate) type Tree = BTreeMap<String, Kind>;

/// What stands next to each other in the tree.
#[derive(Debug)]
enum Stretch {
    One(Entry),
    /// A folder or level, with what lies below it, under another name.
    Below {
        name: String,
        path: String,
        /// It can be selected, whether it is a folder or not.
        inbox: bool,
    },
    /// The own folders whose names are their paths, up to this name.
    Own {
        until: Option<String>,
    },
    /// All folders of others.
    Others,
}

/// How far a walk along the folders is.
#[derive(Debug, Default)]
struct Place {
    /// Where it goes on; none: not begun.
    at: Option<String>,
    /// The last path that was looked at, or a level of the next one with `/` behind it: the levels in it are done.
    done: String,
}

/// The patterns of a LIST.
#[derive(Debug)]
pub(crate) struct Patterns {
    all: Vec<Pattern>,
    /// What the names that they match begin with, sorted.
    prefixes: Vec<String>,
}

impl Patterns {
    /// With years, a name that is looked for may be no folder, but a part of one a level above.
    fn new(texts: &[String], years: bool) -> Patterns {
        let all: Vec<Pattern> = texts.iter().map(|text| Pattern::new(text)).collect();
        let prefix = |pattern: &Pattern| {
            let whole = pattern.prefix();
            let above = whole.rsplit_once('/').map_or("", |(above, _)| above);
            if years { above.to_owned() } else { whole.to_owned() }
        };
        let mut prefixes: Vec<String> = all.iter().map(prefix).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        Patterns { all, prefixes }
    }

    fn verdict(&self, name: &str) -> Verdict {
        let mut found = Verdict::default();
        for pattern in &self.all {
            let one = pattern.verdict(name);
            found.matches |= one.matches;
            found.below |= one.below;
        }
        found
    }

    /// Whether a name, or what lies above or below it, can match as far as fixed texts tell; else the first name behind it that
    /// can, if there is one.
    fn next_from(&self, name: &str) -> Result<(), Option<&str>> {
        if self.prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            return Ok(());
        }
        Err(self.prefixes.iter().map(String::as_str).find(|prefix| *prefix > name))
    }
}

/// A walk through the tree.
#[derive(Debug)]
pub(crate) struct Walk {
    world: Arc<World>,
    user: String,
    sight: Sight,
    patterns: Patterns,
    stretches: VecDeque<Stretch>,
    own: Place,
    below: Place,
}

/// What a walk has found, its names' bytes counted.
struct Piece {
    entries: Vec<Entry>,
    /// Large folders, each with the number of entries before it.
    large: Vec<(usize, String, FolderPath)>,
    bytes: usize,
    looked_at: usize,
}

/// What the names of others' folders begin with.
const BELOW_OTHERS: &str = "Other Archives/";

/// Folders that are looked at in one piece.
const LOOKED_AT: usize = 2_000;

impl Piece {
    fn is_full(&self) -> bool {
        self.bytes >= CHUNK || self.looked_at >= LOOKED_AT
    }
    fn push(&mut self, entry: Entry) {
        self.bytes += 2 * entry.name.len() + 100;
        self.entries.push(entry);
    }
}

impl Walk {
    /// Through what `user` sees of what the patterns match. With `special`, only through what has a special use.
    /// # Errors
    /// That rights can't be told now.
    pub(crate) fn new(
        world: &Arc<World>,
        user: &str,
        patterns: &[String],
        special: bool,
    ) -> Result<Walk, Refusal> {
        let sight = world.sight(user)?;
        let patterns = Patterns::new(patterns, Years::of(world, &sight).are_on());
        let mut stretches = mounts(world, &sight, user, &patterns, special);
        if !special {
            // What comes before each of the others, then the rest.
            let untils: Vec<String> = stretches.iter().map(Stretch::name).map(str::to_owned).collect();
            let mut all = VecDeque::with_capacity(2 * stretches.len() + 1);
            for (until, stretch) in untils.into_iter().zip(stretches) {
                all.push_back(Stretch::Own { until: Some(until) });
                all.push_back(stretch);
            }
            all.push_back(Stretch::Own { until: None });
            stretches = all;
        }
        let world = Arc::clone(world);
        let (own, below) = (Place::default(), Place::default());
        Ok(Walk { world, user: user.to_owned(), sight, patterns, stretches, own, below })
    }

    /// The rights when they were last asked.
    pub(crate) fn sight(&self) -> &Sight {
        &self.sight
    }

    /// Asks for the rights.
    /// # Errors
    /// That they can't be told now.
    pub(crate) fn ask(&mut self) -> Result<(), Refusal> {
        self.sight = self.world.sight(&self.user)?;
        Ok(())
    }

    /// The next piece, which may be empty; `None` at the end.
    /// # Errors
    /// That rights can't be told now.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<Entry>>, Refusal> {
        if self.stretches.is_empty() {
            return Ok(None);
        }
        self.ask()?;
        let mut piece = Piece { entries: Vec::new(), large: Vec::new(), bytes: 0, looked_at: 0 };
        {
            let look = self.world.storage.look();
            let seen = Sighted { look: &look, sight: &self.sight };
            let scope = Scope { seen, patterns: &self.patterns, world: &self.world };
            while !piece.is_full() {
                let Some(stretch) = self.stretches.front() else { break };
                let done = match stretch {
                    Stretch::One(entry) => {
                        let shown = entry.target.as_ref().is_none_or(|it| self.world.shows(&self.sight, it));
                        if shown && self.patterns.verdict(&entry.name).matches {
                            piece.push(entry.clone());
                        }
                        true
                    }
                    Stretch::Below { name, path, inbox } => {
                        scope.below(name, path, *inbox, &mut self.below, &mut piece)
                    }
                    Stretch::Own { until } => {
                        let (prefix, within) = (format!("{}/", self.user), Within::Own(until.as_deref()));
                        scope.range("", &prefix, within, &mut self.own, &mut piece)
                    }
                    Stretch::Others => {
                        let within = Within::Others(&self.user);
                        scope.range(BELOW_OTHERS, "", within, &mut self.below, &mut piece)
                    }
                };
                if done {
                    self.stretches.pop_front();
                    self.below = Place::default();
                }
            }
        }
        Ok(Some(self.with_years(piece)))
    }

    /// Puts the years behind the folders that have them: they are read from disk, with nothing held.
    fn with_years(&self, piece: Piece) -> Vec<Entry> {
        let Piece { mut entries, large, .. } = piece;
        for (before, name, path) in large.into_iter().rev() {
            let years = Years::of(&self.world, &self.sight).below(&name, &path);
            let years = years.into_iter().filter(|year| self.patterns.verdict(&year.name).matches);
            entries.splice(before..before, years.collect::<Vec<_>>());
        }
        entries
    }
}

impl Stretch {
    fn name(&self) -> &str {
        match self {
            Stretch::One(entry) => &entry.name,
            Stretch::Below { name, .. } => name,
            Stretch::Own { until } => until.as_deref().unwrap_or_default(),
            Stretch::Others => BELOW_OTHERS,
        }
    }
}

/// What doesn't stand under its own path, sorted by name.
fn mounts(world: &World, sight: &Sight, user: &str, patterns: &Patterns, special: bool) -> VecDeque<Stretch> {
    let storage = &world.storage;
    let mut all: BTreeMap<String, Stretch> = BTreeMap::new();
    let mut one = |name: &str, kind, children, target: Option<Target>| {
        all.insert(name.to_owned(), Stretch::One(Entry { name: name.to_owned(), kind, children, target }));
    };
    let all_mail = Target::AllMail(user.to_owned());
    if world.shows(sight, &all_mail) && storage.all_mail(user).is_some() {
        one(names::ALL_MAIL, Kind::AllMail, false, Some(all_mail));
    }
    if special {
        return all.into_values().collect();
    }
    let look = storage.look();
    let seen = Sighted { look: &look, sight };
    if let Some(top) = seen.at(user).filter(|top| top.info.messages > 0) {
        one(names::TOP, Kind::Folder, false, Some(Target::Folder(top.info.path.clone())));
    }
    let inbox = seen.inbox_of(user);
    if inbox.is_none() {
        one("INBOX", Kind::Folder, false, Some(Target::EmptyInbox));
    }
    let mut below = |name: String, path: String, inbox: bool| {
        all.insert(name.clone(), Stretch::Below { name, path, inbox });
    };
    if let Some(inbox) = inbox {
        below("INBOX".to_owned(), format!("{user}/{inbox}"), true);
    }
    for level in reserved_levels(&seen, user) {
        if inbox != Some(level.as_str()) {
            below(format!("{level}{}", names::ESCAPE), format!("{user}/{level}"), false);
        }
    }
    let others = patterns.verdict(OTHERS);
    if (others.matches || others.below) && seen.has_others(user) {
        let name = OTHERS.to_owned();
        let top = Entry { name: name.clone(), kind: Kind::Container, children: true, target: None };
        all.insert(BELOW_OTHERS.to_owned(), Stretch::Others);
        all.insert(name, Stretch::One(top));
    }
    all.into_values().collect()
}

/// The first levels of an archive that are shown under another name, as they are spelled.
fn reserved_levels(seen: &Sighted<'_>, user: &str) -> Vec<String> {
    let mut found = Vec::new();
    for word in names::reserved_words() {
        // All levels that begin with the word: the word itself, or with escapes behind it; few others, which are passed over.
        let start = format!("{user}/{word}");
        if seen.at(&start).is_some() || seen.has_below(&start) {
            found.push(word.clone());
        }
        let start = format!("{start}{}", names::ESCAPE);
        let mut at = start.clone();
        while let Some(path) = seen.first(&at, &start).map(|info| info.path.as_str()) {
            let Some(level) = path.get(user.len() + 1..).map(names::first_level) else { break };
            if names::is_reserved(names::base(level)) && !found.iter().any(|known| known == level) {
                found.push(level.to_owned());
            }
            let whole = format!("{user}/{level}");
            // Behind the level itself others may come that it is the beginning of, then what lies below it.
            at = if path == whole { format!("{whole}\0") } else { behind(&whole) };
        }
    }
    found
}

/// The first place behind all that lies below a path: `0` follows `/`.
fn behind(path: &str) -> String {
    format!("{path}0")
}

/// What a walk looks with.
struct Scope<'a> {
    seen: Sighted<'a>,
    patterns: &'a Patterns,
    world: &'a World,
}

/// Which of the folders with a prefix are walked along.
#[derive(Clone, Copy)]
enum Within<'a> {
    All,
    /// Those of the own archive whose names are their paths, up to a name.
    Own(Option<&'a str>),
    /// Those that are not in this archive.
    Others(&'a str),
}

impl<'a> Scope<'a> {
    fn years(&self) -> Years<'a> {
        Years::of(self.world, self.seen.sight)
    }

    /// A folder or level and all below it; true when done.
    fn below(&self, name: &str, path: &str, inbox: bool, place: &mut Place, piece: &mut Piece) -> bool {
        let prefix = format!("{path}/");
        if place.at.is_none() {
            let verdict = self.patterns.verdict(name);
            let folder = self.seen.at(path);
            let (children, kind) = (
                self.seen.has_below(path),
                if folder.is_some() || inbox { Kind::Folder } else { Kind::Container },
            );
            // It can have gone, or may not be read any more, since the walk began.
            if kind == Kind::Container && !children {
                return true;
            }
            let target = match folder {
                Some(folder) => Some(Target::Folder(folder.info.path.clone())),
                None => inbox.then_some(Target::EmptyInbox),
            };
            let large = folder.is_some_and(|folder| self.years().has(&folder.info));
            if verdict.matches {
                piece.push(Entry { name: name.to_owned(), kind, children: children || large, target });
            }
            if let Some(folder) = folder.filter(|_| large && verdict.below) {
                piece.large.push((piece.entries.len(), name.to_owned(), folder.info.path.clone()));
            }
            if !verdict.below {
                return true;
            }
            place.at = Some(prefix.clone());
        }
        self.range(&format!("{name}/"), &prefix, Within::All, place, piece)
    }

    /// The folders whose paths begin with `prefix`, shown with `shown` for that; true when done.
    fn range(
        &self,
        shown: &str,
        prefix: &str,
        within: Within<'_>,
        place: &mut Place,
        piece: &mut Piece,
    ) -> bool {
        let mut from = place.at.take().unwrap_or_else(|| prefix.to_owned());
        // Once all was seen, the next stretch of the same folders finds nothing more.
        let end = || Some(behind(prefix.trim_end_matches('/')));
        loop {
            match self.seen.sight.place_from(&from) {
                Some(Cow::Owned(place)) => from = place,
                Some(Cow::Borrowed(_)) => {}
                None => {
                    place.at = end();
                    return true;
                }
            }
            let mut jump = None;
            for info in self.seen.look.from(Bound::Included(&from)) {
                let path = info.path.as_str();
                let Some(rest) = path.strip_prefix(prefix) else {
                    place.at = end();
                    return true;
                };
                let name = format!("{shown}{rest}");
                let stop = matches!(within, Within::Own(Some(until)) if name.as_str() >= until);
                if stop || piece.is_full() {
                    place.at = Some(path.to_owned());
                    return stop;
                }
                piece.looked_at += 1;
                match within {
                    Within::All => {}
                    Within::Own(_) => {
                        let first = names::first_level(rest);
                        if names::is_reserved(names::base(first)) {
                            if first == rest {
                                continue;
                            }
                            jump = Some(behind(&format!("{prefix}{first}")));
                            break;
                        }
                    }
                    Within::Others(own) => {
                        if info.path.archive() == own {
                            jump = Some(behind_own(own, path));
                            break;
                        }
                    }
                }
                if let Err(next) = self.patterns.next_from(&name) {
                    // A name that doesn't begin so lies in front of all these, or behind them.
                    match next.and_then(|next| next.strip_prefix(shown)) {
                        Some(next) => jump = Some(format!("{prefix}{next}")),
                        None => {
                            place.at = end();
                            return true;
                        }
                    }
                    break;
                }
                if !self.seen.sight.reads(path) {
                    jump = Some(path.to_owned());
                    break;
                }
                match self.levels(shown, prefix, rest, place, piece) {
                    Levels::Passed => {}
                    Levels::Closed(level) => {
                        jump = Some(behind(&level));
                        break;
                    }
                    Levels::Full => {
                        place.at = Some(path.to_owned());
                        return false;
                    }
                }
                let verdict = self.patterns.verdict(&name);
                let large = self.years().has(info);
                let before = piece.entries.len() + usize::from(verdict.matches);
                if large && verdict.below {
                    piece.large.push((before, name.clone(), info.path.clone()));
                    piece.bytes += name.len();
                }
                if verdict.matches {
                    let children = large || self.seen.has_below(path);
                    let target = Some(Target::Folder(info.path.clone()));
                    piece.push(Entry { name, kind: Kind::Folder, children, target });
                }
                path.clone_into(&mut place.done);
            }
            match jump {
                Some(jump) => from = jump,
                None => {
                    place.at = end();
                    return true;
                }
            }
        }
    }

    /// The levels above a folder that were not looked at yet: those that are no folders are shown.
    fn levels(&self, shown: &str, prefix: &str, rest: &str, place: &mut Place, piece: &mut Piece) -> Levels {
        for (at, _) in rest.match_indices('/') {
            let Some(level) = rest.get(..at) else { continue };
            let path = format!("{prefix}{level}");
            let below = format!("{path}/");
            if place.done.starts_with(&below) {
                continue;
            }
            let name = format!("{shown}{level}");
            let verdict = self.patterns.verdict(&name);
            if verdict.matches && self.seen.at(&path).is_none() {
                piece.push(Entry { name, kind: Kind::Container, children: true, target: None });
            }
            if !verdict.below {
                return Levels::Closed(path);
            }
            place.done = below;
            if piece.is_full() {
                return Levels::Full;
            }
        }
        Levels::Passed
    }
}

/// What lies above a folder.
enum Levels {
    Passed,
    /// Nothing below this level can match.
    Closed(String),
    /// The piece is full; the levels are not all done.
    Full,
}

/// What LIST says of a mailbox that is open.
pub(crate) fn entry_of(world: &World, sight: &Sight, user: &str, mailbox: &Mailbox) -> Entry {
    let look = world.storage.look();
    let seen = Sighted { look: &look, sight };
    let (years, inbox) = (Years::of(world, sight), seen.inbox_of(user));
    let (name, kind, children) = match &mailbox.target {
        Target::EmptyInbox => {
            let below = inbox.is_some_and(|inbox| seen.has_below(&format!("{user}/{inbox}")));
            ("INBOX".to_owned(), Kind::Folder, below)
        }
        Target::AllMail(_) => (names::ALL_MAIL.to_owned(), Kind::AllMail, false),
        Target::Folder(path) => {
            let top = path.inner().is_none() && path.archive() == user;
            let below = !top && seen.has_below(path.as_str());
            let large = seen.at(path.as_str()).is_some_and(|folder| years.has(&folder.info));
            (names::show(user, path, inbox), Kind::Folder, below || large)
        }
        Target::Year(path, year) => {
            let folder = names::show(user, path, inbox);
            (format!("{folder}/{}", years.name(&seen, path, *year)), Kind::Year, false)
        }
    };
    Entry { name, kind, children, target: Some(mailbox.target.clone()) }
}

/// All that a user sees: ESEARCH goes by it.
pub(crate) fn tree(world: &Arc<World>, user: &str) -> Result<Tree, Refusal> {
    let mut walk = Walk::new(world, user, &["*".to_owned()], false)?;
    let mut tree = Tree::new();
    while let Some(piece) = walk.next()? {
        tree.extend(piece.into_iter().map(|entry| (entry.name, entry.kind)));
    }
    Ok(tree)
}
