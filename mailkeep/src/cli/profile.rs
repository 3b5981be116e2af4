//! `profile …`, `runs …`, `user address`: archiving again and again, and what became of it.
//!
//! The flags of a profile are also what goes to the server to change one: [`Flags::apply`] is the one place that knows what each
//! means.

use super::word;
use crate::password::Source;
use archiver::Format;
use archiver::profile::{Filters, FolderRules, Kind, LoginAs, Many, Multidrop, Privileged, Profile, Server};
use archiver::remote::access::{Mechanism, Tls, Trust};
use archiver::remote::job::Deletion;
use archiver::schedule::Timing;
use clap::{Args, Subcommand, ValueHint};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

const TLS: [&str; 3] = ["none", "starttls", "implicit"];
const MECHANISMS: [&str; 7] = ["auto", "plain", "login", "cram-md5", "scram-sha256", "scram-sha1", "xoauth2"];
const FORMATS: [&str; 8] = ["eml", "maildir", "mboxo", "mboxrd", "mboxcl", "mboxcl2", "mmdf", "mh"];

/// `profile …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ProfileVerb {
    /// Keep an archiving job under a name
    #[command(after_help = "\
Examples:
  mailkeep profile create ann --kind imap --host mail.example.org --user ann@example.org --password-stdin --into alice
  mailkeep profile create old --kind pop3 --host pop.example.org --tls starttls --user ann --into alice/Old
  mailkeep profile create all --kind imap-many --host mail.example.org --user master --password-file pw
  mailkeep profile create drop --kind imap-multidrop --host mail.example.org --user catchall --header X-Original-To
  mailkeep profile create tb --kind thunderbird --path ~/.thunderbird/abc.default --into alice
  mailkeep profile create ann --file ann.toml

Then: mailkeep profile test NAME, mailkeep profile run NAME. docs/profiles.md has an example of every kind.
A password is asked for, unless it comes from standard input or a file; it is kept sealed with the master key.")]
    Create(Create),
    /// Change what is named, leave the rest
    #[command(after_help = "\
Examples:
  mailkeep profile edit ann --every 15 --exclude 'Lists/*'
  mailkeep profile edit ann --password-stdin < password
  mailkeep profile edit ann --no-schedule")]
    Edit(Edit),
    /// All profiles
    List,
    /// One profile, as a file for `create` has it; without its password
    Show {
        /// Its name
        name: String,
    },
    /// Connect, log in, list the folders, and say what would be archived, or why not; changes nothing
    Test {
        /// Its name
        name: String,
    },
    /// Archive what is new. Exit status 0 only if nothing failed
    Run {
        /// Its name
        name: String,
        /// Delete nothing at the source, whatever the profile says; list what would be
        #[arg(long)]
        dry_run: bool,
    },
    /// Forget a profile; what it archived stays
    Delete {
        /// Its name
        name: String,
    },
    /// Print profiles as TOML, for `import`
    Export {
        /// Which; all without
        names: Vec<String>,
        /// With their passwords, in the clear
        #[arg(long)]
        secrets: bool,
        /// Write them to a file that only its owner reads
        #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
        output: Option<PathBuf>,
    },
    /// Keep profiles from a file that `export` wrote
    Import {
        /// The file
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// In the place of profiles of the same name
        #[arg(long)]
        replace: bool,
    },
}

/// `profile create`.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Its name: letters, digits, `-`, `_`, `.`
    pub(crate) name: String,
    /// What kind of source it is
    #[arg(long, required_unless_present = "file", value_parser = word::<Kind>(Kind::ALL.map(Kind::word)))]
    pub(crate) kind: Option<Kind>,
    /// Take it from a TOML file; flags count above it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) flags: Box<Flags>,
    #[command(flatten)]
    pub(crate) password: Source,
}

/// `profile edit`.
#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// Its name
    pub(crate) name: String,
    /// Replace it by what a TOML file has; flags count above it
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) flags: Box<Flags>,
    #[command(flatten)]
    pub(crate) password: Source,
}

