//! Profiles: archiving jobs that are kept, with what they need to be done again without a person.
//!
//! Invariant: a profile that is kept makes sense ([`Profile::check`]); its secrets are kept apart from it, sealed (`vault`), and are
//! in no text of it unless they are asked for by name. What a run does with it stands in `run`.
//!
//! Owns the tables `profiles`, `secrets` and `vault` of master.redb.

pub mod csv;
pub(crate) mod header;
mod mailboxes;
pub(crate) mod route;
mod ruled;
pub(crate) mod rules;
mod run;
mod table;
#[cfg(test)]
mod tests;
pub mod text;
mod vault;

pub use mailboxes::Tested;
pub use route::Multidrop;
pub use rules::{Filters, FolderRules};
pub use run::Ask;
pub use table::Profiles;

use crate::remote::access::{Access, Mechanism, Tls, Trust};
use crate::remote::job::{Deletion, Protocol};
use crate::schedule::Timing;
use crate::{Error, Format};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;
use storage::FolderPath;

/// Longest name, bytes.
pub const MAX_NAME_BYTES: usize = 100;
/// Most profiles.
pub const MAX_PROFILES: usize = 10_000;
/// Largest text of a profile, bytes.
pub const MAX_TEXT_BYTES: usize = 32 << 10;

/// What kind of source it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// One IMAP mailbox.
    Imap,
    /// One POP3 mailbox.
    Pop3,
    /// Many IMAP mailboxes by a privileged user.
    ImapMany,
    /// Many IMAP mailboxes from a CSV file.
    ImapCsv,
    /// An IMAP mailbox for many users.
    ImapMultidrop,
    /// A POP3 mailbox for many users.
    Pop3Multidrop,
    /// Files with mail for many users.
    FilesMultidrop,
    /// Public or shared folders of an IMAP server.
    ImapShared,
    /// Thunderbird's or SeaMonkey's profile directory.
    Thunderbird,
    /// Apple Mail's directory.
    Applemail,
    /// Files.
    Files,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 11] = [
        Kind::Imap,
        Kind::Pop3,
        Kind::ImapMany,
        Kind::ImapCsv,
        Kind::ImapMultidrop,
        Kind::Pop3Multidrop,
        Kind::FilesMultidrop,
        Kind::ImapShared,
        Kind::Thunderbird,
        Kind::Applemail,
        Kind::Files,
    ];

    /// What the server speaks; none: there is no server.
    #[must_use]
    pub fn protocol(self) -> Option<Protocol> {
        match self {
            Kind::Imap | Kind::ImapMany | Kind::ImapCsv | Kind::ImapMultidrop | Kind::ImapShared => {
                Some(Protocol::Imap)
            }
            Kind::Pop3 | Kind::Pop3Multidrop => Some(Protocol::Pop3),
            Kind::FilesMultidrop | Kind::Thunderbird | Kind::Applemail | Kind::Files => None,
        }
    }

    /// Whether each message's header says whose it is.
    #[must_use]
    pub fn is_multidrop(self) -> bool {
        matches!(self, Kind::ImapMultidrop | Kind::Pop3Multidrop | Kind::FilesMultidrop)
    }

    /// Whether the archives follow from the users.
    #[must_use]
    pub fn has_many_targets(self) -> bool {
        self.is_multidrop() || matches!(self, Kind::ImapMany | Kind::ImapCsv)
    }

    /// Its word on the command line and in files.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Kind::Imap => "imap",
            Kind::Pop3 => "pop3",
            Kind::ImapMany => "imap-many",
            Kind::ImapCsv => "imap-csv",
            Kind::ImapMultidrop => "imap-multidrop",
            Kind::Pop3Multidrop => "pop3-multidrop",
            Kind::FilesMultidrop => "files-multidrop",
            Kind::ImapShared => "imap-shared",
            Kind::Thunderbird => "thunderbird",
            Kind::Applemail => "applemail",
            Kind::Files => "files",
        }
    }
}

/// A mail server as a profile names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Server {
    /// Name or address.
    pub host: String,
    /// Port; none: the protocol's own for this kind of TLS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: Tls,
    /// Which certificates are believed.
    #[serde(default)]
    pub trust: Trust,
    /// How the login is proven.
    #[serde(default)]
    pub mechanism: Mechanism,
    /// Whose password it is; not for CSV files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Seconds for which the server may stay silent.
    #[serde(default = "usual_timeout_secs")]
    pub timeout_secs: u64,
}

fn usual_timeout_secs() -> u64 {
    60
}

impl Server {
    /// The port.
    #[must_use]
    pub fn port(&self, protocol: Protocol) -> u16 {
        self.port.unwrap_or(match (protocol, self.tls) {
            (Protocol::Imap, Tls::Implicit) => 993,
            (Protocol::Imap, Tls::None | Tls::Starttls) => 143,
            (Protocol::Pop3, Tls::Implicit) => 995,
            (Protocol::Pop3, Tls::None | Tls::Starttls) => 110,
        })
    }

