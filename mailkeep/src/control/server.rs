//! The server's side of the socket.
//!
//! Invariant: a command runs on a thread of its own; its end is awaited before the connection is forgotten, so that
//! stopping the server leaves no command behind. What comes through the users' socket has a user, whoever sent it.

use super::login::{self, Login, Request};
use super::wire;
use crate::command::{self, Caller, Command, Context, Event, Failure, Kind};
use crate::data::Installation;
use anyhow::{Context as _, Result, anyhow, bail};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use storage::Cancel;
use tokio::io::{AsyncReadExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

/// Events between a command and its connection.
const QUEUE: usize = 64;
/// Time for the command's line to arrive.
const REQUEST_TIME: Duration = Duration::from_secs(10);
/// Time for a client to take an answer while the server stops.
const GRACE: Duration = Duration::from_secs(2);
/// Pause after a failed accept (no file descriptors left): others must end first.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// For whom a socket is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    /// The owner of DATA and root.
    Owner,
    /// Everybody on the machine; all must log in.
    Users,
}

/// The bound socket.
pub(crate) struct Control {
    listener: UnixListener,
    installation: Arc<Installation>,
    path: PathBuf,
    whose: For,
}

impl Control {
    /// Binds the socket; one that a dead server left is removed, since whoever has the installation has its lock.
    pub(crate) fn bind(installation: Arc<Installation>) -> Result<Control> {
        let path = installation.data.socket_file();
        Control::bind_at(installation, path, For::Owner)
    }

    /// Binds the users' socket, if one is set.
    pub(crate) fn bind_users(installation: Arc<Installation>) -> Result<Option<Control>> {
        let path = &installation.conf.control.users_socket;
        if path.as_os_str().is_empty() {
            return Ok(None);
        }
        let path = installation.data.resolve(path);
        // A path that somebody set must not cost them a file.
        if std::fs::symlink_metadata(&path).is_ok_and(|there| !there.file_type().is_socket()) {
            bail!("control.users_socket: {} is there and is no socket", path.display());
        }
        Control::bind_at(installation, path, For::Users).context("control.users_socket").map(Some)
    }

    fn bind_at(installation: Arc<Installation>, path: PathBuf, whose: For) -> Result<Control> {
        let shown = || path.display().to_string();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(shown);
            }
            _ => {}
        }
        let mode = match whose {
            For::Owner => 0o600,
            For::Users => 0o666,
        };
        let listener = listen(&path).with_context(shown)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).with_context(shown)?;
        Ok(Control { listener, installation, path, whose })
    }

    /// Serves until `stop` turns true; then running commands are cancelled and awaited, and the socket is removed.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(self.installation.conf.control.max_connections));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = told(&mut stop) => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => match places.clone().try_acquire_owned() {
                        Ok(place) => {
                            let (installation, stop) = (self.installation.clone(), stop.clone());
                            let whose = self.whose;
                            connections.spawn(async move {
                                if let Err(error) = serve(stream, installation, whose, stop).await {
                                    tracing::info!(error = format!("{error:#}"), "control connection ended");
                                }
                                drop(place);
                            });
                        }
                        Err(_) => tracing::warn!("too many control connections; one was turned away"),
                    },
                    Err(error) => {
                        tracing::warn!(%error, "control socket: accept failed");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = connections.join_next() => log_panic(ended),
            }
        }
        while let Some(ended) = connections.join_next().await {
            log_panic(ended);
        }
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the control socket could not be removed");
        }
    }
}

fn listen(path: &Path) -> Result<UnixListener> {
    let (address, _directory) = wire::address(path)?;
    Ok(UnixListener::bind(address)?)
}

/// Waits until the server is to stop, or nobody could say so any more.
async fn told(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|&stop| stop).await);
}

/// Waits until the server has been stopping for so long that slow readers are left behind.
async fn overdue(stop: &mut watch::Receiver<bool>) {
    told(stop).await;
    tokio::time::sleep(GRACE).await;
}

fn log_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a control connection broke");
    }
}

/// One connection: one command.
async fn serve(
    stream: UnixStream,
    installation: Arc<Installation>,
    whose: For,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let peer = stream.peer_cred().context("peer credentials")?.uid();
    let (read, mut write) = stream.into_split();
    let owner = installation.data.owner()?;
    if whose == For::Owner && peer != owner && peer != 0 {
        tracing::warn!(peer, "control connection of another user refused");
        let refusal = Failure::new(Kind::Denied, "only the owner of the data directory and root may do that");
        return wire::write_line(&mut write, &Event::Failure(refusal)).await;
    }
    let mut read = BufReader::new(read);
    let most = installation.conf.control.max_request_bytes;
    let command = match tokio::time::timeout(REQUEST_TIME, wire::read_line(&mut read, most)).await {
        Err(_) => bail!("no command came within {} s", REQUEST_TIME.as_secs()),
        Ok(Ok(None)) => return Ok(()),
        Ok(Ok(Some(line))) => serde_json::from_slice::<Request>(&line)
            .map_err(|error| Failure::usage(format!("the server does not understand the command: {error}"))),
        Ok(Err(error)) => Err(Failure::usage(format!("{error:#}"))),
    };
    let known = match command {
        Ok(Request { login, command }) => {
            let caller = tokio::select! {
                caller = caller(&installation, whose, peer, login) => caller,
                () = told(&mut stop) => Err(Failure::new(Kind::Cancelled, "the server stops")),
            };
            caller.map(|caller| (command, caller))
        }
        Err(failure) => Err(failure),
    };
    let (command, caller) = match known {
        Ok(known) => known,
        Err(failure) => return wire::write_line(&mut write, &Event::Failure(failure)).await,
    };
    let (events, received) = mpsc::channel(QUEUE);
    let cancel = Cancel::default();
    let work = tokio::task::spawn_blocking({
        let cancel = cancel.clone();
        move || start(&command, &installation, caller, cancel, events)
    });
    let relayed = relay(received, read, &mut write, &cancel, stop).await;
    work.await.context("the command broke")?;
    relayed
}

