//! An IMAP server that makes its mail up as it sends it, and lies as each of its users has it: for what a run bears of a server, and for
//! connections that end anywhere.
//!
//! Invariant: nothing it sends is in memory as a whole, whatever its length. Passwords are all right. Not here: what an honest server
//! does (`mailserver`).

use anyhow::Context;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes of a piece of what has no end.
const PIECE: usize = 64 << 10;

/// What a user's INBOX is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mailbox {
    /// So many messages of so many bytes each.
    Mail {
        /// Messages.
        count: u32,
        /// Bytes of each, at least [`LEAST_BYTES`].
        bytes: u64,
    },
    /// Two messages: one for which 4 GiB are announced, and sent without end, and a good one.
    HugeLiteral,
    /// EXISTS without end where a mailbox is opened.
    ExistsFlood,
    /// Mailboxes without end.
    EndlessList,
    /// A line without end.
    EndlessLine,
    /// Nothing any more once a mailbox is opened.
    Hang,
}

/// Fewest bytes of a message.
pub const LEAST_BYTES: u64 = 200;

/// A running server; ended on drop.
#[derive(Debug)]
pub struct Liar {
    /// Where it listens, without TLS.
    pub imap: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    users: BTreeMap<String, Mailbox>,
    closed: AtomicBool,
    /// Bytes sent, in all connections.
    sent: AtomicU64,
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        drop(TcpStream::connect(self.imap));
    }
}

impl Liar {
    /// Starts one with these users.
    /// # Errors
    /// No port.
    pub fn start(users: &[(&str, Mailbox)]) -> crate::Result<Liar> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let imap = listener.local_addr()?;
        let users = users.iter().map(|(name, mailbox)| ((*name).to_owned(), *mailbox)).collect();
        let shared = Arc::new(Shared { users, closed: AtomicBool::new(false), sent: AtomicU64::new(0) });
        let all = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if all.closed.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&all);
                // A client that hangs up has had enough, which is what this server is for.
                std::thread::spawn(move || drop(Session::talk(stream, &shared)));
            }
        });
        Ok(Liar { imap, shared })
    }

    /// Bytes that were sent so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }
}

/// Message `uid` of `bytes` bytes: a header, then lines of few words.
struct Message {
    head: Vec<u8>,
    bytes: u64,
}

impl Message {
    fn new(uid: u32, bytes: u64) -> Message {
        let head = format!(
            "From: sender{uid}@example.com\r\nSubject: letter {uid}\r\nDate: Thu, 1 Jan 2015 00:00:00 +0000\r\n\r\n"
        );
        Message { head: head.into_bytes(), bytes }
    }
}

struct Session<'a> {
    input: BufReader<TcpStream>,
    output: TcpStream,
    shared: &'a Shared,
    mailbox: Mailbox,
}

