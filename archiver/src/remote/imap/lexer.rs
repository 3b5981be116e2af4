//! Bytes of a response, one piece at a time: atoms, strings, literals, parentheses.
//!
//! Invariant: a response without its literals has at most `line_bytes`; a literal that is not handed to a reader at most `literal_bytes`;
//! whatever the bytes, the lexer moves forward or fails.

use super::Bounds;
use crate::remote::connect::{BULK_RATE, IDLE_RATE, Wire};
use crate::remote::fault::{Fault, shown};
use std::io::{self, Read};

pub(super) struct Lexer {
    pub(super) wire: Wire,
    pub(super) bounds: Bounds,
    line: u64,
}

impl Lexer {
    pub(super) fn new(wire: Wire, bounds: Bounds) -> Lexer {
        Lexer { wire, bounds, line: 0 }
    }

    /// A response begins.
    pub(super) fn start(&mut self) {
        self.line = 0;
    }

    /// The next byte, which stays.
    pub(super) fn peek(&mut self) -> Result<u8, Fault> {
        self.wire.fill()?.first().copied().ok_or_else(|| Fault::ended("the server closed it"))
    }

    /// The next byte.
    pub(super) fn next(&mut self) -> Result<u8, Fault> {
        let byte = self.peek()?;
        self.wire.consume(1);
        self.line += 1;
        if self.line > self.bounds.line_bytes {
            return Err(Fault::protocol(format!("a line of more than {} bytes", self.bounds.line_bytes)));
        }
        Ok(byte)
    }

    /// Whether the next byte is this one; takes it then.
    pub(super) fn have(&mut self, byte: u8) -> Result<bool, Fault> {
        let is = self.peek()? == byte;
        if is {
            self.next()?;
        }
        Ok(is)
    }

    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Fault> {
        let found = self.next()?;
        if found == byte {
            return Ok(());
        }
        let what = format!("{:?} where {:?} belongs", char::from(found), char::from(byte));
        Err(Fault::protocol(shown(what.as_bytes())))
    }

