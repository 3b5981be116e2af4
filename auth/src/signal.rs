//! Who is told that what somebody may see can have changed.
//!
//! Invariant: they are told once a change is durable and [`Auth::generation`] has risen, so that whoever reads the number and then
//! the rights, and later finds the same number, knows these rights still. What changes by time alone tells [`Sight::until`].

use crate::{Auth, Sight};
use parking_lot::Mutex;
use std::sync::Arc;

type Notify = Arc<dyn Fn() + Send + Sync>;

/// The subscribers, each with a number.
#[derive(Default)]
pub(crate) struct Signal {
    list: Mutex<(u64, Vec<(u64, Notify)>)>,
}

impl Signal {
    /// Something has changed.
    pub(crate) fn tell(&self) {
        let list: Vec<Notify> = self.list.lock().1.iter().map(|(_, notify)| Arc::clone(notify)).collect();
        for notify in list {
            notify();
        }
    }
}

/// Ends with its drop.
#[must_use = "the subscription ends when this is dropped"]
pub struct Subscription {
    signal: Arc<Signal>,
    number: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.signal.list.lock().1.retain(|(other, _)| *other != self.number);
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subscription({})", self.number)
    }
}

impl Auth {
    /// Calls `notify` after every change of users, their rights, groups' rights or archive access, from the thread that made it.
    /// It must be short, and ask nothing of `Auth`.
    pub fn subscribe(&self, notify: impl Fn() + Send + Sync + 'static) -> Subscription {
        let mut list = self.signal.list.lock();
        list.0 += 1;
        let number = list.0;
        list.1.push((number, Arc::new(notify)));
        Subscription { signal: Arc::clone(&self.signal), number }
    }
}

impl Sight {
    /// The second (since 1970, UTC) from which on it may be otherwise by time alone, when a user expires or archive access closes;
    /// none: it stays. See [`is_past`].
    #[must_use]
    pub fn until(&self) -> Option<i64> {
        self.until
    }
}

/// Whether this second (since 1970, UTC) has come.
#[must_use]
pub fn is_past(second: i64) -> bool {
    crate::now() >= second
}
