//! What a message is sorted and threaded by, made once from its header, and how that is written down column by column.
//!
//! Invariant: every key is bounded, whatever the header: strings by [`MAX_TEXT`], references by [`MAX_REFERENCES`]. Message-IDs are
//! kept as the first eight bytes of their SHA-256: equal ones stay equal, and making two equal takes 2^32 attempts of a
//! sender who could as well write the same References.

use super::{casemap, subject};
use crate::card::Card;
use crate::mime::field::Fields;
use crate::pack::varint::{Reader, put, put_bytes, put_signed};
use crate::text::decode_words;
use sha2::{Digest, Sha256};

/// Bytes of a string that are kept; longer ones end in a hash of the whole, so that only equal ones are equal.
pub(crate) const MAX_TEXT: usize = 512;
/// References of a message that are kept: the first, and the last ones.
pub(crate) const MAX_REFERENCES: usize = 256;

/// A message's keys; strings are as i;unicode-casemap compares them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Keys {
    /// The Date field's moment, seconds since 1970 UTC.
    pub(crate) sent: Option<i64>,
    /// The base subject.
    pub(crate) subject: String,
    /// The subject is one of a reply or a forwarded message.
    pub(crate) reply: bool,
    /// The Message-ID.
    pub(crate) id: Option<u64>,
    /// The References, else the first id of In-Reply-To, oldest first.
    pub(crate) references: Vec<u64>,
    /// Of the first address of From, To and Cc.
    pub(crate) people: [Person; 3],
}

/// The first address of a field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Person {
    /// `addr-mailbox` (RFC 3501 §9): the local part, or a group's name.
    pub(crate) mailbox: String,
    /// What clients show (RFC 5957 §2): the name, else the address.
    pub(crate) display: String,
}

/// A kind of key: its values stand together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Column {
    Sent = 0,
    Subject = 1,
    Ids = 2,
    From = 3,
    To = 4,
    Cc = 5,
}

/// All of them, by number.
pub(crate) const COLUMNS: [Column; 6] =
    [Column::Sent, Column::Subject, Column::Ids, Column::From, Column::To, Column::Cc];

/// One message's value in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    Sent(Option<i64>),
    Subject {
        text: &'a [u8],
        reply: bool,
    },
    /// References as 8 bytes each, little endian.
    Ids {
        id: Option<u64>,
        references: &'a [u8],
    },
    Person {
        mailbox: &'a [u8],
        display: &'a [u8],
    },
}

impl Keys {
    /// What all messages of a conversation have in common: the oldest id that the message names, else its own. It depends on the
    /// message alone, so that it never changes.
    pub(crate) fn root(&self) -> Option<u64> {
        self.references.first().copied().or(self.id)
    }

    /// Makes the keys of a message from its own header and its card.
    pub(crate) fn new(header: &[u8], card: &Card) -> Keys {
        let mut keys = Keys { sent: card.dates.sent.map(|sent| sent.secs), ..Keys::default() };
        let (mut in_reply_to, mut subject) = (None, None);
        // Of several fields the last counts, as in ENVELOPE.
        for field in Fields::new(header) {
            if field.is("Subject") {
                subject = Some(field);
            } else if field.is("Message-ID") {
                keys.id = ids(&field.unfolded()).next();
            } else if field.is("In-Reply-To") {
                in_reply_to = ids(&field.unfolded()).next();
            } else if field.is("References") {
                keys.references = bounded(ids(&field.unfolded()));
            }
        }
        if keys.references.is_empty() {
            keys.references.extend(in_reply_to);
        }
        if let Some(subject) = subject {
            let line = subject::squeezed(&decode_words(&subject.unfolded()));
            let base = subject::base(&line);
            keys.subject = kept(base.text);
            keys.reply = base.reply;
        }
        keys.people = people(&card.envelope);
        keys
    }

