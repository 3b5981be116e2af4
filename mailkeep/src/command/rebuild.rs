//! `store.rebuild`: databases made again from the packs. With a server up it does so while others read; without, also when
//! nothing else of DATA can be opened any more.
//!
//! Invariant: packs and master key are enough. Left to others: what is taken from the packs (`storage`).

use super::{Act, Caller, Context, Event, Failure, Needs, Outcome, Progress, Unit};
use crate::data::Data;
use crate::{init, password, settings};
use anyhow::Context as _;
use conf::Conf;
use serde::{Deserialize, Serialize};
use std::fs::File;
use storage::{Cancel, RebuildReport, Storage};
use tokio::sync::mpsc::Sender;

/// Makes databases again.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StoreRebuild {
    /// Only this store, by number or name.
    pub(crate) store: Option<String>,
    /// What the packs have lost is given up, though the database still knows it.
    pub(crate) accept_loss: bool,
    /// Makes master.redb anew, too, when it is lost.
    pub(crate) new_master: bool,
}

#[derive(Debug, Serialize)]
struct Note<'a> {
    note: &'a str,
}

impl Act for StoreRebuild {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        let loss = if self.accept_loss { " --accept-loss" } else { "" };
        format!("store.rebuild {:?}{loss}", self.store.as_deref().unwrap_or("all"))
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let storage: &Storage = &cx.installation.storage;
        let mut progress = |store: &str, done, total| cx.progress(step(store, done, total));
        let report =
            storage.rebuild_stores(self.store.as_deref(), self.accept_loss, &cx.cancel, &mut progress)?;
        tell(&report, &mut |row| cx.row(&row))
    }
}

fn step(store: &str, done: u64, total: u64) -> Progress {
    Progress { done, total: Some(total), unit: Unit::Bytes, text: format!("store {store}") }
}

/// Gives the report's rows.
fn tell(
    report: &RebuildReport,
    row: &mut dyn FnMut(serde_json::Value) -> Result<(), Failure>,
) -> Result<Outcome, Failure> {
    let json = |error: serde_json::Error| Failure::from(anyhow::Error::from(error));
    for note in &report.notes {
        row(serde_json::to_value(Note { note }).map_err(json)?)?;
    }
    let mut failed = false;
    for store in &report.stores {
        failed |= store.kept.is_some() || !store.lost.is_empty();
        row(serde_json::to_value(store).map_err(json)?)?;
    }
    Ok(Outcome { failed })
}

impl StoreRebuild {
    /// Does it with nothing of DATA open; whoever calls has the lock.
    pub(crate) fn offline(
        &self,
        data: &Data,
        _lock: &File,
        conf: &Conf,
        cancel: &Cancel,
        events: &Sender<Event>,
    ) -> Result<Event, Failure> {
        data.is_mine()?;
        let (_, key) = data.master_key(conf)?;
        let mut progress = |store: &str, done, total| {
            // Only the newest matters; one that nobody takes is dropped.
            events.try_send(Event::Progress(step(store, done, total))).ok();
        };
        let (limits, only) = (settings::limits(conf), self.store.as_deref());
        let mut report =
            storage::rebuild(data.root(), &key, &limits, only, self.accept_loss, cancel, &mut progress)?;
        let lost = !data.master_file().exists();
        match (lost, self.new_master) {
            (true, true) => {
                let secret = password::random()?;
                init::make_master(data, &secret)?;
                report.notes.push(format!(
                    "master.redb was made anew: users, rights and runs must be set up again. Administrator admin, password \
                     {} (shown this once)",
                    secret.as_str()
                ));
            }
            (true, false) => report.notes.push(
                "master.redb (users, rights, runs) is missing: put it back from a backup, or make a new one: \
                 mailkeep store rebuild --new-master"
                    .into(),
            ),
            (false, true) => report.notes.push("master.redb is there and was left as it is".into()),
            (false, false) => {}
        }
        let end = tell(&report, &mut |row| {
            let gone = |_| Failure::new(super::Kind::Cancelled, "nobody reads the answer");
            events.blocking_send(Event::Row(row)).map_err(gone)
        });
        if !lost || self.new_master {
            let caller = Caller::local(rustix::process::geteuid().as_raw(), "in-process");
            let result = match &end {
                Ok(Outcome { failed: false }) => "ok",
                _ => "ended with failures",
            };
            // The stores come first: a damaged master.redb must not keep them away.
            let audit = data.auth(conf).and_then(|auth| {
                auth.audit(&caller.who, &caller.from, &self.audit(), result).context("audit log")
            });
            if let Err(error) = audit {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the rebuild could not be noted in the audit log"
                );
            }
        }
        end.map(Event::End)
    }
}
