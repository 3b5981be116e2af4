//! FETCH and UID FETCH (RFC 3501 §6.4.5): rows for flags, dates and sizes, cards for structure, the packs for bytes.
//!
//! A message's sections are found and measured before its line begins, so that a message that can't be read is left
//! out whole and the command ends in NO. Bytes are streamed; should they turn out wrong when a part of them has gone
//! out already, the connection is dropped: never a wrong message as if right.

use super::binary::{Decoded, Decoder, Measure};
use super::section::{self, MAX_FIELDS_BYTES};
use super::vanished::{Chain, Vanished};
use super::{answer, limit, objects};
use crate::proto::parse::Cursor;
use crate::proto::parse::fetch::{Item, Portion, items};
use crate::proto::parse::sync;
use crate::proto::set::Targets;
use crate::proto::{date, encode};
use crate::reply::Refusal;
use crate::session::{CHUNK, Call, Done, Session, Work};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use storage::card::{Card, Part, Zoned};
use storage::mime::Kind;
use storage::{
    Ahead, AheadOf, Cancel, Error, FolderView, Message, MessageReader, ModSeq, Row, Rows, SourceFlags,
    Storage, UidRanges,
};

/// Of one message, so many bytes may wait in memory: structure and header fields; literals are streamed.
const MAX_HELD: usize = 512 << 10;

/// FETCH
pub(crate) fn run(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let targets = c.targets()?;
    c.sp()?;
    let mut items = items(c)?;
    let sync::Fetch { since, vanished, partial } = sync::fetch(c)?;
    c.end()?;
    // RFC 7162 §3.2.6.
    if vanished && !(call.uid && s.enabled.qresync) {
        return Err(Refusal::Bad("VANISHED needs UID FETCH and ENABLE QRESYNC"));
    }
    // RFC 9738 §3.1: what is named by places is done whole or not at all.
    if let (Some(partial), Some(most)) = (partial, limit::most(s))
        && partial.count() > most
    {
        return Err(Refusal::TooMany(most));
    }
    let mut uids = resolve(s, &targets, call.uid)?;
    // RFC 9394 §3.4: places count in what was named, whatever of it has changed.
    if let Some(partial) = partial {
        let (first, last) = partial.places(uids.len());
        uids = answer::place(&uids, first, last);
    }
    // RFC 7162 §3.1: both turn CONDSTORE on.
    s.enabled.condstore |= since.is_some() || items.contains(&Item::ModSeq);
    let mut works: Vec<Box<dyn Work>> = Vec::new();
    if let (Some(since), Some(view)) = (since, s.selected()?.view()) {
        let storage = &s.world.storage;
        uids = uids.intersect(&storage.changed_since(view, since)?);
        if !items.contains(&Item::ModSeq) {
            items.push(Item::ModSeq);
        }
        if vanished {
            let asked = match &targets {
                Targets::Saved => (*s.saved).clone(),
                // The last message may be one that is gone.
                Targets::Set(set) => set.raw(view.info.uid_next.0.saturating_sub(1)),
            };
            works.push(Box::new(Vanished::earlier(&storage.vanished(view, since)?.intersect(&asked))));
        }
    }
    let (uids, cut) = limit::cut(s, uids);
    works.extend(ordered(s, uids, items, call.uid, cut.is_some())?);
    Ok(limit::done(Box::new(Chain::new(works)), cut, "FETCH done"))
}

/// The messages of a FETCH's or STORE's set: absent UIDs are fine, absent sequence numbers are not.
pub(crate) fn resolve(s: &Session, targets: &Targets, by_uid: bool) -> Result<UidRanges, Refusal> {
    let mailbox = s.selected()?;
    let set = match targets {
        Targets::Saved => return Ok(s.saved.intersect(mailbox.uids())),
        Targets::Set(set) => set,
    };
    if by_uid {
        Ok(set.uids(mailbox.uids()))
    } else {
        set.exact(mailbox.uids()).ok_or(Refusal::Bad("No message has that number"))
    }
}

