//! One connection: moves bytes between a socket and its session, and says at its end what it came to.
//!
//! A session's steps run on blocking threads, as many at once as the settings allow; while one makes the next chunk, the last
//! one is written and unread input is gathered up to a bound, so that a client that goes away is noticed and one that doesn't
//! read holds no thread.

use super::deflate::Deflate;
use super::proxy::{self, Origin};
use super::told::Told;
use super::waits::{self, Clock, NOT_READ, Waited, Wake, write};
use super::wire::{Socket, Wire};
use crate::gate::{Full, Gate};
use crate::queue::Queue;
use crate::session::sight::Guest;
use crate::session::{CHUNK, Next, Peer, Session, Step, World};
use crate::watch::figures::Gauge;
use crate::watch::tally::{Reason, Tally};
use std::future::poll_fn;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;
use storage::Cancel;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Input gathered while a command runs; more waits in the kernel.
pub(super) const MAX_AHEAD: usize = 64 << 10;
/// What one read asks for.
const READ: usize = 8 << 10;
/// Time for the last words.
const BYE_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a proxy to say for whom it comes.
const PROXY_TIMEOUT: Duration = Duration::from_secs(5);

const GOING_DOWN: &[u8] = b"* BYE The server is going down\r\n";

/// How a connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Line {
    /// Without TLS.
    Plain,
    /// With TLS.
    Tls,
}

/// What all connections share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) world: Arc<World>,
    pub(crate) gate: Gate,
    pub(crate) queue: Queue,
    /// Sessions at work.
    pub(crate) steps: Arc<Semaphore>,
    /// Passwords being hashed.
    pub(crate) logins: Arc<Semaphore>,
    /// Connections that are told that there are too many.
    pub(crate) farewells: Arc<Semaphore>,
    pub(crate) stop: watch::Receiver<bool>,
    /// Folders or rights have changed.
    pub(crate) changes: watch::Receiver<u64>,
    /// Rights have changed.
    pub(crate) rights: watch::Receiver<u64>,
}

/// How a conversation ended.
enum End {
    Closed(Reason),
    StartTls(Box<Session>),
}

/// Serves a connection to its end, and says so in the log.
pub(crate) async fn serve(mut stream: TcpStream, peer: SocketAddr, line: Line, shared: Shared) {
    let watch = &shared.world.watch;
    let _there = Gauge::new(watch, |figures| &figures.sessions);
    let opened = Instant::now();
    let tally = Arc::new(Tally { number: watch.figures().begun(), ..Tally::default() });
    let mut client = Peer { ip: peer.ip().to_canonical(), proxied: false };
    let mut notes = Notes { tls: None, compressed: false };
    let reason = match from_proxy(&mut stream, &mut client, &shared).await {
        Ok(()) => match converse(stream, client, line, opened, &shared, &tally, &mut notes).await {
            Ok(reason) => reason,
            Err(error) => {
                // A connection's end by the network is nobody's fault and of no interest but when looking for one.
                tracing::debug!(%error, %peer, "an IMAP connection broke");
                reason_of(&error)
            }
        },
        Err(error) => {
            tracing::warn!(%error, %peer, "a listed proxy did not say for whom it connects; the connection was closed");
            Reason::Proxy
        }
    };
    watch.figures().ended(reason);
    notes.say(client.ip, opened, &tally, reason);
}

fn reason_of(error: &io::Error) -> Reason {
    let words = error.get_ref().map(ToString::to_string);
    match words.as_deref() {
        Some(NOT_READ) => Reason::Unread,
        Some(NO_TLS) => Reason::Handshake,
        Some(words) if words.starts_with(FAULT) => Reason::Fault,
        _ => Reason::Broken,
    }
}

const NO_TLS: &str = "TLS did not begin";
const FAULT: &str = "the session failed";

/// What only the connection knows of the session.
struct Notes {
    tls: Option<&'static str>,
    compressed: bool,
}

