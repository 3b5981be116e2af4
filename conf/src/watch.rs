//! The sections `[auth]`, `[log]` and `[metrics]`: logins, and what the server tells of itself.

use crate::OAuth;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Logins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// Passwords that are checked at once, each with 19 MiB of memory; further logins wait.
    pub parallel_hashes: usize,
    /// So long a password that was right is known without checking it anew; 0: not at all.
    pub remember_secs: u64,
    /// Wrong passwords from one network, or of one account, that cost no delay.
    pub free_failures: u32,
    /// The longest delay; who would have to wait longer is refused.
    pub max_delay_secs: u64,
    /// An issuer of tokens.
    pub oauth: OAuth,
}

impl Default for Auth {
    fn default() -> Self {
        Auth {
            parallel_hashes: 4,
            remember_secs: 600,
            free_failures: 5,
            max_delay_secs: 20,
            oauth: OAuth::default(),
        }
    }
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,imapd=debug`.
    pub filter: String,
    /// Lines for people, or JSON.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Log { filter: "info".into(), format: LogFormat::Text }
    }
}

/// How the log's lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Metrics and health by HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Metrics {
    /// Listeners; none: it is off.
    pub listen: Vec<SocketAddr>,
    /// With less room than this where the current store lies, the server isn't ready.
    pub min_free_bytes: u64,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics { listen: Vec::new(), min_free_bytes: 1 << 30 }
    }
}
