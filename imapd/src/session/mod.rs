//! The session: commands in, answers out, without a socket.
//!
//! [`Session::input`] takes the client's bytes, [`Session::step`] does work until it has a chunk of answer, needs input,
//! or is at its end. Invariants: commands run one after the other, in order; what is held in memory is at most a chunk
//! and one piece of a message, whatever the mailbox, but for what SORT and THREAD put in order. A step may wait for the disk: it belongs on a blocking thread.

mod accessed;
pub(crate) mod enabled;
#[cfg(test)]
mod fuzz;
mod mailbox;
pub(crate) mod names;
pub(crate) mod sight;
pub(crate) mod table;
pub(crate) mod tree;
mod watched;
mod years;

pub(crate) use accessed::Accessed;
pub(crate) use enabled::Enabled;
pub(crate) use mailbox::Mailbox;
use mailbox::News;

use crate::Settings;
use crate::cmd::bearer;
use crate::cmd::login::Pending;
use crate::cmd::notify::{Aside, Wanted};
use crate::cmd::vanished::Chain;
use crate::gate::Place;
use crate::proto::frame::{Bounds, Frame, Framed, Why};
use crate::proto::parse::Cursor;
use crate::queue::Turn;
use crate::reply::Refusal;
use crate::watch::Watch;
use crate::watch::figures::Outcome;
use crate::watch::tally::{Reason, Tally};
use auth::{Auth, Channel, Credential, Entered, ScramExchange, Sight};
use sight::{Asked, Guest, Sighted};
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use storage::{Cancel, Progress, Storage, UidRanges};
use watched::Watched;
use years::Years;

/// An answer is handed on once it is this long.
pub(crate) const CHUNK: usize = 64 << 10;

/// What all sessions share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) settings: Settings,
    pub(crate) storage: Storage,
    pub(crate) auth: Auth,
    pub(crate) watch: Watch,
}

/// Who is at the other end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) ip: IpAddr,
    /// The address is what a proxy says.
    pub(crate) proxied: bool,
}

/// What the network has to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Call [`Session::step`] again.
    More,
    /// Bring bytes.
    Read,
    /// Write what there is, get the user a place in the queue, [`Session::take_turn`], call [`Session::step`].
    Queue,
    /// Bring bytes, or call [`Session::changed`] and [`Session::step`] when folders have changed.
    Idle,
    /// As [`Next::Idle`], outside of IDLE: the client wants to be told all the same (RFC 5465).
    Watch,
    /// Write what there is, forget unread bytes, begin TLS, then [`Session::tls_begun`].
    StartTls,
    /// Write what there is, wait as long as [`Session::login_delay`] says and for a turn to hash, then call [`Session::step`].
    Login,
    /// Write what there is, compress from there on with [`Session::take_unread`], then call [`Session::step`].
    Compress,
    /// Write what there is and close.
    Close,
}

/// What one step gave.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) out: Vec<u8>,
    pub(crate) next: Next,
}

/// A command's answer that comes in chunks.
pub(crate) trait Work: Send {
    /// Appends a piece; true when all is said. An error must leave `out` at a line's start, or be `Drop`.
    fn step(&mut self, out: &mut Vec<u8>, cancel: &Cancel) -> Result<bool, Refusal>;
    /// Whether a line or literal is half written between two steps.
    fn is_inside_line(&self) -> bool {
        false
    }
    /// While its next step needs a place in the queue: how far it is.
    fn queued(&self) -> Option<&Progress> {
        None
    }
    /// What `$` means once it has ended, in whatever way (RFC 5182); none: what it meant.
    fn saved(&mut self) -> Option<UidRanges> {
        None
    }
    /// Messages of which it has told something so far, and such as it had to read to search in them.
    fn figures(&self) -> (u64, u64) {
        (0, 0)
    }
}

