//! Line ends: to the canonical CRLF, and back to what they were.
//!
//! Invariant: every LF of the source is an LF of the canonical bytes, in order, and the map says of each whether its CR
//! stood there before. Nothing else changes: a CR that no LF follows stays as it is.

use crate::Error;
use memchr::memchr;

/// Most runs of a map: what a message of alternating line ends may take of memory and of its placement's record.
pub(super) const MAX_RUNS: usize = 1 << 20;

/// The line ends that a source's bytes had, as runs over the canonical form's CRLFs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LineEnds {
    /// Alternating counts of line ends, first CRLF (kept), then LF (was bare), and so on; empty: all CRLF.
    pub runs: Vec<u64>,
}

impl LineEnds {
    /// Something that gives the source's bytes back from the canonical ones.
    #[must_use]
    pub fn restorer(&self) -> Restorer<'_> {
        Restorer { runs: &self.runs, bare: false, left: self.runs.first().copied(), held_cr: false }
    }
}

/// Turns canonical bytes, in pieces of any size, back into the source's.
#[derive(Debug)]
pub struct Restorer<'a> {
    /// The run in hand and those after it.
    runs: &'a [u64],
    /// Whether the run in hand is of bare LFs.
    bare: bool,
    /// What is left of the run in hand; none when the map has ended (all further ones are CRLF).
    left: Option<u64>,
    /// A CR at the end of the last piece: what follows decides whether it stood in the source.
    held_cr: bool,
}

impl Restorer<'_> {
    /// Appends to `out` what the source had for this piece of the canonical bytes.
    pub fn push(&mut self, canonical: &[u8], out: &mut Vec<u8>) {
        let mut rest = canonical;
        if self.held_cr && !rest.is_empty() {
            self.held_cr = false;
            if rest[0] != b'\n' {
                out.push(b'\r');
            } else {
                if !self.next_is_bare() {
                    out.push(b'\r');
                }
                out.push(b'\n');
                rest = &rest[1..];
            }
        }
        while let Some(at) = memchr(b'\n', rest) {
            let (line, after) = rest.split_at(at);
            rest = &after[1..];
            match line.strip_suffix(b"\r") {
                Some(text) => {
                    let text = if self.next_is_bare() { text } else { line };
                    out.extend_from_slice(text);
                }
                // Not canonical; the map does not speak of it.
                None => out.extend_from_slice(line),
            }
            out.push(b'\n');
        }
        if let Some(text) = rest.strip_suffix(b"\r") {
            self.held_cr = true;
            rest = text;
        }
        out.extend_from_slice(rest);
    }

    /// Appends what was held back, once all canonical bytes were pushed.
    pub fn finish(self, out: &mut Vec<u8>) {
        if self.held_cr {
            out.push(b'\r');
        }
    }

    fn next_is_bare(&mut self) -> bool {
        while self.left == Some(0) {
            self.runs = self.runs.get(1..).unwrap_or_default();
            self.left = self.runs.first().copied();
            self.bare = !self.bare;
        }
        match &mut self.left {
            Some(left) => {
                *left -= 1;
                self.bare
            }
            None => false,
        }
    }
}

/// Turns a source's bytes, in pieces of any size, into canonical ones, and notes what the line ends were.
#[derive(Debug)]
pub(super) struct Canonicalizer {
    runs: Vec<u64>,
    after_cr: bool,
    max_runs: usize,
}

impl Canonicalizer {
    /// One whose map has at most `max_runs` runs.
    pub(super) fn new(max_runs: usize) -> Self {
        Canonicalizer { runs: Vec::new(), after_cr: false, max_runs }
    }

    /// Appends to `out` the canonical form of the source's next bytes.
    pub(super) fn push(&mut self, source: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        let mut rest = source;
        while let Some(at) = memchr(b'\n', rest) {
            let (line, after) = rest.split_at(at);
            rest = &after[1..];
            let kept = line.last().map_or(self.after_cr, |&last| last == b'\r');
            self.after_cr = false;
            out.extend_from_slice(line);
            out.extend_from_slice(if kept { b"\n" } else { b"\r\n" });
            self.count(!kept)?;
        }
        if let Some(&last) = rest.last() {
            self.after_cr = last == b'\r';
            out.extend_from_slice(rest);
        }
        Ok(())
    }

    /// The map; a message of CRLFs only has an empty one.
    pub(super) fn finish(self) -> LineEnds {
        LineEnds { runs: if self.runs.len() > 1 { self.runs } else { Vec::new() } }
    }

    fn count(&mut self, bare: bool) -> Result<(), Error> {
        if self.runs.is_empty() {
            self.runs.push(0);
        }
        // The run in hand is of bare LFs when an even number of runs stands there.
        if bare != self.runs.len().is_multiple_of(2) {
            if self.runs.len() >= self.max_runs {
                let (found, limit) = (self.runs.len() as u64 + 1, self.max_runs as u64);
                return Err(Error::Limit { what: "changes between CRLF and LF in a message", found, limit });
            }
            self.runs.push(0);
        }
        if let Some(run) = self.runs.last_mut() {
            *run += 1;
        }
        Ok(())
    }
}
