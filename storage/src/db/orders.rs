//! Sort and thread keys of messages, column by column, in groups of neighbours.
//!
//! Invariant: a group holds the values of consecutive message numbers from its key on; the groups of each column cover every
//! number below the next one. A group is closed once it is full, so that values stay small; only the last grows.

use super::{Db, ORDERS};
use crate::Error;
use crate::order::{COLUMNS, Column, Entry, Keys, decode};
use crate::pack::varint::{Reader, put};
use redb::{ReadableTable, Table};

/// Most values of a group.
const GROUP_VALUES: u64 = 256;
/// A group with so many plain bytes is full.
const FULL_BYTES: usize = 8 << 10;
/// Plain bytes that are accepted when reading: a full group and the largest value.
const MAX_PLAIN: usize = FULL_BYTES + (16 << 10);
const LEVEL: i32 = 6;

/// The groups of a table.
type Orders<'t> = Table<'t, (u8, u32), &'static [u8]>;

/// A group taken apart.
struct Group {
    count: u64,
    plain: Vec<u8>,
}

fn unpack(value: &[u8]) -> Option<Group> {
    let mut from = Reader::new(value);
    let count = from.varint()?;
    let len = usize::try_from(from.varint()?).ok().filter(|&len| len <= MAX_PLAIN)?;
    let plain = zstd::bulk::decompress(from.rest(), len).ok().filter(|plain| plain.len() == len)?;
    Some(Group { count, plain })
}

/// Appends the keys of the messages from number `first` on, which are the next ones.
pub(super) fn put_all(db: &Db, table: &mut Orders<'_>, first: u32, all: &[Keys]) -> Result<(), Error> {
    if all.is_empty() {
        return Ok(());
    }
    let mut packer = zstd::bulk::Compressor::new(LEVEL).map_err(Error::io(db.path()))?;
    for column in COLUMNS {
        let mut at = first;
        let mut group = Group { count: 0, plain: Vec::new() };
        let mut before = 0;
        if let Some((start, last)) =
            last_group(db, table, column, first)?.filter(|(_, group)| !is_full(group))
        {
            let mut from = Reader::new(&last.plain);
            for _ in 0..last.count {
                decode(column, &mut before, &mut from).ok_or_else(|| damaged(db, start))?;
            }
            (at, group) = (start, last);
        }
        for keys in all {
            if is_full(&group) {
                insert(db, table, &mut packer, (column, at), &group)?;
                at = at.saturating_add(u32::try_from(group.count).unwrap_or(u32::MAX));
                group = Group { count: 0, plain: Vec::new() };
                before = 0;
            }
            keys.encode(column, &mut before, &mut group.plain);
            group.count += 1;
        }
        insert(db, table, &mut packer, (column, at), &group)?;
    }
    Ok(())
}

fn is_full(group: &Group) -> bool {
    group.count >= GROUP_VALUES || group.plain.len() >= FULL_BYTES
}

fn damaged(db: &Db, first: u32) -> Error {
    db.derived(format!("the sort keys from message {first} on are damaged"))
}

/// The last group, which ends before message `next`.
fn last_group(db: &Db, table: &Orders<'_>, column: Column, next: u32) -> Result<Option<(u32, Group)>, Error> {
    let column = column as u8;
    let mut range = table.range((column, 0)..=(column, u32::MAX)).map_err(|e| db.err(e))?;
    let Some(last) = range.next_back() else { return Ok(None) };
    let (key, value) = last.map_err(|e| db.err(e))?;
    let start = key.value().1;
    let group = unpack(value.value()).ok_or_else(|| damaged(db, start))?;
    if u64::from(start) + group.count != u64::from(next) {
        return Err(db.derived(format!("the sort keys before message {next} have a gap")));
    }
    Ok(Some((start, group)))
}

fn insert(
    db: &Db,
    table: &mut Orders<'_>,
    packer: &mut zstd::bulk::Compressor<'_>,
    (column, first): (Column, u32),
    group: &Group,
) -> Result<(), Error> {
    let mut value = Vec::new();
    put(&mut value, group.count);
    put(&mut value, group.plain.len() as u64);
    value.extend_from_slice(&packer.compress(&group.plain).map_err(Error::io(db.path()))?);
    table.insert((column as u8, first), &value[..]).map_err(|e| db.err(e))?;
    Ok(())
}

impl Db {
    /// Gives `take` the value of each wanted message in `column`, with the second number of its pair. `wanted`: message
    /// numbers, rising, each with a number of the caller's. `check` is called between groups.
    pub(crate) fn orders(
        &self,
        column: Column,
        wanted: &[(u32, u32)],
        check: &dyn Fn() -> Result<(), Error>,
        take: &mut dyn FnMut(u32, Entry<'_>),
    ) -> Result<(), Error> {
        let txn = self.read()?;
        let table = txn.open_table(ORDERS).map_err(|e| self.err(e))?;
        let mut rest = wanted.iter().peekable();
        while let Some(&&(next, _)) = rest.peek() {
            check()?;
            let number = column as u8;
            let mut range = table.range((number, 0)..=(number, next)).map_err(|e| self.err(e))?;
            let missing = || self.derived(format!("the sort keys of message {next} are missing"));
            let (key, value) = range.next_back().ok_or_else(missing)?.map_err(|e| self.err(e))?;
            let first = key.value().1;
            let group = unpack(value.value()).ok_or_else(|| damaged(self, first))?;
            if u64::from(next) >= u64::from(first) + group.count {
                return Err(missing());
            }
            let (mut from, mut before) = (Reader::new(&group.plain), 0);
            for at in (u64::from(first)..).take(usize::try_from(group.count).unwrap_or(0)) {
                let entry = decode(column, &mut before, &mut from).ok_or_else(|| damaged(self, first))?;
                while let Some(&(_, tag)) = rest.next_if(|(no, _)| u64::from(*no) == at) {
                    take(tag, entry);
                }
            }
        }
        Ok(())
    }

    /// The keys of the messages of these numbers, as they are stored.
    pub(crate) fn keys(&self, numbers: std::ops::Range<u32>) -> Result<Vec<Keys>, Error> {
        let wanted: Vec<(u32, u32)> = numbers.zip(0..).collect();
        let mut all = vec![Keys::default(); wanted.len()];
        for column in COLUMNS {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            self.orders(column, &wanted, &|| Ok(()), &mut |at, entry| {
                let Some(keys) = all.get_mut(at as usize) else { return };
                let [from, to, cc] = &mut keys.people;
                let person = match column {
                    Column::To => to,
                    Column::Cc => cc,
                    _ => from,
                };
                match entry {
                    Entry::Sent(sent) => keys.sent = sent,
                    Entry::Subject { text: subject, reply } => {
                        (keys.subject, keys.reply) = (text(subject), reply)
                    }
                    Entry::Ids { id, references } => {
                        keys.id = id;
                        keys.references = crate::order::hashes(references).collect();
                    }
                    Entry::Person { mailbox, display } => {
                        (person.mailbox, person.display) = (text(mailbox), text(display));
                    }
                }
            })?;
        }
        Ok(all)
    }
}
