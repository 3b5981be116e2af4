//! `profile.*`: archiving jobs that are kept. The row of a run is its account.
//!
//! Passwords come in with `create`, `edit` and `import`, and go out by `export` with secrets alone; no audit line has one.

use super::{Act, Context, Failure, Kind, Needs, Outcome, Progress, Secret, Unit};
use crate::cli::profile::Flags;
use archiver::profile::text::{Whole, export};
use archiver::profile::{Ask, Profile};
use archiver::remote::access;
use archiver::{Run, State};
use auth::{Deed, Privilege};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use zeroize::Zeroizing;

/// Largest file of profiles, bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Who has one of these sees profiles.
const PROFILES: [Privilege; 2] = [Privilege::ModifyArchiveProfiles, Privilege::Archive];

/// Whether a profile's mail goes where users, or headers, say.
pub(super) fn has_many_targets(profile: &Profile) -> bool {
    profile.kind.has_many_targets() || profile.multidrop.is_some()
}

/// Whether the caller has to do with a profile: administrators with all, others with what archives into one folder that they may
/// write.
pub(super) fn is_theirs(cx: &Context<'_>, profile: &Profile) -> bool {
    let single = profile.into.as_deref().filter(|_| !has_many_targets(profile));
    cx.is_admin() || single.is_some_and(|into| cx.may(Deed::Write(into)))
}

/// A profile that the caller has to do with; others aren't there.
fn theirs(cx: &Context<'_>, name: &str) -> Result<Profile, Failure> {
    let profile = cx.installation.archiver.profiles().get(name)?;
    match is_theirs(cx, &profile) {
        true => Ok(profile),
        false => Err(archiver::Error::UnknownProfile(name.to_owned()).into()),
    }
}

/// What somebody may keep who is no administrator.
fn may_keep(cx: &Context<'_>, profile: &Profile) -> Result<(), Failure> {
    if is_theirs(cx, profile) {
        return Ok(());
    }
    let what = "your profiles archive into one folder each, in which you have the right `write` (--into)";
    Err(Failure::new(Kind::Denied, what))
}

fn whole(profile: Profile, secret: Option<&Secret>) -> Whole {
    Whole { profile, secret: secret.map(|secret| access::Secret::new(secret.0.to_string())) }
}

/// Keeps a new profile.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileCreate {
    pub(crate) profile: Box<Profile>,
    pub(crate) secret: Option<Secret>,
}

impl Act for ProfileCreate {
    fn needs(&self) -> Needs {
        Needs::privilege(Privilege::ModifyArchiveProfiles).near(self.profile.path.is_some())
    }
    fn audit(&self) -> String {
        format!("profile.create {:?} kind {}", self.profile.name, self.profile.kind.word())
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        may_keep(cx, &self.profile)?;
        known_archive(cx, &self.profile)?;
        cx.installation
            .archiver
            .profiles()
            .create(&whole(Profile::clone(&self.profile), self.secret.as_ref()))?;
        Ok(Outcome::DONE)
    }
}

/// A mistyped name would put mail where nobody sees it.
fn known_archive(cx: &Context<'_>, profile: &Profile) -> Result<(), Failure> {
    let into = profile.into.as_deref().filter(|_| !profile.kind.has_many_targets());
    let catch_all = profile.multidrop.as_ref().and_then(|rules| rules.catch_all.as_deref());
    for path in into.into_iter().chain(catch_all) {
        super::mail::archive_of(cx, path.split('/').next().unwrap_or(path))?;
    }
    Ok(())
}

/// Changes a profile.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileEdit {
    pub(crate) name: String,
    /// In its place.
    pub(crate) profile: Option<Box<Profile>>,
    /// What is changed then.
    pub(crate) flags: Box<Flags>,
    pub(crate) secret: Option<Secret>,
}

impl Act for ProfileEdit {
    fn needs(&self) -> Needs {
        let path = self.profile.as_ref().is_some_and(|profile| profile.path.is_some());
        Needs::privilege(Privilege::ModifyArchiveProfiles).near(path || self.flags.path.is_some())
    }
    fn audit(&self) -> String {
        let secret = if self.secret.is_some() { " with a password" } else { "" };
        format!("profile.edit {:?}{secret}", self.name)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let profiles = cx.installation.archiver.profiles();
        let before = theirs(cx, &self.name)?;
        let mut profile = match &self.profile {
            Some(profile) => Profile { name: self.name.clone(), ..Profile::clone(profile) },
            None => before,
        };
        self.flags.apply(&mut profile);
        may_keep(cx, &profile)?;
        known_archive(cx, &profile)?;
        profiles.replace(&whole(profile, self.secret.as_ref()))?;
        Ok(Outcome::DONE)
    }
}

