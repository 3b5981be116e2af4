//! `mail.search`: one line over one archive, several or all, newest first.
//!
//! Without folders in the line each message counts once, as in the mailbox `All Mail`, and one pass over the index finds it;
//! with them (`in:`, a folder given) each place in a folder does, as in that folder's mailbox. Memory is 16 bytes a hit, or a
//! limit's worth of them. Of an archive in which the caller doesn't see every folder, those that are seen are searched one by one.

use super::mail::{archive_of, hit, missing};
use super::query::{self, Query};
use super::{Act, Context, Failure, Needs, Outcome};
use serde::{Deserialize, Serialize};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use storage::search::Key;
use storage::{FolderPath, FolderView, Row, Uid, UidRanges};

/// Hits whose rows are read together.
const CHUNK: usize = 256;

/// Searches archives.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Search {
    /// Whose; none: all.
    pub(crate) archives: Vec<String>,
    pub(crate) query: String,
    /// Only this folder: a path with the archive first.
    pub(crate) folder: Option<String>,
    /// No more hits than this, the newest.
    pub(crate) limit: Option<u64>,
    /// Only how many there are.
    pub(crate) count: bool,
    /// With text around what was found.
    pub(crate) snippets: bool,
}

#[derive(Debug, Serialize)]
struct Count {
    count: u64,
}

/// Something that is searched in one go, and what for.
struct Place {
    view: FolderView,
    key: Key,
}

/// A hit: date, place, UID there. The highest is the newest.
type Found = (i64, u32, u32);

impl Act for Search {
    fn needs(&self) -> Needs {
        match &self.folder {
            Some(folder) => Needs::login().read(folder),
            None => Needs::login(),
        }
    }
    fn audit(&self) -> String {
        let whose = match (&self.folder, self.archives.as_slice()) {
            (Some(folder), _) => format!("{folder:?}"),
            (None, []) => "all archives".to_owned(),
            (None, some) => some.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", "),
        };
        // What is searched for is content, and as telling as what is found.
        format!("mail.search {whose}")
    }

    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let query = query::parse(&self.query).map_err(Failure::usage)?;
        let places = self.places(cx, &query)?;
        let most = self.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
        let mut count = 0;
        // The oldest on top, to be pushed out.
        let mut newest: BinaryHeap<Reverse<Found>> = BinaryHeap::new();
        let storage = &cx.installation.storage;
        for (place, Place { view, key }) in (0u32..).zip(&places) {
            let uids = storage.search(view, key, &cx.cancel)?;
            count += uids.len();
            if self.count {
                continue;
            }
            let mut rows = storage.rows(view, &uids);
            while let Some(batch) = rows.next_batch()? {
                cx.cancel.check()?;
                for row in batch {
                    newest.push(Reverse((row.date.secs, place, row.uid.0)));
                    if newest.len() > most {
                        newest.pop();
                    }
                }
            }
            if let Some(trouble) = rows.trouble() {
                return Err(trouble.into());
            }
        }
        cx.note(format!("{count} found"));
        if self.count {
            cx.row(&Count { count })?;
            return Ok(Outcome::DONE);
        }
        let needles = query.needles();
        let found: Vec<Found> = newest.into_sorted_vec().into_iter().map(|Reverse(found)| found).collect();
        for chunk in found.chunks(CHUNK) {
            self.show(cx, &places, chunk, &needles)?;
        }
        Ok(Outcome::DONE)
    }
}

impl Search {
    /// What is searched: each archive as a whole, or the folders that the line can mean.
    fn places(&self, cx: &Context<'_>, query: &Query) -> Result<Vec<Place>, Failure> {
        let storage = &cx.installation.storage;
        if let Some(only) = &self.folder {
            let path = FolderPath::new(only.as_str()).map_err(Failure::usage)?;
            let others =
                !self.archives.is_empty() && !self.archives.iter().any(|name| name == path.archive());
            let view = storage.view(&path).filter(|_| !others).ok_or_else(|| missing(only))?;
            let key = query.key(path.inner().unwrap_or_default());
            return Ok(vec![Place { view, key }]);
        }
        let eyes = cx.eyes()?;
        let names: BTreeSet<String> = match self.archives.is_empty() {
            true => {
                let seen = storage.folders().into_iter().filter(|folder| eyes.see(folder.path.as_str()));
                seen.map(|folder| folder.path.archive().to_owned()).collect()
            }
            false => self.archives.iter().cloned().collect(),
        };
        let mut places = Vec::new();
        let mut unmet: BTreeSet<&str> = query.folders().into_iter().collect();
        for name in &names {
            let folders = archive_of(cx, name)?;
            if !query.asks_for_folders() && eyes.see_whole(name) {
                let view = storage.all_mail(name);
                places.extend(view.map(|view| Place { view, key: query.key("") }));
                continue;
            }
            for folder in folders {
                let inner = folder.path.inner().unwrap_or_default();
                unmet.retain(|named| !query::is_in(inner, named));
                let key = query.key(inner);
                let view = storage.view(&folder.path).filter(|_| key != Key::Nothing);
                places.extend(view.map(|view| Place { view, key }));
            }
        }
        match unmet.first() {
            None => Ok(places),
            // A mistyped folder would find nothing, or hide nothing.
            Some(folder) => Err(missing(folder)),
        }
    }

    /// Gives some hits, in their order.
    fn show(
        &self,
        cx: &Context<'_>,
        places: &[Place],
        found: &[Found],
        needles: &[&str],
    ) -> Result<(), Failure> {
        let storage = &cx.installation.storage;
        let mut wanted: HashMap<u32, UidRanges> = HashMap::new();
        for &(_, place, uid) in found {
            wanted.entry(place).or_default().push(Uid(uid));
        }
        let mut rows: HashMap<(u32, u32), Row> = HashMap::new();
        for (place, uids) in wanted {
            let Some(Place { view, .. }) = places.get(place as usize) else { continue };
            let mut read = storage.rows(view, &uids);
            while let Some(batch) = read.next_batch()? {
                rows.extend(batch.into_iter().map(|row| ((place, row.uid.0), row)));
            }
        }
        for (_, place, uid) in found {
            cx.cancel.check()?;
            // What was moved or deleted meanwhile is no hit any more.
            let row = rows.get(&(*place, *uid)).zip(places.get(*place as usize));
            let Some((row, Place { view, .. })) = row else { continue };
            let Some((folder, uid)) = storage.placement(view, row.uid)? else { continue };
            let snippet = if self.snippets { storage.snippet(row, needles)? } else { None };
            cx.row(&hit(cx, &folder, uid, row, snippet)?)?;
        }
        Ok(())
    }
}
