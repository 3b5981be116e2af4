//! A POP3 client that streams (RFC 1939, CAPA of RFC 2449, AUTH of RFC 5034, STLS of RFC 2595).
//!
//! Invariant: a line has at most 64 KiB outside messages, a listing at most 1,000,000 messages, and a message goes to its reader as it
//! comes, its dots undone. Nothing is deleted but by [`Client::delete`], and only once the server has said +OK to QUIT.

use super::access::{Access, Login, Mechanism, Tls};
use super::connect::{self, BULK_RATE, IDLE_RATE, Wire};
use super::fault::{Fault, busy, shown};
use super::sasl::{self, Sasl};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use std::collections::BTreeSet;
use std::io::{self, Read};
use storage::Incoming;
use zeroize::Zeroizing;

/// Bytes of a line outside messages.
const MAX_LINE: usize = 64 << 10;
/// Messages of a maildrop.
const MAX_MESSAGES: usize = 1_000_000;
/// Lines of what the server can do.
const MAX_CAPABILITIES: usize = 1_000;
/// Bytes of a message past the limit that are read over; more, and a new connection is cheaper.
const READ_OVER: u64 = 16 << 20;

/// A connection, logged in.
#[derive(Debug)]
pub(crate) struct Client {
    wire: Wire,
    capabilities: BTreeSet<String>,
}

impl Client {
    /// Connects and logs in.
    /// # Errors
    /// All of [`Fault`] but `Storage`.
    pub(crate) fn open(access: &Access, login: &Login, net: &connect::Limits) -> Result<Client, Fault> {
        let mut client = Client { wire: Wire::open(access, net)?, capabilities: BTreeSet::new() };
        client.answer("connecting")?;
        client.ask_capabilities()?;
        if access.tls == Tls::Starttls {
            if !client.capabilities.contains("STLS") {
                let what =
                    "the server offers no STLS; try TLS from the start (--tls implicit, usually port 995)"
                        .into();
                return Err(Fault::Tls { place: access.host.clone(), what });
            }
            client.run("STLS", "")?;
            client.wire.secure(access)?;
            client.capabilities.clear();
            client.ask_capabilities()?;
        }
        client.login(access, login)?;
        Ok(client)
    }

