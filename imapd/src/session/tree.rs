//! The tree of mailboxes that a user sees, walked in pieces: what stands where, without ever being all in memory.
//!
//! The folders lie sorted by path. A walk goes along them, shows each under its name, and puts in what is no folder: parents
//! without a folder of their own, INBOX, `All Mail`, years. Where no pattern can match it doesn't go: it begins where a pattern's
//! fixed text begins, and jumps over what lies below a level that nothing goes on from. Invariant: a name comes once, a parent
//! before its children; the memory is that of a piece; folders are looked at for a moment only, so that archiving goes on meanwhile.

use super::names::{self, OTHERS, Target};
use super::years::Years;
use super::{CHUNK, Mailbox, World};
use crate::proto::pattern::{Pattern, Verdict};
use crate::reply::Refusal;
use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use storage::{FolderPath, Look};

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
    pub(crate) fn new(world: &Arc<World>, user: &str, patterns: &[String], special: bool) -> Walk {
        let patterns = Patterns::new(patterns, Years::of(world).are_on());
        let mut stretches = mounts(world, user, &patterns, special);
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
        Walk { world, user: user.to_owned(), patterns, stretches, own, below }
    }

    /// The next piece, which may be empty; `None` at the end.
    pub(crate) fn next(&mut self) -> Option<Vec<Entry>> {
        if self.stretches.is_empty() {
            return None;
        }
        let mut piece = Piece { entries: Vec::new(), large: Vec::new(), bytes: 0, looked_at: 0 };
        {
            let look = self.world.storage.look();
            while !piece.is_full() {
                let Some(stretch) = self.stretches.front() else { break };
                let done = match stretch {
                    Stretch::One(entry) => {
                        if self.patterns.verdict(&entry.name).matches {
                            piece.push(entry.clone());
                        }
                        true
                    }
                    Stretch::Below { name, path, inbox } => {
                        let scope = Scope { look: &look, patterns: &self.patterns, world: &self.world };
                        scope.below(name, path, *inbox, &mut self.below, &mut piece)
                    }
                    Stretch::Own { until } => {
                        let scope = Scope { look: &look, patterns: &self.patterns, world: &self.world };
                        let prefix = format!("{}/", self.user);
                        scope.range("", &prefix, Some(until.as_deref()), &mut self.own, &mut piece)
                    }
                };
                if done {
                    self.stretches.pop_front();
                    self.below = Place::default();
                }
            }
        }
        Some(self.with_years(piece))
    }

    /// Puts the years behind the folders that have them: they are read from disk, with nothing held.
    fn with_years(&self, piece: Piece) -> Vec<Entry> {
        let Piece { mut entries, large, .. } = piece;
        for (before, name, path) in large.into_iter().rev() {
            let years = Years::of(&self.world).below(&name, &path);
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
        }
    }
}

/// What doesn't stand under its own path, sorted by name.
fn mounts(world: &Arc<World>, user: &str, patterns: &Patterns, special: bool) -> VecDeque<Stretch> {
    let storage = &world.storage;
    let mut all: BTreeMap<String, Stretch> = BTreeMap::new();
    let mut one = |name: &str, kind, children, target: Option<Target>| {
        all.insert(name.to_owned(), Stretch::One(Entry { name: name.to_owned(), kind, children, target }));
    };
    if world.settings.all_mail && storage.all_mail(user).is_some() {
        one(names::ALL_MAIL, Kind::AllMail, false, Some(Target::AllMail(user.to_owned())));
    }
    if special {
        return all.into_values().collect();
    }
    let look = storage.look();
    if let Some(top) = look.at(user).filter(|top| top.info.messages > 0) {
        one(names::TOP, Kind::Folder, false, Some(Target::Folder(top.info.path.clone())));
    }
    let inbox = look.inbox_of(user);
    if inbox.is_none() {
        one("INBOX", Kind::Folder, false, Some(Target::EmptyInbox));
    }
    let mut below = |name: String, path: String, inbox: bool| {
        all.insert(name.clone(), Stretch::Below { name, path, inbox });
    };
    if let Some(inbox) = inbox {
        below("INBOX".to_owned(), format!("{user}/{inbox}"), true);
    }
    for level in reserved_levels(&look, user) {
        if inbox != Some(level.as_str()) {
            below(format!("{level}{}", names::ESCAPE), format!("{user}/{level}"), false);
        }
    }
    let seen = patterns.verdict(OTHERS);
    if seen.matches || seen.below {
        let is_there =
            |archive: &String| archive != user && (look.at(archive).is_some() || look.has_below(archive));
        let sight = world.auth.sight(user).unwrap_or_default();
        let archives = sight.roots().into_iter().filter(|path| !path.contains('/')).map(str::to_owned);
        let mut others = archives.filter(is_there).peekable();
        if others.peek().is_some() {
            for archive in others {
                all.insert(
                    format!("{OTHERS}/{archive}"),
                    Stretch::Below { name: format!("{OTHERS}/{archive}"), path: archive, inbox: false },
                );
            }
            let name = OTHERS.to_owned();
            let top = Entry { name: name.clone(), kind: Kind::Container, children: true, target: None };
            all.insert(name, Stretch::One(top));
        }
    }
    all.into_values().collect()
}

