//! What the server does by itself: it verifies a slice of the archive at intervals.
//!
//! Invariant: which slice is due follows from the time alone, so that restarts skip none and repeat none that came to its end.

use crate::data::Installation;
use std::sync::Arc;
use std::time::Duration;
use storage::{Cancel, Slice, VerifyOptions};
use time::OffsetDateTime;
use tokio::sync::watch;

/// How often it looks whether something is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Damages that a run writes to the log, at most; `verify --last` has all.
const MAX_LOGGED: usize = 100;

/// Works until `stop` turns true.
pub(crate) async fn run(installation: Arc<Installation>, mut stop: watch::Receiver<bool>) {
    let conf = &installation.conf.verify;
    let (every, of) = (i64::from(conf.every_hours) * 3_600, conf.slices);
    if every == 0 {
        return;
    }
    loop {
        let now = OffsetDateTime::now_utc().unix_timestamp();
        if let Some(slice) = due(&installation, now, every, of) {
            let cancel = Cancel::default();
            let work = tokio::task::spawn_blocking({
                let (installation, cancel) = (Arc::clone(&installation), cancel.clone());
                move || verify(&installation, slice, &cancel)
            });
            tokio::pin!(work);
            let ended = tokio::select! {
                ended = &mut work => ended,
                () = told(&mut stop) => {
                    cancel.set();
                    work.await
                }
            };
            if let Err(error) = ended {
                tracing::error!(%error, "verifying broke");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = told(&mut stop) => return,
        }
    }
}

/// Waits until the server is to stop, or nobody could say so any more.
pub(crate) async fn told(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|&stop| stop).await);
}

/// The slice of this stretch of time, and when that began.
fn slice_of(now: i64, every: i64, of: u32) -> (u32, i64) {
    let number = now.div_euclid(every);
    let part = u32::try_from(number.rem_euclid(i64::from(of.max(1)))).unwrap_or(0) + 1;
    (part, number * every)
}

/// The slice that is due; none once it, or everything, was verified in this stretch of time.
fn due(installation: &Installation, now: i64, every: i64, of: u32) -> Option<Slice> {
    let (part, since) = slice_of(now, every, of);
    let last = match installation.storage.last_verify() {
        Ok(last) => last.map(|(report, _)| report),
        Err(error) => {
            tracing::warn!(%error, "what was verified last can't be read");
            None
        }
    };
    let done = last.is_some_and(|last| {
        let same = last.slice.is_none_or(|slice| slice == (part, of));
        last.started >= since && same
    });
    if done { None } else { Slice::new(part, of) }
}

fn verify(installation: &Installation, slice: Slice, cancel: &Cancel) {
    // One thread: nobody waits for it.
    let options = VerifyOptions { slice, threads: 1, ..VerifyOptions::default() };
    let mut logged = 0;
    let done = installation.storage.verify(&options, cancel, &mut |_| (), &mut |damage| {
        logged += 1;
        if logged <= MAX_LOGGED {
            tracing::error!(
                store = damage.store,
                damage = damage.to_string().escape_debug().to_string(),
                "damaged"
            );
        }
    });
    match done {
        Ok(report) if report.damaged > 0 => tracing::error!(
            damaged = report.damaged,
            slice = slice.part,
            of = slice.of,
            "the archive is damaged; mailkeep verify --last names what"
        ),
        Ok(report) => tracing::info!(
            messages = report.messages,
            records = report.records,
            slice = slice.part,
            of = slice.of,
            "verified, no damage"
        ),
        Err(storage::Error::Cancelled) => {}
        Err(error) => tracing::error!(%error, "verifying could not be done"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slice_has_its_day() {
        let day = 86_400;
        let parts: Vec<u32> = (0..6).map(|n| slice_of(n * day + 77, day, 4).0).collect();
        assert_eq!(parts, [1, 2, 3, 4, 1, 2]);
        assert_eq!(slice_of(5 * day - 1, day, 4), (1, 4 * day));
        assert_eq!(slice_of(-1, day, 4).1, -day);
        assert_eq!(slice_of(123, 3_600, 1).0, 1);
    }
}
