//! COMPRESS=DEFLATE (RFC 4978): raw deflate streams (RFC 1951) in both directions, without I/O.
//!
//! Invariant: inflating gives at most what its caller has room for, so that a bomb is counted against the bounds of lines and
//! literals like any input; both directions hold a few buffers and zlib's windows, whatever flows through.

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use std::io;

/// Compressed bytes that are read at once.
const RAW: usize = 4 << 10;
/// Room for what is compressed at once.
const OUT: usize = 16 << 10;

/// Both directions of one connection.
#[derive(Debug)]
pub(super) struct Deflate {
    inflate: Decompress,
    raw: Vec<u8>,
    at: usize,
    /// The inflater may have more without further input.
    more: bool,
    ended: bool,
    compress: Compress,
    /// Compressed bytes that were not written yet.
    out: Vec<u8>,
    sent: usize,
    /// Something was compressed that has not been flushed.
    dirty: bool,
}

fn broken(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Deflate {
    /// `behind`: what the client sent behind the command, which is compressed already.
    pub(super) fn new(level: u32, behind: Vec<u8>) -> Deflate {
        Deflate {
            inflate: Decompress::new(false),
            raw: behind,
            at: 0,
            more: false,
            ended: false,
            compress: Compress::new(Compression::new(level.clamp(1, 9)), false),
            out: Vec::new(),
            sent: 0,
            dirty: false,
        }
    }

    /// Room for compressed bytes, once [`Deflate::inflate`] gave nothing; then tell how many came.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.raw.resize(RAW, 0);
        self.at = RAW;
        &mut self.raw
    }

    /// So many bytes came into the room.
    pub(super) fn came(&mut self, n: usize) {
        self.raw.truncate(n);
        self.at = 0;
    }

    /// No more will come: the client ended its stream.
    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Inflates into `to`; 0: more compressed bytes are needed, or the stream has ended.
    /// # Errors
    /// The bytes are no deflate stream.
    pub(super) fn inflate(&mut self, to: &mut [u8]) -> io::Result<usize> {
        loop {
            let rest = self.raw.get(self.at..).unwrap_or_default();
            if to.is_empty() || self.ended || (rest.is_empty() && !self.more) {
                self.rest();
                return Ok(0);
            }
            let before = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(rest, to, FlushDecompress::None).map_err(broken)?;
            let taken = usize::try_from(self.inflate.total_in() - before.0).map_err(broken)?;
            let given = usize::try_from(self.inflate.total_out() - before.1).map_err(broken)?;
            self.at += taken;
            self.more = given == to.len();
            self.ended = status == Status::StreamEnd;
            if given > 0 {
                return Ok(given);
            }
            if taken == 0 && !rest.is_empty() && !self.ended {
                return Err(broken("the compressed stream goes nowhere"));
            }
        }
    }

    /// A connection that waits holds no buffer.
    fn rest(&mut self) {
        if self.at >= self.raw.len() {
            (self.raw, self.at) = (Vec::new(), 0);
        }
    }

    /// Compressed bytes to be written.
    pub(super) fn unsent(&self) -> &[u8] {
        self.out.get(self.sent..).unwrap_or_default()
    }

    /// So many of them have been written.
    pub(super) fn wrote(&mut self, n: usize) {
        self.sent += n;
        if self.sent >= self.out.len() {
            self.out.clear();
            self.sent = 0;
            if !self.dirty {
                self.out = Vec::new();
            }
        }
    }

    /// Compresses some of `bytes`; how many. Only when nothing is unsent.
    /// # Errors
    /// Never, unless the compressor is broken.
    pub(super) fn compress(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.reserve(OUT);
        let before = self.compress.total_in();
        self.compress.compress_vec(bytes, &mut self.out, FlushCompress::None).map_err(broken)?;
        self.dirty = true;
        usize::try_from(self.compress.total_in() - before).map_err(broken)
    }

    /// Makes all that was compressed readable for the client; true when nothing is left to be flushed. Only when nothing is
    /// unsent.
    /// # Errors
    /// Never, unless the compressor is broken.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        if !self.dirty {
            return Ok(true);
        }
        self.out.reserve(OUT);
        let room = self.out.capacity();
        self.compress.compress_vec(&[], &mut self.out, FlushCompress::Sync).map_err(broken)?;
        // With room left over it has said all.
        self.dirty = self.out.len() == room;
        Ok(!self.dirty && self.out.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that a client's compressed bytes inflate to, given in pieces of `step`, taken in pieces of `room`.
    fn inflated(compressed: &[u8], step: usize, room: usize) -> Vec<u8> {
        let mut deflate = Deflate::new(1, Vec::new());
        let mut out = Vec::new();
        for piece in compressed.chunks(step) {
            deflate.room()[..piece.len()].copy_from_slice(piece);
            deflate.came(piece.len());
            let mut to = vec![0; room];
            loop {
                match deflate.inflate(&mut to).unwrap() {
                    0 => break,
                    n => out.extend_from_slice(&to[..n]),
                }
            }
            assert!(deflate.raw.is_empty(), "nothing is held while it waits");
        }
        out
    }

    fn compressed(pieces: &[&[u8]], level: u32) -> Vec<u8> {
        let mut deflate = Deflate::new(level, Vec::new());
        let mut wire = Vec::new();
        for piece in pieces {
            let mut rest = *piece;
            while !rest.is_empty() {
                let n = deflate.compress(rest).unwrap();
                rest = &rest[n..];
                wire.extend_from_slice(deflate.unsent());
                deflate.wrote(deflate.unsent().len());
            }
            while !deflate.flush().unwrap() {
                wire.extend_from_slice(deflate.unsent());
                deflate.wrote(deflate.unsent().len());
            }
            assert_eq!(deflate.out.capacity(), 0);
        }
        wire
    }

    #[test]
    fn there_and_back_in_pieces_of_any_size() {
        let mut state = 1_u32;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        })
        .take(70_000)
        .collect();
        let text = "* 1 FETCH (FLAGS (\\Seen))\r\n".repeat(9_000);
        for level in [1, 6, 9] {
            let pieces: [&[u8]; 4] = [b"a NOOP\r\n", &noise, text.as_bytes(), b"x"];
            let wire = compressed(&pieces, level);
            for (step, room) in [(1, 1), (3, 70_000), (4_096, 8_192), (4_096, 7), (1_000, 100)] {
                assert!(inflated(&wire, step, room) == pieces.concat(), "{level} {step} {room}");
            }
        }
    }

    #[test]
    fn every_answer_can_be_read_once_it_is_flushed() {
        let whole = compressed(&[b"first\r\n", b"second\r\n"], 1);
        let first = compressed(&[b"first\r\n"], 1);
        assert!(whole.starts_with(&first));
        assert_eq!(inflated(&first, 1, 100), b"first\r\n");
    }

    #[test]
    fn what_is_no_stream_is_an_error_and_an_ended_one_the_end() {
        let mut deflate = Deflate::new(1, b"\xff\xff\xff a NOOP\r\n".to_vec());
        assert!(deflate.inflate(&mut [0; 100]).is_err());
        let mut end = Deflate::new(1, vec![0x03, 0x00, b'x']);
        assert_eq!(end.inflate(&mut [0; 100]).unwrap(), 0);
        assert!(end.is_ended());
        assert_eq!(end.inflate(&mut [0; 100]).unwrap(), 0);
    }

    /// A thousandfold bomb: no call gives more than was asked for, and nothing grows.
    #[test]
    fn a_bomb_comes_in_small_pieces() {
        let bomb = compressed(&[&vec![b'a'; 4 << 20]], 9);
        assert!(bomb.len() < 8 << 10, "{}", bomb.len());
        let mut deflate = Deflate::new(1, bomb);
        let (mut all, mut to) = (0, [0; 100]);
        for _ in 0..1_000 {
            all += deflate.inflate(&mut to).unwrap();
            assert!(deflate.raw.len() < 8 << 10);
        }
        assert_eq!(all, 100_000);
    }
}
