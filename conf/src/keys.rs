//! The section `[keys]`: where the master key comes from.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The master key's source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// Which source; with `auto` the first that is there.
    pub from: KeySource,
    /// The key file; a relative path starts at DATA.
    pub file: PathBuf,
    /// A program with its arguments that prints the key file's text; no shell is involved.
    pub command: Vec<String>,
    /// Time that the program may take.
    pub command_timeout_secs: u64,
}

/// Where the master key comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeySource {
    /// The first that is there of: environment, credential, command, file.
    #[default]
    Auto,
    /// The environment variable `MAILKEEP_MASTER_KEY`.
    Environment,
    /// systemd's credential `mailkeep-master-key`.
    Credential,
    /// What a program prints.
    Command,
    /// The key file.
    File,
}

impl KeySource {
    /// Its name in the configuration file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            KeySource::Auto => "auto",
            KeySource::Environment => "environment",
            KeySource::Credential => "credential",
            KeySource::Command => "command",
            KeySource::File => "file",
        }
    }
}

impl Default for Keys {
    fn default() -> Self {
        Keys {
            from: KeySource::Auto,
            file: "keys/master.key".into(),
            command: Vec::new(),
            command_timeout_secs: 30,
        }
    }
}
