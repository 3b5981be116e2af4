//! A mail to a relay: the smallest SMTP client (RFC 5321) that hands one message over.
//!
//! Invariant: every read is bounded in time and bytes; addresses were checked when the configuration was read, so that no
//! command can be smuggled in. There is no login and no TLS: what is sent so is no secret, and the relay is one's own.

use anyhow::{Context, Result, bail, ensure};
use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};
use storage::Cancel;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

/// RFC 5321 §4.5.3.1.5: a reply line is at most 512 octets; some servers are wordier.
const MAX_LINE_BYTES: usize = 2_000;
/// Most lines of one reply.
const MAX_LINES: usize = 100;
/// How often a waiting read looks whether it was cancelled.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Who sends to whom, by which relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mail {
    /// `host:port`.
    pub(crate) relay: String,
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    /// One line; other characters than printable ASCII are replaced.
    pub(crate) subject: String,
    /// Lines of UTF-8; a longer one than mail allows is parted.
    pub(crate) text: String,
}

/// RFC 5322 §2.1.1: a line is at most 998 octets without its end.
const MAX_TEXT_LINE_BYTES: usize = 998;

impl Mail {
    /// Hands a letter over to the relay.
    pub(crate) fn send(&self, letter: &Letter, until: Instant, cancel: &Cancel) -> Result<()> {
        let mut talk = Talk { stream: self.connect(until)?, buffer: Vec::new(), until, cancel };
        talk.expect("the greeting", 220)?;
        talk.say("EHLO localhost")?;
        talk.expect("EHLO", 250)?;
        talk.say(&format!("MAIL FROM:<{}>", self.from))?;
        talk.expect("MAIL FROM", 250)?;
        for to in &self.to {
            talk.say(&format!("RCPT TO:<{to}>"))?;
            talk.expect(&format!("RCPT TO {to}"), 250)?;
        }
        talk.say("DATA")?;
        talk.expect("DATA", 354)?;
        talk.write(dotted(&self.message(letter)?).as_bytes())?;
        talk.expect("the message", 250)?;
        // The message is taken: how the relay says goodbye doesn't matter.
        talk.say("QUIT").ok();
        Ok(())
    }

    fn connect(&self, until: Instant) -> Result<TcpStream> {
        let relay = || format!("relay {}", self.relay);
        let mut last = None;
        for address in self.relay.to_socket_addrs().with_context(relay)? {
            let left = until.saturating_duration_since(Instant::now());
            ensure!(!left.is_zero(), "relay {} did not answer in time", self.relay);
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        match last {
            Some(error) => Err(error).with_context(relay),
            None => bail!("relay {} has no address", self.relay),
        }
    }

    fn message(&self, letter: &Letter) -> Result<String> {
        let now = OffsetDateTime::now_utc();
        let date = now.format(&Rfc2822).context("the date")?;
        let plain = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
        let subject: String = letter.subject.chars().take(200).map(plain).collect();
        let mut unique = [0u8; 8];
        getrandom::fill(&mut unique).map_err(|error| anyhow::anyhow!("random numbers: {error}"))?;
        let domain = self.from.rsplit_once('@').map_or("localhost", |(_, domain)| domain);
        let mut text = String::new();
        write!(
            text,
            "Date: {date}\r\nFrom: <{}>\r\nTo: {}\r\nMessage-ID: <{:016x}.{}@{domain}>\r\n\
             Subject: {subject}\r\nAuto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\n\
             Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
            self.from,
            self.to.iter().map(|to| format!("<{to}>")).collect::<Vec<_>>().join(",\r\n "),
            u64::from_le_bytes(unique),
            now.unix_timestamp(),
        )?;
        for line in letter.text.lines() {
            for part in parts(line) {
                text.push_str(part);
                text.push_str("\r\n");
            }
        }
        Ok(text)
    }
}

/// A line in pieces that mail allows, cut between characters.
fn parts(mut line: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    while line.len() > MAX_TEXT_LINE_BYTES {
        let end = (0..=MAX_TEXT_LINE_BYTES).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
        let (head, rest) = line.split_at(end);
        parts.push(head);
        line = rest;
    }
    parts.push(line);
    parts
}

/// RFC 5321 §4.5.2: a line that begins with a dot gets another one; a dot alone ends the message.
fn dotted(message: &str) -> String {
    let mut text = String::with_capacity(message.len() + 16);
    for line in message.split_inclusive('\n') {
        if line.starts_with('.') {
            text.push('.');
        }
        text.push_str(line);
    }
    text.push_str(".\r\n");
    text
}

/// A conversation with a relay.
struct Talk<'a> {
    stream: TcpStream,
    buffer: Vec<u8>,
    until: Instant,
    cancel: &'a Cancel,
}

