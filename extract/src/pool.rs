//! The processes that extract, as the one sees them who asks: started when needed, watched, ended, replaced.
//!
//! Invariant: [`Pool::extract`] comes back within the time limit and a little, whatever the file does to its process; a process that dies
//! costs at most the file that it had in hand. Nothing that a process answers is believed beyond the bounds.

use crate::bounds::{Bounds, Found};
use crate::sandbox::Confined;
use crate::worker::Orders;
use crate::{Format, wire};
use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Files after which a process is replaced by a fresh one.
const MAX_SERVED: u32 = 500;
/// A file above this leaves its process larger than it should stay.
const LARGE_BYTES: usize = 4 << 20;
/// Time that a process may take until it greets, beside the rest of the machine's work.
const START_SECS: u64 = 30;
/// Tries to start a process.
const START_TRIES: u32 = 3;
/// Pause after the first process that died in a row; doubled up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_millis(10);
const MAX_PAUSE: Duration = Duration::from_secs(1);
/// Last words of a process that are kept.
const LAST_WORDS: usize = 4 << 10;
/// Bytes that are read or written at once.
const BUFFER_BYTES: usize = 64 << 10;

/// What the processes are and may.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The program that calls [`crate::worker::run`] when its first argument is [`crate::worker::ARGUMENT`].
    pub program: PathBuf,
    /// Formats that are extracted; of others nothing is asked.
    pub formats: Vec<Format>,
    /// Processes at once, 1 or more.
    pub workers: usize,
    /// Seconds that one file may take.
    pub time_secs: u64,
    /// Memory that one process may write to.
    pub memory_bytes: u64,
    /// Largest file that is extracted.
    pub input_bytes: u64,
    /// Bounds of one extraction.
    pub bounds: Bounds,
}

/// Asks processes for the text of files.
#[derive(Debug)]
pub struct Pool {
    settings: Settings,
    /// Places for processes that nobody uses now.
    free: (Sender<Place>, Receiver<Place>),
    told: AtomicBool,
}

/// A place for one process.
#[derive(Debug, Default)]
struct Place {
    worker: Option<Worker>,
    /// Processes that died in a row.
    deaths: u32,
}

impl Pool {
    /// No process is started yet.
    #[must_use]
    pub fn new(settings: Settings) -> Pool {
        let places = settings.workers.max(1);
        let free = bounded(places);
        for _ in 0..places {
            // There is room for all of them.
            if free.0.try_send(Place::default()).is_err() {
                break;
            }
        }
        Pool { settings, free, told: AtomicBool::new(false) }
    }

