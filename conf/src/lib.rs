//! The typed configuration: `mailkeep.toml`, its defaults, and every limit of the program as a field.
//!
//! Invariant: an empty file is the documented configuration; an unknown key, a wrong type or a value outside its
//! range is an error with its place, never ignored. Knows nothing of the other crates: the program hands the values on.

mod attachments;
mod audit;
mod check;
mod error;
mod evidence;
mod imap;
mod keys;
mod network;
mod oauth;
mod schedule;
mod storage;
mod template;
mod watch;

pub use attachments::{Attachments, TYPES};
pub use audit::{Audit, Logins};
pub use error::Error;
pub use evidence::Evidence;
pub use imap::Imap;
pub use keys::{KeySource, Keys};
pub use network::Network;
pub use oauth::{Algorithm, OAuth, UserIs};
pub use schedule::{Notify, Schedule};
pub use storage::{Limits, Search, Storage};
pub use template::TEMPLATE;
pub use watch::{Auth, Log, LogFormat, Metrics};

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Largest configuration file, bytes.
pub const MAX_FILE_BYTES: u64 = 1 << 20;

/// The whole configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Conf {
    /// The IMAP server.
    pub imap: Imap,
    /// Certificate and key.
    pub tls: Tls,
    /// Where the master key comes from.
    pub keys: Keys,
    /// Where and how mail is kept.
    pub storage: Storage,
    /// Search and its index.
    pub search: Search,
    /// The text of attachments.
    pub attachments: Attachments,
    /// What a single message may be.
    pub limits: Limits,
    /// Where heads of the evidence go.
    pub evidence: Evidence,
    /// Logins.
    pub auth: Auth,
    /// Which logins the audit log has.
    pub audit: Audit,
    /// The socket of the command line.
    pub control: Control,
    /// What the server verifies by itself.
    pub verify: Verify,
    /// What runs by itself.
    pub schedule: Schedule,
    /// Who is told when that fails.
    pub notify: Notify,
    /// Metrics and health.
    pub metrics: Metrics,
    /// The log.
    pub log: Log,
}

/// Certificate and key of TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Certificate chain, PEM; a relative path starts at DATA.
    pub certificate: PathBuf,
    /// Private key, PEM; a relative path starts at DATA.
    pub key: PathBuf,
}

impl Default for Tls {
    fn default() -> Self {
        Tls { certificate: "tls/cert.pem".into(), key: "tls/key.pem".into() }
    }
}

/// The socket of the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Control {
    /// Longest request, bytes.
    pub max_request_bytes: usize,
    /// Connections at once.
    pub max_connections: usize,
    /// A second socket, for everybody on the machine, who all must log in; a relative path starts at DATA. Empty: there is none.
    pub users_socket: PathBuf,
}

impl Default for Control {
    fn default() -> Self {
        Control { max_request_bytes: 64 << 10, max_connections: 64, users_socket: PathBuf::new() }
    }
}

/// What the server verifies by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Verify {
    /// Hours between two slices; 0: none.
    pub every_hours: u32,
    /// Slices that everything is read in.
    pub slices: u32,
}

impl Default for Verify {
    fn default() -> Self {
        Verify { every_hours: 0, slices: 30 }
    }
}

impl Conf {
    /// Reads a configuration file.
    /// # Errors
    /// `Read`, or as [`Conf::parse`].
    pub fn load(path: &Path) -> Result<Conf, Error> {
        let read = |source| Error::Read { path: path.to_owned(), source };
        let bytes = std::fs::metadata(path).map_err(read)?.len();
        if bytes > MAX_FILE_BYTES {
            return Err(Error::Large { path: path.to_owned(), bytes, limit: MAX_FILE_BYTES });
        }
        Conf::parse(&std::fs::read_to_string(path).map_err(read)?, path)
    }

    /// Reads a configuration from its text; `path` is only for the errors' words.
    /// # Errors
    /// `Syntax` with line and column, `Range` and `Value` with the key.
    pub fn parse(text: &str, path: &Path) -> Result<Conf, Error> {
        let conf: Conf = toml::from_str(text).map_err(|e| Error::syntax(path, text, &e))?;
        conf.check(path)?;
        Ok(conf)
    }
}

#[cfg(test)]
mod tests;