    /// As the engine takes it.
    #[must_use]
    pub fn access(&self, protocol: Protocol) -> Access {
        Access {
            host: self.host.clone(),
            port: self.port(protocol),
            tls: self.tls,
            trust: self.trust.clone(),
            mechanism: self.mechanism,
            timeout: Duration::from_secs(self.timeout_secs),
        }
    }
}

/// How a privileged user opens others' mailboxes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Privileged {
    /// SASL PLAIN with an authorization identity (RFC 4616): Dovecot, Cyrus (`proxyservers`, `admins`), Zimbra, and others.
    #[default]
    Authzid,
    /// Dovecot's form `user*master` as the login name.
    MasterUser,
}

/// What a mailbox is called at the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LoginAs {
    /// By the user's first e-mail address.
    #[default]
    Address,
    /// By what stands before its `@`.
    LocalPart,
    /// By the archive user's name.
    Name,
}

/// Whose mailboxes a privileged user opens: of all users that have an e-mail address.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Many {
    /// How.
    pub privileged: Privileged,
    /// What parts user and master in `user*master`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separator: Option<char>,
    /// What a mailbox is called.
    pub login_as: LoginAs,
    /// Only these users; empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// Not these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
}

/// A saved archiving job, without its secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Profile {
    /// What it is called: letters, digits, `-`, `_`, `.`.
    pub name: String,
    /// What kind of source it is.
    pub kind: Kind,
    /// Target: an archive, or a folder in one. For kinds with many targets: the folder in each archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub into: Option<String>,
    /// A directory or file for the kinds on disk, the CSV file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// The files' format, where it isn't to be detected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Mailboxes at once.
    #[serde(default = "usual_parallel")]
    pub parallel: usize,
    /// Minutes after which a run ends; the next one goes on. 0: never.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub max_minutes: u32,
    /// Archive again what was deleted from the archive (kinds on disk).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted_too: bool,
    /// The server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Server>,
    /// Whose mailboxes a privileged user opens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub many: Option<Many>,
    /// How a mailbox for many is taken apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multidrop: Option<Multidrop>,
    /// Which folders.
    #[serde(default, skip_serializing_if = "is_default")]
    pub folders: FolderRules,
    /// Which messages.
    #[serde(default, skip_serializing_if = "is_default")]
    pub filters: Filters,
    /// What is deleted at the source; none: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deletion: Option<Deletion>,
    /// When it runs by itself; none: only when it is told to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Timing>,
}

