//! Address lists (RFC 5322 §3.4 with its obsolete forms) as ENVELOPE's address structures.
//!
//! Takes what the world writes: bare words, missing brackets, addresses as names. Nothing is thrown away for being
//! malformed; linear in the field's length. A mailbox or host that isn't there is `""`, since NIL would say "group".

use super::string;

/// Appends the addresses of an unfolded field, one structure after another; nothing when there are none.
pub(super) fn write(value: &[u8], out: &mut Vec<u8>) {
    Parser { rest: value, out, words: Vec::new(), comment: Vec::new(), in_group: false }.list();
}

/// A word of a phrase or local part.
struct Word {
    bytes: Vec<u8>,
    quoted: bool,
}

struct Parser<'a, 'o> {
    rest: &'a [u8],
    out: &'o mut Vec<u8>,
    /// Words of the item at hand.
    words: Vec<Word>,
    /// The last comment of the item at hand: by old custom, the name.
    comment: Vec<u8>,
    in_group: bool,
}

impl Parser<'_, '_> {
    fn list(&mut self) {
        let mut item = self.rest;
        loop {
            self.blanks();
            let Some((&byte, after)) = self.rest.split_first() else { break };
            match byte {
                b',' | b';' => {
                    self.bare_words();
                    if byte == b';' && self.in_group {
                        self.end_group();
                    }
                    self.rest = after;
                    item = after;
                }
                b':' if !self.in_group && !self.words.is_empty() => {
                    let name = phrase(&self.words);
                    self.structure(None, None, &name, None);
                    self.words.clear();
                    self.comment.clear();
                    self.in_group = true;
                    self.rest = after;
                    item = after;
                }
                b'<' => {
                    let name = phrase(&self.words);
                    self.rest = after;
                    self.angle(name);
                    item = self.rest;
                }
                b'@' => {
                    let before = &item[..item.len() - self.rest.len()];
                    self.rest = after;
                    self.addr_spec(before);
                    item = self.rest;
                }
                _ => self.word(b"()<>@,;:\""),
            }
        }
        self.bare_words();
        if self.in_group {
            self.end_group();
        }
    }

    fn end_group(&mut self) {
        self.out.extend_from_slice(b"(NIL NIL NIL NIL)");
        self.in_group = false;
    }

