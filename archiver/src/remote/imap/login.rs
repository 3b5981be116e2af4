//! AUTHENTICATE and LOGIN (RFC 9051 §6.2.2, §6.2.3, RFC 4959).
//!
//! Invariant: a password goes in the clear only over TLS, or where the access says that there is none.

use super::client::{Arg, Client, ignore, refusal};
use super::response::{Response, State, Told};
use crate::remote::access::{Access, Login, Mechanism};
use crate::remote::fault::Fault;
use crate::remote::sasl::{self, Sasl};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use zeroize::Zeroizing;

/// Logs in by the best way that both sides have.
pub(super) fn login(client: &mut Client, access: &Access, login: &Login) -> Result<(), Fault> {
    let told = match access.mechanism {
        Mechanism::Auto => auto(client, login)?,
        Mechanism::Login if !client.offers("LOGINDISABLED") => by_command(client, login)?,
        mechanism => authenticate(client, mechanism, login)?,
    };
    // RFC 3501 §6.2.2: capabilities may be others now.
    if !told.code.starts_with("CAPABILITY ") {
        client.forget_capabilities();
    }
    if !client.knows_capabilities() {
        client.ask_capabilities()?;
    }
    Ok(())
}

fn auto(client: &mut Client, login: &Login) -> Result<Told, Fault> {
    let mechanisms = sasl::order(&|name| client.offers(&format!("AUTH={name}")), login.authzid.is_some());
    let secure = client.lexer.wire.is_secure();
    let mut refused = None;
    for mechanism in mechanisms {
        match authenticate(client, mechanism, login) {
            // Servers offer what they can't do for every user: with hashed passwords SCRAM can't work. What tells the password
            // is tried only where nobody can read along.
            Err(fault @ Fault::Login { .. }) if secure && mechanism != Mechanism::Plain => {
                refused = Some(fault)
            }
            done => return done,
        }
    }
    if client.offers("LOGINDISABLED") || login.authzid.is_some() {
        return Err(refused.unwrap_or_else(|| Fault::Lacks {
            what: if login.authzid.is_some() {
                "the server offers no way to log in for another user (AUTH=PLAIN); over TLS it may".into()
            } else {
                "the server takes no passwords on this connection; use TLS (--tls starttls or --tls implicit)"
                    .into()
            },
        }));
    }
    by_command(client, login)
}

fn by_command(client: &mut Client, login: &Login) -> Result<Told, Fault> {
    let args = [Arg::Str(login.user.as_bytes()), Arg::Str(login.secret.reveal().as_bytes())];
    client.run("LOGIN", &args, &mut ignore).map_err(|fault| failed(login, Mechanism::Login, fault))
}

/// A refused login, in words.
fn failed(login: &Login, mechanism: Mechanism, fault: Fault) -> Fault {
    match fault {
        Fault::Refused { text, .. } => {
            let text = format!("{text}; {}", sasl::advice(mechanism));
            Fault::Login { user: super::super::fault::shown(login.user.as_bytes()), text }
        }
        other => other,
    }
}

fn authenticate(client: &mut Client, mechanism: Mechanism, login: &Login) -> Result<Told, Fault> {
    let wrong = |text: String| Fault::Login { user: super::super::fault::shown(login.user.as_bytes()), text };
    let mut sasl = Sasl::new(mechanism, login).map_err(wrong)?;
    let name = sasl::name(mechanism);
    let at_once = sasl.is_client_first() && client.offers("SASL-IR");
    let tag = if at_once {
        let first = Zeroizing::new(sasl.answer(b"").map_err(wrong)?);
        let first = Zeroizing::new(if first.is_empty() { "=".into() } else { BASE64.encode(&first) });
        client.send("AUTHENTICATE", &[Arg::Text(name), Arg::Text(&first)])?
    } else {
        client.send("AUTHENTICATE", &[Arg::Text(name)])?
    };
    loop {
        match client.response()? {
            Response::Continue(text) => {
                let challenge = BASE64.decode(text.trim_ascii());
                let answer = match challenge {
                    Ok(challenge) => sasl.answer(&challenge),
                    Err(_) => Err("the server's challenge is no base64".into()),
                };
                match answer {
                    Ok(answer) => {
                        let answer = Zeroizing::new(answer);
                        let mut line = Zeroizing::new(BASE64.encode(&answer).into_bytes());
                        line.extend_from_slice(b"\r\n");
                        client.lexer.wire.send(&line)?;
                    }
                    Err(text) => {
                        client.lexer.wire.send(b"*\r\n")?;
                        return match client.finish(&tag, "AUTHENTICATE", &mut ignore) {
                            Err(Fault::Refused { .. }) | Ok(_) => Err(wrong(text)),
                            Err(other) => Err(other),
                        };
                    }
                }
            }
            Response::Tagged(own, told) if own == tag => {
                if told.state != State::Ok {
                    return Err(failed(login, mechanism, refusal("AUTHENTICATE", &told)));
                }
                if !sasl.may_end() {
                    return Err(wrong("the server didn't prove that it knows the password".into()));
                }
                if let Some(words) = told.code.strip_prefix("CAPABILITY ") {
                    client.take_capabilities(words);
                }
                return Ok(told);
            }
            Response::Tagged(..) => return Err(Fault::protocol("an answer to a command that was not given")),
            Response::Untagged(untagged) => client.note(&untagged)?,
        }
    }
}
