//! Search with the RFC's exact meaning (RFC 3501 §6.4.4): the index narrows, the stored text decides.

use crate::{Cancel, Error, FolderView, Storage, UidRanges};

/// A calendar day, proleptic Gregorian: days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(pub i64);

/// A flag that a placement can carry; \Seen is always set, \Deleted, \Draft and other keywords never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// \Answered
    Answered,
    /// \Flagged
    Flagged,
    /// $Forwarded
    Forwarded,
}

/// A search key, sequence sets already resolved to UIDs. Text is what the user typed; folding happens here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// Every message.
    All,
    /// None (e.g. UNSEEN, DELETED, an unknown keyword).
    Nothing,
    /// Header and body.
    Text(String),
    /// Body.
    Body(String),
    /// A header field's value contains the text; empty text: the field is there.
    Header(String, String),
    /// Internal date before / on / since a day, in the zone it was stored with (RFC 3501: disregarding time and zone).
    Before(Day),
    /// See `Before`.
    On(Day),
    /// See `Before`.
    Since(Day),
    /// The Date field's day, disregarding time and zone.
    SentBefore(Day),
    /// See `SentBefore`.
    SentOn(Day),
    /// See `SentBefore`.
    SentSince(Day),
    /// RFC822.SIZE above n octets.
    Larger(u64),
    /// RFC822.SIZE below n octets.
    Smaller(u64),
    /// These UIDs.
    Uids(UidRanges),
    /// The flag is set.
    Flag(Flag),
    /// MODSEQ (RFC 7162) at least this.
    ModSeq(u64),
    /// All of them (empty: every message).
    And(Vec<Key>),
    /// One of them.
    Or(Vec<Key>),
    /// The others.
    Not(Box<Key>),
}

impl Storage {
    /// The UIDs of the folder's messages that match `key`, exactly; complete up to the view's last message.
    /// # Errors
    /// `Cancelled`, `SearchTime`, and whatever reading gives.
    pub fn search(&self, view: &FolderView, key: &Key, cancel: &Cancel) -> Result<UidRanges, Error> {
        let _ = (view, key, cancel);
        todo!()
    }
}