/// How a command ended, if not with a refusal.
pub(crate) enum Done {
    /// Tagged OK with these words.
    Ok(&'static str),
    /// As [`Done::Ok`], with words that are made here.
    Told(String),
    /// The answer comes in chunks, then tagged OK with these words.
    Work(Box<dyn Work>, &'static str),
    /// As [`Done::Work`], with words that are made here.
    WorkTold(Box<dyn Work>, String),
    /// Tagged OK, then begin TLS.
    StartTls,
    /// Tagged OK, then compress.
    Compress,
    /// The password in [`Session::pending`] is to be checked.
    Login,
    /// BYE was said: tagged OK, then close.
    Logout,
    /// The client's next line belongs to this command.
    Continue(Mode),
}

/// What the client's next line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A command.
    Command,
    /// PLAIN's response.
    Plain,
    /// SCRAM's first message, with channel binding or without.
    ScramFirst(bool),
    /// What comes next in SCRAM's exchange.
    ScramNext,
    /// A token.
    Bearer(bearer::Form),
    /// What is said to the refusal of a token.
    BearerRefused,
    /// DONE.
    Idle,
}

/// How far an exchange of SCRAM is.
pub(crate) enum Sasl {
    /// The challenge is out; with channel binding or without.
    Asked(bool, Box<ScramExchange>),
    /// The proof was right, and the server's own is out.
    Proven(Box<Entered>),
}

/// A command being run.
pub(crate) struct Call<'a> {
    /// Its tag.
    pub(crate) tag: &'a [u8],
    /// It was prefixed with UID.
    pub(crate) uid: bool,
    /// Where its answer goes.
    pub(crate) out: &'a mut Vec<u8>,
}

struct Running {
    work: Box<dyn Work>,
    /// What the command's tagged OK says then; nothing ends with news in IDLE.
    words: Option<Cow<'static, str>>,
}

/// One connection's state.
pub(crate) struct Session {
    pub(crate) world: Arc<World>,
    pub(crate) ip: IpAddr,
    /// The address is what a proxy says.
    pub(crate) proxied: bool,
    pub(crate) tls: bool,
    pub(crate) compressed: bool,
    /// A login whose password is still to be checked.
    pub(crate) pending: Option<Pending>,
    /// An exchange of SCRAM.
    pub(crate) sasl: Option<Sasl>,
    /// What SCRAM can be bound to; empty without TLS.
    pub(crate) channel: Channel,
    /// By what the user has logged in.
    by: Option<Credential>,
    pub(crate) user: Option<String>,
    pub(crate) mailbox: Option<Mailbox>,
    pub(crate) place: Place,
    /// The folders of others that it has read.
    pub(crate) accessed: Accessed,
    /// What `$` means (RFC 5182).
    pub(crate) saved: Arc<UidRanges>,
    /// What ENABLE has turned on.
    pub(crate) enabled: Enabled,
    /// What the client wants to be told; none until it has said so.
    pub(crate) notify: Option<Wanted>,
    /// Folders or rights have changed since that was looked at.
    woken: bool,
    /// When the user was added.
    since: Option<i64>,
    /// The rights by which the session goes on.
    asked: Asked,
    turn: Option<Turn>,
    frame: Frame,
    mode: Mode,
    tag: Vec<u8>,
    running: Option<Running>,
    bad: u32,
    commands: u64,
    next: Next,
    /// The command lets EXPUNGE be told (RFC 3501 §7.4.1).
    may_expunge: bool,
    watched: Watched,
}

impl Session {
    /// A new connection's session.
    pub(crate) fn new(world: Arc<World>, peer: Peer, tls: bool, place: Place, tally: Arc<Tally>) -> Session {
        let watched = Watched::new(tally, peer.ip);
        Session {
            world,
            ip: peer.ip,
            proxied: peer.proxied,
            tls,
            compressed: false,
            pending: None,
            sasl: None,
            channel: Channel::default(),
            by: None,
            accessed: Accessed::default(),
            watched,
            user: None,
            mailbox: None,
            place,
            saved: Arc::default(),
            enabled: Enabled::default(),
            notify: None,
            woken: false,
            since: None,
            asked: Asked::default(),
            turn: None,
            frame: Frame::new(),
            mode: Mode::Command,
            tag: Vec::new(),
            running: None,
            bad: 0,
            commands: 0,
            next: Next::Read,
            may_expunge: true,
        }
    }

    /// The server's first line.
    pub(crate) fn greeting(&self) -> Vec<u8> {
        format!("* OK [CAPABILITY {}] mailkeep ready\r\n", crate::cmd::capability::list(self)).into_bytes()
    }

