//! A look at the folders in the order of their paths, from any place on: for trees too large to be copied.
//!
//! Invariant: what one look shows is one moment. It keeps commits from becoming visible, so it is taken for a moment only, and
//! whoever holds one asks the storage nothing else meanwhile.

use super::Storage;
use super::view::View;
use crate::{FolderInfo, FolderPath, FolderView};
use parking_lot::RwLockReadGuard;
use std::ops::Bound;

/// All folders, sorted by path (the order of its bytes); see [`Storage::look`].
#[derive(Debug)]
pub struct Look<'a>(RwLockReadGuard<'a, View>);

impl Storage {
    /// Looks at the folders. Dropped soon: see [`Look`].
    #[must_use]
    pub fn look(&self) -> Look<'_> {
        Look(self.shared.view.read())
    }

    /// The first level of an archive that is named `Inbox` in any case, as it is spelled; of several the one of the oldest folder.
    /// Costs nothing, however many folders there are.
    #[must_use]
    pub fn inbox_of(&self, archive: &str) -> Option<String> {
        self.look().inbox_of(archive).map(str::to_owned)
    }
}

impl Look<'_> {
    /// The folders from `place` on. Any text is a place, whether a folder has that path or not.
    pub fn from(&self, place: Bound<&str>) -> impl Iterator<Item = &FolderInfo> {
        self.0.from(place).map(|view| &view.info)
    }

    /// The folder of this path.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&FolderView> {
        self.0.at(path)
    }

    /// Whether there is a folder below this path, which need not be one itself.
    #[must_use]
    pub fn has_below(&self, path: &str) -> bool {
        let below = format!("{path}/");
        let first = self.0.from(Bound::Excluded(&below)).next();
        first.is_some_and(|view| view.info.path.as_str().starts_with(&below))
    }

    /// As [`Storage::inbox_of`].
    #[must_use]
    pub fn inbox_of(&self, archive: &str) -> Option<&str> {
        self.0.inbox_of(archive)
    }

    /// As [`Storage::inbox_of`], of the folders for which `is_meant` says so: it is asked for those in an `Inbox`, the oldest first.
    pub fn inbox_among(&self, archive: &str, is_meant: impl Fn(&FolderPath) -> bool) -> Option<&str> {
        self.0.inbox_among(archive, is_meant)
    }
}
