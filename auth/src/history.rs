//! The table `logins` of master.redb: for each user, by day, result, network and way in, how often and when; and the times at which
//! passwords were last used.
//!
//! Invariant: a login waits for no disk: notes are gathered in memory and written together, every ten seconds while there are logins, when
//! somebody asks, and at the end; a crash loses the last ones. Bounded for each user, failures apart from successes, so that no stranger
//! can push a user's own logins out; names that nobody has are never kept.

use crate::{Auth, Error, name, throttle, users, write};
use parking_lot::Mutex;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

type Key = (&'static str, u8, i64, &'static str);
pub(crate) const LOGINS: TableDefinition<'_, Key, (u64, i64, i64)> = TableDefinition::new("logins");

/// Most rows of one user and result; the oldest days go first.
const MAX_ROWS: usize = 500;
/// Gathered rows that are written at once, however young.
const MAX_GATHERED: usize = 1_000;
const WRITE_EVERY: Duration = Duration::from_secs(10);
/// The time of a password's last use is as true as this, so that a busy client costs no writes.
const USED_EVERY_SECS: i64 = 300;
const DAY_SECS: i64 = 86_400;

/// The way somebody came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum How {
    /// IMAP's AUTHENTICATE PLAIN.
    #[serde(rename = "PLAIN")]
    Plain,
    /// IMAP's LOGIN.
    #[serde(rename = "LOGIN")]
    Login,
    /// SCRAM-SHA-256.
    #[serde(rename = "SCRAM-SHA-256")]
    Scram,
    /// SCRAM-SHA-256-PLUS.
    #[serde(rename = "SCRAM-SHA-256-PLUS")]
    ScramPlus,
    /// OAUTHBEARER.
    #[serde(rename = "OAUTHBEARER")]
    OAuthBearer,
    /// XOAUTH2.
    #[serde(rename = "XOAUTH2")]
    XOAuth2,
    /// A command with `--login`.
    #[serde(rename = "command")]
    Command,
}

impl How {
    /// As it stands in logs.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            How::Plain => "PLAIN",
            How::Login => "LOGIN",
            How::Scram => "SCRAM-SHA-256",
            How::ScramPlus => "SCRAM-SHA-256-PLUS",
            How::OAuthBearer => "OAUTHBEARER",
            How::XOAuth2 => "XOAUTH2",
            How::Command => "command",
        }
    }
}

/// Logins of one user that are alike on one day.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LoginEntry {
    /// They succeeded.
    pub ok: bool,
    /// From which address, for IPv6 the /64; `here` for commands.
    pub from: String,
    /// In which way.
    pub how: String,
    /// How many.
    pub count: u64,
    /// The first of the day, seconds since 1970 (UTC).
    pub first: i64,
    /// The last of the day.
    pub last: i64,
}

/// Of a user, whether it went well, of a day, from and how: how often, first and last.
type Rows = HashMap<(String, bool, i64, String), (u64, i64, i64)>;

#[derive(Default)]
struct Gathered {
    rows: Rows,
    used: HashMap<(String, Option<u64>), i64>,
    since: Option<Instant>,
}

/// What is gathered and not yet written.
#[derive(Default)]
pub(crate) struct History(Mutex<Gathered>);

impl History {
    /// Notes a login of somebody who is known; true: it is time to write.
    pub(crate) fn note(&self, name: &str, ok: bool, from: Option<IpAddr>, how: How, now: i64) -> bool {
        let network = from.map_or_else(|| "here".to_owned(), |ip| throttle::network_of(ip).to_string());
        let key = (name.to_owned(), ok, now.div_euclid(DAY_SECS), format!("{network} {}", how.words()));
        let mut gathered = self.0.lock();
        let row = gathered.rows.entry(key).or_insert((0, now, now));
        (row.0, row.1, row.2) = (row.0 + 1, row.1.min(now), row.2.max(now));
        let since = *gathered.since.get_or_insert_with(Instant::now);
        since.elapsed() >= WRITE_EVERY || gathered.rows.len() >= MAX_GATHERED
    }

