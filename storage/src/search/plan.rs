//! A search as a plan: every key gets the rows that match for sure and those that may, and only the rows in between are
//! decided by the stored text.
//!
//! Rows are positions in the folder's columns. Dates, sizes, flags and UIDs are known from the columns, text is narrowed
//! by the index, and AND, OR and NOT combine the bounds; so a message is read at most once, only where the whole tree
//! leaves it open, and its body only where its header doesn't decide. Nothing recurses: clients nest ORs a thousand deep.

use super::fields::Part;
use super::scan::{Folded, Needle, Scope, header_has};
use super::snapshot::{FindError, Found, Snapshot};
use super::words::{Like, Lookup, name_unit};
use super::{Day, Key};
use crate::card::attachments::Attached;
use crate::text::{Field, fold, is_machine_header};
use crate::{Error, MsgNo, Row};
use roaring::RoaringBitmap;
use std::sync::Arc;

/// Where a plan reads messages that the index leaves open.
pub(crate) trait Source {
    /// The header's fields.
    fn fields(&self, message: MsgNo) -> Result<Arc<Vec<Field>>, Error>;
    /// Told how many messages are left open.
    fn expect(&self, _messages: u64) {}
    /// Told when one more of them is decided.
    fn advance(&self) {}
    /// Its attachments and named parts, as its card has them.
    fn attached(&self, message: MsgNo) -> Result<Vec<Attached>, Error> {
        Err(Error::Missing { what: format!("the card of message number {}", message.0) })
    }
    /// The whole folded text.
    fn text(&self, message: MsgNo) -> Result<Arc<Folded>, Error>;
}

/// What a plan runs over.
pub(crate) struct Ground<'a> {
    /// The folder's rows, rising by UID.
    pub(crate) rows: &'a [Row],
    /// The index, if it can be used.
    pub(crate) snapshot: Option<&'a Snapshot>,
    /// Called between pieces of work; ends the search with its error.
    pub(crate) check: &'a dyn Fn() -> Result<(), Error>,
    /// Told when the index fails; the search goes on by scanning.
    pub(crate) damaged: &'a dyn Fn(&str),
}

/// The rows that match for sure, and all that may (the sure ones among them).
#[derive(Debug, Clone, Default)]
struct Bounds {
    sure: RoaringBitmap,
    /// `None`: those of `sure` and no others.
    may: Option<RoaringBitmap>,
}

impl Bounds {
    fn exact(rows: RoaringBitmap) -> Bounds {
        Bounds { sure: rows, may: None }
    }
    fn may(&self) -> &RoaringBitmap {
        self.may.as_ref().unwrap_or(&self.sure)
    }
    /// Whether the row matches, if that is known.
    fn of(&self, row: u32) -> Option<bool> {
        if self.sure.contains(row) {
            Some(true)
        } else if self.may.as_ref().is_none_or(|may| !may.contains(row)) {
            Some(false)
        } else {
            None
        }
    }
}

#[derive(Debug)]
enum Op<'k> {
    /// Known from the columns.
    Columns(&'k Key),
    /// Known from the card: an attachment, or a file's name with the needle.
    Attached(Option<Box<Needle>>),
    /// A needle and where it is looked for.
    Text(Scope, Box<Needle>),
    And,
    Or,
    Not,
}

#[derive(Debug)]
struct Node<'k> {
    op: Op<'k>,
    /// Cheapest first, once bounds are set; always higher indexes than the node's own.
    children: Vec<usize>,
    bounds: Bounds,
    /// What deciding it costs: nothing, the header, the body.
    cost: u8,
}

/// A key made ready.
#[derive(Debug)]
pub(crate) struct Plan<'k> {
    nodes: Vec<Node<'k>>,
}