    /// Bytes up to one that `ends` the word, which stays.
    pub(super) fn until(&mut self, ends: impl Fn(u8) -> bool) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        while !ends(self.peek()?) {
            out.push(self.next()?);
        }
        Ok(out)
    }

    /// An atom in capitals; may be empty.
    pub(super) fn atom(&mut self) -> Result<String, Fault> {
        let bytes = self
            .until(|byte| matches!(byte, b' ' | b'(' | b')' | b'[' | b']' | b'{' | b'"' | b'\r' | b'\n'))?;
        Ok(String::from_utf8_lossy(&bytes).to_ascii_uppercase())
    }

    pub(super) fn number(&mut self) -> Result<u64, Fault> {
        let digits = self.until(|byte| !byte.is_ascii_digit())?;
        let number = std::str::from_utf8(&digits).ok().and_then(|text| text.parse().ok());
        number.ok_or_else(|| Fault::protocol("no number where one belongs"))
    }

    /// Blanks, of which there should be one.
    pub(super) fn blanks(&mut self) -> Result<(), Fault> {
        while self.have(b' ')? {}
        Ok(())
    }

    /// The rest of the line, its end taken; literals in it, and what stands before them, are left out.
    pub(super) fn rest(&mut self) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::new();
        loop {
            match self.next()? {
                b'\n' => {
                    if out.last() == Some(&b'\r') {
                        out.pop();
                    }
                    match announced(&out) {
                        Some(length) => {
                            self.drain(length)?;
                            // What was announced is there: it must not count twice.
                            out.clear();
                        }
                        None => return Ok(out),
                    }
                }
                byte => out.push(byte),
            }
        }
    }

    /// The rest of a line of text, in which braces mean nothing.
    pub(super) fn text(&mut self) -> Result<Vec<u8>, Fault> {
        let mut out = self.until(|byte| byte == b'\n')?;
        self.next()?;
        if out.last() == Some(&b'\r') {
            out.pop();
        }
        Ok(out)
    }

    /// The end of the line; what stands before it unasked is left out.
    pub(super) fn end(&mut self) -> Result<(), Fault> {
        self.rest().map(|_| ())
    }

    /// Bytes of a literal, once its brace is next; the reader must take exactly so many.
    pub(super) fn literal(&mut self) -> Result<u64, Fault> {
        self.expect(b'{')?;
        let length = self.number()?;
        self.have(b'+')?;
        self.expect(b'}')?;
        self.have(b'\r')?;
        self.expect(b'\n')?;
        Ok(length)
    }

    fn drain(&mut self, length: u64) -> Result<(), Fault> {
        self.bounded(length)?;
        let mut left = length;
        while left > 0 {
            let there = self.wire.fill()?.len() as u64;
            let take = there.min(left);
            self.wire.consume(usize::try_from(take).unwrap_or(usize::MAX));
            left -= take;
        }
        Ok(())
    }

    fn bounded(&self, length: u64) -> Result<(), Fault> {
        if length > self.bounds.literal_bytes {
            let what =
                format!("a literal of {length} bytes where at most {} belong", self.bounds.literal_bytes);
            return Err(Fault::protocol(what));
        }
        Ok(())
    }

    /// A string: quoted, literal or an atom; none for NIL.
    pub(super) fn string(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        if self.peek()? == b'~' {
            self.next()?;
        }
        match self.peek()? {
            b'"' => {
                self.next()?;
                let mut out = Vec::new();
                loop {
                    match self.next()? {
                        b'"' => return Ok(Some(out)),
                        b'\\' => out.push(self.next()?),
                        b'\r' | b'\n' => return Err(Fault::protocol("a quoted string without an end")),
                        byte => out.push(byte),
                    }
                }
            }
            b'{' => {
                let length = self.literal()?;
                self.bounded(length)?;
                let mut out = Vec::new();
                self.reader(length).read_to_end(&mut out).map_err(|error| unwrap(&error))?;
                if (out.len() as u64) < length {
                    return Err(Fault::ended("the server closed it in the middle of a literal"));
                }
                Ok(Some(out))
            }
            _ => {
                let bytes = self.until(|byte| matches!(byte, b' ' | b'(' | b')' | b'\r' | b'\n'))?;
                // Without this whoever leaves values out would not move forward.
                if bytes.is_empty() {
                    return Err(Fault::protocol("a value is missing"));
                }
                Ok((!bytes.eq_ignore_ascii_case(b"NIL")).then_some(bytes))
            }
        }
    }

    /// Leaves a value out, whatever it is.
    pub(super) fn skip(&mut self, depth: usize) -> Result<(), Fault> {
        if depth > self.bounds.depth {
            return Err(Fault::protocol(format!("parentheses more than {} deep", self.bounds.depth)));
        }
        if !self.have(b'(')? {
            return self.string().map(|_| ());
        }
        loop {
            self.blanks()?;
            match self.peek()? {
                b')' => return self.next().map(|_| ()),
                b'\r' | b'\n' => return Err(Fault::protocol("a parenthesis without an end")),
                _ => self.skip(depth + 1)?,
            }
        }
    }

    /// A reader of a literal's bytes. While it reads, the peer must send at the rate of somebody who sends a message.
    pub(super) fn reader(&mut self, length: u64) -> Literal<'_> {
        self.wire.rate(BULK_RATE);
        Literal { wire: &mut self.wire, left: length }
    }

    /// Numbers of messages as a list, which may be longer than a line.
    pub(super) fn numbers(&mut self, found: &mut Spans) -> Result<(), Fault> {
        loop {
            self.blanks()?;
            if !self.peek()?.is_ascii_digit() {
                return Ok(());
            }
            let number = self.number()?;
            found.add(number, number, &self.bounds)?;
            self.line = 0;
        }
    }

    /// A sequence set, which may be longer than a line.
    pub(super) fn set(&mut self, found: &mut Spans) -> Result<(), Fault> {
        loop {
            let first = self.number()?;
            let last = if self.have(b':')? { self.number()? } else { first };
            found.add(first, last, &self.bounds)?;
            self.line = 0;
            if !self.have(b',')? {
                return Ok(());
            }
        }
    }
}

