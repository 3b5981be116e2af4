//! Texts collected in memory until they are a segment.
//!
//! Per part: a vocabulary, and the numbers of its terms in the order of the text, four bytes a unit. Positions aren't kept, they
//! are where a number stands. Invariant: what is collected is told in bytes, so that whoever fills it can stop in time.

use super::bits::put_varint;
use super::fields::Part;
use super::postings::Postings;
use super::segment::{SegmentMeta, SegmentWriter};
use super::words::{Cutter, name_unit};
use crate::text::{SearchText, fold, is_machine_header};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;
use std::io;
use std::path::Path;

/// A vocabulary that grows.
#[derive(Debug, Default)]
struct Vocabulary {
    hasher: DefaultHashBuilder,
    table: HashTable<u32>,
    bytes: Vec<u8>,
    /// Where each term ends in `bytes`.
    ends: Vec<u32>,
}

fn term<'a>(bytes: &'a [u8], ends: &[u32], id: u32) -> &'a [u8] {
    let id = id as usize;
    let from = id.checked_sub(1).and_then(|before| ends.get(before)).copied().unwrap_or(0);
    let to = ends.get(id).copied().unwrap_or(from);
    bytes.get(from as usize..to as usize).unwrap_or_default()
}

impl Vocabulary {
    fn id(&mut self, unit: &[u8]) -> u32 {
        let Vocabulary { hasher, table, bytes, ends } = self;
        let hash = hasher.hash_one(unit);
        if let Some(&id) = table.find(hash, |&id| term(bytes, ends, id) == unit) {
            return id;
        }
        let id = ends.len() as u32;
        bytes.extend_from_slice(unit);
        ends.push(bytes.len() as u32);
        table.insert_unique(hash, id, |&id| hasher.hash_one(term(bytes, ends, id)));
        id
    }
}

/// One part of all messages.
#[derive(Debug, Default)]
struct Units {
    vocabulary: Vocabulary,
    units: Vec<u32>,
    /// Where each message's units begin.
    starts: Vec<u32>,
}

impl Units {
    fn bytes(&self) -> usize {
        // The numbers twice, since writing sorts them; a term's bytes, its end, its place in the table and in the order.
        8 * self.units.len() + self.vocabulary.bytes.len() + 20 * self.vocabulary.ends.len()
    }

    fn write(&self, writer: &mut SegmentWriter) -> io::Result<()> {
        let Vocabulary { bytes, ends, .. } = &self.vocabulary;
        let terms = ends.len();
        // Where each term's occurrences begin: counted, then summed.
        let mut places = vec![0u32; terms + 1];
        for &unit in &self.units {
            places[unit as usize + 1] += 1;
        }
        for at in 0..terms {
            places[at + 1] += places[at];
        }
        let mut next = places.clone();
        let mut occurrences = vec![0u32; self.units.len()];
        for (at, &unit) in (0u32..).zip(&self.units) {
            let place = &mut next[unit as usize];
            occurrences[*place as usize] = at;
            *place += 1;
        }
        drop(next);
        let mut order: Vec<u32> = (0..terms as u32).collect();
        order.sort_unstable_by(|&a, &b| term(bytes, ends, a).cmp(term(bytes, ends, b)));
        let mut postings = Postings::default();
        for id in order {
            postings.clear();
            let mut doc = 0;
            for &at in &occurrences[places[id as usize] as usize..places[id as usize + 1] as usize] {
                // The message that has it: mostly this one or a near one.
                while self.starts.get(doc + 1).is_some_and(|&next| next <= at) {
                    let mut step = 1;
                    while self.starts.get(doc + 2 * step).is_some_and(|&next| next <= at) {
                        step *= 2;
                    }
                    doc += step;
                }
                postings.push(doc as u32, at - self.starts[doc]);
            }
            writer.term(term(bytes, ends, id), &postings)?;
        }
        let mut lens = Vec::new();
        let ends = self.starts.iter().skip(1).copied().chain([self.units.len() as u32]);
        self.starts.iter().zip(ends).for_each(|(start, end)| put_varint(u64::from(end - start), &mut lens));
        writer.end_part(&lens)
    }
}

/// Messages on their way into a segment.
#[derive(Debug, Default)]
pub(super) struct Builder {
    parts: [Units; Part::COUNT],
    cutter: Cutter,
    messages: u32,
}

impl Builder {
    /// Adds the next message.
    pub(super) fn add(&mut self, text: &SearchText) {
        for units in &mut self.parts {
            units.starts.push(units.units.len() as u32);
        }
        self.messages += 1;
        let cutter = &mut self.cutter;
        // Fields of one part come together, so that each part ends once.
        let mut whole = String::new();
        let lines: Vec<(Part, Option<Vec<u8>>, String)> = text
            .fields
            .iter()
            .filter(|field| !is_machine_header(&field.name))
            .map(|field| {
                let part = Part::of_header(&field.name).unwrap_or(Part::Other);
                whole.clear();
                whole.extend([&field.name, ": ", &field.value]);
                (part, name_unit(&field.name), fold(&whole))
            })
            .collect();
        for part in Part::ALL {
            let Units { vocabulary, units, .. } = &mut self.parts[part as usize];
            let mut push = |unit: &[u8]| units.push(vocabulary.id(unit));
            let mut any = false;
            for (_, name, line) in lines.iter().filter(|(of, ..)| *of == part) {
                match name {
                    Some(name) => cutter.field(name, line, &mut push),
                    None => cutter.entry(line, &mut push),
                }
                any = true;
            }
            if part == Part::Body {
                for entry in &text.body {
                    cutter.entry(&fold(entry), &mut push);
                    any = true;
                }
            }
            if any {
                cutter.end(&mut push);
            }
        }
    }

    /// How many messages there are.
    pub(super) fn messages(&self) -> u32 {
        self.messages
    }

    /// Memory that writing them takes, about.
    pub(super) fn bytes(&self) -> usize {
        self.parts.iter().map(Units::bytes).sum()
    }

    /// Writes them as a segment that begins with message number `first`, and is empty again.
    pub(super) fn write(&mut self, dir: &Path, serial: u64, first: u32) -> io::Result<SegmentMeta> {
        let mut writer = SegmentWriter::create(dir, serial)?;
        for units in &mut self.parts {
            // Its memory goes before the next part's is taken.
            std::mem::take(units).write(&mut writer)?;
        }
        let messages = std::mem::take(&mut self.messages);
        writer.finish((first, first + messages))
    }
}
