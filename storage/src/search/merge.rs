//! Neighbouring segments made into one: few segments make a search quick.
//!
//! Invariant: a merge holds one block of each source's vocabulary and one term's postings, whatever the segments' size; which ones are merged
//! bounds what one term can have. It changes nothing of its sources.

use super::bits::Malformed;
use super::dictionary::Block;
use super::fields::Part;
use super::paged::PageReader;
use super::postings::{Postings, read_positions};
use super::segment::{Segment, SegmentMeta, SegmentWriter};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// As many neighbours of about one size are merged at once.
const WIDTH: usize = 8;
/// Segments of less than this are of one size, then of `WIDTH` times as much, and so on.
const SMALL_BYTES: u64 = 1 << 20;
/// No merge makes a larger segment.
const MOST_BYTES: u64 = 256 << 20;

/// Which size a segment has: how often the smallest has to be multiplied to come to it.
fn size_class(bytes: u64) -> u32 {
    let mut class = 0;
    let mut most = SMALL_BYTES;
    while bytes >= most {
        most = most.saturating_mul(WIDTH as u64);
        class += 1;
    }
    class
}

/// The neighbours that should become one, as a range; `bytes`: of each segment in their order.
pub(super) fn due(bytes: &[u64]) -> Option<std::ops::Range<usize>> {
    let mut from = 0;
    while from < bytes.len() {
        let class = size_class(bytes[from]);
        // What is smaller and stands among them goes along.
        let run = bytes[from..].iter().take_while(|&&b| size_class(b) <= class).count();
        let of_class = bytes[from..from + run].iter().filter(|&&b| size_class(b) == class).count();
        let mut sum = 0u64;
        let fit = bytes[from..from + run].iter().take_while(|&&b| {
            sum = sum.saturating_add(b);
            sum <= MOST_BYTES
        });
        let fit = fit.count();
        if of_class >= WIDTH && fit >= WIDTH {
            return Some(from..from + fit);
        }
        from += 1;
    }
    None
}

/// Where a source's vocabulary has come to.
struct Cursor<'a> {
    segment: &'a Segment,
    part: Part,
    next_block: usize,
    block: Option<Block>,
    term: usize,
    docs: PageReader<'a>,
    positions: PageReader<'a>,
    /// Its first message, counted from the first source's.
    offset: u32,
}

impl Cursor<'_> {
    fn current(&self) -> Option<&[u8]> {
        self.block.as_ref().map(|block| block.term(self.term))
    }

    fn advance(&mut self) -> io::Result<()> {
        self.term += 1;
        if self.block.as_ref().is_none_or(|block| self.term >= block.len()) {
            self.term = 0;
            self.block = None;
            if self.next_block < self.segment.blocks(self.part) {
                self.block = Some(self.segment.read_block(self.part, self.next_block)?);
                self.next_block += 1;
            }
        }
        Ok(())
    }

    fn take(&mut self, postings: &mut Postings) -> io::Result<()> {
        let Some(block) = &self.block else { return Ok(()) };
        let lists = block.lists(self.term);
        let len =
            |range: &std::ops::Range<u64>| usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        let docs = self.docs.read(lists.docs.start, len(&lists.docs))?;
        let positions = self.positions.read(lists.positions.start, len(&lists.positions))?;
        let offset = self.offset;
        read_positions(docs, positions, |doc, at| postings.push(doc.saturating_add(offset), at)).map_err(
            |Malformed| io::Error::new(io::ErrorKind::InvalidData, "a list of postings is malformed"),
        )
    }
}

/// Merges neighbours into a new segment; `None` when `stop` said so in between.
pub(super) fn merge(
    dir: &Path,
    serial: u64,
    sources: &[Arc<Segment>],
    stop: &dyn Fn() -> bool,
) -> io::Result<Option<SegmentMeta>> {
    let (Some(first), Some(last)) = (sources.first(), sources.last()) else { return Ok(None) };
    let begin = first.meta.messages.0;
    let mut writer = SegmentWriter::create(dir, serial)?;
    let mut postings = Postings::default();
    for part in Part::ALL {
        let mut cursors = Vec::with_capacity(sources.len());
        for segment in sources {
            let (docs, positions) = segment.readers();
            let offset = segment.meta.messages.0 - begin;
            let (next_block, block, term) = (0, None, 0);
            let mut cursor = Cursor { segment, part, next_block, block, term, docs, positions, offset };
            cursor.advance()?;
            cursors.push(cursor);
        }
        let mut steps = 0u32;
        while let Some(term) = cursors.iter().filter_map(Cursor::current).min().map(<[u8]>::to_vec) {
            steps = steps.wrapping_add(1);
            if steps.is_multiple_of(1024) && stop() {
                return Ok(None);
            }
            postings.clear();
            for cursor in cursors.iter_mut().filter(|cursor| cursor.current() == Some(&term)) {
                cursor.take(&mut postings)?;
                cursor.advance()?;
            }
            writer.term(&term, &postings)?;
        }
        let lens: Vec<u8> = sources.iter().flat_map(|segment| segment.lens(part)).copied().collect();
        writer.end_part(&lens)?;
    }
    Ok(Some(writer.finish((begin, last.meta.messages.1))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_size_are_merged_with_what_stands_among_them() {
        let kib = 1u64 << 10;
        assert_eq!(due(&[]), None);
        assert_eq!(due(&[kib; 7]), None);
        assert_eq!(due(&[kib; 8]), Some(0..8));
        assert_eq!(due(&[[2 << 20; 3].as_slice(), &[kib; 8]].concat()), Some(3..11));
        assert_eq!(due(&[[2 << 20; 7].as_slice(), &[kib; 3]].concat()), None);
        assert_eq!(due(&[[2 << 20; 7].as_slice(), &[kib, 2 << 20]].concat()), Some(0..9));
        assert_eq!(due(&[MOST_BYTES / 8 + 1; 12]), None, "they would make too large a segment");
        assert_eq!(due(&[MOST_BYTES / 8; 12]), Some(0..8));
    }
}
