//! Responses (RFC 9051 §7, and what extensions add), parsed from the wire as they come.
//!
//! Invariant: what is not understood is left out whole and changes nothing.

use super::fetch::Fetched;
use super::lexer::{Lexer, Spans};
use crate::remote::fault::{Fault, shown};
use std::collections::BTreeSet;

/// How a command ended, or what a status response says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Ok,
    No,
    Bad,
    Bye,
    Preauth,
}

/// A status response.
#[derive(Debug, Clone)]
pub(crate) struct Told {
    pub(crate) state: State,
    /// In capitals, without brackets; empty if there is none.
    pub(crate) code: String,
    /// For people, cleaned and cut.
    pub(crate) text: String,
}

/// A mailbox of LIST.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    /// As the server spells it.
    pub(crate) raw: Vec<u8>,
    pub(crate) delimiter: Option<u8>,
    /// `\Noselect`, `\Trash` …, as they stand.
    pub(crate) attributes: Vec<String>,
}

impl Listed {
    pub(crate) fn has(&self, attribute: &str) -> bool {
        self.attributes.iter().any(|own| own.eq_ignore_ascii_case(attribute))
    }
}

/// What STATUS says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Figures {
    pub(crate) messages: Option<u64>,
    pub(crate) uid_next: Option<u32>,
    pub(crate) uid_validity: Option<u32>,
    pub(crate) highest_mod_seq: Option<u64>,
}

/// An untagged response.
#[derive(Debug)]
pub(crate) enum Untagged {
    Told(Told),
    Capability(BTreeSet<String>),
    Enabled(BTreeSet<String>),
    List(Listed),
    Status(Vec<u8>, Figures),
    Search(Spans),
    Exists(u64),
    Expunge,
    Fetch(Box<Fetched>),
    Vanished {
        earlier: bool,
        uids: Spans,
    },
    /// Prefixes of the namespaces: personal, others', shared.
    Namespace([Vec<Vec<u8>>; 3]),
    Other,
}

/// A response.
#[derive(Debug)]
pub(crate) enum Response {
    Untagged(Untagged),
    Tagged(String, Told),
    Continue(Vec<u8>),
}

/// Reads one response.
pub(super) fn response(lexer: &mut Lexer, limits: &storage::Limits) -> Result<Response, Fault> {
    lexer.start();
    match lexer.peek()? {
        b'+' => {
            lexer.next()?;
            lexer.have(b' ')?;
            Ok(Response::Continue(lexer.text()?))
        }
        b'*' => {
            lexer.next()?;
            lexer.blanks()?;
            untagged(lexer, limits).map(Response::Untagged)
        }
        _ => {
            let tag = lexer.until(|byte| matches!(byte, b' ' | b'\r' | b'\n'))?;
            lexer.blanks()?;
            let word = lexer.atom()?;
            let state = state(&word).ok_or_else(|| {
                let line = [shown(&tag), shown(word.as_bytes())].join(" ");
                Fault::protocol(format!("{line:?} is no response"))
            })?;
            Ok(Response::Tagged(String::from_utf8_lossy(&tag).into_owned(), told(lexer, state)?))
        }
    }
}

fn state(word: &str) -> Option<State> {
    Some(match word {
        "OK" => State::Ok,
        "NO" => State::No,
        "BAD" => State::Bad,
        "BYE" => State::Bye,
        "PREAUTH" => State::Preauth,
        _ => return None,
    })
}

fn told(lexer: &mut Lexer, state: State) -> Result<Told, Fault> {
    lexer.blanks()?;
    let mut line = lexer.text()?;
    let mut code = String::new();
    if line.first() == Some(&b'[')
        && let Some(end) = memchr::memchr(b']', &line)
    {
        code = String::from_utf8_lossy(line.get(1..end).unwrap_or_default()).to_ascii_uppercase();
        line.drain(..=end);
    }
    let text = shown(line.trim_ascii());
    Ok(Told { state, code, text })
}

