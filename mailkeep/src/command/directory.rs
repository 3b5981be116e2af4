//! `directory.*`: where users come from. The password of the bind DN comes in with `set` and never goes out.

use super::{Act, Context, Failure, Kind, Needs, Outcome, Secret};
use crate::cli::directory::Flags;
use auth::directory::{Ask, Directory};
use serde::{Deserialize, Serialize};

/// Keeps or changes the settings.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DirectorySet {
    /// In the place of those that are there.
    pub(crate) directory: Option<Box<Directory>>,
    /// What is changed then.
    pub(crate) flags: Box<Flags>,
    pub(crate) password: Option<Secret>,
}

impl Act for DirectorySet {
    fn needs(&self) -> Needs {
        // It names files of the server (its CA), and says who is trusted.
        Needs::admin().near(true)
    }
    fn audit(&self) -> String {
        let password = if self.password.is_some() { " with a password" } else { "" };
        let from = if self.directory.is_some() { " from a file" } else { "" };
        format!("directory.set{from}{password}: {}", self.flags.words())
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let auth = &cx.installation.auth;
        let mut directory = match &self.directory {
            Some(directory) => Directory::clone(directory),
            None => auth.directory()?.map(|(directory, _)| directory).unwrap_or_default(),
        };
        self.flags.apply(&mut directory);
        auth.set_directory(&directory, self.password.as_ref().map(|password| &password.0))?;
        Ok(Outcome::DONE)
    }
}

/// The settings.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DirectoryShow {}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShowRow {
    directory: Directory,
    has_password: bool,
    toml: String,
}

impl Act for DirectoryShow {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        "directory.show".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let (directory, has_password) = cx.installation.auth.directory()?.ok_or(auth::Error::NoDirectory)?;
        let toml = toml::to_string(&directory).map_err(anyhow::Error::from)?;
        cx.row(&ShowRow { directory, has_password, toml })?;
        Ok(Outcome::DONE)
    }
}

/// Tries the settings out.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DirectoryTest {
    /// Whose login is tried, with this password.
    pub(crate) login: Option<(String, Secret)>,
}

impl Act for DirectoryTest {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        let login = self.login.as_ref().map(|(name, _)| format!(" login {name:?}")).unwrap_or_default();
        format!("directory.test{login}")
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let login = self.login.as_ref().map(|(name, password)| (name.as_str(), &password.0));
        let steps = cx.installation.auth.test_directory(login)?;
        for step in &steps {
            cx.row(step)?;
        }
        Ok(Outcome { failed: steps.iter().any(|step| !step.ok) })
    }
}

/// Brings the users in line with the directory.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DirectorySync {
    /// Only say what would be done.
    pub(crate) dry_run: bool,
    /// More than half of the directory's users may go.
    pub(crate) accept_loss: bool,
}

impl Act for DirectorySync {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        let dry = if self.dry_run { " --dry-run" } else { "" };
        let loss = if self.accept_loss { " --accept-loss" } else { "" };
        format!("directory.sync{dry}{loss}")
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let ask = Ask { dry_run: self.dry_run, accept_loss: self.accept_loss };
        let synced = cx.installation.auth.synchronise(ask, &|| cx.cancel.is_set());
        if cx.cancel.is_set() {
            return Err(Failure::new(Kind::Cancelled, "cancelled; nothing was changed"));
        }
        let report = synced?;
        cx.note(report.words());
        for warning in &report.warnings {
            cx.warn(warning);
        }
        for row in &report.rows {
            cx.row(row)?;
        }
        Ok(Outcome::DONE)
    }
}

/// Forgets the settings.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DirectoryRemove {}

impl Act for DirectoryRemove {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        "directory.remove".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        cx.installation.auth.remove_directory()?;
        Ok(Outcome::DONE)
    }
}
