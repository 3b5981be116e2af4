//! Trying the settings out: each server, the login of the bind DN, how many users there are, and one user's password.
//!
//! Invariant: changes nothing, and says of each step whether it went well.

use super::ldap::{Scope, Search};
use super::login::Loaded;
use super::person::{self, Found};
use super::wire::{Fault, Shield};
use super::{Kind, imap, mdaemon};
use crate::{Auth, Error, Mode};
use serde::Serialize;
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// Entries that are looked at.
const MAX_LOOKED_AT: usize = 1_000;

/// A step and how it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tested {
    /// Where.
    pub server: String,
    /// What was tried.
    pub step: &'static str,
    /// Whether it went well.
    pub ok: bool,
    /// What came of it.
    pub what: String,
}

impl Auth {
    /// Tries the directory out, and with a name and a password the login of a user.
    /// # Errors
    /// `NoDirectory`, `Database`; what the directory refuses is in the steps.
    pub fn test_directory(&self, login: Option<(&str, &Zeroizing<String>)>) -> Result<Vec<Tested>, Error> {
        let loaded = self.loaded()?.ok_or(Error::NoDirectory)?;
        let mut all = Vec::new();
        if let (Kind::Mdaemon, Some(file)) = (loaded.directory.kind, &loaded.directory.file) {
            let read = mdaemon::read(&loaded.directory, file);
            let what =
                read.as_ref().map_or_else(ToString::to_string, |found| format!("{} accounts", found.len()));
            all.push(Tested { server: file.display().to_string(), step: "read", ok: read.is_ok(), what });
        }
        for server in &loaded.servers {
            let mut step = |step, result: Result<String, Fault>| {
                let ok = result.is_ok();
                let what = result.unwrap_or_else(|fault| fault.to_string());
                all.push(Tested { server: server.to_string(), step, ok, what });
                ok
            };
            let shield = match server.shield {
                Shield::Tls => "TLS",
                Shield::StartTls => "StartTLS",
                Shield::Plain => "no TLS",
            };
            let end = Instant::now() + Duration::from_secs(u64::from(loaded.directory.timeout_secs)) * 3;
            if !loaded.directory.is_ldap() {
                step("connect", imap::login(server, None, end).map(|_| shield.to_owned()));
                continue;
            }
            match loaded.connect(server, end) {
                Ok(mut ldap) => {
                    let who = loaded.directory.bind_dn.as_deref().unwrap_or("nobody in particular");
                    step("connect", Ok(format!("{shield}; searching as {who}")));
                    step("users", look(&loaded, &mut ldap));
                    ldap.close();
                }
                Err(fault) => {
                    step("connect", Err(fault));
                }
            }
        }
        if let Some((name, password)) = login {
            let user = self.find(name)?.map(|stored| stored.user);
            let (ok, what) = match user {
                None => (false, "there is no such user here; synchronise first".to_owned()),
                Some(user) if user.mode != Mode::Directory => {
                    (false, "the password of this user is kept here".into())
                }
                Some(user) => match loaded.check(Some(&user), name, password) {
                    Ok(true) => (true, "the password is right".into()),
                    Ok(false) => (false, "refused; the log says why".into()),
                    Err(error) => (false, format!("{error}; the log says why")),
                },
            };
            all.push(Tested { server: name.to_owned(), step: "login", ok, what });
        }
        Ok(all)
    }
}

/// Counts users, up to a bound, and says what the first one looks like.
fn look(loaded: &Loaded, ldap: &mut super::ldap::Ldap) -> Result<String, Fault> {
    let attributes = person::wanted(&loaded.directory);
    let search = Search {
        base: &loaded.directory.base,
        scope: Scope::Subtree,
        filter: &loaded.filter,
        attributes: &attributes,
        page: loaded.directory.page,
    };
    let (mut count, mut first) = (0, None);
    let read = ldap.search(&search, &mut |entry| {
        count += 1;
        if let (None, Found::Person(person)) = (&first, person::read(&loaded.directory, &entry)) {
            first = Some(format!(
                "{:?} <{}>",
                person.name,
                person.addresses.first().map(String::as_str).unwrap_or_default()
            ));
        }
        if count >= MAX_LOOKED_AT { Err(Fault::Cancelled) } else { Ok(()) }
    });
    match read {
        Ok(()) if count == 0 => Err(Fault::Refused {
            server: ldap.server().to_owned(),
            what: "nobody was found; check base DN, filter and what the bind DN may see".into(),
            passing: false,
        }),
        Ok(()) => Ok(format!(
            "{count} entries, such as {}",
            first.unwrap_or_else(|| "none that can be used".into())
        )),
        Err(Fault::Cancelled) => {
            Ok(format!("{MAX_LOOKED_AT} entries or more, such as {}", first.unwrap_or_default()))
        }
        Err(fault) => Err(fault),
    }
}
