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

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Access {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How the connection is protected.
    #[serde(default)]
    pub tls: Tls,
    /// Which certificates are believed.
    #[serde(default)]
    pub trust: Trust,
    /// How the login is proven.
    #[serde(default)]
    pub mechanism: Mechanism,
    /// How long a connection may take to come about, and a server to stay silent. Zero counts as a second.
    #[serde(rename = "timeout-secs", default = "usual_timeout", with = "secs")]
    pub timeout: Duration,
}

fn usual_timeout() -> Duration {
    Duration::from_secs(60)
}

/// Durations as whole seconds.
mod secs {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(value.as_secs())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_secs)
    }
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

    #[test]
    fn an_access_as_text() {
        let access: Access = serde_json::from_str(
            r#"{"host":"h","port":143,"tls":"starttls","trust":{"fingerprint":"00"},"mechanism":"scram-sha256"}"#,
        )
        .unwrap();
        assert_eq!((access.tls, access.mechanism), (Tls::Starttls, Mechanism::ScramSha256));
        assert_eq!(access.timeout, Duration::from_secs(60));
        let again: Access = serde_json::from_str(&serde_json::to_string(&access).unwrap()).unwrap();
        assert_eq!(again, access);
    }
}
