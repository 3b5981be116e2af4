//! AUTHENTICATE SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677): the lines of the exchange. What they say, and whether it is
//! right, `auth` knows.
//!
//! Invariant: a login counts only after the client has had the server's proof and said so with an empty line; whatever doesn't belong to
//! the exchange ends it, in the words of a wrong password.

use super::login;
use crate::reply::Refusal;
use crate::session::{Done, Mode, Sasl, Session};
use auth::{Attempt, Entered, How, Privilege};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// Whether a mechanism is one of these and offered: with channel binding (true) or without.
pub(crate) fn mechanism(s: &Session, name: &[u8]) -> Option<bool> {
    let plus = if name.eq_ignore_ascii_case(b"SCRAM-SHA-256-PLUS") {
        true
    } else if name.eq_ignore_ascii_case(b"SCRAM-SHA-256") {
        false
    } else {
        return None;
    };
    (s.world.auth.offers_scram() && !(plus && s.channel.0.is_empty())).then_some(plus)
}

fn cancelled(line: &[u8]) -> Result<(), Refusal> {
    if line == b"*" { Err(Refusal::Bad("AUTHENTICATE cancelled")) } else { Ok(()) }
}

/// Says a challenge.
fn challenge(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("+ {}\r\n", BASE64.encode(text)).as_bytes());
}

/// The client's first message.
pub(crate) fn first(s: &mut Session, plus: bool, line: &[u8], out: &mut Vec<u8>) -> Result<Done, Refusal> {
    cancelled(line)?;
    let message = BASE64.decode(line).ok();
    let begun = match message {
        Some(message) => s.world.auth.scram_begin(plus, &s.channel, &message)?,
        None => None,
    };
    let Some(exchange) = begun else { return Err(auth::Error::Denied.into()) };
    challenge(exchange.challenge(), out);
    s.sasl = Some(Sasl::Asked(plus, Box::new(exchange)));
    Ok(Done::Continue(Mode::ScramNext))
}

/// The client's next line: its proof, or the empty one behind the server's.
pub(crate) fn next(s: &mut Session, line: &[u8], out: &mut Vec<u8>) -> Result<Done, Refusal> {
    let state = s.sasl.take();
    cancelled(line)?;
    match state {
        Some(Sasl::Asked(plus, exchange)) => {
            let how = if plus { How::ScramPlus } else { How::Scram };
            let name = exchange.name().to_owned();
            match BASE64.decode(line).ok().and_then(|message| exchange.answer(&message)) {
                Some(proof) => login::prove(s, how, proof, out),
                None => {
                    // Not even a guess, but whoever sends such things is to be slowed down all the same.
                    s.world.auth.gave_up(&name, s.ip);
                    let attempt = Attempt { name: &name, need: Privilege::Imap, from: Some(s.ip), how };
                    s.world.auth.turned_away(&attempt, "an answer that belongs to no exchange");
                    Err(auth::Error::Denied.into())
                }
            }
        }
        Some(Sasl::Proven(entered)) if line.is_empty() => login::welcome(s, *entered, out),
        _ => Err(auth::Error::Denied.into()),
    }
}

/// The client has proven that it knows the password: it gets the server's proof of the same.
pub(crate) fn proven(s: &mut Session, entered: Entered, words: &str, out: &mut Vec<u8>) -> Done {
    challenge(words, out);
    s.sasl = Some(Sasl::Proven(Box::new(entered)));
    Done::Continue(Mode::ScramNext)
}
