//! Cuts the byte stream into whole commands: lines and the literals inside them (RFC 3501 §4.3, RFC 7888).
//!
//! Invariant: a literal's bytes are never read as a command. A literal that is too large is refused before it is sent
//! (synchronising) or swallowed with the rest of its command (non-synchronising). Doesn't look into a command beyond
//! its verb: APPEND's literals are refused here, since the server takes no messages.

use std::ops::ControlFlow;

/// Bounds of one command, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The lines of a command together, literals and line ends not counted.
    pub(crate) line: usize,
    /// One literal.
    pub(crate) literal: usize,
    /// All literals of a command together.
    pub(crate) literals: usize,
}

/// Why a command was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// The line is longer than its bound.
    Line,
    /// A literal, or all of them together, are larger than the bound.
    Literal,
    /// APPEND: refused whatever it brings.
    Append,
}

/// What the stream holds next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Framed {
    /// A whole command: lines joined by CRLF before each literal's bytes, without the last line end.
    Command(Vec<u8>),
    /// The client waits for leave to send a literal.
    Continue,
    /// A command that was dropped whole; `head` is how it began.
    Refused {
        /// The first bytes, with the tag in them if there was one.
        head: Vec<u8>,
        /// The bound that it passed.
        why: Why,
    },
    /// A literal too large even to swallow: the connection can't go on.
    Hopeless,
}

/// Literals above this are not swallowed.
const MAX_SWALLOWED: u64 = 1 << 30;
/// So much of a refused command is kept to answer it.
const HEAD: usize = 256;
/// A literal's announcement is at most this long: `{`, 20 digits, `+}`.
const TAIL: usize = 24;

#[derive(Debug)]
enum State {
    Line,
    Literal(usize),
    Drop { why: Why, skip: u64, tail: Vec<u8> },
}

/// The unread bytes and the command that is being put together.
#[derive(Debug)]
pub(crate) struct Frame {
    input: Vec<u8>,
    at: usize,
    scanned: usize,
    command: Vec<u8>,
    lines: usize,
    literals: usize,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
struct Literal {
    size: u64,
    wait: bool,
}

impl Frame {
    /// Nothing read.
    pub(crate) fn new() -> Frame {
        Frame {
            input: Vec::new(),
            at: 0,
            scanned: 0,
            command: Vec::new(),
            lines: 0,
            literals: 0,
            state: State::Line,
        }
    }

    /// Adds bytes from the client.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Forgets everything (STARTTLS: what was sent before TLS must not count after it).
    pub(crate) fn clear(&mut self) {
        *self = Frame::new();
    }

    /// Gives away what has not been looked at (COMPRESS: it is compressed).
    pub(crate) fn take_unread(&mut self) -> Vec<u8> {
        let mut unread = std::mem::replace(self, Frame::new());
        unread.input.split_off(unread.at.min(unread.input.len()))
    }

    /// Whether a command has begun to arrive.
    pub(crate) fn partial(&self) -> bool {
        self.at < self.input.len() || !self.command.is_empty() || !matches!(self.state, State::Line)
    }

    /// How much memory it keeps, bytes.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.input.capacity() + self.command.capacity()
    }

    /// The next command or event; `None` needs more bytes.
    pub(crate) fn next(&mut self, bounds: &Bounds) -> Option<Framed> {
        loop {
            let turn = match &mut self.state {
                State::Line => self.line(bounds),
                State::Literal(_) => self.literal(),
                State::Drop { .. } => self.drop_more(),
            };
            match turn {
                ControlFlow::Continue(()) => {}
                ControlFlow::Break(found) => {
                    self.tidy();
                    return found;
                }
            }
        }
    }

