//! Packs from end to end.
