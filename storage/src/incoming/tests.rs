//! Reading messages whole.
