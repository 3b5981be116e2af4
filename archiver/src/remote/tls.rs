//! TLS to the servers that mail comes from; which certificates are believed `auth` decides, for all servers that are logged in to.

use super::access::Access;
use super::fault::Fault;
use rustls::ClientConnection;

pub(crate) use auth::trust::advice;

/// A TLS client for this server.
/// # Errors
/// `Tls`: the trust's text is no certificate or fingerprint, there are no authorities, or the host can't be one.
pub(crate) fn connection(access: &Access) -> Result<ClientConnection, Fault> {
    auth::trust::connection(&access.host, &access.trust)
        .map_err(|what| Fault::Tls { place: access.host.clone(), what })
}
