//! The work on a message that needs no lock: MIME structure, card, text. Runs on any thread, before the batch.

use crate::{Incoming, Limits};

/// An incoming message with its card and its searchable text, ready to be added to a batch.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) incoming: Incoming,
    pub(crate) card: crate::card::Card,
    pub(crate) text: crate::text::SearchText,
}

impl Prepared {
    /// Parses `incoming`. Never fails: a message that nothing can be understood of gets a card that shows its raw
    /// text, flagged; a panic of a parser is caught and counts as that.
    #[must_use]
    pub fn new(incoming: Incoming, limits: &Limits) -> Prepared {
        let _ = (incoming, limits);
        todo!()
    }
    /// The message's identity.
    #[must_use]
    pub fn hash(&self) -> crate::ContentHash {
        self.incoming.hash
    }
    /// The date in seconds since 1970 (UTC) and the zone in minutes, of the topmost Received header, else of Date.
    #[must_use]
    pub fn dates(&self) -> crate::card::Dates {
        self.card.dates
    }
    /// Whether the structure could not be understood (the raw bytes are kept all the same).
    #[must_use]
    pub fn is_raw(&self) -> bool {
        self.card.raw
    }
}
