//! The way to a command's work: in this process if nobody else has DATA, through the socket if a server has it.
//!
//! Invariant: the lock on DATA decides, and it alone; two processes never have an installation open at once.

use crate::command::{self, Caller, Command, Context, Event, Failure};
use crate::control::client;
use crate::control::login::{self, Request};
use crate::data::Data;
use anyhow::{Result, bail};
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};
use storage::Cancel;
use tokio::sync::{Notify, mpsc};

/// How long a command waits for another one that works in-process, or for a server that starts or ends.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time between two tries.
const PAUSE: Duration = Duration::from_millis(50);
/// Events between the command and the output.
const QUEUE: usize = 64;

/// Has the command done; its events arrive on the channel. `cancel` asks it to stop.
pub(crate) async fn send(
    data: &Data,
    request: Request,
    cancel: Arc<Notify>,
) -> Result<mpsc::Receiver<Event>> {
    data.owner()?;
    let begun = Instant::now();
    loop {
        // A server has the lock before it binds the socket, and removes the socket before it gives the lock back: a socket
        // beside a free lock is a dead server's.
        if let Some(lock) = data.try_lock()? {
            return Ok(here(data.clone(), lock, request, cancel));
        }
        if let Some(stream) = client::connect(&data.socket_file()).await? {
            return client::send(stream, &request, cancel).await;
        }
        if begun.elapsed() > PATIENCE {
            bail!(
                "another mailkeep command works on {} and has not ended within {} s; try again later",
                data.root().display(),
                PATIENCE.as_secs()
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Sends a command to a server's socket for everybody; DATA need not be reached.
pub(crate) async fn send_to(
    socket: &std::path::Path,
    request: &Request,
    cancel: Arc<Notify>,
) -> Result<mpsc::Receiver<Event>> {
    match client::connect(socket).await? {
        Some(stream) => client::send(stream, request, cancel).await,
        None => bail!(
            "{}: no server listens there; mailkeep serve, with users_socket in [control]",
            socket.display()
        ),
    }
}

/// Runs the command in this process; the last event comes after the index has committed and all is closed.
fn here(data: Data, lock: File, request: Request, cancel: Arc<Notify>) -> mpsc::Receiver<Event> {
    let (events, received) = mpsc::channel(QUEUE);
    let stop = Cancel::default();
    let asked = stop.clone();
    tokio::spawn(async move {
        cancel.notified().await;
        asked.set();
    });
    tokio::task::spawn_blocking(move || {
        let last = match work(&data, lock, &request, stop, events.clone()) {
            Ok(event) => event,
            Err(error) => Event::Failure(Failure::from(error)),
        };
        if events.blocking_send(last).is_err() {
            tracing::debug!("nobody waited for the command's end");
        }
    });
    received
}

fn work(
    data: &Data,
    lock: File,
    Request { login, command }: &Request,
    cancel: Cancel,
    events: mpsc::Sender<Event>,
) -> Result<Event> {
    let conf = data.conf()?;
    // What can't be opened any more can be made again: by the machine's own people, since no user may be known any more.
    if let (Command::StoreRebuild(rebuild), None) = (command, login) {
        return Ok(rebuild.offline(data, &lock, &conf, &cancel, &events).unwrap_or_else(Event::Failure));
    }
    let installation = data.open(lock, conf)?;
    let (uid, at) = (rustix::process::geteuid().as_raw(), "in-process");
    let caller = match login {
        None => Ok(Caller::local(uid, at)),
        Some(login) => login::check(&installation.auth, login, login::address_of(uid), at.to_owned(), true),
    };
    let end = caller.and_then(|caller| {
        let cx = Context { installation: &installation, caller, cancel, events, noted: Default::default() };
        command::run(command, &cx)
    });
    let end = match installation.close() {
        Ok(()) => end,
        Err(error) => Err(Failure::also(end, error.into())),
    };
    Ok(end.map_or_else(Event::Failure, Event::End))
}
