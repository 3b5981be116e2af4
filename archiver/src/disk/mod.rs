//! Mail programs' own directories: Thunderbird and SeaMonkey (`thunderbird`), Apple Mail (`applemail`).
//!
//! Invariant: read only, and nothing in a program's settings leads out of what the user may read anyway; what is no mail by the
//! program's own rules is not counted. How a mailbox file is read is `walk`'s business.

pub(crate) mod applemail;
pub(crate) mod thunderbird;
