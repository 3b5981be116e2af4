//! Files of postings: pages with a checksum each, written once from front to end, read anywhere.
//!
//! A page is [`DATA`] bytes and their CRC-32; the last one is shorter. Addresses count data bytes. Invariant: what a read returns
//! was compared with its page's checksum.

use crc32fast::hash;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Data bytes of a full page.
const DATA: usize = PAGE - SUM;
const PAGE: usize = 16 << 10;
const SUM: usize = 4;

/// Writes a file of pages.
#[derive(Debug)]
pub(super) struct PageWriter {
    file: io::BufWriter<File>,
    page: Vec<u8>,
    written: u64,
}

impl PageWriter {
    /// Makes the file; one that is there is a rest that nobody knows of.
    pub(super) fn create(path: &Path) -> io::Result<PageWriter> {
        let file = io::BufWriter::with_capacity(8 * PAGE, File::create(path)?);
        Ok(PageWriter { file, page: Vec::with_capacity(PAGE), written: 0 })
    }

    /// The address of what is written next.
    pub(super) fn at(&self) -> u64 {
        self.written + self.page.len() as u64
    }

    /// Appends.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(DATA - self.page.len()));
            self.page.extend_from_slice(now);
            bytes = rest;
            if self.page.len() == DATA {
                self.end_page()?;
            }
        }
        Ok(())
    }

    fn end_page(&mut self) -> io::Result<()> {
        self.written += self.page.len() as u64;
        self.file.write_all(&self.page)?;
        self.file.write_all(&hash(&self.page).to_le_bytes())?;
        self.page.clear();
        Ok(())
    }

    /// Ends the file, durable on return. Its length in the file system.
    pub(super) fn finish(mut self) -> io::Result<u64> {
        if !self.page.is_empty() {
            self.end_page()?;
        }
        let file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(file.metadata()?.len())
    }
}

/// A file of pages.
#[derive(Debug)]
pub(super) struct Paged {
    file: File,
    path: PathBuf,
    len: u64,
}

fn damaged(path: &Path, page: u64) -> io::Error {
    let what = format!("{}: page {page} fails its checksum", path.display());
    io::Error::new(ErrorKind::InvalidData, what)
}

impl Paged {
    /// Opens a file that must have this length.
    pub(super) fn open(path: &Path, len: u64) -> io::Result<Paged> {
        let file = File::open(path)?;
        let found = file.metadata()?.len();
        if found != len {
            let what = format!("{} has {found} bytes instead of {len}", path.display());
            return Err(io::Error::new(ErrorKind::InvalidData, what));
        }
        Ok(Paged { file, path: path.to_owned(), len })
    }

    /// Reads page `number` into `page`, its data only.
    fn read_page(&self, number: u64, page: &mut Vec<u8>) -> io::Result<()> {
        let from = number.saturating_mul(PAGE as u64);
        let bytes = self.len.saturating_sub(from).min(PAGE as u64) as usize;
        let data = bytes.checked_sub(SUM).ok_or_else(|| damaged(&self.path, number))?;
        page.resize(bytes, 0);
        self.file.read_exact_at(page, from)?;
        let sum = page.split_off(data);
        if sum != hash(page).to_le_bytes() {
            return Err(damaged(&self.path, number));
        }
        Ok(())
    }

    /// The number of the first damaged page, if one is.
    pub(super) fn check(&self) -> io::Result<Option<u64>> {
        let mut page = Vec::new();
        for number in 0..self.len.div_ceil(PAGE as u64) {
            match self.read_page(number, &mut page) {
                Err(error) if error.kind() == ErrorKind::InvalidData => return Ok(Some(number)),
                other => other?,
            }
        }
        Ok(None)
    }
}

/// Reads a file of pages; keeps the page that it was at, since neighbours are read together.
pub(super) struct PageReader<'a> {
    file: &'a Paged,
    page: Vec<u8>,
    number: Option<u64>,
    joined: Vec<u8>,
}

impl<'a> PageReader<'a> {
    pub(super) fn new(file: &'a Paged) -> PageReader<'a> {
        PageReader { file, page: Vec::new(), number: None, joined: Vec::new() }
    }

    fn load(&mut self, number: u64) -> io::Result<()> {
        if self.number != Some(number) {
            self.number = None;
            self.file.read_page(number, &mut self.page)?;
            self.number = Some(number);
        }
        Ok(())
    }

    /// The bytes at an address.
    pub(super) fn read(&mut self, from: u64, len: usize) -> io::Result<&[u8]> {
        let short = |file: &Paged| damaged(&file.path, from / DATA as u64);
        let (mut number, mut at) = (from / DATA as u64, (from % DATA as u64) as usize);
        self.load(number)?;
        if at + len <= self.page.len() {
            return self.page.get(at..at + len).ok_or_else(|| short(self.file));
        }
        // No list is longer than its file: a wrong length ends the read before it takes memory.
        if len as u64 > self.file.len {
            return Err(short(self.file));
        }
        let mut joined = std::mem::take(&mut self.joined);
        joined.clear();
        while joined.len() < len {
            self.load(number)?;
            let to = self.page.len().min(at + len - joined.len());
            let some = self.page.get(at..to).filter(|some| !some.is_empty());
            joined.extend_from_slice(some.ok_or_else(|| short(self.file))?);
            (number, at) = (number + 1, 0);
        }
        self.joined = joined;
        Ok(&self.joined)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_across_pages_and_a_flipped_bit_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let all: Vec<u8> = (0..3 * DATA as u32 + 100).map(|n| (n % 251) as u8).collect();
        let mut writer = PageWriter::create(&path).unwrap();
        for piece in all.chunks(1_000) {
            writer.write(piece).unwrap();
        }
        assert_eq!(writer.at(), all.len() as u64);
        let len = writer.finish().unwrap();
        assert_eq!(len, all.len() as u64 + 4 * SUM as u64);
        let file = Paged::open(&path, len).unwrap();
        let mut reader = PageReader::new(&file);
        for (from, len) in
            [(0, 10), (0, all.len()), (DATA - 1, 2), (DATA - 5, DATA + 10), (3 * DATA, 100), (7, 0)]
        {
            assert_eq!(reader.read(from as u64, len).unwrap(), &all[from..from + len]);
        }
        assert!(reader.read(3 * DATA as u64, 101).is_err());
        assert!(reader.read(0, usize::MAX / 2).is_err());
        assert!(reader.read(u64::MAX / 2, 1).is_err());
        assert_eq!(file.check().unwrap(), None);
        assert!(Paged::open(&path, len + 1).is_err());

        let mut bytes = std::fs::read(&path).unwrap();
        bytes[PAGE + 3] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let file = Paged::open(&path, len).unwrap();
        assert_eq!(file.check().unwrap(), Some(1));
        let mut reader = PageReader::new(&file);
        assert!(reader.read(10, 10).is_ok());
        assert_eq!(reader.read(DATA as u64, 1).unwrap_err().kind(), ErrorKind::InvalidData);
        assert!(reader.read(10, 10).is_ok(), "another page is read after a damaged one");
    }
}
