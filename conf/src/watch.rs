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
    /// Fewest characters of a new password.
    pub min_password_chars: usize,
    /// Refuse new passwords that are tried first, and such as are little more than the user's own names.
    pub refuse_common_passwords: bool,
    /// argon2id: memory for one password. Hashes made otherwise are renewed at the next login.
    pub hash_memory_kib: u32,
    /// argon2id: passes over that memory.
    pub hash_passes: u32,
    /// argon2id: lanes.
    pub hash_lanes: u32,
    /// Iterations of SCRAM-SHA-256's verifiers; 0: SCRAM is not offered.
    pub scram_iterations: u32,
    /// Networks from which logins over the network are taken; none: from all.
    pub allow_from: Vec<crate::Network>,
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
            min_password_chars: 8,
            refuse_common_passwords: true,
            hash_memory_kib: 19_456,
            hash_passes: 2,
            hash_lanes: 1,
            scram_iterations: 10_000,
            allow_from: Vec::new(),
            oauth: OAuth::default(),
        }
    }
}

impl Auth {
    /// What no range says: the key, and what is wrong.
    pub(crate) fn nonsense(&self) -> Option<(&'static str, String)> {
        // RFC 7677 §4.
        let few = (1..4_096).contains(&self.scram_iterations);
        let words = "SCRAM takes at least 4096 iterations; 0 turns it off".to_owned();
        few.then_some(("auth.scram_iterations", words))
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
