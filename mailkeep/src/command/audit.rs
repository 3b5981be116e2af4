//! `audit.list`: who did what, newest last.

use super::{Act, Context, Failure, Needs, Outcome};
use auth::Privilege;
use serde::{Deserialize, Serialize};

/// The newest entries.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditLog {
    pub(crate) last: u32,
}

/// The most entries that are shown at once.
pub(crate) const MOST: u32 = 100_000;

impl Act for AuditLog {
    fn needs(&self) -> Needs {
        Needs::one_of(&[Privilege::Admin, Privilege::Auditor])
    }
    fn audit(&self) -> String {
        format!("audit.list {}", self.last)
    }
    fn run(&self, cx: &Context<'_>) -> Result<Outcome, Failure> {
        if self.last > MOST {
            return Err(Failure::usage(format!("at most {MOST} entries are shown at once")));
        }
        for entry in cx.installation.auth.audit_log(usize::try_from(self.last).unwrap_or(usize::MAX))? {
            cx.row(&entry)?;
        }
        Ok(Outcome::DONE)
    }
}
