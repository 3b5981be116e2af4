//! Rights on folders: which level somebody has on a folder, from rules of their own and of their groups.
//!
//! Invariant: pure; the rule that names the folder itself or the nearest one above it decides, at the same folder the user's own
//! before those of groups, among groups the highest. `none` so takes away, below, what is given above. No rule means `none`.
//! What an archive or folder holds isn't known here: a folder is its path, `archive/level/…`.

use crate::Error;
use crate::name::check_archive;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Longest path of a rule, bytes.
pub const MAX_RULE_BYTES: usize = 4_096;
/// Most rules of one user or group.
pub const MAX_RULES: usize = 1_000;

/// What may be done in a folder; each level includes those before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// Nothing: that it exists is not told.
    #[default]
    None,
    /// See and read.
    Read,
    /// Move messages and folders, archive into it.
    Write,
    /// Delete messages and folders.
    Delete,
}

/// A rule: the level that somebody has on a folder and on all below it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Right {
    /// The path, in the form in which it is kept: an archive's name, or a folder below it.
    pub folder: String,
    /// The level.
    pub level: Level,
}

impl Right {
    /// A rule for a folder that may be there or not.
    /// # Errors
    /// `BadName` if its first level can't be an archive's name, or the path is too long.
    pub fn new(folder: &str, level: Level) -> Result<Right, Error> {
        let bad = |why| Error::BadName { name: folder.chars().take(80).collect(), why };
        if folder.len() > MAX_RULE_BYTES {
            return Err(bad("the path is longer than 4,096 bytes"));
        }
        let (archive, below) = match folder.split_once('/') {
            Some((archive, below)) => (archive, Some(below)),
            None => (folder, None),
        };
        let archive = check_archive(archive)?;
        let folder = match below {
            None => archive,
            Some(below) if below.is_empty() || below.split('/').any(str::is_empty) => {
                return Err(bad("a level of the path is empty"));
            }
            Some(below) => format!("{archive}/{below}"),
        };
        Ok(Right { folder, level })
    }
}

/// Earlier versions kept the names of archives that a user may read.
impl<'de> Deserialize<'de> for Right {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Kept {
            Archive(String),
            Rule { folder: String, level: Level },
        }
        Ok(match Kept::deserialize(from)? {
            Kept::Archive(folder) => Right { folder, level: Level::Read },
            Kept::Rule { folder, level } => Right { folder, level },
        })
    }
}

/// Puts a rule among others in the place of one for the same folder, or takes that one away.
pub(crate) fn put(rules: &mut Vec<Right>, folder: &str, right: Option<Right>) -> Result<(), Error> {
    rules.retain(|rule| rule.folder != folder);
    if right.is_some() && rules.len() >= MAX_RULES {
        return Err(Error::BadName {
            name: folder.chars().take(80).collect(),
            why: "there are 1,000 rules already; give one for a folder above them",
        });
    }
    rules.extend(right);
    rules.sort_unstable();
    Ok(())
}

/// All that decides what somebody sees of the archives, put together once for a command. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    /// The least level on everything: auditors, and administrators while archive access is open.
    pub(crate) everywhere: Level,
    /// Whether `everywhere` is also the most: who changes nothing, whatever rules say.
    pub(crate) reads_only: bool,
    /// The second from which on it may be otherwise by time alone; none: it stays.
    pub(crate) until: Option<i64>,
    pub(crate) rules: Arc<BTreeMap<String, Level>>,
    /// Where, in the order of paths, what rules give to read begins: each folder, and what lies below it.
    pub(crate) places: Arc<BTreeSet<String>>,
}

