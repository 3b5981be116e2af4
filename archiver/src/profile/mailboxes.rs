//! The mailboxes of a profile: who logs in to which, where its mail goes, and what is wanted of it.
//!
//! Invariant: a mailbox's name (its key) is the same in every run, whoever logs in to it; two mailboxes of a run never share one.

use super::route::Router;
use super::rules::{Filters, FolderRules, MessageFacts};
use super::{Kind, LoginAs, Many, Privileged, Profile, csv, header};
use crate::remote::access::{Access, Login, Secret};
use crate::remote::job::{Deletion, FilterFacts, Into, MailboxJob, Protocol, Rules, is_own};
use crate::{Archiver, Error, names, remote};
use auth::{Auth, User};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use storage::{Cancel, FolderPath, Limits};

/// A continuous profile looks at its mailbox at least so often, whatever the server tells.
const LOOK_AT_LEAST: Duration = Duration::from_secs(30 * 60);
/// Longest key, bytes.
const MAX_KEY_BYTES: usize = 200;

/// A mailbox to archive.
pub(crate) struct Mailbox {
    pub(crate) login: Login,
    pub(crate) key: String,
    /// None: each message's header says where it goes.
    pub(crate) into: Option<FolderPath>,
}

/// What the engine is given for one profile.
pub(crate) struct Mailboxes {
    pub(crate) access: Access,
    pub(crate) protocol: Protocol,
    pub(crate) list: Vec<Mailbox>,
    pub(crate) router: Option<Router>,
    pub(crate) rules: ProfileRules,
    /// Users of a CSV file that are not there yet: name and address.
    pub(crate) missing: Vec<(String, Option<String>)>,
}

impl Mailboxes {
    /// Those of a profile, now.
    pub(crate) fn of(
        profile: &Profile,
        secret: Option<Secret>,
        auth: &Auth,
        now: i64,
    ) -> Result<Mailboxes, Error> {
        let told = |what: String| Error::Profile { name: profile.name.clone(), what };
        let (Some(server), Some(protocol)) = (&profile.server, profile.kind.protocol()) else {
            return Err(told("it has no server".into()));
        };
        let access = server.access(protocol);
        let missing_secret =
            || told(format!("it has no password; mailkeep profile edit {} --password-stdin", profile.name));
        let login = || -> Result<(String, Secret), Error> {
            let user = server.user.clone().ok_or_else(|| told("server.user is missing".into()))?;
            Ok((user, secret.clone().ok_or_else(missing_secret)?))
        };
        let key = |user: &str| key(protocol, user, &access);
        let users = auth.users()?;
        let mut missing = Vec::new();
        let list = match profile.kind {
            Kind::ImapMany => {
                let many = profile.many.clone().unwrap_or_default();
                let (user, secret) = login()?;
                many_of(&many, &users)
                    .map_err(told)?
                    .into_iter()
                    .map(|(archive, address)| {
                        let mailbox = match many.login_as {
                            LoginAs::Address => address.clone(),
                            LoginAs::LocalPart => address.split('@').next().unwrap_or_default().to_owned(),
                            LoginAs::Name => archive.clone(),
                        };
                        let key = key(&mailbox);
                        let into = own_folder(&archive, profile.into.as_deref(), &address);
                        let into = into.map_err(|error| told(error.to_string()))?;
                        let (user, authzid) = match many.privileged {
                            Privileged::Authzid => (user.clone(), Some(mailbox)),
                            Privileged::MasterUser => {
                                (format!("{mailbox}{}{user}", many.separator.unwrap_or('*')), None)
                            }
                        };
                        let login = Login { user, authzid, secret: secret.clone() };
                        Ok(Mailbox { login, key, into: Some(into) })
                    })
                    .collect::<Result<Vec<_>, Error>>()?
            }
            Kind::ImapCsv => {
                let path = profile.path.as_deref().ok_or_else(|| told("path is missing".into()))?;
                let by_address = by_address(&users);
                let mut list = Vec::new();
                for row in csv::read(path).map_err(told)? {
                    let archive = row.archive.clone().or_else(|| {
                        let address = row.address.clone().unwrap_or_else(|| row.user.to_lowercase());
                        by_address.get(&address).cloned().or_else(|| by_alias(&users, &row.user))
                    });
                    let archive = archive.unwrap_or_else(|| row.user.clone());
                    let archive = auth::check_name(&archive)
                        .map_err(|error| told(format!("line {}: {error}", row.line)))?;
                    if !users.iter().any(|user| user.name == archive)
                        && !missing.iter().any(|(name, _)| *name == archive)
                    {
                        missing.push((archive.clone(), row.address.clone()));
                    }
                    let shown = row.address.as_deref().unwrap_or(&row.user);
                    let into = own_folder(&archive, profile.into.as_deref(), shown)
                        .map_err(|error| told(error.to_string()))?;
                    let key = key(&row.user);
                    if list.iter().any(|known: &Mailbox| known.key == key) {
                        return Err(told(format!(
                            "line {}: {:?} stands in the file twice",
                            row.line, row.user
                        )));
                    }
                    list.push(Mailbox {
                        login: Login { user: row.user, authzid: None, secret: row.secret },
                        key,
                        into: Some(into),
                    });
                }
                list
            }
            _ => {
                let (user, secret) = login()?;
                let key = key(&user);
                let into = match (&profile.into, profile.kind.is_multidrop()) {
                    (_, true) => None,
                    (Some(into), false) => {
                        Some(target(into, &user, &access.host).map_err(|error| told(error.to_string()))?)
                    }
                    (None, false) => return Err(told("into is missing".into())),
                };
                vec![Mailbox { login: Login { user, authzid: None, secret }, key, into }]
            }
        };
        let router = profile.kind.is_multidrop().then(|| router(profile, &users));
        let rules = ProfileRules {
            folders: profile.folders.clone(),
            shared: profile.kind == Kind::ImapShared,
            filters: profile.filters.clone(),
            deletion: profile.deletion.clone(),
            routes: router.as_ref().map(Router::fingerprint).unwrap_or_default(),
            now,
        };
        Ok(Mailboxes { access, protocol, list, router, rules, missing })
    }