impl<'k> Plan<'k> {
    /// Lays the key out, parents before children.
    pub(crate) fn new(key: &'k Key) -> Plan<'k> {
        let mut nodes: Vec<Node<'k>> = Vec::new();
        let mut open: Vec<(&'k Key, Option<usize>)> = vec![(key, None)];
        while let Some((key, parent)) = open.pop() {
            let at = nodes.len();
            let (op, cost) = match key {
                Key::And(keys) => {
                    open.extend(keys.iter().map(|k| (k, Some(at))));
                    (Op::And, 0)
                }
                Key::Or(keys) => {
                    open.extend(keys.iter().map(|k| (k, Some(at))));
                    (Op::Or, 0)
                }
                Key::Not(key) => {
                    open.push((key.as_ref(), Some(at)));
                    (Op::Not, 0)
                }
                Key::Text(typed) if !typed.is_empty() => {
                    (Op::Text(Scope::Text, Box::new(Needle::new(typed))), 2)
                }
                Key::Body(typed) if !typed.is_empty() => {
                    (Op::Text(Scope::Body, Box::new(Needle::new(typed))), 2)
                }
                Key::Header(name, typed) => {
                    (Op::Text(Scope::Header(name.clone()), Box::new(Needle::new(typed))), 1)
                }
                Key::HasAttachment => (Op::Attached(None), 1),
                Key::FileName(typed) => (Op::Attached(Some(Box::new(Needle::new(typed)))), 1),
                _ => (Op::Columns(key), 0),
            };
            nodes.push(Node { op, children: Vec::new(), bounds: Bounds::default(), cost });
            if let Some(parent) = parent.and_then(|p| nodes.get_mut(p)) {
                parent.children.push(at);
            }
        }
        Plan { nodes }
    }

    /// Whether any key asks for text.
    pub(crate) fn has_text(&self) -> bool {
        self.nodes.iter().any(|n| matches!(n.op, Op::Text(..)))
    }

    /// The matching rows.
    pub(crate) fn run(mut self, ground: &Ground<'_>, source: &dyn Source) -> Result<RoaringBitmap, Error> {
        self.bound(ground)?;
        let Some(root) = self.nodes.first() else { return Ok(RoaringBitmap::new()) };
        let mut found = root.bounds.sure.clone();
        let open = root.bounds.may() - &root.bounds.sure;
        source.expect(open.len());
        for row in open {
            (ground.check)()?;
            let Some(message) = ground.rows.get(row as usize).map(|r| r.msg) else { continue };
            if self.decide(row, &mut Reading { source, message, fields: None, text: None })? {
                found.insert(row);
            }
            source.advance();
        }
        Ok(found)
    }

    fn bound(&mut self, ground: &Ground<'_>) -> Result<(), Error> {
        let places = if self.has_text() { Places::new(ground) } else { Places::default() };
        let count = u32::try_from(ground.rows.len()).unwrap_or(u32::MAX);
        let mut all = RoaringBitmap::new();
        all.insert_range(0..count);
        for at in (0..self.nodes.len()).rev() {
            (ground.check)()?;
            let (front, children) = self.nodes.split_at_mut(at + 1);
            let Some(node) = front.last_mut() else { continue };
            let child = |c: usize| c.checked_sub(at + 1).and_then(|c| children.get(c));
            node.children.sort_by_key(|&c| child(c).map(|n| n.cost));
            node.cost = node.children.iter().filter_map(|&c| child(c)).fold(node.cost, |c, n| c.max(n.cost));
            let mut below = node.children.iter().filter_map(|&c| child(c)).map(|n| &n.bounds);
            node.bounds = match &node.op {
                Op::Columns(key) => Bounds::exact(by_columns(key, ground.rows, &all)),
                Op::Text(scope, needle) => by_index(scope, needle, ground, &places, &all)?,
                Op::Attached(_) => Bounds { sure: RoaringBitmap::new(), may: Some(all.clone()) },
                Op::And => both(below, &all),
                Op::Or => either(below),
                Op::Not => below.next().map_or_else(Bounds::default, |b| Bounds {
                    sure: &all - b.may(),
                    may: b.may.is_some().then(|| &all - &b.sure),
                }),
            };
        }
        Ok(())
    }

    /// Decides one row by its bounds, and where they leave it open by its text.
    fn decide(&self, row: u32, reading: &mut Reading<'_>) -> Result<bool, Error> {
        let mut stack: Vec<(usize, usize)> = vec![(0, 0)];
        // What the node that was left last came to; none on the way down.
        let mut value: Option<bool> = None;
        while let Some((at, turn)) = stack.last_mut() {
            let Some(node) = self.nodes.get(*at) else { break };
            let result = match (value.take(), &node.op) {
                (None, Op::Text(scope, needle)) => match node.bounds.of(row) {
                    Some(known) => Some(known),
                    None => Some(reading.has(scope, needle)?),
                },
                (None, Op::Attached(name)) => match node.bounds.of(row) {
                    Some(known) => Some(known),
                    None => Some(reading.attaches(name.as_deref())?),
                },
                (None, _) => node.bounds.of(row),
                (Some(false), Op::And) => Some(false),
                (Some(true), Op::Or) => Some(true),
                (Some(inner), Op::Not) => Some(!inner),
                (Some(_), _) => None,
            };
            match (result, node.children.get(*turn)) {
                (Some(known), _) => value = Some(known),
                (None, Some(&child)) => {
                    *turn += 1;
                    stack.push((child, 0));
                    continue;
                }
                // All children agreed with the way on: every one of an AND was true, none of an OR.
                (None, None) => value = Some(matches!(node.op, Op::And)),
            }
            stack.pop();
        }
        Ok(value.unwrap_or(false))
    }
}

/// A message while a row is decided: its header and its text are read when they are first needed.
struct Reading<'a> {
    source: &'a dyn Source,
    message: MsgNo,
    fields: Option<Arc<Vec<Field>>>,
    text: Option<Arc<Folded>>,
}

impl Reading<'_> {
    fn attaches(&self, name: Option<&Needle>) -> Result<bool, Error> {
        let parts = self.source.attached(self.message)?;
        Ok(match name {
            None => parts.iter().any(|part| part.is_attachment),
            Some(name) => parts.iter().flat_map(|part| &part.names).any(|one| name.is_in(&fold(one))),
        })
    }

