//! STARTTLS, LOGIN, AUTHENTICATE PLAIN (RFC 3501 §6.2, RFC 4616, RFC 4959), UNAUTHENTICATE (RFC 8437).
//!
//! Promise: no password is taken on a connection that others can read, and all failures look alike. `auth` takes its
//! time on purpose; a step runs on a blocking thread.

use crate::proto::parse::{Cursor, simple};
use crate::reply::Refusal;
use crate::session::{Call, Done, Mode, Session};
use auth::Privilege;
use zeroize::Zeroizing;

/// STARTTLS
pub(crate) fn starttls(s: &mut Session, _: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.end()?;
    if s.tls { Err(Refusal::Bad("TLS is on already")) } else { Ok(Done::StartTls) }
}

/// LOGIN name password
pub(crate) fn login(s: &mut Session, call: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.sp()?;
    let name = c.astring()?;
    c.sp()?;
    let password = Zeroizing::new(c.astring()?.into_owned());
    c.end()?;
    private(s)?;
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(str::to_owned).ok();
    let (Some(name), Some(password)) = (text(&name), text(&password).map(Zeroizing::new)) else {
        return Err(auth::Error::Denied.into());
    };
    enter(s, &name, &password, call.out)
}

/// AUTHENTICATE mechanism [initial response]
pub(crate) fn authenticate(
    s: &mut Session,
    call: &mut Call<'_>,
    c: &mut Cursor<'_>,
) -> Result<Done, Refusal> {
    c.sp()?;
    let mechanism = c.atom()?;
    let response = if c.eat(b' ') { Some(c.take_while(|b| b.is_ascii_graphic())) } else { None };
    c.end()?;
    if !mechanism.eq_ignore_ascii_case(b"PLAIN") {
        return Err(Refusal::No("CANNOT", "Only AUTH=PLAIN is offered"));
    }
    private(s)?;
    match response {
        Some(b"=") => plain(s, b"", call.out),
        Some(response) => plain(s, response, call.out),
        None => {
            call.out.extend_from_slice(b"+ \r\n");
            Ok(Done::Continue(Mode::Plain))
        }
    }
}

/// UNAUTHENTICATE: the connection is as new, TLS apart; the next login may be another user's.
pub(crate) fn unauthenticate(s: &mut Session, _: &mut Call<'_>, c: &mut Cursor<'_>) -> Result<Done, Refusal> {
    c.end()?;
    if !s.logged_out() {
        return Err(Refusal::Bye("Too many connections from your address that have not logged in"));
    }
    Ok(Done::Told(format!("[CAPABILITY {}] Logged out; log in again", super::capability::list(s))))
}

/// PLAIN's response, as a line of its own or with the command.
pub(crate) fn plain(s: &mut Session, response: &[u8], out: &mut Vec<u8>) -> Result<Done, Refusal> {
    if response == b"*" {
        return Err(Refusal::Bad("AUTHENTICATE cancelled"));
    }
    match simple::sasl_plain(response) {
        Some((name, password)) => enter(s, &name, &password, out),
        None => Err(auth::Error::Denied.into()),
    }
}

fn private(s: &Session) -> Result<(), Refusal> {
    if s.is_private() {
        Ok(())
    } else {
        Err(Refusal::No("PRIVACYREQUIRED", "Passwords are taken over TLS only: use STARTTLS or the TLS port"))
    }
}

fn enter(
    s: &mut Session,
    name: &str,
    password: &Zeroizing<String>,
    out: &mut Vec<u8>,
) -> Result<Done, Refusal> {
    let user = s.world.auth.login(name, password, Privilege::Imap, Some(s.ip))?;
    if !s.place.login(&user.name) {
        return Err(Refusal::Bye("Too many connections of this user"));
    }
    tracing::info!(user = %user.name, ip = %s.ip, "logged in over IMAP");
    s.logged_in(user.name);
    // What is offered has changed (RFC 3501 §6.2.3 lets the server say it unasked).
    out.extend_from_slice(format!("* CAPABILITY {}\r\n", super::capability::list(s)).as_bytes());
    Ok(Done::Ok("Logged in"))
}
