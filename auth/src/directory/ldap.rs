//! An LDAP client (RFC 4511): bind, search in pages (RFC 2696), StartTLS. Blocking, one operation at a time.
//!
//! Invariant: every bound stands where the bytes come in: a message's length is looked at before it is read, entries and
//! referrals are counted, and all ends at a moment that was set before. Referrals are never followed. An answer to
//! another question than the one that was asked ends the connection.

use super::ber::{self, Header, Malformed, Reader};
use super::code;
use super::filter::Filter;
use super::wire::{Fault, Server, Shield, Wire, shown};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Longest answer, bytes: an entry with all its values. A group of 100,000 members takes some 10 MB.
pub(super) const MAX_MESSAGE_BYTES: usize = 16 << 20;
/// Most entries of one search.
pub(super) const MAX_ENTRIES: usize = 500_000;
/// Most referrals and intermediate answers of one search.
pub(super) const MAX_ASIDES: usize = 10_000;
/// Pages in a row that have no entry.
pub(super) const MAX_EMPTY_PAGES: usize = 100;
/// Longest cookie of a page.
const MAX_COOKIE_BYTES: usize = 64 << 10;

const PAGED_RESULTS: &[u8] = b"1.2.840.113556.1.4.319";
const START_TLS: &[u8] = b"1.3.6.1.4.1.1466.20037";

const BIND: u8 = 0x60;
const BOUND: u8 = 0x61;
const UNBIND: u8 = 0x42;
const SEARCH: u8 = 0x63;
const ENTRY: u8 = 0x64;
const DONE: u8 = 0x65;
const REFERENCE: u8 = 0x73;
const EXTENDED: u8 = 0x77;
const EXTENDED_DONE: u8 = 0x78;
const INTERMEDIATE: u8 = 0x79;
const CONTROLS: u8 = 0xa0;

/// An entry that was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) dn: String,
    /// Attributes by name in lower case, with their values.
    pub(super) attributes: Vec<(String, Vec<Vec<u8>>)>,
}

impl Entry {
    /// The values of an attribute.
    pub(super) fn values(&self, name: &str) -> &[Vec<u8>] {
        let found = self.attributes.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, values)| values.as_slice()).unwrap_or_default()
    }
    /// The values of an attribute that are text.
    pub(super) fn texts(&self, name: &str) -> impl Iterator<Item = &str> {
        self.values(name).iter().filter_map(|value| std::str::from_utf8(value).ok())
    }
}

/// How far below the base.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// The base itself.
    Base,
    /// All below it, and itself.
    Subtree,
}

/// A question.
#[derive(Debug)]
pub(super) struct Search<'a> {
    pub(super) base: &'a str,
    pub(super) scope: Scope,
    pub(super) filter: &'a Filter,
    pub(super) attributes: &'a [&'a str],
    /// Entries a page; zero: no pages, and no more than two entries are wanted.
    pub(super) page: u32,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) code: i64,
    pub(super) text: String,
}

/// A connection.
pub(super) struct Ldap {
    wire: Wire,
    id: u32,
    /// How long each answer is waited for.
    patience: Duration,
    /// When all must be over.
    end: Instant,
}

impl Ldap {
    /// Connects, protected as the server's setting says.
    /// # Errors
    /// `Connect`, `Refused` when StartTLS is.
    pub(super) fn open(server: &Server, patience: Duration, end: Instant) -> Result<Ldap, Fault> {
        let wire = Wire::open(server, (Instant::now() + patience).min(end))?;
        let mut ldap = Ldap { wire, id: 0, patience, end };
        if server.shield == Shield::StartTls {
            let request = ber::value(EXTENDED, &ber::value(0x80, START_TLS));
            let id = ldap.ask(&request, None)?;
            let answer = ldap.answer(id)?;
            let ended = answer.ended(EXTENDED_DONE).map_err(|Malformed| ldap.garbage())?;
            if ended.code != code::SUCCESS {
                return Err(ldap.refused(&ended, "StartTLS"));
            }
            ldap.wire.secure(server)?;
        }
        Ok(ldap)
    }

    /// All that follows ends at this moment.
    pub(super) fn until(&mut self, end: Instant) {
        self.end = end;
    }

    /// Where it goes.
    pub(super) fn server(&self) -> &str {
        &self.wire.server
    }

    /// Says who asks. An empty password is never sent: servers take it for nobody and say yes (RFC 4513 §5.1.2).
    /// # Errors
    /// As all that is asked; that the server says no is none.
    pub(super) fn bind(&mut self, dn: &str, password: &str) -> Result<Ended, Fault> {
        if password.is_empty() && !dn.is_empty() {
            return Ok(Ended { code: code::INVALID_CREDENTIALS, text: "no password was given".into() });
        }
        let mut content = Zeroizing::new(Vec::with_capacity(dn.len() + password.len() + 32));
        ber::put_number(&mut content, ber::INTEGER, 3);
        ber::put(&mut content, ber::OCTETS, dn.as_bytes());
        ber::put(&mut content, 0x80, password.as_bytes());
        let request = Zeroizing::new(ber::value(BIND, &content));
        let id = self.ask(&request, None)?;
        self.answer(id)?.ended(BOUND).map_err(|Malformed| self.garbage())
    }