/// Begins to answer `items` of `uids`; none if there is nothing to be said.
pub(crate) fn work(
    s: &Session,
    uids: UidRanges,
    items: Vec<Item>,
    by_uid: bool,
) -> Result<Option<Box<dyn Work>>, Refusal> {
    ordered(s, uids, items, by_uid, false)
}

/// As [`work`]; `falling`: from the highest UID down.
pub(crate) fn ordered(
    s: &Session,
    mut uids: UidRanges,
    mut items: Vec<Item>,
    by_uid: bool,
    falling: bool,
) -> Result<Option<Box<dyn Work>>, Refusal> {
    let mailbox = s.selected()?;
    let Some(view) = mailbox.view().filter(|_| !uids.is_empty()) else { return Ok(None) };
    // RFC 9586 §3.3: the UID is the number that the answer begins with.
    if by_uid && !s.enabled.uidonly && !items.contains(&Item::Uid) {
        items.insert(0, Item::Uid);
    }
    let storage = s.world.storage.clone();
    // Numbers and flags are known of messages in a missing store too.
    let flags_only = items.iter().all(|item| matches!(item, Item::Uid | Item::Flags | Item::ModSeq));
    let expected = (!by_uid).then(|| uids.len());
    let mut below =
        falling.then(|| Below { view: view.clone(), uids: std::mem::take(&mut uids), flags_only });
    let rows = match &mut below {
        Some(below) => below.rows(&storage),
        None if flags_only => storage.flag_rows(view, &uids),
        None => storage.rows(view, &uids),
    };
    let work = Fetch {
        rows,
        below,
        numbers: Arc::clone(mailbox.uids()),
        cards: items.iter().any(needs_card),
        threads: items.contains(&Item::ThreadId),
        uidonly: s.enabled.uidonly,
        highest: mailbox.mod_seq(),
        batch: Batch::default(),
        upcoming: None,
        wants: wants(&items),
        rows_tell: items.iter().all(is_of_row),
        storage,
        items,
        current: None,
        trouble: None,
        expected,
        told: 0,
    };
    Ok(Some(Box::new(work)))
}

fn needs_card(item: &Item) -> bool {
    match item {
        Item::Envelope | Item::Body | Item::BodyStructure => true,
        Item::Section { path, .. } | Item::Binary { path, .. } | Item::BinarySize { path, .. } => {
            !path.is_empty()
        }
        _ => false,
    }
}

/// Whether a message's row alone tells it.
fn is_of_row(item: &Item) -> bool {
    matches!(item, Item::Uid | Item::Flags | Item::ModSeq | Item::InternalDate | Item::Size)
}

/// What is read of the messages themselves.
fn wants(items: &[Item]) -> Option<AheadOf> {
    let of = |item: &Item| match item {
        Item::Section { path, text: Portion::Header | Portion::Fields { .. }, .. } if path.is_empty() => {
            Some(AheadOf::Headers)
        }
        // Who asks for a part of each message gets what is read for that, no more.
        Item::Section { partial: None, .. } | Item::Binary { partial: None, .. } => Some(AheadOf::Messages),
        _ => None,
    };
    items.iter().filter_map(of).max_by_key(|of| *of == AheadOf::Messages)
}

/// Rows that are at hand, with what else is asked for and is at hand too, and what is opened of them ahead.
#[derive(Default)]
struct Batch {
    rows: std::vec::IntoIter<Row>,
    /// None at all, or one for each row.
    cards: std::vec::IntoIter<Card>,
    /// None at all, or one for each row.
    conversations: std::vec::IntoIter<Option<u64>>,
    ahead: Option<Ahead>,
    /// How many of the rows were taken.
    taken: usize,
}

impl Batch {
    fn next(&mut self) -> Option<Row> {
        let row = self.rows.next()?;
        self.taken += 1;
        Some(row)
    }

    /// What is at hand besides of the row that was taken last.
    fn besides(&mut self) -> Besides {
        let message = self.ahead.as_ref().and_then(|ahead| ahead.message(self.taken.saturating_sub(1)));
        Besides { card: self.cards.next(), conversation: self.conversations.next().flatten(), message }
    }
}

/// Rows, and the card of each where cards are asked for; else none.
type Found = (Vec<Row>, Vec<Card>);