/// Ranges of UIDs as they come in.
#[derive(Debug, Default)]
pub(crate) struct Spans(Vec<(u32, u32)>);

impl Spans {
    pub(super) fn add(&mut self, first: u64, last: u64, bounds: &Bounds) -> Result<(), Fault> {
        let number = |number: u64| {
            u32::try_from(number)
                .ok()
                .filter(|number| *number > 0)
                .ok_or_else(|| Fault::protocol(format!("{} is no UID", number)))
        };
        let (first, last) = (number(first.min(last))?, number(first.max(last))?);
        match self.0.last_mut() {
            Some(end) if end.1.checked_add(1) == Some(first) => end.1 = last,
            _ => self.0.push((first, last)),
        }
        if self.0.len() > bounds.spans {
            return Err(Fault::protocol(format!("UIDs in more than {} ranges", bounds.spans)));
        }
        Ok(())
    }
    pub(crate) fn ranges(self) -> storage::UidRanges {
        storage::UidRanges::from_spans(self.0)
    }
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
    pub(crate) fn extend(&mut self, other: Spans, bounds: &Bounds) -> Result<(), Fault> {
        for (first, last) in other.0 {
            self.add(first.into(), last.into(), bounds)?;
        }
        Ok(())
    }
}

/// What a line announces at its end: `{123}`.
fn announced(line: &[u8]) -> Option<u64> {
    let inner = line.strip_suffix(b"}")?;
    let inner = inner.strip_suffix(b"+").unwrap_or(inner);
    let open = inner.iter().rposition(|byte| *byte == b'{')?;
    std::str::from_utf8(inner.get(open + 1..)?).ok()?.parse().ok()
}

/// A literal's bytes.
pub(super) struct Literal<'a> {
    wire: &'a mut Wire,
    left: u64,
}

impl Literal<'_> {
    /// Takes what nobody read, up to so many bytes; whether that was all.
    pub(super) fn finish(mut self, most: u64) -> Result<bool, Fault> {
        let mut taken = 0;
        while self.left > 0 {
            if taken >= most {
                return Ok(false);
            }
            let there = self.wire.fill()?.len() as u64;
            let take = there.min(self.left);
            self.wire.consume(usize::try_from(take).unwrap_or(usize::MAX));
            self.left -= take;
            taken += take;
        }
        Ok(true)
    }
}

impl Drop for Literal<'_> {
    fn drop(&mut self) {
        self.wire.rate(IDLE_RATE);
    }
}

/// A fault on its way through `std::io`.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Carried(String, std::sync::Mutex<Option<Fault>>);

impl Read for Literal<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 || into.is_empty() {
            return Ok(0);
        }
        let there = self.wire.fill().map_err(carry)?;
        let most = usize::try_from(self.left).unwrap_or(usize::MAX);
        let take = there.len().min(most).min(into.len());
        for (to, from) in into.iter_mut().zip(there.iter().take(take)) {
            *to = *from;
        }
        self.wire.consume(take);
        self.left -= take as u64;
        Ok(take)
    }
}

pub(super) fn carry(fault: Fault) -> io::Error {
    io::Error::other(Carried(fault.to_string(), std::sync::Mutex::new(Some(fault))))
}

/// The fault that an error of `std::io` carries.
pub(super) fn unwrap(error: &io::Error) -> Fault {
    let carried = error.get_ref().and_then(|inner| inner.downcast_ref::<Carried>());
    let fault = carried.and_then(|carried| carried.1.lock().ok()?.take());
    fault.unwrap_or_else(|| Fault::ended(error.to_string()))
}
