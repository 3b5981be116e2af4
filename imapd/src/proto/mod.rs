//! Bytes to commands and back: framing, parsers, names' encoding, quoting. Knows no socket, no storage, no session.
//!
//! Invariant: whatever the bytes are, each function ends with a value or an error, in memory that its bounds give.

pub(crate) mod date;
pub(crate) mod encode;
pub(crate) mod frame;
pub(crate) mod mutf7;
pub(crate) mod parse;
pub(crate) mod pattern;
pub(crate) mod set;