    /// Processes that work at once.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.settings.workers.max(1)
    }

    /// The text of a file, or `None` when files of this format are not to be extracted. Waits for a process that is free, then
    /// at most for the time limit. What failed, and why, is in the answer.
    #[must_use]
    pub fn extract(&self, format: Format, bytes: &[u8]) -> Option<Found> {
        if !self.settings.formats.contains(&format) {
            return None;
        }
        let failed = |what: String| Some(Found { text: String::new(), trouble: Some(what) });
        let most = self.settings.input_bytes;
        let len = match u32::try_from(bytes.len()) {
            Ok(len) if u64::from(len) <= most => len,
            _ => return failed(format!("it has more than {most} bytes")),
        };
        let mut place = match self.free.1.recv() {
            Ok(place) => place,
            Err(error) => return failed(error.to_string()),
        };
        let found = self.with(&mut place, format, len, bytes);
        // A process that a file made larger, or that worked for long, ends here.
        if bytes.len() > LARGE_BYTES
            || place.worker.as_ref().is_some_and(|worker| worker.served >= MAX_SERVED)
        {
            place.worker = None;
        }
        if self.free.0.send(place).is_err() {
            tracing::error!("a process that extracts text lost its place");
        }
        Some(found)
    }

    fn with(&self, place: &mut Place, format: Format, len: u32, bytes: &[u8]) -> Found {
        let failed = |what: String| Found { text: String::new(), trouble: Some(what) };
        loop {
            let worker = match self.worker(place) {
                Ok(worker) => worker,
                Err(error) => {
                    tracing::error!(%error, "no process that extracts text can be started");
                    return failed(format!("no process for it could be started: {error}"));
                }
            };
            let fresh = worker.served == 0;
            let end = Instant::now() + Duration::from_secs(self.settings.time_secs);
            let asked =
                worker.ask(&wire::request(format, len), bytes, self.settings.bounds.output_bytes, end);
            match asked {
                Ok(found) => {
                    worker.served += 1;
                    place.deaths = 0;
                    return found;
                }
                Err(Death::Late) => {
                    place.worker = None;
                    return failed(format!("it takes longer than {} s", self.settings.time_secs));
                }
                Err(death) => {
                    let ended = place.worker.take().map(Worker::end);
                    place.deaths = place.deaths.saturating_add(1);
                    // What files before it left in memory should decide nothing: it gets a process of its own.
                    if fresh {
                        return failed(self.reason(death, ended));
                    }
                }
            }
        }
    }

    /// What a death means, for people.
    fn reason(&self, death: Death, ended: Option<(io::Result<ExitStatus>, Vec<u8>)>) -> String {
        let Death::Gone = death else { return "its process gave an answer that makes no sense".to_owned() };
        let Some((Ok(status), words)) = ended else { return "its process ended".to_owned() };
        let words = String::from_utf8_lossy(&words);
        if words.contains("memory allocation") {
            return format!("it needs more than {} bytes of memory", self.settings.memory_bytes);
        }
        if words.contains("stack overflow") {
            return "it is nested too deep".to_owned();
        }
        match status.signal() {
            // SIGXCPU
            Some(24) => format!("it takes longer than {} s", self.settings.time_secs),
            Some(signal) => format!("its process was ended by signal {signal}"),
            None => format!("its process ended with {status}"),
        }
    }

    /// The process of a place, started if there is none.
    fn worker<'a>(&self, place: &'a mut Place) -> io::Result<&'a mut Worker> {
        let mut tries = 0;
        while place.worker.is_none() {
            if place.deaths > 0 {
                let factor = 1_u32.checked_shl(place.deaths - 1).unwrap_or(u32::MAX);
                std::thread::sleep(PAUSE.saturating_mul(factor).min(MAX_PAUSE));
            }
            match Worker::start(&self.settings) {
                Ok((worker, confined)) => {
                    self.tell(confined);
                    place.worker = Some(worker);
                }
                Err(error) => {
                    tries += 1;
                    place.deaths = place.deaths.saturating_add(1);
                    if tries >= START_TRIES {
                        return Err(error);
                    }
                }
            }
        }
        place.worker.as_mut().ok_or_else(|| io::Error::other("no process"))
    }

    /// Says once how far the processes are confined, where that is less than it could be.
    fn tell(&self, confined: Confined) {
        if self.told.swap(true, Ordering::Relaxed) {
            return;
        }
        match confined {
            Confined::Fully => {
                tracing::debug!("text of attachments is extracted in processes that Landlock confines")
            }
            Confined::Partly => {
                tracing::info!("this kernel's Landlock confines the processes that extract text only in part")
            }
            Confined::Not => tracing::warn!(
                "this kernel has no Landlock: the processes that extract text of attachments are confined by resource limits only"
            ),
        }
    }
}

/// How an exchange can end without an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// Nothing came in time.
    Late,
    /// The process is gone.
    Gone,
    /// It answered something else.
    Nonsense,
}

/// A process and the pipes to it.
#[derive(Debug)]
struct Worker {
    child: Child,
    to: ChildStdin,
    from: ChildStdout,
    errors: ChildStderr,
    words: Vec<u8>,
    served: u32,
}