/// What flags say of a profile; what isn't given stays as it is.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "The source")]
pub(crate) struct Flags {
    /// The archive, or a folder in one: alice. For many users: the folder in each archive
    #[arg(long, value_name = "ARCHIVE")]
    pub(crate) into: Option<String>,
    /// The file or directory of the kinds on disk; the CSV file
    #[arg(long, value_hint = ValueHint::AnyPath)]
    pub(crate) path: Option<PathBuf>,
    /// The files' format, if it should not be detected
    #[arg(long, value_parser = word::<Format>(FORMATS))]
    format: Option<Format>,
    /// The server's name
    #[arg(long)]
    host: Option<String>,
    /// Its port; the protocol's own without
    #[arg(long)]
    port: Option<u16>,
    /// How the connection is protected
    #[arg(long, value_parser = word::<Tls>(TLS))]
    tls: Option<Tls>,
    /// Who logs in
    #[arg(long)]
    user: Option<String>,
    /// How the login is proven
    #[arg(long, value_parser = word::<Mechanism>(MECHANISMS))]
    mechanism: Option<Mechanism>,
    /// Believe only certificates of this authority (a PEM file)
    #[arg(long, value_name = "FILE", group = "trust", value_hint = ValueHint::FilePath)]
    pub(crate) ca: Option<PathBuf>,
    /// The authority's PEM text
    #[arg(skip)]
    pub(crate) ca_pem: Option<String>,
    /// Believe only the certificate with this SHA-256
    #[arg(long, value_name = "SHA256", group = "trust")]
    fingerprint: Option<String>,
    /// Believe any certificate; a warning comes with every run
    #[arg(long, group = "trust")]
    ignore_tls_errors: bool,
    /// Believe the authorities that the system trusts (the default)
    #[arg(long, group = "trust")]
    system_trust: bool,
    /// Seconds for which the server may stay silent
    #[arg(long, value_name = "SECS")]
    timeout: Option<u64>,
    /// Mailboxes at once
    #[arg(long, value_name = "N")]
    parallel: Option<usize>,
    /// End a run after so many minutes; the next one goes on. 0: never
    #[arg(long, value_name = "MINUTES")]
    max_minutes: Option<u32>,
    /// Archive again what was deleted from the archive (kinds on disk)
    #[arg(long, value_name = "BOOL")]
    deleted_too: Option<bool>,
    #[command(flatten)]
    #[serde(flatten)]
    many: ManyFlags,
    #[command(flatten)]
    #[serde(flatten)]
    what: WhatFlags,
    #[command(flatten)]
    #[serde(flatten)]
    when: WhenFlags,
}

#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(default)]
#[command(next_help_heading = "Many mailboxes, and mailboxes for many")]
struct ManyFlags {
    /// How a privileged user opens others' mailboxes
    #[arg(long, value_parser = word::<Privileged>(["authzid", "master-user"]))]
    privileged: Option<Privileged>,
    /// What parts user and master in `user*master`
    #[arg(long)]
    separator: Option<char>,
    /// What a mailbox is called at the server
    #[arg(long, value_parser = word::<LoginAs>(["address", "local-part", "name"]))]
    login_as: Option<LoginAs>,
    /// Only this user's mailbox; several times for several
    #[arg(long, value_name = "USER")]
    only: Vec<String>,
    /// Not this user's mailbox
    #[arg(long, value_name = "USER")]
    except: Vec<String>,
    /// The header field that says whom a message is for; the best first
    #[arg(long, value_name = "FIELD")]
    header: Vec<String>,
    /// Own mail servers that every message passes
    #[arg(long, value_name = "N")]
    own_servers: Option<u32>,
    /// What their Received lines say behind `by`; `.example.org` for all of a domain
    #[arg(long, value_name = "HOST")]
    own_host: Vec<String>,
    /// Of each field, so many of the topmost are passed over
    #[arg(long, value_name = "N")]
    skip: Option<u32>,
    /// Where no trusted field is there: ask To, Cc and Bcc, which senders write
    #[arg(long, value_name = "BOOL")]
    recipients: Option<bool>,
    /// Where no trusted field is there: ask From and Sender, which senders write
    #[arg(long, value_name = "BOOL")]
    sender: Option<bool>,
    /// The archive for messages that are nobody's; left out and counted without
    #[arg(long, value_name = "ARCHIVE")]
    catch_all: Option<String>,
}

