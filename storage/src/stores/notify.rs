//! Who wants to hear of commits.
//!
//! Invariant: subscribers are called after the commit is visible, outside of any lock of the storage's state.

use crate::FolderId;
use parking_lot::Mutex;
use std::sync::Arc;

type Notify = Arc<dyn Fn(&[FolderId]) + Send + Sync>;

/// The subscribers, each with a number.
#[derive(Default)]
pub(super) struct Subscribers {
    list: Mutex<(u64, Vec<(u64, Notify)>)>,
}

impl std::fmt::Debug for Subscribers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subscribers({})", self.list.lock().1.len())
    }
}

impl Subscribers {
    pub(super) fn add(this: &Arc<Subscribers>, notify: Notify) -> Subscription {
        let number = {
            let mut list = this.list.lock();
            list.0 += 1;
            let number = list.0;
            list.1.push((number, notify));
            number
        };
        let this = Arc::downgrade(this);
        Subscription(Some(Box::new(move || {
            if let Some(this) = this.upgrade() {
                this.list.lock().1.retain(|(other, _)| *other != number);
            }
        })))
    }

    /// Calls all of them.
    pub(super) fn tell(&self, folders: &[FolderId]) {
        let list: Vec<Notify> = self.list.lock().1.iter().map(|(_, notify)| Arc::clone(notify)).collect();
        for notify in list {
            notify(folders);
        }
    }
}

/// Ends the notifications of [`crate::Storage::subscribe`] when dropped.
pub struct Subscription(Option<Box<dyn FnOnce() + Send + Sync>>);

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(end) = self.0.take() {
            end();
        }
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Subscription")
    }
}