    /// As the engine takes them.
    pub(crate) fn jobs(&self) -> Vec<MailboxJob<'_>> {
        self.list
            .iter()
            .filter_map(|mailbox| {
                let into = match (&mailbox.into, &self.router) {
                    (Some(folder), _) => Into::Folder(folder),
                    (None, Some(router)) => Into::Multidrop(router),
                    (None, None) => return None,
                };
                Some(MailboxJob {
                    access: &self.access,
                    login: &mailbox.login,
                    protocol: self.protocol,
                    key: mailbox.key.clone(),
                    into,
                    rules: &self.rules,
                })
            })
            .collect()
    }
}

/// Archives by address: of all users with one. An address that was given to somebody is that user's, whoever has it for a name or an
/// alias.
pub(crate) fn by_address(users: &[User]) -> HashMap<String, String> {
    let given =
        users.iter().flat_map(|user| user.addresses.iter().map(move |address| (address.clone(), user)));
    let other = users.iter().flat_map(|user| addresses(user).into_iter().map(move |address| (address, user)));
    let mut found = HashMap::new();
    for (address, user) in given.chain(other) {
        found.entry(address).or_insert_with(|| user.name.clone());
    }
    found
}

/// A user's addresses: those that were given, then a name and aliases that are some (a directory's `userPrincipalName`).
fn addresses(user: &User) -> Vec<String> {
    let mut all = user.addresses.clone();
    for name in std::iter::once(&user.name).chain(&user.aliases) {
        all.extend(auth::check_address(name).ok().filter(|address| !all.contains(address)));
    }
    all
}

/// Whether this is a user's name, alias or address.
fn is_called(user: &User, name: &str) -> bool {
    let lower = name.to_lowercase();
    *name == user.name
        || user.aliases.iter().any(|alias| alias.to_lowercase() == lower)
        || addresses(user).contains(&lower)
}

/// Whose mailbox a server's user name without an address means: the one who has it for an alias.
fn by_alias(users: &[User], name: &str) -> Option<String> {
    if users.iter().any(|user| user.name == name) {
        return None;
    }
    let lower = name.to_lowercase();
    let called = |user: &&User| user.aliases.iter().any(|alias| alias.to_lowercase() == lower);
    users.iter().find(called).map(|user| user.name.clone())
}

/// The router of a multidrop profile.
pub(crate) fn router(profile: &Profile, users: &[User]) -> Router {
    let folder = profile.into.as_deref().unwrap_or(&profile.name);
    Router::new(&profile.multidrop.clone().unwrap_or_default(), by_address(users), folder)
}

/// The users whose mailboxes are opened, with the address of each.
fn many_of(many: &Many, users: &[User]) -> Result<Vec<(String, String)>, String> {
    let mut wanted: BTreeMap<&str, bool> = many.only.iter().map(|name| (name.as_str(), false)).collect();
    let mut found = Vec::new();
    for user in users {
        let all = addresses(user);
        let names = |list: &[String]| list.iter().any(|name| is_called(user, name));
        if !many.only.is_empty() {
            for (name, seen) in &mut wanted {
                *seen |= is_called(user, name);
            }
            if !names(&many.only) {
                continue;
            }
        }
        if names(&many.except) {
            continue;
        }
        match all.first() {
            Some(address) => found.push((user.name.clone(), address.clone())),
            None if many.only.is_empty() => {}
            None => {
                return Err(format!(
                    "{0} has no e-mail address; mailkeep user address {0} --add ADDRESS",
                    user.name
                ));
            }
        }
    }
    if let Some((name, _)) = wanted.iter().find(|(_, seen)| !**seen) {
        return Err(format!("many.only: there is no user {name:?}"));
    }
    if found.is_empty() {
        return Err("no user has an e-mail address; mailkeep user address NAME --add ADDRESS".into());
    }
    Ok(found)
}