    /// Appends the value of `column`; `before`: the sent time that stands before it in the group.
    pub(crate) fn encode(&self, column: Column, before: &mut i64, out: &mut Vec<u8>) {
        match column {
            Column::Sent => match self.sent {
                None => out.push(0),
                Some(secs) => {
                    // The year is four digits: differences fit by far.
                    let step = secs.saturating_sub(*before);
                    out.push(1);
                    put_signed(out, step);
                    *before = before.saturating_add(step);
                }
            },
            Column::Subject => {
                put(out, (self.subject.len() as u64) << 1 | u64::from(self.reply));
                out.extend_from_slice(self.subject.as_bytes());
            }
            Column::Ids => {
                put(out, (self.references.len() as u64) << 1 | u64::from(self.id.is_some()));
                for id in self.id.iter().chain(&self.references) {
                    out.extend_from_slice(&id.to_le_bytes());
                }
            }
            Column::From | Column::To | Column::Cc => {
                let [from, to, cc] = &self.people;
                let person = match column {
                    Column::From => from,
                    Column::To => to,
                    _ => cc,
                };
                put_bytes(out, person.mailbox.as_bytes());
                put_bytes(out, person.display.as_bytes());
            }
        }
    }
}

/// Reads a column's next value; `None` when the bytes are none.
pub(crate) fn decode<'a>(column: Column, before: &mut i64, from: &mut Reader<'a>) -> Option<Entry<'a>> {
    Some(match column {
        Column::Sent => match from.u8()? {
            0 => Entry::Sent(None),
            1 => {
                *before = before.saturating_add(from.signed()?);
                Entry::Sent(Some(*before))
            }
            _ => return None,
        },
        Column::Subject => {
            let head = from.varint()?;
            let text = from.take(usize::try_from(head >> 1).ok()?)?;
            Entry::Subject { text, reply: head & 1 == 1 }
        }
        Column::Ids => {
            let head = from.varint()?;
            let id = if head & 1 == 1 { Some(u64::from_le_bytes(from.array()?)) } else { None };
            let references = from.take(usize::try_from(head >> 1).ok()?.checked_mul(8)?)?;
            Entry::Ids { id, references }
        }
        Column::From | Column::To | Column::Cc => {
            Entry::Person { mailbox: from.bytes()?, display: from.bytes()? }
        }
    })
}

/// A text's key, within its bound.
fn kept(text: &str) -> String {
    let mut key = casemap::casemap(text);
    if key.len() > MAX_TEXT {
        let hash = hex::encode(&Sha256::digest(key.as_bytes())[..8]);
        let mut end = MAX_TEXT - hash.len();
        while !key.is_char_boundary(end) {
            end -= 1;
        }
        key.truncate(end);
        key.push_str(&hash);
    }
    key
}

fn bounded(all: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut kept = std::collections::VecDeque::new();
    for id in all {
        if kept.len() == MAX_REFERENCES {
            // The first one names the thread, the last ones its branch.
            kept.remove(1);
        }
        kept.push_back(id);
    }
    kept.into()
}

/// The valid ids of an unfolded field: `<left@right>`, white space and quoting apart (RFC 5322 §3.6.4).
fn ids(value: &[u8]) -> impl Iterator<Item = u64> {
    let mut rest = value;
    std::iter::from_fn(move || {
        while let Some(start) = memchr::memchr(b'<', rest) {
            rest = &rest[start + 1..];
            let end = memchr::memchr2(b'<', b'>', rest)?;
            let inner = &rest[..end];
            let closed = rest[end] == b'>';
            rest = &rest[end..];
            if closed && let Some(id) = id(inner) {
                return Some(id);
            }
        }
        None
    })
}

/// The hash of an id as it is meant: `"a b"@x` is `a b@x` quoted.
fn id(inner: &[u8]) -> Option<u64> {
    let (mut plain, mut quoted, mut at) = (Vec::with_capacity(inner.len()), false, 0);
    let mut sign = None;
    while let Some(&byte) = inner.get(at) {
        at += 1;
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => {
                plain.extend(inner.get(at));
                at += 1;
            }
            b' ' | b'\t' if !quoted => {}
            b'@' if !quoted => {
                sign = Some(plain.len());
                plain.push(byte);
            }
            _ => plain.push(byte),
        }
    }
    let sign = sign?;
    if quoted || sign == 0 || sign + 1 == plain.len() {
        return None;
    }
    let hash = Sha256::digest(&plain);
    hash.first_chunk().map(|front| u64::from_le_bytes(*front))
}

