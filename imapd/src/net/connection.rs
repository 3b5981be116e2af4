//! One connection: moves bytes between a socket and its session, and keeps the time.
//!
//! A session's steps run on blocking threads; while one makes the next chunk, the last one is written and unread input
//! is gathered up to a bound, so that a client that goes away is noticed and one that doesn't read holds no thread.

use super::told::Told;
use crate::Settings;
use crate::gate::Gate;
use crate::queue::{Queue, Turn};
use crate::session::{CHUNK, Next, Session, Step, World};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use storage::Cancel;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;

/// Input gathered while a command runs; more waits in the kernel.
const MAX_AHEAD: usize = 64 << 10;
/// What one read asks for.
const READ: usize = 8 << 10;
/// A client that takes no byte of a chunk for so long has gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(300);
/// Time for the last words.
const BYE_TIMEOUT: Duration = Duration::from_secs(5);

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
    pub(crate) tls: TlsAcceptor,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) changes: watch::Receiver<u64>,
}

/// How a conversation ended.
enum End {
    Closed,
    StartTls(Box<Session>),
}

/// Serves a connection to its end.
pub(crate) async fn serve(mut stream: TcpStream, ip: IpAddr, line: Line, shared: Shared) -> io::Result<()> {
    let opened = Instant::now();
    let limit = Duration::from_secs(shared.world.settings.login_timeout_secs);
    let Some(place) = shared.gate.enter(ip) else {
        let words = b"* BYE Too many connections from your address\r\n";
        return match line {
            Line::Plain => last_words(&mut stream, words).await,
            Line::Tls => last_words(&mut handshake(stream, &shared, BYE_TIMEOUT).await?, words).await,
        };
    };
    let session = Session::new(Arc::clone(&shared.world), ip, line == Line::Tls, place);
    let greeting = session.greeting();
    let session = match line {
        Line::Plain => match talk(&mut stream, session, greeting, opened, &shared).await? {
            End::Closed => return Ok(()),
            End::StartTls(mut session) => {
                session.tls_begun();
                *session
            }
        },
        Line::Tls => session,
    };
    let greeting = if line == Line::Tls { session.greeting() } else { Vec::new() };
    let mut stream = handshake(stream, &shared, limit).await?;
    talk(&mut stream, session, greeting, opened, &shared).await.map(|_| ())
}

async fn handshake(
    stream: TcpStream,
    shared: &Shared,
    limit: Duration,
) -> io::Result<tokio_rustls::server::TlsStream<TcpStream>> {
    let mut stop = shared.stop.clone();
    tokio::select! {
        done = timeout(limit, shared.tls.accept(stream)) => done?,
        () = super::stopped(&mut stop) => Err(io::ErrorKind::ConnectionAborted.into()),
    }
}

async fn last_words<S: AsyncWrite + Unpin>(stream: &mut S, words: &[u8]) -> io::Result<()> {
    timeout(BYE_TIMEOUT, async {
        stream.write_all(words).await?;
        stream.shutdown().await
    })
    .await?
}

type Job = JoinHandle<(Session, Step)>;

fn start(mut session: Session, cancel: &Cancel) -> Job {
    let cancel = cancel.clone();
    tokio::task::spawn_blocking(move || {
        let step = session.step(&cancel);
        (session, step)
    })
}

