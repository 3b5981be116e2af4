//! `key.*`: which master key is in use, a sheet of it, a new one. The key itself is in no row but the sheet's.

use super::{Act, Context, Failure, Needs, Outcome};
use crate::keys::rotate;
use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use storage::keys::sheet;

/// Which key, and where it comes from.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyShow {}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    key_id: String,
    from: &'static str,
    place: String,
}

impl Act for KeyShow {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        "key.show".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let key = cx.installation.key.lock();
        let (from, place) = (key.source.kind().name(), key.source.words());
        cx.row(&Shown { key_id: key.id.clone(), from, place })?;
        Ok(Outcome::DONE)
    }
}

/// A recovery sheet.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyExport {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Sheet<'a> {
    key_id: &'a str,
    made: String,
    sheet: &'a str,
}

impl Act for KeyExport {
    fn needs(&self) -> Needs {
        Needs::admin().near(true)
    }
    fn audit(&self) -> String {
        "key.export".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let in_use = cx.installation.key.lock();
        let key = in_use.source.load()?;
        if key.id() != in_use.id {
            return Err(Failure::from(anyhow::anyhow!(
                "{} holds another key now than the one in use (id {}); no sheet was made",
                in_use.source.words(),
                in_use.id
            )));
        }
        let made = time::OffsetDateTime::now_utc().date().to_string();
        let place = crate::output::clean(&cx.installation.data.root().display().to_string());
        let text = sheet::write(&key, &place, &made);
        cx.row(&Sheet { key_id: &in_use.id, made, sheet: &text })?;
        Ok(Outcome::DONE)
    }
}

/// A new master key.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyRotate {
    /// Absolute; the new key's file where the key comes from elsewhere.
    pub(crate) output: Option<PathBuf>,
}

/// What became of the stores.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    pub(crate) key_id: String,
    pub(crate) before: String,
    pub(crate) stores: u64,
    pub(crate) listed: u64,
    pub(crate) missing: Vec<Missing>,
    pub(crate) kept: Option<String>,
    pub(crate) to_place: Option<String>,
}

/// A store that only the key before opens.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Missing {
    pub(crate) store: String,
    pub(crate) why: String,
}

impl Act for KeyRotate {
    fn needs(&self) -> Needs {
        Needs::admin().near(true)
    }
    fn audit(&self) -> String {
        "key.rotate".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        if let Some(path) = self.output.as_ref().filter(|path| !path.is_absolute()) {
            return Err(Failure::usage(format!("{}: the path must be absolute", path.display())));
        }
        let done = rotate::run(cx.installation, self.output.as_deref()).context("key rotate")?;
        let missing: Vec<Missing> =
            done.stores.missing.into_iter().map(|(store, why)| Missing { store, why }).collect();
        let failed = !missing.is_empty();
        let shown = |path: Option<PathBuf>| path.map(|path| path.display().to_string());
        cx.last_row(&Report {
            key_id: done.key_id,
            before: done.before,
            stores: done.stores.written,
            listed: done.stores.listed,
            missing,
            kept: shown(done.kept),
            to_place: shown(done.to_place),
        })?;
        Ok(Outcome { failed })
    }
}
