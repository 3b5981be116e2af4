//! Many clients at once, each with a mind of its own: what they ask for, how long each answer took, and what went wrong.
//!
//! Promise: every answer is read whole; an answer other than OK, an end of the connection, and a message with other bytes
//! than are known are failures, named. Times are kept, never judged here.

use crate::generate::Dice;
use crate::imap::{Fetched, announced};
use crate::{Archive, mail};
use anyhow::{Context, bail, ensure};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Logins at once; the server takes 50 connections of an address before their login.
const LOGINS: usize = 32;

/// What is to be done.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The plain listener.
    pub address: SocketAddr,
    /// Users of `Archive::with_users`; connections are shared among them.
    pub users: Vec<String>,
    /// Connections at once.
    pub connections: usize,
    /// How long.
    pub time: Duration,
    /// Pause of a client between two commands: up to twice this.
    pub pause: Duration,
    /// Mailboxes that every user has, with the hash of the message of each UID, from 1 on.
    pub mailboxes: Vec<(String, Vec<String>)>,
    /// Chooses what the clients do.
    pub seed: u64,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Microseconds from a command's sending to its end, by kind.
    pub took: BTreeMap<&'static str, Vec<u64>>,
    /// What went wrong.
    pub failures: Vec<String>,
}

impl Outcome {
    /// How many answers there were.
    #[must_use]
    pub fn answers(&self) -> usize {
        self.took.values().map(Vec::len).sum()
    }
    /// A line a kind: number, p50 and p95 in milliseconds.
    #[must_use]
    pub fn table(&mut self) -> String {
        let mut lines = Vec::new();
        for (kind, took) in &mut self.took {
            took.sort_unstable();
            let at = |part: usize| took.get(took.len() * part / 100).map_or(0.0, |&us| us as f64 / 1_000.0);
            lines.push(format!("{kind:10} {:8}  p50 {:9.2} ms  p95 {:9.2} ms", took.len(), at(50), at(95)));
        }
        lines.join("\n")
    }
}

/// One client's connection.
struct Client {
    stream: BufReader<TcpStream>,
    tag: u64,
    selected: Option<usize>,
}

impl Client {
    /// Connects and logs in; gives when its turn came, too, since waiting for that is no fault of the server.
    async fn open(plan: &Plan, user: &str, logins: &Semaphore) -> crate::Result<(Client, Instant)> {
        let _turn = logins.acquire().await?;
        let begun = Instant::now();
        let stream = TcpStream::connect(plan.address).await?;
        stream.set_nodelay(true)?;
        let mut client =
            Client { stream: BufReader::with_capacity(16 << 10, stream), tag: 0, selected: None };
        ensure!(client.response().await?.starts_with(b"* OK"), "the greeting");
        client.run(&format!("LOGIN \"{user}\" \"{}\"", Archive::password(user)), |_| Ok(())).await?;
        Ok((client, begun))
    }

