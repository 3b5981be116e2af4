//! Sockets: listeners, accepting, and the end of the server. The only room of this crate that knows them.
//!
//! Invariant: every connection's task is known here, so that `run` returns only when all of them have ended.

mod connection;
mod told;

use crate::Settings;
use crate::gate::Gate;
use crate::queue::Queue;
use crate::session::World;
use auth::Auth;
use connection::{Line, Shared};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use storage::Storage;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

/// Time that sessions get to say BYE when the server stops. Whoever reads hears it in less; a client that doesn't read, in the
/// midst of an answer or not, loses nothing by a dropped connection that it would have got from a longer wait.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after a failed accept (no descriptors left): the next try would fail at once as well.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Bound listeners, not yet serving.
pub struct Server {
    imap: Vec<TcpListener>,
    imaps: Vec<TcpListener>,
    addresses: (Vec<SocketAddr>, Vec<SocketAddr>),
    world: Arc<World>,
    tls: TlsAcceptor,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses).finish_non_exhaustive()
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
        let (imap, plain_addresses) = listen(&settings.imap).await?;
        let (imaps, tls_addresses) = listen(&settings.imaps).await?;
        Ok(Server {
            imap,
            imaps,
            addresses: (plain_addresses, tls_addresses),
            world: Arc::new(World { settings, storage, auth }),
            tls: TlsAcceptor::from(tls),
        })
    }

    /// The addresses that were bound: (plain, TLS), in the settings' order.
    #[must_use]
    pub fn addresses(&self) -> (Vec<SocketAddr>, Vec<SocketAddr>) {
        self.addresses.clone()
    }

    /// Serves until `stop` turns true; then every session gets `* BYE` and is closed, and this returns (about 2 s later at most).
    pub async fn run(self, stop: watch::Receiver<bool>) {
        let (changed, changes) = watch::channel(0u64);
        let subscription =
            self.world.storage.subscribe(move |_| changed.send_modify(|n| *n = n.wrapping_add(1)));
        let gate = Gate::new(&self.world.settings);
        let queue = Queue::new(self.world.settings.max_searches);
        let shared = Shared { world: self.world, gate, queue, tls: self.tls, stop: stop.clone(), changes };
        let mut accepting = JoinSet::new();
        for (listener, line) in self
            .imap
            .into_iter()
            .map(|l| (l, Line::Plain))
            .chain(self.imaps.into_iter().map(|l| (l, Line::Tls)))
        {
            accepting.spawn(accept(listener, line, shared.clone()));
        }
        while accepting.join_next().await.is_some() {}
        drop(subscription);
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

/// Accepts until the server stops, then waits for the listener's connections.
async fn accept(listener: TcpListener, line: Line, shared: Shared) {
    let mut connections: JoinSet<()> = JoinSet::new();
    let mut stop = shared.stop.clone();
    loop {
        tokio::select! {
            () = stopped(&mut stop) => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(serve(stream, peer, line, shared.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = connections.join_next(), if !connections.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "an IMAP connection ended by a fault of ours");
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
    // A connection's end by the network is nobody's fault and of no interest but when looking for one.
    if let Err(error) = connection::serve(stream, peer.ip().to_canonical(), line, shared).await {
        tracing::debug!(%error, %peer, "an IMAP connection broke");
    }
}
