//! `user.edit`, `user.rename`, `user.import`, `user.ownPassword`, `group.*` and `access.*`: who people are, and what groups and
//! administrators may read.
//!
//! Invariant: while archive access is blocked, no administrator gives themselves something to read; an archive is never touched.

mod table;

use table::Table;
pub(crate) use table::{Meaning, day};

use super::{Act, Context, Failure, Kind, Needs, Outcome, Secret};
use archiver::profile::csv;
use auth::{ArchiveAccess, Edit, Imported, NewUser, Privilege, Right, Subject};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use time::OffsetDateTime;
use zeroize::Zeroizing;

/// Longest time for which archive access is opened, hours.
pub(crate) const MAX_ACCESS_HOURS: u32 = 30 * 24;
/// Longest reason for it, bytes.
pub(crate) const MAX_REASON_BYTES: usize = 1_024;

/// What is changed of a user, for the audit log.
pub(super) fn shown(edit: &Edit) -> String {
    let Edit { full_name, addresses, aliases, dn, mode, disabled, expires, groups } = edit;
    let mut out = String::new();
    let mut say = |what: &str, value: Option<String>| {
        if let Some(value) = value {
            out.push_str(&format!(", {what} {value}"));
        }
    };
    say("full name", full_name.as_ref().map(|text| format!("{text:?}")));
    say("addresses", addresses.as_ref().map(|all| format!("{all:?}")));
    say("aliases", aliases.as_ref().map(|all| format!("{all:?}")));
    say("DN", dn.as_ref().map(|text| format!("{text:?}")));
    say("mode", mode.map(|mode| format!("{mode:?}")));
    say("disabled", disabled.map(|disabled| disabled.to_string()));
    say("expires", expires.map(|at| if at == 0 { "never".to_owned() } else { crate::output::moment(at) }));
    say("groups", groups.as_ref().map(|all| format!("{all:?}")));
    out
}

/// Rules, for the audit log.
pub(super) fn rules_shown(rules: &[Right]) -> String {
    rules.iter().map(|right| format!(", {:?} {:?}", right.folder, right.level)).collect()
}

/// Who is an administrator, and no more, gives nothing to read to themselves while archive access is blocked: that would be
/// archive access without its log.
pub(super) fn not_to_oneself(cx: &Context<'_>, name: &str) -> Result<(), Failure> {
    let open = || cx.installation.auth.archive_access().is_ok_and(|access| access.is_open(now()));
    match &cx.caller.subject {
        Subject::User(own) if own == name && !open() => {
            let what = "while archive access is blocked, administrators give no rights to themselves; another one can, or \
                        `mailkeep access unblock --for 1h --reason TEXT`";
            Err(Failure::new(Kind::Denied, what))
        }
        _ => Ok(()),
    }
}

/// Tells that a new user finds an archive of this name.
pub(super) fn warn_of_archive(cx: &Context<'_>, name: &str) {
    let folders = cx.installation.storage.folders_of(name);
    if !folders.is_empty() {
        let messages: u64 = folders.iter().map(|folder| folder.messages).sum();
        cx.warn(&format!(
            "the archive {name:?} is there already, with {messages} messages: {name:?} may read them now \
             (mailkeep user revoke {name:?} --folder {name:?})"
        ));
    }
}

/// Tells that a rule names nothing that is there: paths are compared letter by letter.
pub(super) fn warn_of_folder(cx: &Context<'_>, folder: &str) {
    let storage = &cx.installation.storage;
    if storage.folders_of(folder).is_empty() && cx.installation.auth.user(folder).is_err() {
        cx.warn(&format!("there is no folder {folder:?} yet; the rule counts once there is"));
    }
}

fn now() -> i64 {
    OffsetDateTime::now_utc().unix_timestamp()
}

/// Changes what is known of a user.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserEdit {
    pub(crate) name: String,
    pub(crate) edit: Edit,
    /// Groups that come to those that there are.
    #[serde(default)]
    pub(crate) add_groups: Vec<String>,
    /// Groups that go from them.
    #[serde(default)]
    pub(crate) remove_groups: Vec<String>,
}

impl Act for UserEdit {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        let Self { name, edit, add_groups, remove_groups } = self;
        let mut groups = String::new();
        if !(add_groups.is_empty() && remove_groups.is_empty()) {
            groups = format!(", into groups {add_groups:?}, out of {remove_groups:?}");
        }
        format!("user.edit {name:?}{}{groups}", shown(edit))
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let auth = &cx.installation.auth;
        let user = auth.user(&self.name)?;
        let mut edit = self.edit.clone();
        if !(self.add_groups.is_empty() && self.remove_groups.is_empty()) {
            let same = |a: &String, b: &String| a.to_lowercase() == b.to_lowercase();
            let mut groups = edit.groups.take().unwrap_or_else(|| user.groups.clone());
            groups.retain(|group| {
                !self.remove_groups.iter().chain(&self.add_groups).any(|other| same(group, other))
            });
            groups.extend(self.add_groups.iter().cloned());
            edit.groups = Some(groups);
        }
        if edit.groups.as_ref().is_some_and(|groups| groups.iter().any(|group| !user.groups.contains(group)))
        {
            not_to_oneself(cx, &user.name)?;
        }
        cx.row(&auth.edit(&self.name, &edit)?)?;
        Ok(Outcome::DONE)
    }
}