/// Where a mailbox's tree stands: an archive alone gets a top folder for the source.
fn target(into: &str, user: &str, host: &str) -> Result<FolderPath, storage::PathError> {
    let path = FolderPath::new(into)?;
    if into.contains('/') {
        return Ok(path);
    }
    let top = if user.contains('@') { user.to_owned() } else { format!("{user}@{host}") };
    Ok(names::folder(&path, &[names::level(top.as_bytes())], &Limits::default()))
}

/// Where one of many mailboxes goes in its user's archive.
fn own_folder(archive: &str, folder: Option<&str>, shown: &str) -> Result<FolderPath, storage::PathError> {
    let levels: Vec<String> = match folder {
        Some(folder) => folder.split('/').map(|level| names::level(level.as_bytes())).collect(),
        None => vec![names::level(shown.as_bytes())],
    };
    Ok(names::folder(&FolderPath::new(archive)?, &levels, &Limits::default()))
}

fn key(protocol: Protocol, user: &str, access: &Access) -> String {
    let word = match protocol {
        Protocol::Imap => "imap",
        Protocol::Pop3 => "pop3",
    };
    let key = format!("{word}:{user}@{}:{}", access.host.to_lowercase(), access.port);
    if key.len() <= MAX_KEY_BYTES {
        return key;
    }
    format!("{word}:{}", hex::encode(Sha256::digest(key.as_bytes())))
}

/// A profile's rules as the engine asks them.
pub(crate) struct ProfileRules {
    pub(crate) folders: FolderRules,
    /// Without names: what is shared and what is others', instead of the user's own.
    pub(crate) shared: bool,
    pub(crate) filters: Filters,
    pub(crate) deletion: Option<Deletion>,
    routes: String,
    now: i64,
}

impl Rules for ProfileRules {
    fn wants_folder(&self, name: &str, special_use: &[String]) -> bool {
        // Who names a folder wants it, whosever it is.
        let whose = !self.folders.include.is_empty() || is_own(special_use) != self.shared;
        whose && self.folders.wants(name, special_use)
    }

    fn filter(&self, known: &FilterFacts) -> Option<String> {
        let fields = header::fields(&known.fields);
        let value = |name: &str| fields.iter().find(|field| field.is(name)).map(header::Field::text);
        let (from, subject) = (value("From"), value("Subject"));
        let asked = self.filters.needs_header();
        let facts = MessageFacts {
            date: known.date.map(|date| date.secs),
            size: Some(known.size),
            seen: known.seen,
            from: asked.then(|| from.as_deref().unwrap_or_default()),
            subject: asked.then(|| subject.as_deref().unwrap_or_default()),
        };
        self.filters.reason(&facts, self.now)
    }

    fn needs_fields(&self) -> bool {
        self.filters.needs_header()
    }

    fn may_change(&self) -> bool {
        self.filters.only_read || self.filters.older_than_days.is_some()
    }

    fn fingerprint(&self) -> String {
        let rules = serde_json::to_vec(&self.filters).unwrap_or_default();
        let mut hash = Sha256::new();
        hash.update(&rules);
        hash.update(self.routes.as_bytes());
        hex::encode(hash.finalize())
    }

    fn deletion(&self) -> Option<&Deletion> {
        self.deletion.as_ref()
    }
}

/// What a try of a mailbox found.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tested {
    /// Whose mailbox, at which server; or the directory.
    pub source: String,
    /// Where its mail goes; none: where each message's header says.
    pub into: Option<String>,
    /// A folder of it.
    pub folder: Option<String>,
    /// Messages in the folder.
    pub messages: Option<u64>,
    /// Whether they would be archived.
    pub wanted: bool,
    /// What could be better.
    pub note: Option<String>,
    /// Why not, and what to do.
    pub trouble: Option<String>,
}

impl Tested {
    /// That this would be archived.
    pub(crate) fn of(source: String, into: Option<String>, folder: Option<String>) -> Tested {
        Tested { source, into, folder, messages: None, wanted: true, note: None, trouble: None }
    }
}

/// Tries a mailbox: its folders, or what is wrong.
pub(crate) fn tested(
    job: &MailboxJob<'_>,
    into: Option<String>,
    limits: &Limits,
    cancel: &Cancel,
) -> Vec<Tested> {
    let row = |folder: Option<String>| Tested::of(job.key.clone(), into.clone(), folder);
    match remote::test_mailbox(job, limits, cancel) {
        Err(fault) => vec![Tested { wanted: false, trouble: Some(fault.to_string()), ..row(None) }],
        Ok(report) => {
            let folders = report.folders.into_iter().map(|folder| Tested {
                messages: folder.messages,
                wanted: folder.wanted,
                ..row(Some(folder.name))
            });
            let warnings = report.warnings.into_iter().map(|note| Tested { note: Some(note), ..row(None) });
            folders.chain(warnings).collect()
        }
    }
}

/// Waits until a mailbox has something that the last run didn't see, or it is time to look.
pub(crate) fn watch(archiver: &Archiver, job: &MailboxJob<'_>, cancel: &Cancel) -> Result<(), String> {
    remote::watch(archiver, job, LOOK_AT_LEAST, cancel).map_err(|fault| fault.to_string())
}
