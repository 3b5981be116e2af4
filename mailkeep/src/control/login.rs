//! Commands given by users: the login that comes with a command, and its check.
//!
//! Invariant: a password comes through the socket or stays in this process, in no argument and no log; guessing it is slowed down
//! as for IMAP, for each of the system's users apart. The right to do something is decided later, by the command's own rule.

use crate::command::{Caller, Command, Failure, Kind, Secret};
use auth::throttle::Leave;
use auth::{Attempt, Auth, How, Privilege};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// What a client sends: a command, and who gives it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// None: the machine's own people, told by the socket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) login: Option<Login>,
    #[serde(flatten)]
    pub(crate) command: Command,
}

impl Request {
    /// A command of the machine's own people.
    pub(crate) fn own(command: Command) -> Request {
        Request { login: None, command }
    }
}

/// Who gives a command. `Debug` shows no secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Login {
    pub(crate) name: String,
    pub(crate) password: Secret,
    /// Of a second factor, where one is on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<Secret>,
}

/// An address for one of the system's users, since tries are counted by address; no network has it (RFC 6666's discard prefix,
/// with the number in the half that tells networks apart).
pub(crate) fn address_of(uid: u32) -> IpAddr {
    let [high, low] = [uid >> 16, uid & 0xffff].map(|half| u16::try_from(half).unwrap_or(u16::MAX));
    Ipv6Addr::new(0x100, 0xffff, high, low, 0, 0, 0, 0).into()
}

/// What has to be waited for before the password is looked at.
/// # Errors
/// Too many tries have failed.
pub(crate) fn delay(auth: &Auth, login: &Login, from: IpAddr) -> Result<Duration, Failure> {
    match auth.ask(&login.name, from) {
        Leave::Now => Ok(Duration::ZERO),
        Leave::After(ms) => Ok(Duration::from_millis(ms)),
        Leave::Refused => {
            let attempt =
                Attempt { name: &login.name, need: Privilege::Login, from: Some(from), how: How::Command };
            auth.turned_away(&attempt, "too many failures");
            Err(Failure::new(Kind::Denied, "too many logins have failed; try again later"))
        }
    }
}

/// Who the login's user is, for the command. Slow on purpose: off the async threads.
/// # Errors
/// The same words for every reason.
pub(crate) fn check(
    auth: &Auth,
    login: &Login,
    from: IpAddr,
    at: String,
    near: bool,
) -> Result<Caller, Failure> {
    let code = login.code.as_ref().map(|code| code.0.as_str());
    let user = auth.login_command(&login.name, &login.password.0, code, from)?;
    Ok(Caller::user(&user.name, at, near))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::UserList;
    use zeroize::Zeroizing;

    #[test]
    fn each_of_the_systems_users_is_a_network() {
        let all = [0, 1, 65_534, 65_535, 65_536, u32::MAX].map(address_of);
        let networks: std::collections::BTreeSet<_> = all.map(auth::throttle::network_of).into();
        assert_eq!(networks.len(), all.len());
    }

    #[test]
    fn guessing_is_slowed_down_for_each_of_the_systems_users_apart() {
        let db =
            redb::Database::builder().create_with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        let auth = Auth::open(std::sync::Arc::new(db)).unwrap();
        auth.add("alice", &Zeroizing::new("correct horse".into()), false).unwrap();
        let login = |password: &str| Login {
            name: "alice".into(),
            password: Secret(Zeroizing::new(password.into())),
            code: None,
        };
        let (guesser, alice) = (address_of(65_534), address_of(1_000));
        let try_as = |password: &str, from| check(&auth, &login(password), from, "x".into(), false);
        assert_eq!(delay(&auth, &login("correct horse"), alice), Ok(Duration::ZERO));
        let caller = try_as("correct horse", alice).unwrap();
        assert_eq!((caller.who.as_str(), caller.near), ("alice", false));
        for _ in 0..5 {
            assert_eq!(delay(&auth, &login("wrong horse"), guesser), Ok(Duration::ZERO));
            let refusal = try_as("wrong horse", guesser).unwrap_err();
            assert_eq!(
                (refusal.kind, refusal.message.as_str()),
                (Kind::Denied, "user name or password is wrong")
            );
        }
        assert!(delay(&auth, &login("wrong horse"), guesser).unwrap() > Duration::ZERO);
        assert_eq!(
            delay(&auth, &login("correct horse"), alice),
            Ok(Duration::ZERO),
            "who is known isn't slowed"
        );
    }

    #[test]
    fn who_is_refused_untried_has_the_line_that_fail2ban_reads() {
        let db =
            redb::Database::builder().create_with_backend(redb::backends::InMemoryBackend::new()).unwrap();
        let auth = Auth::open(std::sync::Arc::new(db)).unwrap();
        let login = Login {
            name: "alice".into(),
            password: Secret(Zeroizing::new("a password that is none".into())),
            code: None,
        };
        let from = address_of(1_000);
        (0..9).for_each(|_| auth.gave_up("alice", from));
        let (read, write) = std::io::pipe().unwrap();
        let log =
            tracing_subscriber::fmt().with_ansi(false).with_writer(std::sync::Mutex::new(write)).finish();
        let refusal = tracing::subscriber::with_default(log, || {
            // Each delay is set aside for its own try, so that the next one has to wait for longer.
            (0..10).find_map(|_| delay(&auth, &login, from).err())
        });
        assert_eq!(refusal.unwrap().kind, Kind::Denied);
        let line = std::io::read_to_string(read).unwrap();
        let form = r#" WARN mailkeep::login: login failed from=100:ffff:0:3e8:: how="command" user="(not asked)" why="too many failures""#;
        assert!(line.trim_end().ends_with(form) && line.lines().count() == 1, "{line}");
    }

    #[test]
    fn requests_survive_the_wire_and_show_no_secret() {
        let login = Login {
            name: "alice".into(),
            password: Secret(Zeroizing::new("correct horse".into())),
            code: Some(Secret(Zeroizing::new("123456".into()))),
        };
        let request = Request { login: Some(login), command: Command::UserList(UserList {}) };
        let shown = format!("{request:?}");
        assert!(!shown.contains("horse") && !shown.contains("123456"), "{shown}");
        let line = serde_json::to_string(&request).unwrap();
        let back: Request = serde_json::from_str(&line).unwrap();
        let login = back.login.unwrap();
        assert_eq!((login.name.as_str(), login.password.0.as_str()), ("alice", "correct horse"));
        assert_eq!(login.code.unwrap().0.as_str(), "123456");
        assert!(matches!(back.command, Command::UserList(_)));
        let plain = serde_json::to_string(&Request::own(Command::UserList(UserList {}))).unwrap();
        assert_eq!(plain, r#"{"command":"user.list","params":{}}"#, "as clients without logins send it");
        assert!(serde_json::from_str::<Request>(&plain).unwrap().login.is_none());
        for wrong in [r#"{"login":{"name":"a"},"command":"user.list","params":{}}"#, r#"{"login":null}"#] {
            assert!(serde_json::from_str::<Request>(wrong).is_err(), "{wrong}");
        }
    }
}