fn usual_parallel() -> usize {
    4
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Profile {
    /// A profile of this kind with nothing but its name.
    #[must_use]
    pub fn new(name: &str, kind: Kind) -> Profile {
        Profile {
            name: name.to_owned(),
            kind,
            into: None,
            path: None,
            format: None,
            parallel: usual_parallel(),
            max_minutes: 0,
            deleted_too: false,
            server: None,
            many: None,
            multidrop: None,
            folders: FolderRules::default(),
            filters: Filters::default(),
            deletion: None,
            schedule: None,
        }
    }

    /// Whether its runs need a password of its own.
    #[must_use]
    pub fn needs_secret(&self) -> bool {
        self.kind.protocol().is_some() && self.kind != Kind::ImapCsv
    }

    /// Whether it makes sense.
    /// # Errors
    /// `Profile` with the key and what to do.
    pub fn check(&self) -> Result<(), Error> {
        match self.nonsense() {
            None => Ok(()),
            Some(what) => {
                Err(Error::Profile { name: self.name.chars().take(MAX_NAME_BYTES).collect(), what })
            }
        }
    }

    fn nonsense(&self) -> Option<String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty()
            || self.name.len() > MAX_NAME_BYTES
            || !self.name.chars().all(plain)
            || self.name.starts_with('-')
        {
            return Some(format!(
                "a name has 1 to {MAX_NAME_BYTES} letters, digits and - _ . and begins with no -"
            ));
        }
        let word = self.kind.word();
        let continuous = self.schedule.as_ref().is_some_and(|timing| timing.continuous);
        if continuous && !matches!(self.kind, Kind::Imap | Kind::ImapMultidrop | Kind::ImapShared) {
            return Some(format!("schedule.continuous is for one IMAP mailbox, not for kind {word}"));
        }
        self.places(word).or_else(|| self.remote(word)).or_else(|| {
            let numbers = [
                ("parallel", self.parallel as u64, 1, 32),
                ("max-minutes", u64::from(self.max_minutes), 0, 100_000),
            ];
            let outside = numbers.into_iter().find(|&(_, found, least, most)| found < least || found > most);
            outside
                .map(|(key, found, least, most)| format!("{key} is {found}; it can be {least} to {most}"))
                .or_else(|| self.folders.nonsense())
                .or_else(|| self.filters.nonsense())
                .or_else(|| self.schedule.as_ref().and_then(Timing::nonsense))
        })
    }

    /// Where from and where to.
    fn places(&self, word: &str) -> Option<String> {
        let on_disk = self.kind.protocol().is_none() || self.kind == Kind::ImapCsv;
        match &self.path {
            None if on_disk => {
                return Some(format!("path is missing: kind {word} reads a file or a directory (--path)"));
            }
            Some(_) if !on_disk => return Some(format!("path makes no sense with kind {word}")),
            Some(path) if !path.is_absolute() => {
                return Some("path must be absolute: the server runs elsewhere".into());
            }
            _ => {}
        }
        if self.format.is_some_and(|format| matches!(format, Format::Imap | Format::Pop3)) {
            return Some("format: imap and pop3 are no formats of files".into());
        }
        if self.format.is_some() && !matches!(self.kind, Kind::Files | Kind::FilesMultidrop) {
            return Some(format!("format makes no sense with kind {word}"));
        }
        match (&self.into, self.kind.has_many_targets()) {
            (None, false) => {
                return Some("into is missing: the archive, or a folder in one (--into alice)".into());
            }
            (Some(into), _) if FolderPath::new(into.as_str()).is_err() => {
                return Some(format!("into: {into:?} is no folder"));
            }
            _ => {}
        }
        match (&self.multidrop, self.kind.is_multidrop()) {
            (Some(_), false) => Some(format!("[multidrop] makes no sense with kind {word}")),
            (Some(rules), true) => {
                let catch_all = rules.catch_all.as_ref().filter(|name| auth::check_name(name).is_err());
                if let Some(name) = catch_all {
                    return Some(format!("multidrop.catch-all: {name:?} can't be an archive's name"));
                }
                rules.nonsense()
            }
            (None, _) => None,
        }
    }

    /// The server and who logs in.
    fn remote(&self, word: &str) -> Option<String> {
        let (Some(server), Some(_)) = (&self.server, self.kind.protocol()) else {
            return match (&self.server, self.kind.protocol()) {
                (None, Some(_)) => Some(format!("[server] is missing: kind {word} needs one (--host)")),
                (Some(_), None) => Some(format!("[server] makes no sense with kind {word}")),
                _ if self.deletion.is_some() => Some(format!("[deletion] makes no sense with kind {word}")),
                _ if self.many.is_some() => Some(format!("[many] makes no sense with kind {word}")),
                _ => None,
            };
        };
        let text = |key: &str, value: &str, most: usize| {
            let bad = value.is_empty() || value.len() > most || value.chars().any(char::is_control);
            bad.then(|| format!("{key} has 1 to {most} bytes and no control characters"))
        };
        if let Some(bad) = text("server.host", &server.host, 253) {
            return Some(bad);
        }
        match &server.user {
            None if self.needs_secret() => {
                return Some("server.user is missing: who logs in (--user)".into());
            }
            Some(_) if self.kind == Kind::ImapCsv => {
                return Some("server.user: the CSV file says who logs in".into());
            }
            Some(user) => {
                if let Some(bad) = text("server.user", user, 1_000) {
                    return Some(bad);
                }
            }
            None => {}
        }
        if !(1..=3_600).contains(&server.timeout_secs) {
            return Some("server.timeout-secs can be 1 to 3600".into());
        }
        match &server.trust {
            Trust::Fingerprint(print) => {
                let digits: String = print.chars().filter(|c| *c != ':').collect();
                if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                    return Some(
                        "server.trust: a fingerprint is the certificate's SHA-256, 64 hexadecimal digits"
                            .into(),
                    );
                }
            }
            Trust::Ca(pem) if !pem.contains("-----BEGIN CERTIFICATE-----") => {
                return Some(
                    "server.trust: an authority's certificate is PEM (-----BEGIN CERTIFICATE-----)".into(),
                );
            }
            Trust::Ca(_) | Trust::System | Trust::IgnoreErrors => {}
        }
        if self.many.is_some() && self.kind != Kind::ImapMany {
            return Some(format!("[many] makes no sense with kind {word}"));
        }
        if let Some(many) = &self.many {
            if many.only.len() > MAX_PROFILES || many.except.len() > MAX_PROFILES {
                return Some(format!("[many]: at most {MAX_PROFILES} users"));
            }
            if many.separator.is_some() && many.privileged != Privileged::MasterUser {
                return Some("many.separator goes with privileged = \"master-user\"".into());
            }
        }
        if self.kind == Kind::ImapShared && self.folders.include.is_empty() {
            return Some(
                "folders.include is missing: name the shared folders, such as \"Public/*\" (--include)"
                    .into(),
            );
        }
        if let Some(deletion) = &self.deletion
            && deletion.after_days.is_none()
            && deletion.older_than_days.is_none()
        {
            return Some("[deletion] needs after-days or older-than-days".into());
        }
        None
    }
}
