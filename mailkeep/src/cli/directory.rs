//! `directory …`: where users come from, and who checks their passwords.
//!
//! The flags are also what goes to the server to change settings: [`Flags::apply`] is the one place that knows what each means.

use super::user::PrivilegeName;
use super::word;
use crate::password::Source;
use auth::directory::{Attributes, Directory, Gone, Kind, LoginAs};
use auth::trust::Trust;
use auth::{Level, Privilege};
use clap::{Args, Subcommand, ValueHint};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `directory …`.
#[derive(Debug, Subcommand)]
pub(crate) enum DirectoryVerb {
    /// Name the directory, or change what is known of it
    #[command(after_help = "\
Examples:
  mailkeep directory set --kind ldap --server ldaps://ldap.example.org --base dc=example,dc=org
  mailkeep directory set --kind active-directory --server ldaps://dc1.example.org --server ldaps://dc2.example.org \\
      --ca corp-ca.pem --base dc=example,dc=org --bind-dn reader@example.org --password-file pw
  mailkeep directory set --group Archive --mail-enabled --gone disable
  mailkeep directory set --kind mdaemon --userlist /mnt/mdaemon/App/USERLIST.DAT --server imaps://mail.example.org
  mailkeep directory set --kind imap --server imaps://mail.example.org
  mailkeep directory set --from directory.toml

Then: mailkeep directory test, mailkeep directory sync --dry-run. What isn't given stays as it is;
an empty value ('') takes a setting back. docs/directories.md has recipes.")]
    Set(Box<Set>),
    /// The settings, as TOML; never the password
    Show,
    /// Try the settings out: each server, the bind DN, how many users there are, and the login of one of them
    Test {
        /// Try this user's login too, with a password that is asked for
        #[arg(long = "try", value_name = "USER")]
        user: Option<String>,
        #[command(flatten)]
        password: Source,
    },
    /// Bring the users in line with the directory, and say what changes and why
    #[command(after_help = "\
Examples:
  mailkeep directory sync --dry-run
  mailkeep directory sync
  mailkeep schedule add people directory --every 60

Users whose password is kept here are never touched; a name that is in both is listed as a conflict.")]
    Sync {
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
        /// Go on though more than half of the directory's users would be disabled or removed
        #[arg(long)]
        accept_loss: bool,
    },
    /// Forget the settings; users stay, and can't log in until somebody sets a password for them
    Remove,
}

/// `directory set`.
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// Take the settings from a TOML file, in the place of all that are there; flags count above it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) from: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) flags: Box<Flags>,
    #[command(flatten)]
    pub(crate) password: Source,
}

