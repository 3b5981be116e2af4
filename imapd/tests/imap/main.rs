//! The server over real sockets and a real storage. One program, so that it is linked once.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod abuse;
mod changes;
mod common;
mod compress;
mod dialogues;
mod ends;
mod leaks;
mod limit;
mod multisearch;
mod notify;
mod proxy;
mod rfc;
mod rights;
mod searches;
mod server;
mod sync;
mod watching;
mod words;
