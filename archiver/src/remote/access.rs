//! How a server is reached and who logs in there: plain values.
//!
//! Invariant: a secret is never shown by Debug, never serialised, and wiped when it is dropped. Left to others: connecting
//! (`connect`), and where secrets are kept.

pub use auth::trust::Trust;

use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use zeroize::Zeroizing;

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tls {
    /// Not at all.
    None,
    /// By the protocol's own command (RFC 9051 §6.2.1, RFC 2595); a server that doesn't offer it is refused.
    Starttls,
    /// From the first byte (RFC 8314).
    #[default]
    Implicit,
}

/// How the login is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mechanism {
    /// The strongest that the server offers and the login can use.
    #[default]
    Auto,
    /// RFC 4616, with an authorization identity if there is one.
    Plain,
    /// The server's own login command, or AUTHENTICATE LOGIN where that is disabled.
    Login,
    /// RFC 2195.
    CramMd5,
    /// RFC 7677.
    ScramSha256,
    /// RFC 5802.
    ScramSha1,
    /// An OAuth 2 access token as the secret.
    Xoauth2,
}

/// A server as a run reaches it: what a profile leaves open (port, silence) is decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the connection is protected.
    pub tls: Tls,
    /// Which certificates are believed.
    pub trust: Trust,
    /// How the login is proven.
    pub mechanism: Mechanism,
    /// How long a connection may take to come about, and a server to stay silent. Zero counts as a second.
    pub timeout: Duration,
}

/// A password or a token.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text; it is wiped with the last copy.
    #[must_use]
    pub fn new(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }
    /// The text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Who logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Whose secret it is (the authentication identity).
    pub user: String,
    /// Whose mailbox is opened with it (the authorization identity of RFC 4616); none: the user's own.
    pub authzid: Option<String>,
    /// Password or token.
    pub secret: Secret,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown() {
        let login = Login { user: "a".into(), authzid: None, secret: Secret::new("hunter2".into()) };
        assert!(!format!("{login:?}").contains("hunter2"));
        assert_eq!(login.secret.reveal(), "hunter2");
    }
}
