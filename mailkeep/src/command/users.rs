//! `user.*`: who may log in, and what they may read.

use super::{Act, Context, Failure, Outcome};
use auth::Privilege;
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

/// Adds a user.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserAdd {
    pub(crate) name: String,
    pub(crate) password: Secret,
    pub(crate) admin: bool,
}

impl Act for UserAdd {
    fn audit(&self) -> String {
        format!("user.add {:?}{}", self.name, if self.admin { " as administrator" } else { "" })
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        cx.row(&cx.installation.auth.add(&self.name, &self.password.0, self.admin)?)?;
        Ok(Outcome::DONE)
    }
}

/// All users.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserList {}

impl Act for UserList {
    fn audit(&self) -> String {
        "user.list".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        for user in cx.installation.auth.users()? {
            cx.row(&user)?;
        }
        Ok(Outcome::DONE)
    }
}

/// One user.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserShow {
    pub(crate) name: String,
}

impl Act for UserShow {
    fn audit(&self) -> String {
        format!("user.show {:?}", self.name)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        cx.row(&cx.installation.auth.user(&self.name)?)?;
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
    fn audit(&self) -> String {
        format!("user.password {:?}", self.name)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        cx.installation.auth.set_password(&self.name, &self.password.0)?;
        Ok(Outcome::DONE)
    }
}

/// Gives or takes privileges and the right to read archives.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserRights {
    pub(crate) name: String,
    /// Given, or taken.
    pub(crate) give: bool,
    pub(crate) privileges: Vec<Privilege>,
    pub(crate) read: Vec<String>,
}

impl Act for UserRights {
    fn audit(&self) -> String {
        let verb = if self.give { "grant" } else { "revoke" };
        format!("user.rights {verb} {:?}: {:?}, read {:?}", self.name, self.privileges, self.read)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let auth = &cx.installation.auth;
        let mut user = auth.user(&self.name)?;
        for folder in self.read.iter().filter(|_| self.give) {
            auth::Right::new(folder, auth::Level::Read)?;
        }
        for folder in &self.read {
            user = auth.set_right(&self.name, folder, self.give.then_some(auth::Level::Read))?;
        }
        for &privilege in &self.privileges {
            user = auth.set_privilege(&self.name, privilege, self.give)?;
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
            password: Secret(Zeroizing::new("correct horse".into())),
            admin: true,
        };
        assert!(!format!("{add:?}").contains("horse"));
        assert_eq!(add.audit(), r#"user.add "al\"ice\n" as administrator"#);
    }
}