fn untagged(lexer: &mut Lexer, limits: &storage::Limits) -> Result<Untagged, Fault> {
    if lexer.peek()?.is_ascii_digit() {
        let number = lexer.number()?;
        lexer.blanks()?;
        return match lexer.atom()?.as_str() {
            "EXISTS" => {
                lexer.end()?;
                if number > lexer.bounds.messages {
                    let most = lexer.bounds.messages;
                    return Err(Fault::protocol(format!(
                        "a mailbox of {number} messages, of which at most {most} are archived"
                    )));
                }
                Ok(Untagged::Exists(number))
            }
            "EXPUNGE" => lexer.end().map(|()| Untagged::Expunge),
            "FETCH" => {
                lexer.blanks()?;
                super::fetch::fetched(lexer, limits).map(|fetched| Untagged::Fetch(Box::new(fetched)))
            }
            _ => lexer.end().map(|()| Untagged::Other),
        };
    }
    let word = lexer.atom()?;
    if let Some(state) = state(&word) {
        return told(lexer, state).map(Untagged::Told);
    }
    let found = match word.as_str() {
        "CAPABILITY" => return words(lexer).map(Untagged::Capability),
        "ENABLED" => return words(lexer).map(Untagged::Enabled),
        "LIST" | "LSUB" => {
            lexer.blanks()?;
            lexer.expect(b'(')?;
            let attributes = flags(lexer)?;
            lexer.blanks()?;
            let delimiter = lexer.string()?.and_then(|text| text.first().copied());
            lexer.blanks()?;
            // A mailbox may be called NIL.
            let raw = lexer.string()?.unwrap_or_else(|| b"NIL".to_vec());
            Untagged::List(Listed { raw, delimiter, attributes })
        }
        "STATUS" => {
            lexer.blanks()?;
            let raw = lexer.string()?.unwrap_or_else(|| b"NIL".to_vec());
            Untagged::Status(raw, figures(lexer)?)
        }
        "SEARCH" => {
            let mut found = Spans::default();
            lexer.numbers(&mut found)?;
            Untagged::Search(found)
        }
        "ESEARCH" => Untagged::Search(esearch(lexer)?),
        "VANISHED" => {
            lexer.blanks()?;
            let earlier = lexer.have(b'(')?;
            if earlier {
                lexer.until(|byte| matches!(byte, b')' | b'\n'))?;
                lexer.expect(b')')?;
                lexer.blanks()?;
            }
            let mut uids = Spans::default();
            lexer.set(&mut uids)?;
            Untagged::Vanished { earlier, uids }
        }
        "NAMESPACE" => {
            let mut all = [Vec::new(), Vec::new(), Vec::new()];
            for kind in &mut all {
                lexer.blanks()?;
                *kind = prefixes(lexer)?;
            }
            Untagged::Namespace(all)
        }
        _ => Untagged::Other,
    };
    lexer.end()?;
    Ok(found)
}

fn words(lexer: &mut Lexer) -> Result<BTreeSet<String>, Fault> {
    let line = lexer.text()?;
    let line = String::from_utf8_lossy(&line).to_ascii_uppercase();
    Ok(line.split(' ').filter(|word| !word.is_empty()).map(Into::into).collect())
}

/// Flags or attributes up to the closing parenthesis.
pub(super) fn flags(lexer: &mut Lexer) -> Result<Vec<String>, Fault> {
    let mut all = Vec::new();
    loop {
        lexer.blanks()?;
        if lexer.have(b')')? {
            return Ok(all);
        }
        let flag = lexer.until(|byte| matches!(byte, b' ' | b')' | b'\r' | b'\n'))?;
        if flag.is_empty() {
            return Err(Fault::protocol("a list of flags without an end"));
        }
        if all.len() >= lexer.bounds.flags {
            return Err(Fault::protocol(format!("more than {} flags", lexer.bounds.flags)));
        }
        all.push(String::from_utf8_lossy(&flag).into_owned());
    }
}

fn figures(lexer: &mut Lexer) -> Result<Figures, Fault> {
    let mut figures = Figures::default();
    lexer.blanks()?;
    lexer.expect(b'(')?;
    loop {
        lexer.blanks()?;
        if lexer.have(b')')? {
            return Ok(figures);
        }
        let name = lexer.atom()?;
        lexer.blanks()?;
        if !lexer.peek()?.is_ascii_digit() {
            lexer.skip(0)?;
            continue;
        }
        let number = lexer.number()?;
        match name.as_str() {
            "MESSAGES" => figures.messages = Some(number),
            "UIDNEXT" => figures.uid_next = u32::try_from(number).ok(),
            "UIDVALIDITY" => figures.uid_validity = u32::try_from(number).ok(),
            "HIGHESTMODSEQ" => figures.highest_mod_seq = Some(number),
            _ => {}
        }
    }
}

fn esearch(lexer: &mut Lexer) -> Result<Spans, Fault> {
    let mut found = Spans::default();
    loop {
        lexer.blanks()?;
        match lexer.peek()? {
            b'\r' | b'\n' => return Ok(found),
            b'(' => lexer.skip(0)?,
            _ => {
                if lexer.atom()? == "ALL" {
                    lexer.blanks()?;
                    lexer.set(&mut found)?;
                } else if !matches!(lexer.peek()?, b' ' | b'\r' | b'\n') {
                    lexer.next()?;
                }
            }
        }
    }
}

fn prefixes(lexer: &mut Lexer) -> Result<Vec<Vec<u8>>, Fault> {
    let mut found = Vec::new();
    if !lexer.have(b'(')? {
        lexer.skip(0)?;
        return Ok(found);
    }
    loop {
        lexer.blanks()?;
        if lexer.have(b')')? {
            return Ok(found);
        }
        lexer.expect(b'(')?;
        found.push(lexer.string()?.unwrap_or_default());
        loop {
            lexer.blanks()?;
            if lexer.have(b')')? {
                break;
            }
            lexer.skip(0)?;
        }
    }
}