/// What flags say of a directory; what isn't given stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Flags {
    /// What kind it is, with what that usually means
    #[arg(long, value_parser = word::<Kind>(["ldap", "active-directory", "mdaemon", "imap"]))]
    kind: Option<Kind>,
    /// A server: ldaps://HOST (or ldaps://HOST:PORT), ldap://HOST (with StartTLS), imaps://HOST, imap://HOST; several are asked in this order
    #[arg(long, value_name = "URL")]
    server: Vec<String>,
    /// Whether connections that begin without TLS begin it then
    #[arg(long, value_name = "BOOL")]
    starttls: Option<bool>,
    /// Whether passwords may go to other machines without TLS
    #[arg(long, value_name = "BOOL")]
    plain: Option<bool>,
    /// Believe only certificates of this authority (a PEM file)
    #[arg(long, value_name = "FILE", group = "trust", value_hint = ValueHint::FilePath)]
    #[serde(skip)]
    pub(crate) ca: Option<PathBuf>,
    /// The authority's PEM text
    #[arg(skip)]
    pub(crate) ca_pem: Option<String>,
    /// Believe only the certificate with this SHA-256
    #[arg(long, value_name = "SHA256", group = "trust")]
    fingerprint: Option<String>,
    /// Believe the authorities that the system trusts (the default)
    #[arg(long, group = "trust")]
    system_trust: bool,
    /// Seconds that one server is waited for
    #[arg(long, value_name = "N")]
    timeout_secs: Option<u32>,
    /// Seconds for which a directory that didn't answer isn't asked for logins
    #[arg(long, value_name = "N")]
    retry_secs: Option<u32>,
    /// Who searches: a distinguished name, or name@domain; its password is asked for
    #[arg(long, value_name = "DN")]
    pub(crate) bind_dn: Option<String>,
    /// Where users are
    #[arg(long, value_name = "DN")]
    base: Option<String>,
    /// Which entries are users (RFC 4515)
    #[arg(long)]
    filter: Option<String>,
    /// Only members of this group, or of one inside it, by name or DN; several times for several
    #[arg(long, value_name = "GROUP")]
    group: Vec<String>,
    /// Where groups are, if not where users are
    #[arg(long, value_name = "DN")]
    group_base: Option<String>,
    /// Which entries are groups (RFC 4515)
    #[arg(long, value_name = "FILTER")]
    group_filter: Option<String>,
    /// Entries a page
    #[arg(long, value_name = "N")]
    page: Option<u32>,
    /// Whether only those count who have an e-mail address
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    mail_enabled: Option<bool>,
    /// Whether those are left out who are hidden from address lists
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    skip_hidden: Option<bool>,
    /// What becomes of users whose entry is gone or doesn't fit any more
    #[arg(long, value_parser = word::<Gone>(["keep", "disable", "remove"]))]
    gone: Option<Gone>,
    /// A privilege of new users, in the place of login and imap; several times for several
    #[arg(long, value_name = "PRIVILEGE")]
    #[serde(skip)]
    privilege: Vec<PrivilegeName>,
    #[arg(skip)]
    privileges: Vec<Privilege>,
    /// What new users may do in their own archive
    #[arg(long, value_parser = word::<Level>(["none", "read", "write", "delete"]))]
    own_archive: Option<Level>,
    #[command(flatten)]
    #[serde(flatten)]
    attributes: AttributeFlags,
    /// MDaemon's list of users
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) userlist: Option<PathBuf>,
    /// Its charset
    #[arg(long)]
    charset: Option<String>,
    /// By which name users log in at the IMAP server
    #[arg(long, value_parser = word::<LoginAs>(["name", "address"]))]
    login_as: Option<LoginAs>,
}

#[derive(Debug, Clone, Default, PartialEq, Args, Serialize, Deserialize)]
#[serde(default)]
#[command(next_help_heading = "Attributes, several times for several")]
struct AttributeFlags {
    /// The login name: uid, sAMAccountName, userPrincipalName, mail …; of USERLIST.DAT mailbox or address
    #[arg(long, value_name = "ATTRIBUTE")]
    name_attribute: Vec<String>,
    /// The name for people
    #[arg(long, value_name = "ATTRIBUTE")]
    full_name_attribute: Vec<String>,
    /// E-mail addresses
    #[arg(long, value_name = "ATTRIBUTE")]
    mail_attribute: Vec<String>,
    /// Other names at mail servers
    #[arg(long, value_name = "ATTRIBUTE")]
    alias_attribute: Vec<String>,
    /// What stays of an entry when it is renamed
    #[arg(long, value_name = "ATTRIBUTE")]
    id_attribute: Vec<String>,
    /// A group's name
    #[arg(long, value_name = "ATTRIBUTE")]
    group_attribute: Vec<String>,
}

/// Puts what was given; an empty value takes the setting back.
fn put(place: &mut Option<String>, given: Option<&String>) {
    if let Some(text) = given {
        *place = Some(text.clone()).filter(|text| !text.is_empty());
    }
}

fn put_all(place: &mut Vec<String>, given: &[String]) {
    if !given.is_empty() {
        *place = given.iter().filter(|text| !text.is_empty()).cloned().collect();
    }
}

fn set<T: Clone>(place: &mut T, given: Option<&T>) {
    if let Some(value) = given {
        place.clone_from(value);
    }
}

