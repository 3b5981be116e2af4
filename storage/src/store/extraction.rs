//! A message's text with that of its attachments: read from what is kept, extracted where nothing is kept yet.
//!
//! Invariant: what a reader is given for an attachment stands in [`Extracts`] before, or can't be kept at all (the disk is full, say), which the log
//! tells. Equal files are extracted once, by one thread, however many messages have them and however many ask: a second answer could differ.

use super::Store;
use super::extracts::{Extracts, Row};
use super::message;
use crate::attachments::{Attachment, Attachments, Extracted, TextExtractor};
use crate::incoming::Content;
use crate::prepared::Parsed;
use crate::text::{self, SearchText};
use crate::{ContentHash, Error, MsgNo};
use parking_lot::{Condvar, Mutex};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// How often one who waits for another's extraction looks whether it was cancelled.
const CANCEL_EVERY: Duration = Duration::from_millis(50);

/// Whom a store asks for the text of attachments.
#[derive(Debug)]
pub(crate) struct Extraction {
    pub(crate) extractor: Arc<dyn TextExtractor>,
    /// Keys of files in hand, each by one thread.
    taken: Mutex<HashSet<[u8; 32]>>,
    given: Condvar,
}

impl Extraction {
    pub(crate) fn new(extractor: Arc<dyn TextExtractor>) -> Extraction {
        Extraction { extractor, taken: Mutex::default(), given: Condvar::new() }
    }

    /// Whether a message has attachments that are worth asking for.
    pub(crate) fn is_worth(&self, attachments: &Attachments) -> bool {
        attachments.list.iter().any(|one| self.extractor.may_have_text(&one.media_type, &one.file_name))
    }

    fn take(&self, key: [u8; 32], check: &dyn Fn() -> Result<(), Error>) -> Result<Taken<'_>, Error> {
        let mut taken = self.taken.lock();
        while !taken.insert(key) {
            check()?;
            self.given.wait_for(&mut taken, CANCEL_EVERY);
        }
        Ok(Taken { extraction: self, key })
    }
}

/// Held while a file is extracted, until its answer is kept.
struct Taken<'a> {
    extraction: &'a Extraction,
    key: [u8; 32],
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.extraction.taken.lock().remove(&self.key);
        self.extraction.given.notify_all();
    }
}

/// A message whose attachments are still to be read, with its bytes at hand.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) hash: ContentHash,
    pub(crate) content: Content,
    pub(crate) attachments: Attachments,
}

/// Where answers are kept, and where those of before are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub(crate) in_use: &'a Extracts,
    /// Answers that are taken over instead of asking again.
    pub(crate) before: Option<&'a Extracts>,
}

impl Store {
    /// A message's text, as it was given to the index or will be.
    /// # Errors
    /// `Corrupt`, `WrongContent`, `Missing`; those of `check`.
    pub(crate) fn full_text(
        &self,
        no: MsgNo,
        kept: Option<&Extracts>,
        check: &dyn Fn() -> Result<(), Error>,
    ) -> Result<SearchText, Error> {
        let entry = self.db.message(no)?;
        let content = message::content(&self.packs, &entry, self.limits.spool_above_bytes)?;
        // Parsed as it was when it was archived, so that it has the text that the index was given.
        let mut parsed = Parsed::new(&content, &self.limits);
        if let Some(kept) = kept {
            let kept = Kept { in_use: kept, before: None };
            self.add_attachments((no, entry.hash), &content, &mut parsed, kept, check)?;
        }
        Ok(parsed.text)
    }

    /// As [`Store::full_text`], of a message whose `text` is all but complete.
    /// # Errors
    /// Those of `check`, and of reading the content.
    pub(crate) fn with_unread(
        &self,
        no: MsgNo,
        mut text: SearchText,
        unread: Unread,
        kept: Option<&Extracts>,
        check: &dyn Fn() -> Result<(), Error>,
    ) -> Result<SearchText, Error> {
        let Unread { hash, content, mut attachments } = unread;
        if let Some(kept) = kept {
            let kept = Kept { in_use: kept, before: None };
            self.add_texts((no, hash), &content, &mut text, &mut attachments, kept, check)?;
        }
        Ok(text)
    }

    /// Adds the text of its attachments to a message's.
    /// # Errors
    /// Those of `check`, and of reading the content.
    pub(crate) fn add_attachments(
        &self,
        number: (MsgNo, ContentHash),
        content: &Content,
        parsed: &mut Parsed,
        kept: Kept<'_>,
        check: &dyn Fn() -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.add_texts(number, content, &mut parsed.text, &mut parsed.attachments, kept, check)
    }

