//! Which entries are wanted.

use super::{AuditEntry, AuditKind};
use serde::{Deserialize, Serialize};

/// Which entries are wanted; what is not set wants all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AuditFilter {
    /// From this second on (since 1970, UTC).
    pub since: Option<i64>,
    /// Before this second.
    pub until: Option<i64>,
    /// Exactly this name.
    pub who: Option<String>,
    /// One of these kinds; empty: all.
    pub kinds: Vec<AuditKind>,
    /// About this archive, or a folder in it.
    pub archive: Option<String>,
    /// What went well, or what didn't.
    pub ok: Option<bool>,
}

impl AuditFilter {
    /// Whether an entry is wanted.
    #[must_use]
    pub fn wants(&self, entry: &AuditEntry) -> bool {
        let AuditFilter { since, until, who, kinds, archive, ok } = self;
        let about = |archive: &str| {
            entry.object.split(", ").any(|object| {
                object.strip_prefix(archive).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        since.is_none_or(|since| entry.when >= since)
            && until.is_none_or(|until| entry.when < until)
            && who.as_ref().is_none_or(|who| *who == entry.who)
            && (kinds.is_empty() || kinds.contains(&entry.kind))
            && archive.as_deref().is_none_or(about)
            && ok.is_none_or(|ok| ok == entry.is_ok())
    }
}

impl AuditEntry {
    /// Whether it went well.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.result == "ok" || self.result.starts_with("ok:")
    }
}
