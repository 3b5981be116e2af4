//! What ENABLE has turned on (RFC 5161), and all that is answered otherwise then: the one place that knows.
//!
//! Invariant: nothing here is ever turned off but by UNAUTHENTICATE (RFC 8437 §2), and what is offered doesn't depend on it.

use crate::proto::encode::{self, Text};
use crate::proto::parse::fetch::Item;
use crate::proto::parse::search::Returns;
use crate::reply::Refusal;

/// The extensions that a client has enabled.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Enabled {
    /// IMAP4rev2 (RFC 9051).
    pub(crate) rev2: bool,
    /// UTF8=ACCEPT (RFC 6855).
    pub(crate) utf8: bool,
    /// CONDSTORE (RFC 7162 §3.1), by ENABLE or by a command that implies it.
    pub(crate) condstore: bool,
    /// QRESYNC (RFC 7162 §3.2): VANISHED takes EXPUNGE's place.
    pub(crate) qresync: bool,
    /// UIDONLY (RFC 9586): no sequence number is taken or shown.
    pub(crate) uidonly: bool,
}

impl Enabled {
    /// How names and strings are written and read: both extensions have UTF-8 in quoted strings and names (RFC 6855 §3, RFC 9051 §5.1).
    pub(crate) fn text(self) -> Text {
        if self.rev2 || self.utf8 { Text::Utf8 } else { Text::Coded }
    }

    /// Untagged EXISTS, and RECENT where it is known: IMAP4rev2 has none (RFC 9051 Appendix E).
    pub(crate) fn exists(self, count: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(b"* ");
        encode::number(count, out);
        out.extend_from_slice(b" EXISTS\r\n");
        if !self.rev2 {
            out.extend_from_slice(b"* 0 RECENT\r\n");
        }
    }

    /// Whether STATUS knows RECENT.
    pub(crate) fn has_recent(self) -> bool {
        !self.rev2
    }

    /// Whether SELECT says that the mailbox before is closed (RFC 7162 §3.2.11, RFC 9051 §7.1).
    pub(crate) fn tells_closed(self) -> bool {
        self.rev2 || self.qresync
    }

    /// Whether SELECT says how the mailbox is listed (RFC 9051 §6.3.2).
    pub(crate) fn tells_mailboxes(self) -> bool {
        self.rev2
    }

    /// What goes is told by UID.
    pub(crate) fn vanishes(self) -> bool {
        self.qresync || self.uidonly
    }

    /// What every FETCH has then that no FETCH asked for (RFC 7162 §3.2.4).
    pub(crate) fn with_mod_seq(self, items: &mut Vec<Item>) {
        let wanted = [(Item::Uid, !self.uidonly), (Item::ModSeq, true)];
        for (item, wanted) in wanted {
            if self.condstore && wanted && !items.contains(&item) {
                items.push(item);
            }
        }
    }

    /// What a SEARCH without RETURN is to answer: IMAP4rev2 has ESEARCH only (RFC 9051 §6.4.4).
    pub(crate) fn search_returns(self) -> Option<Returns> {
        self.rev2.then(|| Returns { all: true, ..Returns::default() })
    }

    /// Whether SEARCH may name a charset. RFC 6855 §3: with UTF8=ACCEPT strings are UTF-8, and a server should answer BAD.
    pub(crate) fn may_name_charset(self) -> bool {
        !self.utf8
    }

    /// The refusal of what is no name of a mailbox in the form that counts.
    pub(crate) fn no_name(self) -> Refusal {
        Refusal::No(
            "CANNOT",
            match self.text() {
                Text::Coded => "The mailbox name is no modified UTF-7",
                Text::Utf8 => "The mailbox name is no UTF-8",
            },
        )
    }
}
