//! `user.*`: who may log in, and what they may read.

use super::{Act, Context, Failure, Needs, Outcome, people};
use auth::{Edit, Effective, Level, NewUser, Privilege, Right, User};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

/// A password on its way: wiped, and shown by nothing but the socket's own encoding.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) Zeroizing<String>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Secret(Zeroizing::new(String::deserialize(from)?)))
    }
}

/// Makes a user.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserAdd {
    pub(crate) name: String,
    /// None: the user can't log in until one is set.
    pub(crate) password: Option<Secret>,
    /// Besides what every user may.
    #[serde(default)]
    pub(crate) privileges: Vec<Privilege>,
    #[serde(default)]
    pub(crate) edit: Edit,
}

impl Act for UserAdd {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        let admin = if self.privileges.contains(&Privilege::Admin) { " as administrator" } else { "" };
        let auditor = if self.privileges.contains(&Privilege::Auditor) { " as auditor" } else { "" };
        format!("user.add {:?}{admin}{auditor}{}", self.name, people::shown(&self.edit))
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let user = cx.installation.auth.create(&NewUser {
            name: self.name.clone(),
            password: self.password.as_ref().map(|password| password.0.clone()),
            privileges: self.privileges.clone(),
            edit: self.edit.clone(),
        })?;
        people::warn_of_archive(cx, &user.name);
        cx.row(&user)?;
        Ok(Outcome::DONE)
    }
}

/// All users; who is no administrator sees one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserList {}

impl Act for UserList {
    fn needs(&self) -> Needs {
        Needs::login()
    }
    fn audit(&self) -> String {
        "user.list".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let all = cx.is_admin();
        for user in cx.installation.auth.users()?.into_iter().filter(|user| all || user.name == cx.caller.who)
        {
            cx.row(&user)?;
        }
        Ok(Outcome::DONE)
    }
}

/// One user, with the rules that count and where they come from.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserShow {
    pub(crate) name: String,
}

#[derive(Debug, Serialize)]
struct Shown {
    #[serde(flatten)]
    user: User,
    effective: Vec<Effective>,
}

impl Act for UserShow {
    fn needs(&self) -> Needs {
        Needs::login()
    }
    fn audit(&self) -> String {
        format!("user.show {:?}", self.name)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        if self.name != cx.caller.who {
            // Before it is looked for: whether it is there isn't told.
            cx.demand(&Needs::admin())?;
        }
        let auth = &cx.installation.auth;
        let user = auth.user(&self.name)?;
        let effective = auth.effective(&user.name)?;
        cx.row(&Shown { user, effective })?;
        Ok(Outcome::DONE)
    }
}

/// Sets a user's password.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserPassword {
    pub(crate) name: String,
    pub(crate) password: Secret,
}

impl Act for UserPassword {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        format!("user.password {:?}", self.name)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        cx.installation.auth.set_password(&self.name, &self.password.0)?;
        Ok(Outcome::DONE)
    }
}

/// Gives or takes privileges and rights on folders.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserRights {
    pub(crate) name: String,
    /// Given, or taken.
    pub(crate) give: bool,
    pub(crate) privileges: Vec<Privilege>,
    /// Folders to read.
    pub(crate) read: Vec<String>,
    /// Folders with a level; which one doesn't matter when rules are taken.
    #[serde(default)]
    pub(crate) folders: Vec<Right>,
}

impl UserRights {
    fn rules(&self) -> Result<Vec<Right>, auth::Error> {
        let read = self.read.iter().map(|folder| (folder, Level::Read));
        let all = read.chain(self.folders.iter().map(|right| (&right.folder, right.level)));
        // Rules of names that can't be given any more can still be taken.
        all.map(|(folder, level)| match self.give {
            true => Right::new(folder, level),
            false => Ok(Right { folder: folder.clone(), level }),
        })
        .collect()
    }
}

impl Act for UserRights {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        let verb = if self.give { "grant" } else { "revoke" };
        let (name, privileges) = (&self.name, &self.privileges);
        let rules = people::rules_shown(&self.folders);
        format!("user.rights {verb} {name:?}: {privileges:?}, read {:?}{rules}", self.read)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let auth = &cx.installation.auth;
        let mut user = auth.user(&self.name)?;
        let rules = self.rules()?;
        if self.give && (!rules.is_empty() || self.privileges.contains(&Privilege::Auditor)) {
            people::not_to_oneself(cx, &user.name)?;
        }
        // First what may be refused, so that nothing is half done.
        for &privilege in &self.privileges {
            user = auth.set_privilege(&self.name, privilege, self.give)?;
        }
        for right in rules {
            if self.give {
                people::warn_of_folder(cx, &right.folder);
            }
            user = auth.set_right(&self.name, &right.folder, self.give.then_some(right.level))?;
        }
        cx.row(&user)?;
        Ok(Outcome::DONE)
    }
}

/// Gives and takes e-mail addresses: where mail for the user comes from.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserAddress {
    pub(crate) name: String,
    pub(crate) add: Vec<String>,
    pub(crate) remove: Vec<String>,
}

impl Act for UserAddress {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        format!("user.address {:?}: add {:?}, remove {:?}", self.name, self.add, self.remove)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let auth = &cx.installation.auth;
        let mut user = auth.user(&self.name)?;
        for address in self.add.iter().chain(&self.remove) {
            auth::check_address(address)?;
        }
        for address in &self.remove {
            user = auth.set_address(&self.name, address, false)?;
        }
        for address in &self.add {
            user = auth.set_address(&self.name, address, true)?;
        }
        cx.row(&user)?;
        Ok(Outcome::DONE)
    }
}

/// Removes a user; the archive stays.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserRemove {
    pub(crate) name: String,
}

impl Act for UserRemove {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        format!("user.remove {:?}", self.name)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        cx.installation.auth.remove(&self.name)?;
        Ok(Outcome::DONE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_in_no_debug_and_no_audit_line() {
        let add = UserAdd {
            name: "al\"ice\n".into(),
            password: Some(Secret(Zeroizing::new("correct horse".into()))),
            privileges: vec![Privilege::Admin],
            edit: Edit::default(),
        };
        assert!(!format!("{add:?}").contains("horse"));
        assert_eq!(add.audit(), r#"user.add "al\"ice\n" as administrator"#);
    }
}