    fn add_texts(
        &self,
        (no, hash): (MsgNo, ContentHash),
        content: &Content,
        text: &mut SearchText,
        attachments: &mut Attachments,
        kept: Kept<'_>,
        check: &dyn Fn() -> Result<(), Error>,
    ) -> Result<(), Error> {
        let Some(extraction) = &self.extraction else { return Ok(()) };
        if !extraction.is_worth(attachments) {
            return Ok(());
        }
        let Attachments { list, left } = attachments;
        for one in
            list.iter().filter(|one| extraction.extractor.may_have_text(&one.media_type, &one.file_name))
        {
            check()?;
            let work = Work { extraction, no, hash, content, kept, check };
            if let Some(found) = work.text(one)? {
                text.add_within(found, left);
            }
        }
        Ok(())
    }
}

struct Work<'a> {
    extraction: &'a Extraction,
    no: MsgNo,
    hash: ContentHash,
    content: &'a Content,
    kept: Kept<'a>,
    check: &'a dyn Fn() -> Result<(), Error>,
}

impl Work<'_> {
    /// The text of one attachment, if it has any.
    fn text(&self, one: &Attachment) -> Result<Option<String>, Error> {
        let answer = match self.known(one) {
            Ok(Some((Row::Nothing, _))) => return Ok(None),
            Ok(Some((_, Some(answer)))) => answer,
            Ok(_) => match self.ask(one)? {
                Some(answer) => answer,
                None => return Ok(None),
            },
            Err(error) => {
                tracing::error!(message = self.no.0, %error, "an attachment's text can't be looked up, and is extracted again");
                match self.ask(one)? {
                    Some(answer) => answer,
                    None => return Ok(None),
                }
            }
        };
        Ok(match answer {
            Extracted::Text { text, .. } if !text.is_empty() => Some(text),
            Extracted::Text { .. } | Extracted::Off => None,
        })
    }

    /// What is kept for a part; what an earlier file has is taken over.
    fn known(&self, one: &Attachment) -> Result<Option<(Row, Option<Extracted>)>, Error> {
        for (kept, is_before) in [(Some(self.kept.in_use), false), (self.kept.before, true)] {
            let Some(kept) = kept else { continue };
            let Some(row) = kept.row(self.no, self.hash, one.part)? else { continue };
            let answer = match row {
                Row::Nothing => None,
                Row::File(_, key) => match kept.answer(&key)? {
                    None => continue,
                    some => some,
                },
            };
            if is_before {
                self.keep(one, row, answer.as_ref());
            }
            return Ok(Some((row, answer)));
        }
        Ok(None)
    }

    /// Reads the attachment and asks for its text, unless an equal one has been; keeps the answer.
    fn ask(&self, one: &Attachment) -> Result<Option<Extracted>, Error> {
        let extractor = &*self.extraction.extractor;
        let most = extractor.max_bytes();
        // base64 is a third longer, and quoted-printable has three characters for a byte.
        let read = one.body.end - one.body.start <= most.saturating_mul(3).saturating_add(1 << 10);
        let (row, answer, _taken) = if read {
            let bytes = text::part_bytes(self.content, one)?;
            let Some(format) = extractor.format(&one.media_type, &one.file_name, &bytes) else {
                self.keep(one, Row::Nothing, None);
                return Ok(None);
            };
            let key = Extracts::key(format, &bytes);
            let row = Row::File(format, key);
            let taken = self.extraction.take(key, self.check)?;
            if let Ok(Some(answer)) = self.kept.in_use.answer(&key) {
                self.keep(one, row, None);
                return Ok(Some(answer));
            }
            (row, extractor.extract(format, &bytes), Some(taken))
        } else {
            // Its name alone says what it is; nothing else has this key.
            let Some(format) = extractor.format(&one.media_type, &one.file_name, b"") else {
                self.keep(one, Row::Nothing, None);
                return Ok(None);
            };
            let label = [&self.hash.0[..], &one.part.to_le_bytes()].concat();
            let trouble = Some(format!("it has more than {most} bytes"));
            let row = Row::File(format, Extracts::key(format, &label));
            (row, Extracted::Text { text: String::new(), trouble }, None)
        };
        self.keep(one, row, Some(&answer));
        Ok(Some(answer))
    }

    fn keep(&self, one: &Attachment, row: Row, answer: Option<&Extracted>) {
        if let Err(error) = self.kept.in_use.put((self.no, self.hash, one.part), row, answer) {
            tracing::error!(message = self.no.0, %error, "an attachment's text can't be kept, and will be extracted again");
        }
    }
}