    fn has(&mut self, scope: &Scope, needle: &Needle) -> Result<bool, Error> {
        if let Scope::Header(name) = scope {
            let fields = match &self.fields {
                Some(fields) => fields,
                None => self.fields.insert(self.source.fields(self.message)?),
            };
            return Ok(header_has(fields, name, needle));
        }
        let text = match &self.text {
            Some(text) => text,
            None => self.text.insert(self.source.text(self.message)?),
        };
        Ok(text.has(needle, *scope == Scope::Text))
    }
}

fn both<'b>(below: impl Iterator<Item = &'b Bounds>, all: &RoaringBitmap) -> Bounds {
    let mut out = Bounds::exact(all.clone());
    for b in below {
        if out.may.is_some() || b.may.is_some() {
            out.may = Some(out.may() & b.may());
        }
        out.sure &= &b.sure;
    }
    out
}

fn either<'b>(below: impl Iterator<Item = &'b Bounds>) -> Bounds {
    let mut out = Bounds::default();
    for b in below {
        match (&mut out.may, &b.may) {
            (Some(may), _) => *may |= b.may(),
            (None, Some(may)) => out.may = Some(may | &out.sure),
            (None, None) => {}
        }
        out.sure |= &b.sure;
    }
    out
}

/// Where the folder has its messages, for the way from message numbers to rows.
#[derive(Debug, Default)]
struct Places {
    /// Message number and row, sorted; a message may be placed twice.
    by_message: Vec<(u32, u32)>,
    /// All message numbers of the folder.
    messages: RoaringBitmap,
    /// Rows of messages that the index doesn't hold yet.
    tail: RoaringBitmap,
}

impl Places {
    fn new(ground: &Ground<'_>) -> Places {
        let Some(snapshot) = ground.snapshot else { return Places::default() };
        let mut by_message: Vec<(u32, u32)> = ground.rows.iter().map(|r| r.msg.0).zip(0..).collect();
        by_message.sort_unstable();
        let messages = by_message.iter().map(|&(message, _)| message).collect();
        let tail = by_message.iter().filter(|&&(m, _)| m >= snapshot.watermark().0).map(|&(_, row)| row);
        let tail = tail.collect();
        Places { by_message, messages, tail }
    }

    fn rows_of(&self, messages: &RoaringBitmap) -> RoaringBitmap {
        let mut out = RoaringBitmap::new();
        for message in messages & &self.messages {
            let from = self.by_message.partition_point(|&(m, _)| m < message);
            let rows = self.by_message.get(from..).unwrap_or_default();
            out.extend(rows.iter().take_while(|&&(m, _)| m == message).map(|&(_, row)| row));
        }
        out
    }
}