    /// The next line as it stands, without its end (the answers of SASL and IDLE); an overlong one is refused.
    pub(crate) fn next_line(&mut self, max: usize) -> Option<Result<Vec<u8>, Why>> {
        if matches!(self.state, State::Drop { .. }) {
            return match self.next(&Bounds { line: max, literal: 0, literals: 0 })? {
                Framed::Refused { why, .. } => Some(Err(why)),
                _ => Some(Err(Why::Line)),
            };
        }
        let rest = self.input.get(self.at..).unwrap_or_default();
        match memchr::memchr(b'\n', rest) {
            Some(end) => {
                let line = strip_cr(rest.get(..end).unwrap_or_default());
                let answer = if line.len() > max { Err(Why::Line) } else { Ok(line.to_vec()) };
                self.consume(end + 1);
                self.tidy();
                Some(answer)
            }
            None if rest.len() > max + 1 => {
                self.begin_drop(Why::Line);
                self.next_line(max)
            }
            None => None,
        }
    }

    fn line(&mut self, bounds: &Bounds) -> ControlFlow<Option<Framed>> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let from = self.scanned.saturating_sub(self.at).min(rest.len());
        let Some(end) = memchr::memchr(b'\n', rest.get(from..).unwrap_or_default()).map(|e| e + from) else {
            self.scanned = self.input.len();
            // One byte more than the bound may be the CR of the line's end.
            if self.lines + rest.len() > bounds.line + 1 {
                self.begin_drop(Why::Line);
                return ControlFlow::Continue(());
            }
            return ControlFlow::Break(None);
        };
        let line = strip_cr(rest.get(..end).unwrap_or_default());
        if self.lines + line.len() > bounds.line {
            self.begin_drop(Why::Line);
            return ControlFlow::Continue(());
        }
        let literal = announced(line);
        self.lines += line.len();
        self.command.extend_from_slice(line);
        self.consume(end + 1);
        let Some(Literal { size, wait }) = literal else {
            let command = std::mem::take(&mut self.command);
            self.reset();
            return ControlFlow::Break(Some(Framed::Command(command)));
        };
        let fits = usize::try_from(size)
            .ok()
            .filter(|&n| n <= bounds.literal && self.literals.saturating_add(n) <= bounds.literals);
        let why = if is_append(&self.command) {
            Some(Why::Append)
        } else if fits.is_none() {
            Some(Why::Literal)
        } else {
            None
        };
        match (why, fits) {
            (None, Some(n)) => {
                self.literals += n;
                self.command.extend_from_slice(b"\r\n");
                self.state = State::Literal(n);
                if wait { ControlFlow::Break(Some(Framed::Continue)) } else { ControlFlow::Continue(()) }
            }
            (why, _) => self.refuse(why.unwrap_or(Why::Literal), &Literal { size, wait }),
        }
    }

    fn literal(&mut self) -> ControlFlow<Option<Framed>> {
        let State::Literal(left) = &mut self.state else { return ControlFlow::Break(None) };
        let rest = self.input.get(self.at..).unwrap_or_default();
        let n = rest.len().min(*left);
        self.command.extend_from_slice(rest.get(..n).unwrap_or_default());
        *left -= n;
        let done = *left == 0;
        self.consume(n);
        if done {
            self.state = State::Line;
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(None)
        }
    }

    /// A literal that is not taken: without leave it is not sent, else it has to be swallowed.
    fn refuse(&mut self, why: Why, literal: &Literal) -> ControlFlow<Option<Framed>> {
        if literal.wait {
            return ControlFlow::Break(Some(self.refused(why)));
        }
        if literal.size > MAX_SWALLOWED {
            return ControlFlow::Break(Some(Framed::Hopeless));
        }
        self.state = State::Drop { why, skip: literal.size, tail: Vec::new() };
        ControlFlow::Continue(())
    }

    fn begin_drop(&mut self, why: Why) {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let head = HEAD.saturating_sub(self.command.len());
        self.command.extend_from_slice(rest.get(..head.min(rest.len())).unwrap_or_default());
        self.command.truncate(HEAD);
        self.state = State::Drop { why, skip: 0, tail: Vec::new() };
    }

    fn drop_more(&mut self) -> ControlFlow<Option<Framed>> {
        let State::Drop { why, skip, tail } = &mut self.state else { return ControlFlow::Break(None) };
        let rest = self.input.get(self.at..).unwrap_or_default();
        if *skip > 0 {
            let n = rest.len().min(usize::try_from(*skip).unwrap_or(usize::MAX));
            *skip -= n as u64;
            let stop = *skip > 0;
            self.consume(n);
            return if stop { ControlFlow::Break(None) } else { ControlFlow::Continue(()) };
        }
        let end = memchr::memchr(b'\n', rest);
        let piece = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        tail.extend_from_slice(piece.get(piece.len().saturating_sub(TAIL + 1)..).unwrap_or_default());
        let cut = tail.len().saturating_sub(TAIL + 1);
        tail.drain(..cut);
        let n = end.map_or(rest.len(), |e| e + 1);
        let why = *why;
        let literal = announced(strip_cr(tail));
        if end.is_some() {
            tail.clear();
        }
        self.consume(n);
        match (end, literal) {
            (None, _) => ControlFlow::Break(None),
            (Some(_), Some(literal)) => self.refuse(why, &literal),
            (Some(_), None) => ControlFlow::Break(Some(self.refused(why))),
        }
    }

    fn refused(&mut self, why: Why) -> Framed {
        let mut head = std::mem::take(&mut self.command);
        head.truncate(HEAD);
        self.reset();
        Framed::Refused { head, why }
    }

    fn reset(&mut self) {
        self.command = Vec::new();
        self.lines = 0;
        self.literals = 0;
        self.state = State::Line;
    }

    fn consume(&mut self, n: usize) {
        self.at = (self.at + n).min(self.input.len());
        self.scanned = self.at;
    }

    /// Gives memory back: an idle connection keeps no buffer.
    fn tidy(&mut self) {
        if self.at >= self.input.len() {
            self.input = Vec::new();
        } else if self.at > 16 << 10 {
            self.input.drain(..self.at);
        } else {
            return;
        }
        self.scanned = self.scanned.saturating_sub(self.at);
        self.at = 0;
    }
}