/// Carries the conversation until it ends or TLS is to begin. `unsent` is written first.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    mut session: Session,
    mut unsent: Vec<u8>,
    opened: Instant,
    shared: &Shared,
) -> io::Result<End> {
    let mut stop = shared.stop.clone();
    let mut changes = shared.changes.clone();
    let mut clock = Clock::new(opened, &shared.world.settings);
    let mut ahead = Vec::new();
    let cancel = Cancel::default();
    let mut gone = false;
    let mut next = Next::Read;
    // Whether a line or literal was half written when the last step began.
    let mut inside = false;
    // What is told while a search waits and works.
    let mut told: Option<Told> = None;
    loop {
        let wait = match next {
            Next::Read | Next::Idle | Next::Watch => {
                write(stream, &mut unsent).await?;
                clock.note(&session);
                if gone && ahead.is_empty() {
                    return Ok(End::Closed);
                }
                if ahead.is_empty() {
                    Some(wait(stream, &mut ahead, next, &mut stop, &mut changes, &mut clock).await?)
                } else {
                    None
                }
            }
            Next::More => None,
            Next::Queue => {
                write(stream, &mut unsent).await?;
                let Some((tag, progress)) = session.queued() else {
                    return Err(io::Error::other("nothing waits for its turn"));
                };
                let told = told.insert(Told::new(tag, progress, &shared.world.settings));
                let user = session.user.clone().unwrap_or_default();
                match wait_turn(stream, &mut ahead, &shared.queue, &user, told, &mut stop).await? {
                    Waited::Turn(turn) => session.take_turn(turn),
                    Waited::Gone => return Ok(End::Closed),
                    Waited::Stop => {
                        last_words(stream, GOING_DOWN).await?;
                        return Ok(End::Closed);
                    }
                }
                None
            }
            Next::StartTls => {
                write(stream, &mut unsent).await?;
                return Ok(End::StartTls(Box::new(session)));
            }
            Next::Close => {
                // A literal that broke off must not go on with other words.
                if unsent.is_empty() && !inside && *stop.borrow() {
                    unsent.extend_from_slice(GOING_DOWN);
                }
                write(stream, &mut unsent).await?;
                timeout(BYE_TIMEOUT, stream.shutdown()).await??;
                return Ok(End::Closed);
            }
        };
        match wait {
            None | Some(Wake::Input) => {}
            Some(Wake::Changes) => session.changed(),
            Some(Wake::Gone) => gone = true,
            Some(Wake::KeepAlive) => {
                unsent.extend_from_slice(b"* OK Still here\r\n");
                continue;
            }
            Some(Wake::Late) => {
                last_words(stream, b"* BYE Autologout: nothing was heard in time\r\n").await?;
                return Ok(End::Closed);
            }
            Some(Wake::Stop) => {
                last_words(stream, GOING_DOWN).await?;
                return Ok(End::Closed);
            }
        }
        if *stop.borrow() && next == Next::More {
            // In the middle of a line there is nothing sane to say.
            let words: &[u8] = if session.is_inside_line() { b"" } else { GOING_DOWN };
            unsent.extend_from_slice(words);
            last_words(stream, &unsent).await?;
            return Ok(End::Closed);
        }
        // A large chunk goes out before the next one is made, so that there are never two.
        if unsent.len() > 2 * CHUNK {
            write(stream, &mut unsent).await?;
        }
        session.input(&ahead);
        ahead = Vec::new();
        inside = session.is_inside_line();
        let job = start(session, &cancel);
        let link = Link { unsent: &mut unsent, ahead: &mut ahead, gone: &mut gone, told: told.as_mut() };
        let (back, step) = drive(stream, job, link, &cancel, &mut stop).await?;
        session = back;
        told = told.filter(|_| session.queued().is_some());
        unsent = step.out;
        next = step.next;
    }
}

/// What a step's connection has to carry meanwhile.
struct Link<'l> {
    unsent: &'l mut Vec<u8>,
    ahead: &'l mut Vec<u8>,
    gone: &'l mut bool,
    told: Option<&'l mut Told>,
}

/// How waiting in the queue ended.
enum Waited {
    Turn(Turn),
    Gone,
    Stop,
}

/// Waits until the user may search, telling the client that it waits. No thread is held meanwhile.
async fn wait_turn<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    ahead: &mut Vec<u8>,
    queue: &Queue,
    user: &str,
    told: &mut Told,
    stop: &mut watch::Receiver<bool>,
) -> io::Result<Waited> {
    let mut turn = queue.enter(user);
    loop {
        tokio::select! {
            biased;
            () = super::stopped(stop) => return Ok(Waited::Stop),
            turn = &mut turn => {
                return turn.map(Waited::Turn).map_err(|_| io::Error::other("the queue has gone"));
            }
            got = fill(stream, ahead), if ahead.len() < MAX_AHEAD => {
                if !matches!(got, Ok(n) if n > 0) {
                    return Ok(Waited::Gone);
                }
            }
            () = tokio::time::sleep_until(told.due()) => write(stream, &mut told.line()).await?,
        }
    }
}

