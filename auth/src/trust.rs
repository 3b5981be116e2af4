//! Which certificates of other servers are believed: the system's authorities, an own one, one pinned certificate, or any. For the
//! directory, and for `archiver`, which brings mail from servers.
//!
//! Invariant: TLS 1.2 or 1.3; whatever is believed of the certificate, the peer proves that it holds its key.

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Which certificates are believed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// Those that an authority vouches for that the system trusts.
    #[default]
    System,
    /// Those that these authorities vouch for (PEM).
    Ca(String),
    /// The one whose DER bytes have this SHA-256 (64 hex digits; colons may stand between), whatever its name and dates.
    Fingerprint(String),
    /// Any: whoever stands between reads along and gets the password. A warning is logged at every connection.
    IgnoreErrors,
}

impl Trust {
    /// Whether the text of an authority or a fingerprint is one.
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Trust::Ca(pem) => roots(pem.as_bytes()).map(drop),
            Trust::Fingerprint(text) => fingerprint(text).map(drop),
            Trust::System | Trust::IgnoreErrors => Ok(()),
        }
    }
}

/// Where systems keep the authorities that they trust, one file; the first that is there counts, after `SSL_CERT_FILE`.
const BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A TLS client for this server.
/// # Errors
/// The trust's text is no certificate or fingerprint, there are no authorities, or the host can't be one.
pub fn connection(host: &str, trust: &Trust) -> Result<ClientConnection, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = match trust {
        Trust::System => builder.with_root_certificates(system()?).with_no_client_auth(),
        Trust::Ca(pem) => {
            let roots = roots(pem.as_bytes()).map_err(|what| format!("the own authority: {what}"))?;
            builder.with_root_certificates(roots).with_no_client_auth()
        }
        Trust::Fingerprint(text) => {
            let pinned = Some(fingerprint(text)?);
            let verifier = Arc::new(Pinned { pinned, provider });
            builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        }
        Trust::IgnoreErrors => {
            tracing::warn!(host, "certificates are not checked: whoever stands between reads along");
            let verifier = Arc::new(Pinned { pinned: None, provider });
            builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
        }
    };
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| "no certificate can be for a host of this name".to_owned())?;
    ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())
}

/// What to do about a failed handshake.
#[must_use]
pub fn advice(what: &str) -> String {
    let advice = if what.contains("UnknownIssuer") {
        "; no trusted authority vouches for its certificate: give the authority (--ca) or pin the certificate (--fingerprint)"
    } else if what.contains("NotValidForName") || what.contains("not valid for name") {
        "; its certificate is for another name: use that name as the host, or pin the certificate (--fingerprint)"
    } else if what.contains("Expired") || what.contains("expired") {
        "; its certificate has expired: it must be renewed, or be pinned (--fingerprint)"
    } else if what.contains("InvalidContentType") || what.contains("corrupt message") {
        "; no TLS is spoken at this port: try STARTTLS (--tls starttls)"
    } else {
        ""
    };
    format!("{what}{advice}")
}

fn system() -> Result<RootCertStore, String> {
    let given = std::env::var_os("SSL_CERT_FILE").map(std::path::PathBuf::from);
    let usual = BUNDLES.iter().map(std::path::PathBuf::from);
    let path = given.into_iter().chain(usual).find(|path| path.is_file());
    let path = path.ok_or("the system has no list of trusted authorities (package ca-certificates)")?;
    let pem = std::fs::read(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    roots(&pem).map_err(|what| format!("{}: {what}", path.display()))
}

fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("no PEM: {error}"))?;
    let (added, ignored) = roots.add_parsable_certificates(certificates);
    if added == 0 {
        return Err(format!("no certificate that can be used among {ignored}"));
    }
    Ok(roots)
}

fn fingerprint(text: &str) -> Result<[u8; 32], String> {
    let hex: String = text.chars().filter(|char| *char != ':').collect();
    let bytes = hex::decode(hex).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| "the fingerprint is no SHA-256: 64 hex digits, colons between them or not".into())
}

/// Believes one certificate, or any.
#[derive(Debug)]
struct Pinned {
    pinned: Option<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found: [u8; 32] = Sha256::digest(end_entity).into();
        match self.pinned {
            Some(pinned) if pinned != found => Err(Error::General(format!(
                "its certificate is not the pinned one but has the fingerprint {}",
                hex::encode(found)
            ))),
            _ => Ok(ServerCertVerified::assertion()),
        }
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints() {
        assert!(fingerprint(&"ab".repeat(32)).is_ok());
        assert_eq!(fingerprint(&vec!["AB"; 32].join(":")).unwrap(), [0xab; 32]);
        for wrong in ["", "ab", &"ab".repeat(31), &"ab".repeat(33), &"xy".repeat(32)] {
            assert!(fingerprint(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_authority_must_be_one() {
        assert!(roots(b"").is_err());
        assert!(roots(b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n").is_err());
    }
}