    /// Passes white space and comments.
    fn blanks(&mut self) {
        while let Some((&byte, after)) = self.rest.split_first() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.rest = after,
                b'(' => self.comment(),
                _ => return,
            }
        }
    }

    fn comment(&mut self) {
        let mut depth = 0_usize;
        let mut text = Vec::new();
        let mut bytes = self.rest.iter().copied().enumerate();
        let mut end = self.rest.len();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'(' => {
                    depth += 1;
                    if depth == 1 {
                        continue;
                    }
                }
                b')' => {
                    depth -= 1;
                    if depth == 0 {
                        end = at + 1;
                        break;
                    }
                }
                b'\\' => {
                    text.extend(bytes.next().map(|(_, escaped)| escaped));
                    continue;
                }
                _ => {}
            }
            text.push(byte);
        }
        self.rest = &self.rest[end..];
        self.comment = text.trim_ascii().to_vec();
    }

    /// Takes a quoted string, or all up to a blank or one of `stops` (at least a byte).
    fn word(&mut self, stops: &[u8]) {
        if self.rest.first() == Some(&b'"') {
            let bytes = self.quoted();
            self.words.push(Word { bytes, quoted: true });
            return;
        }
        let ends = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n') || stops.contains(byte);
        let end = self.rest.iter().skip(1).position(ends).map_or(self.rest.len(), |at| at + 1);
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        self.words.push(Word { bytes: word.to_vec(), quoted: false });
    }

    fn quoted(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        let mut bytes = self.rest.iter().copied().enumerate().skip(1);
        let mut end = self.rest.len();
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'"' => {
                    end = at + 1;
                    break;
                }
                b'\\' => text.extend(bytes.next().map(|(_, escaped)| escaped)),
                other => text.push(other),
            }
        }
        self.rest = &self.rest[end..];
        text
    }

    /// Words that no `@` or `<` followed: one bare word is a mailbox without a host, all else a name without an address.
    fn bare_words(&mut self) {
        let words = std::mem::take(&mut self.words);
        let comment = std::mem::take(&mut self.comment);
        match &*words {
            [] => {}
            [word] if !word.quoted => self.mailbox(&comment, None, &word.bytes, b""),
            words => self.mailbox(&phrase(words), None, b"", b""),
        }
    }

    /// `name@` was read: the domain follows, then nothing, or after all a bracketed address whose name this was.
    fn addr_spec(&mut self, before: &[u8]) {
        let domain = self.domain(b"()<>,;:\"");
        self.blanks();
        let mut words = std::mem::take(&mut self.words);
        if self.rest.first() == Some(&b'<') {
            let mut name = before.trim_ascii().to_vec();
            name.push(b'@');
            name.extend_from_slice(&domain);
            self.rest = &self.rest[1..];
            return self.angle(name);
        }
        let comment = std::mem::take(&mut self.comment);
        let local = local_part(&mut words);
        let name = if words.is_empty() { comment } else { phrase(&words) };
        self.mailbox(&name, None, &local, &domain);
    }

    /// After `<`: an optional route, a local part, a domain, up to `>`.
    fn angle(&mut self, name: Vec<u8>) {
        self.words.clear();
        let mut route = None;
        let mut domain = Vec::new();
        loop {
            self.blanks();
            let Some((&byte, after)) = self.rest.split_first() else { break };
            match byte {
                b'>' => {
                    self.rest = after;
                    break;
                }
                b'@' if self.words.is_empty() && route.is_none() => route = self.route(),
                b'@' => {
                    self.rest = after;
                    domain = self.domain(b"()<>,\"");
                }
                // An address that lost its `>`: the list goes on.
                b',' | b'<' => break,
                _ => self.word(b"()<>@,\""),
            }
        }
        let mut words = std::mem::take(&mut self.words);
        let last = local_part(&mut words);
        let mut local = phrase(&words);
        if !local.is_empty() {
            local.push(b' ');
        }
        local.extend_from_slice(&last);
        self.blanks();
        let comment = std::mem::take(&mut self.comment);
        let name = if name.is_empty() { comment } else { name };
        self.mailbox(&name, route.as_deref(), &local, &domain);
        // What follows up to the next comma belongs to nobody.
        let end = self.rest.iter().position(|byte| matches!(byte, b',' | b';')).unwrap_or(self.rest.len());
        self.rest = &self.rest[end..];
    }

    /// `@one,@two:` (RFC 5322 §4.4), given without the colon. Without a colon it isn't one, and the `@` is passed over.
    fn route(&mut self) -> Option<Vec<u8>> {
        let end = self.rest.iter().position(|byte| matches!(byte, b':' | b'>' | b'<' | b'"'));
        let Some(end) = end.filter(|&end| self.rest[end] == b':') else {
            // The empty word makes the caller read the `@` as the one before a domain.
            self.words.push(Word { bytes: Vec::new(), quoted: true });
            return None;
        };
        let route = self.rest[..end].iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        self.rest = &self.rest[end + 1..];
        Some(route)
    }

    /// A domain: words that dots join, or a literal in brackets.
    fn domain(&mut self, stops: &[u8]) -> Vec<u8> {
        let mut domain = Vec::new();
        loop {
            self.blanks();
            let Some(&first) = self.rest.first() else { break };
            if stops.contains(&first) || (!domain.is_empty() && first != b'.' && !domain.ends_with(b".")) {
                break;
            }
            if first == b'[' {
                let end = memchr::memchr(b']', self.rest).map_or(self.rest.len(), |at| at + 1);
                domain.extend_from_slice(&self.rest[..end]);
                self.rest = &self.rest[end..];
                break;
            }
            let ends = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n') || stops.contains(byte);
            let end = self.rest.iter().position(ends).unwrap_or(self.rest.len());
            domain.extend_from_slice(&self.rest[..end]);
            self.rest = &self.rest[end..];
        }
        domain
    }

    fn mailbox(&mut self, name: &[u8], route: Option<&[u8]>, mailbox: &[u8], host: &[u8]) {
        let name = if name.is_empty() { None } else { Some(name) };
        self.structure(name, route, mailbox, Some(host));
    }

    fn structure(&mut self, name: Option<&[u8]>, route: Option<&[u8]>, mailbox: &[u8], host: Option<&[u8]>) {
        self.out.push(b'(');
        for part in [name, route, Some(mailbox)] {
            string::put_or_nil(part, self.out);
            self.out.push(b' ');
        }
        string::put_or_nil(host, self.out);
        self.out.push(b')');
    }
}

fn phrase(words: &[Word]) -> Vec<u8> {
    let words: Vec<&[u8]> = words.iter().map(|word| &*word.bytes).collect();
    words.join(&b' ')
}

/// Takes the local part off the end of `words`: the last one, and those that dots join to it.
fn local_part(words: &mut Vec<Word>) -> Vec<u8> {
    let mut from = words.len().saturating_sub(1);
    while from > 0 {
        let joined = |word: &Word, end: bool| {
            let dot = if end { word.bytes.last() } else { word.bytes.first() };
            !word.quoted && dot == Some(&b'.')
        };
        let (before, after) = (&words[from - 1], &words[from]);
        if !joined(before, true) && !joined(after, false) {
            break;
        }
        from -= 1;
    }
    words.drain(from..).flat_map(|word| word.bytes).collect()
}