impl Worker {
    fn start(settings: &Settings) -> io::Result<(Worker, Confined)> {
        let orders = Orders {
            memory_bytes: settings.memory_bytes,
            time_secs: settings.time_secs,
            input_bytes: settings.input_bytes,
            bounds: settings.bounds.clone(),
        };
        let mut child = Command::new(&settings.program)
            .args(orders.arguments())
            .env_clear()
            // The PDF reader's own bound of one stream, so that a bomb is told before memory ends.
            .env("PDF_OXIDE_MAX_DECOMPRESS_MB", (settings.memory_bytes >> 22).max(1).to_string())
            // One heap, whatever the number of processors.
            .env("MALLOC_ARENA_MAX", "1")
            .current_dir("/")
            // Keys pressed at the terminal are for the one who asks.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let pipes = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(to), Some(from), Some(errors)) = pipes else {
            return Err(io::Error::other("a pipe is missing"));
        };
        let mut worker = Worker { child, to, from, errors, words: Vec::new(), served: 0 };
        for pipe in [worker.to.as_fd(), worker.from.as_fd(), worker.errors.as_fd()] {
            fcntl_setfl(pipe, fcntl_getfl(pipe)? | OFlags::NONBLOCK)?;
        }
        let end = Instant::now() + Duration::from_secs(START_SECS);
        let greeting =
            worker.exchange(&[], &[], end, |so_far| Ok((!so_far.is_empty()).then_some(wire::GREETING_BYTES)));
        let confined = match greeting.as_deref() {
            Ok([front @ .., code]) if *front == wire::GREETING => Confined::from_code(*code),
            _ => None,
        };
        match confined {
            Some(confined) => Ok((worker, confined)),
            None => {
                let (status, words) = worker.end();
                let words: String = String::from_utf8_lossy(&words).trim().chars().take(200).collect();
                Err(io::Error::other(format!("{}: {words}", status?)))
            }
        }
    }

    /// One file.
    fn ask(&mut self, head: &[u8], file: &[u8], most_text: usize, end: Instant) -> Result<Found, Death> {
        let answer = self.exchange(head, file, end, |so_far| wire::answer_len(so_far, most_text))?;
        wire::answer(&answer).ok_or(Death::Nonsense)
    }

    /// Writes both, and reads until `len` knows how long the answer is and so much is there.
    fn exchange(
        &mut self,
        head: &[u8],
        file: &[u8],
        end: Instant,
        len: impl Fn(&[u8]) -> Result<Option<usize>, ()>,
    ) -> Result<Vec<u8>, Death> {
        let (mut head, mut file) = (head, file);
        let mut answer = Vec::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            match len(&answer).map_err(|()| Death::Nonsense)? {
                Some(len) if answer.len() == len => return Ok(answer),
                Some(len) if answer.len() > len => return Err(Death::Nonsense),
                _ => {}
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Death::Late);
            }
            self.wait(!head.is_empty() || !file.is_empty(), left)?;
            for part in [&mut head, &mut file] {
                if part.is_empty() {
                    continue;
                }
                match self.to.write(&part[..part.len().min(BUFFER_BYTES)]) {
                    Ok(written) => *part = &part[written..],
                    Err(error) if is_later(&error) => {}
                    // What it says of that may still be there to read.
                    Err(_) => *part = &[],
                }
                if !part.is_empty() {
                    break;
                }
            }
            match self.errors.read(&mut buffer) {
                Ok(got) => {
                    self.words.extend_from_slice(&buffer[..got]);
                    let old = self.words.len().saturating_sub(LAST_WORDS);
                    self.words.drain(..old);
                }
                Err(error) if is_later(&error) => {}
                Err(_) => return Err(Death::Gone),
            }
            match self.from.read(&mut buffer) {
                Ok(0) => return Err(Death::Gone),
                Ok(got) => answer.extend_from_slice(&buffer[..got]),
                Err(error) if is_later(&error) => {}
                Err(_) => return Err(Death::Gone),
            }
        }
    }

    /// Waits until a pipe is ready, or the time is over.
    fn wait(&self, writing: bool, left: Duration) -> Result<(), Death> {
        let mut pipes =
            vec![PollFd::new(&self.from, PollFlags::IN), PollFd::new(&self.errors, PollFlags::IN)];
        if writing {
            pipes.push(PollFd::new(&self.to, PollFlags::OUT));
        }
        let secs = i64::try_from(left.as_secs()).unwrap_or(i64::MAX);
        let time = Timespec { tv_sec: secs, tv_nsec: left.subsec_nanos().into() };
        match poll(&mut pipes, Some(&time)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(_) => Err(Death::Gone),
        }
    }

    /// Ends it; gives how it ended, and its last words.
    fn end(mut self) -> (io::Result<ExitStatus>, Vec<u8>) {
        // One that is about to end by itself tells more than one that is killed: its output is closed already.
        let mut status = self.child.try_wait();
        let end = Instant::now() + MAX_PAUSE;
        while matches!(status, Ok(None)) && Instant::now() < end {
            std::thread::sleep(PAUSE);
            status = self.child.try_wait();
        }
        let mut rest = Vec::new();
        if let Err(error) = (&mut self.errors).take(LAST_WORDS as u64).read_to_end(&mut rest)
            && !is_later(&error)
        {
            tracing::debug!(%error, "last words of a process");
        }
        let mut words = std::mem::take(&mut self.words);
        words.extend(rest);
        let status = match status {
            Ok(Some(status)) => Ok(status),
            _ => self.child.kill().and_then(|()| self.child.wait()),
        };
        (status, words)
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // One that has ended can't be killed; then waiting for it ends at once.
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            tracing::warn!(%error, "a process that extracts text could not be ended");
        }
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
