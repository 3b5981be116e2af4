//! Years of large folders as mailboxes of their own: `Folder/2019` shows what of the folder has an INTERNALDATE of that year.
//!
//! A year has the folder's UIDs, UIDVALIDITY and UIDNEXT. A message's year never changes, so neither does what a UID means there.
//! Invariant: a name is a year's only while no folder that the user may read has it; where one has, the year has ` (year)` behind it.
//! Whoever may read a folder may read its years.

use super::World;
use super::names::Target;
use super::sight::Sighted;
use super::tree::{Entry, Kind};
use auth::Sight;
use storage::{FolderInfo, FolderPath};

const ESCAPE: &str = " (year)";

/// Which folders have years, for whom.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Years<'a> {
    world: &'a World,
    sight: &'a Sight,
}

impl<'a> Years<'a> {
    /// By the settings.
    pub(crate) fn of(world: &'a World, sight: &'a Sight) -> Years<'a> {
        Years { world, sight }
    }

    /// Whether any folder may have years.
    pub(crate) fn are_on(self) -> bool {
        self.world.settings.year_mailboxes_from > 0
    }

    /// Whether the folder is so large that it has years. An archive's own top folder has none: nothing stands below its name.
    pub(crate) fn has(self, folder: &FolderInfo) -> bool {
        self.are_on()
            && folder.path.inner().is_some()
            && folder.messages >= self.world.settings.year_mailboxes_from
    }

    /// The years of a folder that is shown under `name`.
    pub(crate) fn below(self, name: &str, path: &FolderPath) -> Vec<Entry> {
        let storage = &self.world.storage;
        let Some(view) = storage.view(path).filter(|view| self.has(&view.info)) else { return Vec::new() };
        let years = match storage.years(&view) {
            Ok(years) => years,
            Err(error) => {
                tracing::warn!(%error, "the years of a folder can't be listed now");
                return Vec::new();
            }
        };
        let look = storage.look();
        let seen = Sighted { look: &look, sight: self.sight };
        let entry = |year| Entry {
            name: format!("{name}/{}", label(&seen, path, year)),
            kind: Kind::Year,
            children: false,
            target: Some(Target::Year(path.clone(), year)),
        };
        years.into_iter().map(entry).collect()
    }

    /// The folder and year that a path means which no folder has that may be read.
    pub(crate) fn find(self, path: &FolderPath) -> Option<Target> {
        if !self.are_on() {
            return None;
        }
        let (folder, name) = path.as_str().rsplit_once('/')?;
        let year = read(name)?;
        let look = self.world.storage.look();
        let seen = Sighted { look: &look, sight: self.sight };
        let folder = seen.at(folder).map(|view| &view.info).filter(|info| self.has(info))?;
        (label(&seen, &folder.path, year) == name).then(|| Target::Year(folder.path.clone(), year))
    }

    /// What a year of this folder is called.
    pub(crate) fn name(self, seen: &Sighted<'_>, folder: &FolderPath, year: i32) -> String {
        label(seen, folder, year)
    }
}

/// Four digits, and behind them as many escapes as make it a name that no folder has which may be read.
fn label(seen: &Sighted<'_>, folder: &FolderPath, year: i32) -> String {
    let mut label = format!("{year:04}");
    loop {
        let path = format!("{folder}/{label}");
        if seen.at(&path).is_none() && !seen.has_below(&path) {
            return label;
        }
        label.push_str(ESCAPE);
    }
}

/// The year that a label means.
fn read(label: &str) -> Option<i32> {
    let mut digits = label;
    while let Some(shorter) = digits.strip_suffix(ESCAPE) {
        digits = shorter;
    }
    let is_year = digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|year| is_year && *year > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_year() {
        for (label, year) in [
            ("2019", Some(2019)),
            ("0970", Some(970)),
            ("2019 (year)", Some(2019)),
            ("2019 (year) (year)", Some(2019)),
            ("0000", None),
            ("+201", None),
            ("219", None),
            ("20190", None),
            ("2019 (folder)", None),
            ("(year)", None),
        ] {
            assert_eq!(read(label), year, "{label}");
        }
    }
}
