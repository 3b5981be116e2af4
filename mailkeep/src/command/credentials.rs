//! `user.appPassword*`, `user.totp*`, `user.door`, `user.logins`, `session.*`: what lets users in, and who is in.

use super::needs::Eyes;
use super::{Act, Context, Failure, Needs, Outcome};
use auth::{Network, Privilege};
use imapd::watch::SessionEntry;
use serde::{Deserialize, Serialize};

/// What users do with what lets them in, as administrators do for others.
fn own() -> Needs {
    Needs::one_of(&[Privilege::Admin, Privilege::ChangePassword])
}

/// Before the user is looked for: whether somebody else is there isn't told.
fn own_or_admin(cx: &Context<'_>, name: &str) -> Result<(), Failure> {
    if name == cx.caller.who { Ok(()) } else { cx.demand(&Needs::admin()) }
}

/// Makes an app password.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppPasswordCreate {
    pub(crate) name: String,
    pub(crate) label: String,
}

/// It is shown once.
#[derive(Serialize)]
struct Made<'a> {
    #[serde(flatten)]
    entry: auth::AppPasswordEntry,
    password: &'a str,
}

impl Act for AppPasswordCreate {
    fn needs(&self) -> Needs {
        own()
    }
    fn audit(&self) -> String {
        format!("user.appPasswordCreate {:?}: {:?}", self.name, self.label)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        own_or_admin(cx, &self.name)?;
        let (entry, password) = cx.installation.auth.create_app_password(&self.name, &self.label)?;
        cx.note(format!("number {}", entry.id));
        cx.row(&Made { entry, password: &password })?;
        Ok(Outcome::DONE)
    }
}

/// A user's app passwords.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppPasswordList {
    pub(crate) name: String,
}

impl Act for AppPasswordList {
    fn needs(&self) -> Needs {
        own()
    }
    fn audit(&self) -> String {
        format!("user.appPasswordList {:?}", self.name)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        own_or_admin(cx, &self.name)?;
        for entry in cx.installation.auth.app_passwords(&self.name)? {
            cx.row(&entry)?;
        }
        Ok(Outcome::DONE)
    }
}

/// Revokes an app password.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppPasswordRevoke {
    pub(crate) name: String,
    /// Its name or number.
    pub(crate) which: String,
}

impl Act for AppPasswordRevoke {
    fn needs(&self) -> Needs {
        own()
    }
    fn audit(&self) -> String {
        format!("user.appPasswordRevoke {:?}: {:?}", self.name, self.which)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        own_or_admin(cx, &self.name)?;
        cx.row(&cx.installation.auth.revoke_app_password(&self.name, &self.which)?)?;
        Ok(Outcome::DONE)
    }
}

/// What to do with a user's second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Factor {
    Enable,
    Confirm,
    Disable,
    Codes,
}

/// Changes a user's second factor.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserTotp {
    pub(crate) name: String,
    pub(crate) what: Factor,
    /// For `confirm`.
    pub(crate) code: Option<super::Secret>,
}

#[derive(Serialize)]
struct Begun<'a> {
    uri: &'a str,
    secret: &'a str,
}

#[derive(Serialize)]
struct Codes<'a> {
    codes: Vec<&'a str>,
}

impl Act for UserTotp {
    fn needs(&self) -> Needs {
        own()
    }
    fn audit(&self) -> String {
        format!("user.totp {:?}: {:?}", self.name, self.what)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        own_or_admin(cx, &self.name)?;
        let auth = &cx.installation.auth;
        let codes = match self.what {
            Factor::Enable => {
                let begun = auth.enable_totp(&self.name)?;
                cx.row(&Begun { uri: &begun.uri, secret: &begun.secret })?;
                return Ok(Outcome::DONE);
            }
            Factor::Confirm => {
                let code = self.code.as_ref().map(|code| code.0.as_str()).unwrap_or_default();
                auth.confirm_totp(&self.name, code)?
            }
            Factor::Disable => {
                auth.disable_totp(&self.name)?;
                return Ok(Outcome::DONE);
            }
            Factor::Codes => auth.recovery_codes(&self.name)?,
        };
        cx.row(&Codes { codes: codes.iter().map(|code| code.as_str()).collect() })?;
        Ok(Outcome::DONE)
    }
}

/// Says from where a user may come, and whether the password must be changed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserDoor {
    pub(crate) name: String,
    /// None: as it is; an empty list: from everywhere.
    pub(crate) allow_from: Option<Vec<Network>>,
    pub(crate) must_change: Option<bool>,
}

impl Act for UserDoor {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        let from =
            self.allow_from.as_ref().map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
        format!("user.door {:?}: from {from:?}, must change {:?}", self.name, self.must_change)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let auth = &cx.installation.auth;
        let mut user = auth.user(&self.name)?;
        if let Some(networks) = &self.allow_from {
            user = auth.set_allow_from(&self.name, networks.clone())?;
        }
        if let Some(must) = self.must_change {
            user = auth.set_must_change(&self.name, must)?;
        }
        cx.row(&user)?;
        Ok(Outcome::DONE)
    }
}

/// A user's logins and failed tries.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserLogins {
    pub(crate) name: String,
}

impl Act for UserLogins {
    fn needs(&self) -> Needs {
        own()
    }
    fn audit(&self) -> String {
        format!("user.logins {:?}", self.name)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        own_or_admin(cx, &self.name)?;
        for entry in cx.installation.auth.logins(&self.name)? {
            cx.row(&entry)?;
        }
        Ok(Outcome::DONE)
    }
}

/// What a session has selected is a part of an archive: who may not read it isn't told.
fn seen(mut entry: SessionEntry, eyes: &Eyes) -> SessionEntry {
    entry.mailbox = entry.mailbox.filter(|folder| eyes.see(folder));
    entry
}

/// The sessions of mail clients.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionList {}

impl Act for SessionList {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        "session.list".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let eyes = cx.eyes()?;
        for entry in super::serving::serving(cx)?.watch.sessions() {
            cx.row(&seen(entry, &eyes))?;
        }
        Ok(Outcome::DONE)
    }
}

/// Ends a session, or all of a user.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionKill {
    pub(crate) session: Option<u64>,
    pub(crate) user: Option<String>,
}

impl Act for SessionKill {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        format!("session.kill {:?} of user {:?}", self.session, self.user)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        if self.session.is_none() && self.user.is_none() {
            return Err(Failure::usage("which session? Its number, or --user NAME"));
        }
        let wanted = |entry: &SessionEntry| {
            self.session.is_none_or(|number| number == entry.session)
                && self.user.as_ref().is_none_or(|user| *user == entry.user)
        };
        let killed = super::serving::serving(cx)?.watch.kill(wanted);
        cx.installation.auth.look_again();
        cx.note(format!("{} sessions", killed.len()));
        let eyes = cx.eyes()?;
        for entry in killed {
            cx.row(&seen(entry, &eyes))?;
        }
        Ok(Outcome::DONE)
    }
}
