//! Whose turn it is: runs of one source follow each other, others go on side by side.
//!
//! Sightings of a run count what was committed before it, per source folder; so two runs must never read the same source at once. For
//! files that is a path, or one below or above it; for anything else a name. The storage has one writer, whose batches queue by
//! themselves. Invariant: a turn ends with its value, whatever ended the run.

use parking_lot::{Condvar, Mutex};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use storage::Cancel;

/// How often a waiting run looks whether it was cancelled.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// What a run reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// A file or directory, with all below it.
    Path(PathBuf),
    /// Anything with a name.
    Name(String),
}

impl Source {
    fn overlaps(&self, other: &Source) -> bool {
        match (self, other) {
            (Source::Path(a), Source::Path(b)) => a.starts_with(b) || b.starts_with(a),
            (Source::Name(a), Source::Name(b)) => a == b,
            _ => false,
        }
    }
}

#[derive(Debug, Default)]
struct Held {
    sources: Mutex<Vec<(u64, Source)>>,
    given_back: Condvar,
}

/// The turns of all runs. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns {
    held: Arc<Held>,
}

/// A turn; it ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    held: Arc<Held>,
    number: u64,
}

impl Turns {
    /// Takes the turn for all these sources if nobody has one of them.
    pub(crate) fn take(&self, sources: &[Source]) -> Option<Turn> {
        let mut held = self.held.sources.lock();
        if held.iter().any(|(_, taken)| sources.iter().any(|source| source.overlaps(taken))) {
            return None;
        }
        let number = held.iter().map(|(number, _)| *number).max().unwrap_or(0) + 1;
        // A turn for nothing is one all the same.
        held.extend(sources.iter().map(|source| (number, source.clone())));
        Some(Turn { held: Arc::clone(&self.held), number })
    }

    /// Waits for the turn; none when it was cancelled.
    pub(crate) fn wait(&self, sources: &[Source], cancel: &Cancel) -> Option<Turn> {
        loop {
            if cancel.is_set() {
                return None;
            }
            if let Some(turn) = self.take(sources) {
                return Some(turn);
            }
            let mut held = self.held.sources.lock();
            self.held.given_back.wait_for(&mut held, LOOK_EVERY);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.held.sources.lock().retain(|(number, _)| *number != self.number);
        self.held.given_back.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_source_one_run() {
        let turns = Turns::default();
        let path = |text: &str| [Source::Path(PathBuf::from(text))];
        let name = |text: &str| [Source::Name(text.to_owned())];
        let first = turns.take(&path("/a/b")).unwrap();
        for taken in ["/a/b", "/a/b/c", "/a", "/"] {
            assert!(turns.take(&path(taken)).is_none(), "{taken}");
        }
        let beside = turns.take(&path("/a/bc")).unwrap();
        let named = turns.take(&name("x")).unwrap();
        assert!(turns.take(&name("x")).is_none() && turns.take(&name("y")).is_some());
        drop((first, named));
        assert!(turns.take(&name("x")).is_some() && turns.take(&path("/a/b")).is_some());
        assert!(turns.take(&path("/a/bc/d")).is_none());
        drop(beside);
    }

    #[test]
    fn who_waits_gets_the_turn_or_the_cancel() {
        let turns = Turns::default();
        let sources = [Source::Name("x".into())];
        let cancel = Cancel::default();
        let first = turns.take(&sources).unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| turns.wait(&sources, &cancel).is_some());
            drop(first);
            assert!(waiting.join().unwrap());
        });
        let _second = turns.take(&sources).unwrap();
        cancel.set();
        assert!(turns.wait(&sources, &cancel).is_none());
    }
}
