//! LIST and LSUB with LIST-EXTENDED, LIST-STATUS, LIST-MYRIGHTS, LIST-METADATA, SPECIAL-USE, CHILDREN (RFC 3501 §6.3.8,
//! RFC 5258, 5819, 8440, 9590, 6154, 3348).
//!
//! Everything counts as subscribed. Parents without a folder of their own are shown as containers. What the user may
//! not read isn't there. Only `All Mail` has a special use, shown in plain LIST too, since Apple's clients don't ask for it:
//! \Sent, \Drafts, \Trash, \Junk would make clients write. Memory is that of a piece of the tree, however large it is.

use super::{acl, metadata, status};
use crate::proto::encode::Text;
use crate::proto::parse::Cursor;
use crate::proto::parse::list::{self as grammar, List, StatusItem};
use crate::proto::parse::metadata::Depth;
use crate::reply::Refusal;
use crate::session::tree::{Entry, Kind, Walk};
use crate::session::{CHUNK, Call, Done, Session, Work, World};
use std::sync::Arc;
use storage::Cancel;

/// LIST
pub(crate) fn list(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let asked = grammar::list(c)?;
    c.end()?;
    if asked.status.as_ref().is_some_and(|items| !status::are_known(s.enabled, items)) {
        return Err(Refusal::Bad("unknown STATUS item"));
    }
    // RFC 7162 §3.1: STATUS with it turns CONDSTORE on, wherever it stands.
    let turns_on = |items: &Vec<_>| items.contains(&StatusItem::HighestModSeq);
    s.enabled.condstore |= asked.status.as_ref().is_some_and(turns_on);
    if asked.delimiter_only {
        call.out.extend_from_slice(b"* LIST (\\Noselect) \"/\" \"\"\r\n");
        return Ok(Done::Ok("LIST done"));
    }
    Ok(Done::Work(Box::new(Listing::new(s, b"* LIST (", asked)?), "LIST done"))
}

/// LSUB: equals LIST.
pub(crate) fn lsub(s: &mut Session, _: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let asked = grammar::lsub(c)?;
    c.end()?;
    Ok(Done::Work(Box::new(Listing::new(s, b"* LSUB (", asked)?), "LSUB done"))
}

/// The tree's answer, in pieces.
struct Listing {
    world: Arc<World>,
    text: Text,
    word: &'static [u8],
    asked: List,
    walk: Walk,
    piece: std::vec::IntoIter<Entry>,
}

impl Listing {
    fn new(s: &Session, word: &'static [u8], asked: List) -> Result<Listing, Refusal> {
        let patterns: Vec<String> =
            asked.patterns.iter().flat_map(|p| spellings(format!("{}{p}", asked.reference))).collect();
        let walk = Walk::new(&s.world, s.user()?, &patterns, asked.special_only)?;
        let piece = Vec::new().into_iter();
        Ok(Listing { world: Arc::clone(&s.world), text: s.enabled.text(), word, asked, walk, piece })
    }

    fn entry(&self, entry: &Entry, out: &mut Vec<u8>) {
        if entry.target.as_ref().is_some_and(|target| !self.world.shows(self.walk.sight(), target)) {
            return;
        }
        let asked = &self.asked;
        out.extend_from_slice(self.word);
        if asked.subscribed {
            out.extend_from_slice(b"\\Subscribed ");
        }
        attributes(entry, out);
        out.extend_from_slice(b") \"/\" ");
        self.text.mailbox(&entry.name, out);
        // RFC 5258 §3.5: something below is subscribed as well. Below what has a special use there is nothing.
        if asked.recursive && asked.subscribed_only && entry.children {
            out.extend_from_slice(b" (\"CHILDINFO\" (\"SUBSCRIBED\"))");
        }
        out.extend_from_slice(b"\r\n");
        let more = asked.status.is_some() || asked.rights || !asked.metadata.is_empty();
        let Some(target) = entry.target.clone().filter(|_| more) else { return };
        // It may have gone since it was listed; RFC 5819 §2 leaves out what can't be said.
        let Ok(mailbox) = self.world.open(self.walk.sight(), target) else { return };
        if let Some(items) = &asked.status {
            status::write(self.text, &entry.name, &mailbox, items, out);
        }
        if asked.rights {
            acl::write_rights(self.text, &entry.name, out);
        }
        if !asked.metadata.is_empty() {
            let known = metadata::of_mailbox(&mailbox);
            let found = metadata::pick(&known, &asked.metadata, Depth::Zero);
            metadata::write(self.text, &entry.name, &found, out);
        }
    }
}

impl Work for Listing {
    fn step(&mut self, out: &mut Vec<u8>, cancel: &Cancel) -> Result<bool, Refusal> {
        // What a piece has left may be told later than it was found.
        self.walk.ask()?;
        while out.len() < CHUNK {
            cancel.check()?;
            match self.piece.next() {
                Some(entry) => self.entry(&entry, out),
                None => match self.walk.next()? {
                    Some(piece) => self.piece = piece.into_iter(),
                    None => return Ok(true),
                },
            }
        }
        Ok(false)
    }
}

/// What a mailbox is, as LIST says it.
pub(crate) fn attributes(entry: &Entry, out: &mut Vec<u8>) {
    if entry.kind == Kind::Container {
        out.extend_from_slice(b"\\NonExistent \\Noselect ");
    }
    out.extend_from_slice(if entry.children { b"\\HasChildren" } else { b"\\HasNoChildren" });
    if entry.kind == Kind::AllMail {
        out.extend_from_slice(b" \\All");
    }
}

/// INBOX is one name in any case (RFC 3501 §5.1): a pattern that begins so is tried in capitals too.
fn spellings(pattern: String) -> impl Iterator<Item = String> {
    let inbox = pattern
        .split_at_checked(5)
        .filter(|(first, _)| first.eq_ignore_ascii_case("INBOX"))
        .map(|(_, rest)| format!("INBOX{rest}"));
    std::iter::once(pattern).chain(inbox)
}
