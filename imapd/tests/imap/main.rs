//! The server over real sockets and a real storage. One program, so that it is linked once.

mod common;
mod dialogues;
mod server;