    /// Finds entries and gives each to `each`, which may end the search by an error.
    /// # Errors
    /// `Refused` for any end but success: what was found until then is not all. `Protocol` past a bound.
    pub(super) fn search(
        &mut self,
        search: &Search<'_>,
        each: &mut dyn FnMut(Entry) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        let (mut cookie, mut entries, mut empty) = (Vec::new(), 0, 0);
        loop {
            let controls = (search.page > 0).then(|| paging(search.page, &cookie));
            let id = self.ask(&request(search), controls.as_deref())?;
            let before = entries;
            let mut asides = 0;
            let next = loop {
                let answer = self.answer(id)?;
                match answer.op {
                    ENTRY => {
                        entries += 1;
                        if entries > MAX_ENTRIES {
                            return Err(self
                                .wire
                                .protocol("more than 500,000 entries; narrow the base or the filter"));
                        }
                        each(answer.entry().map_err(|Malformed| self.garbage())?)?;
                    }
                    REFERENCE | INTERMEDIATE => {
                        asides += 1;
                        if asides > MAX_ASIDES {
                            return Err(self.wire.protocol("more than 10,000 referrals"));
                        }
                    }
                    _ => {
                        let ended = answer.ended(DONE).map_err(|Malformed| self.garbage())?;
                        // More than one is all that is to be known where no pages were asked for.
                        let enough =
                            search.page == 0 && ended.code == code::SIZE_LIMIT_EXCEEDED && entries > 1;
                        if ended.code != code::SUCCESS && !enough {
                            return Err(self.refused(&ended, "searching"));
                        }
                        break answer.cookie().map_err(|Malformed| self.garbage())?;
                    }
                }
            };
            if next.is_empty() || search.page == 0 {
                return Ok(());
            }
            empty = if entries == before { empty + 1 } else { 0 };
            if empty > MAX_EMPTY_PAGES {
                return Err(self.wire.protocol("page after page without an entry"));
            }
            cookie = next;
        }
    }

    /// Says good-bye.
    pub(super) fn close(mut self) {
        let id = self.id.wrapping_add(1);
        if let Err(error) = self.wire.send(&message(id, &[UNBIND, 0], None)) {
            tracing::debug!(%error, "the connection had ended already");
        }
    }

    /// A failure that an ended operation means.
    pub(super) fn refused(&self, ended: &Ended, doing: &str) -> Fault {
        Fault::Refused {
            server: self.wire.server.clone(),
            what: format!("{doing}: {}", code::words(ended)),
            passing: code::is_passing(ended.code),
        }
    }

    fn ask(&mut self, request: &[u8], controls: Option<&[u8]>) -> Result<u32, Fault> {
        self.id = self.id % 0x7fff_fff0 + 1;
        let message = Zeroizing::new(message(self.id, request, controls));
        self.wire.until((Instant::now() + self.patience).min(self.end));
        self.wire.send(&message)?;
        Ok(self.id)
    }

    /// The next message, which must answer this question.
    fn answer(&mut self, id: u32) -> Result<Answer, Fault> {
        self.wire.until((Instant::now() + self.patience).min(self.end));
        let (header, content) = loop {
            match ber::header(self.wire.held()) {
                Header::Known { tag: ber::SEQUENCE, header, content } if content <= MAX_MESSAGE_BYTES => {
                    break (header, content);
                }
                Header::Known { tag: ber::SEQUENCE, content, .. } => {
                    return Err(self.wire.protocol(&format!("an answer of {content} bytes")));
                }
                Header::Incomplete => self.wire.fill()?,
                Header::Known { .. } | Header::Bad => return Err(self.garbage()),
            }
        };
        while self.wire.held().len() < header + content {
            self.wire.fill()?;
        }
        let bytes = self.wire.take(header + content);
        let answer = Answer::read(bytes, header).map_err(|Malformed| self.garbage())?;
        if answer.id == 0 {
            // RFC 4511 §4.4.1: the server says why it ends the connection.
            let why = answer.ended(EXTENDED_DONE).map(|ended| code::words(&ended)).unwrap_or_default();
            return Err(self.wire.ended(&format!("it ended the connection: {why}")));
        }
        if answer.id != i64::from(id) {
            return Err(self.wire.protocol("an answer to a question that nobody asked"));
        }
        Ok(answer)
    }

    fn garbage(&self) -> Fault {
        self.wire.protocol("bytes that are no LDAP")
    }
}

fn message(id: u32, request: &[u8], controls: Option<&[u8]>) -> Vec<u8> {
    let mut content = Vec::with_capacity(request.len() + 64);
    ber::put_number(&mut content, ber::INTEGER, id);
    content.extend_from_slice(request);
    content.extend_from_slice(controls.unwrap_or_default());
    let all = ber::value(ber::SEQUENCE, &content);
    drop(Zeroizing::new(content));
    all
}

