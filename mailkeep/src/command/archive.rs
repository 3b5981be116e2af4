//! `archive.files`: mail from files into a folder. Its row is the run's account.

use super::mail::archive_of;
use super::{Act, Context, Failure, Needs, Outcome};
use archiver::{FileJob, Format};
use auth::{Level, Privilege};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use storage::FolderPath;

/// Archives a file or a directory.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Archive {
    /// Absolute: the server runs in a directory of its own.
    pub(crate) path: PathBuf,
    pub(crate) into: String,
    pub(crate) format: Option<Format>,
    /// Messages that were deleted from the archive are archived again.
    #[serde(default)]
    pub(crate) deleted_too: bool,
}

impl Act for Archive {
    fn needs(&self) -> Needs {
        Needs::privilege(Privilege::Archive).level(&self.into, Level::Write).near(true)
    }
    fn audit(&self) -> String {
        format!("archive.files {:?} into {:?}", self.path, self.into)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        if !self.path.is_absolute() {
            return Err(Failure::usage(format!("{}: the path must be absolute", self.path.display())));
        }
        let into = FolderPath::new(self.into.as_str()).map_err(Failure::usage)?;
        // A mistyped name would put mail where nobody sees it.
        archive_of(cx, into.archive())?;
        let job = FileJob {
            path: self.path.clone(),
            into,
            format: self.format,
            who: cx.caller.who.clone(),
            deleted_too: self.deleted_too,
        };
        super::runs::files(cx, &job)
    }
}
