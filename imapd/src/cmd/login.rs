//! STARTTLS, LOGIN, AUTHENTICATE PLAIN (RFC 3501 §6.2, RFC 4616, RFC 4959), UNAUTHENTICATE (RFC 8437).
//!
//! Promise: no password is taken on a connection that others can read, and all failures look alike. Who may try a password,
//! and after which delay, `auth` says; the network waits, without a thread, until it is checked.

use super::bearer;
use crate::proto::parse::{Cursor, simple};
use crate::reply::Refusal;
use crate::session::{Call, Done, Mode, Session};
use crate::watch::figures;
use auth::throttle::Leave;
use auth::{Auth, Privilege, User};
use std::net::IpAddr;
use std::time::Duration;
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
    if let Some(form) = bearer::Form::named(s, mechanism) {
        private(s)?;
        return match response {
            Some(response) => bearer::response(s, form, response),
            None => {
                call.out.extend_from_slice(b"+ \r\n");
                Ok(Done::Continue(Mode::Bearer(form)))
            }
        };
    }
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
    // RFC 8437 §8: it can be turned off.
    if !s.world.settings.unauthenticate {
        return Err(Refusal::Bad("Unknown command"));
    }
    // RFC 8437 §3 knows no NO, but lets a server close that can't give up what it has: where the client's compressed stream ends
    // and plain commands begin, it doesn't say.
    if s.compressed {
        return Err(Refusal::Bye("A compressed connection serves one user; connect again"));
    }
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

/// A login whose password is still to be checked. One that is forgotten before counts as failed: guessing that doesn't wait for
/// its answer must not be free.
pub(crate) struct Pending {
    auth: Auth,
    name: String,
    password: Zeroizing<String>,
    from: IpAddr,
    delay: Duration,
    checked: bool,
}

impl Pending {
    /// What has to be waited for.
    pub(crate) fn delay(&self) -> Duration {
        self.delay
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.checked {
            self.auth.gave_up(&self.name, self.from);
        }
    }
}

fn enter(
    s: &mut Session,
    name: &str,
    password: &Zeroizing<String>,
    out: &mut Vec<u8>,
) -> Result<Done, Refusal> {
    let (auth, figures) = (s.world.auth.clone(), s.world.watch.figures());
    let delay = match auth.ask(name, s.ip) {
        Leave::Now => {
            if let Some(user) = auth.login_again(name, password, Privilege::Imap, Some(s.ip))? {
                figures::add(&figures.logins_again, 1);
                return welcome(s, user, out);
            }
            Duration::ZERO
        }
        Leave::After(ms) => {
            figures::add(&figures.logins_delayed, 1);
            Duration::from_millis(ms)
        }
        Leave::Refused => {
            figures::add(&figures.logins_refused, 1);
            tracing::warn!(from = %s.ip, "a login was refused untried: too many have failed from there");
            return Err(Refusal::No("UNAVAILABLE", "Too many logins have failed; try again later"));
        }
    };
    let password = password.clone();
    let (name, from) = (name.to_owned(), s.ip);
    s.pending = Some(Pending { auth, name, password, from, delay, checked: false });
    Ok(Done::Login)
}

/// Checks the password of the login that waited. `auth` takes its time on purpose.
pub(crate) fn complete(s: &mut Session, out: &mut Vec<u8>) -> Result<Done, Refusal> {
    if let Some(end) = bearer::complete(s, out) {
        return end;
    }
    let Some(mut pending) = s.pending.take() else { return Err(auth::Error::Denied.into()) };
    pending.checked = true;
    let Pending { auth, name, password, from, .. } = &pending;
    match auth.login(name, password, Privilege::Imap, Some(*from)) {
        Ok(user) => welcome(s, user, out),
        Err(error) => {
            figures::add(&s.world.watch.figures().logins_failed, 1);
            auth.note_refused(name, &from.to_string(), "imap.login");
            Err(error.into())
        }
    }
}

fn welcome(s: &mut Session, user: User, out: &mut Vec<u8>) -> Result<Done, Refusal> {
    welcome_by(s, user, "imap.login", out)
}

/// Lets a user in whose credentials were right; `how` is for the audit log.
pub(super) fn welcome_by(s: &mut Session, user: User, how: &str, out: &mut Vec<u8>) -> Result<Done, Refusal> {
    s.world.auth.note_login(&user, &s.ip.to_string(), how)?;
    if !s.place.login(&user.name) {
        return Err(Refusal::Bye("Too many connections of this user"));
    }
    figures::add(&s.world.watch.figures().logins_ok, 1);
    tracing::debug!(user = ?user.name, ip = %s.ip, "logged in over IMAP");
    s.logged_in(user.name);
    // What is offered has changed (RFC 3501 §6.2.3 lets the server say it unasked).
    out.extend_from_slice(format!("* CAPABILITY {}\r\n", super::capability::list(s)).as_bytes());
    Ok(Done::Ok("Logged in"))
}