impl Session<'_> {
    fn talk(stream: TcpStream, shared: &Shared) -> crate::Result {
        stream.set_nodelay(true)?;
        let input = BufReader::new(stream.try_clone()?);
        let mailbox = Mailbox::Mail { count: 0, bytes: LEAST_BYTES };
        let mut session = Session { input, output: stream, shared, mailbox };
        session.line("* OK ready")?;
        loop {
            let mut line = String::new();
            if session.input.by_ref().take(1 << 20).read_line(&mut line)? == 0 {
                return Ok(());
            }
            let (tag, command) = line.trim_end().split_once(' ').context("a command")?;
            session.command(command)?;
            session.line(&format!("{tag} OK done"))?;
        }
    }

    fn say(&mut self, bytes: &[u8]) -> crate::Result {
        self.output.write_all(bytes)?;
        self.shared.sent.fetch_add(bytes.len() as u64, Ordering::SeqCst);
        Ok(())
    }

    fn line(&mut self, text: &str) -> crate::Result {
        self.say(format!("{text}\r\n").as_bytes())
    }

    fn endless(&mut self, bytes: &[u8]) -> crate::Result {
        loop {
            self.say(bytes)?;
        }
    }

    /// Messages, and bytes of each.
    fn figures(&self) -> (u32, u64) {
        match self.mailbox {
            Mailbox::Mail { count, bytes } => (count, bytes),
            _ => (2, 10 * LEAST_BYTES),
        }
    }

    fn command(&mut self, command: &str) -> crate::Result {
        let mut words = command.split(' ');
        let (count, bytes) = self.figures();
        match (words.next().unwrap_or_default(), words.next().unwrap_or_default()) {
            ("CAPABILITY", _) => self.line("* CAPABILITY IMAP4rev1 ESEARCH UIDPLUS"),
            ("LOGIN", user) => {
                let known = self.shared.users.get(user.trim_matches('"'));
                self.mailbox = *known.context("a user")?;
                Ok(())
            }
            ("LIST", _) => match self.mailbox {
                Mailbox::EndlessList => {
                    for number in 0_u64.. {
                        self.line(&format!("* LIST () \"/\" folder{number}"))?;
                    }
                    Ok(())
                }
                Mailbox::EndlessLine => {
                    self.say(b"* LIST () \"/\" ")?;
                    self.endless(&[b'x'; PIECE])
                }
                _ => self.line("* LIST () \"/\" INBOX"),
            },
            ("STATUS", _) => self.line(&format!(
                "* STATUS INBOX (MESSAGES {count} UIDNEXT {} UIDVALIDITY 1)",
                u64::from(count) + 1
            )),
            ("EXAMINE" | "SELECT", _) => {
                if self.mailbox == Mailbox::Hang {
                    std::io::copy(&mut self.input, &mut std::io::sink())?;
                    anyhow::bail!("the client has hung up");
                }
                if self.mailbox == Mailbox::ExistsFlood {
                    self.endless(&b"* 5 EXISTS\r\n".repeat(1_000))?;
                }
                let next = u64::from(count) + 1;
                self.line(&format!("* {count} EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n* OK [UIDNEXT {next}] x"))
            }
            ("UID", "SEARCH") => self.line(&format!("* ESEARCH (TAG \"x\") UID ALL 1:{count}")),
            ("UID", "FETCH") => {
                let set = words.next().context("a set")?;
                let body = command.contains("BODY.PEEK[]");
                for span in set.split(',') {
                    let (first, last) = span.split_once(':').unwrap_or((span, span));
                    for uid in first.parse::<u32>()?..=last.parse::<u32>()?.min(count) {
                        if body { self.body(uid, bytes)? } else { self.facts(uid, bytes)? }
                    }
                }
                Ok(())
            }
            // LOGOUT: the answer is enough.
            _ => Ok(()),
        }
    }

    fn facts(&mut self, uid: u32, bytes: u64) -> crate::Result {
        self.line(&format!(
            "* {uid} FETCH (UID {uid} FLAGS (\\Seen) INTERNALDATE \"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE {bytes})"
        ))
    }

    fn body(&mut self, uid: u32, bytes: u64) -> crate::Result {
        if self.mailbox == Mailbox::HugeLiteral && uid == 1 {
            self.say(b"* 1 FETCH (UID 1 BODY[] {4294967296}\r\n")?;
            return self.endless(&[b'x'; PIECE]);
        }
        let message = Message::new(uid, bytes);
        self.say(format!("* {uid} FETCH (UID {uid} BODY[] {{{}}}\r\n", message.bytes).as_bytes())?;
        self.say(&message.head)?;
        let piece = b"the quick brown fox jumps over the lazy dog and so it goes on\r\n".repeat(1_000);
        let mut left = usize::try_from(message.bytes)?.saturating_sub(message.head.len());
        while left > 0 {
            let some = piece.get(..left.min(piece.len())).unwrap_or(&piece);
            self.say(some)?;
            left -= some.len();
        }
        self.line(")")
    }
}
