//! STARTTLS, LOGIN, AUTHENTICATE (RFC 3501 §6.2, RFC 4616, RFC 4959; SCRAM: `scram`, tokens: `bearer`), UNAUTHENTICATE (RFC 8437).
//!
//! Promise: no password is taken on a connection that others can read, and all failures look alike. Who may try a password,
//! and after which delay, `auth` says; the network waits, without a thread, until it is checked.

use super::bearer;
use crate::proto::parse::{Cursor, simple};
use crate::reply::Refusal;
use crate::session::{Call, Done, Mode, Session};
use crate::watch::figures;
use auth::throttle::Leave;
use auth::{Attempt, Auth, Entered, How, Privilege, ScramProof};
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
    enter(s, How::Login, &name, &password, call.out)
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
    if let Some(plus) = super::scram::mechanism(s, mechanism) {
        private(s)?;
        return match response {
            Some(response) => super::scram::first(s, plus, response, call.out),
            None => {
                call.out.extend_from_slice(b"+ \r\n");
                Ok(Done::Continue(Mode::ScramFirst(plus)))
            }
        };
    }
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
        return Err(Refusal::No("CANNOT", "The mechanism is not offered"));
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
        Some((name, password)) => enter(s, How::Plain, &name, &password, out),
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
    how: How,
    secret: Secret,
    from: IpAddr,
    delay: Duration,
    checked: bool,
}

/// By what it is to be proven.
enum Secret {
    Password(Zeroizing<String>),
    Proof(ScramProof),
    Token(bearer::Form, Zeroizing<String>),
}

impl Pending {
    fn attempt(&self) -> Attempt<'_> {
        Attempt { name: &self.name, need: Privilege::Imap, from: Some(self.from), how: self.how }
    }
    /// What has to be waited for.
    pub(crate) fn delay(&self) -> Duration {
        self.delay
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.checked {
            self.auth.gave_up(&self.attempt().account(), self.from);
        }
    }
}

/// Whether a login may be tried now, and after which delay.
fn leave(s: &Session, name: &str, how: How) -> Result<Duration, Refusal> {
    let (auth, figures) = (&s.world.auth, s.world.watch.figures());
    let attempt = Attempt { name, need: Privilege::Imap, from: Some(s.ip), how };
    if !auth.admits(s.ip) {
        figures::add(&figures.logins_refused, 1);
        auth.turned_away(&attempt, "not from this network");
        return Err(Refusal::No("NOPERM", "Logins are not taken from your network"));
    }
    match auth.ask(&attempt.account(), s.ip) {
        Leave::Now => Ok(Duration::ZERO),
        Leave::After(ms) => {
            figures::add(&figures.logins_delayed, 1);
            Ok(Duration::from_millis(ms))
        }
        Leave::Refused => {
            figures::add(&figures.logins_refused, 1);
            auth.turned_away(&attempt, "too many failures");
            Err(Refusal::No("UNAVAILABLE", "Too many logins have failed; try again later"))
        }
    }
}

fn enter(
    s: &mut Session,
    how: How,
    name: &str,
    password: &Zeroizing<String>,
    out: &mut Vec<u8>,
) -> Result<Done, Refusal> {
    let delay = leave(s, name, how)?;
    if delay.is_zero() {
        let attempt = Attempt { name, need: Privilege::Imap, from: Some(s.ip), how };
        if let Some(entered) = s.world.auth.login_again(&attempt, password)? {
            figures::add(&s.world.watch.figures().logins_again, 1);
            return welcome(s, entered, out);
        }
    }
    hold(s, how, name.to_owned(), Secret::Password(password.clone()), delay);
    Ok(Done::Login)
}

/// Keeps a login for [`complete`].
fn hold(s: &mut Session, how: How, name: String, secret: Secret, delay: Duration) {
    let auth = s.world.auth.clone();
    s.pending = Some(Pending { auth, name, how, secret, from: s.ip, delay, checked: false });
}

/// A token has come; `name`: whom the client says to be, if it does.
pub(super) fn present(
    s: &mut Session,
    form: bearer::Form,
    name: Option<String>,
    token: Zeroizing<String>,
) -> Result<Done, Refusal> {
    let name = name.unwrap_or_default();
    let delay = leave(s, &name, form.how())?;
    hold(s, form.how(), name, Secret::Token(form, token), delay);
    Ok(Done::Login)
}

/// A proof of SCRAM has come. It costs next to nothing, so that without a delay it takes no turn among those that hash.
pub(crate) fn prove(
    s: &mut Session,
    how: How,
    proof: ScramProof,
    out: &mut Vec<u8>,
) -> Result<Done, Refusal> {
    let name = proof.name().to_owned();
    let delay = leave(s, &name, how)?;
    hold(s, how, name, Secret::Proof(proof), delay);
    if delay.is_zero() { complete(s, out) } else { Ok(Done::Login) }
}

/// Checks what the login that waited gave. `auth` takes its time on purpose.
pub(crate) fn complete(s: &mut Session, out: &mut Vec<u8>) -> Result<Done, Refusal> {
    let Some(mut pending) = s.pending.take() else { return Err(auth::Error::Denied.into()) };
    pending.checked = true;
    let (auth, attempt) = (&pending.auth, pending.attempt());
    let done = match &pending.secret {
        Secret::Password(password) => auth.login(&attempt, password).map(|entered| (entered, None)),
        Secret::Proof(proof) => auth
            .scram_prove(proof, Privilege::Imap, attempt.from)
            .map(|(entered, words)| (entered, Some(words))),
        Secret::Token(_, token) => auth.login_token(&attempt, token).map(|entered| (entered, None)),
    };
    match done {
        Ok((entered, None)) => welcome(s, entered, out),
        Ok((entered, Some(words))) => Ok(super::scram::proven(s, entered, &words, out)),
        Err(error) => {
            figures::add(&s.world.watch.figures().logins_failed, 1);
            match (error, &pending.secret) {
                (auth::Error::Denied, Secret::Token(form, _)) => Ok(form.refuse(auth, out)),
                (error, _) => Err(error.into()),
            }
        }
    }
}

pub(crate) fn welcome(s: &mut Session, entered: Entered, out: &mut Vec<u8>) -> Result<Done, Refusal> {
    let Entered { user, by } = entered;
    if !s.place.login(&user.name) {
        return Err(Refusal::Bye("Too many connections of this user"));
    }
    figures::add(&s.world.watch.figures().logins_ok, 1);
    tracing::debug!(user = ?user.name, ip = %s.ip, "logged in over IMAP");
    s.logged_in(user.name, by);
    // What is offered has changed (RFC 3501 §6.2.3 lets the server say it unasked).
    out.extend_from_slice(format!("* CAPABILITY {}\r\n", super::capability::list(s)).as_bytes());
    Ok(Done::Ok("Logged in"))
}