struct Besides {
    card: Option<Card>,
    conversation: Option<u64>,
    message: Option<Message>,
}

struct Fetch {
    storage: Storage,
    numbers: Arc<UidRanges>,
    items: Vec<Item>,
    rows: Rows,
    /// From the highest UID down: those that come after the rows.
    below: Option<Below>,
    cards: bool,
    threads: bool,
    /// Messages are told by UID alone (RFC 9586).
    uidonly: bool,
    /// No message is said to have changed later than what the session knows of the mailbox: else the client would believe that it
    /// knows all up to there.
    highest: ModSeq,
    batch: Batch,
    /// The batch after this one, where messages are read: so that what opens them ahead needn't stop between two.
    upcoming: Option<Result<Option<Batch>, Refusal>>,
    wants: Option<AheadOf>,
    /// No item needs more than the row.
    rows_tell: bool,
    current: Option<Current>,
    trouble: Option<Refusal>,
    /// Asked for by sequence number: how many are still to come.
    expected: Option<u64>,
    /// Messages that were begun.
    told: u64,
}

/// So many messages are read at once where they are told from the highest UID down.
const STRETCH: u64 = 256;

/// Messages that are told from the highest UID down, a stretch at a time.
struct Below {
    view: FolderView,
    uids: UidRanges,
    flags_only: bool,
}

impl Below {
    /// The rows of the highest stretch, which is then done.
    fn rows(&mut self, storage: &Storage) -> Rows {
        let most = self.uids.len();
        let stretch = answer::place(&self.uids, most.saturating_sub(STRETCH) + 1, most);
        self.uids = self.uids.subtract(&stretch);
        if self.flags_only {
            storage.flag_rows(&self.view, &stretch)
        } else {
            storage.rows(&self.view, &stretch)
        }
    }
}

/// The message whose line is being written.
struct Current {
    pieces: std::vec::IntoIter<Piece>,
    stream: Option<Stream>,
    /// Where its line begins in the output, as long as nothing of it has gone out.
    start: Option<usize>,
}

/// What a line is made of.
enum Piece {
    /// Bytes ready to go.
    Ready(Vec<u8>),
    /// Bytes of a literal, already announced.
    Stream(Stream),
}

enum Stream {
    Whole(Box<MessageReader>, u64),
    Range(Message, Range<u64>),
    /// What is measured, so that a literal8 tells of NULs.
    Decoded(Box<Decoded>),
}

impl Work for Fetch {
    fn step(&mut self, out: &mut Vec<u8>, cancel: &Cancel) -> Result<bool, Refusal> {
        while out.len() < CHUNK {
            match &mut self.current {
                Some(current) => match current.write(out) {
                    Ok(true) => self.current = None,
                    Ok(false) => {}
                    Err(error) => self.broken(out, error)?,
                },
                None => {
                    cancel.check()?;
                    let Some(row) = self.next_row()? else {
                        return self.trouble.take().map_or(Ok(true), Err);
                    };
                    self.told += 1;
                    if self.rows_tell {
                        self.tell_row(row, out);
                    } else {
                        let besides = self.batch.besides();
                        self.begin_message(row, besides, out, cancel);
                    }
                }
            }
        }
        if let Some(current) = &mut self.current {
            current.start = None;
        }
        Ok(false)
    }

    fn is_inside_line(&self) -> bool {
        self.current.is_some()
    }

    fn figures(&self) -> (u64, u64) {
        (self.told, 0)
    }
}

impl Fetch {
    fn next_row(&mut self) -> Result<Option<Row>, Refusal> {
        loop {
            if let Some(next) = self.batch.next() {
                self.expected = self.expected.map(|left| left.saturating_sub(1));
                return Ok(Some(next));
            }
            match self.upcoming.take().unwrap_or_else(|| self.next_batch())? {
                Some(batch) => {
                    self.batch = batch;
                    self.upcoming = self.wants.map(|_| self.next_batch());
                }
                None => {
                    if let Some(error) = self.rows.trouble() {
                        self.trouble.get_or_insert_with(|| error.into());
                    } else if self.expected.is_some_and(|left| left > 0) {
                        // RFC 2180 §4.1.2: what is there is given; EXPUNGE may not be told now.
                        self.trouble.get_or_insert(Refusal::EXPUNGED);
                    }
                    return Ok(None);
                }
            }
        }
    }

