//! The section `[audit]`: which logins the audit log has.

use serde::{Deserialize, Serialize};

/// Which logins the audit log has. Administrators' and auditors' always stand in it, as all that is done by commands does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Audit {
    /// Those that went well.
    pub logins: Logins,
    /// Those that were refused, up to 60 a minute; more are counted.
    pub refused_logins: bool,
}

impl Default for Audit {
    fn default() -> Self {
        Audit { logins: Logins::Daily, refused_logins: true }
    }
}

/// Which logins that went well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Logins {
    /// None.
    Off,
    /// A user's first of a day.
    Daily,
    /// All.
    All,
}