impl Notes {
    /// The session's line in the log.
    fn say(&self, ip: IpAddr, opened: Instant, tally: &Tally, reason: Reason) {
        let user = tally.user.lock().clone();
        let (commands, messages) = (Tally::read(&tally.commands), Tally::read(&tally.messages));
        let (bytes_in, bytes_out) = (Tally::read(&tally.bytes_in), Tally::read(&tally.bytes_out));
        let millis = u64::try_from(opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (tls, reason) = (self.tls.unwrap_or("none"), reason.words());
        match user {
            Some(user) => tracing::info!(
                session = tally.number, ?user, %ip, tls, compressed = self.compressed, millis, bytes_in, bytes_out, commands, messages, reason, "session ended"
            ),
            // Whoever looks whether the port is open isn't worth a line at each look.
            None if commands == 0 => {
                tracing::debug!(%ip, tls, millis, bytes_in, bytes_out, reason, "connection ended")
            }
            None => tracing::info!(
                %ip, tls, millis, bytes_in, bytes_out, commands, reason, "session ended without a login"
            ),
        }
    }
}

/// From a listed address a header must come, which says who the client is.
async fn from_proxy(stream: &mut TcpStream, client: &mut Peer, shared: &Shared) -> io::Result<()> {
    let ip = client.ip;
    if !shared.world.settings.proxy_from.iter().any(|network| network.contains(ip)) {
        return Ok(());
    }
    let mut stop = shared.stop.clone();
    let origin = tokio::select! {
        origin = timeout(PROXY_TIMEOUT, proxy::read(stream)) => origin??,
        () = super::stopped(&mut stop) => return Err(io::ErrorKind::ConnectionAborted.into()),
    };
    *client = match origin {
        Origin::Client(ip) => Peer { ip: ip.to_canonical(), proxied: true },
        // The proxy's address counts, but whoever is behind it isn't on this machine.
        Origin::Unknown => Peer { ip, proxied: true },
        Origin::Itself => Peer { ip, proxied: false },
    };
    Ok(())
}

async fn converse(
    stream: TcpStream,
    client: Peer,
    line: Line,
    opened: Instant,
    shared: &Shared,
    tally: &Arc<Tally>,
    notes: &mut Notes,
) -> io::Result<Reason> {
    let watch = &shared.world.watch;
    let place = match shared.gate.enter(client.ip) {
        Ok(place) => place,
        Err(full) => return turn_away(stream, line, full, shared).await,
    };
    let session =
        Session::new(Arc::clone(&shared.world), client, line == Line::Tls, place, Arc::clone(tally));
    let wire = |socket| Wire::new(socket, Arc::clone(tally), watch.clone());
    let (stream, session) = match line {
        Line::Plain => {
            let greeting = session.greeting();
            let mut wire = wire(Socket::Plain(stream));
            match talk(&mut wire, session, greeting, opened, shared, notes).await? {
                End::Closed(reason) => return Ok(reason),
                End::StartTls(session) => {
                    // STARTTLS is refused with TLS on: this is a plain socket.
                    let Some(stream) = wire.into_plain() else { return Ok(Reason::Fault) };
                    (stream, session)
                }
            }
        }
        Line::Tls => (stream, Box::new(session)),
    };
    let mut session = *session;
    let (stream, end_point) = handshake(stream, shared).await?;
    session.channel = channel(&stream, end_point);
    let _secure = Gauge::new(watch, |figures| &figures.tls_sessions);
    notes.tls = Some(match stream.get_ref().1.protocol_version() {
        Some(tokio_rustls::rustls::ProtocolVersion::TLSv1_3) => "1.3",
        _ => "1.2",
    });
    let greeting = if line == Line::Tls {
        session.greeting()
    } else {
        session.tls_begun();
        Vec::new()
    };
    let mut wire = wire(Socket::Tls(Box::new(stream)));
    match talk(&mut wire, session, greeting, opened, shared, notes).await? {
        End::Closed(reason) => Ok(reason),
        End::StartTls(_) => Ok(Reason::Fault),
    }
}

/// Says that there are too many, to as many at once as are worth the trouble.
async fn turn_away(mut stream: TcpStream, line: Line, full: Full, shared: &Shared) -> io::Result<Reason> {
    let words: &[u8] = match full {
        Full::Address => b"* BYE Too many connections from your address\r\n",
        Full::Server => b"* BYE Too many connections\r\n",
    };
    if let Ok(_turn) = shared.farewells.try_acquire() {
        match line {
            Line::Plain => last_words(&mut stream, words).await?,
            Line::Tls => last_words(&mut handshake(stream, shared).await?.0, words).await?,
        }
    }
    Ok(Reason::Full)
}

/// What SCRAM can be bound to on this connection.
fn channel(stream: &TlsStream<TcpStream>, end_point: Option<Arc<[u8]>>) -> auth::Channel {
    let connection = stream.get_ref().1;
    let mut ways = Vec::new();
    // RFC 9266 §3: with TLS 1.2 only where the extended master secret is in use, which isn't told here.
    if connection.protocol_version() == Some(tokio_rustls::rustls::ProtocolVersion::TLSv1_3) {
        match connection.export_keying_material([0_u8; 32], b"EXPORTER-Channel-Binding", Some(b"")) {
            Ok(exported) => ways.push(("tls-exporter", exported.to_vec())),
            Err(error) => tracing::warn!(%error, "TLS gives nothing to bind logins to"),
        }
    }
    ways.extend(end_point.map(|hash| ("tls-server-end-point", hash.to_vec())));
    auth::Channel(ways)
}

type Secured = (TlsStream<TcpStream>, Option<Arc<[u8]>>);

async fn handshake(stream: TcpStream, shared: &Shared) -> io::Result<Secured> {
    let limit = Duration::from_secs(shared.world.settings.handshake_timeout_secs);
    let crate::watch::Tls { config, end_point } = shared.world.watch.tls();
    let acceptor = TlsAcceptor::from(config);
    let mut stop = shared.stop.clone();
    tokio::select! {
        done = timeout(limit, acceptor.accept(stream)) => match done {
            Ok(Ok(stream)) => Ok((stream, end_point)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "TLS did not begin");
                Err(io::Error::other(NO_TLS))
            }
            Err(_) => Err(io::Error::other(NO_TLS)),
        },
        () = super::stopped(&mut stop) => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

async fn last_words<S: tokio::io::AsyncWrite + Unpin>(stream: &mut S, words: &[u8]) -> io::Result<()> {
    timeout(BYE_TIMEOUT, async {
        stream.write_all(words).await?;
        stream.shutdown().await
    })
    .await?
}

/// Carries the conversation until it ends or TLS is to begin. `unsent` is written first.
async fn talk(
    stream: &mut Wire,
    mut session: Session,
    mut unsent: Vec<u8>,
    opened: Instant,
    shared: &Shared,
    notes: &mut Notes,
) -> io::Result<End> {
    let settings = &shared.world.settings;
    let patience = Duration::from_secs(settings.write_timeout_secs);
    let mut stop = shared.stop.clone();
    let mut changes = shared.changes.clone();
    let mut rights = shared.rights.clone();
    let mut clock = Clock::new(opened, settings);
    let mut ahead = Vec::new();
    let cancel = Cancel::default();
    let mut gone = false;
    let mut next = Next::Read;
    // Whether a line or literal was half written when the last step began.
    let mut inside = false;
    // What is told while a search waits and works.
    let mut told: Option<Told> = None;
    loop {
        // Leave to hash a password; every other step gets its own later.
        let mut leave = None;
        let wait = match next {
            Next::Read | Next::Idle | Next::Watch => {
                write(stream, &mut unsent, patience).await?;
                clock.note(&session);
                if gone && ahead.is_empty() {
                    return Ok(End::Closed(Reason::Gone));
                }
                if ahead.is_empty() {
                    Some(waits::input(stream, &mut ahead, next, &mut stop, &mut changes, &mut clock).await?)
                } else {
                    None
                }
            }
            Next::More => None,
            Next::Queue => {
                write(stream, &mut unsent, patience).await?;
                let Some((tag, progress)) = session.queued() else {
                    return Err(io::Error::other("nothing waits for its turn"));
                };
                let told = told.insert(Told::new(tag, progress, settings));
                let user = session.user.clone().unwrap_or_default();
                match waits::turn(stream, &mut ahead, &shared.queue, &user, told, &mut stop, patience).await?
                {
                    Waited::Turn(turn) => session.take_turn(turn),
                    Waited::Gone => return Ok(End::Closed(Reason::Gone)),
                    Waited::Stop => {
                        last_words(stream, GOING_DOWN).await?;
                        return Ok(End::Closed(Reason::Stop));
                    }
                }
                None
            }
            Next::Login => {
                write(stream, &mut unsent, patience).await?;
                let delay = session.login_delay();
                let logins = Arc::clone(&shared.logins);
                let turn = async {
                    tokio::time::sleep(delay).await;
                    logins.acquire_owned().await
                };
                match waits::meanwhile(stream, &mut ahead, &mut stop, turn).await {
                    Waited::Turn(turn) => leave = Some(turn.map_err(io::Error::other)?),
                    Waited::Gone => return Ok(End::Closed(Reason::Gone)),
                    Waited::Stop => {
                        last_words(stream, GOING_DOWN).await?;
                        return Ok(End::Closed(Reason::Stop));
                    }
                }
                None
            }
            Next::StartTls => {
                write(stream, &mut unsent, patience).await?;
                return Ok(End::StartTls(Box::new(session)));
            }
            Next::Compress => {
                write(stream, &mut unsent, patience).await?;
                let mut behind = session.take_unread();
                behind.append(&mut ahead);
                stream.compress(Deflate::new(settings.compress_level, behind));
                notes.compressed = true;
                next = Next::Read;
                continue;
            }
            Next::Close => {
                // A literal that broke off must not go on with other words.
                let mut reason = session.reason();
                if unsent.is_empty() && !inside && *stop.borrow() {
                    unsent.extend_from_slice(GOING_DOWN);
                }
                if reason == Reason::Dropped {
                    reason = if *stop.borrow() {
                        Reason::Stop
                    } else if gone {
                        Reason::Gone
                    } else {
                        reason
                    };
                }
                write(stream, &mut unsent, patience).await?;
                // Its place first: whoever sees the end of the connection may come again at once.
                drop(session);
                timeout(BYE_TIMEOUT, stream.shutdown()).await??;
                return Ok(End::Closed(reason));
            }
        };
        match wait {
            None | Some(Wake::Input) => {}
            Some(Wake::Changes) => session.changed(),
            Some(Wake::Gone) => gone = true,
            // A user expires without anybody's change.
            Some(Wake::KeepAlive) if session.is_doubtful() => session.changed(),
            Some(Wake::KeepAlive) => {
                if next == Next::Idle {
                    unsent.extend_from_slice(b"* OK Still here\r\n");
                }
                continue;
            }
            Some(Wake::Late) => {
                drop(session);
                last_words(stream, b"* BYE Autologout: nothing was heard in time\r\n").await?;
                return Ok(End::Closed(Reason::Late));
            }
            Some(Wake::Stop) => {
                drop(session);
                last_words(stream, GOING_DOWN).await?;
                return Ok(End::Closed(Reason::Stop));
            }
        }
        if *stop.borrow() && next == Next::More {
            // In the middle of a line there is nothing sane to say.
            let words: &[u8] = if session.is_inside_line() { b"" } else { GOING_DOWN };
            unsent.extend_from_slice(words);
            last_words(stream, &unsent).await?;
            return Ok(End::Closed(Reason::Stop));
        }
        // A large chunk goes out before the next one is made, so that there are never two.
        if unsent.len() > 2 * CHUNK {
            write(stream, &mut unsent, patience).await?;
        }
        session.input(&ahead);
        ahead = Vec::new();
        inside = session.is_inside_line();
        let guest = session.guest();
        let job = work(session, leave, shared, &cancel);
        let link =
            Link { unsent: &mut unsent, ahead: &mut ahead, gone: &mut gone, told: told.as_mut(), patience };
        let signs = Signs { stop: &mut stop, rights: &mut rights, guest };
        let (back, step) = drive(stream, job, link, &cancel, signs).await?;
        session = back;
        told = told.filter(|_| session.queued().is_some());
        unsent = step.out;
        next = step.next;
    }
}

/// Has the session make its next step, on a thread, once it has leave to use one. The threads are given out in the order in
/// which they are asked for, so that a long answer, which asks anew for every chunk, delays nobody by more than a round.
async fn work(
    mut session: Session,
    leave: Option<OwnedSemaphorePermit>,
    shared: &Shared,
    cancel: &Cancel,
) -> io::Result<(Session, Step)> {
    let leave = match leave {
        Some(leave) => leave,
        None => Arc::clone(&shared.steps).acquire_owned().await.map_err(io::Error::other)?,
    };
    let (cancel, watch) = (cancel.clone(), shared.world.watch.clone());
    let job = tokio::task::spawn_blocking(move || {
        let _at_work = Gauge::new(&watch, |figures| &figures.at_work);
        let step = session.step(&cancel);
        drop(leave);
        (session, step)
    });
    job.await.map_err(|error| io::Error::other(format!("{FAULT}: {error}")))
}

/// What a step's connection has to carry meanwhile.
struct Link<'l> {
    unsent: &'l mut Vec<u8>,
    ahead: &'l mut Vec<u8>,
    gone: &'l mut bool,
    told: Option<&'l mut Told>,
    patience: Duration,
}

/// What may end a session while its step is at work.
struct Signs<'l> {
    stop: &'l mut watch::Receiver<bool>,
    rights: &'l mut watch::Receiver<u64>,
    guest: Option<Guest>,
}

