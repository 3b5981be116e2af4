//! Gives a placement's source back bit for bit: prefix, then the message with its own line ends.
//!
//! Invariant: nothing but canonical bytes and what stands beside the placement is needed; of the message, a piece is
//! held at a time.

use super::facts::{Ends, Side};
use super::message::{Message, PIECE_BYTES};
use crate::Error;
use crate::incoming::LineEnds;
use crate::pack::Packs;
use crate::pack::varint::Reader;
use std::io::Write;

/// Writes a placement's source to `out`.
pub(crate) fn cat(
    packs: &Packs,
    message: &Message,
    ends: &Ends,
    prefix: &Side,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let to = |source| Error::Io { path: "-".into(), source };
    out.write_all(&side(packs, prefix)?).map_err(to)?;
    let ends = match ends {
        Ends::Crlf => LineEnds::default(),
        Ends::Lf => LineEnds { runs: vec![0, u64::MAX] },
        Ends::Map(map) => {
            let damaged = || Error::WrongContent { hash: message.hash() };
            LineEnds { runs: runs(&side(packs, map)?).ok_or_else(damaged)? }
        }
    };
    let mut restorer = ends.restorer();
    let mut reader = message.reader();
    let mut text = Vec::new();
    while let Some(piece) = reader.next_piece()? {
        text.clear();
        restorer.push(&piece, &mut text);
        out.write_all(&text).map_err(to)?;
    }
    text.clear();
    restorer.finish(&mut text);
    out.write_all(&text).map_err(to)
}

/// The counts of a line-end map.
fn runs(bytes: &[u8]) -> Option<Vec<u64>> {
    let mut from = Reader::new(bytes);
    let mut runs = Vec::new();
    while !from.is_empty() {
        runs.push(from.varint()?);
    }
    Some(runs)
}

/// Bytes beside a message; a line-end map or a prefix is bounded when it is archived.
pub(crate) fn side(packs: &Packs, side: &Side) -> Result<Vec<u8>, Error> {
    let (chunk, len) = match side {
        Side::Here(bytes) => return Ok(bytes.clone()),
        Side::Chunk { chunk, len } => (*chunk, *len),
    };
    let mut all = Vec::new();
    while (all.len() as u64) < len {
        let at = all.len() as u64;
        let piece = packs.chunk(chunk, at..len.min(at + PIECE_BYTES))?;
        if piece.is_empty() {
            let what = "a chunk is shorter than its reference says";
            return Err(Error::Corrupt { path: "(line ends)".into(), offset: at, what });
        }
        all.extend_from_slice(&piece);
    }
    Ok(all)
}