impl Sight {
    /// From a user's own rules and those of each group.
    pub(crate) fn new<'a>(own: &'a [Right], groups: impl IntoIterator<Item = &'a Right>) -> Sight {
        let mut rules = BTreeMap::new();
        for Right { folder, level } in groups {
            let entry = rules.entry(folder.clone()).or_insert(*level);
            *entry = (*entry).max(*level);
        }
        rules.extend(own.iter().map(|right| (right.folder.clone(), right.level)));
        let readable = rules.iter().filter(|(_, level)| **level >= Level::Read);
        let places = readable.flat_map(|(folder, _)| [folder.clone(), format!("{folder}/")]).collect();
        Sight { rules: Arc::new(rules), places: Arc::new(places), ..Sight::default() }
    }

    /// How many rules there are.
    pub(crate) fn rules(&self) -> usize {
        self.rules.len()
    }

    /// The level on a folder, by its path.
    #[must_use]
    pub fn level(&self, folder: &str) -> Level {
        let mut at = Some(folder);
        let mut ruled = Level::None;
        while let Some(path) = at {
            if let Some(level) = self.rules.get(path) {
                ruled = *level;
                break;
            }
            at = path.rsplit_once('/').map(|(above, _)| above);
        }
        let level = ruled.max(self.everywhere);
        if self.reads_only { level.min(Level::Read) } else { level }
    }

    /// Whether every folder of an archive may be read, those that come later included.
    #[must_use]
    pub fn reads_whole(&self, archive: &str) -> bool {
        self.covers(archive, Level::Read)
    }

    /// Whether there is this level on a folder and on all below it, those that come later included.
    #[must_use]
    pub fn covers(&self, folder: &str, level: Level) -> bool {
        let below = format!("{folder}/");
        let mut inside = self.rules.range(below.clone()..).take_while(|(path, _)| path.starts_with(&below));
        self.level(folder) >= level && inside.all(|(path, _)| self.level(path) >= level)
    }

    /// Whether all archives may be read, named by a rule or not.
    #[must_use]
    pub fn reads_everything(&self) -> bool {
        self.everywhere >= Level::Read
    }

    /// The folders that rules give to read, sorted by path, as far as they are not below one that is given anyway. What may be
    /// read in an archive begins at one of these; but for `reads_everything` nothing else may be.
    #[must_use]
    pub fn roots(&self) -> Vec<&str> {
        let given =
            |path: &str| path.rsplit_once('/').is_none_or(|(above, _)| self.level(above) < Level::Read);
        let reads = |(path, _): &(&String, &Level)| self.level(path) >= Level::Read && given(path);
        self.rules.iter().filter(reads).map(|(path, _)| path.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn right(folder: &str, level: Level) -> Right {
        Right::new(folder, level).unwrap()
    }

    #[test]
    fn the_nearest_rule_decides() {
        let own = [
            right("bob", Level::Read),
            right("bob/Private", Level::None),
            right("eve/Offers", Level::Delete),
        ];
        let group = [right("bob/Private/Press", Level::Write), right("eve/Offers", Level::Read)];
        let sight = Sight::new(&own, &group);
        for (folder, level) in [
            ("bob", Level::Read),
            ("bob/Inbox/x", Level::Read),
            ("bob/Private", Level::None),
            ("bob/Private/x/y", Level::None),
            ("bob/Private/Press/2024", Level::Write),
            ("bob/PrivateToo", Level::Read),
            ("eve", Level::None),
            ("eve/Offers/old", Level::Delete),
            ("bobby", Level::None),
            ("", Level::None),
        ] {
            assert_eq!(sight.level(folder), level, "{folder}");
        }
        assert_eq!(sight.roots(), ["bob", "bob/Private/Press", "eve/Offers"]);
        assert!(sight.covers("bob/Private/Press", Level::Write) && sight.covers("bob/Inbox", Level::Read));
        assert!(!sight.covers("bob/Private", Level::Read) && sight.covers("eve/Offers", Level::Delete));
        assert!(sight.covers("eve", Level::None) && !sight.covers("eve", Level::Read));
        assert!(!sight.reads_whole("bob") && !sight.reads_whole("eve") && !sight.reads_everything());
    }

    #[test]
    fn among_groups_the_highest_and_the_own_rule_first() {
        let groups = [right("x", Level::Read), right("x", Level::Delete), right("x", Level::Write)];
        assert_eq!(Sight::new(&[], &groups).level("x"), Level::Delete);
        assert_eq!(Sight::new(&[right("x", Level::None)], &groups).level("x/y"), Level::None);
        assert!(Sight::new(&[], &groups).reads_whole("x"));
    }

    #[test]
    fn whoever_reads_everywhere_reads_what_no_rule_names() {
        let mut sight = Sight::new(&[right("a", Level::Delete), right("b", Level::None)], &[]);
        sight.everywhere = Level::Read;
        assert_eq!(
            (sight.level("a"), sight.level("b"), sight.level("c/d")),
            (Level::Delete, Level::Read, Level::Read)
        );
        sight.reads_only = true;
        assert_eq!(sight.level("a"), Level::Read);
        assert!(sight.reads_everything() && sight.reads_whole("b") && sight.reads_whole("c"));
    }

    #[test]
    fn rules_have_paths_of_archives() {
        assert_eq!(right("mu\u{308}ller/x", Level::Read).folder, "m\u{fc}ller/x");
        for bad in ["", "/", "a/", "/a", "a//b", "inbox/x", "a*/b"] {
            assert!(Right::new(bad, Level::Read).is_err(), "{bad}");
        }
        let longest = format!("a/{}", "b".repeat(MAX_RULE_BYTES - 2));
        assert!(
            Right::new(&longest, Level::Read).is_ok()
                && Right::new(&format!("{longest}b"), Level::Read).is_err()
        );
    }

    #[test]
    fn what_earlier_versions_kept_is_read() {
        let kept: Vec<Right> =
            serde_json::from_str(r#"["alice",{"folder":"bob/x","level":"write"}]"#).unwrap();
        assert_eq!(kept, [right("alice", Level::Read), right("bob/x", Level::Write)]);
    }
}