/// The first addresses of From, To and Cc in an ENVELOPE that we made.
fn people(envelope: &[u8]) -> [Person; 3] {
    let mut rest = envelope.strip_prefix(b"(").unwrap_or_default();
    let mut lists: [Person; 3] = Default::default();
    let [from, to, cc] = &mut lists;
    let mut read = || {
        string(&mut rest)?;
        string(&mut rest)?;
        *from = first(&mut rest)?;
        first(&mut rest)?;
        first(&mut rest)?;
        *to = first(&mut rest)?;
        *cc = first(&mut rest)?;
        Some(())
    };
    let whole = read().is_some();
    // Nothing sorts by the name in Cc.
    cc.display.clear();
    if !whole {
        tracing::warn!("an envelope of ours can't be read back; its message sorts as if it had no addresses");
    }
    lists
}

/// A string or NIL, and the blank behind it.
fn string<'a>(rest: &mut &'a [u8]) -> Option<Option<std::borrow::Cow<'a, [u8]>>> {
    use std::borrow::Cow;
    let text = match rest.first()? {
        b'"' => {
            let mut at = 1;
            loop {
                at += memchr::memchr2(b'"', b'\\', rest.get(at..)?)?;
                if rest[at] == b'"' {
                    break;
                }
                at += 2;
            }
            let inner = &rest[1..at];
            *rest = &rest[at + 1..];
            let mut escaped = false;
            let plain = |byte: &u8| {
                escaped = *byte == b'\\' && !escaped;
                !escaped
            };
            Some(if inner.contains(&b'\\') {
                Cow::Owned(inner.iter().copied().filter(plain).collect())
            } else {
                Cow::Borrowed(inner)
            })
        }
        b'{' => {
            let close = memchr::memchr(b'}', rest)?;
            let len: usize = std::str::from_utf8(&rest[1..close]).ok()?.parse().ok()?;
            let text = rest.get(close + 3..)?.get(..len)?;
            *rest = &rest[close + 3 + len..];
            Some(Cow::Borrowed(text))
        }
        _ => {
            *rest = rest.strip_prefix(b"NIL")?;
            None
        }
    };
    *rest = rest.strip_prefix(b" ").unwrap_or(rest);
    Some(text)
}

/// The first address of a list; passes all of the list and the blank behind it.
fn first(rest: &mut &[u8]) -> Option<Person> {
    if let Some(after) = rest.strip_prefix(b"NIL") {
        *rest = after.strip_prefix(b" ").unwrap_or(after);
        return Some(Person::default());
    }
    *rest = rest.strip_prefix(b"(")?;
    let mut found = None;
    while let Some(inner) = rest.strip_prefix(b"(") {
        *rest = inner;
        let (name, _route) = (string(rest)?, string(rest)?);
        let (mailbox, host) = (string(rest)?, string(rest)?);
        *rest = rest.strip_prefix(b")")?;
        found.get_or_insert_with(|| person(name.as_deref(), mailbox.as_deref(), host.as_deref()));
    }
    *rest = rest.strip_prefix(b")")?;
    *rest = rest.strip_prefix(b" ").unwrap_or(rest);
    found
}

fn person(name: Option<&[u8]>, mailbox: Option<&[u8]>, host: Option<&[u8]>) -> Person {
    let local = decode_words(mailbox.unwrap_or_default());
    let name = name.map(decode_words).unwrap_or_default();
    let display = match host {
        _ if !name.is_empty() => name,
        Some(host) => format!("{local}@{}", decode_words(host)),
        None => local.clone(),
    };
    Person { mailbox: kept(&local), display: kept(&display) }
}

#[cfg(test)]
mod tests;