/// All profiles.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileList {}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ListRow {
    name: String,
    kind: &'static str,
    source: String,
    into: Option<String>,
    schedule: Option<String>,
    last_run: Option<u64>,
    last_state: Option<State>,
    last_started: Option<i64>,
}

impl Act for ProfileList {
    fn needs(&self) -> Needs {
        Needs::one_of(&PROFILES)
    }
    fn audit(&self) -> String {
        "profile.list".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let archiver = &cx.installation.archiver;
        for profile in archiver.profiles().all()?.into_iter().filter(|profile| is_theirs(cx, profile)) {
            let last = archiver.last_run_of(&profile.name)?;
            let last = last.as_ref();
            let server = profile.server.as_ref();
            let source = match (server, &profile.path) {
                (Some(server), _) => match &server.user {
                    Some(user) => format!("{user} at {}", server.host),
                    None => server.host.clone(),
                },
                (None, path) => path.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
            };
            cx.row(&ListRow {
                name: profile.name.clone(),
                kind: profile.kind.word(),
                source,
                into: profile.into.clone(),
                schedule: profile.schedule.as_ref().map(archiver::schedule::Timing::words),
                last_run: last.map(|run| run.id),
                last_state: last.map(|run| run.state),
                last_started: last.map(|run| run.started),
            })?;
        }
        Ok(Outcome::DONE)
    }
}

/// One profile.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileShow {
    pub(crate) name: String,
}

#[derive(Debug, Serialize)]
struct ShowRow {
    profile: Profile,
    #[serde(rename = "hasPassword")]
    has_password: bool,
    toml: String,
}

impl Act for ProfileShow {
    fn needs(&self) -> Needs {
        Needs::one_of(&PROFILES)
    }
    fn audit(&self) -> String {
        format!("profile.show {:?}", self.name)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let profiles = cx.installation.archiver.profiles();
        let profile = theirs(cx, &self.name)?;
        let has_password = profiles.has_secret(&self.name)?;
        let toml = whole(profile.clone(), None).text()?.to_string();
        cx.row(&ShowRow { profile, has_password, toml })?;
        Ok(Outcome::DONE)
    }
}

/// Tries a profile.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileTest {
    pub(crate) name: String,
}

impl Act for ProfileTest {
    fn needs(&self) -> Needs {
        Needs::privilege(Privilege::ModifyArchiveProfiles)
    }
    fn audit(&self) -> String {
        format!("profile.test {:?}", self.name)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        theirs(cx, &self.name)?;
        let mut gone = None;
        let mut row = |tested: &archiver::profile::Tested| {
            if let Err(failure) = cx.row(tested) {
                cx.cancel.set();
                gone.get_or_insert(failure);
            }
        };
        let installation = cx.installation;
        let well =
            installation.archiver.test_profile(&installation.auth, &self.name, &mut row, &cx.cancel)?;
        match gone {
            Some(failure) => Err(failure),
            None => Ok(Outcome { failed: !well }),
        }
    }
}

/// Runs a profile.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileRun {
    pub(crate) name: String,
    /// Deletes nothing at the source, only lists.
    #[serde(default)]
    pub(crate) dry_run: bool,
}

impl Act for ProfileRun {
    fn needs(&self) -> Needs {
        Needs::privilege(Privilege::Archive)
    }
    fn audit(&self) -> String {
        let dry = if self.dry_run { " --dry-run" } else { "" };
        format!("profile.run {:?}{dry}", self.name)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        theirs(cx, &self.name)?;
        let installation = cx.installation;
        let job = installation.jobs.begin(
            format!("profile {}", self.name),
            cx.caller.who.clone(),
            cx.cancel.clone(),
        );
        let ask = Ask { name: self.name.clone(), who: cx.caller.who.clone(), dry_run: self.dry_run };
        let progress = |p: &archiver::Progress| {
            job.at(p);
            told(cx, p);
        };
        let warn = |text: &str| cx.warn(text);
        let run =
            installation.archiver.run_profile(&installation.auth, &ask, &progress, &warn, &cx.cancel)?;
        finished(cx, &run)
    }
}

