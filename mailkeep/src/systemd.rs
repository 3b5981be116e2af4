//! systemd's side of a service: what it is told, the sockets that it opened, and the watchdog.
//!
//! Invariant: without systemd nothing of this does anything; the watchdog is fed only while the server answers.

use crate::upkeep::told;
use anyhow::{Context, Result, bail};
use imapd::{Inherited, Pulse};
use listenfd::ListenFd;
use rustix::io::{FdFlags, fcntl_setfd};
use sd_notify::NotifyState;
use std::time::Duration;
use tokio::sync::watch;

/// Tells systemd; that it can't be told is no reason to stop.
pub(crate) fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be told how the server is");
    }
}

/// All is bound and served.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Settings are being read again; [`ready`] ends it.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the system's clock can't be read"),
    }
}

/// It comes to its end.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("ending sessions and commands")]);
}

/// The listeners that systemd opened for us. `FileDescriptorName=` tells them apart: `imap` and `imaps`.
pub(crate) fn sockets() -> Result<Inherited> {
    let mut fds = ListenFd::from_env();
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut inherited = Inherited::default();
    for index in 0..fds.len() {
        let name = names.next().unwrap_or_default();
        let listener =
            fds.take_tcp_listener(index).with_context(|| format!("socket {index} from systemd"))?;
        let Some(listener) = listener else { continue };
        // Programs that are started, to read attachments say, have no business with it.
        fcntl_setfd(&listener, FdFlags::CLOEXEC)?;
        match name {
            "imap" => inherited.imap.push(listener),
            "imaps" => inherited.imaps.push(listener),
            _ => bail!(
                "systemd passed a socket named {name:?}: its unit needs FileDescriptorName=imap or =imaps"
            ),
        }
    }
    Ok(inherited)
}

/// Feeds the watchdog, if systemd wants it fed, at half of its time, as long as the server answers.
pub(crate) async fn watchdog(pulse: Pulse, mut stop: watch::Receiver<bool>) {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else { return };
    feed(pulse, limit, &mut stop, &|| tell(&[NotifyState::Watchdog])).await;
}

async fn feed(pulse: Pulse, limit: Duration, stop: &mut watch::Receiver<bool>, fed: &(dyn Fn() + Sync)) {
    let half = limit / 2;
    loop {
        match tokio::time::timeout(half, pulse.is_there()).await {
            Ok(true) => fed(),
            Ok(false) if *stop.borrow() => return,
            Ok(false) => tracing::error!("the server does not answer; the watchdog is not fed"),
            Err(_) => tracing::error!("the server did not answer in time; the watchdog is not fed"),
        }
        tokio::select! {
            () = tokio::time::sleep(half) => {}
            () = told(stop) => return,
        }
    }
}
