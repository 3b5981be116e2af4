//! Mail from servers: IMAP and POP3 mailboxes.
//!
//! Invariant: everything that a server sends is untrusted and bounded; nothing at a server is changed but by a deletion rule, and
//! nothing is deleted there that was not read back from the archive before. Left to others: which mailboxes, and when.

pub mod access;
pub(crate) mod checkpoint;
mod connect;
mod deletion;
mod engine;
mod fault;
mod folder;
mod imap;
pub mod job;
mod link;
mod lost;
mod mailbox;
mod maildrop;
mod moves;
mod pop3;
mod report;
mod sasl;
mod tls;

pub(crate) use engine::archive_mailboxes;
pub use fault::Fault;
pub use report::{Report, ReportFolder};
pub(crate) use report::{test_mailbox, watch};

#[cfg(test)]
mod tests;
