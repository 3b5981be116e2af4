//! What one extraction may give and inflate, and the counter that holds it to that.
//!
//! Invariant: inflated bytes are counted as they come out of the decompressor, over all files inside of files together; sizes that a file
//! claims for itself are not believed.

use std::cell::Cell;
use std::io::{self, Read};

/// Bounds of one extraction, bytes and counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bounds {
    /// Text that is given, bytes of UTF-8; the rest is left out, and that is said.
    pub output_bytes: usize,
    /// Bytes that compressed files may become, all together.
    pub inflated_bytes: u64,
    /// Largest file inside of an archive that is read whole.
    pub entry_bytes: u64,
    /// Files inside of archives, all together.
    pub entries: u32,
    /// Archives and messages inside of each other.
    pub depth: u32,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            output_bytes: 4 << 20,
            inflated_bytes: 256 << 20,
            entry_bytes: 32 << 20,
            entries: 10_000,
            depth: 4,
        }
    }
}

/// What an extraction found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// The text; empty when there is none.
    pub text: String,
    /// Why there may be more text than that, for people.
    pub trouble: Option<String>,
}

/// Why an extraction ends early.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stop {
    /// No more text is wanted.
    #[error("only the first {0} bytes of its text are searched")]
    Full(usize),
    #[error("it inflates to more than {0} bytes")]
    Inflated(u64),
    #[error("a file in it has more than {0} bytes")]
    Entry(u64),
    #[error("there are more than {0} files in it")]
    Entries(u32),
    #[error("archives lie inside of each other more than {0} deep")]
    Depth(u32),
    #[error("it needs more memory than it may")]
    Memory,
    #[error("it is protected by a password")]
    Password,
    #[error("{0}")]
    Damaged(String),
}

impl Stop {
    /// Bounds of the whole; a damaged file inside of an archive doesn't end the archive.
    pub(crate) fn ends_all(&self) -> bool {
        matches!(self, Stop::Full(_) | Stop::Inflated(_) | Stop::Entries(_))
    }
}

/// Collects text within the bounds.
#[derive(Debug)]
pub(crate) struct Taker {
    bounds: Bounds,
    text: String,
    trouble: Option<String>,
    inflated: Cell<u64>,
    entries: u32,
    depth: u32,
}

impl Taker {
    pub(crate) fn new(bounds: &Bounds) -> Taker {
        let bounds = bounds.clone();
        Taker { bounds, text: String::new(), trouble: None, inflated: Cell::new(0), entries: 0, depth: 0 }
    }

    /// Adds text.
    pub(crate) fn push(&mut self, text: &str) -> Result<(), Stop> {
        let most = self.bounds.output_bytes;
        let left = most - self.text.len();
        if text.len() <= left {
            self.text.push_str(text);
            return Ok(());
        }
        let mut end = left;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.text.push_str(&text[..end]);
        Err(Stop::Full(most))
    }

    /// Ends a line, if one is begun.
    pub(crate) fn line(&mut self) -> Result<(), Stop> {
        if self.text.is_empty() || self.text.ends_with('\n') { Ok(()) } else { self.push("\n") }
    }

    /// Notes why text may be missing; the first reason stays.
    pub(crate) fn note(&mut self, why: &Stop) {
        self.trouble.get_or_insert_with(|| why.to_string());
    }

    /// Counts one more file inside of an archive.
    pub(crate) fn entry(&mut self) -> Result<(), Stop> {
        if self.entries >= self.bounds.entries {
            return Err(Stop::Entries(self.bounds.entries));
        }
        self.entries += 1;
        Ok(())
    }

    /// Works one level deeper.
    pub(crate) fn deeper(&mut self, work: impl FnOnce(&mut Taker) -> Result<(), Stop>) -> Result<(), Stop> {
        if self.depth >= self.bounds.depth {
            return Err(Stop::Depth(self.bounds.depth));
        }
        self.depth += 1;
        let done = work(self);
        self.depth -= 1;
        done
    }

    /// The counter of inflated bytes.
    pub(crate) fn meter(&self) -> Meter {
        Meter { used: self.inflated.get(), most: self.bounds.inflated_bytes }
    }

    /// Takes the counter back.
    pub(crate) fn metered(&self, meter: &Meter) {
        self.inflated.set(meter.used);
    }

    pub(crate) fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    pub(crate) fn finish(mut self) -> Found {
        self.text.truncate(self.text.trim_end().len());
        Found { text: self.text, trouble: self.trouble }
    }
}

/// Counts inflated bytes apart from the taker, so that text can be added while a stream is read.
#[derive(Debug)]
pub(crate) struct Meter {
    used: u64,
    most: u64,
}

impl Meter {
    /// A reader that counts what comes out of `inner`.
    pub(crate) fn count<R: Read>(&mut self, inner: R) -> Counted<'_, R> {
        Counted { inner, meter: self }
    }
    /// Whether the bound was met, which readers can only tell as an error among others.
    pub(crate) fn check(&self) -> Result<(), Stop> {
        if self.used > self.most { Err(Stop::Inflated(self.most)) } else { Ok(()) }
    }
}

#[derive(Debug)]
pub(crate) struct Counted<'a, R> {
    inner: R,
    meter: &'a mut Meter,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(into)?;
        self.meter.used = self.meter.used.saturating_add(got as u64);
        if self.meter.used > self.meter.most {
            return Err(io::Error::other("it inflates to too much"));
        }
        Ok(got)
    }
}
