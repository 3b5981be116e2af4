//! Between a client and a server: what the server sends is counted, and a connection ends after as many bytes of it as a test wants.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that are passed on at once.
const PIECE: usize = 4 << 10;

/// A running proxy; it takes no connection any more once it is dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Where clients connect.
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    passed: AtomicU64,
    closed: AtomicBool,
    /// The server's bytes until the connection ends that carries the last of them.
    cut: Mutex<Option<u64>>,
    /// With the cut the network is gone: no connection is passed on any more.
    for_good: AtomicBool,
    down: AtomicBool,
    refused: AtomicU64,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.address));
    }
}

impl Proxy {
    /// Starts one before a server.
    /// # Errors
    /// No port.
    pub fn start(server: SocketAddr) -> crate::Result<Proxy> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let all = Arc::clone(&shared);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if all.closed.load(Ordering::SeqCst) {
                    return;
                }
                if all.down.load(Ordering::SeqCst) {
                    all.refused.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                let shared = Arc::clone(&all);
                std::thread::spawn(move || {
                    if let Ok(server) = TcpStream::connect(server) {
                        // Either side may hang up: that ends the other too.
                        pass(&client, &server, &shared).ok();
                        server.shutdown(Shutdown::Both).ok();
                    }
                    client.shutdown(Shutdown::Both).ok();
                });
            }
        });
        Ok(Proxy { address, shared })
    }

    /// Bytes that came from the server so far, in all connections.
    #[must_use]
    pub fn passed(&self) -> u64 {
        self.shared.passed.load(Ordering::SeqCst)
    }

    /// The connection ends that carries the server's byte of this number from now on (from 0); that byte isn't passed on.
    pub fn cut_after(&self, bytes: u64) {
        *self.shared.cut.lock().unwrap_or_else(PoisonError::into_inner) = Some(bytes);
    }

    /// As [`Proxy::cut_after`], and from then on every new connection ends at once, until [`Proxy::up`].
    pub fn down_after(&self, bytes: u64) {
        self.shared.for_good.store(true, Ordering::SeqCst);
        self.cut_after(bytes);
    }

    /// Connections that ended at once.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.shared.refused.load(Ordering::SeqCst)
    }

    /// Connections are passed on again.
    pub fn up(&self) {
        self.shared.for_good.store(false, Ordering::SeqCst);
        self.shared.down.store(false, Ordering::SeqCst);
    }

    /// Whether the connection that was to be cut was.
    #[must_use]
    pub fn was_cut(&self) -> bool {
        self.shared.cut.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

fn pass(client: &TcpStream, server: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut up, mut to_server) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || {
        std::io::copy(&mut up, &mut to_server).ok();
        to_server.shutdown(Shutdown::Both).ok();
    });
    let (mut from, mut to) = (server, client);
    let mut piece = [0; PIECE];
    loop {
        let read = from.read(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        let (most, ends) = {
            let mut cut = shared.cut.lock().unwrap_or_else(PoisonError::into_inner);
            match *cut {
                Some(left) if left < read as u64 => {
                    *cut = None;
                    shared.down.store(shared.for_good.load(Ordering::SeqCst), Ordering::SeqCst);
                    (usize::try_from(left).unwrap_or(read), true)
                }
                Some(left) => {
                    *cut = Some(left - read as u64);
                    (read, false)
                }
                None => (read, false),
            }
        };
        to.write_all(piece.get(..most).unwrap_or(&piece))?;
        shared.passed.fetch_add(most as u64, Ordering::SeqCst);
        if ends {
            return Ok(());
        }
    }
}