/// The first levels of an archive that are shown under another name, as they are spelled.
fn reserved_levels(look: &Look<'_>, user: &str) -> Vec<String> {
    let mut found = Vec::new();
    for word in names::reserved_words() {
        // All levels that begin with the word: the word itself, or with escapes behind it; few others, which are passed over.
        let start = format!("{user}/{word}");
        if look.at(&start).is_some() || look.has_below(&start) {
            found.push(word.clone());
        }
        let start = format!("{start}{}", names::ESCAPE);
        let mut at = (start.clone(), false);
        loop {
            let place = if at.1 { Bound::Excluded(at.0.as_str()) } else { Bound::Included(at.0.as_str()) };
            let Some(path) = look.from(place).next().map(|info| info.path.as_str()) else { break };
            if !path.starts_with(&start) {
                break;
            }
            let Some(level) = path.get(user.len() + 1..).map(names::first_level) else { break };
            if names::is_reserved(names::base(level)) && !found.iter().any(|known| known == level) {
                found.push(level.to_owned());
            }
            let whole = format!("{user}/{level}");
            // Behind the level itself others may come that it is the beginning of, then what lies below it.
            at = if path == whole { (whole, true) } else { (behind(&whole), false) };
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
    look: &'a Look<'a>,
    patterns: &'a Patterns,
    world: &'a Arc<World>,
}

impl Scope<'_> {
    /// A folder or level and all below it; true when done.
    fn below(&self, name: &str, path: &str, inbox: bool, place: &mut Place, piece: &mut Piece) -> bool {
        let prefix = format!("{path}/");
        if place.at.is_none() {
            let verdict = self.patterns.verdict(name);
            let folder = self.look.at(path);
            let (children, kind) = (
                self.look.has_below(path),
                if folder.is_some() || inbox { Kind::Folder } else { Kind::Container },
            );
            let target = match folder {
                Some(folder) => Some(Target::Folder(folder.info.path.clone())),
                None => inbox.then_some(Target::EmptyInbox),
            };
            let large = folder.is_some_and(|folder| Years::of(self.world).has(&folder.info));
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
        self.range(&format!("{name}/"), &prefix, None, place, piece)
    }

    /// The folders whose paths begin with `prefix`, shown with `shown` for that; true when done. `own`: those of the own archive
    /// whose names are their paths, up to a name.
    fn range(
        &self,
        shown: &str,
        prefix: &str,
        own: Option<Option<&str>>,
        place: &mut Place,
        piece: &mut Piece,
    ) -> bool {
        let mut from = place.at.take().unwrap_or_else(|| prefix.to_owned());
        // Once all was seen, the next stretch of the same folders finds nothing more.
        let end = || Some(behind(prefix.trim_end_matches('/')));
        loop {
            let mut jump = None;
            for info in self.look.from(Bound::Included(&from)) {
                let path = info.path.as_str();
                let Some(rest) = path.strip_prefix(prefix) else {
                    place.at = end();
                    return true;
                };
                let name = format!("{shown}{rest}");
                let stop = own.flatten().is_some_and(|until| name.as_str() >= until);
                if stop || piece.is_full() {
                    place.at = Some(path.to_owned());
                    return stop;
                }
                piece.looked_at += 1;
                if own.is_some() {
                    let first = names::first_level(rest);
                    if names::is_reserved(names::base(first)) {
                        if first == rest {
                            continue;
                        }
                        jump = Some(behind(&format!("{prefix}{first}")));
                        break;
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
                let large = Years::of(self.world).has(info);
                let before = piece.entries.len() + usize::from(verdict.matches);
                if large && verdict.below {
                    piece.large.push((before, name.clone(), info.path.clone()));
                    piece.bytes += name.len();
                }
                if verdict.matches {
                    let children = large || self.look.has_below(path);
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
            if verdict.matches && self.look.at(&path).is_none() {
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
pub(crate) fn entry_of(world: &World, user: &str, mailbox: &Mailbox) -> Entry {
    let storage = &world.storage;
    let inbox = storage.inbox_of(user);
    let (name, kind, children) = match &mailbox.target {
        Target::EmptyInbox => {
            let below = inbox.is_some_and(|inbox| storage.look().has_below(&format!("{user}/{inbox}")));
            ("INBOX".to_owned(), Kind::Folder, below)
        }
        Target::AllMail(_) => (names::ALL_MAIL.to_owned(), Kind::AllMail, false),
        Target::Folder(path) => {
            let (below, years) = {
                let look = storage.look();
                let top = path.inner().is_none() && path.archive() == user;
                let years = look.at(path.as_str()).is_some_and(|folder| Years::of(world).has(&folder.info));
                (!top && look.has_below(path.as_str()), years)
            };
            (names::show(user, path, inbox.as_deref()), Kind::Folder, below || years)
        }
        Target::Year(path, year) => {
            let folder = names::show(user, path, inbox.as_deref());
            (format!("{folder}/{}", Years::of(world).name(path, *year)), Kind::Year, false)
        }
    };
    Entry { name, kind, children, target: Some(mailbox.target.clone()) }
}

/// All that a user sees: ESEARCH goes by it.
pub(crate) fn tree(world: &Arc<World>, user: &str) -> Result<Tree, Refusal> {
    let mut walk = Walk::new(world, user, &["*".to_owned()], false);
    let mut tree = Tree::new();
    while let Some(piece) = walk.next() {
        tree.extend(piece.into_iter().map(|entry| (entry.name, entry.kind)));
    }
    Ok(tree)
}
