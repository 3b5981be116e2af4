//! Asking another IMAP server whether a password is right, by logging in there: AUTHENTICATE PLAIN, or LOGIN (RFC 9051 §6.2).
//!
//! Invariant: lines and their number are bounded, nothing waits past the moment that was set, and no password is sent before the
//! connection is protected as the settings want it.

use super::wire::{Fault, Server, Shield, Wire, shown};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::time::Instant;
use zeroize::Zeroizing;

/// Longest line, bytes.
pub(super) const MAX_LINE_BYTES: usize = 8 << 10;
/// Most lines of one answer.
pub(super) const MAX_LINES: usize = 200;

/// Response codes (RFC 5530) of servers that couldn't tell.
const PASSING: [&str; 5] = ["[UNAVAILABLE]", "[SERVERBUG]", "[INUSE]", "[LIMIT]", "[CONTACTADMIN]"];

struct Session {
    wire: Wire,
    tag: u32,
}

/// An answer: its untagged lines, and the last one.
struct Answer {
    untagged: Vec<String>,
    last: String,
}

/// Whether `password` is the one of `name` there; without a name only that the server can be asked.
/// # Errors
/// It can't be asked, or can't tell.
pub(super) fn login(server: &Server, who: Option<(&str, &str)>, until: Instant) -> Result<bool, Fault> {
    let mut session = Session { wire: Wire::open(server, until)?, tag: 0 };
    let greeting = session.line()?;
    if !greeting.to_ascii_uppercase().starts_with("* OK") {
        return Err(session.refused(&greeting));
    }
    if server.shield == Shield::StartTls {
        let answer = session.command("STARTTLS")?;
        if !is_ok(&answer.last) {
            return Err(session.refused(&answer.last));
        }
        session.wire.secure(server)?;
    }
    let answer = session.command("CAPABILITY")?;
    let offered = answer.untagged.iter().any(|line| {
        let line = line.to_ascii_uppercase();
        line.starts_with("* CAPABILITY") && line.split_ascii_whitespace().any(|word| word == "AUTH=PLAIN")
    });
    let Some((name, password)) = who else {
        session.command("LOGOUT").map(drop).or_else(|fault| match fault {
            // Some close at once.
            Fault::Ended { .. } => Ok(()),
            other => Err(other),
        })?;
        return Ok(false);
    };
    let last = if offered { session.plain(name, password)? } else { session.by_name(name, password)? };
    let upper = last.to_ascii_uppercase();
    if is_ok(&last) {
        Ok(true)
    } else if PASSING.iter().any(|code| upper.contains(code)) {
        Err(session.refused(&last))
    } else {
        tracing::info!(
            server = session.wire.server,
            answer = shown(last.as_bytes()),
            "the IMAP server refused a login"
        );
        Ok(false)
    }
}

fn is_ok(last: &str) -> bool {
    last.get(..2).is_some_and(|word| word.eq_ignore_ascii_case("OK"))
}

impl Session {
    fn plain(&mut self, name: &str, password: &str) -> Result<String, Fault> {
        let tag = self.begin();
        self.wire.send(format!("{tag} AUTHENTICATE PLAIN\r\n").as_bytes())?;
        if let Some(last) = self.wants_more(&tag)? {
            return Ok(last);
        }
        let message = Zeroizing::new(format!("\0{name}\0{password}"));
        let mut text = Zeroizing::new(String::with_capacity(message.len() * 2 + 8));
        BASE64_STANDARD.encode_string(message.as_bytes(), &mut text);
        text.push_str("\r\n");
        self.wire.send(text.as_bytes())?;
        Ok(self.answer(&tag)?.last)
    }

    /// LOGIN with literals: they need no quoting.
    fn by_name(&mut self, name: &str, password: &str) -> Result<String, Fault> {
        let tag = self.begin();
        self.wire.send(format!("{tag} LOGIN {{{}}}\r\n", name.len()).as_bytes())?;
        if let Some(last) = self.wants_more(&tag)? {
            return Ok(last);
        }
        self.wire.send(format!("{name} {{{}}}\r\n", password.len()).as_bytes())?;
        if let Some(last) = self.wants_more(&tag)? {
            return Ok(last);
        }
        let line = Zeroizing::new(format!("{password}\r\n"));
        self.wire.send(line.as_bytes())?;
        Ok(self.answer(&tag)?.last)
    }

    /// Waits for the `+`; gives the last line if the command ended instead.
    fn wants_more(&mut self, tag: &str) -> Result<Option<String>, Fault> {
        for _ in 0..MAX_LINES {
            let line = self.line()?;
            if line.starts_with('+') {
                return Ok(None);
            }
            if let Some(last) = line.strip_prefix(tag).and_then(|rest| rest.strip_prefix(' ')) {
                return Ok(Some(last.to_owned()));
            }
        }
        Err(self.wire.protocol("more than 200 lines"))
    }

    fn begin(&mut self) -> String {
        self.tag += 1;
        format!("k{}", self.tag)
    }

    fn command(&mut self, command: &str) -> Result<Answer, Fault> {
        let tag = self.begin();
        self.wire.send(format!("{tag} {command}\r\n").as_bytes())?;
        self.answer(&tag)
    }

    fn answer(&mut self, tag: &str) -> Result<Answer, Fault> {
        let mut untagged = Vec::new();
        for _ in 0..MAX_LINES {
            let line = self.line()?;
            if let Some(last) = line.strip_prefix(tag).and_then(|rest| rest.strip_prefix(' ')) {
                return Ok(Answer { untagged, last: last.to_owned() });
            }
            untagged.push(line);
        }
        Err(self.wire.protocol("more than 200 lines"))
    }

    fn line(&mut self) -> Result<String, Fault> {
        loop {
            if let Some(end) = self.wire.held().iter().position(|byte| *byte == b'\n') {
                if end > MAX_LINE_BYTES {
                    return Err(self.wire.protocol("a line of more than 8 KiB"));
                }
                let line = self.wire.take(end + 1);
                return Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.wire.held().len() > MAX_LINE_BYTES {
                return Err(self.wire.protocol("a line of more than 8 KiB"));
            }
            self.wire.fill()?;
        }
    }

    fn refused(&self, line: &str) -> Fault {
        Fault::Refused { server: self.wire.server.clone(), what: shown(line.as_bytes()), passing: true }
    }
}

#[cfg(test)]
mod tests;
