//! Rules and routing for sources on disk: a sink between the reader and the feed.
//!
//! Invariant: each message that the reader hands over reaches the feed, once for each of its targets, or is counted as filtered with
//! its reason. Folders that the rules leave out are not read into and not counted, as at a server. Memory is a header and one message
//! of up to 1 MiB; larger ones go to a temporary file.

use super::header::{self, MAX_HEADER_BYTES};
use super::route::Router;
use super::rules::{Filters, FolderRules, MessageFacts};
use crate::walk::{Found, Sink, Skipped, SourceFolder, Stop};
use std::io::{self, Read, Seek, SeekFrom};

/// Larger messages go to a temporary file while they are looked at.
const SPOOL_BYTES: usize = 1 << 20;

/// Applies rules to what a reader finds.
pub(crate) struct Ruled<'a> {
    pub(crate) inner: &'a mut dyn Sink,
    pub(crate) folders: &'a FolderRules,
    pub(crate) filters: &'a Filters,
    /// Where each message goes; none: where the reader's folders go.
    pub(crate) router: Option<&'a Router>,
    /// Levels at the top that are no folders at the source (an account's name).
    pub(crate) above: usize,
    /// Seconds since 1970.
    pub(crate) now: i64,
    /// A larger message fails whatever the rules say.
    pub(crate) max_message_bytes: u64,
    /// The reader's folders: as it told them, and the feed's number; none: left out.
    pub(crate) known: Vec<(SourceFolder, Option<usize>)>,
}

impl Ruled<'_> {
    fn is_needed(&self) -> bool {
        self.router.is_some() || !self.filters.is_empty()
    }

    /// The message whole, with what the rules ask of it.
    fn examine(&mut self, mut found: Found<'_>, number: usize) -> Result<(), Stop> {
        let mut spool = tempfile::SpooledTempFile::new(SPOOL_BYTES);
        let mut content = (&mut *found.content).take(self.max_message_bytes.saturating_add(1));
        let size = match io::copy(&mut content, &mut spool) {
            Ok(size) => size,
            Err(error) => return self.lost(&found, number, format!("can't be read: {error}")),
        };
        let mut head = Vec::new();
        let read = spool
            .seek(SeekFrom::Start(0))
            .and_then(|_| (&mut spool).take(MAX_HEADER_BYTES as u64).read_to_end(&mut head));
        if let Err(error) = read {
            return self.lost(&found, number, format!("temporary file: {error}"));
        }
        let fields = header::fields(&head);
        let value = |name: &str| fields.iter().find(|field| field.is(name)).map(header::Field::text);
        let (from, subject) = (value("From"), value("Subject"));
        let received = fields.iter().find(|field| field.is("Received"));
        let came = received.and_then(|field| field.value.rsplit(|&byte| byte == b';').next());
        let sent = fields.iter().find(|field| field.is("Date")).map(|field| field.value.as_slice());
        let written = came.into_iter().chain(sent).find_map(storage::card::date::parse).map(|date| date.secs);
        let facts = MessageFacts {
            date: found.date.map(|date| date.secs).or(written).or(Some(found.modified.secs)),
            size: Some(size),
            seen: None,
            from: Some(from.as_deref().unwrap_or_default()),
            subject: Some(subject.as_deref().unwrap_or_default()),
        };
        if let Some(reason) = self.filters.reason(&facts, self.now) {
            return self.left_out(&found, number, reason);
        }
        let Some(router) = self.router else { return self.give(&mut found, number, &mut spool) };
        let folders = match router.folders(&head) {
            Ok(folders) => folders,
            Err(reason) => return self.left_out(&found, number, reason),
        };
        let Some((folder, _)) = self.known.get(found.folder) else { return Err(Stop) };
        let folder = folder.clone();
        for root in folders {
            let number =
                self.inner.folder(SourceFolder { root: Some(root), levels: Vec::new(), ..folder.clone() });
            self.give(&mut found, number, &mut spool)?;
        }
        Ok(())
    }

    fn give(
        &mut self,
        found: &mut Found<'_>,
        folder: usize,
        spool: &mut tempfile::SpooledTempFile,
    ) -> Result<(), Stop> {
        if let Err(error) = spool.seek(SeekFrom::Start(0)) {
            return self.lost(found, folder, format!("temporary file: {error}"));
        }
        self.inner.message(Found {
            folder,
            place: found.place.clone(),
            occurrence: found.occurrence.clone(),
            prefix: found.prefix.clone(),
            content: spool,
            date: found.date,
            modified: found.modified,
            flags: found.flags,
        })
    }

    fn left_out(&mut self, found: &Found<'_>, folder: usize, reason: String) -> Result<(), Stop> {
        self.inner.skip(Skipped { folder, place: found.place.clone(), reason, failed: false })
    }

    fn lost(&mut self, found: &Found<'_>, folder: usize, reason: String) -> Result<(), Stop> {
        self.inner.skip(Skipped { folder, place: found.place.clone(), reason, failed: true })
    }
}

impl Sink for Ruled<'_> {
    fn folder(&mut self, folder: SourceFolder) -> usize {
        if let Some(at) = self.known.iter().position(|(known, _)| *known == folder) {
            return at;
        }
        let name = folder.levels.get(self.above..).unwrap_or_default().join("/");
        // The source's own messages stand in no folder of it: no rule names them.
        let wanted = name.is_empty() || self.folders.wants(&name, &[]);
        let number = wanted.then(|| self.inner.folder(folder.clone()));
        self.known.push((folder, number));
        self.known.len() - 1
    }

    fn message(&mut self, found: Found<'_>) -> Result<(), Stop> {
        let Some(number) = self.known.get(found.folder).and_then(|(_, number)| *number) else {
            return Ok(());
        };
        if self.is_needed() {
            return self.examine(found, number);
        }
        self.inner.message(Found { folder: number, ..found })
    }

    fn skip(&mut self, skipped: Skipped) -> Result<(), Stop> {
        let Some(number) = self.known.get(skipped.folder).and_then(|(_, number)| *number) else {
            return Ok(());
        };
        self.inner.skip(Skipped { folder: number, ..skipped })
    }
}