    /// Adds bytes from the client.
    pub(crate) fn input(&mut self, bytes: &[u8]) {
        self.frame.push(bytes);
    }
    /// Whether a command has begun to arrive and is not complete.
    pub(crate) fn is_partial(&self) -> bool {
        self.frame.partial()
    }
    /// How many commands (and lines of SASL and IDLE) have been taken.
    pub(crate) fn commands(&self) -> u64 {
        self.commands
    }
    /// Whether a line or literal is half written.
    pub(crate) fn is_inside_line(&self) -> bool {
        self.running.as_ref().is_some_and(|r| r.work.is_inside_line())
    }
    /// The user has a place in the queue: the command that waited goes on.
    pub(crate) fn take_turn(&mut self, turn: Turn) {
        self.turn = Some(turn);
    }
    /// The tag of a command that needs a place in the queue, or has one, and how far it is.
    pub(crate) fn queued(&self) -> Option<(Vec<u8>, Progress)> {
        let progress = self.running.as_ref()?.work.queued()?;
        Some((self.tag.clone(), progress.clone()))
    }
    /// TLS has begun: whatever was read before doesn't count (RFC 3501 §6.2.1).
    pub(crate) fn tls_begun(&mut self) {
        self.frame.clear();
        self.tls = true;
        self.next = Next::Read;
    }
    /// Whether passwords may be sent on this connection.
    pub(crate) fn is_private(&self) -> bool {
        // What a proxy says is no proof that nobody listens in between.
        self.tls || (self.world.settings.plain_on_loopback && self.ip.is_loopback() && !self.proxied)
    }
    /// How long the login that waits has to wait still.
    pub(crate) fn login_delay(&self) -> std::time::Duration {
        self.pending.as_ref().map(Pending::delay).unwrap_or_default()
    }
    /// The bytes behind COMPRESS, which are compressed already.
    pub(crate) fn take_unread(&mut self) -> Vec<u8> {
        self.next = Next::Read;
        self.compressed = true;
        self.frame.take_unread()
    }
    /// Why the session ended, once it has by itself.
    pub(crate) fn reason(&self) -> Reason {
        self.watched.reason()
    }

    /// Works until there is a chunk to write, input is needed, or the session ends.
    pub(crate) fn step(&mut self, cancel: &Cancel) -> Step {
        let mut out = Vec::new();
        if self.next == Next::Login {
            self.next = Next::More;
            let result = crate::cmd::login::complete(self, &mut out);
            self.finish(result, &mut out);
        }
        let step = self.work(out, cancel);
        self.watched.answer(&step.out);
        step
    }

    fn work(&mut self, mut out: Vec<u8>, cancel: &Cancel) -> Step {
        self.look_at_rights(&mut out);
        if self.next != Next::Close && self.running.is_none() && self.waits() {
            self.tell(&mut out);
        }
        while matches!(self.next, Next::Read | Next::Idle | Next::Watch | Next::More) {
            if out.len() >= CHUNK {
                return Step { out, next: Next::More };
            }
            if self.look_at_rights(&mut out) {
                break;
            }
            if let Some(running) = &mut self.running {
                if running.work.queued().is_none() {
                    self.turn = None;
                } else if self.turn.is_none() {
                    return Step { out, next: Next::Queue };
                }
                let ended = |work: &mut Box<dyn Work>| work.saved().map(Arc::new);
                let clean = (!running.work.is_inside_line()).then_some(out.len());
                let stepped = running.work.step(&mut out, cancel);
                self.watched.figures(running.work.figures());
                match stepped {
                    Ok(false) => {}
                    Ok(true) => {
                        let words = running.words.take();
                        self.saved = ended(&mut running.work).unwrap_or_else(|| Arc::clone(&self.saved));
                        (self.running, self.turn) = (None, None);
                        if let Some(words) = words {
                            self.end_well(words, &mut out);
                        }
                    }
                    Err(refusal) => {
                        self.saved = ended(&mut running.work).unwrap_or_else(|| Arc::clone(&self.saved));
                        (self.running, self.turn) = (None, None);
                        // What was given up because rights changed says so, if it had said nothing yet.
                        let silent = refusal == Refusal::Drop && clean == Some(out.len());
                        if !silent || !self.look_at_rights(&mut out) {
                            self.finish(Err(refusal), &mut out);
                        }
                    }
                }
            } else if !self.take(&mut out) {
                self.next = match (self.mode, &self.notify) {
                    (Mode::Idle, _) => Next::Idle,
                    (Mode::Command, Some(_)) => Next::Watch,
                    _ => Next::Read,
                };
                break;
            }
        }
        Step { out, next: self.next }
    }

