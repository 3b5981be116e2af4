//! Packs: append-only files of sealed records. `storage/FORMAT.md` describes every byte.
//!
//! Invariant: a pack is only ever appended to; a record that is read from the wrong place is an error, never data.
