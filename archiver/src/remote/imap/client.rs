//! One connection, logged in: commands out, responses in until the command's own.
//!
//! Invariant: a command's arguments never stand in an error or a log, since they may be secrets. What the server says unasked is taken
//! note of (EXISTS, CAPABILITY, BYE) wherever it comes.

use super::Bounds;
use super::lexer::Lexer;
use super::names::quoted;
use super::response::{Response, State, Told, Untagged, response};
use crate::remote::access::{Access, Login, Tls};
use crate::remote::connect::{self, Wire};
use crate::remote::fault::{Fault, busy};
use std::collections::BTreeSet;
use std::time::Duration;
use zeroize::Zeroizing;

/// How a connection is used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    pub(crate) bounds: Bounds,
    /// COMPRESS=DEFLATE (RFC 4978) where it is offered.
    pub(crate) compress: bool,
}

impl Options {
    /// Compression costs more than it brings where there is no network between.
    pub(crate) fn of(access: &Access) -> Options {
        let near = matches!(access.host.as_str(), "localhost" | "127.0.0.1" | "::1");
        Options { bounds: Bounds::default(), compress: !near }
    }
}

/// A piece of a command.
pub(crate) enum Arg<'a> {
    /// As it stands.
    Text(&'a str),
    /// A string: quoted or a literal.
    Str(&'a [u8]),
}

pub(crate) struct Client {
    pub(super) lexer: Lexer,
    pub(super) limits: storage::Limits,
    capabilities: BTreeSet<String>,
    pub(super) enabled: BTreeSet<String>,
    next_tag: u64,
    /// Messages of the selected mailbox.
    pub(crate) exists: u64,
    /// Whether something was added, or taken away, since this was last cleared.
    pub(crate) news: bool,
    /// NOTIFY is on, and whether another mailbox has changed since.
    pub(super) notified: bool,
    pub(super) news_elsewhere: bool,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("wire", &self.lexer.wire).finish_non_exhaustive()
    }
}

impl Client {
    /// Connects and logs in.
    /// # Errors
    /// All of [`Fault`] but `Storage`.
    pub(crate) fn open(
        access: &Access,
        login: &Login,
        net: &connect::Limits,
        limits: &storage::Limits,
        options: &Options,
    ) -> Result<Client, Fault> {
        let wire = Wire::open(access, net)?;
        let mut client = Client {
            lexer: Lexer::new(wire, options.bounds),
            limits: limits.clone(),
            capabilities: BTreeSet::new(),
            enabled: BTreeSet::new(),
            next_tag: 1,
            exists: 0,
            news: false,
            notified: false,
            news_elsewhere: false,
        };
        let greeting = client.greeting()?;
        if access.tls == Tls::Starttls {
            client.starttls(access, greeting)?;
        }
        if client.capabilities.is_empty() {
            client.ask_capabilities()?;
        }
        if greeting != State::Preauth {
            super::login::login(&mut client, access, login)?;
        }
        if client.offers("ID") {
            client.run("ID", &[Arg::Text("(\"name\" \"mailkeep\")")], &mut ignore)?;
        }
        if options.compress && client.offers("COMPRESS=DEFLATE") {
            match client.run("COMPRESS", &[Arg::Text("DEFLATE")], &mut ignore) {
                Ok(_) => client.lexer.wire.compress(),
                // RFC 4978: COMPRESSIONACTIVE, or a server that changed its mind.
                Err(Fault::Refused { .. }) => {}
                Err(fault) => return Err(fault),
            }
        }
        client.enable()?;
        Ok(client)
    }

    fn greeting(&mut self) -> Result<State, Fault> {
        match self.response()? {
            Response::Untagged(Untagged::Told(told)) => match told.state {
                State::Ok | State::Preauth => {
                    self.note_code(&told);
                    Ok(told.state)
                }
                _ => Err(refusal("connecting", &told)),
            },
            _ => Err(Fault::protocol("no greeting: is this an IMAP port?")),
        }
    }

    fn starttls(&mut self, access: &Access, greeting: State) -> Result<(), Fault> {
        if greeting == State::Preauth {
            // RFC 9051 §11.2: in this state there is no STARTTLS, so that it may be forged.
            let what =
                "the server says that the login is done already, so that the connection can't be protected"
                    .into();
            return Err(Fault::Tls { place: access.host.clone(), what });
        }
        self.ask_capabilities()?;
        if !self.offers("STARTTLS") {
            let what =
                "the server offers no STARTTLS; try TLS from the start (--tls implicit, usually port 993)"
                    .into();
            return Err(Fault::Tls { place: access.host.clone(), what });
        }
        self.run("STARTTLS", &[], &mut ignore)?;
        self.lexer.wire.secure(access)?;
        // RFC 9051 §6.2.1: the client MUST discard what it knew.
        self.capabilities.clear();
        Ok(())
    }