impl Signs<'_> {
    /// Waits until the user may not go on any more. What the session says of it, it says itself.
    async fn unwelcome(rights: &mut watch::Receiver<u64>, guest: Option<&Guest>) {
        let Some(guest) = guest else { return std::future::pending().await };
        while rights.changed().await.is_ok() {
            let guest = guest.clone();
            if !matches!(tokio::task::spawn_blocking(move || guest.ask()).await, Ok(Ok(_))) {
                return;
            }
        }
        // The sender lives as long as the server.
        std::future::pending().await
    }
}

/// Writes what there is and awaits the session's step, watching meanwhile whether the client is still there, and still welcome.
async fn drive(
    stream: &mut Wire,
    job: impl Future<Output = io::Result<(Session, Step)>>,
    link: Link<'_>,
    cancel: &Cancel,
    signs: Signs<'_>,
) -> io::Result<(Session, Step)> {
    let Signs { stop, rights, guest } = signs;
    let Link { unsent, ahead, gone, told, patience } = link;
    let (mut read, mut write_half) = tokio::io::split(stream);
    let ended = Notify::new();
    let both = async {
        let work = async {
            let done = job.await;
            ended.notify_one();
            Ok(done)
        };
        let speak = async {
            write(&mut write_half, unsent, patience).await?;
            let Some(told) = told else { return Ok(()) };
            // A line that was begun is ended: only between two of them the job's end is looked for.
            while timeout_at(told.due(), ended.notified()).await.is_err() {
                *unsent = told.line();
                write(&mut write_half, unsent, patience).await?;
            }
            Ok(())
        };
        // A client that took nothing in time is given up at once, whatever its command still does.
        tokio::try_join!(speak, work).map(|((), done)| done)
    };
    tokio::pin!(both);
    let unwelcome = Signs::unwelcome(rights, guest.as_ref());
    tokio::pin!(unwelcome);
    let (mut stopping, mut ending) = (false, false);
    let done = loop {
        tokio::select! {
            done = &mut both => break done,
            got = fill(&mut read, ahead), if !*gone && ahead.len() < MAX_AHEAD => {
                if !matches!(got, Ok(n) if n > 0) {
                    *gone = true;
                    cancel.set();
                }
            }
            () = super::stopped(stop), if !stopping => {
                stopping = true;
                cancel.set();
            }
            () = &mut unwelcome, if !ending => {
                ending = true;
                cancel.set();
            }
        }
    };
    done.inspect_err(|_: &io::Error| cancel.set())?
}

/// Appends what can be read. Whoever waits holds no buffer: thousands do nothing else.
pub(super) async fn fill<R: AsyncRead + Unpin>(read: &mut R, ahead: &mut Vec<u8>) -> io::Result<usize> {
    poll_fn(|cx| {
        let mut space = [0; READ];
        let mut piece = ReadBuf::new(&mut space);
        ready!(Pin::new(&mut *read).poll_read(cx, &mut piece))?;
        ahead.extend_from_slice(piece.filled());
        Poll::Ready(Ok(piece.filled().len()))
    })
    .await
}
