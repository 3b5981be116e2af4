//! The connection to a directory's server, or to another IMAP server: TCP, TLS, and one limit of time for all that is done on it.
//!
//! Invariant: nothing waits past the moment that was set, whatever the peer drips; without TLS nothing goes to another machine
//! unless that is allowed by name; what came in the clear before TLS began is never believed.

use crate::trust::{self, Trust};
use rustls::{ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Addresses of a host that are tried.
const MAX_ADDRESSES: usize = 8;
/// Bytes that are read at once.
const PIECE: usize = 16 << 10;

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shield {
    /// TLS from the first byte.
    Tls,
    /// TLS by the protocol's own command.
    StartTls,
    /// None.
    Plain,
}

/// A server that passwords are asked of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) shield: Shield,
    /// Plain connections may leave this machine.
    pub(super) anywhere: bool,
    pub(super) trust: Trust,
}

impl std::fmt::Display for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Why a server can't be asked. Nothing in it is secret; what servers say is cut.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    /// No connection.
    #[error("{server} can't be reached: {what}")]
    Connect { server: String, what: String },
    /// The connection ended, or took too long.
    #[error("{server}: {what}")]
    Ended { server: String, what: String },
    /// What it sent is not of the protocol, or past a bound.
    #[error("{server} sent what no such server sends: {what}")]
    Protocol { server: String, what: String },
    /// It refused.
    #[error("{server}: {what}")]
    Refused {
        server: String,
        what: String,
        /// Another server, or a later try, may answer otherwise.
        passing: bool,
    },
    /// The asker went.
    #[error("cancelled")]
    Cancelled,
}

impl Fault {
    /// Whether another server is worth asking.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Fault::Connect { .. } | Fault::Ended { .. } | Fault::Protocol { .. } => true,
            Fault::Refused { passing, .. } => *passing,
            Fault::Cancelled => false,
        }
    }
}

struct Socket {
    stream: TcpStream,
    until: Instant,
}

impl Socket {
    /// What is left of the time; nothing left is an error.
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(late()) } else { Ok(left) }
    }
}

fn late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "it took too long to answer")
}

fn told(error: io::Error) -> io::Error {
    // What a socket's own limit of time is called depends on the system.
    if error.kind() == io::ErrorKind::WouldBlock { late() } else { error }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(into).map_err(told)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(bytes).map_err(told)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

enum Layer {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
    /// Between two layers.
    None,
}

/// An open connection.
pub(super) struct Wire {
    layer: Layer,
    /// What was read and not taken yet.
    held: Vec<u8>,
    /// For messages.
    pub(super) server: String,
}

impl Wire {
    /// Connects, with TLS at once if the server wants that. All of it, and what follows, ends at `until`.
    /// # Errors
    /// `Connect`.
    pub(super) fn open(server: &Server, until: Instant) -> Result<Wire, Fault> {
        let refused = |what: String| Fault::Connect { server: server.to_string(), what };
        let addresses = (server.host.as_str(), server.port)
            .to_socket_addrs()
            .map_err(|error| refused(format!("the name can't be resolved: {error}")))?;
        let mut last = "the name has no address".to_owned();
        for address in addresses.take(MAX_ADDRESSES) {
            if server.shield == Shield::Plain && !server.anywhere && !address.ip().is_loopback() {
                last = format!("{address} is another machine, and passwords would go there without TLS");
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                last = late().to_string();
                break;
            }
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => {
                    stream.set_nodelay(true).map_err(|error| refused(error.to_string()))?;
                    let layer = Layer::Plain(Socket { stream, until });
                    let mut wire = Wire { layer, held: Vec::new(), server: server.to_string() };
                    if server.shield == Shield::Tls {
                        wire.secure(server)?;
                    }
                    return Ok(wire);
                }
                Err(error) => last = format!("{address}: {error}"),
            }
        }
        Err(refused(last))
    }

    /// Begins TLS on a plain connection.
    /// # Errors
    /// `Connect`; `Protocol` if something came in the clear already.
    pub(super) fn secure(&mut self, server: &Server) -> Result<(), Fault> {
        if !self.held.is_empty() {
            return Err(
                self.protocol("bytes in the clear behind its answer to StartTLS: somebody may stand between")
            );
        }
        let refused = |what: String| Fault::Connect { server: server.to_string(), what };
        let Layer::Plain(mut socket) = std::mem::replace(&mut self.layer, Layer::None) else {
            return Err(self.protocol("TLS inside TLS"));
        };
        let mut connection = trust::connection(&server.host, &server.trust).map_err(refused)?;
        while connection.is_handshaking() {
            connection
                .complete_io(&mut socket)
                .map_err(|error| refused(format!("TLS: {}", trust::advice(&error.to_string()))))?;
        }
        self.layer = Layer::Tls(Box::new(StreamOwned::new(connection, socket)));
        Ok(())
    }

    /// All that follows ends at this moment.
    pub(super) fn until(&mut self, until: Instant) {
        match &mut self.layer {
            Layer::Plain(socket) => socket.until = until,
            Layer::Tls(stream) => stream.sock.until = until,
            Layer::None => {}
        }
    }

    /// Sends bytes.
    /// # Errors
    /// `Ended`.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let sent = match &mut self.layer {
            Layer::Plain(socket) => socket.write_all(bytes),
            Layer::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
            Layer::None => Err(io::ErrorKind::NotConnected.into()),
        };
        sent.map_err(|error| self.ended(&error.to_string()))
    }

    /// What was read and not taken yet.
    pub(super) fn held(&self) -> &[u8] {
        &self.held
    }

    /// Takes so many bytes of it.
    pub(super) fn take(&mut self, bytes: usize) -> Vec<u8> {
        let rest = self.held.split_off(bytes.min(self.held.len()));
        std::mem::replace(&mut self.held, rest)
    }

    /// Reads more, at least a byte.
    /// # Errors
    /// `Ended`.
    pub(super) fn fill(&mut self) -> Result<(), Fault> {
        let mut piece = [0_u8; PIECE];
        let read = match &mut self.layer {
            Layer::Plain(socket) => socket.read(&mut piece),
            Layer::Tls(stream) => stream.read(&mut piece),
            Layer::None => Err(io::ErrorKind::NotConnected.into()),
        };
        match read {
            Ok(0) => Err(self.ended("it closed the connection")),
            Ok(read) => {
                self.held.extend_from_slice(piece.get(..read).unwrap_or_default());
                Ok(())
            }
            Err(error) => Err(self.ended(&error.to_string())),
        }
    }

    pub(super) fn ended(&self, what: &str) -> Fault {
        Fault::Ended { server: self.server.clone(), what: what.to_owned() }
    }
    pub(super) fn protocol(&self, what: &str) -> Fault {
        Fault::Protocol { server: self.server.clone(), what: what.to_owned() }
    }
}

/// A server's words, cut and without what could confuse a terminal or a log.
pub(super) fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect::<String>().trim().to_owned()
}
