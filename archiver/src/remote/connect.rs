//! The connection to a server: TCP with limits of time, TLS, compression; bytes out, bytes in through a bounded buffer.
//!
//! Invariant: no wait is longer than the access's timeout, outlives the run's end or survives a cancel; a peer that drips is as
//! dead as one that is silent. After STARTTLS nothing is believed that came in the clear (RFC 9051 §6.2.1): bytes
//! that are there already end the connection. Nothing is logged of what goes through.

use super::access::{Access, Tls};
use super::fault::Fault;
use super::tls;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use rustls::{ClientConnection, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use storage::Cancel;

/// How often a waiting read looks whether it is still wanted.
const SLICE: Duration = Duration::from_millis(100);
/// Bytes in a buffer.
const BUFFER: usize = 64 << 10;
/// Addresses of a host that are tried.
const MAX_ADDRESSES: usize = 8;
/// Bytes a second that count as alive while a message is being sent to us.
pub(crate) const BULK_RATE: u64 = 64;
/// Times the longest silence that one command may be waited for, messages not counted.
const COMMAND_SILENCES: u64 = 10;
/// Bytes a second that count as alive otherwise: some servers send a line a minute while they work.
pub(crate) const IDLE_RATE: u64 = 0;

/// Bytes over the wire, as the network sees them (without TLS's own).
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) read: AtomicU64,
    pub(crate) written: AtomicU64,
}

/// What every wait obeys.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    pub(crate) cancel: Cancel,
    pub(crate) until: Option<Instant>,
    pub(crate) traffic: Arc<Traffic>,
}

impl Limits {
    /// That nobody cancelled, and the run's time isn't over.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        if self.cancel.is_set() {
            return Err(Fault::Cancelled);
        }
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return Err(Fault::Over);
        }
        Ok(())
    }
    /// Waits, but not past a cancel or the run's end.
    pub(crate) fn sleep(&self, time: Duration) -> Result<(), Fault> {
        let end = Instant::now() + time;
        loop {
            self.check()?;
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(SLICE));
        }
    }
}

/// How slow a peer may be; shared with the socket below all layers.
#[derive(Debug)]
struct Pace {
    /// Longest silence, milliseconds.
    silence_ms: AtomicU64,
    /// Least bytes a second.
    rate: AtomicU64,
    /// Bytes since the command began, and the milliseconds waited for them.
    bytes: AtomicU64,
    waited_ms: AtomicU64,
    /// Milliseconds waited since the command began, while no message came.
    command_ms: AtomicU64,
}

/// Why a read ended that is no failure of the network; carried through TLS inside an `io::Error`.
#[derive(Debug, thiserror::Error)]
enum Stopped {
    #[error("cancelled")]
    Cancelled,
    #[error("the run's time is over")]
    Over,
    #[error("nothing came for {0} seconds")]
    Silent(u64),
    #[error("it sent less than {0} bytes a second")]
    Slow(u64),
    #[error("one command took more than {0} seconds")]
    Long(u64),
}

struct Socket {
    stream: TcpStream,
    limits: Limits,
    pace: Arc<Pace>,
}

impl Socket {
    fn check(&self, began: Instant) -> io::Result<()> {
        match self.limits.check() {
            Err(Fault::Cancelled) => return Err(io::Error::other(Stopped::Cancelled)),
            Err(_) => return Err(io::Error::other(Stopped::Over)),
            Ok(()) => {}
        }
        let silence = Duration::from_millis(self.pace.silence_ms.load(Ordering::Relaxed));
        if began.elapsed() >= silence {
            return Err(io::Error::other(Stopped::Silent(silence.as_secs().max(1))));
        }
        Ok(())
    }

