//! The kept schedule: what it refuses, and what it gives back.

use super::*;
use crate::profile::Kind;

fn schedule() -> Schedule {
    let db = crate::testing::in_memory();
    Schedule::open(Arc::new(db)).unwrap()
}

fn job(name: &str, task: Task) -> Job {
    Job { name: name.into(), task, timing: Timing { every_minutes: Some(5), ..Timing::default() } }
}

#[test]
fn jobs_and_profiles_with_their_last_times() {
    let schedule = schedule();
    schedule.set(&job("nightly", Task::Backup { dir: "/b".into() })).unwrap();
    schedule.set(&job("check", Task::Verify { slices: Some(30) })).unwrap();
    let mut profile = Profile::new("mail", Kind::Files);
    profile.schedule = Some(Timing { every_minutes: Some(1), ..Timing::default() });
    let profiles = [profile, Profile::new("other", Kind::Files)];
    schedule.began("profile mail", 77).unwrap();
    let all = schedule.jobs(&profiles).unwrap();
    let names: Vec<_> = all.iter().map(|(job, last)| (job.name.as_str(), *last)).collect();
    assert_eq!(names, [("check", None), ("nightly", None), ("profile mail", Some(77))]);
    schedule.began("check", 5).unwrap();
    schedule.set(&job("check", Task::Compact)).unwrap();
    let check = schedule.jobs(&[]).unwrap().remove(0);
    assert_eq!((check.0.task, check.1), (Task::Compact, None), "another job: its time counts anew");
    schedule.remove("check").unwrap();
    assert!(matches!(schedule.remove("check"), Err(Error::UnknownJob(_))));
}

#[test]
fn what_is_refused() {
    let schedule = schedule();
    let mut continuous = job("a", Task::Index);
    continuous.timing = Timing { continuous: true, ..Timing::default() };
    for bad in [
        job("", Task::Index),
        job("a b", Task::Index),
        job(&"x".repeat(MAX_NAME_BYTES + 1), Task::Index),
        job("a", Task::Backup { dir: "b".into() }),
        job("a", Task::Verify { slices: Some(0) }),
        job("a", Task::Verify { slices: Some(1_001) }),
        job("a", Task::Profile { name: "p".into() }),
        continuous,
    ] {
        assert!(schedule.set(&bad).is_err(), "{bad:?}");
    }
    schedule.set(&job(&"x".repeat(MAX_NAME_BYTES), Task::Verify { slices: Some(1_000) })).unwrap();
}

#[test]
fn a_thousand_jobs_at_most() {
    let schedule = schedule();
    let txn = schedule.write().unwrap();
    {
        let mut jobs = txn.open_table(JOBS).unwrap();
        for n in 1..MAX_JOBS {
            let job = job(&format!("j{n}"), Task::Index);
            jobs.insert(job.name.as_str(), encode(&job).unwrap().as_slice()).unwrap();
        }
    }
    txn.commit().unwrap();
    schedule.set(&job("last", Task::Index)).unwrap();
    schedule.set(&job("last", Task::Compact)).unwrap();
    assert!(schedule.set(&job("more", Task::Index)).is_err());
    assert_eq!(schedule.jobs(&[]).unwrap().len() as u64, MAX_JOBS);
}