#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(default)]
#[command(next_help_heading = "What is archived, and what is deleted at the source")]
struct WhatFlags {
    /// Only this folder: a name, with wildcards * and %, or a special use such as \Sent
    #[arg(long, value_name = "FOLDER")]
    include: Vec<String>,
    /// Not this folder
    #[arg(long, value_name = "FOLDER")]
    exclude: Vec<String>,
    /// The trash too
    #[arg(long, value_name = "BOOL")]
    trash: Option<bool>,
    /// Junk too
    #[arg(long, value_name = "BOOL")]
    junk: Option<bool>,
    /// Drafts too
    #[arg(long, value_name = "BOOL")]
    drafts: Option<bool>,
    /// Only what has been read
    #[arg(long, value_name = "BOOL")]
    only_read: Option<bool>,
    /// Only what is younger than so many days
    #[arg(long, value_name = "DAYS")]
    younger_than: Option<u32>,
    /// Only what is at least so many days old
    #[arg(long, value_name = "DAYS")]
    older_than: Option<u32>,
    /// Only messages of at least so many bytes
    #[arg(long, value_name = "N")]
    min_bytes: Option<u64>,
    /// Only messages of at most so many bytes
    #[arg(long, value_name = "N")]
    max_bytes: Option<u64>,
    /// Only from this address or domain (@example.org)
    #[arg(long, value_name = "WHO")]
    from: Vec<String>,
    /// Not from this address or domain
    #[arg(long, value_name = "WHO")]
    not_from: Vec<String>,
    /// Only with a subject like this, * for anything
    #[arg(long, value_name = "PATTERN")]
    subject: Vec<String>,
    /// Not with a subject like this
    #[arg(long, value_name = "PATTERN")]
    not_subject: Vec<String>,
    /// Delete at the source what was archived so many days ago
    #[arg(long, value_name = "DAYS")]
    delete_after: Option<u32>,
    /// Delete at the source what is so many days old, once it is archived
    #[arg(long, value_name = "DAYS")]
    delete_older_than: Option<u32>,
    /// Delete although the server can't expunge exactly what is named
    #[arg(long, value_name = "BOOL")]
    force_without_uidplus: Option<bool>,
    /// Delete nothing at the source
    #[arg(long, conflicts_with_all = ["delete_after", "delete_older_than"])]
    delete_nothing: bool,
}

#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
#[serde(default)]
#[command(next_help_heading = "When it runs by itself")]
pub(crate) struct WhenFlags {
    /// At these times: minute, hour, day, month, weekday
    #[arg(long, value_name = "EXPRESSION", group = "timing")]
    cron: Option<String>,
    /// Every so many minutes
    #[arg(long, value_name = "MINUTES", group = "timing")]
    every: Option<u32>,
    /// All the time: new mail is archived as it comes (one IMAP mailbox)
    #[arg(long, group = "timing")]
    continuous: bool,
    /// Not by itself any more
    #[arg(long, group = "timing")]
    no_schedule: bool,
    /// The zone that --cron is meant in, such as Europe/Berlin
    #[arg(long)]
    zone: Option<String>,
    /// Put off by up to so many minutes
    #[arg(long, value_name = "MINUTES")]
    jitter: Option<u32>,
    /// Whether the schedule begins no runs; `profile run` still does
    #[arg(long, value_name = "BOOL")]
    paused: Option<bool>,
}

fn set<T: Clone>(to: &mut T, given: &Option<T>) {
    if let Some(given) = given {
        to.clone_from(given);
    }
}