    /// Counts; a peer that is below the least rate over a whole silence's time is dead.
    fn count(&self, began: Instant, bytes: u64) -> io::Result<()> {
        self.limits.traffic.read.fetch_add(bytes, Ordering::Relaxed);
        let pace = &self.pace;
        let waited = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if pace.rate.load(Ordering::Relaxed) == IDLE_RATE {
            let command = pace.command_ms.fetch_add(waited, Ordering::Relaxed).saturating_add(waited);
            let most = pace.silence_ms.load(Ordering::Relaxed).saturating_mul(COMMAND_SILENCES);
            if command > most {
                return Err(io::Error::other(Stopped::Long(most / 1000)));
            }
        }
        let waited = pace.waited_ms.fetch_add(waited, Ordering::Relaxed).saturating_add(waited);
        let bytes = pace.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if waited < pace.silence_ms.load(Ordering::Relaxed) {
            return Ok(());
        }
        let rate = pace.rate.load(Ordering::Relaxed);
        pace.waited_ms.store(0, Ordering::Relaxed);
        pace.bytes.store(0, Ordering::Relaxed);
        if bytes.saturating_mul(1000) < rate.saturating_mul(waited) {
            return Err(io::Error::other(Stopped::Slow(rate)));
        }
        Ok(())
    }
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let began = Instant::now();
        loop {
            match self.stream.read(into) {
                Ok(read) => {
                    self.count(began, read as u64)?;
                    return Ok(read);
                }
                Err(error) if is_wait(&error) => self.check(began)?,
                Err(error) => return Err(error),
            }
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let began = Instant::now();
        loop {
            match self.stream.write(bytes) {
                Ok(written) => {
                    self.limits.traffic.written.fetch_add(written as u64, Ordering::Relaxed);
                    return Ok(written);
                }
                Err(error) if is_wait(&error) => self.check(began)?,
                Err(error) => return Err(error),
            }
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

enum Layer {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Socket>>),
    /// Between two layers; nothing can be read or written.
    None,
}

impl Read for Layer {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Layer::Plain(socket) => socket.read(into),
            Layer::Tls(stream) => stream.read(into),
            Layer::None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl Write for Layer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Layer::Plain(socket) => socket.write(bytes),
            Layer::Tls(stream) => stream.write(bytes),
            Layer::None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Layer::Plain(socket) => socket.flush(),
            Layer::Tls(stream) => stream.flush(),
            Layer::None => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

/// COMPRESS=DEFLATE (RFC 4978): raw deflate in both directions.
struct Deflate {
    inflate: Decompress,
    deflate: Compress,
    input: Vec<u8>,
    at: usize,
}

/// An open connection.
pub(crate) struct Wire {
    layer: Layer,
    deflate: Option<Deflate>,
    buffer: Vec<u8>,
    at: usize,
    pace: Arc<Pace>,
    usual_silence: Duration,
    host: String,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Wire {
    /// Connects; with TLS at once if the access says so.
    /// # Errors
    /// `Connect`, `Tls`, `Cancelled`, `Over`.
    pub(crate) fn open(access: &Access, limits: &Limits) -> Result<Wire, Fault> {
        limits.check()?;
        let place = format!("{}:{}", access.host, access.port);
        let refused = |what: String| Fault::Connect { place: place.clone(), what };
        let timeout = access.timeout.max(Duration::from_secs(1));
        let addresses = (access.host.as_str(), access.port)
            .to_socket_addrs()
            .map_err(|error| refused(format!("the name can't be resolved: {error}")))?;
        let mut stream = Err("the name has no address".to_owned());
        for address in addresses.take(MAX_ADDRESSES) {
            limits.check()?;
            match TcpStream::connect_timeout(&address, timeout) {
                Ok(connected) => {
                    stream = Ok(connected);
                    break;
                }
                Err(error) => stream = Err(format!("{address}: {error}")),
            }
        }
        let stream = stream.map_err(refused)?;
        let set = stream
            .set_nodelay(true)
            .and_then(|()| stream.set_read_timeout(Some(SLICE)))
            .and_then(|()| stream.set_write_timeout(Some(SLICE)));
        set.map_err(|error| refused(error.to_string()))?;
        let pace = Arc::new(Pace {
            silence_ms: AtomicU64::new(0),
            rate: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            waited_ms: AtomicU64::new(0),
            command_ms: AtomicU64::new(0),
        });
        let socket = Socket { stream, limits: limits.clone(), pace: Arc::clone(&pace) };
        let mut wire = Wire {
            layer: Layer::Plain(socket),
            deflate: None,
            buffer: Vec::new(),
            at: 0,
            pace,
            usual_silence: timeout,
            host: access.host.clone(),
        };
        wire.begin();
        if access.tls == Tls::Implicit {
            wire.secure(access)?;
        }
        Ok(wire)
    }

    /// A command begins: the peer's time counts from here.
    pub(crate) fn begin(&mut self) {
        self.patience(self.usual_silence);
        self.rate(IDLE_RATE);
        self.pace.command_ms.store(0, Ordering::Relaxed);
    }

    /// How long the peer may stay silent.
    pub(crate) fn patience(&mut self, silence: Duration) {
        self.pace.silence_ms.store(u64::try_from(silence.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The least bytes a second from here on.
    pub(crate) fn rate(&mut self, rate: u64) {
        if self.pace.rate.swap(rate, Ordering::Relaxed) != rate {
            self.pace.waited_ms.store(0, Ordering::Relaxed);
            self.pace.bytes.store(0, Ordering::Relaxed);
        }
    }

    /// Makes a plain connection a protected one.
    /// # Errors
    /// `Tls`; `Protocol` when the peer sent something before.
    pub(crate) fn secure(&mut self, access: &Access) -> Result<(), Fault> {
        if self.at < self.buffer.len() {
            return Err(Fault::protocol(
                "it sent bytes in the clear behind its answer to STARTTLS: somebody may stand between",
            ));
        }
        let Layer::Plain(socket) = std::mem::replace(&mut self.layer, Layer::None) else {
            return Err(Fault::protocol("TLS inside TLS"));
        };
        let mut connection = tls::connection(access)?;
        let mut socket = socket;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket).map_err(|error| match fault(&error) {
                Fault::Ended { what } => Fault::Tls { place: access.host.clone(), what: tls::advice(&what) },
                other => other,
            })?;
        }
        self.layer = Layer::Tls(Box::new(StreamOwned::new(connection, socket)));
        Ok(())
    }

    /// Whether what is sent can't be read on the way.
    pub(crate) fn is_secure(&self) -> bool {
        matches!(self.layer, Layer::Tls(_))
    }

    /// From here on both directions are compressed. What is in the buffer came after the server's answer, so it is compressed.
    pub(crate) fn compress(&mut self) {
        let input = self.buffer.split_off(self.at);
        self.buffer.clear();
        self.at = 0;
        self.deflate = Some(Deflate {
            inflate: Decompress::new(false),
            deflate: Compress::new(Compression::fast(), false),
            input,
            at: 0,
        });
    }

    /// Sends bytes.
    /// # Errors
    /// `Ended`, `Cancelled`, `Over`.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let sent = match &mut self.deflate {
            None => self.layer.write_all(bytes),
            Some(deflate) => {
                let packed = deflate.pack(bytes)?;
                self.layer.write_all(&packed)
            }
        };
        sent.and_then(|()| self.layer.flush()).map_err(|error| fault(&error))
    }

    /// What is there to read; waits until there is something.
    /// # Errors
    /// `Ended`, also at the regular end; `Cancelled`, `Over`.
    pub(crate) fn fill(&mut self) -> Result<&[u8], Fault> {
        if self.at >= self.buffer.len() {
            self.buffer.resize(BUFFER, 0);
            self.at = BUFFER;
            let read = match &mut self.deflate {
                None => read(&mut self.layer, &mut self.buffer),
                Some(deflate) => deflate.read(&mut self.layer, &mut self.buffer),
            };
            let read = read.inspect_err(|_| self.buffer.clear())?;
            self.buffer.truncate(read);
            self.at = 0;
            if read == 0 {
                return Err(Fault::ended("the server closed it"));
            }
        }
        Ok(self.buffer.get(self.at..).unwrap_or_default())
    }

    /// So many bytes of [`Wire::fill`] were taken.
    pub(crate) fn consume(&mut self, bytes: usize) {
        self.at = (self.at + bytes).min(self.buffer.len());
    }
}

fn read(layer: &mut Layer, into: &mut [u8]) -> Result<usize, Fault> {
    match layer.read(into) {
        Ok(read) => Ok(read),
        Err(error) => Err(fault(&error)),
    }
}

impl Deflate {
    fn pack(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut out = Vec::with_capacity(bytes.len() + 64);
        let mut rest = bytes;
        loop {
            let (before_in, before_out) = (self.deflate.total_in(), out.len());
            out.reserve(256);
            let status = self.deflate.compress_vec(rest, &mut out, FlushCompress::Sync);
            status.map_err(|error| Fault::ended(format!("compressing failed: {error}")))?;
            let taken = usize::try_from(self.deflate.total_in() - before_in).unwrap_or(rest.len());
            rest = rest.get(taken..).unwrap_or_default();
            // With room left, all is out.
            if rest.is_empty() && (out.len() < out.capacity() || out.len() == before_out) {
                return Ok(out);
            }
        }
    }

    /// Gives what can be had of what is there before it waits for more.
    fn read(&mut self, layer: &mut Layer, into: &mut [u8]) -> Result<usize, Fault> {
        loop {
            let input = self.input.get(self.at..).unwrap_or_default();
            let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(input, into, FlushDecompress::None);
            let status =
                status.map_err(|_| Fault::protocol("what it sent compressed can't be decompressed"))?;
            self.at += usize::try_from(self.inflate.total_in() - before_in).unwrap_or(0);
            let out = usize::try_from(self.inflate.total_out() - before_out).unwrap_or(0);
            if out > 0 {
                return Ok(out);
            }
            if status == Status::StreamEnd {
                return Ok(0);
            }
            if self.at < self.input.len() && self.inflate.total_in() > before_in {
                continue;
            }
            self.input.resize(BUFFER, 0);
            let read = read(layer, &mut self.input)?;
            self.input.truncate(read);
            self.at = 0;
            if read == 0 {
                return Ok(0);
            }
        }
    }
}

/// What an error of the layers means.
fn fault(error: &io::Error) -> Fault {
    let stopped = error.get_ref().and_then(|inner| inner.downcast_ref::<Stopped>());
    match stopped {
        Some(Stopped::Cancelled) => Fault::Cancelled,
        Some(Stopped::Over) => Fault::Over,
        Some(other) => Fault::ended(other.to_string()),
        None => Fault::ended(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