fn strip_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// The literal that a line's end announces: `{n}` or `{n+}`. A number too large for 64 bits is the largest.
fn announced(line: &[u8]) -> Option<Literal> {
    let line = line.strip_suffix(b"}")?;
    let (line, wait) = match line.strip_suffix(b"+") {
        Some(line) => (line, false),
        None => (line, true),
    };
    let digits = line.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let (head, number) = line.split_at_checked(line.len() - digits)?;
    if digits == 0 || head.last() != Some(&b'{') {
        return None;
    }
    let size = number.iter().try_fold(0u64, |n, &d| n.checked_mul(10)?.checked_add(u64::from(d - b'0')));
    Some(Literal { size: size.unwrap_or(u64::MAX), wait })
}

fn is_append(command: &[u8]) -> bool {
    command.split(|&b| b == b' ').nth(1).is_some_and(|verb| verb.eq_ignore_ascii_case(b"APPEND"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const B: Bounds = Bounds { line: 40, literal: 10, literals: 20 };

    fn all(bytes: &[u8], step: usize) -> Vec<Framed> {
        let mut frame = Frame::new();
        let mut out = Vec::new();
        for piece in bytes.chunks(step.max(1)) {
            frame.push(piece);
            while let Some(f) = frame.next(&B) {
                let end = f == Framed::Hopeless;
                out.push(f);
                if end {
                    return out;
                }
            }
        }
        out
    }

    fn command(text: &str) -> Framed {
        Framed::Command(text.as_bytes().to_vec())
    }
    fn refused(head: &str, why: Why) -> Framed {
        Framed::Refused { head: head.as_bytes().to_vec(), why }
    }

    #[test]
    fn lines_literals_and_refusals_in_pieces_of_any_size() {
        let long = "x".repeat(41);
        let fits = "y".repeat(40);
        let cases: Vec<(String, Vec<Framed>)> = vec![
            ("a NOOP\r\nb NOOP\nc".into(), vec![command("a NOOP"), command("b NOOP")]),
            (
                "a LOGIN {3}\r\nbob {2+}\r\npw\r\n".into(),
                vec![Framed::Continue, command("a LOGIN {3}\r\nbob {2+}\r\npw")],
            ),
            ("a X {10}\r\n0123456789\r\n".into(), vec![Framed::Continue, command("a X {10}\r\n0123456789")]),
            ("a X {11}\r\nb NOOP\r\n".into(), vec![refused("a X {11}", Why::Literal), command("b NOOP")]),
            (
                "a X {11+}\r\n\r\nz LOGOUT \r\nb NOOP\r\n".into(),
                vec![refused("a X {11+}", Why::Literal), command("b NOOP")],
            ),
            (
                "a X {10+}\r\n0123456789 {10+}\r\n0123456789 {1}\r\nb NOOP\r\n".into(),
                vec![
                    refused("a X {10+}\r\n0123456789 {10+}\r\n0123456789 {1}", Why::Literal),
                    command("b NOOP"),
                ],
            ),
            (
                "a APPEND x {5}\r\nb APPEND x {5+}\r\nz\r\nq {3+}\r\nabc\r\nc NOOP\r\n".into(),
                vec![
                    refused("a APPEND x {5}", Why::Append),
                    refused("b APPEND x {5+}", Why::Append),
                    command("c NOOP"),
                ],
            ),
            (format!("{fits}\r\nb NOOP\r\n"), vec![command(&fits), command("b NOOP")]),
            (format!("{long}\r\nb NOOP\r\n"), vec![refused(&long, Why::Line), command("b NOOP")]),
            (
                format!("{long} {{12+}}\r\nx LOGOUT\r\n12\r\nb NOOP\r\n"),
                vec![refused("", Why::Line), command("b NOOP")],
            ),
            ("a X {99999999999999999999999+}\r\n".into(), vec![Framed::Hopeless]),
            ("a X {1073741825+}\r\n".into(), vec![Framed::Hopeless]),
        ];
        for (bytes, expected) in cases {
            for step in 1..=bytes.len() {
                let mut found = all(bytes.as_bytes(), step);
                if let (
                    Some(Framed::Refused { head, why: Why::Line }),
                    Some(Framed::Refused { head: want, .. }),
                ) = (found.first_mut(), expected.first())
                {
                    // How much of an overlong line is kept depends on how it arrived; never more than the bound.
                    assert!(head.len() <= HEAD && head.first() == Some(&b'x'));
                    head.clone_from(want);
                }
                assert_eq!(found, expected, "{bytes:?} in steps of {step}");
            }
        }
    }

    #[test]
    fn plain_lines_have_a_bound_too() {
        for (len, ok) in [(10, true), (11, false)] {
            let mut frame = Frame::new();
            frame.push("x".repeat(len).as_bytes());
            frame.push(b"\r\nDONE\r\n");
            let first = frame.next_line(10);
            assert_eq!(first.map(|r| r.is_ok()), Some(ok));
            assert_eq!(frame.next_line(10), Some(Ok(b"DONE".to_vec())));
            assert!(!frame.partial());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_any_pieces_same_commands(bytes in "[ -~]{0,6}(\\{[0-9]{1,2}\\+?\\})?(\r\n)?[a\r\n {}+0-9]{0,60}", step in 1usize..9) {
            // An overlong line's head depends on the pieces; all else must not.
            let plain = |v: Vec<Framed>| v.into_iter().map(|f| match f {
                Framed::Refused { why, .. } => Framed::Refused { head: Vec::new(), why },
                f => f,
            }).collect::<Vec<_>>();
            prop_assert_eq!(plain(all(bytes.as_bytes(), step)), plain(all(bytes.as_bytes(), bytes.len())));
        }
    }
}