    /// ENABLE (RFC 5161): QRESYNC for what vanished, UTF8 so that no message is downgraded on its way (RFC 6858).
    fn enable(&mut self) -> Result<(), Fault> {
        if !self.offers("ENABLE") && !self.offers("IMAP4REV2") {
            return Ok(());
        }
        let mut wanted = Vec::new();
        if self.offers("QRESYNC") {
            wanted.push("QRESYNC");
        } else if self.offers("CONDSTORE") {
            wanted.push("CONDSTORE");
        }
        if self.offers("UTF8=ACCEPT") || self.offers("UTF8=ONLY") {
            wanted.push("UTF8=ACCEPT");
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let mut enabled = BTreeSet::new();
        let text = wanted.join(" ");
        let done = self.run("ENABLE", &[Arg::Text(&text)], &mut |untagged| {
            if let Untagged::Enabled(words) = untagged {
                enabled.extend(words);
            }
            Ok(())
        });
        match done {
            Ok(_) | Err(Fault::Refused { .. }) => {}
            Err(fault) => return Err(fault),
        }
        self.enabled = enabled;
        Ok(())
    }

    pub(super) fn ask_capabilities(&mut self) -> Result<(), Fault> {
        self.run("CAPABILITY", &[], &mut ignore).map(|_| ())
    }

    /// Forgets what was offered: it may be other after a login.
    pub(super) fn forget_capabilities(&mut self) {
        self.capabilities.clear();
    }

    pub(super) fn take_capabilities(&mut self, words: &str) {
        self.capabilities = words.split(' ').map(Into::into).collect();
    }

    pub(super) fn knows_capabilities(&self) -> bool {
        !self.capabilities.is_empty()
    }

    /// Whether the server offers this (in capitals).
    pub(crate) fn offers(&self, capability: &str) -> bool {
        self.capabilities.contains(capability)
    }

    /// Whether this was enabled.
    pub(crate) fn has_enabled(&self, capability: &str) -> bool {
        self.enabled.contains(capability)
    }

    /// Sends a command; gives its tag.
    pub(crate) fn send(&mut self, name: &str, args: &[Arg<'_>]) -> Result<String, Fault> {
        let tag = format!("m{}", self.next_tag);
        self.next_tag += 1;
        let mut line = Zeroizing::new(format!("{tag} {name}").into_bytes());
        for arg in args {
            line.push(b' ');
            match arg {
                Arg::Text(text) => line.extend_from_slice(text.as_bytes()),
                Arg::Str(bytes) => match quoted(bytes) {
                    Some(text) => line.extend_from_slice(&Zeroizing::new(text)),
                    None => self.literal(&tag, name, &mut line, bytes)?,
                },
            }
        }
        line.extend_from_slice(b"\r\n");
        self.lexer.wire.begin();
        self.lexer.wire.send(&line)?;
        Ok(tag)
    }

    fn takes_at_once(&self, literal: &[u8]) -> bool {
        self.offers("LITERAL+") || (self.offers("LITERAL-") && literal.len() <= 4096)
    }

    /// Whether the server has to be waited for in the midst of a command with this string: such a command can't be sent behind others
    /// that are not answered yet, since their answers would come first.
    pub(super) fn waits_with(&self, text: &[u8]) -> bool {
        quoted(text).is_none() && !self.takes_at_once(text)
    }

    fn literal(&mut self, tag: &str, name: &str, line: &mut Vec<u8>, bytes: &[u8]) -> Result<(), Fault> {
        if bytes.contains(&0) {
            return Err(Fault::Lacks { what: "a name or password with a NUL can't be sent".into() });
        }
        let at_once = self.takes_at_once(bytes);
        let plus = if at_once { "+" } else { "" };
        line.extend_from_slice(format!("{{{}{plus}}}\r\n", bytes.len()).as_bytes());
        if !at_once {
            self.lexer.wire.begin();
            self.lexer.wire.send(line)?;
            line.clear();
            self.continuation(tag, name)?;
        }
        line.extend_from_slice(bytes);
        Ok(())
    }

    /// Waits until the server wants more of a command.
    pub(super) fn continuation(&mut self, tag: &str, name: &str) -> Result<Vec<u8>, Fault> {
        loop {
            match self.response()? {
                Response::Continue(text) => return Ok(text),
                Response::Tagged(own, told) if own == tag => {
                    self.note_code(&told);
                    return Err(refusal(name, &told));
                }
                Response::Tagged(..) => {
                    return Err(Fault::protocol("an answer to a command that was not given"));
                }
                Response::Untagged(untagged) => self.note(&untagged)?,
            }
        }
    }

    /// Runs a command to its end.
    pub(crate) fn run(
        &mut self,
        name: &str,
        args: &[Arg<'_>],
        on: &mut dyn FnMut(Untagged) -> Result<(), Fault>,
    ) -> Result<Told, Fault> {
        let tag = self.send(name, args)?;
        self.finish(&tag, name, on)
    }

    /// Takes responses up to the one that ends the command.
    /// # Errors
    /// `Refused` and `Busy` for NO and BAD; the connection is still good then.
    pub(crate) fn finish(
        &mut self,
        tag: &str,
        name: &str,
        on: &mut dyn FnMut(Untagged) -> Result<(), Fault>,
    ) -> Result<Told, Fault> {
        self.lexer.wire.begin();
        let (mut others, mut fetched) = (0u64, 0u64);
        let bounds = self.lexer.bounds;
        loop {
            match self.response()? {
                Response::Tagged(own, told) if own == tag => {
                    self.note_code(&told);
                    return match told.state {
                        State::Ok => Ok(told),
                        _ => Err(refusal(name, &told)),
                    };
                }
                Response::Tagged(..) => {
                    return Err(Fault::protocol("an answer to a command that was not given"));
                }
                Response::Continue(_) => {
                    return Err(Fault::protocol("it asks for more of a command that is complete"));
                }
                Response::Untagged(untagged) => {
                    let is_fetch = matches!(untagged, Untagged::Fetch(_));
                    let (count, most) = if is_fetch {
                        (&mut fetched, bounds.messages.saturating_add(bounds.untagged))
                    } else {
                        (&mut others, bounds.untagged)
                    };
                    *count += 1;
                    if *count > most {
                        return Err(Fault::protocol(format!("more than {most} responses to one command")));
                    }
                    self.note(&untagged)?;
                    on(untagged)?;
                }
            }
        }
    }

    pub(super) fn response(&mut self) -> Result<Response, Fault> {
        let response = response(&mut self.lexer, &self.limits)?;
        if let Response::Untagged(Untagged::Capability(words)) = &response {
            self.capabilities.clone_from(words);
        }
        Ok(response)
    }

    /// What counts whenever it comes.
    pub(super) fn note(&mut self, untagged: &Untagged) -> Result<(), Fault> {
        match untagged {
            Untagged::Exists(exists) => {
                self.news |= *exists > self.exists;
                self.exists = *exists;
            }
            Untagged::Expunge => {
                self.exists = self.exists.saturating_sub(1);
                self.news = true;
            }
            Untagged::Vanished { earlier: false, .. } => self.news = true,
            Untagged::Status(..) | Untagged::List(_) => self.news_elsewhere |= self.notified,
            Untagged::Told(told) if told.state == State::Bye => return Err(refusal("the connection", told)),
            Untagged::Told(told) => self.note_code(told),
            _ => {}
        }
        Ok(())
    }

    fn note_code(&mut self, told: &Told) {
        if let Some(words) = told.code.strip_prefix("CAPABILITY ") {
            self.take_capabilities(words);
        }
        if told.code == "ALERT" {
            // RFC 9051 §7.1: what must be shown to the user.
            tracing::warn!(alert = %told.text, "the mail server says");
        }
    }

    /// What was told so far is known.
    pub(crate) fn forget_news(&mut self) {
        (self.news, self.news_elsewhere) = (false, false);
    }

    /// Says goodbye; what the server answers no longer matters.
    pub(crate) fn logout(mut self) {
        self.lexer.wire.patience(Duration::from_secs(5));
        let said = self.run("LOGOUT", &[], &mut ignore);
        tracing::debug!(?said, "logged out");
    }
}

/// Takes no notice.
pub(crate) fn ignore(_: Untagged) -> Result<(), Fault> {
    Ok(())
}

/// What a NO, BAD or BYE means.
pub(super) fn refusal(name: &str, told: &Told) -> Fault {
    let text =
        if told.code.is_empty() { told.text.clone() } else { format!("[{}] {}", told.code, told.text) };
    let text = super::super::fault::shown(text.as_bytes());
    if let Some(wait) = busy(&told.code, &told.text) {
        return Fault::Busy { command: name.into(), text, wait };
    }
    if told.state == State::Bye {
        return Fault::ended(format!("the server says BYE {text}"));
    }
    Fault::Refused { command: name.into(), text }
}
