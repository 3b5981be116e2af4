//! What a connection waits for, and how long: input, a change, its turn, the times a client has.
//!
//! Invariant: whoever waits here holds no thread, reads ahead only up to a bound, and hears when the server stops.

use super::connection::{MAX_AHEAD, fill};
use super::told::Told;
use super::wire::Wire;
use crate::Settings;
use crate::queue::{Queue, Turn};
use crate::session::{Next, Session};
use std::io;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

/// Writes all of it, in the time that a client has for that.
pub(super) async fn write<W: tokio::io::AsyncWrite + Unpin>(
    stream: &mut W,
    unsent: &mut Vec<u8>,
    limit: Duration,
) -> io::Result<()> {
    if unsent.is_empty() {
        return Ok(());
    }
    timeout(limit, async {
        stream.write_all(unsent).await?;
        stream.flush().await
    })
    .await
    .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, NOT_READ))??;
    *unsent = Vec::new();
    Ok(())
}

/// What the error of a client that doesn't read says; the system's own timeouts say something else.
pub(super) const NOT_READ: &str = "the client does not read";

/// How waiting ended.
pub(super) enum Waited<T> {
    /// It was worth it.
    Turn(T),
    /// The client has gone.
    Gone,
    /// The server stops.
    Stop,
}

/// Waits for something while the client may send more or go.
pub(super) async fn meanwhile<T>(
    stream: &mut Wire,
    ahead: &mut Vec<u8>,
    stop: &mut watch::Receiver<bool>,
    wanted: impl Future<Output = T>,
) -> Waited<T> {
    tokio::pin!(wanted);
    loop {
        tokio::select! {
            biased;
            () = super::stopped(stop) => return Waited::Stop,
            got = &mut wanted => return Waited::Turn(got),
            got = fill(stream, ahead), if ahead.len() < MAX_AHEAD => {
                if !matches!(got, Ok(n) if n > 0) {
                    return Waited::Gone;
                }
            }
        }
    }
}

/// Waits until the user may search, telling the client that it waits.
pub(super) async fn turn(
    stream: &mut Wire,
    ahead: &mut Vec<u8>,
    queue: &Queue,
    user: &str,
    told: &mut Told,
    stop: &mut watch::Receiver<bool>,
    limit: Duration,
) -> io::Result<Waited<Turn>> {
    let mut turn = queue.enter(user);
    loop {
        let next = async {
            tokio::select! {
                biased;
                turn = &mut turn => Some(turn),
                () = tokio::time::sleep_until(told.due()) => None,
            }
        };
        match meanwhile(stream, ahead, stop, next).await {
            Waited::Turn(Some(Ok(turn))) => return Ok(Waited::Turn(turn)),
            Waited::Turn(Some(Err(_))) => return Err(io::Error::other("the queue has gone")),
            Waited::Turn(None) => write(stream, &mut told.line(), limit).await?,
            Waited::Gone => return Ok(Waited::Gone),
            Waited::Stop => return Ok(Waited::Stop),
        }
    }
}

/// Why waiting for input ended.
pub(super) enum Wake {
    Input,
    Gone,
    Changes,
    KeepAlive,
    Late,
    Stop,
}

/// Waits for input; in IDLE, and after NOTIFY, also for changes of folders and rights.
pub(super) async fn input(
    stream: &mut Wire,
    ahead: &mut Vec<u8>,
    next: Next,
    stop: &mut watch::Receiver<bool>,
    changes: &mut watch::Receiver<u64>,
    clock: &mut Clock,
) -> io::Result<Wake> {
    let idle = next == Next::Idle;
    tokio::select! {
        biased;
        () = super::stopped(stop) => Ok(Wake::Stop),
        got = fill(stream, ahead) => Ok(if got? == 0 { Wake::Gone } else { Wake::Input }),
        () = tokio::time::sleep_until(clock.deadline()) => Ok(Wake::Late),
        changed = changes.changed(), if idle || next == Next::Watch => {
            // The sender lives as long as the server.
            if changed.is_err() { Ok(Wake::Stop) } else { Ok(Wake::Changes) }
        }
        () = tokio::time::sleep(clock.keepalive), if idle || next == Next::Watch => Ok(Wake::KeepAlive),
    }
}

/// The times a client has: to log in, to finish a command, and to say anything at all.
pub(super) struct Clock {
    login: Option<Instant>,
    login_limit: Duration,
    command: Option<Instant>,
    idle: Instant,
    commands: u64,
    command_limit: Duration,
    idle_limit: Duration,
    keepalive: Duration,
}

impl Clock {
    pub(super) fn new(opened: Instant, settings: &Settings) -> Clock {
        let idle_limit = Duration::from_secs(settings.idle_timeout_secs);
        let login_limit = Duration::from_secs(settings.login_timeout_secs);
        Clock {
            login: Some(opened + login_limit),
            login_limit,
            command: None,
            idle: Instant::now() + idle_limit,
            commands: 0,
            command_limit: Duration::from_secs(settings.command_timeout_secs),
            idle_limit,
            keepalive: Duration::from_secs(settings.idle_keepalive_secs),
        }
    }

    /// Looks at the session before its next input is awaited.
    pub(super) fn note(&mut self, session: &Session) {
        let now = Instant::now();
        // Who has logged out has as much time as one who has just come.
        self.login = match (session.user.is_some(), self.login) {
            (true, _) => None,
            (false, None) => Some(now + self.login_limit),
            (false, running) => running,
        };
        if session.commands() != self.commands {
            self.commands = session.commands();
            self.idle = now + self.idle_limit;
            self.command = None;
        }
        // The time counts from a command's first byte, not from each of them.
        self.command = match (session.is_partial(), self.command) {
            (true, None) => Some(now + self.command_limit),
            (true, running) => running,
            (false, _) => None,
        };
    }

    fn deadline(&self) -> Instant {
        [self.login, self.command].into_iter().flatten().fold(self.idle, Instant::min)
    }
}
