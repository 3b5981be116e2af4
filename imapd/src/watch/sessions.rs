//! The sessions that have logged in: who they are, and which of them are to end.
//!
//! Invariant: a session is listed exactly as long as its user is logged in; listing costs a session nothing but at its login and end, and when it selects a mailbox.

use super::tally::Tally;
use auth::Credential;
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

/// One session, as it is listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionEntry {
    /// A number that no other session of this server has had.
    pub session: u64,
    /// The login name.
    pub user: String,
    /// From where.
    pub address: IpAddr,
    /// By what it came in.
    pub by: String,
    /// With TLS.
    pub tls: bool,
    /// When it logged in, seconds since 1970 (UTC).
    pub since: u64,
    /// The folder that is selected; `ARCHIVE/All Mail` and `FOLDER/YEAR` for those views.
    pub mailbox: Option<String>,
    /// Commands so far.
    pub commands: u64,
    /// Messages fetched so far.
    pub messages: u64,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Sessions(Mutex<BTreeMap<u64, (SessionEntry, Arc<Tally>)>>);

/// A session's place in the list; ends with its drop.
#[derive(Debug)]
pub(crate) struct Listed {
    sessions: Arc<Sessions>,
    number: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.sessions.0.lock().remove(&self.number);
    }
}

impl Sessions {
    pub(crate) fn list(
        sessions: &Arc<Sessions>,
        user: &str,
        address: IpAddr,
        by: Credential,
        tls: bool,
        tally: &Arc<Tally>,
    ) -> Listed {
        let since =
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let (user, by, session) = (user.to_owned(), by.words(), tally.number);
        let (mailbox, commands, messages) = (None, 0, 0);
        let entry = SessionEntry { session, user, address, by, tls, since, mailbox, commands, messages };
        sessions.0.lock().insert(session, (entry, Arc::clone(tally)));
        Listed { sessions: Arc::clone(sessions), number: session }
    }

    pub(crate) fn all(&self) -> Vec<SessionEntry> {
        self.0.lock().values().map(now).collect()
    }

    pub(crate) fn kill(&self, which: impl Fn(&SessionEntry) -> bool) -> Vec<SessionEntry> {
        let sessions = self.0.lock();
        let wanted = sessions.values().filter(|(entry, _)| which(entry));
        wanted
            .map(|found| {
                found.1.killed.store(true, Ordering::Relaxed);
                now(found)
            })
            .collect()
    }
}

fn now((entry, tally): &(SessionEntry, Arc<Tally>)) -> SessionEntry {
    let (commands, messages) = (Tally::read(&tally.commands), Tally::read(&tally.messages));
    SessionEntry { mailbox: tally.mailbox.lock().clone(), commands, messages, ..entry.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listed_while_logged_in_and_killed_by_choice() {
        let sessions = Arc::new(Sessions::default());
        let tally = |number| Arc::new(Tally { number, ..Tally::default() });
        let (one, two) = (tally(1), tally(2));
        let list = |user: &str, tally: &Arc<Tally>| {
            Sessions::list(
                &sessions,
                user,
                IpAddr::from([127, 0, 0, 1]),
                Credential::AppPassword(3),
                true,
                tally,
            )
        };
        let (first, second) = (list("alice", &one), list("bob", &two));
        Tally::add(&two.commands, 5);
        *two.mailbox.lock() = Some("bob/Inbox".to_owned());
        let all = sessions.all();
        assert_eq!((&all[0].mailbox, all[1].mailbox.as_deref()), (&None, Some("bob/Inbox")));
        assert_eq!(
            (all[0].user.as_str(), all[0].by.as_str(), all[1].commands),
            ("alice", "app password 3", 5)
        );
        let killed = sessions.kill(|entry| entry.user == "bob");
        assert_eq!(killed.len(), 1);
        assert!(two.is_killed() && !one.is_killed());
        drop((first, second));
        assert!(sessions.all().is_empty());
    }
}
