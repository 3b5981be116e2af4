//! What is due now: a pure function of the clock, of what runs, and of when each job began last.
//!
//! Invariant: a job never runs beside itself; at most `most` run at once, those that wait all the time for new mail not counted; what
//! was missed (the server was down, another run took long) is caught up once, not once for each time that was missed.

use super::Timing;
use std::collections::BTreeSet;

/// Seconds until a job that runs all the time begins again after its end.
const AGAIN_SECS: i64 = 30;

/// A job of the schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, unique.
    pub id: String,
    /// When it runs.
    pub timing: Timing,
    /// When it was begun last by the schedule, or came into it; none: it is new. Seconds since 1970.
    pub last: Option<i64>,
}

impl Entry {
    /// When it is due; none: never. Seconds since 1970.
    #[must_use]
    pub fn due(&self, now: i64) -> Option<i64> {
        if self.timing.paused {
            return None;
        }
        if self.timing.continuous {
            return Some(self.last.map_or(now, |last| last.saturating_add(AGAIN_SECS)));
        }
        self.timing.next(self.last.unwrap_or(now), &self.id)
    }
}

/// What is to be done now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Due {
    /// Jobs that begin now, the longest due first.
    pub start: Vec<String>,
    /// Jobs that are new: their time counts from now on.
    pub new: Vec<String>,
}

/// What is due at `now`. `running`: the jobs that run, with those that run all the time.
#[must_use]
pub fn due(entries: &[Entry], running: &BTreeSet<String>, most: usize, now: i64) -> Due {
    let is_continuous = |id: &String| entries.iter().any(|entry| entry.id == *id && entry.timing.continuous);
    let busy = running.iter().filter(|id| !is_continuous(id)).count();
    let mut room = most.saturating_sub(busy);
    let mut due = Due::default();
    let mut waiting = Vec::new();
    for entry in entries {
        if entry.last.is_none() && !entry.timing.continuous {
            due.new.push(entry.id.clone());
            continue;
        }
        // A clock that was set back must not keep a job from running for as long.
        let entry = &Entry { last: entry.last.map(|last| last.min(now)), ..entry.clone() };
        if !running.contains(&entry.id)
            && let Some(at) = entry.due(now)
            && at <= now
        {
            waiting.push((at, entry.timing.continuous, entry.id.clone()));
        }
    }
    waiting.sort();
    for (_, continuous, id) in waiting {
        if continuous {
            due.start.push(id);
        } else if room > 0 {
            room -= 1;
            due.start.push(id);
        }
    }
    due
}

#[cfg(test)]
mod tests {
    use super::*;

    fn every(id: &str, minutes: u32, last: Option<i64>) -> Entry {
        Entry { id: id.into(), timing: Timing { every_minutes: Some(minutes), ..Timing::default() }, last }
    }

    fn starts(entries: &[Entry], running: &[&str], most: usize, now: i64) -> Vec<String> {
        due(entries, &running.iter().map(|id| (*id).to_owned()).collect(), most, now).start
    }

    #[test]
    fn a_new_job_waits_for_its_time() {
        let due = due(&[every("a", 10, None)], &BTreeSet::new(), 2, 5_000);
        assert_eq!((due.start, due.new), (Vec::new(), vec!["a".to_owned()]));
    }

    #[test]
    fn missed_runs_are_caught_up_once() {
        let mut job = every("a", 10, Some(0));
        let mut begun = Vec::new();
        // Down until 10,000; then a look each 60 seconds.
        for at in (10_000..12_000).step_by(60) {
            if !starts(std::slice::from_ref(&job), &[], 1, at).is_empty() {
                begun.push(at);
                job.last = Some(at);
            }
        }
        assert_eq!(begun, [10_000, 10_240, 10_840, 11_440]);
    }

    #[test]
    fn none_beside_itself_and_no_more_than_allowed() {
        let jobs = [every("a", 10, Some(0)), every("b", 10, Some(0)), every("c", 5, Some(0))];
        assert_eq!(starts(&jobs, &[], 2, 700), ["c", "a"], "the longest due first");
        assert_eq!(starts(&jobs, &["c"], 2, 700), ["a"]);
        assert!(starts(&jobs, &["a", "c"], 2, 700).is_empty());
        assert_eq!(starts(&jobs, &["a", "c"], 3, 700), ["b"]);
        assert!(starts(&jobs, &["a", "b", "c"], 9, 700).is_empty());
    }

    #[test]
    fn continuous_jobs_take_no_place_and_begin_again() {
        let timing = Timing { continuous: true, ..Timing::default() };
        let job = |last| Entry { id: "idle".into(), timing: timing.clone(), last };
        assert_eq!(starts(&[job(None), every("a", 1, Some(0))], &[], 1, 100), ["a", "idle"]);
        assert_eq!(starts(&[job(Some(0)), every("a", 1, Some(0))], &["idle"], 1, 100), ["a"]);
        assert!(starts(&[job(Some(80))], &[], 1, 80 + AGAIN_SECS - 1).is_empty());
        assert_eq!(starts(&[job(Some(80))], &[], 1, 80 + AGAIN_SECS), ["idle"]);
        let paused = Entry { timing: Timing { paused: true, ..timing.clone() }, ..job(None) };
        assert!(starts(&[paused], &[], 1, 100).is_empty());
    }

    #[test]
    fn a_clock_that_was_set_back() {
        assert_eq!(starts(&[every("a", 10, Some(1_000_000))], &[], 1, 5_000), Vec::<String>::new());
        let mut job = every("a", 10, Some(1_000_000));
        job.last = Some(5_000);
        assert_eq!(starts(&[job], &[], 1, 5_400), ["a"]);
    }
}