fn request(search: &Search<'_>) -> Vec<u8> {
    let mut content = Vec::new();
    ber::put(&mut content, ber::OCTETS, search.base.as_bytes());
    ber::put_number(&mut content, ber::ENUMERATED, if search.scope == Scope::Base { 0 } else { 2 });
    // Aliases are not followed: they lead out of the base.
    ber::put_number(&mut content, ber::ENUMERATED, 0);
    ber::put_number(&mut content, ber::INTEGER, if search.page == 0 { 2 } else { 0 });
    ber::put_number(&mut content, ber::INTEGER, 0);
    ber::put(&mut content, ber::BOOLEAN, &[0]);
    content.extend_from_slice(search.filter.bytes());
    let mut attributes = Vec::new();
    for attribute in search.attributes {
        ber::put(&mut attributes, ber::OCTETS, attribute.as_bytes());
    }
    ber::put(&mut content, ber::SEQUENCE, &attributes);
    ber::value(SEARCH, &content)
}

/// The control that asks for a page (RFC 2696); a server that doesn't know it gives all at once.
fn paging(size: u32, cookie: &[u8]) -> Vec<u8> {
    let mut value = Vec::new();
    ber::put_number(&mut value, ber::INTEGER, size);
    ber::put(&mut value, ber::OCTETS, cookie);
    let mut control = ber::value(ber::OCTETS, PAGED_RESULTS);
    ber::put(&mut control, ber::OCTETS, &ber::value(ber::SEQUENCE, &value));
    ber::value(CONTROLS, &ber::value(ber::SEQUENCE, &control))
}

/// A message from the server, its parts by place.
struct Answer {
    bytes: Vec<u8>,
    id: i64,
    op: u8,
    content: std::ops::Range<usize>,
    controls: std::ops::Range<usize>,
}

impl Answer {
    fn read(bytes: Vec<u8>, header: usize) -> Result<Answer, Malformed> {
        let total = bytes.len();
        let mut reader = Reader::new(bytes.get(header..).ok_or(Malformed)?);
        let id = reader.number(ber::INTEGER)?;
        let (op, content) = reader.next()?;
        let size = content.len();
        // The content ends where the rest begins.
        let end = total - reader.len();
        let content = end - size..end;
        let controls = match reader.peek() {
            Some(CONTROLS) => {
                let size = reader.take(CONTROLS)?.len();
                let end = total - reader.len();
                end - size..end
            }
            // Active Directory puts a name there when it ends a connection.
            _ => 0..0,
        };
        Ok(Answer { bytes, id, op, content, controls })
    }

    fn part(&self, range: &std::ops::Range<usize>) -> Reader<'_> {
        Reader::new(self.bytes.get(range.clone()).unwrap_or_default())
    }

    /// The result of an operation whose answer has this tag.
    fn ended(&self, op: u8) -> Result<Ended, Malformed> {
        if self.op != op {
            return Err(Malformed);
        }
        let mut reader = self.part(&self.content);
        let code = reader.number(ber::ENUMERATED)?;
        reader.take(ber::OCTETS)?;
        let text = shown(reader.take(ber::OCTETS)?);
        Ok(Ended { code, text })
    }

    fn entry(&self) -> Result<Entry, Malformed> {
        let mut reader = self.part(&self.content);
        let dn = String::from_utf8(reader.take(ber::OCTETS)?.to_vec()).map_err(|_| Malformed)?;
        let mut all = reader.enter(ber::SEQUENCE)?;
        let mut attributes = Vec::new();
        while !all.is_empty() {
            let mut one = all.enter(ber::SEQUENCE)?;
            let name =
                std::str::from_utf8(one.take(ber::OCTETS)?).map_err(|_| Malformed)?.to_ascii_lowercase();
            let mut set = one.enter(ber::SET)?;
            let mut values = Vec::new();
            while !set.is_empty() {
                values.push(set.take(ber::OCTETS)?.to_vec());
            }
            attributes.push((name, values));
        }
        Ok(Entry { dn, attributes })
    }

    /// The cookie of the next page; empty: there is none.
    fn cookie(&self) -> Result<Vec<u8>, Malformed> {
        let mut controls = self.part(&self.controls);
        while !controls.is_empty() {
            let mut control = controls.enter(ber::SEQUENCE)?;
            if control.take(ber::OCTETS)? != PAGED_RESULTS {
                continue;
            }
            if control.peek() == Some(ber::BOOLEAN) {
                control.take(ber::BOOLEAN)?;
            }
            let mut value = Reader::new(control.take(ber::OCTETS)?).enter(ber::SEQUENCE)?;
            value.number(ber::INTEGER)?;
            let cookie = value.take(ber::OCTETS)?;
            return if cookie.len() <= MAX_COOKIE_BYTES { Ok(cookie.to_vec()) } else { Err(Malformed) };
        }
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests;
