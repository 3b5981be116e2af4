//! Which logins the audit log has.
//!
//! Invariant: administrators' and auditors' logins are always noted; refused ones are bounded, so that guessing doesn't fill the
//! disk: beyond some in a minute they are only counted. A name that nobody has is not noted: people type passwords where it belongs.

use super::{AuditKind, AuditNote};
use crate::{Attempt, Auth, Error, How, Privilege, User};
use parking_lot::Mutex;
use std::collections::HashMap;

/// Refused logins of one minute that get an entry each.
pub(crate) const MAX_REFUSED_A_MINUTE: u32 = 60;
/// Users of whom it is known when they logged in last; beyond it, more logins are noted.
const MAX_USERS: usize = 100_000;
const DAY_SECS: i64 = 86_400;
const MINUTE_SECS: i64 = 60;

/// Which logins that went well are noted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Successes {
    /// None but those of administrators and auditors.
    Off,
    /// A user's first of a day (UTC) since the program began.
    #[default]
    Daily,
    /// All.
    All,
}

/// Which logins are noted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginNotes {
    /// Those that went well.
    pub successes: Successes,
    /// Those that were refused.
    pub failures: bool,
}

impl Default for LoginNotes {
    fn default() -> Self {
        LoginNotes { successes: Successes::default(), failures: true }
    }
}

/// What has been noted.
pub(crate) struct Logins {
    notes: LoginNotes,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// A user's last day.
    days: HashMap<String, i64>,
    minute: i64,
    refused: u32,
    /// Refused ones of an earlier time without an entry.
    unnoted: u64,
}

impl Logins {
    pub(crate) fn new(notes: LoginNotes) -> Logins {
        Logins { notes, state: Mutex::default() }
    }

    fn wants_success(&self, user: &User, now: i64) -> bool {
        if [Privilege::Admin, Privilege::Auditor].iter().any(|p| user.privileges.contains(p)) {
            return true;
        }
        match self.notes.successes {
            Successes::Off => false,
            Successes::All => true,
            Successes::Daily => {
                let day = now.div_euclid(DAY_SECS);
                let mut state = self.state.lock();
                if state.days.len() >= MAX_USERS {
                    state.days.clear();
                }
                state.days.insert(user.name.clone(), day) != Some(day)
            }
        }
    }

    /// Whether a refused login gets an entry.
    fn wants_refused(&self, now: i64) -> bool {
        if !self.notes.failures {
            return false;
        }
        let mut state = self.state.lock();
        let minute = now.div_euclid(MINUTE_SECS);
        if state.minute != minute {
            (state.minute, state.refused) = (minute, 0);
        }
        state.refused = state.refused.saturating_add(1);
        let wanted = state.refused <= MAX_REFUSED_A_MINUTE;
        if !wanted {
            state.unnoted += 1;
        }
        wanted
    }
}

impl Auth {
    /// Notes that a user logged in, if the settings want it. A command with a login has an entry of its own.
    /// # Errors
    /// `Database`: the log can't be written; the login must not go on.
    pub(crate) fn audit_login(&self, attempt: &Attempt<'_>, user: &User) -> Result<(), Error> {
        if attempt.how == How::Command || !self.noted.wants_success(user, crate::now()) {
            return Ok(());
        }
        self.note_soon(&AuditNote {
            who: &user.name,
            from: &place(attempt),
            kind: AuditKind::Login,
            what: &act(attempt.how),
            object: "",
            result: "ok",
        })
    }

    /// Notes that a login was refused, if the settings want it; `known`: whose, if anybody has the name. That the log can't be
    /// written is logged: it is refused already.
    pub(crate) fn audit_refused(&self, attempt: &Attempt<'_>, known: Option<&str>) {
        let now = crate::now();
        if self.noted.state.lock().minute != now.div_euclid(MINUTE_SECS) {
            self.note_unnoted_logins();
        }
        if !self.noted.wants_refused(now) {
            return;
        }
        let (who, from, what) = (known.unwrap_or("(unknown)"), place(attempt), act(attempt.how));
        let (kind, result) = (AuditKind::Login, "refused");
        let note = AuditNote { who, from: &from, kind, what: &what, object: "", result };
        if let Err(error) = self.note_soon(&note) {
            tracing::error!(%error, "a refused login could not be noted in the audit log");
        }
    }

    /// Notes how many refused logins got no entry of their own.
    pub(super) fn note_unnoted_logins(&self) {
        let unnoted = std::mem::take(&mut self.noted.state.lock().unnoted);
        if unnoted == 0 {
            return;
        }
        let result = format!("refused: {unnoted} more than {MAX_REFUSED_A_MINUTE} a minute");
        let (who, from, what) = ("(many)", "(many)", "login");
        let note = AuditNote { who, from, kind: AuditKind::Login, what, object: "", result: &result };
        if let Err(error) = self.note_soon(&note) {
            tracing::error!(%error, unnoted, "refused logins could not be noted in the audit log");
        }
    }
}

/// The protocol and the mechanism.
fn act(how: How) -> String {
    match how {
        How::Command => "command.login".to_owned(),
        how => format!("imap.login {}", how.words()),
    }
}

/// Where it came from. Commands have no address that means anything to people.
fn place(attempt: &Attempt<'_>) -> String {
    match (attempt.how, attempt.from) {
        (How::Command, _) | (_, None) => "here".to_owned(),
        (_, Some(from)) => from.to_string(),
    }
}
