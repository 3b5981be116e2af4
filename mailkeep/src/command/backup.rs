//! `backup.make`: everything that can't be made again, copied while the archive is in use. Its row is the account.

use super::{Act, Context, Failure, Needs, Outcome, Progress, Unit};
use crate::backup::{self, Wanted};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Brings a backup up to date.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Backup {
    /// Absolute: the server runs in a directory of its own.
    pub(crate) dir: PathBuf,
    pub(crate) with_key: bool,
    pub(crate) verify_all: bool,
}

/// What was done.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) dir: String,
    pub(crate) number: u64,
    /// Seconds since 1970.
    pub(crate) made: i64,
    pub(crate) with_key: bool,
    pub(crate) key_id: String,
    pub(crate) files: u64,
    /// Bytes of the whole backup.
    pub(crate) bytes: u64,
    /// Bytes that were written this time.
    pub(crate) written: u64,
    pub(crate) stores: Vec<Store>,
    /// Copies that were damaged and have been made again.
    pub(crate) mended: Vec<String>,
    pub(crate) damage: Vec<String>,
}

/// One store.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Store {
    pub(crate) store: String,
    pub(crate) name: String,
    pub(crate) messages: u64,
    /// Seconds since 1970.
    pub(crate) copied: i64,
    /// Why it is older than the rest.
    pub(crate) trouble: Option<String>,
}

impl Report {
    /// A backup's list, as it is shown.
    pub(crate) fn of(dir: String, list: &backup::Manifest, written: u64) -> Report {
        let stores = list.stores.iter().map(|store| Store {
            store: store.number.clone(),
            name: store.name.clone(),
            messages: store.messages,
            copied: store.copied,
            trouble: store.trouble.clone(),
        });
        Report {
            dir,
            number: list.number,
            made: list.made,
            with_key: list.with_key,
            key_id: list.key_id.clone(),
            files: list.files.len() as u64,
            bytes: list.bytes(),
            written,
            stores: stores.collect(),
            mended: Vec::new(),
            damage: Vec::new(),
        }
    }
}

impl Act for Backup {
    fn needs(&self) -> Needs {
        Needs::admin().near(true)
    }
    fn audit(&self) -> String {
        let key = if self.with_key { " with the keys" } else { "" };
        format!("backup.make {:?}{key}", self.dir)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        if !self.dir.is_absolute() {
            return Err(Failure::usage(format!("{}: the path must be absolute", self.dir.display())));
        }
        let wanted = Wanted { with_key: self.with_key, verify_all: self.verify_all };
        let mut progress = |done, total, file: &str| {
            cx.progress(Progress { done, total: Some(total), unit: Unit::Bytes, text: file.to_owned() });
        };
        let made = backup::run(cx.installation, &self.dir, wanted, &cx.cancel, &mut progress)?;
        let failed =
            !made.damage.is_empty() || made.manifest.stores.iter().any(|store| store.trouble.is_some());
        let report = Report::of(self.dir.display().to_string(), &made.manifest, made.written);
        cx.last_row(&Report { mended: made.mended, damage: made.damage, ..report })?;
        Ok(Outcome { failed })
    }
}