    fn ask_capabilities(&mut self) -> Result<(), Fault> {
        match self.run("CAPA", "") {
            Ok(_) => {
                let mut found = BTreeSet::new();
                self.lines(MAX_CAPABILITIES, &mut |line| {
                    let text = String::from_utf8_lossy(line).to_ascii_uppercase();
                    let mut words = text.split(' ');
                    if let Some(word) = words.next() {
                        if word == "SASL" {
                            found.extend(words.map(|name| format!("SASL {name}")));
                        }
                        found.insert(word.to_owned());
                    }
                    Ok(())
                })?;
                self.capabilities = found;
                Ok(())
            }
            // Old servers don't know the command.
            Err(Fault::Refused { .. }) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    fn login(&mut self, access: &Access, login: &Login) -> Result<(), Fault> {
        let mechanisms = match access.mechanism {
            Mechanism::Auto => sasl::order(
                &|name| self.capabilities.contains(&format!("SASL {name}")),
                login.authzid.is_some(),
            ),
            Mechanism::Login if !self.capabilities.contains("SASL LOGIN") => Vec::new(),
            mechanism => vec![mechanism],
        };
        let mut refused = None;
        for mechanism in mechanisms {
            match self.authenticate(mechanism, login) {
                // As with IMAP: what is offered may not work for every user.
                Err(fault @ Fault::Login { .. })
                    if self.wire.is_secure()
                        && access.mechanism == Mechanism::Auto
                        && mechanism != Mechanism::Plain =>
                {
                    refused = Some(fault);
                }
                done => return done,
            }
        }
        if let Some(fault) = refused {
            return Err(fault);
        }
        if login.authzid.is_some() {
            return Err(Fault::Lacks {
                what: "the server offers no way to log in for another user (SASL PLAIN)".into(),
            });
        }
        let plain = |text: &str| {
            if text.contains(['\r', '\n', '\0']) {
                return Err(Fault::Lacks { what: "a name or password with a line end can't be sent".into() });
            }
            Ok(())
        };
        plain(&login.user)?;
        plain(login.secret.reveal())?;
        self.run("USER", &login.user).map_err(|fault| wrong(login, Mechanism::Login, fault))?;
        self.run("PASS", login.secret.reveal()).map_err(|fault| wrong(login, Mechanism::Login, fault))?;
        Ok(())
    }

    fn authenticate(&mut self, mechanism: Mechanism, login: &Login) -> Result<(), Fault> {
        let failed = |text: String| Fault::Login { user: shown(login.user.as_bytes()), text };
        let mut sasl = Sasl::new(mechanism, login).map_err(failed)?;
        self.send("AUTH", sasl::name(mechanism))?;
        loop {
            let line = self.line()?;
            let Some(challenge) = line.strip_prefix(b"+").filter(|rest| !rest.starts_with(b"OK")) else {
                said("AUTH", &line).map_err(|fault| wrong(login, mechanism, fault))?;
                return if sasl.may_end() {
                    Ok(())
                } else {
                    Err(failed("the server didn't prove that it knows the password".into()))
                };
            };
            let challenge = BASE64
                .decode(challenge.trim_ascii())
                .map_err(|_| "the server's challenge is no base64".to_owned());
            match challenge.and_then(|challenge| sasl.answer(&challenge)) {
                Ok(answer) => {
                    let answer = Zeroizing::new(answer);
                    let mut line = Zeroizing::new(BASE64.encode(&answer).into_bytes());
                    line.extend_from_slice(b"\r\n");
                    self.wire.send(&line)?;
                }
                Err(text) => {
                    self.wire.send(b"*\r\n")?;
                    let line = self.line()?;
                    tracing::debug!(answer = %shown(&line), "the login was given up");
                    return Err(failed(text));
                }
            }
        }
    }

    fn send(&mut self, name: &str, arg: &str) -> Result<(), Fault> {
        let blank = if arg.is_empty() { "" } else { " " };
        let line = Zeroizing::new(format!("{name}{blank}{arg}\r\n").into_bytes());
        self.wire.begin();
        self.wire.send(&line)
    }

    /// Runs a command; gives the text behind +OK.
    fn run(&mut self, name: &str, arg: &str) -> Result<Vec<u8>, Fault> {
        self.send(name, arg)?;
        self.answer(name)
    }

    fn answer(&mut self, name: &str) -> Result<Vec<u8>, Fault> {
        let line = self.line()?;
        said(name, &line)
    }

    fn line(&mut self) -> Result<Vec<u8>, Fault> {
        let mut line = Vec::new();
        loop {
            let there = self.wire.fill()?;
            let end = memchr::memchr(b'\n', there);
            let take = end.map_or(there.len(), |at| at + 1);
            line.extend_from_slice(there.get(..take).unwrap_or_default());
            self.wire.consume(take);
            if line.len() > MAX_LINE {
                return Err(Fault::protocol(format!("a line of more than {MAX_LINE} bytes")));
            }
            if end.is_some() {
                let len = line.trim_ascii_end().len();
                line.truncate(len);
                return Ok(line);
            }
        }
    }

    /// Lines up to the lone dot.
    fn lines(&mut self, most: usize, on: &mut dyn FnMut(&[u8]) -> Result<(), Fault>) -> Result<(), Fault> {
        let mut count = 0;
        loop {
            let line = self.line()?;
            if line == b"." {
                return Ok(());
            }
            count += 1;
            if count > most {
                return Err(Fault::protocol(format!("a list of more than {most} lines")));
            }
            on(line.strip_prefix(b".").unwrap_or(&line))?;
        }
    }

    /// Sizes of all messages: (number, bytes).
    pub(crate) fn list(&mut self) -> Result<Vec<(u32, u64)>, Fault> {
        self.run("LIST", "")?;
        let mut all = Vec::new();
        self.lines(MAX_MESSAGES, &mut |line| {
            let text = String::from_utf8_lossy(line);
            let mut words = text.split_ascii_whitespace();
            let number = words.next().and_then(|number| number.parse().ok()).filter(|number| *number > 0);
            let size = words.next().and_then(|size| size.parse().ok());
            all.push(number.zip(size).ok_or_else(|| Fault::protocol("a line of LIST that is none"))?);
            Ok(())
        })?;
        Ok(all)
    }

    /// Unique ids: (number, id); none where the server has no UIDL.
    pub(crate) fn uidl(&mut self) -> Result<Option<Vec<(u32, String)>>, Fault> {
        match self.run("UIDL", "") {
            Ok(_) => {}
            Err(Fault::Refused { .. }) => return Ok(None),
            Err(fault) => return Err(fault),
        }
        let mut all = Vec::new();
        self.lines(MAX_MESSAGES, &mut |line| {
            let text = String::from_utf8_lossy(line);
            // An id that is missing is no id; RFC 1939 forbids that, servers do it.
            if let Some((number, id)) = text.split_once(' ')
                && let Ok(number) = number.parse()
            {
                let id = id.trim();
                if !id.is_empty() && id.len() <= 1_000 {
                    all.push((number, id.to_owned()));
                }
            }
            Ok(())
        })?;
        Ok(Some(all))
    }

    /// A whole message; inside: why it could not be kept.
    pub(crate) fn retr(
        &mut self,
        number: u32,
        limits: &storage::Limits,
    ) -> Result<Result<Incoming, String>, Fault> {
        self.run("RETR", &number.to_string())?;
        self.wire.rate(BULK_RATE);
        let mut dots = Dots::new(&mut self.wire);
        let read = Incoming::read(&mut dots, Vec::new(), limits);
        let fault = dots.fault.take();
        let done = match (read, fault) {
            (_, Some(fault)) => Err(fault),
            (Ok(incoming), None) => Ok(Ok(incoming)),
            (Err(error @ storage::Error::Limit { .. }), None) => {
                let over = io::copy(&mut (&mut dots).take(READ_OVER), &mut io::sink());
                match (over, dots.fault.take(), dots.state) {
                    (_, Some(fault), _) => Err(fault),
                    (Ok(_), None, State::End) => Ok(Err(error.to_string())),
                    (Ok(_), None, _) => Err(Fault::protocol(format!("message {number}: {error}"))),
                    (Err(error), None, _) => Err(Fault::ended(error.to_string())),
                }
            }
            (Err(error), None) => Err(error.into()),
        };
        self.wire.rate(IDLE_RATE);
        done
    }

    /// Marks a message for deletion; it goes with [`Client::quit`].
    pub(crate) fn delete(&mut self, number: u32) -> Result<(), Fault> {
        self.run("DELE", &number.to_string()).map(|_| ())
    }

    /// Ends the session; what is marked is deleted.
    pub(crate) fn quit(mut self) -> Result<(), Fault> {
        self.run("QUIT", "").map(|_| ())
    }
}

/// `+OK` or `-ERR`.
fn said(name: &str, line: &[u8]) -> Result<Vec<u8>, Fault> {
    if let Some(text) = line.strip_prefix(b"+OK") {
        return Ok(text.trim_ascii().to_vec());
    }
    let Some(text) = line.strip_prefix(b"-ERR") else {
        return Err(Fault::protocol(format!("{:?} is no answer", shown(line))));
    };
    let text = shown(text.trim_ascii());
    // RFC 2449 §8, RFC 3206.
    let code = text.strip_prefix('[').and_then(|rest| rest.split_once(']')).map_or("", |(code, _)| code);
    match busy(&code.to_ascii_uppercase(), &text) {
        Some(wait) => Err(Fault::Busy { command: name.into(), text, wait }),
        None => Err(Fault::Refused { command: name.into(), text }),
    }
}

fn wrong(login: &Login, mechanism: Mechanism, fault: Fault) -> Fault {
    match fault {
        Fault::Refused { text, .. } => Fault::Login {
            user: shown(login.user.as_bytes()),
            text: format!("{text}; {}", sasl::advice(mechanism)),
        },
        other => other,
    }
}

/// Where in a message's lines the reader is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    Line,
    Dot,
    DotCr,
    End,
}

/// A message's bytes up to the lone dot, with leading dots undone (RFC 1939 §3).
struct Dots<'a> {
    wire: &'a mut Wire,
    state: State,
    fault: Option<Fault>,
}