    /// Folders or rights have changed while nothing was asked for.
    pub(crate) fn changed(&mut self) {
        self.woken = true;
    }

    /// Whether it may speak without having been asked.
    fn waits(&self) -> bool {
        self.mode == Mode::Idle || (self.woken && self.mode == Mode::Command && self.notify.is_some())
    }

    /// Tells what is new to a client that waits for it.
    fn tell(&mut self, out: &mut Vec<u8>) {
        let woken = std::mem::replace(&mut self.woken, false);
        if self.notify.is_some() && woken {
            let told = crate::cmd::notify::tell(self, out);
            if let Err(refusal) = told {
                return self.finish(Err(refusal), out);
            }
        }
        let delayed = self.notify.as_ref().and_then(Wanted::tells_selected);
        let idle = self.mode == Mode::Idle;
        // RFC 5465 §4: in IDLE too, only what NOTIFY asked for.
        if delayed.is_none() && (self.notify.is_some() || !idle) {
            return;
        }
        self.may_expunge = idle || delayed == Some(false) || self.enabled.uidonly;
        match self.news() {
            News::Nothing => {}
            News::Changed { told, came } => {
                let work = self.with_new(told, came);
                self.running = Some(Running { work, words: None });
            }
            News::Vanished => self.finish(Err(VANISHED), out),
        }
    }

    /// What tells of the selected mailbox, and what the client wants to have fetched of new messages.
    fn with_new(&self, told: Box<dyn Work>, came: UidRanges) -> Box<dyn Work> {
        let Some(watch) = self.notify.as_ref().filter(|watch| !watch.items().is_empty()) else { return told };
        let mut items = watch.items().to_vec();
        // RFC 7162 §3.2.4, RFC 5465 §5.2.
        self.enabled.with_mod_seq(&mut items);
        match crate::cmd::fetch::work(self, came, items, false) {
            Ok(Some(fetch)) => Box::new(Chain::new([told, Box::new(Aside(fetch)) as Box<dyn Work>])),
            Ok(None) => told,
            // Selected it is, else nothing would be new.
            Err(refusal) => {
                tracing::error!(?refusal, "new messages could not be fetched");
                told
            }
        }
    }

    /// Takes the next command or line; false when there is none yet.
    fn take(&mut self, out: &mut Vec<u8>) -> bool {
        let bounds = self.bounds();
        if self.mode != Mode::Command {
            let Some(line) = self.frame.next_line(bounds.line) else { return false };
            self.commands += 1;
            let mode = std::mem::replace(&mut self.mode, Mode::Command);
            self.watched.line(line.as_deref().unwrap_or_default());
            let result = match (line, mode) {
                (Err(_), _) => Err(Refusal::Bad("The line is too long")),
                (Ok(line), Mode::Plain) => crate::cmd::login::plain(self, &line, out),
                (Ok(line), Mode::ScramFirst(plus)) => crate::cmd::scram::first(self, plus, &line, out),
                (Ok(line), Mode::ScramNext) => crate::cmd::scram::next(self, &line, out),
                (Ok(line), Mode::Bearer(form)) => bearer::response(self, form, &line),
                (Ok(_), Mode::BearerRefused) => bearer::refused(),
                (Ok(line), _) if line.eq_ignore_ascii_case(b"DONE") => Ok(Done::Ok("IDLE done")),
                (Ok(_), _) => Err(Refusal::Bad("IDLE ends with DONE")),
            };
            self.finish(result, out);
            return true;
        }
        let Some(framed) = self.frame.next(&bounds) else { return false };
        match framed {
            Framed::Continue => {
                out.extend_from_slice(b"+ OK\r\n");
                return true;
            }
            Framed::Command(line) => {
                self.commands += 1;
                self.watched.command(&self.world.watch, &line);
                self.command(&line, out);
            }
            Framed::Refused { head, why } => {
                self.commands += 1;
                self.watched.command(&self.world.watch, &head);
                self.tag = tag_of(&mut Cursor::new(&head)).unwrap_or(b"*").to_vec();
                let refusal = match why {
                    Why::Append if self.user.is_some() => Refusal::READ_ONLY,
                    Why::Append => Refusal::Bad("Log in first"),
                    Why::Line => Refusal::Bad("[TOOBIG] The command line is too long"),
                    Why::Literal => Refusal::Bad("[TOOBIG] The literal is too large"),
                };
                self.finish(Err(refusal), out);
            }
            Framed::Hopeless => self.finish(Err(Refusal::Bye("[TOOBIG] The literal is too large")), out),
        }
        true
    }

