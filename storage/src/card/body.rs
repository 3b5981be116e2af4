//! BODY out of BODYSTRUCTURE: the same without extension data.
//!
//! Walks the ready bytes once, iteratively; knows quoted strings, literals and lists.

/// BODY's value; `None` when `structure` is none.
pub(super) fn without_extensions(structure: &[u8]) -> Option<Vec<u8>> {
    enum Inside {
        Multipart,
        Message,
    }
    let mut walk = Walk { rest: structure, out: Vec::with_capacity(structure.len()) };
    let mut inside = Vec::new();
    loop {
        walk.byte(b'(')?;
        if walk.rest.first() == Some(&b'(') {
            inside.push(Inside::Multipart);
            continue;
        }
        let main = walk.value()?;
        walk.byte(b' ')?;
        let sub = walk.value()?;
        for _ in 0..5 {
            walk.byte(b' ')?;
            walk.value()?;
        }
        if is(main, "message") && (is(sub, "rfc822") || is(sub, "global")) {
            walk.byte(b' ')?;
            walk.value()?;
            walk.byte(b' ')?;
            inside.push(Inside::Message);
            continue;
        }
        if is(main, "text") {
            walk.byte(b' ')?;
            walk.value()?;
        }
        walk.leave()?;
        loop {
            match inside.last() {
                None => return walk.rest.is_empty().then_some(walk.out),
                Some(Inside::Multipart) if walk.rest.first() == Some(&b'(') => break,
                Some(_) => {
                    walk.byte(b' ')?;
                    walk.value()?;
                    walk.leave()?;
                    inside.pop();
                }
            }
        }
    }
}

/// Whether a quoted string holds `text`, case apart.
fn is(value: &[u8], text: &str) -> bool {
    let inner = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    inner.is_some_and(|inner| inner.eq_ignore_ascii_case(text.as_bytes()))
}

struct Walk<'a> {
    rest: &'a [u8],
    out: Vec<u8>,
}

impl<'a> Walk<'a> {
    /// Copies the one byte that must come.
    fn byte(&mut self, byte: u8) -> Option<()> {
        self.rest = self.rest.strip_prefix(&[byte])?;
        self.out.push(byte);
        Some(())
    }

    /// Copies a value.
    fn value(&mut self) -> Option<&'a [u8]> {
        let value = self.take()?;
        self.out.extend_from_slice(value);
        Some(value)
    }

    /// Passes the extension data over and copies the closing parenthesis.
    fn leave(&mut self) -> Option<()> {
        while self.rest.first() == Some(&b' ') {
            self.rest = &self.rest[1..];
            self.take()?;
        }
        self.byte(b')')
    }

    /// Takes a string, a literal, an atom, or a list with all that is in it.
    fn take(&mut self) -> Option<&'a [u8]> {
        let start = self.rest;
        let mut depth = 0_usize;
        loop {
            match *self.rest.first()? {
                b'(' => {
                    depth += 1;
                    self.rest = &self.rest[1..];
                }
                b')' => {
                    depth = depth.checked_sub(1)?;
                    self.rest = &self.rest[1..];
                }
                b' ' if depth > 0 => self.rest = &self.rest[1..],
                b'"' => self.quoted()?,
                b'{' => self.literal()?,
                _ => {
                    let end =
                        self.rest.iter().position(|byte| matches!(byte, b' ' | b'(' | b')' | b'"' | b'{'))?;
                    if end == 0 {
                        return None;
                    }
                    self.rest = &self.rest[end..];
                }
            }
            if depth == 0 {
                return Some(&start[..start.len() - self.rest.len()]);
            }
        }
    }

    fn quoted(&mut self) -> Option<()> {
        let mut at = 1;
        loop {
            at += memchr::memchr2(b'"', b'\\', self.rest.get(at..)?)?;
            if self.rest[at] == b'"' {
                self.rest = &self.rest[at + 1..];
                return Some(());
            }
            at += 2;
        }
    }

    fn literal(&mut self) -> Option<()> {
        let end = memchr::memchr(b'}', self.rest.get(..24).unwrap_or(self.rest))?;
        let len: usize = std::str::from_utf8(&self.rest[1..end]).ok()?.parse().ok()?;
        let rest = self.rest[end + 1..].strip_prefix(b"\r\n")?;
        self.rest = rest.get(len..)?;
        Some(())
    }
}
