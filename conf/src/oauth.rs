//! The section `[auth.oauth]`: an issuer of tokens (OpenID Connect) that mail clients may log in with.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The issuer, and what is believed of its tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OAuth {
    /// The issuer's URL, exactly as it stands in its tokens; empty: no tokens are taken.
    pub issuer: String,
    /// Tokens must be for one of these.
    pub audiences: Vec<String>,
    /// Tokens must have been given to one of these clients; empty: to any.
    pub clients: Vec<String>,
    /// The claim that names the user.
    pub user_claim: String,
    /// Whether it is an address of the user or the user's name.
    pub user_is: UserIs,
    /// Signatures that are believed.
    pub algorithms: Vec<Algorithm>,
    /// So many seconds may the issuer's clock be away from ours.
    pub skew_secs: u64,
    /// Where the keys are, an https URL or a file, which starts at DATA if it is relative; empty: as the issuer's discovery document says.
    pub jwks: String,
    /// Certificate authorities that are believed in place of the system's; a relative path starts at DATA; empty: the system's.
    pub ca: PathBuf,
    /// A token with an unknown key has the keys fetched again, but not sooner than this after the last time.
    pub refresh_secs: u64,
    /// Keys of this age are fetched again.
    pub max_age_secs: u64,
    /// Keys are used until this age while the issuer can't be reached.
    pub keep_secs: u64,
}

/// How a claim names a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UserIs {
    /// By an e-mail address.
    Address,
    /// By the name.
    Name,
}

/// A signature's algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// RSA with PKCS #1 1.5.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSA with PSS.
    #[serde(rename = "PS256")]
    Ps256,
    /// ECDSA on P-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Default for OAuth {
    fn default() -> Self {
        use Algorithm::{EdDsa, Es256, Ps256, Rs256};
        OAuth {
            issuer: String::new(),
            audiences: Vec::new(),
            clients: Vec::new(),
            user_claim: "email".into(),
            user_is: UserIs::Address,
            algorithms: vec![Rs256, Ps256, Es256, EdDsa],
            skew_secs: 60,
            jwks: String::new(),
            ca: PathBuf::new(),
            refresh_secs: 60,
            max_age_secs: 3_600,
            keep_secs: 86_400,
        }
    }
}

/// Most audiences, and most clients.
const MAX_ITEMS: usize = 100;

impl OAuth {
    /// What makes no sense in it: the key and why.
    pub(crate) fn nonsense(&self) -> Option<(&'static str, String)> {
        if self.issuer.is_empty() {
            return None;
        }
        let bad = |key, what: &str| Some((key, what.to_owned()));
        if !is_safe(&self.issuer) {
            return bad("auth.oauth.issuer", "is no https URL");
        }
        if (self.jwks.contains("://") && !is_safe(&self.jwks)) || self.jwks.contains('\0') {
            return bad("auth.oauth.jwks", "is neither an https URL nor a file");
        }
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            // Else a token that the issuer gave for anything else would open an archive.
            return bad("auth.oauth.audiences", "must say which tokens are for this server");
        }
        if self.audiences.len() > MAX_ITEMS || self.clients.len() > MAX_ITEMS {
            let key =
                if self.clients.len() > MAX_ITEMS { "auth.oauth.clients" } else { "auth.oauth.audiences" };
            return Some((key, format!("has more than {MAX_ITEMS} items")));
        }
        if self.user_claim.is_empty() {
            return bad("auth.oauth.user_claim", "must name a claim");
        }
        if self.algorithms.is_empty() {
            return bad("auth.oauth.algorithms", "must name an algorithm");
        }
        if self.keep_secs < self.max_age_secs {
            return bad("auth.oauth.keep_secs", "is less than auth.oauth.max_age_secs");
        }
        None
    }
}

/// HTTPS, or HTTP on this machine.
fn is_safe(url: &str) -> bool {
    let host = |scheme| url.strip_prefix(scheme).and_then(|rest: &str| rest.split(['/', '?', '#']).next());
    if let Some(authority) = host("https://") {
        return !authority.is_empty();
    }
    host("http://").is_some_and(|authority| {
        ["127.0.0.1", "[::1]", "localhost"].iter().any(|here| {
            authority.strip_prefix(here).is_some_and(|port| port.is_empty() || port.starts_with(':'))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_needs_https_and_an_audience() {
        let good = OAuth {
            issuer: "https://login.example.org/realm".into(),
            audiences: vec!["mailkeep".into()],
            ..OAuth::default()
        };
        assert_eq!((OAuth::default().nonsense(), good.nonsense()), (None, None));
        let key = |change: fn(&mut OAuth)| {
            let mut conf = good.clone();
            change(&mut conf);
            conf.nonsense().map(|(key, _)| key.rsplit('.').next().unwrap_or_default())
        };
        assert_eq!(key(|c| c.issuer = "http://login.example.org".into()), Some("issuer"));
        assert_eq!(key(|c| c.issuer = "https://".into()), Some("issuer"));
        assert_eq!(key(|c| c.issuer = "http://127.0.0.1.example.org".into()), Some("issuer"));
        assert_eq!(key(|c| c.issuer = "http://127.0.0.1:8080/x".into()), None);
        assert_eq!(key(|c| c.jwks = "http://example.org/keys".into()), Some("jwks"));
        assert_eq!(key(|c| c.jwks = "keys.json".into()), None);
        assert_eq!(key(|c| c.audiences.clear()), Some("audiences"));
        assert_eq!(key(|c| c.audiences = vec!["x".into(); MAX_ITEMS]), None);
        assert_eq!(key(|c| c.audiences = vec!["x".into(); MAX_ITEMS + 1]), Some("audiences"));
        assert_eq!(key(|c| c.clients = vec!["x".into(); MAX_ITEMS + 1]), Some("clients"));
        assert_eq!(key(|c| c.user_claim.clear()), Some("user_claim"));
        assert_eq!(key(|c| c.algorithms.clear()), Some("algorithms"));
        assert_eq!(key(|c| c.keep_secs = 1), Some("keep_secs"));
        for algorithm in ["none", "HS256", "RS512"] {
            let text = format!("[auth.oauth]\nalgorithms = [\"{algorithm}\"]\n");
            assert!(crate::Conf::parse(&text, "x".as_ref()).is_err(), "{algorithm}");
        }
    }
}