    /// Notes that a password was used: the account's, or the app password of that id. `before`: what is known of it.
    pub(crate) fn used(&self, name: &str, id: Option<u64>, before: Option<i64>, now: i64) {
        if before.is_none_or(|before| now - before >= USED_EVERY_SECS) {
            let mut gathered = self.0.lock();
            gathered.used.insert((name.to_owned(), id), now);
            gathered.since.get_or_insert_with(Instant::now);
        }
    }

    fn take(&self) -> Gathered {
        std::mem::take(&mut *self.0.lock())
    }

    /// What was gathered of a user who is gone or renamed.
    pub(crate) fn forget(&self, name: &str) {
        let mut gathered = self.0.lock();
        gathered.rows.retain(|(known, ..), _| known != name);
        gathered.used.retain(|(known, _), _| known != name);
    }
}

fn merge(txn: &WriteTransaction, rows: Rows) -> Result<(), Error> {
    let mut table = txn.open_table(LOGINS).map_err(Error::database)?;
    let mut touched: Vec<(String, u8)> = Vec::new();
    for ((name, ok, day, way), (count, first, last)) in rows {
        let key = (name.as_str(), u8::from(ok), day, way.as_str());
        let before = table.get(key).map_err(Error::database)?.map(|row| row.value());
        let (had, first_had, last_had) = before.unwrap_or((0, first, last));
        let row = (had.saturating_add(count), first.min(first_had), last.max(last_had));
        table.insert(key, row).map_err(Error::database)?;
        touched.push((name, u8::from(ok)));
    }
    touched.sort();
    touched.dedup();
    for (name, ok) in touched {
        let name = name.as_str();
        let mut over = Vec::new();
        let all =
            table.range((name, ok, i64::MIN, "")..(name, ok + 1, i64::MIN, "")).map_err(Error::database)?;
        for row in all.rev().skip(MAX_ROWS) {
            let (key, _) = row.map_err(Error::database)?;
            let (_, _, day, way) = key.value();
            over.push((day, way.to_owned()));
        }
        for (day, way) in over {
            table.remove((name, ok, day, way.as_str())).map_err(Error::database)?;
        }
    }
    Ok(())
}

/// All rows of a user.
fn rows(db: &Database, name: &str) -> Result<Vec<LoginEntry>, Error> {
    let txn = db.begin_read().map_err(Error::database)?;
    let table = txn.open_table(LOGINS).map_err(Error::database)?;
    let mut all = Vec::new();
    for row in table.range((name, 0, i64::MIN, "")..(name, 2, i64::MIN, "")).map_err(Error::database)? {
        let (key, row) = row.map_err(Error::database)?;
        let ((_, ok, _, way), (count, first, last)) = (key.value(), row.value());
        let (from, how) = way.split_once(' ').unwrap_or((way, ""));
        all.push(LoginEntry { ok: ok == 1, from: from.to_owned(), how: how.to_owned(), count, first, last });
    }
    all.sort_by_key(|entry| std::cmp::Reverse(entry.last));
    Ok(all)
}

/// Removes a user's rows, or moves them to a new name, within the transaction that does the same to the user.
pub(crate) fn rename(txn: &WriteTransaction, name: &str, new: Option<&str>) -> Result<(), Error> {
    let mut table = txn.open_table(LOGINS).map_err(Error::database)?;
    let mut moved = Vec::new();
    for row in table.range((name, 0, i64::MIN, "")..(name, 2, i64::MIN, "")).map_err(Error::database)? {
        let (key, row) = row.map_err(Error::database)?;
        let (_, ok, day, way) = key.value();
        moved.push((ok, day, way.to_owned(), row.value()));
    }
    for (ok, day, way, row) in moved {
        table.remove((name, ok, day, way.as_str())).map_err(Error::database)?;
        if let Some(new) = new {
            table.insert((new, ok, day, way.as_str()), row).map_err(Error::database)?;
        }
    }
    Ok(())
}

impl Auth {
    /// A user's logins and failed tries, the newest first.
    /// # Errors
    /// `Unknown`, `Database`.
    pub fn logins(&self, user: &str) -> Result<Vec<LoginEntry>, Error> {
        let user = self.user(user)?;
        self.flush_logins()?;
        rows(&self.db, &user.name)
    }

