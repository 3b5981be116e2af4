//! Where the issuer's keys come from: a file, or HTTPS with a discovery document in front.
//!
//! Invariant: bounded in time and size, no redirects, no proxy, certificates checked. Plain HTTP is for this machine alone: whoever can
//! change the keys on their way can log in as anyone.

use super::OAuth;
use super::keys::{self, Key};
use crate::Error;
use rustls::crypto::aws_lc_rs::default_provider;
use serde::Deserialize;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Largest document.
pub(super) const MAX_DOCUMENT_BYTES: u64 = 1 << 20;
/// Time for one document.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Where Linux systems have the authorities that they trust.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Where the keys are.
pub(super) enum Source {
    /// A JWK set in a file.
    File(PathBuf),
    /// A JWK set by HTTP.
    Url(String, Agent),
    /// The issuer's discovery document, which names one.
    Discovery(String, Agent),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::File(path) => write!(f, "{}", path.display()),
            Source::Url(url, _) | Source::Discovery(url, _) => f.write_str(url),
        }
    }
}

/// OpenID Connect Discovery §3, what is needed of it.
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

/// OpenID Connect Discovery §4.
pub(super) fn discovery(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

fn wrong(place: impl std::fmt::Display, what: impl std::fmt::Display) -> Error {
    Error::Issuer(format!("{place}: {what}"))
}

/// Whether it is HTTPS, or HTTP on this machine.
pub(super) fn is_safe(url: &str) -> bool {
    if url.starts_with("https://") {
        return true;
    }
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    ["127.0.0.1", "[::1]", "localhost"]
        .iter()
        .any(|here| authority.strip_prefix(here).is_some_and(|port| port.is_empty() || port.starts_with(':')))
}

impl Source {
    pub(super) fn new(settings: &OAuth) -> Result<Source, Error> {
        let OAuth { issuer, jwks, ca, .. } = settings;
        let is_url = jwks.starts_with("https://") || jwks.starts_with("http://");
        if !jwks.is_empty() && !is_url {
            return Ok(Source::File(jwks.into()));
        }
        let url = if is_url { jwks } else { issuer };
        if !is_safe(url) {
            return Err(wrong(url, "is no https URL"));
        }
        let agent = agent(ca.as_deref())?;
        Ok(if is_url { Source::Url(jwks.clone(), agent) } else { Source::Discovery(issuer.clone(), agent) })
    }

    /// Fetches the keys.
    pub(super) fn keys(&self) -> Result<Vec<Key>, Error> {
        let (place, bytes) = match self {
            Source::File(path) => (path.display().to_string(), file(path)?),
            Source::Url(url, agent) => (url.clone(), document(agent, url)?),
            Source::Discovery(issuer, agent) => {
                let place = discovery(issuer);
                let found: Discovered = serde_json::from_slice(&document(agent, &place)?)
                    .map_err(|error| wrong(&place, format!("is no discovery document: {error}")))?;
                // §4.3: "The issuer value returned MUST be identical to the Issuer URL".
                if found.issuer != *issuer {
                    return Err(wrong(&place, "is the discovery document of another issuer"));
                }
                if !is_safe(&found.jwks_uri) {
                    return Err(wrong(&place, "names keys that are not at an https URL"));
                }
                let bytes = document(agent, &found.jwks_uri)?;
                (found.jwks_uri, bytes)
            }
        };
        keys::read(&bytes).map_err(|what| wrong(place, what))
    }
}

fn file(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_DOCUMENT_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| wrong(path.display(), error))?;
    if bytes.len() as u64 > MAX_DOCUMENT_BYTES {
        return Err(wrong(path.display(), format!("has more than {MAX_DOCUMENT_BYTES} bytes")));
    }
    Ok(bytes)
}

fn document(agent: &Agent, url: &str) -> Result<Vec<u8>, Error> {
    let mut response = agent.get(url).call().map_err(|error| wrong(url, error))?;
    if response.status() != 200 {
        return Err(wrong(url, format!("answers with status {}", response.status())));
    }
    let body = response.body_mut().with_config().limit(MAX_DOCUMENT_BYTES);
    body.read_to_vec().map_err(|error| wrong(url, error))
}

fn agent(ca: Option<&Path>) -> Result<Agent, Error> {
    let usual = || BUNDLES.iter().map(PathBuf::from).find(|path| path.is_file());
    let roots = match ca.map(Path::to_owned).or_else(usual) {
        Some(path) => authorities(&path)?,
        // Only plain HTTP on this machine works then.
        None => Vec::new(),
    };
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .unversioned_rustls_crypto_provider(Arc::new(default_provider()))
        .build();
    let config = Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent("mailkeep")
        .max_idle_connections(0)
        .build();
    Ok(config.new_agent())
}

fn authorities(path: &Path) -> Result<Vec<Certificate<'static>>, Error> {
    let pem = file(path)?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(wrong(path.display(), "has no certificate in PEM"));
    }
    Ok(certificates)
}
