//! Keys that are looked up rather than compared row by row: they become the UIDs that they mean in a view.
//!
//! Invariant: afterwards the rest of the search meets none of them.

use super::Key;
use crate::{Error, FolderView, ModSeq, Storage};
use std::borrow::Cow;

/// Whether any key has to be looked up.
pub(super) fn is_needed(key: &Key) -> bool {
    let mut open = vec![key];
    while let Some(key) = open.pop() {
        match key {
            Key::ModSeq(_) | Key::Saved(..) | Key::Identity(_) | Key::Conversation(_) => return true,
            Key::And(keys) | Key::Or(keys) => open.extend(keys),
            Key::Not(key) => open.push(key),
            _ => {}
        }
    }
    false
}

impl Storage {
    /// The key with UIDs in place of what is looked up.
    pub(super) fn resolved<'k>(&self, view: &FolderView, key: &'k Key) -> Result<Cow<'k, Key>, Error> {
        if !is_needed(key) {
            return Ok(Cow::Borrowed(key));
        }
        let mut key = key.clone();
        let mut open = vec![&mut key];
        while let Some(key) = open.pop() {
            let uids = match key {
                Key::And(keys) | Key::Or(keys) => {
                    open.extend(keys);
                    continue;
                }
                Key::Not(key) => {
                    open.push(key);
                    continue;
                }
                Key::ModSeq(least) => self.changed_since(view, ModSeq(least.saturating_sub(1)))?,
                Key::Saved(first, end) => self.saved_within(view, *first, *end)?,
                Key::Identity(begin) => self.with_identity(view, begin)?,
                Key::Conversation(root) => self.in_conversation(view, *root)?,
                _ => continue,
            };
            *key = Key::Uids(uids);
        }
        Ok(Cow::Owned(key))
    }
}
