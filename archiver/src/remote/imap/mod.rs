//! An IMAP client that streams (RFC 3501, 9051): commands out, responses in, every bound kept.
//!
//! Invariant: memory grows neither with a mailbox's messages nor with a message; a response that breaks a bound ends the
//! connection. No referral is followed (RFC 2193, 2221). Left to others: what to do with it (`mailbox`).

pub(crate) mod client;
pub(crate) mod fetch;
mod lexer;
mod login;
pub(crate) mod names;
pub(crate) mod response;
pub(crate) mod select;

/// Bounds of what a server may send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Bytes of a response without its literals (lists of UIDs not counted).
    pub(crate) line_bytes: u64,
    /// Bytes of a literal that is no message.
    pub(crate) literal_bytes: u64,
    /// Mailboxes in all lists.
    pub(crate) folders: usize,
    /// Messages of a mailbox.
    pub(crate) messages: u64,
    /// Ranges that its UIDs may fall into.
    pub(crate) spans: usize,
    /// Untagged responses while one command runs, fetched messages not counted.
    pub(crate) untagged: u64,
    /// Parentheses in parentheses.
    pub(crate) depth: usize,
    /// Flags of a message or a mailbox.
    pub(crate) flags: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            line_bytes: 1 << 20,
            literal_bytes: 1 << 20,
            folders: 100_000,
            messages: 20_000_000,
            spans: 2_000_000,
            untagged: 1_000_000,
            depth: 64,
            flags: 1_000,
        }
    }
}

#[cfg(test)]
mod tests;
