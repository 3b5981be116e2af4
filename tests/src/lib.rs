//! What the end-to-end tests share: the real binary in a scratch data directory, a raw IMAP client, the corpus.
//!
//! Invariant: nothing here sleeps to be right and nothing asserts a time; waiting is on a line, a socket or a process,
//! and the deadlines only keep a broken program from hanging the suite. Whatever is started is ended on drop.
//! Not here: any knowledge of how the program works inside; bytes go in through its command line and sockets.

pub mod clock;
pub mod dovecot;
pub mod generate;
pub mod grammar;
pub mod imap;
pub mod kept;
pub mod liar;
pub mod load;
pub mod mail;
pub mod mailserver;
pub mod office;
pub mod pages;
pub mod profile;
pub mod program;
pub mod proxy;
pub mod relay;
pub mod samba;
pub mod scripts;
pub mod served;
pub mod slapd;
pub mod tools;

pub use imap::Imap;
pub use mailserver::MailServer;
pub use program::{Archive, Output, Server};

/// What every test returns, so that a failure carries its chain of contexts.
pub type Result<T = ()> = anyhow::Result<T>;