/// Gives a user another name.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserRename {
    pub(crate) name: String,
    pub(crate) new: String,
}

impl Act for UserRename {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        format!("user.rename {:?} to {:?}", self.name, self.new)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let auth = &cx.installation.auth;
        // An archive of the new name would be the renamed user's to read.
        if !cx.installation.storage.folders_of(&self.new).is_empty() {
            not_to_oneself(cx, &auth.user(&self.name)?.name)?;
        }
        let user = auth.rename(&self.name, &self.new)?;
        warn_of_archive(cx, &user.name);
        cx.row(&user)?;
        Ok(Outcome::DONE)
    }
}

/// Makes the users of a CSV file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserImport {
    /// Absolute: the server runs in a directory of its own.
    pub(crate) file: PathBuf,
    /// Which column is what, where the header line's words don't say.
    #[serde(default)]
    pub(crate) columns: Vec<(Meaning, String)>,
    /// Users that are there already are changed.
    pub(crate) update: bool,
    /// Only shows what would be done.
    pub(crate) dry_run: bool,
}

#[derive(Debug, Serialize)]
struct ImportRow {
    line: usize,
    name: String,
    /// `created`, `changed`, `same`, `there already`, `failed`
    did: &'static str,
    /// What was changed, or why it failed.
    what: String,
}

impl UserImport {
    fn read(&self) -> Result<Table, Failure> {
        let told = |what: String| Failure::new(Kind::Failed, format!("{}: {what}", self.file.display()));
        if !self.file.is_absolute() {
            return Err(Failure::usage(format!("{}: the path must be absolute", self.file.display())));
        }
        let file = File::open(&self.file).map_err(|error| told(error.to_string()))?;
        let bytes = file.metadata().map_err(|error| told(error.to_string()))?.len();
        // Reserved whole, so that growing leaves no passwords behind.
        let room = usize::try_from(bytes.min(csv::MAX_FILE_BYTES)).unwrap_or(0);
        let mut text = Zeroizing::new(String::with_capacity(room + 1));
        file.take(csv::MAX_FILE_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(|error| told(error.to_string()))?;
        if text.len() as u64 > csv::MAX_FILE_BYTES {
            return Err(told(format!("more than {} bytes", csv::MAX_FILE_BYTES)));
        }
        let table = Table::parse(&text, &self.columns).map_err(told)?;
        let others_read =
            std::os::unix::fs::MetadataExt::mode(&self.file.metadata().map_err(|e| told(e.to_string()))?)
                & 0o077
                != 0;
        if table.has_passwords() && others_read {
            return Err(told(format!(
                "it holds passwords and others can read it: chmod 600 {}",
                self.file.display()
            )));
        }
        Ok(table)
    }
}

impl Act for UserImport {
    fn needs(&self) -> Needs {
        Needs::admin().near(true)
    }
    fn audit(&self) -> String {
        let update = if self.update { " --update" } else { "" };
        let dry = if self.dry_run { " (only shown)" } else { "" };
        format!("user.import {:?}{update}{dry}", self.file)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let table = self.read()?;
        let people: Vec<NewUser> = table.rows.iter().map(|row| row.user.clone()).collect();
        let done = cx.installation.auth.import(&people, self.update, self.dry_run)?;
        let mut failed = 0;
        let mut counts = [0_usize; 3];
        for (row, done) in table.rows.iter().zip(&done) {
            let (did, what) = match done {
                Ok(Imported::Created) => ("created", String::new()),
                Ok(Imported::Changed(what)) => ("changed", what.join(", ")),
                Ok(Imported::Same) => ("same", String::new()),
                Ok(Imported::LeftAlone) => ("there already", "--update changes it".to_owned()),
                Err(error) => ("failed", table.told(row, error)),
            };
            match done {
                Ok(Imported::Created) => counts[0] += 1,
                Ok(Imported::Changed(_)) => counts[1] += 1,
                Ok(_) => counts[2] += 1,
                Err(_) => failed += 1,
            }
            cx.last_row(&ImportRow { line: row.line, name: row.user.name.clone(), did, what })?;
        }
        let [created, changed, rest] = counts;
        if failed > 0 {
            let what = format!("{failed} lines can't be taken, so nothing was done");
            return Err(Failure::new(Kind::Failed, what));
        }
        let what = format!("{created} created, {changed} changed, {rest} as they were");
        cx.note(if self.dry_run { format!("would be: {what}") } else { what });
        Ok(Outcome::DONE)
    }
}

/// Sets the password of whoever gives the command.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OwnPassword {
    pub(crate) password: Secret,
}

