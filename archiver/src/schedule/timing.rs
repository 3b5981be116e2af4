//! When something runs: cron expressions and "every n minutes", in a time zone, spread by a jitter; or all the time.
//!
//! Invariant: pure functions of a time that is given. The jitter of an occurrence follows from the job's name and the occurrence alone,
//! so that a restart changes no time.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Longest cron expression and name of a zone, bytes.
const MAX_TEXT_BYTES: usize = 200;
/// Most minutes between two runs: a year.
const MAX_MINUTES: u32 = 525_600;
/// Most minutes that a run is put off: a day.
const MAX_JITTER_MINUTES: u32 = 1_440;

/// When something runs by itself: one of `cron`, `every-minutes`, `continuous`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Timing {
    /// Minute, hour, day of month, month, day of week; also @daily and the like.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cron: Option<String>,
    /// Every so many minutes, counted from midnight of 1970-01-01 (UTC).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_minutes: Option<u32>,
    /// The zone that a cron expression is meant in, as `Europe/Berlin`; none: the machine's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Put off by up to so many minutes, each time by others, so that not all come at once.
    #[serde(skip_serializing_if = "is_zero")]
    pub jitter_minutes: u32,
    /// All the time: new mail is archived as it comes.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub continuous: bool,
    /// The schedule begins nothing; who asks for a run gets it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl Timing {
    /// What makes no sense in it.
    #[must_use]
    pub fn nonsense(&self) -> Option<String> {
        let kinds = [self.cron.is_some(), self.every_minutes.is_some(), self.continuous];
        if kinds.into_iter().filter(|given| *given).count() != 1 {
            return Some("a schedule is one of cron, every-minutes, continuous".into());
        }
        if let Some(text) = &self.cron
            && let Err(what) = cron(text)
        {
            return Some(format!("schedule.cron: {what}"));
        }
        if self.every_minutes.is_some_and(|minutes| !(1..=MAX_MINUTES).contains(&minutes)) {
            return Some(format!("schedule.every-minutes can be 1 to {MAX_MINUTES}"));
        }
        if self.jitter_minutes > MAX_JITTER_MINUTES {
            return Some(format!("schedule.jitter-minutes can be 0 to {MAX_JITTER_MINUTES}"));
        }
        if let Some(name) = &self.zone
            && (name.len() > MAX_TEXT_BYTES || TimeZone::get(name).is_err())
        {
            let shown: String = name.chars().take(50).collect();
            return Some(format!("schedule.zone: {shown:?} is no time zone such as Europe/Berlin"));
        }
        None
    }

    /// The next time after `after` at which `job` runs, jitter included; none: never, or all the time. Seconds since 1970.
    #[must_use]
    pub fn next(&self, after: i64, job: &str) -> Option<i64> {
        // An occurrence that was put off beyond `after` is still to come.
        let earliest = after.saturating_sub(i64::from(self.jitter_minutes) * 60);
        let mut planned = self.occurrence(earliest)?;
        for _ in 0..=self.jitter_minutes {
            let due = planned.saturating_add(self.jitter(planned, job));
            if due > after {
                return Some(due);
            }
            planned = self.occurrence(planned)?;
        }
        Some(planned.saturating_add(self.jitter(planned, job)))
    }

    /// The next planned time after `after`, without jitter.
    fn occurrence(&self, after: i64) -> Option<i64> {
        if let Some(minutes) = self.every_minutes {
            let step = i64::from(minutes.max(1)) * 60;
            return Some((after.div_euclid(step) + 1) * step);
        }
        let pattern = cron(self.cron.as_deref()?).ok()?;
        let zone = match &self.zone {
            Some(name) => TimeZone::get(name).ok()?,
            None => TimeZone::system(),
        };
        let from = Timestamp::from_second(after).ok()?.to_zoned(zone);
        Some(pattern.find_next_occurrence(&from, false).ok()?.timestamp().as_second())
    }

    /// By how much this occurrence is put off, seconds.
    fn jitter(&self, planned: i64, job: &str) -> i64 {
        let most = u64::from(self.jitter_minutes) * 60;
        let mut hash = Sha256::new();
        hash.update(job.as_bytes());
        hash.update(planned.to_be_bytes());
        let mut bytes = [0; 8];
        for (byte, from) in bytes.iter_mut().zip(hash.finalize()) {
            *byte = from;
        }
        i64::try_from(u64::from_be_bytes(bytes) % (most + 1)).unwrap_or(0)
    }

    /// For people: `cron "0 2 * * *" Europe/Berlin`.
    #[must_use]
    pub fn words(&self) -> String {
        let mut words = match (&self.cron, self.every_minutes, self.continuous) {
            (Some(cron), _, _) => format!("cron {cron:?}"),
            (None, Some(minutes), _) => format!("every {minutes} minutes"),
            (None, None, true) => "continuous".to_owned(),
            (None, None, false) => "never".to_owned(),
        };
        if let Some(zone) = &self.zone {
            words.push_str(&format!(" {zone}"));
        }
        if self.jitter_minutes > 0 {
            words.push_str(&format!(", up to {} minutes later", self.jitter_minutes));
        }
        if self.paused {
            words.push_str(", paused");
        }
        words
    }
}