fn set_some<T: Clone>(to: &mut Option<T>, given: &Option<T>) {
    if given.is_some() {
        to.clone_from(given);
    }
}

/// A list that is given replaces the one that is there; one empty item empties it.
fn set_list(to: &mut Vec<String>, given: &[String]) {
    if !given.is_empty() {
        *to = given.iter().filter(|item| !item.is_empty()).cloned().collect();
    }
}

impl Flags {
    /// Makes a profile what the flags say.
    pub(crate) fn apply(&self, profile: &mut Profile) {
        set_some(&mut profile.into, &self.into);
        set_some(&mut profile.path, &self.path);
        set_some(&mut profile.format, &self.format);
        set(&mut profile.parallel, &self.parallel);
        set(&mut profile.max_minutes, &self.max_minutes);
        set(&mut profile.deleted_too, &self.deleted_too);
        self.server(profile);
        self.many.apply(profile);
        self.what.apply(profile);
        self.when.apply(&mut profile.schedule);
    }

    fn server(&self, profile: &mut Profile) {
        let given = self.host.is_some() || profile.server.is_some();
        let asked =
            self.port.is_some() || self.tls.is_some() || self.user.is_some() || self.mechanism.is_some();
        if !given && !asked {
            return;
        }
        let server = profile.server.get_or_insert_with(|| Server {
            host: String::new(),
            port: None,
            tls: Tls::default(),
            trust: Trust::default(),
            mechanism: Mechanism::default(),
            user: None,
            timeout_secs: 60,
        });
        set(&mut server.host, &self.host);
        set_some(&mut server.port, &self.port);
        set(&mut server.tls, &self.tls);
        set_some(&mut server.user, &self.user);
        set(&mut server.mechanism, &self.mechanism);
        set(&mut server.timeout_secs, &self.timeout);
        if let Some(pem) = &self.ca_pem {
            server.trust = Trust::Ca(pem.clone());
        } else if let Some(print) = &self.fingerprint {
            server.trust = Trust::Fingerprint(print.clone());
        } else if self.ignore_tls_errors {
            server.trust = Trust::IgnoreErrors;
        } else if self.system_trust {
            server.trust = Trust::System;
        }
    }
}

impl ManyFlags {
    fn apply(&self, profile: &mut Profile) {
        let many = self.privileged.is_some() || self.separator.is_some() || self.login_as.is_some();
        if many || !self.only.is_empty() || !self.except.is_empty() {
            let many = profile.many.get_or_insert_with(Many::default);
            set(&mut many.privileged, &self.privileged);
            set_some(&mut many.separator, &self.separator);
            set(&mut many.login_as, &self.login_as);
            set_list(&mut many.only, &self.only);
            set_list(&mut many.except, &self.except);
        }
        let asked = [
            self.own_servers.is_some(),
            self.skip.is_some(),
            self.recipients.is_some(),
            self.sender.is_some(),
        ];
        let lists = !self.header.is_empty() || !self.own_host.is_empty();
        if asked.into_iter().any(|given| given) || lists || self.catch_all.is_some() {
            let rules = profile.multidrop.get_or_insert_with(Multidrop::default);
            set_list(&mut rules.headers, &self.header);
            set(&mut rules.own_servers, &self.own_servers);
            set_list(&mut rules.own_hosts, &self.own_host);
            set(&mut rules.skip, &self.skip);
            set(&mut rules.recipients, &self.recipients);
            set(&mut rules.sender, &self.sender);
            set_some(&mut rules.catch_all, &self.catch_all);
        }
    }
}

