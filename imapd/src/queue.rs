//! Who may search now: so many searches run at once, the others wait, users in turn.
//!
//! Invariant: no more run than there are places, none of one user more than half of them (but one always), so that one user's
//! heavy searches leave a place to others. A place is given back when its guard is dropped; who waits holds no thread.

use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot;

#[derive(Debug, Default)]
struct State {
    taken: usize,
    /// Searches that run, by user.
    running: HashMap<String, usize>,
    /// Users that wait, the next one first, each with those that wait for them.
    waiting: VecDeque<(String, VecDeque<oneshot::Sender<Turn>>)>,
}

/// The queue of a server; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Queue {
    state: Arc<Mutex<State>>,
    places: usize,
    per_user: usize,
}

/// A place; others get it when this is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    queue: Queue,
    user: String,
}

impl Queue {
    /// With so many places, at least one.
    pub(crate) fn new(places: usize) -> Queue {
        let places = places.max(1);
        Queue { state: Arc::default(), places, per_user: places.div_ceil(2) }
    }

    /// Waits for a place. Who doesn't wait any more simply drops this.
    pub(crate) fn enter(&self, user: &str) -> oneshot::Receiver<Turn> {
        let (sender, receiver) = oneshot::channel();
        {
            let mut state = self.state.lock();
            match state.waiting.iter_mut().find(|(name, _)| name == user) {
                Some((_, all)) => {
                    all.retain(|waiting| !waiting.is_closed());
                    all.push_back(sender);
                }
                None => state.waiting.push_back((user.to_owned(), VecDeque::from([sender]))),
            }
        }
        self.give();
        receiver
    }

    /// Gives free places to those whose turn it is.
    fn give(&self) {
        while let Some((sender, turn)) = self.next() {
            // Who went meanwhile gives it back at once; the lock isn't held here.
            drop(sender.send(turn));
        }
    }

    fn next(&self) -> Option<(oneshot::Sender<Turn>, Turn)> {
        let mut state = self.state.lock();
        if state.taken >= self.places {
            return None;
        }
        let State { running, waiting, .. } = &mut *state;
        for (_, all) in waiting.iter_mut() {
            all.retain(|waiting| !waiting.is_closed());
        }
        waiting.retain(|(_, all)| !all.is_empty());
        let free = |user: &String| running.get(user).copied().unwrap_or(0) < self.per_user;
        let at = waiting.iter().position(|(user, _)| free(user))?;
        let (user, mut all) = waiting.remove(at)?;
        let sender = all.pop_front()?;
        if !all.is_empty() {
            waiting.push_back((user.clone(), all));
        }
        *running.entry(user.clone()).or_default() += 1;
        state.taken += 1;
        Some((sender, Turn { queue: self.clone(), user }))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        {
            let mut state = self.queue.state.lock();
            state.taken = state.taken.saturating_sub(1);
            if let Some(count) = state.running.get_mut(&self.user) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    state.running.remove(&self.user);
                }
            }
        }
        self.queue.give();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_waiting(waiting: &mut oneshot::Receiver<Turn>) -> bool {
        waiting.try_recv().is_err()
    }
    fn turn(waiting: &mut oneshot::Receiver<Turn>) -> Turn {
        waiting.try_recv().expect("its turn")
    }

    #[test]
    fn users_take_turns_and_none_has_all_places() {
        let queue = Queue::new(4);
        let [mut a1, mut a2, mut a3, mut a4] = std::array::from_fn(|_| queue.enter("alice"));
        let (a1, a2) = (turn(&mut a1), turn(&mut a2));
        assert!(is_waiting(&mut a3) && is_waiting(&mut a4), "two of four are alice's");
        let [mut b1, mut b2, mut b3] = std::array::from_fn(|_| queue.enter("bob"));
        let (b1, b2) = (turn(&mut b1), turn(&mut b2));
        assert!(is_waiting(&mut b3), "all places are taken");
        let [mut c1, mut c2] = std::array::from_fn(|_| queue.enter("carol"));
        assert!(is_waiting(&mut c1));
        drop(b1);
        // Alice has her two still, so it is bob's turn again, then carol's.
        let b3 = turn(&mut b3);
        assert!(is_waiting(&mut a3) && is_waiting(&mut c1));
        drop((a1, b2));
        let (a3, c1) = (turn(&mut a3), turn(&mut c1));
        assert!(is_waiting(&mut a4) && is_waiting(&mut c2));
        drop(a2);
        let a4 = turn(&mut a4);
        assert!(is_waiting(&mut c2));
        drop(a3);
        let c2 = turn(&mut c2);
        drop((a4, b3, c1, c2));
        let state = queue.state.lock();
        assert!(state.taken == 0 && state.running.is_empty() && state.waiting.is_empty());
    }

    #[test]
    fn who_went_is_passed_over() {
        let queue = Queue::new(1);
        let held = turn(&mut queue.enter("alice"));
        for _ in 0..1_000 {
            drop(queue.enter("bob"));
        }
        assert!(queue.state.lock().waiting.iter().all(|(_, all)| all.len() <= 1), "they don't pile up");
        let mut next = queue.enter("bob");
        drop(held);
        drop(turn(&mut next));
        // A place that was given to somebody who went before taking it comes back.
        let given = queue.enter("alice");
        drop(given);
        assert_eq!(queue.state.lock().taken, 0);
    }
}
