//! One term's postings: in which messages of a segment it is, and at which units of their text.
//!
//! Two lists of bytes. The first has the documents: their number; for one, the document and its count less one; for more, a
//! parameter, then for each its gap and its count less one as Rice codes. The second has the positions: for one, that; for more,
//! a parameter for the first in each document and, if any has several (which its highest bit tells), one for the gaps, then all as Rice codes. Gaps are less one.
//! Invariant: documents rise, and positions within a document; whatever bytes are read, nothing panics.

use super::bits::{BitReader, BitWriter, Malformed, best_k, put_varint, varint32};

/// Set in the parameter of first positions when one for gaps follows.
const SEVERAL: u8 = 0x80;

/// Postings in memory, to be written: already the gaps that the lists consist of.
#[derive(Debug, Default)]
pub(super) struct Postings {
    /// The last occurrence.
    last: Option<(u32, u32)>,
    doc_gaps: Vec<u32>,
    counts: Vec<u32>,
    /// The first position in each document.
    firsts: Vec<u32>,
    /// Between the positions of one document.
    gaps: Vec<u32>,
}

impl Postings {
    pub(super) fn clear(&mut self) {
        self.last = None;
        self.doc_gaps.clear();
        self.counts.clear();
        self.firsts.clear();
        self.gaps.clear();
    }

    /// Appends an occurrence, behind those that are there.
    #[inline]
    pub(super) fn push(&mut self, doc: u32, position: u32) {
        match (self.last, self.counts.last_mut()) {
            (Some((at, before)), Some(count)) if at == doc => {
                *count += 1;
                self.gaps.push(position - before - 1);
            }
            (last, _) => {
                self.doc_gaps.push(last.map_or(doc, |(before, _)| doc - before - 1));
                self.counts.push(1);
                self.firsts.push(position);
            }
        }
        self.last = Some((doc, position));
    }

    /// Appends both lists.
    pub(super) fn encode(&self, docs: &mut Vec<u8>, positions: &mut Vec<u8>) {
        put_varint(self.doc_gaps.len() as u64, docs);
        if let [doc] = self.doc_gaps[..] {
            put_varint(u64::from(doc), docs);
            put_varint(self.gaps.len() as u64, docs);
        } else {
            let k = best_k(&self.doc_gaps);
            docs.push(k);
            let mut bits = BitWriter::new(docs);
            for (&gap, &count) in self.doc_gaps.iter().zip(&self.counts) {
                bits.rice(gap, k);
                bits.rice(count - 1, 0);
            }
            bits.finish();
        }
        if let ([position], []) = (&self.firsts[..], &self.gaps[..]) {
            put_varint(u64::from(*position), positions);
            return;
        }
        let (first, gap) = (best_k(&self.firsts), best_k(&self.gaps));
        if self.gaps.is_empty() {
            positions.push(first);
        } else {
            positions.extend([first | SEVERAL, gap]);
        }
        let mut bits = BitWriter::new(positions);
        let mut gaps = self.gaps.iter();
        for (&position, &count) in self.firsts.iter().zip(&self.counts) {
            bits.rice(position, first);
            gaps.by_ref().take(count as usize - 1).for_each(|&between| bits.rice(between, gap));
        }
        bits.finish();
    }
}

/// Calls `each` with every document and its count.
pub(super) fn read_docs(mut bytes: &[u8], mut each: impl FnMut(u32, u32)) -> Result<(), Malformed> {
    let number = varint32(&mut bytes)?;
    if number == 1 {
        let doc = varint32(&mut bytes)?;
        each(doc, varint32(&mut bytes)?.checked_add(1).ok_or(Malformed)?);
        return Ok(());
    }
    let (&k, rest) = bytes.split_first().ok_or(Malformed)?;
    let mut bits = BitReader::new(rest);
    let mut next = 0u32;
    for _ in 0..number {
        let doc = next.checked_add(bits.rice(k)?).ok_or(Malformed)?;
        each(doc, bits.rice(0)?.checked_add(1).ok_or(Malformed)?);
        next = doc.checked_add(1).ok_or(Malformed)?;
    }
    Ok(())
}

/// Calls `each` with every document and position.
pub(super) fn read_positions(
    docs: &[u8],
    mut positions: &[u8],
    mut each: impl FnMut(u32, u32),
) -> Result<(), Malformed> {
    let mut head = docs;
    if varint32(&mut head)? == 1 {
        let doc = varint32(&mut head)?;
        if varint32(&mut head)? == 0 {
            each(doc, varint32(&mut positions)?);
            return Ok(());
        }
    }
    let mut parameter = || -> Result<u8, Malformed> {
        let (&k, rest) = positions.split_first().ok_or(Malformed)?;
        positions = rest;
        Ok(k)
    };
    let first = parameter()?;
    let gaps = if first & SEVERAL > 0 { parameter()? } else { 0 };
    let first = first & !SEVERAL;
    let mut bits = BitReader::new(positions);
    let mut failed = false;
    read_docs(docs, |doc, count| {
        let mut at: Option<u32> = None;
        for _ in 0..count {
            if failed {
                return;
            }
            let next = match at {
                None => bits.rice(first).ok(),
                Some(at) => bits.rice(gaps).ok().and_then(|gap| at.checked_add(gap)?.checked_add(1)),
            };
            match next {
                Some(next) => each(doc, next),
                None => failed = true,
            }
            at = next;
        }
    })?;
    if failed { Err(Malformed) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    type Bytes = (Vec<u8>, Vec<u8>);

    fn encoded(all: &BTreeSet<(u32, u32)>) -> Bytes {
        let mut postings = Postings::default();
        all.iter().for_each(|&(doc, position)| postings.push(doc, position));
        let mut out = Bytes::default();
        postings.encode(&mut out.0, &mut out.1);
        out
    }

    fn occurrences() -> impl Strategy<Value = BTreeSet<(u32, u32)>> {
        let doc = prop_oneof![0u32..4, 0u32..2_000, any::<u32>()];
        let position = prop_oneof![0u32..20, 0u32..5_000, any::<u32>()];
        prop::collection::btree_set((doc, position), 1..80)
    }

    proptest! {
        #[test]
        fn occurrences_come_back(all in occurrences()) {
            let (docs, positions) = encoded(&all);
            let mut found = BTreeSet::new();
            read_positions(&docs, &positions, |doc, position| assert!(found.insert((doc, position)))).unwrap();
            prop_assert_eq!(&found, &all);
            let mut counts = Vec::new();
            read_docs(&docs, |doc, count| counts.push((doc, count))).unwrap();
            let expected: BTreeSet<u32> = all.iter().map(|&(doc, _)| doc).collect();
            prop_assert_eq!(counts.iter().map(|&(doc, _)| doc).collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>());
            prop_assert_eq!(counts.iter().map(|&(_, count)| count as usize).sum::<usize>(), all.len());
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(docs in prop::collection::vec(any::<u8>(), 0..40), positions in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut seen = 0u64;
            let read = read_docs(&docs, |_, _| seen += 1);
            prop_assert!(read.is_err() || seen <= 8 * docs.len() as u64);
            let before = seen;
            let read = read_positions(&docs, &positions, |_, _| seen += 1);
            prop_assert!(read.is_err() || seen - before <= 8 * positions.len() as u64);
        }
    }
}