fn cron(text: &str) -> Result<Cron, String> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(format!("longer than {MAX_TEXT_BYTES} bytes"));
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(text).map_err(|error| format!("{text:?}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    fn cron_in(cron: &str, zone: &str) -> Timing {
        Timing { cron: Some(cron.into()), zone: Some(zone.into()), ..Timing::default() }
    }

    #[test]
    fn cron_in_a_zone_and_over_changes_of_clocks() {
        let daily = cron_in("30 2 * * *", "Europe/Berlin");
        assert_eq!(daily.nonsense(), None);
        assert_eq!(daily.next(at("2026-01-10T12:00:00Z"), "x"), Some(at("2026-01-11T01:30:00Z")));
        assert_eq!(daily.next(at("2026-07-10T12:00:00Z"), "x"), Some(at("2026-07-11T00:30:00Z")));
        // On 2026-03-29 there is no 2:30; on 2026-10-25 there are two, and it runs once.
        let spring = daily.next(at("2026-03-28T12:00:00Z"), "x").unwrap();
        assert!((at("2026-03-29T00:30:00Z")..=at("2026-03-29T02:00:00Z")).contains(&spring), "{spring}");
        let first = daily.next(at("2026-10-24T12:00:00Z"), "x").unwrap();
        let second = daily.next(first, "x").unwrap();
        assert_eq!(second, at("2026-10-26T01:30:00Z"));
        let weekdays = cron_in("0 9 * * MON-FRI", "UTC");
        assert_eq!(weekdays.next(at("2026-11-20T09:00:00Z"), "x"), Some(at("2026-11-23T09:00:00Z")));
        assert_eq!(
            cron_in("@monthly", "UTC").next(at("2026-11-20T09:00:00Z"), "x"),
            Some(at("2026-12-01T00:00:00Z"))
        );
        assert_eq!(cron_in("0 0 30 2 *", "UTC").next(0, "x"), None, "a day that never comes");
    }

    #[test]
    fn every_n_minutes_and_jitter() {
        let ten = Timing { every_minutes: Some(10), ..Timing::default() };
        assert_eq!(
            (ten.next(0, "x"), ten.next(599, "x"), ten.next(600, "x")),
            (Some(600), Some(600), Some(1_200))
        );
        let spread = Timing { jitter_minutes: 5, ..ten.clone() };
        let mut late = std::collections::BTreeSet::new();
        for job in ["a", "b", "c", "d"] {
            let mut now = 300;
            for n in 1..50 {
                let due = spread.next(now, job).unwrap();
                let planned = n * 600;
                assert!((planned..=planned + 300).contains(&due), "{job} {n}: {due}");
                assert_eq!(spread.next(now, job), Some(due), "the same again");
                late.insert(due - planned);
                now = due;
            }
        }
        assert!(late.len() > 50, "{late:?}");
        // More jitter than there is between two runs: times still rise, and none is in the past.
        let wild = Timing { jitter_minutes: 60, ..ten };
        let mut now = 0;
        for _ in 0..100 {
            let due = wild.next(now, "x").unwrap();
            assert!(due > now);
            now = due;
        }
        assert_eq!(Timing { continuous: true, ..Timing::default() }.next(0, "x"), None);
    }

    #[test]
    fn what_makes_no_sense() {
        let good = |timing: &Timing| timing.nonsense().is_none();
        let every = |minutes| Timing { every_minutes: Some(minutes), ..Timing::default() };
        assert!(
            good(&every(1))
                && good(&every(MAX_MINUTES))
                && !good(&every(0))
                && !good(&every(MAX_MINUTES + 1))
        );
        let jitter = |jitter_minutes| Timing { jitter_minutes, ..every(1) };
        assert!(good(&jitter(MAX_JITTER_MINUTES)) && !good(&jitter(MAX_JITTER_MINUTES + 1)));
        assert!(!good(&Timing::default()) && !good(&Timing { continuous: true, ..every(1) }));
        for bad in ["", "* * * *", "* * * * * *", "61 * * * *", "nonsense", &"*".repeat(201)] {
            assert!(!good(&cron_in(bad, "UTC")), "{bad}");
        }
        assert!(good(&cron_in("*/5 * * * *", "UTC")) && !good(&cron_in("* * * * *", "Mars/Olympus")));
        let list = |bytes: usize| cron_in(&format!("{} * * * *", "0,".repeat((bytes - 9) / 2) + "0"), "UTC");
        assert!(
            list(199).cron.as_ref().is_some_and(|text| text.len() <= MAX_TEXT_BYTES)
                && good(&list(199))
                && !good(&list(203))
        );
    }

    #[test]
    fn words() {
        let timing = Timing { jitter_minutes: 3, paused: true, ..cron_in("0 2 * * *", "UTC") };
        assert_eq!(timing.words(), "cron \"0 2 * * *\" UTC, up to 3 minutes later, paused");
    }
}