/// Writes what there is and awaits the session's step, watching meanwhile whether the client is still there.
async fn drive<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    job: Job,
    link: Link<'_>,
    cancel: &Cancel,
    stop: &mut watch::Receiver<bool>,
) -> io::Result<(Session, Step)> {
    let Link { unsent, ahead, gone, told } = link;
    let (mut read, mut write_half) = tokio::io::split(stream);
    let ended = Notify::new();
    let both = async {
        let work = async {
            let done = job.await;
            ended.notify_one();
            done
        };
        let speak = async {
            write(&mut write_half, unsent).await?;
            let Some(told) = told else { return Ok(()) };
            // A line that was begun is ended: only between two of them the job's end is looked for.
            while timeout_at(told.due(), ended.notified()).await.is_err() {
                *unsent = told.line();
                write(&mut write_half, unsent).await?;
            }
            Ok(())
        };
        let (written, done): (io::Result<()>, _) = tokio::join!(speak, work);
        written.map(|()| done)
    };
    tokio::pin!(both);
    let mut stopping = false;
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
        }
    };
    let done = done.inspect_err(|_| cancel.set())?;
    done.map_err(|error| io::Error::other(format!("the session failed: {error}")))
}

async fn fill<R: AsyncRead + Unpin>(read: &mut R, ahead: &mut Vec<u8>) -> io::Result<usize> {
    ahead.reserve(READ);
    read.take(READ as u64).read_buf(ahead).await
}

async fn write<W: AsyncWrite + Unpin>(stream: &mut W, unsent: &mut Vec<u8>) -> io::Result<()> {
    if unsent.is_empty() {
        return Ok(());
    }
    timeout(WRITE_TIMEOUT, async {
        stream.write_all(unsent).await?;
        stream.flush().await
    })
    .await??;
    *unsent = Vec::new();
    Ok(())
}

/// Why waiting ended.
enum Wake {
    Input,
    Gone,
    Changes,
    KeepAlive,
    Late,
    Stop,
}

async fn wait<S: AsyncRead + Unpin>(
    stream: &mut S,
    ahead: &mut Vec<u8>,
    next: Next,
    stop: &mut watch::Receiver<bool>,
    changes: &mut watch::Receiver<u64>,
    clock: &mut Clock,
) -> io::Result<Wake> {
    let idle = next == Next::Idle;
    let watch = idle || next == Next::Watch;
    tokio::select! {
        biased;
        () = super::stopped(stop) => Ok(Wake::Stop),
        got = fill(stream, ahead) => Ok(if got? == 0 { Wake::Gone } else { Wake::Input }),
        () = tokio::time::sleep_until(clock.deadline()) => Ok(Wake::Late),
        changed = changes.changed(), if watch => {
            // The sender lives as long as the server.
            if changed.is_err() { Ok(Wake::Stop) } else { Ok(Wake::Changes) }
        }
        () = tokio::time::sleep(clock.keepalive), if idle => Ok(Wake::KeepAlive),
    }
}

/// The times a client has: to log in, to finish a command, and to say anything at all.
struct Clock {
    login: Option<Instant>,
    command: Option<Instant>,
    idle: Instant,
    commands: u64,
    command_limit: Duration,
    idle_limit: Duration,
    keepalive: Duration,
}

impl Clock {
    fn new(opened: Instant, settings: &Settings) -> Clock {
        let idle_limit = Duration::from_secs(settings.idle_timeout_secs);
        Clock {
            login: Some(opened + Duration::from_secs(settings.login_timeout_secs)),
            command: None,
            idle: Instant::now() + idle_limit,
            commands: 0,
            command_limit: Duration::from_secs(settings.command_timeout_secs),
            idle_limit,
            keepalive: Duration::from_secs(settings.idle_keepalive_secs),
        }
    }

    /// Looks at the session before its next input is awaited.
    fn note(&mut self, session: &Session) {
        let now = Instant::now();
        if session.user.is_some() {
            self.login = None;
        }
        if session.commands() != self.commands {
            self.commands = session.commands();
            self.idle = now + self.idle_limit;
            self.command = None;
        }
        // The time counts from a command's first byte, not from each of them.
        self.command = match (session.is_partial(), self.command) {
            (true, None) => Some(now + self.command_limit),
            (true, running) => running,
            (false, _) => None,
        };
    }

    fn deadline(&self) -> Instant {
        [self.login, self.command].into_iter().flatten().fold(self.idle, Instant::min)
    }
}
