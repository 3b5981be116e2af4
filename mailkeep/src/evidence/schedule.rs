//! Heads at their times, while the server runs.
//!
//! Invariant: it holds nobody up: the work is on a thread of its own, which is told to stop when the server does and is not
//! waited for long.

use super::{check, round};
use crate::data::Installation;
use std::sync::Arc;
use std::time::Duration;
use storage::Cancel;
use tokio::sync::{oneshot, watch};

/// How often it looks whether a head is due.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How long the server's end waits for a round that is told to stop.
const GRACE: Duration = Duration::from_secs(1);

/// Compares the logs with what was recorded of them, then sends heads whenever they are due, until `stop` turns true.
pub(crate) async fn keep_sending(installation: Arc<Installation>, mut stop: watch::Receiver<bool>) {
    let cancel = Cancel::default();
    let mut first = true;
    loop {
        let (done, mut ended) = oneshot::channel();
        let work = {
            let (installation, cancel) = (Arc::clone(&installation), cancel.clone());
            move || {
                once(&installation, first, &cancel);
                if done.send(()).is_err() {
                    tracing::debug!("nobody waited for the evidence heads");
                }
            }
        };
        if let Err(error) = std::thread::Builder::new().name("evidence".into()).spawn(work) {
            tracing::error!(%error, "evidence heads can't be sent: no thread");
        }
        first = false;
        tokio::select! {
            _ = &mut ended => {}
            () = told(&mut stop) => {
                cancel.set();
                drop(tokio::time::timeout(GRACE, ended).await);
                return;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = told(&mut stop) => return,
        }
    }
}

fn once(installation: &Installation, first: bool, cancel: &Cancel) {
    if first {
        match check(installation, cancel) {
            Ok(alarms) => {
                for alarm in alarms {
                    tracing::error!(store = alarm.store, "EVIDENCE: {}", alarm.what);
                }
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "the evidence logs could not be compared");
            }
        }
    }
    if let Err(error) = round(installation, false, cancel)
        && !cancel.is_set()
    {
        tracing::error!(error = format!("{error:#}"), "evidence heads could not be recorded");
    }
}

/// Waits until the server is to stop, or nobody could say so any more.
async fn told(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|&stop| stop).await);
}
