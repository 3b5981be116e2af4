//! Sockets: listeners, accepting, and the end of the server. The only room of this crate that knows them.
//!
//! Invariant: every connection's task is known here, so that `run` returns only when all of them have ended.

mod connection;
mod deflate;
mod proxy;
mod told;
mod waits;
mod wire;

use crate::Settings;
use crate::gate::Gate;
use crate::queue::Queue;
use crate::session::World;
use crate::watch::{Watch, figures};
use auth::Auth;
use connection::{Line, Shared};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use storage::Storage;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_rustls::rustls::ServerConfig;

/// Time that sessions get to say BYE when the server stops. Whoever reads hears it in less; a client that doesn't read, in the
/// midst of an answer or not, loses nothing by a dropped connection that it would have got from a longer wait.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after a failed accept (no descriptors left): the next try would fail at once as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Failed accepts that make a line in the log: the first, then one in so many.
const LOG_ONE_IN: u32 = 100;
/// Connections over a limit that are told so at once; further ones are closed without a word.
const FAREWELLS: usize = 64;

/// Listeners that somebody else has bound for us (socket activation).
#[derive(Debug, Default)]
pub struct Inherited {
    /// Without TLS at first.
    pub imap: Vec<std::net::TcpListener>,
    /// With TLS from the start.
    pub imaps: Vec<std::net::TcpListener>,
}

/// Bound listeners, not yet serving.
pub struct Server {
    imap: Vec<TcpListener>,
    imaps: Vec<TcpListener>,
    addresses: (Vec<SocketAddr>, Vec<SocketAddr>),
    world: Arc<World>,
    pulse: (mpsc::Sender<oneshot::Sender<()>>, mpsc::Receiver<oneshot::Sender<()>>),
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// Asks a running server whether it still answers.
#[derive(Debug, Clone)]
pub struct Pulse {
    world: Arc<World>,
    asks: mpsc::Sender<oneshot::Sender<()>>,
}

impl Pulse {
    /// Whether connections are accepted, threads for sessions are to be had, and the databases can be read. Waits as long as
    /// that takes: give it a time.
    pub async fn is_there(&self) -> bool {
        let (answer, answered) = oneshot::channel();
        if self.asks.send(answer).await.is_err() || answered.await.is_err() {
            return false;
        }
        let world = Arc::clone(&self.world);
        let reads = tokio::task::spawn_blocking(move || {
            let stores = world.storage.stores().len();
            // A name that nobody can have: the table is read all the same.
            !world.auth.may_read("/", "/") && stores > 0
        });
        reads.await.unwrap_or(false)
    }
}

impl Server {
    /// Binds all listeners (port 0: any free one).
    /// # Errors
    /// The first address that can't be bound.
    pub async fn bind(
        settings: Settings,
        tls: Arc<ServerConfig>,
        storage: Storage,
        auth: Auth,
    ) -> std::io::Result<Server> {
        Server::bind_with(settings, Inherited::default(), tls, storage, auth).await
    }

    /// As [`Server::bind`], with listeners that are bound already in place of the settings' addresses, if there are any.
    /// # Errors
    /// The first address that can't be bound.
    pub async fn bind_with(
        settings: Settings,
        inherited: Inherited,
        tls: Arc<ServerConfig>,
        storage: Storage,
        auth: Auth,
    ) -> std::io::Result<Server> {
        let ((imap, plain_addresses), (imaps, tls_addresses)) =
            if inherited.imap.is_empty() && inherited.imaps.is_empty() {
                (listen(&settings.imap).await?, listen(&settings.imaps).await?)
            } else {
                (adopt(inherited.imap)?, adopt(inherited.imaps)?)
            };
        let watch = Watch::new(tls);
        Ok(Server {
            imap,
            imaps,
            addresses: (plain_addresses, tls_addresses),
            world: Arc::new(World { settings, storage, auth, watch }),
            pulse: mpsc::channel(1),
        })
    }

    /// The addresses that were bound: (plain, TLS), in the settings' order.
    #[must_use]
    pub fn addresses(&self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        self.addresses.clone()
    }

    /// What can be watched and changed while it runs.
    #[must_use]
    pub fn watch(&self) -> Watch {
        self.world.watch.clone()
    }

    /// Whom to ask whether it answers, once it runs.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        Pulse { world: Arc::clone(&self.world), asks: self.pulse.0.clone() }
    }

