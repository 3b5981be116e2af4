//! A connection's bytes: the socket, TLS, compression, and the count of what passes.
//!
//! Invariant: what is counted is what TLS or TCP carries, after compression.

use super::deflate::Deflate;
use crate::watch::Watch;
use crate::watch::figures::{self, Gauge};
use crate::watch::tally::Tally;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// What carries the bytes.
pub(super) enum Socket {
    /// Without TLS.
    Plain(TcpStream),
    /// With TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

/// One connection.
pub(super) struct Wire {
    socket: Socket,
    deflate: Option<Box<Deflate>>,
    compressed: Option<Gauge>,
    tally: Arc<Tally>,
    watch: Watch,
}

impl Wire {
    pub(super) fn new(socket: Socket, tally: Arc<Tally>, watch: Watch) -> Wire {
        Wire { socket, deflate: None, compressed: None, tally, watch }
    }

    /// The socket again, for TLS to begin on it; none if it has begun.
    pub(super) fn into_plain(self) -> Option<TcpStream> {
        match self.socket {
            Socket::Plain(stream) => Some(stream),
            Socket::Tls(_) => None,
        }
    }

    /// From here on both sides compress.
    pub(super) fn compress(&mut self, deflate: Deflate) {
        self.deflate = Some(Box::new(deflate));
        self.compressed = Some(Gauge::new(&self.watch, |figures| &figures.compressed));
    }

    fn count_in(&self, n: usize) {
        Tally::add(&self.tally.bytes_in, n as u64);
        figures::add(&self.watch.figures().bytes_in, n as u64);
    }
    fn count_out(&self, n: usize) {
        Tally::add(&self.tally.bytes_out, n as u64);
        figures::add(&self.watch.figures().bytes_out, n as u64);
    }

    /// Writes what has been compressed.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(deflate) = &mut self.deflate
            && !deflate.unsent().is_empty()
        {
            let n = ready!(self.socket.poll_write(cx, deflate.unsent()))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            deflate.wrote(n);
            self.count_out(n);
        }
        Poll::Ready(Ok(()))
    }
}

impl Socket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Socket::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Socket::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Socket::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let Some(deflate) = &mut this.deflate else {
                let before = buf.filled().len();
                ready!(this.socket.poll_read(cx, buf))?;
                this.count_in(buf.filled().len() - before);
                return Poll::Ready(Ok(()));
            };
            let n = deflate.inflate(buf.initialize_unfilled())?;
            if n > 0 || deflate.is_ended() {
                buf.advance(n);
                return Poll::Ready(Ok(()));
            }
            let mut raw = ReadBuf::new(deflate.room());
            let read = this.socket.poll_read(cx, &mut raw);
            let n = raw.filled().len();
            deflate.came(n);
            ready!(read)?;
            if n == 0 {
                return Poll::Ready(Ok(()));
            }
            this.count_in(n);
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            ready!(this.poll_drain(cx))?;
            let Some(deflate) = &mut this.deflate else { break };
            let n = deflate.compress(bytes)?;
            // It may have had to get rid of earlier bytes first.
            if n > 0 || bytes.is_empty() {
                return Poll::Ready(Ok(n));
            }
        }
        let n = ready!(this.socket.poll_write(cx, bytes))?;
        this.count_out(n);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            ready!(this.poll_drain(cx))?;
            let Some(deflate) = &mut this.deflate else { break };
            if deflate.flush()? {
                break;
            }
        }
        this.socket.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        self.get_mut().socket.poll_shutdown(cx)
    }
}