/// Who gives a command: on the owner's socket the machine's own people, unless they log in as somebody else.
async fn caller(
    installation: &Arc<Installation>,
    whose: For,
    peer: u32,
    login: Option<Login>,
) -> Result<Caller, Failure> {
    let (at, near) = match whose {
        For::Owner => ("socket".to_owned(), true),
        For::Users => (format!("users' socket, {}", crate::who::name(peer)), false),
    };
    let Some(login) = login else {
        return match whose {
            For::Owner => Ok(Caller::local(peer, &at)),
            For::Users => Err(Failure::new(Kind::Denied, "who are you? mailkeep --login NAME …")),
        };
    };
    let from = login::address_of(peer);
    let delay = login::delay(&installation.auth, &login, from)?;
    // Waited for before the password is looked at. Who goes meanwhile is looked at all the same, so that it counts.
    tokio::time::sleep(delay).await;
    let auth = installation.auth.clone();
    let checked = tokio::task::spawn_blocking(move || login::check(&auth, &login, from, at, near));
    checked.await.map_err(|error| Failure::from(anyhow::Error::from(error)))?
}

/// Runs a command and sends its end as the last event. Blocking.
pub(crate) fn start(
    command: &Command,
    installation: &Installation,
    caller: Caller,
    cancel: Cancel,
    events: mpsc::Sender<Event>,
) {
    let cx = Context { installation, caller, cancel, events, noted: Default::default() };
    let last = match command::run(command, &cx) {
        Ok(outcome) => Event::End(outcome),
        Err(failure) => Event::Failure(failure),
    };
    if cx.events.blocking_send(last).is_err() {
        tracing::info!("nobody waited for a command's end");
    }
}

/// Passes events on until the last one; cancels when the client closes its side or goes, or the server stops.
async fn relay(
    mut events: mpsc::Receiver<Event>,
    mut read: BufReader<OwnedReadHalf>,
    write: &mut OwnedWriteHalf,
    cancel: &Cancel,
    mut stop: watch::Receiver<bool>,
) -> Result<()> {
    let mut byte = [0u8; 1];
    loop {
        tokio::select! {
            event = events.recv() => match event {
                None => return Ok(()),
                Some(event) => {
                    let written = tokio::select! {
                        written = wire::write_line(write, &event) => written,
                        () = overdue(&mut stop) => Err(anyhow!("the server stops and the client does not read")),
                    };
                    if let Err(error) = written {
                        cancel.set();
                        return Err(error.context("the client went away"));
                    }
                }
            },
            // Whatever comes after the command, its end or more bytes, ends it.
            _ = read.read(&mut byte), if !cancel.is_set() => cancel.set(),
            () = told(&mut stop), if !cancel.is_set() => cancel.set(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_client_that_does_not_read_keeps_no_server_from_ending() {
        let (_client, server) = UnixStream::pair().unwrap();
        let (read, mut write) = server.into_split();
        // More than a socket's buffers hold, from a command that goes on.
        let (events, received) = mpsc::channel(QUEUE);
        for _ in 0..QUEUE {
            events.send(Event::Bytes(vec![0; 64 << 10])).await.unwrap();
        }
        let (_stop, stopped) = watch::channel(true);
        let cancel = Cancel::default();
        let relayed = relay(received, BufReader::new(read), &mut write, &cancel, stopped).await;
        assert!(relayed.is_err() && cancel.is_set());
        assert!(events.is_closed(), "the command is told");
    }

    #[tokio::test]
    async fn a_client_that_goes_away_cancels() {
        let (client, server) = UnixStream::pair().unwrap();
        let (read, mut write) = server.into_split();
        let (events, received) = mpsc::channel(QUEUE);
        let (_stop, stopped) = watch::channel(false);
        let cancel = Cancel::default();
        drop(client);
        let command = async {
            while !cancel.is_set() {
                tokio::task::yield_now().await;
            }
            drop(events);
        };
        let relayed = relay(received, BufReader::new(read), &mut write, &cancel, stopped);
        let (relayed, ()) = tokio::join!(relayed, command);
        assert!(relayed.is_ok());
    }
}
