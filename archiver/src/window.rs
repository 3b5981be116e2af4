//! A window that moves over a file's bytes: line by line, with a bounded look ahead.
//!
//! Invariant: memory is one buffer of `BUFFER_BYTES` (or the largest look ahead), however long the file or a line is.
//! Reads by offset, so that several windows can stand on one open file.

use std::fs::File;
use std::io;

/// How much is read at once.
const BUFFER_BYTES: usize = 128 << 10;

/// Bytes that can be read at an offset.
pub(crate) trait ReadAt: Sync {
    /// Reads up to `buf.len()` bytes at `offset`; 0 at the end.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buf, offset)
    }
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        let rest = self.get(start..).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf.get_mut(..len).unwrap_or_default().copy_from_slice(rest.get(..len).unwrap_or_default());
        Ok(len)
    }
}

/// What a line is, as far as framing asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line {
    /// Bytes with the line end.
    pub(crate) len: u64,
    /// Nothing but a line end.
    pub(crate) blank: bool,
}

/// A moving window over `source`.
pub(crate) struct Window<'a> {
    source: &'a dyn ReadAt,
    buf: Vec<u8>,
    pos: usize,
    /// Offset in the source of `buf[pos]`.
    offset: u64,
    end: u64,
    eof: bool,
}

impl<'a> Window<'a> {
    /// A window at `offset` that ends before `end`.
    pub(crate) fn new(source: &'a dyn ReadAt, offset: u64, end: u64) -> Window<'a> {
        Window { source, buf: Vec::new(), pos: 0, offset, end, eof: offset >= end }
    }

    /// Where the window stands.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Moves to `offset`; cheap when it lies in the buffer.
    pub(crate) fn seek(&mut self, offset: u64) {
        let ahead = offset.checked_sub(self.offset).and_then(|n| usize::try_from(n).ok());
        match ahead {
            Some(ahead) if self.pos + ahead <= self.buf.len() => self.pos += ahead,
            _ => {
                self.buf.clear();
                self.pos = 0;
                self.eof = offset >= self.end;
            }
        }
        self.offset = offset;
    }

    /// At least `want` bytes from here, fewer only at the end.
    pub(crate) fn peek(&mut self, want: usize) -> io::Result<&[u8]> {
        if self.buf.len() - self.pos < want && !self.eof {
            self.fill(want)?;
        }
        Ok(self.buf.get(self.pos..).unwrap_or_default())
    }

    fn fill(&mut self, want: usize) -> io::Result<()> {
        self.buf.drain(..self.pos);
        self.pos = 0;
        let goal = want.max(BUFFER_BYTES);
        while self.buf.len() < want {
            let at = self.offset + self.buf.len() as u64;
            let room = usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX);
            let len = self.buf.len();
            self.buf.resize(len + room.min(goal - len), 0);
            let read = match self.source.read_at(self.buf.get_mut(len..).unwrap_or_default(), at) {
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    self.buf.truncate(len);
                    continue;
                }
                Err(error) => {
                    self.buf.truncate(len);
                    return Err(error);
                }
            };
            self.buf.truncate(len + read);
            if read == 0 {
                self.eof = true;
                break;
            }
        }
        Ok(())
    }

    /// Moves `len` bytes on, at most to the end of what was peeked.
    pub(crate) fn advance(&mut self, len: usize) {
        let len = len.min(self.buf.len() - self.pos);
        self.pos += len;
        self.offset += len as u64;
    }

    /// Moves past the line end of the line that the window stands on; `None` at the end.
    pub(crate) fn skip_line(&mut self) -> io::Result<Option<Line>> {
        let mut len = 0;
        let mut blank = true;
        loop {
            let bytes = self.peek(1)?;
            if bytes.is_empty() {
                return Ok((len > 0).then_some(Line { len, blank: false }));
            }
            let (step, done) = match memchr::memchr(b'\n', bytes) {
                Some(at) => (at + 1, true),
                None => (bytes.len(), false),
            };
            let head = bytes.get(..step).unwrap_or_default();
            blank &= matches!((len, head), (0, b"\n" | b"\r\n" | b"\r") | (1, b"\n"));
            len += step as u64;
            self.advance(step);
            if done {
                return Ok(Some(Line { len, blank }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_every_kind() {
        let data = b"a\n\n\r\n\rb\r\nlast".to_vec();
        let mut window = Window::new(&data, 0, data.len() as u64);
        let mut lines = Vec::new();
        while let Some(line) = window.skip_line().unwrap() {
            lines.push((line.len, line.blank));
        }
        assert_eq!(lines, [(2, false), (1, true), (2, true), (4, false), (4, false)]);
    }

    #[test]
    fn a_line_longer_than_the_buffer() {
        let mut data = vec![b'x'; BUFFER_BYTES * 3];
        data.extend_from_slice(b"\nFrom ");
        let mut window = Window::new(&data, 0, data.len() as u64);
        assert_eq!(window.skip_line().unwrap().unwrap().len, BUFFER_BYTES as u64 * 3 + 1);
        assert_eq!(window.peek(5).unwrap(), b"From ");
        assert!(window.buf.capacity() <= BUFFER_BYTES * 2);
    }

    #[test]
    fn seek_back_and_ahead() {
        let data: Vec<u8> = (0..200_u8).collect();
        let mut window = Window::new(&data, 0, 150);
        assert_eq!(window.peek(10).unwrap()[..3], [0, 1, 2]);
        for at in [100, 3, 149] {
            window.seek(at);
            assert_eq!(u64::from(window.peek(1).unwrap()[0]), at);
        }
        window.seek(150);
        assert!(window.peek(1).unwrap().is_empty());
    }
}
