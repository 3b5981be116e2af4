//! What is known of the directory: servers, where users are, what their attributes mean, what becomes of them here.
//!
//! Invariant: settings that were kept make sense ([`Directory::check`]); what isn't set means what the kind usually means. The
//! password of the bind DN is not in here.

use super::dn;
use super::filter::Filter;
use super::wire::{Server, Shield};
use crate::trust::Trust;
use crate::{Error, Level, Privilege};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;

/// Most servers.
pub const MAX_SERVERS: usize = 16;
/// Most groups that synchronisation may be limited to.
pub const MAX_WANTED_GROUPS: usize = 100;
/// Longest text of a setting, bytes.
pub const MAX_TEXT_BYTES: usize = 4_096;
/// Most attributes that one thing is looked for in.
const MAX_ATTRIBUTES: usize = 8;

/// What kind of directory it is; each has its usual settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// LDAP with the usual schemas (inetOrgPerson, groupOfNames, posixGroup): OpenLDAP, 389 Directory Server …
    #[default]
    Ldap,
    /// Active Directory, of Windows or Samba.
    ActiveDirectory,
    /// MDaemon's USERLIST.DAT; passwords are asked of an IMAP server.
    Mdaemon,
    /// None: users are added by hand, and their passwords are asked of an IMAP server.
    Imap,
}

/// What becomes of users whose entry is gone from the directory, or doesn't fit the settings any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gone {
    /// Nothing; they can't log in, since nobody says yes to their password.
    #[default]
    Keep,
    /// They are disabled; coming back enables them.
    Disable,
    /// They are removed. Archives stay.
    Remove,
}

/// By which name users log in at an IMAP server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginAs {
    /// The user's name here.
    #[default]
    Name,
    /// The first e-mail address.
    Address,
}

/// Which attributes say what. Of several, the first that has a value counts; of addresses and aliases all do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Attributes {
    /// The login name, which is also the archive's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub name: Vec<String>,
    /// The name for people.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub full_name: Vec<String>,
    /// E-mail addresses; `SMTP:` before a value makes it the primary one, `smtp:` another one, as Exchange writes them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mail: Vec<String>,
    /// Other names at mail servers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// What stays the same of an entry when it is renamed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub id: Vec<String>,
    /// A group's name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group: Vec<String>,
}

/// The settings of the directory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct Directory {
    /// What kind it is.
    pub kind: Kind,
    /// `ldaps://host[:port]` or `ldap://…` (for IMAP `imaps://…`, `imap://…`), asked in this order.
    pub servers: Vec<String>,
    /// Begin TLS on connections that begin without; else such a server must be this machine.
    pub starttls: bool,
    /// Passwords may go to another machine without TLS.
    pub plain: bool,
    /// Which certificates are believed.
    pub trust: Trust,
    /// How long one server is waited for, seconds.
    pub timeout_secs: u32,
    /// How long a directory that didn't answer isn't asked for logins, seconds.
    pub retry_secs: u32,
    /// Who searches; none: nobody in particular.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bind_dn: Option<String>,
    /// Where users are.
    pub base: String,
    /// Which entries are users.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Only members of these groups, by DN or name, and of groups inside them; none: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Where groups are, if not where users are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_base: Option<String>,
    /// Which entries are groups.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_filter: Option<String>,
    /// Entries a page.
    pub page: u32,
    /// Only who has an e-mail address.
    pub mail_enabled: bool,
    /// Not who is hidden from Exchange's address lists.
    pub skip_hidden: bool,
    /// Users whose entry is gone.
    pub gone: Gone,
    /// Privileges of new users.
    pub privileges: Vec<Privilege>,
    /// What new users may do in their own archive.
    pub own_archive: Level,
    /// What attributes mean.
    pub attributes: Attributes,
    /// USERLIST.DAT.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// Its charset, by the name that mail gives it.
    pub charset: String,
    /// The name at the IMAP server.
    pub login_as: LoginAs,
}

impl Default for Directory {
    fn default() -> Self {
        Directory {
            kind: Kind::Ldap,
            servers: Vec::new(),
            starttls: true,
            plain: false,
            trust: Trust::System,
            timeout_secs: 10,
            retry_secs: 5,
            bind_dn: None,
            base: String::new(),
            filter: None,
            groups: Vec::new(),
            group_base: None,
            group_filter: None,
            page: 500,
            mail_enabled: false,
            skip_hidden: false,
            gone: Gone::Keep,
            privileges: vec![Privilege::Login, Privilege::Imap],
            own_archive: Level::Read,
            attributes: Attributes::default(),
            file: None,
            charset: "windows-1252".into(),
            login_as: LoginAs::Name,
        }
    }
}