    /// The next rows, with their cards where those are asked for.
    fn next_found(&mut self) -> Result<Option<Found>, Refusal> {
        Ok(if self.cards {
            self.rows.next_batch_with_cards()?.map(|batch| batch.into_iter().unzip())
        } else {
            self.rows.next_batch()?.map(|rows| (rows, Vec::new()))
        })
    }

    /// All of the next stretch of UIDs, from the highest down; none once there is no stretch left.
    fn next_falling(&mut self) -> Result<Option<Found>, Refusal> {
        loop {
            let mut all = (Vec::new(), Vec::new());
            while let Some((rows, cards)) = self.next_found()? {
                all.0.extend(rows);
                all.1.extend(cards);
            }
            all.0.reverse();
            all.1.reverse();
            if let Some(error) = self.rows.trouble() {
                self.trouble.get_or_insert_with(|| error.into());
            }
            match self.below.as_mut().filter(|below| !below.uids.is_empty()) {
                Some(below) => self.rows = below.rows(&self.storage),
                None => return Ok(Some(all).filter(|(rows, _)| !rows.is_empty())),
            }
            if !all.0.is_empty() {
                return Ok(Some(all));
            }
        }
    }

    fn next_batch(&mut self) -> Result<Option<Batch>, Refusal> {
        let batch = if self.below.is_some() { self.next_falling()? } else { self.next_found()? };
        let Some((rows, cards)) = batch else { return Ok(None) };
        let conversations = if self.threads { self.storage.conversations(&rows)? } else { Vec::new() };
        let ahead = self.wants.map(|wants| self.storage.ahead(&rows, wants));
        Ok(Some(Batch {
            rows: rows.into_iter(),
            cards: cards.into_iter(),
            conversations: conversations.into_iter(),
            ahead,
            taken: 0,
        }))
    }

    /// Begins a message's line; false for one that the session doesn't know of.
    fn begin_line(&self, row: &mut Row, out: &mut Vec<u8>) -> bool {
        let Some(number) = self.numbers.seq_of(row.uid) else { return false };
        row.mod_seq = row.mod_seq.min(self.highest);
        out.extend_from_slice(b"* ");
        encode::number(if self.uidonly { u64::from(row.uid.0) } else { number }, out);
        out.extend_from_slice(if self.uidonly { b" UIDFETCH (" } else { b" FETCH (" });
        true
    }

    /// The whole line of a message of which the row tells all: a mailbox's flags come to millions of them in a second.
    fn tell_row(&self, mut row: Row, out: &mut Vec<u8>) {
        if !self.begin_line(&mut row, out) {
            return;
        }
        for (i, item) in self.items.iter().enumerate() {
            if i > 0 {
                out.push(b' ');
            }
            of_row(item, &row, out);
        }
        out.extend_from_slice(b")\r\n");
    }

    fn begin_message(&mut self, mut row: Row, besides: Besides, out: &mut Vec<u8>, cancel: &Cancel) {
        let start = out.len();
        if !self.begin_line(&mut row, out) {
            return;
        }
        let Besides { card, conversation, message } = besides;
        let row = &row;
        let mut source =
            Source { storage: &self.storage, row, card, conversation, parts: None, message, cancel };
        let mut pieces = Vec::new();
        let mut held = 0;
        for (i, item) in self.items.iter().enumerate() {
            // What is ready before the first literal goes straight out, the rest waits its turn.
            let mut waits = Vec::new();
            let straight = pieces.is_empty();
            let ready = if straight { &mut *out } else { &mut waits };
            let before = ready.len();
            if i > 0 {
                ready.push(b' ');
            }
            let stream = source.item(item, ready);
            held += ready.len() - before;
            match stream
                .and_then(|stream| if held > MAX_HELD { Err(too_much(held).into()) } else { Ok(stream) })
            {
                Ok(stream) => {
                    if !straight {
                        pieces.push(Piece::Ready(waits));
                    }
                    pieces.extend(stream.map(Piece::Stream));
                }
                Err(refusal) => {
                    out.truncate(start);
                    self.trouble = Some(refusal);
                    return;
                }
            }
        }
        if pieces.is_empty() {
            out.extend_from_slice(b")\r\n");
        } else {
            self.current = Some(Current { pieces: pieces.into_iter(), stream: None, start: Some(start) });
        }
    }

