//! TLS: the self-signed certificate of a new installation, and the server's settings from PEM files.

use anyhow::{Context, Result, anyhow};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use time::{Duration, OffsetDateTime};
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::server::ProducesTickets;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use zeroize::Zeroizing;

/// How long the self-signed certificate is valid: people confirm it by hand, once.
const VALID: Duration = Duration::days(3_650);

/// Makes `cert.pem` and `key.pem` (0600) in `dir`.
pub(crate) fn self_signed(dir: &Path) -> Result<()> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    names.extend(host_name());
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "mailkeep, self-signed");
    params.not_before = OffsetDateTime::now_utc() - Duration::days(1);
    params.not_after = params.not_before + VALID;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    write_new(&dir.join("key.pem"), 0o600, Zeroizing::new(key.serialize_pem()).as_bytes())?;
    write_new(&dir.join("cert.pem"), 0o644, certificate.pem().as_bytes())
}

/// Writes a file that was not there, and syncs it.
pub(crate) fn write_new(path: &Path, mode: u32, bytes: &[u8]) -> Result<()> {
    let write = || -> std::io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().with_context(|| path.display().to_string())
}

/// This machine's name, if it is one that a certificate can carry.
fn host_name() -> Option<String> {
    let read = |path| std::fs::read_to_string(path).ok();
    let name = read("/proc/sys/kernel/hostname").or_else(|| read("/etc/hostname"))?;
    let name = name.trim();
    let good = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    (!name.is_empty() && name.len() <= 253 && name.chars().all(good) && name != "localhost")
        .then(|| name.to_owned())
}

/// Certificates that expire within so many days are warned of.
const WARN_DAYS: i64 = 30;

/// Where certificate and key lie, and what stays the same when they are read again.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    /// Seals the tickets with which clients resume: kept, so that a new certificate costs nobody a full handshake.
    tickets: Arc<dyn ProducesTickets>,
}

/// What was read.
#[derive(Debug, Clone)]
pub(crate) struct Loaded {
    /// For the listeners.
    pub(crate) config: Arc<ServerConfig>,
    /// When the certificate expires, seconds since 1970.
    pub(crate) expires: i64,
    /// The certificate's hash that logins can be bound to.
    pub(crate) end_point: Option<Arc<[u8]>>,
}

impl Loaded {
    /// For the listeners, with all that they need.
    pub(crate) fn for_listeners(&self) -> imapd::watch::Tls {
        imapd::watch::Tls { config: Arc::clone(&self.config), end_point: self.end_point.clone() }
    }
}

/// RFC 5929 §4.1: the hash of the certificate's signature, SHA-256 in place of MD5 and SHA-1; none where the signature has no single
/// one (Ed25519, RSA-PSS).
fn end_point(certificate: &[u8], signature: &str) -> Option<Arc<[u8]>> {
    use sha2::{Digest, Sha256, Sha384, Sha512};
    let hash = match signature {
        // md5, sha1, sha256 with RSA; sha1, sha256 with ECDSA.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => Sha256::digest(certificate).to_vec(),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Sha384::digest(certificate).to_vec(),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Sha512::digest(certificate).to_vec(),
        _ => return None,
    };
    Some(hash.into())
}

impl Tls {
    /// With these PEM files.
    pub(crate) fn new(certificate: PathBuf, key: PathBuf) -> Result<Tls> {
        Ok(Tls { certificate, key, tickets: aws_lc_rs::Ticketer::new().context("TLS tickets")? })
    }

    /// Reads both; TLS 1.2 and 1.3, nothing older.
    pub(crate) fn load(&self) -> Result<Loaded> {
        let Tls { certificate, key, tickets } = self;
        let read = |path: &Path| {
            format!(
                "{}: no PEM file that can be read; [tls] in mailkeep.toml names the certificate and its key",
                path.display()
            )
        };
        let chain = CertificateDer::pem_file_iter(certificate)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| anyhow!(error).context(read(certificate)))?;
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| anyhow!(error).context(read(key)))?;
        let shown = || certificate.display().to_string();
        let first = chain.first().with_context(|| read(certificate))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(first)
            .map_err(|error| anyhow!("{error}"))
            .with_context(|| format!("{}: no certificate that can be read", shown()))?;
        let expires = parsed.validity().not_after.timestamp();
        let end_point = end_point(first, &parsed.signature_algorithm.algorithm.to_id_string());
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .with_context(|| format!("{}: certificate and key can't be used", shown()))?;
        config.ticketer = Arc::clone(tickets);
        Ok(Loaded { config: Arc::new(config), expires, end_point })
    }

    /// Says when the certificate expires, as a warning if that is soon.
    pub(crate) fn say_expiry(&self, loaded: &Loaded, now: i64) {
        let path = self.certificate.display().to_string();
        let expires = crate::output::moment(loaded.expires);
        match (loaded.expires - now) / 86_400 {
            _ if loaded.expires <= now => tracing::error!(path, expires, "the certificate has expired"),
            days if days < WARN_DAYS => tracing::warn!(path, expires, days, "the certificate expires soon"),
            days => tracing::info!(path, expires, days, "the certificate is valid"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_self_signed_certificate_loads_and_its_key_is_private() {
        let dir = tempfile::tempdir().unwrap();
        self_signed(dir.path()).unwrap();
        let (certificate, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        let load = |certificate: &Path, key: &Path| Tls::new(certificate.into(), key.into()).unwrap().load();
        let loaded = load(&certificate, &key).unwrap();
        let days = (loaded.expires - OffsetDateTime::now_utc().unix_timestamp()) / 86_400;
        assert!((VALID.whole_days() - 2..=VALID.whole_days()).contains(&days), "{days}");
        assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(loaded.end_point.map(|hash| hash.len()), Some(32), "ECDSA with SHA-256");
        assert!(self_signed(dir.path()).is_err(), "nothing is written over");
        assert!(load(&key, &key).is_err());
        assert!(load(&certificate, &certificate).is_err());
        assert!(load(&dir.path().join("none.pem"), &key).is_err());
    }
}