/// An error about a setting.
fn wrong(setting: &str, what: impl std::fmt::Display) -> Error {
    Error::Directory(format!("{setting}: {what}"))
}

impl Directory {
    /// Whether it is asked by LDAP.
    #[must_use]
    pub fn is_ldap(&self) -> bool {
        matches!(self.kind, Kind::Ldap | Kind::ActiveDirectory)
    }

    /// That all of it makes sense.
    /// # Errors
    /// `Directory`: which setting, and why.
    pub fn check(&self) -> Result<(), Error> {
        self.check_servers()?;
        self.trust.check().map_err(|what| wrong("trust", what))?;
        if !(1..=300).contains(&self.timeout_secs) {
            return Err(wrong("timeout-secs", "between 1 and 300"));
        }
        if self.retry_secs > 3_600 {
            return Err(wrong("retry-secs", "at most 3600"));
        }
        if !(1..=10_000).contains(&self.page) {
            return Err(wrong(
                "page",
                "between 1 and 10000 entries; Active Directory gives no more than 1000",
            ));
        }
        let texts = [
            ("bind-dn", self.bind_dn.as_deref()),
            ("base", Some(self.base.as_str())),
            ("group-base", self.group_base.as_deref()),
        ];
        for (setting, text) in texts {
            let Some(text) = text else { continue };
            let user_principal = setting == "bind-dn" && text.contains('@') && !text.contains('=');
            if text.len() > MAX_TEXT_BYTES || (!user_principal && dn::normal(text).is_none()) {
                return Err(wrong(setting, format!("{text:?} is no distinguished name (dc=example,dc=org)")));
            }
        }
        for (setting, text) in [("filter", &self.filter), ("group-filter", &self.group_filter)] {
            if let Some(text) = text {
                Filter::parse(text).map_err(|what| wrong(setting, what))?;
            }
        }
        if self.groups.len() > MAX_WANTED_GROUPS
            || self.groups.iter().any(|group| group.is_empty() || group.len() > MAX_TEXT_BYTES)
        {
            return Err(wrong("groups", format!("at most {MAX_WANTED_GROUPS}, none of them empty")));
        }
        let Attributes { name, full_name, mail, aliases, id, group } = &self.attributes;
        for list in [name, full_name, mail, aliases, id, group] {
            let good = |name: &String| {
                !name.is_empty()
                    && name.len() <= 100
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b';'))
            };
            if list.len() > MAX_ATTRIBUTES || !list.iter().all(good) {
                return Err(wrong(
                    "attributes",
                    format!("at most {MAX_ATTRIBUTES} names of attributes each"),
                ));
            }
        }
        if self.privileges.contains(&Privilege::Auditor) {
            return Err(wrong(
                "privileges",
                "an auditor needs a day on which that ends; give it to users by name",
            ));
        }
        if self.is_ldap() && self.base.is_empty() {
            return Err(wrong("base", "it is missing: where are the users? (dc=example,dc=org)"));
        }
        match (self.kind, &self.file) {
            (Kind::Mdaemon, None) => return Err(wrong("file", "where is USERLIST.DAT?")),
            (Kind::Mdaemon, Some(file)) if !file.is_absolute() => {
                return Err(wrong("file", "the path must be absolute"));
            }
            _ => {}
        }
        if encoding_rs::Encoding::for_label(self.charset.as_bytes()).is_none() {
            return Err(wrong("charset", format!("{:?} is unknown", self.charset)));
        }
        Ok(())
    }

    fn check_servers(&self) -> Result<(), Error> {
        if self.servers.is_empty() && self.kind != Kind::Mdaemon {
            return Err(wrong("servers", "there is none"));
        }
        if self.servers.len() > MAX_SERVERS {
            return Err(wrong("servers", format!("at most {MAX_SERVERS}")));
        }
        for text in &self.servers {
            let server = self.server(text)?;
            let loopback = match server.host.parse::<IpAddr>() {
                Ok(address) => address.is_loopback(),
                Err(_) => server.host.eq_ignore_ascii_case("localhost"),
            };
            if server.shield == Shield::Plain && !self.plain && !loopback {
                return Err(wrong(
                    "servers",
                    format!(
                        "passwords would go to {server} without TLS; use ldaps:// or StartTLS, or allow it (--plain)"
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The servers, in order.
    pub(super) fn places(&self) -> Result<Vec<Server>, Error> {
        self.servers.iter().map(|text| self.server(text)).collect()
    }

    fn server(&self, text: &str) -> Result<Server, Error> {
        let schemes: &[(&str, u16, Shield)] = if self.is_ldap() {
            &[("ldaps://", 636, Shield::Tls), ("ldap://", 389, Shield::StartTls)]
        } else {
            &[("imaps://", 993, Shield::Tls), ("imap://", 143, Shield::StartTls)]
        };
        let usual =
            if self.is_ldap() { "ldaps://host or ldap://host" } else { "imaps://host or imap://host" };
        let found = schemes
            .iter()
            .find_map(|(scheme, port, shield)| Some((text.strip_prefix(scheme)?, *port, *shield)));
        let Some((rest, port, shield)) = found else {
            return Err(wrong(
                "servers",
                format!("{text:?} is not of the form {usual}, with :port or without"),
            ));
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, given) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, after)) => (host, Some(after.strip_prefix(':').unwrap_or(""))),
            None => rest.split_once(':').map_or((rest, None), |(host, port)| (host, Some(port))),
        };
        let port = match given {
            None => Some(port),
            Some(text) => text.parse().ok().filter(|port| *port != 0),
        };
        let good = |c: char| c.is_alphanumeric() || matches!(c, '-' | '.' | '_' | ':' | '%');
        match port {
            Some(port) if !host.is_empty() && host.len() <= 255 && host.chars().all(good) => Ok(Server {
                host: host.to_owned(),
                port,
                shield: if shield == Shield::StartTls && !self.starttls { Shield::Plain } else { shield },
                anywhere: self.plain,
                trust: self.trust.clone(),
            }),
            _ => Err(wrong("servers", format!("{text:?} is not of the form {usual}, with :port or without"))),
        }
    }

    /// The users' filter.
    pub(super) fn users(&self) -> Result<Filter, Error> {
        let usual = match self.kind {
            Kind::ActiveDirectory => "(&(objectCategory=person)(objectClass=user))",
            _ => "(objectClass=inetOrgPerson)",
        };
        Filter::parse(self.filter.as_deref().unwrap_or(usual)).map_err(|what| wrong("filter", what))
    }

    /// The groups' filter.
    pub(super) fn group_entries(&self) -> Result<Filter, Error> {
        let usual = match self.kind {
            Kind::ActiveDirectory => "(objectClass=group)",
            _ => {
                "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=posixGroup)(objectClass=group))"
            }
        };
        Filter::parse(self.group_filter.as_deref().unwrap_or(usual))
            .map_err(|what| wrong("group-filter", what))
    }

    fn or_usual<'a>(
        &'a self,
        set: &'a [String],
        ldap: &[&'a str],
        active_directory: &[&'a str],
    ) -> Vec<&'a str> {
        match (set, self.kind) {
            ([], Kind::ActiveDirectory) => active_directory.to_vec(),
            ([], _) => ldap.to_vec(),
            _ => set.iter().map(String::as_str).collect(),
        }
    }
    pub(super) fn name_attributes(&self) -> Vec<&str> {
        self.or_usual(&self.attributes.name, &["uid"], &["sAMAccountName"])
    }
    pub(super) fn full_name_attributes(&self) -> Vec<&str> {
        self.or_usual(&self.attributes.full_name, &["displayName", "cn"], &["displayName", "cn"])
    }
    pub(super) fn mail_attributes(&self) -> Vec<&str> {
        self.or_usual(&self.attributes.mail, &["mail", "mailAlternateAddress"], &["proxyAddresses", "mail"])
    }
    pub(super) fn alias_attributes(&self) -> Vec<&str> {
        self.or_usual(&self.attributes.aliases, &[], &["userPrincipalName"])
    }
    pub(super) fn id_attributes(&self) -> Vec<&str> {
        self.or_usual(&self.attributes.id, &["entryUUID", "nsUniqueId"], &["objectGUID"])
    }
    pub(super) fn group_attributes(&self) -> Vec<&str> {
        self.or_usual(&self.attributes.group, &["cn"], &["sAMAccountName", "cn"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ldap(servers: &[&str]) -> Directory {
        let servers = servers.iter().map(|&server| server.to_owned()).collect();
        Directory { servers, base: "dc=example,dc=org".into(), ..Directory::default() }
    }

    #[test]
    fn servers_in_all_forms() {
        let directory = ldap(&[
            "ldaps://dc1.example.org",
            "ldap://dc2:3890/",
            "ldaps://[::1]:6360",
            "ldap://[fe80::1%eth0]",
        ]);
        directory.check().unwrap();
        let shown: Vec<_> = directory.places().unwrap().iter().map(|s| (s.to_string(), s.shield)).collect();
        assert_eq!(
            shown,
            [
                ("dc1.example.org:636".into(), Shield::Tls),
                ("dc2:3890".into(), Shield::StartTls),
                ("[::1]:6360".into(), Shield::Tls),
                ("[fe80::1%eth0]:389".into(), Shield::StartTls),
            ]
        );
        for bad in [
            "",
            "dc1",
            "http://dc1",
            "imaps://dc1",
            "ldap://",
            "ldap://a:0",
            "ldap://a:x",
            "ldap://a:65536",
            "ldap://a b",
            "ldap://[::1]x",
            "ldap://a/dc=x",
        ] {
            assert!(ldap(&[bad]).check().is_err(), "{bad}");
        }
    }

    #[test]
    fn plain_only_here_or_by_name() {
        for (server, starttls, plain, good) in [
            ("ldap://dc1", true, false, true),
            ("ldap://dc1", false, false, false),
            ("ldap://dc1", false, true, true),
            ("ldap://127.0.0.1", false, false, true),
            ("ldap://[::1]", false, false, true),
            ("ldap://localhost", false, false, true),
            ("ldap://127.0.0.1.example.org", false, false, false),
            ("ldaps://dc1", false, false, true),
        ] {
            let directory = Directory { starttls, plain, ..ldap(&[server]) };
            assert_eq!(directory.check().is_ok(), good, "{server} {starttls} {plain}");
        }
    }

    #[test]
    fn bounds_and_nonsense() {
        let good = ldap(&["ldaps://a"]);
        let some = |n: usize| (0..n).map(|n| format!("ldaps://h{n}")).collect::<Vec<_>>();
        let groups = |n: usize| (0..n).map(|n| format!("g{n}")).collect::<Vec<_>>();
        let long = |bytes: usize| format!("dc={}", "x".repeat(bytes - 3));
        for (directory, fine) in [
            (good.clone(), true),
            (Directory { servers: some(MAX_SERVERS), ..good.clone() }, true),
            (Directory { servers: some(MAX_SERVERS + 1), ..good.clone() }, false),
            (Directory { servers: Vec::new(), ..good.clone() }, false),
            (Directory { groups: groups(MAX_WANTED_GROUPS), ..good.clone() }, true),
            (Directory { groups: groups(MAX_WANTED_GROUPS + 1), ..good.clone() }, false),
            (Directory { base: long(MAX_TEXT_BYTES), ..good.clone() }, true),
            (Directory { base: long(MAX_TEXT_BYTES + 1), ..good.clone() }, false),
            (Directory { base: String::new(), ..good.clone() }, false),
            (Directory { base: "example.org".into(), ..good.clone() }, false),
            (Directory { bind_dn: Some("reader@example.org".into()), ..good.clone() }, true),
            (Directory { bind_dn: Some("reader".into()), ..good.clone() }, false),
            (Directory { filter: Some("(x".into()), ..good.clone() }, false),
            (Directory { timeout_secs: 0, ..good.clone() }, false),
            (Directory { timeout_secs: 300, ..good.clone() }, true),
            (Directory { timeout_secs: 301, ..good.clone() }, false),
            (Directory { retry_secs: 3_600, ..good.clone() }, true),
            (Directory { retry_secs: 3_601, ..good.clone() }, false),
            (Directory { page: 0, ..good.clone() }, false),
            (Directory { page: 10_000, ..good.clone() }, true),
            (Directory { page: 10_001, ..good.clone() }, false),
            (Directory { charset: "klingon".into(), ..good.clone() }, false),
            (Directory { privileges: vec![Privilege::Auditor], ..good.clone() }, false),
            (Directory { trust: Trust::Fingerprint("00".into()), ..good.clone() }, false),
            (Directory { kind: Kind::Mdaemon, servers: Vec::new(), ..good.clone() }, false),
            (
                Directory {
                    kind: Kind::Mdaemon,
                    servers: Vec::new(),
                    file: Some("/x".into()),
                    ..good.clone()
                },
                true,
            ),
            (
                Directory {
                    kind: Kind::Mdaemon,
                    servers: Vec::new(),
                    file: Some("x".into()),
                    ..good.clone()
                },
                false,
            ),
        ] {
            assert_eq!(directory.check().is_ok(), fine, "{directory:?}");
        }
    }

    #[test]
    fn settings_are_text() {
        let mut directory = ldap(&["ldaps://a"]);
        directory.attributes.name = vec!["mail".into()];
        let text = serde_json::to_string(&directory).unwrap();
        assert_eq!(serde_json::from_str::<Directory>(&text).unwrap(), directory);
        assert!(serde_json::from_str::<Directory>(r#"{"bas":"dc=x"}"#).is_err());
    }
}