impl Act for OwnPassword {
    fn needs(&self) -> Needs {
        Needs::privilege(Privilege::ChangePassword)
    }
    fn audit(&self) -> String {
        "user.ownPassword".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let Subject::User(name) = &cx.caller.subject else {
            return Err(Failure::usage("whose? mailkeep --login NAME passwd, or mailkeep user passwd NAME"));
        };
        cx.installation.auth.set_password(name, &self.password.0)?;
        Ok(Outcome::DONE)
    }
}

/// All groups that have rules, or are some user's.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupList {}

#[derive(Debug, Serialize)]
struct GroupRow {
    group: String,
    rights: Vec<Right>,
    users: Vec<String>,
}

impl Act for GroupList {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        "group.list".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let auth = &cx.installation.auth;
        let rules = auth.group_rights()?;
        let mut rows: std::collections::BTreeMap<String, GroupRow> = rules
            .into_iter()
            .map(|(group, rights)| (group.to_lowercase(), GroupRow { group, rights, users: Vec::new() }))
            .collect();
        for user in auth.users()? {
            for group in &user.groups {
                let none = || GroupRow { group: group.clone(), rights: Vec::new(), users: Vec::new() };
                rows.entry(group.to_lowercase()).or_insert_with(none).users.push(user.name.clone());
            }
        }
        rows.values().try_for_each(|row| cx.row(row))?;
        Ok(Outcome::DONE)
    }
}

/// Gives everyone in a group rights on folders, or takes them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupRights {
    pub(crate) group: String,
    /// Given, or taken.
    pub(crate) give: bool,
    pub(crate) folders: Vec<Right>,
}

impl Act for GroupRights {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        let verb = if self.give { "grant" } else { "revoke" };
        format!("group.rights {verb} {:?}{}", self.group, rules_shown(&self.folders))
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let auth = &cx.installation.auth;
        if self.give {
            let lower = self.group.to_lowercase();
            let own = auth.users()?.into_iter().find(|user| user.name == cx.caller.who);
            if own.is_some_and(|user| user.groups.iter().any(|group| group.to_lowercase() == lower)) {
                not_to_oneself(cx, &cx.caller.who)?;
            }
            for right in &self.folders {
                Right::new(&right.folder, right.level)?;
            }
        }
        let mut rights = Vec::new();
        for right in &self.folders {
            if self.give {
                warn_of_folder(cx, &right.folder);
            }
            rights = auth.set_group_right(&self.group, &right.folder, self.give.then_some(right.level))?;
        }
        cx.row(&GroupRow { group: self.group.clone(), rights, users: Vec::new() })?;
        Ok(Outcome::DONE)
    }
}

/// Whether administrators may read others' archives.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessShow {}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct AccessRow {
    open: bool,
    open_until: Option<i64>,
    reason: String,
}

fn access_row(cx: &Context<'_>) -> Result<Outcome, Failure> {
    let access = cx.installation.auth.archive_access()?;
    let open = access.is_open(now());
    let open_until = access.open_until.filter(|_| open);
    cx.row(&AccessRow { open, open_until, reason: if open { access.reason } else { String::new() } })?;
    Ok(Outcome::DONE)
}

impl Act for AccessShow {
    fn needs(&self) -> Needs {
        Needs::one_of(&[Privilege::Admin, Privilege::Auditor])
    }
    fn audit(&self) -> String {
        "access.show".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        access_row(cx)
    }
}

/// Opens archive access for some time, or blocks it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessSet {
    /// None: it is blocked.
    pub(crate) open: Option<Open>,
}

/// For how long, and why.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Open {
    pub(crate) minutes: u32,
    pub(crate) reason: String,
}

impl Act for AccessSet {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        match &self.open {
            None => "access.set blocked".into(),
            Some(open) => format!("access.set open for {} minutes: {:?}", open.minutes, open.reason),
        }
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let access = match &self.open {
            None => ArchiveAccess::default(),
            Some(Open { minutes, reason }) => {
                if *minutes == 0 || *minutes > MAX_ACCESS_HOURS * 60 {
                    return Err(Failure::usage(format!(
                        "archive access is opened for 1 minute to {MAX_ACCESS_HOURS} hours"
                    )));
                }
                if reason.trim().is_empty() || reason.len() > MAX_REASON_BYTES {
                    return Err(Failure::usage(format!("a reason has 1 to {MAX_REASON_BYTES} bytes")));
                }
                ArchiveAccess { open_until: Some(now() + i64::from(*minutes) * 60), reason: reason.clone() }
            }
        };
        cx.installation.auth.set_archive_access(&access)?;
        access_row(cx)
    }
}