    /// A message that can't be read to its end: taken back if nothing has gone out, else the connection is lost.
    fn broken(&mut self, out: &mut Vec<u8>, error: Error) -> Result<(), Refusal> {
        let start = self.current.take().and_then(|c| c.start);
        let refusal = Refusal::from(error);
        match start {
            Some(start) => {
                out.truncate(start);
                self.trouble = Some(refusal);
                Ok(())
            }
            None => Err(Refusal::Drop),
        }
    }
}

impl Current {
    /// Writes a piece; true when the line is complete.
    fn write(&mut self, out: &mut Vec<u8>) -> Result<bool, Error> {
        if let Some(stream) = &mut self.stream {
            let as_it_is = matches!(stream, Stream::Decoded(_));
            match stream.next()? {
                // What has NULs goes out as it is: a literal8 was announced.
                Some(bytes) if as_it_is => out.extend_from_slice(&bytes),
                Some(bytes) => encode::body(&bytes, out),
                None => self.stream = None,
            }
            return Ok(false);
        }
        match self.pieces.next() {
            Some(Piece::Ready(bytes)) => out.extend_from_slice(&bytes),
            Some(Piece::Stream(stream)) => self.stream = Some(stream),
            None => {
                out.extend_from_slice(b")\r\n");
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Stream {
    /// The next bytes; exactly as many as were announced, or an error.
    fn next(&mut self) -> Result<Option<Bytes>, Error> {
        match self {
            Stream::Whole(reader, left) => {
                let piece = reader.next_piece()?;
                let len = piece.as_ref().map_or(0, |p| p.len() as u64);
                // The reader has checked the message by now; a size that differs means a wrong row.
                *left =
                    left.checked_sub(len).filter(|&l| piece.is_some() || l == 0).ok_or_else(wrong_size)?;
                Ok(piece)
            }
            Stream::Decoded(decoded) => decoded.next(),
            Stream::Range(message, range) => {
                if range.is_empty() {
                    return Ok(None);
                }
                let bytes = message.read(range.clone())?;
                let len = bytes.len() as u64;
                if len == 0 || len > range.end - range.start {
                    return Err(wrong_size());
                }
                range.start += len;
                Ok(Some(bytes))
            }
        }
    }
}

fn too_much(found: usize) -> Error {
    Error::Limit { what: "bytes of header fields in one FETCH", found: found as u64, limit: MAX_HELD as u64 }
}

fn wrong_size() -> Error {
    Error::Missing { what: "a message of the size that its row tells".to_owned() }
}

/// A message's data, each thing read when an item first needs it.
struct Source<'a> {
    storage: &'a Storage,
    row: &'a Row,
    card: Option<Card>,
    conversation: Option<u64>,
    parts: Option<Vec<Part>>,
    message: Option<Message>,
    cancel: &'a Cancel,
}

impl Source<'_> {
    /// Writes an item, or all up to its literal's bytes.
    fn item(&mut self, item: &Item, out: &mut Vec<u8>) -> Result<Option<Stream>, Refusal> {
        match item {
            Item::Flags | Item::Uid | Item::InternalDate | Item::Size | Item::ModSeq => {
                of_row(item, self.row, out);
            }
            Item::EmailId => objects::email(&self.storage.identity(self.row)?, out),
            Item::ThreadId => objects::thread(self.conversation, out),
            Item::SaveDate => {
                out.extend_from_slice(b"SAVEDATE ");
                match self.storage.saved_at(self.row)? {
                    Some(secs) => date::write_date_time(Zoned { secs, zone: 0 }, out),
                    None => out.extend_from_slice(b"NIL"),
                }
            }
            Item::Envelope => {
                out.extend_from_slice(b"ENVELOPE ");
                out.extend_from_slice(&self.card()?.envelope);
            }
            Item::Body => {
                out.extend_from_slice(b"BODY ");
                let body = self.card()?.body();
                out.extend_from_slice(&body);
            }
            Item::BodyStructure => {
                out.extend_from_slice(b"BODYSTRUCTURE ");
                out.extend_from_slice(&self.card()?.bodystructure);
            }
            Item::Preview { lazy } => {
                out.extend_from_slice(b"PREVIEW ");
                match self.storage.preview(self.row) {
                    Ok(text) => encode::string(text.as_bytes(), out),
                    // RFC 8970 §4: NIL only where LAZY allows it.
                    Err(error) if *lazy => {
                        tracing::warn!(%error, "a preview that may be left out could not be made");
                        out.extend_from_slice(b"NIL");
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Item::Section { label, path, text, partial } => {
                out.extend_from_slice(label);
                return Ok(self.section(path, text, *partial, out)?);
            }
            Item::Binary { label, path, partial } => {
                out.extend_from_slice(label);
                match self.decoded(path, *partial)? {
                    None => out.extend_from_slice(b" NIL"),
                    Some((Measure { bytes, has_nul }, decoded)) => {
                        out.extend_from_slice(if has_nul { b" ~{" } else { b" {" });
                        encode::number(bytes, out);
                        out.extend_from_slice(b"}\r\n");
                        return Ok(Some(Stream::Decoded(Box::new(decoded))));
                    }
                }
            }
            Item::BinarySize { label, path } => {
                out.extend_from_slice(label);
                out.push(b' ');
                let size = self.decoded(path, None)?.map_or(0, |(measure, _)| measure.bytes);
                encode::number(size, out);
            }
        }
        Ok(None)
    }

    fn section(
        &mut self,
        path: &[u32],
        text: &Portion,
        partial: Option<(u64, u64)>,
        out: &mut Vec<u8>,
    ) -> Result<Option<Stream>, Error> {
        if path.is_empty() && *text == Portion::All {
            let message = self.message()?;
            let size = message.size();
            return Ok(Some(match partial {
                None => {
                    announce(size, out);
                    Stream::Whole(Box::new(message.reader()), size)
                }
                Some(_) => {
                    let range = cut(0..size, partial);
                    announce(range.end - range.start, out);
                    Stream::Range(message.clone(), range)
                }
            }));
        }
        // The message's own header and text lie where the message says: no card is needed.
        let range = if path.is_empty() {
            let message = self.message()?;
            let end = message.header_len().min(message.size());
            Some(if *text == Portion::Text { end..message.size() } else { 0..end })
        } else {
            section::locate(path, text, self.parts()?)
        };
        let Some(range) = range else {
            out.extend_from_slice(b" NIL");
            return Ok(None);
        };
        let message = self.message()?;
        if let Portion::Fields { names, not } = text {
            let header = read(message, range.start..range.end.min(range.start + MAX_FIELDS_BYTES))?;
            return Ok(ready(&section::filter(&header, names, *not), partial, out));
        }
        let range = cut(range.start..range.end.min(message.size()).max(range.start), partial);
        announce(range.end - range.start, out);
        Ok(Some(Stream::Range(message.clone(), range)))
    }

    /// A part without its encoding; none for a multipart, which has none, and for what isn't there. A message is given as it
    /// stands: what is encoded are its parts.
    fn decoded(
        &mut self,
        path: &[u32],
        partial: Option<(u64, u64)>,
    ) -> Result<Option<(Measure, Decoded)>, Refusal> {
        let (raw, decoder) = if path.is_empty() {
            (0..self.message()?.size(), Decoder::Same)
        } else {
            let part = section::part(path, self.parts()?);
            let Some(part) = part.filter(|part| part.kind != Kind::Multipart).cloned() else {
                return Ok(None);
            };
            let message = self.message()?;
            let end = part.header.end.min(part.header.start + MAX_FIELDS_BYTES);
            let decoder = Decoder::of(&read(message, part.header.start..end)?)?;
            let size = message.size();
            (part.body.start.min(size)..part.body.end.min(size), decoder)
        };
        let decoded = Decoded::new(self.message()?.clone(), raw, decoder, partial);
        Ok(Some(decoded.measured(self.cancel)?))
    }

    fn card(&mut self) -> Result<&Card, Error> {
        let card = match self.card.take() {
            Some(card) => card,
            None => self.storage.card(self.row)?,
        };
        Ok(self.card.insert(card))
    }
    fn parts(&mut self) -> Result<&[Part], Error> {
        let parts = match self.parts.take() {
            Some(parts) => parts,
            None => self.card()?.part_table()?,
        };
        Ok(self.parts.insert(parts))
    }
    fn message(&mut self) -> Result<&Message, Error> {
        let message = match self.message.take() {
            Some(message) => message,
            None => self.storage.message(self.row)?,
        };
        Ok(self.message.insert(message))
    }
}

/// Writes an item that a message's row tells.
fn of_row(item: &Item, row: &Row, out: &mut Vec<u8>) {
    match item {
        Item::Flags => flags(row.flags, out),
        Item::Uid => {
            out.extend_from_slice(b"UID ");
            encode::number(u64::from(row.uid.0), out);
        }
        Item::InternalDate => {
            out.extend_from_slice(b"INTERNALDATE ");
            date::write_date_time(row.date, out);
        }
        Item::Size => {
            out.extend_from_slice(b"RFC822.SIZE ");
            encode::number(row.size, out);
        }
        Item::ModSeq => {
            out.extend_from_slice(b"MODSEQ (");
            encode::number(row.mod_seq.0, out);
            out.push(b')');
        }
        _ => debug_assert!(false, "a row doesn't tell it"),
    }
}

/// Everything is \Seen; the rest is what the source said.
fn flags(flags: SourceFlags, out: &mut Vec<u8>) {
    out.extend_from_slice(b"FLAGS (\\Seen");
    if flags.answered {
        out.extend_from_slice(b" \\Answered");
    }
    if flags.flagged {
        out.extend_from_slice(b" \\Flagged");
    }
    if flags.forwarded {
        out.extend_from_slice(b" $Forwarded");
    }
    out.push(b')');
}

fn announce(size: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b" {");
    encode::number(size, out);
    out.extend_from_slice(b"}\r\n");
}

/// A literal from memory.
fn ready(bytes: &[u8], partial: Option<(u64, u64)>, out: &mut Vec<u8>) -> Option<Stream> {
    let range = cut(0..bytes.len() as u64, partial);
    announce(range.end - range.start, out);
    let at = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
    encode::body(bytes.get(at(range.start)..at(range.end)).unwrap_or_default(), out);
    None
}

/// The part of a range that a partial fetch asks for; nothing past its end.
fn cut(range: Range<u64>, partial: Option<(u64, u64)>) -> Range<u64> {
    let Some((first, count)) = partial else { return range };
    let start = range.start.saturating_add(first).min(range.end);
    start..start.saturating_add(count).min(range.end)
}

/// A range whole; the caller bounds it.
fn read(message: &Message, mut range: Range<u64>) -> Result<Bytes, Error> {
    range.end = range.end.min(message.size()).max(range.start);
    let len = range.end - range.start;
    let first = message.read(range.clone())?;
    if first.len() as u64 == len {
        return Ok(first);
    }
    let mut all = first.to_vec();
    let mut stream = Stream::Range(message.clone(), range.start + all.len() as u64..range.end);
    while let Some(piece) = stream.next()? {
        all.extend_from_slice(&piece);
    }
    Ok(all.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partials_stop_at_the_end() {
        assert_eq!(cut(10..20, None), 10..20);
        assert_eq!(cut(10..20, Some((0, 10))), 10..20);
        assert_eq!(cut(10..20, Some((0, 11))), 10..20);
        assert_eq!(cut(10..20, Some((9, 5))), 19..20);
        assert_eq!(cut(10..20, Some((10, 5))), 20..20);
        assert_eq!(cut(10..20, Some((u64::MAX, u64::MAX))), 20..20);
    }
}