impl Flags {
    /// What needs the caller's own files and types, in the form that goes to the server.
    pub(crate) fn complete(&mut self) {
        self.privileges = self.privilege.iter().map(|&name| name.into()).collect();
    }

    /// Changes settings.
    pub(crate) fn apply(&self, directory: &mut Directory) {
        set(&mut directory.kind, self.kind.as_ref());
        put_all(&mut directory.servers, &self.server);
        set(&mut directory.starttls, self.starttls.as_ref());
        set(&mut directory.plain, self.plain.as_ref());
        if let Some(pem) = &self.ca_pem {
            directory.trust = Trust::Ca(pem.clone());
        } else if let Some(fingerprint) = &self.fingerprint {
            directory.trust = Trust::Fingerprint(fingerprint.clone());
        } else if self.system_trust {
            directory.trust = Trust::System;
        }
        set(&mut directory.timeout_secs, self.timeout_secs.as_ref());
        set(&mut directory.retry_secs, self.retry_secs.as_ref());
        put(&mut directory.bind_dn, self.bind_dn.as_ref());
        set(&mut directory.base, self.base.as_ref());
        put(&mut directory.filter, self.filter.as_ref());
        put_all(&mut directory.groups, &self.group);
        put(&mut directory.group_base, self.group_base.as_ref());
        put(&mut directory.group_filter, self.group_filter.as_ref());
        set(&mut directory.page, self.page.as_ref());
        set(&mut directory.mail_enabled, self.mail_enabled.as_ref());
        set(&mut directory.skip_hidden, self.skip_hidden.as_ref());
        set(&mut directory.gone, self.gone.as_ref());
        if !self.privileges.is_empty() {
            directory.privileges.clone_from(&self.privileges);
        }
        set(&mut directory.own_archive, self.own_archive.as_ref());
        let AttributeFlags {
            name_attribute,
            full_name_attribute,
            mail_attribute,
            alias_attribute,
            id_attribute,
            group_attribute,
        } = &self.attributes;
        let Attributes { name, full_name, mail, aliases, id, group } = &mut directory.attributes;
        for (place, given) in [
            (name, name_attribute),
            (full_name, full_name_attribute),
            (mail, mail_attribute),
            (aliases, alias_attribute),
            (id, id_attribute),
            (group, group_attribute),
        ] {
            put_all(place, given);
        }
        if let Some(file) = &self.userlist {
            directory.file = Some(file.clone()).filter(|file| !file.as_os_str().is_empty());
        }
        set(&mut directory.charset, self.charset.as_ref());
        set(&mut directory.login_as, self.login_as.as_ref());
    }

    /// The settings that are given, for the audit log. There is no secret among them.
    pub(crate) fn words(&self) -> String {
        let all = serde_json::to_value(self).unwrap_or_default();
        let usual = serde_json::to_value(Flags::default()).unwrap_or_default();
        let fields = all.as_object().into_iter().flatten();
        let given = fields.filter(|(name, value)| usual.get(name.as_str()) != Some(value));
        given.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_stays_and_empty_takes_back() {
        let before = Directory {
            filter: Some("(a=b)".into()),
            groups: vec!["g".into()],
            page: 7,
            ..Directory::default()
        };
        let mut after = before.clone();
        Flags::default().apply(&mut after);
        assert_eq!(after, before);
        let flags = Flags {
            filter: Some(String::new()),
            group: vec![String::new()],
            gone: Some(Gone::Remove),
            ..Flags::default()
        };
        flags.apply(&mut after);
        assert_eq!((after.filter, after.groups, after.page, after.gone), (None, Vec::new(), 7, Gone::Remove));
        assert_eq!(flags.words(), "filter=\"\" gone=\"remove\" group=[\"\"]");
    }

    #[test]
    fn flags_survive_the_wire() {
        let flags =
            Flags { base: Some("dc=x".into()), privileges: vec![Privilege::Imap], ..Flags::default() };
        let text = serde_json::to_string(&flags).unwrap();
        assert_eq!(serde_json::from_str::<Flags>(&text).unwrap(), flags);
    }
}