fn by_columns(key: &Key, rows: &[Row], all: &RoaringBitmap) -> RoaringBitmap {
    let pick = |test: &dyn Fn(&Row) -> bool| -> RoaringBitmap {
        (0u32..).zip(rows).filter(|(_, row)| test(row)).map(|(at, _)| at).collect()
    };
    let arrived = |row: &Row| (row.date.secs + i64::from(row.date.zone) * 60).div_euclid(86_400);
    let sent = |row: &Row, test: &dyn Fn(i64) -> bool| row.sent_day.is_some_and(|day| test(i64::from(day)));
    match key {
        Key::All | Key::Text(_) | Key::Body(_) => all.clone(),
        Key::Before(Day(day)) => pick(&|row| arrived(row) < *day),
        Key::On(Day(day)) => pick(&|row| arrived(row) == *day),
        Key::Since(Day(day)) => pick(&|row| arrived(row) >= *day),
        Key::ArrivedUntil(moment) => pick(&|row| row.date.secs <= *moment),
        Key::ArrivedFrom(moment) => pick(&|row| row.date.secs >= *moment),
        Key::SentBefore(Day(day)) => pick(&|row| sent(row, &|d| d < *day)),
        Key::SentOn(Day(day)) => pick(&|row| sent(row, &|d| d == *day)),
        Key::SentSince(Day(day)) => pick(&|row| sent(row, &|d| d >= *day)),
        Key::Larger(size) => pick(&|row| row.size > *size),
        Key::Smaller(size) => pick(&|row| row.size < *size),
        Key::Uids(uids) => pick(&|row| uids.contains(row.uid)),
        Key::Flag(flag) => pick(&|row| row.flags.has(*flag)),
        Key::ModSeq(least) => pick(&|row| row.mod_seq.0 >= *least),
        // The last three were turned into UIDs.
        Key::Nothing
        | Key::Saved(..)
        | Key::Identity(_)
        | Key::Conversation(_)
        | Key::Header(..)
        | Key::HasAttachment
        | Key::FileName(_)
        | Key::And(_)
        | Key::Or(_)
        | Key::Not(_) => RoaringBitmap::new(),
    }
}

/// The bounds that the index gives a needle; without it, everything may match.
fn by_index(
    scope: &Scope,
    needle: &Needle,
    ground: &Ground<'_>,
    places: &Places,
    all: &RoaringBitmap,
) -> Result<Bounds, Error> {
    let open = || Bounds { sure: RoaringBitmap::new(), may: Some(all.clone()) };
    let Some(snapshot) = ground.snapshot else { return Ok(open()) };
    // The library trusts its files: damage may end in a panic.
    let find = std::panic::AssertUnwindSafe(|| narrow(scope, needle, snapshot, ground.check));
    match std::panic::catch_unwind(find) {
        Ok(Ok(Some(found))) => {
            let sure = places.rows_of(&found.sure);
            let may = (&sure | places.rows_of(&found.maybe)) | &places.tail;
            Ok(Bounds { may: (may != sure).then_some(may), sure })
        }
        Ok(Ok(None)) => Ok(open()),
        Ok(Err(FindError::Stopped(error))) => Err(error),
        Ok(Err(FindError::Index(what))) => {
            (ground.damaged)(&what);
            Ok(open())
        }
        Err(_) => {
            (ground.damaged)("reading it panics");
            Ok(open())
        }
    }
}

fn narrow(
    scope: &Scope,
    needle: &Needle,
    snapshot: &Snapshot,
    check: &dyn Fn() -> Result<(), Error>,
) -> Result<Option<Found>, FindError> {
    let lookup = Lookup::new(needle.as_str());
    let name = match scope {
        Scope::Body => return snapshot.find(Part::Body, &lookup, false, check),
        Scope::Text => {
            let mut all = Found::default();
            for part in Part::ALL {
                let Some(found) = snapshot.find(part, &lookup, true, check)? else { return Ok(None) };
                all.sure |= found.sure;
                all.maybe |= found.maybe;
                // The body comes last, and is the most work.
                if all.sure.len() == u64::from(snapshot.watermark().0) {
                    break;
                }
            }
            return Ok(Some(all));
        }
        Scope::Header(name) => name,
    };
    if is_machine_header(name) {
        return Ok(None);
    }
    // The index has a field's whole line, the key asks for its value: at its edges they differ.
    let edges = needle.as_str().starts_with(' ') || needle.as_str().ends_with(' ');
    let lookup = match needle.as_str() {
        " " => Lookup::Nothing,
        _ if edges => lookup.loosened(),
        _ => lookup,
    };
    let found = match (name_unit(name), Part::of_header(name)) {
        (Some(name), Some(part)) if lookup == Lookup::Nothing => {
            snapshot.find(part, &Lookup::One(Like::Is(name)), true, check)?
        }
        (_, Some(part)) => snapshot.find(part, &lookup, false, check)?,
        (Some(name), None) => Some(snapshot.find_in_field(&name, &lookup, check)?),
        // Such a name is text like any other, and the header decides.
        (None, None) => {
            let found = snapshot.find(Part::Other, &lookup.loosened(), false, check)?;
            return Ok(
                found.map(|found| Found { sure: RoaringBitmap::new(), maybe: found.sure | found.maybe })
            );
        }
    };
    Ok(found.map(|found| match edges {
        true => Found { sure: RoaringBitmap::new(), maybe: found.sure | found.maybe },
        false => found,
    }))
}