impl<'a> Dots<'a> {
    fn new(wire: &'a mut Wire) -> Dots<'a> {
        Dots { wire, state: State::Start, fault: None }
    }
}

/// Undoes the dots of `from`; gives how many bytes were taken and given.
fn undot(state: &mut State, from: &[u8], into: &mut [u8]) -> (usize, usize) {
    let (mut taken, mut given) = (0, 0);
    while let Some(byte) = from.get(taken) {
        let mut emit = [None, None];
        match (*state, byte) {
            (State::End, _) => break,
            (State::Start, b'.') => *state = State::Dot,
            (State::Dot, b'\r') => *state = State::DotCr,
            (State::Dot | State::DotCr, b'\n') => *state = State::End,
            (State::DotCr, byte) => {
                emit = [Some(b'\r'), Some(*byte)];
                *state = State::Line;
            }
            (_, byte) => {
                emit[0] = Some(*byte);
                *state = if *byte == b'\n' { State::Start } else { State::Line };
            }
        }
        let bytes = emit.iter().flatten().count();
        if given + bytes > into.len() {
            // Only DotCr emits two: its state is put back.
            *state = if bytes == 2 { State::DotCr } else { *state };
            break;
        }
        for byte in emit.into_iter().flatten() {
            if let Some(to) = into.get_mut(given) {
                *to = byte;
                given += 1;
            }
        }
        taken += 1;
        if given == into.len() {
            break;
        }
    }
    (taken, given)
}

impl Read for Dots<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.state != State::End && !into.is_empty() {
            let there = match self.wire.fill() {
                Ok(there) => there,
                Err(fault) => {
                    let error = io::Error::other(fault.to_string());
                    self.fault = Some(fault);
                    return Err(error);
                }
            };
            let (taken, given) = undot(&mut self.state, there, into);
            self.wire.consume(taken);
            if given > 0 {
                return Ok(given);
            }
            if taken == 0 && self.state != State::End {
                return Err(io::Error::other("a buffer too small for a line end"));
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &[u8], step: usize, room: usize) -> (Vec<u8>, State) {
        let (mut state, mut out) = (State::Start, Vec::new());
        let mut rest = text;
        while !rest.is_empty() && state != State::End {
            let mut into = vec![0; room];
            let (taken, given) = undot(&mut state, &rest[..rest.len().min(step)], &mut into);
            out.extend_from_slice(&into[..given]);
            rest = &rest[taken..];
        }
        (out, state)
    }

    #[test]
    fn dots_wherever_pieces_end() {
        let cases: [(&[u8], &[u8]); 6] = [
            (b"a\r\n..b\r\n.\r\n", b"a\r\n.b\r\n"),
            (b".\r\n", b""),
            (b"...\r\n.\r\nrest", b"..\r\n"),
            (b".\rx\r\n.\r\n", b"\rx\r\n"),
            (b"a.\r\n.\n", b"a.\r\n"),
            (b"\r\n.\r\n", b"\r\n"),
        ];
        for (text, wanted) in cases {
            for step in 1..=text.len() {
                for room in 2..6 {
                    let (out, state) = all(text, step, room);
                    assert_eq!((out.as_slice(), state), (wanted, State::End), "{text:?} by {step}");
                }
            }
        }
    }
}