    /// The next response with its literals.
    async fn response(&mut self) -> crate::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        loop {
            ensure!(self.stream.read_until(b'\n', &mut bytes).await? > 0, "the connection has ended");
            let Some(length) = announced(&bytes) else { break };
            let before = bytes.len() as u64;
            (&mut self.stream).take(length).read_to_end(&mut bytes).await?;
            ensure!(bytes.len() as u64 == before + length, "the connection has ended in a literal");
        }
        bytes.truncate(bytes.len().saturating_sub(2));
        Ok(bytes)
    }

    async fn send(&mut self, command: &str) -> crate::Result<String> {
        self.tag += 1;
        let tag = format!("c{}", self.tag);
        self.stream.get_mut().write_all(format!("{tag} {command}\r\n").as_bytes()).await?;
        Ok(tag)
    }

    /// Reads to the tagged answer.
    async fn finish(&mut self, tag: &str, mut each: impl FnMut(&[u8]) -> crate::Result) -> crate::Result {
        let start = format!("{tag} ");
        loop {
            let response = self.response().await?;
            if let Some(rest) = response.strip_prefix(start.as_bytes()) {
                ensure!(rest.starts_with(b"OK"), "{}", String::from_utf8_lossy(rest));
                return Ok(());
            }
            each(&response)?;
        }
    }

    async fn run(&mut self, command: &str, each: impl FnMut(&[u8]) -> crate::Result) -> crate::Result {
        let tag = self.send(command).await?;
        self.finish(&tag, each).await.with_context(|| format!("{command:.60}"))
    }

    /// Does one thing that a mail program does; gives its kind.
    async fn step(&mut self, plan: &Plan, dice: &mut Dice) -> crate::Result<&'static str> {
        let number = dice.below(plan.mailboxes.len() as u64) as usize;
        let Some(selected) = self.selected.filter(|_| !dice.permille(100)) else {
            self.run(&format!("EXAMINE \"{}\"", plan.mailboxes[number].0), |_| Ok(())).await?;
            self.selected = Some(number);
            return Ok("examine");
        };
        let hashes = &plan.mailboxes[selected].1;
        let one = 1 + dice.below(hashes.len() as u64);
        let some = format!("{one}:{}", (one + 49).min(hashes.len() as u64));
        let (kind, command) = match dice.below(100) {
            0..10 => ("noop", "NOOP".to_owned()),
            10..20 => {
                ("status", format!("STATUS \"{}\" (MESSAGES UIDNEXT UNSEEN)", plan.mailboxes[number].0))
            }
            20..25 => ("list", "LIST \"\" \"*\" RETURN (SPECIAL-USE)".to_owned()),
            25..35 => ("flags", "UID FETCH 1:* (FLAGS)".to_owned()),
            35..47 => {
                ("cards", format!("UID FETCH {some} (FLAGS INTERNALDATE RFC822.SIZE ENVELOPE BODYSTRUCTURE)"))
            }
            47..57 => {
                ("headers", format!("UID FETCH {some} (BODY.PEEK[HEADER.FIELDS (From To Subject Date)])"))
            }
            57..77 => ("body", format!("UID FETCH {one} (BODY.PEEK[])")),
            77..85 => ("subject", format!("UID SEARCH UNDELETED SUBJECT \"message {one}\"")),
            85..90 => ("text", format!("UID SEARCH CHARSET UTF-8 TEXT \"of message {one}\"")),
            90..93 => ("sort", "UID SORT (REVERSE DATE) UTF-8 ALL".to_owned()),
            93..97 => ("idle", "IDLE".to_owned()),
            _ => ("logout", "LOGOUT".to_owned()),
        };
        let tag = self.send(&command).await?;
        if kind == "idle" {
            // News may come before it is idling.
            while !self.response().await?.starts_with(b"+ ") {}
            tokio::time::sleep(plan.pause).await;
            self.stream.get_mut().write_all(b"DONE\r\n").await?;
        }
        let mut bodies = 0;
        let checked = |response: &[u8]| -> crate::Result {
            if kind == "body"
                && let Some(fetched) = Fetched::parse(response)?
            {
                bodies += 1;
                let hash = mail::sha256(fetched.literal("BODY[]")?);
                let expected = hashes.get(one as usize - 1);
                ensure!(expected == Some(&hash), "UID {one} comes out with other bytes");
            }
            Ok(())
        };
        self.finish(&tag, checked).await.with_context(|| format!("{command:.60}"))?;
        ensure!(kind != "body" || bodies == 1, "UID {one}: {bodies} answers");
        Ok(kind)
    }
}

async fn client(plan: Arc<Plan>, number: usize, logins: Arc<Semaphore>, end: Instant) -> Outcome {
    let mut outcome = Outcome::default();
    let mut dice = Dice::new(&[plan.seed, number as u64]);
    let user = &plan.users[number % plan.users.len()];
    let mut open: Option<Client> = None;
    while Instant::now() < end {
        let mut begun = Instant::now();
        let done = match &mut open {
            None => match Client::open(&plan, user, &logins).await {
                Ok((client, turn)) => {
                    (open, begun) = (Some(client), turn);
                    Ok("login")
                }
                Err(error) => Err(error.context("LOGIN")),
            },
            Some(client) => client.step(&plan, &mut dice).await,
        };
        match done {
            Ok(kind) => {
                let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
                outcome.took.entry(kind).or_default().push(took);
                if kind == "logout" {
                    open = None;
                }
            }
            Err(error) => {
                outcome.failures.push(format!("client {number} of {user}: {error:#}"));
                open = None;
            }
        }
        let twice = u64::try_from(plan.pause.as_micros()).unwrap_or(u64::MAX).saturating_mul(2).max(1);
        tokio::time::sleep(Duration::from_micros(dice.below(twice))).await;
    }
    outcome
}

/// Lets the clients work, and returns when the last has ended.
/// # Errors
/// The driver itself fails.
pub fn run(plan: Plan) -> crate::Result<Outcome> {
    if plan.users.is_empty() || plan.mailboxes.iter().any(|(_, hashes)| hashes.is_empty()) {
        bail!("a plan without users, or with an empty mailbox");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let end = Instant::now() + plan.time;
    let (plan, logins) = (Arc::new(plan), Arc::new(Semaphore::new(LOGINS)));
    runtime.block_on(async {
        let mut tasks = Vec::new();
        for number in 0..plan.connections {
            tasks.push(tokio::spawn(client(Arc::clone(&plan), number, Arc::clone(&logins), end)));
        }
        let mut all = Outcome::default();
        for task in tasks {
            let one = task.await?;
            all.failures.extend(one.failures);
            for (kind, took) in one.took {
                all.took.entry(kind).or_default().extend(took);
            }
        }
        Ok(all)
    })
}