    fn bounds(&self) -> Bounds {
        let s = &self.world.settings;
        let (line, literal) = match self.user {
            Some(_) => (s.max_line, s.max_literal),
            None if self.world.auth.takes_tokens() => {
                (s.max_line_before_login.max(bearer::MAX_LINE_BYTES), s.max_literal_before_login)
            }
            None => (s.max_line_before_login, s.max_literal_before_login),
        };
        Bounds { line, literal, literals: literal.saturating_mul(4) }
    }

    fn command(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let mut c = Cursor::new(line).with_text(self.enabled.text());
        let Some(tag) = tag_of(&mut c) else {
            self.tag = b"*".to_vec();
            return self.finish(Err(Refusal::Bad("The tag is wrong")), out);
        };
        self.tag = tag.to_vec();
        let result = self.run(tag, &mut c, out);
        self.finish(result, out);
    }

    fn run(&mut self, tag: &[u8], c: &mut Cursor<'_>, out: &mut Vec<u8>) -> Result<Done, Refusal> {
        c.sp()?;
        let mut verb = c.atom()?;
        let uid = verb.eq_ignore_ascii_case(b"UID");
        if uid {
            c.sp()?;
            verb = c.atom()?;
        }
        let command = table::find(verb, uid).ok_or(Refusal::Bad("Unknown command"))?;
        self.watched.is(command.index());
        // RFC 9586 §3.
        if self.enabled.uidonly
            && !uid
            && table::find(verb, true).is_some()
            && !verb.eq_ignore_ascii_case(b"EXPUNGE")
        {
            return Err(Refusal::Bad("[UIDREQUIRED] Only the UID form of the command may be used"));
        }
        // Who knows no sequence numbers can be told at any time.
        self.may_expunge = uid
            || self.enabled.uidonly
            || ![&b"FETCH"[..], b"STORE", b"SEARCH", b"SORT", b"THREAD"]
                .iter()
                .any(|by| verb.eq_ignore_ascii_case(by));
        command.allowed(self)?;
        self.still_welcome()?;
        if command.needs_mailbox()
            && self.mailbox.as_ref().is_some_and(|mailbox| !mailbox.is_there(&self.world.storage))
        {
            return Err(VANISHED);
        }
        let (before, selects) = (self.enabled.condstore, command.selects());
        let done = (command.run)(self, &mut Call { tag, uid, out }, c);
        // RFC 7162 §3.1: the first command that turns CONDSTORE on is told how far the selected mailbox is.
        if let Some(mailbox) = self.mailbox.as_ref().filter(|_| self.enabled.condstore && !before && !selects)
        {
            out.extend_from_slice(
                format!("* OK [HIGHESTMODSEQ {}] Highest\r\n", mailbox.mod_seq().0).as_bytes(),
            );
        }
        done
    }

    /// Rights are asked anew as soon as they may have changed, and looked at for every command, so that a change counts at once.
    fn still_welcome(&mut self) -> Result<(), Refusal> {
        if self.is_doubtful()
            && let Some(guest) = self.guest()
        {
            self.asked = guest.ask()?;
        }
        Ok(())
    }