/// Shows a run's progress.
pub(super) fn told(cx: &Context<'_>, p: &archiver::Progress) {
    let text = format!("{} messages, {}", p.sums.seen, p.at);
    cx.progress(Progress { done: p.done_bytes, total: p.total_bytes, unit: Unit::Bytes, text });
}

/// A run's account as the last row, and whether all was well.
pub(super) fn finished(cx: &Context<'_>, run: &Run) -> Result<Outcome, Failure> {
    let done = run.state == State::Succeeded && run.sums.failed == 0;
    // A cancelled run has an account as well, and its reader may still be there.
    cx.last_row(&super::runs::Shown::of(run))?;
    Ok(Outcome { failed: !done })
}

/// Forgets a profile.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileDelete {
    pub(crate) name: String,
}

impl Act for ProfileDelete {
    fn needs(&self) -> Needs {
        Needs::privilege(Privilege::ModifyArchiveProfiles)
    }
    fn audit(&self) -> String {
        format!("profile.delete {:?}", self.name)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        theirs(cx, &self.name)?;
        cx.installation.archiver.profiles().delete(&self.name)?;
        Ok(Outcome::DONE)
    }
}

/// Prints profiles.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileExport {
    /// Empty: all.
    pub(crate) names: Vec<String>,
    /// With their passwords.
    pub(crate) secrets: bool,
}

impl Act for ProfileExport {
    fn needs(&self) -> Needs {
        match self.secrets {
            true => Needs::admin().near(true),
            false => Needs::privilege(Privilege::ModifyArchiveProfiles),
        }
    }
    fn audit(&self) -> String {
        let secrets = if self.secrets { " with passwords" } else { "" };
        format!("profile.export {:?}{secrets}", self.names)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let profiles = cx.installation.archiver.profiles();
        let wanted: Vec<Profile> = match self.names.as_slice() {
            [] => profiles.all()?.into_iter().filter(|profile| is_theirs(cx, profile)).collect(),
            names => names.iter().map(|name| theirs(cx, name)).collect::<Result<_, Failure>>()?,
        };
        let mut all = Vec::new();
        for profile in wanted {
            let secret = if self.secrets { profiles.secret(&profile.name)? } else { None };
            all.push(Whole { profile, secret });
        }
        let mut out = cx.bytes();
        let text = export(&all)?;
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(anyhow::Error::from)?;
        Ok(Outcome::DONE)
    }
}

/// Keeps profiles of a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileImport {
    /// Absolute: the server runs in a directory of its own.
    pub(crate) file: PathBuf,
    /// In the place of those of the same name.
    pub(crate) replace: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ImportRow {
    name: String,
    kind: &'static str,
    /// What is still to be done.
    needs_password: bool,
}

impl Act for ProfileImport {
    fn needs(&self) -> Needs {
        Needs::privilege(Privilege::ModifyArchiveProfiles).near(true)
    }
    fn audit(&self) -> String {
        let replace = if self.replace { " --replace" } else { "" };
        format!("profile.import {:?}{replace}", self.file)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let told = |what: String| Failure::new(Kind::Failed, format!("{}: {what}", self.file.display()));
        if !self.file.is_absolute() {
            return Err(Failure::usage(format!("{}: the path must be absolute", self.file.display())));
        }
        let file = File::open(&self.file).map_err(|error| told(error.to_string()))?;
        let mut text = Zeroizing::new(String::new());
        file.take(MAX_FILE_BYTES + 1).read_to_string(&mut text).map_err(|error| told(error.to_string()))?;
        if text.len() as u64 > MAX_FILE_BYTES {
            return Err(told(format!("more than {MAX_FILE_BYTES} bytes")));
        }
        let profiles = cx.installation.archiver.profiles();
        for whole in Whole::parse_all(&text)? {
            let name = &whole.profile.name;
            may_keep(cx, &whole.profile)?;
            match profiles.get(name) {
                Ok(_) if self.replace => {
                    theirs(cx, name)?;
                    profiles.replace(&whole)?;
                }
                Ok(_) | Err(archiver::Error::UnknownProfile(_)) => profiles.create(&whole)?,
                Err(error) => return Err(error.into()),
            }
            let needs_password = whole.profile.needs_secret() && !profiles.has_secret(name)?;
            cx.row(&ImportRow { name: name.clone(), kind: whole.profile.kind.word(), needs_password })?;
        }
        Ok(Outcome::DONE)
    }
}