impl Talk<'_> {
    /// Sets the socket's time for the next step.
    fn wait(&self) -> Result<()> {
        ensure!(!self.cancel.is_set(), "cancelled");
        let left = self.until.saturating_duration_since(Instant::now());
        ensure!(!left.is_zero(), "the relay did not answer in time");
        let step = left.min(LOOK_EVERY);
        self.stream.set_read_timeout(Some(step)).context("the relay's socket")?;
        self.stream.set_write_timeout(Some(step)).context("the relay's socket")
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            self.wait()?;
            match self.stream.write(bytes) {
                Ok(0) => bail!("the relay closed the connection"),
                Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
                Err(error) if again(&error) => {}
                Err(error) => return Err(error).context("the relay's socket"),
            }
        }
        Ok(())
    }

    fn say(&mut self, line: &str) -> Result<()> {
        self.write(format!("{line}\r\n").as_bytes())
    }

    /// Reads a reply and refuses one that doesn't have this code.
    fn expect(&mut self, to: &str, code: u16) -> Result<()> {
        for _ in 0..MAX_LINES {
            let line = self.line()?;
            let digits = line.get(..3).unwrap_or_default();
            let Ok(found) = digits.parse::<u16>() else { bail!("the relay answered {to} with {line:?}") };
            if line.as_bytes().get(3) == Some(&b'-') {
                continue;
            }
            ensure!(found == code, "the relay answered {to} with {line:?}");
            return Ok(());
        }
        bail!("the relay's answer to {to} has more than {MAX_LINES} lines")
    }

    fn line(&mut self) -> Result<String> {
        loop {
            if let Some(end) = self.buffer.iter().position(|&b| b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end().to_owned());
            }
            ensure!(self.buffer.len() <= MAX_LINE_BYTES, "the relay's answer is too long");
            self.wait()?;
            let mut bytes = [0; 512];
            match self.stream.read(&mut bytes) {
                Ok(0) => bail!("the relay closed the connection"),
                Ok(got) => self.buffer.extend(bytes.iter().take(got)),
                Err(error) if again(&error) => {}
                Err(error) => return Err(error).context("the relay's socket"),
            }
        }
    }
}