    /// Writes what is gathered; to be called at the end, and now and then.
    /// # Errors
    /// `Database`: what was gathered is lost.
    pub fn flush_logins(&self) -> Result<(), Error> {
        let Gathered { rows, used, .. } = self.logins.history.take();
        if rows.is_empty() && used.is_empty() {
            return Ok(());
        }
        let txn = write(&self.db)?;
        // A user may have gone meanwhile: nothing of one is kept, or made anew.
        let mut known = HashMap::new();
        for name in rows.keys().map(|key| &key.0).chain(used.keys().map(|key| &key.0)) {
            if !known.contains_key(name) {
                let there = users::note_used(&txn, name, |id| used.get(&(name.clone(), id)).copied())?;
                known.insert(name.clone(), there);
            }
        }
        let rows = rows.into_iter().filter(|(key, _)| known.get(&key.0) == Some(&true)).collect();
        merge(&txn, rows)?;
        txn.commit().map_err(Error::database)
    }

    /// Notes how a login of somebody who is known has ended.
    pub(crate) fn note_login(&self, name: &str, ok: bool, from: Option<IpAddr>, how: How) {
        let due = self.logins.history.note(&name::normal(name), ok, from, how, crate::now());
        if due && let Err(error) = self.flush_logins() {
            tracing::error!(%error, "the history of logins could not be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{auth, secret};

    #[test]
    fn alike_logins_of_a_day_are_one_row_and_gather_in_memory() {
        let auth = auth();
        auth.add("alice", &secret("correct horse"), false).unwrap();
        let here = Some(IpAddr::from([192, 0, 2, 1]));
        let history = &auth.logins.history;
        for n in 0..200 {
            assert!(!history.note("alice", true, here, How::Plain, 1_000_000 + n));
        }
        history.note("alice", true, here, How::Scram, 1_000_000);
        history.note("alice", false, here, How::Plain, 1_000_000 + DAY_SECS);
        history.note("nobody", true, here, How::Plain, 1_000_000);
        assert!(rows(&auth.db, "alice").unwrap().is_empty(), "nothing is written yet");
        let entries = auth.logins("alice").unwrap();
        let shown: Vec<_> = entries.iter().map(|e| (e.ok, e.how.as_str(), e.count, e.last)).collect();
        assert_eq!(
            shown,
            [
                (false, "PLAIN", 1, 1_000_000 + DAY_SECS),
                (true, "PLAIN", 200, 1_000_199),
                (true, "SCRAM-SHA-256", 1, 1_000_000)
            ]
        );
        assert!(entries.iter().all(|entry| entry.from == "192.0.2.1"));
        assert!(rows(&auth.db, "nobody").unwrap().is_empty(), "names that nobody has leave no trace");
        auth.remove("alice").unwrap();
        assert!(rows(&auth.db, "alice").unwrap().is_empty());
        assert!(auth.logins("alice").is_err());
    }

    #[test]
    fn a_stranger_s_failures_push_no_login_out() {
        let auth = auth();
        auth.add("alice", &secret("correct horse"), false).unwrap();
        let history = &auth.logins.history;
        history.note("alice", true, None, How::Command, 5 * DAY_SECS);
        for n in 0..=MAX_ROWS {
            let from = Some(IpAddr::from([10, 0, (n / 256) as u8, (n % 256) as u8]));
            history.note("alice", false, from, How::Login, (10 + n as i64) * DAY_SECS);
        }
        let entries = auth.logins("alice").unwrap();
        assert_eq!(entries.len(), MAX_ROWS + 1);
        let last = entries.last().unwrap();
        assert!(last.ok && last.from == "here" && last.how == "command");
        assert!(
            entries.iter().all(|entry| entry.ok || entry.first >= 11 * DAY_SECS),
            "the oldest day has gone"
        );
    }

    #[test]
    fn many_rows_are_written_at_once() {
        let history = History::default();
        let at = |n: usize| Some(IpAddr::from([10, 1, (n / 256) as u8, (n % 256) as u8]));
        assert!((1..MAX_GATHERED).all(|n| !history.note("alice", false, at(n), How::Plain, 0)));
        assert!(history.note("alice", false, at(MAX_GATHERED), How::Plain, 0));
    }
}
