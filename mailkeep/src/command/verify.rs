//! `verify.run` and `verify.last`: everything is read again and compared. Damages come as rows while they are found; the last
//! row is the account.

use super::{Act, Context, Failure, Needs, Outcome, Progress, Unit};
use serde::{Deserialize, Serialize};
use std::time::Instant;
use storage::{Damage, Slice, VerifyOptions};

/// Reads everything, or a slice of it, again.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Verify {
    /// Only this store, by number or name.
    #[serde(default)]
    pub(crate) store: Option<String>,
    /// The n-th of t slices.
    #[serde(default)]
    pub(crate) sample: Option<(u32, u32)>,
    /// Goes on with the run that was broken off.
    #[serde(default)]
    pub(crate) resume: bool,
}

/// A damage, as a row.
#[derive(Debug, Serialize)]
struct DamageRow<'a> {
    damage: &'a Damage,
}

impl Act for Verify {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        let store = self.store.as_ref().map(|store| format!(" {store:?}")).unwrap_or_default();
        let sample = self.sample.map(|(part, of)| format!(" --sample {part}/{of}")).unwrap_or_default();
        let resume = if self.resume { " --resume" } else { "" };
        format!("verify.run{store}{sample}{resume}")
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let slice = match self.sample {
            None => Slice::ALL,
            Some((part, of)) => Slice::new(part, of)
                .ok_or_else(|| Failure::usage("a slice is n/t with 1 <= n <= t <= 1000, such as 3/30"))?,
        };
        let options = VerifyOptions { store: self.store.clone(), slice, resume: self.resume, threads: 0 };
        let (begun, mut failed) = (Instant::now(), None);
        let mut progress = |p: storage::VerifyProgress| {
            let rate = p.messages as f64 / begun.elapsed().as_secs_f64().max(0.001);
            let text = format!("store {}, {} messages, {rate:.0}/s", p.store, p.messages);
            cx.progress(Progress { done: p.done, total: Some(p.total), unit: Unit::Bytes, text });
        };
        let mut found = |damage: &Damage| {
            if let Err(error) = cx.row(&DamageRow { damage }) {
                cx.cancel.set();
                failed.get_or_insert(error);
            }
        };
        let report = cx.installation.storage.verify(&options, &cx.cancel, &mut progress, &mut found);
        match (report, failed) {
            (Ok(report), _) => {
                cx.row(&report)?;
                Ok(Outcome { failed: report.damaged > 0 })
            }
            (Err(storage::Error::Cancelled), Some(gone)) => Err(gone),
            (Err(storage::Error::Cancelled), None) => Err(Failure::new(
                super::Kind::Cancelled,
                "cancelled; `mailkeep verify --resume` goes on from here",
            )),
            (Err(error), _) => Err(error.into()),
        }
    }
}

/// What the last run found.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerifyLast {}

impl Act for VerifyLast {
    fn needs(&self) -> Needs {
        Needs::admin()
    }
    fn audit(&self) -> String {
        "verify.last".into()
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        let Some((report, damage)) = cx.installation.storage.last_verify()? else {
            let never = "nothing was verified yet, or not to its end; mailkeep verify";
            return Err(Failure::new(super::Kind::Failed, never));
        };
        for damage in &damage {
            cx.row(&DamageRow { damage })?;
        }
        cx.row(&report)?;
        Ok(Outcome { failed: report.damaged > 0 })
    }
}