    /// Who is to be asked about while a step is at work; none before login.
    pub(crate) fn guest(&self) -> Option<Guest> {
        let selected = self.mailbox.as_ref().map(|mailbox| mailbox.target.clone());
        let user = self.user.clone()?;
        let came = sight::Came { by: self.by, from: self.ip, tally: self.watched.tally() };
        Some(Guest { world: Arc::clone(&self.world), user, since: self.since, selected, came })
    }

    /// Whether rights may be others than when they were asked, by a change or by time.
    pub(crate) fn is_doubtful(&self) -> bool {
        self.user.is_some() && (Guest::is_doubtful(&self.world, self.asked) || self.watched.is_killed())
    }

    /// Between any two pieces of work: ends the session if its user may not go on. True when it has ended.
    fn look_at_rights(&mut self, out: &mut Vec<u8>) -> bool {
        let Err(refusal) = self.still_welcome() else { return false };
        // In the middle of a line or literal there is nothing to be said.
        let refusal = if self.is_inside_line() { Refusal::Drop } else { refusal };
        (self.running, self.turn) = (None, None);
        self.finish(Err(refusal), out);
        true
    }

    /// Says how a command ended. What came and went is told first (RFC 3501 §7.3.1 allows EXISTS at any time).
    fn finish(&mut self, result: Result<Done, Refusal>, out: &mut Vec<u8>) {
        match result {
            Ok(Done::Ok(words)) => self.end_well(Cow::Borrowed(words), out),
            Ok(Done::Told(words)) => self.end_well(Cow::Owned(words), out),
            Ok(Done::Work(work, words)) => {
                self.running = Some(Running { work, words: Some(Cow::Borrowed(words)) });
            }
            Ok(Done::WorkTold(work, words)) => {
                self.running = Some(Running { work, words: Some(Cow::Owned(words)) });
            }
            Ok(Done::StartTls) => {
                self.ok("Begin TLS now", out);
                self.next = Next::StartTls;
            }
            Ok(Done::Logout) => {
                self.ok("Logged out", out);
                self.watched.leaves();
                self.next = Next::Close;
            }
            Ok(Done::Compress) => {
                self.ok("DEFLATE begins", out);
                self.next = Next::Compress;
            }
            Ok(Done::Login) => self.next = Next::Login,
            Ok(Done::Continue(mode)) => {
                if mode == Mode::Idle {
                    self.watched.done(&self.world.watch, Outcome::Ok);
                }
                self.mode = mode;
            }
            Err(refusal) => {
                self.watched.refused(&self.world.watch, &refusal);
                refusal.write(&self.tag, out);
                match refusal {
                    Refusal::Bad(_) => self.count_bad(out),
                    Refusal::No(..) | Refusal::TooMany(_) => {}
                    Refusal::Bye(_) | Refusal::Drop => self.next = Next::Close,
                }
            }
        }
    }

    /// Tagged OK, behind what is new.
    fn end_well(&mut self, words: Cow<'static, str>, out: &mut Vec<u8>) {
        match self.news() {
            News::Nothing => self.ok(&words, out),
            News::Changed { told, came } => {
                let work = self.with_new(told, came);
                self.running = Some(Running { work, words: Some(words) });
            }
            News::Vanished => {
                self.ok(&words, out);
                VANISHED.write(b"", out);
                self.watched.ends(&VANISHED);
                self.next = Next::Close;
            }
        }
    }

