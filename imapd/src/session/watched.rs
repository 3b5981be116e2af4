//! What a session tells about itself: its part of the server's figures, its tally, its trace.
//!
//! Invariant: for each command taken, one end is counted; nothing here changes what the session says.

use super::table;
use crate::reply::Refusal;
use crate::watch::Watch;
use crate::watch::figures::{self, Gauge, Outcome};
use crate::watch::sessions::Listed;
use crate::watch::tally::{Reason, Tally};
use crate::watch::trace::Pen;
use auth::Credential;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// The command that is being run: its place in the table, and since when.
#[derive(Debug)]
struct AtWork {
    index: usize,
    since: Instant,
    /// Of its answer so far: messages told of, messages read by a search.
    figures: (u64, u64),
}

/// One session, as it is watched.
#[derive(Debug)]
pub(super) struct Watched {
    tally: Arc<Tally>,
    address: IpAddr,
    at_work: Option<AtWork>,
    pen: Option<Pen>,
    reason: Reason,
    user: Option<(String, Gauge)>,
    listed: Option<Listed>,
}

impl Watched {
    pub(super) fn new(tally: Arc<Tally>, address: IpAddr) -> Watched {
        Watched {
            tally,
            address,
            at_work: None,
            pen: None,
            reason: Reason::Dropped,
            user: None,
            listed: None,
        }
    }

    /// A command has been taken. Which one shows when its name has been read.
    pub(super) fn command(&mut self, watch: &Watch, line: &[u8]) {
        Tally::add(&self.tally.commands, 1);
        self.at_work = Some(AtWork { index: table::count(), since: Instant::now(), figures: (0, 0) });
        self.pen = match &self.user {
            Some((user, _)) if watch.traces().any() => {
                watch.traces().pen(user, self.tally.number, self.address)
            }
            _ => None,
        };
        if let Some(pen) = &self.pen {
            pen.command(line);
        }
    }

    /// A line that isn't a command has been taken.
    pub(super) fn line(&mut self, line: &[u8]) {
        if let Some(pen) = &self.pen {
            pen.answer_line(line);
        }
    }

    /// The command is the one at this place of the table.
    pub(super) fn is(&mut self, index: usize) {
        if let Some(at_work) = &mut self.at_work {
            at_work.index = index;
        }
    }

    /// How far the running command's answer is.
    pub(super) fn figures(&mut self, figures: (u64, u64)) {
        let Some(at_work) = &mut self.at_work else { return };
        let (messages, scanned) =
            (figures.0.saturating_sub(at_work.figures.0), figures.1.saturating_sub(at_work.figures.1));
        at_work.figures = figures;
        if messages > 0 || scanned > 0 {
            self.count(messages, scanned);
        }
    }

    fn count(&self, messages: u64, scanned: u64) {
        Tally::add(&self.tally.messages, messages);
        if let Some((_, gauge)) = &self.user {
            figures::add(&gauge.watch().figures().messages, messages);
            figures::add(&gauge.watch().figures().scanned, scanned);
        }
    }

    /// The command has ended.
    pub(super) fn done(&mut self, watch: &Watch, outcome: Outcome) {
        if let Some(AtWork { index, since, .. }) = self.at_work.take() {
            watch.figures().command(index, since.elapsed(), outcome);
        }
    }

    /// The command has ended otherwise.
    pub(super) fn refused(&mut self, watch: &Watch, refusal: &Refusal) {
        let outcome = match refusal {
            Refusal::No(..) | Refusal::TooMany(_) => Outcome::No,
            Refusal::Bad(_) => Outcome::Bad,
            Refusal::Bye(_) | Refusal::Drop => Outcome::Cut,
        };
        self.done(watch, outcome);
        self.ends(refusal);
    }

    /// The session ends with this, if it is something that ends sessions.
    pub(super) fn ends(&mut self, refusal: &Refusal) {
        match refusal {
            Refusal::Bye(words) => self.reason = Reason::Bye(words),
            Refusal::Drop => self.reason = Reason::Dropped,
            Refusal::No(..) | Refusal::TooMany(_) | Refusal::Bad(_) => {}
        }
    }

    /// The client logs out.
    pub(super) fn leaves(&mut self) {
        self.reason = Reason::Logout;
    }

    pub(super) fn reason(&self) -> Reason {
        self.reason
    }

    /// The connection's counts.
    pub(super) fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// Whether an administrator has ended the session.
    pub(super) fn is_killed(&self) -> bool {
        self.tally.is_killed()
    }

    pub(super) fn logged_in(&mut self, watch: &Watch, user: &str, by: Credential, tls: bool) {
        self.listed = Some(watch.list(user, self.address, by, tls, &self.tally));
        *self.tally.user.lock() = Some(user.to_owned());
        self.user = Some((user.to_owned(), Gauge::new(watch, |figures| &figures.logged_in)));
    }

    /// The client has selected a folder, or none any more.
    pub(super) fn selected(&self, folder: Option<String>) {
        *self.tally.mailbox.lock() = folder;
    }

    /// The next login may be another user's.
    pub(super) fn logged_out(&mut self) {
        (self.user, self.pen, self.listed) = (None, None, None);
    }

    /// Bytes go to the client.
    pub(super) fn answer(&mut self, bytes: &[u8]) {
        if let Some(pen) = &mut self.pen {
            pen.answer(bytes);
        }
    }
}
