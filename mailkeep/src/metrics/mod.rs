//! Metrics, health and readiness by HTTP, on a listener of its own.
//!
//! Invariant: a request is bounded in size, time and number, and answered with one of three pages; it changes nothing. Whoever
//! can reach the listener may read: bind it where only those can.

mod page;
mod ready;

use crate::data::Installation;
use crate::upkeep::told;
use anyhow::{Context, Result};
use imapd::Pulse;
use imapd::watch::Watch;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

/// A request's head, bytes.
const MAX_HEAD: usize = 8 << 10;
/// Requests at once.
const MAX_REQUESTS: usize = 16;
/// Time for a request and its answer.
const TIME: Duration = Duration::from_secs(10);
/// Pause after a failed accept.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Bound listeners.
pub(crate) struct Metrics {
    listeners: Vec<TcpListener>,
    source: Source,
}

/// Where the pages come from.
#[derive(Clone)]
struct Source {
    installation: Arc<Installation>,
    watch: Watch,
    pulse: Pulse,
    begun: Instant,
}

/// What is said, with its status and type.
struct Answer {
    status: &'static str,
    kind: &'static str,
    body: String,
}

impl Answer {
    fn text(status: &'static str, body: impl Into<String>) -> Answer {
        Answer { status, kind: "text/plain; charset=utf-8", body: body.into() }
    }
}

impl Metrics {
    /// Binds the configured addresses; none: nothing is served.
    pub(crate) async fn bind(installation: Arc<Installation>, watch: Watch, pulse: Pulse) -> Result<Metrics> {
        let mut listeners = Vec::new();
        for address in &installation.conf.metrics.listen {
            let bound = TcpListener::bind(address).await;
            listeners.push(bound.with_context(|| format!("metrics can't listen on {address}"))?);
        }
        Ok(Metrics { listeners, source: Source { installation, watch, pulse, begun: Instant::now() } })
    }

    /// What was bound.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// Serves until `stop` turns true.
    pub(crate) async fn run(self, stop: watch::Receiver<bool>) {
        let places = Arc::new(Semaphore::new(MAX_REQUESTS));
        let mut all = JoinSet::new();
        for listener in self.listeners {
            all.spawn(accept(listener, self.source.clone(), places.clone(), stop.clone()));
        }
        while let Some(ended) = all.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "the metrics' listener broke");
            }
        }
    }
}

async fn accept(
    listener: TcpListener,
    source: Source,
    places: Arc<Semaphore>,
    mut stop: watch::Receiver<bool>,
) {
    // Dropped at the end, and with it whatever is still being answered.
    let mut requests = JoinSet::new();
    loop {
        tokio::select! {
            () = told(&mut stop) => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Without a place it is closed at once.
                    if let Ok(place) = places.clone().try_acquire_owned() {
                        let source = source.clone();
                        requests.spawn(async move {
                            if !matches!(tokio::time::timeout(TIME, serve(stream, &source)).await, Ok(Ok(()))) {
                                tracing::debug!("a request for metrics was not answered");
                            }
                            drop(place);
                        });
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "metrics: accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(ended) = requests.join_next(), if !requests.is_empty() => {
                if let Err(error) = ended {
                    tracing::error!(%error, "a request for metrics broke");
                }
            }
        }
    }
}

/// Reads a request's head.
async fn head(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Option<Vec<u8>>> {
    let mut head = Vec::new();
    let mut piece = [0; 1_024];
    loop {
        let n = stream.read(&mut piece).await?;
        head.extend_from_slice(piece.get(..n).unwrap_or_default());
        if let Some(end) = head.windows(4).position(|w| w == b"\r\n\r\n") {
            return Ok((end + 4 <= MAX_HEAD).then_some(head));
        }
        if n == 0 || head.len() > MAX_HEAD {
            return Ok(None);
        }
    }
}

async fn serve(mut stream: TcpStream, source: &Source) -> std::io::Result<()> {
    let head = head(&mut stream).await?;
    let answer = match head.as_deref().and_then(|head| std::str::from_utf8(head).ok()) {
        Some(head) => answer(head, source).await,
        None => Answer::text("400 Bad Request", "no request\n"),
    };
    let Answer { status, kind, body } = answer;
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body.as_bytes()).await?;
    stream.shutdown().await
}

/// The path of a GET request (RFC 9112 §3), without its query.
fn path(head: &str) -> Result<&str, Answer> {
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    match (words.next(), words.next(), words.next()) {
        (Some("GET"), Some(path), Some(version)) if version.starts_with("HTTP/1.") => {
            Ok(path.split('?').next().unwrap_or_default())
        }
        (Some(_), Some(_), Some(version)) if version.starts_with("HTTP/1.") => {
            Err(Answer::text("405 Method Not Allowed", "only GET\n"))
        }
        _ => Err(Answer::text("400 Bad Request", "no request\n")),
    }
}

async fn answer(head: &str, source: &Source) -> Answer {
    match path(head) {
        Err(answer) => answer,
        Ok("/health") => Answer::text("200 OK", "alive\n"),
        Ok("/ready") => {
            let answers = source.pulse.is_there().await;
            blocking(source, move |source| ready::look(&source.installation, answers).into()).await
        }
        Ok("/metrics") => {
            blocking(source, |source| {
                let Source { installation, watch, begun, .. } = source;
                let body = page::write(installation, &watch.snapshot(), begun.elapsed());
                Answer { status: "200 OK", kind: "text/plain; version=0.0.4; charset=utf-8", body }
            })
            .await
        }
        Ok(_) => Answer::text("404 Not Found", "/metrics, /health or /ready\n"),
    }
}

async fn blocking(source: &Source, look: impl FnOnce(&Source) -> Answer + Send + 'static) -> Answer {
    let source = source.clone();
    match tokio::task::spawn_blocking(move || look(&source)).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::error!(%error, "a page of the metrics broke");
            Answer::text("500 Internal Server Error", "the log tells why\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn heads_at_their_bound_and_one_past() {
        let of = |len: usize| {
            let mut head = b"GET /health HTTP/1.1\r\nX: ".to_vec();
            head.resize(len - 4, b'x');
            head.extend_from_slice(b"\r\n\r\n");
            head
        };
        assert!(head(&mut of(MAX_HEAD).as_slice()).await.unwrap().is_some());
        assert!(head(&mut of(MAX_HEAD + 1).as_slice()).await.unwrap().is_none());
        assert!(head(&mut vec![b'x'; 10 * MAX_HEAD].as_slice()).await.unwrap().is_none());
        assert!(head(&mut b"GET / HTTP/1.1\r\n".as_slice()).await.unwrap().is_none());
    }

    #[test]
    fn only_get_is_taken() {
        assert_eq!(path("GET /metrics?x=y HTTP/1.1\r\nHost: x\r\n\r\n").ok(), Some("/metrics"));
        for (head, status) in [
            ("POST /metrics HTTP/1.1\r\n\r\n", "405 Method Not Allowed"),
            ("a1 NOOP\r\n\r\n", "400 Bad Request"),
            ("GET /metrics\r\n\r\n", "400 Bad Request"),
            ("\r\n\r\n", "400 Bad Request"),
        ] {
            assert_eq!(path(head).err().map(|answer| answer.status), Some(status), "{head:?}");
        }
    }
}