    fn ok(&mut self, words: &str, out: &mut Vec<u8>) {
        self.watched.done(&self.world.watch, Outcome::Ok);
        for part in [&self.tag, b" OK ".as_slice(), words.as_bytes(), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }

    fn count_bad(&mut self, out: &mut Vec<u8>) {
        self.bad += 1;
        let s = &self.world.settings;
        if self.bad >= if self.user.is_some() { s.max_bad } else { s.max_bad_before_login } {
            let refusal = Refusal::Bye("Too many bad commands");
            refusal.write(b"", out);
            self.watched.ends(&refusal);
            self.next = Next::Close;
        }
    }

    /// What came and went in the selected mailbox.
    fn news(&mut self) -> News {
        if self.notify.as_mut().is_some_and(Wanted::is_silent) {
            return News::Nothing;
        }
        match &mut self.mailbox {
            Some(mailbox) => mailbox.refresh(&self.world.storage, self.may_expunge, self.enabled),
            None => News::Nothing,
        }
    }

    /// The logged-in user; the command table lets no command run without one that asks.
    pub(crate) fn user(&self) -> Result<&str, Refusal> {
        self.user.as_deref().ok_or(Refusal::Bad("Log in first"))
    }
    /// The selected mailbox; as with [`Session::user`].
    pub(crate) fn selected(&self) -> Result<&Mailbox, Refusal> {
        self.mailbox.as_ref().ok_or(Refusal::Bad("Select a mailbox first"))
    }
    /// A login has succeeded: bad commands before it are forgiven.
    pub(crate) fn logged_in(&mut self, user: String, by: Credential) {
        self.watched.logged_in(&self.world.watch, &user, by, self.tls);
        self.by = Some(by);
        self.since = self.world.auth.user(&user).ok().map(|user| user.created);
        self.asked = Asked::default();
        self.user = Some(user);
        self.bad = 0;
    }
    /// UNAUTHENTICATE (RFC 8437 §2): all is as before the login, but for TLS. False when the address has no place left for one
    /// more that has not logged in.
    pub(crate) fn logged_out(&mut self) -> bool {
        self.user = None;
        self.watched.logged_out();
        self.select(None);
        self.accessed = Accessed::default();
        self.saved = Arc::default();
        self.enabled = Enabled::default();
        self.notify = None;
        self.bad = 0;
        self.place.logout()
    }

    /// Selects this mailbox, or none; gives the one before.
    pub(crate) fn select(&mut self, mailbox: Option<Mailbox>) -> Option<Mailbox> {
        let user = self.user.as_deref().unwrap_or_default();
        self.watched.selected(mailbox.as_ref().map(|mailbox| mailbox.target.shown(user)));
        std::mem::replace(&mut self.mailbox, mailbox)
    }

    /// Opens the mailbox of that name, if it is there and may be read; both else are the same refusal.
    pub(crate) fn open(&self, name: Option<&str>) -> Result<Mailbox, Refusal> {
        let name = name.ok_or_else(|| self.enabled.no_name())?;
        self.open_by(&self.world.sight(self.user()?)?, name)
    }

    /// As [`Session::open`], by rights that were asked just now.
    pub(crate) fn open_by(&self, sight: &Sight, name: &str) -> Result<Mailbox, Refusal> {
        let (user, world) = (self.user()?, &self.world);
        let inbox = || {
            let look = world.storage.look();
            Sighted { look: &look, sight }.inbox_of(user).map(str::to_owned)
        };
        let target = names::find(user, name, inbox).ok_or(Refusal::NO_MAILBOX)?;
        let target = match target {
            names::Target::Folder(path)
                if !sight.reads(path.as_str()) || world.storage.look().at(path.as_str()).is_none() =>
            {
                match Years::of(world, sight).find(&path) {
                    Some(year) => year,
                    // INBOX/sub without an INBOX folder: INBOX is there all the same, and empty.
                    None if name.eq_ignore_ascii_case("INBOX") => names::Target::EmptyInbox,
                    None => return Err(Refusal::NO_MAILBOX),
                }
            }
            target => target,
        };
        world.open(sight, target)
    }

    /// What LIST says of a mailbox that is open.
    pub(crate) fn entry(&self, mailbox: &Mailbox) -> Result<tree::Entry, Refusal> {
        let user = self.user()?;
        Ok(tree::entry_of(&self.world, &self.world.sight(user)?, user, mailbox))
    }
}

/// The selected mailbox was removed or renamed, or may not be read any more. RFC 2180 §3.3 lets a server end the session then;
/// clients connect again and ask for the list, whereas not many understand a mailbox that goes under their hands.
const VANISHED: Refusal = Refusal::Bye("The selected mailbox is not there any more");

/// RFC 3501 §9 `tag`: ASTRING-CHARs but `+`.
fn tag_of<'a>(c: &mut Cursor<'a>) -> Option<&'a [u8]> {
    let tag = c.take_while(|b| crate::proto::parse::is_astring_char(b) && b != b'+');
    (!tag.is_empty() && tag.len() <= 100 && matches!(c.peek(), None | Some(b' '))).then_some(tag)
}