fn again(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    /// A relay that answers each line with the next of `answers`; gives all that it was told.
    fn relay(answers: Vec<String>) -> (String, JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let thread = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let mut told = String::new();
            let mut data = false;
            for answer in answers {
                if stream.write_all(answer.as_bytes()).is_err() {
                    return told;
                }
                while let Some(Ok(line)) = lines.next() {
                    told.push_str(&line);
                    told.push('\n');
                    if !data || line == "." {
                        break;
                    }
                }
                data = told.ends_with("DATA\n");
            }
            told
        });
        (address, thread)
    }

    fn mail(relay: String) -> Mail {
        Mail {
            relay,
            from: "archive@example.org".into(),
            to: vec!["a@b.example".into(), "c@d.example".into()],
        }
    }

    fn letter(text: &str) -> Letter {
        Letter { subject: "heads (2)".into(), text: text.into() }
    }

    #[test]
    fn what_would_break_a_message_is_replaced_or_parted() {
        let letter =
            |bytes: usize| Letter { subject: "a\r\nBcc: x\u{fc}".into(), text: "ü".repeat(bytes / 2) };
        let lines = |bytes| {
            let text = mail("r:25".into()).message(&letter(bytes)).unwrap();
            assert!(text.contains("\r\nSubject: a??Bcc: x?\r\n"), "{text}");
            text.split_once("\r\n\r\n").unwrap().1.lines().count()
        };
        assert_eq!((lines(MAX_TEXT_LINE_BYTES), lines(MAX_TEXT_LINE_BYTES + 2)), (1, 2));
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn answers(codes: &[&str]) -> Vec<String> {
        codes.iter().map(|code| format!("{code}\r\n")).collect()
    }

    #[test]
    fn a_relay_gets_the_whole_message() {
        let (address, relay) = relay(answers(&[
            "220 hello",
            "250-relay\r\n250-SIZE 1000\r\n250 HELP",
            "250 ok",
            "250 ok",
            "250 ok",
            "354 go on",
            "250 taken",
        ]));
        mail(address).send(&letter("{\"one\":1}\n.two\n"), soon(), &Cancel::default()).unwrap();
        let told = relay.join().unwrap();
        let start = "EHLO localhost\nMAIL FROM:<archive@example.org>\nRCPT TO:<a@b.example>\nRCPT TO:<c@d.example>\nDATA\nDate: ";
        assert!(told.starts_with(start), "{told}");
        assert!(
            told.contains("\nTo: <a@b.example>,\n <c@d.example>\n") && told.contains("heads (2)"),
            "{told}"
        );
        assert!(told.contains("\n\n{\"one\":1}\n..two\n.\n"), "{told}");
        assert!(told.lines().all(|line| line.len() <= 998));
    }

    #[test]
    fn what_a_relay_refuses_is_told() {
        for (codes, words) in [
            (&["554 go away"][..], "greeting"),
            (&["220 x", "500 what"], "EHLO"),
            (&["220 x", "250 x", "550 not you"], "MAIL FROM"),
            (&["220 x", "250 x", "250 x", "250 x", "550 no such user"], "RCPT TO c@d.example"),
            (&["220 x", "250 x", "250 x", "250 x", "250 x", "452 full"], "DATA"),
            (&["220 x", "250 x", "250 x", "250 x", "250 x", "354 x", "554 spam"], "the message"),
            (&["220 x", "nonsense"], "EHLO"),
            (&["220 x", ""], "EHLO"),
            (&["220 x", "ü"], "EHLO"),
            (&["220 x"], "closed"),
        ] {
            let (address, relay) = relay(answers(codes));
            let error = mail(address).send(&letter("x\n"), soon(), &Cancel::default()).unwrap_err();
            assert!(format!("{error:#}").contains(words), "{codes:?}: {error:#}");
            relay.join().unwrap();
        }
    }

    #[test]
    fn a_relays_answers_are_bounded() {
        let long = |bytes: usize| format!("220 {}\r\n", "x".repeat(bytes));
        let many = |lines: usize| "220-x\r\n".repeat(lines - 1) + "220 x\r\n";
        for (greeting, good) in [
            (long(MAX_LINE_BYTES - 6), true),
            (long(MAX_LINE_BYTES + 2_000), false),
            (many(MAX_LINES), true),
            (many(MAX_LINES + 1), false),
        ] {
            let (address, relay) = relay(vec![greeting, "500 x\r\n".into()]);
            let error =
                format!("{:#}", mail(address).send(&letter("x\n"), soon(), &Cancel::default()).unwrap_err());
            assert_eq!(error.contains("EHLO"), good, "{error}");
            relay.join().unwrap();
        }
    }

    #[test]
    fn a_silent_relay_is_not_waited_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = mail(listener.local_addr().unwrap().to_string());
        let soon = Instant::now() + Duration::from_millis(50);
        let error = silent.send(&letter("x\n"), soon, &Cancel::default()).unwrap_err();
        assert!(error.to_string().contains("in time"), "{error}");
        let cancel = Cancel::default();
        cancel.set();
        let error =
            silent.send(&letter("x\n"), Instant::now() + Duration::from_secs(60), &cancel).unwrap_err();
        assert!(error.to_string().contains("cancelled"), "{error}");
    }
}