    /// Serves until `stop` turns true; then every session gets `* BYE` and is closed, and this returns (about 2 s later at most).
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let (changed, changes) = watch::channel(0u64);
        let count = |sender: &watch::Sender<u64>| sender.send_modify(|n| *n = n.wrapping_add(1));
        let changed = Arc::new(changed);
        let (granted, rights) = watch::channel(0_u64);
        let of_rights = self.world.auth.subscribe({
            let changed = Arc::clone(&changed);
            move || {
                count(&granted);
                count(&changed);
            }
        });
        let subscription = self.world.storage.subscribe(move |_| count(&changed));
        let settings = &self.world.settings;
        let shared = Shared {
            gate: Gate::new(settings),
            queue: Queue::new(settings.max_searches),
            steps: Arc::new(Semaphore::new(settings.max_at_work.max(1))),
            logins: Arc::new(Semaphore::new(self.world.auth.parallel_hashes())),
            farewells: Arc::new(Semaphore::new(FAREWELLS)),
            stop: stop.clone(),
            changes,
            rights,
            world: self.world,
        };
        let mut accepting = JoinSet::new();
        let mut beats = Vec::new();
        for (listener, line) in self
            .imap
            .into_iter()
            .map(|l| (l, Line::Plain))
            .chain(self.imaps.into_iter().map(|l| (l, Line::Tls)))
        {
            let (beat, beaten) = mpsc::channel(1);
            beats.push(beat);
            accepting.spawn(accept(listener, line, shared.clone(), beaten));
        }
        let asked = tokio::spawn(answer(self.pulse.1, beats));
        while accepting.join_next().await.is_some() {}
        asked.abort();
        drop((subscription, of_rights));
    }
}

/// Passes each question on to all that accept, and answers when all have.
async fn answer(
    mut asks: mpsc::Receiver<oneshot::Sender<()>>,
    beats: Vec<mpsc::Sender<oneshot::Sender<()>>>,
) {
    while let Some(ask) = asks.recv().await {
        let mut well = true;
        for beat in &beats {
            let (answer, answered) = oneshot::channel();
            well = well && beat.send(answer).await.is_ok() && answered.await.is_ok();
        }
        if well && ask.send(()).is_err() {
            tracing::debug!("nobody waited for the answer to whether the server answers");
        }
    }
}

/// Waits until the server is to stop; a sender that is gone means that too.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if let Err(error) = stop.wait_for(|&s| s).await.map(|_| ()) {
        tracing::debug!(%error, "whoever could stop the server is gone");
    }
}

async fn listen(addresses: &[SocketAddr]) -> std::io::Result<(Vec<TcpListener>, Vec<SocketAddr>)> {
    let mut listeners = Vec::new();
    let mut bound = Vec::new();
    for address in addresses {
        let listener = TcpListener::bind(address)
            .await
            .map_err(|e| std::io::Error::new(e.kind(), format!("{address}: {e}")))?;
        bound.push(listener.local_addr()?);
        listeners.push(listener);
    }
    Ok((listeners, bound))
}

fn adopt(inherited: Vec<std::net::TcpListener>) -> std::io::Result<(Vec<TcpListener>, Vec<SocketAddr>)> {
    let mut listeners = Vec::new();
    let mut bound = Vec::new();
    for listener in inherited {
        listener.set_nonblocking(true)?;
        bound.push(listener.local_addr()?);
        listeners.push(TcpListener::from_std(listener)?);
    }
    Ok((listeners, bound))
}

/// Accepts until the server stops, then waits for the listener's connections.
async fn accept(
    listener: TcpListener,
    line: Line,
    shared: Shared,
    mut beats: mpsc::Receiver<oneshot::Sender<()>>,
) {
    let mut connections: JoinSet<()> = JoinSet::new();
    let mut stop = shared.stop.clone();
    let mut failed = 0_u32;
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    failed = 0;
                    connections.spawn(serve(stream, peer, line, shared.clone()));
                }
                Err(error) => {
                    figures::add(&shared.world.watch.figures().accept_errors, 1);
                    if failed.is_multiple_of(LOG_ONE_IN) {
                        tracing::warn!(%error, "a connection could not be accepted");
                    }
                    failed = failed.wrapping_add(1);
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "an IMAP connection ended by a fault of ours");
                }
            }
            Some(beat) = beats.recv() => {
                if beat.send(()).is_err() {
                    tracing::debug!("nobody waited for a sign of life");
                }
            }
        }
    }
    drop(listener);
    let all = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_TIMEOUT, all).await.is_err() {
        connections.shutdown().await;
    }
}

async fn serve(stream: TcpStream, peer: SocketAddr, line: Line, shared: Shared) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY was refused");
    }
    connection::serve(stream, peer, line, shared).await;
}