impl WhatFlags {
    fn apply(&self, profile: &mut Profile) {
        let FolderRules { include, exclude, trash, junk, drafts } = &mut profile.folders;
        set_list(include, &self.include);
        set_list(exclude, &self.exclude);
        set(trash, &self.trash);
        set(junk, &self.junk);
        set(drafts, &self.drafts);
        let filters: &mut Filters = &mut profile.filters;
        set(&mut filters.only_read, &self.only_read);
        set_some(&mut filters.younger_than_days, &self.younger_than);
        set_some(&mut filters.older_than_days, &self.older_than);
        set_some(&mut filters.min_bytes, &self.min_bytes);
        set_some(&mut filters.max_bytes, &self.max_bytes);
        set_list(&mut filters.from, &self.from);
        set_list(&mut filters.not_from, &self.not_from);
        set_list(&mut filters.subject, &self.subject);
        set_list(&mut filters.not_subject, &self.not_subject);
        if self.delete_nothing {
            profile.deletion = None;
        } else if self.delete_after.is_some()
            || self.delete_older_than.is_some()
            || self.force_without_uidplus.is_some()
        {
            let deletion = profile.deletion.get_or_insert_with(Deletion::default);
            set_some(&mut deletion.after_days, &self.delete_after);
            set_some(&mut deletion.older_than_days, &self.delete_older_than);
            set(&mut deletion.force_without_uidplus, &self.force_without_uidplus);
        }
    }
}

impl WhenFlags {
    /// Whether a time is named.
    pub(crate) fn is_given(&self) -> bool {
        self.cron.is_some() || self.every.is_some() || self.continuous
    }

    /// Makes a schedule what the flags say.
    pub(crate) fn apply(&self, schedule: &mut Option<Timing>) {
        if self.no_schedule {
            *schedule = None;
            return;
        }
        if !self.is_given() && schedule.is_none() {
            return;
        }
        let timing = schedule.get_or_insert_with(Timing::default);
        if self.is_given() {
            timing.cron.clone_from(&self.cron);
            timing.every_minutes = self.every;
            timing.continuous = self.continuous;
        }
        set_some(&mut timing.zone, &self.zone);
        set(&mut timing.jitter_minutes, &self.jitter);
        set(&mut timing.paused, &self.paused);
    }
}

/// A run's number, or the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunName {
    /// This one.
    Number(u64),
    /// The newest.
    Last,
}

impl RunName {
    /// The number; none: the newest.
    pub(crate) fn number(self) -> Option<u64> {
        match self {
            RunName::Number(id) => Some(id),
            RunName::Last => None,
        }
    }
}

fn run_name(text: &str) -> Result<RunName, String> {
    if text == "last" {
        return Ok(RunName::Last);
    }
    text.parse().map(RunName::Number).map_err(|_| "a run's number, or `last`".to_owned())
}

/// `runs …`.
#[derive(Debug, Subcommand)]
pub(crate) enum RunsVerb {
    /// All runs, oldest first
    List,
    /// One run, folder by folder
    Show {
        /// The run's number, or `last`
        #[arg(value_parser = run_name)]
        id: RunName,
    },
    /// The items that failed, with the reason: of a run, or of all sources, as long as they are not solved
    Failed {
        /// The run's number, or `last`; what is not solved without
        #[arg(value_parser = run_name)]
        id: Option<RunName>,
    },
    /// The items of a run that were left out by rule
    Filtered {
        /// The run's number, or `last`
        #[arg(value_parser = run_name)]
        id: RunName,
    },
    /// What a run deleted at the source, or would have with --dry-run
    Deleted {
        /// The run's number, or `last`
        #[arg(value_parser = run_name)]
        id: RunName,
    },
    /// What a run wrote down besides
    Log {
        /// The run's number, or `last`
        #[arg(value_parser = run_name)]
        id: RunName,
    },
    /// Run the same source again: what failed is tried anew, what is there stays
    Retry {
        /// The run's number, or `last`
        #[arg(value_parser = run_name)]
        id: RunName,
    },
}

/// `user address`.
#[derive(Debug, Args)]
pub(crate) struct Addresses {
    /// The login name
    pub(crate) name: String,
    /// Give this e-mail address; several times for several
    #[arg(long, value_name = "ADDRESS", required_unless_present = "remove")]
    pub(crate) add: Vec<String>,
    /// Take this e-mail address
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) remove: Vec<String>,
}
